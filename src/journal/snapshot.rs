//! A stream's folded state, kept in the views so that a long stream need not be folded from its first event.
//!
//! **Invariant**: a snapshot is used only when the log still has the very event that it was taken at; otherwise it is
//! as if it were not there.

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use super::views::{Change, Views, ViewsError};
use crate::kernel::{CommandId, StreamId};

/// The state of a stream after an event.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Snapshot {
    /// The version of the state's stored form; another than the reader's is not used.
    pub format: u16,
    /// The stream's version, which is how many events were folded.
    pub version: u64,
    /// The sequence of the last of them.
    pub sequence: u64,
    /// The command that caused it: a log with another history has another one there.
    pub command: CommandId,
    /// The last commands that were done, oldest first.
    pub answers: Vec<CommandId>,
    /// The state, JSON.
    pub state: Box<RawValue>,
}

fn key(stream: &StreamId) -> String {
    format!("snapshot/{stream}")
}

/// Keeps a stream's snapshot in place of an older one.
pub(super) fn save(views: &dyn Views, stream: &StreamId, snapshot: &Snapshot) -> Result<(), ViewsError> {
    let bytes = serde_json::to_vec(snapshot).map_err(|error| ViewsError::new(format!("snapshot of {stream}: {error}")))?;
    views.apply(&[Change::Put(key(stream), bytes)])
}

/// A stream's snapshot; one that cannot be read is none.
pub(super) fn load(views: &dyn Views, stream: &StreamId) -> Option<Snapshot> {
    serde_json::from_slice(&views.get(&key(stream)).ok()??).ok()
}
