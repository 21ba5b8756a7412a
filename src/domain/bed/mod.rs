//! A bed: one patient, or none.
//!
//! **Invariant**: a bed never holds two patients, whoever asks and however often.

use serde::{Deserialize, Serialize};

use super::{Aggregate, Context};
use crate::kernel::planted::{self, Bug};
use crate::kernel::{Mrn, StreamKind, Timestamp};

/// The state of a bed.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub enum Bed {
    /// Nobody lies in it.
    #[default]
    Free,
    /// Somebody lies in it.
    Occupied {
        /// Who.
        patient: Mrn,
        /// Since when.
        since: Timestamp,
    },
}

/// What may be asked of a bed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Command {
    /// Puts a patient into the bed.
    Admit {
        /// Who.
        patient: Mrn,
    },
    /// The patient leaves the bed: discharge, transfer or cancelled admission.
    Release {
        /// Who; the bed must hold this patient.
        patient: Mrn,
        /// Why.
        reason: Leaving,
    },
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
        /// Since when.
        at: Timestamp,
    },
    /// The patient has left; the interval can be priced from `since` to `at`.
    PatientLeft {
        /// Who.
        patient: Mrn,
        /// When the stay in this bed began.
        since: Timestamp,
        /// When it ended.
        at: Timestamp,
        /// Why.
        reason: Leaving,
    },
}

/// Why a bed refuses.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error, Serialize)]
#[serde(tag = "rejection", rename_all = "snake_case")]
pub enum Rejection {
    /// Another patient lies in it.
    #[error("the bed is occupied by another patient since {since}: discharge or transfer that patient first")]
    Occupied {
        /// Since when.
        since: Timestamp,
    },
    /// Nobody lies in it.
    #[error("nobody lies in the bed: there is nothing to release")]
    NotOccupied,
    /// Somebody else lies in it.
    #[error("another patient lies in the bed: check the patient and the bed")]
    OtherPatient,
}

impl Aggregate for Bed {
    const KIND: StreamKind = StreamKind::Bed;
    const SNAPSHOT: u16 = 1;
    type Command = Command;
    type Event = Event;
    type Rejection = Rejection;

    fn decide(&self, context: &Context, command: &Command) -> Result<Vec<Event>, Rejection> {
        match (self, command) {
            (Bed::Free, Command::Admit { patient }) => Ok(vec![Event::PatientAdmitted { patient: patient.clone(), at: context.now }]),
            (Bed::Occupied { patient, .. }, Command::Admit { patient: asked }) if patient == asked => Ok(vec![]),
            (Bed::Occupied { .. }, Command::Admit { patient }) if planted::is(Bug::BedForTwo) => Ok(vec![Event::PatientAdmitted { patient: patient.clone(), at: context.now }]),
            (Bed::Occupied { since, .. }, Command::Admit { .. }) => Err(Rejection::Occupied { since: *since }),
            (Bed::Free, Command::Release { .. }) => Err(Rejection::NotOccupied),
            (Bed::Occupied { patient, since }, Command::Release { patient: asked, reason }) if patient == asked => {
                Ok(vec![Event::PatientLeft { patient: patient.clone(), since: *since, at: context.now, reason: *reason }])
            }
            (Bed::Occupied { .. }, Command::Release { .. }) => Err(Rejection::OtherPatient),
        }
    }

    fn apply(&mut self, event: &Event) {
        *self = match event {
            Event::PatientAdmitted { patient, at } => Bed::Occupied { patient: patient.clone(), since: *at },
            Event::PatientLeft { .. } => Bed::Free,
        };
    }

    fn name(event: &Event) -> (&'static str, u16) {
        match event {
            Event::PatientAdmitted { .. } => ("PatientAdmitted", 1),
            Event::PatientLeft { .. } => ("PatientLeft", 1),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::check::{context, given, now, when};

    fn patient(mrn: &str) -> Mrn {
        mrn.parse().unwrap()
    }

    fn admitted(mrn: &str) -> Event {
        Event::PatientAdmitted { patient: patient(mrn), at: now() }
    }

    #[test]
    fn number_21_a_second_patient_in_one_bed_is_refused() {
        let bed: Bed = given(&[admitted("1001")]);
        assert_eq!(when(&bed, &context(None), Command::Admit { patient: patient("1002") }), Err("occupied".into()));
    }

    #[test]
    fn admission_and_release() {
        let admit = |mrn| Command::Admit { patient: patient(mrn) };
        let release = |mrn| Command::Release { patient: patient(mrn), reason: Leaving::Discharge };
        assert_eq!(when(&Bed::default(), &context(None), admit("1")), Ok(vec![admitted("1")]));
        let bed: Bed = given(&[admitted("1")]);
        assert_eq!(when(&bed, &context(None), admit("1")), Ok(vec![]), "the same patient again changes nothing");
        assert_eq!(when(&bed, &context(None), release("2")), Err("other_patient".into()));
        assert_eq!(when(&Bed::default(), &context(None), release("1")), Err("not_occupied".into()));
        let left = when(&bed, &context(None), release("1")).unwrap();
        assert_eq!(given::<Bed>(&[admitted("1"), left[0].clone()]), Bed::Free);
    }
}
