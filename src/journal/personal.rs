//! Keys of persons: what concerns somebody is sealed under a key of theirs, and that key under the key ring. Destroying it makes all of it
//! unreadable for ever, while the log and its chain stay as they are.
//!
//! ```text
//! personal-keys: slots of 128 bytes, four to a sector, so that none is torn; the first is the file's own. Numbers are little endian.
//! 0   magic "wKey"                    4
//! 4   state: 1 a key, 2 destroyed     4
//! 8   number of the slot              4
//! 12  id of the key that wraps it     4
//! 16  whose: keyed hash, or zeros     16
//! 32  nonce                           24
//! 56  wrapped key and tag             48
//! 104 zeros                           20
//! 124 CRC32C of 0..124                4
//! ```
//! **Invariant**: a key is durable before the first event that is sealed under it.
//! **Invariant**: a destroyed key never comes back, from no mirror either.

use std::collections::{HashMap, HashSet, VecDeque};
use std::fs::File;
use std::io::{BufReader, Read as _};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use chacha20poly1305::aead::{AeadInOut, KeyInit};
use chacha20poly1305::{Key, XChaCha20Poly1305, XNonce};

use super::keyring::{NONCE_BYTES, Nonces, TAG_BYTES};
use super::{Disk, JournalError, KeyRing, backup};
use crate::kernel::{Mrn, Sealing};

/// The file's name.
pub(super) const FILE: &str = "personal-keys";
const SLOT: usize = 128;
const MAGIC: [u8; 4] = *b"wKey";
const KEY_BYTES: usize = 32;
const CHECKED: usize = 124;
/// Keys for single messages that are made before they are wanted, so that none of them waits for a sync of its own.
const RESERVE: usize = 512;
/// How many are made when one is used, until the reserve is full: a little work for each message and never much for one.
const AHEAD: usize = 2;
/// Bytes of keys made ahead that are worth a sync.
const WORTH_A_SYNC: usize = 128 * SLOT;
/// Bytes of new keys that wait for the disk at most, but for those of one group.
const UNSAVED: usize = 1 << 18;
/// Bytes of the file that are read at a time.
const READ_AHEAD: usize = 1 << 20;
/// Opened keys that are kept in memory.
const OPENED: usize = 4_096;

/// What stands in a slot.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Slot {
    /// A key: the ring's key that wraps it, whose it is, how it is wrapped.
    Key { ring: u32, name: [u8; 16], nonce: [u8; NONCE_BYTES], wrapped: [u8; KEY_BYTES + TAG_BYTES] },
    /// It was destroyed.
    Destroyed,
}

fn part<const N: usize>(bytes: &[u8; SLOT], at: usize) -> [u8; N] {
    bytes.get(at..at + N).and_then(|bytes| bytes.try_into().ok()).unwrap_or([0; N])
}

impl Slot {
    fn bytes(&self, number: u32) -> [u8; SLOT] {
        let mut bytes = [0; SLOT];
        bytes[..4].copy_from_slice(&MAGIC);
        bytes[8..12].copy_from_slice(&number.to_le_bytes());
        match self {
            Slot::Key { ring, name, nonce, wrapped } => {
                bytes[4] = 1;
                bytes[12..16].copy_from_slice(&ring.to_le_bytes());
                bytes[16..32].copy_from_slice(name);
                bytes[32..56].copy_from_slice(nonce);
                bytes[56..104].copy_from_slice(wrapped);
            }
            Slot::Destroyed => bytes[4] = 2,
        }
        let checksum = crc32c::crc32c(&bytes[..CHECKED]);
        bytes[CHECKED..].copy_from_slice(&checksum.to_le_bytes());
        bytes
    }

    /// The slot of a number; `None` when these bytes are not it.
    fn read(bytes: &[u8], number: u32) -> Option<Slot> {
        let bytes: &[u8; SLOT] = bytes.try_into().ok()?;
        let is_whole = bytes.starts_with(&MAGIC) && crc32c::crc32c(&bytes[..CHECKED]).to_le_bytes() == part::<4>(bytes, CHECKED) && part(bytes, 8) == number.to_le_bytes();
        match bytes[4] {
            1 if is_whole => Some(Slot::Key { ring: u32::from_le_bytes(part(bytes, 12)), name: part(bytes, 16), nonce: part(bytes, 32), wrapped: part(bytes, 56) }),
            2 if is_whole => Some(Slot::Destroyed),
            _ => None,
        }
    }
}

