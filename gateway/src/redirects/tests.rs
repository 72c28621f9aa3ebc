use super::*;
use proptest::prelude::*;

/// The example of the specification (`QmYBhLYDwVFvxos9h8CGU2ibaY66QNgv8hpfewxaQrPiZj`).
const EXAMPLE: &str = "\
/redirect-one /one.html
/301-redirect-one /one.html 301
/302-redirect-two /two.html 302
/200-index /index.html 200
/posts/:year/:month/:day/:title /articles/:year/:month/:day/:title 301
/splat/* /redirected-splat/:splat 301
/not-found/* /404.html 404
/gone/* /410.html 410
/unavail/* /451.html 451
/* /index.html 200
";

fn at(file: &str, path: &str) -> Option<(u16, String)> {
    let found = match_path(&parse(file.as_bytes()).expect("a file"), path).expect("a target");
    found.map(|found| (found.status, found.to))
}

fn refusal(file: &str) -> String {
    parse(file.as_bytes()).expect_err("refused").to_string()
}

#[test]
fn the_example_of_the_specification_leads_where_it_says() {
    for (path, status, to) in [
        ("/redirect-one", 301, "/one.html"),
        ("/301-redirect-one", 301, "/one.html"),
        ("/302-redirect-two", 302, "/two.html"),
        ("/200-index", 200, "/index.html"),
        ("/posts/2022/01/01/hello-world", 301, "/articles/2022/01/01/hello-world"),
        ("/splat/one.html", 301, "/redirected-splat/one.html"),
        ("/splat/a/b/c/", 301, "/redirected-splat/a/b/c"),
        ("/not-found/has-no-redirects-entry", 404, "/404.html"),
        ("/gone/has-no-redirects-entry", 410, "/410.html"),
        ("/unavail/x", 451, "/451.html"),
        ("/catch-all", 200, "/index.html"),
        ("/posts/2022/01/01", 200, "/index.html"),
    ] {
        assert_eq!(at(EXAMPLE, path), Some((status, to.to_owned())), "{path}");
    }
}

#[test]
fn rules_match_as_in_the_library_of_kubo() {
    for (file, path, want) in [
        ("/a /b", "/a", Some("/b")),
        ("/a /b", "/a/", Some("/b")),
        ("/a/ /b", "/a", Some("/b")),
        ("/a /b", "/a/c", None),
        ("/a /b", "/A", None),
        ("/a/* /b/:splat", "/a/x/y", Some("/b/x/y")),
        ("/a/* /b/:splat", "/a", None),
        ("/a* /b", "/abc", None),
        ("/:x/y /:x/:x", "/1/y", Some("/1/1")),
        ("/:a/:ab /:ab/:a/:abc", "/1/2", Some("/2/1/2c")),
        ("/:a/* /z?q=:a&r=:splat", "/1/2/3", Some("/z?q=1&r=2/3")),
        ("/:a /:b", "/1", Some("/:b")),
        ("/a /:splat", "/a", Some("/")),
        ("/:splat /x/:splat", "/1", Some("/x/1")),
        ("/* /:splat", "//evil.example/x", Some("/evil.example/x")),
        ("/:a ipfs:a", "/javascript", Some("ipfs:a")),
        // What a client writes is no placeholder.
        ("/:a/:b /:a-:b", "/:b/2", Some("/:b-2")),
        ("/a https://example.net:80/:splat", "/a", Some("https://example.net:80/")),
        ("/é/* ipns://example.net/:splat", "/é/ü", Some("ipns://example.net/%C3%BC")),
        // Whoever is sent elsewhere gets a URL, and whoever is served a path gets it as it was asked for.
        ("/a/* /b/:splat", "/a/x y?", Some("/b/x%20y%3F")),
        ("/a/* /b/:splat 200", "/a/x y?", Some("/b/x y?")),
        ("# /a /c\n\n \t/a\t/b 302 \r\n", "/a", Some("/b")),
        ("/a /b\n/a /c", "/a", Some("/b")),
        ("/ /b", "/", Some("/b")),
        ("", "/a", None),
    ] {
        assert_eq!(at(file, path).map(|found| found.1).as_deref(), want, "{file:?} {path}");
    }
}

#[test]
fn what_is_no_rule_is_refused_with_its_line() {
    for (file, reason) in [
        ("/a /b\n/from", "line 2 of the redirects file: missing 'to' path"),
        ("/a /b 301 x", "must match format"),
        ("/home / 301!", "forced redirects"),
        ("/home / 42", "status code 42 is not supported"),
        ("/home / 300", "status code 300"),
        ("/home / x", "not a number"),
        ("home /b", "path must begin with '/'"),
        ("/a/*/b /b", "path must end with asterisk"),
        ("/a*/* /b", "at most one asterisk"),
        ("/:x/:x /b", "more than once"),
        ("/a b", "invalid URL scheme"),
        ("/a ftp://example.net", "invalid URL scheme"),
        ("/a javascript:alert(1)", "invalid URL scheme"),
        ("/a id=:id", "cannot contain colon"),
        ("/a id=:id /b 301", "must match format"),
        ("/a%zz /b", "invalid URL escape"),
        ("/a /b%4", "invalid URL escape"),
        ("/a\u{1} /b", "control character"),
        ("/a http://exa mple", "parsing status"),
        ("/a http://h:port/", "invalid port"),
    ] {
        let error = refusal(file);
        assert!(error.contains(reason), "{file:?}: {error}");
    }
    for code in [200, 301, 302, 303, 307, 308, 404, 410, 451] {
        assert_eq!(at(&format!("/a /b {code}"), "/a"), Some((code, "/b".into())));
    }
    assert_eq!(parse(&[0xff]), Err(RedirectError::NotText));
    assert_eq!(parse(&vec![b'#'; MAX_FILE + 1]), Err(RedirectError::TooLong));
    assert_eq!(parse(&vec![b'#'; MAX_FILE]), Ok(Vec::new()));
}

