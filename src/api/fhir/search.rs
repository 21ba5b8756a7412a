//! Searching: parameters of a request, and whether a resource fits them (FHIR R4, 3.1.1). Resources are looked into as JSON, so that a
//! parameter means what stands in the answer.

use serde_json::Value;

use super::Kind;
use crate::api::problem::Problem;
use crate::kernel::{Date as Day, Timestamp};
use crate::projection::fold;

/// Resources of one page, when the client does not say, and at most.
const COUNT: usize = 50;
const COUNT_MAX: usize = 500;
const DAY_SECONDS: i64 = 24 * 3_600;

/// How a parameter compares.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Compare {
    /// A code, `system|code`, or an identifier.
    Token,
    /// The beginning of a text, whatever its case.
    Text,
    /// A date or a part of one, with `eq`, `ne`, `lt`, `gt`, `le`, `ge`, `sa`, `eb`.
    Date,
    /// `Type/id`, or the id alone.
    Reference,
}

/// A search parameter: its name, how it compares, and where it looks.
pub(super) struct Parameter {
    pub(super) name: &'static str,
    pub(super) compare: Compare,
    paths: &'static [&'static str],
}

const fn parameter(name: &'static str, compare: Compare, paths: &'static [&'static str]) -> Parameter {
    Parameter { name, compare, paths }
}

use Compare::{Date, Reference, Text, Token};

const ID: Parameter = parameter("_id", Token, &["id"]);
const UPDATED: Parameter = parameter("_lastUpdated", Date, &["meta.lastUpdated"]);

const PATIENT: &[Parameter] = &[
    parameter("identifier", Token, &["identifier"]),
    parameter("name", Text, &["name.family", "name.given", "name.text"]),
    parameter("family", Text, &["name.family"]),
    parameter("given", Text, &["name.given"]),
    parameter("birthdate", Date, &["birthDate"]),
    parameter("gender", Token, &["gender"]),
    parameter("phone", Token, &["telecom.value"]),
    parameter("telecom", Token, &["telecom.value"]),
    parameter("active", Token, &["active"]),
    parameter("address-city", Text, &["address.city"]),
    parameter("address-postalcode", Text, &["address.postalCode"]),
    parameter("link", Reference, &["link.other"]),
];
const ENCOUNTER: &[Parameter] = &[
    parameter("patient", Reference, &["subject"]),
    parameter("subject", Reference, &["subject"]),
    parameter("identifier", Token, &["identifier"]),
    parameter("status", Token, &["status"]),
    parameter("class", Token, &["class"]),
    parameter("date", Date, &["period"]),
    parameter("location", Reference, &["location.location"]),
    parameter("service-provider", Reference, &["serviceProvider"]),
];
const OBSERVATION: &[Parameter] = &[
    parameter("patient", Reference, &["subject"]),
    parameter("subject", Reference, &["subject"]),
    parameter("category", Token, &["category"]),
    parameter("code", Token, &["code"]),
    parameter("date", Date, &["effectiveDateTime"]),
    parameter("status", Token, &["status"]),
];
const CONDITION: &[Parameter] = &[
    parameter("patient", Reference, &["subject"]),
    parameter("subject", Reference, &["subject"]),
    parameter("clinical-status", Token, &["clinicalStatus"]),
    parameter("verification-status", Token, &["verificationStatus"]),
    parameter("category", Token, &["category"]),
    parameter("code", Token, &["code"]),
    parameter("encounter", Reference, &["encounter"]),
    parameter("onset-date", Date, &["onsetDateTime"]),
    parameter("recorded-date", Date, &["recordedDate"]),
];
const ALLERGY: &[Parameter] = &[
    parameter("patient", Reference, &["patient"]),
    parameter("clinical-status", Token, &["clinicalStatus"]),
    parameter("criticality", Token, &["criticality"]),
    parameter("category", Token, &["category"]),
    parameter("code", Token, &["code"]),
    parameter("date", Date, &["recordedDate"]),
];
const COVERAGE: &[Parameter] = &[
    parameter("patient", Reference, &["beneficiary"]),
    parameter("beneficiary", Reference, &["beneficiary"]),
    parameter("status", Token, &["status"]),
    parameter("identifier", Token, &["identifier"]),
];
const RELATED: &[Parameter] = &[parameter("patient", Reference, &["patient"]), parameter("name", Text, &["name.family", "name.given", "name.text"])];
const LOCATION: &[Parameter] = &[
    parameter("identifier", Token, &["identifier"]),
    parameter("name", Text, &["name"]),
    parameter("status", Token, &["status"]),
    parameter("operational-status", Token, &["operationalStatus"]),
    parameter("partof", Reference, &["partOf"]),
    parameter("organization", Reference, &["managingOrganization"]),
];
const PRACTITIONER: &[Parameter] = &[parameter("identifier", Token, &["identifier"]), parameter("name", Text, &["name.text"]), parameter("active", Token, &["active"])];
const ROLE: &[Parameter] = &[
    parameter("practitioner", Reference, &["practitioner"]),
    parameter("organization", Reference, &["organization"]),
    parameter("location", Reference, &["location"]),
    parameter("role", Token, &["code"]),
];
const ORGANIZATION: &[Parameter] = &[parameter("identifier", Token, &["identifier"]), parameter("name", Text, &["name"])];
const DEVICE: &[Parameter] = &[parameter("identifier", Token, &["identifier"]), parameter("status", Token, &["status"]), parameter("device-name", Text, &["deviceName.name"])];
const SCHEDULE: &[Parameter] = &[parameter("identifier", Token, &["identifier"]), parameter("active", Token, &["active"])];
const SLOT: &[Parameter] = &[parameter("schedule", Reference, &["schedule"]), parameter("start", Date, &["start"]), parameter("status", Token, &["status"])];
const APPOINTMENT: &[Parameter] = &[
    parameter("patient", Reference, &["participant.actor"]),
    parameter("date", Date, &["start"]),
    parameter("status", Token, &["status"]),
    parameter("slot", Reference, &["slot"]),
];
const AUDIT: &[Parameter] = &[
    parameter("patient", Reference, &["entity.what"]),
    parameter("date", Date, &["recorded"]),
    parameter("action", Token, &["action"]),
    parameter("subtype", Token, &["subtype"]),
    parameter("agent-name", Text, &["agent.name"]),
];

const EPISODE: &[Parameter] = &[
    parameter("patient", Reference, &["patient"]),
    parameter("status", Token, &["status"]),
    parameter("date", Date, &["period"]),
    parameter("organization", Reference, &["managingOrganization"]),
];
const SUBSCRIPTION: &[Parameter] = &[
    parameter("status", Token, &["status"]),
    parameter("criteria", Text, &["criteria"]),
    parameter("type", Token, &["channel.type"]),
    parameter("url", Token, &["channel.endpoint"]),
];
const PROVENANCE: &[Parameter] = &[parameter("patient", Reference, &["target"]), parameter("target", Reference, &["target"]), parameter("recorded", Date, &["recorded"])];

/// The parameters that say whose something is.
pub(super) const WHOSE: [&str; 3] = ["patient", "subject", "beneficiary"];

/// The parameters of a kind, besides `_id` and `_lastUpdated`.
pub(super) fn parameters(kind: Kind) -> &'static [Parameter] {
    match kind {
        Kind::Patient => PATIENT,
        Kind::RelatedPerson => RELATED,
        Kind::Practitioner => PRACTITIONER,
        Kind::PractitionerRole => ROLE,
        Kind::Organization => ORGANIZATION,
        Kind::Location => LOCATION,
        Kind::Encounter => ENCOUNTER,
        Kind::AllergyIntolerance => ALLERGY,
        Kind::Condition => CONDITION,
        Kind::Observation => OBSERVATION,
        Kind::Coverage => COVERAGE,
        Kind::Device => DEVICE,
        Kind::Schedule => SCHEDULE,
        Kind::Slot => SLOT,
        Kind::Appointment => APPOINTMENT,
        Kind::AuditEvent => AUDIT,
        Kind::EpisodeOfCare => EPISODE,
        Kind::Provenance => PROVENANCE,
        Kind::Subscription => SUBSCRIPTION,
    }
}

