//! Rules of stays: admission, moves, leave, discharge, and taking each of them back.

use super::beds::Lying;
use super::identity::of_each;
use super::{Admission, Change, Command, Decision, Desk, Rejection, Scene, Stop, Told, Whole};
use crate::domain::bed::{self, Leaving};
use crate::domain::encounter::{Class, Clearance, Encounter, Ending, Event, Stay};
use crate::domain::{patient, vitals};
use crate::kernel::{BedId, EncounterId, Mrn, Timestamp};

/// An admission is taken back by hand within a day; what is longer ago was a stay.
const ERROR_SECONDS: i64 = 24 * 3_600;
/// Characters of the name of a place at most.
const PLACE: usize = 100;

/// A person's stay, which is open.
pub(super) struct Open {
    pub(super) encounter: EncounterId,
    pub(super) stay: Stay,
    /// All numbers of the person.
    pub(super) numbers: Vec<Mrn>,
}

impl Open {
    fn lying(&self) -> Lying<'_> {
        Lying { patient: &self.stay.patient, numbers: &self.numbers, encounter: &self.encounter }
    }

    pub(super) fn change(&self, event: Event) -> Change {
        Change::Encounter(self.encounter.clone(), event)
    }

    /// The bed that a transfer is asked for.
    fn asked(&self) -> Option<&BedId> {
        self.stay.transfer.as_ref().map(|(bed, _)| bed)
    }

    fn lies_in(&self, bed: &BedId) -> bool {
        self.stay.bed.as_ref() == Some(bed)
    }

    fn lies_elsewhere(&self, named: &BedId) -> Rejection {
        Rejection::OtherBed { patient: self.stay.patient.clone(), named: named.clone(), bed: self.stay.bed.clone() }
    }
}

/// A person's stay, which has ended.
struct Ended {
    encounter: EncounterId,
    stay: Stay,
    ending: Ending,
    at: Timestamp,
}

