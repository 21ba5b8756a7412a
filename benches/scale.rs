//! What a large log costs: `cargo bench --bench scale [-- EVENTS] [start]`, a million by default; with `start` only what concerns
//! the log itself. Start, rebuild of the read models,
//! backup and restore, each on the same log.
#![expect(clippy::unwrap_used, reason = "a bench may fail loudly")]

use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

use wardd::actor::Origin;
use wardd::journal::views::{SledViews, Views};
use wardd::journal::{Batch, Expected, FileLog, KeyRing, Log, Meta, NewEvent, Options, backup};
use wardd::kernel::{CommandId, Principal, StreamId, StreamKind, Timestamp};
use wardd::projection::{Projector, Rows};

/// Events of one specimen: ordered, collected, a result, and the message that brought it.
fn specimen(number: u64) -> Vec<NewEvent> {
    let stream = StreamId::new(StreamKind::Specimen, format!("{number:011}"));
    let at = "2026-01-01T12:00:00.000000Z";
    let event = |stream: &StreamId, kind: &'static str, payload: serde_json::Value| NewEvent::new(stream.clone(), kind, 1, &payload).unwrap();
    let device = StreamId::new(StreamKind::Device, "xn");
    let raw = format!("MSH|^~\\&|LIS|LAB|WARDD|H|20260101120000||ORU^R01^ORU_R01|{number}|P|2.5.1\rOBR|1||{number:011}|PANEL\rOBX|1|NM|718-7^HGB^LN||13.2|g/dL|||||F\r");
    vec![
        event(&stream, "TestsOrdered", serde_json::json!({ "event": "TestsOrdered", "patient": format!("MRN-{}", number % 100_000), "tests": ["718-7"], "priority": "routine" })),
        event(&stream, "Collected", serde_json::json!({ "event": "Collected", "at": at })),
        event(
            &device,
            "MessageReceived",
            serde_json::json!({ "event": "MessageReceived", "message": CommandId::from_bytes(u128::from(number).to_be_bytes()), "control_id": number.to_string(), "raw": { "text": raw }, "is_handled": true }),
        ),
        event(&stream, "Received", serde_json::json!({ "event": "Received", "at": at, "implied": true })),
    ]
}

fn meta(number: u64) -> Arc<Meta> {
    let now = Timestamp::from_micros(1_767_268_800_000_000);
    let command = CommandId::from_bytes(u128::from(number).to_be_bytes());
    Origin::new(command, Principal::System("bench".to_owned()), now).meta()
}

fn open(path: &Path, keys: &Arc<KeyRing>) -> FileLog {
    FileLog::open(path, keys.clone(), Options::default()).unwrap().0
}

fn said(what: &str, began: Instant, events: u64) {
    let seconds = began.elapsed().as_secs_f64();
    println!("{what:<44} {seconds:>8.2} s  {:>10.0} events/s", events as f64 / seconds);
}

fn memory() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
    line.trim().trim_end_matches(" kB").trim().parse::<u64>().unwrap() / 1_024
}

fn main() {
    let events: u64 = std::env::args().filter_map(|text| text.parse().ok()).next().unwrap_or(1_000_000);
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("target/bench-scale");
    let _ = std::fs::remove_dir_all(&folder);
    let keys = Arc::new(KeyRing::ephemeral().unwrap());
    let journal = folder.join("journal");
    std::fs::create_dir_all(&folder).unwrap();
    println!("{events} events");

    let log = open(&journal, &keys);
    let began = Instant::now();
    let (sender, receiver) = std::sync::mpsc::channel();
    let mut waiting = 0;
    let (mut pace, mut since, mut last) = (Vec::new(), Instant::now(), 0);
    for number in 0..events / 4 {
        // What the last hundred thousand cost, at every step of a third of a decade.
        if number > 0 && number * 4 >= last + 100_000 {
            pace.push((number * 4, since.elapsed().as_secs_f64() * 1e6 / (number * 4 - last) as f64));
            (since, last) = (Instant::now(), number * 4);
        }
        for event in specimen(number) {
            let sender = sender.clone();
            let batch = Batch { expected: vec![(event.stream.clone(), Expected::Any)], meta: meta(number), events: vec![event] };
            let done = move |result: Result<_, _>| sender.send(result.is_ok()).unwrap();
            log.append(batch, Box::new(done));
            waiting += 1;
        }
        while waiting > 400 {
            assert!(receiver.recv().unwrap());
            waiting -= 1;
        }
    }
    (0..waiting).for_each(|_| assert!(receiver.recv().unwrap()));
    said("written, sealed and synced, one event a record", began, events);
    let median = |part: &[(u64, f64)]| {
        let mut costs: Vec<f64> = part.iter().map(|(_, cost)| *cost).collect();
        costs.sort_unstable_by(f64::total_cmp);
        costs.get(costs.len() / 2).copied().unwrap_or_default()
    };
    let tenth = (pace.len() / 10).max(1);
    let (first, end) = (median(&pace[..tenth.min(pace.len())]), median(&pace[pace.len().saturating_sub(tenth)..]));
    println!("an event costs {first:.2} us in the first tenth and {end:.2} us in the last: {:.2} of it", end / first);
    drop(log);

    let began = Instant::now();
    let log: Arc<dyn Log> = Arc::new(open(&journal, &keys));
    said("start: every record checked", began, events);
    println!("memory of the process after the start: {} MB", memory());
    let mut reads: Vec<f64> = (0..2_000_u64)
        .map(|number| {
            let stream = specimen(number * 7_919 % (events / 4)).remove(0).stream;
            let began = Instant::now();
            assert!(!log.read_stream(&stream, 1, 64).unwrap().is_empty());
            began.elapsed().as_secs_f64() * 1e6
        })
        .collect();
    reads.sort_unstable_by(f64::total_cmp);
    let is_short = std::env::args().any(|word| word == "start");
    println!("a stream read from anywhere: {:.0} us in the middle, p99 {:.0} us", reads[reads.len() / 2], reads[reads.len() * 99 / 100]);

    if is_short {
        drop(log);
        return std::fs::remove_dir_all(&folder).unwrap();
    }
    let began = Instant::now();
    let (views, _) = SledViews::open(&folder.join("views"), &keys).unwrap();
    let views: Arc<dyn Views> = Arc::new(views);
    let rows = Arc::new(Rows::open(views, log.head()).unwrap());
    let projector = Projector::new(rows.clone(), log.clone());
    let mut next = 1;
    while next <= log.head() {
        let page = log.read_all(next, 4_096).unwrap();
        page.iter().for_each(|batch| projector.apply(batch).unwrap());
        next = page.last().map_or(u64::MAX, |batch| batch.last() + 1);
        rows.write().unwrap();
    }
    said("read models rebuilt from nothing", began, events);
    drop((log, rows));

    let began = Instant::now();
    backup::backup(&journal, &folder.join("copy"), Some(&keys)).unwrap();
    said("backup, every seal opened", began, events);
    let began = Instant::now();
    backup::restore(&folder.join("copy"), &folder.join("restored"), Some(&keys)).unwrap();
    said("restore, every seal opened twice", began, events);
    std::fs::remove_dir_all(&folder).unwrap();
}
