//! A patient's record for another house, as a Continuity of Care Document (HL7 C-CDA R2.1, 2015-08 with errata, templates
//! 2.16.840.1.113883.10.20.22.1.1 and .1.2). What wardd does not keep is said to be missing, never to be none.

use askama::Template;
use axum::extract::{Path, State};
use axum::http::header;
use axum::response::{IntoResponse, Response};
use sha2::{Digest, Sha256};

use super::at::Instant;
use super::chart_view::{self, ChartView, sign_name};
use super::command::parse;
use super::forms::moment;
use super::guard::Asking;
use super::problem::Problem;
use super::state::Api;
use crate::domain::chart::Standing;
use crate::domain::disclosure::Record;
use crate::domain::patient::{Address, Allergies, Category, Criticality, Patient, Person, Sex};
use crate::domain::rights::Permission;
use crate::domain::specimen::ResultValue;
use crate::kernel::{Date, Mrn, Timestamp};
use crate::projection::{ResultRow, SpecimenRow};

/// Flags that have a code (HL7 ObservationInterpretation).
const FLAGS: [&str; 6] = ["H", "L", "HH", "LL", "N", "A"];

#[derive(Template)]
#[template(path = "ccd.xml")]
struct Ccd {
    document: String,
    house_id: String,
    house: String,
    version: &'static str,
    made: String,
    confidentiality: &'static str,
    mrn: String,
    numbers: Vec<String>,
    name: String,
    given: Vec<String>,
    family: String,
    address: Lives,
    phones: Vec<String>,
    sex: &'static str,
    born: String,
    died: String,
    language: String,
    since: String,
    is_not_asked: bool,
    is_none_known: bool,
    none_known_said: String,
    allergies: Vec<Allergic>,
    /// The same as entries; that there is none is one too.
    entries: Vec<Allergic>,
    problems: Vec<Finding>,
    results: Vec<Specimen>,
    no_results: &'static str,
    signs: Vec<Measured>,
    signs_from: String,
    signs_until: String,
    vaccines: Vec<Given>,
    family_history: Vec<String>,
}

#[derive(Default)]
struct Lives {
    is_known: bool,
    line: String,
    city: String,
    state: String,
    postal_code: String,
    country: String,
}

#[derive(Clone)]
struct Allergic {
    id: String,
    is_none: bool,
    substance: String,
    reaction: String,
    /// HL7 v3 ObservationValue: CRITL, CRITH or CRITU.
    criticality: &'static str,
    criticality_said: &'static str,
    /// SNOMED CT, value set 2.16.840.1.113883.3.88.12.3221.6.2.
    kind: &'static str,
    kind_said: &'static str,
    at: String,
}

struct Finding {
    id: String,
    text: String,
    code: String,
    state: String,
    concern: &'static str,
    at: String,
    onset: String,
    resolved: String,
}

struct Specimen {
    accession: String,
    from: String,
    until: String,
    observations: Vec<Measured>,
}

struct Measured {
    id: String,
    code: String,
    name: String,
    said: String,
    at: String,
    at_said: String,
    /// `PQ`, `below`, `above`, or `ST` for words.
    kind: &'static str,
    value: String,
    unit: String,
    flag: String,
}

struct Given {
    id: String,
    text: String,
    code: String,
    on: String,
    on_said: String,
    lot: String,
}

/// 16 bytes as a UUID of our own making (RFC 9562, version 8).
fn uuid(mut bytes: [u8; 16]) -> String {
    bytes[6] = 0x80 | (bytes[6] & 0x0F);
    bytes[8] = 0x80 | (bytes[8] & 0x3F);
    let hex: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
    [&hex[..8], &hex[8..12], &hex[12..16], &hex[16..20], &hex[20..]].join("-")
}

/// What identities of the house are of: the same in each document, and another house's are others.
fn house_id(api: &Api) -> String {
    uuid(Sha256::digest(format!("wardd house {} {}", api.facility, api.name)).first_chunk().copied().unwrap_or_default())
}

/// What XML can hold: control characters have no place in it.
fn plain(text: &str) -> String {
    text.chars().filter(|letter| !letter.is_control() || matches!(letter, '\n' | '\t')).collect()
}

/// A date as CDA writes it, `YYYYMMDD`.
fn day(date: Date) -> String {
    date.to_string().replace('-', "")
}

