//! Load beyond what is usual, on the real binary: `cargo bench --bench load -- burst connects resends stuck idle broker`, and
//! `-- soak` for the hour of the demo. Each says its figures, and ends with an error when a bound is broken. Times can be
//! shortened: `LOAD_SECONDS=10` is the length of the burst and of the stuck clients, `LOAD_SOAK=5m` that of the soak,
//! `LOAD_RESENDS=10` how often each message comes. Two bounds are broken today: idle devices and the soak (README).
#![expect(clippy::unwrap_used, reason = "a bench may fail loudly")]

mod support;

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::process::{Command, Stdio};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use support::{Process, Wardd, listener, mosquitto, reader, tools, wait};

/// The default length of a burst and of stuck clients.
fn seconds(default: u64) -> Duration {
    Duration::from_secs(std::env::var("LOAD_SECONDS").ok().and_then(|text| text.parse().ok()).unwrap_or(default))
}

const TEST: &str = "[[tests]]\nloinc = \"718-7\"\nname = \"Hemoglobin\"\n";

fn house(name: &str, more: &str) -> Wardd {
    let scanner = listener("scanner", "generic/network-scanner").replace("version = 1\n", "version = 1\npurpose = \"collect\"\n");
    Wardd::start(&Wardd::folder(name), &format!("{TEST}{}{scanner}{more}", listener("feed", "generic/hl7-feed")), |_| {})
}

fn order(wardd: &Wardd) -> String {
    let (status, answer) = wardd.ask("POST", "/api/v1/lab-orders", Some(&serde_json::json!({ "patient": { "mrn": "1" }, "tests": ["718-7"] })));
    assert_eq!(status, 201, "{answer}");
    serde_json::from_str::<serde_json::Value>(&answer).unwrap()["accession"].as_str().unwrap().to_owned()
}

fn connect(address: SocketAddr) -> TcpStream {
    let stream = TcpStream::connect(address).unwrap();
    stream.set_nodelay(true).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    stream
}

/// The waits of a nurse who scans a tube each 20 ms, in milliseconds.
fn nurse(address: SocketAddr, tubes: &[String], stop: &AtomicBool) -> Vec<f64> {
    let mut stream = connect(address);
    let mut waits = Vec::new();
    for tube in tubes.iter().cycle() {
        if stop.load(Ordering::Relaxed) {
            break;
        }
        let began = Instant::now();
        stream.write_all(format!("]C0{tube}\r\n").as_bytes()).unwrap();
        let mut answer = [0];
        stream.read_exact(&mut answer).unwrap();
        waits.push(began.elapsed().as_secs_f64() * 1e3);
        std::thread::sleep(Duration::from_millis(20));
    }
    waits.sort_by(f64::total_cmp);
    waits
}

fn p(waits: &[f64], part: usize) -> f64 {
    waits.get(waits.len() * part / 100).copied().unwrap_or(0.0)
}

/// What a nurse waits at the bedside while something goes on, and the most memory that wardd took meanwhile.
fn beside(wardd: &Wardd, tubes: &[String], work: impl FnOnce()) -> (Vec<f64>, f64) {
    let stop = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let scans = scope.spawn(|| nurse(wardd.address("scanner"), tubes, &stop));
        let memory = scope.spawn(|| {
            let mut most: f64 = 0.0;
            while !stop.load(Ordering::Relaxed) {
                most = most.max(wardd.process.memory());
                std::thread::sleep(Duration::from_millis(100));
            }
            most
        });
        work();
        stop.store(true, Ordering::Relaxed);
        (scans.join().unwrap(), memory.join().unwrap())
    })
}

fn tubes(wardd: &Wardd) -> Vec<String> {
    (0..200).map(|_| order(wardd)).collect()
}

fn said(what: &str, quiet: &[f64], (waits, memory): &(Vec<f64>, f64)) {
    println!("{what}: a scan takes p50 {:.2} ms, p99 {:.2} ms (before: {:.2}, {:.2}); {memory:.0} MB at most", p(waits, 50), p(waits, 99), p(quiet, 50), p(quiet, 99));
}

