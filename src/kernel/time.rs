//! Time as a value: UTC instants, calendar dates and monotonic ticks. Nobody here asks a clock.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize, Serializer};

use super::Invalid;

/// An instant in UTC, in microseconds since 1970-01-01; printed as RFC 3339.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Deserialize)]
#[serde(try_from = "String")]
pub struct Timestamp(i64);

impl Timestamp {
    /// The instant `micros` microseconds after 1970-01-01T00:00:00Z.
    pub const fn from_micros(micros: i64) -> Self {
        Self(micros)
    }

    /// Microseconds since 1970-01-01T00:00:00Z.
    pub const fn micros(self) -> i64 {
        self.0
    }

    /// This instant and `seconds` more (or fewer, when negative).
    pub const fn plus_seconds(self, seconds: i64) -> Self {
        Self(self.0.saturating_add(seconds.saturating_mul(1_000_000)))
    }

    /// Whole seconds from `earlier` to this instant; negative when this one is before it.
    pub const fn seconds_since(self, earlier: Timestamp) -> i64 {
        self.0.saturating_sub(earlier.0) / 1_000_000
    }

    /// The UTC calendar date of this instant.
    pub fn date(self) -> Date {
        let days = self.0.div_euclid(86_400_000_000);
        Date::from_epoch_days(days)
    }

    /// Year, month, day, hour, minute, second and microsecond in UTC. Written out, since every event prints several times
    /// (days to civil date after Howard Hinnant's algorithm, proleptic Gregorian calendar).
    fn civil(self) -> [i64; 7] {
        let (days, rest) = (self.0.div_euclid(86_400_000_000), self.0.rem_euclid(86_400_000_000));
        let shifted = days + 719_468;
        let era = shifted.div_euclid(146_097);
        let day_of_era = shifted.rem_euclid(146_097);
        let year_of_era = (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
        let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
        let month_from_march = (5 * day_of_year + 2) / 153;
        let day = day_of_year - (153 * month_from_march + 2) / 5 + 1;
        let month = if month_from_march < 10 { month_from_march + 3 } else { month_from_march - 9 };
        let year = year_of_era + era * 400 + i64::from(month <= 2);
        let second = rest / 1_000_000;
        [year, month, day, second / 3_600, second / 60 % 60, second % 60, rest % 1_000_000]
    }
}

impl Timestamp {
    /// As HL7 v2 writes it (DTM, v2.8.2 2A.3.22): `YYYYMMDDHHMMSS+0000`.
    pub fn hl7(self) -> String {
        let [year, month, day, hour, minute, second, _] = self.civil();
        format!("{year:04}{month:02}{day:02}{hour:02}{minute:02}{second:02}+0000")
    }
}

/// Characters of a printed instant of the years 0 to 9999.
const PRINTED: usize = 27;

impl Timestamp {
    /// The printed form, without the machinery of `format!`: every event prints several instants.
    fn printed(self) -> Option<[u8; PRINTED]> {
        let [year, month, day, hour, minute, second, micro] = self.civil();
        if !(0..=9_999).contains(&year) {
            return None;
        }
        let mut text = *b"0000-00-00T00:00:00.000000Z";
        for (end, width, mut number) in [(4, 4, year), (7, 2, month), (10, 2, day), (13, 2, hour), (16, 2, minute), (19, 2, second), (26, 6, micro)] {
            for digit in text.get_mut(end - width..end).unwrap_or_default().iter_mut().rev() {
                *digit += (number % 10) as u8;
                number /= 10;
            }
        }
        Some(text)
    }
}

impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(text) = self.printed().as_ref().and_then(|text| std::str::from_utf8(text).ok()) {
            return f.write_str(text);
        }
        let [year, month, day, hour, minute, second, micro] = self.civil();
        write!(f, "{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{micro:06}Z")
    }
}

impl Serialize for Timestamp {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self.printed().as_ref().and_then(|text| std::str::from_utf8(text).ok()) {
            Some(text) => serializer.serialize_str(text),
            None => serializer.collect_str(self),
        }
    }
}

impl FromStr for Timestamp {
    type Err = Invalid;
    fn from_str(text: &str) -> Result<Self, Invalid> {
        let parsed: jiff::Timestamp = text.parse().map_err(|error: jiff::Error| Invalid::new("timestamp", text, error.to_string()))?;
        Ok(Self(parsed.as_microsecond()))
    }
}

impl TryFrom<String> for Timestamp {
    type Error = Invalid;
    fn try_from(text: String) -> Result<Self, Invalid> {
        text.parse()
    }
}

/// A calendar date without zone, printed `2026-11-30`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Date {
    year: i16,
    month: i8,
    day: i8,
}

