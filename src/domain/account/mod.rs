//! A patient's account: charges, each with the event that caused it, and payments.
//!
//! **Invariant**: one causing event is charged once, whatever is re-sent, replayed or killed.

use std::collections::{BTreeMap, BTreeSet};

use rust_decimal::Decimal;
use serde::{Deserialize, Serialize};

use super::rights::Permission;
use super::{Aggregate, Context, Folded};
use crate::kernel::{AccountId, EncounterId, Money, StreamKind, Timestamp};

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
    /// Causes whose charges were another patient's: they are charged here no more.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    given_up: BTreeSet<u64>,
    /// Deposits by their numbers.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    deposits: BTreeMap<u32, Deposit>,
}

/// How something is paid.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Tender {
    /// Notes and coins.
    Cash,
    /// A card.
    Card,
    /// A cheque.
    Cheque,
    /// Money from a bank's account.
    Transfer,
}

/// Money that was given before anything was owed: it counts against what is owed, and what is left is given back.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Deposit {
    /// Its number in this account, from 1.
    pub number: u32,
    /// How much.
    pub amount: Money,
    /// How it was paid.
    pub tender: Tender,
    /// For which stay.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub encounter: Option<EncounterId>,
    /// What was given back of it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub returned: Option<Money>,
}

impl Deposit {
    /// What of it is still here.
    fn left(&self) -> Option<Money> {
        self.returned.map_or(Some(self.amount), |returned| self.amount.plus(returned.reversed()).ok())
    }
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
    /// Takes money before anything is owed.
    TakeDeposit {
        /// How much.
        amount: Money,
        /// How it is paid.
        tender: Tender,
        /// For which stay.
        encounter: Option<EncounterId>,
    },
    /// Gives back what is left of a deposit; what is owed stays.
    ReturnDeposit {
        /// Which.
        number: u32,
        /// Why.
        reason: String,
    },
    /// Pays what is owed; nothing when nothing is.
    Settle,
    /// The charges of a stay are another patient's.
    GiveUp {
        /// Whose.
        to: AccountId,
        /// The first and the last instant of what was rendered.
        rendered: (Timestamp, Timestamp),
    },
    /// Charges that were written to another account are this patient's.
    TakeOver {
        /// The other account.
        from: AccountId,
        /// Which.
        charges: Vec<Charge>,
    },
}

impl Command {
    /// The permission that it needs.
    pub fn needs(&self) -> Permission {
        match self {
            Command::Post(_) | Command::GiveUp { .. } | Command::TakeOver { .. } => Permission::Charge,
            Command::Pay { .. } | Command::Settle | Command::TakeDeposit { .. } | Command::ReturnDeposit { .. } => Permission::TakePayments,
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
    /// Charges are another patient's. What was paid stays where it was paid.
    ChargesGivenUp {
        /// Whose.
        to: AccountId,
        /// Which.
        charges: Vec<Charge>,
        /// When.
        at: Timestamp,
    },
    /// Charges that were written to another account are this patient's.
    ChargesTakenOver {
        /// The other account.
        from: AccountId,
        /// Which.
        charges: Vec<Charge>,
        /// When.
        at: Timestamp,
    },
    /// Money was given before anything was owed.
    DepositTaken {
        /// How much, and its number.
        deposit: Deposit,
        /// When.
        at: Timestamp,
    },
    /// What was left of it was given back.
    DepositReturned {
        /// Which.
        number: u32,
        /// How much.
        amount: Money,
        /// Why.
        reason: String,
        /// When.
        at: Timestamp,
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
    /// There is no such deposit.
    #[error("there is no deposit {number} in this account: check the number")]
    UnknownDeposit {
        /// Which.
        number: u32,
    },
    /// Nothing is left of it.
    #[error("nothing is left of deposit {number}: {owed}")]
    NothingLeft {
        /// Which.
        number: u32,
        /// Why.
        owed: String,
    },
    /// A reason must say something.
    #[error("reason is empty: say why it is given back")]
    ReasonMissing,
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
        let deposits = self.deposits.values().filter_map(|deposit| deposit.left()).map(Money::reversed);
        owed.chain(paid).chain(deposits).map(Some).reduce(|sum, next| sum?.plus(next?).ok()).flatten()
    }
}

impl Account {
    /// What of a deposit is not needed for what is owed; the rest has paid for it.
    fn give_back(&self, number: u32, reason: &str, at: Timestamp) -> Result<Vec<Event>, Rejection> {
        let deposit = self.deposits.get(&number).ok_or(Rejection::UnknownDeposit { number })?;
        if deposit.returned.is_some() {
            return Err(Rejection::NothingLeft { number, owed: "it was given back".to_owned() });
        }
        let reason = reason.trim();
        if reason.is_empty() {
            return Err(Rejection::ReasonMissing);
        }
        let credit = self.balance().map(Money::reversed).filter(|credit| credit.amount() > Decimal::ZERO);
        let Some(credit) = credit else { return Err(Rejection::NothingLeft { number, owed: "all of it has paid what is owed".to_owned() }) };
        let amount = if credit.amount() < deposit.amount.amount() { credit } else { deposit.amount };
        Ok(vec![Event::DepositReturned { number, amount, reason: reason.chars().take(256).collect(), at }])
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
            Event::DepositTaken { deposit, .. } => drop(self.deposits.insert(deposit.number, deposit.clone())),
            Event::DepositReturned { number, amount, .. } => {
                if let Some(deposit) = self.deposits.get_mut(number) {
                    deposit.returned = Some(*amount);
                }
            }
            Event::ChargesGivenUp { charges, .. } => {
                for charge in charges {
                    self.charges.remove(&charge.cause);
                    self.unpriced.remove(&charge.cause);
                    self.given_up.insert(charge.cause);
                }
            }
            Event::ChargesTakenOver { charges, .. } => {
                for charge in charges {
                    let kept = if charge.amount().is_some() { &mut self.charges } else { &mut self.unpriced };
                    kept.insert(charge.cause, charge.clone());
                    self.given_up.remove(&charge.cause);
                }
            }
        }
    }

    fn name(event: &Event) -> (&'static str, u16) {
        match event {
            Event::Charged { .. } => ("Charged", 1),
            Event::ChargeUnpriced { .. } => ("ChargeUnpriced", 1),
            Event::DepositTaken { .. } => ("DepositTaken", 1),
            Event::DepositReturned { .. } => ("DepositReturned", 1),
            Event::PaymentReceived { .. } => ("PaymentReceived", 1),
            Event::ChargesGivenUp { .. } => ("ChargesGivenUp", 1),
            Event::ChargesTakenOver { .. } => ("ChargesTakenOver", 1),
        }
    }
}

impl Aggregate for Account {
    type Command = Command;
    type Rejection = Rejection;

