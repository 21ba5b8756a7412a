//! The index of the segment that is written: its events as they came, those of one stream linked from the last to the first.

use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hasher};

use super::index::Entry;

/// A map by numbers that are hashes already.
pub(super) type ByHash<V> = HashMap<u64, V, BuildHasherDefault<AsIs>>;

/// Takes a number as its own hash.
#[derive(Debug, Default)]
pub(super) struct AsIs(u64);

impl Hasher for AsIs {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        // Only numbers are keys; anything else would still be told apart.
        self.0 = bytes.iter().fold(self.0, |hash, byte| hash.rotate_left(8) ^ u64::from(*byte));
    }

    fn write_u64(&mut self, number: u64) {
        self.0 = number;
    }
}

/// No event before.
const NONE: u32 = u32::MAX;

/// Entries in the order in which they came.
#[derive(Debug, Default)]
pub(super) struct Growing {
    /// Each with the place of the event before it in its stream.
    entries: Vec<(Entry, u32)>,
    /// The place of each stream's last event.
    last: ByHash<u32>,
}

impl Growing {
    pub(super) fn add(&mut self, entry: Entry) {
        let place = u32::try_from(self.entries.len()).unwrap_or(NONE);
        let before = self.last.insert(entry.stream, place).unwrap_or(NONE);
        self.entries.push((entry, before));
    }

    /// The offsets of a stream's events from a version on, in order, and the version of the first of them.
    pub(super) fn places(&self, stream: u64, from_version: u32) -> (Option<u32>, Vec<u32>) {
        let (mut lowest, mut found) = (None, Vec::new());
        let mut at = self.last.get(&stream).copied().unwrap_or(NONE);
        while let Some((entry, before)) = self.entries.get(at as usize).filter(|(entry, _)| entry.version >= from_version) {
            found.push(entry.offset);
            lowest = Some(entry.version);
            at = *before;
        }
        found.reverse();
        (lowest, found)
    }

    /// The last version of each stream.
    pub(super) fn heads(&self) -> impl Iterator<Item = (u64, u64)> + '_ {
        self.last.iter().filter_map(|(stream, place)| Some((*stream, u64::from(self.entries.get(*place as usize)?.0.version))))
    }

    /// All entries in the order of a footer.
    pub(super) fn sorted(&self) -> Box<[Entry]> {
        let mut entries: Box<[Entry]> = self.entries.iter().map(|(entry, _)| *entry).collect();
        entries.sort_unstable();
        entries
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stream_s_events_are_found_in_order_from_any_version() {
        let mut growing = Growing::default();
        for (offset, (stream, version)) in [(7, 1), (9, 1), (7, 2), (7, 3), (9, 2)].into_iter().enumerate() {
            growing.add(Entry { stream, version, offset: u32::try_from(offset).unwrap() });
        }
        assert_eq!((growing.places(7, 0), growing.places(7, 2)), ((Some(1), vec![0, 2, 3]), (Some(2), vec![2, 3])));
        assert_eq!((growing.places(9, 2), growing.places(8, 0)), ((Some(2), vec![4]), (None, vec![])));
        let mut heads: Vec<_> = growing.heads().collect();
        heads.sort_unstable();
        assert_eq!(heads, [(7, 3), (9, 2)]);
        let sorted: Vec<u32> = growing.sorted().iter().map(|entry| entry.offset).collect();
        assert_eq!(sorted, [0, 2, 3, 1, 4]);
    }
}
