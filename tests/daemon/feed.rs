//! What happens is told to other systems: to another wardd, whose census must become the same, and to a receiver that others wrote
//! and that is not always willing.

use std::io::{BufRead, BufReader};
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::sync::mpsc;
use std::time::Duration;

use serde_json::{Value, json};

use crate::harness::{Daemon, Site};

fn subscriber(port: u16, more: &str) -> Site {
    Site::with("", &format!("[[subscribers]]\nid = \"OTHER\"\nlink = {{ kind = \"tcp-connect\", address = \"127.0.0.1:{port}\" }}\napplication = \"HIS\"\n{more}"))
}

fn did(daemon: &Daemon, path: &str, body: Value) -> Value {
    let (status, answer) = daemon.post(&format!("/api/v1/{path}"), body);
    assert!(status == 200 || status == 201, "{path}: {status} {answer}");
    answer
}

/// What must be the same in both houses: who it is, what they must not be given, in which bed, under which other numbers.
fn census(daemon: &Daemon) -> Value {
    let patients: Vec<Value> = ["11", "12", "13", "14"]
        .iter()
        .map(|mrn| {
            let (status, _, body) = daemon.raw("GET", &format!("/api/v1/patients/{mrn}"), None, "");
            let seen: Value = serde_json::from_str(&body).unwrap_or_default();
            let allergies: Vec<Value> = seen["allergies"]["known"].as_array().into_iter().flatten().map(|known| known["substance"].clone()).collect();
            json!({ "status": status, "mrn": seen["mrn"], "person": seen["person"], "allergies": allergies, "merged": seen["merged"], "died": seen["died"].is_string() })
        })
        .collect();
    let beds: Vec<Value> = daemon.get("/api/v1/beds").as_array().unwrap().iter().map(|bed| json!([bed["bed"], bed["patient"]])).collect();
    json!({ "patients": patients, "beds": beds })
}

fn person(family: &str) -> Value {
    json!({
        "name": { "family": family, "given": ["Jane", "Q"] }, "birth_date": "1980-01-02", "sex": "female", "phones": ["+43 1 555 12"],
        "address": { "line": "1 Main St|2", "city": "Town", "postal_code": "12345", "country": "AT" }, "language": "de",
        "identifiers": [{ "kind": "NI", "value": "N9", "issuer": "GOV" }],
        "contacts": [{ "name": { "family": "Kin", "given": ["Next"] }, "relationship": "mother", "phone": "555" }],
        "coverages": [{ "payer": "ACME", "plan": "Gold", "member": "M1", "from": "2026-01-01" }],
    })
}

#[test]
fn another_wardd_that_is_told_has_the_same_census() {
    let told = Site::with("", "");
    let other = told.start();
    let site = subscriber(
        other.endpoints["feed"].port(),
        "events = [\"A01\", \"A02\", \"A03\", \"A04\", \"A06\", \"A08\", \"A11\", \"A12\", \"A13\", \"A15\", \"A16\", \"A17\", \"A20\", \"A21\", \"A22\", \"A26\", \"A28\", \"A31\", \"A37\", \"A40\", \"A60\"]\n",
    );
    let daemon = site.start();
    daemon.until("the line", |daemon| daemon.raw("GET", "/metrics", None, "").2.contains("wardd_subscriber_connected{subscriber=\"OTHER\"} 1"));
    for (mrn, family) in [("11", "Doe & Söhne"), ("12", "Roe"), ("13", "Poe"), ("14", "Coe")] {
        did(&daemon, "patients", json!({ "mrn": mrn, "person": person(family), "confirm_new": true }));
    }
    let same = |step: &str| {
        daemon.until(step, |daemon| census(daemon) == census(&other));
    };
    same("registered");
    did(&daemon, "patients/11/record-allergy", json!({ "allergy": { "substance": "penicillin", "category": "medication", "criticality": "high", "reaction": "rash" } }));
    // A plan that is called off is nobody's afterwards, and what comes behind it is told all the same.
    did(&daemon, "patients/13/plan", json!({ "bed": "MED1:101:A" }));
    did(&daemon, "patients/13/cancel-plan", json!({}));
    did(&daemon, "patients/11/admit", json!({ "bed": "MED1:101:A" }));
    did(&daemon, "patients/12/admit", json!({ "bed": "MED1:101:B" }));
    same("admitted");
    assert_eq!(census(&other)["patients"][0]["allergies"], json!(["penicillin"]));
    // Told as two moves, the other house would have to put two into one bed.
    did(&daemon, "patients/11/swap", json!({ "with": "12" }));
    same("swapped");
    assert_eq!(census(&other)["beds"][0], json!(["MED1:101:A", "12"]));
    did(&daemon, "patients/12/begin-leave", json!({}));
    did(&daemon, "patients/12/end-leave", json!({}));
    did(&daemon, "patients/12/discharge", json!({}));
    same("discharged");
    did(&daemon, "beds/MED1:101:A/clean", json!({}));
    did(&daemon, "patients/12/cancel-discharge", json!({ "bed": "MED1:101:A" }));
    same("not discharged");
    did(&daemon, "patients/14/merge", json!({ "with": "13" }));
    same("merged");
    assert_eq!(census(&other)["patients"][3]["merged"], json!(["13"]));
    did(&daemon, "patients/13/unmerge", json!({}));
    same("unmerged");
    did(&daemon, "patients/12/record-death", json!({}));
    did(&daemon, "patients/11/cancel-admission", json!({}));
    same("empty again");
    assert_eq!(daemon.get("/api/v1/quarantine"), json!([]));
    assert_eq!(other.get("/api/v1/quarantine"), json!([]));
}

