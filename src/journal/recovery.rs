//! The start: reads what is there, cuts a torn tail, refuses anything else that is wrong.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::event::read_body;
use super::footer::{self, Footer};
use super::index::{self, Entry, Index, SegmentIndex};
use super::personal::Personal;
use super::record::{self, Chain, Header, Kind};
use super::segment::{self, End, SegmentHeader, Walk};
use super::verify::Damage;
use super::{Disk, JournalError, KeyRing, high_water};
use crate::kernel::Sealing;

/// Segments that are read beside each other at most; each takes its size in memory meanwhile.
const READERS: usize = 4;

/// What was found at the start.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Opened {
    /// Events in the log.
    pub events: u64,
    /// Segments in the log.
    pub segments: usize,
    /// Bytes of a torn tail that were cut.
    pub cut_bytes: u64,
}

/// Where the writer goes on.
pub(super) struct Resume {
    pub(super) index: Index,
    pub(super) next: u64,
    pub(super) chain: Chain,
    /// The segment to write on, none when a new one is due.
    pub(super) active: Option<(Arc<File>, PathBuf, u64, u64)>,
    pub(super) opened: Opened,
    /// The event that the high-water mark named.
    pub(super) mark: u64,
    /// The newest key of a person that a record of the last segment names, 0 for none.
    pub(super) newest_key: u32,
}

/// One segment on its way into the index: what can be found out about it alone.
struct Loaded {
    path: PathBuf,
    first: u64,
    header: Option<SegmentHeader>,
    is_blank: bool,
    length: usize,
    walk: Walk,
    /// Its bytes, unless they are whole and have been understood by their footer.
    bytes: Vec<u8>,
    entries: Option<(Box<[Entry]>, Footer)>,
}

impl Loaded {
    /// Reads a segment and checks each of its records.
    fn read(first: u64, path: &Path, keys: &KeyRing) -> Result<Self, JournalError> {
        let mut bytes = segment::load(path)?;
        let (walk, length) = (segment::walk(&bytes), bytes.len());
        let found = walk.records.last().filter(|(_, header)| header.kind == Kind::Footer);
        let entries = found.and_then(|(offset, header)| record::open(keys, header, bytes.get(*offset..)?)).and_then(|body| footer::decode(&body));
        // A footer without entries says nothing: then the records themselves are read.
        let entries = entries.filter(|entries| !entries.is_empty()).and_then(|entries| {
            let (offset, _) = found?;
            let outline = Footer::new(&entries, *offset as u64, bytes.get(*offset..)?)?;
            Some((entries, outline))
        });
        let (header, is_blank) = (SegmentHeader::read(&bytes), walk.records.is_empty() && bytes.iter().all(|byte| *byte == 0));
        if entries.is_some() && walk.end == End::Clean {
            bytes = Vec::new();
        }
        Ok(Self { path: path.to_owned(), first, header, is_blank, length, walk, bytes, entries })
    }

    fn damage(&self, offset: usize, sequence: u64, what: impl Into<String>) -> Damage {
        Damage { segment: self.path.clone(), offset: offset as u64, sequence, what: what.into() }
    }
}

/// Reads some segments beside each other.
fn load_all(segments: &[(u64, PathBuf)], keys: &KeyRing) -> Vec<Result<Loaded, JournalError>> {
    if let [(first, path)] = segments {
        return vec![Loaded::read(*first, path, keys)];
    }
    std::thread::scope(|scope| {
        let readers: Vec<_> = segments.iter().map(|(first, path)| (path, scope.spawn(|| Loaded::read(*first, path, keys)))).collect();
        let ended = |path: &PathBuf| JournalError::io(path, "read segment in a thread of its own")(std::io::ErrorKind::Other.into());
        readers.into_iter().map(|(path, reader)| reader.join().unwrap_or_else(|_| Err(ended(path)))).collect()
    })
}

