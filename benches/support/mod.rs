//! What the benches share: the real binary in a folder of its own, the floor beside it, the driver.
#![allow(dead_code, clippy::allow_attributes, reason = "each bench uses a part of it")]

pub mod astm;

use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;

const HEAD: &str = r#"
profiles = "{root}/device-profiles"
prices = "{root}/config/prices.toml"
[hospital]
name = "Bench"
facility = "B"
[data]
directory = "data"
[journal]
keyring = "keyring.toml"
[access]
open = true
[http]
bind = "127.0.0.1:0"
[log]
target = "json"
filter = "error"
"#;

/// A device of the configuration that listens on a free port.
pub fn listener(id: &str, profile: &str) -> String {
    format!("[[devices]]\nid = \"{id}\"\nprofile = \"{profile}\"\nversion = 1\nlink = {{ kind = \"tcp-listen\", bind = \"127.0.0.1:0\" }}\n")
}

/// A process that ends with its owner.
pub struct Process(pub Child);

impl Drop for Process {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

impl Process {
    fn status(&self, name: &str) -> u64 {
        let text = std::fs::read_to_string(format!("/proc/{}/status", self.0.id())).unwrap_or_default();
        text.lines().find_map(|line| line.strip_prefix(name)?.split_whitespace().nth(1)?.parse().ok()).unwrap_or(0)
    }

    /// Resident memory in MB.
    pub fn memory(&self) -> f64 {
        self.status("VmRSS") as f64 / 1024.0
    }

    /// Open file descriptors.
    pub fn descriptors(&self) -> usize {
        std::fs::read_dir(format!("/proc/{}/fd", self.0.id())).map_or(0, Iterator::count)
    }

    /// Seconds of processor used.
    pub fn cpu(&self) -> f64 {
        let text = std::fs::read_to_string(format!("/proc/{}/stat", self.0.id())).unwrap_or_default();
        let fields: Vec<&str> = text.rsplit(')').next().unwrap_or_default().split_whitespace().collect();
        let ticks = |at: usize| fields.get(at).and_then(|field| field.parse::<f64>().ok()).unwrap_or(0.0);
        (ticks(11) + ticks(12)) / 100.0
    }

    pub fn signal(&self, name: &str) {
        assert!(Command::new("kill").arg(format!("-{name}")).arg(self.0.id().to_string()).status().unwrap().success());
    }
}

/// Waits until something is there.
pub fn wait<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + Duration::from_secs(60);
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(Instant::now() < deadline, "not so in time: {what}");
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// A wardd that runs in a folder.
pub struct Wardd {
    pub process: Process,
    pub folder: PathBuf,
    pub endpoints: BTreeMap<String, SocketAddr>,
}

impl Wardd {
    /// Prepares an empty folder under `target`.
    pub fn folder(name: &str) -> PathBuf {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("target/bench").join(name);
        let _ = std::fs::remove_dir_all(&folder);
        std::fs::create_dir_all(folder.join("data")).unwrap();
        folder
    }

    /// Starts the binary in a folder; the configuration is written when there is none.
    pub fn start(folder: &Path, more: &str, prepare: impl FnOnce(&mut Command)) -> Self {
        let (config, ring) = (folder.join("wardd.toml"), folder.join("keyring.toml"));
        if !ring.exists() {
            std::fs::write(&config, format!("{}{more}", HEAD.replace("{root}", env!("CARGO_MANIFEST_DIR")))).unwrap();
            assert!(Command::new(env!("CARGO_BIN_EXE_wardctl")).args(["keyring", "new"]).arg(ring).stdout(Stdio::null()).status().unwrap().success());
        }
        let at = folder.join("data/endpoints.json");
        let _ = std::fs::remove_file(&at);
        let log = std::fs::File::options().create(true).append(true).open(folder.join("log")).unwrap();
        let mut command = Command::new(env!("CARGO_BIN_EXE_wardd"));
        command.args(["run", "--config"]).arg(config).stdin(Stdio::null()).stdout(Stdio::null()).stderr(log);
        prepare(&mut command);
        let process = Process(command.spawn().unwrap());
        let endpoints = wait("wardd listens", || serde_json::from_slice(&std::fs::read(&at).ok()?).ok());
        Self { process, folder: folder.to_owned(), endpoints }
    }

    pub fn address(&self, device: &str) -> SocketAddr {
        self.endpoints[device]
    }

    pub fn ask(&self, method: &str, path: &str, body: Option<&Value>) -> (u16, String) {
        let mut stream = TcpStream::connect(self.endpoints["http"]).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
        let body = body.map(Value::to_string).unwrap_or_default();
        let length = body.len();
        write!(stream, "{method} {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nContent-Type: application/json\r\nContent-Length: {length}\r\n\r\n{body}").unwrap();
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).unwrap();
        let answer = String::from_utf8_lossy(&answer).into_owned();
        let (head, body) = answer.split_once("\r\n\r\n").unwrap_or((&answer, ""));
        (head.split_whitespace().nth(1).and_then(|code| code.parse().ok()).unwrap_or(0), body.to_owned())
    }

