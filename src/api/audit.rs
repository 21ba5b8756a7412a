//! Who saw and did what: of a patient, or by a user, read from the log itself.

use std::collections::BTreeMap;

use axum::Json;
use axum::extract::{Query, State};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::command::parse;
use super::guard::Asking;
use super::problem::Problem;
use super::state::Api;
use crate::domain::disclosure::Record;
use crate::domain::rights::{Permission, Subject};
use crate::kernel::{Mrn, Timestamp};
use crate::projection::{Entry, History};

/// Entries of one answer at most.
const ENTRIES: usize = 10_000;

/// What is asked.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Asked {
    patient: String,
    user: String,
    from: String,
    until: String,
    before: Option<u64>,
    limit: Option<usize>,
}

fn instant(text: &str) -> Result<Option<Timestamp>, Problem> {
    if text.is_empty() { Ok(None) } else { parse(text).map(Some) }
}

fn read<T, E: std::fmt::Display>(found: Result<T, E>) -> Result<T, Problem> {
    found.map_err(|error| Problem::unreadable(&error))
}

/// A report.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Report {
    /// The newest first.
    #[schema(value_type = Vec<Object>)]
    entries: Vec<Entry>,
    /// There are older ones: ask again with `before` set to this.
    next: Option<u64>,
}

/// What is wanted of the entries.
struct Wanted {
    from: Option<Timestamp>,
    until: Option<Timestamp>,
    before: u64,
    limit: usize,
}

impl Wanted {
    fn fits(&self, entry: &Entry) -> bool {
        entry.sequence < self.before && self.from.is_none_or(|from| entry.at >= from) && self.until.is_none_or(|until| entry.at < until)
    }

    /// The entries of a trail, the newest first: it is followed until it is older than what is wanted, or there are enough.
    fn of_trail(&self, history: &History, trail: impl Iterator<Item = u64>, found: &mut BTreeMap<u64, Entry>) -> Result<(), Problem> {
        let mut taken = 0;
        for sequence in trail.filter(|sequence| *sequence < self.before) {
            let entries = read(history.entries_at(sequence))?;
            if entries.iter().any(|entry| self.from.is_some_and(|from| entry.at < from)) || taken > self.limit {
                break;
            }
            let fitting: Vec<Entry> = entries.into_iter().filter(|entry| self.fits(entry)).collect();
            taken += fitting.len();
            found.extend(fitting.into_iter().map(|entry| (entry.sequence, entry)));
        }
        Ok(())
    }

    fn report(&self, found: BTreeMap<u64, Entry>) -> Report {
        let is_cut = found.len() > self.limit;
        let entries: Vec<Entry> = found.into_values().rev().take(self.limit).collect();
        Report { next: entries.last().map(|entry| entry.sequence).filter(|_| is_cut), entries }
    }
}

fn of_patient(api: &Api, numbers: &[Mrn], wanted: &Wanted) -> Result<BTreeMap<u64, Entry>, Problem> {
    let mut found = BTreeMap::new();
    for number in numbers {
        wanted.of_trail(&api.history, api.rows.trail_of_patient(number), &mut found)?;
        for stream in api.rows.streams_of(number) {
            let entries = read(api.history.entries_of(&stream, usize::MAX))?;
            found.extend(entries.into_iter().filter(|entry| wanted.fits(entry)).map(|entry| (entry.sequence, entry)));
        }
    }
    Ok(found)
}

/// What was seen and done of a person, the newest first, at most `limit`.
pub(super) fn newest_of(api: &Api, numbers: &[Mrn], limit: usize) -> Result<Vec<Entry>, Problem> {
    let wanted = Wanted { from: None, until: None, before: u64::MAX, limit };
    of_patient(api, numbers, &wanted).map(|found| wanted.report(found).entries)
}

/// What was seen and done, the newest first: of `patient` (under all their numbers), or by and to `user`; `from` and `until` are instants,
/// `before` goes on where a report was cut.
#[utoipa::path(get, path = "/api/v1/audit", params(("patient" = Option<String>, Query), ("user" = Option<String>, Query), ("from" = Option<String>, Query), ("until" = Option<String>, Query), ("before" = Option<u64>, Query), ("limit" = Option<usize>, Query)), responses((status = 200, body = Report), (status = 400, body = Problem)))]
pub(super) async fn report(State(api): State<Api>, Asking(who): Asking, asked: Result<Query<Asked>, axum::extract::rejection::QueryRejection>) -> Result<Json<Report>, Problem> {
    let allowed = api.may_with(&who, Permission::ViewAudit, &Subject::House)?;
    let Query(asked) = asked.map_err(|error| Problem::bad(error.body_text()))?;
    let limit = asked.limit.unwrap_or(ENTRIES).clamp(1, ENTRIES);
    let wanted = Wanted { from: instant(&asked.from)?, until: instant(&asked.until)?, before: asked.before.unwrap_or(u64::MAX), limit };
    match (asked.patient.as_str(), asked.user.as_str()) {
        ("", "") => Err(Problem::bad("say of which patient, or by which user")),
        ("", user) => {
            let user = user.to_lowercase();
            api.shown(&allowed, Record::Audit, Some(&user), Vec::new()).await?;
            in_peace(move || {
                let mut found = BTreeMap::new();
                wanted.of_trail(&api.history, api.rows.trail_of_user(&user), &mut found)?;
                Ok(wanted.report(found))
            })
            .await
        }
        (patient, "") => {
            let mrn: Mrn = parse(patient)?;
            let numbers: Vec<Mrn> = api.rows.person_now(&mrn).into_iter().map(|(number, _)| number).chain([mrn]).collect();
            api.shown_list(&allowed, Record::Audit, numbers.clone()).await?;
            in_peace(move || of_patient(&api, &numbers, &wanted).map(|found| wanted.report(found))).await
        }
        _ => Err(Problem::bad("say of which patient, or by which user, not both")),
    }
}

/// A report reads much of the log: where it holds up nobody.
async fn in_peace(report: impl FnOnce() -> Result<Report, Problem> + Send + 'static) -> Result<Json<Report>, Problem> {
    let done = tokio::task::spawn_blocking(report).await.map_err(|error| Problem::unreadable(&error))?;
    done.map(Json)
}
