//! Several commands as one: all of them happen in one batch, or none. What an earlier one changes is so for the later ones.

use super::{Change, Command, Decision, Desk, Policy, Rejection, Scene, Stop};
use crate::domain::Context;
use crate::domain::Folded;
use crate::domain::bed::Bed;
use crate::domain::chart::Chart;
use crate::domain::document::Document;
use crate::domain::encounter::Encounter;
use crate::domain::patient::Patient;
use crate::domain::task::Tasks;
use crate::domain::vitals::Vitals;
use crate::kernel::{BedId, DocumentId, EncounterId, Mrn};

/// Commands of one request at most.
const COMMANDS: usize = 100;

/// The scene as it will be.
struct Ahead<'a, S> {
    scene: &'a mut S,
    changes: &'a [Change],
}

impl<S: Scene> Scene for Ahead<'_, S> {
    type Failure = S::Failure;

    fn patient(&mut self, mrn: &Mrn) -> Result<Patient, S::Failure> {
        let mut state = self.scene.patient(mrn)?;
        for change in self.changes {
            if let Change::Patient(of, event) = change
                && of == mrn
            {
                state.apply(event);
            }
        }
        Ok(state)
    }

    fn encounter(&mut self, encounter: &EncounterId) -> Result<Encounter, S::Failure> {
        let mut state = self.scene.encounter(encounter)?;
        for change in self.changes {
            if let Change::Encounter(of, event) = change
                && of == encounter
            {
                state.apply(event);
            }
        }
        Ok(state)
    }

    fn bed(&mut self, bed: &BedId) -> Result<Bed, S::Failure> {
        let mut state = self.scene.bed(bed)?;
        for change in self.changes {
            if let Change::Bed(of, event) = change
                && of == bed
            {
                state.apply(event);
            }
        }
        Ok(state)
    }

    fn chart(&mut self, mrn: &Mrn) -> Result<Chart, S::Failure> {
        let mut state = self.scene.chart(mrn)?;
        for change in self.changes {
            if let Change::Chart(of, event) = change
                && of == mrn
            {
                state.apply(event);
            }
        }
        Ok(state)
    }

    fn vitals(&mut self, mrn: &Mrn) -> Result<Vitals, S::Failure> {
        let mut state = self.scene.vitals(mrn)?;
        for change in self.changes {
            if let Change::Vitals(of, event) = change
                && of == mrn
            {
                state.apply(event);
            }
        }
        Ok(state)
    }

    fn tasks(&mut self, encounter: &EncounterId) -> Result<Tasks, S::Failure> {
        let mut state = self.scene.tasks(encounter)?;
        for change in self.changes {
            if let Change::Task(of, event) = change
                && of == encounter
            {
                state.apply(event);
            }
        }
        Ok(state)
    }

    fn document(&mut self, document: &DocumentId) -> Result<Document, S::Failure> {
        let mut state = self.scene.document(document)?;
        for change in self.changes {
            if let Change::Document(of, event) = change
                && of == document
            {
                state.apply(event);
            }
        }
        Ok(state)
    }
}

/// What happens when all meet the scene, one after the other. The n-th has the identity of the n-th part of the request.
pub(super) fn decide_all<S: Scene>(scene: &mut S, policy: &Policy, context: &Context, commands: &[Command]) -> Decision<S::Failure> {
    if commands.len() > COMMANDS {
        return Err(Rejection::TooMany { count: commands.len(), most: COMMANDS }.into());
    }
    let mut changes: Vec<Change> = Vec::new();
    for (at, command) in (1..).zip(commands) {
        let part = Context { command: context.command.part(at), ..context.clone() };
        let mut ahead = Ahead { scene, changes: &changes };
        let more = Desk { scene: &mut ahead, policy, context: &part }.decide(command).map_err(|stop| match stop {
            Stop::Rejected(why) => Stop::Rejected(Rejection::OfSeveral { part: at, why: Box::new(why) }),
            Stop::Failed(failure) => Stop::Failed(failure),
        })?;
        changes.extend(more);
    }
    Ok(changes)
}
