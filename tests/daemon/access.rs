//! Who may do what, through the real binary: the first user, signing in, the matrix of rights, emergencies, witnesses, the audit.

use std::io::{Read, Write};

use serde_json::{Value, json};

use crate::harness::{Daemon, Site, count, has, wardctl_as};

/// A house that asks who somebody is, with two wards.
const HOUSE: &str = "[access]\nstations = [{ id = \"S1\", idle_minutes = 3, addresses = [\"127.0.0.1\"] }, { id = \"S2\", addresses = [\"192.0.2.9\"] }]\n[[wards]]\nid = \"ICU\"\nname = \"Intensive care\"\nbeds = [\"1:A\", \"1:B\"]\n";
const PASSWORD: &str = "correct horse battery";

/// The code of a second factor now, by Python's own HMAC.
fn code(key: &str) -> String {
    const PROGRAM: &str = "import base64, hashlib, hmac, struct, sys, time
digest = hmac.new(base64.b32decode(sys.argv[1]), struct.pack('>Q', int(time.time()) // 30), hashlib.sha1).digest()
at = digest[-1] & 15
print('%06d' % ((struct.unpack('>I', digest[at:at + 4])[0] & 0x7fffffff) % 1000000))";
    let output = std::process::Command::new(has("python3").unwrap()).args(["-c", PROGRAM, key]).output().unwrap();
    String::from_utf8(output.stdout).unwrap().trim().to_owned()
}

/// Somebody at a desk.
pub struct Desk<'a> {
    daemon: &'a Daemon,
    token: String,
}

impl Desk<'_> {
    pub fn ask(&self, method: &str, path: &str, body: Option<Value>) -> (u16, Value) {
        self.daemon.ask(method, path, body.as_ref(), &format!("Authorization: Bearer {}\r\n", self.token))
    }

    /// The same with an Idempotency-Key.
    pub fn keyed(&self, method: &str, path: &str, body: &Value, key: &str) -> (u16, Value) {
        self.daemon.ask(method, path, Some(body), &format!("Authorization: Bearer {}\r\nIdempotency-Key: {key}\r\n", self.token))
    }

    pub fn get(&self, path: &str) -> Value {
        let (status, answer) = self.ask("GET", path, None);
        assert_eq!(status, 200, "{path}: {answer}");
        answer
    }

    pub fn done(&self, path: &str, body: Value) -> Value {
        let (status, answer) = self.ask("POST", path, Some(body));
        assert!(status < 300, "{path}: {status} {answer}");
        answer
    }

    fn refused(&self, method: &str, path: &str, body: Option<Value>, kind: &str) {
        let (status, answer) = self.ask(method, path, body);
        assert_eq!((status, answer["type"].as_str()), (403, Some(format!("urn:wardd:problem:{kind}").as_str())), "{path}: {answer}");
    }
}

fn sign_in<'a>(daemon: &'a Daemon, body: &Value) -> Result<Desk<'a>, (u16, String)> {
    match daemon.post("/api/v1/session", body.clone()) {
        (200, answer) => Ok(Desk { daemon, token: answer["token"].as_str().unwrap().to_owned() }),
        (status, answer) => Err((status, answer["type"].as_str().unwrap_or_default().rsplit(':').next().unwrap().to_owned())),
    }
}

fn with_password<'a>(daemon: &'a Daemon, user: &str, password: &str) -> Result<Desk<'a>, (u16, String)> {
    sign_in(daemon, &json!({ "user": user, "password": password }))
}

/// The first user, with a second factor; the code that they signed in with.
pub fn found<'a>(site: &Site, daemon: &'a Daemon) -> (Desk<'a>, String) {
    let config = site.folder.join("wardd.toml");
    let output = wardctl_as(&site.folder, &["init", "--config", config.to_str().unwrap()], "");
    let said = String::from_utf8(output.stdout).unwrap();
    let secret = said.lines().find(|line| line.starts_with("    ") && !line.contains("wardctl")).unwrap().trim().to_owned();
    let first = json!({ "secret": secret, "user": "ada", "name": "Ada", "password": PASSWORD });
    assert_eq!(daemon.post("/api/v1/first-run", first).0, 201);
    let limited = with_password(daemon, "ada", PASSWORD).unwrap();
    limited.refused("GET", "/api/v1/users", None, "duty");
    let new = limited.done("/api/v1/me/second-factor", json!({ "current_password": PASSWORD }));
    let key = new["key"].as_str().unwrap().to_owned();
    limited.done("/api/v1/me/second-factor", json!({ "current_password": PASSWORD, "key": key, "code": code(&key) }));
    assert_eq!(with_password(daemon, "ada", PASSWORD).err(), Some((401, "code_needed".to_owned())));
    let code = code(&key);
    (sign_in(daemon, &json!({ "user": "ada", "password": PASSWORD, "code": code })).unwrap(), code)
}

/// Adds somebody with a role, who sets their own password and is signed in.
pub fn staff<'a>(boss: &Desk<'a>, name: &str, roles: &[(&str, &str)]) -> Desk<'a> {
    boss.done("/api/v1/users", json!({ "user": name, "name": name.to_uppercase() }));
    boss.done(&format!("/api/v1/users/{name}/set-password"), json!({ "password": "a first password" }));
    for (role, scope) in roles {
        boss.done(&format!("/api/v1/users/{name}/grant"), json!({ "role": role, "scope": scope }));
    }
    let desk = with_password(boss.daemon, name, "a first password").unwrap();
    desk.refused("GET", "/api/v1/beds", None, "duty");
    desk.done("/api/v1/me/password", json!({ "current_password": "a first password", "password": PASSWORD }));
    desk
}

/// A program with a role.
pub fn program<'a>(boss: &Desk<'a>, name: &str, role: &str, limits: Value) -> Desk<'a> {
    boss.done("/api/v1/users", json!({ "user": name, "name": name, "kind": "program" }));
    boss.done(&format!("/api/v1/users/{name}/grant"), json!({ "role": role }));
    let issued = boss.done(&format!("/api/v1/users/{name}/issue-token"), limits);
    Desk { daemon: boss.daemon, token: issued["token"].as_str().unwrap().to_owned() }
}

#[test]
fn nobody_is_let_in_before_the_first_user_and_that_one_is_made_once() {
    let site = Site::with("", HOUSE);
    let daemon = site.start();
    for (path, status) in [
        ("/api/v1/beds", 401),
        ("/api/v1/users", 401),
        ("/metrics", 401),
        ("/", 303),
        ("/events", 401),
        ("/healthz", 200),
        ("/readyz", 200),
        ("/login", 200),
        ("/api/v1/openapi.json", 200),
    ] {
        assert_eq!(daemon.raw("GET", path, None, "").0, status, "{path}");
    }
    let first = |secret: &str, user: &str, password: &str| daemon.post("/api/v1/first-run", json!({ "secret": secret, "user": user, "name": "A", "password": password })).0;
    assert_eq!(first("guess", "ada", PASSWORD), 403);
    let (boss, code) = found(&site, &daemon);
    assert!(!site.data().join("first-run").exists(), "the secret is used up");
    assert_eq!(first("guess", "eve", PASSWORD), 403);
    // Also a new secret makes no second first user.
    let said = String::from_utf8(wardctl_as(&site.folder, &["init", "--config", site.folder.join("wardd.toml").to_str().unwrap()], "").stdout).unwrap();
    let secret = said.lines().find(|line| line.starts_with("    ") && !line.contains("wardctl")).unwrap().trim().to_owned();
    assert_eq!(first(&secret, "eve", "short"), 422);
    assert_eq!(first(&secret, "eve", PASSWORD), 409);
    // A code is good once.
    assert_eq!(boss.get("/api/v1/session")["user"], "ada");
    boss.ask("DELETE", "/api/v1/session", None);
    assert_eq!(boss.ask("GET", "/api/v1/session", None).0, 401);
    assert_eq!(sign_in(&daemon, &json!({ "user": "ada", "password": PASSWORD, "code": code })).err(), Some((403, "code_used".to_owned())));
    daemon.terminate();
    let events = site.events();
    assert!(count(&events, "SignedIn") >= 2 && count(&events, "SignedOut") == 1);
    assert!(!events.iter().any(|event| event.to_string().contains(PASSWORD)), "no password is written");
}

