//! Patients: registration, search, merge, allergies, stays. What is asked of a merged number is asked of the person.

use axum::Json;
use axum::extract::{Path, Query, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::at::Instant;
use super::command::{Body, Identity, Key, parse};
use super::guard::Asking;
use super::problem::Problem;
use super::state::Api;
use super::wristbands;
use crate::access::{Act, Allowed, Who};
use crate::actor::{Origin, Outcome, RECORD_NUMBERS};
use crate::domain::census::{Admission, Command};
use crate::domain::disclosure::Record;
use crate::domain::encounter::{Class, Clearance, Encounter, Guarantor};
use crate::domain::patient::likeness::{Likeness, PROBABLE, compare};
use crate::domain::patient::{Allergies, Allergy, Name, Patient, Person};
use crate::domain::rights::{Permission, Subject};
use crate::kernel::{BedId, EncounterId, Mrn, StreamId, StreamKind, Timestamp, WardId, limits};
use crate::projection::{self, EncounterRow, PatientRow, Search};

/// People who share something with somebody new, compared at most; and shown at most, the likeliest first.
const ALIKE_COMPARED: usize = 1_000;
const ALIKE_SHOWN: usize = 10;
/// How long a search waits for the people of before the start: a million take longer, and whoever asks is told.
const PATIENCE: std::time::Duration = std::time::Duration::from_secs(2);

/// A person as the API shows them: all numbers together.
#[derive(Debug, Serialize)]
pub(super) struct PersonView {
    /// The number to use.
    pub(super) mrn: Mrn,
    /// As registered under it, completed by what only a merged number knows.
    pub(super) person: Option<Person>,
    /// Numbers that were merged into it.
    merged: Vec<Mrn>,
    /// What must not be given, of all numbers; `not_asked`, `none_known`, or the list.
    allergies: Allergies,
    /// The open stay.
    stay: Option<StayView>,
    /// The stay that was opened last.
    last_stay: Option<EncounterId>,
    /// Stays that are to come.
    plans: Vec<StayView>,
    restricted: Option<String>,
    died: Option<Timestamp>,
    /// When the newest photo was taken (GET /api/v1/patients/{mrn}/photo).
    photo: Option<Timestamp>,
    /// The wristband that counts; 0 when none was asked for.
    wristband: u32,
    /// The last one that has come out of a printer.
    wristband_delivered: u32,
}

impl PersonView {
    fn numbers(&self) -> impl Iterator<Item = &Mrn> {
        std::iter::once(&self.mrn).chain(&self.merged)
    }
}

/// A stay with its number.
#[derive(Debug, Serialize)]
struct StayView {
    encounter: EncounterId,
    #[serde(flatten)]
    state: Encounter,
}

/// Where records are looked up: now, or as they were.
#[derive(Clone, Copy)]
pub(super) struct Seen<'a> {
    api: &'a Api,
    instant: Instant,
}

