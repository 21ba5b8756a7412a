//! What waits for a person: a message, result or charge that could not be parsed, mapped, matched or done.
//!
//! **Invariant**: nothing is dropped silently; every item has a reason, an age and a way out.

use rust_decimal::Decimal;
use serde::{Deserialize, Serialize};

use super::rights::Permission;
use super::{Aggregate, Context, Folded};
use crate::kernel::{Accession, DeviceId, Loinc, PocketId, StreamKind, Timestamp};

/// Why something is held.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "reason", rename_all = "snake_case")]
pub enum Reason {
    /// It was erased with whom it was about.
    Erased,
    /// The bytes are no message of their protocol.
    NotParsed {
        /// What is wrong and where.
        detail: String,
    },
    /// A transmission that was cut.
    Incomplete {
        /// How it was cut.
        detail: String,
    },
    /// A kind of message that nothing here handles.
    NotSupported {
        /// Which kind.
        detail: String,
    },
    /// A required part is missing or wrong.
    Invalid {
        /// Which part.
        detail: String,
    },
    /// The device says that this is no patient's result, or does not say what it is.
    NotPatient {
        /// What it says.
        detail: String,
    },
    /// The sender is not the device that this link belongs to.
    UnknownSender {
        /// How it names itself.
        detail: String,
    },
    /// Two devices speak on a line that belongs to one: nobody can say which of them sent this.
    Ambiguous {
        /// Who they are.
        detail: String,
    },
    /// The line brought too many bad frames: one that is wrong may have passed the checksum.
    NoisyLine {
        /// How many, and what to do.
        detail: String,
    },
    /// The profile maps no test to the device's code, or the unit differs.
    NotMapped {
        /// Which code or unit.
        detail: String,
    },
    /// A value that is a failure, or not in any known form.
    NoValue {
        /// What was sent.
        detail: String,
    },
    /// The test was not ordered on this specimen.
    TestNotOrdered {
        /// Which test.
        test: Loinc,
    },
    /// A pocket's count did not agree.
    Discrepancy {
        /// Which pocket.
        pocket: PocketId,
        /// What the events add up to.
        expected: Decimal,
        /// What was found.
        found: Decimal,
    },
    /// The price list has no price.
    Unpriced {
        /// For which code.
        code: String,
    },
    /// A rule refused what the message asked for.
    Refused {
        /// Which rule.
        rule: String,
        /// The sentence for people.
        detail: String,
    },
    /// A command failed twice; it is not tried again by itself.
    Poison {
        /// What happened.
        detail: String,
    },
}

impl Reason {
    /// The word for lists and metrics.
    pub fn word(&self) -> &'static str {
        match self {
            Reason::Erased => "erased",
            Reason::NotParsed { .. } => "not_parsed",
            Reason::Incomplete { .. } => "incomplete",
            Reason::NotSupported { .. } => "not_supported",
            Reason::Invalid { .. } => "invalid",
            Reason::NotPatient { .. } => "not_patient",
            Reason::UnknownSender { .. } => "unknown_sender",
            Reason::Ambiguous { .. } => "ambiguous",
            Reason::NoisyLine { .. } => "noisy_line",
            Reason::NotMapped { .. } => "not_mapped",
            Reason::NoValue { .. } => "no_value",
            Reason::TestNotOrdered { .. } => "test_not_ordered",
            Reason::Discrepancy { .. } => "discrepancy",
            Reason::Unpriced { .. } => "unpriced",
            Reason::Refused { .. } => "refused",
            Reason::Poison { .. } => "poison",
        }
    }

    /// The sentence for people.
    pub fn sentence(&self) -> String {
        match self {
            Reason::Erased => "it was erased with whom it was about".to_owned(),
            Reason::NotParsed { detail }
            | Reason::Incomplete { detail }
            | Reason::NotSupported { detail }
            | Reason::Invalid { detail }
            | Reason::NotPatient { detail }
            | Reason::UnknownSender { detail }
            | Reason::Ambiguous { detail }
            | Reason::NoisyLine { detail }
            | Reason::NotMapped { detail }
            | Reason::NoValue { detail }
            | Reason::Refused { detail, .. }
            | Reason::Poison { detail } => detail.clone(),
            Reason::TestNotOrdered { test } => {
                format!("test {test} was not ordered on this specimen: add it to the order and retry, bind the result to another specimen, or discard it")
            }
            Reason::Discrepancy { pocket, expected, found } => format!("pocket {pocket}: {expected} expected, {found} found: two persons must resolve it"),
            Reason::Unpriced { code } => {
                format!("the price list has no price for {code} on that day: add one and reload wardd (`systemctl reload wardd`, or SIGHUP), the charge is then written by itself")
            }
        }
    }
}

/// Which part of a message waits, when the message asked for several things.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Part {
    /// Its place among them, from 0.
    pub index: usize,
    /// How many there were.
    pub of: usize,
}

/// An item of the quarantine.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub enum Item {
    /// No such item.
    #[default]
    Unknown,
    /// Waits for a person.
    Open,
    /// A person has dealt with it.
    Closed,
}

/// What may be asked of an item.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Command {
    /// Holds something.
    Hold {
        /// Why.
        reason: Reason,
        /// From which device, where one sent it.
        device: Option<DeviceId>,
        /// The sequence where the raw message stands, when it is not in the same batch.
        raw_at: Option<u64>,
    },
    /// It was handled again, and this time it went through.
    Retried,
    /// A person threw it away.
    Discard {
        /// Why.
        because: String,
    },
    /// A person said which specimen it belongs to, and it was filed there.
    Bound {
        /// To which.
        accession: Accession,
    },
}

