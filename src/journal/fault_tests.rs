//! A disk that fails at its n-th operation, and a log that was changed behind wardd's back.

use std::collections::BTreeSet;
use std::io;
use std::sync::atomic::AtomicU64;

use super::*;
use crate::journal::{Expected, KeyRing, NewEvent, Pace, RealDisk, Receipt};
use crate::kernel::{CommandId, Principal, StreamId, StreamKind, Timestamp};

const SEGMENT: u64 = 16 << 10;

/// A folder in memory where there is one: these tests are about failures, not about this machine's disk.
fn folder(name: &str) -> PathBuf {
    let memory = Path::new("/dev/shm");
    let root = if memory.is_dir() { memory.to_owned() } else { std::env::temp_dir() };
    let folder = root.join(format!("wardd-{name}-{}", std::process::id()));
    let _ = std::fs::remove_dir_all(&folder);
    folder
}

fn batch(command: u64, size: usize) -> Batch {
    let id = CommandId::from_bytes([1; 16]);
    let now = Timestamp::from_micros(1);
    let principal = Principal::System("test".into());
    let meta = Meta { command: id, principal, witness: None, place: None, correlation: id, causation: None, device_time: None, received: now, recorded: now, request: None };
    let stream = StreamId::new(StreamKind::Specimen, format!("S{}", command % 7));
    let event = NewEvent::new(stream.clone(), "Noted", 1, &format!("{command}:{}", "x".repeat(size))).unwrap().sealed(crate::journal::personal::tests::whose(command));
    Batch { expected: vec![(stream, Expected::Any)], meta: Arc::new(meta), events: vec![event] }
}

fn append(log: &FileLog, command: u64, size: usize) -> Result<Receipt, AppendError> {
    let (sender, receiver) = std::sync::mpsc::channel();
    log.append(batch(command, size), Box::new(move |result| sender.send(result).unwrap()));
    receiver.recv().unwrap()
}

/// The commands of a log with their sequences, in order.
fn commands(log: &FileLog) -> Vec<(u64, u64)> {
    let batches = log.read_all(1, usize::MAX).unwrap();
    let events = batches.iter().flat_map(|batch| &batch.events);
    let number = |event: &StoredEvent| serde_json::from_str::<String>(event.event.payload.get()).unwrap().split(':').next().unwrap().parse().unwrap();
    events.map(|event| (number(event), event.sequence)).collect()
}

/// Fails at an operation, once or from then on.
struct Faulty {
    at: u64,
    is_forever: bool,
    errno: i32,
    count: AtomicU64,
    hits: AtomicU64,
    /// What failed first.
    failed: Mutex<Option<&'static str>>,
}

impl Faulty {
    fn step(&self, what: &'static str) -> io::Result<()> {
        let number = self.count.fetch_add(1, Ordering::SeqCst);
        if number == self.at || (self.is_forever && number > self.at) {
            self.hits.fetch_add(1, Ordering::SeqCst);
            self.failed.lock().unwrap().get_or_insert(what);
            return Err(io::Error::from_raw_os_error(self.errno));
        }
        Ok(())
    }
}

impl Disk for Faulty {
    fn create(&self, path: &Path) -> io::Result<File> {
        self.step("create").and_then(|()| RealDisk.create(path))
    }
    fn fill(&self, path: &Path, size: u64, pace: Pace<'_>) -> io::Result<()> {
        self.step("fill").and_then(|()| RealDisk.fill(path, size, pace))
    }
    fn write_at(&self, file: &File, bytes: &[u8], offset: u64) -> io::Result<()> {
        // A write that fails has written a part.
        self.step("write_at").inspect_err(|_| drop(RealDisk.write_at(file, &bytes[..bytes.len() / 2], offset))).and_then(|()| RealDisk.write_at(file, bytes, offset))
    }
    fn set_length(&self, file: &File, length: u64) -> io::Result<()> {
        self.step("set_length").and_then(|()| RealDisk.set_length(file, length))
    }
    fn sync(&self, file: &File) -> io::Result<()> {
        self.step("sync").and_then(|()| RealDisk.sync(file))
    }
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.step("rename").and_then(|()| RealDisk.rename(from, to))
    }
    fn remove(&self, path: &Path) -> io::Result<()> {
        self.step("remove").and_then(|()| RealDisk.remove(path))
    }
    fn sync_directory(&self, path: &Path) -> io::Result<()> {
        self.step("sync_directory").and_then(|()| RealDisk.sync_directory(path))
    }
}