fn lives(address: Option<&Address>) -> Lives {
    // An address of the US realm has a street and a city, or is not known.
    match address.filter(|address| !address.line.is_empty() && !address.city.is_empty()) {
        None => Lives::default(),
        Some(address) => Lives {
            is_known: true,
            line: plain(&address.line),
            city: plain(&address.city),
            state: plain(&address.state),
            postal_code: plain(&address.postal_code),
            country: plain(&address.country),
        },
    }
}

fn allergies(known: &Allergies) -> Vec<Allergic> {
    let of = |(place, known): (usize, &crate::domain::patient::Known)| {
        let allergy = &known.allergy;
        let (kind, kind_said) = match allergy.category {
            Category::Medication => ("416098002", "Allergy to drug"),
            Category::Food => ("414285001", "Allergy to food"),
            Category::Environment | Category::Biologic => ("419199007", "Allergy to substance"),
        };
        let (criticality, criticality_said) = match allergy.criticality {
            Criticality::Low => ("CRITL", "low"),
            Criticality::High => ("CRITH", "high"),
            Criticality::Unknown => ("CRITU", "not known, and so to be feared"),
        };
        Allergic {
            id: format!("allergy-{}", place + 1),
            is_none: false,
            substance: plain(&allergy.substance),
            reaction: plain(&allergy.reaction),
            criticality,
            criticality_said,
            kind,
            kind_said,
            at: known.at.hl7(),
        }
    };
    known.known().iter().enumerate().map(of).collect()
}

/// That somebody asked and there is none: the allergy to anything, denied (C-CDA R2.1, Allergy - Intolerance Observation).
fn none_known(at: Timestamp) -> Allergic {
    Allergic {
        id: "allergy-none".to_owned(),
        is_none: true,
        substance: String::new(),
        reaction: String::new(),
        criticality: "",
        criticality_said: "",
        kind: "419199007",
        kind_said: "Allergy to substance",
        at: at.hl7(),
    }
}

fn problems(chart: &ChartView) -> Vec<Finding> {
    let of = |(place, problem): (usize, &chart_view::Under<crate::domain::chart::Problem>)| {
        let problem = &problem.entry;
        let (state, concern, resolved) = match &problem.standing {
            Standing::Active => ("active".to_owned(), "active", String::new()),
            Standing::Resolved { since } => (format!("resolved {}", since.date()), "completed", since.hl7()),
            // What the patient never had is no problem of theirs.
            Standing::Refuted { .. } => return None,
        };
        Some(Finding {
            id: format!("problem-{}", place + 1),
            text: plain(&problem.text),
            code: problem.code.to_string(),
            state,
            concern,
            at: problem.at.hl7(),
            onset: problem.onset.map(day).unwrap_or_default(),
            resolved,
        })
    };
    chart.problems.iter().enumerate().filter_map(of).collect()
}

fn result(place: usize, (name, row): (&str, &ResultRow)) -> Measured {
    let line = &row.line;
    let unit = line.unit.as_ref().map_or_else(|| "1".to_owned(), ToString::to_string);
    let (kind, value, sign) = match &line.value {
        ResultValue::Number(number) => ("PQ", number.to_string(), ""),
        ResultValue::Below(limit) => ("below", limit.to_string(), "< "),
        ResultValue::Above(limit) => ("above", limit.to_string(), "> "),
        ResultValue::Text(text) => ("ST", plain(text), ""),
    };
    let at = line.measured.unwrap_or(row.filed);
    let shown = if kind == "ST" { String::new() } else { format!(" {unit}") };
    Measured {
        id: format!("result-{place}"),
        code: line.test.to_string(),
        name: plain(name),
        said: format!("{sign}{value}{shown}"),
        at: at.hl7(),
        at_said: moment(at),
        kind,
        value,
        unit,
        flag: if FLAGS.contains(&line.flags.as_str()) { line.flags.clone() } else { String::new() },
    }
}

/// The newest final result of each test of each specimen.
fn results(api: &Api, numbers: &[Mrn]) -> Vec<Specimen> {
    let catalogue = api.catalogue.borrow().clone();
    let (mut found, mut count) = (Vec::new(), 0);
    for accession in numbers.iter().flat_map(|number| api.rows.specimens_of(number)) {
        let Some(row) = api.rows.get::<SpecimenRow>("specimen", &accession) else { continue };
        let newest = row.tests.iter().filter_map(|(test, results)| results.iter().rfind(|result| result.line.is_final()).map(|result| (test, result)));
        let observations: Vec<Measured> = newest
            .map(|(test, result_row)| {
                count += 1;
                result(count, (catalogue.get(test).map_or(test.as_str(), String::as_str), result_row))
            })
            .collect();
        let times = || observations.iter().map(|observation| observation.at.clone());
        if let (Some(from), Some(until)) = (times().min(), times().max()) {
            found.push(Specimen { accession, from, until, observations });
        }
    }
    found
}

