//! Cabinets: what is in them, and what is done at them.

use axum::Json;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::Response;
use rust_decimal::Decimal;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::command::{Body, Key, parse};
use super::guard::Asking;
use super::problem::Problem;
use super::state::Api;
use crate::access::Act;
use crate::actor::Outcome;
use crate::domain::cabinet::{Command, Pocket, Withdrawn};
use crate::domain::patient::Patient;
use crate::domain::rights::Permission;
use crate::kernel::{CabinetId, Date, Gtin, Mrn, PocketId, StreamId, StreamKind};
use crate::projection::CabinetRow;

/// A pocket as the API shows it.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct PocketView {
    pocket: String,
    item: String,
    /// The sum of its lots.
    balance: String,
    lots: Vec<LotView>,
    /// Whether a count did not agree.
    has_discrepancy: bool,
}

/// A lot as the API shows it.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct LotView {
    lot: String,
    expires: String,
    quantity: String,
}

/// A cabinet as the API shows it.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct CabinetView {
    cabinet: String,
    pockets: Vec<PocketView>,
    open_withdrawals: usize,
}

fn pocket_view((id, pocket): (&PocketId, &Pocket)) -> PocketView {
    PocketView {
        pocket: id.to_string(),
        item: pocket.item.to_string(),
        balance: pocket.balance().to_string(),
        lots: pocket.lots.iter().map(|lot| LotView { lot: lot.lot.clone(), expires: lot.expires.to_string(), quantity: lot.quantity.to_string() }).collect(),
        has_discrepancy: pocket.discrepancy.is_some(),
    }
}

fn view(id: &CabinetId, row: &CabinetRow) -> CabinetView {
    CabinetView {
        cabinet: id.to_string(),
        pockets: row.cabinet.pockets().iter().map(pocket_view).collect(),
        open_withdrawals: row.cabinet.withdrawals().values().filter(|withdrawal| withdrawal.open() > Decimal::ZERO).count(),
    }
}

/// All cabinets.
#[utoipa::path(get, path = "/api/v1/cabinets", responses((status = 200, body = Vec<CabinetView>)))]
pub(super) async fn list(State(api): State<Api>, Asking(who): Asking) -> Result<Json<Vec<CabinetView>>, Problem> {
    api.may(&who, Permission::ViewCabinets)?;
    let seen = api.hospital.layout().cabinets.iter().filter(|id| who.rights.may(Permission::ViewCabinets, &api.gate.cabinet(id)).is_ok());
    Ok(Json(seen.map(|id| view(id, &api.rows.get("cabinet", id.as_str()).unwrap_or_default())).collect()))
}

/// One cabinet.
#[utoipa::path(get, path = "/api/v1/cabinets/{cabinet}", responses((status = 200, body = CabinetView), (status = 404, body = Problem)))]
pub(super) async fn show(State(api): State<Api>, Asking(who): Asking, Path(cabinet): Path<String>) -> Result<Json<CabinetView>, Problem> {
    api.may(&who, Permission::ViewCabinets)?;
    let id = known(&api, &cabinet)?;
    api.may_with(&who, Permission::ViewCabinets, &api.gate.cabinet(&id))?;
    Ok(Json(view(&id, &api.rows.get("cabinet", id.as_str()).unwrap_or_default())))
}

fn known(api: &Api, cabinet: &str) -> Result<CabinetId, Problem> {
    api.hospital.layout().cabinets.iter().find(|id| id.as_str() == cabinet).cloned().ok_or_else(|| Problem::missing("cabinet", cabinet))
}

/// What is done; which fields are needed depends on the action.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct CabinetAction {
    /// The pocket, `DRAWER-POCKET`.
    #[serde(default)]
    #[schema(value_type = Option<String>, example = "1-1")]
    pocket: Option<PocketId>,
    /// How much, above zero.
    #[serde(default)]
    #[schema(value_type = Option<String>, example = "2")]
    quantity: Option<Decimal>,
    /// For whom.
    #[serde(default)]
    #[schema(value_type = Option<String>, example = "1001")]
    patient: Option<Mrn>,
    /// The withdrawal's number; without it the oldest open one of pocket and patient.
    #[serde(default)]
    withdrawal: Option<u32>,
    /// The maker's lot number.
    #[serde(default)]
    lot: Option<String>,
    /// The last day of use.
    #[serde(default)]
    #[schema(value_type = Option<String>, example = "2028-12-31")]
    expires: Option<Date>,
    /// What was scanned.
    #[serde(default)]
    #[schema(value_type = Option<String>)]
    gtin: Option<Gtin>,
    /// The delivery and its line: the same one again changes nothing.
    #[serde(default)]
    delivery: Option<String>,
    /// What explains a discrepancy.
    #[serde(default)]
    explanation: Option<String>,
    /// Who acts, in an open house; else who is signed in.
    #[serde(default)]
    user: Option<String>,
    /// Who witnesses: their statement (`POST /api/v1/witnesses`), in an open house their name.
    #[serde(default)]
    witness: Option<String>,
}

