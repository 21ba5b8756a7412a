//! What is fuzzed: every decoder, and the loaders of configuration and profiles. Each target takes any bytes, must not panic,
//! and asserts what must hold for all of them. `fuzz/` runs them under libFuzzer, the corpus tests run them for a short while.

use std::path::Path;
use std::sync::OnceLock;

use wardd::codec::hl7::ack::{self, Code, Header};
use wardd::codec::{epc::Tag, gs1, hl7, lis2};
use wardd::framing::astm::{Assembler, Output, Session, Settings, Verdict};
use wardd::framing::{line, mllp};
use wardd::kernel::{Tick, Timestamp};
use wardd::profile::{Codec, Profile};
use wardd::routing::{self, Purpose};

/// A target: its name, which kinds of seeds it likes, and what it does.
pub struct Target {
    /// As in `fuzz/fuzz_targets/`.
    pub name: &'static str,
    /// Folders of the shared corpus.
    pub seeds: &'static [&'static str],
    /// Seeds of our own.
    pub own: &'static [&'static [u8]],
    /// The target.
    pub run: fn(&[u8]),
}

/// All targets.
pub const TARGETS: &[Target] = &[
    Target { name: "hl7", seeds: &["hl7v2"], own: &[b"MSH|^~\\&|A|B|C|D|20260101||ORU^R01|1|P|2.5\rPID|1||7\rOBR|1|5\rOBX|1|NM|789-8^^LN||4.5|10*6/uL|||||F\r"], run: hl7 },
    Target { name: "mllp", seeds: &["hl7v2"], own: &[b"\x0bMSH|^~\\&|A\r\x1c\r\x0bMSH|^~\\&|B\r\x1c\r"], run: mllp },
    Target { name: "lis2", seeds: &["astm"], own: &[b"H|\\^&|||XN-10\rP|1\rO|1|17\rR|1|^^^WBC|5.1|10*3/uL||||F\rL|1|N\r"], run: lis2 },
    Target { name: "astm", seeds: &["astm"], own: &[b"\x05\x021H|\\^&\r\x03E5\r\n\x04", b"\x05\x021H|\\^&\rL|1\r\x1702\r\n"], run: astm },
    Target { name: "line", seeds: &["gs1"], own: &[b"one\r\ntwo\r\x02three\x03"], run: line },
    Target { name: "gs1", seeds: &["gs1"], own: &[b"]d2010950600013435217261130101A\x1d21B", b"(01)09506000134352(17)261130(10)A"], run: gs1 },
    Target { name: "epc", seeds: &["epc"], own: &[b"3074257bf7194e4000001a85", b"urn:epc:tag:sgtin-96:3.0614141.812345.6789"], run: epc },
    Target {
        name: "json",
        seeds: &[],
        own: &[br#"{"epc":"3074257bf7194e4000001a85","antenna":1,"seen":"2026-01-01T00:00:00Z"}"#, br#"{"event":"opened","drawer":"3","command_id":"17"}"#],
        run: json,
    },
    Target {
        name: "profile",
        seeds: &[],
        own: &[include_bytes!("../../device-profiles/sysmex/xn-550.toml"), include_bytes!("../../device-profiles/generic/hl7-feed.toml")],
        run: profile,
    },
    Target { name: "config", seeds: &[], own: &[include_bytes!("../../config/wardd.toml"), include_bytes!("../../config/demo.toml")], run: config },
];

fn now() -> Timestamp {
    Timestamp::from_micros(1_795_000_000_000_000)
}

fn known(text: &str) -> Profile {
    match Profile::parse(text) {
        Ok(profile) => profile,
        Err(error) => unreachable!("a profile of the project does not parse: {error}"),
    }
}

fn feed() -> &'static Profile {
    static FEED: OnceLock<Profile> = OnceLock::new();
    FEED.get_or_init(|| known(include_str!("../../device-profiles/generic/hl7-feed.toml")))
}

fn analyzer() -> &'static Profile {
    static ANALYZER: OnceLock<Profile> = OnceLock::new();
    ANALYZER.get_or_init(|| known(include_str!("../../device-profiles/sysmex/xn-550.toml")))
}

/// A message comes back byte by byte; whatever can be answered is answered by a message that we can read ourselves.
fn hl7(data: &[u8]) {
    if let Ok(batch) = hl7::split_batch(data) {
        assert!(batch.messages.iter().all(|range| range.end <= data.len() && range.start <= range.end));
    }
    let header = match hl7::Message::parse(data) {
        Ok(message) => {
            // A byte order mark is no part of the message.
            assert_eq!(message.bytes(), data.strip_prefix(b"\xef\xbb\xbf").unwrap_or(data), "lossless");
            for segment in message.segments().take(64) {
                for field in 0..8 {
                    let _ = (segment.text(field, 0), segment.text(field, 2), segment.repetitions(field));
                }
            }
            if let Codec::Hl7(settings) = &feed().codec {
                let _ = routing::hl7::understand(feed(), settings, &message);
            }
            Some(Header::of(&message))
        }
        Err(_) => Header::salvage(data),
    };
    if let Some(header) = header {
        let answer = ack::acknowledge(&header, Code::ApplicationAccept, None, "20260101000000+0000", "W1");
        let Ok(read) = hl7::Message::parse(&answer) else { unreachable!("our own answer does not parse: {:?}", String::from_utf8_lossy(&answer)) };
        assert!(ack::read(&read).is_some_and(|(code, _)| code == Code::ApplicationAccept), "{:?}", String::from_utf8_lossy(&answer));
    }
}