impl Seen<'_> {
    fn record(self, mrn: &Mrn) -> Result<Patient, Problem> {
        match self.instant.0 {
            None => Ok(self.api.rows.get::<PatientRow>("patient", mrn.as_str()).unwrap_or_default().patient),
            Some(instant) => self.api.history.at(mrn.as_str(), instant).map_err(|error| Problem::unreadable(&error)),
        }
    }

    fn encounter(self, encounter: &EncounterId) -> Result<Encounter, Problem> {
        match self.instant.0 {
            None => Ok(self.api.rows.get::<EncounterRow>("encounter", encounter.as_str()).unwrap_or_default().encounter),
            Some(instant) => self.api.history.at(encounter.as_str(), instant).map_err(|error| Problem::unreadable(&error)),
        }
    }

    /// The number to use, and all records of the person, its own first.
    pub(super) fn person(self, mrn: &Mrn) -> Result<Vec<(Mrn, Patient)>, Problem> {
        projection::person(mrn, |mrn| self.record(mrn))
    }

    /// None when nothing is known under the number.
    fn view(self, mrn: &Mrn) -> Result<Option<PersonView>, Problem> {
        let records = self.person(mrn)?;
        if records.iter().all(|(_, record)| *record == Patient::default()) {
            return Ok(None);
        }
        let stay = match records.iter().find_map(|(_, record)| record.stay.clone()) {
            Some(encounter) => Some(StayView { state: self.encounter(&encounter)?, encounter }),
            None => None,
        };
        let plans = records.iter().flat_map(|(_, record)| record.plans.iter().cloned());
        let plans = plans.map(|encounter| Ok(StayView { state: self.encounter(&encounter)?, encounter })).collect::<Result<Vec<_>, Problem>>()?;
        let known: Vec<_> = records.iter().flat_map(|(_, record)| record.allergies.known()).cloned().collect();
        let asked = || records.iter().map(|(_, record)| &record.allergies).find(|allergies| **allergies != Allergies::NotAsked).cloned().unwrap_or_default();
        let mut registered = records.iter().filter_map(|(_, record)| record.person.clone());
        let first = registered.next();
        Ok(Some(PersonView {
            person: first.map(|first| registered.fold(first, |known, other| known.completed_by(&other))),
            merged: records.iter().skip(1).map(|(mrn, _)| mrn.clone()).collect(),
            allergies: if known.is_empty() { asked() } else { Allergies::Known(known) },
            stay,
            last_stay: records.iter().find_map(|(_, record)| record.last_stay.clone()),
            plans,
            restricted: records.iter().find_map(|(_, record)| record.restricted.clone()),
            died: records.iter().find_map(|(_, record)| record.died),
            photo: records.iter().filter_map(|(_, record)| record.photo).max(),
            wristband: records.iter().map(|(_, record)| record.wristband).max().unwrap_or(0),
            wristband_delivered: records.iter().map(|(_, record)| record.wristband_delivered).max().unwrap_or(0),
            mrn: records[0].0.clone(),
        }))
    }
}

/// Records as they were, or are.
pub(super) fn seen(api: &Api, instant: Instant) -> Seen<'_> {
    Seen { api, instant }
}

pub(super) fn now(api: &Api) -> Seen<'_> {
    Seen { api, instant: Instant(None) }
}

/// What people know of a patient; all that is said must fit.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Wanted {
    pub(super) name: String,
    pub(super) born: String,
    pub(super) phone: String,
    pub(super) number: String,
    /// What a scanner read from a wristband, or another code with the number.
    pub(super) scan: String,
    limit: Option<usize>,
}

/// Patients by `name` (beginnings of its words), `born`, `phone`, `number` (any number, as typed), or by `scan` of the wristband: of one that
/// was replaced the answer is 409.
#[utoipa::path(get, path = "/api/v1/patients", params(("name" = Option<String>, Query), ("born" = Option<String>, Query), ("phone" = Option<String>, Query), ("number" = Option<String>, Query), ("scan" = Option<String>, Query), ("limit" = Option<usize>, Query)), responses((status = 200), (status = 400, body = Problem)))]
pub(super) async fn find(State(api): State<Api>, Asking(who): Asking, wanted: Result<Query<Wanted>, axum::extract::rejection::QueryRejection>) -> Result<Response, Problem> {
    let Query(wanted) = wanted.map_err(|error| Problem::bad(error.body_text()))?;
    Ok(Json(found(&api, &who, &wanted).await?).into_response())
}

/// Whom somebody finds who knows this of them, as far as they may see them.
pub(super) async fn found(api: &Api, who: &Who, wanted: &Wanted) -> Result<Vec<Found>, Problem> {
    let allowed = api.may(who, Permission::FindPatients)?;
    let born = if wanted.born.is_empty() { None } else { Some(parse(&wanted.born)?) };
    knows_people(api).await?;
    let scanned = if wanted.scan.is_empty() { None } else { Some(wristbands::whose(api, &wanted.scan)?) };
    let search = Search { name: wanted.name.clone(), born, phone: wanted.phone.clone(), number: wanted.number.clone() };
    if search.is_empty() && scanned.is_none() {
        return Err(Problem::bad("say what is known of the patient: name, born, phone or number, or scan the wristband"));
    }
    let mut found: Vec<PersonView> = Vec::new();
    // A scan shows whose band it is and nobody else, whatever numbers others are known by elsewhere.
    let numbers = match &scanned {
        Some(mrn) => vec![mrn.clone()],
        None => api.rows.find_patients(&search, wanted.limit.unwrap_or(20).clamp(1, limits::PAGE_ROWS)),
    };
    for mrn in numbers {
        // A merged number leads to the person, and the person is shown once.
        if let Some(view) = now(api).view(&mrn)?.filter(|view| !found.iter().any(|known| known.mrn == view.mrn)) {
            found.push(view);
        }
    }
    // That somebody is here is told of the restricted to those who know their number, and to nobody who tries names.
    if search.number.is_empty() && scanned.is_none() {
        found.retain(|view| view.restricted.is_none() || who.rights.may(Permission::ViewPatient, &api.gate.patient(&view.mrn)).is_ok());
    }
    api.shown_list(&allowed, Record::Search, found.iter().flat_map(PersonView::numbers).cloned().collect()).await?;
    Ok(found.into_iter().map(|view| within_rights(api, who, view)).collect())
}

