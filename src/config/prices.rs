//! The file of prices.

use rust_decimal::Decimal;
use serde::Deserialize;

use crate::kernel::{Currency, Date, Money};

/// `prices.toml`.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PriceFile {
    /// The currency of all prices.
    pub currency: Currency,
    /// The prices.
    pub price: Vec<PriceEntry>,
}

/// One price.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PriceEntry {
    /// `LAB-<LOINC>` or `DRUG-<item>`.
    pub code: String,
    /// For one.
    pub amount: Decimal,
    /// The first day.
    pub from: Date,
    /// The last day.
    #[serde(default)]
    pub until: Option<Date>,
}

impl PriceFile {
    /// An entry's price.
    pub fn money(&self, entry: &PriceEntry) -> Money {
        Money::new(entry.amount, self.currency)
    }
}
