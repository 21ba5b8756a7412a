//! The third layer: the real binary under a real disk that fails, with real sockets, a pseudo terminal and mosquitto. The
//! seed decides on everybody's work and on the faults; when exactly threads meet is the machine's, so a seed is the same
//! plan and not the same history.
//!
//! Flow: seed → `Plan` → orders are placed → devices work while faults come → quiet → everything must drain → SIGTERM →
//! the oracle holds the log against what everybody was told.

mod desk;
mod house;
mod ways;

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, timeout};

use self::desk::Desk;
use self::house::House;
use self::ways::{Cable, RealWays};
use super::devices::{Floor, LineFaults};
use super::oracle::{self, Claims};
use super::{History, devices_at_work, half_open};
use crate::app::AppError;
use crate::sim::disk_shim::Order;
use crate::sim::{Pty, Random};

/// Faults end here.
const FAULTS_END: Duration = Duration::from_secs(12);
/// What is not done this long after is stuck.
const DRAIN: Duration = Duration::from_secs(60);
/// Everybody waits so many times shorter than in the simulated minute of the other layers.
const HASTE: u32 = 6;

/// What goes wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fault {
    /// SIGKILL.
    Kill,
    /// SIGKILL, and of what was not synced any part is lost.
    PowerLoss,
    /// SIGSTOP for so many milliseconds.
    Freeze(u64),
    /// Every write fails for so many milliseconds.
    DiskFull(u64),
    /// The n-th write from now fails.
    WriteError(i64),
    /// The n-th sync from now fails; then the power is lost, since the page cache is no witness any more.
    SyncError(i64),
    /// Each sync takes so many milliseconds longer, for a second.
    SlowSync(i64),
    /// Writes take half of what they are given, for a second.
    ShortWrites,
    /// The analyzer's cable is out for so many milliseconds.
    Unplug(u64),
    /// The broker is away for so many milliseconds.
    BrokerAway(u64),
}

/// Which faults a seed brings.
#[derive(Debug)]
struct Plan {
    line: LineFaults,
    faults: Vec<(Duration, Fault)>,
}

impl Plan {
    fn of(seed: u64) -> Self {
        let mut random = Random::new(seed).fork("plan");
        let mut some = |most: u64| if random.chance(500) { u32::try_from(random.between(1, most)).unwrap_or(1) } else { 0 };
        let line = LineFaults { cut: some(60), flip: some(250), deaf: some(300), half_open: half_open(seed) };
        let end = u64::try_from(FAULTS_END.as_millis()).unwrap_or(u64::MAX);
        let mut faults: Vec<(Duration, Fault)> = (0..random.between(4, 10)).map(|_| (Duration::from_millis(random.between(100, end - 200)), Self::fault(&mut random))).collect();
        faults.sort_by_key(|(at, _)| *at);
        Self { line, faults }
    }

    fn fault(random: &mut Random) -> Fault {
        let near = |random: &mut Random| i64::try_from(random.between(1, 40)).unwrap_or(1);
        match random.below(10) {
            0 => Fault::Kill,
            1 => Fault::PowerLoss,
            2 => Fault::Freeze(random.between(100, 2_000)),
            3 => Fault::DiskFull(random.between(100, 1_500)),
            4 => Fault::WriteError(near(random)),
            5 => Fault::SyncError(near(random)),
            6 => Fault::SlowSync(i64::try_from(random.between(5, 300)).unwrap_or(5)),
            7 => Fault::ShortWrites,
            8 => Fault::Unplug(random.between(50, 1_500)),
            _ => Fault::BrokerAway(random.between(50, 1_500)),
        }
    }
}

/// The world around one house.
struct World {
    house: House,
    cable: Cable,
    random: Random,
    start: Instant,
    crashes: u64,
    /// A sync or write was told to fail: when the process ends by it, the power is lost as well.
    is_broken: bool,
    faults: Vec<String>,
}

