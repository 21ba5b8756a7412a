//! Signed heads: once a day, and at each start, wardd signs how far the log goes and with which chain value, and keeps it beside the log.
//!
//! The chain finds every change by somebody without the key ring. Who has the ring could write a whole other chain; but a head that was given
//! away before, to an auditor or the collector of system logs, no longer agrees with it, and its signature says that it was ours.

use std::collections::BTreeMap;
use std::io::Write;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::record::Chain;
use super::{JournalError, KeyRing, high_water};
use crate::kernel::Timestamp;

/// The file beside the segments, a head a line.
const FILE: &str = "heads";

/// How far the log went at a moment, signed (Ed25519, RFC 8032).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Head {
    /// When it was signed.
    pub at: Timestamp,
    /// The last event.
    pub sequence: u64,
    /// The chain value of the record that ends with it, in hexadecimal.
    pub chain: String,
    /// The public key, in hexadecimal.
    pub signer: String,
    /// The signature of the three above, in hexadecimal.
    pub signature: String,
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn bytes_of(hex: &str) -> Option<Vec<u8>> {
    let digits = hex.as_bytes();
    (digits.len().is_multiple_of(2)).then_some(())?;
    digits.chunks(2).map(|pair| u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok()).collect()
}

impl Head {
    /// What is signed: a text that anybody can write down again.
    fn text(at: Timestamp, sequence: u64, chain: &str) -> String {
        format!("wardd head 1\n{at}\n{sequence}\n{chain}\n")
    }

    fn sign(keys: &KeyRing, at: Timestamp, sequence: u64, chain: &Chain) -> Option<Self> {
        let chain = hex(chain);
        let (signer, signature) = keys.sign(Self::text(at, sequence, &chain).as_bytes())?;
        Some(Self { at, sequence, chain, signer: hex(&signer), signature: hex(&signature) })
    }

    /// Whether the signature is its signer's.
    pub fn is_genuine(&self) -> bool {
        let (Some(signer), Some(signature)) = (bytes_of(&self.signer), bytes_of(&self.signature)) else { return false };
        let key = ring::signature::UnparsedPublicKey::new(&ring::signature::ED25519, signer);
        key.verify(Self::text(self.at, self.sequence, &self.chain).as_bytes(), &signature).is_ok()
    }

    /// Why it does not stand for this log; `chain` is the log's own value behind the event, none where it has none.
    pub(super) fn contradicts(&self, keys: Option<&KeyRing>, chain: Option<&Chain>) -> Option<String> {
        let signed = format!("the head that was signed on {}", self.at);
        if !self.is_genuine() || keys.and_then(KeyRing::signer).is_some_and(|signer| hex(&signer) != self.signer) {
            return Some(format!("{signed} is not signed by this key ring: the file `{FILE}` was changed"));
        }
        match chain {
            Some(chain) if hex(chain) == self.chain => None,
            Some(_) => Some(format!("{signed} names another chain behind event {}: the log was written anew since", self.sequence)),
            None => Some(format!("{signed} names event {}, which is not there: the log was cut since", self.sequence)),
        }
    }
}

/// The heads beside a log, in their order. A line that a crash has left half is none.
pub fn read(directory: &Path) -> Result<Vec<Head>, JournalError> {
    let path = directory.join(FILE);
    let text = match std::fs::read_to_string(&path) {
        Ok(text) => text,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(JournalError::io(path, "read")(error)),
    };
    let whole = text.rsplit_once('\n').map_or("", |(whole, _)| whole);
    let line = |(number, line): (usize, &str)| {
        serde_json::from_str(line).map_err(|error| JournalError::Unreadable(format!("{}, line {}: {error}: the file was changed", path.display(), number + 1)))
    };
    whole.lines().enumerate().map(line).collect()
}

fn write(path: PathBuf, heads: &[Head]) -> Result<(), JournalError> {
    let lines: Vec<String> = heads.iter().filter_map(|head| serde_json::to_string(head).ok()).map(|line| line + "\n").collect();
    let place = || -> std::io::Result<()> {
        let new = path.with_extension("new");
        let mut file = std::fs::File::create(&new)?;
        file.write_all(lines.concat().as_bytes())?;
        file.sync_all()?;
        std::fs::rename(&new, &path)?;
        path.parent().map_or(Ok(()), |folder| std::fs::File::open(folder)?.sync_all())
    };
    place().map_err(JournalError::io(&path, "write"))
}

/// Signs how far the log is durable now; none while it holds nothing. A head that is there already stays.
pub fn sign(directory: &Path, keys: &KeyRing, now: Timestamp) -> Result<Option<Head>, JournalError> {
    let Some(mark) = high_water::read(directory).filter(|mark| mark.sequence > 0) else { return Ok(None) };
    let mut heads = read(directory)?;
    if let Some(last) = heads.last().filter(|last| last.sequence == mark.sequence) {
        return Ok(Some(last.clone()));
    }
    let Some(head) = Head::sign(keys, now, mark.sequence, &mark.chain) else { return Ok(None) };
    heads.push(head.clone());
    write(directory.join(FILE), &heads)?;
    Ok(Some(head))
}