/// What somebody who searches may see of whom they find: all of their own patients, who it is of others, of the restricted the number.
#[derive(Debug, Serialize)]
#[serde(untagged)]
pub(super) enum Found {
    /// All.
    Whole(Box<PersonView>),
    /// Who it is.
    Person {
        /// The number.
        mrn: Mrn,
        /// Names, birth date, sex.
        person: serde_json::Value,
        /// Why no more.
        limited: &'static str,
    },
    /// That somebody who may must look.
    Hidden {
        /// Why no more.
        limited: &'static str,
        /// Whom to ask.
        ask: &'static str,
    },
    /// That there is somebody.
    Number {
        /// The number.
        mrn: Mrn,
        /// Why no more.
        limited: &'static str,
    },
}

fn within_rights(api: &Api, who: &Who, view: PersonView) -> Found {
    match who.rights.may(Permission::ViewPatient, &api.gate.patient(&view.mrn)) {
        Ok(_) => Found::Whole(Box::new(view)),
        Err(_) if view.restricted.is_some() => Found::Number { mrn: view.mrn, limited: "restricted" },
        Err(forbidden) => {
            let person = view.person.map(|person| serde_json::json!({ "name": person.name, "birth_date": person.birth_date, "sex": person.sex }));
            Found::Person { mrn: view.mrn, person: person.unwrap_or_default(), limited: forbidden.word() }
        }
    }
}

/// One person with all their numbers, now or as they were at an instant (`?at=`). A merged number shows whom it leads to.
#[utoipa::path(get, path = "/api/v1/patients/{mrn}", params(("at" = Option<String>, Query, description = "an instant, RFC 3339 in UTC")), responses((status = 200), (status = 404, body = Problem)))]
pub(super) async fn show(State(api): State<Api>, Asking(who): Asking, Path(mrn): Path<String>, instant: Instant) -> Result<Response, Problem> {
    let mrn: Mrn = parse(&mrn)?;
    let allowed = api.may_patient(&who, Permission::ViewPatient, &mrn).await?;
    gone(&api, &mrn)?;
    let view = Seen { api: &api, instant }.view(&mrn)?.ok_or_else(|| Problem::missing("patient", mrn.as_str()))?;
    // Who was one person then may be two now: each of them is asked for, and each is told.
    for number in view.numbers() {
        api.may_patient(&who, Permission::ViewPatient, number).await?;
    }
    api.shown(&allowed, Record::Patient, None, view.numbers().cloned().collect()).await?;
    Ok(Json(view).into_response())
}

/// That the person was not erased.
pub(super) fn gone(api: &Api, mrn: &Mrn) -> Result<(), Problem> {
    match api.rows.get::<PatientRow>("patient", mrn.as_str()).and_then(|row| row.patient.erased) {
        Some(at) => Err(Problem::new(StatusCode::GONE, "erased", format!("{mrn} was erased on {at}: nothing is known of them any more"))),
        None => Ok(()),
    }
}

