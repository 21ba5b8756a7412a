//! Bundles: a transaction happens as a whole or not at all; the entries of a batch each for themselves.

use std::collections::BTreeMap;

use axum::body::to_bytes;
use axum::extract::{Path, Query, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde_json::{Value, json};

use super::plan::{Made, Plan};
use super::{Effect, Wishes, create_one, id_of, kind_of, made_by, matching, nothing_to_match, perform, several, update_one, version_of};
use crate::access::Who;
use crate::api::command::{Body, Identity, Key};
use crate::api::fhir::search::Asked;
use crate::api::fhir::{Kind, gather, handlers, outcome, reply};
use crate::api::guard::Asking;
use crate::api::problem::Problem;
use crate::api::state::Api;
use crate::domain::rights::Interaction;
use crate::kernel::limits;

/// Entries of one bundle at most.
const ENTRIES: usize = 100;

/// What an entry asks.
struct Entry<'v> {
    place: String,
    /// How others of the bundle refer to it.
    full_url: &'v str,
    method: &'v str,
    url: &'v str,
    resource: &'v Value,
    wishes: Wishes,
}

/// A bundle of either kind.
pub(in crate::api::fhir) async fn bundle(State(api): State<Api>, Asking(who): Asking, Key(key): Key, headers: HeaderMap, Body(value): Body<Value>) -> Result<Response, Problem> {
    let wishes = Wishes::of(&headers)?;
    if value["resourceType"] != "Bundle" {
        return Err(Problem::bad("a Bundle is needed here: send one resource to the path of its kind").at("resourceType"));
    }
    let none = Vec::new();
    let entries = value["entry"].as_array().unwrap_or(&none);
    if entries.len() > ENTRIES {
        return Err(Problem::bad(format!("the bundle has {} entries, {ENTRIES} at most are taken: send it in parts", entries.len())).at("Bundle.entry"));
    }
    let entries = entries.iter().enumerate().map(|(at, entry)| read(at, entry, &wishes)).collect::<Result<Vec<_>, _>>()?;
    match value["type"].as_str() {
        Some("transaction") => transaction(&api, &who, key, &wishes, entries).await,
        Some("batch") => batch(&api, &who, key, entries).await,
        other => Err(Problem::bad(format!("a bundle that is sent is a transaction or a batch, not {}", other.unwrap_or("without a type"))).at("Bundle.type")),
    }
}

fn read<'v>(at: usize, entry: &'v Value, wishes: &Wishes) -> Result<Entry<'v>, Problem> {
    let place = format!("Bundle.entry[{at}]");
    let text = |name: &str| entry.pointer(&format!("/request/{name}")).and_then(Value::as_str);
    let needed = |name: &str| text(name).ok_or_else(|| Problem::bad(format!("{place}.request.{name} is missing")).at(&format!("{place}.request.{name}")));
    let wishes = Wishes { version: text("ifMatch").map(version_of).transpose()?, if_none: text("ifNoneExist").map(str::to_owned), ..wishes.clone() };
    let (method, url) = (needed("method")?, needed("url")?);
    Ok(Entry { full_url: entry["fullUrl"].as_str().unwrap_or_default(), method, url, resource: &entry["resource"], wishes, place })
}

/// The kind, and the id or the search of an entry's url.
fn target(url: &str) -> (&str, Option<&str>, Option<&str>) {
    let url = url.trim_start_matches("/fhir/R4/");
    let (path, query) = url.split_once('?').map_or((url, None), |(path, query)| (path, Some(query)));
    let (kind, id) = path.split_once('/').map_or((path, None), |(kind, id)| (kind, Some(id)));
    (kind, id, query)
}

/// The same resource with references to others of the bundle by the ids that those get.
fn resolved(value: &Value, ids: &BTreeMap<String, String>) -> Value {
    match value {
        Value::Object(map) => map
            .iter()
            .map(|(key, value)| match (key.as_str(), value.as_str().and_then(|text| ids.get(text))) {
                ("reference", Some(known)) => (key.clone(), known.clone().into()),
                _ => (key.clone(), resolved(value, ids)),
            })
            .collect(),
        Value::Array(all) => all.iter().map(|value| resolved(value, ids)).collect(),
        other => other.clone(),
    }
}

/// The order in which references can be followed: people first, then their stays, then what refers to both.
fn rank(entry: &Entry<'_>) -> u8 {
    match target(entry.url).0 {
        "Patient" => 0,
        "Encounter" => 1,
        _ => 2,
    }
}

