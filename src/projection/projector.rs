//! What each event does to the rows.

use std::sync::Arc;
use std::time::Duration;

use super::history::History;
use super::rows::{AccountRow, BedRow, CabinetRow, ChargeRow, EncounterRow, ErasureRow, PatientRow, ResultRow, Rows, SpecimenRow, TagRow};
use crate::domain::{Folded, account, bed, cabinet, device, encounter, patient, quarantine, specimen};
use crate::journal::{JournalError, Log, StoredBatch, StoredEvent};
use crate::kernel::{Money, Mrn, StreamKind, Timestamp};
use crate::telemetry;

/// After each burst of what is there the projector rests, so that it wakes for many batches at once and reports never stop the service.
const PAUSE: Duration = Duration::from_millis(10);
/// Batches of one burst at most.
const BURST: usize = 1_024;
/// Between two tries to apply a batch for which the log cannot be read.
const AGAIN: Duration = Duration::from_secs(1);
const WRITE_EVERY: Duration = Duration::from_secs(1);

/// Folds the log into rows.
#[derive(Debug)]
pub struct Projector {
    rows: Arc<Rows>,
    history: History,
}

impl Projector {
    /// A projector of a log into these rows.
    pub fn new(rows: Arc<Rows>, log: Arc<dyn Log>) -> Self {
        Self { rows, history: History::new(log) }
    }

    /// Follows the log until it closes.
    pub async fn run(self) {
        let log = self.history.log();
        let mut tail = log.tail(self.rows.applied() + 1);
        let mut written = tokio::time::Instant::now();
        let mut writing: Option<tokio::task::JoinHandle<()>> = None;
        loop {
            let next = tokio::time::timeout(WRITE_EVERY, tail.next(log.as_ref())).await;
            match next {
                Ok(Ok(Some(batch))) => {
                    self.persist(&batch).await;
                    let mut burst = 1;
                    while burst < BURST
                        && let Ok(Some(batch)) = tail.try_next(log.as_ref())
                    {
                        self.persist(&batch).await;
                        burst += 1;
                    }
                    self.rows.announce();
                    telemetry::consumer_at("projection", self.rows.applied());
                    // Fewer, larger bursts cost less; whoever waits for them at the bedside comes first.
                    let _ = tokio::time::timeout(PAUSE, self.rows.hurried()).await;
                }
                Ok(Ok(None)) => break,
                Ok(Err(error)) => {
                    telemetry::consumer_failed("projection", &error.to_string());
                    tokio::time::sleep(Duration::from_secs(1)).await;
                }
                Err(_) => {}
            }
            if written.elapsed() >= WRITE_EVERY && writing.as_ref().is_none_or(tokio::task::JoinHandle::is_finished) {
                written = tokio::time::Instant::now();
                writing = Some(self.write());
                telemetry::consumer_at("projection", self.rows.applied());
            }
        }
        // What was not written is written when wardd stops.
    }

    /// Writing may take a while: it is done where it blocks nobody, one at a time.
    fn write(&self) -> tokio::task::JoinHandle<()> {
        let rows = self.rows.clone();
        tokio::task::spawn_blocking(move || {
            if let Err(error) = rows.write() {
                telemetry::consumer_failed("projection", &error.to_string());
            }
        })
    }

    /// Applies a batch; when the log cannot be read for it, it is not passed, and may be applied again.
    pub fn apply(&self, batch: &StoredBatch) -> Result<(), JournalError> {
        for event in &batch.events {
            self.event(event, batch)?;
        }
        self.rows.leave_trail(batch);
        self.rows.advance(batch.last());
        Ok(())
    }

    /// Applies a batch, as often as it takes.
    async fn persist(&self, batch: &StoredBatch) {
        while let Err(error) = self.apply(batch) {
            telemetry::consumer_failed("projection", &error.to_string());
            tokio::time::sleep(AGAIN).await;
        }
    }

