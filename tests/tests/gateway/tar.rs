//! IPIP-288 of 2022-06-10, and the Path Gateway Specification of 2026-03-05, §2.1.3 and §3.2: archives. They are read with
//! the crate `tar`.
//!
//! Left open by the texts: the order of entries, and how an archive breaks off whose names lead out of it: the connection
//! closes, or the archive is damaged.

use crate::{
    table::{Row, check, get},
    world::{DATED, ENTRIES, HELLO, HOSTILE, MULTI, World, digits, entry},
};
use cairn_tests::{
    car::{Car, DAG_PB, RAW, cid_of},
    http::Response,
    keystream,
};
use cid::Cid;
use std::{
    collections::BTreeMap,
    io::{Cursor, Read as _},
    path::Path,
};

/// What an entry is.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Entry {
    File(Vec<u8>),
    Dir,
    Link(String),
}

/// All entries by path. Paths that lead out of an unpacker's directory are errors.
fn read(bytes: &[u8]) -> Result<BTreeMap<String, Entry>, String> {
    let mut found = BTreeMap::new();
    let mut archive = tar::Archive::new(Cursor::new(bytes));
    for entry in archive.entries().map_err(|e| e.to_string())? {
        let mut entry = entry.map_err(|e| e.to_string())?;
        let path = String::from_utf8(entry.path_bytes().into_owned()).map_err(|e| e.to_string())?;
        let path = path.trim_end_matches('/').to_owned();
        if Path::new(&path).is_absolute() || path.split('/').any(|name| name == "..") {
            return Err(format!("no entry {path:?}, which leads out of the archive"));
        }
        let kind = entry.header().entry_type();
        let what = if kind.is_dir() {
            Entry::Dir
        } else if kind.is_symlink() {
            let target = entry.link_name_bytes().ok_or("a link without a target")?;
            Entry::Link(String::from_utf8_lossy(&target).into_owned())
        } else {
            let mut content = Vec::new();
            entry.read_to_end(&mut content).map_err(|e| e.to_string())?;
            Entry::File(content)
        };
        found.insert(path, what);
    }
    // After the last entry there are two blocks of zeros.
    let end =
        bytes.len() >= 1024 && bytes.len().is_multiple_of(512) && bytes[bytes.len() - 1024..].iter().all(|b| *b == 0);
    if end { Ok(found) } else { Err("two blocks of zeros at the end".to_owned()) }
}

/// The archive must have exactly these entries below its root, which the CID names.
fn holds(row: Row, root: &str, wanted: &[(&str, Entry)]) -> Row {
    let path = |name: &str| if name.is_empty() { root.to_owned() } else { format!("{root}/{name}") };
    let wanted: BTreeMap<String, Entry> = wanted.iter().map(|(name, entry)| (path(name), entry.clone())).collect();
    row.check(move |response: &Response| {
        let found = read(&response.body)?;
        for (path, entry) in &wanted {
            match found.get(path) {
                Some(other) if other == entry => {}
                Some(_) => return Err(format!("{path:?} as it was added")),
                None => return Err(format!("{path:?} among {:?}", found.keys())),
            }
        }
        match found.keys().find(|path| !wanted.contains_key(*path)) {
            Some(path) => Err(format!("no {path:?}")),
            None => Ok(()),
        }
    })
}

fn file(content: impl AsRef<[u8]>) -> Entry {
    Entry::File(content.as_ref().to_vec())
}