impl Date {
    /// The date, or an error when there is none such.
    pub fn new(year: i16, month: i8, day: i8) -> Result<Self, Invalid> {
        jiff::civil::Date::new(year, month, day)
            .map(|_| Self { year, month, day })
            .map_err(|_| Invalid::new("date", &format!("{year:04}-{month:02}-{day:02}"), "there is no such day"))
    }

    /// The year.
    pub fn year(self) -> i16 {
        self.year
    }

    /// Its first instant, in UTC.
    pub fn midnight(self) -> Timestamp {
        let date = jiff::civil::Date::new(self.year, self.month, self.day).unwrap_or_default();
        let at = date.to_zoned(jiff::tz::TimeZone::UTC).map(|zoned| zoned.timestamp().as_microsecond());
        Timestamp::from_micros(at.unwrap_or_default())
    }

    /// The last day of a month: what day 00 means in GS1 dates (GS1 General Specifications, 3.4.2).
    pub fn month_end(year: i16, month: i8) -> Result<Self, Invalid> {
        let first = jiff::civil::Date::new(year, month, 1).map_err(|_| Invalid::new("date", &format!("{year:04}-{month:02}"), "there is no such month"))?;
        Ok(Self { year, month, day: first.days_in_month() })
    }

    fn from_epoch_days(days: i64) -> Self {
        let date = jiff::Timestamp::from_second(days.saturating_mul(86_400)).unwrap_or(jiff::Timestamp::UNIX_EPOCH).to_zoned(jiff::tz::TimeZone::UTC).date();
        Self { year: date.year(), month: date.month(), day: date.day() }
    }

    /// Year, month (1 to 12) and day (1 to 31).
    pub const fn parts(self) -> (i16, i8, i8) {
        (self.year, self.month, self.day)
    }

    /// `YYMMDD` as a number, the head of our accession numbers.
    pub fn short(self) -> u32 {
        let year = u32::try_from(self.year.rem_euclid(100)).unwrap_or(0);
        year * 10_000 + u32::from(self.month.unsigned_abs()) * 100 + u32::from(self.day.unsigned_abs())
    }
}

impl fmt::Display for Date {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:04}-{:02}-{:02}", self.year, self.month, self.day)
    }
}

impl FromStr for Date {
    type Err = Invalid;
    fn from_str(text: &str) -> Result<Self, Invalid> {
        let date: jiff::civil::Date = text.parse().map_err(|_| Invalid::new("date", text, "a date is YYYY-MM-DD"))?;
        Ok(Self { year: date.year(), month: date.month(), day: date.day() })
    }
}

impl TryFrom<String> for Date {
    type Error = Invalid;
    fn try_from(text: String) -> Result<Self, Invalid> {
        text.parse()
    }
}

impl From<Date> for String {
    fn from(date: Date) -> String {
        date.to_string()
    }
}

/// A device's local time as digits (`YYYYMMDD[HHMM[SS]]`, HL7 v2 DTM and LIS2-A2 6.6.2) read in a fixed offset.
/// `offset_minutes` is used when the text carries no offset of its own (`+0100`). Fractions of a second are kept to microseconds.
pub fn parse_device_time(text: &str, offset_minutes: i32) -> Result<Timestamp, Invalid> {
    let wrong = |why: &str| Invalid::new("device time", text, why);
    let trimmed = text.trim();
    let (clock, offset_minutes) = match trimmed.rfind(['+', '-']) {
        Some(at) if at >= 8 => {
            let (clock, zone) = trimmed.split_at(at);
            let sign = if zone.starts_with('-') { -1 } else { 1 };
            let digits = &zone[1..];
            if digits.len() != 4 || !digits.bytes().all(|b| b.is_ascii_digit()) {
                return Err(wrong("an offset is +HHMM or -HHMM"));
            }
            let number: i32 = digits.parse().map_err(|_| wrong("an offset is +HHMM or -HHMM"))?;
            (clock, sign * (number / 100 * 60 + number % 100))
        }
        _ => (trimmed, offset_minutes),
    };
    let (whole, fraction) = clock.split_once('.').unwrap_or((clock, ""));
    if !whole.bytes().all(|b| b.is_ascii_digit()) || !matches!(whole.len(), 8 | 10 | 12 | 14) {
        return Err(wrong("a time is YYYYMMDD[HH[MM[SS]]]"));
    }
    let number = |from: usize, to: usize| whole.get(from..to).map_or(Ok(0), |digits| digits.parse::<i64>().map_err(|_| wrong("digits expected")));
    let part = |from: usize, to: usize| number(from, to).map(|n| i8::try_from(n).unwrap_or(i8::MAX));
    let year = i16::try_from(number(0, 4)?).map_err(|_| wrong("there is no such year"))?;
    let date = jiff::civil::Date::new(year, part(4, 6)?, part(6, 8)?).map_err(|_| wrong("there is no such day"))?;
    let time = jiff::civil::Time::new(part(8, 10)?, part(10, 12)?, part(12, 14)?, 0).map_err(|_| wrong("there is no such time of day"))?;
    let offset = jiff::tz::Offset::from_seconds(offset_minutes * 60).map_err(|_| wrong("the offset is out of range"))?;
    let micros = micros_of(fraction).ok_or_else(|| wrong("a fraction is digits"))?;
    let instant = offset.to_timestamp(date.to_datetime(time)).map_err(|_| wrong("the time is out of range"))?;
    Ok(Timestamp(instant.as_microsecond().saturating_add(micros)))
}

