//! Which resources there are for somebody who asks: leave first, then states, then resources.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use super::id::{patient_of, unescape};
use super::resources::{House, Place, Version};
use super::search::{Asked, WHOSE};
use super::{Kind, clinical, listed, resources, scheduling, subscription, told};
use crate::access::{Allowed, Who};
use crate::api::audit;
use crate::api::command::parse;
use crate::api::patients::{gone, knows_people, now};
use crate::api::problem::Problem;
use crate::api::schedules;
use crate::api::state::Api;
use crate::domain::chart::Origin;
use crate::domain::encounter::Encounter;
use crate::domain::patient::Patient;
use crate::domain::rights::{Interaction, Permission, Subject};
use crate::domain::schedule::Schedule;
use crate::domain::staff;
use crate::domain::vitals::Reading;
use crate::kernel::{Date, EncounterId, Loinc, Mrn, StreamId, StreamKind, Timestamp};
use crate::projection::{BedRow, EncounterRow, PatientRow, Search, SpecimenRow};

/// Measurements of vital signs that one search looks through; where there are more, it must be narrowed.
const MEASUREMENTS: usize = 20_000;
/// Slots are looked for until so long from now.
const SLOTS_SECONDS: i64 = 28 * 24 * 3_600;
/// Patients that one search looks through.
const PATIENTS: usize = 5_000;
/// Entries of an audit that one search looks through.
const ENTRIES: usize = 10_000;

/// Whether the scopes of a token let it do something with a kind of resource; most have none, and follow roles alone.
pub(super) fn within(who: &Who, interaction: Interaction, kind: Kind) -> Result<(), Problem> {
    if who.scopes.as_ref().is_none_or(|scopes| scopes.may(interaction, kind.name())) {
        return Ok(());
    }
    let text = format!("the scopes of this token do not hold system/{}.{}: have one issued that does", kind.name(), interaction.word());
    Err(Problem::new(axum::http::StatusCode::FORBIDDEN, "beyond_scope", text))
}

/// What was found, and whose it is, for the record of what was shown.
#[derive(Default)]
pub(super) struct Gathered {
    pub(super) resources: Vec<Value>,
    pub(super) patients: BTreeSet<Mrn>,
    pub(super) allowed: Option<Allowed>,
}

impl Gathered {
    fn of(allowed: Allowed, resources: Vec<Value>, patients: impl IntoIterator<Item = Mrn>) -> Self {
        Self { resources, patients: patients.into_iter().collect(), allowed: Some(allowed) }
    }

    /// What belongs to no patient.
    pub(super) fn of_house(allowed: Allowed, resources: Vec<Value>) -> Self {
        Self::of(allowed, resources, [])
    }

    /// Both together.
    pub(super) fn and(mut self, other: Gathered) -> Self {
        self.resources.extend(other.resources);
        self.patients.extend(other.patients);
        self.allowed = self.allowed.or(other.allowed);
        self
    }
}

pub(super) fn house(api: &Api) -> House {
    House { name: api.name.to_string(), facility: api.facility.to_string() }
}

/// A number that a client sends: an id, `Patient/id`, or the number itself.
fn number(text: &str) -> Result<Mrn, Problem> {
    let id = text.strip_prefix("Patient/").unwrap_or(text);
    parse(&unescape(id).unwrap_or_else(|| id.to_owned()))
}

fn version(api: &Api, kind: StreamKind, key: &str) -> Option<Version> {
    api.history.newest(&StreamId::new(kind, key)).map(|(number, at)| Version { number, at })
}

fn record(api: &Api, mrn: &Mrn) -> Patient {
    api.rows.get::<PatientRow>("patient", mrn.as_str()).unwrap_or_default().patient
}

pub(super) fn patient(api: &Api, mrn: &Mrn) -> Option<Value> {
    let record = record(api, mrn);
    (record != Patient::default()).then(|| resources::patient(&house(api), mrn, &record, version(api, StreamKind::Patient, mrn.as_str())))
}

fn encounter(api: &Api, id: &EncounterId) -> Option<(Value, Mrn)> {
    let state = api.rows.get::<EncounterRow>("encounter", id.as_str()).unwrap_or_default().encounter;
    let mrn = whose(&state)?;
    Some((resources::encounter(&house(api), id, &state, version(api, StreamKind::Encounter, id.as_str()))?, mrn))
}

/// Whose stay it is.
pub(super) fn whose(state: &Encounter) -> Option<Mrn> {
    state.patient().cloned()
}

