//! Nursing tasks: of a patient, and of a ward's shift.

use askama::Template;
use axum::Json;
use axum::extract::{Path, Query, State};
use axum::response::{IntoResponse, Response};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::command::{Body, Key, parse};
use super::forms::{moment, spoken};
use super::guard::Asking;
use super::paper::Show;
use super::patients::needed;
use super::problem::Problem;
use super::state::Api;
use crate::access::Who;
use crate::actor::Outcome;
use crate::domain::census::Command;
use crate::domain::disclosure::Record;
use crate::domain::rights::{Permission, Subject};
use crate::domain::task::{self, Due, Plan, Standing, Task};
use crate::kernel::{BedId, EncounterId, Mrn, StreamId, StreamKind, Timestamp};
use crate::projection::BedRow;

/// A shift, where nobody says from when and until when.
const SHIFT_SECONDS: i64 = 8 * 3_600;
/// The longest time that is looked at, in seconds.
const WINDOW_SECONDS: i64 = 3 * 24 * 3_600;

/// Which times are asked for.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Wanted {
    from: Option<Timestamp>,
    until: Option<Timestamp>,
}

type WantedQuery = Result<Query<Wanted>, axum::extract::rejection::QueryRejection>;

fn window(wanted: WantedQuery, now: Timestamp) -> Result<(Timestamp, Timestamp), Problem> {
    let Query(wanted) = wanted.map_err(|error| Problem::bad(format!("{}: an instant is written like 2026-11-21T12:00:00Z", error.body_text())))?;
    let from = wanted.from.unwrap_or_else(|| now.plus_seconds(-SHIFT_SECONDS / 4));
    let until = wanted.until.unwrap_or_else(|| from.plus_seconds(SHIFT_SECONDS));
    if until < from || until.seconds_since(from) > WINDOW_SECONDS {
        return Err(Problem::bad("until comes after from, three days at most: ask in parts"));
    }
    Ok((from, until))
}

/// The stay that is open, of whoever has this number.
fn open_stay(api: &Api, mrn: &Mrn) -> Option<EncounterId> {
    api.rows.person_now(mrn).into_iter().find_map(|(_, record)| record.stay)
}

/// What is to be done for a patient.
#[derive(Debug, Serialize)]
struct PatientTasks {
    mrn: Mrn,
    encounter: Option<EncounterId>,
    /// What is planned, and what was done in an emergency.
    tasks: Vec<Task>,
    /// Times of the shift, the most pressing first; what must be done and was not is among them however old.
    due: Vec<Due>,
}

/// What is to be done for a patient during the stay that is open: what is planned, and the times of a shift (`from`, `until`; without them from two
/// hours ago for eight hours).
#[utoipa::path(get, path = "/api/v1/patients/{mrn}/tasks", params(("from" = Option<String>, Query, description = "an instant, RFC 3339 in UTC"), ("until" = Option<String>, Query, description = "an instant, RFC 3339 in UTC")), responses((status = 200), (status = 404, body = Problem)))]
pub(super) async fn of_patient(State(api): State<Api>, Asking(who): Asking, Path(mrn): Path<String>, wanted: WantedQuery) -> Result<Response, Problem> {
    let mrn: Mrn = parse(&mrn)?;
    let allowed = api.may_patient(&who, Permission::ViewPatient, &mrn).await?;
    let now = api.clock.now();
    let window = window(wanted, now)?;
    let encounter = open_stay(&api, &mrn);
    let tasks = encounter.as_ref().map(|encounter| api.rows.tasks(encounter)).unwrap_or_default();
    let view = PatientTasks { mrn: mrn.clone(), encounter, due: tasks.due(window, now), tasks: tasks.tasks.into_values().collect() };
    api.shown(&allowed, Record::Chart, Some("tasks"), vec![mrn]).await?;
    Ok(Json(view).into_response())
}

/// A time of a task of somebody on a ward.
#[derive(Debug, Serialize)]
struct WardTask {
    bed: BedId,
    mrn: Mrn,
    #[serde(flatten)]
    due: Due,
}

