//! A disk that fails under a real program: `disk_shim.c` is built with the C compiler that Rust's linker needs anyhow, and
//! loaded by LD_PRELOAD. Orders are given while the program runs; of what it wrote and did not sync, a power loss can be cut.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io;
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::process::Command;

use super::random::Random;

const SOURCE: &str = include_str!("disk_shim.c");
const SECTOR: u64 = 512;
const HEAD: usize = 25;

/// What the disk shall do from now on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Order {
    /// Every write fails with ENOSPC, or none does.
    Full(bool),
    /// The n-th write from now fails with EIO.
    FailWrite(i64),
    /// The n-th sync from now fails with EIO.
    FailSync(i64),
    /// A sync takes so many microseconds longer.
    SyncDelay(i64),
    /// A write takes half of what it is given.
    ShortWrites(bool),
    /// A sync does nothing and says that it did.
    Lie(bool),
}

/// What the program has asked of the disk.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Usage {
    /// Writes.
    pub writes: u64,
    /// Syncs.
    pub syncs: u64,
    /// Failures that were made.
    pub failed: u64,
}

/// A write that no sync has covered.
#[derive(Debug)]
struct Write {
    number: u64,
    offset: u64,
    before: Vec<u8>,
    after: Vec<u8>,
}

/// The shim for the files under one folder.
pub struct DiskShim {
    library: PathBuf,
    page: PathBuf,
    orders: File,
    watched: PathBuf,
    diaries: PathBuf,
    diary: u32,
    unsynced: Unsynced,
}

impl DiskShim {
    /// Builds it in `folder`, for files under `watched`, which must exist. With `keeps_diary` power losses can be cut.
    pub fn build(folder: &Path, watched: &Path) -> io::Result<DiskShim> {
        let (source, library) = (folder.join("disk_shim.c"), folder.join("disk_shim.so"));
        fs::write(&source, SOURCE)?;
        let output = Command::new("cc").args(["-O2", "-shared", "-fPIC", "-o"]).arg(&library).arg(&source).args(["-ldl", "-lpthread"]).output();
        let output = output.map_err(|error| io::Error::new(error.kind(), format!("the C compiler `cc`, which builds the failing disk: {error}")))?;
        if !output.status.success() {
            return Err(io::Error::other(format!("cc: {}", String::from_utf8_lossy(&output.stderr))));
        }
        let page = folder.join("orders");
        fs::write(&page, [0; 128])?;
        let orders = File::options().read(true).write(true).open(&page)?;
        Ok(DiskShim { library, page, orders, watched: watched.to_owned(), diaries: folder.to_owned(), diary: 0, unsynced: Unsynced::default() })
    }

    /// The next start of the program is under the shim, with a diary when power losses are to be cut.
    pub fn wrap(&mut self, command: &mut Command, keeps_diary: bool) {
        command.env("LD_PRELOAD", &self.library).env("WARDD_SHIM_ORDERS", &self.page).env("WARDD_SHIM_FOLDER", &self.watched);
        if keeps_diary {
            self.diary += 1;
            command.env("WARDD_SHIM_DIARY", self.diary_path());
        }
    }

    fn diary_path(&self) -> PathBuf {
        self.diaries.join(format!("diary-{}", self.diary))
    }

    /// Gives an order.
    pub fn order(&self, order: Order) -> io::Result<()> {
        let (slot, value) = match order {
            Order::Full(is_full) => (0, i64::from(is_full)),
            Order::FailWrite(count) => (1, count),
            Order::FailSync(count) => (2, count),
            Order::SyncDelay(micros) => (3, micros),
            Order::ShortWrites(are_short) => (4, i64::from(are_short)),
            Order::Lie(is_lying) => (8, i64::from(is_lying)),
        };
        self.orders.write_all_at(&value.to_ne_bytes(), slot * 8)
    }

    /// Takes all orders back but a lie, which is the disk's nature.
    pub fn quiet(&self) -> io::Result<()> {
        self.orders.write_all_at(&[0; 40], 0)
    }

