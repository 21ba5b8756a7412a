//! The one writer: takes what waits, checks versions, seals, chains, writes, syncs once, then answers everybody.

use std::collections::HashMap;
use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, TryRecvError};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::{Duration, Instant};

use tokio::sync::{broadcast, watch};

use super::company::Company;
use super::event::{self, AppendError, Batch, Completion, Expected, Receipt, StoredBatch, StoredEvent};
use super::footer::{self, Footer};
use super::high_water::{HighWater, Mark};
use super::index::{self, Index, SegmentIndex};
use super::keyring::Nonces;
use super::mirror::{Copy, Mirror};
use super::personal::Personal;
use super::prepare::Preparer;
use super::record::{self, Chain, Kind, Parts};
use super::segment::{self, SegmentHeader};
use super::{Disk, JournalError, KeyRing};
use crate::kernel::{StreamId, limits};
use crate::telemetry;

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
    barriers: Vec<(Vec<(StreamId, u64)>, Completion)>,
}

impl State {
    pub(super) fn new(directory: &Path, resume: super::recovery::Resume, disk: &dyn Disk, preparer: Preparer) -> Result<(Self, Index), JournalError> {
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
            barriers: Vec::new(),
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

/// Makes sure that no record of a write without room is whole on the disk: the next start would take it for something that
/// happened, and everybody was told that it did not.
fn is_unwritten(disk: &dyn Disk, active: &Active) -> bool {
    let there = segment::read_at(&active.file, active.offset, record::HEADER_BYTES);
    if there.is_ok_and(|bytes| bytes.iter().all(|byte| *byte == 0)) {
        return true;
    }
    disk.write_at(&active.file, &[0; record::HEADER_BYTES], active.offset).is_ok() && disk.sync(&active.file).is_ok()
}

/// A sync that failed closes the log, also when it says that there is no room: the kernel may have dropped the pages.
fn never_again(error: io::Error) -> io::Error {
    io::Error::other(format!("sync: {error}"))
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
                    self.gather(requests, &mut company);
                    let answered = self.state.group.len();
                    is_calm = answered <= CALM;
                    let began = Instant::now();
                    self.commit();
                    let took = began.elapsed();
                    self.take_waiting(requests);
                    company.committed(answered, self.state.group.len(), took);
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

    fn gather(&mut self, requests: &Receiver<Request>, company: &mut Company) {
        let Some((wanted, patience)) = company.wanted(self.state.group.len()) else { return };
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

    /// Makes sure that a record of this size fits into the active segment.
    fn make_room(&mut self, size: u64) -> Result<(), AppendError> {
        if self.fits(size) {
            return Ok(());
        }
        self.commit();
        if let Some(cause) = &self.state.fatal {
            return Err(AppendError::Fatal(cause.clone()));
        }
        // The group may have been taken back by a full disk, and then there is room in the segment after all.
        if self.fits(size) {
            return Ok(());
        }
        // A segment without an event is never closed: the next one would have its name. It was made for smaller records.
        if self.state.active.as_ref().is_some_and(|active| active.offset == segment::HEADER_BYTES as u64) {
            return Err(AppendError::TooLarge(usize::try_from(size).unwrap_or(usize::MAX)));
        }
        self.roll()
    }

    /// Whether a record fits behind what is there and what waits.
    fn fits(&self, size: u64) -> bool {
        self.state.active.as_ref().is_some_and(|active| active.offset + self.state.buffer.len() as u64 + size <= active.capacity)
    }

    /// Closes the active segment by its footer and begins the next one.
    fn roll(&mut self) -> Result<(), AppendError> {
        // The new file first: when the disk is full the old segment stays as it is, and nothing is lost.
        let prepared = self.state.preparer.take();
        let prepared = prepared.map_err(|error| self.no_room(error))?;
        // The footer may lie behind the segment's own room, and then it wants room of the disk.
        if let Err(error) = self.close_active() {
            let error = self.no_room(error);
            self.state.preparer.give_back(prepared);
            return Err(error);
        }
        if let Err(error) = self.begin(&prepared) {
            let error = self.no_room(error);
            self.state.preparer.give_back(prepared);
            return Err(error);
        }
        self.is_full.store(false, Ordering::Relaxed);
        self.state.preparer.begin();
        Ok(())
    }

    /// A full disk is waited for; anything else closes the log.
    fn no_room(&mut self, error: io::Error) -> AppendError {
        if !is_no_room(&error) {
            return self.fail(format!("a new segment cannot be begun: {error}"));
        }
        telemetry::journal_full(&error);
        self.is_full.store(true, Ordering::Relaxed);
        AppendError::Full
    }

    /// Writes the active segment's footer. Nothing of the state has changed when it fails.
    fn close_active(&mut self) -> io::Result<()> {
        if self.state.active.is_none() {
            return Ok(());
        }
        let entries = self.index.read().unwrap_or_else(PoisonError::into_inner).segments.last().map(SegmentIndex::sorted).unwrap_or_default();
        let body = footer::encode(&entries);
        let parts = Parts { kind: Kind::Footer, events: 0, first: self.state.next, durable: self.state.durable, recorded: 0, before: &self.state.chain };
        let mut sealed = Vec::new();
        // A footer above the largest record is left out; then the start reads the segment itself.
        let is_filed = body.len() <= limits::JOURNAL_RECORD_BYTES;
        let body = if is_filed { body } else { Vec::new() };
        let chain = record::write(&parts, &[&body], &self.keys, &mut self.state.nonces, &mut sealed).unwrap_or_else(|| {
            sealed.clear();
            self.state.chain
        });
        let active = self.state.active.as_mut().ok_or(io::ErrorKind::NotFound)?;
        // Until all of it is there, what of it may be there is overwritten by whatever comes next.
        active.stale = active.stale.max(sealed.len() as u64).min(active.capacity - active.offset);
        self.disk.write_at(&active.file, &sealed, active.offset)?;
        self.disk.set_length(&active.file, active.offset + sealed.len() as u64)?;
        self.disk.sync(&active.file).map_err(never_again)?;
        let footer = Footer::new(&entries, active.offset, &sealed).filter(|_| is_filed);
        // Behind our own: a full disk leaves the segment as it was, and so the mirror's.
        let mark = Mark { sequence: self.state.durable, chain };
        self.mirror.begin(|| Copy { path: active.path.clone(), offset: active.offset, bytes: sealed, mark });
        self.mirror.finish();
        // Without its entries on the disk they stay in memory.
        if let Some(footer) = footer
            && let Some(segment) = self.index.write().unwrap_or_else(PoisonError::into_inner).segments.last_mut()
        {
            segment.seal_with(footer);
        }
        self.state.chain = chain;
        self.state.active = None;
        Ok(())
    }

    /// Makes the prepared file the segment that is written. Without room it stays what it is, for the next try.
    fn begin(&mut self, prepared: &Path) -> io::Result<()> {
        let path = segment::path(&self.directory, self.state.next);
        let file = Arc::new(segment::open(prepared)?);
        let header = SegmentHeader { first: self.state.next, before: self.state.chain };
        self.disk.write_at(&file, &header.bytes(), 0)?;
        self.disk.sync(&file).map_err(never_again)?;
        self.disk.rename(prepared, &path)?;
        self.disk.sync_directory(&self.directory).map_err(never_again)?;
        let mark = Mark { sequence: self.state.durable, chain: self.state.chain };
        self.mirror.begin(|| Copy { path: path.clone(), offset: 0, bytes: header.bytes().to_vec(), mark });
        self.mirror.finish();
        let capacity = file.metadata()?.len();
        let mut index = self.index.write().unwrap_or_else(PoisonError::into_inner);
        index.segments.push(SegmentIndex::new(file.clone(), &path, self.state.next));
        self.state.active = Some(Active { file, path, offset: segment::HEADER_BYTES as u64, capacity, stale: 0 });
        Ok(())
    }

    /// One write, one sync, then everybody hears.
    fn commit(&mut self) {
        if !self.state.buffer.is_empty() {
            let started = Instant::now();
            let result = self.write_group();
            telemetry::journal_committed(self.state.group.len(), self.state.buffer.len(), started.elapsed(), result.is_ok());
            self.state.buffer.clear();
            match result {
                Ok(()) => self.publish(),
                Err(error) => self.refuse_group(error),
            }
        }
        for (seen, done) in std::mem::take(&mut self.state.barriers) {
            done(self.barrier(seen));
        }
    }

    /// The answer to a barrier. Whoever looked at a state of which a part was taken back has seen what never was.
    fn barrier(&self, seen: Vec<(StreamId, u64)>) -> Result<Receipt, AppendError> {
        if let Some(cause) = &self.state.fatal {
            return Err(AppendError::Fatal(cause.clone()));
        }
        for (stream, expected) in seen {
            let found = self.index.read().unwrap_or_else(PoisonError::into_inner).version(index::hash(&stream));
            if found < expected {
                return Err(AppendError::Conflict { stream: stream.to_string(), expected, found });
            }
        }
        Ok(Receipt { first: self.state.durable, last: self.state.durable })
    }

    /// Keys of persons are durable before what they seal.
    fn save_keys(&mut self) -> Result<(), Unwritten> {
        let Some((offset, bytes)) = self.personal.unsaved() else { return Ok(()) };
        let size = bytes.len();
        self.write_keys(&[(offset, bytes)])?;
        self.personal.saved(size);
        Ok(())
    }

    /// The same when they are many: a disk that took none for a while has none now either.
    fn save_many_keys(&mut self) -> Result<(), AppendError> {
        if !self.personal.has_many_unsaved() {
            return Ok(());
        }
        match self.save_keys() {
            Ok(()) => Ok(()),
            Err(Unwritten::Full(error)) => Err(self.no_room(error)),
            Err(Unwritten::Failed(cause)) => Err(self.fail(cause)),
        }
    }

    fn write_keys(&mut self, places: &[(u64, Vec<u8>)]) -> Result<(), Unwritten> {
        let (file, path) = (self.personal.file(), self.personal.path().to_owned());
        let failed = |action: &str, error: &io::Error| Unwritten::Failed(format!("journal: {}: {action}: {error}", path.display()));
        for (offset, bytes) in places {
            self.disk.write_at(&file, bytes, *offset).map_err(|error| if is_no_room(&error) { Unwritten::Full(error) } else { failed("write", &error) })?;
        }
        self.disk.sync(&file).map_err(|error| failed("sync", &error))?;
        let mark = Mark { sequence: self.state.durable, chain: self.state.before_group.chain };
        for (offset, bytes) in places {
            self.mirror.begin(|| Copy { path: path.clone(), offset: *offset, bytes: bytes.clone(), mark });
            self.mirror.finish();
        }
        Ok(())
    }

    /// Nothing that was sealed under these keys can be read from now on.
    fn destroy(&mut self, keys: &[u32]) -> Result<Receipt, AppendError> {
        self.commit();
        if let Some(cause) = &self.state.fatal {
            return Err(AppendError::Fatal(cause.clone()));
        }
        self.state.before_group = Before { next: self.state.next, chain: self.state.chain };
        let places: Vec<(u64, Vec<u8>)> = keys.iter().map(|key| Personal::destroyed(*key)).map(|(offset, bytes)| (offset, bytes.to_vec())).collect();
        let written = self.save_keys().and_then(|()| self.write_keys(&places));
        match written {
            Ok(()) => {
                self.personal.forget(keys);
                Ok(Receipt { first: self.state.durable, last: self.state.durable })
            }
            Err(Unwritten::Full(error)) => Err(self.no_room(error)),
            Err(Unwritten::Failed(cause)) => Err(self.fail(cause)),
        }
    }

    fn write_group(&mut self) -> Result<(), Unwritten> {
        self.save_keys()?;
        let state = &mut self.state;
        let Some(active) = &mut state.active else { return Ok(()) };
        let mark = Mark { sequence: state.next - 1, chain: state.chain };
        let size = state.buffer.len();
        // What an earlier write left behind goes with this one.
        let cleared = usize::try_from(active.stale).unwrap_or(usize::MAX).max(size);
        state.buffer.resize(cleared, 0);
        let written = self.disk.write_at(&active.file, &state.buffer, active.offset);
        state.buffer.truncate(size);
        if let Err(error) = written {
            active.stale = cleared as u64;
            let is_gone = is_no_room(&error) && is_unwritten(self.disk.as_ref(), active);
            return Err(if is_gone { Unwritten::Full(error) } else { Unwritten::Failed(format!("journal: {}: append: {error}", active.path.display())) });
        }
        active.stale = 0;
        // The mirror never has what the log has no room for.
        self.mirror.begin(|| Copy { path: active.path.clone(), offset: active.offset, bytes: state.buffer.clone(), mark });
        self.disk.sync(&active.file).map_err(|error| Unwritten::Failed(format!("journal: {}: sync: {error}", active.path.display())))?;
        self.mirror.finish();
        active.offset += size as u64;
        state.preparer.written(active.offset);
        state.durable = mark.sequence;
        self.is_full.store(false, Ordering::Relaxed);
        match state.high_water.write(&mark, self.disk.as_ref()) {
            // The records say themselves what was durable; the mark is written with the next group.
            Err(JournalError::Io { source, .. }) if is_no_room(&source) => Ok(()),
            result => result.map_err(|error| Unwritten::Failed(error.to_string())),
        }
    }

    /// Nobody of the group is told that it is done. A full disk leaves everything as it was before the group: nothing of it
    /// was synced, and a file system that writes a copy of what it changes may have no room even inside a segment.
    fn refuse_group(&mut self, why: Unwritten) {
        let answer = match why {
            Unwritten::Failed(cause) => self.fail(cause),
            Unwritten::Full(error) => {
                let mut index = self.index.write().unwrap_or_else(PoisonError::into_inner);
                for event in self.state.group.iter().rev().flat_map(|pending| pending.batch.events.iter().rev()) {
                    index.set_version(index::hash(&event.event.stream), event.stream_version - 1);
                }
                drop(index);
                (self.state.next, self.state.chain) = (self.state.before_group.next, self.state.before_group.chain);
                self.no_room(error)
            }
        };
        self.state.group.drain(..).for_each(|pending| (pending.done)(Err(answer.clone())));
    }

    fn publish(&mut self) {
        {
            let mut index = self.index.write().unwrap_or_else(PoisonError::into_inner);
            if let Some(segment) = index.segments.last_mut() {
                for pending in &self.state.group {
                    let events = pending.batch.events.iter().map(|event| (index::hash(&event.event.stream), event.stream_version));
                    segment.add(pending.batch.first(), pending.offset, pending.size, events);
                }
            }
        }
        self.head.send_replace(self.state.durable);
        for pending in self.state.group.drain(..) {
            let receipt = Receipt { first: pending.batch.first(), last: pending.batch.last() };
            (pending.done)(Ok(receipt));
            // Without followers nobody receives; that is no fault.
            let _ = self.committed.send(pending.batch);
        }
    }

    /// Closes the log for good: a failed sync is never retried, since the kernel may have dropped the pages.
    fn fail(&mut self, cause: String) -> AppendError {
        telemetry::journal_failed(&cause);
        let cause = self.state.fatal.get_or_insert(cause).clone();
        self.failure.send_replace(Some(cause.clone()));
        AppendError::Fatal(cause)
    }
}
