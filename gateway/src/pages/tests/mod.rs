//! Tests of the pages.

mod data;
mod hostile;
mod html;
mod kubo;
mod samples;
mod style;

use super::{Facts, Frame, Kind, Listing, Origin, Row, Type, View, etag_part, write};
use cairn_store::cid::codec;
use html::Token;
use proptest::prelude::*;
use samples::cid;

/// Elements that HTML closes by itself.
const VOID: [&str; 9] = ["meta", "link", "br", "img", "input", "path", "circle", "ellipse", "use"];
/// Elements whose end tags HTML lets us leave out.
const OPTIONAL: [&str; 5] = ["thead", "tbody", "tr", "th", "td"];

#[test]
fn samples_are_well_formed_and_can_be_written_to_a_directory_to_be_looked_at() {
    for (name, page) in samples::all() {
        let mut open = Vec::new();
        for token in html::read(&page) {
            match token {
                Token::Open(tag, _) if !VOID.contains(&tag.as_str()) => open.push(tag),
                Token::Close(tag) => {
                    while open.last().is_some_and(|last| *last != tag && OPTIONAL.contains(&last.as_str())) {
                        open.pop();
                    }
                    assert_eq!(open.pop(), Some(tag), "{name}: elements cross");
                }
                _ => {}
            }
        }
        assert!(open.is_empty(), "{name}: {open:?} stay open");
        if let Some(directory) = std::env::var_os("CAIRN_PAGES_DIR") {
            std::fs::write(std::path::Path::new(&directory).join(format!("{name}.html")), page).expect("a directory");
        }
    }
}

#[test]
fn pages_have_a_language_a_title_landmarks_and_one_heading() {
    for (name, page) in samples::all() {
        let tokens = html::read(&page);
        let count =
            |tag: &str| tokens.iter().filter(|token| matches!(token, Token::Open(name, _) if name == tag)).count();
        for tag in ["html", "title", "header", "main", "footer", "h1"] {
            assert_eq!(count(tag), 1, "{name}: <{tag}>");
        }
        assert_eq!(html::values(&tokens, "lang"), ["en"], "{name}");
        let ids = html::values(&tokens, "id");
        for target in html::values(&tokens, "href").iter().filter_map(|href| href.strip_prefix('#')) {
            assert!(ids.iter().any(|id| id == target), "{name}: #{target} leads nowhere");
        }
        let mut unique = ids.clone();
        unique.sort_unstable();
        unique.dedup();
        assert_eq!(unique.len(), ids.len(), "{name}: an id twice");
        for token in &tokens {
            let Token::Open(tag, attributes) = token else { continue };
            let has = |wanted: &str| attributes.iter().any(|(name, _)| name == wanted);
            assert!(tag != "th" || has("scope"), "{name}: a table header without a scope");
            assert!(tag != "img" || has("alt"), "{name}: a picture without a text");
            assert!(tag != "svg" || has("aria-hidden"), "{name}: an icon that is read out");
            for (attribute, _) in attributes {
                assert!(
                    !attribute.starts_with("on") && attribute != "style",
                    "{name}: {attribute} needs 'unsafe-inline'"
                );
            }
        }
    }
}

#[test]
fn what_is_sorted_is_said_and_its_link_turns_it_round() {
    let page = samples::all().into_iter().find(|(name, _)| *name == "listing").expect("a sample").1;
    assert!(page.contains("<th scope=col aria-sort=ascending><a rel=nofollow href=\"?sort=name&amp;order=desc\">Name"));
    assert!(page.contains("<th scope=col><a rel=nofollow href=\"?sort=size&amp;order=asc\">Size"));
    let tiles = samples::by_size();
    assert!(tiles.contains("?sort=size&amp;order=asc&amp;view=tiles\""), "the view stays");
    assert!(tiles.contains("?sort=size&amp;order=desc\">List"), "the order stays");
}

#[test]
fn a_directory_that_is_not_sorted_has_no_links_to_sort_it_and_says_so() {
    let page = samples::all().into_iter().find(|(name, _)| *name == "broken").expect("a sample").1;
    assert!(!page.contains("?sort=") && page.contains("Too many entries to sort"));
    assert!(page.contains("<strong>The list is incomplete.</strong> A block of the directory could not be had"));
    assert!(!page.contains("one folder up"), "a root has no parent");
}