/// One encounter, now or as it was at an instant (`?at=`).
#[utoipa::path(get, path = "/api/v1/encounters/{encounter}", params(("at" = Option<String>, Query, description = "an instant, RFC 3339 in UTC")), responses((status = 200), (status = 404, body = Problem)))]
pub(super) async fn encounter(State(api): State<Api>, Asking(who): Asking, Path(encounter): Path<String>, instant: Instant) -> Result<Response, Problem> {
    api.may(&who, Permission::ViewPatient)?;
    let encounter: EncounterId = parse(&encounter)?;
    let state = (Seen { api: &api, instant }).encounter(&encounter)?;
    let mrn = state.patient().cloned().ok_or_else(|| Problem::missing("encounter", encounter.as_str()))?;
    let allowed = api.may_patient(&who, Permission::ViewPatient, &mrn).await?;
    api.shown(&allowed, Record::Encounter, Some(encounter.as_str()), vec![mrn]).await?;
    Ok(Json(StayView { encounter, state }).into_response())
}

/// Somebody new.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Registration {
    /// The number, when the patient has one; else one is issued.
    #[schema(value_type = Option<String>)]
    mrn: Option<Mrn>,
    /// Who it is.
    #[schema(value_type = Object)]
    person: Person,
    /// Whether the clerk has looked at those who may be the same person, and it is none of them.
    confirm_new: bool,
    /// Who acts, in an open house; else who is signed in.
    user: Option<String>,
}

/// Somebody who may be the same person, beside the reasons.
#[derive(Debug)]
struct Alike {
    likeness: Likeness,
    patient: PersonView,
}

/// The same as somebody may see it: of somebody restricted no reason is told, for the reasons are what they are like.
#[derive(Debug, Serialize)]
struct AlikeView {
    #[serde(flatten, skip_serializing_if = "Option::is_none")]
    likeness: Option<Likeness>,
    patient: Found,
}

impl AlikeView {
    fn new(api: &Api, who: &Who, alike: Alike) -> Self {
        match within_rights(api, who, alike.patient) {
            Found::Number { .. } => Self { likeness: None, patient: Found::Hidden { limited: "restricted", ask: "somebody of the registration who may see restricted records" } },
            patient => Self { likeness: Some(alike.likeness), patient },
        }
    }
}

/// For a moment after a start not everybody can be found, and who is missing must not be taken for nobody: waits a little for it.
pub(super) async fn knows_people(api: &Api) -> Result<(), Problem> {
    let mut knows = api.rows.knows_people();
    let waited = tokio::time::timeout(PATIENCE, knows.wait_for(|knows| *knows)).await.is_ok();
    let text = "wardd has just started and is still reading who is registered: try again in a moment";
    if waited { Ok(()) } else { Err(Problem::new(StatusCode::SERVICE_UNAVAILABLE, "unavailable", text)) }
}

/// Who is known and may be this person, besides the one that is asked about.
fn alike(api: &Api, person: &Person, itself: Option<&Mrn>) -> Result<Vec<Alike>, Problem> {
    let mut found: Vec<Alike> = Vec::new();
    for mrn in api.rows.alike(person).into_iter().take(ALIKE_COMPARED) {
        let Some(patient) = now(api).view(&mrn)? else { continue };
        if itself.is_some_and(|itself| patient.numbers().any(|number| number == itself)) {
            continue;
        }
        let likeness = patient.person.as_ref().map(|known| compare(person, known));
        if let Some(likeness) = likeness.filter(|likeness| likeness.points >= PROBABLE && !found.iter().any(|known| known.patient.mrn == patient.mrn)) {
            found.push(Alike { likeness, patient });
        }
    }
    found.sort_by_key(|alike| std::cmp::Reverse(alike.likeness.points));
    found.truncate(ALIKE_SHOWN);
    Ok(found)
}

/// The record number that a request was given, if it was here before.
pub(super) fn issued(api: &Api, key: Identity) -> Result<Option<Mrn>, Problem> {
    let events = api.done_before(&StreamId::new(StreamKind::Hospital, RECORD_NUMBERS), key)?;
    Ok(events.first().and_then(|event| event.get("mrn")?.as_str()?.parse().ok()))
}

/// A record number of our own, the same for the same request.
pub(super) async fn issue(api: &Api, key: Identity, origin: Origin) -> Result<Mrn, Problem> {
    match api.hospital.record_number(origin).await {
        Outcome::Done(_) | Outcome::Repeated | Outcome::Nothing => {}
        Outcome::Refused(refusal) => return Err(Problem::refused(&refusal)),
        Outcome::Held(_, reason) => return Err(Problem::new(StatusCode::ACCEPTED, reason.word(), reason.sentence())),
        Outcome::Failed(failure) => return Err(Problem::failed(&failure)),
    }
    let text = "the medical record number is not readable yet: send the request again with the same Idempotency-Key";
    issued(api, key)?.ok_or_else(|| Problem::new(StatusCode::SERVICE_UNAVAILABLE, "unavailable", text))
}