/// All parameters of a kind; when something was changed last is known of what has versions.
fn all(kind: Kind) -> impl Iterator<Item = &'static Parameter> {
    let has_meta = kind.has_versions() || kind == Kind::Observation;
    [&ID].into_iter().chain(has_meta.then_some(&UPDATED)).chain(parameters(kind))
}

fn find(kind: Kind, name: &str) -> Option<&'static Parameter> {
    all(kind).find(|known| known.name == name)
}

/// One condition: any of the values.
struct Condition {
    parameter: &'static Parameter,
    modifier: Modifier,
    values: Vec<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Modifier {
    None,
    Exact,
    Contains,
    Not,
    /// Whether there is any value at all; the condition's value says which.
    Missing,
}

/// A search as it was asked.
pub(super) struct Asked {
    conditions: Vec<Condition>,
    /// `Type:parameter`, resolved: the references of these are in the answer too.
    pub(super) include: Vec<&'static Parameter>,
    pub(super) count: usize,
    pub(super) offset: usize,
    /// The parameter to sort by, and whether the newest or last comes first.
    sort: Option<(&'static Parameter, bool)>,
    /// What was asked, for links to this page and the next.
    pairs: Vec<(String, String)>,
}

fn wrong(place: &str, text: String) -> Problem {
    Problem::bad(text).at(&format!("http.{place}"))
}

impl Asked {
    /// Reads the pairs of a query. What is not known is refused and not passed over: an ignored filter shows what nobody asked for.
    pub(super) fn read(kind: Kind, pairs: Vec<(String, String)>) -> Result<Self, Problem> {
        let mut asked = Asked { conditions: Vec::new(), include: Vec::new(), count: COUNT, offset: 0, sort: None, pairs: Vec::new() };
        for (key, value) in &pairs {
            let number = || value.parse::<usize>().map_err(|_| wrong(key, format!("{key} is a number, not {value:?}")));
            match key.as_str() {
                "_count" => asked.count = number()?.clamp(1, COUNT_MAX),
                "_offset" => asked.offset = number()?,
                "_format" if value.contains("json") => {}
                "_include" => asked.include.push(included(kind, value)?),
                "_sort" => {
                    let name = value.trim_start_matches('-');
                    let known = || wrong(key, format!("{} cannot be sorted by {name:?}", kind.name()));
                    asked.sort = Some((find(kind, name).filter(|parameter| parameter.compare != Reference).ok_or_else(known)?, value.starts_with('-')));
                }
                _ => asked.conditions.push(condition(kind, key, value)?),
            }
        }
        asked.pairs = pairs.into_iter().filter(|(key, _)| key != "_offset").collect();
        Ok(asked)
    }

