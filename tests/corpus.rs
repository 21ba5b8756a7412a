//! Messages, barcodes and tags that others wrote, through the real programs; skipped where `../shared/corpus` is absent.
#![expect(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test may fail loudly")]

use std::collections::{BTreeMap, BTreeSet};
use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use regex::Regex;
use serde_json::Value;
use wardd::codec::gs1;

#[path = "daemon/harness.rs"]
#[expect(dead_code, reason = "the daemon's tests use the rest")]
mod harness;

use harness::{Daemon, Site, read};

const ENQ: u8 = 0x05;
const ACK: u8 = 0x06;
const EOT: u8 = 0x04;

/// A place in the corpus; `None` where the corpus is absent. Nothing of it is copied into this project.
fn corpus(place: &str) -> Option<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared/corpus");
    if !folder.exists() {
        println!("skipped: no corpus");
        return None;
    }
    Some(folder.join(place))
}

fn lines(path: &Path) -> Vec<Value> {
    std::fs::read_to_string(path).unwrap().lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// All files below a folder in the order of their names.
fn files(folder: &Path) -> Vec<PathBuf> {
    let mut found: Vec<PathBuf> = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    found.sort();
    found.into_iter().flat_map(|path| if path.is_dir() { files(&path) } else { vec![path] }).collect()
}

fn text_of<'v>(value: &'v Value, name: &str) -> &'v str {
    value[name].as_str().unwrap_or_default()
}

