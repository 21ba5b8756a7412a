//! Holds the import table of `src/`, the purity of the core, and the licences and sources of what is linked.
#![expect(clippy::unwrap_used, reason = "a test may fail loudly")]

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

/// Folder → what it may import besides itself. The order is the way of the data.
const MAY_IMPORT: &[(&str, &str)] = &[
    ("kernel", ""),
    ("telemetry", "kernel"),
    ("config", "kernel telemetry"),
    ("profile", "kernel"),
    ("framing", "kernel"),
    ("codec", "kernel"),
    ("domain", "kernel"),
    ("routing", "kernel profile codec domain"),
    ("journal", "kernel config telemetry"),
    ("actor", "kernel domain journal config telemetry routing"),
    ("link", "kernel config telemetry"),
    ("gateway", "kernel telemetry config profile framing codec domain routing journal actor link"),
    ("projection", "kernel domain journal telemetry"),
    ("outbound", "kernel domain codec framing link journal projection config telemetry"),
    ("access", "kernel domain actor journal projection config telemetry"),
    ("api", "kernel domain actor projection access config telemetry codec"),
    ("sim", ""),
    ("app", "kernel telemetry config profile framing codec domain routing journal actor link gateway projection outbound access api sim"),
    ("bin", "app access api codec profile config kernel journal telemetry framing gateway"),
];

/// External crates that only these folders may name.
const OWNED: &[(&str, &str)] = &[
    ("tokio_serial", "link"),
    ("rumqttc", "link"),
    ("sled", "journal"),
    ("ractor", "actor"),
    ("prometheus", "telemetry"),
    ("opentelemetry", "outbound"),
    ("axum", "api"),
    ("askama", "api"),
    ("argon2", "access"),
    ("totp_rs", "access"),
    ("clap", "bin"),
];

/// The pure folders, and words that none of them may hold outside of tests.
const PURE: &[&str] = &["kernel", "profile", "framing", "codec", "domain", "routing"];
const IMPURE: &[&str] = &[
    "tokio",
    "ractor",
    "sled",
    "std::fs",
    "std::net",
    "std::io",
    "SystemTime",
    "Instant::now",
    "Timestamp::now",
    "getrandom",
    "HashMap",
    "HashSet",
    "std::thread",
    "std::env",
    "f32",
    "f64",
    "async fn",
];

fn sources(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap().flatten() {
        let path = entry.path();
        if path.is_dir() {
            found.extend(sources(&path));
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(path);
        }
    }
    found
}

/// The lines of a file that are code and no test: comments are cut, `#[cfg(test)]` ends the file.
fn code(path: &Path) -> String {
    let text = std::fs::read_to_string(path).unwrap();
    let text = text.split("#[cfg(test)]").next().unwrap_or_default();
    text.lines().map(|line| line.split("//").next().unwrap_or_default()).collect::<Vec<_>>().join("\n")
}

fn is_test(path: &Path) -> bool {
    path.file_name().and_then(|name| name.to_str()).is_some_and(|name| name.ends_with("tests.rs"))
}

/// The folders named as `prefix::folder`, also in `use prefix::{a, b::c}`.
fn imports(code: &str, prefix: &str) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    let word = |text: &str| text.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect::<String>();
    for (at, _) in code.match_indices(prefix) {
        let rest = code[at + prefix.len()..].trim_start();
        match rest.strip_prefix('{') {
            None => drop(found.insert(word(rest))),
            Some(list) => {
                let mut depth = 0;
                let mut item = String::new();
                for c in list.chars() {
                    match c {
                        '{' => depth += 1,
                        '}' if depth == 0 => break,
                        '}' => depth -= 1,
                        ',' if depth == 0 => drop(found.insert(word(std::mem::take(&mut item).trim()))),
                        _ if depth == 0 => item.push(c),
                        _ => {}
                    }
                }
                found.insert(word(item.trim()));
            }
        }
    }
    found.remove("");
    found
}