    /// The first value of a parameter without a modifier.
    pub(super) fn value(&self, name: &str) -> Option<&str> {
        let found = self.conditions.iter().find(|condition| condition.parameter.name == name && condition.modifier == Modifier::None);
        found.and_then(|condition| condition.values.first()).map(String::as_str)
    }

    /// All values of a parameter without a modifier.
    pub(super) fn all(&self, name: &str) -> impl Iterator<Item = &str> {
        let found = self.conditions.iter().filter(move |condition| condition.parameter.name == name && condition.modifier == Modifier::None);
        found.flat_map(|condition| condition.values.iter().map(String::as_str))
    }

    /// Whether a resource fits all conditions but whose it is: that has chosen the candidates, under all numbers of the person.
    pub(super) fn fits(&self, resource: &Value) -> bool {
        let is_chosen = |condition: &&Condition| condition.modifier == Modifier::None && WHOSE.contains(&condition.parameter.name);
        self.conditions.iter().filter(|condition| !is_chosen(condition)).all(|condition| condition.holds(resource))
    }

    /// Puts resources into their order.
    pub(super) fn sort(&self, resources: &mut [Value]) {
        let Some((parameter, is_last_first)) = self.sort else { return };
        let key = |resource: &Value| {
            let found = values(resource, parameter).into_iter().next();
            found.map(|value| value.get("start").unwrap_or(value).as_str().map_or_else(|| value.to_string(), str::to_owned)).unwrap_or_default()
        };
        resources.sort_by_key(key);
        if is_last_first {
            resources.reverse();
        }
    }

