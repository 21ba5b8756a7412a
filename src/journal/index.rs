//! Which records hold which stream's events: in memory for the segment that is written, in its footer for a full one, of which
//! memory keeps the outline.

use std::fs::File;
use std::path::Path;
use std::sync::Arc;

use super::footer::Footer;
use super::growing::{ByHash, Growing};
use super::record::Header;
use super::shelf;
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
    pub(super) path: Arc<Path>,
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
    /// Still growing, or full without a footer: by stream, in memory.
    Growing(Growing, Arc<File>),
    /// Full: its footer is read when it may hold what is asked for.
    Full(Arc<Footer>),
}

/// A full segment that may hold what is asked for.
#[derive(Debug, Clone)]
pub(super) struct Full {
    pub(super) path: Arc<Path>,
    pub(super) first: u64,
    pub(super) footer: Arc<Footer>,
}

/// A segment for reading on from a sequence.
#[derive(Debug)]
pub(super) struct Stretch {
    /// The file, when it is open anyway.
    pub(super) file: Option<Arc<File>>,
    pub(super) path: Arc<Path>,
    pub(super) first: u64,
    /// Where to begin.
    pub(super) at: u64,
    /// Where the records end.
    pub(super) end: u64,
    /// What the next segment begins with.
    pub(super) next_first: Option<u64>,
}

impl SegmentIndex {
    /// The index of an empty segment.
    pub(super) fn new(file: Arc<File>, path: &Path, first: u64) -> Self {
        let end = super::segment::HEADER_BYTES as u64;
        Self { path: path.into(), first, end, entries: Entries::Growing(Growing::default(), file), sparse: Vec::new(), records: 0 }
    }

    /// Notes a record: its header, its offset and the streams and versions of its events.
    pub(super) fn add(&mut self, header_first: u64, offset: u64, size: u64, events: impl Iterator<Item = (u64, u64)>) {
        let place = u32::try_from(offset).unwrap_or(u32::MAX);
        if self.records.is_multiple_of(SPARSE) {
            self.sparse.push((header_first, place));
        }
        self.records += 1;
        self.end = offset + size;
        if let Entries::Growing(growing, _) = &mut self.entries {
            for (stream, version) in events {
                growing.add(Entry { stream, version: u32::try_from(version).unwrap_or(u32::MAX), offset: place });
            }
        }
    }

    /// Notes a record of a segment whose footer has the entries.
    pub(super) fn pass(&mut self, header: &Header, offset: u64) {
        self.add(header.first, offset, header.size as u64, std::iter::empty());
    }

    /// The segment is full: its entries need not be in memory any more.
    pub(super) fn seal_with(&mut self, footer: Footer) {
        self.entries = Entries::Full(Arc::new(footer));
        self.sparse.shrink_to_fit();
    }

    /// The entries in their order, for the footer.
    pub(super) fn sorted(&self) -> Box<[Entry]> {
        match &self.entries {
            Entries::Full(_) => Box::default(),
            Entries::Growing(growing, _) => growing.sorted(),
        }
    }

    /// Where to begin to read for a sequence.
    fn start_for(&self, sequence: u64) -> u64 {
        let at = self.sparse.partition_point(|(first, _)| *first <= sequence);
        at.checked_sub(1).map_or(super::segment::HEADER_BYTES as u64, |at| u64::from(self.sparse[at].1))
    }

    /// The last version of each stream of a segment whose entries are in memory.
    pub(super) fn heads(&self) -> Vec<(u64, u64)> {
        match &self.entries {
            Entries::Full(_) => Vec::new(),
            Entries::Growing(growing, _) => growing.heads().collect(),
        }
    }

    pub(super) fn records(&self) -> usize {
        self.records
    }
}

/// Where events of a stream are, or may be.
#[derive(Debug)]
pub(super) enum Source {
    /// Perhaps in this full segment.
    Full(Full),
    /// At these places.
    Known(Vec<(Arc<File>, u64)>),
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
    pub(super) fn push(&mut self, segment: SegmentIndex, heads: impl Iterator<Item = (u64, u64)>) {
        self.versions.extend(heads);
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

    /// Where a stream's events from a version on are, or may be; the oldest first.
    pub(super) fn find(&self, stream: u64, from: u32) -> Vec<Source> {
        let mut found = Vec::new();
        if self.version(stream) < u64::from(from) {
            return found;
        }
        for segment in self.segments.iter().rev() {
            match &segment.entries {
                Entries::Growing(growing, file) => {
                    let (lowest, offsets) = growing.places(stream, from);
                    if !offsets.is_empty() {
                        let mut places = Vec::with_capacity(offsets.len());
                        offsets.into_iter().for_each(|offset| shelf::push(&mut places, file, offset));
                        found.push(Source::Known(places));
                    }
                    // Older segments hold older versions only.
                    if lowest.is_some_and(|lowest| lowest <= from.max(1)) {
                        break;
                    }
                }
                Entries::Full(footer) if footer.may_hold(stream) => {
                    found.push(Source::Full(Full { path: segment.path.clone(), first: segment.first, footer: footer.clone() }));
                }
                Entries::Full(_) => {}
            }
        }
        found.reverse();
        found
    }

    /// Where to read on from a sequence.
    pub(super) fn stretch(&self, sequence: u64) -> Option<Stretch> {
        let at = self.segments.partition_point(|segment| segment.first <= sequence).saturating_sub(1);
        let segment = self.segments.get(at)?;
        let file = match &segment.entries {
            Entries::Growing(_, file) => Some(file.clone()),
            Entries::Full(_) => None,
        };
        let next_first = self.segments.get(at + 1).map(|segment| segment.first);
        Some(Stretch { file, path: segment.path.clone(), first: segment.first, at: segment.start_for(sequence), end: segment.end, next_first })
    }
}
