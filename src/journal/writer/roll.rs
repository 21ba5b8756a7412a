//! Segments: room for the next record, the footer of the one that is full, the one after it.

use std::io;
use std::path::Path;
use std::sync::atomic::Ordering;
use std::sync::{Arc, PoisonError};

use super::super::event::AppendError;
use super::super::footer::{self, Footer};
use super::super::high_water::Mark;
use super::super::index::SegmentIndex;
use super::super::mirror::Copy;
use super::super::record::{self, Kind, Parts};
use super::super::segment::{self, SegmentHeader};
use super::{Active, Writer, is_no_room};
use crate::kernel::limits;
use crate::telemetry;

/// A sync that failed closes the log, also when it says that there is no room: the kernel may have dropped the pages.
fn never_again(error: io::Error) -> io::Error {
    io::Error::other(format!("sync: {error}"))
}

impl Writer {
    /// Makes sure that a record of this size fits into the active segment.
    pub(super) fn make_room(&mut self, size: u64) -> Result<(), AppendError> {
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
    pub(super) fn fits(&self, size: u64) -> bool {
        self.state.active.as_ref().is_some_and(|active| active.offset + self.state.buffer.len() as u64 + size <= active.capacity)
    }

    /// Closes the active segment by its footer and begins the next one.
    pub(super) fn roll(&mut self) -> Result<(), AppendError> {
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
    pub(super) fn no_room(&mut self, error: io::Error) -> AppendError {
        if !is_no_room(&error) {
            return self.fail(format!("a new segment cannot be begun: {error}"));
        }
        telemetry::journal_full(&error);
        self.is_full.store(true, Ordering::Relaxed);
        AppendError::Full
    }

    /// Writes the active segment's footer. Nothing of the state has changed when it fails.
    pub(super) fn close_active(&mut self) -> io::Result<()> {
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
    pub(super) fn begin(&mut self, prepared: &Path) -> io::Result<()> {
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
}
