//! Photos of patients: taken at registration, shown where somebody must be told apart.

use axum::body::Bytes;
use axum::extract::{Path, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};

use super::command::{Key, parse};
use super::guard::Asking;
use super::problem::Problem;
use super::state::Api;
use crate::domain::census::Command;
use crate::domain::disclosure::Record;
use crate::domain::patient::Photo;
use crate::domain::rights::Permission;
use crate::kernel::{Mrn, StreamId, StreamKind};

/// The newest photo of a person, under whichever number.
#[utoipa::path(get, path = "/api/v1/patients/{mrn}/photo", responses((status = 200, content_type = "image/jpeg"), (status = 404, body = Problem)))]
pub(super) async fn show(State(api): State<Api>, Asking(who): Asking, Path(mrn): Path<String>) -> Result<Response, Problem> {
    let mrn: Mrn = parse(&mrn)?;
    let allowed = api.may_patient(&who, Permission::ViewPatient, &mrn).await?;
    let newest = api.rows.person_now(&mrn).into_iter().filter_map(|(number, record)| Some((record.photo?, number))).max();
    let missing = || Problem::new(StatusCode::NOT_FOUND, "unknown", format!("there is no photo of {mrn}: POST one to this path"));
    let (_, number) = newest.ok_or_else(missing)?;
    let photo = api.history.photo(&number).map_err(|error| Problem::unreadable(&error))?.ok_or_else(missing)?;
    api.shown(&allowed, Record::Patient, Some("photo"), vec![number]).await?;
    let headers = [(header::CONTENT_TYPE, photo.form.media_type()), (header::CACHE_CONTROL, "no-store"), (header::X_CONTENT_TYPE_OPTIONS, "nosniff")];
    Ok((headers, photo.bytes.0).into_response())
}

/// Takes a photo: the body is a JPEG or PNG of 256 KiB at most.
#[utoipa::path(post, path = "/api/v1/patients/{mrn}/photo", request_body(content = String, content_type = "image/jpeg"), responses((status = 200), (status = 422, body = Problem)))]
pub(super) async fn take(State(api): State<Api>, Asking(who): Asking, Path(mrn): Path<String>, Key(key): Key, body: Bytes) -> Result<Response, Problem> {
    let mrn: Mrn = parse(&mrn)?;
    let allowed = api.may_patient(&who, Permission::RegisterPatient, &mrn).await?;
    let photo = Photo::new(body).map_err(|error| Problem::new(StatusCode::UNPROCESSABLE_ENTITY, "invalid", error.to_string()))?;
    let outcome = api.hospital.census(Command::TakePhoto { patient: mrn.clone(), photo }, api.origin(key, &allowed, None)?).await;
    Ok(match api.answer(&StreamId::new(StreamKind::Patient, mrn.as_str()), key, &outcome, StatusCode::OK) {
        // Whoever has sent it need not get it back.
        done if done.status().is_success() => axum::Json(serde_json::json!({ "mrn": mrn })).into_response(),
        refused => refused,
    })
}

/// Takes the photos of a person away, under all their numbers.
#[utoipa::path(delete, path = "/api/v1/patients/{mrn}/photo", responses((status = 200)))]
pub(super) async fn remove(State(api): State<Api>, Asking(who): Asking, Path(mrn): Path<String>, Key(key): Key) -> Result<Response, Problem> {
    let mrn: Mrn = parse(&mrn)?;
    let allowed = api.may_patient(&who, Permission::RegisterPatient, &mrn).await?;
    let outcome = api.hospital.census(Command::RemovePhoto { patient: mrn.clone() }, api.origin(key, &allowed, None)?).await;
    api.answer_of_census(key, &outcome, || Ok(vec![StreamId::new(StreamKind::Patient, mrn.as_str())]))
}
