//! The rebuildable store: consumers' cursors, snapshots and rows of projections, each written with the sequence it reflects.
//!
//! **Invariant**: nothing here is ever the only copy; a store that is damaged or will not open is set aside and rebuilt from the log.

use std::collections::BTreeMap;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError, RwLock};

use tokio::sync::watch;

use super::view_seal::{self, ViewSeal};
use super::{JournalError, KeyRing};
use crate::telemetry;

/// Rows that go into one atomic batch; larger ones make sled 0.34 hold on to memory.
const BATCH_ROWS: usize = 64;
/// What is in memory goes to the disk this often: a loss costs a longer replay, a flush costs the log a wait.
const FLUSH_MS: u64 = 3_000;
/// sled's cache in bytes.
const CACHE_BYTES: u64 = 4 << 20;
/// What must fit on the disk before a store that failed is opened again: sled writes half a MiB at once.
const PROBE_BYTES: usize = 1 << 20;

/// A change of rows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Change {
    /// Sets a row.
    Put(String, Vec<u8>),
    /// Removes a row.
    Remove(String),
}

/// Rows by key.
pub trait Views: Send + Sync {
    /// Applies changes in order; the last one of a call carries the cursor, so that a cut batch is seen as not done.
    fn apply(&self, changes: &[Change]) -> Result<(), ViewsError>;
    /// A row.
    fn get(&self, key: &str) -> Result<Option<Vec<u8>>, ViewsError>;
    /// The rows whose keys begin with a prefix, in order, from a key on, at most `limit`.
    fn scan(&self, prefix: &str, from: &str, limit: usize) -> Result<Vec<(String, Vec<u8>)>, ViewsError>;
    /// Hands what is in memory to the system.
    fn flush(&self) -> Result<(), ViewsError>;
}

/// The store of views failed; what it held can be rebuilt.
#[derive(Debug, thiserror::Error)]
#[error("WD-0120 views: {0}: they are opened again, or rebuilt from the journal, as soon as the disk takes writes")]
pub struct ViewsError(String);

impl ViewsError {
    pub(crate) fn new(why: String) -> Self {
        Self(why)
    }
}

/// How a store was opened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ViewsOpened {
    /// As it was.
    Whole,
    /// It was damaged, and now lies under this path; an empty one took its place.
    SetAside(PathBuf),
}

/// sled 0.34.7, used as measurements say: one tree, small batches, no flush on the hot path, opened behind a guard.
/// Every row is sealed under the journal's key ring.
///
/// sled never works again after an error of the disk: then `failed` turns true, and whoever follows the log from a cursor
/// here stops, calls `reopen`, and goes on from what the store says then.
pub struct SledViews {
    directory: PathBuf,
    seal: ViewSeal,
    /// None while it is opened again.
    store: RwLock<Option<Store>>,
    failed: watch::Sender<bool>,
}

/// An open store.
struct Store {
    tree: sled::Db,
    /// The sum of all rows as the store holds it: sled 0.34 opens damaged stores with rows silently missing.
    sum: Mutex<Sum>,
}

impl std::fmt::Debug for SledViews {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("SledViews")
    }
}

impl SledViews {
    /// Opens the store of a directory, or sets it aside and begins an empty one.
    pub fn open(directory: &Path, keys: &Arc<KeyRing>) -> Result<(Self, ViewsOpened), JournalError> {
        let seal = ViewSeal::new(keys.clone())?;
        let (store, opened) = Store::open(directory, &seal)?;
        Ok((Self { directory: directory.to_owned(), seal, store: RwLock::new(Some(store)), failed: watch::Sender::new(false) }, opened))
    }

    /// Becomes true when the store has failed.
    pub fn failed(&self) -> watch::Receiver<bool> {
        self.failed.subscribe()
    }

