//! The real binary in a folder of its own, on a disk that fails, with a real broker beside it.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::net::{SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;

use crate::app::{AppError, profiles};
use crate::journal::{KeyRing, Reader, StoredBatch};
use crate::sim::disk_shim::DiskShim;

const CONFIG: &str = include_str!("wardd.toml");
const PRICES: &str = include_str!("prices.toml");
const PROFILES: [&str; 4] = ["generic/hl7-feed", "generic/network-scanner", "sysmex/xn-550", "generic/rfid-mqtt"];
/// A start takes a second on a slow disk.
const START: Duration = Duration::from_secs(20);

/// Where everything listens while the process lives.
pub(super) type Endpoints = watch::Sender<Option<BTreeMap<String, SocketAddr>>>;

fn failed(path: &Path) -> impl FnOnce(std::io::Error) -> AppError {
    let path = path.to_owned();
    move |source| AppError::File { path, source }
}

/// A process that is ended when nobody needs it any more.
struct Guarded(Child);

impl Drop for Guarded {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Tries to start a broker, and how long one that cannot have its port lives at most.
const STARTS: u32 = 20;
const SETTLED: std::time::Duration = std::time::Duration::from_millis(100);
/// Ports that the system gives to nobody by itself, so that one is still free when a broker comes back to it.
const PORTS: std::ops::Range<u16> = 20_000..30_000;

/// An address that nobody has now; each process begins to look elsewhere.
fn free_address() -> Option<SocketAddr> {
    let count = PORTS.end - PORTS.start;
    let from = u16::try_from(std::process::id() % u32::from(count)).unwrap_or(0);
    (0..count).map(|step| PORTS.start + (from + step) % count).find_map(|port| TcpListener::bind(("127.0.0.1", port)).and_then(|listener| listener.local_addr()).ok())
}

/// mosquitto, with its messages kept over a restart.
struct Broker {
    program: PathBuf,
    config: PathBuf,
    process: Option<Guarded>,
}

impl Broker {
    fn new(folder: &Path, program: PathBuf) -> Result<(Self, SocketAddr), AppError> {
        let address = free_address().ok_or_else(|| failed(folder)(std::io::ErrorKind::AddrInUse.into()))?;
        let (config, kept) = (folder.join("mosquitto.conf"), folder.join("broker"));
        fs::create_dir_all(&kept).map_err(failed(&kept))?;
        let text = format!(
            "listener {} 127.0.0.1\nallow_anonymous true\nmax_queued_messages 10000\npersistence true\npersistence_location {}/\n{}",
            address.port(),
            kept.display(),
            // Without it mosquitto, started by root, becomes a user that may not write there.
            if is_root() { "user root\n" } else { "" }
        );
        fs::write(&config, text).map_err(failed(&config))?;
        Ok((Self { program, config, process: None }, address))
    }

    /// Starts it, and again when it ends at once: somebody may have its port for a moment.
    fn start(&mut self) -> Result<(), AppError> {
        for _ in 0..STARTS {
            let child = Command::new(&self.program).arg("-c").arg(&self.config).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn();
            let mut process = Guarded(child.map_err(failed(&self.program))?);
            std::thread::sleep(SETTLED);
            if matches!(process.0.try_wait(), Ok(None)) {
                self.process = Some(process);
                return Ok(());
            }
        }
        Err(failed(&self.program)(std::io::ErrorKind::AddrInUse.into()))
    }

    /// By SIGTERM: it writes down what it keeps.
    fn stop(&mut self) {
        if let Some(mut process) = self.process.take() {
            signal(&process.0, "TERM");
            let _ = process.0.wait();
        }
    }
}

fn is_root() -> bool {
    use std::os::unix::fs::MetadataExt;
    fs::metadata("/proc/self").is_ok_and(|about| about.uid() == 0)
}

/// Sends a signal by the system's own program.
fn signal(child: &Child, name: &str) {
    // The process may have ended just now.
    let _ = Command::new("kill").arg(format!("-{name}")).arg(child.id().to_string()).stderr(Stdio::null()).status();
}

/// The house.
pub(super) struct House {
    folder: PathBuf,
    program: PathBuf,
    process: Option<Guarded>,
    broker: Option<Broker>,
    pub(super) broker_at: Option<SocketAddr>,
    pub(super) shim: DiskShim,
    endpoints: Endpoints,
}

impl Drop for House {
    fn drop(&mut self) {
        // What is left among temporary files does no harm.
        if !self.keeps_folder() {
            let _ = fs::remove_dir_all(&self.folder);
        }
    }
}

impl House {
    /// Prepares a folder: configuration, key ring, profiles, prices, disk and broker.
    pub(super) fn new(seed: u64, program: &Path, endpoints: Endpoints) -> Result<Self, AppError> {
        let folder = std::env::temp_dir().join(format!("wardd-sim-{seed}-{}", std::process::id()));
        let data = folder.join("data");
        // One of an earlier run.
        let _ = fs::remove_dir_all(&folder);
        fs::create_dir_all(&data).map_err(failed(&data))?;
        for id in PROFILES {
            let path = folder.join("profiles").join(format!("{id}.toml"));
            fs::create_dir_all(path.parent().unwrap_or(&folder)).map_err(failed(&path))?;
            fs::write(&path, profiles::built_in(id).unwrap_or_default()).map_err(failed(&path))?;
        }
        KeyRing::create(&folder.join("keyring.toml"))?;
        let mosquitto = ["/usr/sbin", "/usr/bin", "/usr/local/sbin"].iter().map(|place| Path::new(place).join("mosquitto")).find(|path| path.exists());
        let (broker, broker_at) = mosquitto.map(|program| Broker::new(&folder, program)).transpose()?.unzip();
        let mqtt = broker_at.map_or_else(String::new, |address| {
            format!(
                "[mqtt]\nbroker = \"{address}\"\nclient_id = \"wardd\"\n[[devices]]\nid = \"door\"\nprofile = \"generic/rfid-mqtt\"\nversion = 1\nlink = {{ kind = \"mqtt\" }}\n"
            )
        });
        let config = folder.join("wardd.toml");
        fs::write(&config, CONFIG.replace("{mqtt}", &mqtt).replace("{folder}", &folder.display().to_string())).map_err(failed(&config))?;
        fs::write(folder.join("prices.toml"), PRICES).map_err(failed(&folder))?;
        let shim = DiskShim::build(&folder, &data).map_err(failed(&folder))?;
        let mut house = Self { folder, program: program.to_owned(), process: None, broker, broker_at, shim, endpoints };
        house.broker_up()?;
        Ok(house)
    }

