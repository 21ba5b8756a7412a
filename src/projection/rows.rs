//! Rows by kind and key: a cache that is written behind, over the rebuildable store.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::Instant;

use rust_decimal::Decimal;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::domain::account::Deposit;
use crate::domain::bed::Bed;
use crate::domain::cabinet::Cabinet;
use crate::domain::encounter::Encounter;
use crate::domain::patient::{Patient, Person};
use crate::domain::specimen::{Priority, ResultLine, Stage};
use crate::journal::views::{self, Change, Views, ViewsError};
use crate::kernel::{DeviceId, EncounterId, Money, Mrn, ScheduleId, Timestamp};

use super::open_items::OpenItems;
use super::people::{People, Search};

/// The consumer's name.
pub(super) const CONSUMER: &str = "projection";
/// The row of the specimens that changed last, and how many it names.
const RECENT: &str = "recent/specimens";
const RECENT_SPECIMENS: usize = 100;
/// The row that says whose alerts are open.
const ALERTING: &str = "alerting/open";
/// The row of the stays that are open in the emergency department.
const IN_EMERGENCY: &str = "emergency/open";
/// The row of the schedules in which slots are held.
const HOLDING: &str = "holding/open";
/// The row that says in which form rows are kept, and the form of this release: raise it when a row's name or content changes.
const FORMAT: &str = "projection/form";
const FORM: &[u8] = b"9";
/// Rows that are written in one go.
const SLICE: usize = 64;

/// A bed.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct BedRow {
    /// The last event that the row reflects.
    pub sequence: u64,
    /// The state.
    pub bed: Bed,
}

/// A patient's record: its folded state.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct PatientRow {
    /// The last event that the row reflects.
    pub sequence: u64,
    /// The number; names of rows are hidden.
    pub mrn: Option<Mrn>,
    /// The state.
    pub patient: Patient,
}

/// An encounter: its folded state.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct EncounterRow {
    /// The last event that the row reflects.
    pub sequence: u64,
    /// The state.
    pub encounter: Encounter,
}

/// A cabinet: its folded state.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct CabinetRow {
    /// The last event that the row reflects.
    pub sequence: u64,
    /// The state.
    pub cabinet: Cabinet,
}

/// A result of a specimen.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ResultRow {
    /// Which device measured it.
    pub device: DeviceId,
    /// The result.
    #[serde(flatten)]
    pub line: ResultLine,
    /// When it was filed.
    pub filed: Timestamp,
}

/// A specimen.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct SpecimenRow {
    /// The last event that the row reflects.
    pub sequence: u64,
    /// How far it is.
    pub stage: Stage,
    /// Whose it is.
    pub patient: Option<Mrn>,
    /// How urgent.
    pub priority: Priority,
    /// Its tests and their results, the latest last.
    pub tests: BTreeMap<String, Vec<ResultRow>>,
    /// Results that wait for a person.
    pub held: usize,
    /// When it was ordered.
    pub ordered: Option<Timestamp>,
    /// When it was collected.
    pub collected: Option<Timestamp>,
    /// When it was received.
    pub received: Option<Timestamp>,
}

/// A charge.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ChargeRow {
    /// The event that caused it.
    pub cause: u64,
    /// The code in the price list.
    pub code: String,
    /// How many.
    pub quantity: Decimal,
    /// Quantity times price; none while there is no price.
    pub amount: Option<Money>,
    /// When the service was rendered.
    pub rendered: Timestamp,
}

/// An account.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct AccountRow {
    /// The last event that the row reflects.
    pub sequence: u64,
    /// Charges in the order of their causes.
    pub charges: Vec<ChargeRow>,
    /// Payments.
    pub payments: Vec<Money>,
    /// Deposits, each with what was given back of it.
    #[serde(default)]
    pub deposits: Vec<Deposit>,
    /// Charges less payments; none when nothing was ever charged or paid.
    pub balance: Option<Money>,
}

