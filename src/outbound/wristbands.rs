//! Printing wristbands: one that was asked for comes out of its printer, the printer says so, and that is recorded; or a person is told.
//!
//! **Invariant**: of one patient only the newest band is printed: an older one would be refused at the bedside.

use std::collections::BTreeMap;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::sync::Mutex;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, timeout};

use super::held::Held;
use crate::codec::zpl::{self, Status, Wristband};
use crate::domain::patient;
use crate::journal::views::{self, Views};
use crate::journal::{Log, StoredBatch};
use crate::kernel::{Clock, DeviceId, Mrn, StreamKind};
use crate::link::{Connection, SerialLink, TcpConnector};
use crate::telemetry;

const CONSUMER: &str = "wristbands";
/// A band that did not come out within this time is not printed any more: whoever asked for it has gone, or asks again.
const EXPIRES_SECONDS: i64 = 120;
/// Between two tries.
const AGAIN: Duration = Duration::from_secs(5);
/// Until a printer is reached, until it says how it is, and until a band has come out.
const REACHED: Duration = Duration::from_secs(3);
const ANSWERED: Duration = Duration::from_secs(3);
const PRINTED: Duration = Duration::from_secs(15);
/// Longest answer to a question for the status.
const ANSWER_MAX: usize = 1_024;

/// Something that is done elsewhere.
pub type Doing<'a> = Pin<Box<dyn Future<Output = bool> + Send + 'a>>;

/// What the house knows of bands; given by the composition root.
pub trait Bands: Send + Sync {
    /// What stands on a patient's band; none while that is not known yet.
    fn band(&self, mrn: &Mrn, number: u32) -> Option<Wristband>;
    /// A band has come out; `true` when that is recorded.
    fn delivered<'a>(&'a self, mrn: &'a Mrn, number: u32, printer: &'a DeviceId) -> Doing<'a>;
}

/// The line to a printer.
pub enum Line {
    /// By network.
    Network(TcpConnector),
    /// By a serial line.
    Serial(SerialLink),
}

impl Line {
    async fn connect(&mut self) -> Option<Connection> {
        let connecting = async {
            match self {
                Line::Network(connector) => connector.connect().await,
                Line::Serial(serial) => serial.connect().await,
            }
        };
        timeout(REACHED, connecting).await.ok()
    }
}

/// A printer, which prints one band at a time.
struct Printer(Mutex<Line>);

/// A band that has not come out yet.
struct Pending {
    mrn: Mrn,
    number: u32,
    printer: DeviceId,
    since: crate::kernel::Timestamp,
    tried: Option<Instant>,
    is_under_way: bool,
    why: String,
    /// It may lie inside of the printer: nothing more is tried.
    is_lost: bool,
}

/// Why a band has not come out.
struct Failure {
    why: String,
    /// Whether it may come out later by itself, when somebody else stands at the printer.
    may_be_inside: bool,
}

impl From<String> for Failure {
    fn from(why: String) -> Self {
        Failure { why, may_be_inside: false }
    }
}

/// Prints wristbands.
pub struct Wristbands {
    printers: BTreeMap<DeviceId, Arc<Printer>>,
    bands: Arc<dyn Bands>,
    clock: Clock,
    pending: BTreeMap<u64, Pending>,
    tries: JoinSet<(u64, Result<(), Failure>)>,
    written: u64,
}

fn item_of(sequence: u64) -> String {
    format!("qtn_wristband-{sequence}")
}

impl Wristbands {
    /// Bands on these printers.
    pub fn new(printers: impl IntoIterator<Item = (DeviceId, Line)>, bands: Arc<dyn Bands>, clock: Clock) -> Self {
        let printers = printers.into_iter().map(|(id, line)| (id, Arc::new(Printer(Mutex::new(line))))).collect();
        Self { printers, bands, clock, pending: BTreeMap::new(), tries: JoinSet::new(), written: 0 }
    }

