//! Signatures of notes: who, when, what it means, of which text (21 CFR 11.50, 11.70).
//!
//! A signature holds the hash of what was signed, with the note's stay, number, kind and author: under another text, or copied to another
//! note, it does not hold, and says so.

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::Note;
use crate::kernel::Timestamp;

/// What a signature means.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Meaning {
    /// I have written it.
    Author,
    /// I have read it.
    Reviewer,
    /// I answer for it.
    Approver,
}

/// A signature of one version of a note.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Signature {
    /// The version, from 1.
    pub version: usize,
    /// What it means.
    pub meaning: Meaning,
    /// Who.
    pub by: String,
    /// SHA-256 of what was signed, in hexadecimal.
    pub digest: String,
    /// When.
    pub at: Timestamp,
    /// Whether it is of the note that it stands at.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub holds: bool,
}

impl Signature {
    /// The hash of a version of a note; none when there is no such version.
    pub(super) fn digest(note: &Note, version: usize) -> Option<String> {
        let text = &note.versions.get(version.checked_sub(1)?)?.text;
        let signed = serde_json::json!(["wardd note 1", note.encounter, note.number, note.kind, note.by, version, text]);
        Some(Sha256::digest(signed.to_string()).iter().map(|byte| format!("{byte:02x}")).collect())
    }

    /// Whether it is a signature of this note as it was written.
    pub(super) fn is_of(&self, note: &Note) -> bool {
        Self::digest(note, self.version).is_some_and(|digest| digest == self.digest)
    }
}
