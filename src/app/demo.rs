//! `wardd demo`: a small hospital that lives, on embedded defaults; from the bytes on it is the path of production.

use std::collections::BTreeMap;
use std::io::Write as _;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use tokio::runtime::Handle;
use tokio::sync::watch;

use super::{AppError, Running, profiles, real_clock, start, until_signal};
use crate::api::ServerError;
use crate::config::Config;
use crate::domain::cabinet::Command;
use crate::domain::census;
use crate::journal::{KeyRing, Log};
use crate::kernel::{CommandId, Principal, StreamKind};
use crate::projection::BedRow;
use crate::sim::{Assay, BedPlace, Broker, CabinetPlace, Device, Hospital, ScanPurpose, Tally, Wiring};

/// How the demo is run.
#[derive(Debug, Clone)]
pub struct Options {
    /// How long; until a signal when none.
    pub duration: Option<Duration>,
    /// The seed of the story.
    pub seed: u64,
    /// Where data is kept; a folder that is removed at the end when none.
    pub data: Option<PathBuf>,
    /// The web server's address.
    pub http: SocketAddr,
    /// How busy the hospital is; 1 is one patient action each 0.4 s.
    pub pace: f64,
    /// Whether the summary is shown while it runs.
    pub is_quiet: bool,
}

/// How the demo ended: what the simulated people and devices say, and what the journal says.
#[derive(Debug)]
pub struct Report {
    /// What the simulation counted.
    pub tally: Tally,
    /// What the journal holds, by stream kind and event type.
    pub journal: BTreeMap<String, u64>,
    /// Lines that say where the two do not agree; empty when they do.
    pub differences: Vec<String>,
}

const CONFIG: &str = include_str!("../../config/demo.toml");

fn assays(tests: &[(&str, &str, &str, f64, f64, u8)]) -> Vec<Assay> {
    let assay = |(loinc, code, unit, low, high, decimals): &(&str, &str, &str, f64, f64, u8)| Assay {
        loinc: (*loinc).to_owned(),
        code: (*code).to_owned(),
        unit: (*unit).to_owned(),
        low: *low,
        high: *high,
        decimals: *decimals,
    };
    tests.iter().map(assay).collect()
}

fn blood_count(count: &'static str, red: &'static str) -> Vec<Assay> {
    assays(&[
        ("6690-2", "WBC", count, 4.0, 10.0, 2),
        ("789-8", "RBC", red, 3.8, 5.8, 2),
        ("718-7", "HGB", if count == "10*3/uL" { "g/dL" } else { "g/L" }, if count == "10*3/uL" { 11.5 } else { 115.0 }, if count == "10*3/uL" { 17.0 } else { 170.0 }, 1),
        ("777-3", "PLT", count, 150.0, 400.0, 0),
    ])
}

fn devices(folder: &Path, broker: SocketAddr) -> Vec<Device> {
    let later = SocketAddr::from(([127, 0, 0, 1], 0));
    let pty = |name: &str| folder.join(name);
    vec![
        Device::AstmSerial { name: "xn-550".into(), pty: pty("tty-xn-550"), tests: blood_count("10*3/uL", "10*6/uL") },
        Device::AstmTcp { name: "e411".into(), addr: later, tests: assays(&[("3016-3", "10", "uIU/mL", 0.4, 4.0, 3), ("2276-4", "20", "ng/mL", 15.0, 300.0, 1)]) },
        Device::Hl7Connect { name: "bc-5380".into(), addr: later, tests: blood_count("10*9/L", "10*12/L") },
        Device::Hl7Listen { name: "bc-5150".into(), bind: later, tests: blood_count("10*9/L", "10*12/L") },
        Device::ScannerSerial { name: "ward-scanner".into(), pty: pty("tty-ward-scanner"), purpose: ScanPurpose::Collect, expects_answer: false },
        Device::ScannerTcp { name: "lab-scanner".into(), addr: later, purpose: ScanPurpose::Receive, expects_answer: true },
        Device::RfidReader { name: "door-reader".into(), broker },
        Device::CabinetMqtt { cabinet: "CAB-A".into(), broker },
        Device::RelayBoard { cabinet: "CAB-B".into(), pty: pty("tty-cab-b") },
        Device::HospitalFeed { name: "adt-feed".into(), addr: later },
    ]
}

