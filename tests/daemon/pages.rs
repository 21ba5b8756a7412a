//! The pages on which people work, in a real browser; and the document for another house.

use std::process::Command;

use serde_json::{Value, json};

use crate::harness::{Daemon, Site, count, has};

const WARDS: &str = "[[wards]]\nid = \"MED\"\nname = \"Medicine\"\nbeds = [\"1:A\", \"1:B\"]\n";

fn done(daemon: &Daemon, path: &str, body: Value) {
    let (status, answer) = daemon.post(&format!("/api/v1/{path}"), body);
    assert!(status < 300, "{path}: {answer}");
}

/// Somebody in a bed, with a task that is due.
fn lying(daemon: &Daemon) {
    done(
        daemon,
        "patients",
        json!({ "mrn": "1", "person": { "name": { "family": "Doe1", "given": ["Jane"] }, "birth_date": "1960-05-05", "sex": "female" }, "confirm_new": true }),
    );
    done(daemon, "patients/1/admit", json!({ "bed": "MED:1:A" }));
    let now = jiff::Timestamp::now().to_string();
    done(
        daemon,
        "patients/1/tasks/plan",
        json!({ "plan": { "title": "turn the patient", "when": { "once": { "at": now } }, "mandatory": true, "grace_minutes": 30 }, "user": "dr-a" }),
    );
}

#[test]
fn a_nurse_answers_a_task_fills_a_form_and_records_signs_in_a_browser() {
    let Some(chromium) = has("chromium") else { return };
    let site = Site::with("", WARDS);
    let daemon = site.start();
    lying(&daemon);
    let modules = std::env::var("WARDD_PEERS").expect("run tests/run, which installs the browser's driver") + "/node_modules";
    let base = format!("http://{}", daemon.endpoints["http"]);
    let program = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/daemon/pages.js");
    let output = Command::new("node").arg(program).arg(base).arg(chromium).arg(site.folder.join("browser")).env("NODE_PATH", modules).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let saw: Value = serde_json::from_slice(&output.stdout).unwrap();
    let has = |what: &str, words: &str| assert!(saw[what].as_str().unwrap().contains(words), "{what}: {words}: {saw}");
    has("patient", "Doe1, Jane");
    has("patient", "Lies in MED:1:A.");
    has("patient", "turn the patient");
    has("patient", "Admission checklist");
    has("refused", "reason");
    assert_eq!(saw["kept"], "nina", "what was typed stays");
    has("tasks", "not done, says nina: asleep");
    has("record", "Glasgow Coma Scale");
    has("impossible", "9999");
    has("signs", "72 /min");
    has("found", "Doe1, Jane");
    assert_eq!(saw["address"], "/patients", "no name in the address");
    has("nobody", "Nobody is known by this");
    has("ward", "not done, says nina: asleep");
    assert_eq!(saw["errors"], json!([]));
    let events = site.events();
    assert_eq!((count(&events, "TaskAnswered"), count(&events, "NoteWritten"), count(&events, "VitalsTaken")), (1, 1, 1), "pressed twice, done once");
    let chart = daemon.get("/api/v1/patients/1/chart");
    assert_eq!(chart["notes"][0]["versions"][0]["form"]["score"], 14);
    assert_eq!(chart["notes"][0]["by"], "person:nina");
}

#[test]
fn the_page_of_a_patient_is_of_whom_the_address_names_and_says_what_is_not_known() {
    let site = Site::with("", WARDS);
    let daemon = site.start();
    lying(&daemon);
    let page = |path: &str| daemon.raw("GET", path, None, "Accept: text/html\r\n");
    let (status, headers, body) = page("/patients/1");
    assert!(status == 200 && headers.to_lowercase().contains("cache-control: no-store"), "{status} {headers}");
    assert!(body.contains("not asked") && body.contains("action=\"/api/v1/patients/1/chart/write-note\""), "{body}");
    let (status, _, body) = page("/patients/2");
    assert!(status == 404 && body.contains("there is no patient 2"), "{body}");
    assert_eq!(page("/patients/1/forms/unknown").0, 404);
    let (status, body) = daemon.form("/patients", "born=yesterday");
    assert!(status == 200 && body.contains("role=\"alert\"") && body.contains("value=\"yesterday\""), "{body}");
    // A merged number's page is the person's.
    done(&daemon, "patients", json!({ "mrn": "2", "person": { "name": { "family": "Doe2" } }, "confirm_new": true }));
    done(&daemon, "patients/1/merge", json!({ "with": "2" }));
    assert!(page("/patients/2").2.contains("also 2"));
}

