//! FHIR through the real binary: every resource is valid by somebody else's validator, searches find what fits, rights hold, merges link.

use std::io::Write;
use std::process::{Command, Stdio};

use serde_json::{Value, json};

use crate::harness::{Daemon, Site, count, mllp, oru};

const WARD: &str = "[[wards]]\nid = \"ICU\"\nname = \"Intensive care\"\nbuilding = \"Main building\"\nbeds = [\"1:A\", \"1:B\"]\n";

/// What the validator of the npm package `fhir` (R4 definitions and value sets) finds wrong with resources; unexpected properties are errors.
pub fn faults(resources: &[Value]) -> Vec<String> {
    const PROGRAM: &str = "const { Fhir } = require('fhir/fhir'); const fhir = new Fhir();
const all = JSON.parse(require('fs').readFileSync(0, 'utf8')); const out = [];
for (const one of all) for (const message of fhir.validate(one, { errorOnUnexpected: true }).messages)
  if (message.severity === 'error' || message.severity === 'fatal') out.push(one.resourceType + '/' + one.id + ' ' + message.location + ': ' + message.message);
console.log(JSON.stringify(out));";
    let modules = std::env::var("WARDD_PEERS").expect("run tests/run, which installs the validator") + "/node_modules";
    let mut node = Command::new("node").args(["-e", PROGRAM]).env("NODE_PATH", modules).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    node.stdin.take().unwrap().write_all(json!(resources).to_string().as_bytes()).unwrap();
    let output = node.wait_with_output().unwrap();
    assert!(output.status.success());
    serde_json::from_slice(&output.stdout).unwrap()
}

fn get(daemon: &Daemon, path: &str) -> Value {
    let (status, headers, body) = daemon.raw("GET", &format!("/fhir/R4/{path}"), None, "");
    assert_eq!(status, 200, "{path}: {body}");
    assert!(headers.to_lowercase().contains("content-type: application/fhir+json"), "{headers}");
    serde_json::from_str(&body).unwrap()
}

/// The resources of a search.
fn found(daemon: &Daemon, query: &str) -> Vec<Value> {
    let bundle = get(daemon, query);
    assert_eq!((bundle["resourceType"].as_str(), bundle["type"].as_str()), (Some("Bundle"), Some("searchset")));
    bundle["entry"].as_array().cloned().unwrap_or_default().into_iter().map(|entry| entry["resource"].clone()).collect()
}

fn done(daemon: &Daemon, path: &str, body: Value) {
    let (status, answer) = daemon.post(&format!("/api/v1/{path}"), body);
    assert!(status < 300, "{path}: {answer}");
}

/// Two numbers of one person with something of everything.
fn furnish(daemon: &Daemon) {
    let jane = json!({ "name": { "family": "Doe", "given": ["Jane", "Q"] }, "birth_date": "1980-01-02", "sex": "female", "phones": ["+1 555 123 4567"], "language": "en",
        "address": { "line": "Main 1", "city": "Town", "postal_code": "12345", "country": "US" }, "identifiers": [{ "kind": "NI", "value": "AB 12", "issuer": "GOV" }],
        "contacts": [{ "name": { "family": "Doe", "given": ["John"] }, "relationship": "father", "phone": "556" }],
        "coverages": [{ "payer": "Insurer", "plan": "Gold", "member": "M-1", "from": "2026-01-01", "until": "2026-12-31" }] });
    done(daemon, "patients", json!({ "mrn": "W_1", "person": jane, "confirm_new": true }));
    done(daemon, "patients", json!({ "mrn": "2", "person": { "name": { "family": "Doh" }, "birth_date": "1980-01-02" }, "confirm_new": true }));
    done(daemon, "patients", json!({ "mrn": "3", "person": { "is_temporary": true }, "confirm_new": true }));
    done(daemon, "patients/W_1/record-allergy", json!({ "allergy": { "substance": "Penicillin G", "category": "medication", "criticality": "high", "reaction": "rash" } }));
    done(daemon, "patients/2/no-known-allergies", json!({}));
    done(daemon, "patients/2/plan", json!({ "bed": "ICU:1:B", "expected": "2027-01-01T08:00:00Z", "encounter": "enc_P9" }));
    done(daemon, "patients/W_1/admit", json!({ "bed": "ICU:1:A", "encounter": "enc_V_7" }));
    for (action, body) in [
        ("record-problem", json!({ "code": "E11.9", "text": "Type 2 diabetes", "onset": "2020-05-05", "encounter": "enc_V_7" })),
        ("record-problem", json!({ "code": "I10", "text": "Hypertension" })),
        ("record-problem", json!({ "code": "J45", "text": "Asthma" })),
        ("resolve-problem", json!({ "number": 2 })),
        ("refute-problem", json!({ "number": 3, "reason": "mixed up" })),
        (
            "record-vitals",
            json!({ "readings": [{ "code": "8867-4", "value": "72", "unit": "/min" }, { "code": "8310-5", "value": "36.60", "unit": "Cel" }], "measured": "2026-11-20T10:00:00Z", "user": "ann" }),
        ),
        ("record-vitals", json!({ "readings": [{ "code": "8867-4", "value": "90", "unit": "/min" }], "measured": "2026-11-20T11:00:00Z" })),
        ("withdraw-reading", json!({ "code": "8867-4", "measured": "2026-11-20T11:00:00Z", "reason": "other patient" })),
    ] {
        done(daemon, &format!("patients/W_1/chart/{action}"), body);
    }
    let now = jiff::Timestamp::now().as_second();
    let at = |minutes: i64| jiff::Timestamp::from_second(now + minutes * 60).unwrap().to_string();
    let start = at(60);
    done(daemon, "schedules", json!({ "schedule": "DR_A", "name": "Dr Adams", "of": "practitioner" }));
    done(daemon, "schedules/DR_A/open", json!({ "sessions": [{ "from": start, "until": at(150), "slot_minutes": 30 }] }));
    done(daemon, "schedules/DR_A/book", json!({ "patient": "W_1", "start": start, "reason": "check" }));
    done(daemon, "schedules/DR_A/book", json!({ "patient": "2", "start": at(90) }));
    done(daemon, "schedules/DR_A/cancel", json!({ "number": 2, "reason": "ill" }));
}

