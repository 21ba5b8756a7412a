//! The issuing of medical record numbers to those who come without one: each number once, for ever.

use serde::{Deserialize, Serialize};

use super::{Aggregate, Context, Folded};
use crate::kernel::{Mrn, StreamKind};

/// How many numbers were issued.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct RecordNumbers {
    issued: u32,
}

/// What may be asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Command {
    /// The next number.
    Issue,
}

/// What may have happened.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "event")]
pub enum Event {
    /// A number was issued; it is never issued again.
    RecordNumberIssued {
        /// The number with its check digit.
        mrn: Mrn,
        /// The how manieth.
        number: u32,
    },
}

/// There is no reason to refuse a number.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error, Serialize)]
pub enum Rejection {}

impl Folded for RecordNumbers {
    const KIND: StreamKind = StreamKind::Hospital;
    const SNAPSHOT: u16 = 1;
    type Event = Event;

    fn apply(&mut self, event: &Event) {
        let Event::RecordNumberIssued { number, .. } = event;
        self.issued = *number;
    }

    fn name(event: &Event) -> (&'static str, u16) {
        match event {
            Event::RecordNumberIssued { .. } => ("RecordNumberIssued", 1),
        }
    }
}

impl Aggregate for RecordNumbers {
    type Command = Command;
    type Rejection = Rejection;

    fn decide(&self, _: &Context, command: &Command) -> Result<Vec<Event>, Rejection> {
        let Command::Issue = command;
        let number = self.issued + 1;
        Ok(vec![Event::RecordNumberIssued { mrn: Mrn::issue(number), number }])
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::check::{context, given, when};

    #[test]
    fn each_number_is_issued_once() {
        let mut state = RecordNumbers::default();
        let mut seen = std::collections::BTreeSet::new();
        for _ in 0..100 {
            let events = when(&state, &context(None), Command::Issue).unwrap();
            let Event::RecordNumberIssued { mrn, .. } = &events[0];
            assert!(seen.insert(mrn.clone()), "{mrn}");
            state.apply(&events[0]);
        }
        assert_eq!(given::<RecordNumbers>(&[Event::RecordNumberIssued { mrn: Mrn::issue(7), number: 7 }]).issued, 7);
        assert_eq!(Mrn::issue(1).as_str(), "W00000018", "Luhn check digit");
    }
}
