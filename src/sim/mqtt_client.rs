//! A small MQTT 5 client for virtual devices: QoS 1 out with one packet at a time, QoS 0 and 1 in.

use std::collections::VecDeque;
use std::io;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;

use super::broker::next_packet;
use super::mqtt_bytes::{encode, malformed};
use super::mqtt_packet::{Connect, Filter, Packet, Property, PropertyValue, Publish, Will};

const ANSWER_WAIT: Duration = Duration::from_secs(10);
const INBOX_MAX: usize = 1_024;

/// How a client introduces itself.
#[derive(Debug, Clone)]
pub struct ConnectOptions {
    /// Unique in the broker; the same id takes over.
    pub client_id: String,
    /// Forget what the broker kept.
    pub clean_start: bool,
    /// Seconds that the broker keeps the session after a lost connection.
    pub session_expiry_seconds: u32,
    /// Seconds; 0 switches it off.
    pub keep_alive_seconds: u16,
    /// Last will, if any.
    pub will: Option<Will>,
}

impl ConnectOptions {
    /// A device's usual manner: session kept for an hour, keep alive 15 s, no will.
    pub fn device(client_id: &str) -> ConnectOptions {
        ConnectOptions { client_id: client_id.to_owned(), clean_start: false, session_expiry_seconds: 3_600, keep_alive_seconds: 15, will: None }
    }
}

/// One connection; on any error it is dropped and a new one made.
pub struct MqttClient {
    stream: TcpStream,
    buffer: Vec<u8>,
    inbox: VecDeque<Publish>,
    session_present: bool,
    last_packet_id: u16,
    keep_alive: Duration,
    last_sent: Instant,
}

impl MqttClient {
    /// Connects and waits for CONNACK; a refusal is an error of kind `ConnectionRefused` with the reason code in its text.
    pub async fn connect(address: SocketAddr, options: &ConnectOptions) -> io::Result<MqttClient> {
        let stream = bounded(TcpStream::connect(address)).await?;
        stream.set_nodelay(true)?;
        let mut client = MqttClient {
            stream,
            buffer: Vec::new(),
            inbox: VecDeque::new(),
            session_present: false,
            last_packet_id: 0,
            keep_alive: Duration::from_secs(u64::from(options.keep_alive_seconds)),
            last_sent: Instant::now(),
        };
        let connect = Packet::Connect(Connect {
            level: 5,
            clean_start: options.clean_start,
            keep_alive: options.keep_alive_seconds,
            client_id: options.client_id.clone(),
            properties: vec![Property { id: 0x11, value: PropertyValue::Four(options.session_expiry_seconds) }],
            will: options.will.clone(),
            username: None,
        });
        client.write(&connect).await?;
        match bounded(client.read()).await? {
            Packet::ConnAck { reason: 0, session_present, .. } => {
                client.session_present = session_present;
                Ok(client)
            }
            Packet::ConnAck { reason, .. } => {
                let text = format!("mqtt connect refused with reason 0x{reason:02x}");
                Err(io::Error::new(io::ErrorKind::ConnectionRefused, text))
            }
            _ => Err(malformed("expected connack")),
        }
    }

    /// Whether the broker still knew this client.
    pub fn session_present(&self) -> bool {
        self.session_present
    }

    /// Subscribes one filter with QoS 1 and waits for SUBACK.
    pub async fn subscribe(&mut self, filter: &str) -> io::Result<()> {
        let packet_id = self.next_packet_id();
        let filters = vec![Filter { filter: filter.to_owned(), options: 1 }];
        self.write(&Packet::Subscribe { packet_id, properties: vec![], filters }).await?;
        bounded(async {
            loop {
                match self.read().await? {
                    Packet::SubAck { packet_id: id, reasons } if id == packet_id => {
                        let granted = reasons.first().is_some_and(|reason| *reason < 0x80);
                        return if granted { Ok(()) } else { Err(malformed("subscription refused")) };
                    }
                    other => self.keep(other)?,
                }
            }
        })
        .await
    }

