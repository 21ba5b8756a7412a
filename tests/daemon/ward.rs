//! A ward's daily work, through the real binary: triage, forms, tasks, referrals, immunisations, documents, growth, and the report of the census.

use serde_json::{Value, json};

use crate::harness::{Daemon, Site, count};

const WARDS: &str = "[[wards]]\nid = \"ED\"\nname = \"Emergency\"\nbeds = [\"1:A\"]\n[[wards]]\nid = \"MED\"\nname = \"Medicine\"\nbeds = [\"1:A\", \"1:B\"]\n";

fn done(daemon: &Daemon, path: &str, body: Value) -> Value {
    let (status, answer) = daemon.post(&format!("/api/v1/patients/{path}"), body);
    assert!(status < 300, "{path}: {answer}");
    answer
}

fn refused(daemon: &Daemon, path: &str, body: Value, rule: &str) -> String {
    let (status, answer) = daemon.post(&format!("/api/v1/patients/{path}"), body);
    assert_eq!((status, answer["type"].as_str()), (409, Some(format!("urn:wardd:problem:{rule}").as_str())), "{path}: {answer}");
    answer["detail"].as_str().unwrap().to_owned()
}

fn registered(daemon: &Daemon, mrn: &str, person: Value) {
    let (status, answer) = daemon.post("/api/v1/patients", json!({ "mrn": mrn, "person": person, "confirm_new": true }));
    assert_eq!(status, 201, "{answer}");
}

fn doe(daemon: &Daemon, mrn: &str) {
    registered(daemon, mrn, json!({ "name": { "family": format!("Doe{mrn}") }, "birth_date": "1960-05-05" }));
}

#[test]
fn who_waits_in_the_emergency_department_is_listed_by_urgency_until_treated() {
    let site = Site::with("", WARDS);
    let config = site.folder.join("wardd.toml");
    let text = std::fs::read_to_string(&config).unwrap();
    std::fs::write(&config, format!("{text}\n[emergency]\nseen_within_minutes = [0, 10, 30, 60, 120]\n")).unwrap();
    let daemon = site.start();
    for mrn in ["1", "2", "3"] {
        doe(&daemon, mrn);
        done(&daemon, &format!("{mrn}/admit"), json!({ "class": "emergency", "ward": "ED" }));
    }
    done(&daemon, "1/triage", json!({ "level": 4, "text": "twisted ankle" }));
    done(&daemon, "2/triage", json!({ "level": 1, "text": "not breathing well" }));
    refused(&daemon, "2/triage", json!({ "level": 9, "text": "x" }), "no_triage_level");
    let order = |daemon: &Daemon| {
        let patients = daemon.get("/api/v1/emergency-department")["patients"].as_array().unwrap().clone();
        patients.iter().map(|waiting| (waiting["mrn"].as_str().unwrap().to_owned(), waiting["is_overdue"].as_bool().unwrap())).collect::<Vec<_>>()
    };
    let pair = |mrn: &str, is_overdue| (mrn.to_owned(), is_overdue);
    assert_eq!(order(&daemon), [pair("3", false), pair("2", true), pair("1", false)], "who was not looked at first, level 1 is to be treated at once");
    done(&daemon, "2/begin-treatment", json!({ "user": "dr-a" }));
    assert_eq!(order(&daemon), [pair("3", false), pair("1", false), pair("2", false)]);
    let page = daemon.raw("GET", "/emergency", None, "").2;
    assert!(page.contains("twisted ankle") && page.contains("treated by dr-a") && page.contains("not looked at"), "{page}");
    // Also after a restart; who is admitted or goes is not there any more.
    drop(daemon);
    let daemon = site.start();
    assert_eq!(order(&daemon).len(), 3);
    done(&daemon, "2/change-class", json!({ "class": "inpatient", "bed": "MED:1:A" }));
    done(&daemon, "3/discharge", json!({}));
    assert_eq!(order(&daemon), [pair("1", false)]);
}