/// One run: some commands on a disk that fails. What was acknowledged must be read at once and after a start on a good disk.
fn run(folder: &Path, keys: &Arc<KeyRing>, disk: &Arc<Faulty>, number_of_commands: u64) {
    let _ = std::fs::remove_dir_all(folder);
    let what = format!("errno {} at {}{}", disk.errno, disk.at, if disk.is_forever { " for ever" } else { "" });
    let mut acknowledged = Vec::new();
    let mut was_full = false;
    if let Ok((log, _)) = FileLog::open(folder, keys.clone(), Options { segment_bytes: SEGMENT, disk: disk.clone() }) {
        for command in 0..number_of_commands {
            match append(&log, command, usize::try_from(command * 37 % 400).unwrap()) {
                Ok(receipt) => {
                    assert!(log.is_accepting() || was_full, "{what}: what is acknowledged was taken");
                    acknowledged.push((command, receipt.first));
                }
                Err(AppendError::Full) => {
                    was_full = true;
                    assert!(!log.is_accepting(), "{what}: the page says that the disk is full");
                }
                Err(AppendError::Fatal(_)) => {
                    assert!(!log.is_accepting() && log.failure().borrow().is_some(), "{what}");
                    assert!(matches!(append(&log, command, 1), Err(AppendError::Fatal(_))), "{what}: never again in this process");
                    let failed = disk.failed.lock().unwrap().unwrap_or_default();
                    assert!(disk.errno != libc::ENOSPC || disk.is_forever || failed.starts_with("sync"), "{what}: a full disk ({failed}) closes nothing");
                    break;
                }
                Err(other) => panic!("{what}: {other}"),
            }
        }
        assert_eq!(commands(&log), acknowledged, "{what}: reading goes on, and shows what is durable and nothing else");
        if was_full && !disk.is_forever {
            assert_eq!(acknowledged.len() as u64 + 1, number_of_commands, "{what}: one is refused, then it goes on by itself");
        }
    }
    let (log, _) = FileLog::open(folder, keys.clone(), Options { segment_bytes: SEGMENT, ..Options::default() }).unwrap_or_else(|error| panic!("{what}: {error}"));
    let found = commands(&log);
    let there: BTreeSet<_> = found.iter().collect();
    assert!(acknowledged.iter().all(|command| there.contains(command)), "{what}: acknowledged means kept");
    assert!(found.len() <= acknowledged.len() + 1, "{what}: only what was under way may be there besides");
    append(&log, number_of_commands, 1).unwrap();
}

#[test]
fn whichever_operation_of_the_disk_fails_nothing_false_is_acknowledged() {
    let (folder, keys) = (folder("faults"), Arc::new(KeyRing::ephemeral().unwrap()));
    let faulty = |at, is_forever, errno| Arc::new(Faulty { at, is_forever, errno, count: AtomicU64::new(0), hits: AtomicU64::new(0), failed: Mutex::default() });
    // Without a failure, to know how many operations there are.
    let sound = faulty(u64::MAX, false, 0);
    run(&folder, &keys, &sound, 330);
    let operations = sound.count.load(Ordering::SeqCst);
    assert!(operations > 1_000, "{operations}");
    for errno in [libc::EIO, libc::ENOSPC] {
        for is_forever in [false, true] {
            for at in 0..=1_000 {
                let disk = faulty(at, is_forever, errno);
                run(&folder, &keys, &disk, 330);
                assert!(disk.hits.load(Ordering::SeqCst) > 0, "operation {at} was reached");
            }
        }
    }
    std::fs::remove_dir_all(&folder).unwrap();
}

