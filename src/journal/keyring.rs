//! The key ring: which keys seal the log. New records use the current key; old keys stay to read old records.

use std::collections::BTreeMap;
use std::io::Write;
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use chacha20::XChaCha20;
use chacha20::cipher::{KeyIvInit, StreamCipher, StreamCipherSeek};
use chacha20poly1305::aead::{AeadInOut, KeyInit};
use chacha20poly1305::{Key, XChaCha20Poly1305, XNonce};
use serde::Deserialize;
use sha2::{Digest, Sha256};
use zeroize::Zeroize;

/// Bytes of a nonce (XChaCha20).
pub const NONCE_BYTES: usize = 24;
/// Bytes that sealing adds (Poly1305).
pub const TAG_BYTES: usize = 16;

/// Why keys cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum KeyError {
    /// No file there.
    #[error("WD-0110 key ring {path}: {source}: create one with `wardctl keyring new {path}`, and keep a copy where the data is not")]
    Missing {
        /// The file.
        path: PathBuf,
        /// The system's word.
        source: std::io::Error,
    },
    /// It is there already.
    #[error(
        "WD-0114 key ring {0} exists already: it is kept, since what it sealed can be read with nothing else; name another file for a new one, or use `wardctl keyring rotate`"
    )]
    Exists(PathBuf),
    /// It cannot be written.
    #[error("key ring {path}: {source}: name a file in a folder that can be written")]
    Write {
        /// The file.
        path: PathBuf,
        /// The system's word.
        source: std::io::Error,
    },
    /// Others can read it.
    #[error("WD-0111 key ring {0} can be read by others (mode {1:o}): chmod 600 it")]
    Open(PathBuf, u32),
    /// Not the right form.
    #[error("WD-0112 key ring {path}: {why}")]
    Form {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        why: String,
    },
    /// The system has no randomness.
    #[error("key ring: no random bytes from the system: {0}")]
    Random(String),
}

/// The file's form.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RingFile {
    /// The key that seals new records.
    current: u32,
    /// Key ids and 64 hexadecimal digits each.
    keys: BTreeMap<String, String>,
}

/// Keys by id, ready to seal and open.
pub struct KeyRing {
    current: u32,
    /// Derived from the first key, which stays in the ring: names must not change when a key is added.
    names: [u8; 32],
    /// What signs heads; derived from the first key as well.
    signing: zeroize::Zeroizing<[u8; 32]>,
    ciphers: BTreeMap<u32, Cipher>,
}

/// A key in both of its uses: a whole is sealed and authenticated; a part of what was authenticated before is read alone.
struct Cipher {
    whole: XChaCha20Poly1305,
    key: zeroize::Zeroizing<[u8; 32]>,
}

impl Cipher {
    fn new(key: [u8; 32]) -> Self {
        Self { whole: XChaCha20Poly1305::new(&Key::from(key)), key: key.into() }
    }
}

impl std::fmt::Debug for KeyRing {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "KeyRing(current {}, keys {:?})", self.current, self.ciphers.keys())
    }
}

fn random<const N: usize>() -> Result<[u8; N], KeyError> {
    let mut bytes = [0; N];
    getrandom::fill(&mut bytes).map_err(|error| KeyError::Random(error.to_string()))?;
    Ok(bytes)
}

/// The secret that names are hashed with, derived from a key so that neither tells the other.
fn names_of(key: &[u8; 32]) -> [u8; 32] {
    Sha256::new().chain_update(b"wardd: names in the views").chain_update(key).finalize().into()
}

/// The seed of the key that signs heads, derived likewise.
fn signing_of(key: &[u8; 32]) -> [u8; 32] {
    Sha256::new().chain_update(b"wardd: signs heads of the journal").chain_update(key).finalize().into()
}

impl KeyRing {
    /// One random key that lives as long as the process: what is sealed with it is unreadable afterwards.
    pub fn ephemeral() -> Result<Self, KeyError> {
        let mut key: [u8; 32] = random()?;
        let cipher = Cipher::new(key);
        let (names, signing) = (names_of(&key), signing_of(&key).into());
        key.zeroize();
        Ok(Self { current: 1, names, signing, ciphers: BTreeMap::from([(1, cipher)]) })
    }

    /// Reads a key ring file, which only its owner may read.
    pub fn load(path: &Path) -> Result<Self, KeyError> {
        let missing = |source| KeyError::Missing { path: path.to_owned(), source };
        let mode = std::fs::metadata(path).map_err(missing)?.permissions().mode();
        if mode & 0o077 != 0 {
            return Err(KeyError::Open(path.to_owned(), mode & 0o777));
        }
        let mut text = std::fs::read_to_string(path).map_err(missing)?;
        let ring = Self::parse(&text).map_err(|why| KeyError::Form { path: path.to_owned(), why });
        text.zeroize();
        ring
    }

