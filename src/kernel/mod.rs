//! The words that every other folder uses: ids, times, quantities, money, codes and limits.
//!
//! Flow: nothing flows here; these are values with checked constructors.
//! **Invariant**: no clock, no randomness, no input or output; a value that exists is valid.
//! Start reading at [`id`], then [`time`].

pub mod code;
pub mod command;
pub mod id;
pub mod limits;
pub mod money;
pub mod planted;
pub mod quantity;
pub mod raw;
pub mod sealing;
pub mod time;

pub use code::{CompanyPrefix, Gsrn, Gtin, Icd10, Loinc};
pub use command::{CommandId, Principal};
pub use id::{Accession, AccountId, BedId, CabinetId, DeviceId, DocumentId, EncounterId, ItemId, Mrn, PocketId, ScheduleId, StreamId, StreamKind, UserId, WardId};
pub use money::{Currency, Money};
pub use quantity::{Quantity, Unit};
pub use raw::RawBytes;
pub use sealing::Sealing;
pub use time::{Clock, Date, Tick, Timestamp};

/// Why a word from outside is not one of ours: what it should have been, and what came.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{what} {given:?} is not valid: {why}")]
pub struct Invalid {
    /// What the value should have been, such as `accession`.
    pub what: &'static str,
    /// The value as received, cut to 80 characters.
    pub given: String,
    /// What is wrong with it and what would be right.
    pub why: String,
}

impl Invalid {
    /// An error about `given`, which should have been a `what`.
    pub fn new(what: &'static str, given: &str, why: impl Into<String>) -> Self {
        Self { what, given: given.chars().take(80).collect(), why: why.into() }
    }
}