/// The problem with the entry that it is of.
fn within(place: &str, problem: Problem) -> Problem {
    let inner = problem.place.as_deref().map_or_else(|| place.to_owned(), |inner| format!("{place}.resource.{}", inner.split_once('.').map_or(inner, |(_, rest)| rest)));
    Problem { detail: format!("{place}: {}", problem.detail), ..problem }.at(&inner)
}

/// An entry that was planned: which one, and what came of it.
enum Planned {
    Write(Plan),
    /// A condition found it.
    Known(Kind, String),
}

async fn transaction(api: &Api, who: &Who, key: Identity, wishes: &Wishes, entries: Vec<Entry<'_>>) -> Result<Response, Problem> {
    let _ = api.caught_up().await;
    let conditions: Vec<(&str, &str)> = entries.iter().filter_map(|entry| condition(entry)).collect();
    if let Some((kind, twice)) = conditions.iter().enumerate().find(|(at, one)| conditions[..*at].contains(one)).map(|(_, one)| one) {
        return Err(Problem::bad(format!("two entries say the same condition ({kind}?{twice}): neither would find the other, and both would be made")).at("Bundle.entry"));
    }
    let _alone = if conditions.is_empty() { None } else { Some(api.one_by_one.lock().await) };
    // What is read is read after what is written: a read that cannot be is told before anything is done.
    for entry in entries.iter().filter(|entry| entry.method == "GET") {
        readable(who, entry).map_err(|problem| within(&entry.place, problem))?;
    }
    let mut planner = wishes.planner(api, who, key);
    let mut ids: BTreeMap<String, String> = BTreeMap::new();
    let mut planned: BTreeMap<usize, Planned> = BTreeMap::new();
    let mut order: Vec<usize> = (0..entries.len()).filter(|at| entries[*at].method != "GET").collect();
    order.sort_by_key(|at| rank(&entries[*at]));
    for at in &order {
        let entry = &entries[*at];
        let value = resolved(entry.resource, &ids);
        planner.entry = u32::try_from(*at).unwrap_or(u32::MAX).saturating_add(1);
        let plan = plan(api, who, &mut planner, (entry, &value)).await.map_err(|problem| within(&entry.place, problem))?;
        let (kind, id) = match &plan {
            Planned::Write(Plan { kind, made: Made::Known(id), .. }) | Planned::Known(kind, id) => (*kind, id.clone()),
            // Nothing can refer to what has no number yet.
            Planned::Write(_) => {
                planned.insert(*at, plan);
                continue;
            }
        };
        if !entry.full_url.is_empty() {
            ids.insert(entry.full_url.to_owned(), format!("{}/{id}", kind.name()));
        }
        planned.insert(*at, plan);
    }
    // Which entry each command is of, for what is refused.
    let mut owners = Vec::new();
    let mut commands = Vec::new();
    for at in &order {
        if let Some(Planned::Write(plan)) = planned.get_mut(at) {
            owners.extend(std::iter::repeat_n(*at, plan.commands.len()));
            commands.append(&mut plan.commands);
        }
    }
    let mut told = match planner.allowed() {
        Some(allowed) => match perform(api, key, &allowed, commands).await.map_err(|problem| of_entry(problem, &owners, &entries))? {
            Effect::Done(told) => told,
            Effect::Nothing => Vec::new(),
        },
        None => Vec::new(),
    };
    let _ = api.caught_up().await;
    // A repetition finds by its conditions what the first one has made.
    let found: Vec<&String> = planned.values().filter_map(|planned| if let Planned::Known(_, id) = planned { Some(id) } else { None }).collect();
    told.retain(|told| made_by(told).is_none_or(|id| !found.contains(&&id)));
    // Ids come from the events in the order of the commands.
    let mut written: BTreeMap<usize, Value> = BTreeMap::new();
    for at in order {
        let response = match planned.remove(&at) {
            Some(Planned::Write(plan)) => response(api, who, (plan.kind, id_of(&plan.made, &mut told)), plan.is_new).await,
            Some(Planned::Known(kind, id)) => response(api, who, (kind, Some(id)), false).await,
            None => continue,
        };
        written.insert(at, response);
    }
    let mut answers = Vec::new();
    for (at, entry) in entries.iter().enumerate() {
        answers.push(match written.remove(&at) {
            Some(answer) => answer,
            // What was written stays written, whatever can be read of it.
            None => read_entry(api, who, entry).await.unwrap_or_else(|problem| failed(&problem)),
        });
    }
    Ok(reply(StatusCode::OK, &json!({ "resourceType": "Bundle", "type": "transaction-response", "entry": answers })))
}