/// Every operation: method, path, body, and the permission that it needs; `own` needs a session and nothing more.
fn operations() -> Vec<(&'static str, String, Option<Value>, &'static str)> {
    let mut all = Vec::new();
    for (path, permission) in [
        ("/metrics", "ops.metrics"),
        ("/api/v1/specimens", "lab.view"),
        ("/api/v1/specimens/1", "lab.view"),
        ("/api/v1/cabinets", "cabinet.view"),
        ("/api/v1/cabinets/CAB1", "cabinet.view"),
        ("/api/v1/beds", "bed.view"),
        ("/api/v1/beds/ICU:1:A", "bed.view"),
        ("/api/v1/housekeeping", "bed.clean"),
        ("/api/v1/patients?name=doe", "patient.find"),
        ("/api/v1/patients/77", "patient.view"),
        ("/api/v1/patients/77/chart", "patient.view"),
        ("/api/v1/patients/77/vitals", "patient.view"),
        ("/api/v1/patients/77/growth", "patient.view"),
        ("/api/v1/patients/77/ccd.xml", "patient.view"),
        ("/patients/77", "patient.view"),
        ("/patients/77/forms/braden", "chart.write-notes"),
        ("/patients", "patient.find"),
        ("/api/v1/patients/77/tasks", "patient.view"),
        ("/api/v1/patients/77/documents/1", "patient.view"),
        ("/patients/77/notes/1", "patient.view"),
        ("/api/v1/wards/ICU/tasks", "task.do"),
        ("/wards/ICU/tasks", "task.do"),
        ("/api/v1/forms", "chart.write-notes"),
        ("/api/v1/directory", "bed.view"),
        ("/api/v1/emergency-department", "stay.triage"),
        ("/emergency", "stay.triage"),
        ("/api/v1/reports/census", "report.view"),
        ("/api/v1/alerts", "vitals.take-alerts"),
        ("/api/v1/patients/77/appointments", "schedule.view"),
        ("/api/v1/schedules", "schedule.view"),
        ("/api/v1/schedules/DR-A", "schedule.view"),
        ("/api/v1/schedules/DR-A/calendar.ics", "schedule.view"),
        ("/schedules/DR-A/display", "schedule.view"),
        ("/api/v1/encounters/enc_7", "patient.view"),
        ("/api/v1/accounts", "account.view"),
        ("/api/v1/accounts/77", "account.view"),
        ("/api/v1/devices", "device.view"),
        ("/api/v1/tags", "device.view"),
        ("/api/v1/summary", "device.view"),
        ("/api/v1/quarantine", "quarantine.view"),
        ("/api/v1/quarantine/x", "quarantine.view"),
        ("/api/v1/users", "user.view"),
        ("/api/v1/users/ada", "user.view"),
        ("/api/v1/emergencies", "emergency.review"),
        ("/api/v1/audit?patient=77", "audit.view"),
        ("/", "own"),
        ("/api/v1/session", "own"),
    ] {
        all.push(("GET", path.to_owned(), None, permission));
    }
    // What fits every action of its kind, so that only the rights decide.
    let of_patient = json!({ "person": {}, "with": "78", "allergy": { "substance": "x", "category": "food" }, "substance": "x", "reason": "r", "bed": "ICU:1:A", "encounter": "enc_7", "class": "inpatient", "mother": "78", "expected": "2027-01-01T00:00:00Z", "clearance": "clinical", "place": "X-ray", "level": 2, "text": "x", "guarantor": { "name": "x" }, "companion": { "name": "x", "relation": "mother" } });
    for (action, permission) in [
        ("update", "patient.register"),
        ("merge", "patient.merge"),
        ("erase", "patient.erase"),
        ("unmerge", "patient.merge"),
        ("record-allergy", "chart.record-allergies"),
        ("refute-allergy", "chart.record-allergies"),
        ("no-known-allergies", "chart.record-allergies"),
        ("restrict", "patient.restrict"),
        ("lift-restriction", "patient.restrict"),
        ("plan", "stay.admit"),
        ("cancel-plan", "stay.admit"),
        ("admit", "stay.admit"),
        ("cancel-admission", "stay.admit"),
        ("request-transfer", "stay.transfer"),
        ("accept-transfer", "stay.transfer"),
        ("cancel-transfer", "stay.transfer"),
        ("move", "stay.transfer"),
        ("move-back", "stay.transfer"),
        ("swap", "stay.transfer"),
        ("depart", "stay.transfer"),
        ("arrive", "stay.transfer"),
        ("move-stay", "patient.merge"),
        ("change-class", "stay.transfer"),
        ("begin-leave", "stay.transfer"),
        ("end-leave", "stay.transfer"),
        ("lodge-companion", "stay.transfer"),
        ("companion-leaves", "stay.transfer"),
        ("expect-end", "stay.transfer"),
        ("triage", "stay.triage"),
        ("begin-treatment", "stay.triage"),
        ("name-guarantor", "stay.admit"),
        ("clear", "stay.clear-clinical"),
        ("discharge", "stay.discharge"),
        ("cancel-discharge", "stay.discharge"),
        ("record-death", "stay.record-death"),
        ("withdraw-death", "stay.record-death"),
    ] {
        all.push(("POST", format!("/api/v1/patients/77/{action}"), Some(of_patient.clone()), permission));
    }
    let of_chart = json!({ "code": "8867-4", "text": "x", "reason": "r", "encounter": "enc_7", "number": 1, "version": 1, "measured": "2026-01-01T00:00:00Z", "low": "1", "meaning": "author", "vaccine": { "code": "03", "text": "MMR", "on": "2026-01-01", "elsewhere": true }, "illness": { "relation": "mother", "text": "x" }, "referral": { "to": "x", "question": "y" }, "answer": "z", "readings": [{ "code": "8867-4", "value": "72", "unit": "/min" }] });
    for (action, permission) in [
        ("record-problem", "chart.record-problems"),
        ("resolve-problem", "chart.record-problems"),
        ("reopen-problem", "chart.record-problems"),
        ("refute-problem", "chart.record-problems"),
        ("write-note", "chart.write-notes"),
        ("amend-note", "chart.write-notes"),
        ("sign-note", "chart.write-notes"),
        ("withdraw-note", "chart.write-notes"),
        ("record-immunisation", "chart.record-immunisations"),
        ("withdraw-immunisation", "chart.record-immunisations"),
        ("record-family-illness", "chart.record-family"),
        ("withdraw-family-illness", "chart.record-family"),
        ("refer", "chart.refer"),
        ("answer-referral", "chart.refer"),
        ("decline-referral", "chart.refer"),
        ("cancel-referral", "chart.refer"),
        ("begin-programme", "chart.record-problems"),
        ("finish-programme", "chart.record-problems"),
        ("refute-programme", "chart.record-problems"),
        ("withdraw-document", "chart.file-documents"),
        ("record-vitals", "vitals.record"),
        ("withdraw-reading", "vitals.record"),
        ("withdraw-fluid", "vitals.record"),
        ("set-limits", "vitals.set-limits"),
        ("lift-limits", "vitals.set-limits"),
        ("take-alert", "vitals.take-alerts"),
    ] {
        let mut body = of_chart.clone();
        if action == "record-problem" {
            body["code"] = "I10".into();
        }
        all.push(("POST", format!("/api/v1/patients/77/chart/{action}"), Some(body), permission));
    }
    let of_task = json!({ "plan": { "title": "x", "when": "as_needed" }, "number": 1, "title": "x", "on_word_of": "y", "reason": "r" });
    for (action, permission) in
        [("plan", "task.plan"), ("stop", "task.plan"), ("done", "task.do"), ("not-done", "task.do"), ("done-in-emergency", "task.do"), ("acknowledge", "task.acknowledge")]
    {
        all.push(("POST", format!("/api/v1/patients/77/tasks/{action}"), Some(of_task.clone()), permission));
    }
    let listing = json!({ "entry": { "kind": "place", "name": "Theatre 1" } });
    all.push(("POST", "/api/v1/directory".to_owned(), Some(listing.clone()), "directory.manage"));
    all.push(("POST", "/api/v1/directory/none".to_owned(), Some(listing), "directory.manage"));
    all.push(("POST", "/api/v1/patients/77/documents?title=x".to_owned(), Some(json!({})), "chart.file-documents"));
    all.push(("POST", "/api/v1/holidays".to_owned(), Some(json!({ "from": "2030-12-25T00:00:00Z", "until": "2030-12-26T00:00:00Z", "reason": "Christmas" })), "schedule.manage"));
    all.push(("GET", "/api/v1/patients/77/photo".to_owned(), None, "patient.view"));
    all.push(("POST", "/api/v1/patients/77/photo".to_owned(), Some(json!({})), "patient.register"));
    all.push(("DELETE", "/api/v1/patients/77/photo".to_owned(), None, "patient.register"));
    all.push(("POST", "/api/v1/patients/77/print-wristband".to_owned(), Some(json!({})), "patient.print-wristband"));
    let of_schedule = json!({ "number": 1, "patient": "77", "start": "2026-01-01T00:00:00Z", "from": "2026-01-01T00:00:00Z", "until": "2026-01-02T00:00:00Z", "reason": "r", "session": 1, "reference": "r" });
    for (action, permission) in [
        ("open", "schedule.manage"),
        ("close", "schedule.manage"),
        ("reopen", "schedule.manage"),
        ("withdraw", "schedule.manage"),
        ("hold", "schedule.book"),
        ("confirm", "schedule.book"),
        ("refund", "account.pay"),
        ("book", "schedule.book"),
        ("move", "schedule.book"),
        ("cancel", "schedule.book"),
        ("miss", "schedule.call"),
        ("check-in", "schedule.call"),
        ("walk-in", "schedule.call"),
        ("call-next", "schedule.call"),
        ("fulfil", "schedule.call"),
    ] {
        all.push(("POST", format!("/api/v1/schedules/DR-A/{action}"), Some(of_schedule.clone()), permission));
    }
    all.push(("POST", "/api/v1/schedules".to_owned(), Some(json!({ "schedule": "DR-B", "name": "x", "of": "room" })), "schedule.manage"));
    for (clearance, permission) in [("nursing", "stay.clear-nursing"), ("pharmacy", "stay.clear-pharmacy"), ("billing", "stay.clear-billing")] {
        all.push(("POST", "/api/v1/patients/77/clear".to_owned(), Some(json!({ "clearance": clearance })), permission));
    }
    for (action, permission) in [
        ("admit", "stay.admit"),
        ("discharge", "stay.discharge"),
        ("cancel", "stay.admit"),
        ("block", "bed.block"),
        ("unblock", "bed.block"),
        ("clean", "bed.clean"),
        ("isolate", "bed.isolate"),
        ("end-isolation", "bed.isolate"),
    ] {
        all.push(("POST", format!("/api/v1/beds/ICU:1:B/{action}"), Some(json!({ "patient": "77", "reason": "r" })), permission));
    }
    let of_cabinet = json!({ "pocket": "1-1", "quantity": "1", "patient": "77", "withdrawal": 1, "lot": "L", "expires": "2029-01-01", "explanation": "e" });
    for (action, permission) in [
        ("load", "cabinet.stock"),
        ("unload", "cabinet.stock"),
        ("vend", "cabinet.dispense"),
        ("cancel", "cabinet.dispense"),
        ("give", "cabinet.dispense"),
        ("return", "cabinet.dispense"),
        ("waste", "cabinet.waste"),
        ("count", "cabinet.count"),
        ("resolve", "cabinet.resolve"),
    ] {
        all.push(("POST", format!("/api/v1/cabinets/CAB1/{action}"), Some(of_cabinet.clone()), permission));
    }
    for (action, permission) in [("collect", "lab.collect"), ("receive", "lab.receive"), ("add-tests", "lab.order")] {
        all.push(("POST", format!("/api/v1/specimens/1/{action}"), Some(json!({ "tests": ["718-7"] })), permission));
    }
    for action in ["retry", "discard", "bind"] {
        all.push(("POST", format!("/api/v1/quarantine/x/{action}"), Some(json!({ "because": "b", "accession": "1" })), "quarantine.resolve"));
    }
    for action in ["pay", "settle", "deposit", "return-deposit"] {
        all.push(("POST", format!("/api/v1/accounts/77/{action}"), Some(json!({ "amount": "1", "currency": "USD", "tender": "cash", "number": 1, "reason": "r" })), "account.pay"));
    }
    for action in
        ["rename", "set-password", "set-badge", "take-badge", "set-pin", "take-second-factor", "grant", "revoke", "disable", "enable", "unlock", "issue-token", "revoke-token"]
    {
        all.push(("POST", format!("/api/v1/users/nobody/{action}"), Some(json!({ "role": "nurse", "reason": "r", "badge": "b-1", "token": "t" })), "user.manage"));
    }
    all.push(("POST", "/api/v1/users".to_owned(), Some(json!({ "user": "ada", "name": "again" })), "user.manage"));
    all.push(("POST", "/api/v1/patients".to_owned(), Some(json!({ "mrn": "77", "person": {} })), "patient.register"));
    all.push(("POST", "/api/v1/lab-orders".to_owned(), Some(json!({ "patient": { "mrn": "77" }, "tests": ["9999-4"] })), "lab.order"));
    all.push(("POST", "/api/v1/emergencies".to_owned(), Some(json!({ "patient": "77", "reason": "" })), "emergency.open"));
    all.push(("POST", "/api/v1/emergencies/ada/x".to_owned(), Some(json!({ "is_justified": true })), "emergency.review"));
    all
}

