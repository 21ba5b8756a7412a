//! A short day of the whole hospital against a stub of the daemon.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::time::{sleep, timeout};

use super::astm_frame::Packing;
use super::astm_line::{Line, LineNoise, Timing, Wire};
use super::mllp::MllpLine;
use super::random::Random;
use super::*;

fn loopback() -> SocketAddr {
    SocketAddr::from(([127, 0, 0, 1], 0))
}

fn assay(loinc: &str, code: &str) -> Assay {
    Assay { loinc: loinc.into(), code: code.into(), unit: "g/L".into(), low: 4.0, high: 10.0, decimals: 1 }
}

/// What the stub daemon was told.
#[derive(Default)]
struct Heard {
    scans: Vec<String>,
    orders: BTreeMap<String, Vec<String>>,
    results: Vec<String>,
    adt: Vec<String>,
}

type Shared = Arc<Mutex<Heard>>;

async fn stub_http(listener: TcpListener, heard: Shared) {
    loop {
        let (stream, _) = listener.accept().await.unwrap();
        tokio::spawn(stub_http_connection(stream, heard.clone()));
    }
}

async fn stub_http_connection(stream: TcpStream, heard: Shared) {
    let (input, mut out) = stream.into_split();
    let mut input = BufReader::new(input);
    let mut answers: BTreeMap<String, String> = BTreeMap::new();
    loop {
        let (mut path, mut length, mut key) = (String::new(), 0, String::new());
        loop {
            let mut line = String::new();
            if input.read_line(&mut line).await.unwrap_or(0) == 0 {
                return;
            }
            let line = line.trim_end();
            if path.is_empty() {
                path = line.split(' ').nth(1).unwrap().to_owned();
            } else if let Some(value) = line.strip_prefix("Content-Length: ") {
                length = value.parse().unwrap();
            } else if let Some(value) = line.strip_prefix("Idempotency-Key: ") {
                key = value.to_owned();
            } else if line.is_empty() {
                break;
            }
        }
        let mut body = vec![0; length];
        input.read_exact(&mut body).await.unwrap();
        let answer = answers.entry(key).or_insert_with(|| stub_answer(&path, &body, &heard));
        out.write_all(answer.as_bytes()).await.unwrap();
    }
}

fn stub_answer(path: &str, body: &[u8], heard: &Shared) -> String {
    let body: serde_json::Value = serde_json::from_slice(body).unwrap();
    assert!(body.get("patient").is_some(), "{path} {body}");
    let (status, answer) = if path == "/api/v1/lab-orders" {
        let mut heard = heard.lock().unwrap();
        let accession = format!("W{:06}", heard.orders.len() + 1);
        let tests = body["tests"].as_array().unwrap().iter().map(|test| test.as_str().unwrap().to_owned()).collect();
        heard.orders.insert(accession.clone(), tests);
        ("201 Created", format!("{{\"accession\":\"{accession}\"}}"))
    } else if body["quantity"] == "100000" {
        ("409 Conflict", "{\"code\":\"WD-0001\"}".to_owned())
    } else {
        assert!(path.starts_with("/api/v1/cabinets/c1/"), "{path}");
        ("200 OK", "{}".to_owned())
    };
    format!("HTTP/1.1 {status}\r\ncontent-length: {}\r\n\r\n{answer}", answer.len())
}

async fn stub_mllp(stream: TcpStream, heard: Shared) {
    let mut line = MllpLine::new(stream);
    let mut occupied: BTreeMap<String, String> = BTreeMap::new();
    while let Ok(block) = line.block().await {
        let text = String::from_utf8_lossy(&block).into_owned();
        let id = text.split('|').nth(9).unwrap().to_owned();
        let mut code = "AA";
        if text.contains("ADT^A") {
            let visit = text.split("PV1|").nth(1).unwrap();
            let (bed, prior) = (visit.split('|').nth(2).unwrap(), visit.split('|').nth(5).unwrap());
            let mrn = text.split("PID|1||").nth(1).unwrap().split('^').next().unwrap().to_owned();
            if text.contains("ADT^A03") {
                occupied.remove(bed);
            } else if occupied.get(bed).is_some_and(|other| *other != mrn) {
                code = "AE";
            } else {
                occupied.remove(prior);
                occupied.insert(bed.to_owned(), mrn);
            }
            heard.lock().unwrap().adt.push(text);
        } else {
            heard.lock().unwrap().results.push(text);
        }
        let answer = format!("\x0bMSH|^~\\&|wardd\rMSA|{code}|{id}\r\x1c\r");
        line.stream_mut().write_all(answer.as_bytes()).await.unwrap();
    }
}