/// Takes messages by python-hl7 and prints what came. An A02 is heard first without an answer, an A03 is refused, an A21 is not taken at
/// first, and what is printed of a message was parsed by that library.
const RECEIVER: &str = r#"
import asyncio
import hl7
from hl7.mllp import start_hl7_server

heard = {}

async def serve(reader, writer):
    try:
        while not writer.is_closing():
            message = await reader.readmessage()
            head = message.segment("MSH")
            event, number = str(head[9][0][1]), str(head[10])
            assert str(head[12]) == "2.5.1" and str(head[5]) == "HIS", str(head)
            heard[number] = heard.get(number, 0) + 1
            try:
                patient = str(message.segment("PID")[3][0][0])
            except KeyError:
                patient = "-"
            print(event, number, patient, heard[number], flush=True)
            if event == "A02" and heard[number] == 1:
                writer.close()
                return
            code = "AE" if event == "A03" else "AR" if event == "A21" and heard[number] == 1 else "AA"
            writer.writemessage(message.create_ack(code))
            await writer.drain()
    except asyncio.IncompleteReadError:
        writer.close()

async def main():
    server = await start_hl7_server(serve, host="127.0.0.1", port=0, encoding="utf-8")
    print(server.sockets[0].getsockname()[1], flush=True)
    async with server:
        await server.serve_forever()

asyncio.run(main())
"#;

/// The receiver's process and what it prints.
struct Receiver {
    child: std::process::Child,
    lines: mpsc::Receiver<String>,
}

impl Drop for Receiver {
    fn drop(&mut self) {
        let _ = (self.child.kill(), self.child.wait());
    }
}

impl Receiver {
    fn start() -> (Self, u16) {
        let python = PathBuf::from(std::env::var("WARDD_PEERS").expect("run tests/run, which installs python-hl7")).join("bin/python");
        let mut child = Command::new(python).args(["-c", RECEIVER]).stdout(Stdio::piped()).stdin(Stdio::null()).spawn().unwrap();
        let (sender, lines) = mpsc::channel();
        let out = BufReader::new(child.stdout.take().unwrap());
        std::thread::spawn(move || out.lines().map_while(Result::ok).try_for_each(|line| sender.send(line)));
        let receiver = Self { child, lines };
        let port = receiver.line().parse().unwrap();
        (receiver, port)
    }

    fn line(&self) -> String {
        self.lines.recv_timeout(Duration::from_secs(60)).expect("the receiver hears something")
    }

    /// Event, patient and how often it was heard; the number is given apart.
    fn heard(&self) -> (String, String) {
        let line = self.line();
        let words: Vec<&str> = line.split(' ').collect();
        (format!("{} {} {}", words[0], words[2], words[3]), words[1].to_owned())
    }
}