    /// The query of a page.
    pub(super) fn query(&self, offset: usize) -> String {
        let mut text = String::new();
        let offset = (offset > 0).then(|| ("_offset".to_owned(), offset.to_string()));
        for (key, value) in self.pairs.iter().chain(&offset) {
            text.push(if text.is_empty() { '?' } else { '&' });
            text += &format!("{}={}", encode(key), encode(value));
        }
        text
    }
}

fn encode(text: &str) -> String {
    text.bytes().map(|byte| if byte.is_ascii_alphanumeric() || b"-_.~,:|$".contains(&byte) { char::from(byte).to_string() } else { format!("%{byte:02X}") }).collect()
}

fn included(kind: Kind, value: &str) -> Result<&'static Parameter, Problem> {
    let mut parts = value.split(':');
    let (of, name) = (parts.next().unwrap_or_default(), parts.next().unwrap_or_default());
    let found = find(kind, name).filter(|parameter| of == kind.name() && parameter.compare == Reference);
    found.ok_or_else(|| wrong("_include", format!("_include {value:?}: it is {}:parameter with a parameter that refers to something", kind.name())))
}

fn condition(kind: Kind, key: &str, value: &str) -> Result<Condition, Problem> {
    let (name, modifier) = key.split_once(':').map_or((key, None), |(name, modifier)| (name, Some(modifier)));
    let known = || all(kind).map(|known| known.name).collect::<Vec<_>>().join(", ");
    let parameter = find(kind, name).ok_or_else(|| wrong(name, format!("{} has no search parameter {name:?} here (known: {})", kind.name(), known())))?;
    let modifier = match (modifier, parameter.compare) {
        (None, _) => Modifier::None,
        (Some("exact"), Text) => Modifier::Exact,
        (Some("contains"), Text) => Modifier::Contains,
        (Some("not"), Token) => Modifier::Not,
        (Some("missing"), _) if matches!(value, "true" | "false") => Modifier::Missing,
        // `subject:Patient=7` says of what kind the id is; here it is that kind always.
        (Some("Patient"), Reference) => Modifier::None,
        (Some(other), _) => return Err(wrong(name, format!("{name} has no modifier {other:?} here"))),
    };
    let values: Vec<String> = value.split(',').filter(|value| !value.is_empty()).map(str::to_owned).collect();
    if values.is_empty() {
        return Err(wrong(name, format!("{name} has no value")));
    }
    if parameter.compare == Date && modifier == Modifier::None {
        let is_date = |value: &String| range(split_prefix(value).1).is_some();
        if let Some(bad) = values.iter().find(|value| !is_date(value)) {
            return Err(wrong(name, format!("{name}: {bad:?} is no date: write 2026, 2026-11, 2026-11-21 or 2026-11-21T12:00:00Z, with eq, ne, lt, gt, le or ge in front")));
        }
    }
    Ok(Condition { parameter, modifier, values })
}

/// All values of a resource at a path of fields; lists are walked through.
fn at<'a>(value: &'a Value, path: &str, found: &mut Vec<&'a Value>) {
    match value {
        Value::Array(all) => all.iter().for_each(|one| at(one, path, found)),
        _ if path.is_empty() => found.push(value),
        Value::Object(map) => {
            let (first, rest) = path.split_once('.').unwrap_or((path, ""));
            map.get(first).into_iter().for_each(|inner| at(inner, rest, found));
        }
        _ => {}
    }
}

/// The values that a parameter looks at.
pub(super) fn values<'a>(resource: &'a Value, parameter: &Parameter) -> Vec<&'a Value> {
    let mut found = Vec::new();
    parameter.paths.iter().for_each(|path| at(resource, path, &mut found));
    found
}

impl Condition {
    fn holds(&self, resource: &Value) -> bool {
        let found = values(resource, self.parameter);
        let any = || found.iter().any(|value| self.values.iter().any(|wanted| self.one(value, wanted)));
        match self.modifier {
            Modifier::Missing => (self.values[0] == "true") == found.is_empty(),
            Modifier::Not => !any(),
            Modifier::None | Modifier::Exact | Modifier::Contains => any(),
        }
    }

