//! Appointments through the real binary: many clients at once never oversell a slot, who comes gets a visit and a token, closures say who
//! needs another time.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use serde_json::{Value, json};

use crate::harness::{Daemon, Site};

pub fn at(minutes: i64) -> String {
    // Whole minutes, so that slots begin on them.
    let now = jiff::Timestamp::now().as_second() / 60 * 60;
    jiff::Timestamp::from_second(now + minutes * 60).unwrap().to_string()
}

fn done(daemon: &Daemon, path: &str, body: Value) -> Value {
    let (status, answer) = daemon.post(&format!("/api/v1/{path}"), body);
    assert!(status < 300, "{path}: {answer}");
    answer
}

fn refused(daemon: &Daemon, path: &str, body: Value, rule: &str) {
    let (status, answer) = daemon.post(&format!("/api/v1/{path}"), body);
    assert_eq!((status, answer["type"].as_str()), (409, Some(format!("urn:wardd:problem:{rule}").as_str())), "{path}: {answer}");
}

fn register(daemon: &Daemon, mrn: &str) {
    done(daemon, "patients", json!({ "mrn": mrn, "person": { "name": { "family": format!("Doe{mrn}") } }, "confirm_new": true }));
}

/// A schedule with a session that is on for two hours.
fn surgery(daemon: &Daemon, places: u32) -> Vec<String> {
    done(daemon, "schedules", json!({ "schedule": "DR-A", "name": "Dr Adams", "of": "practitioner" }));
    done(daemon, "schedules/DR-A/open", json!({ "sessions": [{ "from": at(0), "until": at(120), "slot_minutes": 30, "places": places, "overbooking": 1, "walk_ins": 1 }] }));
    daemon.until("the slots", |daemon| daemon.get("/api/v1/schedules/DR-A")["slots"].as_array().unwrap().len() == 4);
    daemon.get("/api/v1/schedules/DR-A")["slots"].as_array().unwrap().iter().map(|slot| slot["start"].as_str().unwrap().to_owned()).collect()
}

#[test]
fn many_clients_at_once_never_oversell_a_slot() {
    let site = Site::new();
    let daemon = Arc::new(site.start());
    let slots = Arc::new(surgery(&daemon, 2));
    for mrn in 0..24 {
        register(&daemon, &mrn.to_string());
    }
    let booked = Arc::new(AtomicUsize::new(0));
    let clients: Vec<_> = (0..8)
        .map(|client| {
            let (daemon, slots, booked) = (daemon.clone(), slots.clone(), booked.clone());
            std::thread::spawn(move || {
                for turn in 0..12 {
                    let (patient, slot) = ((client * 12 + turn) % 24, &slots[1 + turn % 3]);
                    match daemon.post("/api/v1/schedules/DR-A/book", json!({ "patient": patient.to_string(), "start": slot })) {
                        (200, _) => drop(booked.fetch_add(1, Ordering::SeqCst)),
                        (409, answer) => assert!(["slot_full", "booked_already"].iter().any(|rule| answer["type"].as_str().unwrap().ends_with(rule)), "{answer}"),
                        (status, answer) => panic!("{status} {answer}"),
                    }
                }
            })
        })
        .collect();
    clients.into_iter().for_each(|client| client.join().unwrap());
    assert_eq!(booked.load(Ordering::SeqCst), 6, "three slots of two places");
    daemon.until("all of them", |daemon| daemon.get("/api/v1/schedules/DR-A")["appointments"].as_array().unwrap().len() == 6);
    let view = daemon.get("/api/v1/schedules/DR-A");
    for slot in &view["slots"].as_array().unwrap()[1..] {
        assert_eq!(slot["free"], 0, "{slot}");
    }
    let patient = view["appointments"][0]["patient"].as_str().unwrap();
    assert_eq!(daemon.get(&format!("/api/v1/patients/{patient}/appointments"))[0]["name"], "Dr Adams");
}

