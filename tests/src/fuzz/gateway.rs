//! What a gateway reads from sites, operators and clients.

use cairn_gateway::{car::CarAsk, deny, redirects};

/// A file of redirects, and after a zero byte a path. What it leads to is a path, or a URL of a known scheme.
pub fn redirects(data: &[u8]) {
    let end = data.iter().position(|&byte| byte == 0).unwrap_or(data.len());
    let (file, path) = data.split_at(end);
    let Ok(rules) = redirects::parse(file) else { return };
    let path = format!("/{}", String::from_utf8_lossy(path));
    let Ok(Some(found)) = redirects::match_path(&rules, &path) else { return };
    assert!([200, 301, 302, 303, 307, 308, 404, 410, 451].contains(&found.status));
    let scheme = found.to.split(':').next().unwrap_or_default().to_ascii_lowercase();
    assert!(
        found.to.starts_with('/') || ["http", "https", "ipfs", "ipns"].contains(&scheme.as_str()),
        "{:?}",
        found.to
    );
}

/// Each line is a rule, or is told, or says nothing.
pub fn deny(data: &[u8]) {
    let lines = data.split(|&byte| byte == b'\n').count();
    let (rules, warnings) = deny::lint(data);
    assert!(
        rules <= 2 * lines && warnings.len() <= lines,
        "{rules} rules, {} warnings of {lines} lines",
        warnings.len()
    );
}

/// Parameters of a CAR, one a line; those of the query begin with `?`.
pub fn car_ask(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    let pairs: Vec<(&str, &str)> = text.lines().filter_map(|line| line.split_once('=')).collect();
    let find = |name: &str| pairs.iter().find(|pair| pair.0 == name).map(|pair| pair.1);
    let Ok(ask) = CarAsk::parse(|name| find(&format!("?{name}")), find) else { return };
    assert!(ask.content_type().starts_with("application/vnd.ipld.car; version=1; "));
    for size in [0, 1, 1000, u64::MAX] {
        let (from, to) = ask.range.map_or((0, u64::MAX), |range| range.within(size));
        assert!(from <= to);
    }
}
