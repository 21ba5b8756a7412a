//! The quarantine's items of discrepancies: closed when the pocket's count agrees again, or two persons resolved it.

use crate::domain::cabinet::Event;
use crate::journal::views::{Change, Views, ViewsError};
use crate::journal::{StoredBatch, StoredEvent};
use crate::kernel::StreamKind;

/// What a batch means for the items of discrepancies.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Settled {
    /// Rows that remember which items are open.
    pub(super) changes: Vec<Change>,
    /// Items that are to be closed, with the event that settled them.
    pub(super) items: Vec<(String, u64)>,
}

fn key(cabinet: &str, pocket: &str) -> String {
    format!("discrepancy/{cabinet}/{pocket}")
}

fn items(views: &dyn Views, key: &str) -> Result<Vec<String>, ViewsError> {
    Ok(views.get(key)?.and_then(|row| serde_json::from_slice(&row).ok()).unwrap_or_default())
}

/// The item that stands right before the event that it was held for.
fn item_of<'a>(batch: &'a StoredBatch, event: &StoredEvent) -> Option<&'a str> {
    let before = batch.events.iter().rev().find(|other| other.sequence < event.sequence && other.event.stream.kind() == StreamKind::Quarantine);
    before.map(|held| held.event.stream.key())
}

/// Reads a batch. A payload that cannot be read is none of these events' business: charging says so.
pub(super) fn settled(views: &dyn Views, batch: &StoredBatch) -> Result<Settled, ViewsError> {
    let mut settled = Settled::default();
    for event in &batch.events {
        if event.event.stream.kind() != StreamKind::Cabinet || !matches!(event.event.kind.as_ref(), "DiscrepancyOpened" | "DiscrepancyResolved" | "Counted") {
            continue;
        }
        let cabinet = event.event.stream.key();
        match serde_json::from_str(event.event.payload.get()) {
            Ok(Event::DiscrepancyOpened { pocket, .. }) => {
                let key = key(cabinet, pocket.as_str());
                let mut open = items(views, &key)?;
                open.extend(item_of(batch, event).map(str::to_owned));
                settled.changes.push(Change::Put(key, serde_json::to_vec(&open).unwrap_or_default()));
            }
            Ok(Event::DiscrepancyResolved { pocket, .. } | Event::Counted { pocket, .. }) => {
                let key = key(cabinet, pocket.as_str());
                let open = items(views, &key)?;
                if !open.is_empty() {
                    settled.items.extend(open.into_iter().map(|item| (item, event.sequence)));
                    settled.changes.push(Change::Remove(key));
                }
            }
            _ => {}
        }
    }
    Ok(settled)
}
