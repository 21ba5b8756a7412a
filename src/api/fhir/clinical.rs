//! Clinical resources: allergies, problems, vital signs, results of the laboratory.

use serde_json::{Value, json};

use super::id::{escape, of_patient};
use super::resources::{Version, coded, decimal, encounter_id, full, meta, of, reference};
use crate::domain::chart::{Problem, Standing};
use crate::domain::patient::{Allergies, Category, Criticality, Known};
use crate::domain::specimen::ResultValue;
use crate::domain::vitals::Reading;
use crate::kernel::{Mrn, Timestamp};
use crate::projection::ResultRow;

/// How the id ends of the resource that says that there are no allergies.
pub(super) const NONE_KNOWN: &str = "none-known";

const LOINC: &str = "http://loinc.org";
const UCUM: &str = "http://unitsofmeasure.org";

/// The id of an allergy: there is one of each substance.
pub(super) fn allergy_id(mrn: &str, substance: &str) -> String {
    of_patient(mrn, &format!("a{}", escape(&substance.trim().to_lowercase())))
}

/// What must not be given; that there is nothing is a resource too, and that nobody has asked is none.
pub(super) fn allergies(mrn: &Mrn, allergies: &Allergies) -> Vec<Value> {
    let active = || coded("http://terminology.hl7.org/CodeSystem/allergyintolerance-clinical", "active", "Active");
    let confirmed = || coded("http://terminology.hl7.org/CodeSystem/allergyintolerance-verification", "confirmed", "Confirmed");
    let known = |known: &Known| {
        let allergy = &known.allergy;
        let category = match allergy.category {
            Category::Medication => "medication",
            Category::Food => "food",
            Category::Environment => "environment",
            Category::Biologic => "biologic",
        };
        let criticality = match allergy.criticality {
            Criticality::Low => "low",
            Criticality::High => "high",
            Criticality::Unknown => "unable-to-assess",
        };
        let reaction = if allergy.reaction.is_empty() { Value::Null } else { json!([{ "manifestation": [{ "text": allergy.reaction }] }]) };
        full(json!({
            "resourceType": "AllergyIntolerance",
            "id": allergy_id(mrn.as_str(), &allergy.substance),
            "clinicalStatus": active(),
            "verificationStatus": confirmed(),
            "category": [category],
            "criticality": criticality,
            "code": { "text": allergy.substance },
            "patient": of(mrn),
            "recordedDate": known.at.to_string(),
            "reaction": reaction,
        }))
    };
    match allergies {
        Allergies::NotAsked => Vec::new(),
        Allergies::Known(all) => all.iter().map(known).collect(),
        Allergies::NoneKnown { at } => vec![full(json!({
            "resourceType": "AllergyIntolerance",
            "id": of_patient(mrn.as_str(), NONE_KNOWN),
            "clinicalStatus": active(),
            "verificationStatus": confirmed(),
            "code": coded("http://snomed.info/sct", "716186003", "No known allergy"),
            "patient": of(mrn),
            "recordedDate": at.to_string(),
        }))],
    }
}

/// A problem of the list.
pub(super) fn condition(mrn: &Mrn, problem: &Problem) -> Value {
    let (clinical, verified, abated) = match &problem.standing {
        Standing::Active => (("active", "Active"), ("confirmed", "Confirmed"), None),
        Standing::Resolved { since } => (("resolved", "Resolved"), ("confirmed", "Confirmed"), Some(*since)),
        Standing::Refuted { .. } => (("inactive", "Inactive"), ("refuted", "Refuted"), None),
    };
    full(json!({
        "resourceType": "Condition",
        "id": of_patient(mrn.as_str(), &format!("p{}", problem.number)),
        "clinicalStatus": coded("http://terminology.hl7.org/CodeSystem/condition-clinical", clinical.0, clinical.1),
        "verificationStatus": coded("http://terminology.hl7.org/CodeSystem/condition-ver-status", verified.0, verified.1),
        "category": [coded("http://terminology.hl7.org/CodeSystem/condition-category", "problem-list-item", "Problem List Item")],
        "code": { "coding": [{ "system": "http://hl7.org/fhir/sid/icd-10", "code": problem.code.as_str() }], "text": problem.text },
        "subject": of(mrn),
        "encounter": problem.encounter.as_ref().map(|encounter| reference("Encounter", &encounter_id(encounter))),
        "onsetDateTime": problem.onset.map(|date| date.to_string()),
        "abatementDateTime": abated.map(|at: Timestamp| at.to_string()),
        "recordedDate": problem.at.to_string(),
        "recorder": { "display": problem.by },
    }))
}

