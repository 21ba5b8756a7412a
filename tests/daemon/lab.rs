//! From a tube's order to a charged result, with the real protocols.

use std::io::Write;

use super::harness::*;

#[test]
fn a_result_finds_its_specimen_and_is_charged_once() {
    let site = Site::new();
    let daemon = site.start();
    let accession = daemon.order(&["6690-2", "718-7"], true);
    let order = format!("O|1||^^{accession:>22}^M|^^^^WBC|R");
    let records = [
        "H|\\^&|||    XN-550^00-01^11001^^^^AP123456||||||||E1394-97",
        "P|1",
        &order,
        "R|1|^^^^WBC^1|  5.24|10*3/uL||N||F||||20260101120000",
        "R|2|^^^^HGB^1|14.0|g/dL||N||F||||20260101120000",
        "L|1|N",
    ];
    let mut analyzer = daemon.connect("xn");
    // Sent three times, as an operator does: filed once, charged once.
    (0..3).for_each(|_| astm_send(&mut analyzer, &records));
    daemon.until("resulted", |daemon| daemon.get(&format!("/api/v1/specimens/{accession}"))["stage"] == "resulted");
    daemon.until("charged", |daemon| daemon.get("/api/v1/accounts/1001")["charges"].as_array().is_some_and(|charges| charges.len() == 2));
    assert_eq!(daemon.get("/api/v1/accounts/1001")["balance"]["amount"], "7.70");
    let (_, code) = daemon.terminate();
    assert_eq!(code, Some(0));
    let events = site.events();
    assert_eq!((count(&events, "ResultFiled"), count(&events, "Charged"), count(&events, "MessageReceived")), (2, 2, 2), "scan and one message");
    assert!(site.verify());
}

#[test]
fn number_24_and_rule_1_a_crash_before_the_acknowledgement_gives_one_result() {
    let site = Site::new();
    let daemon = site.start();
    let accession = daemon.order(&["718-7"], true);
    let mut feed = daemon.connect("feed");
    let message = oru("C1", &accession, "13.5");
    // The answer is not awaited: the device does not know whether it was stored.
    feed.write_all(&[b"\x0b", message.as_bytes(), b"\x1c\r"].concat()).unwrap();
    daemon.kill();
    let daemon = site.start();
    let mut feed = daemon.connect("feed");
    assert!(mllp(&mut feed, &message).unwrap().contains("MSA|AA|C1"), "the device sends it again");
    daemon.until("resulted", |daemon| daemon.get(&format!("/api/v1/specimens/{accession}"))["stage"] == "resulted");
    daemon.terminate();
    assert_eq!(count(&site.events(), "ResultFiled"), 1);
}

#[test]
fn rule_15_a_query_is_answered_with_orders_or_with_none() {
    let site = Site::new();
    let daemon = site.start();
    let (status, answer) = daemon.post("/api/v1/lab-orders", serde_json::json!({ "patient": { "mrn": "7" }, "tests": ["6690-2"] }));
    assert_eq!(status, 201, "{answer}");
    for sample in ["000000", answer["accession"].as_str().unwrap()] {
        let mut analyzer = daemon.connect("e411");
        astm_send(&mut analyzer, &["H|\\^&|||cobas-e411^1|||||host|TSREQ^REAL|P|1", &format!("Q|1|^^{sample}||ALL||||||||O"), "L|1|N"]);
        assert_eq!(read(&mut analyzer, 1), [0x05], "the host bids");
        let mut answer = String::new();
        analyzer.write_all(&[0x06]).unwrap();
        loop {
            let first = read(&mut analyzer, 1)[0];
            if first == 0x04 {
                break;
            }
            let mut frame = vec![first];
            while !frame.ends_with(b"\r\n") {
                frame.extend(read(&mut analyzer, 1));
            }
            answer.push_str(&String::from_utf8_lossy(&frame));
            analyzer.write_all(&[0x06]).unwrap();
        }
        // Neither is measured: one is unknown, of the other nobody scanned the tube at the bedside.
        assert!(answer.contains("L|1|I"), "{answer:?}");
    }
}

