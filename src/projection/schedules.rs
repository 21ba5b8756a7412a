//! Schedules, and in which of them a patient is booked.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use super::bedside::apply;
use super::rows::Rows;
use crate::domain::schedule::{Event, Schedule, Standing};
use crate::kernel::{Mrn, ScheduleId};

/// The appointments of a number: schedule and number, the oldest first.
#[derive(Debug, Default, Serialize, Deserialize)]
struct BookedRow(BTreeSet<(String, u32)>);

impl Rows {
    pub(super) fn schedule_changed(&self, key: &str, sequence: u64, event: &Event) {
        apply::<Schedule>(self, "schedule", key, sequence, event);
        // Also for an event that the row reflects already: a crash may have come between the row and the list.
        if let (Event::AppointmentHeld { .. } | Event::AppointmentConfirmed { .. } | Event::AppointmentLapsed { .. }, Ok(id)) = (event, key.parse()) {
            let is_holding = self.schedule(&id).appointments.values().any(|known| matches!(known.standing, Standing::Held { .. }));
            self.holding(&id, is_holding);
        }
        if let Event::AppointmentBooked { patient, number, .. } | Event::AppointmentHeld { patient, number, .. } | Event::WalkInTaken { patient, number, .. } = event {
            self.update("booked", patient.as_str(), |row: Option<BookedRow>| {
                let mut row = row.unwrap_or_default();
                row.0.insert((key.to_owned(), *number)).then_some(row)
            });
        }
    }

    /// A schedule.
    pub fn schedule(&self, id: &ScheduleId) -> Schedule {
        self.state("schedule", id.as_str())
    }

    /// All schedules by their names.
    pub fn schedules(&self) -> Vec<(String, Schedule)> {
        self.states("schedule")
    }

    /// The appointments of a number: schedule and number.
    pub fn booked(&self, mrn: &Mrn) -> Vec<(String, u32)> {
        self.get::<BookedRow>("booked", mrn.as_str()).unwrap_or_default().0.into_iter().collect()
    }
}
