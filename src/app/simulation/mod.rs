//! A hospital under faults, from a seed: the real gateways, routing, actors and rules on a paused clock, with simulated
//! lines, disk, crashes and planted failures inside actors. Two runs of a seed are the same history, event for event.
//!
//! Flow: seed → `Plan` → world (clerk, scanner, feeds, analyzer, nurse) → faults until the sixtieth second → quiet →
//! everything must drain within 120 simulated seconds → `oracle` holds the log against what everybody was told.

pub mod core;
mod devices;
mod log;
mod oracle;
pub mod real;
mod stays;

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use rust_decimal::Decimal;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, sleep_until};

use self::devices::{Doors, Floor, LineFaults};
use self::log::{LogFaults, SimLog};
use self::oracle::{Claims, Measured};
use super::{AppError, profiles};
use crate::actor::{Charging, Hospital, Layout, Origin, Outcome};
use crate::domain::account::{Price, PriceList};
use crate::domain::cabinet;
use crate::domain::census::Policy;
use crate::domain::specimen::{Command as SpecimenCommand, Priority};
use crate::gateway::{self, Gate, LastScan, Peers, Serving};
use crate::journal::views::{MemoryViews, Views};
use crate::journal::{Log, StoredBatch};
use crate::kernel::planted::{self, Bug};
use crate::kernel::{Accession, CabinetId, Clock, CommandId, Currency, DeviceId, Invalid, ItemId, Loinc, Money, Mrn, PocketId, Principal, Tick, Timestamp};
use crate::profile::Profile;
use crate::routing::Purpose;
use crate::sim::Random;
use crate::telemetry;

/// Faults end here; what is not done this long after is stuck.
const FAULTS_END: Duration = Duration::from_secs(60);
const DRAIN: Duration = Duration::from_secs(120);
const TUBES: usize = 8;
const WITHDRAWALS: usize = 12;
/// 2026-01-01T00:00:00Z.
const BEGIN: i64 = 1_767_225_600_000_000;
const TESTS: [&str; 2] = ["718-7", "6690-2"];
const UNITS: [&str; 2] = ["g/dL", "10*3/uL"];

/// Which faults a seed brings, and how often.
#[derive(Debug, Clone)]
struct Plan {
    log: LogFaults,
    line: LineFaults,
    /// When the process dies, in milliseconds.
    crashes: Vec<u64>,
}

impl Plan {
    /// Each kind of fault is there in half of the seeds, so that they meet in every way.
    fn of(seed: u64) -> Self {
        let mut random = Random::new(seed).fork("plan");
        let mut some = |most: u64| if random.chance(500) { u32::try_from(random.between(1, most)).unwrap_or(1) } else { 0 };
        let log = LogFaults { busy: some(80), panic: some(40), sync_error: some(15), slow_sync: some(60) };
        let line = LineFaults { cut: some(60), flip: some(250), deaf: some(300), half_open: half_open(seed) };
        let count = random.below(4);
        let mut crashes: Vec<u64> = (0..count).map(|_| random.between(500, 58_000)).collect();
        crashes.sort_unstable();
        Self { log, line, crashes }
    }
}

/// How many of the lines that devices give up stay half open.
fn half_open(seed: u64) -> u32 {
    let mut random = Random::new(seed).fork("half-open");
    if random.chance(500) { u32::try_from(random.between(100, 1_000)).unwrap_or(100) } else { 0 }
}

/// How a simulated history ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct History {
    /// Its fingerprint.
    pub fingerprint: String,
    /// Events in its log.
    pub events: u64,
    /// How often the process died.
    pub crashes: u64,
    /// How often something inside failed on purpose.
    pub panics: u64,
    /// Promises that were made to devices and people.
    pub promises: usize,
    /// What is not as it must be.
    pub faults: Vec<String>,
}

/// A wardd on simulated parts, until it dies.
struct Process {
    log: Arc<SimLog>,
    hospital: Arc<Hospital>,
    tasks: JoinSet<()>,
    _stop: watch::Sender<bool>,
}