fn too_costly(text: String) -> Problem {
    Problem::new(axum::http::StatusCode::BAD_REQUEST, "too_costly", text)
}

/// The vital signs of one number, or one of them, the newest first.
fn signs(api: &Api, mrn: &Mrn, code: Option<&Loinc>) -> Result<Vec<Value>, Problem> {
    let (mut found, mut before, mut withdrawn) = (Vec::new(), None, BTreeMap::new());
    loop {
        // What is left out must not look like nothing.
        if found.len() >= MEASUREMENTS {
            return Err(too_costly(format!("{mrn} has more than {MEASUREMENTS} measurements: say which sign (code=), or read /api/v1/patients/{mrn}/vitals page by page")));
        }
        let (page, next) = api.history.measurements(mrn, before, (code, MEASUREMENTS)).map_err(|error| Problem::unreadable(&error))?;
        for measurement in page {
            let of_event = |name: &str| measurement.event.get(name).cloned().unwrap_or_default();
            let measured = || serde_json::from_value::<Timestamp>(of_event("measured")).ok();
            match of_event("event").as_str() {
                // The newest comes first: what was withdrawn is met before what it was.
                Some("ReadingWithdrawn") => drop(withdrawn.insert((of_event("code").as_str().unwrap_or_default().to_owned(), measured()), measurement.recorded)),
                Some("VitalsTaken") => {
                    let readings: Vec<Reading> = serde_json::from_value(of_event("readings")).unwrap_or_default();
                    let Some(at) = measured() else { continue };
                    found.extend(readings.iter().enumerate().map(|(place, reading)| {
                        let sign = clinical::Sign {
                            at: (measurement.sequence, place),
                            reading,
                            name: crate::api::chart_view::sign_name(api, &reading.code),
                            measured: at,
                            recorded: measurement.recorded,
                            source: of_event("source").as_str().unwrap_or_default().to_owned(),
                            withdrawn: withdrawn.get(&(reading.code.to_string(), Some(at))).copied(),
                        };
                        clinical::sign(mrn, &sign)
                    }));
                }
                _ => {}
            }
        }
        match next {
            Some(next) => before = Some(next),
            None => break,
        }
    }
    Ok(found)
}

/// Results of the laboratory of one number.
fn results(api: &Api, mrn: &Mrn) -> Vec<Value> {
    let catalogue = api.catalogue.borrow().clone();
    let mut found = Vec::new();
    for accession in api.rows.specimens_of(mrn) {
        let Some(row) = api.rows.get::<SpecimenRow>("specimen", &accession) else { continue };
        for (test, results) in &row.tests {
            let name = catalogue.get(test).map_or(test.as_str(), String::as_str);
            found.extend(results.iter().enumerate().map(|(place, result)| clinical::result(mrn, &accession, place, name, result)));
        }
    }
    found
}

/// The stays of a number; one that was written under it and is somebody else's is not.
fn stays_of(api: &Api, mrn: &Mrn) -> Vec<EncounterId> {
    let written = api.rows.streams_of(mrn).into_iter().filter(|stream| stream.kind() == StreamKind::Encounter);
    let is_theirs = |stream: &StreamId| {
        let state = api.rows.get::<EncounterRow>("encounter", stream.key()).unwrap_or_default().encounter;
        state.patient().is_none_or(|whose| whose == mrn)
    };
    written.filter(is_theirs).filter_map(|stream| stream.key().parse().ok()).collect()
}

/// Who made each version of a record and of its stays what it is.
fn authors(api: &Api, mrn: &Mrn) -> Result<Vec<Value>, Problem> {
    let house = house(api);
    let of = |kind: StreamKind, key: &str, target: &str, what: &str| -> Result<Vec<Value>, Problem> {
        let known = api.history.authors(&StreamId::new(kind, key)).map_err(|error| Problem::unreadable(&error))?;
        Ok(known.iter().map(|author| resources::provenance(&house, mrn, (target, what), author)).collect::<Vec<_>>())
    };
    let mut found = of(StreamKind::Patient, mrn.as_str(), &format!("Patient/{}", super::id::escape(mrn.as_str())), "")?;
    for stay in stays_of(api, mrn) {
        let id = resources::encounter_id(&stay);
        found.extend(of(StreamKind::Encounter, stay.as_str(), &format!("Encounter/{id}"), &id)?);
    }
    // And what other systems told of it.
    for event in api.history.of_kind(&StreamId::new(StreamKind::Chart, mrn.as_str()), "OriginTold").map_err(|error| Problem::unreadable(&error))? {
        let origin: Option<Origin> = event.payload.get("origin").and_then(|origin| serde_json::from_value(origin.clone()).ok());
        found.extend(origin.map(|origin| told::provenance(mrn, event.sequence, &origin)));
    }
    Ok(found)
}

