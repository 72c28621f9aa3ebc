//! Pages to look at and to check.

use super::super::{
    DagPage, ErrorPage, Facts, Frame, Kind, Listing, Origin, Row, Sort, SortBy, View, dag, error, home,
};
use cairn_store::{
    block::{Block, Prefix},
    cid::{Cid, codec},
    dag::Ipld,
};
use http::StatusCode;
use std::borrow::Cow;

/// A CID of some bytes.
pub(super) fn cid(code: u64, bytes: &[u8]) -> Cid {
    *Block::seal(Prefix::v1(code), bytes.to_vec().into()).expect("a block").cid()
}

/// The page of a directory with these names.
pub(super) fn listing(frame: Frame<'_>, view: View, names: &[&[u8]]) -> String {
    let directory = cid(codec::DAG_PB, b"directory");
    let facts = Facts { frame, cid: &directory, total_size: Some(82_854_982), sort: Some(Sort::default()), view };
    let mut out = String::new();
    let mut page = Listing::begin(&facts, &mut out);
    for (at, name) in (0_u64..).zip(names) {
        let kind = if name.contains(&b'.') { Kind::Unknown } else { Kind::Directory };
        let row = Row { name, cid: &cid(codec::RAW, name), size: Some(at * at * 37_219 + 817), kind };
        page.row(&row, &mut out);
    }
    page.end(names.len() as u64, None, &mut out);
    out
}

/// The path of a directory.
pub(super) const PATH: &str =
    "/ipfs/bafybeidv7nmc3l7zrndqejrjlh2uxv6nfc4hr2kqcbtpbyxbpjedlcbgqi/trips/Walking in the Uplands";

fn names() -> Vec<&'static [u8]> {
    let names = "Cairngorm\nNotes & sketches\nUisge-beatha\n2024-06-12 Ben Macdui.gpx\nA long name that goes on and on, because \
        somebody described the whole picture in it instead of beside it (final, corrected).jpeg\nREADME.md\nbackup.tar.gz\n\
        checksums\ndatenübersicht.csv\nfield-recording.flac\nfilm.mp4\nindex.js\nlichen.webp\nmap.pdf\n\u{5e9}\u{5dc}\u{5d5}\u{5dd}.txt\n\
        invoice\u{202e}gpj.exe\nshadow.png\n\u{5c71}\u{9053}.png";
    names.lines().map(str::as_bytes).chain([b"old \xffname\x07.txt".as_slice()]).collect()
}

fn data() -> Ipld {
    let text = |text: &str| Ipld::String(text.to_owned());
    let walk = |name: &str, metres: i128| {
        Ipld::Map(vec![
            ("name".into(), text(name)),
            ("metres".into(), Ipld::Int(metres)),
            ("track".into(), Ipld::Link(Box::new(cid(codec::RAW, name.as_bytes())))),
            ("done".into(), Ipld::Bool(metres > 1100)),
        ])
    };
    Ipld::Map(vec![
        ("title".into(), text("Walks of the year, with \u{201c}notes\u{201d} & sums")),
        ("walks".into(), Ipld::List(vec![walk("Ben Macdui", 1309), walk("Lochnagar", 1155), walk("Bennachie", 528)])),
        ("signature".into(), Ipld::Bytes((0_u8..100).collect::<Vec<_>>().into())),
        ("mean".into(), Ipld::Float(997.25)),
        ("tags".into(), Ipld::List(vec![])),
        ("previous".into(), Ipld::Null),
        ("years".into(), Ipld::List((0..60).map(|year| Ipld::Int(1964 + year)).collect())),
    ])
}

/// One page of each sort, by the name of its file.
pub(super) fn all() -> Vec<(&'static str, String)> {
    let frame = Frame { path: PATH, origin: Origin::Path };
    let names = names();
    let block = cid(codec::DAG_CBOR, b"walks");
    let path = format!("/ipfs/{block}");
    let value = data();
    let hints = [
        Cow::Borrowed("Try again in a minute: providers come and go."),
        Cow::Borrowed("If you have this content elsewhere, add it there and keep that node online."),
    ];
    let missing = ErrorPage {
        frame: Some(frame),
        status: StatusCode::GATEWAY_TIMEOUT,
        reason: "Nobody sent a block of this file within 30 seconds.",
        missing: Some(&block),
        hints: &hints,
        diagnostics: Some("https://check.ipfs.network"),
    };
    let bare = ErrorPage {
        frame: None,
        status: StatusCode::BAD_REQUEST,
        reason: "\"bafy\" is no CID: cid too short",
        missing: None,
        hints: &[],
        diagnostics: None,
    };
    let mut broken = String::new();
    let root =
        Frame { path: "/ipfs/bafybeidv7nmc3l7zrndqejrjlh2uxv6nfc4hr2kqcbtpbyxbpjedlcbgqi", origin: Origin::Path };
    let facts = Facts { frame: root, cid: &block, total_size: None, sort: None, view: View::Table };
    let mut page = Listing::begin(&facts, &mut broken);
    page.row(&Row { name: b"first", cid: &block, size: None, kind: Kind::Symlink }, &mut broken);
    page.end(1, Some("A block of the directory could not be had: bafy\u{2026} timed out."), &mut broken);
    let site =
        Frame { path: "/ipns/docs.example.org/guide", origin: Origin::DnsLink { gateway: "//docs.example.org" } };
    let dag_page = DagPage {
        frame: Frame { path: &path, origin: Origin::Path },
        cid: &block,
        codec: "dag-cbor",
        size: 817,
        value: Ok(&value),
        convert: true,
    };
    vec![
        ("listing", listing(frame, View::Table, &names)),
        ("tiles", listing(frame, View::Tiles, &names)),
        ("empty", listing(root, View::Table, &[])),
        ("dnslink", listing(site, View::Table, &names[..4])),
        ("broken", broken),
        ("dag", dag(&dag_page)),
        (
            "dag-none",
            dag(&DagPage { value: Err("The block is no valid dag-cbor: it ends early."), convert: false, ..dag_page }),
        ),
        ("error", error(&missing)),
        ("error-bare", error(&bare)),
        ("home", home()),
    ]
}

/// A listing sorted by size, the largest first.
pub(super) fn by_size() -> String {
    let frame = Frame { path: PATH, origin: Origin::Path };
    let directory = cid(codec::DAG_PB, b"directory");
    let sort = Some(Sort { by: SortBy::Size, descending: true });
    let mut out = String::new();
    Listing::begin(&Facts { frame, cid: &directory, total_size: None, sort, view: View::Tiles }, &mut out)
        .end(0, None, &mut out);
    out
}
