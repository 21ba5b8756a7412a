//! A patient's problems and notes. A note is never overwritten: each change is a version beside those before it.
//!
//! **Invariant**: whoever amends a note has seen its newest version; two at once are not mixed.

mod command;
mod signature;

use serde::{Deserialize, Serialize};

pub use command::{Command, Rejection, decide};
pub use signature::{Meaning, Signature};

use super::{Folded, of_patient};
use crate::kernel::{Date, EncounterId, Icd10, Sealing, StreamKind, Timestamp};

/// How a problem stands (FHIR condition-clinical and condition-ver-status).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "status")]
pub enum Standing {
    /// The patient has it.
    Active,
    /// It is over.
    Resolved {
        /// Since when.
        since: Timestamp,
    },
    /// The patient never had it.
    Refuted {
        /// Why.
        reason: String,
        /// Since when.
        since: Timestamp,
    },
}

/// A problem.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Problem {
    /// Its number in this chart, from 1.
    pub number: u32,
    /// What it is.
    pub code: Icd10,
    /// The same in words.
    pub text: String,
    /// Since when the patient has it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub onset: Option<Date>,
    /// During which stay it was found.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub encounter: Option<EncounterId>,
    /// Who recorded it.
    pub by: String,
    /// When.
    pub at: Timestamp,
    /// How it stands.
    #[serde(flatten)]
    pub standing: Standing,
}

/// What a note is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum NoteKind {
    /// How the patient does.
    #[default]
    Progress,
    /// What was found at the admission.
    Admission,
    /// By nurses.
    Nursing,
    /// What was asked of another specialty and answered.
    Consultation,
    /// What was done.
    Procedure,
    /// The summary at the discharge.
    Discharge,
}

/// One version of a note.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Version {
    /// The text.
    pub text: String,
    /// Why it was changed; empty for the first one.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub reason: String,
    /// When.
    pub at: Timestamp,
}

/// A note.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Note {
    /// Its number in this chart, from 1.
    pub number: u32,
    /// About which stay.
    pub encounter: EncounterId,
    /// What it is.
    pub kind: NoteKind,
    /// Who wrote it.
    pub by: String,
    /// Its versions, the newest last.
    pub versions: Vec<Version>,
    /// Why it does not count any more.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub withdrawn: Option<String>,
    /// Who has signed it, each one version of it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub signatures: Vec<Signature>,
}

/// What a chart holds.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Chart {
    /// Problems in the order in which they were recorded.
    pub problems: Vec<Problem>,
    /// Notes in the order in which they were written.
    pub notes: Vec<Note>,
}

/// What may have happened to a chart.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "event")]
pub enum Event {
    /// Everything in it was erased.
    Erased {
        /// When somebody decided it; without it this is an event whose key was destroyed.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        at: Option<Timestamp>,
    },
    /// A problem is known.
    ProblemRecorded {
        /// Its number.
        number: u32,
        /// What it is.
        code: Icd10,
        /// The same in words.
        text: String,
        /// Since when the patient has it.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        onset: Option<Date>,
        /// During which stay it was found.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        encounter: Option<EncounterId>,
        /// Who says so.
        by: String,
        /// When.
        at: Timestamp,
    },
    /// It is over.
    ProblemResolved {
        /// Which.
        number: u32,
        /// When.
        at: Timestamp,
    },
    /// It is there again, or was never over.
    ProblemReopened {
        /// Which.
        number: u32,
        /// When.
        at: Timestamp,
    },
    /// The patient never had it.
    ProblemRefuted {
        /// Which.
        number: u32,
        /// Why.
        reason: String,
        /// When.
        at: Timestamp,
    },
    /// A note.
    NoteWritten {
        /// Its number.
        number: u32,
        /// About which stay.
        encounter: EncounterId,
        /// What it is.
        kind: NoteKind,
        /// The text.
        text: String,
        /// Who wrote it.
        by: String,
        /// When.
        at: Timestamp,
    },
    /// A newer version of a note.
    NoteAmended {
        /// Which.
        number: u32,
        /// The text.
        text: String,
        /// Why.
        reason: String,
        /// When.
        at: Timestamp,
    },
    /// Somebody stands for a version of a note.
    NoteSigned {
        /// Which.
        number: u32,
        /// The signature.
        #[serde(flatten)]
        signature: Signature,
    },
    /// A note does not count any more; it stays readable.
    NoteWithdrawn {
        /// Which.
        number: u32,
        /// Why.
        reason: String,
        /// When.
        at: Timestamp,
    },
}

