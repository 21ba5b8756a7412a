//! Rules of a stay that was written under the wrong number: whose it is, and what goes along.
//!
//! Nothing is copied that does not count: what was withdrawn, what is over, what another value has replaced stays where it was written.
//! An allergy is known of both afterwards: too much is safe, and a person takes away what is too much.

use super::{Change, Command, Decision, Desk, Rejection, Scene, Stop, Whole};
use crate::domain::bed;
use crate::domain::chart::{self, Asked, Standing};
use crate::domain::encounter::{Encounter, Ending, Event, Stay};
use crate::domain::patient;
use crate::domain::task;
use crate::domain::vitals::{self, Fluid};
use crate::kernel::{BedId, EncounterId, Mrn, Timestamp};

/// A stay on its way from one person to another.
struct Moving<'a> {
    giver: &'a Whole,
    taker: &'a Whole,
    /// The number of the taker that the sender names.
    to: &'a Mrn,
    encounter: &'a EncounterId,
}

impl<S: Scene> Desk<'_, S> {
    /// The stay becomes the other person's: with the bed, the plan, the death that ended it, and with what counts of what was written
    /// during it. A second time changes nothing, but for the account.
    pub(super) fn move_stay(&mut self, from: &Mrn, to: &Mrn, visit: &EncounterId, account: Option<&str>) -> Decision<S::Failure> {
        let (giver, taker) = (self.person(from)?, self.person(to)?);
        let encounter = match self.find_open(&giver)? {
            Some(open) if open.stay.visits.contains(visit) => open.encounter,
            Some(_) | None => visit.clone(),
        };
        let state = self.encounter(&encounter)?;
        let Some(whose) = state.patient().cloned() else { return Err(Rejection::OtherEncounter { patient: from.clone(), encounter }.into()) };
        if taker.numbers().contains(&whose) {
            return Ok(self.bill_to(&encounter, &state, account));
        }
        if !giver.numbers().contains(&whose) {
            return Err(Rejection::OtherEncounter { patient: from.clone(), encounter }.into());
        }
        let moving = Moving { giver: &giver, taker: &taker, to, encounter: &encounter };
        match state {
            Encounter::None => Ok(vec![]),
            Encounter::Planned { patient, class, bed, expected } => {
                let mut changes = self.keep_for(bed.as_ref(), &moving)?;
                changes.push(Change::Patient(patient, patient::Event::PlanEnded { encounter: encounter.clone() }));
                changes.push(Change::Patient(to.clone(), patient::Event::StayPlanned { encounter: encounter.clone() }));
                changes.push(Change::Encounter(encounter.clone(), Event::Planned { patient: to.clone(), class, bed, expected }));
                Ok(changes)
            }
            Encounter::Open(stay) => self.move_open(&moving, stay, account),
            Encounter::Closed { stay, at, ending } => {
                let mut changes = self.whose_it_is(&moving, stay, Some((at, ending)), account)?;
                if ending == Ending::Died {
                    changes.extend(self.death_goes_along(&moving));
                }
                Ok(changes)
            }
        }
    }

    /// Every stay of the account that is open or was the last; none when the same message comes again.
    pub(super) fn moves_of_account(&mut self, from: &Mrn, to: &Mrn, account: &str) -> Result<Vec<Command>, Stop<S::Failure>> {
        let mut moves = Vec::new();
        for visit in self.billed_to(from, account)? {
            moves.push(Command::MoveStay { from: from.clone(), to: to.clone(), visit, account: Some(account.to_owned()) });
        }
        match moves.is_empty() && self.billed_to(to, account)?.is_empty() {
            true => Err(Rejection::UnknownAccount { patient: from.clone(), account: account.to_owned() }.into()),
            false => Ok(moves),
        }
    }

    fn billed_to(&mut self, patient: &Mrn, account: &str) -> Result<Vec<EncounterId>, Stop<S::Failure>> {
        let person = self.person(patient)?;
        let mut stays: Vec<EncounterId> = person.records.iter().flat_map(|(_, record)| record.stay.iter().chain(&record.last_stay).cloned()).collect();
        stays.dedup();
        let mut found = Vec::new();
        for encounter in stays {
            if let Encounter::Open(stay) | Encounter::Closed { stay, .. } = self.encounter(&encounter)?
                && stay.account.as_deref() == Some(account)
                && !found.contains(&encounter)
            {
                found.push(encounter);
            }
        }
        Ok(found)
    }

    fn bill_to(&self, encounter: &EncounterId, state: &Encounter, account: Option<&str>) -> Vec<Change> {
        let (Encounter::Open(stay) | Encounter::Closed { stay, .. }) = state else { return vec![] };
        let other = account.filter(|account| stay.account.as_deref() != Some(*account));
        other.map(|account| Change::Encounter(encounter.clone(), Event::AccountChanged { account: account.to_owned(), at: self.context.now })).into_iter().collect()
    }

    /// Of whoever is in hospital with it: nobody can be here twice, or dead.
    fn move_open(&mut self, moving: &Moving<'_>, stay: Stay, account: Option<&str>) -> Decision<S::Failure> {
        if let Some(other) = self.find_open(moving.taker)? {
            return Err(Rejection::InHospital { patient: moving.taker.mrn.clone(), encounter: other.encounter, bed: other.stay.bed }.into());
        }
        if let Some(at) = moving.taker.records.iter().find_map(|(_, record)| record.died) {
            return Err(Rejection::Deceased { patient: moving.taker.mrn.clone(), at }.into());
        }
        let at = self.context.now;
        let mut changes = self.keep_for(stay.transfer.as_ref().map(|(bed, _)| bed), moving)?;
        let lies_there = bed::Event::OccupantNamed { patient: moving.to.clone(), encounter: moving.encounter.clone(), at };
        let beds = stay.bed.iter().chain(stay.companion.as_ref().map(|companion| &companion.bed));
        changes.extend(beds.map(|bed| Change::Bed(bed.clone(), lies_there.clone())));
        // The band on the arm says the wrong number.
        let newest = moving.giver.records.iter().map(|(_, record)| record.wristband).max().unwrap_or(0);
        if newest > 0 {
            changes.push(Change::Patient(moving.giver.mrn.clone(), patient::Event::WristbandsVoided { number: newest + 1, at }));
        }
        changes.extend(self.whose_it_is(moving, stay, None, account)?);
        Ok(changes)
    }

    /// The stay itself, and what counts of what was written during it.
    fn whose_it_is(&mut self, moving: &Moving<'_>, stay: Stay, ended: Option<(Timestamp, Ending)>, account: Option<&str>) -> Decision<S::Failure> {
        let (at, encounter, is_open) = (self.context.now, moving.encounter, ended.is_none());
        let (from, since, until) = (stay.patient.clone(), stay.admitted, ended.map_or(at, |(at, _)| at));
        let stay = Box::new(Stay { patient: moving.to.clone(), account: account.map(str::to_owned).or_else(|| stay.account.clone()), ..stay });
        let mut changes = vec![
            Change::Encounter(encounter.clone(), Event::Reassigned { from: from.clone(), stay, ended, at }),
            Change::Patient(from.clone(), patient::Event::StayGivenUp { encounter: encounter.clone(), to: moving.to.clone(), at }),
            Change::Patient(moving.to.clone(), patient::Event::StayTaken { encounter: encounter.clone(), from, is_open, at }),
        ];
        changes.extend(Self::allergies_go_along(moving, (since, until), at));
        changes.extend(self.chart_goes_along(moving)?);
        let tasks: Vec<task::Task> = self.scene.tasks(encounter).map_err(Stop::Failed)?.tasks.into_values().collect();
        if !tasks.is_empty() {
            changes.push(Change::Task(encounter.clone(), task::Event::TasksReassigned { patient: moving.to.clone(), tasks }));
        }
        changes.extend(self.signs_go_along(moving, (since, until), is_open)?);
        Ok(changes)
    }

    /// A bed that is kept for one is kept for the other.
    fn keep_for(&mut self, bed: Option<&BedId>, moving: &Moving<'_>) -> Result<Vec<Change>, Stop<S::Failure>> {
        let mut changes = self.give_up(bed, &moving.giver.numbers())?;
        if let Some(bed) = bed.filter(|_| !changes.is_empty()) {
            changes.push(Change::Bed(bed.clone(), bed::Event::Reserved { patient: moving.to.clone(), at: self.context.now }));
        }
        Ok(changes)
    }

    fn death_goes_along(&self, moving: &Moving<'_>) -> Vec<Change> {
        let at = self.context.now;
        let died = moving.giver.records.iter().find_map(|(_, record)| record.died);
        let mut changes = super::identity::of_each(moving.giver, &moving.giver.mrn, |record| record.died.is_some(), |_| patient::Event::DeathWithdrawn { under: None, at });
        let is_known = moving.taker.records.iter().any(|(_, record)| record.died.is_some());
        changes.extend(died.filter(|_| !is_known).map(|at| Change::Patient(moving.to.clone(), patient::Event::Died { at })));
        changes
    }

    fn allergies_go_along(moving: &Moving<'_>, (since, until): (Timestamp, Timestamp), at: Timestamp) -> Vec<Change> {
        let own = moving.taker.record(moving.to);
        let said = moving.giver.records.iter().flat_map(|(_, record)| record.allergies.known()).filter(|known| (since..=until).contains(&known.at));
        let news = said.filter_map(|said| match own.allergies.against(&said.allergy.substance) {
            Some(known) => Some(known.and(&said.allergy)).filter(|both| both != known),
            None => Some(said.allergy.clone()),
        });
        news.map(|allergy| Change::Patient(moving.to.clone(), patient::Event::AllergyRecorded { allergy, at })).collect()
    }

    /// Notes and problems of the stay: written anew there, withdrawn here.
    fn chart_goes_along(&mut self, moving: &Moving<'_>) -> Decision<S::Failure> {
        let at = self.context.now;
        let reason = || format!("of {}, whose stay this was", moving.to);
        let there = self.scene.chart(moving.to).map_err(Stop::Failed)?;
        let (mut notes, mut problems) = (there.notes.last().map_or(0, |note| note.number), there.problems.last().map_or(0, |problem| problem.number));
        let mut referrals = there.referrals.last().map_or(0, |referral| referral.number);
        let mut changes = Vec::new();
        for mrn in moving.giver.numbers() {
            let chart = self.scene.chart(&mrn).map_err(Stop::Failed)?;
            for note in chart.notes.iter().filter(|note| note.encounter == *moving.encounter && note.withdrawn.is_none()) {
                let Some(newest) = note.versions.last() else { continue };
                notes += 1;
                let (encounter, text, form, by) = (note.encounter.clone(), newest.text.clone(), newest.form.clone().map(Box::new), note.by.clone());
                let written = chart::Event::NoteWritten { number: notes, encounter, kind: note.kind, text, form, by, at: newest.at };
                changes.push(Change::Chart(moving.to.clone(), written));
                changes.push(Change::Chart(mrn.clone(), chart::Event::NoteWithdrawn { number: note.number, reason: reason(), at }));
            }
            for problem in chart.problems.iter().filter(|problem| problem.encounter.as_ref() == Some(moving.encounter) && problem.standing == Standing::Active) {
                if !there.problems.iter().any(|known| known.code == problem.code && !matches!(known.standing, Standing::Refuted { .. })) {
                    problems += 1;
                    let (code, text, by) = (problem.code.clone(), problem.text.clone(), problem.by.clone());
                    let known = chart::Event::ProblemRecorded { number: problems, code, text, onset: problem.onset, encounter: problem.encounter.clone(), by, at: problem.at };
                    changes.push(Change::Chart(moving.to.clone(), known));
                }
                changes.push(Change::Chart(mrn.clone(), chart::Event::ProblemRefuted { number: problem.number, reason: reason(), at }));
            }
            for referral in chart.referrals.iter().filter(|referral| referral.encounter.as_ref() == Some(moving.encounter) && referral.standing == Asked::Open) {
                referrals += 1;
                let referral_there = chart::Referral { number: referrals, ..referral.clone() };
                changes.push(Change::Chart(moving.to.clone(), chart::Event::ReferralMade { referral: Box::new(referral_there) }));
                changes.push(Change::Chart(mrn.clone(), chart::Event::ReferralEnded { number: referral.number, standing: Asked::Cancelled { reason: reason() }, at }));
            }
        }
        Ok(changes)
    }

    /// The newest values of the stay and its fluids; while it goes on also its alerts, for somebody must come to this bed.
    fn signs_go_along(&mut self, moving: &Moving<'_>, (since, until): (Timestamp, Timestamp), is_open: bool) -> Decision<S::Failure> {
        let by = self.context.principal.to_string();
        let reason = || format!("of {}, whose stay this was", moving.to);
        let there = self.scene.vitals(moving.to).map_err(Stop::Failed)?;
        let (mut alerts, mut fluids) = (there.alert_count, there.fluid_count);
        let mut changes = Vec::new();
        for mrn in moving.giver.numbers() {
            let signs = self.scene.vitals(&mrn).map_err(Stop::Failed)?;
            let mut push = |whose: &Mrn, event| changes.push(Change::Vitals(whose.clone(), event));
            for (code, latest) in signs.latest.iter().filter(|(_, latest)| (since..=until).contains(&latest.measured)) {
                let reading = vitals::Reading { code: code.clone(), value: latest.value, unit: latest.unit.clone() };
                push(moving.to, vitals::Event::VitalsTaken { readings: vec![reading], measured: latest.measured, source: latest.source.clone() });
                push(&mrn, vitals::Event::ReadingWithdrawn { code: code.clone(), measured: latest.measured, reason: reason(), by: by.clone() });
            }
            for fluid in signs.fluids.iter().filter(|fluid| (since..=until).contains(&fluid.measured)) {
                fluids += 1;
                push(moving.to, vitals::Event::FluidRecorded { fluid: Fluid { number: fluids, ..fluid.clone() } });
                push(&mrn, vitals::Event::FluidWithdrawn { number: fluid.number, reason: reason(), by: by.clone() });
            }
            for (number, alert) in signs.alerts.iter().filter(|_| is_open) {
                alerts += 1;
                let (code, value, unit) = (alert.code.clone(), alert.value, alert.unit.clone());
                let raised = vitals::Event::AlertRaised { number: alerts, code, value, unit, measured: alert.measured, limits: alert.limits, at: alert.raised };
                push(moving.to, raised);
                if alert.is_back {
                    push(moving.to, vitals::Event::AlertChanged { number: alerts, value, measured: alert.measured, is_back: true });
                }
                if let Some((by, at)) = &alert.taken {
                    push(moving.to, vitals::Event::AlertTaken { number: alerts, by: by.clone(), at: *at });
                }
                push(&mrn, vitals::Event::AlertClosed { number: *number });
            }
        }
        Ok(changes)
    }
}
