//! Signing in and out, one's own password, PIN and second factor, the first user, the statements of witnesses.

use axum::Json;
use axum::extract::State;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::command::{Body, Key};
use super::guard::{Asking, COOKIE, Peer};
use super::problem::Problem;
use super::state::Api;
use crate::access::{Act, FirstRunError, Proof, Secret, SignIn, SignedIn, WeakSecret, Who};
use crate::actor::Outcome;
use crate::domain::staff::{Command, STREAM};
use crate::kernel::{StreamId, StreamKind, UserId};

/// Somebody proves who they are: `user` and `password`, or `badge` and `pin`.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Proving {
    /// The name to sign in with.
    user: Option<String>,
    /// The password.
    #[schema(value_type = Option<String>)]
    password: Option<Secret>,
    /// What the badge says when it is scanned.
    #[schema(value_type = Option<String>)]
    badge: Option<Secret>,
    /// The PIN that goes with it.
    #[schema(value_type = Option<String>)]
    pin: Option<Secret>,
    /// The code of the second factor.
    code: Option<String>,
    /// Where: a station of the configuration.
    station: Option<String>,
    /// For a statement: for whom.
    actor: Option<String>,
    /// For a statement: for what, the path that is asked then.
    path: Option<String>,
    /// For a statement: the body that is sent then, without `witness`.
    request: Option<serde_json::Value>,
}

impl Proving {
    pub(super) fn with_password(user: String, password: Secret, code: Option<String>, station: Option<String>) -> Self {
        Self { user: Some(user), password: Some(password), code, station, ..Self::default() }
    }

    pub(super) fn with_badge(badge: Secret, pin: Secret, station: Option<String>) -> Self {
        Self { badge: Some(badge), pin: Some(pin), station, ..Self::default() }
    }

    fn proof(&self) -> Result<Proof, Problem> {
        match (&self.user, &self.password, &self.badge, &self.pin) {
            (Some(user), Some(password), None, None) => Ok(Proof::Password { user: user.clone(), password: password.clone() }),
            (None, None, Some(badge), Some(pin)) => Ok(Proof::Badge { badge: badge.clone(), pin: pin.clone() }),
            _ => Err(Problem::bad("send user and password, or badge and pin")),
        }
    }
}

/// A session that began.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct SessionView {
    /// To be sent as `Authorization: Bearer …`; shown once.
    #[serde(skip_serializing_if = "Option::is_none")]
    token: Option<String>,
    user: String,
    name: String,
    station: Option<String>,
    /// What must be done before anything else.
    duty: Option<&'static str>,
    /// What is permitted, and where.
    rights: Vec<RightView>,
    /// After so many seconds without use it ends.
    #[serde(skip_serializing_if = "Option::is_none")]
    idle_seconds: Option<u64>,
}

/// What a role permits where.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct RightView {
    scope: String,
    permissions: Vec<&'static str>,
}

fn rights(who: &Who) -> Vec<RightView> {
    let view = |granted: &crate::domain::rights::Granted| RightView {
        scope: granted.scope.to_string(),
        permissions: granted.permissions.iter().filter(|permission| who.rights.has(**permission)).map(|permission| permission.word()).collect(),
    };
    who.rights.granted.iter().map(view).collect()
}

/// Signs somebody in; the error is the whole answer.
pub(super) async fn begin(api: &Api, proving: Proving, from: Peer) -> Result<SignedIn, Response> {
    let proof = proving.proof().map_err(IntoResponse::into_response)?;
    let station = proving.station.filter(|station| !station.trim().is_empty());
    api.gate.sign_in(SignIn { proof, code: proving.code, station, from: from.0 }).await.map_err(|denied| Problem::denied(&denied))
}

/// The cookie of a session; it goes to our own pages only, and no script sees it.
pub(super) fn cookie(token: &str, is_tls: bool) -> Option<HeaderValue> {
    let secure = if is_tls { "; Secure" } else { "" };
    HeaderValue::from_str(&format!("{COOKIE}={token}; Path=/; HttpOnly; SameSite=Strict{secure}")).ok()
}

/// Signs in: the session's token is sent with each request then.
#[utoipa::path(post, path = "/api/v1/session", request_body = Proving, responses((status = 200, body = SessionView), (status = 401, body = Problem), (status = 429, body = Problem)))]
pub(super) async fn sign_in(State(api): State<Api>, from: Peer, Body(proving): Body<Proving>) -> Result<Response, Response> {
    let station = proving.station.clone();
    let signed_in = begin(&api, proving, from).await?;
    let who = api.gate.who(Some(signed_in.token.show()), true).map_err(|refused| Problem::refused_access(&refused).into_response())?;
    let view = SessionView {
        token: Some(signed_in.token.show().to_owned()),
        user: signed_in.user.to_string(),
        name: signed_in.name,
        station,
        duty: signed_in.duty.map(crate::access::Duty::sentence),
        rights: rights(&who),
        idle_seconds: Some(signed_in.idle_seconds),
    };
    Ok(([(header::CACHE_CONTROL, "no-store")], Json(view)).into_response())
}

