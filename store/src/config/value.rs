//! Values of the configuration that are written as text: durations and sizes.

use std::time::Duration;

/// Unit of a duration, and its length in nanoseconds.
const DURATIONS: [(&str, u64); 8] = [
    ("ns", 1),
    ("us", 1_000),
    ("µs", 1_000),
    ("μs", 1_000),
    ("ms", 1_000_000),
    ("s", 1_000_000_000),
    ("m", 60_000_000_000),
    ("h", 3_600_000_000_000),
];

/// Unit of a size, and its length in bytes. Decimal and binary units are different things.
const SIZES: [(&str, u64); 7] = [
    ("", 1),
    ("k", 1_000),
    ("m", 1_000_000),
    ("g", 1_000_000_000),
    ("t", 1_000_000_000_000),
    ("p", 1_000_000_000_000_000),
    ("e", 1_000_000_000_000_000_000),
];

/// Reads a duration as Go writes them: `300ms`, `1.5h`, `2h45m`, `0`. Negative ones are refused.
///
/// # Errors
/// A sentence that says what is wanted.
pub fn parse_duration(text: &str) -> Result<Duration, String> {
    let refuse = || format!("{text:?} is not a duration: write for example 30s, 5m or 1h30m");
    if text == "0" {
        return Ok(Duration::ZERO);
    }
    let mut rest = text;
    let mut nanos = 0f64;
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit() && c != '.').ok_or_else(refuse)?;
        let number: f64 = rest[..digits].parse().map_err(|_| refuse())?;
        let after = &rest[digits..];
        let unit_len = after.find(|c: char| c.is_ascii_digit() || c == '.').unwrap_or(after.len());
        let (_, factor) = DURATIONS.iter().find(|(unit, _)| *unit == &after[..unit_len]).ok_or_else(refuse)?;
        nanos += number * *factor as f64;
        rest = &after[unit_len..];
    }
    // Go counts nanoseconds in 63 bits.
    if text.is_empty() || !(nanos.is_finite() && nanos < i64::MAX as f64) {
        return Err(refuse());
    }
    Ok(Duration::from_nanos(nanos as u64))
}

/// Reads a size as Kubo does: `10GB` (decimal), `10GiB` (binary), `512k`, `1.5 MiB`, `1,000`, in any case.
///
/// # Errors
/// A sentence that says what is wanted.
pub fn parse_size(text: &str) -> Result<u64, String> {
    let refuse = || format!("{text:?} is not a size: write for example 10GB, 512MiB or 1000000");
    let end = text.find(|c: char| !c.is_ascii_digit() && c != '.' && c != ',').unwrap_or(text.len());
    let number: f64 = text[..end].replace(',', "").parse().map_err(|_| refuse())?;
    let unit = text[end..].trim().to_lowercase();
    let unit = unit.strip_suffix('b').unwrap_or(&unit);
    let (letter, binary) = match unit.strip_suffix('i') {
        Some(letter) if !letter.is_empty() => (letter, true),
        _ => (unit, false),
    };
    let power = SIZES.iter().position(|(name, _)| *name == letter).ok_or_else(refuse)?;
    let factor = if binary { 1u64 << (10 * power) } else { SIZES[power].1 };
    let bytes = number * factor as f64;
    if !(bytes.is_finite() && bytes < u64::MAX as f64) {
        return Err(refuse());
    }
    Ok(bytes as u64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_read_as_go_writes_them() {
        let cases = [
            ("0", 0),
            ("1ns", 1),
            ("300ms", 300_000_000),
            ("1.5h", 5_400_000_000_000),
            ("2h45m", 9_900_000_000_000),
            ("1m0s", 60_000_000_000),
            ("22h0m0s", 79_200_000_000_000),
        ];
        for (text, nanos) in cases {
            assert_eq!(parse_duration(text), Ok(Duration::from_nanos(nanos)), "{text}");
        }
        // The last one is beyond the 292 years that fit 63 bits of nanoseconds.
        for text in ["", "5", "h", "1x", "-1s", "1.2.3s", ".s", "s1", "1 s", "9999999999h"] {
            assert!(parse_duration(text).is_err(), "{text:?}");
        }
    }

    #[test]
    fn sizes_are_read_as_kubo_reads_them() {
        let cases = [
            ("0", 0),
            ("42", 42),
            ("42B", 42),
            ("10GB", 10_000_000_000),
            ("10gb", 10_000_000_000),
            ("10 GB", 10_000_000_000),
            ("10GiB", 10 << 30),
            ("256KiB", 256 << 10),
            ("256k", 256_000),
            ("256ki", 256 << 10),
            ("1.5MiB", 3 << 19),
            ("1,000", 1000),
            ("15EiB", 15 << 60),
        ];
        for (text, bytes) in cases {
            assert_eq!(parse_size(text), Ok(bytes), "{text}");
        }
        // 16 EiB is one more byte than 64 bits count.
        for text in ["", "GB", "-1GB", "10QB", "10 G B", "1.2.3", "i", "10ib", "16EiB", "nan", "1e3"] {
            assert!(parse_size(text).is_err(), "{text:?}");
        }
    }
}
