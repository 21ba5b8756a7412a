//! The high-water mark: the last synced sequence, kept in a file of its own, so that a tail that is missing or
//! damaged can be told from one that was torn while it was written.
//!
//! It is written after every sync of the log and synced once a second: a kill leaves it exact, a loss of power
//! at most a second behind, and then the records' own `durable` field says the rest.

use std::fs::File;
use std::path::{Path, PathBuf};

use super::record::Chain;
use super::{Disk, JournalError};

const SLOT: usize = 64;

/// A mark: everything up to this sequence is durable.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Mark {
    pub(super) sequence: u64,
    pub(super) chain: Chain,
}

/// The file with two slots. What was synced last is never written over: of what follows, a loss of power may leave halves.
#[derive(Debug)]
pub(super) struct HighWater {
    file: File,
    path: PathBuf,
    turn: u64,
    /// The slot that is written, 0 or 1; the other one holds what was synced last.
    place: u64,
    is_dirty: bool,
}

fn slot(mark: &Mark, turn: u64) -> [u8; SLOT] {
    let mut bytes = [0; SLOT];
    bytes[..8].copy_from_slice(&turn.to_le_bytes());
    bytes[8..16].copy_from_slice(&mark.sequence.to_le_bytes());
    bytes[16..48].copy_from_slice(&mark.chain);
    let checksum = crc32c::crc32c(&bytes[..60]);
    bytes[60..].copy_from_slice(&checksum.to_le_bytes());
    bytes
}

fn read_slot(bytes: &[u8]) -> Option<(u64, Mark)> {
    let bytes: &[u8; SLOT] = bytes.first_chunk()?;
    let checksum = u32::from_le_bytes(*bytes.last_chunk()?);
    if crc32c::crc32c(&bytes[..60]) != checksum {
        return None;
    }
    let turn = u64::from_le_bytes(bytes[..8].try_into().ok()?);
    let mark = Mark { sequence: u64::from_le_bytes(bytes[8..16].try_into().ok()?), chain: bytes[16..48].try_into().ok()? };
    (turn > 0).then_some((turn, mark))
}

/// The mark of a journal directory; none when the file is new or both slots are broken.
pub(super) fn read(directory: &Path) -> Option<Mark> {
    let bytes = std::fs::read(directory.join("high-water")).ok()?;
    bytes.chunks(SLOT).filter_map(read_slot).max_by_key(|(turn, _)| *turn).map(|(_, mark)| mark)
}

impl HighWater {
    /// Opens or creates the file.
    pub(super) fn open(directory: &Path, disk: &dyn Disk) -> Result<Self, JournalError> {
        let path = directory.join("high-water");
        let failed = |action| JournalError::io(path.clone(), action);
        let file = disk.create(&path).map_err(failed("open"))?;
        let bytes = std::fs::read(&path).map_err(failed("read"))?;
        let found = bytes.chunks(SLOT).zip(0_u64..).filter_map(|(slot, place)| Some((read_slot(slot)?.0, place)));
        let (turn, newest) = found.max().unwrap_or((0, 0));
        Ok(Self { file, path, turn, place: 1 - newest.min(1), is_dirty: false })
    }

    /// Whether a mark was ever written.
    pub(super) fn is_new(&self) -> bool {
        self.turn == 0
    }

    /// Writes a mark; it is on stable storage after the next [`HighWater::sync`].
    pub(super) fn write(&mut self, mark: &Mark, disk: &dyn Disk) -> Result<(), JournalError> {
        self.turn += 1;
        self.is_dirty = true;
        let offset = self.place * SLOT as u64;
        disk.write_at(&self.file, &slot(mark, self.turn), offset).map_err(JournalError::io(&self.path, "write high-water mark"))
    }

    /// Makes the last mark durable.
    pub(super) fn sync(&mut self, disk: &dyn Disk) -> Result<(), JournalError> {
        if std::mem::take(&mut self.is_dirty) {
            disk.sync(&self.file).map_err(JournalError::io(&self.path, "sync high-water mark"))?;
            self.place = 1 - self.place;
        }
        Ok(())
    }
}
