//! Rules of who somebody is: registration, merge and unmerge, allergies, restrictions, wristbands.

use super::{Change, Decision, Desk, Rejection, Scene};
use crate::domain::patient::{Allergy, Event, Person};
use crate::kernel::{Mrn, Timestamp};

impl<S: Scene> Desk<'_, S> {
    /// Older facts never replace newer ones; what a message does not say is kept.
    pub(super) fn register(&mut self, patient: &Mrn, person: &Person, as_of: Option<Timestamp>) -> Decision<S::Failure> {
        if let Err(error) = person.check(self.context.now.date()) {
            return Err(Rejection::InvalidPerson { why: error.to_string() }.into());
        }
        // A sender whose clock is ahead must not keep everybody else's news out.
        let as_of = as_of.unwrap_or(self.context.now).min(self.context.now);
        let record = self.patient(patient)?;
        if record.as_of.is_some_and(|known| as_of < known) {
            return Ok(vec![]);
        }
        let person = match &record.person {
            Some(before) => person.clone().completed_by(before),
            None => person.clone(),
        };
        if record.person.as_ref() == Some(&person) {
            return Ok(vec![]);
        }
        Ok(vec![Change::Patient(patient.clone(), Event::PersonRecorded { person: Box::new(person), as_of })])
    }

    /// Refused for a number and itself, for one that was merged before (so that there are no circles), and for two stays at once.
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

    /// Nothing was re-pointed, so both are at once what they would be.
    pub(super) fn unmerge(&mut self, merged: &Mrn) -> Decision<S::Failure> {
        let Some(survivor) = self.patient(merged)?.merged_into else { return Err(Rejection::NotMerged { merged: merged.clone() }.into()) };
        let at = self.context.now;
        Ok(vec![Change::Patient(merged.clone(), Event::Unmerged { survivor: survivor.clone(), at }), Change::Patient(survivor, Event::Released { merged: merged.clone(), at })])
    }

    pub(super) fn record_allergy(&mut self, patient: &Mrn, allergy: &Allergy) -> Decision<S::Failure> {
        if allergy.substance.trim().is_empty() {
            return Err(Rejection::Missing { field: "substance", what: "the ingredient that the patient must not be given" }.into());
        }
        let person = self.person(patient)?;
        if person.record().allergies.against(&allergy.substance) == Some(allergy) {
            return Ok(vec![]);
        }
        Ok(vec![Change::Patient(person.mrn, Event::AllergyRecorded { allergy: allergy.clone(), at: self.context.now })])
    }

    /// An allergy is refuted where it is written, be it under a number that was merged.
    pub(super) fn refute_allergy(&mut self, patient: &Mrn, substance: &str, reason: &str) -> Decision<S::Failure> {
        if reason.trim().is_empty() {
            return Err(Rejection::Missing { field: "reason", what: "why it is no allergy" }.into());
        }
        let (at, person) = (self.context.now, self.person(patient)?);
        let refuted = |mrn: &Mrn| Change::Patient(mrn.clone(), Event::AllergyRefuted { substance: substance.to_owned(), reason: reason.to_owned(), at });
        let changes: Vec<Change> = person.records.iter().filter(|(_, record)| record.allergies.against(substance).is_some()).map(|(mrn, _)| refuted(mrn)).collect();
        if changes.is_empty() { Err(Rejection::UnknownAllergy { substance: substance.to_owned() }.into()) } else { Ok(changes) }
    }

    pub(super) fn no_known_allergies(&mut self, patient: &Mrn) -> Decision<S::Failure> {
        let person = self.person(patient)?;
        let known: Vec<&str> = person.records.iter().flat_map(|(_, record)| record.allergies.known()).map(|known| known.allergy.substance.as_str()).collect();
        if !known.is_empty() {
            return Err(Rejection::AllergiesKnown { substances: known.join(", ") }.into());
        }
        Ok(vec![Change::Patient(person.mrn, Event::NoAllergiesKnown { at: self.context.now })])
    }

    pub(super) fn restrict(&mut self, patient: &Mrn, reason: Option<&str>) -> Decision<S::Failure> {
        let (at, person) = (self.context.now, self.person(patient)?);
        let event = match (reason.map(str::trim), person.record().restricted) {
            (Some(""), _) => return Err(Rejection::Missing { field: "reason", what: "why only some may look at the record" }.into()),
            (Some(reason), known) if known.as_deref() != Some(reason) => Event::Restricted { reason: reason.to_owned(), at },
            (None, Some(_)) => Event::RestrictionLifted { at },
            (Some(_) | None, _) => return Ok(vec![]),
        };
        Ok(vec![Change::Patient(person.mrn, event)])
    }

    pub(super) fn print_wristband(&mut self, patient: &Mrn) -> Decision<S::Failure> {
        let person = self.person(patient)?;
        let record = person.record();
        if record.person.is_none() {
            return Err(Rejection::NotRegistered { patient: person.mrn }.into());
        }
        Ok(vec![Change::Patient(person.mrn, Event::WristbandPrinted { number: record.wristband + 1, at: self.context.now })])
    }
}
