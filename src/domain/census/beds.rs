//! Rules of beds: who may lie in one, and what is done with it while nobody does.

use super::{Change, Decision, Desk, Rejection, Scene, Stop};
use crate::domain::bed::{Event, Leaving, Use};
use crate::kernel::planted::{self, Bug};
use crate::kernel::{BedId, EncounterId, Mrn};

/// Who lies down, under which encounter.
pub(super) struct Lying<'a> {
    /// The number that the stay is written under.
    pub(super) patient: &'a Mrn,
    /// All numbers of the person.
    pub(super) numbers: &'a [Mrn],
    pub(super) encounter: &'a EncounterId,
}

impl<S: Scene> Desk<'_, S> {
    /// The bed takes the patient, if it may: free, or kept for this patient. A feed that says that somebody lies in a bed that
    /// waits for housekeeping is believed.
    pub(super) fn occupy(&mut self, bed: &BedId, who: &Lying<'_>) -> Result<Vec<Change>, Stop<S::Failure>> {
        let at = self.context.now;
        let lies_down = Event::PatientAdmitted { patient: who.patient.clone(), encounter: Some(who.encounter.clone()), at };
        let mut changes = Vec::new();
        let state = self.bed(bed)?;
        match state.used {
            Use::Free => {}
            Use::Reserved { patient, .. } if who.numbers.contains(&patient) => changes.push(Change::Bed(bed.clone(), Event::ReservationEnded { at })),
            Use::Cleaning { since } if self.is_feed() => {
                changes.push(Change::Bed(bed.clone(), Event::CleaningSkipped { since, at }));
                // The one before was isolated, not this one.
                changes.extend(state.isolation.map(|_| Change::Bed(bed.clone(), Event::IsolationEnded { at })));
            }
            Use::Occupied { .. } if planted::is(Bug::BedForTwo) => {}
            Use::Reserved { since, .. } => return Err(Rejection::Reserved { bed: bed.clone(), since }.into()),
            Use::Occupied { since, .. } | Use::Companion { since, .. } => return Err(Rejection::Occupied { bed: bed.clone(), since }.into()),
            Use::Cleaning { since } => return Err(Rejection::NotCleaned { bed: bed.clone(), since }.into()),
            Use::Blocked { reason, since, .. } => return Err(Rejection::Blocked { bed: bed.clone(), reason, since }.into()),
        }
        changes.push(Change::Bed(bed.clone(), lies_down));
        Ok(changes)
    }

    /// The patient leaves the bed, and housekeeping is asked for where the house has one.
    pub(super) fn vacate(&mut self, bed: Option<&BedId>, who: &Lying<'_>, reason: Leaving) -> Result<Vec<Change>, Stop<S::Failure>> {
        let Some(bed) = bed else { return Ok(vec![]) };
        let at = self.context.now;
        let state = self.bed(bed)?;
        let since = match state.used {
            Use::Occupied { patient, since } if patient == *who.patient => since,
            Use::Occupied { .. } | Use::Companion { .. } | Use::Free | Use::Reserved { .. } | Use::Cleaning { .. } | Use::Blocked { .. } => {
                return Err(Rejection::OtherBed { patient: who.patient.clone(), named: bed.clone(), bed: None }.into());
            }
        };
        let mut changes = vec![Change::Bed(bed.clone(), Event::PatientLeft { patient: who.patient.clone(), encounter: Some(who.encounter.clone()), since, at, reason })];
        if self.policy.housekeeping {
            changes.push(Change::Bed(bed.clone(), Event::CleaningAsked { at }));
        } else {
            changes.extend(state.isolation.map(|_| Change::Bed(bed.clone(), Event::IsolationEnded { at })));
        }
        Ok(changes)
    }

    /// Whoever never left, or only by error, may lie in a bed that housekeeping was asked for.
    pub(super) fn take_again(&mut self, bed: &BedId, who: &Lying<'_>) -> Result<Vec<Change>, Stop<S::Failure>> {
        let at = self.context.now;
        let state = self.bed(bed)?;
        match state.used {
            // It is as this very stay has left it; after somebody else it is cleaned first.
            Use::Cleaning { since } if state.left_by.as_ref() == Some(who.encounter) => Ok(vec![
                Change::Bed(bed.clone(), Event::CleaningSkipped { since, at }),
                Change::Bed(bed.clone(), Event::PatientAdmitted { patient: who.patient.clone(), encounter: Some(who.encounter.clone()), at }),
            ]),
            Use::Cleaning { .. } | Use::Free | Use::Reserved { .. } | Use::Occupied { .. } | Use::Companion { .. } | Use::Blocked { .. } => self.occupy(bed, who),
        }
    }

    /// Who is isolated is isolated wherever they lie.
    pub(super) fn isolation_goes_along(&mut self, from: Option<&BedId>, to: &BedId) -> Result<Vec<Change>, Stop<S::Failure>> {
        let at = self.context.now;
        let reason = match from {
            Some(from) => self.bed(from)?.isolation,
            None => None,
        };
        // Whatever the bed says of the one before: it ends with them.
        Ok(reason.map(|reason| Change::Bed(to.clone(), Event::IsolationBegan { reason, at })).into_iter().collect())
    }

    /// The bed is kept for the patient, if it is free.
    pub(super) fn reserve(&mut self, bed: &BedId, patient: &Mrn, numbers: &[Mrn]) -> Result<Vec<Change>, Stop<S::Failure>> {
        match self.bed(bed)?.used {
            Use::Free => Ok(vec![Change::Bed(bed.clone(), Event::Reserved { patient: patient.clone(), at: self.context.now })]),
            Use::Reserved { patient: other, .. } if numbers.contains(&other) => Ok(vec![]),
            Use::Reserved { since, .. } => Err(Rejection::Reserved { bed: bed.clone(), since }.into()),
            Use::Occupied { since, .. } | Use::Companion { since, .. } => Err(Rejection::Occupied { bed: bed.clone(), since }.into()),
            // Whoever comes later finds it clean.
            Use::Cleaning { since } => Err(Rejection::NotCleaned { bed: bed.clone(), since }.into()),
            Use::Blocked { reason, since, .. } => Err(Rejection::Blocked { bed: bed.clone(), reason, since }.into()),
        }
    }

    /// The bed is not kept for the patient any more.
    pub(super) fn give_up(&mut self, bed: Option<&BedId>, numbers: &[Mrn]) -> Result<Vec<Change>, Stop<S::Failure>> {
        let Some(bed) = bed else { return Ok(vec![]) };
        match self.bed(bed)?.used {
            Use::Reserved { patient: kept_for, .. } if numbers.contains(&kept_for) => Ok(vec![Change::Bed(bed.clone(), Event::ReservationEnded { at: self.context.now })]),
            Use::Reserved { .. } | Use::Free | Use::Occupied { .. } | Use::Companion { .. } | Use::Cleaning { .. } | Use::Blocked { .. } => Ok(vec![]),
        }
    }

    pub(super) fn block(&mut self, bed: &BedId, reason: &str) -> Decision<S::Failure> {
        if reason.trim().is_empty() {
            return Err(Rejection::Missing { field: "reason", what: "why the bed cannot be used" }.into());
        }
        match self.bed(bed)?.used {
            Use::Free | Use::Cleaning { .. } => Ok(vec![Change::Bed(bed.clone(), Event::Blocked { reason: reason.trim().to_owned(), at: self.context.now })]),
            Use::Blocked { .. } => Ok(vec![]),
            Use::Occupied { .. } | Use::Companion { .. } | Use::Reserved { .. } => Err(Rejection::InUse { bed: bed.clone(), what: "blocked" }.into()),
        }
    }

    pub(super) fn unblock(&mut self, bed: &BedId) -> Decision<S::Failure> {
        match self.bed(bed)?.used {
            // What was not clean before is not clean now.
            Use::Blocked { is_dirty, .. } => {
                let at = self.context.now;
                let events = [Event::Unblocked { at }].into_iter().chain(is_dirty.then_some(Event::CleaningAsked { at }));
                Ok(events.map(|event| Change::Bed(bed.clone(), event)).collect())
            }
            Use::Free | Use::Occupied { .. } | Use::Companion { .. } | Use::Reserved { .. } | Use::Cleaning { .. } => {
                Err(Rejection::NotSo { bed: bed.clone(), what: "blocked" }.into())
            }
        }
    }

    /// A clean bed is nobody's isolation any more.
    pub(super) fn clean(&mut self, bed: &BedId) -> Decision<S::Failure> {
        let state = self.bed(bed)?;
        let at = self.context.now;
        match state.used {
            Use::Cleaning { since } => {
                let ended = state.isolation.map(|_| Change::Bed(bed.clone(), Event::IsolationEnded { at }));
                Ok([Change::Bed(bed.clone(), Event::Cleaned { since, at })].into_iter().chain(ended).collect())
            }
            Use::Free | Use::Occupied { .. } | Use::Companion { .. } | Use::Reserved { .. } | Use::Blocked { .. } => {
                Err(Rejection::NotSo { bed: bed.clone(), what: "waiting for housekeeping" }.into())
            }
        }
    }

    pub(super) fn isolate(&mut self, bed: &BedId, reason: Option<&str>) -> Decision<S::Failure> {
        let at = self.context.now;
        let event = match (reason.map(str::trim), self.bed(bed)?.isolation) {
            (Some(""), _) => return Err(Rejection::Missing { field: "reason", what: "why whoever lies in the bed is isolated" }.into()),
            (Some(reason), known) if known.as_deref() != Some(reason) => Event::IsolationBegan { reason: reason.to_owned(), at },
            (None, Some(_)) => Event::IsolationEnded { at },
            (Some(_) | None, _) => return Ok(vec![]),
        };
        Ok(vec![Change::Bed(bed.clone(), event)])
    }
}
