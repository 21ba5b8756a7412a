//! The line as one state machine: neutral, receiving, bidding, sending. Bytes and time in, outputs out.

use std::collections::VecDeque;

use bytes::Bytes;

use super::Checksum;
use super::control::{ACK, CR, ENQ, EOT, LF, NAK, STX};
pub use super::receiver::BadFrame;
use super::receiver::{FrameReader, Read};
use super::sender;
use crate::kernel::planted::{self, Bug};
use crate::kernel::{Tick, limits};

/// Messages that may wait to be sent on one line.
const OUTGOING_MAX: usize = 64;
/// How long ENQ or EOT inside a frame must stand alone before it is taken as meant.
const STRAY_MS: u64 = 1_000;

/// How frame numbers are judged.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum FrameNumbers {
    /// 1 first, then up to 7, then 0 (LIS1-A 6.3.1).
    #[default]
    Standard,
    /// As the standard, but the device may start again at 1 (some wrap 7 to 1).
    Restarting,
    /// Any number; only a repetition of the last frame is recognised.
    Any,
}

/// The line's timers and the device's habits. Times in milliseconds; defaults as LIS1-A section 6 and vendors' manuals state.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    /// Which bytes the checksum covers.
    pub checksum: Checksum,
    /// How frame numbers are judged.
    pub frame_numbers: FrameNumbers,
    /// Whether the device bids with ENQ; one quirk sends frames without.
    pub sends_enq: bool,
    /// Longest frame that is taken, in bytes.
    pub frame_limit: usize,
    /// Longest text of a frame that is sent, in bytes.
    pub text_limit: usize,
    /// Wait for the answer to ENQ or a frame (LIS1-A 6.5.2: 15 s).
    pub answer_ms: u64,
    /// Silence of a sender before its transmission is given up (LIS1-A 6.5.2: 30 s).
    pub silence_ms: u64,
    /// Pause before the next bid when ours was refused (10 s).
    pub busy_ms: u64,
    /// How long the host yields after contention (20 s; the instrument bids again after 1 s).
    pub contention_ms: u64,
    /// How long a sender stays silent after its receiver interrupted it (15 s).
    pub interrupt_ms: u64,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            checksum: Checksum::Standard,
            frame_numbers: FrameNumbers::Standard,
            sends_enq: true,
            frame_limit: limits::ASTM_FRAME_BYTES,
            text_limit: 240,
            answer_ms: 15_000,
            silence_ms: 30_000,
            busy_ms: 10_000,
            contention_ms: 20_000,
            interrupt_ms: 15_000,
        }
    }
}

/// What the owner makes of a frame that was given to it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// It is safe (held, or durable when it ended a message): answer ACK.
    Accept,
    /// It cannot be taken now: answer NAK, so that the device repeats it.
    Refuse,
}

/// Why a message was not sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SendFailure {
    /// Nobody answered ENQ or a frame in time.
    NoAnswer,
    /// A frame was refused six times.
    Refused,
    /// The bid was answered with something that is no answer.
    Confused,
    /// The receiver interrupted before the last frame.
    Interrupted,
}

/// Something that is counted, and looked at when it grows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Notice {
    /// Bytes that mean nothing where they came.
    Garbage,
    /// A frame was answered with NAK.
    Bad(BadFrame),
    /// The last frame came again: our answer was lost. Answered, not given twice.
    Repeated,
    /// ENQ twice: our answer was lost.
    DoubledEnq,
    /// Both sides bid; the instrument wins.
    Contention,
    /// EOT alone: a device that shows that it lives.
    Heartbeat,
    /// The peer answered a frame with NAK; it is sent again.
    FrameRefused,
    /// Our bid was refused; it is repeated after a pause.
    BidRefused,
}

/// What the session wants of its owner, in order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Output {
    /// Write these bytes.
    Transmit(Vec<u8>),
    /// A new frame: judge it by [`Session::verdict`]. No further input is read until then.
    Frame {
        /// The text between frame number and ETX or ETB.
        text: Bytes,
        /// Whether ETX ended it.
        is_last: bool,
    },
    /// The peer ended its transmission.
    End,
    /// The peer fell silent inside a transmission: what was collected is a fragment.
    Silence,
    /// The message with this number was taken by the peer.
    Sent(u64),
    /// The message with this number was not taken; the owner keeps it and decides.
    Failed(u64, SendFailure),
    /// Something to count.
    Noticed(Notice),
}

