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
}
