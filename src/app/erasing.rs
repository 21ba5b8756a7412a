//! Erasing a person: what the census has decided is carried out, once the decision is durable.
//!
//! Flow: `Erased` of a patient → its row → their specimens and what is held of their messages → the keys of those messages → the keys of the person.
//! **Invariant**: the keys of the person are destroyed last: while one is there, not all was done, and it is done again.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use sha2::{Digest, Sha256};

use crate::actor::{Hospital, Origin, Outcome};
use crate::domain::{quarantine, specimen};
use crate::journal::views::{self, Views};
use crate::journal::{Log, StoredBatch, StoredEvent};
use crate::kernel::{Clock, CommandId, Mrn, Principal, Sealing, StreamKind};
use crate::projection::{ErasureRow, Rows};
use crate::telemetry;

const CONSUMER: &str = "erasing";
/// What cannot be done now is tried again after this time.
const AGAIN: Duration = Duration::from_secs(1);
/// Batches that are read at a time.
const PAGE: usize = 256;
/// Between two looks.
const REST: Duration = Duration::from_secs(1);

/// What erasing needs.
pub(super) struct Erasing {
    pub(super) hospital: Arc<Hospital>,
    pub(super) log: Arc<dyn Log>,
    pub(super) rows: Arc<Rows>,
    pub(super) views: Arc<dyn Views>,
    pub(super) clock: Clock,
    /// The file that says, at the next start, that the views hold what was erased.
    pub(super) stale: PathBuf,
}

/// What concerns somebody besides what is sealed under their own keys.
#[derive(Debug, Default, PartialEq, Eq)]
struct Found {
    specimens: BTreeSet<String>,
    items: BTreeSet<String>,
    keys: BTreeSet<u32>,
}

/// Calls `visit` with each batch of the log up to an event.
fn each(log: &dyn Log, head: u64, mut visit: impl FnMut(&StoredBatch)) -> Result<(), String> {
    let mut from = 1;
    while from <= head {
        let page = log.read_all(from, PAGE).map_err(|error| error.to_string())?;
        let Some(last) = page.last() else { return Ok(()) };
        from = last.last() + 1;
        page.iter().for_each(|batch| visit(batch));
    }
    Ok(())
}

/// Whether an event's stream is of messages: what is sealed there under a key of nobody's is a message's own.
fn is_of_messages(event: &StoredEvent) -> bool {
    matches!(event.event.stream.kind(), StreamKind::Device | StreamKind::Quarantine)
}

/// Looks through the log for what these keys have to do with; it blocks.
fn look(log: &dyn Log, own: &BTreeSet<u32>) -> Result<Found, String> {
    let (head, mut stories, mut found, mut of_persons) = (log.head(), BTreeSet::new(), Found::default(), BTreeSet::new());
    each(log, head, |batch| {
        for event in &batch.events {
            let Sealing::Key(key) = event.event.sealing else { continue };
            if !is_of_messages(event) {
                of_persons.insert(key);
            }
            if own.contains(&key) {
                stories.insert(batch.meta.correlation.to_string());
                if event.event.stream.kind() == StreamKind::Specimen {
                    found.specimens.insert(event.event.stream.key().to_owned());
                }
            }
        }
    })?;
    each(log, head, |batch| {
        if stories.contains(&batch.meta.correlation.to_string()) {
            for event in batch.events.iter().filter(|event| is_of_messages(event)) {
                let Sealing::Key(key) = event.event.sealing else { continue };
                // A message that told of several people at once goes with the first of them; the key of another person stays.
                if !own.contains(&key) && !of_persons.contains(&key) {
                    found.keys.insert(key);
                }
                if event.event.stream.kind() == StreamKind::Quarantine {
                    found.items.insert(event.event.stream.key().to_owned());
                }
            }
        }
    })?;
    Ok(found)
}

