//! Devices: when they were last heard, what went wrong, how far their clocks are off.

use axum::Json;
use axum::extract::State;
use serde::Serialize;
use utoipa::ToSchema;

use super::guard::Asking;
use super::list::keyed;
use super::problem::Problem;
use super::state::Api;
use crate::domain::rights::Permission;
use crate::projection::TagRow;
use crate::telemetry::{self, DeviceSnapshot};

/// All devices.
#[utoipa::path(get, path = "/api/v1/devices", responses((status = 200)))]
pub(super) async fn list(State(api): State<Api>, Asking(who): Asking) -> Result<Json<Vec<DeviceSnapshot>>, Problem> {
    api.may(&who, Permission::ViewDevices)?;
    Ok(Json(configured(&api)))
}

/// The figures of the configured devices only.
pub(super) fn configured(api: &Api) -> Vec<DeviceSnapshot> {
    let known = &api.hospital.layout().devices;
    telemetry::devices(api.clock.now()).into_iter().filter(|figures| known.iter().any(|device| device.as_str() == figures.device)).collect()
}

/// Where tags were seen last.
#[utoipa::path(get, path = "/api/v1/tags", responses((status = 200)))]
pub(super) async fn tags(State(api): State<Api>, Asking(who): Asking) -> Result<Json<Vec<serde_json::Value>>, Problem> {
    api.may(&who, Permission::ViewDevices)?;
    Ok(Json(api.rows.list::<TagRow>("tag", "", 500).into_iter().map(|row| keyed("tag", row)).collect()))
}

/// The state of the whole in a few numbers.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Summary {
    /// Events in the journal.
    events: u64,
    /// The event that the read models reflect.
    projection: u64,
    /// Things that wait for a person.
    quarantine_open: usize,
    /// How long the oldest of them has waited, in seconds.
    quarantine_oldest_seconds: i64,
}

/// The state of the whole.
#[utoipa::path(get, path = "/api/v1/summary", responses((status = 200, body = Summary)))]
pub(super) async fn summary(State(api): State<Api>, Asking(who): Asking) -> Result<Json<Summary>, Problem> {
    api.may(&who, Permission::ViewDevices)?;
    let (open, oldest_seconds) = api.waiting();
    Ok(Json(Summary { events: api.history.head(), projection: api.rows.applied(), quarantine_open: open, quarantine_oldest_seconds: oldest_seconds }))
}
