//! The log in files: opens it, hands appends to the writer's thread, reads durable events.

use std::fs::File;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{SyncSender, TrySendError};
use std::sync::{Arc, Mutex, OnceLock, PoisonError, RwLock};
use std::thread::JoinHandle;
use std::time::Duration;

use tokio::sync::{broadcast, watch};

use super::event::{self, AppendError, Batch, Completion, Meta, StoredBatch, StoredEvent};
use super::high_water::{HighWater, Mark};
use super::index::{self, Index};
use super::mirror::Mirror;
use super::personal::{self, Personal};
use super::prepare::Preparer;
use super::recovery::{self, Opened};
use super::shelf::Shelf;
use super::views::{Views, ViewsError};
use super::writer::{Request, State, Writer};
use super::{Disk, JournalError, KeyRing, Log, RealDisk, Snapshot, Tail, record, segment, snapshot, verify};
use crate::kernel::{Mrn, StreamId, limits};

/// Batches that followers may be behind before they read from the disk.
const FOLLOWERS_BEHIND: usize = 1_024;
/// Bytes read at a time while following a segment.
const READ_AHEAD: usize = 256 << 10;

/// Tries to take a directory's lock, and the rest between two of them.
const LOCK_TRIES: u32 = 50;
const LOCK_REST: Duration = Duration::from_millis(10);

/// How a log is kept.
#[derive(Clone)]
pub struct Options {
    /// Size of a segment in bytes.
    pub segment_bytes: u64,
    /// The file system, or a failing one in tests.
    pub disk: Arc<dyn Disk>,
}

impl Default for Options {
    fn default() -> Self {
        Self { segment_bytes: 64 << 20, disk: Arc::new(RealDisk) }
    }
}

impl std::fmt::Debug for Options {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Options(segments of {} bytes)", self.segment_bytes)
    }
}

/// Figures of a log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Statistics {
    /// Durable events.
    pub events: u64,
    /// Streams.
    pub streams: usize,
    /// Path, first sequence, records and bytes of each segment.
    pub segments: Vec<(PathBuf, u64, usize, u64)>,
}

/// The log of one directory.
pub struct FileLog {
    keys: Arc<KeyRing>,
    personal: Arc<Personal>,
    index: Arc<RwLock<Index>>,
    shelf: Shelf,
    head: watch::Receiver<u64>,
    committed: broadcast::Sender<Arc<StoredBatch>>,
    failure: watch::Receiver<Option<String>>,
    is_full: Arc<AtomicBool>,
    requests: Option<SyncSender<Request>>,
    thread: Mutex<Option<JoinHandle<()>>>,
    /// Where snapshots are kept; without it there are none.
    snapshots: OnceLock<Arc<dyn Views>>,
    /// Held as long as the log is open; the system lets go of it when the process ends.
    _lock: File,
}

impl std::fmt::Debug for FileLog {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "FileLog(head {})", self.head())
    }
}

/// Takes the lock file of a directory.
pub(super) fn lock(directory: &Path) -> Result<File, JournalError> {
    let path = directory.join("lock");
    let file = File::options().write(true).create(true).truncate(false).open(&path).map_err(JournalError::io(&path, "open"))?;
    // One that is just ending may hold it a moment longer.
    for _ in 0..LOCK_TRIES {
        if file.try_lock().is_ok() {
            return Ok(file);
        }
        std::thread::sleep(LOCK_REST);
    }
    Err(JournalError::Locked(directory.to_owned()))
}

/// Takes the log's end as the truth when its high-water mark is lost; `named` must be the last event, so that whoever does
/// it has looked.
pub fn accept_end(directory: &Path, keys: Option<&KeyRing>, named: u64) -> Result<(), JournalError> {
    let _lock = lock(directory)?;
    let report = verify::verify(directory, keys)?;
    if report.events != named {
        return Err(JournalError::OtherEnd { found: report.events, named });
    }
    let mut mark = HighWater::open(directory, &RealDisk)?;
    mark.write(&Mark { sequence: named, chain: report.chain }, &RealDisk)?;
    mark.sync(&RealDisk)
}

impl FileLog {
    /// Opens or creates the log of a directory.
    pub fn open(directory: &Path, keys: Arc<KeyRing>, options: Options) -> Result<(Self, Opened), JournalError> {
        Self::open_with(directory, keys, options, None)
    }