#[test]
fn forms_tasks_referrals_and_immunisations_of_a_stay() {
    let site = Site::with("", WARDS);
    let daemon = site.start();
    doe(&daemon, "1");
    done(&daemon, "1/admit", json!({ "bed": "MED:1:A" }));
    done(&daemon, "1/name-guarantor", json!({ "guarantor": { "name": "Acme Insurance", "relation": "insurer", "reference": "P-1" } }));
    assert_eq!(daemon.get("/api/v1/patients/1")["stay"]["open"]["guarantor"]["name"], "Acme Insurance");
    let due =
        |daemon: &Daemon| daemon.get("/api/v1/patients/1/chart")["forms_due"].as_array().unwrap().iter().map(|form| form["form"].as_str().unwrap().to_owned()).collect::<Vec<_>>();
    assert_eq!(due(&daemon), ["braden", "morse", "admission-checklist"]);
    let forms = daemon.get("/api/v1/forms");
    assert!(forms["forms"].as_array().unwrap().iter().any(|form| form["id"] == "discharge-summary"));
    let answers = json!({ "sensory": 2, "moisture": 3, "activity": "1", "mobility": 2, "nutrition": 3, "friction": 1 });
    done(&daemon, "1/chart/write-note", json!({ "form": "braden", "answers": answers, "text": "heels red", "user": "ann" }));
    assert_eq!(due(&daemon), ["morse", "admission-checklist"]);
    let note = daemon.get("/api/v1/patients/1/chart")["notes"][0].clone();
    assert_eq!((note["versions"][0]["form"]["score"].as_i64(), note["kind"].as_str()), (Some(12), Some("nursing")));
    let sentence = refused(&daemon, "1/chart/write-note", json!({ "form": "braden", "answers": { "sensory": 2 } }), "unanswered");
    assert!(sentence.contains("Moisture (moisture) needs an answer"), "{sentence}");
    refused(&daemon, "1/chart/write-note", json!({ "form": "death-certificate", "answers": {} }), "not_dead");
    assert_eq!(daemon.post("/api/v1/patients/1/chart/write-note", json!({ "answers": {} })).0, 400);
    done(&daemon, "1/chart/sign-note", json!({ "number": 1, "version": 1, "meaning": "author", "user": "ann", "witness": "ann" }));
    let page = daemon.raw("GET", "/patients/1/notes/1", None, "").2;
    assert!(page.contains("Doe1") && page.contains("Score 12: high risk") && page.contains("Author: ann signed version 1") && page.contains("heels red"), "{page}");
    assert_eq!(daemon.raw("GET", "/patients/1/notes/2", None, "").0, 404);

    let now = jiff::Timestamp::now();
    let plan =
        json!({ "plan": { "title": "turn the patient", "when": { "every": { "minutes": 120, "from": now.to_string() } }, "mandatory": true, "grace_minutes": 30 }, "user": "ann" });
    done(&daemon, "1/tasks/plan", plan);
    done(&daemon, "1/tasks/done", json!({ "number": 1, "note": "left side", "user": "ann" }));
    refused(&daemon, "1/tasks/done", json!({ "number": 1, "user": "bob" }), "nothing_due");
    done(&daemon, "1/tasks/done-in-emergency", json!({ "title": "airway cleared", "on_word_of": "dr-b", "user": "ann" }));
    refused(&daemon, "1/tasks/acknowledge", json!({ "number": 2, "user": "ann" }), "own_task");
    let shift = daemon.get("/api/v1/wards/MED/tasks");
    assert_eq!(shift["due"].as_array().unwrap().iter().filter(|due| due["standing"] == "planned").count(), 3, "{shift}");
    assert_eq!(shift["unacknowledged"][0]["mrn"], "1");
    let page = daemon.raw("GET", "/wards/MED/tasks", None, "").2;
    assert!(page.contains("turn the patient") && page.contains("done by ann left side") && page.contains("nobody stands for it"), "{page}");
    done(&daemon, "1/tasks/acknowledge", json!({ "number": 2, "user": "dr-b" }));
    assert_eq!(daemon.get("/api/v1/wards/MED/tasks")["unacknowledged"], json!([]));
    assert_eq!(daemon.get("/api/v1/patients/1/tasks")["tasks"][0]["times"].as_object().unwrap().len(), 1);
    assert_eq!(daemon.raw("GET", "/api/v1/wards/MED/tasks?from=2026-01-01T00:00:00Z&until=2027-01-01T00:00:00Z", None, "").0, 400);

    done(&daemon, "1/chart/refer", json!({ "referral": { "to": "Cardiology", "urgency": "urgent", "question": "new murmur?" }, "user": "dr-a" }));
    refused(&daemon, "1/chart/answer-referral", json!({ "number": 1, "answer": "x", "user": "dr-a" }), "own_referral");
    done(&daemon, "1/chart/answer-referral", json!({ "number": 1, "answer": "mild stenosis", "user": "dr-c" }));
    done(&daemon, "1/chart/record-immunisation", json!({ "vaccine": { "code": "208", "text": "COVID-19", "on": "2026-01-05", "lot": "L7" } }));
    refused(&daemon, "1/chart/record-immunisation", json!({ "vaccine": { "code": "03", "text": "MMR", "on": "2026-01-05" } }), "lot_missing");
    done(&daemon, "1/chart/record-family-illness", json!({ "illness": { "relation": "mother", "code": "C50", "text": "breast cancer", "onset_years": 41 } }));
    let chart = daemon.get("/api/v1/patients/1/chart");
    assert_eq!(
        (chart["referrals"][0]["answer"].as_str(), chart["immunisations"][0]["lot"].as_str(), chart["family"][0]["relation"].as_str()),
        (Some("mild stenosis"), Some("L7"), Some("mother"))
    );
    // The certificate is of the dead.
    done(&daemon, "1/record-death", json!({}));
    let causes = json!({ "cause-a": "I21.9", "cause-a-text": "Myocardial infarction", "surgery": "no", "autopsy": "no", "manner": "disease" });
    done(&daemon, "1/chart/write-note", json!({ "form": "death-certificate", "answers": causes, "user": "dr-a" }));
    refused(&daemon, "1/tasks/done", json!({ "number": 1 }), "not_in_hospital");
    drop(daemon);
    let daemon = site.start();
    let then = daemon.get("/api/v1/patients/1/chart");
    assert_eq!(
        (then["referrals"].clone(), then["immunisations"].clone(), then["notes"].as_array().unwrap().len()),
        (chart["referrals"].clone(), chart["immunisations"].clone(), 2)
    );
    assert!(site.verify() || count(&site.events(), "TaskAnswered") == 2);
}

