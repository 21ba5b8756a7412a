//! People, stays and beds through the real binary: registration, merges, many stations at once, another system's feed, a kill.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use serde_json::{Value, json};

use crate::harness::{Daemon, Site, mllp};

const WARD: &str = "[[wards]]\nid = \"ICU\"\nname = \"Intensive care\"\nbeds = [\"1:A\", \"1:B\", \"2:A\", \"2:B\"]\n";

fn jane() -> Value {
    json!({ "name": { "family": "Doe", "given": ["Jane"] }, "birth_date": "1980-01-02", "sex": "female", "phones": ["+1 555 123 4567"],
            "identifiers": [{ "kind": "NI", "value": "AB 12", "issuer": "GOV" }] })
}

fn register(daemon: &Daemon, person: &Value) -> String {
    let (status, answer) = daemon.post("/api/v1/patients", json!({ "person": person, "confirm_new": true }));
    assert_eq!(status, 201, "{answer}");
    answer["mrn"].as_str().unwrap().to_owned()
}

/// Somebody under a number of their own.
fn named(daemon: &Daemon, mrn: &str) {
    let (status, answer) = daemon.post("/api/v1/patients", json!({ "mrn": mrn, "person": { "name": { "family": mrn } }, "confirm_new": true }));
    assert_eq!(status, 201, "{answer}");
}

fn done(daemon: &Daemon, mrn: &str, action: &str, body: Value) -> Value {
    let (status, answer) = daemon.post(&format!("/api/v1/patients/{mrn}/{action}"), body);
    assert_eq!(status, 200, "{action}: {answer}");
    answer
}

fn refused(daemon: &Daemon, mrn: &str, action: &str, body: Value, rule: &str) {
    let (status, answer) = daemon.post(&format!("/api/v1/patients/{mrn}/{action}"), body);
    assert_eq!((status, answer["type"].as_str()), (409, Some(format!("urn:wardd:problem:{rule}").as_str())), "{action}: {answer}");
}

fn occupant(daemon: &Daemon, bed: &str) -> Value {
    daemon.get(&format!("/api/v1/beds/{bed}"))["patient"].clone()
}

#[test]
fn somebody_new_is_compared_with_who_is_known() {
    let site = Site::with("", WARD);
    let daemon = site.start();
    let first = register(&daemon, &jane());
    assert!(first.starts_with('W'), "{first}");
    // The same person under another spelling, found by the number that somebody else issued.
    let mut again = jane();
    again["name"]["family"] = "Dough".into();
    let (status, answer) = daemon.post("/api/v1/patients", json!({ "person": again }));
    assert_eq!((status, answer["type"].as_str()), (409, Some("urn:wardd:problem:possible_duplicate")), "{answer}");
    assert_eq!(answer["candidates"][0]["patient"]["mrn"], first.as_str());
    assert!(answer["candidates"][0]["reasons"].to_string().contains("same number of another issuer"), "{answer}");
    let second = register(&daemon, &again);
    assert_ne!(first, second);
    // By what people know of them.
    let found =
        |query: &str| daemon.get(&format!("/api/v1/patients?{query}")).as_array().unwrap().iter().map(|person| person["mrn"].as_str().unwrap().to_owned()).collect::<BTreeSet<_>>();
    let (one, both) = (BTreeSet::from([first.clone()]), BTreeSet::from([first.clone(), second.clone()]));
    for (query, expected) in
        [("name=doe%20ja", &one), ("name=JANE", &both), ("born=1980-01-02", &both), ("phone=5551234567", &both), ("number=ab12", &both), (&format!("number={first}"), &one)]
    {
        assert_eq!(found(query), *expected, "{query}");
    }
    assert_eq!(daemon.raw("GET", "/api/v1/patients", None, "").0, 400, "a search for nothing is no list of all");
    assert_eq!(daemon.raw("GET", "/api/v1/patients?born=tomorrow", None, "").0, 400);
    // A slip of the hand: the number is somebody's.
    let (status, answer) = daemon.post("/api/v1/patients", json!({ "mrn": first, "person": { "name": { "family": "Other" } } }));
    assert_eq!((status, answer["type"].as_str()), (409, Some("urn:wardd:problem:number_taken")), "{answer}");
    assert_eq!(daemon.get(&format!("/api/v1/patients/{first}"))["person"]["name"]["family"], "Doe");
    // An emergency: nobody knows who it is, and it is written down later.
    let unknown = register(&daemon, &json!({ "is_temporary": true }));
    // Who says that it is somebody who is known is told so, with the reasons; and merges, or says that it is not.
    let (status, answer) = daemon.post(&format!("/api/v1/patients/{unknown}/update"), json!({ "person": jane() }));
    assert_eq!((status, answer["type"].as_str()), (409, Some("urn:wardd:problem:possible_duplicate")), "{answer}");
    assert!(answer["detail"].as_str().unwrap().contains("merge the two numbers") && answer["candidates"].to_string().contains(&first), "{answer}");
    assert_eq!(daemon.get(&format!("/api/v1/patients/{unknown}"))["person"]["is_temporary"], true);
    done(&daemon, &unknown, "update", json!({ "person": { "name": { "family": "Roe", "given": ["Sam"] } } }));
    assert_eq!(found("name=roe"), BTreeSet::from([unknown]));
}