/// A number that was erased.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct ErasureRow {
    /// The event that decided it.
    pub sequence: u64,
}

/// Where a tag was seen last.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TagRow {
    /// The last event that the row reflects.
    pub sequence: u64,
    /// The reader.
    pub reader: String,
    /// The antenna.
    pub antenna: u16,
    /// When.
    pub at: Timestamp,
}

#[derive(Debug, Default)]
struct Cache {
    /// Rows that changed since the last write began.
    dirty: BTreeMap<String, Vec<u8>>,
    /// Rows that are being written: some of them may not be in the store yet.
    writing: Arc<BTreeMap<String, Vec<u8>>>,
    applied: u64,
    open_items: OpenItems,
    /// Specimens in the order in which something happened to them, the latest last.
    recent: VecDeque<String>,
    /// Patients with open alerts.
    alerting: BTreeSet<Mrn>,
    /// Stays that are open in the emergency department.
    in_emergency: BTreeSet<EncounterId>,
    /// Schedules in which slots are held.
    holding: BTreeSet<ScheduleId>,
    /// Patients by what people know of them.
    people: People,
    /// A row could not be read: what was made of its absence is wrong, and nothing is written until all is read anew.
    is_broken: bool,
}

impl Cache {
    fn newest(&self, key: &str) -> Option<&Vec<u8>> {
        self.dirty.get(key).or_else(|| self.writing.get(key))
    }
}

/// All rows.
pub struct Rows {
    views: Arc<dyn Views>,
    cache: RwLock<Cache>,
    /// One write at a time, and none while rows are read anew.
    writes: Mutex<()>,
    changed: tokio::sync::watch::Sender<u64>,
    /// Somebody waits for the rows to be as the log is.
    waited_for: tokio::sync::Notify,
    /// Whether the people of before the start can be found.
    learnt: tokio::sync::watch::Sender<bool>,
}

impl std::fmt::Debug for Rows {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Rows(up to event {})", self.applied())
    }
}

impl Rows {
    /// The rows of a store, from where they stand; `head` is the log's.
    pub fn open(views: Arc<dyn Views>, head: u64) -> Result<Self, ViewsError> {
        let cache = Self::read(views.as_ref(), head)?;
        let changed = tokio::sync::watch::channel(cache.applied).0;
        Ok(Self { views, cache: RwLock::new(cache), writes: Mutex::new(()), changed, waited_for: tokio::sync::Notify::new(), learnt: tokio::sync::watch::channel(false).0 })
    }

    /// Somebody waits for the rows: what follows the log makes no pause before the next burst.
    pub fn hurry(&self) {
        self.waited_for.notify_one();
    }

    /// Until somebody waits.
    pub(super) async fn hurried(&self) {
        self.waited_for.notified().await;
    }

    /// Has the store opened again, forgets what is in memory and begins where the store stands then; nobody may be applying
    /// events. No write that was under way crosses it: its older part would be lost, and its cursor would say that it is there.
    pub fn reopen(&self, head: u64, open_store: impl FnOnce() -> Result<(), ViewsError>) -> Result<(), ViewsError> {
        let _one = self.writes.lock().unwrap_or_else(PoisonError::into_inner);
        // Until the rows are read, nothing that is in memory may be written to the new store.
        self.cache.write().unwrap_or_else(PoisonError::into_inner).is_broken = true;
        open_store()?;
        let cache = Self::read(self.views.as_ref(), head)?;
        self.learnt.send_replace(false);
        *self.cache.write().unwrap_or_else(PoisonError::into_inner) = cache;
        Ok(())
    }

