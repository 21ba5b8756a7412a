//! Starting and stopping.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::os::unix::fs::{DirBuilderExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use tokio::runtime::Handle;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::JoinSet;

use super::certificates::Certificates;
use super::consumers::Consumers;
use super::openers::{BoardOpener, MqttOpener};
use super::reload::{self, Live};
use super::{AppError, alerts, bands, check, endpoints, heads, profiles, real_clock, reminders, sockets, subscriptions, waiting, wiring};
use crate::access::Gate;
use crate::actor::{Hospital, Origin, Outcome};
use crate::api::{self, Api, Replay, Replayed};
use crate::config::Config;
use crate::domain::cabinet::Command;
use crate::gateway::{self, DrawerCommands, Pulse};
use crate::journal::views::SledViews;
use crate::journal::{self, FileLog, KeyRing, Log, Opened, Options};
use crate::kernel::{Accession, CabinetId, Clock, CommandId, DeviceId, Principal, RawBytes};
use crate::outbound::{Bands, Opener, Reminders, Traces};
use crate::profile::{Framing, Profile};
use crate::projection::{HeldItem, History, Rows};
use crate::{link, telemetry};

/// wardd stops within this time; what is not drained then is not lost, since its senders have no answer yet.
const DRAIN: Duration = Duration::from_millis(4_000);

/// Between two beats for systemd's watchdog, and how long a probe may take.
const WATCHDOG_EVERY: Duration = Duration::from_secs(5);
const PROBE: Duration = Duration::from_secs(4);

/// A wardd that runs.
pub struct Running {
    /// The addresses that were really bound.
    pub endpoints: BTreeMap<String, SocketAddr>,
    /// What was found in the journal.
    pub opened: Opened,
    /// The actors.
    pub hospital: Arc<Hospital>,
    /// The read models.
    pub rows: Arc<Rows>,
    /// What can be replaced while it runs.
    pub(super) live: Live,
    log: Arc<FileLog>,
    directory: PathBuf,
    stop: watch::Sender<bool>,
    tasks: JoinSet<()>,
    consumers: JoinSet<()>,
    /// One of each gateway's task.
    pulses: Vec<Arc<Pulse>>,
    clock: Clock,
}

/// A folder that only wardd's user can look into.
fn make_private(path: &Path) -> Result<(), AppError> {
    let failed = |source| AppError::File { path: path.to_owned(), source };
    std::fs::DirBuilder::new().recursive(true).mode(0o700).create(path).map_err(failed)?;
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o700)).map_err(failed)
}

/// Handles messages of the quarantine again.
struct Replays {
    devices: BTreeMap<DeviceId, Arc<gateway::Device>>,
}

impl Replay for Replays {
    fn replay(&self, device: DeviceId, raw: RawBytes, item: HeldItem, bind: Option<Accession>) -> Replayed<'_> {
        Box::pin(async move {
            let known = self.devices.get(&device).ok_or_else(|| format!("device {device} is not in the configuration any more"))?;
            let selection = gateway::Selection { reason: &item.reason, part: item.part, bind: bind.as_ref() };
            gateway::replay(known, raw, selection).await
        })
    }
}