/// `wardctl decode KIND -`: whether it accepts, and what it prints.
fn decode(kind: &str, input: &[u8], more: &[&str]) -> (bool, Value) {
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
struct Table(BTreeMap<String, usize>);

impl Table {
    fn add(&mut self, name: impl Into<String>) {
        *self.0.entry(name.into()).or_default() += 1;
    }

    fn print(&self, title: &str) {
        println!("{title}");
        for (name, count) in &self.0 {
            println!("  {count:>5}  {name}");
        }
    }
}

fn no_failures(failures: &[String]) {
    assert!(failures.is_empty(), "{} differ:\n{}", failures.len(), failures.join("\n"));
}

/// Vectors of the syntax engine that say nothing about wardd.
const ENGINE_NOT_APPLICABLE: [(&str, &str); 5] = [
    ("src/c-lib/ai.c:1423", "the input is a variable of the C test"),
    ("src/c-lib/ai.c:1815", "the input is a variable of the C test"),
    ("src/c-lib/ai.c:1851", "the input is a variable of the C test"),
    ("src/c-lib/ai.c:2059", "AI 89 stands in the engine's test table only"),
    ("src/c-lib/scandata.c:980", "a digital link URI in a plain QR symbol: wardd reads it as text"),
];

/// What wardd's canonical form is where the engine's differs: the engine writes a leading FNC1 sign of plain text as `\^`
/// and leaves the number of a retail symbol bare; wardd gives the text as it is, and the number as AI 01.
fn engine_expected(symbol: &str, expected: &str) -> String {
    if symbol.starts_with("EAN") || symbol.starts_with("UPC") {
        let (number, rest) = expected.split_once("|^").unwrap_or((expected, ""));
        return format!("^01{number:0>14}{rest}");
    }
    match expected.strip_prefix('\\') {
        Some(rest) if rest.trim_start_matches('\\').starts_with('^') => rest.to_owned(),
        _ => expected.to_owned(),
    }
}

#[test]
fn gs1_vectors_of_the_syntax_engine() {
    let Some(path) = corpus("gs1/gs1+gs1-syntax-engine/engine_vectors.jsonl") else { return };
    let (mut table, mut failures) = (Table::default(), Vec::new());
    for vector in lines(&path) {
        let (kind, input, source, rule) = (text_of(&vector, "kind"), text_of(&vector, "in"), text_of(&vector, "src"), text_of(&vector, "fn"));
        if !["parseAIdata", "processAIdata", "ProcessScanData", "validateAIs"].contains(&kind) {
            table.add(format!("{kind}: not applicable (the engine's own function)"));
            continue;
        }
        if let Some((_, why)) = ENGINE_NOT_APPLICABLE.iter().find(|(known, _)| *known == source) {
            table.add(format!("{kind}: not applicable ({why})"));
            continue;
        }
        // What one element needs beside it is a rule for a whole label.
        let is_whole = ["validateAIrequisites", "validateDigSigRequiresSerialisedKey"].contains(&rule);
        let (is_accepted, found) = decode("gs1", input.as_bytes(), if is_whole { &["--json", "--whole"] } else { &["--json"] });
        let canonical = found["element_string"].as_str().or(found["text"].as_str());
        let expected = vector["expect"].as_str().map(|expected| engine_expected(text_of(&vector, "sym"), expected));
        let is_same = is_accepted == vector["ok"].as_bool().unwrap() && (!is_accepted || expected.is_none() || canonical == expected.as_deref());
        if is_same {
            table.add(format!("{kind}: {}", if is_accepted { "accepted" } else { "refused" }));
        } else {
            failures.push(format!("{source} {rule} {input:?}: the engine says {} {expected:?}, wardctl {found}", vector["ok"]));
        }
    }
    table.print("gs1, syntax engine");
    no_failures(&failures);
}

/// Names of the Swift library's fields whose value is an element's text.
const SWIFT_FIELDS: [(&str, &str); 9] = [
    ("gtin", "01"),
    ("lotNumber", "10"),
    ("serialNumber", "21"),
    ("serialShippingContainerCode", "00"),
    ("gtinOfContainedTradeItems", "02"),
    ("productVariant", "20"),
    ("informationMutuallyAgreed", "90"),
    ("additionalProductIdentification", "240"),
    ("secondarySerialNumber", "250"),
];

/// Why wardd refuses what lenient libraries read: their examples have invented check digits, no value, or more characters
/// than the General Specifications allow and the library cuts off.
const LENIENT: [&str; 8] = [
    "wrong check digit",
    "characters too many",
    "it needs",
    "is not allowed",
    "begins no known application identifier",
    "does not begin with a GS1 Company Prefix",
    "country",
    "ISO 4217",
];

#[test]
fn gs1_strings_of_two_libraries() {
    let (Some(swift), Some(etiket)) = (corpus("gs1/xremix+SwiftGS1Barcode/swift_tests.jsonl"), corpus("gs1/productdevbook+etiket")) else { return };
    let (mut table, mut failures) = (Table::default(), Vec::new());
    let raw = Regex::new(r#"GS1Barcode\(raw: "([^"]*)""#).unwrap();
    let equal = Regex::new(r#"XCTAssertEqual\(barcode\.(\w+), "([^"]*)"\)"#).unwrap();
    for vector in lines(&swift) {
        let (name, body) = (text_of(&vector, "test"), text_of(&vector, "body"));
        let inputs: Vec<&str> = raw.captures_iter(body).map(|found| found.get(1).unwrap().as_str()).collect();
        let [input] = inputs[..] else {
            table.add("swift: not applicable (no input, or several)");
            continue;
        };
        if input.contains(r"\(") {
            table.add("swift: not applicable (the input is an expression)");
            continue;
        }
        // The library's strings are what stands behind the first FNC1.
        let input = format!("^{}", input.replace(r"\u{1D}", "\u{1d}").replace(r"\u{1d}", "\u{1d}"));
        let (is_accepted, found) = decode("gs1", input.as_bytes(), &["--json"]);
        if !is_accepted {
            let why = text_of(&found, "error");
            match LENIENT.iter().find(|known| why.contains(**known)) {
                _ if body.contains("XCTAssertThrowsError") => table.add("swift: refused by both"),
                Some(known) => table.add(format!("swift: refused, the library is lenient ({known})")),
                None if input == "^" => table.add("swift: refused by both"),
                None => failures.push(format!("{name} {input:?}: {why}")),
            }
            continue;
        }
        if body.contains("XCTAssertThrowsError") {
            failures.push(format!("{name} {input:?}: the library refuses it, wardctl {found}"));
        }
        for field in equal.captures_iter(body) {
            let Some((_, ai)) = SWIFT_FIELDS.iter().find(|(name, _)| *name == &field[1]) else { continue };
            let value = found["elements"].as_array().unwrap().iter().find(|element| element["ai"] == *ai).map(|element| text_of(element, "value"));
            if value != Some(&field[2]) {
                failures.push(format!("{name} {input:?}: {} is {:?}, wardctl {found}", &field[1], &field[2]));
            }
        }
        table.add("swift: accepted, same values");
    }
    let encoded = Regex::new(r#"encodeGS1128\("([^"]*)"\)"#).unwrap();
    for vector in ["encoders-gs1-128.jsonl", "encoders-gs1-128-extended.jsonl"].iter().flat_map(|file| lines(&etiket.join(file))) {
        let body = text_of(&vector, "body");
        for input in encoded.captures_iter(body).map(|found| found.get(1).unwrap().as_str()) {
            let (is_accepted, found) = decode("gs1", input.as_bytes(), &["--json"]);
            let why = text_of(&found, "error");
            match (is_accepted, body.contains("toThrow(")) {
                (false, true) => table.add("etiket: refused by both"),
                (true, false) => table.add("etiket: accepted by both"),
                (false, false) if !input.starts_with('(') => table.add("etiket: refused, no GS1 data without brackets"),
                (false, false) if LENIENT.iter().any(|known| why.contains(known)) || input.starts_with("(8007)") => table.add("etiket: refused, the encoder checks no content"),
                _ => failures.push(format!("{input:?}: {found}")),
            }
        }
    }
    table.print("gs1, libraries");
    no_failures(&failures);
}

/// A component of the syntax dictionary, such as `N14,csum,gcppos2` or `[X..17]`.
struct Component {
    set: char,
    min: usize,
    max: usize,
    is_optional: bool,
    checks: Vec<String>,
}

fn component(text: &str) -> Component {
    let (is_optional, bare) = text.strip_prefix('[').map_or((false, text.to_owned()), |rest| (true, rest.replace(']', "")));
    let mut words = bare.split(',');
    let kind = words.next().unwrap();
    let (min, max) = match kind[1..].strip_prefix("..") {
        Some(most) => (1, most.parse().unwrap()),
        None => (kind[1..].parse().unwrap(), kind[1..].parse().unwrap()),
    };
    Component { set: kind.chars().next().unwrap(), min, max, is_optional, checks: words.map(str::to_owned).collect() }
}

/// The GS1 check digit behind these digits.
fn with_check_digit(digits: &str) -> String {
    let sum: u32 = digits.bytes().rev().enumerate().map(|(at, digit)| u32::from(digit - b'0') * if at % 2 == 0 { 3 } else { 1 }).sum();
    format!("{digits}{}", (10 - sum % 10) % 10)
}

/// A value of so many characters that holds a component's checks; `None` for checks that fix the length or need a calculation of their own.
fn sample(component: &Component, length: usize) -> Option<String> {
    let fill = if component.set == 'N' { "1" } else { "A" };
    let mut value = fill.repeat(length);
    for check in &component.checks {
        let fixed = match check.as_str() {
            "csum" => with_check_digit(&"9506000134352111111111"[..length - 1]),
            "gcppos1" | "gcppos2" if component.checks.iter().any(|check| check == "csum") => continue,
            "gcppos1" if length >= 8 => format!("95060001{}", fill.repeat(length - 8)),
            "yymmdd0" | "yymmdd" => "260131".to_owned(),
            "yyyymmdd" => "20260131".to_owned(),
            "hhmi" => "1230".to_owned(),
            "hh" | "mi" | "ss" => "12".to_owned(),
            "iso3166" | "iso3166999" => "056".to_owned(),
            "iso4217" => "978".to_owned(),
            "iso3166alpha2" => "BE".to_owned(),
            "yesno" | "nonzero" | "nozeroprefix" | "pcenc" | "winding" | "iso5218" | "hasnondigit" => continue,
            "zero" => "0".to_owned(),
            "mediatype" => "01".to_owned(),
            _ => return None,
        };
        if fixed.len() != length {
            return None;
        }
        value = fixed;
    }
    Some(value)
}

#[test]
fn gs1_table_is_that_of_the_syntax_dictionary() {
    let Some(path) = corpus("gs1/gs1+gs1-syntax-dictionary/gs1-syntax-dictionary.txt") else { return };
    let text = std::fs::read_to_string(&path).unwrap();
    let row = Regex::new(r"^(\d+)(?:-(\d+))?\s+([*?]*)\s*((?:\[?[NXYZ](?:\.\.)?\d+[a-z0-9,]*\]?[a-z0-9,]*\s*)+)(.*)$").unwrap();
    let (mut table, mut failures, mut rows) = (Table::default(), Vec::new(), 0);
    for line in text.lines().filter(|line| !line.is_empty() && !line.starts_with('#')) {
        let found = row.captures(line).unwrap_or_else(|| panic!("not read: {line}"));
        rows += 1;
        let (first, last) = (&found[1], found.get(2).map_or(&found[1], |last| last.as_str()));
        let Some(entry) = gs1::entries().iter().find(|entry| entry.first == first && entry.last == last) else {
            failures.push(format!("{first} is missing"));
            continue;
        };
        let (attributes, title) = found[5].split_once('#').unwrap_or((&found[5], ""));
        let rules = |name: &str| -> BTreeSet<String> { attributes.split_whitespace().filter_map(|word| word.strip_prefix(name)).map(str::to_owned).collect() };
        let ours = |rules: &str| -> BTreeSet<String> { rules.split("; ").filter(|rule| !rule.is_empty()).map(str::to_owned).collect() };
        if (entry.is_predefined, entry.title) != (found[3].contains('*'), title.trim()) {
            failures.push(format!("{first}: predefined {} title {:?}, the dictionary: {line}", entry.is_predefined, entry.title));
        }
        if (ours(entry.requires), ours(entry.excludes)) != (rules("req="), rules("ex=")) {
            failures.push(format!("{first}: requires {:?} excludes {:?}, the dictionary: {line}", entry.requires, entry.excludes));
        }
        let parts: Vec<Component> = found[4].split_whitespace().map(component).collect();
        // The parts are not public: their lengths are seen from what is taken.
        let made = |shorter: usize, is_longest: bool| -> Option<String> {
            let mut value = String::new();
            let taken: Vec<&Component> = parts.iter().filter(|part| is_longest || !part.is_optional).collect();
            for (at, part) in taken.iter().enumerate() {
                let length = if is_longest { part.max } else { part.min };
                let text = sample(part, length)?;
                value.push_str(if at + 1 == taken.len() { &text[..text.len() - shorter] } else { &text });
            }
            Some(value)
        };
        let (Some(least), Some(most), Some(less)) = (made(0, false), made(0, true), made(1, false)) else {
            table.add("length not tried (coupon, IBAN, check characters and the like)");
            continue;
        };
        for (value, is_right) in [(&least, true), (&most, true), (&less, false), (&format!("{most}1"), false), (&format!("{}\u{e9}", &most[1..]), false)] {
            if gs1::scan(&format!("({first}){value}")).is_ok() != is_right {
                failures.push(format!("({first}){value}: expected {is_right}, wardd {:?}; the dictionary: {line}", gs1::scan(&format!("({first}){value}"))));
            }
        }
        table.add("shortest and longest value taken, one character less or more refused");
    }
    assert_eq!(rows, gs1::AI_COUNT);
    table.print("gs1, dictionary");
    no_failures(&failures);
}

const EPC_SCHEMES: [&str; 7] = ["sgtin", "sscc", "sgln", "grai", "giai", "gsrn", "gsrnp"];

/// A tag in its three forms, each read and written; counted, or described as a failure.
fn tag(hex: &str, uri: &str, identity: Option<&str>, table: &mut Table, failures: &mut Vec<String>) {
    let scheme = uri.split([':', '-']).nth(3).unwrap();
    let is_known = EPC_SCHEMES.contains(&scheme);
    for input in [hex, uri] {
        let (is_accepted, found) = decode("epc", input.as_bytes(), &[]);
        let is_same = match is_known {
            true => is_accepted && found["hex"] == hex && found["tag_uri"] == uri && identity.is_none_or(|identity| found["pure_identity"] == identity),
            false => !is_accepted,
        };
        match is_same {
            true => table.add(if is_known { format!("{scheme}: both ways, bit for bit") } else { format!("{scheme}: refused, a scheme that wardd does not read") }),
            false => failures.push(format!("{input}: {hex} {uri} {identity:?}, wardctl {found}")),
        }
    }
}

#[test]
fn epc_tags_of_three_libraries() {
    let (Some(coder), Some(pyepc), Some(readme)) =
        (corpus("epc/pedrozc90+epc-coder/epc_coder_vectors.jsonl"), corpus("epc/fulfilio+pyepc/pyepc_tests.jsonl"), corpus("epc/jlcout+epctagcoder/readme_vectors.txt"))
    else {
        return;
    };
    let (mut table, mut failures) = (Table::default(), Vec::new());
    for vector in lines(&coder) {
        if let Some(forms) = vector["args"].as_array() {
            let form = |at: usize| forms[at].as_str().unwrap();
            tag(form(0), form(1), Some(form(2)), &mut table, &mut failures);
            continue;
        }
        let test = text_of(&vector, "test");
        for value in vector["values"].as_array().unwrap().iter().map(|value| value.as_str().unwrap()) {
            let (input, expected) = value.rsplit_once(", ").unwrap_or((value, ""));
            let (is_accepted, found) = decode("epc", input.as_bytes(), &[]);
            let uri: Vec<&str> = text_of(&found, "tag_uri").rsplit([':', '.']).collect();
            let is_same = match test {
                "whenInvalidRfidTag_thenExceptionIsRaised" | "decode_EpcTagURI_WithInvalidCharacter" => !is_accepted,
                // 25 digits are no whole words of memory: the Java code reads the bits that it needs and leaves the rest.
                _ if input.len() == 25 => !is_accepted,
                "parseEpcSerial" => uri[0] == expected,
                "parseEpcFilter" => uri[3] == expected,
                "parseEpcEan" => format!("{}{}", uri[2], &uri[1][1..]).starts_with(&expected[..expected.len() - 1]),
                // A company prefix of 12 digits has partition 0.
                "parseEpcPartition" => (12 - uri[2].len()).to_string() == expected,
                _ => panic!("unknown test {test}"),
            };
            match is_same {
                true => table.add(format!("{test}: as expected")),
                false => failures.push(format!("{test} {value}: wardctl {found}")),
            }
        }
    }
    let (uris, hexes) = (Regex::new(r"'(urn:epc:tag:[^']*)'").unwrap(), Regex::new(r"encode\([^)]*\) == '([0-9A-F]+)'").unwrap());
    for vector in lines(&pyepc).iter().filter(|vector| text_of(vector, "test") != "test_encode_hex") {
        let body = text_of(vector, "body");
        let (Some(uri), Some(hex)) = (uris.captures(body), hexes.captures(body)) else {
            table.add("pyepc: not applicable (no tag in two forms)");
            continue;
        };
        // The library writes whole bytes; a tag's memory is whole words of 16 bits.
        let hex = format!("{}{}", &hex[1], "0".repeat((4 - hex[1].len() % 4) % 4));
        tag(&hex, &uri[1], None, &mut table, &mut failures);
    }
    let text = std::fs::read_to_string(&readme).unwrap();
    let [hex, identity, uri] = text.lines().collect::<Vec<_>>()[..] else { panic!("three forms") };
    tag(hex, uri, Some(identity), &mut table, &mut failures);
    table.print("epc");
    no_failures(&failures);
}

/// The records of a message, or of a file.
type Lines = Vec<Vec<u8>>;

/// The records of a file: lines apart by CR or LF, without comments.
fn records(text: &[u8]) -> Lines {
    let is_record = |line: &&[u8]| !line.starts_with(b"#") && !line.iter().all(u8::is_ascii_whitespace);
    text.split(|byte| matches!(byte, b'\r' | b'\n')).filter(is_record).map(<[u8]>::to_vec).collect()
}

/// The whole messages of a file, or `None` when anything in it is not one: this test's own reading of LIS2-A2 (clauses 5 and 6):
/// H with its four delimiters, records of known types, L.
fn whole_messages(records: &[Vec<u8>]) -> Option<Vec<Lines>> {
    let mut messages = Vec::new();
    let mut open: Option<Lines> = None;
    for record in records {
        match (record[0], open.as_mut()) {
            (b'H', None) => {
                let delimiters: BTreeSet<u8> = record.get(1..5)?.iter().copied().collect();
                if delimiters.len() < 4 || delimiters.iter().any(u8::is_ascii_alphanumeric) {
                    return None;
                }
                open = Some(vec![record.clone()]);
            }
            (b'P' | b'O' | b'R' | b'C' | b'Q' | b'M' | b'S' | b'L', Some(message)) if record.get(1).is_none_or(|separator| *separator == message[0][1]) => {
                message.push(record.clone());
                if record[0] == b'L' {
                    messages.extend(open.take());
                }
            }
            _ => return None,
        }
    }
    if open.is_some() || messages.is_empty() { None } else { Some(messages) }
}

/// The parts of a file that are outcomes of their own.
fn astm_parts(path: &Path) -> Vec<(String, Vec<u8>)> {
    let name = path.file_name().unwrap().to_str().unwrap().to_owned();
    let bytes = std::fs::read(path).unwrap();
    let text = String::from_utf8_lossy(&bytes).into_owned();
    match name.as_str() {
        "malformed.astm" => {
            text.split("# SCENARIO ").skip(1).map(|part| (format!("{name} {}", part.lines().next().unwrap()), part.split_once('\n').unwrap().1.as_bytes().to_vec())).collect()
        }
        "omnilab_records.jsonl" => lines(path).iter().map(|line| (format!("{name} {}", text_of(line, "test")), text_of(line, "record").as_bytes().to_vec())).collect(),
        "psm_order_session.log" => {
            let frames = Regex::new(r"\[STX\].*\[LF\]").unwrap();
            let joined: String = frames.find_iter(&text).map(|frame| frame.as_str()).collect();
            vec![(name, unmarked(&joined).into_bytes())]
        }
        "codec_vectors.txt" => {
            let literals = Regex::new(r"msg = f\('([^']*)'").unwrap();
            literals.captures_iter(&text).map(|found| (format!("{name} {}", &found[1]), unmarked(&found[1]).into_bytes())).collect()
        }
        _ => vec![(name, bytes)],
    }
}

/// Control characters for their names.
fn unmarked(text: &str) -> String {
    let mut text = text.to_owned();
    for (name, character) in [("STX", "\u{2}"), ("ETX", "\u{3}"), ("ETB", "\u{17}"), ("CRLF", "\r\n"), ("CR", "\r"), ("LF", "\n")] {
        text = text.replace(&format!("[{name}]"), character).replace(&format!("{{{name}}}"), character);
    }
    text
}

#[test]
fn astm_files_are_read_or_refused() {
    let (Some(folder), Some(manifest)) = (corpus("astm"), corpus("MANIFEST.tsv")) else { return };
    let manifest = std::fs::read_to_string(manifest).unwrap();
    let (mut table, mut failures) = (Table::default(), Vec::new());
    for path in files(&folder) {
        let source = path.strip_prefix(&folder).unwrap().iter().next().unwrap().to_str().unwrap().to_owned();
        let asserts_error = manifest.lines().any(|line| line.contains(path.strip_prefix(folder.parent().unwrap()).unwrap().to_str().unwrap()) && line.contains("assert.NotNil"));
        for (name, bytes) in astm_parts(&path) {
            // Framed parts are those of a log whose texts were made anonymous behind their checksums, and single records: none is whole.
            let expected = !bytes.contains(&0x02) && whole_messages(&records(&bytes)).is_some();
            assert!(!(asserts_error && expected), "{name}: its own project refuses it");
            let (is_accepted, found) = decode("astm", &if bytes.contains(&0x02) { bytes } else { records(&bytes).join(&b'\r') }, &[]);
            match is_accepted == expected {
                true => table.add(format!("{source}: {}", if expected { "read" } else { "refused: no whole message" })),
                false => failures.push(format!("{source} {name}: expected {expected}, wardctl {found}")),
            }
        }
    }
    table.print("astm, files");
    no_failures(&failures);
}

/// The frames of a message after CLSI LIS01-A2 (E1381) clause 6.3: text of 240 characters at most, ETB between, ETX at a record's end.
fn frames(message: &[Vec<u8>]) -> Vec<Vec<u8>> {
    let mut made: Vec<Vec<u8>> = Vec::new();
    for record in message {
        let text = [record.as_slice(), b"\r"].concat();
        let pieces: Vec<&[u8]> = text.chunks(240).collect();
        for (at, piece) in pieces.iter().enumerate() {
            let number = b'0' + u8::try_from((made.len() + 1) % 8).unwrap();
            let end = if at + 1 == pieces.len() { 0x03 } else { 0x17 };
            let body = [&[number], *piece, &[end]].concat();
            let sum = body.iter().fold(0_u8, |sum, byte| sum.wrapping_add(*byte));
            made.push([b"\x02".as_slice(), &body, format!("{sum:02X}\r\n").as_bytes()].concat());
        }
    }
    made
}

/// How a transmission is sent.
#[derive(Clone, Copy)]
enum Sent {
    Whole,
    /// The acknowledgement of this frame is lost: it comes again.
    Again(usize),
    /// In two pieces at this byte of the transmission.
    Cut(usize),
    ByteByByte,
}

/// Sends a transmission, every frame of which must be acknowledged; a query's answer is taken to its end, and its records are returned.
fn transmit(stream: &mut TcpStream, message: &[Vec<u8>], sent: Sent) -> Vec<u8> {
    stream.write_all(&[ENQ]).unwrap();
    assert_eq!(read(stream, 1), [ACK], "ENQ");
    let mut at = 0;
    for (number, frame) in frames(message).iter().enumerate() {
        match sent {
            Sent::Cut(cut) if (at + 1..at + frame.len()).contains(&cut) => {
                stream.write_all(&frame[..cut - at]).unwrap();
                std::thread::yield_now();
                stream.write_all(&frame[cut - at..]).unwrap();
            }
            Sent::ByteByByte => frame.iter().for_each(|byte| stream.write_all(&[*byte]).unwrap()),
            Sent::Whole | Sent::Again(_) | Sent::Cut(_) => stream.write_all(frame).unwrap(),
        }
        assert_eq!(read(stream, 1), [ACK], "{:?}", String::from_utf8_lossy(frame));
        if matches!(sent, Sent::Again(again) if again == number) {
            stream.write_all(frame).unwrap();
            assert_eq!(read(stream, 1), [ACK], "again: {:?}", String::from_utf8_lossy(frame));
        }
        at += frame.len();
    }
    stream.write_all(&[EOT]).unwrap();
    if message.iter().any(|record| record[0] == b'Q') { answer(stream) } else { Vec::new() }
}

/// Receives a transmission of the daemon, acknowledging each frame whose checksum is right; its text.
fn answer(stream: &mut TcpStream) -> Vec<u8> {
    assert_eq!(read(stream, 1), [ENQ], "a query is answered");
    stream.write_all(&[ACK]).unwrap();
    let mut text = Vec::new();
    loop {
        let mut frame = read(stream, 1);
        if frame == [EOT] {
            return text;
        }
        while !frame.ends_with(b"\r\n") {
            frame.extend(read(stream, 1));
        }
        let body = &frame[1..frame.len() - 4];
        let sum = body.iter().fold(0_u8, |sum, byte| sum.wrapping_add(*byte));
        assert_eq!(format!("{sum:02X}\r\n").as_bytes(), &frame[frame.len() - 4..], "{:?}", String::from_utf8_lossy(&frame));
        text.extend_from_slice(&body[1..body.len() - 1]);
        stream.write_all(&[ACK]).unwrap();
    }
}

const ANALYZER: &str = "
[[tests]]
loinc = \"5193-8\"
name = \"Hepatitis B surface antibody\"
[[devices]]
id = \"architect\"
profile = \"abbott/architect\"
version = 1
link = { kind = \"tcp-listen\", bind = \"127.0.0.1:0\" }
";

/// What waits for a person, by reason and sentence.
fn waiting(daemon: &Daemon) -> BTreeMap<String, usize> {
    let items = daemon.get("/api/v1/quarantine?limit=500");
    let items = items.as_array().unwrap();
    assert!(items.len() < 500, "a page is full");
    let mut table = Table::default();
    items.iter().for_each(|item| table.add(format!("{} {}", text_of(&item["reason"], "reason"), text_of(item, "sentence"))));
    table.0
}

/// Sends all messages in some ways to a daemon of their own; what waits in the end, how many messages it kept, and how many results it filed.
fn outcome(messages: &[Lines], ways: impl Fn(&[Vec<u8>]) -> Vec<Sent>) -> (BTreeMap<String, usize>, usize, usize) {
    let site = Site::with("", ANALYZER);
    let daemon = site.start();
    // One of the tubes is known, so that a result is filed.
    let accession = daemon.order(&["5193-8"], true);
    let mut stream = daemon.connect("architect");
    for message in messages {
        let named: Lines = message.iter().map(|record| String::from_utf8_lossy(record).replace("0179220008", &accession).into_bytes()).collect();
        ways(&named).into_iter().for_each(|sent| drop(transmit(&mut stream, &named, sent)));
    }
    assert_eq!(daemon.terminate().1, Some(0));
    let events = site.events();
    // The read models follow the log: what waits is looked at when they show all that the log holds.
    let daemon = site.start();
    daemon.until("all items are shown", |daemon| waiting(daemon).values().sum::<usize>() == harness::count(&events, "Held"));
    (waiting(&daemon), harness::count(&events, "MessageReceived"), harness::count(&events, "ResultFiled"))
}

/// All whole messages of the folder, each once; those that ask apart from those that tell.
fn astm_messages(folder: &Path) -> (Vec<Lines>, Vec<Lines>) {
    let unframed = Regex::new(r"(?s)\x02\d([^\x03]*)\x03..\r\n").unwrap();
    let mut all: Vec<Lines> = Vec::new();
    for (_, bytes) in files(folder).iter().flat_map(|path| astm_parts(path)) {
        let text = String::from_utf8_lossy(&bytes).into_owned();
        let text = if bytes.contains(&0x02) { unframed.replace_all(&text, "$1").into_owned().into_bytes() } else { bytes };
        for message in whole_messages(&records(&text)).unwrap_or_default() {
            if !all.contains(&message) {
                all.push(message);
            }
        }
    }
    all.into_iter().partition(|message| message.iter().any(|record| record[0] == b'Q'))
}

#[test]
fn astm_transmissions_lose_and_double_nothing() {
    let Some(folder) = corpus("astm") else { return };
    let (queries, messages) = astm_messages(&folder);
    println!("astm, daemon: {} messages, {} of them with queries", messages.len() + queries.len(), queries.len());
    let whole = outcome(&messages, |_| vec![Sent::Whole]);
    assert_eq!((whole.1, whole.2), (messages.len() + 1, 1), "each message, and the scan of the tube, is kept once; one result is filed");
    whole.0.iter().for_each(|(reason, count)| println!("  {count:>5}  {}", reason.chars().take(110).collect::<String>()));
    let again = outcome(&messages, |message| (0..frames(message).len()).map(Sent::Again).collect());
    assert_eq!(again, whole, "a frame that comes again changes nothing");
    let cut = outcome(&messages, |message| {
        let length: usize = frames(message).iter().map(Vec::len).sum();
        [Sent::ByteByByte].into_iter().chain((1..length).step_by(length.div_ceil(24)).map(Sent::Cut)).collect()
    });
    assert_eq!(cut, whole, "where the bytes are cut changes nothing");
    let site = Site::with("", ANALYZER);
    let daemon = site.start();
    let mut stream = daemon.connect("architect");
    for message in &queries {
        let ways = [Sent::Whole, Sent::ByteByByte].into_iter().chain((0..frames(message).len()).map(Sent::Again));
        let answers: BTreeSet<Vec<u8>> = ways
            .map(|sent| transmit(&mut stream, message, sent))
            .map(|text| text.split(|byte| *byte == b'\r').filter(|record| record.first() != Some(&b'H')).collect::<Vec<_>>().join(&b'\r'))
            .collect();
        println!("  query of {} records: {:?}", message.len(), answers.iter().map(|answer| String::from_utf8_lossy(answer).into_owned()).collect::<Vec<_>>());
        assert_eq!(answers.len(), 1, "the same answer each time");
    }
}

/// The segments MSH of a block: this test's own reading, by field separator, without escapes.
fn headers(block: &[u8]) -> Vec<Vec<String>> {
    let lines = block.split(|byte| matches!(byte, b'\r' | b'\n')).map(|line| line.strip_prefix(b"\xef\xbb\xbf").unwrap_or(line));
    let split = |line: &[u8]| String::from_utf8_lossy(line).split(char::from(line[3])).map(str::to_owned).collect();
    lines.filter(|line| line.starts_with(b"MSH") && line.len() > 3).map(split).collect()
}

/// Whether a header can be read and answered: separators that differ from each other, and a control id.
fn is_usable(fields: &[String]) -> bool {
    let separators = fields.get(1).map(String::as_str).unwrap_or_default();
    let distinct: BTreeSet<char> = separators.chars().chain(['|']).collect();
    distinct.len() > separators.chars().count() && fields.get(9).is_some_and(|control| !control.is_empty())
}

/// The same block with P (production) in MSH-11 of each message.
fn as_production(block: &[u8]) -> Vec<u8> {
    let header = |line: &[u8]| {
        let separator = *line.get(3)?;
        let mut fields: Vec<&[u8]> = line.split(|byte| *byte == separator).collect();
        *fields.get_mut(10)? = b"P";
        Some(fields.join(&separator))
    };
    let change = |line: &[u8]| if line.windows(3).take(4).any(|name| name == b"MSH") { header(line).unwrap_or_else(|| line.to_vec()) } else { line.to_vec() };
    block.split_inclusive(|byte| matches!(byte, b'\r' | b'\n')).map(change).collect::<Vec<_>>().concat()
}

/// Reads MLLP blocks until the one that answers the sentinel; those before it.
fn blocks_until_sentinel(stream: &mut TcpStream) -> Vec<String> {
    let mut blocks = Vec::new();
    let mut buffer = Vec::new();
    loop {
        while let Some(end) = buffer.windows(2).position(|pair| pair == b"\x1c\r") {
            let block: Vec<u8> = buffer.drain(..end + 2).collect();
            assert_eq!(block[0], 0x0B);
            let text = String::from_utf8(block[1..end].to_vec()).unwrap();
            if text.contains("|SENTINEL\r") {
                assert!(buffer.is_empty(), "the sentinel is answered last");
                return blocks;
            }
            blocks.push(text);
        }
        let mut more = [0; 65_536];
        let count = stream.read(&mut more).unwrap();
        assert!(count > 0, "the daemon closed the connection");
        buffer.extend_from_slice(&more[..count]);
    }
}

const SENTINEL: &[u8] =
    b"\x0bMSH|^~\\&|TEST|TEST|WARDD|TEST|20260101120000||ADT^A08^ADT_A01|SENTINEL|P|2.5.1\rEVN|A08|20260101120000\rPID|1||SENTINEL^^^H^MR||DOE^JANE\rPV1|1|I|MED1^101^A\x1c\r";

/// Sends a block, then garbage, then the sentinel; what was answered before the sentinel's answer.
fn exchange(stream: &mut TcpStream, message: &[u8]) -> Vec<String> {
    stream.write_all(&[b"\x0b", message, b"\x1c\r", b"GET / HTTP/1.1\r\n\x05\x1c\r\x00\xff\xfe", SENTINEL].concat()).unwrap();
    blocks_until_sentinel(stream)
}

/// The codes and control ids of the MSA segments of an answer, whose form is checked.
fn acknowledged(block: &str) -> Vec<(String, String)> {
    assert!(block.ends_with('\r'), "{block:?}");
    let mut found = Vec::new();
    let mut last = "";
    for segment in block.trim_end_matches('\r').split('\r') {
        let fields: Vec<&str> = segment.split('|').collect();
        match fields[0] {
            "MSH" => assert!(fields.len() >= 12 && fields[1] == "^~\\&" && fields[8].starts_with("ACK") && !fields[9].is_empty(), "{segment}"),
            "MSA" => {
                assert_eq!(last, "MSH", "{block}");
                found.push((fields[1].to_owned(), fields.get(2).copied().unwrap_or_default().to_owned()));
            }
            "ERR" => assert_eq!(last, "MSA", "{block}"),
            "BHS" | "BTS" => {}
            other => panic!("segment {other} in {block}"),
        }
        last = fields[0];
    }
    found
}

#[test]
fn hl7_messages_are_answered_once_each() {
    let Some(folder) = corpus("hl7v2") else { return };
    let site = Site::new();
    let daemon = site.start();
    let mut stream = daemon.connect("feed");
    let (mut table, mut unusable, mut failures) = (Table::default(), Table::default(), Vec::new());
    for path in files(&folder) {
        let name = path.strip_prefix(&folder).unwrap().to_str().unwrap().to_owned();
        let source = name.split('/').next().unwrap();
        let bytes = std::fs::read(&path).unwrap();
        let bytes: Vec<u8> = if bytes.starts_with(b"#") { records(&bytes).join(&b'\r') } else { bytes };
        let headers = headers(&bytes);
        let controls: Vec<String> = headers.iter().map(|fields| fields.get(9).cloned().unwrap_or_default()).collect();
        // Many are marked as training, which is held without a look: they are sent as production too.
        for (form, bytes) in [("as written", bytes.clone()), ("as production", as_production(&bytes))] {
            let blocks = exchange(&mut stream, &bytes);
            let answers: Vec<(String, String)> = blocks.iter().flat_map(|block| acknowledged(block)).collect();
            answers.iter().for_each(|(code, _)| table.add(format!("{source}, {form}: {code}")));
            if answers.is_empty() {
                table.add(format!("{source}, {form}: none"));
            }
            if (bytes.starts_with(b"FHS") || bytes.starts_with(b"BHS")) && blocks.len() != 1 {
                failures.push(format!("{name}: a batch is answered by one block, there are {}", blocks.len()));
            }
            let answered: Vec<String> = answers.iter().map(|(_, control)| control.clone()).collect();
            if !headers.is_empty() && headers.iter().all(|fields| is_usable(fields)) {
                if answered != controls {
                    failures.push(format!("{name} {form}: control ids {controls:?}, answered {answers:?}"));
                }
            } else if answers.len() > headers.len() {
                failures.push(format!("{name} {form}: {} messages, answered {answers:?}", headers.len()));
            } else if form == "as written" {
                unusable.add(format!("{source}: {}", if answers.is_empty() { "none" } else { &answers[0].0 }));
                println!("  no usable MSH or no MSH-10: {name}: {answers:?}");
            }
        }
    }
    unusable.print("hl7v2, no usable MSH or no MSH-10");
    table.print("hl7v2, by source");
    // It lives, and still answers on a new connection.
    assert!(exchange(&mut daemon.connect("feed"), b"").is_empty());
    assert_eq!(daemon.terminate().1, Some(0));
    no_failures(&failures);
}

#[test]
fn cabinet_transactions_are_accepted_and_incomplete_ones_are_not() {
    let Some(folder) = corpus("adc") else { return };
    let site = Site::new();
    let daemon = site.start();
    let mut stream = daemon.connect("feed");
    let (mut table, mut failures) = (Table::default(), Vec::new());
    let all = files(&folder);
    let fields = std::fs::read_to_string(all.iter().find(|path| path.extension().is_some_and(|extension| extension == "tsv")).unwrap()).unwrap();
    let required: Vec<(usize, &str)> = fields
        .lines()
        .map(|line| line.split('\t').collect::<Vec<_>>())
        .filter(|columns| columns.get(3) == Some(&"R"))
        .map(|columns| (columns[0].parse().unwrap(), columns[1]))
        .collect();
    for path in all.iter().filter(|path| path.extension().is_some_and(|extension| extension == "hl7")) {
        let name = path.file_name().unwrap().to_str().unwrap();
        // The manual's examples are marked as training, which is held without a look.
        let training = std::fs::read_to_string(path).unwrap().trim_end().replace('\n', "\r");
        let text = String::from_utf8(as_production(training.as_bytes())).unwrap();
        let mut variants = vec![("whole, training".to_owned(), training, "AA"), ("whole".to_owned(), text.clone(), "AA")];
        let kept: Vec<&str> = text.split('\r').filter(|segment| !segment.is_empty()).collect();
        variants.push(("without ZPM".to_owned(), kept.iter().filter(|segment| !segment.starts_with("ZPM")).copied().collect::<Vec<_>>().join("\r"), "AE"));
        for (number, field) in &required {
            let without = |segment: &&str| {
                let mut fields: Vec<&str> = segment.split('|').collect();
                if fields[0] == "ZPM" {
                    fields[*number] = "";
                }
                fields.join("|")
            };
            variants.push((format!("without ZPM-{number} ({field})"), kept.iter().map(without).collect::<Vec<_>>().join("\r"), "AE"));
        }
        for (variant, text, expected) in variants {
            let blocks = exchange(&mut stream, text.as_bytes());
            let answers: Vec<(String, String)> = blocks.iter().flat_map(|block| acknowledged(block)).collect();
            match &answers[..] {
                [(code, _)] if code == expected => table.add(format!("{variant}: {code}")),
                _ => failures.push(format!("{name} {variant}: expected {expected}, answered {}", blocks.join(" / ").replace('\r', " "))),
            }
        }
    }
    table.print("adc");
    waiting(&daemon).iter().for_each(|(reason, count)| println!("  {count:>5}  waits: {reason}"));
    no_failures(&failures);
}
