//! Copies are whole, grow with the log, come back as they were, and heal what is damaged.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use super::*;
use crate::journal::{Batch, Expected, FileLog, Log, Meta, NewEvent, Options};
use crate::kernel::{CommandId, Principal, StreamId, StreamKind, Timestamp};

pub(in crate::journal) struct Place(PathBuf);

impl Place {
    pub(in crate::journal) fn new() -> Self {
        static NUMBER: AtomicU64 = AtomicU64::new(0);
        let path = std::env::temp_dir().join(format!("wardd-backup-{}-{}", std::process::id(), NUMBER.fetch_add(1, Ordering::Relaxed)));
        let _ = std::fs::remove_dir_all(&path);
        std::fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    pub(in crate::journal) fn join(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

fn open(path: &Path, keys: &Arc<KeyRing>) -> FileLog {
    FileLog::open(path, keys.clone(), Options { segment_bytes: 16 << 10, ..Options::default() }).unwrap().0
}

pub(in crate::journal) fn fill(log: &FileLog, count: u64) {
    let id = CommandId::from_bytes([1; 16]);
    let now = Timestamp::from_micros(1);
    let meta = Arc::new(Meta {
        command: id,
        principal: Principal::System("test".into()),
        witness: None,
        place: None,
        correlation: id,
        causation: None,
        device_time: None,
        received: now,
        recorded: now,
        request: None,
    });
    for number in 0..count {
        let stream = StreamId::new(StreamKind::Specimen, format!("S{}", number % 5));
        let event = NewEvent::new(stream.clone(), "Noted", 1, &"x".repeat(usize::try_from(number * 31 % 300).unwrap())).unwrap().sealed(personal::tests::whose(number));
        let (sender, receiver) = std::sync::mpsc::channel();
        log.append(Batch { expected: vec![(stream, Expected::Any)], meta: meta.clone(), events: vec![event] }, Box::new(move |result| sender.send(result).unwrap()));
        receiver.recv().unwrap().unwrap();
    }
}

pub(in crate::journal) fn payloads(log: &FileLog) -> Vec<String> {
    log.read_all(1, usize::MAX).unwrap().iter().flat_map(|batch| &batch.events).map(|event| event.event.payload.get().to_owned()).collect()
}

#[test]
fn a_copy_is_made_while_the_log_is_written_grows_with_it_and_comes_back() {
    let (place, keys) = (Place::new(), Arc::new(KeyRing::ephemeral().unwrap()));
    let (journal, copy) = (place.join("journal"), place.join("copy"));
    let log = open(&journal, &keys);
    assert!(matches!(backup(&journal, &copy, Some(&keys)), Err(BackupError::Nothing(_))));
    fill(&log, 150);
    let first = backup(&journal, &copy, Some(&keys)).unwrap();
    assert_eq!(first.events, 150);
    // Written to all the while.
    let busy = std::thread::scope(|scope| {
        let writing = scope.spawn(|| fill(&log, 400));
        let copies: Vec<Copied> = (0..10).map(|_| backup(&journal, &copy, Some(&keys)).unwrap()).collect();
        writing.join().unwrap();
        copies
    });
    assert!(busy.windows(2).all(|pair| pair[0].events <= pair[1].events));
    let last = backup(&journal, &copy, Some(&keys)).unwrap();
    assert_eq!(last.events, 550);
    assert_eq!(backup(&journal, &copy, Some(&keys)).unwrap().bytes, 0, "what is there is not copied again");
    let texts = payloads(&log);
    drop(log);

    let restored = restore(&copy, &place.join("restored"), Some(&keys)).unwrap();
    assert_eq!((restored.events, &restored.head), (last.events, &last.head));
    let log = open(&place.join("restored"), &keys);
    assert_eq!(payloads(&log), texts);
    fill(&log, 5);
    assert_eq!(log.head(), 555, "and it goes on");
    drop(log);
    assert!(matches!(restore(&copy, &journal, Some(&keys)), Err(BackupError::Occupied(_))));
    // Another journal's copy is not mixed in.
    let foreign = place.join("foreign");
    fill(&open(&foreign, &keys), 20);
    assert!(matches!(backup(&foreign, &copy, Some(&keys)), Err(BackupError::Another(_))));
}

#[test]
fn a_damaged_copy_is_not_restored_and_a_sound_one_heals() {
    let (place, keys) = (Place::new(), Arc::new(KeyRing::ephemeral().unwrap()));
    let (journal, copy) = (place.join("journal"), place.join("copy"));
    {
        let log = open(&journal, &keys);
        fill(&log, 300);
        backup(&journal, &copy, Some(&keys)).unwrap();
        fill(&log, 30);
    }
    let segments: Vec<PathBuf> = segment::list(&journal).unwrap().into_iter().map(|(_, path)| path).collect();
    assert!(segments.len() > 3);
    let flip = |path: &Path| {
        let mut bytes = std::fs::read(path).unwrap();
        bytes[2_000] ^= 4;
        std::fs::write(path, bytes).unwrap();
    };
    flip(&segments[1]);
    std::fs::remove_file(&segments[2]).unwrap();
    assert!(verify::verify(&journal, Some(&keys)).is_err());
    let healed = heal(&journal, &copy, Some(&keys)).unwrap();
    assert_eq!((healed.segments, healed.report.events), (vec![segments[1].clone(), segments[2].clone()], 330));
    assert!(segments[1].with_extension("damaged").exists(), "kept for whoever wants to know");
    let log = open(&journal, &keys);
    assert_eq!(log.head(), 330, "what is newer than the copy is still there");
    drop(log);
    // What the copy does not hold cannot be healed by it, and everything stays as it was.
    let newest = segment::list(&journal).unwrap().pop().unwrap().1;
    let before = std::fs::read(&newest).unwrap();
    std::fs::write(&newest, &before[..200]).unwrap();
    assert!(heal(&journal, &copy, Some(&keys)).is_err());
    assert_eq!(std::fs::read(&newest).unwrap(), before[..200]);
    let copied = segment::list(&copy).unwrap();
    flip(&copied[1].1);
    assert!(restore(&copy, &place.join("new"), Some(&keys)).is_err());
    assert!(!place.join("new").exists());
}
