//! What belongs to the house and to no patient, as it is sent: users and what they do here (Practitioner, PractitionerRole), schedules and their
//! slots. Each is one command of its own aggregate.

use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::Response;
use serde_json::Value;

use super::answer;
use super::element::Element;
use crate::access::Who;
use crate::actor::Outcome;
use crate::api::command::{Body, Identity, Key};
use crate::api::fhir::gather::{self, house, within};
use crate::api::fhir::id::{escape, unescape};
use crate::api::fhir::{Kind, scheduling};
use crate::api::guard::Asking;
use crate::api::problem::Problem;
use crate::api::schedules::{self, Making, ScheduleAction};
use crate::api::state::Api;
use crate::domain::rights::{Interaction, Scope, Subject};
use crate::domain::schedule::{Of, Opening};
use crate::domain::staff::{Command, Grant};
use crate::kernel::{ScheduleId, Timestamp, UserId};

/// Whether a kind is written here.
pub(super) fn is_of_house(kind: Kind) -> bool {
    matches!(kind, Kind::Practitioner | Kind::PractitionerRole | Kind::Schedule | Kind::Slot)
}

fn unprocessable(place: &str, text: String) -> Problem {
    Problem::new(StatusCode::UNPROCESSABLE_ENTITY, "invalid", text).at(place)
}

/// The value of the identifier of a system of this house; others are not kept.
fn own_identifier<'v>(sent: &Element<'v>, system: &str) -> Result<Option<&'v str>, Problem> {
    let mut own = None;
    for known in sent.objects("identifier")? {
        let (value, of) = (known.needed("value")?, known.text("system")?);
        known.passed(&["use", "type"]);
        known.end()?;
        if of == Some(system) {
            own = Some(value);
        } else if !sent.is_lenient() {
            return Err(sent.wrong("identifier", format!("only an identifier of {system} is kept: leave the others out, or send Prefer: handling=lenient and they are")));
        }
    }
    Ok(own)
}

async fn change(api: &Api, who: &Who, key: Identity, command: Command) -> Result<(), Problem> {
    let allowed = api.may_with(who, command.needs(), &Subject::House)?;
    match api.gate.change(who, command, api.origin(key, &allowed, None)?).await {
        Outcome::Done(_) | Outcome::Nothing | Outcome::Repeated => Ok(()),
        Outcome::Refused(refusal) => Err(Problem::refused(&refusal)),
        Outcome::Held(_, reason) => Err(Problem::new(StatusCode::ACCEPTED, reason.word(), reason.sentence())),
        Outcome::Failed(failure) => Err(Problem::failed(&failure)),
    }
}

/// A user as they are sent: the name to sign in with, as others call them, and whether they may sign in.
struct SentUser {
    user: Option<UserId>,
    name: String,
    is_active: bool,
}

fn practitioner(api: &Api, value: &Value, is_lenient: bool) -> Result<SentUser, Problem> {
    let sent = Element::resource(value, is_lenient)?;
    let user = own_identifier(&sent, &house(api).system("user"))?.map(|user| sent.parsed("identifier", user)).transpose()?;
    let name = sent.only("name")?.ok_or_else(|| sent.wrong("name", "is missing"))?;
    let parts: Vec<&str> = name.texts("given")?.into_iter().chain(name.text("family")?).collect();
    let spoken = name.text("text")?.map_or_else(|| parts.join(" "), str::to_owned);
    name.passed(&["use", "prefix", "suffix"]);
    // What repeats the name says nothing more.
    name.passed(&["text"]);
    name.end()?;
    if spoken.is_empty() {
        return Err(sent.wrong("name", "has no text, given or family"));
    }
    let is_active = sent.flag("active")?.unwrap_or(true);
    sent.end()?;
    Ok(SentUser { user, name: spoken, is_active })
}

async fn add_user(api: &Api, who: &Who, key: Identity, value: &Value, is_lenient: bool) -> Result<String, Problem> {
    let sent = practitioner(api, value, is_lenient)?;
    let system = house(api).system("user");
    let user = sent.user.ok_or_else(|| unprocessable("Practitioner.identifier", format!("Practitioner.identifier: the name to sign in with is needed, of the system {system}")))?;
    if !sent.is_active {
        return Err(unprocessable("Practitioner.active", "Practitioner.active: somebody begins as active; they sign in once a password or badge was given to them".to_owned()));
    }
    let id = escape(user.as_str());
    let add = Command::Add { user, name: sent.name, kind: crate::domain::staff::Kind::Person };
    change(api, who, key, add).await?;
    Ok(id)
}

