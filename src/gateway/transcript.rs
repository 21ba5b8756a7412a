//! A profile's transcripts: bytes in → answers and commands out, run without a line, a clock or a journal.
//!
//! A transcript is a text file. `>` bytes of the device, `<` what the host must answer, `=` what it must understand, `#` a remark.
//! Control characters are written `<ENQ>`, `<STX>`, `<0B>`; a line ends where the text ends, so `<CR>` is written out.

use crate::codec::hl7::Message as Hl7Message;
use crate::codec::lis2::Message as Lis2Message;
use crate::domain::quarantine::Reason;
use crate::domain::specimen::{ResultLine, ResultValue};
use crate::framing::astm::{Assembled, Assembler, Output, Session, Verdict};
use crate::framing::line::{Decoder as LineDecoder, Ending, Line};
use crate::framing::mllp::{Block, Decoder};
use crate::kernel::{Tick, Timestamp, limits};
use crate::profile::{Codec, Framing, Profile};
use crate::routing::{self, Purpose, Routed, Understood};

/// A line of a transcript that came out otherwise.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("line {line}: expected {expected:?}, found {found:?}")]
pub struct Mismatch {
    /// The line of the file.
    pub line: usize,
    /// What the transcript says.
    pub expected: String,
    /// What came out; empty when nothing did.
    pub found: String,
}

const NAMES: [(u8, &str); 12] =
    [(0x02, "STX"), (0x03, "ETX"), (0x04, "EOT"), (0x05, "ENQ"), (0x06, "ACK"), (0x0A, "LF"), (0x0B, "VT"), (0x0D, "CR"), (0x15, "NAK"), (0x17, "ETB"), (0x1C, "FS"), (0x1D, "GS")];

/// Bytes as a transcript writes them.
pub fn shown(bytes: &[u8]) -> String {
    let mut text = String::new();
    for &byte in bytes {
        match NAMES.iter().find(|(code, _)| *code == byte) {
            Some((_, name)) => text.push_str(&format!("<{name}>")),
            None if byte.is_ascii_graphic() && byte != b'<' || byte == b' ' => text.push(char::from(byte)),
            None => text.push_str(&format!("<{byte:02X}>")),
        }
    }
    text
}

/// Bytes from a transcript's writing; an unknown name in brackets is taken as it stands.
fn bytes(text: &str) -> Vec<u8> {
    let mut out = Vec::new();
    let mut rest = text;
    while let Some(at) = rest.find('<') {
        out.extend_from_slice(&rest.as_bytes()[..at]);
        let after = &rest[at + 1..];
        let named = after.find('>').and_then(|end| {
            let name = &after[..end];
            let byte = NAMES.iter().find(|(_, known)| *known == name).map(|(byte, _)| *byte).or_else(|| (name.len() == 2).then(|| u8::from_str_radix(name, 16).ok()).flatten())?;
            Some((byte, end))
        });
        match named {
            Some((byte, end)) => {
                out.push(byte);
                rest = &after[end + 1..];
            }
            None => {
                out.push(b'<');
                rest = after;
            }
        }
    }
    out.extend_from_slice(rest.as_bytes());
    out
}

fn value(line: &ResultLine) -> String {
    let number = match &line.value {
        ResultValue::Number(number) => number.to_string(),
        ResultValue::Below(limit) => format!("<{limit}"),
        ResultValue::Above(limit) => format!(">{limit}"),
        ResultValue::Text(text) => text.clone(),
    };
    let unit = line.unit.as_ref().map(|unit| format!(" {unit}")).unwrap_or_default();
    format!("{}={number}{unit}", line.test)
}

fn values(results: &[ResultLine]) -> String {
    results.iter().map(value).collect::<Vec<_>>().join(", ")
}