impl World {
    /// Makes a fault happen, and waits for its end.
    async fn strike(&mut self, fault: Fault) -> Result<(), AppError> {
        match fault {
            Fault::Kill => self.die(false).await?,
            Fault::PowerLoss => self.die(true).await?,
            Fault::Freeze(ms) => {
                self.house.freeze(true);
                sleep(Duration::from_millis(ms)).await;
                self.house.freeze(false);
            }
            Fault::DiskFull(ms) => self.under(Order::Full(true), Order::Full(false), ms).await?,
            Fault::SlowSync(ms) => self.under(Order::SyncDelay(ms * 1_000), Order::SyncDelay(0), 1_000).await?,
            Fault::ShortWrites => self.under(Order::ShortWrites(true), Order::ShortWrites(false), 1_000).await?,
            Fault::WriteError(count) => self.order(Order::FailWrite(count))?,
            Fault::SyncError(count) => self.order(Order::FailSync(count))?,
            Fault::Unplug(ms) => {
                self.cable.pty().unplug();
                sleep(Duration::from_millis(ms)).await;
                self.plug()?;
            }
            Fault::BrokerAway(ms) => {
                self.house.broker_down();
                sleep(Duration::from_millis(ms)).await;
                self.house.broker_up()?;
            }
        }
        self.is_broken |= matches!(fault, Fault::WriteError(_) | Fault::SyncError(_));
        Ok(())
    }

    fn order(&self, order: Order) -> Result<(), AppError> {
        self.house.shim.order(order).map_err(|source| AppError::File { path: "orders".into(), source })
    }

    async fn under(&self, begin: Order, end: Order, ms: u64) -> Result<(), AppError> {
        self.order(begin)?;
        sleep(Duration::from_millis(ms)).await;
        self.order(end)
    }

    fn plug(&self) -> Result<(), AppError> {
        self.cable.pty().replug().map_err(|source| AppError::File { path: "cable".into(), source })
    }

    async fn die(&mut self, loses_power: bool) -> Result<(), AppError> {
        self.house.kill()?;
        self.up_again(loses_power).await
    }

    /// The process is gone: starts it again, as often as the disk wants.
    async fn up_again(&mut self, loses_power: bool) -> Result<(), AppError> {
        self.crashes += 1;
        if loses_power {
            self.house.shim.lose_power(&mut self.random).map_err(|source| AppError::File { path: "power".into(), source })?;
        }
        sleep(Duration::from_millis(self.random.between(20, 500))).await;
        // A failing disk may refuse a start, and after faults have ended none may be refused.
        for _ in 0..20 {
            if self.house.start().await? {
                return Ok(());
            }
            if self.start.elapsed() > FAULTS_END {
                break;
            }
            sleep(Duration::from_millis(200)).await;
        }
        self.faults.push(format!("wardd does not start again: {}", self.house.said()));
        Ok(())
    }

    /// Looks whether the process has ended by itself, which only a broken disk may bring about.
    async fn watch(&mut self) -> Result<(), AppError> {
        let Some(status) = self.house.exit()? else { return Ok(()) };
        if !self.is_broken || status.success() {
            self.faults.push(format!("wardd ended by itself with {status}: {}", self.house.said()));
        }
        self.is_broken = false;
        self.up_again(true).await
    }
}