#[test]
fn two_desks_at_once_register_a_person_once() {
    let site = Site::with("", WARD);
    let daemon = Arc::new(site.start());
    let desks: Vec<_> = (0..6)
        .map(|_| {
            let daemon = daemon.clone();
            std::thread::spawn(move || daemon.post("/api/v1/patients", json!({ "person": jane() })).0)
        })
        .collect();
    let mut answers: Vec<u16> = desks.into_iter().map(|desk| desk.join().unwrap()).collect();
    answers.sort_unstable();
    assert_eq!(answers, [201, 409, 409, 409, 409, 409]);
}

#[test]
fn number_17_a_merge_loses_nothing_and_is_taken_back_whole() {
    let site = Site::with("", WARD);
    let daemon = site.start();
    let (kept, given_up) = (register(&daemon, &jane()), register(&daemon, &json!({ "name": { "family": "Doh", "given": ["Jane"] } })));
    done(&daemon, &given_up, "record-allergy", json!({ "allergy": { "substance": "penicillin", "category": "medication", "criticality": "high" } }));
    done(&daemon, &given_up, "admit", json!({ "bed": "ICU:1:A" }));
    let before = daemon.get(&format!("/api/v1/patients/{kept}"));
    done(&daemon, &kept, "merge", json!({ "with": given_up }));
    refused(&daemon, &kept, "merge", json!({ "with": kept }), "same_number");
    refused(&daemon, &given_up, "merge", json!({ "with": kept }), "already_merged");
    for number in [&kept, &given_up] {
        let person = daemon.get(&format!("/api/v1/patients/{number}"));
        assert_eq!((person["mrn"].as_str(), person["merged"][0].as_str()), (Some(kept.as_str()), Some(given_up.as_str())), "the merged number leads to the person");
        assert_eq!((person["allergies"]["known"][0]["substance"].as_str(), person["stay"]["open"]["bed"].as_str()), (Some("penicillin"), Some("ICU:1:A")));
    }
    refused(&daemon, &kept, "admit", json!({ "bed": "ICU:1:B" }), "in_hospital");
    refused(&daemon, &kept, "no-known-allergies", json!({}), "allergies_known");
    done(&daemon, &given_up, "unmerge", json!({}));
    assert_eq!(daemon.get(&format!("/api/v1/patients/{kept}")), before, "as it would be");
    assert_eq!(daemon.get(&format!("/api/v1/patients/{given_up}"))["allergies"]["known"][0]["substance"], "penicillin");
    drop(daemon);
    let daemon = site.start();
    assert_eq!(daemon.get(&format!("/api/v1/patients/{kept}")), before, "also after a restart");
}