/// What may be asked by FHIR of each kind, and the permission that it needs.
fn of_fhir() -> Vec<(&'static str, String, Option<Value>, &'static str)> {
    let mut all = Vec::new();
    let of_patient = ["RelatedPerson", "Coverage", "AllergyIntolerance", "Condition", "Encounter", "EpisodeOfCare", "Provenance", "Observation"];
    all.extend(of_patient.map(|kind| ("GET", format!("{kind}?patient=77"), None, "patient.view")));
    for (path, permission) in [
        ("Patient?family=doe", "patient.find"),
        ("Patient/77", "patient.view"),
        ("Patient/77/_history", "patient.view"),
        ("Patient/77/$everything", "patient.view"),
        ("Practitioner", "user.view"),
        ("PractitionerRole", "user.view"),
        ("Organization", "bed.view"),
        ("Location", "bed.view"),
        ("Device", "device.view"),
        ("Schedule", "schedule.view"),
        ("Slot", "schedule.view"),
        ("Appointment?patient=77", "schedule.view"),
        ("AuditEvent?patient=77", "audit.view"),
        ("AuditEvent/1", "audit.view"),
        ("Subscription", "subscription.manage"),
    ] {
        all.push(("GET", path.to_owned(), None, permission));
    }
    let subject = json!({ "reference": "Patient/77" });
    let coded = |system: &str, code: &str| json!({ "coding": [{ "system": system, "code": code }], "text": "x" });
    for (kind, body, permission) in [
        ("Patient", json!({ "name": [{ "family": "Doe" }] }), "patient.register"),
        ("AllergyIntolerance", json!({ "patient": subject, "code": { "text": "latex" } }), "chart.record-allergies"),
        ("Condition", json!({ "subject": subject, "code": coded("http://hl7.org/fhir/sid/icd-10", "I10") }), "chart.record-problems"),
        (
            "AuditEvent",
            json!({ "type": { "code": "rest" }, "recorded": "2026-01-05T10:00:00Z", "agent": [{ "name": "x", "requestor": true }], "source": { "observer": { "display": "x" } }, "entity": [{ "what": subject }] }),
            "audit.tell",
        ),
        ("Provenance", json!({ "target": [subject], "recorded": "2026-01-05T10:00:00Z", "agent": [{ "who": { "display": "x" } }] }), "audit.tell"),
        ("Encounter", json!({ "subject": subject, "status": "in-progress", "class": { "code": "AMB" } }), "stay.admit"),
        (
            "Observation",
            json!({ "subject": subject, "status": "final", "code": coded("http://loinc.org", "8867-4"), "effectiveDateTime": "2026-11-20T10:00:00Z", "valueQuantity": { "value": 72, "code": "/min", "system": "http://unitsofmeasure.org" } }),
            "vitals.record",
        ),
    ] {
        let mut resource = body;
        resource["resourceType"] = kind.into();
        all.push(("POST", kind.to_owned(), Some(resource), permission));
    }
    all
}

