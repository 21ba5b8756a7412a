//! Copies of the log: a backup is itself a journal directory, consistent at a sequence, made while wardd runs.
//!
//! Full segments never change and are copied once; of the segment that is written, the durable part is copied.
//! **Invariant**: a copy is verified before it counts, and no copy ever replaces a journal that holds something.

use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};

use super::high_water::{HighWater, Mark};
use super::record::{Chain, Kind};
use super::segment::{self, SegmentHeader};
use super::verify::{self, Damage, Report};
use super::{Disk, JournalError, KeyRing, RealDisk, heads, high_water, personal};

/// What a copy holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Copied {
    /// The last event in it.
    pub events: u64,
    /// The chain value of the last record, in hexadecimal: the same in the copy and in what it was made of.
    pub head: String,
    /// Segments in it.
    pub segments: usize,
    /// Bytes that were copied this time.
    pub bytes: u64,
}

impl Copied {
    fn of(report: &Report, bytes: u64) -> Self {
        Self { events: report.events, head: report.head.clone(), segments: report.segments, bytes }
    }
}

/// Why there is no copy.
#[derive(Debug, thiserror::Error)]
pub enum BackupError {
    /// The log, or the copy, cannot be read or written.
    #[error("{0}")]
    Journal(#[from] JournalError),
    /// The copy is damaged.
    #[error("{0}")]
    Damaged(#[from] Damage),
    /// There is nothing to copy.
    #[error("WD-0130 {0}: there is no journal with events in it: name the data directory of a wardd that has run")]
    Nothing(PathBuf),
    /// The target holds another log.
    #[error("WD-0131 {0} holds a backup of another journal: name an empty folder, or the one of this journal")]
    Another(PathBuf),
    /// Log and mirror are not the same log.
    #[error(
        "WD-0133 {mirror}: the mirror differs from the journal in the segment of event {first}: find out which of them is right (`wardctl journal verify` both), and move the other one away; it is made anew"
    )]
    Differs {
        /// The mirror.
        mirror: PathBuf,
        /// The first event of the segment that differs.
        first: u64,
    },
    /// The target of a restore is in use.
    #[error("WD-0132 {0} holds a journal already: it is never overwritten; move it away first, or restore into another data directory")]
    Occupied(PathBuf),
}

fn failed(path: &Path, action: &'static str) -> impl FnOnce(std::io::Error) -> JournalError {
    JournalError::io(path, action)
}

/// The bytes of a segment up to the mark, and whether all of it is full and done.
fn durable_part(path: &Path, mark: u64) -> Result<(Vec<u8>, bool), JournalError> {
    let mut bytes = segment::load(path)?;
    let walk = segment::walk(&bytes);
    let is_closed = walk.records.last().is_some_and(|(_, header)| header.kind == Kind::Footer);
    let durable = walk.records.iter().take_while(|(_, header)| header.first + u64::from(header.events) <= mark + 1);
    let end = durable.last().map_or(segment::HEADER_BYTES, |(offset, header)| offset + header.size);
    bytes.truncate(end);
    Ok((bytes, is_closed && end == walk.at))
}

/// Writes a file in one step: whole and durable under its name, or not there.
pub(super) fn place(path: &Path, bytes: &[u8]) -> Result<(), JournalError> {
    let temporary = path.with_extension("part");
    let write = || -> std::io::Result<()> {
        let mut file = File::create(&temporary)?;
        file.write_all(bytes)?;
        file.sync_all()?;
        RealDisk.rename(&temporary, path)
    };
    write().map_err(failed(path, "write copy"))
}

pub(super) fn make_private(directory: &Path) -> Result<(), JournalError> {
    use std::os::unix::fs::DirBuilderExt;
    std::fs::DirBuilder::new().recursive(true).mode(0o700).create(directory).map_err(failed(directory, "create"))
}

pub(super) fn set_mark(directory: &Path, mark: &Mark) -> Result<(), JournalError> {
    let mut file = HighWater::open(directory, &RealDisk)?;
    // Both slots, so that neither names what the copy does not hold.
    for _ in 0..2 {
        file.write(mark, &RealDisk)?;
    }
    file.sync(&RealDisk)?;
    RealDisk.sync_directory(directory).map_err(failed(directory, "sync directory"))
}

/// Copies the durable part of a segment over an earlier copy of it; the bytes that were written.
pub(super) fn copy_segment(path: &Path, target: &Path, first: u64, mark: u64) -> Result<u64, BackupError> {
    let before = if target.exists() { segment::load(target)? } else { Vec::new() };
    let (bytes, is_closed) = durable_part(path, mark)?;
    if !before.is_empty() && !bytes.starts_with(&before) && !before.starts_with(&bytes) {
        return Err(BackupError::Differs { mirror: target.parent().unwrap_or(target).to_owned(), first });
    }
    // A full segment that is there already is as it will ever be.
    if before.len() < bytes.len() || (is_closed && before.len() != bytes.len()) {
        place(target, &bytes)?;
        return Ok(bytes.len() as u64);
    }
    Ok(0)
}

