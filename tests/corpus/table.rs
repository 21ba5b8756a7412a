//! Where the corpus is, how a code is decoded, how outcomes are counted.

use std::collections::BTreeMap;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use serde_json::Value;

use super::harness::Daemon;

/// A place in the corpus; `None` where the corpus is absent. Nothing of it is copied into this project.
pub fn corpus(place: &str) -> Option<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared/corpus");
    if !folder.exists() {
        println!("skipped: no corpus");
        return None;
    }
    Some(folder.join(place))
}

pub fn lines(path: &Path) -> Vec<Value> {
    std::fs::read_to_string(path).unwrap().lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// All files below a folder in the order of their names.
pub fn files(folder: &Path) -> Vec<PathBuf> {
    let mut found: Vec<PathBuf> = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    found.sort();
    found.into_iter().flat_map(|path| if path.is_dir() { files(&path) } else { vec![path] }).collect()
}

pub fn text_of<'v>(value: &'v Value, name: &str) -> &'v str {
    value[name].as_str().unwrap_or_default()
}

/// `wardctl decode KIND -`: whether it accepts, and what it prints.
pub fn decode(kind: &str, input: &[u8], more: &[&str]) -> (bool, Value) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_wardctl"));
    let mut child = command.args(["decode", kind, "-"]).args(more).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
    child.stdin.take().unwrap().write_all(input).unwrap();
    let output = child.wait_with_output().unwrap();
    let code = output.status.code().expect("wardctl was killed");
    assert!(code == 0 || code == 1, "{kind} {:?}: exit {code}", String::from_utf8_lossy(input));
    (code == 0, serde_json::from_slice(&output.stdout).expect("wardctl prints JSON whatever the outcome"))
}

/// Counts by name, printed as a table.
#[derive(Default)]
pub struct Table(pub BTreeMap<String, usize>);

impl Table {
    pub fn add(&mut self, name: impl Into<String>) {
        *self.0.entry(name.into()).or_default() += 1;
    }

    pub fn print(&self, title: &str) {
        println!("{title}");
        for (name, count) in &self.0 {
            println!("  {count:>5}  {name}");
        }
    }
}

pub fn no_failures(failures: &[String]) {
    assert!(failures.is_empty(), "{} differ:\n{}", failures.len(), failures.join("\n"));
}

/// The records of a message, or of a file.
pub type Lines = Vec<Vec<u8>>;

/// The records of a file: lines apart by CR or LF, without comments.
pub fn records(text: &[u8]) -> Lines {
    let is_record = |line: &&[u8]| !line.starts_with(b"#") && !line.iter().all(u8::is_ascii_whitespace);
    text.split(|byte| matches!(byte, b'\r' | b'\n')).filter(is_record).map(<[u8]>::to_vec).collect()
}

/// What waits for a person, by reason and sentence.
pub fn waiting(daemon: &Daemon) -> BTreeMap<String, usize> {
    let items = daemon.get("/api/v1/quarantine?limit=500");
    let items = items.as_array().unwrap();
    assert!(items.len() < 500, "a page is full");
    let mut table = Table::default();
    items.iter().for_each(|item| table.add(format!("{} {}", text_of(&item["reason"], "reason"), text_of(item, "sentence"))));
    table.0
}
