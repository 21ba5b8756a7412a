//! Charts: problems, notes, vital signs, intake and output, alerts.

use std::collections::BTreeMap;

use axum::Json;
use axum::extract::{Path, Query, State};
use axum::response::{IntoResponse, Response};
use serde::Deserialize;
use utoipa::ToSchema;

use super::at::Instant;
use super::chart_view::{self, AlertView, bed_of, sign_name};
use super::command::{Body, Key, parse};
use super::guard::Asking;
use super::patients::needed;
use super::problem::Problem;
use super::state::Api;
use crate::access::Act;
use crate::actor::Outcome;
use crate::domain::census::{Command, Measured};
use crate::domain::chart::{self, Filling, Illness, Meaning, NoteKind, Question, Vaccine};
use crate::domain::disclosure::Record;
use crate::domain::rights::{Permission, Subject};
use crate::domain::vitals::{self, Amount, Limits, Reading};
use crate::kernel::{Date, EncounterId, Icd10, Loinc, Mrn, StreamId, StreamKind, Timestamp};
use crate::projection::Measurement;

/// Measurements of one answer.
const MEASUREMENTS: usize = 100;

/// A person's chart, now or as it was at an instant (`?at=`).
#[utoipa::path(get, path = "/api/v1/patients/{mrn}/chart", params(("at" = Option<String>, Query, description = "an instant, RFC 3339 in UTC")), responses((status = 200), (status = 404, body = Problem)))]
pub(super) async fn show(State(api): State<Api>, Asking(who): Asking, Path(mrn): Path<String>, instant: Instant) -> Result<Response, Problem> {
    let mrn: Mrn = parse(&mrn)?;
    let (allowed, records) = chart_view::records(&api, &who, (&mrn, instant)).await?;
    let view = chart_view::gather(&api, &records, instant)?;
    api.shown(&allowed, Record::Chart, None, records.into_iter().map(|(number, _)| number).collect()).await?;
    Ok(Json(view).into_response())
}

/// Which measurements are asked for.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Wanted {
    code: Option<String>,
    before: Option<u64>,
}

/// What was measured under a number, the newest first, with the device's time, when it was received, and when it was recorded; `code` for one
/// sign, `before` to go on (`next` of the answer before).
#[utoipa::path(get, path = "/api/v1/patients/{mrn}/vitals", params(("code" = Option<String>, Query, description = "LOINC code of one sign"), ("before" = Option<u64>, Query, description = "`next` of the answer before")), responses((status = 200)))]
pub(super) async fn measurements(
    State(api): State<Api>,
    Asking(who): Asking,
    Path(mrn): Path<String>,
    wanted: Result<Query<Wanted>, axum::extract::rejection::QueryRejection>,
) -> Result<Response, Problem> {
    let mrn: Mrn = parse(&mrn)?;
    let allowed = api.may_patient(&who, Permission::ViewPatient, &mrn).await?;
    let Query(wanted) = wanted.map_err(|error| Problem::bad(error.body_text()))?;
    let code: Option<Loinc> = wanted.code.as_deref().map(parse).transpose()?;
    let (entries, next): (Vec<Measurement>, _) = api.history.measurements(&mrn, wanted.before, (code.as_ref(), MEASUREMENTS)).map_err(|error| Problem::unreadable(&error))?;
    api.shown(&allowed, Record::Chart, None, vec![mrn]).await?;
    Ok(Json(serde_json::json!({ "entries": entries, "next": next })).into_response())
}