#[test]
fn the_matrix_of_fhir_every_kind_needs_its_permission_and_nothing_else() {
    let site = Site::with("", HOUSE);
    let daemon = site.start();
    let (boss, _) = found(&site, &daemon);
    let roles: toml::Table = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/config/roles.toml")).unwrap().parse().unwrap();
    let (mut allowed, mut refused) = (0, 0);
    for (role, table) in &roles {
        let permits: Vec<&str> = table["permissions"].as_array().unwrap().iter().map(|permission| permission.as_str().unwrap()).collect();
        let desk = program(&boss, &format!("as-{role}"), role, json!({}));
        for (method, path, body, permission) in of_fhir() {
            let (status, answer) = desk.ask(method, &format!("/fhir/R4/{path}"), body);
            let is_refused = status == 403 && answer["issue"][0]["details"]["text"].as_str().is_some_and(|text| text.starts_with("none of your roles permits this"));
            assert_eq!(is_refused, !permits.contains(&permission), "{role}: {method} {path} needs {permission}: {status} {answer}");
            assert!(status != 401 && status < 500, "{role}: {method} {path}: {status} {answer}");
            if is_refused { refused += 1 } else { allowed += 1 }
        }
    }
    assert!(allowed > 80 && refused > 150, "{allowed} allowed, {refused} refused");
}

/// A path as the OpenAPI document has it.
fn template(path: &str) -> String {
    let path = path.split('?').next().unwrap();
    let parts: Vec<&str> = path.split('/').collect();
    match parts.as_slice() {
        ["", "api", "v1", kind, _] if !matches!(*kind, "me" | "reports") => format!("/api/v1/{kind}/{{}}"),
        ["", "api", "v1", "patients", _, part @ ("chart" | "vitals" | "print-wristband" | "appointments" | "photo" | "growth" | "ccd.xml" | "documents" | "tasks")] => {
            format!("/api/v1/patients/{{}}/{part}")
        }
        ["", "api", "v1", "patients", _, part @ ("chart" | "documents" | "tasks"), _] => format!("/api/v1/patients/{{}}/{part}/{{}}"),
        ["", "api", "v1", kind @ ("wards" | "schedules"), _, part @ ("tasks" | "calendar.ics")] => format!("/api/v1/{kind}/{{}}/{part}"),
        ["", "api", "v1", kind, _, _] => format!("/api/v1/{kind}/{{}}/{{}}"),
        _ => path.to_owned(),
    }
}

#[test]
fn the_whole_matrix_every_operation_needs_its_permission_and_nothing_else() {
    let site = Site::with("", HOUSE);
    let daemon = site.start();
    let (boss, _) = found(&site, &daemon);
    // Every operation of the document stands in the list, but for those that need nobody, or only oneself.
    let document = boss.get("/api/v1/openapi.json");
    let listed: Vec<(String, String)> = operations().iter().map(|(method, path, ..)| (method.to_lowercase(), template(path))).collect();
    let hidden = regex::Regex::new(r"\{\w+\}").unwrap();
    let mut count = 0;
    for (path, methods) in document["paths"].as_object().unwrap() {
        for method in methods.as_object().unwrap().keys().filter(|method| ["get", "post", "delete"].contains(&method.as_str())) {
            let is_own = path.contains("/me/") || path.contains("/session") || path.contains("/first-run") || path.contains("/witnesses");
            let known = (method.clone(), hidden.replace_all(path, "{}").into_owned());
            assert!(is_own || listed.contains(&known), "{method} {path} is not in the matrix");
            count += 1;
        }
    }
    assert!(count >= 40, "{count}");
    // Every action of the document stands in the list, and every one of the list in the document.
    let mut actions = std::collections::BTreeSet::new();
    for (path, methods) in document["paths"].as_object().unwrap() {
        let parameters = methods["post"]["parameters"].as_array().cloned().unwrap_or_default();
        let known = parameters.iter().find(|known| known["name"] == "action").and_then(|known| known["schema"]["enum"].as_array().cloned()).unwrap_or_default();
        actions.extend(known.iter().map(|action| (hidden.replace_all(path, "{}").into_owned(), action.as_str().unwrap().to_owned())));
    }
    let posted = operations()
        .into_iter()
        .filter(|(method, path, ..)| *method == "POST" && template(path).ends_with("/{}") && path.matches('/').count() > 4 && !path.contains("/emergencies/"));
    let asked = posted.map(|(_, path, ..)| (template(&path), path.rsplit('/').next().unwrap().to_owned())).collect::<std::collections::BTreeSet<_>>();
    assert_eq!(actions, asked);
    let roles: toml::Table = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/config/roles.toml")).unwrap().parse().unwrap();
    let (mut allowed, mut refused) = (0, 0);
    for (role, table) in &roles {
        let permits: Vec<&str> = table["permissions"].as_array().unwrap().iter().map(|permission| permission.as_str().unwrap()).collect();
        let desk = program(&boss, &format!("as-{role}"), role, json!({}));
        for (method, path, body, permission) in operations() {
            let (status, answer) = desk.ask(method, &path, body);
            let is_refused = answer["type"] == "urn:wardd:problem:not_permitted";
            assert_eq!(is_refused, permission != "own" && !permits.contains(&permission), "{role}: {method} {path} needs {permission}: {status} {answer}");
            assert!(status != 401 && status < 500 && (status == 403) == is_refused, "{role}: {method} {path}: {status} {answer}");
            if is_refused { refused += 1 } else { allowed += 1 }
        }
    }
    assert!(allowed > 200 && refused > 600, "{allowed} allowed, {refused} refused");
    // Whom no role was given may nothing.
    boss.done("/api/v1/users", json!({ "user": "bare", "name": "bare", "kind": "program" }));
    let issued = boss.done("/api/v1/users/bare/issue-token", json!({}));
    let bare = Desk { daemon: &daemon, token: issued["token"].as_str().unwrap().to_owned() };
    for (method, path, body, _) in operations().into_iter().filter(|(.., permission)| *permission != "own") {
        bare.refused(method, &path, body, "not_permitted");
    }
}

fn jane(name: &str) -> Value {
    json!({ "name": { "family": name, "given": ["Jane"] }, "birth_date": "1980-01-02", "sex": "female" })
}

