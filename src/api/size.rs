//! How large a request may be, and an answer that who sent more can read.

use std::time::Duration;

use axum::body::Body;
use axum::extract::Request;
use axum::http::{StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use futures_util::StreamExt;

use super::problem::Problem;
use crate::kernel::limits;

/// So much of a body that is too large is still read, and so long: a client that is answered before it has sent all sees a broken connection.
const READ_AWAY: (usize, Duration) = (64 << 20, Duration::from_secs(10));

/// The largest body that this path takes, in bytes.
pub(super) fn most(path: &str) -> usize {
    if path.ends_with("/documents") { limits::DOCUMENT_BODY_BYTES } else { limits::HTTP_BODY_BYTES }
}

/// Refuses a body that says beforehand that it is too large.
pub(super) async fn sized(request: Request, next: Next) -> Response {
    let most = most(request.uri().path());
    let length = request.headers().get(header::CONTENT_LENGTH).and_then(|length| length.to_str().ok()?.parse::<usize>().ok());
    match length {
        Some(length) if length > most => {
            // Whoever is too slow sees the connection end.
            let _ = tokio::time::timeout(READ_AWAY.1, read_away(request.into_body())).await;
            too_large(most, &format!("has {length} bytes")).into_response()
        }
        _ => next.run(request).await,
    }
}

/// The answer to a body that is larger than that.
pub(super) fn too_large(most: usize, what: &str) -> Problem {
    let text = format!("the body {what}, and {most} are taken: send it in parts; a document is scanned with fewer dots per inch");
    Problem::new(StatusCode::PAYLOAD_TOO_LARGE, "invalid", text)
}

async fn read_away(body: Body) {
    let mut parts = body.into_data_stream();
    let mut read = 0;
    while let Some(Ok(part)) = parts.next().await {
        read += part.len();
        if read > READ_AWAY.0 {
            return;
        }
    }
}
