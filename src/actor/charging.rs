//! From what was done to what is charged: follows the log from a durable cursor, prices, and asks the billing actor.
//!
//! The cursor may be behind after a loss of power; the account knows each causing event, so nothing is charged twice.

use std::time::Duration;

use rust_decimal::Decimal;

use super::hospital::Hospital;
use super::request::{Failure, Origin, Outcome};
use crate::domain::account::{Charge, Command, PriceList};
use crate::domain::{cabinet, specimen};
use crate::journal::views::{self, Views};
use crate::journal::{Log, StoredBatch, StoredEvent};
use crate::kernel::{AccountId, CommandId, Mrn, Principal, StreamKind, Timestamp};
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
    /// The prices.
    pub prices: PriceList,
}

/// What an event is charged as: account, code and quantity; none when it is not.
fn billable(event: &StoredEvent) -> Option<(Mrn, String, Decimal)> {
    let payload = event.event.payload.get();
    match (event.event.stream.kind(), event.event.kind.as_ref()) {
        (StreamKind::Specimen, "ResultFiled") => match serde_json::from_str(payload).ok()? {
            specimen::Event::ResultFiled { patient, result, is_first: true, .. } => Some((patient, format!("LAB-{}", result.test), Decimal::ONE)),
            _ => None,
        },
        (StreamKind::Cabinet, "Vended" | "Returned" | "VendCancelled") => {
            let sum = |lots: &[cabinet::LotAmount]| lots.iter().map(|lot| lot.quantity).sum::<Decimal>();
            match serde_json::from_str(payload).ok()? {
                cabinet::Event::Vended { patient, item, lots, .. } => Some((patient, format!("DRUG-{item}"), sum(&lots))),
                cabinet::Event::Returned { patient, item, lots, .. } | cabinet::Event::VendCancelled { patient, item, lots, .. } => {
                    Some((patient, format!("DRUG-{item}"), -sum(&lots)))
                }
                _ => None,
            }
        }
        (StreamKind::Cabinet, "TransactionReported") => match serde_json::from_str(payload).ok()? {
            cabinet::Event::TransactionReported { kind, item, quantity, patient: Some(patient), .. } => match kind {
                cabinet::ReportedKind::Vend => Some((patient, format!("DRUG-{item}"), quantity)),
                cabinet::ReportedKind::Return => Some((patient, format!("DRUG-{item}"), -quantity)),
                _ => None,
            },
            _ => None,
        },
        _ => None,
    }
}

/// The command's identity follows from the causing event, so that a repetition is one.
fn command_id(cause: u64) -> CommandId {
    let mut bytes = *b"billing\0........";
    bytes[8..].copy_from_slice(&cause.to_be_bytes());
    CommandId::from_bytes(bytes)
}

async fn post(hospital: &Hospital, charging: &Charging, batch: &StoredBatch, event: &StoredEvent, now: Timestamp) -> Result<(), Failure> {
    let Some((patient, code, quantity)) = billable(event) else { return Ok(()) };
    let rendered = batch.meta.recorded;
    let price = charging.prices.price(&code, rendered.date());
    let charge = Charge { cause: event.sequence, code, quantity, price, rendered };
    let origin = Origin {
        command: command_id(event.sequence),
        principal: Principal::System("billing".to_owned()),
        witness: None,
        place: None,
        correlation: batch.meta.correlation,
        causation: Some(event.sequence),
        device_time: None,
        received: now,
        now,
        device: None,
    };
    match hospital.account(&AccountId::of(&patient), Command::Post(charge), origin).await {
        Outcome::Done(_) => {
            telemetry::charged();
            Ok(())
        }
        Outcome::Repeated | Outcome::Nothing => Ok(()),
        Outcome::Refused(_) | Outcome::Held(..) => Ok(()),
        Outcome::Failed(failure) => Err(failure),
    }
}

pub(super) async fn run(hospital: &Hospital, charging: Charging, log: &dyn Log, views: &dyn Views, now: impl Fn() -> Timestamp) {
    let start = views::cursor(views, CONSUMER).unwrap_or(0);
    // A cursor ahead of the log belongs to another log.
    let start = if start > log.head() { 0 } else { start };
    let mut tail = log.tail(start + 1);
    let mut written = start;
    let mut rested_at = start;
    loop {
        // After what was there a short rest: it wakes for many batches at once, and no charge is waited for.
        if rested_at + BURST <= tail.next_sequence() || tail.next_sequence() > log.head() {
            rested_at = tail.next_sequence();
            tokio::time::sleep(REST).await;
        }
        let batch = match tail.next(log).await {
            Ok(Some(batch)) => batch,
            Ok(None) => return,
            Err(error) => {
                telemetry::consumer_failed(CONSUMER, &error.to_string());
                tokio::time::sleep(Duration::from_secs(1)).await;
                continue;
            }
        };
        for event in &batch.events {
            // What cannot be charged now is tried again until it can: the cursor waits here.
            let mut pause = Duration::from_millis(5);
            while let Err(failure) = post(hospital, &charging, &batch, event, now()).await {
                if failure == Failure::Closed {
                    return;
                }
                telemetry::consumer_failed(CONSUMER, &failure.to_string());
                tokio::time::sleep(pause).await;
                pause = (pause * 2).min(Duration::from_secs(5));
            }
        }
        telemetry::consumer_at(CONSUMER, batch.last(), log.head());
        if batch.last() >= written + CURSOR_EVERY && views.apply(&[views::advance(CONSUMER, batch.last())]).is_ok() {
            written = batch.last();
        }
    }
}