/// Starts everything and says what was bound: devices and actors here, pages and what follows the log at the `desk`. `ring` is
/// none for the configured key ring.
pub async fn start(config: &Config, profiles: &profiles::Source, ring: Option<KeyRing>, desk: &Handle) -> Result<Running, AppError> {
    let clock = real_clock();
    let ring = ring.map_or_else(|| wiring::keys(config), Ok)?;
    let device_profiles = wiring::load_profiles(config, profiles)?;
    for device in &config.devices {
        if let Some(why) = device_profiles.get(&device.id).and_then(|profile| check::misfits(device, profile).next()) {
            return Err(AppError::Setting(format!("device {}: {why}", device.id)));
        }
    }
    let live = Live::new(config)?;
    let directory = config.data.directory.clone();
    make_private(&directory)?;
    make_private(&directory.join("views"))?;
    endpoints::remove(&directory);
    let options = Options { segment_bytes: config.journal.segment_mib << 20, ..Options::default() };
    let ring = Arc::new(ring);
    let place = directory.join("journal");
    let (log, opened) = match &config.journal.mirror {
        None => FileLog::open(&place, ring.clone(), options)?,
        Some(mirror) => {
            let (log, opened, mirrored) = journal::mirror::open(&place, mirror, ring.clone(), options)?;
            for segment in &mirrored.healed {
                tracing::warn!(segment = %segment.display(), "segment taken from the mirror");
            }
            (log, opened)
        }
    };
    let log = Arc::new(log);
    let shared: Arc<dyn Log> = log.clone();
    let stale = directory.join("views-stale");
    forget_views(&directory.join("views"), &stale)?;
    let (views, _) = SledViews::open(&directory.join("views"), &ring)?;
    let views = Arc::new(views);
    log.keep_snapshots(views.clone());
    let rows = Arc::new(Rows::open(views.clone(), log.head())?);
    let hospital = Arc::new(Hospital::start(wiring::layout(config, wiring::policy(config)?), shared.clone()).await?);
    assign_pockets(config, &hospital, &clock).await?;

    telemetry::begin_counting();
    let (stop, stopping) = watch::channel(false);
    let mut wired = wire(config, &device_profiles, &live.certificates, &hospital, &clock, &stopping).await?;
    let mut consumers = JoinSet::new();
    let following = Consumers {
        stale,
        log: shared.clone(),
        views,
        rows: rows.clone(),
        hospital: hospital.clone(),
        prices: live.prices.subscribe(),
        openers: std::mem::take(&mut wired.openers),
        printers: wiring::printers(config, &live.certificates),
        forwarding: wiring::forwarding(config, &live.certificates, shared.clone()),
        feeds: wiring::feeds(config, &live.certificates, shared.clone(), clock.clone()),
        bands: config.wristbands.as_ref().map(|bands| {
            let bands = bands::House { prefix: bands.company_prefix.clone(), hospital: hospital.clone(), rows: rows.clone(), clock: clock.clone() };
            Arc::new(bands) as Arc<dyn Bands>
        }),
        clock: clock.clone(),
        desk: desk.clone(),
    };
    consumers.spawn(following.run());
    if let Some(traces) = &config.traces {
        let traces = Traces::new(&traces.endpoint, &config.hospital.facility, clock.clone())?;
        consumers.spawn_on(traces.run(shared.clone()), desk);
    }

    let http = &config.http;
    let tls = live.certificates.http.as_ref().map(watch::Sender::subscribe);
    let is_tls = tls.is_some();
    let (address, opened_before) = (http.bind, sockets::inherited("http", http.bind)?);
    // Where it is bound is where its connections are woken.
    let bound = desk.spawn(async move { api::bind(address, opened_before, tls).await });
    let server = bound.await.map_err(|error| AppError::Setting(format!("http: {error}")))??;
    if let Ok(address) = server.address() {
        wired.endpoints.insert("http".to_owned(), address);
    }
    let gate = Gate::new(wiring::house(config), live.roles.subscribe(), hospital.clone(), shared.clone(), rows.clone(), clock.clone());
    let gate = Arc::new(gate.map_err(|failure| AppError::Setting(failure.to_string()))?);
    let (watching, until) = (gate.clone(), stopping.clone());
    wired.tasks.spawn_on(async move { watching.watch(until).await }, desk);
    wired.tasks.spawn_on(live.certificates.watch(clock.clone(), stopping.clone()), desk);
    wired.tasks.spawn_on(heads::sign(directory.join("journal"), ring.clone(), clock.clone(), stopping.clone()), desk);
    if let Some(reminders) = &config.reminders {
        telemetry::begin_reminders();
        let reminding = reminders::Reminding {
            hospital: hospital.clone(),
            rows: rows.clone(),
            log: shared.clone(),
            clock: clock.clone(),
            gateway: Reminders::new(&reminders.endpoint),
            minutes: reminders.hours_before.iter().map(|hours| hours * 60).collect(),
        };
        wired.tasks.spawn_on(reminding.watch(stopping.clone()), desk);
    }
    wired.tasks.spawn_on(alerts::watch(hospital.clone(), (rows.clone(), shared.clone()), clock.clone(), stopping.clone()), desk);
    wired.tasks.spawn_on(waiting::watch(hospital.clone(), (rows.clone(), shared.clone()), clock.clone(), stopping.clone()), desk);
    let api = Api {
        one_by_one: Arc::default(),
        registering: Arc::default(),
        name: config.hospital.name.as_str().into(),
        facility: config.hospital.facility.as_str().into(),
        hospital: hospital.clone(),
        rows: rows.clone(),
        history: History::new(shared.clone()),
        clock,
        catalogue: live.catalogue.subscribe(),
        gate,
        is_tls,
        told: Arc::new(config.subscriptions.endpoints.clone()),
        wristbands: Arc::new(wiring::wristbands(config)),
        provider: wiring::provider(config, real_clock())?,
        replay: Arc::new(Replays { devices: wired.devices }),
        stop: stopping.clone(),
    };
    let telling = subscriptions::Subscriptions { api: api.clone(), log: shared.clone(), hooks: wiring::hooks(config)? };
    wired.tasks.spawn_on(telling.run(stopping.clone()), desk);
    wired.tasks.spawn_on(server.serve(api::router(api), stopping), desk);
    endpoints::write(&directory, &wired.endpoints)?;
    Ok(Running { endpoints: wired.endpoints, opened, hospital, rows, live, log, directory, stop, tasks: wired.tasks, consumers, pulses: wired.pulses, clock: real_clock() })
}