/// The microseconds of the digits behind a decimal point; more than six are cut.
fn micros_of(fraction: &str) -> Option<i64> {
    let digits = fraction.bytes().chain(std::iter::repeat(b'0')).take(6);
    digits.map(|byte| byte.is_ascii_digit().then(|| i64::from(byte - b'0'))).try_fold(0, |sum, digit| Some(sum * 10 + digit?))
}

/// A monotonic instant in milliseconds since some start; never compared across processes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Tick(u64);

impl Tick {
    /// The tick `ms` milliseconds after the start.
    pub const fn from_ms(ms: u64) -> Self {
        Self(ms)
    }

    /// Milliseconds since the start.
    pub const fn ms(self) -> u64 {
        self.0
    }

    /// Milliseconds since an earlier tick; 0 when this one is before it.
    pub const fn ms_since(self, earlier: Tick) -> u64 {
        self.0.saturating_sub(earlier.0)
    }

    /// This tick and `ms` milliseconds more.
    pub const fn plus_ms(self, ms: u64) -> Self {
        Self(self.0.saturating_add(ms))
    }
}

/// The clock as a value: whoever needs the time is given one; only the composition root makes a real one.
#[derive(Clone)]
pub struct Clock {
    now: std::sync::Arc<dyn Fn() -> Timestamp + Send + Sync>,
    tick: std::sync::Arc<dyn Fn() -> Tick + Send + Sync>,
}

impl Clock {
    /// A clock of two functions: the wall's time and the monotonic one.
    pub fn new(now: impl Fn() -> Timestamp + Send + Sync + 'static, tick: impl Fn() -> Tick + Send + Sync + 'static) -> Self {
        Self { now: std::sync::Arc::new(now), tick: std::sync::Arc::new(tick) }
    }

    /// The wall's time.
    pub fn now(&self) -> Timestamp {
        (self.now)()
    }

    /// The monotonic time.
    pub fn tick(&self) -> Tick {
        (self.tick)()
    }
}

impl fmt::Debug for Clock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Clock")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn timestamps_round_trip_as_rfc_3339() {
        let instant: Timestamp = "2026-11-21T23:07:59.000123Z".parse().unwrap();
        assert_eq!(instant.to_string(), "2026-11-21T23:07:59.000123Z");
        assert_eq!(instant.date().to_string(), "2026-11-21");
        assert_eq!(instant.date().short(), 261_121);
        assert_eq!(Timestamp::from_micros(-1).date().to_string(), "1969-12-31");
    }

    proptest::proptest! {
        #[test]
        fn instants_print_as_the_calendar_library_prints_them(micros in -62_000_000_000_000_000_i64..253_000_000_000_000_000) {
            let library = jiff::Timestamp::from_microsecond(micros).unwrap();
            proptest::prop_assert_eq!(Timestamp::from_micros(micros).to_string(), format!("{library:.6}"));
        }
    }

    #[test]
    fn device_times_are_read_with_their_own_offset_or_the_profile_s() {
        let cases = [
            ("20250115080100", 0, "2025-01-15T08:01:00.000000Z"),
            ("20250115080100", 60, "2025-01-15T07:01:00.000000Z"),
            ("20050615133700-0500", 60, "2005-06-15T18:37:00.000000Z"),
            ("202506151336", 0, "2025-06-15T13:36:00.000000Z"),
            ("20250615", 0, "2025-06-15T00:00:00.000000Z"),
            ("20250615133600.25+0200", 0, "2025-06-15T11:36:00.250000Z"),
        ];
        for (text, offset, expected) in cases {
            assert_eq!(parse_device_time(text, offset).unwrap().to_string(), expected, "{text}");
        }
        for wrong in ["", "2025", "20251301", "2025-01-15", "20250115250000", "20250115+1", "20250615133600.x"] {
            assert!(parse_device_time(wrong, 0).is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_month_ends_on_its_last_day() {
        assert_eq!(Date::month_end(2028, 2).unwrap().to_string(), "2028-02-29");
        assert!(Date::new(2027, 2, 29).is_err());
        assert!(Date::month_end(2027, 13).is_err());
    }
}
