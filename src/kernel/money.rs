//! Money: an exact decimal and its currency; two currencies never add up.

use std::fmt;
use std::str::FromStr;

use rust_decimal::Decimal;
use serde::{Deserialize, Serialize};

use super::Invalid;

/// An ISO 4217 currency by its three letters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Currency([u8; 3]);

impl FromStr for Currency {
    type Err = Invalid;
    fn from_str(text: &str) -> Result<Self, Invalid> {
        match <[u8; 3]>::try_from(text.as_bytes()) {
            Ok(letters) if letters.iter().all(u8::is_ascii_uppercase) => Ok(Self(letters)),
            _ => Err(Invalid::new("currency", text, "a currency is three capital letters (ISO 4217)")),
        }
    }
}

impl TryFrom<String> for Currency {
    type Error = Invalid;
    fn try_from(text: String) -> Result<Self, Invalid> {
        text.parse()
    }
}

impl From<Currency> for String {
    fn from(currency: Currency) -> String {
        currency.to_string()
    }
}

impl fmt::Display for Currency {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(std::str::from_utf8(&self.0).unwrap_or("XXX"))
    }
}

/// An amount of money; negative amounts are reversals.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Money {
    amount: Decimal,
    currency: Currency,
}

/// Two amounts that cannot be added, or a sum too large to be money.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum MoneyError {
    /// The currencies differ.
    #[error("{0} and {1} do not add up: convert one of them first")]
    Currencies(Currency, Currency),
    /// The sum has more digits than a decimal holds.
    #[error("the amount is out of range")]
    Range,
}

impl Money {
    /// An amount in a currency.
    pub const fn new(amount: Decimal, currency: Currency) -> Self {
        Self { amount, currency }
    }

    /// The number.
    pub const fn amount(self) -> Decimal {
        self.amount
    }

    /// The currency.
    pub const fn currency(self) -> Currency {
        self.currency
    }

    /// The sum of two amounts of one currency.
    pub fn plus(self, other: Money) -> Result<Money, MoneyError> {
        if self.currency != other.currency {
            return Err(MoneyError::Currencies(self.currency, other.currency));
        }
        let amount = self.amount.checked_add(other.amount).ok_or(MoneyError::Range)?;
        Ok(Self { amount, ..self })
    }

    /// This amount `count` times, exact.
    pub fn times(self, count: Decimal) -> Result<Money, MoneyError> {
        let amount = self.amount.checked_mul(count).ok_or(MoneyError::Range)?;
        Ok(Self { amount, ..self })
    }

    /// The amount that undoes this one.
    pub fn reversed(self) -> Money {
        Self { amount: -self.amount, ..self }
    }
}

impl fmt::Display for Money {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.amount, self.currency)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sums_are_exact_and_currencies_stay_apart() {
        let usd: Currency = "USD".parse().unwrap();
        let tenth = Money::new("0.10".parse().unwrap(), usd);
        let mut sum = tenth;
        for _ in 0..9 {
            sum = sum.plus(tenth).unwrap();
        }
        assert_eq!(sum.amount(), "1.00".parse().unwrap());
        assert_eq!(sum.plus(sum.reversed()).unwrap().amount(), Decimal::ZERO);
        let yen = Money::new(Decimal::ONE, "JPY".parse().unwrap());
        assert!(matches!(sum.plus(yen), Err(MoneyError::Currencies(..))));
        assert!("usd".parse::<Currency>().is_err());
        assert_eq!(Money::new(Decimal::MAX, usd).plus(tenth.times(Decimal::TEN).unwrap()), Err(MoneyError::Range));
    }
}
