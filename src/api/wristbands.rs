//! Wristbands: printed on a printer near the patient, and what a scan of one says.

use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::Response;
use serde::Deserialize;
use utoipa::ToSchema;

use super::command::{Body, Key, parse};
use super::guard::Asking;
use super::patients::now;
use super::problem::Problem;
use super::state::Api;
use crate::actor::Outcome;
use crate::codec::gs1::{self, Scan};
use crate::domain::census::Command;
use crate::domain::rights::Permission;
use crate::kernel::{DeviceId, Gsrn, Mrn, StreamId, StreamKind, WardId};

/// Where a band is printed.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Printing {
    /// The printer; without one that of the ward where the patient is, or the only one.
    #[schema(value_type = Option<String>)]
    printer: Option<DeviceId>,
    /// Who acts, in an open house; else who is signed in.
    user: Option<String>,
}

/// The printer that is meant.
fn printer(api: &Api, mrn: &Mrn, named: Option<DeviceId>) -> Result<DeviceId, Problem> {
    let known = &api.wristbands.printers;
    let names = || known.iter().map(|(id, _)| id.as_str()).collect::<Vec<_>>().join(", ");
    let no = |text: String| Problem::new(StatusCode::CONFLICT, "no_printer", text);
    if api.wristbands.prefix.is_none() || known.is_empty() {
        return Err(no("this house prints no wristbands: [wristbands] and [[printers]] are not in the configuration".to_owned()));
    }
    if let Some(named) = named {
        return match known.iter().any(|(id, _)| *id == named) {
            true => Ok(named),
            false => Err(no(format!("there is no printer {named}: the house has {}", names()))),
        };
    }
    let wards: Vec<WardId> = api.rows.whereabouts(mrn, api.clock.now()).beds.iter().filter_map(|bed| bed.ward().parse().ok()).collect();
    let near = known.iter().find(|(_, ward)| ward.as_ref().is_some_and(|ward| wards.contains(ward)));
    match (near, known.as_slice()) {
        (Some((id, _)), _) | (None, [(id, _)]) => Ok(id.clone()),
        (None, _) => Err(no(format!("no printer belongs to the patient's ward: name one in the field printer ({})", names()))),
    }
}

/// Prints a new band; the one before it does not count any more.
#[utoipa::path(post, path = "/api/v1/patients/{mrn}/print-wristband", request_body = Printing, responses((status = 200), (status = 409, body = Problem)))]
pub(super) async fn print(State(api): State<Api>, Asking(who): Asking, Path(mrn): Path<String>, Key(key): Key, Body(body): Body<Printing>) -> Result<Response, Problem> {
    let mrn: Mrn = parse(&mrn)?;
    // Leave is asked for before anything of the house is told.
    let allowed = api.may_patient(&who, Permission::PrintWristband, &mrn).await?;
    let command = Command::PrintWristband { patient: mrn.clone(), printer: printer(&api, &mrn, body.printer)? };
    let outcome = api.hospital.census(command, api.origin(key, &allowed, body.user.as_deref())?).await;
    if outcome == Outcome::Repeated {
        let _ = api.caught_up().await;
    }
    let numbers = || Ok(now(&api).person(&mrn)?.into_iter().map(|(mrn, _)| StreamId::new(StreamKind::Patient, mrn.as_str())).collect());
    api.answer_of_census(key, &outcome, numbers)
}

/// Whose band a scan shows; a plain code is the number itself. Refused: a band that was replaced, a code of another house, a damaged code.
pub(super) fn whose(api: &Api, scanned: &str) -> Result<Mrn, Problem> {
    let elements = match gs1::scan(scanned) {
        Ok(Scan::Elements(elements)) => elements,
        Ok(Scan::Text { text, .. }) => return parse(text.trim()),
        Err(_) if !scanned.starts_with([']', '(', '^', '\u{1d}']) => return parse(scanned.trim()),
        Err(fault) => return Err(Problem::bad(format!("this code cannot be read {fault}: scan the wristband again"))),
    };
    let (Some(gsrn), Some(number)) = (elements.get("8018"), elements.get("8019")) else {
        return Err(Problem::bad("this is no wristband of a patient (AI 8018 and 8019): scan the band on the patient"));
    };
    let gsrn: Gsrn = parse(gsrn)?;
    let owner = api.wristbands.prefix.as_ref().and_then(|prefix| gsrn.reference(prefix)).and_then(|reference| api.rows.band_owner(reference));
    let mrn = owner.ok_or_else(|| Problem::new(StatusCode::NOT_FOUND, "unknown", "this wristband is none of this house: look who it is, and print one"))?;
    let newest = api.rows.person_now(&mrn).iter().map(|(_, record)| record.wristband).max().unwrap_or(0);
    match number.parse() == Ok(newest) {
        true => Ok(mrn),
        false => {
            let text = format!("band {number} of this patient was replaced by band {newest}: look who it is, take the old one off, and scan the new one");
            Err(Problem::new(StatusCode::CONFLICT, "old_wristband", text))
        }
    }
}
