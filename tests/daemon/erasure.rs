//! Somebody is erased: nothing that tells of them can be read any more, by nobody and from no copy, and everything else stays as it is.

use serde_json::{Value, json};

use crate::harness::{Daemon, Site, mllp, wardctl};

/// A name that stands nowhere else.
const NAME: &str = "Quixanoid";

fn did(daemon: &Daemon, path: &str, body: Value) -> Value {
    let (status, answer) = daemon.post(&format!("/api/v1/{path}"), body);
    assert!(status == 200 || status == 201, "{path}: {status} {answer}");
    answer
}

fn person(family: &str) -> Value {
    json!({ "name": { "family": family, "given": ["Ann"] }, "birth_date": "1950-06-07", "phones": [format!("+1 {family}")] })
}

fn adt(control: &str, event: &str, mrn: &str, family: &str, visit: &str) -> String {
    format!(
        "MSH|^~\\&|HIS|H|WARDD|H|20261123120000||ADT^{event}|{control}|P|2.5.1\rEVN|{event}|20261123120000\rPID|1||{mrn}^^^H^MR||{family}^Ann||19500607|F\rPV1|1|I|MED1^101^A||||||||||||||||{visit}\r"
    )
}

/// Everything of one patient that the house learns in many ways.
fn live(daemon: &Daemon, mrn: &str, family: &str) {
    did(daemon, "patients", json!({ "mrn": mrn, "person": person(family), "confirm_new": true }));
    did(daemon, &format!("patients/{mrn}/record-allergy"), json!({ "allergy": { "substance": format!("{family} nuts"), "category": "food", "criticality": "high" } }));
    did(daemon, &format!("patients/{mrn}/admit"), json!({ "bed": "MED1:101:A" }));
    did(daemon, &format!("patients/{mrn}/chart/write-note"), json!({ "kind": "progress", "text": format!("{family} slept well") }));
    did(daemon, "beds/MED1:101:A/isolate", json!({ "reason": format!("{family} coughs") }));
    did(daemon, &format!("patients/{mrn}/discharge"), json!({}));
    // What an appointment was for, and why it did not take place.
    did(daemon, "schedules", json!({ "schedule": format!("DR-{mrn}"), "name": "Dr Adams", "of": "practitioner" }));
    let (start, end) = (crate::schedules::at(60), crate::schedules::at(120));
    did(daemon, &format!("schedules/DR-{mrn}/open"), json!({ "sessions": [{ "from": start, "until": end, "slot_minutes": 30, "places": 1 }] }));
    did(daemon, &format!("schedules/DR-{mrn}/book"), json!({ "patient": mrn, "start": start, "reason": format!("{family} has a cough") }));
    let view = || daemon.get(&format!("/api/v1/schedules/DR-{mrn}"))["appointments"][0].clone();
    daemon.until("booked for a reason", |_| view()["reason"] == format!("{family} has a cough"));
    did(daemon, &format!("schedules/DR-{mrn}/cancel"), json!({ "number": 1, "reason": format!("{family} is better") }));
    daemon.until("cancelled for one", |_| view().to_string().contains(&format!("{family} is better")));
    let _ = daemon.post("/api/v1/beds/MED1:101:A/clean", json!({}));
    let mut feed = daemon.connect("feed");
    // A stay of another system, and a message that a rule refuses: it waits for a person with the name in it.
    assert!(mllp(&mut feed, &adt(&format!("A{mrn}"), "A01", mrn, family, &format!("V{mrn}"))).unwrap().contains("MSA|AA"));
    assert!(mllp(&mut feed, &adt(&format!("B{mrn}"), "A03", mrn, family, &format!("V{mrn}"))).unwrap().contains("MSA|AA"));
    let _ = daemon.post("/api/v1/beds/MED1:101:A/clean", json!({}));
    // A result, with another one that nobody has ordered: it waits for a person.
    let order = did(daemon, "lab-orders", json!({ "patient": { "mrn": mrn }, "tests": ["718-7"] }));
    let accession = order["accession"].as_str().unwrap().to_owned();
    did(daemon, &format!("specimens/{accession}/collect"), json!({}));
    did(daemon, &format!("specimens/{accession}/receive"), json!({}));
    let result = |test: &str| format!("OBX|1|NM|{test}^X^LN||13.5|g/dL|||||F|||20260101115900\r");
    let oru = format!(
        "MSH|^~\\&|LIS|LAB|WARDD|TEST|20260101120000||ORU^R01^ORU_R01|R{mrn}|P|2.5.1\rPID|1||{mrn}^^^H^MR||{family}^Ann\rOBR|1||{accession}|PANEL\r{}{}",
        result("718-7"),
        result("789-8")
    );
    assert!(mllp(&mut feed, &oru).unwrap().contains("MSA|AA"));
}

