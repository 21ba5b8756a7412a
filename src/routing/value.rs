//! Values, units and codes of a result: a strict grammar; what does not fit is held, never repaired.

use rust_decimal::Decimal;

use crate::domain::quarantine::Reason;
use crate::domain::specimen::{ResultLine, ResultValue};
use crate::kernel::{Timestamp, Unit};
use crate::profile::{Profile, Test};

/// One result as the device wrote it.
pub(super) struct Written<'a> {
    pub(super) code: &'a str,
    pub(super) value: &'a str,
    pub(super) unit: &'a str,
    pub(super) flags: &'a str,
    pub(super) status: &'a str,
    pub(super) measured: Option<Timestamp>,
    pub(super) failure_words: &'a [String],
}

/// A plain number: sign, digits, at most one point. No exponent, no thousands separator, no words.
fn number(text: &str) -> Option<Decimal> {
    let digits = text.strip_prefix(['-', '+']).unwrap_or(text);
    let is_plain = digits.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.') && digits.bytes().filter(|byte| *byte == b'.').count() <= 1;
    let has_digit = digits.bytes().any(|byte| byte.is_ascii_digit());
    (is_plain && has_digit && !digits.ends_with('.') && !digits.starts_with('.')).then(|| text.parse().ok()).flatten()
}

/// A value in one of the forms that devices use (devices.md, rule 10).
pub(super) fn value(text: &str) -> ResultValue {
    let text = text.trim();
    let bounded = |rest: &str| number(rest.trim_start_matches('=').trim());
    let found = match (text.strip_prefix('<').and_then(bounded), text.strip_prefix('>').and_then(bounded), number(text)) {
        (Some(limit), _, _) => Some(ResultValue::Below(limit)),
        (_, Some(limit), _) => Some(ResultValue::Above(limit)),
        (_, _, Some(number)) => Some(ResultValue::Number(number)),
        (None, None, None) => None,
    };
    found.unwrap_or_else(|| ResultValue::Text(text.to_owned()))
}

fn is_unit_of(test: &Test, unit: &str) -> bool {
    match &test.unit {
        Some(expected) => unit == expected.as_str() || test.spellings.iter().any(|spelling| spelling == unit) || (unit.is_empty() && test.unit_is_silent),
        None => unit.is_empty() || test.spellings.iter().any(|spelling| spelling == unit),
    }
}

/// The result line of a device's result by its profile, or why it is held.
pub(super) fn line(profile: &Profile, written: &Written<'_>) -> Result<ResultLine, Reason> {
    if written.code.is_empty() {
        return Err(Reason::NotMapped { detail: "a result without test code and name: set the code's place in the profile, or bind it by hand".to_owned() });
    }
    let test = profile
        .test(written.code)
        .ok_or_else(|| Reason::NotMapped { detail: format!("the device's code {:?} is not in profile {}: add it with LOINC code and unit", written.code, profile.id) })?;
    if !is_unit_of(test, written.unit) {
        let expected = test.unit.as_ref().map_or("no unit", Unit::as_str);
        return Err(Reason::NotMapped { detail: format!("code {:?} came in {:?}, the profile says {expected}: nothing is converted by guess", written.code, written.unit) });
    }
    let found = checked(written, test.unit.is_some())?;
    Ok(ResultLine {
        test: test.loinc.clone(),
        vendor_code: written.code.to_owned(),
        value: found,
        unit: test.unit.clone(),
        vendor_unit: written.unit.to_owned(),
        flags: written.flags.to_owned(),
        status: written.status.to_owned(),
        measured: written.measured,
    })
}

/// The value, when it is one: failure words and missing values are run failures, and a test with a unit has a number.
pub(super) fn checked(written: &Written<'_>, needs_number: bool) -> Result<ResultValue, Reason> {
    let text = written.value.trim();
    let no_value = |what: &str| Reason::NoValue { detail: format!("code {:?}: {what}: the run failed, measure again", written.code) };
    if text.is_empty() {
        return Err(no_value("no value was sent"));
    }
    if written.failure_words.iter().any(|word| word.eq_ignore_ascii_case(text)) {
        return Err(no_value(&format!("the device sent {text:?} for a value")));
    }
    match value(text) {
        ResultValue::Text(_) if needs_number => Err(no_value("the value is no number")),
        found => Ok(found),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rule_10_value_forms() {
        let decimal = |text: &str| text.parse::<Decimal>().unwrap();
        let cases = [
            ("  5.24", ResultValue::Number(decimal("5.24"))),
            (">1500", ResultValue::Above(decimal("1500"))),
            ("< 2", ResultValue::Below(decimal("2"))),
            (">=10.0", ResultValue::Above(decimal("10.0"))),
            ("-0.7", ResultValue::Number(decimal("-0.7"))),
            ("13.40", ResultValue::Number(decimal("13.40"))),
            ("POS", ResultValue::Text("POS".into())),
            ("1,5", ResultValue::Text("1,5".into())),
            ("1e3", ResultValue::Text("1e3".into())),
            ("1.2.3", ResultValue::Text("1.2.3".into())),
            ("A5.2", ResultValue::Text("A5.2".into())),
            ("5.", ResultValue::Text("5.".into())),
        ];
        for (text, expected) in cases {
            assert_eq!(value(text), expected, "{text}");
        }
        assert_eq!(value("13.40"), value("13.40"));
        assert!(matches!(value("13.40"), ResultValue::Number(number) if number.to_string() == "13.40"), "trailing zeros stay");
    }
}
