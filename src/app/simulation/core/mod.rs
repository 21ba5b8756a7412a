//! The pure core alone: real sessions, decoding, routing, rules and charging in one thread without actors, with simulated
//! lines, disk, clocks, devices and people. A hundred thousand histories in half a minute.
//!
//! Flow: one heap of what is due, by time and a tie from the seed → step → the oracle looks → next. Faults end at the sixtieth
//! second; a hundred and twenty seconds later all must be done.

mod analyzer;
mod house;
mod oracle;
mod store;

use std::cmp::Reverse;
use std::collections::{BinaryHeap, VecDeque};

use rust_decimal::Decimal;

use self::analyzer::{Act, Analyzer, Measured};
use self::house::{Ask, House, Out, Plan, Told, hash};
use self::oracle::{Claims, Oracle};
use self::store::{Store, WAITING};
use super::{BEGIN, Names, named};
use crate::app::{AppError, profiles};
use crate::domain::cabinet;
use crate::domain::specimen::{Command as SpecimenCommand, Priority};
use crate::kernel::{Date, DeviceId, Tick, Timestamp};
use crate::profile::Profile;
use crate::sim::Random;

const FAULTS_END: u64 = 60_000;
const DRAIN: u64 = 120_000;
const LINES: usize = 2;
const CLIENTS: usize = 3;
/// Who ask at once in a burst: more than may wait.
const BURST: u64 = 100;
/// Steps of one history at most: more is a loop without rest.
const STEPS: u32 = 200_000;

/// Which faults a seed brings, per thousand of the times that they could happen.
#[derive(Debug, Clone, Copy, Default)]
struct Faults {
    flip: u32,
    loss: u32,
    deaf: u32,
    sync_error: u32,
    slow: u64,
    lost_answer: u32,
}

/// What is due.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
enum Due {
    ToHouse(usize, Vec<u8>, u32),
    ToDevice(usize, Vec<u8>, u32),
    Device(usize),
    Line(usize),
    SyncEnds(u32),
    Ask(usize, u64),
    Answer(usize, u64, bool),
    AskAgain(usize, u64),
    Crash,
    Start,
    Unplug(usize),
    /// The device is gone and comes back, and nobody tells the process: a serial line has no end.
    HalfOpen(usize),
    Full(bool),
    /// Many who ask at once, as after a network was away.
    Burst,
    Jump(i64),
    Quiet,
}

struct Client {
    work: VecDeque<(u64, Ask)>,
}

/// What does not change between seeds.
pub struct Ground {
    names: Names,
    profile: Profile,
    devices: Vec<DeviceId>,
    accessions: Vec<String>,
}

impl Ground {
    /// Loads the profile and names.
    pub fn new() -> Result<Self, AppError> {
        let devices = (0..LINES).map(|line| named(&format!("xn-{line}"))).collect::<Result<_, _>>()?;
        let accessions = (0..8).map(|tube| format!("2612{tube:02}00017")).collect();
        Ok(Self { names: Names::new()?, profile: profiles::Source::BuiltIn.load("sysmex/xn-550")?, devices, accessions })
    }
}

struct World<'a> {
    plan: &'a Plan<'a>,
    random: Random,
    now: u64,
    /// The wall's clock less the true one, in µs.
    skew: i64,
    faults: Faults,
    heap: BinaryHeap<Reverse<(u64, u64, Due)>>,
    store: Store,
    house: Option<House<'a>>,
    /// Counts processes and plugs, so that what is under way to an old one is lost.
    process: u32,
    plugs: [u32; LINES],
    devices: Vec<Analyzer>,
    clients: Vec<Client>,
    claims: Claims,
    oracle: Oracle,
    numbers: [u64; LINES],
    crashes: u64,
    is_quiet: bool,
}

/// How a history of the core ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CoreHistory {
    /// A hash of its log.
    pub fingerprint: u64,
    /// Records in its log.
    pub records: usize,
    /// How often the process died.
    pub crashes: u64,
    /// Promises made to devices and people.
    pub promises: usize,
    /// What is not as it must be.
    pub faults: Vec<String>,
}

impl<'a> World<'a> {
    fn later(&mut self, wait: u64, due: Due) {
        let tie = self.random.next_u64();
        self.heap.push(Reverse((self.now + wait, tie, due)));
    }

    fn tick(&self) -> Tick {
        Tick::from_ms(self.now)
    }

    fn wall(&self) -> Timestamp {
        Timestamp::from_micros(BEGIN + self.now as i64 * 1_000 + self.skew)
    }

