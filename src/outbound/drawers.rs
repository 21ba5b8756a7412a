//! Opening drawers: a withdrawal that is durable opens its drawer, once, and soon or not at all.

use std::collections::BTreeMap;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use super::held::Held;
use crate::domain::cabinet;
use crate::domain::device;
use crate::journal::views::{self, Views};
use crate::journal::{Log, StoredBatch};
use crate::kernel::{CabinetId, Clock, DeviceId, StreamKind, Timestamp};
use crate::telemetry;

const CONSUMER: &str = "drawers";
/// A drawer that could not be opened within this time stays shut: nobody stands before it any more.
const EXPIRES_SECONDS: i64 = 60;
/// An opening that was not confirmed is sent again after this time; the drawer knows the command's id.
const AGAIN: Duration = Duration::from_secs(5);

/// An opening on its way.
pub type Opening<'a> = Pin<Box<dyn Future<Output = bool> + Send + 'a>>;

/// The way to a cabinet's drawers; given by the composition root.
pub trait Opener: Send + Sync {
    /// Sends the command; `true` when the link has taken it.
    fn open<'a>(&'a self, drawer: &'a str, command: &'a str, expires: Timestamp) -> Opening<'a>;
}

/// A command that is not confirmed yet.
struct Pending {
    cabinet: CabinetId,
    drawer: String,
    command: String,
    since: Timestamp,
    sent: Option<tokio::time::Instant>,
}

/// Opens drawers for withdrawals.
pub struct Drawers {
    openers: BTreeMap<CabinetId, (DeviceId, Arc<dyn Opener>)>,
    pending: BTreeMap<u64, Pending>,
    clock: Clock,
    written: u64,
}

/// The command's id, the same for the same withdrawal for ever.
fn command_of(sequence: u64) -> String {
    format!("open-{sequence}")
}

impl Drawers {
    /// Drawers of these cabinets, each with the device that drives them.
    pub fn new(openers: BTreeMap<CabinetId, (DeviceId, Arc<dyn Opener>)>, clock: Clock) -> Self {
        Self { openers, pending: BTreeMap::new(), clock, written: 0 }
    }

    /// Follows the log until it closes.
    pub async fn run(mut self, log: Arc<dyn Log>, views: Arc<dyn Views>) {
        if self.openers.is_empty() {
            return;
        }
        let start = views::cursor(views.as_ref(), CONSUMER).unwrap_or(0);
        let start = if start > log.head() { 0 } else { start };
        self.written = start;
        let mut tail = log.tail(start + 1);
        let mut done = start;
        loop {
            match tokio::time::timeout(Duration::from_millis(250), tail.next(log.as_ref())).await {
                Ok(Ok(Some(batch))) => {
                    self.note(&batch);
                    done = batch.last();
                    while let Ok(Some(batch)) = tail.try_next(log.as_ref()) {
                        self.note(&batch);
                        done = batch.last();
                    }
                    // Catching up: what was confirmed later must not be opened again.
                    if done < log.head() {
                        continue;
                    }
                }
                Ok(Ok(None)) => return,
                Ok(Err(error)) => {
                    telemetry::consumer_failed(CONSUMER, &error.to_string());
                    tokio::time::sleep(Duration::from_secs(1)).await;
                }
                Err(_) => {}
            }
            self.send(log.as_ref()).await;
            self.save(done, views.as_ref());
            telemetry::consumer_at(CONSUMER, done);
            // It wakes for many batches at once; a nurse does not notice.
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    fn note(&mut self, batch: &StoredBatch) {
        for event in &batch.events {
            let stream = &event.event.stream;
            match (stream.kind(), event.event.kind.as_ref()) {
                (StreamKind::Cabinet, "Vended") => {
                    let Ok(cabinet::Event::Vended { pocket, at, .. }) = serde_json::from_str(event.event.payload.get()) else { continue };
                    let Ok(cabinet) = stream.key().parse::<CabinetId>() else { continue };
                    if self.openers.contains_key(&cabinet) {
                        let command = command_of(event.sequence);
                        self.pending.insert(event.sequence, Pending { cabinet, drawer: pocket.drawer().to_owned(), command, since: at, sent: None });
                    }
                }
                (StreamKind::Device, "DrawerMoved") => {
                    if let Ok(device::Event::DrawerMoved { command, .. }) = serde_json::from_str(event.event.payload.get()) {
                        self.pending.retain(|_, pending| pending.command != command);
                    }
                }
                (StreamKind::Quarantine, "Held") => self.pending.retain(|sequence, _| stream.key() != item_of(*sequence)),
                _ => {}
            }
        }
    }

    async fn send(&mut self, log: &dyn Log) {
        let now = self.clock.now();
        let mut expired = Vec::new();
        for (sequence, pending) in &mut self.pending {
            if now.seconds_since(pending.since) > EXPIRES_SECONDS {
                expired.push(*sequence);
                continue;
            }
            if pending.sent.is_some_and(|sent| sent.elapsed() < AGAIN) {
                continue;
            }
            if let Some((_, opener)) = self.openers.get(&pending.cabinet)
                && opener.open(&pending.drawer, &pending.command, pending.since.plus_seconds(EXPIRES_SECONDS)).await
            {
                pending.sent = Some(tokio::time::Instant::now());
            }
        }
        for sequence in expired {
            self.hold(sequence, log, now).await;
        }
    }

    /// Nobody confirmed the opening in time: a person must look at the drawer and the withdrawal.
    async fn hold(&mut self, sequence: u64, log: &dyn Log, now: Timestamp) {
        let Some(pending) = self.pending.get(&sequence) else { return };
        let device = self.openers.get(&pending.cabinet).map(|(device, _)| device.clone());
        let detail =
            format!("cabinet {}: drawer {} did not open for withdrawal at event {sequence}: cancel the withdrawal, or open the drawer by hand", pending.cabinet, pending.drawer);
        let held = Held { by: CONSUMER, item: item_of(sequence), sequence, rule: "drawer_not_opened", detail, device };
        if held.store(log, now).await {
            self.pending.remove(&sequence);
        }
    }

    /// The cursor stands before the first command that is not confirmed.
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

fn item_of(sequence: u64) -> String {
    format!("qtn_drawer-{sequence}")
}