/// A request with bytes for a body, as a scanner's program sends them.
fn file(daemon: &Daemon, path: &str, bytes: &[u8], key: &str) -> (u16, String) {
    let answer = ureq::post(format!("http://{}{path}", daemon.endpoints["http"]))
        .config()
        .http_status_as_error(false)
        .build()
        .header("content-type", "application/pdf")
        .header("idempotency-key", key)
        .send(bytes)
        .unwrap();
    (answer.status().as_u16(), answer.into_body().read_to_string().unwrap())
}

#[test]
fn a_document_is_kept_as_it_came_shown_as_it_is_and_gone_with_the_person() {
    let site = Site::with("", WARDS);
    // A record fits into a segment; those of tests are small.
    let config = site.folder.join("wardd.toml");
    let text = std::fs::read_to_string(&config).unwrap();
    std::fs::write(&config, text.replace("segment_mib = 1", "segment_mib = 16")).unwrap();
    let daemon = site.start();
    doe(&daemon, "1");
    let bytes = [b"%PDF-1.7 A-PLANTED-LETTER ".to_vec(), vec![b'x'; 3 << 20]].concat();
    let path = "/api/v1/patients/1/documents?title=Letter%20of%20the%20GP";
    let (status, answer) = file(&daemon, path, &bytes, "k1");
    assert_eq!(status, 200, "{answer}");
    assert!(!answer.contains("JVBERi"), "the bytes are not sent back");
    let (status, again) = file(&daemon, path, &bytes, "k1");
    assert_eq!((status, again == answer), (200, true), "{again}");
    assert_eq!(file(&daemon, path, &bytes, "k2").0, 409, "the same letter once more");
    let (status, wrong) = file(&daemon, path, b"<html>", "k3");
    assert!(status == 422 && wrong.contains("print it to PDF"), "{wrong}");
    assert_eq!(file(&daemon, "/api/v1/patients/1/documents", &[b"%PDF-2".to_vec()].concat(), "k4").0, 409, "without a title");
    // Who sends too much is told so, and does not see a broken connection.
    let (status, too_large) = file(&daemon, path, &[b"%PDF-".to_vec(), vec![0; 12 << 20]].concat(), "k5");
    assert!(status == 413 && too_large.contains("has 12582917 bytes, and 5242880 are taken"), "{status} {too_large}");
    let mut shown = ureq::get(format!("http://{}/api/v1/patients/1/documents/1", daemon.endpoints["http"])).call().unwrap();
    assert_eq!(shown.headers()["content-type"], "application/pdf");
    assert!(shown.headers()["content-security-policy"].to_str().unwrap().starts_with("sandbox"));
    assert_eq!(shown.body_mut().with_config().limit(8 << 20).read_to_vec().unwrap(), bytes);
    assert_eq!(daemon.get("/api/v1/patients/1/chart")["documents"][0]["title"], "Letter of the GP");
    done(&daemon, "1/erase", json!({ "reason": "court order", "user": "ann", "witness": "bob" }));
    daemon.until("the document is gone", |daemon| daemon.raw("GET", "/api/v1/patients/1/documents/1", None, "").0 == 404);
}

