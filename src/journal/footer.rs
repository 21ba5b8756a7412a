//! The footer of a full segment: the places of its events, sorted by stream and version. Memory keeps the beginning of each
//! block of 256 entries; the block that is asked for is read from the disk.
//!
//! A footer is sealed and authenticated as a whole, when it is written and at the start. A block of it alone is opened by
//! seeking in the key stream, and must then be what was authenticated: its keyed sum is kept beside its beginning.

use std::fs::File;
use std::hash::{BuildHasher, RandomState};

use super::filter::Filter;
use super::index::Entry;
use super::keyring::NONCE_BYTES;
use super::{KeyRing, record, segment};

/// Entries of a block, and bytes of an entry.
const BLOCK: usize = 256;
const ENTRY_BYTES: usize = 16;

/// Where a block begins, and its sum.
#[derive(Debug)]
struct Block {
    stream: u64,
    version: u32,
    sum: u64,
}

/// What memory keeps of a footer.
#[derive(Debug)]
pub(super) struct Footer {
    filter: Filter,
    blocks: Box<[Block]>,
    entries: usize,
    /// Where the sealed entries stand in the file.
    at: u64,
    key: u32,
    nonce: [u8; NONCE_BYTES],
    sums: RandomState,
}

impl Footer {
    /// Of authenticated entries, whose record stands at an offset of the file.
    pub(super) fn new(entries: &[Entry], offset: u64, record: &[u8]) -> Option<Self> {
        let (key, nonce) = record::seal_of(record)?;
        let sums = RandomState::new();
        let block = |entries: &[Entry]| {
            let first = entries.first()?;
            Some(Block { stream: first.stream, version: first.version, sum: sums.hash_one(encode(entries)) })
        };
        let blocks = entries.chunks(BLOCK).filter_map(block).collect();
        let filter = Filter::new(heads(entries).map(|(stream, _)| stream), heads(entries).count());
        Some(Self { filter, blocks, entries: entries.len(), at: offset + record::HEADER_BYTES as u64, key, nonce, sums })
    }

    /// Whether the segment may hold a stream.
    pub(super) fn may_hold(&self, stream: u64) -> bool {
        self.filter.may_hold(stream)
    }

    /// The entries of a block; an error in words when it is not what it was.
    fn block(&self, number: usize, file: &File, keys: &KeyRing) -> Result<Vec<Entry>, String> {
        let (begin, end) = (number * BLOCK, ((number + 1) * BLOCK).min(self.entries));
        let place = (begin * ENTRY_BYTES) as u64;
        let mut bytes = segment::read_at(file, self.at + place, (end - begin) * ENTRY_BYTES).map_err(|error| error.to_string())?;
        keys.open_part(self.key, &self.nonce, place, &mut bytes).ok_or("its key is gone")?;
        let is_whole = self.blocks.get(number).is_some_and(|block| block.sum == self.sums.hash_one(&bytes));
        decode(&bytes).filter(|_| is_whole).map(Vec::from).ok_or_else(|| "it has changed on the disk".to_owned())
    }

    /// The block where a version of a stream stands, if it is there at all.
    fn block_of(&self, stream: u64, version: u32) -> usize {
        self.blocks.partition_point(|block| (block.stream, block.version) <= (stream, version)).saturating_sub(1)
    }

    /// A stream's entries from a version on, at most about `limit`.
    pub(super) fn entries(&self, stream: u64, from: u32, limit: usize, file: &File, keys: &KeyRing) -> Result<Vec<Entry>, String> {
        let mut found = Vec::new();
        for number in self.block_of(stream, from)..self.blocks.len() {
            if found.len() >= limit || self.blocks.get(number).is_some_and(|block| block.stream > stream) {
                break;
            }
            let of_it = self.block(number, file, keys)?.into_iter().filter(|entry| entry.stream == stream && entry.version >= from);
            found.extend(of_it);
        }
        Ok(found)
    }

    /// The last version of a stream in the segment.
    pub(super) fn last(&self, stream: u64, file: &File, keys: &KeyRing) -> Result<Option<u32>, String> {
        let block = self.block(self.block_of(stream, u32::MAX), file, keys)?;
        Ok(block.iter().rev().find(|entry| entry.stream == stream).map(|entry| entry.version))
    }
}