fn beds(config: &Config) -> Vec<BedPlace> {
    let place = |bed: crate::kernel::BedId| {
        let parts: Vec<&str> = bed.as_str().split(':').collect();
        BedPlace { ward: parts[0].to_owned(), room: parts[1].to_owned(), bed: parts[2].to_owned() }
    };
    config.wards.iter().flat_map(|ward| ward.bed_ids()).flatten().map(place).collect()
}

fn cabinets(config: &Config) -> Vec<CabinetPlace> {
    config.cabinets.iter().map(|cabinet| CabinetPlace { id: cabinet.id.to_string(), pockets: cabinet.pockets.iter().map(|pocket| pocket.id.to_string()).collect() }).collect()
}

/// Runs the demo to its end; its wardd has its pages at the `desk`.
pub async fn run(options: Options, desk: &Handle) -> Result<Report, AppError> {
    let folder = options.data.clone().unwrap_or_else(|| std::env::temp_dir().join(format!("wardd-demo-{}", std::process::id())));
    let is_temporary = options.data.is_none();
    let result = in_folder(&options, &folder, desk).await.map_err(|error| match error {
        AppError::Server(ServerError::Bind(address, source)) => {
            AppError::Setting(format!("WD-0303 the board cannot listen on {address}: {source}: free the port, or give another with --http 127.0.0.1:0 (0 takes a free one)"))
        }
        other => other,
    });
    if is_temporary {
        // What is left in the system's folder for temporary files does no harm.
        let _ = std::fs::remove_dir_all(&folder);
    }
    result
}

fn key_ring(options: &Options, folder: &Path) -> Result<KeyRing, AppError> {
    if options.data.is_none() {
        return Ok(KeyRing::ephemeral()?);
    }
    let path = folder.join("keyring.toml");
    if !path.exists() {
        KeyRing::create(&path)?;
    }
    Ok(KeyRing::load(&path)?)
}

async fn in_folder(options: &Options, folder: &Path, desk: &Handle) -> Result<Report, AppError> {
    let failed = |source| AppError::File { path: folder.to_owned(), source };
    std::fs::create_dir_all(folder).map_err(failed)?;
    let loopback = SocketAddr::from(([127, 0, 0, 1], 0));
    let broker = Broker::start(loopback).map_err(failed)?;
    let text = CONFIG.replace("{folder}", &folder.display().to_string()).replace("{http}", &options.http.to_string()).replace("{broker}", &broker.addr().to_string());
    let draft = |text: &str| toml::from_str::<Config>(text).map_err(|error| AppError::Setting(format!("config/demo.toml: {error}")));
    let plan = draft(&text.replace("{bc-5150}", "127.0.0.1:1"))?;
    let mut hospital = Hospital::prepare(Wiring {
        http: options.http,
        token: None,
        seed: options.seed,
        pace: options.pace,
        time_scale: 0.05,
        beds: beds(&plan),
        cabinets: cabinets(&plan),
        devices: devices(folder, broker.addr()),
    })
    .map_err(failed)?;
    let listening = hospital.listen_addr("bc-5150").map(|address| address.to_string()).unwrap_or_default();
    let config = draft(&text.replace("{bc-5150}", &listening))?;
    let faults = config.faults();
    if !faults.is_empty() {
        return Err(AppError::Setting(faults.join("\n")));
    }
    let prices = folder.join("prices.toml");
    std::fs::write(&prices, include_str!("../../config/prices.toml")).map_err(failed)?;
    let running = start(&config, &profiles::Source::BuiltIn, Some(key_ring(options, folder)?), desk).await?;
    // A kept folder goes on: the patients of the last run are gone, and others come.
    if running.opened.events > 0 {
        hospital.reseed(options.seed.wrapping_add(running.opened.events));
        discharge_all(&config, &running).await;
    }
    stock(&config, &running).await?;
    let before = running.head();

    let http = running.endpoints.get("http").copied().unwrap_or(options.http);
    say(&format!(
        "wardd demo: two wards, eight beds, two cabinets, ten devices, seed {}\n  board    http://{http}/\n  metrics  http://{http}/metrics\n  API      http://{http}/api/v1/openapi.json\n  data     {}\n  stop with Ctrl-C",
        options.seed,
        folder.display()
    ));
    let (stop, stopping) = watch::channel(false);
    let mut endpoints = running.endpoints.clone();
    endpoints.insert("broker".to_owned(), broker.addr());
    let life = hospital.live(http, endpoints, stopping);
    let mut failure = running.failure();
    let timer = async {
        match options.duration {
            Some(duration) => tokio::time::sleep(duration).await,
            None => std::future::pending().await,
        }
    };
    let summary = async {
        loop {
            tokio::time::sleep(Duration::from_secs(5)).await;
            if !options.is_quiet {
                say(&live_line(&running));
            }
        }
    };
    let life = tokio::spawn(life);
    tokio::select! {
        () = timer => {}
        () = until_signal() => {}
        () = summary => {}
        _ = failure.wait_for(Option::is_some) => {}
    }
    say("stopping: devices finish what they have begun");
    stop.send_replace(true);
    let tally = life.await.unwrap_or_default();
    catch_up(&running).await;
    let journal = count(running.history().as_ref(), before);
    let failed_with = running.failure().borrow().clone();
    running.stop().await;
    broker.stop().await;
    if let Some(cause) = failed_with {
        return Err(AppError::JournalFailed(cause));
    }
    let differences = compare(&tally, &journal);
    Ok(Report { tally, journal, differences })
}

