//! Programs that know nothing of the network do on a mount what they do elsewhere.

use cairn_tests::{
    harness::Node,
    keystream::bytes as keystream,
    mount::{Mounted, can_mount, has},
    process,
};
use std::{
    fs,
    os::unix::fs::{PermissionsExt as _, symlink},
    path::Path,
    process::{Command, Stdio},
};

/// Runs a command that must succeed, and gives its output.
#[track_caller]
fn ok(command: &mut Command) -> String {
    let outcome = process::run(command, None).expect("it can be started");
    let text = outcome.text();
    assert!(outcome.status.success(), "{command:?} ended with {}:\n{text}{}", outcome.status, outcome.errors());
    text
}

fn program(name: &str, dir: &Path, args: &[&str]) -> String {
    ok(Command::new(name).current_dir(dir).args(args).env("LC_ALL", "C"))
}

/// A folder with some of everything.
fn folder(node: &Node) -> std::path::PathBuf {
    let dir = node.work().join("folder");
    fs::create_dir_all(dir.join("sub/deeper")).expect("is writable");
    fs::write(dir.join("large"), keystream("mount", 3_000_001)).expect("is writable");
    fs::write(dir.join("empty"), "").expect("is writable");
    fs::write(dir.join("sub/small"), "small\n").expect("is writable");
    fs::write(dir.join("sub/deeper/name with blanks and ü"), "x").expect("is writable");
    symlink("sub/small", dir.join("link")).expect("is writable");
    symlink("nowhere", dir.join("broken")).expect("is writable");
    fs::set_permissions(dir.join("sub"), fs::Permissions::from_mode(0o751)).expect("is ours");
    fs::set_permissions(dir.join("large"), fs::Permissions::from_mode(0o600)).expect("is ours");
    program("touch", &dir, &["-d", "2001-02-03 04:05:06.789", "sub/small", "sub"]);
    dir
}

/// What `find` says of all that is there.
fn everything(dir: &Path) -> Vec<String> {
    let listed = program("find", dir, &[".", "-printf", "%P %y %m %l %T@ %s\n"]);
    // The size of a directory means nothing.
    let line = |line: &str| {
        if line.contains(" d ") { line.rsplit_once(' ').expect("a size").0.to_owned() } else { line.to_owned() }
    };
    let mut lines: Vec<String> = listed.lines().map(line).filter(|line| !line.starts_with(" d ")).collect();
    lines.sort();
    lines
}

fn start() -> Option<(Node, Mounted)> {
    can_mount().then(|| {
        let node = Node::new();
        let mounted = Mounted::new(&node);
        (node, mounted)
    })
}

#[test]
fn cp_keeps_everything() {
    let Some((node, mounted)) = start() else { return };
    let (from, to) = (folder(&node), mounted.path("files/copy"));
    program("cp", &node.work(), &["-a", "folder", to.to_str().expect("text")]);
    program("diff", &node.work(), &["-r", "--no-dereference", "folder", to.to_str().expect("text")]);
    assert_eq!(everything(&to), everything(&from));
    program("cp", &mounted.path("files"), &["-a", "--reflink=auto", "copy", "again"]);
    assert_eq!(everything(&mounted.path("files/again")), everything(&from));
    program("mv", &mounted.path("files"), &["again", "copy/sub/moved"]);
    assert_eq!(everything(&mounted.path("files/copy/sub/moved")), everything(&from));
    program("rm", &mounted.path("files"), &["-r", "copy/sub/moved"]);
    mounted.end();
    let large = node.bytes(["--offline", "files", "read", "/copy/large"]);
    assert!(large == keystream("mount", 3_000_001));
}

