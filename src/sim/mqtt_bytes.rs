//! MQTT 5 control packets to bytes and back (OASIS MQTT Version 5.0, section 2), for the simulator's broker and client.

use std::io;

use super::mqtt_packet::{Connect, Filter, Packet, Property, PropertyValue, Publish, Will};

/// Largest packet either side of the simulator takes, in bytes.
pub const PACKET_MAX_BYTES: usize = 256 * 1024;

/// Why bytes are not a packet.
pub fn malformed(what: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, format!("malformed mqtt packet: {what}"))
}

/// Takes one packet off the front of `buffer`; none while it is incomplete, an error when it can never become a packet.
pub fn take_packet(buffer: &mut Vec<u8>) -> io::Result<Option<Packet>> {
    let Some(&first) = buffer.first() else {
        return Ok(None);
    };
    // Checked before the rest arrives, so that a stranger's bytes do not make the broker wait for more of them.
    let kind = first >> 4;
    let flags = if matches!(kind, 8 | 10) { 2 } else { 0 };
    if kind != 3 && first & 0x0f != flags {
        return Err(malformed("reserved flags"));
    }
    let mut length = 0_usize;
    let mut header = 1;
    loop {
        let Some(&byte) = buffer.get(header) else {
            return Ok(None);
        };
        length |= usize::from(byte & 0x7f) << (7 * (header - 1));
        header += 1;
        if byte & 0x80 == 0 {
            break;
        }
        if header > 4 {
            return Err(malformed("remaining length has more than four bytes"));
        }
    }
    if header + length > PACKET_MAX_BYTES {
        return Err(malformed("packet too large"));
    }
    let Some(body) = buffer.get(header..header + length) else {
        return Ok(None);
    };
    let packet = decode(first, body)?;
    buffer.drain(..header + length);
    Ok(Some(packet))
}

fn decode(first: u8, body: &[u8]) -> io::Result<Packet> {
    let mut input = Input { rest: body };
    let packet = match first >> 4 {
        1 => return decode_connect(&mut input),
        2 => {
            let session_present = input.byte()? & 1 == 1;
            let reason = input.byte()?;
            Packet::ConnAck { session_present, reason, properties: input.properties()? }
        }
        3 => return decode_publish(first & 0x0f, &mut input),
        4 => {
            let packet_id = input.two()?;
            let reason = if input.rest.is_empty() { 0 } else { input.byte()? };
            if !input.rest.is_empty() {
                input.properties()?;
            }
            Packet::PubAck { packet_id, reason }
        }
        8 => {
            let packet_id = input.packet_id()?;
            let properties = input.properties()?;
            let mut filters = Vec::new();
            while !input.rest.is_empty() {
                let filter = input.text()?;
                let options = input.byte()?;
                if options & 0x03 == 3 || options & 0xc0 != 0 || options & 0x30 == 0x30 {
                    return Err(malformed("subscription options"));
                }
                filters.push(Filter { filter, options });
            }
            Packet::Subscribe { packet_id, properties, filters }
        }
        kind @ (9 | 11) => {
            let packet_id = input.packet_id()?;
            input.properties()?;
            let reasons = std::mem::take(&mut input.rest).to_vec();
            if kind == 9 { Packet::SubAck { packet_id, reasons } } else { Packet::UnsubAck { packet_id, reasons } }
        }
        10 => {
            let packet_id = input.packet_id()?;
            input.properties()?;
            let mut filters = Vec::new();
            while !input.rest.is_empty() {
                filters.push(input.text()?);
            }
            Packet::Unsubscribe { packet_id, filters }
        }
        12 => Packet::PingReq,
        13 => Packet::PingResp,
        14 => {
            let reason = if input.rest.is_empty() { 0 } else { input.byte()? };
            let properties = if input.rest.is_empty() { Vec::new() } else { input.properties()? };
            Packet::Disconnect { reason, properties }
        }
        _ => return Err(malformed("packet type not supported")),
    };
    if input.rest.is_empty() { Ok(packet) } else { Err(malformed("bytes after the end")) }
}

