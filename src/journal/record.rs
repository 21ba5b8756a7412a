//! The layout of a record on disk. All numbers are little endian.
//!
//! ```text
//! 0   magic "wRec"                    4
//! 4   length of what follows at 12    4
//! 8   CRC32C of what follows at 12    4
//! 12  kind, format, event count       1 + 1 + 2
//! 16  key id                          4
//! 20  sequence of the first event     8
//! 28  sequence known durable before   8
//! 36  recorded, µs since 1970         8
//! 44  chain: SHA-256(chain before, bytes 12..44, bytes 76..)   32
//! 76  nonce                           24
//! 100 sealed body and tag             n
//! ```

use sha2::{Digest, Sha256};

use super::keyring::{KeyRing, NONCE_BYTES, Nonces, TAG_BYTES};
use crate::kernel::limits;

pub(super) const MAGIC: [u8; 4] = *b"wRec";
/// Bytes before the sealed body.
pub(super) const HEADER_BYTES: usize = 100;
const PREFIX_BYTES: usize = 12;
const FORMAT: u8 = 1;

/// The hash of a record over everything before it.
pub(super) type Chain = [u8; 32];

/// What a record holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// The events of one command.
    Events,
    /// The index of a segment that is full.
    Footer,
}

/// The part of a record that is not sealed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Header {
    pub(super) kind: Kind,
    pub(super) events: u16,
    pub(super) key: u32,
    pub(super) first: u64,
    pub(super) durable: u64,
    pub(super) recorded: i64,
    pub(super) chain: Chain,
    /// Bytes of the whole record.
    pub(super) size: usize,
}

/// Why bytes are no record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Broken {
    /// Zeros: nothing was written here.
    Blank,
    /// No magic.
    Magic,
    /// A length that cannot be.
    Length,
    /// The checksum does not hold.
    Checksum,
    /// A kind or format that this release does not know.
    Unknown,
}

impl Broken {
    pub(super) fn words(self) -> &'static str {
        match self {
            Broken::Blank => "nothing is written where a record should be",
            Broken::Magic => "no record begins where one should",
            Broken::Length => "a record has a length that cannot be",
            Broken::Checksum => "a record's checksum does not hold",
            Broken::Unknown => "a record is of a kind that this release does not know",
        }
    }
}

fn number<const N: usize>(bytes: &[u8], at: usize) -> [u8; N] {
    let mut out = [0; N];
    if let Some(slice) = bytes.get(at..at + N) {
        out.copy_from_slice(slice);
    }
    out
}

/// Reads the record that begins these bytes; all of it must be there.
pub(super) fn read(bytes: &[u8]) -> Result<Header, Broken> {
    if bytes.len() < HEADER_BYTES + TAG_BYTES {
        return Err(if bytes.iter().all(|byte| *byte == 0) { Broken::Blank } else { Broken::Length });
    }
    if bytes[..4] != MAGIC {
        return Err(if bytes[..PREFIX_BYTES].iter().all(|byte| *byte == 0) { Broken::Blank } else { Broken::Magic });
    }
    let length = u32::from_le_bytes(number(bytes, 4)) as usize;
    let size = PREFIX_BYTES + length;
    if !(HEADER_BYTES + TAG_BYTES..=limits::JOURNAL_RECORD_BYTES + HEADER_BYTES + TAG_BYTES).contains(&size) || size > bytes.len() {
        return Err(Broken::Length);
    }
    let body = &bytes[PREFIX_BYTES..size];
    if crc32c::crc32c(body) != u32::from_le_bytes(number(bytes, 8)) {
        return Err(Broken::Checksum);
    }
    let kind = match (bytes[12], bytes[13]) {
        (1, FORMAT) => Kind::Events,
        (2, FORMAT) => Kind::Footer,
        _ => return Err(Broken::Unknown),
    };
    Ok(Header {
        kind,
        events: u16::from_le_bytes(number(bytes, 14)),
        key: u32::from_le_bytes(number(bytes, 16)),
        first: u64::from_le_bytes(number(bytes, 20)),
        durable: u64::from_le_bytes(number(bytes, 28)),
        recorded: i64::from_le_bytes(number(bytes, 36)),
        chain: number(bytes, 44),
        size,
    })
}

