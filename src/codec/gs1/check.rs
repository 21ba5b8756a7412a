//! The checks of a value's content, one function each, named as the rule they hold.

use super::table::{Check, Part, Set};
use super::{coupon, lists};

/// Why a part is refused; the text completes "AI 17: …".
pub(super) type Refusal = String;

/// Whether a character belongs to a set.
pub(super) fn allows(set: Set, byte: u8) -> bool {
    match set {
        Set::Digits => byte.is_ascii_digit(),
        Set::Set82 => byte.is_ascii_alphanumeric() || b"!\"%&'()*+,-./:;<=>?_".contains(&byte),
        Set::Set39 => byte.is_ascii_digit() || byte.is_ascii_uppercase() || b"#-/".contains(&byte),
        Set::Base64Url => byte.is_ascii_alphanumeric() || b"-_=".contains(&byte),
    }
}

/// All checks of one part.
pub(super) fn part(part: &Part, value: &str) -> Result<(), Refusal> {
    if let Some(byte) = value.bytes().find(|byte| !allows(part.set, *byte)) {
        let set = match part.set {
            Set::Digits => "digits",
            Set::Set82 => "GS1 character set 82",
            Set::Set39 => "GS1 character set 39",
            Set::Base64Url => "URI-safe base 64",
        };
        return Err(format!("character {:?} is not allowed ({set})", char::from(byte)));
    }
    part.checks.iter().try_for_each(|check| one(*check, value))
}

