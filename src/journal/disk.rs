//! Everything that the log does to the file system, as a trait: tests record it, make it fail, and cut a power loss into it.

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::Path;

/// Zeros that are written at a time.
const ZEROS: u64 = 256 << 10;

/// Asked after each piece of a long write, by the bytes that are written: it may wait, and its error ends the write.
pub type Pace<'a> = &'a mut dyn FnMut(u64) -> io::Result<()>;

/// Changes of files and of their directory; each method does it for real unless it is replaced.
pub trait Disk: Send + Sync {
    /// Opens a file for reading and writing; makes an empty one when there is none.
    fn create(&self, path: &Path) -> io::Result<File> {
        OpenOptions::new().read(true).write(true).create(true).truncate(false).mode(0o600).open(path)
    }

    /// Makes a file of zeros in place of any of this name, and makes its bytes durable.
    fn fill(&self, path: &Path, size: u64, pace: Pace<'_>) -> io::Result<()> {
        let mut file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(path)?;
        let zeros = vec![0_u8; usize::try_from(size.min(ZEROS)).unwrap_or_default()];
        let mut done = 0;
        while done < size {
            let piece = zeros.get(..usize::try_from(size - done).unwrap_or(usize::MAX)).unwrap_or(&zeros);
            file.write_all(piece)?;
            done += piece.len() as u64;
            if done < size {
                // Small steps to the disk as well: a sync of the log must not wait for all of this.
                file.sync_data()?;
                pace(done)?;
            }
        }
        file.sync_all()
    }

    /// Writes all bytes at an offset.
    fn write_at(&self, file: &File, bytes: &[u8], offset: u64) -> io::Result<()> {
        file.write_all_at(bytes, offset)
    }

    /// Sets a file's length.
    fn set_length(&self, file: &File, length: u64) -> io::Result<()> {
        file.set_len(length)
    }

    /// fdatasync: the bytes and the size are on stable storage when it returns.
    fn sync(&self, file: &File) -> io::Result<()> {
        file.sync_data()
    }

    /// Gives a file another name, in place of any of that name.
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        std::fs::rename(from, to)
    }

    /// Takes a name away.
    fn remove(&self, path: &Path) -> io::Result<()> {
        std::fs::remove_file(path)
    }

    /// fsync of a directory: names in it are on stable storage when it returns.
    fn sync_directory(&self, path: &Path) -> io::Result<()> {
        File::open(path)?.sync_all()
    }
}

/// The operating system's file system.
#[derive(Debug, Clone, Copy, Default)]
pub struct RealDisk;

impl Disk for RealDisk {}
