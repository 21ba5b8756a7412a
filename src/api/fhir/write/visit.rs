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
    end: Option<Timestamp>,
    is_lenient: bool,
}

/// So far a time may be from the moment at which wardd learns of it, in seconds.
const NEAR: i64 = 900;

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
    let (mut bed, mut location) = (None, None);
    if let Some(place) = sent.only("location")? {
        let id = place.reference("location", "Location")?.ok_or_else(|| place.wrong("location", "is missing"))?;
        let named = unescape(id).and_then(|bed| bed.parse().ok());
        bed = Some(named.ok_or_else(|| place.wrong("location", format!("{id:?} is no bed: GET /fhir/R4/Location lists them")))?);
        // Where somebody will be, or was, is not where they are.
        location = place.text("status")?.map(str::to_owned);
        place.passed(&["period", "physicalType"]);
        place.end()?;
    }
    let (mut start, mut end) = (None, None);
    if let Some(period) = sent.object("period")? {
        (start, end) = (period.instant("start")?, period.instant("end")?);
        period.end()?;
    }
    let status = sent.needed("status")?.to_owned();
    let is_of_now = match location.as_deref() {
        None | Some("active") => true,
        Some("reserved" | "planned") => status == "planned",
        // A stay that has ended is given out so.
        Some("completed") => matches!(status.as_str(), "finished" | "cancelled" | "entered-in-error"),
        Some(_) => false,
    };
    if !is_of_now {
        return Err(sent.wrong("location[0].status", "the bed where the patient is now is active; of a planned stay it is reserved or planned"));
    }
    sent.passed(&["serviceProvider", "participant", "episodeOfCare"]);
    sent.end()?;
    Ok(Stay { patient, visit, status, class, bed, start, end, is_lenient })
}

impl Stay {
    /// Stays begin and end when the house learns of it: another time is not lost in silence.
    fn near(&self, name: &str, told: Option<Timestamp>, known: Timestamp) -> Result<(), Problem> {
        match told {
            Some(told) if !self.is_lenient && told.seconds_since(known).abs() > NEAR => {
                let text = format!("{told} is not kept: a stay begins and ends when this house is told, here {known}; leave it out, or send Prefer: handling=lenient");
                Err(wrong(&format!("Encounter.period.{name}"), &text))
            }
            _ => Ok(()),
        }
    }

    /// A new stay under this number.
    pub(super) fn create(self, patient: Mrn, encounter: EncounterId, now: Timestamp) -> Result<Command, Problem> {
        if self.status != "planned" {
            self.near("start", self.start, now)?;
        }
        let admission = Admission { patient, encounter: Some(encounter), class: self.class, bed: self.bed, mother: None, account: None, ward: None };
        match self.status.as_str() {
            "planned" => Ok(Command::Plan { admission, expected: self.start }),
            "arrived" | "triaged" | "in-progress" => Ok(Command::Admit(admission)),
            _ => Err(wrong("Encounter.status", "a stay begins as planned, arrived or in-progress")),
        }
    }

    /// What has happened to one that is known.
    pub(super) fn update(self, patient: Mrn, id: &EncounterId, known: &Encounter, now: Timestamp) -> Result<Vec<Command>, Problem> {
        let began = match known {
            Encounter::Open(stay) | Encounter::Closed { stay, .. } => stay.admitted,
            Encounter::None | Encounter::Planned { .. } => now,
        };
        if self.status != "planned" {
            self.near("start", self.start, began)?;
        }
        let ended = if let Encounter::Closed { at, .. } = known { *at } else { now };
        if self.status == "finished" {
            self.near("end", self.end, ended)?;
        }
        let is_here = matches!(self.status.as_str(), "arrived" | "triaged" | "in-progress");
        let no = || Err(wrong("Encounter.status", &format!("{:?} does not follow from what is known: read the stay again", self.status)));
        match known {
            Encounter::None => no(),
            Encounter::Planned { .. } if is_here => {
                Ok(vec![Command::Admit(Admission { patient, encounter: Some(id.clone()), class: self.class, bed: self.bed, mother: None, account: None, ward: None })])
            }
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
        state.apply(&Event::Admitted { patient: mrn(), class, bed: "W:1:A".parse().ok(), mother: None, account: None, ward: None, at });
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
        let told = |stay: Stay, known: &Encounter| match stay.update(mrn(), &id, known, "2026-11-23T12:05:00Z".parse().unwrap()) {
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
        let now = "2026-11-23T12:00:00Z".parse().unwrap();
        assert_eq!(stay("planned", "AMB", "").create(mrn(), id.clone(), now).ok().unwrap().to_string(), "plan no bed for 77");
        assert!(stay("finished", "AMB", "").create(mrn(), id.clone(), now).is_err());
        // Times that would be lost are named; those that are the same within minutes say nothing new.
        let of = |status: &str, start: &str, end: &str| {
            let value = json!({ "resourceType": "Encounter", "status": status, "class": { "code": "IMP" }, "subject": { "reference": "Patient/77" }, "period": { "start": start, "end": end } });
            encounter(&value, "s", false).ok().unwrap()
        };
        assert_eq!(told(of("finished", "2026-11-23T12:00:00Z", "2026-11-23T12:05:00Z"), &inpatient), "discharge 77 from no bed");
        assert_eq!(told(of("finished", "2026-11-23T12:00:00Z", "2026-11-22T12:05:00Z"), &inpatient), "Encounter.period.end");
        assert_eq!(told(of("in-progress", "2026-11-20T12:00:00Z", "2026-11-20T13:00:00Z"), &inpatient), "Encounter.period.start");
        assert!(of("in-progress", "2026-11-20T12:00:00Z", "2026-11-20T13:00:00Z").create(mrn(), id, now).is_err());
        let elsewhere = json!({ "resourceType": "Encounter", "status": "in-progress", "class": { "code": "IMP" }, "subject": { "reference": "Patient/77" },
            "location": [{ "location": { "reference": "Location/W.3a1.3aA" }, "status": "planned" }] });
        assert_eq!(encounter(&elsewhere, "s", true).err().and_then(|problem| problem.place).as_deref(), Some("Encounter.location[0].status"));
    }
}
