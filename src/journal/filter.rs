//! Whether a full segment may hold a stream: ten bits a stream in memory instead of the place of each of its events.
//!
//! A Bloom filter: what it denies is not there, what it affirms is there but for about one stream in a hundred.

/// Bits of memory for each stream.
const BITS: usize = 10;
/// Bits that each stream sets.
const MARKS: u64 = 6;

/// The streams of one segment.
#[derive(Debug)]
pub(super) struct Filter {
    words: Box<[u64]>,
}

/// Spreads a name's hash over all bits (the finalizer of MurmurHash3).
fn spread(hash: u64) -> u64 {
    let hash = (hash ^ (hash >> 33)).wrapping_mul(0xFF51_AFD7_ED55_8CCD);
    let hash = (hash ^ (hash >> 33)).wrapping_mul(0xC4CE_B9FE_1A85_EC53);
    hash ^ (hash >> 33)
}

impl Filter {
    /// A filter of these streams, of which there are `count`.
    pub(super) fn new(streams: impl Iterator<Item = u64>, count: usize) -> Self {
        let mut filter = Self { words: vec![0; (count * BITS).div_ceil(64).max(1)].into() };
        for stream in streams {
            for place in filter.places(stream) {
                filter.words[place / 64] |= 1 << (place % 64);
            }
        }
        filter
    }

    /// Whether the segment may hold the stream.
    pub(super) fn may_hold(&self, stream: u64) -> bool {
        self.places(stream).all(|place| self.words[place / 64] & (1 << (place % 64)) != 0)
    }

    fn places(&self, stream: u64) -> impl Iterator<Item = usize> + use<> {
        let bits = self.words.len() as u128 * 64;
        let (first, step) = (spread(stream), spread(stream ^ 0x9E37_79B9_7F4A_7C15) | 1);
        // A number of 64 bits times the count of bits, shifted by 64, is a place below that count.
        (0..MARKS).map(move |mark| ((u128::from(first.wrapping_add(mark.wrapping_mul(step))) * bits) >> 64) as usize)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_there_is_always_found_and_little_else() {
        let streams = || (0..10_000_u64).map(|number| number * 3 + 7);
        let filter = Filter::new(streams(), 10_000);
        assert!(streams().all(|stream| filter.may_hold(stream)));
        let wrong = (1_000_000..1_100_000_u64).filter(|stream| filter.may_hold(*stream)).count();
        assert!((100..2_500).contains(&wrong), "{wrong} of 100,000");
        assert!(!Filter::new(std::iter::empty(), 0).may_hold(1));
    }
}
