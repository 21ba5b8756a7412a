//! Who asks: the token of a program or the session of a person, looked up before any handler runs. What needs nobody stands in
//! [`OPEN`].

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use axum::extract::connect_info::Connected;
use axum::extract::{ConnectInfo, FromRequestParts, Request, State};
use axum::http::request::Parts;
use axum::http::{HeaderMap, Method, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Redirect, Response};
use axum::serve::IncomingStream;

use super::problem::Problem;
use super::server::TlsListener;
use super::state::Api;
use crate::access::{Refused, Who};

/// The cookie of a browser's session.
pub(super) const COOKIE: &str = "wardd_session";

/// What anybody may ask: whether wardd lives, the page to sign in, and what signs somebody in.
pub(super) const OPEN: &[(&str, &str)] = &[
    ("GET", "/healthz"),
    ("GET", "/readyz"),
    ("GET", "/style.css"),
    ("GET", "/login"),
    ("POST", "/login"),
    ("GET", "/login/provider"),
    ("GET", super::provider::PROVIDER_BACK),
    ("GET", "/api/v1/openapi.json"),
    ("GET", "/fhir/R4/metadata"),
    ("POST", "/api/v1/session"),
    ("POST", "/api/v1/first-run"),
    ("POST", "/api/v1/witnesses"),
];

/// The address of a client.
#[derive(Debug, Clone, Copy)]
pub(super) struct Peer(pub(super) IpAddr);

impl Connected<IncomingStream<'_, tokio::net::TcpListener>> for Peer {
    fn connect_info(stream: IncomingStream<'_, tokio::net::TcpListener>) -> Self {
        Peer(stream.remote_addr().ip())
    }
}

impl Connected<IncomingStream<'_, TlsListener>> for Peer {
    fn connect_info(stream: IncomingStream<'_, TlsListener>) -> Self {
        let address: &SocketAddr = stream.remote_addr();
        Peer(address.ip())
    }
}

impl<S: Send + Sync> FromRequestParts<S> for Peer {
    type Rejection = Problem;
    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Problem> {
        // Without an address all share one limit.
        Ok(parts.extensions.get::<ConnectInfo<Peer>>().map_or(Peer(Ipv4Addr::UNSPECIFIED.into()), |ConnectInfo(peer)| *peer))
    }
}

/// Who asks, for a handler.
pub(super) struct Asking(pub(super) Who);

impl<S: Send + Sync> FromRequestParts<S> for Asking {
    type Rejection = Problem;
    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Problem> {
        parts.extensions.get::<Who>().cloned().map(Asking).ok_or_else(|| Problem::refused_access(&Refused::NotSignedIn))
    }
}

/// A reader sees what was durable when it asked: read models are a moment behind, so it waits for them, but not for long.
pub(super) async fn fresh(State(api): State<Api>, request: Request, next: Next) -> Response {
    if request.method() == Method::GET {
        let _ = api.caught_up().await;
    }
    next.run(request).await
}

impl Api {
    /// Waits a moment for the read models; whether they have come. Those that are far behind, as after a long stop, are looked at as
    /// they are, but not for who may do what.
    pub(super) async fn caught_up(&self) -> bool {
        let head = self.history.head();
        let mut changes = self.rows.changes();
        if self.rows.applied() < head {
            self.rows.hurry();
        }
        let waited = tokio::time::timeout(std::time::Duration::from_millis(500), changes.wait_for(|applied| *applied >= head)).await;
        waited.is_ok()
    }
}

/// What somebody shows to say who they are.
#[derive(Debug, PartialEq, Eq)]
enum Shown<'a> {
    /// A token that a program sends with each request (RFC 6750).
    Token(&'a str),
    /// A cookie that a browser sends by itself, also when another site makes it ask.
    Cookie(&'a str),
}

fn shown(headers: &HeaderMap) -> Option<Shown<'_>> {
    if let Some(value) = headers.get(header::AUTHORIZATION) {
        let (scheme, token) = value.to_str().ok()?.split_once(' ')?;
        return scheme.eq_ignore_ascii_case("bearer").then(|| Shown::Token(token.trim()));
    }
    let cookies = headers.get_all(header::COOKIE).iter().filter_map(|value| value.to_str().ok()).flat_map(|value| value.split(';'));
    cookies.filter_map(|pair| pair.trim().split_once('=')).find(|(name, _)| *name == COOKIE).map(|(_, token)| Shown::Cookie(token))
}

/// The password of whoever signs in with a name and a password (RFC 7617): calendar programs know no other way.
fn password(headers: &HeaderMap) -> Option<String> {
    use base64::Engine as _;
    let (scheme, pair) = headers.get(header::AUTHORIZATION)?.to_str().ok()?.split_once(' ')?;
    let pair = scheme.eq_ignore_ascii_case("basic").then(|| base64::engine::general_purpose::STANDARD.decode(pair.trim()).ok()).flatten()?;
    String::from_utf8(pair).ok()?.split_once(':').map(|(_, password)| password.to_owned())
}

