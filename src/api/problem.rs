//! Errors as `application/problem+json` (RFC 9457): what, and the way out.

use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use utoipa::ToSchema;

use crate::actor::Failure;
use crate::domain::Refusal;

/// An error for a client.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct Problem {
    /// A word for programs, such as `occupied`.
    #[serde(rename = "type")]
    pub kind: String,
    /// The status in words.
    pub title: String,
    /// The status.
    pub status: u16,
    /// What, and the way out.
    pub detail: String,
    /// Where in the request it is.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub place: Option<String>,
}

impl Problem {
    /// A problem of a status.
    pub fn new(status: StatusCode, kind: &str, detail: impl Into<String>) -> Self {
        Self {
            kind: format!("urn:wardd:problem:{kind}"),
            title: status.canonical_reason().unwrap_or("error").to_owned(),
            status: status.as_u16(),
            detail: detail.into(),
            place: None,
        }
    }

    /// The same, with the place in the request where it is.
    #[must_use]
    pub fn at(self, place: &str) -> Self {
        Self { place: Some(place.to_owned()), ..self }
    }

    /// There is no such thing.
    pub fn missing(what: &str, name: &str) -> Self {
        let way_out = if what == "action" { "/api/v1/openapi.json lists those there are" } else { "check the number" };
        Self::new(StatusCode::NOT_FOUND, "unknown", format!("there is no {what} {name}: {way_out}"))
    }

    /// The request is wrong.
    pub fn bad(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, "invalid", detail)
    }

    /// The body is JSON, and not what this request needs.
    pub fn unfit(error: &serde_json::Error) -> Self {
        Self::new(StatusCode::UNPROCESSABLE_ENTITY, "invalid", format!("the body is not what this request needs: {error}"))
    }

    /// A rule refused.
    pub fn refused(refusal: &Refusal) -> Self {
        Self::new(StatusCode::CONFLICT, &refusal.rule, refusal.message.clone())
    }

    /// What the log holds cannot be read.
    pub fn unreadable(error: &dyn std::fmt::Display) -> Self {
        Self::new(StatusCode::INTERNAL_SERVER_ERROR, "unavailable", error.to_string())
    }

    /// The answer with something more beside it (RFC 9457, 3.2).
    pub fn with(&self, name: &str, more: &impl Serialize) -> Response {
        let mut value = serde_json::to_value(self).unwrap_or_default();
        if let Some(map) = value.as_object_mut() {
            map.insert(name.to_owned(), serde_json::to_value(more).unwrap_or_default());
        }
        let status = StatusCode::from_u16(self.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        (status, [(header::CONTENT_TYPE, "application/problem+json")], value.to_string()).into_response()
    }

    /// It could not be tried.
    pub fn failed(failure: &Failure) -> Self {
        let status = match failure {
            Failure::TooLarge => StatusCode::PAYLOAD_TOO_LARGE,
            Failure::Busy | Failure::Full | Failure::Closed | Failure::Lost => StatusCode::SERVICE_UNAVAILABLE,
            Failure::Unreadable(_) => StatusCode::INTERNAL_SERVER_ERROR,
        };
        Self::new(status, "unavailable", failure.to_string())
    }
}

#[derive(askama::Template)]
#[template(path = "problem.html")]
struct Page<'a> {
    title: &'a str,
    detail: &'a str,
}

/// A person who is led to what they may not see, or what is not there, reads a sentence and finds the way back.
pub(super) async fn as_page(request: axum::extract::Request, next: axum::middleware::Next) -> Response {
    use askama::Template;
    let wants_page =
        request.method() == axum::http::Method::GET && request.headers().get(header::ACCEPT).is_some_and(|accept| accept.to_str().is_ok_and(|accept| accept.contains("text/html")));
    let response = next.run(request).await;
    let is_problem = response.headers().get(header::CONTENT_TYPE).is_some_and(|kind| kind == "application/problem+json");
    if !(wants_page && is_problem) {
        return response;
    }
    let status = response.status();
    let bytes = axum::body::to_bytes(response.into_body(), crate::kernel::limits::HTTP_BODY_BYTES).await.unwrap_or_default();
    let problem: serde_json::Value = serde_json::from_slice(&bytes).unwrap_or_default();
    let detail = problem.get("detail").and_then(serde_json::Value::as_str).unwrap_or("this cannot be shown");
    let page = Page { title: status.canonical_reason().unwrap_or("This cannot be shown"), detail }.render().unwrap_or_default();
    let policy = "default-src 'self'; style-src 'self'; frame-ancestors 'none'";
    (status, [(header::CONTENT_TYPE, "text/html; charset=utf-8"), (header::CONTENT_SECURITY_POLICY, policy), (header::CACHE_CONTROL, "no-store")], page).into_response()
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let status = StatusCode::from_u16(self.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let body = serde_json::to_string(&self).unwrap_or_default();
        (status, [(header::CONTENT_TYPE, "application/problem+json")], body).into_response()
    }
}
