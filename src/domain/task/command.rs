//! The rules of nursing tasks.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::{Event, Outcome, Said, Task, Tasks, When};
use crate::domain::Context;
use crate::kernel::{Mrn, Timestamp};

/// Longest title and reason, in characters.
const TEXT_MAX: usize = 256;
/// Most tasks of a stay, and the shortest time between two times of one.
const TASKS_MAX: usize = 1_000;
const MINUTES_MIN: u32 = 5;
const MINUTES_MAX: u32 = 7 * 24 * 60;
/// Whoever is early by more than this does the time before.
pub const EARLY_SECONDS: i64 = 60 * 60;
/// Until when a task can be late, in minutes.
const GRACE_MAX: u32 = 24 * 60;

/// What is to be done, and when.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Plan {
    /// What is to be done.
    pub title: String,
    /// When.
    pub when: When,
    /// Whether it must be done, or somebody say why not.
    #[serde(default)]
    pub mandatory: bool,
    /// So many minutes after its time it is late.
    #[serde(default = "an_hour")]
    pub grace_minutes: u32,
}

fn an_hour() -> u32 {
    60
}

/// What may be asked of the tasks of a stay.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Command {
    /// Something is to be done.
    Plan(Plan),
    /// It is not to be done any more.
    Stop {
        /// Which.
        number: u32,
        /// Why.
        reason: String,
    },
    /// It was done, or not.
    Answer {
        /// Which.
        number: u32,
        /// Its time; without one the time that is due, of what is done when needed now.
        time: Option<Timestamp>,
        /// What came of it.
        outcome: Outcome,
    },
    /// Something was done in an emergency, before anybody planned it.
    DoneInEmergency {
        /// What.
        title: String,
        /// On whose word.
        on_word_of: String,
        /// What there is to say.
        note: String,
    },
    /// Somebody stands for it.
    Acknowledge {
        /// Which.
        number: u32,
    },
}

/// Why something may not be.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error, Serialize)]
#[serde(tag = "rejection", rename_all = "snake_case")]
pub enum Rejection {
    /// A text says nothing, or too much.
    #[error("{field} has 1 to 256 characters: say {what}")]
    Words {
        /// Which field.
        field: &'static str,
        /// What it should say.
        what: &'static str,
    },
    /// The times of a task are none.
    #[error("{why}")]
    Times {
        /// What is wrong, and the way out.
        why: &'static str,
    },
    /// There are too many.
    #[error("a stay has {most} tasks at most: stop those that are over, and plan what comes again as one")]
    TooManyTasks {
        /// How many are kept.
        most: usize,
    },
    /// There is no such task.
    #[error("there is no task {number} in this stay: check the number")]
    UnknownTask {
        /// Which.
        number: u32,
    },
    /// It is not to be done any more.
    #[error("task {number} was stopped at {at} ({reason}): plan it anew if it is to be done after all")]
    TaskStopped {
        /// Which.
        number: u32,
        /// When.
        at: Timestamp,
        /// Why.
        reason: String,
    },
    /// It is not to be done then.
    #[error("task {number} is not to be done at {time}: name one of its times, from an hour before it")]
    NotThen {
        /// Which.
        number: u32,
        /// When.
        time: Timestamp,
    },
    /// No time of it is due.
    #[error("nothing of task {number} is due now: name the time that you mean")]
    NothingDue {
        /// Which.
        number: u32,
    },
    /// It was done, or not, and somebody said so.
    #[error("{by} has answered task {number} of {time} already")]
    AnsweredAlready {
        /// Which.
        number: u32,
        /// Its time.
        time: Timestamp,
        /// Who.
        by: String,
    },
    /// There is nothing to stand for.
    #[error("task {number} was planned: only what was done in an emergency needs somebody to stand for it")]
    NotOfEmergency {
        /// Which.
        number: u32,
    },
    /// Whoever did it stands for it anyway.
    #[error("you did task {number} yourself: whoever asked for it stands for it")]
    OwnTask {
        /// Which.
        number: u32,
    },
}

fn words(text: &str, field: &'static str, what: &'static str) -> Result<String, Rejection> {
    let text = text.trim();
    if (1..=TEXT_MAX).contains(&text.chars().count()) { Ok(text.to_owned()) } else { Err(Rejection::Words { field, what }) }
}

fn sound(when: When, now: Timestamp) -> Result<When, Rejection> {
    match when {
        When::Every { minutes, .. } if !(MINUTES_MIN..=MINUTES_MAX).contains(&minutes) => Err(Rejection::Times { why: "a task comes again after 5 minutes to 7 days" }),
        When::Every { from, until: Some(until), .. } if until < from => Err(Rejection::Times { why: "a task ends after it begins: check from and until" }),
        When::Every { from: at, .. } | When::Once { at } if now.seconds_since(at) > EARLY_SECONDS => {
            Err(Rejection::Times { why: "a task is planned for what comes: the first time is an hour ago at most; record what was done as done in an emergency" })
        }
        When::Every { .. } | When::Once { .. } | When::AsNeeded => Ok(when),
    }
}

