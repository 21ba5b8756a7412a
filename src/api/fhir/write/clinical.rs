//! AllergyIntolerance, Condition and Observation as they are sent, as commands.

use std::str::FromStr;

use rust_decimal::Decimal;
use serde_json::Value;

use super::element::Element;
use crate::api::problem::Problem;
use crate::domain::census::{Command, Measured};
use crate::domain::chart::{self, Problem as Finding, Programme, Run, Standing};
use crate::domain::patient::{Allergy, Category, Criticality};
use crate::domain::vitals::{self, Reading};
use crate::kernel::{Icd10, Mrn, Timestamp};

const LOINC: &str = "http://loinc.org";
const UCUM: &str = "http://unitsofmeasure.org";
const ICD10: [&str; 2] = ["http://hl7.org/fhir/sid/icd-10", "http://hl7.org/fhir/sid/icd-10-cm"];
const SNOMED: &str = "http://snomed.info/sct";
const NO_KNOWN_ALLERGY: &str = "716186003";
/// "No known … allergy" of one kind only: not kept here, and no allergy against something.
const NO_KNOWN_OF_A_KIND: [&str; 6] = ["409137002", "428197003", "428607008", "429625007", "716184000", "716220001"];

/// The patient's id and the command, made for their number.
pub(super) type Asked = (String, Box<dyn FnOnce(Mrn) -> Command + Send>);

fn asked(patient: &str, command: impl FnOnce(Mrn) -> Command + Send + 'static) -> Asked {
    (patient.to_owned(), Box::new(command))
}

fn whose<'v>(sent: &Element<'v>, name: &str) -> Result<&'v str, Problem> {
    sent.reference(name, "Patient")?.ok_or_else(|| sent.wrong(name, "is missing: whose it is"))
}

/// Why something is taken back: the text of the only note.
fn why(sent: &Element<'_>) -> Result<Option<String>, Problem> {
    let Some(note) = sent.only("note")? else { return Ok(None) };
    let text = note.text("text")?.map(str::to_owned);
    note.passed(&["authorString", "authorReference", "time"]);
    note.end()?;
    Ok(text)
}

fn needed_why(sent: &Element<'_>, why: Option<String>) -> Result<String, Problem> {
    why.ok_or_else(|| sent.wrong("note", "is missing: say why it is taken back"))
}

/// An allergy, that there is none, or that one is taken back.
pub(super) fn allergy(value: &Value, is_lenient: bool) -> Result<Asked, Problem> {
    let sent = Element::resource(value, is_lenient)?;
    let patient = whose(&sent, "patient")?;
    let code = sent.code("code", SNOMED)?;
    if code.is_some_and(|code| NO_KNOWN_OF_A_KIND.contains(&code)) {
        return Err(
            sent.wrong("code", format!("that there is no allergy of one kind is not kept: say that there is none at all ({NO_KNOWN_ALLERGY}), or write those that there are"))
        );
    }
    let is_none = code == Some(NO_KNOWN_ALLERGY);
    let substance = sent.words("code")?.ok_or_else(|| sent.wrong("code", "has no words: the ingredient is needed as text or display, a code alone warns nobody"))?.to_owned();
    let clinical = sent.status("clinicalStatus", "http://terminology.hl7.org/CodeSystem/allergyintolerance-clinical")?;
    let verified = sent.status("verificationStatus", "http://terminology.hl7.org/CodeSystem/allergyintolerance-verification")?;
    let category = match sent.texts("category")?.as_slice() {
        [] | ["medication"] => Category::Medication,
        ["food"] => Category::Food,
        ["environment"] => Category::Environment,
        ["biologic"] => Category::Biologic,
        _ => return Err(sent.wrong("category", "one of medication, food, environment, biologic is kept")),
    };
    let criticality = match sent.text("criticality")? {
        Some("low") => Criticality::Low,
        Some("high") => Criticality::High,
        Some("unable-to-assess") | None => Criticality::Unknown,
        Some(other) => return Err(sent.wrong("criticality", format!("{other:?} is none of low, high, unable-to-assess"))),
    };
    let reaction = match sent.only("reaction")? {
        None => String::new(),
        Some(reaction) => {
            let shown = reaction.only("manifestation")?.map(|shown| shown.spoken()).transpose()?.flatten().unwrap_or_default().to_owned();
            reaction.passed(&["description"]);
            reaction.end()?;
            shown
        }
    };
    let why = why(&sent)?;
    sent.passed(&["recordedDate", "type", "recorder"]);
    sent.end()?;
    match (clinical, verified) {
        (_, Some("refuted" | "entered-in-error")) => {
            let reason = needed_why(&sent, why)?;
            Ok(asked(patient, move |patient| Command::RefuteAllergy { patient, substance, reason }))
        }
        (Some("active") | None, Some("confirmed" | "unconfirmed" | "presumed") | None) if is_none => Ok(asked(patient, |patient| Command::NoKnownAllergies { patient })),
        (Some("active") | None, Some("confirmed" | "unconfirmed" | "presumed") | None) => {
            Ok(asked(patient, move |patient| Command::RecordAllergy { patient, allergy: Allergy { substance, category, criticality, reaction } }))
        }
        _ => Err(sent.wrong("clinicalStatus", "an allergy is active here, or refuted (verificationStatus) with a note that says why")),
    }
}