#[test]
fn many_stations_at_once_never_put_two_into_a_bed_or_one_into_two() {
    const STATIONS: usize = 8;
    let site = Site::with("", WARD);
    let daemon = Arc::new(site.start());
    let beds = ["ICU:1:A", "ICU:1:B", "ICU:2:A", "ICU:2:B"];
    (0..6).for_each(|number| named(&daemon, &format!("P{number}")));
    let admitted = Arc::new(AtomicUsize::new(0));
    let stations: Vec<_> = (0..STATIONS)
        .map(|station| {
            let (daemon, admitted) = (daemon.clone(), admitted.clone());
            std::thread::spawn(move || {
                for turn in 0..40 {
                    // Everybody wants every bed, for six patients of whom each is wanted by several.
                    let (mrn, bed) = (format!("P{}", (station + turn) % 6), beds[(station * 3 + turn) % beds.len()]);
                    let (action, body) = match (station + turn) % 4 {
                        0 | 1 => ("admit", json!({ "bed": bed })),
                        2 => ("move", json!({ "bed": bed })),
                        _ => ("discharge", json!({})),
                    };
                    let (status, answer) = daemon.post(&format!("/api/v1/patients/{mrn}/{action}"), body);
                    assert!(matches!(status, 200 | 409), "{status} {answer}");
                    if status == 200 && action == "admit" {
                        admitted.fetch_add(1, Ordering::Relaxed);
                    }
                    if turn % 3 == 0 {
                        // Housekeeping is quick.
                        daemon.post(&format!("/api/v1/beds/{bed}/clean"), json!({}));
                    }
                }
            })
        })
        .collect();
    stations.into_iter().for_each(|station| station.join().unwrap());
    assert!(admitted.load(Ordering::Relaxed) > 10);
    let daemon = Arc::try_unwrap(daemon).ok().unwrap();
    drop(daemon);
    // The log itself is the judge: bed by bed and patient by patient, event by event.
    let (mut lies_in, mut holds) = (std::collections::BTreeMap::new(), std::collections::BTreeMap::new());
    for event in site.events() {
        let Some(bed) = event["stream"].as_str().and_then(|stream| stream.strip_prefix("bed/")).map(str::to_owned) else { continue };
        let patient = event["payload"]["patient"].as_str().unwrap_or_default().to_owned();
        match event["type"].as_str().unwrap() {
            "PatientAdmitted" => {
                assert_eq!(holds.insert(bed.clone(), patient.clone()), None, "{bed} holds two");
                // A move writes the new bed first; both stand in one batch.
                lies_in.entry(patient).or_insert_with(Vec::new).push(bed);
            }
            "PatientLeft" => {
                assert_eq!(holds.remove(&bed), Some(patient.clone()));
                lies_in.get_mut(&patient).unwrap().retain(|known| *known != bed);
            }
            _ => {}
        }
    }
    assert!(lies_in.values().all(|beds| beds.len() <= 1), "{lies_in:?}");
}

