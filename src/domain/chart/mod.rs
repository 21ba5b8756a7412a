//! A patient's problems, notes, immunisations, illnesses of the family, referrals and documents. A note is never overwritten: each change
//! is a version beside those before it.
//!
//! **Invariant**: whoever amends a note has seen its newest version; two at once are not mixed.

mod command;
mod entries;
mod form;
mod record;
mod signature;
mod told;

use serde::{Deserialize, Serialize};

pub use command::{Command, Facts, Rejection, decide};
pub use entries::{Asked, FamilyIllness, Illness, Immunisation, Paper, Programme, Question, Referral, Relation, Run, Urgency, Vaccine};
pub use form::{Answer, Field, Filled, Filling, Form, FormDue, Forms, Unfit};
pub use record::Rejection as EntryRejection;
pub use signature::{Meaning, Signature};
pub use told::{Agent, Code, Look, Origin};

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
    /// The form that the text says, where it is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub form: Option<Filled>,
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
    /// Immunisations in the order in which they were recorded.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub immunisations: Vec<Immunisation>,
    /// Illnesses of the family in the order in which they were recorded.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub family: Vec<FamilyIllness>,
    /// Referrals in their order.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub referrals: Vec<Referral>,
    /// Documents in the order in which they were filed.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub documents: Vec<Paper>,
    /// Programmes of care in their order.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub programmes: Vec<Programme>,
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
        /// The form that the text says.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        form: Option<Box<Filled>>,
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
        /// The form that the text says.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        form: Option<Box<Filled>>,
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
    /// A vaccine was given, here or elsewhere.
    ImmunisationRecorded {
        /// What, and its number.
        immunisation: Box<Immunisation>,
    },
    /// It was not.
    ImmunisationWithdrawn {
        /// Which.
        number: u32,
        /// Why.
        reason: String,
        /// When.
        at: Timestamp,
    },
    /// Somebody of the family has or had an illness.
    FamilyIllnessRecorded {
        /// What, and its number.
        illness: Box<FamilyIllness>,
    },
    /// Nobody has.
    FamilyIllnessWithdrawn {
        /// Which.
        number: u32,
        /// Why.
        reason: String,
        /// When.
        at: Timestamp,
    },
    /// Somebody else is asked.
    ReferralMade {
        /// What, and its number.
        referral: Box<Referral>,
    },
    /// They have answered, declined, or need not any more.
    ReferralEnded {
        /// Which.
        number: u32,
        /// How.
        #[serde(flatten)]
        standing: Asked,
        /// When.
        at: Timestamp,
    },
    /// The patient is in a programme of care.
    ProgrammeBegan {
        /// Which, and its number.
        programme: Box<Programme>,
    },
    /// It is over, or never was theirs.
    ProgrammeEnded {
        /// Which.
        number: u32,
        /// How.
        #[serde(flatten)]
        standing: Run,
        /// When.
        at: Timestamp,
    },
    /// Another system has told who looked at the patient's record there.
    LookTold {
        /// What it told.
        look: Box<Look>,
        /// When.
        at: Timestamp,
    },
    /// It has told who made a record here what it is.
    OriginTold {
        /// What it told.
        origin: Box<Origin>,
        /// When.
        at: Timestamp,
    },
    /// A document was filed.
    PaperFiled {
        /// Which, and its number.
        paper: Box<Paper>,
    },
    /// It does not count any more; it stays readable.
    PaperWithdrawn {
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
            Event::NoteWritten { number, encounter, kind, text, form, by, at } => self.notes.push(Note {
                number: *number,
                encounter: encounter.clone(),
                kind: *kind,
                by: by.clone(),
                versions: vec![Version { text: text.clone(), reason: String::new(), at: *at, form: form.as_deref().cloned() }],
                withdrawn: None,
                signatures: Vec::new(),
            }),
            Event::NoteSigned { number, signature } => self.change(*number, |note| {
                let holds = signature.is_of(note);
                note.signatures.push(Signature { holds, ..signature.clone() });
            }),
            Event::NoteAmended { number, text, form, reason, at } => {
                let version = Version { text: text.clone(), reason: reason.clone(), at: *at, form: form.as_deref().cloned() };
                self.change(*number, |note| note.versions.push(version.clone()));
            }
            Event::NoteWithdrawn { number, reason, .. } => self.change(*number, |note| note.withdrawn = Some(reason.clone())),
            Event::ImmunisationRecorded { immunisation } => self.immunisations.push((**immunisation).clone()),
            Event::ImmunisationWithdrawn { number, reason, .. } => {
                self.immunisations.iter_mut().filter(|known| known.number == *number).for_each(|known| known.withdrawn = Some(reason.clone()));
            }
            Event::FamilyIllnessRecorded { illness } => self.family.push((**illness).clone()),
            Event::FamilyIllnessWithdrawn { number, reason, .. } => {
                self.family.iter_mut().filter(|known| known.number == *number).for_each(|known| known.withdrawn = Some(reason.clone()));
            }
            Event::ReferralMade { referral } => self.referrals.push((**referral).clone()),
            Event::ReferralEnded { number, standing, .. } => {
                self.referrals.iter_mut().filter(|known| known.number == *number).for_each(|known| known.standing = standing.clone());
            }
            Event::ProgrammeBegan { programme } => self.programmes.push((**programme).clone()),
            Event::ProgrammeEnded { number, standing, .. } => {
                self.programmes.iter_mut().filter(|known| known.number == *number).for_each(|known| known.standing = standing.clone());
            }
            // It stands in the log, for the audit: nothing here depends on it.
            Event::LookTold { .. } | Event::OriginTold { .. } => {}
            Event::PaperFiled { paper } => self.documents.push((**paper).clone()),
            Event::PaperWithdrawn { number, reason, .. } => {
                self.documents.iter_mut().filter(|known| known.number == *number).for_each(|known| known.withdrawn = Some(reason.clone()));
            }
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
            Event::ImmunisationRecorded { .. } => ("ImmunisationRecorded", 1),
            Event::ImmunisationWithdrawn { .. } => ("ImmunisationWithdrawn", 1),
            Event::FamilyIllnessRecorded { .. } => ("FamilyIllnessRecorded", 1),
            Event::FamilyIllnessWithdrawn { .. } => ("FamilyIllnessWithdrawn", 1),
            Event::ReferralMade { .. } => ("ReferralMade", 1),
            Event::ReferralEnded { .. } => ("ReferralEnded", 1),
            Event::ProgrammeBegan { .. } => ("ProgrammeBegan", 1),
            Event::ProgrammeEnded { .. } => ("ProgrammeEnded", 1),
            Event::LookTold { .. } => ("LookTold", 1),
            Event::OriginTold { .. } => ("OriginTold", 1),
            Event::PaperFiled { .. } => ("PaperFiled", 1),
            Event::PaperWithdrawn { .. } => ("PaperWithdrawn", 1),
        }
    }

    fn sealing(&self, key: &str, event: &Event) -> Sealing {
        of_patient(key, matches!(event, Event::Erased { .. }))
    }
}

#[cfg(test)]
mod tests;