#[test]
fn a_ward_sees_its_patients_an_emergency_opens_one_more_and_all_of_it_is_told_to_the_auditor() {
    let site = Site::with("", HOUSE);
    let daemon = site.start();
    let (boss, _) = found(&site, &daemon);
    let clerk = staff(&boss, "carl", &[("registration", "house")]);
    let medicine = staff(&boss, "mia", &[("nurse", "ward:MED1")]);
    let intensive = staff(&boss, "ivo", &[("nurse", "ward:ICU")]);
    let auditor = program(&boss, "audit", "auditor", json!({}));
    let privacy = program(&boss, "privacy", "privacy", json!({}));
    let billing = staff(&boss, "bill", &[("billing", "house")]);
    for (mrn, name) in [("1001", "Doe"), ("1002", "Roe")] {
        clerk.done("/api/v1/patients", json!({ "mrn": mrn, "person": jane(name), "confirm_new": true }));
    }
    // Before the admission she is nobody's patient; the ward admits her to its own bed, and to no other ward's.
    medicine.refused("GET", "/api/v1/patients/1001", None, "not_your_patient");
    intensive.refused("POST", "/api/v1/patients/1001/admit", Some(json!({ "bed": "MED1:101:A" })), "other_ward");
    medicine.done("/api/v1/patients/1001/admit", json!({ "bed": "MED1:101:A" }));
    assert_eq!(medicine.get("/api/v1/patients/1001")["mrn"], "1001");
    // A note is signed by whoever proves once more who they are, for this very note; a session alone signs nothing, nor does another person.
    medicine.done("/api/v1/patients/1001/chart/write-note", json!({ "kind": "nursing", "text": "slept well" }));
    let (path, request) = ("/api/v1/patients/1001/chart/sign-note", json!({ "number": 1, "version": 1, "meaning": "author" }));
    let proven = |user: &str, request: &Value| {
        let body = json!({ "user": user, "password": PASSWORD, "actor": "mia", "path": path, "request": request });
        daemon.post("/api/v1/witnesses", body).1["statement"].clone()
    };
    let sign = |statement: Value| {
        let mut body = request.clone();
        body["witness"] = statement;
        let (status, answer) = medicine.ask("POST", path, Some(body));
        (status, answer["type"].as_str().unwrap_or_default().rsplit(':').next().unwrap().to_owned())
    };
    assert_eq!(sign(Value::Null), (409, "not_proven".to_owned()));
    assert_eq!(sign(proven("ivo", &request)), (409, "not_proven".to_owned()), "somebody else's statement is theirs");
    let other = json!({ "number": 2, "version": 1, "meaning": "author" });
    assert_eq!(sign(proven("mia", &other)), (403, "not_witnessed".to_owned()), "for another note");
    assert_eq!(sign(proven("mia", &request)).0, 200);
    daemon.until("signed", |_| medicine.get("/api/v1/patients/1001/chart")["notes"][0]["signatures"][0]["holds"] == true);
    // The ward's sheet for paper tells of its own patients, to its own people, and who has printed it is noted.
    let sheet = |desk: &Desk<'_>, ward: &str| {
        let (status, _, body) = daemon.raw("GET", &format!("/wards/{ward}/sheet"), None, &format!("Authorization: Bearer {}\r\n", desk.token));
        (status, body)
    };
    let (status, page) = sheet(&medicine, "MED1");
    assert!(status == 200 && page.contains("1001") && page.contains("not asked") && page.contains("101:B"), "{status} {page}");
    assert_eq!((sheet(&medicine, "ICU").0, sheet(&intensive, "MED1").0, sheet(&medicine, "NONE").0), (403, 403, 404));
    // A ward's schedule is its own; one of the house is everybody's who may book at all.
    for (schedule, ward) in [("DR-MED", json!("MED1")), ("DR-ALL", Value::Null)] {
        clerk.done("/api/v1/schedules", json!({ "schedule": schedule, "name": schedule, "of": "practitioner", "ward": ward }));
    }
    assert_eq!(clerk.ask("POST", "/api/v1/schedules", Some(json!({ "schedule": "DR-X", "name": "X", "of": "room", "ward": "NONE" }))).0, 404);
    let seen = |desk: &Desk<'_>| desk.get("/api/v1/schedules").as_array().unwrap().iter().map(|line| line["schedule"].as_str().unwrap().to_owned()).collect::<Vec<_>>();
    daemon.until("both", |_| seen(&medicine) == ["DR-ALL", "DR-MED"]);
    assert_eq!(seen(&intensive), ["DR-ALL"]);
    intensive.refused("GET", "/api/v1/schedules/DR-MED", None, "other_ward");
    intensive.refused("POST", "/api/v1/schedules/DR-MED/call-next", Some(json!({})), "other_ward");
    assert_eq!(medicine.ask("POST", "/api/v1/schedules/DR-MED/call-next", Some(json!({}))).0, 409, "nobody waits");
    // Another ward finds who she is, and no more.
    let found = intensive.get("/api/v1/patients?name=doe");
    assert_eq!((found[0]["limited"].as_str(), found[0]["person"]["name"]["family"].as_str(), found[0].get("allergies")), (Some("not_your_patient"), Some("Doe"), None), "{found}");
    assert_eq!(intensive.get("/api/v1/beds").as_array().unwrap().len(), 2, "the beds of the own ward");
    intensive.refused("GET", "/api/v1/patients/1001", None, "not_your_patient");
    intensive.refused("POST", "/api/v1/patients/1001/no-known-allergies", Some(json!({})), "not_your_patient");
    // The receiving ward accepts a transfer, the sending ward cannot do it for them.
    medicine.done("/api/v1/patients/1001/request-transfer", json!({ "bed": "ICU:1:A" }));
    assert_eq!(intensive.get("/api/v1/patients/1001")["mrn"], "1001", "who is asked to take her may look");
    medicine.refused("POST", "/api/v1/patients/1001/accept-transfer", Some(json!({})), "other_ward");
    medicine.done("/api/v1/patients/1001/cancel-transfer", json!({}));
    // Restricted: the ward that looks after her still sees her, the house does not.
    privacy.done("/api/v1/patients/1001/restrict", json!({ "reason": "works here" }));
    clerk.refused("GET", "/api/v1/patients/1001", None, "restricted");
    clerk.refused("POST", "/api/v1/patients/1001/lift-restriction", Some(json!({})), "not_permitted");
    let lies = |desk: &Desk<'_>| desk.get("/api/v1/beds/MED1:101:A");
    assert_eq!((lies(&clerk)["patient"].as_str(), lies(&clerk)["is_restricted"].as_bool(), lies(&medicine)["patient"].as_str()), (None, Some(true), Some("1001")));
    assert_eq!(billing.ask("GET", "/api/v1/accounts/1001", None).0, 200, "who is restricted still has an account");
    // Taking her into one's own bed by a plan, an admission or a move is no way around it.
    for (action, kind) in [("plan", "not_your_patient"), ("admit", "not_your_patient")] {
        intensive.refused("POST", &format!("/api/v1/patients/1001/{action}"), Some(json!({ "bed": "ICU:1:B" })), kind);
    }
    medicine.refused("POST", "/api/v1/patients/1001/move", Some(json!({ "bed": "ICU:1:B" })), "other_ward");
    assert_eq!(medicine.get("/api/v1/patients/1001")["restricted"], "works here");
    assert_eq!(intensive.get("/api/v1/patients?name=doe"), json!([]), "that she is here is not told to who tries names");
    let found = intensive.get("/api/v1/patients?number=1001");
    assert_eq!((found[0]["limited"].as_str(), found[0].get("person")), (Some("restricted"), None), "{found}");
    // An emergency: with a reason, for this patient, with the permissions that one has anyway.
    let (status, answer) = intensive.ask("POST", "/api/v1/emergencies", Some(json!({ "patient": "1001", "reason": " " })));
    assert_eq!((status, answer["type"].as_str()), (409, Some("urn:wardd:problem:no_reason")), "{answer}");
    billing.refused("POST", "/api/v1/emergencies", Some(json!({ "patient": "1001", "reason": "curious" })), "not_permitted");
    assert_eq!(intensive.ask("POST", "/api/v1/emergencies", Some(json!({ "patient": "4004", "reason": "mistyped" }))).0, 404);
    intensive.done("/api/v1/emergencies", json!({ "patient": "1001", "reason": "collapsed in the corridor" }));
    assert_eq!(intensive.get("/api/v1/patients/1001")["mrn"], "1001");
    intensive.refused("GET", "/api/v1/patients/1002", None, "not_your_patient");
    intensive.refused("POST", "/api/v1/patients/1001/record-death", Some(json!({})), "not_permitted");
    assert!(site.log().contains("WD-0502"), "somebody is told at once");
    // It waits for a review by somebody else.
    let waiting = auditor.get("/api/v1/emergencies");
    let id = waiting[0]["id"].as_str().unwrap().to_owned();
    assert_eq!((waiting.as_array().unwrap().len(), waiting[0]["user"].as_str(), waiting[0]["emergency"]["reason"].as_str()), (1, Some("ivo"), Some("collapsed in the corridor")));
    auditor.done(&format!("/api/v1/emergencies/ivo/{id}"), json!({ "is_justified": true, "comment": "seen" }));
    assert_eq!(auditor.get("/api/v1/emergencies").as_array().unwrap().len(), 0);
    // The list for the patient: everybody who saw or did something, with the ground.
    let report = auditor.get("/api/v1/audit?patient=1001");
    let entries = report["entries"].as_array().unwrap();
    let seen = |who: &str, ground: &str| {
        entries.iter().any(|entry| entry["what"] == "RecordShown" && entry["who"] == who && entry["detail"]["record"] == "patient" && entry["detail"]["ground"] == ground)
    };
    assert!(seen("person:mia", "role") && seen("person:ivo", "role") && seen("person:ivo", "emergency") && !seen("person:carl", "role"), "{report}");
    for (who, what) in [
        ("person:carl", "PersonRecorded"),
        ("person:mia", "Admitted"),
        ("person:ivo", "GlassBroken"),
        ("program:privacy", "Restricted"),
        ("person:carl", "LookRefused"),
        ("person:ivo", "LookRefused"),
    ] {
        assert!(entries.iter().any(|entry| entry["who"] == who && entry["what"] == what), "{who} {what}: {report}");
    }
    let other = auditor.get("/api/v1/audit?patient=1002");
    assert!(other["entries"].as_array().unwrap().iter().all(|entry| entry["who"] != "person:mia"), "{other}");
    // And by user, from an instant on.
    let of_ivo = auditor.get("/api/v1/audit?user=ivo");
    let has = |what: &str| of_ivo["entries"].as_array().unwrap().iter().any(|entry| entry["what"] == what);
    assert!(has("SignedIn") && has("GlassBroken") && has("RoleGranted") && !of_ivo.to_string().contains("argon2"), "{of_ivo}");
    assert_eq!(auditor.get("/api/v1/audit?user=ivo&from=2099-01-01T00:00:00Z")["entries"], json!([]));
    // In parts it is the same.
    let (mut parts, mut before) = (Vec::new(), String::new());
    loop {
        let part = auditor.get(&format!("/api/v1/audit?user=ivo&limit=3{before}"));
        parts.extend(part["entries"].as_array().unwrap().clone());
        match part["next"].as_u64() {
            Some(next) => before = format!("&before={next}"),
            None => break,
        }
    }
    assert_eq!(json!(parts), of_ivo["entries"]);
    // An emergency that was not justified ends at once.
    intensive.done("/api/v1/emergencies", json!({ "patient": "1002", "reason": "wanted to know" }));
    assert_eq!(intensive.ask("GET", "/api/v1/patients/1002", None).0, 200);
    let id = auditor.get("/api/v1/emergencies")[0]["id"].as_str().unwrap().to_owned();
    auditor.done(&format!("/api/v1/emergencies/ivo/{id}"), json!({ "is_justified": false }));
    intensive.refused("GET", "/api/v1/patients/1002", None, "not_your_patient");
    daemon.terminate();
    assert!(site.verify(), "the audit stands in the log's own chain");
}