#[test]
fn a_stay_from_its_plan_to_its_end_and_how_it_was_before() {
    let site = Site::with("", &format!("{WARD}[admission]\nclearances = [\"clinical\", \"billing\"]\n"));
    let daemon = site.start();
    let mrn = register(&daemon, &jane());
    done(&daemon, &mrn, "plan", json!({ "bed": "ICU:1:A", "encounter": "enc_V1", "expected": "2027-01-01T08:00:00Z" }));
    refused(&daemon, "P2", "admit", json!({ "bed": "ICU:1:A" }), "not_registered");
    ["P2", "P3"].iter().for_each(|number| named(&daemon, number));
    refused(&daemon, "P2", "admit", json!({ "bed": "ICU:1:A" }), "reserved");
    let events = done(&daemon, &mrn, "admit", json!({ "bed": "ICU:1:A", "encounter": "enc_V1" }));
    let names: Vec<&str> = events["events"].as_array().unwrap().iter().map(|event| event["event"].as_str().unwrap()).collect();
    assert_eq!(names, ["PlanEnded", "ReservationEnded", "PatientAdmitted", "Admitted", "StayOpened"], "all of it, in one batch");
    let admitted = daemon.get("/api/v1/beds/ICU:1:A")["since"].as_str().unwrap().to_owned();
    done(&daemon, &mrn, "request-transfer", json!({ "bed": "ICU:2:A" }));
    assert_eq!(daemon.get("/api/v1/beds/ICU:2:A")["state"], "reserved");
    done(&daemon, &mrn, "accept-transfer", json!({}));
    assert_eq!((occupant(&daemon, "ICU:2:A").as_str(), daemon.get("/api/v1/beds/ICU:1:A")["state"].as_str()), (Some(mrn.as_str()), Some("cleaning")));
    refused(&daemon, "P2", "admit", json!({ "bed": "ICU:1:A" }), "not_cleaned");
    assert_eq!(daemon.post("/api/v1/beds/ICU:1:A/clean", json!({})).0, 200);
    done(&daemon, "P2", "admit", json!({ "bed": "ICU:1:A" }));
    done(&daemon, &mrn, "swap", json!({ "with": "P2" }));
    done(&daemon, &mrn, "begin-leave", json!({}));
    refused(&daemon, &mrn, "discharge", json!({}), "not_cleared");
    done(&daemon, &mrn, "clear", json!({ "clearance": "clinical" }));
    done(&daemon, &mrn, "clear", json!({ "clearance": "billing" }));
    done(&daemon, &mrn, "discharge", json!({}));
    assert_eq!(daemon.get("/api/v1/encounters/enc_V1")["closed"]["ending"], "discharged");
    // As it was when the patient had just come.
    assert_eq!(daemon.get(&format!("/api/v1/beds/ICU:1:A?at={admitted}"))["patient"], mrn.as_str());
    assert_eq!(daemon.get(&format!("/api/v1/encounters/enc_V1?at={admitted}"))["open"]["bed"], "ICU:1:A");
    assert_eq!(daemon.get(&format!("/api/v1/patients/{mrn}?at={admitted}"))["stay"]["encounter"], "enc_V1");
    assert_eq!(daemon.get("/api/v1/beds/ICU:1:A?at=2001-01-01T00:00:00Z")["state"], "free");
    assert_eq!(daemon.raw("GET", "/api/v1/beds/ICU:1:A?at=yesterday", None, "").0, 400);
    assert_eq!(daemon.raw("GET", "/api/v1/patients/NOBODY", None, "").0, 404);
    refused(&daemon, "P3", "admit", json!({ "bed": "ICU:9:Z" }), "unknown_bed");
}

#[test]
fn a_request_with_a_key_is_done_once_and_answered_alike() {
    let site = Site::with("", WARD);
    let daemon = site.start();
    let key = |key: &str| format!("Idempotency-Key: {key}\r\n");
    let again = |path: &str, body: &Value, name: &str| (daemon.raw("POST", path, Some(body), &key(name)), daemon.raw("POST", path, Some(body), &key(name)));
    let body = json!({ "person": jane() });
    let (first, second) = again("/api/v1/patients", &body, "k1");
    assert_eq!((first.0, &first.2), (second.0, &second.2), "one number, not two");
    // Also where the clerk names the number: the key with another body is another request.
    let named = |family: &str| json!({ "mrn": "K1", "person": { "name": { "family": family } }, "confirm_new": true });
    let (one, two) = again("/api/v1/patients", &named("Key"), "k2");
    assert_eq!((one.0, &one.2), (201, &two.2));
    assert_eq!(daemon.raw("POST", "/api/v1/patients", Some(&named("Other")), &key("k2")).0, 422);
    let mrn = serde_json::from_str::<Value>(&first.2).unwrap()["mrn"].as_str().unwrap().to_owned();
    for (action, body) in [("admit", json!({ "bed": "ICU:1:A" })), ("move", json!({ "bed": "ICU:1:B" })), ("begin-leave", json!({})), ("discharge", json!({}))] {
        let (first, second) = again(&format!("/api/v1/patients/{mrn}/{action}"), &body, action);
        assert_eq!((first.0, &first.2), (second.0, &second.2), "{action}");
        assert_eq!(first.0, 200, "{action}: {}", first.2);
        let other = daemon.raw("POST", &format!("/api/v1/patients/{mrn}/{action}"), Some(&json!({ "bed": "ICU:2:B" })), &key(action));
        assert_eq!(other.0, 422, "{action}: the key with another body: {}", other.2);
    }
}