fn decode_connect(input: &mut Input<'_>) -> io::Result<Packet> {
    if input.text()? != "MQTT" {
        return Err(malformed("protocol name"));
    }
    let level = input.byte()?;
    let mut connect = Connect { level, clean_start: false, keep_alive: 0, client_id: String::new(), properties: Vec::new(), will: None, username: None };
    if level != 5 {
        return Ok(Packet::Connect(connect));
    }
    let flags = input.byte()?;
    if flags & 1 != 0 || flags & 0x18 == 0x18 {
        return Err(malformed("connect flags"));
    }
    connect.clean_start = flags & 2 != 0;
    connect.keep_alive = input.two()?;
    connect.properties = input.properties()?;
    connect.client_id = input.text()?;
    if flags & 4 != 0 {
        input.properties()?;
        let topic = input.text()?;
        let payload = input.binary()?;
        connect.will = Some(Will { topic, payload, qos: flags >> 3 & 3, retain: flags & 0x20 != 0 });
    }
    if flags & 0x80 != 0 {
        connect.username = Some(input.text()?);
    }
    if flags & 0x40 != 0 {
        input.binary()?;
    }
    if input.rest.is_empty() { Ok(Packet::Connect(connect)) } else { Err(malformed("bytes after connect")) }
}

fn decode_publish(flags: u8, input: &mut Input<'_>) -> io::Result<Packet> {
    let qos = flags >> 1 & 3;
    if qos == 3 || (qos == 0 && flags & 8 != 0) {
        return Err(malformed("publish flags"));
    }
    let topic = input.text()?;
    if topic.contains(['+', '#', '\0']) {
        return Err(malformed("wildcard in a topic name"));
    }
    let packet_id = if qos > 0 { input.packet_id()? } else { 0 };
    let properties = input.properties()?;
    let payload = input.rest.to_vec();
    Ok(Packet::Publish(Publish { dup: flags & 8 != 0, qos, retain: flags & 1 != 0, topic, packet_id, properties, payload }))
}

struct Input<'a> {
    rest: &'a [u8],
}

impl Input<'_> {
    fn take(&mut self, count: usize) -> io::Result<&[u8]> {
        let Some((head, tail)) = self.rest.split_at_checked(count) else {
            return Err(malformed("cut short"));
        };
        self.rest = tail;
        Ok(head)
    }

    fn byte(&mut self) -> io::Result<u8> {
        self.take(1)?.first().copied().ok_or_else(|| malformed("cut short"))
    }

    fn two(&mut self) -> io::Result<u16> {
        Ok(u16::from(self.byte()?) << 8 | u16::from(self.byte()?))
    }

    fn four(&mut self) -> io::Result<u32> {
        Ok(u32::from(self.two()?) << 16 | u32::from(self.two()?))
    }

    fn variable(&mut self) -> io::Result<u32> {
        let mut value = 0;
        for shift in [0, 7, 14, 21] {
            let byte = self.byte()?;
            value |= u32::from(byte & 0x7f) << shift;
            if byte & 0x80 == 0 {
                return Ok(value);
            }
        }
        Err(malformed("variable integer"))
    }

    fn packet_id(&mut self) -> io::Result<u16> {
        match self.two()? {
            0 => Err(malformed("packet identifier 0")),
            id => Ok(id),
        }
    }

    fn binary(&mut self) -> io::Result<Vec<u8>> {
        let length = usize::from(self.two()?);
        Ok(self.take(length)?.to_vec())
    }

    fn text(&mut self) -> io::Result<String> {
        String::from_utf8(self.binary()?).map_err(|_| malformed("string is not utf-8"))
    }

    fn properties(&mut self) -> io::Result<Vec<Property>> {
        let length = self.variable()? as usize;
        let mut inner = Input { rest: self.take(length)? };
        let mut found: Vec<Property> = Vec::new();
        while !inner.rest.is_empty() {
            let id = inner.byte()?;
            let value = match id {
                0x01 | 0x17 | 0x19 | 0x24 | 0x25 | 0x28 | 0x29 | 0x2a => PropertyValue::Byte(inner.byte()?),
                0x13 | 0x21 | 0x22 | 0x23 => PropertyValue::Two(inner.two()?),
                0x02 | 0x11 | 0x18 | 0x27 => PropertyValue::Four(inner.four()?),
                0x0b => PropertyValue::Variable(inner.variable()?),
                0x03 | 0x08 | 0x12 | 0x15 | 0x1a | 0x1c | 0x1f => PropertyValue::Text(inner.text()?),
                0x09 | 0x16 => PropertyValue::Binary(inner.binary()?),
                0x26 => PropertyValue::Pair(inner.text()?, inner.text()?),
                _ => return Err(malformed("unknown property")),
            };
            if id != 0x26 && id != 0x0b && found.iter().any(|p| p.id == id) {
                return Err(malformed("property twice"));
            }
            found.push(Property { id, value });
        }
        Ok(found)
    }
}

