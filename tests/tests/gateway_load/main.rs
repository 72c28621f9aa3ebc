//! The gateway under hostile clients and hostile content: the real program, driven from outside.
//!
//! What is asked for each time: an answer that is none of a crash, others that are still served, and memory within a bound.
//! No test depends on how quick the machine is; the figures are measured by `make bench BENCH=gateway`.

mod content;
mod crowd;
mod fuzz;
mod heads;
mod http2;
mod world;