    /// Opens the store of a disk that takes writes again, as at a start; after an error try again later. A disk that still
    /// fails is no damage of the store: it is set aside only when it can be read and is wrong. Readers wait for nobody: until
    /// it is open again they are told so.
    pub fn reopen(&self) -> Result<ViewsOpened, ViewsError> {
        let new = |error: std::io::Error| ViewsError(error.to_string());
        let probe = self.directory.with_extension("probe");
        let tried = std::fs::File::create(&probe).and_then(|mut file| file.write_all(&vec![0xA5; PROBE_BYTES]).and_then(|()| file.sync_all()));
        let removed = std::fs::remove_file(&probe);
        tried.and(removed).map_err(new)?;
        let old = self.place().take();
        // sled may panic when a store that failed is closed.
        let _ = std::panic::catch_unwind(std::panic::AssertUnwindSafe(move || drop(old)));
        let (store, opened) = match Store::try_open(&self.directory, &self.seal) {
            Ok(store) => (store, ViewsOpened::Whole),
            Err(OpenFault::Disk(why)) => return Err(ViewsError(why)),
            Err(OpenFault::Damaged(_)) => Store::open(&self.directory, &self.seal).map_err(|error| ViewsError(error.to_string()))?,
        };
        *self.place() = Some(store);
        self.failed.send_replace(false);
        Ok(opened)
    }

    fn place(&self) -> std::sync::RwLockWriteGuard<'_, Option<Store>> {
        self.store.write().unwrap_or_else(PoisonError::into_inner)
    }

    /// Does something with the store; an error is noted.
    fn with<T>(&self, work: impl FnOnce(&Store) -> Result<T, ViewsError>) -> Result<T, ViewsError> {
        let place = self.store.read().unwrap_or_else(PoisonError::into_inner);
        let Some(store) = place.as_ref() else { return Err(ViewsError("they are being opened again".to_owned())) };
        let result = work(store);
        if result.is_err() {
            self.failed.send_if_modified(|has_failed| !std::mem::replace(has_failed, true));
        }
        result
    }
}

/// Why a store does not open.
enum OpenFault {
    /// The disk fails: what is on it may be sound.
    Disk(String),
    /// It is not as it was written.
    Damaged(String),
}

impl OpenFault {
    fn words(&self) -> &str {
        let (OpenFault::Disk(words) | OpenFault::Damaged(words)) = self;
        words
    }
}

impl From<sled::Error> for OpenFault {
    fn from(error: sled::Error) -> Self {
        match error {
            sled::Error::Io(error) => Self::Disk(error.to_string()),
            other => Self::Damaged(other.to_string()),
        }
    }
}

impl Store {
    fn open(directory: &Path, seal: &ViewSeal) -> Result<(Self, ViewsOpened), JournalError> {
        match Self::try_open(directory, seal) {
            Ok(store) => Ok((store, ViewsOpened::Whole)),
            Err(why) => {
                let aside = (1..).map(|n| directory.with_extension(format!("damaged-{n}"))).find(|path| !path.exists()).unwrap_or_default();
                telemetry::views_set_aside(why.words());
                std::fs::rename(directory, &aside).map_err(JournalError::io(directory, "set damaged views aside"))?;
                let store = Self::try_open(directory, seal).map_err(|why| JournalError::Io {
                    path: directory.to_owned(),
                    action: "open empty views",
                    source: std::io::Error::other(why.words().to_owned()),
                })?;
                Ok((store, ViewsOpened::SetAside(aside)))
            }
        }
    }

    /// sled 0.34 panics on some damage, so it is opened and read through once where a panic can be caught.
    fn try_open(directory: &Path, seal: &ViewSeal) -> Result<Self, OpenFault> {
        remove_half_snapshots(directory);
        let directory = directory.to_owned();
        let open = std::panic::AssertUnwindSafe(move || {
            let tree = sled::Config::new().path(&directory).cache_capacity(CACHE_BYTES).flush_every_ms(Some(FLUSH_MS)).open()?;
            let (mut sum, mut stored_sum) = (Sum::default(), None);
            for row in tree.iter() {
                let (name, stored) = row?;
                let (_, value) = seal.open(&name, &stored).map_err(|error| OpenFault::Damaged(error.0))?;
                match &*name == SUM.as_bytes() {
                    true => stored_sum = Some(Sum::read(&value)),
                    false => sum.toggle(&name, &stored),
                }
            }
            if stored_sum.unwrap_or_default() != sum {
                return Err(OpenFault::Damaged("rows are missing, or older than others".to_owned()));
            }
            Ok(Self { tree, sum: Mutex::new(sum) })
        });
        std::panic::catch_unwind(open).unwrap_or_else(|_| Err(OpenFault::Damaged("sled panicked while it was opened".to_owned())))
    }
}

