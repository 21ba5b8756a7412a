//! The pure core with the least shell that can be around it: sessions, decoding, routing, decisions, charging. All that it
//! remembers is lost with it; what it starts with is the durable log.

use std::collections::BTreeMap;

use super::super::Names;
use super::store::{Fact, NoRoom, Record, Store};
use crate::codec::lis2::Message;
use crate::domain::account::{self, Account, Charge, PriceList};
use crate::domain::cabinet::{self, Cabinet};
use crate::domain::specimen::{self, Specimen};
use crate::domain::{Aggregate, Context, Folded};
use crate::framing::astm::{Assembled, Assembler, Output, Session, Settings, Verdict};
use crate::kernel::planted::{self, Bug};
use crate::kernel::{AccountId, CommandId, DeviceId, Principal, StreamKind, Tick, Timestamp};
use crate::profile::{Codec, Profile};
use crate::routing::{self, Routed};

/// What a person or program asks.
#[derive(Debug, Clone)]
pub(super) enum Ask {
    Specimen(String, specimen::Command),
    Cabinet(cabinet::Command),
}

/// What they are told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Told {
    Done,
    Refused,
}

/// Who waits for a record to be durable.
#[derive(Debug)]
enum Waiting {
    Line(usize),
    Client(usize, u64),
}

/// What leaves the house.
#[derive(Debug)]
pub(super) enum Out {
    Bytes(usize, Vec<u8>),
    Answer(usize, u64, Told),
}

struct Line {
    session: Session,
    assembler: Assembler,
    device: DeviceId,
}

/// What the house is made of; it outlives a process.
pub(super) struct Plan<'a> {
    pub(super) profile: &'a Profile,
    pub(super) names: &'a Names,
    pub(super) prices: &'a PriceList,
    pub(super) devices: Vec<DeviceId>,
}

/// A process.
pub(super) struct House<'a> {
    plan: &'a Plan<'a>,
    lines: Vec<Line>,
    specimens: BTreeMap<String, Specimen>,
    cabinet: Cabinet,
    accounts: BTreeMap<AccountId, Account>,
    /// Commands that were done, and where they stand in the log.
    known: BTreeMap<u64, usize>,
    waiting: Vec<(usize, Waiting)>,
    /// Records that were looked at for what is charged.
    billed: usize,
}

/// FNV-1a.
pub(super) fn hash(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0xCBF2_9CE4_8422_2325, |hash, byte| (hash ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01B3))
}

impl<'a> House<'a> {
    /// A start: everything is folded from what is durable.
    pub(super) fn start(plan: &'a Plan<'a>, durable: &[Record]) -> Self {
        let line = |device: &DeviceId| Line { session: Session::new(Settings::default()), assembler: Assembler::new(64_000), device: device.clone() };
        let mut house = Self {
            plan,
            lines: plan.devices.iter().map(line).collect(),
            specimens: BTreeMap::new(),
            cabinet: Cabinet::default(),
            accounts: BTreeMap::new(),
            known: BTreeMap::new(),
            waiting: Vec::new(),
            billed: 0,
        };
        for (place, record) in durable.iter().enumerate() {
            if !planted::is(Bug::CommandsForgotten) {
                house.known.insert(record.command, place);
            }
        }
        let in_order: Vec<&Record> = if planted::is(Bug::UnorderedApply) { durable.iter().rev().collect() } else { durable.iter().collect() };
        in_order.into_iter().flat_map(|record| &record.facts).for_each(|fact| house.apply(fact));
        if planted::is(Bug::BacklogNotCharged) {
            house.billed = durable.len();
        }
        house
    }

    fn apply(&mut self, fact: &Fact) {
        match fact {
            Fact::Received { .. } | Fact::Held { .. } => {}
            Fact::Specimen(accession, event) => self.specimens.entry(accession.clone()).or_default().apply(event),
            Fact::Cabinet(event) => self.cabinet.apply(event),
            Fact::Account(account, event) => self.accounts.entry(account.clone()).or_default().apply(event),
        }
    }

    /// Those who wait for the log.
    pub(super) fn queued(&self) -> usize {
        self.waiting.len()
    }

    /// Appends, and lets the state have it: decisions that follow are made on it, and nobody is told before it is durable.
    fn commit(&mut self, store: &mut Store, command: u64, facts: Vec<Fact>) -> Result<usize, NoRoom> {
        let place = store.append(command, facts.clone())?;
        facts.iter().for_each(|fact| self.apply(fact));
        self.known.insert(command, place);
        Ok(place)
    }

