//! A patient's account: charges, each with the event that caused it, and payments.
//!
//! **Invariant**: one causing event is charged once, whatever is re-sent, replayed or killed.

use std::collections::BTreeMap;

use rust_decimal::Decimal;
use serde::{Deserialize, Serialize};

use super::rights::Permission;
use super::{Aggregate, Context, Folded};
use crate::kernel::{Money, StreamKind, Timestamp};

mod billable;
mod price_list;

pub use billable::{Service, billable};
pub use price_list::{Price, PriceList, PriceListError};

/// More than this in one payment is a mistyped number.
const PAYMENT_MAX: Decimal = Decimal::from_parts(1_000_000_000, 0, 0, false, 0);

/// An account.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Account {
    charges: BTreeMap<u64, Charge>,
    unpriced: BTreeMap<u64, Charge>,
    paid: Vec<Money>,
}

/// What is charged for one event.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Charge {
    /// The sequence of the event that caused it.
    pub cause: u64,
    /// The code in the price list, such as `LAB-718-7`.
    pub code: String,
    /// How many; negative for what was brought back.
    pub quantity: Decimal,
    /// The price of one on the day, none while the price list has none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub price: Option<Money>,
    /// When the service was rendered.
    pub rendered: Timestamp,
}

impl Charge {
    /// Quantity times price; none while there is no price or it cannot be counted.
    pub fn amount(&self) -> Option<Money> {
        self.price.and_then(|price| price.times(self.quantity).ok())
    }
}

/// What may be asked of an account.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Command {
    /// Charges what an event caused.
    Post(Charge),
    /// The patient, or somebody for them, paid.
    Pay {
        /// How much.
        amount: Money,
    },
    /// Pays what is owed; nothing when nothing is.
    Settle,
}

impl Command {
    /// The permission that it needs.
    pub fn needs(&self) -> Permission {
        match self {
            Command::Post(_) => Permission::Charge,
            Command::Pay { .. } | Command::Settle => Permission::TakePayments,
        }
    }
}

/// What may have happened to an account.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "event")]
pub enum Event {
    /// A charge was written.
    Charged {
        /// What for.
        charge: Charge,
    },
    /// There is no price for it yet; a person must add one.
    ChargeUnpriced {
        /// What for.
        charge: Charge,
    },
    /// A payment came in.
    PaymentReceived {
        /// How much.
        amount: Money,
        /// When.
        at: Timestamp,
    },
}

/// Why an account refuses.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error, Serialize)]
#[serde(tag = "rejection", rename_all = "snake_case")]
pub enum Rejection {
    /// A payment of nothing or less.
    #[error("a payment must be above zero")]
    NotPositive,
    /// More than anybody pays.
    #[error("the amount cannot be: check the number")]
    NotPlausible,
    /// Nothing is owed.
    #[error("nothing is owed: the account is settled")]
    NothingOwed,
    /// Another currency than the account's.
    #[error("the account is kept in another currency: convert the amount first")]
    OtherCurrency,
}

impl Account {
    /// The charges by causing event.
    pub fn charges(&self) -> &BTreeMap<u64, Charge> {
        &self.charges
    }

    /// Charges less payments; none when nothing was ever charged or paid, which is not the same as zero.
    pub fn balance(&self) -> Option<Money> {
        let owed = self.charges.values().filter_map(Charge::amount);
        let paid = self.paid.iter().map(|amount| amount.reversed());
        owed.chain(paid).map(Some).reduce(|sum, next| sum?.plus(next?).ok()).flatten()
    }
}

impl Folded for Account {
    const KIND: StreamKind = StreamKind::Account;
    const SNAPSHOT: u16 = 1;
    type Event = Event;

    fn apply(&mut self, event: &Event) {
        match event {
            Event::Charged { charge } => {
                self.unpriced.remove(&charge.cause);
                self.charges.insert(charge.cause, charge.clone());
            }
            Event::ChargeUnpriced { charge } => {
                self.unpriced.insert(charge.cause, charge.clone());
            }
            Event::PaymentReceived { amount, .. } => self.paid.push(*amount),
        }
    }

    fn name(event: &Event) -> (&'static str, u16) {
        match event {
            Event::Charged { .. } => ("Charged", 1),
            Event::ChargeUnpriced { .. } => ("ChargeUnpriced", 1),
            Event::PaymentReceived { .. } => ("PaymentReceived", 1),
        }
    }
}

impl Aggregate for Account {
    type Command = Command;
    type Rejection = Rejection;

