//! `?at=`: a thing as it was at an instant.

use axum::extract::{FromRequestParts, Query};
use axum::http::request::Parts;
use serde::Deserialize;

use super::problem::Problem;
use crate::kernel::Timestamp;

/// The instant that is asked for; none for now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Instant(pub(super) Option<Timestamp>);

#[derive(Deserialize)]
struct Asked {
    #[serde(default)]
    at: Option<String>,
}

impl<S: Send + Sync> FromRequestParts<S> for Instant {
    type Rejection = Problem;
    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let Query(asked) = Query::<Asked>::from_request_parts(parts, state).await.map_err(|error| Problem::bad(error.body_text()))?;
        let instant = asked.at.map(|text| text.parse::<Timestamp>()).transpose();
        instant.map(Instant).map_err(|error| Problem::bad(format!("at: {error}: an instant is written like 2026-11-21T12:00:00Z")))
    }
}
