//! Segment files: named after their first sequence, filled with zeros in advance so that a sync moves no metadata.

use std::fs::{File, OpenOptions};
use std::io::{self, Read};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use super::JournalError;
use super::record::{self, Broken, Chain, Header};

const MAGIC: [u8; 8] = *b"WARDDLOG";
const VERSION: u32 = 1;
/// Bytes before the first record.
pub(super) const HEADER_BYTES: usize = 64;
const SUFFIX: &str = "wlog";
pub(super) const PREPARED: &str = "next.prepared";

/// The head of a segment file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct SegmentHeader {
    pub(super) first: u64,
    /// The chain value of the last record before this segment.
    pub(super) before: Chain,
}

impl SegmentHeader {
    pub(super) fn bytes(&self) -> [u8; HEADER_BYTES] {
        let mut bytes = [0; HEADER_BYTES];
        bytes[..8].copy_from_slice(&MAGIC);
        bytes[8..12].copy_from_slice(&VERSION.to_le_bytes());
        bytes[12..20].copy_from_slice(&self.first.to_le_bytes());
        bytes[20..52].copy_from_slice(&self.before);
        let checksum = crc32c::crc32c(&bytes[..60]);
        bytes[60..].copy_from_slice(&checksum.to_le_bytes());
        bytes
    }

    pub(super) fn read(bytes: &[u8]) -> Option<Self> {
        let bytes: &[u8; HEADER_BYTES] = bytes.first_chunk()?;
        let checksum = u32::from_le_bytes(*bytes.last_chunk()?);
        let version = u32::from_le_bytes(bytes[8..12].try_into().ok()?);
        if bytes[..8] != MAGIC || version != VERSION || crc32c::crc32c(&bytes[..60]) != checksum {
            return None;
        }
        Some(Self { first: u64::from_le_bytes(bytes[12..20].try_into().ok()?), before: bytes[20..52].try_into().ok()? })
    }
}

/// The path of the segment that begins with this sequence.
pub(super) fn path(directory: &Path, first: u64) -> PathBuf {
    directory.join(format!("{first:020}.{SUFFIX}"))
}

/// The segments of a directory by their first sequence.
pub(super) fn list(directory: &Path) -> Result<Vec<(u64, PathBuf)>, JournalError> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(directory).map_err(JournalError::io(directory, "list segments"))? {
        let path = entry.map_err(JournalError::io(directory, "list segments"))?.path();
        if path.extension().is_some_and(|extension| extension == SUFFIX)
            && let Some(first) = path.file_stem().and_then(|stem| stem.to_str()).and_then(|stem| stem.parse().ok())
        {
            found.push((first, path));
        }
    }
    found.sort_unstable();
    Ok(found)
}

/// Opens a segment: the last one for writing too. Older ones may lie on a disk that is only read.
pub(super) fn open_for(path: &Path, is_last: bool) -> io::Result<File> {
    if is_last { open(path) } else { File::open(path) }
}

/// Opens a segment for reading and writing.
pub(super) fn open(path: &Path) -> io::Result<File> {
    OpenOptions::new().read(true).write(true).open(path)
}

/// The whole of a segment in memory; segments are bounded.
pub(super) fn load(path: &Path) -> Result<Vec<u8>, JournalError> {
    let mut bytes = Vec::new();
    File::open(path).and_then(|mut file| file.read_to_end(&mut bytes)).map_err(JournalError::io(path, "read segment"))?;
    Ok(bytes)
}

/// Reads exactly `size` bytes of a segment at an offset.
pub(super) fn read_at(file: &File, offset: u64, size: usize) -> io::Result<Vec<u8>> {
    let mut bytes = vec![0; size];
    file.read_exact_at(&mut bytes, offset)?;
    Ok(bytes)
}

/// How a walk over a segment's records ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum End {
    /// At zeros or at the end of the file; nothing follows.
    Clean,
    /// At bytes that are no record.
    Broken(Broken),
}

/// The records of a segment up to the first bytes that are none.
#[derive(Debug)]
pub(super) struct Walk {
    /// Offset and header of each record.
    pub(super) records: Vec<(usize, Header)>,
    /// Where the walk ended.
    pub(super) at: usize,
    pub(super) end: End,
}

/// Walks the records of a segment's bytes; checksums are checked, chains are not.
pub(super) fn walk(bytes: &[u8]) -> Walk {
    let mut records = Vec::new();
    let mut at = HEADER_BYTES;
    loop {
        let rest = bytes.get(at..).unwrap_or_default();
        match record::read(rest) {
            Ok(header) => {
                let size = header.size;
                records.push((at, header));
                at += size;
            }
            Err(broken) => {
                let is_blank = rest.iter().all(|byte| *byte == 0);
                return Walk { records, at, end: if is_blank { End::Clean } else { End::Broken(broken) } };
            }
        }
    }
}

/// Whether a whole record behind a broken place says that the broken place was durable before it was written. Records of one
/// write may reach the disk in any order, and then the later ones prove nothing.
pub(super) fn was_durable_behind(bytes: &[u8], at: usize, sequence: u64) -> bool {
    let rest = bytes.get(at + 1..).unwrap_or_default();
    let whole = memchr::memmem::find_iter(rest, &record::MAGIC).filter_map(|found| record::read(&rest[found..]).ok());
    whole.into_iter().any(|header| header.durable >= sequence)
}