/// What was understood, as a transcript writes it.
fn words(item: &Routed) -> String {
    match item {
        Routed::Results { accession, results, .. } => format!("results {accession}: {}", values(results)),
        Routed::Unbound { results, reason } => format!("unbound {}: {}", reason.word(), values(results)),
        Routed::Control { control, results } => format!("control {control}: {}", values(results)),
        Routed::Query { samples } => format!("query {}", samples.join(" ")),
        Routed::Collect { accession } => format!("collect {accession}"),
        Routed::Receive { accession } => format!("receive {accession}"),
        Routed::Load { cabinet, gtin, lot, expires, quantity, .. } => format!("load {cabinet}: {gtin} lot {lot} until {expires} x {quantity}"),
        Routed::Report { cabinet, reported } => format!("report {cabinet}: {:?} {} of {} in {}", reported.kind, reported.quantity, reported.item, reported.pocket),
        Routed::Census(command) => command.to_string(),
        Routed::Tag { tag, antenna, .. } => format!("tag {tag} at antenna {antenna}"),
        Routed::Drawer { drawer, movement, command } => format!("drawer {drawer} {movement:?} {command}").trim_end().to_owned(),
        Routed::Noted => "noted".to_owned(),
        Routed::Hold(reason) => format!("hold {}", reason.word()),
    }
}

/// What a device's bytes lead to: answers (`<`) and understandings (`=`).
struct Player<'p> {
    profile: &'p Profile,
    purpose: Purpose,
    astm: Session,
    assembler: Assembler,
    mllp: Decoder,
    lines: LineDecoder,
    now: Timestamp,
    out: Vec<String>,
}

impl<'p> Player<'p> {
    fn new(profile: &'p Profile) -> Self {
        let ending = match &profile.framing {
            Framing::Line { ending, .. } if ending == "cr" => Ending::Cr,
            Framing::Line { ending, .. } if ending == "stx-etx" => Ending::StxEtx,
            Framing::Line { .. } | Framing::Astm { .. } | Framing::Mllp | Framing::Mqtt { .. } => Ending::CrOrLf,
        };
        Self {
            profile,
            purpose: Purpose::Receive,
            astm: Session::new(super::astm::settings(profile)),
            assembler: Assembler::new(limits::ASTM_MESSAGE_BYTES),
            mllp: Decoder::new(limits::MLLP_MESSAGE_BYTES),
            lines: LineDecoder::new(ending, limits::LINE_BYTES),
            // Transcripts are read on a fixed day, so that expiry dates and queries come out alike for ever.
            now: Timestamp::from_micros(1_795_262_400_000_000),
            out: Vec::new(),
        }
    }

    fn understood(&mut self, understood: &Understood) {
        self.out.extend(understood.items.iter().map(|item| format!("= {}", words(item))));
    }

    fn lis2(&mut self, message: &[u8]) {
        let Codec::Lis2(lis2) = &self.profile.codec else { return };
        match Lis2Message::parse(message) {
            Ok(parsed) => self.understood(&routing::lis2::understand(self.profile, lis2, &parsed)),
            Err(error) => self.understood(&Understood::held(Reason::NotParsed { detail: error.to_string() })),
        }
    }

    fn astm(&mut self, input: &[u8]) {
        self.astm.receive(input, Tick::default());
        while let Some(output) = self.astm.poll() {
            match output {
                Output::Transmit(bytes) => self.out.push(format!("< {}", shown(&bytes))),
                Output::Frame { text, is_last } => {
                    for piece in self.assembler.push(&text, is_last) {
                        match piece {
                            Assembled::Message(message) => self.lis2(&message),
                            Assembled::Fragment(_) | Assembled::TooLarge(_) => self.out.push("= hold incomplete".to_owned()),
                        }
                    }
                    self.astm.verdict(Verdict::Accept, Tick::default());
                }
                Output::End | Output::Silence => {
                    if self.assembler.finish().is_some() {
                        self.out.push("= hold incomplete".to_owned());
                    }
                }
                Output::Noticed(_) | Output::Sent(_) | Output::Failed(..) => {}
            }
        }
    }

