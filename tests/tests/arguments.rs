//! What `add` makes of its arguments, and what commands say of theirs. The CIDs are those of Kubo 0.44.

use cairn_tests::{harness::Node, process};
use std::process::Command;

#[test]
fn an_argument_is_added_once_and_under_the_name_of_what_it_leads_to() {
    let node = Node::new();
    std::fs::create_dir(node.work().join("d")).expect("makes a folder");
    node.file("d/a", "hello\n");
    std::os::unix::fs::symlink("a", node.work().join("d/ln")).expect("links");
    let added = "added QmZULkCELmmk5XNfCgTnCyFgAVxBRBXyDHGGMVoLFLiXEN a\n\
                 added QmNgxr9E1dbP1AfDHuhzv98Cja4UFh6Dtcf7uBEVqJoFG8";
    for args in [&["d/a", "d/a"][..], &["--dereference-args", "d/ln"], &["--dereference-symlinks", "d/ln", "d/a"]] {
        let args = ["add", "-w"].iter().chain(args);
        assert_eq!(node.ok(args).trim_end(), added);
    }
}

#[test]
fn every_help_has_an_example() {
    let node = Node::new();
    for line in node.ok(["commands"]).lines() {
        let command: Vec<&str> = line.split_whitespace().skip(1).chain(["--help"]).collect();
        assert!(node.ok(&command).contains("Example"), "{line}");
    }
}

#[test]
fn the_measuring_programs_refuse_what_they_do_not_understand_in_one_line() {
    for (program, args) in [
        (env!("CARGO_BIN_EXE_bench"), &["nothing"][..]),
        (env!("CARGO_BIN_EXE_bench"), &["--runs", "x"]),
        (env!("CARGO_BIN_EXE_crash"), &["--kills"]),
        (env!("CARGO_BIN_EXE_crash"), &["9"]),
        (env!("CARGO_BIN_EXE_powerloss"), &["--foo=1"]),
    ] {
        let mut command = Command::new(program);
        let outcome = process::run(command.args(args).env("RUST_BACKTRACE", "1"), None).expect("starts");
        assert_eq!(outcome.status.code(), Some(2), "{args:?}: {}", outcome.errors());
        assert_eq!((outcome.errors().lines().count(), outcome.text().as_str()), (1, ""), "{}", outcome.errors());
    }
}
