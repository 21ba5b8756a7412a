//! Rules of the reception: how urgent somebody is, who treats them, who pays.

use super::{Change, Decision, Desk, Rejection, Scene};
use crate::domain::encounter::{Class, Event, Guarantor, Triage};
use crate::kernel::{EncounterId, Mrn};

/// Longest complaint and name, in characters.
const TEXT_MAX: usize = 256;

fn said(text: &str, field: &'static str, what: &'static str) -> Result<String, Rejection> {
    match text.trim() {
        "" => Err(Rejection::Missing { field, what }),
        text => Ok(text.chars().take(TEXT_MAX).collect()),
    }
}

impl<S: Scene> Desk<'_, S> {
    /// Again and again: who waits may become worse.
    pub(super) fn triage(&mut self, patient: &Mrn, level: u8, complaint: &str) -> Decision<S::Failure> {
        if !(1..=5).contains(&level) {
            return Err(Rejection::NoTriageLevel { level }.into());
        }
        let open = self.open(patient)?;
        if open.stay.class != Class::Emergency {
            return Err(Rejection::NotEmergency { patient: patient.clone() }.into());
        }
        let complaint = said(complaint, "text", "what the patient comes for")?;
        let triage = Triage { level, complaint, by: self.context.principal.to_string(), at: self.context.now };
        let is_same = open.stay.triage.as_ref().is_some_and(|known| known.level == level && known.complaint == triage.complaint);
        Ok(if is_same { vec![] } else { vec![open.change(Event::Triaged { triage })] })
    }

    /// The waiting is over; the first to treat counts.
    pub(super) fn begin_treatment(&mut self, patient: &Mrn) -> Decision<S::Failure> {
        let open = self.open(patient)?;
        match open.stay.treated {
            Some(_) => Ok(vec![]),
            None => Ok(vec![open.change(Event::TreatmentBegan { by: self.context.principal.to_string(), at: self.context.now })]),
        }
    }

    /// Of the stay that is named, also when it is over: the bill comes later. Without a name of the one that is open.
    pub(super) fn name_guarantor(&mut self, patient: &Mrn, encounter: Option<&EncounterId>, guarantor: &Guarantor) -> Decision<S::Failure> {
        let guarantor = Guarantor { name: said(&guarantor.name, "name", "who pays when the patient does not")?, ..guarantor.clone() };
        let encounter = match encounter {
            Some(encounter) => encounter.clone(),
            None => self.open(patient)?.encounter,
        };
        let (person, state) = (self.person(patient)?, self.encounter(&encounter)?);
        let known = match &state {
            crate::domain::encounter::Encounter::Open(stay) | crate::domain::encounter::Encounter::Closed { stay, .. } if person.numbers().contains(&stay.patient) => {
                &stay.guarantor
            }
            _ => return Err(Rejection::OtherEncounter { patient: patient.clone(), encounter }.into()),
        };
        let named = Event::GuarantorNamed { guarantor: guarantor.clone(), at: self.context.now };
        Ok(if known.as_ref() == Some(&guarantor) { vec![] } else { vec![Change::Encounter(encounter, named)] })
    }
}
