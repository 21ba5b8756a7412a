//! Erasing a person: what the census has decided is carried out, once the decision is durable.
//!
//! Flow: `Erased` of a patient → its row → their specimens and what is held of their messages → the keys of those messages → the keys of the person.
//! **Invariant**: what was held and nobody has dealt with stays, with its message: it may be another person's.
//! **Invariant**: the keys of the person are destroyed last: while one is there, not all was done, and it is done again.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::actor::{Hospital, Origin, Outcome};
use crate::domain::{device, quarantine, specimen};
use crate::journal::views::{self, Views};
use crate::journal::{Log, StoredBatch, StoredEvent};
use crate::kernel::{Clock, CommandId, Mrn, Principal, Sealing, StreamKind};
use crate::projection::{ErasureRow, Rows};
use crate::telemetry;

const CONSUMER: &str = "erasing";
/// What cannot be done now is tried again after this time.
const AGAIN: Duration = Duration::from_secs(1);
const STALE: &[u8] = b"a person was erased: the views are made anew at the next start\n";
/// Keys that are destroyed at a time.
const AT_ONCE: usize = 32;
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
    /// The file of messages that are erased once nobody else's part of them waits any more.
    pub(super) waits: PathBuf,
}

/// What concerns somebody besides what is sealed under their own keys.
#[derive(Debug, Default, PartialEq, Eq)]
struct Found {
    specimens: BTreeSet<String>,
    stories: BTreeMap<String, Story>,
}

/// What is kept of a message.
#[derive(Debug, Default, PartialEq, Eq)]
struct Story {
    /// Keys of its own, which are nobody's.
    keys: BTreeSet<u32>,
    /// Whether it names the person, and nobody besides: then what was held of it is theirs too.
    is_theirs: bool,
    items: Vec<Item>,
}

/// A message about somebody who was erased, of which something else is still held.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Waiting {
    keys: Vec<u32>,
    /// The events that hold it.
    items: Vec<u64>,
}

/// What of it was held for a person.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Item {
    key: String,
    /// The event that holds it.
    held_at: u64,
    /// Whether it is sealed under the person's own key.
    is_own: bool,
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

/// Whether a message names one patient, and by one of these numbers (HL7 v2 PID, LIS2-A2 P).
fn names_only(numbers: &[Mrn], raw: &[u8]) -> bool {
    let text = String::from_utf8_lossy(raw);
    let is_patient = |line: &&str| line.starts_with("PID|") || line.starts_with("P|");
    let mut patients = text.split(['\r', '\n']).filter(is_patient);
    let (first, second) = (patients.next(), patients.next());
    second.is_none() && first.is_some_and(|line| line.split(['|', '^', '~', '&']).any(|part| numbers.iter().any(|number| number.as_str() == part.trim())))
}

fn is_of_nobody_else(event: &StoredEvent, numbers: &[Mrn]) -> bool {
    match serde_json::from_str(event.event.payload.get()) {
        Ok(device::Event::MessageReceived { raw, .. }) => names_only(numbers, &raw.0),
        _ => false,
    }
}