    fn event(&self, event: &StoredEvent, batch: &StoredBatch) -> Result<(), JournalError> {
        let key = event.event.stream.key();
        let payload = event.event.payload.get();
        match event.event.stream.kind() {
            StreamKind::Bed => read(payload).into_iter().for_each(|found| self.bed(key, event.sequence, &found)),
            StreamKind::Cabinet => read(payload).into_iter().for_each(|found| self.cabinet(key, event.sequence, &found)),
            StreamKind::Specimen => read(payload).into_iter().for_each(|found| self.specimen(key, event.sequence, &found, batch.meta.recorded)),
            StreamKind::Account => read(payload).into_iter().for_each(|found| self.account(key, event.sequence, &found)),
            StreamKind::Patient => read(payload).into_iter().for_each(|found| self.patient(key, event.sequence, &found)),
            StreamKind::Encounter => read(payload).into_iter().for_each(|found| self.encounter(key, event.sequence, &found)),
            StreamKind::Quarantine => return self.item(key, event),
            StreamKind::Device if event.event.kind == "TagSighted" => read(payload).into_iter().for_each(|found| self.tag(key, event.sequence, &found, batch.meta.recorded)),
            StreamKind::User => read(payload).into_iter().for_each(|found| self.rows.emergency(key, found)),
            StreamKind::Chart => read(payload).into_iter().for_each(|found| self.rows.chart_changed(key, event.sequence, &found)),
            StreamKind::Vitals => read(payload).into_iter().for_each(|found| self.rows.vitals_changed(key, event.sequence, &found)),
            StreamKind::Schedule => read(payload).into_iter().for_each(|found| self.rows.schedule_changed(key, event.sequence, &found)),
            StreamKind::Directory => read(payload).into_iter().for_each(|found| self.rows.directory_changed(key, event.sequence, &found)),
            StreamKind::Task => read(payload).into_iter().for_each(|found| self.rows.tasks_changed(key, event.sequence, &found)),
            StreamKind::Subscription => read(payload).into_iter().for_each(|found| self.rows.subscription_changed(key, event.sequence, &found)),
            StreamKind::Device | StreamKind::Hospital | StreamKind::Access | StreamKind::Subscriber | StreamKind::Document => {}
        }
        Ok(())
    }

    fn bed(&self, key: &str, sequence: u64, event: &bed::Event) {
        self.rows.update("bed", key, |row: Option<BedRow>| {
            let row = row.unwrap_or_default();
            if row.sequence >= sequence {
                return None;
            }
            let mut bed = row.bed;
            bed.apply(event);
            Some(BedRow { sequence, bed })
        });
    }

    fn patient(&self, key: &str, sequence: u64, event: &patient::Event) {
        let Ok(mrn) = key.parse::<Mrn>() else { return };
        let mut person = None;
        self.rows.update("patient", key, |row: Option<PatientRow>| {
            let mut row = row.unwrap_or_default();
            if row.sequence >= sequence {
                return None;
            }
            match event {
                patient::Event::PersonRecorded { person: now, .. } => person = Some((row.patient.person.clone(), now.clone())),
                // Nobody finds whom nothing is known of.
                patient::Event::Erased { .. } => person = row.patient.person.clone().map(|before| (Some(before), Box::default())),
                _ => {}
            }
            row.patient.apply(event);
            row.sequence = sequence;
            row.mrn = Some(mrn.clone());
            Some(row)
        });
        if matches!(event, patient::Event::Erased { at: Some(_), .. }) {
            self.rows.update("erasure", key, |_: Option<ErasureRow>| Some(ErasureRow { sequence }));
        }
        if matches!(event, patient::Event::WristbandPrinted { .. }) {
            self.rows.wristband_printed(&mrn, sequence);
        }
        if let Some((before, now)) = person {
            self.rows.person_changed(&mrn, before.as_ref(), &now);
        }
    }

    fn encounter(&self, key: &str, sequence: u64, event: &encounter::Event) {
        self.rows.link_encounter(key, event);
        self.rows.update("encounter", key, |row: Option<EncounterRow>| {
            let mut row = row.unwrap_or_default();
            if row.sequence >= sequence {
                return None;
            }
            row.encounter.apply(event);
            row.sequence = sequence;
            Some(row)
        });
        // Also for an event that the row reflects already: a crash may have come between the row and the list.
        if let Ok(encounter) = key.parse() {
            let row: EncounterRow = self.rows.get("encounter", key).unwrap_or_default();
            self.rows.in_emergency(&encounter, row.encounter.stay().is_some_and(|stay| stay.class == encounter::Class::Emergency));
        }
    }

    fn cabinet(&self, key: &str, sequence: u64, event: &cabinet::Event) {
        self.rows.update("cabinet", key, |row: Option<CabinetRow>| {
            let mut row = row.unwrap_or_default();
            if row.sequence >= sequence {
                return None;
            }
            row.cabinet.apply(event);
            row.sequence = sequence;
            Some(row)
        });
    }