fn task(tasks: &Tasks, number: u32) -> Result<&Task, Rejection> {
    let task = tasks.tasks.get(&number).ok_or(Rejection::UnknownTask { number })?;
    match &task.stopped {
        Some((at, reason)) => Err(Rejection::TaskStopped { number, at: *at, reason: reason.clone() }),
        None => Ok(task),
    }
}

/// The time that somebody means who says that a task was done.
fn time_of(tasks: &Tasks, task: &Task, named: Option<Timestamp>, now: Timestamp) -> Result<Timestamp, Rejection> {
    let number = task.number;
    if task.when == When::AsNeeded {
        return Ok(named.unwrap_or(now));
    }
    match named {
        Some(time) if task.when.has(time) && time.seconds_since(now) <= EARLY_SECONDS => Ok(time),
        Some(time) => Err(Rejection::NotThen { number, time }),
        None => {
            let window = (now.plus_seconds(-24 * 3_600), now.plus_seconds(EARLY_SECONDS));
            let open = tasks.due(window, now).into_iter().filter(|due| due.number == number && due.said.is_none());
            // What is to be done now comes before what was missed.
            open.filter(|due| due.standing != super::Standing::Missed).map(|due| due.time).min().ok_or(Rejection::NothingDue { number })
        }
    }
}

/// What happens when a command meets the tasks of a stay.
pub fn decide(tasks: &Tasks, patient: &Mrn, context: &Context, command: &Command) -> Result<Vec<Event>, Rejection> {
    let (at, by) = (context.now, context.principal.to_string());
    let number = || match tasks.tasks.len() {
        count if count >= TASKS_MAX => Err(Rejection::TooManyTasks { most: TASKS_MAX }),
        _ => Ok(tasks.tasks.keys().next_back().map_or(1, |last| last + 1)),
    };
    let planned = |task: Task| Event::TaskPlanned { patient: patient.clone(), task: Box::new(task) };
    Ok(match command {
        Command::Plan(plan) => {
            if plan.grace_minutes > GRACE_MAX {
                return Err(Rejection::Times { why: "grace_minutes is a day at most: what may wait longer is not due" });
            }
            let (title, when) = (words(&plan.title, "title", "what is to be done")?, sound(plan.when, at)?);
            let (mandatory, grace_minutes) = (plan.mandatory, plan.grace_minutes);
            let task = Task {
                number: number()?,
                title,
                when,
                mandatory,
                grace_minutes,
                by,
                at,
                on_word_of: None,
                acknowledged: None,
                stopped: None,
                settled: None,
                times: BTreeMap::new(),
            };
            vec![planned(task)]
        }
        Command::Stop { number, reason } => match tasks.tasks.get(number).ok_or(Rejection::UnknownTask { number: *number })?.stopped {
            Some(_) => vec![],
            None => vec![Event::TaskStopped { number: *number, reason: words(reason, "reason", "why it is not to be done any more")?, at }],
        },
        Command::Answer { number, time, outcome } => {
            let task = task(tasks, *number)?;
            let time = time_of(tasks, task, *time, at)?;
            if let Some(said) = task.times.get(&time) {
                return Err(Rejection::AnsweredAlready { number: *number, time, by: said.by.clone() });
            }
            let outcome = match outcome {
                Outcome::Done { note } => Outcome::Done { note: note.trim().chars().take(TEXT_MAX).collect() },
                Outcome::NotDone { reason } => Outcome::NotDone { reason: words(reason, "reason", "why it was not done")? },
            };
            vec![Event::TaskAnswered { number: *number, time, said: Said { outcome, by, at } }]
        }
        Command::DoneInEmergency { title, on_word_of, note } => {
            let (number, title) = (number()?, words(title, "title", "what was done")?);
            let on_word_of = Some(words(on_word_of, "on_word_of", "who asked for it")?);
            let said = Said { outcome: Outcome::Done { note: note.trim().chars().take(TEXT_MAX).collect() }, by: by.clone(), at };
            let when = When::Once { at };
            let task =
                Task { number, title, when, mandatory: false, grace_minutes: 0, by, at, on_word_of, acknowledged: None, stopped: None, settled: None, times: BTreeMap::new() };
            vec![planned(task), Event::TaskAnswered { number, time: at, said }]
        }
        Command::Acknowledge { number } => {
            let task = tasks.tasks.get(number).ok_or(Rejection::UnknownTask { number: *number })?;
            match &task.acknowledged {
                _ if task.on_word_of.is_none() => return Err(Rejection::NotOfEmergency { number: *number }),
                _ if task.by == by => return Err(Rejection::OwnTask { number: *number }),
                Some(_) => vec![],
                None => vec![Event::TaskAcknowledged { number: *number, by, at }],
            }
        }
    })
}