/// What outlives a process.
struct World {
    plan: Plan,
    random: Random,
    clock: Clock,
    floor: Floor,
    doors: Doors,
    hospital: watch::Sender<Option<Arc<Hospital>>>,
    views: Arc<dyn Views>,
    profiles: BTreeMap<&'static str, Arc<Profile>>,
    names: Names,
    prices: watch::Sender<Arc<PriceList>>,
    is_quiet: bool,
}

fn id(what: &str, number: usize) -> CommandId {
    let mut bytes = [0; 16];
    bytes.iter_mut().zip(what.bytes()).for_each(|(target, byte)| *target = byte);
    bytes[12..].copy_from_slice(&u32::try_from(number).unwrap_or(u32::MAX).to_be_bytes());
    CommandId::from_bytes(bytes)
}

/// What everything is called.
#[derive(Clone)]
struct Names {
    cabinet: CabinetId,
    pocket: PocketId,
    item: ItemId,
    patients: Vec<Mrn>,
    tests: Vec<Loinc>,
    prices: PriceList,
}

fn named<T: std::str::FromStr<Err = Invalid>>(text: &str) -> Result<T, AppError> {
    text.parse().map_err(|error: Invalid| AppError::Setting(error.to_string()))
}

impl Names {
    fn new() -> Result<Self, AppError> {
        let currency: Currency = named("USD")?;
        let price = |amount: i64| Price { price: Money::new(Decimal::new(amount, 2), currency), from: Timestamp::from_micros(0).date(), until: None };
        let entries = [("LAB-718-7", 320), ("LAB-6690-2", 450), ("DRUG-PARA500", 8)].map(|(code, amount)| (code.to_owned(), price(amount)));
        Ok(Self {
            cabinet: named("CAB1")?,
            pocket: named("1-1")?,
            item: named("PARA500")?,
            patients: (0..TUBES).map(|number| named(&format!("MRN-{number}"))).collect::<Result<_, _>>()?,
            tests: TESTS.iter().map(|test| named(test)).collect::<Result<_, _>>()?,
            prices: PriceList::new(entries).map_err(|error| AppError::Setting(error.to_string()))?,
        })
    }
}

impl World {
    async fn start(&mut self, durable: Vec<Arc<StoredBatch>>) -> Result<Process, AppError> {
        let faults = if self.is_quiet { LogFaults::default() } else { self.plan.log };
        let log = Arc::new(SimLog::new(durable, faults, Random::new(self.random.next_u64())));
        let mut tasks = JoinSet::new();
        let syncing = log.clone();
        tasks.spawn(async move { syncing.run().await });
        let shared: Arc<dyn Log> = log.clone();
        let devices: Vec<DeviceId> = self.profiles.keys().map(|name| named(name)).collect::<Result<_, _>>()?;
        let beds = stays::BEDS.iter().map(|bed| named(&format!("SIM1:{bed}"))).collect::<Result<_, _>>()?;
        let layout = Layout {
            sites: BTreeMap::new(),
            wards: BTreeMap::from([(named("SIM1")?, beds)]),
            cabinets: vec![self.names.cabinet.clone()],
            devices: devices.clone(),
            policy: Policy { housekeeping: true, ..Policy::default() },
        };
        let hospital = Arc::new(Hospital::start(layout, shared.clone()).await?);
        let (stop, stopping) = watch::channel(false);
        for device in devices {
            let Some(profile) = self.profiles.get(device.as_str()).cloned() else { continue };
            let door = self.doors.open(device.as_str());
            let served = gateway::Device {
                sender: None,
                figures: telemetry::device(device.as_str()),
                id: device,
                gate: Gate::new(profile.expect.bad_frames),
                profile,
                purpose: Purpose::Collect,
                hospital: hospital.clone(),
                clock: self.clock.clone(),
                facility: "SIM".to_owned(),
                stop: stopping.clone(),
                peers: Peers::default(),
                last_scan: LastScan::default(),
                board: None,
            };
            tasks.spawn(gateway::serve(Arc::new(served), Serving::Given(door)));
        }
        let (charging, clock) = (Charging { prices: self.prices.subscribe() }, self.clock.clone());
        let (billing, views) = (hospital.clone(), self.views.clone());
        tasks.spawn(async move { billing.charge(charging, shared, views, move || clock.now()).await });
        self.hospital.send_replace(Some(hospital.clone()));
        Ok(Process { log, hospital, tasks, _stop: stop })
    }