/// Alerts that are open, of everybody within reach, those of the highest level and the longest waiting first.
#[utoipa::path(get, path = "/api/v1/alerts", responses((status = 200)))]
pub(super) async fn open_alerts(State(api): State<Api>, Asking(who): Asking) -> Result<Response, Problem> {
    let allowed = api.may(&who, Permission::TakeAlerts)?;
    if !api.caught_up().await {
        let text = "wardd is still reading what has happened, and no alert must be missed: try again in a moment";
        return Err(Problem::new(axum::http::StatusCode::SERVICE_UNAVAILABLE, "unavailable", text));
    }
    let is_within = |mrn: &Mrn| {
        let place: Subject = api.gate.patient(mrn);
        who.rights.may(Permission::TakeAlerts, &place).is_ok()
    };
    let mut found: Vec<AlertView> = api
        .rows
        .open_alerts()
        .into_iter()
        .filter(|open| is_within(&open.patient))
        .map(|open| AlertView { bed: bed_of(&api, &open.patient), sign: sign_name(&api, &open.alert.code), patient: open.patient, number: open.number, alert: open.alert })
        .collect();
    found.sort_by_key(|view| (view.alert.taken.is_some(), std::cmp::Reverse(view.alert.level), view.alert.raised));
    api.shown_list(&allowed, Record::Alerts, found.iter().map(|view| view.patient.clone()).collect()).await?;
    Ok(Json(serde_json::json!({ "alerts": found })).into_response())
}

/// What is needed for what is done.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, default)]
pub(super) struct ChartAction {
    /// To `record-problem`: an ICD-10 code. To `withdraw-reading`, `set-limits`, `lift-limits`: the LOINC code of a sign.
    code: Option<String>,
    /// The problem, or the note, in words.
    text: Option<String>,
    /// Since when the patient has the problem.
    #[schema(value_type = Option<String>)]
    onset: Option<Date>,
    /// To `finish-programme`: since which day it is over; today without it.
    #[schema(value_type = Option<String>)]
    until: Option<Date>,
    /// About which stay.
    #[schema(value_type = Option<String>)]
    encounter: Option<EncounterId>,
    /// The number of a problem, a note, an amount or an alert.
    number: Option<u32>,
    /// `progress`, `admission`, `nursing`, `consultation`, `procedure` or `discharge`, to `write-note`.
    #[schema(value_type = Option<String>)]
    kind: Option<NoteKind>,
    /// To `write-note` on a form of the house (`GET /api/v1/forms`): its id.
    form: Option<String>,
    /// To `write-note` or `amend-note` on a form: answers by the ids of its fields, as text, number, true or false.
    #[schema(value_type = Option<Object>)]
    answers: Option<BTreeMap<String, serde_json::Value>>,
    /// To `record-immunisation`: code, text, on (a date), and lot, expires, dose, site, elsewhere.
    #[schema(value_type = Option<Object>)]
    vaccine: Option<Vaccine>,
    /// To `record-family-illness`: relation, text, and code (ICD-10), onset_years, died_of_it.
    #[schema(value_type = Option<Object>)]
    illness: Option<Illness>,
    /// To `refer`: to, question, and urgency (routine, urgent, emergency).
    #[schema(value_type = Option<Object>)]
    referral: Option<Question>,
    /// To `answer-referral`.
    answer: Option<String>,
    /// The version of the note that the author has before them, to `amend-note`.
    version: Option<usize>,
    /// Why.
    reason: Option<String>,
    /// To `record-vitals`: code (LOINC), value, unit (UCUM).
    #[schema(value_type = Vec<Object>)]
    readings: Vec<Reading>,
    /// To `record-vitals`: route and millilitres.
    #[schema(value_type = Vec<Object>)]
    fluids: Vec<Amount>,
    /// When it was measured; now without it.
    #[schema(value_type = Option<String>)]
    measured: Option<Timestamp>,
    /// The bed that the patient should lie in, to `record-vitals`: scanned with the wristband, it shows that nobody was mixed up.
    #[schema(value_type = Option<String>)]
    bed: Option<crate::kernel::BedId>,
    /// To `set-limits`: the lowest value that needs nobody.
    #[schema(value_type = Option<String>)]
    low: Option<rust_decimal::Decimal>,
    /// To `set-limits`: the highest value that needs nobody.
    #[schema(value_type = Option<String>)]
    high: Option<rust_decimal::Decimal>,
    /// To `sign-note`: `author`, `reviewer` or `approver`.
    #[schema(value_type = Option<String>)]
    meaning: Option<Meaning>,
    /// To `sign-note`: the signer's own statement (`POST /api/v1/witnesses` with their password, or badge and PIN, for themselves and this
    /// request), in an open house their name.
    witness: Option<String>,
    /// Who acts, in an open house; else who is signed in.
    user: Option<String>,
}

