//! Tests of the log on a real file system: what is acknowledged is there, in order and whole; what is damaged is found.

use std::io;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc;

use super::*;
use crate::journal::{Expected, NewEvent, Reader, Receipt, verify};
use crate::kernel::{CommandId, Principal, StreamKind, Timestamp};

static DIRECTORIES: AtomicU64 = AtomicU64::new(0);

struct Place(PathBuf);

impl Place {
    fn new() -> Self {
        let number = DIRECTORIES.fetch_add(1, Ordering::Relaxed);
        let path = std::env::temp_dir().join(format!("wardd-log-{}-{number}", std::process::id()));
        let _ = std::fs::remove_dir_all(&path);
        Self(path)
    }

    fn segments(&self) -> Vec<PathBuf> {
        segment::list(&self.0).unwrap().into_iter().map(|(_, path)| path).collect()
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

fn keys() -> Arc<KeyRing> {
    Arc::new(KeyRing::ephemeral().unwrap())
}

fn open(place: &Place, keys: &Arc<KeyRing>) -> (FileLog, Opened) {
    FileLog::open(&place.0, keys.clone(), Options { segment_bytes: 64 << 10, ..Options::default() }).unwrap()
}

fn stream(key: &str) -> StreamId {
    StreamId::new(StreamKind::Specimen, key)
}

fn batch(expected: Expected, key: &str, texts: &[&str]) -> Batch {
    let command = CommandId::from_bytes([1; 16]);
    let meta = Meta {
        command,
        principal: Principal::System("test".into()),
        witness: None,
        place: None,
        correlation: command,
        causation: None,
        device_time: None,
        received: Timestamp::from_micros(1),
        recorded: Timestamp::from_micros(2),
        request: None,
    };
    let events = texts.iter().map(|text| NewEvent::new(stream(key), "Noted", 1, text).unwrap()).collect();
    Batch { expected: vec![(stream(key), expected)], meta: Arc::new(meta), events }
}

fn append(log: &FileLog, batch: Batch) -> Result<Receipt, AppendError> {
    let (sender, receiver) = mpsc::channel();
    log.append(batch, Box::new(move |result| sender.send(result).unwrap()));
    receiver.recv().unwrap()
}

fn fill(log: &FileLog, count: usize) {
    for number in 0..count {
        append(log, batch(Expected::Any, &format!("S{}", number % 7), &[&format!("event {number}"), "and another"])).unwrap();
    }
}

fn texts(log: &FileLog, key: &str) -> Vec<String> {
    log.read_stream(&stream(key), 1, 10_000).unwrap().iter().map(|(_, event)| serde_json::from_str(event.event.payload.get()).unwrap()).collect()
}

#[test]
fn what_is_appended_is_read_back_over_restarts_and_segments() {
    let (place, keys) = (Place::new(), keys());
    let (log, _) = open(&place, &keys);
    fill(&log, 700);
    let before = texts(&log, "S3");
    assert_eq!(before.len(), 200);
    drop(log);
    assert!(place.segments().len() > 2, "several segments");
    let (log, opened) = open(&place, &keys);
    assert_eq!((opened.events, opened.cut_bytes), (1_400, 0));
    assert_eq!(texts(&log, "S3"), before);
    assert_eq!(log.version(&stream("S3")), 200);
    assert_eq!(log.read_stream(&stream("S3"), 199, 10).unwrap().len(), 2);
    let all = log.read_all(1, 10_000).unwrap();
    assert_eq!(all.len(), 700);
    assert!(all.windows(2).all(|pair| pair[0].last() + 1 == pair[1].first()));
    assert_eq!(log.read_all(1_399, 10).unwrap()[0].first(), 1_399);
    assert_eq!(log.read_all(2, 1).unwrap()[0].first(), 1, "the batch that holds the event");
    assert_eq!(append(&log, batch(Expected::Any, "S0", &["next"])).unwrap(), Receipt { first: 1_401, last: 1_401 });
    let report = verify::verify(&place.0, Some(&keys)).unwrap();
    assert_eq!((report.events, report.torn_bytes), (1_401, 0));
}

#[test]
fn streams_in_many_segments_are_read_from_any_version_and_the_files_are_closed_again() {
    let (place, keys) = (Place::new(), keys());
    let (log, _) = open(&place, &keys);
    // One stream in every segment, one in few, many in one.
    let mut known: std::collections::BTreeMap<String, Vec<String>> = std::collections::BTreeMap::new();
    for number in 0..4_000 {
        let key = match number % 40 {
            0..=30 => "everywhere".to_owned(),
            31 if (500..900).contains(&number) || number > 3_000 => "now-and-then".to_owned(),
            _ => format!("S{}", number / 13),
        };
        let text = format!("event {number}");
        append(&log, batch(Expected::Any, &key, &[&text])).unwrap();
        known.entry(key).or_default().push(text);
    }
    let check = |log: &FileLog| {
        for (key, expected) in &known {
            assert_eq!(log.version(&stream(key)), expected.len() as u64);
            for (from, limit) in [(0, 9_999), (1, 1), (1, 3), (2, 9_999), (expected.len() / 2, 2), (expected.len() / 3, 9_999), (expected.len(), 5), (expected.len() + 1, 5)] {
                let found = log.read_stream(&stream(key), from as u64, limit).unwrap();
                let texts: Vec<String> = found.iter().map(|(_, event)| serde_json::from_str(event.event.payload.get()).unwrap()).collect();
                let wanted: Vec<String> = expected.iter().skip(from.saturating_sub(1)).take(limit).cloned().collect();
                assert_eq!(texts, wanted, "{key} from {from}, {limit} at most");
            }
        }
        assert!(log.read_stream(&stream("nobody"), 1, 5).unwrap().is_empty());
    };
    check(&log);
    let segments = place.segments().len();
    let open_files = std::fs::read_dir("/proc/self/fd").unwrap().filter_map(|entry| std::fs::read_link(entry.unwrap().path()).ok());
    let ours = open_files.filter(|path| path.starts_with(&place.0) && path.extension().is_some_and(|extension| extension == "wlog")).count();
    assert!(segments > 25 && (2..20).contains(&ours), "{ours} of {segments} segments are open");
    drop(log);
    check(&open(&place, &keys).0);
}

#[test]
fn a_full_segment_whose_footer_holds_no_entries_is_read_by_its_records() {
    let (place, keys) = (Place::new(), keys());
    let (log, _) = open(&place, &keys);
    fill(&log, 700);
    let (before, segments) = (texts(&log, "S3"), place.segments());
    drop(log);
    // The first segment's footer is replaced by one that was left out; its chain is what comes after.
    let bytes = std::fs::read(&segments[0]).unwrap();
    let mut records = segment::walk(&bytes).records;
    let (at, footer) = records.pop().unwrap();
    let chain_before = records.pop().unwrap().1.chain;
    let parts = record::Parts { kind: record::Kind::Footer, events: 0, first: footer.first, durable: footer.durable, recorded: 0, before: &chain_before };
    let mut empty = Vec::new();
    let chain = record::write(&parts, &[&[][..]], &keys, &mut crate::journal::keyring::Nonces::new().unwrap(), &mut empty).unwrap();
    std::fs::write(&segments[0], [&bytes[..at], &empty].concat()).unwrap();
    let next = std::fs::read(&segments[1]).unwrap();
    let head = segment::SegmentHeader { before: chain, ..segment::SegmentHeader::read(&next).unwrap() };
    std::fs::write(&segments[1], [&head.bytes(), &next[segment::HEADER_BYTES..]].concat()).unwrap();
    let (log, _) = open(&place, &keys);
    assert_eq!((texts(&log, "S3"), log.version(&stream("S3"))), (before, 200));
}

#[test]
fn leftovers_of_a_group_that_was_taken_back_are_cut_and_what_was_acknowledged_is_not() {
    let (place, keys) = (Place::new(), keys());
    let (log, _) = open(&place, &keys);
    append(&log, batch(Expected::Any, "A", &["one"])).unwrap();
    drop(log);
    let (segment, mark) = (place.segments().remove(0), place.0.join("high-water"));
    let before = [std::fs::read(&segment).unwrap(), std::fs::read(&mark).unwrap()];
    // Another history of two events, then the true one of one event: as large as the first of the two.
    let (log, _) = open(&place, &keys);
    append(&log, batch(Expected::Any, "A", &["two"])).unwrap();
    append(&log, batch(Expected::Any, "A", &["three"])).unwrap();
    drop(log);
    let other = std::fs::read(&segment).unwrap();
    std::fs::write(&segment, &before[0]).unwrap();
    std::fs::write(&mark, &before[1]).unwrap();
    let (log, _) = open(&place, &keys);
    append(&log, batch(Expected::Any, "A", &["TWO"])).unwrap();
    drop(log);
    let mut mixed = std::fs::read(&segment).unwrap();
    let at = segment::walk(&mixed).at;
    assert_eq!(segment::walk(&other).records[2].0, at);
    mixed[at..].copy_from_slice(&other[at..]);
    std::fs::write(&segment, &mixed).unwrap();
    let (log, opened) = open(&place, &keys);
    assert_eq!((texts(&log, "A"), opened.events, opened.cut_bytes > 0), (vec!["one".to_owned(), "TWO".to_owned()], 2, true));
    append(&log, batch(Expected::Version(2), "A", &["four"])).unwrap();
    drop(log);
    assert_eq!(verify::verify(&place.0, Some(&keys)).unwrap().events, 3);
    // With a mark that says that three were acknowledged it is damage.
    std::fs::write(&segment, &mixed).unwrap();
    let error = FileLog::open(&place.0, keys, Options { segment_bytes: 64 << 10, ..Options::default() }).unwrap_err().to_string();
    assert!(error.contains("the hash chain is broken"), "{error}");
}

#[test]
fn a_decision_on_an_old_version_is_a_conflict_and_writes_nothing() {
    let (place, keys) = (Place::new(), keys());
    let (log, _) = open(&place, &keys);
    append(&log, batch(Expected::Version(0), "A", &["one"])).unwrap();
    assert_eq!(append(&log, batch(Expected::Version(0), "A", &["two"])), Err(AppendError::Conflict { stream: "specimen/A".into(), expected: 0, found: 1 }));
    append(&log, batch(Expected::Version(1), "A", &["two"])).unwrap();
    assert_eq!(texts(&log, "A"), ["one", "two"]);
}

#[test]
fn a_second_wardd_is_refused_and_so_are_other_keys() {
    let (place, keys) = (Place::new(), keys());
    let (log, _) = open(&place, &keys);
    fill(&log, 3);
    assert!(matches!(FileLog::open(&place.0, keys.clone(), Options::default()), Err(JournalError::Locked(_))));
    drop(log);
    let other = Arc::new(KeyRing::ephemeral().unwrap());
    assert!(FileLog::open(&place.0, other, Options::default()).unwrap_err().to_string().contains("not the key ring that sealed"));
}

#[test]
fn nothing_readable_is_on_the_disk() {
    let (place, keys) = (Place::new(), keys());
    let (log, _) = open(&place, &keys);
    append(&log, batch(Expected::Any, "JANE-DOE-7", &["Jane Doe has measles"])).unwrap();
    drop(log);
    for path in std::fs::read_dir(&place.0).unwrap() {
        let bytes = std::fs::read(path.unwrap().path()).unwrap();
        for word in [&b"Jane"[..], b"JANE-DOE", b"measles"] {
            assert!(memchr::memmem::find(&bytes, word).is_none());
        }
    }
}

#[test]
fn a_torn_tail_is_cut_and_what_was_acknowledged_stays() {
    let (place, keys) = (Place::new(), keys());
    let (log, _) = open(&place, &keys);
    fill(&log, 5);
    drop(log);
    let path = place.segments().pop().unwrap();
    let whole = std::fs::read(&path).unwrap();
    let end = segment::walk(&whole).at;
    let record = whole[segment::HEADER_BYTES..segment::HEADER_BYTES + 400].to_vec();
    for torn in [1, 3, 11, 99, 130] {
        let mut bytes = whole.clone();
        bytes[end..end + torn].copy_from_slice(&record[..torn]);
        std::fs::write(&path, &bytes).unwrap();
        let (log, opened) = open(&place, &keys);
        assert_eq!(opened.events, 10);
        assert!(opened.cut_bytes > 0 && opened.cut_bytes <= torn as u64);
        drop(log);
        assert_eq!(std::fs::read(&path).unwrap(), whole, "zeros again");
    }
}

#[test]
fn damage_anywhere_before_the_tail_stops_the_start_and_names_the_place() {
    let (place, keys) = (Place::new(), keys());
    let (log, _) = open(&place, &keys);
    fill(&log, 400);
    drop(log);
    for path in place.segments() {
        let whole = std::fs::read(&path).unwrap();
        let end = segment::walk(&whole).at;
        for number in 0..40 {
            let at = (number * 7_919 + 13) % end;
            let mut bytes = whole.clone();
            bytes[at] ^= 1 << (number % 8);
            std::fs::write(&path, &bytes).unwrap();
            let error = FileLog::open(&place.0, keys.clone(), Options::default()).map(drop).unwrap_err().to_string();
            assert!(error.contains("WD-0106") && error.contains("segment"), "{error}");
            assert!(verify::verify(&place.0, None).is_err(), "verify finds bit {at} without keys");
        }
        std::fs::write(&path, &whole).unwrap();
    }
    verify::verify(&place.0, Some(&keys)).unwrap();
}

#[test]
fn removed_swapped_and_truncated_records_are_found() {
    let (place, keys) = (Place::new(), keys());
    let (log, _) = open(&place, &keys);
    fill(&log, 20);
    drop(log);
    let path = place.segments().pop().unwrap();
    let whole = std::fs::read(&path).unwrap();
    let walk = segment::walk(&whole);
    let range = |number: usize| walk.records[number].0..walk.records[number].0 + walk.records[number].1.size;
    let removed = [&whole[..range(5).start], &whole[range(5).end..]].concat();
    let mut swapped = [&whole[..range(5).start], &whole[range(6)], &whole[range(5)], &whole[range(6).end..]].concat();
    swapped.truncate(whole.len());
    let inserted = [&whole[..range(5).end], &whole[range(5)], &whole[range(5).end..]].concat();
    let mut zeroed = whole.clone();
    zeroed[range(19)].fill(0);
    let truncated = whole[..range(18).start].to_vec();
    for (name, bytes) in [("removed", removed), ("swapped", swapped), ("inserted", inserted), ("zeroed", zeroed), ("truncated", truncated)] {
        std::fs::write(&path, &bytes).unwrap();
        assert!(verify::verify(&place.0, None).is_err(), "{name}");
        assert!(FileLog::open(&place.0, keys.clone(), Options::default()).is_err(), "{name}");
    }
    std::fs::remove_file(&path).unwrap();
    assert!(verify::verify(&place.0, None).unwrap_err().to_string().contains("were acknowledged"));
}

/// A disk whose n-th sync fails, or whose n-th write does.
struct Failing {
    syncs_left: AtomicU64,
    writes_left: AtomicU64,
}

impl Failing {
    fn count(left: &AtomicU64) -> io::Result<()> {
        match left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| left.checked_sub(1)) {
            Ok(_) => Ok(()),
            Err(_) => Err(io::Error::from_raw_os_error(libc::EIO)),
        }
    }
}

impl Disk for Failing {
    fn write_at(&self, file: &File, bytes: &[u8], offset: u64) -> io::Result<()> {
        Self::count(&self.writes_left)?;
        RealDisk.write_at(file, bytes, offset)
    }
    fn sync(&self, file: &File) -> io::Result<()> {
        Self::count(&self.syncs_left)?;
        RealDisk.sync(file)
    }
    fn sync_directory(&self, path: &Path) -> io::Result<()> {
        Self::count(&self.syncs_left)?;
        RealDisk.sync_directory(path)
    }
}

#[test]
fn a_failed_sync_or_write_is_never_retried_and_nothing_false_is_acknowledged() {
    for n in 0..12 {
        for (syncs, writes) in [(n, u64::MAX), (u64::MAX, n)] {
            let (place, keys) = (Place::new(), keys());
            let disk = Arc::new(Failing { syncs_left: AtomicU64::new(syncs), writes_left: AtomicU64::new(writes) });
            let options = Options { segment_bytes: 64 << 10, disk: disk.clone() };
            // A new log that cannot make its mark durable does not open at all.
            let Ok((log, _)) = FileLog::open(&place.0, keys.clone(), options) else {
                assert!(syncs.min(writes) < 2, "{n}");
                continue;
            };
            let results: Vec<_> = (0..15).map(|number| append(&log, batch(Expected::Any, "A", &[&number.to_string()]))).collect();
            let acknowledged = results.iter().take_while(|result| result.is_ok()).count();
            assert!(results[acknowledged..].iter().all(|result| matches!(result, Err(AppendError::Fatal(_)))), "{n}: {results:?}");
            assert!(acknowledged < 15);
            // The disk works again: still nothing is accepted by this process.
            disk.syncs_left.store(u64::MAX, Ordering::Relaxed);
            disk.writes_left.store(u64::MAX, Ordering::Relaxed);
            assert!(matches!(append(&log, batch(Expected::Any, "A", &["late"])), Err(AppendError::Fatal(_))));
            drop(log);
            let (log, _) = open(&place, &keys);
            assert!(texts(&log, "A").len() >= acknowledged, "{n}: acknowledged means kept");
        }
    }
}

#[test]
fn followers_get_every_batch_in_order_however_far_behind() {
    let (place, keys) = (Place::new(), keys());
    let (log, _) = open(&place, &keys);
    let mut early = log.tail(1);
    fill(&log, 1_500);
    let mut late = log.tail(2_000);
    fill(&log, 10);
    for (tail, from) in [(&mut early, 1), (&mut late, 2_000)] {
        let mut next = from;
        while let Some(batch) = tail.try_next(&log).unwrap() {
            assert!(batch.first() <= next && batch.last() >= next);
            next = batch.last() + 1;
        }
        assert_eq!(next, 3_021);
    }
}

#[test]
fn a_command_s_events_that_are_larger_than_a_record_are_refused() {
    let (place, keys) = (Place::new(), keys());
    let (log, _) = open(&place, &keys);
    let long = "x".repeat(70_000);
    assert!(matches!(append(&log, batch(Expected::Any, "A", &[&long])), Err(AppendError::TooLarge(_))));
    append(&log, batch(Expected::Any, "A", &["short"])).unwrap();
}

#[test]
fn more_events_than_a_record_counts_are_refused() {
    let (place, keys) = (Place::new(), keys());
    let options = Options { segment_bytes: 64 << 20, ..Options::default() };
    let (log, _) = FileLog::open(&place.0, keys, options).unwrap();
    let many: Vec<&str> = std::iter::repeat_n("x", 65_536).collect();
    assert!(matches!(append(&log, batch(Expected::Any, "A", &many)), Err(AppendError::TooLarge(_))));
    assert_eq!(append(&log, batch(Expected::Any, "A", &["short"])).unwrap().last, 1);
}

#[test]
fn a_reader_sees_what_is_durable_while_the_log_is_written() {
    let (place, keys) = (Place::new(), keys());
    let (log, _) = open(&place, &keys);
    let reader = Reader::new(&place.0, keys);
    assert_eq!((reader.each(1, |_| {}).unwrap(), reader.last(3).unwrap().len()), (1, 0));
    fill(&log, 500);
    let mut seen = Vec::new();
    let next = reader.each(101, |batch| seen.extend(batch.events.iter().map(|event| event.sequence))).unwrap();
    assert_eq!((next, seen), (log.head() + 1, (101..=log.head()).collect::<Vec<_>>()));
    assert_eq!(reader.last(3).unwrap().back().map(StoredBatch::last), Some(log.head()));
    assert_eq!(reader.statistics().unwrap(), log.statistics());
    fill(&log, 1);
    let mut more = 0;
    reader.each(next, |_| more += 1).unwrap();
    assert_eq!(more, 1);
}

#[test]
fn a_log_without_its_mark_or_its_first_segment_does_not_start() {
    let (place, keys) = (Place::new(), keys());
    fill(&open(&place, &keys).0, 300);
    let mark = place.0.join("high-water");
    let saved = std::fs::read(&mark).unwrap();
    let reopened = || FileLog::open(&place.0, keys.clone(), Options { segment_bytes: 64 << 10, ..Options::default() });
    for lost in [None, Some(vec![]), Some(vec![7; saved.len()])] {
        match lost {
            None => std::fs::remove_file(&mark).unwrap(),
            Some(bytes) => std::fs::write(&mark, bytes).unwrap(),
        }
        assert!(matches!(reopened(), Err(JournalError::NoMark(_))));
        assert!(!verify::verify(&place.0, Some(&keys)).unwrap().has_mark);
    }
    assert!(matches!(accept_end(&place.0, Some(&keys), 599), Err(JournalError::OtherEnd { found: 600, named: 599 })));
    accept_end(&place.0, Some(&keys), 600).unwrap();
    assert!(verify::verify(&place.0, Some(&keys)).unwrap().has_mark);
    assert_eq!(reopened().unwrap().0.head(), 600);
    std::fs::remove_file(place.segments().remove(0)).unwrap();
    assert!(matches!(reopened(), Err(JournalError::Damaged(_))));
    assert!(verify::verify(&place.0, Some(&keys)).unwrap_err().to_string().contains("a segment is missing"));
}
