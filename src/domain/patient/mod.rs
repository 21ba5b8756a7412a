//! A patient: who they are, which other numbers are the same person, whether they are in hospital, what they must not be given.
//!
//! **Invariant**: records are never re-pointed: a merge makes two numbers one person, and what was written under either stays there.
//! **Invariant**: a person is in hospital once. Both are decided in [`super::census`], which sees all records of a person.

mod allergy;
pub mod likeness;
mod person;
mod photo;

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

pub use allergy::{Allergies, Allergy, Category, Criticality, Known};
pub use person::{Address, Consent, Contact, Coverage, Identifier, Name, Person, Sex};
pub use photo::{PHOTO_BYTES, Photo, PhotoForm};

use super::{Folded, of_patient};
use crate::kernel::{DeviceId, EncounterId, Mrn, Sealing, StreamKind, Timestamp};

/// What is known under one medical record number.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Patient {
    /// As registered; none for a number that only appeared in messages.
    pub person: Option<Person>,
    /// As of when the registration is: older facts do not replace newer ones.
    pub as_of: Option<Timestamp>,
    /// The number that this record was merged into.
    pub merged_into: Option<Mrn>,
    /// Numbers that were merged into this one.
    pub merged: BTreeSet<Mrn>,
    /// The stay that is open.
    pub stay: Option<EncounterId>,
    /// The stay that was opened last, closed or not.
    pub last_stay: Option<EncounterId>,
    /// Stays that are to come.
    pub plans: BTreeSet<EncounterId>,
    /// Allergies of this record that were refuted under another number of the same person: they come back when it is another person.
    pub set_aside: Vec<SetAside>,
    /// What else was taken from this record under another number: it comes back when that is another person.
    #[serde(default, skip_serializing_if = "Aside::is_empty")]
    pub aside: Aside,
    /// What must not be given.
    pub allergies: Allergies,
    /// Why only some may look at this record; none for most.
    pub restricted: Option<String>,
    /// When the patient died.
    pub died: Option<Timestamp>,
    /// The number of the wristband that counts: the last one printed.
    pub wristband: u32,
    /// The number of the last one that has come out of a printer.
    pub wristband_delivered: u32,
    /// When the photo was taken; the photo itself stands in the log.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub photo: Option<Timestamp>,
    /// How many were taken.
    #[serde(default, skip_serializing_if = "is_none")]
    pub photos: u32,
    /// When everything under this number was erased; the number is nobody's any more.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub erased: Option<Timestamp>,
}

fn is_none(count: &u32) -> bool {
    *count == 0
}

/// What was taken from a record under another number of the same person, and under which.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Aside {
    /// Why only some could look at it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub restricted: Option<(Mrn, String)>,
    /// When the patient died.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub died: Option<(Mrn, Timestamp)>,
    /// When the photo was taken.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub photo: Option<(Mrn, Timestamp)>,
}

impl Aside {
    fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

/// What is kept of something that is taken away, when that was said under another number.
fn aside<T>(known: Option<T>, under: &Option<Mrn>) -> Option<(Mrn, T)> {
    under.clone().zip(known)
}

/// An allergy that was refuted under another number.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SetAside {
    /// Under which number.
    pub under: Mrn,
    /// Which.
    pub allergy: Allergy,
}

