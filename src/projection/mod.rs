//! Read models folded from the journal: patients, encounters, beds, cabinets, specimens, accounts, tags, what waits in quarantine.
//!
//! Flow: durable batches → [`Projector`] → [`Rows`] (in memory first, written to the views once a second) → pages and API.
//! **Invariant**: a row says which event it reflects last, so that an event that comes again changes nothing.
//! **Invariant**: everything here can be thrown away and is rebuilt from the log.

mod bedside;
mod directory;
mod entries;
mod history;
mod occupancy;
mod open_items;
mod people;
mod person;
mod projector;
mod rows;
mod schedules;
mod subscriptions;
mod trail;

pub use bedside::{Measurement, OpenAlert};
pub use entries::Entry;
pub use history::{Author, HeldItem, History, Told};
pub use occupancy::{Ended, Occupancy, WardCensus, report};
pub use people::{Search, fold};
pub use person::{Whereabouts, person};
pub use projector::Projector;
pub use rows::{AccountRow, BedRow, CabinetRow, ChargeRow, EncounterRow, ErasureRow, PatientRow, ResultRow, Rows, SpecimenRow, TagRow};
pub use trail::{EmergencyRow, LinksRow};
