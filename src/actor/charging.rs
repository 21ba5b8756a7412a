//! From what was done to what is charged: follows the log from a durable cursor, prices, and asks the billing actor. Items of
//! the quarantine whose cause is gone (a price that was missing, a discrepancy) are closed by the way.
//!
//! The cursor may be behind after a loss of power; the account knows each causing event, so nothing is charged twice.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;

use super::discrepancies;
use super::hospital::Hospital;
use super::request::{Failure, Origin, Outcome};
use super::unpriced::{self, Waiting};
use crate::domain::account::{self, Charge, Command, PriceList, Service};
use crate::domain::{encounter, quarantine};
use crate::journal::views::{self, Views, ViewsError};
use crate::journal::{Log, StoredBatch, StoredEvent};
use crate::kernel::planted::{self, Bug};
use crate::kernel::{AccountId, CommandId, Principal, StreamKind, Timestamp};
use crate::telemetry;

/// The consumer's name.
const CONSUMER: &str = "billing";
/// Events between two writes of the cursor.
const CURSOR_EVERY: u64 = 2_000;
/// Events of one burst, and the rest after it.
const BURST: u64 = 2_048;
const REST: Duration = Duration::from_millis(10);

/// What charging needs to know.
#[derive(Debug, Clone)]
pub struct Charging {
    /// The prices, and those that take their place while wardd runs.
    pub prices: watch::Receiver<Arc<PriceList>>,
}

impl Charging {
    /// The prices of this moment.
    fn prices(&self) -> Arc<PriceList> {
        self.prices.borrow().clone()
    }

    /// Waits for other prices; for ever when none can come.
    async fn changed(&mut self) {
        if self.prices.changed().await.is_err() {
            std::future::pending().await
        }
    }
}

/// The command's identity follows from what is done and the causing event, so that a repetition is one.
fn command_id(what: [u8; 8], cause: u64) -> CommandId {
    let mut bytes = [0; 16];
    bytes[..8].copy_from_slice(&what);
    bytes[8..].copy_from_slice(&cause.to_be_bytes());
    CommandId::from_bytes(bytes)
}

fn origin(command: CommandId, correlation: CommandId, cause: u64, now: Timestamp) -> Origin {
    let principal = Principal::System("billing".to_owned());
    Origin { correlation, causation: Some(cause), ..Origin::new(command, principal, now) }
}

