//! The simulated log: what is durable, what waits for its sync, and what a crash leaves of that.

use crate::domain::{account, cabinet, specimen};
use crate::kernel::AccountId;
use crate::kernel::planted::{self, Bug};
use crate::sim::Random;

/// Something that happened.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Fact {
    /// A device's message was stored.
    Received {
        line: usize,
        number: u64,
    },
    /// Something of it waits for a person.
    Held {
        line: usize,
        number: u64,
    },
    Specimen(String, specimen::Event),
    Cabinet(cabinet::Event),
    Account(AccountId, account::Event),
}

/// The facts of one command: all or none.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Record {
    /// Whose command it was; the same one is done once.
    pub(super) command: u64,
    /// The sequence of its first fact.
    pub(super) first: u64,
    pub(super) facts: Vec<Fact>,
}

/// Records that may wait for their sync: the bound of the real writer's queue, made small.
pub(super) const WAITING: usize = 64;

/// The log.
#[derive(Debug, Default)]
pub(super) struct Store {
    records: Vec<Record>,
    durable: usize,
    syncing: Option<usize>,
    is_full: bool,
}

/// It cannot be taken now.
#[derive(Debug)]
pub(super) struct NoRoom;

impl Store {
    pub(super) fn durable(&self) -> &[Record] {
        &self.records[..self.durable]
    }

    pub(super) fn all(&self) -> &[Record] {
        &self.records
    }

    pub(super) fn is_durable(&self, record: usize) -> bool {
        record < self.durable
    }

    pub(super) fn set_full(&mut self, is_full: bool) {
        self.is_full = is_full;
    }

    /// Appends; gives the record's place.
    pub(super) fn append(&mut self, command: u64, facts: Vec<Fact>) -> Result<usize, NoRoom> {
        let is_crowded = self.records.len() - self.durable >= WAITING && !planted::is(Bug::UnboundedQueue);
        if self.is_full || is_crowded {
            return Err(NoRoom);
        }
        let first = self.records.last().map_or(1, |last| last.first + last.facts.len() as u64);
        self.records.push(Record { command, first, facts });
        Ok(self.records.len() - 1)
    }

    /// Begins a sync of all that waits, unless one is under way or nothing waits.
    pub(super) fn begin_sync(&mut self) -> bool {
        let is_due = self.syncing.is_none() && self.durable < self.records.len();
        if is_due {
            self.syncing = Some(self.records.len());
        }
        is_due
    }

    pub(super) fn end_sync(&mut self) {
        if let Some(reached) = self.syncing.take() {
            self.durable = reached;
        }
    }

    /// The process or the power dies: of what waited a beginning may be whole, the record that was cut is not.
    pub(super) fn crash(&mut self, random: &mut Random) {
        let waiting = (self.records.len() - self.durable) as u64;
        let kept = usize::try_from(random.between(0, waiting)).unwrap_or(0);
        self.records.truncate(self.durable + kept);
        self.durable = self.records.len();
        self.syncing = None;
    }
}