#[test]
fn what_a_start_finds_behind_the_mark_is_synced_and_marked_before_it_counts() {
    /// Counts the syncs of files.
    #[derive(Default)]
    struct Counting(AtomicU64);
    impl Disk for Counting {
        fn sync(&self, file: &File) -> io::Result<()> {
            self.0.fetch_add(1, Ordering::SeqCst);
            RealDisk.sync(file)
        }
    }
    let (folder, keys) = (folder("found"), Arc::new(KeyRing::ephemeral().unwrap()));
    let options = |disk: Arc<dyn Disk>| Options { segment_bytes: SEGMENT, disk };
    let (log, _) = FileLog::open(&folder, keys.clone(), options(Arc::new(RealDisk))).unwrap();
    append(&log, 0, 10).unwrap();
    let old_mark = std::fs::read(folder.join("high-water")).unwrap();
    (1..9).for_each(|command| assert!(append(&log, command, 10).is_ok()));
    drop(log);
    std::fs::write(folder.join("high-water"), old_mark).unwrap();
    let disk = Arc::new(Counting::default());
    let (log, opened) = FileLog::open(&folder, keys, options(disk.clone())).unwrap();
    assert_eq!((opened.events, disk.0.load(Ordering::SeqCst)), (9, 2), "the segment, then the mark");
    assert_eq!(super::super::high_water::read(&folder).map(|mark| mark.sequence), Some(9));
    drop(log);
    std::fs::remove_dir_all(&folder).unwrap();
}

#[test]
fn a_disk_without_room_inside_a_segment_refuses_and_goes_on_by_itself() {
    /// Takes half of a write while it is full, as a file system does that copies what it changes; in what is taken already
    /// there is room.
    #[derive(Default)]
    struct Filling(std::sync::atomic::AtomicBool);
    impl Disk for Filling {
        fn write_at(&self, file: &File, bytes: &[u8], offset: u64) -> io::Result<()> {
            if self.0.load(Ordering::SeqCst) && bytes.len() > 150 {
                RealDisk.write_at(file, &bytes[..bytes.len() / 2], offset)?;
                return Err(io::ErrorKind::StorageFull.into());
            }
            RealDisk.write_at(file, bytes, offset)
        }
    }
    let (folder, keys) = (folder("no-room"), Arc::new(KeyRing::ephemeral().unwrap()));
    let disk = Arc::new(Filling::default());
    let open = |disk: Arc<dyn Disk>| FileLog::open(&folder, keys.clone(), Options { segment_bytes: SEGMENT, disk }).unwrap();
    let (log, _) = open(disk.clone());
    append(&log, 0, 10).unwrap();
    disk.0.store(true, Ordering::SeqCst);
    assert_eq!(append(&log, 7, 900), Err(AppendError::Full));
    assert_eq!(append(&log, 8, 10), Err(AppendError::Full));
    assert!(!log.is_accepting() && commands(&log) == [(0, 1)], "reading goes on");
    let barrier = |seen: u64| {
        let (sender, receiver) = std::sync::mpsc::channel();
        log.barrier(vec![(StreamId::new(StreamKind::Specimen, "S0"), seen)], Box::new(move |result| sender.send(result).unwrap()));
        receiver.recv().unwrap()
    };
    assert!(barrier(1).is_ok() && matches!(barrier(2), Err(AppendError::Conflict { found: 1, expected: 2, .. })), "who saw what was taken back is not told that it holds");
    // wardd is killed now: what was refused did not happen.
    let copy = folder.with_extension("copy");
    std::fs::create_dir_all(&copy).unwrap();
    std::fs::read_dir(&folder).unwrap().flatten().for_each(|entry| assert!(std::fs::copy(entry.path(), copy.join(entry.file_name())).is_ok()));
    assert_eq!(commands(&FileLog::open(&copy, keys.clone(), Options { segment_bytes: SEGMENT, ..Options::default() }).unwrap().0), [(0, 1)]);
    std::fs::remove_dir_all(&copy).unwrap();
    disk.0.store(false, Ordering::SeqCst);
    assert_eq!(append(&log, 14, 10).unwrap().first, 2);
    assert!(log.is_accepting());
    let versions = log.read_all(1, 9).unwrap().iter().flat_map(|batch| batch.events.iter().map(|event| event.stream_version).collect::<Vec<_>>()).collect::<Vec<_>>();
    assert_eq!(versions, [1, 2], "of one stream, and what was refused did not count");
    drop(log);
    assert_eq!(verify::verify(&folder, Some(&keys)).unwrap().torn_bytes, 0, "nothing of it is left behind the end");
    assert_eq!(commands(&open(Arc::new(RealDisk)).0), [(0, 1), (14, 2)]);
    std::fs::remove_dir_all(&folder).unwrap();
}

