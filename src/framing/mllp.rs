//! MLLP, the minimal lower layer protocol of HL7 (HL7 v2 Transport Specification, MLLP release 1):
//! `0x0B` message `0x1C 0x0D`. No numbers, no checksum, no timers of its own.

use bytes::{Buf, Bytes, BytesMut};

use crate::kernel::Tick;

/// Start of a block.
pub const START: u8 = 0x0B;
/// End of a block; a carriage return follows.
pub const END: u8 = 0x1C;
const CARRIAGE_RETURN: u8 = 0x0D;

/// What the byte stream held.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Block {
    /// A whole message between its marks.
    Message(Bytes),
    /// A message that was cut by the start of the next one, by its size, or by the end of the stream.
    Cut(Bytes, Cut),
    /// Bytes outside of any block.
    Garbage(usize),
}

/// Why a message is not whole.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cut {
    /// A new start mark came before the end mark.
    NextMessage,
    /// The message is larger than the limit.
    TooLarge,
    /// The peer closed, or fell silent for the read timeout.
    EndOfStream,
}

/// Takes a byte stream apart into blocks; resynchronises at the next start mark.
#[derive(Debug)]
pub struct Decoder {
    buffer: BytesMut,
    /// How far `buffer` has been searched for marks.
    searched: usize,
    inside: bool,
    /// The rest of a message that was too large is thrown away up to the next start mark.
    limit: usize,
    garbage: usize,
}

impl Decoder {
    /// A decoder that refuses messages above `limit` bytes.
    pub fn new(limit: usize) -> Self {
        Self { buffer: BytesMut::new(), searched: 0, inside: false, limit, garbage: 0 }
    }

    /// The buffer that a link may read into directly; call [`Decoder::next`] until it gives `None` afterwards.
    pub fn buffer(&mut self) -> &mut BytesMut {
        &mut self.buffer
    }

    /// Adds bytes of the stream.
    pub fn receive(&mut self, bytes: &[u8]) {
        self.buffer.extend_from_slice(bytes);
    }

    /// Whether a message has begun and not ended: the read timeout applies then, the idle timeout otherwise.
    pub fn is_inside(&self) -> bool {
        self.inside
    }

    /// The next block that the bytes so far hold.
    #[expect(clippy::should_implement_trait, reason = "more bytes may come after None, which an Iterator's user does not expect")]
    pub fn next(&mut self) -> Option<Block> {
        if !self.inside {
            self.seek_start();
            if self.garbage > 0 && (self.inside || self.buffer.is_empty()) {
                return Some(Block::Garbage(std::mem::take(&mut self.garbage)));
            }
            if !self.inside {
                return None;
            }
        }
        self.seek_end()
    }

    /// The stream ended: what is left of a message is given back as cut.
    pub fn finish(&mut self) -> Option<Block> {
        let was_inside = std::mem::take(&mut self.inside);
        self.searched = 0;
        let rest = self.buffer.split().freeze();
        match (was_inside, rest.is_empty()) {
            (true, _) => Some(Block::Cut(rest, Cut::EndOfStream)),
            (false, false) => Some(Block::Garbage(rest.len())),
            (false, true) => None,
        }
    }

    fn seek_start(&mut self) {
        match memchr::memchr(START, &self.buffer) {
            Some(at) => {
                self.garbage += self.buffer[..at].iter().filter(|byte| !byte.is_ascii_whitespace()).count();
                self.buffer.advance(at + 1);
                self.inside = true;
                self.searched = 0;
            }
            None => {
                // Blank bytes between messages are no garbage: senders add newlines.
                self.garbage += self.buffer.iter().filter(|byte| !byte.is_ascii_whitespace()).count();
                self.buffer.clear();
            }
        }
    }