/// The row of the sum.
const SUM: &str = "sum";

/// Exclusive or of the checksums of all rows: a row is taken out and put in by the same step. It finds what is missing or
/// old; that nobody changed a row is the seal's business.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
struct Sum(u64);

impl Sum {
    fn read(bytes: &[u8]) -> Self {
        Self(bytes.try_into().map_or(u64::MAX, u64::from_le_bytes))
    }

    fn bytes(self) -> [u8; 8] {
        self.0.to_le_bytes()
    }

    fn toggle(&mut self, name: &[u8], stored: &[u8]) {
        let name = crc32c::crc32c(name);
        self.0 ^= u64::from(crc32c::crc32c_append(name, stored)) << 32 | u64::from(crc32c::crc32c_append(!name, stored));
    }
}

/// A kill while sled writes its snapshot leaves a half file that it later takes for a whole one (spacejam/sled#1527).
fn remove_half_snapshots(directory: &Path) {
    let Ok(entries) = std::fs::read_dir(directory) else { return };
    for path in entries.flatten().map(|entry| entry.path()) {
        let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        if name.starts_with("snap.") && name.ends_with(".generating") {
            // A file that cannot be removed makes the open fail, which sets the directory aside.
            let _ = std::fs::remove_file(&path);
        }
    }
}

/// A call into sled; its panics become errors.
fn guarded<T>(call: impl FnOnce() -> Result<T, sled::Error>) -> Result<T, ViewsError> {
    match std::panic::catch_unwind(std::panic::AssertUnwindSafe(call)) {
        Ok(Ok(value)) => Ok(value),
        Ok(Err(error)) => Err(ViewsError(error.to_string())),
        Err(_) => Err(ViewsError("sled panicked".to_owned())),
    }
}

impl Store {
    /// Takes what a row held out of the sum and puts in what it holds now. `replaced` are the rows of the same batch.
    fn replace(&self, sum: &mut Sum, replaced: &mut BTreeMap<String, Option<Vec<u8>>>, name: String, stored: Option<Vec<u8>>) -> Result<(), ViewsError> {
        let before = match replaced.get(&name) {
            Some(before) => before.clone(),
            None => guarded(|| self.tree.get(&name))?.map(|stored| stored.to_vec()),
        };
        for row in [before.as_deref(), stored.as_deref()].into_iter().flatten() {
            sum.toggle(name.as_bytes(), row);
        }
        replaced.insert(name, stored);
        Ok(())
    }

    fn apply(&self, seal: &ViewSeal, changes: &[Change]) -> Result<(), ViewsError> {
        // One writer at a time: the sum goes with its rows, in the same batch.
        let mut kept = self.sum.lock().unwrap_or_else(PoisonError::into_inner);
        for rows in changes.chunks(BATCH_ROWS) {
            let mut batch = sled::Batch::default();
            let mut sum = *kept;
            let mut replaced: BTreeMap<String, Option<Vec<u8>>> = BTreeMap::new();
            for change in rows {
                match change {
                    Change::Put(key, value) => {
                        let name = seal.name(key);
                        let stored = seal.seal(&name, key, value)?;
                        batch.insert(name.as_bytes(), stored.as_slice());
                        self.replace(&mut sum, &mut replaced, name, Some(stored))?;
                    }
                    Change::Remove(key) => {
                        let name = seal.name(key);
                        batch.remove(name.as_bytes());
                        self.replace(&mut sum, &mut replaced, name, None)?;
                    }
                }
            }
            batch.insert(SUM.as_bytes(), seal.seal(SUM, SUM, &sum.bytes())?);
            guarded(|| self.tree.apply_batch(batch))?;
            *kept = sum;
        }
        Ok(())
    }

    fn scan(&self, seal: &ViewSeal, prefix: &str, from: &str, limit: usize) -> Result<Vec<(String, Vec<u8>)>, ViewsError> {
        // Hidden names have no order of their own: all are read, and the first of the real keys are kept.
        let is_hidden = view_seal::hidden_prefix(prefix).is_some();
        let start = if from > prefix && !is_hidden { from } else { prefix };
        let mut found = BTreeMap::new();
        for row in self.tree.range(start.as_bytes()..) {
            let (name, stored) = guarded(|| row)?;
            if !name.starts_with(prefix.as_bytes()) || (!is_hidden && found.len() >= limit) {
                break;
            }
            let (key, value) = seal.open(&name, &stored)?;
            if key.as_str() >= from && key != SUM {
                found.insert(key, value);
            }
            if found.len() > limit {
                found.pop_last();
            }
        }
        Ok(found.into_iter().collect())
    }
}

