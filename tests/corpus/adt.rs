//! Other people's ADT messages, all into one hospital that has the beds which they name: who is registered, and who lies where.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use super::harness::{Site, mllp};
use super::hl7::as_production;
use super::table::*;

/// A message as this test reads it: segments of fields, by its own separator; no escapes, no repetitions but in PID-3.
struct Read {
    trigger: String,
    mrn: String,
    family: String,
    bed: Option<(String, String)>,
}

fn component(field: &str, number: usize) -> &str {
    field.split('~').next().unwrap_or_default().split('^').nth(number - 1).unwrap_or_default().split('&').next().unwrap_or_default().trim()
}

fn read(text: &str) -> Option<Read> {
    let segments: Vec<Vec<&str>> = text.split(['\r', '\n']).filter(|line| line.len() > 3).map(|line| line.split('|').collect()).collect();
    let field = |name: &str, number: usize| segments.iter().find(|segment| segment[0] == name).and_then(|segment| segment.get(number)).copied().unwrap_or_default();
    let kind = field("MSH", 8);
    (component(kind, 1) == "ADT" && field("MSH", 1) == "^~\\&").then(|| {
        let numbers = field("PID", 3).split('~');
        let typed = numbers.clone().find(|number| component(number, 5) == "MR");
        let place = field("PV1", 3);
        let part = |number| component(place, number).replace(' ', "_");
        let bed = [1, 2, 3].into_iter().all(|number| !part(number).is_empty()).then(|| (part(1), format!("{}:{}", part(2), part(3))));
        Read { trigger: component(kind, 2).to_owned(), mrn: component(typed.unwrap_or(field("PID", 3)), 1).to_owned(), family: component(field("PID", 5), 1).to_owned(), bed }
    })
}

/// How many items wait for a person.
fn waiting(daemon: &super::harness::Daemon) -> u64 {
    let metrics = daemon.raw("GET", "/metrics", None, "").2;
    let line = metrics.lines().find_map(|line| line.strip_prefix("wardd_quarantine_open ")).unwrap_or("0");
    line.trim().parse().unwrap()
}

/// Where the patient must lie after a message that was taken as a whole, as this test reads HL7 v2.5.1 chapter 3: who was admitted or moved lies in
/// the bed of PV1-3, who was discharged or whose admission was cancelled in none. `None`: the message does not say.
fn lies_afterwards(message: &Read) -> Option<Option<String>> {
    let bed = message.bed.as_ref().filter(|(ward, bed)| is_key(ward) && bed.split(':').all(is_key)).map(|(ward, bed)| format!("{ward}:{bed}"));
    match message.trigger.as_str() {
        "A01" | "A02" | "A06" | "A13" => bed.map(Some),
        "A03" | "A11" => Some(None),
        _ => None,
    }
}

/// Whether wardd can use it as an identity.
fn is_key(text: &str) -> bool {
    !text.is_empty() && text.len() < 40 && text.chars().all(|letter| letter.is_ascii_alphanumeric() || "-_.@#+*=~".contains(letter))
}

#[test]
fn adt_messages_register_whom_they_name_and_no_bed_holds_two() {
    let Some(folder) = corpus("hl7v2") else { return };
    let messages: Vec<(String, Vec<u8>, Read)> = files(&folder)
        .into_iter()
        .filter_map(|path| {
            let bytes = as_production(&std::fs::read(&path).unwrap());
            let found = read(&String::from_utf8_lossy(&bytes))?;
            Some((path.strip_prefix(&folder).unwrap().to_str().unwrap().to_owned(), bytes, found))
        })
        .collect();
    let mut wards: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
    for (ward, bed) in messages.iter().filter_map(|(_, _, message)| message.bed.as_ref()) {
        if is_key(ward) && bed.split(':').all(is_key) {
            wards.entry(ward).or_default().insert(bed);
        }
    }
    let wards: String = wards.iter().map(|(ward, beds)| format!("[[wards]]\nid = \"{ward}\"\nname = \"{ward}\"\nbeds = {:?}\n", beds.iter().collect::<Vec<_>>())).collect();
    let site = Site::with("", &wards);
    let daemon = site.start();
    let mut feed = daemon.connect("feed");
    let (mut before, mut placed, mut misplaced) = (waiting(&daemon), 0, Vec::new());
    let (mut table, mut names): (Table, BTreeMap<&str, BTreeSet<&str>>) = (Table::default(), BTreeMap::new());
    for (name, bytes, message) in &messages {
        let answer = mllp(&mut feed, &String::from_utf8_lossy(bytes).trim_end().replace("\r\n", "\r").replace('\n', "\r")).unwrap();
        let code = ["AA", "AE", "AR"].into_iter().find(|code| answer.contains(&format!("MSA|{code}"))).unwrap_or_else(|| panic!("{name}: {answer}"));
        table.add(format!("{} {code}", message.trigger));
        let held = waiting(&daemon);
        // What waits for a person has not happened yet.
        if let (true, Some(expected)) = (code == "AA" && held == before && is_key(&message.mrn), lies_afterwards(message)) {
            let (_, _, body) = daemon.raw("GET", &format!("/api/v1/patients/{}", message.mrn.replace('#', "%23")), None, "");
            let person: Value = serde_json::from_str(&body).unwrap_or_default();
            let lies = person["stay"]["open"]["bed"].as_str().map(str::to_owned);
            placed += 1;
            if lies != expected {
                misplaced.push(format!("{name} ({}): {} lies in {lies:?}, and the message says {expected:?}", message.trigger, message.mrn));
            }
        }
        before = held;
        let is_person = is_key(&message.mrn) && !message.family.is_empty() && message.family != "\"\"" && message.family.is_ascii();
        if code == "AA" && is_person && !message.family.contains('\\') && !message.trigger.is_empty() {
            names.entry(&message.mrn).or_default().insert(&message.family);
        }
    }
    table.print("ADT by event");
    println!("{placed} messages say where somebody lies");
    assert!(placed > 10, "{placed}");
    let mut failures = misplaced;
    for (mrn, families) in &names {
        let (status, _, body) = daemon.raw("GET", &format!("/api/v1/patients/{}", mrn.replace('#', "%23")), None, "");
        let person: Value = serde_json::from_str(&body).unwrap_or_default();
        if status != 200 || !families.contains(person["person"]["name"]["family"].as_str().unwrap_or_default()) {
            failures.push(format!("{mrn} is one of {families:?}: {status} {body}"));
        }
    }
    println!("{} messages, {} people", messages.len(), names.len());
    assert!(messages.len() > 100 && names.len() > 9, "{} messages, {} people", messages.len(), names.len());
    assert_eq!(daemon.terminate().1, Some(0));
    let mut holds: BTreeMap<String, String> = BTreeMap::new();
    let mut admitted = 0;
    for event in site.events() {
        let Some(bed) = event["stream"].as_str().and_then(|stream| stream.strip_prefix("bed/")) else { continue };
        match event["type"].as_str().unwrap() {
            "PatientAdmitted" => {
                admitted += 1;
                if let Some(other) = holds.insert(bed.to_owned(), event["payload"]["patient"].to_string()) {
                    failures.push(format!("{bed} holds {other} and another"));
                }
            }
            "PatientLeft" => drop(holds.remove(bed)),
            _ => {}
        }
    }
    assert!(admitted >= 3, "{admitted} admissions");
    no_failures(&failures);
}