#[derive(Debug)]
enum State {
    Neutral,
    Receiving(Receiving),
    Bidding { deadline: Tick },
    Sending { index: usize, tries: u32, deadline: Tick },
}

#[derive(Debug)]
struct Receiving {
    expected: u8,
    accepted: Option<(u8, Bytes)>,
    /// The frame that waits for its verdict.
    judged: Option<(u8, Bytes)>,
    silent_at: Tick,
    stray_at: Option<Tick>,
}

#[derive(Debug)]
struct Outgoing {
    number: u64,
    frames: Vec<Vec<u8>>,
}

/// One ASTM line, both directions.
#[derive(Debug)]
pub struct Session {
    settings: Settings,
    reader: FrameReader,
    state: State,
    backlog: VecDeque<u8>,
    outputs: VecDeque<Output>,
    outgoing: VecDeque<Outgoing>,
    bid_not_before: Tick,
    is_ready: bool,
    interrupt: bool,
}

impl Session {
    /// A neutral line.
    pub fn new(settings: Settings) -> Self {
        Self {
            reader: FrameReader::new(settings.checksum, settings.frame_limit),
            settings,
            state: State::Neutral,
            backlog: VecDeque::new(),
            outputs: VecDeque::new(),
            outgoing: VecDeque::new(),
            bid_not_before: Tick::default(),
            is_ready: true,
            interrupt: false,
        }
    }

    /// Whether bids are taken: a host that cannot store answers ENQ with NAK.
    pub fn set_ready(&mut self, is_ready: bool) {
        self.is_ready = is_ready;
    }

    /// Answers the next good frame with EOT in place of ACK, which asks the sender to stop (LIS1-A 6.3.5.3).
    pub fn request_interrupt(&mut self) {
        self.interrupt = true;
    }

    /// Whether nothing is under way in either direction.
    pub fn is_neutral(&self) -> bool {
        matches!(self.state, State::Neutral) && self.outgoing.is_empty()
    }

    /// The next output, in order.
    pub fn poll(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }

    /// Bytes came from the line.
    pub fn receive(&mut self, bytes: &[u8], now: Tick) {
        let room = (self.settings.frame_limit * 2).saturating_sub(self.backlog.len());
        self.backlog.extend(bytes.iter().take(room));
        if bytes.len() > room {
            self.notice(Notice::Garbage);
        }
        self.pump(now);
    }

    /// Queues a message (records ended by carriage returns) under the owner's number. `false` when too many wait.
    pub fn send(&mut self, number: u64, message: &[u8], now: Tick) -> bool {
        if self.outgoing.len() >= OUTGOING_MAX {
            return false;
        }
        let frames = sender::frames(message, self.settings.text_limit, self.settings.checksum);
        self.outgoing.push_back(Outgoing { number, frames });
        self.bid(now);
        true
    }

    /// The owner's verdict on the frame it was given.
    pub fn verdict(&mut self, verdict: Verdict, now: Tick) {
        if let State::Receiving(receiving) = &mut self.state
            && let Some((number, text)) = receiving.judged.take()
        {
            receiving.silent_at = now.plus_ms(self.settings.silence_ms);
            let answer = match verdict {
                Verdict::Refuse if !planted::is(Bug::NakIgnored) => NAK,
                Verdict::Accept | Verdict::Refuse => {
                    receiving.expected = (number + 1) % 8;
                    receiving.accepted = Some((number, text));
                    if std::mem::take(&mut self.interrupt) { EOT } else { ACK }
                }
            };
            self.transmit(&[answer]);
        }
        self.pump(now);
    }

    /// When [`Session::timeout`] wants to be called.
    pub fn deadline(&self) -> Option<Tick> {
        match &self.state {
            State::Neutral => (!self.outgoing.is_empty()).then_some(self.bid_not_before),
            State::Receiving(receiving) if receiving.judged.is_some() => None,
            State::Receiving(receiving) => Some(receiving.stray_at.map_or(receiving.silent_at, |stray| stray.min(receiving.silent_at))),
            State::Bidding { deadline } | State::Sending { deadline, .. } => Some(*deadline),
        }
    }

