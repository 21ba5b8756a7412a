//! Power losses: everything that the log does to the disk is recorded, and images of what a disk may hold after a loss at
//! any moment are opened. Whatever was acknowledged before it must be there, once, and the log must open and go on.
//!
//! Three models of a disk: only what was synced is there; of what was not, a beginning in whole sectors; any of its sectors.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::os::unix::fs::MetadataExt;
use std::sync::Mutex;

use super::*;
use crate::journal::{Expected, KeyRing, NewEvent, Pace, RealDisk};
use crate::kernel::{CommandId, Principal, StreamId, StreamKind, Timestamp};

const SECTOR: usize = 512;
const SEGMENT: u64 = 16 << 10;
/// Commands of one run; large enough for several segments.
const COMMANDS: u64 = 260;

/// One thing that was done, in the order in which it was.
#[derive(Debug, Clone)]
enum Step {
    Create {
        file: u64,
        name: String,
    },
    Fill {
        file: u64,
        name: String,
        size: u64,
    },
    Write {
        file: u64,
        offset: u64,
        bytes: Vec<u8>,
    },
    Length {
        file: u64,
        length: u64,
    },
    Sync {
        file: u64,
    },
    Rename {
        from: String,
        to: String,
    },
    Remove {
        name: String,
    },
    SyncNames,
    /// The command of this number was acknowledged with this first sequence.
    Acknowledged {
        command: u64,
        first: u64,
    },
}

/// A disk that notes what is done to it. Files are known by their inode.
#[derive(Default)]
struct Recorder(Mutex<Vec<Step>>);

impl Recorder {
    fn note(&self, step: Step) {
        self.0.lock().unwrap().push(step);
    }
}

fn inode(file: &File) -> u64 {
    file.metadata().unwrap().ino()
}

fn name(path: &Path) -> String {
    path.file_name().unwrap().to_str().unwrap().to_owned()
}

impl Disk for Recorder {
    fn create(&self, path: &Path) -> io::Result<File> {
        let file = RealDisk.create(path)?;
        self.note(Step::Create { file: inode(&file), name: name(path) });
        Ok(file)
    }
    fn fill(&self, path: &Path, size: u64, pace: Pace<'_>) -> io::Result<()> {
        // In one step with what comes after: the helper's thread and the writer's do not touch the same file.
        let mut steps = self.0.lock().unwrap();
        RealDisk.fill(path, size, pace)?;
        steps.push(Step::Fill { file: std::fs::metadata(path)?.ino(), name: name(path), size });
        Ok(())
    }
    fn write_at(&self, file: &File, bytes: &[u8], offset: u64) -> io::Result<()> {
        self.note(Step::Write { file: inode(file), offset, bytes: bytes.to_vec() });
        RealDisk.write_at(file, bytes, offset)
    }
    fn set_length(&self, file: &File, length: u64) -> io::Result<()> {
        self.note(Step::Length { file: inode(file), length });
        RealDisk.set_length(file, length)
    }
    fn sync(&self, file: &File) -> io::Result<()> {
        self.note(Step::Sync { file: inode(file) });
        RealDisk.sync(file)
    }
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.note(Step::Rename { from: name(from), to: name(to) });
        RealDisk.rename(from, to)
    }
    fn remove(&self, path: &Path) -> io::Result<()> {
        self.note(Step::Remove { name: name(path) });
        RealDisk.remove(path)
    }
    fn sync_directory(&self, path: &Path) -> io::Result<()> {
        self.note(Step::SyncNames);
        RealDisk.sync_directory(path)
    }
}

/// The numbers of a seed (xorshift64*): which moment, which sectors.
struct Numbers(u64);