#[test]
fn pictures_are_fetched_only_when_asked_for() {
    let frame = Frame { path: samples::PATH, origin: Origin::Path };
    let table = samples::listing(frame, View::Table, &[b"a.png", b"b.txt"]);
    assert!(!table.contains("<img"));
    let tiles = samples::listing(frame, View::Tiles, &[b"a.png", b"b.txt"]);
    assert_eq!(tiles.matches("<img loading=lazy").count(), 1);
}

#[test]
fn types_follow_suffixes_and_what_is_known() {
    for (name, kind, expected) in [
        ("a.JPG", Kind::Unknown, Type::Image),
        ("a.jpg", Kind::Directory, Type::Folder),
        ("a.parquet", Kind::File, Type::Data),
        ("a.7z", Kind::Unknown, Type::Archive),
        ("a.zst", Kind::Unknown, Type::Archive),
        ("a.xparquet", Kind::File, Type::File),
        (".js", Kind::File, Type::File),
        ("js", Kind::Unknown, Type::Unknown),
        ("a.", Kind::Unknown, Type::Unknown),
        ("", Kind::Symlink, Type::Link),
    ] {
        assert_eq!(Type::of(name.as_bytes(), kind), expected, "{name:?}");
    }
}

#[test]
fn sizes_are_rounded_to_what_is_read() {
    for (bytes, expected) in [
        (0, "0 B"),
        (999, "999 B"),
        (1_000, "1.0 kB"),
        (9_949, "9.9 kB"),
        (9_950, "10 kB"),
        (999_499, "999 kB"),
        (999_500, "1.0 MB"),
        (82_854_982, "83 MB"),
        (u64::MAX, "18 EB"),
    ] {
        let mut out = String::new();
        write::size(bytes, &mut out);
        assert_eq!(out, expected, "{bytes}");
    }
    let mut out = String::new();
    write::count(1_234_567, &mut out);
    assert_eq!(out, "1,234,567");
}

#[test]
fn one_page_is_what_it_was() {
    let names: [&[u8]; 3] = [b"notes", b"a & b.png", b"\xe2\x80\xae.txt"];
    let frame = Frame { path: "/ipns/example.org/trips", origin: Origin::Subdomain { gateway: "//dweb.link" } };
    let page = samples::listing(frame, View::Table, &names);
    let page = page.replace(super::STYLE, "").replace(super::SCRIPT, "").replace(super::icon::SPRITE, "");
    assert_eq!(page.replace(super::FAVICON, ""), include_str!("golden.html"));
}

#[test]
fn the_hash_for_etags_is_short_and_plain() {
    assert!(etag_part().len() == 12 && etag_part().bytes().all(|byte| byte.is_ascii_alphanumeric()));
}

#[test]
fn rows_take_no_more_room_than_they_need() {
    let root = cid(codec::DAG_PB, b"root").to_string();
    let path = format!("/ipfs/{root}");
    let frame = Frame { path: &path, origin: Origin::Path };
    let leaf = cid(codec::RAW, b"leaf");
    let facts = Facts { frame, cid: &leaf, total_size: None, sort: None, view: View::Table };
    let mut out = String::new();
    let mut page = Listing::begin(&facts, &mut out);
    assert!(out.len() < 16_000, "{} bytes before the first row", out.len());
    out.clear();
    page.row(&Row { name: b"00000000.txt", cid: &leaf, size: Some(817), kind: Kind::File }, &mut out);
    assert!(out.len() < 340, "{} bytes for a row", out.len());
}

proptest! {
    #[test]
    fn cids_are_written_as_they_are_elsewhere(bytes: Vec<u8>, code in prop::sample::select(vec![codec::RAW, codec::DAG_PB, codec::DAG_JSON])) {
        let cid = cid(code, &bytes);
        let mut out = String::new();
        write::cid(&cid, &mut out);
        prop_assert_eq!(out, cid.to_string());
    }
}

#[test]
fn cids_of_version_0_stay_what_they_are() {
    let text = "QmUNLLsPACCz1vLxQVkXqqLX5R1X345qqfHbsf67hvA3Nn";
    let mut out = String::new();
    write::cid(&cairn_store::cid::parse(text).expect("a CID"), &mut out);
    assert_eq!(out, text);
}
