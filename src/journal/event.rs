//! What the log holds: events in batches, each with its envelope.

use std::borrow::Cow;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use super::personal::{self, Personal};
use crate::kernel::{CommandId, Principal, Sealing, StreamId, Timestamp};

/// The version of the stored form of batches; a newer one is refused, an older one read.
pub const FORMAT: u16 = 3;
/// The form of batches in which nothing is sealed for itself: earlier releases read it too. (Form 2, in which each event was sealed for
/// itself, no release has written.)
const PLAIN: u16 = 1;

/// What is left of an event whose key was destroyed: every kind of event that is sealed knows it.
pub const ERASED: &str = r#"{"event":"Erased"}"#;

/// The envelope that all events of one command share.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Meta {
    /// The command that caused the events; the same id has no second effect.
    pub command: CommandId,
    /// Who caused them.
    pub principal: Principal,
    /// A second person, where one is needed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub witness: Option<String>,
    /// Where: a station or device.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub place: Option<String>,
    /// The whole story that this belongs to, by its first command.
    pub correlation: CommandId,
    /// The event that caused the command, by its sequence.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub causation: Option<u64>,
    /// When it happened, by the device's own clock; never trusted for order.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub device_time: Option<Timestamp>,
    /// When wardd received it.
    pub received: Timestamp,
    /// When wardd decided it.
    pub recorded: Timestamp,
    /// The fingerprint of the request, when it came with an Idempotency-Key.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub request: Option<String>,
}

/// An event that is to be appended.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct NewEvent {
    /// Its stream.
    pub stream: StreamId,
    /// Its type, such as `ResultFiled`.
    #[serde(rename = "type")]
    pub kind: Cow<'static, str>,
    /// The version of its type's stored form.
    pub version: u16,
    /// The payload, JSON.
    pub payload: Box<RawValue>,
    /// Whose key seals it.
    #[serde(skip)]
    pub sealing: Sealing,
}

impl NewEvent {
    /// An event of a stream with a payload that serde can write; payloads of ours always can.
    pub fn new<P: Serialize>(stream: StreamId, kind: &'static str, version: u16, payload: &P) -> Result<Self, serde_json::Error> {
        Ok(Self { stream, kind: Cow::Borrowed(kind), version, payload: serde_json::value::to_raw_value(payload)?, sealing: Sealing::House })
    }

    /// The same, sealed under a key.
    #[must_use]
    pub fn sealed(self, sealing: Sealing) -> Self {
        Self { sealing, ..self }
    }
}

/// What the writer must find before it appends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Expected {
    /// Whatever it finds: streams that only collect.
    Any,
    /// This many events, which the decision was made on.
    Version(u64),
}

/// The events of one command: all or none become durable.
#[derive(Debug)]
pub struct Batch {
    /// The version that each stream must have.
    pub expected: Vec<(StreamId, Expected)>,
    /// The envelope.
    pub meta: Arc<Meta>,
    /// The events in order.
    pub events: Vec<NewEvent>,
}

/// An event as it stands in the log.
#[derive(Debug, Clone)]
pub struct StoredEvent {
    /// Its number in the whole log, from 1.
    pub sequence: u64,
    /// Its number in its stream, from 1.
    pub stream_version: u64,
    /// Stream, type and payload.
    pub event: NewEvent,
}

/// A batch as it stands in the log.
#[derive(Debug, Clone)]
pub struct StoredBatch {
    /// The envelope.
    pub meta: Arc<Meta>,
    /// The events in order; never empty.
    pub events: Vec<StoredEvent>,
}

impl StoredBatch {
    /// The sequence of the first event.
    pub fn first(&self) -> u64 {
        self.events.first().map_or(0, |event| event.sequence)
    }

    /// The sequence of the last event.
    pub fn last(&self) -> u64 {
        self.events.last().map_or(0, |event| event.sequence)
    }
}

/// Proof that a batch is durable.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Receipt {
    /// The sequence of its first event; for a barrier the log's head.
    pub first: u64,
    /// The sequence of its last event.
    pub last: u64,
}

/// Why a batch is not in the log. In every case nothing of it is.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AppendError {
    /// A stream has another version than the decision was made on.
    #[error("stream {stream} has {found} events, the decision was made on {expected}")]
    Conflict {
        /// Which stream.
        stream: String,
        /// Events that the decider knew.
        expected: u64,
        /// Events that there are.
        found: u64,
    },
    /// The queue in front of the writer is full: wait and try again.
    #[error("WD-0103 journal: too many appends wait for the disk: try again")]
    Busy,
    /// The disk has no room: nothing of it counts.
    #[error("WD-0102 journal: the disk is full: free space on it, intake resumes by itself")]
    Full,
    /// The batch is larger than a record may be.
    #[error("WD-0104 journal: the events of one command have {0} bytes, a record has {max} at most", max = crate::kernel::limits::JOURNAL_RECORD_BYTES)]
    TooLarge(usize),
    /// A write or sync failed: the log is closed until wardd is started again.
    #[error("WD-0100 journal: {0}: wardd stops, and recovers at its next start")]
    Fatal(String),
}

/// Called once when a batch is durable or refused.
pub type Completion = Box<dyn FnOnce(Result<Receipt, AppendError>) + Send>;

/// The stored form of a batch: this as JSON, and behind it what is sealed for itself, one piece a key, in the order of `seals`.
#[derive(Serialize)]
struct BodyRef<'a> {
    format: u16,
    meta: &'a Meta,
    events: &'a [EventRef<'a>],
    /// The number of each piece's key, and the piece's length.
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    seals: &'a [(u32, usize)],
}