    /// What was asked so far, by all programs under the shim.
    pub fn usage(&self) -> io::Result<Usage> {
        let at = |slot: u64| -> io::Result<u64> {
            let mut bytes = [0; 8];
            self.orders.read_exact_at(&mut bytes, slot * 8)?;
            Ok(u64::from_ne_bytes(bytes))
        };
        Ok(Usage { writes: at(5)?, syncs: at(6)?, failed: at(7)? })
    }

    /// Reads the diary of the program that has ended: what it synced is on the disk for good.
    pub fn ended(&mut self) -> io::Result<()> {
        let path = self.diary_path();
        let Ok(bytes) = fs::read(&path) else { return Ok(()) };
        self.unsynced.absorb(&bytes);
        fs::remove_file(path)
    }

    /// The power fails after the program has ended: of each write that no sync covered, some sectors are on the disk and
    /// some are not. How many writes that were.
    pub fn lose_power(&mut self, random: &mut Random) -> io::Result<usize> {
        let mut lost = 0;
        let unsynced = std::mem::take(&mut self.unsynced.writes);
        for path in files(&self.watched)? {
            let Some(writes) = unsynced.get(&fs::metadata(&path)?.ino()) else { continue };
            let file = File::options().write(true).open(&path)?;
            for write in writes.iter().rev() {
                file.write_all_at(&write.before, write.offset)?;
            }
            // Half of the files lose everything; of the others any sectors may have been written, in any order.
            let share = if random.chance(500) { 0 } else { 500 };
            for write in writes {
                each_sector(write, |offset, sector| if random.chance(share) { file.write_all_at(sector, offset) } else { Ok(()) })?;
            }
            file.sync_all()?;
            lost += writes.len();
        }
        Ok(lost)
    }
}

/// The bytes of a write by sectors of the file.
fn each_sector(write: &Write, mut visit: impl FnMut(u64, &[u8]) -> io::Result<()>) -> io::Result<()> {
    let (mut offset, mut rest) = (write.offset, write.after.as_slice());
    while !rest.is_empty() {
        let count = usize::try_from(SECTOR - offset % SECTOR).unwrap_or(rest.len()).min(rest.len());
        let (sector, more) = rest.split_at(count);
        visit(offset, sector)?;
        offset += count as u64;
        rest = more;
    }
    Ok(())
}

fn files(folder: &Path) -> io::Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        let about = fs::symlink_metadata(&path)?;
        if about.is_dir() {
            found.extend(files(&path)?);
        } else if about.is_file() {
            found.push(path);
        }
    }
    Ok(found)
}

fn number(bytes: &[u8], at: usize) -> Option<u64> {
    Some(u64::from_ne_bytes(bytes.get(at..at + 8)?.try_into().ok()?))
}

/// The writes that no sync has covered, by inode.
#[derive(Debug, Default)]
struct Unsynced {
    counted: u64,
    writes: BTreeMap<u64, Vec<Write>>,
}

impl Unsynced {
    /// Takes the records of a diary over; a kill may have cut the last one, whose write was then not made.
    fn absorb(&mut self, diary: &[u8]) {
        let mut at = 0;
        // By the sync's number: the last write before it began.
        let mut begun: BTreeMap<u64, u64> = BTreeMap::new();
        while let (Some(kind), Some(inode), Some(offset), Some(length)) = (diary.get(at), number(diary, at + 1), number(diary, at + 9), number(diary, at + 17)) {
            at += HEAD;
            match kind {
                b'W' => {
                    let count = usize::try_from(length).unwrap_or(usize::MAX / 4);
                    let (Some(before), Some(after)) = (diary.get(at..at + count), diary.get(at + count..at + 2 * count)) else { return };
                    self.counted += 1;
                    let write = Write { number: self.counted, offset, before: before.to_vec(), after: after.to_vec() };
                    self.writes.entry(inode).or_default().push(write);
                    at += 2 * count;
                }
                b'b' => drop(begun.insert(offset, self.counted)),
                b'e' => {
                    if let (Some(last), Some(writes)) = (begun.remove(&offset), self.writes.get_mut(&inode)) {
                        writes.retain(|write| write.number > last);
                    }
                }
                b'U' => drop(self.writes.remove(&inode)),
                b'T' => self.cut(inode, length),
                _ => return,
            }
        }
    }

