//! Who may ask: the bearer token, compared in constant time; liveness and readiness are open.

use axum::extract::{Request, State};
use axum::http::{StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use base64::Engine;

use super::problem::Problem;
use super::state::Api;

/// Whether two texts are equal, in a time that does not tell where they differ.
fn is_equal(a: &[u8], b: &[u8]) -> bool {
    let differing = a.iter().zip(b).fold(0_u8, |sum, (left, right)| sum | (left ^ right));
    a.len() == b.len() && differing == 0
}

/// A reader sees what was durable when it asked: read models are a moment behind, so it waits for them, but not for long.
pub(super) async fn fresh(State(api): State<Api>, request: Request, next: Next) -> Response {
    if request.method() == axum::http::Method::GET {
        api.caught_up().await;
    }
    next.run(request).await
}

impl Api {
    /// Waits a moment for the read models; those that are far behind, as after a long stop, are looked at as they are.
    pub(super) async fn caught_up(&self) {
        let head = self.history.head();
        let mut changes = self.rows.changes();
        let _ = tokio::time::timeout(std::time::Duration::from_millis(500), changes.wait_for(|applied| *applied >= head)).await;
    }
}

/// The token of a header: a program's bearer token (RFC 6750), or what a person typed as the password (RFC 7617).
fn credential(header: &str) -> Option<String> {
    let (scheme, value) = header.split_once(' ')?;
    match scheme.to_ascii_lowercase().as_str() {
        "bearer" => Some(value.trim().to_owned()),
        "basic" => {
            let bytes = base64::engine::general_purpose::STANDARD.decode(value.trim()).ok()?;
            Some(String::from_utf8(bytes).ok()?.split_once(':')?.1.to_owned())
        }
        _ => None,
    }
}

pub(super) async fn guard(State(api): State<Api>, request: Request, next: Next) -> Response {
    let is_open = matches!(request.uri().path(), "/healthz" | "/readyz");
    let Some(token) = api.token.as_deref().filter(|_| !is_open) else { return next.run(request).await };
    let given = request.headers().get(header::AUTHORIZATION).and_then(|value| value.to_str().ok()).and_then(credential);
    match given {
        Some(given) if is_equal(given.as_bytes(), token.as_bytes()) => next.run(request).await,
        _ => {
            let text = "send the token of http.token_file as `Authorization: Bearer …`; a browser asks for it as the password";
            let problem = Problem::new(StatusCode::UNAUTHORIZED, "unauthorized", text);
            ([(header::WWW_AUTHENTICATE, "Basic realm=\"wardd\", charset=\"UTF-8\"")], problem).into_response()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn programs_send_a_bearer_token_and_browsers_a_password() {
        assert_eq!(credential("Bearer secret").as_deref(), Some("secret"));
        assert_eq!(credential("Basic bnVyc2U6c2VjcmV0OjE=").as_deref(), Some("secret:1"), "a password may hold a colon");
        for wrong in ["secret", "Digest secret", "Basic %%%", "Basic bnVyc2U="] {
            assert_eq!(credential(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn tokens_are_equal_or_not() {
        assert!(is_equal(b"abc", b"abc"));
        assert!(!is_equal(b"abc", b"abd") && !is_equal(b"abc", b"ab") && !is_equal(b"", b"a"));
    }
}
