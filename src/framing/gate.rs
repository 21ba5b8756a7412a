//! The gate of a noisy line: an E1381 checksum is one byte, and of many damaged frames some pass it. So what came over a
//! line with too many bad frames waits for a person.
//!
//! Undetected errors are about 0.03 × (share of bad frames)²; at five of a thousand that is one frame in about a million.

use std::collections::VecDeque;

/// Frames that are judged together.
pub const WINDOW: usize = 1_000;

/// The last frames of a line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LinkGate {
    limit: u32,
    recent: VecDeque<bool>,
    bad: u32,
    is_closed: bool,
}

/// A gate that changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Turned {
    /// Too many of the last frames were bad.
    Closed,
    /// The line has been good for long enough.
    Opened,
}

impl LinkGate {
    /// A gate that closes at more than `limit` bad frames of the last thousand; 0 for never.
    pub fn new(limit: u32) -> Self {
        Self { limit, recent: VecDeque::new(), bad: 0, is_closed: false }
    }

    /// Notes a frame, and says whether the gate turned.
    pub fn note(&mut self, is_bad: bool) -> Option<Turned> {
        if self.recent.len() == WINDOW && self.recent.pop_front() == Some(true) {
            self.bad -= 1;
        }
        self.recent.push_back(is_bad);
        self.bad += u32::from(is_bad);
        match self.is_closed {
            false if self.limit > 0 && self.bad > self.limit => {
                self.is_closed = true;
                Some(Turned::Closed)
            }
            // Half of what closes it, so that it does not swing.
            true if self.bad * 2 <= self.limit => {
                self.is_closed = false;
                Some(Turned::Opened)
            }
            _ => None,
        }
    }

    /// Whether what the line brings waits for a person.
    pub fn is_closed(&self) -> bool {
        self.is_closed
    }

    /// Bad frames of the last thousand.
    pub fn bad(&self) -> u32 {
        self.bad
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn six_bad_frames_of_a_thousand_close_it_and_a_thousand_good_ones_open_it() {
        let mut gate = LinkGate::new(crate::kernel::limits::BAD_FRAMES);
        for round in 0..5 {
            assert_eq!(gate.note(true), None, "{round}");
            (0..199).for_each(|_| assert_eq!(gate.note(false), None));
        }
        assert!(!gate.is_closed() && gate.bad() == 5);
        // The sixth comes when the first has left the window: five again.
        assert_eq!((gate.note(true), gate.bad()), (None, 5));
        assert_eq!((gate.note(true), gate.is_closed()), (Some(Turned::Closed), true));
        let opened = (1..=2_000).find(|_| gate.note(false) == Some(Turned::Opened)).unwrap();
        assert!((600..=1_000).contains(&opened) && gate.bad() == 2, "{opened}");
    }

    #[test]
    fn a_gate_without_a_limit_never_closes() {
        let mut gate = LinkGate::new(0);
        assert!((0..5_000).all(|_| gate.note(true).is_none()) && !gate.is_closed());
    }
}
