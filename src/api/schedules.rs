//! Schedules, slots, appointments, and who waits to be called.

use axum::Json;
use axum::extract::{Path, Query, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::command::{Body, Identity, Key, parse};
use super::guard::Asking;
use super::patients::{self, needed};
use super::problem::Problem;
use super::state::Api;
use crate::access::{Allowed, Who};
use crate::actor::{Origin, Outcome};
use crate::domain::census;
use crate::domain::disclosure::Record;
use crate::domain::encounter::{Class, Encounter};
use crate::domain::patient::Patient;
use crate::domain::rights::{Permission, Subject};
use crate::domain::schedule::{Appointment, Closure, Command, Of, Opening, Payment, Schedule, Session, Standing};
use crate::kernel::{EncounterId, Money, Mrn, ScheduleId, StreamId, StreamKind, Timestamp, WardId};
use crate::projection::EncounterRow;

/// Slots of one answer at most.
const SLOTS: usize = 2_000;
/// So long a slot is held where nobody says how long.
const HELD_MINUTES: u32 = 15;

/// A slot as the API shows it.
#[derive(Debug, Serialize)]
pub(super) struct Slot {
    session: u32,
    pub(super) start: Timestamp,
    pub(super) end: Timestamp,
    /// Places that anybody who books may take.
    pub(super) free: u32,
    /// Places that only whoever may overbook takes.
    overbooking: u32,
    /// Why nothing can be had.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) closed: Option<String>,
}

/// The slots of a schedule between two instants that are not over.
pub(super) fn slots(schedule: &Schedule, (from, until): (Timestamp, Timestamp), now: Timestamp) -> Vec<Slot> {
    let of = |session: &Session| {
        let one = |start: Timestamp| {
            let (end, taken) = (session.end_of(start), u32::try_from(schedule.taken(start, now)).unwrap_or(u32::MAX));
            let closed = schedule.closure_at(start, end).map(|closure| closure.reason.clone());
            let free = if closed.is_some() { 0 } else { session.places.saturating_sub(taken) };
            let overbooking = if closed.is_some() { 0 } else { (session.places + session.overbooking).saturating_sub(taken.max(session.places)) };
            Slot { session: session.number, start, end, free, overbooking, closed }
        };
        session.slots().map(one).filter(|slot| slot.end > from && slot.start < until).collect::<Vec<_>>()
    };
    schedule.sessions.values().flat_map(of).take(SLOTS).collect()
}

/// A schedule as the list shows it.
#[derive(Debug, Serialize)]
struct Line {
    schedule: String,
    name: String,
    of: Option<Of>,
    /// The first slot that anybody may book.
    next_free: Option<Timestamp>,
    waiting: usize,
}

/// All schedules, with the next free slot of each and how many wait.
#[utoipa::path(get, path = "/api/v1/schedules", responses((status = 200)))]
pub(super) async fn list(State(api): State<Api>, Asking(who): Asking) -> Result<Response, Problem> {
    api.may(&who, Permission::ViewSchedules)?;
    let within = |schedule: &Schedule| who.rights.may(Permission::ViewSchedules, &place(&api, schedule.ward.as_ref())).is_ok();
    let now = api.clock.now();
    let line = |(id, schedule): (String, Schedule)| Line {
        next_free: slots(&schedule, (now, Timestamp::from_micros(i64::MAX)), now).into_iter().find(|slot| slot.free > 0).map(|slot| slot.start),
        waiting: schedule.sessions.keys().map(|session| schedule.waiting(*session).len()).sum(),
        schedule: id,
        name: schedule.name,
        of: schedule.of,
    };
    Ok(Json(api.rows.schedules().into_iter().filter(|(_, schedule)| within(schedule)).map(line).collect::<Vec<_>>()).into_response())
}

/// Which time is asked for.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Wanted {
    from: String,
    until: String,
}

/// A schedule with its slots and appointments.
#[derive(Debug, Serialize)]
struct ScheduleView {
    schedule: ScheduleId,
    name: String,
    of: Option<Of>,
    sessions: Vec<Session>,
    closures: Vec<Closure>,
    slots: Vec<Slot>,
    /// Those of the sessions that are shown; whoever is restricted is left out for those who may not know them.
    appointments: Vec<Appointment>,
    /// Who waits, by token, in the order in which they are called.
    waiting: Vec<u32>,
}