    fn decide(&self, context: &Context, command: &Command) -> Result<Vec<Event>, Rejection> {
        match command {
            Command::Post(charge) if self.charges.contains_key(&charge.cause) || self.given_up.contains(&charge.cause) => Ok(vec![]),
            Command::Post(charge) => match (charge.amount(), self.unpriced.contains_key(&charge.cause)) {
                (Some(_), _) => Ok(vec![Event::Charged { charge: charge.clone() }]),
                (None, false) => Ok(vec![Event::ChargeUnpriced { charge: charge.clone() }]),
                (None, true) => Ok(vec![]),
            },
            Command::Pay { amount } | Command::TakeDeposit { amount, .. } if amount.amount() <= Decimal::ZERO => Err(Rejection::NotPositive),
            Command::Pay { amount } | Command::TakeDeposit { amount, .. } if amount.amount() > PAYMENT_MAX => Err(Rejection::NotPlausible),
            Command::TakeDeposit { amount, tender, encounter } => match self.balance() {
                Some(balance) if balance.currency() != amount.currency() => Err(Rejection::OtherCurrency),
                Some(_) | None => {
                    let number = self.deposits.keys().next_back().map_or(1, |last| last + 1);
                    let deposit = Deposit { number, amount: *amount, tender: *tender, encounter: encounter.clone(), returned: None };
                    Ok(vec![Event::DepositTaken { deposit, at: context.now }])
                }
            },
            Command::ReturnDeposit { number, reason } => self.give_back(*number, reason, context.now),
            Command::Pay { amount } => match self.balance() {
                Some(balance) if balance.currency() != amount.currency() => Err(Rejection::OtherCurrency),
                Some(_) | None => Ok(vec![Event::PaymentReceived { amount: *amount, at: context.now }]),
            },
            Command::Settle => match self.balance() {
                Some(balance) if balance.amount() > Decimal::ZERO => Ok(vec![Event::PaymentReceived { amount: balance, at: context.now }]),
                Some(_) | None => Err(Rejection::NothingOwed),
            },
            Command::GiveUp { to, rendered: (first, last) } => {
                let charges: Vec<Charge> = self.charges.values().chain(self.unpriced.values()).filter(|charge| (*first..=*last).contains(&charge.rendered)).cloned().collect();
                Ok(if charges.is_empty() { vec![] } else { vec![Event::ChargesGivenUp { to: to.clone(), charges, at: context.now }] })
            }
            Command::TakeOver { from, charges } => {
                let news: Vec<Charge> = charges.iter().filter(|charge| !self.charges.contains_key(&charge.cause) && !self.unpriced.contains_key(&charge.cause)).cloned().collect();
                Ok(if news.is_empty() { vec![] } else { vec![Event::ChargesTakenOver { from: from.clone(), charges: news, at: context.now }] })
            }
        }
    }

