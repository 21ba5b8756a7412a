//! Resources of people, stays and places, made from states: pure, one function a kind. The clinical ones stand in [`super::clinical`].

use rust_decimal::Decimal;
use serde_json::{Map, Value, json};

use super::id::{escape, of_patient};
use super::told;
use crate::domain::bed::{Bed, Use};
use crate::domain::chart::{Programme, Run};
use crate::domain::encounter::{Away, Class, Encounter, Ending, Stay};
use crate::domain::patient::{Address, Coverage, Name, Patient, Sex};
use crate::domain::staff::User;
use crate::kernel::{BedId, EncounterId, Mrn, Timestamp, UserId};
use crate::projection::{Author, Entry};

/// In front of a decimal that is to be written with all its digits: JSON values of the library would lose trailing zeros.
const DECIMAL: char = '\u{1}';

/// A decimal as it is written.
pub(super) fn decimal(number: Decimal) -> Value {
    Value::String(format!("{DECIMAL}{number}"))
}

/// A resource as text, with its decimals digit by digit.
pub(super) fn text(resource: &Value) -> String {
    let text = resource.to_string();
    let mut parts = text.split("\"\\u0001");
    let mut out = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        // Only what is nothing but a number is one: no text of ours holds this character.
        match part.split_once('"').filter(|(number, _)| number.parse::<Decimal>().is_ok()) {
            Some((number, rest)) => {
                out.push_str(number);
                out.push_str(rest);
            }
            None => {
                out.push_str("\"\\u0001");
                out.push_str(part);
            }
        }
    }
    out
}

/// Takes away what is empty: FHIR has no empty elements.
pub(super) fn full(value: Value) -> Value {
    match value {
        Value::Object(map) => {
            let kept: Map<String, Value> = map.into_iter().map(|(key, value)| (key, full(value))).filter(|(_, value)| !is_empty(value)).collect();
            Value::Object(kept)
        }
        Value::Array(all) => Value::Array(all.into_iter().map(full).filter(|value| !is_empty(value)).collect()),
        other => other,
    }
}

fn is_empty(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::String(text) => text.is_empty(),
        Value::Array(all) => all.is_empty(),
        Value::Object(map) => map.is_empty(),
        Value::Bool(_) | Value::Number(_) => false,
    }
}

/// The version of a resource and since when it is so.
#[derive(Debug, Clone, Copy)]
pub(super) struct Version {
    pub(super) number: u64,
    pub(super) at: Timestamp,
}

pub(super) fn meta(version: Option<Version>) -> Value {
    version.map_or(Value::Null, |version| json!({ "versionId": version.number.to_string(), "lastUpdated": version.at.to_string() }))
}

pub(super) fn coded(system: &str, code: &str, display: &str) -> Value {
    json!({ "coding": [{ "system": system, "code": code, "display": display }] })
}

pub(super) fn reference(kind: &str, id: &str) -> Value {
    json!({ "reference": format!("{kind}/{id}") })
}

pub(super) fn of(mrn: &Mrn) -> Value {
    reference("Patient", &escape(mrn.as_str()))
}

/// The house, as other resources refer to it.
#[derive(Debug, Clone)]
pub(super) struct House {
    pub(super) name: String,
    /// The code of the facility, which its systems of numbers begin with.
    pub(super) facility: String,
}

impl House {
    /// The name of a system of numbers of this house.
    pub(super) fn system(&self, what: &str) -> String {
        format!("urn:x-wardd:{}:{what}", escape(&self.facility))
    }

    pub(super) fn identifier(&self, what: &str, value: &str) -> Value {
        json!([{ "system": self.system(what), "value": value }])
    }

    pub(super) fn reference(&self) -> Value {
        reference("Organization", &escape(&self.facility))
    }
}

fn name(name: &Name, is_temporary: bool) -> Value {
    let usage = if is_temporary { "temp" } else { "official" };
    if name == &Name::default() { Value::Null } else { json!({ "use": usage, "family": name.family, "given": name.given }) }
}

fn address(address: &Address) -> Value {
    json!({ "line": [address.line], "city": address.city, "state": address.state, "postalCode": address.postal_code, "country": address.country })
}

