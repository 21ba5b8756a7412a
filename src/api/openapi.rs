//! The OpenAPI document, made from the handlers.

use axum::Json;
use utoipa::OpenApi;

use super::{audit, beds, cabinets, chart, devices, emergencies, lab, ledger, patients, quarantine, schedules, session, users, wristbands};

/// The document's root.
#[derive(OpenApi)]
#[openapi(
    info(
        title = "wardd",
        description = "Patients, stays, beds, specimens, cabinets, accounts, devices, quarantine, users and the audit of a hospital. Sign in with POST /api/v1/session and send its token as `Authorization: Bearer …`. Errors are application/problem+json; POST takes Idempotency-Key."
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
        wristbands::print,
        schedules::list,
        schedules::show,
        schedules::make,
        schedules::act,
        schedules::of,
        chart::show,
        chart::measurements,
        chart::act,
        chart::open_alerts,
        ledger::list,
        ledger::show,
        ledger::act,
        devices::list,
        devices::tags,
        devices::summary,
        quarantine::list,
        quarantine::show,
        quarantine::act,
        session::sign_in,
        session::show,
        session::sign_out,
        session::password,
        session::pin,
        session::second_factor,
        session::first_run,
        session::vouch,
        users::list,
        users::show,
        users::add,
        users::act,
        emergencies::open,
        emergencies::list,
        emergencies::review,
        audit::report
    )
)]
struct Document;

/// The document.
pub(super) async fn document() -> Json<utoipa::openapi::OpenApi> {
    Json(Document::openapi())
}