#[test]
fn every_resource_is_valid_and_reads_as_it_was_searched() {
    let site = Site::with("", WARD);
    let daemon = site.start();
    furnish(&daemon);
    // A result of the laboratory, by an analyzer.
    let (status, order) = daemon.post("/api/v1/lab-orders", json!({ "patient": { "mrn": "W_1" }, "tests": ["718-7"] }));
    assert!(status < 300, "{order}");
    let accession = order["accession"].as_str().unwrap().to_owned();
    done(&daemon, &format!("specimens/{accession}/collect"), json!({}));
    mllp(&mut daemon.connect("feed"), &oru("R1", &accession, "5.80").replace("1001", "W_1")).unwrap();
    daemon.until("the result", |daemon| found(daemon, "Observation?patient=W.5f1&category=laboratory").len() == 1);
    let mut all = vec![get(&daemon, "metadata")];
    for query in [
        "Patient?family=do",
        "RelatedPerson?patient=W.5f1",
        "Coverage?patient=W.5f1",
        "Encounter?patient=Patient/W.5f1",
        "Encounter?patient=2",
        "EpisodeOfCare?patient=W.5f1",
        "EpisodeOfCare?patient=2",
        "Provenance?patient=W.5f1",
        "Provenance?patient=2&target=Patient/2/_history/1",
        "AllergyIntolerance?patient=W.5f1",
        "AllergyIntolerance?patient=2",
        "Condition?patient=W.5f1",
        "Observation?patient=W.5f1",
        "Location",
        "Organization",
        "Device",
        "Practitioner",
        "Schedule",
        "Slot?status=free",
        "Slot?status=busy",
        "Appointment?patient=W.5f1",
        "AuditEvent?patient=W.5f1",
    ] {
        let resources = found(&daemon, query);
        let kind = query.split('?').next().unwrap();
        assert!(kind == "Practitioner" || !resources.is_empty(), "{query}");
        for resource in &resources {
            assert_eq!(resource["resourceType"], kind);
            let mut read = get(&daemon, &format!("{kind}/{}", resource["id"].as_str().unwrap()));
            // Which version it is in a search does not say of what shares its stream with others.
            assert!(read["meta"]["versionId"].is_string(), "{read}");
            if resource["meta"].is_null() {
                read.as_object_mut().unwrap().remove("meta");
            }
            assert!(kind == "AuditEvent" || read == *resource, "{read} as {resource}");
        }
        all.extend(resources);
        all.push(get(&daemon, query));
    }
    all.push(get(&daemon, "Patient/W.5f1/$everything"));
    all.push(get(&daemon, "Patient/W.5f1/_history"));
    all.push(get(&daemon, "Encounter/V.5f7/_history"));
    // Every kind has versions: the newest is the one that is read, and each can be read by its number.
    let read: Vec<(String, String)> = all
        .iter()
        .flat_map(|found| found["entry"].as_array().into_iter().flatten())
        .map(|entry| &entry["resource"])
        .map(|resource| (resource["resourceType"].as_str().unwrap_or_default().to_owned(), resource["id"].as_str().unwrap_or_default().to_owned()))
        .collect();
    let mut kinds = std::collections::BTreeSet::new();
    for (kind, id) in read.into_iter().filter(|(kind, id)| !kind.is_empty() && !id.is_empty() && !["Bundle", "OperationOutcome"].contains(&kind.as_str())) {
        if !kinds.insert(kind.clone()) {
            continue;
        }
        let (now, history) = (get(&daemon, &format!("{kind}/{id}")), get(&daemon, &format!("{kind}/{id}/_history")));
        let newest = &history["entry"][0]["resource"];
        assert_eq!((&newest["meta"]["versionId"], newest["id"].as_str()), (&now["meta"]["versionId"], Some(id.as_str())), "{kind}/{id}: {history}");
        let number = newest["meta"]["versionId"].as_str().unwrap_or_else(|| panic!("{kind}/{id}: {history}"));
        assert_eq!(get(&daemon, &format!("{kind}/{id}/_history/{number}")), *newest, "{kind}/{id}");
        all.push(history);
    }
    assert!(kinds.len() >= 15, "{kinds:?}");
    assert!(all.len() > 40, "{}", all.len());
    assert_eq!(faults(&all), Vec::<String>::new());
    // The validator would say so.
    let mut wrong = all[1].clone();
    (wrong["gender"], wrong["shoe"]) = ("femle".into(), 43.into());
    assert_eq!(faults(&[wrong]).len(), 2);
    // Digits are not lost on the way.
    let (_, _, text) = daemon.raw("GET", "/fhir/R4/Observation?patient=W.5f1", None, "");
    assert!(text.contains("\"value\":36.60") && text.contains("\"value\":5.80"), "{text}");
}