/// What may have happened to a patient's record.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "event")]
pub enum Event {
    /// Everything under this number was erased.
    Erased {
        /// When somebody decided it; without it this is an event whose key was destroyed.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        at: Option<Timestamp>,
        /// Why.
        #[serde(default, skip_serializing_if = "String::is_empty")]
        reason: String,
    },
    /// Registered, or the registration changed.
    PersonRecorded {
        /// All that is known now.
        person: Box<Person>,
        /// As of when.
        as_of: Timestamp,
    },
    /// The registration is as it was, by newer news.
    PersonConfirmed {
        /// As of when.
        as_of: Timestamp,
    },
    /// A stay is to come.
    StayPlanned {
        /// Which.
        encounter: EncounterId,
    },
    /// It has come, or does not.
    PlanEnded {
        /// Which.
        encounter: EncounterId,
    },
    /// From now on the same person as another number, which is the one to use.
    MergedInto {
        /// The number to use.
        survivor: Mrn,
        /// When.
        at: Timestamp,
    },
    /// Another number is the same person as this one.
    Absorbed {
        /// Which.
        merged: Mrn,
        /// When.
        at: Timestamp,
    },
    /// The merge was an error: a person of its own again.
    Unmerged {
        /// The number that it was merged into.
        survivor: Mrn,
        /// When.
        at: Timestamp,
    },
    /// The merge was an error: that number is somebody else again.
    Released {
        /// Which.
        merged: Mrn,
        /// When.
        at: Timestamp,
    },
    /// In hospital.
    StayOpened {
        /// Under which encounter.
        encounter: EncounterId,
        /// Since when.
        at: Timestamp,
    },
    /// A stay that was written here is somebody else's.
    StayGivenUp {
        /// Which.
        encounter: EncounterId,
        /// Whose.
        to: Mrn,
        /// When.
        at: Timestamp,
    },
    /// A stay that was written under another number is this patient's.
    StayTaken {
        /// Which.
        encounter: EncounterId,
        /// Under whom it was written.
        from: Mrn,
        /// Whether the patient is in hospital with it.
        is_open: bool,
        /// When.
        at: Timestamp,
    },
    /// Not in hospital any more.
    StayClosed {
        /// The encounter.
        encounter: EncounterId,
        /// When.
        at: Timestamp,
    },
    /// An allergy is known, or known better.
    AllergyRecorded {
        /// Which.
        #[serde(flatten)]
        allergy: Allergy,
        /// When.
        at: Timestamp,
    },
    /// It was none.
    AllergyRefuted {
        /// Against what.
        substance: String,
        /// Why.
        reason: String,
        /// Under which number of the same person, when it was another one.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        under: Option<Mrn>,
        /// When.
        at: Timestamp,
    },
    /// Somebody asked, and there is none.
    NoAllergiesKnown {
        /// When.
        at: Timestamp,
    },
    /// Only some may look at the record.
    Restricted {
        /// Why: staff, known person …
        reason: String,
        /// When.
        at: Timestamp,
    },
    /// Whoever may see patients may look at the record.
    RestrictionLifted {
        /// Under which other number of the same person it was said.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        under: Option<Mrn>,
        /// When.
        at: Timestamp,
    },
    /// Died.
    Died {
        /// When.
        at: Timestamp,
    },
    /// The record of the death was an error.
    DeathWithdrawn {
        /// Under which other number of the same person it was said.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        under: Option<Mrn>,
        /// When.
        at: Timestamp,
    },
    /// A photo was taken.
    PhotoTaken {
        /// It.
        photo: Photo,
        /// When.
        at: Timestamp,
    },
    /// There is no photo any more.
    PhotoRemoved {
        /// Under which other number of the same person it was said.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        under: Option<Mrn>,
        /// When.
        at: Timestamp,
    },
    /// It was removed under another number, which is somebody else: it is theirs again.
    PhotoRestored {
        /// When it was taken.
        taken: Timestamp,
        /// When it came back.
        at: Timestamp,
    },
    /// A wristband is to be printed; those before it do not count any more.
    WristbandPrinted {
        /// Its number.
        number: u32,
        /// On which printer; those of before there were any have none.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        printer: Option<DeviceId>,
        /// When.
        at: Timestamp,
    },
    /// No band counts any more, and none was printed: two persons were taken for one, and each needs a new band.
    WristbandsVoided {
        /// The number up to which none counts.
        number: u32,
        /// When.
        at: Timestamp,
    },
    /// The printer says that it has come out.
    WristbandDelivered {
        /// Its number.
        number: u32,
        /// Which printer.
        printer: DeviceId,
        /// When.
        at: Timestamp,
    },
}

fn insert<T: Ord + Clone>(set: &mut BTreeSet<T>, one: &T) {
    set.insert(one.clone());
}

fn remove<T: Ord>(set: &mut BTreeSet<T>, one: &T) {
    set.remove(one);
}

impl Folded for Patient {
    const KIND: StreamKind = StreamKind::Patient;
    const SNAPSHOT: u16 = 2;
    type Event = Event;