    fn decide(&self, context: &Context, command: &Command) -> Result<Vec<Event>, Rejection> {
        match command {
            Command::Post(charge) if self.charges.contains_key(&charge.cause) => Ok(vec![]),
            Command::Post(charge) => match (charge.amount(), self.unpriced.contains_key(&charge.cause)) {
                (Some(_), _) => Ok(vec![Event::Charged { charge: charge.clone() }]),
                (None, false) => Ok(vec![Event::ChargeUnpriced { charge: charge.clone() }]),
                (None, true) => Ok(vec![]),
            },
            Command::Pay { amount } if amount.amount() <= Decimal::ZERO => Err(Rejection::NotPositive),
            Command::Pay { amount } if amount.amount() > PAYMENT_MAX => Err(Rejection::NotPlausible),
            Command::Pay { amount } => match self.balance() {
                Some(balance) if balance.currency() != amount.currency() => Err(Rejection::OtherCurrency),
                Some(_) | None => Ok(vec![Event::PaymentReceived { amount: *amount, at: context.now }]),
            },
            Command::Settle => match self.balance() {
                Some(balance) if balance.amount() > Decimal::ZERO => Ok(vec![Event::PaymentReceived { amount: balance, at: context.now }]),
                Some(_) | None => Err(Rejection::NothingOwed),
            },
        }
    }

    fn held(event: &Event) -> Option<super::quarantine::Reason> {
        match event {
            Event::ChargeUnpriced { charge } => Some(super::quarantine::Reason::Unpriced { code: charge.code.clone() }),
            Event::Charged { .. } | Event::PaymentReceived { .. } => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::check::{context, given, now, when};

    fn money(amount: &str) -> Money {
        Money::new(amount.parse().unwrap(), "USD".parse().unwrap())
    }

    fn charge(cause: u64, quantity: &str, price: Option<&str>) -> Charge {
        Charge { cause, code: "LAB-718-7".into(), quantity: quantity.parse().unwrap(), price: price.map(money), rendered: now() }
    }

    #[test]
    fn one_event_is_charged_once() {
        let posted = charge(17, "1", Some("12.50"));
        let events = when(&Account::default(), &context(None), Command::Post(posted.clone())).unwrap();
        assert_eq!(events, vec![Event::Charged { charge: posted.clone() }]);
        let account: Account = given(&events);
        assert_eq!(when(&account, &context(None), Command::Post(posted)), Ok(vec![]));
        assert_eq!(account.balance(), Some(money("12.50")));
    }

    #[test]
    fn what_is_brought_back_is_a_charge_of_its_own() {
        let account: Account = given(&[Event::Charged { charge: charge(1, "6", Some("0.10")) }, Event::Charged { charge: charge(2, "-2", Some("0.10")) }]);
        assert_eq!(account.balance(), Some(money("0.40")));
        assert_eq!(account.charges().len(), 2);
    }

    #[test]
    fn without_a_price_it_waits_for_one() {
        let waiting = charge(3, "1", None);
        let events = when(&Account::default(), &context(None), Command::Post(waiting.clone())).unwrap();
        assert_eq!(events, vec![Event::ChargeUnpriced { charge: waiting.clone() }]);
        assert!(Account::held(&events[0]).is_some(), "a person is told");
        let account: Account = given(&events);
        assert_eq!(when(&account, &context(None), Command::Post(waiting)), Ok(vec![]));
        assert_eq!(account.balance(), None);
        let priced = charge(3, "1", Some("5"));
        assert_eq!(when(&account, &context(None), Command::Post(priced.clone())), Ok(vec![Event::Charged { charge: priced }]));
    }

    #[test]
    fn number_7_settled_twice_is_one_payment() {
        let account: Account = given(&[Event::Charged { charge: charge(1, "1", Some("10")) }]);
        let events = when(&account, &context(None), Command::Settle).unwrap();
        assert_eq!(events, vec![Event::PaymentReceived { amount: money("10"), at: now() }]);
        let mut settled = account.clone();
        settled.apply(&events[0]);
        assert_eq!(when(&settled, &context(None), Command::Settle), Err("nothing_owed".into()));
        assert_eq!(settled.balance(), Some(money("0")));
    }

    #[test]
    fn payments_are_positive_and_of_one_currency() {
        let account: Account = given(&[Event::Charged { charge: charge(1, "1", Some("10")) }]);
        assert_eq!(when(&account, &context(None), Command::Pay { amount: money("0") }), Err("not_positive".into()));
        let yen = Money::new(Decimal::ONE, "JPY".parse().unwrap());
        assert_eq!(when(&account, &context(None), Command::Pay { amount: yen }), Err("other_currency".into()));
        assert!(when(&account, &context(None), Command::Pay { amount: money("4") }).is_ok());
        assert_eq!(when(&Account::default(), &context(None), Command::Settle), Err("nothing_owed".into()));
    }
}
