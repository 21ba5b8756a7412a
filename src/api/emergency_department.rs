//! The emergency department: who is there, how urgent, since when, and who should have been treated by now.

use askama::Template;
use axum::Json;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use serde::Serialize;

use super::forms::{moment, spoken};
use super::guard::Asking;
use super::paper::Show;
use super::problem::Problem;
use super::state::Api;
use crate::access::Who;
use crate::domain::disclosure::Record;
use crate::domain::encounter::{Encounter, Stay, Triage};
use crate::domain::rights::Permission;
use crate::kernel::{BedId, EncounterId, Mrn, Timestamp};
use crate::projection::EncounterRow;

/// Somebody in the emergency department.
#[derive(Debug, Serialize)]
pub(super) struct Waiting {
    mrn: Mrn,
    encounter: EncounterId,
    bed: Option<BedId>,
    arrived: Timestamp,
    /// How urgent; none before anybody has looked.
    #[serde(skip_serializing_if = "Option::is_none")]
    triage: Option<Triage>,
    /// Who treats them, and since when.
    #[serde(skip_serializing_if = "Option::is_none")]
    treated: Option<(String, Timestamp)>,
    /// Until when they are to be treated; before triage as the most urgent, for nobody knows better.
    due: Timestamp,
    /// Whether that is over, and nobody treats them.
    is_overdue: bool,
}

fn waiting(encounter: EncounterId, stay: Stay, targets: &[u32; 5], now: Timestamp) -> Waiting {
    let due = stay.treated_by(targets);
    Waiting {
        mrn: stay.patient,
        encounter,
        bed: stay.bed,
        arrived: stay.admitted,
        is_overdue: stay.treated.is_none() && due < now,
        triage: stay.triage,
        treated: stay.treated,
        due,
    }
}

/// Everybody there whom somebody may see: who waits before who is treated, the most urgent first, who came earlier before who came later;
/// who was not looked at yet comes first of all.
fn everybody(api: &Api, who: &Who) -> Vec<Waiting> {
    let (now, targets) = (api.clock.now(), api.hospital.layout().policy.seen_within_minutes);
    let stays = api.rows.emergency_stays().into_iter().filter_map(|encounter| {
        let row: EncounterRow = api.rows.get("encounter", encounter.as_str())?;
        match row.encounter {
            Encounter::Open(stay) => Some(waiting(encounter, stay, &targets, now)),
            Encounter::None | Encounter::Planned { .. } | Encounter::Closed { .. } => None,
        }
    });
    let mut found: Vec<Waiting> = stays.filter(|waiting| who.rights.may(Permission::ViewPatient, &api.gate.patient(&waiting.mrn)).is_ok()).collect();
    found.sort_by_key(|waiting| (waiting.treated.is_some(), waiting.triage.as_ref().map_or(0, |triage| triage.level), waiting.arrived));
    found
}

async fn shown(api: &Api, who: &Who) -> Result<Vec<Waiting>, Problem> {
    let allowed = api.may(who, Permission::Triage)?;
    if !api.caught_up().await {
        let text = "wardd is still reading what has happened, and nobody who waits must be missed: try again in a moment";
        return Err(Problem::new(axum::http::StatusCode::SERVICE_UNAVAILABLE, "unavailable", text));
    }
    let found = everybody(api, who);
    api.shown_list(&allowed, Record::Encounter, found.iter().map(|waiting| waiting.mrn.clone()).collect()).await?;
    Ok(found)
}

/// Who is in the emergency department: who waits before who is treated, who was not looked at yet first, then the most urgent.
#[utoipa::path(get, path = "/api/v1/emergency-department", responses((status = 200)))]
pub(super) async fn list(State(api): State<Api>, Asking(who): Asking) -> Result<Response, Problem> {
    let found = shown(&api, &who).await?;
    Ok(Json(serde_json::json!({ "patients": found })).into_response())
}

#[derive(Template)]
#[template(path = "emergency.html")]
struct Page {
    house: String,
    made: String,
    lines: Vec<Line>,
}

struct Line {
    mrn: Mrn,
    level: String,
    patient: String,
    complaint: String,
    arrived: String,
    due: String,
    state: String,
    is_overdue: bool,
}

fn line(api: &Api, waiting: &Waiting) -> Line {
    let name = api.rows.person_now(&waiting.mrn).into_iter().find_map(|(_, record)| record.person).map(|person| person.name.printed()).unwrap_or_default();
    let state = match &waiting.treated {
        Some((by, since)) => format!("treated by {} since {}", spoken(by), moment(*since)),
        None if waiting.is_overdue => "waits too long".to_owned(),
        None => "waits".to_owned(),
    };
    Line {
        mrn: waiting.mrn.clone(),
        level: waiting.triage.as_ref().map_or_else(|| "not looked at".to_owned(), |triage| triage.level.to_string()),
        patient: format!("{name} {}", waiting.mrn),
        complaint: waiting.triage.as_ref().map(|triage| triage.complaint.clone()).unwrap_or_default(),
        arrived: moment(waiting.arrived),
        due: moment(waiting.due),
        state,
        is_overdue: waiting.is_overdue,
    }
}

/// The same as a page, which is read anew each half minute.
pub(super) async fn page(State(api): State<Api>, Asking(who): Asking) -> Result<Response, Problem> {
    let found = shown(&api, &who).await?;
    super::patients::knows_people(&api).await?;
    let page = Page { house: api.name.to_string(), made: moment(api.clock.now()), lines: found.iter().map(|waiting| line(&api, waiting)).collect() };
    page.page()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::encounter::{Class, Event};
    use crate::domain::{Folded, check};

    #[test]
    fn who_waits_longer_than_their_level_allows_is_overdue_from_the_arrival_on() {
        let at = |minutes: i64| check::now().plus_seconds(minutes * 60);
        let mut stay = Encounter::default();
        stay.apply(&Event::Admitted { patient: "W1".parse().unwrap(), class: Class::Emergency, bed: None, mother: None, account: None, ward: None, at: at(0) });
        let targets = [0, 10, 30, 60, 120];
        let seen = |encounter: &Encounter, minutes| waiting("enc_1".parse().unwrap(), encounter.stay().unwrap().clone(), &targets, at(minutes));
        assert!(!seen(&stay, 10).is_overdue && seen(&stay, 11).is_overdue, "before anybody has looked: as level 2");
        let triage = |level| Event::Triaged { triage: Triage { level, complaint: "cough".to_owned(), by: "person:nina".to_owned(), at: at(20) } };
        stay.apply(&triage(4));
        assert!(!seen(&stay, 60).is_overdue && seen(&stay, 61).is_overdue, "not from when somebody looked");
        stay.apply(&triage(1));
        assert!(seen(&stay, 21).is_overdue, "who became worse is to be treated at once");
        stay.apply(&Event::TreatmentBegan { by: "person:dr-a".to_owned(), at: at(22) });
        assert!(!seen(&stay, 500).is_overdue);
    }
}
