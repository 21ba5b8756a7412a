//! Builds the hospital in two steps: plugs first, so that the daemon finds them, then people and devices.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use tokio::net::TcpListener;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;
use tokio::time::{Instant, timeout_at};

use super::astm_analyzer::{AstmAnalyzer, AstmSettings};
use super::astm_line::{LineNoise, scaled};
use super::astm_records::Flavour;
use super::cabinet_mqtt::CabinetMqtt;
use super::clock::Clock;
use super::counts::Counts;
use super::device::{AnalyzerCommand, JOBS_MAX};
use super::hl7_analyzer::{Hl7Analyzer, Hl7Link, Hl7Settings};
use super::hospital_feed::HospitalFeed;
use super::http::HttpClient;
use super::pty::Pty;
use super::random::Random;
use super::relay_board::RelayBoard;
use super::rfid_reader::RfidReader;
use super::scanner::{ScanCommand, Scanner, ScannerSettings};
use super::story::{HandScanner, Hands, Places, Seat, Story};
use super::tally::Tally;
use super::wiring::{Assay, Device, ScanPurpose, Wiring};

const HTTP_TIMEOUT: Duration = Duration::from_secs(5);
// The Celltac of the lab_lis transcripts ran this far ahead in each of its files.
const FAST_CLOCK_SECONDS: i64 = 516;
const SLOW_CLOCK_SECONDS: i64 = -95;

enum Plug {
    Pty(Pty),
    Listener(TcpListener),
}

/// A hospital whose ptys and listeners exist and in which nobody moves yet.
pub struct Hospital {
    wiring: Wiring,
    plugs: BTreeMap<String, Plug>,
}

impl Hospital {
    /// Creates ptys and listeners; names must be unique. Call inside a tokio runtime.
    pub fn prepare(wiring: Wiring) -> io::Result<Hospital> {
        let mut names = BTreeSet::new();
        let mut plugs = BTreeMap::new();
        for device in &wiring.devices {
            let name = device.name().to_owned();
            if !names.insert(name.clone()) {
                let text = format!("two simulated devices are called \"{name}\"");
                return Err(io::Error::new(io::ErrorKind::InvalidInput, text));
            }
            let plug = match device {
                Device::AstmSerial { pty, .. } | Device::ScannerSerial { pty, .. } | Device::RelayBoard { pty, .. } => Some(Plug::Pty(open_pty(pty)?)),
                Device::Hl7Listen { bind, .. } => Some(Plug::Listener(listen(*bind)?)),
                Device::AstmTcp { .. }
                | Device::Hl7Connect { .. }
                | Device::ScannerTcp { .. }
                | Device::RfidReader { .. }
                | Device::CabinetMqtt { .. }
                | Device::HospitalFeed { .. } => None,
            };
            if let Some(plug) = plug {
                plugs.insert(name, plug);
            }
        }
        Ok(Hospital { wiring, plugs })
    }

    /// The bound address of a listening device.
    pub fn listen_addr(&self, name: &str) -> Option<SocketAddr> {
        match self.plugs.get(name) {
            Some(Plug::Listener(listener)) => listener.local_addr().ok(),
            Some(Plug::Pty(_)) | None => None,
        }
    }

    /// Another story on the same devices: other patients and another course of things.
    pub fn reseed(&mut self, seed: u64) {
        self.wiring.seed = seed;
    }