#[test]
fn another_system_s_feed_is_taken_over_and_survives_a_kill() {
    let site = Site::with("", WARD);
    let daemon = site.start();
    let mut feed = daemon.connect("feed");
    let message = |trigger: &str, control: &str, patient: &str, more: &str| {
        format!("MSH|^~\\&|PAS|HOSP|WARDD|TEST|20260101120000||ADT^{trigger}|{control}|P|2.5.1\rEVN||20260101120000\rPID|1||{patient}^^^H^MR||Feed^{patient}||19700101|F\r{more}")
    };
    let bed = |bed: &str| format!("PV1|1|I|{}\r", bed.replace(':', "^"));
    let mut say = |trigger: &str, control: &str, patient: &str, more: &str, code: &str| {
        let answer = mllp(&mut feed, &message(trigger, control, patient, more)).unwrap();
        assert!(answer.contains(&format!("MSA|{code}|{control}")), "{trigger} {control}: {answer}");
    };
    say("A01", "1", "F1", &format!("{}AL1|1|DA|^Latex|SV\r", bed("ICU:1:A")), "AA");
    say("A01", "2", "F2", &bed("ICU:1:B"), "AA");
    say("A01", "3", "F1", &bed("ICU:2:A"), "AE");
    say("A02", "4", "F1", &bed("ICU:2:A"), "AA");
    say("A12", "5", "F1", &bed("ICU:1:A"), "AA");
    say("A17", "6", "F1", &format!("{}PID|2||F2^^^H^MR\r", bed("ICU:1:B")), "AA");
    say("A21", "7", "F1", "", "AA");
    say("A28", "8", "F3", "", "AA");
    say("A40", "9", "F1", "MRG|F3^^^H^MR\r", "AA");
    say("A03", "10", "F1", &bed("ICU:1:A"), "AE");
    say("A03", "11", "F1", &bed("ICU:1:B"), "AA");
    say("A13", "12", "F1", &bed("ICU:1:B"), "AA");
    say("A45", "13", "F1", "MRG|F3\r", "AE");
    say("A99", "14", "F1", "", "AR");
    say("A01", "2", "F2", &bed("ICU:1:B"), "AA");
    // Older news than what is known.
    let old = message("A31", "15", "F1", "").replace("20260101120000", "20250101120000").replace("Feed^F1", "Old^Name");
    assert!(mllp(&mut feed, &old).unwrap().contains("MSA|AA|15"));
    let census = |daemon: &Daemon| {
        let beds: Vec<_> = ["ICU:1:A", "ICU:1:B", "ICU:2:A"].map(|bed| occupant(daemon, bed)).to_vec();
        let person = daemon.get("/api/v1/patients/F3");
        (beds, person["mrn"].clone(), person["person"]["name"]["family"].clone(), person["allergies"]["known"][0]["substance"].clone())
    };
    let expected = (vec![json!("F2"), json!("F1"), Value::Null], json!("F1"), json!("Feed"), json!("Latex"));
    assert_eq!(census(&daemon), expected);
    daemon.until("what contradicts or is not taken over waits for a person", |daemon| daemon.get("/api/v1/quarantine").as_array().unwrap().len() == 4);
    daemon.kill();
    let daemon = site.start();
    assert_eq!(census(&daemon), expected, "the same after a kill");
}

