//! Raw device bytes as they travel in JSON: text where they are UTF-8, base64 where they are not.

use std::fmt;

use base64::Engine;
use serde::de::{self, MapAccess, Visitor};
use serde::ser::SerializeMap;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// Bytes of a device; in JSON `{"text": "…"}` or `{"base64": "…"}`, lossless either way.
#[derive(Clone, PartialEq, Eq, Default)]
pub struct RawBytes(pub bytes::Bytes);

impl fmt::Debug for RawBytes {
    /// Prints the length only: raw bytes hold patient data.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "RawBytes({} bytes)", self.0.len())
    }
}

impl Serialize for RawBytes {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(1))?;
        match std::str::from_utf8(&self.0) {
            Ok(text) => map.serialize_entry("text", text)?,
            Err(_) => map.serialize_entry("base64", &base64::engine::general_purpose::STANDARD.encode(&self.0))?,
        }
        map.end()
    }
}

impl<'de> Deserialize<'de> for RawBytes {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Reader;
        impl<'de> Visitor<'de> for Reader {
            type Value = RawBytes;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("{\"text\": …} or {\"base64\": …}")
            }
            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<RawBytes, A::Error> {
                let (form, value): (String, String) = map.next_entry()?.ok_or_else(|| de::Error::custom("raw bytes without content"))?;
                match form.as_str() {
                    "text" => Ok(RawBytes(value.into_bytes().into())),
                    "base64" => base64::engine::general_purpose::STANDARD.decode(value).map(|bytes| RawBytes(bytes.into())).map_err(de::Error::custom),
                    other => Err(de::Error::custom(format!("raw bytes in the unknown form {other:?} (known: text, base64)"))),
                }
            }
        }
        deserializer.deserialize_map(Reader)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_and_binary_survive_json() {
        for bytes in [&b"MSH|^~\\&|\r\x0b"[..], &[0xff, 0x00, 0x80], b""] {
            let raw = RawBytes(bytes::Bytes::copy_from_slice(bytes));
            let json = serde_json::to_string(&raw).unwrap();
            assert_eq!(serde_json::from_str::<RawBytes>(&json).unwrap(), raw, "{json}");
        }
        assert!(serde_json::from_str::<RawBytes>("{\"hex\":\"00\"}").is_err());
    }
}