#[test]
fn numbers_21_and_20_at_the_feed_a_second_patient_is_refused_and_told() {
    let site = Site::new();
    let daemon = site.start();
    let mut feed = daemon.connect("feed");
    let admit = |control: &str, patient: &str| format!("MSH|^~\\&|PAS|HOSP|WARDD|TEST|20260101||ADT^A01|{control}|P|2.5.1\rPID|1||{patient}^^^H^MR\rPV1|1|I|MED1^101^A\r");
    assert!(mllp(&mut feed, &admit("A1", "1001")).unwrap().contains("MSA|AA|A1"));
    let refused = mllp(&mut feed, &admit("A2", "1002")).unwrap();
    assert!(refused.contains("MSA|AE|A2") && refused.contains("occupied"), "{refused}");
    daemon.until("one patient", |daemon| daemon.get("/api/v1/beds/MED1:101:A")["patient"] == "1001");
    daemon.until("held", |daemon| daemon.get("/api/v1/quarantine").as_array().unwrap().len() == 1);
    // A transfer whose new bed is taken leaves the patient where they are.
    let transfer = "MSH|^~\\&|PAS|HOSP|WARDD|TEST|20260101||ADT^A02|A4|P|2.5.1\rPID|1||1002^^^H^MR\rPV1|1|I|MED1^101^A|||MED1^101^B\r";
    assert!(mllp(&mut feed, &admit("A3", "1002").replace("101^A", "101^B")).unwrap().contains("MSA|AA"));
    assert!(mllp(&mut feed, transfer).unwrap().contains("MSA|AE|A4"));
    daemon.until("not moved", |daemon| daemon.get("/api/v1/beds/MED1:101:B")["patient"] == "1002");
}

#[test]
fn what_is_held_can_be_retried_bound_and_discarded() {
    let site = Site::new();
    let daemon = site.start();
    let http = daemon.endpoints["http"].to_string();
    let mut feed = daemon.connect("feed");
    let accession = daemon.order(&["718-7"], false);
    assert!(mllp(&mut feed, &oru("C1", &accession, "13.5")).unwrap().contains("MSA|AA"));
    assert!(mllp(&mut feed, &oru("C2", "", "12.5")).unwrap().contains("MSA|AA"));
    assert!(mllp(&mut feed, "MSH|^~\\&|X|Y|Z|T|20260101||VXU^V04|C3|P|2.5.1\r").unwrap().contains("MSA|AR|C3"));
    daemon.until("three items", |daemon| daemon.get("/api/v1/quarantine").as_array().unwrap().len() == 3);
    let items = daemon.get("/api/v1/quarantine");
    let item = |reason: &str| items.as_array().unwrap().iter().find(|item| item["reason"]["reason"] == reason).unwrap()["item"].as_str().unwrap().to_owned();
    let control = |arguments: &[&str]| {
        let mut all = vec!["quarantine", "--http", &http];
        all.extend(arguments);
        wardctl(&all)
    };
    let refused = item("refused");
    assert!(!control(&["retry", &refused]).status.success(), "the tube is still not collected");
    let mut scanner = daemon.connect("scan-collect");
    scanner.write_all(format!("{accession}\r\n").as_bytes()).unwrap();
    assert_eq!(read(&mut scanner, 1), [0x06]);
    assert!(control(&["retry", &refused]).status.success());
    daemon.until("filed", |daemon| daemon.get(&format!("/api/v1/specimens/{accession}"))["stage"] == "resulted");
    let second = daemon.order(&["718-7"], true);
    let shown = control(&["show", &item("invalid")]);
    assert!(String::from_utf8_lossy(&shown.stdout).contains("12.5"), "the raw message is kept");
    assert!(control(&["bind", &item("invalid"), &second]).status.success());
    daemon.until("bound", |daemon| daemon.get(&format!("/api/v1/specimens/{second}"))["stage"] == "resulted");
    assert!(control(&["discard", &item("not_supported"), "--because", "vaccines are kept elsewhere"]).status.success());
    daemon.until("none left", |daemon| daemon.get("/api/v1/quarantine").as_array().unwrap().is_empty());
    assert!(String::from_utf8_lossy(&control(&["list"]).stdout).contains("0 items"));
}

#[test]
fn number_15_a_scanned_package_is_loaded_and_an_expired_one_is_blocked() {
    let site = Site::new();
    let daemon = site.start();
    let mut scanner = daemon.connect("scan-load");
    scanner.write_all(b"]d201095066821013521728123110L7\x1d30100\r\n").unwrap();
    assert_eq!(read(&mut scanner, 1), [0x06]);
    scanner.write_all(b"(01)09506682101352(17)201031(10)L1(30)100\r\n").unwrap();
    assert_eq!(read(&mut scanner, 1), [0x15], "the scanner sounds the other tone");
    daemon.until("stock", |daemon| daemon.get("/api/v1/cabinets/CAB1")["pockets"][0]["balance"] == "100");
    daemon.until("held as expired", |daemon| daemon.get("/api/v1/quarantine")[0]["reason"]["rule"] == "expired");
}