/// Devices on their links.
struct Wired {
    endpoints: BTreeMap<String, SocketAddr>,
    devices: BTreeMap<DeviceId, Arc<gateway::Device>>,
    openers: BTreeMap<CabinetId, (DeviceId, Arc<dyn Opener>)>,
    tasks: JoinSet<()>,
    pulses: Vec<Arc<Pulse>>,
}

async fn wire(
    config: &Config,
    profiles: &BTreeMap<DeviceId, Arc<Profile>>,
    certificates: &Certificates,
    hospital: &Arc<Hospital>,
    clock: &Clock,
    stopping: &watch::Receiver<bool>,
) -> Result<Wired, AppError> {
    let broker = config.mqtt.as_ref().map(|mqtt| wiring::broker(mqtt, Some(certificates))).transpose()?;
    let sender = broker.as_ref().map(|broker| link::mqtt::send(broker, telemetry::device("broker")));
    let mut wired = Wired { endpoints: BTreeMap::new(), devices: BTreeMap::new(), openers: BTreeMap::new(), tasks: JoinSet::new(), pulses: Vec::new() };
    let mut on_broker = Vec::new();
    for device in &config.devices {
        let Some(profile) = profiles.get(&device.id).cloned() else { continue };
        let cabinet = config.cabinets.iter().find(|cabinet| cabinet.drawers.as_ref() == Some(&device.id)).map(|cabinet| cabinet.id.clone());
        let board = match (&profile.framing, cabinet) {
            (Framing::Line { .. }, Some(cabinet)) => {
                let (commands, board) = DrawerCommands::new();
                wired.openers.insert(cabinet, (device.id.clone(), Arc::new(BoardOpener(commands))));
                Some(board)
            }
            (Framing::Mqtt { commands: Some(topic), .. }, Some(cabinet)) => {
                if let Some(sender) = &sender {
                    let opener = MqttOpener { sender: sender.clone(), topic: topic.replace("{device}", device.id.as_str()) };
                    wired.openers.insert(cabinet, (device.id.clone(), Arc::new(opener)));
                }
                None
            }
            _ => None,
        };
        let serving = wiring::serving(device, &profile, certificates).await?;
        let expect = &profile.expect;
        telemetry::device(device.id.as_str()).expect(telemetry::Expected {
            silence_seconds: i64::from(expect.silence_minutes) * 60,
            skew_seconds: i64::from(expect.skew_seconds),
            since: clock.now(),
        });
        let bad_frames = expect.bad_frames;
        let served = Arc::new(gateway::Device {
            id: device.id.clone(),
            profile,
            purpose: wiring::purpose(device),
            hospital: hospital.clone(),
            clock: clock.clone(),
            figures: telemetry::device(device.id.as_str()),
            facility: config.hospital.facility.clone(),
            stop: stopping.clone(),
            sender: device.sender.clone(),
            last_scan: gateway::LastScan::default(),
            peers: gateway::Peers::default(),
            gate: gateway::Gate::new(bad_frames),
            board,
        });
        wired.devices.insert(device.id.clone(), served.clone());
        match serving {
            None => on_broker.push(served),
            Some(serving) => {
                if let Some(address) = serving.address() {
                    wired.endpoints.insert(device.id.to_string(), address);
                }
                wired.spawn(device.id.as_str(), clock, gateway::serve(served, serving));
            }
        }
    }
    if let (Some(broker), false) = (&broker, on_broker.is_empty()) {
        let topics = gateway::topics(&on_broker);
        let (messages, incoming) = mpsc::channel(link::mqtt::RECEIVE_MAXIMUM.into());
        let reached = on_broker.iter().map(|device| device.figures.clone()).collect();
        let receiver = link::mqtt::receive(broker, topics.keys().cloned().collect(), messages, telemetry::device("broker"), reached);
        wired.spawn("the broker", clock, gateway::serve_broker(topics, receiver, incoming));
    }
    Ok(wired)
}

