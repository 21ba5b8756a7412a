//! What belongs to the house is written by FHIR too, by the same rules: users and their roles, schedules and slots.

use serde_json::{Value, json};

use crate::access::{Desk, found, staff};
use crate::fhir::faults;
use crate::harness::Site;
use crate::schedules::at;

const HOUSE: &str = "[access]\n[[wards]]\nid = \"ICU\"\nname = \"Intensive care\"\nbeds = [\"1:A\"]\n";

fn put(desk: &Desk<'_>, path: &str, body: &Value) -> (u16, Value) {
    desk.ask("PUT", &format!("/fhir/R4/{path}"), Some(body.clone()))
}

fn post(desk: &Desk<'_>, kind: &str, body: &Value) -> (u16, Value) {
    desk.ask("POST", &format!("/fhir/R4/{kind}"), Some(body.clone()))
}

fn place(outcome: &Value) -> Option<&str> {
    outcome.pointer("/issue/0/expression/0").and_then(Value::as_str)
}

#[test]
fn users_and_their_roles_are_written() {
    let site = Site::with("", HOUSE);
    let daemon = site.start();
    let (boss, _) = found(&site, &daemon);
    let ada = boss.get("/fhir/R4/Practitioner/ada");
    let system = ada["identifier"][0]["system"].as_str().unwrap().to_owned();
    let ben = json!({ "resourceType": "Practitioner", "identifier": [{ "system": system, "value": "ben" }], "name": [{ "given": ["Ben"], "family": "Okri" }] });
    let (status, made) = post(&boss, "Practitioner", &ben);
    assert_eq!((status, made["id"].as_str(), made["name"][0]["text"].as_str()), (201, Some("ben"), Some("Ben Okri")), "{made}");
    assert_eq!(faults(std::slice::from_ref(&made)), Vec::<String>::new());
    assert_eq!(post(&boss, "Practitioner", &ben).0, 409, "the name is taken");
    // Named anew, locked out, let in again.
    let mut changed = made.clone();
    changed["name"][0]["text"] = json!("Ben Okri-Doe");
    assert_eq!(put(&boss, "Practitioner/ben", &changed).1["name"][0]["text"], "Ben Okri-Doe");
    changed["active"] = json!(false);
    assert_eq!(put(&boss, "Practitioner/ben", &changed).1["active"], false);
    assert!(!boss.get("/api/v1/users/ben")["disabled"].is_null());
    changed["active"] = json!(true);
    assert_eq!(put(&boss, "Practitioner/ben", &changed).1["active"], true);
    // A role, which is taken back as it stands.
    let nurse = json!({ "resourceType": "PractitionerRole", "practitioner": { "reference": "Practitioner/ben" }, "code": [{ "text": "nurse" }], "location": [{ "reference": "Location/ICU" }] });
    let (status, role) = post(&boss, "PractitionerRole", &nurse);
    assert_eq!((status, role["location"][0]["reference"].as_str()), (201, Some("Location/ICU")), "{role}");
    assert_eq!(boss.get("/api/v1/users/ben")["roles"], json!(["nurse ward:ICU"]));
    let id = role["id"].as_str().unwrap();
    let mut other = role.clone();
    (other["active"], other["location"]) = (json!(false), Value::Null);
    assert_eq!(put(&boss, &format!("PractitionerRole/{id}"), &other).0, 409, "another role than the one that is there");
    let mut ended = role.clone();
    ended["active"] = json!(false);
    assert_eq!(put(&boss, &format!("PractitionerRole/{id}"), &ended).0, 200);
    assert_eq!(boss.get("/api/v1/users/ben")["roles"], json!([]));
    // What is refused says where, and nobody is changed.
    let refused: [(&str, Value, Option<&str>); 6] = [
        ("Practitioner", json!({ "resourceType": "Practitioner", "name": [{ "text": "X" }] }), Some("Practitioner.identifier")),
        (
            "Practitioner",
            json!({ "resourceType": "Practitioner", "identifier": [{ "system": system, "value": "x y" }], "name": [{ "text": "X" }] }),
            Some("Practitioner.identifier"),
        ),
        ("Practitioner", json!({ "resourceType": "Practitioner", "identifier": [{ "system": system, "value": "x" }] }), Some("Practitioner.name")),
        (
            "Practitioner",
            json!({ "resourceType": "Practitioner", "active": false, "identifier": [{ "system": system, "value": "x" }], "name": [{ "text": "X" }] }),
            Some("Practitioner.active"),
        ),
        (
            "PractitionerRole",
            json!({ "resourceType": "PractitionerRole", "practitioner": { "reference": "Practitioner/ben" }, "code": [{ "text": "wizard" }] }),
            Some("PractitionerRole.code"),
        ),
        ("Location", json!({ "resourceType": "Location" }), None),
    ];
    for (kind, body, at) in refused {
        let (status, outcome) = post(&boss, kind, &body);
        assert!((400..500).contains(&status) && place(&outcome) == at, "{kind}: {status} {outcome}");
    }
    // Who may not manage users, may not by FHIR either; nobody changes themselves.
    let mia = staff(&boss, "mia", &[("nurse", "ward:ICU")]);
    assert_eq!(post(&mia, "Practitioner", &json!({ "resourceType": "Practitioner", "identifier": [{ "system": system, "value": "eve" }], "name": [{ "text": "Eve" }] })).0, 403);
    let own = json!({ "resourceType": "PractitionerRole", "practitioner": { "reference": "Practitioner/ada" }, "code": [{ "text": "physician" }] });
    assert_eq!(post(&boss, "PractitionerRole", &own).0, 409);
    assert_eq!(boss.ask("PUT", "/fhir/R4/Practitioner/nobody", Some(ben)).0, 404);
}

