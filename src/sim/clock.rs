//! The clock of a virtual device: system time plus the device's own error, and the two text forms in use.

use std::time::{SystemTime, UNIX_EPOCH};

/// A clock that is wrong by a fixed number of seconds, as clocks of analyzers are.
#[derive(Debug, Clone, Copy, Default)]
pub struct Clock {
    skew_seconds: i64,
}

impl Clock {
    /// A clock ahead of the system by `skew_seconds` (behind when negative).
    pub fn skewed(skew_seconds: i64) -> Clock {
        Clock { skew_seconds }
    }

    /// What this clock shows now.
    pub fn now(&self) -> Moment {
        let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let unix_ms = i64::try_from(since_epoch.as_millis()).unwrap_or(0);
        Moment { unix_ms: unix_ms + self.skew_seconds * 1_000 }
    }
}

/// A point in time, UTC, in milliseconds since 1970.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Moment {
    /// Milliseconds since 1970-01-01T00:00:00Z.
    pub unix_ms: i64,
}

struct Civil {
    year: i64,
    month: i64,
    day: i64,
    hour: i64,
    minute: i64,
    second: i64,
    milli: i64,
}

impl Moment {
    /// This moment later by `seconds`.
    pub fn plus_seconds(self, seconds: i64) -> Moment {
        Moment { unix_ms: self.unix_ms + seconds * 1_000 }
    }

    /// `YYYYMMDDHHMMSS`, the form of HL7 v2 and LIS2, without a zone as devices send it.
    pub fn compact(self) -> String {
        let c = self.civil();
        format!("{:04}{:02}{:02}{:02}{:02}{:02}", c.year, c.month, c.day, c.hour, c.minute, c.second)
    }

    /// `YYYY-MM-DDTHH:MM:SS.mmmZ`.
    pub fn rfc3339(self) -> String {
        let c = self.civil();
        format!("{:04}-{:02}-{:02}T{:02}:{:02}:{:02}.{:03}Z", c.year, c.month, c.day, c.hour, c.minute, c.second, c.milli)
    }

    /// Reads an RFC 3339 time with `Z` or a numeric offset; none for anything else.
    pub fn parse_rfc3339(text: &str) -> Option<Moment> {
        let number = |from: usize, to: usize| text.get(from..to)?.parse::<i64>().ok();
        let (year, month, day) = (number(0, 4)?, number(5, 7)?, number(8, 10)?);
        let (hour, minute, second) = (number(11, 13)?, number(14, 16)?, number(17, 19)?);
        if !(1..=12).contains(&month) || !(1..=31).contains(&day) || hour > 23 || minute > 59 || second > 60 {
            return None;
        }
        let rest = text.get(19..)?;
        let (fraction, zone) = match rest.strip_prefix('.') {
            Some(after) => after.split_at(after.find(|c: char| !c.is_ascii_digit())?),
            None => ("", rest),
        };
        let milli = format!("{fraction:0<3}").get(..3)?.parse::<i64>().ok()?;
        let offset_minutes = match zone {
            "Z" | "z" => 0,
            _ => offset_minutes(zone)?,
        };
        let seconds = days_from_civil(year, month, day) * 86_400 + hour * 3_600 + minute * 60 + second;
        Some(Moment { unix_ms: (seconds - offset_minutes * 60) * 1_000 + milli })
    }

    fn civil(self) -> Civil {
        let days = self.unix_ms.div_euclid(86_400_000);
        let in_day = self.unix_ms.rem_euclid(86_400_000);
        let (year, month, day) = civil_from_days(days);
        Civil { year, month, day, hour: in_day / 3_600_000, minute: in_day / 60_000 % 60, second: in_day / 1_000 % 60, milli: in_day % 1_000 }
    }
}

fn offset_minutes(zone: &str) -> Option<i64> {
    let sign = match zone.get(..1)? {
        "+" => 1,
        "-" => -1,
        _ => return None,
    };
    let hours = zone.get(1..3)?.parse::<i64>().ok()?;
    let minutes = zone.get(4..6)?.parse::<i64>().ok()?;
    Some(sign * (hours * 60 + minutes))
}

// Howard Hinnant's civil calendar arithmetic: years start in March, so that the leap day is the last of its year.
fn days_from_civil(year: i64, month: i64, day: i64) -> i64 {
    let shifted_year = if month <= 2 { year - 1 } else { year };
    let era = shifted_year.div_euclid(400);
    let year_of_era = shifted_year.rem_euclid(400);
    let day_of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    let day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
    era * 146_097 + day_of_era - 719_468
}

fn civil_from_days(days: i64) -> (i64, i64, i64) {
    let shifted = days + 719_468;
    let era = shifted.div_euclid(146_097);
    let day_of_era = shifted.rem_euclid(146_097);
    let year_of_era = (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_from_march = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month_from_march + 2) / 5 + 1;
    let month = if month_from_march < 10 { month_from_march + 3 } else { month_from_march - 9 };
    let year = year_of_era + era * 400 + i64::from(month <= 2);
    (year, month, day)
}

#[cfg(test)]
mod tests {
    use super::Moment;

    #[test]
    fn known_moments() {
        let cases = [
            (0, "19700101000000", "1970-01-01T00:00:00.000Z"),
            (951_827_696_789, "20000229123456", "2000-02-29T12:34:56.789Z"),
            (1_795_303_016_000, "20261121231656", "2026-11-21T23:16:56.000Z"),
        ];
        for (unix_ms, compact, rfc3339) in cases {
            let moment = Moment { unix_ms };
            assert_eq!(moment.compact(), compact);
            assert_eq!(moment.rfc3339(), rfc3339);
            assert_eq!(Moment::parse_rfc3339(rfc3339), Some(moment));
        }
    }

    #[test]
    fn offsets_and_rubbish() {
        let utc = Moment::parse_rfc3339("2026-01-01T00:00:00Z").unwrap();
        assert_eq!(Moment::parse_rfc3339("2026-01-01T01:30:00+01:30"), Some(utc));
        assert_eq!(Moment::parse_rfc3339("2026-01-01T00:00:00.000000Z"), Some(utc));
        for bad in ["", "2026", "2026-13-01T00:00:00Z", "2026-01-01T00:00:00", "ä026-01-01T00:00:00Z", "2026-01-01T00:00:00.1"] {
            assert_eq!(Moment::parse_rfc3339(bad), None, "{bad}");
        }
    }
}
