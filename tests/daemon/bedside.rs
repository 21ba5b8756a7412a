//! At the bedside, through the real binary: a monitor by MLLP, a device by a real broker, alerts until somebody takes them, notes, problems.

use serde_json::{Value, json};

use crate::broker::{Mosquitto, free_port};
use crate::harness::{Daemon, Site, count, mllp};

const WARD: &str = "[[wards]]\nid = \"ICU\"\nname = \"Intensive care\"\nbeds = [\"1:A\", \"1:B\"]\n[[devices]]\nid = \"MON1\"\nprofile = \"generic/pcd-01\"\nversion = 1\nlink = { kind = \"tcp-listen\", bind = \"127.0.0.1:0\" }\n";

fn done(daemon: &Daemon, path: &str, body: Value) -> Value {
    let (status, answer) = daemon.post(&format!("/api/v1/patients/{path}"), body);
    assert!(status < 300, "{path}: {answer}");
    answer
}

fn refused(daemon: &Daemon, path: &str, body: Value, rule: &str) {
    let (status, answer) = daemon.post(&format!("/api/v1/patients/{path}"), body);
    assert_eq!((status, answer["type"].as_str()), (409, Some(format!("urn:wardd:problem:{rule}").as_str())), "{path}: {answer}");
}

fn admitted(daemon: &Daemon, mrn: &str, bed: &str) {
    let (status, answer) =
        daemon.post("/api/v1/patients", json!({ "mrn": mrn, "person": { "name": { "family": format!("Doe{mrn}") }, "birth_date": "1960-05-05" }, "confirm_new": true }));
    assert_eq!(status, 201, "{answer}");
    done(daemon, &format!("{mrn}/admit"), json!({ "bed": bed }));
}

/// Signs as a monitor sends them; a time of `-` names none.
fn oru(control: &str, (patient, bed): (&str, &str), readings: &[(&str, &str, &str)]) -> String {
    let now = jiff::Timestamp::now().strftime("%Y%m%d%H%M%S+0000").to_string();
    let mut text = format!("MSH|^~\\&|MON|ICU|wardd|H|{now}||ORU^R01^ORU_R01|{control}|P|2.6\rPID|||{patient}\rPV1||I|{bed}\rOBR|1||||||{now}\r");
    for (code, value, unit) in readings {
        text += &format!("OBX|1|NM|{code}^X^MDC|1.1.1.1|{value}|{unit}^X^MDC|||||F\r");
    }
    text
}

const SPO2: (&str, &str) = ("150456", "262688");