/// Whether a browser asks from a page of ours: another site may make it ask, but not say so.
fn is_from_our_page(headers: &HeaderMap) -> bool {
    let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
    match (text("sec-fetch-site"), text("origin"), text("host")) {
        (Some(site), _, _) => site == "same-origin",
        (None, Some(origin), Some(host)) => origin.split_once("://").is_some_and(|(_, place)| place == host),
        _ => false,
    }
}

/// Whether a person looks at it, with a browser.
fn wants_page(headers: &HeaderMap) -> bool {
    headers.get(header::ACCEPT).and_then(|accept| accept.to_str().ok()).is_some_and(|accept| accept.contains("text/html"))
}

pub(super) async fn guard(State(api): State<Api>, mut request: Request, next: Next) -> Response {
    let (method, path) = (request.method().as_str(), request.uri().path());
    let is_open = OPEN.contains(&(method, path));
    let is_page = request.method() == Method::GET && !path.starts_with("/api/") && path != "/metrics";
    let calendar = if path.ends_with("/calendar.ics") { password(request.headers()) } else { None };
    let shown = shown(request.headers());
    let changes = !request.method().is_safe();
    if changes && !is_open && matches!(shown, Some(Shown::Cookie(_))) && !is_from_our_page(request.headers()) {
        let text = "this comes from another site's page: do it on wardd's own page, or send a token";
        return Problem::new(StatusCode::FORBIDDEN, "cross_site", text).into_response();
    }
    let token = match shown {
        Some(Shown::Token(token) | Shown::Cookie(token)) => Some(token),
        None => calendar.as_deref(),
    };
    // A page that shows the newest by itself is no use of a session.
    let is_by_itself = path.ends_with("/events") || path == "/emergency" || path.ends_with("/display");
    match api.gate.who(token, !is_by_itself) {
        Ok(who) if who.scopes.is_some() && !path.starts_with("/fhir/") => {
            let text = "this token has scopes of FHIR and is good for /fhir/R4 alone: use another for this";
            Problem::new(StatusCode::FORBIDDEN, "fhir_only", text).into_response()
        }
        Ok(who) => {
            request.extensions_mut().insert(who);
            next.run(request).await
        }
        Err(_) if is_open => next.run(request).await,
        Err(_) if is_page && !path.starts_with("/fhir/") && (["/", "/beds", "/emergency", "/password", "/second-factor"].contains(&path) || wants_page(request.headers())) => {
            Redirect::to("/login").into_response()
        }
        Err(refused) => Problem::refused_access(&refused).into_response(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(pairs: &[(&'static str, &str)]) -> HeaderMap {
        pairs.iter().map(|(name, value)| (header::HeaderName::from_static(name), value.parse().unwrap())).collect()
    }

    #[test]
    fn programs_send_a_bearer_token_and_browsers_a_cookie() {
        let cases = [
            (&[("authorization", "Bearer secret")][..], Some(Shown::Token("secret"))),
            (&[("authorization", "bearer  secret ")], Some(Shown::Token("secret"))),
            (&[("authorization", "Basic bnVyc2U6c2VjcmV0")], None),
            (&[("authorization", "secret")], None),
            (&[("cookie", "a=b; wardd_session=tok")], Some(Shown::Cookie("tok"))),
            (&[("cookie", "a=b"), ("cookie", "wardd_session=tok")], Some(Shown::Cookie("tok"))),
            (&[("cookie", "wardd_session")], None),
            (&[("authorization", "Basic x"), ("cookie", "wardd_session=tok")], None),
            (&[], None),
        ];
        for (pairs, expected) in cases {
            let mut headers = HeaderMap::new();
            for (name, value) in pairs {
                headers.append(header::HeaderName::from_static(name), value.parse().unwrap());
            }
            assert_eq!(shown(&headers), expected, "{pairs:?}");
        }
    }

    #[test]
    fn a_calendar_program_sends_the_token_as_password() {
        let of = |value: &str| password(&headers(&[("authorization", value)]));
        assert_eq!(of("Basic YW55OnRvLWtlbg==").as_deref(), Some("to-ken"));
        for wrong in ["Basic YW55", "Basic !", "Bearer YW55OnRvLWtlbg==", "Basic"] {
            assert_eq!(of(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn another_site_s_page_is_told_from_ours() {
        let cases = [
            (&[("sec-fetch-site", "same-origin"), ("origin", "https://evil"), ("host", "w")][..], true),
            (&[("sec-fetch-site", "cross-site"), ("origin", "https://w"), ("host", "w")], false),
            (&[("sec-fetch-site", "same-site")], false),
            (&[("origin", "https://wardd:8443"), ("host", "wardd:8443")], true),
            (&[("origin", "https://wardd:8444"), ("host", "wardd:8443")], false),
            (&[("origin", "null"), ("host", "wardd")], false),
            (&[("host", "wardd")], false),
        ];
        for (pairs, expected) in cases {
            assert_eq!(is_from_our_page(&headers(pairs)), expected, "{pairs:?}");
        }
    }
}
