//! What the log holds: events in batches, each with its envelope.

use std::borrow::Cow;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use crate::kernel::{CommandId, Principal, StreamId, Timestamp};

/// The version of the stored form of batches; a newer one is refused, an older one read.
pub const FORMAT: u16 = 1;

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
}

impl NewEvent {
    /// An event of a stream with a payload that serde can write; payloads of ours always can.
    pub fn new<P: Serialize>(stream: StreamId, kind: &'static str, version: u16, payload: &P) -> Result<Self, serde_json::Error> {
        Ok(Self { stream, kind: Cow::Borrowed(kind), version, payload: serde_json::value::to_raw_value(payload)? })
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

/// The stored form of a batch, borrowed for writing.
#[derive(Serialize)]
struct BodyRef<'a> {
    format: u16,
    meta: &'a Meta,
    events: &'a [NewEvent],
}

/// The stored form of a batch, read.
#[derive(Deserialize)]
struct Body {
    format: u16,
    meta: Meta,
    events: Vec<NewEvent>,
}

/// The JSON of a batch.
pub(super) fn write_body(meta: &Meta, events: &[NewEvent]) -> Result<Vec<u8>, serde_json::Error> {
    let size = events.iter().map(|event| event.payload.get().len() + 120).sum::<usize>() + 400;
    let mut body = Vec::with_capacity(size);
    serde_json::to_writer(&mut body, &BodyRef { format: FORMAT, meta, events })?;
    Ok(body)
}

/// A batch from its JSON, its first sequence and its stream versions.
pub(super) fn read_body(json: &[u8], first: u64, versions: &[u64]) -> Result<StoredBatch, String> {
    let body: Body = serde_json::from_slice(json).map_err(|error| format!("its body is not readable ({error})"))?;
    if body.format > FORMAT {
        return Err(format!("it is stored in format {}, this release reads up to {FORMAT}", body.format));
    }
    if body.events.len() != versions.len() {
        return Err(format!("it has {} events and {} versions", body.events.len(), versions.len()));
    }
    let events = body.events.into_iter().zip(versions).zip(first..).map(|((event, version), sequence)| StoredEvent { sequence, stream_version: *version, event }).collect();
    Ok(StoredBatch { meta: Arc::new(body.meta), events })
}
