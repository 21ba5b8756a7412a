//! From a request to a command's origin, and from its outcome to an answer.

use axum::Json;
use axum::extract::FromRequestParts;
use axum::extract::Request;
use axum::extract::rejection::JsonRejection;
use axum::http::request::Parts;
use axum::http::{HeaderMap, StatusCode};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use serde::de::DeserializeOwned;
use sha2::{Digest, Sha256};

use super::problem::Problem;
use super::size;
use super::state::Api;
use crate::access::{Act, Allowed, Who};
use crate::actor::{Origin, Outcome};
use crate::domain::rights::Subject;
use crate::kernel::{CommandId, EncounterId, Invalid, Principal, StreamId, StreamKind};

const KEY: &str = "idempotency-key";

/// The body of a request as JSON; the error is a problem that says what is wrong.
pub(super) struct Body<T>(pub(super) T);

impl<S: Send + Sync, T: DeserializeOwned> axum::extract::FromRequest<S> for Body<T> {
    type Rejection = Problem;
    async fn from_request(request: axum::extract::Request, state: &S) -> Result<Self, Problem> {
        let body: Result<Json<T>, JsonRejection> = Json::from_request(request, state).await;
        body.map(|Json(value)| Body(value)).map_err(|rejection| {
            let text = rejection.body_text();
            // What serde says, without what the framework says before it.
            let text = text
                .strip_prefix("Failed to deserialize the JSON body into the target type: ")
                .or_else(|| text.strip_prefix("Failed to parse the request body as JSON: "))
                .unwrap_or(&text);
            Problem::new(rejection.status(), "invalid", format!("the body is not what this request needs: {text}"))
        })
    }
}

/// The identity of a request: its Idempotency-Key with method, path and who sends it, or a random one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Identity {
    pub(super) command: CommandId,
    /// The fingerprint of the body, when the client gave a key.
    request: Option<Fingerprint>,
}

impl Identity {
    /// The encounter that the command opens when none is named.
    pub(super) fn encounter(self) -> EncounterId {
        EncounterId::of_command(self.command)
    }

    /// Whether the client gave a key: else nobody can send the same request again.
    pub(super) fn is_keyed(self) -> bool {
        self.request.is_some()
    }

    /// The n-th command of the same request.
    pub(super) fn part(self, number: u32) -> Self {
        Self { command: self.command.part(number), ..self }
    }
}

/// The fingerprint of a request's body.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Fingerprint([u8; 16]);