impl Views for SledViews {
    fn apply(&self, changes: &[Change]) -> Result<(), ViewsError> {
        self.with(|store| store.apply(&self.seal, changes))
    }

    fn get(&self, key: &str) -> Result<Option<Vec<u8>>, ViewsError> {
        let name = self.seal.name(key);
        let stored = self.with(|store| guarded(|| store.tree.get(&name)))?;
        stored.map(|stored| self.with(|_| self.seal.open(name.as_bytes(), &stored).map(|(_, value)| value))).transpose()
    }

    fn scan(&self, prefix: &str, from: &str, limit: usize) -> Result<Vec<(String, Vec<u8>)>, ViewsError> {
        self.with(|store| store.scan(&self.seal, prefix, from, limit))
    }

    fn flush(&self) -> Result<(), ViewsError> {
        self.with(|store| guarded(|| store.tree.flush()).map(drop))
    }
}

/// Rows in memory, for tests and for tools that read a log without keeping anything.
#[derive(Debug, Default)]
pub struct MemoryViews {
    rows: Mutex<BTreeMap<String, Vec<u8>>>,
}

impl Views for MemoryViews {
    fn apply(&self, changes: &[Change]) -> Result<(), ViewsError> {
        let mut rows = self.rows.lock().unwrap_or_else(PoisonError::into_inner);
        for change in changes {
            match change {
                Change::Put(key, value) => rows.insert(key.clone(), value.clone()),
                Change::Remove(key) => rows.remove(key),
            };
        }
        Ok(())
    }

    fn get(&self, key: &str) -> Result<Option<Vec<u8>>, ViewsError> {
        Ok(self.rows.lock().unwrap_or_else(PoisonError::into_inner).get(key).cloned())
    }

    fn scan(&self, prefix: &str, from: &str, limit: usize) -> Result<Vec<(String, Vec<u8>)>, ViewsError> {
        let rows = self.rows.lock().unwrap_or_else(PoisonError::into_inner);
        let start = if from > prefix { from } else { prefix };
        Ok(rows.range(start.to_owned()..).take_while(|(key, _)| key.starts_with(prefix)).take(limit).map(|(key, value)| (key.clone(), value.clone())).collect())
    }

    fn flush(&self) -> Result<(), ViewsError> {
        Ok(())
    }
}

/// The cursor of a named consumer: the sequence up to which it is done, 0 when it never began.
pub fn cursor(views: &dyn Views, consumer: &str) -> Result<u64, ViewsError> {
    let row = views.get(&format!("cursor/{consumer}"))?;
    Ok(row.and_then(|bytes| bytes.as_slice().try_into().ok()).map_or(0, u64::from_be_bytes))
}

