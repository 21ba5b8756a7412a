//! What is to be done now: the times of each task, and how each stands.

use serde::Serialize;

use super::{Said, Task, Tasks, When};
use crate::kernel::Timestamp;

/// Times of one task that are looked at, at most: what is older than that many is one task that nobody does.
const TIMES_MAX: usize = 500;

/// How a time of a task stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Standing {
    /// It must be done and its time is over.
    Overdue,
    /// It is to be done now.
    Due,
    /// It comes.
    Planned,
    /// Its time is over, and nobody did it.
    Missed,
    /// Somebody did it, or said why not.
    Answered,
}

/// A time of a task.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Due {
    /// The task.
    pub number: u32,
    /// What is to be done.
    pub title: String,
    /// Its time.
    pub time: Timestamp,
    /// When it is late.
    pub late: Timestamp,
    /// Whether it must be done.
    pub mandatory: bool,
    /// How it stands.
    pub standing: Standing,
    /// What came of it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub said: Option<Said>,
}

impl When {
    /// The times from one moment until another, both included, the newest of them where there are too many.
    fn times(self, from: Timestamp, until: Timestamp) -> Vec<Timestamp> {
        match self {
            When::AsNeeded => vec![],
            When::Once { at } => Some(at).filter(|at| (from..=until).contains(at)).into_iter().collect(),
            When::Every { minutes, from: first, until: last } => {
                let until = last.map_or(until, |last| last.min(until));
                let step = i64::from(minutes.max(1)) * 60;
                let before = (from.seconds_since(first) + step - 1).max(0) / step;
                let count = (until.seconds_since(first).div_euclid(step) + 1).max(before);
                let newest = usize::try_from(count - before).unwrap_or(0).saturating_sub(TIMES_MAX);
                (before..count).skip(newest).map(|at| first.plus_seconds(at * step)).filter(|at| *at >= from && *at <= until).collect()
            }
        }
    }

    /// Whether it is to be done at this moment.
    pub(super) fn has(self, time: Timestamp) -> bool {
        self.times(time, time) == [time]
    }
}

impl Task {
    /// When a time of it is late.
    fn late(&self, time: Timestamp) -> Timestamp {
        time.plus_seconds(i64::from(self.grace_minutes) * 60)
    }

    /// Its times from one moment until another, and how each stands now. What must be done and was not is among them however old, until
    /// somebody has answered a later time: nobody makes up for what is done again and again.
    fn due(&self, (from, until): (Timestamp, Timestamp), now: Timestamp) -> Vec<Due> {
        let since = if self.mandatory { from.min(self.at) } else { from };
        let until = self.stopped.as_ref().map_or(until, |(at, _)| until.min(*at));
        let view = |time: Timestamp| {
            let said = self.times.get(&time).cloned();
            let standing = match &said {
                Some(_) => Standing::Answered,
                None if now < time => Standing::Planned,
                None if now <= self.late(time) => Standing::Due,
                None if self.mandatory => Standing::Overdue,
                None => Standing::Missed,
            };
            Due { number: self.number, title: self.title.clone(), time, late: self.late(time), mandatory: self.mandatory, standing, said }
        };
        let is_settled = |time: &Timestamp| self.settled.is_some_and(|settled| *time <= settled) && !self.times.contains_key(time);
        let mut found: Vec<Due> = self.when.times(since, until).into_iter().filter(|time| !is_settled(time)).map(view).collect();
        // Of what is overdue again and again the last time counts: nobody turns a patient six times at once.
        let answered = self.times.keys().next_back().copied().max(self.settled);
        let last = found.iter().filter(|due| due.standing == Standing::Overdue && Some(due.time) > answered).map(|due| due.time).max();
        found.retain(|due| due.time >= from || Some(due.time) == last);
        // An earlier one of the shift was missed then.
        found.iter_mut().filter(|due| due.standing == Standing::Overdue && Some(due.time) != last).for_each(|due| due.standing = Standing::Missed);
        found.extend(self.times.iter().filter(|(time, _)| matches!(self.when, When::AsNeeded) && (from..=until).contains(*time)).map(|(time, _)| view(*time)));
        found
    }
}

impl Tasks {
    /// What is to be done from one moment until another, and what is overdue from before, the most pressing first.
    pub fn due(&self, window: (Timestamp, Timestamp), now: Timestamp) -> Vec<Due> {
        let mut found: Vec<Due> = self.tasks.values().flat_map(|task| task.due(window, now)).collect();
        found.sort_by_key(|due| (due.standing, due.time, due.number));
        found
    }

    /// What was done in an emergency and nobody stands for yet.
    pub fn unacknowledged(&self) -> impl Iterator<Item = &Task> {
        self.tasks.values().filter(|task| task.on_word_of.is_some() && task.acknowledged.is_none())
    }
}
