//! What the broker remembers: sessions, retained messages and who gets what; no sockets here, only bounded queues.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::mpsc;

use super::mqtt_bytes::encode;
use super::mqtt_packet::{Connect, Filter, Packet, Property, PropertyValue, Publish, filter_is_valid, four_byte, topic_matches, two_byte};

/// Bytes queued for one connection's socket, in packets.
pub(super) const OUTBOX_PACKETS: usize = 256;
// Of the outbox, kept free of messages so that answers always find room.
const ROOM_FOR_ANSWERS: usize = 64;
const IN_FLIGHT_MAX: usize = 128;
const PENDING_MAX: usize = 10_000;
const SESSIONS_MAX: usize = 1_024;
const SUBSCRIPTIONS_MAX: usize = 1_024;
const RETAINED_MAX: usize = 10_000;

/// Where a connection's packets go; dropping it closes the socket once all is written.
pub(super) type Outbox = mpsc::Sender<Vec<u8>>;

#[derive(Debug, Clone)]
struct Message {
    topic: String,
    payload: Arc<[u8]>,
    qos: u8,
    retain: bool,
    properties: Arc<[Property]>,
    expires_at: Option<Instant>,
}

#[derive(Debug)]
struct Outgoing {
    message: Message,
    // Set when it was sent before the connection was lost, so that it is repeated as the same packet with DUP.
    packet_id: Option<u16>,
}

struct Link {
    id: u64,
    // None once it was closed from this side; the link itself waits for its socket's end, as its will is due then.
    outbox: Option<Outbox>,
    receive_maximum: usize,
    packet_max_bytes: usize,
    will: Option<Message>,
}

struct Session {
    subscriptions: BTreeMap<String, u8>,
    in_flight: VecDeque<(u16, Message)>,
    pending: VecDeque<Outgoing>,
    last_packet_id: u16,
    expiry_seconds: u32,
    offline_since: Option<Instant>,
    link: Option<Link>,
}

/// All sessions and retained messages, owned by the broker's one task.
#[derive(Default)]
pub(super) struct Registry {
    sessions: BTreeMap<String, Session>,
    links: BTreeMap<u64, String>,
    retained: BTreeMap<String, Message>,
    generated_ids: u64,
}

impl Registry {
    /// Opens or takes over the session of a CONNECT and answers with CONNACK.
    pub(super) fn open(&mut self, id: u64, connect: Connect, outbox: Outbox, now: Instant) {
        let mut client_id = connect.client_id.clone();
        let mut properties = vec![
            property(0x24, PropertyValue::Byte(1)),
            property(0x27, PropertyValue::Four(super::mqtt_bytes::PACKET_MAX_BYTES as u32)),
            property(0x29, PropertyValue::Byte(0)),
            property(0x2a, PropertyValue::Byte(0)),
        ];
        if client_id.is_empty() {
            self.generated_ids += 1;
            client_id = format!("generated-{}", self.generated_ids);
            properties.push(property(0x12, PropertyValue::Text(client_id.clone())));
        }
        if let Some(reason) = self.refusal(&client_id, &connect) {
            // The outbox is fresh and empty, so this cannot fail for lack of room.
            let _ = outbox.try_send(encode(&Packet::ConnAck { session_present: false, reason, properties: vec![] }));
            return;
        }
        self.expire(now);
        self.take_over(&client_id);
        let kept = self.sessions.remove(&client_id).filter(|_| !connect.clean_start);
        let session_present = kept.is_some();
        let mut session = kept.unwrap_or_else(Session::new);
        session.resume();
        session.expiry_seconds = four_byte(&connect.properties, 0x11).unwrap_or(0);
        session.offline_since = None;
        let _ = outbox.try_send(encode(&Packet::ConnAck { session_present, reason: 0, properties }));
        session.link = Some(Link {
            id,
            outbox: Some(outbox),
            receive_maximum: usize::from(two_byte(&connect.properties, 0x21).unwrap_or(u16::MAX)),
            packet_max_bytes: four_byte(&connect.properties, 0x27).unwrap_or(u32::MAX) as usize,
            will: connect.will.map(|will| Message {
                topic: will.topic,
                payload: will.payload.into(),
                qos: will.qos.min(1),
                retain: will.retain,
                properties: Arc::from([]),
                expires_at: None,
            }),
        });
        session.pump(now);
        self.links.insert(id, client_id.clone());
        self.sessions.insert(client_id, session);
    }

