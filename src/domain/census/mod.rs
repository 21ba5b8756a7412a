//! Who is in hospital, under which encounter, in which bed: the rules that see patients, encounters and beds at once.
//!
//! Flow: command → [`decide`] looks up what it needs in the [`Scene`] → changes of several streams, which become durable together.
//! **Invariant**: a bed holds one patient, a patient lies in one bed, stays of a person never overlap; a move changes both beds
//! and the encounter in one batch, or nothing.
//! **Invariant**: a number that was merged into another is that person, in every rule here.

mod beds;
mod bedside;
mod command;
mod companion;
mod erasure;
mod identity;
mod needs;
mod reassign;
mod reception;
mod rejection;
mod several;
mod stays;

pub use bedside::Measured;
pub use command::{Admission, Command, Told};
pub use needs::About;
pub use rejection::Rejection;

use std::sync::Arc;

use super::Context;
use super::bed::{self, Bed};
use super::chart::{self, Chart, Forms};
use super::document::{self, Document};
use super::encounter::{self, Clearance, Encounter};
use super::patient::{self, Patient};
use super::task::{self, Tasks};
use super::vitals::{self, Vitals};
use crate::kernel::{BedId, DocumentId, EncounterId, Mrn, Principal};

/// Merges that lead from one number to the next, at most; there are no circles, so this is never met.
const MERGES: usize = 1_000;

/// What the hospital has decided about itself.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Policy {
    /// Whether a bed that somebody has left waits for housekeeping.
    pub housekeeping: bool,
    /// Who must agree before a patient is discharged here. A feed from another system says what has happened already.
    pub clearances: Vec<Clearance>,
    /// Vital signs and their limits.
    pub vitals: Arc<vitals::Catalogue>,
    /// The forms of the house.
    pub forms: Arc<Forms>,
    /// Within how many minutes somebody of each level of triage is to be treated, from level 1 to 5.
    pub seen_within_minutes: [u32; 5],
}

/// Where rules look things up. A thing without events is as its default says.
pub trait Scene {
    /// Why something cannot be looked up.
    type Failure;
    /// What is known under a number.
    fn patient(&mut self, mrn: &Mrn) -> Result<Patient, Self::Failure>;
    /// An encounter.
    fn encounter(&mut self, encounter: &EncounterId) -> Result<Encounter, Self::Failure>;
    /// A bed.
    fn bed(&mut self, bed: &BedId) -> Result<Bed, Self::Failure>;
    /// What is written under a number.
    fn chart(&mut self, mrn: &Mrn) -> Result<Chart, Self::Failure>;
    /// What was measured of a number.
    fn vitals(&mut self, mrn: &Mrn) -> Result<Vitals, Self::Failure>;
    /// What is to be done during a stay.
    fn tasks(&mut self, encounter: &EncounterId) -> Result<Tasks, Self::Failure>;
    /// Whose a document is.
    fn document(&mut self, document: &DocumentId) -> Result<Document, Self::Failure>;
}

/// Why nothing happens.
#[derive(Debug, PartialEq, Eq)]
pub enum Stop<F> {
    /// A rule says no.
    Rejected(Rejection),
    /// The scene could not be seen.
    Failed(F),
}

impl<F> From<Rejection> for Stop<F> {
    fn from(rejection: Rejection) -> Self {
        Stop::Rejected(rejection)
    }
}

/// What happens to one stream.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Change {
    /// To a patient's record.
    Patient(Mrn, patient::Event),
    /// To an encounter.
    Encounter(EncounterId, encounter::Event),
    /// To a bed.
    Bed(BedId, bed::Event),
    /// To a patient's problems and notes.
    Chart(Mrn, chart::Event),
    /// To a patient's signs, fluids and alerts.
    Vitals(Mrn, vitals::Event),
    /// To the tasks of a stay.
    Task(EncounterId, task::Event),
    /// To a document.
    Document(DocumentId, document::Event),
}

type Decision<F> = Result<Vec<Change>, Stop<F>>;