fn signs(api: &Api, chart: &ChartView) -> Vec<Measured> {
    let of = |(place, (code, latest)): (usize, (&crate::kernel::Loinc, &chart_view::Under<crate::domain::vitals::Latest>))| {
        let latest = &latest.entry;
        Measured {
            id: format!("sign-{}", place + 1),
            code: code.to_string(),
            name: plain(&sign_name(api, code)),
            said: format!("{} {}", latest.value, latest.unit),
            at: latest.measured.hl7(),
            at_said: moment(latest.measured),
            kind: "PQ",
            value: latest.value.to_string(),
            unit: latest.unit.to_string(),
            flag: String::new(),
        }
    };
    chart.vitals.iter().enumerate().map(of).collect()
}

fn vaccines(chart: &ChartView) -> Vec<Given> {
    let given = chart.immunisations.iter().map(|given| &given.entry).filter(|given| given.withdrawn.is_none()).enumerate();
    let of = |(place, given): (usize, &crate::domain::chart::Immunisation)| Given {
        id: format!("vaccine-{}", place + 1),
        text: plain(&given.vaccine.text),
        code: plain(&given.vaccine.code),
        on: day(given.vaccine.on),
        on_said: given.vaccine.on.to_string(),
        lot: plain(given.vaccine.lot.as_deref().unwrap_or_default()),
    };
    given.map(of).collect()
}

fn family(chart: &ChartView) -> Vec<String> {
    let known = chart.family.iter().map(|known| &known.entry).filter(|known| known.withdrawn.is_none());
    let of = |known: &crate::domain::chart::FamilyIllness| {
        let illness = &known.illness;
        let code = illness.code.as_ref().map(|code| format!(" ({code})")).unwrap_or_default();
        let onset = illness.onset_years.map(|years| format!(", from the age of {years}")).unwrap_or_default();
        let died = if illness.died_of_it { ", died of it" } else { "" };
        plain(&format!("{:?}: {}{code}{onset}{died}", illness.relation, illness.text))
    };
    known.map(of).collect()
}

/// What is said of the results.
struct Results {
    found: Vec<Specimen>,
    /// Why there are none.
    none: &'static str,
}

fn document(api: &Api, (records, chart): (&[(Mrn, Patient)], &ChartView), results: Results, (id, made): ([u8; 16], Timestamp)) -> Ccd {
    let registered: Vec<&Person> = records.iter().filter_map(|(_, record)| record.person.as_ref()).collect();
    let person = registered.first().map(|first| registered.iter().skip(1).fold((*first).clone(), |known, other| known.completed_by(other))).unwrap_or_default();
    let known = records.iter().map(|(_, record)| record.allergies.clone()).reduce(Allergies::with).unwrap_or_default();
    let listed = allergies(&known);
    let none_at = match &known {
        Allergies::NoneKnown { at } => Some(*at),
        Allergies::NotAsked | Allergies::Known(_) => None,
    };
    let signs = signs(api, chart);
    let times = || signs.iter().map(|sign| sign.at.clone());
    // The care that the document tells of begins with the oldest that it names.
    let since = records.iter().find_map(|(mrn, _)| api.rows.open_stay(mrn)).map(|stay| stay.admitted.hl7()).unwrap_or_default();
    Ccd {
        document: uuid(id),
        house_id: house_id(api),
        house: plain(&api.name),
        version: env!("CARGO_PKG_VERSION"),
        made: made.hl7(),
        confidentiality: if records.iter().any(|(_, record)| record.restricted.is_some()) { "R" } else { "N" },
        mrn: chart.mrn.to_string(),
        numbers: records.iter().map(|(number, _)| number.to_string()).collect(),
        name: plain(&person.name.printed()),
        given: person.name.given.iter().map(|given| plain(given)).collect(),
        family: plain(&person.name.family),
        address: lives(person.address.as_ref()),
        phones: person.phones.iter().map(|phone| plain(phone)).collect(),
        sex: match person.sex {
            Sex::Female => "F",
            Sex::Male => "M",
            Sex::Other => "UN",
            Sex::Unknown => "",
        },
        born: person.birth_date.map(day).unwrap_or_default(),
        died: records.iter().find_map(|(_, record)| record.died).map(Timestamp::hl7).unwrap_or_default(),
        language: plain(person.language.as_deref().unwrap_or_default()),
        since,
        is_not_asked: known == Allergies::NotAsked,
        is_none_known: none_at.is_some(),
        none_known_said: none_at.map(|at| at.date().to_string()).unwrap_or_default(),
        entries: none_at.map(none_known).into_iter().chain(listed.iter().cloned()).collect(),
        allergies: listed,
        problems: problems(chart),
        results: results.found,
        no_results: results.none,
        signs_from: times().min().unwrap_or_default(),
        signs_until: times().max().unwrap_or_default(),
        signs,
        vaccines: vaccines(chart),
        family_history: family(chart),
    }
}

