//! Files and trees built in memory, against CIDs that Kubo gave.

mod odd;
mod shapes;
mod support;
mod vectors;
