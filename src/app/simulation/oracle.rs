//! What must be true whatever went wrong, said by somebody who knows only what devices and people were told, and what the
//! log holds in the end.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use rust_decimal::Decimal;
use sha2::{Digest, Sha256};

use super::stays::{self, Answered};
use crate::domain::{account, cabinet, device, specimen};
use crate::journal::{StoredBatch, StoredEvent};
use crate::kernel::{CommandId, StreamKind};

/// A result that a device has: its value occurs once in a whole history.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Measured {
    pub(super) accession: String,
    pub(super) test: &'static str,
    pub(super) value: String,
    pub(super) unit: &'static str,
    /// Of a tube that nobody knows, or in a unit that cannot be: it is filed nowhere, and must wait for a person.
    pub(super) is_stray: bool,
}

/// What was promised to devices and people.
#[derive(Debug, Default)]
pub(super) struct Claims {
    /// By device, in the order in which it was told.
    accepted: BTreeMap<String, Vec<Measured>>,
    collected: BTreeSet<String>,
    /// Commands at the cabinet that were answered with done, and how much they moved: loads positive.
    moved: Vec<(CommandId, Decimal)>,
    /// What a broker took for a device: it must come to wardd.
    published: Vec<(String, String)>,
    /// What the hospital's system told of patients and beds, and the answers.
    stays: Vec<Answered>,
}

impl Claims {
    pub(super) fn accepted(&mut self, device: &str, measured: Measured) {
        self.accepted.entry(device.to_owned()).or_default().push(measured);
    }

    pub(super) fn collected(&mut self, tube: &str) {
        self.collected.insert(tube.to_owned());
    }

    pub(super) fn is_collected(&self, tube: &str) -> bool {
        self.collected.contains(tube)
    }

    pub(super) fn moved(&mut self, command: CommandId, quantity: Decimal) {
        self.moved.push((command, quantity));
    }

    pub(super) fn published(&mut self, device: &str, payload: String) {
        self.published.push((device.to_owned(), payload));
    }

    pub(super) fn told_stay(&mut self, answered: Answered) {
        self.stays.push(answered);
    }

    pub(super) fn count(&self) -> usize {
        self.accepted.values().map(Vec::len).sum::<usize>() + self.collected.len() + self.moved.len() + self.published.len() + self.stays.len()
    }
}

/// A fingerprint of a history: two runs of a seed have the same.
pub(super) fn fingerprint(log: &[Arc<StoredBatch>]) -> String {
    let mut hash = Sha256::new();
    for batch in log {
        hash.update(batch.meta.command.bytes());
        hash.update(batch.meta.recorded.micros().to_le_bytes());
        for event in &batch.events {
            hash.update(event.sequence.to_le_bytes());
            hash.update(event.event.stream.to_string());
            hash.update(event.event.payload.get());
        }
    }
    hash.finalize().iter().take(8).map(|byte| format!("{byte:02x}")).collect()
}

/// How many billable acts the log holds, and how many charges.
pub(super) fn billing(log: &[Arc<StoredBatch>]) -> (usize, usize) {
    let events = || log.iter().flat_map(|batch| &batch.events);
    let billable = events().filter(|event| matches!(account::billable(event.event.stream.kind(), &event.event.kind, event.event.payload.get()), Ok(Some(_)))).count();
    (billable, events().filter(|event| event.event.kind == "Charged").count())
}

/// Everything that is not as it must be; empty when all is.
pub(super) fn faults(claims: &Claims, log: &[Arc<StoredBatch>]) -> Vec<String> {
    let mut faults = Vec::new();
    sequences(log, &mut faults);
    results(claims, log, &mut faults);
    stock(claims, log, &mut faults);
    charges(log, &mut faults);
    faults.extend(stays::faults(&claims.stays, log));
    faults
}

fn sequences(log: &[Arc<StoredBatch>], faults: &mut Vec<String>) {
    let numbers: Vec<u64> = log.iter().flat_map(|batch| &batch.events).map(|event| event.sequence).collect();
    if numbers.iter().zip(1..).any(|(found, due)| *found != due) {
        faults.push("the log's sequence has gaps".to_owned());
    }
}

/// The device and the bytes of a message.
fn raw_of(event: &StoredEvent) -> Option<(String, String)> {
    match serde_json::from_str(event.event.payload.get()) {
        Ok(device::Event::MessageReceived { raw, .. }) if event.event.stream.kind() == StreamKind::Device => {
            Some((event.event.stream.key().to_owned(), String::from_utf8_lossy(&raw.0).into_owned()))
        }
        _ => None,
    }
}

