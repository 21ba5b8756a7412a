//! Who asked, and under which identity: the ids of commands and the principals of events.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize, Serializer};

use super::{DeviceId, Invalid};

/// The identity of a command: 128 bits from the device's own message identity or the client's
/// `Idempotency-Key`. The same id twice gives the first answer again and no second effect.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Deserialize)]
#[serde(try_from = "String")]
pub struct CommandId([u8; 16]);

impl CommandId {
    /// The id with these 128 bits.
    pub const fn from_bytes(bytes: [u8; 16]) -> Self {
        Self(bytes)
    }

    /// The 128 bits.
    pub const fn bytes(self) -> [u8; 16] {
        self.0
    }

    /// The id of the n-th command that one message causes: another id, the same at each repetition.
    pub fn part(self, number: u32) -> Self {
        let mut bytes = self.0;
        for (target, source) in bytes.iter_mut().zip(number.wrapping_mul(0x9E37_79B9).to_le_bytes()) {
            *target ^= source;
        }
        Self(bytes)
    }
}

impl fmt::Display for CommandId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const DIGITS: &[u8; 16] = b"0123456789abcdef";
        let mut text = *b"cmd_00000000000000000000000000000000";
        for (pair, byte) in text[4..].chunks_exact_mut(2).zip(self.0) {
            pair.copy_from_slice(&[DIGITS[usize::from(byte >> 4)], DIGITS[usize::from(byte & 15)]]);
        }
        f.write_str(std::str::from_utf8(&text).unwrap_or_default())
    }
}

impl fmt::Debug for CommandId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for CommandId {
    type Err = Invalid;
    fn from_str(text: &str) -> Result<Self, Invalid> {
        let wrong = || Invalid::new("command id", text, "a command id is cmd_ and 32 hexadecimal digits");
        let digits = text.strip_prefix("cmd_").filter(|d| d.len() == 32).ok_or_else(wrong)?;
        let mut bytes = [0; 16];
        for (index, byte) in bytes.iter_mut().enumerate() {
            let pair = digits.get(index * 2..index * 2 + 2).ok_or_else(wrong)?;
            *byte = u8::from_str_radix(pair, 16).map_err(|_| wrong())?;
        }
        Ok(Self(bytes))
    }
}

impl TryFrom<String> for CommandId {
    type Error = Invalid;
    fn try_from(text: String) -> Result<Self, Invalid> {
        text.parse()
    }
}

impl Serialize for CommandId {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// Who caused an event. There is no event without one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Principal {
    /// A person, by the name of their login or badge.
    Person(String),
    /// A program with a token, by the name of its account.
    Program(String),
    /// A device.
    Device(DeviceId),
    /// wardd itself, by the part of it that acted (`billing`).
    System(String),
}

impl fmt::Display for Principal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Principal::Person(name) => write!(f, "person:{name}"),
            Principal::Program(name) => write!(f, "program:{name}"),
            Principal::Device(device) => write!(f, "device:{device}"),
            Principal::System(part) => write!(f, "system:{part}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_print_parse_and_differ_by_part() {
        let id = CommandId::from_bytes([7; 16]);
        assert_eq!(id.to_string().parse::<CommandId>().unwrap(), id);
        assert_eq!(id.part(0), id);
        assert_ne!(id.part(1), id.part(2));
        assert!("cmd_12".parse::<CommandId>().is_err());
        assert!("cmd_éééééééééééééééé".parse::<CommandId>().is_err());
    }
}
