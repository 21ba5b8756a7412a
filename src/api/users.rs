//! Users: who they are, their roles, badges and tokens.

use std::collections::BTreeSet;

use axum::Json;
use axum::extract::{Path, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::command::{Body, Key, parse};
use super::guard::Asking;
use super::problem::Problem;
use super::state::Api;
use crate::access::Secret;
use crate::actor::Outcome;
use crate::domain::rights::{Permission, Scope, SmartScopes, Subject};
use crate::domain::staff::{self, Command, Grant, Kind, User};
use crate::domain::user;
use crate::kernel::{StreamId, StreamKind, Timestamp, UserId};

/// A user as the API shows them: no secrets, nor their hashes.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct UserView {
    user: String,
    name: String,
    /// `person` or `program`.
    #[schema(value_type = String)]
    kind: Kind,
    /// Roles as `NAME SCOPE`.
    roles: Vec<String>,
    has_password: bool,
    has_second_factor: bool,
    has_badge: bool,
    has_pin: bool,
    tokens: Vec<TokenView>,
    disabled: Option<String>,
}

/// A token as the API shows it.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct TokenView {
    id: String,
    permissions: Option<Vec<&'static str>>,
    issued: String,
    expires: Option<String>,
}

fn view(id: &UserId, user: &User) -> UserView {
    UserView {
        user: id.to_string(),
        name: user.name.clone(),
        kind: user.kind,
        roles: user.roles.iter().map(|grant| format!("{} {}", grant.role, grant.scope)).collect(),
        has_password: user.password.is_some(),
        has_second_factor: user.totp.is_some(),
        has_badge: user.badge.is_some(),
        has_pin: user.pin.is_some(),
        tokens: user
            .tokens
            .iter()
            .map(|(id, token)| TokenView {
                id: id.clone(),
                permissions: token.permissions.as_ref().map(|permissions| permissions.iter().map(|permission| permission.word()).collect()),
                issued: token.issued.to_string(),
                expires: token.expires.map(|expires| expires.to_string()),
            })
            .collect(),
        disabled: user.disabled.clone(),
    }
}

/// All users.
#[utoipa::path(get, path = "/api/v1/users", responses((status = 200, body = Vec<UserView>)))]
pub(super) async fn list(State(api): State<Api>, Asking(who): Asking) -> Result<Json<Vec<UserView>>, Problem> {
    api.may_with(&who, Permission::ViewUsers, &Subject::House)?;
    Ok(Json(api.gate.staff().iter().map(|(id, user)| view(id, user)).collect()))
}

/// One user.
#[utoipa::path(get, path = "/api/v1/users/{user}", responses((status = 200, body = UserView), (status = 404, body = Problem)))]
pub(super) async fn show(State(api): State<Api>, Asking(who): Asking, Path(user): Path<String>) -> Result<Json<UserView>, Problem> {
    api.may_with(&who, Permission::ViewUsers, &Subject::House)?;
    let id: UserId = parse(&user)?;
    let staff = api.gate.staff();
    staff.get(&id).map(|user| Json(view(&id, user))).ok_or_else(|| Problem::missing("user", &user))
}

/// Somebody new.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct NewUser {
    /// The name to sign in with.
    #[schema(value_type = String, example = "ben")]
    user: UserId,
    /// As others call them.
    #[schema(example = "Ben Okri")]
    name: String,
    /// `person` or `program`.
    #[serde(default)]
    #[schema(value_type = Option<String>)]
    kind: Kind,
}

/// Adds a user.
#[utoipa::path(post, path = "/api/v1/users", request_body = NewUser, responses((status = 201), (status = 409, body = Problem)))]
pub(super) async fn add(State(api): State<Api>, Asking(who): Asking, Key(key): Key, Body(body): Body<NewUser>) -> Result<Response, Problem> {
    let command = Command::Add { user: body.user, name: body.name, kind: body.kind };
    let allowed = api.may_with(&who, command.needs(), &Subject::House)?;
    let outcome = api.gate.change(&who, command, api.origin(key, &allowed, None)?).await;
    Ok(api.answer(&StreamId::new(StreamKind::Hospital, staff::STREAM), key, &outcome, StatusCode::CREATED))
}

/// What is needed for what is done.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct UserAction {
    /// To `set-password`: one that they must change when they sign in.
    #[schema(value_type = Option<String>)]
    password: Option<Secret>,
    /// To `set-badge`: what it says when it is scanned.
    badge: Option<String>,
    /// To `set-pin`: one that they should change.
    #[schema(value_type = Option<String>)]
    pin: Option<Secret>,
    /// To `grant` or `revoke`: a role of `roles.toml`.
    role: Option<String>,
    /// To `grant` or `revoke`: `house`, `facility:CODE` or `ward:CODE`.
    #[schema(value_type = Option<String>)]
    scope: Option<Scope>,
    /// To `rename`: as others call them.
    name: Option<String>,
    /// To `disable`: why.
    reason: Option<String>,
    /// To `issue-token`: what it is limited to.
    #[schema(value_type = Option<Vec<String>>)]
    permissions: Option<BTreeSet<Permission>>,
    /// To `issue-token`: scopes of SMART between blanks, such as `system/Observation.read system/Patient.*`; the token is good for FHIR alone then.
    scope_of_fhir: Option<String>,
    /// To `issue-token`: until when it counts.
    #[schema(value_type = Option<String>)]
    expires: Option<Timestamp>,
    /// To `revoke-token`: its id.
    token: Option<String>,
}