/// The chain value that a record must carry after `before`.
pub(super) fn chain(before: &Chain, record: &[u8]) -> Chain {
    let mut hash = Sha256::new();
    hash.update(before);
    hash.update(record.get(PREFIX_BYTES..44).unwrap_or_default());
    hash.update(record.get(76..).unwrap_or_default());
    hash.finalize().into()
}

/// The body of a record, opened; `None` when the key is missing or the seal is broken.
pub(super) fn open(keys: &KeyRing, header: &Header, record: &[u8]) -> Option<Vec<u8>> {
    let nonce: [u8; NONCE_BYTES] = number(record, 76);
    let mut body = record.get(HEADER_BYTES..header.size)?.to_vec();
    keys.open(header.key, &nonce, record.get(PREFIX_BYTES..44)?, &mut body)?;
    Some(body)
}

/// Under which key and nonce a record is sealed.
pub(super) fn seal_of(record: &[u8]) -> Option<(u32, [u8; NONCE_BYTES])> {
    let head: &[u8; HEADER_BYTES] = record.first_chunk()?;
    Some((u32::from_le_bytes(number(head, 16)), number(head, 76)))
}

/// What a new record is made of.
pub(super) struct Parts<'a> {
    pub(super) kind: Kind,
    pub(super) events: u16,
    pub(super) first: u64,
    pub(super) durable: u64,
    pub(super) recorded: i64,
    pub(super) before: &'a Chain,
}

/// Seals a body, given in pieces, into a record and appends it to `out`; gives the record's chain value. When it cannot,
/// `out` holds a part of it.
pub(super) fn write(parts: &Parts<'_>, body: &[&[u8]], keys: &KeyRing, nonces: &mut Nonces, out: &mut Vec<u8>) -> Option<Chain> {
    let start = out.len();
    let size: usize = body.iter().map(|piece| piece.len()).sum();
    let length = u32::try_from(HEADER_BYTES - PREFIX_BYTES + size + TAG_BYTES).ok()?;
    let mut head = [0_u8; HEADER_BYTES];
    head[..4].copy_from_slice(&MAGIC);
    head[4..8].copy_from_slice(&length.to_le_bytes());
    head[12] = match parts.kind {
        Kind::Events => 1,
        Kind::Footer => 2,
    };
    head[13] = FORMAT;
    head[14..16].copy_from_slice(&parts.events.to_le_bytes());
    head[16..20].copy_from_slice(&keys.current().to_le_bytes());
    head[20..28].copy_from_slice(&parts.first.to_le_bytes());
    head[28..36].copy_from_slice(&parts.durable.to_le_bytes());
    head[36..44].copy_from_slice(&parts.recorded.to_le_bytes());
    let nonce = nonces.next();
    head[76..100].copy_from_slice(&nonce);
    out.extend_from_slice(&head);
    body.iter().for_each(|piece| out.extend_from_slice(piece));
    let sealed = out.get_mut(start + HEADER_BYTES..)?;
    let tag = keys.seal_in_place(&nonce, &head[PREFIX_BYTES..44], sealed)?;
    out.extend_from_slice(&tag);
    let record = out.get_mut(start..)?;
    let link = chain(parts.before, record);
    record[44..76].copy_from_slice(&link);
    let checksum = crc32c::crc32c(&record[PREFIX_BYTES..]);
    record[8..12].copy_from_slice(&checksum.to_le_bytes());
    Some(link)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_flipped_bit_of_a_record_is_found() {
        let keys = KeyRing::ephemeral().unwrap();
        let mut nonces = Nonces::new().unwrap();
        let before = [7; 32];
        let parts = Parts { kind: Kind::Events, events: 1, first: 9, durable: 8, recorded: 1, before: &before };
        let mut record = Vec::new();
        let link = write(&parts, &[b"a ", b"body"], &keys, &mut nonces, &mut record).unwrap();
        let header = read(&record).unwrap();
        assert_eq!((header.first, header.durable, header.chain), (9, 8, link));
        assert_eq!(chain(&before, &record), link);
        assert_eq!(open(&keys, &header, &record).unwrap(), b"a body");
        for bit in 0..record.len() * 8 {
            let mut damaged = record.clone();
            damaged[bit / 8] ^= 1 << (bit % 8);
            assert!(read(&damaged).is_err(), "bit {bit}");
        }
        assert_eq!(read(&[0; 200]), Err(Broken::Blank));
    }
}
