//! A page that is made once: for the screen, and for paper.

use askama::Template;
use axum::http::header;
use axum::response::{Html, IntoResponse, Response};

use super::problem::Problem;

/// Only what is wardd's own is loaded, and nobody frames it.
const POLICY: &str = "default-src 'self'; style-src 'self'; frame-ancestors 'none'";

/// What is shown as a page.
pub(super) trait Show: Template {
    /// The page; no browser keeps it.
    fn page(&self) -> Result<Response, Problem> {
        let html = self.render().map_err(|error| Problem::unreadable(&error))?;
        Ok(([(header::CONTENT_SECURITY_POLICY, POLICY), (header::CACHE_CONTROL, "no-store")], Html(html)).into_response())
    }
}

impl<T: Template> Show for T {}
