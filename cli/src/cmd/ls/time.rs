//! Times as `ls` shows them, in UTC.

use cairn_store::unixfs::node::Mtime;
use std::time::{SystemTime, UNIX_EPOCH};

const MONTHS: [&str; 12] = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
const DAY: i64 = 86_400;

/// Year, month from 1, day from 1.
type Date = (i64, i64, i64);

/// Date of a number of days since 1970-01-01, in the Gregorian calendar.
fn date(days: i64) -> Date {
    // Counted from 0000-03-01, so that a leap day ends its year; 146,097 days make 400 years.
    let days = days + 719_468;
    let (era, day) = (days.div_euclid(146_097), days.rem_euclid(146_097));
    let year = (day - day / 1460 + day / 36_524 - day / 146_096) / 365;
    let day = day - (365 * year + year / 4 - year / 100);
    let month = (5 * day + 2) / 153;
    let day = day - (153 * month + 2) / 5 + 1;
    let month = if month < 10 { month + 3 } else { month - 9 };
    (era * 400 + year + i64::from(month <= 2), month, day)
}

/// Days from 1970-01-01 to a date; months and days beyond their range carry over.
fn days((year, month, day): Date) -> i64 {
    let (year, month) = (year + (month - 1).div_euclid(12), (month - 1).rem_euclid(12) + 1);
    let (year, month) = if month <= 2 { (year - 1, month + 9) } else { (year, month - 3) };
    let (era, of_era) = (year.div_euclid(400), year.rem_euclid(400));
    era * 146_097 + 365 * of_era + of_era / 4 - of_era / 100 + (153 * month + 2) / 5 + day - 1 - 719_468
}

/// As Go prints a time in JSON; without one, the year 1.
pub fn rfc3339(mtime: Option<Mtime>) -> String {
    let Some(Mtime { seconds, nanos }) = mtime else { return "0001-01-01T00:00:00Z".into() };
    let (year, month, day) = date(seconds.div_euclid(DAY));
    let of_day = seconds.rem_euclid(DAY);
    let (hour, minute, second) = (of_day / 3600, of_day / 60 % 60, of_day % 60);
    let fraction = if nanos == 0 { String::new() } else { format!(".{nanos:09}").trim_end_matches('0').to_owned() };
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}{fraction}Z")
}

/// A time of the system's clock, as Go prints it in JSON.
pub fn utc(time: SystemTime) -> String {
    let since = time.duration_since(UNIX_EPOCH).unwrap_or_default();
    rfc3339(Some(Mtime { seconds: i64::try_from(since.as_secs()).unwrap_or(i64::MAX), nanos: since.subsec_nanos() }))
}

/// As `ls -l` prints it: with the time of day within the last six months, else with the year.
pub fn short(mtime: Option<Mtime>, now: SystemTime) -> String {
    let Some(Mtime { seconds, .. }) = mtime else { return "-".into() };
    let now = now.duration_since(UNIX_EPOCH).map_or(0, |d| i64::try_from(d.as_secs()).unwrap_or(i64::MAX));
    let (year, month, day) = date(now / DAY);
    let half_year_ago = days((year, month - 6, day)) * DAY + now % DAY;
    let (year, month, day) = date(seconds.div_euclid(DAY));
    let name = MONTHS[usize::try_from(month - 1).unwrap_or(0)];
    if seconds > half_year_ago && seconds < now + DAY {
        let of_day = seconds.rem_euclid(DAY);
        return format!("{name} {day:02} {:02}:{:02}", of_day / 3600, of_day / 60 % 60);
    }
    format!("{name} {day:02}  {year:04}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    fn at(seconds: i64, nanos: u32) -> Option<Mtime> {
        Some(Mtime { seconds, nanos })
    }

    #[test]
    fn times_are_those_of_date() {
        // From `date -u -d @N`.
        assert_eq!(rfc3339(at(0, 0)), "1970-01-01T00:00:00Z");
        assert_eq!(rfc3339(at(951_782_400, 0)), "2000-02-29T00:00:00Z");
        assert_eq!(rfc3339(at(1_700_000_000, 120_000_000)), "2023-11-14T22:13:20.12Z");
        assert_eq!(rfc3339(at(-1, 0)), "1969-12-31T23:59:59Z");
        assert_eq!(rfc3339(None), "0001-01-01T00:00:00Z");
    }

    #[test]
    fn every_day_comes_back() {
        for day in (-800_000..800_000).step_by(61) {
            assert_eq!(days(date(day)), day);
        }
        assert_eq!(days((2026, 0, 31)), days((2025, 12, 31)));
    }

    #[test]
    fn old_and_future_times_show_their_year() {
        let now = UNIX_EPOCH + Duration::from_secs(1_700_000_000);
        assert_eq!(short(at(1_699_990_000, 0), now), "Nov 14 19:26");
        assert_eq!(short(at(1_600_000_000, 0), now), "Sep 13  2020");
        assert_eq!(short(at(1_700_090_000, 0), now), "Nov 15  2023");
        assert_eq!(short(None, now), "-");
    }
}
