//! The page to sign in with a browser: badge and PIN, or name and password.

use askama::Template;
use axum::Form;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{Html, IntoResponse, Redirect, Response};
use serde::Deserialize;

use super::guard::{Asking, Peer};
use super::own;
use super::session::{Proving, begin, cookie};
use super::state::Api;
use crate::access::Secret;

/// What a page of forms may load and where it may send to.
pub(super) const POLICY: &str = "default-src 'none'; style-src 'self'; form-action 'self'; frame-ancestors 'none'";

#[derive(Template)]
#[template(path = "login.html")]
struct Login<'a> {
    name: &'a str,
    problem: &'a str,
    stations: Vec<&'a str>,
    station: &'a str,
    /// What people call the identity provider; empty without one.
    provider: &'a str,
}

/// What the form sends.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Sent {
    user: String,
    password: Option<Secret>,
    code: String,
    badge: Option<Secret>,
    pin: Option<Secret>,
    station: String,
}

fn page(api: &Api, status: StatusCode, problem: &str, station: &str) -> Response {
    let stations = api.gate.house().stations.keys().map(String::as_str).collect();
    match (Login { name: &api.name, problem, stations, station, provider: api.provider.as_ref().map_or("", |provider| provider.name()) }).render() {
        Ok(html) => (status, [(header::CONTENT_SECURITY_POLICY, POLICY), (header::CACHE_CONTROL, "no-store")], Html(html)).into_response(),
        Err(error) => (StatusCode::INTERNAL_SERVER_ERROR, error.to_string()).into_response(),
    }
}

/// The page.
pub(super) async fn show(State(api): State<Api>, from: Peer) -> Response {
    page(&api, StatusCode::OK, "", api.gate.station_at(from.0).unwrap_or_default())
}

/// The page with what went wrong elsewhere.
pub(super) fn refused(api: &Api, from: Peer, status: StatusCode, problem: &str) -> Response {
    page(api, status, problem, api.gate.station_at(from.0).unwrap_or_default())
}

/// Signs in and leads to the board, or to what must be done first; what went wrong is said on the page.
pub(super) async fn sign_in(State(api): State<Api>, from: Peer, Form(sent): Form<Sent>) -> Response {
    let code = Some(sent.code).filter(|code| !code.trim().is_empty());
    let station = Some(sent.station.clone()).filter(|station| !station.is_empty());
    let proving = match (sent.badge, sent.pin, sent.password) {
        (Some(badge), Some(pin), _) => Proving::with_badge(badge, pin, station),
        (_, _, Some(password)) => Proving::with_password(sent.user, password, code, station),
        _ => return page(&api, StatusCode::BAD_REQUEST, "scan the badge and type the PIN, or type name and password", &sent.station),
    };
    let signed_in = match begin(&api, proving, from).await {
        Ok(signed_in) => signed_in,
        Err(answer) => return page(&api, answer.status(), &problem_of(answer).await, &sent.station),
    };
    match cookie(signed_in.token.show(), api.is_tls) {
        Some(cookie) => ([(header::SET_COOKIE, cookie)], Redirect::to(own::next(signed_in.duty))).into_response(),
        None => StatusCode::INTERNAL_SERVER_ERROR.into_response(),
    }
}

/// The sentence of an answer.
pub(super) async fn problem_of(answer: Response) -> String {
    let body = axum::body::to_bytes(answer.into_body(), 64 << 10).await.unwrap_or_default();
    let value: serde_json::Value = serde_json::from_slice(&body).unwrap_or_default();
    value.get("detail").and_then(serde_json::Value::as_str).unwrap_or("this could not be done").to_owned()
}

/// Signs out and leads to the page to sign in.
pub(super) async fn sign_out(State(api): State<Api>, Asking(who): Asking) -> Response {
    api.gate.sign_out(&who).await;
    Redirect::to("/login").into_response()
}
