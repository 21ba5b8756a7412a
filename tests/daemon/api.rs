//! The API: idempotency, problems, metrics, the page, and who may ask.

use std::io::{Read, Write};

use serde_json::json;

use super::harness::*;

#[test]
fn the_same_idempotency_key_has_one_effect_and_one_answer() {
    let site = Site::new();
    let daemon = site.start();
    let order = json!({ "patient": { "mrn": "1" }, "tests": ["718-7"] });
    let first = daemon.ask("POST", "/api/v1/lab-orders", Some(&order), "Idempotency-Key: k1\r\n");
    let again = daemon.ask("POST", "/api/v1/lab-orders", Some(&order), "Idempotency-Key: k1\r\n");
    let other = daemon.ask("POST", "/api/v1/lab-orders", Some(&order), "Idempotency-Key: k2\r\n");
    assert_eq!(first, again);
    assert_ne!(first.1["accession"], other.1["accession"]);
    let load = json!({ "pocket": "1-1", "lot": "L", "expires": "2029-01-01", "quantity": "10" });
    for _ in 0..3 {
        assert_eq!(daemon.ask("POST", "/api/v1/cabinets/CAB1/load", Some(&load), "Idempotency-Key: k3\r\n").0, 200);
    }
    daemon.known("1");
    let vend = json!({ "pocket": "1-1", "quantity": "3", "patient": "1", "user": "nurse-a" });
    let vended = daemon.ask("POST", "/api/v1/cabinets/CAB1/vend", Some(&vend), "Idempotency-Key: k4\r\n");
    assert_eq!(vended.0, 200, "{}", vended.1);
    // The key holds over a crash.
    daemon.kill();
    let daemon = site.start();
    let repeated = daemon.ask("POST", "/api/v1/cabinets/CAB1/vend", Some(&vend), "Idempotency-Key: k4\r\n");
    assert_eq!(repeated.1["events"], vended.1["events"]);
    daemon.until("stock", |daemon| daemon.get("/api/v1/cabinets/CAB1")["pockets"][0]["balance"] == "7");
    daemon.until("one charge", |daemon| daemon.get("/api/v1/accounts/1")["charges"].as_array().is_some_and(|charges| charges.len() == 1));
}

#[test]
fn a_key_that_was_used_for_another_request_is_refused() {
    let site = Site::new();
    let daemon = site.start();
    let order = |mrn: &str, test: &str| daemon.ask("POST", "/api/v1/lab-orders", Some(&json!({ "patient": { "mrn": mrn }, "tests": [test] })), "Idempotency-Key: o1\r\n");
    let first = order("1001", "718-7");
    assert_eq!((first.0, order("1001", "718-7")), (201, first.clone()));
    let other = order("2002", "6690-2");
    assert_eq!((other.0, other.1["type"].as_str()), (422, Some("urn:wardd:problem:idempotency_key_reused")), "never another patient's answer");
    daemon.post("/api/v1/cabinets/CAB1/load", json!({ "pocket": "1-1", "lot": "L", "expires": "2029-01-01", "quantity": "900" }));
    ["1", "2", "3"].iter().for_each(|mrn| daemon.known(mrn));
    let vend = |patient: &str, key: &str| {
        daemon.ask("POST", "/api/v1/cabinets/CAB1/vend", Some(&json!({ "pocket": "1-1", "quantity": "1", "patient": patient })), &format!("Idempotency-Key: {key}\r\n"))
    };
    let once = vend("1", "v1");
    assert_eq!((once.0, vend("2", "v1").0), (200, 422));
    // Hundreds of commands later the key still stands for what it stood for.
    (0..600).for_each(|number| assert_eq!(vend("3", &format!("more-{number}")).0, 200));
    assert_eq!(vend("1", "v1"), once);
}

