//! Patient, RelatedPerson and Coverage as they are sent: what a registration knows of a person.

use serde_json::Value;

use super::element::Element;
use crate::api::problem::Problem;
use crate::domain::patient::{Address, Contact, Coverage, Identifier, Name, Person, Sex};
use crate::kernel::{Mrn, Timestamp};

/// The kinds of identifiers (HL7 table 0203).
const KINDS: &str = "http://terminology.hl7.org/CodeSystem/v2-0203";
const LANGUAGES: &str = "urn:ietf:bcp:47";

/// A patient: the record number that is named, who it is, and whether they are said to be dead.
pub(super) struct Sent {
    pub(super) mrn: Option<Mrn>,
    pub(super) person: Person,
    pub(super) is_dead: bool,
    /// When they died, where it is said.
    pub(super) died: Option<Timestamp>,
}

/// Reads a Patient; `system` is that of our record numbers.
pub(super) fn patient(value: &Value, system: &str, is_lenient: bool) -> Result<Sent, Problem> {
    let sent = Element::resource(value, is_lenient)?;
    let (mrn, identifiers) = identifiers(&sent, system)?;
    let (name, is_temporary) = names(&sent)?.unwrap_or_default();
    let sex = match sent.text("gender")? {
        Some("female") => Sex::Female,
        Some("male") => Sex::Male,
        Some("other") => Sex::Other,
        Some("unknown") | None => Sex::Unknown,
        Some(other) => return Err(sent.wrong("gender", format!("{other:?} is none of female, male, other, unknown"))),
    };
    let died = sent.instant("deceasedDateTime")?;
    let is_dead = sent.flag("deceasedBoolean")?.unwrap_or(false) || died.is_some();
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
    Ok(Sent { mrn, person, is_dead, died })
}

fn identifiers(sent: &Element<'_>, system: &str) -> Result<(Option<Mrn>, Vec<Identifier>), Problem> {
    let (mut mrn, mut others) = (None, Vec::new());
    for known in sent.objects("identifier")? {
        let (value, of) = (known.needed("value")?, known.text("system")?);
        let kind = known.code("type", KINDS)?;
        current(&known)?;
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

/// What was is not taken for what is: of the uses in R4 `old` changes the meaning, and so do some of a name's.
fn current(sent: &Element<'_>) -> Result<(), Problem> {
    match sent.text("use")? {
        Some("old") => Err(sent.wrong("use", "what is out of use is not kept here: leave it out")),
        _ => Ok(()),
    }
}

/// The name that somebody goes by: the official one, else the usual one.
fn names(sent: &Element<'_>) -> Result<Option<(Name, bool)>, Problem> {
    let all = sent.objects("name")?;
    if all.len() > 1 && !sent.is_lenient() {
        return Err(sent.wrong("name", "one at most is kept here: leave the others out, or send Prefer: handling=lenient and they are"));
    }
    let mut best: Option<(usize, &Element<'_>)> = None;
    for name in &all {
        let rank = match name.text("use")? {
            Some("official") => 0,
            Some("usual") => 1,
            None => 2,
            Some("temp") => 3,
            Some(_) => continue,
        };
        if best.is_none_or(|(known, _)| rank < known) {
            best = Some((rank, name));
        }
    }
    match (best, all.first()) {
        (Some((_, name)), _) => self::name(name).map(Some),
        (None, Some(other)) => Err(other.wrong("use", "an official or usual name is needed: a former one, a nickname or none is not who they are")),
        (None, None) => Ok(None),
    }
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
        current(&way)?;
        way.passed(&["rank"]);
        way.end()?;
    }
    Ok(found)
}

fn address(home: &Element<'_>) -> Result<Address, Problem> {
    let text = |name: &str| home.text(name).map(|text| text.unwrap_or_default().to_owned());
    let found = Address { line: home.texts("line")?.join(", "), city: text("city")?, state: text("state")?, postal_code: text("postalCode")?, country: text("country")? };
    current(home)?;
    home.passed(&["type"]);
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
    let (name, _) = names(&sent)?.ok_or_else(|| sent.wrong("name", "is missing"))?;
    if sent.flag("active")? == Some(false) {
        return Err(sent.wrong("active", "only those who can be called are kept: send the patient without this contact instead"));
    }
    let relationship = sent.only("relationship")?.map(|is| is.spoken()).transpose()?.flatten().unwrap_or_default().to_owned();
    let found = Contact { name, relationship, phone: phones(&sent)?.into_iter().next().unwrap_or_default() };
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
        assert_eq!(coverage(&coverages(&mrn, &record, None)[0], false).ok().unwrap(), ("77".to_owned(), person.coverages[0].clone()));
        assert_eq!(related(&people(&mrn, &record, None)[0], false).ok().unwrap(), ("77".to_owned(), person.contacts[0].clone()));
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
            (json!({ "resourceType": "Patient", "name": [{ "family": "A", "use": "maiden" }] }), "Patient.name[0].use"),
            (json!({ "resourceType": "Patient", "identifier": [{ "value": "7", "use": "old" }] }), "Patient.identifier[0].use"),
            (json!({ "resourceType": "Patient", "telecom": [{ "system": "phone", "value": "7", "use": "old" }] }), "Patient.telecom[0].use"),
            (json!({ "resourceType": "Patient", "telecom": [{ "system": "email", "value": "a@b" }] }), "Patient.telecom[0].system"),
            (json!({ "resourceType": "Patient", "identifier": [{ "system": "s", "value": "" }] }), "Patient.identifier[0].value"),
            (json!({ "resourceType": "Patient", "photo": [{ "data": "/9j/" }] }), "Patient.photo[0].data"),
            (json!({ "resourceType": "Patient", "generalPractitioner": [{}] }), "Patient.generalPractitioner"),
        ];
        for (value, place) in cases {
            assert_eq!(refused(value.clone()).as_deref(), Some(place), "{value}");
        }
        let both =
            json!({ "resourceType": "Patient", "name": [{ "use": "maiden", "family": "Born" }, { "use": "usual", "family": "Called" }, { "use": "official", "family": "Doe" }] });
        assert_eq!(patient(&both, "s", true).ok().unwrap().person.name.family, "Doe");
        let gone = json!({ "resourceType": "RelatedPerson", "active": false, "patient": { "reference": "Patient/1" }, "name": [{ "family": "Kin" }] });
        assert_eq!(related(&gone, true).err().and_then(|problem| problem.place).as_deref(), Some("RelatedPerson.active"));
        assert!(coverage(&json!({ "resourceType": "Coverage", "beneficiary": { "reference": "Patient/1" }, "payor": [{ "display": "A" }] }), false).is_err());
    }
}
