//! Why a cabinet refuses.

use rust_decimal::Decimal;
use serde::Serialize;

use crate::kernel::{Date, ItemId, PocketId, Timestamp};

/// A rejection: which rule, and the way out.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error, Serialize)]
#[serde(tag = "rejection", rename_all = "snake_case")]
pub enum Rejection {
    /// No such pocket.
    #[error("pocket {pocket} is not assigned: assign an item to it first")]
    UnknownPocket {
        /// Which.
        pocket: PocketId,
    },
    /// No pocket takes this package.
    #[error("no pocket of this cabinet takes the scanned package: check the product, or assign a pocket to it")]
    WrongProduct,
    /// The pocket takes another item.
    #[error("pocket {pocket} holds {item}, which is not what was scanned or reported: nothing was loaded")]
    WrongPocket {
        /// Which.
        pocket: PocketId,
        /// What belongs in it.
        item: ItemId,
    },
    /// The pocket is in use for another item.
    #[error("pocket {pocket} still holds {balance} of {item}: unload it before it is assigned anew")]
    PocketInUse {
        /// Which.
        pocket: PocketId,
        /// What is in it.
        item: ItemId,
        /// How much.
        balance: Decimal,
    },
    /// The lot has expired.
    #[error("the lot expired on {expires}: take it out of use")]
    Expired {
        /// The last day of use.
        expires: Date,
    },
    /// There is not so much.
    #[error("pocket {pocket} holds {on_hand}, {asked} were asked for: take less, or have it refilled")]
    Short {
        /// Which.
        pocket: PocketId,
        /// What can be taken.
        on_hand: Decimal,
        /// What was asked for.
        asked: Decimal,
    },
    /// A quantity of zero or less.
    #[error("the quantity is {quantity}: it must be above zero")]
    NotPositive {
        /// What was given.
        quantity: Decimal,
    },
    /// A quantity that no pocket holds.
    #[error("the quantity {quantity} cannot be: a pocket holds at most 1000000, in steps of 0.0001; check the number")]
    NotPlausible {
        /// What was given.
        quantity: Decimal,
    },
    /// A load without a lot number.
    #[error("the lot number is missing: scan the package, or read it from the label")]
    LotMissing,
    /// A discrepancy resolved without a word.
    #[error("say what explains the discrepancy")]
    ExplanationMissing,
    /// A count below zero.
    #[error("a count cannot be below zero")]
    NegativeCount,
    /// No such withdrawal, or nothing of it is open.
    #[error("there is no open withdrawal to account for: check pocket and patient")]
    NoWithdrawal,
    /// More than is open.
    #[error("{open} of the withdrawal is open, {asked} were reported: check what was given, wasted and returned")]
    MoreThanOpen {
        /// What is open.
        open: Decimal,
        /// What was reported.
        asked: Decimal,
    },
    /// A second person is needed.
    #[error("this needs a second person: have a witness identify themselves")]
    WitnessMissing,
    /// The witness is the same person.
    #[error("the witness is the person who acts: another person must witness")]
    WitnessIsActor,
    /// The pocket's count did not agree.
    #[error("pocket {pocket} has an open discrepancy: two persons must resolve it first")]
    DiscrepancyOpen {
        /// Which.
        pocket: PocketId,
    },
    /// There is nothing to resolve.
    #[error("pocket {pocket} has no open discrepancy")]
    NoDiscrepancy {
        /// Which.
        pocket: PocketId,
    },
    /// A report is older than what is known.
    #[error("the report is of {at}, pocket {pocket} was changed at {updated}: it came too late to be applied in order")]
    Outdated {
        /// Which.
        pocket: PocketId,
        /// The report's time.
        at: Timestamp,
        /// The pocket's last change.
        updated: Timestamp,
    },
    /// A report from the future.
    #[error("the report is of {at}, which is in the future: set the cabinet's clock")]
    ClockAhead {
        /// The report's time.
        at: Timestamp,
    },
}
