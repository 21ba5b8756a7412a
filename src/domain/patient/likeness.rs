//! Whether two registrations may be one person: points for what agrees, with each reason, so that a clerk can judge.

use serde::Serialize;

use super::{Name, Person, Sex};

/// From so many points on two registrations are probably one person.
pub const PROBABLE: i32 = 60;

/// How alike two registrations are.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Likeness {
    /// The sum of the points.
    pub points: i32,
    /// What agrees or contradicts, each with its points.
    pub reasons: Vec<(&'static str, i32)>,
}

fn folded(text: &str) -> String {
    text.chars().filter(|letter| letter.is_alphanumeric()).flat_map(char::to_lowercase).collect()
}

fn digits(text: &str) -> String {
    let digits: String = text.chars().filter(char::is_ascii_digit).collect();
    digits[digits.len().saturating_sub(9)..].to_owned()
}

/// The same number of the same kind from the same issuer is the same person; an unknown issuer may be the same one.
fn shares_identifier(one: &Person, other: &Person) -> bool {
    one.identifiers.iter().any(|left| {
        other.identifiers.iter().any(|right| {
            let is_issuer_same = left.issuer == right.issuer || left.issuer.is_empty() || right.issuer.is_empty();
            left.kind == right.kind && is_issuer_same && !folded(&left.value).is_empty() && folded(&left.value) == folded(&right.value)
        })
    })
}

fn names(one: &Name, other: &Name) -> Option<(&'static str, i32)> {
    let first = |name: &Name| name.given.first().map(|given| folded(given)).unwrap_or_default();
    let (family, given) = ((folded(&one.family), folded(&other.family)), (first(one), first(other)));
    let is_said = [&family.0, &family.1, &given.0, &given.1].iter().all(|name| !name.is_empty());
    match () {
        () if is_said && family.0 == family.1 && given.0 == given.1 => Some(("same name", 40)),
        () if is_said && family.0 == given.1 && given.0 == family.1 => Some(("family and given name exchanged", 35)),
        () if is_said && family.0 == family.1 && given.0.chars().next() == given.1.chars().next() => Some(("same family name and initial", 25)),
        () if !family.0.is_empty() && family.0 == family.1 => Some(("same family name", 15)),
        () if !given.0.is_empty() && given.0 == given.1 => Some(("same given name", 15)),
        () => None,
    }
}

/// Dates agree, or differ as by a slip of the hand: day and month exchanged, or one digit wrong.
fn births(one: &Person, other: &Person) -> Option<(&'static str, i32)> {
    let (left, right) = (one.birth_date?.to_string(), other.birth_date?.to_string());
    let differing = left.bytes().zip(right.bytes()).filter(|(left, right)| left != right).count();
    let is_exchanged = left.get(..4) == right.get(..4) && left.get(5..7) == right.get(8..10) && left.get(8..10) == right.get(5..7);
    match (differing, is_exchanged) {
        (0, _) => Some(("same birth date", 30)),
        (_, true) => Some(("day and month of birth exchanged", 20)),
        (1, _) => Some(("one digit of the birth date differs", 15)),
        _ => Some(("other birth date", -20)),
    }
}

/// Compares two registrations.
pub fn compare(one: &Person, other: &Person) -> Likeness {
    let phones = one.phones.iter().any(|left| digits(left).len() >= 5 && other.phones.iter().any(|right| digits(left) == digits(right)));
    let is_other_sex = one.sex != other.sex && one.sex != Sex::Unknown && other.sex != Sex::Unknown;
    let streets = match (&one.address, &other.address) {
        (Some(left), Some(right)) => !folded(&left.line).is_empty() && folded(&left.line) == folded(&right.line) && folded(&left.postal_code) == folded(&right.postal_code),
        _ => false,
    };
    let reasons: Vec<(&'static str, i32)> = [
        shares_identifier(one, other).then_some(("same number of another issuer", 100)),
        names(&one.name, &other.name),
        births(one, other),
        phones.then_some(("same phone", 20)),
        streets.then_some(("same address", 10)),
        is_other_sex.then_some(("other sex", -20)),
    ]
    .into_iter()
    .flatten()
    .collect();
    Likeness { points: reasons.iter().map(|(_, points)| points).sum(), reasons }
}

#[cfg(test)]
mod tests {
    use super::super::{Address, Identifier};
    use super::*;

    fn person(family: &str, given: &str, born: &str, sex: Sex) -> Person {
        Person { name: Name { family: family.to_owned(), given: vec![given.to_owned()] }, birth_date: born.parse().ok(), sex, ..Person::default() }
    }

    #[test]
    fn what_agrees_counts_and_what_contradicts_counts_against() {
        let jane = || person("Doe", "Jane", "1980-01-02", Sex::Female);
        let with = |change: fn(&mut Person)| {
            let mut person = jane();
            change(&mut person);
            person
        };
        let identifier = |issuer: &str| Identifier { kind: "NI".to_owned(), value: "AB 12".to_owned(), issuer: issuer.to_owned() };
        let cases: [(Person, i32, bool); 12] = [
            (jane(), 70, true),
            (with(|p| p.name.family = "DOE ".to_owned()), 70, true),
            (person("Jane", "Doe", "1980-01-02", Sex::Female), 65, true),
            (person("Doe", "Janet", "1980-01-02", Sex::Female), 55, false),
            (person("Doe", "Jane", "1980-02-01", Sex::Female), 60, true),
            (person("Doe", "Jane", "1980-01-03", Sex::Female), 55, false),
            (person("Doe", "Jane", "1990-11-22", Sex::Female), 20, false),
            (person("Doe", "Jane", "", Sex::Female), 40, false),
            (person("Doe", "Mary", "1980-01-02", Sex::Female), 45, false),
            (person("Roe", "Jane", "1980-01-02", Sex::Female), 45, false),
            (person("Doe", "Jane", "1980-01-02", Sex::Male), 50, false),
            (person("", "", "", Sex::Unknown), 0, false),
        ];
        for (other, points, is_probable) in cases {
            let found = compare(&jane(), &other);
            assert_eq!((found.points, found.points >= PROBABLE), (points, is_probable), "{other:?}: {found:?}");
            assert_eq!(compare(&other, &jane()).points, points, "whichever is looked at first");
        }
        let one = Person {
            identifiers: vec![identifier("GOV")],
            phones: vec!["030 12345".to_owned()],
            address: Some(Address { line: "Main 1".to_owned(), ..Address::default() }),
            ..jane()
        };
        let mut other = Person { identifiers: vec![identifier("")], phones: vec!["+49 30 12345".to_owned()], ..one.clone() };
        assert_eq!(compare(&one, &other).points, 100 + 40 + 30 + 10, "country code and leading zero make short numbers differ");
        other.identifiers = vec![identifier("OTHER")];
        assert_eq!(compare(&one, &other).points, 80, "another issuer's number is another number");
    }
}
