//! The forms of the house, and a note on paper.

use askama::Template;
use axum::Json;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};

use super::at::Instant;
use super::chart_view;
use super::command::parse;
use super::guard::Asking;
use super::paper::Show;
use super::problem::Problem;
use super::state::Api;
use crate::domain::chart::{Answer, Field, Form, Meaning, Note};
use crate::domain::disclosure::Record;
use crate::domain::rights::Permission;
use crate::kernel::{EncounterId, Mrn, Timestamp};

/// The forms that notes may be written on: checklists, scores and templates, with their fields.
#[utoipa::path(get, path = "/api/v1/forms", responses((status = 200)))]
pub(super) async fn list(State(api): State<Api>, Asking(who): Asking) -> Result<Response, Problem> {
    api.may(&who, Permission::WriteNotes)?;
    Ok(Json(&*api.hospital.layout().policy.forms).into_response())
}

/// A form to be filled.
#[derive(Template)]
#[template(path = "form.html")]
struct Blank<'a> {
    form: &'a Form,
    name: String,
    mrn: Mrn,
    born: String,
    /// The stay that it is about: the one that is open when the page is.
    encounter: EncounterId,
    is_open_house: bool,
}

impl Blank<'_> {
    fn name_of(&self, field: &Field) -> String {
        format!("answers.{}", field.id)
    }
}

/// A page to fill a form of the house for a patient; it is written by `write-note`.
pub(super) async fn blank(State(api): State<Api>, Asking(who): Asking, Path((mrn, form)): Path<(String, String)>) -> Result<Response, Problem> {
    let mrn: Mrn = parse(&mrn)?;
    api.may_patient(&who, Permission::WriteNotes, &mrn).await?;
    let (_, records) = chart_view::records(&api, &who, (&mrn, Instant(None))).await?;
    let layout = api.hospital.layout();
    let form = layout.policy.forms.forms.iter().find(|known| known.id == form).ok_or_else(|| Problem::missing("form", &form))?;
    let stay = records.iter().find_map(|(_, record)| record.stay.clone()).or_else(|| records.iter().find_map(|(_, record)| record.last_stay.clone()));
    let text = "a form is about a stay, and this patient has had none: admit them first";
    let encounter = stay.ok_or_else(|| Problem::new(StatusCode::CONFLICT, "no_stay", text.to_owned()))?;
    let person = records.iter().find_map(|(_, record)| record.person.clone()).unwrap_or_default();
    let born = person.birth_date.map(|born| born.to_string()).unwrap_or_default();
    Blank { form, name: person.name.printed(), mrn, born, encounter, is_open_house: who.user.is_none() }.page()
}

#[derive(Template)]
#[template(path = "note.html")]
struct Paper {
    house: String,
    title: String,
    name: String,
    mrn: Mrn,
    born: String,
    encounter: String,
    by: String,
    at: String,
    version: usize,
    withdrawn: Option<String>,
    lines: Vec<String>,
    signatures: Vec<String>,
    made: String,
}

/// Somebody as people call them: `person:nina` is nina.
pub(super) fn spoken(by: &str) -> &str {
    by.strip_prefix("person:").unwrap_or(by)
}

/// A time as it is written on paper: to the minute, in UTC.
pub(super) fn moment(at: Timestamp) -> String {
    at.to_string().get(..16).unwrap_or_default().replace('T', " ")
}

fn signatures(note: &Note) -> Vec<String> {
    let of = |signature: &crate::domain::chart::Signature| {
        let meaning = match signature.meaning {
            Meaning::Author => "Author",
            Meaning::Reviewer => "Reviewer",
            Meaning::Approver => "Approver",
        };
        let holds = if signature.holds { "" } else { " (DOES NOT HOLD: the text is another one)" };
        format!("{meaning}: {} signed version {} on {} UTC{holds}", spoken(&signature.by), signature.version, moment(signature.at))
    };
    note.signatures.iter().map(of).collect()
}

/// A note for paper: its newest version, who wrote and who signed it.
pub(super) async fn print(State(api): State<Api>, Asking(who): Asking, Path((mrn, number)): Path<(String, u32)>) -> Result<Response, Problem> {
    let mrn: Mrn = parse(&mrn)?;
    let allowed = api.may_patient(&who, Permission::ViewPatient, &mrn).await?;
    if !api.caught_up().await {
        let text = "wardd is still reading what happened last, and a note of before would be wrong: try again in a moment";
        return Err(Problem::new(axum::http::StatusCode::SERVICE_UNAVAILABLE, "unavailable", text));
    }
    let chart = api.rows.chart(&mrn);
    let note = chart.note(number).ok_or_else(|| Problem::missing("note", &number.to_string()))?;
    let Some(newest) = note.versions.last() else { return Err(Problem::missing("note", &number.to_string())) };
    let person = api.rows.person_now(&mrn).into_iter().find_map(|(_, record)| record.person).unwrap_or_default();
    let mut lines = newest.text.lines().map(str::to_owned);
    let is_form = newest.form.is_some();
    let title = if is_form { lines.next().unwrap_or_default() } else { format!("{:?} note", note.kind) };
    api.shown(&allowed, Record::Chart, Some("note"), vec![mrn.clone()]).await?;
    let paper = Paper {
        house: api.name.to_string(),
        title,
        name: person.name.printed(),
        mrn,
        born: person.birth_date.map(|born| born.to_string()).unwrap_or_default(),
        encounter: note.encounter.to_string(),
        by: spoken(&note.by).to_owned(),
        at: moment(newest.at),
        version: note.versions.len(),
        withdrawn: note.withdrawn.clone(),
        lines: lines.collect(),
        signatures: signatures(note),
        made: moment(api.clock.now()),
    };
    paper.page()
}