#[test]
fn who_comes_has_a_visit_and_a_token_and_is_called_in_turn() {
    let site = Site::new();
    let daemon = site.start();
    let slots = surgery(&daemon, 1);
    for mrn in ["1", "2", "3", "4"] {
        register(&daemon, mrn);
    }
    done(&daemon, "schedules/DR-A/book", json!({ "patient": "1", "start": slots[0], "reason": "cough" }));
    done(&daemon, "schedules/DR-A/book", json!({ "patient": "2", "start": slots[1] }));
    refused(&daemon, "schedules/DR-A/book", json!({ "patient": "3", "start": slots[1] }), "slot_full");
    done(&daemon, "schedules/DR-A/book", json!({ "patient": "3", "start": slots[1], "overbook": true }));
    assert_eq!(daemon.post("/api/v1/schedules/DR-A/book", json!({ "patient": "9", "start": slots[2] })).0, 404, "nobody is registered so");
    refused(&daemon, "schedules/NONE/call-next", json!({}), "no_schedule");
    assert_eq!(daemon.raw("GET", "/api/v1/schedules/NONE", None, "").0, 404);
    // Number 2 comes first, in hospital already; 1 comes, and 4 without an appointment.
    done(&daemon, "patients/2/admit", json!({ "bed": "MED1:101:A", "encounter": "enc_V2" }));
    let arrived = done(&daemon, "schedules/DR-A/check-in", json!({ "number": 2 }));
    assert_eq!((arrived["events"][0]["token"].as_u64(), arrived["events"][0]["encounter"].as_str()), (Some(1), Some("enc_V2")), "the stay that is open");
    let headers = "Idempotency-Key: once\r\n";
    let first = daemon.ask("POST", "/api/v1/schedules/DR-A/check-in", Some(&json!({ "number": 1 })), headers);
    assert_eq!((first.0, first.1["events"][0]["token"].as_u64()), (200, Some(2)), "{first:?}");
    assert_eq!(daemon.ask("POST", "/api/v1/schedules/DR-A/check-in", Some(&json!({ "number": 1 })), headers), first, "the same answer again");
    let visit = first.1["events"][0]["encounter"].as_str().unwrap().to_owned();
    daemon.until("the visit", |daemon| daemon.get("/api/v1/patients/1")["stay"]["encounter"] == visit.as_str());
    assert_eq!(daemon.get(&format!("/api/v1/encounters/{visit}"))["open"]["class"], "outpatient");
    done(&daemon, "schedules/DR-A/walk-in", json!({ "patient": "4" }));
    register(&daemon, "5");
    refused(&daemon, "schedules/DR-A/walk-in", json!({ "patient": "5" }), "no_walk_ins");
    daemon.until("no visit of who was not taken", |daemon| daemon.get("/api/v1/patients/5")["stay"].is_null());
    refused(&daemon, "schedules/DR-A/check-in", json!({ "number": 1 }), "not_so");
    assert_eq!(daemon.get("/api/v1/patients/1")["stay"]["encounter"], visit.as_str(), "a second try does not end the visit");
    assert_eq!(daemon.get("/api/v1/schedules/DR-A")["waiting"], json!([1, 2, 3]));
    for (number, token) in [(2, 1), (1, 2), (4, 3)] {
        let called = done(&daemon, "schedules/DR-A/call-next", json!({}));
        assert_eq!((called["events"][0]["number"].as_u64(), called["events"][0]["token"].as_u64()), (Some(number), Some(token)));
    }
    refused(&daemon, "schedules/DR-A/call-next", json!({}), "nobody_waits");
    done(&daemon, "schedules/DR-A/fulfil", json!({ "number": 1 }));
    daemon.until("the end of the visit", |daemon| daemon.get("/api/v1/patients/1")["stay"].is_null());
    done(&daemon, "schedules/DR-A/fulfil", json!({ "number": 2 }));
    assert_eq!(daemon.get("/api/v1/patients/2")["stay"]["encounter"], "enc_V2", "whoever lies in a bed stays");
    refused(&daemon, "schedules/DR-A/miss", json!({ "number": 3 }), "too_early");
    done(&daemon, "schedules/DR-A/close", json!({ "from": slots[1], "until": slots[2], "reason": "emergency" }));
    daemon.until("who needs another time", |daemon| {
        let view = daemon.get("/api/v1/schedules/DR-A");
        view["appointments"].as_array().unwrap().iter().filter(|known| known["needs_rebooking"] == true).map(|known| known["number"].clone()).collect::<Vec<_>>() == [json!(3)]
    });
    refused(&daemon, "schedules/DR-A/book", json!({ "patient": "5", "start": slots[1], "overbook": true }), "closed");
    done(&daemon, "schedules/DR-A/move", json!({ "number": 3, "start": slots[2] }));
    let before = daemon.get("/api/v1/schedules/DR-A");
    drop(daemon);
    let daemon = site.start();
    assert_eq!(daemon.get("/api/v1/schedules/DR-A")["appointments"], before["appointments"]);
    done(&daemon, "schedules/DR-A/cancel", json!({ "number": 3, "reason": "feels better" }));
    daemon
        .until("the place", |daemon| daemon.get("/api/v1/schedules/DR-A")["slots"].as_array().unwrap().iter().any(|slot| slot["start"] == slots[2].as_str() && slot["free"] == 1));
}

