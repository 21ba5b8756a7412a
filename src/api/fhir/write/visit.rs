//! Encounter and Appointment as they are sent.

use axum::http::StatusCode;
use serde_json::Value;

use super::element::Element;
use crate::api::fhir::id::unescape;
use crate::api::problem::Problem;
use crate::domain::census::{Admission, Command};
use crate::domain::encounter::{Class, Encounter, Ending};
use crate::kernel::{BedId, EncounterId, Mrn, ScheduleId, Timestamp};

const ACT_CODES: &str = "http://terminology.hl7.org/CodeSystem/v3-ActCode";

fn wrong(place: &str, text: &str) -> Problem {
    Problem::new(StatusCode::UNPROCESSABLE_ENTITY, "invalid", format!("{place}: {text}")).at(place)
}

/// The stay that an id of an Encounter names.
pub(super) fn encounter_of(id: &str) -> Result<EncounterId, Problem> {
    let named = unescape(id).and_then(|visit| EncounterId::of_visit(&visit).ok());
    named.ok_or_else(|| Problem::missing("Encounter", id))
}

/// A stay as it is sent.
pub(super) struct Stay {
    pub(super) patient: String,
    /// The visit number that it is to have.
    pub(super) visit: Option<EncounterId>,
    status: String,
    class: Class,
    bed: Option<BedId>,
    start: Option<Timestamp>,
}

/// Reads an Encounter; `system` is that of our visit numbers.
pub(super) fn encounter(value: &Value, system: &str, is_lenient: bool) -> Result<Stay, Problem> {
    let sent = Element::resource(value, is_lenient)?;
    let patient = sent.reference("subject", "Patient")?.ok_or_else(|| sent.wrong("subject", "is missing: whose stay it is"))?.to_owned();
    let kind = sent.object("class")?.ok_or_else(|| sent.wrong("class", "is missing"))?;
    let class = match (kind.text("system")?, kind.needed("code")?) {
        (Some(ACT_CODES) | None, "IMP" | "ACUTE" | "NONAC") => Class::Inpatient,
        (Some(ACT_CODES) | None, "EMER") => Class::Emergency,
        (Some(ACT_CODES) | None, "AMB") => Class::Outpatient,
        (_, other) => return Err(kind.wrong("code", format!("{other:?} is none of IMP, EMER, AMB ({ACT_CODES})"))),
    };
    kind.end()?;
    let mut visit = None;
    for identifier in sent.objects("identifier")? {
        let (of, number) = (identifier.text("system")?, identifier.needed("value")?);
        identifier.passed(&["use", "type"]);
        identifier.end()?;
        if of == Some(system) {
            visit = Some(EncounterId::of_visit(number).map_err(|error| identifier.wrong("value", error))?);
        }
    }
    let mut bed = None;
    if let Some(place) = sent.only("location")? {
        let id = place.reference("location", "Location")?.ok_or_else(|| place.wrong("location", "is missing"))?;
        let named = unescape(id).and_then(|bed| bed.parse().ok());
        bed = Some(named.ok_or_else(|| place.wrong("location", format!("{id:?} is no bed: GET /fhir/R4/Location lists them")))?);
        place.passed(&["status", "period", "physicalType"]);
        place.end()?;
    }
    let mut start = None;
    if let Some(period) = sent.object("period")? {
        start = period.instant("start")?;
        period.passed(&["end"]);
        period.end()?;
    }
    let status = sent.needed("status")?.to_owned();
    sent.passed(&["serviceProvider", "participant", "episodeOfCare"]);
    sent.end()?;
    Ok(Stay { patient, visit, status, class, bed, start })
}

impl Stay {
    /// A new stay under this number.
    pub(super) fn create(self, patient: Mrn, encounter: EncounterId) -> Result<Command, Problem> {
        let admission = Admission { patient, encounter: Some(encounter), class: self.class, bed: self.bed, mother: None };
        match self.status.as_str() {
            "planned" => Ok(Command::Plan { admission, expected: self.start }),
            "arrived" | "triaged" | "in-progress" => Ok(Command::Admit(admission)),
            _ => Err(wrong("Encounter.status", "a stay begins as planned, arrived or in-progress")),
        }
    }

