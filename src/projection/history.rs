//! Looking things up in the log itself: what a command did, and the raw bytes behind an item of the quarantine.

use std::sync::Arc;

use crate::domain::patient::{self, Photo};
use crate::domain::quarantine::{self, Part, Reason};
use crate::domain::{Folded, device};
use crate::journal::{JournalError, Log, Meta, StoredBatch, StoredEvent};
use crate::kernel::{CommandId, DeviceId, Mrn, RawBytes, StreamId, StreamKind, Timestamp};

/// Events that are looked through for what a command did, newest first, and how many at a time.
const LOOK_BACK: u64 = 65_536;
const PAGE: u64 = 512;
/// Where a photo is looked for they are fewer: each may be one.
const PHOTO_PAGE: u64 = 16;

/// What a command did when it was done.
#[derive(Debug, Clone)]
pub struct Done {
    /// Its events, as JSON.
    pub events: Vec<serde_json::Value>,
    /// The fingerprint of the request that it came with.
    pub request: Option<String>,
    /// The first of its events in the stream.
    pub sequence: u64,
}

/// Events of an item that are read: it is held, and dealt with.
const EVENTS_OF_AN_ITEM: usize = 64;

/// An item of the quarantine, as its events say.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HeldItem {
    /// The last event of it.
    pub sequence: u64,
    /// The event that held it.
    pub held_at: u64,
    /// Whether a person must still look.
    pub is_open: bool,
    /// Since when it is held.
    pub since: Timestamp,
    /// Why.
    pub reason: Reason,
    /// From which device.
    pub device: Option<DeviceId>,
    /// An event of the batch where the raw message stands.
    pub raw_at: u64,
    /// Which part of the message waits.
    pub part: Option<Part>,
}

/// An event, for whoever wants to know what became of a request.
#[derive(Debug, Clone)]
pub struct Told {
    /// Its place in the log.
    pub sequence: u64,
    /// Its stream.
    pub stream: StreamId,
    /// Its type.
    pub kind: String,
    /// Its payload.
    pub payload: serde_json::Value,
}

impl Told {
    /// The events of a batch.
    pub fn all(batch: &StoredBatch) -> Result<Vec<Told>, JournalError> {
        let told = |event: &StoredEvent| {
            let payload = serde_json::from_str(event.event.payload.get()).map_err(|error| JournalError::Unreadable(format!("event {}: {error}", event.sequence)))?;
            Ok(Told { sequence: event.sequence, stream: event.event.stream.clone(), kind: event.event.kind.to_string(), payload })
        };
        batch.events.iter().map(told).collect()
    }
}

/// Who made a version of a stream.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Author {
    /// Which version.
    pub version: u64,
    /// When.
    pub recorded: Timestamp,
    /// Who: `person:NAME`, `device:NAME` …
    pub who: String,
    /// A second person.
    pub witness: Option<String>,
}

/// The log, for reading.
#[derive(Clone)]
pub struct History {
    log: Arc<dyn Log>,
}

impl std::fmt::Debug for History {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("History")
    }
}

impl History {
    /// A reader of the log.
    pub fn new(log: Arc<dyn Log>) -> Self {
        Self { log }
    }

    /// The log itself.
    pub fn log(&self) -> Arc<dyn Log> {
        self.log.clone()
    }

    /// The event that last held an item before a version of its stream.
    pub(super) fn held_before(&self, key: &str, version: u64) -> Result<Option<u64>, JournalError> {
        if version <= 1 {
            return Ok(None);
        }
        let stream = StreamId::new(StreamKind::Quarantine, key);
        let before = usize::try_from(version - 1).unwrap_or(EVENTS_OF_AN_ITEM).min(EVENTS_OF_AN_ITEM);
        let events = self.log.read_stream(&stream, version - before as u64, before)?;
        Ok(events.iter().rev().find(|(_, stored)| stored.event.kind == "Held").map(|(_, stored)| stored.sequence))
    }

    /// The sequence of the last durable event.
    pub fn head(&self) -> u64 {
        self.log.head()
    }

    /// Whether the log takes what comes: not while the disk is full or after a failure.
    pub fn is_accepting(&self) -> bool {
        self.log.is_accepting()
    }

    /// A thing as it was at an instant, from its events up to then.
    pub fn at<A: Folded>(&self, key: &str, instant: Timestamp) -> Result<A, JournalError> {
        self.folded(key, |meta, _| meta.recorded <= instant)
    }

