//! A dispensing cabinet: pockets with lots, withdrawals that must be accounted for, discrepancies that stay open.
//!
//! Flow: [`Command`] → `decide` (one file a group of commands) → [`Event`] → `apply`.
//! **Invariant**: a pocket's balance is the fold of its events; it is never below zero and never clamped.
//! **Invariant**: what is given, wasted and returned of a withdrawal is never more than was withdrawn.

use std::collections::BTreeMap;

use rust_decimal::Decimal;
use serde::{Deserialize, Serialize};

use super::quarantine::Reason;
use super::{Aggregate, Context, Folded};
use crate::kernel::{Date, Gtin, ItemId, Mrn, PocketId, StreamKind, Timestamp};

mod apply;
mod command;
mod decide;
mod event;
mod rejection;

pub use command::{Command, Reported, ReportedKind, Withdrawn};
pub use event::{Event, LotAmount};
pub use rejection::Rejection;

/// The state of a cabinet.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Cabinet {
    pockets: BTreeMap<PocketId, Pocket>,
    withdrawals: BTreeMap<u32, Withdrawal>,
    /// Deliveries that were loaded, by their reference: the same one again changes nothing.
    deliveries: BTreeMap<String, PocketId>,
    /// Transactions that another system reported, by their identity.
    reported: std::collections::BTreeSet<String>,
}

/// A pocket: one item, in lots.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pocket {
    /// What belongs in it.
    pub item: ItemId,
    /// The trade items that may be loaded.
    pub gtins: Vec<Gtin>,
    /// Whether waste and counts need a second person.
    pub is_controlled: bool,
    /// The lots in it, first to expire first.
    pub lots: Vec<Lot>,
    /// A count that did not agree, until two persons resolved it.
    pub discrepancy: Option<Discrepancy>,
    /// When it was last changed.
    pub updated: Timestamp,
}

impl Pocket {
    /// How much is in it: the sum of its lots.
    pub fn balance(&self) -> Decimal {
        self.lots.iter().map(|lot| lot.quantity).sum()
    }
}

/// A lot in a pocket.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Lot {
    /// The maker's lot number.
    pub lot: String,
    /// The last day of use.
    pub expires: Date,
    /// How much of it is there.
    pub quantity: Decimal,
}

/// A count that did not agree.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Discrepancy {
    /// What the events add up to.
    pub expected: Decimal,
    /// What was found.
    pub found: Decimal,
    /// Since when.
    pub since: Timestamp,
}

/// What was taken out for a patient and is not wholly accounted for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Withdrawal {
    /// From which pocket.
    pub pocket: PocketId,
    /// For whom.
    pub patient: Mrn,
    /// From which lots.
    pub lots: Vec<LotAmount>,
    /// Given to the patient.
    pub given: Decimal,
    /// Destroyed before a witness.
    pub wasted: Decimal,
    /// Brought back.
    pub returned: Decimal,
}

impl Withdrawal {
    /// How much was taken.
    pub fn taken(&self) -> Decimal {
        self.lots.iter().map(|lot| lot.quantity).sum()
    }

    /// How much is not yet given, wasted or returned.
    pub fn open(&self) -> Decimal {
        self.taken() - self.given - self.wasted - self.returned
    }
}

impl Cabinet {
    /// The pockets by id.
    pub fn pockets(&self) -> &BTreeMap<PocketId, Pocket> {
        &self.pockets
    }

    /// The withdrawals that are not accounted for, by number.
    pub fn withdrawals(&self) -> &BTreeMap<u32, Withdrawal> {
        &self.withdrawals
    }

    fn pocket(&self, pocket: &PocketId) -> Result<&Pocket, Rejection> {
        self.pockets.get(pocket).ok_or_else(|| Rejection::UnknownPocket { pocket: pocket.clone() })
    }
}

impl Folded for Cabinet {
    const KIND: StreamKind = StreamKind::Cabinet;
    const SNAPSHOT: u16 = 1;
    type Event = Event;

    fn apply(&mut self, event: &Event) {
        apply::apply(self, event);
    }

    fn name(event: &Event) -> (&'static str, u16) {
        match event {
            Event::PocketAssigned { .. } => ("PocketAssigned", 1),
            Event::Loaded { .. } => ("Loaded", 1),
            Event::Unloaded { .. } => ("Unloaded", 1),
            Event::Vended { .. } => ("Vended", 1),
            Event::VendCancelled { .. } => ("VendCancelled", 1),
            Event::Given { .. } => ("Given", 1),
            Event::Returned { .. } => ("Returned", 1),
            Event::Wasted { .. } => ("Wasted", 1),
            Event::Counted { .. } => ("Counted", 1),
            Event::DiscrepancyOpened { .. } => ("DiscrepancyOpened", 1),
            Event::DiscrepancyResolved { .. } => ("DiscrepancyResolved", 1),
            Event::TransactionReported { .. } => ("TransactionReported", 1),
        }
    }
}

impl Aggregate for Cabinet {
    type Command = Command;
    type Rejection = Rejection;

    fn decide(&self, context: &Context, command: &Command) -> Result<Vec<Event>, Rejection> {
        decide::decide(self, context, command)
    }

    fn held(event: &Event) -> Option<Reason> {
        match event {
            Event::DiscrepancyOpened { pocket, expected, found, .. } => Some(Reason::Discrepancy { pocket: pocket.clone(), expected: *expected, found: *found }),
            // It has happened over there and is taken over; but nobody saw it who was not the one that did it.
            Event::TransactionReported { kind: ReportedKind::Waste, pocket, user, witness, .. } if decide::is_same_person(user, witness) => {
                let detail = format!("pocket {pocket}: waste was reported with {user} as the person and as the witness: find out who saw it, then discard this");
                Some(Reason::Refused { rule: "witness_is_actor".to_owned(), detail })
            }
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests;