    /// What has happened to one that is known.
    pub(super) fn update(self, patient: Mrn, id: &EncounterId, known: &Encounter) -> Result<Vec<Command>, Problem> {
        let is_here = matches!(self.status.as_str(), "arrived" | "triaged" | "in-progress");
        let no = || Err(wrong("Encounter.status", &format!("{:?} does not follow from what is known: read the stay again", self.status)));
        match known {
            Encounter::None => no(),
            Encounter::Planned { .. } if is_here => Ok(vec![Command::Admit(Admission { patient, encounter: Some(id.clone()), class: self.class, bed: self.bed, mother: None })]),
            Encounter::Planned { class, bed, expected, .. } => match self.status.as_str() {
                "cancelled" | "entered-in-error" => Ok(vec![Command::CancelPlan { patient, encounter: Some(id.clone()) }]),
                "planned" if (*class, bed, *expected) == (self.class, &self.bed, self.start) => Ok(vec![]),
                "planned" => Err(wrong("Encounter", "a plan does not change: cancel it, and make another")),
                _ => no(),
            },
            Encounter::Open(stay) => {
                let mut commands = Vec::new();
                // A newborn is an inpatient to FHIR.
                let is_other_class = self.class != stay.class && (self.class, stay.class) != (Class::Inpatient, Class::Newborn);
                match self.status.as_str() {
                    "finished" => return Ok(vec![Command::Discharge { patient, bed: None }]),
                    "cancelled" | "entered-in-error" => return Ok(vec![Command::CancelAdmission { patient, bed: None }]),
                    "onleave" if stay.on_leave.is_none() => commands.push(Command::BeginLeave { patient: patient.clone() }),
                    "onleave" => {}
                    _ if !is_here => return no(),
                    _ if stay.on_leave.is_some() => commands.push(Command::EndLeave { patient: patient.clone() }),
                    _ => {}
                }
                match self.bed {
                    bed if is_other_class => commands.push(Command::ChangeClass { patient, class: self.class, bed }),
                    Some(bed) if stay.bed.as_ref() != Some(&bed) => commands.push(Command::Move { patient, to: bed }),
                    // That no bed is named takes nobody out of theirs.
                    Some(_) | None => {}
                }
                Ok(commands)
            }
            Encounter::Closed { ending: Ending::Cancelled, .. } if matches!(self.status.as_str(), "cancelled" | "entered-in-error") => Ok(vec![]),
            Encounter::Closed { ending: Ending::Discharged | Ending::Died, .. } if self.status == "finished" => Ok(vec![]),
            Encounter::Closed { ending: Ending::Discharged, .. } if is_here => Ok(vec![Command::CancelDischarge { patient, bed: self.bed }]),
            Encounter::Closed { .. } => no(),
        }
    }
}

/// An appointment as it is sent.
pub(super) struct Booking {
    pub(super) patient: String,
    pub(super) schedule: ScheduleId,
    pub(super) start: Timestamp,
    pub(super) status: String,
    pub(super) reason: String,
    /// Why it is cancelled.
    pub(super) why: String,
}

/// The schedule of an id of a Slot, and the beginning.
fn slot(id: &str) -> Option<(ScheduleId, Timestamp)> {
    let (schedule, minutes) = id.rsplit_once(".-")?;
    let minutes: i64 = minutes.parse().ok()?;
    Some((unescape(schedule)?.parse().ok()?, Timestamp::from_micros(minutes.checked_mul(60_000_000)?)))
}