#[test]
fn who_has_an_appointment_soon_is_reminded_once_and_nobody_else() {
    use std::io::{BufRead, BufReader, Read, Write};
    // A gateway that is not ready at first.
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let (sender, taken) = std::sync::mpsc::channel();
    std::thread::spawn(move || {
        for (at, stream) in listener.incoming().flatten().enumerate() {
            let mut reader = BufReader::new(stream);
            let (mut length, mut key) = (0, String::new());
            loop {
                let mut line = String::new();
                if reader.read_line(&mut line).is_err() || line.trim().is_empty() {
                    break;
                }
                let (name, value) = line.split_once(':').map_or(("", ""), |(name, value)| (name, value.trim()));
                match name.to_lowercase().as_str() {
                    "content-length" => length = value.parse().unwrap(),
                    "idempotency-key" => key = value.to_owned(),
                    _ => {}
                }
            }
            let mut body = vec![0; length];
            reader.read_exact(&mut body).unwrap();
            let status = if at == 0 { "503 Service Unavailable" } else { "200 OK" };
            let _ = write!(reader.get_mut(), "HTTP/1.1 {status}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
            let said: Value = serde_json::from_slice(&body).unwrap();
            assert_eq!(said["id"].as_str(), Some(key.as_str()));
            sender.send((at, said)).unwrap();
        }
    });
    let site = Site::with("", &format!("[reminders]\nendpoint = \"http://127.0.0.1:{port}/remind\"\nhours_before = [1]\n"));
    let daemon = site.start();
    for (mrn, more) in [
        ("1", json!({ "phones": ["+43 1 7"], "language": "de" })),
        ("2", json!({})),
        ("3", json!({ "phones": ["9"], "consents": [{ "to": "reminders", "is_given": false }] })),
        ("4", json!({ "phones": ["8"] })),
    ] {
        let mut person = json!({ "name": { "family": format!("Doe{mrn}"), "given": ["Jane"] } });
        person.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        done(&daemon, "patients", json!({ "mrn": mrn, "person": person, "confirm_new": true }));
    }
    let slots = surgery(&daemon, 4);
    // The first begins within the hour, the last one does not.
    for mrn in ["1", "2", "3"] {
        done(&daemon, "schedules/DR-A/book", json!({ "patient": mrn, "start": slots[1] }));
    }
    done(&daemon, "schedules/DR-A/book", json!({ "patient": "4", "start": slots[3] }));
    // It looks at its start and every half minute; a restart is sooner.
    daemon.terminate();
    let daemon = site.start();
    let (_, refused) = taken.recv_timeout(std::time::Duration::from_secs(60)).unwrap();
    assert_eq!(
        (refused["patient"].as_str(), refused["phones"][0].as_str(), refused["language"].as_str(), refused["with"].as_str()),
        (Some("1"), Some("+43 1 7"), Some("de"), Some("Dr Adams"))
    );
    assert!(refused.get("reason").is_none(), "what it is for is nobody's business");
    daemon.until("told", |_| site.log().contains("WD-0703"));
    daemon.terminate();
    let daemon = site.start();
    let (_, again) = taken.recv_timeout(std::time::Duration::from_secs(60)).unwrap();
    assert_eq!(again["id"], refused["id"]);
    daemon.until("kept", |daemon| daemon.get("/api/v1/schedules/DR-A").to_string().contains("\"reminded\":60"));
    daemon.terminate();
    // Once: not again after the next start.
    let daemon = site.start();
    daemon.until("ready", |daemon| daemon.raw("GET", "/readyz", None, "").0 == 200);
    std::thread::sleep(std::time::Duration::from_millis(500));
    assert!(taken.try_recv().is_err(), "nobody is reminded twice, and nobody who has no phone, said no, or has time");
    daemon.terminate();
    assert_eq!(crate::harness::count(&site.events(), "PatientReminded"), 1);
}

#[test]
fn a_holiday_closes_every_schedule_and_says_who_needs_another_time() {
    let site = Site::new();
    let daemon = site.start();
    let slots = surgery(&daemon, 1);
    done(&daemon, "schedules", json!({ "schedule": "ROOM-1", "name": "Room 1", "of": "room" }));
    register(&daemon, "1");
    done(&daemon, "schedules/DR-A/book", json!({ "patient": "1", "start": slots[2] }));
    daemon.until("both", |daemon| daemon.get("/api/v1/schedules").as_array().is_some_and(|all| all.len() == 2) || daemon.get("/api/v1/schedules").to_string().contains("ROOM-1"));
    let answer = done(&daemon, "holidays", json!({ "from": at(-60), "until": at(1_440), "reason": "Feast" }));
    let of = |name: &str| answer["schedules"].as_array().unwrap().iter().find(|one| one["schedule"] == name).cloned().unwrap();
    assert_eq!((of("DR-A")["status"].as_str(), &of("DR-A")["needs_rebooking"]), (Some("closed"), &json!([1])), "{answer}");
    assert_eq!((of("ROOM-1")["status"].as_str(), &of("ROOM-1")["needs_rebooking"]), (Some("closed"), &json!([])), "{answer}");
    refused(&daemon, "schedules/DR-A/book", json!({ "patient": "1", "start": slots[3] }), "closed");
}

#[test]
fn a_slot_is_held_for_who_pays_and_anybody_s_again_when_nobody_does() {
    let site = Site::new();
    let daemon = site.start();
    let slots = surgery(&daemon, 1);
    for mrn in ["1", "2", "3"] {
        register(&daemon, mrn);
    }
    let hold =
        |patient: &str, slot: &str, minutes: u32| json!({ "patient": patient, "start": slot, "minutes": minutes, "fee": { "amount": "20", "currency": "USD" }, "reason": "cough" });
    done(&daemon, "schedules/DR-A/hold", hold("1", &slots[2], 15));
    refused(&daemon, "schedules/DR-A/book", json!({ "patient": "2", "start": slots[2] }), "slot_full");
    let pay = |amount: &str| json!({ "number": 1, "payment": { "reference": "P-1", "amount": { "amount": amount, "currency": "USD" } } });
    refused(&daemon, "schedules/DR-A/confirm", pay("2"), "other_amount");
    done(&daemon, "schedules/DR-A/confirm", pay("20"));
    assert_eq!(done(&daemon, "schedules/DR-A/confirm", pay("20"))["events"], json!([]), "the provider calls back once more");
    let booked = daemon.get("/api/v1/patients/1/appointments")[0].clone();
    assert_eq!((booked["status"].as_str(), booked["paid"]["reference"].as_str(), booked["reason"].as_str()), (Some("booked"), Some("P-1"), Some("cough")));
    done(&daemon, "schedules/DR-A/cancel", json!({ "number": 1, "reason": "ill" }));
    done(&daemon, "schedules/DR-A/refund", json!({ "number": 1, "reference": "R-1" }));
    refused(&daemon, "schedules/DR-A/refund", json!({ "number": 1, "reference": "R-2" }), "not_so");
    // Nobody pays: what was held lapses by itself. A minute is the least that can be asked for.
    done(&daemon, "schedules/DR-A/hold", hold("2", &slots[3], 1));
    let entry = |daemon: &Daemon| daemon.raw("GET", "/api/v1/schedules/DR-A/calendar.ics", None, "").2;
    let calendar = entry(&daemon);
    assert!(calendar.starts_with("BEGIN:VCALENDAR\r\n") && calendar.contains("SUMMARY:Appointment 2\r\n") && calendar.contains("STATUS:TENTATIVE\r\n"), "{calendar}");
    assert!(!calendar.contains("Doe") && !calendar.contains("cough"), "a calendar names nobody");
    refused(&daemon, "schedules/DR-A/withdraw", json!({ "session": 1 }), "session_booked");
    let lapsed = |daemon: &Daemon| daemon.get("/api/v1/patients/2/appointments")[0]["status"] == "cancelled";
    (0..100).take_while(|_| !lapsed(&daemon)).for_each(|_| std::thread::sleep(std::time::Duration::from_secs(1)));
    assert!(lapsed(&daemon));
    done(&daemon, "schedules/DR-A/book", json!({ "patient": "3", "start": slots[3] }));
    // Who waits is called by the token, on a display that names nobody.
    done(&daemon, "schedules/DR-A/walk-in", json!({ "patient": "1", "category": "antenatal" }));
    let display = |daemon: &Daemon| daemon.raw("GET", "/schedules/DR-A/display", None, "").2;
    assert!(display(&daemon).contains("1 antenatal") && display(&daemon).contains("Nobody was called yet"));
    refused(&daemon, "schedules/DR-A/call-next", json!({ "category": "other" }), "nobody_waits");
    done(&daemon, "schedules/DR-A/call-next", json!({ "category": "antenatal" }));
    assert!(display(&daemon).contains("<strong>1</strong>") && !display(&daemon).contains("Doe"));
    done(&daemon, "schedules/DR-A/open", json!({ "sessions": [{ "from": at(600), "until": at(660), "slot_minutes": 30, "link": "https://video.example/1" }] }));
    done(&daemon, "schedules/DR-A/withdraw", json!({ "session": 2 }));
}

#[test]
fn a_deposit_counts_against_the_bill_and_what_is_left_is_given_back() {
    let site = Site::new();
    let daemon = site.start();
    register(&daemon, "1");
    done(&daemon, "accounts/1/deposit", json!({ "amount": "500", "currency": "USD", "tender": "card" }));
    assert_eq!(daemon.post("/api/v1/accounts/1/deposit", json!({ "amount": "500", "currency": "USD" })).0, 400, "how it is paid");
    daemon.until("the deposit", |daemon| daemon.get("/api/v1/accounts/1")["balance"]["amount"] == "-500");
    done(&daemon, "accounts/1/return-deposit", json!({ "number": 1, "reason": "went home" }));
    refused(&daemon, "accounts/1/return-deposit", json!({ "number": 1, "reason": "went home" }), "nothing_left");
    daemon.until("it was given back", |daemon| daemon.get("/api/v1/accounts/1")["deposits"][0]["returned"]["amount"] == "500");
    assert_eq!(daemon.get("/api/v1/accounts/1")["balance"]["amount"], "0");
}