async fn live(seed: u64, program: &Path, disk: DiskKind) -> Result<History, AppError> {
    let random = Random::new(seed);
    let plan = Plan::of(seed);
    let (endpoints, current) = watch::channel(None);
    let house = House::new(seed, program, endpoints)?;
    let path = house.cable("xn");
    let cable = Cable::new(Pty::open(&path).map_err(|source| AppError::File { path, source })?);
    let ways = RealWays { endpoints: current.clone(), cables: BTreeMap::from([("xn".to_owned(), cable.clone())]) };
    let floor = Floor { ways: Arc::new(ways), haste: HASTE, faults: Arc::new(Mutex::new(plan.line)), claims: Arc::new(Mutex::new(Claims::default())) };
    let desk = Desk { floor: floor.clone(), endpoints: current };
    let broker = house.broker_at;
    let mut world = World { house, cable, random: random.fork("world"), start: Instant::now(), crashes: 0, is_broken: false, faults: Vec::new() };
    world.order(Order::Lie(disk == DiskKind::Lying))?;
    if !world.house.start().await? {
        return Err(AppError::Setting(format!("wardd does not start: {}", world.house.said())));
    }
    world.start = Instant::now();
    let mut people = JoinSet::new();
    let wrong = Arc::new(Mutex::new(None));
    people.spawn(at_work(desk, broker, random, wrong.clone()));
    let mut faults = plan.faults.into_iter().peekable();
    while world.start.elapsed() < FAULTS_END && world.faults.is_empty() {
        if let Some((_, fault)) = faults.next_if(|(at, _)| world.start.elapsed() >= *at) {
            world.strike(fault).await?;
        }
        world.watch().await?;
        sleep(Duration::from_millis(10)).await;
    }
    world.house.shim.quiet().map_err(|source| AppError::File { path: "orders".into(), source })?;
    *floor.faults.lock().unwrap_or_else(PoisonError::into_inner) = LineFaults::default();
    drain(&mut world, &mut people).await?;
    world.faults.extend(wrong.lock().unwrap_or_else(PoisonError::into_inner).take());
    people.shutdown().await;
    finish(world, &floor)
}

/// Everybody at work: first the orders, then what follows from them.
async fn at_work(desk: Desk, broker: Option<std::net::SocketAddr>, random: Random, wrong: Arc<Mutex<Option<String>>>) {
    let mut people = JoinSet::new();
    people.spawn(desk.clone().nurse(random.fork("nurse")));
    if let Some(broker) = broker {
        people.spawn(desk.clone().reader(broker, random.fork("door")));
    }
    match desk.clerk().await {
        Ok(tubes) => devices_at_work(&mut people, &desk.floor, &random, &tubes),
        Err(why) => *wrong.lock().unwrap_or_else(PoisonError::into_inner) = Some(why),
    }
    while people.join_next().await.is_some() {}
}

/// Waits until everybody is done and every billable act is charged.
async fn drain(world: &mut World, people: &mut JoinSet<()>) -> Result<(), AppError> {
    let until = Instant::now() + DRAIN;
    while world.faults.is_empty() && Instant::now() < until {
        world.watch().await?;
        if timeout(Duration::from_millis(100), async { while people.join_next().await.is_some() {} }).await.is_ok() {
            let (billable, charged) = oracle::billing(&world.house.log()?);
            if billable == charged {
                return Ok(());
            }
        }
    }
    if world.faults.is_empty() {
        world.faults.push(format!("somebody is not done {} s after the last fault: {}", DRAIN.as_secs(), world.house.said()));
    }
    Ok(())
}

fn finish(mut world: World, floor: &Floor) -> Result<History, AppError> {
    match world.house.terminate()? {
        Some(status) if status.success() => {}
        Some(status) => world.faults.push(format!("wardd ended at SIGTERM with {status}: {}", world.house.said())),
        None => {}
    }
    let log = world.house.log()?;
    let mut faults = world.faults;
    faults.extend(oracle::faults(&floor.claims(), &log));
    let promises = floor.claims().count();
    Ok(History { fingerprint: oracle::fingerprint(&log), events: log.last().map_or(0, |batch| batch.last()), crashes: world.crashes, panics: 0, promises, faults })
}

/// What the disk is worth.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DiskKind {
    /// What it says is synced is synced.
    Honest,
    /// Nothing is: the simulation must show that promises are broken, or it sees nothing.
    Lying,
}

/// Lives through the plan of a seed with the binary `program`.
pub fn run(seed: u64, program: &Path, disk: DiskKind) -> Result<History, AppError> {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build();
    runtime.map_err(|error| AppError::Setting(format!("the runtime cannot start: {error}")))?.block_on(live(seed, program, disk))
}