fn phones<'a>(phones: impl IntoIterator<Item = &'a String>) -> Value {
    phones.into_iter().filter(|phone| !phone.trim().is_empty()).map(|phone| json!({ "system": "phone", "value": phone })).collect()
}

/// A patient's record as it is written under a number; merged ones are linked, not mixed.
pub(super) fn patient(house: &House, mrn: &Mrn, record: &Patient, version: Option<Version>) -> Value {
    let known = record.person.clone().unwrap_or_default();
    let own = json!({ "use": "usual", "type": coded("http://terminology.hl7.org/CodeSystem/v2-0203", "MR", "Medical record number"), "system": house.system("mrn"), "value": mrn.as_str() });
    let others = known.identifiers.iter().map(|identifier| {
        // An issuer that was given as the name of a system is that again.
        let is_system = identifier.issuer.contains(':');
        let (system, assigner) = if is_system { (identifier.issuer.as_str(), "") } else { ("", identifier.issuer.as_str()) };
        let kind = json!({ "coding": [{ "system": "http://terminology.hl7.org/CodeSystem/v2-0203", "code": identifier.kind }] });
        json!({ "type": kind, "system": system, "value": identifier.value, "assigner": { "display": assigner } })
    });
    let contacts =
        known.contacts.iter().map(|contact| json!({ "relationship": [{ "text": contact.relationship }], "name": name(&contact.name, false), "telecom": phones([&contact.phone]) }));
    let merged = record.merged.iter().map(|other| json!({ "other": of(other), "type": "replaces" }));
    let survivor = record.merged_into.iter().map(|other| json!({ "other": of(other), "type": "replaced-by" }));
    let security = record.restricted.as_ref().map(|_| json!([{ "system": "http://terminology.hl7.org/CodeSystem/v3-Confidentiality", "code": "R", "display": "restricted" }]));
    let mut meta = meta(version);
    if let (Some(security), Some(map)) = (security, meta.as_object_mut()) {
        map.insert("security".to_owned(), security);
    }
    full(json!({
        "resourceType": "Patient",
        "id": escape(mrn.as_str()),
        "meta": meta,
        "identifier": std::iter::once(own).chain(others).collect::<Value>(),
        "active": record.merged_into.is_none(),
        "name": [name(&known.name, known.is_temporary)],
        "telecom": phones(&known.phones),
        "photo": record.photo.map(|at| json!([{ "url": format!("/api/v1/patients/{}/photo", mrn.as_str()), "creation": at.to_string() }])),
        "gender": sex(known.sex),
        "birthDate": known.birth_date.map(|date| date.to_string()),
        "deceasedDateTime": record.died.map(|at| at.to_string()),
        "address": known.address.iter().map(address).collect::<Value>(),
        "contact": contacts.collect::<Value>(),
        "communication": known.language.iter().map(|language| json!({ "language": { "coding": [{ "system": "urn:ietf:bcp:47", "code": language }] } })).collect::<Value>(),
        "managingOrganization": house.reference(),
        "link": merged.chain(survivor).collect::<Value>(),
    }))
}

fn sex(sex: Sex) -> &'static str {
    match sex {
        Sex::Female => "female",
        Sex::Male => "male",
        Sex::Other => "other",
        Sex::Unknown => "unknown",
    }
}

/// Whom to call.
pub(super) fn related(mrn: &Mrn, record: &Patient, version: Option<Version>) -> Vec<Value> {
    let contacts = record.person.iter().flat_map(|person| &person.contacts);
    let one = |(at, contact): (usize, &crate::domain::patient::Contact)| {
        full(json!({
            "resourceType": "RelatedPerson",
            "id": of_patient(mrn.as_str(), &format!("r{at}")),
            "meta": meta(version),
            "active": true,
            "patient": of(mrn),
            "relationship": [{ "text": contact.relationship }],
            "name": [name(&contact.name, false)],
            "telecom": phones([&contact.phone]),
        }))
    };
    contacts.enumerate().map(one).collect()
}