/// What is to be done on a ward in a shift, and who of it was shown.
struct Shift {
    due: Vec<WardTask>,
    /// Emergencies' tasks that nobody stands for.
    unacknowledged: Vec<(BedId, Mrn, Task)>,
    shown: Vec<Mrn>,
}

fn shift(api: &Api, who: &Who, ward: &str, (window, now): ((Timestamp, Timestamp), Timestamp)) -> Shift {
    let layout = api.hospital.layout();
    let mut found = Shift { due: Vec::new(), unacknowledged: Vec::new(), shown: Vec::new() };
    for bed in layout.wards.iter().filter(|(known, _)| known.as_str() == ward).flat_map(|(_, beds)| beds) {
        let row: BedRow = api.rows.get("bed", bed.as_str()).unwrap_or_default();
        let Some((mrn, _)) = row.bed.occupant() else { continue };
        if who.rights.may(Permission::ViewPatient, &api.gate.patient(mrn)).is_err() {
            continue;
        }
        let Some(encounter) = open_stay(api, mrn) else { continue };
        let tasks = api.rows.tasks(&encounter);
        found.due.extend(tasks.due(window, now).into_iter().map(|due| WardTask { bed: bed.clone(), mrn: mrn.clone(), due }));
        found.unacknowledged.extend(tasks.unacknowledged().map(|task| (bed.clone(), mrn.clone(), task.clone())));
        found.shown.push(mrn.clone());
    }
    found.due.sort_by(|one, other| (one.due.standing, one.due.time, &one.bed).cmp(&(other.due.standing, other.due.time, &other.bed)));
    found
}

async fn of_shift(api: &Api, who: &Who, ward: &str, wanted: WantedQuery) -> Result<Shift, Problem> {
    let place = api.gate.ward(ward).ok_or_else(|| Problem::missing("ward", ward))?;
    let allowed = api.may_with(who, Permission::DoTasks, &Subject::Ward(place))?;
    if !api.caught_up().await {
        let text = "wardd is still reading what happened last, and no task must be missed: try again in a moment";
        return Err(Problem::new(axum::http::StatusCode::SERVICE_UNAVAILABLE, "unavailable", text));
    }
    let now = api.clock.now();
    let found = shift(api, who, ward, (window(wanted, now)?, now));
    api.shown_list(&allowed, Record::Chart, found.shown.clone()).await?;
    Ok(found)
}

/// What is to be done on a ward in a shift (`from`, `until`; without them from two hours ago for eight hours), the most pressing first.
#[utoipa::path(get, path = "/api/v1/wards/{ward}/tasks", params(("from" = Option<String>, Query, description = "an instant, RFC 3339 in UTC"), ("until" = Option<String>, Query, description = "an instant, RFC 3339 in UTC")), responses((status = 200), (status = 404, body = Problem)))]
pub(super) async fn of_ward(State(api): State<Api>, Asking(who): Asking, Path(ward): Path<String>, wanted: WantedQuery) -> Result<Response, Problem> {
    let found = of_shift(&api, &who, &ward, wanted).await?;
    let unacknowledged: Vec<_> = found.unacknowledged.iter().map(|(bed, mrn, task)| serde_json::json!({ "bed": bed, "mrn": mrn, "task": task })).collect();
    Ok(Json(serde_json::json!({ "ward": ward, "due": found.due, "unacknowledged": unacknowledged })).into_response())
}

#[derive(Template)]
#[template(path = "tasks.html")]
struct Page {
    house: String,
    ward: String,
    made: String,
    lines: Vec<Line>,
    unacknowledged: Vec<String>,
    is_open_house: bool,
}

