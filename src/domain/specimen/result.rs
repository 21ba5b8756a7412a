//! One result of one test as a device reported it.

use rust_decimal::Decimal;
use serde::{Deserialize, Serialize};

use crate::kernel::{Loinc, Timestamp, Unit};

/// A value as it was measured; never cleaned up beyond what its form says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ResultValue {
    /// A number, trailing zeros kept.
    Number(Decimal),
    /// Below what can be measured.
    Below(Decimal),
    /// Above what can be measured.
    Above(Decimal),
    /// A word, such as `POS` or `DETECTED`.
    Text(String),
}

/// A result line.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ResultLine {
    /// What was measured, as the profile maps it; a claim, so the vendor's own words stay beside it.
    pub test: Loinc,
    /// The device's own code.
    pub vendor_code: String,
    /// The value.
    pub value: ResultValue,
    /// The unit in UCUM, mapped and checked by the profile.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unit: Option<Unit>,
    /// The device's own unit, as sent.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub vendor_unit: String,
    /// Flags as sent (`H`, `A`, `>`).
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub flags: String,
    /// The status as sent (`F` final, `P` preliminary, `C` corrected).
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub status: String,
    /// When it was measured, by the device's clock.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub measured: Option<Timestamp>,
}

impl ResultLine {
    /// Whether the device stands by it; a preliminary (HL7 table 0085 and LIS2-A2 8.9.9: P) or partial (S) result is shown, but ends and charges nothing.
    pub fn is_final(&self) -> bool {
        !matches!(self.status.as_str(), "P" | "S")
    }

    /// Whether two lines of one device are the same measurement sent again: code, value and result time, whatever the
    /// message around them says (an operator's re-send has a new header).
    pub fn is_same_measurement(&self, other: &ResultLine) -> bool {
        (&self.test, &self.vendor_code, &self.value, self.measured) == (&other.test, &other.vendor_code, &other.value, other.measured)
    }
}