impl std::fmt::Display for Fingerprint {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

/// Whether a request holds a password, a PIN or a key: a hash of its body would tell which, and once more it does the same.
fn holds_secret(path: &str) -> bool {
    ["/me/", "/session", "/first-run", "/witnesses"].iter().any(|part| path.contains(part)) || path.ends_with("/set-password") || path.ends_with("/set-pin")
}

/// Takes the fingerprint of each request with an Idempotency-Key, so that a key cannot stand for two requests.
pub(super) async fn fingerprint(mut request: Request, next: Next) -> Response {
    if holds_secret(request.uri().path()) {
        request.headers_mut().remove(KEY);
    }
    if !request.headers().contains_key(KEY) {
        return next.run(request).await;
    }
    let (mut parts, body) = request.into_parts();
    let most = size::most(parts.uri.path());
    match axum::body::to_bytes(body, most).await {
        Ok(bytes) => {
            parts.extensions.insert(Fingerprint(first_half(&Sha256::digest(&bytes))));
            next.run(Request::from_parts(parts, bytes.into())).await
        }
        Err(_) => size::too_large(most, "is larger, or was cut").into_response(),
    }
}

/// Extracts the identity.
pub(super) struct Key(pub(super) Identity);

impl<S: Send + Sync> FromRequestParts<S> for Key {
    type Rejection = Problem;
    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Problem> {
        // A key is of whoever sends it: another's with the same key is another request.
        let who = parts.extensions.get::<Who>().map(|who| who.principal.to_string()).unwrap_or_default();
        let command = key(&parts.headers, &format!("{} {} {who}", parts.method, parts.uri.path()))?;
        Ok(Key(Identity { command, request: parts.extensions.get::<Fingerprint>().copied() }))
    }
}

fn first_half(digest: &[u8]) -> [u8; 16] {
    digest.first_chunk().copied().unwrap_or_default()
}

fn key(headers: &HeaderMap, request: &str) -> Result<CommandId, Problem> {
    let mut bytes = [0; 16];
    match headers.get(KEY) {
        Some(value) => {
            let text = value.to_str().ok().filter(|text| (1..=255).contains(&text.len()));
            let text = text.ok_or_else(|| Problem::bad("Idempotency-Key must be 1 to 255 visible ASCII characters"))?;
            bytes = first_half(&Sha256::digest(format!("{request} {text}")));
        }
        None => getrandom::fill(&mut bytes).map_err(|error| Problem::new(StatusCode::INTERNAL_SERVER_ERROR, "random", error.to_string()))?,
    }
    Ok(CommandId::from_bytes(bytes))
}

impl Api {
    /// The origin of a command that somebody has leave for. In an open house the field `user` says who it is; else it may only say
    /// who is signed in.
    pub(super) fn origin(&self, identity: Identity, allowed: &Allowed, user: Option<&str>) -> Result<Origin, Problem> {
        let user = user.map(str::trim).filter(|user| !user.is_empty());
        let who = allowed.who();
        let principal = match (&who.user, user) {
            (None, Some(name)) => Principal::Person(name.to_owned()),
            (Some(signed_in), Some(name)) if !signed_in.as_str().eq_ignore_ascii_case(name) => {
                let text = format!("field user says {name}, but {signed_in} is signed in: leave it out, or sign in as {name}");
                return Err(Problem::new(StatusCode::FORBIDDEN, "other_user", text));
            }
            _ => who.principal.clone(),
        };
        Ok(Origin {
            place: Some(who.station.clone().unwrap_or_else(|| "http".to_owned())),
            request: identity.request.map(|request| request.to_string()),
            ..Origin::new(identity.command, principal, self.clock.now())
        })
    }

    /// The origin of the first user's being made: nobody is signed in, the secret is their leave.
    pub(super) fn origin_of_first_run(&self, identity: Identity, user: &str) -> Origin {
        let request = identity.request.map(|request| request.to_string());
        Origin { place: Some("http".to_owned()), request, ..Origin::new(identity.command, Principal::Person(user.to_owned()), self.clock.now()) }
    }

    /// The same with somebody who vouches. In an open house the field `witness` is their name; else it is the statement that they have
    /// made themselves (POST /api/v1/witnesses) for this person and act.
    pub(super) fn witnessed(
        &self,
        identity: Identity,
        allowed: &Allowed,
        user: Option<&str>,
        (witness, act, subject): (Option<String>, &Act, &Subject),
    ) -> Result<Origin, Problem> {
        let origin = self.origin(identity, allowed, user)?;
        let Some(witness) = witness else { return Ok(origin) };
        if allowed.who().user.is_some() {
            let text = "field witness is the statement of a second person (POST /api/v1/witnesses) for you and this very request, five minutes old at most: have it made again";
            let name = self.gate.witness(&witness, allowed.who(), (act, subject), identity.command).ok_or_else(|| Problem::new(StatusCode::FORBIDDEN, "not_witnessed", text))?;
            return Ok(Origin { witness: Some(name.to_string()), ..origin });
        }
        if user.is_none_or(|user| user.trim().is_empty()) {
            return Err(Problem::bad("field user is needed with a witness: nobody can vouch for a person without a name"));
        }
        Ok(Origin { witness: Some(witness), ..origin })
    }

    /// The events of a request that was done before; an error when its key was used for another request.
    pub(super) fn done_before(&self, stream: &StreamId, identity: Identity) -> Result<Vec<serde_json::Value>, Problem> {
        let Some(done) = self.history.of_command(stream, identity.command) else { return Ok(Vec::new()) };
        if done.request != identity.request.map(|request| request.to_string()) {
            let text = "this Idempotency-Key was used for a request with another body: give each request a key of its own";
            return Err(Problem::new(StatusCode::UNPROCESSABLE_ENTITY, "idempotency_key_reused", text));
        }
        Ok(done.events)
    }