/// Looks through the log for what these keys have to do with; it blocks.
fn look(log: &dyn Log, own: &BTreeSet<u32>, numbers: &[Mrn]) -> Result<Found, String> {
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
        let correlation = batch.meta.correlation.to_string();
        if stories.contains(&correlation) {
            let story = found.stories.entry(correlation).or_default();
            for event in batch.events.iter().filter(|event| is_of_messages(event)) {
                let Sealing::Key(key) = event.event.sealing else { continue };
                story.is_theirs |= event.event.stream.kind() == StreamKind::Device && is_of_nobody_else(event, numbers);
                // A message that told of several people at once goes with the first of them; the key of another person stays.
                if !own.contains(&key) && !of_persons.contains(&key) {
                    story.keys.insert(key);
                }
                if event.event.stream.kind() == StreamKind::Quarantine && event.event.kind == "Held" {
                    story.items.push(Item { key: event.event.stream.key().to_owned(), held_at: event.sequence, is_own: own.contains(&key) });
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
            if let Err(why) = self.settle().await {
                telemetry::consumer_failed(CONSUMER, &why);
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

    /// Until the rows are as the log is: what waits is known by them.
    async fn caught_up(&self) -> Result<(), String> {
        let head = self.log.head();
        self.rows.changes().wait_for(|applied| *applied >= head).await.map(drop).map_err(|error| error.to_string())
    }

    fn is_open(&self, held_at: u64) -> bool {
        self.rows.open_items_from(held_at, 1).first() == Some(&held_at)
    }

    fn waiting(&self) -> Result<Vec<Waiting>, String> {
        match std::fs::read(&self.waits) {
            Ok(bytes) => serde_json::from_slice(&bytes).map_err(|error| format!("{}: {error}", self.waits.display())),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(Vec::new()),
            Err(error) => Err(format!("{}: {error}", self.waits.display())),
        }
    }

    fn keep_waiting(&self, waiting: &[Waiting]) -> Result<(), String> {
        let text = serde_json::to_vec(waiting).map_err(|error| error.to_string())?;
        durable(&self.waits, &text).map_err(|error| format!("{}: {error}", self.waits.display()))
    }

    /// Destroys what waited for somebody to deal with what was held of it, and does not any more.
    async fn settle(&self) -> Result<(), String> {
        let waiting = self.waiting()?;
        if waiting.is_empty() {
            return Ok(());
        }
        self.caught_up().await?;
        let (still, settled): (Vec<Waiting>, Vec<Waiting>) = waiting.into_iter().partition(|message| message.items.iter().any(|held_at| self.is_open(*held_at)));
        if settled.is_empty() {
            return Ok(());
        }
        durable(&self.stale, STALE).map_err(|error| format!("{}: {error}", self.stale.display()))?;
        self.destroy(settled.into_iter().flat_map(|message| message.keys).collect()).await?;
        self.keep_waiting(&still)
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
        let (log, keys, all) = (self.log.clone(), own.clone(), numbers.to_vec());
        let found = tokio::task::spawn_blocking(move || look(log.as_ref(), &keys, &all)).await.map_err(|error| error.to_string())??;
        for accession in &found.specimens {
            let Ok(id) = accession.parse() else { continue };
            done(self.hospital.specimen(&id, specimen::Command::Erase, self.origin(sequence, accession)).await)?;
        }
        self.caught_up().await?;
        let (mut keys, mut waiting) = (Vec::new(), self.waiting()?);
        for story in found.stories.values() {
            // What still waits may be another person's, and exists nowhere else: it and its message stay until somebody has dealt with it.
            let may_be_another_s = |item: &&Item| !item.is_own && !story.is_theirs && self.is_open(item.held_at);
            let open: Vec<u64> = story.items.iter().filter(may_be_another_s).map(|item| item.held_at).collect();
            let waits = !open.is_empty();
            for item in story.items.iter().filter(|item| item.is_own || !waits) {
                let command = quarantine::Command::Discard { because: "erased with whom it was about".to_owned() };
                match self.hospital.quarantine(&item.key, command, self.origin(sequence, &item.key)).await {
                    // One that a person has dealt with is closed already.
                    Outcome::Refused(_) => {}
                    outcome => done(outcome)?,
                }
            }
            match waits {
                true => waiting.push(Waiting { keys: story.keys.iter().copied().collect(), items: open }),
                false => keys.extend(&story.keys),
            }
        }
        self.keep_waiting(&waiting)?;
        durable(&self.stale, STALE).map_err(|error| format!("{}: {error}", self.stale.display()))?;
        // Those of the person last.
        self.destroy(keys).await?;
        self.destroy(own.into_iter().collect()).await?;
        telemetry::person_erased();
        Ok(())
    }

    fn origin(&self, sequence: u64, what: &str) -> Origin {
        let digest = Sha256::digest(format!("erase {sequence} {what}"));
        let id = CommandId::from_bytes(digest.first_chunk().copied().unwrap_or_default());
        Origin { causation: Some(sequence), ..Origin::new(id, Principal::System(CONSUMER.to_owned()), self.clock.now()) }
    }

    /// A few at a time: whoever waits for an answer of the journal waits behind each of these.
    async fn destroy(&self, keys: Vec<u32>) -> Result<(), String> {
        for some in keys.chunks(AT_ONCE) {
            let (sender, receiver) = tokio::sync::oneshot::channel();
            let done = Box::new(move |result: Result<_, crate::journal::AppendError>| {
                // Without a receiver wardd is stopping; it is done at the next start.
                let _ = sender.send(result);
            });
            self.log.destroy_keys(some.to_vec(), done);
            receiver.await.map_err(|error| error.to_string())?.map(drop).map_err(|error| error.to_string())?;
        }
        Ok(())
    }
}

/// Writes a file so that it is whole and durable, or as before: a start without it would keep what was erased.
fn durable(path: &Path, bytes: &[u8]) -> std::io::Result<()> {
    let new = path.with_extension("new");
    let mut file = std::fs::File::create(&new)?;
    file.write_all(bytes)?;
    file.sync_all()?;
    std::fs::rename(&new, path)?;
    path.parent().map_or(Ok(()), |folder| std::fs::File::open(folder)?.sync_all())
}

fn done(outcome: Outcome) -> Result<(), String> {
    match outcome {
        Outcome::Done(_) | Outcome::Repeated | Outcome::Nothing => Ok(()),
        Outcome::Refused(refusal) => Err(refusal.message),
        Outcome::Held(_, reason) => Err(reason.sentence()),
        Outcome::Failed(failure) => Err(failure.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_is_of_one_person_when_it_names_one_patient_by_their_number() {
        let numbers: Vec<Mrn> = ["E1", "E2"].map(|number| number.parse().unwrap()).to_vec();
        for whole in ["MSH|x\rPID|1||77^^^GOV^NI~E2^^^H^MR||Doe\rOBX|1\r", "H|\\^&\rP|1|E1||\rO|1|A\rL|1\r"] {
            assert!(names_only(&numbers, whole.as_bytes()), "{whole}");
        }
        for other in ["MSH|x\rPID|1||||Doe\r", "MSH|x\rPID|1||E1\rPID|2||K1\r", "MSH|x\rPID|1||E11\r", "H|\\^&\rP|1\rO|1|A\rO|2|B\r", "", "NTE|E1\r"] {
            assert!(!names_only(&numbers, other.as_bytes()), "{other}");
        }
    }
}
