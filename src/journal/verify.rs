//! The scrub: every checksum, sequence, chain link and seal of the log, without the daemon.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use super::high_water;
use super::record::{self, Chain, Kind};
use super::segment::{self, End, SegmentHeader};
use super::{JournalError, KeyRing, heads, personal, recovery};
use crate::kernel::Sealing;

/// One fault of the log and the way out.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("WD-0106 journal: segment {segment}, offset {offset}, event {sequence}: {what}: {way_out}", segment = segment.display(), way_out = self.way_out())]
pub struct Damage {
    /// The file.
    pub segment: PathBuf,
    /// The byte in it.
    pub offset: u64,
    /// The sequence of the event that should stand there.
    pub sequence: u64,
    /// What is wrong.
    pub what: String,
}

/// What is sealed under another key and what was changed by somebody without the keys look alike.
pub(super) const WRONG_SEAL: &str = "its bytes are whole, but its seal does not open";
const OTHER_RING: &str =
    "most likely this is not the key ring that sealed this journal: bring back the copy of that one, and look again; only when that says the same was the record changed";

impl Damage {
    fn way_out(&self) -> &'static str {
        if self.what.contains(WRONG_SEAL) { OTHER_RING } else { WAY_OUT }
    }
}

const WAY_OUT: &str = "keep this directory as it is, run `wardctl heal` with a backup (or restore one into another data directory), and `wardctl journal verify` again; nothing behind this place is read";

/// What a whole scrub found.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Report {
    /// Segments read.
    pub segments: usize,
    /// Records read, footers included.
    pub records: u64,
    /// Events read.
    pub events: u64,
    /// Bytes read.
    pub bytes: u64,
    /// Records whose seal was opened; 0 without keys.
    pub opened: u64,
    /// Signed heads that agree.
    pub heads: usize,
    /// The chain value of the last record, in hexadecimal.
    pub head: String,
    /// The same as bytes.
    pub(super) chain: Chain,
    /// Whether the high-water mark is there; without it a tail that was cut cannot be told.
    pub has_mark: bool,
    /// Bytes behind the last record that are no record: a tail torn while it was written, cut at the next start.
    pub torn_bytes: u64,
}