    fn refusal(&self, client_id: &str, connect: &Connect) -> Option<u8> {
        if two_byte(&connect.properties, 0x21) == Some(0) {
            return Some(0x82);
        }
        if connect.will.as_ref().is_some_and(|will| will.qos > 1) {
            return Some(0x9b);
        }
        let full = self.sessions.len() >= SESSIONS_MAX && !self.sessions.contains_key(client_id);
        full.then_some(0x97)
    }

    fn take_over(&mut self, client_id: &str) {
        let Some(link) = self.sessions.get_mut(client_id).and_then(|s| s.link.take()) else {
            return;
        };
        self.links.remove(&link.id);
        if let Some(outbox) = &link.outbox {
            let _ = outbox.try_send(encode(&disconnect(0x8e)));
        }
        if let Some(will) = link.will {
            self.publish_will(will, Instant::now());
        }
    }

    /// Handles one packet of an open connection; packets of connections already replaced are dropped.
    pub(super) fn packet(&mut self, id: u64, packet: Packet, now: Instant) {
        let Some(client_id) = self.links.get(&id).cloned() else {
            return;
        };
        match packet {
            Packet::Publish(publish) => self.publish(id, &client_id, publish, now),
            Packet::PubAck { packet_id, .. } => self.acknowledged(&client_id, packet_id, now),
            Packet::Subscribe { packet_id, properties, filters } => {
                if properties.iter().any(|p| p.id == 0x0b) {
                    return self.refuse(id, 0xa1, now);
                }
                self.subscribe(&client_id, packet_id, filters, now);
            }
            Packet::Unsubscribe { packet_id, filters } => {
                let Some(session) = self.sessions.get_mut(&client_id) else {
                    return;
                };
                let gone = |f: &String| session.subscriptions.remove(f).is_some();
                let reasons = filters.iter().map(gone).map(|was| if was { 0 } else { 0x11 }).collect();
                session.control(&Packet::UnsubAck { packet_id, reasons });
            }
            Packet::PingReq => {
                if let Some(session) = self.sessions.get_mut(&client_id) {
                    session.control(&Packet::PingResp);
                }
            }
            Packet::Disconnect { reason, properties } => {
                if let Some(session) = self.sessions.get_mut(&client_id) {
                    if let Some(seconds) = four_byte(&properties, 0x11) {
                        session.expiry_seconds = seconds;
                    }
                    if let Some(link) = session.link.as_mut().filter(|_| reason != 0x04) {
                        link.will = None;
                    }
                }
                self.closed(id, now);
            }
            Packet::Connect(_) | Packet::ConnAck { .. } | Packet::SubAck { .. } | Packet::UnsubAck { .. } | Packet::PingResp => self.refuse(id, 0x82, now),
        }
    }

    /// Ends a connection with a reason code (section 2.4), e.g. 0x8d for keep alive.
    pub(super) fn refuse(&mut self, id: u64, reason: u8, now: Instant) {
        if let Some(session) = self.links.get(&id).and_then(|c| self.sessions.get_mut(c)) {
            session.control(&disconnect(reason));
        }
        self.closed(id, now);
    }

    /// The connection is gone: publishes its will and keeps or forgets its session.
    pub(super) fn closed(&mut self, id: u64, now: Instant) {
        let Some(client_id) = self.links.remove(&id) else {
            return;
        };
        let Some(session) = self.sessions.get_mut(&client_id) else {
            return;
        };
        let will = session.link.take().and_then(|link| link.will);
        session.offline_since = Some(now);
        session.pending.retain(|outgoing| outgoing.message.qos > 0);
        if session.expiry_seconds == 0 {
            self.sessions.remove(&client_id);
        }
        if let Some(will) = will {
            self.publish_will(will, now);
        }
    }

    /// Drops every connection, and with `forget` all sessions and retained messages, as a broker without a store does.
    pub(super) fn restart(&mut self, forget: bool, now: Instant) {
        for session in self.sessions.values_mut() {
            // The power went: no will is published and nobody is told why.
            session.link = None;
            session.offline_since = Some(now);
        }
        self.links.clear();
        self.sessions.retain(|_, session| session.expiry_seconds > 0);
        if forget {
            self.sessions.clear();
            self.retained.clear();
        }
    }

