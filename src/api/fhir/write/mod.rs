//! Writing: a resource becomes the commands of the house, decided as everything else, and is given back as it is then.
//!
//! Flow: JSON → [`element`] → [`person`], [`clinical`], [`visit`] → [`plan`] (leave, commands, id) → the census → the resource as it is read.
//! **Invariant**: what cannot be kept is refused with its place, and nothing of the request is lost in silence.

mod bundle;
mod clinical;
mod element;
mod house;
mod listed;
mod person;
mod plan;
mod subscription;
mod told;
mod visit;

use axum::body::to_bytes;
use axum::extract::{Path, Query, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde_json::{Value, json};

pub(super) use bundle::bundle;

use self::plan::{Made, Plan, Planner};
use super::handlers::{self, Pairs};
use super::id::of_patient;
use super::search::Asked;
use super::told::id_of_origin;
use super::{Kind, gather, reply};
use crate::access::{Allowed, Who};
use crate::actor::Outcome;
use crate::api::command::{Body, Identity, Key};
use crate::api::guard::Asking;
use crate::api::problem::Problem;
use crate::api::schedules::{self, ScheduleAction};
use crate::api::state::Api;
use crate::domain::census::Command;
use crate::domain::rights::Interaction;
use crate::kernel::{StreamId, StreamKind, limits};
use crate::projection::Told;

/// Headers that say how a request is meant.
#[derive(Debug, Clone, Default)]
struct Wishes {
    /// What is not kept here may be left out.
    is_lenient: bool,
    /// Who is like somebody known is somebody else all the same.
    is_confirmed: bool,
    /// The version that was read.
    version: Option<u64>,
    /// Only when nothing fits this search.
    if_none: Option<String>,
}

/// The version of an ETag (`W/"3"`).
fn version_of(tag: &str) -> Result<u64, Problem> {
    let number = tag.trim().trim_start_matches("W/").trim_matches('"').parse();
    number.map_err(|_| Problem::bad(format!("If-Match is the ETag of what was read, such as W/\"3\", not {tag:?}")))
}

impl Wishes {
    fn of(headers: &HeaderMap) -> Result<Self, Problem> {
        let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
        let prefers = headers.get_all("prefer").iter().filter_map(|value| value.to_str().ok()).any(|value| value.replace(' ', "").contains("handling=lenient"));
        Ok(Self {
            is_lenient: prefers,
            is_confirmed: text("x-confirm-new") == Some("true"),
            version: text("if-match").map(version_of).transpose()?,
            if_none: text("if-none-exist").map(str::to_owned),
        })
    }

    fn planner<'a>(&self, api: &'a Api, who: &'a Who, key: Identity) -> Planner<'a> {
        Planner::new(api, who, key, (self.is_lenient, self.is_confirmed))
    }
}

/// The kind of a path, which the resource must be of.
fn kind_of(name: &str, value: &Value) -> Result<Kind, Problem> {
    let kind = handlers::kind(name)?;
    match value.get("resourceType").and_then(Value::as_str) {
        Some(sent) if sent == kind.name() => Ok(kind),
        sent => Err(Problem::bad(format!("the path says {name}, and the resource that it is a {}", sent.unwrap_or("nothing (resourceType is missing)"))).at("resourceType")),
    }
}

/// The ids of what a search finds.
async fn matching(api: &Api, who: &Who, kind: Kind, query: &str) -> Result<Vec<String>, Problem> {
    let pairs: Pairs = pairs(query)?;
    if pairs.is_empty() {
        return Err(Problem::bad("the condition is empty: say which resource is meant, as in a search"));
    }
    ids_of(api, who, kind, pairs).await
}

/// The ids of what fits a condition. That it was looked for stands in the trail of whom it found; and what is only being read is not
/// taken for what is not there.
async fn ids_of(api: &Api, who: &Who, kind: Kind, pairs: Pairs) -> Result<Vec<String>, Problem> {
    if !api.caught_up().await {
        let text = "wardd is still reading what happened last, and must not take what it has not read for what is not there: try again in a moment";
        return Err(Problem::new(StatusCode::SERVICE_UNAVAILABLE, "unavailable", text));
    }
    let asked = Asked::read(kind, pairs)?;
    let mut found = gather::candidates(api, who, kind, &asked).await?;
    found.resources.retain(|resource| asked.fits(resource));
    handlers::shown(api, kind, &found).await?;
    Ok(found.resources.iter().filter_map(|resource| resource["id"].as_str().map(str::to_owned)).collect())
}

/// The pairs of a query.
pub(super) fn pairs(query: &str) -> Result<Pairs, Problem> {
    let uri: axum::http::Uri = format!("/?{}", query.trim_start_matches('?').replace(' ', "%20")).parse().map_err(|_| Problem::bad(format!("{query:?} is no search")))?;
    Query::<Pairs>::try_from_uri(&uri).map(|Query(pairs)| pairs).map_err(|error| Problem::bad(error.body_text()))
}

/// Whoever has read something does not mean something new.
fn nothing_to_match(kind: Kind) -> Problem {
    Problem::new(StatusCode::PRECONDITION_FAILED, "changed_meanwhile", format!("If-Match names a version, and no {} fits the condition: read again what there is", kind.name()))
}

fn several(kind: Kind, count: usize) -> Problem {
    Problem::new(StatusCode::PRECONDITION_FAILED, "several", format!("{count} resources of kind {} fit the condition: say more, so that one is meant", kind.name()))
}

/// What the commands did.
enum Effect {
    Done(Vec<Told>),
    /// It was so already.
    Nothing,
}

/// Has the commands decided, all of them or none.
async fn perform(api: &Api, key: Identity, allowed: &Allowed, mut commands: Vec<Command>) -> Result<Effect, Problem> {
    let streams: Vec<StreamId> = commands.iter().flat_map(streams).collect();
    let command = match commands.len() {
        0 => return Ok(Effect::Nothing),
        1 => commands.swap_remove(0),
        _ => Command::All(commands),
    };
    let told = |sequence| api.history.told_at(sequence).map_err(|error| Problem::unreadable(&error));
    match api.hospital.census(command, api.origin(key, allowed, None)?).await {
        Outcome::Done(receipt) => Ok(Effect::Done(told(receipt.first)?)),
        Outcome::Nothing => Ok(Effect::Nothing),
        Outcome::Repeated => {
            for stream in streams {
                api.done_before(&stream, key)?;
                if let Some(done) = api.history.of_command(&stream, key.command) {
                    return Ok(Effect::Done(told(done.sequence)?));
                }
            }
            // What it was then cannot be told, so it is not said that this is it.
            let text = "a request with this Idempotency-Key was done before, and is not found any more: read what there is, and give this one a key of its own";
            Err(Problem::new(StatusCode::CONFLICT, "idempotency_key_reused", text))
        }
        Outcome::Refused(refusal) if refusal.rule == "changed_meanwhile" => Err(Problem::new(StatusCode::PRECONDITION_FAILED, &refusal.rule, refusal.message)),
        Outcome::Refused(refusal) => Err(Problem::refused(&refusal)),
        Outcome::Held(_, reason) => Err(Problem::new(StatusCode::ACCEPTED, reason.word(), reason.sentence())),
        Outcome::Failed(failure) => Err(Problem::failed(&failure)),
    }
}

/// Where a command may be known.
fn streams(command: &Command) -> Vec<StreamId> {
    use crate::domain::census::{About, Measured};
    if let Command::Vitals { whom: Measured::Patient(mrn), .. } | Command::Chart { patient: mrn, .. } = command {
        return [StreamKind::Chart, StreamKind::Vitals].map(|kind| StreamId::new(kind, mrn.as_str())).to_vec();
    }
    match command {
        Command::All(commands) => return commands.iter().flat_map(streams).collect(),
        Command::OfVisit { visit, command, .. } => {
            return streams(command).into_iter().chain(visit.iter().map(|visit| StreamId::new(StreamKind::Encounter, visit.as_str()))).collect();
        }
        Command::Plan { admission, .. } | Command::Admit(admission) => {
            let stay = admission.encounter.iter().map(|stay| StreamId::new(StreamKind::Encounter, stay.as_str()));
            return stay.chain([StreamId::new(StreamKind::Patient, admission.patient.as_str())]).collect();
        }
        _ => {}
    }
    match (command, command.about()) {
        (Command::Register { patient, .. }, _) => vec![StreamId::new(StreamKind::Patient, patient.as_str())],
        (_, About::Patient(mrn) | About::Arriving { patient: mrn, .. } | About::Into(mrn, _) | About::Receiver(mrn) | About::Both(mrn, _)) => {
            vec![StreamId::new(StreamKind::Patient, mrn.as_str())]
        }
        (_, About::Bed(_) | About::Anybody) => Vec::new(),
    }
}

/// The id under which a resource is found now; events are used up in their order.
fn id_of(made: &Made, told: &mut Vec<Told>) -> Option<String> {
    let mut take = |kind: &str, stream: StreamId| {
        let at = told.iter().position(|told| told.kind == kind && told.stream == stream)?;
        Some(told.remove(at))
    };
    match made {
        Made::Known(id) => Some(id.clone()),
        Made::Problem(mrn) => {
            let told = take("ProblemRecorded", StreamId::new(StreamKind::Chart, mrn.as_str()))?;
            Some(of_patient(mrn.as_str(), &format!("p{}", told.payload["number"])))
        }
        Made::Programme(mrn) => {
            let told = take("ProgrammeBegan", StreamId::new(StreamKind::Chart, mrn.as_str()))?;
            Some(of_patient(mrn.as_str(), &format!("e{}", told.payload["programme"]["number"])))
        }
        Made::Look(mrn) => take("LookTold", StreamId::new(StreamKind::Chart, mrn.as_str())).map(|told| told.sequence.to_string()),
        Made::Origin(mrn) => take("OriginTold", StreamId::new(StreamKind::Chart, mrn.as_str())).map(|told| id_of_origin(mrn, told.sequence)),
        Made::Signs(mrn) => {
            let told = take("VitalsTaken", StreamId::new(StreamKind::Vitals, mrn.as_str()))?;
            Some(of_patient(mrn.as_str(), &format!("v{}-0", told.sequence)))
        }
    }
}

/// The id of the resource that an event has made.
fn made_by(told: &Told) -> Option<String> {
    let place = match told.kind.as_str() {
        "ProblemRecorded" => format!("p{}", told.payload["number"]),
        "ProgrammeBegan" => format!("e{}", told.payload["programme"]["number"]),
        "VitalsTaken" => format!("v{}-0", told.sequence),
        "OriginTold" => format!("t{}", told.sequence),
        "LookTold" => return Some(told.sequence.to_string()),
        _ => return None,
    };
    Some(of_patient(told.stream.key(), &place))
}

fn information(text: &str) -> Value {
    json!({ "resourceType": "OperationOutcome", "issue": [{ "severity": "information", "code": "informational", "details": { "text": text } }] })
}

/// The resource as it is now, where whoever wrote it may see it.
async fn answer(api: &Api, who: &Who, kind: Kind, (id, is_new): (Option<String>, bool)) -> Result<Response, Problem> {
    let status = if is_new { StatusCode::CREATED } else { StatusCode::OK };
    let Some(id) = id else { return Ok(reply(StatusCode::OK, &information("this was known already: nothing has changed"))) };
    let _ = api.caught_up().await;
    let mut response = match gather::one(api, who, kind, &id).await {
        Ok(found) => {
            handlers::shown(api, kind, &found).await?;
            reply(status, &found.resources[0])
        }
        // Written, and not to be seen by who wrote it, or not there any more, as an allergy that was refuted.
        Err(_) => reply(status, &information("done")),
    };
    if is_new && let Ok(location) = HeaderValue::from_str(&format!("/fhir/R4/{}/{id}", kind.name())) {
        response.headers_mut().insert(header::LOCATION, location);
    }
    Ok(response)
}

/// Plans one resource, has it done, and answers.
async fn carry_out(api: &Api, who: &Who, key: Identity, planner: Planner<'_>, plan: Plan) -> Result<Response, Problem> {
    let Plan { kind, commands, made, is_new } = plan;
    let mut told = match planner.allowed() {
        Some(allowed) => match perform(api, key, &allowed, commands).await? {
            Effect::Done(told) => told,
            Effect::Nothing => Vec::new(),
        },
        None => Vec::new(),
    };
    answer(api, who, kind, (id_of(&made, &mut told), is_new)).await
}

async fn create_one(api: &Api, who: &Who, key: Identity, wishes: &Wishes, (kind, value): (Kind, &Value)) -> Result<Response, Problem> {
    // Who was registered a moment ago is known here too.
    let _ = api.caught_up().await;
    if let Some(condition) = &wishes.if_none {
        match matching(api, who, kind, condition).await?.as_slice() {
            [] => {}
            [known] => return answer(api, who, kind, (Some(known.clone()), false)).await,
            many => return Err(several(kind, many.len())),
        }
    }
    if house::is_of_house(kind) {
        return house::create(api, who, key, (kind, value), wishes.is_lenient).await;
    }
    if listed::is_listed(kind) {
        return listed::create(api, who, key, (kind, value), wishes.is_lenient).await;
    }
    if kind == Kind::Subscription {
        return subscription::create(api, who, key, value, wishes.is_lenient).await;
    }
    if kind == Kind::Appointment {
        gather::within(who, Interaction::Create, kind)?;
        return book(api, who, key, value, wishes.is_lenient).await;
    }
    let mut planner = wishes.planner(api, who, key);
    let plan = planner.create(kind, value).await?;
    carry_out(api, who, key, planner, plan).await
}

async fn update_one(api: &Api, who: &Who, key: Identity, wishes: &Wishes, (kind, id, value): (Kind, &str, &Value)) -> Result<Response, Problem> {
    let _ = api.caught_up().await;
    if value.get("id").and_then(Value::as_str).is_some_and(|sent| sent != id) {
        return Err(Problem::bad(format!("the path says {id}, and the resource another id")).at("id"));
    }
    if wishes.version.is_some() && (house::is_of_house(kind) || listed::is_listed(kind) || kind == Kind::Subscription) {
        return Err(Problem::bad(format!("a {} has no versions here: leave If-Match out", kind.name())));
    }
    if house::is_of_house(kind) {
        return house::update(api, who, key, (kind, id, value), wishes.is_lenient).await;
    }
    if listed::is_listed(kind) {
        return listed::update(api, who, key, (kind, id, value), wishes.is_lenient).await;
    }
    if kind == Kind::Subscription {
        return subscription::update(api, who, key, (id, value), wishes.is_lenient).await;
    }
    if kind == Kind::Appointment {
        gather::within(who, Interaction::Update, kind)?;
        return rebook(api, who, key, (id, value), wishes.is_lenient).await;
    }
    let mut planner = wishes.planner(api, who, key);
    let plan = planner.update(kind, id, value, wishes.version).await?;
    carry_out(api, who, key, planner, plan).await
}

/// A new resource.
pub(super) async fn create(
    State(api): State<Api>,
    Asking(who): Asking,
    Path(name): Path<String>,
    Key(key): Key,
    headers: HeaderMap,
    Body(value): Body<Value>,
) -> Result<Response, Problem> {
    let (kind, wishes) = (kind_of(&name, &value)?, Wishes::of(&headers)?);
    // Two that say the same condition at once come one after the other, and the second finds what the first has written.
    let _alone = if wishes.if_none.is_some() { Some(api.one_by_one.lock().await) } else { None };
    create_one(&api, &who, key, &wishes, (kind, &value)).await
}

/// A resource in place of the one with this id; a patient whose number is not known is registered under it.
pub(super) async fn update(
    State(api): State<Api>,
    Asking(who): Asking,
    Path((name, id)): Path<(String, String)>,
    Key(key): Key,
    headers: HeaderMap,
    Body(value): Body<Value>,
) -> Result<Response, Problem> {
    update_one(&api, &who, key, &Wishes::of(&headers)?, (kind_of(&name, &value)?, &id, &value)).await
}

/// The same for the one that a search finds; none: it is new.
pub(super) async fn update_found(
    State(api): State<Api>,
    Asking(who): Asking,
    Path(name): Path<String>,
    Query(pairs): Query<Pairs>,
    Key(key): Key,
    headers: HeaderMap,
    Body(value): Body<Value>,
) -> Result<Response, Problem> {
    let (kind, wishes) = (kind_of(&name, &value)?, Wishes::of(&headers)?);
    if pairs.is_empty() {
        return Err(Problem::bad(format!("say which {name} is meant: by its id in the path, or by a search")));
    }
    let _alone = api.one_by_one.lock().await;
    let ids = ids_of(&api, &who, kind, pairs).await?;
    match ids.as_slice() {
        [] if wishes.version.is_some() => Err(nothing_to_match(kind)),
        [] => create_one(&api, &who, key, &wishes, (kind, &value)).await,
        [id] => update_one(&api, &who, key, &wishes, (kind, id, &value)).await,
        many => Err(several(kind, many.len())),
    }
}

/// Has an appointment done by its schedule; the answer is the appointment.
async fn at_schedule(api: &Api, who: &Who, key: Identity, (schedule, action, body): (String, &str, ScheduleAction), number: Option<u32>) -> Result<Response, Problem> {
    let done = schedules::act(State(api.clone()), Asking(who.clone()), Path((schedule.clone(), action.to_owned())), Key(key), Body(body)).await?;
    if !done.status().is_success() {
        return Ok(done);
    }
    let bytes = to_bytes(done.into_body(), limits::HTTP_BODY_BYTES).await.unwrap_or_default();
    let events: Value = serde_json::from_slice(&bytes).unwrap_or_default();
    let made = number.map(u64::from).or_else(|| events.pointer("/events/0/number").and_then(Value::as_u64));
    let id = made.map(|number| format!("{}.-{number}", super::id::escape(&schedule)));
    answer(api, who, Kind::Appointment, (id, number.is_none())).await
}

async fn book(api: &Api, who: &Who, key: Identity, value: &Value, is_lenient: bool) -> Result<Response, Problem> {
    let sent = visit::appointment(value, is_lenient)?;
    if sent.status != "booked" {
        return Err(Problem::new(StatusCode::UNPROCESSABLE_ENTITY, "invalid", "Appointment.status: an appointment begins as booked").at("Appointment.status"));
    }
    let patient = super::id::unescape(&sent.patient).and_then(|mrn| mrn.parse().ok());
    let patient = patient.ok_or_else(|| Problem::missing("Patient", &sent.patient))?;
    at_schedule(api, who, key, (sent.schedule.to_string(), "book", ScheduleAction::book(patient, sent.start, sent.reason)), None).await
}

async fn rebook(api: &Api, who: &Who, key: Identity, (id, value): (&str, &Value), is_lenient: bool) -> Result<Response, Problem> {
    let known = gather::one(api, who, Kind::Appointment, id).await?;
    let sent = visit::appointment(value, is_lenient)?;
    let missing = || Problem::missing("Appointment", id);
    let (schedule, number) = id.rsplit_once(".-").ok_or_else(missing)?;
    let (schedule, number) = (super::id::unescape(schedule).ok_or_else(missing)?, number.parse::<u32>().map_err(|_| missing())?);
    if known.resources[0].pointer("/participant/0/actor/reference").and_then(Value::as_str) != Some(&format!("Patient/{}", sent.patient)) || sent.schedule.as_str() != schedule {
        return Err(Problem::new(
            StatusCode::UNPROCESSABLE_ENTITY,
            "invalid",
            "Appointment.participant: an appointment is not given to another patient or schedule: cancel it, and book another",
        )
        .at("Appointment.participant"));
    }
    let was = known.resources[0]["status"].as_str().unwrap_or_default();
    let action = match (was, sent.status.as_str()) {
        ("booked", "booked") if known.resources[0]["start"] != sent.start.to_string().as_str() => ScheduleAction::move_to(number, sent.start),
        (was, now) if was == now => return answer(api, who, Kind::Appointment, (Some(id.to_owned()), false)).await,
        (_, "cancelled") => ScheduleAction::of("cancel", number, sent.why),
        (_, "noshow") => ScheduleAction::of("miss", number, String::new()),
        ("booked", "arrived" | "checked-in") => ScheduleAction::of("check-in", number, String::new()),
        (_, "fulfilled") => ScheduleAction::of("fulfil", number, String::new()),
        (was, now) => {
            let text = format!("Appointment.status: {now:?} does not follow {was:?}");
            return Err(Problem::new(StatusCode::UNPROCESSABLE_ENTITY, "invalid", text).at("Appointment.status"));
        }
    };
    at_schedule(api, who, key, (schedule, action.0, action.1), Some(number)).await
}

/// Nothing that was written is deleted; what a program asked to be told of, is.
pub(super) async fn delete(State(api): State<Api>, Asking(who): Asking, Path((name, id)): Path<(String, String)>, Key(key): Key) -> Response {
    if handlers::kind(&name).is_ok_and(|kind| kind == Kind::Subscription) {
        let _ = api.caught_up().await;
        return subscription::delete(&api, &who, key, &id).await.unwrap_or_else(IntoResponse::into_response);
    }
    no_delete(&name)
}

/// Nothing is changed in part.
pub(super) async fn patch(Path((name, _)): Path<(String, String)>) -> Response {
    no_delete(&name)
}

fn no_delete(name: &str) -> Response {
    let text = format!("a {name} is not deleted: say that it was an error (entered-in-error, refuted, cancelled), and it stays readable that it was");
    Problem::new(StatusCode::METHOD_NOT_ALLOWED, "not_supported", text).into_response()
}