    /// A thing as an event of the log left it, its own or another's.
    pub fn after<A: Folded>(&self, key: &str, sequence: u64) -> Result<A, JournalError> {
        self.folded(key, |_, stored| stored.sequence <= sequence)
    }

    /// The fold of a stream's first events, those that `counts`.
    fn folded<A: Folded>(&self, key: &str, counts: impl Fn(&Meta, &StoredEvent) -> bool) -> Result<A, JournalError> {
        let stream = StreamId::new(A::KIND, key);
        let (mut state, mut from, newest) = (A::default(), 1, self.log.version(&stream));
        while from <= newest {
            let page = self.log.read_stream(&stream, from, usize::try_from(PAGE).unwrap_or(usize::MAX))?;
            if page.is_empty() {
                break;
            }
            for (meta, stored) in &page {
                if !counts(meta, stored) {
                    return Ok(state);
                }
                let event = serde_json::from_str(stored.event.payload.get());
                state.apply(&event.map_err(|error| JournalError::Unreadable(format!("event {} of {stream}: {error}", stored.sequence)))?);
            }
            from += page.len() as u64;
        }
        Ok(state)
    }

    /// A stream's newest version and when it came; none when there is no such stream.
    pub fn newest(&self, stream: &StreamId) -> Option<(u64, Timestamp)> {
        let version = self.log.version(stream);
        let newest = self.log.read_stream(stream, version.max(1), 1).ok()?;
        newest.first().map(|(meta, _)| (version, meta.recorded))
    }

    /// Shows all states that a thing has had, each with the version of its stream and when it came, the oldest first.
    pub fn each_version<A: Folded>(&self, key: &str, mut visit: impl FnMut(u64, Timestamp, &A)) -> Result<(), JournalError> {
        let stream = StreamId::new(A::KIND, key);
        let mut state = A::default();
        for (meta, stored) in self.log.read_stream(&stream, 1, usize::MAX)? {
            let event = serde_json::from_str(stored.event.payload.get());
            state.apply(&event.map_err(|error| JournalError::Unreadable(format!("event {} of {stream}: {error}", stored.sequence)))?);
            visit(stored.stream_version, meta.recorded, &state);
        }
        Ok(())
    }

    /// All that one command caused, each event with its stream, by one of them; empty when it cannot be read.
    pub fn batch_at(&self, sequence: u64, kinds: &[StreamKind]) -> Vec<serde_json::Value> {
        let batch = self.log.read_all(sequence, 1).ok().and_then(|batches| batches.into_iter().next());
        let events = batch.into_iter().flat_map(|batch| batch.events.clone()).filter(|event| kinds.contains(&event.event.stream.kind()));
        let named = |event: &crate::journal::StoredEvent| {
            let mut value: serde_json::Value = serde_json::from_str(event.event.payload.get()).ok()?;
            value.as_object_mut()?.insert("stream".to_owned(), event.event.stream.to_string().into());
            Some(value)
        };
        events.filter_map(|event| named(&event)).collect()
    }

    /// The photo that was taken last under a number, be it removed since or not.
    pub fn photo(&self, mrn: &Mrn) -> Result<Option<Photo>, JournalError> {
        let stream = StreamId::new(StreamKind::Patient, mrn.as_str());
        let mut end = self.log.version(&stream);
        while end > 0 {
            let from = end.saturating_sub(PHOTO_PAGE) + 1;
            let page = self.log.read_stream(&stream, from, usize::try_from(end - from + 1).unwrap_or(usize::MAX))?;
            if let Some((_, stored)) = page.iter().rev().find(|(_, stored)| stored.event.kind == "PhotoTaken") {
                let event = serde_json::from_str(stored.event.payload.get()).map_err(|error| JournalError::Unreadable(format!("event {}: {error}", stored.sequence)))?;
                return Ok(if let patient::Event::PhotoTaken { photo, .. } = event { Some(photo) } else { None });
            }
            end = from - 1;
        }
        Ok(None)
    }

    /// Who made each version of a stream, the oldest first.
    pub fn authors(&self, stream: &StreamId) -> Result<Vec<Author>, JournalError> {
        let author = |(meta, stored): &(Arc<Meta>, StoredEvent)| Author {
            version: stored.stream_version,
            recorded: meta.recorded,
            who: meta.principal.to_string(),
            witness: meta.witness.clone(),
        };
        Ok(self.log.read_stream(stream, 1, usize::MAX)?.iter().map(author).collect())
    }