/// What happens when a command meets the scene. No changes: it has happened already.
pub fn decide<S: Scene>(scene: &mut S, policy: &Policy, context: &Context, command: &Command) -> Decision<S::Failure> {
    match command {
        Command::All(commands) => several::decide_all(scene, policy, context, commands),
        Command::MoveAccount { from, to, account } => {
            let moves = Desk { scene, policy, context }.moves_of_account(from, to, account)?;
            several::decide_all(scene, policy, context, &moves)
        }
        command => Desk { scene, policy, context }.decide(command),
    }
}

impl<S: Scene> Desk<'_, S> {
    fn decide(&mut self, command: &Command) -> Decision<S::Failure> {
        let desk = self;
        match command {
            Command::Register { patient, person, as_of, is_new } => desk.register(patient, person, *as_of, *is_new),
            Command::Replace { patient, person, known } => desk.replace(patient, person, known.as_deref()),
            Command::TakePhoto { patient, photo } => desk.take_photo(patient, photo),
            Command::RemovePhoto { patient } => desk.remove_photo(patient),
            // Several within several would be a program's error: they are decided above.
            Command::All(commands) => Err(Rejection::TooMany { count: commands.len(), most: 1 }.into()),
            Command::MoveAccount { .. } => Err(Rejection::TooMany { count: 2, most: 1 }.into()),
            Command::Merge { survivor, merged } => desk.merge(survivor, merged),
            Command::Unmerge { merged, from } => desk.unmerge(merged, from.as_ref()),
            Command::RecordAllergy { patient, allergy } => desk.record_allergy(patient, allergy),
            Command::RefuteAllergy { patient, substance, reason } => desk.refute_allergy(patient, substance, reason),
            Command::NoKnownAllergies { patient } => desk.no_known_allergies(patient),
            Command::Erase { patient, encounters, reason } => desk.erase(patient, encounters, reason),
            Command::Restrict { patient, reason } => desk.restrict(patient, reason.as_deref()),
            Command::PrintWristband { patient, printer } => desk.print_wristband(patient, printer),
            Command::ConfirmWristband { patient, number, printer } => desk.confirm_wristband(patient, *number, printer),
            Command::Plan { admission, expected } => desk.plan(admission, *expected),
            Command::CancelPlan { patient, encounter } => desk.cancel_plan(patient, encounter.as_ref()),
            Command::Admit(admission) => desk.admit(admission),
            Command::CancelAdmission { patient, bed } => desk.end(patient, bed.as_ref(), encounter::Ending::Cancelled),
            Command::RequestTransfer { patient, to } => desk.request_transfer(patient, to),
            Command::AcceptTransfer { patient } => desk.accept_transfer(patient),
            Command::CancelTransfer { patient } => desk.cancel_transfer(patient),
            Command::Move { patient, to } => desk.move_to(patient, to),
            Command::MoveBack { patient, to } => desk.move_back(patient, to.as_ref()),
            Command::Swap { patient, with, to } => desk.swap(patient, with, to.as_ref()),
            Command::ChangeClass { patient, class, bed } => desk.change_class(patient, *class, bed.as_ref(), None),
            Command::MoveStay { from, to, visit, account } => desk.move_stay(from, to, visit, account.as_deref()),
            Command::RemoveStay { patient, visit } => desk.remove_stay(patient, visit.as_ref()),
            Command::Depart { patient, to } => desk.depart(patient, to.as_deref()),
            Command::Arrive { patient, place } => desk.arrive(patient, place.as_deref()),
            Command::BeginLeave { patient } => desk.begin_leave(patient),
            Command::EndLeave { patient } => desk.end_leave(patient),
            Command::Lodge { patient, bed, name, relation } => desk.lodge(patient, bed, (name, relation)),
            Command::CompanionLeaves { patient } => desk.companion_leaves(patient),
            Command::ExpectEnd { patient, expected } => desk.expect_end(patient, *expected),
            Command::Clear { patient, clearance } => desk.clear(patient, *clearance),
            Command::Discharge { patient, bed } => desk.end(patient, bed.as_ref(), encounter::Ending::Discharged),
            Command::EndVisit { patient, encounter } => desk.end_visit(patient, encounter),
            Command::RecordDeath { patient, at } => desk.record_death(patient, *at),
            Command::WithdrawDeath { patient } => desk.withdraw_death(patient),
            Command::OfVisit { visit, told, is_exact, command } => desk.of_visit(visit.as_ref(), *told, *is_exact, command),
            Command::CancelDischarge { patient, bed } => desk.cancel_discharge(patient, bed.as_ref()),
            Command::Block { bed, reason } => desk.block(bed, reason),
            Command::Unblock { bed } => desk.unblock(bed),
            Command::Clean { bed } => desk.clean(bed),
            Command::Isolate { bed, reason } => desk.isolate(bed, reason.as_deref()),
            Command::Chart { patient, command } => desk.write_chart(patient, command),
            Command::Vitals { whom, command } => desk.measure(whom, command),
            Command::Task { patient, command } => desk.task(patient, command),
            Command::FileDocument { patient, paper, content } => desk.file_document(patient, paper, content),
            Command::Triage { patient, level, complaint } => desk.triage(patient, *level, complaint),
            Command::BeginTreatment { patient } => desk.begin_treatment(patient),
            Command::NameGuarantor { patient, encounter, guarantor } => desk.name_guarantor(patient, encounter.as_ref(), guarantor),
        }
    }
}