impl Erasing {
    /// Looks, whenever rows have changed, for whom the census has erased; runs until wardd stops.
    pub(super) async fn run(self) {
        let mut done = views::cursor(self.views.as_ref(), CONSUMER).unwrap_or(0).min(self.log.head());
        let mut changes = self.rows.changes();
        loop {
            let (numbers, through) = self.decided(done);
            if through > done {
                self.persist(&numbers, through).await;
                done = through;
                // Lost, it is looked at once more, and what was erased is erased.
                let _ = self.views.apply(&[views::advance(CONSUMER, done)]);
            }
            if changes.changed().await.is_err() {
                return;
            }
            tokio::time::sleep(REST).await;
        }
    }

    /// The numbers that were erased behind an event, and the last event that decided it: one look through the log serves them all.
    fn decided(&self, behind: u64) -> (Vec<Mrn>, u64) {
        let mut rows: Vec<(String, ErasureRow)> = self.rows.list("erasure", "", usize::MAX);
        rows.retain(|(_, row)| row.sequence > behind);
        let through = rows.iter().map(|(_, row)| row.sequence).max().unwrap_or(behind);
        (rows.iter().filter_map(|(number, _)| number.parse().ok()).collect(), through)
    }

    async fn persist(&self, numbers: &[Mrn], sequence: u64) {
        while let Err(why) = self.erase(numbers, sequence).await {
            telemetry::consumer_failed(CONSUMER, &why);
            tokio::time::sleep(AGAIN).await;
        }
    }

    async fn erase(&self, numbers: &[Mrn], sequence: u64) -> Result<(), String> {
        let mut own = BTreeSet::new();
        for mrn in numbers {
            own.extend(self.log.keys_of(mrn).map_err(|error| error.to_string())?);
        }
        if own.is_empty() {
            return Ok(());
        }
        let (log, keys) = (self.log.clone(), own.clone());
        let found = tokio::task::spawn_blocking(move || look(log.as_ref(), &keys)).await.map_err(|error| error.to_string())??;
        for accession in &found.specimens {
            let Ok(id) = accession.parse() else { continue };
            done(self.hospital.specimen(&id, specimen::Command::Erase, self.origin(sequence, accession)).await)?;
        }
        for item in &found.items {
            let command = quarantine::Command::Discard { because: "erased with whom it was about".to_owned() };
            // One that a person has dealt with is closed already.
            let _ = done(self.hospital.quarantine(item, command, self.origin(sequence, item)).await);
        }
        std::fs::write(&self.stale, "a person was erased: the views are made anew at the next start\n").map_err(|error| format!("{}: {error}", self.stale.display()))?;
        // Those of the person last.
        self.destroy(found.keys.into_iter().collect()).await?;
        self.destroy(own.into_iter().collect()).await?;
        telemetry::person_erased();
        Ok(())
    }

    fn origin(&self, sequence: u64, what: &str) -> Origin {
        let digest = Sha256::digest(format!("erase {sequence} {what}"));
        let id = CommandId::from_bytes(digest.first_chunk().copied().unwrap_or_default());
        Origin { causation: Some(sequence), ..Origin::new(id, Principal::System(CONSUMER.to_owned()), self.clock.now()) }
    }

    async fn destroy(&self, keys: Vec<u32>) -> Result<(), String> {
        if keys.is_empty() {
            return Ok(());
        }
        let (sender, receiver) = tokio::sync::oneshot::channel();
        let done = Box::new(move |result: Result<_, crate::journal::AppendError>| {
            // Without a receiver wardd is stopping; it is done at the next start.
            let _ = sender.send(result);
        });
        self.log.destroy_keys(keys, done);
        receiver.await.map_err(|error| error.to_string())?.map(drop).map_err(|error| error.to_string())
    }
}

fn done(outcome: Outcome) -> Result<(), String> {
    match outcome {
        Outcome::Done(_) | Outcome::Repeated | Outcome::Nothing => Ok(()),
        Outcome::Refused(refusal) => Err(refusal.message),
        Outcome::Held(_, reason) => Err(reason.sentence()),
        Outcome::Failed(failure) => Err(failure.to_string()),
    }
}
