//! A device: what it sent, byte for byte, its controls, the tags it saw, the drawers it moved.
//!
//! The stream is a record of what arrived; nothing is refused here. Whether a message is new is the actor's
//! business, which remembers the last message ids.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::specimen::ResultLine;
use crate::kernel::{CommandId, RawBytes, Timestamp};

/// What may have happened at a device.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "event")]
pub enum Event {
    /// A message was erased with whom it was about.
    Erased,
    /// A message arrived. It is handled when this event says so, or when `MessageHandled` follows.
    MessageReceived {
        /// Its identity.
        message: CommandId,
        /// The device's own number for it (MSH-10); empty when it has none.
        #[serde(default, skip_serializing_if = "String::is_empty")]
        control_id: String,
        /// The bytes as received.
        raw: RawBytes,
        /// When the device says that it was sent.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        device_time: Option<Timestamp>,
        /// Whether all that it asked for is in the same batch.
        is_handled: bool,
    },
    /// All that an earlier message asked for has been done or held.
    MessageHandled {
        /// Its identity.
        message: CommandId,
    },
    /// A control was measured; it belongs to the device and never to a patient.
    ControlMeasured {
        /// The control material as the device names it.
        control: String,
        /// The results.
        results: Vec<ResultLine>,
    },
    /// A tag was seen: a hint where a thing is, never a change of stock.
    TagSighted {
        /// The tag's URI.
        tag: String,
        /// Which antenna.
        antenna: u16,
        /// When, by the reader's clock.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        seen: Option<Timestamp>,
    },
    /// A drawer moved.
    DrawerMoved {
        /// Which drawer.
        drawer: String,
        /// How.
        movement: Movement,
        /// The command that made it move, where one did.
        #[serde(default, skip_serializing_if = "String::is_empty")]
        command: String,
    },
}

/// What a drawer did.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Movement {
    /// It is open.
    Opened,
    /// It is closed.
    Closed,
    /// It did not open.
    Jammed,
}

impl Event {
    /// Its type name and the version of its stored form.
    pub fn name(&self) -> (&'static str, u16) {
        match self {
            Event::MessageReceived { .. } => ("MessageReceived", 1),
            Event::Erased => ("Erased", 1),
            Event::MessageHandled { .. } => ("MessageHandled", 1),
            Event::ControlMeasured { .. } => ("ControlMeasured", 1),
            Event::TagSighted { .. } => ("TagSighted", 1),
            Event::DrawerMoved { .. } => ("DrawerMoved", 1),
        }
    }
}

/// Tags that a reader saw lately, so that a burst of reads is one sighting.
#[derive(Debug, Default)]
pub struct Sightings {
    last: BTreeMap<Arc<(String, u16)>, Timestamp>,
    /// In the order in which they were seen, the oldest first.
    order: VecDeque<(Arc<(String, u16)>, Timestamp)>,
}

/// A tag that is seen again within this time at the same antenna has not moved.
const SAME_SIGHTING_SECONDS: i64 = 10;
/// Sightings that one reader remembers. Of more within ten seconds the oldest is forgotten, and would be one again.
const TAGS_REMEMBERED: usize = 10_000;

impl Sightings {
    /// Whether this read is a new sighting; notes it.
    pub fn is_new(&mut self, tag: &str, antenna: u16, now: Timestamp) -> bool {
        let key = Arc::new((tag.to_owned(), antenna));
        let is_new = self.last.get(&key).is_none_or(|last| now.seconds_since(*last) >= SAME_SIGHTING_SECONDS);
        if is_new {
            if self.order.len() >= TAGS_REMEMBERED
                && let Some((oldest, at)) = self.order.pop_front()
                && self.last.get(&oldest) == Some(&at)
            {
                self.last.remove(&oldest);
            }
            self.order.push_back((key.clone(), now));
            self.last.insert(key, now);
        }
        is_new
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_burst_of_reads_is_one_sighting() {
        let start: Timestamp = "2026-11-21T12:00:00Z".parse().unwrap();
        let mut sightings = Sightings::default();
        let reads = [(0, 1, true), (1, 1, false), (9, 1, false), (9, 2, true), (10, 1, true), (15, 1, false)];
        for (second, antenna, expected) in reads {
            assert_eq!(sightings.is_new("urn:epc:tag:giai-96:1.2.3", antenna, start.plus_seconds(second)), expected, "{second} s");
        }
    }

    #[test]
    fn of_more_tags_than_are_remembered_the_oldest_is_forgotten() {
        let now: Timestamp = "2026-11-21T12:00:00Z".parse().unwrap();
        let mut sightings = Sightings::default();
        assert!((0..=TAGS_REMEMBERED).all(|tag| sightings.is_new(&tag.to_string(), 1, now)));
        assert_eq!(["1", "0", &TAGS_REMEMBERED.to_string()].map(|tag| sightings.is_new(tag, 1, now)), [false, true, false]);
        assert_eq!((sightings.last.len(), sightings.order.len()), (TAGS_REMEMBERED, TAGS_REMEMBERED));
    }
}
