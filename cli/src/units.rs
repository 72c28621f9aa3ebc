//! Sizes as people write them.

/// A size with a decimal unit and two or three digits, as Kubo prints sizes: `132 B`, `1.5 kB`, `68 kB`.
pub fn decimal(bytes: u64) -> String {
    const UNITS: [&str; 7] = ["B", "kB", "MB", "GB", "TB", "PB", "EB"];
    if bytes < 10 {
        return format!("{bytes} B");
    }
    let mut unit = 0;
    let mut scale = 1_u64;
    while unit + 1 < UNITS.len() && bytes / scale >= 1000 {
        scale *= 1000;
        unit += 1;
    }
    // One decimal is enough below ten; rounded to the nearest.
    let tenths = (u128::from(bytes) * 10 + u128::from(scale) / 2) / u128::from(scale);
    if tenths < 100 && unit > 0 {
        format!("{}.{} {}", tenths / 10, tenths % 10, UNITS[unit])
    } else {
        format!("{} {}", (tenths + 5) / 10, UNITS[unit])
    }
}

/// The bytes that a size such as `10GB`, `1.5 GiB` or `512` means.
pub fn parse(text: &str) -> Option<u64> {
    let text = text.trim();
    let digits = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
    let number: f64 = text[..digits].parse().ok()?;
    let unit = text[digits..].trim().to_ascii_lowercase();
    let power = |letter: char| "kmgtpe".find(letter).and_then(|n| i32::try_from(n + 1).ok());
    let factor = match unit.as_str() {
        "" | "b" => 1.0,
        unit => {
            let base = if unit.ends_with("ib") || unit.ends_with('i') { 1024.0_f64 } else { 1000.0 };
            if !matches!(&unit[1..], "" | "b" | "i" | "ib") {
                return None;
            }
            base.powi(power(unit.chars().next()?)?)
        }
    };
    let bytes = number * factor;
    (bytes.is_finite() && bytes < u64::MAX as f64).then_some(bytes as u64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_printed_as_kubo_prints_them() {
        // Values of go-humanize's Bytes.
        for (bytes, text) in [
            (0, "0 B"),
            (9, "9 B"),
            (132, "132 B"),
            (999, "999 B"),
            (1000, "1.0 kB"),
            (1234, "1.2 kB"),
            (66_869, "67 kB"),
            (68_000, "68 kB"),
            (9_990_000, "10 MB"),
            (10_000_000_000, "10 GB"),
        ] {
            assert_eq!(decimal(bytes), text, "{bytes}");
        }
    }

    #[test]
    fn sizes_are_read_in_both_systems() {
        assert_eq!(parse("10GB"), Some(10_000_000_000));
        assert_eq!(parse("1.5 GiB"), Some(1_610_612_736));
        assert_eq!(parse("512"), Some(512));
        assert_eq!(parse("2k"), Some(2000));
        for bad in ["", "GB", "10 parsecs", "1e5", "99999999999EB", "10€"] {
            assert_eq!(parse(bad), None, "{bad:?}");
        }
    }
}