#[test]
fn five_bad_pins_lock_the_badge_and_not_the_password_until_somebody_unlocks_it() {
    let site = Site::with("", HOUSE);
    let daemon = site.start();
    let (boss, _) = found(&site, &daemon);
    let nurse = staff(&boss, "nina", &[("nurse", "ward:MED1")]);
    boss.done("/api/v1/users/nina/set-badge", json!({ "badge": "]C0N-77\r\n".trim() }));
    nurse.done("/api/v1/me/pin", json!({ "current_password": PASSWORD, "pin": "248163" }));
    assert_eq!(nurse.ask("POST", "/api/v1/me/pin", Some(json!({ "current_password": PASSWORD, "pin": "111111" }))).0, 422);
    assert_eq!(nurse.ask("POST", "/api/v1/me/pin", Some(json!({ "current_password": "wrong", "pin": "248164" }))).0, 403);
    let badge = |pin: &str| sign_in(&daemon, &json!({ "badge": "]C0N-77", "pin": pin, "station": "S1" }));
    let at_station = badge("248163").unwrap();
    assert_eq!(at_station.get("/api/v1/session")["station"], "S1");
    // Whoever signs in at the station ends the session there.
    let second = badge("248163").unwrap();
    assert_eq!((at_station.ask("GET", "/api/v1/session", None).0, second.ask("GET", "/api/v1/session", None).0), (401, 200));
    for _ in 0..5 {
        assert_eq!(badge("999888").err(), Some((401, "wrong".to_owned())));
    }
    assert_eq!(badge("248163").err(), Some((403, "locked".to_owned())), "also with the right one");
    assert!(with_password(&daemon, "nina", PASSWORD).is_ok());
    boss.done("/api/v1/users/nina/unlock", json!({}));
    assert!(badge("248163").is_ok());
    // Nothing tells who is known.
    assert_eq!(with_password(&daemon, "nobody", PASSWORD).err(), with_password(&daemon, "nina", "not her password").err());
    assert_eq!(sign_in(&daemon, &json!({ "badge": "unknown", "pin": "248163", "station": "S1" })).err(), Some((401, "wrong".to_owned())));
    assert_eq!(sign_in(&daemon, &json!({ "user": "nina" })).err().unwrap().0, 400);
    assert_eq!(sign_in(&daemon, &json!({ "badge": "]C0N-77", "pin": "248163" })).err().unwrap().0, 400, "a badge is used at a station");
    assert_eq!(sign_in(&daemon, &json!({ "badge": "]C0N-77", "pin": "248163", "station": "S2" })).err().unwrap().0, 400, "and S2 is elsewhere");
    assert_eq!(sign_in(&daemon, &json!({ "badge": "]C0N-77", "pin": "248163", "station": "S9" })).err().unwrap().0, 400);
    // Who is disabled is out at once, everywhere.
    let inside = with_password(&daemon, "nina", PASSWORD).unwrap();
    boss.done("/api/v1/users/nina/disable", json!({ "reason": "left" }));
    assert_eq!(inside.ask("GET", "/api/v1/session", None).0, 401);
    assert_eq!(with_password(&daemon, "nina", PASSWORD).err(), Some((401, "wrong".to_owned())));
    daemon.terminate();
    let events = site.events();
    let ended = |why: &str| events.iter().filter(|event| event["type"] == "SignedOut" && event["payload"]["why"] == why).count();
    assert!(count(&events, "FactorLocked") == 1 && ended("replaced") >= 1 && ended("withdrawn") >= 1);
}

#[test]
fn tries_from_one_address_are_limited() {
    let site = Site::with("", HOUSE);
    let daemon = site.start();
    let tries: Vec<u16> = (0..40).map(|_| with_password(&daemon, "nobody", "some password").err().unwrap().0).collect();
    assert!(tries.starts_with(&[401; 10]) && tries.contains(&429), "{tries:?}");
    let (_, head, _) = daemon.raw("POST", "/api/v1/session", Some(&json!({ "user": "nobody", "password": "x" })), "");
    assert!(head.to_lowercase().contains("retry-after"), "{head}");
}

