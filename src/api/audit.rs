//! Who saw and did what: of a patient, or by a user, read from the log itself.

use std::collections::BTreeMap;

use axum::Json;
use axum::extract::{Query, State};
use serde::Deserialize;

use super::command::parse;
use super::guard::Asking;
use super::problem::Problem;
use super::state::Api;
use crate::domain::disclosure::Record;
use crate::domain::rights::{Permission, Subject};
use crate::kernel::{Mrn, Timestamp};
use crate::projection::Entry;

/// Entries of a report at most, unless fewer are asked for.
const ENTRIES: usize = 10_000;

/// What is asked.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Asked {
    patient: String,
    user: String,
    from: String,
    until: String,
    limit: Option<usize>,
}

fn instant(text: &str) -> Result<Option<Timestamp>, Problem> {
    if text.is_empty() { Ok(None) } else { parse(text).map(Some) }
}

fn read<T, E: std::fmt::Display>(found: Result<T, E>) -> Result<T, Problem> {
    found.map_err(|error| Problem::unreadable(&error))
}

/// What was seen and done, the newest first: of `patient` (under all their numbers), or by `user`; `from` and `until` are instants.
#[utoipa::path(get, path = "/api/v1/audit", params(("patient" = Option<String>, Query), ("user" = Option<String>, Query), ("from" = Option<String>, Query), ("until" = Option<String>, Query), ("limit" = Option<usize>, Query)), responses((status = 200, description = "entries with sequence, at, who, where, what, of, detail"), (status = 400, body = Problem)))]
pub(super) async fn report(
    State(api): State<Api>,
    Asking(who): Asking,
    asked: Result<Query<Asked>, axum::extract::rejection::QueryRejection>,
) -> Result<Json<Vec<Entry>>, Problem> {
    let allowed = api.may_with(&who, Permission::ViewAudit, &Subject::House)?;
    let Query(asked) = asked.map_err(|error| Problem::bad(error.body_text()))?;
    let (from, until) = (instant(&asked.from)?, instant(&asked.until)?);
    let limit = asked.limit.unwrap_or(ENTRIES).clamp(1, ENTRIES);
    let mut found: BTreeMap<u64, Entry> = BTreeMap::new();
    let is_wanted = |entry: &Entry| from.is_none_or(|from| entry.at >= from) && until.is_none_or(|until| entry.at < until);
    let mut take = |entries: Vec<Entry>| found.extend(entries.into_iter().filter(is_wanted).map(|entry| (entry.sequence, entry)));
    match (asked.patient.as_str(), asked.user.as_str()) {
        ("", "") => return Err(Problem::bad("say of which patient, or by which user")),
        ("", user) => {
            let user = user.to_lowercase();
            for sequence in api.rows.trail_of_user(&user, ENTRIES) {
                take(read(api.history.entries_at(sequence))?);
            }
            api.shown(&allowed, Record::Audit, Some(&user), Vec::new()).await?;
        }
        (patient, "") => {
            let mrn: Mrn = parse(patient)?;
            let numbers: Vec<Mrn> = api.rows.person_now(&mrn).into_iter().map(|(number, _)| number).chain([mrn]).collect();
            for number in &numbers {
                for sequence in api.rows.trail_of_patient(number, ENTRIES) {
                    take(read(api.history.entries_at(sequence))?);
                }
                for stream in api.rows.streams_of(number) {
                    take(read(api.history.entries_of(&stream, ENTRIES))?);
                }
            }
            api.shown_list(&allowed, Record::Audit, numbers).await?;
        }
        _ => return Err(Problem::bad("say of which patient, or by which user, not both")),
    }
    Ok(Json(found.into_values().rev().take(limit).collect()))
}
