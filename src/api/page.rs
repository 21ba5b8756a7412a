//! The first page: devices, beds, cabinets and specimens, rendered here and sent again whenever something has changed.

use std::collections::BTreeSet;
use std::convert::Infallible;
use std::sync::Arc;

use askama::Template;
use axum::extract::State;
use axum::http::header;
use axum::response::sse::{Event, Sse};
use axum::response::{IntoResponse, Response};
use tokio_stream::Stream;

use super::beds;
use super::devices::configured;
use super::guard::Asking;
use super::lab;
use super::live::{self, Render, Rendered};
use super::state::Api;
use crate::access::Who;
use crate::domain::rights::Permission;
use crate::domain::specimen::Stage;
use crate::kernel::{BedId, Mrn, Timestamp};
use crate::projection::{BedRow, CabinetRow, SpecimenRow};

/// A page shows so many specimens and items.
const SHOWN: usize = 12;
/// So many of the last specimens are looked at for those that somebody may see.
const LOOKED_AT: usize = 100;

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
    /// None of these is there for somebody who may not see it.
    devices: Option<Vec<DeviceLine>>,
    beds: Option<Vec<BedLine>>,
    cabinets: Option<Vec<CabinetLine>>,
    specimens: Option<Vec<SpecimenLine>>,
    items: Option<Vec<ItemLine>>,
    open: usize,
    events: u64,
    /// Alerts that nobody has taken, of patients whom whoever looks may go to.
    alerts: usize,
}

/// How long ago, in words.
pub(super) fn age(now: Timestamp, since: Option<Timestamp>) -> String {
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

fn devices(api: &Api, now: Timestamp) -> Vec<DeviceLine> {
    configured(api)
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
        .collect()
}

fn beds(api: &Api, who: &Who, now: Timestamp, shown: &mut BTreeSet<Mrn>) -> Vec<BedLine> {
    let seen = |bed: &&BedId| api.gate.bed(bed).is_ok_and(|ward| who.rights.may(Permission::ViewBeds, &ward).is_ok());
    api.hospital
        .layout()
        .wards
        .values()
        .flatten()
        .filter(seen)
        .map(|bed| {
            let row: BedRow = api.rows.get("bed", bed.as_str()).unwrap_or_default();
            let (state, patient, since, _) = beds::words(&row.bed.used);
            let is_known = patient.is_none_or(|patient| beds::may_know(api, who, patient));
            let patient = patient.filter(|_| is_known);
            shown.extend(patient.cloned());
            let since = since.map(|since| age(now, Some(since))).unwrap_or_default();
            BedLine {
                bed: bed.to_string(),
                state,
                patient: patient.map_or_else(|| if is_known { String::new() } else { "restricted".to_owned() }, ToString::to_string),
                since,
                isolation: row.bed.isolation.unwrap_or_default(),
            }
        })
        .collect()
}

fn cabinets(api: &Api, who: &Who) -> Vec<CabinetLine> {
    let cabinets = api.hospital.layout().cabinets.iter();
    cabinets
        .filter(|cabinet| who.rights.may(Permission::ViewCabinets, &api.gate.cabinet(cabinet)).is_ok())
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
        .collect()
}

fn specimens(api: &Api, who: &Who, shown: &mut BTreeSet<Mrn>) -> Vec<SpecimenLine> {
    let seen = |row: &SpecimenRow| row.patient.as_ref().is_none_or(|mrn| who.rights.may(Permission::ViewSpecimens, &api.gate.patient(mrn)).is_ok());
    let recent = match lab::of_wards(api, who) {
        Some(mut specimens) => {
            specimens.sort_by_key(|(_, row)| std::cmp::Reverse(row.sequence));
            specimens
        }
        None => api.rows.recent_specimens(LOOKED_AT).into_iter().filter(|(_, row)| seen(row)).collect(),
    };
    let recent = recent.into_iter().take(SHOWN);
    recent
        .map(|(accession, row)| {
            shown.extend(row.patient.clone());
            let done = row.tests.values().filter(|results| !results.is_empty()).count();
            SpecimenLine {
                accession,
                patient: row.patient.map(|patient| patient.to_string()).unwrap_or_default(),
                stage: stage(row.stage),
                results: format!("{done} of {}", row.tests.len()),
            }
        })
        .collect()
}

fn items(api: &Api, now: Timestamp) -> Vec<ItemLine> {
    api.rows
        .open_items_from(0, SHOWN)
        .into_iter()
        .filter_map(|event| {
            let (item, held) = api.history.item_held_at(event)?;
            Some(ItemLine { item, reason: held.reason.word().replace('_', " "), age: age(now, Some(held.since)) })
        })
        .collect()
}

/// What somebody may see of the house.
fn render(api: &Api, who: &Who) -> Rendered {
    let now = api.clock.now();
    let mut patients = BTreeSet::new();
    let may = |permission| who.rights.has(permission);
    let board = Board {
        devices: may(Permission::ViewDevices).then(|| devices(api, now)),
        beds: may(Permission::ViewBeds).then(|| beds(api, who, now, &mut patients)),
        cabinets: may(Permission::ViewCabinets).then(|| cabinets(api, who)),
        specimens: may(Permission::ViewSpecimens).then(|| specimens(api, who, &mut patients)),
        items: may(Permission::ViewQuarantine).then(|| items(api, now)),
        alerts: api.rows.open_alerts().iter().filter(|open| open.alert.taken.is_none() && who.rights.may(Permission::TakeAlerts, &api.gate.patient(&open.patient)).is_ok()).count(),
        open: api.rows.open_items(),
        events: api.history.head(),
    };
    let html = board.render().unwrap_or_else(|error| format!("<p>the board cannot be shown: {error}</p>"));
    Rendered { html, patients }
}

fn rendering() -> Render {
    Arc::new(render)
}

/// The page.
pub(super) async fn board(State(api): State<Api>, Asking(who): Asking) -> Response {
    live::page(&api, &who, &rendering(), "/events").await
}

/// The board as server-sent events.
pub(super) async fn events(State(api): State<Api>, Asking(who): Asking) -> Sse<impl Stream<Item = Result<Event, Infallible>>> {
    live::follow(api, who, rendering())
}

/// The page's style.
pub(super) async fn style() -> Response {
    ([(header::CONTENT_TYPE, "text/css")], include_str!("assets/style.css")).into_response()
}

/// The board's script.
pub(super) async fn script() -> Response {
    ([(header::CONTENT_TYPE, "text/javascript")], include_str!("assets/board.js")).into_response()
}

/// The script that sends forms.
pub(super) async fn asking() -> Response {
    ([(header::CONTENT_TYPE, "text/javascript")], include_str!("assets/ask.js")).into_response()
}
