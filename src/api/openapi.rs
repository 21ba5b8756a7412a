//! The OpenAPI document, made from the handlers.

use axum::Json;
use utoipa::OpenApi;

use super::{beds, cabinets, devices, lab, ledger, patients, quarantine};

/// The document's root.
#[derive(OpenApi)]
#[openapi(
    info(
        title = "wardd",
        description = "Patients, stays, beds, specimens, cabinets, accounts, devices and quarantine of a hospital. Errors are application/problem+json; POST takes Idempotency-Key."
    ),
    paths(
        lab::order,
        lab::list,
        lab::show,
        lab::act,
        cabinets::list,
        cabinets::show,
        cabinets::act,
        beds::list,
        beds::show,
        beds::act,
        patients::find,
        patients::register,
        patients::show,
        patients::act,
        patients::encounter,
        ledger::list,
        ledger::show,
        ledger::act,
        devices::list,
        devices::tags,
        devices::summary,
        quarantine::list,
        quarantine::show,
        quarantine::act
    )
)]
struct Document;

/// The document.
pub(super) async fn document() -> Json<utoipa::openapi::OpenApi> {
    Json(Document::openapi())
}
