//! What is sealed under somebody's key is read until the key is destroyed, and never again.

use super::*;
use crate::journal::backup::tests::Place;
use crate::journal::event::ERASED;
use crate::journal::{Batch, Expected, FileLog, Log, Meta, NewEvent, Options, Reader, backup, verify};
use crate::kernel::{CommandId, Principal, StreamId, StreamKind, Timestamp};

/// Whose an event of a test is: of one of five persons, of a message alone, or the house's.
pub(in crate::journal) fn whose(number: u64) -> Sealing {
    match number % 4 {
        0 => Sealing::House,
        1 => Sealing::Message,
        _ => Sealing::Person(mrn(number % 5)),
    }
}

fn mrn(number: u64) -> Mrn {
    format!("P{number}").parse().unwrap()
}

fn ring() -> Arc<KeyRing> {
    Arc::new(KeyRing::ephemeral().unwrap())
}

fn open(directory: &Path, ring: &Arc<KeyRing>) -> FileLog {
    FileLog::open(directory, ring.clone(), Options { segment_bytes: 16 << 10, ..Options::default() }).unwrap().0
}

fn append(log: &FileLog, number: u64) {
    let id = CommandId::from_bytes([1; 16]);
    let now = Timestamp::from_micros(1);
    let principal = Principal::System("test".into());
    let meta = Meta { command: id, principal, witness: None, place: None, correlation: id, causation: None, device_time: None, received: now, recorded: now, request: None };
    let stream = StreamId::new(StreamKind::Specimen, format!("S{}", number % 3));
    let event = NewEvent::new(stream.clone(), "Noted", 1, &format!("told {number} {}", "x".repeat(200))).unwrap().sealed(whose(number));
    let (sender, receiver) = std::sync::mpsc::channel();
    log.append(Batch { expected: vec![(stream, Expected::Any)], meta: Arc::new(meta), events: vec![event] }, Box::new(move |result| sender.send(result).unwrap()));
    receiver.recv().unwrap().unwrap();
}

fn destroy(log: &FileLog, keys: Vec<u32>) {
    let (sender, receiver) = std::sync::mpsc::channel();
    log.destroy_keys(keys, Box::new(move |result| sender.send(result).unwrap()));
    receiver.recv().unwrap().unwrap();
}

/// Each event's number, or that it is erased, and its key.
fn told(log: &FileLog) -> Vec<(Option<u64>, Sealing)> {
    let events = log.read_all(1, usize::MAX).unwrap();
    let number = |payload: &str| (payload != ERASED).then(|| payload.split(' ').nth(1).unwrap().parse().unwrap());
    events.iter().flat_map(|batch| batch.events.clone()).map(|event| (number(event.event.payload.get()), event.event.sealing)).collect()
}

fn fill(log: &FileLog) {
    (0..120).for_each(|number| append(log, number));
}

/// What must be read when one person is erased.
fn without(person: u64) -> Vec<Option<u64>> {
    (0..120).map(|number| (whose(number) != Sealing::Person(mrn(person))).then_some(number)).collect()
}

fn numbers(log: &FileLog) -> Vec<Option<u64>> {
    told(log).into_iter().map(|(number, _)| number).collect()
}

#[test]
fn a_destroyed_key_takes_one_person_and_nobody_else_and_the_chain_holds() {
    let (place, ring) = (Place::new(), ring());
    let directory = place.join("journal");
    let log = open(&directory, &ring);
    fill(&log);
    assert_eq!(numbers(&log), (0..120).map(Some).collect::<Vec<_>>());
    let keys = log.keys_of(&mrn(2)).unwrap();
    assert_eq!((keys.len(), log.keys_of(&mrn(9)).unwrap()), (1, vec![]), "one key a person");
    let before = verify::verify(&directory, Some(&ring)).unwrap();
    destroy(&log, keys.clone());
    assert_eq!(numbers(&log), without(2));
    assert_eq!(log.keys_of(&mrn(2)).unwrap(), Vec::<u32>::new());
    drop(log);
    // Also after a start, for who only reads, and for the chain nothing has happened.
    let log = open(&directory, &ring);
    assert_eq!(numbers(&log), without(2));
    let mut read = Vec::new();
    Reader::new(&directory, ring.clone()).each(1, |batch| read.extend(batch.events.iter().map(|event| event.event.payload.get() == ERASED))).unwrap();
    assert_eq!(read, without(2).iter().map(Option::is_none).collect::<Vec<_>>());
    assert_eq!(verify::verify(&directory, Some(&ring)).unwrap().head, before.head);
    // Somebody who has the number afterwards has another key.
    append(&log, 2);
    assert_ne!(log.keys_of(&mrn(2)).unwrap(), keys);
    assert_eq!(numbers(&log).last(), Some(&Some(2)));
}

