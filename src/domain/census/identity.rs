//! Rules of who somebody is: registration, merge and unmerge, allergies, restrictions, wristbands.
//!
//! What is said of a number is written under that number, be it merged or not: so an unmerge gives each their own.

use super::{Change, Decision, Desk, Rejection, Scene, Whole};
use crate::domain::patient::{Allergy, Event, Person, Photo};
use crate::kernel::{DeviceId, Mrn, Timestamp};

/// Photos of one number at most: each stays in the log, and whoever reads the record's history reads them all.
const PHOTOS: u32 = 50;

impl<S: Scene> Desk<'_, S> {
    /// Older facts never replace newer ones, but fill gaps; what a message does not say is kept.
    pub(super) fn register(&mut self, patient: &Mrn, person: &Person, as_of: Option<Timestamp>, is_new: bool) -> Decision<S::Failure> {
        if let Err(error) = person.check(self.context.now.date()) {
            return Err(Rejection::InvalidPerson { why: error.to_string() }.into());
        }
        // A sender whose clock is ahead must not keep everybody else's news out.
        let as_of = as_of.unwrap_or(self.context.now).min(self.context.now);
        let record = self.patient(patient)?;
        let change = |event| Ok(vec![Change::Patient(patient.clone(), event)]);
        let Some(before) = &record.person else { return change(Event::PersonRecorded { person: Box::new(person.clone()), as_of }) };
        if is_new {
            return Err(Rejection::NumberTaken { patient: patient.clone() }.into());
        }
        let known_as_of = record.as_of.unwrap_or(as_of);
        let person = if as_of < known_as_of { before.clone().completed_by(person) } else { person.clone().completed_by(before) };
        match (person == *before, as_of > known_as_of) {
            (true, true) => change(Event::PersonConfirmed { as_of }),
            (true, false) => Ok(vec![]),
            (false, _) => change(Event::PersonRecorded { person: Box::new(person), as_of: as_of.max(known_as_of) }),
        }
    }

    /// A registration in place of the one that somebody has looked at.
    pub(super) fn replace(&mut self, patient: &Mrn, person: &Person, known: Option<&Person>) -> Decision<S::Failure> {
        if let Err(error) = person.check(self.context.now.date()) {
            return Err(Rejection::InvalidPerson { why: error.to_string() }.into());
        }
        let record = self.patient(patient)?;
        match &record.person {
            None => Err(Rejection::NotRegistered { patient: patient.clone() }.into()),
            Some(before) if known.is_some_and(|known| known != before) && before != person => Err(Rejection::ChangedMeanwhile { patient: patient.clone() }.into()),
            Some(before) if before == person => Ok(vec![]),
            Some(_) => {
                let as_of = record.as_of.unwrap_or(self.context.now).max(self.context.now);
                Ok(vec![Change::Patient(patient.clone(), Event::PersonRecorded { person: Box::new(person.clone()), as_of })])
            }
        }
    }

    /// Refused for a number and itself, for one that was merged before (so that there are no circles), for two stays at once, and by
    /// hand for a number that nobody knows: a slip of the hand would make the next who gets it somebody else.
    pub(super) fn merge(&mut self, survivor: &Mrn, merged: &Mrn) -> Decision<S::Failure> {
        if survivor == merged {
            return Err(Rejection::SameNumber { patient: merged.clone() }.into());
        }
        let (kept, given_up) = (self.patient(survivor)?, self.patient(merged)?);
        if given_up.merged_into.as_ref() == Some(survivor) {
            return Ok(vec![]);
        }
        for (number, record) in [(merged, &given_up), (survivor, &kept)] {
            if let Some(into) = &record.merged_into {
                return Err(Rejection::AlreadyMerged { merged: number.clone(), survivor: into.clone() }.into());
            }
            if !self.is_feed() && record.person.is_none() && record.last_stay.is_none() {
                return Err(Rejection::NotRegistered { patient: number.clone() }.into());
            }
        }
        if self.person(survivor)?.stay().is_some() && self.person(merged)?.stay().is_some() {
            return Err(Rejection::BothInHospital { survivor: survivor.clone(), merged: merged.clone() }.into());
        }
        let at = self.context.now;
        Ok(vec![
            Change::Patient(merged.clone(), Event::MergedInto { survivor: survivor.clone(), at }),
            Change::Patient(survivor.clone(), Event::Absorbed { merged: merged.clone(), at }),
        ])
    }

    /// Nothing was re-pointed, so both are at once what they would be; what one refuted of the other's allergies comes back.
    pub(super) fn unmerge(&mut self, merged: &Mrn, from: Option<&Mrn>) -> Decision<S::Failure> {
        let survivor = self.patient(merged)?.merged_into.filter(|survivor| from.is_none_or(|from| from == survivor));
        let Some(survivor) = survivor else { return Err(Rejection::NotMerged { merged: merged.clone() }.into()) };
        let at = self.context.now;
        let whole = self.person(merged)?;
        let own = self.below(merged)?;
        let is_own = |mrn: &Mrn| own.contains(mrn);
        let mut changes =
            vec![Change::Patient(merged.clone(), Event::Unmerged { survivor: survivor.clone(), at }), Change::Patient(survivor, Event::Released { merged: merged.clone(), at })];
        // A band that was printed while they were one may be on the wrong one of them: no band counts until each has a new one.
        let newest = whole.records.iter().map(|(_, record)| record.wristband).max().unwrap_or(0);
        if newest > 0 {
            changes.extend([&whole.mrn, merged].map(|mrn| Change::Patient(mrn.clone(), Event::WristbandsVoided { number: newest + 1, at })));
        }
        for (mrn, record) in &whole.records {
            let by_the_other = record.set_aside.iter().filter(|known| is_own(&known.under) != is_own(mrn));
            changes.extend(by_the_other.map(|known| Change::Patient(mrn.clone(), Event::AllergyRecorded { allergy: known.allergy.clone(), at })));
            // What was taken away under the other's number was the other's to take.
            let was_theirs = |under: &Mrn| is_own(under) != is_own(mrn);
            let aside = &record.aside;
            let restricted = aside.restricted.iter().filter(|(under, _)| was_theirs(under)).map(|(_, reason)| Event::Restricted { reason: reason.clone(), at });
            let died = aside.died.iter().filter(|(under, _)| was_theirs(under)).map(|(_, at)| Event::Died { at: *at });
            let photo = aside.photo.iter().filter(|(under, _)| was_theirs(under)).map(|(_, taken)| Event::PhotoRestored { taken: *taken, at });
            changes.extend(restricted.chain(died).chain(photo).map(|event| Change::Patient(mrn.clone(), event)));
        }
        Ok(changes)
    }

    /// The number and all that were merged into it.
    fn below(&mut self, mrn: &Mrn) -> Result<Vec<Mrn>, super::Stop<S::Failure>> {
        let mut found = vec![mrn.clone()];
        let mut next = 0;
        while let Some(mrn) = found.get(next).cloned() {
            found.extend(self.patient(&mrn)?.merged);
            next += 1;
        }
        Ok(found)
    }

    /// Another system's word makes nothing less than it is known to be.
    pub(super) fn record_allergy(&mut self, patient: &Mrn, allergy: &Allergy) -> Decision<S::Failure> {
        if allergy.substance.trim().is_empty() {
            return Err(Rejection::Missing { field: "substance", what: "the ingredient that the patient must not be given" }.into());
        }
        let person = self.person(patient)?;
        self.is_somebody(&person)?;
        let record = self.patient(patient)?;
        let known = record.allergies.against(&allergy.substance);
        let allergy = match known.filter(|_| self.is_feed()) {
            Some(known) => known.and(allergy),
            None => allergy.clone(),
        };
        if known == Some(&allergy) {
            return Ok(vec![]);
        }
        Ok(vec![Change::Patient(patient.clone(), Event::AllergyRecorded { allergy, at: self.context.now })])
    }

    /// An allergy is refuted where it is written, be it under another number of the person.
    pub(super) fn refute_allergy(&mut self, patient: &Mrn, substance: &str, reason: &str) -> Decision<S::Failure> {
        if reason.trim().is_empty() {
            return Err(Rejection::Missing { field: "reason", what: "why it is no allergy" }.into());
        }
        let (at, person) = (self.context.now, self.person(patient)?);
        let refuted = |mrn: &Mrn| {
            let under = Some(patient.clone()).filter(|named| named != mrn);
            Change::Patient(mrn.clone(), Event::AllergyRefuted { substance: substance.to_owned(), reason: reason.to_owned(), under, at })
        };
        let changes: Vec<Change> = person.records.iter().filter(|(_, record)| record.allergies.against(substance).is_some()).map(|(mrn, _)| refuted(mrn)).collect();
        if changes.is_empty() { Err(Rejection::UnknownAllergy { substance: substance.to_owned() }.into()) } else { Ok(changes) }
    }

    pub(super) fn no_known_allergies(&mut self, patient: &Mrn) -> Decision<S::Failure> {
        let person = self.person(patient)?;
        self.is_somebody(&person)?;
        let known: Vec<&str> = person.records.iter().flat_map(|(_, record)| record.allergies.known()).map(|known| known.allergy.substance.as_str()).collect();
        if !known.is_empty() {
            return Err(Rejection::AllergiesKnown { substances: known.join(", ") }.into());
        }
        Ok(vec![Change::Patient(patient.clone(), Event::NoAllergiesKnown { at: self.context.now })])
    }

    /// Written under the number that is named: with a merge both have it, and an unmerge gives each their own.
    pub(super) fn take_photo(&mut self, patient: &Mrn, photo: &Photo) -> Decision<S::Failure> {
        match self.patient(patient)?.person {
            None => Err(Rejection::NotRegistered { patient: patient.clone() }.into()),
            Some(_) if self.patient(patient)?.photos >= PHOTOS => Err(Rejection::TooManyPhotos { patient: patient.clone(), most: PHOTOS }.into()),
            Some(_) => Ok(vec![Change::Patient(patient.clone(), Event::PhotoTaken { photo: photo.clone(), at: self.context.now })]),
        }
    }

    /// Under all numbers of the person: an older one must not come back in its place.
    pub(super) fn remove_photo(&mut self, patient: &Mrn) -> Decision<S::Failure> {
        let (at, person) = (self.context.now, self.person(patient)?);
        Ok(of_each(&person, patient, |record| record.photo.is_some(), |under| Event::PhotoRemoved { under, at }))
    }

    /// A restriction is lifted from all numbers of the person.
    pub(super) fn restrict(&mut self, patient: &Mrn, reason: Option<&str>) -> Decision<S::Failure> {
        let (at, person) = (self.context.now, self.person(patient)?);
        self.is_somebody(&person)?;
        match reason.map(str::trim) {
            Some("") => Err(Rejection::Missing { field: "reason", what: "why only some may look at the record" }.into()),
            Some(reason) if person.record(patient).restricted.as_deref() == Some(reason) => Ok(vec![]),
            Some(reason) => Ok(vec![Change::Patient(patient.clone(), Event::Restricted { reason: reason.to_owned(), at })]),
            None => Ok(of_each(&person, patient, |record| record.restricted.is_some(), |under| Event::RestrictionLifted { under, at })),
        }
    }

    pub(super) fn print_wristband(&mut self, patient: &Mrn, printer: &DeviceId) -> Decision<S::Failure> {
        let person = self.person(patient)?;
        if person.records.iter().all(|(_, record)| record.person.is_none()) {
            return Err(Rejection::NotRegistered { patient: person.mrn }.into());
        }
        // A number that no band of the person has had.
        let number = person.records.iter().map(|(_, record)| record.wristband).max().unwrap_or(0) + 1;
        Ok(vec![Change::Patient(person.mrn, Event::WristbandPrinted { number, printer: Some(printer.clone()), at: self.context.now })])
    }

    /// Only the band that counts: one that was replaced meanwhile is nobody's.
    pub(super) fn confirm_wristband(&mut self, patient: &Mrn, number: u32, printer: &DeviceId) -> Decision<S::Failure> {
        let record = self.patient(patient)?;
        if record.wristband != number || record.wristband_delivered == number {
            return Ok(vec![]);
        }
        Ok(vec![Change::Patient(patient.clone(), Event::WristbandDelivered { number, printer: printer.clone(), at: self.context.now })])
    }
}

/// The same event in each record of a person that it concerns; in others than the one that was named it says under which.
pub(super) fn of_each(person: &Whole, named: &Mrn, concerns: impl Fn(&crate::domain::patient::Patient) -> bool, event: impl Fn(Option<Mrn>) -> Event) -> Vec<Change> {
    let concerned = person.records.iter().filter(|(_, record)| concerns(record));
    concerned.map(|(mrn, _)| Change::Patient(mrn.clone(), event(Some(named.clone()).filter(|named| named != mrn)))).collect()
}