/// That nobody who is known may be this person; else who it may be, by their numbers.
pub(super) async fn nobody_alike(api: &Api, allowed: &Allowed, person: &Person, itself: Option<&Mrn>) -> Result<(), Problem> {
    knows_people(api).await?;
    let _ = api.caught_up().await;
    let candidates = alike(api, person, itself)?;
    if candidates.is_empty() {
        return Ok(());
    }
    let numbers: Vec<Mrn> = candidates.iter().map(|alike| alike.patient.mrn.clone()).collect();
    let name = |alike: Alike| match within_rights(api, allowed.who(), alike.patient) {
        Found::Number { .. } | Found::Hidden { .. } => "somebody restricted: ask who may see them".to_owned(),
        Found::Person { mrn, .. } => format!("Patient/{mrn}"),
        Found::Whole(view) => format!("Patient/{}", view.mrn),
    };
    let names = candidates.into_iter().map(name).collect::<Vec<_>>().join(", ");
    api.shown_list(allowed, Record::Search, numbers).await?;
    let text =
        format!("somebody who is known may be the same person ({names}): look at them, and send what is new to that one by PUT, or send this again with X-Confirm-New: true");
    Err(Problem::new(StatusCode::CONFLICT, "possible_duplicate", text))
}

/// The answer when somebody who is known may be this person; none when it is nobody.
async fn maybe_known(api: &Api, (who, allowed): (&Who, &Allowed), person: &Person, itself: Option<&Mrn>) -> Result<Option<Response>, Problem> {
    knows_people(api).await?;
    let candidates = alike(api, person, itself)?;
    if candidates.is_empty() {
        return Ok(None);
    }
    let text = match itself {
        None => "somebody who is known may be the same person: look at the candidates, and use their number, or send the request again with \"confirm_new\": true",
        Some(_) => "somebody who is known may be this person: look at the candidates, and merge the two numbers, or send the request again with \"confirm_new\": true",
    };
    api.shown_list(allowed, Record::Search, candidates.iter().map(|alike| alike.patient.mrn.clone()).collect()).await?;
    let candidates: Vec<_> = candidates.into_iter().map(|alike| AlikeView::new(api, who, alike)).collect();
    Ok(Some(Problem::new(StatusCode::CONFLICT, "possible_duplicate", text).with("candidates", &candidates)))
}

/// Whether an update says for the first time who somebody is.
fn identifies(api: &Api, mrn: &Mrn, person: &Person) -> Result<bool, Problem> {
    let records = now(api).person(mrn)?;
    Ok(!person.is_temporary && records.iter().any(|(number, record)| number == mrn && record.person.as_ref().is_some_and(|known| known.is_temporary)))
}