#[test]
fn each_message_has_a_key_of_its_own() {
    let (place, ring) = (Place::new(), ring());
    let log = open(&place.join("journal"), &ring);
    fill(&log);
    let keys: Vec<u32> = told(&log)
        .iter()
        .filter_map(|(number, sealing)| {
            if number.is_some_and(|number| number % 4 == 1)
                && let Sealing::Key(key) = sealing
            {
                Some(*key)
            } else {
                None
            }
        })
        .collect();
    assert_eq!((keys.len(), keys.iter().collect::<std::collections::BTreeSet<_>>().len()), (30, 30));
    destroy(&log, vec![keys[3]]);
    assert_eq!(numbers(&log).iter().filter(|number| number.is_none()).count(), 1);
}

#[test]
fn without_its_file_the_log_does_not_open_and_damage_is_found() {
    let (place, ring) = (Place::new(), ring());
    let directory = place.join("journal");
    fill(&open(&directory, &ring));
    let file = directory.join(FILE);
    let whole = std::fs::read(&file).unwrap();
    std::fs::remove_file(&file).unwrap();
    let error = FileLog::open(&directory, ring.clone(), Options::default()).err().unwrap();
    assert!(error.to_string().contains("WD-0115") && error.to_string().contains("personal-keys"), "{error}");
    let mut damaged = whole.clone();
    damaged[SLOT + 60] ^= 1;
    std::fs::write(&file, &damaged).unwrap();
    let error = verify::verify(&directory, Some(&ring)).err().unwrap();
    assert!(error.to_string().contains("key 1 of a person is damaged"), "{error}");
    let log = open(&directory, &ring);
    let error = log.read_all(1, usize::MAX).err().unwrap();
    assert!(error.to_string().contains("restore this file"), "{error}");
    drop(log);
    // A key that was put into the place of another one is no key.
    let (first, second) = (whole[SLOT..2 * SLOT].to_vec(), whole[2 * SLOT..3 * SLOT].to_vec());
    let mut swapped = whole.clone();
    swapped[SLOT..2 * SLOT].copy_from_slice(&second);
    swapped[2 * SLOT..3 * SLOT].copy_from_slice(&first);
    std::fs::write(&file, &swapped).unwrap();
    assert!(open(&directory, &ring).read_all(1, usize::MAX).is_err());
    std::fs::write(&file, &whole).unwrap();
    assert_eq!(numbers(&open(&directory, &ring)).len(), 120);
}

#[test]
fn a_copy_has_the_keys_and_what_was_destroyed_comes_back_from_no_copy() {
    let (place, ring) = (Place::new(), ring());
    let (directory, copy, restored) = (place.join("journal"), place.join("copy"), place.join("restored"));
    let log = open(&directory, &ring);
    fill(&log);
    backup::backup(&directory, &copy, Some(&ring)).unwrap();
    backup::restore(&copy, &restored, Some(&ring)).unwrap();
    assert_eq!(numbers(&open(&restored, &ring)), (0..120).map(Some).collect::<Vec<_>>());
    destroy(&log, log.keys_of(&mrn(2)).unwrap());
    backup::backup(&directory, &copy, Some(&ring)).unwrap();
    std::fs::remove_dir_all(&restored).unwrap();
    backup::restore(&copy, &restored, Some(&ring)).unwrap();
    assert_eq!(numbers(&open(&restored, &ring)), without(2));
    // An older copy that lies there still, and is reconciled, forgets as well; a damaged key comes back from it.
    let old = place.join("old");
    std::fs::create_dir(&old).unwrap();
    std::fs::copy(directory.join(FILE), old.join(FILE)).unwrap();
    destroy(&log, log.keys_of(&mrn(3)).unwrap());
    drop(log);
    let mut damaged = std::fs::read(directory.join(FILE)).unwrap();
    let last = damaged.len() / SLOT - 1;
    damaged[last * SLOT + 60] ^= 1;
    std::fs::write(directory.join(FILE), &damaged).unwrap();
    reconcile(&directory, &old).unwrap();
    assert_eq!(std::fs::read(directory.join(FILE)).unwrap(), std::fs::read(old.join(FILE)).unwrap());
    assert_eq!(scan(&directory).unwrap().damaged, None);
    let log = open(&directory, &ring);
    assert!(log.keys_of(&mrn(3)).unwrap().is_empty() && log.keys_of(&mrn(2)).unwrap().is_empty());
}

#[test]
fn a_new_key_of_the_ring_wraps_new_keys_and_old_ones_are_read() {
    let place = Place::new();
    let file = place.join("ring.toml");
    KeyRing::create(&file).unwrap();
    let directory = place.join("journal");
    fill(&open(&directory, &Arc::new(KeyRing::load(&file).unwrap())));
    KeyRing::rotate(&file).unwrap();
    let log = open(&directory, &Arc::new(KeyRing::load(&file).unwrap()));
    assert_eq!(numbers(&log).len(), 120);
    append(&log, 2);
    assert_eq!(log.keys_of(&mrn(2)).unwrap().len(), 1, "the person keeps their key: it is wrapped, and never stored open");
}