impl ChartAction {
    fn code<T: std::str::FromStr<Err = crate::kernel::Invalid>>(&self) -> Result<T, Problem> {
        parse(&needed(&self.code, "code")?)
    }

    fn number(&self) -> Result<u32, Problem> {
        needed(&self.number, "number")
    }

    fn said(&self) -> (String, String) {
        (self.text.clone().unwrap_or_default(), self.reason.clone().unwrap_or_default())
    }

    /// What was written into a form; none where nothing was.
    fn filling(&self) -> Result<Option<Filling>, Problem> {
        let Some(form) = self.form.clone() else {
            return if self.answers.is_some() { Err(Problem::bad("field form is needed with answers: say which form they are of")) } else { Ok(None) };
        };
        let text = |(field, value): (&String, &serde_json::Value)| match value {
            serde_json::Value::String(text) => Ok((field.clone(), text.clone())),
            serde_json::Value::Number(number) => Ok((field.clone(), number.to_string())),
            serde_json::Value::Bool(is_so) => Ok((field.clone(), is_so.to_string())),
            serde_json::Value::Null => Ok((field.clone(), String::new())),
            serde_json::Value::Array(_) | serde_json::Value::Object(_) => Err(Problem::bad(format!("answers.{field}: an answer is a text, a number, true or false"))),
        };
        let answers = self.answers.iter().flatten().map(text).collect::<Result<_, _>>()?;
        Ok(Some(Filling { form, answers }))
    }

    /// The command; a note without a stay is about the one that is open, or was last.
    fn command(&self, action: &str, patient: Mrn, stay: impl FnOnce() -> Option<EncounterId>) -> Result<Command, Problem> {
        let (text, reason) = self.said();
        let whom = match &self.bed {
            Some(bed) => Measured::PatientInBed(patient.clone(), bed.clone()),
            None => Measured::Patient(patient.clone()),
        };
        let chart = |command| Ok(Command::Chart { patient, command });
        let vitals = |command| Ok(Command::Vitals { whom, command });
        match action {
            "record-problem" => chart(chart::Command::RecordProblem { code: self.code::<Icd10>()?, text, onset: self.onset, encounter: self.encounter.clone() }),
            "resolve-problem" => chart(chart::Command::ResolveProblem { number: self.number()? }),
            "reopen-problem" => chart(chart::Command::ReopenProblem { number: self.number()? }),
            "refute-problem" => chart(chart::Command::RefuteProblem { number: self.number()?, reason }),
            "write-note" => {
                let encounter =
                    self.encounter.clone().or_else(stay).ok_or_else(|| Problem::bad("field encounter is needed: the patient has had no stay that the note could be about"))?;
                chart(chart::Command::WriteNote { encounter, kind: self.kind.unwrap_or_default(), text, filling: self.filling()? })
            }
            "amend-note" => chart(chart::Command::AmendNote { number: self.number()?, version: needed(&self.version, "version")?, text, filling: self.filling()?, reason }),
            "sign-note" => chart(chart::Command::SignNote { number: self.number()?, version: needed(&self.version, "version")?, meaning: needed(&self.meaning, "meaning")? }),
            "withdraw-note" => chart(chart::Command::WithdrawNote { number: self.number()?, reason }),
            "record-immunisation" => chart(chart::Command::RecordImmunisation(needed(&self.vaccine, "vaccine")?)),
            "withdraw-immunisation" => chart(chart::Command::WithdrawImmunisation { number: self.number()?, reason }),
            "record-family-illness" => chart(chart::Command::RecordFamilyIllness(needed(&self.illness, "illness")?)),
            "withdraw-family-illness" => chart(chart::Command::WithdrawFamilyIllness { number: self.number()?, reason }),
            "refer" => chart(chart::Command::Refer { question: needed(&self.referral, "referral")?, encounter: self.encounter.clone().or_else(stay) }),
            "answer-referral" => chart(chart::Command::AnswerReferral { number: self.number()?, answer: needed(&self.answer, "answer")? }),
            "decline-referral" => chart(chart::Command::DeclineReferral { number: self.number()?, reason }),
            "cancel-referral" => chart(chart::Command::CancelReferral { number: self.number()?, reason }),
            "begin-programme" => chart(chart::Command::BeginProgramme { name: text, from: self.onset }),
            "finish-programme" => chart(chart::Command::FinishProgramme { number: self.number()?, until: self.until }),
            "refute-programme" => chart(chart::Command::RefuteProgramme { number: self.number()?, reason }),
            "withdraw-document" => chart(chart::Command::WithdrawPaper { number: self.number()?, reason }),
            "record-vitals" => vitals(vitals::Command::Take { readings: self.readings.clone(), fluids: self.fluids.clone(), measured: self.measured }),
            "withdraw-reading" => vitals(vitals::Command::WithdrawReading { code: self.code()?, measured: needed(&self.measured, "measured")?, reason }),
            "withdraw-fluid" => vitals(vitals::Command::WithdrawFluid { number: self.number()?, reason }),
            "set-limits" => vitals(vitals::Command::SetLimits { code: self.code()?, limits: Limits { low: self.low, high: self.high }, reason }),
            "lift-limits" => vitals(vitals::Command::LiftLimits { code: self.code()? }),
            "take-alert" => vitals(vitals::Command::TakeAlert { number: self.number()? }),
            other => Err(Problem::missing("action", other)),
        }
    }
}