    /// Time has passed.
    pub fn timeout(&mut self, now: Tick) {
        if self.deadline().is_none_or(|deadline| now < deadline) {
            return;
        }
        match &mut self.state {
            State::Neutral => self.bid(now),
            State::Receiving(receiving) => {
                let stray = receiving.stray_at.take().filter(|at| now >= *at).and_then(|_| self.reader.stray());
                match stray {
                    Some(control) => {
                        self.reader.reset();
                        self.control(control, now);
                        self.pump(now);
                    }
                    None => {
                        self.neutral();
                        self.outputs.push_back(Output::Silence);
                        self.bid(now);
                    }
                }
            }
            State::Bidding { .. } | State::Sending { .. } => self.fail(SendFailure::NoAnswer, now),
        }
    }

    /// The link was lost: what was being received is a fragment, what was being sent has failed.
    pub fn disconnected(&mut self) {
        self.backlog.clear();
        if matches!(self.state, State::Receiving(_)) {
            self.outputs.push_back(Output::Silence);
        }
        self.neutral();
        let lost: Vec<u64> = self.outgoing.drain(..).map(|outgoing| outgoing.number).collect();
        self.outputs.extend(lost.into_iter().map(|number| Output::Failed(number, SendFailure::NoAnswer)));
    }

    fn notice(&mut self, notice: Notice) {
        self.outputs.push_back(Output::Noticed(notice));
    }

    fn transmit(&mut self, bytes: &[u8]) {
        self.outputs.push_back(Output::Transmit(bytes.to_vec()));
    }

    fn neutral(&mut self) {
        self.reader.reset();
        self.interrupt = false;
        self.state = State::Neutral;
    }

    fn pump(&mut self, now: Tick) {
        while !matches!(&self.state, State::Receiving(receiving) if receiving.judged.is_some()) {
            let Some(byte) = self.backlog.pop_front() else { break };
            match self.state {
                State::Neutral => self.while_neutral(byte, now),
                State::Receiving(_) => self.while_receiving(byte, now),
                State::Bidding { .. } => self.while_bidding(byte, now),
                State::Sending { .. } => self.while_sending(byte, now),
            }
        }
    }

    fn while_neutral(&mut self, byte: u8, now: Tick) {
        match byte {
            ENQ if self.is_ready => {
                self.start_receiving(now);
                self.transmit(&[ACK]);
            }
            ENQ => self.transmit(&[NAK]),
            EOT => self.notice(Notice::Heartbeat),
            STX if !self.settings.sends_enq && self.is_ready => {
                self.start_receiving(now);
                self.while_receiving(byte, now);
            }
            CR | LF => {}
            _ => self.notice(Notice::Garbage),
        }
    }

    fn start_receiving(&mut self, now: Tick) {
        self.reader.reset();
        let silent_at = now.plus_ms(self.settings.silence_ms);
        self.state = State::Receiving(Receiving { expected: 1, accepted: None, judged: None, silent_at, stray_at: None });
    }

    fn while_receiving(&mut self, byte: u8, now: Tick) {
        let read = self.reader.step(byte);
        let stray_at = self.reader.stray().map(|_| now.plus_ms(STRAY_MS));
        if let State::Receiving(receiving) = &mut self.state {
            receiving.silent_at = now.plus_ms(self.settings.silence_ms);
            receiving.stray_at = stray_at;
        }
        match read {
            None => {}
            Some(Read::Garbage) => self.notice(Notice::Garbage),
            Some(Read::Bad(reason)) => self.refuse(reason),
            Some(Read::Control(control)) => self.control(control, now),
            Some(Read::Frame { number, text, is_last }) => self.frame(number, text.into(), is_last),
        }
    }

    fn refuse(&mut self, reason: BadFrame) {
        self.notice(Notice::Bad(reason));
        self.transmit(&[NAK]);
    }

    /// A frame whose checksum holds: the next one is given to the owner, the last one again is answered, others are refused.
    fn frame(&mut self, number: u8, text: Bytes, is_last: bool) {
        let State::Receiving(receiving) = &mut self.state else { return };
        if let Some((last, last_text)) = &receiving.accepted
            && *last == number
            && *last_text == text
            && number != receiving.expected
            && !planted::is(Bug::FrameAppendedTwice)
        {
            self.notice(Notice::Repeated);
            self.transmit(&[ACK]);
            return;
        }
        let is_last_again = receiving.accepted.as_ref().is_some_and(|(last, _)| *last == number);
        let is_next = match self.settings.frame_numbers {
            _ if planted::is(Bug::FrameAppendedTwice) && is_last_again => true,
            FrameNumbers::Standard => number == receiving.expected,
            FrameNumbers::Restarting => number == receiving.expected || number == 1,
            FrameNumbers::Any => true,
        };
        if !is_next {
            self.refuse(BadFrame::Number);
            return;
        }
        receiving.judged = Some((number, text.clone()));
        self.outputs.push_back(Output::Frame { text, is_last });
    }

