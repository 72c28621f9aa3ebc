//! Files and trees built in memory, against CIDs that Kubo gave.

mod odd;
mod support;
mod vectors;
