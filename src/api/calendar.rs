//! A schedule as a calendar (RFC 5545), for the programs that people have on their phones; and the display that calls tokens in a waiting room.

use askama::Template;
use axum::extract::{Path, State};
use axum::http::header;
use axum::response::{IntoResponse, Response};
use icalendar::{Calendar, Component, Event, EventLike, EventStatus};

use super::command::parse;
use super::guard::Asking;
use super::paper::Show;
use super::problem::Problem;
use super::schedules::place;
use super::state::Api;
use crate::domain::rights::Permission;
use crate::domain::schedule::{Appointment, Schedule, Standing};
use crate::kernel::{ScheduleId, Timestamp};

/// The time as a calendar has it: `YYYYMMDDTHHMMSSZ`.
fn stamp(at: Timestamp) -> String {
    let text = at.to_string();
    format!("{}Z", text.get(..19).unwrap_or_default().replace(['-', ':'], ""))
}

/// An appointment of a calendar: its number and no name, since phones and their makers read along.
fn entry(facility: &str, id: &ScheduleId, (schedule, known): (&Schedule, &Appointment), now: Timestamp) -> Option<Event> {
    let session = schedule.sessions.get(&known.session)?;
    let start = known.start?;
    let status = match known.standing {
        Standing::Held { .. } if !known.standing.is_taking_a_place(now) => return None,
        Standing::Held { .. } => EventStatus::Tentative,
        Standing::Booked | Standing::Waiting { .. } | Standing::Called { .. } | Standing::Fulfilled => EventStatus::Confirmed,
        Standing::NoShow => return None,
        Standing::Cancelled { .. } => EventStatus::Cancelled,
    };
    let mut event = Event::new();
    event.uid(&format!("{facility}-{id}-{}", known.number)).summary(&format!("Appointment {}", known.number)).status(status);
    event.add_property("DTSTAMP", stamp(now)).add_property("DTSTART", stamp(start)).add_property("DTEND", stamp(session.end_of(start)));
    event.add_property("SEQUENCE", known.moves.to_string());
    if let Some(link) = &session.link {
        event.add_property("URL", link).location(link);
    }
    Some(event.done())
}

/// What nothing can be had in.
fn closed(facility: &str, id: &ScheduleId, closure: &crate::domain::schedule::Closure, now: Timestamp) -> Event {
    let mut event = Event::new();
    event.uid(&format!("{facility}-{id}-closed-{}", closure.from.micros())).summary(&format!("Closed: {}", closure.reason));
    event.add_property("DTSTAMP", stamp(now)).add_property("DTSTART", stamp(closure.from)).add_property("DTEND", stamp(closure.until));
    event.done()
}

fn found(api: &Api, id: &str) -> Result<(ScheduleId, Schedule), Problem> {
    let id: ScheduleId = parse(id)?;
    let schedule = api.rows.schedule(&id);
    if schedule.of.is_some() { Ok((id, schedule)) } else { Err(Problem::missing("schedule", id.as_str())) }
}

/// The appointments of a schedule and when it is closed, as iCalendar, for a calendar program that reads it again and again. It names no
/// patients. Such programs sign in with a name and a password (RFC 7617): any name, and the token of a program as password; this path alone
/// takes it so.
#[utoipa::path(get, path = "/api/v1/schedules/{schedule}/calendar.ics", responses((status = 200, content_type = "text/calendar"), (status = 404, body = Problem)))]
pub(super) async fn feed(State(api): State<Api>, Asking(who): Asking, Path(id): Path<String>) -> Result<Response, Problem> {
    api.may(&who, Permission::ViewSchedules)?;
    let (id, schedule) = found(&api, &id)?;
    api.may_with(&who, Permission::ViewSchedules, &place(&api, schedule.ward.as_ref()))?;
    let now = api.clock.now();
    let mut calendar = Calendar::new();
    calendar.name(&schedule.name);
    calendar.extend(schedule.appointments.values().filter_map(|known| entry(&api.facility, &id, (&schedule, known), now)));
    calendar.extend(schedule.closures.iter().map(|closure| closed(&api.facility, &id, closure, now)));
    Ok(([(header::CONTENT_TYPE, "text/calendar; charset=utf-8"), (header::CACHE_CONTROL, "no-store")], calendar.done().to_string()).into_response())
}

#[derive(Template)]
#[template(path = "display.html")]
struct Display {
    name: String,
    called: Vec<u32>,
    waiting: Vec<String>,
}

/// Tokens that a display shows at most.
const SHOWN: usize = 12;

/// The display of a waiting room: which tokens were called last, and which wait. It names nobody.
pub(super) async fn display(State(api): State<Api>, Asking(who): Asking, Path(id): Path<String>) -> Result<Response, Problem> {
    api.may(&who, Permission::ViewSchedules)?;
    let _ = api.caught_up().await;
    let (_, schedule) = found(&api, &id)?;
    api.may_with(&who, Permission::ViewSchedules, &place(&api, schedule.ward.as_ref()))?;
    let token = |known: &Appointment| match known.standing {
        Standing::Waiting { token, .. } if known.category.is_empty() => Some(token.to_string()),
        Standing::Waiting { token, .. } => Some(format!("{token} {}", known.category)),
        _ => None,
    };
    let waiting = schedule.sessions.keys().flat_map(|session| schedule.waiting(*session)).filter_map(token).take(SHOWN).collect();
    let display = Display { name: schedule.name.clone(), called: schedule.called().into_iter().take(SHOWN / 3).collect(), waiting };
    display.page()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_is_written_as_calendars_have_it() {
        assert_eq!(stamp("2026-11-21T14:05:06.123456Z".parse().unwrap()), "20261121T140506Z");
    }
}
