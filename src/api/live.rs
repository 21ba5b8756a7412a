//! Pages that live: rendered here, sent again whenever something has changed, ended with their session. Who is newly shown is noted first.

use std::collections::BTreeSet;
use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use askama::Template;
use axum::http::{StatusCode, header};
use axum::response::sse::{Event, KeepAlive, Sse};
use axum::response::{Html, IntoResponse, Redirect, Response};
use tokio_stream::{
    Stream, StreamExt,
    wrappers::{IntervalStream, WatchStream},
};

use super::own;
use super::problem::Problem;
use super::state::Api;
use crate::access::Who;
use crate::domain::disclosure::Record;
use crate::kernel::Mrn;

/// Whether a session goes on is looked at so often.
const LOOK_EVERY: Duration = Duration::from_secs(15);
/// A page is sent again at most so often.
const EVERY: Duration = Duration::from_millis(1_000);

/// The whole page.
#[derive(Template)]
#[template(path = "page.html")]
struct Page<'a> {
    name: &'a str,
    /// Who is signed in; nobody in an open house.
    user: &'a str,
    /// Where the newest comes from.
    source: &'a str,
    board: String,
}

/// What changes, and the patients whom it shows.
pub(super) struct Rendered {
    pub(super) html: String,
    pub(super) patients: BTreeSet<Mrn>,
}

/// Renders for somebody what they may see now.
pub(super) type Render = Arc<dyn Fn(&Api, &Who) -> Rendered + Send + Sync>;

/// The record of those whom a page shows and did not show before.
async fn note(api: &Api, who: &Who, patients: Vec<Mrn>) -> Result<(), Problem> {
    api.shown_list(&api.gate.own(who), Record::Board, patients).await
}

/// The page; whoever must do something first is led there.
pub(super) async fn page(api: &Api, who: &Who, render: &Render, source: &str) -> Response {
    if who.duty.is_some() {
        return Redirect::to(own::next(who.duty)).into_response();
    }
    // Whoever loads a page sees what they have just done.
    let _ = api.caught_up().await;
    let Rendered { html, patients } = render(api, who);
    if let Err(problem) = note(api, who, patients.into_iter().collect()).await {
        return problem.into_response();
    }
    let staff = api.gate.staff();
    let user = who.user.as_ref().and_then(|user| staff.get(user)).map(|user| user.name.clone()).unwrap_or_default();
    match (Page { name: &api.name, user: &user, source, board: html }).render() {
        Ok(html) => {
            let policy = "default-src 'self'; style-src 'self'; script-src 'self'; frame-ancestors 'none'";
            ([(header::CONTENT_SECURITY_POLICY, policy), (header::CACHE_CONTROL, "no-store")], Html(html)).into_response()
        }
        Err(error) => (StatusCode::INTERNAL_SERVER_ERROR, error.to_string()).into_response(),
    }
}

/// The same again and again, as server-sent events.
pub(super) fn follow(api: Api, who: Who, render: Render) -> Sse<impl Stream<Item = Result<Event, Infallible>>> {
    let mut stop = api.stop.clone();
    // Also when nothing changes, so that a page does not outlive its session.
    let beats = IntervalStream::new(tokio::time::interval(LOOK_EVERY)).map(|_| ());
    let changes = WatchStream::new(api.rows.changes()).throttle(EVERY).map(|_| ()).merge(beats);
    let noted = Arc::new(tokio::sync::Mutex::new(BTreeSet::new()));
    let stream = changes.then(move |()| {
        let (api, who, noted, render) = (api.clone(), who.clone(), noted.clone(), render.clone());
        async move { Ok(next(&api, &who, &render, &mut *noted.lock().await).await) }
    });
    let until_stop = async move {
        // A closed channel means the same.
        let _ = stop.wait_for(|stop| *stop).await;
    };
    Sse::new(take_until(stream, until_stop)).keep_alive(KeepAlive::new().interval(Duration::from_secs(15)))
}

/// The page as it is now, or that the session has ended.
async fn next(api: &Api, who: &Who, render: &Render, noted: &mut BTreeSet<Mrn>) -> Event {
    let Some(who) = api.gate.still(who).filter(|who| who.duty.is_none()) else { return Event::default().event("signed-out").data("-") };
    let Rendered { html, patients } = render(api, &who);
    let new: Vec<Mrn> = patients.difference(noted).cloned().collect();
    if note(api, &who, new.clone()).await.is_err() {
        return Event::default().comment("the journal takes nothing");
    }
    noted.extend(new);
    Event::default().event("board").data(html.replace(['\r', '\n'], " "))
}

/// A stream that ends when a future does: open pages must not hold up a shutdown.
fn take_until<S: Stream>(stream: S, end: impl Future<Output = ()>) -> impl Stream<Item = S::Item> {
    let mut stream = Box::pin(stream);
    let mut end = Box::pin(end);
    futures_stream(move |context| if end.as_mut().poll(context).is_ready() { std::task::Poll::Ready(None) } else { stream.as_mut().poll_next(context) })
}

struct PollFn<F>(F);

impl<F: Unpin, T> Stream for PollFn<F>
where
    F: FnMut(&mut std::task::Context<'_>) -> std::task::Poll<Option<T>>,
{
    type Item = T;
    fn poll_next(mut self: std::pin::Pin<&mut Self>, context: &mut std::task::Context<'_>) -> std::task::Poll<Option<T>> {
        (self.0)(context)
    }
}

fn futures_stream<F, T>(poll: F) -> PollFn<F>
where
    F: FnMut(&mut std::task::Context<'_>) -> std::task::Poll<Option<T>>,
{
    PollFn(poll)
}
