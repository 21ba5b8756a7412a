//! Old segments on another, slower path: each full segment moves as a whole and leaves a link, so that the log stays whole.
//!
//! wardd deletes nothing by itself: a stream is folded from its first event, and records of care are kept for years
//! (45 CFR 164.316: six). What retention may take away is a matter of the archive's disk and of two persons.
//! **Invariant**: at any moment the name in the journal leads to the whole segment: the file, or the link to its durable copy.

use std::io;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

use super::backup::{BackupError, make_private, place};
use super::record::Kind;
use super::segment;
use super::{Disk, JournalError, RealDisk};
use crate::kernel::Timestamp;

/// What was moved.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Archived {
    /// The segments, as they are named in the archive.
    pub segments: Vec<PathBuf>,
    /// Their bytes.
    pub bytes: u64,
}

/// Moves the full segments whose last event is older than `before` into `to`. wardd may run meanwhile: it reads on from the
/// files that it has open.
pub fn archive(journal: &Path, to: &Path, before: Timestamp) -> Result<Archived, BackupError> {
    let to = std::path::absolute(to).map_err(JournalError::io(to, "find"))?;
    make_private(&to)?;
    let mut archived = Archived::default();
    let segments = segment::list(journal)?;
    // The last one is written, or will be.
    for (first, path) in segments.iter().take(segments.len().saturating_sub(1)) {
        if path.is_symlink() {
            continue;
        }
        let bytes = segment::load(path)?;
        if !is_full_and_older(&bytes, before) {
            break;
        }
        let target = segment::path(&to, *first);
        if target.exists() && segment::load(&target)? != bytes {
            return Err(BackupError::Another(to));
        }
        place(&target, &bytes)?;
        RealDisk.sync_directory(&to).map_err(JournalError::io(&to, "sync directory"))?;
        if segment::load(&target)? != bytes {
            return Err(JournalError::io(&target, "read back what was archived")(io::ErrorKind::InvalidData.into()).into());
        }
        link(path, &target).map_err(JournalError::io(path, "replace by a link"))?;
        RealDisk.sync_directory(journal).map_err(JournalError::io(journal, "sync directory"))?;
        archived.bytes += bytes.len() as u64;
        archived.segments.push(target);
    }
    Ok(archived)
}

/// Whether a segment is closed by its footer and all of its events are older.
fn is_full_and_older(bytes: &[u8], before: Timestamp) -> bool {
    let records = segment::walk(bytes).records;
    let is_full = records.last().is_some_and(|(_, record)| record.kind == Kind::Footer);
    is_full && records.iter().all(|(_, record)| record.kind == Kind::Footer || record.recorded < before.micros())
}

/// Puts a link in the place of a file, in one step.
fn link(path: &Path, target: &Path) -> io::Result<()> {
    let temporary = path.with_extension("archiving");
    if temporary.is_symlink() {
        RealDisk.remove(&temporary)?;
    }
    symlink(target, &temporary)?;
    RealDisk.rename(&temporary, path)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::super::backup::tests::{Place, fill, payloads};
    use super::super::{FileLog, KeyRing, Log, Options, backup, verify};
    use super::*;

    fn open(path: &Path, keys: &Arc<KeyRing>) -> Result<FileLog, JournalError> {
        FileLog::open(path, keys.clone(), Options { segment_bytes: 16 << 10, ..Options::default() }).map(|(log, _)| log)
    }

    #[test]
    fn a_log_with_archived_segments_is_whole_and_one_whose_archive_is_gone_does_not_start() {
        let (place, keys) = (Place::new(), Arc::new(KeyRing::ephemeral().unwrap()));
        let (journal, old) = (place.join("journal"), place.join("old"));
        let log = open(&journal, &keys).unwrap();
        fill(&log, 300);
        let before = payloads(&log);
        // The events of this test are of 1970.
        let later = Timestamp::from_micros(1_000_000);
        assert_eq!(archive(&journal, &old, Timestamp::from_micros(1)).unwrap(), Archived::default(), "none is older");
        let archived = archive(&journal, &old, later).unwrap();
        let count = segment::list(&journal).unwrap().len();
        assert!(count > 3 && archived.segments.len() == count - 1, "all but the one that is written: {archived:?}");
        assert_eq!(payloads(&log), before, "while it is open");
        fill(&log, 300);
        let before = payloads(&log);
        drop(log);
        assert!(archive(&journal, &old, later).unwrap().segments.len() > 3, "what has become full since");
        let log = open(&journal, &keys).unwrap();
        assert_eq!((payloads(&log), log.head()), (before, 600));
        drop(log);
        assert_eq!(verify::verify(&journal, Some(&keys)).unwrap().events, 600);
        // A backup holds the archived segments too.
        assert_eq!(backup::backup(&journal, &place.join("copy"), Some(&keys)).unwrap().events, 600);
        assert!(segment::list(&place.join("copy")).unwrap().iter().all(|(_, path)| !path.is_symlink()));
        std::fs::remove_file(&archived.segments[1]).unwrap();
        let error = open(&journal, &keys).unwrap_err().to_string();
        assert!(error.contains("read segment") && error.contains("wlog"), "{error}");
    }

    #[test]
    fn an_archive_of_another_log_is_refused_and_a_step_that_was_cut_is_taken_again() {
        let (place, keys) = (Place::new(), Arc::new(KeyRing::ephemeral().unwrap()));
        let journal = place.join("journal");
        fill(&open(&journal, &keys).unwrap(), 300);
        let later = Timestamp::from_micros(1_000_000);
        let (first, path) = segment::list(&journal).unwrap().remove(0);
        std::fs::create_dir_all(place.join("old")).unwrap();
        std::fs::write(segment::path(&place.join("old"), first), b"another").unwrap();
        assert!(matches!(archive(&journal, &place.join("old"), later), Err(BackupError::Another(_))));
        // Cut between the link and its renaming.
        symlink("/nowhere", path.with_extension("archiving")).unwrap();
        assert!(!archive(&journal, &place.join("new"), later).unwrap().segments.is_empty());
        assert_eq!(verify::verify(&journal, Some(&keys)).unwrap().events, 300);
    }
}