#[test]
fn imports_are_read_in_every_form() {
    let code = "use crate::kernel::Date;\nuse crate::{codec::{gs1, hl7}, domain};\ncrate::telemetry::held()";
    assert_eq!(imports(code, "crate::").into_iter().collect::<Vec<_>>(), ["codec", "domain", "kernel", "telemetry"]);
}

#[test]
fn every_folder_imports_only_what_the_table_allows() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let table: BTreeMap<&str, BTreeSet<&str>> = MAY_IMPORT.iter().map(|(folder, allowed)| (*folder, allowed.split_whitespace().collect())).collect();
    let mut faults = Vec::new();
    for entry in std::fs::read_dir(&root).unwrap().flatten().filter(|entry| entry.path().is_dir()) {
        let folder = entry.file_name().into_string().unwrap();
        let Some(allowed) = table.get(folder.as_str()) else {
            faults.push(format!("src/{folder} is not in the table"));
            continue;
        };
        for path in sources(&entry.path()) {
            let text = code(&path);
            let prefix = if folder == "bin" { "wardd::" } else { "crate::" };
            for import in imports(&text, prefix) {
                let is_folder = table.contains_key(import.as_str());
                if is_folder && import != folder && !allowed.contains(import.as_str()) {
                    faults.push(format!("{}: src/{folder} must not import {import}", path.display()));
                }
            }
        }
    }
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

#[test]
fn external_crates_stay_with_their_owners() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut faults = Vec::new();
    for path in sources(&root).into_iter().filter(|path| !is_test(path)) {
        let folder = path.strip_prefix(&root).unwrap().iter().next().unwrap().to_str().unwrap().to_owned();
        let text = code(&path);
        for (name, owner) in OWNED {
            let names_it = text.contains(&format!("{name}::")) || text.contains(&format!("use {name}"));
            if names_it && folder != *owner {
                faults.push(format!("{}: only src/{owner} may name {name}", path.display()));
            }
        }
    }
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

#[test]
fn the_core_is_pure() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut faults = Vec::new();
    for folder in PURE {
        for path in sources(&root.join(folder)).into_iter().filter(|path| !is_test(path)) {
            let text = code(&path);
            for word in IMPURE {
                let is_word = text.match_indices(word).any(|(at, _)| {
                    let before = text[..at].chars().next_back();
                    let after = text[at + word.len()..].chars().next();
                    !before.is_some_and(|c| c.is_alphanumeric() || c == '_') && !after.is_some_and(|c| c.is_alphanumeric() || c == '_')
                });
                if is_word {
                    faults.push(format!("{}: the core must not know {word}", path.display()));
                }
            }
        }
    }
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

#[test]
fn every_file_says_its_purpose_and_none_is_too_long() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut faults = Vec::new();
    for path in sources(&root) {
        let text = std::fs::read_to_string(&path).unwrap();
        if !text.starts_with("//!") {
            faults.push(format!("{}: the first line must say the file's purpose", path.display()));
        }
        if text.lines().count() > 700 {
            faults.push(format!("{}: {} lines want splitting by responsibility", path.display(), text.lines().count()));
        }
        for word in ["todo!", "unimplemented!", "TODO", "FIXME", "#[allow("] {
            if text.contains(word) {
                faults.push(format!("{}: {word}", path.display()));
            }
        }
    }
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

/// `cargo metadata` of what is really linked on this machine.
fn metadata() -> serde_json::Value {
    let output = std::process::Command::new(env!("CARGO"))
        .args(["metadata", "--format-version", "1", "--locked", "--filter-platform", "x86_64-unknown-linux-gnu"])
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).unwrap()
}

