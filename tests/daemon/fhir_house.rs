//! What belongs to the house is written by FHIR too, by the same rules: users and their roles, schedules and slots.

use serde_json::{Value, json};

use crate::access::{Desk, found, program, staff};
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
        ("AuditEvent", json!({ "resourceType": "AuditEvent" }), Some("AuditEvent.type")),
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

#[test]
fn organisations_places_and_equipment_are_written_and_those_of_the_configuration_are_not() {
    let site = Site::with("", HOUSE);
    let daemon = site.start();
    let (boss, _) = found(&site, &daemon);
    let clerk = staff(&boss, "carl", &[("registration", "house")]);
    let acme = json!({ "resourceType": "Organization", "identifier": [{ "system": "urn:payer", "value": "P-1" }], "name": "Acme Insurance", "type": [{ "text": "insurer" }], "telecom": [{ "system": "phone", "value": "555" }] });
    let (status, made) = post(&clerk, "Organization", &acme);
    assert_eq!((status, made["name"].as_str(), made["active"].as_bool()), (201, Some("Acme Insurance"), Some(true)), "{made}");
    let theatre =
        json!({ "resourceType": "Location", "name": "Theatre 1", "status": "active", "type": [{ "text": "operating theatre" }], "partOf": { "reference": "Location/ICU" } });
    let (status, place_made) = post(&clerk, "Location", &theatre);
    assert_eq!((status, place_made["partOf"]["reference"].as_str()), (201, Some("Location/ICU")), "{place_made}");
    let pump = json!({ "resourceType": "Device", "identifier": [{ "system": "urn:udi", "value": "0108" }], "deviceName": [{ "name": "Pump 7", "type": "user-friendly-name" }], "manufacturer": "M", "serialNumber": "S-1", "expirationDate": "2030-01-01" });
    let (status, device) = post(&clerk, "Device", &pump);
    assert_eq!((status, device["serialNumber"].as_str()), (201, Some("S-1")), "{device}");
    assert_eq!(faults(&[made.clone(), place_made.clone(), device.clone()]), Vec::<String>::new());
    // Found, changed, in each version; on condition they are made once.
    let by_number = clerk.get("/fhir/R4/Organization?identifier=urn:payer%7CP-1");
    assert_eq!((by_number["total"].as_u64(), by_number["entry"][0]["resource"]["id"].as_str()), (Some(1), made["id"].as_str()), "{by_number}");
    let (status, again) = put(&clerk, "Organization?identifier=urn:payer%7CP-1", &acme);
    assert_eq!((status, again["id"].as_str()), (200, made["id"].as_str()), "{again}");
    let id = made["id"].as_str().unwrap();
    let mut gone = made.clone();
    gone["active"] = json!(false);
    assert_eq!(put(&clerk, &format!("Organization/{id}"), &gone).1["active"], false);
    let history = clerk.get(&format!("/fhir/R4/Organization/{id}/_history"));
    assert_eq!(history["total"], 2, "{history}");
    assert_eq!(clerk.get(&format!("/fhir/R4/Organization/{id}/_history/1"))["active"], true);
    let of_house = clerk.get("/fhir/R4/Location/ICU");
    for (path, body) in [
        ("Location/ICU".to_owned(), &of_house),
        (format!("Organization/{}", of_house["managingOrganization"]["reference"].as_str().unwrap().trim_start_matches("Organization/")), &acme),
    ] {
        let mut body = body.clone();
        body["id"] = json!(path.split('/').nth(1).unwrap());
        let (status, outcome) = put(&clerk, &path, &body);
        assert_eq!(status, 405, "{path}: {outcome}");
        assert!(outcome["issue"][0]["details"]["text"].as_str().unwrap().contains("wardd.toml"), "{outcome}");
    }
    let wrong = [
        ("Organization", json!({ "resourceType": "Organization" }), "Organization.name"),
        ("Organization", json!({ "resourceType": "Organization", "name": "X", "telecom": [{ "system": "fax", "value": "1" }] }), "Organization.telecom"),
        ("Location", json!({ "resourceType": "Location", "name": "X", "status": "closed" }), "Location.status"),
        ("Device", json!({ "resourceType": "Device" }), "Device.deviceName"),
    ];
    for (kind, body, at) in wrong {
        let (status, outcome) = post(&clerk, kind, &body);
        assert_eq!((status, place(&outcome)), (422, Some(at)), "{outcome}");
    }
    assert_eq!(post(&clerk, "Location", &json!({ "resourceType": "Location", "name": "X", "partOf": { "reference": "Location/NONE" } })).0, 404, "no such ward");
    // The same by the house's own API.
    let listed = clerk.get("/api/v1/directory");
    assert_eq!(listed.as_array().unwrap().len(), 3, "{listed}");
    let (status, refused) = clerk.ask("POST", "/api/v1/directory", Some(json!({ "entry": { "kind": "place", "name": "X", "serial": "1" } })));
    assert!(status == 409 && refused["detail"].as_str().unwrap().contains("are of equipment"), "{refused}");
    let path = format!("/api/v1/directory/{}", listed.as_array().unwrap().iter().find(|entry| entry["entry"]["name"] == "Theatre 1").unwrap()["id"].as_str().unwrap());
    let done = clerk.ask("POST", &path, Some(json!({ "entry": { "kind": "place", "name": "Theatre A", "ward": "ICU" } })));
    assert_eq!(done.0, 200, "{}", done.1);
    assert_eq!(clerk.get(&format!("/fhir/R4/Location/{}", place_made["id"].as_str().unwrap()))["name"], "Theatre A");
    let nurse = staff(&boss, "nina", &[("nurse", "ward:ICU")]);
    assert_eq!(post(&nurse, "Organization", &acme).0, 403);
}