/// Reads an Appointment.
pub(super) fn appointment(value: &Value, is_lenient: bool) -> Result<Booking, Problem> {
    let sent = Element::resource(value, is_lenient)?;
    let place = sent.objects("slot")?;
    let [place] = place.as_slice() else { return Err(sent.wrong("slot", "one slot is needed: GET /fhir/R4/Slot?status=free lists them")) };
    let id = place.needed("reference")?;
    let (schedule, start) = id.strip_prefix("Slot/").and_then(slot).ok_or_else(|| place.wrong("reference", format!("{id:?} is no slot of this house")))?;
    place.passed(&["type"]);
    place.end()?;
    let mut patient = None;
    for participant in sent.objects("participant")? {
        let actor = participant.object("actor")?.ok_or_else(|| participant.wrong("actor", "is missing"))?;
        let reference = actor.text("reference")?.unwrap_or_default();
        actor.passed(&["type"]);
        actor.end()?;
        participant.passed(&["status", "required", "type"]);
        participant.end()?;
        if let Some(id) = reference.strip_prefix("Patient/") {
            patient = Some(id.to_owned());
        }
    }
    let reason = sent.only("reasonCode")?.map(|reason| reason.spoken()).transpose()?.flatten().unwrap_or_default().to_owned();
    let found = Booking {
        patient: patient.ok_or_else(|| sent.wrong("participant", "is missing: whose appointment it is (Patient/id)"))?,
        schedule,
        start,
        status: sent.needed("status")?.to_owned(),
        reason,
        why: sent.words("cancelationReason")?.unwrap_or_default().to_owned(),
    };
    // The slot says when.
    sent.passed(&["start", "end", "created", "minutesDuration"]);
    sent.end()?;
    Ok(found)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn stay(status: &str, class: &str, bed: &str) -> Stay {
        let mut value = json!({ "resourceType": "Encounter", "status": status, "class": { "system": ACT_CODES, "code": class }, "subject": { "reference": "Patient/77" } });
        if !bed.is_empty() {
            value["location"] = json!([{ "location": { "reference": format!("Location/{bed}") } }]);
        }
        encounter(&value, "s", false).ok().unwrap()
    }

    fn open(class: Class, leave: bool) -> Encounter {
        let at: Timestamp = "2026-11-23T12:00:00Z".parse().unwrap();
        let mut state = Encounter::default();
        use crate::domain::Folded;
        use crate::domain::encounter::Event;
        state.apply(&Event::Admitted { patient: mrn(), class, bed: "W:1:A".parse().ok(), mother: None, at });
        if leave {
            state.apply(&Event::LeaveBegan { at });
        }
        state
    }

    fn mrn() -> Mrn {
        "77".parse().unwrap()
    }

    #[test]
    fn what_is_sent_of_a_stay_becomes_what_has_happened() {
        let id = EncounterId::of_visit("V1").unwrap();
        let told = |stay: Stay, known: &Encounter| match stay.update(mrn(), &id, known) {
            Ok(commands) => commands.iter().map(ToString::to_string).collect::<Vec<_>>().join(", "),
            Err(problem) => problem.place.unwrap_or_default(),
        };
        let inpatient = open(Class::Inpatient, false);
        assert_eq!(told(stay("in-progress", "IMP", "W.3a1.3aA"), &inpatient), "");
        assert_eq!(told(stay("in-progress", "IMP", ""), &inpatient), "");
        assert_eq!(told(stay("in-progress", "IMP", "W.3a1.3aB"), &inpatient), "move 77 to W:1:B");
        assert_eq!(told(stay("onleave", "IMP", ""), &inpatient), "leave of 77");
        assert_eq!(told(stay("in-progress", "IMP", ""), &open(Class::Inpatient, true)), "end of leave of 77");
        assert_eq!(told(stay("finished", "IMP", ""), &inpatient), "discharge 77 from no bed");
        assert_eq!(told(stay("cancelled", "IMP", ""), &inpatient), "cancel admission of 77");
        assert_eq!(told(stay("planned", "IMP", ""), &inpatient), "Encounter.status");
        assert_eq!(told(stay("in-progress", "IMP", "W.3a1.3aA"), &open(Class::Newborn, false)), "");
        assert_eq!(told(stay("in-progress", "IMP", "W.3a1.3aA"), &open(Class::Emergency, false)), "77 is Inpatient");
        assert_eq!(stay("planned", "AMB", "").create(mrn(), id.clone()).ok().unwrap().to_string(), "plan no bed for 77");
        assert!(stay("finished", "AMB", "").create(mrn(), id).is_err());
    }
}