/// Everything that is written into a chart: `record-problem`, `resolve-problem`, `reopen-problem`, `refute-problem`, `write-note`,
/// `amend-note`, `sign-note`, `withdraw-note`, `record-immunisation`, `withdraw-immunisation`, `record-family-illness`, `withdraw-family-illness`,
/// `refer`, `answer-referral`, `decline-referral`, `cancel-referral`, `begin-programme` (of care: `text`, `onset`), `finish-programme`, `refute-programme`,
/// `withdraw-document`, `record-vitals`, `withdraw-reading`, `withdraw-fluid`, `set-limits`, `lift-limits`, `take-alert`.
#[utoipa::path(post, path = "/api/v1/patients/{mrn}/chart/{action}", request_body = ChartAction, responses((status = 200), (status = 409, body = Problem)))]
pub(super) async fn act(
    State(api): State<Api>,
    Asking(who): Asking,
    Path((mrn, action)): Path<(String, String)>,
    Key(key): Key,
    Body(asked): Body<serde_json::Value>,
) -> Result<Response, Problem> {
    let mrn: Mrn = parse(&mrn)?;
    let signed = Act::new(format!("/api/v1/patients/{mrn}/chart/{action}"), &asked);
    let body: ChartAction = serde_json::from_value(asked).map_err(|error| Problem::unfit(&error))?;
    // Rows that are behind know of the stay before, and a note is about this one.
    if matches!(action.as_str(), "write-note" | "refer") && body.encounter.is_none() && !api.caught_up().await {
        let text = "wardd is still reading what happened last, and a note must not be of an earlier stay: try again in a moment, or name the encounter";
        return Err(Problem::new(axum::http::StatusCode::SERVICE_UNAVAILABLE, "unavailable", text));
    }
    let stay = || {
        let records = api.rows.person_now(&mrn);
        records.iter().find_map(|(_, record)| record.stay.clone()).or_else(|| records.iter().find_map(|(_, record)| record.last_stay.clone()))
    };
    let command = body.command(&action, mrn.clone(), stay)?;
    let allowed = api.may_about(&who, command.needs(), command.about()).await?;
    let origin = match action.as_str() {
        "sign-note" => api.witnessed(key, &allowed, body.user.as_deref(), (body.witness.clone(), &signed, &Subject::Anything))?,
        _ => api.origin(key, &allowed, body.user.as_deref())?,
    };
    let outcome = api.hospital.census(command, origin).await;
    if outcome == Outcome::Repeated {
        let _ = api.caught_up().await;
    }
    let streams = [StreamKind::Chart, StreamKind::Vitals].map(|kind| StreamId::new(kind, mrn.as_str()));
    api.answer_of_census(key, &outcome, || Ok(streams.to_vec()))
}
