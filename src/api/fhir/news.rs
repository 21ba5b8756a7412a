//! What of a batch is news for a subscription: the resources that its events have changed, that fit the criteria, and that the program may see.
//!
//! Flow: events → [`touched`] → the resource as it is now, by the way of every reader → the criteria → news.
//! **Invariant**: what a program may not see now, it is not told of; and what it is sent is stored as shown before it is sent.

use serde_json::Value;

use super::gather::{self, Gathered, within};
use super::handlers::shown;
use super::id::{escape, of_patient, patient_of, unescape};
use super::search::{Asked, WHOSE};
use super::{Kind, clinical, resources};
use crate::access::Who;
use crate::api::problem::Problem;
use crate::api::state::Api;
use crate::domain::rights::{Interaction, Permission};
use crate::domain::subscription::Wanted;
use crate::kernel::{EncounterId, Mrn, StreamKind};
use crate::projection::{EncounterRow, Told};

/// Why nothing can be said of what is new.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum NoNews {
    /// Later perhaps.
    NotNow(String),
    /// Not until the program asks anew.
    Never(String),
}

/// What is looked for.
pub(super) struct Criteria {
    kind: Kind,
    asked: Asked,
}

/// The kinds that can be subscribed to, and the streams that change them.
fn streams(kind: Kind) -> &'static [StreamKind] {
    match kind {
        Kind::Patient | Kind::RelatedPerson | Kind::Coverage | Kind::AllergyIntolerance => &[StreamKind::Patient],
        Kind::Encounter => &[StreamKind::Encounter],
        Kind::EpisodeOfCare => &[StreamKind::Encounter, StreamKind::Chart],
        Kind::Condition => &[StreamKind::Chart],
        Kind::Observation => &[StreamKind::Vitals, StreamKind::Specimen],
        Kind::Appointment => &[StreamKind::Schedule],
        Kind::Location => &[StreamKind::Bed],
        Kind::Practitioner
        | Kind::PractitionerRole
        | Kind::Organization
        | Kind::Device
        | Kind::Schedule
        | Kind::Slot
        | Kind::AuditEvent
        | Kind::Provenance
        | Kind::Subscription => &[],
    }
}

impl Criteria {
    /// Reads `Kind?search`.
    pub(super) fn read(text: &str) -> Result<Self, Problem> {
        let (name, query) = text.split_once('?').unwrap_or((text, ""));
        let can_be = || Kind::ALL.into_iter().filter(|kind| !streams(*kind).is_empty()).map(Kind::name).collect::<Vec<_>>().join(", ");
        let kind = Kind::of_name(name).filter(|kind| !streams(*kind).is_empty());
        let kind = kind.ok_or_else(|| Problem::bad(format!("{name:?} cannot be subscribed to: criteria are Kind?search with one of {}", can_be())))?;
        let pairs = super::write::pairs(query)?;
        if let Some((name, _)) = pairs.iter().find(|(name, _)| name.starts_with('_') && name != "_id") {
            return Err(Problem::bad(format!("{name} says how an answer is written: criteria say only which resources are meant")));
        }
        Ok(Self { kind, asked: Asked::read(kind, pairs)? })
    }

    pub(super) fn kind(&self) -> Kind {
        self.kind
    }

    /// Whether a resource fits; `numbers` are those of its patient.
    fn fits(&self, resource: &Value, numbers: &[Mrn]) -> bool {
        let is_theirs = |text: &str| {
            let id = text.strip_prefix("Patient/").unwrap_or(text);
            let named = unescape(id).unwrap_or_else(|| id.to_owned());
            numbers.iter().any(|number| number.as_str() == named)
        };
        let is_meant = |name: &str| self.asked.all(name).next().is_none() || self.asked.all(name).any(is_theirs);
        WHOSE.into_iter().all(is_meant) && self.asked.fits(resource)
    }
}

/// Whether events of a stream can be news for criteria; what cannot be read concerns everything, and is told as a failure.
pub fn concerns(criteria: &str, stream: StreamKind) -> bool {
    Criteria::read(criteria).is_ok_and(|criteria| streams(criteria.kind).contains(&stream)) || Criteria::read(criteria).is_err()
}