    fn hl7(&mut self, input: &[u8]) {
        let Codec::Hl7(hl7) = &self.profile.codec else { return };
        self.mllp.receive(input);
        while let Some(block) = self.mllp.next() {
            match block {
                Block::Message(message) => match Hl7Message::parse(&message) {
                    Ok(parsed) => {
                        let answerable = routing::hl7::understand(self.profile, hl7, &parsed);
                        self.understood(&answerable.understood);
                        let code = answerable.fault.map_or("AA".to_owned(), |fault| format!("{} {}", if fault.code == "200" { "AR" } else { "AE" }, fault.code));
                        self.out.push(format!("< {code} {}", answerable.understood.control_id).trim_end().to_owned());
                    }
                    Err(_) => self.out.push("= hold not_parsed".to_owned()),
                },
                Block::Cut(..) => self.out.push("= hold incomplete".to_owned()),
                Block::Garbage(_) => {}
            }
        }
    }

    fn play(&mut self, input: &[u8]) {
        match (&self.profile.framing, &self.profile.codec) {
            (Framing::Astm { .. }, _) => self.astm(input),
            (Framing::Mllp, _) => self.hl7(input),
            (Framing::Mqtt { .. }, Codec::RfidJson) => self.understood(&routing::json::tag(input)),
            (Framing::Mqtt { .. }, Codec::VitalsJson) => self.understood(&routing::vitals::of_json(input)),
            (Framing::Mqtt { .. }, _) => self.understood(&routing::json::drawer(input)),
            (Framing::Line { answers, .. }, codec) => {
                let (answers, is_relay) = (*answers, matches!(codec, Codec::RelayWords));
                self.lines.receive(input);
                while let Some(line) = self.lines.next() {
                    let understood = match line {
                        Line::Text(text) if is_relay => routing::relay::understand(&text),
                        Line::Text(text) => routing::scan::understand(&self.purpose, &text, self.now),
                        Line::TooLong(_) | Line::Cut(_) => Understood::held(Reason::Incomplete { detail: String::new() }),
                    };
                    self.understood(&understood);
                    if answers {
                        let is_good = !understood.items.iter().any(|item| matches!(item, Routed::Hold(_)));
                        self.out.push(format!("< <{}>", if is_good { "ACK" } else { "NAK" }));
                    }
                }
            }
        }
    }
}

/// Runs a transcript; every line that came out otherwise, none when it holds.
pub fn run(profile: &Profile, transcript: &str) -> Vec<Mismatch> {
    let mut player = Player::new(profile);
    let mut mismatches = Vec::new();
    let mut taken = 0;
    let mut checked = 0;
    for (number, line) in transcript.lines().enumerate() {
        let number = number + 1;
        match line.split_at_checked(1) {
            Some((">", input)) => {
                for unexpected in &player.out[taken..] {
                    mismatches.push(Mismatch { line: number, expected: String::new(), found: unexpected.clone() });
                }
                taken = player.out.len();
                player.play(&bytes(input.strip_prefix(' ').unwrap_or(input)));
            }
            Some(("@", purpose)) => {
                player.purpose = match purpose.trim() {
                    "collect" => Purpose::Collect,
                    "receive" => Purpose::Receive,
                    cabinet => cabinet.parse().map_or(Purpose::Receive, Purpose::Load),
                };
            }
            Some(("<" | "=", _)) => {
                checked += 1;
                let found = player.out.get(taken).cloned().unwrap_or_default();
                taken = (taken + 1).min(player.out.len());
                if found != line.trim_end() {
                    mismatches.push(Mismatch { line: number, expected: line.trim_end().to_owned(), found });
                }
            }
            _ => {}
        }
    }
    for unexpected in &player.out[taken..] {
        mismatches.push(Mismatch { line: transcript.lines().count(), expected: String::new(), found: unexpected.clone() });
    }
    if checked == 0 {
        mismatches.push(Mismatch { line: 1, expected: "at least one line that begins with < or =".to_owned(), found: String::new() });
    }
    mismatches
}

/// What a profile makes of device bytes, as a transcript would write it: to begin a transcript with.
pub fn play(profile: &Profile, input: &[u8]) -> Vec<String> {
    let mut player = Player::new(profile);
    player.play(input);
    player.out
}