/// A problem as it is sent.
pub(super) struct Sent {
    pub(super) patient: String,
    code: Icd10,
    text: String,
    onset: Option<crate::kernel::Date>,
    encounter: Option<String>,
    clinical: Option<String>,
    is_refuted: bool,
    why: Option<String>,
}

/// Reads a Condition.
pub(super) fn condition(value: &Value, is_lenient: bool) -> Result<Sent, Problem> {
    let sent = Element::resource(value, is_lenient)?;
    let patient = whose(&sent, "subject")?.to_owned();
    let mut code = None;
    for system in ICD10 {
        code = code.or(sent.code("code", system)?);
    }
    let code = code.ok_or_else(|| sent.wrong("code", format!("a code of ICD-10 ({}) is needed", ICD10[0])))?;
    for category in sent.objects("category")? {
        if category.coded("http://terminology.hl7.org/CodeSystem/condition-category")?.is_some_and(|code| code != "problem-list-item") {
            return Err(sent.wrong("category", "only the list of problems is kept here (problem-list-item)"));
        }
    }
    let verified = sent.status("verificationStatus", "http://terminology.hl7.org/CodeSystem/condition-ver-status")?;
    if let Some(other) = verified.filter(|status| !["confirmed", "refuted", "entered-in-error"].contains(status)) {
        return Err(sent.wrong("verificationStatus", format!("{other:?}: a problem is confirmed here, refuted or entered-in-error")));
    }
    let found = Sent {
        patient,
        code: sent.parsed("code", code)?,
        text: sent.words("code")?.unwrap_or(code).to_owned(),
        onset: sent.date("onsetDateTime")?,
        encounter: sent.reference("encounter", "Encounter")?.map(str::to_owned),
        clinical: sent.status("clinicalStatus", "http://terminology.hl7.org/CodeSystem/condition-clinical")?.map(str::to_owned),
        is_refuted: matches!(verified, Some("refuted" | "entered-in-error")),
        why: why(&sent)?,
    };
    sent.passed(&["recordedDate", "recorder", "asserter", "abatementDateTime"]);
    sent.end()?;
    Ok(found)
}

fn wrong(place: &str, text: &str) -> Problem {
    Problem::new(axum::http::StatusCode::UNPROCESSABLE_ENTITY, "invalid", format!("{place}: {text}")).at(place)
}

impl Sent {
    /// A new problem.
    pub(super) fn create(self, patient: Mrn) -> Result<Command, Problem> {
        if self.is_refuted || self.clinical.as_deref().is_some_and(|status| status != "active") {
            return Err(wrong("Condition.clinicalStatus", "a problem is active when it is written; change it afterwards"));
        }
        let encounter = self.encounter.as_deref().map(super::visit::encounter_of).transpose()?;
        Ok(Command::Chart { patient, command: chart::Command::RecordProblem { code: self.code, text: self.text, onset: self.onset, encounter } })
    }

