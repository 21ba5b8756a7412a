//! The one writer: takes what waits, checks versions, seals, chains, writes, syncs once, then answers everybody.

mod commit;
mod keys;
mod roll;

use std::collections::HashMap;
use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicBool;
use std::sync::mpsc::{Receiver, RecvTimeoutError, TryRecvError};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::{Duration, Instant};

use tokio::sync::{broadcast, watch};

use super::beside::Beside;
use super::company::Company;
use super::event::{self, AppendError, Batch, Completion, Expected, StoredBatch, StoredEvent};
use super::high_water::{HighWater, Mark};
use super::index::{self, Index};
use super::keyring::Nonces;
use super::mirror::Mirror;
use super::personal::Personal;
use super::prepare::Preparer;
use super::record::{self, Chain, Kind, Parts};
use super::segment;
use super::{Disk, JournalError, KeyRing};
use crate::kernel::{StreamId, limits};
use crate::telemetry;
use commit::Written;

/// How long the high-water mark may be behind after a loss of power.
const MARK_SYNC: Duration = Duration::from_secs(1);

/// How long the writer looks for the next request before it sleeps.
const LOOK: Duration = Duration::from_micros(150);
/// Records of one sync at most when few are at work.
const CALM: usize = 2;
/// A nap while company is waited for.
const NAP: Duration = Duration::from_micros(20);

/// What callers send to the writer.
pub(super) enum Request {
    /// A batch.
    Append { batch: Batch, done: Completion },
    /// Answer when everything before is durable, and what somebody has looked at is still as they saw it.
    Barrier { seen: Vec<(StreamId, u64)>, done: Completion },
    /// Destroy these keys of persons, for ever.
    Destroy { keys: Vec<u32>, done: Completion },
}

/// The segment that is written.
struct Active {
    file: Arc<File>,
    path: PathBuf,
    offset: u64,
    capacity: u64,
    /// Bytes behind `offset` that a write left there which had no room; they are overwritten before anything counts again.
    stale: u64,
}

/// Whoever waits until what they saw is durable.
type Barrier = (Vec<(StreamId, u64)>, Completion);

/// Where the log stood before the group that is being collected.
#[derive(Clone, Copy)]
struct Before {
    next: u64,
    chain: Chain,
}

/// A record of the group that is being made durable.
struct Pending {
    offset: u64,
    size: u64,
    batch: Arc<StoredBatch>,
    done: Completion,
}

pub(super) struct Writer {
    pub(super) mirror: Mirror,
    pub(super) directory: PathBuf,
    pub(super) segment_bytes: u64,
    pub(super) keys: Arc<KeyRing>,
    pub(super) personal: Arc<Personal>,
    pub(super) disk: Arc<dyn Disk>,
    pub(super) index: Arc<RwLock<Index>>,
    pub(super) head: watch::Sender<u64>,
    pub(super) committed: broadcast::Sender<Arc<StoredBatch>>,
    pub(super) failure: watch::Sender<Option<String>>,
    /// Whether the last try to make room failed.
    pub(super) is_full: Arc<AtomicBool>,
    pub(super) state: State,
}

/// What changes while it runs.
pub(super) struct State {
    nonces: Nonces,
    high_water: HighWater,
    active: Option<Active>,
    next: u64,
    durable: u64,
    chain: Chain,
    before_group: Before,
    preparer: Preparer,
    /// The first failed write or sync; nothing is accepted after it.
    fatal: Option<String>,
    buffer: Vec<u8>,
    group: Vec<Pending>,
    /// The group before, while its sync is under way beside the writer.
    under_way: Option<Written>,
    beside: Beside,
    barriers: Vec<Barrier>,
    /// Bytes of keys made ahead whose sync is under way on a thread of its own.
    keys_under_way: Option<(u64, Vec<u8>)>,
    keys_beside: Beside,
}

