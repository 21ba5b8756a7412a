//! Devices and people of the simulation: each speaks its protocol by its own hand, with its own retries, and says what it
//! was told. They see connections only, which are slow, cut and, on the serial line, noisy.

use std::collections::VecDeque;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::sync::mpsc;
use tokio::time::timeout;

use super::oracle::{Claims, Measured};
use crate::link::Connection;
use crate::sim::Random;

/// How often a line fails, in thousandths.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct LineFaults {
    /// The connection is cut while a message is sent.
    pub(super) cut: u32,
    /// A bit of a frame is flipped.
    pub(super) flip: u32,
    /// The answer does not reach the device.
    pub(super) deaf: u32,
    /// A line that a device gives up stays half open: the other end does not hear of it.
    pub(super) half_open: u32,
}

/// A line to wardd, of any kind.
pub(super) trait Stream: AsyncRead + AsyncWrite + Unpin + Send {}

impl<T: AsyncRead + AsyncWrite + Unpin + Send> Stream for T {}

/// A line as devices hold it.
pub(super) type Line = Box<dyn Stream>;

/// How devices reach wardd.
pub(super) trait Ways: Send + Sync {
    /// A line for the device of this name; waits until somebody is there.
    fn connect<'a>(&'a self, device: &'a str) -> Pin<Box<dyn Future<Output = Line> + Send + 'a>>;
}

/// The ways inside one process: they change with every start.
#[derive(Clone, Default)]
pub(super) struct Doors(Arc<Mutex<std::collections::BTreeMap<String, mpsc::Sender<Connection>>>>);

impl Doors {
    pub(super) fn open(&self, device: &str) -> mpsc::Receiver<Connection> {
        let (sender, receiver) = mpsc::channel(8);
        self.0.lock().unwrap_or_else(PoisonError::into_inner).insert(device.to_owned(), sender);
        receiver
    }

    pub(super) fn close(&self) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }
}

impl Ways for Doors {
    fn connect<'a>(&'a self, device: &'a str) -> Pin<Box<dyn Future<Output = Line> + Send + 'a>> {
        Box::pin(async move {
            loop {
                let door = self.0.lock().unwrap_or_else(PoisonError::into_inner).get(device).cloned();
                if let Some(door) = door {
                    let (ours, theirs) = tokio::io::duplex(64);
                    let (reader, writer) = tokio::io::split(theirs);
                    let connection = Connection { reader: Box::new(reader), writer: Box::new(writer), peer: "10.0.0.1:1".to_owned() };
                    if door.send(connection).await.is_ok() {
                        return Box::new(ours) as Line;
                    }
                }
                tokio::time::sleep(Duration::from_millis(500)).await;
            }
        })
    }
}

/// What all devices share.
#[derive(Clone)]
pub(super) struct Floor {
    pub(super) ways: Arc<dyn Ways>,
    /// Everybody waits so many times shorter.
    pub(super) haste: u32,
    pub(super) faults: Arc<Mutex<LineFaults>>,
    pub(super) claims: Arc<Mutex<Claims>>,
}