    /// How one that is known stands now; what was found does not change.
    pub(super) fn update(self, patient: Mrn, known: &Finding) -> Result<Option<Command>, Problem> {
        if self.code != known.code || self.text != known.text || self.onset != known.onset {
            return Err(wrong("Condition.code", "what was found does not change: refute this one with a note that says why, and write another"));
        }
        let number = known.number;
        let command = match (&known.standing, self.is_refuted, self.clinical.as_deref()) {
            (Standing::Refuted { .. }, true, _) => return Ok(None),
            (_, true, _) => {
                let reason = self.why.ok_or_else(|| wrong("Condition.note", "is missing: say why it is taken back"))?;
                chart::Command::RefuteProblem { number, reason }
            }
            (Standing::Active, false, Some("active" | "recurrence" | "relapse") | None) | (Standing::Resolved { .. }, false, Some("resolved" | "remission" | "inactive")) => {
                return Ok(None);
            }
            (Standing::Active, false, Some("resolved" | "remission" | "inactive")) => chart::Command::ResolveProblem { number },
            (Standing::Resolved { .. }, false, Some("active" | "recurrence" | "relapse")) => chart::Command::ReopenProblem { number },
            _ => return Err(wrong("Condition.clinicalStatus", "active, resolved, or refuted by verificationStatus")),
        };
        Ok(Some(Command::Chart { patient, command }))
    }
}

/// A programme of care as it is sent.
pub(super) struct SentProgramme {
    pub(super) patient: String,
    name: String,
    status: String,
    from: Option<crate::kernel::Date>,
    until: Option<crate::kernel::Date>,
}

/// Reads an EpisodeOfCare.
pub(super) fn episode(value: &Value, is_lenient: bool) -> Result<SentProgramme, Problem> {
    let sent = Element::resource(value, is_lenient)?;
    let patient = whose(&sent, "patient")?.to_owned();
    let name = sent.only("type")?.map(|concept| concept.spoken().map(|words| words.map(str::to_owned))).transpose()?.flatten();
    let name = name.ok_or_else(|| sent.wrong("type", "is missing: what people call the programme, as text"))?;
    let status = sent.needed("status")?.to_owned();
    let (mut from, mut until) = (None, None);
    if let Some(period) = sent.object("period")? {
        (from, until) = (period.date("start")?, period.date("end")?);
        period.end()?;
    }
    sent.passed(&["managingOrganization"]);
    sent.end()?;
    Ok(SentProgramme { patient, name, status, from, until })
}

impl SentProgramme {
    /// The patient is in it from now on.
    pub(super) fn create(self, patient: Mrn) -> Result<Command, Problem> {
        match self.status.as_str() {
            "active" => Ok(Command::Chart { patient, command: chart::Command::BeginProgramme { name: self.name, from: self.from } }),
            other => Err(wrong("EpisodeOfCare.status", &format!("a programme begins as active, not as {other}"))),
        }
    }

    /// How one that is known stands now; which it is and since when does not change.
    pub(super) fn update(self, patient: Mrn, known: &Programme) -> Result<Option<Command>, Problem> {
        if self.name != known.name || self.from.is_some_and(|from| from != known.from) {
            return Err(wrong("EpisodeOfCare.type", "a programme stays what it is and since when: say entered-in-error, and begin another"));
        }
        let number = known.number;
        let command = match (&known.standing, self.status.as_str()) {
            (Run::Active, "active") | (Run::Refuted { .. }, "entered-in-error") => return Ok(None),
            (Run::Active | Run::Finished { .. }, "finished") => chart::Command::FinishProgramme { number, until: self.until },
            (Run::Active | Run::Finished { .. }, "entered-in-error") => chart::Command::RefuteProgramme { number, reason: "entered in error".to_owned() },
            (_, other) => return Err(wrong("EpisodeOfCare.status", &format!("{other:?} does not follow: active, finished, or entered-in-error"))),
        };
        Ok(Some(Command::Chart { patient, command }))
    }
}

