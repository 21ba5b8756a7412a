//! A group on its way: written, synced (in line on a fast disk, beside the writer on a slow one), and everybody told.

use std::fs::File;
use std::io;
use std::path::PathBuf;
use std::sync::atomic::Ordering;
use std::sync::mpsc::Receiver;
use std::sync::{Arc, PoisonError};
use std::time::{Duration, Instant};

use super::super::company::Company;
use super::super::event::{AppendError, Receipt};
use super::super::high_water::Mark;
use super::super::mirror::Copy;
use super::super::{Disk, JournalError, index, record, segment};
use super::{Active, Barrier, Pending, Request, Unwritten, Writer, is_no_room};
use crate::kernel::StreamId;
use crate::telemetry;

/// How often the writer seals what has come while a sync is under way: at once for several, since each waking costs.
const COLLECT: Duration = Duration::from_micros(100);

/// A group that is written and waits for its sync.
pub(super) struct Written {
    group: Vec<Pending>,
    barriers: Vec<Barrier>,
    file: Arc<File>,
    path: PathBuf,
    /// Where the log stands when it is durable.
    mark: Mark,
    /// Where the segment's bytes end with it.
    end: u64,
    bytes: usize,
    began: Instant,
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

impl Writer {
    /// One write, one sync, then everybody hears.
    pub(super) fn commit(&mut self) {
        self.end_what_is_under_way();
        if let Some(written) = self.write() {
            let result = self.disk.sync(&written.file);
            self.end(written, result);
        }
    }

    /// The same on a slow disk: what comes while it works is sealed for the next group, and answers go out while it
    /// works on that one. Ends when nobody waits.
    pub(super) fn commit_beside(&mut self, requests: &Receiver<Request>, company: &mut Company) {
        self.write_beside();
        while let Some(written) = &self.state.under_way {
            let (answered, began) = (written.group.len(), written.began);
            let Some(result) = self.state.beside.wait(COLLECT) else {
                self.take_waiting(requests);
                continue;
            };
            let took = began.elapsed();
            let durable = self.state.under_way.take().and_then(|written| self.made_durable(written, result));
            company.committed(answered, self.state.group.len(), took);
            let wait = company.wanted(self.state.group.len());
            if wait.is_none() {
                self.write_beside();
            }
            durable.into_iter().for_each(|written| self.publish(written));
            if wait.is_some() {
                self.gather(requests, wait, company);
                self.write_beside();
            }
        }
    }

    /// Writes what was collected and begins its sync.
    pub(super) fn write_beside(&mut self) {
        let Some(written) = self.write() else { return };
        match self.state.beside.begin(written.file.clone()) {
            Ok(()) => self.state.under_way = Some(written),
            Err(error) => self.end(written, Err(error)),
        }
    }

    /// Waits for the sync that is under way: a segment is closed, a key saved or destroyed only behind it.
    pub(super) fn end_what_is_under_way(&mut self) {
        while let Some(written) = self.state.under_way.take() {
            match self.state.beside.wait(Duration::MAX) {
                Some(result) => self.end(written, result),
                None => self.state.under_way = Some(written),
            }
        }
    }

    pub(super) fn answer_barriers(&mut self, barriers: Vec<Barrier>) {
        for (seen, done) in barriers {
            done(self.barrier(seen));
        }
    }

    /// Writes what was collected; it counts when its sync has ended.
    pub(super) fn write(&mut self) -> Option<Written> {
        let barriers = std::mem::take(&mut self.state.barriers);
        if self.state.buffer.is_empty() {
            self.answer_barriers(barriers);
            return None;
        }
        let (began, bytes) = (Instant::now(), self.state.buffer.len());
        let result = self.write_group();
        self.state.buffer.clear();
        match result {
            Ok((file, path, end)) => {
                let mark = Mark { sequence: self.state.next - 1, chain: self.state.chain };
                Some(Written { group: std::mem::take(&mut self.state.group), barriers, file, path, mark, end, bytes, began })
            }
            Err(why) => {
                telemetry::journal_committed(self.state.group.len(), bytes, began.elapsed(), false);
                self.refuse_group(why);
                self.answer_barriers(barriers);
                None
            }
        }
    }

    /// The sync of what was written has ended: whoever waits for it hears.
    pub(super) fn end(&mut self, written: Written, result: io::Result<()>) {
        if let Some(written) = self.made_durable(written, result) {
            self.publish(written);
        }
    }

    /// The sync of what was written has ended: the group, when it counts now; else everybody has been told that it does not.
    pub(super) fn made_durable(&mut self, written: Written, result: io::Result<()>) -> Option<Written> {
        let result = result.map_err(|error| format!("journal: {}: sync: {error}", written.path.display())).and_then(|()| self.advance(&written));
        telemetry::journal_committed(written.group.len(), written.bytes, written.began.elapsed(), result.is_ok());
        let Err(cause) = result else { return Some(written) };
        // What was sealed meanwhile stands behind what failed.
        self.state.buffer.clear();
        let answer = self.fail(cause);
        let behind = std::mem::take(&mut self.state.group);
        written.group.into_iter().chain(behind).for_each(|pending| (pending.done)(Err(answer.clone())));
        self.answer_barriers(written.barriers);
        None
    }

    /// The answer to a barrier. Whoever looked at a state of which a part was taken back has seen what never was.
    pub(super) fn barrier(&self, seen: Vec<(StreamId, u64)>) -> Result<Receipt, AppendError> {
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

    /// Writes the group, and says into which file and where its bytes end there.
    pub(super) fn write_group(&mut self) -> Result<(Arc<File>, PathBuf, u64), Unwritten> {
        if let Some(cause) = &self.state.fatal {
            return Err(Unwritten::Failed(cause.clone()));
        }
        self.save_keys()?;
        let state = &mut self.state;
        let Some(active) = &mut state.active else { return Err(Unwritten::Failed("journal: there is no segment to write to".to_owned())) };
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
        active.offset += size as u64;
        Ok((active.file.clone(), active.path.clone(), active.offset))
    }

    /// What follows from a sync that went well.
    pub(super) fn advance(&mut self, written: &Written) -> Result<(), String> {
        self.mirror.finish();
        self.state.preparer.written(written.end);
        self.state.durable = written.mark.sequence;
        self.is_full.store(false, Ordering::Relaxed);
        match self.state.high_water.write(&written.mark, self.disk.as_ref()) {
            // The records say themselves what was durable; the mark is written with the next group.
            Err(JournalError::Io { source, .. }) if is_no_room(&source) => Ok(()),
            result => result.map_err(|error| error.to_string()),
        }
    }

    /// Nobody of the group is told that it is done. A full disk leaves everything as it was before the group: nothing of it
    /// was synced, and a file system that writes a copy of what it changes may have no room even inside a segment.
    pub(super) fn refuse_group(&mut self, why: Unwritten) {
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

    pub(super) fn publish(&mut self, written: Written) {
        {
            let mut index = self.index.write().unwrap_or_else(PoisonError::into_inner);
            if let Some(segment) = index.segments.last_mut() {
                for pending in &written.group {
                    let events = pending.batch.events.iter().map(|event| (index::hash(&event.event.stream), event.stream_version));
                    segment.add(pending.batch.first(), pending.offset, pending.size, events);
                }
            }
        }
        self.head.send_replace(written.mark.sequence);
        for pending in written.group {
            let receipt = Receipt { first: pending.batch.first(), last: pending.batch.last() };
            (pending.done)(Ok(receipt));
            // Without followers nobody receives; that is no fault.
            let _ = self.committed.send(pending.batch);
        }
        self.answer_barriers(written.barriers);
    }
}