    fn context(&self, who: &str, now: Timestamp) -> Context {
        Context { command: CommandId::from_bytes([0; 16]), now, principal: Principal::System(who.to_owned()), witness: Some("second".to_owned()) }
    }

    /// Bytes from a line.
    pub(super) fn receive(&mut self, line: usize, bytes: &[u8], tick: Tick, now: Timestamp, store: &mut Store) -> Vec<Out> {
        self.lines[line].session.receive(bytes, tick);
        self.work(line, tick, now, store)
    }

    /// A session's time has come.
    pub(super) fn wake(&mut self, line: usize, tick: Tick, now: Timestamp, store: &mut Store) -> Vec<Out> {
        if self.lines[line].session.deadline().is_some_and(|deadline| deadline <= tick) {
            self.lines[line].session.timeout(tick);
        }
        self.work(line, tick, now, store)
    }

    /// The line was unplugged.
    pub(super) fn unplugged(&mut self, line: usize, tick: Tick, now: Timestamp, store: &mut Store) {
        self.lines[line].session.disconnected();
        // What it still wants to write has no reader.
        let _ = self.work(line, tick, now, store);
        let device = self.lines[line].device.clone();
        self.lines[line] = Line { session: Session::new(Settings::default()), assembler: Assembler::new(64_000), device };
        self.waiting.retain(|(_, waiting)| !matches!(waiting, Waiting::Line(of) if *of == line));
    }

    fn work(&mut self, line: usize, tick: Tick, now: Timestamp, store: &mut Store) -> Vec<Out> {
        let mut outs = Vec::new();
        while let Some(output) = self.lines[line].session.poll() {
            match output {
                Output::Transmit(bytes) => outs.push(Out::Bytes(line, bytes)),
                Output::Frame { text, is_last } => {
                    let pieces = self.lines[line].assembler.push(&text, is_last);
                    match self.keep(line, &pieces, now, store) {
                        Ok(None) => self.lines[line].session.verdict(Verdict::Accept, tick),
                        Ok(Some(record)) if planted::is(Bug::AckBeforeSync) || store.is_durable(record) => self.lines[line].session.verdict(Verdict::Accept, tick),
                        Ok(Some(record)) => self.waiting.push((record, Waiting::Line(line))),
                        Err(NoRoom) => {
                            if !planted::is(Bug::RefusalForgets) {
                                self.lines[line].assembler.undo(&pieces);
                            }
                            self.lines[line].session.verdict(Verdict::Refuse, tick);
                        }
                    }
                }
                Output::End | Output::Silence => {
                    let rest: Vec<Assembled> = self.lines[line].assembler.finish().into_iter().collect();
                    // A fragment that cannot be kept will be sent again whole.
                    let _ = self.keep(line, &rest, now, store);
                }
                Output::Noticed(_) | Output::Sent(_) | Output::Failed(..) => {}
            }
        }
        outs
    }

    /// Stores what a frame completed; the record that its answer waits for.
    fn keep(&mut self, line: usize, pieces: &[Assembled], now: Timestamp, store: &mut Store) -> Result<Option<usize>, NoRoom> {
        let mut last = None;
        for piece in pieces {
            let (bytes, is_whole) = (piece.bytes(), matches!(piece, Assembled::Message(_)));
            let command = hash(&[&[u8::try_from(line).unwrap_or(0)], bytes.as_ref()].concat());
            last = match self.known.get(&command) {
                Some(place) => Some(*place),
                None => Some(self.message(line, bytes, is_whole, command, now, store)?),
            };
        }
        Ok(last)
    }

    fn message(&mut self, line: usize, bytes: &[u8], is_whole: bool, command: u64, now: Timestamp, store: &mut Store) -> Result<usize, NoRoom> {
        let Codec::Lis2(lis2) = &self.plan.profile.codec else { return Err(NoRoom) };
        let parsed = Message::parse(bytes).ok().filter(|_| is_whole);
        let number = parsed.as_ref().and_then(|message| message.header().text(3, 1).parse().ok()).unwrap_or(0);
        let mut facts = vec![Fact::Received { line, number }];
        let mut held = Fact::Held { line, number };
        match parsed {
            None => facts.push(held),
            Some(message) => {
                for item in routing::lis2::understand(self.plan.profile, lis2, &message).items {
                    let Routed::Results { accession, patient, results } = item else {
                        facts.push(held.clone());
                        continue;
                    };
                    let specimen = self.specimens.get(accession.as_str()).cloned().unwrap_or_default();
                    let file = specimen::Command::FileResults { device: self.lines[line].device.clone(), patient, results, is_by_hand: false };
                    match specimen.decide(&self.context("analyzer", now), &file) {
                        Ok(events) => facts.extend(events.into_iter().map(|event| Fact::Specimen(accession.to_string(), event))),
                        Err(_) if planted::is(Bug::DeadLetterSwallowed) => {}
                        Err(_) => facts.push(std::mem::replace(&mut held, Fact::Held { line, number })),
                    }
                }
            }
        }
        self.commit(store, command, facts)
    }