/// What belongs to a patient, of one kind and under one number.
fn of_number(api: &Api, who: &Who, (kind, code): (Kind, Option<&Loinc>), mrn: &Mrn) -> Result<Vec<Value>, Problem> {
    Ok(match kind {
        Kind::Patient => patient(api, mrn).into_iter().collect(),
        Kind::RelatedPerson => resources::related(mrn, &record(api, mrn), version(api, StreamKind::Patient, mrn.as_str())),
        Kind::Coverage => resources::coverages(mrn, &record(api, mrn), version(api, StreamKind::Patient, mrn.as_str())),
        Kind::AllergyIntolerance => clinical::allergies(mrn, &record(api, mrn).allergies),
        Kind::Condition => api.rows.chart(mrn).problems.iter().map(|problem| clinical::condition(mrn, problem)).collect(),
        Kind::Encounter => stays_of(api, mrn).iter().filter_map(|stay| encounter(api, stay)).map(|(resource, _)| resource).collect(),
        Kind::EpisodeOfCare => {
            let states: Vec<Encounter> = stays_of(api, mrn).iter().map(|stay| api.rows.get::<EncounterRow>("encounter", stay.as_str()).unwrap_or_default().encounter).collect();
            let programmes = api.rows.chart(mrn).programmes;
            resources::episode(&house(api), mrn, &states).into_iter().chain(programmes.iter().map(|known| resources::programme(&house(api), mrn, known))).collect()
        }
        Kind::Provenance => authors(api, mrn)?,
        Kind::Observation => {
            let mut found = signs(api, mrn, code)?;
            // Results of the laboratory are for those who may see them.
            if who.rights.may(Permission::ViewSpecimens, &api.gate.patient(mrn)).is_ok() {
                found.extend(results(api, mrn));
            }
            found
        }
        Kind::Practitioner
        | Kind::PractitionerRole
        | Kind::Organization
        | Kind::Location
        | Kind::Device
        | Kind::Schedule
        | Kind::Slot
        | Kind::Appointment
        | Kind::AuditEvent
        | Kind::Subscription => Vec::new(),
    })
}

/// What belongs to a person, of one kind, under all their numbers.
pub(super) async fn of_person(api: &Api, who: &Who, kind: Kind, (mrn, code): (&Mrn, Option<&Loinc>)) -> Result<Gathered, Problem> {
    // Of a person as a whole ($everything), or as a search.
    within(who, Interaction::Search, kind).or_else(|problem| within(who, Interaction::Read, kind).map_err(|_| problem))?;
    let allowed = api.may_patient(who, Permission::ViewPatient, mrn).await?;
    let numbers: Vec<Mrn> = now(api).person(mrn)?.into_iter().map(|(number, _)| number).collect();
    let mut found = Vec::new();
    for number in &numbers {
        found.extend(of_number(api, who, (kind, code), number)?);
    }
    if kind == Kind::AllergyIntolerance && found.len() > 1 {
        // That one number knows of none does not contradict what another knows.
        found.retain(|resource| !resource["id"].as_str().is_some_and(|id| id.ends_with(clinical::NONE_KNOWN)));
    }
    Ok(Gathered::of(allowed, found, numbers))
}

/// The parameters that the index of people answers, the one that leaves the fewest first.
const INDEXED: [&str; 7] = ["identifier", "phone", "telecom", "birthdate", "family", "name", "given"];

/// Whom the index knows by a value of a parameter.
fn by_index(api: &Api, parameter: &str, value: &str) -> Vec<Mrn> {
    let value = value.to_owned();
    let search = match parameter {
        "identifier" => Search { number: value.rsplit('|').next().unwrap_or_default().to_owned(), ..Search::default() },
        "phone" | "telecom" => Search { phone: value, ..Search::default() },
        "birthdate" => Search { born: value.trim_start_matches("eq").parse().ok(), ..Search::default() },
        _ => Search { name: value, ..Search::default() },
    };
    if search.is_empty() { Vec::new() } else { api.rows.find_patients(&search, PATIENTS + 1) }
}