/// The bytes of a packet.
pub fn encode(packet: &Packet) -> Vec<u8> {
    let mut body = Vec::new();
    let first = match packet {
        Packet::Connect(connect) => encode_connect(connect, &mut body),
        Packet::ConnAck { session_present, reason, properties } => {
            body.extend([u8::from(*session_present), *reason]);
            put_properties(&mut body, properties);
            0x20
        }
        Packet::Publish(publish) => {
            put_binary(&mut body, publish.topic.as_bytes());
            if publish.qos > 0 {
                body.extend(publish.packet_id.to_be_bytes());
            }
            put_properties(&mut body, &publish.properties);
            body.extend(&publish.payload);
            0x30 | u8::from(publish.dup) << 3 | publish.qos << 1 | u8::from(publish.retain)
        }
        Packet::PubAck { packet_id, reason } => {
            body.extend(packet_id.to_be_bytes());
            if *reason != 0 {
                body.push(*reason);
            }
            0x40
        }
        Packet::Subscribe { packet_id, properties, filters } => {
            body.extend(packet_id.to_be_bytes());
            put_properties(&mut body, properties);
            for filter in filters {
                put_binary(&mut body, filter.filter.as_bytes());
                body.push(filter.options);
            }
            0x82
        }
        Packet::SubAck { packet_id, reasons } | Packet::UnsubAck { packet_id, reasons } => {
            body.extend(packet_id.to_be_bytes());
            body.push(0);
            body.extend(reasons);
            if matches!(packet, Packet::SubAck { .. }) { 0x90 } else { 0xb0 }
        }
        Packet::Unsubscribe { packet_id, filters } => {
            body.extend(packet_id.to_be_bytes());
            body.push(0);
            for filter in filters {
                put_binary(&mut body, filter.as_bytes());
            }
            0xa2
        }
        Packet::PingReq => 0xc0,
        Packet::PingResp => 0xd0,
        Packet::Disconnect { reason, properties } => {
            if *reason != 0 || !properties.is_empty() {
                body.push(*reason);
                put_properties(&mut body, properties);
            }
            0xe0
        }
    };
    let mut bytes = vec![first];
    put_variable(&mut bytes, body.len());
    bytes.extend(body);
    bytes
}

fn encode_connect(connect: &Connect, body: &mut Vec<u8>) -> u8 {
    put_binary(body, b"MQTT");
    let mut flags = u8::from(connect.clean_start) << 1;
    if let Some(will) = &connect.will {
        flags |= 4 | will.qos << 3 | u8::from(will.retain) << 5;
    }
    if connect.username.is_some() {
        flags |= 0x80;
    }
    body.extend([connect.level, flags]);
    body.extend(connect.keep_alive.to_be_bytes());
    put_properties(body, &connect.properties);
    put_binary(body, connect.client_id.as_bytes());
    if let Some(will) = &connect.will {
        body.push(0);
        put_binary(body, will.topic.as_bytes());
        put_binary(body, &will.payload);
    }
    if let Some(username) = &connect.username {
        put_binary(body, username.as_bytes());
    }
    0x10
}

fn put_variable(out: &mut Vec<u8>, mut value: usize) {
    loop {
        let low = (value & 0x7f) as u8;
        value >>= 7;
        out.push(if value > 0 { low | 0x80 } else { low });
        if value == 0 {
            return;
        }
    }
}

// Longer content than two length bytes can tell is cut; the simulator's own topics and ids are far below that.
fn put_binary(out: &mut Vec<u8>, bytes: &[u8]) {
    let length = u16::try_from(bytes.len()).unwrap_or(u16::MAX);
    out.extend(length.to_be_bytes());
    out.extend(bytes.iter().take(usize::from(length)));
}