/// Vital signs that were measured, or that were an error.
pub(super) fn observation(value: &Value, is_lenient: bool) -> Result<Asked, Problem> {
    let sent = Element::resource(value, is_lenient)?;
    let patient = whose(&sent, "subject")?;
    for category in sent.objects("category")? {
        if category.coded("http://terminology.hl7.org/CodeSystem/observation-category")?.is_some_and(|code| code != "vital-signs") {
            return Err(sent.wrong("category", "only vital signs are written by FHIR: results of the laboratory come from its devices"));
        }
    }
    let code = sent.code("code", LOINC)?.ok_or_else(|| sent.wrong("code", "a LOINC code is needed"))?;
    let measured = sent.instant("effectiveDateTime")?;
    let mut readings = Vec::new();
    readings.extend(quantity(&sent)?.map(|(value, unit)| reading(&sent, code, value, unit)).transpose()?);
    // A panel, such as blood pressure, holds its signs.
    for part in sent.objects("component")? {
        let code = part.code("code", LOINC)?.ok_or_else(|| part.wrong("code", "a LOINC code is needed"))?;
        let (value, unit) = quantity(&part)?.ok_or_else(|| part.wrong("valueQuantity", "is missing"))?;
        part.end()?;
        readings.push(reading(&part, code, value, unit)?);
    }
    let status = sent.needed("status")?;
    let why = why(&sent)?;
    sent.passed(&["issued", "performer", "device", "encounter"]);
    sent.end()?;
    match status {
        "final" | "amended" | "corrected" if readings.is_empty() => Err(sent.wrong("valueQuantity", "is missing: a value with its UCUM unit")),
        "final" => {
            Ok(asked(patient, move |patient| Command::Vitals { whom: Measured::Patient(patient), command: vitals::Command::Take { readings, fluids: Vec::new(), measured } }))
        }
        "entered-in-error" => {
            let measured = measured.ok_or_else(|| sent.wrong("effectiveDateTime", "is missing: which of them it was"))?;
            let (code, reason) = (sent.parsed("code", code)?, needed_why(&sent, why)?);
            Ok(asked(patient, move |patient| Command::Vitals { whom: Measured::Patient(patient), command: vitals::Command::WithdrawReading { code, measured, reason } }))
        }
        other => Err(sent.wrong("status", format!("{other:?}: a sign is final when it is written, or entered-in-error"))),
    }
}

/// Whether two Observations are of the same sign at the same moment.
pub(super) fn is_same_measurement(known: &Value, sent: &Value) -> bool {
    let code = |of: &Value| -> Option<String> {
        let codings = of.pointer("/code/coding")?.as_array()?;
        codings.iter().find(|coding| coding["system"] == LOINC)?["code"].as_str().map(str::to_owned)
    };
    let at = |of: &Value| of["effectiveDateTime"].as_str().and_then(|text| text.parse::<Timestamp>().ok());
    code(known).is_some() && code(known) == code(sent) && at(known).is_some() && at(known) == at(sent)
}

/// Value and UCUM unit.
fn quantity<'v>(of: &Element<'v>) -> Result<Option<(Decimal, &'v str)>, Problem> {
    let Some(quantity) = of.object("valueQuantity")? else { return Ok(None) };
    let number = match quantity.get("value") {
        Some(Value::Number(number)) => {
            let text = number.to_string();
            Decimal::from_str(&text).or_else(|_| Decimal::from_scientific(&text)).map_err(|_| quantity.wrong("value", format!("{text} is no number that can be kept")))?
        }
        _ => return Err(quantity.wrong("value", "a number is needed")),
    };
    // "Less than" is no value.
    if quantity.get("comparator").is_some() {
        return Err(quantity.wrong("comparator", "a sign is a value, not a bound of one"));
    }
    let (unit, system) = (quantity.needed("code")?, quantity.needed("system")?);
    quantity.passed(&["unit"]);
    quantity.end()?;
    if system != UCUM {
        return Err(quantity.wrong("system", format!("units are UCUM's ({UCUM}): nothing is converted by guess")));
    }
    Ok(Some((number, unit)))
}

