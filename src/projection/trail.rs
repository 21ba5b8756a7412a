//! Where to look for what somebody did and who saw whom: sequences of events by user and by patient, in pages; and what belongs to a
//! patient besides their own stream.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use super::rows::{BedRow, CabinetRow, EncounterRow, Rows, SpecimenRow};
use crate::domain::user::{self, Emergency};
use crate::domain::{bed, cabinet, disclosure, encounter, schedule, specimen, staff, subscriber};
use crate::journal::{StoredBatch, StoredEvent};
use crate::kernel::{Mrn, Principal, StreamId, StreamKind};

/// Events of a page.
const PAGE: usize = 256;

/// The newest page of a trail, and how many full ones lie before it.
#[derive(Debug, Default, Serialize, Deserialize)]
struct Head {
    full: u64,
    events: Vec<u64>,
}

/// The streams that belong to a patient besides their own.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct LinksRow {
    /// Stays.
    pub encounters: BTreeSet<String>,
    /// Specimens.
    pub specimens: BTreeSet<String>,
}

/// A record that was opened in an emergency.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct EmergencyRow {
    /// Who opened it.
    pub user: String,
    /// What.
    pub emergency: Emergency,
    /// Whether somebody has looked at it.
    pub is_reviewed: bool,
}

fn of_user(name: &str) -> String {
    format!("user/{name}")
}

fn of_patient(mrn: &Mrn) -> String {
    format!("patient/{mrn}")
}

fn head_of(trail: &str) -> String {
    format!("head/{trail}")
}

/// Comes before every head in the order of names.
fn page_of(trail: &str, number: u64) -> String {
    format!("full/{trail}/{number}")
}

/// The patients whom an event concerns that stands in nobody's own stream. Where the event names only a number of the stream's own (a
/// withdrawal, an appointment) or a bed, the rows say whose it is; they are as the events up to this one have made them.
fn seen_by(rows: &Rows, event: &StoredEvent) -> Vec<Mrn> {
    let payload = event.event.payload.get();
    match event.event.stream.kind() {
        StreamKind::Access => match serde_json::from_str(payload) {
            Ok(disclosure::Event::RecordShown { patients, .. }) => patients,
            Ok(disclosure::Event::LookRefused { patient, .. }) => vec![patient],
            Ok(disclosure::Event::StrangerRefused { .. }) | Err(_) => Vec::new(),
        },
        StreamKind::User => match serde_json::from_str(payload) {
            Ok(user::Event::GlassBroken { emergency, .. }) => vec![emergency.patient],
            _ => Vec::new(),
        },
        StreamKind::Cabinet => match serde_json::from_str(payload) {
            Ok(
                cabinet::Event::Vended { patient, .. }
                | cabinet::Event::VendCancelled { patient, .. }
                | cabinet::Event::Returned { patient, .. }
                | cabinet::Event::TransactionReported { patient: Some(patient), .. },
            ) => vec![patient],
            Ok(cabinet::Event::Given { withdrawal, .. } | cabinet::Event::Wasted { withdrawal, .. }) => {
                rows.withdrawn_for(event.event.stream.key(), withdrawal).into_iter().collect()
            }
            _ => Vec::new(),
        },
        StreamKind::Bed => match serde_json::from_str(payload) {
            Ok(bed::Event::IsolationBegan { .. } | bed::Event::IsolationEnded { .. }) => {
                let row: BedRow = rows.get("bed", event.event.stream.key()).unwrap_or_default();
                row.bed.occupant().map(|(patient, _)| patient.clone()).into_iter().collect()
            }
            _ => Vec::new(),
        },
        StreamKind::Schedule => match serde_json::from_str(payload) {
            Ok(schedule::Event::AppointmentBooked { patient, .. } | schedule::Event::WalkInTaken { patient, .. } | schedule::Event::ReasonNoted { patient, .. }) => vec![patient],
            Ok(
                schedule::Event::AppointmentMoved { number, .. }
                | schedule::Event::PatientReminded { number, .. }
                | schedule::Event::AppointmentCancelled { number, .. }
                | schedule::Event::PatientMissed { number, .. }
                | schedule::Event::PatientArrived { number, .. }
                | schedule::Event::TokenCalled { number, .. }
                | schedule::Event::AppointmentFulfilled { number, .. },
            ) => {
                let schedule = event.event.stream.key().parse().map(|id| rows.schedule(&id)).unwrap_or_default();
                schedule.appointments.get(&number).map(|known| known.patient.clone()).into_iter().collect()
            }
            _ => Vec::new(),
        },
        StreamKind::Subscriber => match serde_json::from_str(payload) {
            Ok(subscriber::Event::MessageTaken { patients, .. } | subscriber::Event::MessageRefused { patients, .. }) => patients,
            _ => Vec::new(),
        },
        _ => Vec::new(),
    }
}

