//! Everything that the log does to the file system, as a trait: tests record it, make it fail, and cut a power loss into it.

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::Path;

/// Zeros that are written at a time.
const ZEROS: usize = 1 << 20;

/// Changes of files and of their directory.
pub trait Disk: Send + Sync {
    /// Opens a file for reading and writing; makes an empty one when there is none.
    fn create(&self, path: &Path) -> io::Result<File>;
    /// Makes a file of zeros in place of any of this name, and makes its bytes durable.
    fn fill(&self, path: &Path, size: u64) -> io::Result<()>;
    /// Writes all bytes at an offset.
    fn write_at(&self, file: &File, bytes: &[u8], offset: u64) -> io::Result<()>;
    /// Sets a file's length.
    fn set_length(&self, file: &File, length: u64) -> io::Result<()>;
    /// fdatasync: the bytes and the size are on stable storage when it returns.
    fn sync(&self, file: &File) -> io::Result<()>;
    /// Gives a file another name, in place of any of that name.
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()>;
    /// Takes a name away.
    fn remove(&self, path: &Path) -> io::Result<()>;
    /// fsync of a directory: names in it are on stable storage when it returns.
    fn sync_directory(&self, path: &Path) -> io::Result<()>;
}

/// The operating system's file system.
#[derive(Debug, Clone, Copy, Default)]
pub struct RealDisk;

impl Disk for RealDisk {
    fn create(&self, path: &Path) -> io::Result<File> {
        OpenOptions::new().read(true).write(true).create(true).truncate(false).mode(0o600).open(path)
    }

    fn fill(&self, path: &Path, size: u64) -> io::Result<()> {
        let mut file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(path)?;
        let zeros = vec![0_u8; usize::try_from(size).unwrap_or(ZEROS).min(ZEROS)];
        let mut left = size;
        while left > 0 {
            let piece = left.min(zeros.len() as u64);
            file.write_all(&zeros[..usize::try_from(piece).unwrap_or(zeros.len())])?;
            left -= piece;
        }
        file.sync_all()
    }

    fn write_at(&self, file: &File, bytes: &[u8], offset: u64) -> io::Result<()> {
        file.write_all_at(bytes, offset)
    }

    fn set_length(&self, file: &File, length: u64) -> io::Result<()> {
        file.set_len(length)
    }

    fn sync(&self, file: &File) -> io::Result<()> {
        file.sync_data()
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        std::fs::rename(from, to)
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        std::fs::remove_file(path)
    }

    fn sync_directory(&self, path: &Path) -> io::Result<()> {
        File::open(path)?.sync_all()
    }
}
