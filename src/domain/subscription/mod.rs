//! A program's subscription (FHIR R4, Subscription by rest-hook): what it wants to know, where it is told, and how far it was told.
//!
//! **Invariant**: what happened after `through` is told, or the subscription has failed or was switched off, and says so.
//! **Invariant**: it is told what the token that asked may see at the moment of telling, and nothing else.

use serde::{Deserialize, Serialize};

use super::{Aggregate, Context, Folded, quarantine};
use crate::kernel::{StreamKind, Timestamp};

/// What was asked for.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Wanted {
    /// A search, such as `Observation?patient=W1&code=8867-4`: what fits it is told when it changes.
    pub criteria: String,
    /// Where it is told.
    pub endpoint: String,
    /// Whether the resource itself is sent, and not only that there is something new.
    pub is_with_resource: bool,
    /// Lines of the head of each request, such as `Authorization: Bearer …`.
    pub headers: Vec<String>,
    /// What for.
    pub reason: String,
    /// Until when, if it ends.
    pub end: Option<Timestamp>,
    /// The token whose rights it has; none in a house where nobody is asked.
    pub token: Option<String>,
}

/// Whether it is told.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub enum Status {
    /// There is none, or it was removed.
    #[default]
    None,
    /// It is told.
    Active,
    /// It could not be told: whoever asked must mend that, and ask again.
    Failed {
        /// Why.
        why: String,
    },
    /// It was switched off, or its end has come.
    Off,
}

/// A subscription as far as its events say.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Subscription {
    /// What it is.
    pub wanted: Wanted,
    /// Whether it is told.
    pub status: Status,
    /// The last event that it needs not be told any more.
    pub through: u64,
}

/// What may be asked of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Command {
    /// Tell me; from behind this event on, unless it was told already.
    Ask(Box<Wanted>, u64),
    /// Tell nothing more.
    SwitchOff,
    /// There is none any more.
    Remove,
    /// It was told of so many resources up to an event, or nothing of these was for it.
    Told {
        /// The last event.
        through: u64,
        /// How many.
        resources: u32,
    },
    /// It cannot be told.
    Fail {
        /// Why.
        why: String,
    },
}

/// What may have happened.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "event")]
pub enum Event {
    /// It was asked for, or something else was asked of it.
    SubscriptionAsked {
        /// What.
        wanted: Box<Wanted>,
        /// What happens behind this event is told.
        through: u64,
        /// When.
        at: Timestamp,
    },
    /// It was told.
    SubscriptionTold {
        /// The last event.
        through: u64,
        /// Of how many resources.
        resources: u32,
        /// When.
        at: Timestamp,
    },
    /// It could not be told, and is not any more.
    SubscriptionFailed {
        /// Why.
        why: String,
        /// When.
        at: Timestamp,
    },
    /// It is not told any more.
    SubscriptionSwitchedOff {
        /// When.
        at: Timestamp,
    },
    /// There is none any more.
    SubscriptionRemoved {
        /// When.
        at: Timestamp,
    },
}

/// Why something cannot be done.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error, Serialize)]
#[serde(tag = "rejection", rename_all = "snake_case")]
pub enum Rejection {
    /// There is none.
    #[error("there is no such subscription: it was removed, or never asked for")]
    NoSubscription,
    /// Another token asked for it.
    #[error("this subscription was asked for by another program: ask for one of your own")]
    NotYours,
}

impl Folded for Subscription {
    const KIND: StreamKind = StreamKind::Subscription;
    const SNAPSHOT: u16 = 1;
    type Event = Event;

    fn apply(&mut self, event: &Event) {
        match event {
            Event::SubscriptionAsked { wanted, through, .. } => *self = Subscription { wanted: wanted.as_ref().clone(), status: Status::Active, through: *through },
            Event::SubscriptionTold { through, .. } => self.through = *through,
            Event::SubscriptionFailed { why, .. } => self.status = Status::Failed { why: why.clone() },
            Event::SubscriptionSwitchedOff { .. } => self.status = Status::Off,
            Event::SubscriptionRemoved { .. } => *self = Subscription { through: self.through, ..Subscription::default() },
        }
    }

    fn name(event: &Event) -> (&'static str, u16) {
        match event {
            Event::SubscriptionAsked { .. } => ("SubscriptionAsked", 1),
            Event::SubscriptionTold { .. } => ("SubscriptionTold", 1),
            Event::SubscriptionFailed { .. } => ("SubscriptionFailed", 1),
            Event::SubscriptionSwitchedOff { .. } => ("SubscriptionSwitchedOff", 1),
            Event::SubscriptionRemoved { .. } => ("SubscriptionRemoved", 1),
        }
    }
}

impl Aggregate for Subscription {
    type Command = Command;
    type Rejection = Rejection;

