//! A sync on a thread of its own: on a slow disk the writer seals what comes while the group before it is made durable.

use std::fs::File;
use std::io;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::thread::JoinHandle;
use std::time::Duration;

use super::Disk;

/// The writer's end. At most one sync is under way.
pub(super) struct Beside {
    disk: Arc<dyn Disk>,
    /// Made by the first sync that wants it: a fast disk never does.
    thread: Option<Thread>,
}

struct Thread {
    handle: JoinHandle<()>,
    files: SyncSender<Arc<File>>,
    done: Receiver<io::Result<()>>,
}

fn ended() -> io::Error {
    io::Error::other("the thread of syncs has ended")
}

impl Beside {
    pub(super) fn new(disk: Arc<dyn Disk>) -> Self {
        Self { disk, thread: None }
    }

    /// Begins to sync a file.
    pub(super) fn begin(&mut self, file: Arc<File>) -> io::Result<()> {
        if self.thread.is_none() {
            self.thread = Some(Thread::start(self.disk.clone())?);
        }
        self.thread.as_ref().and_then(|thread| thread.files.send(file).ok()).ok_or_else(ended)
    }

    /// How the sync ended, when it does within this time.
    pub(super) fn wait(&self, patience: Duration) -> Option<io::Result<()>> {
        match self.thread.as_ref().map(|thread| thread.done.recv_timeout(patience)) {
            Some(Ok(result)) => Some(result),
            Some(Err(RecvTimeoutError::Timeout)) => None,
            Some(Err(RecvTimeoutError::Disconnected)) | None => Some(Err(ended())),
        }
    }
}

impl Thread {
    fn start(disk: Arc<dyn Disk>) -> io::Result<Self> {
        let (files, incoming) = sync_channel::<Arc<File>>(1);
        let (result, done) = sync_channel(1);
        let run = move || {
            while let Ok(file) = incoming.recv() {
                if result.send(disk.sync(&file)).is_err() {
                    break;
                }
            }
        };
        let handle = std::thread::Builder::new().name("journal-sync".to_owned()).spawn(run)?;
        Ok(Self { handle, files, done })
    }
}

impl Drop for Beside {
    /// Nothing of the log is synced any more when somebody else may open it.
    fn drop(&mut self) {
        if let Some(Thread { handle, files, done }) = self.thread.take() {
            drop((files, done));
            // A panic of it was reported when it happened.
            let _ = handle.join();
        }
    }
}
