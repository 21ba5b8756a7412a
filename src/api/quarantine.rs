//! What waits for a person: list, show, retry, discard, bind.

use std::pin::Pin;

use axum::Json;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::Response;
use serde::Deserialize;
use utoipa::ToSchema;

use super::command::{Body, Key, parse};
use super::guard::Asking;
use super::list::Page;
use super::problem::Problem;
use super::state::Api;
use crate::domain::disclosure::Record;
use crate::domain::patient::Patient;
use crate::domain::quarantine::{Command, Reason};
use crate::domain::rights::{Permission, Subject};
use crate::kernel::{Accession, DeviceId, Mrn, RawBytes, StreamId, StreamKind, Timestamp};
use crate::projection::HeldItem;

/// How a message that was handled again came out: the reasons why something of it still waits, or that it could not be tried.
pub type Replayed<'a> = Pin<Box<dyn Future<Output = Result<Vec<Reason>, String>> + Send + 'a>>;

/// Handles raw messages again; given by the composition root, which knows the gateways.
pub trait Replay: Send + Sync {
    /// Handles the part of a device's message that an item stands for again, its results bound to a specimen when a person says so.
    fn replay(&self, device: DeviceId, raw: RawBytes, item: HeldItem, bind: Option<Accession>) -> Replayed<'_>;
}

fn view(key: &str, item: &HeldItem, now: Timestamp) -> serde_json::Value {
    serde_json::json!({
        "item": key,
        "sequence": item.sequence,
        "held_at": item.held_at,
        "is_open": item.is_open,
        "since": item.since,
        "age_seconds": now.seconds_since(item.since),
        "sentence": item.reason.sentence(),
        "reason": item.reason,
        "device": item.device,
    })
}

fn missing(item: &str) -> Problem {
    Problem::missing("item in quarantine", item)
}

/// Open items, the oldest first, from the item `from` on.
#[utoipa::path(get, path = "/api/v1/quarantine", responses((status = 200), (status = 404, body = Problem)))]
pub(super) async fn list(State(api): State<Api>, Asking(who): Asking, Page(page): Page) -> Result<Json<Vec<serde_json::Value>>, Problem> {
    api.may(&who, Permission::ViewQuarantine)?;
    let now = api.clock.now();
    let held_at = match page.from.as_str() {
        "" => 0,
        from => api.history.item(from).ok_or_else(|| missing(from))?.held_at,
    };
    let events = api.rows.open_items_from(held_at, page.rows());
    Ok(Json(events.into_iter().filter_map(|event| api.history.item_held_at(event).map(|(key, item)| view(&key, &item, now))).collect()))
}

/// One item with its raw message.
#[utoipa::path(get, path = "/api/v1/quarantine/{item}", responses((status = 200), (status = 404, body = Problem)))]
pub(super) async fn show(State(api): State<Api>, Asking(who): Asking, Path(item): Path<String>) -> Result<Json<serde_json::Value>, Problem> {
    let allowed = api.may(&who, Permission::ViewQuarantine)?;
    let held = api.history.item(&item).ok_or_else(|| missing(&item))?;
    let mut value = view(&item, &held, api.clock.now());
    let raw = api.history.raw(held.raw_at);
    let named = raw.as_ref().map(|(_, raw)| named_in(&api, &raw.0)).unwrap_or_default();
    let is_restricted = |mrn: &Mrn| api.rows.person_now(mrn).iter().any(|(_, record)| record.restricted.is_some());
    let is_hidden = named.iter().any(is_restricted) && who.rights.may(Permission::ViewRestricted, &Subject::House).is_err();
    // Whose message it is for sure, nobody has said yet: the record names the item, and whom of those who are known the message names.
    api.shown(&allowed, Record::Quarantine, Some(&item), named).await?;
    if let (Some(map), Some((device, raw))) = (value.as_object_mut(), raw) {
        map.insert("device".to_owned(), device.to_string().into());
        match is_hidden {
            true => drop(map.insert("limited".to_owned(), "restricted".into())),
            false => drop(map.insert("raw".to_owned(), serde_json::to_value(raw).unwrap_or_default())),
        }
    }
    Ok(Json(value))
}

/// The numbers in the patient segments of a message (HL7 v2 PID-3, LIS2-A2 P-3 to P-5) under which somebody is known here.
fn named_in(api: &Api, raw: &[u8]) -> Vec<Mrn> {
    let text = String::from_utf8_lossy(raw);
    let mut found: Vec<Mrn> = Vec::new();
    for line in text.split(['\r', '\n']) {
        let mut fields = line.split('|');
        let places: &[usize] = match fields.next() {
            Some("PID") => &[2],
            Some("P") => &[1, 2, 3],
            _ => continue,
        };
        let fields: Vec<&str> = fields.collect();
        let parts = places.iter().filter_map(|place| fields.get(*place)).flat_map(|field| field.split(['^', '~', '&']));
        let numbers = parts.filter_map(|part| part.trim().parse::<Mrn>().ok());
        found.extend(numbers.filter(|mrn| api.rows.person_now(mrn).iter().any(|(_, record)| *record != Patient::default())));
    }
    found.sort_unstable();
    found.dedup();
    found
}

/// What is done with an item.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, default)]
pub(super) struct ItemAction {
    /// Who acts, in an open house; else who is signed in.
    user: Option<String>,
    /// Why it is discarded.
    because: String,
    /// The specimen that the results belong to.
    accession: String,
}

/// `retry`, `discard` (with `because`) or `bind` (with `accession`).
#[utoipa::path(post, path = "/api/v1/quarantine/{item}/{action}", request_body = ItemAction, responses((status = 200), (status = 409, body = Problem)))]
pub(super) async fn act(
    State(api): State<Api>,
    Asking(who): Asking,
    Path((item, action)): Path<(String, String)>,
    Key(key): Key,
    Body(body): Body<ItemAction>,
) -> Result<Response, Problem> {
    // A message is handled again before the item is closed, so the leave is asked for before anything is done.
    let allowed = api.may(&who, Command::Retried.needs())?;
    let held = api.history.item(&item).ok_or_else(|| missing(&item))?;
    let command = match action.as_str() {
        "discard" => Command::Discard { because: body.because },
        "retry" => {
            replay(&api, held, None).await?;
            Command::Retried
        }
        "bind" => {
            let accession: Accession = parse(&body.accession)?;
            replay(&api, held, Some(accession.clone())).await?;
            Command::Bound { accession }
        }
        other => return Err(Problem::missing("action", other)),
    };
    let outcome = api.hospital.quarantine(&item, command, api.origin(key, &allowed, body.user.as_deref())?).await;
    Ok(api.answer(&StreamId::new(StreamKind::Quarantine, item), key, &outcome, StatusCode::OK))
}

/// Handles the raw message again; the item is closed only when nothing of it waits any more.
async fn replay(api: &Api, item: HeldItem, bind: Option<Accession>) -> Result<(), Problem> {
    if !item.is_open {
        return Err(Problem::new(StatusCode::CONFLICT, "already_closed", "the item has been dealt with already"));
    }
    let (device, raw) =
        api.history.raw(item.raw_at).ok_or_else(|| Problem::new(StatusCode::CONFLICT, "no_raw", "there is no raw message behind this item: discard it, or mend what it names"))?;
    let holds = api.replay.replay(device, raw, item, bind).await.map_err(|why| Problem::new(StatusCode::CONFLICT, "not_replayed", why))?;
    match holds.first() {
        None => Ok(()),
        Some(reason) => Err(Problem::new(StatusCode::CONFLICT, reason.word(), format!("it still cannot be done: {}", reason.sentence()))),
    }
}