    fn read(views: &dyn Views, head: u64) -> Result<Cache, ViewsError> {
        let mut applied = views::cursor(views, CONSUMER)?;
        let is_of_another_form = views.get(FORMAT)?.as_deref() != Some(FORM);
        if applied > head || is_of_another_form {
            // Of another form: what an earlier wardd noted elsewhere, such as open items, would not be seen. Ahead: the views
            // belong to another log, or to a later state of this one: begin anew, with every consumer's rows. A charge that
            // waits for a price, say, names its cause by a sequence that is another event here.
            let stale: Vec<Change> = views.scan("", "", usize::MAX)?.into_iter().map(|(key, _)| Change::Remove(key)).collect();
            views.apply(&stale)?;
            views.apply(&[Change::Put(FORMAT.to_owned(), FORM.to_vec())])?;
            applied = 0;
        }
        let mut cache = Cache { applied, ..Cache::default() };
        cache.open_items = OpenItems::open_store(views)?;
        let recent = views.get(RECENT)?.and_then(|row| serde_json::from_slice(&row).ok());
        cache.recent = recent.filter(|_| applied > 0).unwrap_or_default();
        let alerting = views.get(ALERTING)?.and_then(|row| serde_json::from_slice(&row).ok());
        cache.alerting = alerting.filter(|_| applied > 0).unwrap_or_default();
        let in_emergency = views.get(IN_EMERGENCY)?.and_then(|row| serde_json::from_slice(&row).ok());
        cache.in_emergency = in_emergency.filter(|_| applied > 0).unwrap_or_default();
        let holding = views.get(HOLDING)?.and_then(|row| serde_json::from_slice(&row).ok());
        cache.holding = holding.filter(|_| applied > 0).unwrap_or_default();
        Ok(cache)
    }

    /// The last event that all rows reflect.
    pub fn applied(&self) -> u64 {
        self.cache.read().unwrap_or_else(PoisonError::into_inner).applied
    }

    /// Tells of each change by the sequence that rows reflect.
    pub fn changes(&self) -> tokio::sync::watch::Receiver<u64> {
        self.changed.subscribe()
    }

    /// A row.
    pub fn get<R: DeserializeOwned>(&self, kind: &str, key: &str) -> Option<R> {
        let key = format!("row/{kind}/{key}");
        let cached = self.cache.read().unwrap_or_else(PoisonError::into_inner).newest(&key).cloned();
        let bytes = cached.or_else(|| self.views.get(&key).ok().flatten())?;
        serde_json::from_slice(&bytes).ok()
    }

    /// Rows of a kind from a key on, in the order of their keys, at most `limit`.
    pub fn list<R: DeserializeOwned>(&self, kind: &str, from: &str, limit: usize) -> Vec<(String, R)> {
        let prefix = format!("row/{kind}/");
        let start = format!("{prefix}{from}");
        let mut found: BTreeMap<String, Vec<u8>> = self.views.scan(&prefix, &start, limit).unwrap_or_default().into_iter().collect();
        {
            let cache = self.cache.read().unwrap_or_else(PoisonError::into_inner);
            for rows in [cache.writing.as_ref(), &cache.dirty] {
                let newer = rows.range(start.clone()..).take_while(|(key, _)| key.starts_with(&prefix)).take(limit);
                found.extend(newer.map(|(key, bytes)| (key.clone(), bytes.clone())));
            }
        }
        found.into_iter().take(limit).filter_map(|(key, bytes)| Some((key.strip_prefix(&prefix)?.to_owned(), serde_json::from_slice(&bytes).ok()?))).collect()
    }

    /// How many items of the quarantine are open.
    pub fn open_items(&self) -> usize {
        self.cache.read().unwrap_or_else(PoisonError::into_inner).open_items.count()
    }

    /// The events that hold what still waits, from one on, the oldest first, at most `limit`.
    pub fn open_items_from(&self, held_at: u64, limit: usize) -> Vec<u64> {
        self.cache.read().unwrap_or_else(PoisonError::into_inner).open_items.from(held_at, limit)
    }

