//! Who may ask: the bearer token, compared in constant time; liveness and readiness are open.

use axum::extract::{Request, State};
use axum::http::{StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};

use super::problem::Problem;
use super::router::Api;

/// Whether two texts are equal, in a time that does not tell where they differ.
fn is_equal(a: &[u8], b: &[u8]) -> bool {
    let differing = a.iter().zip(b).fold(0_u8, |sum, (left, right)| sum | (left ^ right));
    a.len() == b.len() && differing == 0
}

/// A reader sees what was durable when it asked: read models are a moment behind, so it waits for them, but not for long.
pub(super) async fn fresh(State(api): State<Api>, request: Request, next: Next) -> Response {
    if request.method() == axum::http::Method::GET {
        let head = api.history.head();
        let mut changes = api.rows.changes();
        // Models that are far behind, as after a long stop, are shown as they are.
        let _ = tokio::time::timeout(std::time::Duration::from_millis(500), changes.wait_for(|applied| *applied >= head)).await;
    }
    next.run(request).await
}

pub(super) async fn guard(State(api): State<Api>, request: Request, next: Next) -> Response {
    let is_open = matches!(request.uri().path(), "/healthz" | "/readyz");
    let Some(token) = api.token.as_deref().filter(|_| !is_open) else { return next.run(request).await };
    let given = request.headers().get(header::AUTHORIZATION).and_then(|value| value.to_str().ok()).and_then(|value| value.strip_prefix("Bearer "));
    match given {
        Some(given) if is_equal(given.as_bytes(), token.as_bytes()) => next.run(request).await,
        _ => {
            let problem = Problem::new(StatusCode::UNAUTHORIZED, "unauthorized", "send the token of http.token_file as `Authorization: Bearer …`");
            ([(header::WWW_AUTHENTICATE, "Bearer")], problem).into_response()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_are_equal_or_not() {
        assert!(is_equal(b"abc", b"abc"));
        assert!(!is_equal(b"abc", b"abd") && !is_equal(b"abc", b"ab") && !is_equal(b"", b"a"));
    }
}
