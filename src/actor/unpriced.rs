//! Charges that wait for a price: remembered in the views as the log tells of them, posted again when the list has one.

use serde::{Deserialize, Serialize};

use crate::domain::account::{Charge, Event};
use crate::journal::StoredBatch;
use crate::journal::views::{Change, Views, ViewsError};
use crate::kernel::{AccountId, StreamKind};

/// Charges that are read at a time.
const PAGE: usize = 1_000;

/// A charge without a price, and the item of the quarantine that tells a person of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Waiting {
    pub(super) account: AccountId,
    pub(super) charge: Charge,
    pub(super) item: Option<String>,
}

fn key(cause: u64) -> String {
    format!("unpriced/{cause:020}")
}

/// What a batch changes among the waiting charges.
pub(super) fn changes(batch: &StoredBatch, views: &dyn Views) -> Result<Vec<Change>, serde_json::Error> {
    let mut changes = Vec::new();
    for event in &batch.events {
        let stream = &event.event.stream;
        if stream.kind() != StreamKind::Account || !matches!(event.event.kind.as_ref(), "ChargeUnpriced" | "Charged" | "ChargesTakenOver") {
            continue;
        }
        let Ok(account) = stream.key().parse::<AccountId>() else { continue };
        match serde_json::from_str(event.event.payload.get())? {
            Event::ChargeUnpriced { charge } => {
                let held = batch.events.iter().find(|other| other.event.stream.kind() == StreamKind::Quarantine);
                let waiting = Waiting { account, item: held.map(|held| held.event.stream.key().to_owned()), charge };
                changes.push(Change::Put(key(waiting.charge.cause), serde_json::to_vec(&waiting)?));
            }
            Event::Charged { charge } => changes.push(Change::Remove(key(charge.cause))),
            // They wait at another account now; the item that tells a person of it is the same.
            Event::ChargesTakenOver { charges, .. } => {
                for charge in charges.into_iter().filter(|charge| charge.amount().is_none()) {
                    let before: Option<Waiting> = views.get(&key(charge.cause)).ok().flatten().and_then(|row| serde_json::from_slice(&row).ok());
                    let waiting = Waiting { account: account.clone(), item: before.and_then(|before| before.item), charge };
                    changes.push(Change::Put(key(waiting.charge.cause), serde_json::to_vec(&waiting)?));
                }
            }
            Event::PaymentReceived { .. } | Event::DepositTaken { .. } | Event::DepositReturned { .. } | Event::ChargesGivenUp { .. } => {}
        }
    }
    Ok(changes)
}

/// The charges that wait, oldest cause first. A row that cannot be read is left out; the log still has it.
pub(super) fn all(views: &dyn Views) -> Result<Vec<Waiting>, ViewsError> {
    let mut found = Vec::new();
    let mut from = String::new();
    loop {
        let rows = views.scan("unpriced/", &from, PAGE)?;
        found.extend(rows.iter().filter_map(|(_, row)| serde_json::from_slice(row).ok()));
        match rows.last() {
            Some((last, _)) if rows.len() == PAGE => from = format!("{last}\0"),
            _ => return Ok(found),
        }
    }
}