fn told(site: &Site) -> String {
    let text = |event: &Value| event.to_string();
    site.events().iter().map(text).collect::<Vec<_>>().join("\n")
}

#[test]
fn whoever_is_erased_is_gone_from_the_log_the_views_and_the_copies_and_nobody_else_is() {
    let site = Site::with("", "");
    let mut daemon = site.start();
    live(&daemon, "E1", NAME);
    live(&daemon, "K1", "Remains");
    // While wardd runs, and before anybody is erased, the name stands in no file of the house: not in the journal, the views, the log.
    let mut folders = vec![site.folder.clone()];
    let mut files = 0;
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(&folder).unwrap().flatten() {
            let (path, kind) = (entry.path(), entry.file_type().unwrap());
            if kind.is_dir() {
                folders.push(path);
            } else if kind.is_file() {
                let Ok(bytes) = std::fs::read(&path) else { continue };
                files += 1;
                assert!(!bytes.windows(NAME.len()).any(|window| window.eq_ignore_ascii_case(NAME.as_bytes())), "{}", path.display());
            }
        }
    }
    assert!(files > 5, "{files}");
    // Two numbers of one person.
    did(&daemon, "patients", json!({ "mrn": "E2", "person": person(NAME), "confirm_new": true }));
    did(&daemon, "patients/E1/merge", json!({ "with": "E2" }));
    let refused = |body: Value, rule: &str| {
        let (status, answer) = daemon.post("/api/v1/patients/E2/erase", body);
        assert!(status >= 400 && answer["type"].as_str().unwrap().ends_with(rule), "{status} {answer}");
    };
    refused(json!({ "reason": "court order 7", "user": "ann" }), "witness_missing");
    refused(json!({ "reason": "court order 7", "user": "ann", "witness": "Ann" }), "witness_is_actor");
    refused(json!({ "user": "ann", "witness": "ben" }), "missing");
    let backup = site.folder.join("before");
    let (data, ring) = (site.data(), site.folder.join("keyring.toml"));
    let copy = |to: &std::path::Path| {
        let done = wardctl(&["backup", "--data", data.to_str().unwrap(), "--keyring", ring.to_str().unwrap(), to.to_str().unwrap()]);
        assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    };
    copy(&backup);
    did(&daemon, "patients/E2/erase", json!({ "reason": "court order 7", "user": "ann", "witness": "ben" }));
    daemon.until("erased", |_| site.log().contains("a person was erased"));
    for path in ["/api/v1/patients/E1", "/api/v1/patients/E2", "/fhir/R4/Patient/E1"] {
        let (status, _, body) = daemon.raw("GET", path, None, "");
        assert!(status == 410 && body.contains("erased") && !body.contains(NAME), "{path}: {status} {body}");
    }
    assert_eq!(daemon.get(&format!("/api/v1/patients?name={NAME}")).as_array().map(Vec::len), Some(0));
    assert_eq!(daemon.get("/api/v1/patients/K1")["person"]["name"]["family"], "Remains");
    // The number is nobody's: not for a clerk, and not for another system, whose message waits.
    let (status, answer) = daemon.post("/api/v1/patients", json!({ "mrn": "E1", "person": person("Other"), "confirm_new": true }));
    assert_eq!((status, answer["type"].as_str().unwrap().ends_with("erased")), (409, true), "{answer}");
    daemon.kill();
    daemon = site.start();
    daemon.until("ready", |daemon| daemon.raw("GET", "/readyz", None, "").0 == 200);
    assert_eq!(daemon.raw("GET", "/api/v1/patients/E1", None, "").0, 410);
    assert_eq!(daemon.get(&format!("/api/v1/patients?name={NAME}")).as_array().map(Vec::len), Some(0));
    assert_eq!(daemon.get("/api/v1/patients?name=Remains").as_array().map(Vec::len), Some(1));
    // A copy into the folder of the earlier one takes it out of there too.
    copy(&backup);
    daemon.terminate();
    let text = told(&site);
    assert!(!text.contains(NAME), "{}", text.lines().find(|line| line.contains(NAME)).unwrap_or_default());
    assert!(text.contains("Remains slept well") && text.contains("Remains^Ann") && text.contains("court order 7"));
    assert!(text.matches("\"Erased\"").count() > 10);
    assert!(site.verify(), "the chain holds");
    let restored = site.folder.join("restored");
    let done = wardctl(&["restore", "--data", restored.to_str().unwrap(), "--keyring", ring.to_str().unwrap(), backup.to_str().unwrap()]);
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    let output = wardctl(&["journal", "export", "--data", restored.to_str().unwrap(), "--keyring", ring.to_str().unwrap()]);
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success() && text.contains("Remains slept well") && !text.contains(NAME));
}