/// Found on reading the change once more: a loss of power in the middle of new keys left sectors of zeros between whole ones, and every
/// `verify` and backup afterwards took them for damage.
#[test]
fn what_a_loss_of_power_left_blank_between_keys_is_no_damage_unless_an_event_names_it() {
    let (place, ring) = (Place::new(), ring());
    let directory = place.join("journal");
    fill(&open(&directory, &ring));
    let file = directory.join(FILE);
    let mut torn = std::fs::read(&file).unwrap();
    // Behind what was durable: one sector of new keys that nobody has used was not written, the next one was.
    let last = torn.len() / SLOT;
    torn.extend_from_slice(&[0; 4 * SLOT]);
    torn.extend_from_slice(&Slot::Destroyed.bytes(u32::try_from(last + 4).unwrap()));
    std::fs::write(&file, &torn).unwrap();
    verify::verify(&directory, Some(&ring)).unwrap();
    let log = open(&directory, &ring);
    fill(&log);
    assert_eq!(numbers(&log).len(), 240);
    drop(log);
    verify::verify(&directory, Some(&ring)).unwrap();
    // A key that events name is missed.
    let mut lost = std::fs::read(&file).unwrap();
    lost[SLOT..2 * SLOT].fill(0);
    std::fs::write(&file, &lost).unwrap();
    let error = verify::verify(&directory, Some(&ring)).err().unwrap();
    assert!(error.to_string().contains("key 1 of a person"), "{error}");
}

/// Found on a review: a mirror of another journal took the keys of this one, before anybody had looked whether it was its mirror.
#[test]
fn keys_of_two_journals_are_never_mixed() {
    let (place, ring) = (Place::new(), ring());
    let (one, other) = (place.join("one"), place.join("other"));
    fill(&open(&one, &ring));
    fill(&open(&other, &ring));
    let read = |directory: &Path| std::fs::read(directory.join(FILE)).unwrap();
    let before = (read(&one), read(&other));
    assert!(reconcile(&one, &other).unwrap_err().to_string().contains("WD-0133"));
    assert!(copy(&one, &other).unwrap_err().to_string().contains("two different journals"));
    assert!(crate::journal::mirror::open(&one, &other, ring.clone(), Options::default()).is_err());
    assert_eq!((read(&one), read(&other)), before);
}

/// Found on a review: a backup put what was damaged or lost in place of the keys that only the copy still had.
#[test]
fn a_copy_keeps_the_keys_that_the_journal_has_lost() {
    let (place, ring) = (Place::new(), ring());
    let (directory, kept) = (place.join("journal"), place.join("copy"));
    fill(&open(&directory, &ring));
    backup::backup(&directory, &kept, Some(&ring)).unwrap();
    let whole = std::fs::read(kept.join(FILE)).unwrap();
    let mut damaged = whole.clone();
    damaged[SLOT + 60] ^= 1;
    std::fs::write(directory.join(FILE), &damaged).unwrap();
    backup::backup(&directory, &kept, Some(&ring)).unwrap();
    assert_eq!(std::fs::read(kept.join(FILE)).unwrap(), whole);
    for lost in [&whole[..SLOT * 4], &[]] {
        std::fs::write(directory.join(FILE), lost).unwrap();
        let error = backup::backup(&directory, &kept, Some(&ring)).err().unwrap();
        assert!(error.to_string().contains("fewer keys than its copy"), "{error}");
        assert_eq!(std::fs::read(kept.join(FILE)).unwrap(), whole);
    }
    // A start without the file makes none.
    std::fs::remove_file(directory.join(FILE)).unwrap();
    assert!(FileLog::open(&directory, ring.clone(), Options::default()).is_err());
    assert!(!directory.join(FILE).exists());
}

/// Found on a review: a log whose newest segment names no key opened without its keys, and gave their numbers out again.
#[test]
fn lost_keys_are_missed_also_when_the_newest_events_name_none() {
    let (place, ring) = (Place::new(), ring());
    let directory = place.join("journal");
    let log = open(&directory, &ring);
    fill(&log);
    // What is the house's, until the segment that names keys is full and closed.
    (0..200).for_each(|number| append(&log, number * 4));
    drop(log);
    std::fs::remove_file(directory.join(FILE)).unwrap();
    let error = FileLog::open(&directory, ring.clone(), Options { segment_bytes: 16 << 10, ..Options::default() }).err().unwrap();
    assert!(error.to_string().contains("WD-0115"), "{error}");
    // Who only reads says that it is unreadable, and not that everybody was erased.
    let error = Reader::new(&directory, ring.clone()).each(1, |_| {}).unwrap_err();
    assert!(error.to_string().contains("WD-0115"), "{error}");
}
