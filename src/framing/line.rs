//! Delimited lines, as barcode scanners, relay boards and simple instruments send them.

use bytes::{Buf, Bytes, BytesMut};

/// What ends a line.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Deserialize, serde::Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Ending {
    /// Carriage return or line feed, alone or as a pair.
    CrOrLf,
    /// Carriage return only; a line feed belongs to the line.
    Cr,
    /// The text stands between STX and ETX.
    StxEtx,
}

/// What the byte stream held.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Line {
    /// A whole line without its ending.
    Text(Bytes),
    /// A line longer than the limit; everything up to its ending is dropped, this is its head.
    TooLong(Bytes),
    /// The stream ended, or fell silent, inside a line.
    Cut(Bytes),
}

/// Takes a byte stream apart into lines. Empty lines are skipped.
#[derive(Debug)]
pub struct Decoder {
    ending: Ending,
    limit: usize,
    buffer: BytesMut,
    skipping: bool,
}

const STX: u8 = 0x02;
const ETX: u8 = 0x03;

impl Decoder {
    /// A decoder for lines of at most `limit` bytes.
    pub fn new(ending: Ending, limit: usize) -> Self {
        Self { ending, limit, buffer: BytesMut::new(), skipping: false }
    }

    /// Adds bytes of the stream.
    pub fn receive(&mut self, bytes: &[u8]) {
        self.buffer.extend_from_slice(bytes);
    }

    /// Whether a line has begun and not ended.
    pub fn is_inside(&self) -> bool {
        !self.buffer.is_empty()
    }

    fn end(&self) -> Option<usize> {
        match self.ending {
            Ending::CrOrLf => memchr::memchr2(b'\r', b'\n', &self.buffer),
            Ending::Cr => memchr::memchr(b'\r', &self.buffer),
            Ending::StxEtx => memchr::memchr(ETX, &self.buffer),
        }
    }

    /// The next line that the bytes so far hold.
    #[expect(clippy::should_implement_trait, reason = "more bytes may come after None, which an Iterator's user does not expect")]
    pub fn next(&mut self) -> Option<Line> {
        loop {
            let Some(at) = self.end() else {
                if self.buffer.len() <= self.limit {
                    return None;
                }
                let head = self.buffer.split().freeze().slice(..self.limit);
                if std::mem::replace(&mut self.skipping, true) {
                    continue;
                }
                return Some(Line::TooLong(head));
            };
            let line = self.buffer.split_to(at).freeze();
            self.buffer.advance(1);
            if std::mem::take(&mut self.skipping) {
                continue;
            }
            let text = match self.ending {
                Ending::StxEtx => line.slice(memchr::memchr(STX, &line).map_or(0, |start| start + 1)..),
                Ending::Cr | Ending::CrOrLf => line,
            };
            if text.is_empty() {
                continue;
            }
            return Some(if text.len() > self.limit { Line::TooLong(text.slice(..self.limit)) } else { Line::Text(text) });
        }
    }

    /// The stream ended or fell silent: what is left is given back as cut.
    pub fn finish(&mut self) -> Option<Line> {
        let rest = self.buffer.split().freeze();
        let skipped = std::mem::take(&mut self.skipping);
        (!rest.is_empty() && !skipped).then_some(Line::Cut(rest))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(ending: Ending, stream: &[u8], split: usize) -> Vec<Line> {
        let mut decoder = Decoder::new(ending, 10);
        let mut found = Vec::new();
        for piece in stream.chunks(split.max(1)) {
            decoder.receive(piece);
            while let Some(line) = decoder.next() {
                found.push(line);
            }
        }
        found.extend(decoder.finish());
        found
    }

    #[test]
    fn lines_come_out_whole_whatever_the_split() {
        let text = |t: &'static str| Line::Text(Bytes::from_static(t.as_bytes()));
        let cases: [(Ending, &[u8], Vec<Line>); 4] = [
            (Ending::CrOrLf, b"]C0123\r\n\r\nA\nB\rend", vec![text("]C0123"), text("A"), text("B"), Line::Cut(Bytes::from_static(b"end"))]),
            (Ending::Cr, b"A\nB\rC\r", vec![text("A\nB"), text("C")]),
            (Ending::StxEtx, b"x\x02AB\x03\x02C\x03", vec![text("AB"), text("C")]),
            (Ending::CrOrLf, b"0123456789abcdef0123456789\rok\r", vec![Line::TooLong(Bytes::from_static(b"0123456789")), text("ok")]),
        ];
        for (ending, stream, expected) in cases {
            for split in 1..=stream.len() {
                assert_eq!(lines(ending, stream, split), expected, "{ending:?} in pieces of {split}");
            }
        }
    }
}
