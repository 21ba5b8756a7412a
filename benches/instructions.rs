//! Instructions that the processor executes for one message, counted by Callgrind: `cargo bench --bench instructions`. They do
//! not depend on what else the machine does, so `instructions.txt` beside this file keeps them and the bench fails when one
//! has grown by more than three in a hundred; `WARDD_WRITE=1` writes the file anew. Without valgrind it says so and ends.
#![expect(clippy::unwrap_used, reason = "a bench may fail loudly")]

use std::fmt::Write as _;
use std::hint::black_box;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;

use wardd::app::profiles::Source;
use wardd::codec::{gs1, hl7, lis2};
use wardd::framing::{astm, mllp};
use wardd::journal::{Batch, Expected, FileLog, KeyRing, Log, Meta, NewEvent, Options};
use wardd::kernel::{CommandId, Principal, StreamId, StreamKind, Tick, Timestamp};
use wardd::profile::Codec;
use wardd::routing;

const ORU: &str = "MSH|^~\\&|LIS|LAB|WARDD|HOSP|20260101120000||ORU^R01^ORU_R01|000000000017|P|2.5.1\rPID|1||1000001^^^WARDD^MR||DOE^JANE^Q||19700101|F\rOBR|1||26112100017|24323-8^PANEL^LN|||20260101120000\rOBX|1|NM|718-7^HGB^LN||13.5|g/dL|70-110|N|||F|||20260101120000\rOBX|2|NM|6690-2^WBC^LN||7.2|10*3/uL|4-10|N|||F|||20260101120000\r";
const ASTM: &[u8] = b"H|\\^&|||    XN-550^00-01^11001^^^^AP123456||||||||E1394-97\rP|1\rO|1||^^           26112100017^M|^^^^WBC\\^^^^HGB|R\rR|1|^^^^WBC^1|7.2|10*3/uL||N||F||||20260101120000\rR|2|^^^^HGB^1|13.5|g/dL||N||F||||20260101120000\rL|1|N\r";
const SCAN: &str = "]d20109506682101352172812001\u{30}L7\u{1d}219876543210";
/// Growth that is no regression.
const SLACK: f64 = 1.03;