#[test]
fn rsync_moves_nothing_the_second_time() {
    let Some((node, mounted)) = start() else { return };
    if !has("rsync") {
        return;
    }
    let from = folder(&node);
    let to = mounted.path("files/synced");
    // By default rsync leaves times that differ within one second.
    let flags = ["-a", "--modify-window=-1", "--stats", "--itemize-changes", "./"];
    let run = || program("rsync", &from, &[&flags[..], &[to.to_str().expect("text")]].concat());
    assert!(run().contains("Number of regular files transferred: 4"));
    let again = run();
    assert!(again.contains("Number of regular files transferred: 0"), "{again}");
    assert!(again.starts_with('\n'), "nothing is different: {again}");
    fs::write(from.join("sub/small"), "changed\n").expect("is writable");
    assert!(run().contains("Number of regular files transferred: 1"));
    assert_eq!(everything(&to), everything(&from));
}

#[test]
fn tar_goes_both_ways() {
    let Some((node, mounted)) = start() else { return };
    let from = folder(&node);
    let to = mounted.path("files/tree");
    fs::create_dir(&to).expect("is writable");
    // The default form of an archive has whole seconds.
    program("tar", &from, &["--format=posix", "-cf", "../there.tar", "."]);
    program("tar", &to, &["xpf", node.work().join("there.tar").to_str().expect("text")]);
    assert_eq!(everything(&to), everything(&from));
    program("tar", &to, &["--format=posix", "-cf", "../back.tar", "."]);
    let back = node.work().join("back");
    fs::create_dir(&back).expect("is writable");
    program("tar", &back, &["xpf", mounted.path("files/back.tar").to_str().expect("text")]);
    assert_eq!(everything(&back), everything(&from));
}

#[test]
fn git_clones_commits_and_collects() {
    let Some((node, mounted)) = start() else { return };
    if !has("git") {
        return;
    }
    let git = |dir: &Path, args: &[&str]| {
        let identity = ["-c", "user.name=Test", "-c", "user.email=test@example.com"];
        ok(Command::new("git").current_dir(dir).args(identity).args(args).env("GIT_CONFIG_GLOBAL", "/dev/null"))
    };
    let origin = node.work().join("origin");
    fs::create_dir(&origin).expect("is writable");
    git(&origin, &["init", "-q"]);
    for i in 0..20 {
        fs::write(origin.join(format!("file{}", i % 7)), format!("{i}\n").repeat(500)).expect("is writable");
        git(&origin, &["add", "."]);
        git(&origin, &["commit", "-q", "-m", &format!("change {i}")]);
    }
    let files = mounted.path("files");
    git(&files, &["clone", "-q", origin.to_str().expect("text"), "clone"]);
    let clone = files.join("clone");
    git(&clone, &["fsck", "--full", "--strict"]);
    fs::write(clone.join("file1"), "changed\n").expect("is writable");
    git(&clone, &["commit", "-q", "-a", "-m", "here"]);
    git(&clone, &["gc", "-q", "--prune=now"]);
    git(&clone, &["fsck", "--full", "--strict"]);
    assert_eq!(git(&clone, &["status", "--short"]), "");
    assert_eq!(git(&clone, &["log", "--oneline"]).lines().count(), 21);
    git(&clone, &["checkout", "-q", "HEAD~15"]);
    git(&clone, &["push", "-q", origin.to_str().expect("text"), "HEAD:refs/heads/back"]);
}

#[test]
fn sqlite_has_several_writers() {
    let Some((_node, mounted)) = start() else { return };
    if !has("sqlite3") {
        return;
    }
    let files = mounted.path("files");
    for (name, journal) in [("rollback.db", "delete"), ("ahead.db", "wal")] {
        let sqlite = |sql: &str| {
            let mut command = Command::new("sqlite3");
            command.current_dir(&files).args(["-bail", "-cmd", ".timeout 60000", name, sql]);
            command
        };
        ok(&mut sqlite(&format!("pragma journal_mode={journal}; create table t (writer, number);")));
        let writers: Vec<_> = (0..3)
            .map(|writer| {
                let sql: String = (0..40).map(|n| format!("insert into t values ({writer}, {n});")).collect();
                sqlite(&sql).stdout(Stdio::null()).spawn().expect("starts")
            })
            .collect();
        for mut writer in writers {
            assert!(writer.wait().expect("ends").success(), "{name}");
        }
        let said =
            ok(&mut sqlite("select writer, count(*), sum(number) from t group by writer; pragma integrity_check;"));
        assert_eq!(said, "0|40|780\n1|40|780\n2|40|780\nok\n", "{name}");
    }
}

