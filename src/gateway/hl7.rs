//! HL7 v2 over MLLP: one message at a time, one acknowledgement each, after it is durable.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::Device;
use super::device::Ended;
use super::intake::{Arrived, identity, store};
use crate::actor::Failure;
use crate::actor::device::Kept;
use crate::codec::hl7::ack::{self, Code, Fault, Header};
use crate::codec::hl7::{Message, split_batch};
use crate::domain::quarantine::Reason;
use crate::framing::mllp::{self, Block, Cut, Decoder};
use crate::kernel::planted::{self, Bug};
use crate::kernel::{Timestamp, limits};
use crate::link::Connection;
use crate::profile::{Acknowledgement, Codec, Hl7};
use crate::routing::{self, Understood};
use crate::telemetry::Answered;

/// A message that has begun must go on within this time.
const READ: Duration = Duration::from_secs(30);

pub(super) async fn session(device: &Arc<Device>, connection: Connection) -> Ended {
    let Connection { mut reader, mut writer, peer } = connection;
    let mut decoder = Decoder::new(limits::MLLP_MESSAGE_BYTES);
    let mut has_received = false;
    let why = loop {
        let read = async {
            match decoder.is_inside() {
                true => tokio::time::timeout(READ, reader.read_buf(decoder.buffer())).await.unwrap_or_else(|_| Err(std::io::ErrorKind::TimedOut.into())),
                false => reader.read_buf(decoder.buffer()).await,
            }
        };
        let count = tokio::select! {
            biased;
            () = device.stopped() => break "wardd stops".to_owned(),
            count = read => count,
        };
        match count {
            Ok(0) => break "the peer closed".to_owned(),
            Err(error) => break error.to_string(),
            Ok(count) => device.figures.received(count, device.clock.now()),
        }
        has_received = true;
        let mut failed = None;
        while let Some(block) = decoder.next() {
            let answer = take(device, block, &peer).await;
            if !answer.is_empty()
                && let Err(error) = writer.write_all(&answer).await
            {
                failed = Some(error.to_string());
                break;
            }
        }
        if let Some(why) = failed {
            break why;
        }
        if *device.stop.borrow() {
            break "wardd stops".to_owned();
        }
    };
    if let Some(rest) = decoder.finish() {
        take(device, rest, &peer).await;
    }
    Ended { why, has_received }
}

/// Handles a block; gives the framed answer, empty when there is none to give.
async fn take(device: &Arc<Device>, block: Block, peer: &str) -> Vec<u8> {
    let received = device.clock.now();
    match block {
        Block::Garbage(_) => {
            device.figures.noise("garbage");
            Vec::new()
        }
        Block::Cut(bytes, cut) => {
            device.figures.noise("cut");
            let detail = match cut {
                Cut::NextMessage => "the next message began before this one ended",
                Cut::TooLarge => "the message is larger than a listener takes",
                Cut::EndOfStream => "the connection ended inside the message",
            };
            let stored = hold(device, bytes.clone(), Reason::Incomplete { detail: detail.to_owned() }, received, peer).await;
            // Nothing is answered to a message that was cut; its sender will send it again. One that is too large would come for ever.
            match Header::salvage(&bytes).filter(|_| cut == Cut::TooLarge) {
                Some(header) => {
                    let fault = Fault { code: "207", place: String::new(), text: format!("the message is larger than {} bytes: send it in parts", limits::MLLP_MESSAGE_BYTES) };
                    framed(answer(device, &header, &(stored.map_or(Code::ApplicationReject, |_| Code::ApplicationError), Some(fault))))
                }
                None => Vec::new(),
            }
        }
        Block::Message(bytes) => block_of_messages(device, &bytes, received, peer).await,
    }
}

async fn hold(device: &Arc<Device>, raw: Bytes, reason: Reason, received: Timestamp, peer: &str) -> Result<Kept, Failure> {
    let arrived = Arrived { message: identity(device.id.as_str(), &raw), raw, understood: Understood::held(reason), received, peer: peer.to_owned(), is_replay: false };
    store(device, arrived).await
}

async fn block_of_messages(device: &Arc<Device>, bytes: &Bytes, received: Timestamp, peer: &str) -> Vec<u8> {
    let batch = match split_batch(bytes) {
        Ok(batch) => batch,
        Err(error) => {
            let detail = error.to_string();
            let stored = hold(device, bytes.clone(), Reason::NotParsed { detail: detail.clone() }, received, peer).await;
            // What has no usable header cannot be answered; it waits in quarantine.
            return Header::salvage(bytes).map(|header| framed(answer(device, &header, &verdict(stored, Some(parse_fault(detail)))))).unwrap_or_default();
        }
    };
    let mut answers = Vec::new();
    match batch.counted.filter(|counted| *counted != batch.messages.len()) {
        // A part of it is missing, and nobody knows which: nothing of it is done, the sender must send it whole.
        Some(counted) => {
            let detail = format!("BTS-1 counts {counted} messages, there are {}: send the batch again, whole", batch.messages.len());
            let stored = hold(device, bytes.clone(), Reason::Incomplete { detail: detail.clone() }, received, peer).await;
            let headers = batch.messages.iter().filter_map(|range| Header::salvage(&bytes[range.clone()]));
            let verdict = verdict(stored, Some(Fault { code: "100", place: "BTS-1".to_owned(), text: detail }));
            headers.for_each(|header| answers.extend(answer(device, &header, &verdict)));
        }
        None => {
            for range in &batch.messages {
                answers.extend(one(device, bytes.slice(range.clone()), received, peer).await);
            }
        }
    }
    if !batch.is_batch || batch.messages.len() == 1 {
        return answers.into_iter().flat_map(|answer| mllp::frame(&answer)).collect();
    }
    // A batch is answered by a batch, in one block.
    let mut block = b"BHS|^~\\&\r".to_vec();
    let count = answers.len();
    block.extend(answers.concat());
    block.extend_from_slice(format!("BTS|{count}\r").as_bytes());
    mllp::frame(&block)
}

