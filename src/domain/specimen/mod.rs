//! A specimen: ordered → collected → received → resulted.
//!
//! **Invariant**: a result is bound by accession and test code, never by a name; what was not ordered is held for a person.
//! **Invariant**: one result of one device, code, value and time is filed once, however often it is sent.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::quarantine::Reason;
use super::rights::Permission;
use super::{Aggregate, Context, Folded};
use crate::kernel::{DeviceId, Loinc, Mrn, Sealing, StreamKind, Timestamp, Unit};

mod result;

pub use result::{ResultLine, ResultValue};

/// How far a specimen has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Stage {
    /// No such specimen.
    #[default]
    Unknown,
    /// Ordered, label printed.
    Ordered,
    /// Taken from the patient.
    Collected,
    /// In the laboratory.
    Received,
    /// Every ordered test has a result.
    Resulted,
}

/// A specimen.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Specimen {
    stage: Stage,
    patient: Option<Mrn>,
    tests: BTreeMap<Loinc, Vec<Filed>>,
    /// Results that were held; the same one again is not held twice.
    held: Vec<ResultLine>,
}

/// A result that was filed, by what makes it itself.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Filed {
    device: DeviceId,
    line: ResultLine,
}

/// What may be asked of a specimen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Command {
    /// Orders tests on a new specimen.
    Order {
        /// Whose.
        patient: Mrn,
        /// Which tests.
        tests: Vec<Loinc>,
        /// How urgent.
        priority: Priority,
    },
    /// Orders more tests on a specimen that exists.
    AddTests {
        /// Which tests.
        tests: Vec<Loinc>,
    },
    /// The tube was scanned at the bedside.
    Collect,
    /// The tube was scanned in the laboratory.
    Receive,
    /// The person whom it is of was erased.
    Erase,
    /// A device reports results.
    FileResults {
        /// Which device.
        device: DeviceId,
        /// Whose the message says the specimen is, where it names a medical record number.
        patient: Option<Mrn>,
        /// The results of this specimen in one message.
        results: Arc<[ResultLine]>,
        /// Whether a person asks for it: then all are filed, or none.
        is_by_hand: bool,
    },
}

impl Command {
    /// The permission that it needs.
    pub fn needs(&self) -> Permission {
        match self {
            Command::Order { .. } | Command::AddTests { .. } => Permission::OrderTests,
            Command::Collect => Permission::CollectSpecimens,
            Command::Receive => Permission::ReceiveSpecimens,
            Command::Erase => Permission::ErasePatient,
            Command::FileResults { .. } => Permission::FileResults,
        }
    }
}

/// How urgent an order is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Priority {
    /// In its turn.
    #[default]
    Routine,
    /// Before others.
    Urgent,
    /// At once.
    Stat,
}

/// What may have happened to a specimen.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "event")]
pub enum Event {
    /// It was erased with whom it was of.
    Erased {
        /// When somebody decided it; without it this is an event whose key was destroyed.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        at: Option<Timestamp>,
    },
    /// Tests were ordered.
    TestsOrdered {
        /// Whose.
        patient: Mrn,
        /// Which tests.
        tests: Vec<Loinc>,
        /// How urgent.
        priority: Priority,
    },
    /// More tests were ordered.
    TestsAdded {
        /// Which tests.
        tests: Vec<Loinc>,
    },
    /// The tube was scanned at the bedside.
    Collected {
        /// When.
        at: Timestamp,
    },
    /// The tube is in the laboratory; `implied` when a result came before the scan.
    Received {
        /// When.
        at: Timestamp,
        /// Whether nobody scanned it in.
        implied: bool,
    },
    /// A result was bound to its test.
    ResultFiled {
        /// Whose.
        patient: Mrn,
        /// Which device measured it.
        device: DeviceId,
        /// The result.
        result: ResultLine,
        /// Whether it is the test's first result, which is charged.
        is_first: bool,
    },
    /// A result waits for a person: the test was not ordered on this specimen.
    ResultHeld {
        /// Which device measured it.
        device: DeviceId,
        /// The result.
        result: ResultLine,
    },
}