    fn apply(&mut self, event: &Event) {
        match event {
            Event::Erased { at, .. } => *self = Patient { erased: *at, ..Patient::default() },
            Event::PersonRecorded { person, as_of } => {
                self.person = Some((**person).clone());
                self.as_of = Some(*as_of);
            }
            Event::PersonConfirmed { as_of } => self.as_of = Some(*as_of),
            Event::StayPlanned { encounter } => insert(&mut self.plans, encounter),
            Event::PlanEnded { encounter } => remove(&mut self.plans, encounter),
            Event::MergedInto { survivor, .. } => self.merged_into = Some(survivor.clone()),
            Event::Absorbed { merged, .. } => insert(&mut self.merged, merged),
            Event::Unmerged { .. } => self.merged_into = None,
            Event::Released { merged, .. } => remove(&mut self.merged, merged),
            Event::StayOpened { encounter, .. } => {
                self.stay = Some(encounter.clone());
                self.last_stay = Some(encounter.clone());
            }
            Event::StayClosed { .. } => self.stay = None,
            Event::StayGivenUp { encounter, .. } => {
                self.stay.take_if(|stay| stay == encounter);
                self.last_stay.take_if(|stay| stay == encounter);
            }
            Event::StayTaken { encounter, is_open, .. } => {
                if *is_open {
                    self.stay = Some(encounter.clone());
                }
                if *is_open || self.stay.is_none() {
                    self.last_stay = Some(encounter.clone());
                }
            }
            Event::AllergyRecorded { allergy, at } => {
                self.allergies.record(allergy, *at);
                self.set_aside.retain(|known| !known.allergy.is_against(&allergy.substance));
            }
            Event::AllergyRefuted { substance, under, .. } => {
                if let (Some(under), Some(allergy)) = (under, self.allergies.against(substance)) {
                    self.set_aside.push(SetAside { under: under.clone(), allergy: allergy.clone() });
                }
                self.allergies.refute(substance);
            }
            Event::NoAllergiesKnown { at } => self.allergies = Allergies::NoneKnown { at: *at },
            Event::Restricted { reason, .. } => (self.restricted, self.aside.restricted) = (Some(reason.clone()), None),
            Event::RestrictionLifted { under, .. } => self.aside.restricted = aside(self.restricted.take(), under),
            Event::Died { at } => (self.died, self.aside.died) = (Some(*at), None),
            Event::DeathWithdrawn { under, .. } => self.aside.died = aside(self.died.take(), under),
            Event::PhotoTaken { at, .. } => (self.photo, self.photos, self.aside.photo) = (Some(*at), self.photos.saturating_add(1), None),
            Event::PhotoRemoved { under, .. } => self.aside.photo = aside(self.photo.take(), under),
            Event::PhotoRestored { taken, .. } => (self.photo, self.aside.photo) = (Some(*taken), None),
            Event::WristbandPrinted { number, .. } | Event::WristbandsVoided { number, .. } => self.wristband = *number,
            Event::WristbandDelivered { number, .. } => self.wristband_delivered = *number,
        }
    }

    fn name(event: &Event) -> (&'static str, u16) {
        match event {
            Event::Erased { .. } => ("Erased", 1),
            Event::PersonRecorded { .. } => ("PersonRecorded", 1),
            Event::PersonConfirmed { .. } => ("PersonConfirmed", 1),
            Event::StayPlanned { .. } => ("StayPlanned", 1),
            Event::PlanEnded { .. } => ("PlanEnded", 1),
            Event::MergedInto { .. } => ("MergedInto", 1),
            Event::Absorbed { .. } => ("Absorbed", 1),
            Event::Unmerged { .. } => ("Unmerged", 1),
            Event::Released { .. } => ("Released", 1),
            Event::StayOpened { .. } => ("StayOpened", 1),
            Event::StayGivenUp { .. } => ("StayGivenUp", 1),
            Event::StayTaken { .. } => ("StayTaken", 1),
            Event::StayClosed { .. } => ("StayClosed", 1),
            Event::AllergyRecorded { .. } => ("AllergyRecorded", 1),
            Event::AllergyRefuted { .. } => ("AllergyRefuted", 1),
            Event::NoAllergiesKnown { .. } => ("NoAllergiesKnown", 1),
            Event::Restricted { .. } => ("Restricted", 1),
            Event::RestrictionLifted { .. } => ("RestrictionLifted", 1),
            Event::Died { .. } => ("Died", 1),
            Event::DeathWithdrawn { .. } => ("DeathWithdrawn", 1),
            Event::PhotoTaken { .. } => ("PhotoTaken", 1),
            Event::PhotoRemoved { .. } => ("PhotoRemoved", 1),
            Event::PhotoRestored { .. } => ("PhotoRestored", 1),
            Event::WristbandPrinted { .. } => ("WristbandPrinted", 2),
            Event::WristbandsVoided { .. } => ("WristbandsVoided", 1),
            Event::WristbandDelivered { .. } => ("WristbandDelivered", 1),
        }
    }

    fn sealing(&self, key: &str, event: &Event) -> Sealing {
        of_patient(key, matches!(event, Event::Erased { .. }))
    }
}