/// The user whom a change of users is about.
fn changed_user(event: &StoredEvent) -> Option<String> {
    let of_staff = event.event.stream.kind() == StreamKind::Hospital && event.event.stream.key() == staff::STREAM;
    let payload: serde_json::Value = of_staff.then(|| serde_json::from_str(event.event.payload.get()).ok())??;
    payload.get("user")?.as_str().map(str::to_owned)
}

impl Rows {
    /// Notes who did it, and whose records were seen.
    pub(super) fn leave_trail(&self, batch: &StoredBatch) {
        if let Principal::Person(name) | Principal::Program(name) = &batch.meta.principal {
            self.append(&of_user(name), batch.first());
        }
        for event in &batch.events {
            seen_by(self, event).iter().for_each(|mrn| self.append(&of_patient(mrn), event.sequence));
            changed_user(event).iter().for_each(|user| self.append(&of_user(user), event.sequence));
        }
    }

    /// A full page is kept before the head lets go of it, and its name comes first in the order of writing: a crash between the two
    /// leaves a page too many, and never one too few.
    fn append(&self, trail: &str, sequence: u64) {
        // By the way of an update: a head that cannot be read is not taken for one that is not there.
        let mut found = None;
        self.update("trail", &head_of(trail), |head: Option<Head>| {
            found = Some(head.unwrap_or_default());
            None
        });
        let Some(head) = found else { return };
        if head.events.last().is_some_and(|last| *last >= sequence) {
            return;
        }
        let is_full = head.events.len() >= PAGE;
        if is_full {
            self.update("trail", &page_of(trail, head.full), |_: Option<Vec<u64>>| Some(head.events.clone()));
        }
        self.update("trail", &head_of(trail), |_: Option<Head>| {
            let Head { full, mut events } = if is_full { Head { full: head.full + 1, events: Vec::new() } } else { head };
            events.push(sequence);
            Some(Head { full, events })
        });
    }