    /// Replaces a row by what an event makes of it; a row that reflects the event already stays.
    pub(super) fn update<R: Serialize + DeserializeOwned>(&self, kind: &str, key: &str, change: impl FnOnce(Option<R>) -> Option<R>) {
        let name = format!("row/{kind}/{key}");
        let cached = self.cache.read().unwrap_or_else(PoisonError::into_inner).newest(&name).cloned();
        let bytes = match cached.map_or_else(|| self.views.get(&name), |bytes| Ok(Some(bytes))) {
            Ok(bytes) => bytes,
            Err(_) => {
                self.cache.write().unwrap_or_else(PoisonError::into_inner).is_broken = true;
                return;
            }
        };
        let Some(row) = change(bytes.and_then(|bytes| serde_json::from_slice(&bytes).ok())) else { return };
        if let Ok(bytes) = serde_json::to_vec(&row) {
            self.cache.write().unwrap_or_else(PoisonError::into_inner).dirty.insert(name, bytes);
        }
    }

    /// Makes the search for patients from their rows; a million take some fifteen seconds, so this is done beside the start.
    pub fn learn_people(&self) -> Result<(), ViewsError> {
        for (_, bytes) in self.views.scan("row/patient/", "", usize::MAX)? {
            if let Ok(PatientRow { mrn: Some(mrn), patient: Patient { person: Some(person), .. }, .. }) = serde_json::from_slice(&bytes) {
                self.cache.write().unwrap_or_else(PoisonError::into_inner).people.learn(&mrn, &person);
            }
        }
        Ok(())
    }

    /// Those of before the start are learnt, and the rows have come to where the log was then: from now on who is not found is not there.
    pub fn everybody_is_known(&self) {
        self.learnt.send_replace(true);
    }

    /// Whether all patients can be found; not so for a moment after a start.
    pub fn knows_people(&self) -> tokio::sync::watch::Receiver<bool> {
        self.learnt.subscribe()
    }

    /// What is known of a person has changed.
    pub(super) fn person_changed(&self, mrn: &Mrn, before: Option<&Person>, now: &Person) {
        self.cache.write().unwrap_or_else(PoisonError::into_inner).people.put(mrn, before, now);
    }

    /// The numbers of the patients that fit a search, at most `limit`.
    pub fn find_patients(&self, search: &Search, limit: usize) -> Vec<Mrn> {
        self.cache.read().unwrap_or_else(PoisonError::into_inner).people.find(search, limit)
    }

    /// The numbers of those who may be the same person as this one.
    pub fn alike(&self, person: &Person) -> Vec<Mrn> {
        self.cache.read().unwrap_or_else(PoisonError::into_inner).people.alike(person)
    }

    /// Notes that something happened to a specimen.
    pub(super) fn specimen_changed(&self, accession: &str) {
        let mut cache = self.cache.write().unwrap_or_else(PoisonError::into_inner);
        if cache.recent.back().is_some_and(|last| last == accession) {
            return;
        }
        cache.recent.retain(|known| known != accession);
        if cache.recent.len() >= RECENT_SPECIMENS {
            cache.recent.pop_front();
        }
        cache.recent.push_back(accession.to_owned());
    }

    /// The specimens that something happened to last, the latest first, at most `limit` of the last 100.
    pub fn recent_specimens(&self, limit: usize) -> Vec<(String, SpecimenRow)> {
        let keys: Vec<String> = self.cache.read().unwrap_or_else(PoisonError::into_inner).recent.iter().rev().take(limit).cloned().collect();
        keys.into_iter().filter_map(|key| Some((key.clone(), self.get("specimen", &key)?))).collect()
    }

    /// Notes whether somebody has open alerts.
    pub(super) fn alerting(&self, mrn: &Mrn, is_open: bool) {
        let mut cache = self.cache.write().unwrap_or_else(PoisonError::into_inner);
        match is_open {
            true => drop(cache.alerting.insert(mrn.clone())),
            false => drop(cache.alerting.remove(mrn)),
        }
    }

    /// Who has open alerts.
    pub(super) fn who_alerts(&self) -> BTreeSet<Mrn> {
        self.cache.read().unwrap_or_else(PoisonError::into_inner).alerting.clone()
    }

