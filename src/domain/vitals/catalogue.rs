//! The vital signs that the house takes: their units, what is possible at all, and the limits beyond which somebody must look.

use std::collections::BTreeMap;

use rust_decimal::Decimal;
use serde::{Deserialize, Serialize};

use crate::kernel::{Date, Loinc, Timestamp, Unit};

/// Limits; a value on one of them is within. None for a side without a limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Limits {
    /// The lowest value that needs nobody.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub low: Option<Decimal>,
    /// The highest value that needs nobody.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub high: Option<Decimal>,
}

impl Limits {
    /// Whether a value is beyond them.
    pub fn are_passed_by(&self, value: Decimal) -> bool {
        self.low.is_some_and(|low| value < low) || self.high.is_some_and(|high| value > high)
    }

    /// Whether a value is beyond them by more than a step further than another one, or on the other side.
    pub fn are_passed_further_by(&self, value: Decimal, seen: Decimal, step: Decimal) -> bool {
        let is_below = self.low.is_some_and(|low| value < low && (seen >= low || value < seen - step));
        let is_above = self.high.is_some_and(|high| value > high && (seen <= high || value > seen + step));
        is_below || is_above
    }

    /// Whether they are limits at all.
    pub fn is_sound(&self) -> bool {
        match (self.low, self.high) {
            (None, None) => false,
            (Some(low), Some(high)) => low < high,
            _ => true,
        }
    }
}

/// Limits for an age.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AgeLimits {
    /// From which birthday on.
    #[serde(default)]
    pub from_years: i32,
    /// Until which birthday; none without an end.
    #[serde(default)]
    pub until_years: Option<i32>,
    /// The lowest value that needs nobody.
    #[serde(default)]
    pub low: Option<Decimal>,
    /// The highest value that needs nobody.
    #[serde(default)]
    pub high: Option<Decimal>,
}

/// A vital sign.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Sign {
    /// Its LOINC code.
    pub code: Loinc,
    /// What people call it.
    pub name: String,
    /// Its unit (UCUM); no other is taken.
    pub unit: Unit,
    /// The lowest and the highest value that a living patient can have and a sensor can mean.
    pub possible: [Decimal; 2],
    /// Whoever has taken an alert is called again when the value is further out by more than this.
    #[serde(default)]
    pub step: Decimal,
    /// Limits by age; without any for an age, only a patient's own count.
    #[serde(default)]
    pub limits: Vec<AgeLimits>,
}

/// What the house has decided about vital signs.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Catalogue {
    /// Seconds after which an alert that nobody has taken goes to the next level, one entry a level.
    #[serde(default)]
    pub escalate_seconds: Vec<u32>,
    /// Seconds after which an alert that somebody has taken is raised anew while the value is still beyond its limit.
    #[serde(default)]
    pub remind_seconds: u32,
    /// The signs.
    #[serde(default)]
    pub signs: Vec<Sign>,
}

/// Full years between two dates.
fn years(born: Date, on: Date) -> i32 {
    let (from, to) = (born.parts(), on.parts());
    let had_birthday = (to.1, to.2) >= (from.1, from.2);
    i32::from(on.year()) - i32::from(born.year()) - i32::from(!had_birthday)
}

impl Catalogue {
    /// A sign by its code.
    pub fn sign(&self, code: &Loinc) -> Option<&Sign> {
        self.signs.iter().find(|sign| sign.code == *code)
    }

    /// The names and codes of all signs, for a sentence.
    pub fn known(&self) -> String {
        self.signs.iter().map(|sign| format!("{} ({})", sign.code, sign.name)).collect::<Vec<_>>().join(", ")
    }

    /// When an alert of a level goes to the next one; none after the last.
    pub fn escalates_at(&self, raised: Timestamp, level: u8) -> Option<Timestamp> {
        let seconds: i64 = self.escalate_seconds.get(..=usize::from(level))?.iter().map(|seconds| i64::from(*seconds)).sum();
        Some(raised.plus_seconds(seconds))
    }

    /// What is wrong with the file.
    pub fn check(&self) -> Result<(), String> {
        let mut seen = BTreeMap::new();
        for sign in &self.signs {
            if seen.insert(&sign.code, ()).is_some() {
                return Err(format!("{} stands twice", sign.code));
            }
            if sign.possible[0] >= sign.possible[1] {
                return Err(format!("{}: possible goes from the lowest to the highest value", sign.code));
            }
            if !sign.limits.is_empty() && sign.step <= Decimal::ZERO {
                return Err(format!("{}: step is needed beside limits: how much worse it must be before somebody is called again", sign.code));
            }
            for (at, limits) in sign.limits.iter().enumerate() {
                let sides = Limits { low: limits.low, high: limits.high };
                let is_possible = |limit: &Decimal| (sign.possible[0]..=sign.possible[1]).contains(limit);
                if !sides.is_sound() || !sides.low.iter().chain(&sides.high).all(is_possible) {
                    return Err(format!("{}: limits {} need low below high, both possible, or one of them", sign.code, at + 1));
                }
                if limits.until_years.is_some_and(|until| until <= limits.from_years) {
                    return Err(format!("{}: limits {} end before they begin", sign.code, at + 1));
                }
                let overlaps =
                    |other: &AgeLimits| limits.until_years.is_none_or(|until| other.from_years < until) && other.until_years.is_none_or(|until| limits.from_years < until);
                if sign.limits[..at].iter().any(overlaps) {
                    return Err(format!("{}: limits {} are for an age that has some already", sign.code, at + 1));
                }
            }
        }
        if !self.signs.is_empty() && !(60..=86_400).contains(&self.remind_seconds) {
            return Err("remind_seconds is 60 to 86400: an alert that somebody has taken must not be silent for good".to_owned());
        }
        match self.escalate_seconds.len() <= 5 && self.escalate_seconds.iter().all(|seconds| (1..=86_400).contains(seconds)) {
            true => Ok(()),
            false => Err("escalate_seconds has five entries at most, of 1 to 86400 seconds".to_owned()),
        }
    }
}

impl Sign {
    /// The limits for somebody on a day. Who has no known birth date is taken for grown up: most are, and no limit at all is worse.
    pub fn limits_for(&self, born: Option<Date>, on: Date) -> Option<Limits> {
        let age = born.map_or(i32::MAX, |born| years(born, on));
        let found = self.limits.iter().find(|limits| limits.from_years <= age && limits.until_years.is_none_or(|until| age < until));
        found.map(|limits| Limits { low: limits.low, high: limits.high })
    }
}
