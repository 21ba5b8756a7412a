//! The directory of organisations, places and equipment.

use axum::Json;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde::Deserialize;
use utoipa::ToSchema;

use super::command::{Body, Identity, Key};
use super::guard::Asking;
use super::problem::Problem;
use super::state::Api;
use crate::access::Who;
use crate::domain::directory::{Command, Entry, Kind};
use crate::domain::rights::{Permission, Subject};
use crate::kernel::{StreamId, StreamKind};

/// An entry as it is sent.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Listing {
    /// kind (`organization`, `place`, `equipment`), name, and sort, numbers (system, value), phones, active, ward; of equipment manufacturer, model,
    /// serial, lot, expires.
    #[schema(value_type = Object)]
    pub(super) entry: Entry,
    /// Who acts, in an open house; else who is signed in.
    #[serde(default)]
    pub(super) user: Option<String>,
}

/// The id of an entry that a request adds: the same at each repetition.
pub(super) fn new_id(kind: Kind, key: Identity) -> String {
    let prefix = match kind {
        Kind::Organization => "org",
        Kind::Place => "place",
        Kind::Equipment => "equipment",
    };
    key.command.bytes().iter().fold(format!("{prefix}_"), |id, byte| id + &format!("{byte:02x}"))
}

/// What is needed to see entries of a kind: as for those that stand in the configuration.
pub(super) fn to_see(kind: Kind) -> Permission {
    match kind {
        Kind::Organization | Kind::Place => Permission::ViewBeds,
        Kind::Equipment => Permission::ViewDevices,
    }
}

/// All entries that somebody may see, by kind and name.
#[utoipa::path(get, path = "/api/v1/directory", responses((status = 200)))]
pub(super) async fn list(State(api): State<Api>, Asking(who): Asking) -> Result<Response, Problem> {
    api.may(&who, Permission::ViewBeds)?;
    let seen = api.rows.directory().into_iter().filter(|(_, entry)| who.rights.may(to_see(entry.kind), &Subject::Anything).is_ok());
    let seen: Vec<_> = seen.map(|(id, entry)| serde_json::json!({ "id": id, "entry": entry })).collect();
    Ok(Json(seen).into_response())
}

/// Has an entry written; its ward must be one of the house.
pub(super) async fn write(api: &Api, who: &Who, key: Identity, (id, command): (&str, Command), user: Option<&str>) -> Result<Response, Problem> {
    let (Command::Add(entry) | Command::Change(entry)) = &command;
    if let Some(ward) = entry.ward.as_ref().filter(|ward| api.gate.ward(ward.as_str()).is_none()) {
        return Err(Problem::missing("ward", ward.as_str()));
    }
    let status = if matches!(command, Command::Add(_)) { StatusCode::CREATED } else { StatusCode::OK };
    let allowed = api.may_with(who, command.needs(), &Subject::House)?;
    let outcome = api.hospital.directory(id, command, api.origin(key, &allowed, user)?).await;
    Ok(api.answer(&StreamId::new(StreamKind::Directory, id), key, &outcome, status))
}

/// Adds an entry; the answer's `Location` is its path.
#[utoipa::path(post, path = "/api/v1/directory", request_body = Listing, responses((status = 201), (status = 409, body = Problem)))]
pub(super) async fn add(State(api): State<Api>, Asking(who): Asking, Key(key): Key, Body(body): Body<Listing>) -> Result<Response, Problem> {
    let id = new_id(body.entry.kind, key);
    let mut answer = write(&api, &who, key, (&id, Command::Add(body.entry)), body.user.as_deref()).await?;
    if answer.status().is_success()
        && let Ok(location) = format!("/api/v1/directory/{id}").parse()
    {
        answer.headers_mut().insert(axum::http::header::LOCATION, location);
    }
    Ok(answer)
}

/// An entry is as this says from now on; what is not used any more is set inactive.
#[utoipa::path(post, path = "/api/v1/directory/{id}", request_body = Listing, responses((status = 200), (status = 409, body = Problem)))]
pub(super) async fn change(State(api): State<Api>, Asking(who): Asking, Path(id): Path<String>, Key(key): Key, Body(body): Body<Listing>) -> Result<Response, Problem> {
    // Who may not keep the directory is told so, also of an entry that is not there.
    api.may_with(&who, Permission::ManageDirectory, &Subject::House)?;
    if api.rows.listed(&id).is_none() {
        return Err(Problem::missing("entry", &id));
    }
    write(&api, &who, key, (&id, Command::Change(body.entry)), body.user.as_deref()).await
}