#[test]
fn hostile_files_and_paths_take_bounded_time_and_memory() {
    let long = "x".repeat(60_000);
    let many = "/:a x:\n".replace("x:", "/:a").repeat(MAX_FILE / 8);
    assert_eq!(at(&many, &format!("/{long}")).map(|found| found.1.len()), Some(60_001));
    let none = "/:a/:b/c /\n".repeat(MAX_FILE / 11);
    assert_eq!(at(&none, &format!("/{}", "y/".repeat(30_000))), None);
    let wide = format!("/:a /{}", ":a".repeat(MAX_FILE / 2 - 10));
    let rules = parse(wide.as_bytes()).expect("a file");
    assert_eq!(match_path(&rules, &format!("/{long}")), Err(RedirectError::Target));
}

proptest! {
    /// Whatever is accepted matches paths without a panic, and leads to a path or one of the known schemes.
    #[test]
    fn what_is_accepted_can_be_used(
        from in "/[a:*/%é]{0,8}", to in "(/|https://|ipfs:)[a:/?#%splat]{0,12}", path in "/[a:*/é]{0,10}"
    ) {
        let rules = parse(format!("{from} {to}").as_bytes()).unwrap_or_default();
        if let Some(found) = match_path(&rules, &path).expect("short") {
            prop_assert!(["/", "https:", "ipfs:"].iter().any(|start| found.to.starts_with(start)));
            prop_assert_eq!(found.status, 301);
        }
    }

    /// A path that is built from a rule's own segments is matched, and takes the splat along.
    #[test]
    fn a_rule_matches_what_it_was_made_of(parts in prop::collection::vec("[a-z]{1,4}", 1..6), rest in "[a-z/]{0,9}[a-z]") {
        let from: String = parts.iter().enumerate().map(|(i, part)| if i % 2 == 0 { format!("/{part}") } else { format!("/:p{i}") }).collect();
        let to: String = (1..parts.len()).step_by(2).map(|i| format!("/:p{i}")).collect();
        let path = format!("/{}/{rest}", parts.join("/"));
        let want: String = parts.iter().skip(1).step_by(2).map(|part| format!("/{part}")).collect();
        prop_assert_eq!(at(&format!("{from}/* /t{to}/:splat 302"), &path), Some((302, format!("/t{want}/{rest}"))));
    }
}