/// One schedule from `from` (now) until `until` (two weeks later): sessions, slots with their free places, appointments, who waits.
#[utoipa::path(get, path = "/api/v1/schedules/{schedule}", params(("from" = Option<String>, Query), ("until" = Option<String>, Query)), responses((status = 200), (status = 404, body = Problem)))]
pub(super) async fn show(
    State(api): State<Api>,
    Asking(who): Asking,
    Path(id): Path<String>,
    wanted: Result<Query<Wanted>, axum::extract::rejection::QueryRejection>,
) -> Result<Response, Problem> {
    let allowed = api.may(&who, Permission::ViewSchedules)?;
    let Query(wanted) = wanted.map_err(|error| Problem::bad(error.body_text()))?;
    let id: ScheduleId = parse(&id)?;
    let schedule = api.rows.schedule(&id);
    if schedule.of.is_none() {
        return Err(Problem::missing("schedule", id.as_str()));
    }
    api.may_with(&who, Permission::ViewSchedules, &place(&api, schedule.ward.as_ref()))?;
    let now = api.clock.now();
    let instant = |text: &str, other: Timestamp| if text.is_empty() { Ok(other) } else { parse::<Timestamp>(text) };
    let from = instant(&wanted.from, now)?;
    let until = instant(&wanted.until, from.plus_seconds(14 * 24 * 3_600))?;
    let sessions: Vec<Session> = schedule.sessions.values().filter(|session| session.until > from && session.from < until).cloned().collect();
    let is_shown = |appointment: &&Appointment| sessions.iter().any(|session| session.number == appointment.session) && may_know(&api, &who, &appointment.patient);
    let appointments: Vec<Appointment> = schedule.appointments.values().filter(is_shown).map(|known| discreet(&api, &who, known.clone())).collect();
    let waiting = schedule.sessions.keys().flat_map(|session| schedule.waiting(*session)).filter_map(|known| match known.standing {
        Standing::Waiting { token, .. } => Some(token),
        _ => None,
    });
    api.shown_list(&allowed, Record::Schedule, appointments.iter().map(|known| known.patient.clone()).collect()).await?;
    let view = ScheduleView {
        slots: slots(&schedule, (from, until), now),
        waiting: waiting.collect(),
        name: schedule.name.clone(),
        of: schedule.of,
        closures: schedule.closures.clone(),
        schedule: id,
        sessions,
        appointments,
    };
    Ok(Json(view).into_response())
}

/// An appointment as somebody may see it: what it is for is part of the record.
fn discreet(api: &Api, who: &Who, appointment: Appointment) -> Appointment {
    if who.rights.may(Permission::ViewPatient, &api.gate.patient(&appointment.patient)).is_ok() {
        return appointment;
    }
    let standing = match appointment.standing {
        Standing::Cancelled { .. } => Standing::Cancelled { why: String::new() },
        other => other,
    };
    Appointment { reason: String::new(), standing, ..appointment }
}

/// Whether somebody may know that a patient is booked: not of the restricted, unless they are theirs.
pub(super) fn may_know(api: &Api, who: &Who, patient: &Mrn) -> bool {
    match api.gate.patient(patient) {
        Subject::Patient(place) if place.is_restricted => who.rights.may(Permission::ViewPatient, &Subject::Patient(place)).is_ok(),
        _ => true,
    }
}

/// A schedule that is to be made.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Making {
    /// Its id, such as `DR-ADAMS`.
    #[schema(value_type = String)]
    schedule: ScheduleId,
    /// What people call it.
    name: String,
    /// `practitioner`, `room` or `device`.
    #[schema(value_type = String)]
    of: Of,
    /// The ward whose people see it and book; without one whoever may book at all.
    #[serde(default)]
    #[schema(value_type = Option<String>)]
    ward: Option<WardId>,
    /// Who acts, in an open house; else who is signed in.
    #[serde(default)]
    user: Option<String>,
}

/// Where a schedule belongs, for the question who may.
pub(super) fn place(api: &Api, ward: Option<&WardId>) -> Subject {
    ward.and_then(|ward| api.gate.ward(ward.as_str())).map_or(Subject::Anything, Subject::Ward)
}

