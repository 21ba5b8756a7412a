//! Lists: which page is asked for, and a row with its key.

use axum::extract::Query;
use serde::{Deserialize, Serialize};

use super::problem::Problem;
use crate::kernel::limits;

/// A page of a list.
#[derive(Debug, Deserialize)]
pub(super) struct PageQuery {
    /// The key to begin with.
    #[serde(default)]
    pub(super) from: String,
    /// How many; 500 at most.
    #[serde(default)]
    pub(super) limit: Option<usize>,
}

impl PageQuery {
    pub(super) fn rows(&self) -> usize {
        self.limit.unwrap_or(100).clamp(1, limits::PAGE_ROWS)
    }
}

/// The query of a list; the error is a problem.
pub(super) struct Page(pub(super) PageQuery);

impl<S: Send + Sync> axum::extract::FromRequestParts<S> for Page {
    type Rejection = Problem;
    async fn from_request_parts(parts: &mut axum::http::request::Parts, state: &S) -> Result<Self, Problem> {
        let query = Query::<PageQuery>::from_request_parts(parts, state).await;
        query.map(|Query(page)| Page(page)).map_err(|_| Problem::bad("a list is asked for with `from` (a key) and `limit` (a number up to 500)"))
    }
}

/// A row with its key beside it.
pub(super) fn keyed<R: Serialize>(name: &str, (key, row): (String, R)) -> serde_json::Value {
    let mut value = serde_json::to_value(row).unwrap_or_default();
    if let Some(map) = value.as_object_mut() {
        map.insert(name.to_owned(), key.into());
    }
    value
}
