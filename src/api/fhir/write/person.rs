//! Patient, RelatedPerson and Coverage as they are sent: what a registration knows of a person.

use serde_json::Value;

use super::element::Element;
use crate::api::problem::Problem;
use crate::domain::patient::{Address, Contact, Coverage, Identifier, Name, Person, Sex};
use crate::kernel::Mrn;

/// The kinds of identifiers (HL7 table 0203).
const KINDS: &str = "http://terminology.hl7.org/CodeSystem/v2-0203";
const LANGUAGES: &str = "urn:ietf:bcp:47";

/// A patient: the record number that is named, who it is, and whether they are said to be dead.
pub(super) struct Sent {
    pub(super) mrn: Option<Mrn>,
    pub(super) person: Person,
    pub(super) is_dead: bool,
}

/// Reads a Patient; `system` is that of our record numbers.
pub(super) fn patient(value: &Value, system: &str, is_lenient: bool) -> Result<Sent, Problem> {
    let sent = Element::resource(value, is_lenient)?;
    let (mrn, identifiers) = identifiers(&sent, system)?;
    let (name, is_temporary) = match sent.only("name")? {
        Some(name) => self::name(&name)?,
        None => (Name::default(), false),
    };
    let sex = match sent.text("gender")? {
        Some("female") => Sex::Female,
        Some("male") => Sex::Male,
        Some("other") => Sex::Other,
        Some("unknown") | None => Sex::Unknown,
        Some(other) => return Err(sent.wrong("gender", format!("{other:?} is none of female, male, other, unknown"))),
    };
    let is_dead = sent.flag("deceasedBoolean")?.unwrap_or(false) || sent.instant("deceasedDateTime")?.is_some();
    if sent.flag("active")? == Some(false) {
        return Err(sent.wrong("active", "a registration is not put out of use: merge it into the one to use (POST /api/v1/patients/{mrn}/merge)"));
    }
    let person = Person {
        name,
        birth_date: sent.date("birthDate")?,
        sex,
        phones: phones(&sent)?,
        address: sent.only("address")?.map(|home| address(&home)).transpose()?,
        language: sent.only("communication")?.map(|spoken| language(&spoken)).transpose()?.flatten(),
        identifiers,
        contacts: sent.objects("contact")?.iter().map(contact).collect::<Result<_, _>>()?,
        is_temporary,
        ..Person::default()
    };
    for photo in sent.objects("photo")? {
        // As it was given out; a new one is sent where photos are kept.
        if photo.get("data").is_some() || !photo.text("url")?.is_some_and(|url| url.starts_with("/api/v1/patients/")) {
            return Err(photo.wrong("data", "photos are sent by POST /api/v1/patients/{mrn}/photo"));
        }
        photo.passed(&["creation", "contentType"]);
        photo.end()?;
    }
    // Who merged and who manages is the house's to say; it is held against what is known by the caller.
    sent.passed(&["link", "managingOrganization"]);
    sent.end()?;
    Ok(Sent { mrn, person, is_dead })
}

fn identifiers(sent: &Element<'_>, system: &str) -> Result<(Option<Mrn>, Vec<Identifier>), Problem> {
    let (mut mrn, mut others) = (None, Vec::new());
    for known in sent.objects("identifier")? {
        let (value, of) = (known.needed("value")?, known.text("system")?);
        let kind = known.code("type", KINDS)?;
        known.passed(&["use"]);
        let assigner = known.object("assigner")?.map(|assigner| assigner.text("display").map(|text| text.unwrap_or_default().to_owned())).transpose()?;
        known.end()?;
        if of == Some(system) {
            mrn = Some(known.parsed("value", value)?);
            continue;
        }
        let kind = kind.unwrap_or("XX").to_owned();
        let issuer = of.map(str::to_owned).or(assigner).unwrap_or_default();
        others.push(Identifier { kind, value: value.to_owned(), issuer });
    }
    Ok((mrn, others))
}

