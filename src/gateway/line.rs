//! Scanners and relay boards: a line is a message; scanners that wait for it are told ACK or NAK.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
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
/// The same for the first line of a new connection.
const SAME_SCAN_RECONNECTED_SECONDS: i64 = 60;
const ACK: u8 = 0x06;
const NAK: u8 = 0x15;

/// The last line of a device and the identity that it got; it outlives connections, since an answer is lost with one.
#[derive(Debug, Default)]
pub struct LastScan(Mutex<Option<Scan>>);

#[derive(Debug)]
struct Scan {
    line: Bytes,
    at: Timestamp,
    id: CommandId,
    connection: u64,
}

impl LastScan {
    /// The identity of a line. Two packages may bear the same code; the same scan again is one within two seconds, or
    /// when it is the first on the next connection, within a minute: then the scanner never got its answer.
    fn identity(&self, device: &str, line: &Bytes, now: Timestamp, connection: u64, is_first: bool) -> CommandId {
        let mut last = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let again = last.as_ref().filter(|last| {
            let age = now.seconds_since(last.at);
            last.line == *line && (age < SAME_SCAN_SECONDS || (is_first && last.connection != connection && age < SAME_SCAN_RECONNECTED_SECONDS))
        });
        let id = again.map_or_else(|| identity(device, &[line.as_ref(), &now.micros().to_le_bytes()].concat()), |last| last.id);
        let at = again.map_or(now, |last| last.at);
        *last = Some(Scan { line: line.clone(), at, id, connection });
        id
    }
}

/// A connection of a device of lines.
struct Talk<'a> {
    device: &'a Arc<Device>,
    peer: &'a str,
    number: u64,
    is_first: bool,
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
    static CONNECTIONS: AtomicU64 = AtomicU64::new(0);
    let mut talk = Talk { device, peer: &peer, number: CONNECTIONS.fetch_add(1, Ordering::Relaxed), is_first: true };
    let mut has_received = false;
    let why = loop {
        buffer.clear();
        let gap = decoder.is_inside().then_some(GAP);
        let found = tokio::select! {
            biased;
            () = device.stopped() => break "wardd stops".to_owned(),
            Some(opening) = next_opening(device) => {
                if let Err(error) = open(&mut writer, opening).await {
                    break error.to_string();
                }
                None
            }
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
        };
        let mut lines: Vec<Line> = found.into_iter().collect();
        while let Some(line) = decoder.next() {
            lines.push(line);
        }
        let mut failed = None;
        for line in lines {
            let is_good = talk.take(line).await;
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

impl Talk<'_> {
    /// Stores a line and what it asks for; whether the scanner may sound content: a held scan is no good scan.
    async fn take(&mut self, line: Line) -> bool {
        let device = self.device;
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
        let message = device.last_scan.identity(device.id.as_str(), &raw, received, self.number, self.is_first);
        self.is_first = false;
        let arrived = Arrived { message, raw, understood, received, peer: self.peer.to_owned(), is_replay: false };
        store(device, arrived).await.is_ok_and(|kept| kept.holds.is_empty())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_scan_again_is_one_and_two_packages_are_two() {
        let start: Timestamp = "2026-11-21T12:00:00Z".parse().unwrap();
        let scans = LastScan::default();
        let scan =
            |line: &'static str, second: i64, connection, is_first| scans.identity("s", &Bytes::from_static(line.as_bytes()), start.plus_seconds(second), connection, is_first);
        let first = scan("A", 0, 1, true);
        assert_eq!(scan("A", 1, 1, false), first, "a scanner that repeats");
        let second = scan("A", 3, 1, false);
        assert_ne!(second, first, "another package of the same kind");
        assert_eq!(scan("A", 30, 2, true), second, "the answer was lost with the connection");
        assert_ne!(scan("A", 31 + 60, 2, false), second, "the second line of a connection is new");
        let other = scan("B", 92, 2, false);
        assert_ne!(scan("B", 92 + 61, 3, true), other, "nobody waits for an answer that long");
        assert_ne!(scan("A", 93 + 61, 3, false), first);
    }
}
