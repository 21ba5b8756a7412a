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
        Command::new(tools.join("mllp-null")).args(["--mode", "group", "--addr", &address]).arg("--file").arg(folder.join("floor.log")).stdout(Stdio::null()).spawn().unwrap();
    let found = listening(|| std::net::TcpStream::connect(&address).ok().map(|_| address.clone()));
    (Server(child), found)
}

/// One run of the driver; its first line, and the messages a second that stand in it.
fn drive(tools: Option<&Path>, address: &str, connections: &str) -> (String, f64) {
    let output = match tools {
        Some(tools) => Command::new(tools.join("mllp-load")).args(["--addr", address, "--conns", connections, "--seconds", SECONDS]).output(),
        None => Command::new(env!("CARGO_BIN_EXE_wardctl")).args(["bench", "ingest", address, "--connections", connections, "--seconds", SECONDS]).output(),
    };
    let output = output.unwrap();
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success(), "{text}{}", String::from_utf8_lossy(&output.stderr));
    let line = text.lines().next().unwrap_or_default().to_owned();
    let rate = line.split_whitespace().zip(line.split_whitespace().skip(1)).find_map(|(before, after)| {
        let number = |text: &str| text.trim_end_matches(',').replace(',', "").parse().ok();
        if after.starts_with("messages/s") || after.starts_with("msg/s") { number(before) } else { before.strip_prefix("msgs_per_s=").and_then(number) }
    });
    (line, rate.unwrap_or(f64::NAN))
}

fn main() {
    let tools = tools();
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("target/bench-ingest");
    let _ = std::fs::remove_dir_all(&folder);
    std::fs::create_dir_all(&folder).unwrap();
    for connections in CONNECTIONS {
        let least = tools.as_deref().map(|tools| {
            let (server, address) = floor(tools, &folder);
            let (_, rate) = drive(Some(tools), &address, connections);
            drop(server);
            rate
        });
        let place = folder.join(connections);
        std::fs::create_dir_all(&place).unwrap();
        let (server, address) = wardd(&place);
        let (line, rate) = drive(tools.as_deref(), &address, connections);
        drop(server);
        println!("{connections:>2} connections: {line}");
        if let Some(least) = least {
            println!("   floor {least:.0} messages/s, ratio {:.2}", rate / least);
        }
    }
    std::fs::remove_dir_all(&folder).unwrap();
}