/// Why a specimen refuses.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error, Serialize)]
#[serde(tag = "rejection", rename_all = "snake_case")]
pub enum Rejection {
    /// Nothing was ordered under this accession number.
    #[error("no specimen has this accession number: scan the tube again, or order the tests first")]
    UnknownAccession,
    /// The accession number is taken.
    #[error("this accession number is already in use: order under a new one")]
    AlreadyOrdered,
    /// An order without tests.
    #[error("the order names no tests: name at least one")]
    NoTests,
    /// The tube was never scanned at the bedside, so nobody knows whose blood is in it.
    #[error("the tube was never scanned at the bedside: collect it first, or have the result bound by a person")]
    NotCollected,
    /// The message says that the specimen is another patient's: tube or message is wrong.
    #[error("the message names another patient than the specimen's: nothing is filed; find out whose blood it is, then bind or discard")]
    OtherPatient,
    /// A preliminary result after the final one.
    #[error("test {test} has a final result already, and a preliminary one came: nothing of the message is filed; look at the device, then discard")]
    AlreadyFinal {
        /// Which test.
        test: Loinc,
    },
    /// A person's retry or bind of a test that is still not ordered.
    #[error("test {test} is not ordered on this specimen: add it to the order (add-tests), then try again")]
    TestNotOrdered {
        /// Which test.
        test: Loinc,
    },
    /// The tube is already further.
    #[error("the specimen is already {stage:?}: it cannot be collected again")]
    AlreadyCollected {
        /// How far it is.
        stage: Stage,
    },
}

impl Specimen {
    /// How far it has come.
    pub fn stage(&self) -> Stage {
        self.stage
    }

    /// Whose it is.
    pub fn patient(&self) -> Option<&Mrn> {
        self.patient.as_ref()
    }

    /// Tests that have no final result yet, for a host query.
    pub fn outstanding(&self) -> impl Iterator<Item = &Loinc> {
        self.tests.iter().filter(|(_, filed)| !is_final(filed)).map(|(test, _)| test)
    }

    fn file(&self, context: &Context, device: &DeviceId, named: Option<&Mrn>, results: &[ResultLine], is_by_hand: bool) -> Result<Vec<Event>, Rejection> {
        let patient = match (self.stage, &self.patient) {
            (Stage::Unknown, _) | (_, None) => return Err(Rejection::UnknownAccession),
            (Stage::Ordered, _) => return Err(Rejection::NotCollected),
            (Stage::Collected | Stage::Received | Stage::Resulted, Some(patient)) => patient,
        };
        if named.is_some_and(|named| named != patient) {
            return Err(Rejection::OtherPatient);
        }
        if is_by_hand && let Some(result) = results.iter().find(|result| !self.tests.contains_key(&result.test)) {
            return Err(Rejection::TestNotOrdered { test: result.test.clone() });
        }
        let mut events = Vec::new();
        if self.stage == Stage::Collected {
            events.push(Event::Received { at: context.now, implied: true });
        }
        let mut seen: Vec<&ResultLine> = Vec::new();
        for result in results {
            let is_repeated = seen.iter().any(|other| repeats(result, other));
            seen.push(result);
            match self.tests.get(&result.test) {
                _ if is_repeated => {}
                None if self.held.iter().any(|held| held.is_same_measurement(result)) => {}
                None => events.push(Event::ResultHeld { device: device.clone(), result: result.clone() }),
                Some(filed) if filed.iter().any(|other| other.device == *device && repeats(result, &other.line)) => {}
                Some(filed) if is_final(filed) && !result.is_final() => return Err(Rejection::AlreadyFinal { test: result.test.clone() }),
                Some(filed) => {
                    let is_first = result.is_final() && !is_final(filed) && !seen[..seen.len() - 1].iter().any(|other| other.test == result.test && other.is_final());
                    events.push(Event::ResultFiled { patient: patient.clone(), device: device.clone(), result: result.clone(), is_first });
                }
            }
        }
        Ok(events)
    }
}

fn is_final(filed: &[Filed]) -> bool {
    filed.iter().any(|filed| filed.line.is_final())
}

/// The same measurement again; the final word on what was preliminary is none.
fn repeats(result: &ResultLine, known: &ResultLine) -> bool {
    known.is_same_measurement(result) && (known.is_final() || !result.is_final())
}

impl Folded for Specimen {
    const KIND: StreamKind = StreamKind::Specimen;
    const SNAPSHOT: u16 = 1;
    type Event = Event;