/// Who pays.
pub(super) fn coverages(mrn: &Mrn, record: &Patient, version: Option<Version>) -> Vec<Value> {
    let coverages = record.person.iter().flat_map(|person| &person.coverages);
    let one = |(at, coverage): (usize, &Coverage)| {
        let plan = json!({ "type": coded("http://terminology.hl7.org/CodeSystem/coverage-class", "plan", "Plan"), "value": coverage.plan });
        full(json!({
            "resourceType": "Coverage",
            "id": of_patient(mrn.as_str(), &format!("c{at}")),
            "meta": meta(version),
            "status": "active",
            "subscriberId": coverage.member,
            "beneficiary": of(mrn),
            "period": { "start": coverage.from.map(|date| date.to_string()), "end": coverage.until.map(|date| date.to_string()) },
            "payor": [{ "display": coverage.payer }],
            "class": if coverage.plan.is_empty() { Value::Null } else { json!([plan]) },
            "order": at + 1,
        }))
    };
    coverages.enumerate().map(one).collect()
}

pub(super) fn encounter_id(encounter: &EncounterId) -> String {
    escape(encounter.as_str().strip_prefix("enc_").unwrap_or(encounter.as_str()))
}

fn class(class: Class) -> Value {
    let (code, display) = match class {
        Class::Inpatient | Class::Newborn => ("IMP", "inpatient encounter"),
        Class::Emergency => ("EMER", "emergency"),
        Class::Outpatient => ("AMB", "ambulatory"),
    };
    json!({ "system": "http://terminology.hl7.org/CodeSystem/v3-ActCode", "code": code, "display": display })
}

pub(super) fn care_id(mrn: &Mrn) -> String {
    of_patient(mrn.as_str(), "care")
}

fn care(mrn: &Mrn) -> Value {
    reference("EpisodeOfCare", &care_id(mrn))
}

/// The time in which the house looks after somebody: from their first stay on, until the last has ended.
pub(super) fn episode(house: &House, mrn: &Mrn, stays: &[Encounter]) -> Option<Value> {
    let open = stays.iter().filter_map(Encounter::stay);
    let closed = || stays.iter().filter_map(|state| if let Encounter::Closed { stay, at, ending: Ending::Discharged | Ending::Died } = state { Some((stay, *at)) } else { None });
    let is_planned = stays.iter().any(|state| matches!(state, Encounter::Planned { .. }));
    let (mut status, mut end) = ("finished", closed().map(|(_, at)| at).max());
    if let Some(stay) = open.clone().next() {
        (status, end) = (if stay.on_leave.is_some() { "onhold" } else { "active" }, None);
    } else if end.is_none() {
        status = if is_planned { "planned" } else { "cancelled" };
    }
    let start = open.map(|stay| stay.admitted).chain(closed().map(|(stay, _)| stay.admitted)).min();
    (!stays.is_empty()).then(|| {
        full(json!({
            "resourceType": "EpisodeOfCare",
            "id": care_id(mrn),
            "status": status,
            "patient": of(mrn),
            "managingOrganization": house.reference(),
            "period": { "start": start.map(|at| at.to_string()), "end": end.map(|at| at.to_string()) },
        }))
    })
}

/// A programme of care over many stays; none of one that never was the patient's.
pub(super) fn programme(house: &House, mrn: &Mrn, programme: &Programme) -> Value {
    let (status, until) = match &programme.standing {
        Run::Active => ("active", None),
        Run::Finished { until } => ("finished", Some(until.to_string())),
        Run::Refuted { .. } => ("entered-in-error", None),
    };
    full(json!({
        "resourceType": "EpisodeOfCare",
        "id": of_patient(mrn.as_str(), &format!("e{}", programme.number)),
        "status": status,
        "type": [{ "text": programme.name }],
        "patient": of(mrn),
        "managingOrganization": house.reference(),
        "period": { "start": programme.from.to_string(), "end": until },
    }))
}

