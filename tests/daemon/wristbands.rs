//! Wristbands through the real binary: printed by network and by a serial line, out of paper, replaced, scanned.

use std::io::{Read, Write};
use std::net::TcpListener;
use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde_json::{Value, json};

use crate::harness::{Daemon, Site, count, has};

/// How the printer of a test is.
const READY: u8 = 0;
const EMPTY: u8 = 1;
const SILENT: u8 = 2;
/// It takes a label and then says nothing more.
const JAMMED: u8 = 3;

/// A printer that keeps what it prints.
#[derive(Clone, Default)]
struct Printer {
    state: Arc<AtomicU8>,
    printed: Arc<Mutex<Vec<String>>>,
}

impl Printer {
    /// Serves one line: answers ~HS, prints what stands between ^XA and ^XZ, is busy for one question after it.
    fn serve(&self, mut line: impl Read + Write) {
        let (mut bytes, mut is_busy) = (Vec::new(), false);
        let mut part = [0; 512];
        while let Ok(length @ 1..) = line.read(&mut part) {
            bytes.extend_from_slice(&part[..length]);
            loop {
                let text = String::from_utf8_lossy(&bytes).into_owned();
                if let Some(end) = text.find("^XZ").filter(|end| !text[..*end].contains("~HS")) {
                    if self.state.compare_exchange(JAMMED, SILENT, Ordering::SeqCst, Ordering::SeqCst).is_err() {
                        self.printed.lock().unwrap().push(text[..end + 3].trim_start().to_owned());
                    }
                    is_busy = true;
                    bytes.drain(..end + 3);
                } else if let Some(at) = text.find("~HS") {
                    bytes.drain(..at + 3);
                    let state = self.state.load(Ordering::SeqCst);
                    if state == SILENT {
                        continue;
                    }
                    let (empty, waiting) = (u8::from(state == EMPTY), u8::from(std::mem::take(&mut is_busy)));
                    let answer = format!("\u{2}030,{empty},0,1245,00{waiting},0,0,0,000,0,0,0\u{3}\r\n\u{2}000,0,0,0,0,2,6,0,00000000,1,000\u{3}\r\n\u{2}1234,0\u{3}\r\n");
                    let _ = line.write_all(answer.as_bytes());
                } else {
                    break;
                }
            }
        }
    }

    /// Listens as a network printer does.
    fn listen(&self) -> u16 {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let printer = self.clone();
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                stream.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
                printer.serve(stream);
            }
        });
        port
    }

    fn printed(&self) -> Vec<String> {
        self.printed.lock().unwrap().clone()
    }
}

fn site(port: u16, more: &str) -> Site {
    Site::with(
        "",
        &format!("[wristbands]\ncompany_prefix = \"9521141\"\n[[printers]]\nid = \"BANDS\"\nlink = {{ kind = \"tcp-connect\", address = \"127.0.0.1:{port}\" }}\n{more}"),
    )
}

fn register(daemon: &Daemon, mrn: &str, family: &str) {
    let (status, answer) = daemon.post(
        "/api/v1/patients",
        json!({ "mrn": mrn, "person": { "name": { "family": family, "given": ["Jane"] }, "birth_date": "1980-01-02", "sex": "female" }, "confirm_new": true }),
    );
    assert_eq!(status, 201, "{answer}");
}

fn print(daemon: &Daemon, mrn: &str, body: Value) -> u64 {
    let (status, answer) = daemon.post(&format!("/api/v1/patients/{mrn}/print-wristband"), body);
    assert_eq!(status, 200, "{answer}");
    answer["events"][0]["number"].as_u64().unwrap()
}

fn delivered(daemon: &Daemon, mrn: &str, number: u64) {
    daemon.until("the band", |daemon| daemon.get(&format!("/api/v1/patients/{mrn}"))["wristband_delivered"] == number);
}

/// What a scanner reads from a band.
fn scan_of(label: &str) -> String {
    let data = label.split("^FD_1").nth(1).unwrap().split('^').next().unwrap();
    format!("]d2{}", data.replace("_1", "%1D"))
}

fn look(daemon: &Daemon, scan: &str) -> (u16, String) {
    let (status, _, body) = daemon.raw("GET", &format!("/api/v1/patients?scan={scan}"), None, "");
    (status, body)
}

