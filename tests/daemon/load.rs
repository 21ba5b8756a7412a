//! More than is usual, in small: re-sends, connections that say nothing, clients that never read. The long runs are
//! `cargo bench --bench load`.

use std::io::Write;
use std::sync::atomic::{AtomicUsize, Ordering};

use super::harness::*;

#[test]
fn twenty_thousand_re_sends_are_filed_and_charged_once() {
    const DIFFERENT: usize = 200;
    const ALL: usize = 20_000;
    let site = Site::new();
    let daemon = site.start();
    let accessions: Vec<String> = (0..DIFFERENT).map(|_| daemon.order(&["718-7"], true)).collect();
    let messages: Vec<String> = accessions.iter().enumerate().map(|(number, accession)| oru(&format!("R{number}"), accession, "13.2")).collect();
    let next = AtomicUsize::new(0);
    std::thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| {
                let mut feed = daemon.connect("feed");
                loop {
                    let number = next.fetch_add(1, Ordering::Relaxed);
                    if number >= ALL {
                        break;
                    }
                    let answer = mllp(&mut feed, &messages[number % DIFFERENT]).unwrap();
                    assert!(answer.contains("MSA|AA|"), "{answer}");
                }
            });
        }
    });
    daemon.until("all is charged", |daemon| daemon.raw("GET", "/metrics", None, "").2.contains(&format!("wardd_billing_charges_total {DIFFERENT}\n")));
    daemon.terminate();
    let events = site.events();
    assert_eq!((count(&events, "ResultFiled"), count(&events, "Charged")), (DIFFERENT, DIFFERENT));
}

#[test]
fn a_crowd_that_says_nothing_and_clients_that_never_read_hold_nobody_up() {
    let site = Site::new();
    let daemon = site.start();
    let descriptors = || std::fs::read_dir(format!("/proc/{}/fd", daemon.pid())).unwrap().count();
    let before = descriptors();
    // They send the same message for as long as somebody takes it, and read no answer.
    let mut deaf: Vec<_> = (0..8).map(|_| daemon.connect("feed")).collect();
    let message = format!("\x0b{}\x1c\r", oru("DEAF", "999", "13.2")).repeat(200);
    for stream in &mut deaf {
        stream.set_nonblocking(true).unwrap();
        for _ in 0..200 {
            let _ = stream.write(message.as_bytes());
        }
    }
    for number in 0..2_000 {
        let mut stream = daemon.connect("feed");
        match number % 3 {
            0 => {}
            1 => stream.write_all(&[0xFF; 64]).unwrap(),
            _ => stream.write_all(b"\x0bMSH|^~\\&|half").unwrap(),
        }
    }
    let accession = daemon.order(&["718-7"], true);
    let answer = mllp(&mut daemon.connect("feed"), &oru("SEEN", &accession, "13.2")).unwrap();
    assert!(answer.contains("MSA|AA|SEEN"), "{answer}");
    drop(deaf);
    daemon.until("what they held is given back", |_| descriptors() <= before + 3);
    daemon.terminate();
    let events = site.events();
    let of = |control: &str| events.iter().filter(|event| event["payload"]["control_id"] == control).count();
    assert_eq!((of("SEEN"), of("DEAF")), (1, 1), "each is there once, however often it was sent");
}
