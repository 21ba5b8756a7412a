//! Beds.

use axum::Json;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::Response;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::command::{Body, Key, parse};
use super::problem::Problem;
use super::state::Api;
use crate::domain::bed::{Command, Leaving};
use crate::kernel::{BedId, Mrn, StreamId, StreamKind};
use crate::projection::BedRow;

/// A bed as the API shows it.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct BedView {
    bed: String,
    /// Who lies in it.
    patient: Option<String>,
    /// Since when.
    since: Option<String>,
}

fn view(api: &Api, bed: &BedId) -> BedView {
    let row: BedRow = api.rows.get("bed", bed.as_str()).unwrap_or_default();
    BedView { bed: bed.to_string(), patient: row.patient.map(|patient| patient.to_string()), since: row.since.map(|since| since.to_string()) }
}

/// All beds.
#[utoipa::path(get, path = "/api/v1/beds", responses((status = 200, body = Vec<BedView>)))]
pub(super) async fn list(State(api): State<Api>) -> Json<Vec<BedView>> {
    Json(api.hospital.layout().wards.values().flatten().map(|bed| view(&api, bed)).collect())
}

fn known(api: &Api, bed: &str) -> Result<BedId, Problem> {
    let bed: BedId = parse(bed)?;
    let is_known = api.hospital.layout().wards.values().any(|beds| beds.contains(&bed));
    if is_known { Ok(bed) } else { Err(Problem::missing("bed", bed.as_str())) }
}

/// One bed.
#[utoipa::path(get, path = "/api/v1/beds/{bed}", responses((status = 200, body = BedView), (status = 404, body = Problem)))]
pub(super) async fn show(State(api): State<Api>, Path(bed): Path<String>) -> Result<Json<BedView>, Problem> {
    known(&api, &bed).map(|bed| Json(view(&api, &bed)))
}

/// Who.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct BedAction {
    /// Medical record number.
    #[schema(value_type = String, example = "1001")]
    patient: Mrn,
    /// Who acts.
    #[serde(default)]
    user: Option<String>,
}

/// `admit`, `discharge` or `cancel`.
#[utoipa::path(post, path = "/api/v1/beds/{bed}/{action}", request_body = BedAction, responses((status = 200), (status = 409, body = Problem)))]
pub(super) async fn act(State(api): State<Api>, Path((bed, action)): Path<(String, String)>, Key(key): Key, Body(body): Body<BedAction>) -> Result<Response, Problem> {
    let bed = known(&api, &bed)?;
    let patient = body.patient;
    let command = match action.as_str() {
        "admit" => Command::Admit { patient },
        "discharge" => Command::Release { patient, reason: Leaving::Discharge },
        "cancel" => Command::Release { patient, reason: Leaving::Cancelled },
        other => return Err(Problem::missing("action", other)),
    };
    let outcome = api.hospital.bed(&bed, command, api.origin(key, body.user.as_deref(), None)?).await;
    Ok(api.answer(&StreamId::new(StreamKind::Bed, bed.as_str()), key, &outcome, StatusCode::OK))
}
