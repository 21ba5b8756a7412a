//! A bed: who lies in it, for whom it is kept, whether it is clean. Its rules stand in [`super::census`].
//!
//! **Invariant**: a bed never holds two patients, whoever asks and however often.

use serde::{Deserialize, Serialize};

use super::Folded;
use crate::kernel::{EncounterId, Mrn, Sealing, StreamKind, Timestamp};

/// What a bed is used for now.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "use")]
pub enum Use {
    /// Nobody lies in it.
    #[default]
    Free,
    /// It is kept for somebody who comes.
    Reserved {
        /// For whom.
        patient: Mrn,
        /// Since when.
        since: Timestamp,
    },
    /// Somebody lies in it.
    Occupied {
        /// Who.
        patient: Mrn,
        /// Since when.
        since: Timestamp,
    },
    /// Whoever stays with a patient lies in it: a mother, a guardian. They are no patient.
    Companion {
        /// With whom.
        patient: Mrn,
        /// Since when.
        since: Timestamp,
    },
    /// Somebody has left it, and housekeeping has not been there yet.
    Cleaning {
        /// Since when.
        since: Timestamp,
    },
    /// It cannot be used.
    Blocked {
        /// Why.
        reason: String,
        /// Since when.
        since: Timestamp,
        /// Whether housekeeping was still to come.
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        is_dirty: bool,
    },
}

/// The state of a bed.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Bed {
    /// What it is used for.
    #[serde(flatten)]
    pub used: Use,
    /// Why whoever lies in it is isolated.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub isolation: Option<String>,
    /// The stay of whoever left it last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub left_by: Option<EncounterId>,
}

/// Why a patient leaves a bed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Leaving {
    /// Discharged from the hospital.
    Discharge,
    /// Moved to another bed.
    Transfer,
    /// The admission was an error.
    Cancelled,
}

/// What may have happened to a bed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "event")]
pub enum Event {
    /// A patient lies in the bed.
    PatientAdmitted {
        /// Who.
        patient: Mrn,
        /// Under which encounter; events of before there were any have none.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        encounter: Option<EncounterId>,
        /// Since when.
        at: Timestamp,
    },
    /// The patient has left; the interval can be priced from `since` to `at`.
    PatientLeft {
        /// Who.
        patient: Mrn,
        /// Under which encounter.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        encounter: Option<EncounterId>,
        /// When the stay in this bed began.
        since: Timestamp,
        /// When it ended.
        at: Timestamp,
        /// Why.
        reason: Leaving,
    },
    /// Whoever lies in it was somebody else all the time.
    OccupantNamed {
        /// Who.
        patient: Mrn,
        /// Under which encounter.
        encounter: EncounterId,
        /// When that was known.
        at: Timestamp,
    },
    /// Whoever stays with a patient lies in the bed.
    CompanionAdmitted {
        /// With whom.
        patient: Mrn,
        /// During which stay.
        encounter: EncounterId,
        /// Since when.
        at: Timestamp,
    },
    /// They have left; the interval can be priced from `since` to `at`.
    CompanionLeft {
        /// With whom they stayed.
        patient: Mrn,
        /// During which stay.
        encounter: EncounterId,
        /// When they came.
        since: Timestamp,
        /// When they went.
        at: Timestamp,
    },
    /// It is kept for somebody.
    Reserved {
        /// For whom.
        patient: Mrn,
        /// Since when.
        at: Timestamp,
    },
    /// It is not kept any more.
    ReservationEnded {
        /// When.
        at: Timestamp,
    },
    /// Housekeeping is asked for.
    CleaningAsked {
        /// When.
        at: Timestamp,
    },
    /// It is clean.
    Cleaned {
        /// Since when housekeeping was asked for.
        since: Timestamp,
        /// When.
        at: Timestamp,
    },
    /// Somebody lies in it before housekeeping was there.
    CleaningSkipped {
        /// Since when housekeeping was asked for.
        since: Timestamp,
        /// When.
        at: Timestamp,
    },
    /// It cannot be used.
    Blocked {
        /// Why.
        reason: String,
        /// When.
        at: Timestamp,
    },
    /// It can be used again.
    Unblocked {
        /// When.
        at: Timestamp,
    },
    /// An event whose key was destroyed.
    Erased {},
    /// Whoever lies in it is isolated; sealed under their key.
    IsolationBegan {
        /// Why.
        reason: String,
        /// When.
        at: Timestamp,
    },
    /// Nobody is isolated any more.
    IsolationEnded {
        /// When.
        at: Timestamp,
    },
}