    /// The process dies with everything in it; what its disk keeps.
    async fn kill(&self, mut process: Process) -> Vec<Arc<StoredBatch>> {
        let durable = process.log.crash();
        self.hospital.send_replace(None);
        self.doors.close();
        process.tasks.shutdown().await;
        process.hospital.kill().await;
        durable
    }
}

/// Whoever asks the hospital by hand: tries until there is an answer.
#[derive(Clone)]
struct Desk {
    names: Names,
    hospital: watch::Receiver<Option<Arc<Hospital>>>,
    clock: Clock,
    floor: Floor,
}

impl Desk {
    async fn ask<F: Future<Output = Outcome>>(&mut self, attempt: impl Fn(Arc<Hospital>, Timestamp) -> F) -> Outcome {
        loop {
            let hospital = self.hospital.borrow().clone();
            if let Some(hospital) = hospital
                && let Ok(outcome) = tokio::time::timeout(Duration::from_secs(20), attempt(hospital, self.clock.now())).await
                && !matches!(outcome, Outcome::Failed(_))
            {
                return outcome;
            }
            sleep(Duration::from_millis(700)).await;
        }
    }

    /// Orders the tubes of the day.
    async fn clerk(mut self, tubes: Vec<Accession>) {
        for (number, (accession, patient)) in tubes.into_iter().zip(self.names.patients.clone()).enumerate() {
            let order = SpecimenCommand::Order { patient, tests: self.names.tests.clone(), priority: Priority::Routine };
            let ask = |hospital: Arc<Hospital>, now| {
                let (accession, order) = (accession.clone(), order.clone());
                async move { hospital.specimen(&accession, order, Origin::new(id("order", number), Principal::Person("clerk".to_owned()), now)).await }
            };
            self.ask(ask).await;
            sleep(Duration::from_millis(150)).await;
        }
    }

    /// Fills a pocket and takes doses from it.
    async fn nurse(mut self, mut random: Random) {
        let Names { cabinet, pocket, item, patients, .. } = self.names.clone();
        let assign = cabinet::Command::AssignPocket { pocket: pocket.clone(), item, gtins: vec![], is_controlled: false };
        let expires = Timestamp::from_micros(BEGIN).plus_seconds(86_400 * 400).date();
        let load = cabinet::Command::Load { pocket: Some(pocket.clone()), gtin: None, lot: "L".to_owned(), expires, quantity: 20.into(), delivery: None };
        let mut steps = vec![(assign, Decimal::ZERO), (load, Decimal::from(20))];
        for patient in patients.iter().cycle().take(WITHDRAWALS).cloned() {
            let quantity = Decimal::from(random.between(1, 3));
            steps.push((cabinet::Command::Vend { pocket: pocket.clone(), quantity, patient, lot: None }, -quantity));
        }
        for (number, (command, quantity)) in steps.into_iter().enumerate() {
            let of = id("cabinet", number);
            let ask = |hospital: Arc<Hospital>, now| {
                let (cabinet, command) = (cabinet.clone(), command.clone());
                async move { hospital.cabinet(&cabinet, command, Origin::new(of, Principal::Person("nurse-a".to_owned()), now)).await }
            };
            // Twenty are there: the last withdrawals may be refused, and that is right.
            if matches!(self.ask(ask).await, Outcome::Done(_) | Outcome::Repeated) && quantity != Decimal::ZERO {
                self.floor.claims().moved(of, quantity);
            }
            sleep(Duration::from_millis(random.between(50, 3_000))).await;
        }
    }
}