/// Registers a patient. When somebody who is known may be the same person, the answer is 409 with the candidates and the reasons;
/// `confirm_new` registers all the same.
#[utoipa::path(post, path = "/api/v1/patients", request_body = Registration, responses((status = 201), (status = 409, body = Problem)))]
pub(super) async fn register(State(api): State<Api>, Asking(who): Asking, Key(key): Key, Body(body): Body<Registration>) -> Result<Response, Problem> {
    let allowed = api.may(&who, Permission::RegisterPatient)?;
    // Who has a name says it; who cannot is an emergency's patient, and is identified later.
    if body.person.name == Name::default() && !body.person.is_temporary {
        return Err(Problem::bad("field person.name.family is needed; whoever cannot say who they are is registered with \"is_temporary\": true"));
    }
    let _alone = api.registering.lock().await;
    // Whoever was registered a moment ago at another desk is compared too.
    let _ = api.caught_up().await;
    let before = if body.mrn.is_none() && key.is_keyed() { issued(&api, key)? } else { None };
    // A request that is repeated is answered as the first time.
    let is_repeated = match body.mrn.as_ref().filter(|_| key.is_keyed()) {
        Some(mrn) => !api.done_before(&StreamId::new(StreamKind::Patient, mrn.as_str()), key.part(1))?.is_empty(),
        None => false,
    };
    if !body.confirm_new
        && !body.person.is_temporary
        && !is_repeated
        && before.is_none()
        && let Some(maybe) = maybe_known(&api, (&who, &allowed), &body.person, None).await?
    {
        return Ok(maybe);
    }
    let mrn = match (body.mrn, before) {
        (Some(mrn), _) | (None, Some(mrn)) => mrn,
        (None, None) => issue(&api, key, api.origin(key, &allowed, body.user.as_deref())?).await?,
    };
    let command = Command::Register { patient: mrn.clone(), person: Box::new(body.person), as_of: None, is_new: true };
    match api.hospital.census(command, api.origin(key.part(1), &allowed, body.user.as_deref())?).await {
        Outcome::Done(_) | Outcome::Repeated | Outcome::Nothing => Ok((StatusCode::CREATED, Json(serde_json::json!({ "mrn": mrn }))).into_response()),
        other => Ok(api.answer(&StreamId::new(StreamKind::Patient, mrn.as_str()), key.part(1), &other, StatusCode::CREATED)),
    }
}

/// What is needed for what is done.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, default)]
pub(super) struct PatientAction {
    /// To `update`.
    #[schema(value_type = Option<Object>)]
    person: Option<Person>,
    /// The other number, to `merge` or `swap`; whose stay it is, to `move-stay`.
    #[schema(value_type = Option<String>)]
    with: Option<Mrn>,
    /// To `record-allergy`.
    #[schema(value_type = Option<Object>)]
    allergy: Option<Allergy>,
    /// To `refute-allergy`.
    substance: Option<String>,
    /// Why, to `refute-allergy` or `restrict`.
    reason: Option<String>,
    /// The bed, `WARD:ROOM:BED`.
    #[schema(value_type = Option<String>)]
    bed: Option<BedId>,
    /// Where a patient goes for a while (`depart`), or has come (`arrive`; without one they are back in their bed).
    place: Option<String>,
    /// The encounter; without one a new one is made.
    #[schema(value_type = Option<String>)]
    encounter: Option<EncounterId>,
    /// Who looks after the patient, to `admit` into no bed.
    #[schema(value_type = Option<String>)]
    ward: Option<WardId>,
    /// `inpatient`, `emergency`, `newborn` or `outpatient`.
    #[schema(value_type = Option<String>)]
    class: Option<Class>,
    /// The mother, to `admit` a newborn.
    #[schema(value_type = Option<String>)]
    mother: Option<Mrn>,
    /// When, to `plan` or `expect-end`.
    #[schema(value_type = Option<String>)]
    expected: Option<Timestamp>,
    /// When, to `record-death`; without it now.
    #[schema(value_type = Option<String>)]
    at: Option<Timestamp>,
    /// From 1 (at once) to 5, to `triage`.
    level: Option<u8>,
    /// What the patient comes for, to `triage`.
    text: Option<String>,
    /// Who pays when the patient does not, to `name-guarantor`: name, and relation, phone, reference.
    #[schema(value_type = Option<Object>)]
    guarantor: Option<Guarantor>,
    /// Who stays with the patient in a bed of their own (`bed`), to `lodge-companion`: name, and relation, such as mother or guardian.
    #[schema(value_type = Option<Object>)]
    companion: Option<Staying>,
    /// `clinical`, `nursing`, `pharmacy` or `billing`, to `clear`.
    #[schema(value_type = Option<String>)]
    clearance: Option<Clearance>,
    /// Whether the clerk who says for the first time who an emergency's patient is (`update`) has looked at those who may be the same person.
    confirm_new: bool,
    /// Who acts, in an open house; else who is signed in.
    user: Option<String>,
    /// Who witnesses an `erase`: their statement (`POST /api/v1/witnesses`), in an open house their name.
    witness: Option<String>,
}

pub(super) fn needed<T: Clone>(field: &Option<T>, name: &str) -> Result<T, Problem> {
    field.clone().ok_or_else(|| Problem::bad(format!("field {name} is needed for this")))
}

