//! HL7 v2 messages and cabinet transactions to a daemon.

use std::collections::BTreeSet;
use std::io::{Read, Write};
use std::net::TcpStream;

use super::harness::Site;
use super::table::*;

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
pub fn as_production(block: &[u8]) -> Vec<u8> {
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