    /// Bytes on a line: late, in pieces, some lost, or one bit of them wrong. Two wrong bits of one frame may pass its checksum;
    /// that is the protocol's own limit, measured by `benches/noise.rs` and held by the gate.
    fn carry(&mut self, line: usize, mut bytes: Vec<u8>, is_to_house: bool) {
        let plug = self.plugs[line];
        if self.random.chance(self.faults.flip) {
            let bit = self.random.below(bytes.len() as u64 * 8);
            if let Some(byte) = bytes.get_mut(usize::try_from(bit / 8).unwrap_or(0)) {
                *byte ^= 1 << (bit % 8);
            }
        }
        let mut wait = self.random.between(1, 10);
        let mut rest = bytes.as_slice();
        while !rest.is_empty() {
            let length = usize::try_from(self.random.between(1, 80)).unwrap_or(1).min(rest.len());
            let (piece, behind) = rest.split_at(length);
            rest = behind;
            let piece = piece.to_vec();
            // Bytes of one line never overtake each other.
            wait += self.random.between(1, 5);
            // A line that drops bytes drops what follows of that frame too; a hole in the middle passes the checksum once in 256.
            if self.random.chance(self.faults.loss) {
                return;
            }
            self.later(wait, if is_to_house { Due::ToHouse(line, piece, plug) } else { Due::ToDevice(line, piece, plug) });
        }
    }

    fn act(&mut self, line: usize, act: Act) {
        if !act.send.is_empty() {
            self.carry(line, act.send, true);
        }
        if let Some(measured) = act.taken {
            self.claims.taken.push((line, measured));
            self.oracle.promised(&self.claims, self.wall());
        }
        let wait = self.devices[line].deadline.saturating_sub(self.now).max(1);
        self.later(wait, Due::Device(line));
    }

    fn outs(&mut self, outs: Vec<Out>) {
        for out in outs {
            match out {
                Out::Bytes(line, bytes) => self.carry(line, bytes, false),
                Out::Answer(client, id, told) => {
                    self.oracle.answered(id, told);
                    // Nobody behind a burst waits for the answer.
                    if client < self.clients.len() && !self.random.chance(self.faults.lost_answer) {
                        let wait = self.random.between(1, 50);
                        self.later(wait, Due::Answer(client, id, told == Told::Done));
                    }
                }
            }
        }
    }