    /// Notes whether a stay is open in the emergency department.
    pub(super) fn in_emergency(&self, encounter: &EncounterId, is_there: bool) {
        let mut cache = self.cache.write().unwrap_or_else(PoisonError::into_inner);
        match is_there {
            true => drop(cache.in_emergency.insert(encounter.clone())),
            false => drop(cache.in_emergency.remove(encounter)),
        }
    }

    /// The stays that are open in the emergency department.
    pub fn emergency_stays(&self) -> BTreeSet<EncounterId> {
        self.cache.read().unwrap_or_else(PoisonError::into_inner).in_emergency.clone()
    }

    /// Notes whether slots of a schedule are held.
    pub(super) fn holding(&self, schedule: &ScheduleId, is_holding: bool) {
        let mut cache = self.cache.write().unwrap_or_else(PoisonError::into_inner);
        match is_holding {
            true => drop(cache.holding.insert(schedule.clone())),
            false => drop(cache.holding.remove(schedule)),
        }
    }

    /// The schedules in which slots are held.
    pub fn with_held_slots(&self) -> BTreeSet<ScheduleId> {
        self.cache.read().unwrap_or_else(PoisonError::into_inner).holding.clone()
    }

    /// An event holds something.
    pub(super) fn item_held(&self, held_at: u64) {
        self.cache.write().unwrap_or_else(PoisonError::into_inner).open_items.open(held_at);
    }

    /// Somebody has dealt with what was held at an event.
    pub(super) fn item_closed(&self, held_at: u64) {
        self.cache.write().unwrap_or_else(PoisonError::into_inner).open_items.close(held_at);
    }

    pub(super) fn advance(&self, sequence: u64) {
        self.cache.write().unwrap_or_else(PoisonError::into_inner).applied = sequence;
    }

    /// Tells whoever follows that rows have changed.
    pub(super) fn announce(&self) {
        self.changed.send_replace(self.applied());
    }

    /// Writes what has changed to the store, the cursor last.
    pub fn write(&self) -> Result<(), ViewsError> {
        let _one = self.writes.lock().unwrap_or_else(PoisonError::into_inner);
        let (rows, last) = {
            let mut cache = self.cache.write().unwrap_or_else(PoisonError::into_inner);
            if cache.is_broken {
                return Err(ViewsError::new("rows could not be read".to_owned()));
            }
            let mut last = cache.open_items.take_changes();
            if cache.dirty.is_empty() && last.is_empty() {
                return Ok(());
            }
            cache.writing = Arc::new(std::mem::take(&mut cache.dirty));
            last.extend(serde_json::to_vec(&cache.recent).ok().map(|row| Change::Put(RECENT.to_owned(), row)));
            last.extend(serde_json::to_vec(&cache.alerting).ok().map(|row| Change::Put(ALERTING.to_owned(), row)));
            last.extend(serde_json::to_vec(&cache.in_emergency).ok().map(|row| Change::Put(IN_EMERGENCY.to_owned(), row)));
            last.extend(serde_json::to_vec(&cache.holding).ok().map(|row| Change::Put(HOLDING.to_owned(), row)));
            last.push(views::advance(CONSUMER, cache.applied));
            (cache.writing.clone(), last)
        };
        let result = self.write_rows(&rows, &last);
        let mut cache = self.cache.write().unwrap_or_else(PoisonError::into_inner);
        cache.writing = Arc::default();
        if result.is_err() {
            // What is newer stays; the rest is tried again.
            for (key, bytes) in rows.iter() {
                cache.dirty.entry(key.clone()).or_insert_with(|| bytes.clone());
            }
            cache.open_items.not_written(&last);
        }
        result
    }

