//! Pages of data, and their limits.

use super::{
    super::{
        DagPage, Frame, Origin, dag,
        dag::{MAX_BYTES, MAX_DEPTH, MAX_TEXT, MAX_VALUES},
    },
    html,
    samples::cid,
};
use cairn_store::{cid::codec, dag::Ipld};

const LEFT_OUT: &str = "Only a part is shown";

fn page(value: &Ipld) -> String {
    let block = cid(codec::DAG_CBOR, b"block");
    let frame = Frame { path: &format!("/ipfs/{block}"), origin: Origin::Path };
    let page = DagPage { frame, cid: &block, codec: "dag-cbor", size: 1, value: Ok(value), convert: false };
    let page = dag(&page);
    html::read(&page);
    page
}

#[test]
fn values_of_each_kind_are_shown() {
    let link = cid(codec::RAW, b"target");
    let page = page(&Ipld::Map(vec![
        ("none".into(), Ipld::Null),
        ("yes".into(), Ipld::Bool(true)),
        ("least".into(), Ipld::Int(-(1 << 64))),
        ("half".into(), Ipld::Float(0.5)),
        ("whole".into(), Ipld::Float(2.0)),
        ("text".into(), Ipld::String("x".into())),
        ("bytes".into(), Ipld::Bytes(vec![0, 255].into())),
        ("list".into(), Ipld::List(vec![])),
        ("map".into(), Ipld::Map(vec![])),
        ("link".into(), Ipld::Link(Box::new(link))),
    ]));
    for wanted in [
        "<span class=k>none</span> <i>null</i>",
        "true",
        "-18446744073709551616",
        ">0.5<",
        ">2.0<",
        "<q>x</q>",
        "<i>2 bytes</i> <span class=h>00ff</span>",
        "empty list",
        "empty map",
        &format!("href=\"/ipfs/{link}\">{link}</a>"),
        "?format=raw",
        "?format=dag-cbor",
        "</html>",
    ] {
        assert!(page.contains(wanted), "no {wanted:?}");
    }
    assert!(!page.contains("?format=dag-json"), "the gateway converts nothing");
    assert!(!page.contains(LEFT_OUT));
}

#[test]
fn a_scalar_is_a_page_too() {
    assert!(page(&Ipld::Int(7)).contains(">7</span>"));
    assert!(page(&Ipld::List(vec![])).contains("empty list"));
}

#[test]
fn long_lists_texts_and_bytes_are_cut() {
    let list = page(&Ipld::List(vec![Ipld::Int(1); MAX_VALUES * 3]));
    assert!(list.contains(LEFT_OUT) && list.contains("10,001 more, not shown"));
    assert!(list.len() < MAX_VALUES * 80, "{}", list.len());
    let text = page(&Ipld::String("\u{e9}".repeat(MAX_TEXT)));
    assert!(text.contains(LEFT_OUT) && text.contains("2,000 more bytes"));
    let many = page(&Ipld::List(vec![Ipld::String("x".repeat(MAX_TEXT)); 1000]));
    assert!(many.contains(LEFT_OUT) && many.len() < MAX_BYTES + (32 << 10), "{}", many.len());
    assert!(page(&Ipld::Bytes(vec![7; 1 << 20].into())).contains("1,048,512 more bytes"));
}

#[test]
fn deep_values_are_cut_and_cost_no_stack() {
    let mut value = Ipld::Int(1);
    for _ in 0..1000 {
        value = Ipld::List(vec![value]);
    }
    let page = page(&value);
    assert!(page.contains("too deep to be shown") && page.contains(LEFT_OUT));
    assert_eq!(page.matches("<ul>").count(), MAX_DEPTH);
}
