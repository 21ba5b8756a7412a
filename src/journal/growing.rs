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

/// An event's place, and the place of the event before it in its stream. The stream stands with its last event only.
#[derive(Debug, Clone, Copy)]
struct Link {
    version: u32,
    offset: u32,
    before: u32,
}

/// Events in the order in which they came.
#[derive(Debug, Default)]
pub(super) struct Growing {
    links: Vec<Link>,
    /// The place of each stream's last event.
    last: ByHash<u32>,
}

impl Growing {
    pub(super) fn add(&mut self, Entry { stream, version, offset }: Entry) {
        let place = u32::try_from(self.links.len()).unwrap_or(NONE);
        let before = self.last.insert(stream, place).unwrap_or(NONE);
        self.links.push(Link { version, offset, before });
    }

    /// The events that end at a place, the last one first.
    fn back_from(&self, place: u32) -> impl Iterator<Item = &Link> {
        std::iter::successors(self.links.get(place as usize), |link| self.links.get(link.before as usize))
    }

    /// The offsets of a stream's events from a version on, in order, and the version of the first of them.
    pub(super) fn places(&self, stream: u64, from_version: u32) -> (Option<u32>, Vec<u32>) {
        let (mut lowest, mut found) = (None, Vec::new());
        let last = self.last.get(&stream).copied().unwrap_or(NONE);
        for link in self.back_from(last).take_while(|link| link.version >= from_version) {
            found.push(link.offset);
            lowest = Some(link.version);
        }
        found.reverse();
        (lowest, found)
    }

    /// The last version of each stream.
    pub(super) fn heads(&self) -> impl Iterator<Item = (u64, u64)> + '_ {
        self.last.iter().filter_map(|(stream, place)| Some((*stream, u64::from(self.links.get(*place as usize)?.version))))
    }

    /// All entries in the order of a footer.
    pub(super) fn sorted(&self) -> Box<[Entry]> {
        let of = |(stream, last): (&u64, &u32)| self.back_from(*last).map(|link| Entry { stream: *stream, version: link.version, offset: link.offset }).collect::<Vec<_>>();
        let mut entries: Box<[Entry]> = self.last.iter().flat_map(of).collect();
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