/// The scanner, the feeds and the analyzer at work; their tubes and values follow from the seed alone.
fn devices_at_work(people: &mut JoinSet<()>, floor: &Floor, random: &Random, tubes: &[String]) {
    // A value occurs once, so that it says where it belongs.
    let measured = |(at, tube): (usize, &String), test: usize| Measured {
        accession: tube.clone(),
        test: TESTS[test],
        value: format!("{}.{}", 10 + at, 10 + test),
        unit: UNITS[test],
        is_stray: false,
    };
    let results = |from: usize, to: usize, test: usize| -> VecDeque<Measured> { tubes.iter().enumerate().skip(from).take(to - from).map(|tube| measured(tube, test)).collect() };
    let mut with_strays = results(0, TUBES / 2, 0);
    for number in 1..=2_u32 {
        let nobody = Accession::issue(Timestamp::from_micros(BEGIN).date().short(), 900 + number).to_string();
        let stray = Measured { accession: nobody, test: TESTS[0], value: format!("90.{number}7"), unit: UNITS[0], is_stray: true };
        with_strays.insert(usize::try_from(number).unwrap_or(1), stray);
    }
    // A count of cells that claims to be a part of a hundred.
    with_strays.push_back(Measured { accession: tubes.first().cloned().unwrap_or_default(), test: TESTS[1], value: "91.7".to_owned(), unit: "%", is_stray: true });
    let mut moves = random.fork("stays");
    people.spawn(stays::hospital_system(floor.clone(), "adt".to_owned(), random.fork("adt"), stays::script(&mut moves)));
    people.spawn(devices::scanner(floor.clone(), "scanner".to_owned(), random.fork("scanner"), tubes.to_vec().into()));
    people.spawn(devices::feed(floor.clone(), "feed".to_owned(), random.fork("feed"), results(0, TUBES, 1)));
    people.spawn(devices::feed(floor.clone(), "feed-2".to_owned(), random.fork("feed-2"), with_strays));
    people.spawn(devices::analyzer(floor.clone(), "xn".to_owned(), random.fork("xn"), results(TUBES / 2, TUBES, 0)));
}

/// Everybody at work.
fn people(world: &World, desk: &Desk, random: &Random) -> JoinSet<()> {
    let day = Timestamp::from_micros(BEGIN).date();
    let accessions: Vec<Accession> = (1..).take(TUBES).map(|number| Accession::issue(day.short(), number)).collect();
    let tubes: Vec<String> = accessions.iter().map(ToString::to_string).collect();
    let mut people = JoinSet::new();
    devices_at_work(&mut people, &world.floor, random, &tubes);
    people.spawn(desk.clone().clerk(accessions));
    people.spawn(desk.clone().nurse(random.fork("nurse")));
    people
}

async fn live(seed: u64) -> Result<History, AppError> {
    let plan = Plan::of(seed);
    let random = Random::new(seed);
    let start = Instant::now();
    let wall = std::time::Instant::now();
    let since = move || if planted::is(Bug::WallClock) { wall.elapsed().as_micros() } else { start.elapsed().as_micros() };
    let clock = Clock::new(
        move || Timestamp::from_micros(BEGIN + i64::try_from(since()).unwrap_or(i64::MAX)),
        move || Tick::from_ms(u64::try_from(start.elapsed().as_millis()).unwrap_or(u64::MAX)),
    );
    let mut profiles = BTreeMap::new();
    for (name, profile) in
        [("adt", "generic/hl7-feed"), ("feed", "generic/hl7-feed"), ("feed-2", "generic/hl7-feed"), ("scanner", "generic/network-scanner"), ("xn", "sysmex/xn-550")]
    {
        profiles.insert(name, Arc::new(profiles::Source::BuiltIn.load(profile)?));
    }
    let (hospital, current) = watch::channel(None);
    let doors = Doors::default();
    let floor = Floor { ways: Arc::new(doors.clone()), haste: 1, faults: Arc::new(Mutex::new(plan.line)), claims: Arc::new(Mutex::new(Claims::default())) };
    let names = Names::new()?;
    let desk = Desk { names: names.clone(), hospital: current, clock: clock.clone(), floor: floor.clone() };
    let mut world = World {
        plan,
        random: random.fork("world"),
        clock,
        floor: floor.clone(),
        doors,
        hospital,
        views: Arc::new(MemoryViews::default()),
        profiles,
        prices: watch::Sender::new(Arc::new(names.prices.clone())),
        names,
        is_quiet: false,
    };
    let mut process = world.start(Vec::new()).await?;
    let mut people = people(&world, &desk, &random);
    let (mut crashes, mut panics) = (0, 0);
    let mut due: VecDeque<u64> = world.plan.crashes.clone().into();
    loop {
        let now = start.elapsed();
        let is_time = due.front().is_some_and(|at| now >= Duration::from_millis(*at));
        if is_time {
            due.pop_front();
        }
        if is_time || process.log.is_dead() {
            crashes += 1;
            panics += process.log.panics();
            let durable = world.kill(process).await;
            sleep(Duration::from_millis(world.random.between(200, 4_000))).await;
            process = world.start(durable).await?;
        }
        if !world.is_quiet && start.elapsed() >= FAULTS_END {
            world.is_quiet = true;
            process.log.set_faults(LogFaults::default());
            *floor.faults.lock().unwrap_or_else(PoisonError::into_inner) = LineFaults::default();
        }
        while people.try_join_next().is_some() {}
        let (billable, charged) = oracle::billing(&process.log.durable());
        let is_done = people.is_empty() && billable == charged;
        if (is_done && world.is_quiet) || start.elapsed() >= FAULTS_END + DRAIN {
            break;
        }
        sleep_until(Instant::now() + Duration::from_millis(250)).await;
    }
    let mut faults = Vec::new();
    if !people.is_empty() {
        faults.push(format!("{} of the people and devices are not done {} s after the last fault", people.len(), DRAIN.as_secs()));
    }
    people.shutdown().await;
    panics += process.log.panics();
    let durable = world.kill(process).await;
    faults.extend(oracle::faults(&floor.claims(), &durable));
    let promises = floor.claims().count();
    Ok(History { fingerprint: oracle::fingerprint(&durable), events: durable.last().map_or(0, |batch| batch.last()), crashes, panics, promises, faults })
}

