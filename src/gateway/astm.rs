//! ASTM analyzers: the frame that ends a message is answered after the message is durable; queries are answered from durable orders.

use std::sync::Arc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use tokio::io::{AsyncReadExt, AsyncWrite, AsyncWriteExt};

use super::Device;
use super::device::Ended;
use super::intake::{Arrived, identity, store};
use crate::codec::lis2::{Message, Writer};
use crate::domain::quarantine::Reason;
use crate::framing::astm::session::{BadFrame, FrameNumbers};
use crate::framing::astm::{Assembled, Assembler, Checksum, Notice, Output, Session, Settings, Verdict};
use crate::kernel::planted::{self, Bug};
use crate::kernel::{Accession, Loinc, Tick, Timestamp, limits};
use crate::link::Connection;
use crate::profile::{Codec, Framing, Lis2, Profile};
use crate::routing::{self, Routed, Understood};

/// How long wardd waits for a transmission under way when it stops.
const FAREWELL: Duration = Duration::from_secs(2);

/// The line's settings as the profile says.
pub(super) fn settings(profile: &Profile) -> Settings {
    let Framing::Astm { checksum, frame_numbers, sends_enq, frame_limit, text_limit } = &profile.framing else { return Settings::default() };
    Settings {
        checksum: match checksum.as_str() {
            "etb-left-out" => Checksum::EtbLeftOut,
            "end-left-out" => Checksum::EndLeftOut,
            "absent" => Checksum::Absent,
            _ => Checksum::Standard,
        },
        frame_numbers: match frame_numbers.as_str() {
            "restarting" => FrameNumbers::Restarting,
            "any" => FrameNumbers::Any,
            _ => FrameNumbers::Standard,
        },
        sends_enq: *sends_enq,
        frame_limit: *frame_limit,
        text_limit: *text_limit,
        ..Settings::default()
    }
}

/// One connection of an analyzer.
struct Line<'d> {
    device: &'d Arc<Device>,
    session: Session,
    assembler: Assembler,
    peer: String,
    /// Answers to queries, in the order of their numbers.
    sent: u64,
    has_received: bool,
}

pub(super) async fn session(device: &Arc<Device>, connection: Connection) -> Ended {
    let Connection { mut reader, mut writer, peer } = connection;
    let mut line = Line { device, session: Session::new(settings(&device.profile)), assembler: Assembler::new(limits::ASTM_MESSAGE_BYTES), peer, sent: 0, has_received: false };
    let mut buffer = BytesMut::with_capacity(4_096);
    let mut stopping_until: Option<Tick> = None;
    let why = loop {
        let deadline = [line.session.deadline(), stopping_until].into_iter().flatten().min();
        let pause = deadline.map(|deadline| Duration::from_millis(deadline.ms().saturating_sub(device.clock.tick().ms())));
        buffer.clear();
        tokio::select! {
            biased;
            () = device.stopped(), if stopping_until.is_none() => {
                // The sender is asked to stop after its frame, and new bids are refused.
                line.session.set_ready(false);
                line.session.request_interrupt();
                stopping_until = Some(device.clock.tick().plus_ms(u64::try_from(FAREWELL.as_millis()).unwrap_or(2_000)));
            }
            count = reader.read_buf(&mut buffer) => match count {
                Ok(0) => break "the peer closed".to_owned(),
                Err(error) => break error.to_string(),
                Ok(count) => {
                    line.has_received = true;
                    device.figures.received(count, device.clock.now());
                    line.session.receive(&buffer, device.clock.tick());
                }
            },
            () = tokio::time::sleep(pause.unwrap_or(Duration::MAX)), if pause.is_some() => line.session.timeout(device.clock.tick()),
        }
        if let Err(error) = line.work(&mut writer).await {
            break error.to_string();
        }
        if stopping_until.is_some_and(|until| line.session.is_neutral() || device.clock.tick() >= until) {
            break "wardd stops".to_owned();
        }
    };
    line.session.disconnected();
    // The connection is gone: what the session still wants to write has no reader.
    let _ = line.work(&mut tokio::io::sink()).await;
    Ended { why, has_received: line.has_received }
}

