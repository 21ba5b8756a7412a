//! Full segments as they are read: opened when somebody asks for them, the last few kept at hand.
//!
//! Without it a log that grows would take one descriptor a segment and sixteen bytes an event for ever.

use std::collections::VecDeque;
use std::fs::File;
use std::path::Path;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use super::index::{self, Entry, Full, Source};
use super::record;
use super::segment;
use super::{JournalError, KeyRing};
use crate::kernel::limits;

/// Segments at hand, and bytes of their footers' entries.
const SEGMENTS: usize = 16;
const ENTRY_BYTES: usize = 8 << 20;

/// A segment at hand.
#[derive(Debug)]
pub(super) struct Volume {
    first: u64,
    pub(super) file: Arc<File>,
    entries: OnceLock<Box<[Entry]>>,
}

impl Volume {
    fn entry_bytes(&self) -> usize {
        self.entries.get().map_or(0, |entries| size_of_val(&**entries))
    }
}

/// The full segments that were read last, the latest first.
#[derive(Debug)]
pub(super) struct Shelf {
    keys: Arc<KeyRing>,
    volumes: Mutex<VecDeque<Arc<Volume>>>,
}

impl Shelf {
    /// Nothing at hand yet.
    pub(super) fn new(keys: Arc<KeyRing>) -> Self {
        Self { keys, volumes: Mutex::default() }
    }

    /// The segment that begins with a sequence.
    pub(super) fn volume(&self, path: &Path, first: u64) -> Result<Arc<Volume>, JournalError> {
        let mut volumes = self.volumes.lock().unwrap_or_else(PoisonError::into_inner);
        let at_hand = volumes.iter().position(|volume| volume.first == first).and_then(|at| volumes.remove(at));
        let volume = match at_hand {
            Some(volume) => volume,
            None => {
                let file = File::open(path).map_err(JournalError::io(path, "open segment"))?;
                Arc::new(Volume { first, file: Arc::new(file), entries: OnceLock::new() })
            }
        };
        volumes.push_front(volume.clone());
        while volumes.len() > SEGMENTS || volumes.len() > 1 && volumes.iter().map(|volume| volume.entry_bytes()).sum::<usize>() > ENTRY_BYTES {
            volumes.pop_back();
        }
        Ok(volume)
    }

    /// A full segment and where the events of a stream stand in it.
    fn stream_in(&self, full: &Full, stream: u64) -> Result<(Arc<Volume>, Vec<Entry>), JournalError> {
        let volume = self.volume(&full.path, full.first)?;
        let entries = match volume.entries.get() {
            Some(entries) => entries,
            None => {
                let entries = self.read_footer(full, &volume.file)?;
                volume.entries.get_or_init(|| entries)
            }
        };
        let start = entries.partition_point(|entry| entry.stream < stream);
        let of_it = entries[start..].iter().take_while(|entry| entry.stream == stream).copied().collect();
        Ok((volume, of_it))
    }

    fn read_footer(&self, full: &Full, file: &File) -> Result<Box<[Entry]>, JournalError> {
        let length = file.metadata().map_err(JournalError::io(&*full.path, "read size"))?.len();
        // A file system may have left the room that was set free behind the footer.
        let size = usize::try_from(length.saturating_sub(full.footer)).unwrap_or(usize::MAX).min(limits::JOURNAL_RECORD_BYTES * 2);
        let bytes = segment::read_at(file, full.footer, size).map_err(JournalError::io(&*full.path, "read footer"))?;
        let header = record::read(&bytes).ok();
        let body = header.and_then(|header| record::open(&self.keys, &header, &bytes));
        body.and_then(|body| index::decode(&body)).ok_or_else(|| JournalError::Payload { sequence: full.first, why: format!("the footer of {} is damaged", full.path.display()) })
    }

    /// The records that hold a stream's events from a version on, in order, at most `limit`; the sources come oldest first.
    pub(super) fn places(&self, mut sources: Vec<Source>, stream: u64, from: u32, limit: usize) -> Result<Vec<(Arc<File>, u64)>, JournalError> {
        // The first source that holds the version or a later one: each holds versions above those of the one before it.
        let (mut low, mut high) = (0, if from > 1 { sources.len() } else { 0 });
        while low < high {
            let middle = usize::midpoint(low, high);
            match self.last_version(&sources[middle], stream)? {
                Some(last) if last < from => low = middle + 1,
                Some(_) => high = middle,
                // The filter was wrong about it.
                None => {
                    sources.remove(middle);
                    high -= 1;
                }
            }
        }
        let mut found: Vec<(Arc<File>, u64)> = Vec::new();
        for source in sources.into_iter().skip(low) {
            match source {
                Source::Known(places) => found.extend(places),
                Source::Full(full) => {
                    let (volume, entries) = self.stream_in(&full, stream)?;
                    let asked = entries.into_iter().filter(|entry| entry.version >= from);
                    asked.for_each(|entry| push(&mut found, &volume.file, entry.offset));
                }
            }
            if found.len() >= limit {
                found.truncate(limit);
                break;
            }
        }
        Ok(found)
    }

    /// The last version of a stream that a source holds; of known places only those from the version on are known.
    fn last_version(&self, source: &Source, stream: u64) -> Result<Option<u32>, JournalError> {
        match source {
            Source::Known(_) => Ok(Some(u32::MAX)),
            Source::Full(full) => Ok(self.stream_in(full, stream)?.1.last().map(|entry| entry.version)),
        }
    }
}

/// Several events of one record are one place.
pub(super) fn push(found: &mut Vec<(Arc<File>, u64)>, file: &Arc<File>, offset: u32) {
    let offset = u64::from(offset);
    if found.last().is_none_or(|(last, at)| *at != offset || !Arc::ptr_eq(last, file)) {
        found.push((file.clone(), offset));
    }
}
