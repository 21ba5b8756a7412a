//! AuditEvent and Provenance as other systems send them: who looked at a patient's record there, who made what they sent.

use serde_json::Value;

use super::element::Element;
use crate::api::fhir::id::{patient_of, unescape};
use crate::api::problem::Problem;
use crate::domain::chart::{Agent, Code, Look, Origin};
use crate::kernel::{EncounterId, Mrn};

/// What an AuditEvent says of what was done (R4, AuditEvent.action) and how it went (AuditEvent.outcome).
const ACTIONS: [&str; 5] = ["C", "R", "U", "D", "E"];
const OUTCOMES: [&str; 4] = ["0", "4", "8", "12"];
/// In which way something was made of something else (R4, Provenance.entity.role).
const ROLES: [&str; 5] = ["derivation", "revision", "quotation", "source", "removal"];

fn text(element: &Element<'_>, name: &str) -> Result<String, Problem> {
    Ok(element.text(name)?.unwrap_or_default().to_owned())
}

/// A Coding itself.
fn coding(element: &Element<'_>) -> Result<Code, Problem> {
    let code = Code { system: text(element, "system")?, code: element.needed("code")?.to_owned(), display: text(element, "display")? };
    element.passed(&["version"]);
    element.end()?;
    Ok(code)
}

fn codings(element: &Element<'_>, name: &str) -> Result<Vec<Code>, Problem> {
    element.objects(name)?.iter().map(coding).collect()
}

/// A CodeableConcept by its first coding; words alone have no code and are kept as one.
fn concept(element: &Element<'_>) -> Result<Code, Problem> {
    let (first, words) = (element.only("coding")?, text(element, "text")?);
    let code = match first {
        Some(first) => coding(&first)?,
        None if words.is_empty() => return Err(element.wrong("coding", "is missing: a code, or a text")),
        None => Code { system: String::new(), code: words, display: String::new() },
    };
    element.end()?;
    Ok(code)
}

fn concepts(element: &Element<'_>, name: &str) -> Result<Vec<Code>, Problem> {
    element.objects(name)?.iter().map(concept).collect()
}

/// Whom or what a Reference means: as people call it, else where it leads, else the number that it has elsewhere.
fn meant(element: &Element<'_>) -> Result<Option<String>, Problem> {
    let (display, reference) = (element.text("display")?, element.text("reference")?);
    let identifier = match element.object("identifier")? {
        Some(identifier) => {
            let value = identifier.text("value")?;
            identifier.passed(&["system", "use", "type"]);
            identifier.end()?;
            value
        }
        None => None,
    };
    element.passed(&["type"]);
    element.end()?;
    Ok(display.or(reference).or(identifier).map(str::to_owned))
}

fn referred(element: &Element<'_>, name: &str) -> Result<Option<String>, Problem> {
    element.object(name)?.map_or(Ok(None), |reference| meant(&reference))
}

/// The patient of a reference to a record of this house; none of one that leads elsewhere.
fn patient_of_reference(reference: &str, stay_of: &impl Fn(&EncounterId) -> Option<Mrn>) -> Option<Mrn> {
    let path = reference.strip_prefix("/fhir/R4/").unwrap_or(reference);
    let (kind, id) = path.split_once('/')?;
    let id = id.split_once("/_history/").map_or(id, |(id, _)| id);
    match kind {
        "Patient" => unescape(id)?.parse().ok(),
        "Encounter" => stay_of(&EncounterId::of_visit(&unescape(id)?).ok()?),
        "AllergyIntolerance" | "Condition" | "Observation" | "Coverage" | "RelatedPerson" | "EpisodeOfCare" => patient_of(id)?.parse().ok(),
        _ => None,
    }
}

fn agent(element: &Element<'_>, name: Option<String>) -> Result<Agent, Problem> {
    let part = element.object("type")?.map(|part| concept(&part)).transpose()?;
    let is_requestor = element.flag("requestor")?.unwrap_or(false);
    let address = match element.object("network")? {
        Some(network) => {
            let address = text(&network, "address")?;
            network.passed(&["type"]);
            network.end()?;
            address
        }
        None => String::new(),
    };
    let name = name.ok_or_else(|| element.wrong("who", "is missing: who did it, by a name, a reference or a number"))?;
    element.end()?;
    Ok(Agent { name, part, is_requestor, address })
}

fn one_of(element: &Element<'_>, name: &str, known: &[&str]) -> Result<String, Problem> {
    match element.text(name)? {
        Some(said) if !known.contains(&said) => Err(element.wrong(name, format!("is one of {}, not {said:?}", known.join(", ")))),
        said => Ok(said.unwrap_or_default().to_owned()),
    }
}