#[test]
fn an_empty_segment_is_never_closed_however_much_waits_on_a_full_disk() {
    /// Has no room for large writes, but for a footer and a head.
    #[derive(Default)]
    struct Tight(std::sync::atomic::AtomicBool);
    impl Disk for Tight {
        fn write_at(&self, file: &File, bytes: &[u8], offset: u64) -> io::Result<()> {
            match self.0.load(Ordering::SeqCst) && bytes.len() > 800 {
                true => Err(io::ErrorKind::StorageFull.into()),
                false => RealDisk.write_at(file, bytes, offset),
            }
        }
    }
    let (folder, keys) = (folder("tight"), Arc::new(KeyRing::ephemeral().unwrap()));
    let disk = Arc::new(Tight::default());
    let (log, _) = FileLog::open(&folder, keys.clone(), Options { segment_bytes: SEGMENT, disk: disk.clone() }).unwrap();
    (0..10).for_each(|command| assert!(append(&log, command, 900).is_ok()));
    disk.0.store(true, Ordering::SeqCst);
    // More at once than a segment holds, several times: the first of them begin the next segment.
    for _ in 0..20 {
        let (sender, receiver) = std::sync::mpsc::channel();
        for command in 100..140 {
            let sender = sender.clone();
            log.append(batch(command, 900), Box::new(move |result| sender.send(result).unwrap()));
        }
        drop(sender);
        assert!(receiver.iter().all(|result| result == Err(AppendError::Full)));
    }
    disk.0.store(false, Ordering::SeqCst);
    (10..30).for_each(|command| assert!(append(&log, command, 900).is_ok()));
    drop(log);
    let (log, _) = FileLog::open(&folder, keys.clone(), Options { segment_bytes: SEGMENT, ..Options::default() }).unwrap();
    assert_eq!(commands(&log).into_iter().map(|(command, _)| command).collect::<Vec<_>>(), (0..30).collect::<Vec<_>>());
    drop(log);
    assert_eq!(verify::verify(&folder, Some(&keys)).unwrap().events, 30);
    std::fs::remove_dir_all(&folder).unwrap();
}

/// Found on reading: each message that a full disk refused used up a key, and devices send again for hours.
#[test]
fn what_a_full_disk_refuses_uses_up_no_keys_without_end() {
    #[derive(Default)]
    struct Full(std::sync::atomic::AtomicBool);
    impl Disk for Full {
        fn write_at(&self, file: &File, bytes: &[u8], offset: u64) -> io::Result<()> {
            match self.0.load(Ordering::SeqCst) {
                true => Err(io::ErrorKind::StorageFull.into()),
                false => RealDisk.write_at(file, bytes, offset),
            }
        }
    }
    let (folder, keys) = (folder("keys-full"), Arc::new(KeyRing::ephemeral().unwrap()));
    let disk = Arc::new(Full::default());
    let (log, _) = FileLog::open(&folder, keys.clone(), Options { segment_bytes: SEGMENT, disk: disk.clone() }).unwrap();
    let sealed = |log: &FileLog, command: u64| {
        let mut batch = batch(command, 10);
        batch.events[0].sealing = crate::kernel::Sealing::Message;
        let (sender, receiver) = std::sync::mpsc::channel();
        log.append(batch, Box::new(move |result| sender.send(result).unwrap()));
        receiver.recv().unwrap()
    };
    assert!((0..5).all(|command| sealed(&log, command).is_ok()));
    disk.0.store(true, Ordering::SeqCst);
    assert!((5..10_000).all(|command| sealed(&log, command) == Err(AppendError::Full)));
    disk.0.store(false, Ordering::SeqCst);
    assert!(sealed(&log, 10_000).is_ok());
    let size = std::fs::metadata(folder.join("personal-keys")).unwrap().len();
    assert!(size < 400_000, "{size} bytes of keys for 10,000 messages of which six were taken");
    drop(log);
    assert_eq!(verify::verify(&folder, Some(&keys)).unwrap().events, 6);
    std::fs::remove_dir_all(&folder).unwrap();
}

/// A change of a log's files.
#[derive(Debug)]
enum Damage {
    Flip(usize, usize, u8),
    Delete(usize, usize, usize),
    Insert(usize, usize, Vec<u8>),
    Swap(usize, usize, usize, usize),
    Truncate(usize, usize),
}