/// Ten times of what is usual, for a minute: nothing acknowledged is lost, memory stays bounded.
fn burst() {
    let Some(tools) = tools() else { return println!("burst: driven by mllp-load, name its folder in WARDD_TOOLS") };
    let wardd = house("burst", "");
    let tubes = tubes(&wardd);
    let drive = |rate: &str, length: Duration, first: &str| -> serde_json::Value {
        let mut command = Command::new(tools.join("mllp-load"));
        command.args(["--addr", &wardd.address("feed").to_string(), "--conns", "64", "--rate", rate, "--seconds", &length.as_secs().to_string()]);
        let output = command.args(["--first-id", first, "--max-seconds", "600"]).stderr(Stdio::null()).output().unwrap();
        serde_json::from_slice(&output.stdout).unwrap()
    };
    let mut usual = serde_json::Value::Null;
    let (quiet, _) = beside(&wardd, &tubes, || usual = drive("3000", Duration::from_secs(10), "1"));
    let mut found = serde_json::Value::Null;
    let under = beside(&wardd, &tubes, || found = drive("30000", seconds(60), "1000000000"));
    let began = Instant::now();
    let (after, _) = beside(&wardd, &tubes, || drop(drive("3000", Duration::from_secs(3), "2000000000")));
    said("burst of 30,000 messages a second after 3,000", &quiet, &under);
    let acknowledged = found["msgs"].as_u64().unwrap();
    println!(
        "burst: {acknowledged} of {} messages acknowledged, {} refused, p99 {:.1} ms; {:.1} s later a scan takes p99 {:.2} ms",
        found["asked"],
        found["nak"],
        found["p99_us"].as_f64().unwrap() / 1e3,
        began.elapsed().as_secs_f64(),
        p(&after, 99)
    );
    let kept = wardd.metric("wardd_gateway_messages_total{answer=\"held\",device=\"feed\"}") as u64;
    assert!(kept >= acknowledged, "{kept} kept of {acknowledged} acknowledged");
    assert!(under.1 < 512.0, "{} MB", under.1);
}

/// A thousand connections a second that say nothing, rubbish, or half a message.
fn connects() {
    let wardd = house("connects", "");
    let tubes = tubes(&wardd);
    let (quiet, _) = beside(&wardd, &tubes, || std::thread::sleep(Duration::from_secs(5)));
    let (before, cpu) = (wardd.process.descriptors(), wardd.process.cpu());
    let (mut made, began) = (0_u64, Instant::now());
    let length = seconds(20);
    let under = beside(&wardd, &tubes, || {
        while began.elapsed() < length {
            let mut stream = connect(wardd.address("feed"));
            // It may be closed already, by the limit of connections.
            let _ = match made % 3 {
                0 => Ok(()),
                1 => stream.write_all(&[0xFF; 64]),
                _ => stream.write_all(b"\x0bMSH|^~\\&|half"),
            };
            made += 1;
            let due = Duration::from_micros(made * 1_000);
            std::thread::sleep(due.saturating_sub(began.elapsed()));
        }
    });
    let cpu = (wardd.process.cpu() - cpu) / began.elapsed().as_secs_f64();
    said(&format!("{:.0} connects a second", made as f64 / length.as_secs_f64()), &quiet, &under);
    let left = wait("connections are given back", || Some(wardd.process.descriptors()).filter(|now| *now <= before + 3));
    println!("connects: {:.0} % of a processor, {before} descriptors before, {left} after", cpu * 100.0);
    assert!(cpu < 0.5, "more than half of a processor");
}

fn result(control: u64, accession: &str) -> String {
    format!(
        "\x0bMSH|^~\\&|LIS|LAB|WARDD|B|20260101120000||ORU^R01^ORU_R01|{control}|P|2.5.1\rOBR|1||{accession}|P\rOBX|1|NM|718-7^HGB^LN||13.2|g/dL|||||F|||20260101115900\r\x1c\r"
    )
}

fn accepted(stream: &mut TcpStream, message: &str) -> bool {
    stream.write_all(message.as_bytes()).unwrap();
    let (mut answer, mut buffer) = (Vec::new(), [0; 1_024]);
    while !answer.ends_with(b"\x1c\r") {
        let count = stream.read(&mut buffer).unwrap();
        assert!(count > 0, "wardd closed the connection");
        answer.extend_from_slice(&buffer[..count]);
    }
    memchr::memmem::find(&answer, b"MSA|AA|").is_some()
}

