//! A log in memory with a disk's habits: syncs take time and may fail, appends may find no place, a crash keeps what was
//! synced and perhaps a beginning of what was not. An append may also break the actor that makes it, as a bug would.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::{Notify, broadcast};

use crate::journal::views::ViewsError;
use crate::journal::{AppendError, Batch, Completion, Expected, JournalError, Log, Meta, Receipt, Snapshot, StoredBatch, StoredEvent, Tail};
use crate::kernel::planted::{self, Bug};
use crate::kernel::{Mrn, StreamId};
use crate::sim::Random;

/// How often things go wrong, in thousandths.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct LogFaults {
    pub(super) busy: u32,
    pub(super) panic: u32,
    pub(super) sync_error: u32,
    pub(super) slow_sync: u32,
}

struct Pending {
    batch: Arc<StoredBatch>,
    done: Completion,
}

struct State {
    durable: Vec<Arc<StoredBatch>>,
    /// Where each stream's events are: batch and place in it.
    places: HashMap<StreamId, Vec<(usize, usize)>>,
    pending: Vec<Pending>,
    barriers: Vec<Completion>,
    /// Versions, those included that wait.
    versions: HashMap<StreamId, u64>,
    next: u64,
    /// Why nothing is taken any more.
    dead: Option<String>,
    faults: LogFaults,
    random: Random,
    panics: u64,
}

/// The log.
pub(super) struct SimLog {
    state: Mutex<State>,
    committed: broadcast::Sender<Arc<StoredBatch>>,
    work: Notify,
}

impl SimLog {
    /// A log that holds what an earlier one kept.
    pub(super) fn new(durable: Vec<Arc<StoredBatch>>, faults: LogFaults, random: Random) -> Self {
        let mut state = State {
            durable: Vec::new(),
            places: HashMap::new(),
            pending: Vec::new(),
            barriers: Vec::new(),
            versions: HashMap::new(),
            next: 1,
            dead: None,
            faults,
            random,
            panics: 0,
        };
        for batch in durable {
            for event in &batch.events {
                state.versions.insert(event.event.stream.clone(), event.stream_version);
            }
            state.keep(batch);
        }
        Self { state: Mutex::new(state), committed: broadcast::channel(4_096).0, work: Notify::new() }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn set_faults(&self, faults: LogFaults) {
        self.state().faults = faults;
    }

    pub(super) fn is_dead(&self) -> bool {
        self.state().dead.is_some()
    }

    pub(super) fn panics(&self) -> u64 {
        self.state().panics
    }

    pub(super) fn durable(&self) -> Vec<Arc<StoredBatch>> {
        self.state().durable.clone()
    }

    /// The process dies: what was synced is there, and perhaps a beginning of what was not.
    pub(super) fn crash(&self) -> Vec<Arc<StoredBatch>> {
        let mut state = self.state();
        let waiting = state.pending.len() as u64;
        let kept = usize::try_from(state.random.below(waiting + 1)).unwrap_or(0);
        let pending = std::mem::take(&mut state.pending);
        for pending in pending.into_iter().take(kept) {
            state.keep(pending.batch);
        }
        state.barriers.clear();
        state.dead.get_or_insert_with(|| "the process has died".to_owned());
        state.durable.clone()
    }

    /// Syncs what waits, again and again, until the log is dead.
    pub(super) async fn run(&self) {
        loop {
            self.work.notified().await;
            let pause = {
                let mut state = self.state();
                let slow = state.faults.slow_sync;
                if state.random.chance(slow) { state.random.between(500, 3_000) } else { state.random.between(1, 6) }
            };
            tokio::time::sleep(Duration::from_millis(pause)).await;
            if !self.sync() {
                return;
            }
        }
    }

    /// The planted bug: the kernel has dropped the pages, and everybody is told that all is well.
    fn pretend(&self, mut state: MutexGuard<'_, State>) -> bool {
        let pending = std::mem::take(&mut state.pending);
        drop(state);
        for Pending { batch, done } in pending {
            done(Ok(Receipt { first: batch.first(), last: batch.last() }));
        }
        true
    }

    fn sync(&self) -> bool {
        let (pending, barriers, result) = {
            let mut state = self.state();
            if state.dead.is_some() {
                return false;
            }
            let rate = state.faults.sync_error;
            if !state.pending.is_empty() && state.random.chance(rate) && planted::is(Bug::SyncErrorIgnored) {
                // What was to be written is gone, and nobody says so.
                return self.pretend(state);
            }
            if !state.pending.is_empty() && state.random.chance(rate) {
                state.dead = Some("a sync failed".to_owned());
            }
            let pending = std::mem::take(&mut state.pending);
            if state.dead.is_none() {
                pending.iter().for_each(|pending| state.keep(pending.batch.clone()));
            }
            let head = state.head();
            let result = state.dead.clone().map_or(Ok(Receipt { first: head, last: head }), |cause| Err(AppendError::Fatal(cause)));
            (pending, std::mem::take(&mut state.barriers), result)
        };
        for Pending { batch, done } in pending {
            match &result {
                Ok(_) => {
                    done(Ok(Receipt { first: batch.first(), last: batch.last() }));
                    // Without followers nobody receives; that is no fault.
                    let _ = self.committed.send(batch);
                }
                Err(error) => done(Err(error.clone())),
            }
        }
        barriers.into_iter().for_each(|done| done(result.clone()));
        result.is_ok()
    }
}

impl State {
    fn head(&self) -> u64 {
        self.durable.last().map_or(0, |batch| batch.last())
    }