    /// All pages, the newest first, one read at a time.
    fn trail<'a>(&'a self, trail: String) -> impl Iterator<Item = u64> + 'a {
        let head: Head = self.get("trail", &head_of(&trail)).unwrap_or_default();
        let older = (0..head.full).rev().flat_map(move |number| self.get::<Vec<u64>>("trail", &page_of(&trail, number)).unwrap_or_default().into_iter().rev());
        head.events.into_iter().rev().chain(older)
    }

    /// Events of what a user or program did, and of what was done to them, the newest first.
    pub fn trail_of_user(&self, name: &str) -> impl Iterator<Item = u64> {
        self.trail(of_user(name))
    }

    /// The events that say who saw a patient's records under a number, the newest first.
    pub fn trail_of_patient(&self, mrn: &Mrn) -> impl Iterator<Item = u64> {
        self.trail(of_patient(mrn))
    }

    /// For whom something was taken from a cabinet; a withdrawal that is wholly accounted for is known until the next one.
    fn withdrawn_for(&self, cabinet: &str, withdrawal: u32) -> Option<Mrn> {
        self.get::<CabinetRow>("cabinet", cabinet)?.cabinet.withdrawals().get(&withdrawal).map(|taken| taken.patient.clone())
    }

    /// The patients of whom an event tells.
    pub fn patients_of(&self, event: &StoredEvent) -> Vec<Mrn> {
        let key = event.event.stream.key();
        let own = match event.event.stream.kind() {
            StreamKind::Patient | StreamKind::Chart | StreamKind::Vitals => key.parse().ok(),
            StreamKind::Account => key.parse::<crate::kernel::AccountId>().ok().and_then(|account| account.mrn().parse().ok()),
            StreamKind::Encounter | StreamKind::Task => self.get::<EncounterRow>("encounter", key).and_then(|row| row.encounter.patient().cloned()),
            StreamKind::Specimen => self.get::<SpecimenRow>("specimen", key).and_then(|row| row.patient),
            _ => None,
        };
        own.into_iter().chain(seen_by(self, event)).collect()
    }

    /// The streams in which something is written of a number.
    pub fn streams_of(&self, mrn: &Mrn) -> Vec<StreamId> {
        let links: LinksRow = self.get("links", mrn.as_str()).unwrap_or_default();
        let own = [StreamKind::Patient, StreamKind::Chart, StreamKind::Vitals].map(|kind| StreamId::new(kind, mrn.as_str()));
        let account = [StreamId::new(StreamKind::Account, crate::kernel::AccountId::of(mrn).as_str())];
        let stays = links.encounters.into_iter().flat_map(|key| [StreamKind::Encounter, StreamKind::Task].map(|kind| StreamId::new(kind, key.as_str())));
        let specimens = links.specimens.into_iter().map(|key| StreamId::new(StreamKind::Specimen, key));
        own.into_iter().chain(account).chain(stays).chain(specimens).collect()
    }

    /// The specimens of a number.
    pub fn specimens_of(&self, mrn: &Mrn) -> BTreeSet<String> {
        self.get::<LinksRow>("links", mrn.as_str()).unwrap_or_default().specimens
    }

    /// A stay is a patient's.
    pub(super) fn link_encounter(&self, key: &str, event: &encounter::Event) {
        let whose = match event {
            encounter::Event::Planned { patient, .. } | encounter::Event::Admitted { patient, .. } => patient,
            encounter::Event::Reassigned { stay, .. } => &stay.patient,
            _ => return,
        };
        self.link(whose, |links| links.encounters.insert(key.to_owned()));
    }

    /// A specimen is a patient's.
    pub(super) fn link_specimen(&self, key: &str, event: &specimen::Event) {
        if let specimen::Event::TestsOrdered { patient, .. } = event {
            self.link(patient, |links| links.specimens.insert(key.to_owned()));
        }
    }

    fn link(&self, mrn: &Mrn, insert: impl FnOnce(&mut LinksRow) -> bool) {
        self.update("links", mrn.as_str(), |links: Option<LinksRow>| {
            let mut links = links.unwrap_or_default();
            insert(&mut links).then_some(links)
        });
    }

    /// A record was opened in an emergency, or somebody has looked at that.
    pub(super) fn emergency(&self, user: &str, event: user::Event) {
        match event {
            user::Event::GlassBroken { id, emergency } => {
                self.update("emergency", &id, |row: Option<EmergencyRow>| row.is_none().then(|| EmergencyRow { user: user.to_owned(), emergency, is_reviewed: false }))
            }
            user::Event::GlassReviewed { id, .. } => {
                self.update("emergency", &id, |row: Option<EmergencyRow>| row.map(|row| EmergencyRow { is_reviewed: true, ..row }));
            }
            _ => {}
        }
    }

    /// What was opened in emergencies and nobody has looked at.
    pub fn emergencies(&self) -> Vec<(String, EmergencyRow)> {
        self.list::<EmergencyRow>("emergency", "", usize::MAX).into_iter().filter(|(_, row)| !row.is_reviewed).collect()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::journal::views::MemoryViews;

    #[test]
    fn a_trail_goes_on_over_pages_and_an_event_that_comes_again_stands_once() {
        let rows = Rows::open(Arc::new(MemoryViews::default()), 0).unwrap();
        for sequence in 1..=1_000 {
            rows.append("user/ada", sequence);
            rows.append("user/ada", sequence);
        }
        let all: Vec<u64> = (1..=1_000).rev().collect();
        assert_eq!(rows.trail_of_user("ada").collect::<Vec<_>>(), all);
        rows.write().unwrap();
        rows.append("user/ada", 1_000);
        assert_eq!(rows.trail_of_user("ada").take(3).collect::<Vec<_>>(), [1_000, 999, 998]);
        assert_eq!(rows.trail_of_user("ben").next(), None);
        assert!(page_of("user/zoe", 9) < head_of("user/ada"), "pages are written before heads");
        // Another name is another trail, whatever it looks like.
        rows.append("user/ada.0", 7);
        assert_eq!((rows.trail_of_user("ada.0").collect::<Vec<_>>(), rows.trail_of_user("ada").count()), (vec![7], 1_000));
    }
}
