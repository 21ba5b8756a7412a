//! Durable MLLP ingest at 1, 8 and 64 connections, beside the least that a server can do on the same disk in the same
//! run: one that appends and syncs what waits, and knows nothing of HL7 but the control id.
//! `cargo bench --bench ingest`; the driver and the floor are the tools `mllp-load` and `mllp-null`, built from
//! `../shared/tools` or from the folder in WARDD_TOOLS. Without them `wardctl bench ingest` drives, and there is no floor.
#![expect(clippy::unwrap_used, reason = "a bench may fail loudly")]

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

const CONNECTIONS: [&str; 3] = ["1", "8", "64"];
const SECONDS: &str = "3";

const CONFIG: &str = r#"
profiles = "{root}/device-profiles"
[hospital]
name = "Bench"
facility = "B"
[data]
directory = "data"
[journal]
keyring = "keyring.toml"
[http]
bind = "127.0.0.1:0"
[log]
target = "json"
filter = "warn"
[[devices]]
id = "feed"
profile = "generic/hl7-feed"
version = 1
link = { kind = "tcp-listen", bind = "127.0.0.1:0" }
"#;

/// A process that ends with the bench.
struct Server(Child);

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// The tools, built; none where their source is not.
fn tools() -> Option<PathBuf> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let source = std::env::var_os("WARDD_TOOLS").map_or_else(|| root.join("../shared/tools"), PathBuf::from).join("mllp-load/Cargo.toml");
    let target = root.join("target/tools");
    let is_built = source.exists()
        && Command::new("cargo")
            .args(["build", "--release", "--quiet", "--manifest-path"])
            .arg(&source)
            .arg("--target-dir")
            .arg(&target)
            .status()
            .is_ok_and(|status| status.success());
    is_built.then(|| target.join("release"))
}

/// Waits for a file that says where somebody listens; the address.
fn listening(mut look: impl FnMut() -> Option<String>) -> String {
    let deadline = Instant::now() + Duration::from_secs(30);
    loop {
        if let Some(address) = look() {
            return address;
        }
        assert!(Instant::now() < deadline, "the server did not start");
        std::thread::sleep(Duration::from_millis(20));
    }
}

fn wardd(folder: &Path) -> (Server, String) {
    std::fs::write(folder.join("wardd.toml"), CONFIG.replace("{root}", env!("CARGO_MANIFEST_DIR"))).unwrap();
    let ring = folder.join("keyring.toml");
    assert!(Command::new(env!("CARGO_BIN_EXE_wardctl")).args(["keyring", "new"]).arg(ring).stdout(Stdio::null()).status().unwrap().success());
    let child = Command::new(env!("CARGO_BIN_EXE_wardd")).args(["run", "--config"]).arg(folder.join("wardd.toml")).stdout(Stdio::null()).spawn().unwrap();
    let endpoints = folder.join("data/endpoints.json");
    let address = listening(|| {
        let value: serde_json::Value = serde_json::from_slice(&std::fs::read(&endpoints).ok()?).ok()?;
        Some(value["feed"].as_str()?.to_owned())
    });
    (Server(child), address)
}

fn floor(tools: &Path, folder: &Path) -> (Server, String) {
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let address = format!("127.0.0.1:{port}");
    let child =
        Command::new(tools.join("mllp-null")).args(["--mode", "group", "--listen", &address]).arg("--file").arg(folder.join("floor.log")).stdout(Stdio::null()).spawn().unwrap();
    let found = listening(|| std::net::TcpStream::connect(&address).ok().map(|_| address.clone()));
    (Server(child), found)
}

/// What the driver found.
struct Run {
    messages_per_second: f64,
    p50_ms: f64,
    p99_ms: f64,
}

/// One run of the driver; it fails when anything was refused, mismatched or unanswered.
fn drive(tools: Option<&Path>, address: &str, connections: &str) -> Run {
    let output = match tools {
        Some(tools) => Command::new(tools.join("mllp-load")).args(["--addr", address, "--conns", connections, "--seconds", SECONDS]).output(),
        None => Command::new(env!("CARGO_BIN_EXE_wardctl")).args(["bench", "ingest", address, "--connections", connections, "--seconds", SECONDS, "--json"]).output(),
    };
    let output = output.unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let found: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    let number = |name: &str| found[name].as_f64().unwrap();
    Run { messages_per_second: number("msgs_s"), p50_ms: number("p50_us") / 1e3, p99_ms: number("p99_us") / 1e3 }
}

fn main() {
    let tools = tools();
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("target/bench-ingest");
    let _ = std::fs::remove_dir_all(&folder);
    std::fs::create_dir_all(&folder).unwrap();
    println!("connections  wardd msg/s   p50 ms   p99 ms  floor msg/s  ratio");
    for connections in CONNECTIONS {
        let place = folder.join(connections);
        std::fs::create_dir_all(&place).unwrap();
        let (server, address) = wardd(&place);
        let run = drive(tools.as_deref(), &address, connections);
        drop(server);
        let least = tools.as_deref().map(|tools| {
            let (_server, address) = floor(tools, &folder);
            drive(Some(tools), &address, connections).messages_per_second
        });
        let (floor, ratio) = least.map_or(("-".to_owned(), "-".to_owned()), |least| (format!("{least:.0}"), format!("{:.2}", run.messages_per_second / least)));
        println!("{connections:>11}  {:>11.0}  {:>7.2}  {:>7.2}  {floor:>11}  {ratio:>5}", run.messages_per_second, run.p50_ms, run.p99_ms);
    }
    std::fs::remove_dir_all(&folder).unwrap();
}