#[test]
fn searches_pages_includes_and_versions() {
    let site = Site::with("", WARD);
    let daemon = site.start();
    furnish(&daemon);
    for (query, expected) in [
        ("Patient?identifier=W_1", 1),
        ("Patient?identifier=urn:x-wardd:TEST:mrn|W_1", 1),
        ("Patient?identifier=urn:x-wardd:OTHER:mrn|W_1", 0),
        ("Patient?birthdate=1980-01-02", 2),
        ("Patient?birthdate=1980-01-02&family=doh", 1),
        ("Patient?_id=W.5f1,2", 2),
        ("Patient?family=nobody,doh", 1),
        ("Patient?family=d%C3%B6h", 1),
        ("Patient?birthdate=1980-01-02,1990-01-01&given=Jane", 1),
        ("Condition?_id=W.5f1.-p1,W.5f1.-p2,W.5f1.-p9", 2),
        ("Patient?name=jane&gender=male", 0),
        ("Condition?patient=W.5f1&clinical-status=active", 1),
        ("Condition?patient=W.5f1&code=http://hl7.org/fhir/sid/icd-10%7CI10", 1),
        ("Condition?patient=W.5f1&encounter=V.5f7", 1),
        ("Observation?patient=W.5f1&code=8867-4", 2),
        ("Observation?patient=W.5f1&code=8867-4&status=final", 1),
        ("Observation?patient=W.5f1&date=ge2026-11-20T10:30:00Z", 1),
        ("Observation?patient=W.5f1&category=laboratory", 0),
        ("Encounter?patient=W.5f1&status=in-progress&class=IMP", 1),
        ("Location?operational-status=O", 1),
        ("Location?partof=ICU&_count=1", 1),
        ("Location?name=icu:1", 2),
    ] {
        assert_eq!(found(&daemon, query).len(), expected, "{query}");
    }
    let newest = found(&daemon, "Observation?patient=W.5f1&code=8867-4&_sort=-date");
    assert_eq!((newest[0]["status"].as_str(), newest[1]["status"].as_str()), (Some("entered-in-error"), Some("final")));
    // From the bed up to the facility.
    let (mut at, mut way) = ("ICU.3a1.3aA".to_owned(), Vec::new());
    loop {
        let place = get(&daemon, &format!("Location/{at}"));
        way.push(place["physicalType"]["coding"][0]["code"].as_str().unwrap().to_owned());
        match place["partOf"]["reference"].as_str() {
            Some(around) => at = around["Location/".len()..].to_owned(),
            None => break,
        }
    }
    assert_eq!(way, ["bd", "ro", "wa", "bu", "si"]);
    // Page by page by the links alone.
    let (mut next, mut seen) = (Some("Location?_count=2&name:contains=:".to_owned()), Vec::new());
    while let Some(query) = next {
        let page = get(&daemon, &query);
        seen.extend(page["entry"].as_array().unwrap().iter().map(|entry| entry["fullUrl"].to_string()));
        next = page["link"].as_array().unwrap().iter().find(|link| link["relation"] == "next").map(|link| link["url"].as_str().unwrap()["/fhir/R4/".len()..].to_owned());
    }
    let total = get(&daemon, "Location?name:contains=:")["total"].as_u64().unwrap();
    assert_eq!((seen.len() as u64, seen.iter().collect::<std::collections::BTreeSet<_>>().len() as u64), (total, total));
    let bundle = get(&daemon, "Encounter?patient=W.5f1&_include=Encounter:patient&_include=Encounter:location");
    let modes: Vec<&str> = bundle["entry"].as_array().unwrap().iter().map(|entry| entry["search"]["mode"].as_str().unwrap()).collect();
    assert_eq!((modes, bundle["total"].as_u64()), (vec!["match", "include", "include"], Some(1)));
    // A form leaves no name in the address.
    let form = |body: &str| {
        let (status, text) = daemon.form("/fhir/R4/Patient/_search", body);
        assert_eq!(status, 200, "{text}");
        serde_json::from_str::<Value>(&text).unwrap()["total"].as_u64()
    };
    assert_eq!(form("family=doe&birthdate=1980"), Some(1));
    // Versions, and a merge.
    assert_eq!(get(&daemon, "Patient/W.5f1")["meta"]["versionId"], get(&daemon, "Patient/W.5f1/_history")["entry"][0]["resource"]["meta"]["versionId"]);
    done(&daemon, "patients/W_1/merge", json!({ "with": "2" }));
    daemon.until("the merge", |daemon| get(daemon, "Patient/2")["active"] == false);
    assert_eq!(get(&daemon, "Patient/2")["link"][0], json!({ "other": { "reference": "Patient/W.5f1" }, "type": "replaced-by" }));
    assert_eq!(get(&daemon, "Patient/W.5f1")["link"][0], json!({ "other": { "reference": "Patient/2" }, "type": "replaces" }));
    assert_eq!(get(&daemon, "Patient/2/_history/1")["active"], true);
    assert_eq!(found(&daemon, "AllergyIntolerance?patient=2")[0]["code"]["text"], "Penicillin G", "both numbers' are the person's, and that one knows of none contradicts nothing");
    assert_eq!(found(&daemon, "AllergyIntolerance?patient=2").len(), 1);
    assert_eq!(found(&daemon, "Encounter?patient=2").len(), 2);
}