async fn change_user(api: &Api, who: &Who, key: Identity, (id, value): (&str, &Value), is_lenient: bool) -> Result<(), Problem> {
    gather::one(api, who, Kind::Practitioner, id).await?;
    let user: UserId = unescape(id).and_then(|user| user.parse().ok()).ok_or_else(|| Problem::missing("Practitioner", id))?;
    let sent = practitioner(api, value, is_lenient)?;
    if sent.user.is_some_and(|sent| sent != user) {
        return Err(unprocessable("Practitioner.identifier", format!("Practitioner.identifier: {user} keeps the name to sign in with")));
    }
    let staff = api.gate.staff();
    let known = staff.get(&user).ok_or_else(|| Problem::missing("Practitioner", id))?;
    if known.name != sent.name {
        change(api, who, key, Command::Rename { user: user.clone(), name: sent.name }).await?;
    }
    match (known.disabled.is_none(), sent.is_active) {
        (true, false) => {
            let governing = api.gate.roles().governing();
            change(api, who, key.part(1), Command::Disable { user, reason: "set inactive by FHIR".to_owned(), governing }).await
        }
        (false, true) => change(api, who, key.part(1), Command::Enable { user }).await,
        _ => Ok(()),
    }
}

/// A role as it is sent: whose, which, and whether they have it.
fn role(api: &Api, value: &Value, is_lenient: bool) -> Result<(UserId, Grant, bool), Problem> {
    let sent = Element::resource(value, is_lenient)?;
    let user = sent.reference("practitioner", "Practitioner")?.ok_or_else(|| sent.wrong("practitioner", "is missing"))?;
    let user = unescape(user).ok_or_else(|| sent.wrong("practitioner", "is no id of this house"))?;
    let user: UserId = sent.parsed("practitioner", &user)?;
    let code = sent.only("code")?.ok_or_else(|| sent.wrong("code", "is missing: the name of a role of roles.toml, as text"))?;
    let role = code.named()?.ok_or_else(|| sent.wrong("code", "has no text: the name of a role of roles.toml"))?.to_owned();
    let places = sent.get("location").and_then(Value::as_array).cloned().unwrap_or_default();
    let scope = match places.as_slice() {
        [] => Scope::House,
        [place] => {
            let ward = place["reference"].as_str().and_then(|place| unescape(place.strip_prefix("Location/")?)).and_then(|ward| ward.parse().ok());
            Scope::Ward(ward.ok_or_else(|| sent.wrong("location", "is a ward: Location/WARD"))?)
        }
        _ => return Err(sent.wrong("location", "one ward, or none for the whole house: send a resource for each")),
    };
    let is_active = sent.flag("active")?.unwrap_or(true);
    sent.passed(&["organization"]);
    sent.end()?;
    api.gate.knows_grant(&role, &scope).map_err(|why| sent.wrong("code", why))?;
    Ok((user, Grant { role, scope }, is_active))
}

/// The id that a user's role has now: its place among theirs.
fn role_id(api: &Api, user: &UserId, grant: &Grant) -> Option<String> {
    let staff = api.gate.staff();
    let place = staff.get(user)?.roles.iter().position(|known| known == grant)?;
    Some(format!("{}.-{place}", escape(user.as_str())))
}

async fn give_role(api: &Api, who: &Who, key: Identity, value: &Value, is_lenient: bool) -> Result<Option<String>, Problem> {
    let (user, grant, is_active) = role(api, value, is_lenient)?;
    if !is_active {
        return Err(unprocessable("PractitionerRole.active", "PractitionerRole.active: a role begins as active".to_owned()));
    }
    change(api, who, key, Command::Grant { user: user.clone(), grant: grant.clone() }).await?;
    Ok(role_id(api, &user, &grant))
}

async fn change_role(api: &Api, who: &Who, key: Identity, (id, value): (&str, &Value), is_lenient: bool) -> Result<Option<String>, Problem> {
    gather::one(api, who, Kind::PractitionerRole, id).await?;
    let (user, grant, is_active) = role(api, value, is_lenient)?;
    // Places move when a role before them is taken away: what is meant must be what is there.
    if role_id(api, &user, &grant).as_deref() != Some(id) {
        let text =
            format!("PractitionerRole/{id} is another role: search PractitionerRole?practitioner=Practitioner/{}, and give or take one as it stands there", escape(user.as_str()));
        return Err(Problem::new(StatusCode::CONFLICT, "another_role", text));
    }
    if is_active {
        return Ok(Some(id.to_owned()));
    }
    let governing = api.gate.roles().governing();
    change(api, who, key, Command::Revoke { user, grant, governing }).await.map(|()| None)
}

