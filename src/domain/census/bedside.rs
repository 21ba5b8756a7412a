//! Rules of what is written at the bedside: whose it is. What it says is judged by [`chart`] and [`vitals`].

use std::collections::BTreeMap;

use super::{Change, Decision, Desk, Rejection, Scene, Stop, Whole};
use crate::domain::bed::Use;
use crate::domain::document::{self, Content};
use crate::domain::patient::Person;
use crate::domain::{chart, task, vitals};
use crate::kernel::{BedId, Date, EncounterId, Loinc, Mrn, Timestamp};

/// Who was measured, by what a device or a person says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Measured {
    /// A patient by number.
    Patient(Mrn),
    /// Whoever lies in a bed.
    InBed(BedId),
    /// A patient who must lie in a bed: a monitor that was moved, or still has the last patient's number, contradicts itself.
    PatientInBed(Mrn, BedId),
}

impl std::fmt::Display for Measured {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Measured::Patient(mrn) => mrn.fmt(f),
            Measured::InBed(bed) => write!(f, "whoever lies in {bed}"),
            Measured::PatientInBed(mrn, bed) => write!(f, "{mrn} in {bed}"),
        }
    }
}

impl<S: Scene> Desk<'_, S> {
    pub(super) fn write_chart(&mut self, patient: &Mrn, command: &chart::Command) -> Decision<S::Failure> {
        let person = self.known(patient)?;
        let encounter = match command {
            chart::Command::WriteNote { encounter, .. } => Some(encounter),
            chart::Command::RecordProblem { encounter, .. } | chart::Command::Refer { encounter, .. } => encounter.as_ref(),
            chart::Command::FilePaper(paper) => paper.encounter.as_ref(),
            _ => None,
        };
        if let Some(encounter) = encounter {
            self.is_of(&person, patient, encounter)?;
        }
        let chart = self.scene.chart(patient).map_err(Stop::Failed)?;
        let is_dead = person.records.iter().any(|(_, record)| record.died.is_some());
        let facts = chart::Facts { forms: &self.policy.forms, born: born(&person), is_dead };
        let events = chart::decide(&chart, facts, self.context, command).map_err(Rejection::from)?;
        Ok(events.into_iter().map(|event| Change::Chart(patient.clone(), event)).collect())
    }

    /// The paper in the chart and its bytes beside it, in one batch.
    pub(super) fn file_document(&mut self, patient: &Mrn, paper: &chart::Paper, content: &Content) -> Decision<S::Failure> {
        let mut changes = self.write_chart(patient, &chart::Command::FilePaper(paper.clone()))?;
        if self.scene.document(&paper.document).map_err(Stop::Failed)?.patient.is_none() && !changes.is_empty() {
            let filed = document::Event::DocumentFiled { patient: patient.clone(), content: content.clone(), at: self.context.now };
            changes.push(Change::Document(paper.document.clone(), filed));
        }
        Ok(changes)
    }

    /// Of whoever is here; what was done in an emergency may be told afterwards.
    pub(super) fn task(&mut self, patient: &Mrn, command: &task::Command) -> Decision<S::Failure> {
        let person = self.known(patient)?;
        let last = || person.records.iter().find_map(|(mrn, record)| Some((mrn.clone(), record.last_stay.clone()?)));
        let (mrn, encounter) = match person.stay() {
            Some((mrn, encounter)) => (mrn.clone(), encounter.clone()),
            None if matches!(command, task::Command::Acknowledge { .. }) => last().ok_or_else(|| Rejection::NotInHospital { patient: patient.clone() })?,
            None => return Err(Rejection::NotInHospital { patient: patient.clone() }.into()),
        };
        let tasks = self.scene.tasks(&encounter).map_err(Stop::Failed)?;
        let events = task::decide(&tasks, &mrn, self.context, command).map_err(Rejection::from)?;
        Ok(events.into_iter().map(|event| Change::Task(encounter.clone(), event)).collect())
    }

    pub(super) fn measure(&mut self, whom: &Measured, command: &vitals::Command) -> Decision<S::Failure> {
        let patient = self.measured(whom, command)?;
        let person = self.known(&patient)?;
        let state = self.scene.vitals(&patient).map_err(Stop::Failed)?;
        let limits = self.limits(&person, &patient)?;
        let facts = vitals::Facts { catalogue: &self.policy.vitals, born: born(&person), limits: &limits };
        let events = vitals::decide(&state, facts, self.context, command).map_err(Rejection::from)?;
        Ok(events.into_iter().map(|event| Change::Vitals(patient.clone(), event)).collect())
    }

    /// Limits that were set under another number of the person are the person's: those of the number that is written under come first.
    fn limits(&mut self, person: &Whole, patient: &Mrn) -> Result<BTreeMap<Loinc, vitals::Limits>, Stop<S::Failure>> {
        let mut limits = self.scene.vitals(patient).map_err(Stop::Failed)?.limits;
        for number in person.numbers().iter().filter(|number| *number != patient) {
            for (code, other) in self.scene.vitals(number).map_err(Stop::Failed)?.limits {
                limits.entry(code).or_insert(other);
            }
        }
        Ok(limits)
    }

    /// Whoever is here again is called for again: the end of a stay has closed its alerts.
    pub(super) fn alerts_again(&mut self, person: &Whole, since: Timestamp) -> Result<Vec<Change>, Stop<S::Failure>> {
        let mut changes = Vec::new();
        for number in person.numbers() {
            let state = self.scene.vitals(&number).map_err(Stop::Failed)?;
            let limits = self.limits(person, &number)?;
            let facts = vitals::Facts { catalogue: &self.policy.vitals, born: born(person), limits: &limits };
            changes.extend(vitals::judge_again(&state, facts, self.context, since).into_iter().map(|event| Change::Vitals(number.clone(), event)));
        }
        Ok(changes)
    }

    /// A person whom somebody has registered, or who has been here.
    fn known(&mut self, patient: &Mrn) -> Result<Whole, Stop<S::Failure>> {
        let person = self.person(patient)?;
        let is_known = person.records.iter().any(|(_, record)| record.person.as_ref().is_some_and(|known| *known != Person::default()) || record.last_stay.is_some());
        if is_known { Ok(person) } else { Err(Rejection::NotRegistered { patient: patient.clone() }.into()) }
    }

    /// By hand nothing is written under a number that nobody has: a slip of the hand would make a nameless patient, and hide what is known
    /// of the real one. Another system may speak of somebody before it says who that is.
    pub(super) fn is_somebody(&self, person: &Whole) -> Result<(), Rejection> {
        let is_known = person.records.iter().any(|(_, record)| record.person.is_some() || record.last_stay.is_some());
        if is_known || self.is_feed() { Ok(()) } else { Err(Rejection::NotRegistered { patient: person.mrn.clone() }) }
    }

    /// A stay that is spoken of must be this person's.
    fn is_of(&mut self, person: &Whole, patient: &Mrn, encounter: &EncounterId) -> Result<(), Stop<S::Failure>> {
        let encountered = self.encounter(encounter)?;
        match encountered.patient().is_some_and(|whose| person.numbers().contains(whose)) {
            true => Ok(()),
            false => Err(Rejection::OtherEncounter { patient: patient.clone(), encounter: encounter.clone() }.into()),
        }
    }

    /// The number that a measurement is written under: the one that is said, or the one of whoever lies in the bed.
    fn measured(&mut self, whom: &Measured, command: &vitals::Command) -> Result<Mrn, Stop<S::Failure>> {
        match whom {
            Measured::Patient(patient) => {
                // A monitor knows of nobody's discharge.
                if self.is_feed() && self.person(patient)?.stay().is_none() {
                    return Err(Rejection::NotInHospital { patient: patient.clone() }.into());
                }
                Ok(patient.clone())
            }
            Measured::InBed(bed) => {
                let (patient, since) = self.lies_in(bed)?;
                // What was measured before somebody came into the bed is another patient's.
                match command {
                    vitals::Command::Take { measured: Some(measured), .. } if *measured < since => {
                        Err(Rejection::BeforeArrival { bed: bed.clone(), since, measured: *measured }.into())
                    }
                    _ => Ok(patient),
                }
            }
            Measured::PatientInBed(patient, bed) => {
                let (lying, _) = self.lies_in(bed)?;
                match self.person(patient)?.numbers().contains(&lying) {
                    true => Ok(patient.clone()),
                    false => Err(Rejection::OtherPatient { patient: patient.clone(), bed: bed.clone() }.into()),
                }
            }
        }
    }

    fn lies_in(&mut self, bed: &BedId) -> Result<(Mrn, Timestamp), Stop<S::Failure>> {
        match self.bed(bed)?.used {
            Use::Occupied { patient, since } => Ok((patient, since)),
            Use::Free | Use::Companion { .. } | Use::Reserved { .. } | Use::Cleaning { .. } | Use::Blocked { .. } => Err(Rejection::NotOccupied { bed: bed.clone() }.into()),
        }
    }
}

fn born(person: &Whole) -> Option<Date> {
    person.records.iter().find_map(|(_, record)| record.person.as_ref()?.birth_date)
}
