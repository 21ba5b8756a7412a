//! Rules of erasing a person: for ever, by two people, and never somebody who is here.

use super::{Change, Decision, Desk, Rejection, Scene, Stop};
use crate::domain::chart::{self, Chart};
use crate::domain::encounter::{self, Encounter};
use crate::domain::patient::{self, Patient};
use crate::domain::task::{self, Tasks};
use crate::domain::vitals::{self, Vitals};
use crate::kernel::{EncounterId, Mrn, Principal};

impl<S: Scene> Desk<'_, S> {
    /// All numbers of the person, with charts, signs and stays. What the keys of the person seal is destroyed afterwards, by whoever
    /// follows the log; from this moment on nothing is known of them.
    pub(super) fn erase(&mut self, patient: &Mrn, encounters: &[EncounterId], reason: &str) -> Decision<S::Failure> {
        if reason.trim().is_empty() {
            return Err(Rejection::Missing { field: "reason", what: "why the person is erased, and who has asked for it" }.into());
        }
        self.two_people()?;
        // Somebody who is erased already is erased.
        if self.scene.patient(patient).map_err(Stop::Failed)?.erased.is_some() {
            return Ok(vec![]);
        }
        let person = self.person(patient)?;
        if person.records.iter().all(|(_, record)| *record == Patient::default()) {
            return Err(Rejection::NotRegistered { patient: patient.clone() }.into());
        }
        if let Some((_, stay)) = person.stay() {
            return Err(Rejection::InHospital { patient: person.mrn.clone(), encounter: stay.clone(), bed: None }.into());
        }
        if let Some(plan) = person.records.iter().find_map(|(_, record)| record.plans.iter().next()) {
            return Err(Rejection::StayPlanned { patient: person.mrn.clone(), encounter: plan.clone() }.into());
        }
        let (at, numbers) = (Some(self.context.now), person.numbers());
        let mut changes = Vec::new();
        for encounter in encounters.iter().chain(person.records.iter().filter_map(|(_, record)| record.last_stay.as_ref())) {
            let is_told = changes.iter().any(|change| matches!(change, Change::Encounter(known, _) if known == encounter));
            match self.encounter(encounter)? {
                Encounter::Closed { stay, .. } if numbers.contains(&stay.patient) && !is_told => {
                    changes.push(Change::Encounter(encounter.clone(), encounter::Event::Erased { at }));
                    if self.scene.tasks(encounter).map_err(Stop::Failed)? != Tasks::default() {
                        changes.push(Change::Task(encounter.clone(), task::Event::Erased {}));
                    }
                }
                Encounter::None | Encounter::Planned { .. } | Encounter::Open(_) | Encounter::Closed { .. } => {}
            }
        }
        for mrn in &numbers {
            if self.scene.chart(mrn).map_err(Stop::Failed)? != Chart::default() {
                changes.push(Change::Chart(mrn.clone(), chart::Event::Erased { at }));
            }
            if self.scene.vitals(mrn).map_err(Stop::Failed)? != Vitals::default() {
                changes.push(Change::Vitals(mrn.clone(), vitals::Event::Erased { at }));
            }
            changes.push(Change::Patient(mrn.clone(), patient::Event::Erased { at, reason: reason.trim().to_owned() }));
        }
        Ok(changes)
    }

    /// Nobody does alone what cannot be taken back.
    fn two_people(&self) -> Result<(), Rejection> {
        let witness = self.context.witness.as_deref().map(str::trim).filter(|name| !name.is_empty()).ok_or(Rejection::WitnessMissing)?;
        match &self.context.principal {
            Principal::Person(actor) if actor.trim().eq_ignore_ascii_case(witness) => Err(Rejection::WitnessIsActor),
            Principal::Person(_) | Principal::Program(_) | Principal::Device(_) | Principal::System(_) => Ok(()),
        }
    }
}