#[test]
fn contents() {
    let w = World::get();
    let sub = w.cid("files/sub");
    let hello = w.cid("files/hello.txt");
    let ask = |name: &str, target: String| get(format!("IPIP-288: {name}"), format!("{target}?format=tar"));
    let in_sub = [
        ("", Entry::Dir),
        ("ascii.txt", file("ascii\n")),
        ("deep", Entry::Dir),
        ("deep/deeper.txt", file("deeper\n")),
        ("multi.bin", file(keystream::bytes("multi", MULTI))),
    ];
    let hamt = w.cid("hamt");
    let names: Vec<String> = (0..ENTRIES).map(entry).collect();
    let mut in_hamt = vec![("", Entry::Dir), ("multi.bin", file(keystream::bytes("hamt", 600_000)))];
    in_hamt.extend(names.iter().enumerate().map(|(i, name)| (name.as_str(), file(format!("entry {i}\n")))));
    check(
        w,
        vec![
            holds(ask("a directory with all that is below it", w.at("files/sub")), sub, &in_sub),
            holds(ask("by its CID", format!("/ipfs/{sub}")), sub, &in_sub),
            holds(get("IPIP-288: by header", w.at("files/sub")).accept("application/x-tar"), sub, &in_sub),
            holds(ask("below a name", format!("/ipns/{}/sub", w.site_key.name())), sub, &in_sub),
            holds(ask("below a domain", "/ipns/dnslink.test/sub".to_owned()), sub, &in_sub),
            holds(ask("a file", w.at("files/hello.txt")), hello, &[("", file(HELLO))]),
            holds(ask("a file by its CID", format!("/ipfs/{hello}")), hello, &[("", file(HELLO))]),
            holds(ask("an empty file", w.at("files/empty.txt")), w.cid("files/empty.txt"), &[("", file(""))]),
            holds(
                ask("a symlink", w.at("files/link")),
                w.cid("files/link"),
                &[("", Entry::Link("hello.txt".to_owned()))],
            ),
            holds(ask("a sharded directory, and long names", w.at("hamt")), hamt, &in_hamt),
            holds(
                ask("files whose data stands in the links", w.at("inline")),
                w.cid("inline"),
                &[
                    ("", Entry::Dir),
                    ("tiny.txt", file("tiny\n")),
                    ("large.bin", file(keystream::bytes("inline", 1000))),
                ],
            ),
            ask("names of every kind", w.at("files")).check({
                let root = w.cid("files").to_owned();
                move |response| {
                    let found = read(&response.body)?;
                    for (name, wanted) in [
                        ("ünï cöde/ę/file-źł.txt", file("unicode\n")),
                        ("odd ?#%&+=.txt", file("an odd name\n")),
                        (HOSTILE, file("hostile\n")),
                        ("digits.txt", file(digits(1000))),
                        ("link", Entry::Link("hello.txt".to_owned())),
                    ] {
                        if found.get(&format!("{root}/{name}")) != Some(&wanted) {
                            return Err(format!("{name:?} as it was added"));
                        }
                    }
                    Ok(())
                }
            }),
            ask("times of files", w.at("dated/file.txt")).check(|response| {
                let mut archive = tar::Archive::new(Cursor::new(&response.body));
                let mut entries = archive.entries().map_err(|e| e.to_string())?;
                let entry = entries.next().ok_or("an entry")?.map_err(|e| e.to_string())?;
                match entry.header().mtime() {
                    // The half second may be rounded.
                    Ok(time) if time == DATED.0 || time == DATED.0 + 1 => Ok(()),
                    other => Err(format!("the time {}, not {other:?}", DATED.0)),
                }
            }),
        ],
    );
}