fn needed<T>(field: Option<T>, name: &str) -> Result<T, Problem> {
    field.ok_or_else(|| Problem::bad(format!("field {name} is needed for this")))
}

fn grant(body: &mut UserAction) -> Result<Grant, Problem> {
    Ok(Grant { role: needed(body.role.take(), "role")?, scope: body.scope.take().unwrap_or(Scope::House) })
}

/// `rename`, `set-password`, `set-badge`, `take-badge`, `set-pin`, `take-second-factor`, `grant`, `revoke`, `disable`, `enable`, `unlock`,
/// `issue-token` or `revoke-token`.
#[utoipa::path(post, path = "/api/v1/users/{user}/{action}", request_body = UserAction, responses((status = 200), (status = 409, body = Problem)))]
pub(super) async fn act(
    State(api): State<Api>,
    Asking(who): Asking,
    Path((user, action)): Path<(String, String)>,
    Key(key): Key,
    Body(mut body): Body<UserAction>,
) -> Result<Response, Problem> {
    // Before anything is hashed or looked up.
    let allowed = api.may_with(&who, Permission::ManageUsers, &Subject::House)?;
    let user: UserId = parse(&user)?;
    // Else whoever finds an open session of theirs could take it over for good.
    let is_own = who.user.as_ref() == Some(&user);
    if is_own && matches!(action.as_str(), "set-password" | "set-badge" | "set-pin" | "take-second-factor") {
        let text = "for yourself there is /api/v1/me/… (`wardctl password`, `wardctl second-factor`), which asks for your password; your badge is given by somebody else";
        return Err(Problem::new(StatusCode::CONFLICT, "yourself", text));
    }
    let governing = api.gate.roles().governing();
    let mut secret = None;
    let command = match action.as_str() {
        "set-password" => {
            let hash = api.gate.new_password(&user, needed(body.password, "password")?).await.map_err(|weak| Problem::weak(&weak))?;
            Command::SetPassword { user, hash }
        }
        "set-badge" => Command::SetBadge { user, badge: Some(api.gate.new_badge(&needed(body.badge, "badge")?).map_err(|weak| Problem::weak(&weak))?) },
        "take-badge" => Command::SetBadge { user, badge: None },
        "set-pin" => {
            let hash = api.gate.new_pin(needed(body.pin, "pin")?).await.map_err(|weak| Problem::weak(&weak))?;
            Command::SetPin { user, hash }
        }
        "rename" => Command::Rename { user, name: needed(body.name, "name")? },
        "take-second-factor" => Command::SetTotp { user, key: None },
        "grant" => {
            let grant = grant(&mut body)?;
            api.gate.knows_grant(&grant.role, &grant.scope).map_err(Problem::bad)?;
            Command::Grant { user, grant }
        }
        "revoke" => Command::Revoke { user, grant: grant(&mut body)?, governing },
        "disable" => Command::Disable { user, reason: needed(body.reason, "reason")?, governing },
        "enable" => Command::Enable { user },
        "unlock" => {
            let outcome = api.hospital.user(&user, user::Command::Unlock, api.origin(key, &allowed, None)?).await;
            return Ok(api.answer(&StreamId::new(StreamKind::User, user.as_str()), key, &outcome, StatusCode::OK));
        }
        "issue-token" => {
            let scopes = body.scope_of_fhir.as_deref().map(SmartScopes::parse).transpose().map_err(|error| Problem::bad(error.to_string()))?;
            let (token, command) = api.gate.new_token(user, (body.permissions, scopes), body.expires).map_err(|weak| Problem::weak(&weak))?;
            secret = Some(token);
            command
        }
        "revoke-token" => Command::RevokeToken { user, id: needed(body.token, "token")? },
        other => return Err(Problem::missing("action", other)),
    };
    let outcome = api.gate.change(&who, command, api.origin(key, &allowed, None)?).await;
    if let (Some(token), Outcome::Done(_)) = (&secret, &outcome) {
        let shown_once = Json(serde_json::json!({ "token": token.show() }));
        return Ok(([(header::CACHE_CONTROL, "no-store")], shown_once).into_response());
    }
    if let (Some(_), Outcome::Repeated) = (&secret, &outcome) {
        let text = "this token was issued before and is shown once: revoke it and issue another";
        return Err(Problem::new(StatusCode::CONFLICT, "shown_once", text));
    }
    Ok(match outcome {
        // A key that was used for another request is told so.
        Outcome::Repeated => {
            api.done_before(&StreamId::new(StreamKind::Hospital, staff::STREAM), key)?;
            Json(serde_json::json!({ "done": true })).into_response()
        }
        // Hashes and keys stand in the events, so the answer does not show them.
        Outcome::Done(_) | Outcome::Nothing => Json(serde_json::json!({ "done": matches!(outcome, Outcome::Done(_)) })).into_response(),
        other => api.answer(&StreamId::new(StreamKind::Hospital, staff::STREAM), key, &other, StatusCode::OK),
    })
}