/// A million messages, each a hundred times; more different ones than a device's actor remembers.
fn resends() {
    const DIFFERENT: u64 = 10_000;
    let wardd = house("resends", "");
    let accessions: Vec<String> = (0..DIFFERENT).map(|_| order(&wardd)).collect();
    let mut scanner = connect(wardd.address("scanner"));
    for accession in &accessions {
        scanner.write_all(format!("]C0{accession}\r\n").as_bytes()).unwrap();
        let mut answer = [0];
        scanner.read_exact(&mut answer).unwrap();
        assert_eq!(answer, [0x06], "collected");
    }
    let messages: Vec<String> = accessions.iter().zip(1..).map(|(accession, control)| result(control, accession)).collect();
    let times: u64 = std::env::var("LOAD_RESENDS").ok().and_then(|text| text.parse().ok()).unwrap_or(100);
    let (next, began) = (AtomicU64::new(0), Instant::now());
    std::thread::scope(|scope| {
        for _ in 0..32 {
            scope.spawn(|| {
                let mut stream = connect(wardd.address("feed"));
                loop {
                    let number = next.fetch_add(1, Ordering::Relaxed);
                    if number >= DIFFERENT * times {
                        break;
                    }
                    // One after the other first, so that each is new once; then in an order of its own.
                    let at = if number < DIFFERENT { number } else { number * 7_919 % DIFFERENT };
                    assert!(accepted(&mut stream, &messages[usize::try_from(at).unwrap()]));
                }
            });
        }
    });
    let took = began.elapsed().as_secs_f64();
    wait("all is charged", || (wardd.metric("wardd_billing_charges_total") >= DIFFERENT as f64).then_some(()));
    std::thread::sleep(Duration::from_secs(2));
    let (charged, filed) = (wardd.events("Charged"), wardd.events("ResultFiled"));
    println!(
        "resends: {} messages in {took:.0} s ({:.0} a second), {DIFFERENT} different ones: {filed} results filed, {charged} charges; {:.0} MB",
        DIFFERENT * times,
        (DIFFERENT * times) as f64 / took,
        wardd.process.memory()
    );
    assert_eq!((charged as u64, filed as u64), (DIFFERENT, DIFFERENT));
}

/// Clients that send and never read an answer, and browsers that never read the board.
fn stuck() {
    let wardd = house("stuck", "");
    let tubes = tubes(&wardd);
    let (quiet, base) = beside(&wardd, &tubes, || std::thread::sleep(Duration::from_secs(10)));
    let held = Mutex::new(Vec::new());
    let length = seconds(600);
    let under = beside(&wardd, &tubes, || {
        for _ in 0..20 {
            let mut stream = connect(wardd.address("http"));
            stream.write_all(b"GET /events HTTP/1.1\r\nHost: localhost\r\n\r\n").unwrap();
            held.lock().unwrap().push(stream);
        }
        let began = Instant::now();
        let mut senders: Vec<(TcpStream, Vec<u8>)> = (0..20)
            .map(|_| {
                let stream = connect(wardd.address("feed"));
                stream.set_nonblocking(true).unwrap();
                (stream, Vec::new())
            })
            .collect();
        // The same message again and again: what is measured is the clients, not what they bring.
        let message = result(1, "999");
        while began.elapsed() < length {
            for (stream, rest) in &mut senders {
                if rest.is_empty() {
                    *rest = message.clone().into_bytes();
                }
                if let Ok(count) = stream.write(rest) {
                    rest.drain(..count);
                }
            }
            std::thread::sleep(Duration::from_millis(1));
        }
    });
    said(&format!("20 senders and 20 browsers that never read, for {} s", length.as_secs()), &quiet, &under);
    println!("stuck: {:.0} MB more than before", under.1 - base);
    assert!(under.1 - base < 64.0, "memory grows with clients that do not read");
}

