//! Beds: who lies in them, for whom they are kept, what is done with them while nobody does.

use axum::Json;
use axum::extract::{Path, State};
use axum::response::Response;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::at::Instant;
use super::command::{Body, Key, parse};
use super::guard::Asking;
use super::problem::Problem;
use super::state::Api;
use crate::access::Who;
use crate::domain::bed::{Bed, Use};
use crate::domain::census::{Admission, Command};
use crate::domain::disclosure::Record;
use crate::domain::rights::{Forbidden, Permission};
use crate::kernel::{BedId, Mrn, StreamId, StreamKind};
use crate::projection::BedRow;

/// A bed as the API shows it.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct BedView {
    bed: String,
    /// `free`, `reserved`, `occupied`, `cleaning` or `blocked`.
    state: &'static str,
    /// Who lies in it, or for whom it is kept.
    #[schema(value_type = Option<String>)]
    patient: Option<Mrn>,
    /// Who it is, is not told.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    is_restricted: bool,
    /// Since when it is in this state.
    since: Option<String>,
    /// Why it is blocked.
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<String>,
    /// Why whoever lies in it is isolated.
    #[serde(skip_serializing_if = "Option::is_none")]
    isolation: Option<String>,
}

/// A state in words: its word, who, since when, why.
pub(super) fn words(used: &Use) -> (&'static str, Option<&Mrn>, Option<crate::kernel::Timestamp>, Option<&str>) {
    match used {
        Use::Free => ("free", None, None, None),
        Use::Reserved { patient, since } => ("reserved", Some(patient), Some(*since), None),
        Use::Occupied { patient, since } => ("occupied", Some(patient), Some(*since), None),
        Use::Companion { patient, since } => ("companion", Some(patient), Some(*since), None),
        Use::Cleaning { since } => ("cleaning", None, Some(*since), None),
        Use::Blocked { reason, since, .. } => ("blocked", None, Some(*since), Some(reason)),
    }
}

fn view(id: &BedId, bed: &Bed) -> BedView {
    let (state, patient, since, reason) = words(&bed.used);
    BedView {
        bed: id.to_string(),
        state,
        patient: patient.cloned(),
        is_restricted: false,
        since: since.map(|since| since.to_string()),
        reason: reason.map(str::to_owned),
        isolation: bed.isolation.clone(),
    }
}

/// The bed now, or as it was.
fn look(api: &Api, bed: &BedId, instant: Instant) -> Result<BedView, Problem> {
    let state = match instant.0 {
        None => api.rows.get::<BedRow>("bed", bed.as_str()).unwrap_or_default().bed,
        Some(instant) => api.history.at::<Bed>(bed.as_str(), instant).map_err(|error| Problem::unreadable(&error))?,
    };
    Ok(view(bed, &state))
}

/// Whether somebody may know who lies somewhere: not of the restricted, unless they look after them.
pub(super) fn may_know(api: &Api, who: &Who, patient: &Mrn) -> bool {
    !matches!(who.rights.may(Permission::ViewBeds, &api.gate.patient(patient)), Err(Forbidden::Restricted(_)))
}

fn within_rights(api: &Api, who: &Who, view: BedView) -> BedView {
    match &view.patient {
        Some(patient) if !may_know(api, who, patient) => BedView { patient: None, is_restricted: true, ..view },
        _ => view,
    }
}

/// All beds, now or as they were at an instant (`?at=`).
#[utoipa::path(get, path = "/api/v1/beds", params(("at" = Option<String>, Query, description = "an instant, RFC 3339 in UTC")), responses((status = 200, body = Vec<BedView>)))]
pub(super) async fn list(State(api): State<Api>, Asking(who): Asking, instant: Instant) -> Result<Json<Vec<BedView>>, Problem> {
    let allowed = api.may(&who, Permission::ViewBeds)?;
    let seen = api.hospital.layout().wards.values().flatten().filter(|bed| api.gate.bed(bed).is_ok_and(|ward| who.rights.may(Permission::ViewBeds, &ward).is_ok()));
    let beds = seen.map(|bed| look(&api, bed, instant).map(|view| within_rights(&api, &who, view))).collect::<Result<Vec<_>, _>>()?;
    api.shown_list(&allowed, Record::Beds, beds.iter().filter_map(|bed| bed.patient.clone()).collect()).await?;
    Ok(Json(beds))
}

