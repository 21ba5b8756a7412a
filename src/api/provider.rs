//! Signing in at the hospital's identity provider: there, and back.

use askama::Template;
use axum::extract::{Query, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{Html, IntoResponse, Redirect, Response};
use serde::Deserialize;

use super::guard::Peer;
use super::login::{self, POLICY};
use super::problem::Problem;
use super::session::cookie;
use super::state::Api;
use crate::access::{Denied, ProviderError};

/// Where a browser comes back to.
pub const PROVIDER_BACK: &str = "/login/provider/back";
/// The cookie that ties what comes back to the browser that began. Lax: the browser comes from another site.
const BEGUN: &str = "wardd_login";

const SLOW: &str = "the identity provider is slow, and many wait for it: try again in a moment, or sign in by badge or password meanwhile";

/// Leads on by the browser itself: a cookie for our own pages alone is not sent where another site has led.
#[derive(Template)]
#[template(path = "onward.html")]
struct Onward;

/// What the provider sends back.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Back {
    state: String,
    code: String,
    error: String,
    error_description: String,
}

fn begun_cookie(state: &str, seconds: u32, is_tls: bool) -> String {
    let secure = if is_tls { "; Secure" } else { "" };
    format!("{BEGUN}={state}; Path=/login; HttpOnly; SameSite=Lax; Max-Age={seconds}{secure}")
}

/// Leads to the provider.
pub(super) async fn begin(State(api): State<Api>, from: Peer) -> Response {
    let Some(provider) = api.provider.clone() else { return Redirect::to("/login").into_response() };
    if let Err(denied) = api.gate.knock(from.0) {
        let answer = Problem::denied(&denied);
        let status = answer.status();
        return login::refused(&api, from, status, &login::problem_of(answer).await);
    }
    let Some(_place) = provider.question() else { return login::refused(&api, from, StatusCode::BAD_GATEWAY, SLOW) };
    let station = api.gate.station_at(from.0).map(str::to_owned);
    match tokio::task::spawn_blocking(move || provider.begin(station)).await {
        Ok(Ok(begun)) => ([(header::SET_COOKIE, begun_cookie(&begun.state, 600, api.is_tls))], Redirect::to(&begun.address)).into_response(),
        Ok(Err(error)) => login::refused(&api, from, StatusCode::BAD_GATEWAY, &error.to_string()),
        Err(error) => login::refused(&api, from, StatusCode::INTERNAL_SERVER_ERROR, &error.to_string()),
    }
}

/// Whether this browser began it.
fn began(headers: &HeaderMap, state: &str) -> bool {
    let cookies = headers.get_all(header::COOKIE).iter().filter_map(|value| value.to_str().ok()).flat_map(|value| value.split(';'));
    let mut mine = cookies.filter_map(|pair| pair.trim().split_once('=')).filter(|(name, _)| *name == BEGUN);
    !state.is_empty() && mine.any(|(_, value)| value == state)
}

/// The provider has led back: who they are there is signed in here, if there is such a user.
pub(super) async fn back(State(api): State<Api>, from: Peer, headers: HeaderMap, back: Result<Query<Back>, axum::extract::rejection::QueryRejection>) -> Response {
    let Some(provider) = api.provider.clone() else { return Redirect::to("/login").into_response() };
    let Ok(Query(back)) = back else { return login::refused(&api, from, StatusCode::BAD_REQUEST, &ProviderError::Unknown.to_string()) };
    if !began(&headers, &back.state) {
        return login::refused(&api, from, StatusCode::FORBIDDEN, &ProviderError::Unknown.to_string());
    }
    if !back.error.is_empty() {
        let why = if back.error_description.is_empty() { back.error } else { back.error_description };
        return login::refused(&api, from, StatusCode::FORBIDDEN, &ProviderError::Refused(why).to_string());
    }
    let Some(_place) = provider.question() else { return login::refused(&api, from, StatusCode::BAD_GATEWAY, SLOW) };
    let vouched = match tokio::task::spawn_blocking(move || provider.finish(&back.state, &back.code)).await {
        Ok(Ok(vouched)) => vouched,
        Ok(Err(error @ ProviderError::Unusable(_))) => return login::refused(&api, from, StatusCode::BAD_GATEWAY, &error.to_string()),
        Ok(Err(error)) => return login::refused(&api, from, StatusCode::FORBIDDEN, &error.to_string()),
        Err(error) => return login::refused(&api, from, StatusCode::INTERNAL_SERVER_ERROR, &error.to_string()),
    };
    let signed_in = match api.gate.sign_in_by(&vouched, from.0).await {
        Ok(signed_in) => signed_in,
        Err(Denied::Wrong) => {
            let text = format!("the identity provider says that you are {}, and there is no such user here: ask whoever manages users", vouched.user);
            return login::refused(&api, from, StatusCode::FORBIDDEN, &text);
        }
        Err(denied) => {
            let answer = Problem::denied(&denied);
            let status = answer.status();
            let text = login::problem_of(answer).await;
            return login::refused(&api, from, status, &text);
        }
    };
    let (Some(session), Ok(html)) = (cookie(signed_in.token.show(), api.is_tls), Onward.render()) else { return StatusCode::INTERNAL_SERVER_ERROR.into_response() };
    let mut response = ([(header::CONTENT_SECURITY_POLICY, POLICY), (header::CACHE_CONTROL, "no-store")], Html(html)).into_response();
    response.headers_mut().append(header::SET_COOKIE, session);
    if let Ok(over) = begun_cookie("", 0, api.is_tls).parse() {
        response.headers_mut().append(header::SET_COOKIE, over);
    }
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_browser_that_began_may_come_back() {
        let headers = |cookie: &str| [(header::COOKIE, cookie.parse().unwrap())].into_iter().collect::<HeaderMap>();
        assert!(began(&headers("a=b; wardd_login=s1"), "s1"));
        assert!(!began(&headers("wardd_login=s2"), "s1"));
        assert!(!began(&headers("a=s1"), "s1"));
        assert!(!began(&headers("wardd_login="), ""));
        assert!(!began(&HeaderMap::new(), "s1"));
    }
}