impl State {
    pub(super) fn new(directory: &Path, resume: super::recovery::Resume, disk: &Arc<dyn Disk>, preparer: Preparer) -> Result<(Self, Index), JournalError> {
        let (beside, keys_beside) = (Beside::new(disk.clone()), Beside::new(disk.clone()));
        let disk = disk.as_ref();
        let mut high_water = HighWater::open(directory, disk)?;
        let mark = Mark { sequence: resume.next - 1, chain: resume.chain };
        if high_water.is_new() || resume.mark != mark.sequence {
            // Durable before the first event, so that a log without a mark is one that has lost it; and what was found behind
            // the mark counts from now on.
            high_water.write(&mark, disk)?;
            high_water.sync(disk)?;
            disk.sync_directory(directory).map_err(JournalError::io(directory, "sync directory"))?;
        }
        let active = resume.active.map(|(file, path, offset, capacity)| Active { file, path, offset, capacity, stale: 0 });
        let state = Self {
            nonces: Nonces::new()?,
            high_water,
            active,
            next: resume.next,
            durable: resume.next - 1,
            chain: resume.chain,
            before_group: Before { next: resume.next, chain: resume.chain },
            preparer,
            fatal: None,
            buffer: Vec::new(),
            group: Vec::new(),
            under_way: None,
            beside,
            barriers: Vec::new(),
            keys_under_way: None,
            keys_beside,
        };
        Ok((state, resume.index))
    }
}

/// The next request. After a commit the next one often follows at once, and waking a thread that sleeps takes about as long
/// as a sync of a good disk: so it looks for a moment before it sleeps. With many at work others need the processor more.
fn next(requests: &Receiver<Request>, is_calm: bool) -> Result<Request, RecvTimeoutError> {
    let began = Instant::now();
    while is_calm && began.elapsed() < LOOK {
        match requests.try_recv() {
            Ok(request) => return Ok(request),
            Err(TryRecvError::Disconnected) => return Err(RecvTimeoutError::Disconnected),
            // Whoever would send it may need this processor.
            Err(TryRecvError::Empty) => std::thread::yield_now(),
        }
    }
    requests.recv_timeout(MARK_SYNC)
}

/// Why a group was not made durable.
enum Unwritten {
    /// The disk has no room now; nothing of the group counts.
    Full(io::Error),
    /// Something that closes the log.
    Failed(String),
}

fn is_no_room(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded)
}

impl Writer {
    /// Serves requests until all callers are gone.
    pub(super) fn run(mut self, requests: &Receiver<Request>) {
        self.state.preparer.begin();
        let (mut is_calm, mut company) = (false, Company::default());
        loop {
            let found = if self.state.group.is_empty() && self.state.barriers.is_empty() { next(requests, is_calm).map(Some) } else { Ok(None) };
            match found {
                Ok(first) => {
                    first.into_iter().for_each(|request| self.take(request));
                    self.take_waiting(requests);
                    let wait = company.wanted(self.state.group.len());
                    self.gather(requests, wait, &mut company);
                    let answered = self.state.group.len();
                    is_calm = answered <= CALM;
                    if company.comes_meanwhile() {
                        self.commit_beside(requests, &mut company);
                    } else {
                        let began = Instant::now();
                        self.commit();
                        let took = began.elapsed();
                        self.take_waiting(requests);
                        if answered > 0 {
                            company.committed(answered, self.state.group.len(), took);
                        }
                    }
                    self.save_keys_ahead();
                }
                Err(RecvTimeoutError::Timeout) => self.sync_mark(),
                Err(RecvTimeoutError::Disconnected) => break,
            }
        }
        self.sync_mark();
        self.state.preparer.end();
    }

    /// Takes what waits, up to the limits of a group.
    fn take_waiting(&mut self, requests: &Receiver<Request>) {
        while self.state.group.len() + self.state.barriers.len() < limits::JOURNAL_GROUP_RECORDS && self.state.buffer.len() < limits::JOURNAL_GROUP_BYTES {
            match requests.try_recv() {
                Ok(request) => self.take(request),
                Err(_) => break,
            }
        }
    }

    /// Waits for those who were at work, when that is worth it.
    fn gather(&mut self, requests: &Receiver<Request>, wait: Option<(usize, Duration)>, company: &mut Company) {
        let Some((wanted, patience)) = wait else { return };
        let began = Instant::now();
        while self.state.group.len() < wanted.min(limits::JOURNAL_GROUP_RECORDS) && self.state.buffer.len() < limits::JOURNAL_GROUP_BYTES && began.elapsed() < patience {
            std::thread::sleep(NAP);
            self.take_waiting(requests);
        }
        company.waited(self.state.group.len());
    }

    fn sync_mark(&mut self) {
        if let Err(error) = self.state.high_water.sync(self.disk.as_ref()) {
            self.fail(error.to_string());
        }
    }

    fn take(&mut self, request: Request) {
        match request {
            Request::Barrier { seen, done } => self.state.barriers.push((seen, done)),
            Request::Destroy { keys, done } => {
                let result = self.destroy(&keys);
                done(result);
            }
            Request::Append { batch, done } => {
                if let Err((done, error)) = self.encode(batch, done) {
                    done(Err(error));
                }
            }
        }
    }