    /// A command of a person; no answer when it cannot be taken now: they ask again.
    pub(super) fn ask(&mut self, client: usize, id: u64, ask: &Ask, now: Timestamp, store: &mut Store) -> Option<Out> {
        if let Some(place) = self.known.get(&id).copied() {
            return self.told(client, id, place, store);
        }
        let context = self.context("ward", now);
        let facts = match ask {
            Ask::Specimen(accession, command) => {
                let specimen = self.specimens.get(accession).cloned().unwrap_or_default();
                specimen.decide(&context, command).map(|events| events.into_iter().map(|event| Fact::Specimen(accession.clone(), event)).collect::<Vec<_>>()).map_err(drop)
            }
            Ask::Cabinet(command) => self.cabinet.decide(&context, command).map(|events| events.into_iter().map(Fact::Cabinet).collect()).map_err(drop),
        };
        match facts {
            Err(()) => Some(Out::Answer(client, id, Told::Refused)),
            Ok(facts) => {
                let place = self.commit(store, id, facts).ok()?;
                self.told(client, id, place, store)
            }
        }
    }

    fn told(&mut self, client: usize, id: u64, place: usize, store: &Store) -> Option<Out> {
        if store.is_durable(place) || planted::is(Bug::AckBeforeSync) {
            return Some(Out::Answer(client, id, Told::Done));
        }
        self.waiting.push((place, Waiting::Client(client, id)));
        None
    }

    /// A sync has ended: whoever waited for it is told.
    pub(super) fn synced(&mut self, tick: Tick, now: Timestamp, store: &mut Store) -> Vec<Out> {
        let (mut ready, waiting): (Vec<_>, Vec<_>) = std::mem::take(&mut self.waiting).into_iter().partition(|(place, _)| store.is_durable(*place));
        if planted::is(Bug::HashOrder) {
            let order = std::collections::hash_map::RandomState::new();
            ready.sort_by_key(|(place, _)| std::hash::BuildHasher::hash_one(&order, place));
        }
        self.waiting = waiting;
        let mut outs = Vec::new();
        for (_, who) in ready {
            match who {
                Waiting::Client(client, id) => outs.push(Out::Answer(client, id, Told::Done)),
                Waiting::Line(line) => {
                    self.lines[line].session.verdict(Verdict::Accept, tick);
                    outs.extend(self.work(line, tick, now, store));
                }
            }
        }
        outs
    }

    /// Charges what became durable since the last time; what cannot be written now is charged the next time.
    pub(super) fn bill(&mut self, now: Timestamp, store: &mut Store) {
        while self.billed < store.durable().len() {
            let Some(record) = store.durable().get(self.billed).cloned() else { return };
            for (fact, cause) in record.facts.iter().zip(record.first..) {
                let Some(service) = service_of(fact) else { continue };
                let price = self.plan.prices.price(&service.code, now.date());
                let charge = Charge { cause, code: service.code, quantity: service.quantity, price, rendered: now };
                let id = AccountId::of(&service.patient);
                let account = self.accounts.get(&id).cloned().unwrap_or_default();
                let Ok(events) = account.decide(&self.context("billing", now), &account::Command::Post(charge)) else { continue };
                let facts: Vec<Fact> = events.into_iter().map(|event| Fact::Account(id.clone(), event)).collect();
                if !facts.is_empty() && self.commit(store, hash(&[&cause.to_be_bytes()[..], b"billing"].concat()), facts).is_err() {
                    return;
                }
            }
            self.billed += 1;
        }
    }
}

/// What a fact is charged as.
pub(super) fn service_of(fact: &Fact) -> Option<account::Service> {
    let billable = |kind: StreamKind, name: &str, payload: Result<String, serde_json::Error>| account::billable(kind, name, &payload.ok()?).ok().flatten();
    match fact {
        Fact::Specimen(_, event) => billable(StreamKind::Specimen, Specimen::name(event).0, serde_json::to_string(event)),
        Fact::Cabinet(event) => billable(StreamKind::Cabinet, Cabinet::name(event).0, serde_json::to_string(event)),
        Fact::Received { .. } | Fact::Held { .. } | Fact::Account(..) => None,
    }
}
