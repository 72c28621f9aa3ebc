//! Days and dates of the Gregorian calendar, in UTC.

/// Seconds of a day.
pub const DAY: i64 = 86_400;

/// Year, month from 1, day from 1.
pub type Date = (i64, i64, i64);

/// Date of a number of days since 1970-01-01.
pub fn date(days: i64) -> Date {
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
pub fn days((year, month, day): Date) -> i64 {
    let (year, month) = (year + (month - 1).div_euclid(12), (month - 1).rem_euclid(12) + 1);
    let (year, month) = if month <= 2 { (year - 1, month + 9) } else { (year, month - 3) };
    let (era, of_era) = (year.div_euclid(400), year.rem_euclid(400));
    era * 146_097 + 365 * of_era + of_era / 4 - of_era / 100 + (153 * month + 2) / 5 + day - 1 - 719_468
}

/// A moment as Go prints it in JSON (RFC 3339, in UTC, no zeros at the end): seconds since 1970, and nanoseconds.
pub fn rfc3339(seconds: i64, nanos: u32) -> String {
    let (year, month, day) = date(seconds.div_euclid(DAY));
    let of_day = seconds.rem_euclid(DAY);
    let (hour, minute, second) = (of_day / 3600, of_day / 60 % 60, of_day % 60);
    let fraction = if nanos == 0 { String::new() } else { format!(".{nanos:09}").trim_end_matches('0').to_owned() };
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}{fraction}Z")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_those_of_date() {
        // From `date -u -d @N`.
        assert_eq!(rfc3339(0, 0), "1970-01-01T00:00:00Z");
        assert_eq!(rfc3339(951_782_400, 0), "2000-02-29T00:00:00Z");
        assert_eq!(rfc3339(1_700_000_000, 120_000_000), "2023-11-14T22:13:20.12Z");
        assert_eq!(rfc3339(-1, 0), "1969-12-31T23:59:59Z");
    }

    #[test]
    fn every_day_comes_back() {
        for day in (-146_097..146_097).chain((-800_000..800_000).step_by(61)) {
            assert_eq!(days(date(day)), day);
        }
        assert_eq!(days((2026, 0, 31)), days((2025, 12, 31)));
    }
}