    fn apply(&mut self, event: &Event) {
        match event {
            Event::Erased { .. } => *self = Specimen::default(),
            Event::TestsOrdered { patient, tests, .. } => {
                self.stage = Stage::Ordered;
                self.patient = Some(patient.clone());
                self.tests = tests.iter().map(|test| (test.clone(), Vec::new())).collect();
            }
            Event::TestsAdded { tests } => {
                for test in tests {
                    self.tests.entry(test.clone()).or_default();
                }
                // What was complete is not any more.
                if self.stage == Stage::Resulted {
                    self.stage = Stage::Received;
                }
            }
            Event::Collected { .. } => self.stage = Stage::Collected,
            Event::Received { .. } => self.stage = Stage::Received,
            Event::ResultFiled { device, result, .. } => {
                self.tests.entry(result.test.clone()).or_default().push(Filed { device: device.clone(), line: result.clone() });
                if self.outstanding().next().is_none() {
                    self.stage = Stage::Resulted;
                }
            }
            Event::ResultHeld { result, .. } => self.held.push(result.clone()),
        }
    }

    fn name(event: &Event) -> (&'static str, u16) {
        match event {
            Event::Erased { .. } => ("Erased", 1),
            Event::TestsOrdered { .. } => ("TestsOrdered", 1),
            Event::TestsAdded { .. } => ("TestsAdded", 1),
            Event::Collected { .. } => ("Collected", 1),
            Event::Received { .. } => ("Received", 1),
            Event::ResultFiled { .. } => ("ResultFiled", 1),
            Event::ResultHeld { .. } => ("ResultHeld", 1),
        }
    }

    fn sealing(&self, _: &str, event: &Event) -> Sealing {
        self.patient.clone().filter(|_| !matches!(event, Event::Erased { .. })).map_or(Sealing::House, Sealing::Person)
    }
}

impl Aggregate for Specimen {
    type Command = Command;
    type Rejection = Rejection;

    fn decide(&self, context: &Context, command: &Command) -> Result<Vec<Event>, Rejection> {
        match (command, self.stage) {
            (Command::Order { tests, .. }, Stage::Unknown) if tests.is_empty() => Err(Rejection::NoTests),
            (Command::Order { patient, tests, priority }, Stage::Unknown) => {
                let mut tests = tests.clone();
                tests.sort();
                tests.dedup();
                Ok(vec![Event::TestsOrdered { patient: patient.clone(), tests, priority: *priority }])
            }
            (Command::Order { .. }, _) => Err(Rejection::AlreadyOrdered),
            (Command::AddTests { tests }, Stage::Ordered | Stage::Collected | Stage::Received | Stage::Resulted) => {
                let mut new: Vec<Loinc> = tests.iter().filter(|test| !self.tests.contains_key(*test)).cloned().collect();
                new.sort();
                new.dedup();
                Ok(if new.is_empty() { vec![] } else { vec![Event::TestsAdded { tests: new }] })
            }
            (Command::Erase, Stage::Unknown) => Ok(vec![]),
            (Command::Erase, _) => Ok(vec![Event::Erased { at: Some(context.now) }]),
            (Command::Collect | Command::Receive | Command::AddTests { .. }, Stage::Unknown) => Err(Rejection::UnknownAccession),
            (Command::Collect, Stage::Ordered) => Ok(vec![Event::Collected { at: context.now }]),
            // A scanner that repeats a scan is no error.
            (Command::Collect, Stage::Collected) => Ok(vec![]),
            (Command::Collect, stage) => Err(Rejection::AlreadyCollected { stage }),
            (Command::Receive, Stage::Ordered) => Err(Rejection::NotCollected),
            (Command::Receive, Stage::Collected) => Ok(vec![Event::Received { at: context.now, implied: false }]),
            (Command::Receive, Stage::Received | Stage::Resulted) => Ok(vec![]),
            (Command::FileResults { device, patient, results, is_by_hand }, _) => self.file(context, device, patient.as_ref(), results, *is_by_hand),
        }
    }

    fn held(event: &Event) -> Option<Reason> {
        match event {
            Event::ResultHeld { result, .. } => Some(Reason::TestNotOrdered { test: result.test.clone() }),
            Event::Erased { .. } | Event::TestsOrdered { .. } | Event::TestsAdded { .. } | Event::Collected { .. } | Event::Received { .. } | Event::ResultFiled { .. } => None,
        }
    }
}

/// A unit that a result may have; results without one are counts, ratios and words.
pub type ResultUnit = Option<Unit>;

#[cfg(test)]
mod tests;
