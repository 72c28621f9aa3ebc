//! What crosses crates is tested here: the real binary, driven from outside, on real directories.
//!
//! | Module | Gives |
//! |---|---|
//! | [`bench`] | measuring commands against the machine and against Kubo |
//! | [`durability`] | killing the program and cutting its power |
//! | [`fuzz`] | a target for each parser of bytes that strangers write |
//! | [`harness`] | a node: the program under test with a repository of its own |
//! | [`process`] | running a program to its end: output, time, peak memory |
//! | [`tree`] | random folders |
//! | [`keystream`] | the test bytes that the golden vectors are made of |

pub mod arguments;
pub mod bench;
pub mod durability;
pub mod fuzz;
pub mod harness;
pub mod keystream;
pub mod mutate;
pub mod process;
pub mod tree;