#[test]
fn errors_are_outcomes_that_name_the_place_and_nobody_reads_what_is_not_theirs() {
    let site = Site::with("", WARD);
    let daemon = site.start();
    furnish(&daemon);
    for (path, status, code, place) in [
        ("Patient/nobody", 404, "not-found", None),
        ("Patient/a%20b", 400, "invalid", None),
        ("Shoe", 404, "not-found", None),
        ("Shoe/1", 404, "not-found", None),
        ("Patient", 400, "too-costly", None),
        ("Observation", 400, "too-costly", None),
        ("Patient?shoe=43", 400, "invalid", Some("http.shoe")),
        ("Patient?birthdate=tomorrow", 400, "invalid", Some("http.birthdate")),
        ("Condition/W.5f1.-p9/_history", 404, "not-found", None),
        ("Encounter/V.5f7/_history/99", 404, "not-found", None),
        ("Observation/W.5f1.-v1-0", 404, "not-found", None),
        ("AuditEvent/x", 404, "not-found", None),
        ("Encounter/V.5f7/$everything", 404, "not-found", None),
    ] {
        let (found, _, body) = daemon.raw("GET", &format!("/fhir/R4/{path}"), None, "");
        let outcome: Value = serde_json::from_str(&body).unwrap();
        let issue = &outcome["issue"][0];
        assert_eq!(
            (found, outcome["resourceType"].as_str(), issue["code"].as_str(), issue["expression"][0].as_str()),
            (status, Some("OperationOutcome"), Some(code), place),
            "{path}: {body}"
        );
        assert_eq!(faults(&[outcome]), Vec::<String>::new(), "{path}");
    }
    assert_eq!(daemon.raw("DELETE", "/fhir/R4/Patient/2", None, "").0, 405);
    daemon.terminate();
    assert!(count(&site.events(), "RecordShown") == 0, "in an open house nobody is known");
    // A house that asks: nothing but what can be asked is told to strangers.
    let closed = Site::with("", "[access]\n");
    let daemon = closed.start();
    assert_eq!(daemon.raw("GET", "/fhir/R4/metadata", None, "").0, 200);
    for path in ["Patient/2", "Patient?family=doe", "Location", "AuditEvent?patient=2", "Patient/2/$everything"] {
        let (status, _, body) = daemon.raw("GET", &format!("/fhir/R4/{path}"), None, "");
        assert!(status == 401 && body.contains("\"code\":\"login\""), "{path}: {status} {body}");
    }
}

/// Sends a resource or a bundle.
fn send(daemon: &Daemon, method: &str, path: &str, headers: &[(&str, &str)], body: &Value) -> (u16, String, Value) {
    let extra: String = headers.iter().map(|(name, value)| format!("{name}: {value}\r\n")).collect();
    let (status, head, answer) = daemon.raw(method, &format!("/fhir/R4/{path}"), Some(body), &extra);
    (status, head, serde_json::from_str(&answer).unwrap_or_default())
}

fn jane(family: &str) -> Value {
    json!({ "resourceType": "Patient", "name": [{ "use": "official", "family": family, "given": ["Jane"] }], "gender": "female", "birthDate": "1980-01-02",
        "identifier": [{ "system": "urn:oid:1.2.3", "value": "N-7" }], "telecom": [{ "system": "phone", "value": "+43 1 7" }] })
}

fn coded(system: &str, code: &str) -> Value {
    json!({ "coding": [{ "system": system, "code": code }] })
}