#[test]
fn number_7_settled_in_two_windows_is_one_payment() {
    let site = Site::new();
    let daemon = site.start();
    daemon.post("/api/v1/cabinets/CAB1/load", json!({ "pocket": "1-1", "lot": "L", "expires": "2029-01-01", "quantity": "10" }));
    let vend = json!({ "pocket": "1-1", "quantity": "10", "patient": "5" });
    assert_eq!(daemon.post("/api/v1/cabinets/CAB1/vend", vend.clone()).1["type"], "urn:wardd:problem:not_registered", "nobody is given nothing");
    daemon.known("5");
    assert_eq!(daemon.post("/api/v1/cabinets/CAB1/vend", vend).0, 200);
    daemon.until("owed", |daemon| daemon.get("/api/v1/accounts/5")["balance"]["amount"] == "0.80");
    let settle = || daemon.post("/api/v1/accounts/5/settle", json!({}));
    let answers = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..4).map(|_| scope.spawn(settle)).collect();
        threads.into_iter().map(|thread| thread.join().unwrap().0).collect::<Vec<u16>>()
    });
    assert_eq!(answers.iter().filter(|status| **status == 200).count(), 1, "{answers:?}");
    daemon.until("settled", |daemon| daemon.get("/api/v1/accounts/5")["payments"].as_array().is_some_and(|payments| payments.len() == 1));
    assert!(daemon.get("/api/v1/accounts/6")["balance"].is_null(), "a patient without charges has neither paid nor owes");
}

#[test]
fn errors_are_problems_that_name_the_thing_and_the_way_out() {
    let site = Site::new();
    let daemon = site.start();
    daemon.known("1");
    let cases = [
        ("POST", "/api/v1/lab-orders", json!({ "patient": { "mrn": "1" }, "tests": ["777-3"] }), 400, "catalogue"),
        ("POST", "/api/v1/lab-orders", json!({ "patient": { "mrn": "1" }, "tests": ["718-8"] }), 422, "check digit"),
        ("POST", "/api/v1/lab-orders", json!({ "patient": { "mrn": "1" }, "tets": [] }), 422, "unknown field"),
        ("POST", "/api/v1/cabinets/CAB1/vend", json!({ "pocket": "1-1", "quantity": "1", "patient": "1" }), 409, "holds 0"),
        ("POST", "/api/v1/cabinets/CAB1/vend", json!({ "pocket": "1-1" }), 400, "quantity"),
        ("POST", "/api/v1/cabinets/NONE/vend", json!({}), 404, "no cabinet"),
        ("POST", "/api/v1/beds/MED1:101:A/discharge", json!({ "patient": "1" }), 409, "nobody lies"),
        ("GET", "/api/v1/specimens/1", json!(null), 404, "no specimen"),
        ("GET", "/nowhere", json!(null), 404, "openapi"),
        ("DELETE", "/api/v1/beds", json!(null), 405, "another method"),
    ];
    for (method, path, body, status, part) in cases {
        let (found, head, text) = daemon.raw(method, path, Some(&body).filter(|body| !body.is_null()), "");
        assert_eq!(found, status, "{path}: {text}");
        assert!(text.contains(part), "{path}: {text}");
        assert!(head.contains("application/problem+json"), "{head}");
    }
}

#[test]
fn metrics_health_openapi_and_the_page_are_served() {
    let site = Site::new();
    let daemon = site.start();
    let mut feed = daemon.connect("feed");
    assert!(mllp(&mut feed, &oru("C1", "1", "13.5")).unwrap().contains("MSA|AA|C1"));
    assert_eq!(daemon.raw("GET", "/healthz", None, "").0, 200);
    daemon.until("ready", |daemon| daemon.raw("GET", "/readyz", None, "").0 == 200);
    let (_, _, metrics) = daemon.raw("GET", "/metrics", None, "");
    for name in ["wardd_journal_syncs_total", "wardd_gateway_messages_total{answer=\"held\",device=\"feed\"} 1", "wardd_quarantine_open_items", "wardd_link_connections"] {
        assert!(metrics.contains(name), "{name} in {metrics}");
    }
    let openapi = daemon.get("/api/v1/openapi.json");
    assert!(openapi["paths"]["/api/v1/lab-orders"]["post"].is_object());
    let (_, head, page) = daemon.raw("GET", "/", None, "");
    assert!(head.to_lowercase().contains("content-security-policy"));
    assert!(page.contains("MED1:101:A") && page.contains("feed"), "{page}");
    let devices = daemon.get("/api/v1/devices");
    assert!(devices.as_array().unwrap().iter().any(|device| device["device"] == "feed" && device["held"] == 1), "{devices}");
}

