//! The price list: codes with prices and the days that they hold on.

use std::collections::BTreeMap;

use crate::kernel::{Date, Money};

/// A price and its days.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Price {
    /// For one.
    pub price: Money,
    /// The first day.
    pub from: Date,
    /// The last day; none for "until another begins".
    pub until: Option<Date>,
}

/// All prices by code.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct PriceList {
    prices: BTreeMap<String, Vec<Price>>,
}

/// A price list that contradicts itself.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PriceListError {
    /// Two prices of a code hold on one day.
    #[error("code {code}: the prices from {first} and from {second} overlap: end the first one before the second begins")]
    Overlap {
        /// Which code.
        code: String,
        /// Where one begins.
        first: Date,
        /// Where the other begins.
        second: Date,
    },
    /// A price below zero.
    #[error("code {code}: the price from {from} is below zero: what is brought back is charged with a negative quantity, never a negative price")]
    Negative {
        /// Which code.
        code: String,
        /// Its first day.
        from: Date,
    },
    /// A price that ends before it begins.
    #[error("code {code}: the price from {from} ends on {until}, before it begins")]
    Backwards {
        /// Which code.
        code: String,
        /// Its first day.
        from: Date,
        /// Its last day.
        until: Date,
    },
}

impl PriceList {
    /// A list of prices; on no day has a code two of them.
    pub fn new(entries: impl IntoIterator<Item = (String, Price)>) -> Result<Self, PriceListError> {
        let mut prices: BTreeMap<String, Vec<Price>> = BTreeMap::new();
        for (code, price) in entries {
            if let Some(until) = price.until.filter(|until| *until < price.from) {
                return Err(PriceListError::Backwards { code, from: price.from, until });
            }
            if price.price.amount() < rust_decimal::Decimal::ZERO {
                return Err(PriceListError::Negative { code, from: price.from });
            }
            prices.entry(code).or_default().push(price);
        }
        for (code, list) in &mut prices {
            list.sort_by_key(|price| price.from);
            for pair in list.windows(2) {
                if pair[0].from == pair[1].from || pair[0].until.is_some_and(|until| until >= pair[1].from) {
                    return Err(PriceListError::Overlap { code: code.clone(), first: pair[0].from, second: pair[1].from });
                }
            }
        }
        Ok(Self { prices })
    }

    /// The price of a code on a day.
    pub fn price(&self, code: &str, day: Date) -> Option<Money> {
        let list = self.prices.get(code)?;
        let price = list.get(list.partition_point(|price| price.from <= day).checked_sub(1)?)?;
        price.until.is_none_or(|until| day <= until).then_some(price.price)
    }

    /// How many codes have a price.
    pub fn len(&self) -> usize {
        self.prices.len()
    }

    /// Whether there is no price at all.
    pub fn is_empty(&self) -> bool {
        self.prices.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn price(amount: &str, from: &str, until: Option<&str>) -> (String, Price) {
        let price = Money::new(amount.parse().unwrap(), "USD".parse().unwrap());
        ("A".into(), Price { price, from: from.parse().unwrap(), until: until.map(|day| day.parse().unwrap()) })
    }

    #[test]
    fn the_day_decides_the_price() {
        let list = PriceList::new([price("2", "2026-07-01", None), price("1", "2026-01-01", Some("2026-05-31"))]).unwrap();
        for (day, expected) in
            [("2025-12-31", None), ("2026-01-01", Some("1")), ("2026-05-31", Some("1")), ("2026-06-15", None), ("2026-07-01", Some("2")), ("2030-01-01", Some("2"))]
        {
            assert_eq!(list.price("A", day.parse().unwrap()).map(|money| money.amount().to_string()).as_deref(), expected, "{day}");
        }
        assert_eq!(list.price("B", "2026-01-01".parse().unwrap()), None);
    }

    #[test]
    fn a_list_that_contradicts_itself_is_refused() {
        assert!(matches!(PriceList::new([price("1", "2026-01-01", Some("2026-07-01")), price("2", "2026-07-01", None)]), Err(PriceListError::Overlap { .. })));
        assert!(matches!(PriceList::new([price("1", "2026-01-01", None), price("2", "2026-01-01", None)]), Err(PriceListError::Overlap { .. })));
        assert!(matches!(PriceList::new([price("1", "2026-01-02", Some("2026-01-01"))]), Err(PriceListError::Backwards { .. })));
        assert!(matches!(PriceList::new([price("-1", "2026-01-01", None)]), Err(PriceListError::Negative { .. })));
    }
}