    fn one(&self, value: &Value, wanted: &str) -> bool {
        match self.parameter.compare {
            Token => token(value, wanted),
            Text => value.as_str().is_some_and(|text| {
                let (text_folded, wanted_folded) = (fold(text), fold(wanted));
                match self.modifier {
                    Modifier::Exact => text == wanted,
                    Modifier::Contains => text_folded.contains(&wanted_folded),
                    _ => text_folded.starts_with(&wanted_folded),
                }
            }),
            Date => date(value, wanted),
            Reference => {
                value.get("reference").and_then(Value::as_str).is_some_and(|reference| reference == wanted || reference.split_once('/').is_some_and(|(_, id)| id == wanted))
            }
        }
    }
}

/// `code`, `system|code`, `|code` or `system|`, in a code, a Coding, a CodeableConcept, an Identifier or a boolean.
fn token(value: &Value, wanted: &str) -> bool {
    let (system, code) = wanted.split_once('|').map_or((None, wanted), |(system, code)| (Some(system), code));
    let is_code = |found: Option<&Value>| found.and_then(Value::as_str).is_some_and(|found| code.is_empty() || found == code);
    let is_system = |coded: &Value| match (system, coded.get("system").and_then(Value::as_str)) {
        (None, _) => true,
        (Some(""), found) => found.is_none(),
        (Some(system), found) => found == Some(system),
    };
    match value {
        Value::Bool(flag) => flag.to_string() == code,
        Value::String(text) => text == code || text.chars().filter(char::is_ascii_digit).eq(code.chars()) && !code.is_empty(),
        Value::Object(map) => match map.get("coding").and_then(Value::as_array) {
            Some(codings) => codings.iter().any(|coding| is_system(coding) && is_code(coding.get("code"))) || (system.is_none() && is_code(map.get("text"))),
            None => is_system(value) && (is_code(map.get("code")) || is_code(map.get("value"))),
        },
        _ => false,
    }
}

fn split_prefix(text: &str) -> (&str, &str) {
    match text.split_at_checked(2) {
        Some((prefix, rest)) if ["eq", "ne", "lt", "gt", "le", "ge", "sa", "eb"].contains(&prefix) => (prefix, rest),
        _ => ("eq", text),
    }
}

/// The range of time that a text stands for, its end not included: a year, a month, a day, or an instant in any zone.
fn range(text: &str) -> Option<(Timestamp, Timestamp)> {
    let day = |text: &str| text.parse::<Day>().ok().and_then(|date| format!("{date}T00:00:00Z").parse::<Timestamp>().ok());
    match text.len() {
        4 => Some((day(&format!("{text}-01-01"))?, day(&format!("{:04}-01-01", text.parse::<i32>().ok()? + 1))?)),
        7 => {
            let (year, month) = text.split_once('-')?;
            let (year, month): (i32, i32) = (year.parse().ok()?, month.parse().ok()?);
            let (next_year, next_month) = if month == 12 { (year + 1, 1) } else { (year, month + 1) };
            Some((day(&format!("{text}-01"))?, day(&format!("{next_year:04}-{next_month:02}-01"))?))
        }
        10 => day(text).map(|start| (start, start.plus_seconds(DAY_SECONDS))),
        _ => {
            let start: Timestamp = text.parse().ok()?;
            // What is written in whole seconds means the second.
            let is_whole = !text.contains('.');
            Some((start, if is_whole { start.plus_seconds(1) } else { Timestamp::from_micros(start.micros() + 1) }))
        }
    }
}