/// A time of a task on a page, with what is needed to answer it there.
pub(super) struct Line {
    pub(super) mrn: Mrn,
    pub(super) number: u32,
    /// Its time; none of what is done when it is needed.
    pub(super) time: Option<Timestamp>,
    pub(super) bed: String,
    pub(super) patient: String,
    pub(super) title: String,
    pub(super) state: &'static str,
    /// Whether somebody may say now what came of it.
    pub(super) is_open: bool,
    /// Whether somebody must do it or say why not.
    pub(super) mandatory: bool,
    pub(super) said: String,
}

impl Line {
    fn new(mrn: &Mrn, due: &Due, now: Timestamp) -> Self {
        let said = due.said.as_ref().map(|said| match &said.outcome {
            task::Outcome::Done { note } => format!("done by {} {note}", spoken(&said.by)),
            task::Outcome::NotDone { reason } => format!("not done, says {}: {reason}", spoken(&said.by)),
        });
        Self {
            mrn: mrn.clone(),
            number: due.number,
            time: Some(due.time),
            bed: String::new(),
            patient: String::new(),
            title: due.title.clone(),
            state: state(due.standing),
            is_open: due.said.is_none() && due.time.seconds_since(now) <= task::EARLY_SECONDS,
            mandatory: due.mandatory,
            said: said.unwrap_or_default(),
        }
    }

    /// When, as people read it.
    pub(super) fn moment(&self) -> String {
        self.time.map(moment).unwrap_or_default()
    }

    /// How it looks.
    pub(super) fn tag(&self) -> &'static str {
        match self.state {
            "overdue" | "missed" => "alert",
            "due" => "ordered",
            _ => "silent",
        }
    }
}

/// What is to be done for a patient on their page, and what was done in an emergency: its number, and what it was.
pub(super) fn of_page(api: &Api, mrn: &Mrn, now: Timestamp) -> (Vec<Line>, Vec<(u32, String)>) {
    let Some(encounter) = open_stay(api, mrn) else { return (Vec::new(), Vec::new()) };
    let tasks = api.rows.tasks(&encounter);
    let from = now.plus_seconds(-SHIFT_SECONDS / 4);
    let mut lines: Vec<Line> = tasks.due((from, from.plus_seconds(SHIFT_SECONDS)), now).iter().map(|due| Line::new(mrn, due, now)).collect();
    let when_needed = tasks.tasks.values().filter(|task| task.when == task::When::AsNeeded && task.stopped.is_none() && task.on_word_of.is_none());
    lines.extend(when_needed.map(|task| Line {
        mrn: mrn.clone(),
        number: task.number,
        time: None,
        bed: String::new(),
        patient: String::new(),
        title: task.title.clone(),
        state: "when needed",
        is_open: true,
        mandatory: false,
        said: String::new(),
    }));
    let unacknowledged = tasks.unacknowledged().map(|task| {
        let word = task.on_word_of.as_deref().unwrap_or_default();
        (task.number, format!("{} (done by {} at {} on the word of {word})", task.title, spoken(&task.by), moment(task.at)))
    });
    (lines, unacknowledged.collect())
}

fn state(standing: Standing) -> &'static str {
    match standing {
        Standing::Overdue => "overdue",
        Standing::Due => "due",
        Standing::Planned => "planned",
        Standing::Missed => "missed",
        Standing::Answered => "answered",
    }
}

fn line(api: &Api, found: &WardTask) -> Line {
    let name = api.rows.person_now(&found.mrn).into_iter().find_map(|(_, record)| record.person).map(|person| person.name.printed()).unwrap_or_default();
    Line {
        bed: found.bed.as_str().split_once(':').map_or(found.bed.as_str(), |(_, place)| place).to_owned(),
        patient: format!("{name} {}", found.mrn),
        ..Line::new(&found.mrn, &found.due, api.clock.now())
    }
}

