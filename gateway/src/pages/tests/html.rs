//! A small reader of HTML: what a browser's tokenizer makes of a page, and a panic where it would have to mend something.

/// A piece of a page.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Token {
    /// `<name attribute=value>`, values decoded.
    Open(String, Vec<(String, String)>),
    /// `</name>`
    Close(String),
    /// Decoded text, or the raw content of a style or script.
    Text(String),
}

/// Reads a whole page.
pub(super) fn read(page: &str) -> Vec<Token> {
    let mut rest = page.strip_prefix("<!DOCTYPE html>").expect("a document type");
    let mut tokens = Vec::new();
    while !rest.is_empty() {
        let raw = match tokens.last() {
            Some(Token::Open(name, _)) if ["style", "script", "title"].contains(&name.as_str()) => Some(name.clone()),
            _ => None,
        };
        let end = match &raw {
            Some(name) => rest.to_ascii_lowercase().find(&format!("</{name}")).expect("an end of raw text"),
            None => rest.find('<').unwrap_or(rest.len()),
        };
        let text = &rest[..end];
        rest = &rest[end..];
        if raw.as_deref().is_some_and(|name| name != "title") {
            tokens.push(Token::Text(text.to_owned()));
        } else if !text.is_empty() {
            tokens.push(Token::Text(decode(text)));
        }
        if !rest.is_empty() {
            let (token, after) = tag(rest);
            tokens.push(token);
            rest = after;
        }
    }
    tokens
}

fn tag(text: &str) -> (Token, &str) {
    let after = &text[1..];
    let (close, after) = after.strip_prefix('/').map_or((false, after), |after| (true, after));
    let len = after.find(|c: char| !c.is_ascii_alphanumeric()).expect("an end of the tag's name");
    assert!(len > 0 && after.starts_with(|c: char| c.is_ascii_alphabetic()), "a stray <: {:?}", head(text));
    let (name, mut rest) = after.split_at(len);
    let mut attributes = Vec::new();
    loop {
        rest = rest.trim_start_matches([' ', '\n']);
        if let Some(rest) = rest.strip_prefix('>').or_else(|| rest.strip_prefix("/>")) {
            let name = name.to_owned();
            assert!(!close || attributes.is_empty(), "an end tag with attributes: {:?}", head(text));
            return (if close { Token::Close(name) } else { Token::Open(name, attributes) }, rest);
        }
        let len = rest.find(|c: char| !c.is_ascii_alphanumeric() && c != '-').expect("an end of the attribute's name");
        assert!(len > 0, "no attribute's name: {:?}", head(rest));
        let attribute = rest[..len].to_owned();
        rest = &rest[len..];
        let mut value = "";
        if let Some(after) = rest.strip_prefix("=\"") {
            (value, rest) = after.split_once('"').expect("an end of the value");
            assert!(rest.starts_with([' ', '\n', '>', '/']), "a value runs into what follows: {:?}", head(rest));
        } else if let Some(after) = rest.strip_prefix('=') {
            let len = after.find([' ', '\n', '>']).expect("an end of the value");
            (value, rest) = after.split_at(len);
            assert!(!value.is_empty() && !value.contains(['"', '\'', '`', '<', '=']), "an unquoted {value:?}");
        }
        assert!(!value.contains('<'), "a < in a value: {value:?}");
        assert!(attributes.iter().all(|(name, _)| *name != attribute), "{attribute} twice");
        attributes.push((attribute, decode(value)));
    }
}

fn head(text: &str) -> &str {
    &text[..text.floor_char_boundary(60)]
}

/// Decodes the entities that pages use; any other `&` is a mistake.
fn decode(text: &str) -> String {
    let mut out = String::new();
    let mut rest = text;
    while let Some((before, after)) = rest.split_once('&') {
        assert!(!before.contains('>'), "a stray > in {before:?}");
        out.push_str(before);
        let (entity, after) = after.split_once(';').expect("an end of the entity");
        out.push(match entity {
            "amp" => '&',
            "lt" => '<',
            "gt" => '>',
            "quot" => '"',
            "#39" => '\'',
            "#96" => '`',
            other => panic!("an unknown entity: {other:?}"),
        });
        rest = after;
    }
    assert!(!rest.contains('>'), "a stray > in {rest:?}");
    out.push_str(rest);
    out
}

/// All values of an attribute, in their order.
pub(super) fn values(tokens: &[Token], wanted: &str) -> Vec<String> {
    let attributes = tokens.iter().flat_map(|token| match token {
        Token::Open(_, attributes) => attributes.as_slice(),
        _ => &[],
    });
    attributes.filter(|(name, _)| name == wanted).map(|(_, value)| value.clone()).collect()
}

/// All text between two tags of one name, once for each such element.
pub(super) fn inside(tokens: &[Token], wanted: &str) -> Vec<String> {
    let mut found = Vec::new();
    let mut current: Option<String> = None;
    for token in tokens {
        match (token, &mut current) {
            (Token::Open(name, _), None) if name == wanted => current = Some(String::new()),
            (Token::Close(name), Some(_)) if name == wanted => found.extend(current.take()),
            (Token::Text(text), Some(current)) => current.push_str(text),
            _ => {}
        }
    }
    found
}