/// Makes a schedule.
#[utoipa::path(post, path = "/api/v1/schedules", request_body = Making, responses((status = 201), (status = 409, body = Problem)))]
pub(super) async fn make(State(api): State<Api>, Asking(who): Asking, Key(key): Key, Body(body): Body<Making>) -> Result<Response, Problem> {
    if let Some(ward) = body.ward.as_ref().filter(|ward| api.gate.ward(ward.as_str()).is_none()) {
        return Err(Problem::missing("ward", ward.as_str()));
    }
    let allowed = api.may_with(&who, Permission::ManageSchedules, &place(&api, body.ward.as_ref()))?;
    let origin = api.origin(key, &allowed, body.user.as_deref())?;
    let outcome = api.hospital.schedule(&body.schedule, Command::Make { name: body.name, of: body.of, ward: body.ward }, origin).await;
    Ok(api.answer(&StreamId::new(StreamKind::Schedule, body.schedule.as_str()), key, &outcome, StatusCode::CREATED))
}

/// What is needed for what is done.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, default)]
pub(super) struct ScheduleAction {
    /// To `open`: sessions with from, until, slot_minutes, places, overbooking, walk_ins; all are opened or none.
    #[schema(value_type = Vec<Object>)]
    sessions: Vec<Opening>,
    /// To `close` and `reopen`: from when.
    #[schema(value_type = Option<String>)]
    from: Option<Timestamp>,
    /// To `close`: until when.
    #[schema(value_type = Option<String>)]
    until: Option<Timestamp>,
    /// Why; to `book` and `walk-in`: what for.
    reason: Option<String>,
    /// Who, to `book` and `walk-in`.
    #[schema(value_type = Option<String>)]
    patient: Option<Mrn>,
    /// The beginning of the slot, to `book` and `move`.
    #[schema(value_type = Option<String>)]
    start: Option<Timestamp>,
    /// Whether more than the places may be taken; needs the permission for it.
    overbook: bool,
    /// The appointment's number.
    number: Option<u32>,
    /// The session's number, to `withdraw`.
    session: Option<u32>,
    /// To `hold`: for so many minutes, 15 without it, a day at most.
    minutes: Option<u32>,
    /// To `hold`: what is to be paid, amount and currency.
    #[schema(value_type = Option<Object>)]
    fee: Option<Money>,
    /// To `confirm`: what was paid, with reference and amount.
    #[schema(value_type = Option<Object>)]
    payment: Option<Payment>,
    /// To `refund`: the number under which it was given back.
    reference: Option<String>,
    /// Which queue, to `check-in`, `walk-in` and `call-next`.
    category: Option<String>,
    /// Who acts, in an open house; else who is signed in.
    user: Option<String>,
}

impl Making {
    /// A schedule, by whoever is signed in.
    pub(super) fn of(schedule: ScheduleId, name: String, of: Of) -> Self {
        Self { schedule, name, of, ward: None, user: None }
    }
}

impl ScheduleAction {
    /// To open a session.
    pub(super) fn open(session: Opening) -> Self {
        Self { sessions: vec![session], ..Self::default() }
    }

    /// To close for a time.
    pub(super) fn close(from: Timestamp, until: Timestamp, reason: String) -> Self {
        Self { from: Some(from), until: Some(until), reason: Some(reason), ..Self::default() }
    }

    /// To open again what was closed from an instant on.
    pub(super) fn reopen(from: Timestamp) -> Self {
        Self { from: Some(from), ..Self::default() }
    }

    /// To book.
    pub(super) fn book(patient: Mrn, start: Timestamp, reason: String) -> Self {
        Self { patient: Some(patient), start: Some(start), reason: Some(reason).filter(|reason| !reason.is_empty()), ..Self::default() }
    }

    /// To move.
    pub(super) fn move_to(number: u32, start: Timestamp) -> (&'static str, Self) {
        ("move", Self { number: Some(number), start: Some(start), ..Self::default() })
    }

    /// Another action, with its reason.
    pub(super) fn of(action: &'static str, number: u32, reason: String) -> (&'static str, Self) {
        (action, Self { number: Some(number), reason: Some(reason).filter(|reason| !reason.is_empty()), ..Self::default() })
    }

    fn said(&self) -> String {
        self.reason.clone().unwrap_or_default()
    }

