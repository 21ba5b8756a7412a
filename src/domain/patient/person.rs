//! What a registration knows of a person: names, dates, numbers, whom to call, who pays.

use serde::{Deserialize, Serialize};

use crate::kernel::{Date, Invalid, Mrn};

/// Longest text of one field, in characters, and most entries of one list.
const TEXT_MAX: usize = 256;
const LIST_MAX: usize = 32;
/// Nobody is known to have become older.
const AGE_MAX_YEARS: i32 = 125;

/// Administrative sex (HL7 table 0001, FHIR AdministrativeGender).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Sex {
    /// Female.
    Female,
    /// Male.
    Male,
    /// Another.
    Other,
    /// Not known.
    #[default]
    Unknown,
}

/// A person's name.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Name {
    /// Family name.
    #[serde(default)]
    pub family: String,
    /// Given names in their order.
    #[serde(default)]
    pub given: Vec<String>,
}

impl Name {
    /// `Family, Given Middle`.
    pub fn printed(&self) -> String {
        match (self.family.as_str(), self.given.join(" ")) {
            ("", given) => given,
            (family, given) if given.is_empty() => family.to_owned(),
            (family, given) => format!("{family}, {given}"),
        }
    }
}

/// A number that somebody else knows the person by.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Identifier {
    /// Its kind (HL7 table 0203): `NI` national, `PPN` passport, `SS`, `DL` …
    pub kind: String,
    /// The number as received.
    pub value: String,
    /// Who issued it.
    #[serde(default)]
    pub issuer: String,
}

/// Where somebody lives.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Address {
    /// Street and house.
    #[serde(default)]
    pub line: String,
    /// City.
    #[serde(default)]
    pub city: String,
    /// State or province.
    #[serde(default)]
    pub state: String,
    /// Postal code.
    #[serde(default)]
    pub postal_code: String,
    /// Country.
    #[serde(default)]
    pub country: String,
}

/// Somebody to call: next of kin or another contact.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Contact {
    /// Who.
    pub name: Name,
    /// What they are to the patient, such as `mother`.
    #[serde(default)]
    pub relationship: String,
    /// How to reach them.
    #[serde(default)]
    pub phone: String,
}

/// Who pays.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Coverage {
    /// The insurer.
    pub payer: String,
    /// The plan.
    #[serde(default)]
    pub plan: String,
    /// The member's number.
    pub member: String,
    /// From when.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from: Option<Date>,
    /// Until when, that day included.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub until: Option<Date>,
}

/// Something that the person agreed to, or did not.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Consent {
    /// To what, such as `treatment`, `research`, `sharing`.
    pub to: String,
    /// Whether they agreed.
    pub is_given: bool,
}

/// A person as registered.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Person {
    /// Their name; empty while nobody knows it.
    #[serde(default)]
    pub name: Name,
    /// When they were born.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub birth_date: Option<Date>,
    /// Administrative sex.
    #[serde(default)]
    pub sex: Sex,
    /// Phone numbers, the best one first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub phones: Vec<String>,
    /// Where they live.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub address: Option<Address>,
    /// The language to speak with them (BCP 47).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub language: Option<String>,
    /// Numbers besides the medical record number.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub identifiers: Vec<Identifier>,
    /// Whom to call.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub contacts: Vec<Contact>,
    /// Who pays, the first one first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub coverages: Vec<Coverage>,
    /// What they agreed to.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub consents: Vec<Consent>,
    /// Whether this identity was made in an emergency, before anybody knew who it was.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub is_temporary: bool,
    /// The mother, for a newborn.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mother: Option<Mrn>,
}

