//! Starts the real daemon on free ports, talks to it, kills it.

use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use serde_json::Value;

static NUMBER: AtomicU32 = AtomicU32::new(0);

/// A hospital with one device of each kind; `{extra}` is the test's own.
const CONFIG: &str = r#"
profiles = "{root}/device-profiles"
prices = "{root}/config/prices.toml"
[hospital]
name = "Test"
facility = "TEST"
[data]
directory = "data"
[journal]
keyring = "keyring.toml"
segment_mib = 1
{access}
[http]
bind = "127.0.0.1:0"
[log]
target = "json"
filter = "info"
[[wards]]
id = "MED1"
name = "Medicine"
beds = ["101:A", "101:B"]
[[cabinets]]
id = "CAB1"
{drawers}
pockets = [{ id = "1-1", item = "PARA500", gtins = ["09506682101352"] }, { id = "2-1", item = "MORPH10", controlled = true }]
[[cabinets]]
id = "PYX12.PYX12"
[[tests]]
loinc = "6690-2"
name = "Leukocytes"
[[tests]]
loinc = "718-7"
name = "Hemoglobin"
[[devices]]
id = "feed"
profile = "generic/hl7-feed"
version = 1
link = { kind = "tcp-listen", bind = "127.0.0.1:0" }
[[devices]]
id = "xn"
profile = "sysmex/xn-550"
version = 1
link = { kind = "tcp-listen", bind = "127.0.0.1:0" }
[[devices]]
id = "e411"
profile = "roche/cobas-e411"
version = 1
link = { kind = "tcp-listen", bind = "127.0.0.1:0" }
[[devices]]
id = "scan-collect"
profile = "generic/network-scanner"
version = 1
purpose = "collect"
link = { kind = "tcp-listen", bind = "127.0.0.1:0" }
[[devices]]
id = "scan-load"
profile = "generic/network-scanner"
version = 1
purpose = "load"
cabinet = "CAB1"
link = { kind = "tcp-listen", bind = "127.0.0.1:0" }
{extra}
"#;

/// A folder of its own for one test, with configuration and key ring.
pub struct Site {
    pub folder: PathBuf,
}

impl Site {
    pub fn new() -> Self {
        Self::with("", "")
    }

    /// `extra` is appended to the configuration, `drawers` stands in cabinet CAB1.
    pub fn with(drawers: &str, extra: &str) -> Self {
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let folder = std::env::temp_dir().join(format!("wardd-it-{}-{number}", std::process::id()));
        let _ = std::fs::remove_dir_all(&folder);
        std::fs::create_dir_all(&folder).unwrap();
        // A test that has an [access] of its own asks who somebody is; the others are about something else.
        let access = if extra.contains("[access]") { "" } else { "[access]\nopen = true" };
        let text = CONFIG.replace("{root}", env!("CARGO_MANIFEST_DIR")).replace("{drawers}", drawers).replace("{extra}", extra).replace("{access}", access);
        std::fs::write(folder.join("wardd.toml"), text.replace("{folder}", folder.to_str().unwrap())).unwrap();
        assert!(wardctl(&["keyring", "new", folder.join("keyring.toml").to_str().unwrap()]).status.success());
        Self { folder }
    }

    pub fn data(&self) -> PathBuf {
        self.folder.join("data")
    }

    pub fn start(&self) -> Daemon {
        self.start_with(|_| {})
    }

    /// Starts the daemon and waits until it says where it listens.
    pub fn start_with(&self, prepare: impl FnOnce(&mut Command)) -> Daemon {
        let log = std::fs::File::options().create(true).append(true).open(self.folder.join("log")).unwrap();
        let mut command = Command::new(env!("CARGO_BIN_EXE_wardd"));
        command.args(["run", "--config"]).arg(self.folder.join("wardd.toml")).stdin(Stdio::null()).stdout(Stdio::null()).stderr(log);
        prepare(&mut command);
        let endpoints = self.data().join("endpoints.json");
        let _ = std::fs::remove_file(&endpoints);
        let mut child = command.spawn().unwrap();
        let deadline = Instant::now() + Duration::from_secs(30);
        loop {
            if let Ok(text) = std::fs::read_to_string(&endpoints)
                && let Ok(endpoints) = serde_json::from_str::<BTreeMap<String, SocketAddr>>(&text)
            {
                return Daemon { child, endpoints };
            }
            if let Some(status) = child.try_wait().unwrap() {
                panic!("wardd ended with {status}: {}", self.log());
            }
            assert!(Instant::now() < deadline, "wardd did not start: {}", self.log());
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    pub fn log(&self) -> String {
        std::fs::read_to_string(self.folder.join("log")).unwrap_or_default()
    }

    /// `wardctl journal export` of the stopped daemon's data.
    pub fn events(&self) -> Vec<Value> {
        let output = wardctl(&["journal", "export", "--data", self.data().to_str().unwrap(), "--keyring", self.folder.join("keyring.toml").to_str().unwrap()]);
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap().lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }

    pub fn verify(&self) -> bool {
        wardctl(&["journal", "verify", "--data", self.data().to_str().unwrap(), "--keyring", self.folder.join("keyring.toml").to_str().unwrap()]).status.success()
    }
}

impl Drop for Site {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            let _ = std::fs::remove_dir_all(&self.folder);
        }
    }
}