    /// The same with a mirror, which is up to date.
    pub(super) fn open_with(directory: &Path, keys: Arc<KeyRing>, options: Options, mirror: Option<&Path>) -> Result<(Self, Opened), JournalError> {
        std::fs::DirBuilder::new().recursive(true).mode(0o700).create(directory).map_err(JournalError::io(directory, "create"))?;
        let lock = lock(directory)?;
        let resume = recovery::recover(directory, &keys, options.disk.as_ref())?;
        // Without the file everything would open, and nothing could be read of anybody; and it is not made before it is known that none is lost.
        let known = personal::scan(directory)?;
        let named = if known.is_empty() && resume.next > 1 { recovery::newest_key_of_all(directory, &keys)? } else { resume.newest_key };
        if named > 0 && !known.holds(named) {
            return Err(JournalError::NoPersonalKey(directory.to_owned(), named));
        }
        let personal = Arc::new(Personal::open(directory, keys.clone(), options.disk.as_ref())?);
        let opened = resume.opened.clone();
        let (head_sender, head) = watch::channel(resume.next - 1);
        let (failure_sender, failure) = watch::channel(None);
        let (committed, _) = broadcast::channel(FOLLOWERS_BEHIND);
        let preparer = Preparer::new(options.disk.clone(), directory.to_owned(), options.segment_bytes);
        let (state, index) = State::new(directory, resume, &options.disk, preparer)?;
        let index = Arc::new(RwLock::new(index));
        let is_full = Arc::new(AtomicBool::new(false));
        let (sender, receiver) = std::sync::mpsc::sync_channel(limits::JOURNAL_QUEUE);
        let mirror = mirror.map_or_else(|| Ok(Mirror::none()), |mirror| Mirror::start(mirror, options.disk.clone()))?;
        let writer = Writer {
            mirror,
            directory: directory.to_owned(),
            segment_bytes: options.segment_bytes,
            keys: keys.clone(),
            personal: personal.clone(),
            disk: options.disk,
            index: index.clone(),
            head: head_sender,
            committed: committed.clone(),
            failure: failure_sender,
            is_full: is_full.clone(),
            state,
        };
        let thread =
            std::thread::Builder::new().name("journal-writer".to_owned()).spawn(move || writer.run(&receiver)).map_err(JournalError::io(directory, "start the writer's thread"))?;
        let shelf = Shelf::new(keys.clone());
        let log = Self {
            keys,
            personal,
            index,
            shelf,
            head,
            committed,
            failure,
            is_full,
            requests: Some(sender),
            thread: Mutex::new(Some(thread)),
            snapshots: OnceLock::new(),
            _lock: lock,
        };
        Ok((log, opened))
    }

    fn index(&self) -> std::sync::RwLockReadGuard<'_, Index> {
        self.index.read().unwrap_or_else(PoisonError::into_inner)
    }

    /// Becomes the cause when a write or sync has failed: then wardd must stop.
    pub fn failure(&self) -> watch::Receiver<Option<String>> {
        self.failure.clone()
    }

    /// Keeps snapshots in these views from now on; the first call decides.
    pub fn keep_snapshots(&self, views: Arc<dyn Views>) {
        self.snapshots.get_or_init(|| views);
    }

    /// Figures for people.
    pub fn statistics(&self) -> Statistics {
        let index = self.index();
        let segments = index.segments.iter().map(|segment| (segment.path.to_path_buf(), segment.first, segment.records(), segment.end)).collect();
        Statistics { events: self.head(), streams: index.streams(), segments }
    }

    fn send(&self, request: Request) {
        let refused = match self.requests.as_ref().map(|requests| requests.try_send(request)) {
            Some(Ok(())) => return,
            Some(Err(TrySendError::Full(request))) => (request, AppendError::Busy),
            Some(Err(TrySendError::Disconnected(request))) => (request, AppendError::Fatal("the writer has ended".to_owned())),
            None => return,
        };
        match refused {
            (Request::Append { done, .. } | Request::Barrier { done, .. } | Request::Destroy { done, .. }, error) => done(Err(error)),
        }
    }

    fn read_record(&self, file: &File, offset: u64) -> Result<Arc<StoredBatch>, JournalError> {
        let failed = |action| JournalError::io("segment", action);
        let prefix = segment::read_at(file, offset, 12).map_err(failed("read record"))?;
        let size = 12 + prefix.get(4..8).and_then(|bytes| bytes.try_into().ok()).map_or(0, u32::from_le_bytes) as usize;
        let bytes = segment::read_at(file, offset, size.min(limits::JOURNAL_RECORD_BYTES)).map_err(failed("read record"))?;
        self.decode(&bytes)
    }

    fn decode(&self, bytes: &[u8]) -> Result<Arc<StoredBatch>, JournalError> {
        let payload = |sequence, why: &str| JournalError::Payload { sequence, why: why.to_owned() };
        let header = record::read(bytes).map_err(|broken| payload(0, broken.words()))?;
        let body = record::open(&self.keys, &header, bytes).ok_or_else(|| payload(header.first, super::verify::WRONG_SEAL))?;
        recovery::decode(&body, &header, Some(&self.personal)).map(Arc::new).map_err(|why| JournalError::Payload { sequence: header.first, why })
    }

    /// The records of one segment from an offset on that hold events from `from` up to `head`, at most `limit`.
    fn follow(&self, place: (Arc<File>, u64, u64), from: u64, head: u64, limit: usize, found: &mut Vec<Arc<StoredBatch>>) -> Result<(), JournalError> {
        let (file, mut at, end) = place;
        while at < end && found.len() < limit {
            let length = usize::try_from(end - at).unwrap_or(usize::MAX).min(READ_AHEAD);
            let mut bytes = segment::read_at(&file, at, length).map_err(JournalError::io("segment", "read"))?;
            let mut used = 0;
            loop {
                match record::read(&bytes[used..]) {
                    Ok(header) => {
                        let next = used + header.size;
                        let last = header.first + u64::from(header.events);
                        if header.first > head {
                            return Ok(());
                        }
                        if header.kind == record::Kind::Events && last > from {
                            found.push(self.decode(&bytes[used..next])?);
                        }
                        used = next;
                        if found.len() >= limit {
                            return Ok(());
                        }
                    }
                    // A record larger than what was read ahead.
                    Err(_) if used == 0 && (bytes.len() as u64) < end - at => {
                        let whole = usize::try_from(end - at).unwrap_or(usize::MAX).min(limits::JOURNAL_RECORD_BYTES * 2);
                        if whole == bytes.len() {
                            return Ok(());
                        }
                        bytes = segment::read_at(&file, at, whole).map_err(JournalError::io("segment", "read"))?;
                    }
                    Err(_) if used == 0 => return Ok(()),
                    Err(_) => break,
                }
            }
            at += used as u64;
        }
        Ok(())
    }
}