#[test]
fn a_programme_of_care_is_an_episode_beside_the_one_of_the_stays() {
    let site = Site::with("", HOUSE);
    let daemon = site.start();
    let (boss, _) = found(&site, &daemon);
    let clerk = staff(&boss, "carl", &[("registration", "house")]);
    clerk.done("/api/v1/patients", json!({ "mrn": "P1", "person": { "name": { "family": "Doe" } } }));
    clerk.done("/api/v1/patients/P1/admit", json!({ "bed": "ICU:1:A" }));
    let doctor = staff(&boss, "dora", &[("physician", "ward:ICU")]);
    let sent = json!({ "resourceType": "EpisodeOfCare", "status": "active", "type": [{ "text": "Antenatal care" }], "patient": { "reference": "Patient/P1" }, "period": { "start": "2026-05-01" } });
    let (status, made) = post(&doctor, "EpisodeOfCare", &sent);
    assert_eq!((status, made["id"].as_str(), made["status"].as_str()), (201, Some("P1.-e1"), Some("active")), "{made}");
    assert_eq!(faults(std::slice::from_ref(&made)), Vec::<String>::new());
    assert_eq!(post(&doctor, "EpisodeOfCare", &sent).0, 409, "it goes on");
    let all = doctor.get("/fhir/R4/EpisodeOfCare?patient=P1");
    assert_eq!(all["total"], 2, "{all}");
    let mut over = made.clone();
    (over["status"], over["period"]["end"]) = (json!("finished"), json!("2026-11-01"));
    assert_eq!(put(&doctor, "EpisodeOfCare/P1.-e1", &over).1["period"]["end"], "2026-11-01");
    assert_eq!(doctor.get("/fhir/R4/EpisodeOfCare/P1.-e1/_history")["total"], 2);
    assert_eq!(doctor.get("/fhir/R4/EpisodeOfCare/P1.-e1/_history/1")["status"], "active");
    let mut stays = doctor.get("/fhir/R4/EpisodeOfCare/P1.-care");
    (stays["status"], stays["type"]) = (json!("finished"), json!([{ "text": "x" }]));
    let (status, outcome) = put(&doctor, "EpisodeOfCare/P1.-care", &stays);
    assert!(status == 422 && outcome.to_string().contains("made of the patient's stays"), "{outcome}");
    over["type"] = json!([{ "text": "Another" }]);
    assert_eq!(put(&doctor, "EpisodeOfCare/P1.-e1", &over).0, 422);
    // One of several things of a transaction, as everything of a patient.
    let bundle = json!({ "resourceType": "Bundle", "type": "transaction", "entry": [{ "resource": { "resourceType": "EpisodeOfCare", "status": "active", "type": [{ "text": "Diabetes" }], "patient": { "reference": "Patient/P1" } }, "request": { "method": "POST", "url": "EpisodeOfCare" } }] });
    let (status, answer) = doctor.ask("POST", "/fhir/R4", Some(bundle));
    assert_eq!((status, answer["entry"][0]["response"]["location"].as_str().is_some_and(|at| at.contains("P1.-e2"))), (200, true), "{answer}");
}