    fn cut(&mut self, inode: u64, length: u64) {
        let Some(writes) = self.writes.get_mut(&inode) else { return };
        writes.retain(|write| write.offset < length);
        for write in writes {
            let stays = usize::try_from(length - write.offset).unwrap_or(usize::MAX);
            write.before.truncate(stays);
            write.after.truncate(stays);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(kind: u8, inode: u64, offset: u64, before: &[u8], after: &[u8]) -> Vec<u8> {
        let length = after.len() as u64;
        [&[kind][..], &inode.to_ne_bytes(), &offset.to_ne_bytes(), &length.to_ne_bytes(), before, after].concat()
    }

    #[test]
    fn a_sync_covers_the_writes_before_it_began_and_those_of_its_file_alone() {
        let mut unsynced = Unsynced::default();
        let diary = [
            record(b'W', 1, 0, b"aa", b"bb"),
            record(b'W', 2, 0, b"cc", b"dd"),
            record(b'b', 1, 7, b"", b""),
            record(b'b', 2, 8, b"", b""),
            record(b'W', 1, 2, b"ee", b"ff"),
            record(b'e', 1, 7, b"", b""),
            record(b'W', 3, 0, b"gg", b"hh")[..20].to_vec(),
        ];
        unsynced.absorb(&diary.concat());
        assert_eq!(unsynced.writes[&1].iter().map(|write| write.offset).collect::<Vec<_>>(), [2]);
        assert_eq!(unsynced.writes[&2].len(), 1, "a sync that did not end covers nothing");
        assert!(!unsynced.writes.contains_key(&3), "a record that was cut is of a write that was not made");
        unsynced.absorb(&[record(b'U', 2, 0, b"", b"")].concat());
        assert!(!unsynced.writes.contains_key(&2));
    }

    #[test]
    fn a_real_program_under_it_fails_and_loses_what_it_did_not_sync() {
        let folder = std::env::temp_dir().join(format!("sim-disk-{}", std::process::id()));
        let watched = folder.join("data");
        fs::create_dir_all(&watched).unwrap();
        let mut shim = DiskShim::build(&folder, &watched).unwrap();
        let mut dd = |text: &str, name: &str, more: &[&str]| {
            fs::write(folder.join("in"), text).unwrap();
            let mut command = Command::new("dd");
            command.arg(format!("if={}", folder.join("in").display())).arg(format!("of={}", watched.join(name).display())).args(more).arg("status=none");
            shim.wrap(&mut command, true);
            let is_done = command.stderr(std::process::Stdio::null()).status().unwrap().success();
            shim.ended().unwrap();
            is_done
        };
        assert!(dd("kept", "a", &["conv=fdatasync"]));
        assert!(dd("lost", "a", &["conv=notrunc"]) && dd("kept too", "b", &["conv=fsync"]));
        shim.order(Order::Full(true)).unwrap();
        let mut command = Command::new("dd");
        command.args(["if=/dev/zero", "count=1", "status=none"]).arg(format!("of={}", watched.join("c").display()));
        shim.wrap(&mut command, false);
        assert!(!command.stderr(std::process::Stdio::null()).status().unwrap().success());
        assert!(shim.usage().unwrap().failed > 0);
        assert_eq!(fs::read(watched.join("a")).unwrap(), b"lost");
        // The seed is one under which the whole write is lost.
        assert_eq!(shim.lose_power(&mut Random::new(3)).unwrap(), 1);
        assert_eq!((fs::read(watched.join("a")).unwrap(), fs::read(watched.join("b")).unwrap()), (b"kept".to_vec(), b"kept too".to_vec()));
        fs::remove_dir_all(folder).unwrap();
    }
}
