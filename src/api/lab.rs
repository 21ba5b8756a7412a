//! Lab orders and specimens.

use std::collections::BTreeSet;

use axum::Json;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::command::{Body, Key, parse};
use super::guard::Asking;
use super::list::{Page, keyed};
use super::patients;
use super::problem::Problem;
use super::state::Api;
use crate::access::Who;
use crate::actor::Outcome;
use crate::domain::bed::Use;
use crate::domain::disclosure::Record;
use crate::domain::rights::{Permission, Subject};
use crate::domain::specimen::{Command, Priority};
use crate::kernel::{Accession, BedId, Loinc, Mrn, StreamId, StreamKind};
use crate::projection::{BedRow, SpecimenRow};

/// Whose specimen it is.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct PatientName {
    /// Medical record number.
    #[schema(value_type = String, example = "1001")]
    mrn: Mrn,
}

/// An order.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct LabOrder {
    /// Whose specimen it is.
    patient: PatientName,
    /// LOINC codes of the catalogue.
    #[schema(value_type = Vec<String>, example = json!(["718-7", "6690-2"]))]
    tests: Vec<Loinc>,
    /// How urgent.
    #[serde(default)]
    #[schema(value_type = String, example = "routine")]
    priority: Priority,
    /// Who orders.
    #[serde(default)]
    user: Option<String>,
}

/// Tests can be ordered when there is one at least, and the catalogue has them all.
fn in_catalogue(api: &Api, tests: &[Loinc]) -> Result<(), Problem> {
    if tests.is_empty() {
        return Err(Problem::bad("no tests are named: name at least one LOINC code in `tests`"));
    }
    let catalogue = api.catalogue.borrow().clone();
    match tests.iter().find(|test| !catalogue.contains_key(test.as_str())) {
        Some(test) => Err(Problem::bad(format!("test {test} is not in the catalogue: order one of {}", catalogue.keys().cloned().collect::<Vec<_>>().join(", ")))),
        None => Ok(()),
    }
}

/// An order that was taken.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Ordered {
    /// The number for the tube's label.
    accession: String,
    /// What was ordered.
    tests: Vec<String>,
}

/// Orders tests: issues an accession number, then the specimen under it. The same Idempotency-Key gives the same number.
#[utoipa::path(post, path = "/api/v1/lab-orders", request_body = LabOrder, responses((status = 201, body = Ordered), (status = 400, body = Problem)))]
pub(super) async fn order(State(api): State<Api>, Asking(who): Asking, Key(key): Key, Body(order): Body<LabOrder>) -> Result<Response, Problem> {
    let allowed = api.may_patient(&who, Permission::OrderTests, &order.patient.mrn).await?;
    patients::gone(&api, &order.patient.mrn)?;
    in_catalogue(&api, &order.tests)?;
    let stream = StreamId::new(StreamKind::Hospital, "accessions");
    match api.hospital.accession(api.origin(key, &allowed, order.user.as_deref())?).await {
        Outcome::Done(_) | Outcome::Repeated => {}
        other => return Ok(api.answer(&stream, key, &other, StatusCode::CREATED)),
    }
    let issued = api.done_before(&stream, key)?.first().and_then(|event| event.get("accession")?.as_str()?.parse::<Accession>().ok());
    let accession = issued.ok_or_else(|| {
        Problem::new(StatusCode::SERVICE_UNAVAILABLE, "unavailable", "the accession number is not readable yet: send the request again with the same Idempotency-Key")
    })?;
    let tests: Vec<String> = order.tests.iter().map(ToString::to_string).collect();
    let command = Command::Order { patient: order.patient.mrn, tests: order.tests, priority: order.priority };
    match api.hospital.specimen(&accession, command, api.origin(key.part(1), &allowed, order.user.as_deref())?).await {
        Outcome::Done(_) | Outcome::Repeated | Outcome::Nothing => Ok((StatusCode::CREATED, Json(Ordered { accession: accession.to_string(), tests })).into_response()),
        other => Ok(api.answer(&StreamId::new(StreamKind::Specimen, accession.as_str()), key.part(1), &other, StatusCode::CREATED)),
    }
}

fn may_see(api: &Api, who: &Who, row: &SpecimenRow) -> bool {
    row.patient.as_ref().is_none_or(|mrn| who.rights.may(Permission::ViewSpecimens, &api.gate.patient(mrn)).is_ok())
}