async fn stub_astm<S: Wire>(stream: S, heard: Shared) {
    let mut host = Line::new(stream, Timing::scaled(0.2), LineNoise::default(), Random::new(1));
    while host.listen(Duration::from_secs(60)).await.is_ok() {
        while let Some(message) = host.received.pop_front() {
            let Some(query) = message.iter().find(|record| record.starts_with('Q')) else {
                heard.lock().unwrap().results.push(message.join("\r"));
                continue;
            };
            let accession = query.split(['|', '^']).nth(3).unwrap().to_owned();
            let known = heard.lock().unwrap().orders.contains_key(&accession);
            let order = if known { format!("O|1|{accession}||^^^10/1/not|R") } else { "C|1".to_owned() };
            let end = if known { "L|1|F" } else { "L|1|I" };
            let answer = [r"H|\^&|||wardd", "P|1", &order, end].map(str::to_owned);
            let _ = host.send(&answer, Packing::RecordPerFrame).await;
        }
    }
}

async fn stub_serial(link: std::path::PathBuf, heard: Shared) {
    loop {
        match super::pty::open_far_end(&link) {
            Ok(port) => stub_astm(port, heard.clone()).await,
            Err(_) => sleep(Duration::from_millis(20)).await,
        }
    }
}

async fn stub_scans(stream: TcpStream, heard: Shared) {
    let mut lines = BufReader::new(stream).lines();
    while let Ok(Some(line)) = lines.next_line().await {
        heard.lock().unwrap().scans.push(line);
    }
}

fn stub_listener<F, Fut>(serve: F) -> SocketAddr
where
    F: Fn(TcpStream) -> Fut + Send + 'static,
    Fut: Future<Output = ()> + Send + 'static,
{
    let listener = std::net::TcpListener::bind(loopback()).unwrap();
    listener.set_nonblocking(true).unwrap();
    let address = listener.local_addr().unwrap();
    let listener = TcpListener::from_std(listener).unwrap();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(serve(stream));
        }
    });
    address
}

