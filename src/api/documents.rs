//! Documents of patients: letters, consents, pictures, filed as they came and never changed.

use axum::body::Bytes;
use axum::extract::{Path, Query, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::Deserialize;
use sha2::{Digest, Sha256};

use super::command::{Key, parse};
use super::guard::Asking;
use super::problem::Problem;
use super::state::Api;
use crate::domain::census::Command;
use crate::domain::chart::Paper;
use crate::domain::disclosure::Record;
use crate::domain::document::Content;
use crate::domain::rights::Permission;
use crate::kernel::{DocumentId, EncounterId, Mrn, StreamId, StreamKind};

/// What a document is.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Filing {
    title: String,
    encounter: Option<EncounterId>,
}

/// Files a document: the body is a PDF, JPEG or PNG of 4 MiB at most. What was filed is listed in the chart (`documents`).
#[utoipa::path(post, path = "/api/v1/patients/{mrn}/documents", params(("title" = String, Query, description = "what people call it"), ("encounter" = Option<String>, Query, description = "about which stay")), request_body(content = String, content_type = "application/octet-stream", description = "a PDF, JPEG or PNG, told by its first bytes"), responses((status = 200), (status = 422, body = Problem)))]
pub(super) async fn file(
    State(api): State<Api>,
    Asking(who): Asking,
    Path(mrn): Path<String>,
    Key(key): Key,
    filing: Result<Query<Filing>, axum::extract::rejection::QueryRejection>,
    body: Bytes,
) -> Result<Response, Problem> {
    let mrn: Mrn = parse(&mrn)?;
    let Query(filing) = filing.map_err(|error| Problem::bad(error.body_text()))?;
    let allowed = api.may_patient(&who, Permission::FileDocuments, &mrn).await?;
    let digest = Sha256::digest(&body).iter().map(|byte| format!("{byte:02x}")).collect();
    let content = Content::new(body).map_err(|error| Problem::new(StatusCode::UNPROCESSABLE_ENTITY, "invalid", error.to_string()))?;
    let origin = api.origin(key, &allowed, None)?;
    let paper = Paper {
        number: 0,
        document: DocumentId::of_command(origin.command),
        title: filing.title,
        media_type: content.form.media_type().to_owned(),
        size: content.bytes.0.len() as u64,
        digest,
        encounter: filing.encounter,
        by: String::new(),
        at: origin.now,
        withdrawn: None,
    };
    let command = Command::FileDocument { patient: mrn.clone(), paper, content };
    let outcome = api.hospital.census(command, origin).await;
    if outcome == crate::actor::Outcome::Repeated {
        let _ = api.caught_up().await;
    }
    // The answer names the paper; whoever has sent the bytes need not get them back.
    api.answer_of_census(key, &outcome, || Ok(vec![StreamId::new(StreamKind::Chart, mrn.as_str())]))
}

/// A document as it was filed.
#[utoipa::path(get, path = "/api/v1/patients/{mrn}/documents/{number}", responses((status = 200, content_type = "application/pdf"), (status = 404, body = Problem)))]
pub(super) async fn show(State(api): State<Api>, Asking(who): Asking, Path((mrn, number)): Path<(String, u32)>) -> Result<Response, Problem> {
    let mrn: Mrn = parse(&mrn)?;
    let allowed = api.may_patient(&who, Permission::ViewPatient, &mrn).await?;
    let missing = || Problem::missing("document", &number.to_string());
    let chart = api.rows.chart(&mrn);
    let paper = chart.documents.iter().find(|paper| paper.number == number).ok_or_else(missing)?;
    let content = api.history.document(&paper.document).map_err(|error| Problem::unreadable(&error))?.ok_or_else(missing)?;
    api.shown(&allowed, Record::Chart, Some("document"), vec![mrn]).await?;
    let headers = [
        (header::CONTENT_TYPE, content.form.media_type()),
        (header::CACHE_CONTROL, "no-store"),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        // A PDF may hold scripts: it is looked at by itself, and as nobody.
        (header::CONTENT_SECURITY_POLICY, "sandbox; default-src 'none'; style-src 'unsafe-inline'; img-src 'self' data:; object-src 'self'"),
    ];
    Ok((headers, content.bytes.0).into_response())
}
