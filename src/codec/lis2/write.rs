//! Messages to an analyzer: orders that answer a query, or "none".

/// A message under construction, in the usual delimiters `|\^&`.
#[derive(Debug, Default)]
pub struct Writer {
    bytes: Vec<u8>,
}

impl Writer {
    /// An empty message.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a record; fields from 2 on, each a list of components. The H record's delimiters are added by itself.
    pub fn record(mut self, letter: char, fields: &[&[&str]]) -> Self {
        self.bytes.extend_from_slice(letter.to_string().as_bytes());
        if letter == 'H' {
            self.bytes.extend_from_slice(b"|\\^&");
        }
        for field in fields {
            self.bytes.push(b'|');
            for (index, component) in field.iter().enumerate() {
                if index > 0 {
                    self.bytes.push(b'^');
                }
                component.bytes().for_each(|byte| self.escaped(byte));
            }
        }
        self.bytes.push(b'\r');
        self
    }

    fn escaped(&mut self, byte: u8) {
        match byte {
            b'|' => self.bytes.extend_from_slice(b"&F&"),
            b'^' => self.bytes.extend_from_slice(b"&S&"),
            b'\\' => self.bytes.extend_from_slice(b"&R&"),
            b'&' => self.bytes.extend_from_slice(b"&E&"),
            // LIS1-A forbids control characters inside a frame.
            byte if byte.is_ascii_control() => self.bytes.push(b' '),
            byte => self.bytes.push(byte),
        }
    }

    /// The message's bytes, records ended by carriage returns.
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
        let bytes = Writer::new().record('H', &[&[], &[], &["wardd", "1"]]).record('O', &[&["1"], &["A|1^2\\3&4\n"]]).record('L', &[&["1"], &["N"]]).finish();
        let message = Message::parse(&bytes).unwrap();
        assert_eq!(message.header().text(5, 2), "1");
        assert_eq!(message.records()[1].text(3, 1), "A|1^2\\3&4");
    }
}