/// Patients who fit a search and are within reach. Each of several values is looked for, and what the search leaves out is not hidden.
async fn patients(api: &Api, who: &Who, asked: &Asked) -> Result<Gathered, Problem> {
    let allowed = api.may(who, Permission::FindPatients)?;
    knows_people(api).await?;
    let is_whole_day = |value: &str| value.trim_start_matches("eq").parse::<Date>().is_ok();
    let is_usable = |name: &str| asked.all(name).next().is_some() && (name != "birthdate" || asked.all(name).all(is_whole_day));
    let found: BTreeSet<Mrn> = match (asked.value("_id"), INDEXED.into_iter().find(|name| is_usable(name))) {
        (Some(_), _) => asked.all("_id").filter_map(|id| number(id).ok()).collect(),
        (None, Some(parameter)) => asked.all(parameter).flat_map(|value| by_index(api, parameter, value)).collect(),
        (None, None) => return Err(too_costly("say whom you look for: _id, identifier, name, family, given, birthdate (a whole date) or phone".to_owned())),
    };
    if found.len() > PATIENTS {
        return Err(too_costly(format!("more than {PATIENTS} patients could be meant: say more of whom you look for")));
    }
    let within = |mrn: &Mrn| who.rights.may(Permission::ViewPatient, &api.gate.patient(mrn)).is_ok();
    let fitting = found.into_iter().filter(within).filter_map(|mrn| Some((patient(api, &mrn)?, mrn))).filter(|(resource, _)| asked.fits(resource));
    let (resources, shown): (Vec<Value>, Vec<Mrn>) = fitting.unzip();
    Ok(Gathered::of(allowed, resources, shown))
}

fn locations(api: &Api, who: &Who) -> Result<Gathered, Problem> {
    let allowed = api.may(who, Permission::ViewBeds)?;
    let house = house(api);
    let mut found = Vec::new();
    for (ward, beds) in &api.hospital.layout().wards {
        let site = api.hospital.layout().sites.get(ward).cloned().unwrap_or_default();
        let facility = site.facility.as_deref().unwrap_or(&house.facility);
        let name = if site.name.is_empty() { ward.as_str() } else { &site.name };
        found.push(resources::place(&house, Place::Site(facility)));
        found.extend(site.building.as_deref().map(|building| resources::place(&house, Place::Building { facility, building })));
        found.push(resources::place(&house, Place::Ward { facility, building: site.building.as_deref(), ward: ward.as_str(), name }));
        for id in beds {
            let [_, room, _] = id.parts();
            if !room.is_empty() {
                found.push(resources::place(&house, Place::Room { facility, ward: ward.as_str(), room }));
            }
            found.push(resources::bed(&house, facility, id, &api.rows.get::<BedRow>("bed", id.as_str()).unwrap_or_default().bed));
        }
    }
    // What several wards or beds are in is told once.
    let mut told = BTreeSet::new();
    found.retain(|resource| told.insert(resource["id"].to_string()));
    Ok(Gathered::of(allowed, found, []))
}

fn staff_of(api: &Api, who: &Who, kind: Kind) -> Result<Gathered, Problem> {
    let allowed = api.may_with(who, Permission::ViewUsers, &Subject::House)?;
    let (house, staff) = (house(api), api.gate.staff());
    let persons = staff.iter().filter(|(_, user)| user.kind == staff::Kind::Person);
    let found = match kind {
        Kind::PractitionerRole => persons.flat_map(|(id, user)| resources::roles(&house, id, user)).collect(),
        _ => persons.map(|(id, user)| resources::practitioner(&house, id, user)).collect(),
    };
    Ok(Gathered::of(allowed, found, []))
}

/// Who saw and did what of patients, the newest first.
async fn audit_events(api: &Api, who: &Who, asked: &Asked) -> Result<Gathered, Problem> {
    let allowed = api.may_with(who, Permission::ViewAudit, &Subject::House)?;
    let named = asked.all("patient").map(number).collect::<Result<Vec<_>, _>>()?;
    if named.is_empty() {
        return Err(too_costly("say whose: patient=… (what a user did is in /api/v1/audit?user=…)".to_owned()));
    }
    let numbers: Vec<Mrn> = named.iter().flat_map(|mrn| api.rows.person_now(mrn)).map(|(number, _)| number).collect();
    let (reader, whose) = (api.clone(), numbers.clone());
    // It reads much of the log: where it holds up nobody.
    let found = tokio::task::spawn_blocking(move || audit::newest_of(&reader, &whose, ENTRIES)).await.map_err(|error| Problem::unreadable(&error))??;
    if found.len() >= ENTRIES {
        return Err(too_costly(format!("there are more than {ENTRIES} entries: read /api/v1/audit?patient=… with from, until and before")));
    }
    let resources = found.iter().map(|entry| resources::audit_event(&house(api), entry, &numbers)).collect();
    Ok(Gathered::of(allowed, resources, numbers))
}

