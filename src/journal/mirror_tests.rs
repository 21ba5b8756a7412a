//! The mirror holds what the log holds, brings it back, and never stands in the way of the log.

use super::super::backup::tests::{Place, fill, payloads};
use super::super::verify;
use super::*;

fn keys() -> Arc<KeyRing> {
    Arc::new(KeyRing::ephemeral().unwrap())
}

fn options() -> Options {
    Options { segment_bytes: 16 << 10, ..Options::default() }
}

fn start(place: &Place, keys: &Arc<KeyRing>) -> (FileLog, Mirrored) {
    let (log, _, mirrored) = open(&place.join("journal"), &place.join("mirror"), keys.clone(), options()).unwrap();
    (log, mirrored)
}

/// A log with a mirror that has been written over several segments, closed.
fn written(place: &Place, keys: &Arc<KeyRing>, events: u64) -> Vec<String> {
    let (log, _) = start(place, keys);
    fill(&log, events);
    payloads(&log)
}

fn head(directory: &Path) -> (u64, String) {
    let report = verify::verify(directory, None).unwrap();
    (report.events, report.head)
}

#[test]
fn what_is_acknowledged_is_in_both_at_every_moment() {
    let (place, keys) = (Place::new(), keys());
    let (log, mirrored) = start(&place, &keys);
    assert_eq!(mirrored, Mirrored::default());
    for count in [1, 3, 200, 7] {
        fill(&log, count);
        assert_eq!(head(&place.join("mirror")), head(&place.join("journal")), "while it is open");
    }
    let before = payloads(&log);
    drop(log);
    assert!(segment::list(&place.join("mirror")).unwrap().len() > 2);
    // The mirror is a journal of its own.
    let (log, _) = FileLog::open(&place.join("mirror"), keys, options()).unwrap();
    assert_eq!(payloads(&log), before);
}

#[test]
fn a_damaged_segment_is_healed_at_the_start() {
    for which in [0, 1, 2] {
        let (place, keys) = (Place::new(), keys());
        let before = written(&place, &keys, 200);
        let (_, path) = segment::list(&place.join("journal")).unwrap().swap_remove(which);
        let mut bytes = std::fs::read(&path).unwrap();
        bytes[segment::HEADER_BYTES + 300] ^= 4;
        std::fs::write(&path, bytes).unwrap();
        assert!(FileLog::open(&place.join("journal"), keys.clone(), options()).is_err());
        let (log, mirrored) = start(&place, &keys);
        assert_eq!((mirrored.healed.len(), payloads(&log)), (1, before), "segment {which}");
        fill(&log, 3);
        assert_eq!(head(&place.join("mirror")), head(&place.join("journal")));
    }
}

#[test]
fn a_journal_that_is_gone_or_has_lost_its_end_comes_back() {
    let (place, keys) = (Place::new(), keys());
    let before = written(&place, &keys, 200);
    std::fs::remove_dir_all(place.join("journal")).unwrap();
    let (log, mirrored) = start(&place, &keys);
    assert!(!mirrored.healed.is_empty());
    assert_eq!(payloads(&log), before);
    drop(log);
    // A disk that lied: the last segment and the mark are of an hour ago.
    let older = Place::new();
    backup::backup(&place.join("journal"), &older.join("copy"), None).unwrap();
    let (log, _) = start(&place, &keys);
    fill(&log, 100);
    let whole = payloads(&log);
    drop(log);
    std::fs::remove_dir_all(place.join("journal")).unwrap();
    backup::restore(&older.join("copy"), &place.join("journal"), None).unwrap();
    let (log, mirrored) = start(&place, &keys);
    assert!(!mirrored.healed.is_empty());
    assert_eq!(payloads(&log), whole);
}

#[test]
fn a_mirror_that_fails_is_given_up_and_brought_up_to_date_at_the_next_start() {
    let (place, keys) = (Place::new(), keys());
    let (log, _) = start(&place, &keys);
    fill(&log, 20);
    // Its disk is gone: the next segment cannot be made there.
    std::fs::remove_dir_all(place.join("mirror")).unwrap();
    std::fs::write(place.join("mirror"), b"not a directory").unwrap();
    fill(&log, 200);
    let before = payloads(&log);
    drop(log);
    let (log, mirrored) = start(&place, &keys);
    assert!(mirrored.missing.is_some_and(|why| why.contains("mirror")), "and the log starts all the same");
    assert_eq!(payloads(&log), before);
    drop(log);
    std::fs::remove_file(place.join("mirror")).unwrap();
    let (log, _) = start(&place, &keys);
    fill(&log, 5);
    assert_eq!(head(&place.join("mirror")), head(&place.join("journal")));
}

#[test]
fn a_torn_tail_on_either_side_is_no_difference_and_another_log_is_refused() {
    let (place, keys) = (Place::new(), keys());
    let before = written(&place, &keys, 30);
    let (_, last) = segment::list(&place.join("mirror")).unwrap().pop().unwrap();
    // What a write leaves that was cut by a loss of power: a beginning of a record, and behind it an old one.
    let mut torn = std::fs::read(&last).unwrap();
    let copy = torn[segment::HEADER_BYTES..].to_vec();
    torn.extend_from_slice(&copy[..150]);
    torn.extend_from_slice(&copy);
    std::fs::write(&last, torn).unwrap();
    let (log, _) = start(&place, &keys);
    assert_eq!(payloads(&log), before);
    fill(&log, 5);
    assert_eq!(head(&place.join("mirror")), head(&place.join("journal")));
    drop(log);
    let other = Place::new();
    written(&other, &keys, 10);
    std::fs::remove_dir_all(place.join("mirror")).unwrap();
    std::fs::rename(other.join("mirror"), place.join("mirror")).unwrap();
    let error = open(&place.join("journal"), &place.join("mirror"), keys, options()).unwrap_err();
    assert!(error.to_string().contains("WD-0133") && error.to_string().contains("two different journals"), "{error}");
    // Also when neither has a key of anybody.
    for folder in ["journal", "mirror"] {
        std::fs::remove_file(place.join(folder).join("personal-keys")).unwrap();
    }
    let error = open(&place.join("journal"), &place.join("mirror"), self::keys(), options()).unwrap_err();
    assert!(error.to_string().contains("WD-0"), "{error}");
}