#[test]
fn what_is_written_is_read_back_changed_by_version_and_never_given_to_another() {
    let site = Site::with("", WARD);
    let daemon = site.start();
    let (status, head, made) = send(&daemon, "POST", "Patient", &[("If-None-Exist", "identifier=urn:oid:1.2.3|N-7")], &jane("Doe"));
    assert_eq!(status, 201, "{made}");
    let id = made["id"].as_str().unwrap().to_owned();
    assert!(head.to_lowercase().contains(&format!("location: /fhir/r4/patient/{}", id.to_lowercase())), "{head}");
    assert_eq!(made["identifier"][1]["system"], "urn:oid:1.2.3");
    // The same again finds the one that is there; without the condition the clerk would have to look.
    let (status, _, again) = send(&daemon, "POST", "Patient", &[("If-None-Exist", "identifier=urn:oid:1.2.3|N-7")], &jane("Doe"));
    assert_eq!((status, again["id"].as_str()), (200, Some(id.as_str())));
    let (status, _, alike) = send(&daemon, "POST", "Patient", &[], &jane("Doe"));
    assert_eq!((status, alike["issue"][0]["code"].as_str()), (409, Some("duplicate")), "{alike}");
    let (status, _, other) = send(&daemon, "POST", "Patient", &[("X-Confirm-New", "true")], &jane("Doe"));
    assert_eq!(status, 201, "{other}");
    // Two fit: nobody guesses which.
    let (status, _, many) = send(&daemon, "PUT", "Patient?identifier=urn:oid:1.2.3|N-7", &[], &jane("Doe"));
    assert_eq!((status, many["issue"][0]["code"].as_str()), (412, Some("multiple-matches")), "{many}");
    // By version: whoever read an older one is told.
    let version = made["meta"]["versionId"].as_str().unwrap();
    let mut roe = jane("Roe");
    roe["id"] = id.as_str().into();
    let tag = format!("W/\"{version}\"");
    let (status, head, changed) = send(&daemon, "PUT", &format!("Patient/{id}"), &[("If-Match", &tag)], &roe);
    assert_eq!((status, changed["name"][0]["family"].as_str()), (200, Some("Roe")), "{changed}");
    assert!(head.to_lowercase().contains("etag: w/\"2\""), "{head}");
    assert_eq!(send(&daemon, "PUT", &format!("Patient/{id}"), &[("If-Match", &tag)], &roe).0, 412);
    assert_eq!(get(&daemon, &format!("Patient/{id}/_history"))["total"], 2);
    // What is not kept is named with its place; the client may allow that it is left out.
    let mut more = roe.clone();
    more["maritalStatus"] = coded("http://terminology.hl7.org/CodeSystem/v3-MaritalStatus", "M");
    let (status, _, refused) = send(&daemon, "PUT", &format!("Patient/{id}"), &[], &more);
    assert_eq!((status, refused["issue"][0]["expression"][0].as_str()), (422, Some("Patient.maritalStatus")), "{refused}");
    assert_eq!(send(&daemon, "PUT", &format!("Patient/{id}"), &[("Prefer", "handling=lenient")], &more).0, 200);
    // Somebody under a number of their own.
    assert_eq!(send(&daemon, "PUT", "Patient/P77", &[("X-Confirm-New", "true")], &jane("Poe")).0, 201);

    let subject = json!({ "reference": format!("Patient/{id}") });
    let allergy = json!({ "resourceType": "AllergyIntolerance", "patient": subject, "code": { "text": "Penicillin" }, "criticality": "high", "category": ["medication"],
        "clinicalStatus": coded("http://terminology.hl7.org/CodeSystem/allergyintolerance-clinical", "active") });
    let (status, _, made) = send(&daemon, "POST", "AllergyIntolerance", &[], &allergy);
    assert_eq!((status, made["code"]["text"].as_str()), (201, Some("Penicillin")), "{made}");
    let mut stranger = made.clone();
    stranger["patient"] = json!({ "reference": "Patient/P77" });
    assert_eq!(send(&daemon, "PUT", &format!("AllergyIntolerance/{}", made["id"].as_str().unwrap()), &[], &stranger).0, 422);
    // One more that knows less of it makes it nothing less; by its id it is replaced.
    let mut less = allergy.clone();
    less["criticality"] = "low".into();
    let (status, _, still) = send(&daemon, "POST", "AllergyIntolerance", &[], &less);
    assert_eq!((status, still["criticality"].as_str()), (200, Some("high")), "{still}");
    let (status, _, lower) = send(&daemon, "PUT", &format!("AllergyIntolerance/{}", made["id"].as_str().unwrap()), &[], &less);
    assert_eq!((status, lower["criticality"].as_str()), (200, Some("low")), "{lower}");
    let problem =
        json!({ "resourceType": "Condition", "subject": subject, "code": { "coding": [{ "system": "http://hl7.org/fhir/sid/icd-10", "code": "E11.9" }], "text": "Diabetes" } });
    let (status, _, mut made) = send(&daemon, "POST", "Condition", &[], &problem);
    assert_eq!(status, 201, "{made}");
    made["clinicalStatus"] = coded("http://terminology.hl7.org/CodeSystem/condition-clinical", "resolved");
    let (status, _, made) = send(&daemon, "PUT", &format!("Condition/{}", made["id"].as_str().unwrap()), &[], &made);
    assert_eq!((status, made["clinicalStatus"]["coding"][0]["code"].as_str()), (200, Some("resolved")), "{made}");
    let stay = json!({ "resourceType": "Encounter", "status": "in-progress", "class": { "code": "IMP" }, "subject": subject, "location": [{ "location": { "reference": "Location/ICU.3a1.3aA" } }] });
    let (status, _, mut made) = send(&daemon, "POST", "Encounter", &[], &stay);
    assert_eq!(status, 201, "{made}");
    let stay_id = made["id"].as_str().unwrap().to_owned();
    made["location"][0]["location"]["reference"] = "Location/ICU.3a1.3aB".into();
    let (status, _, mut made) = send(&daemon, "PUT", &format!("Encounter/{stay_id}"), &[], &made);
    assert_eq!((status, made["location"][0]["location"]["reference"].as_str()), (200, Some("Location/ICU.3a1.3aB")), "{made}");
    assert_eq!(daemon.get("/api/v1/beds/ICU:1:B")["patient"].as_str().map(str::len), Some(id.len()));
    let sign = json!({ "resourceType": "Observation", "status": "final", "subject": subject, "code": coded("http://loinc.org", "8867-4"),
        "valueQuantity": { "value": 71, "unit": "/min", "system": "http://unitsofmeasure.org", "code": "/min" } });
    let (status, _, taken) = send(&daemon, "POST", "Observation", &[], &sign);
    assert_eq!((status, taken["valueQuantity"]["value"].as_f64()), (201, Some(71.0)), "{taken}");
    // What is taken back is the measurement of the id, and no other of the patient's.
    let (_, _, second) = send(&daemon, "POST", "Observation", &[], &sign);
    let mut error = second.clone();
    (error["status"], error["note"]) = ("entered-in-error".into(), json!([{ "text": "other patient" }]));
    let mut other = error.clone();
    other["effectiveDateTime"] = taken["effectiveDateTime"].clone();
    let path = format!("Observation/{}", second["id"].as_str().unwrap());
    assert_eq!(send(&daemon, "PUT", &path, &[], &other).0, 422);
    assert_eq!(send(&daemon, "POST", "Observation", &[], &error).0, 422, "nothing new is an error already");
    assert_eq!(get(&daemon, &format!("Observation/{}", taken["id"].as_str().unwrap()))["status"], "final");
    let (status, _, withdrawn) = send(&daemon, "PUT", &path, &[], &error);
    assert_eq!((status, withdrawn["status"].as_str()), (200, Some("entered-in-error")), "{withdrawn}");
    let coverage = json!({ "resourceType": "Coverage", "status": "active", "beneficiary": subject, "payor": [{ "display": "ACME" }], "subscriberId": "M1" });
    let (status, _, payer) = send(&daemon, "POST", "Coverage", &[], &coverage);
    assert_eq!((status, payer["payor"][0]["display"].as_str()), (201, Some("ACME")), "{payer}");
    // The id of a coverage is a place in a list: only who says what they read may change it.
    let (place, mut changed) = (format!("Coverage/{}", payer["id"].as_str().unwrap()), payer.clone());
    changed["payor"] = json!([{ "display": "OTHER" }]);
    assert_eq!(send(&daemon, "PUT", &place, &[], &changed).0, 428);
    let tag = format!("W/\"{}\"", payer["meta"]["versionId"].as_str().unwrap());
    assert_eq!(send(&daemon, "PUT", &place, &[("If-Match", &tag)], &changed).2["payor"][0]["display"], "OTHER");
    assert_eq!(send(&daemon, "PUT", &place, &[("If-Match", &tag)], &payer).0, 412);
    made["status"] = "finished".into();
    assert_eq!(send(&daemon, "PUT", &format!("Encounter/{stay_id}"), &[], &made).2["status"], "finished");
    // A second stay, and late news of the first: it is that one alone that they are about.
    let mut elsewhere = stay.clone();
    elsewhere["location"][0]["location"]["reference"] = "Location/MED1.3a101.3aA".into();
    let (status, _, second_stay) = send(&daemon, "POST", "Encounter", &[], &elsewhere);
    assert_eq!(status, 201, "{second_stay}");
    let mut over = second_stay.clone();
    over["status"] = "finished".into();
    assert_eq!(send(&daemon, "PUT", &format!("Encounter/{}", over["id"].as_str().unwrap()), &[], &over).0, 200);
    made["status"] = "in-progress".into();
    made.as_object_mut().unwrap().retain(|name, _| name != "period" && name != "location");
    let (status, _, refused) = send(&daemon, "PUT", &format!("Encounter/{stay_id}"), &[], &made);
    assert_eq!((status, refused.to_string().contains("read the stays again")), (409, true), "{refused}");
    assert!(daemon.get("/api/v1/beds/MED1:101:A")["patient"].is_null());
    // Appointments by their schedule.
    done(&daemon, "schedules", json!({ "schedule": "DR-A", "name": "Dr A", "of": "practitioner" }));
    let soon = jiff::Timestamp::from_second(jiff::Timestamp::now().as_second() / 3_600 * 3_600 + 7_200).unwrap();
    done(
        &daemon,
        "schedules/DR-A/open",
        json!({ "sessions": [{ "from": soon.to_string(), "until": (soon + jiff::Span::new().hours(1)).to_string(), "slot_minutes": 30, "places": 1, "overbooking": 0, "walk_ins": 0 }] }),
    );
    let slots = found(&daemon, "Slot?status=free");
    let slot = json!([{ "reference": format!("Slot/{}", slots[0]["id"].as_str().unwrap()) }]);
    let participant = json!([{ "actor": subject, "status": "accepted" }]);
    let (status, _, mut booked) =
        send(&daemon, "POST", "Appointment", &[], &json!({ "resourceType": "Appointment", "status": "booked", "slot": slot, "participant": participant }));
    assert_eq!((status, booked["status"].as_str()), (201, Some("booked")), "{booked}");
    let other = json!([{ "actor": { "reference": "Patient/P77" }, "status": "accepted" }]);
    assert_eq!(
        send(&daemon, "POST", "Appointment", &[], &json!({ "resourceType": "Appointment", "status": "booked", "slot": slot, "participant": other })).0,
        409,
        "the slot is full"
    );
    (booked["status"], booked["cancelationReason"]) = ("cancelled".into(), json!({ "text": "ill" }));
    let (status, _, booked) = send(&daemon, "PUT", &format!("Appointment/{}", booked["id"].as_str().unwrap()), &[], &booked);
    assert_eq!((status, booked["status"].as_str()), (200, Some("cancelled")), "{booked}");
    for (method, path, body, expected) in [
        ("POST", "AuditEvent", json!({ "resourceType": "AuditEvent" }), 422),
        ("PUT", "AuditEvent/1", json!({ "resourceType": "AuditEvent", "id": "1" }), 405),
        ("DELETE", "Patient/P77", json!({}), 405),
        ("POST", "Patient", json!({ "resourceType": "Group" }), 400),
        ("POST", "Condition", json!({ "resourceType": "Condition", "subject": { "reference": "Patient/nobody" }, "code": coded("http://hl7.org/fhir/sid/icd-10", "E11.9") }), 422),
    ] {
        let (status, _, answer) = send(&daemon, method, path, &[], &body);
        assert_eq!((status, answer["resourceType"].as_str()), (expected, Some("OperationOutcome")), "{method} {path}: {answer}");
    }
    assert_eq!(faults(&[get(&daemon, &format!("Patient/{id}")), taken, payer, booked, get(&daemon, "metadata")]), Vec::<String>::new());
}

