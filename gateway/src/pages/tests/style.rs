//! What the style and the headers promise.

use super::{
    super::{STYLE, csp, home_csp},
    html::{self, Token},
    samples,
};
use cairn_store::hash::sha256;
use multibase::Base;

#[test]
fn the_policy_allows_the_style_and_script_of_every_page_and_nothing_else() {
    for (name, page) in samples::all() {
        let policy = if name == "home" { home_csp() } else { csp() };
        let tokens = html::read(&page);
        for pair in tokens.windows(2) {
            let [Token::Open(tag, _), Token::Text(text)] = pair else { continue };
            if tag == "style" || tag == "script" {
                let source = format!("{tag}-src 'sha256-{}';", Base::Base64Pad.encode(sha256(text.as_bytes())));
                assert!(policy.contains(&source), "{name}: {source} is not in {policy}");
            }
        }
        assert!(policy.starts_with("default-src 'none';") && !policy.contains("unsafe"));
    }
}

#[test]
fn nothing_is_loaded_from_elsewhere() {
    assert!(!STYLE.contains("url(") && !STYLE.contains("@import"));
    for (name, page) in samples::all() {
        for token in html::read(&page) {
            let Token::Open(tag, attributes) = token else { continue };
            for (attribute, value) in attributes {
                let own = value.starts_with("/ipfs/") || value.starts_with("data:image/svg+xml,");
                assert!(attribute != "src" || own, "{name}: <{tag} {attribute}={value}>");
                assert!(tag != "link" || attribute != "href" || own, "{name}: <{tag} {attribute}={value}>");
            }
        }
    }
}

/// Contrast of two colours (WCAG 2.2, 1.4.3).
fn contrast(a: &str, b: &str) -> f64 {
    let luminance = |colour: &str| {
        let channel = |at: usize| {
            let value = f64::from(u8::from_str_radix(&colour[at..at + 2], 16).expect("a colour")) / 255.0;
            if value <= 0.04045 { value / 12.92 } else { ((value + 0.055) / 1.055).powf(2.4) }
        };
        0.2126 * channel(1) + 0.7152 * channel(3) + 0.0722 * channel(5)
    };
    let (a, b) = (luminance(a), luminance(b));
    (a.max(b) + 0.05) / (a.min(b) + 0.05)
}

#[test]
fn text_has_the_contrast_that_reading_needs() {
    let schemes: Vec<&str> = STYLE.match_indices(":root{").map(|(at, _)| &STYLE[at..]).collect();
    assert_eq!(schemes.len(), 2, "light and dark");
    for scheme in schemes {
        let colour = |name: &str| {
            let at = scheme.find(&format!("--{name}:#")).expect("a colour") + name.len() + 3;
            &scheme[at..at + 7]
        };
        for (text, ground) in [
            ("ink", "paper"),
            ("soft", "paper"),
            ("moss", "paper"),
            ("ink", "lift"),
            ("soft", "lift"),
            ("moss", "lift"),
            ("rust", "rust-lift"),
            ("ink", "rust-lift"),
        ] {
            let contrast = contrast(colour(text), colour(ground));
            assert!(contrast >= 4.5, "{text} {} on {ground} {}: {contrast:.2}", colour(text), colour(ground));
        }
    }
}
