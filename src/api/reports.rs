//! Reports of the house: the census of a time, by ward.

use axum::Json;
use axum::extract::{Query, State};
use axum::response::{IntoResponse, Response};
use serde::Deserialize;

use super::guard::Asking;
use super::problem::Problem;
use super::state::Api;
use crate::domain::encounter::{Encounter, Ending};
use crate::domain::rights::{Permission, Subject};
use crate::kernel::{EncounterId, Timestamp};
use crate::projection::{EncounterRow, Ended, report};

const DAY_SECONDS: i64 = 24 * 3_600;
/// The longest time of a report, in days.
const DAYS_MAX: i64 = 366;
/// Without a beginning: so many days before the end.
const DAYS: i64 = 30;

/// Of which time.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Wanted {
    from: Option<Timestamp>,
    until: Option<Timestamp>,
}

/// The census of a time by ward: who was there, came, was transferred, left and died; patient days, occupancy, lengths of the stays that ended,
/// turnover of beds, and who lay there at each midnight (UTC). Only beds count: whoever waits on a corridor lies in none. Without `from` and
/// `until` of the last 30 days.
#[utoipa::path(get, path = "/api/v1/reports/census", params(("from" = Option<String>, Query, description = "an instant, RFC 3339 in UTC"), ("until" = Option<String>, Query, description = "an instant, RFC 3339 in UTC")), responses((status = 200)))]
pub(super) async fn census(State(api): State<Api>, Asking(who): Asking, wanted: Result<Query<Wanted>, axum::extract::rejection::QueryRejection>) -> Result<Response, Problem> {
    api.may(&who, Permission::ViewReports)?;
    let Query(wanted) = wanted.map_err(|error| Problem::bad(format!("{}: an instant is written like 2026-11-21T12:00:00Z", error.body_text())))?;
    let until = wanted.until.unwrap_or_else(|| api.clock.now()).min(api.clock.now());
    let from = wanted.from.unwrap_or_else(|| until.plus_seconds(-DAYS * DAY_SECONDS));
    if from >= until || until.seconds_since(from) > DAYS_MAX * DAY_SECONDS {
        return Err(Problem::bad("from comes before until, which is not in the future; a report is of 366 days at most"));
    }
    // Nobody sees wards that are not theirs; a report names no patient.
    let mut beds = api.hospital.layout().wards.clone();
    beds.retain(|ward, _| api.gate.ward(ward.as_str()).is_some_and(|place| who.rights.may(Permission::ViewReports, &Subject::Ward(place)).is_ok()));
    let read = {
        let api = api.clone();
        move || {
            // Whoever was transferred may come from a ward that is not shown.
            let all = api.hospital.layout().wards.values().flatten();
            let mut occupancies = Vec::new();
            for bed in all {
                occupancies.extend(api.history.occupancies(bed, until).map_err(|error| Problem::unreadable(&error))?);
            }
            let ended = |encounter: &EncounterId| match api.rows.get::<EncounterRow>("encounter", encounter.as_str())?.encounter {
                Encounter::Closed { stay, ending, .. } => Some(Ended { admitted: stay.admitted, by_death: ending == Ending::Died }),
                Encounter::Open(stay) => Some(Ended { admitted: stay.admitted, by_death: false }),
                Encounter::None | Encounter::Planned { .. } => None,
            };
            Ok::<_, Problem>(report(&beds, &occupancies, (from, until), ended))
        }
    };
    let wards = tokio::task::spawn_blocking(read).await.map_err(|error| Problem::unreadable(&error))??;
    Ok(Json(serde_json::json!({ "from": from, "until": until, "wards": wards })).into_response())
}
