//! Moments as IPNS records write them: RFC 3339 with nanoseconds, in UTC.

use cairn_store::calendar::{self, DAY};
use std::{
    fmt,
    str::FromStr,
    time::{Duration, SystemTime},
};

const NANOS: i128 = 1_000_000_000;

/// A moment: nanoseconds since 1970, in UTC, leap seconds left out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Timestamp(i128);

impl Timestamp {
    /// The last moment that has a form: the end of the year 9999.
    pub const MAX: Self = Self(253_402_300_800 * NANOS - 1);

    /// That much later; no later than [`Timestamp::MAX`].
    #[must_use]
    pub fn after(self, duration: Duration) -> Self {
        let nanos = i128::try_from(duration.as_nanos()).unwrap_or(i128::MAX);
        Self(self.0.saturating_add(nanos)).min(Self::MAX)
    }

    /// As the system counts; moments before 1970 are 1970.
    pub fn to_system_time(self) -> SystemTime {
        SystemTime::UNIX_EPOCH + self.since(Self(0))
    }

    /// The time from `earlier` to this moment; zero if it is not earlier.
    pub fn since(self, earlier: Self) -> Duration {
        let nanos = self.0.saturating_sub(earlier.0).max(0);
        let seconds = u64::try_from(nanos / NANOS).unwrap_or(u64::MAX);
        Duration::new(seconds, (nanos % NANOS) as u32)
    }
}

impl From<SystemTime> for Timestamp {
    fn from(time: SystemTime) -> Self {
        let nanos = |d: Duration| i128::try_from(d.as_nanos()).unwrap_or(i128::MAX);
        Self(match time.duration_since(SystemTime::UNIX_EPOCH) {
            Ok(after) => nanos(after),
            Err(before) => -nanos(before.duration()),
        })
    }
}

/// Writes no trailing zeros of a second's fraction, as Go's `RFC3339Nano`.
impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let seconds = i64::try_from(self.0.div_euclid(NANOS)).unwrap_or(i64::MAX);
        f.write_str(&calendar::rfc3339(seconds, self.0.rem_euclid(NANOS) as u32))
    }
}

/// Text that is no moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not a time in RFC 3339")]
pub struct NotATime;

impl FromStr for Timestamp {
    type Err = NotATime;

    /// Digits of a fraction beyond the ninth are dropped, as Go does.
    fn from_str(text: &str) -> Result<Self, NotATime> {
        let bytes = text.as_bytes();
        let number = |from: usize, len: usize| -> Result<i64, NotATime> {
            let digits = bytes.get(from..from + len).ok_or(NotATime)?;
            digits.iter().try_fold(0, |number, digit| match digit {
                b'0'..=b'9' => Ok(10 * number + i64::from(digit - b'0')),
                _ => Err(NotATime),
            })
        };
        for (at, mark) in [(4, b'-'), (7, b'-'), (10, b'T'), (13, b':'), (16, b':')] {
            if bytes.get(at) != Some(&mark) {
                return Err(NotATime);
            }
        }
        let (year, month, day) = (number(0, 4)?, number(5, 2)?, number(8, 2)?);
        let (hour, minute, second) = (number(11, 2)?, number(14, 2)?, number(17, 2)?);
        if !(1..=12).contains(&month) || !(1..=days_of(year, month)).contains(&day) {
            return Err(NotATime);
        }
        if hour > 23 || minute > 59 || second > 59 {
            return Err(NotATime);
        }
        let (nanos, zone) = fraction(&bytes[19..])?;
        let seconds = calendar::days((year, month, day)) * DAY + 3600 * hour + 60 * minute + second - offset(zone)?;
        Ok(Self(i128::from(seconds) * NANOS + i128::from(nanos)))
    }
}

/// Nanoseconds of a fraction, and what follows it.
fn fraction(bytes: &[u8]) -> Result<(i64, &[u8]), NotATime> {
    let Some((b'.' | b',', rest)) = bytes.split_first() else { return Ok((0, bytes)) };
    let len = rest.iter().take_while(|byte| byte.is_ascii_digit()).count();
    if len == 0 {
        return Err(NotATime);
    }
    let digits = (0..9).map(|at| if at < len { i64::from(rest[at] - b'0') } else { 0 });
    Ok((digits.fold(0, |number, digit| 10 * number + digit), &rest[len..]))
}

