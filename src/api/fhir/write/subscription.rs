//! What a program asks to be told of (FHIR R4, Subscription by rest-hook): what was sent → [`wanted`] → the subscription decides.

use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde_json::Value;

use super::answer;
use super::element::Element;
use crate::access::{Allowed, Who};
use crate::actor::Outcome;
use crate::api::command::Identity;
use crate::api::fhir::Kind;
use crate::api::fhir::gather::within;
use crate::api::fhir::id::{escape, unescape};
use crate::api::fhir::news::Criteria;
use crate::api::problem::Problem;
use crate::api::state::Api;
use crate::config::web::is_behind;
use crate::domain::rights::{Interaction, Permission};
use crate::domain::subscription::{Command, Status, Wanted};

/// Subscriptions of the house, headers of one, and characters of a text, at most.
const MOST: usize = 100;
const HEADERS: usize = 10;
const TEXT: usize = 2_000;
/// What the request says of itself is not for others to say.
const OWN_HEADERS: [&str; 6] = ["host", "content-length", "content-type", "transfer-encoding", "connection", "upgrade"];

/// Leave to subscribe: programs have it, since they can be told, and a person's session ends.
fn leave(api: &Api, who: &Who, interaction: Interaction) -> Result<Allowed, Problem> {
    within(who, interaction, Kind::Subscription)?;
    let allowed = api.may(who, Permission::Subscribe)?;
    if who.user.is_some() && who.token().is_none() {
        let text = "only a program subscribes: have a token issued for it (wardctl user token), and send it as Authorization: Bearer";
        return Err(Problem::new(StatusCode::CONFLICT, "not_a_program", text));
    }
    Ok(allowed)
}

fn header(sent: &Element<'_>, line: &str) -> Result<String, Problem> {
    let wrong = |why: &str| Err(sent.wrong("header", why));
    let Some((name, value)) = line.split_once(':') else { return wrong("a line of the head is `Name: value`") };
    let is_name = !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-');
    if !is_name || value.bytes().any(|byte| !(b' '..=b'~').contains(&byte)) || line.len() > TEXT {
        return wrong("a line of the head is `Name: value` in visible ASCII");
    }
    if OWN_HEADERS.contains(&name.to_ascii_lowercase().as_str()) {
        return wrong(&format!("{name} is said by the request itself"));
    }
    Ok(line.to_owned())
}

/// What was sent: what is wanted; none when it is switched off.
fn wanted(api: &Api, who: &Who, value: &Value, is_lenient: bool) -> Result<Option<Wanted>, Problem> {
    let sent = Element::resource(value, is_lenient)?;
    let is_on = match sent.needed("status")? {
        "requested" | "active" => true,
        "off" => false,
        other => return Err(sent.wrong("status", format!("{other:?} is what the server says: send requested, or off"))),
    };
    let short = |name: &str| sent.needed(name).and_then(|text| if text.len() <= TEXT { Ok(text.to_owned()) } else { Err(sent.wrong(name, format!("{TEXT} characters at most"))) });
    let criteria = short("criteria")?;
    let kind = Criteria::read(&criteria).map_err(|problem| problem.at("Subscription.criteria"))?.kind();
    within(who, Interaction::Read, kind)?;
    let end = sent.instant("end")?;
    if end.is_some_and(|end| is_on && end <= api.clock.now()) {
        return Err(sent.wrong("end", "has passed already"));
    }
    let channel = sent.object("channel")?.ok_or_else(|| sent.wrong("channel", "is missing"))?;
    if channel.needed("type")? != "rest-hook" {
        return Err(channel.wrong("type", "rest-hook is the one that there is here"));
    }
    let endpoint = channel.needed("endpoint")?.to_owned();
    if !is_behind(&endpoint, &api.told) {
        return Err(channel.wrong("endpoint", format!("{endpoint:?} is not among those that this house tells: its operator adds it to [subscriptions] endpoints in wardd.toml")));
    }
    let is_with_resource = match channel.text("payload")? {
        None => false,
        Some("application/fhir+json" | "application/json") => true,
        Some(other) => return Err(channel.wrong("payload", format!("{other:?} is not sent: application/fhir+json, or leave it out and only that there is something new is told"))),
    };
    let headers = channel.texts("header")?.into_iter().map(|line| header(&channel, line)).collect::<Result<Vec<_>, _>>()?;
    if headers.len() > HEADERS {
        return Err(channel.wrong("header", format!("{HEADERS} at most")));
    }
    channel.end()?;
    let reason = short("reason")?;
    sent.passed(&["error"]);
    sent.end()?;
    let token = who.token().map(str::to_owned);
    Ok(is_on.then_some(Wanted { criteria, endpoint, is_with_resource, headers, reason, end, token }))
}

