//! A simulated analyzer that sends by E1381, written from the standard without a look at the daemon's framing: bids, frames,
//! six tries, fifteen seconds of patience, and the whole message again until it is taken.

use std::collections::VecDeque;

const ENQ: u8 = 5;
const ACK: u8 = 6;
const NAK: u8 = 21;
const EOT: u8 = 4;
/// LIS1-A 6.5.2: the sender waits this long for an answer, and that long after a refused bid.
const PATIENCE: u64 = 15_000;
const REST: u64 = 10_000;
const TRIES: u32 = 6;

/// A measurement to be told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Measured {
    pub(super) number: u64,
    pub(super) accession: String,
    pub(super) value: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Idle,
    Resting,
    Bidding,
    Sending { frame: usize, tries: u32 },
}

/// The analyzer.
#[derive(Debug)]
pub(super) struct Analyzer {
    pub(super) work: VecDeque<Measured>,
    state: State,
    /// When it acts by itself.
    pub(super) deadline: u64,
}

/// What it does.
#[derive(Debug, Default)]
pub(super) struct Act {
    pub(super) send: Vec<u8>,
    /// The message that it counts as taken.
    pub(super) taken: Option<Measured>,
}

impl Analyzer {
    pub(super) fn new() -> Self {
        Self { work: VecDeque::new(), state: State::Idle, deadline: 0 }
    }

    fn frames(measured: &Measured) -> Vec<Vec<u8>> {
        let records = [
            format!("H|\\^&|{}||    XN-550^00-01^11001^^^^AP123456||||||||E1394-97", measured.number),
            "P|1".to_owned(),
            format!("O|1||^^{:>22}^M|^^^^HGB|R", measured.accession),
            format!("R|1|^^^^HGB^1|{}|g/dL||N||F||||20260101120000", measured.value),
            "L|1|N".to_owned(),
        ];
        let frame = |(index, record): (usize, &String)| {
            let body = format!("{}{record}\r\x03", (index + 1) % 8);
            let sum = body.bytes().fold(0_u8, |sum, byte| sum.wrapping_add(byte));
            format!("\x02{body}{sum:02X}\r\n").into_bytes()
        };
        records.iter().enumerate().map(frame).collect()
    }

    fn go(&mut self, state: State, now: u64, wait: u64, send: Vec<u8>) -> Act {
        self.state = state;
        self.deadline = now + wait;
        Act { send, taken: None }
    }

    fn frame(&mut self, frame: usize, tries: u32, now: u64) -> Act {
        let bytes = self.work.front().and_then(|measured| Self::frames(measured).into_iter().nth(frame)).unwrap_or_default();
        self.go(State::Sending { frame, tries }, now, PATIENCE, bytes)
    }

    /// Time passes.
    pub(super) fn wake(&mut self, now: u64) -> Act {
        if now < self.deadline {
            return Act::default();
        }
        match self.state {
            State::Idle | State::Resting if self.work.is_empty() => self.go(State::Idle, now, 500, Vec::new()),
            State::Idle | State::Resting => self.go(State::Bidding, now, PATIENCE, vec![ENQ]),
            // Nobody answered: it ends the transmission and begins anew.
            State::Bidding | State::Sending { .. } => self.go(State::Resting, now, 1_000, vec![EOT]),
        }
    }

    /// A byte came.
    pub(super) fn hear(&mut self, byte: u8, now: u64) -> Act {
        match (self.state, byte) {
            (State::Bidding, ACK) => self.frame(0, 1, now),
            (State::Bidding, NAK) => self.go(State::Resting, now, REST, Vec::new()),
            (State::Sending { frame, .. }, ACK) => {
                let last = self.work.front().map_or(0, |measured| Self::frames(measured).len() - 1);
                if frame < last {
                    return self.frame(frame + 1, 1, now);
                }
                let taken = self.work.pop_front();
                Act { taken, ..self.go(State::Resting, now, 200, vec![EOT]) }
            }
            (State::Sending { .. }, EOT) => self.go(State::Resting, now, 1_000, vec![EOT]),
            // LIS1-A 6.5.1.2: NAK, or any other character, is a refusal.
            (State::Sending { tries, .. }, _) if tries >= TRIES => self.go(State::Resting, now, REST, vec![EOT]),
            (State::Sending { frame, tries }, _) => self.frame(frame, tries + 1, now),
            _ => Act::default(),
        }
    }

    /// The plug was pulled, or is back: what was under way is told again.
    pub(super) fn unplugged(&mut self, now: u64) {
        self.go(State::Resting, now, 2_000, Vec::new());
    }
}
