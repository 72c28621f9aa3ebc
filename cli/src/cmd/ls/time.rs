//! Times as `ls` shows them, in UTC.

use cairn_store::{
    calendar::{self, DAY, date, days},
    unixfs::node::Mtime,
};
use std::time::{SystemTime, UNIX_EPOCH};

const MONTHS: [&str; 12] = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];

/// Name of a month, 1 to 12, in three letters.
pub fn month_name(month: i64) -> &'static str {
    MONTHS[usize::try_from(month - 1).unwrap_or(0)]
}

/// As Go prints a time in JSON; without one, the year 1.
pub fn rfc3339(mtime: Option<Mtime>) -> String {
    let Some(Mtime { seconds, nanos }) = mtime else { return "0001-01-01T00:00:00Z".into() };
    calendar::rfc3339(seconds, nanos)
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
    let name = month_name(month);
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
    fn no_time_is_the_year_1() {
        assert_eq!(rfc3339(None), "0001-01-01T00:00:00Z");
        assert_eq!(rfc3339(at(1_700_000_000, 120_000_000)), "2023-11-14T22:13:20.12Z");
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