impl Wired {
    /// Starts a gateway's task, whose pulse the watchdog asks for.
    fn spawn(&mut self, name: &str, clock: &Clock, work: impl Future<Output = ()> + Send + 'static) {
        let pulse = Arc::new(Pulse::new(name, clock.tick()));
        self.pulses.push(pulse.clone());
        let clock = clock.clone();
        self.tasks.spawn(async move { pulse.during(&clock, work).await });
    }
}

/// What the configuration says about pockets becomes a fact of their cabinets.
async fn assign_pockets(config: &Config, hospital: &Hospital, clock: &Clock) -> Result<(), AppError> {
    for cabinet in &config.cabinets {
        for pocket in &cabinet.pockets {
            let mut id = [0; 16];
            getrandom::fill(&mut id).map_err(|error| AppError::Setting(error.to_string()))?;
            let command = CommandId::from_bytes(id);
            let now = clock.now();
            let origin = Origin::new(command, Principal::System("configuration".to_owned()), now);
            let assign = Command::AssignPocket { pocket: pocket.id.clone(), item: pocket.item.clone(), gtins: pocket.gtins.clone(), is_controlled: pocket.controlled };
            match hospital.cabinet(&cabinet.id, assign, origin).await {
                Outcome::Done(_) | Outcome::Nothing | Outcome::Repeated => {}
                Outcome::Refused(refusal) => return Err(AppError::Setting(format!("cabinet {}: {}", cabinet.id, refusal.message))),
                Outcome::Held(_, reason) => return Err(AppError::Setting(reason.sentence())),
                Outcome::Failed(failure) => return Err(AppError::Setting(format!("cabinet {}: {failure}", cabinet.id))),
            }
        }
    }
    Ok(())
}

impl Running {
    /// The journal's head.
    pub fn head(&self) -> u64 {
        self.log.head()
    }

    /// The log, for reading.
    pub fn history(&self) -> Arc<dyn Log> {
        self.log.clone()
    }

    /// Whether every gateway's task lives and the journal's writer answers; a hung disk or a dead thread does not.
    pub async fn answers(&self) -> bool {
        let now = self.clock.tick();
        let silent: Vec<&str> = self.pulses.iter().filter(|pulse| !pulse.is_alive(now)).map(|pulse| pulse.name()).collect();
        if !silent.is_empty() {
            tracing::error!("WD-0205 the gateways of {} do not answer: the watchdog is not fed", silent.join(", "));
            return false;
        }
        let (sender, receiver) = oneshot::channel();
        self.log.barrier(
            Vec::new(),
            Box::new(move |result| {
                // Nobody waits any more when the probe took too long.
                let _ = sender.send(result.is_ok());
            }),
        );
        let is_alive = matches!(tokio::time::timeout(PROBE, receiver).await, Ok(Ok(true)));
        if !is_alive {
            tracing::error!("WD-0107 the journal does not answer within {} s: the watchdog is not fed", PROBE.as_secs());
        }
        is_alive
    }