    /// Housekeeping, called a few times a second: session expiry, and queues whose socket was full.
    pub(super) fn tick(&mut self, now: Instant) {
        self.expire(now);
        for session in self.sessions.values_mut() {
            session.pump(now);
        }
    }

    fn expire(&mut self, now: Instant) {
        self.sessions.retain(|_, session| match session.offline_since {
            // 0xffff_ffff never expires, section 3.1.2.11.2.
            Some(since) => session.expiry_seconds == u32::MAX || now.duration_since(since) < Duration::from_secs(u64::from(session.expiry_seconds)),
            None => true,
        });
    }

    fn publish(&mut self, id: u64, client_id: &str, publish: Publish, now: Instant) {
        if publish.qos > 1 {
            return self.refuse(id, 0x9b, now);
        }
        // The broker grants no topic aliases, so a name must always be there.
        if publish.topic.is_empty() || two_byte(&publish.properties, 0x23).is_some() {
            return self.refuse(id, 0x94, now);
        }
        let (qos, packet_id) = (publish.qos, publish.packet_id);
        let expiry = four_byte(&publish.properties, 0x02);
        let message = Message {
            topic: publish.topic,
            payload: publish.payload.into(),
            qos,
            retain: publish.retain,
            properties: publish.properties.into_iter().filter(|p| p.id != 0x02).collect(),
            expires_at: expiry.map(|seconds| now + Duration::from_secs(u64::from(seconds))),
        };
        if message.retain {
            self.keep(&message);
        }
        let receivers = self.route(message, Some(client_id), now);
        if qos == 1
            && let Some(session) = self.sessions.get_mut(client_id)
        {
            let reason = if receivers == 0 { 0x10 } else { 0 };
            session.control(&Packet::PubAck { packet_id, reason });
        }
    }

    fn publish_will(&mut self, will: Message, now: Instant) {
        if will.retain {
            self.keep(&will);
        }
        self.route(will, None, now);
    }

    fn keep(&mut self, message: &Message) {
        if message.payload.is_empty() {
            self.retained.remove(&message.topic);
        } else if self.retained.len() < RETAINED_MAX || self.retained.contains_key(&message.topic) {
            self.retained.insert(message.topic.clone(), message.clone());
        }
    }

    fn route(&mut self, message: Message, publisher: Option<&str>, now: Instant) -> usize {
        let mut receivers = 0;
        for (client_id, session) in &mut self.sessions {
            let own = publisher == Some(client_id.as_str());
            // Overlapping subscriptions give one copy at their highest QoS, section 3.3.4.
            let best = session
                .subscriptions
                .iter()
                .filter(|(filter, options)| !(own && **options & 4 != 0) && topic_matches(filter, &message.topic))
                .map(|(_, options)| *options)
                .max_by_key(|options| options & 3);
            let Some(options) = best else { continue };
            receivers += 1;
            let mut copy = message.clone();
            copy.qos = message.qos.min(options & 3);
            copy.retain = message.retain && options & 8 != 0;
            session.queue(copy);
            session.pump(now);
        }
        receivers
    }

    fn subscribe(&mut self, client_id: &str, packet_id: u16, filters: Vec<Filter>, now: Instant) {
        let Some(session) = self.sessions.get_mut(client_id) else {
            return;
        };
        let mut reasons = Vec::new();
        let mut retained = Vec::new();
        for Filter { filter, options } in filters {
            if !filter_is_valid(&filter) {
                reasons.push(0x8f);
            } else if filter.starts_with("$share/") {
                reasons.push(0x9e);
            } else if session.subscriptions.len() >= SUBSCRIPTIONS_MAX {
                reasons.push(0x97);
            } else {
                let qos = (options & 3).min(1);
                let handling = options >> 4 & 3;
                let granted = options & !3 | qos;
                let is_new = session.subscriptions.insert(filter.clone(), granted).is_none();
                reasons.push(qos);
                if handling == 0 || (handling == 1 && is_new) {
                    let found = self.retained.values().filter(|m| topic_matches(&filter, &m.topic));
                    retained.extend(found.cloned().map(|mut message| {
                        message.qos = message.qos.min(qos);
                        message
                    }));
                }
            }
        }
        session.control(&Packet::SubAck { packet_id, reasons });
        for message in retained {
            session.queue(message);
        }
        session.pump(now);
    }

