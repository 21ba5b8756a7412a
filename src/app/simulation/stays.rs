//! The hospital's own system, which admits, transfers and discharges by HL7 ADT, and what must be true of the beds then.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use super::devices::{Floor, Gone, exchange};
use crate::domain::bed;
use crate::domain::device;
use crate::domain::quarantine::{self, Reason};
use crate::journal::StoredBatch;
use crate::kernel::{CommandId, StreamKind};
use crate::sim::Random;

/// Beds of the ward, and patients who come and go.
pub(super) const BEDS: [&str; 4] = ["1:A", "1:B", "2:A", "2:B"];
const PATIENTS: u64 = 6;
const MOVES: usize = 16;

/// What happens to a patient; beds by number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Admit {
        to: usize,
    },
    Transfer {
        from: usize,
        to: usize,
    },
    Discharge {
        from: usize,
    },
    /// Into a bed where somebody else lies: it must be refused.
    Impossible {
        to: usize,
    },
}

/// A message of the hospital's system.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Move {
    control: String,
    patient: u64,
    kind: Kind,
}

/// A message and how it was answered.
#[derive(Debug, Clone)]
pub(super) struct Answered {
    told: Move,
    code: String,
}

/// A day of moves, each possible after the ones before it, but for those that must be refused.
pub(super) fn script(random: &mut Random) -> VecDeque<Move> {
    let mut beds: [Option<u64>; BEDS.len()] = [None; BEDS.len()];
    let mut script = VecDeque::new();
    while script.len() < MOVES {
        let patient = random.below(PATIENTS);
        let to = usize::try_from(random.below(BEDS.len() as u64)).unwrap_or(0);
        let lies_in = beds.iter().position(|in_it| *in_it == Some(patient));
        let kind = match (lies_in, beds[to]) {
            (None, None) => Kind::Admit { to },
            (None, Some(_)) => Kind::Impossible { to },
            (Some(from), None) => Kind::Transfer { from, to },
            (Some(from), Some(_)) => Kind::Discharge { from },
        };
        match kind {
            Kind::Admit { to } => beds[to] = Some(patient),
            Kind::Transfer { from, to } => (beds[from], beds[to]) = (None, Some(patient)),
            Kind::Discharge { from } => beds[from] = None,
            Kind::Impossible { .. } => {}
        }
        script.push_back(Move { control: format!("adt-{}", script.len() + 1), patient, kind });
    }
    script
}

impl Move {
    fn message(&self) -> String {
        let place = |bed: usize| format!("SIM1^{}", BEDS[bed].replace(':', "^"));
        let (trigger, at, before) = match self.kind {
            Kind::Admit { to } | Kind::Impossible { to } => ("A01", place(to), String::new()),
            Kind::Transfer { from, to } => ("A02", place(to), place(from)),
            Kind::Discharge { from } => ("A03", place(from), String::new()),
        };
        format!(
            "\x0bMSH|^~\\&|adt|HIS|WARDD|SIM|20260101120000||ADT^{trigger}^ADT_A01|{}|P|2.5.1\rEVN|{trigger}|20260101120000\rPID|1||STAY-{}^^^H^MR||Doe^Jane\rPV1|1|I|{at}|||{before}\r\x1c\r",
            self.control, self.patient
        )
    }

    /// What it does to beds: bed, and whether the patient comes.
    fn effects(&self) -> Vec<(String, bool)> {
        let bed = |bed: usize| format!("SIM1:{}", BEDS[bed]);
        match self.kind {
            Kind::Admit { to } => vec![(bed(to), true)],
            Kind::Transfer { from, to } => vec![(bed(to), true), (bed(from), false)],
            Kind::Discharge { from } => vec![(bed(from), false)],
            Kind::Impossible { .. } => Vec::new(),
        }
    }
}

/// The hospital's system: each message until it is taken, in one way or the other.
pub(super) async fn hospital_system(floor: Floor, name: String, mut random: Random, mut work: VecDeque<Move>) {
    let mut line = None;
    while let Some(told) = work.pop_front() {
        loop {
            let stream = match &mut line {
                Some(stream) => stream,
                None => line.insert(floor.ways.connect(&name).await),
            };
            match exchange(&floor, &mut random, stream, told.message().as_bytes(), &told.control).await {
                Ok(Some(code)) if ["AA", "AE"].contains(&code.as_str()) && !floor.is_deaf(&mut random) => {
                    floor.claims().told_stay(Answered { told, code });
                    break;
                }
                Ok(Some(_)) => floor.pause(random.between(200, 2_000)).await,
                Ok(None) | Err(Gone) => {
                    floor.lose(&mut random, line.take());
                    floor.pause(random.between(100, 3_000)).await;
                }
            }
        }
        floor.pause(random.between(10, 1_500)).await;
    }
}