    /// The answer to a command that changes several streams: all its events, also when it is repeated; `streams` says where it may be
    /// known then.
    pub(super) fn answer_of_census(&self, identity: Identity, outcome: &Outcome, streams: impl FnOnce() -> Result<Vec<StreamId>, Problem>) -> Result<Response, Problem> {
        const KINDS: [StreamKind; 6] = [StreamKind::Patient, StreamKind::Encounter, StreamKind::Bed, StreamKind::Chart, StreamKind::Vitals, StreamKind::Task];
        let events = |sequence| Json(serde_json::json!({ "events": self.history.batch_at(sequence, &KINDS) }));
        match outcome {
            Outcome::Done(receipt) => Ok((StatusCode::OK, events(receipt.first)).into_response()),
            Outcome::Repeated => {
                for stream in streams()? {
                    self.done_before(&stream, identity)?;
                    if let Some(done) = self.history.of_command(&stream, identity.command) {
                        return Ok((StatusCode::OK, [("idempotency-replayed", "true")], events(done.sequence)).into_response());
                    }
                }
                Ok((StatusCode::OK, [("idempotency-replayed", "true")], Json(serde_json::json!({ "events": [] }))).into_response())
            }
            Outcome::Nothing | Outcome::Refused(_) | Outcome::Held(..) | Outcome::Failed(_) => {
                Ok(self.answer(&StreamId::new(StreamKind::Patient, ""), identity, outcome, StatusCode::OK))
            }
        }
    }

    /// The answer to a command: its events, those of the first time when it is repeated.
    pub(super) fn answer(&self, stream: &StreamId, identity: Identity, outcome: &Outcome, status: StatusCode) -> Response {
        let events = || self.done_before(stream, identity).map(|events| Json(serde_json::json!({ "events": events })));
        match outcome {
            Outcome::Done(_) => (status, events()).into_response(),
            // The first answer again, word for word; the header tells whoever wants to know.
            Outcome::Repeated => match events() {
                Ok(events) => (status, [("idempotency-replayed", "true")], events).into_response(),
                Err(problem) => problem.into_response(),
            },
            Outcome::Nothing => (StatusCode::OK, Json(serde_json::json!({ "events": [] }))).into_response(),
            Outcome::Refused(refusal) => Problem::refused(refusal).into_response(),
            Outcome::Held(_, reason) => Problem::new(StatusCode::ACCEPTED, reason.word(), reason.sentence()).into_response(),
            Outcome::Failed(failure) => Problem::failed(failure).into_response(),
        }
    }
}

/// A path parameter as an identity; the error is a problem.
pub(super) fn parse<T: std::str::FromStr<Err = Invalid>>(text: &str) -> Result<T, Problem> {
    text.parse().map_err(|error: Invalid| Problem::bad(error.to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_holds_a_secret_leaves_no_fingerprint() {
        for path in ["/me/pin", "/me/password", "/api/v1/session", "/first-run", "/witnesses", "/users/ben/set-pin", "/users/ben/set-password"] {
            assert!(holds_secret(path), "{path}");
        }
        for path in ["/users/ben/grant", "/patients", "/cabinets/CAB1/waste"] {
            assert!(!holds_secret(path), "{path}");
        }
    }

    #[test]
    fn the_key_with_method_and_path_is_the_command_s_identity() {
        let mut headers = HeaderMap::new();
        headers.insert("idempotency-key", "k1".parse().unwrap());
        let once = key(&headers, "POST /a").ok().unwrap();
        assert_eq!(key(&headers, "POST /a").ok().unwrap(), once);
        assert_ne!(key(&headers, "POST /b").ok().unwrap(), once, "another resource is another command");
        assert_ne!(key(&HeaderMap::new(), "POST /a").ok().unwrap(), key(&HeaderMap::new(), "POST /a").ok().unwrap());
        headers.insert("idempotency-key", "".parse().unwrap());
        assert!(key(&headers, "POST /a").is_err());
    }
}