#[test]
fn the_page_s_events_come_when_something_changes() {
    let site = Site::new();
    let daemon = site.start();
    let mut stream = daemon.connect("http");
    write!(stream, "GET /events HTTP/1.1\r\nHost: localhost\r\n\r\n").unwrap();
    let mut seen = String::new();
    let mut buffer = [0; 4_096];
    let mut has_admitted = false;
    while !seen.contains("4711") {
        let count = stream.read(&mut buffer).unwrap();
        assert!(count > 0, "the stream ended");
        seen.push_str(&String::from_utf8_lossy(&buffer[..count]));
        if !std::mem::replace(&mut has_admitted, true) {
            assert_eq!(daemon.post("/api/v1/patients", serde_json::json!({ "mrn": "4711", "person": { "name": { "family": "Doe" } } })).0, 201);
            assert_eq!(daemon.post("/api/v1/beds/MED1:101:A/admit", json!({ "patient": "4711" })).0, 200);
        }
    }
    assert!(daemon.terminate().0.as_secs() < 5, "an open page does not hold up the end");
}

#[test]
fn off_loopback_it_does_not_start_without_tls_or_as_an_open_house() {
    let site = Site::new();
    let path = site.folder.join("wardd.toml");
    let text = std::fs::read_to_string(&path).unwrap();
    for open in [true, false] {
        std::fs::write(&path, text.replace("bind = \"127.0.0.1:0\"\n[log]", "bind = \"0.0.0.0:0\"\n[log]").replace("open = true", &format!("open = {open}"))).unwrap();
        let output = std::process::Command::new(env!("CARGO_BIN_EXE_wardd")).args(["run", "--config"]).arg(&path).output().unwrap();
        assert!(!output.status.success());
        assert!(String::from_utf8_lossy(&output.stderr).contains("WD-0301"));
    }
}

#[test]
fn with_a_certificate_it_speaks_tls_only_and_wardctl_trusts_the_named_authority() {
    let site = Site::new();
    let certified = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).unwrap();
    let file = |name: &str| site.folder.join(name);
    std::fs::write(file("tls.pem"), certified.cert.pem()).unwrap();
    std::fs::write(file("tls.key"), certified.signing_key.serialize_pem()).unwrap();
    std::fs::write(file("other.pem"), rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).unwrap().cert.pem()).unwrap();
    let path = file("wardd.toml");
    let text = std::fs::read_to_string(&path).unwrap();
    let tls = "bind = \"127.0.0.1:0\"\ntls_certificate = \"tls.pem\"\ntls_key = \"tls.key\"\n[log]";
    std::fs::write(&path, text.replace("bind = \"127.0.0.1:0\"\n[log]", tls)).unwrap();
    let daemon = site.start();
    let at = format!("localhost:{}", daemon.endpoints["http"].port());
    let named = |name: &str| file(name).to_str().unwrap().to_owned();
    // Somebody who never finishes the handshake holds up nobody.
    let silent: Vec<_> = (0..8).map(|_| daemon.connect("http")).collect();
    let list = |more: &[&str]| wardctl(&[&["quarantine", "list", "--http", &at], more].concat());
    let trusted = list(&["--ca", &named("tls.pem")]);
    assert!(trusted.status.success() && String::from_utf8_lossy(&trusted.stdout).contains("0 items"), "{trusted:?}");
    drop(silent);
    for (wrong, part) in [
        (list(&["--ca", &named("other.pem")]), "does not answer"),
        (list(&[]), "--ca"),
        (list(&["--ca", &named("wardd.toml")]), "no certificate"),
        (list(&["--ca", &named("tls.pem"), "--token-file", &named("nothing")]), "nothing"),
    ] {
        let said = [wrong.stdout.as_slice(), &wrong.stderr].concat();
        assert!(!wrong.status.success() && String::from_utf8_lossy(&said).contains(part), "{part}: {}", String::from_utf8_lossy(&said));
    }
}