    /// The events of one type of a stream, the oldest first.
    pub fn of_kind(&self, stream: &StreamId, kind: &str) -> Result<Vec<Told>, JournalError> {
        let told = |stored: &StoredEvent| {
            let payload = serde_json::from_str(stored.event.payload.get()).map_err(|error| JournalError::Unreadable(format!("event {}: {error}", stored.sequence)))?;
            Ok(Told { sequence: stored.sequence, stream: stream.clone(), kind: kind.to_owned(), payload })
        };
        self.log.read_stream(stream, 1, usize::MAX)?.iter().filter(|(_, stored)| stored.event.kind == kind).map(|(_, stored)| told(stored)).collect()
    }

    /// The events of a batch, by one of them.
    pub fn told_at(&self, sequence: u64) -> Result<Vec<Told>, JournalError> {
        let batches = self.log.read_all(sequence, 1)?;
        batches.first().map_or_else(|| Ok(Vec::new()), |batch| Told::all(batch))
    }

    /// What a command caused in a stream; none when nothing of it is found.
    pub fn of_command(&self, stream: &StreamId, command: CommandId) -> Option<Done> {
        let newest = self.log.version(stream);
        let mut end = newest;
        while end > 0 && newest - end < LOOK_BACK {
            let from = end.saturating_sub(PAGE) + 1;
            let page = self.log.read_stream(stream, from, usize::try_from(PAGE).unwrap_or(usize::MAX)).ok()?;
            let found: Vec<_> = page.into_iter().filter(|(meta, _)| meta.command == command).collect();
            if let Some((meta, first)) = found.first() {
                // What one command caused lies together; its beginning may be on the page before.
                let events = match first.stream_version == from && from > 1 {
                    true => self.log.read_stream(stream, from.saturating_sub(PAGE).max(1), usize::try_from(PAGE * 2).unwrap_or(usize::MAX)).ok()?,
                    false => found.clone(),
                };
                let sequence = first.sequence;
                let of_it = events.iter().filter(|(meta, _)| meta.command == command);
                let events = of_it.filter_map(|(_, event)| serde_json::from_str(event.event.payload.get()).ok()).collect();
                return Some(Done { events, request: meta.request.clone(), sequence });
            }
            end = from - 1;
        }
        None
    }

    /// An item of the quarantine; none when there never was such a one, or it cannot be read.
    pub fn item(&self, key: &str) -> Option<HeldItem> {
        let stream = StreamId::new(StreamKind::Quarantine, key);
        let mut item = None;
        for (meta, stored) in self.log.read_stream(&stream, 1, EVENTS_OF_AN_ITEM).ok()? {
            let (held_at, sequence) = (stored.sequence, stored.sequence);
            item = match serde_json::from_str(stored.event.payload.get()).ok()? {
                quarantine::Event::Held { reason, device, raw_at, part, .. } => {
                    Some(HeldItem { sequence, held_at, is_open: true, since: meta.recorded, reason, device, raw_at: raw_at.unwrap_or(held_at), part })
                }
                quarantine::Event::Erased => None,
                quarantine::Event::Retried { .. } | quarantine::Event::Discarded { .. } | quarantine::Event::Bound { .. } => {
                    item.map(|item| HeldItem { sequence, is_open: false, ..item })
                }
            };
        }
        item
    }

    /// The item that an event holds, and its key; none when it holds none, or it cannot be read.
    pub fn item_held_at(&self, sequence: u64) -> Option<(String, HeldItem)> {
        let batch = self.log.read_all(sequence, 1).ok()?.into_iter().next()?;
        let stored = batch.events.iter().find(|stored| stored.sequence == sequence)?;
        let stream = &stored.event.stream;
        let key = (stream.kind() == StreamKind::Quarantine).then(|| stream.key())?;
        Some((key.to_owned(), self.item(key)?))
    }

    /// The raw message in the batch of an event, and the device that sent it.
    pub fn raw(&self, sequence: u64) -> Option<(DeviceId, RawBytes)> {
        let batch = self.log.read_all(sequence, 1).ok()?.into_iter().next()?;
        batch.events.iter().find_map(|stored| {
            if stored.event.stream.kind() != StreamKind::Device {
                return None;
            }
            match serde_json::from_str(stored.event.payload.get()).ok()? {
                device::Event::MessageReceived { raw, .. } => Some((stored.event.stream.key().parse().ok()?, raw)),
                _ => None,
            }
        })
    }
}