impl Numbers {
    fn below(&mut self, bound: usize) -> usize {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        usize::try_from(self.0.wrapping_mul(0x2545_F491_4F6C_DD1D) >> 33).unwrap() % bound.max(1)
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Model {
    OnlySynced,
    Torn,
    Reordered,
}

/// A change of a file that is not synced yet.
#[derive(Debug, Clone)]
enum Change {
    Write(usize, Vec<u8>),
    Length(usize),
}

#[derive(Debug, Clone, Default)]
struct Content {
    durable: Vec<u8>,
    pending: Vec<Change>,
}

fn write(bytes: &mut Vec<u8>, offset: usize, piece: &[u8]) {
    if bytes.len() < offset + piece.len() {
        bytes.resize(offset + piece.len(), 0);
    }
    bytes[offset..offset + piece.len()].copy_from_slice(piece);
}

impl Content {
    fn settle(&mut self) {
        for change in std::mem::take(&mut self.pending) {
            match change {
                Change::Write(offset, piece) => write(&mut self.durable, offset, &piece),
                Change::Length(length) => self.durable.resize(length, 0),
            }
        }
    }

    /// What the disk may hold.
    fn after_loss(&self, model: Model, numbers: &mut Numbers) -> Vec<u8> {
        let mut bytes = self.durable.clone();
        match model {
            Model::OnlySynced => {}
            Model::Torn => {
                let whole = numbers.below(self.pending.len() + 1);
                for (index, change) in self.pending.iter().take(whole + 1).enumerate() {
                    match change {
                        Change::Write(offset, piece) if index < whole => write(&mut bytes, *offset, piece),
                        Change::Write(offset, piece) => {
                            // Sectors are those of the file, not of the write.
                            let end = (offset + numbers.below(piece.len() + 1)) / SECTOR * SECTOR;
                            write(&mut bytes, *offset, &piece[..end.saturating_sub(*offset).min(piece.len())]);
                        }
                        Change::Length(length) if index < whole => bytes.resize(*length, 0),
                        Change::Length(_) => {}
                    }
                }
            }
            Model::Reordered => {
                for change in &self.pending {
                    match change {
                        Change::Write(offset, piece) => {
                            let mut at = 0;
                            while at < piece.len() {
                                let next = ((offset + at) / SECTOR + 1) * SECTOR - offset;
                                let end = next.min(piece.len());
                                if numbers.below(2) == 0 {
                                    write(&mut bytes, offset + at, &piece[at..end]);
                                }
                                at = end;
                            }
                        }
                        Change::Length(length) if numbers.below(2) == 0 => bytes.resize(*length, 0),
                        Change::Length(_) => {}
                    }
                }
            }
        }
        bytes
    }
}

#[derive(Debug, Clone)]
enum NameChange {
    Set(String, u64),
    Rename(String, String),
    Remove(String),
}

/// The disk as it is replayed.
#[derive(Debug, Clone, Default)]
struct Image {
    files: BTreeMap<u64, Content>,
    names: BTreeMap<String, u64>,
    pending_names: Vec<NameChange>,
    acknowledged: BTreeMap<u64, u64>,
}

fn rename(names: &mut BTreeMap<String, u64>, change: &NameChange) {
    match change {
        NameChange::Set(name, file) => drop(names.insert(name.clone(), *file)),
        NameChange::Rename(from, to) => {
            if let Some(file) = names.remove(from) {
                names.insert(to.clone(), file);
            }
        }
        NameChange::Remove(name) => drop(names.remove(name)),
    }
}

impl Image {
    fn replay(&mut self, step: &Step) {
        let offset = |offset: u64| usize::try_from(offset).unwrap();
        match step {
            Step::Create { file, name } => {
                self.files.entry(*file).or_default();
                self.pending_names.push(NameChange::Set(name.clone(), *file));
            }
            Step::Fill { file, name, size } => {
                self.files.insert(*file, Content { durable: vec![0; offset(*size)], pending: Vec::new() });
                self.pending_names.push(NameChange::Set(name.clone(), *file));
            }
            Step::Write { file, offset: at, bytes } => self.files.get_mut(file).unwrap().pending.push(Change::Write(offset(*at), bytes.clone())),
            Step::Length { file, length } => self.files.get_mut(file).unwrap().pending.push(Change::Length(offset(*length))),
            Step::Sync { file } => self.files.get_mut(file).unwrap().settle(),
            Step::Rename { from, to } => self.pending_names.push(NameChange::Rename(from.clone(), to.clone())),
            Step::Remove { name } => self.pending_names.push(NameChange::Remove(name.clone())),
            Step::SyncNames => {
                for change in std::mem::take(&mut self.pending_names) {
                    rename(&mut self.names, &change);
                }
            }
            Step::Acknowledged { command, first } => drop(self.acknowledged.insert(*command, *first)),
        }
    }

    /// Writes what the disk may hold after a loss now.
    fn write(&self, folder: &Path, model: Model, numbers: &mut Numbers) {
        let mut names = self.names.clone();
        let kept = if model == Model::OnlySynced { 0 } else { numbers.below(self.pending_names.len() + 1) };
        self.pending_names.iter().take(kept).for_each(|change| rename(&mut names, change));
        std::fs::create_dir_all(folder).unwrap();
        for (name, file) in names {
            std::fs::write(folder.join(name), self.files[&file].after_loss(model, numbers)).unwrap();
        }
    }
}

fn batch(command: u64, size: usize) -> Batch {
    let id = CommandId::from_bytes([1; 16]);
    let meta = Meta {
        command: id,
        principal: Principal::System("test".into()),
        witness: None,
        place: None,
        correlation: id,
        causation: None,
        device_time: None,
        received: Timestamp::from_micros(1),
        recorded: Timestamp::from_micros(2),
        request: None,
    };
    let stream = StreamId::new(StreamKind::Specimen, format!("S{}", command % 7));
    let event = NewEvent::new(stream.clone(), "Noted", 1, &format!("{command}:{}", "x".repeat(size))).unwrap().sealed(crate::journal::personal::tests::whose(command));
    Batch { expected: vec![(stream, Expected::Any)], meta: Arc::new(meta), events: vec![event] }
}

/// Runs a log on a recorded disk: commands come alone and in crowds, as they do in a ward.
fn record(folder: &Path, keys: &Arc<KeyRing>, seed: u64) -> Vec<Step> {
    let disk = Arc::new(Recorder::default());
    let mut numbers = Numbers(seed);
    {
        let options = Options { segment_bytes: SEGMENT, disk: disk.clone() };
        let (log, _) = FileLog::open(folder, keys.clone(), options).unwrap();
        let mut command = 0;
        while command < COMMANDS {
            let crowd = 1 + numbers.below(12) as u64;
            let (sender, receiver) = std::sync::mpsc::channel();
            for _ in 0..crowd {
                let (number, disk, sender) = (command, disk.clone(), sender.clone());
                let done: Completion = Box::new(move |result| {
                    disk.note(Step::Acknowledged { command: number, first: result.unwrap().first });
                    sender.send(()).unwrap();
                });
                log.append(batch(command, numbers.below(900)), done);
                command += 1;
            }
            (0..crowd).for_each(|_| receiver.recv().unwrap());
        }
    }
    std::mem::take(&mut *disk.0.lock().unwrap())
}

/// Opens an image and holds it against what was acknowledged.
fn check(folder: &Path, keys: &Arc<KeyRing>, image: &Image, submitted: u64) -> Result<(), String> {
    let options = || Options { segment_bytes: SEGMENT, ..Options::default() };
    let (log, _) = FileLog::open(folder, keys.clone(), options()).map_err(|error| format!("it does not open: {error}"))?;
    let mut found = BTreeMap::new();
    for batch in log.read_all(1, usize::MAX).map_err(|error| error.to_string())? {
        for event in &batch.events {
            let text: String = serde_json::from_str(event.event.payload.get()).unwrap();
            let command: u64 = text.split(':').next().unwrap().parse().unwrap();
            if command >= submitted || found.insert(command, event.sequence).is_some() {
                return Err(format!("command {command} is there twice, or was never asked for"));
            }
        }
    }
    let lost: BTreeSet<u64> = image.acknowledged.iter().filter(|(command, first)| found.get(command) != Some(first)).map(|(command, _)| *command).collect();
    if !lost.is_empty() {
        return Err(format!("{} acknowledged commands are lost or moved: {lost:?}", lost.len()));
    }
    // It goes on: one more is taken, and is there after another start.
    let (sender, receiver) = std::sync::mpsc::channel();
    log.append(batch(submitted + 1, 10), Box::new(move |result| sender.send(result).unwrap()));
    let receipt = receiver.recv().unwrap().map_err(|error| error.to_string())?;
    drop(log);
    let (log, _) = FileLog::open(folder, keys.clone(), options()).map_err(|error| format!("it does not open again: {error}"))?;
    if log.head() != receipt.last {
        return Err(format!("it ends with {} and not with {}", log.head(), receipt.last));
    }
    Ok(())
}

/// Images of each model; more by WARDD_IMAGES.
fn images() -> usize {
    std::env::var("WARDD_IMAGES").ok().and_then(|text| text.parse().ok()).unwrap_or(1_000)
}

#[test]
fn after_a_loss_of_power_at_any_moment_what_was_acknowledged_is_there_once() {
    const RUNS: usize = 5;
    let root = std::env::temp_dir().join(format!("wardd-crash-{}", std::process::id()));
    let _ = std::fs::remove_dir_all(&root);
    let mut opened = 0;
    for run in 0..RUNS {
        let keys = Arc::new(KeyRing::ephemeral().unwrap());
        let seed = 0x5EED + run as u64;
        let steps = record(&root.join("recorded"), &keys, seed);
        std::fs::remove_dir_all(root.join("recorded")).unwrap();
        // A log that was never open is not lost; everything after that is a moment.
        let mut numbers = Numbers(seed ^ 0xFFFF);
        let mut moments: Vec<usize> = (0..images() / RUNS).map(|_| 1 + numbers.below(steps.len())).collect();
        moments.sort_unstable();
        let (mut image, mut at) = (Image::default(), 0);
        for moment in moments {
            steps[at..moment].iter().for_each(|step| image.replay(step));
            at = moment;
            for model in [Model::OnlySynced, Model::Torn, Model::Reordered] {
                let folder = root.join("image");
                image.write(&folder, model, &mut numbers);
                let result = check(&folder, &keys, &image, COMMANDS + 16);
                assert!(result.is_ok(), "run {run}, moment {moment} of {}, {model:?}: {} (kept in {})", steps.len(), result.unwrap_err(), folder.display());
                std::fs::remove_dir_all(&folder).unwrap();
                opened += 1;
            }
        }
    }
    std::fs::remove_dir_all(&root).unwrap();
    assert!(opened >= images() / RUNS * RUNS * 3);
}

#[test]
fn a_disk_that_lies_is_found_out() {
    // The harness discriminates: when syncs do nothing, acknowledged commands are lost, and it says so.
    let root = std::env::temp_dir().join(format!("wardd-crash-lie-{}", std::process::id()));
    let _ = std::fs::remove_dir_all(&root);
    let keys = Arc::new(KeyRing::ephemeral().unwrap());
    let steps = record(&root.join("recorded"), &keys, 77);
    let mut image = Image::default();
    // The files of the segments lose their syncs behind the first hundred steps.
    steps.iter().enumerate().filter(|(index, step)| *index < 100 || !matches!(step, Step::Sync { .. })).for_each(|(_, step)| image.replay(step));
    let folder = root.join("image");
    image.write(&folder, Model::OnlySynced, &mut Numbers(1));
    let result = check(&folder, &keys, &image, COMMANDS + 16);
    assert!(result.is_err());
    std::fs::remove_dir_all(&root).unwrap();
}

#[test]
fn numbers_cover_their_range() {
    let mut numbers = Numbers(9);
    let seen: BTreeSet<usize> = (0..1_000).map(|_| numbers.below(7)).collect();
    assert_eq!(seen.len(), 7);
}
