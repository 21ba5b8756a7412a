//! What housekeeping has to do: beds that somebody has left, the one that has waited longest first.

use axum::Json;
use axum::extract::State;
use serde::Serialize;
use utoipa::ToSchema;

use super::guard::Asking;
use super::problem::Problem;
use super::state::Api;
use crate::domain::bed::Use;
use crate::domain::rights::Permission;
use crate::kernel::Timestamp;
use crate::projection::BedRow;

/// A bed that waits for housekeeping. It is done by `clean` of the bed.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Task {
    bed: String,
    ward: String,
    /// Since when it waits.
    since: String,
    /// How long that is, in minutes.
    waiting_minutes: i64,
    /// Why whoever lay there was isolated: it is cleaned in another way.
    #[serde(skip_serializing_if = "Option::is_none")]
    isolation: Option<String>,
}

/// Beds that wait for housekeeping, on the wards where one cleans, the longest waiting first.
#[utoipa::path(get, path = "/api/v1/housekeeping", responses((status = 200, body = Vec<Task>)))]
pub(super) async fn list(State(api): State<Api>, Asking(who): Asking) -> Result<Json<Vec<Task>>, Problem> {
    api.may(&who, Permission::CleanBeds)?;
    let now = api.clock.now();
    let mut found: Vec<(Timestamp, Task)> = Vec::new();
    for bed in api.hospital.layout().wards.values().flatten() {
        let row: BedRow = api.rows.get("bed", bed.as_str()).unwrap_or_default();
        let Use::Cleaning { since } = row.bed.used else { continue };
        if api.gate.bed(bed).is_ok_and(|ward| who.rights.may(Permission::CleanBeds, &ward).is_ok()) {
            let waiting_minutes = now.seconds_since(since) / 60;
            found.push((since, Task { bed: bed.to_string(), ward: bed.ward().to_owned(), since: since.to_string(), waiting_minutes, isolation: row.bed.isolation }));
        }
    }
    found.sort_by_key(|(since, _)| *since);
    Ok(Json(found.into_iter().map(|(_, task)| task).collect()))
}