/// A schedule as it is sent: its name here, what people call it, and what it is of.
fn schedule(api: &Api, value: &Value, is_lenient: bool) -> Result<(Option<ScheduleId>, String, Of), Problem> {
    let sent = Element::resource(value, is_lenient)?;
    let id = own_identifier(&sent, &house(api).system("schedule"))?.map(|id| sent.parsed("identifier", id)).transpose()?;
    // The words of a reference are all that is kept of it.
    let actor = match sent.get("actor").and_then(Value::as_array).map(Vec::as_slice) {
        Some([actor]) => actor,
        _ => return Err(sent.wrong("actor", "one actor with its display is needed: whose schedule it is")),
    };
    let name = actor["display"].as_str().map(str::trim).filter(|name| !name.is_empty()).ok_or_else(|| sent.wrong("actor", "has no display: what people call the schedule"))?;
    let of = match actor["reference"].as_str().and_then(|reference| reference.split('/').next()) {
        None | Some("Practitioner" | "PractitionerRole") => Of::Practitioner,
        Some("Location") => Of::Room,
        Some("Device") => Of::Device,
        Some(other) => return Err(sent.wrong("actor", format!("a schedule is of a Practitioner, a Location or a Device, not of a {other}"))),
    };
    if sent.flag("active")? == Some(false) {
        return Err(sent.wrong("active", "a schedule stays: close its slots (status busy-unavailable)"));
    }
    sent.end()?;
    Ok((id, name.to_owned(), of))
}

async fn make_schedule(api: &Api, who: &Who, key: Identity, value: &Value, is_lenient: bool) -> Result<Result<String, Response>, Problem> {
    let (id, name, of) = schedule(api, value, is_lenient)?;
    let system = house(api).system("schedule");
    let id = id.ok_or_else(|| unprocessable("Schedule.identifier", format!("Schedule.identifier: the schedule's name here is needed, of the system {system}")))?;
    let made = schedules::make(State(api.clone()), Asking(who.clone()), Key(key), Body(Making::of(id.clone(), name, of))).await?;
    Ok(if made.status().is_success() { Ok(escape(id.as_str())) } else { Err(made) })
}

fn same_schedule(api: &Api, (id, value): (&str, &Value), is_lenient: bool) -> Result<(), Problem> {
    let (named, name, of) = schedule(api, value, is_lenient)?;
    let known = unescape(id).and_then(|id| id.parse::<ScheduleId>().ok()).ok_or_else(|| Problem::missing("Schedule", id))?;
    let state = api.rows.schedule(&known);
    let is_same = named.is_none_or(|named| named == known) && state.name == name && state.of == Some(of);
    if is_same { Ok(()) } else { Err(unprocessable("Schedule.actor", format!("Schedule.actor: {known} stays {:?}: make another schedule", state.name))) }
}

/// A slot as it is sent.
struct SentSlot {
    schedule: ScheduleId,
    start: Timestamp,
    end: Timestamp,
    status: String,
    comment: String,
}

fn slot(value: &Value, is_lenient: bool) -> Result<SentSlot, Problem> {
    let sent = Element::resource(value, is_lenient)?;
    let schedule = sent.reference("schedule", "Schedule")?.and_then(unescape).ok_or_else(|| sent.wrong("schedule", "is missing: Schedule/ID"))?;
    let schedule = sent.parsed("schedule", &schedule)?;
    let instant = |name: &str| sent.instant(name)?.ok_or_else(|| sent.wrong(name, "is missing"));
    let (start, end) = (instant("start")?, instant("end")?);
    if end <= start {
        return Err(sent.wrong("end", "is not after the start"));
    }
    let (status, comment) = (sent.needed("status")?.to_owned(), sent.text("comment")?.unwrap_or_default().to_owned());
    sent.end()?;
    Ok(SentSlot { schedule, start, end, status, comment })
}