impl Person {
    /// What cannot be true of a person on this day.
    pub fn check(&self, today: Date) -> Result<(), Invalid> {
        if let Some(born) = self.birth_date {
            if born > today {
                return Err(Invalid::new("birth date", &born.to_string(), "it is in the future"));
            }
            if i32::from(today.year()) - i32::from(born.year()) > AGE_MAX_YEARS {
                return Err(Invalid::new("birth date", &born.to_string(), format!("nobody is older than {AGE_MAX_YEARS} years")));
            }
        }
        let lists = [self.name.given.len(), self.phones.len(), self.identifiers.len(), self.contacts.len(), self.coverages.len(), self.consents.len()];
        if let Some(length) = lists.into_iter().find(|length| *length > LIST_MAX) {
            return Err(Invalid::new("person", "", format!("a list has {length} entries, {LIST_MAX} at most are kept")));
        }
        match self.texts().find(|text| text.chars().count() > TEXT_MAX || text.chars().any(char::is_control)) {
            Some(_) => Err(Invalid::new("person", "", format!("a text is longer than {TEXT_MAX} characters, or holds control characters"))),
            None => Ok(()),
        }
    }

    fn texts(&self) -> impl Iterator<Item = &str> {
        let own = [&self.name.family].into_iter().chain(&self.name.given).chain(&self.phones).chain(&self.language);
        let address = self.address.iter().flat_map(|address| [&address.line, &address.city, &address.state, &address.postal_code, &address.country]);
        let identifiers = self.identifiers.iter().flat_map(|known| [&known.kind, &known.value, &known.issuer]);
        let contacts = self.contacts.iter().flat_map(|contact| contact.name.given.iter().chain([&contact.name.family, &contact.relationship, &contact.phone]));
        let coverages = self.coverages.iter().flat_map(|coverage| [&coverage.payer, &coverage.plan, &coverage.member]);
        let consents = self.consents.iter().map(|consent| &consent.to);
        own.chain(address).chain(identifiers).chain(contacts).chain(coverages).chain(consents).map(String::as_str)
    }

    /// What a message does not say is kept as it was: a sender that knows no phone must not make the house forget it.
    #[must_use]
    pub fn completed_by(self, before: &Person) -> Person {
        let Person { name, birth_date, sex, phones, address, language, identifiers, contacts, coverages, consents, is_temporary, mother } = self;
        fn or<T: Clone>(new: Vec<T>, old: &[T]) -> Vec<T> {
            if new.is_empty() { old.to_vec() } else { new }
        }
        Person {
            name: if name == Name::default() { before.name.clone() } else { name },
            birth_date: birth_date.or(before.birth_date),
            sex: if sex == Sex::Unknown { before.sex } else { sex },
            phones: or(phones, &before.phones),
            address: address.or_else(|| before.address.clone()),
            language: language.or_else(|| before.language.clone()),
            identifiers: or(identifiers, &before.identifiers),
            contacts: or(contacts, &before.contacts),
            coverages: or(coverages, &before.coverages),
            consents: or(consents, &before.consents),
            is_temporary,
            mother: mother.or_else(|| before.mother.clone()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_cannot_be_true_of_a_person_is_refused() {
        let today: Date = "2026-11-21".parse().unwrap();
        let born = |date: &str| Person { birth_date: Some(date.parse().unwrap()), ..Person::default() };
        let cases = [
            (born("2026-11-21"), ""),
            (born("1901-11-22"), ""),
            (born("2026-11-22"), "in the future"),
            (born("1900-01-01"), "older than 125"),
            (Person { phones: vec![String::new(); 33], ..Person::default() }, "33 entries"),
            (Person { name: Name { family: "a".repeat(257), given: vec![] }, ..Person::default() }, "longer than 256"),
            (Person { language: Some("d\u{7}".to_owned()), ..Person::default() }, "control characters"),
        ];
        for (person, why) in cases {
            let found = person.check(today).map_or_else(|error| error.to_string(), |()| String::new());
            assert!(if why.is_empty() { found.is_empty() } else { found.contains(why) }, "{person:?}: {found}");
        }
    }

    #[test]
    fn what_a_message_does_not_say_is_kept() {
        let before = Person {
            name: Name { family: "Doe".to_owned(), given: vec!["Jane".to_owned()] },
            phones: vec!["1".to_owned()],
            sex: Sex::Female,
            is_temporary: true,
            ..Person::default()
        };
        let said = Person { name: Name { family: "Roe".to_owned(), given: vec![] }, ..Person::default() };
        let after = said.completed_by(&before);
        assert_eq!((after.name.family.as_str(), after.phones.len(), after.sex, after.is_temporary), ("Roe", 1, Sex::Female, false));
    }
}