    /// The command and the permission that it needs; the visit of somebody who is here is put in later.
    fn command(&self, action: &str, (visit, now): (&EncounterId, Timestamp)) -> Result<(Command, Permission), Problem> {
        let number = || needed(&self.number, "number");
        let category = || self.category.clone().unwrap_or_default();
        Ok(match action {
            "open" => (Command::Open(self.sessions.clone()), Permission::ManageSchedules),
            "close" => {
                let closure = Closure { from: needed(&self.from, "from")?, until: needed(&self.until, "until")?, reason: self.said() };
                (Command::Close(closure), Permission::ManageSchedules)
            }
            "reopen" => (Command::Reopen { from: needed(&self.from, "from")? }, Permission::ManageSchedules),
            "book" => {
                let book = Command::Book { patient: needed(&self.patient, "patient")?, start: needed(&self.start, "start")?, reason: self.said(), may_overbook: self.overbook };
                (book, Permission::Book)
            }
            "hold" => {
                let until = now.plus_seconds(i64::from(self.minutes.unwrap_or(HELD_MINUTES)) * 60);
                let hold = Command::Hold { patient: needed(&self.patient, "patient")?, start: needed(&self.start, "start")?, reason: self.said(), until, fee: self.fee };
                (hold, Permission::Book)
            }
            "confirm" => (Command::Confirm { number: number()?, payment: self.payment.clone() }, Permission::Book),
            "refund" => (Command::Refund { number: number()?, reference: self.reference.clone().unwrap_or_default() }, Permission::TakePayments),
            "withdraw" => (Command::Withdraw { session: needed(&self.session, "session")? }, Permission::ManageSchedules),
            "move" => (Command::Move { number: number()?, start: needed(&self.start, "start")?, may_overbook: self.overbook }, Permission::Book),
            "cancel" => (Command::Cancel { number: number()?, reason: self.said() }, Permission::Book),
            "miss" => (Command::Miss { number: number()? }, Permission::CallPatients),
            "check-in" => (Command::Arrive { number: number()?, encounter: visit.clone(), category: category() }, Permission::CallPatients),
            "walk-in" => {
                (Command::WalkIn { patient: needed(&self.patient, "patient")?, reason: self.said(), encounter: visit.clone(), category: category() }, Permission::CallPatients)
            }
            "call-next" => (Command::CallNext { category: self.category.clone() }, Permission::CallPatients),
            "fulfil" => (Command::Fulfil { number: number()? }, Permission::CallPatients),
            other => return Err(Problem::missing("action", other)),
        })
    }
}

/// A visit for somebody who is here: the stay that is open, or a new one of an outpatient, and whether it is new.
struct Visit {
    encounter: EncounterId,
    patient: Mrn,
    is_new: bool,
}

/// Whose visit a command begins.
fn comes(api: &Api, id: &ScheduleId, command: &Command) -> Result<Option<Mrn>, Problem> {
    match command {
        Command::WalkIn { patient, .. } => Ok(Some(patient.clone())),
        Command::Arrive { number, .. } => {
            let known = api.rows.schedule(id).appointments.get(number).map(|known| known.patient.clone());
            known.map(Some).ok_or_else(|| Problem::missing("appointment", &number.to_string()))
        }
        _ => Ok(None),
    }
}

/// The visit begins before the patient waits: who waits without one would be nobody's.
async fn begin_visit(api: &Api, (patient, ward): (&Mrn, Option<WardId>), key: Identity, origin: Origin) -> Result<Visit, Problem> {
    let open = api.rows.person_now(patient).into_iter().find_map(|(_, record)| record.stay);
    // The same request again finds the stay that it began.
    if let Some(encounter) = open.filter(|open| *open != key.part(1).encounter()) {
        return Ok(Visit { encounter, patient: patient.clone(), is_new: false });
    }
    let encounter = key.part(1).encounter();
    let admission = census::Admission { patient: patient.clone(), encounter: Some(encounter.clone()), class: Class::Outpatient, bed: None, mother: None, account: None, ward };
    match api.hospital.census(census::Command::Admit(admission), origin).await {
        Outcome::Done(_) | Outcome::Repeated | Outcome::Nothing => Ok(Visit { encounter, patient: patient.clone(), is_new: true }),
        Outcome::Refused(refusal) => Err(Problem::refused(&refusal)),
        Outcome::Held(_, reason) => Err(Problem::new(StatusCode::ACCEPTED, reason.word(), reason.sentence())),
        Outcome::Failed(failure) => Err(Problem::failed(&failure)),
    }
}

/// Leave for an action: overbooking needs more, and of the restricted only those book who may know them.
fn leave(api: &Api, who: &Who, (id, body): (&ScheduleId, &ScheduleAction), permission: Permission) -> Result<Allowed, Problem> {
    let place = place(api, api.rows.schedule(id).ward.as_ref());
    if body.overbook {
        api.may_with(who, Permission::Overbook, &place)?;
    }
    let allowed = api.may_with(who, permission, &place)?;
    // Who is named, or whose appointment it is.
    let booked = || api.rows.schedule(id).appointments.get(&body.number?).map(|known| known.patient.clone());
    let Some(patient) = &body.patient.clone().or_else(booked) else { return Ok(allowed) };
    if api.rows.person_now(patient).iter().all(|(_, record)| *record == Patient::default()) {
        return Err(Problem::missing("patient", patient.as_str()));
    }
    match may_know(api, who, patient) {
        true => Ok(allowed),
        false => Err(Problem::new(StatusCode::FORBIDDEN, "restricted", "this patient's record is restricted: ask whoever looks after them to do this")),
    }
}