#[test]
fn a_monitor_s_signs_raise_an_alert_that_waits_goes_up_and_is_taken() {
    let site = Site::with("", WARD);
    // Two seconds, so that the test need not wait for the house's five minutes.
    let ours = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/config/vitals.toml")).unwrap().replace("[300, 600]", "[2, 600]");
    std::fs::write(site.folder.join("vitals.toml"), ours).unwrap();
    let config = site.folder.join("wardd.toml");
    let text = std::fs::read_to_string(&config).unwrap();
    std::fs::write(&config, format!("vitals = \"vitals.toml\"\n{text}")).unwrap();
    let daemon = site.start();
    admitted(&daemon, "1", "ICU:1:A");
    admitted(&daemon, "2", "ICU:1:B");
    // The monitor's clock has whole seconds, and what was measured before somebody came into the bed is not theirs.
    std::thread::sleep(std::time::Duration::from_millis(1_100));
    let mut monitor = daemon.connect("MON1");
    let mut send = |control: &str, whose: (&str, &str), readings: &[(&str, &str, &str)]| {
        let answer = mllp(&mut monitor, &oru(control, whose, readings)).unwrap();
        answer.split("MSA|").nth(1).unwrap()[..2].to_owned()
    };
    assert_eq!(send("M1", ("1^^^H^MR", "ICU^1^A"), &[("147842", "72", "264864"), (SPO2.0, "97", SPO2.1)]), "AA");
    daemon.until("the signs", |daemon| daemon.get("/api/v1/patients/1/chart")["vitals"]["8867-4"]["value"] == "72");
    assert_eq!(daemon.get("/api/v1/alerts")["alerts"], json!([]));
    // By the bed alone; what cannot be is kept beside what counts.
    assert_eq!(send("M2", ("", "ICU^1^A"), &[("147842", "720", "264864"), (SPO2.0, "85", SPO2.1)]), "AA");
    daemon.until("the alert", |daemon| daemon.get("/api/v1/alerts")["alerts"][0]["bed"] == "ICU:1:A");
    let chart = daemon.get("/api/v1/patients/1/chart");
    assert_eq!((chart["vitals"]["8867-4"]["value"].as_str(), chart["vitals"]["59408-5"]["value"].as_str()), (Some("72"), Some("85")));
    assert!(daemon.raw("GET", "/beds", None, "").2.contains("Oxygen saturation (pulse oximetry) 85 %"), "on the board");
    let hidden = daemon.raw("GET", "/beds?privacy=true", None, "").2;
    assert!(hidden.contains(">alert<") && !hidden.contains("85 %"));
    // Nobody comes.
    daemon.until("the next level", |daemon| daemon.get("/api/v1/alerts")["alerts"][0]["level"] == 1);
    assert!(daemon.raw("GET", "/metrics", None, "").2.contains("wardd_vitals_alerts_escalated_total 1"));
    assert!(site.log().contains("WD-0602"));
    done(&daemon, "1/chart/take-alert", json!({ "number": 1, "user": "nurse-a" }));
    refused(&daemon, "1/chart/take-alert", json!({ "number": 9 }), "unknown_alert");
    daemon.until("somebody", |daemon| daemon.get("/api/v1/alerts")["alerts"][0]["taken"][0] == "person:nurse-a");
    assert_eq!(send("M3", ("1", "ICU^1^A"), &[(SPO2.0, "95", SPO2.1)]), "AA");
    daemon.until("no alert", |daemon| daemon.get("/api/v1/alerts")["alerts"] == json!([]));
    // A monitor that contradicts itself, one that was not told, a bed that is not there: held, and nobody's signs change.
    let waiting = |daemon: &Daemon| daemon.get("/api/v1/quarantine").as_array().unwrap().len();
    assert_eq!(send("M4", ("2", "ICU^1^A"), &[(SPO2.0, "70", SPO2.1)]), "AE");
    assert_eq!(send("M5", ("", ""), &[(SPO2.0, "70", SPO2.1)]), "AA");
    assert_eq!(send("M6", ("", "ICU^9^A"), &[(SPO2.0, "70", SPO2.1)]), "AA");
    daemon.until("three items", |daemon| waiting(daemon) == 3);
    assert_eq!(daemon.get("/api/v1/patients/2/chart")["vitals"], json!({}));
    // An alert does not outlive the stay.
    assert_eq!(send("M7", ("2", "ICU^1^B"), &[(SPO2.0, "70", SPO2.1)]), "AA");
    daemon.until("the alert", |daemon| daemon.get("/api/v1/alerts")["alerts"].as_array().unwrap().len() == 1);
    done(&daemon, "2/discharge", json!({}));
    daemon.until("no alert", |daemon| daemon.get("/api/v1/alerts")["alerts"] == json!([]));
    assert_eq!(send("M8", ("2", ""), &[(SPO2.0, "70", SPO2.1)]), "AE", "a monitor that still knows who has left");
    // What was measured, with its three times; also after a restart.
    let kinds = |daemon: &Daemon| {
        let entries = daemon.get("/api/v1/patients/1/vitals")["entries"].as_array().unwrap().clone();
        assert!(entries.iter().all(|entry| entry["received"].is_string() && entry["recorded"].is_string() && entry["device_time"].is_string()));
        entries.iter().map(|entry| entry["event"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    let before = kinds(&daemon);
    assert_eq!(before, ["VitalsTaken", "VitalsTaken", "ReadingDisregarded", "VitalsTaken"]);
    let then = daemon.get("/api/v1/patients/1/chart");
    drop(daemon);
    let daemon = site.start();
    assert_eq!((kinds(&daemon), daemon.get("/api/v1/patients/1/chart")), (before, then));
}

#[test]
fn notes_problems_limits_and_fluids_of_one_person_under_two_numbers() {
    let site = Site::with("", WARD);
    let daemon = site.start();
    admitted(&daemon, "1", "ICU:1:A");
    let (status, _) = daemon.post("/api/v1/patients", json!({ "mrn": "2", "person": { "name": { "family": "Other" } }, "confirm_new": true }));
    assert_eq!(status, 201);
    let note = done(&daemon, "1/chart/write-note", json!({ "kind": "nursing", "text": "slept well", "user": "ann" }));
    assert_eq!(note["events"][0]["event"], "NoteWritten", "about the stay that is open");
    done(&daemon, "1/chart/amend-note", json!({ "number": 1, "version": 1, "text": "slept badly", "reason": "misheard", "user": "ann" }));
    refused(&daemon, "1/chart/amend-note", json!({ "number": 1, "version": 1, "text": "x", "reason": "y", "user": "ann" }), "note_changed");
    refused(&daemon, "1/chart/amend-note", json!({ "number": 1, "version": 2, "text": "x", "reason": "y", "user": "bob" }), "other_author");
    refused(&daemon, "2/chart/write-note", json!({ "encounter": note["events"][0]["encounter"], "text": "x" }), "other_encounter");
    refused(&daemon, "9/chart/record-problem", json!({ "code": "I10", "text": "x" }), "not_registered");
    assert_eq!(daemon.post("/api/v1/patients/2/chart/write-note", json!({ "text": "x" })).0, 400, "about no stay");
    assert_eq!(daemon.post("/api/v1/patients/2/chart/record-problem", json!({ "code": "10", "text": "x" })).0, 400);
    done(&daemon, "2/chart/record-problem", json!({ "code": "e119", "text": "Type 2 diabetes" }));
    done(&daemon, "1/chart/set-limits", json!({ "code": "8867-4", "low": "30", "high": "150", "reason": "athlete" }));
    done(
        &daemon,
        "1/chart/record-vitals",
        json!({ "bed": "ICU:1:A", "readings": [{ "code": "8867-4", "value": "140", "unit": "/min" }], "fluids": [{ "route": "oral", "millilitres": "250" }, { "route": "urine", "millilitres": "300" }] }),
    );
    refused(&daemon, "1/chart/record-vitals", json!({ "bed": "ICU:1:B", "readings": [{ "code": "8867-4", "value": "140", "unit": "/min" }] }), "not_occupied");
    refused(&daemon, "1/chart/record-vitals", json!({ "readings": [{ "code": "8867-4", "value": "1400", "unit": "/min" }] }), "impossible");
    done(&daemon, "1/merge", json!({ "with": "2" }));
    daemon.until("both charts in one", |daemon| {
        daemon.get("/api/v1/patients/2/chart")["problems"][0]["under"] == "2" && daemon.get("/api/v1/patients/2/chart")["notes"][0]["under"] == "1"
    });
    let chart = daemon.get("/api/v1/patients/1/chart");
    assert_eq!((chart["balance"]["balance"].as_str(), chart["alerts"].as_array().unwrap().len()), (Some("-50"), 0), "{chart}");
    assert_eq!(chart["notes"][0]["versions"][1]["text"], "slept badly");
    assert!(chart["without_limits"].as_array().unwrap().contains(&json!("8462-4")) && !chart["without_limits"].as_array().unwrap().contains(&json!("8867-4")));
    let once = daemon.ask("POST", "/api/v1/patients/1/chart/lift-limits", Some(&json!({ "code": "8867-4" })), "Idempotency-Key: k\r\n");
    assert_eq!(once, daemon.ask("POST", "/api/v1/patients/1/chart/lift-limits", Some(&json!({ "code": "8867-4" })), "Idempotency-Key: k\r\n"), "the same answer again");
    done(&daemon, "2/unmerge", json!({}));
    daemon.until("each their own", |daemon| daemon.get("/api/v1/patients/1/chart")["problems"] == json!([]));
    // As it was.
    let written = daemon.get("/api/v1/patients/1/vitals")["entries"][0]["recorded"].as_str().unwrap().to_owned();
    assert_eq!(daemon.get(&format!("/api/v1/patients/1/chart?at={written}"))["limits"]["8867-4"]["high"], "150");
}

#[test]
fn a_bedside_device_by_a_broker() {
    let port = free_port();
    let extra = format!(
        "{WARD}[mqtt]\nbroker = \"127.0.0.1:{port}\"\nclient_id = \"wardd-{port}\"\n[[devices]]\nid = \"urine1\"\nprofile = \"generic/vitals-mqtt\"\nversion = 1\nlink = {{ kind = \"mqtt\" }}\n"
    );
    let site = Site::with("", &extra);
    let Some(broker) = Mosquitto::start(&site.folder, port) else { panic!("mosquitto is needed: tests/run installs it") };
    let daemon = site.start();
    admitted(&daemon, "1", "ICU:1:A");
    let now = jiff::Timestamp::now().to_string();
    let payload =
        json!({ "bed": "ICU:1:A", "time": now, "fluids": [{ "route": "urine", "ml": 120 }], "readings": [{ "code": "8310-5", "value": 36.6, "unit": "Cel" }] }).to_string();
    for _ in 0..3 {
        broker.publish("wardd/vitals/urine1", &payload, &[]);
    }
    // What was measured before somebody came into the bed is somebody else's.
    broker.publish("wardd/vitals/urine1", &json!({ "bed": "ICU:1:A", "time": "2026-01-01T00:00:00Z", "fluids": [{ "route": "urine", "ml": 500 }] }).to_string(), &[]);
    daemon.until("the measurement", |daemon| daemon.get("/api/v1/patients/1/chart")["balance"]["output"] == "120");
    daemon.until("what is held", |daemon| daemon.get("/api/v1/quarantine").as_array().unwrap().len() == 1);
    assert_eq!(daemon.get("/api/v1/patients/1/chart")["vitals"]["8310-5"]["value"], "36.6");
    daemon.terminate();
    assert_eq!(count(&site.events(), "FluidRecorded"), 1, "sent again, measured once");
}
