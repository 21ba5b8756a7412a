//! FHIR Subscriptions through the real binary: a web server that others wrote is told of what fits, in order, once it answers; and of nothing
//! that the program may not see.

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use serde_json::{Value, json};

use crate::access::{found, program, staff};
use crate::fhir::faults;
use crate::harness::{Daemon, Site, count, has};

/// Writes each request as a line of JSON, and answers with the status that stands in a file.
const SERVER: &str = r#"
import http.server, json, sys
folder = sys.argv[1]
class Hook(http.server.BaseHTTPRequestHandler):
    def told(self):
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0)).decode()
        status = int(open(folder + "/status").read())
        if status < 300:
            with open(folder + "/told", "a") as told:
                told.write(json.dumps({"method": self.command, "path": self.path, "key": self.headers.get("X-Key"), "type": self.headers.get("Content-Type"), "body": body}) + "\n")
        self.send_response(status)
        self.send_header("Content-Length", "0")
        self.end_headers()
    do_POST = do_PUT = told
    def log_message(self, *_):
        pass
server = http.server.HTTPServer(("127.0.0.1", int(sys.argv[2])), Hook)
print(server.server_address[1], flush=True)
server.serve_forever()
"#;

struct Hook {
    child: Child,
    port: u16,
    folder: PathBuf,
}

impl Drop for Hook {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Hook {
    fn start(folder: &Path, port: u16) -> Self {
        std::fs::create_dir_all(folder).unwrap();
        std::fs::write(folder.join("status"), "200").unwrap();
        let mut command = Command::new(has("python3").unwrap());
        let mut child = command.args(["-c", SERVER]).arg(folder).arg(port.to_string()).stdout(Stdio::piped()).spawn().unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        Self { child, port: line.trim().parse().unwrap(), folder: folder.to_owned() }
    }

    fn answers(&self, status: u16) {
        std::fs::write(self.folder.join("status"), status.to_string()).unwrap();
    }

    fn told(&self) -> Vec<Value> {
        let text = std::fs::read_to_string(self.folder.join("told")).unwrap_or_default();
        text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }

    fn config(&self) -> String {
        format!("[subscriptions]\nendpoints = [\"http://127.0.0.1:{}/\"]\n", self.port)
    }