/// Who made a version of a resource what it is; `what` is how its id ends.
pub(super) fn provenance(house: &House, mrn: &Mrn, (target, what): (&str, &str), author: &Author) -> Value {
    let activity = if author.version == 1 { ("CREATE", "create") } else { ("UPDATE", "revise") };
    let agent = |name: &str, role: (&str, &str)| json!({ "type": coded("http://terminology.hl7.org/CodeSystem/provenance-participant-type", role.0, role.1), "who": { "display": name }, "onBehalfOf": house.reference() });
    let agents = std::iter::once(agent(&author.who, ("author", "Author"))).chain(author.witness.iter().map(|witness| agent(witness, ("verifier", "Verifier"))));
    full(json!({
        "resourceType": "Provenance",
        "id": of_patient(mrn.as_str(), &format!("h{what}-{}", author.version)),
        "target": [{ "reference": format!("{target}/_history/{}", author.version) }],
        "recorded": author.recorded.to_string(),
        "activity": coded("http://terminology.hl7.org/CodeSystem/v3-DataOperation", activity.0, activity.1),
        "agent": agents.collect::<Value>(),
    }))
}

/// A stay; none for a number without one.
pub(super) fn encounter(house: &House, id: &EncounterId, state: &Encounter, version: Option<Version>) -> Option<Value> {
    let place = |bed: &BedId, status: &str| json!({ "location": reference("Location", &escape(bed.as_str())), "status": status });
    let elsewhere = |away: &Away| {
        let status = if away.is_there { "active" } else { "planned" };
        json!({ "location": { "display": away.place }, "status": status, "period": { "start": away.since.to_string() } })
    };
    let open = |stay: &Stay, status: &str, end: Option<Timestamp>, location: &str| {
        let part_of = stay.mother.as_ref().map(|mother| json!({ "display": format!("newborn of {mother}") }));
        json!({
            "status": status,
            "class": class(stay.class),
            "subject": of(&stay.patient),
            "episodeOfCare": [care(&stay.patient)],
            "participant": part_of.map(|mother| json!([{ "individual": mother }])),
            "period": { "start": stay.admitted.to_string(), "end": end.map(|end| end.to_string()) },
            "location": stay.bed.iter().map(|bed| place(bed, location)).chain(stay.away.iter().filter(|_| end.is_none()).map(elsewhere)).collect::<Value>(),
        })
    };
    let mut stay = match state {
        Encounter::None => return None,
        Encounter::Planned { patient, class: kind, bed, expected } => json!({
            "status": "planned",
            "class": class(*kind),
            "subject": of(patient),
            "period": { "start": expected.map(|at| at.to_string()) },
            "location": bed.iter().map(|bed| place(bed, "reserved")).collect::<Value>(),
        }),
        Encounter::Open(stay) if stay.on_leave.is_some() => open(stay, "onleave", None, "active"),
        Encounter::Open(stay) => open(stay, "in-progress", None, "active"),
        Encounter::Closed { stay, at, ending: Ending::Cancelled } => open(stay, "cancelled", Some(*at), "completed"),
        Encounter::Closed { stay, at, ending: Ending::Discharged | Ending::Died } => open(stay, "finished", Some(*at), "completed"),
    };
    if let Some(map) = stay.as_object_mut() {
        map.insert("resourceType".to_owned(), "Encounter".into());
        map.insert("id".to_owned(), encounter_id(id).into());
        map.insert("meta".to_owned(), meta(version));
        map.insert("identifier".to_owned(), house.identifier("visit", id.as_str().strip_prefix("enc_").unwrap_or(id.as_str())));
        map.insert("serviceProvider".to_owned(), house.reference());
    }
    Some(full(stay))
}

/// The house itself.
pub(super) fn organization(house: &House, facility: Option<&str>) -> Value {
    let own = facility.unwrap_or(&house.facility);
    full(json!({
        "resourceType": "Organization",
        "id": escape(own),
        "identifier": house.identifier("facility", own),
        "active": true,
        "type": [coded("http://terminology.hl7.org/CodeSystem/organization-type", "prov", "Healthcare Provider")],
        "name": if facility.is_some_and(|facility| facility != house.facility) { own } else { house.name.as_str() },
        "partOf": facility.filter(|facility| *facility != house.facility).map(|_| house.reference()),
    }))
}