impl Chart {
    /// A problem by its number.
    pub fn problem(&self, number: u32) -> Option<&Problem> {
        self.problems.iter().find(|problem| problem.number == number)
    }

    /// A note by its number.
    pub fn note(&self, number: u32) -> Option<&Note> {
        self.notes.iter().find(|note| note.number == number)
    }

    fn stand(&mut self, number: u32, standing: Standing) {
        self.problems.iter_mut().filter(|problem| problem.number == number).for_each(|problem| problem.standing = standing.clone());
    }

    fn change(&mut self, number: u32, change: impl Fn(&mut Note)) {
        self.notes.iter_mut().filter(|note| note.number == number).for_each(change);
    }
}

impl Folded for Chart {
    const KIND: StreamKind = StreamKind::Chart;
    const SNAPSHOT: u16 = 1;
    type Event = Event;

    fn apply(&mut self, event: &Event) {
        match event {
            Event::Erased { .. } => *self = Chart::default(),
            Event::ProblemRecorded { number, code, text, onset, encounter, by, at } => self.problems.push(Problem {
                number: *number,
                code: code.clone(),
                text: text.clone(),
                onset: *onset,
                encounter: encounter.clone(),
                by: by.clone(),
                at: *at,
                standing: Standing::Active,
            }),
            Event::ProblemResolved { number, at } => self.stand(*number, Standing::Resolved { since: *at }),
            Event::ProblemReopened { number, .. } => self.stand(*number, Standing::Active),
            Event::ProblemRefuted { number, reason, at } => self.stand(*number, Standing::Refuted { reason: reason.clone(), since: *at }),
            Event::NoteWritten { number, encounter, kind, text, by, at } => self.notes.push(Note {
                number: *number,
                encounter: encounter.clone(),
                kind: *kind,
                by: by.clone(),
                versions: vec![Version { text: text.clone(), reason: String::new(), at: *at }],
                withdrawn: None,
                signatures: Vec::new(),
            }),
            Event::NoteSigned { number, signature } => self.change(*number, |note| {
                let holds = signature.is_of(note);
                note.signatures.push(Signature { holds, ..signature.clone() });
            }),
            Event::NoteAmended { number, text, reason, at } => {
                self.change(*number, |note| note.versions.push(Version { text: text.clone(), reason: reason.clone(), at: *at }));
            }
            Event::NoteWithdrawn { number, reason, .. } => self.change(*number, |note| note.withdrawn = Some(reason.clone())),
        }
    }

    fn name(event: &Event) -> (&'static str, u16) {
        match event {
            Event::Erased { .. } => ("Erased", 1),
            Event::ProblemRecorded { .. } => ("ProblemRecorded", 1),
            Event::ProblemResolved { .. } => ("ProblemResolved", 1),
            Event::ProblemReopened { .. } => ("ProblemReopened", 1),
            Event::ProblemRefuted { .. } => ("ProblemRefuted", 1),
            Event::NoteWritten { .. } => ("NoteWritten", 1),
            Event::NoteAmended { .. } => ("NoteAmended", 1),
            Event::NoteSigned { .. } => ("NoteSigned", 1),
            Event::NoteWithdrawn { .. } => ("NoteWithdrawn", 1),
        }
    }

    fn sealing(&self, key: &str, event: &Event) -> Sealing {
        of_patient(key, matches!(event, Event::Erased { .. }))
    }
}

#[cfg(test)]
mod tests;
