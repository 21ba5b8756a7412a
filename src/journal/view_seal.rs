//! The seal of the views' rows: values are encrypted like the journal's records, and names that are a patient's
//! identifier are replaced by a keyed hash, so that the store on the disk names nobody.

use std::sync::{Arc, Mutex, PoisonError};

use super::keyring::{KeyError, NONCE_BYTES, Nonces};
use super::{KeyRing, views::ViewsError};

/// Rows whose names hold an identifier of a patient: accounts, patients, visits, tags (a wristband is one), snapshots of any.
const NAMED_AFTER_PATIENTS: &[&str] = &[
    "row/account/",
    "row/band/",
    "row/booked/",
    "row/chart/",
    "row/encounter/",
    "row/links/",
    "row/patient/",
    "row/tag/",
    "row/tag-band/",
    "row/trail/",
    "row/vitals/",
    "snapshot/",
];
/// Bytes of the keyed hash that stand in a row's name.
const HASH_BYTES: usize = 16;

/// Seals and opens rows.
pub(super) struct ViewSeal {
    keys: Arc<KeyRing>,
    nonces: Mutex<Nonces>,
}

/// The part of a key that stays readable, when the rest is hidden.
pub(super) fn hidden_prefix(key: &str) -> Option<&'static str> {
    NAMED_AFTER_PATIENTS.iter().copied().find(|prefix| key.starts_with(prefix))
}

impl ViewSeal {
    pub(super) fn new(keys: Arc<KeyRing>) -> Result<Self, KeyError> {
        Ok(Self { keys, nonces: Mutex::new(Nonces::new()?) })
    }

    /// The name that a row has in the store.
    pub(super) fn name(&self, key: &str) -> String {
        let Some(prefix) = hidden_prefix(key) else { return key.to_owned() };
        let hash = self.keys.name_hash(key.as_bytes());
        let hex: String = hash.iter().take(HASH_BYTES).map(|byte| format!("{byte:02x}")).collect();
        format!("{prefix}{hex}")
    }

    /// The stored form of a value: key id, nonce, sealed (length of the row's key, key, value).
    pub(super) fn seal(&self, name: &str, key: &str, value: &[u8]) -> Result<Vec<u8>, ViewsError> {
        let nonce = self.nonces.lock().unwrap_or_else(PoisonError::into_inner).next();
        let mut body = Vec::with_capacity(key.len() + value.len() + 20);
        body.extend_from_slice(&u32::try_from(key.len()).unwrap_or(u32::MAX).to_le_bytes());
        body.extend_from_slice(key.as_bytes());
        body.extend_from_slice(value);
        self.keys.seal(&nonce, name.as_bytes(), &mut body).ok_or_else(|| ViewsError::new(format!("row {name} cannot be sealed")))?;
        let mut stored = Vec::with_capacity(4 + NONCE_BYTES + body.len());
        stored.extend_from_slice(&self.keys.current().to_le_bytes());
        stored.extend_from_slice(&nonce);
        stored.append(&mut body);
        Ok(stored)
    }

    /// A row's key and value from their stored form; an error when it is not ours or was changed.
    pub(super) fn open(&self, name: &[u8], stored: &[u8]) -> Result<(String, Vec<u8>), ViewsError> {
        let broken = || ViewsError::new(format!("the seal of row {} is broken, or of a key that the key ring does not hold", String::from_utf8_lossy(name)));
        let (id, rest) = stored.split_first_chunk().ok_or_else(broken)?;
        let (nonce, body) = rest.split_first_chunk::<NONCE_BYTES>().ok_or_else(broken)?;
        let mut body = body.to_vec();
        self.keys.open(u32::from_le_bytes(*id), nonce, name, &mut body).ok_or_else(broken)?;
        let (length, rest) = body.split_first_chunk().ok_or_else(broken)?;
        let (key, value) = rest.split_at_checked(u32::from_le_bytes(*length) as usize).ok_or_else(broken)?;
        Ok((String::from_utf8_lossy(key).into_owned(), value.to_vec()))
    }
}