/// Who is signed in, and what they may.
#[utoipa::path(get, path = "/api/v1/session", responses((status = 200, body = SessionView), (status = 401, body = Problem)))]
pub(super) async fn show(State(api): State<Api>, Asking(who): Asking) -> Json<SessionView> {
    let staff = api.gate.staff();
    let name = who.user.as_ref().and_then(|user| staff.get(user)).map(|user| user.name.clone());
    let user = who.user.as_ref().map(ToString::to_string).unwrap_or_default();
    Json(SessionView {
        token: None,
        user,
        name: name.unwrap_or_default(),
        duty: who.duty.map(crate::access::Duty::sentence),
        rights: rights(&who),
        station: who.station,
        idle_seconds: None,
    })
}

/// Signs out.
#[utoipa::path(delete, path = "/api/v1/session", responses((status = 204)))]
pub(super) async fn sign_out(State(api): State<Api>, Asking(who): Asking) -> StatusCode {
    api.gate.sign_out(&who).await;
    StatusCode::NO_CONTENT
}

/// What somebody changes of themselves.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Own {
    /// The password of now, to change it or anything else of oneself.
    #[schema(value_type = String)]
    pub(super) current_password: Option<Secret>,
    /// The password from now on.
    #[schema(value_type = Option<String>)]
    pub(super) password: Option<Secret>,
    /// The PIN from now on.
    #[schema(value_type = Option<String>)]
    pub(super) pin: Option<Secret>,
    /// The key of the second factor, as it was given, with a code of it.
    #[schema(value_type = Option<String>)]
    pub(super) key: Option<Secret>,
    /// A code of the second factor that is to be.
    pub(super) code: Option<String>,
}

impl Problem {
    pub(super) fn weak(weak: &WeakSecret) -> Self {
        match weak {
            WeakSecret::Machine(_) => Self::new(StatusCode::SERVICE_UNAVAILABLE, "unavailable", weak.to_string()),
            _ => Self::new(StatusCode::UNPROCESSABLE_ENTITY, "weak", weak.to_string()),
        }
    }
}

async fn change(api: &Api, who: &Who, key: super::command::Identity, command: Command) -> Result<Response, Problem> {
    let outcome = api.gate.change(who, command, api.origin(key, &api.gate.own(who), None)?).await;
    Ok(match outcome {
        // The events hold hashes and keys: none of them is shown.
        Outcome::Done(_) | Outcome::Repeated | Outcome::Nothing => StatusCode::NO_CONTENT.into_response(),
        other => api.answer(&StreamId::new(StreamKind::Hospital, STREAM), key, &other, StatusCode::NO_CONTENT),
    })
}

/// Who it is, and that they know their password now.
async fn themselves(api: &Api, who: &Who, current: Option<Secret>) -> Result<UserId, Problem> {
    let user = who.user().map_err(|refused| Problem::refused_access(&refused))?.clone();
    let current = current.ok_or_else(|| Problem::bad("field current_password is needed for this"))?;
    match api.gate.knows_password(&user, current).await {
        Ok(true) => Ok(user),
        Ok(false) => Err(Problem::new(StatusCode::FORBIDDEN, "wrong", "current_password is not your password")),
        Err(refusal) => Err(Problem::new(StatusCode::FORBIDDEN, &refusal.rule, refusal.message)),
    }
}

/// Sets one's own password.
#[utoipa::path(post, path = "/api/v1/me/password", request_body = Own, responses((status = 204), (status = 422, body = Problem)))]
pub(super) async fn password(State(api): State<Api>, Asking(who): Asking, Key(key): Key, Body(body): Body<Own>) -> Result<Response, Problem> {
    let is_same = body.current_password.as_ref().map(Secret::show) == body.password.as_ref().map(Secret::show);
    let user = themselves(&api, &who, body.current_password).await?;
    let password = body.password.ok_or_else(|| Problem::bad("field password is needed for this"))?;
    if is_same {
        return Err(Problem::new(StatusCode::UNPROCESSABLE_ENTITY, "same_password", "this is the password that you have: choose another one, which nobody else knows"));
    }
    let hash = api.gate.new_password(&user, password).await.map_err(|weak| Problem::weak(&weak))?;
    change(&api, &who, key, Command::SetPassword { user, hash }).await
}

/// Sets the PIN that goes with one's own badge.
#[utoipa::path(post, path = "/api/v1/me/pin", request_body = Own, responses((status = 204), (status = 422, body = Problem)))]
pub(super) async fn pin(State(api): State<Api>, Asking(who): Asking, Key(key): Key, Body(body): Body<Own>) -> Result<Response, Problem> {
    let user = themselves(&api, &who, body.current_password).await?;
    let pin = body.pin.ok_or_else(|| Problem::bad("field pin is needed for this"))?;
    let hash = api.gate.new_pin(pin).await.map_err(|weak| Problem::weak(&weak))?;
    change(&api, &who, key, Command::SetPin { user, hash }).await
}