/// Reads the whole log. With keys every seal is opened, without them checksums, sequences and chain are checked.
pub fn verify(directory: &Path, keys: Option<&KeyRing>) -> Result<Report, JournalError> {
    let mut report = Report::default();
    let mark = high_water::read(directory);
    let segments = segment::list(directory)?;
    let mut next = 1;
    let mut chain: Option<Chain> = None;
    let mut is_mark_met = mark.is_none_or(|mark| mark.sequence == 0);
    let personal_keys = personal::scan(directory)?;
    if let Some(key) = personal_keys.damaged {
        let what = format!("key {key} of a person is damaged in `{}`: what it seals cannot be read", personal::FILE);
        return Err(Damage { segment: directory.join(personal::FILE), offset: u64::from(key) * 128, sequence: 0, what }.into());
    }
    let count = segments.len();
    let heads = heads::by_event(directory)?;
    let mut met: BTreeMap<u64, Vec<Chain>> = BTreeMap::new();
    for (number, (first, path)) in segments.into_iter().enumerate() {
        let bytes = segment::load(&path)?;
        let damage = |offset: usize, sequence: u64, what: String| Damage { segment: path.clone(), offset: offset as u64, sequence, what };
        let header = SegmentHeader::read(&bytes).ok_or_else(|| damage(0, next, "the segment's head is damaged".to_owned()))?;
        if header.first != first || first != next {
            return Err(damage(0, next, format!("the segment begins with event {}, event {next} is due: a segment is missing", header.first)).into());
        }
        let mut link = *chain.get_or_insert(header.before);
        if link != header.before {
            return Err(damage(0, next, "the segment does not continue the chain of the one before it".to_owned()).into());
        }
        let walk = segment::walk(&bytes);
        let mut is_closed = false;
        for (offset, header) in &walk.records {
            let record = bytes.get(*offset..offset + header.size).unwrap_or_default();
            if is_closed {
                return Err(damage(*offset, next, "a record stands behind the segment's footer".to_owned()).into());
            }
            if header.first != next {
                return Err(damage(*offset, next, format!("event {} stands where event {next} is due", header.first)).into());
            }
            if record::chain(&link, record) != header.chain {
                return Err(damage(*offset, next, "the hash chain is broken: a record was changed, removed, inserted or moved".to_owned()).into());
            }
            if let Some(keys) = keys {
                if !keys.holds(header.key) {
                    return Err(damage(*offset, next, format!("it is sealed under key {}, which the key ring does not hold", header.key)).into());
                }
                let body = record::open(keys, header, record).ok_or_else(|| damage(*offset, next, WRONG_SEAL.to_owned()))?;
                let batch = (header.kind == Kind::Events).then(|| recovery::decode(&body, header, None)).transpose();
                let batch = batch.map_err(|why| damage(*offset, next, why))?;
                let mut named = batch.iter().flat_map(|batch| &batch.events).filter_map(|event| if let Sealing::Key(key) = event.event.sealing { Some(key) } else { None });
                // The keys of what is behind the mark may be on their way: wardd may write meanwhile.
                let is_durable = mark.is_none_or(|mark| header.first <= mark.sequence);
                if let Some(key) = named.find(|key| is_durable && !personal_keys.holds(*key)) {
                    return Err(damage(*offset, next, format!("it is sealed under key {key} of a person, which `{}` does not hold", personal::FILE)).into());
                }
                report.opened += 1;
            }
            link = header.chain;
            match header.kind {
                Kind::Events => next += u64::from(header.events),
                Kind::Footer => is_closed = true,
            }
            // Footers repeat the last sequence; the mark names the record that ended with it.
            if let Some(mark) = mark
                && next == mark.sequence + 1
                && mark.chain == header.chain
            {
                is_mark_met = true;
            }
            if heads.contains_key(&(next - 1)) {
                met.entry(next - 1).or_default().push(header.chain);
            }
            report.records += 1;
        }
        if let End::Broken(broken) = walk.end {
            let was_durable = segment::was_durable_behind(&bytes, walk.at, next);
            let is_tail = number + 1 == count && !was_durable && mark.is_none_or(|mark| mark.sequence < next);
            if !is_tail {
                return Err(damage(walk.at, next, broken.words().to_owned()).into());
            }
            report.torn_bytes = (bytes.len() - walk.at) as u64;
        } else if number + 1 < count && !is_closed {
            return Err(damage(walk.at, next, "the segment ends without a footer although another follows".to_owned()).into());
        }
        report.segments += 1;
        report.bytes += walk.at as u64;
        chain = Some(link);
        if number + 1 == count
            && let Some(mark) = mark
            && (mark.sequence >= next || !is_mark_met)
        {
            return Err(damage(walk.at, next, format!("acknowledged events up to {} are missing or changed", mark.sequence)).into());
        }
    }
    if count == 0
        && let Some(mark) = mark.filter(|mark| mark.sequence > 0)
    {
        let what = format!("there is no segment, but events up to {} were acknowledged", mark.sequence);
        return Err(Damage { segment: directory.to_owned(), offset: 0, sequence: 1, what }.into());
    }
    for (sequence, head) in &heads {
        // A footer repeats the last event of its segment: either record may have been the last when the head was signed.
        let found = met.get(sequence).map(Vec::as_slice).unwrap_or_default();
        let agrees = found.iter().any(|chain| head.contradicts(keys, Some(chain)).is_none());
        if let Some(what) = head.contradicts(keys, found.first()).filter(|_| !agrees) {
            return Err(Damage { segment: directory.join("heads"), offset: 0, sequence: *sequence, what }.into());
        }
    }
    report.heads = heads.len();
    report.events = next.saturating_sub(1);
    report.chain = chain.unwrap_or_default();
    report.has_mark = mark.is_some();
    report.head = chain.map(|chain| chain.iter().map(|byte| format!("{byte:02x}")).collect()).unwrap_or_default();
    Ok(report)
}