/// What another reader of XML finds in a document.
fn read(xml: &str) -> Value {
    const PROGRAM: &str = "
import json, sys
import xml.etree.ElementTree as tree
v = '{urn:hl7-org:v3}'
root = tree.fromstring(sys.stdin.buffer.read())
out = {'title': root.findtext(v + 'title'), 'confidentiality': root.find(v + 'confidentialityCode').get('code'), 'sections': {}}
for section in root.iter(v + 'section'):
    entries = section.findall(v + 'entry')
    out['sections'][section.find(v + 'code').get('code')] = {
        'missing': section.get('nullFlavor'),
        'text': ' '.join(' '.join(section.find(v + 'text').itertext()).split()),
        'negated': [node.get('negationInd') for node in section.iter(v + 'observation') if node.get('negationInd')],
        'substances': [node.text for entry in entries for node in entry.iter(v + 'name')],
        'codes': [node.get('code') for entry in entries for node in entry.iter(v + 'translation') if node.get('codeSystem') == '2.16.840.1.113883.6.3'],
        'values': [[node.get('value'), node.get('unit')] for entry in entries for node in entry.iter(v + 'value') if node.get('unit')],
        'lots': [node.text for entry in entries for node in entry.iter(v + 'lotNumberText')],
    }
print(json.dumps(out))";
    let python = std::env::var("WARDD_PEERS").map_or_else(|_| "python3".to_owned(), |peers| peers + "/bin/python");
    let mut child = Command::new(python).args(["-c", PROGRAM]).stdin(std::process::Stdio::piped()).stdout(std::process::Stdio::piped()).spawn().unwrap();
    std::io::Write::write_all(&mut child.stdin.take().unwrap(), xml.as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success(), "{xml}");
    serde_json::from_slice(&output.stdout).unwrap()
}

#[test]
fn a_continuity_of_care_document_says_what_is_known_and_what_is_missing() {
    let site = Site::with("", WARDS);
    let daemon = site.start();
    lying(&daemon);
    let document = || {
        let (status, headers, body) = daemon.raw("GET", "/api/v1/patients/1/ccd.xml", None, "");
        assert!(status == 200 && headers.to_lowercase().contains("content-type: application/xml"), "{status} {headers}");
        read(&body)
    };
    let allergies = "48765-2";
    let first = document();
    assert_eq!(first["title"], "Continuity of care document: Doe1, Jane 1");
    assert_eq!((first["sections"][allergies]["missing"].as_str(), first["sections"]["10160-0"]["missing"].as_str()), (Some("NI"), Some("NI")), "{first}");
    assert!(first["sections"][allergies]["text"].as_str().unwrap().contains("does not say that there is none"));
    let before = jiff::Timestamp::now().to_string();
    done(&daemon, "patients/1/no-known-allergies", json!({}));
    let none = document();
    assert_eq!((none["sections"][allergies]["missing"].clone(), none["sections"][allergies]["negated"].clone()), (Value::Null, json!(["true"])));
    // What is written by hand is text, whatever it looks like.
    done(&daemon, "patients/1/record-allergy", json!({ "allergy": { "substance": "Penicillin <V> & co", "category": "medication", "criticality": "high", "reaction": "shock" } }));
    done(&daemon, "patients/1/chart/record-problem", json!({ "code": "I21.9", "text": "Infarct", "onset": "2026-01-05" }));
    done(&daemon, "patients/1/chart/record-problem", json!({ "code": "J11.1", "text": "Flu" }));
    done(&daemon, "patients/1/chart/refute-problem", json!({ "number": 2, "reason": "another's" }));
    done(&daemon, "patients/1/chart/record-vitals", json!({ "readings": [{ "code": "8867-4", "value": "72", "unit": "/min" }] }));
    done(&daemon, "patients/1/chart/record-immunisation", json!({ "vaccine": { "code": "208", "text": "COVID-19", "on": "2026-01-05", "lot": "L7" } }));
    done(&daemon, "patients/1/chart/record-family-illness", json!({ "illness": { "relation": "mother", "code": "C50", "text": "breast cancer", "onset_years": 41 } }));
    done(&daemon, "patients/1/restrict", json!({ "reason": "staff" }));
    let full = document();
    let of = |section: &str, what: &str| full["sections"][section][what].clone();
    assert_eq!((full["confidentiality"].as_str(), of(allergies, "substances")), (Some("R"), json!(["Penicillin <V> & co"])));
    assert_eq!((of("11450-4", "codes"), of("8716-3", "values"), of("11369-6", "lots")), (json!(["I21.9"]), json!([["72", "/min"]]), json!(["L7"])));
    assert!(of("10157-6", "text").as_str().unwrap().contains("breast cancer (C50), from the age of 41"));
    // As it was.
    let (_, _, then) = daemon.raw("GET", &format!("/api/v1/patients/1/ccd.xml?at={before}"), None, "");
    assert_eq!(read(&then)["sections"][allergies]["missing"], "NI");
}
