//! Path Gateway Specification of 2026-03-05 with IPIP-523 of 2026-03-05: how a response format is asked for (§2.1.3,
//! §2.2.3) and what `Content-Location` says of it (§3.2.6).
//!
//! Where `format` and `Accept` differ the text wants a `Content-Location`, and deployed gateways send none.

use crate::{
    table::{Row, check, get},
    world::{HELLO, World},
};

/// A format: its parameter, its media type, and something that has it.
fn all(w: &World) -> Vec<(&'static str, &'static str, String)> {
    let (file, dir) = (w.at("files/hello.txt"), format!("{}/", w.at("files/sub")));
    vec![
        ("raw", "application/vnd.ipld.raw", file.clone()),
        ("car", "application/vnd.ipld.car", file),
        ("tar", "application/x-tar", dir),
        ("dag-json", "application/vnd.ipld.dag-json", format!("/ipfs/{}", w.docs["dag-json"])),
        ("dag-cbor", "application/vnd.ipld.dag-cbor", format!("/ipfs/{}", w.docs["dag-cbor"])),
        ("json", "application/json", format!("/ipfs/{}", w.docs["json"])),
        ("cbor", "application/cbor", format!("/ipfs/{}", w.docs["cbor"])),
        ("ipns-record", "application/vnd.ipfs.ipns-record", format!("/ipns/{}", w.site_key.name())),
    ]
}

#[test]
fn each_format_by_parameter_and_header() {
    let w = World::get();
    let rows = all(w).into_iter().flat_map(|(format, kind, path)| {
        let other = if format == "raw" { "application/vnd.ipld.car" } else { "application/vnd.ipld.raw" };
        let browser = "text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,*/*;q=0.8";
        [
            get(format!("path §2.2.3: format={format} is {kind}"), format!("{path}?format={format}"))
                .starts("content-type", kind)
                .lacks("content-location"),
            get(format!("path §2.1.3: Accept: {kind}"), &path)
                .accept(kind)
                .starts("content-type", kind)
                .is("content-location", format!("{path}?format={format}")),
            get(format!("IPIP-523: format={format} goes before Accept"), format!("{path}?format={format}"))
                .accept(other)
                .starts("content-type", kind),
            get(format!("path §2.2.3: format={format} and another Accept"), format!("{path}?format={format}"))
                .accept(other)
                .is("content-location", format!("{path}?format={format}"))
                .not_kubo(),
            get(format!("IPIP-523: format={format} goes before a browser's Accept"), format!("{path}?format={format}"))
                .accept(browser)
                .starts("content-type", kind),
            get(format!("IPIP-523: format={format} with the same Accept"), format!("{path}?format={format}"))
                .accept(kind)
                .starts("content-type", kind)
                .lacks("content-location"),
            get(format!("path §3.2.6: Accept: {kind} keeps the query"), format!("{path}?a=b&c=d")).accept(kind).check(
                {
                    let wanted = [format!("{path}?a=b&c=d&format={format}"), format!("{path}?format={format}&a=b&c=d")];
                    move |response| match response.header("content-location") {
                        Some(location) if wanted.iter().any(|w| w == location) => Ok(()),
                        _ => Err(format!("content-location: {}", wanted[0])),
                    }
                },
            ),
        ]
    });
    check(w, rows.collect());
}

#[test]
fn negotiation() {
    let w = World::get();
    let file = w.at("files/hello.txt");
    let raw = |row: Row| row.is("content-type", "application/vnd.ipld.raw");
    let plain = |row: Row| row.starts("content-type", "text/plain").body(HELLO).lacks("content-location");
    let ask = |name: &str, accept: &str| get(format!("path §2.1.3: {name}"), &file).accept(accept);
    let car = |name: &str, query: &str, accept: &str| {
        get(format!("path §2.1.3: {name}"), format!("{file}{query}"))
            .accept(accept)
            .starts("content-type", "application/vnd.ipld.car; version=1")
    };
    check(
        w,
        vec![
            plain(ask("any type is the file", "*/*")),
            plain(ask("any application type is the file", "application/*")),
            plain(ask("a browser's Accept is the file", "text/html,application/xhtml+xml,*/*;q=0.8")),
            plain(ask("a picture's Accept is the file", "image/avif,image/webp,*/*;q=0.8")),
            raw(ask("spaces in a list", "text/html , application/vnd.ipld.raw")),
            raw(ask("a type that is known behind one that is not", "application/x-unknown, application/vnd.ipld.raw")),
            raw(ask("a quality", "application/vnd.ipld.raw;q=0.9")),
            raw(ask("two headers", "text/html").with("Accept", "application/vnd.ipld.raw")),
            car("parameters of a CAR", "", "application/vnd.ipld.car; version=1; order=dfs; dups=n")
                .has("content-location", format!("{file}?"))
                .has("content-location", "format=car")
                .has("content-location", "car-version=1")
                .has("content-location", "car-order=dfs")
                .has("content-location", "car-dups=n"),
            car("a CAR before others", "", "application/vnd.ipld.car, text/html;q=0.5"),
            car("parameters count where the format is the same", "?format=car", "application/vnd.ipld.car;dups=y")
                .has("content-type", "dups=y"),
            car(
                "a parameter of the URL goes before one of the header",
                "?format=car&car-dups=n",
                "application/vnd.ipld.car;dups=y",
            )
            .has("content-type", "dups=n"),
            ask("a format of IPLD that nobody knows", "application/vnd.ipld.unknown").statuses(&[400, 406]),
            get("path §2.2.3: a format that nobody knows", format!("{file}?format=unknown")).statuses(&[200, 400, 406]),
            get("path §2.2.3: an empty format is none", format!("{file}?format=")).body(HELLO),
            get("path §2.2.3: a block of a directory, not its redirect", format!("{}?format=raw", w.at("files/sub")))
                .is("content-type", "application/vnd.ipld.raw"),
            get("path §3.2.6: on a subdomain the location has no CID", "/hello.txt")
                .host(format!("{}.ipfs.localhost:{}", w.cid("files"), w.port()))
                .accept("application/vnd.ipld.raw")
                .is("content-location", "/hello.txt?format=raw"),
            get("path §3.2.6: on a domain neither", "/hello.txt")
                .host("dnslink.test")
                .accept("application/vnd.ipld.raw")
                .is("content-location", "/hello.txt?format=raw"),
            get("path §3.2.6: none for the default", &file).lacks("content-location"),
        ],
    );
}