#[test]
fn wrong_queries_and_quantities_are_problems_and_nothing_breaks() {
    let site = Site::new();
    let daemon = site.start();
    let (status, head, body) = daemon.raw("GET", "/api/v1/specimens?limit=abc", None, "");
    assert!(status == 400 && head.contains("application/problem+json") && body.contains("limit"), "{body}");
    let load = |quantity: &str| daemon.post("/api/v1/cabinets/CAB1/load", json!({ "pocket": "1-1", "lot": "L", "expires": "2029-01-01", "quantity": quantity })).0;
    assert_eq!((load("79228162514264337593543950335"), load("79228162514264337593543950335"), load("5")), (409, 409, 200));
    assert_eq!(daemon.get("/api/v1/cabinets/CAB1")["pockets"][0]["balance"], "5");
    let accession = daemon.order(&["718-7"], false);
    let (status, problem) = daemon.post(&format!("/api/v1/specimens/{accession}/add-tests"), json!({ "tests": ["2345-7"] }));
    assert!(status == 400 && problem["detail"].as_str().unwrap().contains("not in the catalogue"), "{problem}");
    let waste = json!({ "pocket": "1-1", "patient": "1", "quantity": "1", "witness": "b" });
    let (status, problem) = daemon.post("/api/v1/cabinets/CAB1/waste", waste);
    assert!(status == 400 && problem["detail"].as_str().unwrap().contains("user"), "{problem}");
    let (_, problem) = daemon.post("/api/v1/cabinets/CAB1/vend", json!({ "pocket": 7 }));
    assert!(!problem["detail"].as_str().unwrap().contains("target type"), "{problem}");
}

#[test]
fn a_resolved_discrepancy_waits_for_nobody_any_more() {
    let site = Site::new();
    let daemon = site.start();
    let cabinet = |what: &str, body: serde_json::Value| daemon.post(&format!("/api/v1/cabinets/CAB1/{what}"), body);
    assert_eq!(cabinet("load", json!({ "pocket": "1-1", "lot": "L", "expires": "2029-01-01", "quantity": "10" })).0, 200);
    let open = |daemon: &Daemon| daemon.get("/api/v1/quarantine").as_array().unwrap().len();
    for (found, number) in [("9", 1), ("8", 2)] {
        assert_eq!(cabinet("count", json!({ "pocket": "1-1", "quantity": found })).0, 200);
        assert_eq!(open(&daemon), number);
    }
    assert_eq!(cabinet("resolve", json!({ "pocket": "1-1", "explanation": "two broke", "user": "a", "witness": "b" })).0, 200);
    daemon.until("both items are closed", |daemon| open(daemon) == 0);
    assert_eq!(cabinet("count", json!({ "pocket": "1-1", "quantity": "7" })).0, 200);
    assert_eq!(open(&daemon), 1);
    assert_eq!(cabinet("count", json!({ "pocket": "1-1", "quantity": "8" })).0, 200);
    daemon.until("a count that agrees closes it too", |daemon| open(daemon) == 0);
    daemon.terminate();
    assert_eq!(count(&site.events(), "Retried"), 3);
}

#[test]
fn requests_made_up_from_the_document_find_no_error_of_the_server() {
    let site = Site::with(
        "",
        "[[wards]]\nid = \"ICU\"\nname = \"Intensive care\"\nbeds = [\"1:A\"]\n[wristbands]\ncompany_prefix = \"9521141\"\n[[printers]]\nid = \"B\"\nlink = { kind = \"tcp-connect\", address = \"127.0.0.1:1\" }\n",
    );
    let daemon = site.start();
    // Something that the requests may meet.
    for mrn in ["0", "1", "null", "false"] {
        assert_eq!(daemon.post("/api/v1/patients", json!({ "mrn": mrn, "person": { "name": { "family": mrn } }, "confirm_new": true })).0, 201);
    }
    let address = daemon.connect("http").peer_addr().unwrap();
    let program = std::env::var("WARDD_PEERS").expect("run tests/run, which installs schemathesis") + "/bin/schemathesis";
    let document = format!("http://{address}/api/v1/openapi.json");
    // One worker: CPython 3.11's syntax trees break when several threads make them at once, and the tool makes them.
    let arguments = ["--checks", "not_a_server_error", "--max-examples", "25", "--phases", "coverage,fuzzing", "--seed", "7", "--workers", "1", "--no-color"];
    let output = std::process::Command::new(program).args(["run", &document]).args(arguments).current_dir(&site.folder).output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success(), "{said}");
    assert!(said.contains("Selected: ") && said.contains(" generated, "), "{said}");
}
