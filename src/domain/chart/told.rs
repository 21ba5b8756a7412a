//! What another system tells of a patient's record: who looked at it there, who made what it sent. It is kept as it was told, and never changed.

use serde::{Deserialize, Serialize};

use super::command::{Rejection, TEXT_MAX};
use crate::domain::Context;
use crate::kernel::Timestamp;

/// Most codes, people and references of one telling.
const LIST_MAX: usize = 20;
/// So far another system's clock may be ahead, in seconds.
const AHEAD_SECONDS: i64 = 300;

/// A code of a system of codes (FHIR Coding).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Code {
    /// The system, a URI.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub system: String,
    /// The code.
    pub code: String,
    /// What it means in words.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub display: String,
}

/// Somebody who did it, or something.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Agent {
    /// Who, as the other system calls them.
    pub name: String,
    /// What their part was.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub part: Option<Code>,
    /// Whether it was they who asked for it.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub is_requestor: bool,
    /// From which address.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub address: String,
}

/// Somebody looked at, or did something with, what another system keeps of the patient (DICOM PS3.15 A.5, IHE ATNA; FHIR AuditEvent).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Look {
    /// What kind of event.
    pub kind: Code,
    /// More of what kind.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub subtypes: Vec<Code>,
    /// `C`, `R`, `U`, `D` or `E`; empty when it was not said.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub action: String,
    /// `0` for what was done, `4`, `8` or `12` for what failed; empty when it was not said.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub outcome: String,
    /// What for.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub purposes: Vec<Code>,
    /// When, as the other system says.
    pub recorded: Timestamp,
    /// Who.
    pub agents: Vec<Agent>,
    /// The system that tells.
    pub source: String,
    /// Of what besides the patient: references.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub of: Vec<String>,
}

/// Who made a record what it is, and of what (FHIR Provenance).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Origin {
    /// The record: a reference.
    pub target: String,
    /// When it happened, where that was said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub occurred: Option<Timestamp>,
    /// When it was written down.
    pub recorded: Timestamp,
    /// What was done.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub activity: Option<Code>,
    /// Why.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub reasons: Vec<Code>,
    /// Who.
    pub agents: Vec<Agent>,
    /// Of what it was made: in which way (`derivation`, `source` …), and a reference.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub made_of: Vec<(String, String)>,
}

fn fits<'t>(texts: impl Iterator<Item = &'t str>, lists: &[usize]) -> Result<(), Rejection> {
    if lists.iter().any(|length| *length > LIST_MAX) {
        return Err(Rejection::TooMuch { what: "the number of codes, agents or references", most: LIST_MAX, way_out: "tell it in parts" });
    }
    let is_long = texts.into_iter().any(|text| text.chars().count() > TEXT_MAX);
    if is_long { Err(Rejection::TooMuch { what: "a text of what is told", most: TEXT_MAX, way_out: "shorten it" }) } else { Ok(()) }
}

fn of_code(code: &Code) -> [&str; 3] {
    [&code.system, &code.code, &code.display]
}

fn agents(agents: &[Agent]) -> impl Iterator<Item = &str> {
    agents.iter().flat_map(|agent| [agent.name.as_str(), agent.address.as_str()].into_iter().chain(agent.part.iter().flat_map(of_code)))
}

fn is_told_in_time(recorded: Timestamp, context: &Context) -> Result<(), Rejection> {
    if recorded.seconds_since(context.now) > AHEAD_SECONDS { Err(Rejection::NotYet { at: recorded }) } else { Ok(()) }
}

fn has_agents(agents: &[Agent]) -> Result<(), Rejection> {
    let is_named = !agents.is_empty() && agents.iter().all(|agent| !agent.name.trim().is_empty());
    if is_named { Ok(()) } else { Err(Rejection::Empty { field: "agent", what: "who did it" }) }
}

/// Whether a look can be kept.
pub(super) fn look(context: &Context, look: &Look) -> Result<(), Rejection> {
    is_told_in_time(look.recorded, context)?;
    has_agents(&look.agents)?;
    let codes = [&look.kind].into_iter().chain(&look.subtypes).chain(&look.purposes).flat_map(of_code);
    let texts = codes.chain(agents(&look.agents)).chain([look.source.as_str()]).chain(look.of.iter().map(String::as_str));
    fits(texts, &[look.subtypes.len(), look.purposes.len(), look.agents.len(), look.of.len()])
}

/// Whether an origin can be kept.
pub(super) fn origin(context: &Context, origin: &Origin) -> Result<(), Rejection> {
    is_told_in_time(origin.recorded, context)?;
    has_agents(&origin.agents)?;
    let codes = origin.activity.iter().chain(&origin.reasons).flat_map(of_code);
    let made_of = origin.made_of.iter().flat_map(|(how, what)| [how.as_str(), what.as_str()]);
    let texts = codes.chain(agents(&origin.agents)).chain(made_of).chain([origin.target.as_str()]);
    fits(texts, &[origin.reasons.len(), origin.agents.len(), origin.made_of.len()])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::check::{context, now};

    fn told(recorded: i64, names: &[&str], source: &str) -> Result<(), Rejection> {
        let code = Code { system: String::new(), code: "rest".to_owned(), display: String::new() };
        let agents = names.iter().map(|name| Agent { name: (*name).to_owned(), part: None, is_requestor: true, address: String::new() }).collect();
        let told = Look {
            kind: code,
            subtypes: Vec::new(),
            action: "R".to_owned(),
            outcome: String::new(),
            purposes: Vec::new(),
            recorded: now().plus_seconds(recorded),
            agents,
            source: source.to_owned(),
            of: Vec::new(),
        };
        look(&context(None), &told)
    }

    #[test]
    fn what_is_told_has_happened_was_done_by_somebody_and_is_short() {
        assert_eq!(told(0, &["ann"], "ris"), Ok(()));
        assert_eq!(told(300, &["ann"], "ris"), Ok(()), "a clock may be ahead");
        assert!(matches!(told(301, &["ann"], "ris"), Err(Rejection::NotYet { .. })));
        assert!(matches!(told(0, &[], "ris"), Err(Rejection::Empty { .. })));
        assert!(matches!(told(0, &["ann", " "], "ris"), Err(Rejection::Empty { .. })));
        assert!(matches!(told(0, &["ann"; 21], "ris"), Err(Rejection::TooMuch { .. })));
        assert!(matches!(told(0, &["ann"], &"x".repeat(TEXT_MAX + 1)), Err(Rejection::TooMuch { .. })));
    }
}