#[test]
fn a_stay_under_the_wrong_number_takes_its_bed_and_its_charges_along() {
    let site = Site::with("", WARD);
    let (path, prices) = (site.folder.join("wardd.toml"), site.folder.join("prices.toml"));
    let list = |more: &str| std::fs::write(&prices, format!("currency = \"USD\"\n[[price]]\ncode = \"LAB-6690-2\"\namount = \"4.50\"\nfrom = \"2020-01-01\"\n{more}")).unwrap();
    list("");
    let text = std::fs::read_to_string(&path).unwrap();
    std::fs::write(&path, text.replace(&format!("{}/config/prices.toml", env!("CARGO_MANIFEST_DIR")), prices.to_str().unwrap())).unwrap();
    let daemon = site.start();
    let say = |daemon: &Daemon, trigger: &str, control: &str, patient: &str, more: &str, code: &str| {
        let pid = format!("PID|1||{patient}^^^H^MR||Feed^{patient}||19700101|F||||||||||ACC{}", if trigger == "A44" { "8" } else { "7" });
        let text = format!("MSH|^~\\&|PAS|HOSP|WARDD|TEST|20260101120000||ADT^{trigger}|{control}|P|2.5.1\rEVN||20260101120000\r{pid}\r{more}");
        let answer = mllp(&mut daemon.connect("feed"), &text).unwrap();
        assert!(answer.contains(&format!("MSA|{code}|{control}")), "{trigger} {control}: {answer}");
    };
    let (pv1, board) = ("PV1|1|I|ICU^1^A||||||||||||||||V7\r", |daemon: &Daemon| daemon.raw("GET", "/beds", None, "").2);
    say(&daemon, "A01", "1", "1001", pv1, "AA");
    say(&daemon, "A09", "2", "1001", "PV1|1|I|ICU^1^A||||||||RAD^2|||||||||V7\r", "AA");
    daemon.until("on the board", |daemon| board(daemon).contains("on the way to RAD 2"));
    assert!(!daemon.raw("GET", "/beds?privacy=true", None, "").2.contains("RAD"));
    say(&daemon, "A10", "3", "1001", pv1, "AA");
    daemon.until("back", |daemon| !board(daemon).contains("RAD"));
    // A result with a price and one without, of whom the clerk took for another.
    let accession = daemon.order(&["6690-2", "718-7"], true);
    let second = "OBX|2|NM|6690-2^WBC^LN||5.2|10*3/uL|||||F|||20260101115900\r";
    assert!(mllp(&mut daemon.connect("feed"), &(crate::harness::oru("U1", &accession, "13.2") + second)).unwrap().contains("MSA|AA|U1"));
    daemon.until("charged", |daemon| daemon.get("/api/v1/accounts/1001")["charges"].as_array().is_some_and(|charges| charges.len() == 2));

    say(&daemon, "A45", "4", "1002", &format!("MRG|1001||ACC7||V7\r{pv1}"), "AA");
    daemon.kill();
    let daemon = site.start();
    let charges = |daemon: &Daemon, mrn: &str| {
        let account = daemon.get(&format!("/api/v1/accounts/{mrn}"));
        (account["charges"].as_array().map_or(0, Vec::len), account["balance"]["amount"].clone())
    };
    daemon.until("moved", |daemon| charges(daemon, "1002") == (2, json!("4.50")) && charges(daemon, "1001").0 == 0);
    assert_eq!((occupant(&daemon, "ICU:1:A"), daemon.get("/api/v1/patients/1001")["stay"].clone()), (json!("1002"), Value::Null));
    // What has no price yet waits at the right account.
    list("[[price]]\ncode = \"LAB-718-7\"\namount = \"3.20\"\nfrom = \"2020-01-01\"\n");
    assert!(daemon.reload());
    daemon.until("priced", |daemon| charges(daemon, "1002") == (2, json!("7.70")));
    let waits = |daemon: &Daemon| {
        daemon.get("/api/v1/quarantine").as_array().unwrap().iter().map(|item| item["reason"]["detail"].as_str().unwrap_or_default().to_owned()).collect::<Vec<_>>()
    };
    daemon.until("one look by a person", |daemon| matches!(waits(daemon).as_slice(), [only] if only.contains("written under 1001 is 1002's")));
    // The account is a third one's: the stay is as well, and its charges.
    say(&daemon, "A44", "5", "1003", "MRG|1002||ACC7\r", "AA");
    daemon.until("moved again", |daemon| charges(daemon, "1003") == (2, json!("7.70")) && charges(daemon, "1002").0 == 0);
    say(&daemon, "A23", "6", "1003", pv1, "AE");
    say(&daemon, "A03", "7", "1003", pv1, "AA");
    say(&daemon, "A23", "8", "1003", pv1, "AA");
    assert_eq!(daemon.get("/api/v1/encounters/enc_V7")["closed"]["stay"]["patient"], "1003");
    // By hand, and back: whatever is done again is charged once.
    assert_eq!(daemon.post("/api/v1/patients/1003/move-stay", json!({ "with": "1001", "encounter": "enc_V7" })).0, 200);
    daemon.until("home", |daemon| charges(daemon, "1001") == (2, json!("7.70")) && charges(daemon, "1003").0 == 0);
    drop(daemon);
    let events = site.events();
    assert_eq!((crate::harness::count(&events, "Charged"), crate::harness::count(&events, "ChargesGivenUp"), crate::harness::count(&events, "ChargesTakenOver")), (2, 3, 3));
    assert!(site.verify());
}