/// Copies the heads of what a copy holds.
pub(super) fn copy(journal: &Path, to: &Path, events: u64) -> Result<(), JournalError> {
    let mut heads = read(journal)?;
    heads.retain(|head| head.sequence <= events);
    if heads.is_empty() { Ok(()) } else { write(to.join(FILE), &heads) }
}

/// The heads by their events, for whoever walks the log.
pub(super) fn by_event(directory: &Path) -> Result<BTreeMap<u64, Head>, JournalError> {
    Ok(read(directory)?.into_iter().map(|head| (head.sequence, head)).collect())
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::journal::backup::tests::{Place, fill};
    use crate::journal::backup::{backup, restore};
    use crate::journal::verify::verify;
    use crate::journal::{FileLog, Options};

    fn day(day: u8) -> Timestamp {
        format!("2026-11-{day:02}T00:00:00Z").parse().unwrap()
    }

    /// A log of three days with a head each.
    fn three_days(place: &Place, keys: &Arc<KeyRing>) -> PathBuf {
        let directory = place.join("journal");
        let options = Options { segment_bytes: 16 << 10, ..Options::default() };
        let log = FileLog::open(&directory, keys.clone(), options).unwrap().0;
        assert_eq!(sign(&directory, keys, day(20)).unwrap(), None, "nothing to sign");
        for number in 21..24 {
            fill(&log, 40);
            let head = sign(&directory, keys, day(number)).unwrap().unwrap();
            assert!(head.is_genuine());
            assert_eq!(sign(&directory, keys, day(number)).unwrap(), Some(head), "once");
        }
        drop(log);
        directory
    }

    #[test]
    fn heads_agree_with_their_log_and_its_copies() {
        let (place, keys) = (Place::new(), Arc::new(KeyRing::ephemeral().unwrap()));
        let directory = three_days(&place, &keys);
        assert_eq!(verify(&directory, Some(&keys)).unwrap().heads, 3);
        assert_eq!(verify(&directory, None).unwrap().heads, 3, "whoever has no key ring checks signatures and chain all the same");
        backup(&directory, &place.join("copy"), Some(&keys)).unwrap();
        restore(&place.join("copy"), &place.join("back"), Some(&keys)).unwrap();
        assert_eq!(verify(&place.join("back"), Some(&keys)).unwrap().heads, 3);
    }

    #[test]
    fn a_log_that_was_written_anew_or_cut_by_who_has_the_keys_is_found_out() {
        let (place, keys) = (Place::new(), Arc::new(KeyRing::ephemeral().unwrap()));
        let directory = three_days(&place, &keys);
        // Somebody with the key ring writes another log, whole in itself, and puts the heads of the old one beside it.
        for (events, word) in [(120, "written anew"), (60, "cut")] {
            let other = place.join(&format!("other-{events}"));
            let log = FileLog::open(&other, keys.clone(), Options { segment_bytes: 16 << 10, ..Options::default() }).unwrap().0;
            fill(&log, events);
            drop(log);
            verify(&other, Some(&keys)).unwrap();
            std::fs::copy(directory.join(FILE), other.join(FILE)).unwrap();
            let error = verify(&other, Some(&keys)).unwrap_err().to_string();
            assert!(error.contains("written anew") || error.contains(word), "{error}");
        }
    }

    #[test]
    fn a_head_that_was_changed_or_signed_by_another_is_found_out() {
        let (place, keys) = (Place::new(), Arc::new(KeyRing::ephemeral().unwrap()));
        let directory = three_days(&place, &keys);
        let file = directory.join(FILE);
        let text = std::fs::read_to_string(&file).unwrap();
        let heads = read(&directory).unwrap();
        let replaced = |from: &str, to: &str| std::fs::write(&file, text.replacen(from, to, 1)).unwrap();
        for (from, to) in [("2026-11-21", "2026-11-20"), ("\"sequence\":40", "\"sequence\":41"), (&heads[0].signature[..8], "00000000"), (&heads[1].chain[..8], "00000000")] {
            replaced(from, to);
            let error = verify(&directory, Some(&keys)).unwrap_err().to_string();
            assert!(error.contains("not signed by this key ring"), "{from}: {error}");
        }
        let stranger = KeyRing::ephemeral().unwrap();
        let chain: Chain = bytes_of(&heads[0].chain).unwrap().try_into().unwrap();
        let forged = Head::sign(&stranger, day(21), 40, &chain).unwrap();
        write(file.clone(), &[forged]).unwrap();
        assert!(verify(&directory, Some(&keys)).unwrap_err().to_string().contains("not signed by this key ring"));
        // A line that is no head, and one that a crash has left half.
        std::fs::write(&file, text.clone() + "x\n").unwrap();
        assert!(verify(&directory, None).unwrap_err().to_string().contains("line 4"));
        std::fs::write(&file, text + "{\"at\":").unwrap();
        assert_eq!(verify(&directory, Some(&keys)).unwrap().heads, 3);
    }
}