/// Why an event could not be charged; it is tried again until it can.
#[derive(Debug, thiserror::Error)]
enum Delay {
    #[error("{0}")]
    Failed(Failure),
    #[error("event {sequence} may be billable and cannot be read ({error}): start the release that wrote it, or a newer one")]
    Unreadable { sequence: u64, error: serde_json::Error },
    #[error("{0}")]
    Views(#[from] ViewsError),
}

/// What an account answered: whether something was written.
fn written(outcome: Outcome) -> Result<bool, Delay> {
    match outcome {
        Outcome::Done(_) => Ok(true),
        // An account never refuses a charge; what has no price is an event of its own.
        Outcome::Repeated | Outcome::Nothing | Outcome::Refused(_) | Outcome::Held(..) => Ok(false),
        Outcome::Failed(failure) => Err(Delay::Failed(failure)),
    }
}

fn charged(outcome: Outcome) -> Result<(), Delay> {
    if written(outcome)? {
        telemetry::charged();
    }
    Ok(())
}

/// A stay that was written under the wrong number takes its charges along: one account gives them up, and when that is in the log the
/// other takes them over. Everything that was charged before is in the account already, for this is the one who charges, in the log's order.
async fn move_charges(hospital: &Hospital, batch: &StoredBatch, event: &StoredEvent, now: Timestamp) -> Result<(), Delay> {
    let stored = &event.event;
    let unreadable = |error| Delay::Unreadable { sequence: event.sequence, error };
    let (account, command) = match (stored.stream.kind(), stored.kind.as_ref()) {
        (StreamKind::Encounter, "Reassigned") => match serde_json::from_str(stored.payload.get()).map_err(unreadable)? {
            encounter::Event::Reassigned { from, stay, ended, .. } => {
                let rendered = (stay.admitted, ended.map_or(batch.meta.recorded, |(at, _)| at));
                (AccountId::of(&from), Command::GiveUp { to: AccountId::of(&stay.patient), rendered })
            }
            _ => return Ok(()),
        },
        (StreamKind::Account, "ChargesGivenUp") => match serde_json::from_str(stored.payload.get()).map_err(unreadable)? {
            account::Event::ChargesGivenUp { to, charges, .. } => {
                let Ok(from) = stored.stream.key().parse() else { return Ok(()) };
                (to, Command::TakeOver { from, charges })
            }
            _ => return Ok(()),
        },
        _ => return Ok(()),
    };
    let origin = origin(command_id(*b"moved\0\0\0", event.sequence), batch.meta.correlation, event.sequence, now);
    written(hospital.account(&account, command, origin).await).map(drop)
}

async fn post(hospital: &Hospital, prices: &PriceList, batch: &StoredBatch, event: &StoredEvent, now: Timestamp) -> Result<(), Delay> {
    move_charges(hospital, batch, event, now).await?;
    let stored = &event.event;
    let service = account::billable(stored.stream.kind(), &stored.kind, stored.payload.get()).map_err(|error| Delay::Unreadable { sequence: event.sequence, error })?;
    let Some(Service { patient, code, quantity }) = service else { return Ok(()) };
    let rendered = batch.meta.recorded;
    let price = prices.price(&code, rendered.date());
    let charge = Charge { cause: event.sequence, code, quantity, price, rendered };
    let origin = origin(command_id(*b"billing\0", event.sequence), batch.meta.correlation, event.sequence, now);
    charged(hospital.account(&AccountId::of(&patient), Command::Post(charge), origin).await)
}

/// Posts a charge that waited, now that it has a price, and closes the item that told a person of it.
async fn post_waiting(hospital: &Hospital, prices: &PriceList, waiting: &Waiting, now: Timestamp) -> Result<(), Delay> {
    let Some(price) = prices.price(&waiting.charge.code, waiting.charge.rendered.date()) else { return Ok(()) };
    let cause = waiting.charge.cause;
    let command = command_id(*b"priced\0\0", cause);
    let charge = Charge { price: Some(price), ..waiting.charge.clone() };
    charged(hospital.account(&waiting.account, Command::Post(charge), origin(command, command, cause, now)).await)?;
    match &waiting.item {
        Some(item) => close(hospital, item, origin(command_id(*b"repriced", cause), command, cause, now)).await,
        None => Ok(()),
    }
}

/// Closes an item of the quarantine whose cause is gone.
async fn close(hospital: &Hospital, item: &str, origin: Origin) -> Result<(), Delay> {
    match hospital.quarantine(item, quarantine::Command::Retried, origin).await {
        Outcome::Failed(failure) => Err(Delay::Failed(failure)),
        // Refused: a person has dealt with the item already.
        _ => Ok(()),
    }
}

/// Closes the items of discrepancies that a batch settles, and remembers those that it opens.
async fn settle_discrepancies(hospital: &Hospital, views: &dyn Views, batch: &StoredBatch, now: Timestamp) -> Result<(), Delay> {
    let settled = discrepancies::settled(views, batch)?;
    for (number, (item, event)) in settled.items.iter().enumerate() {
        let command = command_id(*b"resolved", *event).part(u32::try_from(number).unwrap_or(u32::MAX));
        close(hospital, item, origin(command, batch.meta.correlation, *event, now)).await?;
    }
    match settled.changes.as_slice() {
        [] => Ok(()),
        changes => Ok(views.apply(changes)?),
    }
}

/// Tries until it is done; false when wardd stops.
async fn persist<F: Future<Output = Result<(), Delay>>>(mut attempt: impl FnMut() -> F) -> bool {
    let mut pause = Duration::from_millis(5);
    loop {
        match attempt().await {
            Ok(()) => return true,
            Err(Delay::Failed(Failure::Closed)) => return false,
            Err(delay) => telemetry::consumer_failed(CONSUMER, &delay.to_string()),
        }
        tokio::time::sleep(pause).await;
        pause = (pause * 2).min(Duration::from_secs(5));
    }
}

/// Writes what a batch says about charges that wait for a price.
async fn note_waiting(views: &dyn Views, batch: &StoredBatch) -> Result<(), Delay> {
    let unreadable = |error| Delay::Unreadable { sequence: batch.first(), error };
    let changes = unpriced::changes(batch, views).map_err(unreadable)?;
    if !changes.is_empty() {
        views.apply(&changes)?;
    }
    Ok(())
}

/// Posts what waited for a price and has one now; false when wardd stops.
async fn post_all_waiting(hospital: &Hospital, prices: &PriceList, views: &dyn Views, now: &impl Fn() -> Timestamp) -> bool {
    let waiting = unpriced::all(views).unwrap_or_else(|error| {
        telemetry::consumer_failed(CONSUMER, &error.to_string());
        Vec::new()
    });
    for waiting in waiting {
        if !persist(|| post_waiting(hospital, prices, &waiting, now())).await {
            return false;
        }
    }
    true
}

pub(super) async fn run(hospital: &Hospital, mut charging: Charging, log: &dyn Log, views: &dyn Views, now: impl Fn() -> Timestamp) {
    let start = views::cursor(views, CONSUMER).unwrap_or(0);
    // A cursor ahead of the log belongs to another log.
    let start = if start > log.head() { 0 } else { start };
    let start = if planted::is(Bug::BacklogNotCharged) { log.head() } else { start };
    let mut tail = log.tail(start + 1);
    let mut written = start;
    let mut rested_at = start;
    if !post_all_waiting(hospital, &charging.prices(), views, &now).await {
        return;
    }
    loop {
        // After what was there a short rest: it wakes for many batches at once, and no charge is waited for.
        if rested_at + BURST <= tail.next_sequence() || tail.next_sequence() > log.head() {
            rested_at = tail.next_sequence();
            tokio::time::sleep(REST).await;
        }
        let next = tokio::select! {
            biased;
            () = charging.changed() => {
                if !post_all_waiting(hospital, &charging.prices(), views, &now).await {
                    return;
                }
                continue;
            }
            next = tail.next(log) => next,
        };
        let batch = match next {
            Ok(Some(batch)) => batch,
            Ok(None) => return,
            Err(error) => {
                telemetry::consumer_failed(CONSUMER, &error.to_string());
                tokio::time::sleep(Duration::from_secs(1)).await;
                continue;
            }
        };
        let prices = charging.prices();
        // What cannot be charged now is tried again until it can: the cursor waits here.
        for event in &batch.events {
            if !persist(|| post(hospital, &prices, &batch, event, now())).await {
                return;
            }
        }
        if !persist(|| note_waiting(views, &batch)).await || !persist(|| settle_discrepancies(hospital, views, &batch, now())).await {
            return;
        }
        telemetry::consumer_at(CONSUMER, batch.last());
        if batch.last() >= written + CURSOR_EVERY && views.apply(&[views::advance(CONSUMER, batch.last())]).is_ok() {
            written = batch.last();
        }
    }
}