/// The condition under which an entry is written, with its kind.
fn condition<'e>(entry: &'e Entry<'_>) -> Option<(&'e str, &'e str)> {
    let (kind, id, query) = target(entry.url);
    match (entry.method, id, query) {
        ("POST", None, _) => entry.wishes.if_none.as_deref().map(|condition| (kind, condition)),
        ("PUT", None, Some(query)) => Some((kind, query)),
        _ => None,
    }
}

/// Whether an entry that reads can be understood, and is within the scopes of whoever sends it.
fn readable(who: &Who, entry: &Entry<'_>) -> Result<(), Problem> {
    let (name, id, query) = target(entry.url);
    let kind = handlers::kind(name)?;
    let interaction = if id.is_some() { Interaction::Read } else { Interaction::Search };
    gather::within(who, interaction, kind)?;
    if id.is_none() {
        Asked::read(kind, super::pairs(query.unwrap_or_default())?)?;
    }
    Ok(())
}

fn failed(problem: &Problem) -> Value {
    let status = StatusCode::from_u16(problem.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    json!({ "response": { "status": status.to_string(), "outcome": outcome::of(problem) } })
}

/// A rule says "part 2: …" of the second command; whoever sent it knows entries.
fn of_entry(problem: Problem, owners: &[usize], entries: &[Entry<'_>]) -> Problem {
    let part = problem.detail.strip_prefix("part ").and_then(|rest| rest.split_once(": "));
    let found = part.and_then(|(number, why)| Some((number.parse::<usize>().ok()?, why.to_owned())));
    match found {
        Some((number, why)) => match owners.get(number.wrapping_sub(1)).and_then(|at| entries.get(*at)) {
            Some(entry) => Problem { detail: format!("{}: {why}; nothing of the transaction was done", entry.place), ..problem }.at(&entry.place),
            None => problem,
        },
        None => problem,
    }
}

async fn plan(api: &Api, who: &Who, planner: &mut super::plan::Planner<'_>, (entry, value): (&Entry<'_>, &Value)) -> Result<Planned, Problem> {
    let (name, id, query) = target(entry.url);
    let wrong = |text: &str| Problem::bad(text.to_owned()).at(&format!("{}.request", entry.place));
    match (entry.method, id, query) {
        ("POST", None, _) => {
            let kind = kind_of(name, value)?;
            if let Some(condition) = &entry.wishes.if_none {
                match matching(api, who, kind, condition).await?.as_slice() {
                    [] => {}
                    [known] => return Ok(Planned::Known(kind, known.clone())),
                    many => return Err(several(kind, many.len())),
                }
            }
            planner.create(kind, value).await.map(Planned::Write)
        }
        ("PUT", Some(id), _) => planner.update(kind_of(name, value)?, id, value, entry.wishes.version).await.map(Planned::Write),
        ("PUT", None, Some(query)) => {
            let kind = kind_of(name, value)?;
            match matching(api, who, kind, query).await?.as_slice() {
                [] if entry.wishes.version.is_some() => Err(nothing_to_match(kind)),
                [] => planner.create(kind, value).await.map(Planned::Write),
                [known] => planner.update(kind, known, value, entry.wishes.version).await.map(Planned::Write),
                many => Err(several(kind, many.len())),
            }
        }
        ("DELETE" | "PATCH", ..) => Err(wrong("nothing that was written is deleted or patched here: send it by PUT, as it is to be")),
        _ => Err(wrong("an entry is POST Kind, PUT Kind/id, PUT Kind?search, or GET")),
    }
}

async fn response(api: &Api, who: &Who, (kind, id): (Kind, Option<String>), is_new: bool) -> Value {
    let Some(id) = id else { return json!({ "response": { "status": "200 OK" } }) };
    // Who may not see it learns that it was done, and no version.
    let version = gather::one(api, who, kind, &id).await.ok().and_then(|found| found.resources[0].get("meta").cloned()).unwrap_or_default();
    let number = version.get("versionId").and_then(Value::as_str);
    let location = number.map_or_else(|| format!("{}/{id}", kind.name()), |number| format!("{}/{id}/_history/{number}", kind.name()));
    let mut said = json!({ "status": if is_new { "201 Created" } else { "200 OK" }, "location": location });
    if let Some(number) = number {
        said["etag"] = format!("W/\"{number}\"").into();
        said["lastModified"] = version["lastUpdated"].clone();
    }
    json!({ "response": said })
}

/// What a GET of an entry finds.
async fn read_entry(api: &Api, who: &Who, entry: &Entry<'_>) -> Result<Value, Problem> {
    let asking = || Asking(who.clone());
    let found = match target(entry.url) {
        (name, Some(id), None) => handlers::read(State(api.clone()), asking(), Path((name.to_owned(), id.to_owned()))).await,
        (name, None, query) => {
            let pairs = super::pairs(query.unwrap_or_default())?;
            handlers::search(State(api.clone()), asking(), Path(name.to_owned()), Ok(Query(pairs))).await
        }
        _ => Err(Problem::bad("Kind/id or Kind?search can be read in a bundle")),
    };
    let response = found.map_err(|problem| within(&entry.place, problem))?;
    Ok(json!({ "resource": body(response).await, "response": { "status": "200 OK" } }))
}

async fn body(response: Response) -> Value {
    let bytes = to_bytes(response.into_body(), 64 * limits::HTTP_BODY_BYTES).await.unwrap_or_default();
    serde_json::from_slice(&bytes).unwrap_or_default()
}

async fn batch(api: &Api, who: &Who, key: Identity, entries: Vec<Entry<'_>>) -> Result<Response, Problem> {
    let mut answers = Vec::new();
    for (at, entry) in (1..).zip(&entries) {
        answers.push(match one(api, who, key.part(at), entry).await {
            Ok(answer) => answer,
            Err(problem) => failed(&problem),
        });
    }
    Ok(reply(StatusCode::OK, &json!({ "resourceType": "Bundle", "type": "batch-response", "entry": answers })))
}

async fn one(api: &Api, who: &Who, key: Identity, entry: &Entry<'_>) -> Result<Value, Problem> {
    let (name, id, query) = target(entry.url);
    let done = match (entry.method, id, query) {
        ("GET", ..) => return read_entry(api, who, entry).await,
        ("POST", None, _) => {
            let _alone = if entry.wishes.if_none.is_some() { Some(api.one_by_one.lock().await) } else { None };
            create_one(api, who, key, &entry.wishes, (kind_of(name, entry.resource)?, entry.resource)).await?
        }
        ("PUT", Some(id), _) => update_one(api, who, key, &entry.wishes, (kind_of(name, entry.resource)?, id, entry.resource)).await?,
        ("PUT", None, Some(query)) => {
            let kind = kind_of(name, entry.resource)?;
            let _alone = api.one_by_one.lock().await;
            match matching(api, who, kind, query).await?.as_slice() {
                [] if entry.wishes.version.is_some() => return Err(nothing_to_match(kind)),
                [] => create_one(api, who, key, &entry.wishes, (kind, entry.resource)).await?,
                [known] => update_one(api, who, key, &entry.wishes, (kind, known, entry.resource)).await?,
                many => return Err(several(kind, many.len())),
            }
        }
        _ => Problem::bad("an entry is POST Kind, PUT Kind/id, PUT Kind?search, or GET").into_response(),
    };
    let status = done.status().to_string();
    let text = |name: header::HeaderName| done.headers().get(name).and_then(|value| value.to_str().ok()).map(str::to_owned);
    let (location, tag) = (text(header::LOCATION), text(header::ETAG));
    let mut said = json!({ "status": status });
    if let Some(location) = location {
        said["location"] = location.trim_start_matches("/fhir/R4/").into();
    }
    if let Some(tag) = tag {
        said["etag"] = tag.into();
    }
    Ok(json!({ "response": said }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn references_within_a_bundle_become_ids_and_urls_are_taken_apart() {
        let ids = [("urn:uuid:1".to_owned(), "Patient/77".to_owned())].into();
        let value = json!({ "subject": { "reference": "urn:uuid:1" }, "text": "urn:uuid:1", "list": [{ "reference": "urn:uuid:2" }] });
        assert_eq!(resolved(&value, &ids), json!({ "subject": { "reference": "Patient/77" }, "text": "urn:uuid:1", "list": [{ "reference": "urn:uuid:2" }] }));
        assert_eq!(target("Patient/77"), ("Patient", Some("77"), None));
        assert_eq!(target("Patient?identifier=a|b"), ("Patient", None, Some("identifier=a|b")));
        assert_eq!(target("/fhir/R4/Patient"), ("Patient", None, None));
    }
}