fn name(sent: &Element<'_>) -> Result<(Name, bool), Problem> {
    let family = sent.text("family")?.unwrap_or_default().to_owned();
    let given: Vec<String> = sent.texts("given")?.into_iter().map(str::to_owned).collect();
    let is_temporary = sent.text("use")? == Some("temp");
    sent.end()?;
    if family.is_empty() && given.is_empty() {
        return Err(sent.wrong("family", "is missing: a name as text alone cannot be searched"));
    }
    Ok((Name { family, given }, is_temporary))
}

fn phones(sent: &Element<'_>) -> Result<Vec<String>, Problem> {
    let mut found = Vec::new();
    for way in sent.objects("telecom")? {
        let value = way.needed("value")?;
        match way.text("system")? {
            Some("phone" | "sms") => found.push(value.to_owned()),
            _ if way.is_lenient() => {}
            _ => return Err(way.wrong("system", "only phone numbers are kept here: leave the others out, or send Prefer: handling=lenient and they are")),
        }
        way.passed(&["use", "rank"]);
        way.end()?;
    }
    Ok(found)
}

fn address(home: &Element<'_>) -> Result<Address, Problem> {
    let text = |name: &str| home.text(name).map(|text| text.unwrap_or_default().to_owned());
    let found = Address { line: home.texts("line")?.join(", "), city: text("city")?, state: text("state")?, postal_code: text("postalCode")?, country: text("country")? };
    home.passed(&["use", "type"]);
    home.end()?;
    Ok(found)
}

fn language(spoken: &Element<'_>) -> Result<Option<String>, Problem> {
    let code = spoken.code("language", LANGUAGES)?.map(str::to_owned);
    spoken.passed(&["preferred"]);
    spoken.end()?;
    Ok(code)
}

/// Whom to call: a Patient's contact, or a RelatedPerson.
fn contact(sent: &Element<'_>) -> Result<Contact, Problem> {
    let relationship = sent.only("relationship")?.map(|is| is.spoken()).transpose()?.flatten().unwrap_or_default().to_owned();
    let name = match sent.object("name")? {
        Some(name) => self::name(&name)?.0,
        None => Name::default(),
    };
    let phone = phones(sent)?.into_iter().next().unwrap_or_default();
    sent.end()?;
    Ok(Contact { name, relationship, phone })
}

/// Reads a RelatedPerson: the patient's id and whom to call.
pub(super) fn related(value: &Value, is_lenient: bool) -> Result<(String, Contact), Problem> {
    let sent = Element::resource(value, is_lenient)?;
    let patient = sent.reference("patient", "Patient")?.ok_or_else(|| sent.wrong("patient", "is missing"))?.to_owned();
    let name = sent.only("name")?.ok_or_else(|| sent.wrong("name", "is missing"))?;
    let relationship = sent.only("relationship")?.map(|is| is.spoken()).transpose()?.flatten().unwrap_or_default().to_owned();
    let found = Contact { name: self::name(&name)?.0, relationship, phone: phones(&sent)?.into_iter().next().unwrap_or_default() };
    sent.passed(&["active"]);
    sent.end()?;
    Ok((patient, found))
}

