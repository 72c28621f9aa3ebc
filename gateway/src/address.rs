//! Addresses of content as people paste them.

use crate::label;
use cairn_store::path::Path;
use percent_encoding::percent_decode_str;

/// The path that somebody means who wrote a CID, a path, a URI, the URL of a gateway, or the name of a website.
pub fn meant(text: &str) -> Option<Path> {
    let text = text.trim();
    let Some((scheme, rest)) = text.split_once(':') else { return of_path(text, false) };
    let rest = rest.trim_start_matches('/');
    match scheme.to_ascii_lowercase().as_str() {
        scheme @ ("ipfs" | "ipns") => of_path(&format!("/{scheme}/{rest}"), true),
        "dweb" => of_path(&format!("/{rest}"), true),
        "http" | "https" => of_url(rest),
        _ => of_path(text, false),
    }
}

/// A path, with its namespace or without; of a URI, escapes are decoded, and what is for the browser is left out.
fn of_path(text: &str, uri: bool) -> Option<Path> {
    let end = if uri { text.find(['?', '#']).unwrap_or(text.len()) } else { text.len() };
    let text = &text[..end];
    let decoded = if uri { percent_decode_str(text).decode_utf8().ok()?.into_owned() } else { text.to_owned() };
    if let Ok(path) = Path::parse(&decoded).or_else(|_| Path::parse(&format!("/{decoded}"))) {
        return Some(path);
    }
    let name = decoded.split('/').next()?;
    let is_website = name.contains('.') && label::is_domain(name);
    Path::parse(&format!("/ipns/{decoded}")).ok().filter(|_| is_website)
}

/// The path of a URL without its scheme: of a gateway of paths or of subdomains, or of a website.
fn of_url(rest: &str) -> Option<Path> {
    let at = rest.find(['/', '?', '#']).unwrap_or(rest.len());
    let (host, path) = rest.split_at(at);
    if path.starts_with("/ipfs/") || path.starts_with("/ipns/") {
        return of_path(path, true);
    }
    let by_label = ["ipfs", "ipns"].iter().find_map(|namespace| {
        let (root, _) = host.split_once(&format!(".{namespace}."))?;
        of_path(&format!("/{namespace}/{root}{path}"), true)
    });
    by_label.or_else(|| of_path(&format!("{}{path}", crate::host::without_port(host)), true))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_that_people_paste_is_understood() {
        const CID: &str = "bafkreifjjcie6lypi6ny7amxnfftagclbuxndqonfipmb64f2km2devei4";
        for (text, path) in [
            (format!(" {CID} "), Some(format!("/ipfs/{CID}"))),
            (format!("{CID}/a b%20"), Some(format!("/ipfs/{CID}/a b%20"))),
            (format!("ipfs/{CID}"), Some(format!("/ipfs/{CID}"))),
            (format!("/ipfs/{CID}/a/"), Some(format!("/ipfs/{CID}/a/"))),
            (format!("ipfs://{CID}/a%20b?x=1#f"), Some(format!("/ipfs/{CID}/a b"))),
            ("IPNS://docs.ipfs.tech/x".into(), Some("/ipns/docs.ipfs.tech/x".into())),
            (format!("dweb:/ipfs/{CID}"), Some(format!("/ipfs/{CID}"))),
            (format!("https://dweb.link/ipfs/{CID}/a"), Some(format!("/ipfs/{CID}/a"))),
            (format!("http://{CID}.ipfs.localhost:8080/a?b"), Some(format!("/ipfs/{CID}/a"))),
            ("https://docs.ipfs.tech/install/".into(), Some("/ipns/docs.ipfs.tech/install/".into())),
            ("docs.ipfs.tech".into(), Some("/ipns/docs.ipfs.tech".into())),
            ("nonsense".into(), None),
            ("javascript:alert(1)".into(), None),
            (String::new(), None),
        ] {
            assert_eq!(meant(&text).map(|path| path.to_string()), path, "{text}");
        }
    }
}