/// Copies what is durable in `journal` into `to`, which is empty or an earlier copy of the same log. wardd may run meanwhile.
pub fn backup(journal: &Path, to: &Path, keys: Option<&KeyRing>) -> Result<Copied, BackupError> {
    let mark = high_water::read(journal).filter(|mark| mark.sequence > 0).ok_or_else(|| BackupError::Nothing(journal.to_owned()))?;
    make_private(to)?;
    let mut copied = 0;
    for (first, path) in segment::list(journal)?.into_iter().filter(|(first, _)| *first <= mark.sequence) {
        copied += copy_segment(&path, &segment::path(to, first), first, mark.sequence).map_err(|error| match error {
            BackupError::Differs { .. } => BackupError::Another(to.to_owned()),
            other => other,
        })?;
    }
    // After the segments: the keys of all that they hold are there. What was destroyed since an earlier copy is destroyed in it too.
    copied += personal::copy(journal, to)?;
    heads::copy(journal, to, mark.sequence)?;
    set_mark(to, &mark)?;
    let report = verify::verify(to, keys)?;
    Ok(Copied::of(&report, copied))
}

/// Makes a journal of a copy. The target must hold none.
pub fn restore(from: &Path, journal: &Path, keys: Option<&KeyRing>) -> Result<Copied, BackupError> {
    let report = verify::verify(from, keys)?;
    if report.events == 0 {
        return Err(BackupError::Nothing(from.to_owned()));
    }
    if journal.exists() && !segment::list(journal)?.is_empty() {
        return Err(BackupError::Occupied(journal.to_owned()));
    }
    let unfinished = journal.with_extension("restoring");
    if unfinished.exists() {
        std::fs::remove_dir_all(&unfinished).map_err(failed(&unfinished, "remove"))?;
    }
    make_private(&unfinished)?;
    let mut copied = 0;
    for (first, path) in segment::list(from)? {
        let bytes = segment::load(&path)?;
        place(&segment::path(&unfinished, first), &bytes)?;
        copied += bytes.len() as u64;
    }
    copied += personal::copy(from, &unfinished)?;
    heads::copy(from, &unfinished, report.events)?;
    set_mark(&unfinished, &Mark { sequence: report.events, chain: report.chain })?;
    let again = verify::verify(&unfinished, keys)?;
    if journal.exists() {
        std::fs::remove_dir_all(journal).map_err(failed(journal, "remove empty journal"))?;
    }
    RealDisk.rename(&unfinished, journal).map_err(failed(journal, "name"))?;
    if let Some(parent) = journal.parent() {
        RealDisk.sync_directory(parent).map_err(failed(parent, "sync directory"))?;
    }
    Ok(Copied::of(&again, copied))
}

/// What was put right.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Healed {
    /// Segments that were taken from the copy.
    pub segments: Vec<PathBuf>,
    /// The log as it is now.
    pub report: Report,
}

/// Replaces damaged segments of a log by those of a copy of the same log; the damaged ones are set aside beside it.
/// wardd must not run. Nothing is replaced unless the whole log is sound afterwards.
pub fn heal(journal: &Path, copy: &Path, keys: Option<&KeyRing>) -> Result<Healed, BackupError> {
    let _lock = super::file_log::lock(journal)?;
    verify::verify(copy, keys)?;
    // The copy as well: what was destroyed here since it was made must not come back from it.
    personal::reconcile(journal, copy)?;
    let mut replaced = Vec::new();
    let ours = segment::list(journal)?;
    for (first, source) in segment::list(copy)? {
        let target = segment::path(journal, first);
        let known = ours.iter().find(|(known, _)| *known == first);
        let sound = match known {
            Some((_, path)) => is_sound(path, &source)?,
            None => false,
        };
        if sound {
            continue;
        }
        let aside = target.with_extension("damaged");
        if target.exists() {
            RealDisk.rename(&target, &aside).map_err(failed(&target, "set aside"))?;
        }
        place(&target, &segment::load(&source)?)?;
        replaced.push(target);
    }
    RealDisk.sync_directory(journal).map_err(failed(journal, "sync directory"))?;
    match verify::verify(journal, keys) {
        Ok(report) => {
            // What came from the copy was acknowledged: a tail of it that is lost again must be seen.
            if high_water::read(journal).is_none_or(|mark| mark.sequence < report.events) {
                set_mark(journal, &Mark { sequence: report.events, chain: report.chain })?;
            }
            Ok(Healed { segments: replaced, report })
        }
        Err(error) => {
            // The copy did not help: everything is as it was.
            for target in replaced {
                let aside = target.with_extension("damaged");
                match aside.exists() {
                    true => RealDisk.rename(&aside, &target).map_err(failed(&target, "put back"))?,
                    false => RealDisk.remove(&target).map_err(failed(&target, "remove"))?,
                }
            }
            Err(error.into())
        }
    }
}

/// Whether a segment holds all that its copy holds, unharmed.
fn is_sound(path: &Path, copy: &Path) -> Result<bool, JournalError> {
    let (bytes, copied) = (segment::load(path)?, segment::load(copy)?);
    let Some(header) = SegmentHeader::read(&bytes) else { return Ok(false) };
    let chain_of = |bytes: &[u8]| -> Option<Chain> {
        let mut link = header.before;
        for (offset, header) in segment::walk(bytes).records {
            let record = bytes.get(offset..offset + header.size)?;
            if super::record::chain(&link, record) != header.chain {
                return None;
            }
            link = header.chain;
        }
        Some(link)
    };
    let end = segment::walk(&copied).at;
    Ok(bytes.get(..end) == copied.get(..end) && chain_of(&bytes).is_some())
}

#[cfg(test)]
#[path = "backup_tests.rs"]
pub(super) mod tests;
