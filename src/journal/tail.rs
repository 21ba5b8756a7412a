//! Following the log: durable batches in order, from memory when the follower keeps up, from the disk when it does not.

use std::sync::Arc;

use tokio::sync::broadcast::Receiver;
use tokio::sync::broadcast::error::{RecvError, TryRecvError};

use super::{JournalError, Log, StoredBatch};

/// Batches that are read from the disk at a time.
const PAGE: usize = 256;

/// A follower's place in the log.
#[derive(Debug)]
pub struct Tail {
    committed: Receiver<Arc<StoredBatch>>,
    next: u64,
    /// Batches read from the disk that were not given yet.
    page: std::collections::VecDeque<Arc<StoredBatch>>,
    /// Whether older events may still have to be read from the disk.
    is_behind: bool,
}

impl Tail {
    pub(crate) fn new(committed: Receiver<Arc<StoredBatch>>, from: u64) -> Self {
        Self { committed, next: from.max(1), page: std::collections::VecDeque::new(), is_behind: true }
    }

    /// The sequence that is given next.
    pub fn next_sequence(&self) -> u64 {
        self.next
    }

    fn give(&mut self, batch: Arc<StoredBatch>) -> Option<Arc<StoredBatch>> {
        if batch.last() < self.next {
            return None;
        }
        self.next = batch.last() + 1;
        Some(batch)
    }

    fn read_disk(&mut self, log: &dyn Log) -> Result<Option<Arc<StoredBatch>>, JournalError> {
        loop {
            if let Some(batch) = self.page.pop_front() {
                if let Some(batch) = self.give(batch) {
                    return Ok(Some(batch));
                }
                continue;
            }
            if !self.is_behind {
                return Ok(None);
            }
            self.page = log.read_all(self.next, PAGE)?.into();
            if self.page.is_empty() {
                self.is_behind = false;
                return Ok(None);
            }
        }
    }

    /// The next durable batch; waits for it. `None` when the log has closed.
    pub async fn next(&mut self, log: &dyn Log) -> Result<Option<Arc<StoredBatch>>, JournalError> {
        loop {
            if let Some(batch) = self.read_disk(log)? {
                return Ok(Some(batch));
            }
            match self.committed.recv().await {
                Ok(batch) => {
                    if let Some(batch) = self.receive(batch) {
                        return Ok(Some(batch));
                    }
                }
                Err(RecvError::Lagged(_)) => self.is_behind = true,
                Err(RecvError::Closed) => return Ok(None),
            }
        }
    }

    /// The next durable batch when there is one now.
    pub fn try_next(&mut self, log: &dyn Log) -> Result<Option<Arc<StoredBatch>>, JournalError> {
        loop {
            if let Some(batch) = self.read_disk(log)? {
                return Ok(Some(batch));
            }
            match self.committed.try_recv() {
                Ok(batch) => {
                    if let Some(batch) = self.receive(batch) {
                        return Ok(Some(batch));
                    }
                }
                Err(TryRecvError::Lagged(_)) => self.is_behind = true,
                Err(TryRecvError::Empty | TryRecvError::Closed) => return Ok(None),
            }
        }
    }

    /// A batch from memory; a gap before it is read from the disk first.
    fn receive(&mut self, batch: Arc<StoredBatch>) -> Option<Arc<StoredBatch>> {
        if batch.first() > self.next {
            self.is_behind = true;
            return None;
        }
        self.give(batch)
    }
}
