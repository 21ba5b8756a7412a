//! Which records hold which stream's events: in memory for the segment that is written, in a footer for full ones.

use std::fs::File;
use std::sync::Arc;

use super::growing::{ByHash, Growing};
use super::record::Header;
use crate::kernel::StreamId;

/// Between two entries of the list that finds a sequence's place.
const SPARSE: usize = 64;

/// A stream's name as a number (FNV-1a): stored in footers, so it must never change. Readers compare names too.
pub(super) fn hash(stream: &StreamId) -> u64 {
    let step = |hash: u64, byte: u8| (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01B3);
    let kind = stream.kind().word().bytes();
    kind.chain([b'/']).chain(stream.key().bytes()).fold(0xCBF2_9CE4_8422_2325, step)
}

/// One event's place.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Entry {
    pub(super) stream: u64,
    pub(super) version: u32,
    pub(super) offset: u32,
}

/// The index of one segment.
#[derive(Debug)]
pub(super) struct SegmentIndex {
    pub(super) file: Arc<File>,
    pub(super) path: std::path::PathBuf,
    pub(super) first: u64,
    /// Where the records end.
    pub(super) end: u64,
    entries: Entries,
    /// Every 64th record: first sequence and offset.
    sparse: Vec<(u64, u32)>,
    records: usize,
}

#[derive(Debug)]
enum Entries {
    /// Still growing: by stream.
    Growing(Growing),
    /// Full: sorted.
    Sorted(Box<[Entry]>),
}

impl SegmentIndex {
    /// The index of an empty segment.
    pub(super) fn new(file: Arc<File>, path: std::path::PathBuf, first: u64) -> Self {
        let end = super::segment::HEADER_BYTES as u64;
        Self { file, path, first, end, entries: Entries::Growing(Growing::default()), sparse: Vec::new(), records: 0 }
    }

    /// Notes a record: its header, its offset and the streams and versions of its events.
    pub(super) fn add(&mut self, header_first: u64, offset: u64, size: u64, events: impl Iterator<Item = (u64, u64)>) {
        let place = u32::try_from(offset).unwrap_or(u32::MAX);
        if self.records.is_multiple_of(SPARSE) {
            self.sparse.push((header_first, place));
        }
        self.records += 1;
        self.end = offset + size;
        if let Entries::Growing(growing) = &mut self.entries {
            for (stream, version) in events {
                growing.add(Entry { stream, version: u32::try_from(version).unwrap_or(u32::MAX), offset: place });
            }
        }
    }

    /// Notes a record of a segment whose footer has the entries.
    pub(super) fn pass(&mut self, header: &Header, offset: u64) {
        self.add(header.first, offset, header.size as u64, std::iter::empty());
    }

    /// Takes the entries from a footer.
    pub(super) fn seal_with(&mut self, entries: Box<[Entry]>) {
        self.entries = Entries::Sorted(entries);
    }

    /// The entries in their order, for the footer.
    pub(super) fn sorted(&self) -> Box<[Entry]> {
        match &self.entries {
            Entries::Sorted(entries) => entries.clone(),
            Entries::Growing(growing) => growing.sorted(),
        }
    }

    fn places(&self, stream: u64, from_version: u32) -> Vec<u32> {
        match &self.entries {
            Entries::Growing(growing) => growing.places(stream, from_version),
            Entries::Sorted(entries) => {
                let start = entries.partition_point(|entry| (entry.stream, entry.version) < (stream, from_version));
                entries[start..].iter().take_while(|entry| entry.stream == stream).map(|entry| entry.offset).collect()
            }
        }
    }

    /// Where to begin to read for a sequence.
    pub(super) fn start_for(&self, sequence: u64) -> u64 {
        let at = self.sparse.partition_point(|(first, _)| *first <= sequence);
        at.checked_sub(1).map_or(super::segment::HEADER_BYTES as u64, |at| u64::from(self.sparse[at].1))
    }

    /// The last version of each stream that this segment holds.
    pub(super) fn heads(&self) -> impl Iterator<Item = (u64, u64)> + '_ {
        let (growing, sorted) = match &self.entries {
            Entries::Growing(growing) => (Some(growing), None),
            Entries::Sorted(entries) => (None, Some(entries)),
        };
        let growing = growing.into_iter().flat_map(Growing::heads);
        let sorted = sorted.into_iter().flat_map(|entries| {
            entries
                .iter()
                .zip(entries.iter().skip(1).map(Some).chain([None]))
                .filter(|(entry, next)| next.is_none_or(|next| next.stream != entry.stream))
                .map(|(entry, _)| (entry.stream, u64::from(entry.version)))
        });
        growing.chain(sorted)
    }

    pub(super) fn records(&self) -> usize {
        self.records
    }
}

/// The index of the whole log.
#[derive(Debug, Default)]
pub(super) struct Index {
    pub(super) segments: Vec<SegmentIndex>,
    /// Events of each stream, those that wait for their sync included.
    versions: ByHash<u64>,
}

impl Index {
    /// Adds a segment and its streams' versions.
    pub(super) fn push(&mut self, segment: SegmentIndex) {
        self.versions.extend(segment.heads());
        self.segments.push(segment);
    }

    /// How many events a stream has.
    pub(super) fn version(&self, stream: u64) -> u64 {
        self.versions.get(&stream).copied().unwrap_or(0)
    }

    /// Sets how many events a stream has.
    pub(super) fn set_version(&mut self, stream: u64, version: u64) {
        self.versions.insert(stream, version);
    }

    /// How many streams there are.
    pub(super) fn streams(&self) -> usize {
        self.versions.len()
    }

    /// The records that hold a stream's events from a version on, in order, at most `limit`.
    pub(super) fn places(&self, stream: u64, from_version: u64, limit: usize) -> Vec<(Arc<File>, u64)> {
        let from = u32::try_from(from_version).unwrap_or(u32::MAX);
        let mut found: Vec<(Arc<File>, u64)> = Vec::new();
        for segment in &self.segments {
            for offset in segment.places(stream, from) {
                let place = (segment.file.clone(), u64::from(offset));
                // Several events of one record are one place.
                if found.last().is_none_or(|last| last.1 != place.1 || !Arc::ptr_eq(&last.0, &place.0)) {
                    found.push(place);
                }
                if found.len() >= limit {
                    return found;
                }
            }
        }
        found
    }

    /// The segment that holds a sequence.
    pub(super) fn segment_of(&self, sequence: u64) -> Option<usize> {
        self.segments.partition_point(|segment| segment.first <= sequence).checked_sub(1)
    }
}

/// The entries of a footer as bytes.
pub(super) fn encode(entries: &[Entry]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(entries.len() * 16);
    for entry in entries {
        bytes.extend_from_slice(&entry.stream.to_le_bytes());
        bytes.extend_from_slice(&entry.version.to_le_bytes());
        bytes.extend_from_slice(&entry.offset.to_le_bytes());
    }
    bytes
}

/// The entries of a footer; `None` when the bytes are none.
pub(super) fn decode(bytes: &[u8]) -> Option<Box<[Entry]>> {
    if !bytes.len().is_multiple_of(16) {
        return None;
    }
    let entry = |bytes: &[u8]| {
        Some(Entry {
            stream: u64::from_le_bytes(bytes.get(..8)?.try_into().ok()?),
            version: u32::from_le_bytes(bytes.get(8..12)?.try_into().ok()?),
            offset: u32::from_le_bytes(bytes.get(12..16)?.try_into().ok()?),
        })
    };
    bytes.chunks(16).map(entry).collect()
}
