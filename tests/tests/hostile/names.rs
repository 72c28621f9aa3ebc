//! Names that lead out of the place that was asked for.

use crate::world::{Maker, run, tree};
use cairn_store::Cid;
use cairn_tests::harness::Node;
use std::{fs, io::Read as _, os::unix::fs::symlink};

/// Names that must not reach a file system.
const NAMES: [&[u8]; 14] = [
    b"..",
    b".",
    b"/",
    b"",
    b"\0",
    b"a\0b",
    b"../out",
    b"../../out",
    b"/etc/cairn-test",
    b"a/b",
    b"a/../../out",
    b"..\\out",
    b"\xff\xfe",
    b"./x",
];

fn directory_of(maker: &mut Maker, name: &[u8]) -> Cid {
    let leaf = maker.raw(b"payload");
    maker.directory(&[(b"good", leaf), (name, leaf)])
}

/// Runs `get` into `target/here` and says what lies in `target` and beside it afterwards.
fn get(node: &Node, root: Cid, flags: &[&str]) -> Vec<String> {
    let around = node.work().join("around");
    let _ = fs::remove_dir_all(&around);
    fs::create_dir_all(around.join("target")).expect("the working directory is writable");
    let cid = root.to_string();
    let mut args = vec!["get", "-o", "around/target/here"];
    args.extend(flags);
    args.push(&cid);
    run(node, &args);
    tree(&around)
}

fn outside(paths: &[String]) -> Vec<&String> {
    let inside =
        |p: &str| p == "target" || p == "target/here" || p.starts_with("target/here/") || p == "target/here.tar";
    paths.iter().filter(|path| !inside(path)).collect()
}

#[test]
fn get_writes_nothing_outside_its_target() {
    let node = Node::new();
    let mut maker = Maker::new(&node);
    let roots: Vec<(&[u8], Cid)> = NAMES.iter().map(|name| (*name, directory_of(&mut maker, name))).collect();
    maker.import(&node);
    for (name, root) in roots {
        let name = String::from_utf8_lossy(name);
        let paths = get(&node, root, &[]);
        assert!(outside(&paths).is_empty(), "{name:?}: {paths:?}");
        // At most the good file and one that is called so, in one directory.
        assert!(paths.len() <= 4, "{name:?}: {paths:?}");
    }
    assert!(!std::path::Path::new("/etc/cairn-test").exists());
}

#[test]
fn tar_archives_hold_no_name_that_leads_out() {
    let node = Node::new();
    let mut maker = Maker::new(&node);
    let roots: Vec<(&[u8], Cid)> = NAMES.iter().map(|name| (*name, directory_of(&mut maker, name))).collect();
    maker.import(&node);
    let mut good = 0;
    for (name, root) in roots {
        let name = String::from_utf8_lossy(name);
        let paths = get(&node, root, &["-a"]);
        assert!(outside(&paths).is_empty(), "{name:?}: {paths:?}");
        for path in ["here", "here.tar"] {
            let Ok(mut file) = fs::File::open(node.work().join("around/target").join(path)) else { continue };
            let mut bytes = Vec::new();
            file.read_to_end(&mut bytes).expect("the archive is readable");
            for entry in tar::Archive::new(&bytes[..]).entries().expect("an archive").map_while(Result::ok) {
                let inner = entry.path_bytes().into_owned();
                let inner = String::from_utf8_lossy(&inner).into_owned();
                let bad = inner.starts_with('/') || inner.contains('\0') || inner.split('/').any(|part| part == "..");
                assert!(!bad, "{name:?}: the archive holds {inner:?}");
                good += usize::from(inner.ends_with("/good"));
            }
        }
    }
    assert!(good >= 2, "two of the names are plain, and {good} archives were written");
}

#[test]
fn a_symlink_of_the_dag_is_never_written_through() {
    let node = Node::new();
    let mut maker = Maker::new(&node);
    let leaf = maker.raw(b"payload");
    let inner = maker.directory(&[(b"file", leaf)]);
    let up = maker.symlink("..");
    let absolute = maker.symlink(&node.work().join("around").display().to_string());
    let to_file = maker.symlink("../victim");
    // The same name twice: first a way out, then something to write there. In both orders, since a reader may
    // sort.
    let roots = [
        maker.directory(&[(b"x", up), (b"x", inner)]),
        maker.directory(&[(b"x", inner), (b"x", up)]),
        maker.directory(&[(b"x", absolute), (b"x", inner)]),
        maker.directory(&[(b"x", to_file), (b"x", leaf)]),
        maker.directory(&[(b"x", up), (b"x/file", leaf)]),
        to_file,
        up,
    ];
    maker.import(&node);
    for root in roots {
        for flags in [&[][..], &["-a"]] {
            let paths = get(&node, root, flags);
            assert!(outside(&paths).is_empty(), "{root}: {paths:?}");
        }
    }
}

/// The target itself is the user's word: if it is a symlink to a directory, that is where the files go; what
/// lies there as a symlink is not followed.
#[test]
fn a_symlink_in_the_target_directory_is_not_followed() {
    let node = Node::new();
    let mut maker = Maker::new(&node);
    let leaf = maker.raw(b"payload");
    let root = maker.directory(&[(b"x", leaf)]);
    maker.import(&node);
    let work = node.work();
    fs::create_dir_all(work.join("out")).expect("the working directory is writable");
    fs::write(work.join("victim"), b"precious").expect("the working directory is writable");
    symlink(work.join("victim"), work.join("out/x")).expect("the working directory is writable");
    run(&node, ["get", "-o", "out", &root.to_string()]);
    assert_eq!(fs::read(work.join("victim")).expect("it is still there"), b"precious");
}

#[test]
fn control_characters_do_not_reach_a_terminal_as_they_are() {
    let node = Node::new();
    let mut maker = Maker::new(&node);
    let leaf = maker.raw(b"x");
    let root = maker.directory(&[(b"\x1b]0;owned\x07name", leaf)]);
    maker.import(&node);
    // `script` gives the program a terminal.
    if !std::process::Command::new("script").arg("--version").output().is_ok_and(|found| found.status.success()) {
        return cairn_tests::skip("script");
    }
    let program = node.command(["ls", &root.to_string()]);
    let words: Vec<String> = std::iter::once(program.get_program())
        .chain(program.get_args())
        .map(|word| format!("'{}'", word.to_string_lossy()))
        .collect();
    let mut script = std::process::Command::new("script");
    script.args(["-qec", &words.join(" "), "/dev/null"]).current_dir(node.work());
    script.envs(program.get_envs().filter_map(|(k, v)| Some((k, v?))));
    let outcome = cairn_tests::process::run(&mut script, None).expect("script is here");
    assert!(outcome.text().contains("name"), "{}{}", outcome.text(), outcome.errors());
    assert!(!outcome.stdout.contains(&0x1b) && !outcome.stdout.contains(&7), "{:?}", outcome.text());
}