    fn write_rows(&self, rows: &BTreeMap<String, Vec<u8>>, last: &[Change]) -> Result<(), ViewsError> {
        let mut changes = Vec::with_capacity(SLICE);
        for (key, bytes) in rows {
            changes.push(Change::Put(key.clone(), bytes.clone()));
            if changes.len() == SLICE {
                let started = Instant::now();
                self.views.apply(&changes)?;
                changes.clear();
                // Readers and the journal come first: the store is written half of the time at most.
                std::thread::sleep(started.elapsed());
            }
        }
        changes.extend_from_slice(last);
        self.views.apply(&changes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::journal::views::MemoryViews;

    #[test]
    fn views_of_a_later_log_are_thrown_away_whole() {
        let views: Arc<dyn Views> = Arc::new(MemoryViews::default());
        let put = |key: &str| Change::Put(key.to_owned(), b"{}".to_vec());
        let unformed = Rows::open(Arc::new(MemoryViews::default()), 0).unwrap();
        assert_eq!(unformed.applied(), 0);
        views.apply(&[put("row/quarantine/qtn_1"), views::advance(CONSUMER, 7)]).unwrap();
        let opened = Rows::open(views.clone(), 100).unwrap();
        assert_eq!((opened.applied(), views.scan("", "", 99).unwrap().len()), (0, 1), "an earlier wardd's rows: rebuilt, so that no open item is lost");
        let rows = ["row/bed/MED1:101:A", "unpriced/00000000000000000017", "snapshot/cabinet/CAB1"].map(put);
        views.apply(&[rows.as_slice(), &[views::advance("billing", 90), views::advance(CONSUMER, 100)]].concat()).unwrap();
        let kept = Rows::open(views.clone(), 100).unwrap();
        assert_eq!((kept.applied(), views.scan("", "", 99).unwrap().len()), (100, 6), "of this log: kept");
        let opened = Rows::open(views.clone(), 99).unwrap();
        assert_eq!((opened.applied(), views.scan("", "", 99).unwrap()), (0, vec![(FORMAT.to_owned(), FORM.to_vec())]));
        assert_eq!(views::cursor(views.as_ref(), "billing").unwrap(), 0);
    }

    #[test]
    fn a_row_that_cannot_be_read_is_not_made_anew_and_nothing_is_written_before_all_is_read_again() {
        /// A store whose reads fail when it is told to.
        #[derive(Default)]
        struct Failing(MemoryViews, std::sync::atomic::AtomicBool);
        impl Views for Failing {
            fn apply(&self, changes: &[Change]) -> Result<(), ViewsError> {
                self.0.apply(changes)
            }
            fn get(&self, key: &str) -> Result<Option<Vec<u8>>, ViewsError> {
                if self.1.load(std::sync::atomic::Ordering::SeqCst) { Err(ViewsError::new("broken".to_owned())) } else { self.0.get(key) }
            }
            fn scan(&self, prefix: &str, from: &str, limit: usize) -> Result<Vec<(String, Vec<u8>)>, ViewsError> {
                self.0.scan(prefix, from, limit)
            }
            fn flush(&self) -> Result<(), ViewsError> {
                Ok(())
            }
        }
        let views = Arc::new(Failing::default());
        let rows = Rows::open(views.clone(), 0).unwrap();
        let charge = |payments: usize| move |row: Option<AccountRow>| Some(AccountRow { sequence: row.unwrap_or_default().sequence + payments as u64, ..AccountRow::default() });
        rows.update("account", "acc_1", charge(1));
        rows.write().unwrap();
        let break_it = |is_broken| views.1.store(is_broken, std::sync::atomic::Ordering::SeqCst);
        break_it(true);
        rows.update("account", "acc_1", charge(1));
        break_it(false);
        assert!(rows.write().is_err(), "what was made of a missing row must not be kept");
        assert!(rows.reopen(0, || Err(ViewsError::new("not yet".to_owned()))).is_err() && rows.write().is_err());
        rows.reopen(0, || Ok(())).unwrap();
        assert_eq!(rows.get::<AccountRow>("account", "acc_1").unwrap().sequence, 1);
        rows.update("account", "acc_1", charge(1));
        rows.write().unwrap();
    }
}