#[test]
fn headers() {
    let w = World::get();
    let sub = w.cid("files/sub");
    let target = format!("{}?format=tar", w.at("files/sub"));
    check(
        w,
        vec![
            get("path §3.2: what is said of an archive", &target)
                .is("content-type", "application/x-tar")
                .is("etag", format!("W/\"{sub}.x-tar\""))
                .is("cache-control", "public, max-age=29030400, immutable")
                .is("x-content-type-options", "nosniff")
                .is("x-ipfs-path", w.at("files/sub"))
                .is("x-ipfs-roots", w.roots("files/sub"))
                .has("content-disposition", format!("attachment; filename=\"{sub}.tar\"")),
            get("path §3.2.1: its ETag gives 304", &target)
                .with("If-None-Match", format!("W/\"{sub}.x-tar\""))
                .status(304),
            get("path §3.1.5: an archive of what is missing", format!("/ipfs/{}?format=tar", w.absent)).status(404),
            get(
                "path §3.1.5: an archive of a path that leads nowhere",
                format!("{}/no-such?format=tar", w.at("files")),
            )
            .status(404),
            get("path §3.1.4: an archive of an invalid CID", "/ipfs/not-a-cid?format=tar").status(400),
            get(
                "IPIP-288: an archive with a missing file does not look whole",
                format!("/ipfs/{}?format=tar", w.holed_dir),
            )
            .statuses(&[200, 404, 500])
            .may_break()
            .check(damaged),
            get("IPIP-288: nor one with a hole in a file", format!("/ipfs/{}?format=tar", w.holed.cid))
                .statuses(&[200, 404, 500])
                .may_break()
                .check(damaged),
        ],
    );
}

/// A failed answer, one that breaks off, or an archive that can't be read to its end.
fn damaged(response: &Response) -> Result<(), String> {
    match response.status == 200 && response.whole && read(&response.body).is_ok() {
        true => Err("no whole archive".to_owned()),
        false => Ok(()),
    }
}

/// A UnixFS directory whose one entry has this name, whatever it is.
fn directory(name: &str, leaf: &Cid) -> (Cid, Vec<u8>) {
    let cid = leaf.to_bytes();
    let mut link = vec![0x0a, cid.len() as u8];
    link.extend(cid);
    link.extend([0x12, name.len() as u8]);
    link.extend_from_slice(name.as_bytes());
    link.extend([0x18, 5]);
    let node = [&[0x12, link.len() as u8], &link[..], &[0x0a, 2, 0x08, 1]].concat();
    (cid_of(DAG_PB, &node), node)
}

#[test]
fn names_that_lead_out() {
    let w = World::get();
    let data = b"evil\n".to_vec();
    let leaf = cid_of(RAW, &data);
    let mut rows = Vec::new();
    let import = |name: &str| {
        let (root, node) = directory(name, &leaf);
        let car = Car::write(&[root], &[(root, node), (leaf, data.clone())]);
        let path = w.node().file("odd-name.car", car);
        w.node().ok(["dag", "import", "--pin-roots=false", path.to_str().expect("UTF-8")]);
        root
    };
    for name in ["../outside.txt", "a/../../outside.txt", "..", "x/../../../y"] {
        let root = import(name);
        let row = get(format!("IPIP-288: {name:?} is not packed"), format!("/ipfs/{root}?format=tar"));
        rows.push(row.statuses(&[200, 400, 404, 406, 422, 500]).may_break().check(|response| {
            damaged(response)?;
            match read(&response.body) {
                Ok(found) if found.values().any(|entry| *entry == file("evil\n")) => Err("not that file".to_owned()),
                _ => Ok(()),
            }
        }));
        rows.push(
            get(format!("IPIP-288: {name:?} can be had as a CAR"), format!("/ipfs/{root}?format=car"))
                .check(|response| Car::read(&response.body).map(drop)),
        );
    }
    for (name, inside) in [("foo/../inside.txt", "inside.txt"), ("./inside.txt", "inside.txt")] {
        let root = import(name);
        let row = get(format!("IPIP-288: {name:?} is packed, as it stays inside"), format!("/ipfs/{root}?format=tar"));
        rows.push(holds(row, &root.to_string(), &[("", Entry::Dir), (inside, file("evil\n"))]));
    }
    let root = import("/etc/passwd");
    rows.push(
        get("IPIP-288: an absolute name does not stay one", format!("/ipfs/{root}?format=tar"))
            .statuses(&[200, 400, 404, 406, 422, 500])
            .may_break()
            .check(|response| match damaged(response) {
                Ok(()) => Ok(()),
                Err(_) => read(&response.body).map(drop),
            }),
    );
    check(w, rows);
}