    fn decide(&self, context: &Context, command: &Command) -> Result<Vec<Event>, Rejection> {
        let at = context.now;
        match (&self.status, command) {
            (Status::None, Command::Ask(wanted, head)) => Ok(vec![Event::SubscriptionAsked { wanted: wanted.clone(), through: *head, at }]),
            (Status::None, _) => Err(Rejection::NoSubscription),
            (_, Command::Ask(wanted, _)) if wanted.token != self.wanted.token => Err(Rejection::NotYours),
            (Status::Active, Command::Ask(wanted, _)) if **wanted == self.wanted => Ok(vec![]),
            // What it waits for already is told in the new way.
            (Status::Active, Command::Ask(wanted, _)) => Ok(vec![Event::SubscriptionAsked { wanted: wanted.clone(), through: self.through, at }]),
            // What happened while it was not told, whoever asks again looks up by a search.
            (Status::Failed { .. } | Status::Off, Command::Ask(wanted, head)) => Ok(vec![Event::SubscriptionAsked { wanted: wanted.clone(), through: *head, at }]),
            (Status::Off, Command::SwitchOff) => Ok(vec![]),
            (_, Command::SwitchOff) => Ok(vec![Event::SubscriptionSwitchedOff { at }]),
            (_, Command::Remove) => Ok(vec![Event::SubscriptionRemoved { at }]),
            // It was switched off while it was being told.
            (Status::Failed { .. } | Status::Off, Command::Told { .. } | Command::Fail { .. }) => Ok(vec![]),
            (Status::Active, Command::Told { through, resources }) if *through > self.through => Ok(vec![Event::SubscriptionTold { through: *through, resources: *resources, at }]),
            (Status::Active, Command::Told { .. }) => Ok(vec![]),
            (Status::Active, Command::Fail { why }) => Ok(vec![Event::SubscriptionFailed { why: why.clone(), at }]),
        }
    }

    fn held(event: &Event) -> Option<quarantine::Reason> {
        match event {
            Event::SubscriptionFailed { why, .. } => {
                let detail = format!("a program is not told of changes any more: {why}. Have it mended there, and asked for again, then discard this");
                Some(quarantine::Reason::Refused { rule: "subscription_failed".to_owned(), detail })
            }
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::check::{context, given, now};

    fn wanted(criteria: &str) -> Box<Wanted> {
        Box::new(Wanted { criteria: criteria.into(), endpoint: "https://ehr.example/hook".into(), token: Some("t1".into()), ..Wanted::default() })
    }

    fn asked(through: u64) -> Event {
        Event::SubscriptionAsked { wanted: wanted("Patient"), through, at: now() }
    }

    fn decide(events: &[Event], command: Command) -> Result<Vec<Event>, Rejection> {
        given::<Subscription>(events).decide(&context(None), &command)
    }

    #[test]
    fn what_is_asked_is_told_from_then_on_and_a_change_loses_nothing() {
        assert_eq!(decide(&[], Command::Ask(wanted("Patient"), 7)), Ok(vec![asked(7)]));
        assert_eq!(decide(&[asked(7)], Command::Ask(wanted("Patient"), 9)), Ok(vec![]), "the same again");
        let told = Event::SubscriptionTold { through: 8, resources: 1, at: now() };
        let changed = Event::SubscriptionAsked { wanted: wanted("Encounter"), through: 8, at: now() };
        assert_eq!(decide(&[asked(7), told.clone()], Command::Ask(wanted("Encounter"), 20)), Ok(vec![changed]));
        assert_eq!(decide(&[asked(7)], Command::Told { through: 8, resources: 1 }), Ok(vec![told]));
        assert_eq!(decide(&[asked(7)], Command::Told { through: 7, resources: 1 }), Ok(vec![]), "told already");
    }

    #[test]
    fn what_failed_or_was_switched_off_is_told_again_from_when_it_is_asked_again() {
        let failed = Event::SubscriptionFailed { why: "no answer".into(), at: now() };
        let off = Event::SubscriptionSwitchedOff { at: now() };
        assert_eq!(decide(&[asked(7)], Command::Fail { why: "no answer".into() }), Ok(vec![failed.clone()]));
        assert_eq!(decide(&[asked(7)], Command::SwitchOff), Ok(vec![off.clone()]));
        for ended in [failed, off] {
            assert_eq!(decide(&[asked(7), ended.clone()], Command::Told { through: 9, resources: 1 }), Ok(vec![]));
            assert_eq!(decide(&[asked(7), ended.clone()], Command::Fail { why: "x".into() }), Ok(vec![]));
            assert_eq!(decide(&[asked(7), ended], Command::Ask(wanted("Patient"), 20)), Ok(vec![asked(20)]));
        }
    }

    #[test]
    fn nobody_takes_over_what_another_program_asked_for() {
        let foreign = Box::new(Wanted { token: Some("t2".into()), ..*wanted("Patient") });
        assert_eq!(decide(&[asked(7)], Command::Ask(foreign.clone(), 9)), Err(Rejection::NotYours));
        let removed = Event::SubscriptionRemoved { at: now() };
        assert_eq!(decide(&[asked(7)], Command::Remove), Ok(vec![removed.clone()]));
        for command in [Command::SwitchOff, Command::Remove, Command::Told { through: 9, resources: 0 }, Command::Fail { why: "x".into() }] {
            assert_eq!(decide(&[], command.clone()), Err(Rejection::NoSubscription));
            assert_eq!(decide(&[asked(7), removed.clone()], command), Err(Rejection::NoSubscription));
        }
        assert!(decide(&[asked(7), removed], Command::Ask(foreign, 9)).is_ok(), "the name is free again");
    }
}
