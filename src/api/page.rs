//! The first page: devices, beds, cabinets and specimens, rendered here and sent again whenever something has changed.

use std::convert::Infallible;
use std::time::Duration;

use askama::Template;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::sse::{Event, KeepAlive, Sse};
use axum::response::{Html, IntoResponse, Response};
use tokio_stream::{Stream, StreamExt, wrappers::WatchStream};

use super::beds;
use super::devices::configured;
use super::state::Api;
use crate::domain::specimen::Stage;
use crate::kernel::Timestamp;
use crate::projection::{BedRow, CabinetRow};

/// A page shows so many specimens and items.
const SHOWN: usize = 12;
/// A page is sent again at most so often.
const EVERY: Duration = Duration::from_millis(1_000);

/// The whole page.
#[derive(Template)]
#[template(path = "page.html")]
struct Page<'a> {
    name: &'a str,
    board: String,
}

struct DeviceLine {
    name: String,
    state: &'static str,
    last: String,
    accepted: u64,
    held: u64,
    noise: u64,
    skew: String,
}

struct BedLine {
    bed: String,
    state: &'static str,
    patient: String,
    since: String,
    isolation: String,
}

struct PocketLine {
    pocket: String,
    item: String,
    balance: String,
    state: &'static str,
}

struct CabinetLine {
    name: String,
    pockets: Vec<PocketLine>,
}

struct SpecimenLine {
    accession: String,
    patient: String,
    stage: &'static str,
    results: String,
}

struct ItemLine {
    item: String,
    reason: String,
    age: String,
}

/// The part that changes.
#[derive(Template)]
#[template(path = "board.html")]
struct Board {
    devices: Vec<DeviceLine>,
    beds: Vec<BedLine>,
    cabinets: Vec<CabinetLine>,
    specimens: Vec<SpecimenLine>,
    items: Vec<ItemLine>,
    open: usize,
    events: u64,
}

fn age(now: Timestamp, since: Option<Timestamp>) -> String {
    match since.map(|since| now.seconds_since(since).max(0)) {
        None => "never".to_owned(),
        Some(seconds @ 0..=119) => format!("{seconds} s"),
        Some(seconds @ 120..=7_199) => format!("{} min", seconds / 60),
        Some(seconds) => format!("{} h", seconds / 3_600),
    }
}

fn stage(stage: Stage) -> &'static str {
    match stage {
        Stage::Unknown => "unknown",
        Stage::Ordered => "ordered",
        Stage::Collected => "collected",
        Stage::Received => "received",
        Stage::Resulted => "resulted",
    }
}

fn render(api: &Api) -> String {
    let now = api.clock.now();
    let devices = configured(api)
        .into_iter()
        .map(|figures| DeviceLine {
            name: figures.device,
            state: match (figures.connections > 0, figures.is_silent) {
                (true, _) if figures.is_line_bad => "noisy",
                (true, false) => "up",
                (true, true) => "silent",
                (false, _) => "down",
            },
            last: age(now, figures.last_message),
            accepted: figures.accepted + figures.repeated,
            held: figures.held,
            noise: figures.noise,
            skew: match figures.clock_skew_seconds {
                seconds if figures.is_clock_off => format!("{seconds:+} s: set its clock"),
                seconds if seconds.abs() >= 2 => format!("{seconds:+} s"),
                _ => String::new(),
            },
        })
        .collect();
    let layout = api.hospital.layout();
    let beds = layout
        .wards
        .values()
        .flatten()
        .map(|bed| {
            let row: BedRow = api.rows.get("bed", bed.as_str()).unwrap_or_default();
            let (state, patient, since, _) = beds::words(&row.bed.used);
            let since = since.map(|since| age(now, Some(since))).unwrap_or_default();
            BedLine { bed: bed.to_string(), state, patient: patient.map(ToString::to_string).unwrap_or_default(), since, isolation: row.bed.isolation.unwrap_or_default() }
        })
        .collect();
    let cabinets = layout
        .cabinets
        .iter()
        .map(|cabinet| {
            let row: CabinetRow = api.rows.get("cabinet", cabinet.as_str()).unwrap_or_default();
            let pockets = row
                .cabinet
                .pockets()
                .iter()
                .map(|(id, pocket)| PocketLine {
                    pocket: id.to_string(),
                    item: pocket.item.to_string(),
                    balance: pocket.balance().to_string(),
                    state: if pocket.discrepancy.is_some() { "discrepancy" } else { "" },
                })
                .collect();
            CabinetLine { name: cabinet.to_string(), pockets }
        })
        .collect();
    let specimens = api
        .rows
        .recent_specimens(SHOWN)
        .into_iter()
        .map(|(accession, row)| {
            let done = row.tests.values().filter(|results| !results.is_empty()).count();
            SpecimenLine {
                accession,
                patient: row.patient.map(|patient| patient.to_string()).unwrap_or_default(),
                stage: stage(row.stage),
                results: format!("{done} of {}", row.tests.len()),
            }
        })
        .collect();
    let items = api
        .rows
        .open_items_from(0, SHOWN)
        .into_iter()
        .filter_map(|event| {
            let (item, held) = api.history.item_held_at(event)?;
            Some(ItemLine { item, reason: held.reason.word().replace('_', " "), age: age(now, Some(held.since)) })
        })
        .collect();
    let open = api.rows.open_items();
    let board = Board { devices, beds, cabinets, specimens, items, open, events: api.history.head() };
    board.render().unwrap_or_else(|error| format!("<p>the board cannot be shown: {error}</p>"))
}

/// The page.
pub(super) async fn board(State(api): State<Api>) -> Response {
    let page = Page { name: &api.name, board: render(&api) };
    match page.render() {
        Ok(html) => {
            let policy = "default-src 'self'; style-src 'self'; script-src 'self'; frame-ancestors 'none'";
            ([(header::CONTENT_SECURITY_POLICY, policy), (header::CACHE_CONTROL, "no-store")], Html(html)).into_response()
        }
        Err(error) => (StatusCode::INTERNAL_SERVER_ERROR, error.to_string()).into_response(),
    }
}

/// The board as server-sent events.
pub(super) async fn events(State(api): State<Api>) -> Sse<impl Stream<Item = Result<Event, Infallible>>> {
    let mut stop = api.stop.clone();
    let changes = WatchStream::new(api.rows.changes()).throttle(EVERY);
    let stream = changes.map(move |_| Ok(Event::default().event("board").data(render(&api).replace(['\r', '\n'], " "))));
    let until_stop = async move {
        // A closed channel means the same.
        let _ = stop.wait_for(|stop| *stop).await;
    };
    Sse::new(take_until(stream, until_stop)).keep_alive(KeepAlive::new().interval(Duration::from_secs(15)))
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

/// The page's style.
pub(super) async fn style() -> Response {
    ([(header::CONTENT_TYPE, "text/css")], include_str!("assets/style.css")).into_response()
}

/// The page's script.
pub(super) async fn script() -> Response {
    ([(header::CONTENT_TYPE, "text/javascript")], include_str!("assets/board.js")).into_response()
}
