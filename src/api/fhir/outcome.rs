//! Errors as OperationOutcome: every problem of a path below `/fhir/` becomes one.

use axum::body::{Body, to_bytes};
use axum::extract::Request;
use axum::http::{StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use serde_json::{Value, json};

use super::MEDIA_TYPE;
use crate::api::problem::Problem;
use crate::kernel::limits;

/// The word of the standard for a problem (FHIR R4, IssueType).
fn issue_type(status: StatusCode, kind: &str) -> &'static str {
    match (status, kind) {
        (StatusCode::UNAUTHORIZED, _) => "login",
        (StatusCode::FORBIDDEN, _) => "forbidden",
        (StatusCode::NOT_FOUND, _) => "not-found",
        (StatusCode::METHOD_NOT_ALLOWED | StatusCode::NOT_ACCEPTABLE, _) => "not-supported",
        (_, "too_costly") => "too-costly",
        (_, "several") => "multiple-matches",
        (StatusCode::PRECONDITION_FAILED, _) => "conflict",
        (_, "possible_duplicate") => "duplicate",
        (StatusCode::CONFLICT, _) => "business-rule",
        (StatusCode::SERVICE_UNAVAILABLE, _) => "transient",
        (status, _) if status.is_server_error() => "exception",
        _ => "invalid",
    }
}

/// An outcome; `place` is a path in a resource, or a search parameter as `http.name` (FHIR R4, OperationOutcome.issue.location).
fn outcome(status: StatusCode, kind: &str, text: &str, place: Option<&str>) -> Value {
    let mut issue = json!({ "severity": "error", "code": issue_type(status, kind), "details": { "text": text } });
    if let Some(place) = place {
        issue["expression"] = json!([place]);
    }
    json!({ "resourceType": "OperationOutcome", "issue": [issue] })
}

/// A problem as an outcome.
pub(super) fn of(problem: &Problem) -> Value {
    let status = StatusCode::from_u16(problem.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    outcome(status, problem.kind.rsplit(':').next().unwrap_or_default(), &problem.detail, problem.place.as_deref())
}

/// Turns problems of FHIR's paths into outcomes.
pub(in crate::api) async fn as_outcome(request: Request, next: Next) -> Response {
    let is_ours = request.uri().path().starts_with("/fhir/");
    let response = next.run(request).await;
    let is_problem = response.headers().get(header::CONTENT_TYPE).is_some_and(|kind| kind == "application/problem+json");
    if !is_ours || !is_problem {
        return response;
    }
    let status = response.status();
    let (mut parts, body) = response.into_parts();
    let problem: Value = to_bytes(body, limits::HTTP_BODY_BYTES).await.ok().and_then(|bytes| serde_json::from_slice(&bytes).ok()).unwrap_or_default();
    let text = |name: &str| problem.get(name).and_then(Value::as_str).unwrap_or_default();
    let kind = text("type").rsplit(':').next().unwrap_or_default();
    let place = problem.get("place").and_then(Value::as_str);
    parts.headers.remove(header::CONTENT_LENGTH);
    parts.headers.remove(header::CONTENT_TYPE);
    let body = outcome(status, kind, text("detail"), place).to_string();
    let mut answer = (status, [(header::CONTENT_TYPE, MEDIA_TYPE)], Body::from(body)).into_response();
    for (name, value) in &parts.headers {
        answer.headers_mut().append(name, value.clone());
    }
    answer
}
