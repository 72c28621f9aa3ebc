//! Path Gateway Specification of 2026-03-05: `filename` (§2.2.1), `download` (§2.2.2) and `Content-Disposition` (§3.2.5).

use crate::{
    table::{Row, check, get},
    world::{HELLO, World},
};

/// The same name in both forms of the header.
fn named(row: Row, kind: &str, ascii: &str, utf8: &str) -> Row {
    row.is("content-disposition", format!("{kind}; filename=\"{ascii}\"; filename*=UTF-8''{utf8}"))
}

#[test]
fn files() {
    let w = World::get();
    let file = format!("/ipfs/{}", w.cid("files/hello.txt"));
    let ask = |name: &str, query: &str| get(format!("path {name}"), format!("{file}{query}")).body(HELLO);
    check(
        w,
        vec![
            ask("§3.2.5: nothing where nothing was asked", "").lacks("content-disposition"),
            named(ask("§2.2.1: filename", "?filename=x.txt"), "inline", "x.txt", "x.txt"),
            named(
                ask("§2.2.1: a name that is not ASCII", "?filename=test%D1%82%D0%B5%D1%81%D1%82.pdf"),
                "inline",
                "test____.pdf",
                "test%D1%82%D0%B5%D1%81%D1%82.pdf",
            ),
            named(
                ask("§2.2.2: such a name, to be saved", "?filename=test%D1%82%D0%B5%D1%81%D1%82.mp4&download=true"),
                "attachment",
                "test____.mp4",
                "test%D1%82%D0%B5%D1%81%D1%82.mp4",
            ),
            named(ask("§2.2.2: download", "?filename=x.txt&download=true"), "attachment", "x.txt", "x.txt"),
            named(ask("§2.2.2: in the other order", "?download=true&filename=x.txt"), "attachment", "x.txt", "x.txt"),
            named(ask("§3.2.5: download=false", "?filename=x.txt&download=false"), "inline", "x.txt", "x.txt"),
            ask("§2.2.2: download without a name", "?download=true")
                .starts("content-disposition", "attachment")
                .not_kubo(),
            ask("§3.2.5: download=false without a name is no attachment", "?download=false")
                .not("content-disposition", "attachment"),
            ask("§3.2.5: a space and quotes end no name", "?filename=a%20%22b%22.txt")
                .starts("content-disposition", "inline; filename=\"")
                .has("content-disposition", "filename*=UTF-8''a%20%22b%22.txt")
                .not("content-disposition", "\"b\""),
            ask("§3.2.5: a semicolon begins no parameter", "?filename=a%3Bb.txt")
                .starts("content-disposition", "inline; filename=\"")
                .has("content-disposition", "filename*=UTF-8''a%3Bb.txt"),
            ask("§3.2.5: a line end begins no header", "?filename=a%0D%0AX-Evil:%20yes.txt").lacks("x-evil"),
            named(
                get("path §2.2.1: below a directory", format!("{}?filename=x.txt", w.at("files/hello.txt")))
                    .body(HELLO),
                "inline",
                "x.txt",
                "x.txt",
            ),
            named(
                get("path §2.2.1: below a domain", "/ipns/dnslink.test/hello.txt?filename=x.txt&download=true"),
                "attachment",
                "x.txt",
                "x.txt",
            ),
            named(
                get("path §2.2.1: of a part", format!("{file}?filename=x.txt")).with("Range", "bytes=0-4").status(206),
                "inline",
                "x.txt",
                "x.txt",
            ),
        ],
    );
}

#[test]
fn formats() {
    let w = World::get();
    let (file, root) = (w.cid("files/hello.txt"), w.cid("files"));
    let name = w.site_key.name();
    let ask = |name: &str, target: String| get(format!("path §3.2.5: {name}"), target);
    let doc = |codec: &str, query: &str| format!("/ipfs/{}{query}", w.docs[codec]);
    check(
        w,
        vec![
            named(
                ask("a raw block", format!("/ipfs/{file}?format=raw")),
                "attachment",
                &format!("{file}.bin"),
                &format!("{file}.bin"),
            ),
            named(
                ask("a raw block below a directory", format!("/ipfs/{root}/hello.txt?format=raw")),
                "attachment",
                &format!("{file}.bin"),
                &format!("{file}.bin"),
            ),
            named(
                ask("a raw block with a name", format!("/ipfs/{file}?format=raw&filename=x.bin")),
                "attachment",
                "x.bin",
                "x.bin",
            ),
            named(
                ask("a raw block is never shown", format!("/ipfs/{file}?format=raw&filename=x.bin&download=false")),
                "attachment",
                "x.bin",
                "x.bin",
            ),
            named(
                ask("a CAR", format!("/ipfs/{root}?format=car")),
                "attachment",
                &format!("{root}.car"),
                &format!("{root}.car"),
            ),
            ask("a CAR of a path", format!("/ipfs/{root}/hello.txt?format=car"))
                .starts("content-disposition", format!("attachment; filename=\"{root}"))
                .has("content-disposition", ".car\""),
            named(
                ask("a CAR with a name", format!("/ipfs/{root}?format=car&filename=x.car")),
                "attachment",
                "x.car",
                "x.car",
            ),
            ask("an archive", format!("/ipfs/{root}/sub?format=tar"))
                .has("content-disposition", format!("attachment; filename=\"{}.tar\"", w.cid("files/sub"))),
            named(
                ask("an archive with a name", format!("/ipfs/{root}/sub?format=tar&filename=x.tar")),
                "attachment",
                "x.tar",
                "x.tar",
            ),
            ask("an IPNS record", format!("/ipns/{name}?format=ipns-record"))
                .has("content-disposition", format!("attachment; filename=\"{name}.ipns-record\"")),
            named(
                ask("an IPNS record with a name", format!("/ipns/{name}?format=ipns-record&filename=x")),
                "attachment",
                "x",
                "x",
            ),
            ask("dag-json can be shown", doc("dag-json", ""))
                .has("content-disposition", format!("inline; filename=\"{}.json\"", w.docs["dag-json"])),
            ask("json can be shown", doc("json", ""))
                .has("content-disposition", format!("inline; filename=\"{}.json\"", w.docs["json"])),
            ask("dag-cbor can't be shown", doc("dag-cbor", ""))
                .has("content-disposition", format!("attachment; filename=\"{}.cbor\"", w.docs["dag-cbor"])),
            ask("cbor can't be shown", doc("cbor", ""))
                .has("content-disposition", format!("attachment; filename=\"{}.cbor\"", w.docs["cbor"])),
            ask("json to be saved", doc("json", "?download=true")).starts("content-disposition", "attachment"),
            ask("dag-json to be saved under a name", doc("dag-json", "?download=true&filename=x.json"))
                .has("content-disposition", "attachment; filename=\"x.json\""),
        ],
    );
}