#[test]
fn a_charge_without_a_price_is_written_once_the_reloaded_list_has_one() {
    let site = Site::new();
    let path = site.folder.join("wardd.toml");
    let text = std::fs::read_to_string(&path).unwrap();
    let prices = site.folder.join("prices.toml");
    let list = |more: &str| std::fs::write(&prices, format!("currency = \"USD\"\n[[price]]\ncode = \"LAB-6690-2\"\namount = \"4.50\"\nfrom = \"2026-01-01\"\n{more}")).unwrap();
    list("");
    let ours = text.replace(&format!("{}/config/prices.toml", env!("CARGO_MANIFEST_DIR")), prices.to_str().unwrap());
    assert_ne!(text, ours);
    std::fs::write(&path, ours).unwrap();
    let daemon = site.start();
    let accession = daemon.order(&["718-7"], true);
    let mut feed = daemon.connect("feed");
    assert!(mllp(&mut feed, &oru("U1", &accession, "13.2")).unwrap().contains("MSA|AA|U1"));
    let items = |daemon: &Daemon| daemon.get("/api/v1/quarantine").as_array().unwrap().clone();
    daemon.until("held", |daemon| items(daemon).iter().any(|item| item["reason"]["reason"] == "unpriced"));
    assert_eq!(items(&daemon).len(), 1);
    daemon.terminate();
    let unchanged = site.start();
    std::thread::sleep(std::time::Duration::from_millis(300));
    assert_eq!(items(&unchanged).len(), 1, "still no price");
    unchanged.terminate();
    for round in 0..2 {
        let daemon = site.start();
        if round == 0 {
            assert_eq!(items(&daemon).len(), 1, "still no price");
            list("[[price]]\ncode = \"LAB-718-7\"\namount = \"3.20\"\nfrom = \"2020-01-01\"\n");
            assert!(daemon.reload(), "taken over while it runs");
        }
        daemon.until("charged", |daemon| daemon.get("/api/v1/accounts/1001")["balance"]["amount"] == "3.20");
        daemon.until("the item is closed", |daemon| items(daemon).is_empty());
        daemon.terminate();
    }
    let events = site.events();
    assert_eq!((count(&events, "ChargeUnpriced"), count(&events, "Charged"), count(&events, "Retried")), (1, 1, 1));
}

/// A message with two orders: one for a tube that is known, one for a number that is none.
fn two_orders(control: &str, known: &str, sample: &str) -> String {
    let observation = |number: u8, value: &str| format!("OBX|{number}|NM|718-7^HGB^LN||{value}|g/dL|||||F|||20260101115900\r");
    format!(
        "MSH|^~\\&|LIS|LAB|WARDD|TEST|20260101120000||ORU^R01^ORU_R01|{control}|P|2.5.1\rOBR|1||{known}|P\r{}OBR|2||{sample}|P\r{}",
        observation(1, "5.0"),
        observation(2, "11.1")
    )
}

#[test]
fn a_bind_files_only_what_waits_and_never_another_patient_s_result() {
    let site = Site::new();
    let daemon = site.start();
    let (known, other) = (daemon.order(&["718-7"], true), daemon.order(&["718-7"], true));
    let mut feed = daemon.connect("feed");
    assert!(mllp(&mut feed, &two_orders("T1", &known, "DOE JANE")).unwrap().contains("MSA|AA|T1"));
    let items = daemon.get("/api/v1/quarantine");
    assert_eq!(items.as_array().unwrap().len(), 1, "{items}");
    let item = items[0]["item"].as_str().unwrap();
    let (status, answer) = daemon.post(&format!("/api/v1/quarantine/{item}/bind"), serde_json::json!({ "user": "mta", "accession": other }));
    assert_eq!(status, 200, "{answer}");
    let filed = |accession: &str| daemon.get(&format!("/api/v1/specimens/{accession}"))["tests"]["718-7"].clone();
    let values = |accession: &str| filed(accession).as_array().unwrap().iter().map(|result| result["value"]["number"].as_str().unwrap().to_owned()).collect::<Vec<_>>();
    assert_eq!((values(&known), values(&other)), (vec!["5.0".to_owned()], vec!["11.1".to_owned()]));
}

