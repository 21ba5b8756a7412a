//! `wardctl decode`: one message or code, taken apart.

use std::io::Read;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, ValueEnum};
use serde_json::{Value, json};
use wardd::codec::{epc, gs1, hl7, lis2};
use wardd::framing::astm::{Assembled, Assembler, Output, Session, Settings, Verdict};
use wardd::framing::mllp::{Block, Decoder};
use wardd::kernel::{Tick, limits};

use crate::out;

#[derive(Args)]
pub(crate) struct Arguments {
    /// What it is.
    kind: Kind,
    /// The file, or - for standard input.
    #[arg(default_value = "-")]
    file: PathBuf,
    /// JSON, which is also what is shown without it; kept for scripts that say so.
    #[arg(long)]
    json: bool,
    /// For GS1: what an element needs beside it must be in this code too; otherwise that is a warning.
    #[arg(long)]
    whole: bool,
}

#[derive(Clone, Copy, ValueEnum)]
enum Kind {
    /// HL7 v2, with or without MLLP marks, one message or a batch.
    Hl7,
    /// LIS2-A2 records, with or without E1381 frames.
    Astm,
    /// A GS1 element string.
    Gs1,
    /// An EPC, hexadecimal or tag URI.
    Epc,
}

/// What was found, or what is wrong with it and where.
type Decoded = Result<Value, String>;

fn hl7(bytes: &[u8]) -> Decoded {
    let mut block = bytes.to_vec();
    if bytes.first() == Some(&0x0B) {
        let mut decoder = Decoder::new(limits::MLLP_MESSAGE_BYTES);
        decoder.receive(bytes);
        match decoder.next() {
            Some(Block::Message(message)) => block = message.to_vec(),
            Some(Block::Cut(..) | Block::Garbage(_)) | None => return Err("the MLLP block is not whole: 0x1C 0x0D is missing".to_owned()),
        }
    }
    let batch = hl7::split_batch(&block).map_err(|error| error.to_string())?;
    let mut messages = Vec::new();
    for (number, range) in batch.messages.iter().enumerate() {
        let bytes = block.get(range.clone()).unwrap_or_default();
        let message = hl7::Message::parse(bytes).map_err(|error| format!("message {}: {error}", number + 1))?;
        for (field, name) in [(9, "message type"), (10, "control id")] {
            if message.field(b"MSH", field, 0).is_none() {
                return Err(format!("message {}: MSH-{field} ({name}) is missing", number + 1));
            }
        }
        messages.push(hl7::tree(&message));
    }
    if let Some(counted) = batch.counted.filter(|counted| *counted != messages.len()) {
        return Err(format!("BTS-1 counts {counted} messages, there are {}", messages.len()));
    }
    match (batch.is_batch, messages.as_mut_slice()) {
        (false, [only]) => Ok(only.take()),
        _ => Ok(json!({ "batch": messages })),
    }
}

/// The records inside frames; refuses what a host would refuse.
fn unframed(bytes: &[u8]) -> Result<Vec<u8>, String> {
    let mut session = Session::new(Settings { sends_enq: false, ..Settings::default() });
    let mut assembler = Assembler::new(limits::ASTM_MESSAGE_BYTES);
    let mut messages = Vec::new();
    session.receive(bytes, Tick::default());
    let mut frames = 0;
    while let Some(output) = session.poll() {
        match output {
            Output::Frame { text, is_last } => {
                frames += 1;
                for piece in assembler.push(&text, is_last) {
                    match piece {
                        Assembled::Message(message) => messages.push(message),
                        Assembled::Fragment(_) | Assembled::TooLarge(_) => return Err("the frames hold records without H or L".to_owned()),
                    }
                }
                session.verdict(Verdict::Accept, Tick::default());
            }
            Output::Noticed(notice) => {
                if let wardd::framing::astm::Notice::Bad(reason) = notice {
                    let at = memchr::memmem::find_iter(bytes, b"\x02").nth(frames).unwrap_or(0);
                    return Err(format!("frame {} (at byte {at}) is refused: {}", frames + 1, reason.words()));
                }
            }
            Output::Transmit(_) | Output::End | Output::Silence | Output::Sent(_) | Output::Failed(..) => {}
        }
    }
    if assembler.finish().is_some() {
        return Err("the transmission has no L record: it was cut".to_owned());
    }
    if messages.is_empty() { Err("there is no whole frame".to_owned()) } else { Ok(messages.concat()) }
}