fn reading(of: &Element<'_>, code: &str, value: Decimal, unit: &str) -> Result<Reading, Problem> {
    Ok(Reading { code: of.parsed("code", code)?, value, unit: of.parsed("valueQuantity", unit)? })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn mrn() -> Mrn {
        "77".parse().unwrap()
    }

    fn command(asked: Result<Asked, Problem>) -> String {
        match asked {
            Ok((patient, command)) => {
                assert_eq!(patient, "77");
                format!("{:?}", command(mrn()))
            }
            Err(problem) => format!("refused at {}", problem.place.unwrap_or_default()),
        }
    }

    #[test]
    fn an_allergy_is_recorded_refuted_or_none() {
        let sent = |more: Value| {
            let mut value = json!({ "resourceType": "AllergyIntolerance", "patient": { "reference": "Patient/77" }, "code": { "text": "penicillin" } });
            value.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
            command(allergy(&value, false))
        };
        assert!(
            sent(json!({ "criticality": "high", "category": ["food"], "reaction": [{ "manifestation": [{ "text": "rash" }] }] }))
                .contains("Food, criticality: High, reaction: \"rash\"")
        );
        let refuted = json!({ "coding": [{ "system": "http://terminology.hl7.org/CodeSystem/allergyintolerance-verification", "code": "refuted" }] });
        assert_eq!(sent(json!({ "verificationStatus": refuted })), "refused at AllergyIntolerance.note");
        assert!(sent(json!({ "verificationStatus": refuted, "note": [{ "text": "tested" }] })).starts_with("RefuteAllergy"));
        assert!(
            sent(json!({ "code": { "coding": [{ "system": "http://snomed.info/sct", "code": "716186003", "display": "No known allergy" }] } })).starts_with("NoKnownAllergies")
        );
        let resolved = json!({ "coding": [{ "system": "http://terminology.hl7.org/CodeSystem/allergyintolerance-clinical", "code": "resolved" }] });
        assert_eq!(sent(json!({ "clinicalStatus": resolved })), "refused at AllergyIntolerance.clinicalStatus");
        // Found in review: a status without its system was taken for none, which means active.
        assert_eq!(sent(json!({ "verificationStatus": { "coding": [{ "code": "entered-in-error" }] } })), "refused at AllergyIntolerance.verificationStatus");
        assert_eq!(sent(json!({ "clinicalStatus": { "text": "resolved" } })), "refused at AllergyIntolerance.clinicalStatus");
        // A bare code is no substance that a check or a person would find, and a second coding may have the words.
        assert_eq!(sent(json!({ "code": { "coding": [{ "system": "rx", "code": "7980" }] } })), "refused at AllergyIntolerance.code");
        assert!(
            sent(json!({ "code": { "coding": [{ "system": "rx", "code": "7980" }, { "system": SNOMED, "code": "764146007", "display": "Penicillin" }] } }))
                .contains("substance: \"Penicillin\"")
        );
        assert_eq!(sent(json!({ "code": { "coding": [{ "system": SNOMED, "code": "409137002", "display": "No known drug allergy" }] } })), "refused at AllergyIntolerance.code");
        assert_eq!(sent(json!({ "onsetString": "long ago" })), "refused at AllergyIntolerance.onsetString");
    }

    #[test]
    fn signs_are_taken_in_ucum_alone() {
        let sent = |quantity: Value, status: &str| {
            command(observation(
                &json!({
                    "resourceType": "Observation", "status": status, "subject": { "reference": "Patient/77" }, "effectiveDateTime": "2026-11-23T10:00:00Z",
                    "code": { "coding": [{ "system": LOINC, "code": "8867-4" }] }, "valueQuantity": quantity,
                }),
                false,
            ))
        };
        assert!(sent(json!({ "value": 72.50, "system": UCUM, "code": "/min" }), "final").contains("8867-4"));
        assert_eq!(sent(json!({ "value": 72, "comparator": "<", "system": UCUM, "code": "/min" }), "final"), "refused at Observation.valueQuantity.comparator");
        assert_eq!(sent(json!({ "value": 72, "system": "x", "code": "/min" }), "final"), "refused at Observation.valueQuantity.system");
        assert_eq!(sent(json!({ "value": "72", "system": UCUM, "code": "/min" }), "final"), "refused at Observation.valueQuantity.value");
        assert_eq!(sent(json!({ "value": 72, "system": UCUM, "code": "/min" }), "preliminary"), "refused at Observation.status");
        assert_eq!(sent(json!({ "value": 72, "system": UCUM, "code": "/min" }), "entered-in-error"), "refused at Observation.note");
    }
}