    /// Follows the log until it closes.
    pub async fn run(mut self, log: Arc<dyn Log>, views: Arc<dyn Views>) {
        if self.printers.is_empty() {
            return;
        }
        let start = views::cursor(views.as_ref(), CONSUMER).unwrap_or(0);
        let start = if start > log.head() { 0 } else { start };
        self.written = start;
        let mut tail = log.tail(start + 1);
        let mut done = start;
        loop {
            match timeout(Duration::from_millis(250), tail.next(log.as_ref())).await {
                Ok(Ok(Some(batch))) => {
                    self.note(&batch);
                    done = batch.last();
                    // Catching up: what has come out later, or was replaced, must not be printed again.
                    if done < log.head() {
                        continue;
                    }
                }
                Ok(Ok(None)) => return,
                Ok(Err(error)) => {
                    telemetry::consumer_failed(CONSUMER, &error.to_string());
                    sleep(Duration::from_secs(1)).await;
                }
                Err(_) => {}
            }
            self.settle();
            self.give_up(log.as_ref()).await;
            self.print();
            self.save(done, views.as_ref());
            telemetry::consumer_at(CONSUMER, done);
        }
    }

    fn note(&mut self, batch: &StoredBatch) {
        for event in &batch.events {
            let stream = &event.event.stream;
            match stream.kind() {
                StreamKind::Patient if event.event.kind.starts_with("Wristband") => {
                    let Ok(mrn) = stream.key().parse::<Mrn>() else { continue };
                    match serde_json::from_str(event.event.payload.get()) {
                        Ok(patient::Event::WristbandPrinted { number, printer, at }) => {
                            self.pending.retain(|_, pending| pending.mrn != mrn);
                            if let Some(printer) = printer.filter(|printer| self.printers.contains_key(printer)) {
                                let pending = Pending { mrn, number, printer, since: at, tried: None, is_under_way: false, why: "it was not reached".to_owned(), is_lost: false };
                                self.pending.insert(event.sequence, pending);
                            }
                        }
                        Ok(patient::Event::WristbandDelivered { number, .. }) => self.pending.retain(|_, pending| (&pending.mrn, pending.number) != (&mrn, number)),
                        _ => {}
                    }
                }
                StreamKind::Quarantine if event.event.kind == "Held" => self.pending.retain(|sequence, _| stream.key() != item_of(*sequence)),
                _ => {}
            }
        }
    }

    /// Takes note of tries that have ended.
    fn settle(&mut self) {
        while let Some(ended) = self.tries.try_join_next() {
            let Ok((sequence, result)) = ended else { continue };
            if let Some(pending) = self.pending.get_mut(&sequence) {
                (pending.is_under_way, pending.tried) = (false, Some(Instant::now()));
                let failure = result.err().unwrap_or_else(|| "it has printed, and that could not be recorded".to_owned().into());
                (pending.why, pending.is_lost) = (failure.why, failure.may_be_inside);
            }
        }
    }

    fn print(&mut self) {
        for (sequence, pending) in &mut self.pending {
            if pending.is_under_way || pending.is_lost || pending.tried.is_some_and(|tried| tried.elapsed() < AGAIN) {
                continue;
            }
            let Some(printer) = self.printers.get(&pending.printer).cloned() else { continue };
            (pending.is_under_way, pending.tried) = (true, Some(Instant::now()));
            let (bands, sequence, mrn, number, id) = (self.bands.clone(), *sequence, pending.mrn.clone(), pending.number, pending.printer.clone());
            self.tries.spawn(async move {
                // Looked up when it is this band's turn: by then another may have taken its place.
                let printed = printer.print(|| bands.band(&mrn, number)).await;
                // What has come out is told until it is recorded: else it would come out again.
                while printed.is_ok() && !bands.delivered(&mrn, number, &id).await {
                    sleep(AGAIN).await;
                }
                (sequence, printed)
            });
        }
    }