/// Where something that is to be sealed is collected: behind room for what the seal needs.
pub(super) fn blank(size: usize) -> Vec<u8> {
    let mut piece = Vec::with_capacity(NONCE_BYTES + size + TAG_BYTES);
    piece.resize(NONCE_BYTES, 0);
    piece
}

/// What binds a key to its slot and to whom it is of.
fn bound(number: u32, name: &[u8; 16]) -> Vec<u8> {
    [b"wardd: key of a person".as_slice(), &number.to_le_bytes(), name].concat()
}

struct State {
    file: Arc<File>,
    /// The number that the next key gets.
    next: u32,
    /// The newest key of each name, by the first half of it.
    names: HashMap<u64, u32>,
    /// Keys that were used lately.
    opened: HashMap<u32, Arc<XChaCha20Poly1305>>,
    /// Keys for messages that nobody has used, the oldest first.
    reserve: VecDeque<(u32, Arc<XChaCha20Poly1305>)>,
    /// Slots that are not on the disk yet: the first one's number, and their bytes.
    unsaved_from: u32,
    unsaved: Vec<u8>,
    /// The newest key that has sealed something.
    used: u32,
    nonces: Nonces,
}

/// The keys of a log.
pub(super) struct Personal {
    ring: Arc<KeyRing>,
    path: PathBuf,
    state: Mutex<State>,
}

impl State {
    fn place_of_unsaved(&self) -> (u64, Vec<u8>) {
        (u64::from(self.unsaved_from) * SLOT as u64, self.unsaved.clone())
    }
}

fn short(name: &[u8; 16]) -> u64 {
    u64::from_le_bytes(name.first_chunk().copied().unwrap_or_default())
}

/// Calls `visit` with each slot of a file but the first, a part of the file in memory at a time; gives the file's length. No file has none.
fn each_slot(path: &Path, mut visit: impl FnMut(u32, &[u8])) -> Result<u64, JournalError> {
    let file = match File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(0),
        Err(error) => return Err(JournalError::io(path, "open")(error)),
    };
    let (mut reader, mut slot) = (BufReader::with_capacity(READ_AHEAD, file), [0; SLOT]);
    let (mut number, mut length) = (0_u32, 0);
    loop {
        let mut filled = 0;
        while filled < SLOT {
            match reader.read(&mut slot[filled..]).map_err(JournalError::io(path, "read"))? {
                0 => break,
                read => filled += read,
            }
        }
        if filled == 0 {
            return Ok(length);
        }
        length += filled as u64;
        if number > 0 {
            visit(number, &slot[..filled]);
        }
        number = number.saturating_add(1);
    }
}

impl Personal {
    /// Opens or creates the file of a journal directory.
    pub(super) fn open(directory: &Path, ring: Arc<KeyRing>, disk: &dyn Disk) -> Result<Self, JournalError> {
        let path = directory.join(FILE);
        // What a copy that was cut off has left holds keys too.
        let _ = std::fs::remove_file(path.with_extension("part"));
        let file = disk.create(&path).map_err(JournalError::io(&path, "open"))?;
        let mut names = HashMap::new();
        let length = each_slot(&path, |number, slot| {
            if let Some(Slot::Key { name, .. }) = Slot::read(slot, number)
                && name != [0; 16]
            {
                names.insert(short(&name), number);
            }
        })?;
        // A new log makes its names durable with its mark.
        if length == 0 && super::high_water::read(directory).is_some() {
            disk.sync_directory(directory).map_err(JournalError::io(directory, "sync directory"))?;
        }
        Self::of(path, file, (names, length), ring)
    }

    /// The same for somebody who only reads.
    pub(super) fn read(directory: &Path, ring: Arc<KeyRing>) -> Result<Option<Self>, JournalError> {
        let path = directory.join(FILE);
        match File::open(&path) {
            Ok(file) => Self::of(path, file, (HashMap::new(), 0), ring).map(Some),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(JournalError::io(path, "open")(error)),
        }
    }

