//! Messages written segment by segment, with everything escaped that needs it.

use super::{Delimiters, escape};

/// A message under construction, in the usual delimiters and UTF-8.
#[derive(Debug, Default)]
pub struct Writer {
    bytes: Vec<u8>,
}

impl Writer {
    /// An empty message.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a segment. Fields are given from 1 on; each is a list of components. For `MSH` the first field is MSH-3.
    pub fn segment(mut self, name: &str, fields: &[&[&str]]) -> Self {
        let delimiters = Delimiters::USUAL;
        self.bytes.extend_from_slice(name.as_bytes());
        if name == "MSH" {
            self.bytes.push(delimiters.field);
            self.bytes.extend_from_slice(&delimiters.declared());
        }
        let used = fields.iter().rposition(|field| field.iter().any(|part| !part.is_empty())).map_or(0, |last| last + 1);
        for field in &fields[..used] {
            self.bytes.push(delimiters.field);
            for (index, component) in field.iter().enumerate() {
                if index > 0 {
                    self.bytes.push(delimiters.component);
                }
                escape::write(component, &delimiters, &mut self.bytes);
            }
        }
        self.bytes.push(b'\r');
        self
    }

    /// The message's bytes.
    pub fn finish(self) -> Vec<u8> {
        self.bytes
    }
}

#[cfg(test)]
mod tests {
    use super::super::Message;
    use super::*;

    #[test]
    fn what_is_written_is_read_back() {
        let bytes = Writer::new()
            .segment("MSH", &[&["WARDD"], &[], &[], &[], &[], &[], &["ORU", "R01"], &["17"]])
            .segment("OBX", &[&["1"], &["ST"], &["718-7", "a|b^c", "LN"], &[], &["x~y\\z\nw"], &[""]])
            .finish();
        let message = Message::parse(&bytes).unwrap();
        assert_eq!(message.field(b"MSH", 9, 2).as_deref(), Some("R01"));
        assert_eq!(message.control_id().as_deref(), Some("17"));
        assert_eq!(message.field(b"OBX", 3, 2).as_deref(), Some("a|b^c"));
        assert_eq!(message.field(b"OBX", 5, 0).as_deref(), Some("x~y\\z\nw"));
    }
}
