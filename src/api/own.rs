//! The pages for one's own password and second factor: whoever signs in with a password that somebody else knows comes here first.

use askama::Template;
use axum::Form;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{Html, IntoResponse, Redirect, Response};
use serde::Deserialize;

use super::command::{Body, Key};
use super::guard::Asking;
use super::login::{POLICY, problem_of};
use super::problem::Problem;
use super::session::{self, Own};
use super::state::Api;
use crate::access::{Duty, Secret, Who};

#[derive(Template)]
#[template(path = "own.html")]
struct Page<'a> {
    name: &'a str,
    problem: &'a str,
    /// The key of a second factor that is to be, and the same as a link; none on the page of the password.
    key: Option<(String, String)>,
}

/// What the forms send.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Sent {
    current: Option<Secret>,
    password: Option<Secret>,
    again: Option<Secret>,
    key: Option<Secret>,
    code: Option<String>,
}

/// Where somebody goes on: to what they must do first, else to the board.
pub(super) fn next(duty: Option<Duty>) -> &'static str {
    match duty {
        Some(Duty::ChangePassword) => "/password",
        Some(Duty::EnrolSecondFactor) => "/second-factor",
        None => "/",
    }
}

fn page(api: &Api, status: StatusCode, problem: &str, key: Option<(String, String)>) -> Response {
    match (Page { name: &api.name, problem, key }).render() {
        Ok(html) => (status, [(header::CONTENT_SECURITY_POLICY, POLICY), (header::CACHE_CONTROL, "no-store")], Html(html)).into_response(),
        Err(error) => (StatusCode::INTERNAL_SERVER_ERROR, error.to_string()).into_response(),
    }
}

/// What went wrong, for the page; none when it was done.
async fn problem(done: Result<Response, Problem>) -> Option<(StatusCode, String)> {
    let answer = done.unwrap_or_else(IntoResponse::into_response);
    let status = answer.status();
    if status.is_success() { None } else { Some((status, problem_of(answer).await)) }
}

fn duty_now(api: &Api, who: &Who) -> Option<Duty> {
    api.gate.still(who).and_then(|who| who.duty)
}

/// The page of the password.
pub(super) async fn password_page(State(api): State<Api>, Asking(who): Asking) -> Response {
    let why = who.duty.filter(|duty| *duty == Duty::ChangePassword).map(|_| "Somebody else knows your password: set your own.");
    page(&api, StatusCode::OK, why.unwrap_or_default(), None)
}

/// Sets the password.
pub(super) async fn password(State(api): State<Api>, Asking(who): Asking, key: Key, Form(sent): Form<Sent>) -> Response {
    if sent.password != sent.again {
        return page(&api, StatusCode::UNPROCESSABLE_ENTITY, "The two new passwords are not the same; nothing was changed.", None);
    }
    let own = Own { current_password: sent.current, password: sent.password, ..Own::default() };
    match problem(session::password(State(api.clone()), Asking(who.clone()), key, Body(own)).await).await {
        None => Redirect::to(next(duty_now(&api, &who))).into_response(),
        Some((status, text)) => page(&api, status, &text, None),
    }
}

/// The page of the second factor, with a new key.
pub(super) async fn factor_page(State(api): State<Api>, Asking(who): Asking) -> Response {
    let Some(user) = &who.user else { return Redirect::to("/").into_response() };
    match api.gate.new_second_factor(user) {
        Ok(key) => page(&api, StatusCode::OK, "", Some(key)),
        Err(weak) => Problem::weak(&weak).into_response(),
    }
}

/// Enrols the second factor; whoever has one signs in again with it.
pub(super) async fn factor(State(api): State<Api>, Asking(who): Asking, key: Key, Form(sent): Form<Sent>) -> Response {
    let Some(user) = who.user.clone() else { return Redirect::to("/").into_response() };
    let shown = sent.key.as_ref().map(|key| (key.show().to_owned(), api.gate.second_factor_link(&user, key.show())));
    let own = Own { current_password: sent.current, key: sent.key, code: sent.code, ..Own::default() };
    match problem(session::second_factor(State(api.clone()), Asking(who.clone()), key, Body(own)).await).await {
        None => {
            api.gate.sign_out(&who).await;
            Redirect::to("/login").into_response()
        }
        Some((status, text)) => page(&api, status, &text, shown),
    }
}
