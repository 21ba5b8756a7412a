//! Looking things up in the log itself: what a command did, and the raw bytes behind an item of the quarantine.

use std::sync::Arc;

use crate::domain::device;
use crate::journal::Log;
use crate::kernel::{CommandId, DeviceId, RawBytes, StreamId, StreamKind};

/// Events that are looked through for what a command did.
const LOOK_BACK: u64 = 4_096;

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

    /// The sequence of the last durable event.
    pub fn head(&self) -> u64 {
        self.log.head()
    }

    /// The events that a command caused in a stream, as JSON.
    pub fn of_command(&self, stream: &StreamId, command: CommandId) -> Vec<serde_json::Value> {
        let from = self.log.version(stream).saturating_sub(LOOK_BACK) + 1;
        let events = self.log.read_stream(stream, from, usize::try_from(LOOK_BACK).unwrap_or(usize::MAX)).unwrap_or_default();
        events.iter().filter(|(meta, _)| meta.command == command).filter_map(|(_, event)| serde_json::from_str(event.event.payload.get()).ok()).collect()
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