/// The decision is durable, and wardd dies before anything is destroyed: the next start does it.
#[test]
fn an_erasure_that_was_cut_off_is_carried_out_at_the_next_start() {
    let site = Site::with("", "");
    for round in 0..3 {
        let daemon = site.start();
        let mrn = format!("E{round}");
        live(&daemon, &mrn, NAME);
        did(&daemon, &format!("patients/{mrn}/erase"), json!({ "reason": "court order 7", "user": "ann", "witness": "ben" }));
        daemon.kill();
    }
    let daemon = site.start();
    daemon.until("ready", |daemon| daemon.raw("GET", "/readyz", None, "").0 == 200);
    daemon.until("erased", |_| !told(&site).contains(NAME));
    daemon.terminate();
    assert!(site.verify());
}

/// Found on a review: a message told of two specimens, and what waited of the other patient's went with the one who was erased.
#[test]
fn what_waits_of_somebody_else_stays_until_a_person_has_dealt_with_it() {
    let site = Site::with("", "");
    let daemon = site.start();
    for (mrn, family) in [("E1", NAME), ("K1", "Remains")] {
        did(&daemon, "patients", json!({ "mrn": mrn, "person": person(family), "confirm_new": true }));
    }
    let order = |mrn: &str| did(&daemon, "lab-orders", json!({ "patient": { "mrn": mrn }, "tests": ["718-7"] }))["accession"].as_str().unwrap().to_owned();
    let (theirs, other) = (order("E1"), order("K1"));
    did(&daemon, &format!("specimens/{theirs}/collect"), json!({}));
    // The other patient's tube was never collected: its result is held.
    let result = |number: u8, accession: &str| format!("OBR|{number}||{accession}|PANEL\rOBX|1|NM|718-7^X^LN||13.5|g/dL|||||F|||20260101115900\r");
    let oru = format!("MSH|^~\\&|LIS|LAB|WARDD|TEST|20260101120000||ORU^R01|R1|P|2.5.1\rPID|1||||{NAME}^Ann\r{}{}", result(1, &theirs), result(2, &other));
    let mut feed = daemon.connect("feed");
    assert!(mllp(&mut feed, &oru).unwrap().contains("MSA|AA"));
    did(&daemon, "patients/E1/erase", json!({ "reason": "court order 7", "user": "ann", "witness": "ben" }));
    daemon.until("erased", |_| site.log().contains("a person was erased"));
    let items = daemon.get("/api/v1/quarantine");
    let items = items.as_array().unwrap();
    assert_eq!(items.len(), 1, "{items:?}");
    let text = told(&site);
    assert!(!text.contains("1950-06-07\",\"sex") && text.contains("not_collected"), "the result of the other one exists nowhere else");
    // Dealt with, the message goes as well; also after a start in between.
    daemon.kill();
    let daemon = site.start();
    daemon.until("ready", |daemon| daemon.raw("GET", "/readyz", None, "").0 == 200);
    let item = items[0]["item"].as_str().unwrap_or_else(|| panic!("{items:?}"));
    did(&daemon, &format!("quarantine/{item}/discard"), json!({ "because": "measured again" }));
    daemon.until("erased too", |_| site.events().iter().all(|event| !event["payload"]["raw"].is_string()));
    daemon.terminate();
    assert!(site.verify());
}
