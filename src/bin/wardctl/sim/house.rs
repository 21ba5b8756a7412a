//! The hospital: a configuration, a key ring and the `wardd` beside this `wardctl`.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;
use ureq::Agent;

use super::{Size, WARD, bed};

/// A start reads the whole log of a folder that was kept.
const START: Duration = Duration::from_secs(120);
const STOP: Duration = Duration::from_secs(120);
const PATIENCE: Duration = Duration::from_secs(60);
const PROFILE: &str = include_str!("../../../../device-profiles/generic/hl7-feed.toml");

/// A wardd that runs.
pub(super) struct House {
    child: Child,
    endpoints: BTreeMap<String, SocketAddr>,
    agent: Agent,
}

fn configuration(size: Size) -> String {
    let mut text = String::from(
        "profiles = \"profiles\"\n[hospital]\nname = \"Load\"\nfacility = \"LOAD\"\n[data]\ndirectory = \"data\"\n[journal]\nkeyring = \"keyring.toml\"\n[access]\nopen = true\n\
         [http]\nbind = \"127.0.0.1:0\"\n[log]\ntarget = \"json\"\nfilter = \"warn\"\n[admission]\nhousekeeping = false\n\
         [[devices]]\nid = \"feed\"\nprofile = \"generic/hl7-feed\"\nversion = 1\nlink = { kind = \"tcp-listen\", bind = \"127.0.0.1:0\" }\n",
    );
    for ward in 0..size.beds / WARD {
        let beds: Vec<String> = (0..WARD).map(|place| bed(ward * WARD + place)).map(|[_, room, bed]| format!("\"{room}:{bed}\"")).collect();
        // Writing to a String does not fail.
        let _ = writeln!(text, "[[wards]]\nid = \"W{0:03}\"\nname = \"Ward {0}\"\nbeds = [{1}]", ward + 1, beds.join(", "));
    }
    text
}

impl House {
    /// Writes what it needs where it is missing, and starts it.
    pub(super) fn start(folder: &Path, size: Size) -> Result<Self, String> {
        let failed = |error: std::io::Error| format!("{}: {error}", folder.display());
        std::fs::create_dir_all(folder.join("profiles/generic")).map_err(failed)?;
        std::fs::write(folder.join("profiles/generic/hl7-feed.toml"), PROFILE).map_err(failed)?;
        let config = folder.join("wardd.toml");
        std::fs::write(&config, configuration(size)).map_err(failed)?;
        if !folder.join("keyring.toml").exists() {
            wardd::journal::KeyRing::create(&folder.join("keyring.toml")).map_err(|error| error.to_string())?;
        }
        let program = std::env::current_exe().map_err(failed)?.with_file_name("wardd");
        let log = std::fs::File::create(folder.join("log")).map_err(failed)?;
        let endpoints = folder.join("data/endpoints.json");
        let _ = std::fs::remove_file(&endpoints);
        let child = Command::new(&program).args(["run", "--config"]).arg(&config).stdin(Stdio::null()).stdout(Stdio::null()).stderr(log).spawn();
        let child = child.map_err(|error| format!("{}: {error}: build wardd beside wardctl (cargo build --release)", program.display()))?;
        let agent = Agent::config_builder().timeout_global(Some(PATIENCE)).http_status_as_error(false).build().into();
        let mut house = Self { child, endpoints: BTreeMap::new(), agent };
        let deadline = Instant::now() + START;
        while house.endpoints.is_empty() {
            // A file that is half written is read again.
            house.endpoints = std::fs::read(&endpoints).ok().and_then(|bytes| serde_json::from_slice(&bytes).ok()).unwrap_or_default();
            let has_ended = house.child.try_wait().map_err(failed)?.is_some();
            if has_ended || Instant::now() > deadline {
                let log = std::fs::read_to_string(folder.join("log")).unwrap_or_default();
                return Err(format!("wardd did not start: {}", log.trim()));
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        Ok(house)
    }

    /// Where a listener is bound.
    pub(super) fn address(&self, name: &str) -> Result<SocketAddr, String> {
        self.endpoints.get(name).copied().ok_or_else(|| format!("wardd has no listener {name}"))
    }

    /// Asks, and gives the answer's text.
    pub(super) fn get(&self, path: &str) -> Result<String, String> {
        let failed = |error: ureq::Error| format!("GET {path}: {error}");
        let mut answer = self.agent.get(format!("http://{}{path}", self.address("http")?)).call().map_err(failed)?;
        let text = answer.body_mut().with_config().limit(64 << 20).read_to_string().map_err(failed)?;
        if answer.status().is_success() { Ok(text) } else { Err(format!("GET {path}: {text}")) }
    }

    /// The last event of the journal, and the last one that the read models know.
    pub(super) fn head(&self) -> Result<(u64, u64), String> {
        let failed = |error: ureq::Error| format!("GET /readyz: {error}");
        // While the read models are far behind it answers 503, with the same figures.
        let mut answer = self.agent.get(format!("http://{}/readyz", self.address("http")?)).call().map_err(failed)?;
        let text = answer.body_mut().read_to_string().map_err(failed)?;
        let ready: Value = serde_json::from_str(&text).map_err(|error| format!("GET /readyz: {error}: {text}"))?;
        Ok((ready["journal"].as_u64().unwrap_or(0), ready["projection"].as_u64().unwrap_or(0)))
    }

    /// Has something done.
    pub(super) fn post(&self, path: &str, body: &Value) -> Result<(), String> {
        let failed = |error: ureq::Error| format!("POST {path}: {error}");
        let request = self.agent.post(format!("http://{}{path}", self.address("http")?)).header("Content-Type", "application/json");
        let mut answer = request.send(body.to_string()).map_err(failed)?;
        let text = answer.body_mut().read_to_string().map_err(failed)?;
        if answer.status().is_success() { Ok(()) } else { Err(format!("POST {path}: {text}")) }
    }

    /// Resident memory in MB.
    pub(super) fn memory_mb(&self) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id())).unwrap_or_default();
        let kilobytes = status.lines().find_map(|line| line.strip_prefix("VmRSS:")?.trim().strip_suffix(" kB")?.parse::<u64>().ok());
        kilobytes.unwrap_or(0) / 1_024
    }

    /// Ends it as systemd does, by SIGTERM.
    pub(super) fn stop(&mut self) -> Result<(), String> {
        let pid = self.child.id().to_string();
        let failed = |error: std::io::Error| format!("wardd cannot be stopped: {error}");
        Command::new("kill").arg(&pid).status().map_err(failed)?;
        let deadline = Instant::now() + STOP;
        while self.child.try_wait().map_err(failed)?.is_none() {
            if Instant::now() > deadline {
                return Err("wardd does not stop".to_owned());
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        Ok(())
    }
}

impl Drop for House {
    fn drop(&mut self) {
        // Whatever went wrong before, nothing of ours goes on.
        let _ = (self.child.kill(), self.child.wait());
    }
}