    fn seek_end(&mut self) -> Option<Block> {
        loop {
            let Some(found) = memchr::memchr2(START, END, &self.buffer[self.searched..]) else {
                self.searched = self.buffer.len();
                return self.too_large();
            };
            let at = self.searched + found;
            if at > self.limit {
                return self.too_large();
            }
            if self.buffer[at] == START {
                let cut = self.buffer.split_to(at).freeze();
                self.buffer.advance(1);
                self.searched = 0;
                return Some(Block::Cut(cut, Cut::NextMessage));
            }
            match self.buffer.get(at + 1) {
                None => {
                    self.searched = at;
                    return None;
                }
                Some(&CARRIAGE_RETURN) => {
                    let message = self.buffer.split_to(at).freeze();
                    self.buffer.advance(2);
                    self.inside = false;
                    self.searched = 0;
                    return Some(Block::Message(message));
                }
                // 0x1C without its carriage return is a byte of the message: only the pair ends a block.
                Some(_) => self.searched = at + 1,
            }
        }
    }

    fn too_large(&mut self) -> Option<Block> {
        if self.buffer.len() <= self.limit {
            return None;
        }
        let cut = self.buffer.split_to(self.limit).freeze();
        self.inside = false;
        self.searched = 0;
        Some(Block::Cut(cut, Cut::TooLarge))
    }
}

/// A message between its marks.
pub fn frame(message: &[u8]) -> Vec<u8> {
    let mut framed = Vec::with_capacity(message.len() + 3);
    framed.push(START);
    framed.extend_from_slice(message);
    framed.extend_from_slice(&[END, CARRIAGE_RETURN]);
    framed
}

/// What an acknowledgement meant to the sender.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Matched {
    /// It answers the message in flight.
    InFlight,
    /// It answers an earlier message, or none: counted and dropped (a late answer must never
    /// acknowledge the next message).
    Late,
}

/// What the sender's owner has to do now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Step {
    /// Write these bytes.
    Transmit(Vec<u8>),
    /// All tries went unanswered: close the connection, so that no late answer can be mistaken; the message stays in the outbox.
    GiveUp,
}

/// Sends one message at a time and waits for its own acknowledgement.
#[derive(Debug)]
pub struct Sender {
    timeout_ms: u64,
    tries: u32,
    flight: Option<Flight>,
}

#[derive(Debug)]
struct Flight {
    control_id: Vec<u8>,
    framed: Vec<u8>,
    deadline: Tick,
    tried: u32,
}

impl Sender {
    /// A sender that waits `timeout_ms` for each of at most `tries` transmissions of a message.
    pub fn new(timeout_ms: u64, tries: u32) -> Self {
        Self { timeout_ms, tries: tries.max(1), flight: None }
    }

    /// Whether a message waits for its answer.
    pub fn is_busy(&self) -> bool {
        self.flight.is_some()
    }

    /// Starts a message with this control id (MSH-10); gives the bytes to write, or `None` while another is in flight.
    pub fn send(&mut self, control_id: &[u8], message: &[u8], now: Tick) -> Option<Vec<u8>> {
        if self.flight.is_some() {
            return None;
        }
        let framed = frame(message);
        self.flight = Some(Flight { control_id: control_id.to_vec(), framed: framed.clone(), deadline: now.plus_ms(self.timeout_ms), tried: 1 });
        Some(framed)
    }

    /// An acknowledgement came that names this control id (MSA-2).
    pub fn acknowledged(&mut self, control_id: &[u8]) -> Matched {
        match &self.flight {
            Some(flight) if flight.control_id == control_id => {
                self.flight = None;
                Matched::InFlight
            }
            _ => Matched::Late,
        }
    }

    /// The connection was lost: the message in flight is forgotten here and kept by its owner.
    pub fn disconnected(&mut self) {
        self.flight = None;
    }

    /// When [`Sender::timeout`] wants to be called.
    pub fn deadline(&self) -> Option<Tick> {
        self.flight.as_ref().map(|flight| flight.deadline)
    }