fn known(api: &Api, bed: &str) -> Result<BedId, Problem> {
    let bed: BedId = parse(bed)?;
    let is_known = api.hospital.layout().wards.values().any(|beds| beds.contains(&bed));
    if is_known { Ok(bed) } else { Err(Problem::missing("bed", bed.as_str())) }
}

/// One bed, now or as it was at an instant (`?at=`).
#[utoipa::path(get, path = "/api/v1/beds/{bed}", params(("at" = Option<String>, Query, description = "an instant, RFC 3339 in UTC")), responses((status = 200, body = BedView), (status = 404, body = Problem)))]
pub(super) async fn show(State(api): State<Api>, Asking(who): Asking, Path(bed): Path<String>, instant: Instant) -> Result<Json<BedView>, Problem> {
    api.may(&who, Permission::ViewBeds)?;
    let bed = known(&api, &bed)?;
    let allowed = api.may_bed(&who, Permission::ViewBeds, &bed)?;
    let view = within_rights(&api, &who, look(&api, &bed, instant)?);
    api.shown_list(&allowed, Record::Beds, view.patient.iter().cloned().collect()).await?;
    Ok(Json(view))
}

/// What is needed for what is done.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, default)]
pub(super) struct BedAction {
    /// Medical record number, to `admit`, `discharge` or `cancel`.
    #[schema(value_type = Option<String>, example = "1001")]
    patient: Option<Mrn>,
    /// Why, to `block` or `isolate`.
    reason: Option<String>,
    /// Who acts, in an open house; else who is signed in.
    user: Option<String>,
}

/// `admit`, `discharge`, `cancel` (an admission), `block`, `unblock`, `clean`, `isolate` or `end-isolation`.
#[utoipa::path(post, path = "/api/v1/beds/{bed}/{action}", request_body = BedAction, responses((status = 200), (status = 409, body = Problem)))]
pub(super) async fn act(
    State(api): State<Api>,
    Asking(who): Asking,
    Path((bed, action)): Path<(String, String)>,
    Key(key): Key,
    Body(body): Body<BedAction>,
) -> Result<Response, Problem> {
    let bed = known(&api, &bed)?;
    let patient = || body.patient.clone().ok_or_else(|| Problem::bad("field patient is needed for this: the medical record number"));
    let command = match action.as_str() {
        "admit" => Command::Admit(Admission::into_bed(patient()?, bed.clone())),
        "discharge" => Command::Discharge { patient: patient()?, bed: Some(bed.clone()) },
        "cancel" => Command::CancelAdmission { patient: patient()?, bed: Some(bed.clone()) },
        "block" => Command::Block { bed: bed.clone(), reason: body.reason.clone().unwrap_or_default() },
        "unblock" => Command::Unblock { bed: bed.clone() },
        "clean" => Command::Clean { bed: bed.clone() },
        "isolate" => Command::Isolate { bed: bed.clone(), reason: Some(body.reason.clone().unwrap_or_default()) },
        "end-isolation" => Command::Isolate { bed: bed.clone(), reason: None },
        other => return Err(Problem::missing("action", other)),
    };
    let allowed = api.may_about(&who, command.needs(), command.about()).await?;
    let outcome = api.hospital.census(command, api.origin(key, &allowed, body.user.as_deref())?).await;
    api.answer_of_census(key, &outcome, || Ok(vec![StreamId::new(StreamKind::Bed, bed.as_str())]))
}