impl<S: Scene> Desk<'_, S> {
    pub(super) fn find_open(&mut self, person: &Whole) -> Result<Option<Open>, Stop<S::Failure>> {
        let Some((_, encounter)) = person.stay() else { return Ok(None) };
        let encounter = encounter.clone();
        Ok(self.encounter(&encounter)?.stay().cloned().map(|stay| Open { encounter, stay, numbers: person.numbers() }))
    }

    /// The open stay of whoever has this number.
    pub(super) fn open(&mut self, patient: &Mrn) -> Result<Open, Stop<S::Failure>> {
        let person = self.person(patient)?;
        match self.find_open(&person)? {
            Some(open) => Ok(open),
            None => {
                // The last stays are looked at as well: a command that was done before is known there.
                self.last_closed(&person)?;
                Err(Rejection::NotInHospital { patient: person.mrn }.into())
            }
        }
    }

    /// The stay of the person that ended last, under whichever number.
    fn last_closed(&mut self, person: &Whole) -> Result<Option<Ended>, Stop<S::Failure>> {
        let mut last: Option<Ended> = None;
        for encounter in person.records.iter().filter_map(|(_, record)| record.last_stay.clone()) {
            if let Encounter::Closed { stay, at, ending } = self.encounter(&encounter)?
                && last.as_ref().is_none_or(|known| at > known.at)
            {
                last = Some(Ended { encounter, stay, ending, at });
            }
        }
        Ok(last)
    }

    /// What a sender says of one visit concerns the stay only when that is the visit: late news of an old stay must not end a new one.
    pub(super) fn of_visit(&mut self, visit: Option<&EncounterId>, told: Option<Told>, is_exact: bool, command: &Command) -> Decision<S::Failure> {
        // A sender whose clock is ahead must not keep its own later news out.
        let now = self.context.now;
        let told = told.filter(|_| self.is_feed()).map(|told| Told { as_of: told.as_of.min(now), occurred: told.occurred.map(|at| at.min(now)) });
        let patient = match command {
            Command::Admit(_) => {
                let changes = self.decide(command)?;
                return Ok(heard(changes, told));
            }
            Command::RequestTransfer { patient, .. }
            | Command::CancelTransfer { patient }
            | Command::Move { patient, .. }
            | Command::MoveBack { patient, .. }
            | Command::Swap { patient, .. }
            | Command::ChangeClass { patient, .. }
            | Command::Depart { patient, .. }
            | Command::Arrive { patient, .. }
            | Command::BeginLeave { patient }
            | Command::EndLeave { patient }
            | Command::ExpectEnd { patient, .. }
            | Command::Discharge { patient, .. }
            | Command::CancelAdmission { patient, .. }
            | Command::CancelDischarge { patient, .. }
            | Command::RecordDeath { patient, .. } => patient,
            other => return self.decide(other),
        };
        let person = self.person(patient)?;
        let open = self.find_open(&person)?;
        let last = if open.is_none() { self.last_closed(&person)? } else { None };
        if let Some(visit) = visit {
            let is_it = |encounter: &EncounterId, stay: &Stay| encounter == visit || stay.visits.contains(visit);
            match (&open, &last) {
                (Some(open), _) if is_it(&open.encounter, &open.stay) => {}
                // A visit that is over: another one has begun since.
                (Some(_), _) if self.is_feed() && matches!(command, Command::Discharge { .. }) && self.is_over(visit, &person)? => return Ok(vec![]),
                (Some(open), _) if is_exact || !open.encounter.is_ours() => {
                    return Err(Rejection::OtherVisit { patient: person.mrn, named: visit.clone(), open: open.encounter.clone() }.into());
                }
                // Nobody is here: what is taken back is the end of the last stay, and of no older one.
                (None, Some(last)) if is_exact && !is_it(&last.encounter, &last.stay) => {
                    return Err(Rejection::OlderVisit { patient: person.mrn, named: visit.clone(), last: last.encounter.clone() }.into());
                }
                (Some(_) | None, _) => {}
            }
        }
        let known = open.as_ref().map(|open| &open.stay).or(last.as_ref().map(|last| &last.stay)).and_then(|stay| stay.as_of);
        let changes = self.decide(command);
        match (told, known) {
            // What agrees with what is known is no news, and nothing is wrong with it.
            (Some(Told { as_of: told, .. }), Some(known)) if told < known && changes.as_ref().map_or(true, |changes| !changes.is_empty()) => {
                Err(Rejection::OlderNews { patient: person.mrn, told, known }.into())
            }
            _ => Ok(heard(changes?, told)),
        }
    }

    /// Whether a visit of this person has ended.
    fn is_over(&mut self, visit: &EncounterId, person: &Whole) -> Result<bool, Stop<S::Failure>> {
        Ok(matches!(self.encounter(visit)?, Encounter::Closed { stay, .. } if person.numbers().contains(&stay.patient)))
    }

    /// A stay begins: of somebody who is not in hospital, into a bed that takes them.
    pub(super) fn admit(&mut self, admission: &Admission) -> Decision<S::Failure> {
        let at = self.context.now;
        let person = self.person(&admission.patient)?;
        self.is_somebody(&person)?;
        self.has_a_mother(admission, &person)?;
        let mut changes = Vec::new();
        if let Some(open) = self.find_open(&person)? {
            // From the emergency department or a clinic to a ward: the same stay goes on.
            if admission.class == Class::Inpatient && matches!(open.stay.class, Class::Emergency | Class::Outpatient) {
                let visit = admission.encounter.clone().filter(|visit| *visit != open.encounter);
                return self.change_class(&admission.patient, Class::Inpatient, admission.bed.as_ref(), visit);
            }
            // The same admission again, as systems repeat it.
            if open.stay.bed == admission.bed && admission.encounter.as_ref().is_none_or(|named| *named == open.encounter || open.stay.visits.contains(named)) {
                return Ok(vec![]);
            }
            // Another system's patient who comes and goes: whoever lies here visits a clinic, and a visit ends when the next one begins.
            let comes_and_goes = self.is_feed() && admission.bed.is_none() && matches!(admission.class, Class::Emergency | Class::Outpatient);
            match (comes_and_goes, &open.stay.bed, open.stay.class) {
                (true, None, Class::Emergency | Class::Outpatient) => changes = self.close(&open, Ending::Discharged)?,
                (true, _, _) => return Ok(vec![]),
                (false, _, _) => return Err(Rejection::InHospital { patient: person.mrn, encounter: open.encounter, bed: open.stay.bed }.into()),
            }
        }
        let bed = self.own_bed(admission)?;
        if let Some(at) = person.records.iter().find_map(|(_, record)| record.died) {
            return Err(Rejection::Deceased { patient: person.mrn, at }.into());
        }
        let encounter = admission.encounter.clone().unwrap_or_else(|| EncounterId::of_command(self.context.command));
        let numbers = person.numbers();
        match self.encounter(&encounter)? {
            Encounter::None => {}
            // The admission was an error, and now it is none.
            Encounter::Closed { stay, ending: Ending::Cancelled, .. } if numbers.contains(&stay.patient) => {}
            Encounter::Planned { patient, bed: kept, .. } if numbers.contains(&patient) => {
                let other_bed = kept.filter(|kept| Some(kept) != bed.as_ref());
                changes.extend(self.give_up(other_bed.as_ref(), &numbers)?);
                changes.push(Change::Patient(patient, patient::Event::PlanEnded { encounter: encounter.clone() }));
            }
            Encounter::Planned { .. } | Encounter::Open(_) | Encounter::Closed { .. } => return Err(Rejection::EncounterUsed { encounter }.into()),
        }
        let patient = admission.patient.clone();
        if let Some(bed) = &bed {
            changes.extend(self.occupy(bed, &Lying { patient: &patient, numbers: &numbers, encounter: &encounter })?);
        }
        let (mother, account, ward) = (admission.mother.clone(), admission.account.clone(), admission.ward.clone());
        let admitted = Event::Admitted { patient: patient.clone(), class: admission.class, bed, mother, account, ward, at };
        changes.push(Change::Encounter(encounter.clone(), admitted));
        changes.push(Change::Patient(patient, patient::Event::StayOpened { encounter, at }));
        Ok(changes)
    }

    /// A mother who is named is somebody, and somebody else.
    fn has_a_mother(&mut self, admission: &Admission, child: &Whole) -> Result<(), Stop<S::Failure>> {
        let Some(mother) = &admission.mother else { return Ok(()) };
        let person = self.person(mother)?;
        if child.numbers().contains(mother) {
            return Err(Rejection::SameNumber { patient: mother.clone() }.into());
        }
        Ok(self.is_somebody(&person)?)
    }

    /// The bed that is the patient's own: a newborn who rooms in lies with the mother, in no bed of a ward.
    fn own_bed(&mut self, admission: &Admission) -> Result<Option<BedId>, Stop<S::Failure>> {
        let Some(bed) = &admission.bed else { return Ok(None) };
        let Some(mother) = admission.mother.as_ref().filter(|_| admission.class == Class::Newborn) else { return Ok(Some(bed.clone())) };
        let mothers = self.person(mother)?.numbers();
        let is_hers = self.bed(bed)?.occupant().is_some_and(|(occupant, _)| mothers.contains(occupant));
        Ok(Some(bed.clone()).filter(|_| !is_hers))
    }

    /// Another system's plan keeps no bed: it is weeks ahead, and the bed is somebody's today.
    pub(super) fn plan(&mut self, admission: &Admission, expected: Option<Timestamp>) -> Decision<S::Failure> {
        let person = self.person(&admission.patient)?;
        self.is_somebody(&person)?;
        self.has_a_mother(admission, &person)?;
        let numbers = person.numbers();
        let encounter = admission.encounter.clone().unwrap_or_else(|| EncounterId::of_command(self.context.command));
        let bed = admission.bed.clone().filter(|_| !self.is_feed());
        let (before, patient) = match self.encounter(&encounter)? {
            Encounter::None => (None, admission.patient.clone()),
            Encounter::Closed { stay, ending: Ending::Cancelled, .. } if numbers.contains(&stay.patient) => (None, admission.patient.clone()),
            Encounter::Planned { patient, bed, .. } if numbers.contains(&patient) => (bed, patient),
            Encounter::Planned { .. } | Encounter::Open(_) | Encounter::Closed { .. } => return Err(Rejection::EncounterUsed { encounter }.into()),
        };
        let mut changes = self.give_up(before.filter(|kept| Some(kept) != bed.as_ref()).as_ref(), &numbers)?;
        if let Some(bed) = &bed {
            changes.extend(self.reserve(bed, &patient, &numbers)?);
        }
        if !person.record(&patient).plans.contains(&encounter) {
            changes.push(Change::Patient(patient.clone(), patient::Event::StayPlanned { encounter: encounter.clone() }));
        }
        changes.push(Change::Encounter(encounter, Event::Planned { patient, class: admission.class, bed, expected }));
        Ok(changes)
    }

    pub(super) fn cancel_plan(&mut self, patient: &Mrn, named: Option<&EncounterId>) -> Decision<S::Failure> {
        let person = self.person(patient)?;
        let plans: Vec<EncounterId> = person.records.iter().flat_map(|(_, record)| record.plans.iter().cloned()).collect();
        let encounter = match (named, plans.as_slice()) {
            (Some(named), _) => named.clone(),
            (None, [only]) => only.clone(),
            (None, _) => return Err(Rejection::NotPlanned { patient: person.mrn }.into()),
        };
        match self.encounter(&encounter)? {
            Encounter::Planned { patient, bed, .. } if person.numbers().contains(&patient) => {
                let mut changes = self.give_up(bed.as_ref(), &person.numbers())?;
                changes.push(Change::Encounter(encounter.clone(), Event::PlanCancelled { at: self.context.now }));
                changes.push(Change::Patient(patient, patient::Event::PlanEnded { encounter }));
                Ok(changes)
            }
            Encounter::None | Encounter::Planned { .. } | Encounter::Open(_) | Encounter::Closed { .. } => Err(Rejection::NotPlanned { patient: person.mrn }.into()),
        }
    }

    /// The receiving ward's bed is kept for the patient until it accepts.
    pub(super) fn request_transfer(&mut self, patient: &Mrn, to: &BedId) -> Decision<S::Failure> {
        let open = self.open(patient)?;
        if open.lies_in(to) || open.asked() == Some(to) {
            return Ok(vec![]);
        }
        let mut changes = self.give_up(open.asked(), &open.numbers)?;
        changes.extend(self.reserve(to, &open.stay.patient, &open.numbers)?);
        changes.push(open.change(Event::TransferRequested { to: to.clone(), at: self.context.now }));
        Ok(changes)
    }

    pub(super) fn accept_transfer(&mut self, patient: &Mrn) -> Decision<S::Failure> {
        let open = self.open(patient)?;
        match open.asked().cloned() {
            Some(to) => self.change_bed(&open, &to, false),
            None => Err(Rejection::NoTransfer { patient: patient.clone() }.into()),
        }
    }

    pub(super) fn cancel_transfer(&mut self, patient: &Mrn) -> Decision<S::Failure> {
        let open = self.open(patient)?;
        let Some(to) = open.asked() else { return Err(Rejection::NoTransfer { patient: patient.clone() }.into()) };
        let mut changes = self.give_up(Some(to), &open.numbers)?;
        changes.push(open.change(Event::TransferCancelled { at: self.context.now }));
        Ok(changes)
    }

    pub(super) fn move_to(&mut self, patient: &Mrn, to: &BedId) -> Decision<S::Failure> {
        let open = self.open(patient)?;
        if open.lies_in(to) { Ok(vec![]) } else { self.change_bed(&open, to, false) }
    }

    /// Back to the bed before the last move, which must be the one that the sender means; a second time changes nothing.
    pub(super) fn move_back(&mut self, patient: &Mrn, named: Option<&BedId>) -> Decision<S::Failure> {
        let open = self.open(patient)?;
        match (open.stay.bed_before.clone(), named) {
            (_, Some(named)) if open.lies_in(named) => Ok(vec![]),
            (Some(before), Some(named)) if before != *named => Err(open.lies_elsewhere(named).into()),
            (Some(before), _) => self.change_bed(&open, &before, true),
            (None, _) => Err(Rejection::NotMoved { patient: patient.clone() }.into()),
        }
    }

    /// The new bed first: when it refuses, the patient stays where they are.
    fn change_bed(&mut self, open: &Open, to: &BedId, is_back: bool) -> Decision<S::Failure> {
        let mut changes = if is_back { self.take_again(to, &open.lying())? } else { self.occupy(to, &open.lying())? };
        changes.extend(self.isolation_goes_along(open.stay.bed.as_ref(), to)?);
        changes.extend(self.vacate(open.stay.bed.as_ref(), &open.lying(), Leaving::Transfer)?);
        let elsewhere = open.asked().filter(|asked| *asked != to);
        changes.extend(self.give_up(elsewhere, &open.numbers)?);
        changes.push(open.change(Event::Moved { from: open.stay.bed.clone(), to: Some(to.clone()), is_back, at: self.context.now }));
        Ok(changes)
    }

    /// Each takes the bed of the other; neither lies in two, and nobody else gets in between. A sender who names the bed that the
    /// first one comes to is heard once.
    pub(super) fn swap(&mut self, patient: &Mrn, with: &Mrn, named: Option<&BedId>) -> Decision<S::Failure> {
        let (one, other) = (self.open(patient)?, self.open(with)?);
        if one.encounter == other.encounter {
            return Err(Rejection::SameNumber { patient: with.clone() }.into());
        }
        let bed_of = |open: &Open| open.stay.bed.clone().ok_or_else(|| Rejection::NoBed { patient: open.stay.patient.clone() });
        let (from, to) = (bed_of(&one)?, bed_of(&other)?);
        match named {
            Some(named) if *named == from => return Ok(vec![]),
            Some(named) if *named != to => return Err(other.lies_elsewhere(named).into()),
            Some(_) | None => {}
        }
        let at = self.context.now;
        let (mut left, mut taken, mut isolated) = (Vec::new(), Vec::new(), Vec::new());
        for (open, bed, before) in [(&one, &to, &from), (&other, &from, &to)] {
            // A bed that is taken at once is not cleaned in between.
            let leaves = self.vacate(Some(before), &open.lying(), Leaving::Transfer)?;
            left.extend(leaves.into_iter().filter(|change| matches!(change, Change::Bed(_, bed::Event::PatientLeft { .. }))));
            let lies_down = bed::Event::PatientAdmitted { patient: open.stay.patient.clone(), encounter: Some(open.encounter.clone()), at };
            taken.push(Change::Bed(bed.clone(), lies_down));
            taken.extend(self.give_up(open.asked(), &open.numbers)?);
            taken.push(open.change(Event::Moved { from: Some(before.clone()), to: Some(bed.clone()), is_back: false, at }));
            let carried = self.isolation_goes_along(Some(before), bed)?;
            let is_left = self.bed(before)?.isolation.is_none() && self.bed(bed)?.isolation.is_some();
            isolated.extend(carried);
            isolated.extend(is_left.then(|| Change::Bed(bed.clone(), bed::Event::IsolationEnded { at })));
        }
        Ok(left.into_iter().chain(taken).chain(isolated).collect())
    }

    pub(super) fn change_class(&mut self, patient: &Mrn, class: Class, bed: Option<&BedId>, visit: Option<EncounterId>) -> Decision<S::Failure> {
        let open = self.open(patient)?;
        let mut changes = match bed.filter(|bed| !open.lies_in(bed)) {
            Some(bed) => self.change_bed(&open, bed, false)?,
            None => Vec::new(),
        };
        let visit = visit.filter(|visit| !open.stay.visits.contains(visit));
        if open.stay.class != class || visit.is_some() {
            changes.push(open.change(Event::ClassChanged { class, visit, at: self.context.now }));
        }
        Ok(changes)
    }

    /// To a place for a while. Of whoever lies in no bed here a feed may say it too: nothing follows from it.
    pub(super) fn depart(&mut self, patient: &Mrn, to: Option<&str>) -> Decision<S::Failure> {
        let Some(open) = self.open_or_outside(patient)? else { return Ok(vec![]) };
        let to = match (to, &open.stay.away) {
            (Some(to), _) => place(to)?,
            (None, Some(away)) => away.place.clone(),
            (None, None) => return Err(Rejection::NotAway { patient: patient.clone() }.into()),
        };
        let is_known = open.stay.away.as_ref().is_some_and(|away| !away.is_there && away.place == to);
        if is_known { Ok(vec![]) } else { Ok(vec![open.change(Event::Departed { to, at: self.context.now })]) }
    }

    /// At a place, or back in bed.
    pub(super) fn arrive(&mut self, patient: &Mrn, at_place: Option<&str>) -> Decision<S::Failure> {
        let Some(open) = self.open_or_outside(patient)? else { return Ok(vec![]) };
        let at_place = at_place.map(place).transpose()?;
        let is_known = match (&open.stay.away, &at_place) {
            (None, None) => true,
            (Some(away), Some(named)) => away.is_there && away.place == *named,
            (Some(_), None) | (None, Some(_)) => false,
        };
        if is_known { Ok(vec![]) } else { Ok(vec![open.change(Event::Arrived { place: at_place, at: self.context.now })]) }
    }

    /// The open stay; none of somebody whom a feed speaks of and who is in no stay here.
    fn open_or_outside(&mut self, patient: &Mrn) -> Result<Option<Open>, Stop<S::Failure>> {
        match self.open(patient) {
            Err(Stop::Rejected(Rejection::NotInHospital { .. })) if self.is_feed() => Ok(None),
            found => found.map(Some),
        }
    }

    /// What another system keeps no more: here a stay that has ended stays, a plan is cancelled, and what goes on is not removed.
    pub(super) fn remove_stay(&mut self, patient: &Mrn, visit: Option<&EncounterId>) -> Decision<S::Failure> {
        let person = self.person(patient)?;
        let open = self.find_open(&person)?;
        let still_here = |open: &Open| Rejection::StillHere { patient: open.stay.patient.clone(), encounter: open.encounter.clone() };
        match (visit, open) {
            (None, Some(open)) => return Err(still_here(&open).into()),
            (Some(visit), Some(open)) if open.encounter == *visit || open.stay.visits.contains(visit) => return Err(still_here(&open).into()),
            (_, _) => {}
        }
        let Some(visit) = visit else { return Ok(vec![]) };
        match self.encounter(visit)? {
            Encounter::None => Ok(vec![]),
            state if !state.patient().is_some_and(|whose| person.numbers().contains(whose)) => {
                Err(Rejection::OtherEncounter { patient: patient.clone(), encounter: visit.clone() }.into())
            }
            Encounter::Planned { .. } => self.cancel_plan(patient, Some(visit)),
            Encounter::Open(_) | Encounter::Closed { .. } => Ok(vec![Change::Encounter(visit.clone(), Event::RemovedElsewhere { at: self.context.now })]),
        }
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
            // Clinics discharge whoever never lay in a bed: they are as the sender says.
            (Err(Stop::Rejected(Rejection::NotInHospital { .. })), None) if self.is_feed() => return Ok(vec![]),
            (Err(stop), _) => return Err(stop),
        };
        if let Some(named) = named.filter(|named| !open.lies_in(named)) {
            return Err(open.lies_elsewhere(named).into());
        }
        // Whoever was looked after has had a stay: it ends by a discharge, with everybody's word.
        if ending == Ending::Cancelled && !self.is_feed() {
            self.was_an_error(&open)?;
        }
        let missing: Vec<Clearance> = self.policy.clearances.iter().copied().filter(|needed| !open.stay.cleared.contains(needed)).collect();
        if ending == Ending::Discharged && !self.is_feed() && !missing.is_empty() {
            return Err(Rejection::NotCleared { patient: open.stay.patient, missing }.into());
        }
        self.close(&open, ending)
    }

    /// Whoever was put into a bed meanwhile stays, and so does whoever came for something else.
    pub(super) fn end_visit(&mut self, patient: &Mrn, encounter: &EncounterId) -> Decision<S::Failure> {
        let person = self.person(patient)?;
        match self.find_open(&person)? {
            Some(open) if open.encounter == *encounter && open.stay.bed.is_none() && open.stay.class == Class::Outpatient => self.end(patient, None, Ending::Discharged),
            Some(_) | None => Ok(vec![]),
        }
    }

    /// That nothing was written, measured or done during a stay that is said to have been an error, and that it is not long ago.
    fn was_an_error(&mut self, open: &Open) -> Result<(), Stop<S::Failure>> {
        let mut is_used = self.context.now.seconds_since(open.stay.admitted) > ERROR_SECONDS || !open.stay.cleared.is_empty();
        for mrn in &open.numbers {
            let chart = self.scene.chart(mrn).map_err(Stop::Failed)?;
            let signs = self.scene.vitals(mrn).map_err(Stop::Failed)?;
            is_used |= chart.notes.iter().any(|note| note.encounter == open.encounter && note.withdrawn.is_none());
            is_used |= signs.newest.values().any(|measured| *measured > open.stay.admitted) || signs.fluids.iter().any(|fluid| fluid.measured > open.stay.admitted);
        }
        match is_used {
            true => Err(Rejection::WasAStay { patient: open.stay.patient.clone(), admitted: open.stay.admitted }.into()),
            false => Ok(()),
        }
    }

    fn close(&mut self, open: &Open, ending: Ending) -> Decision<S::Failure> {
        let at = self.context.now;
        let reason = if ending == Ending::Cancelled { Leaving::Cancelled } else { Leaving::Discharge };
        let mut changes = self.vacate(open.stay.bed.as_ref(), &open.lying(), reason)?;
        changes.extend(self.give_up(open.asked(), &open.numbers)?);
        changes.extend(self.companion_goes((&open.encounter, &open.stay))?);
        changes.push(open.change(Event::Ended { ending, at }));
        changes.push(Change::Patient(open.stay.patient.clone(), patient::Event::StayClosed { encounter: open.encounter.clone(), at }));
        // Nobody is to be called to a bed that the patient has left.
        for mrn in &open.numbers {
            let signs = self.scene.vitals(mrn).map_err(Stop::Failed)?;
            changes.extend(signs.alerts.keys().map(|number| Change::Vitals(mrn.clone(), vitals::Event::AlertClosed { number: *number })));
        }
        Ok(changes)
    }

    /// A bed that was taken before there were encounters has nothing else to end.
    fn leave_bed(&mut self, patient: &Mrn, bed: &BedId, ending: Ending) -> Decision<S::Failure> {
        let at = self.context.now;
        let reason = if ending == Ending::Cancelled { Leaving::Cancelled } else { Leaving::Discharge };
        match self.bed(bed)?.occupant() {
            None => Err(Rejection::NotOccupied { bed: bed.clone() }.into()),
            Some((occupant, _)) if occupant != patient => Err(Rejection::OtherBed { patient: patient.clone(), named: bed.clone(), bed: None }.into()),
            Some((_, since)) => {
                let left = Change::Bed(bed.clone(), bed::Event::PatientLeft { patient: patient.clone(), encounter: None, since, at, reason });
                let cleaning = self.policy.housekeeping.then(|| Change::Bed(bed.clone(), bed::Event::CleaningAsked { at }));
                Ok([left].into_iter().chain(cleaning).collect())
            }
        }
    }

    /// Ends the stay, if there is one, without asking for anybody's word.
    /// The time may be an earlier one; beds and stays end now, when it is known.
    pub(super) fn record_death(&mut self, patient: &Mrn, told: Option<Timestamp>) -> Decision<S::Failure> {
        // The clock of another system may be ahead.
        let told = told.map(|told| if self.is_feed() { told.min(self.context.now) } else { told });
        let at = told.unwrap_or(self.context.now);
        if at > self.context.now {
            return Err(Rejection::NotYet { at }.into());
        }
        let person = self.person(patient)?;
        self.is_somebody(&person)?;
        let mut changes = match self.find_open(&person)? {
            Some(open) => self.close(&open, Ending::Died)?,
            None => Vec::new(),
        };
        if person.records.iter().all(|(_, record)| record.died.is_none()) {
            changes.push(Change::Patient(patient.clone(), patient::Event::Died { at }));
        }
        Ok(changes)
    }

    /// The patient lives; a stay that the death had ended goes on by cancelling the discharge.
    pub(super) fn withdraw_death(&mut self, patient: &Mrn) -> Decision<S::Failure> {
        let (at, person) = (self.context.now, self.person(patient)?);
        let changes = of_each(&person, patient, |record| record.died.is_some(), |under| patient::Event::DeathWithdrawn { under, at });
        if changes.is_empty() { Err(Rejection::NotDeceased { patient: person.mrn }.into()) } else { Ok(changes) }
    }

    /// The patient is still here: in the bed that is named or the last one, when it takes them. Whoever is recorded as dead comes back
    /// into the stay that the death has ended, and into no older one.
    pub(super) fn cancel_discharge(&mut self, patient: &Mrn, named: Option<&BedId>) -> Decision<S::Failure> {
        let at = self.context.now;
        let person = self.person(patient)?;
        if let Some(open) = self.find_open(&person)? {
            let is_same = named.is_none_or(|named| open.lies_in(named));
            return if is_same { Ok(vec![]) } else { Err(Rejection::InHospital { patient: person.mrn, encounter: open.encounter, bed: open.stay.bed }.into()) };
        }
        let died = person.records.iter().find_map(|(_, record)| record.died);
        let (encounter, stay) = match (self.last_closed(&person)?, died) {
            (Some(Ended { encounter, stay, ending: Ending::Died, .. }), _) | (Some(Ended { encounter, stay, ending: Ending::Discharged, .. }), None) => (encounter, stay),
            (_, Some(at)) => return Err(Rejection::Deceased { patient: person.mrn, at }.into()),
            (Some(_) | None, None) => return Err(Rejection::NotDischarged { patient: patient.clone() }.into()),
        };
        let bed = named.cloned().or(stay.bed);
        let mut changes = match &bed {
            Some(bed) => self.take_again(bed, &Lying { patient: &stay.patient, numbers: &person.numbers(), encounter: &encounter })?,
            None => Vec::new(),
        };
        changes.extend(self.alerts_again(&person, stay.admitted)?);
        changes.push(Change::Encounter(encounter.clone(), Event::EndCancelled { bed, at }));
        changes.push(Change::Patient(stay.patient.clone(), patient::Event::StayOpened { encounter, at }));
        changes.extend(of_each(&person, patient, |record| record.died.is_some(), |under| patient::Event::DeathWithdrawn { under, at }));
        Ok(changes)
    }
}

/// The name of a place, as it is said.
fn place(text: &str) -> Result<String, Rejection> {
    let text = text.trim();
    match text.chars().count() {
        0 => Err(Rejection::Missing { field: "place", what: "where the patient is" }),
        length if length > PLACE => Err(Rejection::PlaceTooLong { length, most: PLACE }),
        _ => Ok(text.to_owned()),
    }
}

/// As of when the sender's word is, and when it says that it happened, beside what it changes: so beds can be priced by what was, and not
/// by when it was heard.
fn heard(mut changes: Vec<Change>, told: Option<Told>) -> Vec<Change> {
    let Some(Told { as_of, occurred }) = told else { return changes };
    let mut stays: Vec<EncounterId> = changes.iter().filter_map(|change| if let Change::Encounter(encounter, _) = change { Some(encounter.clone()) } else { None }).collect();
    stays.dedup();
    changes.extend(stays.into_iter().map(|stay| Change::Encounter(stay, Event::Heard { as_of, occurred })));
    changes
}