    /// Publishes with QoS 1 and waits for PUBACK; messages that arrive meanwhile wait in the inbox.
    pub async fn publish(&mut self, topic: &str, payload: Vec<u8>, retain: bool, dup: bool) -> io::Result<()> {
        let packet_id = self.next_packet_id();
        let publish = Publish { dup, qos: 1, retain, topic: topic.to_owned(), packet_id, properties: vec![], payload };
        self.write(&Packet::Publish(publish)).await?;
        bounded(async {
            loop {
                match self.read().await? {
                    Packet::PubAck { packet_id: id, reason } if id == packet_id => {
                        return if reason < 0x80 { Ok(()) } else { Err(malformed("publish refused")) };
                    }
                    other => self.keep(other)?,
                }
            }
        })
        .await
    }

    /// Waits at most `wait` for a message, keeping the connection alive; none when the time is over. A QoS 1 message is
    /// not yet acknowledged: call [`MqttClient::acknowledge`]. Safe to drop while waiting.
    pub async fn next_message(&mut self, wait: Duration) -> io::Result<Option<Publish>> {
        let until = tokio::time::Instant::now() + wait;
        loop {
            if let Some(publish) = self.inbox.pop_front() {
                return Ok(Some(publish));
            }
            if !self.keep_alive.is_zero() && self.last_sent.elapsed() > self.keep_alive / 2 {
                self.write(&Packet::PingReq).await?;
            }
            let turn = until.min(tokio::time::Instant::now() + Duration::from_secs(1));
            match tokio::time::timeout_at(turn, self.read()).await {
                Ok(packet) => self.keep(packet?)?,
                Err(_) if tokio::time::Instant::now() >= until => return Ok(None),
                Err(_) => {}
            }
        }
    }

    /// Sends PUBACK for a QoS 1 message; nothing for QoS 0.
    pub async fn acknowledge(&mut self, publish: &Publish) -> io::Result<()> {
        if publish.qos == 0 {
            return Ok(());
        }
        self.write(&Packet::PubAck { packet_id: publish.packet_id, reason: 0 }).await
    }

    /// Says goodbye; the session stays as long as agreed at the connect.
    pub async fn disconnect(mut self) {
        let _ = self.write(&Packet::Disconnect { reason: 0, properties: vec![] }).await;
        let _ = self.stream.shutdown().await;
    }

    fn keep(&mut self, packet: Packet) -> io::Result<()> {
        match packet {
            Packet::Publish(publish) if self.inbox.len() < INBOX_MAX => {
                self.inbox.push_back(publish);
                Ok(())
            }
            Packet::Publish(_) => Err(malformed("inbox full")),
            Packet::Disconnect { reason, .. } => {
                let text = format!("broker disconnected with reason 0x{reason:02x}");
                Err(io::Error::new(io::ErrorKind::ConnectionAborted, text))
            }
            // Answers to what was given up earlier.
            _ => Ok(()),
        }
    }

    fn next_packet_id(&mut self) -> u16 {
        self.last_packet_id = self.last_packet_id.checked_add(1).unwrap_or(1);
        self.last_packet_id
    }

    async fn write(&mut self, packet: &Packet) -> io::Result<()> {
        self.last_sent = Instant::now();
        bounded(self.stream.write_all(&encode(packet))).await
    }

    async fn read(&mut self) -> io::Result<Packet> {
        match next_packet(&mut self.stream, &mut self.buffer).await? {
            Some(packet) => Ok(packet),
            None => Err(io::ErrorKind::UnexpectedEof.into()),
        }
    }
}

async fn bounded<T>(work: impl Future<Output = io::Result<T>>) -> io::Result<T> {
    match tokio::time::timeout(ANSWER_WAIT, work).await {
        Ok(result) => result,
        Err(_) => Err(io::ErrorKind::TimedOut.into()),
    }
}
