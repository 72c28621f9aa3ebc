//! The gateway over a store in memory: a request's head goes in, a response comes out.

mod bounds;
mod caching;
mod denied;
mod origins;
mod paths;
mod world;