fn damaged(files: &[(PathBuf, Vec<u8>)], damage: &Damage) -> (usize, Vec<u8>) {
    let (Damage::Flip(file, ..) | Damage::Delete(file, ..) | Damage::Insert(file, ..) | Damage::Swap(file, ..) | Damage::Truncate(file, _)) = damage;
    let mut bytes = files[*file].1.clone();
    match damage {
        Damage::Flip(_, at, bit) => bytes[*at] ^= 1 << bit,
        Damage::Delete(_, at, length) => drop(bytes.drain(*at..at + length)),
        Damage::Insert(_, at, piece) => drop(bytes.splice(*at..*at, piece.iter().copied())),
        Damage::Swap(_, one, other, length) => {
            let piece: Vec<u8> = bytes[*one..one + length].to_vec();
            let second: Vec<u8> = bytes[*other..other + length].to_vec();
            bytes[*one..one + length].copy_from_slice(&second);
            bytes[*other..other + length].copy_from_slice(&piece);
        }
        Damage::Truncate(_, length) => bytes.truncate(*length),
    }
    (*file, bytes)
}

#[test]
fn whatever_is_changed_in_the_log_is_found_and_never_applied() {
    let changes: usize = std::env::var("WARDD_DAMAGES").ok().and_then(|text| text.parse().ok()).unwrap_or(10_000);
    let (folder, keys) = (folder("damage"), Arc::new(KeyRing::ephemeral().unwrap()));
    let options = || Options { segment_bytes: SEGMENT, ..Options::default() };
    let whole = {
        let (log, _) = FileLog::open(&folder, keys.clone(), options()).unwrap();
        (0..120).for_each(|command| assert!(append(&log, command, usize::try_from(command * 37 % 400).unwrap()).is_ok()));
        commands(&log)
    };
    let read = |path: PathBuf| std::fs::read(&path).map(|bytes| (path, bytes)).unwrap();
    let mut files: Vec<(PathBuf, Vec<u8>)> = segment::list(&folder).unwrap().into_iter().map(|(_, path)| read(path)).collect();
    let used: Vec<usize> = files.iter().map(|(_, bytes)| segment::walk(bytes).at).collect();
    assert!(files.len() > 2);
    files.push(read(folder.join(crate::journal::personal::FILE)));
    files.push(read(folder.join("high-water")));
    let keys_used = files[files.len() - 2].1.len();
    let used: Vec<usize> = used.into_iter().chain([keys_used, 128]).collect();
    let mut state = 0x9E37_79B9_7F4A_7C15_u64;
    let mut below = |bound: usize| {
        state ^= state >> 12;
        state ^= state << 25;
        state ^= state >> 27;
        usize::try_from(state.wrapping_mul(0x2545_F491_4F6C_DD1D) >> 33).unwrap() % bound.max(1)
    };
    let (mut found, mut harmless) = (0, 0);
    for number in 0..changes {
        let file = below(files.len());
        let at = below(used[file]);
        let length = (1 + below(300)).min(used[file] - at);
        let damage = match number % 5 {
            0 => Damage::Flip(file, at, u8::try_from(below(8)).unwrap()),
            1 => Damage::Delete(file, at, length),
            2 => Damage::Insert(file, at, (0..1 + below(200)).map(|_| u8::try_from(below(256)).unwrap()).collect()),
            3 => Damage::Swap(file, at, below(used[file] - length + 1), length),
            _ => Damage::Truncate(file, at),
        };
        let (index, bytes) = damaged(&files, &damage);
        if bytes == files[index].1 {
            continue;
        }
        std::fs::write(&files[index].0, bytes).unwrap();
        let report = verify::verify(&folder, Some(&keys));
        let is_found = report.as_ref().map_or(true, |report| report.torn_bytes > 0 || !report.has_mark);
        // What verify lets pass must change nothing: one of the mark's two copies, or zeros behind the end.
        match FileLog::open(&folder, keys.clone(), options()) {
            // A key of a person that is damaged is met where something is read that it seals.
            Ok((log, _)) if log.read_all(1, usize::MAX).is_err() => assert!(is_found && index + 2 == files.len(), "{damage:?}: not readable, and not found"),
            Ok((log, _)) => {
                assert_eq!(commands(&log), whole, "{damage:?}: applied");
                drop(log);
                harmless += usize::from(!is_found);
                // A key that seals nothing yet, and the head of their file.
                assert!(is_found || index + 2 >= files.len(), "{damage:?}: not found");
            }
            Err(_) => assert!(is_found, "{damage:?}: the start stops, and verify finds nothing"),
        }
        found += usize::from(is_found);
        // The start may have cut or made files: everything is put back.
        std::fs::remove_dir_all(&folder).unwrap();
        std::fs::create_dir_all(&folder).unwrap();
        files.iter().for_each(|(path, bytes)| std::fs::write(path, bytes).unwrap());
    }
    assert!(found > changes / 2, "{found} found, {harmless} harmless");
    std::fs::remove_dir_all(&folder).unwrap();
}

