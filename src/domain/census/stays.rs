//! Rules of stays: admission, moves, leave, discharge, and taking each of them back.

use super::beds::Lying;
use super::{Admission, Change, Decision, Desk, Rejection, Scene, Stop, Whole};
use crate::domain::bed::{self, Leaving};
use crate::domain::encounter::{Class, Clearance, Encounter, Ending, Event, Stay};
use crate::domain::patient;
use crate::kernel::{BedId, EncounterId, Mrn, Timestamp};

/// A person's stay, which is open.
struct Open {
    encounter: EncounterId,
    stay: Stay,
}

impl Open {
    fn lying(&self) -> Lying<'_> {
        Lying { patient: &self.stay.patient, encounter: &self.encounter }
    }

    fn change(&self, event: Event) -> Change {
        Change::Encounter(self.encounter.clone(), event)
    }
}

impl<S: Scene> Desk<'_, S> {
    fn find_open(&mut self, person: &Whole) -> Result<Option<Open>, Stop<S::Failure>> {
        let Some((_, encounter)) = person.stay() else { return Ok(None) };
        let encounter = encounter.clone();
        Ok(self.encounter(&encounter)?.stay().cloned().map(|stay| Open { encounter, stay }))
    }

    /// The open stay of whoever has this number.
    fn open(&mut self, patient: &Mrn) -> Result<Open, Stop<S::Failure>> {
        let person = self.person(patient)?;
        match self.find_open(&person)? {
            Some(open) => Ok(open),
            None => {
                // The last stay is looked at as well: a command that was done before is known there.
                if let Some(last) = person.records.iter().find_map(|(_, record)| record.last_stay.clone()) {
                    self.encounter(&last)?;
                }
                Err(Rejection::NotInHospital { patient: person.mrn }.into())
            }
        }
    }

    /// A stay begins: of somebody who is not in hospital, into a bed that takes them.
    pub(super) fn admit(&mut self, admission: &Admission) -> Decision<S::Failure> {
        let at = self.context.now;
        let person = self.person(&admission.patient)?;
        if let Some(open) = self.find_open(&person)? {
            // The same admission again, as systems repeat it.
            if open.stay.bed == admission.bed && admission.encounter.as_ref().is_none_or(|named| *named == open.encounter) {
                return Ok(vec![]);
            }
            // From the emergency department to a ward: the same stay goes on.
            if open.stay.class == Class::Emergency && admission.class == Class::Inpatient {
                return self.change_class(&person.mrn, Class::Inpatient, admission.bed.as_ref());
            }
            return Err(Rejection::InHospital { patient: person.mrn, encounter: open.encounter, bed: open.stay.bed }.into());
        }
        if let Some(at) = person.records.iter().find_map(|(_, record)| record.died) {
            return Err(Rejection::Deceased { patient: person.mrn, at }.into());
        }
        let encounter = admission.encounter.clone().unwrap_or_else(|| EncounterId::of_command(self.context.command));
        let mut changes = match self.encounter(&encounter)? {
            Encounter::None => Vec::new(),
            Encounter::Planned { patient, bed, .. } if patient == person.mrn => match bed.filter(|kept| Some(kept) != admission.bed.as_ref()) {
                // Another bed than the one that was kept.
                Some(kept) => self.give_up(Some(&kept), &person.mrn)?,
                None => Vec::new(),
            },
            Encounter::Planned { .. } | Encounter::Open(_) | Encounter::Closed { .. } => return Err(Rejection::EncounterUsed { encounter }.into()),
        };
        let patient = person.mrn;
        if let Some(bed) = &admission.bed {
            changes.extend(self.occupy(bed, &Lying { patient: &patient, encounter: &encounter })?);
        }
        let admitted = Event::Admitted { patient: patient.clone(), class: admission.class, bed: admission.bed.clone(), mother: admission.mother.clone(), at };
        changes.push(Change::Encounter(encounter.clone(), admitted));
        changes.push(Change::Patient(patient, patient::Event::StayOpened { encounter, at }));
        Ok(changes)
    }

    pub(super) fn plan(&mut self, admission: &Admission, expected: Option<Timestamp>) -> Decision<S::Failure> {
        let person = self.person(&admission.patient)?;
        let encounter = admission.encounter.clone().unwrap_or_else(|| EncounterId::of_command(self.context.command));
        let before = match self.encounter(&encounter)? {
            Encounter::None => None,
            Encounter::Planned { patient, bed, .. } if patient == person.mrn => bed,
            Encounter::Planned { .. } | Encounter::Open(_) | Encounter::Closed { .. } => return Err(Rejection::EncounterUsed { encounter }.into()),
        };
        let mut changes = self.give_up(before.filter(|bed| Some(bed) != admission.bed.as_ref()).as_ref(), &person.mrn)?;
        if let Some(bed) = &admission.bed {
            changes.extend(self.reserve(bed, &person.mrn)?);
        }
        changes.push(Change::Encounter(encounter, Event::Planned { patient: person.mrn, class: admission.class, bed: admission.bed.clone(), expected }));
        Ok(changes)
    }

    pub(super) fn cancel_plan(&mut self, encounter: &EncounterId) -> Decision<S::Failure> {
        let Encounter::Planned { patient, bed, .. } = self.encounter(encounter)? else {
            return Err(Rejection::NotPlanned { encounter: encounter.clone() }.into());
        };
        let mut changes = self.give_up(bed.as_ref(), &patient)?;
        changes.push(Change::Encounter(encounter.clone(), Event::PlanCancelled { at: self.context.now }));
        Ok(changes)
    }

    /// The receiving ward's bed is kept for the patient until it accepts.
    pub(super) fn request_transfer(&mut self, patient: &Mrn, to: &BedId) -> Decision<S::Failure> {
        let open = self.open(patient)?;
        if open.stay.bed.as_ref() == Some(to) || open.stay.transfer.as_ref().is_some_and(|(asked, _)| asked == to) {
            return Ok(vec![]);
        }
        let before = open.stay.transfer.as_ref().map(|(bed, _)| bed);
        let mut changes = self.give_up(before, &open.stay.patient)?;
        changes.extend(self.reserve(to, &open.stay.patient)?);
        changes.push(open.change(Event::TransferRequested { to: to.clone(), at: self.context.now }));
        Ok(changes)
    }

    pub(super) fn accept_transfer(&mut self, patient: &Mrn) -> Decision<S::Failure> {
        let open = self.open(patient)?;
        match open.stay.transfer.clone() {
            Some((to, _)) => self.change_bed(&open, &to),
            None => Err(Rejection::NoTransfer { patient: patient.clone() }.into()),
        }
    }

    pub(super) fn cancel_transfer(&mut self, patient: &Mrn) -> Decision<S::Failure> {
        let open = self.open(patient)?;
        let Some((to, _)) = &open.stay.transfer else { return Err(Rejection::NoTransfer { patient: patient.clone() }.into()) };
        let mut changes = self.give_up(Some(to), &open.stay.patient)?;
        changes.push(open.change(Event::TransferCancelled { at: self.context.now }));
        Ok(changes)
    }

    pub(super) fn move_to(&mut self, patient: &Mrn, to: &BedId) -> Decision<S::Failure> {
        let open = self.open(patient)?;
        if open.stay.bed.as_ref() == Some(to) { Ok(vec![]) } else { self.change_bed(&open, to) }
    }

    pub(super) fn move_back(&mut self, patient: &Mrn) -> Decision<S::Failure> {
        let open = self.open(patient)?;
        match open.stay.bed_before.clone() {
            Some(before) => self.change_bed(&open, &before),
            None => Err(Rejection::NotMoved { patient: patient.clone() }.into()),
        }
    }

    /// The new bed first: when it refuses, the patient stays where they are.
    fn change_bed(&mut self, open: &Open, to: &BedId) -> Decision<S::Failure> {
        let mut changes = self.occupy(to, &open.lying())?;
        changes.extend(self.vacate(open.stay.bed.as_ref(), &open.lying(), Leaving::Transfer)?);
        let elsewhere = open.stay.transfer.as_ref().map(|(asked, _)| asked).filter(|asked| *asked != to);
        changes.extend(self.give_up(elsewhere, &open.stay.patient)?);
        changes.push(open.change(Event::Moved { from: open.stay.bed.clone(), to: Some(to.clone()), at: self.context.now }));
        Ok(changes)
    }

    /// Each takes the bed of the other; neither lies in two, and nobody else gets in between.
    pub(super) fn swap(&mut self, patient: &Mrn, with: &Mrn) -> Decision<S::Failure> {
        let (one, other) = (self.open(patient)?, self.open(with)?);
        if one.encounter == other.encounter {
            return Err(Rejection::SameNumber { patient: with.clone() }.into());
        }
        let bed_of = |open: &Open| open.stay.bed.clone().ok_or_else(|| Rejection::NoBed { patient: open.stay.patient.clone() });
        let (from, to) = (bed_of(&one)?, bed_of(&other)?);
        let at = self.context.now;
        let mut changes = Vec::new();
        for (open, bed) in [(&one, &from), (&other, &to)] {
            // A bed that is taken at once is not cleaned in between.
            let left = self.vacate(Some(bed), &open.lying(), Leaving::Transfer)?;
            changes.extend(left.into_iter().filter(|change| matches!(change, Change::Bed(_, bed::Event::PatientLeft { .. }))));
        }
        for (open, bed, before) in [(&one, &to, &from), (&other, &from, &to)] {
            let lies_down = bed::Event::PatientAdmitted { patient: open.stay.patient.clone(), encounter: Some(open.encounter.clone()), at };
            changes.push(Change::Bed(bed.clone(), lies_down));
            changes.extend(self.give_up(open.stay.transfer.as_ref().map(|(asked, _)| asked), &open.stay.patient)?);
            changes.push(open.change(Event::Moved { from: Some(before.clone()), to: Some(bed.clone()), at }));
        }
        Ok(changes)
    }

    pub(super) fn change_class(&mut self, patient: &Mrn, class: Class, bed: Option<&BedId>) -> Decision<S::Failure> {
        let open = self.open(patient)?;
        let mut changes = match bed.filter(|bed| Some(*bed) != open.stay.bed.as_ref()) {
            Some(bed) => self.change_bed(&open, bed)?,
            None => Vec::new(),
        };
        if open.stay.class != class {
            changes.push(open.change(Event::ClassChanged { class, at: self.context.now }));
        }
        Ok(changes)
    }

    pub(super) fn begin_leave(&mut self, patient: &Mrn) -> Decision<S::Failure> {
        let open = self.open(patient)?;
        match open.stay.on_leave {
            Some(_) => Ok(vec![]),
            None => Ok(vec![open.change(Event::LeaveBegan { at: self.context.now })]),
        }
    }

    pub(super) fn end_leave(&mut self, patient: &Mrn) -> Decision<S::Failure> {
        let open = self.open(patient)?;
        match open.stay.on_leave {
            Some(_) => Ok(vec![open.change(Event::LeaveEnded { at: self.context.now })]),
            None => Err(Rejection::NotOnLeave { patient: patient.clone() }.into()),
        }
    }

    pub(super) fn expect_end(&mut self, patient: &Mrn, expected: Timestamp) -> Decision<S::Failure> {
        let open = self.open(patient)?;
        if open.stay.expected_end == Some(expected) { Ok(vec![]) } else { Ok(vec![open.change(Event::EndExpected { expected })]) }
    }

    pub(super) fn clear(&mut self, patient: &Mrn, clearance: Clearance) -> Decision<S::Failure> {
        let open = self.open(patient)?;
        if open.stay.cleared.contains(&clearance) { Ok(vec![]) } else { Ok(vec![open.change(Event::Cleared { clearance, at: self.context.now })]) }
    }

    /// Discharge or cancelled admission: the encounter ends, the bed is left, the patient is not in hospital, all at once.
    pub(super) fn end(&mut self, patient: &Mrn, named: Option<&BedId>, ending: Ending) -> Decision<S::Failure> {
        let open = match (self.open(patient), named) {
            (Ok(open), _) => open,
            (Err(Stop::Rejected(Rejection::NotInHospital { patient })), Some(bed)) => return self.leave_bed(&patient, bed, ending),
            (Err(stop), _) => return Err(stop),
        };
        if let Some(named) = named.filter(|named| Some(*named) != open.stay.bed.as_ref()) {
            return Err(Rejection::OtherBed { patient: open.stay.patient, named: named.clone(), bed: open.stay.bed }.into());
        }
        let missing: Vec<Clearance> = self.policy.clearances.iter().copied().filter(|needed| !open.stay.cleared.contains(needed)).collect();
        if ending == Ending::Discharged && !self.is_feed() && !missing.is_empty() {
            return Err(Rejection::NotCleared { patient: open.stay.patient, missing }.into());
        }
        self.close(&open, ending)
    }

    fn close(&mut self, open: &Open, ending: Ending) -> Decision<S::Failure> {
        let at = self.context.now;
        let reason = if ending == Ending::Cancelled { Leaving::Cancelled } else { Leaving::Discharge };
        let mut changes = self.vacate(open.stay.bed.as_ref(), &open.lying(), reason)?;
        changes.extend(self.give_up(open.stay.transfer.as_ref().map(|(bed, _)| bed), &open.stay.patient)?);
        changes.push(open.change(Event::Ended { ending, at }));
        changes.push(Change::Patient(open.stay.patient.clone(), patient::Event::StayClosed { encounter: open.encounter.clone(), at }));
        Ok(changes)
    }

    /// A bed that was taken before there were encounters has nothing else to end.
    fn leave_bed(&mut self, patient: &Mrn, bed: &BedId, ending: Ending) -> Decision<S::Failure> {
        let at = self.context.now;
        let reason = if ending == Ending::Cancelled { Leaving::Cancelled } else { Leaving::Discharge };
        match self.bed(bed)?.occupant() {
            None => Err(Rejection::NotOccupied { bed: bed.clone() }.into()),
            Some((occupant, _)) if occupant != patient => Err(Rejection::OtherBed { patient: patient.clone(), named: bed.clone(), bed: None }.into()),
            Some((_, since)) => Ok(vec![Change::Bed(bed.clone(), bed::Event::PatientLeft { patient: patient.clone(), encounter: None, since, at, reason })]),
        }
    }

    /// Ends the stay, if there is one, without asking for anybody's word.
    pub(super) fn record_death(&mut self, patient: &Mrn) -> Decision<S::Failure> {
        let at = self.context.now;
        let person = self.person(patient)?;
        if person.record().died.is_some() {
            return Ok(vec![]);
        }
        let mut changes = match self.find_open(&person)? {
            Some(open) => self.close(&open, Ending::Died)?,
            None => Vec::new(),
        };
        changes.push(Change::Patient(person.mrn, patient::Event::Died { at }));
        Ok(changes)
    }

    /// The patient is still here: in the bed that is named or the last one, when it takes them.
    pub(super) fn cancel_discharge(&mut self, patient: &Mrn, named: Option<&BedId>) -> Decision<S::Failure> {
        let at = self.context.now;
        let person = self.person(patient)?;
        if let Some(open) = self.find_open(&person)? {
            let is_same = named.is_none_or(|named| Some(named) == open.stay.bed.as_ref());
            return if is_same { Ok(vec![]) } else { Err(Rejection::InHospital { patient: person.mrn, encounter: open.encounter, bed: open.stay.bed }.into()) };
        }
        let last = person.records.iter().find_map(|(_, record)| record.last_stay.clone());
        let not_discharged = || Rejection::NotDischarged { patient: patient.clone() };
        let encounter = last.ok_or_else(not_discharged)?;
        let Encounter::Closed { stay, ending, .. } = self.encounter(&encounter)? else { return Err(not_discharged().into()) };
        if ending == Ending::Cancelled {
            return Err(not_discharged().into());
        }
        let bed = named.cloned().or(stay.bed);
        let mut changes = match &bed {
            Some(bed) => self.take_again(bed, &Lying { patient: &stay.patient, encounter: &encounter })?,
            None => Vec::new(),
        };
        changes.push(Change::Encounter(encounter.clone(), Event::EndCancelled { bed, at }));
        changes.push(Change::Patient(stay.patient.clone(), patient::Event::StayOpened { encounter, at }));
        if person.record().died.is_some() {
            changes.push(Change::Patient(person.mrn, patient::Event::DeathWithdrawn { at }));
        }
        Ok(changes)
    }

    /// Whoever never left may lie in a bed that housekeeping was asked for.
    fn take_again(&mut self, bed: &BedId, who: &Lying<'_>) -> Result<Vec<Change>, Stop<S::Failure>> {
        let at = self.context.now;
        match self.bed(bed)?.used {
            bed::Use::Cleaning { since } => Ok(vec![
                Change::Bed(bed.clone(), bed::Event::Cleaned { since, at }),
                Change::Bed(bed.clone(), bed::Event::PatientAdmitted { patient: who.patient.clone(), encounter: Some(who.encounter.clone()), at }),
            ]),
            bed::Use::Free | bed::Use::Reserved { .. } | bed::Use::Occupied { .. } | bed::Use::Blocked { .. } => self.occupy(bed, who),
        }
    }
}