#[test]
fn a_band_comes_out_once_and_a_reprint_makes_the_old_one_worthless() {
    let printer = Printer::default();
    let site = site(printer.listen(), "");
    let daemon = site.start();
    register(&daemon, "77", "Doe^XZ~JR");
    register(&daemon, "78", "Roe");
    assert_eq!(print(&daemon, "77", json!({})), 1);
    delivered(&daemon, "77", 1);
    assert_eq!(print(&daemon, "78", json!({ "printer": "BANDS" })), 1);
    delivered(&daemon, "78", 1);
    let labels = printer.printed();
    assert_eq!(labels.len(), 2, "{labels:?}");
    assert!(labels[0].contains("Doe\\5EXZ\\7EJR, Jane") && labels[0].contains("born 1980-01-02  F") && labels[0].contains("No. 77  band 1"), "{}", labels[0]);
    let (first, other) = (scan_of(&labels[0]), scan_of(&labels[1]));
    for (scan, mrn) in [(&first, "77"), (&other, "78")] {
        let (status, body) = look(&daemon, scan);
        assert!(status == 200 && body.contains(&format!("\"mrn\":\"{mrn}\"")), "{scan}: {body}");
    }
    assert!(look(&daemon, "78").1.contains("\"mrn\":\"78\""), "a plain code is the number");
    assert_eq!(print(&daemon, "77", json!({})), 2);
    let (status, body) = look(&daemon, &first);
    assert!(status == 409 && body.contains("old_wristband") && body.contains("replaced by band 2"), "{body}");
    delivered(&daemon, "77", 2);
    let second = scan_of(&printer.printed()[2]);
    assert_eq!(first.split("%1D").next(), second.split("%1D").next(), "the same patient, another print");
    assert_eq!(look(&daemon, &second).0, 200);
    // A damaged code, another house's, a package.
    let damaged = first.replace("]d280189521141", "]d280189521142");
    for (scan, status) in [(damaged.as_str(), 400), ("]d28018950000000000000015%1D80191", 404), ("]d20109506000134352", 400)] {
        assert_eq!(look(&daemon, scan).0, status, "{scan}: {}", look(&daemon, scan).1);
    }
    let (status, answer) = daemon.post("/api/v1/patients/77/print-wristband", json!({ "printer": "ATTIC" }));
    assert!(status == 409 && answer["detail"].as_str().unwrap().contains("the house has BANDS"), "{answer}");
    // One person now: the newest band of both counts.
    assert_eq!(daemon.post("/api/v1/patients/78/merge", json!({ "with": "77" })).0, 200);
    daemon.until("one person", |daemon| look(daemon, &other).0 == 409 && look(daemon, &second).1.contains("\"mrn\":\"78\""));
    // After a restart nothing comes out again.
    drop(daemon);
    let daemon = site.start();
    register(&daemon, "79", "Poe");
    print(&daemon, "79", json!({}));
    delivered(&daemon, "79", 1);
    assert_eq!(printer.printed().len(), 4);
    assert_eq!(look(&daemon, &second).0, 200);
}

#[test]
fn a_printer_without_bands_is_waited_for_and_only_the_newest_band_comes_out() {
    let printer = Printer::default();
    printer.state.store(EMPTY, Ordering::SeqCst);
    let site = site(printer.listen(), "");
    let daemon = site.start();
    register(&daemon, "77", "Doe");
    assert_eq!(print(&daemon, "77", json!({})), 1);
    std::thread::sleep(Duration::from_millis(1_500));
    assert_eq!(print(&daemon, "77", json!({})), 2);
    printer.state.store(SILENT, Ordering::SeqCst);
    std::thread::sleep(Duration::from_millis(1_000));
    assert!(printer.printed().is_empty());
    assert_eq!(daemon.get("/api/v1/patients/77")["wristband_delivered"], 0);
    printer.state.store(READY, Ordering::SeqCst);
    delivered(&daemon, "77", 2);
    assert!(printer.printed().len() == 1 && printer.printed()[0].contains("band 2"), "{:?}", printer.printed());
    // A band that stays inside would come out in front of somebody else's: a person is told at once, and nothing is sent again.
    printer.state.store(JAMMED, Ordering::SeqCst);
    print(&daemon, "77", json!({}));
    daemon.until("the item", |daemon| daemon.get("/api/v1/quarantine").to_string().contains("may still be inside"));
    printer.state.store(READY, Ordering::SeqCst);
    std::thread::sleep(Duration::from_millis(500));
    assert_eq!((printer.printed().len(), daemon.get("/api/v1/patients/77")["wristband_delivered"].as_u64()), (1, Some(2)));
    daemon.terminate();
    assert_eq!(count(&site.events(), "WristbandDelivered"), 1);
}

#[test]
fn a_printer_on_a_serial_line() {
    let Some(socat) = has("socat") else { panic!("socat is needed: tests/run installs it") };
    // The printer's end of the line is a socket, the other a pty that looks like a device file.
    let printer = Printer::default();
    let port = printer.listen();
    let link = std::env::temp_dir().join(format!("wardd-printer-{}", std::process::id()));
    let _ = std::fs::remove_file(&link);
    let mut cable = std::process::Command::new(socat).arg(format!("PTY,link={},raw,echo=0", link.display())).arg(format!("TCP:127.0.0.1:{port}")).spawn().unwrap();
    crate::harness::until("the line", || link.exists().then_some(()));
    let site = site(1, &format!("[[printers]]\nid = \"DESK\"\nward = \"MED1\"\nlink = {{ kind = \"serial\", path = \"{}\" }}\n", link.display()));
    let daemon = site.start();
    register(&daemon, "77", "Doe");
    let (status, answer) = daemon.post("/api/v1/patients/77/print-wristband", json!({}));
    assert!(status == 409 && answer["detail"].as_str().unwrap().contains("BANDS, DESK"), "nobody knows where the patient is: {answer}");
    assert_eq!(daemon.post("/api/v1/patients/77/admit", json!({ "bed": "MED1:101:A" })).0, 200);
    daemon.until("the stay", |daemon| daemon.get("/api/v1/patients/77")["stay"].is_object());
    print(&daemon, "77", json!({}));
    delivered(&daemon, "77", 1);
    assert_eq!(printer.printed().len(), 1);
    let _ = cable.kill();
    let _ = cable.wait();
}