/// One measurement of one sign.
pub(super) struct Sign<'a> {
    /// The event, and the how manieth reading of it.
    pub(super) at: (u64, usize),
    pub(super) reading: &'a Reading,
    /// What people call it.
    pub(super) name: String,
    pub(super) measured: Timestamp,
    pub(super) recorded: Timestamp,
    /// Who or what measured it.
    pub(super) source: String,
    /// When somebody said that it was another patient's, or wrong.
    pub(super) withdrawn: Option<Timestamp>,
}

/// A vital sign.
pub(super) fn sign(mrn: &Mrn, sign: &Sign<'_>) -> Value {
    let Sign { at: (sequence, place), reading, measured, recorded, source, .. } = sign;
    let by = match source.split_once(':') {
        Some(("device", device)) => ("device", reference("Device", &escape(device))),
        Some(("person", person)) => ("performer", json!([{ "display": person }])),
        _ => ("performer", json!([{ "display": source }])),
    };
    let mut resource = json!({
        "resourceType": "Observation",
        "id": of_patient(mrn.as_str(), &format!("v{sequence}-{place}")),
        "meta": meta(Some(Version { number: 1 + u64::from(sign.withdrawn.is_some()), at: sign.withdrawn.unwrap_or(*recorded) })),
        "status": if sign.withdrawn.is_some() { "entered-in-error" } else { "final" },
        "category": [coded("http://terminology.hl7.org/CodeSystem/observation-category", "vital-signs", "Vital Signs")],
        "code": { "coding": [{ "system": LOINC, "code": reading.code.as_str() }], "text": sign.name },
        "subject": of(mrn),
        "effectiveDateTime": measured.to_string(),
        "issued": recorded.to_string(),
        "valueQuantity": { "value": decimal(reading.value), "unit": reading.unit.as_str(), "system": UCUM, "code": reading.unit.as_str() },
    });
    resource[by.0] = by.1;
    full(resource)
}

/// A result of the laboratory; `place` is its how manieth of this test and specimen.
pub(super) fn result(mrn: &Mrn, accession: &str, place: usize, name: &str, row: &ResultRow) -> Value {
    let line = &row.line;
    let quantity = |number, comparator: Option<&str>| {
        let unit = line.unit.as_ref().map(|unit| unit.as_str());
        json!({ "value": decimal(number), "comparator": comparator, "unit": unit, "system": unit.map(|_| UCUM), "code": unit })
    };
    let (key, value) = match &line.value {
        ResultValue::Number(number) => ("valueQuantity", quantity(*number, None)),
        ResultValue::Below(limit) => ("valueQuantity", quantity(*limit, Some("<"))),
        ResultValue::Above(limit) => ("valueQuantity", quantity(*limit, Some(">"))),
        ResultValue::Text(text) => ("valueString", Value::String(text.clone())),
    };
    let status = match line.status.as_str() {
        "P" | "S" => "preliminary",
        "C" => "corrected",
        _ => "final",
    };
    const FLAGS: [&str; 6] = ["H", "L", "HH", "LL", "N", "A"];
    let interpretation = match line.flags.as_str() {
        "" => Value::Null,
        flag if FLAGS.contains(&flag) => json!([{ "coding": [{ "system": "http://terminology.hl7.org/CodeSystem/v3-ObservationInterpretation", "code": flag }] }]),
        other => json!([{ "text": other }]),
    };
    let mut resource = json!({
        "resourceType": "Observation",
        "id": of_patient(mrn.as_str(), &format!("l{}-{}-{place}", escape(accession), line.test)),
        "meta": meta(Some(Version { number: 1, at: row.filed })),
        "status": status,
        "category": [coded("http://terminology.hl7.org/CodeSystem/observation-category", "laboratory", "Laboratory")],
        "code": { "coding": [{ "system": LOINC, "code": line.test.as_str() }], "text": name },
        "subject": of(mrn),
        "effectiveDateTime": line.measured.unwrap_or(row.filed).to_string(),
        "issued": row.filed.to_string(),
        "interpretation": interpretation,
        "specimen": { "display": accession },
        "device": reference("Device", &escape(row.device.as_str())),
    });
    resource[key] = value;
    full(resource)
}