fn put_properties(out: &mut Vec<u8>, properties: &[Property]) {
    let mut inner = Vec::new();
    for property in properties {
        inner.push(property.id);
        match &property.value {
            PropertyValue::Byte(value) => inner.push(*value),
            PropertyValue::Two(value) => inner.extend(value.to_be_bytes()),
            PropertyValue::Four(value) => inner.extend(value.to_be_bytes()),
            PropertyValue::Variable(value) => put_variable(&mut inner, *value as usize),
            PropertyValue::Text(value) => put_binary(&mut inner, value.as_bytes()),
            PropertyValue::Binary(value) => put_binary(&mut inner, value),
            PropertyValue::Pair(name, value) => {
                put_binary(&mut inner, name.as_bytes());
                put_binary(&mut inner, value.as_bytes());
            }
        }
    }
    put_variable(out, inner.len());
    out.extend(inner);
}

#[cfg(test)]
mod tests {
    use super::super::mqtt_packet::four_byte;
    use super::*;

    fn samples() -> Vec<Packet> {
        vec![
            Packet::Connect(Connect {
                level: 5,
                clean_start: true,
                keep_alive: 15,
                client_id: "a".into(),
                properties: vec![Property { id: 0x11, value: PropertyValue::Four(60) }],
                will: Some(Will { topic: "w".into(), payload: vec![1], qos: 1, retain: true }),
                username: Some("u".into()),
            }),
            Packet::ConnAck { session_present: true, reason: 0, properties: vec![Property { id: 0x24, value: PropertyValue::Byte(1) }] },
            Packet::Publish(Publish {
                dup: true,
                qos: 1,
                retain: false,
                topic: "a/b".into(),
                packet_id: 9,
                properties: vec![Property { id: 0x26, value: PropertyValue::Pair("k".into(), "v".into()) }],
                payload: vec![7; 300],
            }),
            Packet::PubAck { packet_id: 9, reason: 0x10 },
            Packet::Subscribe { packet_id: 1, properties: vec![], filters: vec![Filter { filter: "a/#".into(), options: 1 }] },
            Packet::SubAck { packet_id: 1, reasons: vec![1] },
            Packet::Unsubscribe { packet_id: 2, filters: vec!["a/#".into()] },
            Packet::UnsubAck { packet_id: 2, reasons: vec![0] },
            Packet::PingReq,
            Packet::PingResp,
            Packet::Disconnect { reason: 0x8e, properties: vec![] },
        ]
    }

    #[test]
    fn round_trip_at_every_split_and_no_panic_when_cut() {
        for packet in samples() {
            let bytes = encode(&packet);
            for split in 0..bytes.len() {
                let mut buffer = bytes[..split].to_vec();
                assert_eq!(take_packet(&mut buffer).unwrap(), None, "{packet:?} at {split}");
                buffer.extend(&bytes[split..]);
                assert_eq!(take_packet(&mut buffer).unwrap(), Some(packet.clone()));
                assert!(buffer.is_empty());
            }
            for position in 0..bytes.len() {
                for value in [0, 1, 0x7f, 0x80, 0xff] {
                    let mut damaged = bytes.clone();
                    damaged[position] = value;
                    let _ = take_packet(&mut damaged);
                }
            }
        }
    }

    #[test]
    fn bytes_of_the_standard() {
        assert_eq!(encode(&Packet::PingReq), [0xc0, 0]);
        // Figure 3-1 style CONNECT: clean start, keep alive 10, session expiry 10, client id "c".
        let mut bytes = vec![0x10, 19, 0, 4, b'M', b'Q', b'T', b'T', 5, 2, 0, 10, 5, 0x11, 0, 0, 0, 10, 0, 1, b'c'];
        let Some(Packet::Connect(connect)) = take_packet(&mut bytes).unwrap() else { panic!("not a connect") };
        assert_eq!((connect.keep_alive, four_byte(&connect.properties, 0x11), connect.client_id.as_str()), (10, Some(10), "c"));
        for bad in [vec![0x30, 0xff, 0xff, 0xff, 0xff, 1], vec![0x82, 2, 0, 0], vec![0x36, 3, 0, 1, b'a'], vec![0xf0, 0], vec![0x32, 5, 0, 1, b'#', 0, 1]] {
            assert!(take_packet(&mut bad.clone()).is_err(), "{bad:?}");
        }
    }
}