    fn keep(&mut self, batch: Arc<StoredBatch>) {
        let at = self.durable.len();
        for (place, event) in batch.events.iter().enumerate() {
            self.places.entry(event.event.stream.clone()).or_default().push((at, place));
        }
        self.next = batch.last() + 1;
        self.durable.push(batch);
    }

    fn refuse(&mut self, batch: &Batch) -> Option<AppendError> {
        if let Some(cause) = &self.dead {
            return Some(AppendError::Fatal(cause.clone()));
        }
        let rate = self.faults.busy;
        if self.random.chance(rate) {
            return Some(AppendError::Busy);
        }
        batch.expected.iter().find_map(|(stream, expected)| {
            let found = self.versions.get(stream).copied().unwrap_or(0);
            match expected {
                Expected::Version(expected) if *expected != found => Some(AppendError::Conflict { stream: stream.to_string(), expected: *expected, found }),
                Expected::Version(_) | Expected::Any => None,
            }
        })
    }

    fn number(&mut self, batch: Batch) -> Arc<StoredBatch> {
        let first = self.pending.last().map_or(self.next, |pending| pending.batch.last() + 1);
        let events = batch.events.into_iter().zip(first..).map(|(event, sequence)| {
            let version = self.versions.entry(event.stream.clone()).or_insert(0);
            *version += 1;
            StoredEvent { sequence, stream_version: *version, event }
        });
        let events = events.collect();
        Arc::new(StoredBatch { meta: batch.meta, events })
    }
}

impl Log for SimLog {
    #[expect(clippy::panic, reason = "the planted bug of the simulation")]
    fn append(&self, batch: Batch, done: Completion) {
        let mut state = self.state();
        let rate = state.faults.panic;
        if state.random.chance(rate) {
            state.panics += 1;
            drop(state);
            panic!("a simulated bug");
        }
        match state.refuse(&batch) {
            Some(error) => {
                drop(state);
                done(Err(error));
            }
            None => {
                let batch = state.number(batch);
                state.pending.push(Pending { batch, done });
                self.work.notify_one();
            }
        }
    }

    fn barrier(&self, _seen: Vec<(StreamId, u64)>, done: Completion) {
        let mut state = self.state();
        match state.dead.clone() {
            Some(cause) => {
                drop(state);
                done(Err(AppendError::Fatal(cause)));
            }
            None => {
                state.barriers.push(done);
                self.work.notify_one();
            }
        }
    }

    /// Nothing is sealed here.
    fn keys_of(&self, _: &Mrn) -> Result<Vec<u32>, JournalError> {
        Ok(Vec::new())
    }

    fn destroy_keys(&self, _: Vec<u32>, done: Completion) {
        self.barrier(Vec::new(), done);
    }

    fn read_stream(&self, stream: &StreamId, from_version: u64, limit: usize) -> Result<Vec<(Arc<Meta>, StoredEvent)>, JournalError> {
        let state = self.state();
        let places = state.places.get(stream).map(Vec::as_slice).unwrap_or_default();
        let found = places.iter().map(|(batch, place)| (state.durable[*batch].meta.clone(), state.durable[*batch].events[*place].clone()));
        Ok(found.filter(|(_, event)| event.stream_version >= from_version).take(limit).collect())
    }

    fn version(&self, stream: &StreamId) -> u64 {
        self.state().versions.get(stream).copied().unwrap_or(0)
    }

    fn read_all(&self, from_sequence: u64, limit: usize) -> Result<Vec<Arc<StoredBatch>>, JournalError> {
        let state = self.state();
        let begin = state.durable.partition_point(|batch| batch.last() < from_sequence);
        Ok(state.durable[begin..].iter().take(limit).cloned().collect())
    }

    fn head(&self) -> u64 {
        self.state().head()
    }

    fn is_accepting(&self) -> bool {
        !self.is_dead()
    }

    fn tail(&self, from_sequence: u64) -> Tail {
        Tail::new(self.committed.subscribe(), from_sequence)
    }

    fn snapshot(&self, _: &StreamId) -> Option<Snapshot> {
        None
    }

    fn save_snapshot(&self, _: &StreamId, _: &Snapshot) -> Result<(), ViewsError> {
        Ok(())
    }
}