/// Reads a Coverage: the patient's id and who pays.
pub(super) fn coverage(value: &Value, is_lenient: bool) -> Result<(String, Coverage), Problem> {
    let sent = Element::resource(value, is_lenient)?;
    let patient = sent.reference("beneficiary", "Patient")?.ok_or_else(|| sent.wrong("beneficiary", "is missing"))?.to_owned();
    if let Some(status) = sent.text("status")?.filter(|status| *status != "active") {
        return Err(sent.wrong("status", format!("{status:?}: only coverages that hold are kept; say until when by period.end")));
    }
    let payor = sent.only("payor")?.ok_or_else(|| sent.wrong("payor", "is missing"))?;
    let payer = payor.text("display")?.ok_or_else(|| payor.wrong("display", "is missing: the insurer's name"))?.to_owned();
    payor.end()?;
    let member = sent.text("subscriberId")?.ok_or_else(|| sent.wrong("subscriberId", "is missing: the member's number"))?.to_owned();
    let (mut from, mut until) = (None, None);
    if let Some(period) = sent.object("period")? {
        (from, until) = (period.date("start")?, period.date("end")?);
        period.end()?;
    }
    let mut plan = String::new();
    if let Some(class) = sent.only("class")? {
        plan = class.needed("value")?.to_owned();
        class.passed(&["type", "name"]);
        class.end()?;
    }
    sent.passed(&["order"]);
    sent.end()?;
    Ok((patient, Coverage { payer, plan, member, from, until }))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::api::fhir::resources::{House, coverages, patient as resource, related as people};
    use crate::domain::patient::Patient;

    fn house() -> House {
        House { name: "H".to_owned(), facility: "H".to_owned() }
    }

    /// What is given out can be sent back and means the same.
    #[test]
    fn what_leaves_can_come_back() {
        let person: Person = serde_json::from_value(json!({
            "name": { "family": "Doe", "given": ["Jane", "Q"] }, "birth_date": "1980-01-02", "sex": "female", "phones": ["1", "2"],
            "address": { "line": "1 Main", "city": "Town", "state": "S", "postal_code": "1", "country": "AT" }, "language": "de",
            "identifiers": [{ "kind": "NI", "value": "N9", "issuer": "urn:oid:1.2" }, { "kind": "DL", "value": "D1", "issuer": "GOV" }],
            "contacts": [{ "name": { "family": "Kin", "given": [] }, "relationship": "mother", "phone": "7" }],
            "coverages": [{ "payer": "ACME", "plan": "Gold", "member": "M1", "from": "2026-01-01" }],
        }))
        .unwrap();
        let record = Patient { person: Some(person.clone()), ..Patient::default() };
        let mrn: Mrn = "77".parse().unwrap();
        let sent = patient(&resource(&house(), &mrn, &record, None), &house().system("mrn"), false).ok().unwrap();
        assert_eq!(sent.mrn, Some(mrn.clone()));
        assert_eq!(Person { coverages: person.coverages.clone(), ..sent.person }, person);
        assert_eq!(coverage(&coverages(&mrn, &record)[0], false).ok().unwrap(), ("77".to_owned(), person.coverages[0].clone()));
        assert_eq!(related(&people(&mrn, &record)[0], false).ok().unwrap(), ("77".to_owned(), person.contacts[0].clone()));
    }

    #[test]
    fn what_cannot_be_kept_is_refused() {
        let refused = |value: Value| patient(&value, "s", false).err().map(|problem| problem.place.unwrap_or_default());
        let cases = [
            (json!({ "resourceType": "Patient", "gender": "x" }), "Patient.gender"),
            (json!({ "resourceType": "Patient", "birthDate": "1980" }), "Patient.birthDate"),
            (json!({ "resourceType": "Patient", "active": false }), "Patient.active"),
            (json!({ "resourceType": "Patient", "name": [{ "text": "Jane Doe" }] }), "Patient.name[0].family"),
            (json!({ "resourceType": "Patient", "name": [{ "family": "A" }, { "family": "B" }] }), "Patient.name"),
            (json!({ "resourceType": "Patient", "telecom": [{ "system": "email", "value": "a@b" }] }), "Patient.telecom[0].system"),
            (json!({ "resourceType": "Patient", "identifier": [{ "system": "s", "value": "" }] }), "Patient.identifier[0].value"),
            (json!({ "resourceType": "Patient", "photo": [{ "data": "/9j/" }] }), "Patient.photo[0].data"),
            (json!({ "resourceType": "Patient", "generalPractitioner": [{}] }), "Patient.generalPractitioner"),
        ];
        for (value, place) in cases {
            assert_eq!(refused(value.clone()).as_deref(), Some(place), "{value}");
        }
        assert!(coverage(&json!({ "resourceType": "Coverage", "beneficiary": { "reference": "Patient/1" }, "payor": [{ "display": "A" }] }), false).is_err());
    }
}
