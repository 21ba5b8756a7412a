//! The stored form of every event, version by version: what was once written must be read for ever.
//!
//! A new event or version is a new line of `golden/events.jsonl`; a line that was ever released is never changed.

use std::collections::BTreeSet;
use std::path::Path;

use serde::Deserialize;

use super::*;

const EVENTS: &str = include_str!("golden/events.jsonl");
const STATES: &str = include_str!("golden/states.jsonl");

/// An event as the log has it.
#[derive(Deserialize)]
struct Line {
    stream: String,
    version: u16,
    payload: serde_json::Value,
}

/// A snapshot's state.
#[derive(Deserialize)]
struct StateLine {
    stream: String,
    format: u16,
    state: serde_json::Value,
}

fn read_and_written<E: Serialize + DeserializeOwned>(payload: &serde_json::Value, name: impl Fn(&E) -> (&'static str, u16)) -> (serde_json::Value, &'static str, u16) {
    let event: E = serde_json::from_value(payload.clone()).unwrap_or_else(|error| panic!("{error}: {payload}"));
    let (name, version) = name(&event);
    (serde_json::to_value(&event).unwrap(), name, version)
}

fn aggregate<A: Folded>(payload: &serde_json::Value) -> (serde_json::Value, &'static str, u16) {
    read_and_written::<A::Event>(payload, A::name)
}

fn state<A: Folded>(line: &StateLine) {
    let state: A = serde_json::from_value(line.state.clone()).unwrap_or_else(|error| panic!("{}: {error}", line.stream));
    assert_eq!((serde_json::to_value(&state).unwrap(), A::SNAPSHOT), (line.state.clone(), line.format), "{}: raise SNAPSHOT when the state's shape changes", line.stream);
}

#[test]
fn every_stored_event_is_read_and_the_newest_are_written_the_same() {
    for line in EVENTS.lines() {
        let Line { stream, version, payload } = serde_json::from_str(line).unwrap();
        let (written, name, newest) = match stream.as_str() {
            "bed" => aggregate::<bed::Bed>(&payload),
            "specimen" => aggregate::<specimen::Specimen>(&payload),
            "cabinet" => aggregate::<cabinet::Cabinet>(&payload),
            "account" => aggregate::<account::Account>(&payload),
            "quarantine" => aggregate::<quarantine::Item>(&payload),
            "hospital" => aggregate::<accessions::Accessions>(&payload),
            "record-numbers" => aggregate::<record_numbers::RecordNumbers>(&payload),
            "patient" => aggregate::<patient::Patient>(&payload),
            "encounter" => aggregate::<encounter::Encounter>(&payload),
            "staff" => aggregate::<staff::Staff>(&payload),
            "user" => aggregate::<user::User>(&payload),
            "chart" => aggregate::<chart::Chart>(&payload),
            "task" => aggregate::<task::Tasks>(&payload),
            "document" => aggregate::<document::Document>(&payload),
            "directory" => aggregate::<directory::Listed>(&payload),
            "vitals" => aggregate::<vitals::Vitals>(&payload),
            "schedule" => aggregate::<schedule::Schedule>(&payload),
            "subscriber" => aggregate::<subscriber::Subscriber>(&payload),
            "subscription" => aggregate::<subscription::Subscription>(&payload),
            "access" => read_and_written::<disclosure::Event>(&payload, disclosure::Event::name),
            "device" => read_and_written::<device::Event>(&payload, device::Event::name),
            other => panic!("no such stream kind: {other}"),
        };
        assert_eq!(payload["event"], name);
        assert!(version <= newest, "{name}: version {version} is not known");
        if version == newest {
            assert_eq!(written, payload, "{name} is written in another form: raise its version and add a line");
        }
    }
}

#[test]
fn every_version_of_every_event_has_a_line() {
    let lines: BTreeSet<(String, u16)> = EVENTS
        .lines()
        .map(|line| {
            let line: Line = serde_json::from_str(line).unwrap();
            (line.payload["event"].as_str().unwrap().to_owned(), line.version)
        })
        .collect();
    // The names stand as `("Name", version)` in each aggregate's `fn name`.
    let pattern = regex::Regex::new(r#"=> \("([A-Z]\w+)", (\d+)\)"#).unwrap();
    let mut count = 0;
    for folder in std::fs::read_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join("src/domain")).unwrap().flatten().filter(|entry| entry.path().is_dir()) {
        let Ok(text) = std::fs::read_to_string(folder.path().join("mod.rs")) else { continue };
        for found in pattern.captures_iter(&text) {
            let newest: u16 = found[2].parse().unwrap();
            for version in 1..=newest {
                assert!(lines.contains(&(found[1].to_owned(), version)), "{} version {version} has no line in golden/events.jsonl", &found[1]);
            }
            count += 1;
        }
    }
    assert!(count >= 70, "{count} events found: the pattern does not see them");
}

#[test]
fn every_state_is_read_and_written_the_same() {
    let mut seen = BTreeSet::new();
    for line in STATES.lines() {
        let line: StateLine = serde_json::from_str(line).unwrap();
        match line.stream.as_str() {
            "bed" => state::<bed::Bed>(&line),
            "specimen" => state::<specimen::Specimen>(&line),
            "cabinet" => state::<cabinet::Cabinet>(&line),
            "account" => state::<account::Account>(&line),
            "quarantine" => state::<quarantine::Item>(&line),
            "hospital" => state::<accessions::Accessions>(&line),
            "record-numbers" => state::<record_numbers::RecordNumbers>(&line),
            "patient" => state::<patient::Patient>(&line),
            "encounter" => state::<encounter::Encounter>(&line),
            "staff" => state::<staff::Staff>(&line),
            "user" => state::<user::User>(&line),
            "chart" => state::<chart::Chart>(&line),
            "task" => state::<task::Tasks>(&line),
            "document" => state::<document::Document>(&line),
            "directory" => state::<directory::Listed>(&line),
            "vitals" => state::<vitals::Vitals>(&line),
            "subscriber" => state::<subscriber::Subscriber>(&line),
            "subscription" => state::<subscription::Subscription>(&line),
            "schedule" => state::<schedule::Schedule>(&line),
            other => panic!("no such aggregate: {other}"),
        }
        seen.insert(line.stream);
    }
    assert_eq!(seen.len(), 19);
}
