//! Durable ingest beside the least that a server can do on the same disk in the same run (it appends and syncs what waits,
//! and knows nothing but the control id): `cargo bench --bench ingest`.
//! Then the same on a disk whose sync takes a millisecond longer, as hospitals' disks do; tags over MQTT through mosquitto;
//! and a scan at the bedside, from its last byte to the answer, beside one fdatasync of the same disk.
//! The driver and the floor are the tools `mllp-load` and `mllp-null`, built from `../shared/tools` or from the folder in
//! WARDD_TOOLS. Without them `wardctl bench ingest` drives MLLP, and there is no floor. For ASTM both are this bench's own,
//! since every message must be another one to be stored: a transmission of nine frames, each waiting for its ACK.
//! Parts by name: `cargo bench --bench ingest -- mllp astm slow mqtt scan`.
#![expect(clippy::unwrap_used, reason = "a bench may fail loudly")]

mod support;

use std::fmt::Write as _;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use support::{Process, Run, Wardd, astm, drive, floor, listener, mosquitto, reader, tools, wait};
use wardd::sim::DiskShim;
use wardd::sim::disk_shim::Order;

const CONNECTIONS: [&str; 3] = ["1", "8", "64"];
const SECONDS: &str = "3";
/// What a slow disk's sync takes longer, in microseconds.
const SLOWER: i64 = 1_000;

/// One row: wardd, then the floor, each in a folder of its own and on a slow disk when asked to.
fn row(tools: Option<&Path>, protocol: &str, connections: &str, is_slow: bool) {
    let profile = if protocol == "astm" { "sysmex/xn-550" } else { "generic/hl7-feed" };
    let shim = |folder: &Path| {
        let shim = DiskShim::build(folder, &folder.join("data")).unwrap();
        shim.order(Order::SyncDelay(SLOWER)).unwrap();
        shim
    };
    let under = |folder: &Path, command: &mut Command| {
        if is_slow {
            shim(folder).wrap(command, false);
        }
    };
    let folder = Wardd::folder("ingest");
    let wardd = Wardd::start(&folder, &listener("device", profile), |command| under(&folder, command));
    if protocol == "astm" {
        let run = astm::drive(wardd.address("device"), connections, Some(&wardd.process));
        drop(wardd);
        let least = astm::drive(astm::floor(&Wardd::folder("floor")), connections, None);
        return print(protocol, connections, is_slow, &run, Some(least));
    }
    let run = drive(tools, protocol, wardd.address("device"), connections, SECONDS, &wardd.process);
    drop(wardd);
    let least = tools.map(|tools| {
        let folder = Wardd::folder("floor");
        let (process, address) = floor(tools, &folder, |command| under(&folder, command));
        drive(Some(tools), protocol, address, connections, SECONDS, &process)
    });
    print(protocol, connections, is_slow, &run, least);
}

fn print(protocol: &str, connections: &str, is_slow: bool, run: &Run, least: Option<Run>) {
    let or_dash = |number: Option<String>| number.unwrap_or_else(|| "-".to_owned());
    let floor = or_dash(least.map(|least| format!("{:.0}", least.messages_per_second)));
    let floor_p99 = or_dash(least.map(|least| format!("{:.2}", least.p99_ms)));
    // The floor of ASTM is a thread of this process.
    let floor_cpu = or_dash(least.filter(|_| protocol == "mllp").map(|least| format!("{:.1}", least.cpu_us)));
    let ratio = or_dash(least.map(|least| format!("{:.2}", run.messages_per_second / least.messages_per_second)));
    let disk = if is_slow { "+1 ms" } else { "as is" };
    let Run { messages_per_second, p50_ms, p99_ms, cpu_us, memory } = run;
    println!(
        "{protocol:>8}  {disk:>5}  {connections:>11}  {messages_per_second:>11.0}  {p50_ms:>6.2}  {p99_ms:>6.2}  {cpu_us:>9.1}  {memory:>5.0}  {floor:>11}  {ratio:>5}  {floor_p99:>9}  {floor_cpu:>9}"
    );
}

/// Lines of one publisher, each a tag of its own.
fn tags(publisher: usize, count: usize) -> String {
    (0..count).fold(String::new(), |mut lines, tag| {
        let number = publisher * count + tag;
        let _ = writeln!(lines, "{{\"epc\":\"3476451FD4{number:014X}\",\"antenna\":1,\"seen\":\"2026-01-01T12:00:{:02}.{tag:06}Z\"}}", tag % 60);
        lines
    })
}

/// Three publishers on their way to a topic.
fn publish(folder: &Path, port: u16, topic: &str, count: usize) -> Vec<Process> {
    (0..3)
        .map(|publisher| {
            let path = folder.join(format!("lines-{publisher}"));
            std::fs::write(&path, tags(publisher, count)).unwrap();
            let mut command = Command::new("mosquitto_pub");
            command.args(["-h", "127.0.0.1", "-p", &port.to_string(), "-V", "5", "-q", "1", "-t", topic, "-l"]);
            Process(command.stdin(std::fs::File::open(path).unwrap()).spawn().unwrap())
        })
        .collect()
}