/// Ten thousand devices that say nothing.
fn idle() {
    let devices: String =
        (0..10_000).map(|number| format!("[[devices]]\nid = \"door-{number}\"\nprofile = \"generic/rfid-mqtt\"\nversion = 1\nlink = {{ kind = \"mqtt\" }}\n")).collect();
    let more = format!("[mqtt]\nbroker = \"127.0.0.1:1\"\nclient_id = \"w\"\n{devices}");
    let wardd = Wardd::start(&Wardd::folder("idle"), &more, |_| {});
    std::thread::sleep(Duration::from_secs(3));
    let cpu = wardd.process.cpu();
    std::thread::sleep(Duration::from_secs(10));
    let (memory, cpu) = (wardd.process.memory(), (wardd.process.cpu() - cpu) * 10.0);
    println!("10,000 idle device actors: {memory:.0} MB, {cpu:.1} % of a processor");
    assert!(memory < 60.0 && cpu < 2.0, "{memory:.0} MB are asked to be less than 60");
}

/// A broker that hangs (SIGSTOP: its machine still answers, it does not).
fn broker() {
    let folder = Wardd::folder("broker");
    let Some((broker, port)) = mosquitto(&folder) else { return println!("broker: no mosquitto here") };
    let wardd = Wardd::start(&folder, &reader(port), |_| {});
    let up = || wardd.metric("wardd_link_connections{device=\"door\"}") > 0.0;
    wait("connected", || up().then_some(()));
    broker.signal("STOP");
    let began = Instant::now();
    wait("the hanging broker is found", || (!up()).then_some(()));
    let found = began.elapsed().as_secs_f64();
    broker.signal("CONT");
    let began = Instant::now();
    wait("connected again", || up().then_some(()));
    println!("a broker that hangs is found after {found:.1} s (two keep-alives are 30), and used again {:.1} s after it answers", began.elapsed().as_secs_f64());
    assert!(found <= 30.5);
}

/// The demo's hospital at a hundred times its pace.
fn soak() {
    let length = std::env::var("LOAD_SOAK").unwrap_or_else(|_| "1h".to_owned());
    let folder = Wardd::folder("soak");
    let log = std::fs::File::create(folder.join("log")).unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_wardd"));
    command.args(["demo", "--pace", "100", "--quiet", "--http", "127.0.0.1:0", "--for", &length, "--data"]).arg(folder.join("data")).stdout(log).stderr(Stdio::null());
    let mut process = Process(command.spawn().unwrap());
    let began = Instant::now();
    let mut samples: Vec<(f64, f64, usize)> = Vec::new();
    let status = loop {
        std::thread::sleep(Duration::from_secs(15));
        if let Some(status) = process.0.try_wait().unwrap() {
            break status;
        }
        samples.push((began.elapsed().as_secs_f64() / 60.0, process.memory(), process.descriptors()));
    };
    let tenth = (samples.len() / 12).max(1);
    for (minute, memory, descriptors) in samples.iter().step_by(tenth) {
        println!("soak: minute {minute:.0}: {memory:.0} MB, {descriptors} descriptors");
    }
    let mean = |part: &[(f64, f64, usize)]| part.iter().map(|sample| sample.1).sum::<f64>() / part.len().max(1) as f64;
    let third = samples.len() / 3;
    let (middle, last) = (mean(&samples[third..2 * third]), mean(&samples[2 * third..]));
    println!("soak: {length} at a hundred times the pace, ended with {status}; {middle:.0} MB in its middle third, {last:.0} MB in its last");
    assert!(status.success(), "the counts agree");
    assert!(last < middle * 1.10, "memory is not flat");
    let most = |part: &[(f64, f64, usize)]| part.iter().map(|sample| sample.2).max().unwrap_or_default();
    assert!(most(&samples[2 * third..]) <= most(&samples[third..2 * third]) + 4, "descriptors are lost");
}

fn main() {
    let asked: Vec<String> = std::env::args().skip(1).filter(|argument| !argument.starts_with('-')).collect();
    let all: [(&str, fn()); 7] = [("burst", burst), ("connects", connects), ("resends", resends), ("stuck", stuck), ("broker", broker), ("idle", idle), ("soak", soak)];
    for (name, run) in all {
        // Without a word all but the long ones.
        if asked.iter().any(|word| word == name) || (asked.is_empty() && !["soak", "stuck"].contains(&name)) {
            run();
        }
    }
}