/// Seconds that a zone (`Z`, `+hh:mm`, `-hh:mm`) is ahead of UTC.
fn offset(zone: &[u8]) -> Result<i64, NotATime> {
    let digit = |byte: u8| if byte.is_ascii_digit() { Ok(i64::from(byte - b'0')) } else { Err(NotATime) };
    match *zone {
        [b'Z'] => Ok(0),
        [sign @ (b'+' | b'-'), h1, h2, b':', m1, m2] => {
            let (hours, minutes) = (10 * digit(h1)? + digit(h2)?, 10 * digit(m1)? + digit(m2)?);
            if hours > 24 || minutes > 60 {
                return Err(NotATime);
            }
            let seconds = 3600 * hours + 60 * minutes;
            Ok(if sign == b'+' { seconds } else { -seconds })
        }
        _ => Err(NotATime),
    }
}

fn days_of(year: i64, month: i64) -> i64 {
    let leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    match month {
        2 => 28 + i64::from(leap),
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn nanos(text: &str) -> Option<i128> {
        text.parse::<Timestamp>().ok().map(|t| t.0)
    }

    #[test]
    fn moments_have_one_form() {
        // Written by Go's time.RFC3339Nano.
        for (nanos, text) in [
            (0, "1970-01-01T00:00:00Z"),
            (1, "1970-01-01T00:00:00.000000001Z"),
            (-1, "1969-12-31T23:59:59.999999999Z"),
            (1_795_436_734_726_805_180, "2026-11-23T12:25:34.72680518Z"),
            (951_782_400 * NANOS, "2000-02-29T00:00:00Z"),
            (Timestamp::MAX.0, "9999-12-31T23:59:59.999999999Z"),
        ] {
            assert_eq!(Timestamp(nanos).to_string(), text);
            assert_eq!(text.parse(), Ok(Timestamp(nanos)), "{text}");
        }
    }

    #[test]
    fn months_are_as_long_as_the_calendar_says() {
        for day in -146_097..146_097 {
            let (year, month, of_month) = calendar::date(day);
            assert!((1..=days_of(year, month)).contains(&of_month));
        }
    }

    #[test]
    fn zones_and_long_fractions_are_read_as_go_reads_them() {
        assert_eq!(nanos("1970-01-01T01:00:00+01:00"), Some(0));
        assert_eq!(nanos("1969-12-31T23:00:00-01:00"), Some(0));
        assert_eq!(nanos("1970-01-01T00:00:00.1234567899Z"), Some(123_456_789));
        assert_eq!(nanos("1970-01-01T00:00:00,5Z"), Some(500_000_000));
    }

    #[test]
    fn what_is_no_moment_is_refused() {
        for text in [
            "",
            "1970-01-01",
            "1970-01-01T00:00:00",
            "1970-01-01 00:00:00Z",
            "1970-01-01t00:00:00z",
            "1970-02-30T00:00:00Z",
            "1970-13-01T00:00:00Z",
            "1970-01-01T24:00:00Z",
            "1970-01-01T00:00:60Z",
            "1970-01-01T00:00:00.Z",
            "1970-01-01T00:00:00+1:00",
            "1970-01-01T00:00:00Zx",
            "+970-01-01T00:00:00Z",
            "1970-01-01T00:00:00é",
        ] {
            assert_eq!(nanos(text), None, "{text:?}");
        }
    }

    #[test]
    fn lifetimes_end_with_the_year_9999() {
        assert_eq!(Timestamp(0).after(Duration::MAX), Timestamp::MAX);
        assert_eq!(Timestamp(5).since(Timestamp(7)), Duration::ZERO);
        assert_eq!(Timestamp(7).since(Timestamp(5)), Duration::from_nanos(2));
        let now = SystemTime::UNIX_EPOCH + Duration::new(1, 5);
        assert_eq!(Timestamp::from(now), Timestamp(NANOS + 5));
    }
}
