//! Rules of whoever stays with a patient: a mother with her child, a guardian. They have a bed of the ward and are no patient; it is theirs as long
//! as the patient's stay.

use super::{Change, Decision, Desk, Rejection, Scene, Stop};
use crate::domain::bed::{self, Use};
use crate::domain::encounter::{Companion, Event, Stay};
use crate::kernel::{BedId, EncounterId, Mrn};

/// Characters of a name or a relation at most.
const TEXT: usize = 100;

fn said(text: &str, field: &'static str, what: &'static str) -> Result<String, Rejection> {
    let text = text.trim();
    match text.chars().count() {
        0 => Err(Rejection::Missing { field, what }),
        length if length > TEXT => Err(Rejection::TextTooLong { field, length, most: TEXT }),
        _ => Ok(text.to_owned()),
    }
}

impl<S: Scene> Desk<'_, S> {
    /// Somebody stays with a patient, in a bed that is free.
    pub(super) fn lodge(&mut self, patient: &Mrn, to: &BedId, (name, relation): (&str, &str)) -> Decision<S::Failure> {
        let open = self.open(patient)?;
        let (at, name) = (self.context.now, said(name, "name", "who stays with the patient")?);
        let relation = said(relation, "relation", "what they are to the patient, such as mother or guardian")?;
        match &open.stay.companion {
            Some(known) if known.bed == *to && known.name == name => return Ok(vec![]),
            Some(known) => return Err(Rejection::HasCompanion { patient: patient.clone(), bed: known.bed.clone() }.into()),
            None => {}
        }
        match self.bed(to)?.used {
            Use::Free => {}
            Use::Reserved { since, .. } => return Err(Rejection::Reserved { bed: to.clone(), since }.into()),
            Use::Occupied { since, .. } | Use::Companion { since, .. } => return Err(Rejection::Occupied { bed: to.clone(), since }.into()),
            Use::Cleaning { since } => return Err(Rejection::NotCleaned { bed: to.clone(), since }.into()),
            Use::Blocked { reason, since, .. } => return Err(Rejection::Blocked { bed: to.clone(), reason, since }.into()),
        }
        let companion = Companion { name, relation, bed: to.clone(), since: at };
        Ok(vec![
            Change::Bed(to.clone(), bed::Event::CompanionAdmitted { patient: open.stay.patient.clone(), encounter: open.encounter.clone(), at }),
            open.change(Event::CompanionLodged { companion }),
        ])
    }

    /// They go, and the patient stays.
    pub(super) fn companion_leaves(&mut self, patient: &Mrn) -> Decision<S::Failure> {
        let open = self.open(patient)?;
        if open.stay.companion.is_none() {
            return Err(Rejection::NoCompanion { patient: patient.clone() }.into());
        }
        self.companion_goes((&open.encounter, &open.stay))
    }

    /// Whoever stays with the patient goes too, if there is anybody.
    pub(super) fn companion_goes(&mut self, (encounter, stay): (&EncounterId, &Stay)) -> Result<Vec<Change>, Stop<S::Failure>> {
        let Some(companion) = &stay.companion else { return Ok(vec![]) };
        let (at, bed) = (self.context.now, companion.bed.clone());
        let mut changes = Vec::new();
        if let Use::Companion { since, .. } = self.bed(&bed)?.used {
            changes.push(Change::Bed(bed.clone(), bed::Event::CompanionLeft { patient: stay.patient.clone(), encounter: encounter.clone(), since, at }));
            changes.extend(self.policy.housekeeping.then(|| Change::Bed(bed, bed::Event::CleaningAsked { at })));
        }
        changes.push(Change::Encounter(encounter.clone(), Event::CompanionLeft { at }));
        Ok(changes)
    }
}