fn wiring(folder: &std::path::Path, nowhere: SocketAddr) -> Wiring {
    let pty = |name: &str| folder.join(name);
    let blood = || vec![assay("6690-2", "WBC"), assay("718-7", "HGB")];
    let device_scanner = |name: &str, purpose| Device::ScannerTcp { name: name.into(), addr: nowhere, purpose, expects_answer: false };
    Wiring {
        http: nowhere,
        token: Some("secret".into()),
        seed: 42,
        pace: 30.0,
        time_scale: 0.01,
        beds: (1..=6).map(|n| BedPlace { ward: "W1".into(), room: "R1".into(), bed: n.to_string() }).collect(),
        cabinets: vec![CabinetPlace { id: "c1".into(), pockets: vec!["1-1".into(), "1-2".into()] }],
        devices: vec![
            Device::AstmSerial { name: "xn".into(), pty: pty("xn"), tests: blood() },
            Device::AstmTcp { name: "e411".into(), addr: nowhere, tests: vec![assay("3016-3", "10")] },
            Device::Hl7Connect { name: "bc5380".into(), addr: nowhere, tests: blood() },
            Device::Hl7Listen { name: "bc5150".into(), bind: loopback(), tests: blood() },
            device_scanner("lab-door", ScanPurpose::Receive),
            device_scanner("bedside", ScanPurpose::Collect),
            Device::ScannerSerial { name: "goods".into(), pty: pty("goods"), purpose: ScanPurpose::Goods, expects_answer: false },
            Device::RfidReader { name: "gate".into(), broker: nowhere },
            Device::CabinetMqtt { cabinet: "c1".into(), broker: nowhere },
            Device::RelayBoard { cabinet: "c2".into(), pty: pty("relays") },
            Device::HospitalFeed { name: "HIS".into(), addr: nowhere },
        ],
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_short_day_against_a_stub_of_the_daemon() {
    let folder = std::env::temp_dir().join(format!("sim-day-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    let heard = Shared::default();
    let broker = Broker::start(loopback()).unwrap();
    let hospital = Hospital::prepare(wiring(&folder, loopback())).unwrap();
    assert!(folder.join("goods").exists() && folder.join("relays").exists());
    let analyzer = hospital.listen_addr("bc5150").unwrap();
    assert_eq!(hospital.listen_addr("e411"), None);

    let http = TcpListener::bind(loopback()).await.unwrap();
    let http_address = http.local_addr().unwrap();
    tokio::spawn(stub_http(http, heard.clone()));
    let h = heard.clone();
    let mllp = stub_listener(move |stream| stub_mllp(stream, h.clone()));
    let h = heard.clone();
    let astm = stub_listener(move |stream| stub_astm(stream, h.clone()));
    let h = heard.clone();
    let scans = stub_listener(move |stream| stub_scans(stream, h.clone()));
    let h = heard.clone();
    tokio::spawn(stub_serial(folder.join("xn"), heard.clone()));
    tokio::spawn(async move { stub_mllp(TcpStream::connect(analyzer).await.unwrap(), h).await });

    let ends = [("e411", astm), ("bc5380", mllp), ("HIS", mllp), ("lab-door", scans), ("bedside", scans), ("broker", broker.addr())];
    let endpoints = ends.into_iter().map(|(name, address)| (name.to_owned(), address)).collect();
    let (stop, stopped) = watch::channel(false);
    let living = tokio::spawn(hospital.live(http_address, endpoints, stopped));
    sleep(Duration::from_secs(4)).await;
    stop.send_replace(true);
    let tally = timeout(Duration::from_secs(40), living).await.unwrap().unwrap();
    println!("{tally}");

    compare(&tally, &heard);
    assert!(!folder.join("goods").exists(), "the cable is out at the end");
    broker.stop().await;
    std::fs::remove_dir_all(folder).unwrap();
}

/// What the hospital says it did against what the stub heard.
fn compare(tally: &Tally, heard: &Shared) {
    let heard = heard.lock().unwrap();
    assert!(tally.admitted > 3 && tally.orders_placed > 10 && tally.vends_accepted > 10, "{tally}");
    assert_eq!(tally.orders_placed as usize, heard.orders.len());
    assert_eq!(tally.adt_sent, tally.adt_acknowledged + tally.devices["HIS"].refused);
    assert!(heard.adt.len() as u64 >= tally.adt_sent);
    assert_eq!(heard.scans.len() as u64, tally.tubes_scanned);
    assert!(heard.scans.iter().all(|scan| heard.orders.contains_key(scan.strip_prefix("]C0").unwrap())));
    assert_eq!((tally.repeats_different, tally.excessive_vends_accepted, tally.http_failures), (0, 0, 0));
    assert!(tally.tubes_loaded > 5 && tally.results_sent > 5 && tally.tags_published > 20, "{tally}");
    // Each tube given to an analyzer is accounted for; quality control and mistyped tubes come on top.
    assert!(tally.results_sent >= tally.results_acknowledged);
    for name in ["e411", "bc5380", "bc5150", "xn"] {
        let counts = tally.devices[name];
        let ended = counts.acknowledged + counts.no_order + counts.ignored + counts.abandoned;
        assert!(ended >= counts.given && counts.abandoned <= 2, "{name}: {counts}");
    }
    assert!(heard.results.len() as u64 >= tally.results_acknowledged);
}

#[tokio::test]
async fn two_devices_of_one_name_are_refused() {
    let mut wiring = wiring(&std::env::temp_dir(), loopback());
    wiring.devices.retain(|device| matches!(device, Device::AstmTcp { .. } | Device::HospitalFeed { .. }));
    wiring.devices.push(Device::RfidReader { name: "HIS".into(), broker: loopback() });
    assert!(Hospital::prepare(wiring).is_err());
}
