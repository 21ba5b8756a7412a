//! How a child grows: each weight, length and head circumference beside the curves of the WHO.

use std::collections::{BTreeMap, BTreeSet};

use axum::Json;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use rust_decimal::Decimal;
use serde::{Deserialize, Serialize};

use super::command::parse;
use super::guard::Asking;
use super::problem::Problem;
use super::state::Api;
use crate::domain::disclosure::Record;
use crate::domain::patient::Sex;
use crate::domain::rights::Permission;
use crate::domain::vitals::Reading;
use crate::domain::vitals::growth::{Curve, Measure, meaning, z_score};
use crate::kernel::{Loinc, Mrn, Timestamp};

/// Pages of measurements that are read of each number, at most.
const PAGES: usize = 50;
const OF_A_PAGE: usize = 100;
const DAY_SECONDS: i64 = 24 * 3_600;
/// The signs that grow: LOINC, what it is, and what its unit (UCUM) is to that of the curve.
const SIGNS: [(&str, Measure, &str); 4] =
    [("29463-7", Measure::Weight, "kg"), ("8302-2", Measure::Length, "cm"), ("8306-3", Measure::Length, "cm"), ("9843-4", Measure::Head, "cm")];

/// A point of a child's own curve.
#[derive(Debug, Serialize)]
struct GrowthPoint {
    measure: Measure,
    measured: Timestamp,
    /// The age in days.
    days: i64,
    value: Decimal,
    unit: &'static str,
    z: Decimal,
    /// What it means, where it is not within what is usual.
    #[serde(skip_serializing_if = "Option::is_none")]
    meaning: Option<&'static str>,
}

/// What of an event of a child's signs is read here.
#[derive(Debug, Deserialize)]
#[serde(tag = "event")]
enum Told {
    VitalsTaken {
        readings: Vec<Reading>,
        measured: Timestamp,
    },
    ReadingWithdrawn {
        code: Loinc,
        measured: Timestamp,
    },
    #[serde(other)]
    Else,
}

type Taken = BTreeMap<(Measure, Timestamp), Decimal>;

/// All that was measured and not withdrawn, under all numbers; it blocks.
fn taken(api: &Api, numbers: &[Mrn]) -> Result<Taken, Problem> {
    let mut found = Taken::new();
    for mrn in numbers {
        let (mut before, mut withdrawn) = (None, BTreeSet::new());
        for _ in 0..PAGES {
            let (entries, next) = api.history.measurements(mrn, before, (None, OF_A_PAGE)).map_err(|error| Problem::unreadable(&error))?;
            for entry in entries {
                match serde_json::from_value(entry.event) {
                    // The newest come first: what was withdrawn is known before it is met.
                    Ok(Told::ReadingWithdrawn { code, measured }) => drop(withdrawn.insert((code, measured))),
                    Ok(Told::VitalsTaken { readings, measured }) => {
                        for reading in readings.into_iter().filter(|reading| !withdrawn.contains(&(reading.code.clone(), measured))) {
                            if let Some((_, measure, _)) = SIGNS.iter().find(|(code, _, unit)| *code == reading.code.as_str() && *unit == reading.unit.as_str()) {
                                found.insert((*measure, measured), reading.value);
                            }
                        }
                    }
                    Ok(Told::Else) | Err(_) => {}
                }
            }
            before = next;
            if before.is_none() {
                break;
            }
        }
    }
    Ok(found)
}

/// Body mass index of each weight, with the last length of the same day.
fn with_bmi(mut taken: Taken) -> Taken {
    let lengths: Vec<(Timestamp, Decimal)> = taken.iter().filter(|((measure, _), _)| *measure == Measure::Length).map(|((_, at), value)| (*at, *value)).collect();
    let weights: Vec<(Timestamp, Decimal)> = taken.iter().filter(|((measure, _), _)| *measure == Measure::Weight).map(|((_, at), value)| (*at, *value)).collect();
    for (at, weight) in weights {
        let length = lengths.iter().rev().find(|(measured, _)| measured.date() == at.date()).map(|(_, length)| *length / Decimal::ONE_HUNDRED);
        if let Some(bmi) = length.and_then(|metres| weight.checked_div(metres * metres)) {
            taken.insert((Measure::Bmi, at), bmi.round_dp(2));
        }
    }
    taken
}

/// Weights, lengths, head circumferences and body mass indices of a child under five, each with its z-score by the WHO Child Growth Standards,
/// the oldest first. They come from the vital signs 29463-7 (kg), 8302-2 or 8306-3 (cm), 9843-4 (cm).
#[utoipa::path(get, path = "/api/v1/patients/{mrn}/growth", responses((status = 200), (status = 409, body = Problem)))]
pub(super) async fn show(State(api): State<Api>, Asking(who): Asking, Path(mrn): Path<String>) -> Result<Response, Problem> {
    let mrn: Mrn = parse(&mrn)?;
    let allowed = api.may_patient(&who, Permission::ViewPatient, &mrn).await?;
    let records = api.rows.person_now(&mrn);
    let person = records.iter().find_map(|(_, record)| record.person.clone()).unwrap_or_default();
    let curve = match person.sex {
        Sex::Female => Some(Curve::Girls),
        Sex::Male => Some(Curve::Boys),
        Sex::Other | Sex::Unknown => None,
    };
    let (Some(born), Some(curve)) = (person.birth_date, curve) else {
        let text = "the curves are of girls and of boys by their age: register birth date and sex (female or male) first";
        return Err(Problem::new(StatusCode::CONFLICT, "no_curve", text));
    };
    let numbers: Vec<Mrn> = records.iter().map(|(number, _)| number.clone()).collect();
    let read = {
        let (api, numbers) = (api.clone(), numbers.clone());
        move || taken(&api, &numbers)
    };
    let taken = with_bmi(tokio::task::spawn_blocking(read).await.map_err(|error| Problem::unreadable(&error))??);
    let point = |((measure, measured), value): ((Measure, Timestamp), Decimal)| {
        let days = measured.seconds_since(born.midnight()).div_euclid(DAY_SECONDS);
        let z = z_score(measure, curve, days, value)?;
        let unit = match measure {
            Measure::Weight => "kg",
            Measure::Length | Measure::Head => "cm",
            Measure::Bmi => "kg/m2",
        };
        Some(GrowthPoint { measure, measured, days, value, unit, z, meaning: meaning(measure, z) })
    };
    let mut points: Vec<GrowthPoint> = taken.into_iter().filter_map(point).collect();
    points.sort_by_key(|point| (point.measured, point.measure));
    api.shown(&allowed, Record::Chart, Some("growth"), numbers).await?;
    Ok(Json(serde_json::json!({ "mrn": mrn, "standard": "WHO Child Growth Standards, 0 to 60 months", "points": points })).into_response())
}
