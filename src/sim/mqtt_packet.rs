//! MQTT 5 control packets as types (OASIS MQTT Version 5.0, section 3), for the simulator's broker and client.

/// A property: its identifier (section 2.2.2.2) and its value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Property {
    /// Property identifier, e.g. 0x11 for the session expiry interval.
    pub id: u8,
    /// The value, in the type that the identifier prescribes.
    pub value: PropertyValue,
}

/// The value types of properties.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PropertyValue {
    /// One byte.
    Byte(u8),
    /// Two byte integer.
    Two(u16),
    /// Four byte integer.
    Four(u32),
    /// Variable byte integer.
    Variable(u32),
    /// UTF-8 string.
    Text(String),
    /// Binary data.
    Binary(Vec<u8>),
    /// User property.
    Pair(String, String),
}

/// The last will of a CONNECT.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Will {
    /// Topic to publish to.
    pub topic: String,
    /// Bytes to publish.
    pub payload: Vec<u8>,
    /// 0, 1 or 2.
    pub qos: u8,
    /// Whether the will is retained.
    pub retain: bool,
}

/// CONNECT, section 3.1.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Connect {
    /// 5 for MQTT 5; other levels are decoded no further.
    pub level: u8,
    /// Forget an earlier session.
    pub clean_start: bool,
    /// Seconds, 0 for none.
    pub keep_alive: u16,
    /// Empty asks the broker for one.
    pub client_id: String,
    /// Properties.
    pub properties: Vec<Property>,
    /// Last will.
    pub will: Option<Will>,
    /// User name, read and not checked.
    pub username: Option<String>,
}

/// PUBLISH, section 3.3.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Publish {
    /// Set on a repetition.
    pub dup: bool,
    /// 0, 1 or 2.
    pub qos: u8,
    /// Retain flag.
    pub retain: bool,
    /// Topic name.
    pub topic: String,
    /// Set for QoS 1 and 2.
    pub packet_id: u16,
    /// Properties.
    pub properties: Vec<Property>,
    /// Payload bytes.
    pub payload: Vec<u8>,
}

/// A filter of a SUBSCRIBE with its options byte (bits 0-1 QoS, 2 no local, 3 retain as published, 4-5 retain handling).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Filter {
    /// Topic filter.
    pub filter: String,
    /// Subscription options.
    pub options: u8,
}

/// The packets the simulator speaks; QoS 2 packets are not among them.
#[derive(Debug, Clone, PartialEq, Eq)]
#[expect(missing_docs, reason = "the fields carry the standard's own names")]
pub enum Packet {
    /// Section 3.1.
    Connect(Connect),
    /// Section 3.2.
    ConnAck { session_present: bool, reason: u8, properties: Vec<Property> },
    /// Section 3.3.
    Publish(Publish),
    /// Section 3.4.
    PubAck { packet_id: u16, reason: u8 },
    /// Section 3.8.
    Subscribe { packet_id: u16, properties: Vec<Property>, filters: Vec<Filter> },
    /// Section 3.9.
    SubAck { packet_id: u16, reasons: Vec<u8> },
    /// Section 3.10.
    Unsubscribe { packet_id: u16, filters: Vec<String> },
    /// Section 3.11.
    UnsubAck { packet_id: u16, reasons: Vec<u8> },
    /// Section 3.12.
    PingReq,
    /// Section 3.13.
    PingResp,
    /// Section 3.14.
    Disconnect { reason: u8, properties: Vec<Property> },
}

/// Finds a four byte property, e.g. 0x11.
pub fn four_byte(properties: &[Property], id: u8) -> Option<u32> {
    properties.iter().find(|p| p.id == id).and_then(|p| match p.value {
        PropertyValue::Four(value) => Some(value),
        _ => None,
    })
}

/// Finds a two byte property, e.g. 0x21.
pub fn two_byte(properties: &[Property], id: u8) -> Option<u16> {
    properties.iter().find(|p| p.id == id).and_then(|p| match p.value {
        PropertyValue::Two(value) => Some(value),
        _ => None,
    })
}

/// Whether `topic` (a name without wildcards) falls under `filter`, section 4.7.
pub fn topic_matches(filter: &str, topic: &str) -> bool {
    // A leading wildcard must not see the broker's own $ topics, section 4.7.2.
    if topic.starts_with('$') && (filter.starts_with('+') || filter.starts_with('#')) {
        return false;
    }
    let mut levels = topic.split('/');
    for part in filter.split('/') {
        if part == "#" {
            return true;
        }
        match levels.next() {
            Some(level) if part == "+" || part == level => {}
            _ => return false,
        }
    }
    levels.next().is_none()
}

/// Whether `filter` is well formed: `#` only as the last level, wildcards alone in their level, no NUL.
pub fn filter_is_valid(filter: &str) -> bool {
    if filter.is_empty() || filter.contains('\0') {
        return false;
    }
    let mut levels = filter.split('/').peekable();
    while let Some(level) = levels.next() {
        let wildcard = level.contains('#') || level.contains('+');
        if wildcard && (level.len() != 1 || (level == "#" && levels.peek().is_some())) {
            return false;
        }
    }
    true
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wildcards() {
        let cases = [
            ("a/+/c", "a/b/c", true),
            ("a/#", "a", true),
            ("a/#", "a/b/c", true),
            ("#", "a/b", true),
            ("#", "$SYS/x", false),
            ("+", "a/b", false),
            ("+/+", "/a", true),
            ("a/+", "a", false),
            ("a", "a/", false),
        ];
        for (filter, topic, expected) in cases {
            assert_eq!(topic_matches(filter, topic), expected, "{filter} {topic}");
        }
        for (filter, valid) in [("a/#", true), ("a/#/b", false), ("a+", false), ("", false), ("+/a/+", true), ("a#", false)] {
            assert_eq!(filter_is_valid(filter), valid, "{filter}");
        }
    }
}