    fn specimen(&self, key: &str, sequence: u64, event: &specimen::Event, recorded: Timestamp) {
        self.rows.specimen_changed(key);
        self.rows.link_specimen(key, event);
        self.rows.update("specimen", key, |row: Option<SpecimenRow>| {
            let mut row = row.unwrap_or_default();
            if row.sequence >= sequence {
                return None;
            }
            row.sequence = sequence;
            match event {
                specimen::Event::TestsOrdered { patient, tests, priority } => {
                    row.stage = specimen::Stage::Ordered;
                    row.patient = Some(patient.clone());
                    row.priority = *priority;
                    row.ordered = Some(recorded);
                    row.tests = tests.iter().map(|test| (test.to_string(), Vec::new())).collect();
                }
                specimen::Event::TestsAdded { tests } => {
                    for test in tests {
                        row.tests.entry(test.to_string()).or_default();
                    }
                    row.stage = row.stage.min(specimen::Stage::Received);
                }
                specimen::Event::Collected { at } => {
                    row.stage = specimen::Stage::Collected;
                    row.collected = Some(*at);
                }
                specimen::Event::Received { at, .. } => {
                    row.stage = specimen::Stage::Received;
                    row.received = Some(*at);
                }
                specimen::Event::ResultFiled { device, result, .. } => {
                    let filed = ResultRow { device: device.clone(), line: result.clone(), filed: recorded };
                    row.tests.entry(result.test.to_string()).or_default().push(filed);
                    if row.tests.values().all(|results| results.iter().any(|result| result.line.is_final())) {
                        row.stage = specimen::Stage::Resulted;
                    }
                }
                specimen::Event::ResultHeld { .. } => row.held += 1,
                specimen::Event::Erased { .. } => row = SpecimenRow { sequence, ..SpecimenRow::default() },
            }
            Some(row)
        });
    }

    fn account(&self, key: &str, sequence: u64, event: &account::Event) {
        self.rows.update("account", key, |row: Option<AccountRow>| {
            let mut row = row.unwrap_or_default();
            if row.sequence >= sequence {
                return None;
            }
            row.sequence = sequence;
            let add = |balance: Option<Money>, amount: Money| balance.map_or(Some(amount), |balance| balance.plus(amount).ok());
            match event {
                account::Event::Charged { charge } | account::Event::ChargeUnpriced { charge } => {
                    row.charges.retain(|known| known.cause != charge.cause);
                    let amount = charge.amount();
                    row.charges.push(ChargeRow { cause: charge.cause, code: charge.code.clone(), quantity: charge.quantity, amount, rendered: charge.rendered });
                    if let Some(amount) = amount {
                        row.balance = add(row.balance, amount);
                    }
                }
                account::Event::ChargesGivenUp { charges, .. } => {
                    row.charges.retain(|known| !charges.iter().any(|charge| charge.cause == known.cause));
                    for amount in charges.iter().filter_map(account::Charge::amount) {
                        row.balance = add(row.balance, amount.reversed());
                    }
                }
                account::Event::ChargesTakenOver { charges, .. } => {
                    for charge in charges {
                        row.charges.retain(|known| known.cause != charge.cause);
                        let amount = charge.amount();
                        row.charges.push(ChargeRow { cause: charge.cause, code: charge.code.clone(), quantity: charge.quantity, amount, rendered: charge.rendered });
                        if let Some(amount) = amount {
                            row.balance = add(row.balance, amount);
                        }
                    }
                }
                account::Event::DepositTaken { deposit, .. } => {
                    row.deposits.push(deposit.clone());
                    row.balance = add(row.balance, deposit.amount.reversed());
                }
                account::Event::DepositReturned { number, amount, .. } => {
                    row.deposits.iter_mut().filter(|known| known.number == *number).for_each(|known| known.returned = Some(*amount));
                    row.balance = add(row.balance, *amount);
                }
                account::Event::PaymentReceived { amount, .. } => {
                    row.payments.push(*amount);
                    row.balance = add(row.balance, amount.reversed());
                }
            }
            Some(row)
        });
    }

    /// Only what waits is kept here; what an item says is read from the log when somebody asks.
    fn item(&self, key: &str, event: &StoredEvent) -> Result<(), JournalError> {
        // Whatever happens to an item ends its waiting, also when it is held again.
        self.history.held_before(key, event.stream_version)?.into_iter().for_each(|held_at| self.rows.item_closed(held_at));
        // What was erased waits for nobody.
        if event.event.kind == "Held" && !matches!(read(event.event.payload.get()), Some(quarantine::Event::Erased)) {
            self.rows.item_held(event.sequence);
        }
        Ok(())
    }

    fn tag(&self, reader: &str, sequence: u64, event: &device::Event, recorded: Timestamp) {
        let device::Event::TagSighted { tag, antenna, .. } = event else { return };
        self.rows.update("tag", tag, |row: Option<TagRow>| {
            let is_newer = row.is_none_or(|row| row.sequence < sequence);
            is_newer.then(|| TagRow { sequence, reader: reader.to_owned(), antenna: *antenna, at: recorded })
        });
    }
}

fn read<E: serde::de::DeserializeOwned>(payload: &str) -> Option<E> {
    match serde_json::from_str(payload) {
        Ok(event) => Some(event),
        Err(error) => {
            telemetry::consumer_failed("projection", &error.to_string());
            None
        }
    }
}
