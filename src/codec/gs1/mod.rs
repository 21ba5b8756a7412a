//! GS1 element strings as scanners send them (GS1 General Specifications; tables after the GS1 Barcode Syntax Dictionary).
//!
//! Flow: scan text → [`scan`] (AIM prefix, FNC1 or brackets) → [`ElementString`] whose elements are cut, checked and paired.
//! **Invariant**: an element whose length, characters, check digit or date is wrong refuses the whole string.

mod check;
mod coupon;
mod lists;
mod pairs;
mod parse;
mod table;

pub use pairs::Pairing;
pub use parse::{Element, ElementString, Fault, Scan, scan};
pub use table::{AI_COUNT, entries};

use crate::kernel::{Date, Invalid};

/// A six-digit date YYMMDD of a GS1 element; day 00 is the last day of the month. The century is the one that puts
/// the year from 49 before to 50 after `this_year` (GS1 General Specifications 7.12).
pub fn date(digits: &str, this_year: i16) -> Result<Date, Invalid> {
    let wrong = || Invalid::new("GS1 date", digits, "a GS1 date is YYMMDD");
    if digits.len() != 6 || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(wrong());
    }
    let part = |from: usize| digits.get(from..from + 2).and_then(|pair| pair.parse::<i8>().ok()).ok_or_else(wrong);
    let (short, month, day) = (i16::from(part(0)?), part(2)?, part(4)?);
    let century = this_year - this_year.rem_euclid(100);
    let year = match short - this_year.rem_euclid(100) {
        51..=99 => century - 100 + short,
        -99..=-50 => century + 100 + short,
        _ => century + short,
    };
    if day == 0 { Date::month_end(year, month) } else { Date::new(year, month, day) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_with_day_00_and_the_sliding_century() {
        for (digits, expected) in
            [("201031", "2020-10-31"), ("280200", "2028-02-29"), ("270200", "2027-02-28"), ("760101", "2076-01-01"), ("770101", "1977-01-01"), ("991225", "1999-12-25")]
        {
            assert_eq!(date(digits, 2026).unwrap().to_string(), expected);
        }
        assert_eq!(date("010101", 2076).unwrap().to_string(), "2101-01-01");
        for wrong in ["261301", "260230", "26010", "26010a"] {
            assert!(date(wrong, 2026).is_err(), "{wrong}");
        }
    }
}