#[test]
fn an_item_is_closed_only_when_its_result_is_filed() {
    let site = Site::new();
    let daemon = site.start();
    let accession = daemon.order(&["6690-2"], true);
    let mut feed = daemon.connect("feed");
    assert!(mllp(&mut feed, &oru("N1", &accession, "13.2")).unwrap().contains("MSA|AA|N1"));
    let items = daemon.get("/api/v1/quarantine");
    let item = items[0]["item"].as_str().unwrap().to_owned();
    assert_eq!(items[0]["reason"]["reason"], "test_not_ordered");
    let act = |what: &str, body: serde_json::Value| daemon.post(&format!("/api/v1/quarantine/{item}/{what}"), body);
    let (status, problem) = act("retry", serde_json::json!({}));
    assert!(status == 409 && problem["detail"].as_str().unwrap().contains("add-tests"), "{problem}");
    assert_eq!(act("bind", serde_json::json!({ "accession": accession })).0, 409);
    assert_eq!(daemon.get("/api/v1/quarantine").as_array().unwrap().len(), 1, "it still waits, and nothing new does");
    assert_eq!(daemon.post(&format!("/api/v1/specimens/{accession}/add-tests"), serde_json::json!({ "tests": ["718-7"] })).0, 200);
    assert_eq!(act("retry", serde_json::json!({})).0, 200);
    assert_eq!(daemon.get(&format!("/api/v1/specimens/{accession}"))["tests"]["718-7"][0]["value"]["number"], "13.2");
    assert!(daemon.get("/api/v1/quarantine").as_array().unwrap().is_empty());
}

#[test]
fn the_answer_to_a_repeated_message_is_the_first_one_also_after_a_restart() {
    let site = Site::new();
    let daemon = site.start();
    let admit = |control: &str, patient: &str| {
        format!("MSH|^~\\&|ADT|H|WARDD|TEST|20260101120000||ADT^A01^ADT_A01|{control}|P|2.5.1\rEVN|A01|20260101120000\rPID|1||{patient}^^^H^MR\rPV1|1|I|MED1^101^A\r")
    };
    let mut feed = daemon.connect("feed");
    assert!(mllp(&mut feed, &admit("A1", "1")).unwrap().contains("MSA|AA|A1"));
    assert!(mllp(&mut feed, &admit("A2", "2")).unwrap().contains("MSA|AE|A2"));
    let accession = daemon.order(&["718-7"], true);
    assert!(mllp(&mut feed, &two_orders("T1", &accession, "NOBODY")).unwrap().contains("MSA|AA|T1"));
    assert!(mllp(&mut feed, &oru("P2", &accession, "9").replace("1001^^^H^MR", "2002^^^H^MR")).unwrap().contains("MSA|AE|P2"), "another patient's message");
    daemon.kill();
    let daemon = site.start();
    let mut feed = daemon.connect("feed");
    for (message, answer) in [
        (admit("A1", "1"), "MSA|AA|A1"),
        (admit("A2", "2"), "MSA|AE|A2"),
        (two_orders("T1", &accession, "NOBODY"), "MSA|AA|T1"),
        (oru("P2", &accession, "9").replace("1001^^^H^MR", "2002^^^H^MR"), "MSA|AE|P2"),
    ] {
        let said = mllp(&mut feed, &message).unwrap();
        assert!(said.contains(answer), "{answer}: {said}");
    }
    daemon.terminate();
    let events = site.events();
    assert_eq!((count(&events, "PatientAdmitted"), count(&events, "Held"), count(&events, "ResultFiled")), (1, 3, 1));
}

/// An XN's message with one leucocyte count.
fn send_wbc(stream: &mut std::net::TcpStream, accession: &str, value: &str) {
    let order = format!("O|1||^^{accession:>22}^M|^^^^WBC|R");
    let result = format!("R|1|^^^^WBC^1|{value}|10*3/uL||N||F||||20260101120000");
    astm_send(stream, &["H|\\^&|||    XN-550^00-01^11001^^^^AP123456||||||||E1394-97", "P|1", &order, &result, "L|1|N"]);
}

