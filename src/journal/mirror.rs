//! A second copy of the log on another path, written with the first: what is acknowledged is durable on both.
//!
//! Flow: the writer hands each write to the mirror's thread, writes and syncs its own, and waits for the mirror before it
//! answers. A mirror that fails is given up with an alarm and the log goes on alone; the next start brings it up to date.
//! **Invariant**: the mirror is itself a journal directory, and a prefix of the log at any time.

use std::collections::HashMap;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread::JoinHandle;

use super::backup::{self, BackupError};
use super::high_water::{self, HighWater, Mark};
use super::segment::SegmentHeader;
use super::{Disk, FileLog, JournalError, KeyRing, Opened, Options, personal, segment};
use crate::telemetry;

/// Writes that may wait for the mirror's thread: the writer waits for it after each group.
const WAITING: usize = 8;

/// One write, by the name of its file.
pub(super) struct Copy {
    pub(super) path: PathBuf,
    pub(super) offset: u64,
    pub(super) bytes: Vec<u8>,
    /// What is durable in the log when this is.
    pub(super) mark: Mark,
}

/// The writer's end; without a thread there is no mirror, or none any more.
pub(super) struct Mirror(Option<Thread>);

struct Thread {
    handle: JoinHandle<()>,
    copies: SyncSender<Copy>,
    done: Receiver<Result<(), JournalError>>,
}

impl Mirror {
    /// No mirror.
    pub(super) fn none() -> Self {
        Self(None)
    }

    /// A mirror in a directory that is up to date.
    pub(super) fn start(directory: &Path, disk: Arc<dyn Disk>) -> Result<Self, JournalError> {
        let (copies, incoming) = sync_channel::<Copy>(WAITING);
        let (result, done) = sync_channel(WAITING);
        let mut files = Files { directory: directory.to_owned(), mark: HighWater::open(directory, disk.as_ref())?, disk, open: HashMap::new() };
        let run = move || {
            while let Ok(copy) = incoming.recv() {
                if result.send(files.write(&copy)).is_err() {
                    break;
                }
            }
            // The last mark may be a second old otherwise.
            let _ = files.mark.sync(files.disk.as_ref());
        };
        let handle = std::thread::Builder::new().name("journal-mirror".to_owned()).spawn(run).map_err(JournalError::io(directory, "start the mirror's thread"))?;
        telemetry::mirror(true);
        Ok(Self(Some(Thread { handle, copies, done })))
    }

    /// Begins a write.
    pub(super) fn begin(&mut self, copy: impl FnOnce() -> Copy) {
        if let Some(thread) = &self.0
            && thread.copies.send(copy()).is_err()
        {
            self.give_up("its thread has ended");
        }
    }

    /// Waits until what was begun is durable in the mirror too.
    pub(super) fn finish(&mut self) {
        let Some(thread) = &self.0 else { return };
        match thread.done.recv() {
            Ok(Ok(())) => {}
            Ok(Err(error)) => self.give_up(&error.to_string()),
            Err(_) => self.give_up("its thread has ended"),
        }
    }

    fn give_up(&mut self, why: &str) {
        telemetry::mirror(false);
        telemetry::mirror_lost(why);
        self.0 = None;
    }
}

impl Drop for Mirror {
    /// Its thread must not write into the mirror any more when somebody else may open it.
    fn drop(&mut self) {
        if let Some(Thread { handle, copies, done }) = self.0.take() {
            drop((copies, done));
            // A panic of it was reported when it happened.
            let _ = handle.join();
        }
    }
}

/// The mirror's files.
struct Files {
    directory: PathBuf,
    disk: Arc<dyn Disk>,
    mark: HighWater,
    open: HashMap<PathBuf, File>,
}

impl Files {
    fn write(&mut self, copy: &Copy) -> Result<(), JournalError> {
        let path = self.directory.join(copy.path.file_name().unwrap_or_default());
        let failed = |action| JournalError::io(path.clone(), action);
        if !self.open.contains_key(&path) {
            // Only the segment that is written is written.
            self.open.clear();
            let file = self.disk.create(&path).map_err(failed("create in the mirror"))?;
            self.disk.sync_directory(&self.directory).map_err(failed("sync the mirror's directory"))?;
            self.open.insert(path.clone(), file);
        }
        let Some(file) = self.open.get(&path) else { return Ok(()) };
        self.disk.write_at(file, &copy.bytes, copy.offset).map_err(failed("write to the mirror"))?;
        self.disk.sync(file).map_err(failed("sync the mirror"))?;
        self.mark.write(&copy.mark, self.disk.as_ref())
    }
}

/// How a log with a mirror was opened.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Mirrored {
    /// Segments that were taken from the mirror, since the log's own were damaged or gone.
    pub healed: Vec<PathBuf>,
    /// Why there is no mirror now, although one is configured.
    pub missing: Option<String>,
}