/// What is counted, by name: the work is made ready, then done so many times.
type Work = (&'static str, fn(u32));
const WORK: [Work; 6] = [
    ("hl7 parse and understand", hl7_message),
    ("mllp unwrap", mllp_block),
    ("lis2 parse and understand", lis2_message),
    ("astm frame", astm_frame),
    ("gs1 scan", gs1_scan),
    ("journal append", append),
];

fn hl7_message(times: u32) {
    let profile = Source::BuiltIn.load("generic/hl7-feed").unwrap();
    let Codec::Hl7(rules) = &profile.codec else { return };
    for _ in 0..times {
        let message = hl7::Message::parse(black_box(ORU.as_bytes())).unwrap();
        black_box(routing::hl7::understand(&profile, rules, &message));
    }
}

fn mllp_block(times: u32) {
    let block = mllp::frame(ORU.as_bytes());
    let mut decoder = mllp::Decoder::new(1 << 20);
    for _ in 0..times {
        decoder.receive(black_box(&block));
        black_box(decoder.next());
    }
}

fn lis2_message(times: u32) {
    let profile = Source::BuiltIn.load("sysmex/xn-550").unwrap();
    let Codec::Lis2(rules) = &profile.codec else { return };
    for _ in 0..times {
        let message = lis2::Message::parse(black_box(ASTM)).unwrap();
        black_box(routing::lis2::understand(&profile, rules, &message));
    }
}

fn astm_frame(times: u32) {
    let body = format!("1{}\r\u{3}", "R|1|^^^^WBC^1|7.2|10*3/uL||N||F||||20260101120000");
    let sum = body.bytes().fold(0_u8, |sum, byte| sum.wrapping_add(byte));
    let frame = format!("\u{2}{body}{sum:02X}\r\n").into_bytes();
    for _ in 0..times {
        let mut session = astm::Session::new(astm::Settings::default());
        session.receive(&[5], Tick::from_ms(0));
        session.receive(black_box(&frame), Tick::from_ms(0));
        while let Some(output) = session.poll() {
            if let astm::Output::Frame { .. } = output {
                session.verdict(astm::Verdict::Accept, Tick::from_ms(0));
            }
        }
    }
}

fn gs1_scan(times: u32) {
    (0..times).for_each(|_| drop(black_box(gs1::scan(black_box(SCAN)).unwrap())));
}

fn append(times: u32) {
    let folder = std::env::temp_dir().join(format!("wardd-instructions-{}", std::process::id()));
    let (log, _) = FileLog::open(&folder, Arc::new(KeyRing::ephemeral().unwrap()), Options { segment_bytes: 16 << 20, ..Options::default() }).unwrap();
    for number in 0..times {
        let command = CommandId::from_bytes(u128::from(number).to_be_bytes());
        let now = Timestamp::from_micros(1_767_268_800_000_000);
        let principal = Principal::System("bench".to_owned());
        let meta = Meta { command, principal, witness: None, place: None, correlation: command, causation: None, device_time: None, received: now, recorded: now, request: None };
        let stream = StreamId::new(StreamKind::Device, "feed");
        let event = NewEvent::new(stream.clone(), "MessageReceived", 1, &ORU).unwrap();
        let (sender, receiver) = std::sync::mpsc::channel();
        log.append(Batch { expected: vec![(stream, Expected::Any)], meta: Arc::new(meta), events: vec![event] }, Box::new(move |result| sender.send(result.is_ok()).unwrap()));
        assert!(receiver.recv().unwrap());
    }
    drop(log);
    std::fs::remove_dir_all(folder).unwrap();
}

/// Instructions of a run, as Callgrind sums them up.
fn count(name: &str, times: u32) -> f64 {
    let program = std::env::current_exe().unwrap();
    let out = std::env::temp_dir().join(format!("wardd-callgrind-{}", std::process::id()));
    let mut command = Command::new("valgrind");
    command.args(["--tool=callgrind", "-q"]).arg(format!("--callgrind-out-file={}", out.display())).arg(program).env("COUNTED", format!("{name}/{times}"));
    let output = command.stdout(Stdio::null()).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let text = std::fs::read_to_string(&out).unwrap();
    std::fs::remove_file(out).unwrap();
    text.lines().find_map(|line| line.strip_prefix("summary: ").or_else(|| line.strip_prefix("totals: "))?.split_whitespace().next()?.parse().ok()).unwrap()
}

fn main() {
    if let Ok(asked) = std::env::var("COUNTED") {
        let (name, times) = asked.split_once('/').unwrap();
        let (_, work) = WORK.iter().find(|(known, _)| *known == name).unwrap();
        return work(times.parse().unwrap());
    }
    if Command::new("valgrind").arg("--version").stdout(Stdio::null()).status().is_err() {
        return println!("valgrind is not installed: nothing was counted");
    }
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("benches/instructions.txt");
    let before = std::fs::read_to_string(&path).unwrap_or_default();
    let (mut text, mut has_grown) = (String::new(), false);
    for (name, _) in WORK {
        // The difference of two runs leaves out the start.
        let each = (count(name, 1_100) - count(name, 100)) / 1_000.0;
        let known: Option<f64> = before.lines().find_map(|line| line.strip_suffix(&format!(" {name}"))?.trim().parse().ok());
        let is_worse = known.is_some_and(|known| each > known * SLACK);
        has_grown |= is_worse;
        println!("{each:>8.0} {name}{}", known.map_or(String::new(), |known| format!(" (kept: {known:.0}{})", if is_worse { ", GROWN" } else { "" })));
        writeln!(text, "{each:>8.0} {name}").unwrap();
    }
    if before.is_empty() || std::env::var_os("WARDD_WRITE").is_some() {
        std::fs::write(&path, text).unwrap();
    } else {
        assert!(!has_grown, "more instructions than benches/instructions.txt keeps: mend it, or write the file anew with WARDD_WRITE=1 and say why");
    }
}
