//! MQTT 5 through rumqttc: messages in, acknowledged only when their owner says so; messages out, known to be taken by the broker.
//!
//! Two connections, one for each direction: acknowledgements and publishes must never wait for each other.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use rumqttc::mqttbytes::QoS;
use rumqttc::mqttbytes::v5::{Packet, Publish};
use rumqttc::{AckMode, AsyncClient, BrokerSessionResumePolicy, ConnectionError, Event, MqttOptions, PublishOptions, TlsConfiguration, Transport};
use tokio::sync::{mpsc, watch};
use tokio_rustls::rustls::ClientConfig;

use super::Backoff;
use crate::kernel::limits;
use crate::telemetry::DeviceFigures;

/// Messages that the broker may send before they are acknowledged.
pub const RECEIVE_MAXIMUM: u16 = 256;
/// Seconds that the broker keeps our session while we are away.
const SESSION_SECONDS: u32 = 86_400;
/// Commands to devices that may wait to be sent; whoever sends one gives up after a while.
const COMMANDS: usize = 1_024;

/// Commands to devices that the broker has not confirmed yet, at most: the library makes room for all of them at once.
const UNDER_WAY: u16 = 256;

/// How to reach the broker.
#[derive(Debug, Clone)]
pub struct Broker {
    /// Host.
    pub host: String,
    /// Port.
    pub port: u16,
    /// Our name.
    pub client_id: String,
    /// User and password.
    pub login: Option<(String, String)>,
    /// TLS, where it is spoken: each connection takes the newest.
    pub tls: Option<watch::Receiver<Arc<ClientConfig>>>,
}

impl Broker {
    /// Takes the newest certificates for the next connection.
    fn renew(&self, options: &mut MqttOptions) {
        if let Some(tls) = &self.tls {
            options.set_transport(Transport::Tls(TlsConfiguration::Rustls(tls.borrow().clone())));
        }
    }
}

/// A message and the way to acknowledge it.
#[derive(Debug)]
pub struct Received {
    /// The topic.
    pub topic: String,
    /// The payload.
    pub payload: Bytes,
    /// Whether the broker had kept it from before: a command that was retained is never obeyed.
    pub is_retained: bool,
    publish: Publish,
    /// Of which connection it came: its number means another message on the next one.
    connection: u64,
}

/// The receiving side.
#[derive(Debug, Clone)]
pub struct Receiver {
    client: AsyncClient,
    /// Counts the connections that were lost.
    connection: Arc<AtomicU64>,
}

/// The sending side.
#[derive(Debug, Clone)]
pub struct Sender {
    client: AsyncClient,
}

/// Options with room for so many requests to the event loop.
fn options(broker: &Broker, suffix: &str, requests: usize) -> MqttOptions {
    let mut options = MqttOptions::new(format!("{}{suffix}", broker.client_id), (broker.host.clone(), broker.port));
    options
        .set_keep_alive(15)
        .set_clean_start(false)
        .set_session_expiry_interval(Some(SESSION_SECONDS))
        .set_broker_session_resume_policy(BrokerSessionResumePolicy::AllowBrokerOnly)
        .set_request_channel_capacity(requests)
        .set_outgoing_inflight_upper_limit(UNDER_WAY)
        .set_max_packet_size(Some(u32::try_from(limits::MQTT_PAYLOAD_BYTES).unwrap_or(u32::MAX)))
        .set_connect_timeout(Duration::from_secs(5));
    broker.renew(&mut options);
    if let Some((user, password)) = &broker.login {
        options.set_credentials(user.clone(), password.clone());
    }
    options
}

