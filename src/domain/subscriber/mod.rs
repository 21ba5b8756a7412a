//! Another system that is told what happens here: up to which event it was told, and what it would not take.
//!
//! **Invariant**: an event is told once it is taken or refused by the other end; what was not answered is told again, under the same number.

use serde::{Deserialize, Serialize};

use super::Folded;
use crate::kernel::{Mrn, StreamKind, Timestamp};

/// How far a subscriber is.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Subscriber {
    /// Whether it was ever told where it begins.
    pub has_begun: bool,
    /// The event that it was told last, or from which on it is told.
    pub through: u64,
}

/// What may have happened.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "event")]
pub enum Event {
    /// From now on it is told what happens.
    SubscriptionBegan {
        /// The last event that it is not told.
        through: u64,
        /// When.
        at: Timestamp,
    },
    /// It has taken a message.
    MessageTaken {
        /// The event that the message tells.
        through: u64,
        /// What it is, such as `ADT^A01`.
        message: String,
        /// Its number (MSH-10).
        number: String,
        /// Whom it is about.
        patients: Vec<Mrn>,
        /// When.
        at: Timestamp,
    },
    /// What it does not want was passed over, or what could not be written for it waits for a person.
    PassedOver {
        /// The last event that is done with.
        through: u64,
        /// When.
        at: Timestamp,
    },
    /// It would not take a message, and a person must look.
    MessageRefused {
        /// The event that the message tells.
        through: u64,
        /// What it is.
        message: String,
        /// Its number (MSH-10).
        number: String,
        /// Whom it is about.
        patients: Vec<Mrn>,
        /// What it said.
        answer: String,
        /// When.
        at: Timestamp,
    },
}

impl Folded for Subscriber {
    const KIND: StreamKind = StreamKind::Subscriber;
    const SNAPSHOT: u16 = 1;
    type Event = Event;

    fn apply(&mut self, event: &Event) {
        let (Event::SubscriptionBegan { through, .. } | Event::PassedOver { through, .. } | Event::MessageTaken { through, .. } | Event::MessageRefused { through, .. }) = event;
        *self = Subscriber { has_begun: true, through: *through };
    }

    fn name(event: &Event) -> (&'static str, u16) {
        match event {
            Event::SubscriptionBegan { .. } => ("SubscriptionBegan", 1),
            Event::PassedOver { .. } => ("PassedOver", 1),
            Event::MessageTaken { .. } => ("MessageTaken", 1),
            Event::MessageRefused { .. } => ("MessageRefused", 1),
        }
    }
}
