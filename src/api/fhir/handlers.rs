//! Reading, searching, versions, everything of a patient.

use axum::extract::{Form, Path, Query, State};
use axum::http::StatusCode;
use axum::response::Response;
use serde_json::{Value, json};

use super::gather::{self, Gathered};
use super::resources::full;
use super::search::{Asked, values};
use super::{Kind, reply, versions};
use crate::access::Who;
use crate::api::guard::Asking;
use crate::api::problem::Problem;
use crate::api::state::Api;
use crate::domain::disclosure::Record;
use crate::domain::rights::Permission;
use crate::kernel::Mrn;

/// Resources that a search includes at most besides its matches.
const INCLUDED: usize = 500;

pub(super) type Pairs = Vec<(String, String)>;

pub(super) fn kind(name: &str) -> Result<Kind, Problem> {
    let known = || Kind::ALL.map(Kind::name).join(", ");
    Kind::of_name(name).ok_or_else(|| Problem::new(StatusCode::NOT_FOUND, "unknown", format!("there is no {name} here: /fhir/R4/metadata lists what there is ({})", known())))
}

/// Stores that resources are about to be shown, before they are.
pub(super) async fn shown(api: &Api, kind: Kind, found: &Gathered) -> Result<(), Problem> {
    let Some(allowed) = &found.allowed else { return Ok(()) };
    let patients: Vec<Mrn> = found.patients.iter().cloned().collect();
    // A search that found nobody of a patient showed that there is nothing: that is told too.
    // Whoever reads the audit is noted also where it tells of nobody.
    if patients.is_empty() && kind != Kind::AuditEvent { Ok(()) } else { api.shown(allowed, Record::Fhir, Some(kind.name()), patients).await }
}

fn entry(resource: Value, mode: &str) -> Value {
    let url = format!("/fhir/R4/{}/{}", resource["resourceType"].as_str().unwrap_or_default(), resource["id"].as_str().unwrap_or_default());
    json!({ "fullUrl": url, "resource": resource, "search": { "mode": mode } })
}

/// A resource.
pub(super) async fn read(State(api): State<Api>, Asking(who): Asking, Path((name, id)): Path<(String, String)>) -> Result<Response, Problem> {
    let kind = kind(&name)?;
    let mut found = gather::one(&api, &who, kind, &id).await?;
    versions::stamp(&api, &who, kind, &id, &mut found).await?;
    shown(&api, kind, &found).await?;
    Ok(reply(StatusCode::OK, &found.resources[0]))
}

/// A search by query.
pub(super) async fn search(
    State(api): State<Api>,
    Asking(who): Asking,
    Path(name): Path<String>,
    pairs: Result<Query<Pairs>, axum::extract::rejection::QueryRejection>,
) -> Result<Response, Problem> {
    let Query(pairs) = pairs.map_err(|error| Problem::bad(error.body_text()))?;
    answer(&api, &who, kind(&name)?, pairs).await
}

/// A search by form, which leaves no patient's name in the address.
pub(super) async fn search_by_form(
    State(api): State<Api>,
    Asking(who): Asking,
    Path(name): Path<String>,
    Query(mut pairs): Query<Pairs>,
    form: Result<Form<Pairs>, axum::extract::rejection::FormRejection>,
) -> Result<Response, Problem> {
    let Form(form) = form.map_err(|error| Problem::bad(error.body_text()))?;
    pairs.extend(form);
    answer(&api, &who, kind(&name)?, pairs).await
}