/// The blocks of a stream do not depend on where its reads were cut.
fn mllp(data: &[u8]) {
    let decode = |piece: usize| {
        let mut decoder = mllp::Decoder::new(4_096);
        let mut blocks = Vec::new();
        for part in data.chunks(piece.max(1)) {
            decoder.receive(part);
            while let Some(block) = decoder.next() {
                // Garbage may be told in pieces.
                if !matches!(block, mllp::Block::Garbage(_)) {
                    blocks.push(block);
                }
            }
        }
        blocks.extend(decoder.finish().filter(|block| !matches!(block, mllp::Block::Garbage(_))));
        blocks
    };
    assert_eq!(decode(data.len()), decode(1));
    assert_eq!(decode(7), decode(1));
}

/// Whatever parses as LIS2 is understood or held.
fn lis2(data: &[u8]) {
    let Ok(message) = lis2::Message::parse(data) else { return };
    let _ = lis2::tree(&message);
    if let Codec::Lis2(settings) = &analyzer().codec {
        assert!(!routing::lis2::understand(analyzer(), settings, &message).items.is_empty(), "a message is never nothing");
    }
}

/// A line session keeps its buffers bounded, and every frame that it gives is judged once.
fn astm(data: &[u8]) {
    let mut session = Session::new(Settings::default());
    let mut assembler = Assembler::new(64_000);
    let mut clock = 0;
    for part in data.chunks(11) {
        session.receive(part, Tick::from_ms(clock));
        let mut steps = 0;
        while let Some(output) = session.poll() {
            steps += 1;
            assert!(steps < 1_000, "the session does not come to rest");
            if let Output::Frame { text, is_last } = output {
                let _ = assembler.push(&text, is_last);
                session.verdict(if text.len() % 5 == 4 { Verdict::Refuse } else { Verdict::Accept }, Tick::from_ms(clock));
            }
        }
        clock += u64::from(part.first().copied().unwrap_or(0)) * 200;
        if session.deadline().is_some_and(|deadline| deadline <= Tick::from_ms(clock)) {
            session.timeout(Tick::from_ms(clock));
        }
    }
    session.disconnected();
    let _ = assembler.finish();
}

fn line(data: &[u8]) {
    for ending in [line::Ending::CrOrLf, line::Ending::Cr, line::Ending::StxEtx] {
        let decode = |piece: usize| {
            let mut decoder = line::Decoder::new(ending, 256);
            let mut lines = Vec::new();
            for part in data.chunks(piece.max(1)) {
                decoder.receive(part);
                lines.extend(std::iter::from_fn(|| decoder.next()));
            }
            lines.extend(decoder.finish());
            lines
        };
        let whole = decode(data.len());
        assert!(whole.iter().all(|line| !matches!(line, line::Line::Text(text) if text.len() > 256 || text.is_empty())));
        assert_eq!(
            whole.iter().filter(|line| matches!(line, line::Line::Text(_))).collect::<Vec<_>>(),
            decode(1).iter().filter(|line| matches!(line, line::Line::Text(_))).collect::<Vec<_>>()
        );
    }
}

/// What is accepted prints in a form that is accepted and means the same.
fn gs1(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    if let Ok(gs1::Scan::Elements(elements)) = gs1::scan(text) {
        let canonical = elements.canonical();
        let Ok(gs1::Scan::Elements(again)) = gs1::scan(&canonical) else { unreachable!("{text:?} prints as {canonical:?}, which is refused") };
        assert_eq!(again.canonical(), canonical);
    }
    let purposes = [Purpose::Collect, Purpose::Receive];
    for purpose in purposes {
        assert!(!routing::scan::understand(&purpose, data, now()).items.is_empty());
    }
}

fn epc(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    if let Ok(tag) = Tag::from_hex(text) {
        assert_eq!(Tag::from_uri(&tag.uri()).map(|tag| tag.hex()), Ok(tag.hex()), "{text}");
    }
    if let Ok(tag) = Tag::from_uri(text) {
        assert_eq!(Tag::from_hex(&tag.hex()).map(|tag| tag.uri()), Ok(tag.uri()), "{text}");
    }
}

fn json(data: &[u8]) {
    assert!(!routing::json::tag(data).items.is_empty());
    assert!(!routing::json::drawer(data).items.is_empty());
}

fn profile(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    if let Ok(profile) = Profile::parse(text) {
        let _ = wardd::profile::lint::lint(&profile);
    }
}

fn config(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    if let Err(error) = wardd::config::Config::parse(text, Path::new("wardd.toml")) {
        assert!(!error.to_string().is_empty());
    }
}