/// An event of it.
#[derive(Serialize)]
struct EventRef<'a> {
    stream: &'a StreamId,
    #[serde(rename = "type")]
    kind: &'a str,
    version: u16,
    #[serde(skip_serializing_if = "Option::is_none")]
    payload: Option<&'a RawValue>,
    /// Which piece holds its payload, behind those of the events before it, and how long it is.
    #[serde(skip_serializing_if = "Option::is_none")]
    sealed: Option<(usize, usize)>,
}

/// The stored form of a batch, read.
#[derive(Deserialize)]
struct Body {
    format: u16,
    meta: Meta,
    events: Vec<StoredForm>,
    #[serde(default)]
    seals: Vec<(u32, usize)>,
}

#[derive(Deserialize)]
struct StoredForm {
    stream: StreamId,
    #[serde(rename = "type")]
    kind: Cow<'static, str>,
    version: u16,
    #[serde(default)]
    payload: Option<Box<RawValue>>,
    #[serde(default)]
    sealed: Option<(usize, usize)>,
}

/// The stored form of a batch.
pub(super) fn write_body(meta: &Meta, events: &[NewEvent], keys: &Personal) -> Result<Vec<u8>, String> {
    let size = events.iter().map(|event| event.payload.get().len() + 160).sum::<usize>() + 400;
    let mut pieces: Vec<(&Sealing, Vec<u8>)> = Vec::new();
    let mut stored = Vec::with_capacity(events.len());
    for event in events {
        let payload = event.payload.get().as_bytes();
        let (payload, sealed) = match &event.sealing {
            Sealing::House => (Some(event.payload.as_ref()), None),
            sealing => {
                // What belongs to one key is sealed at once: a seal costs about as much as a kilobyte under it.
                let known = pieces.iter().position(|(known, _)| *known == sealing);
                let at = known.unwrap_or_else(|| {
                    pieces.push((sealing, personal::blank(size)));
                    pieces.len() - 1
                });
                pieces.get_mut(at).into_iter().for_each(|(_, piece)| piece.extend_from_slice(payload));
                (None, Some((at, payload.len())))
            }
        };
        stored.push(EventRef { stream: &event.stream, kind: &event.kind, version: event.version, payload, sealed });
    }
    let mut seals = Vec::with_capacity(pieces.len());
    for (sealing, piece) in &mut pieces {
        seals.push((keys.seal(sealing, piece)?, piece.len()));
    }
    let mut body = Vec::with_capacity(size);
    let format = if seals.is_empty() { PLAIN } else { FORMAT };
    serde_json::to_writer(&mut body, &BodyRef { format, meta, events: &stored, seals: &seals }).map_err(|error| error.to_string())?;
    pieces.iter().for_each(|(_, piece)| body.extend_from_slice(piece));
    Ok(body)
}

/// What a key sealed, opened: the payloads of its events, one behind the other.
struct Piece {
    key: u32,
    /// None when the key was destroyed, or there are no keys here.
    opened: Option<Vec<u8>>,
    used: usize,
}

impl Piece {
    /// The payload of the next of its events; that there is none any more is an event of its own.
    fn next(&mut self, size: usize) -> Result<Box<RawValue>, String> {
        let text = match &self.opened {
            None => ERASED.to_owned(),
            Some(bytes) => {
                let part = self.used.checked_add(size).and_then(|end| bytes.get(self.used..end)).ok_or("what is sealed in it is cut")?;
                self.used += size;
                std::str::from_utf8(part).map_err(|error| error.to_string())?.to_owned()
            }
        };
        RawValue::from_string(text).map_err(|error| error.to_string())
    }
}

/// A batch from its stored form, its first sequence and its stream versions. Without keys what is sealed for itself stays so.
pub(super) fn read_body(stored: &[u8], first: u64, versions: &[u64], keys: Option<&Personal>) -> Result<StoredBatch, String> {
    let mut reader = serde_json::Deserializer::from_slice(stored).into_iter::<Body>();
    let body = reader.next().unwrap_or_else(|| Err(serde::de::Error::custom("it is empty"))).map_err(|error| format!("its body is not readable ({error})"))?;
    let mut rest = stored.get(reader.byte_offset()..).unwrap_or_default();
    if body.format > FORMAT {
        return Err(format!("it is stored in format {}, this release reads up to {FORMAT}", body.format));
    }
    if body.events.len() != versions.len() {
        return Err(format!("it has {} events and {} versions", body.events.len(), versions.len()));
    }
    let mut pieces = Vec::with_capacity(body.seals.len());
    for (key, size) in body.seals {
        let (piece, behind) = rest.split_at_checked(size).ok_or("what is sealed in it is cut")?;
        let opened = keys.map(|keys| keys.open_sealed(key, piece)).transpose()?.flatten();
        pieces.push(Piece { key, opened, used: 0 });
        rest = behind;
    }
    let mut events = Vec::with_capacity(versions.len());
    for ((event, version), sequence) in body.events.into_iter().zip(versions).zip(first..) {
        let StoredForm { stream, kind, version: form, payload, sealed } = event;
        let (payload, sealing) = match (payload, sealed) {
            (Some(payload), None) => (payload, Sealing::House),
            (None, Some((at, size))) => {
                let piece = pieces.get_mut(at).ok_or_else(|| format!("event {sequence} is sealed in a piece that is not there"))?;
                (piece.next(size)?, Sealing::Key(piece.key))
            }
            _ => return Err(format!("event {sequence} has no payload")),
        };
        events.push(StoredEvent { sequence, stream_version: *version, event: NewEvent { stream, kind, version: form, payload, sealing } });
    }
    Ok(StoredBatch { meta: Arc::new(body.meta), events })
}