async fn perform(api: &Api, key: Identity, allowed: &Allowed, (id, command): (&str, Command)) -> Result<(), Problem> {
    match api.hospital.subscription(id, command, api.origin(key, allowed, None)?).await {
        Outcome::Done(_) | Outcome::Nothing | Outcome::Repeated => Ok(()),
        Outcome::Refused(refusal) if refusal.rule == "no_subscription" => Err(Problem::missing("Subscription", &escape(id))),
        Outcome::Refused(refusal) => Err(Problem::refused(&refusal)),
        Outcome::Held(_, reason) => Err(Problem::new(StatusCode::ACCEPTED, reason.word(), reason.sentence())),
        Outcome::Failed(failure) => Err(Problem::failed(&failure)),
    }
}

/// A new one.
pub(super) async fn create(api: &Api, who: &Who, key: Identity, value: &Value, is_lenient: bool) -> Result<Response, Problem> {
    let allowed = leave(api, who, Interaction::Create)?;
    let wanted = wanted(api, who, value, is_lenient)?.ok_or_else(|| Problem::bad("a subscription begins as requested").at("Subscription.status"))?;
    let id = format!("sub-{}", key.command);
    if api.rows.subscriptions().len() >= MOST && api.rows.subscription(&id).status == Status::None {
        let text = format!("there are {MOST} subscriptions already, which is the most: delete those that nobody needs");
        return Err(Problem::new(StatusCode::UNPROCESSABLE_ENTITY, "too_many", text));
    }
    perform(api, key, &allowed, (&id, Command::Ask(Box::new(wanted), api.history.head()))).await?;
    answer(api, who, Kind::Subscription, (Some(escape(&id)), true)).await
}

/// Something else is wanted, or nothing more.
pub(super) async fn update(api: &Api, who: &Who, key: Identity, (id, value): (&str, &Value), is_lenient: bool) -> Result<Response, Problem> {
    let allowed = leave(api, who, Interaction::Update)?;
    let known = known(api, who, id)?;
    let command = match wanted(api, who, value, is_lenient)? {
        Some(wanted) => Command::Ask(Box::new(wanted), api.history.head()),
        None => Command::SwitchOff,
    };
    perform(api, key, &allowed, (&known, command)).await?;
    answer(api, who, Kind::Subscription, (Some(id.to_owned()), false)).await
}

/// None any more.
pub(super) async fn delete(api: &Api, who: &Who, key: Identity, id: &str) -> Result<Response, Problem> {
    let allowed = leave(api, who, Interaction::Delete)?;
    let known = known(api, who, id)?;
    perform(api, key, &allowed, (&known, Command::Remove)).await?;
    Ok(StatusCode::NO_CONTENT.into_response())
}

/// The identity of one of the program's own.
fn known(api: &Api, who: &Who, id: &str) -> Result<String, Problem> {
    let missing = || Problem::missing("Subscription", id);
    let identity = unescape(id).ok_or_else(missing)?;
    let known = api.rows.subscription(&identity);
    let is_own = known.status != Status::None && known.wanted.token.as_deref() == who.token();
    if is_own { Ok(identity) } else { Err(missing()) }
}
