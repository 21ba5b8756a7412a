//! What must hold at every step, judged outside of the code that is tried: from the log, and from what everybody was told.

use std::collections::{BTreeMap, BTreeSet};

use rust_decimal::Decimal;

use super::analyzer::Measured;
use super::house::{Told, service_of};
use super::store::{Fact, Record};
use crate::domain::{account, cabinet, specimen};
use crate::kernel::Timestamp;

/// What devices and people hold to be true.
#[derive(Debug, Default)]
pub(super) struct Claims {
    /// Messages that a device counts as taken.
    pub(super) taken: Vec<(usize, Measured)>,
    /// Answers to commands.
    pub(super) told: BTreeMap<u64, Told>,
    /// Where each value was measured: the line, the number of the message that tells it, and the value.
    pub(super) measured: BTreeMap<String, (usize, u64, String)>,
}

/// Checks the log as far as it has grown; each record is looked at once.
#[derive(Debug, Default)]
pub(super) struct Oracle {
    seen: usize,
    commands: BTreeSet<u64>,
    /// Durable messages of each line: how often each number, and the last one.
    messages: BTreeMap<(usize, u64), u32>,
    last: BTreeMap<usize, u64>,
    results: BTreeMap<String, u32>,
    stock: Decimal,
    billable: BTreeSet<u64>,
    charged: BTreeMap<u64, u32>,
    faults: Vec<String>,
}

impl Oracle {
    fn fault(&mut self, what: String) {
        if self.faults.len() < 10 {
            self.faults.push(what);
        }
    }

    /// Looks at what has become durable.
    pub(super) fn look(&mut self, durable: &[Record], claims: &Claims) {
        for record in durable.get(self.seen..).unwrap_or_default() {
            if !self.commands.insert(record.command) {
                self.fault(format!("command {:016x} was done twice", record.command));
            }
            for (fact, sequence) in record.facts.iter().zip(record.first..) {
                self.fact(fact, sequence, claims);
            }
        }
        self.seen = durable.len();
    }

    fn fact(&mut self, fact: &Fact, sequence: u64, claims: &Claims) {
        if service_of(fact).is_some() {
            self.billable.insert(sequence);
        }
        match fact {
            Fact::Received { number: 0, .. } | Fact::Held { .. } => {}
            Fact::Received { line, number } => {
                *self.messages.entry((*line, *number)).or_insert(0) += 1;
                let last = self.last.entry(*line).or_insert(0);
                if *number < *last {
                    let last = *last;
                    self.fault(format!("line {line}: message {number} is stored behind {last}"));
                } else {
                    *last = *number;
                }
            }
            Fact::Specimen(accession, specimen::Event::ResultFiled { result, .. }) => {
                let is_right = claims.measured.get(accession).is_some_and(|(_, _, value)| format!("{:?}", result.value).contains(&format!("({value})")));
                if !is_right {
                    self.fault(format!("specimen {accession} has a result that nobody measured: {:?}", result.value));
                }
                *self.results.entry(accession.clone()).or_insert(0) += 1;
            }
            Fact::Specimen(..) => {}
            Fact::Cabinet(cabinet::Event::Loaded { lot, .. }) => self.stock += lot.quantity,
            Fact::Cabinet(cabinet::Event::Vended { lots, .. }) => {
                self.stock -= lots.iter().map(|lot| lot.quantity).sum::<Decimal>();
                if self.stock < Decimal::ZERO {
                    self.fault(format!("more was taken out than there is: {}", self.stock));
                }
            }
            Fact::Cabinet(_) => {}
            Fact::Account(_, account::Event::Charged { charge } | account::Event::ChargeUnpriced { charge }) => {
                let count = self.charged.entry(charge.cause).or_insert(0);
                *count += 1;
                let count = *count;
                if count > 1 {
                    self.fault(format!("event {} is charged {count} times", charge.cause));
                }
            }
            Fact::Account(..) => {}
        }
    }

    /// A device or person was told something now: it must be durable now.
    pub(super) fn promised(&mut self, claims: &Claims, at: Timestamp) {
        if let Some((line, measured)) = claims.taken.last()
            && self.messages.get(&(*line, measured.number)).copied() != Some(1)
        {
            self.fault(format!("{at}: message {} of line {line} is acknowledged, and stands {:?} times in the log", measured.number, self.messages.get(&(*line, measured.number))));
        }
    }

    /// A command was answered.
    pub(super) fn answered(&mut self, id: u64, told: Told) {
        if self.commands.contains(&id) != (told == Told::Done) {
            self.fault(format!("command {id:016x} is answered {told:?}, and the log says otherwise"));
        }
    }

    /// At the end: everything measured is there once, and everything billable is charged.
    pub(super) fn end(mut self, claims: &Claims, is_drained: bool) -> Vec<String> {
        if !is_drained {
            self.fault("not everything was done 120 s after the last fault".to_owned());
            return self.faults;
        }
        for accession in claims.measured.keys() {
            let count = self.results.get(accession).copied();
            // Every tube was collected before it was measured: nothing is in the way of its result.
            if count != Some(1) {
                self.fault(format!("specimen {accession}: its result is filed {count:?} times"));
            }
        }
        let uncharged = self.billable.iter().filter(|cause| !self.charged.contains_key(cause)).count();
        if uncharged > 0 {
            self.fault(format!("{uncharged} events are not charged"));
        }
        self.faults
    }
}
