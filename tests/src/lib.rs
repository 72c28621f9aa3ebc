//! What crosses crates is tested here: the real binary, driven from outside, on real directories.
//!
//! | Module | Gives |
//! |---|---|
//! | [`bench`] | measuring commands against the machine and against Kubo |
//! | [`car`] | CARs and links, read without the code under test |
//! | [`daemon`] | a daemon of a node, and a plain HTTP client to ask it |
//! | [`durability`] | killing the program and cutting its power |
//! | [`fuzz`] | a target for each parser of bytes that strangers write |
//! | [`gateway`] | a daemon with its gateway |
//! | [`harness`] | a node: the program under test with a repository of its own |
//! | [`http`] | a raw HTTP client that normalises nothing |
//! | [`network`] | daemons that talk with each other |
//! | [`mount`] | mounts that never stay behind |
//! | [`process`] | running a program to its end: output, time, peak memory |
//! | [`records`] | IPNS records made by hand |
//! | [`tree`] | random folders |
//! | [`keystream`] | the test bytes that the golden vectors are made of |

pub mod arguments;
pub mod bench;
pub mod car;
pub mod daemon;
pub mod durability;
pub mod fuzz;
pub mod gateway;
pub mod harness;
pub mod http;
pub mod keystream;
pub mod mount;
pub mod mutate;
pub mod network;
pub mod process;
pub mod records;
pub mod tree;

/// Says that a test is skipped because a tool is missing. Where `CAIRN_NO_SKIP` is set, as in `.ci/run`, or `CI`,
/// the test fails instead: a test that did not run has not passed.
///
/// # Panics
/// When one of them is set.
pub fn skip(missing: &str) {
    let needed = ["CAIRN_NO_SKIP", "CI"].iter().any(|name| std::env::var_os(name).is_some());
    assert!(!needed, "{missing} is missing");
    eprintln!("skipped: {missing} is missing");
}
