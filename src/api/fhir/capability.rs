//! What can be asked, as a CapabilityStatement; nobody needs to sign in to read it.

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use serde_json::{Value, json};

use super::search::{Compare, parameters};
use super::{Kind, reply};
use crate::api::state::Api;

/// The day on which what is said here last changed.
const DATE: &str = "2026-11-23";

fn resource(kind: Kind) -> Value {
    let mut interactions = vec![json!({ "code": "read" }), json!({ "code": "search-type" })];
    interactions.push(json!({ "code": "create" }));
    if kind.is_updated() {
        interactions.push(json!({ "code": "update" }));
    }
    interactions.extend([json!({ "code": "vread" }), json!({ "code": "history-instance" })]);
    let compare = |compare: Compare| match compare {
        Compare::Token => "token",
        Compare::Text => "string",
        Compare::Date => "date",
        Compare::Reference => "reference",
    };
    let search = parameters(kind).iter().map(|parameter| json!({ "name": parameter.name, "type": compare(parameter.compare) }));
    let has_meta = kind.has_versions() || kind == Kind::Observation;
    let updated = has_meta.then(|| json!({ "name": "_lastUpdated", "type": "date" }));
    let common = std::iter::once(json!({ "name": "_id", "type": "token" })).chain(updated);
    let include: Vec<String> =
        parameters(kind).iter().filter(|parameter| parameter.compare == Compare::Reference).map(|parameter| format!("{}:{}", kind.name(), parameter.name)).collect();
    let mut resource = json!({
        "type": kind.name(),
        "interaction": interactions,
        "versioning": "versioned",
        "readHistory": true,
        "updateCreate": kind == Kind::Patient,
        "conditionalCreate": true,
        "conditionalUpdate": kind.is_updated(),
        "conditionalDelete": "not-supported",
        "searchParam": common.chain(search).collect::<Value>(),
    });
    if !include.is_empty() {
        resource["searchInclude"] = json!(include);
    }
    if kind == Kind::Patient {
        resource["operation"] = json!([{ "name": "everything", "definition": "http://hl7.org/fhir/OperationDefinition/Patient-everything" }]);
    }
    resource
}

/// The statement.
pub(super) async fn show(State(api): State<Api>) -> Response {
    let security = "A program sends its token as Authorization: Bearer; what it may see follows its roles. Errors are OperationOutcome.";
    let statement = json!({
        "resourceType": "CapabilityStatement",
        "status": "active",
        "date": DATE,
        "kind": "instance",
        "software": { "name": "wardd", "version": env!("CARGO_PKG_VERSION") },
        "implementation": { "description": api.name.as_ref() },
        "fhirVersion": "4.0.1",
        "format": ["json"],
        "rest": [{ "mode": "server", "security": { "description": security }, "resource": Kind::ALL.map(resource).to_vec(), "interaction": [{ "code": "transaction" }, { "code": "batch" }] }],
    });
    reply(StatusCode::OK, &statement)
}