    /// Seals a batch into the group's buffer, or says why not.
    fn encode(&mut self, batch: Batch, done: Completion) -> Result<(), (Completion, AppendError)> {
        if let Some(cause) = &self.state.fatal {
            return Err((done, AppendError::Fatal(cause.clone())));
        }
        // Before anything is sealed: what a full disk refuses for hours must not use up a key each time that it comes.
        let payloads: usize = batch.events.iter().map(|event| event.payload.get().len()).sum();
        if payloads > limits::JOURNAL_RECORD_BYTES || payloads as u64 > self.segment_bytes {
            return Err((done, AppendError::TooLarge(payloads)));
        }
        if let Err(error) = self.make_room(payloads as u64).and_then(|()| self.save_many_keys()) {
            return Err((done, error));
        }
        let body = match event::write_body(&batch.meta, &batch.events, &self.personal) {
            Ok(body) => body,
            Err(error) => return Err((done, AppendError::Fatal(format!("an event cannot be written: {error}")))),
        };
        let size = (record::HEADER_BYTES + super::keyring::TAG_BYTES + batch.events.len() * 8 + body.len()) as u64;
        let Ok(count) = u16::try_from(batch.events.len()) else { return Err((done, AppendError::TooLarge(body.len()))) };
        if size > limits::JOURNAL_RECORD_BYTES as u64 || size + (segment::HEADER_BYTES * 4) as u64 > self.segment_bytes {
            return Err((done, AppendError::TooLarge(body.len())));
        }
        if let Err(error) = self.make_room(size) {
            return Err((done, error));
        }
        let versions = match self.versions(&batch) {
            Ok(versions) => versions,
            Err(error) => return Err((done, error)),
        };
        let versions_bytes: Vec<u8> = versions.iter().flat_map(|version| version.to_le_bytes()).collect();
        let state = &mut self.state;
        if state.group.is_empty() {
            state.before_group = Before { next: state.next, chain: state.chain };
        }
        let parts = Parts { kind: Kind::Events, events: count, first: state.next, durable: state.durable, recorded: batch.meta.recorded.micros(), before: &state.chain };
        let offset = state.active.as_ref().map_or(0, |active| active.offset) + state.buffer.len() as u64;
        let start = state.buffer.len();
        let Some(chain) = record::write(&parts, &[&versions_bytes, &body], &self.keys, &mut state.nonces, &mut state.buffer) else {
            state.buffer.truncate(start);
            return Err((done, AppendError::TooLarge(body.len())));
        };
        state.chain = chain;
        let events: Vec<StoredEvent> =
            batch.events.into_iter().zip(versions).zip(state.next..).map(|((event, stream_version), sequence)| StoredEvent { sequence, stream_version, event }).collect();
        state.next += events.len() as u64;
        {
            let mut index = self.index.write().unwrap_or_else(PoisonError::into_inner);
            events.iter().for_each(|event| index.set_version(index::hash(&event.event.stream), event.stream_version));
        }
        state.group.push(Pending { offset, size, batch: Arc::new(StoredBatch { meta: batch.meta, events }), done });
        Ok(())
    }

    /// The stream versions that the events get, or the conflict.
    fn versions(&self, batch: &Batch) -> Result<Vec<u64>, AppendError> {
        let index = self.index.read().unwrap_or_else(PoisonError::into_inner);
        for (stream, expected) in &batch.expected {
            let found = index.version(index::hash(stream));
            match expected {
                Expected::Version(expected) if *expected != found => {
                    return Err(AppendError::Conflict { stream: stream.to_string(), expected: *expected, found });
                }
                Expected::Version(_) | Expected::Any => {}
            }
        }
        let mut grown: HashMap<u64, u64> = HashMap::new();
        Ok(batch
            .events
            .iter()
            .map(|event| {
                let stream = index::hash(&event.stream);
                let version = grown.entry(stream).or_insert_with(|| index.version(stream));
                *version += 1;
                *version
            })
            .collect())
    }

    /// Closes the log for good: a failed sync is never retried, since the kernel may have dropped the pages.
    fn fail(&mut self, cause: String) -> AppendError {
        telemetry::journal_failed(&cause);
        let cause = self.state.fatal.get_or_insert(cause).clone();
        self.failure.send_replace(Some(cause.clone()));
        AppendError::Fatal(cause)
    }
}