/// A resource that an event has changed.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Touched {
    /// Whose it is.
    patient: Option<Mrn>,
    which: Which,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Which {
    /// The one of this id.
    One(String),
    /// Those of the patient in which these places hold these texts.
    With(Vec<(&'static str, String)>),
}

/// The resources of a kind that an event has changed; `whose` gives the patient of a stay or an appointment.
fn touched(kind: Kind, event: &Told, whose: impl Fn(&Told) -> Option<Mrn>) -> Vec<Touched> {
    let (key, name) = (event.stream.key(), event.kind.as_str());
    let text = |pointer: &str| event.payload.pointer(pointer).and_then(Value::as_str).unwrap_or_default().to_owned();
    let number = || event.payload["number"].as_u64().map(|number| number.to_string()).unwrap_or_default();
    let of_key = || key.parse::<Mrn>().ok();
    let one = |patient: Option<Mrn>, id: String| vec![Touched { patient, which: Which::One(id) }];
    let with = |patient: Option<Mrn>, places| vec![Touched { patient, which: Which::With(places) }];
    match (kind, event.stream.kind(), name) {
        // Nobody is told of somebody who was erased.
        (_, _, "Erased") => Vec::new(),
        (Kind::Patient, StreamKind::Patient, _) => one(of_key(), escape(key)),
        (Kind::RelatedPerson | Kind::Coverage, StreamKind::Patient, "PersonRecorded") => with(of_key(), Vec::new()),
        (Kind::AllergyIntolerance, StreamKind::Patient, "AllergyRecorded") => one(of_key(), clinical::allergy_id(key, &text("/substance"))),
        // One is none, or the person's numbers have changed: whoever keeps a list gets the whole of it.
        (Kind::AllergyIntolerance, StreamKind::Patient, "AllergyRefuted" | "MergedInto" | "Absorbed" | "Unmerged" | "Released") => with(of_key(), Vec::new()),
        (Kind::AllergyIntolerance, StreamKind::Patient, "NoAllergiesKnown") => one(of_key(), of_patient(key, clinical::NONE_KNOWN)),
        (Kind::Encounter, StreamKind::Encounter, _) => {
            EncounterId::of_visit(key.strip_prefix("enc_").unwrap_or(key)).map(|stay| one(whose(event), resources::encounter_id(&stay))).unwrap_or_default()
        }
        (Kind::EpisodeOfCare, StreamKind::Encounter, _) => whose(event).map(|mrn| one(Some(mrn.clone()), resources::care_id(&mrn))).unwrap_or_default(),
        (Kind::EpisodeOfCare, StreamKind::Chart, "ProgrammeBegan" | "ProgrammeEnded") => {
            let number = event.payload.pointer("/programme/number").or_else(|| event.payload.get("number")).and_then(Value::as_u64);
            number.map(|number| one(of_key(), of_patient(key, &format!("e{number}")))).unwrap_or_default()
        }
        (Kind::Condition, StreamKind::Chart, "ProblemRecorded" | "ProblemResolved" | "ProblemReopened" | "ProblemRefuted") => {
            one(of_key(), of_patient(key, &format!("p{}", number())))
        }
        (Kind::Observation, StreamKind::Vitals, "VitalsTaken") => {
            let readings = event.payload["readings"].as_array().map_or(0, Vec::len);
            (0..readings).flat_map(|place| one(of_key(), of_patient(key, &format!("v{}-{place}", event.sequence)))).collect()
        }
        (Kind::Observation, StreamKind::Vitals, "ReadingWithdrawn") => with(of_key(), vec![("/code/coding/0/code", text("/code")), ("/effectiveDateTime", text("/measured"))]),
        (Kind::Observation, StreamKind::Specimen, "ResultFiled") => {
            with(text("/patient").parse().ok(), vec![("/specimen/display", key.to_owned()), ("/code/coding/0/code", text("/result/test"))])
        }
        // What the patient is told, and when it is closed, change no appointment.
        (Kind::Appointment, StreamKind::Schedule, name) if event.payload["number"].is_u64() && !matches!(name, "PatientReminded" | "ReasonNoted") => {
            one(whose(event), format!("{}.-{}", escape(key), number()))
        }
        (Kind::Location, StreamKind::Bed, _) => one(None, escape(key)),
        _ => Vec::new(),
    }
}

fn whose(api: &Api, event: &Told) -> Option<Mrn> {
    match event.stream.kind() {
        StreamKind::Encounter => gather::whose(&api.rows.get::<EncounterRow>("encounter", event.stream.key()).unwrap_or_default().encounter),
        StreamKind::Schedule => {
            let number = u32::try_from(event.payload["number"].as_u64()?).ok()?;
            Some(api.rows.schedule(&event.stream.key().parse().ok()?).appointments.get(&number)?.patient.clone())
        }
        _ => None,
    }
}

/// The resources of a touched one, as the program may see them.
async fn seen(api: &Api, who: &Who, kind: Kind, touched: &Touched) -> Result<Gathered, Problem> {
    // Asked without a note for the auditor: nobody has tried to look at anything.
    let may = |mrn: &Mrn| who.rights.may(Permission::ViewPatient, &api.gate.patient(mrn)).is_ok();
    if touched.patient.as_ref().is_some_and(|mrn| !may(mrn)) {
        return Ok(Gathered::default());
    }
    match (&touched.which, &touched.patient) {
        (Which::One(id), _) => gather::one(api, who, kind, id).await,
        (Which::With(places), Some(mrn)) => {
            let mut found = gather::of_person(api, who, kind, (mrn, None)).await?;
            found.resources.retain(|resource| places.iter().all(|(place, text)| resource.pointer(place).and_then(Value::as_str) == Some(text)));
            // What is written under another of their numbers was not changed.
            found.resources.retain(|resource| resource["id"].as_str().and_then(patient_of).as_deref() == Some(mrn.as_str()));
            Ok(found)
        }
        (Which::With(_), None) => Ok(Gathered::default()),
    }
}

/// What a batch holds for a subscription: `Kind/id` and the resource, each once.
pub async fn news(api: &Api, wanted: &Wanted, events: &[Told]) -> Result<Vec<(String, Value)>, NoNews> {
    let never = |problem: Problem| NoNews::Never(problem.detail);
    let criteria = Criteria::read(&wanted.criteria).map_err(never)?;
    let who = api.gate.program_of(wanted.token.as_deref()).ok_or_else(|| NoNews::Never("the token that asked for it was withdrawn or has expired".to_owned()))?;
    within(&who, Interaction::Read, criteria.kind).map_err(never)?;
    api.may(&who, Permission::Subscribe).map_err(never)?;
    let mut found = Gathered::default();
    let mut told: Vec<(String, Value)> = Vec::new();
    for touched in events.iter().flat_map(|event| touched(criteria.kind, event, |event| whose(api, event))) {
        let numbers: Vec<Mrn> = touched.patient.iter().flat_map(|mrn| api.rows.person_now(mrn)).map(|(number, _)| number).collect();
        let mut seen = match seen(api, &who, criteria.kind, &touched).await {
            Ok(seen) => seen,
            // Not there any more, or not to be seen.
            Err(problem) if problem.status < 500 => continue,
            Err(problem) => return Err(NoNews::NotNow(problem.detail)),
        };
        seen.resources.retain(|resource| criteria.fits(resource, &numbers));
        for resource in std::mem::take(&mut seen.resources) {
            let place = format!("{}/{}", criteria.kind.name(), resource["id"].as_str().unwrap_or_default());
            if !told.iter().any(|(known, _)| *known == place) {
                told.push((place, resource));
                found = found.and(Gathered { resources: Vec::new(), patients: std::mem::take(&mut seen.patients), allowed: seen.allowed.take() });
            }
        }
    }
    if wanted.is_with_resource {
        shown(api, criteria.kind, &found).await.map_err(|problem| NoNews::NotNow(problem.detail))?;
    }
    Ok(told)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::kernel::StreamId;

    fn told(stream: StreamKind, key: &str, payload: Value) -> Told {
        Told { sequence: 7, stream: StreamId::new(stream, key), kind: payload["event"].as_str().unwrap().to_owned(), payload }
    }

    #[test]
    fn criteria_are_a_search_of_a_kind_that_changes() {
        for good in ["Patient", "Observation?code=8867-4&patient=Patient/W1", "Encounter?status=in-progress", "Location?_id=W1.3a1.3aA"] {
            assert!(Criteria::read(good).is_ok(), "{good}");
        }
        for bad in ["", "Device", "AuditEvent?patient=1", "Observation?colour=red", "Patient?_count=5", "Patient?_include=Patient:link"] {
            assert!(Criteria::read(bad).is_err(), "{bad}");
        }
        let criteria = Criteria::read("Observation?patient=Patient/W1&code=8867-4").unwrap();
        let resource = json!({ "resourceType": "Observation", "id": "x", "code": { "coding": [{ "code": "8867-4" }] }, "subject": { "reference": "Patient/W2" } });
        let numbers = |all: &[&str]| all.iter().map(|number| number.parse().unwrap()).collect::<Vec<Mrn>>();
        assert!(criteria.fits(&resource, &numbers(&["W2", "W1"])), "all numbers of the person are theirs");
        assert!(!criteria.fits(&resource, &numbers(&["W2"])));
        assert!(concerns("Observation", StreamKind::Vitals) && !concerns("Observation", StreamKind::Bed) && concerns("no kind", StreamKind::Bed));
    }

    #[test]
    fn an_event_touches_its_own_resources() {
        use crate::domain::patient::{Category, Criticality, Event};
        let mrn = || Some("W1".parse::<Mrn>().unwrap());
        let ids = |kind, stream, key: &str, payload: Value| -> Vec<String> {
            let found = touched(kind, &told(stream, key, payload), |_| mrn());
            found.into_iter().map(|touched| if let Which::One(id) = touched.which { id } else { format!("{:?}", touched.which) }).collect()
        };
        assert_eq!(ids(Kind::Patient, StreamKind::Patient, "W1", json!({ "event": "PersonRecorded" })), ["W1"]);
        assert_eq!(ids(Kind::AllergyIntolerance, StreamKind::Patient, "W1", json!({ "event": "AllergyRecorded", "substance": " Penicillin" })), ["W1.-apenicillin"]);
        // As the log really has it.
        let stored = crate::domain::patient::Allergy { substance: "Latex".to_owned(), category: Category::Environment, criticality: Criticality::High, reaction: String::new() };
        let stored = serde_json::to_value(Event::AllergyRecorded { allergy: stored, at: "2026-11-21T12:00:00Z".parse().unwrap() }).unwrap();
        assert_eq!(ids(Kind::AllergyIntolerance, StreamKind::Patient, "W1", stored), ["W1.-alatex"]);
        assert_eq!(ids(Kind::AllergyIntolerance, StreamKind::Patient, "W1", json!({ "event": "AllergyRefuted", "substance": "x" })), ["With([])"]);
        assert_eq!(ids(Kind::Encounter, StreamKind::Encounter, "enc_V17", json!({ "event": "Moved" })), ["V17"]);
        assert_eq!(ids(Kind::EpisodeOfCare, StreamKind::Encounter, "enc_V17", json!({ "event": "Ended" })), ["W1.-care"]);
        assert_eq!(ids(Kind::Condition, StreamKind::Chart, "W1", json!({ "event": "ProblemResolved", "number": 2 })), ["W1.-p2"]);
        assert_eq!(ids(Kind::Observation, StreamKind::Vitals, "W1", json!({ "event": "VitalsTaken", "readings": [{}, {}] })), ["W1.-v7-0", "W1.-v7-1"]);
        assert_eq!(ids(Kind::Appointment, StreamKind::Schedule, "DR-A", json!({ "event": "AppointmentBooked", "number": 3 })), ["DR-A.-3"]);
        assert_eq!(ids(Kind::Location, StreamKind::Bed, "W1:1:A", json!({ "event": "Blocked" })), ["W1.3a1.3aA"]);
        let none: [(Kind, StreamKind, Value); 5] = [
            (Kind::Patient, StreamKind::Patient, json!({ "event": "Erased" })),
            (Kind::Condition, StreamKind::Chart, json!({ "event": "NoteWritten", "number": 1 })),
            (Kind::Appointment, StreamKind::Schedule, json!({ "event": "PatientReminded", "number": 1 })),
            (Kind::RelatedPerson, StreamKind::Patient, json!({ "event": "AllergyRecorded", "allergy": { "substance": "x" } })),
            (Kind::Observation, StreamKind::Specimen, json!({ "event": "Collected" })),
        ];
        for (kind, stream, payload) in none {
            assert_eq!(ids(kind, stream, "W1", payload.clone()), Vec::<String>::new(), "{payload}");
        }
    }
}