#[test]
fn what_is_not_answered_is_sent_again_and_what_is_refused_waits_for_a_person() {
    let (receiver, port) = Receiver::start();
    let site = subscriber(port, "");
    let mut daemon = site.start();
    daemon.until("the line", |daemon| daemon.raw("GET", "/metrics", None, "").2.contains("wardd_subscriber_connected{subscriber=\"OTHER\"} 1"));
    did(&daemon, "patients", json!({ "mrn": "11", "person": person("Doe"), "confirm_new": true }));
    assert_eq!(receiver.heard().0, "A28 11 1");
    did(&daemon, "patients/11/plan", json!({ "bed": "MED1:101:A" }));
    assert_eq!(receiver.heard().0, "A05 11 1");
    did(&daemon, "patients/11/cancel-plan", json!({}));
    assert_eq!(receiver.heard().0, "A38 11 1");
    did(&daemon, "patients/11/admit", json!({ "bed": "MED1:101:A" }));
    assert_eq!(receiver.heard().0, "A01 11 1");
    // The line breaks before the answer: the same message again, by the same number.
    did(&daemon, "patients/11/move", json!({ "bed": "MED1:101:B" }));
    let (first, again) = (receiver.heard(), receiver.heard());
    // The bed that was left waits for housekeeping in this house or does not; A20 tells of it.
    let (first, again) = if first.0.starts_with("A20") { (again, receiver.heard()) } else { (first, again) };
    assert_eq!((first.0.as_str(), again.0.as_str()), ("A02 11 1", "A02 11 2"));
    assert_eq!(first.1, again.1);
    // Not taken now, and taken at the second try.
    did(&daemon, "patients/11/begin-leave", json!({}));
    let heard: Vec<String> = std::iter::repeat_with(|| receiver.heard().0).filter(|line| !line.starts_with("A20")).take(2).collect();
    assert_eq!(heard, ["A21 11 1", "A21 11 2"]);
    daemon.until("the answer", |daemon| daemon.raw("GET", "/metrics", None, "").2.contains("wardd_subscriber_unanswered_timestamp_seconds{subscriber=\"OTHER\"} 0"));
    // A kill -9: what was taken is not told again.
    daemon.kill();
    daemon = site.start();
    did(&daemon, "patients/11/end-leave", json!({}));
    let heard: Vec<String> = std::iter::repeat_with(|| receiver.heard().0).filter(|line| !line.starts_with("A20")).take(1).collect();
    assert_eq!(heard, ["A22 11 1"]);
    // Refused: a person must look, and what comes after is told.
    did(&daemon, "patients/11/discharge", json!({}));
    did(&daemon, "schedules", json!({ "schedule": "DR-A", "name": "Dr A", "of": "practitioner" }));
    did(
        &daemon,
        "schedules/DR-A/open",
        json!({ "sessions": [{ "from": "2030-01-07T08:00:00Z", "until": "2030-01-07T12:00:00Z", "slot_minutes": 20, "places": 1, "overbooking": 0, "walk_ins": 0 }] }),
    );
    did(&daemon, "schedules/DR-A/book", json!({ "patient": "11", "start": "2030-01-07T08:20:00Z", "reason": "check-up" }));
    let heard: Vec<String> = std::iter::repeat_with(|| receiver.heard().0).filter(|line| !line.starts_with("A20")).take(2).collect();
    assert_eq!(heard, ["A03 11 1", "S12 11 1"]);
    daemon.until("the item", |daemon| daemon.get("/api/v1/quarantine").as_array().unwrap().len() == 1);
    let item = daemon.get("/api/v1/quarantine")[0].to_string();
    assert!(item.contains("would not take ADT^A03") && item.contains("OTHER"), "{item}");
    assert!(site.log().contains("WD-0701") && site.log().contains("WD-0702"));
    // Who was told of the patient stands in their report.
    let (_, _, report) = daemon.raw("GET", "/api/v1/audit?patient=11", None, "");
    assert!(report.contains("MessageTaken") && report.contains("MessageRefused"), "{report}");
}
