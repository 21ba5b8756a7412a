//! JSON of RFID readers and of cabinets with drawers that speak MQTT.

use serde::Deserialize;

use super::{Routed, Understood};
use crate::codec::epc::Tag;
use crate::domain::device::Movement;
use crate::domain::quarantine::Reason;
use crate::kernel::Timestamp;

/// One read of a tag; fields that are not needed are passed over, since readers send many.
#[derive(Deserialize)]
struct TagRead {
    epc: String,
    #[serde(default)]
    antenna: u16,
    #[serde(default)]
    seen: Option<String>,
}

/// One movement of a drawer.
#[derive(Deserialize)]
struct DrawerEvent {
    event: String,
    drawer: String,
    #[serde(default)]
    command_id: String,
    #[serde(default)]
    time: Option<String>,
}

pub(super) fn not_parsed(error: &serde_json::Error) -> Understood {
    Understood::held(Reason::NotParsed { detail: format!("the payload is not the JSON that is due: {error}") })
}

/// What a reader's message asks for.
pub fn tag(payload: &[u8]) -> Understood {
    let read: TagRead = match serde_json::from_slice(payload) {
        Ok(read) => read,
        Err(error) => return not_parsed(&error),
    };
    let seen: Option<Timestamp> = read.seen.and_then(|text| text.parse().ok());
    let item = match Tag::from_hex(&read.epc) {
        Ok(tag) => Routed::Tag { tag: tag.uri(), antenna: read.antenna, seen },
        Err(error) => Routed::Hold(Reason::NotParsed { detail: error.to_string() }),
    };
    Understood { items: vec![item], control_id: String::new(), device_time: seen }
}

/// What a cabinet's message asks for.
pub fn drawer(payload: &[u8]) -> Understood {
    let event: DrawerEvent = match serde_json::from_slice(payload) {
        Ok(event) => event,
        Err(error) => return not_parsed(&error),
    };
    let movement = match event.event.as_str() {
        "drawer_opened" => Movement::Opened,
        "drawer_closed" => Movement::Closed,
        "drawer_jammed" => Movement::Jammed,
        other => return Understood::held(Reason::NotSupported { detail: format!("drawer event {other:?} is unknown (known: drawer_opened, drawer_closed, drawer_jammed)") }),
    };
    let item = Routed::Drawer { drawer: event.drawer, movement, command: event.command_id };
    Understood { items: vec![item], control_id: String::new(), device_time: event.time.and_then(|text| text.parse().ok()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tags_and_drawers() {
        let understood = tag(br#"{"epc":"3476451FD40000000000162E","antenna":2,"rssi_dbm":-52,"seen":"2026-11-21T12:00:00Z"}"#);
        assert_eq!(understood.items, [Routed::Tag { tag: "urn:epc:tag:giai-96:3.9521141.5678".into(), antenna: 2, seen: understood.device_time }]);
        let understood = drawer(br#"{"event":"drawer_opened","drawer":"3","command_id":"c1"}"#);
        assert_eq!(understood.items, [Routed::Drawer { drawer: "3".into(), movement: Movement::Opened, command: "c1".into() }]);
        for bad in [&b"{"[..], b"{\"epc\":\"zz\"}", b"{\"drawer\":\"1\",\"event\":\"x\"}", b"\xff"] {
            assert!(matches!(tag(bad).items[..], [Routed::Hold(_)]));
            assert!(matches!(drawer(bad).items[..], [Routed::Hold(_)]));
        }
    }
}
