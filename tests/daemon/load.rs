//! More than is usual, in small: re-sends, connections that say nothing, clients that never read. The long runs are
//! `cargo bench --bench load`.

use std::io::Write;
use std::process::{Command, Stdio};
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

/// In a network of its own: wardd, a sender, and a cable that is cut so that neither hears of it. Prints after how many seconds
/// wardd has let go of the line, and how the same message is answered on a new one.
const CABLE: &str = r#"
import json, os, socket, subprocess, sys, time

program, folder = sys.argv[1:3]
lo = lambda state: subprocess.run(["ip", "link", "set", "lo", state], check=True)
lo("up")
wardd = subprocess.Popen([program, "run", "--config", folder + "/wardd.toml"], stdout=subprocess.DEVNULL, stderr=open(folder + "/log", "w"))
try:
    endpoints = folder + "/data/endpoints.json"
    until = time.monotonic() + 30
    while not os.path.exists(endpoints):
        assert wardd.poll() is None and time.monotonic() < until, open(folder + "/log").read()
        time.sleep(0.02)
    time.sleep(0.1)
    port = int(json.load(open(endpoints))["feed"].rsplit(":", 1)[1])
    message = b"\x0bMSH|^~\\&|LIS|LAB|WARDD|H|20260101120000||ORU^R01^ORU_R01|CUT1|P|2.5.1\rOBR|1||261100000017|PANEL\rOBX|1|NM|718-7^HGB^LN||13.5|g/dL|||||F\r\x1c\r"

    def exchange(line):
        line.settimeout(10)
        line.sendall(message)
        answer = b""
        while not answer.endswith(b"\x1c\r"):
            answer += line.recv(4096)
        return answer.split(b"MSA|")[1][:2].decode()

    def is_open():
        # Established sockets whose own end is the port that wardd listens on.
        lines = [line.split() for line in open("/proc/net/tcp").readlines()[1:]]
        return any(int(fields[1].split(":")[1], 16) == port and fields[3] == "01" for fields in lines)

    old = socket.create_connection(("127.0.0.1", port))
    first = exchange(old)
    assert is_open()
    lo("down")
    cut = time.monotonic()
    while is_open() and time.monotonic() < cut + 60:
        time.sleep(0.05)
    found = time.monotonic() - cut
    lo("up")
    print(first, round(found, 1), exchange(socket.create_connection(("127.0.0.1", port), 10)))
finally:
    wardd.terminate()
    wardd.wait(20)
"#;

#[test]
fn a_peer_behind_a_cut_cable_is_found_within_two_keep_alives() {
    let is_possible = |command: &mut Command| command.stdout(Stdio::null()).stderr(Stdio::null()).status().is_ok_and(|status| status.success());
    if !is_possible(Command::new("unshare").args(["--net", "ip", "link", "set", "lo", "up"])) {
        println!("skipped: this user may not make a network of their own (unshare --net, ip)");
        return;
    }
    let site = Site::new();
    let script = site.folder.join("cable.py");
    std::fs::write(&script, CABLE).unwrap();
    let output = Command::new("unshare").args(["--net", "python3"]).arg(&script).arg(env!("CARGO_BIN_EXE_wardd")).arg(&site.folder).stdin(Stdio::null()).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let printed = String::from_utf8(output.stdout).unwrap();
    let words: Vec<&str> = printed.split_whitespace().collect();
    let found: f64 = words[1].parse().unwrap();
    println!("found after {found} s");
    // Two keep-alives of 15 s, and a second for whoever looks.
    assert!(words[0] == "AA" && words[2] == "AA" && (5.0..31.0).contains(&found), "{printed}");
    assert_eq!(count(&site.events(), "MessageReceived"), 1, "the second was known again");
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