impl Floor {
    fn faults(&self) -> LineFaults {
        *self.faults.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether an answer does not reach the device.
    pub(super) fn is_deaf(&self, random: &mut Random) -> bool {
        random.chance(self.faults().deaf)
    }

    /// A device gives its line up; half open, the other end hears of it only by the keep-alives.
    pub(super) fn lose(&self, random: &mut Random, line: Option<Line>) {
        if random.chance(self.faults().half_open) {
            let rest = KEEP_ALIVES / self.haste;
            // Whoever ends the simulation ends this too.
            drop(tokio::spawn(async move {
                tokio::time::sleep(rest).await;
                drop(line);
            }));
        }
    }

    pub(super) async fn pause(&self, ms: u64) {
        tokio::time::sleep(Duration::from_millis(ms) / self.haste).await;
    }

    /// Nobody measures a tube that was not collected.
    async fn until_collected(&self, tube: &str) {
        while !self.claims().is_collected(tube) {
            self.pause(300).await;
        }
    }

    pub(super) fn claims(&self) -> std::sync::MutexGuard<'_, Claims> {
        self.claims.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// After this time the other end finds that nobody is there (`link::tcp`).
const KEEP_ALIVES: Duration = Duration::from_secs(30);

/// A line that ended while it was used.
pub(super) struct Gone;

/// Writes in pieces with pauses; may cut the line in the middle.
async fn write(floor: &Floor, random: &mut Random, stream: &mut Line, bytes: &[u8]) -> Result<(), Gone> {
    let mut at = 0;
    while at < bytes.len() {
        if random.chance(floor.faults().cut / 4) {
            return Err(Gone);
        }
        let piece = usize::try_from(random.between(1, 40)).unwrap_or(1).min(bytes.len() - at);
        timeout(Duration::from_secs(60), stream.write_all(&bytes[at..at + piece])).await.map_err(|_| Gone)?.map_err(|_| Gone)?;
        at += piece;
        if random.chance(200) {
            floor.pause(random.between(1, 80)).await;
        }
    }
    Ok(())
}

async fn byte(floor: &Floor, stream: &mut Line, patience: Duration) -> Result<Option<u8>, Gone> {
    match timeout(patience / floor.haste, stream.read_u8()).await {
        Ok(Ok(byte)) => Ok(Some(byte)),
        Ok(Err(_)) => Err(Gone),
        Err(_) => Ok(None),
    }
}

/// A system that sends results by HL7, one at a time, each until it is accepted.
pub(super) async fn feed(floor: Floor, name: String, mut random: Random, mut work: VecDeque<Measured>) {
    let mut line = None;
    let mut number = 0;
    while let Some(measured) = work.pop_front() {
        if !measured.is_stray {
            floor.until_collected(&measured.accession).await;
        }
        number += 1;
        let control = format!("{name}-{number}");
        let message = format!(
            "\x0bMSH|^~\\&|{name}|LAB|WARDD|SIM|20260101120000||ORU^R01^ORU_R01|{control}|P|2.5.1\rOBR|1||{}|P\rOBX|1|NM|{}^X^LN||{}|{}|||||F|||20260101115900\r\x1c\r",
            measured.accession, measured.test, measured.value, measured.unit
        );
        loop {
            let stream = match &mut line {
                Some(stream) => stream,
                None => line.insert(floor.ways.connect(&name).await),
            };
            match exchange(&floor, &mut random, stream, message.as_bytes(), &control).await {
                Ok(Some(code)) if code == "AA" && !floor.is_deaf(&mut random) => {
                    floor.claims().accepted(&name, measured);
                    break;
                }
                // Refused for now, or the answer was not heard: the same message again.
                Ok(Some(_)) => floor.pause(random.between(200, 2_000)).await,
                Ok(None) | Err(Gone) => {
                    floor.lose(&mut random, line.take());
                    floor.pause(random.between(100, 3_000)).await;
                }
            }
        }
        floor.pause(random.between(10, 900)).await;
    }
}

/// Sends a block and reads the answer to it; none when nobody answers.
pub(super) async fn exchange(floor: &Floor, random: &mut Random, stream: &mut Line, message: &[u8], control: &str) -> Result<Option<String>, Gone> {
    write(floor, random, stream, message).await?;
    let mut answer = Vec::new();
    while !answer.ends_with(b"\x1c\r") {
        match byte(floor, stream, Duration::from_secs(30)).await? {
            Some(byte) => answer.push(byte),
            None => return Ok(None),
        }
    }
    let text = String::from_utf8_lossy(&answer).into_owned();
    let acknowledged = text.split('\r').find(|segment| segment.starts_with("MSA|")).map(|segment| segment.split('|').map(str::to_owned).collect::<Vec<_>>());
    Ok(acknowledged.filter(|fields| fields.get(2).is_some_and(|id| id == control)).and_then(|fields| fields.get(1).cloned()))
}

/// The frames of a message (LIS1-A 6.3), one a record.
fn frames(records: &[String]) -> Vec<Vec<u8>> {
    let frame = |(index, record): (usize, &String)| {
        let body = format!("{}{record}\r\x03", (index + 1) % 8);
        let sum = body.bytes().fold(0_u8, |sum, byte| sum.wrapping_add(byte));
        format!("\x02{body}{sum:02X}\r\n").into_bytes()
    };
    records.iter().enumerate().map(frame).collect()
}

/// An analyzer on a noisy serial line.
pub(super) async fn analyzer(floor: Floor, name: String, mut random: Random, mut work: VecDeque<Measured>) {
    while let Some(measured) = work.pop_front() {
        floor.until_collected(&measured.accession).await;
        let records = [
            "H|\\^&|||    XN-550^00-01^11001^^^^AP123456||||||||E1394-97".to_owned(),
            "P|1".to_owned(),
            format!("O|1||^^{:>22}^M|^^^^HGB|R", measured.accession.to_string()),
            format!("R|1|^^^^HGB^1|{}|g/dL||N||F||||20260101120000", measured.value),
            "L|1|N".to_owned(),
        ];
        let frames = frames(&records);
        loop {
            let mut stream = floor.ways.connect(&name).await;
            if transmission(&floor, &mut random, &mut stream, &frames).await.is_ok() && !floor.is_deaf(&mut random) {
                floor.claims().accepted(&name, measured);
                break;
            }
            drop(stream);
            floor.pause(random.between(500, 12_000)).await;
        }
        floor.pause(random.between(10, 900)).await;
    }
}

async fn transmission(floor: &Floor, random: &mut Random, stream: &mut Line, frames: &[Vec<u8>]) -> Result<(), Gone> {
    write(floor, random, stream, &[0x05]).await?;
    if byte(floor, stream, Duration::from_secs(15)).await? != Some(0x06) {
        return Err(Gone);
    }
    for frame in frames {
        let mut tries = 0;
        loop {
            tries += 1;
            let mut sent = frame.clone();
            if random.chance(floor.faults().flip) {
                let at = usize::try_from(random.between(1, sent.len() as u64 - 5)).unwrap_or(1);
                sent[at] ^= 1 << random.below(7);
            }
            write(floor, random, stream, &sent).await?;
            match byte(floor, stream, Duration::from_secs(15)).await? {
                // An answer that was not heard: the frame comes again.
                Some(0x06) if tries < 6 && random.chance(floor.faults().deaf / 3) => {}
                Some(0x06) => break,
                Some(0x15) if tries < 6 => {}
                // Silence, or a frame that nobody wants: the transmission is given up and begun anew.
                _ => {
                    let _ = write(floor, random, stream, &[0x04]).await;
                    return Err(Gone);
                }
            }
        }
    }
    write(floor, random, stream, &[0x04]).await
}

/// A scanner at the bedside, which wants to be answered.
pub(super) async fn scanner(floor: Floor, name: String, mut random: Random, mut tubes: VecDeque<String>) {
    let mut line = None;
    while let Some(tube) = tubes.pop_front() {
        loop {
            let stream = match &mut line {
                Some(stream) => stream,
                None => line.insert(floor.ways.connect(&name).await),
            };
            let scan = format!("]C0{tube}\r\n");
            let answer = match write(&floor, &mut random, stream, scan.as_bytes()).await {
                Ok(()) => byte(&floor, stream, Duration::from_secs(20)).await,
                Err(gone) => Err(gone),
            };
            match answer {
                Ok(Some(0x06)) if !floor.is_deaf(&mut random) => {
                    floor.claims().collected(&tube);
                    break;
                }
                Ok(Some(0x06)) => {}
                // No: it was not known yet, or could not be stored.
                Ok(Some(_)) => floor.pause(random.between(2_100, 4_000)).await,
                Ok(None) | Err(Gone) => {
                    floor.lose(&mut random, line.take());
                    floor.pause(random.between(100, 2_000)).await;
                }
            }
        }
        floor.pause(random.between(10, 700)).await;
    }
}
