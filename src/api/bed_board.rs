//! The bed board: wards with their beds, who lies in them, who is expected to leave, live; `?privacy=true` hides who it is, for a screen
//! that visitors see.

use std::collections::BTreeSet;
use std::convert::Infallible;
use std::sync::Arc;

use askama::Template;
use axum::extract::{Query, State};
use axum::response::Response;
use axum::response::sse::{Event, Sse};
use serde::Deserialize;
use tokio_stream::Stream;

use super::beds;
use super::chart_view;
use super::guard::Asking;
use super::live::{self, Render, Rendered};
use super::page::age;
use super::problem::Problem;
use super::state::Api;
use crate::access::Who;
use crate::domain::encounter::{Away, Stay};
use crate::domain::patient::Criticality;
use crate::domain::rights::Permission;
use crate::domain::vitals::Alert;
use crate::kernel::{BedId, Mrn, Timestamp};
use crate::projection::BedRow;

/// What is asked.
#[derive(Debug, Clone, Copy, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Asked {
    privacy: bool,
}

type AskedQuery = Result<Query<Asked>, axum::extract::rejection::QueryRejection>;

#[derive(Template)]
#[template(path = "beds.html")]
struct Board {
    wards: Vec<Ward>,
    is_private: bool,
}

struct Ward {
    name: String,
    occupied: usize,
    free: usize,
    /// Waiting for housekeeping, blocked or reserved.
    other: usize,
    leaving_today: usize,
    beds: Vec<Line>,
}

struct Line {
    bed: String,
    /// The whole name, where whoever looks may say that it is clean.
    cleaned_by: Option<String>,
    state: &'static str,
    patient: String,
    /// The patient's page, for whoever may look into the record.
    page: Option<Mrn>,
    since: String,
    expected: String,
    /// Where they are, when that is not their bed.
    away: String,
    isolation: String,
    /// What must not be given, where the next contact may be dangerous.
    allergies: String,
    /// Signs beyond their limits that nobody has taken, and values that cannot be used.
    alerts: Vec<Calling>,
}

/// What calls for somebody.
struct Calling {
    words: String,
    /// Whether nobody goes yet.
    is_waiting: bool,
    /// The alert that may be taken here: under which number, and its own.
    taken_by: Option<(Mrn, u32)>,
}

/// What somebody must look at now.
fn waiting(api: &Api, who: &Who, patient: &Mrn, (now, is_private): (Timestamp, bool)) -> Vec<Calling> {
    // Values are for whoever may look into the record; that somebody is needed is for all.
    let is_private = is_private || who.rights.may(Permission::ViewPatient, &api.gate.patient(patient)).is_err();
    let may_take = !is_private && who.rights.may(Permission::TakeAlerts, &api.gate.patient(patient)).is_ok();
    let signs: Vec<_> = api
        .rows
        .person_now(patient)
        .into_iter()
        .map(|(number, _)| {
            let signs = api.rows.vitals(&number);
            (number, signs)
        })
        .collect();
    let mut calling = Vec::new();
    for (under, signs) in &signs {
        for (number, alert) in &signs.alerts {
            let words = if is_private { "alert".to_owned() } else { words(api, alert, now) };
            // Whoever goes is shown until the value is back: else nobody can tell a taken alert from none.
            let is_waiting = alert.taken.is_none();
            calling.push(Calling { words, is_waiting, taken_by: (may_take && is_waiting).then(|| (under.clone(), *number)) });
        }
    }
    let unusable = signs.iter().flat_map(|(_, signs)| signs.unusable.keys()).filter(|_| !is_private);
    calling.extend(unusable.map(|code| Calling { words: format!("{} not usable", chart_view::sign_name(api, code)), is_waiting: true, taken_by: None }));
    calling
}

/// The value with its limits, since when it calls, how far up it went, and who goes.
fn words(api: &Api, alert: &Alert, now: Timestamp) -> String {
    let limits = match (alert.limits.low, alert.limits.high) {
        (Some(low), Some(high)) => format!(" ({low} to {high})"),
        (Some(low), None) => format!(" (from {low})"),
        (None, Some(high)) => format!(" (to {high})"),
        (None, None) => String::new(),
    };
    let level = if alert.level == 0 { String::new() } else { format!(", called {} times", alert.level + 1) };
    let since = match &alert.taken {
        None => format!(", for {}{level}", age(now, Some(alert.raised))),
        Some((by, at)) => format!(": {} goes, for {}", by.split_once(':').map_or(by.as_str(), |(_, name)| name), age(now, Some(*at))),
    };
    format!("{} {} {}{limits}{since}", chart_view::sign_name(api, &alert.code), alert.value, alert.unit)
}

/// Who lies there, and what they must not be given by any means, as whoever may look into the record sees it.
fn known_as(api: &Api, who: &Who, patient: &Mrn) -> (String, String) {
    if who.rights.may(Permission::ViewPatient, &api.gate.patient(patient)).is_err() {
        return (patient.to_string(), String::new());
    }
    let records = api.rows.person_now(patient);
    let name = records.iter().find_map(|(_, record)| record.person.as_ref().map(|person| person.name.printed())).filter(|name| !name.is_empty());
    let known = records.iter().flat_map(|(_, record)| record.allergies.known()).filter(|known| known.allergy.criticality != Criticality::Low);
    let substances: Vec<&str> = known.map(|known| known.allergy.substance.as_str()).collect();
    let allergies = if substances.is_empty() { String::new() } else { format!("allergic: {}", substances.join(", ")) };
    (name.map_or_else(|| patient.to_string(), |name| format!("{name} {patient}")), allergies)
}