/// A key for a second factor.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct NewFactor {
    /// The key, base 32, to be typed into an authenticator.
    key: String,
    /// The same as a link.
    link: String,
}

/// Enrols a second factor in two steps: without `key` the answer holds a new one; with it and a code of it, it counts.
#[utoipa::path(post, path = "/api/v1/me/second-factor", request_body = Own, responses((status = 200, body = NewFactor), (status = 204), (status = 422, body = Problem)))]
pub(super) async fn second_factor(State(api): State<Api>, Asking(who): Asking, Key(key): Key, Body(body): Body<Own>) -> Result<Response, Problem> {
    let user = themselves(&api, &who, body.current_password).await?;
    match (body.key, body.code) {
        (None, _) => {
            let (key, link) = api.gate.new_second_factor(&user).map_err(|weak| Problem::weak(&weak))?;
            Ok(([(header::CACHE_CONTROL, "no-store")], Json(NewFactor { key, link })).into_response())
        }
        (Some(secret), Some(code)) if api.gate.is_code_of(secret.show(), &code) => change(&api, &who, key, Command::SetTotp { user, key: Some(secret.show().to_owned()) }).await,
        (Some(_), _) => {
            let text = "the code is not one of this key now: check the authenticator's clock, and send key and code again";
            Err(Problem::new(StatusCode::UNPROCESSABLE_ENTITY, "wrong_code", text))
        }
    }
}

/// The first user.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct FirstRun {
    /// The secret that `wardctl init` printed.
    #[schema(value_type = String)]
    secret: Secret,
    /// The name to sign in with.
    #[schema(value_type = String, example = "ada")]
    user: UserId,
    /// As others call them.
    name: String,
    /// Their password.
    #[schema(value_type = String)]
    password: Secret,
}

/// Makes the first user, who may manage users, with the secret of `wardctl init`; once, while there is none.
#[utoipa::path(post, path = "/api/v1/first-run", request_body = FirstRun, responses((status = 201), (status = 403, body = Problem), (status = 409, body = Problem)))]
pub(super) async fn first_run(State(api): State<Api>, Key(key): Key, Body(body): Body<FirstRun>) -> Result<Response, Problem> {
    let origin = api.origin_of_first_run(key, body.user.as_str());
    match api.gate.found(&body.secret, body.user.clone(), body.name, body.password, origin).await {
        Ok(Outcome::Done(_) | Outcome::Repeated) => Ok((StatusCode::CREATED, Json(serde_json::json!({ "user": body.user }))).into_response()),
        Ok(outcome) => Ok(api.answer(&StreamId::new(StreamKind::Hospital, STREAM), key, &outcome, StatusCode::CREATED)),
        Err(FirstRunError::Weak(weak)) => Err(Problem::weak(&weak)),
        Err(error @ FirstRunError::WrongSecret) => Err(Problem::new(StatusCode::FORBIDDEN, "wrong", error.to_string())),
        Err(error @ FirstRunError::File(_)) => Err(Problem::new(StatusCode::INTERNAL_SERVER_ERROR, "unavailable", error.to_string())),
    }
}

/// A second person vouches for what `actor` is about to ask at `path` with the body `request`: they prove who they are, and the answer's
/// `statement` is sent by the first person as the field `witness`, within five minutes.
#[utoipa::path(post, path = "/api/v1/witnesses", request_body = Proving, responses((status = 200), (status = 401, body = Problem), (status = 403, body = Problem)))]
pub(super) async fn vouch(State(api): State<Api>, from: Peer, Body(proving): Body<Proving>) -> Result<Response, Response> {
    let bad = |text: &str| Problem::bad(text).into_response();
    let proof = proving.proof().map_err(IntoResponse::into_response)?;
    let actor = proving.actor.as_deref().ok_or_else(|| bad("field actor is needed: for whom"))?.to_lowercase();
    let actor: UserId = actor.parse().map_err(|error: crate::kernel::Invalid| bad(&error.to_string()))?;
    let path = proving.path.as_deref().ok_or_else(|| bad("field path is needed: what the other one asks, such as /api/v1/cabinets/CAB1/waste"))?;
    let request = proving.request.as_ref().ok_or_else(|| bad("field request is needed: the body that the other one sends, without witness"))?;
    let act = Act::new(path, request);
    match api.gate.vouch(proof, proving.code.as_deref(), from.0, (&actor, &act)).await {
        Ok(Ok(statement)) => Ok(([(header::CACHE_CONTROL, "no-store")], Json(serde_json::json!({ "statement": statement.show() }))).into_response()),
        Ok(Err(refused)) => Err(Problem::refused_access(&refused).into_response()),
        Err(denied) => Err(Problem::denied(&denied)),
    }
}