/// The shift's list as a page, for the screen and for paper.
pub(super) async fn page(State(api): State<Api>, Asking(who): Asking, Path(ward): Path<String>, wanted: WantedQuery) -> Result<Response, Problem> {
    let found = of_shift(&api, &who, &ward, wanted).await?;
    super::patients::knows_people(&api).await?;
    let unacknowledged = found.unacknowledged.iter().map(|(bed, mrn, task)| {
        format!("{bed} {mrn}: {} (done by {} at {} on the word of {})", task.title, spoken(&task.by), moment(task.at), task.on_word_of.as_deref().unwrap_or_default())
    });
    let lines = found.due.iter().map(|due| line(&api, due)).collect();
    let page = Page { house: api.name.to_string(), ward, made: moment(api.clock.now()), lines, unacknowledged: unacknowledged.collect(), is_open_house: who.user.is_none() };
    page.page()
}

/// What is needed for what is done.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, default)]
pub(super) struct TaskAction {
    /// To `plan`: title, when (`{\"once\": {\"at\": …}}`, `{\"every\": {\"minutes\": 120, \"from\": …, \"until\": …}}` or `as_needed`), and mandatory, grace_minutes.
    #[schema(value_type = Option<Object>)]
    plan: Option<Plan>,
    /// Which task.
    number: Option<u32>,
    /// Its time, to `done` or `not-done`; without one the time that is due.
    #[schema(value_type = Option<String>)]
    time: Option<Timestamp>,
    /// What was done, to `done-in-emergency`.
    title: Option<String>,
    /// On whose word, to `done-in-emergency`.
    on_word_of: Option<String>,
    /// What there is to say, to `done` or `done-in-emergency`.
    note: Option<String>,
    /// Why, to `not-done` or `stop`.
    reason: Option<String>,
    /// Who acts, in an open house; else who is signed in.
    user: Option<String>,
}

impl TaskAction {
    fn command(self, action: &str) -> Result<task::Command, Problem> {
        let (number, time) = (self.number, self.time);
        let number = || needed(&number, "number");
        Ok(match action {
            "plan" => task::Command::Plan(needed(&self.plan, "plan")?),
            "stop" => task::Command::Stop { number: number()?, reason: self.reason.unwrap_or_default() },
            "done" => task::Command::Answer { number: number()?, time, outcome: task::Outcome::Done { note: self.note.unwrap_or_default() } },
            "not-done" => task::Command::Answer { number: number()?, time, outcome: task::Outcome::NotDone { reason: self.reason.unwrap_or_default() } },
            "done-in-emergency" => {
                task::Command::DoneInEmergency { title: self.title.unwrap_or_default(), on_word_of: self.on_word_of.unwrap_or_default(), note: self.note.unwrap_or_default() }
            }
            "acknowledge" => task::Command::Acknowledge { number: number()? },
            other => return Err(Problem::missing("action", other)),
        })
    }
}

/// Nursing tasks of the stay that is open: `plan`, `stop`, `done`, `not-done`, `done-in-emergency` (before anybody planned it, on the word of
/// somebody) and `acknowledge` (by somebody else).
#[utoipa::path(post, path = "/api/v1/patients/{mrn}/tasks/{action}", request_body = TaskAction, responses((status = 200), (status = 409, body = Problem)))]
pub(super) async fn act(
    State(api): State<Api>,
    Asking(who): Asking,
    Path((mrn, action)): Path<(String, String)>,
    Key(key): Key,
    Body(body): Body<TaskAction>,
) -> Result<Response, Problem> {
    let mrn: Mrn = parse(&mrn)?;
    let user = body.user.clone();
    let command = Command::Task { patient: mrn.clone(), command: body.command(&action)? };
    let allowed = api.may_about(&who, command.needs(), command.about()).await?;
    let outcome = api.hospital.census(command, api.origin(key, &allowed, user.as_deref())?).await;
    if outcome == Outcome::Repeated {
        let _ = api.caught_up().await;
    }
    let streams = || {
        let stays = api.rows.person_now(&mrn).into_iter().flat_map(|(_, record)| record.stay.into_iter().chain(record.last_stay));
        Ok(stays.map(|stay| StreamId::new(StreamKind::Task, stay.as_str())).collect())
    };
    api.answer_of_census(key, &outcome, streams)
}
