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
    /// Inside a line that was too long, up to its ending.
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

    /// The next line that the bytes so far hold.
    #[expect(clippy::should_implement_trait, reason = "more bytes may come after None, which an Iterator's user does not expect")]
    pub fn next(&mut self) -> Option<Line> {
        match self.ending {
            Ending::CrOrLf => self.next_ended(|bytes| memchr::memchr2(b'\r', b'\n', bytes)),
            Ending::Cr => self.next_ended(|bytes| memchr::memchr(b'\r', bytes)),
            Ending::StxEtx => self.next_enclosed(),
        }
    }

    /// Lines that an ending follows.
    fn next_ended(&mut self, end: impl Fn(&[u8]) -> Option<usize>) -> Option<Line> {
        loop {
            let Some(at) = end(&self.buffer) else {
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
            if std::mem::take(&mut self.skipping) || line.is_empty() {
                continue;
            }
            return Some(self.measured(line));
        }
    }

    /// Lines between STX and ETX. What stands outside is noise; an STX inside begins anew, and what it cut is given as cut.
    fn next_enclosed(&mut self) -> Option<Line> {
        loop {
            if self.buffer.first() != Some(&STX) {
                // Outside, or inside a line that is too long: on to the next beginning.
                match memchr::memchr2(STX, ETX, &self.buffer) {
                    None => {
                        // The head of it is enough to show what came without a beginning.
                        self.buffer.truncate(self.limit);
                        return None;
                    }
                    Some(at) if self.buffer.get(at) == Some(&ETX) => {
                        let mut lost = self.buffer.split_to(at).freeze();
                        lost.truncate(self.limit);
                        self.buffer.advance(1);
                        if std::mem::take(&mut self.skipping) || lost.iter().all(u8::is_ascii_control) {
                            continue;
                        }
                        // Its STX was lost, and perhaps more: a person must look.
                        return Some(Line::Cut(lost));
                    }
                    Some(at) => self.buffer.advance(at),
                }
                self.skipping = false;
            }
            let inside = self.buffer.get(1..).unwrap_or_default();
            match memchr::memchr2(STX, ETX, inside) {
                Some(at) => {
                    let is_whole = inside.get(at) == Some(&ETX);
                    self.buffer.advance(1);
                    let line = self.buffer.split_to(at).freeze();
                    if is_whole {
                        self.buffer.advance(1);
                    }
                    match (line.is_empty(), self.measured(line)) {
                        (true, _) => continue,
                        (false, Line::Text(text)) if !is_whole => return Some(Line::Cut(text)),
                        (false, line) => return Some(line),
                    }
                }
                None if inside.len() > self.limit => {
                    self.buffer.advance(1);
                    self.skipping = true;
                    return Some(Line::TooLong(self.buffer.split().freeze().slice(..self.limit)));
                }
                None => return None,
            }
        }
    }

    fn measured(&self, line: Bytes) -> Line {
        if line.len() > self.limit { Line::TooLong(line.slice(..self.limit)) } else { Line::Text(line) }
    }

    /// The stream ended or fell silent: what is left is given back as cut.
    pub fn finish(&mut self) -> Option<Line> {
        if self.ending == Ending::StxEtx && self.buffer.first() == Some(&STX) {
            self.buffer.advance(1);
        }
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
        let cut = |t: &'static str| Line::Cut(Bytes::from_static(t.as_bytes()));
        let long = |t: &'static str| Line::TooLong(Bytes::from_static(t.as_bytes()));
        let cases: [(Ending, &[u8], Vec<Line>); 9] = [
            (Ending::StxEtx, b"STX lost\x03\r\n\x02ok\x03\r\n", vec![cut("STX lost"), text("ok"), cut("\r\n")]),
            (Ending::StxEtx, b"a long noise before it\x02AB\x03more noise of the line\x02C\x03", vec![text("AB"), text("C")]),
            (Ending::StxEtx, b"\x02A\x02B\x03\x02\x03\x02end", vec![cut("A"), text("B"), cut("end")]),
            (Ending::StxEtx, b"\x020123456789abc\x03\x02ok\x03", vec![long("0123456789"), text("ok")]),
            (Ending::StxEtx, b"\x020123456789abcdefghijkl\x02ok\x03", vec![long("0123456789"), text("ok")]),
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