    fn acknowledged(&mut self, client_id: &str, packet_id: u16, now: Instant) {
        let Some(session) = self.sessions.get_mut(client_id) else {
            return;
        };
        session.in_flight.retain(|(id, _)| *id != packet_id);
        session.pump(now);
    }
}

impl Session {
    fn new() -> Session {
        Session { subscriptions: BTreeMap::new(), in_flight: VecDeque::new(), pending: VecDeque::new(), last_packet_id: 0, expiry_seconds: 0, offline_since: None, link: None }
    }

    // Everything sent and not acknowledged goes first again, in the old order, section 4.4.
    fn resume(&mut self) {
        while let Some((packet_id, message)) = self.in_flight.pop_back() {
            self.pending.push_front(Outgoing { message, packet_id: Some(packet_id) });
        }
    }

    fn queue(&mut self, message: Message) {
        let wanted = message.qos > 0 || self.link.is_some();
        if wanted && self.pending.len() < PENDING_MAX {
            self.pending.push_back(Outgoing { message, packet_id: None });
        }
    }

    fn control(&mut self, packet: &Packet) {
        let Some(link) = &mut self.link else { return };
        let Some(outbox) = &link.outbox else { return };
        if outbox.try_send(encode(packet)).is_err() {
            // A client that lets even answers pile up is cut off rather than waited for.
            tracing::debug!(link = link.id, "mqtt client does not read, connection closed");
            link.outbox = None;
        }
    }

    fn pump(&mut self, now: Instant) {
        let Some(link) = &self.link else { return };
        let Some(outbox) = &link.outbox else { return };
        let window = link.receive_maximum.min(IN_FLIGHT_MAX);
        while let Some(next) = self.pending.front() {
            if next.message.qos > 0 && self.in_flight.len() >= window {
                return;
            }
            if outbox.capacity() <= ROOM_FOR_ANSWERS {
                return;
            }
            let Ok(permit) = outbox.try_reserve() else {
                return;
            };
            let Some(Outgoing { message, packet_id }) = self.pending.pop_front() else {
                return;
            };
            if packet_id.is_none() && message.expires_at.is_some_and(|at| at <= now) {
                continue;
            }
            let number = match packet_id {
                Some(id) => id,
                None if message.qos == 0 => 0,
                None => {
                    self.last_packet_id = free_packet_id(self.last_packet_id, &self.in_flight, &self.pending);
                    self.last_packet_id
                }
            };
            let bytes = encode(&Packet::Publish(message.as_publish(number, packet_id.is_some(), now)));
            if bytes.len() > link.packet_max_bytes {
                continue;
            }
            permit.send(bytes);
            if message.qos > 0 {
                self.in_flight.push_back((number, message));
            }
        }
    }
}

fn free_packet_id(last: u16, in_flight: &VecDeque<(u16, Message)>, pending: &VecDeque<Outgoing>) -> u16 {
    let mut id = last;
    loop {
        id = id.checked_add(1).unwrap_or(1);
        let used = in_flight.iter().any(|(other, _)| *other == id) || pending.iter().any(|outgoing| outgoing.packet_id == Some(id));
        // Ends, as far fewer than 65,535 are ever in use.
        if !used {
            return id;
        }
    }
}

impl Message {
    fn as_publish(&self, packet_id: u16, dup: bool, now: Instant) -> Publish {
        let mut properties = self.properties.to_vec();
        if let Some(at) = self.expires_at {
            let left = u32::try_from(at.saturating_duration_since(now).as_secs()).unwrap_or(u32::MAX);
            properties.push(property(0x02, PropertyValue::Four(left)));
        }
        Publish { dup, qos: self.qos, retain: self.retain, topic: self.topic.clone(), packet_id, properties, payload: self.payload.to_vec() }
    }
}

fn property(id: u8, value: PropertyValue) -> Property {
    Property { id, value }
}

fn disconnect(reason: u8) -> Packet {
    Packet::Disconnect { reason, properties: vec![] }
}
