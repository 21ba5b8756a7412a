//! A patient's page: who it is, what must not be given, what is to be done and what was written, and where it is done and written. The address says
//! whose page it is, and each of its forms names the patient: there is no patient "of the session" whom another tab could change.

use askama::Template;
use axum::Form;
use axum::extract::{Path, State};
use axum::response::{IntoResponse, Redirect, Response};

use super::at::Instant;
use super::chart_view::{self, ChartView, sign_name};
use super::command::parse;
use super::forms::{moment, spoken};
use super::guard::Asking;
use super::paper::Show;
use super::patients::{self, Found, Wanted};
use super::problem::Problem;
use super::state::Api;
use super::tasks;
use super::ward_sheet::{Allergic, allergies};
use crate::access::Who;
use crate::domain::chart::Standing;
use crate::domain::disclosure::Record;
use crate::domain::encounter::Stay;
use crate::domain::patient::{Patient, Sex};
use crate::domain::rights::Permission;
use crate::kernel::{EncounterId, Mrn, Timestamp};

/// Lines of one kind that the page shows, the newest first; the API has all.
const LINES: usize = 30;

#[derive(Template)]
#[template(path = "patient.html")]
struct Page {
    name: String,
    mrn: Mrn,
    merged: Vec<Mrn>,
    born: String,
    sex: &'static str,
    /// Where they lie, in a sentence.
    lies: String,
    /// Who stays with them.
    companion: String,
    died: Option<String>,
    allergies: Vec<Allergic>,
    alerts: Vec<String>,
    tasks: Vec<tasks::Line>,
    unacknowledged: Vec<(u32, String)>,
    forms_due: Vec<FormLine>,
    /// The forms of the house: ids and names.
    forms: Vec<(String, String)>,
    stay: Option<EncounterId>,
    bed: Option<String>,
    signs: Vec<SignLine>,
    /// Signs that may be entered here.
    measurable: Vec<Measurable>,
    groups: Vec<(&'static str, Vec<Words>)>,
    may_write: bool,
    may_measure: bool,
    is_open_house: bool,
}

struct FormLine {
    form: String,
    name: String,
    until: String,
    is_late: bool,
}

struct SignLine {
    name: String,
    value: String,
    at: String,
}

struct Measurable {
    name: String,
    code: String,
    unit: String,
}

/// An entry of the record in a line; with a link where there is more.
struct Words {
    words: String,
    link: String,
}

fn plain(words: String) -> Words {
    Words { words, link: String::new() }
}

/// What was written, by kind, the newest first; what was withdrawn or refuted is not shown here.
fn groups(chart: &ChartView) -> Vec<(&'static str, Vec<Words>)> {
    let problems = chart.problems.iter().rev().filter(|problem| problem.entry.standing == Standing::Active);
    let problems = problems.map(|problem| plain(format!("{} {}", problem.entry.code, problem.entry.text)));
    let notes = chart.notes.iter().rev().filter(|note| note.entry.withdrawn.is_none()).map(|note| {
        let newest = note.entry.versions.last();
        let title = newest.and_then(|version| version.text.lines().next()).unwrap_or_default();
        let at = newest.map(|version| moment(version.at)).unwrap_or_default();
        let words = format!("{at} {}: {}", spoken(&note.entry.by), title.chars().take(80).collect::<String>());
        Words { words, link: format!("/patients/{}/notes/{}", note.under, note.entry.number) }
    });
    let documents = chart.documents.iter().rev().filter(|paper| paper.entry.withdrawn.is_none()).map(|paper| Words {
        words: format!("{} {}", moment(paper.entry.at), paper.entry.title),
        link: format!("/api/v1/patients/{}/documents/{}", paper.under, paper.entry.number),
    });
    let referrals = chart.referrals.iter().rev();
    let referrals = referrals.map(|referral| plain(format!("to {}: {} ({})", referral.entry.question.to, referral.entry.question.question, referral.entry.standing.word())));
    let vaccines = chart.immunisations.iter().rev().filter(|vaccine| vaccine.entry.withdrawn.is_none());
    let vaccines = vaccines.map(|vaccine| plain(format!("{} {}", vaccine.entry.vaccine.on, vaccine.entry.vaccine.text)));
    let family = chart.family.iter().rev().filter(|illness| illness.entry.withdrawn.is_none());
    let family = family.map(|illness| plain(format!("{}: {}", format!("{:?}", illness.entry.illness.relation).to_lowercase(), illness.entry.illness.text)));
    vec![
        ("Problems", problems.take(LINES).collect()),
        ("Notes", notes.take(LINES).collect()),
        ("Documents", documents.take(LINES).collect()),
        ("Referrals", referrals.take(LINES).collect()),
        ("Immunisations", vaccines.take(LINES).collect()),
        ("Family", family.take(LINES).collect()),
    ]
}

fn lies(stay: Option<&Stay>) -> String {
    match stay {
        None => "Not in the house.".to_owned(),
        Some(Stay { bed: Some(bed), away: None, on_leave: None, .. }) => format!("Lies in {bed}."),
        Some(Stay { bed: Some(bed), away: Some(away), .. }) => format!("Has bed {bed}, is at {}.", away.place),
        Some(Stay { bed: Some(bed), on_leave: Some(_), .. }) => format!("Has bed {bed}, is on leave."),
        Some(Stay { bed: None, admitted, .. }) => format!("Here since {} UTC, without a bed.", moment(*admitted)),
    }
}

fn page(api: &Api, who: &Who, records: &[(Mrn, Patient)], now: Timestamp) -> Result<Page, Problem> {
    let chart = chart_view::gather(api, records, Instant(None))?;
    let mrn = chart.mrn.clone();
    let person = records.iter().find_map(|(_, record)| record.person.clone()).unwrap_or_default();
    let stay = api.rows.open_stay(&mrn);
    let (lines, unacknowledged) = tasks::of_page(api, &mrn, now);
    let layout = api.hospital.layout();
    let may = |permission| who.rights.may(permission, &api.gate.patient(&mrn)).is_ok();
    let due = |due: &crate::domain::chart::FormDue| FormLine { form: due.form.clone(), name: due.name.clone(), until: moment(due.due), is_late: due.due < now };
    let alert = |alert: &chart_view::AlertView| format!("{} {} {} since {}", alert.sign, alert.alert.value, alert.alert.unit, moment(alert.alert.raised));
    let unusable = chart.unusable.iter().map(|(code, why)| format!("{} not usable: {why}", sign_name(api, code)));
    Ok(Page {
        name: person.name.printed(),
        born: person.birth_date.map(|born| born.to_string()).unwrap_or_default(),
        sex: match person.sex {
            Sex::Female => "female",
            Sex::Male => "male",
            Sex::Other | Sex::Unknown => "",
        },
        merged: records.iter().skip(1).map(|(number, _)| number.clone()).collect(),
        lies: lies(stay.as_ref()),
        companion: stay
            .as_ref()
            .and_then(|stay| stay.companion.clone())
            .map(|companion| format!("{} ({}) stays in {}.", companion.name, companion.relation, companion.bed))
            .unwrap_or_default(),
        died: records.iter().find_map(|(_, record)| record.died).map(moment),
        allergies: allergies(records),
        alerts: chart.alerts.iter().map(alert).chain(unusable).collect(),
        tasks: if may(Permission::DoTasks) { lines } else { Vec::new() },
        unacknowledged: if may(Permission::DoTasks) { unacknowledged } else { Vec::new() },
        forms_due: chart.forms_due.iter().map(due).collect(),
        forms: layout.policy.forms.forms.iter().map(|form| (form.id.clone(), form.name.clone())).collect(),
        stay: records.iter().find_map(|(_, record)| record.stay.clone()).or_else(|| records.iter().find_map(|(_, record)| record.last_stay.clone())),
        bed: stay.and_then(|stay| stay.bed).map(|bed| bed.to_string()),
        signs: chart
            .vitals
            .iter()
            .map(|(code, latest)| SignLine { name: sign_name(api, code), value: format!("{} {}", latest.entry.value, latest.entry.unit), at: moment(latest.entry.measured) })
            .collect(),
        measurable: layout.policy.vitals.signs.iter().map(|sign| Measurable { name: sign.name.clone(), code: sign.code.to_string(), unit: sign.unit.to_string() }).collect(),
        groups: groups(&chart),
        may_write: may(Permission::WriteNotes),
        may_measure: may(Permission::RecordVitals),
        is_open_house: who.user.is_none(),
        mrn,
    })
}

/// The page of one patient; of a merged number the person's.
pub(super) async fn show(State(api): State<Api>, Asking(who): Asking, Path(mrn): Path<String>) -> Result<Response, Problem> {
    let mrn: Mrn = parse(&mrn)?;
    if !api.caught_up().await {
        let text = "wardd is still reading what happened last, and a page of before would be wrong: try again in a moment";
        return Err(Problem::new(axum::http::StatusCode::SERVICE_UNAVAILABLE, "unavailable", text));
    }
    let (allowed, records) = chart_view::records(&api, &who, (&mrn, Instant(None))).await?;
    let page = page(&api, &who, &records, api.clock.now())?;
    api.shown(&allowed, Record::Chart, Some("page"), records.into_iter().map(|(number, _)| number).collect()).await?;
    page.page()
}

#[derive(Template)]
#[template(path = "find.html")]
struct FindPage {
    house: String,
    asked: Wanted,
    problem: String,
    /// None before anybody has asked.
    found: Option<Vec<FoundLine>>,
}

struct FoundLine {
    mrn: String,
    name: String,
    born: String,
    sex: String,
    /// Why there is no way to the page; empty where there is one.
    limited: String,
}

fn found_line(found: &Found) -> FoundLine {
    let of = |mrn: &Mrn, limited: &str| FoundLine { mrn: mrn.to_string(), name: String::new(), born: String::new(), sex: String::new(), limited: limited.replace('_', " ") };
    match found {
        Found::Whole(view) => {
            let person = view.person.clone().unwrap_or_default();
            let sex = format!("{:?}", person.sex).to_lowercase();
            FoundLine { name: person.name.printed(), born: person.birth_date.map(|born| born.to_string()).unwrap_or_default(), sex, ..of(&view.mrn, "") }
        }
        Found::Person { mrn, person, limited } => {
            let text = |name: &str| person.get(name).and_then(serde_json::Value::as_str).unwrap_or_default().to_owned();
            let name: crate::domain::patient::Name = person.get("name").and_then(|name| serde_json::from_value(name.clone()).ok()).unwrap_or_default();
            FoundLine { name: name.printed(), born: text("birth_date"), sex: text("sex"), ..of(mrn, limited) }
        }
        Found::Number { mrn, limited } => of(mrn, limited),
        Found::Hidden { limited, ask } => FoundLine { mrn: String::new(), name: (*ask).to_owned(), born: String::new(), sex: String::new(), limited: (*limited).to_owned() },
    }
}

/// A page to find patients by what is known of them, or by scanning the wristband.
pub(super) async fn ask(State(api): State<Api>, Asking(who): Asking) -> Result<Response, Problem> {
    api.may(&who, Permission::FindPatients)?;
    FindPage { house: api.name.to_string(), asked: Wanted::default(), problem: String::new(), found: None }.page()
}

/// Who was found. It is asked by a form that is posted: no name stands in a browser's history.
pub(super) async fn find(State(api): State<Api>, Asking(who): Asking, Form(asked): Form<Wanted>) -> Result<Response, Problem> {
    let (found, problem) = match patients::found(&api, &who, &asked).await {
        Ok(found) => (Some(found.iter().map(found_line).collect::<Vec<_>>()), String::new()),
        // What was not understood is said beside the fields, with what was typed.
        Err(problem) if matches!(problem.status, 400 | 404 | 409) => (None, problem.detail),
        Err(problem) => return Err(problem),
    };
    // A scanned wristband leads to its patient, and to nobody else.
    if let (false, Some([line])) = (asked.scan.is_empty(), found.as_deref())
        && line.limited.is_empty()
    {
        return Ok(Redirect::to(&format!("/patients/{}", line.mrn)).into_response());
    }
    FindPage { house: api.name.to_string(), asked, problem, found }.page()
}
