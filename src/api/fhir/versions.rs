//! The versions of a resource: what the stream behind it has made of it. A stream may hold several resources (a chart's problems, a
//! schedule's appointments); such a resource has a version for each event that changed it, numbered as the stream is. What is made once and
//! never changed has one.

use serde_json::Value;

use super::Kind;
use super::gather::{self, Gathered};
use super::id::{patient_of, unescape};
use super::resources::{self, Version, meta};
use super::{clinical, listed, scheduling};
use crate::access::Who;
use crate::api::problem::Problem;
use crate::api::schedules;
use crate::api::state::Api;
use crate::domain::Folded;
use crate::domain::bed::Bed;
use crate::domain::chart::Chart;
use crate::domain::directory::Listed;
use crate::domain::encounter::Encounter;
use crate::domain::patient::Patient;
use crate::domain::schedule::Schedule;
use crate::domain::staff::{self, Staff};
use crate::kernel::{BedId, EncounterId, Mrn, Timestamp};

/// Whether every event of the stream is a version, or only those that changed the resource.
#[derive(PartialEq)]
enum Counting {
    /// The stream is the resource, or its number is the resource's.
    Every,
    /// The stream holds others as well.
    Changes,
}

/// What the states of a stream make of a resource, the oldest first.
fn of_stream<A: Folded>(api: &Api, key: &str, counting: Counting, make: impl Fn(&A, Version) -> Option<Value>) -> Result<Vec<Value>, Problem> {
    let mut found: Vec<Value> = Vec::new();
    let mut last = Value::Null;
    let visit = |number: u64, at: Timestamp, state: &A| {
        let version = Version { number, at };
        let Some(mut resource) = make(state, version) else { return };
        let Some(map) = resource.as_object_mut() else { return };
        map.remove("meta");
        if counting == Counting::Changes && Value::Object(map.clone()) == last {
            return;
        }
        last = Value::Object(map.clone());
        map.insert("meta".to_owned(), meta(Some(version)));
        found.push(resource);
    };
    api.history.each_version::<A>(key, visit).map_err(|error| Problem::unreadable(&error))?;
    Ok(found)
}

fn named(resources: Vec<Value>, id: &str) -> Option<Value> {
    resources.into_iter().find(|resource| resource["id"] == id)
}

/// A measurement was right until somebody said that it was not.
fn of_measurement(resource: &Value) -> Vec<Value> {
    let mut first = resource.clone();
    if resource["status"] == "entered-in-error" {
        first["status"] = "final".into();
        first["meta"] = serde_json::json!({ "versionId": "1", "lastUpdated": resource["issued"] });
        return vec![first, resource.clone()];
    }
    once(first)
}

/// The one version of what never changes, or is no stream.
fn once(mut resource: Value) -> Vec<Value> {
    if resource["meta"]["versionId"].is_null() {
        resource["meta"]["versionId"] = "1".into();
    }
    vec![resource]
}

