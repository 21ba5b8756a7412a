//! Frame texts to messages: from the H record to the L record, whatever the frame borders.

use bytes::Bytes;

use super::control::{CR, LF};

/// What the frames so far amount to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Assembled {
    /// A whole message, H to L, records ended by carriage returns.
    Message(Bytes),
    /// Records that are no message: without H, or without L when the next H or the end came. Kept, shown, never read into results.
    Fragment(Bytes),
    /// The message grew above the limit and was dropped to its head.
    TooLarge(Bytes),
}

impl Assembled {
    /// The records.
    pub fn bytes(&self) -> &Bytes {
        let (Assembled::Message(bytes) | Assembled::Fragment(bytes) | Assembled::TooLarge(bytes)) = self;
        bytes
    }
}

/// Collects frame texts of one transmission.
#[derive(Debug)]
pub struct Assembler {
    records: Vec<u8>,
    /// Where the record that is being collected begins.
    record_start: usize,
    limit: usize,
    /// Bytes and the beginning of the record before the last frame.
    before: (usize, usize),
}

impl Assembler {
    /// An assembler for messages of at most `limit` bytes.
    pub fn new(limit: usize) -> Self {
        Self { records: Vec::new(), record_start: 0, limit, before: (0, 0) }
    }

    /// Adds a frame's text; `is_last` when ETX ended it, so that its record is whole even without a carriage return.
    pub fn push(&mut self, text: &[u8], is_last: bool) -> Vec<Assembled> {
        let mut found = Vec::new();
        self.before = (self.records.len(), self.record_start);
        for &byte in text {
            // Line feeds between records are seen in the field; inside a record they cannot be.
            if byte == LF && self.record_start == self.records.len() {
                continue;
            }
            self.records.push(byte);
            if byte == CR {
                found.extend(self.end_record());
            }
        }
        if is_last && self.record_start < self.records.len() {
            self.records.push(CR);
            found.extend(self.end_record());
        }
        if self.records.len() > self.limit {
            self.records.truncate(self.limit);
            found.push(Assembled::TooLarge(self.take()));
        }
        found
    }

    /// What the last frame completed could not be stored, and the frame is refused: it will come again, and must find what it
    /// found the first time. `found` is what [`Assembler::push`] gave.
    pub fn undo(&mut self, found: &[Assembled]) {
        let (length, record_start) = self.before;
        let mut records: Vec<u8> = found.iter().flat_map(|piece| piece.bytes().iter().copied()).collect();
        records.append(&mut self.records);
        records.truncate(length);
        (self.records, self.record_start) = (records, record_start);
    }

    /// The transmission ended (EOT, silence, lost link): what has no L record is a fragment.
    pub fn finish(&mut self) -> Option<Assembled> {
        (!self.records.is_empty()).then(|| Assembled::Fragment(self.take()))
    }

    fn take(&mut self) -> Bytes {
        self.record_start = 0;
        std::mem::take(&mut self.records).into()
    }

    /// The record from `record_start` is whole: H begins a message, L ends it.
    fn end_record(&mut self) -> Vec<Assembled> {
        let mut found = Vec::new();
        let kind = self.records.get(self.record_start).copied();
        if kind == Some(b'H') && self.record_start > 0 {
            let header = self.records.split_off(self.record_start);
            found.push(Assembled::Fragment(self.take()));
            self.records = header;
        }
        self.record_start = self.records.len();
        if kind == Some(b'L') {
            let begins_with_header = self.records.first() == Some(&b'H');
            let message = self.take();
            found.push(if begins_with_header { Assembled::Message(message) } else { Assembled::Fragment(message) });
        }
        found
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(frames: &[(&str, bool)], expected: &[Assembled]) {
        let mut assembler = Assembler::new(64);
        let mut found: Vec<Assembled> = frames.iter().flat_map(|(text, is_last)| assembler.push(text.as_bytes(), *is_last)).collect();
        found.extend(assembler.finish());
        assert_eq!(found, expected, "{frames:?}");
    }

    fn message(text: &'static str) -> Assembled {
        Assembled::Message(Bytes::from_static(text.as_bytes()))
    }

    fn fragment(text: &'static str) -> Assembled {
        Assembled::Fragment(Bytes::from_static(text.as_bytes()))
    }

    #[test]
    fn messages_run_from_h_to_l_whatever_the_frames() {
        check(&[("H|\\^&\r", true), ("R|1\r", true), ("L|1\r", true)], &[message("H|\\^&\rR|1\rL|1\r")]);
        check(&[("H|\\^&\rR|1\rL|1\r", true)], &[message("H|\\^&\rR|1\rL|1\r")]);
        check(&[("H|\\", false), ("^&\rL", false), ("|1", true)], &[message("H|\\^&\rL|1\r")]);
        check(&[("H|a\rL|1\rH|b\rL|1\r", true)], &[message("H|a\rL|1\r"), message("H|b\rL|1\r")]);
        check(&[("H|a\r\nL|1\r\n", true)], &[message("H|a\rL|1\r")]);
    }

    #[test]
    fn rule_6_a_cut_transmission_is_a_fragment_never_a_message() {
        check(&[("H|a\r", true), ("R|1\r", true)], &[fragment("H|a\rR|1\r")]);
        check(&[("H|a\r", true), ("H|b\rL|1\r", true)], &[fragment("H|a\r"), message("H|b\rL|1\r")]);
        check(&[("R|1\rL|1\r", true)], &[fragment("R|1\rL|1\r")]);
    }

    #[test]
    fn a_refused_frame_finds_everything_as_it_was_when_it_comes_again() {
        let frames = ["H|a\r", "R|1\rR|2", "|3\rL|1\rH|b\r", "R|9\rH|c\r", "L|1\r", "X|lone\rL|1"];
        let mut plain = Assembler::new(40);
        let mut refused = Assembler::new(40);
        for (number, text) in frames.iter().chain(&[&"Y".repeat(60)[..]]).enumerate() {
            let expected = plain.push(text.as_bytes(), number % 2 == 1);
            for _ in 0..3 {
                let found = refused.push(text.as_bytes(), number % 2 == 1);
                assert_eq!(found, expected, "frame {number}");
                refused.undo(&found);
            }
            refused.push(text.as_bytes(), number % 2 == 1);
        }
        assert_eq!(refused.finish(), plain.finish());
    }

    #[test]
    fn a_message_above_the_limit_is_cut() {
        let long = "R|".repeat(40);
        let mut assembler = Assembler::new(64);
        assert!(matches!(assembler.push(long.as_bytes(), false).as_slice(), [Assembled::TooLarge(head)] if head.len() == 64));
    }
}