    /// ENQ or EOT from the sender, outside of a frame.
    fn control(&mut self, control: u8, now: Tick) {
        let has_frames = matches!(&self.state, State::Receiving(receiving) if receiving.accepted.is_some());
        match (control, has_frames) {
            (ENQ, false) => {
                self.notice(Notice::DoubledEnq);
                self.start_receiving(now);
                self.transmit(&[ACK]);
            }
            (ENQ, true) => {
                // The device started anew without EOT: what came before is a fragment.
                self.outputs.push_back(Output::End);
                self.start_receiving(now);
                self.transmit(&[ACK]);
            }
            _ => {
                self.neutral();
                self.outputs.push_back(Output::End);
                self.bid(now);
            }
        }
    }

    /// Bids for the line when there is something to send and nothing under way.
    fn bid(&mut self, now: Tick) {
        if matches!(self.state, State::Neutral) && !self.outgoing.is_empty() && now >= self.bid_not_before {
            self.state = State::Bidding { deadline: now.plus_ms(self.settings.answer_ms) };
            self.transmit(&[ENQ]);
        }
    }

    fn while_bidding(&mut self, byte: u8, now: Tick) {
        match byte {
            ACK => self.transmit_frame(0, 1, now),
            NAK => {
                self.notice(Notice::BidRefused);
                self.neutral();
                self.bid_not_before = now.plus_ms(self.settings.busy_ms);
            }
            ENQ => {
                self.notice(Notice::Contention);
                self.neutral();
                self.bid_not_before = now.plus_ms(self.settings.contention_ms);
            }
            CR | LF => {}
            _ => self.fail(SendFailure::Confused, now),
        }
    }

    fn transmit_frame(&mut self, index: usize, tries: u32, now: Tick) {
        match self.outgoing.front().map(|outgoing| outgoing.frames.get(index).cloned()) {
            Some(Some(frame)) => {
                self.state = State::Sending { index, tries, deadline: now.plus_ms(self.settings.answer_ms) };
                self.outputs.push_back(Output::Transmit(frame));
            }
            _ => self.sent(now),
        }
    }

    fn sent(&mut self, now: Tick) {
        self.transmit(&[EOT]);
        self.neutral();
        if let Some(outgoing) = self.outgoing.pop_front() {
            self.outputs.push_back(Output::Sent(outgoing.number));
        }
        self.bid(now);
    }

    fn while_sending(&mut self, byte: u8, now: Tick) {
        let State::Sending { index, tries, .. } = self.state else { return };
        match byte {
            ACK => self.transmit_frame(index + 1, 1, now),
            EOT => {
                // An interrupt counts as ACK of the frame; the receiver wants the line (LIS1-A 6.3.5.3).
                self.bid_not_before = now.plus_ms(self.settings.interrupt_ms);
                let is_whole = self.outgoing.front().is_some_and(|outgoing| index + 1 >= outgoing.frames.len());
                if is_whole { self.sent(now) } else { self.fail(SendFailure::Interrupted, now) }
            }
            CR | LF => {}
            _ if tries >= limits::ASTM_TRIES => self.fail(SendFailure::Refused, now),
            _ => {
                self.notice(Notice::FrameRefused);
                // One answer, one repetition: what else stands in the buffer belongs to the same noise.
                self.backlog.clear();
                self.transmit_frame(index, tries + 1, now);
            }
        }
    }

    fn fail(&mut self, failure: SendFailure, now: Tick) {
        self.transmit(&[EOT]);
        self.neutral();
        if let Some(outgoing) = self.outgoing.pop_front() {
            self.outputs.push_back(Output::Failed(outgoing.number, failure));
        }
        self.bid(now);
    }
}

#[cfg(test)]
#[path = "session_tests.rs"]
mod tests;