impl Command {
    /// The permission that it needs.
    pub fn needs(&self) -> Permission {
        match self {
            Command::Hold { .. } | Command::Retried | Command::Discard { .. } | Command::Bound { .. } => Permission::ResolveQuarantine,
        }
    }
}

/// What may have happened to an item.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "event")]
pub enum Event {
    /// What was held was erased with whom it was about.
    Erased,
    /// It waits for a person; the raw message stands in the same batch.
    Held {
        /// Why.
        #[serde(flatten)]
        reason: Reason,
        /// From which device.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        device: Option<DeviceId>,
        /// The sequence where the raw message stands, when it is not in the same batch.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        raw_at: Option<u64>,
        /// Which part of the message waits; none when it asked for one thing only.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        part: Option<Part>,
        /// Since when.
        at: Timestamp,
    },
    /// It was handled again and went through.
    Retried {
        /// When.
        at: Timestamp,
    },
    /// It was thrown away.
    Discarded {
        /// Why.
        because: String,
        /// When.
        at: Timestamp,
    },
    /// It was filed to a specimen by hand.
    Bound {
        /// To which.
        accession: Accession,
        /// When.
        at: Timestamp,
    },
}

/// Why an item refuses.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error, Serialize)]
#[serde(tag = "rejection", rename_all = "snake_case")]
pub enum Rejection {
    /// No such item.
    #[error("there is no such item in quarantine: list them with `wardctl quarantine list`")]
    UnknownItem,
    /// Somebody was faster.
    #[error("the item has been dealt with already")]
    AlreadyClosed,
    /// A discard without a reason.
    #[error("say why it is discarded")]
    NoReason,
}

impl Folded for Item {
    const KIND: StreamKind = StreamKind::Quarantine;
    const SNAPSHOT: u16 = 1;
    type Event = Event;

    fn apply(&mut self, event: &Event) {
        *self = match event {
            Event::Held { .. } => Item::Open,
            Event::Erased | Event::Retried { .. } | Event::Discarded { .. } | Event::Bound { .. } => Item::Closed,
        };
    }

    fn name(event: &Event) -> (&'static str, u16) {
        match event {
            Event::Held { .. } => ("Held", 1),
            Event::Erased => ("Erased", 1),
            Event::Retried { .. } => ("Retried", 1),
            Event::Discarded { .. } => ("Discarded", 1),
            Event::Bound { .. } => ("Bound", 1),
        }
    }
}

impl Aggregate for Item {
    type Command = Command;
    type Rejection = Rejection;

    fn decide(&self, context: &Context, command: &Command) -> Result<Vec<Event>, Rejection> {
        let at = context.now;
        match (self, command) {
            (Item::Unknown, Command::Hold { reason, device, raw_at }) => Ok(vec![Event::Held { reason: reason.clone(), device: device.clone(), raw_at: *raw_at, part: None, at }]),
            (Item::Open | Item::Closed, Command::Hold { .. }) => Ok(vec![]),
            (Item::Unknown, _) => Err(Rejection::UnknownItem),
            (Item::Closed, _) => Err(Rejection::AlreadyClosed),
            (Item::Open, Command::Retried) => Ok(vec![Event::Retried { at }]),
            (Item::Open, Command::Discard { because }) if because.trim().is_empty() => Err(Rejection::NoReason),
            (Item::Open, Command::Discard { because }) => Ok(vec![Event::Discarded { because: because.clone(), at }]),
            (Item::Open, Command::Bound { accession }) => Ok(vec![Event::Bound { accession: accession.clone(), at }]),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::check::{context, given, now, when};

    fn hold() -> Command {
        Command::Hold { reason: Reason::NotParsed { detail: "no MSH".into() }, device: None, raw_at: None }
    }

    #[test]
    fn an_item_is_held_once_and_dealt_with_once() {
        let held = when(&Item::Unknown, &context(None), hold()).unwrap();
        let open: Item = given(&held);
        assert_eq!(when(&open, &context(None), hold()), Ok(vec![]));
        assert_eq!(when(&open, &context(None), Command::Discard { because: " ".into() }), Err("no_reason".into()));
        assert_eq!(when(&Item::Unknown, &context(None), Command::Retried), Err("unknown_item".into()));
        let closed: Item = given(&[Event::Retried { at: now() }]);
        assert_eq!(when(&closed, &context(None), Command::Retried), Err("already_closed".into()));
        for command in [Command::Retried, Command::Discard { because: "noise".into() }, Command::Bound { accession: "17".parse().unwrap() }] {
            assert_eq!(when(&open, &context(None), command).unwrap().len(), 1);
        }
    }

    #[test]
    fn a_held_event_keeps_its_stored_form() {
        let event = Event::Held { reason: Reason::Unpriced { code: "X".into() }, device: None, raw_at: None, part: None, at: now() };
        let json = serde_json::to_string(&event).unwrap();
        assert_eq!(json, r#"{"event":"Held","reason":"unpriced","code":"X","at":"2026-11-21T12:00:00.000000Z"}"#);
        assert_eq!(serde_json::from_str::<Event>(&json).unwrap(), event);
    }
}