/// Messages of a text: each begins with H and ends with L.
fn astm(bytes: &[u8]) -> Decoded {
    let records = if bytes.contains(&0x02) { unframed(bytes)? } else { bytes.to_vec() };
    let lines: Vec<&[u8]> = records.split(|byte| matches!(byte, b'\r' | b'\n')).filter(|line| line.iter().any(|byte| !byte.is_ascii_whitespace())).collect();
    let mut messages: Vec<Vec<u8>> = vec![Vec::new()];
    for line in lines {
        if let Some(message) = messages.last_mut() {
            message.extend_from_slice(line);
            message.push(b'\r');
        }
        if line.first() == Some(&b'L') {
            messages.push(Vec::new());
        }
    }
    messages.retain(|message| !message.is_empty());
    let mut trees = Vec::new();
    for (number, message) in messages.iter().enumerate() {
        let parsed = lis2::Message::parse(message).map_err(|error| format!("message {}: {error}", number + 1))?;
        trees.push(lis2::tree(&parsed));
    }
    match trees.as_mut_slice() {
        [] => Err("the message is empty".to_owned()),
        [only] => Ok(only.take()),
        _ => Ok(json!({ "messages": trees })),
    }
}

fn gs1(text: &str, is_whole: bool) -> Decoded {
    match gs1::scan(text).map_err(|fault| fault.to_string())? {
        gs1::Scan::Text { symbology, text } => Ok(json!({ "symbology": format!("]{symbology}"), "text": text, "elements": [] })),
        gs1::Scan::Elements(found) => {
            let (missing, wrong): (Vec<_>, Vec<_>) = found.pairing_faults().into_iter().partition(|fault| matches!(fault, gs1::Pairing::Missing(..)));
            if let Some(fault) = wrong.first().or(missing.first().filter(|_| is_whole)) {
                return Err(fault.to_string());
            }
            let elements: Vec<Value> = found.elements.iter().map(|element| json!({ "ai": element.ai, "value": element.value, "title": element.title })).collect();
            let warnings: Vec<String> = missing.iter().map(ToString::to_string).collect();
            Ok(json!({ "elements": elements, "element_string": found.canonical(), "warnings": warnings }))
        }
    }
}

fn epc(text: &str) -> Decoded {
    let tag = if text.starts_with("urn:") { epc::Tag::from_uri(text) } else { epc::Tag::from_hex(text) };
    let tag = tag.map_err(|error| error.to_string())?;
    Ok(json!({ "scheme": tag.scheme(), "tag_uri": tag.uri(), "pure_identity": tag.pure_identity(), "hex": tag.hex(), "company_prefix": tag.company_prefix() }))
}

pub(crate) fn run(arguments: &Arguments) -> Result<ExitCode, String> {
    let mut bytes = Vec::new();
    if arguments.file.as_os_str() == "-" {
        std::io::stdin().read_to_end(&mut bytes).map_err(|error| format!("standard input: {error}"))?;
    } else {
        bytes = std::fs::read(&arguments.file).map_err(|error| format!("{}: {error}", arguments.file.display()))?;
    }
    // A code in a file may end in a newline that is not part of it.
    let text = || std::str::from_utf8(&bytes).map(|text| text.trim_end_matches(['\r', '\n'])).map_err(|_| "the code is not text".to_owned());
    let decoded = match arguments.kind {
        Kind::Hl7 => hl7(&bytes),
        Kind::Astm => astm(&bytes),
        Kind::Gs1 => text().and_then(|text| gs1(text, arguments.whole)),
        Kind::Epc => text().and_then(epc),
    };
    match decoded {
        Ok(value) => {
            out::json(&value);
            Ok(ExitCode::SUCCESS)
        }
        Err(why) => {
            // One form for scripts, whatever was asked for.
            let _ = arguments.json;
            eprintln!("invalid: {why}");
            out::json(&json!({ "error": why }));
            Ok(ExitCode::FAILURE)
        }
    }
}
