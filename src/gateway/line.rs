//! Scanners and relay boards: a line is a message; scanners that wait for it are told ACK or NAK.

use std::sync::Arc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::Device;
use super::device::Ended;
use super::drawers::Opening;
use super::intake::{Arrived, identity, store};
use crate::domain::quarantine::Reason;
use crate::framing::line::{Decoder, Ending, Line};
use crate::kernel::{CommandId, Timestamp, limits};
use crate::link::Connection;
use crate::profile::{Codec, Framing};
use crate::routing::{self, Understood};

/// A line that has begun must end within this time.
const GAP: Duration = Duration::from_secs(5);
/// The same line within this time is the same scan sent again.
const SAME_SCAN_SECONDS: i64 = 2;
const ACK: u8 = 0x06;
const NAK: u8 = 0x15;

/// The last line and the identity that it got.
#[derive(Default)]
struct LastScan(Option<(Bytes, Timestamp, CommandId)>);

impl LastScan {
    /// The identity of a line: two packages may bear the same code, but not within two seconds.
    fn identity(&mut self, device: &str, line: &Bytes, now: Timestamp) -> CommandId {
        if let Some((last, at, id)) = &self.0
            && last == line
            && now.seconds_since(*at) < SAME_SCAN_SECONDS
        {
            return *id;
        }
        let id = identity(device, &[line.as_ref(), &now.micros().to_le_bytes()].concat());
        self.0 = Some((line.clone(), now, id));
        id
    }
}

pub(super) async fn session(device: &Arc<Device>, connection: Connection) -> Ended {
    let Connection { mut reader, mut writer, peer } = connection;
    let Framing::Line { ending, answers } = &device.profile.framing else {
        return Ended { why: "not a device of lines".to_owned(), has_received: false };
    };
    let ending = match ending.as_str() {
        "cr" => Ending::Cr,
        "stx-etx" => Ending::StxEtx,
        _ => Ending::CrOrLf,
    };
    let mut decoder = Decoder::new(ending, limits::LINE_BYTES);
    let mut buffer = BytesMut::with_capacity(512);
    let mut last = LastScan::default();
    let mut has_received = false;
    let why = loop {
        buffer.clear();
        let gap = decoder.is_inside().then_some(GAP);
        let found = tokio::select! {
            count = reader.read_buf(&mut buffer) => match count {
                Ok(0) => break "the peer closed".to_owned(),
                Err(error) => break error.to_string(),
                Ok(count) => {
                    has_received = true;
                    device.figures.received(count, device.clock.now());
                    decoder.receive(&buffer);
                    None
                }
            },
            () = tokio::time::sleep(gap.unwrap_or(Duration::MAX)), if gap.is_some() => decoder.finish(),
            Some(opening) = next_opening(device) => {
                if let Err(error) = open(&mut writer, opening).await {
                    break error.to_string();
                }
                None
            }
            () = device.stopped() => break "wardd stops".to_owned(),
        };
        let mut lines: Vec<Line> = found.into_iter().collect();
        while let Some(line) = decoder.next() {
            lines.push(line);
        }
        let mut failed = None;
        for line in lines {
            let is_good = take(device, line, &peer, &mut last).await;
            if *answers && let Err(error) = writer.write_all(&[if is_good { ACK } else { NAK }]).await {
                failed = Some(error.to_string());
            }
        }
        if let Some(why) = failed {
            break why;
        }
    };
    Ended { why, has_received }
}

async fn next_opening(device: &Device) -> Option<Opening> {
    match &device.board {
        Some(board) => board.next().await,
        None => std::future::pending().await,
    }
}

async fn open(writer: &mut (impl tokio::io::AsyncWrite + Unpin), opening: Opening) -> std::io::Result<()> {
    writer.write_all(&routing::relay::open(&opening.drawer, &opening.command)).await?;
    writer.flush().await?;
    opening.written();
    Ok(())
}

/// Stores a line and what it asks for; whether the scanner may sound content: a held scan is no good scan.
async fn take(device: &Arc<Device>, line: Line, peer: &str, last: &mut LastScan) -> bool {
    let received = device.clock.now();
    let (raw, understood) = match line {
        Line::Text(text) => {
            let understood = match &device.profile.codec {
                Codec::RelayWords => routing::relay::understand(&text),
                _ => routing::scan::understand(&device.purpose, &text, received),
            };
            (text, understood)
        }
        Line::TooLong(head) => (head, Understood::held(Reason::Incomplete { detail: "the line is longer than is taken".to_owned() })),
        Line::Cut(part) => (part, Understood::held(Reason::Incomplete { detail: "the line was cut".to_owned() })),
    };
    let message = last.identity(device.id.as_str(), &raw, received);
    let arrived = Arrived { message, raw, understood, received, peer: peer.to_owned(), is_replay: false };
    store(device, arrived).await.is_ok_and(|kept| kept.holds.is_empty())
}