#[test]
fn a_photo_is_kept_as_it_was_sent_and_shown_to_who_may_see_the_record() {
    use std::io::{Read, Write};
    let site = Site::new();
    let daemon = site.start();
    let ask = |method: &str, mrn: &str, body: &[u8]| {
        let mut stream = daemon.connect("http");
        write!(
            stream,
            "{method} /api/v1/patients/{mrn}/photo HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nContent-Type: image/png\r\nContent-Length: {}\r\n\r\n",
            body.len()
        )
        .unwrap();
        stream.write_all(body).unwrap();
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).unwrap();
        let at = answer.windows(4).position(|part| part == b"\r\n\r\n").unwrap();
        let head = String::from_utf8_lossy(&answer[..at]).into_owned();
        (head.split_whitespace().nth(1).unwrap().parse::<u16>().unwrap(), head, answer[at + 4..].to_vec())
    };
    for mrn in ["1", "2"] {
        assert_eq!(daemon.post("/api/v1/patients", json!({ "mrn": mrn, "person": { "name": { "family": mrn } }, "confirm_new": true })).0, 201);
    }
    let png = [b"\x89PNG\r\n\x1a\n".as_slice(), &[0, 255, 128, 7]].concat();
    assert_eq!(ask("GET", "1", b"").0, 404);
    assert_eq!(ask("POST", "1", b"<svg/>").0, 422);
    assert_eq!(ask("POST", "9", &png).0, 409, "nobody is registered there");
    assert_eq!(ask("POST", "1", &png).0, 200);
    let (status, head, body) = ask("GET", "1", b"");
    assert_eq!((status, body), (200, png.clone()));
    assert!(head.contains("image/png") && head.contains("nosniff") && head.contains("no-store"), "{head}");
    // Seen under both numbers while they are one person, and its own again afterwards.
    assert_eq!(daemon.post("/api/v1/patients/2/merge", json!({ "with": "1" })).0, 200);
    daemon.until("merged", |daemon| daemon.get("/api/v1/patients/2")["photo"].is_string());
    assert_eq!(ask("GET", "2", b"").2, png);
    assert_eq!(daemon.post("/api/v1/patients/1/unmerge", json!({})).0, 200);
    daemon.until("two again", |daemon| daemon.get("/api/v1/patients/2")["photo"].is_null());
    assert_eq!(ask("GET", "2", b"").0, 404);
    assert_eq!(ask("DELETE", "1", b"").0, 200);
    daemon.until("gone", |daemon| daemon.get("/api/v1/patients/1")["photo"].is_null());
    assert_eq!(ask("GET", "1", b"").0, 404);
}