    /// The sum of a metric's lines that begin with `name`.
    pub fn metric(&self, name: &str) -> f64 {
        let text = self.ask("GET", "/metrics", None).1;
        text.lines().filter(|line| line.starts_with(name)).filter_map(|line| line.rsplit(' ').next()?.parse::<f64>().ok()).sum()
    }

    /// How many events of a type the journal holds; wardd may run.
    pub fn events(&self, kind: &str) -> usize {
        let mut command = Command::new(env!("CARGO_BIN_EXE_wardctl"));
        command.args(["journal", "export", "--data"]).arg(self.folder.join("data")).arg("--keyring").arg(self.folder.join("keyring.toml"));
        let output = command.output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        let needle = format!("\"type\":\"{kind}\"");
        memchr::memmem::find_iter(&output.stdout, needle.as_bytes()).count()
    }
}

/// The tools of the folder `../shared/tools` or of WARDD_TOOLS, built; none where their source is not.
pub fn tools() -> Option<PathBuf> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let source = std::env::var_os("WARDD_TOOLS").map_or_else(|| root.join("../shared/tools"), PathBuf::from).join("mllp-load/Cargo.toml");
    let target = root.join("target/tools");
    let mut command = Command::new("cargo");
    command.args(["build", "--release", "--quiet", "--manifest-path"]).arg(&source).arg("--target-dir").arg(&target);
    let is_built = source.exists() && command.status().is_ok_and(|status| status.success());
    is_built.then(|| target.join("release"))
}

/// The least that a server can do on the same disk: it appends and syncs what waits, and knows nothing but the control id.
pub fn floor(tools: &Path, folder: &Path, prepare: impl FnOnce(&mut Command)) -> (Process, SocketAddr) {
    let address = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let mut command = Command::new(tools.join("mllp-null"));
    command.args(["--mode", "group", "--listen", &address.to_string()]).arg("--file").arg(folder.join("data/floor.log")).stdout(Stdio::null());
    prepare(&mut command);
    let process = Process(command.spawn().unwrap());
    wait("the floor listens", || TcpStream::connect(address).ok());
    (process, address)
}

/// What the driver found.
#[derive(Debug, Clone, Copy)]
pub struct Run {
    pub messages_per_second: f64,
    pub p50_ms: f64,
    pub p99_ms: f64,
    pub cpu_us: f64,
    pub memory: f64,
}

/// One run of the driver; it fails when anything was refused, mismatched or unanswered. Without tools `wardctl` drives.
pub fn drive(tools: Option<&Path>, protocol: &str, address: SocketAddr, connections: &str, seconds: &str, server: &Process) -> Run {
    let (address, pid) = (address.to_string(), server.0.id().to_string());
    let output = match tools {
        Some(tools) => Command::new(tools.join("mllp-load")).args(["--proto", protocol, "--addr", &address, "--conns", connections, "--seconds", seconds, "--pid", &pid]).output(),
        None => Command::new(env!("CARGO_BIN_EXE_wardctl"))
            .args(["bench", "ingest", &address, "--fill-the-quarantine", "--connections", connections, "--seconds", seconds, "--json"])
            .output(),
    };
    let output = output.unwrap();
    assert!(output.status.success(), "{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    let found: Value = serde_json::from_slice(&output.stdout).unwrap();
    let number = |name: &str| found[name].as_f64().unwrap_or(0.0);
    Run {
        messages_per_second: number("msgs_s"),
        p50_ms: number("p50_us") / 1e3,
        p99_ms: number("p99_us") / 1e3,
        cpu_us: number("srv_cpu_us_per_msg"),
        memory: number("srv_hwm_kb") / 1024.0,
    }
}

/// mosquitto on a free port; none when it is not installed.
pub fn mosquitto(folder: &Path) -> Option<(Process, u16)> {
    let program = ["/usr/sbin/mosquitto", "/usr/bin/mosquitto"].iter().find(|path| Path::new(path).exists())?;
    let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let conf = folder.join("mosquitto.conf");
    std::fs::write(&conf, format!("listener {port} 127.0.0.1\nallow_anonymous true\nmax_queued_messages 0\nmax_inflight_messages 1000\npersistence false\n")).unwrap();
    let process = Process(Command::new(program).arg("-c").arg(&conf).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap());
    wait("mosquitto listens", || TcpStream::connect(("127.0.0.1", port)).ok());
    Some((process, port))
}

/// The configuration of a reader behind that broker.
pub fn reader(port: u16) -> String {
    format!("[mqtt]\nbroker = \"127.0.0.1:{port}\"\nclient_id = \"w\"\n[[devices]]\nid = \"door\"\nprofile = \"generic/rfid-mqtt\"\nversion = 1\nlink = {{ kind = \"mqtt\" }}\n")
}