/// Where whoever lies in a bed is just now, in a few words; on a screen that visitors see: that they are away.
fn whereabouts(stay: &Stay, is_private: bool) -> String {
    match (&stay.away, stay.on_leave) {
        (Some(_), _) | (None, Some(_)) if is_private => "away".to_owned(),
        (Some(Away { place, is_there: true, .. }), _) => format!("at {place}"),
        (Some(Away { place, is_there: false, .. }), _) => format!("on the way to {place}"),
        (None, Some(_)) => "on leave".to_owned(),
        (None, None) => String::new(),
    }
}

fn line(api: &Api, who: &Who, bed: &BedId, (now, is_private): (Timestamp, bool), shown: &mut BTreeSet<Mrn>) -> (Line, Option<Timestamp>) {
    let row: BedRow = api.rows.get("bed", bed.as_str()).unwrap_or_default();
    let (state, patient, since, _) = beds::words(&row.bed.used);
    let stay = patient.filter(|_| state == "occupied").and_then(|patient| api.rows.open_stay(patient));
    let end = stay.as_ref().and_then(|stay| stay.expected_end);
    let mut allergies = String::new();
    let page = patient.filter(|patient| !is_private && who.rights.may(Permission::ViewPatient, &api.gate.patient(patient)).is_ok()).cloned();
    let name = match patient {
        None => String::new(),
        Some(_) if is_private => "●●●●".to_owned(),
        Some(patient) if !beds::may_know(api, who, patient) => "restricted".to_owned(),
        Some(patient) => {
            shown.insert(patient.clone());
            let (name, known) = known_as(api, who, patient);
            // Whoever stays with a patient is no patient: nothing of the record is at this bed.
            allergies = if state == "companion" { String::new() } else { known };
            if state == "companion" { format!("with {name}") } else { name }
        }
    };
    let alerts = patient.filter(|_| state == "occupied").map(|patient| waiting(api, who, patient, (now, is_private || name == "restricted"))).unwrap_or_default();
    let away = stay.as_ref().map(|stay| whereabouts(stay, is_private || name == "restricted")).unwrap_or_default();
    let line = Line {
        allergies,
        away,
        cleaned_by: (state == "cleaning" && !is_private && api.gate.bed(bed).is_ok_and(|ward| who.rights.may(Permission::CleanBeds, &ward).is_ok())).then(|| bed.to_string()),
        bed: bed.as_str().split_once(':').map_or(bed.as_str(), |(_, place)| place).to_owned(),
        state,
        patient: name,
        page,
        alerts,
        since: since.map(|since| age(now, Some(since))).unwrap_or_default(),
        expected: end.map(|end| end.date().to_string()).unwrap_or_default(),
        // Why somebody is isolated is not for a corridor.
        isolation: row.bed.isolation.map(|reason| if is_private { "isolation".to_owned() } else { reason }).unwrap_or_default(),
    };
    (line, end)
}

fn render(api: &Api, who: &Who, is_private: bool) -> Rendered {
    let now = api.clock.now();
    let mut patients = BTreeSet::new();
    let mut wards = Vec::new();
    for (ward, beds) in &api.hospital.layout().wards {
        let place = api.gate.ward(ward.as_str());
        if place.is_none_or(|place| who.rights.may(Permission::ViewBeds, &crate::domain::rights::Subject::Ward(place)).is_err()) {
            continue;
        }
        let lines: Vec<(Line, Option<Timestamp>)> = beds.iter().map(|bed| line(api, who, bed, (now, is_private), &mut patients)).collect();
        let count = |state: &str| lines.iter().filter(|(line, _)| line.state == state).count();
        let (occupied, free) = (count("occupied"), count("free"));
        let leaving_today = lines.iter().filter(|(_, end)| end.is_some_and(|end| end.date() <= now.date())).count();
        wards.push(Ward { name: ward.to_string(), occupied, free, other: lines.len() - occupied - free, leaving_today, beds: lines.into_iter().map(|(line, _)| line).collect() });
    }
    let html = (Board { wards, is_private }).render().unwrap_or_else(|error| format!("<p>the board cannot be shown: {error}</p>"));
    Rendered { html, patients }
}

fn rendering(asked: Asked) -> Render {
    Arc::new(move |api, who| render(api, who, asked.privacy))
}

fn asked(query: AskedQuery) -> Result<Asked, Problem> {
    query.map(|Query(asked)| asked).map_err(|_| Problem::bad("the board of beds is asked for with privacy=true or false"))
}

/// The page.
pub(super) async fn show(State(api): State<Api>, Asking(who): Asking, query: AskedQuery) -> Result<Response, Problem> {
    let asked = asked(query)?;
    api.may(&who, Permission::ViewBeds)?;
    let source = if asked.privacy { "/beds/events?privacy=true" } else { "/beds/events" };
    Ok(live::page(&api, &who, &rendering(asked), source).await)
}

/// The board as server-sent events.
pub(super) async fn events(State(api): State<Api>, Asking(who): Asking, query: AskedQuery) -> Result<Sse<impl Stream<Item = Result<Event, Infallible>>>, Problem> {
    let asked = asked(query)?;
    api.may(&who, Permission::ViewBeds)?;
    Ok(live::follow(api, who, rendering(asked)))
}