#[test]
fn schedules_and_slots_are_written_and_booked() {
    let site = Site::with("", HOUSE);
    let daemon = site.start();
    let (boss, _) = found(&site, &daemon);
    let clerk = staff(&boss, "carl", &[("registration", "house")]);
    let system = boss.get("/fhir/R4/Practitioner/ada")["identifier"][0]["system"].as_str().unwrap().replace(":user", ":schedule");
    let schedule = json!({ "resourceType": "Schedule", "identifier": [{ "system": system, "value": "DR-ADAMS" }], "actor": [{ "display": "Dr Adams" }] });
    let (status, made) = post(&clerk, "Schedule", &schedule);
    assert_eq!((status, made["id"].as_str()), (201, Some("DR-ADAMS")), "{made}");
    assert_eq!(put(&clerk, "Schedule/DR-ADAMS", &made).0, 200, "as it is");
    let mut renamed = made.clone();
    renamed["actor"][0]["display"] = json!("Dr Bell");
    assert_eq!(put(&clerk, "Schedule/DR-ADAMS", &renamed).0, 422);
    let (start, end) = (at(60), at(90));
    let slot = |status: &str| json!({ "resourceType": "Slot", "schedule": { "reference": "Schedule/DR-ADAMS" }, "status": status, "start": start, "end": end });
    assert_eq!(place(&post(&clerk, "Slot", &slot("busy")).1), Some("Slot.status"));
    let mut backwards = slot("free");
    backwards["end"] = json!(at(30));
    assert_eq!(place(&post(&clerk, "Slot", &backwards).1), Some("Slot.end"));
    let (status, free) = post(&clerk, "Slot", &slot("free"));
    assert_eq!((status, free["status"].as_str()), (201, Some("free")), "{free}");
    assert_eq!(faults(&[made, free.clone()]), Vec::<String>::new());
    assert!(post(&clerk, "Slot", &slot("free")).0 >= 400, "it is there already");
    // Closed with a reason, and opened again.
    let path = format!("Slot/{}", free["id"].as_str().unwrap());
    assert_eq!(place(&put(&clerk, &path, &slot("busy-unavailable")).1), Some("Slot.comment"));
    let mut closed = slot("busy-unavailable");
    closed["comment"] = json!("ill");
    assert_eq!(put(&clerk, &path, &closed).1["status"], "busy-unavailable");
    assert_eq!(put(&clerk, &path, &slot("free")).1["status"], "free");
    assert_eq!(place(&put(&clerk, &path, &slot("busy")).1), Some("Slot.status"), "an Appointment takes it");
    let person = json!({ "name": { "family": "Doe" }, "birth_date": "1980-01-02", "sex": "female" });
    clerk.done("/api/v1/patients", json!({ "mrn": "W1", "person": person, "confirm_new": true }));
    let booked = json!({ "resourceType": "Appointment", "status": "booked", "start": start, "end": end, "slot": [{ "reference": path }],
        "participant": [{ "actor": { "reference": "Patient/W1" }, "status": "accepted" }] });
    let (status, appointment) = post(&clerk, "Appointment", &booked);
    assert_eq!(status, 201, "{appointment}");
    assert_eq!(clerk.get(&format!("/fhir/R4/{path}"))["status"], "busy");
}
