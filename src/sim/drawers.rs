//! What both kinds of cabinet share: which commands were already carried out, and what is yet to happen to a drawer.

use std::collections::VecDeque;
use std::time::Duration;

use tokio::time::Instant;

use super::random::Random;

const REMEMBERED_MAX: usize = 1_024;
const WAITING_MAX: usize = 256;
const JAM_PER_MILLE: u32 = 30;

/// The end of a command: the drawer was pushed back, or it stuck.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Movement {
    /// Drawer as the command named it.
    pub drawer: String,
    /// The command that opened it.
    pub command_id: String,
    /// True when it stuck instead of closing.
    pub jammed: bool,
}

/// Commands seen and movements to come; both bounded, the oldest are forgotten first.
pub struct Drawers {
    seen: VecDeque<String>,
    waiting: VecDeque<(Instant, Movement)>,
    random: Random,
    open_for: Duration,
    /// Openings carried out.
    pub openings: u64,
}

impl Drawers {
    /// Drawers that people push back after about `open_for`.
    pub fn new(open_for: Duration, random: Random) -> Drawers {
        Drawers { seen: VecDeque::new(), waiting: VecDeque::new(), random, open_for, openings: 0 }
    }

    /// Whether this command was carried out before.
    pub fn knows(&self, command_id: &str) -> bool {
        self.seen.iter().any(|seen| seen == command_id)
    }

    /// Opens a drawer for a new command; a repeated one changes nothing and answers false.
    pub fn open(&mut self, drawer: &str, command_id: &str) -> bool {
        if self.knows(command_id) || self.waiting.len() >= WAITING_MAX {
            return false;
        }
        if self.seen.len() >= REMEMBERED_MAX {
            self.seen.pop_front();
        }
        self.seen.push_back(command_id.to_owned());
        self.openings += 1;
        let jammed = self.random.chance(JAM_PER_MILLE);
        let movement = Movement { drawer: drawer.to_owned(), command_id: command_id.to_owned(), jammed };
        let delay = self.open_for.mul_f64(0.5 + self.random.fraction());
        self.waiting.push_back((Instant::now() + delay, movement));
        true
    }

    /// When the next movement is due, if any.
    pub fn due(&self) -> Option<Instant> {
        self.waiting.iter().map(|(at, _)| *at).min()
    }

    /// Takes one movement whose time has come.
    pub fn take_due(&mut self, now: Instant) -> Option<Movement> {
        let index = self.waiting.iter().position(|(at, _)| *at <= now)?;
        self.waiting.remove(index).map(|(_, movement)| movement)
    }
}