/// The specimens of those who lie on somebody's wards, by accession number; none for who sees the whole house.
pub(super) fn of_wards(api: &Api, who: &Who) -> Option<Vec<(String, SpecimenRow)>> {
    if who.rights.may(Permission::ViewSpecimens, &Subject::House).is_ok() {
        return None;
    }
    let mine = |bed: &&BedId| api.gate.bed(bed).is_ok_and(|ward| who.rights.may(Permission::ViewSpecimens, &ward).is_ok());
    let beds = api.hospital.layout().wards.values().flatten().filter(mine);
    let patients = beds.filter_map(|bed| match api.rows.get::<BedRow>("bed", bed.as_str())?.bed.used {
        Use::Occupied { patient, .. } => Some(patient),
        _ => None,
    });
    let numbers = patients.flat_map(|mrn| api.rows.person_now(&mrn)).map(|(number, _)| number);
    let accessions: BTreeSet<String> = numbers.flat_map(|number| api.rows.specimens_of(&number)).collect();
    Some(accessions.into_iter().filter_map(|accession| Some((accession.clone(), api.rows.get("specimen", &accession)?))).filter(|(_, row)| may_see(api, who, row)).collect())
}

/// Specimens by accession number; for somebody of a ward those of who lies there.
#[utoipa::path(get, path = "/api/v1/specimens", responses((status = 200)))]
pub(super) async fn list(State(api): State<Api>, Asking(who): Asking, Page(page): Page) -> Result<Json<Vec<serde_json::Value>>, Problem> {
    let allowed = api.may(&who, Permission::ViewSpecimens)?;
    let seen = match of_wards(&api, &who) {
        Some(specimens) => specimens.into_iter().filter(|(accession, _)| *accession >= page.from).take(page.rows()).collect(),
        None => api.rows.list::<SpecimenRow>("specimen", &page.from, page.rows()),
    };
    let seen: Vec<_> = seen.into_iter().filter(|(_, row)| may_see(&api, &who, row)).collect();
    api.shown_list(&allowed, Record::Specimen, seen.iter().filter_map(|(_, row)| row.patient.clone()).collect()).await?;
    Ok(Json(seen.into_iter().map(|row| keyed("accession", row)).collect()))
}

/// One specimen with its results.
#[utoipa::path(get, path = "/api/v1/specimens/{accession}", responses((status = 200), (status = 404, body = Problem)))]
pub(super) async fn show(State(api): State<Api>, Asking(who): Asking, Path(accession): Path<String>) -> Result<Json<serde_json::Value>, Problem> {
    let allowed = api.may(&who, Permission::ViewSpecimens)?;
    let row: SpecimenRow = api.rows.get("specimen", &accession).ok_or_else(|| Problem::missing("specimen", &accession))?;
    let allowed = match &row.patient {
        Some(mrn) => api.may_patient(&who, Permission::ViewSpecimens, mrn).await?,
        None => allowed,
    };
    api.shown(&allowed, Record::Specimen, Some(&accession), row.patient.iter().cloned().collect()).await?;
    Ok(Json(keyed("accession", (accession, row))))
}

/// Who acts, and what more is needed.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, default)]
pub(super) struct SpecimenAction {
    /// Who acts, in an open house; else who is signed in.
    user: Option<String>,
    /// LOINC codes to add.
    #[schema(value_type = Vec<String>)]
    tests: Vec<Loinc>,
}

/// `collect`, `receive`, or `add-tests`.
#[utoipa::path(post, path = "/api/v1/specimens/{accession}/{action}", request_body = SpecimenAction, responses((status = 200), (status = 409, body = Problem)))]
pub(super) async fn act(
    State(api): State<Api>,
    Asking(who): Asking,
    Path((accession, action)): Path<(String, String)>,
    Key(key): Key,
    Body(body): Body<SpecimenAction>,
) -> Result<Response, Problem> {
    let accession: Accession = parse(&accession)?;
    let command = match action.as_str() {
        "collect" => Command::Collect,
        "receive" => Command::Receive,
        "add-tests" => {
            in_catalogue(&api, &body.tests)?;
            Command::AddTests { tests: body.tests }
        }
        other => return Err(Problem::missing("action", other)),
    };
    if !api.caught_up().await {
        let text = "wardd has just started and is still reading what was done: whose specimen this is will be known in a moment; scanners work meanwhile";
        return Err(Problem::new(StatusCode::SERVICE_UNAVAILABLE, "unavailable", text));
    }
    let allowed = match api.rows.get::<SpecimenRow>("specimen", accession.as_str()).and_then(|row| row.patient) {
        Some(mrn) => api.may_patient(&who, command.needs(), &mrn).await?,
        None => api.may(&who, command.needs())?,
    };
    let outcome = api.hospital.specimen(&accession, command, api.origin(key, &allowed, body.user.as_deref())?).await;
    Ok(api.answer(&StreamId::new(StreamKind::Specimen, accession.as_str()), key, &outcome, StatusCode::OK))
}