    /// Nobody waits at the printer any more, or a band lies inside of it.
    async fn give_up(&mut self, log: &dyn Log) {
        let now = self.clock.now();
        let is_over = |pending: &Pending| !pending.is_under_way && (pending.is_lost || now.seconds_since(pending.since) > EXPIRES_SECONDS);
        let over: Vec<u64> = self.pending.iter().filter(|(_, pending)| is_over(pending)).map(|(sequence, _)| *sequence).collect();
        for sequence in over {
            let Some(pending) = self.pending.get(&sequence) else { continue };
            let way_out = match pending.is_lost {
                true => "it may still be inside and come out in front of the next one: see to the printer and destroy what comes out, then print the band again",
                false => "see to the printer, then print the band again",
            };
            let detail = format!("printer {}: band {} of {} did not come out ({}): {way_out}", pending.printer, pending.number, pending.mrn, pending.why);
            let held = Held { by: CONSUMER, item: item_of(sequence), sequence, rule: "wristband_not_printed", detail, device: Some(pending.printer.clone()) };
            if held.store(log, now).await {
                self.pending.remove(&sequence);
            }
        }
    }

    /// The cursor stands before the first band that has not come out.
    fn save(&mut self, done: u64, views: &dyn Views) {
        let safe = self.pending.keys().next().map_or(done, |first| first - 1);
        if safe >= self.written + 2_000 {
            match views.apply(&[views::advance(CONSUMER, safe)]) {
                Ok(()) => self.written = safe,
                Err(error) => telemetry::consumer_failed(CONSUMER, &error.to_string()),
            }
        }
    }
}

impl Printer {
    /// Prints a band and waits until it has come out; else the reason.
    async fn print(&self, band: impl Fn() -> Option<Wristband>) -> Result<(), Failure> {
        let mut line = self.0.lock().await;
        let mut connection = line.connect().await.ok_or_else(|| "it was not reached".to_owned())?;
        match ask(&mut connection).await? {
            Status::Idle => {}
            Status::Busy => return Err("it is still printing something else".to_owned().into()),
            Status::Stopped(why) => return Err(why.to_owned().into()),
        }
        let band = band().ok_or_else(|| "another band has taken its place, or nobody knows yet what stands on it".to_owned())?;
        match finish(&mut connection, &band.label()).await {
            Ok(()) => Ok(()),
            Err(why) => Err(Failure { why, may_be_inside: !is_emptied(&mut connection).await }),
        }
    }
}

/// Sends a label and waits until it has come out.
async fn finish(connection: &mut Connection, label: &[u8]) -> Result<(), String> {
    send(connection, label).await?;
    let deadline = Instant::now() + PRINTED;
    loop {
        match ask(connection).await? {
            Status::Idle => return Ok(()),
            Status::Stopped(why) => return Err(format!("{why}, with the band inside")),
            Status::Busy if Instant::now() >= deadline => return Err("it does not finish".to_owned()),
            Status::Busy => sleep(Duration::from_millis(200)).await,
        }
    }
}

/// Has the printer forget what it was given; whether it says that it has nothing left.
async fn is_emptied(connection: &mut Connection) -> bool {
    send(connection, zpl::CANCEL_ALL).await.is_ok() && matches!(ask(connection).await, Ok(Status::Idle))
}

async fn send(connection: &mut Connection, bytes: &[u8]) -> Result<(), String> {
    let sending = async {
        connection.writer.write_all(bytes).await?;
        connection.writer.flush().await
    };
    match timeout(ANSWERED, sending).await {
        Ok(Ok(())) => Ok(()),
        Ok(Err(error)) => Err(format!("the line to it broke: {error}")),
        Err(_) => Err("it takes no data".to_owned()),
    }
}

/// A printer without bands or with an open head may say nothing at all.
async fn ask(connection: &mut Connection) -> Result<Status, String> {
    send(connection, zpl::ASK_STATUS).await?;
    let mut answer = Vec::new();
    let reading = async {
        loop {
            let mut bytes = [0; 256];
            match connection.reader.read(&mut bytes).await {
                Ok(0) => return Err("it has hung up".to_owned()),
                Ok(count) => answer.extend_from_slice(&bytes[..count]),
                Err(error) => return Err(format!("the line to it broke: {error}")),
            }
            match zpl::status(&answer) {
                Some(status) => return Ok(status),
                None if answer.len() > ANSWER_MAX => return Err("its answer has no end: is it a ZPL printer?".to_owned()),
                None => {}
            }
        }
    };
    timeout(ANSWERED, reading).await.unwrap_or_else(|_| Err("it does not say how it is: is it out of bands, or open?".to_owned()))
}
