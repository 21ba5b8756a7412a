//! Reads a log's files without the lock and without changing a byte: for people, while wardd runs or not.
//!
//! **Invariant**: nothing behind the high-water mark is given; it may still be on its way to the disk.

use std::collections::{HashSet, VecDeque};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::event::StoredBatch;
use super::personal::Personal;
use super::record::{self, Kind};
use super::segment::{self, End, SegmentHeader};
use super::verify::Damage;
use super::{JournalError, KeyRing, Statistics, high_water, index, recovery};
use crate::kernel::Sealing;

/// A log that is only read.
pub struct Reader {
    directory: PathBuf,
    keys: Arc<KeyRing>,
    /// None where there is no file of them; an error where it cannot be read.
    personal: Result<Option<Personal>, String>,
}

/// The durable batches of one segment, and where the last of them ends.
struct Read {
    batches: Vec<StoredBatch>,
    records: usize,
    end: u64,
}

impl Reader {
    /// A reader of a journal directory.
    pub fn new(directory: &Path, keys: Arc<KeyRing>) -> Self {
        // A file that cannot be read is met where it is needed.
        let personal = Personal::read(directory, keys.clone()).map_err(|error| error.to_string());
        Self { directory: directory.to_owned(), keys, personal }
    }

    /// Calls `visit` with each durable batch that holds events from a sequence on, in order; the sequence after the last one.
    pub fn each(&self, from: u64, mut visit: impl FnMut(&StoredBatch)) -> Result<u64, JournalError> {
        let mark = self.mark();
        let segments = segment::list(&self.directory)?;
        let mut next = from.max(1);
        for (number, (first, path)) in segments.iter().enumerate() {
            let is_before = segments.get(number + 1).is_some_and(|(first, _)| *first <= next);
            if is_before || *first > mark {
                continue;
            }
            for batch in &self.segment(path, mark)?.batches {
                if batch.last() >= next {
                    visit(batch);
                    next = batch.last() + 1;
                }
            }
        }
        Ok(next)
    }

    /// The last durable batches, oldest first, at most `count`.
    pub fn last(&self, count: usize) -> Result<VecDeque<StoredBatch>, JournalError> {
        let mark = self.mark();
        let mut found = VecDeque::new();
        for (_, path) in segment::list(&self.directory)?.iter().rev() {
            for batch in self.segment(path, mark)?.batches.into_iter().rev() {
                if found.len() >= count {
                    return Ok(found);
                }
                found.push_front(batch);
            }
        }
        Ok(found)
    }

    /// Figures for people.
    pub fn statistics(&self) -> Result<Statistics, JournalError> {
        let mark = self.mark();
        let mut streams = HashSet::new();
        let mut statistics = Statistics { events: 0, streams: 0, segments: Vec::new() };
        for (first, path) in segment::list(&self.directory)? {
            let read = self.segment(&path, mark)?;
            streams.extend(read.batches.iter().flat_map(|batch| &batch.events).map(|event| index::hash(&event.event.stream)));
            statistics.events = read.batches.last().map_or(statistics.events, StoredBatch::last);
            statistics.segments.push((path, first, read.records, read.end));
        }
        statistics.streams = streams.len();
        Ok(statistics)
    }

    /// Without a mark, which a new log lacks, every whole record counts.
    fn mark(&self) -> u64 {
        high_water::read(&self.directory).map_or(u64::MAX, |mark| mark.sequence)
    }

    fn segment(&self, path: &Path, mark: u64) -> Result<Read, JournalError> {
        let bytes = segment::load(path)?;
        let damage = |offset: usize, sequence: u64, what: &str| Damage { segment: path.to_owned(), offset: offset as u64, sequence, what: what.to_owned() };
        let Some(header) = SegmentHeader::read(&bytes) else {
            // The next segment exists before anything durable is in it.
            let is_blank = bytes.iter().all(|byte| *byte == 0);
            return if is_blank { Ok(Read { batches: Vec::new(), records: 0, end: 0 }) } else { Err(damage(0, 0, "the segment's head is damaged").into()) };
        };
        let walk = segment::walk(&bytes);
        let mut read = Read { batches: Vec::new(), records: 0, end: segment::HEADER_BYTES as u64 };
        let mut next = header.first;
        for (offset, header) in &walk.records {
            if header.kind != Kind::Events {
                continue;
            }
            let last = header.first + u64::from(header.events) - 1;
            if last > mark {
                return Ok(read);
            }
            let stored = bytes.get(*offset..offset + header.size).unwrap_or_default();
            let body = record::open(&self.keys, header, stored).ok_or_else(|| damage(*offset, header.first, super::verify::WRONG_SEAL))?;
            let personal = self.personal.as_ref().map(Option::as_ref).unwrap_or_default();
            let batch = recovery::decode(&body, header, personal).map_err(|why| JournalError::Payload { sequence: header.first, why })?;
            // What cannot be read was not erased, and must not look so.
            let named = batch.events.iter().find_map(|event| if let Sealing::Key(key) = event.event.sealing { Some(key) } else { None });
            match (&self.personal, named) {
                (Err(why), Some(_)) => return Err(JournalError::Unreadable(why.clone())),
                (Ok(None), Some(key)) => return Err(JournalError::NoPersonalKey(self.directory.clone(), key)),
                _ => read.batches.push(batch),
            }
            read.records += 1;
            read.end = (*offset + header.size) as u64;
            next = last + 1;
        }
        match walk.end {
            End::Broken(broken) if mark != u64::MAX && next <= mark => Err(damage(walk.at, next, broken.words()).into()),
            End::Broken(_) | End::Clean => Ok(read),
        }
    }
}
