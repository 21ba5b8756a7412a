//! The OpenAPI document, made from the handlers.

use axum::Json;
use utoipa::OpenApi;
use utoipa::openapi::Required;
use utoipa::openapi::path::{Parameter, ParameterBuilder, ParameterIn};
use utoipa::openapi::schema::{ObjectBuilder, Type};

use super::{
    audit, beds, cabinets, calendar, ccd, chart, devices, directory, documents, emergencies, emergency_department, forms, growth, housekeeping, lab, ledger, patients, photos,
    quarantine, reports, schedules, session, tasks, users, wristbands,
};

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
        housekeeping::list,
        photos::show,
        photos::take,
        photos::remove,
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
        schedules::holiday,
        schedules::of,
        calendar::feed,
        chart::show,
        chart::measurements,
        chart::act,
        chart::open_alerts,
        forms::list,
        growth::show,
        ccd::show,
        documents::file,
        documents::show,
        tasks::of_patient,
        tasks::of_ward,
        tasks::act,
        emergency_department::list,
        reports::census,
        directory::list,
        directory::add,
        directory::change,
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

/// What can be done by a path that ends in an action.
const ACTIONS: &[(&str, &[&str])] = &[
    ("/api/v1/specimens/{accession}/{action}", &["collect", "receive", "add-tests"]),
    ("/api/v1/cabinets/{cabinet}/{action}", &["load", "unload", "vend", "cancel", "give", "return", "waste", "count", "resolve"]),
    ("/api/v1/beds/{bed}/{action}", &["admit", "discharge", "cancel", "block", "unblock", "clean", "isolate", "end-isolation"]),
    (
        "/api/v1/patients/{mrn}/{action}",
        &[
            "update",
            "merge",
            "erase",
            "unmerge",
            "record-allergy",
            "refute-allergy",
            "no-known-allergies",
            "restrict",
            "lift-restriction",
            "plan",
            "cancel-plan",
            "admit",
            "cancel-admission",
            "request-transfer",
            "accept-transfer",
            "cancel-transfer",
            "move",
            "move-back",
            "swap",
            "change-class",
            "move-stay",
            "depart",
            "arrive",
            "begin-leave",
            "end-leave",
            "lodge-companion",
            "companion-leaves",
            "expect-end",
            "triage",
            "begin-treatment",
            "name-guarantor",
            "clear",
            "discharge",
            "record-death",
            "withdraw-death",
            "cancel-discharge",
        ],
    ),
    (
        "/api/v1/patients/{mrn}/chart/{action}",
        &[
            "record-problem",
            "resolve-problem",
            "reopen-problem",
            "refute-problem",
            "write-note",
            "amend-note",
            "sign-note",
            "withdraw-note",
            "record-immunisation",
            "withdraw-immunisation",
            "record-family-illness",
            "withdraw-family-illness",
            "refer",
            "answer-referral",
            "decline-referral",
            "cancel-referral",
            "begin-programme",
            "finish-programme",
            "refute-programme",
            "withdraw-document",
            "record-vitals",
            "withdraw-reading",
            "withdraw-fluid",
            "set-limits",
            "lift-limits",
            "take-alert",
        ],
    ),
    ("/api/v1/patients/{mrn}/tasks/{action}", &["plan", "stop", "done", "not-done", "done-in-emergency", "acknowledge"]),
    (
        "/api/v1/schedules/{schedule}/{action}",
        &["open", "withdraw", "close", "reopen", "book", "hold", "confirm", "refund", "move", "cancel", "miss", "check-in", "walk-in", "call-next", "fulfil"],
    ),
    ("/api/v1/accounts/{mrn}/{action}", &["pay", "settle", "deposit", "return-deposit"]),
    ("/api/v1/quarantine/{item}/{action}", &["retry", "bind", "discard"]),
    (
        "/api/v1/users/{user}/{action}",
        &["rename", "set-password", "set-badge", "take-badge", "set-pin", "take-second-factor", "grant", "revoke", "disable", "enable", "unlock", "issue-token", "revoke-token"],
    ),
];

/// The names in a path's braces.
fn names(path: &str) -> impl Iterator<Item = &str> {
    path.split('/').filter_map(|part| part.strip_prefix('{')?.strip_suffix('}'))
}

/// A parameter of a path; an action is one of those that there are.
fn parameter(path: &str, name: &str) -> Parameter {
    let actions = ACTIONS.iter().find(|(known, _)| *known == path && name == "action").map(|(_, actions)| actions.to_vec());
    let schema = ObjectBuilder::new().schema_type(Type::String).enum_values(actions).build();
    ParameterBuilder::new().name(name).parameter_in(ParameterIn::Path).required(Required::True).schema(Some(schema)).build()
}

fn described(mut document: utoipa::openapi::OpenApi) -> utoipa::openapi::OpenApi {
    for (path, item) in &mut document.paths.paths {
        for operation in [&mut item.get, &mut item.post, &mut item.delete].into_iter().flatten() {
            operation.parameters.get_or_insert_default().extend(names(path).map(|name| parameter(path, name).into()));
        }
    }
    document
}

/// The document.
pub(super) async fn document() -> Json<utoipa::openapi::OpenApi> {
    Json(described(Document::openapi()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_path_names_its_parameters_and_its_actions() {
        let document = serde_json::to_value(described(Document::openapi())).unwrap();
        let mut with_actions = 0;
        for (path, item) in document["paths"].as_object().unwrap() {
            for operation in item.as_object().unwrap().values() {
                let known = |name: &str| operation["parameters"].as_array().unwrap().iter().find(|known| known["name"] == name && known["in"] == "path").cloned();
                for name in names(path) {
                    let parameter = known(name).unwrap_or_else(|| panic!("{path}: {name}"));
                    let actions = parameter["schema"]["enum"].as_array().map_or(0, Vec::len);
                    assert_eq!(name == "action", actions > 0, "{path}: {parameter}");
                    with_actions += usize::from(actions > 0);
                }
            }
        }
        assert_eq!(with_actions, ACTIONS.len(), "an action's path is written differently here");
    }
}