/// Subscribes to topics and hands messages to `messages`; subscribes again whenever the broker has lost our session.
///
/// `reached` are the devices behind the broker: they are up when the broker is.
pub fn receive(broker: &Broker, topics: Vec<String>, messages: mpsc::Sender<Received>, figures: Arc<DeviceFigures>, reached: Vec<Arc<DeviceFigures>>) -> Receiver {
    // An acknowledgement or a subscription must never wait for room (bytebeamio/rumqtt#1025).
    let requests = topics.len() + usize::from(RECEIVE_MAXIMUM) * 4;
    let mut options = options(broker, "-in", requests);
    options.set_ack_mode(AckMode::Manual).set_receive_maximum(Some(RECEIVE_MAXIMUM));
    let (client, mut events) = AsyncClient::builder(options).capacity(requests).build();
    let connection = Arc::new(AtomicU64::new(0));
    let receiver = Receiver { client: client.clone(), connection: connection.clone() };
    let broker = broker.clone();
    tokio::spawn(async move {
        let mut backoff = Backoff::new(Duration::from_millis(250), Duration::from_secs(30));
        let mut is_connected = false;
        loop {
            match events.poll().await {
                Ok(Event::Incoming(Packet::ConnAck(_))) => {
                    backoff.reset();
                    is_connected = true;
                    for figures in std::iter::once(&figures).chain(&reached) {
                        figures.connected("broker");
                    }
                    for topic in &topics {
                        // The queue has room for all topics; a failure here ends the connection, and the next one subscribes again.
                        if client.subscribe(topic.as_str(), QoS::AtLeastOnce).await.is_err() {
                            return;
                        }
                    }
                }
                Ok(Event::Incoming(Packet::Publish(publish))) => {
                    let topic = String::from_utf8_lossy(&publish.topic).into_owned();
                    let received = Received { topic, payload: publish.payload.clone(), is_retained: publish.retain, publish, connection: connection.load(Ordering::Acquire) };
                    // The broker sends so many unacknowledged messages at most, and so many fit.
                    if messages.send(received).await.is_err() {
                        return;
                    }
                }
                Ok(_) => {}
                Err(error) => {
                    connection.fetch_add(1, Ordering::AcqRel);
                    if std::mem::take(&mut is_connected) {
                        for figures in std::iter::once(&figures).chain(&reached) {
                            figures.disconnected("broker");
                        }
                    }
                    let pause = backoff.pause();
                    figures.link_failed(&error.to_string(), pause.as_millis());
                    tokio::time::sleep(pause).await;
                    broker.renew(&mut events.options);
                }
            }
        }
    });
    receiver
}

impl Receiver {
    /// Acknowledges a message: it is durable.
    pub fn acknowledge(&self, received: &Received) {
        // A connection that was lost meanwhile makes the broker send it again, which is known then; on the new connection its
        // number may be another message's, which nobody has kept yet.
        if received.connection != self.connection.load(Ordering::Acquire) {
            return;
        }
        let _ = self.client.try_ack(&received.publish);
    }
}

/// Opens the sending side.
pub fn send(broker: &Broker, figures: Arc<DeviceFigures>) -> Sender {
    let (client, mut events) = AsyncClient::builder(options(broker, "-out", COMMANDS)).capacity(COMMANDS).build();
    let broker = broker.clone();
    tokio::spawn(async move {
        let mut backoff = Backoff::new(Duration::from_millis(250), Duration::from_secs(5));
        loop {
            match events.poll().await {
                Ok(Event::Incoming(Packet::ConnAck(_))) => backoff.reset(),
                Ok(_) => {}
                // Nobody is left who could send.
                Err(ConnectionError::RequestsDone) => return,
                Err(error) => {
                    let pause = backoff.pause();
                    figures.link_failed(&error.to_string(), pause.as_millis());
                    tokio::time::sleep(pause).await;
                    broker.renew(&mut events.options);
                }
            }
        }
    });
    Sender { client }
}

impl Sender {
    /// Publishes and waits for the broker's PUBACK; `false` when it did not come in time, and the owner sends it again.
    pub async fn publish(&self, topic: &str, payload: Vec<u8>, patience: Duration) -> bool {
        let send = async {
            let notice = self.client.publish_tracked(topic, payload, PublishOptions::new(QoS::AtLeastOnce)).await.ok()?;
            notice.wait_completion_async().await.ok()
        };
        matches!(tokio::time::timeout(patience, send).await, Ok(Some(())))
    }
}
