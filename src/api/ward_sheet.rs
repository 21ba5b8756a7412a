//! A ward's sheet for when wardd cannot be asked: who lies where, what they must not be given, how they are. To be printed at each shift.

use askama::Template;
use axum::extract::{Path, State};
use axum::response::Response;

use super::chart_view::sign_name;
use super::guard::Asking;
use super::paper::Show;
use super::patients;
use super::problem::Problem;
use super::state::Api;
use crate::access::Who;
use crate::domain::chart::Standing;
use crate::domain::disclosure::Record;
use crate::domain::patient::{Allergies, Criticality, Patient, Sex};
use crate::domain::rights::{Permission, Subject};
use crate::kernel::{BedId, Mrn, Timestamp};
use crate::projection::BedRow;

#[derive(Template)]
#[template(path = "sheet.html")]
struct Sheet {
    house: String,
    ward: String,
    made: String,
    beds: Vec<Line>,
}

struct Line {
    bed: String,
    /// Who lies there; none of an empty bed, and words for whom the reader may not know.
    patient: Option<Lying>,
    /// What an empty bed is, or why it says no more.
    state: String,
    isolation: String,
}

struct Lying {
    name: String,
    mrn: Mrn,
    born: String,
    sex: String,
    since: String,
    until: String,
    away: String,
    /// `not asked` is no `none known`.
    allergies: Vec<Allergic>,
    problems: Vec<String>,
    signs: Vec<String>,
    alerts: Vec<String>,
}

pub(super) struct Allergic {
    pub(super) words: String,
    pub(super) is_dangerous: bool,
}

pub(super) fn allergies(records: &[(Mrn, Patient)]) -> Vec<Allergic> {
    let calm = |words: &str| vec![Allergic { words: words.to_owned(), is_dangerous: false }];
    match records.iter().map(|(_, record)| record.allergies.clone()).reduce(Allergies::with) {
        Some(Allergies::Known(known)) => known
            .into_iter()
            .map(|known| {
                let reaction = if known.allergy.reaction.is_empty() { String::new() } else { format!(" ({})", known.allergy.reaction) };
                Allergic { words: format!("{}{reaction}", known.allergy.substance), is_dangerous: known.allergy.criticality != Criticality::Low }
            })
            .collect(),
        Some(Allergies::NoneKnown { at }) => calm(&format!("none known, asked {}", at.date())),
        Some(Allergies::NotAsked) | None => vec![Allergic { words: "not asked".to_owned(), is_dangerous: true }],
    }
}

fn lying(api: &Api, patient: &Mrn, since: Timestamp) -> Lying {
    let records = api.rows.person_now(patient);
    let stay = api.rows.open_stay(patient);
    let person = records.iter().find_map(|(_, record)| record.person.clone()).unwrap_or_default();
    let (mut problems, mut signs, mut alerts) = (Vec::new(), Vec::new(), Vec::new());
    for (number, _) in &records {
        let active = api.rows.chart(number).problems.into_iter().filter(|problem| problem.standing == Standing::Active);
        problems.extend(active.map(|problem| format!("{} {}", problem.code, problem.text)));
        let vitals = api.rows.vitals(number);
        signs.extend(vitals.latest.iter().map(|(code, latest)| format!("{} {} {} ({})", sign_name(api, code), latest.value, latest.unit, moment(latest.measured))));
        alerts.extend(vitals.alerts.values().map(|alert| format!("{} {} {} since {}", sign_name(api, &alert.code), alert.value, alert.unit, moment(alert.raised))));
    }
    Lying {
        name: person.name.printed(),
        mrn: records.first().map_or_else(|| patient.clone(), |(mrn, _)| mrn.clone()),
        born: person.birth_date.map(|born| born.to_string()).unwrap_or_default(),
        sex: match person.sex {
            Sex::Female => "female",
            Sex::Male => "male",
            Sex::Other | Sex::Unknown => "",
        }
        .to_owned(),
        since: moment(since),
        until: stay.as_ref().and_then(|stay| stay.expected_end).map(|end| end.date().to_string()).unwrap_or_default(),
        away: stay.and_then(|stay| stay.away).map(|away| away.place).unwrap_or_default(),
        allergies: allergies(&records),
        problems,
        signs,
        alerts,
    }
}

/// A time as it is written on paper: to the minute, in UTC.
fn moment(at: Timestamp) -> String {
    at.to_string().get(..16).unwrap_or_default().replace('T', " ")
}

fn line(api: &Api, who: &Who, bed: &BedId, shown: &mut Vec<Mrn>) -> Line {
    let row: BedRow = api.rows.get("bed", bed.as_str()).unwrap_or_default();
    let (state, _, _, why) = super::beds::words(&row.bed.used);
    let place = bed.as_str().split_once(':').map_or(bed.as_str(), |(_, place)| place).to_owned();
    let may_look = |patient: &Mrn| who.rights.may(Permission::ViewPatient, &api.gate.patient(patient)).is_ok();
    let (patient, state, isolation) = match row.bed.occupant() {
        None => (None, why.map_or_else(|| state.to_owned(), |why| format!("{state}: {why}")), row.bed.isolation),
        Some((patient, since)) if may_look(patient) => {
            let lying = lying(api, patient, since);
            shown.extend(api.rows.person_now(patient).into_iter().map(|(number, _)| number));
            (Some(lying), String::new(), row.bed.isolation)
        }
        // That somebody is isolated whoever comes near must know; why is the record's.
        Some(_) => (None, "somebody whose record you may not see".to_owned(), row.bed.isolation.map(|_| "isolated".to_owned())),
    };
    Line { bed: place, patient, state, isolation: isolation.unwrap_or_default() }
}

/// The page.
pub(super) async fn show(State(api): State<Api>, Asking(who): Asking, Path(ward): Path<String>) -> Result<Response, Problem> {
    let place = api.gate.ward(&ward).ok_or_else(|| Problem::missing("ward", &ward))?;
    let allowed = api.may_with(&who, Permission::ViewBeds, &Subject::Ward(place))?;
    if !api.caught_up().await {
        let text = "wardd is still reading what happened last, and a sheet of before would be wrong: try again in a moment";
        return Err(Problem::new(axum::http::StatusCode::SERVICE_UNAVAILABLE, "unavailable", text));
    }
    patients::knows_people(&api).await?;
    let mut shown = Vec::new();
    let layout = api.hospital.layout();
    let beds = layout.wards.iter().filter(|(known, _)| known.as_str() == ward).flat_map(|(_, beds)| beds);
    let beds: Vec<Line> = beds.map(|bed| line(&api, &who, bed, &mut shown)).collect();
    api.shown_list(&allowed, Record::Beds, shown).await?;
    let sheet = Sheet { house: api.name.to_string(), ward, made: moment(api.clock.now()), beds };
    sheet.page()
}
