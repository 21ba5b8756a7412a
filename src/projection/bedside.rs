//! Charts and vital signs, and whose alerts are open.

use serde::{Deserialize, Serialize};

use super::rows::Rows;
use crate::domain::Folded;
use crate::domain::chart::Chart;
use crate::domain::document::{self, Content};
use crate::domain::task::{self, Tasks};
use crate::domain::vitals::{Alert, Vitals};
use crate::journal::JournalError;
use crate::kernel::{DocumentId, EncounterId, Loinc, Mrn, StreamId, StreamKind, Timestamp};

use super::history::History;

/// Events that are looked through for one page of measurements.
const PAGE: usize = 512;

/// A folded state.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
struct StateRow<A> {
    /// The last event that the row reflects.
    sequence: u64,
    state: A,
}

/// An alert, and whose it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OpenAlert {
    /// The number that it is written under.
    pub patient: Mrn,
    /// Its number there.
    pub number: u32,
    /// What it says.
    pub alert: Alert,
}

/// Something that was measured, as the log has it.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Measurement {
    /// The event in the log.
    pub sequence: u64,
    /// The number that it is written under.
    pub patient: Mrn,
    /// When the device says that it sent it.
    pub device_time: Option<Timestamp>,
    /// When it was received.
    pub received: Timestamp,
    /// When it was recorded.
    pub recorded: Timestamp,
    /// What it says.
    #[serde(flatten)]
    pub event: serde_json::Value,
}

pub(super) fn apply<A: Folded>(rows: &Rows, kind: &str, key: &str, sequence: u64, event: &A::Event) {
    rows.update(kind, key, |row: Option<StateRow<A>>| {
        let mut row = row.unwrap_or_else(|| StateRow { sequence: 0, state: A::default() });
        if row.sequence >= sequence {
            return None;
        }
        row.state.apply(event);
        row.sequence = sequence;
        Some(row)
    });
}

impl Rows {
    /// A folded state; as it begins when there is none.
    pub(super) fn state<A: Folded>(&self, kind: &str, key: &str) -> A {
        self.get::<StateRow<A>>(kind, key).map(|row| row.state).unwrap_or_default()
    }

    /// All folded states of a kind.
    pub(super) fn states<A: Folded>(&self, kind: &str) -> Vec<(String, A)> {
        self.list::<StateRow<A>>(kind, "", usize::MAX).into_iter().map(|(key, row)| (key, row.state)).collect()
    }

    pub(super) fn chart_changed(&self, key: &str, sequence: u64, event: &crate::domain::chart::Event) {
        apply::<Chart>(self, "chart", key, sequence, event);
    }

    pub(super) fn vitals_changed(&self, key: &str, sequence: u64, event: &crate::domain::vitals::Event) {
        apply::<Vitals>(self, "vitals", key, sequence, event);
        // Also for an event that the row reflects already: a crash may have come between the row and the list of alerts.
        if let Ok(mrn) = key.parse() {
            let is_open = !self.vitals(&mrn).alerts.is_empty();
            self.alerting(&mrn, is_open);
        }
    }

    pub(super) fn tasks_changed(&self, key: &str, sequence: u64, event: &task::Event) {
        apply::<Tasks>(self, "task", key, sequence, event);
    }

    /// What is to be done during a stay.
    pub fn tasks(&self, encounter: &EncounterId) -> Tasks {
        self.state("task", encounter.as_str())
    }

    /// What is written under a number.
    pub fn chart(&self, mrn: &Mrn) -> Chart {
        self.state("chart", mrn.as_str())
    }

    /// What was measured of a number.
    pub fn vitals(&self, mrn: &Mrn) -> Vitals {
        self.state("vitals", mrn.as_str())
    }

    /// All open alerts.
    pub fn open_alerts(&self) -> Vec<OpenAlert> {
        let of = |patient: Mrn| self.vitals(&patient).alerts.into_iter().map(move |(number, alert)| OpenAlert { patient: patient.clone(), number, alert });
        self.who_alerts().into_iter().flat_map(of).collect()
    }
}

impl History {
    /// The bytes of a document; none when there is no such document, or whose it was has been erased.
    pub fn document(&self, document: &DocumentId) -> Result<Option<Content>, JournalError> {
        let stream = StreamId::new(StreamKind::Document, document.as_str());
        let page = self.log().read_stream(&stream, 1, 1)?;
        let filed = page.first().map(|(_, stored)| serde_json::from_str(stored.event.payload.get()));
        match filed.transpose().map_err(|error| JournalError::Unreadable(format!("{stream}: {error}")))? {
            Some(document::Event::DocumentFiled { content, .. }) => Ok(Some(content)),
            Some(document::Event::Erased {}) | None => Ok(None),
        }
    }

    /// What was measured of a number before a version of its stream, the newest first, and the version to go on from; of one sign, or all.
    pub fn measurements(&self, mrn: &Mrn, before: Option<u64>, (sign, limit): (Option<&Loinc>, usize)) -> Result<(Vec<Measurement>, Option<u64>), JournalError> {
        let stream = StreamId::new(StreamKind::Vitals, mrn.as_str());
        let log = self.log();
        let end = before.unwrap_or(u64::MAX).min(log.version(&stream) + 1);
        let from = end.saturating_sub(PAGE as u64).max(1);
        let page = log.read_stream(&stream, from, usize::try_from(end - from).unwrap_or(PAGE))?;
        let mut found = Vec::new();
        for (meta, stored) in page.iter().rev() {
            let is_wanted = matches!(stored.event.kind.as_ref(), "VitalsTaken" | "FluidRecorded" | "ReadingDisregarded" | "ReadingWithdrawn" | "FluidWithdrawn");
            let payload = stored.event.payload.get();
            // The codes of a reading stand in it as they are.
            if !is_wanted || sign.is_some_and(|sign| !payload.contains(&format!("\"{sign}\""))) {
                continue;
            }
            if found.len() == limit {
                return Ok((found, Some(stored.stream_version + 1)));
            }
            found.push(Measurement {
                sequence: stored.sequence,
                patient: mrn.clone(),
                device_time: meta.device_time,
                received: meta.received,
                recorded: meta.recorded,
                event: serde_json::from_str(payload).map_err(|error| JournalError::Unreadable(format!("event {} of {stream}: {error}", stored.sequence)))?,
            });
        }
        Ok((found, (from > 1).then_some(from)))
    }
}