/// Compares ranges (FHIR R4, 3.1.1.5.4): `eq` when the wanted one holds the whole other.
fn date(value: &Value, wanted: &str) -> bool {
    let (prefix, wanted) = split_prefix(wanted);
    let text = |name: &str| value.get(name).and_then(Value::as_str).and_then(range);
    let found = match value {
        Value::String(text) => range(text),
        // A period without an end goes on.
        other => text("start").map(|(start, _)| (start, other.get("end").and_then(Value::as_str).and_then(range).map_or(Timestamp::from_micros(i64::MAX), |(_, end)| end))),
    };
    let (Some((start, end)), Some((from, until))) = (found, range(wanted)) else { return false };
    match prefix {
        "ne" => !(from <= start && end <= until),
        "lt" => start < from,
        "le" => start < until,
        "gt" => end > until,
        "ge" => end > from,
        "sa" => start >= until,
        "eb" => end <= from,
        _ => from <= start && end <= until,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn fits(kind: Kind, query: &[(&str, &str)], resource: &Value) -> Result<bool, String> {
        let pairs = query.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
        Asked::read(kind, pairs).map(|asked| asked.fits(resource)).map_err(|problem| problem.detail)
    }

    #[test]
    fn parameters_of_each_kind() {
        let patient = json!({ "resourceType": "Patient", "id": "77", "identifier": [{ "system": "urn:a", "value": "77" }], "gender": "female", "birthDate": "1980-01-02", "active": true,
            "name": [{ "family": "Doe", "given": ["Jane", "Q"] }], "telecom": [{ "value": "+1 555 1234" }] });
        for (query, expected) in [
            (&[("name", "do")][..], true),
            (&[("name", "q")], true),
            (&[("family", "jane")], false),
            (&[("given:exact", "Jane")], true),
            (&[("given:exact", "jane")], false),
            (&[("family:contains", "OE")], true),
            (&[("family", "roe,doe")], true),
            (&[("family", "doe"), ("given", "john")], false),
            (&[("identifier", "77")], true),
            (&[("identifier", "urn:a|77")], true),
            (&[("identifier", "urn:b|77")], false),
            (&[("identifier", "urn:a|")], true),
            (&[("identifier", "|77")], false),
            (&[("birthdate", "1980")], true),
            (&[("birthdate", "1980-01")], true),
            (&[("birthdate", "1980-01-03")], false),
            (&[("birthdate", "lt1980-01-03")], true),
            (&[("birthdate", "ge1980-01-03")], false),
            (&[("birthdate", "gt1979")], true),
            (&[("birthdate", "gt1980")], false),
            (&[("birthdate", "1980-12")], false),
            (&[("birthdate", "le1980-01")], true),
            (&[("birthdate", "ne1980-01-02")], false),
            (&[("gender", "female")], true),
            (&[("gender:not", "female")], false),
            (&[("active", "true")], true),
            (&[("phone", "15551234")], true),
            (&[("_id", "77,78")], true),
            (&[("telecom:missing", "true")], false),
            (&[("link:missing", "true")], true),
        ] {
            assert_eq!(fits(Kind::Patient, query, &patient), Ok(expected), "{query:?}");
        }
        let stay = json!({ "subject": { "reference": "Patient/77" }, "class": { "system": "urn:c", "code": "IMP" }, "period": { "start": "2026-11-21T12:00:00.000000Z" } });
        for (query, expected) in [
            (("class", "IMP"), true),
            (("date", "2026-11-22"), false),
            (("date", "ge2026-11-22"), true),
            (("date", "gt2026-11-21T13:00:00+01:00"), true),
            (("date", "lt2026-11-21"), false),
            (("date", "ge2030"), true),
            (("date", "eb2030"), false),
            (("date", "sa2026-11-20"), true),
            (("date", "sa2026-11-21T13:30:00+01:00"), false),
            (("date", "sa2026-11-21T12:30:00+01:00"), true),
            (("date", "2026-11-20"), false),
        ] {
            assert_eq!(fits(Kind::Encounter, &[query], &stay), Ok(expected), "{query:?}");
        }
        let seen = json!({ "code": { "coding": [{ "system": "http://loinc.org", "code": "8867-4" }], "text": "Heart rate" } });
        for (code, expected) in [("8867-4", true), ("http://loinc.org|8867-4", true), ("http://snomed.info/sct|8867-4", false), ("Heart rate", true)] {
            assert_eq!(fits(Kind::Observation, &[("code", code)], &seen), Ok(expected), "{code}");
        }
    }

    #[test]
    fn what_is_not_known_is_refused_by_name() {
        let nobody = json!({});
        for (query, part) in [
            (("nmae", "doe"), "no search parameter \"nmae\" here (known: _id"),
            (("birthdate", "yesterday"), "is no date"),
            (("name:phonetic", "doe"), "no modifier"),
            (("name", ","), "has no value"),
            (("_count", "many"), "is a number"),
            (("_include", "Patient:name"), "refers to something"),
            (("_sort", "shoe"), "cannot be sorted"),
            (("_format", "xml"), "no search parameter"),
        ] {
            let error = fits(Kind::Patient, &[query], &nobody).unwrap_err();
            assert!(error.contains(part), "{error}");
        }
    }
}