/// The change that moves a consumer's cursor.
pub fn advance(consumer: &str, sequence: u64) -> Change {
    Change::Put(format!("cursor/{consumer}"), sequence.to_be_bytes().to_vec())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn directory(name: &str) -> PathBuf {
        let path = std::env::temp_dir().join(format!("wardd-views-{name}-{}", std::process::id()));
        let _ = std::fs::remove_dir_all(&path);
        path
    }

    fn keys() -> Arc<KeyRing> {
        Arc::new(KeyRing::ephemeral().unwrap())
    }

    #[test]
    fn the_store_names_no_patient_and_another_key_ring_sets_it_aside() {
        let path = directory("sealed");
        let ours = keys();
        let (views, _) = SledViews::open(&path, &ours).unwrap();
        let put = |key: &str| Change::Put(key.to_owned(), b"of patient 000300001".to_vec());
        views.apply(&[put("row/account/acc_000300001"), put("row/account/acc_000300002"), put("row/bed/MED:1")]).unwrap();
        let keys_of = |rows: Vec<(String, Vec<u8>)>| rows.into_iter().map(|(key, _)| key).collect::<Vec<_>>();
        assert_eq!(keys_of(views.scan("row/account/", "", 9).unwrap()), ["row/account/acc_000300001", "row/account/acc_000300002"]);
        assert_eq!(keys_of(views.scan("row/account/", "", 1).unwrap()), ["row/account/acc_000300001"]);
        assert_eq!(keys_of(views.scan("row/account/", "row/account/acc_000300002", 9).unwrap()), ["row/account/acc_000300002"]);
        views.apply(&[Change::Remove("row/account/acc_000300002".into())]).unwrap();
        assert_eq!(views.get("row/account/acc_000300002").unwrap(), None);
        assert_eq!(views.get("row/account/acc_000300001").unwrap().unwrap(), b"of patient 000300001");
        views.flush().unwrap();
        drop(views);
        for entry in std::fs::read_dir(&path).unwrap().flatten().filter(|entry| entry.path().is_file()) {
            let bytes = std::fs::read(entry.path()).unwrap();
            assert!(memchr::memmem::find(&bytes, b"000300001").is_none(), "{}", entry.path().display());
        }
        let (views, opened) = SledViews::open(&path, &keys()).unwrap();
        let ViewsOpened::SetAside(aside) = opened else { panic!("{opened:?}") };
        drop(views);
        std::fs::remove_dir_all(&path).unwrap();
        std::fs::remove_dir_all(&aside).unwrap();
    }

    /// All files of a store.
    fn files(path: &Path) -> Vec<(PathBuf, Vec<u8>)> {
        let mut found = Vec::new();
        for entry in std::fs::read_dir(path).unwrap().flatten() {
            match entry.path().is_dir() {
                true => found.extend(files(&entry.path())),
                false => found.push((entry.path(), std::fs::read(entry.path()).unwrap())),
            }
        }
        found
    }

    #[test]
    fn a_thousand_damages_are_found_or_harmless() {
        let count: usize = std::env::var("WARDD_DAMAGES").ok().and_then(|text| text.parse().ok()).unwrap_or(1_000);
        let (path, keys) = (directory("thousand"), keys());
        let rows = |views: &SledViews| -> Vec<(String, Vec<u8>)> { views.scan("", "", usize::MAX).unwrap() };
        // A consumer: it follows a log of twelve rounds from its cursor on.
        let follow = |views: &SledViews| {
            for round in cursor(views, "projection").unwrap()..12 {
                let put = |row: u64| Change::Put(format!("row/specimen/{row:04}"), vec![u8::try_from(round).unwrap(); 60]);
                let mut changes: Vec<Change> = (0..120).map(|row| put(row * round % 131)).collect();
                changes.push(Change::Remove(format!("row/specimen/{:04}", round * 3)));
                changes.push(advance("projection", round + 1));
                views.apply(&changes).unwrap();
                views.flush().unwrap();
            }
            rows(views)
        };
        let whole = follow(&SledViews::open(&path, &keys).unwrap().0);
        assert!(whole.len() > 100);
        let saved = files(&path);
        let mut state = 0x1234_5678_9ABC_DEF1_u64;
        let mut below = |bound: usize| {
            state ^= state >> 12;
            state ^= state << 25;
            state ^= state >> 27;
            usize::try_from(state.wrapping_mul(0x2545_F491_4F6C_DD1D) >> 33).unwrap() % bound.max(1)
        };
        let (mut aside_count, mut harmless) = (0, 0);
        for number in 0..count {
            let (file, bytes) = &saved[below(saved.len())];
            let mut bytes = bytes.clone();
            let at = below(bytes.len());
            match number % 4 {
                0 => bytes.iter_mut().skip(at).take(1).for_each(|byte| *byte ^= 1 << (number % 8)),
                1 => bytes.iter_mut().skip(at / 512 * 512).take(512).for_each(|byte| *byte = 0),
                2 => bytes.truncate(at),
                _ => bytes.iter_mut().skip(at).take(40).for_each(|byte| *byte = 0xA5),
            }
            std::fs::write(file, bytes).unwrap();
            let (views, opened) = SledViews::open(&path, &keys).unwrap();
            match &opened {
                ViewsOpened::Whole => harmless += 1,
                ViewsOpened::SetAside(_) => aside_count += 1,
            }
            // It may be an older state; then its cursor is older too, and the consumer makes it whole.
            assert!(follow(&views) == whole, "damage {number} at {at} of {} ({opened:?}): rows are missing, and nobody says so", file.display());
            drop(views);
            if let ViewsOpened::SetAside(aside) = opened {
                std::fs::remove_dir_all(aside).unwrap();
            }
            std::fs::remove_dir_all(&path).unwrap();
            for (file, bytes) in &saved {
                std::fs::create_dir_all(file.parent().unwrap()).unwrap();
                std::fs::write(file, bytes).unwrap();
            }
        }
        assert!(aside_count > 0 && harmless > 0, "{aside_count} set aside, {harmless} harmless");
        std::fs::remove_dir_all(&path).unwrap();
    }

    fn conformance(views: &dyn Views) {
        let put = |key: &str, value: &str| Change::Put(key.to_owned(), value.as_bytes().to_vec());
        let many: Vec<Change> = (0..200).map(|n| put(&format!("row/{n:03}"), "x")).collect();
        views.apply(&many).unwrap();
        views.apply(&[put("s/a", "1"), put("s/b", "2"), Change::Remove("row/007".into()), advance("billing", 17)]).unwrap();
        assert_eq!(views.scan("row/", "", 1_000).unwrap().len(), 199);
        assert_eq!(views.scan("row/", "row/190", 3).unwrap()[0].0, "row/190");
        assert_eq!(views.get("s/b").unwrap().unwrap(), b"2");
        assert_eq!((cursor(views, "billing").unwrap(), cursor(views, "other").unwrap()), (17, 0));
    }

    #[test]
    fn both_stores_conform() {
        conformance(&MemoryViews::default());
        let path = directory("conform");
        let keys = keys();
        let (views, opened) = SledViews::open(&path, &keys).unwrap();
        assert_eq!(opened, ViewsOpened::Whole);
        conformance(&views);
        drop(views);
        let (views, opened) = SledViews::open(&path, &keys).unwrap();
        assert_eq!(opened, ViewsOpened::Whole);
        assert_eq!(cursor(&views, "billing").unwrap(), 17, "kept over a clean stop");
        drop(views);
        std::fs::remove_dir_all(&path).unwrap();
    }

    #[test]
    fn a_store_that_failed_says_so_and_is_opened_again_with_what_it_had() {
        let path = directory("failed");
        let (views, _) = SledViews::open(&path, &keys()).unwrap();
        views.apply(&[Change::Put("row/a".into(), b"1".to_vec()), advance("billing", 17)]).unwrap();
        let failed = views.failed();
        assert!(!*failed.borrow());
        // A row that is no row of ours.
        views.with(|store| guarded(|| store.tree.insert("row/b", b"rubbish"))).unwrap();
        assert!(views.get("row/b").is_err() && *failed.borrow());
        let ViewsOpened::SetAside(aside) = views.reopen().unwrap() else { panic!("rubbish was taken for a row") };
        assert!(!*failed.borrow());
        assert_eq!((views.get("row/b").unwrap(), cursor(&views, "billing").unwrap()), (None, 0), "an empty one: all is rebuilt");
        views.apply(&[advance("billing", 18)]).unwrap();
        views.reopen().unwrap();
        assert_eq!(cursor(&views, "billing").unwrap(), 18);
        drop(views);
        std::fs::remove_dir_all(&path).unwrap();
        std::fs::remove_dir_all(&aside).unwrap();
    }

    #[test]
    fn a_damaged_store_is_set_aside_and_an_empty_one_takes_its_place() {
        let path = directory("damaged");
        let keys = keys();
        drop(SledViews::open(&path, &keys).unwrap());
        std::fs::write(path.join("conf"), b"not a configuration").unwrap();
        std::fs::write(path.join("snap.00000000000000ff.generating"), b"half").unwrap();
        let (views, opened) = SledViews::open(&path, &keys).unwrap();
        let ViewsOpened::SetAside(aside) = opened else { panic!("{opened:?}") };
        assert!(aside.join("conf").exists(), "kept for whoever wants to know");
        conformance(&views);
        drop(views);
        std::fs::remove_dir_all(&path).unwrap();
        std::fs::remove_dir_all(&aside).unwrap();
    }
}
