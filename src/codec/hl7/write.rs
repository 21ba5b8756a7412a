//! Messages written segment by segment, with everything escaped that needs it.

use super::{Delimiters, escape};

/// A field: its repetitions, each of components.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Field(Vec<Vec<String>>);

impl Field {
    /// One repetition of these components.
    pub fn parts<T: Into<String>, const N: usize>(parts: [T; N]) -> Self {
        Self(vec![parts.into_iter().map(Into::into).collect()])
    }

    /// The repetitions of several fields, one after the other.
    pub fn all(fields: impl IntoIterator<Item = Field>) -> Self {
        Self(fields.into_iter().flat_map(|field| field.0).collect())
    }

    fn is_empty(&self) -> bool {
        self.0.iter().flatten().all(String::is_empty)
    }
}

impl<T: Into<String>> From<T> for Field {
    fn from(text: T) -> Self {
        Self::parts([text])
    }
}

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

    /// Adds a segment of which few fields are used: each with its number, in their order. For `MSH` they begin with 3.
    pub fn fields(mut self, name: &str, fields: &[(u16, Field)]) -> Self {
        let delimiters = Delimiters::USUAL;
        self.bytes.extend_from_slice(name.as_bytes());
        let mut at = 0;
        if name == "MSH" {
            self.bytes.push(delimiters.field);
            self.bytes.extend_from_slice(&delimiters.declared());
            at = 2;
        }
        for (number, field) in fields.iter().filter(|(_, field)| !field.is_empty()) {
            self.bytes.extend(std::iter::repeat_n(delimiters.field, usize::from(number.saturating_sub(at))));
            at = *number;
            for (index, parts) in field.0.iter().enumerate() {
                self.bytes.extend((index > 0).then_some(delimiters.repetition));
                let used = parts.iter().rposition(|part| !part.is_empty()).map_or(0, |last| last + 1);
                for (index, part) in parts[..used].iter().enumerate() {
                    self.bytes.extend((index > 0).then_some(delimiters.component));
                    escape::write(part, &delimiters, &mut self.bytes);
                }
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
    fn fields_stand_at_their_numbers_and_repeat() {
        let numbers = Field::all([Field::parts(["1001", "", "", "H", "MR"]), Field::parts(["N|9", "", "", "GOV", ""])]);
        let bytes = Writer::new()
            .fields("MSH", &[(3, "WARDD".into()), (9, Field::parts(["ADT", "A01"]))])
            .fields("PID", &[(1, "1".into()), (3, numbers), (5, "".into()), (8, "F".into())])
            .finish();
        assert_eq!(String::from_utf8_lossy(&bytes), "MSH|^~\\&|WARDD||||||ADT^A01\rPID|1||1001^^^H^MR~N\\F\\9^^^GOV|||||F\r");
    }

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