impl Line<'_> {
    /// Does what the session wants, in order.
    async fn work(&mut self, writer: &mut (impl AsyncWrite + Unpin)) -> std::io::Result<()> {
        while let Some(output) = self.session.poll() {
            match output {
                Output::Transmit(bytes) => writer.write_all(&bytes).await?,
                Output::Frame { text, is_last } => {
                    self.device.gate.frame(false, &self.device.figures);
                    let assembled = self.assembler.push(&text, is_last);
                    let verdict = self.keep(&assembled).await;
                    if verdict == Verdict::Refuse && !planted::is(Bug::RefusalForgets) {
                        self.assembler.undo(&assembled);
                    }
                    self.session.verdict(verdict, self.device.clock.tick());
                }
                Output::End => {
                    let rest = self.assembler.finish();
                    self.keep_rest(rest, "the transmission ended without an L record").await;
                }
                Output::Silence => {
                    let rest = self.assembler.finish();
                    self.keep_rest(rest, "the transmission was cut: silence, or a lost line").await;
                }
                Output::Noticed(notice) => self.notice(notice),
                Output::Sent(_) => {}
                Output::Failed(..) => self.device.figures.noise("answer_not_taken"),
            }
        }
        writer.flush().await
    }

    fn notice(&self, notice: Notice) {
        // A frame number out of turn is a matter of the protocol, not of the line.
        if let Notice::Bad(BadFrame::Checksum | BadFrame::Ending | BadFrame::Content | BadFrame::TooLong) = notice {
            self.device.gate.frame(true, &self.device.figures);
        }
        self.device.figures.noise(match notice {
            Notice::Garbage => "garbage",
            Notice::Bad(_) => "bad_frame",
            Notice::Repeated => "repeated_frame",
            Notice::DoubledEnq => "doubled_enq",
            Notice::Contention => "contention",
            Notice::Heartbeat => return,
            Notice::FrameRefused => "frame_refused",
            Notice::BidRefused => "bid_refused",
        });
    }

    /// Stores what a frame completed; refused when it cannot be stored, so that the device sends the frame again.
    async fn keep(&mut self, assembled: &[Assembled]) -> Verdict {
        for piece in assembled {
            let stored = match piece.clone() {
                Assembled::Message(message) => self.message(message).await,
                Assembled::Fragment(bytes) => self.hold(bytes, "records without header or end").await,
                Assembled::TooLarge(bytes) => self.hold(bytes, "the message is larger than is taken").await,
            };
            if !stored {
                return Verdict::Refuse;
            }
        }
        Verdict::Accept
    }

    async fn keep_rest(&mut self, rest: Option<Assembled>, why: &str) {
        if let Some(Assembled::Fragment(bytes) | Assembled::TooLarge(bytes) | Assembled::Message(bytes)) = rest {
            // Nothing is answered to a transmission that has ended; a fragment that cannot be stored will be sent again whole.
            let _ = self.hold(bytes, why).await;
        }
    }

    fn arrived(&self, raw: Bytes, understood: Understood, received: Timestamp) -> Arrived {
        Arrived { message: identity(self.device.id.as_str(), &raw), raw, understood, received, peer: self.peer.clone(), is_replay: false }
    }

    async fn hold(&self, bytes: Bytes, why: &str) -> bool {
        let understood = Understood::held(Reason::Incomplete { detail: why.to_owned() });
        store(self.device, self.arrived(bytes, understood, self.device.clock.now())).await.is_ok()
    }

    async fn message(&mut self, bytes: Bytes) -> bool {
        let Codec::Lis2(lis2) = &self.device.profile.codec else { return false };
        let received = self.device.clock.now();
        let understood = match Message::parse(&bytes) {
            Ok(message) => routing::lis2::understand(&self.device.profile, lis2, &message),
            Err(error) => Understood::held(Reason::NotParsed { detail: error.to_string() }),
        };
        let samples: Vec<String> = understood.items.iter().filter_map(|item| if let Routed::Query { samples } = item { Some(samples.clone()) } else { None }).flatten().collect();
        let is_query = understood.items.iter().any(|item| matches!(item, Routed::Query { .. }));
        let mut arrived = self.arrived(bytes, understood, received);
        if is_query {
            // A device asks the same question again when it has had no answer: each time is a message of its own.
            arrived.message = arrived.message.part(u32::try_from(received.micros() & 0xFFFF_FFFF).unwrap_or(1) | 1);
        }
        if store(self.device, arrived).await.is_err() {
            return false;
        }
        if is_query {
            self.answer_query(lis2, &samples).await;
        }
        true
    }

    /// The tests that are to be measured on a specimen; none at all when nobody can say.
    async fn outstanding(&self, sample: &str) -> Option<Vec<Loinc>> {
        let Ok(accession) = sample.parse::<Accession>() else { return Some(Vec::new()) };
        for _ in 0..QUERY_TRIES {
            if let Ok(tests) = self.device.hospital.outstanding(&accession).await {
                return Some(tests);
            }
            tokio::time::sleep(QUERY_REST).await;
        }
        None
    }

    async fn answer_query(&mut self, lis2: &Lis2, samples: &[String]) {
        let mut orders = Vec::new();
        for sample in samples {
            // "None" would be a lie when the actor cannot be asked now: then nothing is said, and the analyzer asks again.
            let Some(tests) = self.outstanding(sample).await else { return self.device.figures.noise("query_not_answered") };
            orders.push((sample.clone(), tests));
        }
        let answer = query_answer(&self.device.profile, lis2, &orders, self.device.clock.now());
        self.sent += 1;
        if !self.session.send(self.sent, &answer, self.device.clock.tick()) {
            self.device.figures.noise("answer_not_queued");
        }
    }
}

/// Tries to learn what is to be measured, and the rest between two of them.
const QUERY_TRIES: u32 = 20;
const QUERY_REST: Duration = Duration::from_millis(100);

/// Orders for an analyzer, or the protocol's own "none".
pub(super) fn query_answer(profile: &Profile, lis2: &Lis2, orders: &[(String, Vec<Loinc>)], now: Timestamp) -> Vec<u8> {
    let digits: String = now.to_string().chars().take(19).filter(char::is_ascii_digit).collect();
    let empty: &[&str] = &[];
    let mut writer = Writer::new().record('H', &[empty, empty, &["wardd"], empty, empty, empty, empty, empty, empty, &["P"], &["1"], &[&digits]]);
    let mut has_orders = false;
    for (number, (sample, tests)) in orders.iter().enumerate() {
        let codes: Vec<&str> = profile.tests.iter().filter(|test| tests.contains(&test.loinc)).map(|test| test.code.as_str()).collect();
        if codes.is_empty() {
            continue;
        }
        has_orders = true;
        writer = writer.record('P', &[&[&(number + 1).to_string()]]);
        for (order, code) in codes.iter().enumerate() {
            let mut universal = vec![""; lis2.order_code_components];
            universal.push(code);
            writer = writer.record('O', &[&[&(order + 1).to_string()], &[sample], empty, &universal, &["R"], empty, empty, empty, empty, empty, &["A"]]);
        }
    }
    let end = if has_orders { "N" } else { lis2.no_orders.as_str() };
    writer.record('L', &[&["1"], &[end]]).finish()
}
