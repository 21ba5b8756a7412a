//! Element strings of the GS1 syntax engine and two libraries.

use std::collections::BTreeSet;

use regex::Regex;
use wardd::codec::gs1;

use super::table::*;

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