#[test]
fn a_transaction_happens_as_a_whole_or_not_at_all() {
    let site = Site::with("", WARD);
    let daemon = site.start();
    let entry = |url: &str, kind: &str, resource: Value| json!({ "fullUrl": url, "resource": resource, "request": { "method": "POST", "url": kind } });
    let stay = |subject: &str, bed: &str| json!({ "resourceType": "Encounter", "status": "in-progress", "class": { "code": "IMP" }, "subject": { "reference": subject }, "location": [{ "location": { "reference": format!("Location/ICU.3a1.3a{bed}") } }] });
    let problem = |subject: &str| json!({ "resourceType": "Condition", "subject": { "reference": subject }, "encounter": { "reference": "urn:uuid:s" }, "code": { "coding": [{ "system": "http://hl7.org/fhir/sid/icd-10", "code": "I10" }], "text": "Hypertension" } });
    // Given in any order: who is referred to comes first.
    let bundle = |bed: &str, second: Value| {
        json!({ "resourceType": "Bundle", "type": "transaction", "entry": [
            entry("urn:uuid:c", "Condition", problem("urn:uuid:p")), entry("urn:uuid:s", "Encounter", stay("urn:uuid:p", bed)), entry("urn:uuid:p", "Patient", jane("Doe")), second,
        ] })
    };
    let search = json!({ "request": { "method": "GET", "url": "Patient?family=Doe" } });
    let (status, _, answer) = send(&daemon, "POST", "", &[], &bundle("A", search.clone()));
    assert_eq!((status, answer["type"].as_str()), (200, Some("transaction-response")), "{answer}");
    let location = |at: usize| answer["entry"][at]["response"]["location"].as_str().unwrap_or_default().to_owned();
    assert!(location(0).starts_with("Condition/") && location(1).starts_with("Encounter/") && location(2).starts_with("Patient/"), "{answer}");
    assert_eq!(answer["entry"][3]["resource"]["total"], 1, "what is read is read after what is written");
    assert_eq!(get(&daemon, &location(0))["encounter"]["reference"].as_str(), location(1).split("/_history").next());
    assert_eq!(faults(std::slice::from_ref(&answer)), Vec::<String>::new());
    // A second patient for the same bed: refused, and neither patient nor problem is there.
    let mut roe = bundle("A", search);
    roe["entry"][2]["resource"] = json!({ "resourceType": "Patient", "name": [{ "family": "Roe" }] });
    let (status, _, refused) = send(&daemon, "POST", "", &[], &roe);
    assert_eq!((status, refused["issue"][0]["expression"][0].as_str()), (409, Some("Bundle.entry[1]")), "{refused}");
    assert!(refused["issue"][0]["details"]["text"].as_str().unwrap().contains("nothing of the transaction was done"));
    assert_eq!(found(&daemon, "Patient?family=Roe"), Vec::<Value>::new());
    // A batch does what it can, each for itself.
    let batch = json!({ "resourceType": "Bundle", "type": "batch", "entry": [
        { "resource": { "resourceType": "Patient", "name": [{ "family": "Poe" }] }, "request": { "method": "POST", "url": "Patient", "ifNoneExist": "family=Poe" } },
        { "resource": { "resourceType": "Patient", "gender": "x" }, "request": { "method": "POST", "url": "Patient" } },
        { "request": { "method": "GET", "url": "Patient/nobody" } },
    ] });
    let (status, _, answer) = send(&daemon, "POST", "", &[], &batch);
    let statuses: Vec<&str> = answer["entry"].as_array().unwrap().iter().map(|entry| &entry["response"]["status"].as_str().unwrap()[..3]).collect();
    assert_eq!((status, statuses), (200, vec!["201", "422", "404"]), "{answer}");
    assert_eq!(answer["entry"][1]["response"]["outcome"]["resourceType"], "OperationOutcome");
    // The same request again, by its key, is answered and not done twice.
    let key = [("Idempotency-Key", "b1")];
    let smith = json!({ "resourceType": "Bundle", "type": "transaction", "entry": [entry("urn:uuid:p", "Patient", json!({ "resourceType": "Patient", "name": [{ "family": "Smith" }] }))] });
    let (first, again) = (send(&daemon, "POST", "", &key, &smith), send(&daemon, "POST", "", &key, &smith));
    assert_eq!((first.0, again.0), (200, 200), "{} {}", first.2, again.2);
    assert_eq!(found(&daemon, "Patient?family=Smith").len(), 1);
}