/// What belongs to no patient: the house, its places, people and devices, of the configuration and of the directory.
fn of_house(api: &Api, who: &Who, kind: Kind) -> Result<Gathered, Problem> {
    let mut found = of_configuration(api, who, kind)?;
    let entries = api.rows.directory().into_iter().filter(|(_, entry)| listed::kind_of(entry) == kind);
    found.resources.extend(entries.map(|(id, entry)| listed::resource(&house(api), &id, &entry)));
    Ok(found)
}

fn of_configuration(api: &Api, who: &Who, kind: Kind) -> Result<Gathered, Problem> {
    match kind {
        Kind::Practitioner | Kind::PractitionerRole => staff_of(api, who, kind),
        Kind::Organization => {
            let own = house(api);
            let others: BTreeSet<&str> = api.hospital.layout().sites.values().filter_map(|site| site.facility.as_deref()).filter(|facility| *facility != own.facility).collect();
            let all = std::iter::once(resources::organization(&own, None)).chain(others.into_iter().map(|facility| resources::organization(&own, Some(facility))));
            Ok(Gathered::of(api.may(who, Permission::ViewBeds)?, all.collect(), []))
        }
        Kind::Device => {
            let allowed = api.may(who, Permission::ViewDevices)?;
            let devices = api.hospital.layout().devices.iter().map(|id| resources::device(&house(api), id.as_str())).collect();
            Ok(Gathered::of(allowed, devices, []))
        }
        _ => locations(api, who),
    }
}

/// Schedules, their slots of the next four weeks, or the appointments of a patient.
fn scheduled(api: &Api, who: &Who, kind: Kind, patients: &[Mrn]) -> Result<Gathered, Problem> {
    let allowed = api.may(who, Permission::ViewSchedules)?;
    let now = api.clock.now();
    let within = |schedule: &Schedule| who.rights.may(Permission::ViewSchedules, &schedules::place(api, schedule.ward.as_ref())).is_ok();
    let all = || api.rows.schedules().into_iter().filter(|(_, schedule)| within(schedule));
    let found = match kind {
        Kind::Schedule => all().map(|(id, state)| scheduling::schedule(&house(api), &id, &state)).collect(),
        Kind::Slot => {
            let of =
                |(id, state): (String, Schedule)| schedules::slots(&state, (now, now.plus_seconds(SLOTS_SECONDS)), now).into_iter().map(move |slot| scheduling::slot(&id, &slot));
            all().flat_map(of).collect()
        }
        _ => {
            let known = patients.iter().filter(|mrn| schedules::may_know(api, who, mrn));
            known.flat_map(|mrn| schedules::of_patient(api, mrn)).filter_map(|booked| scheduling::appointment(&booked)).collect()
        }
    };
    Ok(Gathered::of(allowed, found, patients.iter().cloned()))
}

/// Everything that a search may choose from.
pub(super) async fn candidates(api: &Api, who: &Who, kind: Kind, asked: &Asked) -> Result<Gathered, Problem> {
    within(who, Interaction::Search, kind)?;
    match kind {
        Kind::Patient => patients(api, who, asked).await,
        Kind::RelatedPerson | Kind::Coverage | Kind::AllergyIntolerance | Kind::Condition | Kind::Encounter | Kind::EpisodeOfCare | Kind::Provenance | Kind::Observation => {
            let named: Vec<&str> = WHOSE.into_iter().flat_map(|name| asked.all(name)).collect();
            let mut found = Gathered::default();
            let mut codes = asked.all("code");
            // One sign is read without the others.
            let code: Option<Loinc> = codes.next().filter(|_| codes.next().is_none()).and_then(|code| code.rsplit('|').next()?.parse().ok());
            for named in &named {
                found = found.and(of_person(api, who, kind, (&number(named)?, code.as_ref())).await?);
            }
            if !named.is_empty() {
                return Ok(found);
            }
            if asked.value("_id").is_none() {
                return Err(too_costly(format!("say whose: patient=… (a search for {} of everybody is not answered)", kind.name())));
            }
            for id in asked.all("_id") {
                match one(api, who, kind, id).await {
                    Ok(other) => found = found.and(other),
                    // A search says nothing of what is not there.
                    Err(problem) if problem.status == 404 => {}
                    Err(problem) => return Err(problem),
                }
            }
            Ok(found)
        }
        Kind::Practitioner | Kind::PractitionerRole | Kind::Organization | Kind::Location | Kind::Device => of_house(api, who, kind),
        Kind::Schedule | Kind::Slot => scheduled(api, who, kind, &[]),
        Kind::Appointment => match asked.all("patient").map(number).collect::<Result<Vec<_>, _>>()? {
            none if none.is_empty() => {
                Err(Problem::new(axum::http::StatusCode::BAD_REQUEST, "too_costly", "say whose: patient=… (a search for appointments of everybody is not answered)"))
            }
            patients => scheduled(api, who, kind, &patients),
        },
        Kind::AuditEvent => audit_events(api, who, asked).await,
        Kind::Subscription => subscription::own(api, who),
    }
}