fn framed(answers: Vec<Vec<u8>>) -> Vec<u8> {
    answers.iter().flat_map(|answer| mllp::frame(answer)).collect()
}

fn parse_fault(text: String) -> Fault {
    Fault { code: "100", place: String::new(), text }
}

/// One message: stored, handled, answered. The answers are not framed yet.
async fn one(device: &Arc<Device>, raw: Bytes, received: Timestamp, peer: &str) -> Vec<Vec<u8>> {
    let Codec::Hl7(settings) = &device.profile.codec else { return Vec::new() };
    let parsed = Message::parse(&raw).map(|message| (Header::of(&message), routing::hl7::understand(&device.profile, settings, &message)));
    let (header, understood, fault) = match parsed {
        Ok((header, _)) if !is_sender(device, &header) => {
            let detail = format!("MSH-3 and MSH-4 say {}, and this link belongs to another sender", header.sender());
            let fault = Fault { code: "207", place: "MSH-3".to_owned(), text: detail.clone() };
            (Some(header), Understood::held(Reason::UnknownSender { detail }), Some(fault))
        }
        Ok((header, answerable)) => (Some(header), answerable.understood, answerable.fault),
        Err(error) => {
            let detail = error.to_string();
            (Header::salvage(&raw), Understood::held(Reason::NotParsed { detail: detail.clone() }), Some(parse_fault(detail)))
        }
    };
    let device_time = understood.device_time;
    let arrived = Arrived { message: identity(device.id.as_str(), &raw), raw, understood, received, peer: peer.to_owned(), is_replay: false };
    let stored = store(device, arrived).await;
    if planted::is(Bug::RepetitionUnanswered) && stored.as_ref().is_ok_and(|kept| kept.is_repeated) {
        return Vec::new();
    }
    if fault.is_some() {
        device.figures.answered(Answered::Refused, device_time, device.clock.now(), Duration::ZERO);
    }
    header.map(|header| answer(device, &header, &verdict(stored, fault))).unwrap_or_default()
}

/// Whether a message names the sender that its link belongs to.
fn is_sender(device: &Device, header: &Header) -> bool {
    device.sender.as_ref().is_none_or(|sender| header.is_from(&sender.application, &sender.facility))
}

/// What the sender is told: accepted means that the message is durable, and done or waiting for a person of this house;
/// a fault means that the sender must mend it (it is kept here all the same).
fn verdict(stored: Result<Kept, Failure>, fault: Option<Fault>) -> (Code, Option<Fault>) {
    match (stored, fault) {
        (Err(failure), _) => (Code::ApplicationReject, Some(Fault { code: "207", place: String::new(), text: failure.to_string() })),
        // Message type, event and processing id that are not taken here (HL7 table 0357, 200 to 202).
        // So is what somebody else sends.
        (Ok(_), Some(fault)) if ["200", "201", "202"].contains(&fault.code) || fault.place == "MSH-3" => (Code::ApplicationReject, Some(fault)),
        (Ok(_), Some(fault)) => (Code::ApplicationError, Some(fault)),
        (Ok(kept), None) => match kept.holds.iter().find_map(contradiction) {
            Some(fault) => (Code::ApplicationError, Some(fault)),
            None => (Code::ApplicationAccept, None),
        },
    }
}

/// What a rule refused because it contradicts what this house knows (a bed that is taken): the sender must hear it, since
/// its own picture is wrong. What is merely unknown here (an accession, a bed) is a matter of this house and waits in quarantine.
fn contradiction(reason: &Reason) -> Option<Fault> {
    match reason {
        Reason::Refused { rule, detail } if !rule.starts_with("unknown_") && rule != "not_collected" => Some(Fault { code: "207", place: String::new(), text: detail.clone() }),
        _ => None,
    }
}

fn acknowledgement_mode(device: &Device) -> Acknowledgement {
    match &device.profile.codec {
        Codec::Hl7(Hl7 { acknowledgement, .. }) => *acknowledgement,
        Codec::Lis2(_) | Codec::Scan | Codec::RfidJson | Codec::DrawerJson | Codec::VitalsJson | Codec::RelayWords => Acknowledgement::Original,
    }
}

/// The acknowledgements of a message: one, or in enhanced mode those that MSH-15 and MSH-16 ask for.
fn answer(device: &Device, header: &Header, (code, fault): &(Code, Option<Fault>)) -> Vec<Vec<u8>> {
    let now = device.clock.now();
    let write = |code: Code| ack::acknowledge(header, code, fault.as_ref(), &now.hl7(), &control_id(now));
    let is_wanted = |condition: &str| match condition {
        "AL" => true,
        "SU" => code.is_accept(),
        "ER" => !code.is_accept(),
        _ => false,
    };
    let is_enhanced = acknowledgement_mode(device) == Acknowledgement::Enhanced && !(header.accept.is_empty() && header.application.is_empty());
    if !is_enhanced {
        return vec![write(*code)];
    }
    let mut answers = Vec::new();
    if is_wanted(&header.accept) {
        answers.push(write(code.as_commit()));
    }
    if is_wanted(&header.application) {
        answers.push(write(*code));
    }
    answers
}

/// Our own control id: unique over restarts.
fn control_id(now: Timestamp) -> String {
    static NUMBER: AtomicU64 = AtomicU64::new(0);
    format!("W{:X}{:X}", now.micros() / 1_000, NUMBER.fetch_add(1, Ordering::Relaxed) % 0x10000)
}