/// A disk whose syncs take long, of segments at least; an operation fails when its turn comes.
struct Slow {
    faulty: Faulty,
    /// Syncs that were made while the writer went on.
    beside: AtomicU64,
}

impl Disk for Slow {
    fn write_at(&self, file: &File, bytes: &[u8], offset: u64) -> io::Result<()> {
        self.faulty.write_at(file, bytes, offset)
    }
    fn sync(&self, file: &File) -> io::Result<()> {
        std::thread::sleep(std::time::Duration::from_micros(700));
        if std::thread::current().name() == Some("journal-sync") {
            self.beside.fetch_add(1, Ordering::SeqCst);
        }
        self.faulty.sync(file)
    }
}

/// Sixteen who send at once, each its next when the one before was answered: what was acknowledged, by its sequence.
fn sixteen(log: &FileLog) -> std::collections::BTreeMap<u64, u64> {
    let acknowledged = Mutex::new(std::collections::BTreeMap::new());
    std::thread::scope(|scope| {
        for sender in 0..16_u64 {
            let acknowledged = &acknowledged;
            scope.spawn(move || {
                for command in (sender * 100)..(sender * 100 + 15) {
                    if let Ok(receipt) = append(log, command, usize::try_from(command % 300).unwrap()) {
                        assert_eq!(acknowledged.lock().unwrap().insert(receipt.first, command), None, "a sequence is given once");
                    }
                }
            });
        }
    });
    acknowledged.into_inner().unwrap()
}

#[test]
fn what_is_sealed_while_a_sync_is_under_way_is_never_acknowledged_with_it() {
    let (folder, keys) = (folder("faults-beside"), Arc::new(KeyRing::ephemeral().unwrap()));
    let (mut beside, mut closed, mut full) = (0, 0, 0);
    for (at, errno) in (0..240).step_by(3).flat_map(|at| [(at, libc::EIO), (at, libc::ENOSPC)]) {
        let what = format!("errno {errno} at {at}");
        let _ = std::fs::remove_dir_all(&folder);
        let faulty = Faulty { at, is_forever: false, errno, count: AtomicU64::new(0), hits: AtomicU64::new(0), failed: Mutex::default() };
        let disk = Arc::new(Slow { faulty, beside: AtomicU64::new(0) });
        let mut acknowledged = std::collections::BTreeMap::new();
        if let Ok((log, _)) = FileLog::open(&folder, keys.clone(), Options { segment_bytes: SEGMENT, disk: disk.clone() }) {
            acknowledged = sixteen(&log);
            let shown: Vec<(u64, u64)> = acknowledged.iter().map(|(sequence, command)| (*command, *sequence)).collect();
            assert_eq!(commands(&log), shown, "{what}: what is acknowledged is shown, and nothing else");
            let is_closed = log.failure().borrow().is_some();
            let failed = disk.faulty.failed.lock().unwrap().unwrap_or_default();
            assert!(!is_closed || errno == libc::EIO || failed.starts_with("sync"), "{what}: a full disk ({failed}) closes nothing");
            closed += u32::from(is_closed);
            full += u32::from(!is_closed && acknowledged.len() < 16 * 15);
        }
        beside += disk.beside.load(Ordering::SeqCst);
        let (log, _) = FileLog::open(&folder, keys.clone(), Options { segment_bytes: SEGMENT, ..Options::default() }).unwrap_or_else(|error| panic!("{what}: {error}"));
        let found: std::collections::BTreeMap<u64, u64> = commands(&log).into_iter().map(|(command, sequence)| (sequence, command)).collect();
        assert!(acknowledged.iter().all(|(sequence, command)| found.get(sequence) == Some(command)), "{what}: acknowledged and not there");
        verify::verify(&folder, Some(&keys)).unwrap_or_else(|error| panic!("{what}: {error}"));
    }
    assert!(beside > 500 && closed > 20 && full > 5, "{beside} syncs beside the writer, {closed} logs closed, {full} that were full");
    let _ = std::fs::remove_dir_all(&folder);
}