    fn keeps_folder(&self) -> bool {
        std::thread::panicking() || std::env::var_os("WARDD_KEEP").is_some()
    }

    /// Where the serial cable of a device is plugged in.
    pub(super) fn cable(&self, device: &str) -> PathBuf {
        self.folder.join(device)
    }

    /// Starts the binary and waits until it says where it listens. False when it ended first, as on a disk that fails.
    pub(super) async fn start(&mut self) -> Result<bool, AppError> {
        let (at, log) = (self.folder.join("data/endpoints.json"), self.folder.join("log"));
        // It is there after a kill.
        let _ = fs::remove_file(&at);
        let said = File::options().create(true).append(true).open(&log).map_err(failed(&log))?;
        let mut command = Command::new(&self.program);
        command.args(["run", "--config"]).arg(self.folder.join("wardd.toml")).stdin(Stdio::null()).stdout(Stdio::null()).stderr(said);
        self.shim.wrap(&mut command, true);
        let mut process = Guarded(command.spawn().map_err(failed(&self.program))?);
        let until = tokio::time::Instant::now() + START;
        while tokio::time::Instant::now() < until {
            let endpoints = fs::read_to_string(&at).ok().and_then(|text| serde_json::from_str(&text).ok());
            if let Some(endpoints) = endpoints {
                self.endpoints.send_replace(Some(endpoints));
                self.process = Some(process);
                return Ok(true);
            }
            if process.0.try_wait().map_err(failed(&self.program))?.is_some() {
                break;
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        drop(process);
        self.ended()?;
        Ok(false)
    }

    fn ended(&mut self) -> Result<(), AppError> {
        self.endpoints.send_replace(None);
        self.shim.ended().map_err(failed(&self.folder))
    }

    /// How it has ended by itself, when it has.
    pub(super) fn exit(&mut self) -> Result<Option<ExitStatus>, AppError> {
        let status = match &mut self.process {
            Some(process) => process.0.try_wait().map_err(failed(&self.program))?,
            None => None,
        };
        if status.is_some() {
            self.process = None;
            self.ended()?;
        }
        Ok(status)
    }

    /// SIGKILL.
    pub(super) fn kill(&mut self) -> Result<(), AppError> {
        self.process = None;
        self.ended()
    }

    /// SIGTERM; how it ended.
    pub(super) fn terminate(&mut self) -> Result<Option<ExitStatus>, AppError> {
        let Some(mut process) = self.process.take() else { return Ok(None) };
        signal(&process.0, "TERM");
        let status = process.0.wait().map_err(failed(&self.program))?;
        self.ended()?;
        Ok(Some(status))
    }

    /// SIGSTOP and, at the end, SIGCONT.
    pub(super) fn freeze(&self, is_frozen: bool) {
        if let Some(process) = &self.process {
            signal(&process.0, if is_frozen { "STOP" } else { "CONT" });
        }
    }

    pub(super) fn broker_up(&mut self) -> Result<(), AppError> {
        self.broker.as_mut().map_or(Ok(()), Broker::start)
    }

    pub(super) fn broker_down(&mut self) {
        if let Some(broker) = &mut self.broker {
            broker.stop();
        }
    }

    /// What the log holds now.
    pub(super) fn log(&self) -> Result<Vec<Arc<StoredBatch>>, AppError> {
        let keys = Arc::new(KeyRing::load(&self.folder.join("keyring.toml"))?);
        let mut batches = Vec::new();
        Reader::new(&self.folder.join("data/journal"), keys).each(1, |batch| batches.push(Arc::new(batch.clone())))?;
        Ok(batches)
    }

    /// The last lines that it said.
    pub(super) fn said(&self) -> String {
        let text = fs::read_to_string(self.folder.join("log")).unwrap_or_default();
        let lines: Vec<&str> = text.lines().collect();
        lines.iter().skip(lines.len().saturating_sub(5)).copied().collect::<Vec<_>>().join("\n")
    }
}
