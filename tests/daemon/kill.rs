//! kill -9 at random moments under load, and SIGTERM: acknowledged means kept, once.

use std::collections::BTreeSet;
use std::net::TcpStream;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use serde_json::json;

use super::harness::*;

/// One connection that sends results of one specimen after the other until the daemon is gone; what was acknowledged.
fn load(address: std::net::SocketAddr, worker: u64, number: &AtomicU64, stop: &AtomicBool) -> Vec<String> {
    let mut acknowledged = Vec::new();
    let Ok(mut stream) = TcpStream::connect(address) else { return acknowledged };
    let _ = stream.set_read_timeout(Some(Duration::from_secs(10)));
    while !stop.load(Ordering::Relaxed) {
        let control = format!("K{worker}.{}", number.fetch_add(1, Ordering::Relaxed));
        match mllp(&mut stream, &oru(&control, "999", "13.5")) {
            Ok(answer) if answer.contains(&format!("MSA|AA|{control}")) => acknowledged.push(control),
            Ok(answer) => panic!("{answer}"),
            Err(_) => break,
        }
    }
    acknowledged
}

#[test]
fn a_hundred_kills_lose_nothing_that_was_acknowledged() {
    let site = Site::new();
    let number = AtomicU64::new(0);
    let mut acknowledged: BTreeSet<String> = BTreeSet::new();
    let mut vended: u32 = 0;
    let mut random: u64 = 0x9E37_79B9_7F4A_7C15;
    for round in 0..100 {
        let daemon = site.start();
        if round == 0 {
            daemon.known("9");
            assert_eq!(daemon.post("/api/v1/cabinets/CAB1/load", json!({ "pocket": "1-1", "lot": "L", "expires": "2029-01-01", "quantity": "100000" })).0, 200);
        }
        let address = daemon.endpoints["feed"];
        let stop = AtomicBool::new(false);
        random ^= random << 13;
        random ^= random >> 7;
        random ^= random << 17;
        let pause = Duration::from_micros(random % 30_000);
        std::thread::scope(|scope| {
            let workers: Vec<_> = (0..4)
                .map(|worker| {
                    scope.spawn({
                        let (number, stop) = (&number, &stop);
                        move || load(address, worker, number, stop)
                    })
                })
                .collect();
            let vend = json!({ "pocket": "1-1", "quantity": "1", "patient": "9" });
            if daemon.ask("POST", "/api/v1/cabinets/CAB1/vend", Some(&vend), &format!("Idempotency-Key: v{round}\r\n")).0 == 200 {
                vended += 1;
            }
            std::thread::sleep(pause);
            daemon.kill();
            stop.store(true, Ordering::Relaxed);
            workers.into_iter().for_each(|worker| acknowledged.extend(worker.join().unwrap()));
        });
    }
    // Repeated keys of all rounds: no second effect.
    let daemon = site.start();
    for round in 0..100 {
        let vend = json!({ "pocket": "1-1", "quantity": "1", "patient": "9" });
        assert_eq!(daemon.ask("POST", "/api/v1/cabinets/CAB1/vend", Some(&vend), &format!("Idempotency-Key: v{round}\r\n")).0, 200);
    }
    daemon.until("all charged", |daemon| daemon.get("/api/v1/accounts/9")["charges"].as_array().is_some_and(|charges| charges.len() == 100));
    assert_eq!(daemon.terminate().1, Some(0));
    assert!(site.verify());
    let events = site.events();
    let mut kept = BTreeSet::new();
    for event in events.iter().filter(|event| event["type"] == "MessageReceived") {
        let control = event["payload"]["control_id"].as_str().unwrap_or_default().to_owned();
        if control.starts_with('K') {
            assert!(kept.insert(control.clone()), "{control} is in the journal twice");
        }
    }
    let lost: Vec<_> = acknowledged.difference(&kept).collect();
    assert!(lost.is_empty(), "{} of {} acknowledged messages lost: {lost:?}", lost.len(), acknowledged.len());
    assert!(acknowledged.len() > 1_000, "there was load: {}", acknowledged.len());
    assert_eq!((count(&events, "Vended"), count(&events, "Charged")), (100, 100), "{vended} vends were answered before the kills");
    println!("100 kills: {} messages acknowledged, 0 lost; {} in the journal", acknowledged.len(), kept.len());
}

#[test]
fn sigterm_drains_within_five_seconds_and_loses_nothing() {
    let site = Site::new();
    let daemon = site.start();
    let (number, stop) = (AtomicU64::new(0), AtomicBool::new(false));
    let address = daemon.endpoints["feed"];
    let acknowledged: Vec<String> = std::thread::scope(|scope| {
        let workers: Vec<_> = (0..4)
            .map(|worker| {
                scope.spawn({
                    let (number, stop) = (&number, &stop);
                    move || load(address, worker, number, stop)
                })
            })
            .collect();
        std::thread::sleep(Duration::from_millis(500));
        let (took, code) = daemon.terminate();
        assert!(took < Duration::from_secs(5), "{took:?}");
        assert_eq!(code, Some(0), "{}", site.log());
        stop.store(true, Ordering::Relaxed);
        workers.into_iter().flat_map(|worker| worker.join().unwrap()).collect()
    });
    let events = site.events();
    let kept: BTreeSet<&str> = events.iter().filter_map(|event| event["payload"]["control_id"].as_str()).collect();
    assert!(acknowledged.len() > 100 && acknowledged.iter().all(|control| kept.contains(control.as_str())));
}

#[test]
fn with_a_mirror_a_damaged_or_lost_journal_comes_back_whole() {
    let site = Site::new();
    let config = site.folder.join("wardd.toml");
    let text = std::fs::read_to_string(&config).unwrap().replace("segment_mib = 1\n", "segment_mib = 1\nmirror = \"second-disk\"\n");
    std::fs::write(&config, text).unwrap();
    let (journal, mirror) = (site.data().join("journal"), site.folder.join("second-disk"));
    let send = |daemon: &Daemon, from: usize, count: usize| {
        let mut feed = daemon.connect("feed");
        for number in from..from + count {
            let answer = mllp(&mut feed, &oru(&format!("C{number}"), "26112100017", "13.2")).unwrap();
            assert!(answer.contains(&format!("MSA|AA|C{number}")), "{answer}");
        }
    };
    let daemon = site.start();
    send(&daemon, 0, 1_500);
    let (_, _, metrics) = daemon.raw("GET", "/metrics", None, "");
    assert!(metrics.contains("wardd_journal_mirror_ok 1"), "{metrics}");
    daemon.kill();
    let segments = |folder: &std::path::Path| {
        let mut found: Vec<_> = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).filter(|path| path.extension().is_some_and(|end| end == "wlog")).collect();
        found.sort();
        found
    };
    assert!(segments(&journal).len() > 1, "{:?}", segments(&journal));
    let mut bytes = std::fs::read(&segments(&journal)[0]).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    std::fs::write(&segments(&journal)[0], bytes).unwrap();
    let daemon = site.start();
    assert!(site.log().contains("WD-0134"), "{}", site.log());
    send(&daemon, 1_500, 100);
    daemon.kill();
    std::fs::remove_dir_all(&journal).unwrap();
    let daemon = site.start();
    send(&daemon, 1_600, 100);
    daemon.terminate();
    assert!(site.verify());
    assert_eq!(count(&site.events(), "MessageReceived"), 1_700, "every acknowledged message, once");
    assert_eq!(segments(&journal).len(), segments(&mirror).len());
}
