//! The segment to come: filled with zeros in advance by a helper thread, so that a roll costs no more than two syncs.
//!
//! The helper keeps pace with the log: it stays twice as far ahead as the log has come in the segment before, and rests
//! otherwise, since 64 MiB written at once would hold up every sync of that time.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::Receiver;
use std::time::Duration;

use super::Disk;
use super::segment::PREPARED;

/// The rest between two looks at how far the log has come.
const REST: Duration = Duration::from_millis(1);
/// Rests before one piece when the log does not hurry.
const RESTS: u32 = 4;

/// How far the log has come in its segment; more than any segment when the next one is waited for.
#[derive(Debug, Default)]
struct Progress(AtomicU64);

const HURRY: u64 = u64::MAX / 2;
/// Nobody wants the file any more.
const STOP: u64 = u64::MAX;

impl Progress {
    /// Waits until the piece behind `done` bytes is due.
    fn pace(&self, done: u64) -> io::Result<()> {
        for _ in 0..RESTS {
            match self.0.load(Ordering::Relaxed) {
                STOP => return Err(io::ErrorKind::Interrupted.into()),
                written if is_due(done, written) => break,
                _ => std::thread::sleep(REST),
            }
        }
        Ok(())
    }
}

/// Whether the log has come so far that the piece behind `done` bytes is due.
fn is_due(done: u64, written: u64) -> bool {
    written.saturating_mul(2) >= done
}

/// The helper: one file at a time.
pub(super) struct Preparer {
    disk: Arc<dyn Disk>,
    directory: PathBuf,
    size: u64,
    progress: Arc<Progress>,
    ready: Option<Receiver<io::Result<PathBuf>>>,
}

impl Preparer {
    pub(super) fn new(disk: Arc<dyn Disk>, directory: PathBuf, size: u64) -> Self {
        Self { disk, directory, size, progress: Arc::default(), ready: None }
    }

    /// Begins to make the next file, unless one is there.
    pub(super) fn begin(&mut self) {
        self.progress.0.store(0, Ordering::Relaxed);
        let (sender, receiver) = std::sync::mpsc::sync_channel(1);
        let (directory, size, disk, progress) = (self.directory.clone(), self.size, self.disk.clone(), self.progress.clone());
        let spawned = std::thread::Builder::new().name("journal-prepare".to_owned()).spawn(move || {
            // The receiver is gone when wardd stops meanwhile; the file is made anew then.
            let _ = sender.send(make(disk.as_ref(), &directory, size, &progress));
        });
        self.ready = spawned.ok().map(|_| receiver);
    }

    /// Says how far the log has come.
    pub(super) fn written(&self, bytes: u64) {
        self.progress.0.store(bytes.min(HURRY), Ordering::Relaxed);
    }

    /// The file that was made; waits for it. Without a helper it is made now, and so it is when the disk was full.
    pub(super) fn take(&mut self) -> io::Result<PathBuf> {
        self.progress.0.store(HURRY, Ordering::Relaxed);
        match self.ready.take().map(|ready| ready.recv()) {
            Some(Ok(Ok(path))) => Ok(path),
            Some(Ok(Err(error))) if error.kind() != io::ErrorKind::StorageFull => Err(error),
            _ => make(self.disk.as_ref(), &self.directory, self.size, &self.progress),
        }
    }

    /// The file was not used: the next try takes it.
    pub(super) fn give_back(&mut self, path: PathBuf) {
        let (sender, receiver) = std::sync::mpsc::sync_channel(1);
        // The channel has the one place that it needs.
        let _ = sender.send(Ok(path));
        self.ready = Some(receiver);
    }

    /// Waits until the helper has ended: it must not write into this directory when somebody else may open it.
    pub(super) fn end(&mut self) {
        self.progress.0.store(STOP, Ordering::Relaxed);
        if let Some(ready) = self.ready.take() {
            let _ = ready.recv();
        }
    }
}

fn make(disk: &dyn Disk, directory: &Path, size: u64, progress: &Progress) -> io::Result<PathBuf> {
    let path = directory.join(PREPARED);
    disk.fill(&path, size, &mut |done| progress.pace(done))?;
    Ok(path)
}

#[cfg(test)]
mod tests {
    use super::super::RealDisk;
    use super::*;

    #[test]
    fn a_file_that_is_waited_for_is_whole_and_one_that_nobody_wants_is_given_up() {
        let directory = std::env::temp_dir().join(format!("wardd-prepare-{}", std::process::id()));
        std::fs::create_dir_all(&directory).unwrap();
        let mut preparer = Preparer::new(Arc::new(RealDisk), directory.clone(), 4 << 20);
        preparer.begin();
        let path = preparer.take().unwrap();
        assert_eq!(std::fs::metadata(&path).unwrap().len(), 4 << 20);
        assert!(std::fs::read(&path).unwrap().iter().all(|byte| *byte == 0));
        preparer.give_back(path.clone());
        assert_eq!(preparer.take().unwrap(), path);
        preparer.size = 1 << 30;
        preparer.begin();
        preparer.end();
        assert!(std::fs::metadata(&path).unwrap().len() < 1 << 30, "it was not filled to its end");
        std::fs::remove_dir_all(&directory).unwrap();
    }

    #[test]
    fn the_helper_stays_twice_as_far_ahead_as_the_log_has_come() {
        assert!(is_due(200, 100) && !is_due(201, 100) && is_due(u64::MAX, HURRY + 1));
        let progress = Progress::default();
        progress.pace(1).unwrap();
        progress.0.store(STOP, Ordering::Relaxed);
        assert!(progress.pace(1).is_err());
    }
}