/// Who stays with a patient.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Staying {
    name: String,
    relation: String,
}

impl PatientAction {
    fn admission(&self, patient: Mrn) -> Admission {
        Admission {
            patient,
            encounter: self.encounter.clone(),
            class: self.class.unwrap_or_default(),
            bed: self.bed.clone(),
            mother: self.mother.clone(),
            account: None,
            ward: self.ward.clone(),
        }
    }

    fn command(&self, action: &str, patient: Mrn) -> Result<Command, Problem> {
        Ok(match action {
            "update" => Command::Register { patient, person: Box::new(needed(&self.person, "person")?), as_of: None, is_new: false },
            "merge" => Command::Merge { survivor: patient, merged: needed(&self.with, "with")? },
            "unmerge" => Command::Unmerge { merged: patient, from: self.with.clone() },
            "record-allergy" => Command::RecordAllergy { patient, allergy: needed(&self.allergy, "allergy")? },
            "refute-allergy" => Command::RefuteAllergy { patient, substance: needed(&self.substance, "substance")?, reason: self.reason.clone().unwrap_or_default() },
            "no-known-allergies" => Command::NoKnownAllergies { patient },
            "restrict" => Command::Restrict { patient, reason: Some(self.reason.clone().unwrap_or_default()) },
            "lift-restriction" => Command::Restrict { patient, reason: None },
            "plan" => Command::Plan { admission: self.admission(patient), expected: self.expected },
            "cancel-plan" => Command::CancelPlan { patient, encounter: self.encounter.clone() },
            "admit" => Command::Admit(self.admission(patient)),
            "cancel-admission" => Command::CancelAdmission { patient, bed: self.bed.clone() },
            "request-transfer" => Command::RequestTransfer { patient, to: needed(&self.bed, "bed")? },
            "accept-transfer" => Command::AcceptTransfer { patient },
            "cancel-transfer" => Command::CancelTransfer { patient },
            "move" => Command::Move { patient, to: needed(&self.bed, "bed")? },
            "move-back" => Command::MoveBack { patient, to: self.bed.clone() },
            "swap" => Command::Swap { patient, with: needed(&self.with, "with")?, to: self.bed.clone() },
            "change-class" => Command::ChangeClass { patient, class: needed(&self.class, "class")?, bed: self.bed.clone() },
            "move-stay" => Command::MoveStay { from: patient, to: needed(&self.with, "with")?, visit: needed(&self.encounter, "encounter")?, account: None },
            "depart" => Command::Depart { patient, to: Some(needed(&self.place, "place")?) },
            "arrive" => Command::Arrive { patient, place: self.place.clone() },
            "begin-leave" => Command::BeginLeave { patient },
            "end-leave" => Command::EndLeave { patient },
            "lodge-companion" => {
                let companion = needed(&self.companion, "companion")?;
                Command::Lodge { patient, bed: needed(&self.bed, "bed")?, name: companion.name, relation: companion.relation }
            }
            "companion-leaves" => Command::CompanionLeaves { patient },
            "triage" => Command::Triage { patient, level: needed(&self.level, "level")?, complaint: self.text.clone().unwrap_or_default() },
            "begin-treatment" => Command::BeginTreatment { patient },
            "name-guarantor" => Command::NameGuarantor { patient, encounter: self.encounter.clone(), guarantor: needed(&self.guarantor, "guarantor")? },
            "expect-end" => Command::ExpectEnd { patient, expected: needed(&self.expected, "expected")? },
            "clear" => Command::Clear { patient, clearance: needed(&self.clearance, "clearance")? },
            "discharge" => Command::Discharge { patient, bed: self.bed.clone() },
            "withdraw-death" => Command::WithdrawDeath { patient },
            "record-death" => Command::RecordDeath { patient, at: self.at },
            "cancel-discharge" => Command::CancelDischarge { patient, bed: self.bed.clone() },
            other => return Err(Problem::missing("action", other)),
        })
    }
}

