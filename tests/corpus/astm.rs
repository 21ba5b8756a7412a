//! ASTM transmissions, as files and to a daemon, whole, repeated and cut.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Write;
use std::net::TcpStream;
use std::path::Path;

use regex::Regex;

use super::harness::{self, Site, read};
use super::table::*;

const ENQ: u8 = 0x05;
const ACK: u8 = 0x06;
const EOT: u8 = 0x04;

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
    // The charge is decided beside the devices, and its price is not in the list.
    daemon.until("the charge waits", |daemon| waiting(daemon).keys().any(|item| item.starts_with("unpriced")));
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