/// Writes a line; a closed pipe is no reason to fail.
fn say(line: &str) {
    let _ = writeln!(std::io::stdout().lock(), "{line}");
}

fn live_line(running: &Running) -> String {
    let open = running.rows.open_items();
    let figures = crate::telemetry::devices(real_clock().now());
    let accepted: u64 = figures.iter().map(|device| device.accepted).sum();
    let repeated: u64 = figures.iter().map(|device| device.repeated).sum();
    let noise: u64 = figures.iter().map(|device| device.noise).sum();
    format!("{} events, {accepted} messages taken, {repeated} known again, {noise} faults on the lines survived, {open} wait for a person", running.head())
}

/// Charges of what was done last.
async fn catch_up(running: &Running) {
    let mut last = 0;
    for _ in 0..200 {
        tokio::time::sleep(Duration::from_millis(25)).await;
        let head = running.head();
        if head == last && running.rows.applied() == head {
            break;
        }
        last = head;
    }
}

/// Empties the beds of an earlier run.
async fn discharge_all(config: &Config, running: &Running) {
    let clock = real_clock();
    for (number, bed) in config.wards.iter().flat_map(|ward| ward.bed_ids()).flatten().enumerate() {
        let Some(patient) = running.rows.get::<BedRow>("bed", bed.as_str()).and_then(|row| row.bed.occupant().map(|(patient, _)| patient.clone())) else { continue };
        let now = clock.now();
        let mut id = *b"demo-discharge..";
        id[..8].copy_from_slice(&running.head().to_be_bytes());
        id[14..].copy_from_slice(&u16::try_from(number).unwrap_or(0).to_be_bytes());
        let origin = crate::actor::Origin::new(CommandId::from_bytes(id), Principal::System("demo".to_owned()), now);
        running.hospital.census(census::Command::Discharge { patient, bed: Some(bed) }, origin).await;
    }
}

/// Fills the cabinets.
async fn stock(config: &Config, running: &Running) -> Result<(), AppError> {
    let clock = real_clock();
    for (number, (cabinet, pocket)) in config.cabinets.iter().flat_map(|cabinet| cabinet.pockets.iter().map(move |pocket| (cabinet, pocket))).enumerate() {
        let now = clock.now();
        let mut id = *b"demo-stock......";
        id[12..].copy_from_slice(&u32::try_from(number).unwrap_or(0).to_be_bytes());
        let command = CommandId::from_bytes(id);
        let origin = crate::actor::Origin::new(command, Principal::System("demo".to_owned()), now);
        let expires = now.plus_seconds(86_400 * 365).date();
        let load = Command::Load {
            pocket: Some(pocket.id.clone()),
            gtin: None,
            lot: format!("DEMO{number}"),
            expires,
            quantity: 500.into(),
            delivery: Some("demo".to_owned() + &number.to_string()),
        };
        running.hospital.cabinet(&cabinet.id, load, origin).await;
    }
    Ok(())
}