/// A place of the house: site, building, ward or room, each part of the one around it.
#[derive(Debug, Clone, Copy)]
pub(super) enum Place<'a> {
    /// A facility's site.
    Site(&'a str),
    /// A building of a facility.
    Building { facility: &'a str, building: &'a str },
    /// A ward.
    Ward { facility: &'a str, building: Option<&'a str>, ward: &'a str, name: &'a str },
    /// A room of a ward.
    Room { facility: &'a str, ward: &'a str, room: &'a str },
}

/// A site's id; a ward may have the facility's name.
fn site_id(facility: &str) -> String {
    format!("{}.-site", escape(facility))
}

fn building_id(facility: &str, building: &str) -> String {
    format!("{}.-b{}", escape(facility), escape(building))
}

fn room_id(ward: &str, room: &str) -> String {
    format!("{}.-r{}", escape(ward), escape(room))
}

/// A place.
pub(super) fn place(house: &House, place: Place<'_>) -> Value {
    let (id, of, what, name, physical, around, facility) = match place {
        Place::Site(facility) => (site_id(facility), "site", facility.to_owned(), facility.to_owned(), ("si", "Site"), None, facility),
        Place::Building { facility, building } => {
            (building_id(facility, building), "building", building.to_owned(), building.to_owned(), ("bu", "Building"), Some(site_id(facility)), facility)
        }
        Place::Ward { facility, building, ward, name } => {
            let around = building.map_or_else(|| site_id(facility), |building| building_id(facility, building));
            (escape(ward), "ward", ward.to_owned(), name.to_owned(), ("wa", "Ward"), Some(around), facility)
        }
        Place::Room { facility, ward, room } => {
            (room_id(ward, room), "room", format!("{ward}:{room}"), format!("Room {room} of {ward}"), ("ro", "Room"), Some(escape(ward)), facility)
        }
    };
    full(json!({
        "resourceType": "Location",
        "id": id,
        "identifier": house.identifier(of, &what),
        "status": "active",
        "name": name,
        "mode": "instance",
        "physicalType": coded("http://terminology.hl7.org/CodeSystem/location-physical-type", physical.0, physical.1),
        "managingOrganization": reference("Organization", &escape(facility)),
        "partOf": around.map(|around| reference("Location", &around)),
    }))
}

/// A bed (operational status: HL7 table 0116).
pub(super) fn bed(house: &House, facility: &str, id: &BedId, bed: &Bed) -> Value {
    let [ward, room, _] = id.parts();
    let (code, display) = match (&bed.used, &bed.isolation) {
        (Use::Occupied { .. }, Some(_)) => ("I", "Isolated"),
        (Use::Occupied { .. }, None) | (Use::Companion { .. }, _) => ("O", "Occupied"),
        (Use::Free | Use::Reserved { .. }, _) => ("U", "Unoccupied"),
        (Use::Cleaning { .. }, _) => ("H", "Housekeeping"),
        (Use::Blocked { .. }, _) => ("C", "Closed"),
    };
    full(json!({
        "resourceType": "Location",
        "id": escape(id.as_str()),
        "identifier": house.identifier("bed", id.as_str()),
        "status": if code == "C" { "suspended" } else { "active" },
        "operationalStatus": { "system": "http://terminology.hl7.org/CodeSystem/v2-0116", "code": code, "display": display },
        "name": id.as_str(),
        "mode": "instance",
        "physicalType": coded("http://terminology.hl7.org/CodeSystem/location-physical-type", "bd", "Bed"),
        "managingOrganization": reference("Organization", &escape(facility)),
        // Some wards have beds and no rooms.
        "partOf": reference("Location", &if room.is_empty() { escape(ward) } else { room_id(ward, room) }),
    }))
}

/// A user who is a person.
pub(super) fn practitioner(house: &House, id: &UserId, user: &User) -> Value {
    full(json!({
        "resourceType": "Practitioner",
        "id": escape(id.as_str()),
        "identifier": house.identifier("user", id.as_str()),
        "active": user.disabled.is_none(),
        "name": [{ "text": user.name }],
    }))
}

/// What they do here, one for each role.
pub(super) fn roles(house: &House, id: &UserId, user: &User) -> Vec<Value> {
    let one = |(at, grant): (usize, &crate::domain::staff::Grant)| {
        let ward = match &grant.scope {
            crate::domain::rights::Scope::Ward(ward) => json!([reference("Location", &escape(ward.as_str()))]),
            crate::domain::rights::Scope::House | crate::domain::rights::Scope::Facility(_) => Value::Null,
        };
        full(json!({
            "resourceType": "PractitionerRole",
            "id": format!("{}.-{at}", escape(id.as_str())),
            "active": user.disabled.is_none(),
            "practitioner": reference("Practitioner", &escape(id.as_str())),
            "organization": house.reference(),
            "code": [{ "text": grant.role }],
            "location": ward,
        }))
    };
    user.roles.iter().enumerate().map(one).collect()
}

/// A device on a line of the house.
pub(super) fn device(house: &House, id: &str) -> Value {
    full(json!({
        "resourceType": "Device",
        "id": escape(id),
        "identifier": house.identifier("device", id),
        "status": "active",
        "deviceName": [{ "name": id, "type": "user-friendly-name" }],
        "owner": house.reference(),
    }))
}

/// What somebody saw or did (DICOM PS3.15 A.5 and IHE ATNA by the standard's own mapping).
pub(super) fn audit_event(house: &House, entry: &Entry, patients: &[Mrn]) -> Value {
    // What another system told is given as it told it.
    let look = entry.detail.as_ref().filter(|_| entry.what == "LookTold").and_then(|detail| serde_json::from_value(detail.get("look")?.clone()).ok());
    if let (Some(look), Some(mrn)) = (look, entry.of.split_once('/').and_then(|(_, mrn)| mrn.parse().ok())) {
        return told::audit_event(&mrn, entry.sequence, &look);
    }
    let action = match entry.what.as_str() {
        "RecordShown" | "LookRefused" => "R",
        "SignedIn" | "SignedOut" | "SignInFailed" | "GlassBroken" => "E",
        "PersonRecorded" | "Planned" | "Admitted" | "TestsOrdered" | "NoteWritten" => "C",
        _ => "U",
    };
    let outcome = if entry.what.contains("Refused") || entry.what.contains("Failed") { "4" } else { "0" };
    let agent = |name: &str, is_requestor: bool| json!({ "name": name, "requestor": is_requestor, "network": entry.place.as_ref().map(|place| json!({ "address": place })) });
    let agents = [agent(&entry.who, true)].into_iter().chain(entry.witness.iter().map(|witness| agent(witness, false)));
    let whom = patients.iter().map(|mrn| json!({ "what": of(mrn), "role": { "system": "http://terminology.hl7.org/CodeSystem/object-role", "code": "1", "display": "Patient" } }));
    let what = json!({ "name": entry.of, "detail": entry.detail.as_ref().map(|detail| json!([{ "type": "event", "valueString": detail.to_string() }])) });
    full(json!({
        "resourceType": "AuditEvent",
        "id": entry.sequence.to_string(),
        "type": { "system": "http://terminology.hl7.org/CodeSystem/audit-event-type", "code": "rest", "display": "RESTful Operation" },
        "subtype": [{ "system": "urn:x-wardd:event", "code": entry.what }],
        "action": action,
        "recorded": entry.at.to_string(),
        "outcome": outcome,
        "agent": agents.collect::<Value>(),
        "source": { "observer": house.reference() },
        "entity": whom.chain(std::iter::once(what)).collect::<Value>(),
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn decimals_keep_their_digits_and_texts_stay_texts() {
        let value = json!({ "a": decimal("13.40".parse().unwrap()), "b": "13.40", "c": "\u{1}x", "d": [decimal("-0.70".parse().unwrap())] });
        assert_eq!(text(&value), "{\"a\":13.40,\"b\":\"13.40\",\"c\":\"\\u0001x\",\"d\":[-0.70]}");
    }

    #[test]
    fn nothing_is_empty() {
        let value = full(json!({ "a": null, "b": "", "c": [], "d": [{ "e": "" }, { "f": 1 }], "g": { "h": {} }, "i": false }));
        assert_eq!(value, json!({ "d": [{ "f": 1 }], "i": false }));
    }
}
