//! Nursing tasks of a stay: what is to be done when, what was done, and what was missed.
//!
//! What is due follows from the plan and the clock; only what people say is an event. So a shift has no roll-over to forget: a mandatory
//! task stays overdue, whoever is on duty, until somebody does it or says why not; any other is missed when its time is over.
//! **Invariant**: a time of a task is done or not done once; an emergency task is never acknowledged by whoever did it.

mod command;
mod due;

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

pub use command::{Command, EARLY_SECONDS, Plan, Rejection, decide};
pub use due::{Due, Standing};

use super::Folded;
use crate::kernel::{Mrn, Sealing, StreamKind, Timestamp};

/// What was done is kept in memory for so long; it stands in the log.
const KEPT_SECONDS: i64 = 3 * 24 * 3_600;

/// When a task is to be done.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum When {
    /// Once.
    Once {
        /// When.
        at: Timestamp,
    },
    /// Again and again.
    Every {
        /// After so many minutes.
        minutes: u32,
        /// From when.
        from: Timestamp,
        /// Until when; without it as long as the stay.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        until: Option<Timestamp>,
    },
    /// When somebody needs it.
    AsNeeded,
}

/// What came of a time of a task.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "outcome")]
pub enum Outcome {
    /// It was done.
    Done {
        /// What there is to say.
        #[serde(default, skip_serializing_if = "String::is_empty")]
        note: String,
    },
    /// It was not, and somebody says so.
    NotDone {
        /// Why.
        reason: String,
    },
}

/// Who did it, or did not.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Said {
    /// What came of it.
    #[serde(flatten)]
    pub outcome: Outcome,
    /// Who says so.
    pub by: String,
    /// When.
    pub at: Timestamp,
}

/// A task.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Task {
    /// Its number in this stay, from 1.
    pub number: u32,
    /// What is to be done.
    pub title: String,
    /// When.
    pub when: When,
    /// Whether it must be done, or somebody say why not.
    pub mandatory: bool,
    /// So many minutes after its time it is late.
    pub grace_minutes: u32,
    /// Who planned it.
    pub by: String,
    /// When it was planned.
    pub at: Timestamp,
    /// Whether it was done in an emergency, before anybody planned it, and on whose word.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub on_word_of: Option<String>,
    /// Who stands for a task of an emergency, and since when.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub acknowledged: Option<(String, Timestamp)>,
    /// Since when and why it is not to be done any more.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stopped: Option<(Timestamp, String)>,
    /// The last time of which is known what came of it, and is not kept here any more: what was to be done until then is settled.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub settled: Option<Timestamp>,
    /// What came of its times, the newest of them.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub times: BTreeMap<Timestamp, Said>,
}

/// The tasks of a stay.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Tasks {
    /// Whose stay; nobody's while there are no tasks.
    pub patient: Option<Mrn>,
    /// By their numbers.
    pub tasks: BTreeMap<u32, Task>,
}

/// What may have happened.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "event")]
pub enum Event {
    /// Something is to be done.
    TaskPlanned {
        /// Whose stay.
        patient: Mrn,
        /// What, and when.
        task: Box<Task>,
    },
    /// It is not to be done any more.
    TaskStopped {
        /// Which.
        number: u32,
        /// Why.
        reason: String,
        /// When.
        at: Timestamp,
    },
    /// A time of it was done, or not.
    TaskAnswered {
        /// Which.
        number: u32,
        /// Its time; of what is done when needed: when it was done.
        time: Timestamp,
        /// What came of it.
        #[serde(flatten)]
        said: Said,
    },
    /// Somebody stands for what was done in an emergency.
    TaskAcknowledged {
        /// Which.
        number: u32,
        /// Who.
        by: String,
        /// When.
        at: Timestamp,
    },
    /// The stay became another patient's.
    TasksReassigned {
        /// Whose.
        patient: Mrn,
        /// All of them, so that nothing before this must be read.
        tasks: Vec<Task>,
    },
    /// An event whose key was destroyed.
    Erased {},
}

impl Tasks {
    fn change(&mut self, number: u32, change: impl FnOnce(&mut Task)) {
        if let Some(task) = self.tasks.get_mut(&number) {
            change(task);
        }
    }
}

impl Folded for Tasks {
    const KIND: StreamKind = StreamKind::Task;
    const SNAPSHOT: u16 = 1;
    type Event = Event;

    fn apply(&mut self, event: &Event) {
        match event {
            Event::TaskPlanned { patient, task } => {
                self.patient = Some(patient.clone());
                self.tasks.insert(task.number, (**task).clone());
            }
            Event::TaskStopped { number, reason, at } => self.change(*number, |task| task.stopped = Some((*at, reason.clone()))),
            Event::TaskAnswered { number, time, said } => self.change(*number, |task| {
                task.times.insert(*time, said.clone());
                // By when it was said: what was overdue for long is answered too.
                let is_old = |known: &Said| said.at.seconds_since(known.at) >= KEPT_SECONDS;
                let old = task.times.iter().filter(|(_, known)| is_old(known)).map(|(time, _)| *time).max();
                task.settled = task.settled.max(old);
                task.times.retain(|_, known| !is_old(known));
            }),
            Event::TaskAcknowledged { number, by, at } => self.change(*number, |task| task.acknowledged = Some((by.clone(), *at))),
            Event::TasksReassigned { patient, tasks } => {
                self.patient = Some(patient.clone());
                self.tasks = tasks.iter().map(|task| (task.number, task.clone())).collect();
            }
            Event::Erased {} => *self = Tasks::default(),
        }
    }

    fn name(event: &Event) -> (&'static str, u16) {
        match event {
            Event::TaskPlanned { .. } => ("TaskPlanned", 1),
            Event::TaskStopped { .. } => ("TaskStopped", 1),
            Event::TaskAnswered { .. } => ("TaskAnswered", 1),
            Event::TaskAcknowledged { .. } => ("TaskAcknowledged", 1),
            Event::TasksReassigned { .. } => ("TasksReassigned", 1),
            Event::Erased {} => ("Erased", 1),
        }
    }

    fn sealing(&self, _: &str, _: &Event) -> Sealing {
        self.patient.clone().map_or(Sealing::House, Sealing::Person)
    }
}

#[cfg(test)]
mod tests;