#[test]
fn a_child_s_growth_stands_beside_the_curves() {
    let site = Site::with("", WARDS);
    let daemon = site.start();
    registered(&daemon, "1", json!({ "name": { "family": "Small" }, "birth_date": "2025-11-23", "sex": "female" }));
    let measure = |readings: Value, measured: &str| done(&daemon, "1/chart/record-vitals", json!({ "readings": readings, "measured": measured }));
    measure(json!([{ "code": "29463-7", "value": "3.2322", "unit": "kg" }]), "2025-11-23T08:00:00Z");
    measure(
        json!([{ "code": "29463-7", "value": "4.0", "unit": "kg" }, { "code": "8306-3", "value": "66.3", "unit": "cm" }, { "code": "9843-4", "value": "45", "unit": "cm" }]),
        "2026-11-23T00:30:00Z",
    );
    let points = daemon.get("/api/v1/patients/1/growth")["points"].clone();
    let found: Vec<(String, i64, Option<&str>)> = points
        .as_array()
        .unwrap()
        .iter()
        .map(|point| (format!("{} {}", point["measure"].as_str().unwrap(), point["value"].as_str().unwrap()), point["days"].as_i64().unwrap(), point["meaning"].as_str()))
        .collect();
    assert_eq!(found[0], ("weight 3.2322".to_owned(), 0, None));
    assert_eq!(points[0]["z"].as_str().unwrap().parse::<f64>().unwrap(), 0.0);
    assert_eq!(found[1], ("weight 4.0".to_owned(), 365, Some("severely underweight")));
    assert!(found.iter().any(|(what, _, meaning)| what == "length 66.3" && meaning.is_some()), "{found:?}");
    assert!(found.iter().any(|(what, _, meaning)| what == "bmi 9.10" && *meaning == Some("severely wasted")), "{found:?}");
    assert!(found.iter().any(|(what, _, meaning)| what == "head 45" && meaning.is_none()), "{found:?}");
    doe(&daemon, "2");
    let (status, _, text) = daemon.raw("GET", "/api/v1/patients/2/growth", None, "");
    assert!(status == 409 && text.contains("register birth date and sex"), "{text}");
}

#[test]
fn the_census_of_a_time_says_who_came_who_went_and_how_full_it_was() {
    let site = Site::with("", WARDS);
    let daemon = site.start();
    let begin = jiff::Timestamp::now();
    for mrn in ["1", "2", "3"] {
        doe(&daemon, mrn);
    }
    std::thread::sleep(std::time::Duration::from_millis(20));
    done(&daemon, "1/admit", json!({ "bed": "ED:1:A" }));
    done(&daemon, "1/move", json!({ "bed": "MED:1:A" }));
    done(&daemon, "2/admit", json!({ "bed": "MED:1:B" }));
    done(&daemon, "2/record-death", json!({}));
    let (status, answer) = daemon.post("/api/v1/beds/ED:1:A/clean", json!({}));
    assert_eq!(status, 200, "{answer}");
    done(&daemon, "3/admit", json!({ "bed": "ED:1:A" }));
    done(&daemon, "3/cancel-admission", json!({}));
    let end = jiff::Timestamp::now();
    let report = daemon.get(&format!("/api/v1/reports/census?from={begin}&until={end}"))["wards"].clone();
    let line = |ward: &str| ["at_start", "admissions", "transfers_in", "transfers_out", "discharges", "deaths", "at_end"].map(|what| report[ward][what].as_u64().unwrap());
    assert_eq!((line("ED"), line("MED")), ([0, 1, 0, 1, 0, 0, 0], [0, 1, 1, 0, 0, 1, 1]), "{report}");
    assert!(report["MED"]["mean_stay_days"].is_string() && report["ED"]["mean_stay_days"].is_null());
    assert_eq!(daemon.raw("GET", "/api/v1/reports/census?from=2026-01-02T00:00:00Z&until=2026-01-01T00:00:00Z", None, "").0, 400);
}