/// A message without its frame.
fn bare(message: &str) -> &str {
    message.trim_start_matches('\x0b').trim_end_matches("\x1c\r")
}

/// Which command was which whole message, and why something of it waits for a person.
fn messages(log: &[Arc<StoredBatch>]) -> (BTreeMap<String, CommandId>, BTreeMap<CommandId, Reason>) {
    let (mut commands, mut held) = (BTreeMap::new(), BTreeMap::new());
    for batch in log {
        for event in &batch.events {
            match event.event.stream.kind() {
                StreamKind::Device if event.event.stream.key() == "adt" => {
                    if let Ok(device::Event::MessageReceived { message, raw, .. }) = serde_json::from_str(event.event.payload.get()) {
                        commands.insert(bare(&String::from_utf8_lossy(&raw.0)).to_owned(), message);
                    }
                }
                StreamKind::Quarantine => {
                    if let Ok(quarantine::Event::Held { reason, .. }) = serde_json::from_str(event.event.payload.get()) {
                        held.insert(batch.meta.correlation, reason);
                    }
                }
                _ => {}
            }
        }
    }
    (commands, held)
}

/// No bed ever holds two; each message did what it says, once; what was refused did nothing and waits for a person.
pub(super) fn faults(answered: &[Answered], log: &[Arc<StoredBatch>]) -> Vec<String> {
    let mut faults = Vec::new();
    let mut beds: BTreeMap<String, String> = BTreeMap::new();
    let mut done: BTreeMap<CommandId, Vec<(String, bool)>> = BTreeMap::new();
    for batch in log {
        for event in batch.events.iter().filter(|event| event.event.stream.kind() == StreamKind::Bed) {
            let bed = event.event.stream.key().to_owned();
            let (is_in, is_right) = match serde_json::from_str(event.event.payload.get()) {
                Ok(bed::Event::PatientAdmitted { patient, .. }) => (true, beds.insert(bed.clone(), patient.to_string()).is_none()),
                Ok(bed::Event::PatientLeft { patient, .. }) => (false, beds.remove(&bed).is_some_and(|lies| lies == patient.as_str())),
                // Housekeeping, reservations and the like put nobody anywhere.
                Ok(_) => continue,
                Err(error) => {
                    faults.push(format!("event {} cannot be read: {error}", event.sequence));
                    continue;
                }
            };
            if !is_right {
                faults.push(format!("event {}: bed {bed} holds two, or lets go of somebody who is not in it", event.sequence));
            }
            done.entry(batch.meta.correlation).or_default().push((bed, is_in));
        }
    }
    let (commands, held) = messages(log);
    // After a message that failed inside, those that build on it may be refused rightly.
    let mut is_astray = false;
    for Answered { told, code } in answered {
        let Some(command) = commands.get(bare(&told.message())) else {
            faults.push(format!("{} was answered with {code} and is not kept", told.control));
            continue;
        };
        let (did, waits) = (done.remove(command).unwrap_or_default(), held.get(command));
        let is_refusal = matches!(told.kind, Kind::Impossible { .. });
        match (is_refusal, waits) {
            (false, None) if did != told.effects() => faults.push(format!("{} ({:?}) did {did:?}", told.control, told.kind)),
            (false, Some(Reason::Refused { rule, .. })) if !is_astray => faults.push(format!("{} is possible and was refused by {rule}", told.control)),
            (false, Some(_)) => {
                if !told.effects().starts_with(&did) {
                    faults.push(format!("{} ({:?}) waits and did {did:?}", told.control, told.kind));
                }
                is_astray = true;
            }
            (true, _) if is_astray => {}
            (true, _) if !did.is_empty() => faults.push(format!("{} is impossible and did {did:?}", told.control)),
            (true, None) => faults.push(format!("{} is impossible and nobody is told", told.control)),
            // What failed inside waits too, and then the sender is not wrong.
            (true, Some(Reason::Refused { .. })) if code != "AE" => faults.push(format!("{} is impossible and was answered with {code}", told.control)),
            _ => {}
        }
    }
    if let Some((command, did)) = done.into_iter().find(|(command, _)| !commands.values().any(|known| known == command)) {
        faults.push(format!("{command} did {did:?}, and no message asked for it"));
    }
    faults
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_day_has_moves_of_every_kind() {
        let all: Vec<Move> = (0..20).flat_map(|seed| script(&mut Random::new(seed))).collect();
        let word = |kind: &Kind| format!("{kind:?}").split(' ').next().unwrap().to_owned();
        let words: std::collections::BTreeSet<String> = all.iter().map(|told| word(&told.kind)).collect();
        assert_eq!(words.into_iter().collect::<Vec<_>>(), ["Admit", "Discharge", "Impossible", "Transfer"]);
        assert!(all.iter().filter(|told| matches!(told.kind, Kind::Impossible { .. })).count() > 20);
    }
}