/// The versions of the resource of an id, the oldest first. Whoever may not see it now may not see what it was.
pub(super) async fn of(api: &Api, who: &Who, kind: Kind, id: &str) -> Result<Gathered, Problem> {
    let now = gather::one(api, who, kind, id).await?;
    let house = gather::house(api);
    let missing = || Problem::missing(kind.name(), id);
    let whose = || patient_of(id).and_then(|mrn| mrn.parse::<Mrn>().ok()).ok_or_else(missing);
    let before = |mark: &str| id.rsplit_once(mark).and_then(|(before, _)| unescape(before)).ok_or_else(missing);
    let resources = match kind {
        Kind::Patient => {
            let mrn: Mrn = unescape(id).and_then(|mrn| mrn.parse().ok()).ok_or_else(missing)?;
            of_stream::<Patient>(api, mrn.as_str(), Counting::Every, |record, version| Some(resources::patient(&house, &mrn, record, Some(version))))?
        }
        Kind::Encounter => {
            let stay = EncounterId::of_visit(&unescape(id).ok_or_else(missing)?).map_err(|_| missing())?;
            of_stream::<Encounter>(api, stay.as_str(), Counting::Every, |state, version| resources::encounter(&house, &stay, state, Some(version)))?
        }
        Kind::RelatedPerson => {
            let mrn = whose()?;
            of_stream::<Patient>(api, mrn.as_str(), Counting::Every, |record, version| named(resources::related(&mrn, record, Some(version)), id))?
        }
        Kind::Coverage => {
            let mrn = whose()?;
            of_stream::<Patient>(api, mrn.as_str(), Counting::Every, |record, version| named(resources::coverages(&mrn, record, Some(version)), id))?
        }
        Kind::AllergyIntolerance => {
            let mrn = whose()?;
            of_stream::<Patient>(api, mrn.as_str(), Counting::Changes, |record, _| named(clinical::allergies(&mrn, &record.allergies), id))?
        }
        Kind::Condition => {
            let mrn = whose()?;
            of_stream::<Chart>(api, mrn.as_str(), Counting::Changes, |chart, _| named(chart.problems.iter().map(|problem| clinical::condition(&mrn, problem)).collect(), id))?
        }
        Kind::Appointment => {
            let schedule = before(".-")?;
            of_stream::<Schedule>(api, &schedule, Counting::Changes, |state, _| {
                let booked = state.appointments.values().filter_map(|known| scheduling::appointment(&schedules::booked(&schedule, state, known)));
                named(booked.collect(), id)
            })?
        }
        Kind::Schedule => {
            let schedule = unescape(id).ok_or_else(missing)?;
            of_stream::<Schedule>(api, &schedule, Counting::Changes, |state, _| state.of.is_some().then(|| scheduling::schedule(&house, &schedule, state)))?
        }
        Kind::Slot => {
            let schedule = before(".-")?;
            of_stream::<Schedule>(api, &schedule, Counting::Changes, |state, _| {
                let all = schedules::slots(state, (Timestamp::from_micros(i64::MIN), Timestamp::from_micros(i64::MAX)), api.clock.now());
                named(all.iter().map(|slot| scheduling::slot(&schedule, slot)).collect(), id)
            })?
        }
        Kind::Organization | Kind::Location | Kind::Device if unescape(id).is_some_and(|id| api.rows.listed(&id).is_some()) => {
            let entry = unescape(id).unwrap_or_default();
            of_stream::<Listed>(api, &entry, Counting::Changes, |state, _| state.entry.as_ref().map(|known| listed::resource(&house, &entry, known)))?
        }
        Kind::Location => match unescape(id).and_then(|bed| bed.parse::<BedId>().ok()) {
            Some(bed) => {
                let sites = &api.hospital.layout().sites;
                let facility = sites.iter().find(|(ward, _)| ward.as_str() == bed.ward()).and_then(|(_, site)| site.facility.clone()).unwrap_or_else(|| house.facility.clone());
                let changed = of_stream::<Bed>(api, bed.as_str(), Counting::Changes, |state, _| Some(resources::bed(&house, &facility, &bed, state)))?;
                if changed.is_empty() { now.resources.iter().cloned().flat_map(once).collect() } else { changed }
            }
            None => now.resources.iter().cloned().flat_map(once).collect(),
        },
        Kind::Practitioner | Kind::PractitionerRole => of_stream::<Staff>(api, staff::STREAM, Counting::Changes, |state, _| {
            let persons = state.iter().filter(|(_, user)| user.kind == staff::Kind::Person);
            let of_user = |(name, user)| match kind {
                Kind::PractitionerRole => resources::roles(&house, name, user),
                _ => vec![resources::practitioner(&house, name, user)],
            };
            named(persons.flat_map(of_user).collect(), id)
        })?,
        Kind::Observation => now.resources.iter().flat_map(of_measurement).collect(),
        Kind::EpisodeOfCare if !id.ends_with("-care") => {
            let mrn = whose()?;
            of_stream::<Chart>(api, mrn.as_str(), Counting::Changes, |chart, _| {
                named(chart.programmes.iter().map(|known| resources::programme(&house, &mrn, known)).collect(), id)
            })?
        }
        Kind::EpisodeOfCare | Kind::Organization | Kind::Device | Kind::AuditEvent | Kind::Provenance | Kind::Subscription => {
            now.resources.iter().cloned().flat_map(once).collect()
        }
    };
    Ok(Gathered { resources, ..now })
}

/// Gives the resource that is read the version that it is in.
pub(super) async fn stamp(api: &Api, who: &Who, kind: Kind, id: &str, found: &mut Gathered) -> Result<(), Problem> {
    if let Some(resource) = found.resources.first_mut().filter(|resource| resource["meta"]["versionId"].is_null()) {
        let newest = of(api, who, kind, id).await?.resources.pop();
        if let (Some(newest), Some(map)) = (newest, resource.as_object_mut()) {
            map.insert("meta".to_owned(), newest["meta"].clone());
        }
    }
    Ok(())
}
