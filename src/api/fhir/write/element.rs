//! Reading a resource that was sent: each element by its name, errors with the path, and nothing that would be lost in silence.

use std::cell::RefCell;
use std::collections::BTreeSet;

use axum::http::StatusCode;
use serde_json::{Map, Value};

use crate::api::problem::Problem;
use crate::kernel::{Date, Invalid, Timestamp};

/// What says nothing of its own: the server's part, and texts that repeat what is coded.
const PASSED: [&str; 7] = ["resourceType", "id", "meta", "text", "language", "display", "userSelected"];

/// An object in a resource.
pub(super) struct Element<'v> {
    map: &'v Map<String, Value>,
    path: String,
    /// Whether what is not kept here may be left out (`Prefer: handling=lenient`).
    is_lenient: bool,
    asked: RefCell<BTreeSet<String>>,
}

impl<'v> Element<'v> {
    /// Whether what is not kept here may be left out.
    pub(super) fn is_lenient(&self) -> bool {
        self.is_lenient
    }

    /// A whole resource.
    pub(super) fn resource(value: &'v Value, is_lenient: bool) -> Result<Self, Problem> {
        let kind = value.get("resourceType").and_then(Value::as_str).unwrap_or_default().to_owned();
        Self::of(value, kind, is_lenient)
    }

    fn of(value: &'v Value, path: String, is_lenient: bool) -> Result<Self, Problem> {
        match value.as_object() {
            Some(map) => Ok(Self { map, path, is_lenient, asked: RefCell::default() }),
            None => Err(wrong(&path, format!("{path} is an object"))),
        }
    }

    /// A problem with one of its elements.
    pub(super) fn wrong(&self, name: &str, text: impl std::fmt::Display) -> Problem {
        let place = self.place(name);
        wrong(&place, format!("{place}: {text}"))
    }

    fn place(&self, name: &str) -> String {
        if name.is_empty() { self.path.clone() } else { format!("{}.{name}", self.path) }
    }