async fn answer(api: &Api, who: &Who, kind: Kind, pairs: Pairs) -> Result<Response, Problem> {
    // Forms are not GET, and look at what is known all the same.
    let _ = api.caught_up().await;
    let asked = Asked::read(kind, pairs)?;
    let mut found = gather::candidates(api, who, kind, &asked).await?;
    found.resources.retain(|resource| asked.fits(resource));
    asked.sort(&mut found.resources);
    let total = found.resources.len();
    let page: Vec<Value> = found.resources.drain(..).skip(asked.offset).take(asked.count).collect();
    let mut included: Vec<Value> = Vec::new();
    let references = asked.include.iter().flat_map(|parameter| page.iter().flat_map(|resource| values(resource, parameter)));
    let mut references: Vec<String> = references.filter_map(|value| value.get("reference")?.as_str().map(str::to_owned)).collect();
    references.sort_unstable();
    references.dedup();
    for reference in references.into_iter().take(INCLUDED) {
        if let Some(mut other) = gather::referred(api, who, &reference).await {
            included.append(&mut other.resources);
            found = found.and(other);
        }
    }
    shown(api, kind, &found).await?;
    let next = asked.offset + page.len();
    let link = |relation: &str, offset: usize| json!({ "relation": relation, "url": format!("/fhir/R4/{}{}", kind.name(), asked.query(offset)) });
    let links: Vec<Value> = [link("self", asked.offset)].into_iter().chain((next < total).then(|| link("next", next))).collect();
    let entries = page.into_iter().map(|resource| entry(resource, "match")).chain(included.into_iter().map(|resource| entry(resource, "include")));
    let bundle = json!({ "resourceType": "Bundle", "type": "searchset", "total": total, "link": links, "entry": entries.collect::<Value>() });
    Ok(reply(StatusCode::OK, &full(bundle)))
}

/// All versions of a patient or a stay, the newest first.
pub(super) async fn history(State(api): State<Api>, Asking(who): Asking, Path((name, id)): Path<(String, String)>) -> Result<Response, Problem> {
    let kind = kind(&name)?;
    let found = versions::of(&api, &who, kind, &id).await?;
    shown(&api, kind, &found).await?;
    let url = format!("{}/{id}", kind.name());
    let entry = |(at, resource): (usize, &Value)| {
        let is_first = at == 0;
        json!({
            "fullUrl": format!("/fhir/R4/{url}"),
            "resource": resource,
            "request": { "method": if is_first { "POST" } else { "PUT" }, "url": if is_first { kind.name() } else { url.as_str() } },
            "response": { "status": if is_first { "201" } else { "200" }, "lastModified": resource["meta"]["lastUpdated"] },
        })
    };
    let entries: Value = found.resources.iter().enumerate().rev().map(entry).collect();
    Ok(reply(StatusCode::OK, &full(json!({ "resourceType": "Bundle", "type": "history", "total": found.resources.len(), "entry": entries }))))
}

/// One version.
pub(super) async fn version(State(api): State<Api>, Asking(who): Asking, Path((name, id, version)): Path<(String, String, String)>) -> Result<Response, Problem> {
    let kind = kind(&name)?;
    let mut found = versions::of(&api, &who, kind, &id).await?;
    found.resources.retain(|resource| resource["meta"]["versionId"] == version.as_str());
    shown(&api, kind, &found).await?;
    found.resources.first().map(|resource| reply(StatusCode::OK, resource)).ok_or_else(|| Problem::missing(&format!("{name}/{id} in version"), &version))
}

/// Everything of a patient, under all their numbers.
pub(super) async fn everything(State(api): State<Api>, Asking(who): Asking, Path((name, id)): Path<(String, String)>) -> Result<Response, Problem> {
    if kind(&name)? != Kind::Patient {
        return Err(Problem::new(StatusCode::NOT_FOUND, "unknown", format!("$everything is asked of a Patient, not of a {name}")));
    }
    let patient = gather::one(&api, &who, Kind::Patient, &id).await?;
    let mrn = patient.patients.first().cloned().ok_or_else(|| Problem::missing("Patient", &id))?;
    // All that is in it must be allowed, the results of the laboratory too: else it would not be everything.
    api.may_patient(&who, Permission::ViewSpecimens, &mrn).await?;
    let mut found = Gathered::default();
    for kind in [Kind::Patient, Kind::RelatedPerson, Kind::Coverage, Kind::Encounter, Kind::AllergyIntolerance, Kind::Condition, Kind::Observation] {
        found = found.and(gather::of_person(&api, &who, kind, (&mrn, None)).await?);
    }
    shown(&api, Kind::Patient, &found).await?;
    let total = found.resources.len();
    let entries: Value = found.resources.into_iter().map(|resource| entry(resource, "match")).collect();
    Ok(reply(StatusCode::OK, &full(json!({ "resourceType": "Bundle", "type": "searchset", "total": total, "entry": entries }))))
}
