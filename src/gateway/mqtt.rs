//! Devices on the broker: a message is acknowledged to the broker when it is durable.

use std::collections::BTreeMap;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt;
use futures_util::stream::FuturesOrdered;
use tokio::sync::mpsc;

use super::Device;
use super::intake::{Arrived, identity, store};
use crate::domain::quarantine::Reason;
use crate::kernel::limits;
use crate::link::mqtt::{self as link_mqtt, Received, Receiver};
use crate::profile::{Codec, Framing};
use crate::routing::{self, Routed, Understood};

/// Between two tries to store a message.
const AGAIN: Duration = Duration::from_secs(1);

/// The topic that a device publishes to.
pub(super) fn events_topic(device: &Device) -> Option<String> {
    match &device.profile.framing {
        Framing::Mqtt { events, .. } => Some(events.replace("{device}", device.id.as_str())),
        Framing::Astm { .. } | Framing::Mllp | Framing::Line { .. } => None,
    }
}

/// The topics of devices and the devices by topic.
pub fn topics(devices: &[Arc<Device>]) -> BTreeMap<String, Arc<Device>> {
    devices.iter().filter_map(|device| events_topic(device).map(|topic| (topic, device.clone()))).collect()
}

/// A message on its way into the journal; it is ready when it may be acknowledged.
type UnderWay = Pin<Box<dyn Future<Output = Received> + Send>>;

/// Handles messages until wardd stops. As many as the broker gives at a time are under way together, so that one sync serves
/// many, and each is acknowledged after the ones before it, as MQTT wants it (MQTT 5.0, 4.6).
pub async fn serve_broker(devices: BTreeMap<String, Arc<Device>>, receiver: Receiver, mut messages: mpsc::Receiver<Received>) {
    let Some(any) = devices.values().next().cloned() else { return };
    let mut under_way: FuturesOrdered<UnderWay> = FuturesOrdered::new();
    loop {
        tokio::select! {
            biased;
            () = any.stopped() => return,
            Some(done) = under_way.next(), if !under_way.is_empty() => receiver.acknowledge(&done),
            received = messages.recv(), if under_way.len() < usize::from(link_mqtt::RECEIVE_MAXIMUM) => {
                let Some(received) = received else { return };
                // How a drawer moved is only true in its order: it waits until all before it is kept, and all behind waits for it.
                let is_alone = devices.get(&received.topic).is_some_and(|device| matches!(device.profile.codec, Codec::DrawerJson));
                let message: UnderWay = Box::pin(handle(devices.get(&received.topic).cloned(), any.clone(), received));
                let finish = async {
                    if is_alone {
                        drain(&mut under_way, &receiver).await;
                    }
                    under_way.push_back(message);
                    if is_alone {
                        drain(&mut under_way, &receiver).await;
                    }
                };
                tokio::select! {
                    biased;
                    () = any.stopped() => return,
                    () = finish => {}
                }
            }
        }
    }
}

/// Acknowledges everything that is under way.
async fn drain(under_way: &mut FuturesOrdered<UnderWay>, receiver: &Receiver) {
    while let Some(done) = under_way.next().await {
        receiver.acknowledge(&done);
    }
}

/// Keeps a message, however long that takes; gives it back when it may be acknowledged.
async fn handle(device: Option<Arc<Device>>, any: Arc<Device>, received: Received) -> Received {
    let Some(device) = device else {
        any.figures.noise("unknown_topic");
        return received;
    };
    device.figures.received(received.payload.len(), device.clock.now());
    if received.is_retained {
        // A retained message is as old as the broker likes: it says nothing about now, and nobody may act on it.
        device.figures.noise("retained");
        return received;
    }
    // A broker sends again only to a new connection: what cannot be stored now is tried until it can.
    while !take(&device, &received).await {
        tokio::time::sleep(AGAIN).await;
    }
    received
}

async fn take(device: &Arc<Device>, received: &Received) -> bool {
    let now = device.clock.now();
    let understood = match &device.profile.codec {
        _ if received.payload.len() > limits::MQTT_PAYLOAD_BYTES => Understood::held(Reason::Incomplete { detail: "the payload is larger than is taken".to_owned() }),
        Codec::RfidJson => routing::json::tag(&received.payload),
        Codec::DrawerJson => routing::json::drawer(&received.payload),
        Codec::VitalsJson => routing::vitals::of_json(&received.payload),
        Codec::Lis2(_) | Codec::Hl7(_) | Codec::Scan | Codec::RelayWords => {
            Understood::held(Reason::NotSupported { detail: "this profile's codec does not come by MQTT".to_owned() })
        }
    };
    let message = match understood.items.as_slice() {
        // The same tag without a time is seen anew each time; the device's actor knows what is one sighting.
        [Routed::Tag { seen: None, .. }] => identity(device.id.as_str(), &[received.payload.as_ref(), &now.micros().to_le_bytes()].concat()),
        _ => identity(device.id.as_str(), &received.payload),
    };
    let arrived = Arrived { message, raw: received.payload.clone(), understood, received: now, peer: received.topic.clone(), is_replay: false };
    store(device, arrived).await.is_ok()
}
