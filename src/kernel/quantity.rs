//! Quantities: an exact decimal and a UCUM unit; two units never add up by themselves.

use std::fmt;
use std::str::FromStr;

use rust_decimal::Decimal;
use serde::{Deserialize, Serialize};

use super::Invalid;

/// A UCUM unit in its case-sensitive form (`10*3/uL`, `g/dL`, `{tablet}`).
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Unit(String);

impl Unit {
    /// The unit as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for Unit {
    type Err = Invalid;
    fn from_str(text: &str) -> Result<Self, Invalid> {
        // UCUM section 2.1: printable ASCII without blanks; 40 characters bound what we store.
        if text.is_empty() || text.len() > 40 || !text.bytes().all(|b| b.is_ascii_graphic()) {
            return Err(Invalid::new("unit", text, "a UCUM unit is 1 to 40 printable ASCII characters without blanks"));
        }
        Ok(Self(text.to_owned()))
    }
}

impl TryFrom<String> for Unit {
    type Error = Invalid;
    fn try_from(text: String) -> Result<Self, Invalid> {
        text.parse()
    }
}

impl From<Unit> for String {
    fn from(unit: Unit) -> String {
        unit.0
    }
}

impl fmt::Display for Unit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A number of a unit.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Quantity {
    /// The number, with its trailing zeros as received.
    pub value: Decimal,
    /// The unit.
    pub unit: Unit,
}

impl Quantity {
    /// A number of a unit.
    pub fn new(value: Decimal, unit: Unit) -> Self {
        Self { value, unit }
    }
}

impl fmt::Display for Quantity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.value, self.unit)
    }
}
