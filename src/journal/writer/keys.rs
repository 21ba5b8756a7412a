//! Keys of persons on their way to the disk: durable before what they seal, or made ahead while the log goes on.

use std::io;
use std::time::Duration;

use super::super::event::{AppendError, Receipt};
use super::super::high_water::Mark;
use super::super::mirror::Copy;
use super::super::personal::Personal;
use super::{Unwritten, Writer, is_no_room};

impl Writer {
    /// Keys of persons are durable before what they seal.
    pub(super) fn save_keys(&mut self) -> Result<(), Unwritten> {
        self.end_keys_ahead(Duration::ZERO)?;
        if self.personal.unsaved().is_none() {
            return Ok(());
        }
        // A sync that fails is told to one of those who wait for it alone: one after the other.
        self.end_keys_ahead(Duration::MAX)?;
        let Some((offset, bytes)) = self.personal.unsaved() else { return Ok(()) };
        let size = bytes.len();
        self.write_keys(&[(offset, bytes)])?;
        self.personal.saved(size);
        Ok(())
    }

    /// Writes keys that were made ahead, and has them synced while the log goes on.
    pub(super) fn save_keys_ahead(&mut self) {
        if self.state.keys_under_way.is_some() || self.state.fatal.is_some() {
            return;
        }
        let Some((offset, bytes)) = self.personal.ahead() else { return };
        match self.disk.write_at(&self.personal.file(), &bytes, offset).and_then(|()| self.state.keys_beside.begin(self.personal.file())) {
            Ok(()) => self.state.keys_under_way = Some((offset, bytes)),
            // Nobody has used them: whoever wants one saves it, and hears why that cannot be.
            Err(error) if is_no_room(&error) => {}
            Err(error) => drop(self.fail(format!("journal: {}: write: {error}", self.personal.path().display()))),
        }
    }

    /// Keys that were made ahead may be used from now on, when their sync has ended within this time.
    pub(super) fn end_keys_ahead(&mut self, patience: Duration) -> Result<(), Unwritten> {
        let Some((offset, bytes)) = self.state.keys_under_way.take() else { return Ok(()) };
        match self.state.keys_beside.wait(patience) {
            None => self.state.keys_under_way = Some((offset, bytes)),
            Some(Err(error)) => return Err(Unwritten::Failed(format!("journal: {}: sync: {error}", self.personal.path().display()))),
            Some(Ok(())) => {
                self.copy_keys(offset, &bytes);
                self.personal.saved(bytes.len());
            }
        }
        Ok(())
    }

    /// The mirror has every key before what it seals.
    pub(super) fn copy_keys(&mut self, offset: u64, bytes: &[u8]) {
        let path = self.personal.path().to_owned();
        // Nothing is under way, so that the log's durable end is where the group that is collected begins.
        let chain = if self.state.group.is_empty() { self.state.chain } else { self.state.before_group.chain };
        let mark = Mark { sequence: self.state.durable, chain };
        self.mirror.begin(|| Copy { path, offset, bytes: bytes.to_vec(), mark });
        self.mirror.finish();
    }

    /// The same when they are many: a disk that took none for a while has none now either.
    pub(super) fn save_many_keys(&mut self) -> Result<(), AppendError> {
        if !self.personal.has_many_unsaved() {
            return Ok(());
        }
        // What is under way comes first: the mark that goes along is that of the log's durable end.
        self.end_what_is_under_way();
        match self.save_keys() {
            Ok(()) => Ok(()),
            Err(Unwritten::Full(error)) => Err(self.no_room(error)),
            Err(Unwritten::Failed(cause)) => Err(self.fail(cause)),
        }
    }

    pub(super) fn write_keys(&mut self, places: &[(u64, Vec<u8>)]) -> Result<(), Unwritten> {
        let (file, path) = (self.personal.file(), self.personal.path().to_owned());
        let failed = |action: &str, error: &io::Error| Unwritten::Failed(format!("journal: {}: {action}: {error}", path.display()));
        for (offset, bytes) in places {
            self.disk.write_at(&file, bytes, *offset).map_err(|error| if is_no_room(&error) { Unwritten::Full(error) } else { failed("write", &error) })?;
        }
        self.disk.sync(&file).map_err(|error| failed("sync", &error))?;
        places.iter().for_each(|(offset, bytes)| self.copy_keys(*offset, bytes));
        Ok(())
    }

    /// Nothing that was sealed under these keys can be read from now on.
    pub(super) fn destroy(&mut self, keys: &[u32]) -> Result<Receipt, AppendError> {
        self.commit();
        if let Some(cause) = &self.state.fatal {
            return Err(AppendError::Fatal(cause.clone()));
        }
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
}