    fn parse(text: &str) -> Result<Self, String> {
        let mut file: RingFile = toml::from_str(text).map_err(|error| error.message().to_owned())?;
        let mut ciphers = BTreeMap::new();
        let mut names = BTreeMap::new();
        for (id, hex) in &mut file.keys {
            let number: u32 = id.parse().map_err(|_| format!("key id {id:?} is no number"))?;
            let mut key = [0_u8; 32];
            let digits = hex.as_bytes();
            if digits.len() != 64 || !digits.iter().all(u8::is_ascii_hexdigit) {
                return Err(format!("key {id} is not 64 hexadecimal digits"));
            }
            for (byte, pair) in key.iter_mut().zip(digits.chunks(2)) {
                *byte = std::str::from_utf8(pair).ok().and_then(|pair| u8::from_str_radix(pair, 16).ok()).unwrap_or(0);
            }
            ciphers.insert(number, Cipher::new(key));
            names.insert(number, (names_of(&key), signing_of(&key)));
            key.zeroize();
            hex.zeroize();
        }
        if !ciphers.contains_key(&file.current) {
            return Err(format!("current is {}, but there is no such key", file.current));
        }
        let (names, signing) = names.into_values().next().unwrap_or_default();
        Ok(Self { current: file.current, names, signing: signing.into(), ciphers })
    }

    /// Writes a key ring file with one new key; refuses to overwrite.
    pub fn create(path: &Path) -> Result<(), KeyError> {
        Self::write_new(path, 1, &[])
    }

    /// Adds a new key to a key ring file and makes it current; older keys stay to read older records.
    pub fn rotate(path: &Path) -> Result<u32, KeyError> {
        Self::load(path)?;
        let missing = |source| KeyError::Missing { path: path.to_owned(), source };
        let text = std::fs::read_to_string(path).map_err(missing)?;
        let file: RingFile = toml::from_str(&text).map_err(|error| KeyError::Form { path: path.to_owned(), why: error.message().to_owned() })?;
        let next = file.keys.keys().filter_map(|id| id.parse::<u32>().ok()).max().unwrap_or(0) + 1;
        let old: Vec<(String, String)> = file.keys.into_iter().collect();
        let temporary = path.with_extension("new");
        Self::write_new(&temporary, next, &old)?;
        std::fs::rename(&temporary, path).map_err(missing)?;
        Ok(next)
    }

    fn write_new(path: &Path, current: u32, old: &[(String, String)]) -> Result<(), KeyError> {
        let failed = |source: std::io::Error| match source.kind() {
            std::io::ErrorKind::AlreadyExists => KeyError::Exists(path.to_owned()),
            _ => KeyError::Write { path: path.to_owned(), source },
        };
        let mut key: [u8; 32] = random()?;
        let mut text = format!("# wardd key ring: whoever has this file can read the journal; whoever loses it cannot.\ncurrent = {current}\n\n[keys]\n");
        for (id, hex) in old {
            text.push_str(&format!("{id} = \"{hex}\"\n"));
        }
        text.push_str(&format!("{current} = \"{}\"\n", key.iter().map(|byte| format!("{byte:02x}")).collect::<String>()));
        key.zeroize();
        let mut file = std::fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(path).map_err(failed)?;
        file.write_all(text.as_bytes()).and_then(|()| file.sync_all()).map_err(failed)?;
        text.zeroize();
        Ok(())
    }

    /// The id of the key that seals new records.
    pub fn current(&self) -> u32 {
        self.current
    }

    /// Seals `buffer` in place under the current key; the tag is appended. `None` when there is no such key.
    pub fn seal(&self, nonce: &[u8; NONCE_BYTES], associated: &[u8], buffer: &mut Vec<u8>) -> Option<()> {
        let cipher = self.ciphers.get(&self.current)?;
        cipher.whole.encrypt_in_place(&XNonce::from(*nonce), associated, buffer).ok()
    }

    /// Seals `buffer` in place under the current key and gives the tag. `None` when there is no such key.
    pub fn seal_in_place(&self, nonce: &[u8; NONCE_BYTES], associated: &[u8], buffer: &mut [u8]) -> Option<[u8; TAG_BYTES]> {
        let cipher = self.ciphers.get(&self.current)?;
        cipher.whole.encrypt_inout_detached(&XNonce::from(*nonce), associated, buffer.into()).ok().map(Into::into)
    }