    fn held(event: &Event) -> Option<super::quarantine::Reason> {
        match event {
            Event::ChargeUnpriced { charge } => Some(super::quarantine::Reason::Unpriced { code: charge.code.clone() }),
            Event::Charged { .. }
            | Event::PaymentReceived { .. }
            | Event::DepositTaken { .. }
            | Event::DepositReturned { .. }
            | Event::ChargesGivenUp { .. }
            | Event::ChargesTakenOver { .. } => None,
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
    fn a_deposit_pays_what_is_owed_and_the_rest_is_given_back_once() {
        let mut account = Account::default();
        let done = |account: &mut Account, command: Command| when(account, &context(None), command).map(|events| events.iter().for_each(|event| account.apply(event)));
        let take = |amount: &str| Command::TakeDeposit { amount: money(amount), tender: Tender::Card, encounter: None };
        let give_back = |number: u32| Command::ReturnDeposit { number, reason: "went home".to_owned() };
        assert_eq!(done(&mut account, take("0")), Err("not_positive".to_owned()));
        done(&mut account, take("500")).unwrap();
        assert_eq!(account.balance(), Some(money("-500")));
        account.apply(&Event::Charged { charge: charge(1, "1", Some("300")) });
        assert_eq!(done(&mut account, give_back(2)), Err("unknown_deposit".to_owned()));
        assert_eq!(done(&mut account, Command::ReturnDeposit { number: 1, reason: " ".to_owned() }), Err("reason_missing".to_owned()));
        done(&mut account, give_back(1)).unwrap();
        assert_eq!(account.balance(), Some(money("0")), "200 were given back");
        assert_eq!(done(&mut account, give_back(1)), Err("nothing_left".to_owned()));
        assert_eq!(done(&mut account, Command::Settle), Err("nothing_owed".to_owned()));
        // All of a deposit was needed: nothing is given back. Of two only what is too much.
        done(&mut account, take("50")).unwrap();
        account.apply(&Event::Charged { charge: charge(2, "1", Some("80")) });
        assert_eq!(done(&mut account, give_back(2)), Err("nothing_left".to_owned()));
        done(&mut account, take("100")).unwrap();
        done(&mut account, give_back(3)).unwrap();
        assert_eq!((account.balance(), account.deposits[&3].returned), (Some(money("0")), Some(money("70"))));
        let other = Command::TakeDeposit { amount: Money::new(1.into(), "EUR".parse().unwrap()), tender: Tender::Cash, encounter: None };
        assert_eq!(done(&mut account, other), Err("other_currency".to_owned()));
    }

    #[test]
    fn charges_of_a_stay_move_to_whose_it_was_and_are_charged_once() {
        let account: Account = given(&[Event::Charged { charge: charge(1, "1", Some("10")) }, Event::ChargeUnpriced { charge: charge(2, "1", None) }]);
        let [wrong, right] = ["W", "R"].map(|mrn| AccountId::of(&mrn.parse().unwrap()));
        let give_up = |last| Command::GiveUp { to: right.clone(), rendered: (now(), last) };
        let events = when(&account, &context(None), give_up(now())).unwrap();
        let [Event::ChargesGivenUp { charges, .. }] = &events[..] else { panic!("{events:?}") };
        assert_eq!(charges.len(), 2);
        let mut left = account.clone();
        left.apply(&events[0]);
        assert_eq!(left.balance(), None, "nothing is owed here any more");
        assert_eq!(when(&left, &context(None), Command::Post(charge(1, "1", Some("10")))), Ok(vec![]), "what is replayed is not charged here again");
        assert_eq!(when(&left, &context(None), give_up(now())), Ok(vec![]));
        let take_over = Command::TakeOver { from: wrong, charges: charges.clone() };
        let taken = when(&Account::default(), &context(None), take_over.clone()).unwrap();
        let mut owner: Account = given(&taken);
        assert_eq!(owner.balance(), Some(money("10")));
        assert_eq!(when(&owner, &context(None), take_over), Ok(vec![]), "once");
        let priced = charge(2, "1", Some("5"));
        let posted = when(&owner, &context(None), Command::Post(priced.clone())).unwrap();
        assert_eq!(posted, vec![Event::Charged { charge: priced }], "what waited for a price waits there");
        owner.apply(&posted[0]);
        assert_eq!(owner.balance(), Some(money("15")));
    }

    #[test]
    fn charges_before_and_after_the_stay_stay() {
        let account: Account = given(&[Event::Charged { charge: charge(1, "1", Some("10")) }]);
        let to = AccountId::of(&"R".parse().unwrap());
        let later = Timestamp::from_micros(now().micros() + 1);
        assert_eq!(when(&account, &context(None), Command::GiveUp { to, rendered: (later, later) }), Ok(vec![]));
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