impl Log for FileLog {
    fn append(&self, batch: Batch, done: Completion) {
        self.send(Request::Append { batch, done });
    }

    fn keys_of(&self, mrn: &Mrn) -> Result<Vec<u32>, JournalError> {
        self.personal.keys_of(mrn)
    }

    fn destroy_keys(&self, keys: Vec<u32>, done: Completion) {
        self.send(Request::Destroy { keys, done });
    }

    fn barrier(&self, seen: Vec<(StreamId, u64)>, done: Completion) {
        self.send(Request::Barrier { seen, done });
    }

    fn read_stream(&self, stream: &StreamId, from_version: u64, limit: usize) -> Result<Vec<(Arc<Meta>, StoredEvent)>, JournalError> {
        let (number, from) = (index::hash(stream), u32::try_from(from_version).unwrap_or(u32::MAX));
        let sources = self.index().find(number, from);
        let places = self.shelf.places(sources, number, from, limit)?;
        let mut found = Vec::with_capacity(places.len());
        for (file, offset) in places {
            let batch = self.read_record(&file, offset)?;
            let events = batch.events.iter().filter(|event| event.event.stream == *stream && event.stream_version >= from_version);
            found.extend(events.map(|event| (batch.meta.clone(), event.clone())));
            if found.len() >= limit {
                found.truncate(limit);
                break;
            }
        }
        Ok(found)
    }

    fn version(&self, stream: &StreamId) -> u64 {
        self.index().version(index::hash(stream))
    }

    fn read_all(&self, from_sequence: u64, limit: usize) -> Result<Vec<Arc<StoredBatch>>, JournalError> {
        let head = self.head();
        let mut found = Vec::new();
        let mut from = from_sequence.max(1);
        while found.len() < limit && from <= head {
            let stretch = self.index().stretch(from);
            let Some(stretch) = stretch else { break };
            let file = match stretch.file {
                Some(file) => file,
                None => self.shelf.file(&stretch.path, stretch.first)?,
            };
            self.follow((file, stretch.at, stretch.end), from, head, limit, &mut found)?;
            let reached = found.last().map_or(0, |batch| batch.last()) + 1;
            match stretch.next_first {
                // The segment is read to its end; go on with the next one.
                Some(first) if found.len() < limit => from = first.max(reached),
                _ => break,
            }
        }
        Ok(found)
    }

    fn head(&self) -> u64 {
        *self.head.borrow()
    }

    fn is_accepting(&self) -> bool {
        !self.is_full.load(Ordering::Relaxed) && self.failure.borrow().is_none()
    }

    fn tail(&self, from_sequence: u64) -> Tail {
        Tail::new(self.committed.subscribe(), from_sequence)
    }

    fn snapshot(&self, stream: &StreamId) -> Option<Snapshot> {
        let found = snapshot::load(self.snapshots.get()?.as_ref(), stream)?;
        let (meta, event) = self.read_stream(stream, found.version, 1).ok()?.into_iter().next()?;
        // What was erased since is in no snapshot.
        let is_erased = event.event.payload.get() == event::ERASED;
        let is_ours = !is_erased && (event.stream_version, event.sequence, meta.command) == (found.version, found.sequence, found.command);
        is_ours.then_some(found)
    }

    fn save_snapshot(&self, stream: &StreamId, snapshot: &Snapshot) -> Result<(), ViewsError> {
        self.snapshots.get().map_or(Ok(()), |views| snapshot::save(views.as_ref(), stream, snapshot))
    }
}

impl Drop for FileLog {
    /// Lets the writer finish what waits.
    fn drop(&mut self) {
        self.requests = None;
        if let Some(thread) = self.thread.lock().unwrap_or_else(PoisonError::into_inner).take() {
            // A panic of the writer was reported when it happened.
            let _ = thread.join();
        }
    }
}

#[cfg(test)]
#[path = "file_log_tests.rs"]
mod tests;

#[cfg(test)]
#[path = "crash_tests.rs"]
mod crash_tests;

#[cfg(test)]
#[path = "fault_tests.rs"]
mod fault_tests;