pub fn wardctl(arguments: &[&str]) -> std::process::Output {
    wardctl_as(Path::new("/nowhere"), arguments, "")
}

/// wardctl of somebody whose token is kept under a folder, with lines piped in.
pub fn wardctl_as(home: &Path, arguments: &[&str], lines: &str) -> std::process::Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_wardctl"));
    command.args(arguments).env("XDG_CONFIG_HOME", home).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    // Whoever reads nothing closes it.
    let _ = child.stdin.take().unwrap().write_all(lines.as_bytes());
    child.wait_with_output().unwrap()
}

/// A daemon that runs; killed when dropped.
pub struct Daemon {
    child: Child,
    pub endpoints: BTreeMap<String, SocketAddr>,
}

impl Daemon {
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    pub fn connect(&self, name: &str) -> TcpStream {
        let stream = TcpStream::connect(self.endpoints[name]).unwrap();
        stream.set_nodelay(true).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(15))).unwrap();
        stream
    }

    /// SIGKILL.
    pub fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// SIGHUP; whether the configuration was taken over.
    pub fn reload(&self) -> bool {
        let counts = || {
            let metrics = self.raw("GET", "/metrics", None, "").2;
            let of = |outcome: &str| {
                let line = format!("wardd_config_reloads_total{{outcome=\"{outcome}\"}} ");
                metrics.lines().find_map(|found| found.strip_prefix(&line)?.parse::<u64>().ok()).unwrap_or(0)
            };
            (of("taken"), of("refused"))
        };
        let before = counts();
        assert!(Command::new("kill").args(["-HUP", &self.child.id().to_string()]).status().unwrap().success());
        let deadline = Instant::now() + Duration::from_secs(10);
        loop {
            let now = counts();
            if now != before {
                return now.0 > before.0;
            }
            assert!(Instant::now() < deadline, "the signal was not heard");
            std::thread::sleep(Duration::from_millis(2));
        }
    }

    /// SIGTERM; how long it took and the exit code.
    pub fn terminate(mut self) -> (Duration, Option<i32>) {
        let started = Instant::now();
        let status = Command::new("kill").args(["-TERM", &self.child.id().to_string()]).status().unwrap();
        assert!(status.success());
        let status = self.child.wait().unwrap();
        (started.elapsed(), status.code())
    }

    /// Asks the API; the status and the JSON of the answer.
    pub fn ask(&self, method: &str, path: &str, body: Option<&Value>, headers: &str) -> (u16, Value) {
        let (status, _, body) = self.raw(method, path, body, headers);
        (status, serde_json::from_str(&body).unwrap_or(Value::String(body)))
    }

    pub fn raw(&self, method: &str, path: &str, body: Option<&Value>, headers: &str) -> (u16, String, String) {
        self.send(method, path, &body.map(Value::to_string).unwrap_or_default(), &format!("Content-Type: application/json\r\n{headers}"))
    }

    /// Sends a form.
    pub fn form(&self, path: &str, body: &str) -> (u16, String) {
        let (status, _, body) = self.send("POST", path, body, "Content-Type: application/x-www-form-urlencoded\r\n");
        (status, body)
    }

    fn send(&self, method: &str, path: &str, body: &str, headers: &str) -> (u16, String, String) {
        let mut stream = self.connect("http");
        write!(stream, "{method} {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n{headers}Content-Length: {}\r\n\r\n{body}", body.len()).unwrap();
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).unwrap();
        let answer = String::from_utf8_lossy(&answer).into_owned();
        let (head, body) = answer.split_once("\r\n\r\n").expect(&answer);
        let status = head.split_whitespace().nth(1).unwrap().parse().unwrap();
        (status, head.to_owned(), body.to_owned())
    }

    pub fn get(&self, path: &str) -> Value {
        let (status, value) = self.ask("GET", path, None, "");
        assert_eq!(status, 200, "{path}: {value}");
        value
    }

    pub fn post(&self, path: &str, body: Value) -> (u16, Value) {
        self.ask("POST", path, Some(&body), "")
    }

    /// Waits until the read models show it.
    pub fn until(&self, what: &str, mut is_so: impl FnMut(&Self) -> bool) {
        let deadline = Instant::now() + Duration::from_secs(15);
        while !is_so(self) {
            assert!(Instant::now() < deadline, "not so in time: {what}");
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// Somebody is registered under a number.
    pub fn known(&self, mrn: &str) {
        let (status, answer) = self.post("/api/v1/patients", serde_json::json!({ "mrn": mrn, "person": { "name": { "family": format!("Of{mrn}") } }, "confirm_new": true }));
        assert_eq!(status, 201, "{answer}");
    }

    /// Orders tests, and scans the tube at the bedside when asked to; the accession number.
    pub fn order(&self, tests: &[&str], is_collected: bool) -> String {
        let (status, answer) = self.post("/api/v1/lab-orders", serde_json::json!({ "patient": { "mrn": "1001" }, "tests": tests }));
        assert_eq!(status, 201, "{answer}");
        let accession = answer["accession"].as_str().unwrap().to_owned();
        if is_collected {
            let mut scanner = self.connect("scan-collect");
            scanner.write_all(format!("]C0{accession}\r\n").as_bytes()).unwrap();
            assert_eq!(read(&mut scanner, 1), [0x06]);
        }
        accession
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Reads exactly so many bytes.
pub fn read(stream: &mut impl Read, count: usize) -> Vec<u8> {
    let mut bytes = vec![0; count];
    stream.read_exact(&mut bytes).unwrap();
    bytes
}

/// Waits until something is there.
pub fn until<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + Duration::from_secs(15);
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(Instant::now() < deadline, "not there in time: {what}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// Sends an MLLP block and reads the answer's block.
pub fn mllp(stream: &mut TcpStream, message: &str) -> std::io::Result<String> {
    stream.write_all(&[b"\x0b", message.as_bytes(), b"\x1c\r"].concat())?;
    let mut answer = Vec::new();
    let mut byte = [0];
    loop {
        stream.read_exact(&mut byte)?;
        answer.push(byte[0]);
        if answer.ends_with(b"\x1c\r") {
            return Ok(String::from_utf8_lossy(&answer[1..answer.len() - 2]).into_owned());
        }
    }
}

pub fn oru(control: &str, accession: &str, value: &str) -> String {
    format!(
        "MSH|^~\\&|LIS|LAB|WARDD|TEST|20260101120000||ORU^R01^ORU_R01|{control}|P|2.5.1\rPID|1||1001^^^H^MR||DOE^JANE\rOBR|1||{accession}|PANEL\rOBX|1|NM|718-7^HGB^LN||{value}|g/dL|||||F|||20260101115900\r"
    )
}

/// The frames of an ASTM message, by this test's own hand.
pub fn astm_frames(records: &[&str]) -> Vec<Vec<u8>> {
    let frame = |(index, record): (usize, &&str)| {
        let body = format!("{}{record}\r\x03", (index + 1) % 8);
        let sum = body.bytes().fold(0_u8, |sum, byte| sum.wrapping_add(byte));
        format!("\x02{body}{sum:02X}\r\n").into_bytes()
    };
    records.iter().enumerate().map(frame).collect()
}

/// Sends a transmission; every frame must be acknowledged.
pub fn astm_send(stream: &mut TcpStream, records: &[&str]) {
    stream.write_all(&[0x05]).unwrap();
    assert_eq!(read(stream, 1), [0x06], "ENQ");
    for frame in astm_frames(records) {
        stream.write_all(&frame).unwrap();
        assert_eq!(read(stream, 1), [0x06], "{:?}", String::from_utf8_lossy(&frame));
    }
    stream.write_all(&[0x04]).unwrap();
}

/// How many events of a type there are.
pub fn count(events: &[Value], kind: &str) -> usize {
    events.iter().filter(|event| event["type"] == kind).count()
}

/// A program that the tests need, none when it is not on this machine; under `tests/run`, which installs it, that is a failure.
pub fn has(program: &str) -> Option<PathBuf> {
    let found = ["/usr/sbin", "/usr/bin", "/usr/local/bin", "/bin"].iter().map(|folder| Path::new(folder).join(program)).find(|path| path.exists());
    assert!(found.is_some() || std::env::var_os("WARDD_PEERS").is_none(), "{program} is missing although tests/run installs it");
    found
}
