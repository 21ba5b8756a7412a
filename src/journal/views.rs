//! The rebuildable store: consumers' cursors, snapshots and rows of projections, each written with the sequence it reflects.
//!
//! **Invariant**: nothing here is ever the only copy; a store that is damaged or will not open is set aside and rebuilt from the log.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use super::JournalError;
use crate::telemetry;

/// Rows that go into one atomic batch; larger ones make sled 0.34 hold on to memory.
const BATCH_ROWS: usize = 64;
/// sled's cache in bytes.
const CACHE_BYTES: u64 = 16 << 20;

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
#[error("WD-0120 views: {0}: stop wardd and delete the `views` directory; it is rebuilt from the journal")]
pub struct ViewsError(String);

/// How a store was opened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ViewsOpened {
    /// As it was.
    Whole,
    /// It was damaged, and now lies under this path; an empty one took its place.
    SetAside(PathBuf),
}

/// sled 0.34.7, used as measurements say: one tree, small batches, no flush on the hot path, opened behind a guard.
pub struct SledViews {
    tree: sled::Db,
}

impl std::fmt::Debug for SledViews {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("SledViews")
    }
}

impl SledViews {
    /// Opens the store of a directory, or sets it aside and begins an empty one.
    pub fn open(directory: &Path) -> Result<(Self, ViewsOpened), JournalError> {
        match Self::try_open(directory) {
            Ok(views) => Ok((views, ViewsOpened::Whole)),
            Err(why) => {
                let aside = (1..).map(|n| directory.with_extension(format!("damaged-{n}"))).find(|path| !path.exists()).unwrap_or_default();
                telemetry::views_set_aside(&why);
                std::fs::rename(directory, &aside).map_err(JournalError::io(directory, "set damaged views aside"))?;
                let views =
                    Self::try_open(directory).map_err(|why| JournalError::Io { path: directory.to_owned(), action: "open empty views", source: std::io::Error::other(why) })?;
                Ok((views, ViewsOpened::SetAside(aside)))
            }
        }
    }

    /// sled 0.34 panics on some damage, so it is opened and read through once where a panic can be caught.
    fn try_open(directory: &Path) -> Result<Self, String> {
        remove_half_snapshots(directory);
        let directory = directory.to_owned();
        let opened = std::panic::catch_unwind(move || {
            let tree = sled::Config::new().path(&directory).cache_capacity(CACHE_BYTES).open().map_err(|error| error.to_string())?;
            for row in tree.iter() {
                row.map_err(|error| error.to_string())?;
            }
            Ok(Self { tree })
        });
        opened.unwrap_or_else(|_| Err("sled panicked while it was opened".to_owned()))
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

impl Views for SledViews {
    fn apply(&self, changes: &[Change]) -> Result<(), ViewsError> {
        for rows in changes.chunks(BATCH_ROWS) {
            let mut batch = sled::Batch::default();
            for change in rows {
                match change {
                    Change::Put(key, value) => batch.insert(key.as_bytes(), value.as_slice()),
                    Change::Remove(key) => batch.remove(key.as_bytes()),
                }
            }
            guarded(|| self.tree.apply_batch(batch))?;
        }
        Ok(())
    }

    fn get(&self, key: &str) -> Result<Option<Vec<u8>>, ViewsError> {
        guarded(|| self.tree.get(key)).map(|row| row.map(|value| value.to_vec()))
    }

    fn scan(&self, prefix: &str, from: &str, limit: usize) -> Result<Vec<(String, Vec<u8>)>, ViewsError> {
        let start = if from > prefix { from } else { prefix };
        guarded(|| {
            self.tree
                .range(start.as_bytes()..)
                .take_while(|row| row.as_ref().map_or(true, |(key, _)| key.starts_with(prefix.as_bytes())))
                .take(limit)
                .map(|row| row.map(|(key, value)| (String::from_utf8_lossy(&key).into_owned(), value.to_vec())))
                .collect()
        })
    }

    fn flush(&self) -> Result<(), ViewsError> {
        guarded(|| self.tree.flush()).map(drop)
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
        let (views, opened) = SledViews::open(&path).unwrap();
        assert_eq!(opened, ViewsOpened::Whole);
        conformance(&views);
        drop(views);
        let (views, _) = SledViews::open(&path).unwrap();
        assert_eq!(cursor(&views, "billing").unwrap(), 17, "kept over a clean stop");
        drop(views);
        std::fs::remove_dir_all(&path).unwrap();
    }

    #[test]
    fn a_damaged_store_is_set_aside_and_an_empty_one_takes_its_place() {
        let path = directory("damaged");
        drop(SledViews::open(&path).unwrap());
        std::fs::write(path.join("conf"), b"not a configuration").unwrap();
        std::fs::write(path.join("snap.00000000000000ff.generating"), b"half").unwrap();
        let (views, opened) = SledViews::open(&path).unwrap();
        let ViewsOpened::SetAside(aside) = opened else { panic!("{opened:?}") };
        assert!(aside.join("conf").exists(), "kept for whoever wants to know");
        conformance(&views);
        drop(views);
        std::fs::remove_dir_all(&path).unwrap();
        std::fs::remove_dir_all(&aside).unwrap();
    }
}