    pub(super) fn get(&self, name: &str) -> Option<&'v Value> {
        self.asked.borrow_mut().insert(name.to_owned());
        self.map.get(name).filter(|value| !value.is_null())
    }

    pub(super) fn text(&self, name: &str) -> Result<Option<&'v str>, Problem> {
        match self.get(name) {
            None => Ok(None),
            Some(Value::String(text)) if !text.trim().is_empty() => Ok(Some(text.trim())),
            Some(_) => Err(self.wrong(name, "a text that is not empty is needed")),
        }
    }

    pub(super) fn needed(&self, name: &str) -> Result<&'v str, Problem> {
        self.text(name)?.ok_or_else(|| self.wrong(name, "is missing"))
    }

    pub(super) fn flag(&self, name: &str) -> Result<Option<bool>, Problem> {
        match self.get(name) {
            None => Ok(None),
            Some(Value::Bool(flag)) => Ok(Some(*flag)),
            Some(_) => Err(self.wrong(name, "true or false is needed")),
        }
    }

    pub(super) fn object(&self, name: &str) -> Result<Option<Element<'v>>, Problem> {
        self.get(name).map(|value| Self::of(value, self.place(name), self.is_lenient)).transpose()
    }

    pub(super) fn objects(&self, name: &str) -> Result<Vec<Element<'v>>, Problem> {
        match self.get(name) {
            None => Ok(Vec::new()),
            Some(Value::Array(all)) => all.iter().enumerate().map(|(at, value)| Self::of(value, format!("{}[{at}]", self.place(name)), self.is_lenient)).collect(),
            Some(_) => Err(self.wrong(name, "a list is needed")),
        }
    }

    /// The only one of a list; several would have to be told apart.
    pub(super) fn only(&self, name: &str) -> Result<Option<Element<'v>>, Problem> {
        let mut all = self.objects(name)?;
        if all.len() > 1 && !self.is_lenient {
            return Err(self.wrong(name, "one at most is kept here: leave the others out, or send Prefer: handling=lenient and they are"));
        }
        Ok(if all.is_empty() { None } else { Some(all.swap_remove(0)) })
    }

    pub(super) fn texts(&self, name: &str) -> Result<Vec<&'v str>, Problem> {
        let one = |value: &'v Value| value.as_str().filter(|text| !text.trim().is_empty()).ok_or_else(|| self.wrong(name, "a list of texts is needed"));
        match self.get(name) {
            None => Ok(Vec::new()),
            Some(Value::Array(all)) => all.iter().map(one).collect(),
            Some(_) => Err(self.wrong(name, "a list of texts is needed")),
        }
    }

    /// A whole date; a part of one is not kept.
    pub(super) fn date(&self, name: &str) -> Result<Option<Date>, Problem> {
        let read = |text: &str| text.get(..10).unwrap_or(text).parse().map_err(|_| self.wrong(name, format!("{text:?} is no whole date (YYYY-MM-DD)")));
        self.text(name)?.map(read).transpose()
    }

    /// An instant with its zone.
    pub(super) fn instant(&self, name: &str) -> Result<Option<Timestamp>, Problem> {
        self.text(name)?.map(|text| text.parse().map_err(|error: Invalid| self.wrong(name, error))).transpose()
    }

    /// A text as one of our identities.
    pub(super) fn parsed<T: std::str::FromStr<Err = Invalid>>(&self, name: &str, text: &str) -> Result<T, Problem> {
        text.parse().map_err(|error: Invalid| self.wrong(name, error))
    }

    /// The id in a reference to a resource of a kind.
    pub(super) fn reference(&self, name: &str, kind: &str) -> Result<Option<&'v str>, Problem> {
        let Some(element) = self.object(name)? else { return Ok(None) };
        let text = element.needed("reference")?;
        element.passed(&["type", "identifier"]);
        element.end()?;
        let id = text.strip_prefix("/fhir/R4/").unwrap_or(text).strip_prefix(kind).and_then(|rest| rest.strip_prefix('/'));
        id.filter(|id| !id.is_empty()).map(Some).ok_or_else(|| self.wrong(name, format!("{text:?} leads to no {kind} of this house: write {kind}/id")))
    }

    /// The code of a status in the system that it must be of. A status in another one would be lost, and what is not said means the
    /// opposite: so it is refused, also when what is not kept may be left out.
    pub(super) fn status(&self, name: &str, system: &str) -> Result<Option<&'v str>, Problem> {
        if self.get(name).is_none() {
            return Ok(None);
        }
        let found = self.code(name, system)?;
        found.map(Some).ok_or_else(|| self.wrong(name, format!("a code of {system} is needed here")))
    }

    /// The code of a CodeableConcept in a system.
    pub(super) fn code(&self, name: &str, system: &str) -> Result<Option<&'v str>, Problem> {
        let Some(concept) = self.object(name)? else { return Ok(None) };
        concept.coded(system)
    }

    /// The same of a CodeableConcept.
    pub(super) fn coded(&self, system: &str) -> Result<Option<&'v str>, Problem> {
        let mut found = None;
        for coding in self.objects("coding")? {
            let (of, code) = (coding.text("system")?, coding.text("code")?);
            coding.passed(&["version"]);
            coding.end()?;
            if of == Some(system) {
                found = code;
            }
        }
        self.end()?;
        Ok(found)
    }

    /// The words of a CodeableConcept: its text, or what one of its codings calls itself. A bare code says nothing to a person.
    pub(super) fn words(&self, name: &str) -> Result<Option<&'v str>, Problem> {
        let Some(concept) = self.object(name)? else { return Ok(None) };
        concept.named()
    }

    /// The same of a CodeableConcept itself.
    pub(super) fn named(&self) -> Result<Option<&'v str>, Problem> {
        let mut found = self.text("text")?;
        for coding in self.objects("coding")? {
            found = found.or(coding.text("display")?);
            coding.passed(&["system", "version", "code", "display"]);
            coding.end()?;
        }
        self.end()?;
        Ok(found)
    }

    /// The same, or its first code when nobody has given it words.
    pub(super) fn spoken(&self) -> Result<Option<&'v str>, Problem> {
        let mut code = None;
        for coding in self.objects("coding")? {
            code = code.or(coding.text("code")?);
        }
        Ok(self.named()?.or(code))
    }

    /// These say nothing that is not known here in another way.
    pub(super) fn passed(&self, names: &[&str]) {
        self.asked.borrow_mut().extend(names.iter().map(|name| (*name).to_owned()));
    }

    /// Whatever nobody asked for is not kept here: that is said, unless the client allows that it is left out. What changes the meaning of
    /// the others is never left out.
    pub(super) fn end(&self) -> Result<(), Problem> {
        let asked = self.asked.borrow();
        let unknown = self.map.keys().find(|name| {
            !asked.contains(*name) && !PASSED.contains(&name.trim_start_matches('_')) && (!self.is_lenient || name.contains("odifierExtension") || *name == "implicitRules")
        });
        match unknown {
            None => Ok(()),
            Some(name) => Err(self.wrong(name, "is not kept here: leave it out, or send Prefer: handling=lenient and it is left out")),
        }
    }
}

