//! Records that are opened in emergencies, and their review.

use axum::Json;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::command::{Body, Key, parse};
use super::guard::Asking;
use super::problem::Problem;
use super::state::Api;
use crate::actor::Outcome;
use crate::domain::disclosure::Record;
use crate::domain::patient::Patient;
use crate::domain::rights::{Permission, Subject};
use crate::domain::user::{Command, EMERGENCY_MINUTES};
use crate::kernel::{Mrn, StreamId, StreamKind, UserId};
use crate::projection::EmergencyRow;

/// Whose record, and why.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Opening {
    /// Medical record number.
    #[schema(value_type = String, example = "1001")]
    patient: Mrn,
    /// Why it is needed.
    #[schema(example = "found unconscious on the stairs")]
    reason: String,
}

/// Opens a record in an emergency: for an hour, in this session, with the permissions of one's own roles.
#[utoipa::path(post, path = "/api/v1/emergencies", request_body = Opening, responses((status = 201), (status = 403, body = Problem), (status = 409, body = Problem)))]
pub(super) async fn open(State(api): State<Api>, Asking(who): Asking, Key(key): Key, Body(body): Body<Opening>) -> Result<Response, Problem> {
    let allowed = api.may(&who, Permission::BreakGlass)?;
    if api.caught_up().await && api.rows.person_now(&body.patient).iter().all(|(_, record)| *record == Patient::default()) {
        return Err(Problem::missing("patient", body.patient.as_str()));
    }
    let origin = api.origin(key, &allowed, None)?;
    let (id, outcome) = api.gate.break_glass(&who, &body.patient, &body.reason, origin).await.map_err(|refused| Problem::refused_access(&refused))?;
    match outcome {
        Outcome::Done(_) | Outcome::Nothing => Ok((StatusCode::CREATED, Json(serde_json::json!({ "emergency": id, "minutes": EMERGENCY_MINUTES }))).into_response()),
        other => Ok(api.answer(&StreamId::new(StreamKind::User, who.user.map(|user| user.to_string()).unwrap_or_default()), key, &other, StatusCode::CREATED)),
    }
}

/// An emergency as the API shows it.
#[derive(Debug, Serialize)]
struct EmergencyView {
    id: String,
    #[serde(flatten)]
    row: EmergencyRow,
}

/// What was opened in emergencies and waits for a review, the oldest first.
#[utoipa::path(get, path = "/api/v1/emergencies", responses((status = 200)))]
pub(super) async fn list(State(api): State<Api>, Asking(who): Asking) -> Result<Response, Problem> {
    let allowed = api.may_with(&who, Permission::ReviewGlass, &Subject::House)?;
    let mut waiting: Vec<EmergencyView> = api.rows.emergencies().into_iter().map(|(id, row)| EmergencyView { id, row }).collect();
    waiting.sort_by_key(|view| view.row.emergency.opened);
    api.shown_list(&allowed, Record::Audit, waiting.iter().map(|view| view.row.emergency.patient.clone()).collect()).await?;
    Ok(Json(waiting).into_response())
}

/// What somebody thinks of it.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Judgement {
    /// Whether it was right to open the record.
    is_justified: bool,
    /// What there is to say.
    #[serde(default)]
    comment: String,
}

/// Reviews one; whoever opened it may not.
#[utoipa::path(post, path = "/api/v1/emergencies/{user}/{emergency}", request_body = Judgement, responses((status = 200), (status = 409, body = Problem)))]
pub(super) async fn review(
    State(api): State<Api>,
    Asking(who): Asking,
    Path((user, emergency)): Path<(String, String)>,
    Key(key): Key,
    Body(body): Body<Judgement>,
) -> Result<Response, Problem> {
    let allowed = api.may_with(&who, Permission::ReviewGlass, &Subject::House)?;
    let user: UserId = parse(&user)?;
    let command = Command::Review { id: emergency.clone(), is_justified: body.is_justified, comment: body.comment };
    let outcome = api.hospital.user(&user, command, api.origin(key, &allowed, None)?).await;
    if matches!(outcome, Outcome::Done(_) | Outcome::Repeated) && !body.is_justified {
        api.gate.close_emergency(&emergency);
    }
    Ok(api.answer(&StreamId::new(StreamKind::User, user.as_str()), key, &outcome, StatusCode::OK))
}