fn one(check: Check, value: &str) -> Result<(), Refusal> {
    let require = |holds: bool, why: &str| if holds { Ok(()) } else { Err(format!("{value:?} {why}")) };
    let number = || value.parse::<u64>().unwrap_or(u64::MAX);
    match check {
        Check::Digit => require(check_digit(value), "has a wrong check digit: scan it again"),
        Check::Pair => require(check_pair(value), "has a wrong check character pair: scan it again"),
        Check::PrefixFirst => require(prefix(value), "does not begin with a GS1 Company Prefix"),
        Check::PrefixSecond => require(value.get(1..).is_some_and(prefix), "has no GS1 Company Prefix behind its first digit"),
        Check::Date => require(is_date(value, false), "is not a date YYMMDD"),
        Check::DateDayZero => require(is_date(value, true), "is not a date YYMMDD (day 00 is the end of the month)"),
        Check::LongDate => require(is_long_date(value), "is not a date YYYYMMDD"),
        Check::HourMinute => require(value.len() == 4 && two(value, 0) < 24 && two(value, 2) < 60, "is not a time HHMM"),
        Check::Hour => require(two(value, 0) < 24, "is not an hour"),
        Check::Minute => require(two(value, 0) < 60, "is not a minute"),
        Check::Second => require(two(value, 0) < 60, "is not a second"),
        Check::Currency => require(lists::holds(lists::CURRENCIES, value), "is not an ISO 4217 currency number"),
        Check::Country => require(lists::holds(lists::COUNTRIES, value), "is not an ISO 3166 country number"),
        Check::CountryOr999 => require(value == "999" || lists::holds(lists::COUNTRIES, value), "is not an ISO 3166 country number or 999"),
        Check::CountryLetters => require(lists::holds(lists::COUNTRY_LETTERS, value), "is not an ISO 3166 country code"),
        Check::PercentEncoded => require(percent_encoded(value), "has a % that is not followed by two hexadecimal digits"),
        Check::Latitude => require(number() <= 1_800_000_000, "is not a latitude"),
        Check::Longitude => require(number() <= 3_600_000_000, "is not a longitude"),
        Check::YesNo => require(matches!(value, "0" | "1"), "is neither 0 nor 1"),
        Check::Minus => require(value == "-", "is not a minus sign"),
        Check::ImporterIndex => require(value.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_'), "is not an importer index"),
        Check::PackageType => require(lists::holds(lists::PACKAGE_TYPES, value), "is not a package type"),
        Check::MediaType => require(matches!(number(), 1..=10 | 80..=99), "is not an AIDC media type"),
        Check::Sex => require(matches!(value, "0" | "1" | "2" | "9"), "is not an ISO 5218 sex"),
        Check::PositionInSequence => require(position_in_sequence(value), "is not position/total"),
        Check::NotZero => require(number() != 0, "must not be zero"),
        Check::Winding => require(matches!(value, "0" | "1" | "9"), "is not a winding direction"),
        Check::Zero => require(value == "0", "must be 0"),
        Check::PieceOfTotal => require(value.len() == 4 && two(value, 0) > 0 && two(value, 0) <= two(value, 2), "is not piece and total"),
        Check::Iban => require(iban(value), "is not an IBAN"),
        Check::NoLeadingZero => require(value == "0" || !value.starts_with('0'), "must not begin with 0"),
        Check::HasNonDigit => require(value.bytes().any(|byte| !byte.is_ascii_digit()), "must hold a character that is no digit"),
        Check::Coupon => coupon::north_american(value),
        Check::PositiveOffer => coupon::positive_offer(value),
    }
}

fn two(value: &str, from: usize) -> u32 {
    value.get(from..from + 2).and_then(|pair| pair.parse().ok()).unwrap_or(u32::MAX)
}

/// Mod 10 with weights 3 and 1 from the right (GS1 General Specifications 7.9.1).
fn check_digit(value: &str) -> bool {
    let sum: u32 = value.bytes().rev().enumerate().map(|(index, byte)| u32::from(byte.wrapping_sub(b'0')) * if index % 2 == 0 { 1 } else { 3 }).sum();
    !value.is_empty() && sum.is_multiple_of(10)
}

/// Two characters of set 32 from a sum of set 82 weights times primes modulo 1021 (GS1 General Specifications 7.9.5).
fn check_pair(value: &str) -> bool {
    const SET_82: &[u8] = b"!\"%&'()*+,-./0123456789:;<=>?ABCDEFGHIJKLMNOPQRSTUVWXYZ_abcdefghijklmnopqrstuvwxyz";
    const SET_32: &[u8] = b"23456789ABCDEFGHJKLMNPQRSTUVWXYZ";
    const PRIMES: [usize; 23] = [2, 3, 5, 7, 11, 13, 17, 19, 23, 29, 31, 37, 41, 43, 47, 53, 59, 61, 67, 71, 73, 79, 83];
    let Some((body, pair)) = value.len().checked_sub(2).and_then(|at| value.split_at_checked(at)) else { return false };
    if body.is_empty() || body.len() > PRIMES.len() {
        return false;
    }
    let sum: usize = body.bytes().rev().zip(PRIMES).map(|(byte, prime)| SET_82.iter().position(|c| *c == byte).unwrap_or(0) * prime).sum();
    let residue = sum % 1021;
    pair.bytes().eq([SET_32[residue >> 5], SET_32[residue & 31]])
}

/// Without the list of prefixes that only GS1 has, a company prefix is known by its four leading digits.
fn prefix(value: &str) -> bool {
    value.len() >= 4 && value.as_bytes()[..4].iter().all(u8::is_ascii_digit)
}

fn is_date(value: &str, day_zero: bool) -> bool {
    let is_leap_insensitive = |day: u32, month: u32, year: u32| {
        let length = match month {
            4 | 6 | 9 | 11 => 30,
            2 if year.is_multiple_of(4) => 29,
            2 => 28,
            1..=12 => 31,
            _ => 0,
        };
        day <= length && (day > 0 || (day_zero && length > 0))
    };
    value.len() == 6 && is_leap_insensitive(two(value, 4), two(value, 2), two(value, 0))
}

fn is_long_date(value: &str) -> bool {
    let part = |range: std::ops::Range<usize>| value.get(range).and_then(|digits| digits.parse::<i16>().ok());
    match (part(0..4), part(4..6), part(6..8)) {
        (Some(year), Some(month), Some(day)) => crate::kernel::Date::new(year, i8::try_from(month).unwrap_or(0), i8::try_from(day).unwrap_or(0)).is_ok(),
        _ => false,
    }
}

fn percent_encoded(value: &str) -> bool {
    value.split('%').skip(1).all(|rest| rest.as_bytes().get(..2).is_some_and(|pair| pair.iter().all(u8::is_ascii_hexdigit)))
}

fn position_in_sequence(value: &str) -> bool {
    let number = |text: &str| text.parse::<u32>().ok().filter(|number| *number > 0 && !text.starts_with('0'));
    value.split_once('/').is_some_and(|(position, total)| match (number(position), number(total)) {
        (Some(position), Some(total)) => position <= total,
        _ => false,
    })
}

/// ISO 13616: country, two check digits, account; the rearranged number modulo 97 is 1.
fn iban(value: &str) -> bool {
    if value.len() < 5 || !value.bytes().all(|byte| byte.is_ascii_digit() || byte.is_ascii_uppercase()) || !lists::holds(lists::COUNTRY_LETTERS, &value[..2]) {
        return false;
    }
    let rearranged = value.bytes().skip(4).chain(value.bytes().take(4));
    let residue = rearranged.fold(0_u32, |residue, byte| match byte {
        b'0'..=b'9' => (residue * 10 + u32::from(byte - b'0')) % 97,
        _ => (residue * 100 + u32::from(byte - b'A') + 10) % 97,
    });
    residue == 1
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn checks_hold_and_refuse() {
        let cases = [
            (Check::Digit, "12345678901231", "12345678901232"),
            (Check::Pair, "1987654Ad4X4bL5ttr2310c2K", "1987654Ad4X4bL5ttr2310c2L"),
            (Check::PrefixFirst, "9521141", "95a"),
            (Check::PrefixSecond, "19521141", "1a"),
            (Check::Date, "280229", "280200"),
            (Check::DateDayZero, "280200", "281300"),
            (Check::LongDate, "20240229", "20230229"),
            (Check::HourMinute, "2359", "2400"),
            (Check::Hour, "23", "24"),
            (Check::Minute, "59", "60"),
            (Check::Second, "59", "60"),
            (Check::Currency, "978", "000"),
            (Check::Country, "276", "999"),
            (Check::CountryOr999, "999", "998"),
            (Check::CountryLetters, "DE", "XX"),
            (Check::PercentEncoded, "A%20B", "A%2"),
            (Check::Latitude, "1800000000", "1800000001"),
            (Check::Longitude, "3600000000", "3600000001"),
            (Check::YesNo, "1", "2"),
            (Check::Minus, "-", "+"),
            (Check::ImporterIndex, "-", "!"),
            (Check::PackageType, "PLP", "QZ"),
            (Check::MediaType, "10", "11"),
            (Check::Sex, "9", "3"),
            (Check::PositionInSequence, "1/2", "3/2"),
            (Check::NotZero, "0001", "0000"),
            (Check::Winding, "9", "2"),
            (Check::Zero, "0", "1"),
            (Check::PieceOfTotal, "0102", "0302"),
            (Check::Iban, "GB82WEST12345698765432", "GB82WEST12345698765433"),
            (Check::NoLeadingZero, "10", "01"),
            (Check::HasNonDigit, "12A", "123"),
        ];
        for (check, good, bad) in cases {
            assert_eq!(one(check, good), Ok(()), "{check:?}");
            assert!(one(check, bad).is_err(), "{check:?} {bad}");
        }
    }
}
