//! Streams of one kind in memory: folded from the log when asked for, let go when cold.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

use super::request::Failure;
use crate::domain::Folded;
use crate::journal::{Log, Snapshot};
use crate::kernel::planted::{self, Bug};
use crate::kernel::{CommandId, StreamId, limits};
use crate::telemetry;

/// A stream in memory.
pub(super) struct Kept<A> {
    pub(super) state: A,
    pub(super) version: u64,
    /// The last commands that were done, so that none is done twice.
    pub(super) answers: VecDeque<CommandId>,
    touched: u64,
}

impl<A> Kept<A> {
    /// Notes that a command was done.
    pub(super) fn remember(&mut self, command: CommandId) {
        remember(&mut self.answers, command);
    }
}

fn remember(answers: &mut VecDeque<CommandId>, command: CommandId) {
    if answers.back() == Some(&command) {
        return;
    }
    if answers.len() >= limits::ANSWERS_REMEMBERED {
        answers.pop_front();
    }
    answers.push_back(command);
}

/// All streams of a kind that are in memory, at most so many.
pub(super) struct Streams<A> {
    log: Arc<dyn Log>,
    most: usize,
    kept: HashMap<String, Kept<A>>,
    clock: u64,
}

impl<A: Folded> Streams<A> {
    pub(super) fn new(log: Arc<dyn Log>, most: usize) -> Self {
        Self { log, most, kept: HashMap::new(), clock: 0 }
    }

    /// The name of a stream.
    pub(super) fn id(key: &str) -> StreamId {
        StreamId::new(A::KIND, key)
    }

    /// The stream from memory, or folded from the log.
    pub(super) fn load(&mut self, key: &str) -> Result<&mut Kept<A>, Failure> {
        self.clock += 1;
        if !self.kept.contains_key(key) {
            self.make_room();
            let kept = self.fold(key)?;
            self.kept.insert(key.to_owned(), kept);
        }
        let clock = self.clock;
        let kept = self.kept.get_mut(key).ok_or(Failure::Lost)?;
        kept.touched = clock;
        Ok(kept)
    }

    /// The stream, when it is in memory.
    pub(super) fn get(&self, key: &str) -> Option<&Kept<A>> {
        self.kept.get(key)
    }

    /// The state in memory is ahead of the log, or there is none.
    pub(super) fn forget(&mut self, key: &str) {
        self.kept.remove(key);
    }

    fn fold(&self, key: &str) -> Result<Kept<A>, Failure> {
        let stream = Self::id(key);
        let mut kept = Kept { state: A::default(), version: 0, answers: VecDeque::new(), touched: 0 };
        let due = self.log.version(&stream);
        if due == 0 {
            return Ok(kept);
        }
        let unreadable = |error: &dyn std::fmt::Display| Failure::Unreadable(format!("stream {stream}: {error}"));
        self.resume(&stream, &mut kept);
        let resumed = kept.version;
        let mut last = None;
        for (meta, stored) in self.log.read_stream(&stream, resumed + 1, usize::MAX).map_err(|error| unreadable(&error))? {
            let event: A::Event = serde_json::from_str(stored.event.payload.get()).map_err(|error| unreadable(&error))?;
            kept.state.apply(&event);
            kept.version = stored.stream_version;
            if !planted::is(Bug::CommandsForgotten) {
                remember(&mut kept.answers, meta.command);
            }
            last = Some((stored.sequence, meta.command));
        }
        if let Some((sequence, command)) = last.filter(|_| kept.version >= resumed + limits::SNAPSHOT_AFTER) {
            self.save(&stream, &kept, sequence, command);
        }
        // Events that wait for their sync are ours from before we forgot the stream: they are there in a moment.
        if kept.version == due { Ok(kept) } else { Err(Failure::Busy) }
    }

    /// Goes on from the stream's snapshot, when there is one of this form.
    fn resume(&self, stream: &StreamId, kept: &mut Kept<A>) {
        let Some(snapshot) = self.log.snapshot(stream).filter(|snapshot| snapshot.format == A::SNAPSHOT) else { return };
        if let Ok(state) = serde_json::from_str(snapshot.state.get()) {
            *kept = Kept { state, version: snapshot.version, answers: snapshot.answers.into(), touched: 0 };
        }
    }

    /// Keeps what was folded from durable events, so that the next fold is short.
    fn save(&self, stream: &StreamId, kept: &Kept<A>, sequence: u64, command: CommandId) {
        let Ok(state) = serde_json::value::to_raw_value(&kept.state) else { return };
        let answers = kept.answers.iter().copied().collect();
        let snapshot = Snapshot { format: A::SNAPSHOT, version: kept.version, sequence, command, answers, state };
        if let Err(error) = self.log.save_snapshot(stream, &snapshot) {
            telemetry::consumer_failed("snapshots", &error.to_string());
        }
    }

    /// Lets go of the streams that were touched longest ago.
    fn make_room(&mut self) {
        if self.kept.len() < self.most.max(1) {
            return;
        }
        let mut ages: Vec<u64> = self.kept.values().map(|kept| kept.touched).collect();
        let middle = ages.len() / 4;
        let (_, oldest_quarter, _) = ages.select_nth_unstable(middle);
        let limit = *oldest_quarter;
        self.kept.retain(|_, kept| kept.touched > limit);
        telemetry::streams_passivated(A::KIND.word());
    }
}