    /// Runs people and devices until `shutdown` turns true, then lets the devices finish what they hold for a bounded
    /// time (5 to 30 s). `endpoints` replaces addresses of the wiring by device name (cabinet id for cabinets); the name
    /// `broker` stands for all MQTT devices.
    pub async fn live(self, http: SocketAddr, endpoints: BTreeMap<String, SocketAddr>, shutdown: watch::Receiver<bool>) -> Tally {
        let Hospital { wiring, mut plugs } = self;
        let (stop, stopped) = watch::channel(false);
        let mut staff =
            Staff { root: Random::new(wiring.seed), time_scale: wiring.time_scale, endpoints, stopped, hands: Hands::default(), draining: Vec::new(), standing: Vec::new() };
        for device in wiring.devices {
            let plug = plugs.remove(device.name());
            staff.start(device, plug);
        }
        let client = HttpClient::new(http, wiring.token, HTTP_TIMEOUT, true);
        let places = Places { beds: wiring.beds, cabinets: wiring.cabinets };
        let story = Story::new(staff.hands, places, client, wiring.seed, wiring.pace);
        let mut tally = story.run(shutdown).await;
        let grace = scaled(120.0, wiring.time_scale).clamp(Duration::from_secs(5), Duration::from_secs(30));
        let until = Instant::now() + grace;
        let mut late = Vec::new();
        for mut running in staff.draining {
            match timeout_at(until, &mut running.task).await {
                Ok(ended) => add(&mut tally, &running.name, running.kind, ended.unwrap_or_default()),
                Err(_) => late.push(running),
            }
        }
        stop.send_replace(true);
        for running in late.into_iter().chain(staff.standing) {
            let counts = running.task.await.unwrap_or_default();
            add(&mut tally, &running.name, running.kind, counts);
        }
        tally
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Analyzer,
    Scanner,
    Reader,
    Cabinet,
    Feed,
}

struct Running {
    name: String,
    kind: Kind,
    task: JoinHandle<Counts>,
}

// The devices being started, and the ends of their queues.
struct Staff {
    root: Random,
    time_scale: f64,
    endpoints: BTreeMap<String, SocketAddr>,
    stopped: watch::Receiver<bool>,
    hands: Hands,
    // End by themselves when their queue closes.
    draining: Vec<Running>,
    // Serve until they are stopped.
    standing: Vec<Running>,
}

impl Staff {
    fn start(&mut self, device: Device, plug: Option<Plug>) {
        let stop = self.stopped.clone();
        let random = self.root.fork(device.name());
        let name = device.name().to_owned();
        match (device, plug) {
            (Device::AstmSerial { tests, .. }, Some(Plug::Pty(pty))) => {
                let commands = self.seat(&tests, true);
                let clock = Clock::skewed(FAST_CLOCK_SECONDS);
                let settings = self.astm(Flavour::Sysmex, tests, clock, random);
                let task = tokio::spawn(AstmAnalyzer::new(settings).run_serial(pty, commands, stop));
                self.draining.push(Running { name, kind: Kind::Analyzer, task });
            }
            (Device::AstmTcp { addr, tests, .. }, _) => {
                let commands = self.seat(&tests, false);
                let address = self.endpoint(&name, addr);
                let settings = self.astm(Flavour::Roche, tests, Clock::default(), random);
                let task = tokio::spawn(AstmAnalyzer::new(settings).run_tcp(address, commands, stop));
                self.draining.push(Running { name, kind: Kind::Analyzer, task });
            }
            (Device::Hl7Connect { addr, tests, .. }, _) => {
                let link = Hl7Link::Connect(self.endpoint(&name, addr));
                self.start_hl7(name, tests, link, Clock::default(), random);
            }
            (Device::Hl7Listen { tests, .. }, Some(Plug::Listener(listener))) => {
                let clock = Clock::skewed(SLOW_CLOCK_SECONDS);
                self.start_hl7(name, tests, Hl7Link::Listen(listener), clock, random);
            }
            (Device::ScannerSerial { purpose, expects_answer, .. }, Some(Plug::Pty(pty))) => {
                let commands = self.hand(purpose, true);
                let scanner = Scanner::new(self.scanner("\r", expects_answer, random));
                let task = tokio::spawn(scanner.run_serial(pty, commands, stop));
                self.draining.push(Running { name, kind: Kind::Scanner, task });
            }
            (Device::ScannerTcp { addr, purpose, expects_answer, .. }, _) => {
                let commands = self.hand(purpose, false);
                let address = self.endpoint(&name, addr);
                let scanner = Scanner::new(self.scanner("\r\n", expects_answer, random));
                let task = tokio::spawn(scanner.run_tcp(address, commands, stop));
                self.draining.push(Running { name, kind: Kind::Scanner, task });
            }
            (Device::RfidReader { broker, .. }, _) => {
                let (passes, inbox) = mpsc::channel(JOBS_MAX);
                self.hands.readers.push(passes);
                let address = self.broker(&name, broker);
                let reader = RfidReader::new(&name, Clock::default(), random);
                let task = tokio::spawn(reader.run(address, inbox, stop));
                self.draining.push(Running { name, kind: Kind::Reader, task });
            }
            (Device::CabinetMqtt { broker, .. }, _) => {
                let address = self.broker(&name, broker);
                let cabinet = CabinetMqtt::new(&name, self.time_scale, Clock::default(), random);
                let task = tokio::spawn(cabinet.run(address, stop));
                self.standing.push(Running { name, kind: Kind::Cabinet, task });
            }
            (Device::RelayBoard { .. }, Some(Plug::Pty(pty))) => {
                let task = tokio::spawn(RelayBoard::new(self.time_scale, random).run(pty, stop));
                self.standing.push(Running { name, kind: Kind::Cabinet, task });
            }
            (Device::HospitalFeed { addr, .. }, _) => {
                let (commands, inbox) = mpsc::channel(JOBS_MAX);
                self.hands.feed = Some(commands);
                let address = self.endpoint(&name, addr);
                let feed = HospitalFeed::new(&name, self.time_scale, Clock::default(), random);
                let task = tokio::spawn(feed.run(address, inbox, stop));
                self.draining.push(Running { name, kind: Kind::Feed, task });
            }
            // `prepare` gives each of these its plug, so this is never reached.
            (Device::AstmSerial { .. } | Device::Hl7Listen { .. } | Device::ScannerSerial { .. } | Device::RelayBoard { .. }, _) => {
                tracing::error!(name, "simulated device has no plug")
            }
        }
    }