    fn wanted(&self, path: &str, criteria: &str) -> Value {
        json!({ "resourceType": "Subscription", "status": "requested", "reason": "the ward's screen", "criteria": criteria,
            "channel": { "type": "rest-hook", "endpoint": format!("http://127.0.0.1:{}/{path}", self.port), "payload": "application/fhir+json", "header": ["X-Key: a secret"] } })
    }
}

const KIND: &str = "Content-Type: application/fhir+json\r\n";

fn fhir(daemon: &Daemon, method: &str, path: &str, body: Option<&Value>) -> (u16, Value) {
    daemon.ask(method, &format!("/fhir/R4/{path}"), body, KIND)
}

fn register(daemon: &Daemon, mrn: &str, family: &str) {
    let person = json!({ "name": { "family": family, "given": ["Jane"] }, "birth_date": "1980-01-02", "sex": "female" });
    assert!(daemon.post("/api/v1/patients", json!({ "mrn": mrn, "person": person, "confirm_new": true })).0 < 300);
}

fn pulse(daemon: &Daemon, mrn: &str, value: u32) {
    let (status, answer) =
        daemon.post(&format!("/api/v1/patients/{mrn}/chart/record-vitals"), json!({ "readings": [{ "code": "8867-4", "value": value.to_string(), "unit": "/min" }] }));
    assert!(status < 300, "{answer}");
}

#[test]
fn what_fits_is_told_in_order_and_what_was_not_taken_is_told_again() {
    let folder = std::env::temp_dir().join(format!("wardd-hook-{}", std::process::id()));
    let _ = std::fs::remove_dir_all(&folder);
    let hook = Hook::start(&folder, 0);
    let site = Site::with("", &hook.config());
    let daemon = site.start();
    register(&daemon, "W0", "Doe");
    let ask = |body: &Value| fhir(&daemon, "POST", "Subscription", Some(body));
    let (status, patients) = ask(&hook.wanted("ehr", "Patient?family=doe"));
    assert_eq!((status, patients["status"].as_str()), (201, Some("active")), "{patients}");
    assert_eq!(faults(std::slice::from_ref(&patients)), Vec::<String>::new());
    let mut bare = hook.wanted("bell", "Observation?patient=Patient/W1&code=8867-4");
    bare["channel"].as_object_mut().unwrap().remove("payload");
    assert_eq!(ask(&bare).0, 201);
    // What happened before is not told, nor what does not fit.
    register(&daemon, "W2", "Roe");
    register(&daemon, "W1", "Doe");
    pulse(&daemon, "W2", 70);
    pulse(&daemon, "W1", 71);
    daemon.until("both are told", |_| hook.told().len() >= 2);
    let told = hook.told();
    let patient = told.iter().find(|told| told["method"] == "PUT").unwrap();
    assert_eq!((patient["path"].as_str(), patient["key"].as_str(), patient["type"].as_str()), (Some("/ehr/Patient/W1"), Some("a secret"), Some("application/fhir+json")));
    let body: Value = serde_json::from_str(patient["body"].as_str().unwrap()).unwrap();
    assert_eq!(body["name"][0]["family"], "Doe");
    let bell = told.iter().find(|told| told["method"] == "POST").unwrap();
    assert_eq!((bell["path"].as_str(), bell["body"].as_str()), (Some("/bell"), Some("")));
    // It does not answer well for a while, and wardd itself dies: nothing is lost, and the order stays.
    hook.answers(503);
    register(&daemon, "W3", "Doe");
    daemon.until("it was tried", |daemon| daemon.raw("GET", "/metrics", None, "").2.contains("wardd_subscription_requests_total{outcome=\"failed\"}"));
    register(&daemon, "W4", "Doe");
    daemon.kill();
    let daemon = site.start();
    register(&daemon, "W5", "Doe");
    hook.answers(200);
    daemon.until("all are told", |_| hook.told().iter().any(|told| told["path"] == "/ehr/Patient/W5"));
    let paths: Vec<String> = hook.told().iter().filter(|told| told["method"] == "PUT").map(|told| told["path"].as_str().unwrap().to_owned()).collect();
    let mut once = paths.clone();
    once.dedup();
    assert_eq!(once, ["/ehr/Patient/W1", "/ehr/Patient/W3", "/ehr/Patient/W4", "/ehr/Patient/W5"], "{paths:?}");
    // Who will never take it has failed, and a person sees it; asked again it is told from then on.
    hook.answers(410);
    register(&daemon, "W6", "Doe");
    let id = patients["id"].as_str().unwrap();
    daemon.until("it has failed", |daemon| fhir(daemon, "GET", &format!("Subscription/{id}"), None).1["status"] == "error");
    let (_, failed) = fhir(&daemon, "GET", &format!("Subscription/{id}"), None);
    assert!(failed["error"].as_str().unwrap().contains("410"), "{failed}");
    assert!(daemon.get("/api/v1/quarantine").to_string().contains("subscription_failed"));
    hook.answers(200);
    let (status, again) = fhir(&daemon, "PUT", &format!("Subscription/{id}"), Some(&hook.wanted("ehr", "Patient?family=doe")));
    assert_eq!((status, again["status"].as_str()), (200, Some("active")), "{again}");
    register(&daemon, "W7", "Doe");
    daemon.until("it is told again", |_| hook.told().iter().any(|told| told["path"] == "/ehr/Patient/W7"));
    assert!(!hook.told().iter().any(|told| told["path"] == "/ehr/Patient/W6"));
    // Removed, nothing more is told.
    assert_eq!(fhir(&daemon, "DELETE", &format!("Subscription/{id}"), None).0, 204);
    assert_eq!(fhir(&daemon, "GET", &format!("Subscription/{id}"), None).0, 404);
    assert_eq!(fhir(&daemon, "GET", "Subscription?status=active", None).1["total"], 1);
    register(&daemon, "W8", "Doe");
    pulse(&daemon, "W1", 72);
    let bells = || hook.told().iter().filter(|told| told["path"] == "/bell").count();
    daemon.until("the other is told", |_| bells() == 2);
    assert!(!hook.told().iter().any(|told| told["path"] == "/ehr/Patient/W8"));
    daemon.terminate();
    let events = site.events();
    assert_eq!((count(&events, "SubscriptionFailed"), count(&events, "SubscriptionRemoved")), (1, 1));
    assert!(site.verify());
    let _ = std::fs::remove_dir_all(&folder);
}

#[test]
fn what_cannot_be_kept_is_refused_with_its_place() {
    let folder = std::env::temp_dir().join(format!("wardd-hook-refused-{}", std::process::id()));
    let _ = std::fs::remove_dir_all(&folder);
    let hook = Hook::start(&folder, 0);
    let site = Site::with("", &hook.config());
    let daemon = site.start();
    let good = hook.wanted("x", "Patient");
    type Case = (&'static str, Value, &'static str);
    let cases: [Case; 11] = [
        ("/status", json!("error"), "Subscription.status"),
        ("/status", json!("off"), "Subscription.status"),
        ("/reason", Value::Null, "Subscription.reason"),
        ("/criteria", json!("Device"), "Subscription.criteria"),
        ("/criteria", json!("Patient?colour=red"), "Subscription.criteria"),
        ("/end", json!("2020-01-01T00:00:00Z"), "Subscription.end"),
        ("/channel/type", json!("email"), "Subscription.channel.type"),
        ("/channel/endpoint", json!("http://127.0.0.1:1/"), "Subscription.channel.endpoint"),
        ("/channel/endpoint", json!(format!("http://127.0.0.1:{}/a?b=c", hook.port)), "Subscription.channel.endpoint"),
        ("/channel/payload", json!("application/fhir+xml"), "Subscription.channel.payload"),
        ("/channel/header", json!(["Host: elsewhere"]), "Subscription.channel.header"),
    ];
    for (pointer, value, place) in cases {
        let mut body = good.clone();
        let (parent, name) = pointer.rsplit_once('/').unwrap();
        body.pointer_mut(parent).unwrap()[name] = value;
        let (status, outcome) = fhir(&daemon, "POST", "Subscription", Some(&body));
        assert!((400..500).contains(&status), "{pointer}: {outcome}");
        assert_eq!(outcome.pointer("/issue/0/expression/0").and_then(Value::as_str), Some(place), "{outcome}");
    }
    assert_eq!(fhir(&daemon, "PUT", "Subscription/none", Some(&good)).0, 404);
    assert_eq!(fhir(&daemon, "DELETE", "Subscription/none", None).0, 404);
    assert_eq!(fhir(&daemon, "DELETE", "Patient/W1", None).0, 405);
    assert_eq!(hook.told(), Vec::<Value>::new());
    // A house that allows no address tells nobody.
    drop(daemon);
    let silent = Site::with("", "");
    let (status, outcome) = fhir(&silent.start(), "POST", "Subscription", Some(&good));
    assert!((400..500).contains(&status) && outcome.to_string().contains("[subscriptions]"), "{outcome}");
    let _ = std::fs::remove_dir_all(&folder);
}

#[test]
fn a_program_is_told_what_it_may_see_and_no_longer_than_its_token_is_good() {
    let folder = std::env::temp_dir().join(format!("wardd-hook-rights-{}", std::process::id()));
    let _ = std::fs::remove_dir_all(&folder);
    let hook = Hook::start(&folder, 0);
    let site = Site::with("", &format!("{}[access]\n[[wards]]\nid = \"ICU\"\nname = \"Intensive care\"\nbeds = [\"1:A\"]\n", hook.config()));
    let daemon = site.start();
    let (boss, _) = found(&site, &daemon);
    let clerk = staff(&boss, "carl", &[("registration", "house")]);
    boss.done("/api/v1/users", json!({ "user": "screen", "name": "screen", "kind": "program" }));
    boss.done("/api/v1/users/screen/grant", json!({ "role": "interface", "scope": "ward:ICU" }));
    let issued = boss.done("/api/v1/users/screen/issue-token", json!({}));
    let token = issued["token"].as_str().unwrap().to_owned();
    let asks = |method: &str, path: &str, body: Option<&Value>, token: &str| daemon.ask(method, &format!("/fhir/R4/{path}"), body, &format!("Authorization: Bearer {token}\r\n"));
    let (status, made) = asks("POST", "Subscription", Some(&hook.wanted("icu", "Encounter")), &token);
    assert_eq!(status, 201, "{made}");
    // Nobody else sees it, and nobody without the right, or without a token, asks for one.
    let other = program(&boss, "other", "interface", json!({}));
    let path = format!("Subscription/{}", made["id"].as_str().unwrap());
    assert_eq!(other.ask("GET", &format!("/fhir/R4/{path}"), None).0, 404);
    assert_eq!(other.ask("PUT", &format!("/fhir/R4/{path}"), Some(hook.wanted("icu", "Encounter"))).0, 404);
    assert_eq!(program(&boss, "graphs", "monitoring", json!({})).ask("POST", "/fhir/R4/Subscription", Some(hook.wanted("icu", "Encounter"))).0, 403);
    let mia = staff(&boss, "mia", &[("interface", "house")]);
    let (status, outcome) = mia.ask("POST", "/fhir/R4/Subscription", Some(hook.wanted("icu", "Encounter")));
    assert_eq!(status, 409, "{outcome}");
    // Two are admitted, one of them where the program may look.
    for (mrn, bed) in [("W1", "MED1:101:A"), ("W2", "ICU:1:A")] {
        let person = json!({ "name": { "family": "Doe" }, "birth_date": "1980-01-02", "sex": "female" });
        clerk.done("/api/v1/patients", json!({ "mrn": mrn, "person": person, "confirm_new": true }));
        clerk.done(&format!("/api/v1/patients/{mrn}/admit"), json!({ "bed": bed, "encounter": format!("enc_{mrn}") }));
    }
    daemon.until("the one of its ward is told", |_| hook.told().iter().any(|told| told["path"] == "/icu/Encounter/W2"));
    assert!(!hook.told().iter().any(|told| told["path"] == "/icu/Encounter/W1"), "{:?}", hook.told());
    // What it was sent stands in the trail of the patient, and that it was not sent stands nowhere.
    let auditor = program(&boss, "audit", "auditor", json!({}));
    assert!(auditor.get("/api/v1/audit?patient=W2").to_string().contains("screen"));
    assert!(!auditor.get("/api/v1/audit?patient=W1").to_string().contains("screen"));
    // The token is withdrawn: it is told no more.
    let id = token.split('_').nth(1).unwrap();
    boss.done("/api/v1/users/screen/revoke-token", json!({ "token": id }));
    clerk.done("/api/v1/patients/W2/discharge", json!({}));
    daemon.until("it has failed", |daemon| daemon.raw("GET", "/healthz", None, "").0 == 200 && count(&site.events(), "SubscriptionFailed") == 1);
    assert_eq!(hook.told().iter().filter(|told| told["path"] == "/icu/Encounter/W2").count(), 1);
    let _ = std::fs::remove_dir_all(&folder);
}