/// Where a command's events may stand: with the number, the person's other numbers, their stays, the bed that is named.
fn streams(api: &Api, mrn: &Mrn, body: &PatientAction, identity: Identity) -> Result<Vec<StreamId>, Problem> {
    let records = now(api).person(mrn)?;
    let patients = records.iter().map(|(mrn, _)| mrn.clone()).chain([mrn.clone()]).map(|mrn| StreamId::new(StreamKind::Patient, mrn.as_str()));
    let last = records.iter().filter_map(|(_, record)| record.last_stay.clone());
    let stays = last.chain(body.encounter.clone()).chain([identity.encounter()]).map(|encounter| StreamId::new(StreamKind::Encounter, encounter.as_str()));
    let bed = body.bed.iter().map(|bed| StreamId::new(StreamKind::Bed, bed.as_str()));
    Ok(patients.chain(stays).chain(bed).collect())
}

/// The person with all their stays, those of earlier years as well.
async fn erasure(api: &Api, mrn: &Mrn, reason: String) -> Result<Command, Problem> {
    if !api.caught_up().await {
        let text = "wardd is still reading what happened last, and must not overlook a stay: try again in a moment";
        return Err(Problem::new(StatusCode::SERVICE_UNAVAILABLE, "unavailable", text));
    }
    let numbers = api.rows.person_now(mrn).into_iter().map(|(number, _)| number);
    let streams = numbers.flat_map(|number| api.rows.streams_of(&number));
    let encounters = streams.filter(|stream| stream.kind() == StreamKind::Encounter).filter_map(|stream| stream.key().parse().ok()).collect();
    Ok(Command::Erase { patient: mrn.clone(), encounters, reason })
}

/// Everything that happens to a patient: `erase` (with `reason`, and a `witness`: for ever), `update`, `merge` (`with` the number that is given up), `unmerge`, `record-allergy`,
/// `refute-allergy`, `no-known-allergies`, `restrict`, `lift-restriction`, `plan`, `cancel-plan`, `admit`,
/// `cancel-admission`, `request-transfer`, `accept-transfer`, `cancel-transfer`, `move`, `move-back`, `swap`, `change-class`,
/// `move-stay` (the `encounter` is the patient's `with`, and never was this one's), `depart`, `arrive`, `begin-leave`, `end-leave`, `expect-end`,
/// `triage` (`level` 1 to 5, `text` for the complaint), `begin-treatment`, `name-guarantor`, `clear`, `discharge`, `record-death`, `withdraw-death`, `cancel-discharge`.
#[utoipa::path(post, path = "/api/v1/patients/{mrn}/{action}", request_body = PatientAction, responses((status = 200), (status = 409, body = Problem)))]
pub(super) async fn act(
    State(api): State<Api>,
    Asking(who): Asking,
    Path((mrn, action)): Path<(String, String)>,
    Key(key): Key,
    Body(asked): Body<serde_json::Value>,
) -> Result<Response, Problem> {
    let mrn: Mrn = parse(&mrn)?;
    let _alone = if action == "update" { Some(api.registering.lock().await) } else { None };
    let witnessed = Act::new(format!("/api/v1/patients/{mrn}/{action}"), &asked);
    let body: PatientAction = serde_json::from_value(asked).map_err(|error| Problem::unfit(&error))?;
    let (command, origin) = match action.as_str() {
        // It is the whole house's, and done by two.
        "erase" => {
            let allowed = api.may_with(&who, Permission::ErasePatient, &Subject::House)?;
            let origin = api.witnessed(key, &allowed, body.user.as_deref(), (body.witness.clone(), &witnessed, &Subject::House))?;
            (erasure(&api, &mrn, body.reason.clone().unwrap_or_default()).await?, origin)
        }
        _ => {
            let command = body.command(&action, mrn.clone())?;
            let allowed = api.may_about(&who, command.needs(), command.about()).await?;
            if let Some(person) = body.person.as_ref().filter(|_| action == "update" && !body.confirm_new)
                && identifies(&api, &mrn, person)?
                && let Some(maybe) = maybe_known(&api, (&who, &allowed), person, Some(&mrn)).await?
            {
                return Ok(maybe);
            }
            (command, api.origin(key, &allowed, body.user.as_deref())?)
        }
    };
    let outcome = api.hospital.census(command, origin).await;
    if outcome == Outcome::Repeated {
        let _ = api.caught_up().await;
    }
    api.answer_of_census(key, &outcome, || streams(&api, &mrn, &body, key))
}