fn needed<T>(field: &str, value: Option<T>) -> Result<T, Problem> {
    value.ok_or_else(|| Problem::bad(format!("field {field} is needed for this")))
}

fn command(action: &str, body: CabinetAction) -> Result<Command, Problem> {
    let withdrawn = |number: Option<u32>, pocket: Option<PocketId>, patient: Option<Mrn>| match number {
        Some(number) => Ok(Withdrawn::Number(number)),
        None => Ok(Withdrawn::Of { pocket: needed("pocket", pocket)?, patient: needed("patient", patient)? }),
    };
    Ok(match action {
        "load" => Command::Load {
            pocket: body.pocket,
            gtin: body.gtin,
            lot: needed("lot", body.lot)?,
            expires: needed("expires", body.expires)?,
            quantity: needed("quantity", body.quantity)?,
            delivery: body.delivery,
        },
        "unload" => Command::Unload { pocket: needed("pocket", body.pocket)?, lot: body.lot },
        "vend" => Command::Vend { pocket: needed("pocket", body.pocket)?, quantity: needed("quantity", body.quantity)?, patient: needed("patient", body.patient)?, lot: body.lot },
        "cancel" => Command::CancelVend { withdrawal: needed("withdrawal", body.withdrawal)? },
        "give" => Command::Give { quantity: needed("quantity", body.quantity)?, withdrawal: withdrawn(body.withdrawal, body.pocket, body.patient)? },
        "return" => Command::Return { quantity: needed("quantity", body.quantity)?, withdrawal: withdrawn(body.withdrawal, body.pocket, body.patient)? },
        "waste" => Command::Waste { quantity: needed("quantity", body.quantity)?, withdrawal: withdrawn(body.withdrawal, body.pocket, body.patient)? },
        "count" => Command::Count { pocket: needed("pocket", body.pocket)?, found: needed("quantity", body.quantity)? },
        "resolve" => Command::ResolveDiscrepancy { pocket: needed("pocket", body.pocket)?, explanation: needed("explanation", body.explanation)? },
        other => return Err(Problem::missing("action", other)),
    })
}

/// `load`, `unload`, `vend`, `cancel`, `give`, `return`, `waste`, `count` or `resolve`.
#[utoipa::path(post, path = "/api/v1/cabinets/{cabinet}/{action}", request_body = CabinetAction, responses((status = 200), (status = 409, body = Problem)))]
pub(super) async fn act(
    State(api): State<Api>,
    Asking(who): Asking,
    Path((cabinet, action)): Path<(String, String)>,
    Key(key): Key,
    Body(asked): Body<serde_json::Value>,
) -> Result<Response, Problem> {
    let id = known(&api, &parse::<CabinetId>(&cabinet)?.to_string())?;
    let act = Act::new(format!("/api/v1/cabinets/{id}/{action}"), &asked);
    let mut body: CabinetAction = serde_json::from_value(asked).map_err(|error| Problem::unfit(&error))?;
    let (user, witness) = (body.user.take(), body.witness.take());
    let command = command(&action, body)?;
    // What is taken out for somebody is done at the cabinet: whoever works there may, wherever the patient lies.
    let place = api.gate.cabinet(&id);
    let allowed = api.may_with(&who, command.needs(), &place)?;
    if let Command::Vend { patient, .. } = &command {
        // A slip of the hand would give a drug, and its charge, to nobody.
        let knows = api.caught_up().await;
        if knows && api.rows.person_now(patient).iter().all(|(_, record)| *record == Patient::default()) {
            let text = format!("nobody is registered under {patient}: check the number; whoever cannot say who they are is registered as is_temporary");
            return Err(Problem::new(StatusCode::CONFLICT, "not_registered", text));
        }
    }
    let origin = api.witnessed(key, &allowed, user.as_deref(), (witness, &act, &place))?;
    let outcome: Outcome = api.hospital.cabinet(&id, command, origin).await;
    Ok(api.answer(&StreamId::new(StreamKind::Cabinet, id.as_str()), key, &outcome, StatusCode::OK))
}