/// Tags by three publishers through mosquitto, from the first publish until the last is durable.
fn mqtt() {
    const TAGS: usize = 30_000;
    let folder = Wardd::folder("mqtt");
    let Some((_broker, port)) = mosquitto(&folder) else { return println!("mqtt: no mosquitto here") };
    let wardd = Wardd::start(&folder, &reader(port), |_| {});
    wait("wardd is connected", || (wardd.metric("wardd_link_connections{device=\"door\"}") > 0.0).then_some(()));
    std::thread::sleep(Duration::from_millis(500));
    let (began, cpu) = (Instant::now(), wardd.process.cpu());
    let publishers = publish(&folder, port, "wardd/rfid/door/tags", TAGS);
    let all = (3 * TAGS) as f64;
    wait("all tags are stored", || (wardd.metric("wardd_gateway_messages_total") >= all).then_some(()));
    let (seconds, cpu) = (began.elapsed().as_secs_f64(), wardd.process.cpu() - cpu);
    drop(publishers);
    println!("mqtt: {:.0} tags a second stored and then acknowledged, {:.1} us of processor each, {:.0} MB", all / seconds, cpu / all * 1e6, wardd.process.memory());
    // What the same broker and publishers give to somebody who only counts: mosquitto's own subscriber.
    let mut subscriber = Command::new("mosquitto_sub");
    subscriber.args(["-h", "127.0.0.1", "-p", &port.to_string(), "-V", "5", "-q", "1", "-t", "floor", "-C", &(3 * TAGS).to_string()]);
    let mut subscriber = Process(subscriber.stdout(std::process::Stdio::null()).spawn().unwrap());
    std::thread::sleep(Duration::from_millis(500));
    let began = Instant::now();
    let publishers = publish(&folder, port, "floor", TAGS);
    let _ = subscriber.0.wait().unwrap();
    let least = all / began.elapsed().as_secs_f64();
    drop(publishers);
    println!("mosquitto_sub in its place, which stores nothing: {least:.0} a second; ratio {:.2}", all / seconds / least);
}

/// The waits of something done many times: p50 and p99 in microseconds.
fn waits(count: usize, mut once: impl FnMut(usize)) -> (f64, f64) {
    let mut found: Vec<f64> = (0..count)
        .map(|number| {
            // Light load: the writer and the disk are at rest.
            std::thread::sleep(Duration::from_millis(2));
            let began = Instant::now();
            once(number);
            began.elapsed().as_secs_f64() * 1e6
        })
        .collect();
    found.sort_by(f64::total_cmp);
    (found[count / 2], found[count * 99 / 100])
}

/// A scan each two milliseconds, from its last byte to the answer.
fn scan() {
    const SCANS: usize = 2_000;
    let folder = Wardd::folder("scan");
    let test = "[[tests]]\nloinc = \"718-7\"\nname = \"Hemoglobin\"\n";
    let scanner = listener("scanner", "generic/network-scanner").replace("version = 1\n", "version = 1\npurpose = \"collect\"\n");
    let wardd = Wardd::start(&folder, &format!("{test}{scanner}"), |_| {});
    let order = serde_json::json!({ "patient": { "mrn": "1" }, "tests": ["718-7"] });
    let accessions: Vec<String> = (0..SCANS)
        .map(|_| {
            let (status, answer) = wardd.ask("POST", "/api/v1/lab-orders", Some(&order));
            assert_eq!(status, 201, "{answer}");
            serde_json::from_str::<serde_json::Value>(&answer).unwrap()["accession"].as_str().unwrap().to_owned()
        })
        .collect();
    let mut scanner = TcpStream::connect(wardd.address("scanner")).unwrap();
    scanner.set_nodelay(true).unwrap();
    let scanned = waits(SCANS, |number| {
        scanner.write_all(format!("]C0{}\r\n", accessions[number]).as_bytes()).unwrap();
        let mut answer = [0];
        scanner.read_exact(&mut answer).unwrap();
        assert_eq!(answer, [0x06]);
    });
    drop(wardd);
    let mut file = std::fs::File::create(folder.join("data/one")).unwrap();
    file.write_all(&vec![0; 4 << 20]).unwrap();
    file.sync_all().unwrap();
    let synced = waits(SCANS, |number| {
        std::os::unix::fs::FileExt::write_all_at(&file, &[1; 900], number as u64 * 900).unwrap();
        file.sync_data().unwrap();
    });
    println!("scan: p50 {:.0} us, p99 {:.0} us from its last byte to the answer", scanned.0, scanned.1);
    println!("one write and fdatasync of 900 bytes in the same way: p50 {:.0} us, p99 {:.0} us", synced.0, synced.1);
}

fn main() {
    let tools = tools();
    println!("protocol   disk  connections  wardd msg/s  p50 ms  p99 ms  cpu us/msg   MB  floor msg/s  ratio  floor p99  floor cpu");
    let asked: Vec<String> = std::env::args().skip(1).filter(|part| !part.starts_with('-')).collect();
    let is_asked = |part: &str| asked.is_empty() || asked.iter().any(|one| one == part);
    for (part, protocol, is_slow) in [("mllp", "mllp", false), ("astm", "astm", false), ("slow", "mllp", true)] {
        CONNECTIONS.iter().filter(|_| is_asked(part)).for_each(|connections| row(tools.as_deref(), protocol, connections, is_slow));
    }
    if is_asked("mqtt") {
        mqtt();
    }
    if is_asked("scan") {
        scan();
    }
}
