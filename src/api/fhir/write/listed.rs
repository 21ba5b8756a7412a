//! Organization, Location and Device as they are sent: entries of the directory. What stands in the configuration is not written.

use axum::http::StatusCode;
use axum::response::Response;
use serde_json::Value;

use super::answer;
use super::element::Element;
use crate::access::Who;
use crate::api::command::Identity;
use crate::api::directory::{new_id, write};
use crate::api::fhir::id::{escape, unescape};
use crate::api::fhir::{Kind, gather, listed};
use crate::api::problem::Problem;
use crate::api::state::Api;
use crate::domain::directory::{self, Command, Entry, Number};
use crate::domain::rights::Interaction;
use crate::kernel::WardId;

/// Whether a kind is written here.
pub(super) fn is_listed(kind: Kind) -> bool {
    matches!(kind, Kind::Organization | Kind::Location | Kind::Device)
}

fn numbers(sent: &Element<'_>) -> Result<Vec<Number>, Problem> {
    let one = |known: Element<'_>| {
        let number = Number { system: known.text("system")?.unwrap_or_default().to_owned(), value: known.needed("value")?.to_owned() };
        known.passed(&["use", "type"]);
        known.end()?;
        Ok(number)
    };
    sent.objects("identifier")?.into_iter().map(one).collect()
}

fn phones(sent: &Element<'_>, name: &str) -> Result<Vec<String>, Problem> {
    let mut found = Vec::new();
    for contact in sent.objects(name)? {
        let (value, system) = (contact.needed("value")?.to_owned(), contact.text("system")?);
        contact.passed(&["use", "rank"]);
        contact.end()?;
        match system {
            Some("phone") | None => found.push(value),
            Some(_) if sent.is_lenient() => {}
            Some(other) => return Err(sent.wrong(name, format!("only telephones are kept, and this is {other}: leave it out, or send Prefer: handling=lenient"))),
        }
    }
    Ok(found)
}

/// The ward that something belongs to.
fn ward(sent: &Element<'_>, name: &str) -> Result<Option<WardId>, Problem> {
    let Some(place) = sent.reference(name, "Location")? else { return Ok(None) };
    let ward = unescape(place).and_then(|ward| ward.parse().ok());
    ward.map(Some).ok_or_else(|| sent.wrong(name, "is a ward of this house: Location/WARD"))
}

/// Whether something is used, of a status that may also say that it never was.
fn is_active(sent: &Element<'_>) -> Result<bool, Problem> {
    match sent.text("status")? {
        None | Some("active") => Ok(true),
        Some("inactive" | "suspended" | "entered-in-error") => Ok(false),
        Some(other) => Err(sent.wrong("status", format!("is active or inactive, not {other}"))),
    }
}

fn sort(sent: &Element<'_>, kind: Kind) -> Result<String, Problem> {
    let concept = if kind == Kind::Device { sent.object("type")? } else { sent.only("type")? };
    Ok(concept.map(|concept| concept.spoken().map(|words| words.unwrap_or_default().to_owned())).transpose()?.unwrap_or_default())
}

/// What people call equipment: the name that users gave it, or any.
fn device_name(sent: &Element<'_>) -> Result<String, Problem> {
    let mut found: Option<(bool, String)> = None;
    for known in sent.objects("deviceName")? {
        let (name, is_own) = (known.needed("name")?.to_owned(), known.text("type")? == Some("user-friendly-name"));
        known.end()?;
        if found.as_ref().is_none_or(|(is_known, _)| is_own && !is_known) {
            found = Some((is_own, name));
        }
    }
    found.map(|(_, name)| name).ok_or_else(|| sent.wrong("deviceName", "is missing: what people call it"))
}

fn entry(kind: Kind, value: &Value, is_lenient: bool) -> Result<Entry, Problem> {
    let sent = Element::resource(value, is_lenient)?;
    let text = |name: &str| Ok::<_, Problem>(sent.text(name)?.unwrap_or_default().to_owned());
    let plain = |kind: directory::Kind, name: String| Entry {
        kind,
        name,
        sort: String::new(),
        numbers: Vec::new(),
        phones: Vec::new(),
        active: true,
        ward: None,
        manufacturer: String::new(),
        model: String::new(),
        serial: String::new(),
        lot: String::new(),
        expires: None,
    };
    let mut entry = match kind {
        Kind::Organization => Entry { active: sent.flag("active")?.unwrap_or(true), ..plain(directory::Kind::Organization, sent.needed("name")?.to_owned()) },
        Kind::Location => {
            sent.passed(&["mode", "managingOrganization"]);
            Entry { active: is_active(&sent)?, ward: ward(&sent, "partOf")?, ..plain(directory::Kind::Place, sent.needed("name")?.to_owned()) }
        }
        _ => {
            sent.passed(&["owner"]);
            let (manufacturer, model, serial, lot) = (text("manufacturer")?, text("modelNumber")?, text("serialNumber")?, text("lotNumber")?);
            let name = device_name(&sent)?;
            let (active, ward, expires) = (is_active(&sent)?, ward(&sent, "location")?, sent.date("expirationDate")?);
            Entry { active, ward, manufacturer, model, serial, lot, expires, ..plain(directory::Kind::Equipment, name) }
        }
    };
    (entry.numbers, entry.sort) = (numbers(&sent)?, sort(&sent, kind)?);
    entry.phones = phones(&sent, if kind == Kind::Device { "contact" } else { "telecom" })?;
    sent.end()?;
    Ok(entry)
}

/// A new one.
pub(super) async fn create(api: &Api, who: &Who, key: Identity, (kind, value): (Kind, &Value), is_lenient: bool) -> Result<Response, Problem> {
    gather::within(who, Interaction::Create, kind)?;
    let entry = entry(kind, value, is_lenient)?;
    let id = new_id(entry.kind, key);
    let done = write(api, who, key, (&id, Command::Add(entry)), None).await?;
    if done.status().is_success() { answer(api, who, kind, (Some(escape(&id)), true)).await } else { Ok(done) }
}

/// In place of the one that there is.
pub(super) async fn update(api: &Api, who: &Who, key: Identity, (kind, id, value): (Kind, &str, &Value), is_lenient: bool) -> Result<Response, Problem> {
    gather::within(who, Interaction::Update, kind)?;
    gather::one(api, who, kind, id).await?;
    let known = unescape(id).filter(|known| api.rows.listed(known).is_some_and(|entry| listed::kind_of(&entry) == kind));
    let text = format!("{}/{id} stands in the configuration (wardd.toml): change it there", kind.name());
    let known = known.ok_or_else(|| Problem::new(StatusCode::METHOD_NOT_ALLOWED, "not_supported", text))?;
    let done = write(api, who, key, (&known, Command::Change(entry(kind, value, is_lenient)?)), None).await?;
    if done.status().is_success() { answer(api, who, kind, (Some(id.to_owned()), false)).await } else { Ok(done) }
}