impl Bed {
    /// Who lies in it, and since when.
    pub fn occupant(&self) -> Option<(&Mrn, Timestamp)> {
        match &self.used {
            Use::Occupied { patient, since } => Some((patient, *since)),
            Use::Free | Use::Companion { .. } | Use::Reserved { .. } | Use::Cleaning { .. } | Use::Blocked { .. } => None,
        }
    }
}

impl Folded for Bed {
    const KIND: StreamKind = StreamKind::Bed;
    const SNAPSHOT: u16 = 2;
    type Event = Event;

    fn apply(&mut self, event: &Event) {
        match event {
            Event::PatientAdmitted { patient, at, .. } => self.used = Use::Occupied { patient: patient.clone(), since: *at },
            Event::OccupantNamed { patient, .. } => {
                if let Use::Occupied { patient: known, .. } | Use::Companion { patient: known, .. } = &mut self.used {
                    known.clone_from(patient);
                }
            }
            Event::CompanionAdmitted { patient, at, .. } => self.used = Use::Companion { patient: patient.clone(), since: *at },
            Event::CompanionLeft { .. } => self.used = Use::Free,
            Event::Reserved { patient, at } => self.used = Use::Reserved { patient: patient.clone(), since: *at },
            Event::PatientLeft { encounter, .. } => (self.used, self.left_by) = (Use::Free, encounter.clone()),
            Event::ReservationEnded { .. } | Event::Cleaned { .. } | Event::CleaningSkipped { .. } | Event::Unblocked { .. } => self.used = Use::Free,
            Event::CleaningAsked { at } => self.used = Use::Cleaning { since: *at },
            Event::Blocked { reason, at } => {
                let is_dirty = matches!(self.used, Use::Cleaning { .. });
                self.used = Use::Blocked { reason: reason.clone(), since: *at, is_dirty };
            }
            Event::IsolationBegan { reason, .. } => self.isolation = Some(reason.clone()),
            Event::IsolationEnded { .. } => self.isolation = None,
            Event::Erased {} => {}
        }
    }

    fn name(event: &Event) -> (&'static str, u16) {
        match event {
            Event::PatientAdmitted { .. } => ("PatientAdmitted", 1),
            Event::PatientLeft { .. } => ("PatientLeft", 1),
            Event::OccupantNamed { .. } => ("OccupantNamed", 1),
            Event::CompanionAdmitted { .. } => ("CompanionAdmitted", 1),
            Event::CompanionLeft { .. } => ("CompanionLeft", 1),
            Event::Reserved { .. } => ("Reserved", 1),
            Event::ReservationEnded { .. } => ("ReservationEnded", 1),
            Event::CleaningAsked { .. } => ("CleaningAsked", 1),
            Event::Cleaned { .. } => ("Cleaned", 1),
            Event::CleaningSkipped { .. } => ("CleaningSkipped", 1),
            Event::Blocked { .. } => ("Blocked", 1),
            Event::Unblocked { .. } => ("Unblocked", 1),
            Event::IsolationBegan { .. } => ("IsolationBegan", 1),
            Event::IsolationEnded { .. } => ("IsolationEnded", 1),
            Event::Erased {} => ("Erased", 1),
        }
    }

    fn sealing(&self, _: &str, event: &Event) -> Sealing {
        match (event, self.occupant()) {
            (Event::IsolationBegan { .. }, Some((patient, _))) => Sealing::Person(patient.clone()),
            _ => Sealing::House,
        }
    }
}
