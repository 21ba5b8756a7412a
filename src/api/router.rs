//! Which path leads where.

use axum::extract::{DefaultBodyLimit, State};
use axum::http::{StatusCode, header};
use axum::middleware;
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};

use super::guard::Asking;
use super::problem::Problem;
use super::state::Api;
use super::{
    audit, bed_board, beds, cabinets, calendar, ccd, chart, command, devices, directory, documents, emergencies, emergency_department, fhir, forms, growth, guard, housekeeping,
    lab, ledger, login, openapi, own, page, patient_page, patients, photos, provider, quarantine, reports, schedules, session, tasks, users, ward_sheet, wristbands,
};
use crate::domain::rights::Permission;
use crate::kernel::limits;
use crate::telemetry;

/// All routes.
pub fn router(api: Api) -> Router {
    let v1 = Router::new()
        .route("/lab-orders", post(lab::order))
        .route("/specimens", get(lab::list))
        .route("/specimens/{accession}", get(lab::show))
        .route("/specimens/{accession}/{action}", post(lab::act))
        .route("/cabinets", get(cabinets::list))
        .route("/cabinets/{cabinet}", get(cabinets::show))
        .route("/cabinets/{cabinet}/{action}", post(cabinets::act))
        .route("/beds", get(beds::list))
        .route("/housekeeping", get(housekeeping::list))
        .route("/beds/{bed}", get(beds::show))
        .route("/beds/{bed}/{action}", post(beds::act))
        .route("/patients", get(patients::find).post(patients::register))
        .route("/patients/{mrn}", get(patients::show))
        .route("/patients/{mrn}/{action}", post(patients::act))
        .route("/patients/{mrn}/photo", get(photos::show).post(photos::take).delete(photos::remove))
        .route("/patients/{mrn}/print-wristband", post(wristbands::print))
        .route("/patients/{mrn}/chart", get(chart::show))
        .route("/patients/{mrn}/vitals", get(chart::measurements))
        .route("/patients/{mrn}/chart/{action}", post(chart::act))
        .route("/patients/{mrn}/growth", get(growth::show))
        .route("/patients/{mrn}/ccd.xml", get(ccd::show))
        .route("/patients/{mrn}/documents", post(documents::file).layer(DefaultBodyLimit::max(limits::DOCUMENT_BODY_BYTES)))
        .route("/patients/{mrn}/documents/{number}", get(documents::show))
        .route("/patients/{mrn}/tasks", get(tasks::of_patient))
        .route("/patients/{mrn}/tasks/{action}", post(tasks::act))
        .route("/wards/{ward}/tasks", get(tasks::of_ward))
        .route("/directory", get(directory::list).post(directory::add))
        .route("/directory/{id}", post(directory::change))
        .route("/forms", get(forms::list))
        .route("/emergency-department", get(emergency_department::list))
        .route("/reports/census", get(reports::census))
        .route("/alerts", get(chart::open_alerts))
        .route("/patients/{mrn}/appointments", get(schedules::of))
        .route("/schedules", get(schedules::list).post(schedules::make))
        .route("/holidays", post(schedules::holiday))
        .route("/schedules/{schedule}", get(schedules::show))
        .route("/schedules/{schedule}/calendar.ics", get(calendar::feed))
        .route("/schedules/{schedule}/{action}", post(schedules::act))
        .route("/encounters/{encounter}", get(patients::encounter))
        .route("/accounts", get(ledger::list))
        .route("/accounts/{mrn}", get(ledger::show))
        .route("/accounts/{mrn}/{action}", post(ledger::act))
        .route("/devices", get(devices::list))
        .route("/tags", get(devices::tags))
        .route("/quarantine", get(quarantine::list))
        .route("/quarantine/{item}", get(quarantine::show))
        .route("/quarantine/{item}/{action}", post(quarantine::act))
        .route("/summary", get(devices::summary))
        .route("/session", get(session::show).post(session::sign_in).delete(session::sign_out))
        .route("/me/password", post(session::password))
        .route("/me/pin", post(session::pin))
        .route("/me/second-factor", post(session::second_factor))
        .route("/first-run", post(session::first_run))
        .route("/witnesses", post(session::vouch))
        .route("/users", get(users::list).post(users::add))
        .route("/users/{user}", get(users::show))
        .route("/users/{user}/{action}", post(users::act))
        .route("/emergencies", get(emergencies::list).post(emergencies::open))
        .route("/emergencies/{user}/{emergency}", post(emergencies::review))
        .route("/audit", get(audit::report))
        .route("/openapi.json", get(openapi::document))
        .layer(middleware::from_fn(command::fingerprint))
        .layer(middleware::from_fn_with_state(api.clone(), guard::fresh));
    let fhir = fhir::routes().layer(middleware::from_fn(command::fingerprint)).layer(middleware::from_fn_with_state(api.clone(), guard::fresh));
    let base = fhir::base().layer(middleware::from_fn(command::fingerprint));
    Router::new()
        .nest("/api/v1", v1)
        .nest("/fhir/R4", fhir)
        .merge(base)
        .route("/", get(page::board))
        .route("/login", get(login::show).post(login::sign_in))
        .route("/login/provider", get(provider::begin))
        .route(provider::PROVIDER_BACK, get(provider::back))
        .route("/logout", post(login::sign_out))
        .route("/password", get(own::password_page).post(own::password))
        .route("/second-factor", get(own::factor_page).post(own::factor))
        .route("/events", get(page::events))
        .route("/beds", get(bed_board::show))
        .route("/wards/{ward}/sheet", get(ward_sheet::show))
        .route("/wards/{ward}/tasks", get(tasks::page))
        .route("/emergency", get(emergency_department::page))
        .route("/schedules/{schedule}/display", get(calendar::display))
        .route("/patients", get(patient_page::ask).post(patient_page::find))
        .route("/patients/{mrn}", get(patient_page::show))
        .route("/patients/{mrn}/notes/{number}", get(forms::print))
        .route("/patients/{mrn}/forms/{form}", get(forms::blank))
        .route("/beds/events", get(bed_board::events))
        .route("/style.css", get(page::style))
        .route("/board.js", get(page::script))
        .route("/ask.js", get(page::asking))
        .route("/metrics", get(metrics))
        .route("/healthz", get(|| async { "ok\n" }))
        .route("/readyz", get(ready))
        .fallback(|| async { Problem::new(StatusCode::NOT_FOUND, "unknown", "there is nothing under this path: /api/v1/openapi.json lists what there is") })
        .method_not_allowed_fallback(|| async { Problem::new(StatusCode::METHOD_NOT_ALLOWED, "method", "this path takes another method: /api/v1/openapi.json says which") })
        .layer(middleware::from_fn_with_state(api.clone(), guard::guard))
        .layer(middleware::from_fn(fhir::as_outcome))
        .layer(middleware::from_fn(super::size::sized))
        .layer(middleware::from_fn(super::problem::as_page))
        .layer(DefaultBodyLimit::max(limits::HTTP_BODY_BYTES))
        .with_state(api)
}

async fn metrics(State(api): State<Api>, Asking(who): Asking) -> Result<Response, Problem> {
    api.may(&who, Permission::ViewMetrics)?;
    let (open, oldest_seconds) = api.waiting();
    telemetry::quarantine_open(open, oldest_seconds);
    telemetry::journal_head(api.history.head());
    telemetry::consumers_behind(api.history.head());
    devices::configured(&api);
    Ok(([(header::CONTENT_TYPE, "text/plain; version=0.0.4")], telemetry::render()).into_response())
}

/// Ready when the journal takes what comes, the read models have caught up with what was there at the start, and everybody is found.
async fn ready(State(api): State<Api>) -> Response {
    let (applied, head) = (api.rows.applied(), api.history.head());
    let (is_accepting, knows_people) = (api.history.is_accepting(), *api.rows.knows_people().borrow());
    let status = if is_accepting && knows_people && head.saturating_sub(applied) < 100_000 { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    (status, Json(serde_json::json!({ "journal": head, "is_accepting": is_accepting, "projection": applied, "knows_people": knows_people }))).into_response()
}