    /// Becomes the cause when the journal fails.
    pub fn failure(&self) -> watch::Receiver<Option<String>> {
        self.log.failure()
    }

    /// Stops intake, drains what is under way, lets consumers catch up, and closes the journal.
    pub async fn stop(mut self) {
        self.stop.send_replace(true);
        endpoints::remove(&self.directory);
        let drained = async {
            while self.tasks.join_next().await.is_some() {}
            self.hospital.stop().await;
            // The read models and charges of what was taken last.
            for _ in 0..100 {
                if self.rows.applied() >= self.log.head() {
                    break;
                }
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        };
        if tokio::time::timeout(DRAIN, drained).await.is_err() {
            tracing::warn!("not everything was drained in time; its senders have no answer and will send it again");
        }
        self.tasks.abort_all();
        self.consumers.abort_all();
        while self.tasks.join_next().await.is_some() {}
        while self.consumers.join_next().await.is_some() {}
        if let Err(error) = self.rows.write() {
            telemetry::consumer_failed("projection", &error.to_string());
        }
        tracing::info!(events = self.log.head(), "wardd stopped");
    }
}

/// Views that hold what was erased since are made anew from the log.
fn forget_views(views: &Path, stale: &Path) -> Result<(), AppError> {
    if !stale.exists() {
        return Ok(());
    }
    let failed = |path: &Path| {
        let path = path.to_owned();
        move |source| journal::JournalError::Io { path, action: "remove what was erased", source }
    };
    if views.exists() {
        std::fs::remove_dir_all(views).map_err(failed(views))?;
    }
    // Also those that were damaged and set aside.
    for entry in views.parent().and_then(|folder| std::fs::read_dir(folder).ok()).into_iter().flatten().flatten() {
        if entry.file_name().to_string_lossy().starts_with("views.damaged-") {
            std::fs::remove_dir_all(entry.path()).map_err(failed(&entry.path()))?;
        }
    }
    // Last: a start that is cut off does it again.
    std::fs::remove_file(stale).map_err(failed(stale))?;
    tracing::info!("a person was erased: the views are made anew");
    Ok(())
}

/// Waits for SIGTERM or SIGINT.
pub async fn until_signal() {
    let (Ok(mut terminate), Ok(mut interrupt)) = (signal(SignalKind::terminate()), signal(SignalKind::interrupt())) else {
        return std::future::pending().await;
    };
    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
}

/// Runs wardd until it is told to stop, or its journal fails. `path` is read again at SIGHUP.
pub async fn run(path: &Path, config: &Config, desk: &Handle) -> Result<(), AppError> {
    let running = start(config, &profiles::Source::Folder(config.profiles.clone()), None, desk).await?;
    tracing::info!(events = running.opened.events, segments = running.opened.segments, cut_bytes = running.opened.cut_bytes, endpoints = ?running.endpoints, "wardd is ready");
    notify(&[sd_notify::NotifyState::Ready]);
    let mut failure = running.failure();
    let beat = async {
        loop {
            tokio::time::sleep(WATCHDOG_EVERY).await;
            if running.answers().await {
                notify(&[sd_notify::NotifyState::Watchdog]);
            }
        }
    };
    let reloads = async {
        let Ok(mut hangup) = signal(SignalKind::hangup()) else { return std::future::pending().await };
        while hangup.recv().await.is_some() {
            reload::reload(path, config, &running.live);
        }
    };
    let failed = tokio::select! {
        () = until_signal() => None,
        cause = failure.wait_for(Option::is_some) => cause.ok().and_then(|cause| cause.clone()),
        () = beat => None,
        () = reloads => None,
    };
    notify(&[sd_notify::NotifyState::Stopping]);
    running.stop().await;
    failed.map_or(Ok(()), |cause| Err(AppError::JournalFailed(cause)))
}

fn notify(states: &[sd_notify::NotifyState<'_>]) {
    // Outside of systemd there is nobody to tell.
    let _ = sd_notify::notify(states);
}
