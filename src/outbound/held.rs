//! What could not be done outside is held for a person, once.

use std::sync::Arc;

use crate::domain::quarantine::{self, Reason};
use crate::journal::{Batch, Log, Meta, NewEvent};
use crate::kernel::{CommandId, DeviceId, Principal, StreamId, StreamKind, Timestamp};
use crate::telemetry;

/// What is held, and which event it is about.
pub struct Held {
    /// Who gave up, such as `drawers`.
    pub by: &'static str,
    /// The item's name.
    pub item: String,
    /// The event that asked for it.
    pub sequence: u64,
    /// The rule's word.
    pub rule: &'static str,
    /// What happened, and the way out.
    pub detail: String,
    /// The device that did not do it.
    pub device: Option<DeviceId>,
}

impl Held {
    /// Stores it; `false` when that could not be done, and must be tried again.
    pub async fn store(self, log: &dyn Log, now: Timestamp) -> bool {
        telemetry::held("refused", self.device.as_ref().map_or("none", |device| device.as_str()));
        let reason = Reason::Refused { rule: self.rule.to_owned(), detail: self.detail };
        let event = quarantine::Event::Held { reason, device: self.device, raw_at: None, part: None, at: now };
        let Ok(new) = NewEvent::new(StreamId::new(StreamKind::Quarantine, self.item), "Held", 1, &event) else { return false };
        // The same hold has the same identity: who gave up, and on which event.
        let mut id = [0; 16];
        id.iter_mut().zip(self.by.bytes().take(8)).for_each(|(place, byte)| *place = byte);
        id[8..].copy_from_slice(&self.sequence.to_be_bytes());
        let command = CommandId::from_bytes(id);
        let meta = Meta {
            command,
            principal: Principal::System(self.by.to_owned()),
            witness: None,
            place: None,
            correlation: command,
            causation: Some(self.sequence),
            device_time: None,
            received: now,
            recorded: now,
            request: None,
        };
        let (sender, receiver) = tokio::sync::oneshot::channel();
        log.append(
            Batch { expected: vec![], meta: Arc::new(meta), events: vec![new] },
            Box::new(move |result| {
                // Without a receiver wardd is stopping, and the next start holds it.
                let _ = sender.send(result.is_ok());
            }),
        );
        receiver.await.unwrap_or(false)
    }
}