/// A patient's record as a Continuity of Care Document (HL7 C-CDA R2.1): allergies, problems, results, newest signs, immunisations, the family's
/// illnesses. Medications and social history are said to be missing. Now, or as it was at an instant (`?at=`).
#[utoipa::path(get, path = "/api/v1/patients/{mrn}/ccd.xml", params(("at" = Option<String>, Query, description = "an instant, RFC 3339 in UTC")), responses((status = 200, content_type = "application/xml"), (status = 404, body = Problem)))]
pub(super) async fn show(State(api): State<Api>, Asking(who): Asking, Path(mrn): Path<String>, instant: Instant) -> Result<Response, Problem> {
    let mrn: Mrn = parse(&mrn)?;
    let (allowed, records) = chart_view::records(&api, &who, (&mrn, instant)).await?;
    let chart = chart_view::gather(&api, &records, instant)?;
    let numbers: Vec<Mrn> = records.iter().map(|(number, _)| number.clone()).collect();
    let may_see_results = who.rights.may(Permission::ViewSpecimens, &api.gate.patient(&mrn)).is_ok();
    let results = match (instant.0, may_see_results) {
        (Some(_), _) => Results { found: Vec::new(), none: "Not in a document of an earlier time. This does not say that there are none." },
        (None, false) => Results { found: Vec::new(), none: "Not in this document: whoever asked for it may not see them. This does not say that there are none." },
        (None, true) => Results { found: results(&api, &numbers), none: "None was filed." },
    };
    let mut id = [0; 16];
    getrandom::fill(&mut id).map_err(|error| Problem::unreadable(&error))?;
    let xml = document(&api, (&records, &chart), results, (id, instant.0.unwrap_or_else(|| api.clock.now()))).render().map_err(|error| Problem::unreadable(&error))?;
    api.shown(&allowed, Record::Chart, Some("ccd"), numbers).await?;
    let headers =
        [(header::CONTENT_TYPE, "application/xml; charset=utf-8"), (header::CACHE_CONTROL, "no-store"), (header::CONTENT_DISPOSITION, "attachment; filename=\"ccd.xml\"")];
    Ok((headers, xml).into_response())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::check;
    use crate::domain::patient::{Allergy, Known};

    #[test]
    fn identities_are_uuids_and_text_is_what_xml_can_hold() {
        assert_eq!(uuid([0xFF; 16]), "ffffffff-ffff-8fff-bfff-ffffffffffff");
        assert_eq!(uuid([0; 16]), "00000000-0000-8000-8000-000000000000");
        assert_eq!(plain("a\u{b}b\u{0}c\nd"), "abc\nd");
    }

    #[test]
    fn that_nobody_asked_and_that_there_is_none_are_told_apart() {
        let allergy = |criticality| Known {
            allergy: Allergy { substance: "Penicillin V".to_owned(), category: Category::Medication, criticality, reaction: "anaphylaxis".to_owned() },
            at: check::now(),
        };
        let known = Allergies::Known(vec![allergy(Criticality::High), allergy(Criticality::Unknown)]);
        let listed = allergies(&known);
        assert_eq!(listed.iter().map(|allergic| (allergic.id.as_str(), allergic.criticality)).collect::<Vec<_>>(), [("allergy-1", "CRITH"), ("allergy-2", "CRITU")]);
        assert!(allergies(&Allergies::NotAsked).is_empty());
        assert!(none_known(check::now()).is_none);
    }
}