    /// Opens `buffer` in place under a key; `None` when the key is missing or the seal is broken.
    pub fn open(&self, key: u32, nonce: &[u8; NONCE_BYTES], associated: &[u8], buffer: &mut Vec<u8>) -> Option<()> {
        let cipher = self.ciphers.get(&key)?;
        cipher.whole.decrypt_in_place(&XNonce::from(*nonce), associated, buffer).ok()
    }

    /// Opens a part of what was sealed, which begins `at` bytes behind the whole's beginning; nothing is authenticated, so the
    /// caller must know what to expect. `None` when the key is missing.
    pub(super) fn open_part(&self, key: u32, nonce: &[u8; NONCE_BYTES], at: u64, buffer: &mut [u8]) -> Option<()> {
        let cipher = self.ciphers.get(&key)?;
        let mut stream = XChaCha20::new((&*cipher.key).into(), nonce.into());
        // The first block of the key stream is the authenticator's (RFC 8439, section 2.8).
        stream.try_seek(at + 64).ok()?;
        stream.apply_keystream(buffer);
        Some(())
    }

    /// A keyed hash of a name: the same name gives the same hash, and nobody without the ring can tell which.
    pub fn name_hash(&self, name: &[u8]) -> [u8; 32] {
        Sha256::new().chain_update(self.names).chain_update(name).finalize().into()
    }

    fn signing_pair(&self) -> Option<ring::signature::Ed25519KeyPair> {
        ring::signature::Ed25519KeyPair::from_seed_unchecked(&*self.signing).ok()
    }

    /// The public key that heads of the journal are checked with.
    pub fn signer(&self) -> Option<Vec<u8>> {
        Some(ring::signature::KeyPair::public_key(&self.signing_pair()?).as_ref().to_vec())
    }

    /// The public key and the signature of a text.
    pub(super) fn sign(&self, text: &[u8]) -> Option<(Vec<u8>, Vec<u8>)> {
        Some((self.signer()?, self.signing_pair()?.sign(text).as_ref().to_vec()))
    }

    /// Whether the ring holds a key.
    pub fn holds(&self, key: u32) -> bool {
        self.ciphers.contains_key(&key)
    }
}

/// Nonces that never repeat: a random prefix for each start, then a counter.
#[derive(Debug)]
pub struct Nonces {
    prefix: [u8; 16],
    counter: u64,
}

impl Nonces {
    /// A new prefix.
    pub fn new() -> Result<Self, KeyError> {
        Ok(Self { prefix: random()?, counter: 0 })
    }

    /// The next nonce.
    #[expect(clippy::should_implement_trait, reason = "it never ends, and an Iterator's adaptors would invite reuse")]
    pub fn next(&mut self) -> [u8; NONCE_BYTES] {
        let mut nonce = [0; NONCE_BYTES];
        nonce[..16].copy_from_slice(&self.prefix);
        nonce[16..].copy_from_slice(&self.counter.to_le_bytes());
        self.counter = self.counter.wrapping_add(1);
        nonce
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_created_loaded_rotated_and_guarded() {
        let directory = std::env::temp_dir().join(format!("wardd-keys-{}", std::process::id()));
        std::fs::create_dir_all(&directory).unwrap();
        let path = directory.join("ring.toml");
        let _ = std::fs::remove_file(&path);
        assert!(KeyRing::load(&path).unwrap_err().to_string().contains("wardctl keyring new"));
        KeyRing::create(&path).unwrap();
        assert!(matches!(KeyRing::create(&path), Err(KeyError::Exists(_))), "never overwritten");
        let old = KeyRing::load(&path).unwrap();
        let mut text = b"secret".to_vec();
        let nonce = Nonces::new().unwrap().next();
        old.seal(&nonce, b"place", &mut text).unwrap();
        assert_eq!(KeyRing::rotate(&path).unwrap(), 2);
        let new = KeyRing::load(&path).unwrap();
        assert_eq!(new.current(), 2);
        assert!(new.open(1, &nonce, b"other place", &mut text.clone()).is_none(), "the place is bound");
        new.open(1, &nonce, b"place", &mut text).unwrap();
        assert_eq!(text, b"secret");
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o644)).unwrap();
        assert!(matches!(KeyRing::load(&path), Err(KeyError::Open(_, 0o644))));
        std::fs::remove_dir_all(&directory).unwrap();
        for (text, part) in [("current = 2\n[keys]\n1 = \"00\"", "64 hex"), ("current = 2\n[keys]", "no such key"), ("x = 1", "unknown field")] {
            assert!(KeyRing::parse(text).unwrap_err().contains(part), "{text}");
        }
    }
}
