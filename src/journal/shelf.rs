//! Full segments as they are read: opened when somebody asks for them, the last few kept open.
//!
//! Without it a log that grows would take one descriptor a segment and sixteen bytes an event for ever.

use std::collections::VecDeque;
use std::fs::File;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use super::index::{Full, Source};
use super::{JournalError, KeyRing};

/// Segments that are kept open.
const SEGMENTS: usize = 16;

/// The full segments that were read last, the latest first.
#[derive(Debug)]
pub(super) struct Shelf {
    keys: Arc<KeyRing>,
    open: Mutex<VecDeque<(u64, Arc<File>)>>,
}

impl Shelf {
    /// Nothing is open yet.
    pub(super) fn new(keys: Arc<KeyRing>) -> Self {
        Self { keys, open: Mutex::default() }
    }

    /// The file of the segment that begins with a sequence.
    pub(super) fn file(&self, path: &Path, first: u64) -> Result<Arc<File>, JournalError> {
        let open = || self.open.lock().unwrap_or_else(PoisonError::into_inner);
        let known = {
            let mut open = open();
            open.iter().position(|(of, _)| *of == first).and_then(|at| open.remove(at))
        };
        // Not under the lock: an archive may be slow to answer, and others read other segments.
        let (first, file) = match known {
            Some(known) => known,
            None => (first, Arc::new(File::open(path).map_err(JournalError::io(path, "open segment"))?)),
        };
        let mut open = open();
        open.retain(|(of, _)| *of != first);
        open.push_front((first, file.clone()));
        open.truncate(SEGMENTS);
        Ok(file)
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
                    let file = self.file(&full.path, full.first)?;
                    // An entry is an event, so that as many of them are enough.
                    let entries = full.footer.entries(stream, from, limit - found.len(), &file, &self.keys).map_err(damaged(&full))?;
                    entries.iter().for_each(|entry| push(&mut found, &file, entry.offset));
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
            Source::Full(full) => full.footer.last(stream, &*self.file(&full.path, full.first)?, &self.keys).map_err(damaged(full)),
        }
    }
}

fn damaged(full: &Full) -> impl FnOnce(String) -> JournalError + use<> {
    let (sequence, path) = (full.first, full.path.clone());
    move |why| JournalError::Payload { sequence, why: format!("the footer of {}: {why}", path.display()) }
}

/// Several events of one record are one place.
pub(super) fn push(found: &mut Vec<(Arc<File>, u64)>, file: &Arc<File>, offset: u32) {
    let offset = u64::from(offset);
    if found.last().is_none_or(|(last, at)| *at != offset || !Arc::ptr_eq(last, file)) {
        found.push((file.clone(), offset));
    }
}