#[test]
fn licences_and_sources_of_all_dependencies_are_allowed() {
    const ALLOWED: &[&str] = &[
        "MIT",
        "Apache-2.0",
        "BSD-2-Clause",
        "BSD-3-Clause",
        "ISC",
        "Zlib",
        "0BSD",
        "Unlicense",
        "Unicode-3.0",
        "CC0-1.0",
        "MPL-2.0",
        "Apache-2.0 WITH LLVM-exception",
        "MIT-0",
        "BSL-1.0",
    ];
    let metadata = metadata();
    let mut faults = Vec::new();
    let mut count = 0;
    for package in metadata["packages"].as_array().unwrap() {
        let name = package["name"].as_str().unwrap();
        if name == "wardd" {
            continue;
        }
        count += 1;
        let licence = package["license"].as_str().unwrap_or("none");
        // One of the alternatives of every conjunct must be allowed.
        let is_allowed = licence.replace(['(', ')'], "").split(" AND ").all(|part| part.split(" OR ").flat_map(|part| part.split('/')).any(|one| ALLOWED.contains(&one.trim())));
        if !is_allowed {
            faults.push(format!("{name}: licence {licence}"));
        }
        if !package["source"].as_str().unwrap_or_default().starts_with("registry+") {
            faults.push(format!("{name}: comes from {}", package["source"]));
        }
        for banned in ["openssl-sys", "aws-lc-sys", "native-tls"] {
            if name == banned {
                faults.push(format!("{name} is banned: TLS is rustls with ring"));
            }
        }
    }
    assert!(count > 100, "the list of packages is read");
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

#[test]
fn no_crate_is_linked_in_two_major_versions_but_those_that_are_known() {
    // Each comes with a dependency that we cannot change: sled 0.34, serialport, rumqttc, serde_derive's move to syn 3.
    // The first four stand in the lock file for rumqttc's websockets, which are not built.
    const KNOWN: &[&str] = &[
        "block-buffer",
        "crypto-common",
        "digest",
        "sha1",
        "bitflags",
        "getrandom",
        "nix",
        "parking_lot",
        "parking_lot_core",
        "syn",
        "hashbrown",
        "redox_syscall",
        "windows-sys",
        "wasi",
        "winnow",
        "rand",
        "rand_core",
        "thiserror",
        "thiserror-impl",
        "r-efi",
        "unicode-width",
        "core-foundation",
        "itertools",
        "fixedbitset",
        "wit-bindgen",
        "cpufeatures",
        "rand_chacha",
        "toml_datetime",
        "darling",
        "base64",
        "mach2",
        "io-kit-sys",
        "regex-syntax",
        "socket2",
        // 7 reads certificates (x509-parser), 8 durations of calendars (icalendar).
        "nom",
    ];
    let metadata = metadata();
    let mut versions: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for package in metadata["packages"].as_array().unwrap() {
        let version = package["version"].as_str().unwrap();
        let mut parts = version.split('.');
        let (major, minor) = (parts.next().unwrap_or_default(), parts.next().unwrap_or_default());
        let line = if major == "0" { format!("0.{minor}") } else { major.to_owned() };
        versions.entry(package["name"].as_str().unwrap().to_owned()).or_default().insert(line);
    }
    let doubled: Vec<String> =
        versions.into_iter().filter(|(name, lines)| lines.len() > 1 && !KNOWN.contains(&name.as_str())).map(|(name, lines)| format!("{name}: {lines:?}")).collect();
    assert!(doubled.is_empty(), "{}", doubled.join("\n"));
}

#[test]
fn every_error_code_is_explained_and_every_explained_code_is_used() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let explained = root.join("bin/wardctl/explain.rs");
    let codes = |text: &str| -> BTreeSet<String> {
        let numbers = text.match_indices("WD-").map(|(at, _)| text[at + 3..].chars().take(4).collect::<String>());
        numbers.filter(|number| number.len() == 4 && number.chars().all(|c| c.is_ascii_digit())).collect()
    };
    let used: BTreeSet<String> = sources(&root).iter().filter(|path| **path != explained && !is_test(path)).flat_map(|path| codes(&code(path))).collect();
    let known = codes(&std::fs::read_to_string(&explained).unwrap());
    assert_eq!(known, used);
    let text = std::fs::read_to_string(&explained).unwrap();
    let doubled: Vec<&String> = known.iter().filter(|number| text.matches(&format!("\"WD-{number}\",")).count() != 1).collect();
    assert!(doubled.is_empty(), "explained more than once, or not by their own: {doubled:?}");
}