/// Each result that was accepted is filed once, on its own specimen; and a device's results in its order.
fn results(claims: &Claims, log: &[Arc<StoredBatch>], faults: &mut Vec<String>) {
    let mut filed: BTreeMap<String, Vec<(String, u64)>> = BTreeMap::new();
    let mut collected = BTreeMap::new();
    let mut received: BTreeMap<String, Vec<String>> = BTreeMap::new();
    // What waits for a person: the messages that stand in one batch with a hold.
    let mut held: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for batch in log {
        let raws = || batch.events.iter().filter_map(raw_of);
        if batch.events.iter().any(|event| event.event.kind == "Held") {
            raws().for_each(|(device, raw)| held.entry(device).or_default().push(raw));
        }
        raws().for_each(|(device, raw)| received.entry(device).or_default().push(raw));
    }
    for event in log.iter().flat_map(|batch| &batch.events) {
        let (kind, key) = (event.event.stream.kind(), event.event.stream.key().to_owned());
        match (kind, event.event.kind.as_ref()) {
            (StreamKind::Specimen, "Collected") => *collected.entry(key).or_insert(0) += 1,
            (StreamKind::Specimen, "ResultFiled" | "ResultHeld") => {
                if let Ok(specimen::Event::ResultFiled { result, .. } | specimen::Event::ResultHeld { result, .. }) = serde_json::from_str(event.event.payload.get()) {
                    let value = match &result.value {
                        specimen::ResultValue::Number(number) => number.to_string(),
                        other => format!("{other:?}"),
                    };
                    filed.entry(value).or_default().push((key, event.sequence));
                }
            }
            _ => {}
        }
    }
    for (name, measured) in &claims.accepted {
        let of_it = received.get(name).map(Vec::as_slice).unwrap_or_default();
        let distinct: BTreeSet<&String> = of_it.iter().collect();
        if distinct.len() < of_it.len() {
            faults.push(format!("{name}: a message is kept twice"));
        }
        let waits = |value: &str| held.get(name).is_some_and(|raws| raws.iter().any(|raw| raw.contains(value)));
        let mut last = 0;
        for measured in measured {
            if of_it.iter().any(|raw| raw.matches(measured.value.as_str()).count() > 1) {
                faults.push(format!("{name}: the message with result {} holds it twice", measured.value));
            }
            if !of_it.iter().any(|raw| raw.contains(&measured.value)) {
                faults.push(format!("{name}: the message with result {} is not kept", measured.value));
            }
            let places = filed.remove(&measured.value).unwrap_or_default();
            match places.as_slice() {
                [..] if measured.is_stray && !places.is_empty() => faults.push(format!("{name}: result {} must wait for a person and was filed", measured.value)),
                // Of an unknown tube, or what failed twice inside: a person is told.
                [] if waits(&measured.value) => {}
                [(accession, sequence)] => {
                    if *accession != measured.accession {
                        faults.push(format!("result {} of specimen {} was filed on {accession}", measured.value, measured.accession));
                    }
                    if *sequence < last {
                        faults.push(format!("{name}: result {} overtook an earlier one", measured.value));
                    }
                    last = *sequence;
                }
                [] => faults.push(format!("{name}: result {} was accepted and is lost", measured.value)),
                several => faults.push(format!("{name}: result {} is filed {} times", measured.value, several.len())),
            }
        }
    }
    for (name, payload) in &claims.published {
        let kept = received.get(name).map_or(0, |raws| raws.iter().filter(|raw| *raw == payload).count());
        if kept != 1 {
            faults.push(format!("{name}: the broker took {payload}, and it is kept {kept} times"));
        }
    }
    for tube in &claims.collected {
        if collected.get(tube).copied() != Some(1) {
            faults.push(format!("tube {tube} was collected {} times", collected.get(tube).copied().unwrap_or(0)));
        }
    }
}

/// Stock is what was loaded less what was taken, command by command, and never below zero.
fn stock(claims: &Claims, log: &[Arc<StoredBatch>], faults: &mut Vec<String>) {
    let mut by_command: BTreeMap<CommandId, Decimal> = BTreeMap::new();
    let mut balance = Decimal::ZERO;
    for batch in log {
        for event in batch.events.iter().filter(|event| event.event.stream.kind() == StreamKind::Cabinet) {
            let moved = match serde_json::from_str(event.event.payload.get()) {
                Ok(cabinet::Event::Loaded { lot, .. }) => lot.quantity,
                Ok(cabinet::Event::Vended { lots, .. }) => -lots.iter().map(|lot| lot.quantity).sum::<Decimal>(),
                Ok(cabinet::Event::Returned { lots, .. } | cabinet::Event::VendCancelled { lots, .. }) => lots.iter().map(|lot| lot.quantity).sum::<Decimal>(),
                Ok(_) => continue,
                Err(error) => {
                    faults.push(format!("event {} cannot be read: {error}", event.sequence));
                    continue;
                }
            };
            balance += moved;
            if balance < Decimal::ZERO {
                faults.push(format!("the balance is {balance} after event {}", event.sequence));
            }
            if by_command.insert(batch.meta.command, moved).is_some() {
                faults.push(format!("command {} moved stock twice", batch.meta.command));
            }
        }
    }
    for (command, quantity) in &claims.moved {
        if by_command.get(command) != Some(quantity) {
            faults.push(format!("command {command} was answered with done ({quantity}), the log has {:?}", by_command.get(command)));
        }
    }
}

/// Each billable act is charged once.
fn charges(log: &[Arc<StoredBatch>], faults: &mut Vec<String>) {
    let mut causes = BTreeSet::new();
    for event in log.iter().flat_map(|batch| &batch.events).filter(|event| event.event.kind == "Charged") {
        if let Ok(account::Event::Charged { charge }) = serde_json::from_str(event.event.payload.get())
            && !causes.insert(charge.cause)
        {
            faults.push(format!("event {} was charged twice", charge.cause));
        }
    }
    for event in log.iter().flat_map(|batch| &batch.events) {
        let is_billable = matches!(account::billable(event.event.stream.kind(), &event.event.kind, event.event.payload.get()), Ok(Some(_)));
        if is_billable != causes.remove(&event.sequence) {
            faults.push(format!("event {} ({}): billable {is_billable}, and the charges do not agree", event.sequence, event.event.kind));
        }
    }
}