/// Has a schedule do something; its own answer when that was refused.
async fn at_schedule(api: &Api, who: &Who, key: Identity, schedule: &ScheduleId, (action, body): (&str, ScheduleAction)) -> Result<Option<Response>, Problem> {
    let path = Path((schedule.to_string(), action.to_owned()));
    let done = schedules::act(State(api.clone()), Asking(who.clone()), path, Key(key), Body(body)).await?;
    Ok(if done.status().is_success() { None } else { Some(done) })
}

async fn open_slot(api: &Api, who: &Who, key: Identity, value: &Value, is_lenient: bool) -> Result<Result<String, Response>, Problem> {
    let SentSlot { schedule, start, end, status, .. } = slot(value, is_lenient)?;
    if status != "free" {
        return Err(unprocessable("Slot.status", "Slot.status: a slot begins as free".to_owned()));
    }
    let minutes = u32::try_from(end.seconds_since(start) / 60).unwrap_or(u32::MAX);
    let opening = Opening { from: start, until: end, slot_minutes: minutes, places: 1, overbooking: 0, walk_ins: 0, link: None };
    let refused = at_schedule(api, who, key, &schedule, ("open", ScheduleAction::open(opening))).await?;
    Ok(match refused {
        None => Ok(scheduling::slot_id(schedule.as_str(), start)),
        Some(refused) => Err(refused),
    })
}

async fn change_slot(api: &Api, who: &Who, key: Identity, (id, value): (&str, &Value), is_lenient: bool) -> Result<Option<Response>, Problem> {
    let known = gather::one(api, who, Kind::Slot, id).await?;
    let known = &known.resources[0];
    let sent = slot(value, is_lenient)?;
    if scheduling::slot_id(sent.schedule.as_str(), sent.start) != id || known["end"] != sent.end.to_string().as_str() {
        return Err(unprocessable("Slot.start", "Slot.start: a slot keeps its schedule and its times: open another one".to_owned()));
    }
    let was = known["status"].as_str().unwrap_or_default();
    let action = match (was, sent.status.as_str()) {
        (was, now) if was == now => return Ok(None),
        ("free" | "busy", "busy-unavailable") if sent.comment.is_empty() => {
            return Err(unprocessable("Slot.comment", "Slot.comment: is missing: say why nothing can be had then".to_owned()));
        }
        ("free" | "busy", "busy-unavailable") => ("close", ScheduleAction::close(sent.start, sent.end, sent.comment)),
        ("busy-unavailable", "free") => ("reopen", ScheduleAction::reopen(sent.start)),
        (was, now) => return Err(unprocessable("Slot.status", format!("Slot.status: {now:?} does not follow {was:?}: a slot is taken by an Appointment"))),
    };
    at_schedule(api, who, key, &sent.schedule, action).await
}

/// A new one.
pub(super) async fn create(api: &Api, who: &Who, key: Identity, (kind, value): (Kind, &Value), is_lenient: bool) -> Result<Response, Problem> {
    within(who, Interaction::Create, kind)?;
    let made = match kind {
        Kind::Practitioner => Some(add_user(api, who, key, value, is_lenient).await?),
        Kind::PractitionerRole => give_role(api, who, key, value, is_lenient).await?,
        Kind::Schedule => match make_schedule(api, who, key, value, is_lenient).await? {
            Ok(id) => Some(id),
            Err(refused) => return Ok(refused),
        },
        _ => match open_slot(api, who, key, value, is_lenient).await? {
            Ok(id) => Some(id),
            Err(refused) => return Ok(refused),
        },
    };
    answer(api, who, kind, (made, true)).await
}

/// In place of the one that there is.
pub(super) async fn update(api: &Api, who: &Who, key: Identity, (kind, id, value): (Kind, &str, &Value), is_lenient: bool) -> Result<Response, Problem> {
    within(who, Interaction::Update, kind)?;
    match kind {
        Kind::Practitioner => change_user(api, who, key, (id, value), is_lenient).await?,
        Kind::PractitionerRole => {
            if change_role(api, who, key, (id, value), is_lenient).await?.is_none() {
                // It is not there any more: what is answered is what was asked.
                return Ok(super::reply(StatusCode::OK, &value.clone()));
            }
        }
        Kind::Schedule => {
            gather::one(api, who, kind, id).await?;
            same_schedule(api, (id, value), is_lenient)?;
        }
        _ => {
            if let Some(refused) = change_slot(api, who, key, (id, value), is_lenient).await? {
                return Ok(refused);
            }
        }
    }
    answer(api, who, kind, (Some(id.to_owned()), false)).await
}
