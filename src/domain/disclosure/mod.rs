//! What somebody looked at: one event for each answer that shows patients' data, stored before the answer goes out.

use serde::{Deserialize, Serialize};

use super::rights::{Ground, Permission};
use crate::kernel::Mrn;

/// The kind of record that was shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Record {
    /// A patient's record: person, allergies, stays.
    Patient,
    /// Who was found by a search, or who is like somebody new.
    Search,
    /// Problems, notes, vital signs.
    Chart,
    /// Whose alerts are open.
    Alerts,
    /// A stay.
    Encounter,
    /// Who lies in which bed.
    Beds,
    /// The first page.
    Board,
    /// A specimen with its results.
    Specimen,
    /// Charges and payments.
    Account,
    /// A message that waits for a person.
    Quarantine,
    /// Who saw and did what.
    Audit,
    /// Resources of FHIR.
    Fhir,
    /// Who is booked when.
    Schedule,
}

/// What may have happened.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "event")]
pub enum Event {
    /// Records were shown to whoever the envelope names.
    RecordShown {
        /// What.
        record: Record,
        /// Which, where it has a number other than the patient's.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        number: Option<String>,
        /// Whose.
        patients: Vec<Mrn>,
        /// On which ground.
        ground: Ground,
    },
    /// Whoever the envelope names asked for a patient who is not theirs, or whose record is restricted, and was refused.
    LookRefused {
        /// Whose record.
        patient: Mrn,
        /// The permission that was asked for.
        permission: Permission,
        /// Why not.
        why: String,
    },
    /// Somebody whom nobody knows tried to sign in.
    StrangerRefused {
        /// From which address.
        from: String,
    },
}

impl Event {
    /// The type's name and the version of its stored form.
    pub fn name(event: &Event) -> (&'static str, u16) {
        match event {
            Event::RecordShown { .. } => ("RecordShown", 1),
            Event::LookRefused { .. } => ("LookRefused", 1),
            Event::StrangerRefused { .. } => ("StrangerRefused", 1),
        }
    }
}