/// Opens a log that has a mirror: heals it from the mirror where it must, then brings the mirror up to date.
pub fn open(directory: &Path, mirror: &Path, keys: Arc<KeyRing>, options: Options) -> Result<(FileLog, Opened, Mirrored), BackupError> {
    let mirror_mark = high_water::read(mirror).filter(|mark| mark.sequence > 0);
    let mut found = Mirrored::default();
    // Keys of persons before the log: without them it does not open.
    if mirror_mark.is_some() && directory.exists() && !segment::list(directory)?.is_empty() {
        personal::reconcile(directory, mirror)?;
    }
    if mirror_mark.is_some() && (!directory.exists() || segment::list(directory)?.is_empty()) {
        let _ = backup::restore(mirror, directory, Some(&keys))?;
        found.healed = segment::list(directory)?.into_iter().map(|(_, path)| path).collect();
    }
    let own = match FileLog::open(directory, keys.clone(), options.clone()) {
        Ok((_, opened)) => Some(opened.events),
        Err(error @ (JournalError::Damaged(_) | JournalError::NoMark(_))) if mirror_mark.is_some() => {
            telemetry::mirror_heals(&error.to_string());
            None
        }
        Err(error) => return Err(error.into()),
    };
    // A mirror that knows more than the log: the log's disk has lost acknowledged events.
    if own.is_none_or(|events| mirror_mark.is_some_and(|mark| mark.sequence > events)) {
        found.healed.extend(backup::heal(directory, mirror, Some(&keys))?.segments);
    }
    match catch_up(directory, mirror) {
        Ok(()) => {
            let (log, opened) = FileLog::open_with(directory, keys, options, Some(mirror))?;
            Ok((log, opened, found))
        }
        // Another log: somebody must say which of the two is the right one.
        Err(error @ BackupError::Differs { .. }) => Err(error),
        Err(error) => {
            telemetry::mirror(false);
            telemetry::mirror_lost(&error.to_string());
            found.missing = Some(error.to_string());
            let (log, opened) = FileLog::open(directory, keys, options)?;
            Ok((log, opened, found))
        }
    }
}

/// Bytes at the end of a full segment that tell whether two are the same: its footer is sealed.
const LAST_BYTES: u64 = 4_096;

/// Makes the mirror hold what the log holds, which was just opened: its torn tail is cut. wardd does not write meanwhile.
fn catch_up(journal: &Path, mirror: &Path) -> Result<(), BackupError> {
    backup::make_private(mirror)?;
    let segments = segment::list(journal)?;
    let mut mark = Mark::default();
    let last = segments.len().saturating_sub(1);
    for (number, (first, path)) in segments.into_iter().enumerate() {
        let target = segment::path(mirror, first);
        if number < last && is_same_end(&path, &target) {
            continue;
        }
        let mut ours = segment::load(&path)?;
        let (end, reached) = whole_part(&ours, first);
        ours.truncate(end);
        mark = reached;
        let theirs = if target.exists() { segment::load(&target)? } else { Vec::new() };
        // A tail that was torn while it was written, on either side, is no difference.
        let common = whole_part(&theirs, first).0.min(end).min(theirs.len());
        if ours.get(..common) != theirs.get(..common) {
            return Err(BackupError::Differs { mirror: mirror.to_owned(), first });
        }
        if ours != theirs {
            backup::place(&target, &ours)?;
        }
    }
    // After the segments: what they name is there.
    personal::reconcile(journal, mirror)?;
    backup::set_mark(mirror, &mark)?;
    Ok(())
}

/// Where the whole records of a segment end, and what is durable there.
fn whole_part(bytes: &[u8], first: u64) -> (usize, Mark) {
    let Some(header) = SegmentHeader::read(bytes) else { return (0, Mark::default()) };
    let walk = segment::walk(bytes);
    let mark = walk.records.last().map_or(Mark { sequence: first - 1, chain: header.before }, |(_, record)| Mark {
        sequence: (record.first + u64::from(record.events)).saturating_sub(1),
        chain: record.chain,
    });
    (walk.at, mark)
}

fn is_same_end(ours: &Path, theirs: &Path) -> bool {
    let end = |path: &Path| -> Option<(u64, Vec<u8>)> {
        let file = File::open(path).ok()?;
        let length = file.metadata().ok()?.len();
        let from = length.saturating_sub(LAST_BYTES);
        Some((length, segment::read_at(&file, from, usize::try_from(length - from).ok()?).ok()?))
    };
    end(ours).is_some_and(|ours| Some(ours) == end(theirs))
}

#[cfg(test)]
#[path = "mirror_tests.rs"]
mod tests;
