//! What a chart holds besides problems and notes: immunisations, illnesses of the family, referrals, documents.

use serde::{Deserialize, Serialize};

use crate::kernel::{Date, DocumentId, EncounterId, Icd10, Timestamp};

/// A vaccine as it was given.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Vaccine {
    /// Which, by the house's code system: CVX, ATC (`J07BX03`) or its own item.
    pub code: String,
    /// The same in words.
    pub text: String,
    /// The day on which it was given.
    pub on: Date,
    /// Which dose of its series, from 1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dose: Option<u8>,
    /// The lot; needed when it was given here.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lot: Option<String>,
    /// The last day of the lot.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires: Option<Date>,
    /// Where on the body.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub site: String,
    /// Whether somebody else gave it, as a card or the patient says.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub elsewhere: bool,
}

/// A vaccine in the chart.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Immunisation {
    /// Its number in this chart, from 1.
    pub number: u32,
    /// What was given.
    #[serde(flatten)]
    pub vaccine: Vaccine,
    /// Who recorded it.
    pub by: String,
    /// When it was recorded.
    pub at: Timestamp,
    /// Why it does not count any more.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub withdrawn: Option<String>,
}

/// Who has or had an illness (HL7 v3 RoleCode, FamilyMember).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Relation {
    /// MTH.
    Mother,
    /// FTH.
    Father,
    /// SIS.
    Sister,
    /// BRO.
    Brother,
    /// DAU.
    Daughter,
    /// SON.
    Son,
    /// GRPRN.
    Grandparent,
    /// FAMMEMB.
    OtherRelative,
}

/// An illness in the family.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Illness {
    /// Whose.
    pub relation: Relation,
    /// Which, where it has a code.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub code: Option<Icd10>,
    /// The same in words.
    pub text: String,
    /// At which age it began, in years.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub onset_years: Option<u8>,
    /// Whether they have died of it.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub died_of_it: bool,
}

/// An illness of the family in the chart.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FamilyIllness {
    /// Its number in this chart, from 1.
    pub number: u32,
    /// What it is.
    #[serde(flatten)]
    pub illness: Illness,
    /// Who recorded it.
    pub by: String,
    /// When it was recorded.
    pub at: Timestamp,
    /// Why it does not count any more.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub withdrawn: Option<String>,
}

/// How a programme of care stands.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "status")]
pub enum Run {
    /// It goes on.
    Active,
    /// It is over.
    Finished {
        /// Since which day.
        until: Date,
    },
    /// It never was the patient's.
    Refuted {
        /// Why.
        reason: String,
    },
}

/// A programme of care over many stays: antenatal care, diabetes, a transplant.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Programme {
    /// Its number in this chart, from 1.
    pub number: u32,
    /// What people call it.
    pub name: String,
    /// Since which day.
    pub from: Date,
    /// Who has taken the patient into it.
    pub by: String,
    /// When that was recorded.
    pub at: Timestamp,
    /// How it stands.
    #[serde(flatten)]
    pub standing: Run,
}

/// How soon somebody should see the patient (FHIR request-priority).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Urgency {
    /// In its turn.
    #[default]
    Routine,
    /// Before the others.
    Urgent,
    /// At once.
    Emergency,
}

/// How a referral stands.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "status")]
pub enum Asked {
    /// Nobody has answered.
    Open,
    /// Somebody has.
    Answered {
        /// What.
        answer: String,
        /// Who.
        answered_by: String,
        /// When.
        answered: Timestamp,
    },
    /// It was declined.
    Declined {
        /// Why.
        reason: String,
    },
    /// Whoever asked needs it no more.
    Cancelled {
        /// Why.
        reason: String,
    },
}

impl Asked {
    /// Its word.
    pub fn word(&self) -> &'static str {
        match self {
            Asked::Open => "open",
            Asked::Answered { .. } => "answered",
            Asked::Declined { .. } => "declined",
            Asked::Cancelled { .. } => "cancelled",
        }
    }
}

/// A question to another specialty or house.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Question {
    /// Whom: a specialty, a person, another house.
    pub to: String,
    /// How soon.
    #[serde(default)]
    pub urgency: Urgency,
    /// What is asked, with what must be known for it.
    pub question: String,
}

/// A referral.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Referral {
    /// Its number in this chart, from 1.
    pub number: u32,
    /// What is asked.
    #[serde(flatten)]
    pub question: Question,
    /// During which stay.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub encounter: Option<EncounterId>,
    /// Who asks.
    pub by: String,
    /// When.
    pub at: Timestamp,
    /// How it stands.
    #[serde(flatten)]
    pub standing: Asked,
}

/// A document that was filed; its bytes stand in a stream of their own.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Paper {
    /// Its number in this chart, from 1.
    pub number: u32,
    /// Where its bytes are.
    pub document: DocumentId,
    /// What people call it.
    pub title: String,
    /// Its media type.
    pub media_type: String,
    /// Its size in bytes.
    pub size: u64,
    /// SHA-256 of its bytes, in hexadecimal.
    pub digest: String,
    /// About which stay.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub encounter: Option<EncounterId>,
    /// Who filed it.
    pub by: String,
    /// When.
    pub at: Timestamp,
    /// Why it does not count any more.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub withdrawn: Option<String>,
}
