//! FHIR R4 (4.0.1) at `/fhir/R4`: what the house knows, as resources that others read and search.
//!
//! Flow of what is asked: request → leave and candidates ([`gather`], which builds them by [`resources`]) → filter by search parameters ([`search`]) → bundle.
//! What is written goes the other way (`write`).
//! **Invariant**: nothing leaves that the same person could not see by `/api/v1`, and each look is stored before it is answered.
//! Start reading at [`gather`].

mod capability;
mod clinical;
mod gather;
mod handlers;
mod id;
mod listed;
mod news;
mod outcome;
mod resources;
mod scheduling;
mod search;
mod subscription;
mod told;
mod versions;
mod write;

use axum::Router;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use serde_json::Value;

use super::state::Api;

pub use news::{NoNews, concerns, news};
pub(super) use outcome::as_outcome;

/// The media type of all answers.
const MEDIA_TYPE: &str = "application/fhir+json; fhirVersion=4.0";

/// The kinds of resources.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Kind {
    Patient,
    RelatedPerson,
    Practitioner,
    PractitionerRole,
    Organization,
    Location,
    Encounter,
    EpisodeOfCare,
    AllergyIntolerance,
    Condition,
    Observation,
    Coverage,
    Device,
    Schedule,
    Slot,
    Appointment,
    AuditEvent,
    Provenance,
    Subscription,
}

impl Kind {
    pub(super) const ALL: [Kind; 19] = [
        Kind::Patient,
        Kind::RelatedPerson,
        Kind::Practitioner,
        Kind::PractitionerRole,
        Kind::Organization,
        Kind::Location,
        Kind::Encounter,
        Kind::EpisodeOfCare,
        Kind::AllergyIntolerance,
        Kind::Condition,
        Kind::Observation,
        Kind::Coverage,
        Kind::Device,
        Kind::Schedule,
        Kind::Slot,
        Kind::Appointment,
        Kind::AuditEvent,
        Kind::Provenance,
        Kind::Subscription,
    ];

    /// The name in the standard.
    fn name(self) -> &'static str {
        match self {
            Kind::Patient => "Patient",
            Kind::RelatedPerson => "RelatedPerson",
            Kind::Practitioner => "Practitioner",
            Kind::PractitionerRole => "PractitionerRole",
            Kind::Organization => "Organization",
            Kind::Location => "Location",
            Kind::Encounter => "Encounter",
            Kind::AllergyIntolerance => "AllergyIntolerance",
            Kind::Condition => "Condition",
            Kind::Observation => "Observation",
            Kind::Coverage => "Coverage",
            Kind::Device => "Device",
            Kind::Schedule => "Schedule",
            Kind::Slot => "Slot",
            Kind::Appointment => "Appointment",
            Kind::AuditEvent => "AuditEvent",
            Kind::EpisodeOfCare => "EpisodeOfCare",
            Kind::Provenance => "Provenance",
            Kind::Subscription => "Subscription",
        }
    }

    fn of_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.name() == name)
    }

    /// Whether what is known of it can be changed: what was told of who did what stays as it was told.
    fn is_updated(self) -> bool {
        !matches!(self, Kind::AuditEvent | Kind::Provenance)
    }

    /// Whether it is a stream of its own, so that each search knows when it changed last.
    fn has_versions(self) -> bool {
        matches!(self, Kind::Patient | Kind::Encounter)
    }
}

/// The routes.
pub(super) fn routes() -> Router<Api> {
    Router::new()
        .route("/metadata", get(capability::show))
        .route("/", post(write::bundle))
        .route("/{kind}", get(handlers::search).post(write::create).put(write::update_found))
        .route("/{kind}/_search", post(handlers::search_by_form))
        .route("/{kind}/{id}", get(handlers::read).put(write::update).delete(write::delete).patch(write::patch))
        .route("/{kind}/{id}/_history", get(handlers::history))
        .route("/{kind}/{id}/_history/{version}", get(handlers::version))
        .route("/{kind}/{id}/$everything", get(handlers::everything))
}

/// The base with a slash at its end, as some clients write it.
pub(super) fn base() -> Router<Api> {
    Router::new().route("/fhir/R4/", post(write::bundle))
}

/// A resource as an answer, with its version where it has one.
fn reply(status: StatusCode, resource: &Value) -> Response {
    let mut response = (status, [(header::CONTENT_TYPE, MEDIA_TYPE)], resources::text(resource)).into_response();
    let version = resource.pointer("/meta/versionId").and_then(Value::as_str).and_then(|version| HeaderValue::from_str(&format!("W/\"{version}\"")).ok());
    if let Some(version) = version {
        response.headers_mut().insert(header::ETAG, version);
    }
    response
}
