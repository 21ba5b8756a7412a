//! What may have happened at a cabinet.

use rust_decimal::Decimal;
use serde::{Deserialize, Serialize};

use super::command::ReportedKind;
use crate::kernel::{Date, Gtin, ItemId, Mrn, PocketId, Timestamp};

/// A part of a lot.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LotAmount {
    /// The maker's lot number.
    pub lot: String,
    /// The last day of use.
    pub expires: Date,
    /// How much of it.
    pub quantity: Decimal,
}

/// An event; quantities are in the item's dispensing unit.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "event")]
pub enum Event {
    /// A pocket holds an item from now on.
    PocketAssigned {
        /// Which pocket.
        pocket: PocketId,
        /// What belongs in it.
        item: ItemId,
        /// The trade items that may be loaded.
        gtins: Vec<Gtin>,
        /// Whether waste and counts need a second person.
        is_controlled: bool,
        /// When.
        at: Timestamp,
    },
    /// Stock was put in.
    Loaded {
        /// Which pocket.
        pocket: PocketId,
        /// Of which item.
        item: ItemId,
        /// Which lot and how much.
        lot: LotAmount,
        /// The delivery and its line.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        delivery: Option<String>,
        /// When.
        at: Timestamp,
    },
    /// Stock was taken back to the pharmacy.
    Unloaded {
        /// Which pocket.
        pocket: PocketId,
        /// Which lots and how much.
        lots: Vec<LotAmount>,
        /// When.
        at: Timestamp,
    },
    /// A dose was taken out for a patient; this is charged.
    Vended {
        /// The withdrawal's number in this cabinet.
        withdrawal: u32,
        /// From which pocket.
        pocket: PocketId,
        /// Of which item.
        item: ItemId,
        /// For whom.
        patient: Mrn,
        /// From which lots.
        lots: Vec<LotAmount>,
        /// When.
        at: Timestamp,
    },
    /// Nothing was taken after all; the charge is reversed.
    VendCancelled {
        /// The withdrawal.
        withdrawal: u32,
        /// From which pocket.
        pocket: PocketId,
        /// Of which item.
        item: ItemId,
        /// For whom it had been.
        patient: Mrn,
        /// What went back.
        lots: Vec<LotAmount>,
        /// When.
        at: Timestamp,
    },
    /// A part was given to the patient.
    Given {
        /// The withdrawal.
        withdrawal: u32,
        /// How much.
        quantity: Decimal,
        /// When.
        at: Timestamp,
    },
    /// A part was brought back; its charge is reversed.
    Returned {
        /// The withdrawal.
        withdrawal: u32,
        /// To which pocket.
        pocket: PocketId,
        /// Of which item.
        item: ItemId,
        /// For whom it had been.
        patient: Mrn,
        /// What went back.
        lots: Vec<LotAmount>,
        /// When.
        at: Timestamp,
    },
    /// A part was destroyed before a witness.
    Wasted {
        /// The withdrawal.
        withdrawal: u32,
        /// How much.
        quantity: Decimal,
        /// Who saw it.
        witness: String,
        /// When.
        at: Timestamp,
    },
    /// A count agreed.
    Counted {
        /// Which pocket.
        pocket: PocketId,
        /// What was found.
        found: Decimal,
        /// When.
        at: Timestamp,
    },
    /// What was found is not what the events add up to.
    DiscrepancyOpened {
        /// Which pocket.
        pocket: PocketId,
        /// What the events add up to.
        expected: Decimal,
        /// What was found or claimed.
        found: Decimal,
        /// When.
        at: Timestamp,
    },
    /// Two persons explained it; the lots are as listed from now on.
    DiscrepancyResolved {
        /// Which pocket.
        pocket: PocketId,
        /// What explains it.
        explanation: String,
        /// Who else vouched.
        witness: String,
        /// The lots after it.
        lots: Vec<LotAmount>,
        /// When.
        at: Timestamp,
    },
    /// Another system's transaction was taken over.
    TransactionReported {
        /// What makes it itself; the same one again changes nothing.
        identity: String,
        /// What was done.
        kind: ReportedKind,
        /// Where.
        pocket: PocketId,
        /// Which item.
        item: ItemId,
        /// How much.
        quantity: Decimal,
        /// The lots after it.
        lots: Vec<LotAmount>,
        /// For whom.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        patient: Option<Mrn>,
        /// Who did it, as the other system names them.
        #[serde(default, skip_serializing_if = "String::is_empty")]
        user: String,
        /// Who saw it.
        #[serde(default, skip_serializing_if = "String::is_empty")]
        witness: String,
        /// When, by the other system's clock.
        at: Timestamp,
    },
}