/// The resource of an id; none of it when there is none.
pub(super) async fn one(api: &Api, who: &Who, kind: Kind, id: &str) -> Result<Gathered, Problem> {
    within(who, Interaction::Read, kind)?;
    let missing = || Problem::missing(kind.name(), id);
    let mut found = match kind {
        Kind::Patient => {
            let mrn = number(id)?;
            let allowed = api.may_patient(who, Permission::ViewPatient, &mrn).await?;
            gone(api, &mrn)?;
            Gathered::of(allowed, patient(api, &mrn).into_iter().collect(), [mrn])
        }
        Kind::Encounter => {
            let stay = EncounterId::of_visit(&unescape(id).ok_or_else(missing)?).map_err(|_| missing())?;
            api.may(who, Permission::ViewPatient)?;
            let (resource, mrn) = encounter(api, &stay).ok_or_else(missing)?;
            Gathered::of(api.may_patient(who, Permission::ViewPatient, &mrn).await?, vec![resource], [mrn])
        }
        Kind::RelatedPerson | Kind::Coverage | Kind::AllergyIntolerance | Kind::Condition | Kind::EpisodeOfCare | Kind::Provenance | Kind::Observation => {
            let mrn: Mrn = patient_of(id).and_then(|mrn| mrn.parse().ok()).ok_or_else(missing)?;
            let allowed = api.may_patient(who, Permission::ViewPatient, &mrn).await?;
            Gathered::of(allowed, of_number(api, who, (kind, None), &mrn)?, [mrn])
        }
        Kind::Schedule | Kind::Slot => scheduled(api, who, kind, &[])?,
        Kind::Appointment => {
            let (schedule, at) = id.rsplit_once(".-").ok_or_else(missing)?;
            let schedule = unescape(schedule).and_then(|schedule| schedule.parse().ok()).ok_or_else(missing)?;
            let patient = at.parse().ok().and_then(|at: u32| Some(api.rows.schedule(&schedule).appointments.get(&at)?.patient.clone()));
            scheduled(api, who, kind, &[patient.ok_or_else(missing)?])?
        }
        Kind::AuditEvent => {
            let allowed = api.may_with(who, Permission::ViewAudit, &Subject::House)?;
            let sequence: u64 = id.parse().map_err(|_| missing())?;
            let entries = api.history.entries_at(sequence).map_err(|error| Problem::unreadable(&error))?;
            let event = api.history.event_at(sequence).map_err(|error| Problem::unreadable(&error))?;
            let patients: Vec<Mrn> = event.iter().flat_map(|event| api.rows.patients_of(event)).collect();
            let found = entries.iter().filter(|entry| entry.sequence == sequence).map(|entry| resources::audit_event(&house(api), entry, &patients)).collect();
            Gathered::of(allowed, found, patients)
        }
        Kind::Practitioner | Kind::PractitionerRole | Kind::Organization | Kind::Location | Kind::Device => of_house(api, who, kind)?,
        Kind::Subscription => subscription::own(api, who)?,
    };
    found.resources.retain(|resource| resource["id"] == id);
    if found.resources.is_empty() { Err(missing()) } else { Ok(found) }
}

/// The resource that a reference of ours leads to.
pub(super) async fn referred(api: &Api, who: &Who, reference: &str) -> Option<Gathered> {
    let (kind, id) = reference.split_once('/')?;
    // What somebody may not see is not in the answer, and that is all: the reference stands there all the same.
    one(api, who, Kind::of_name(kind)?, id).await.ok()
}
