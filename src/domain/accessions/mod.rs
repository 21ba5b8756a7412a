//! The issuing of accession numbers: each number once, for ever.

use serde::{Deserialize, Serialize};

use super::{Aggregate, Context, Folded};
use crate::kernel::{Accession, Date, StreamKind};

/// The last number that was issued.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Accessions {
    last: Option<(Date, u32)>,
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
    AccessionIssued {
        /// The number with its check digit.
        accession: Accession,
        /// The day that it was issued on.
        day: Date,
        /// The how manieth of that day.
        number: u32,
    },
}

/// There is no reason to refuse a number.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error, Serialize)]
pub enum Rejection {}

impl Folded for Accessions {
    const KIND: StreamKind = StreamKind::Hospital;
    const SNAPSHOT: u16 = 1;
    type Event = Event;

    fn apply(&mut self, event: &Event) {
        let Event::AccessionIssued { day, number, .. } = event;
        self.last = Some((*day, *number));
    }

    fn name(event: &Event) -> (&'static str, u16) {
        match event {
            Event::AccessionIssued { .. } => ("AccessionIssued", 1),
        }
    }
}

impl Aggregate for Accessions {
    type Command = Command;
    type Rejection = Rejection;

    fn decide(&self, context: &Context, command: &Command) -> Result<Vec<Event>, Rejection> {
        let Command::Issue = command;
        let today = context.now.date();
        // A clock that was set back must not issue a number twice: the day never goes back either.
        let (day, number) = match self.last {
            Some((day, number)) if day >= today => (day, number + 1),
            _ => (today, 1),
        };
        Ok(vec![Event::AccessionIssued { accession: Accession::issue(day.short(), number), day, number }])
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::check::{context, when};

    #[test]
    fn numbers_are_never_issued_twice_even_when_the_clock_goes_back() {
        let mut state = Accessions::default();
        let mut seen = std::collections::BTreeSet::new();
        let mut context = context(None);
        for day in [0, 0, 86_400, -86_400, 0, 86_400 * 2] {
            context.now = context.now.plus_seconds(day);
            let events = when(&state, &context, Command::Issue).unwrap();
            let Event::AccessionIssued { accession, .. } = &events[0];
            assert!(accession.is_checked());
            assert!(seen.insert(accession.clone()), "{accession}");
            state.apply(&events[0]);
        }
    }
}