/// Found in review: a repetition named other people's ids, and a read that failed hid that all was written.
#[test]
fn what_is_repeated_is_answered_as_the_first_time_and_conditions_hold_for_several_at_once() {
    let site = Site::with("", WARD);
    let daemon = site.start();
    let patient =
        |family: &str| json!({ "resourceType": "Patient", "identifier": [{ "system": "urn:x", "value": family }], "name": [{ "family": family }], "birthDate": "1980-01-02" });
    let entry = |family: &str, condition: bool| {
        let mut request = json!({ "method": "POST", "url": "Patient" });
        if condition {
            request["ifNoneExist"] = format!("identifier=urn:x|{family}").into();
        }
        json!({ "fullUrl": format!("urn:uuid:{family}"), "resource": patient(family), "request": request })
    };
    let stay = json!({ "resource": { "resourceType": "Encounter", "status": "in-progress", "class": { "code": "AMB" }, "subject": { "reference": "urn:uuid:Abel" } },
        "request": { "method": "POST", "url": "Encounter" } });
    let problem = |condition: &str| {
        let resource = json!({ "resourceType": "Condition", "subject": { "reference": "urn:uuid:Abel" }, "code": { "coding": [{ "system": "http://hl7.org/fhir/sid/icd-10", "code": "I10" }], "text": condition } });
        json!({ "resource": resource, "request": { "method": "POST", "url": "Condition" } })
    };
    let bundle = json!({ "resourceType": "Bundle", "type": "transaction", "entry": [
        entry("Abel", true), entry("Baker", false), stay, problem("one"), { "request": { "method": "GET", "url": "Patient/nobody" } },
    ] });
    let key = [("Idempotency-Key", "k")];
    let (first, again) = (send(&daemon, "POST", "", &key, &bundle), send(&daemon, "POST", "", &key, &bundle));
    assert_eq!((first.0, again.0), (200, 200), "{} {}", first.2, again.2);
    let places = |answer: &Value| -> Vec<String> {
        (0..4).map(|at| answer["entry"][at]["response"]["location"].as_str().unwrap_or_default().split("/_history").next().unwrap().to_owned()).collect()
    };
    assert_eq!(places(&first.2), places(&again.2));
    for (at, family) in [(0, "Abel"), (1, "Baker")] {
        assert_eq!(get(&daemon, &places(&again.2)[at])["name"][0]["family"], family);
    }
    assert_eq!(get(&daemon, &places(&again.2)[2])["status"], "in-progress");
    assert!(first.2["entry"][4]["response"]["status"].as_str().unwrap().starts_with("404"), "{}", first.2);
    assert_eq!(found(&daemon, "Patient?birthdate=1980-01-02").len(), 2);
    // What cannot be read at all is told before anything is done.
    let unread = json!({ "resourceType": "Bundle", "type": "transaction", "entry": [entry("Never", false), { "request": { "method": "GET", "url": "Patient?what=x" } }] });
    assert_eq!(send(&daemon, "POST", "", &[], &unread).0, 400);
    assert_eq!(found(&daemon, "Patient?family=Never").len(), 0);
    let twice = json!({ "resourceType": "Bundle", "type": "transaction", "entry": [entry("Twice", true), entry("Twice", true)] });
    assert_eq!(send(&daemon, "POST", "", &[], &twice).0, 400);
    // The same request again meets itself, and is not told that somebody may be the same person.
    let key = [("Idempotency-Key", "p")];
    let (first, again) = (send(&daemon, "POST", "Patient", &key, &patient("Coe")), send(&daemon, "POST", "Patient", &key, &patient("Coe")));
    assert_eq!((first.0, again.0, first.2["id"].clone()), (201, 201, again.2["id"].clone()), "{} {}", first.2, again.2);
    // Eight at once with one condition make one.
    let daemon = &daemon;
    std::thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| assert!(send(daemon, "POST", "Patient", &[("If-None-Exist", "identifier=urn:x|Dow")], &patient("Dow")).0 < 300));
        }
    });
    assert_eq!(found(daemon, "Patient?family=Dow").len(), 1);
    // A death at its time, which is in the past.
    let id = first.2["id"].as_str().unwrap();
    let mut dead = patient("Coe");
    dead["deceasedDateTime"] = "2026-01-02T03:04:05Z".into();
    let (status, _, told) = send(daemon, "PUT", &format!("Patient/{id}"), &[], &dead);
    assert_eq!((status, told["deceasedDateTime"].as_str()), (200, Some("2026-01-02T03:04:05.000000Z")), "{told}");
    dead["deceasedDateTime"] = "2026-01-01T00:00:00Z".into();
    assert_eq!(send(daemon, "PUT", &format!("Patient/{id}"), &[], &dead).0, 422);
}

