//! The reader of frames: one byte at a time, from STX to the line feed behind the checksum.

use super::Checksum;
use super::control::{ACK, CR, ENQ, EOT, ETB, ETX, LF, NAK, STX};
use crate::kernel::planted::{self, Bug};

/// What a byte completed.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Read {
    /// A frame whose checksum holds.
    Frame { number: u8, text: Vec<u8>, is_last: bool },
    /// A frame that must be answered with NAK.
    Bad(BadFrame),
    /// ENQ or EOT outside of a frame.
    Control(u8),
    /// A byte outside of a frame that means nothing there.
    Garbage,
}

/// Why a frame is not accepted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BadFrame {
    /// The checksum does not hold.
    Checksum,
    /// The checksum is not followed by carriage return and line feed.
    Ending,
    /// It is longer than the profile allows.
    TooLong,
    /// It holds a character that LIS1-A forbids inside a frame, or no frame number. NUL is one: it is what a serial driver gives
    /// for a character whose parity was wrong.
    Content,
    /// Its number is neither the next one nor a repetition of the last.
    Number,
}

impl BadFrame {
    /// For people.
    pub fn words(self) -> &'static str {
        match self {
            BadFrame::Checksum => "its checksum does not hold",
            BadFrame::Ending => "its checksum is not followed by carriage return and line feed",
            BadFrame::TooLong => "it is longer than the profile allows",
            BadFrame::Content => "it holds a character that may not stand inside a frame, or no frame number",
            BadFrame::Number => "its number is neither the next one nor that of a repetition",
        }
    }
}

#[derive(Debug)]
enum Place {
    Outside,
    Body,
    /// Behind ETX or ETB: this many characters of checksum, CR and LF have come.
    Tail,
}

#[derive(Debug)]
pub(super) struct FrameReader {
    checksum: Checksum,
    limit: usize,
    place: Place,
    body: Vec<u8>,
    tail: Vec<u8>,
    spoilt: Option<BadFrame>,
    /// ENQ or EOT came inside a frame and nothing since: noise, or a device that started anew.
    stray: Option<u8>,
}

impl FrameReader {
    pub(super) fn new(checksum: Checksum, limit: usize) -> Self {
        Self { checksum, limit, place: Place::Outside, body: Vec::new(), tail: Vec::new(), spoilt: None, stray: None }
    }

    pub(super) fn reset(&mut self) {
        self.place = Place::Outside;
        self.body.clear();
        self.tail.clear();
        self.spoilt = None;
        self.stray = None;
    }

    /// The control character that ended the bytes so far inside a frame; silence after it makes it meant.
    pub(super) fn stray(&self) -> Option<u8> {
        self.stray
    }

    pub(super) fn step(&mut self, byte: u8) -> Option<Read> {
        match self.place {
            Place::Outside => self.outside(byte),
            Place::Body => self.body(byte),
            Place::Tail => self.tail(byte),
        }
    }

    fn outside(&mut self, byte: u8) -> Option<Read> {
        match byte {
            STX => {
                self.reset();
                self.place = Place::Body;
                None
            }
            ENQ | EOT => Some(Read::Control(byte)),
            CR | LF => None,
            _ => Some(Read::Garbage),
        }
    }

    fn body(&mut self, byte: u8) -> Option<Read> {
        self.stray = None;
        match byte {
            // A frame that begins anew inside a frame: the first one was cut.
            STX => self.outside(byte),
            ETX | ETB => {
                self.body.push(byte);
                self.place = Place::Tail;
                None
            }
            _ => {
                if matches!(byte, ENQ | EOT) {
                    self.stray = Some(byte);
                }
                if matches!(byte, ENQ | EOT | ACK | NAK | LF | 0x00 | 0x01 | 0x10..=0x14 | 0x16) {
                    self.spoilt.get_or_insert(BadFrame::Content);
                }
                if self.body.len() >= self.limit {
                    self.spoilt = Some(BadFrame::TooLong);
                } else {
                    self.body.push(byte);
                }
                None
            }
        }
    }

    fn tail(&mut self, byte: u8) -> Option<Read> {
        if byte == STX {
            return self.outside(byte);
        }
        self.tail.push(byte);
        let digits = self.checksum.digits();
        let wrong_ending = match self.tail.len().checked_sub(digits + 1) {
            Some(0) => byte != CR,
            Some(1) => byte != LF,
            _ => false,
        };
        if wrong_ending {
            return Some(self.bad(BadFrame::Ending));
        }
        (self.tail.len() == digits + 2).then(|| self.finish(digits))
    }

    fn bad(&mut self, reason: BadFrame) -> Read {
        self.reset();
        Read::Bad(reason)
    }

    fn finish(&mut self, digits: usize) -> Read {
        if let Some(reason) = self.spoilt {
            return self.bad(reason);
        }
        if !self.checksum.holds(&self.body, &self.tail[..digits]) && !planted::is(Bug::ChecksumIgnored) {
            return self.bad(BadFrame::Checksum);
        }
        let (Some((&number, rest)), true) = (self.body.split_first(), self.body.len() >= 2) else {
            return self.bad(BadFrame::Content);
        };
        if !(b'0'..=b'7').contains(&number) {
            return self.bad(BadFrame::Content);
        }
        let is_last = rest.last() == Some(&ETX);
        let text = rest[..rest.len() - 1].to_vec();
        self.reset();
        Read::Frame { number: number - b'0', text, is_last }
    }
}