/// Who looked at whose record in another system. One patient each, as IHE BALP has it: whose record it was must be known without a doubt.
pub(super) fn look(value: &Value, is_lenient: bool) -> Result<(Mrn, Look), Problem> {
    let sent = Element::resource(value, is_lenient)?;
    let kind = sent.object("type")?.ok_or_else(|| sent.wrong("type", "is missing"))?;
    let (kind, subtypes, purposes) = (coding(&kind)?, codings(&sent, "subtype")?, concepts(&sent, "purposeOfEvent")?);
    let (action, outcome) = (one_of(&sent, "action", &ACTIONS)?, one_of(&sent, "outcome", &OUTCOMES)?);
    let recorded = sent.instant("recorded")?.ok_or_else(|| sent.wrong("recorded", "is missing: when it was, with its zone"))?;
    let mut agents = Vec::new();
    for element in sent.objects("agent")? {
        let name = text(&element, "name")?;
        let alternative = element.text("altId")?.map(str::to_owned);
        let who = referred(&element, "who")?;
        agents.push(agent(&element, Some(name).filter(|name| !name.is_empty()).or(who).or(alternative))?);
    }
    let source = sent.object("source")?.ok_or_else(|| sent.wrong("source", "is missing: the system that tells"))?;
    let site = source.text("site")?.map(str::to_owned);
    let observer = referred(&source, "observer")?.or(site).ok_or_else(|| source.wrong("observer", "is missing: the system that tells"))?;
    source.passed(&["type"]);
    source.end()?;
    let (mut patients, mut of): (Vec<Mrn>, Vec<String>) = (Vec::new(), Vec::new());
    for entity in sent.objects("entity")? {
        let what = referred_to(&entity, "what")?;
        entity.passed(&["type", "role", "lifecycle"]);
        // Names, queries and details may hold more of the patient than an audit should.
        entity.end()?;
        match what.as_deref().map(|what| (what, patient_of_reference(what, &|_| None))) {
            Some((_, Some(patient))) if what.as_deref().is_some_and(|what| what.contains("Patient/")) => patients.push(patient),
            Some((what, _)) => of.push(what.to_owned()),
            None => {}
        }
    }
    patients.dedup();
    let [patient] = patients.as_slice() else {
        let text =
            format!("{} patients are named: what is told here is of one patient of this house, an entity whose what is Patient/NUMBER; tell it once for each", patients.len());
        return Err(sent.wrong("entity", text));
    };
    sent.end()?;
    Ok((patient.clone(), Look { kind, subtypes, action, outcome, purposes, recorded, agents, source: observer, of }))
}

/// Where a reference leads, and nothing else.
fn referred_to(element: &Element<'_>, name: &str) -> Result<Option<String>, Problem> {
    let Some(reference) = element.object(name)? else { return Ok(None) };
    let found = reference.text("reference")?.map(str::to_owned);
    reference.passed(&["type", "identifier"]);
    reference.end()?;
    Ok(found)
}

/// Who made a record of a patient of this house what it is; `stay_of` says whose a stay is.
pub(super) fn origin(value: &Value, is_lenient: bool, stay_of: impl Fn(&EncounterId) -> Option<Mrn>) -> Result<(Mrn, Origin), Problem> {
    let sent = Element::resource(value, is_lenient)?;
    let target = sent.only("target")?.ok_or_else(|| sent.wrong("target", "is missing: the record that it is about"))?;
    let (reference, target_type) = (target.needed("reference")?.to_owned(), target.text("type")?);
    target.passed(&["identifier"]);
    target.end()?;
    let _ = target_type;
    let patient = patient_of_reference(&reference, &stay_of);
    let patient = patient.ok_or_else(|| {
        sent.wrong(
            "target",
            format!(
                "{reference:?} is no record of a patient of this house: Patient, Encounter, AllergyIntolerance, Condition, Observation, Coverage, RelatedPerson or EpisodeOfCare"
            ),
        )
    })?;
    let recorded = sent.instant("recorded")?.ok_or_else(|| sent.wrong("recorded", "is missing: when it was written down, with its zone"))?;
    let occurred = sent.instant("occurredDateTime")?;
    let activity = sent.object("activity")?.map(|activity| concept(&activity)).transpose()?;
    let reasons = concepts(&sent, "reason")?;
    let mut agents = Vec::new();
    for element in sent.objects("agent")? {
        let who = referred(&element, "who")?;
        element.passed(&["onBehalfOf"]);
        agents.push(agent(&element, who)?);
    }
    let mut made_of = Vec::new();
    for entity in sent.objects("entity")? {
        let (role, what) = (one_of(&entity, "role", &ROLES)?, referred_to(&entity, "what")?);
        entity.end()?;
        let what = what.ok_or_else(|| entity.wrong("what", "is missing: of what it was made"))?;
        made_of.push((if role.is_empty() { "source".to_owned() } else { role }, what));
    }
    sent.end()?;
    Ok((patient, Origin { target: reference.trim_start_matches("/fhir/R4/").to_owned(), occurred, recorded, activity, reasons, agents, made_of }))
}