#[test]
fn a_witness_proves_it_themselves_for_one_person_and_one_path() {
    let site =
        Site::with("", &format!("{HOUSE}[[devices]]\nid = \"spare\"\nprofile = \"generic/hl7-feed\"\nversion = 1\nlink = {{ kind = \"tcp-listen\", bind = \"127.0.0.1:0\" }}\n"));
    let daemon = site.start();
    let (boss, _) = found(&site, &daemon);
    let nurse = staff(&boss, "nina", &[("nurse", "house"), ("pharmacist", "house")]);
    let other = staff(&boss, "otto", &[("nurse", "house")]);
    staff(&boss, "clara", &[("registration", "house")]).done("/api/v1/patients", json!({ "mrn": "1001", "person": jane("Doe") }));
    drop(other);
    nurse.done("/api/v1/cabinets/CAB1/load", json!({ "pocket": "2-1", "lot": "L", "expires": "2029-01-01", "quantity": "10" }));
    nurse.done("/api/v1/cabinets/CAB1/vend", json!({ "pocket": "2-1", "quantity": "2", "patient": "1001" }));
    let waste = |witness: Value| nurse.ask("POST", "/api/v1/cabinets/CAB1/waste", Some(json!({ "pocket": "2-1", "quantity": "1", "patient": "1001", "witness": witness })));
    assert_eq!(waste(Value::Null).1["type"], "urn:wardd:problem:witness_missing");
    assert_eq!(waste(json!("otto")).0, 403, "a name proves nothing");
    let vouch_for = |quantity: &str, user: &str, password: &str, actor: &str, path: &str| {
        let request = json!({ "patient": "1001", "pocket": "2-1", "quantity": quantity });
        let (status, answer) = daemon.post("/api/v1/witnesses", json!({ "user": user, "password": password, "actor": actor, "path": path, "request": request }));
        (status, answer["statement"].clone(), answer["type"].as_str().unwrap_or_default().to_owned())
    };
    let vouch = |user: &str, password: &str, actor: &str, path: &str| vouch_for("1", user, password, actor, path);
    let path = "/api/v1/cabinets/CAB1/waste";
    assert_eq!(vouch("otto", "not the password", "nina", path).0, 401);
    assert_eq!(vouch("nina", PASSWORD, "nina", path).2, "urn:wardd:problem:own_witness");
    assert_eq!(vouch("clara", PASSWORD, "nina", path).2, "urn:wardd:problem:not_permitted");
    let for_another_path = vouch("otto", PASSWORD, "nina", "/api/v1/cabinets/CAB1/count").1;
    assert_eq!(waste(for_another_path).0, 403);
    let for_another_quantity = vouch_for("2", "otto", PASSWORD, "nina", path).1;
    assert_eq!(waste(for_another_quantity).0, 403, "who saw two wasted did not see one");
    let statement = vouch("otto", PASSWORD, "nina", path).1;
    let (status, answer) = waste(statement.clone());
    assert_eq!(status, 200, "{answer}");
    assert_eq!(waste(statement).0, 403, "once");
    // What was done with a patient's drug, appointment or bed stands in the patient's own audit, also where the event names only a number.
    let auditor = program(&boss, "eyes", "auditor", json!({}));
    let clara = with_password(&daemon, "clara", PASSWORD).unwrap();
    clara.done("/api/v1/patients/1001/admit", json!({ "bed": "MED1:101:A" }));
    nurse.done("/api/v1/beds/MED1:101:A/isolate", json!({ "reason": "MRSA" }));
    let told = || auditor.get("/api/v1/audit?patient=1001").to_string();
    daemon.until("all of it", |_| ["\"Vended\"", "\"Wasted\"", "\"IsolationBegan\""].iter().all(|what| told().contains(what)));
    // Nobody acts under another's name.
    nurse.refused("POST", "/api/v1/cabinets/CAB1/count", Some(json!({ "pocket": "1-1", "quantity": "0", "user": "otto" })), "other_user");
    daemon.terminate();
    let events = site.events();
    let wasted = events.iter().find(|event| event["type"] == "Wasted").unwrap();
    assert_eq!((wasted["meta"]["principal"]["person"].as_str(), wasted["meta"]["witness"].as_str()), (Some("nina"), Some("otto")), "{wasted}");
    assert!(count(&events, "Vouched") >= 2);
}

#[test]
fn tokens_are_limited_expire_and_are_taken_back() {
    let site = Site::with("", HOUSE);
    let daemon = site.start();
    let (boss, _) = found(&site, &daemon);
    // Nobody takes over an open session for good.
    for (action, body) in [("set-password", json!({ "password": "another password" })), ("take-second-factor", json!({})), ("set-badge", json!({ "badge": "B-99" }))] {
        assert_eq!(boss.ask("POST", &format!("/api/v1/users/ada/{action}"), Some(body)).1["type"], "urn:wardd:problem:yourself");
    }
    let limited = program(&boss, "graphs", "ops", json!({ "permissions": ["ops.metrics"] }));
    assert_eq!(limited.ask("GET", "/metrics", None).0, 200);
    limited.refused("GET", "/api/v1/devices", None, "not_permitted");
    let old = program(&boss, "old", "ops", json!({ "expires": "2026-01-01T00:00:00Z" }));
    assert_eq!(old.ask("GET", "/metrics", None).0, 401);
    let id = limited.token.split('_').nth(1).unwrap();
    for wrong in [format!("{}x", limited.token), format!("wt_{id}_guess"), "wt_".to_owned(), format!("wt_{id}"), String::new()] {
        assert_eq!(Desk { daemon: &daemon, token: wrong.clone() }.ask("GET", "/metrics", None).0, 401, "{wrong}");
    }
    boss.done("/api/v1/users/graphs/revoke-token", json!({ "token": id }));
    assert_eq!(limited.ask("GET", "/metrics", None).0, 401);
    let shown = boss.get("/api/v1/users").to_string();
    assert!(!shown.contains("argon2") && !shown.contains(&limited.token), "no secret and no hash is shown: {shown}");
}

#[test]
fn rights_change_at_once_also_those_of_roles() {
    let site = Site::with("", &format!("roles = \"roles.toml\"\n{HOUSE}").replace("roles = \"roles.toml\"\n[access]\n", "[access]\nroles = \"roles.toml\"\n"));
    let roles = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/config/roles.toml")).unwrap();
    std::fs::write(site.folder.join("roles.toml"), &roles).unwrap();
    let daemon = site.start();
    let (boss, _) = found(&site, &daemon);
    let nurse = staff(&boss, "nina", &[("nurse", "ward:MED1")]);
    let monitoring = program(&boss, "graphs", "monitoring", json!({}));
    assert_eq!(nurse.ask("GET", "/api/v1/beds", None).0, 200);
    boss.done("/api/v1/users/nina/revoke", json!({ "role": "nurse", "scope": "ward:MED1" }));
    nurse.refused("GET", "/api/v1/beds", None, "not_permitted");
    boss.done("/api/v1/users/nina/grant", json!({ "role": "nurse", "scope": "ward:ICU" }));
    assert_eq!(nurse.get("/api/v1/beds")[0]["bed"], "ICU:1:A");
    assert_eq!(boss.ask("POST", "/api/v1/users/nina/grant", Some(json!({ "role": "nurze", "scope": "house" }))).0, 400);
    assert_eq!(boss.ask("POST", "/api/v1/users/nina/grant", Some(json!({ "role": "nurse", "scope": "ward:X" }))).0, 400);
    assert_eq!(boss.ask("POST", "/api/v1/users/ada/grant", Some(json!({ "role": "nurse" }))).1["type"], "urn:wardd:problem:yourself");
    // Roles are read again at SIGHUP, whole or not at all.
    monitoring.refused("GET", "/api/v1/devices", None, "not_permitted");
    let wider =
        roles.replace("description = \"A program that reads metrics\"\npermissions = [\"ops.metrics\"]", "description = \"x\"\npermissions = [\"ops.metrics\", \"device.view\"]");
    assert_ne!(wider, roles);
    std::fs::write(site.folder.join("roles.toml"), &wider).unwrap();
    let reloads = || monitoring.ask("GET", "/metrics", None).1.to_string().matches("wardd_config_reloads_total{outcome=\\\"taken\\\"} 1").count();
    assert!(std::process::Command::new("kill").args(["-HUP", &daemon.pid().to_string()]).status().unwrap().success());
    daemon.until("the roles are read again", |_| reloads() == 1);
    assert_eq!(monitoring.ask("GET", "/api/v1/devices", None).0, 200);
    std::fs::write(site.folder.join("roles.toml"), wider.replace("ops.metrics", "ops.metricks")).unwrap();
    assert!(std::process::Command::new("kill").args(["-HUP", &daemon.pid().to_string()]).status().unwrap().success());
    daemon.until("it is refused", |_| site.log().contains("ops.metricks"));
    assert_eq!(monitoring.ask("GET", "/api/v1/devices", None).0, 200, "what was right before stays");
}

