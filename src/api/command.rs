//! From a request to a command's origin, and from its outcome to an answer.

use axum::Json;
use axum::extract::FromRequestParts;
use axum::extract::rejection::JsonRejection;
use axum::http::request::Parts;
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use serde::de::DeserializeOwned;
use sha2::{Digest, Sha256};

use super::problem::Problem;
use super::router::Api;
use crate::actor::{Origin, Outcome};
use crate::kernel::{CommandId, Invalid, Principal, StreamId};

/// The body of a request as JSON; the error is a problem that says what is wrong.
pub(super) struct Body<T>(pub(super) T);

impl<S: Send + Sync, T: DeserializeOwned> axum::extract::FromRequest<S> for Body<T> {
    type Rejection = Problem;
    async fn from_request(request: axum::extract::Request, state: &S) -> Result<Self, Problem> {
        let body: Result<Json<T>, JsonRejection> = Json::from_request(request, state).await;
        body.map(|Json(value)| Body(value)).map_err(|rejection| Problem::new(rejection.status(), "invalid", rejection.body_text()))
    }
}

/// The identity of a request: the Idempotency-Key header with method and path, or a random one.
pub(super) struct Key(pub(super) CommandId);

impl<S: Send + Sync> FromRequestParts<S> for Key {
    type Rejection = Problem;
    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Problem> {
        key(&parts.headers, parts.method.as_str(), parts.uri.path()).map(Key)
    }
}

fn key(headers: &HeaderMap, method: &str, path: &str) -> Result<CommandId, Problem> {
    let mut bytes = [0; 16];
    match headers.get("idempotency-key") {
        Some(value) => {
            let text = value.to_str().ok().filter(|text| (1..=255).contains(&text.len()));
            let text = text.ok_or_else(|| Problem::bad("Idempotency-Key must be 1 to 255 visible ASCII characters"))?;
            let digest = Sha256::digest(format!("{method} {path} {text}"));
            bytes.copy_from_slice(digest.get(..16).unwrap_or(&[0; 16]));
        }
        None => getrandom::fill(&mut bytes).map_err(|error| Problem::new(StatusCode::INTERNAL_SERVER_ERROR, "random", error.to_string()))?,
    }
    Ok(CommandId::from_bytes(bytes))
}

impl Api {
    /// The origin of a person's command.
    pub(super) fn origin(&self, command: CommandId, user: Option<&str>, witness: Option<String>) -> Origin {
        let now = self.clock.now();
        Origin {
            command,
            principal: Principal::Person(user.unwrap_or("api").to_owned()),
            witness,
            place: Some("http".to_owned()),
            correlation: command,
            causation: None,
            device_time: None,
            received: now,
            now,
            device: None,
        }
    }

    /// The answer to a command: its events, those of the first time when it is repeated.
    pub(super) fn answer(&self, stream: &StreamId, command: CommandId, outcome: &Outcome, status: StatusCode) -> Response {
        match outcome {
            Outcome::Done(_) => (status, Json(serde_json::json!({ "events": self.history.of_command(stream, command) }))).into_response(),
            // The first answer again, word for word; the header tells whoever wants to know.
            Outcome::Repeated => (status, [("idempotency-replayed", "true")], Json(serde_json::json!({ "events": self.history.of_command(stream, command) }))).into_response(),
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
    fn the_key_with_method_and_path_is_the_command_s_identity() {
        let mut headers = HeaderMap::new();
        headers.insert("idempotency-key", "k1".parse().unwrap());
        let once = key(&headers, "POST", "/a").ok().unwrap();
        assert_eq!(key(&headers, "POST", "/a").ok().unwrap(), once);
        assert_ne!(key(&headers, "POST", "/b").ok().unwrap(), once, "another resource is another command");
        assert_ne!(key(&HeaderMap::new(), "POST", "/a").ok().unwrap(), key(&HeaderMap::new(), "POST", "/a").ok().unwrap());
        headers.insert("idempotency-key", "".parse().unwrap());
        assert!(key(&headers, "POST", "/a").is_err());
    }
}