/// Reads the log of a directory.
pub(super) fn recover(directory: &Path, keys: &KeyRing, disk: &dyn Disk) -> Result<Resume, JournalError> {
    let segments = segment::list(directory)?;
    let known_mark = high_water::read(directory);
    let mark = known_mark.unwrap_or_default();
    let mut resume = Resume { index: Index::default(), next: 1, chain: [0; 32], active: None, opened: Opened::default(), mark: mark.sequence, newest_key: 0 };
    let beside = std::thread::available_parallelism().map_or(1, |processors| processors.get().min(READERS));
    let mut number = 0;
    for some in segments.chunks(beside) {
        for loaded in load_all(some, keys) {
            number += 1;
            segment_of(loaded?, (number, number == segments.len()), mark.sequence, keys, disk, &mut resume)?;
        }
    }
    resume.opened.segments = resume.index.segments.len();
    resume.opened.events = resume.next - 1;
    // The mark is durable before the first event is: a log without one has lost it.
    if known_mark.is_none() && resume.next > 1 {
        return Err(JournalError::NoMark(directory.to_owned()));
    }
    if mark.sequence >= resume.next {
        let what = format!("events up to {} were acknowledged, the log ends with event {}", mark.sequence, resume.next - 1);
        return Err(Damage { segment: directory.to_owned(), offset: 0, sequence: resume.next, what }.into());
    }
    Ok(resume)
}

/// Looks whether a segment continues the one before it, and takes it in.
fn segment_of(loaded: Loaded, (number, is_last): (usize, bool), mark: u64, keys: &KeyRing, disk: &dyn Disk, resume: &mut Resume) -> Result<(), JournalError> {
    // A segment that was being created when the power went has no head yet, and nothing in it.
    if is_last && number > 1 && loaded.is_blank && mark < loaded.first {
        return disk.remove(&loaded.path).map_err(JournalError::io(&loaded.path, "remove unused segment"));
    }
    let Some(header) = loaded.header else {
        return Err(loaded.damage(0, resume.next, "the segment's head is damaged").into());
    };
    if header.first != loaded.first || loaded.first != resume.next || (number > 1 && header.before != resume.chain) {
        return Err(loaded.damage(0, resume.next, "the segment does not continue the one before it, or an older one is missing").into());
    }
    (resume.next, resume.chain) = (loaded.first, header.before);
    segment_in(loaded, is_last, mark, keys, disk, resume)
}

fn segment_in(mut loaded: Loaded, is_last: bool, mark: u64, keys: &KeyRing, disk: &dyn Disk, resume: &mut Resume) -> Result<(), JournalError> {
    let file = Arc::new(segment::open_for(&loaded.path, is_last).map_err(JournalError::io(&loaded.path, "open segment"))?);
    let mut index = SegmentIndex::new(file.clone(), &loaded.path, loaded.first);
    let is_closed = loaded.walk.records.last().is_some_and(|(_, header)| header.kind == Kind::Footer);
    let entries = loaded.entries.take();
    let mut leftovers = None;
    for (offset, header) in &loaded.walk.records {
        if let Err(damage) = continues(&loaded, *offset, header, resume, entries.is_some()) {
            // A group that a full disk took back may leave whole records behind what was written in its place.
            let was_durable = mark >= resume.next || header.durable >= resume.next || segment::was_durable_behind(&loaded.bytes, *offset, resume.next);
            if !is_last || was_durable || entries.is_some() {
                return Err(damage.into());
            }
            leftovers = Some(*offset);
            break;
        }
        if !keys.holds(header.key) {
            return Err(loaded.damage(*offset, resume.next, format!("it is sealed under key {}, which the key ring does not hold", header.key)).into());
        }
        if header.kind == Kind::Events {
            match &entries {
                Some(_) => index.pass(header, *offset as u64),
                None => record_in(&loaded, *offset, header, keys, resume, &mut index)?,
            }
            resume.next += u64::from(header.events);
        }
        resume.chain = header.chain;
    }
    let at = leftovers.unwrap_or(loaded.walk.at);
    let is_closed = is_closed && leftovers.is_none();
    if leftovers.is_some() {
        resume.opened.cut_bytes = cut(&loaded, at, &file, disk)?;
    } else if let End::Broken(broken) = loaded.walk.end {
        // The mark, or whole records behind the broken place, say that it was durable before they were written.
        let was_durable = mark >= resume.next || segment::was_durable_behind(&loaded.bytes, at, resume.next);
        if !is_last || was_durable {
            return Err(loaded.damage(at, resume.next, broken.words()).into());
        }
        resume.opened.cut_bytes = cut(&loaded, at, &file, disk)?;
    }
    if is_last {
        // A kill leaves whole records that were never synced: they count from now on, so they must be durable from now on.
        disk.sync(&file).map_err(JournalError::io(&loaded.path, "sync what was found"))?;
    }
    if !is_last && !is_closed {
        return Err(loaded.damage(at, resume.next, "the segment ends without a footer although another follows").into());
    }
    if is_last && !is_closed {
        resume.active = Some((file, loaded.path.clone(), at as u64, loaded.length as u64));
    }
    match entries {
        Some((entries, outline)) => {
            index.seal_with(outline);
            resume.index.push(index, footer::heads(&entries));
        }
        None => {
            let heads = index.heads();
            resume.index.push(index, heads.into_iter());
        }
    }
    Ok(())
}