/// The last version of each stream, from entries in their order.
pub(super) fn heads(entries: &[Entry]) -> impl Iterator<Item = (u64, u64)> {
    let next = entries.iter().skip(1).map(Some).chain([None]);
    let lasts = entries.iter().zip(next).filter(|(entry, next)| next.is_none_or(|next| next.stream != entry.stream));
    lasts.map(|(entry, _)| (entry.stream, u64::from(entry.version)))
}

/// The entries of a footer as bytes.
pub(super) fn encode(entries: &[Entry]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(entries.len() * ENTRY_BYTES);
    for entry in entries {
        bytes.extend_from_slice(&entry.stream.to_le_bytes());
        bytes.extend_from_slice(&entry.version.to_le_bytes());
        bytes.extend_from_slice(&entry.offset.to_le_bytes());
    }
    bytes
}

/// The entries of a footer; `None` when the bytes are none.
pub(super) fn decode(bytes: &[u8]) -> Option<Box<[Entry]>> {
    if !bytes.len().is_multiple_of(ENTRY_BYTES) {
        return None;
    }
    let entry = |bytes: &[u8]| {
        Some(Entry {
            stream: u64::from_le_bytes(bytes.get(..8)?.try_into().ok()?),
            version: u32::from_le_bytes(bytes.get(8..12)?.try_into().ok()?),
            offset: u32::from_le_bytes(bytes.get(12..16)?.try_into().ok()?),
        })
    };
    bytes.chunks(ENTRY_BYTES).map(entry).collect()
}

#[cfg(test)]
mod tests {
    use super::super::keyring::Nonces;
    use super::super::record::{Kind, Parts};
    use super::*;

    #[test]
    fn any_stream_is_found_from_any_version_and_a_changed_block_is_an_error() {
        let keys = KeyRing::ephemeral().unwrap();
        let mut entries = Vec::new();
        for stream in 0..400_u64 {
            // One stream is longer than several blocks.
            let versions = if stream == 200 { 1_500 } else { 1 + stream as u32 % 7 };
            let offset = entries.len() as u32;
            entries.extend((1..=versions).map(|version| Entry { stream: stream * 10, version: version + 5, offset: offset + version }));
        }
        let parts = Parts { kind: Kind::Footer, events: 0, first: 1, durable: 0, recorded: 0, before: &[0; 32] };
        let mut record = vec![9; 77];
        record::write(&parts, &[&encode(&entries)], &keys, &mut Nonces::new().unwrap(), &mut record).unwrap();
        let path = std::env::temp_dir().join(format!("wardd-footer-{}", std::process::id()));
        std::fs::write(&path, &record).unwrap();
        let file = File::options().read(true).write(true).open(&path).unwrap();
        std::fs::remove_file(&path).unwrap();
        let footer = Footer::new(&entries, 77, &record[77..]).unwrap();
        for stream in (0..400).map(|stream| stream * 10).chain([5, 2_001, 9_999]) {
            let of_it = || entries.iter().copied().filter(|entry| entry.stream == stream);
            assert_eq!(footer.last(stream, &file, &keys).unwrap(), of_it().next_back().map(|entry| entry.version));
            for from in [0, 6, 8, 700, 1_505, 1_506] {
                let expected: Vec<Entry> = of_it().filter(|entry| entry.version >= from).collect();
                assert_eq!(footer.entries(stream, from, usize::MAX, &file, &keys).unwrap(), expected, "{stream} from {from}");
            }
        }
        assert!((3..=600).contains(&footer.entries(2_000, 1, 3, &file, &keys).unwrap().len()), "no more blocks than are needed");
        std::os::unix::fs::FileExt::write_all_at(&file, &[record[200] ^ 1], 200).unwrap();
        assert!(footer.entries(0, 1, 9, &file, &keys).unwrap_err().contains("changed"));
        assert!(footer.entries(3_990, 1, 9, &file, &keys).is_ok());
    }
}