/// Lives through the history of a seed.
pub fn run(seed: u64) -> Result<History, AppError> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build();
    runtime.map_err(|error| AppError::Setting(format!("the runtime cannot start: {error}")))?.block_on(live(seed))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Seeds of one run; more by WARDD_SEEDS.
    fn seeds() -> u64 {
        std::env::var("WARDD_SEEDS").ok().and_then(|text| text.parse().ok()).unwrap_or(200)
    }

    #[test]
    fn whatever_goes_wrong_promises_are_kept() {
        let (mut crashes, mut panics, mut promises) = (0, 0, 0);
        for seed in 0..seeds() {
            let history = run(seed).unwrap();
            assert!(history.faults.is_empty(), "wardd sim --seed {seed}: {:#?}", history.faults);
            crashes += history.crashes;
            panics += history.panics;
            promises += history.promises;
        }
        assert!(crashes > 50 && panics > 50 && promises > 5_000, "{crashes} crashes, {panics} panics, {promises} promises: the seeds try too little");
    }

    #[test]
    fn seeds_that_once_showed_a_broken_promise_do_not_any_more() {
        let ground = core::Ground::new().unwrap();
        for line in include_str!("regressions.txt").lines().filter(|line| !line.starts_with('#')) {
            let mut words = line.split_whitespace();
            let (layer, seed) = (words.next().unwrap(), words.next().unwrap().parse().unwrap());
            let faults = match layer {
                "core" => core::run(&ground, seed).unwrap().faults,
                "actors" => run(seed).unwrap().faults,
                other => panic!("{other} is no layer"),
            };
            assert!(faults.is_empty(), "{line}: {faults:#?}");
        }
    }

    /// Whether a seed shows that something is wrong: a promise is broken, or the history is not the same twice.
    fn shows(seed: u64) -> bool {
        let history = run(seed).unwrap();
        !history.faults.is_empty() || run(seed).unwrap() != history
    }

    #[test]
    fn every_planted_bug_is_found_within_two_thousand_seeds() {
        // Without one there is nothing to find, and every history is the same twice.
        assert_eq!((0..100).find(|seed| shows(*seed)), None);
        for bug in planted::ALL {
            // The core is asked first: its seeds are cheap.
            let found = core::tests::finds(bug).or_else(|| planted::with(bug, || (0..2_000).find(|seed| shows(*seed))));
            println!("{bug:?}: seed {found:?}");
            assert!(found.is_some(), "{bug:?} is not found: the simulation is blind to it");
        }
    }

    #[test]
    fn two_runs_of_a_seed_are_the_same_history() {
        for seed in [3, 17, 40] {
            assert_eq!(run(seed).unwrap(), run(seed).unwrap(), "seed {seed}");
        }
        assert_ne!(run(3).unwrap().fingerprint, run(4).unwrap().fingerprint);
    }
}