fn wrong(place: &str, text: String) -> Problem {
    Problem::new(StatusCode::UNPROCESSABLE_ENTITY, "invalid", text).at(place)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn detail(result: Result<(), Problem>) -> String {
        result.map_or_else(|problem| format!("{} at {}", problem.detail, problem.place.unwrap_or_default()), |()| "fine".to_owned())
    }

    #[test]
    fn what_is_not_kept_is_said_with_its_place() {
        let value = json!({ "resourceType": "Patient", "id": "7", "name": [{ "family": "Doe", "prefix": ["Dr"] }], "photo": [{}] });
        let read = |is_lenient| {
            let patient = Element::resource(&value, is_lenient)?;
            let name = patient.only("name")?.unwrap();
            assert_eq!(name.text("family")?, Some("Doe"));
            name.end()?;
            patient.end()
        };
        assert!(detail(read(false)).contains("Patient.name[0].prefix: is not kept here"), "{}", detail(read(false)));
        assert!(detail(read(false)).ends_with("at Patient.name[0].prefix"));
        assert_eq!(detail(read(true)), "fine");
        let value = json!({ "resourceType": "Patient", "modifierExtension": [{}] });
        assert!(detail(Element::resource(&value, true).and_then(|patient| patient.end())).contains("modifierExtension"));
    }

    #[test]
    fn references_codes_and_dates_are_read_or_named() {
        let value = json!({
            "resourceType": "Condition", "subject": { "reference": "Patient/77" }, "other": { "reference": "Group/7" }, "onsetDateTime": "2026-01", "at": "2026-01-02T10:00:00+01:00",
            "code": { "coding": [{ "system": "a", "code": "1", "display": "one" }, { "system": "b", "code": "2" }] },
        });
        let condition = Element::resource(&value, false).ok().unwrap();
        assert_eq!(condition.reference("subject", "Patient").ok().flatten(), Some("77"));
        assert!(condition.reference("other", "Patient").is_err());
        assert_eq!(condition.code("code", "b").ok().flatten(), Some("2"));
        assert_eq!(condition.code("code", "c").ok().flatten(), None);
        assert_eq!(condition.words("code").ok().flatten(), Some("one"));
        assert_eq!(condition.status("code", "b").ok().flatten(), Some("2"));
        assert!(condition.status("code", "c").is_err(), "a status in a system that is not known here is not taken for none");
        assert_eq!(condition.status("nothing", "c").ok().flatten(), None);
        assert!(condition.date("onsetDateTime").is_err());
        assert_eq!(condition.instant("at").ok().flatten().unwrap().to_string(), "2026-01-02T09:00:00.000000Z");
    }
}