#[test]
fn a_browser_signs_in_by_cookie_that_no_other_site_can_use_and_its_page_ends_with_the_session() {
    let site = Site::with("", HOUSE);
    let daemon = site.start();
    let (boss, _) = found(&site, &daemon);
    drop(staff(&boss, "nina", &[("nurse", "ward:MED1")]));
    let form = |path: &str, headers: &str, body: &str| {
        let mut stream = daemon.connect("http");
        write!(
            stream,
            "POST {path} HTTP/1.1\r\nHost: w\r\nConnection: close\r\n{headers}Content-Type: application/x-www-form-urlencoded\r\nContent-Length: {}\r\n\r\n{body}",
            body.len()
        )
        .unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        answer
    };
    assert!(form("/login", "", "user=nina&password=wrong").contains("this is not right"));
    let answer = form("/login", "", "user=nina&password=correct+horse+battery");
    let cookie = answer.lines().find_map(|line| line.strip_prefix("set-cookie: ")).unwrap_or_else(|| panic!("{answer}"));
    for part in ["HttpOnly", "SameSite=Strict", "Path=/"] {
        assert!(cookie.contains(part), "{cookie}");
    }
    let pair = cookie.split(';').next().unwrap();
    // Whoever has a first password comes to the page that changes it, and from there to the board.
    boss.done("/api/v1/users", json!({ "user": "nora", "name": "Nora" }));
    boss.done("/api/v1/users/nora/set-password", json!({ "password": "a first password" }));
    boss.done("/api/v1/users/nora/grant", json!({ "role": "auditor" }));
    let answer = form("/login", "", "user=nora&password=a+first+password");
    assert!(answer.contains("location: /password"), "{answer}");
    let nora = answer.lines().find_map(|line| line.strip_prefix("set-cookie: ")).unwrap().split(';').next().unwrap().to_owned();
    let nora = format!("Cookie: {nora}\r\nSec-Fetch-Site: same-origin\r\n");
    assert!(daemon.raw("GET", "/", None, &nora).1.contains("location: /password"));
    assert!(daemon.raw("GET", "/password", None, &nora).2.contains("Somebody else knows your password"));
    let set = |current: &str, new: &str, again: &str| form("/password", &nora, &format!("current={current}&password={new}&again={again}"));
    assert!(set("a+first+password", "one+long+sentence", "another+long+one").contains("not the same"));
    assert!(set("not+it", "one+long+sentence", "one+long+sentence").contains("is not your password"));
    assert!(set("a+first+password", "short", "short").contains("12 to 128 characters"));
    assert!(set("a+first+password", "one+long+sentence", "one+long+sentence").contains("location: /second-factor"), "an auditor needs one");
    let page = daemon.raw("GET", "/second-factor", None, &nora).2;
    let key = page.split("name=\"key\" value=\"").nth(1).unwrap().split('"').next().unwrap().to_owned();
    let enrol = |code: &str| form("/second-factor", &nora, &format!("current=one+long+sentence&key={key}&code={code}"));
    let again = enrol("000000");
    assert!(again.contains("not one of this key") && again.contains(&key), "with the same key: {again}");
    assert!(enrol(&code(&key)).contains("location: /login"));
    assert!(form("/login", "", "user=nora&password=one+long+sentence").contains("code of your second factor"));
    assert!(form("/login", "", &format!("user=nora&password=one+long+sentence&code={}", code(&key))).contains("location: /\r"));
    let page = daemon.raw("GET", "/", None, &format!("Cookie: {pair}\r\n")).2;
    assert!(page.contains("MED1:101:A") && page.contains("NINA") && !page.contains("ICU:1:A"), "{page}");
    assert!(!page.contains("Waits for a person"), "what she may not see is not there");
    let clean = |headers: &str| daemon.ask("POST", "/api/v1/beds/MED1:101:A/block", Some(&json!({ "reason": "r" })), &format!("Cookie: {pair}\r\n{headers}")).0;
    assert_eq!((clean(""), clean("Origin: http://evil\r\n"), clean("Sec-Fetch-Site: cross-site\r\n")), (403, 403, 403));
    assert_eq!((clean("Sec-Fetch-Site: same-origin\r\n"), clean("Origin: http://localhost\r\n")), (200, 200));
    // The board of beds: the own ward, and who it is only where no visitor looks.
    let board = |query: &str| daemon.raw("GET", &format!("/beds{query}"), None, &format!("Cookie: {pair}\r\n"));
    boss.done("/api/v1/users/nina/grant", json!({ "role": "registration", "scope": "house" }));
    let mine = |path: &str, body: Value| daemon.ask("POST", path, Some(&body), &format!("Cookie: {pair}\r\nSec-Fetch-Site: same-origin\r\n"));
    assert_eq!(mine("/api/v1/patients", json!({ "mrn": "7007", "person": jane("Doe") })).0, 201);
    assert_eq!(mine("/api/v1/patients/7007/admit", json!({ "bed": "MED1:101:B" })).0, 200);
    assert_eq!(mine("/api/v1/patients/7007/expect-end", json!({ "expected": "2027-01-02T10:00:00Z" })).0, 200);
    daemon.until("she is shown", |_| board("").2.contains("7007"));
    let page = board("").2;
    assert!(page.contains("1 of 2 occupied, 0 free, 1 not ready") && page.contains("until 2027-01-02") && page.contains("/beds?privacy=true"), "{page}");
    let page = board("?privacy=true").2;
    assert!(!page.contains("7007") && page.contains("●●●●") && page.contains("/beds/events?privacy=true"), "{page}");
    assert_eq!(board("?privacy=maybe").0, 400);
    assert!(daemon.raw("GET", "/login", None, "").2.contains("<option selected>S1</option>"), "the station at this address");
    let mut events = daemon.connect("http");
    write!(events, "GET /events HTTP/1.1\r\nHost: localhost\r\nCookie: {pair}\r\n\r\n").unwrap();
    let mut seen = String::new();
    let mut buffer = [0; 4_096];
    let mut has_disabled = false;
    while !seen.contains("event: signed-out") {
        let count = events.read(&mut buffer).unwrap();
        assert!(count > 0, "the stream ended");
        seen.push_str(&String::from_utf8_lossy(&buffer[..count]));
        if seen.contains("event: board") && !std::mem::replace(&mut has_disabled, true) {
            boss.done("/api/v1/users/nina/disable", json!({ "reason": "left" }));
        }
    }
}

#[test]
fn wardctl_makes_the_first_user_signs_in_and_shows_the_audit() {
    let site = Site::with("", HOUSE);
    let daemon = site.start();
    let (config, http) = (site.folder.join("wardd.toml"), daemon.endpoints["http"].to_string());
    let run = |arguments: &[&str], lines: &str| {
        let output = wardctl_as(&site.folder, arguments, lines);
        (output.status.success(), String::from_utf8(output.stdout).unwrap() + &String::from_utf8(output.stderr).unwrap())
    };
    let at = |arguments: &[&str], lines: &str| run(&[arguments, &["--http", &http]].concat(), lines);
    let (is_done, said) = run(&["init", "--config", config.to_str().unwrap()], "");
    assert!(is_done, "{said}");
    let secret = said.lines().find(|line| line.starts_with("    ") && !line.contains("wardctl")).unwrap().trim();
    assert!(!at(&["first-user", "ada"], "guess\ncorrect horse battery\n").0);
    assert!(at(&["first-user", "ada", "--name", "Ada"], &format!("{secret}\n{PASSWORD}\n")).0);
    let (is_done, said) = at(&["login", "ada"], &format!("{PASSWORD}\n"));
    assert!(is_done && said.contains("second factor"), "{said}");
    // The second factor by hand, since its code depends on the key that is shown.
    let token = std::fs::read_to_string(site.folder.join("wardd/token")).unwrap();
    let desk = Desk { daemon: &daemon, token };
    let key = desk.done("/api/v1/me/second-factor", json!({ "current_password": PASSWORD }))["key"].as_str().unwrap().to_owned();
    desk.done("/api/v1/me/second-factor", json!({ "current_password": PASSWORD, "key": key, "code": code(&key) }));
    let (is_done, said) = at(&["login", "ada"], &format!("{PASSWORD}\n{}\n", code(&key)));
    assert!(is_done && !said.contains("first"), "{said}");
    assert!(at(&["user", "add", "ben", "--name", "Ben"], "some first password\n").0);
    assert!(at(&["user", "grant", "ben", "auditor", "house"], "").0);
    let (is_done, said) = at(&["user", "grant", "ben", "auditor", "moon"], "");
    assert!(!is_done && said.contains("a scope is house"), "{said}");
    let (_, said) = at(&["user", "list"], "");
    assert!(said.contains("ben") && said.contains("auditor house"), "{said}");
    let (is_done, said) = at(&["audit", "report", "--user", "ada"], "");
    assert!(!is_done && said.contains("audit.view"), "who manages users does not audit: {said}");
    let (_, token) = at(&["user", "add-program", "eyes", "--name", "Auditor's tool", "--role", "auditor"], "");
    std::fs::write(site.folder.join("eyes"), token.trim()).unwrap();
    let (is_done, said) = at(&["audit", "report", "--user", "ada", "--token-file", site.folder.join("eyes").to_str().unwrap()], "");
    assert!(is_done && said.contains("RoleGranted") && said.contains("SignedIn"), "{said}");
    assert!(at(&["whoami"], "").1.contains("\"ada\""));
    assert!(at(&["logout"], "").0);
    let (is_done, said) = at(&["user", "list"], "");
    assert!(!is_done && said.contains("sign in"), "{said}");
}