/// Where a command is decided.
struct Desk<'a, S> {
    scene: &'a mut S,
    policy: &'a Policy,
    context: &'a Context,
}

/// A person: the number to use, and all that are theirs.
struct Whole {
    mrn: Mrn,
    records: Vec<(Mrn, Patient)>,
}

impl Whole {
    /// The open stay and the record that it is written under.
    fn stay(&self) -> Option<(&Mrn, &EncounterId)> {
        self.records.iter().find_map(|(mrn, record)| record.stay.as_ref().map(|encounter| (mrn, encounter)))
    }

    /// All numbers of the person.
    fn numbers(&self) -> Vec<Mrn> {
        self.records.iter().map(|(mrn, _)| mrn.clone()).collect()
    }

    /// The record of one of the numbers.
    fn record(&self, mrn: &Mrn) -> Patient {
        self.records.iter().find(|(known, _)| known == mrn).map(|(_, record)| record.clone()).unwrap_or_default()
    }
}

impl<S: Scene> Desk<'_, S> {
    fn patient(&mut self, mrn: &Mrn) -> Result<Patient, Stop<S::Failure>> {
        let record = self.scene.patient(mrn).map_err(Stop::Failed)?;
        // A number of somebody who was erased is never anybody's again.
        match record.erased {
            Some(at) => Err(Rejection::Erased { patient: mrn.clone(), at }.into()),
            None => Ok(record),
        }
    }

    fn encounter(&mut self, encounter: &EncounterId) -> Result<Encounter, Stop<S::Failure>> {
        self.scene.encounter(encounter).map_err(Stop::Failed)
    }

    fn bed(&mut self, bed: &BedId) -> Result<Bed, Stop<S::Failure>> {
        self.scene.bed(bed).map_err(Stop::Failed)
    }

    /// The whole person behind a number.
    fn person(&mut self, mrn: &Mrn) -> Result<Whole, Stop<S::Failure>> {
        let (mut to_use, mut record) = (mrn.clone(), self.patient(mrn)?);
        for _ in 0..MERGES {
            let Some(survivor) = record.merged_into.clone() else { break };
            record = self.patient(&survivor)?;
            to_use = survivor;
        }
        let mut records = vec![(to_use.clone(), record)];
        let mut next = 0;
        while let Some((_, record)) = records.get(next) {
            let merged: Vec<Mrn> = record.merged.iter().cloned().collect();
            for mrn in merged {
                let record = self.patient(&mrn)?;
                records.push((mrn, record));
            }
            next += 1;
        }
        Ok(Whole { mrn: to_use, records })
    }

    /// Whether another system says what has happened; then our own order of things does not bind.
    fn is_feed(&self) -> bool {
        matches!(self.context.principal, Principal::Device(_))
    }
}

#[cfg(test)]
mod tests;