    fn of(path: PathBuf, file: File, (names, length): (HashMap<u64, u32>, u64), ring: Arc<KeyRing>) -> Result<Self, JournalError> {
        let next = u32::try_from(length.div_ceil(SLOT as u64)).unwrap_or(u32::MAX).max(1);
        let state =
            State { file: Arc::new(file), next, names, opened: HashMap::new(), reserve: VecDeque::new(), unsaved_from: next, unsaved: Vec::new(), used: 0, nonces: Nonces::new()? };
        Ok(Self { ring, path, state: Mutex::new(state) })
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn name_of(&self, mrn: &Mrn) -> [u8; 16] {
        self.ring.name_hash(format!("person/{mrn}").as_bytes()).first_chunk().copied().unwrap_or_default()
    }

    /// Makes a key; `None` when that cannot be.
    fn make(&self, state: &mut State, name: [u8; 16]) -> Option<(u32, Arc<XChaCha20Poly1305>)> {
        let number = state.next;
        let mut key = [0_u8; KEY_BYTES];
        getrandom::fill(&mut key).ok()?;
        let nonce = state.nonces.next();
        let mut wrapped = [0; KEY_BYTES + TAG_BYTES];
        let (body, tag) = wrapped.split_at_mut(KEY_BYTES);
        body.copy_from_slice(&key);
        tag.copy_from_slice(&self.ring.seal_in_place(&nonce, &bound(number, &name), body)?);
        let cipher = Arc::new(XChaCha20Poly1305::new(&Key::from(key)));
        zeroize::Zeroize::zeroize(&mut key);
        if state.unsaved.is_empty() {
            state.unsaved_from = number;
        }
        let ring = self.ring.current();
        state.unsaved.extend_from_slice(&Slot::Key { ring, name, nonce, wrapped }.bytes(number));
        state.next = number.checked_add(1)?;
        Some((number, cipher))
    }

    /// A key for a message that is about nobody yet, or about several.
    fn key_of_message(&self, state: &mut State) -> Option<u32> {
        let (number, cipher) = state.reserve.pop_front().or_else(|| self.make(state, [0; 16]))?;
        remember(state, number, cipher);
        for _ in 0..AHEAD {
            // What cannot be made now is made when it is wanted.
            let made = if state.reserve.len() < RESERVE { self.make(state, [0; 16]) } else { None };
            state.reserve.extend(made);
        }
        Some(number)
    }

    /// The key that something is sealed under; none for what is the house's.
    fn key_for(&self, state: &mut State, sealing: &Sealing) -> Option<Option<u32>> {
        let key = match sealing {
            Sealing::House => return Some(None),
            Sealing::Key(key) => *key,
            Sealing::Message => self.key_of_message(state)?,
            Sealing::Person(mrn) => {
                let name = self.name_of(mrn);
                match state.names.get(&short(&name)) {
                    Some(known) => *known,
                    None => {
                        let (number, cipher) = self.make(state, name)?;
                        remember(state, number, cipher);
                        state.names.insert(short(&name), number);
                        number
                    }
                }
            }
        };
        state.used = state.used.max(key);
        Some(Some(key))
    }

    /// Seals what stands behind [`blank`] in place, and gives the key's number. An error when it cannot be done.
    pub(super) fn seal(&self, sealing: &Sealing, piece: &mut Vec<u8>) -> Result<u32, String> {
        let failed = || "no key of a person can be made".to_owned();
        let (key, cipher, nonce) = {
            let mut state = self.state();
            let key = self.key_for(&mut state, sealing).flatten().ok_or_else(failed)?;
            let cipher = self.cipher(&mut state, key)?.ok_or_else(|| format!("key {key} of a person was destroyed"))?;
            (key, cipher, state.nonces.next())
        };
        let (head, body) = piece.split_first_chunk_mut::<NONCE_BYTES>().ok_or_else(failed)?;
        *head = nonce;
        let tag = cipher.encrypt_inout_detached(&XNonce::from(nonce), &key.to_le_bytes(), body.into()).map_err(|_| failed())?;
        piece.extend_from_slice(&tag);
        Ok(key)
    }

    /// Opens what was sealed under a key; none when it was destroyed. An error when it cannot be done although it should.
    pub(super) fn open_sealed(&self, key: u32, sealed: &[u8]) -> Result<Option<Vec<u8>>, String> {
        let Some(cipher) = self.cipher(&mut self.state(), key)? else { return Ok(None) };
        let broken = || format!("what is sealed under key {key} of a person is broken");
        let (nonce, body) = sealed.split_first_chunk::<NONCE_BYTES>().ok_or_else(broken)?;
        let mut body = body.to_vec();
        cipher.decrypt_in_place(&XNonce::from(*nonce), &key.to_le_bytes(), &mut body).map_err(|_| broken())?;
        Ok(Some(body))
    }

    /// A key, ready to be used; none when it was destroyed.
    fn cipher(&self, state: &mut State, number: u32) -> Result<Option<Arc<XChaCha20Poly1305>>, String> {
        if let Some(known) = state.opened.get(&number) {
            return Ok(Some(known.clone()));
        }
        let lost = || format!("key {number} of {} is missing or damaged: restore this file from the mirror or a backup", self.path.display());
        let Slot::Key { ring, name, nonce, wrapped } = self.slot(state, number).ok_or_else(lost)? else { return Ok(None) };
        let mut key = wrapped.to_vec();
        let no_ring = || format!("key {number} of {} is wrapped by key {ring}, which the key ring does not hold", self.path.display());
        self.ring.open(ring, &nonce, &bound(number, &name), &mut key).ok_or_else(no_ring)?;
        let bytes: [u8; KEY_BYTES] = key.as_slice().try_into().map_err(|_| lost())?;
        let cipher = Arc::new(XChaCha20Poly1305::new(&Key::from(bytes)));
        zeroize::Zeroize::zeroize(&mut key);
        remember(state, number, cipher.clone());
        Ok(Some(cipher))
    }

    fn slot(&self, state: &State, number: u32) -> Option<Slot> {
        let mut bytes = [0; SLOT];
        match number.checked_sub(state.unsaved_from).filter(|_| !state.unsaved.is_empty()) {
            Some(at) => bytes.copy_from_slice(state.unsaved.get(at as usize * SLOT..(at as usize + 1) * SLOT)?),
            None => state.file.read_exact_at(&mut bytes, u64::from(number) * SLOT as u64).ok()?,
        }
        Slot::read(&bytes, number)
    }

    /// Whether so many keys wait for the disk that no more should be made.
    pub(super) fn has_many_unsaved(&self) -> bool {
        self.state().unsaved.len() > UNSAVED
    }

    /// What must be on the disk before an event that was sealed: where, and which bytes; none when all that is used is there.
    pub(super) fn unsaved(&self) -> Option<(u64, Vec<u8>)> {
        let state = self.state();
        let is_used = !state.unsaved.is_empty() && state.used >= state.unsaved_from;
        is_used.then(|| state.place_of_unsaved())
    }

    /// The same of keys that nobody has used yet, when they are worth a sync.
    pub(super) fn ahead(&self) -> Option<(u64, Vec<u8>)> {
        let state = self.state();
        (state.unsaved.len() >= WORTH_A_SYNC).then(|| state.place_of_unsaved())
    }

    /// So many bytes of it are durable now.
    pub(super) fn saved(&self, bytes: usize) {
        let mut state = self.state();
        state.unsaved.drain(..bytes);
        state.unsaved_from += u32::try_from(bytes / SLOT).unwrap_or(u32::MAX);
    }

    pub(super) fn file(&self) -> Arc<File> {
        self.state().file.clone()
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// All keys of a person that are not destroyed.
    pub(super) fn keys_of(&self, mrn: &Mrn) -> Result<Vec<u32>, JournalError> {
        let name = self.name_of(mrn);
        let mut found = Vec::new();
        each_slot(&self.path, |number, slot| {
            if matches!(Slot::read(slot, number), Some(Slot::Key { name: known, .. }) if known == name) {
                found.push(number);
            }
        })?;
        Ok(found)
    }

    /// The bytes that take a key's place, and where.
    pub(super) fn destroyed(key: u32) -> (u64, [u8; SLOT]) {
        (u64::from(key) * SLOT as u64, Slot::Destroyed.bytes(key))
    }

    /// Keys are destroyed on the disk: they are forgotten here too.
    pub(super) fn forget(&self, keys: &[u32]) {
        let (mut state, gone) = (self.state(), keys.iter().copied().collect::<HashSet<u32>>());
        state.opened.retain(|key, _| !gone.contains(key));
        state.names.retain(|_, key| !gone.contains(key));
    }
}

fn remember(state: &mut State, number: u32, cipher: Arc<XChaCha20Poly1305>) {
    if state.opened.len() >= OPENED {
        state.opened.clear();
    }
    state.opened.insert(number, cipher);
}

/// The bytes of a directory's file; none where there is none. What a copy that was cut off has left is removed: it holds keys too.
fn load(directory: &Path) -> Result<Vec<u8>, JournalError> {
    let path = directory.join(FILE);
    let _ = std::fs::remove_file(path.with_extension("part"));
    match std::fs::read(&path) {
        Ok(bytes) => Ok(bytes),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(Vec::new()),
        Err(error) => Err(JournalError::io(path, "read")(error)),
    }
}

/// What two copies hold together: what was destroyed in one is destroyed, and what is damaged or missing in one is as in the other. An error
/// with the key's number when they are of two journals.
fn together(ours: &[u8], theirs: &[u8]) -> Result<Vec<u8>, u32> {
    let count = ours.len().max(theirs.len()).div_ceil(SLOT);
    let mut both = vec![0; count * SLOT];
    for (number, place) in (0_u32..).zip(both.chunks_mut(SLOT)).skip(1) {
        let of = |bytes: &[u8]| bytes.get(number as usize * SLOT..(number as usize + 1) * SLOT).and_then(|bytes| Slot::read(bytes, number));
        let slot = match (of(ours), of(theirs)) {
            (Some(one @ Slot::Key { .. }), Some(other @ Slot::Key { .. })) if one != other => return Err(number),
            (Some(Slot::Destroyed), _) | (_, Some(Slot::Destroyed)) => Some(Slot::Destroyed),
            (known @ Some(_), _) | (None, known) => known,
        };
        if let Some(slot) = slot {
            place.copy_from_slice(&slot.bytes(number));
        }
    }
    Ok(both)
}

/// Makes two copies of the file the same; nothing is changed when they are of two journals.
pub(super) fn reconcile(one: &Path, other: &Path) -> Result<(), JournalError> {
    let (ours, theirs) = (load(one)?, load(other)?);
    let both = together(&ours, &theirs).map_err(|key| JournalError::OtherKeys(one.to_owned(), other.to_owned(), key))?;
    for (directory, known) in [(one, ours), (other, theirs)] {
        if known != both {
            backup::place(&directory.join(FILE), &both)?;
        }
    }
    Ok(())
}

/// Brings a copy up to date; the bytes that were written. A copy never loses a key that is whole, but for those that were destroyed.
pub(super) fn copy(from: &Path, to: &Path) -> Result<u64, JournalError> {
    let (ours, theirs) = (load(from)?, load(to)?);
    let both = together(&ours, &theirs).map_err(|key| JournalError::OtherKeys(from.to_owned(), to.to_owned(), key))?;
    if both != theirs {
        backup::place(&to.join(FILE), &both)?;
    }
    let last = |bytes: &[u8]| (0..).zip(bytes.chunks(SLOT)).skip(1).filter(|(number, slot)| Slot::read(slot, *number).is_some()).map(|(number, _)| number).last();
    if last(&ours) < last(&theirs) {
        return Err(JournalError::FewerKeys(from.to_owned(), to.to_owned()));
    }
    Ok(if both == theirs { 0 } else { both.len() as u64 })
}

/// What a directory's file holds.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Scan {
    /// The number behind the last slot that is whole.
    end: u32,
    /// Before it, where nothing was ever written: a loss of power may leave these, and no event names them.
    blank: HashSet<u32>,
    /// The first one before it that is damaged.
    pub(super) damaged: Option<u32>,
}

impl Scan {
    /// Whether there is no key at all.
    pub(super) fn is_empty(&self) -> bool {
        self.end == 0
    }

    /// Whether what is sealed under a key can be read, or was erased.
    pub(super) fn holds(&self, key: u32) -> bool {
        key < self.end && !self.blank.contains(&key)
    }
}

/// Looks through a directory's file.
pub(super) fn scan(directory: &Path) -> Result<Scan, JournalError> {
    let (mut found, mut blank, mut damaged) = (Scan::default(), Vec::new(), None);
    each_slot(&directory.join(FILE), |number, slot| {
        if Slot::read(slot, number).is_some() {
            found.end = number + 1;
            // Only what lies before a whole one was left behind; behind the last it is a tail that the next keys are written over or after.
            found.blank.extend(blank.drain(..));
            found.damaged = found.damaged.or(damaged.take());
        } else if slot.iter().all(|byte| *byte == 0) {
            blank.push(number);
        } else {
            damaged = damaged.or(Some(number));
        }
    })?;
    Ok(found)
}

#[cfg(test)]
#[path = "personal_tests.rs"]
pub(super) mod tests;
