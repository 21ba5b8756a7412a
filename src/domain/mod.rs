//! The rules of the hospital, one folder an aggregate: what may happen, and what it changes.
//!
//! Flow: state + command → `decide` → events (or a rejection) → `apply` → state.
//! **Invariant**: `decide` checks everything and changes nothing; `apply` changes everything and checks nothing.
//! **Invariant**: pure: no clock, no randomness, no input or output; facts of other aggregates come in the command.
//! Start reading at [`bed`], the smallest.

pub mod accessions;
pub mod account;
pub mod bed;
pub mod cabinet;
pub mod census;
pub mod chart;
pub mod device;
pub mod directory;
pub mod disclosure;
pub mod document;
pub mod encounter;
pub mod patient;
pub mod quarantine;
pub mod record_numbers;
pub mod rights;
pub mod schedule;
pub mod specimen;
pub mod staff;
pub mod subscriber;
pub mod subscription;
pub mod task;
pub mod user;
pub mod vitals;

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::kernel::{CommandId, Principal, Sealing, StreamKind, Timestamp};

/// What a decision may know besides state and command.
#[derive(Debug, Clone)]
pub struct Context {
    /// The command's identity, from which new identities are made.
    pub command: CommandId,
    /// When it is decided.
    pub now: Timestamp,
    /// Who asks.
    pub principal: Principal,
    /// A second person who vouches, where one is needed.
    pub witness: Option<String>,
}

/// One kind of thing with an identity: what is known of it is the fold of its events.
pub trait Folded: Default + Clone + Serialize + DeserializeOwned + Send + Sync + 'static {
    /// The kind of its streams.
    const KIND: StreamKind;
    /// The version of the state's stored form, raised with every change of its shape; snapshots of another one are not used.
    const SNAPSHOT: u16;
    /// What may have happened; stored as JSON with its name in `event`.
    type Event: Serialize + DeserializeOwned + Clone + Send + Sync + std::fmt::Debug + 'static;

    /// The state after an event.
    fn apply(&mut self, event: &Self::Event);

    /// An event's type name and the version of its stored form.
    fn name(event: &Self::Event) -> (&'static str, u16);

    /// Whose key seals an event of the stream `key` that has led to this state.
    fn sealing(&self, key: &str, event: &Self::Event) -> Sealing {
        let _ = (key, event);
        Sealing::House
    }
}

/// What happens under a patient's number is sealed under their key, but for what says that it was erased.
fn of_patient(key: &str, is_erasure: bool) -> Sealing {
    key.parse().ok().filter(|_| !is_erasure).map_or(Sealing::House, Sealing::Person)
}

/// A thing that decides for itself: its rules need nothing but its own state. What moves several at once is decided in [`census`].
pub trait Aggregate: Folded {
    /// What may be asked.
    type Command: Send + Sync + std::fmt::Debug + 'static;
    /// Why something may not happen; serialised with its name in `rejection`.
    type Rejection: std::error::Error + Serialize + Send + 'static;

    /// What happens when a command meets the state. No events: it has happened already.
    fn decide(&self, context: &Context, command: &Self::Command) -> Result<Vec<Self::Event>, Self::Rejection>;

    /// What a person must look at because of this event, besides what it changes.
    fn held(event: &Self::Event) -> Option<quarantine::Reason> {
        let _ = event;
        None
    }
}

/// A rejection as it leaves the house: a word for programs, a sentence for people.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    /// Which rule, such as `drawer_empty`.
    pub rule: String,
    /// The sentence: what, and the way out.
    pub message: String,
}

impl Refusal {
    /// The refusal of a rejection.
    pub fn of<R: std::error::Error + Serialize>(rejection: &R) -> Self {
        let value = serde_json::to_value(rejection).unwrap_or_default();
        let rule = value.get("rejection").and_then(|name| name.as_str()).or_else(|| value.as_str()).unwrap_or("rejected").to_owned();
        Self { rule, message: rejection.to_string() }
    }
}

#[cfg(test)]
mod golden_tests;

#[cfg(test)]
pub(crate) mod check {
    //! Reads a rule's test as: given events, when command, then events or rejection.

    use super::*;

    /// A moment in tests: 2026-11-21T12:00:00Z.
    pub(crate) fn now() -> Timestamp {
        "2026-11-21T12:00:00Z".parse().unwrap()
    }

    /// The context of a nurse at that moment.
    pub(crate) fn context(witness: Option<&str>) -> Context {
        Context { command: CommandId::from_bytes([1; 16]), now: now(), principal: Principal::Person("nurse-a".into()), witness: witness.map(str::to_owned) }
    }

    /// The state after events.
    pub(crate) fn given<A: Folded>(events: &[A::Event]) -> A {
        let mut state = A::default();
        for event in events {
            state.apply(event);
            // What snapshots and rows keep is read as it was: two fields of one name would write what nobody can read.
            let text = serde_json::to_string(&state).unwrap();
            let again: A = serde_json::from_str(&text).unwrap_or_else(|error| panic!("{error}: {text}"));
            assert_eq!(serde_json::to_string(&again).unwrap(), text);
        }
        state
    }

    /// What a command gives: events as JSON, or the rejection's rule.
    pub(crate) fn when<A: Aggregate>(state: &A, context: &Context, command: A::Command) -> Result<Vec<A::Event>, String> {
        state.decide(context, &command).map_err(|rejection| Refusal::of(&rejection).rule)
    }
}