/// Everything that is done with a schedule: `open`, `withdraw` (a session that nobody is booked into), `close`, `reopen`, `book`, `hold` (until
/// somebody pays), `confirm` (with the `payment` where there is a fee; once, however often it is told), `refund`, `move`, `cancel`, `miss` (the patient did not come),
/// `check-in` and `walk-in` (the patient is here, gets a token, and a visit begins), `call-next`, `fulfil`.
#[utoipa::path(post, path = "/api/v1/schedules/{schedule}/{action}", request_body = ScheduleAction, responses((status = 200), (status = 409, body = Problem)))]
pub(super) async fn act(
    State(api): State<Api>,
    Asking(who): Asking,
    Path((id, action)): Path<(String, String)>,
    Key(key): Key,
    Body(body): Body<ScheduleAction>,
) -> Result<Response, Problem> {
    let id: ScheduleId = parse(&id)?;
    let (command, permission) = body.command(&action, (&key.part(1).encounter(), api.clock.now()))?;
    // Who was booked or admitted a moment ago at another desk is known here too.
    let _ = api.caught_up().await;
    let allowed = leave(&api, &who, (&id, &body), permission)?;
    body.patient.iter().try_for_each(|patient| patients::gone(&api, patient))?;
    let origin = |key: Identity| api.origin(key, &allowed, body.user.as_deref());
    let over = goes(&api, &id, &command);
    let visit = match comes(&api, &id, &command)? {
        Some(patient) => Some(begin_visit(&api, (&patient, api.rows.schedule(&id).ward), key, origin(key.part(1))?).await?),
        None => None,
    };
    let command = match (&visit, command) {
        (Some(visit), Command::Arrive { number, category, .. }) => Command::Arrive { number, encounter: visit.encounter.clone(), category },
        (Some(visit), Command::WalkIn { patient, reason, category, .. }) => Command::WalkIn { patient, reason, encounter: visit.encounter.clone(), category },
        (_, command) => command,
    };
    let outcome = api.hospital.schedule(&id, command, origin(key)?).await;
    if let (Some(Visit { patient, is_new: true, .. }), Outcome::Refused(_)) = (&visit, &outcome) {
        // Nobody waits, so the visit that was begun for it is taken back.
        let cancel = census::Command::CancelAdmission { patient: patient.clone(), bed: None };
        let _ = api.hospital.census(cancel, origin(key.part(2))?).await;
    }
    if let (Some((patient, encounter)), Outcome::Done(_)) = (over, &outcome) {
        end_visit(&api, (patient, encounter), origin(key.part(3))?).await;
    }
    Ok(api.answer(&StreamId::new(StreamKind::Schedule, id.as_str()), key, &outcome, StatusCode::OK))
}

/// Whose visit ends with an appointment: that of somebody who came for it, lies in no bed, and waits for nobody else.
fn goes(api: &Api, id: &ScheduleId, command: &Command) -> Option<(Mrn, EncounterId)> {
    let Command::Fulfil { number } = command else { return None };
    let schedule = api.rows.schedule(id);
    let known = schedule.appointments.get(number)?;
    let (Standing::Waiting { encounter, .. } | Standing::Called { encounter, .. }) = &known.standing else { return None };
    let is_of_it = |booked: &Booked| {
        let (Standing::Waiting { encounter: of, .. } | Standing::Called { encounter: of, .. }) = &booked.appointment.standing else { return false };
        of == encounter && !(booked.schedule == id.as_str() && booked.appointment.number == *number)
    };
    let waits_elsewhere = of_patient(api, &known.patient).iter().any(is_of_it);
    match api.rows.get::<EncounterRow>("encounter", encounter.as_str())?.encounter {
        Encounter::Open(stay) if stay.class == Class::Outpatient && stay.bed.is_none() && !waits_elsewhere => Some((known.patient.clone(), encounter.clone())),
        _ => None,
    }
}