/// What the journal holds from an event on.
fn count(log: &dyn Log, after: u64) -> BTreeMap<String, u64> {
    let mut counts = BTreeMap::new();
    let mut next = after + 1;
    loop {
        let batches = log.read_all(next, 256).unwrap_or_default();
        let Some(last) = batches.last() else { return counts };
        next = last.last() + 1;
        for event in batches.iter().flat_map(|batch| &batch.events) {
            *counts.entry(format!("{}/{}", event.event.stream.kind().word(), event.event.kind)).or_insert(0) += 1;
            if event.event.stream.kind() == StreamKind::Specimen && event.event.payload.get().contains("\"is_first\":true") {
                *counts.entry("billable/results".to_owned()).or_insert(0) += 1;
            }
        }
    }
}

/// What must be equal, what must not be less (a message whose answer was lost is in the journal and not in the tally), and
/// what must not be more: nothing happens that nobody asked for.
fn compare(tally: &Tally, journal: &BTreeMap<String, u64>) -> Vec<String> {
    let of = |key: &str| journal.get(key).copied().unwrap_or(0);
    let mut differences = Vec::new();
    let mut between = |what: &str, found: u64, acknowledged: u64, asked: u64| {
        if found < acknowledged || found > asked {
            differences.push(format!("{what}: the journal has {found}, {acknowledged} were acknowledged and {asked} asked for"));
        }
    };
    // A transfer is an admission to the new bed.
    let movements = tally.admitted + tally.transferred;
    between("admissions", of("bed/PatientAdmitted"), movements, movements + tally.admissions_refused + tally.movements_refused);
    between("lab orders", of("specimen/TestsOrdered"), tally.orders_placed, tally.orders_placed + tally.orders_refused);
    between("scans of tubes", of("specimen/Collected") + of("specimen/Received"), 0, 2 * (tally.orders_placed + tally.orders_refused));
    between("vends", of("cabinet/Vended"), tally.vends_accepted, tally.vends_accepted + tally.vends_refused);
    between("returns", of("cabinet/Returned"), tally.returns_accepted, tally.returns_accepted + tally.vends_accepted);
    between("wastes", of("cabinet/Wasted"), tally.wastes_accepted, tally.wastes_accepted + tally.vends_accepted);
    // What an analyzer said of a tube that nobody knows waits for a person, and is no result yet.
    let filed = if of("quarantine/Held") == 0 { tally.observations_acknowledged } else { 0 };
    between("results", of("specimen/ResultFiled"), filed, u64::MAX);
    let billable = of("billable/results") + of("cabinet/Vended") + of("cabinet/Returned") + of("cabinet/VendCancelled");
    let charged = of("account/Charged");
    if billable != charged {
        differences.push(format!("charges: {billable} acts were billable, {charged} charges were written"));
    }
    for (what, count) in [
        ("second patients in a bed", tally.bed_conflicts_accepted),
        ("vends of more than there was", tally.excessive_vends_accepted),
        ("repeated requests with another answer", tally.repeats_different),
    ] {
        if count > 0 {
            differences.push(format!("{what}: {count}"));
        }
    }
    differences
}

impl std::fmt::Display for Report {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let of = |key: &str| self.journal.get(key).copied().unwrap_or(0);
        writeln!(f, "\nwhat the people and devices say\n{}", self.tally)?;
        writeln!(f, "what the journal says")?;
        for (key, count) in &self.journal {
            writeln!(f, "  {key}: {count}")?;
        }
        let billable = of("billable/results") + of("cabinet/Vended") + of("cabinet/Returned") + of("cabinet/VendCancelled");
        writeln!(f, "billable acts {billable}, charges {}", of("account/Charged"))?;
        match self.differences.as_slice() {
            [] => writeln!(f, "the counts agree"),
            lines => lines.iter().try_for_each(|line| writeln!(f, "DIFFERENCE {line}")),
        }
    }
}