#[test]
fn results_of_a_noisy_line_wait_for_a_person_until_it_is_good_again() {
    let site = Site::new();
    let daemon = site.start();
    let accession = daemon.order(&["6690-2"], true);
    let mut line = daemon.connect("xn");
    line.write_all(&[0x05]).unwrap();
    assert_eq!(read(&mut line, 1), [0x06]);
    for _ in 0..6 {
        line.write_all(b"\x021H|\\^&\r\x0300\r\n").unwrap();
        assert_eq!(read(&mut line, 1), [0x15], "a wrong checksum is never taken");
    }
    line.write_all(&[0x04]).unwrap();
    // A reconnect makes no line better.
    drop(line);
    let mut line = daemon.connect("xn");
    send_wbc(&mut line, &accession, "5.24");
    let items = daemon.get("/api/v1/quarantine");
    assert_eq!((items.as_array().unwrap().len(), items[0]["reason"]["reason"].as_str()), (1, Some("noisy_line")), "{items}");
    let device = |daemon: &Daemon| daemon.get("/api/v1/devices").as_array().unwrap().iter().find(|device| device["device"] == "xn").unwrap().clone();
    assert_eq!((device(&daemon)["is_line_bad"].as_bool(), device(&daemon)["bad_frames"].as_u64()), (Some(true), Some(6)));
    let (_, _, metrics) = daemon.raw("GET", "/metrics", None, "");
    assert!(metrics.contains("wardd_link_gate_closed{device=\"xn\"} 1") && metrics.contains("wardd_link_frame_error_ratio{device=\"xn\"} 0.006"), "{metrics}");
    let item = items[0]["item"].as_str().unwrap();
    assert_eq!(daemon.post(&format!("/api/v1/quarantine/{item}/retry"), serde_json::json!({})).0, 200, "a person has compared it");
    assert_eq!(daemon.get(&format!("/api/v1/specimens/{accession}"))["stage"], "resulted");
    // A thousand good frames open it: five a message.
    for _ in 0..200 {
        let accession = daemon.order(&["6690-2"], true);
        send_wbc(&mut line, &accession, "5.24");
    }
    assert_eq!(device(&daemon)["is_line_bad"], false);
    let accession = daemon.order(&["6690-2"], true);
    send_wbc(&mut line, &accession, "6.1");
    assert_eq!(daemon.get(&format!("/api/v1/specimens/{accession}"))["stage"], "resulted");
}

#[test]
fn rule_11_two_analyzers_on_one_listener_are_ambiguous_and_held() {
    let site = Site::new();
    let daemon = site.start();
    let accession = daemon.order(&["6690-2"], true);
    let mut first = daemon.connect("xn");
    // Another host of the loopback network.
    let socket = std::process::Command::new("python3")
        .args([
            "-c",
            "import socket,sys,time\ns=socket.socket()\ns.bind(('127.0.0.2',0))\ns.connect(('127.0.0.1',int(sys.argv[1])))\ntime.sleep(60)",
            &daemon.endpoints["xn"].port().to_string(),
        ])
        .spawn();
    let mut second = socket.unwrap();
    let connections = |daemon: &Daemon| daemon.get("/api/v1/devices").as_array().unwrap().iter().find(|device| device["device"] == "xn").unwrap()["connections"].clone();
    daemon.until("both are there", |daemon| connections(daemon) == 2);
    send_wbc(&mut first, &accession, "5.24");
    let items = daemon.get("/api/v1/quarantine");
    assert_eq!((items.as_array().unwrap().len(), items[0]["reason"]["reason"].as_str()), (1, Some("ambiguous")), "{items}");
    second.kill().unwrap();
    second.wait().unwrap();
    daemon.until("one is there", |daemon| connections(daemon) == 1);
    // A person says whose it is.
    let item = items[0]["item"].as_str().unwrap();
    assert_eq!(daemon.post(&format!("/api/v1/quarantine/{item}/retry"), serde_json::json!({})).0, 200);
    assert_eq!(daemon.get(&format!("/api/v1/specimens/{accession}"))["stage"], "resulted");
}

#[test]
fn what_is_too_large_and_a_batch_that_is_not_whole_are_refused_aloud() {
    let site = Site::new();
    let daemon = site.start();
    let accession = daemon.order(&["718-7"], true);
    let mut feed = daemon.connect("feed");
    let large = oru("BIG", &accession, "13.2") + "NTE|1||" + &"x".repeat(2 << 20) + "\r";
    let answer = mllp(&mut feed, &large).unwrap();
    assert!(answer.contains("|BIG") && answer.contains("larger than"), "{answer}");
    let mut feed = daemon.connect("feed");
    let batch = |count: u8| format!("BHS|^~\\&|LIS\r{}{}BTS|{count}\r", oru("B1", &accession, "13.2"), oru("B2", &accession, "13.3"));
    let answer = mllp(&mut feed, &batch(3)).unwrap();
    assert!(answer.contains("MSA|AE|B1") && answer.contains("MSA|AE|B2") && answer.contains("BTS-1"), "{answer}");
    assert_eq!(daemon.get(&format!("/api/v1/specimens/{accession}"))["tests"]["718-7"].as_array().unwrap().len(), 0, "nothing of it is done");
    let answer = mllp(&mut feed, &batch(2)).unwrap();
    assert!(answer.contains("MSA|AA|B1") && answer.contains("MSA|AA|B2"), "{answer}");
}
