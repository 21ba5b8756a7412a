//! What a released version stored is read for ever: `tests/formats/VERSION/` holds a journal that it wrote, and what it said of it.
//! Before a release: `WARDD_WRITE_FORMAT=1 cargo test --release --test daemon formats` writes the folder of this version.

use std::io::Write;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use super::harness::*;

/// What is asked of a wardd that has the journal; its answers then must be part of its answers now.
const QUESTIONS: [&str; 4] = ["/api/v1/cabinets/CAB1", "/api/v1/accounts/1001", "/api/v1/beds", "/api/v1/specimens"];

fn formats() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/formats")
}

/// Whether all that was said then is said now; what changes with the clock is left out.
fn is_part(then: &Value, now: &Value) -> bool {
    match (then, now) {
        (Value::Object(then), Value::Object(now)) => {
            then.iter().filter(|(name, _)| !name.ends_with("age_seconds")).all(|(name, then)| now.get(name).is_some_and(|now| is_part(then, now)))
        }
        (Value::Array(then), Value::Array(now)) => then.len() == now.len() && then.iter().zip(now).all(|(then, now)| is_part(then, now)),
        _ => then == now,
    }
}

fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let path = entry.unwrap().path();
        std::fs::copy(&path, to.join(path.file_name().unwrap())).unwrap();
    }
}

fn private(path: &Path) {
    use std::os::unix::fs::PermissionsExt;
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o600)).unwrap();
}

/// A little of everything that wardd stores.
fn live(daemon: &Daemon) {
    let mut feed = daemon.connect("feed");
    let admit = "MSH|^~\\&|ADT|H|WARDD|TEST|20260101120000||ADT^A01^ADT_A01|A1|P|2.5.1\rEVN|A01|20260101120000\rPID|1||1001^^^H^MR\rPV1|1|I|MED1^101^A\r";
    assert!(mllp(&mut feed, admit).unwrap().contains("MSA|AA|A1"));
    let accession = daemon.order(&["718-7", "6690-2"], true);
    assert!(mllp(&mut feed, &oru("R1", &accession, "13.2")).unwrap().contains("MSA|AA|R1"));
    assert!(mllp(&mut feed, &oru("R2", "nobody", "13.2")).unwrap().contains("MSA|AA|R2"));
    let mut scanner = daemon.connect("scan-load");
    scanner.write_all(b"]d201095066821013521728123110L7\x1d30100\r\n").unwrap();
    assert_eq!(read(&mut scanner, 1), [0x06]);
    assert_eq!(daemon.post("/api/v1/cabinets/CAB1/vend", json!({ "pocket": "1-1", "quantity": "2", "patient": "1001" })).0, 200);
    assert_eq!(daemon.post("/api/v1/cabinets/CAB1/count", json!({ "pocket": "1-1", "quantity": "97" })).0, 200);
    daemon.until("charged", |daemon| daemon.get("/api/v1/accounts/1001")["charges"].as_array().is_some_and(|charges| charges.len() >= 2));
}

fn answers(daemon: &Daemon) -> Value {
    QUESTIONS.iter().map(|question| ((*question).to_owned(), daemon.get(question))).collect::<serde_json::Map<_, _>>().into()
}

fn export(site: &Site) -> String {
    site.events().iter().map(|event| format!("{event}\n")).collect()
}

#[test]
fn what_every_released_version_stored_is_read_and_gone_on_with() {
    let write = std::env::var_os("WARDD_WRITE_FORMAT").is_some();
    if write {
        write_format(&formats().join(env!("CARGO_PKG_VERSION")));
    }
    let mut count = 0;
    for entry in std::fs::read_dir(formats()).unwrap() {
        let folder = entry.unwrap().path();
        let site = Site::new();
        std::fs::copy(folder.join("keyring.toml"), site.folder.join("keyring.toml")).unwrap();
        private(&site.folder.join("keyring.toml"));
        copy(&folder.join("journal"), &site.data().join("journal"));
        let then: Value = serde_json::from_str(&std::fs::read_to_string(folder.join("answers.json")).unwrap()).unwrap();
        let daemon = site.start();
        daemon.until("the read models are rebuilt", |daemon| is_part(&then, &answers(daemon)));
        // It goes on: what came before is known, and what is new is taken.
        let mut feed = daemon.connect("feed");
        assert!(mllp(&mut feed, &oru("R2", "nobody", "13.2")).unwrap().contains("MSA|AA|R2"), "a repetition");
        assert!(mllp(&mut feed, &oru("R3", "nobody", "13.2")).unwrap().contains("MSA|AA|R3"));
        daemon.terminate();
        let events = export(&site);
        let stored = std::fs::read_to_string(folder.join("events.jsonl")).unwrap();
        assert!(events.starts_with(&stored), "{}: an event is read otherwise than it was written", folder.display());
        assert_eq!(events.lines().count(), stored.lines().count() + 2, "one message and its hold are new");
        count += 1;
    }
    assert!(count > 0, "no stored format at all");
}

fn write_format(folder: &Path) {
    let site = Site::new();
    let daemon = site.start();
    live(&daemon);
    std::fs::create_dir_all(folder).unwrap();
    std::fs::write(folder.join("answers.json"), serde_json::to_string_pretty(&answers(&daemon)).unwrap()).unwrap();
    daemon.terminate();
    std::fs::write(folder.join("events.jsonl"), export(&site)).unwrap();
    let journal = folder.join("journal");
    let _ = std::fs::remove_dir_all(&journal);
    let copied = wardctl(&["backup", "--data", site.data().to_str().unwrap(), journal.to_str().unwrap()]);
    assert!(copied.status.success(), "{}", String::from_utf8_lossy(&copied.stderr));
    std::fs::copy(site.folder.join("keyring.toml"), folder.join("keyring.toml")).unwrap();
}