#[test]
fn dd_writes_at_odd_places() {
    let Some((node, mounted)) = start() else { return };
    let here = node.file("here", keystream("dd", 1_000_003));
    fs::copy(&here, mounted.path("files/there")).expect("copies");
    for (bs, seek, skip, count) in [(777, 13, 5, 100), (1, 999_999, 0, 10), (4096, 200, 1, 50), (65_537, 3, 2, 9)] {
        let source = node.file("source", keystream("source", 2_000_000));
        for target in [&here, &mounted.path("files/there")] {
            let args = [
                format!("if={}", source.display()),
                format!("of={}", target.display()),
                format!("bs={bs}"),
                format!("seek={seek}"),
                format!("skip={skip}"),
                format!("count={count}"),
                "conv=notrunc".to_owned(),
                "status=none".to_owned(),
            ];
            ok(Command::new("dd").args(args));
        }
        assert!(
            fs::read(&here).expect("reads") == fs::read(mounted.path("files/there")).expect("reads"),
            "{bs} {seek}"
        );
    }
}

#[test]
fn a_project_is_built() {
    let Some((_node, mounted)) = start() else { return };
    if !has("gcc") || !has("make") {
        return;
    }
    let dir = mounted.path("files/project");
    fs::create_dir(&dir).expect("is writable");
    fs::write(dir.join("part.h"), "int part(void);\n").expect("is writable");
    fs::write(dir.join("part.c"), "#include \"part.h\"\nint part(void) { return 42; }\n").expect("is writable");
    let main = "#include <stdio.h>\n#include \"part.h\"\nint main(void) { printf(\"%d\\n\", part()); return 0; }\n";
    fs::write(dir.join("main.c"), main).expect("is writable");
    let rules = "all: program\nprogram: main.o libpart.a\n\tgcc -o $@ main.o -L. -lpart\nlibpart.a: part.o\n\tar rcs $@ $^\n%.o: %.c part.h\n\tgcc -c $<\n";
    fs::write(dir.join("Makefile"), rules).expect("is writable");
    program("make", &dir, &["-j2"]);
    assert_eq!(ok(&mut Command::new(dir.join("program"))), "42\n");
    assert!(program("make", &dir, &[]).contains("Nothing to be done"));
    program("touch", &dir, &["part.h"]);
    assert!(program("make", &dir, &[]).contains("gcc -c main.c"));
}

#[test]
fn fio_finds_what_it_wrote() {
    let Some((_node, mounted)) = start() else { return };
    if !has("fio") {
        return;
    }
    for (rw, bs) in [("randwrite", "3k"), ("write", "64k"), ("randwrite", "16k")] {
        let directory = format!("--directory={}", mounted.path("files").display());
        let mut command = Command::new("fio");
        command.args([
            "--name=check",
            &directory,
            "--size=16m",
            "--ioengine=psync",
            "--numjobs=2",
            "--group_reporting",
        ]);
        command
            .args(["--verify=crc32c", "--do_verify=1", "--verify_state_save=0", "--fsync=64"])
            .args([format!("--rw={rw}"), format!("--bs={bs}")]);
        assert!(ok(&mut command).contains("err= 0"), "{rw} {bs}");
    }
}

#[test]
fn locks_hold_between_processes() {
    let Some((_node, mounted)) = start() else { return };
    if !has("flock") {
        return;
    }
    let lock = mounted.path("files/lock");
    fs::write(&lock, "").expect("is writable");
    let held = fs::File::open(&lock).expect("opens");
    held.lock().expect("locks");
    let other = || Command::new("flock").arg("-n").arg(&lock).arg("true").status().expect("starts").success();
    assert!(!other());
    held.unlock().expect("unlocks");
    assert!(other());
}
