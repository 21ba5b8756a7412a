//! What the audit says of an event: who, when, where, what, of what.

use serde::Serialize;

use super::history::History;
use crate::domain::staff;
use crate::journal::{JournalError, Meta, StoredEvent};
use crate::kernel::{StreamId, StreamKind, Timestamp};

/// One thing that was seen or done.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Entry {
    /// The event in the log.
    pub sequence: u64,
    /// When.
    pub at: Timestamp,
    /// Who: `person:NAME`, `program:NAME`, `device:NAME`, `system:PART`.
    pub who: String,
    /// A second person.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub witness: Option<String>,
    /// Where: a station or device.
    #[serde(rename = "where")]
    pub place: Option<String>,
    /// What happened: the event's type, `RecordShown` for what was only seen.
    pub what: String,
    /// Of what: the stream.
    pub of: String,
    /// What the event says, for what was seen, signed or opened in an emergency; what was done stands in its own stream.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub detail: Option<serde_json::Value>,
}

fn entry(meta: &Meta, stored: &StoredEvent) -> Entry {
    let stream = &stored.event.stream;
    let is_staff = stream.kind() == StreamKind::Hospital && stream.key() == staff::STREAM;
    // What another system told of its own looks is of the audit too.
    let is_look = stored.event.kind == "LookTold";
    let is_told = is_staff || is_look || matches!(stream.kind(), StreamKind::Access | StreamKind::User);
    Entry {
        sequence: stored.sequence,
        at: meta.recorded,
        who: meta.principal.to_string(),
        witness: meta.witness.clone(),
        place: meta.place.clone(),
        what: stored.event.kind.to_string(),
        of: stream.to_string(),
        detail: is_told.then(|| without_secrets(serde_json::from_str(stored.event.payload.get()).unwrap_or_default())),
    }
}

/// Hashes, keys and badges are nobody's business.
fn without_secrets(mut detail: serde_json::Value) -> serde_json::Value {
    const SECRETS: [&str; 4] = ["hash", "key", "badge", "token"];
    if let Some(map) = detail.as_object_mut() {
        map.retain(|name, _| !SECRETS.contains(&name.as_str()));
    }
    detail
}

impl History {
    /// Everything that one command did, by its first event.
    pub fn entries_at(&self, first: u64) -> Result<Vec<Entry>, JournalError> {
        let batch = self.log().read_all(first, 1)?.into_iter().next();
        Ok(batch.iter().flat_map(|batch| batch.events.iter().map(|stored| entry(&batch.meta, stored))).collect())
    }

    /// One event.
    pub fn event_at(&self, sequence: u64) -> Result<Option<StoredEvent>, JournalError> {
        let batch = self.log().read_all(sequence, 1)?.into_iter().next();
        Ok(batch.and_then(|batch| batch.events.iter().find(|stored| stored.sequence == sequence).cloned()))
    }

    /// The last events of a stream, at most `limit`, the oldest first.
    pub fn entries_of(&self, stream: &StreamId, limit: usize) -> Result<Vec<Entry>, JournalError> {
        let log = self.log();
        let from = log.version(stream).saturating_sub(limit as u64) + 1;
        Ok(log.read_stream(stream, from, limit)?.iter().map(|(meta, stored)| entry(meta, stored)).collect())
    }
}