    /// Time has passed: repeats the message with the same control id, or gives up.
    pub fn timeout(&mut self, now: Tick) -> Option<Step> {
        let flight = self.flight.as_mut().filter(|flight| now >= flight.deadline)?;
        if flight.tried >= self.tries {
            self.flight = None;
            return Some(Step::GiveUp);
        }
        flight.tried += 1;
        flight.deadline = now.plus_ms(self.timeout_ms);
        Some(Step::Transmit(flight.framed.clone()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn blocks(pieces: &[&[u8]], limit: usize) -> Vec<Block> {
        let mut decoder = Decoder::new(limit);
        let mut found: Vec<Block> = Vec::new();
        for piece in pieces {
            decoder.receive(piece);
            while let Some(block) = decoder.next() {
                found.push(block);
            }
        }
        found.extend(decoder.finish());
        // Garbage may be counted in several pieces; what matters is how much there was.
        let mut merged: Vec<Block> = Vec::new();
        for block in found {
            match (merged.last_mut(), block) {
                (Some(Block::Garbage(sum)), Block::Garbage(more)) => *sum += more,
                (_, block) => merged.push(block),
            }
        }
        merged
    }

    fn message(text: &'static str) -> Block {
        Block::Message(Bytes::from_static(text.as_bytes()))
    }

    #[test]
    fn rule_2_every_split_of_a_stream_gives_the_same_messages() {
        let stream: &[u8] = b"noise\x0bMSH|1\rPID\r\x1c\x0d\r\n\x0bMSH|2\x1c|3\x1c\x0dxx\x0bcut\x0bMSH|4\x1c\x0d";
        let expected =
            vec![Block::Garbage(5), message("MSH|1\rPID\r"), message("MSH|2\x1c|3"), Block::Garbage(2), Block::Cut(Bytes::from_static(b"cut"), Cut::NextMessage), message("MSH|4")];
        assert_eq!(blocks(&[stream], 100), expected);
        for at in 0..stream.len() {
            assert_eq!(blocks(&[&stream[..at], &stream[at..]], 100), expected, "split at {at}");
        }
        let bytes: Vec<&[u8]> = stream.chunks(1).collect();
        assert_eq!(blocks(&bytes, 100), expected, "byte by byte");
    }

    #[test]
    fn an_oversized_message_is_cut_and_the_next_one_is_read() {
        let stream = [&b"\x0b"[..], &[b'x'; 50], b"\x1c\x0d\x0bMSH|ok\x1c\x0d"].concat();
        let found = blocks(&[&stream], 20);
        assert_eq!(found[0], Block::Cut(Bytes::from(vec![b'x'; 20]), Cut::TooLarge));
        assert_eq!(found.last(), Some(&message("MSH|ok")));
        let bytes: Vec<&[u8]> = stream.chunks(1).collect();
        assert_eq!(blocks(&bytes, 20).last(), Some(&message("MSH|ok")));
    }

    #[test]
    fn the_end_of_the_stream_gives_the_fragment_back() {
        assert_eq!(blocks(&[b"\x0bMSH|half"], 100), vec![Block::Cut(Bytes::from_static(b"MSH|half"), Cut::EndOfStream)]);
        assert_eq!(blocks(&[b"junk"], 100), vec![Block::Garbage(4)]);
    }

    #[test]
    fn rule_16_a_late_answer_never_acknowledges_the_next_message() {
        let mut sender = Sender::new(1_000, 2);
        let now = Tick::from_ms(0);
        assert_eq!(sender.send(b"A1", b"one", now), Some(frame(b"one")));
        assert_eq!(sender.send(b"A2", b"two", now), None, "one message in flight");
        assert_eq!(sender.acknowledged(b"A0"), Matched::Late);
        assert!(sender.is_busy());
        assert_eq!(sender.timeout(Tick::from_ms(999)), None);
        assert_eq!(sender.timeout(Tick::from_ms(1_000)), Some(Step::Transmit(frame(b"one"))));
        assert_eq!(sender.timeout(Tick::from_ms(2_000)), Some(Step::GiveUp));
        assert_eq!(sender.deadline(), None, "a sender never waits for ever");
        assert!(sender.send(b"A2", b"two", Tick::from_ms(2_000)).is_some());
        assert_eq!(sender.acknowledged(b"A1"), Matched::Late);
        assert_eq!(sender.acknowledged(b"A2"), Matched::InFlight);
    }
}