#[test]
fn the_scopes_of_a_token_limit_what_of_fhir_it_reads_and_writes() {
    use crate::access::{found, program};
    let site = Site::with("", "[access]\n");
    let daemon = site.start();
    let (boss, _) = found(&site, &daemon);
    let clerk = program(&boss, "clerk", "registration", json!({}));
    let registered = json!({ "mrn": "77", "person": { "name": { "family": "Doe" } }, "confirm_new": true });
    clerk.done("/api/v1/patients", registered);
    clerk.done("/api/v1/patients/77/admit", json!({ "bed": "MED1:101:A" }));
    let monitor = program(&boss, "monitor", "nurse", json!({ "scope_of_fhir": "system/Observation.* system/Patient.rs" }));
    let sign = json!({ "resourceType": "Observation", "status": "final", "subject": { "reference": "Patient/77" }, "code": coded("http://loinc.org", "8867-4"),
        "valueQuantity": { "value": 71, "system": "http://unitsofmeasure.org", "code": "/min" } });
    let allergy = json!({ "resourceType": "AllergyIntolerance", "patient": { "reference": "Patient/77" }, "code": { "text": "latex" } });
    for (method, path, body, status, text) in [
        ("POST", "/fhir/R4/Observation", Some(sign.clone()), 201, "71"),
        ("GET", "/fhir/R4/Observation?patient=77", None, 200, "71"),
        ("GET", "/fhir/R4/Patient/77", None, 200, "Doe"),
        // Its role would permit it, and its scopes do not.
        ("POST", "/fhir/R4/AllergyIntolerance", Some(allergy), 403, "system/AllergyIntolerance.write"),
        ("GET", "/fhir/R4/AllergyIntolerance?patient=77", None, 403, "system/AllergyIntolerance.read"),
        ("GET", "/fhir/R4/Patient/77/$everything", None, 403, ""),
        ("GET", "/api/v1/patients/77", None, 403, "good for /fhir/R4 alone"),
        ("GET", "/beds", None, 403, "good for /fhir/R4 alone"),
        ("PUT", "/fhir/R4/Patient/77", Some(json!({ "resourceType": "Patient", "name": [{ "family": "Roe" }] })), 403, "system/Patient.write"),
    ] {
        let (found, answer) = monitor.ask(method, path, body);
        assert_eq!(found, status, "{method} {path}: {answer}");
        assert!(answer.to_string().contains(text), "{method} {path}: {answer}");
    }
    // No scope gives what the role does not: a registration is not a nurse's.
    let wide = program(&boss, "wide", "nurse", json!({ "scope_of_fhir": "system/*.*" }));
    assert_eq!(wide.ask("PUT", "/fhir/R4/Patient/77", Some(json!({ "resourceType": "Patient", "name": [{ "family": "Roe" }] }))).0, 403);
    let (status, refused) = boss.ask("POST", "/api/v1/users/wide/issue-token", Some(json!({ "scope_of_fhir": "patient/*.read" })));
    assert_eq!(status, 400, "{refused}");
    assert!(refused["detail"].as_str().unwrap().contains("no patient is chosen"), "{refused}");
}