    fn start_hl7(&mut self, name: String, tests: Vec<Assay>, link: Hl7Link, clock: Clock, random: Random) {
        let commands = self.seat(&tests, false);
        let settings = Hl7Settings { tests, time_scale: self.time_scale, noisy: true, clock, random };
        let task = tokio::spawn(Hl7Analyzer::new(settings).run(link, commands, self.stopped.clone()));
        self.draining.push(Running { name, kind: Kind::Analyzer, task });
    }

    fn seat(&mut self, tests: &[Assay], serial: bool) -> mpsc::Receiver<AnalyzerCommand> {
        let (commands, inbox) = mpsc::channel(JOBS_MAX);
        let tests = tests.iter().map(|assay| assay.loinc.clone()).collect();
        self.hands.seats.push(Seat { tests, commands, serial });
        inbox
    }

    fn hand(&mut self, purpose: ScanPurpose, serial: bool) -> mpsc::Receiver<ScanCommand> {
        let (commands, inbox) = mpsc::channel(JOBS_MAX);
        let scanner = HandScanner { commands, serial };
        match purpose {
            ScanPurpose::Collect => self.hands.collect.push(scanner),
            ScanPurpose::Receive => self.hands.receive.push(scanner),
            ScanPurpose::Goods => self.hands.goods.push(scanner),
        }
        inbox
    }

    fn astm(&self, flavour: Flavour, tests: Vec<Assay>, clock: Clock, random: Random) -> AstmSettings {
        AstmSettings { flavour, tests, time_scale: self.time_scale, noise: LineNoise::usual(), clock, random }
    }

    fn scanner(&self, suffix: &'static str, expects_answer: bool, random: Random) -> ScannerSettings {
        ScannerSettings { suffix, expects_answer, time_scale: self.time_scale, noisy: true, random }
    }

    fn endpoint(&self, name: &str, wired: SocketAddr) -> SocketAddr {
        self.endpoints.get(name).copied().unwrap_or(wired)
    }

    fn broker(&self, name: &str, wired: SocketAddr) -> SocketAddr {
        self.endpoint(name, self.endpoint("broker", wired))
    }
}

fn add(tally: &mut Tally, name: &str, kind: Kind, counts: Counts) {
    tally.resends += counts.resends;
    tally.noise += counts.noise;
    match kind {
        Kind::Analyzer => {
            tally.results_sent += counts.sent;
            tally.results_acknowledged += counts.acknowledged;
            tally.results_refused += counts.refused;
            tally.observations_acknowledged += counts.results;
        }
        Kind::Reader => tally.tags_published += counts.acknowledged,
        Kind::Feed => {
            tally.adt_sent += counts.sent;
            tally.adt_acknowledged += counts.acknowledged;
        }
        Kind::Scanner | Kind::Cabinet => {}
    }
    tally.devices.insert(name.to_owned(), counts);
}

fn open_pty(link: &Path) -> io::Result<Pty> {
    Pty::open(link).map_err(|error| io::Error::new(error.kind(), format!("pty {}: {error}", link.display())))
}

fn listen(bind: SocketAddr) -> io::Result<TcpListener> {
    let listener = std::net::TcpListener::bind(bind)?;
    listener.set_nonblocking(true)?;
    TcpListener::from_std(listener)
}