/// Where the house wants clearances first, the stay stays open until somebody ends it.
async fn end_visit(api: &Api, (patient, encounter): (Mrn, EncounterId), origin: Origin) {
    let _ = api.hospital.census(census::Command::EndVisit { patient, encounter }, origin).await;
}

/// A time in which the whole house is closed.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Holiday {
    /// From when.
    #[schema(value_type = String)]
    from: Timestamp,
    /// Until when.
    #[schema(value_type = String)]
    until: Timestamp,
    /// Its name.
    reason: String,
    /// Who acts, in an open house; else who is signed in.
    #[serde(default)]
    user: Option<String>,
}

/// Closes every schedule that there is for a time. The answer says which appointments of each need another time; a schedule that did not
/// take it says why, and the others are closed all the same.
#[utoipa::path(post, path = "/api/v1/holidays", request_body = Holiday, responses((status = 200), (status = 409, body = Problem)))]
pub(super) async fn holiday(State(api): State<Api>, Asking(who): Asking, Key(key): Key, Body(body): Body<Holiday>) -> Result<Response, Problem> {
    // It closes the schedules of every ward.
    let allowed = api.may_with(&who, Permission::ManageSchedules, &Subject::House)?;
    let _ = api.caught_up().await;
    let mut answers = Vec::new();
    for (name, _) in api.rows.schedules() {
        let id: ScheduleId = parse(&name)?;
        let closure = Closure { from: body.from, until: body.until, reason: body.reason.clone() };
        // By its name: a repetition finds what it did, also when there are other schedules by now.
        let key = key.part(crc32c::crc32c(name.as_bytes()));
        let (status, why) = match api.hospital.schedule(&id, Command::Close(closure), api.origin(key, &allowed, body.user.as_deref())?).await {
            Outcome::Done(_) | Outcome::Repeated | Outcome::Nothing => ("closed", None),
            Outcome::Refused(refusal) => ("refused", Some(refusal.message)),
            Outcome::Held(_, reason) => ("refused", Some(reason.sentence())),
            Outcome::Failed(failure) => ("failed", Some(failure.to_string())),
        };
        let done = api.done_before(&StreamId::new(StreamKind::Schedule, &name), key)?;
        let meets = done.iter().find_map(|event| event.get("meets").cloned()).unwrap_or_else(|| serde_json::json!([]));
        answers.push(serde_json::json!({ "schedule": name, "status": status, "why": why, "needs_rebooking": meets }));
    }
    Ok(axum::Json(serde_json::json!({ "schedules": answers })).into_response())
}

/// An appointment with its schedule.
#[derive(Debug, Serialize)]
pub(super) struct Booked {
    pub(super) schedule: String,
    pub(super) name: String,
    pub(super) end: Option<Timestamp>,
    #[serde(flatten)]
    pub(super) appointment: Appointment,
}

/// An appointment of a schedule.
pub(super) fn booked(id: &str, schedule: &Schedule, appointment: &Appointment) -> Booked {
    let end = appointment.start.and_then(|start| Some(schedule.sessions.get(&appointment.session)?.end_of(start)));
    Booked { schedule: id.to_owned(), name: schedule.name.clone(), end, appointment: appointment.clone() }
}

/// The appointments of a person under all their numbers, of the last week and to come.
pub(super) fn of_patient(api: &Api, mrn: &Mrn) -> Vec<Booked> {
    let numbers = api.rows.person_now(mrn).into_iter().map(|(number, _)| number);
    let one = |(id, number): (String, u32)| {
        let schedule = api.rows.schedule(&id.parse().ok()?);
        Some(booked(&id, &schedule, schedule.appointments.get(&number)?))
    };
    numbers.flat_map(|number| api.rows.booked(&number)).filter_map(one).collect()
}

/// A patient's appointments, of the last week and to come.
#[utoipa::path(get, path = "/api/v1/patients/{mrn}/appointments", responses((status = 200)))]
pub(super) async fn of(State(api): State<Api>, Asking(who): Asking, Path(mrn): Path<String>) -> Result<Response, Problem> {
    let allowed = api.may(&who, Permission::ViewSchedules)?;
    let mrn: Mrn = parse(&mrn)?;
    if !may_know(&api, &who, &mrn) {
        api.may_patient(&who, Permission::ViewPatient, &mrn).await?;
    }
    let found: Vec<Booked> = of_patient(&api, &mrn).into_iter().map(|booked| Booked { appointment: discreet(&api, &who, booked.appointment), ..booked }).collect();
    api.shown(&allowed, Record::Schedule, None, vec![mrn]).await?;
    Ok(Json(found).into_response())
}
