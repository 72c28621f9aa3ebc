//! Codecs against Kubo's golden blocks, against other implementations, and against hostile bytes.

mod hostile;
mod kubo;
mod oracle;

use bytes::Bytes;

/// Bytes of hexadecimal text.
fn unhex(hex: &str) -> Bytes {
    let digits = hex.as_bytes();
    assert_eq!(digits.len() % 2, 0, "{hex}");
    digits
        .chunks(2)
        .map(|pair| u8::from_str_radix(std::str::from_utf8(pair).expect("ascii"), 16).expect("hexadecimal"))
        .collect()
}

/// Hexadecimal text of bytes.
fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|b| format!("{b:02x}")).collect()
}