#[test]
fn what_another_system_tells_of_looks_and_origins_is_kept_as_told() {
    let site = Site::with("", HOUSE);
    let daemon = site.start();
    let (boss, _) = found(&site, &daemon);
    let clerk = staff(&boss, "carl", &[("registration", "house")]);
    clerk.done("/api/v1/patients", json!({ "mrn": "P1", "person": { "name": { "family": "Doe" } } }));
    clerk.done("/api/v1/patients/P1/admit", json!({ "bed": "ICU:1:A" }));
    let (ris, auditor) = (program(&boss, "ris", "interface", json!({})), program(&boss, "eyes", "auditor", json!({})));
    let look = json!({
        "resourceType": "AuditEvent",
        "type": { "system": "http://terminology.hl7.org/CodeSystem/audit-event-type", "code": "rest", "display": "RESTful Operation" },
        "subtype": [{ "system": "http://hl7.org/fhir/restful-interaction", "code": "read" }],
        "action": "R", "recorded": "2026-01-05T10:00:00+01:00", "outcome": "0",
        "purposeOfEvent": [{ "coding": [{ "system": "http://terminology.hl7.org/CodeSystem/v3-ActReason", "code": "TREAT" }] }],
        "agent": [{ "type": { "coding": [{ "system": "http://dicom.nema.org/resources/ontology/DCM", "code": "110153" }] }, "who": { "display": "Dr Roentgen" }, "requestor": true, "network": { "address": "10.0.0.7", "type": "2" } }],
        "source": { "site": "Radiology", "observer": { "display": "RIS" } },
        "entity": [{ "what": { "reference": "Patient/P1" }, "role": { "system": "http://terminology.hl7.org/CodeSystem/object-role", "code": "1" } }, { "what": { "reference": "ImagingStudy/7" } }],
    });
    let keyed = |kind: &str, body: &Value| ris.keyed("POST", &format!("/fhir/R4/{kind}"), body, "look-1");
    let (status, first) = keyed("AuditEvent", &look);
    assert_eq!(status, 201, "{first}");
    assert_eq!(keyed("AuditEvent", &look).0, 201, "again, and told once");
    // It is one of the looks at the patient, for whoever may see them: by FHIR, in the report, as it was told.
    let told = |path: &str| {
        let bundle = auditor.get(path);
        let entries = bundle["entry"].as_array().cloned().unwrap_or_default();
        entries.into_iter().map(|entry| entry["resource"].clone()).filter(|event| event["source"]["observer"]["display"] == "RIS").collect::<Vec<_>>()
    };
    let seen = told("/fhir/R4/AuditEvent?patient=P1");
    assert_eq!(seen.len(), 1, "{seen:?}");
    assert_eq!(
        (&seen[0]["agent"][0]["name"], &seen[0]["recorded"], &seen[0]["entity"][1]["what"]["reference"]),
        (&json!("Dr Roentgen"), &json!("2026-01-05T09:00:00.000000Z"), &json!("ImagingStudy/7"))
    );
    // One that is read says its version too.
    let bare = |mut resource: Value| {
        resource.as_object_mut().unwrap().remove("meta");
        resource
    };
    assert_eq!(bare(auditor.get(&format!("/fhir/R4/AuditEvent/{}", seen[0]["id"].as_str().unwrap()))), seen[0]);
    assert_eq!(told("/fhir/R4/AuditEvent?patient=P1&agent-name:contains=roentgen").len(), 1);
    let report = auditor.get("/api/v1/audit?patient=P1").to_string();
    assert!(report.contains("LookTold") && report.contains("Dr Roentgen"), "{report}");
    assert_eq!(faults(&seen), Vec::<String>::new());
    // Who made a record what it is: alone, and with the record in one transaction.
    let origin = |target: &str| {
        json!({
            "resourceType": "Provenance", "target": [{ "reference": target }], "occurredDateTime": "2026-01-05T10:00:00Z", "recorded": "2026-01-05T10:05:00Z",
            "activity": { "coding": [{ "system": "http://terminology.hl7.org/CodeSystem/v3-DataOperation", "code": "CREATE" }] },
            "agent": [{ "type": { "coding": [{ "system": "http://terminology.hl7.org/CodeSystem/provenance-participant-type", "code": "author" }] }, "who": { "display": "Dr GP" } }],
            "entity": [{ "role": "source", "what": { "reference": "DocumentReference/9" } }],
        })
    };
    let (status, made) = post(&ris, "Provenance", &origin("Patient/P1"));
    assert_eq!((status, made["agent"][0]["who"]["display"].as_str(), made["target"][0]["reference"].as_str()), (201, Some("Dr GP"), Some("Patient/P1")), "{made}");
    assert_eq!(bare(ris.get(&format!("/fhir/R4/Provenance/{}", made["id"].as_str().unwrap()))), bare(made.clone()));
    assert_eq!(faults(std::slice::from_ref(&made)), Vec::<String>::new());
    let condition = json!({ "resourceType": "AllergyIntolerance", "patient": { "reference": "Patient/P1" }, "code": { "text": "latex" } });
    let entry = |kind: &str, url: &str, resource: Value| json!({ "fullUrl": url, "resource": resource, "request": { "method": "POST", "url": kind } });
    let bundle = json!({ "resourceType": "Bundle", "type": "transaction", "entry": [entry("Provenance", "urn:uuid:2", origin("Patient/P1")), entry("AllergyIntolerance", "urn:uuid:1", condition)] });
    let doctor = staff(&boss, "dora", &[("physician", "ward:ICU")]);
    assert_eq!(doctor.ask("POST", "/fhir/R4", Some(bundle.clone())).0, 403, "a physician tells nothing for another system");
    assert_eq!(ris.ask("POST", "/fhir/R4", Some(bundle.clone())).0, 403, "nor does a system record allergies: nothing of it was done");
    assert_eq!(ris.get("/fhir/R4/AllergyIntolerance?patient=P1")["total"], 0);
    boss.done("/api/v1/users/ris/grant", json!({ "role": "physician" }));
    let (status, answer) = ris.ask("POST", "/fhir/R4", Some(bundle));
    assert_eq!((status, ris.get("/fhir/R4/AllergyIntolerance?patient=P1")["total"].as_u64()), (200, Some(1)), "{answer}");
    let origins = ris.get("/fhir/R4/Provenance?patient=P1").to_string();
    assert_eq!(origins.matches("DocumentReference/9").count(), 2, "{origins}");
    for (patch, at) in [
        (json!({ "entity": [] }), "AuditEvent.entity"),
        (json!({ "action": "X" }), "AuditEvent.action"),
        (json!({ "agent": [{ "requestor": true }] }), "AuditEvent.agent[0].who"),
        (json!({ "recorded": null }), "AuditEvent.recorded"),
        (json!({ "source": {} }), "AuditEvent.source.observer"),
        (json!({ "entity": [{ "what": { "reference": "Patient/P1" }, "name": "Doe" }] }), "AuditEvent.entity[0].name"),
    ] {
        let mut wrong = look.clone();
        patch.as_object().unwrap().iter().for_each(|(name, value)| wrong[name] = value.clone());
        let (status, outcome) = post(&ris, "AuditEvent", &wrong);
        assert_eq!((status, place(&outcome)), (422, Some(at)), "{outcome}");
    }
    let mut late = look.clone();
    late["recorded"] = json!("2999-01-01T00:00:00Z");
    assert_eq!(post(&ris, "AuditEvent", &late).0, 409, "what has not happened yet");
    let (status, outcome) = post(&ris, "Provenance", &origin("Organization/1"));
    assert_eq!((status, place(&outcome)), (422, Some("Provenance.target")), "{outcome}");
    let (status, outcome) = put(&auditor, &format!("AuditEvent/{}", seen[0]["id"].as_str().unwrap()), &seen[0]);
    assert!(status == 405 && outcome.to_string().contains("stays as it was told"), "{outcome}");
    assert_eq!(told("/fhir/R4/AuditEvent?patient=P1").len(), 1, "of what was refused nothing is kept");
}