/// Whether a record follows the one before it. The chain of a segment with a footer is checked by `verify` alone.
fn continues(loaded: &Loaded, offset: usize, header: &Header, resume: &Resume, has_footer: bool) -> Result<(), Damage> {
    if header.first != resume.next {
        return Err(loaded.damage(offset, resume.next, format!("event {} stands where event {} is due", header.first, resume.next)));
    }
    let bytes = loaded.bytes.get(offset..offset + header.size).unwrap_or_default();
    if !has_footer && record::chain(&resume.chain, bytes) != header.chain {
        return Err(loaded.damage(offset, resume.next, "the hash chain is broken"));
    }
    Ok(())
}

/// A record of a segment without footer: it is opened, its streams are noted.
fn record_in(loaded: &Loaded, offset: usize, header: &Header, keys: &KeyRing, resume: &mut Resume, index: &mut SegmentIndex) -> Result<(), JournalError> {
    let bytes = loaded.bytes.get(offset..offset + header.size).unwrap_or_default();
    let body = record::open(keys, header, bytes).ok_or_else(|| loaded.damage(offset, resume.next, super::verify::WRONG_SEAL))?;
    let batch = decode(&body, header, None).map_err(|why| JournalError::Payload { sequence: header.first, why })?;
    let named = batch.events.iter().filter_map(|event| if let Sealing::Key(key) = event.event.sealing { Some(key) } else { None });
    resume.newest_key = named.chain([resume.newest_key]).max().unwrap_or(0);
    index.add(header.first, offset as u64, header.size as u64, batch.events.iter().map(|event| (index::hash(&event.event.stream), event.stream_version)));
    Ok(())
}

/// A record's opened body: event count, stream versions, JSON.
pub(super) fn decode(body: &[u8], header: &Header, keys: Option<&Personal>) -> Result<super::StoredBatch, String> {
    let count = usize::from(header.events);
    let (versions, json) = body.split_at_checked(count * 8).ok_or_else(|| "its body is too short".to_owned())?;
    let versions: Vec<u64> = versions.chunks_exact(8).map(|bytes| bytes.try_into().map_or(0, u64::from_le_bytes)).collect();
    read_body(json, header.first, &versions, keys)
}

/// The newest key of a person that any record of the log names, 0 for none. It reads all of it: only a log whose file of keys is empty is
/// looked through, which is one of before there were such keys, or one that has lost them.
pub(super) fn newest_key_of_all(directory: &Path, keys: &KeyRing) -> Result<u32, JournalError> {
    let mut newest = 0;
    for (_, path) in segment::list(directory)? {
        let bytes = segment::load(&path)?;
        for (offset, header) in segment::walk(&bytes).records.iter().filter(|(_, header)| header.kind == Kind::Events) {
            let Some(body) = record::open(keys, header, bytes.get(*offset..offset + header.size).unwrap_or_default()) else { continue };
            let batch = decode(&body, header, None).map_err(|why| JournalError::Payload { sequence: header.first, why })?;
            let named = batch.events.iter().filter_map(|event| if let Sealing::Key(key) = event.event.sealing { Some(key) } else { None });
            newest = named.chain([newest]).max().unwrap_or(0);
        }
    }
    Ok(newest)
}

/// Overwrites a torn tail with zeros and makes that durable.
fn cut(loaded: &Loaded, at: usize, file: &File, disk: &dyn Disk) -> Result<u64, JournalError> {
    let length = loaded.bytes.len() - at;
    let zeros = vec![0_u8; length];
    disk.write_at(file, &zeros, at as u64).map_err(JournalError::io(&loaded.path, "cut torn tail"))?;
    disk.sync(file).map_err(JournalError::io(&loaded.path, "sync cut tail"))?;
    Ok(loaded.bytes[at..].iter().rposition(|byte| *byte != 0).map_or(0, |last| last as u64 + 1))
}