    /// Does something with the process, if there is one, and what follows from it.
    fn with_house(&mut self, act: impl FnOnce(&mut House<'a>, Tick, Timestamp, &mut Store) -> Vec<Out>) {
        let (tick, wall) = (self.tick(), self.wall());
        let Some(mut house) = self.house.take() else { return };
        let outs = act(&mut house, tick, wall, &mut self.store);
        self.house = Some(house);
        self.oracle.look(self.store.durable(), &self.claims);
        self.outs(outs);
        if self.store.begin_sync() {
            let wait = self.random.between(1, 3 + self.faults.slow);
            let process = self.process;
            self.later(wait, Due::SyncEnds(process));
        }
    }

    /// More than there is room for: who is not taken is not answered, and would ask again.
    fn burst(&mut self) {
        for number in 0..BURST {
            let id = hash(&[&number.to_be_bytes()[..], b"burst"].concat());
            let order = SpecimenCommand::Order { patient: self.plan.names.patients[0].clone(), tests: self.plan.names.tests.clone(), priority: Priority::Routine };
            let ask = Ask::Specimen(format!("burst-{number}"), order);
            self.with_house(|house, _, wall, store| house.ask(CLIENTS, id, &ask, wall, store).into_iter().collect());
        }
    }

    fn crash(&mut self) {
        if self.house.take().is_none() {
            return;
        }
        self.crashes += 1;
        self.process += 1;
        self.store.crash(&mut self.random);
        self.oracle.look(self.store.durable(), &self.claims);
        let wait = self.random.between(100, 3_000);
        self.later(wait, Due::Start);
    }

    fn step(&mut self, due: Due) {
        match due {
            Due::ToHouse(line, bytes, plug) if plug == self.plugs[line] => self.with_house(|house, tick, wall, store| house.receive(line, &bytes, tick, wall, store)),
            Due::ToDevice(line, bytes, plug) if plug == self.plugs[line] => {
                for byte in bytes {
                    if !self.random.chance(self.faults.deaf) {
                        let act = self.devices[line].hear(byte, self.now);
                        self.act(line, act);
                    }
                }
            }
            Due::ToHouse(..) | Due::ToDevice(..) => {}
            Due::Device(line) => {
                if self.devices[line].deadline <= self.now {
                    let act = self.devices[line].wake(self.now);
                    self.act(line, act);
                }
            }
            Due::Line(line) => {
                self.with_house(|house, tick, wall, store| house.wake(line, tick, wall, store));
                self.later(1_000, Due::Line(line));
            }
            Due::SyncEnds(process) if process == self.process => {
                if self.random.chance(self.faults.sync_error) {
                    return self.crash();
                }
                self.store.end_sync();
                self.oracle.look(self.store.durable(), &self.claims);
                self.with_house(|house, tick, wall, store| {
                    let outs = house.synced(tick, wall, store);
                    house.bill(wall, store);
                    outs
                });
            }
            Due::SyncEnds(_) => {}
            Due::Ask(client, id) => {
                let ask = self.clients[client].work.front().filter(|(next, _)| *next == id).map(|(_, ask)| ask.clone());
                if let Some(ask) = ask {
                    self.with_house(|house, _, wall, store| house.ask(client, id, &ask, wall, store).into_iter().collect());
                }
            }
            Due::AskAgain(client, id) => self.send(client, id),
            Due::Answer(client, id, is_done) => self.answer(client, id, is_done),
            Due::Crash => self.crash(),
            Due::Start => {
                self.house = Some(House::start(self.plan, self.store.durable()));
                // What was durable before may still have to be charged.
                self.with_house(|house, _, wall, store| {
                    house.bill(wall, store);
                    Vec::new()
                });
            }
            Due::Unplug(line) => {
                self.plugs[line] += 1;
                self.devices[line].unplugged(self.now);
                self.with_house(|house, tick, wall, store| {
                    house.unplugged(line, tick, wall, store);
                    Vec::new()
                });
                self.later(2_000, Due::Device(line));
            }
            Due::HalfOpen(line) => {
                self.plugs[line] += 1;
                self.devices[line].unplugged(self.now);
                self.later(2_000, Due::Device(line));
            }
            Due::Full(is_full) => {
                self.store.set_full(is_full);
                if !is_full {
                    self.with_house(|house, _, wall, store| {
                        house.bill(wall, store);
                        Vec::new()
                    });
                }
            }
            Due::Burst => self.burst(),
            Due::Jump(micros) => self.skew += micros,
            Due::Quiet => {
                self.is_quiet = true;
                self.faults = Faults::default();
                self.store.set_full(false);
            }
        }
    }

    /// A person asks, and asks again until there is an answer.
    fn send(&mut self, client: usize, id: u64) {
        if self.clients[client].work.front().is_none_or(|(next, _)| *next != id) {
            return;
        }
        let wait = self.random.between(1, 200);
        if !self.random.chance(self.faults.lost_answer) {
            self.later(wait, Due::Ask(client, id));
            // A network may bring it twice.
            if self.random.chance(self.faults.lost_answer) {
                self.later(wait + 70, Due::Ask(client, id));
            }
        }
        let again = self.random.between(1_000, 3_000);
        self.later(again, Due::AskAgain(client, id));
    }

    fn answer(&mut self, client: usize, id: u64, is_done: bool) {
        if self.clients[client].work.front().is_none_or(|(next, _)| *next != id) {
            return;
        }
        let Some((_, ask)) = self.clients[client].work.pop_front() else { return };
        self.claims.told.insert(id, if is_done { Told::Done } else { Told::Refused });
        if let (Ask::Specimen(accession, SpecimenCommand::Collect), true) = (&ask, is_done) {
            self.measure(accession.clone());
        }
        if let Some((next, _)) = self.clients[client].work.front() {
            let (next, wait) = (*next, self.random.between(10, 2_000));
            self.later(wait, Due::AskAgain(client, next));
        }
    }

    /// A collected tube is measured.
    fn measure(&mut self, accession: String) {
        let line = usize::try_from(self.random.below(LINES as u64)).unwrap_or(0);
        self.numbers[line] += 1;
        let value = format!("{}.{}", self.random.between(5, 19), self.random.between(1, 9));
        self.claims.measured.insert(accession.clone(), (line, self.numbers[line], value.clone()));
        self.devices[line].work.push_back(Measured { number: self.numbers[line], accession, value });
    }

    fn is_done(&self) -> bool {
        // What became durable before a crash is charged after the next start.
        self.is_quiet && self.house.is_some() && self.clients.iter().all(|client| client.work.is_empty()) && self.devices.iter().all(|device| device.work.is_empty())
    }

    fn check_bounds(&mut self) -> Option<String> {
        let queued = self.house.as_ref().map_or(0, House::queued);
        let waiting = self.store.all().len() - self.store.durable().len();
        (queued > WAITING + LINES + CLIENTS * 4 || waiting > WAITING || self.heap.len() > 4_096)
            .then(|| format!("queues grow without bound: {queued} wait, {waiting} unsynced, {} due", self.heap.len()))
    }
}

fn work(ground: &Ground, random: &mut Random) -> Result<Vec<Client>, AppError> {
    let names = &ground.names;
    let pocket = || names.pocket.clone();
    let assign = cabinet::Command::AssignPocket { pocket: pocket(), item: names.item.clone(), gtins: Vec::new(), is_controlled: false };
    let mut asks: Vec<VecDeque<Ask>> = vec![VecDeque::new(), VecDeque::from([Ask::Cabinet(assign)]), VecDeque::new()];
    for (accession, patient) in ground.accessions.iter().zip(&names.patients) {
        let order = SpecimenCommand::Order { patient: patient.clone(), tests: names.tests.iter().take(1).cloned().collect(), priority: Priority::Routine };
        asks[0].extend([Ask::Specimen(accession.clone(), order), Ask::Specimen(accession.clone(), SpecimenCommand::Collect)]);
    }
    for _ in 0..5 {
        let expires = Date::new(2029, 1, 1).map_err(|error| AppError::Setting(error.to_string()))?;
        let load = cabinet::Command::Load { pocket: Some(pocket()), gtin: None, lot: "L".to_owned(), expires, quantity: Decimal::from(random.between(1, 4)), delivery: None };
        asks[1].push_back(Ask::Cabinet(load));
        for client in [1, 2] {
            let patient = names.patients[usize::try_from(random.below(names.patients.len() as u64)).unwrap_or(0)].clone();
            asks[client].push_back(Ask::Cabinet(cabinet::Command::Vend { pocket: pocket(), quantity: Decimal::from(random.between(1, 5)), patient, lot: None }));
        }
    }
    let numbered =
        |(client, asks): (usize, VecDeque<Ask>)| Client { work: asks.into_iter().enumerate().map(|(number, ask)| (hash(&[client as u8, number as u8, 7]), ask)).collect() };
    Ok(asks.into_iter().enumerate().map(numbered).collect())
}

/// Lives through the history of a seed.
pub fn run(ground: &Ground, seed: u64) -> Result<CoreHistory, AppError> {
    let mut random = Random::new(seed).fork("core");
    let mut some = |most: u64| if random.chance(500) { u32::try_from(random.between(1, most)).unwrap_or(1) } else { 0 };
    let faults = Faults { flip: some(60), loss: some(40), deaf: some(100), sync_error: some(20), slow: u64::from(some(400)), lost_answer: some(300) };
    let plan = Plan { profile: &ground.profile, names: &ground.names, prices: &ground.names.prices, devices: ground.devices.clone() };
    let clients = work(ground, &mut random)?;
    let mut world = World {
        plan: &plan,
        random,
        now: 0,
        skew: 0,
        faults,
        heap: BinaryHeap::new(),
        store: Store::default(),
        house: Some(House::start(&plan, &[])),
        process: 0,
        plugs: [0; LINES],
        devices: (0..LINES).map(|_| Analyzer::new()).collect(),
        clients,
        claims: Claims::default(),
        oracle: Oracle::default(),
        numbers: [0; LINES],
        crashes: 0,
        is_quiet: false,
    };
    for line in 0..LINES {
        world.later(1, Due::Device(line));
        world.later(1, Due::Line(line));
    }
    for client in 0..CLIENTS {
        if let Some((id, _)) = world.clients[client].work.front() {
            let id = *id;
            world.later(1, Due::AskAgain(client, id));
        }
    }
    world.later(FAULTS_END, Due::Quiet);
    for _ in 0..world.random.below(4) {
        let wait = world.random.between(500, FAULTS_END - 2_000);
        world.later(wait, Due::Crash);
    }
    for _ in 0..world.random.below(3) {
        let (line, wait) = (usize::try_from(world.random.below(LINES as u64)).unwrap_or(0), world.random.between(500, FAULTS_END));
        world.later(wait, Due::Unplug(line));
    }
    if world.random.chance(300) {
        let (from, length) = (world.random.between(500, 50_000), world.random.between(500, 9_000));
        world.later(from, Due::Full(true));
        world.later(from + length, Due::Full(false));
    }
    if world.random.chance(300) {
        let hours = world.random.between(0, 48) as i64 - 24;
        let wait = world.random.between(500, FAULTS_END);
        world.later(wait, Due::Jump(hours * 3_600_000_000));
    }
    let mut half_open = Random::new(seed).fork("half-open");
    for _ in 0..half_open.below(4) {
        let line = usize::try_from(half_open.below(LINES as u64)).unwrap_or(0);
        world.heap.push(Reverse((half_open.between(500, FAULTS_END), half_open.next_u64(), Due::HalfOpen(line))));
    }
    let mut burst = Random::new(seed).fork("burst");
    if burst.chance(300) {
        world.heap.push(Reverse((burst.between(500, FAULTS_END), burst.next_u64(), Due::Burst)));
    }
    live(&mut world)
}

fn live(world: &mut World<'_>) -> Result<CoreHistory, AppError> {
    let mut bounds = None;
    let mut steps = 0;
    // A little longer than the work itself, so that charges are written.
    let mut done_at = None;
    while let Some(Reverse((at, _, due))) = world.heap.pop() {
        world.now = at;
        steps += 1;
        if at > FAULTS_END + DRAIN || steps > STEPS || done_at.is_some_and(|done| at > done + 2_000) {
            break;
        }
        world.step(due);
        bounds = bounds.or(world.check_bounds());
        done_at = done_at.or(world.is_done().then_some(at));
    }
    let oracle = std::mem::take(&mut world.oracle);
    let mut faults = oracle.end(&world.claims, done_at.is_some());
    faults.extend(bounds);
    let text = format!("{:?}", world.store.durable());
    let promises = world.claims.taken.len() + world.claims.told.len();
    Ok(CoreHistory { fingerprint: hash(text.as_bytes()), records: world.store.durable().len(), crashes: world.crashes, promises, faults })
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::kernel::planted::{self, Bug};

    /// Seeds of one run; more by WARDD_CORE_SEEDS.
    fn seeds() -> u64 {
        std::env::var("WARDD_CORE_SEEDS").ok().and_then(|text| text.parse().ok()).unwrap_or(100_000)
    }

    #[test]
    fn the_core_keeps_its_promises_over_a_hundred_thousand_seeds() {
        let ground = Ground::new().unwrap();
        let run_all = |first: u64| {
            let (mut crashes, mut promises) = (0, 0);
            for seed in (first..seeds()).step_by(2) {
                let history = run(&ground, seed).unwrap();
                assert!(history.faults.is_empty(), "wardd sim --core --seed {seed}: {:#?}", history.faults);
                crashes += history.crashes;
                promises += history.promises;
            }
            (crashes, promises)
        };
        let (even, odd) = std::thread::scope(|scope| {
            let odd = scope.spawn(|| run_all(1));
            (run_all(0), odd.join().unwrap())
        });
        let (crashes, promises) = (even.0 + odd.0, even.1 + odd.1);
        assert!(crashes > seeds() && promises as u64 > seeds() * 20, "{crashes} crashes, {promises} promises: the seeds try too little");
    }

    /// The first of two thousand seeds that shows a planted bug.
    pub(in crate::app::simulation) fn finds(bug: Bug) -> Option<u64> {
        let ground = Ground::new().unwrap();
        let shows = |seed: &u64| {
            let history = run(&ground, *seed).unwrap();
            !history.faults.is_empty() || run(&ground, *seed).unwrap() != history
        };
        planted::with(bug, || (0..2_000).find(shows))
    }

    #[test]
    fn bugs_of_the_core_are_found_within_two_thousand_seeds() {
        for bug in [
            Bug::AckBeforeSync,
            Bug::CommandsForgotten,
            Bug::BacklogNotCharged,
            Bug::ChecksumIgnored,
            Bug::FrameAppendedTwice,
            Bug::NakIgnored,
            Bug::RefusalForgets,
            Bug::HashOrder,
            Bug::UnorderedApply,
            Bug::UnboundedQueue,
        ] {
            let found = finds(bug);
            println!("{bug:?}: seed {found:?}");
            assert!(found.is_some(), "{bug:?} is not found: the simulation of the core is blind to it");
        }
    }

    #[test]
    fn a_seed_is_one_history() {
        let ground = Ground::new().unwrap();
        for seed in 0..50 {
            assert_eq!(run(&ground, seed).unwrap(), run(&ground, seed).unwrap(), "seed {seed}");
        }
    }
}
