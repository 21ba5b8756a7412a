//! Patients by what people know of them: parts of names, birth dates, phone numbers, numbers on cards. In memory, since words that
//! could be looked up on the disk would be names on the disk; made anew from the rows at each start.

use std::collections::{BTreeMap, HashMap};
use std::hash::{BuildHasher, RandomState};
use std::ops::Bound;

use crate::domain::patient::Person;
use crate::kernel::{Date, Mrn};

/// What is searched for; all that is said must fit.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Search {
    /// Beginnings of names, in any order: `doe ja`.
    pub name: String,
    /// The birth date.
    pub born: Option<Date>,
    /// A phone number, however it is written.
    pub phone: String,
    /// Any number: medical record number or one of another issuer.
    pub number: String,
}

impl Search {
    /// Whether nothing is said.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

/// People by number, in the order in which they came.
type Posting = Vec<u32>;

/// The index. A million patients take some 200 MB.
#[derive(Debug, Default)]
pub(super) struct People {
    mrns: Vec<Mrn>,
    by_mrn: HashMap<Mrn, u32>,
    /// Words of names, folded; few words are many people's, so that this stays small.
    words: BTreeMap<Box<str>, Posting>,
    born: BTreeMap<Date, Posting>,
    /// Phone and other numbers by their hash: nobody else has the same in a billion billions.
    numbers: HashMap<u64, Posting>,
    hasher: RandomState,
}

/// A word as it is compared: without case, and letters with marks as the letter.
pub fn fold(text: &str) -> String {
    text.chars().flat_map(char::to_lowercase).map(plain).collect()
}

/// The letter without its mark, for the letters of western and central European names.
fn plain(letter: char) -> char {
    const MARKED: [(&str, char); 15] = [
        ("àáâãäåāăą", 'a'),
        ("çćč", 'c'),
        ("ďđð", 'd'),
        ("èéêëēėęě", 'e'),
        ("ğ", 'g'),
        ("ìíîïīįı", 'i'),
        ("łľĺ", 'l'),
        ("ñńň", 'n'),
        ("òóôõöøōő", 'o'),
        ("řŕ", 'r'),
        ("śšş", 's'),
        ("ťţ", 't'),
        ("ùúûüūůűų", 'u'),
        ("ýÿ", 'y'),
        ("źżž", 'z'),
    ];
    MARKED.iter().find(|(letters, _)| letters.contains(letter)).map_or(letter, |(_, plain)| *plain)
}

fn words(text: &str) -> impl Iterator<Item = String> {
    text.split(|letter: char| !letter.is_alphanumeric()).filter(|word| !word.is_empty()).map(fold)
}

fn words_of(person: &Person) -> Vec<String> {
    let mut found: Vec<String> = [&person.name.family].into_iter().chain(&person.name.given).flat_map(|name| words(name)).collect();
    found.sort();
    found.dedup();
    found
}

/// The last nine digits: with or without country code and leading zero.
fn phone(text: &str) -> String {
    let digits: String = text.chars().filter(char::is_ascii_digit).collect();
    digits[digits.len().saturating_sub(9)..].to_owned()
}

/// A number without blanks, hyphens and case.
fn number(text: &str) -> String {
    text.chars().filter(|letter| letter.is_alphanumeric()).flat_map(char::to_uppercase).collect()
}

fn both(one: Posting, other: &Posting) -> Posting {
    one.into_iter().filter(|person| other.binary_search(person).is_ok()).collect()
}

fn insert(posting: &mut Posting, person: u32) {
    if let Err(place) = posting.binary_search(&person) {
        posting.insert(place, person);
    }
}

impl People {
    fn numbers_of(&self, person: &Person) -> Vec<u64> {
        let phones = person.phones.iter().map(|text| phone(text)).filter(|digits| digits.len() >= 5).map(|digits| self.hasher.hash_one(("phone", digits)));
        phones.chain(person.identifiers.iter().map(|known| self.hasher.hash_one(("number", number(&known.value))))).collect()
    }

    /// A person of before the start; what came since is newer.
    pub(super) fn learn(&mut self, mrn: &Mrn, person: &Person) {
        if !self.by_mrn.contains_key(mrn) {
            self.put(mrn, None, person);
        }
    }

    /// A person is known, or known better.
    pub(super) fn put(&mut self, mrn: &Mrn, before: Option<&Person>, now: &Person) {
        let person = match self.by_mrn.get(mrn) {
            Some(person) => *person,
            None => {
                let person = u32::try_from(self.mrns.len()).unwrap_or(u32::MAX);
                self.mrns.push(mrn.clone());
                self.by_mrn.insert(mrn.clone(), person);
                insert(self.numbers.entry(self.hasher.hash_one(("number", number(mrn.as_str())))).or_default(), person);
                person
            }
        };
        if let Some(before) = before {
            self.take_out(person, before);
        }
        for word in words_of(now) {
            insert(self.words.entry(word.into()).or_default(), person);
        }
        if let Some(born) = now.birth_date {
            insert(self.born.entry(born).or_default(), person);
        }
        for number in self.numbers_of(now) {
            insert(self.numbers.entry(number).or_default(), person);
        }
    }

    fn take_out(&mut self, person: u32, before: &Person) {
        let without = |posting: &mut Posting| posting.retain(|known| *known != person);
        for word in words_of(before) {
            if let Some(posting) = self.words.get_mut(word.as_str()) {
                without(posting);
            }
        }
        if let Some(posting) = before.birth_date.and_then(|born| self.born.get_mut(&born)) {
            without(posting);
        }
        for number in self.numbers_of(before) {
            if let Some(posting) = self.numbers.get_mut(&number) {
                without(posting);
            }
        }
    }

    /// Everybody with a word that begins like this.
    fn beginning(&self, word: &str) -> Posting {
        let mut found: Posting = self
            .words
            .range::<str, _>((Bound::Included(word), Bound::Unbounded))
            .take_while(|(known, _)| known.starts_with(word))
            .flat_map(|(_, posting)| posting)
            .copied()
            .collect();
        found.sort_unstable();
        found.dedup();
        found
    }

    pub(super) fn find(&self, search: &Search, limit: usize) -> Vec<Mrn> {
        let by_number = |kind: &str, text: String| self.numbers.get(&self.hasher.hash_one((kind, text))).cloned().unwrap_or_default();
        let mut fitting: Vec<Posting> = Vec::new();
        if !search.number.is_empty() {
            fitting.push(by_number("number", number(&search.number)));
        }
        if !search.phone.is_empty() {
            fitting.push(by_number("phone", phone(&search.phone)));
        }
        if let Some(born) = search.born {
            fitting.push(self.born.get(&born).cloned().unwrap_or_default());
        }
        fitting.extend(words(&search.name).map(|word| self.beginning(&word)));
        // The shortest list first: the others are only looked into.
        fitting.sort_by_key(Vec::len);
        let found = fitting.into_iter().reduce(|found, other| both(found, &other)).unwrap_or_default();
        found.into_iter().take(limit).filter_map(|person| self.mrns.get(person as usize).cloned()).collect()
    }

    /// Whoever shares a number, a phone, or birth date and a part of the name, or the whole name.
    pub(super) fn alike(&self, person: &Person) -> Vec<Mrn> {
        let mut found: Posting = self.numbers_of(person).iter().filter_map(|number| self.numbers.get(number)).flatten().copied().collect();
        let named: Vec<&Posting> = words_of(person).iter().filter_map(|word| self.words.get(word.as_str())).collect();
        if let Some(born) = person.birth_date.and_then(|born| self.born.get(&born)) {
            found.extend(born.iter().filter(|known| named.iter().any(|posting| posting.binary_search(known).is_ok())));
        }
        if named.len() >= 2 {
            found.extend(named.iter().skip(1).fold(named[0].clone(), |all, posting| both(all, posting)));
        }
        found.sort_unstable();
        found.dedup();
        found.into_iter().filter_map(|known| self.mrns.get(known as usize).cloned()).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::patient::{Identifier, Name};

    fn person(family: &str, given: &str, born: &str, phone: &str) -> Person {
        Person {
            name: Name { family: family.to_owned(), given: vec![given.to_owned()] },
            birth_date: Some(born.parse().unwrap()),
            phones: vec![phone.to_owned()],
            identifiers: vec![Identifier { kind: "NI".to_owned(), value: format!("{family}-1"), issuer: String::new() }],
            ..Person::default()
        }
    }

    fn house() -> People {
        let mut people = People::default();
        for (mrn, person) in [
            ("1", person("Müller", "Ana María", "1980-01-02", "+49 (30) 123-4567")),
            ("2", person("Mueller", "Anna", "1980-01-02", "555 9876")),
            ("3", person("O'Neil", "Jane", "1990-05-06", "")),
        ] {
            people.put(&mrn.parse().unwrap(), None, &person);
        }
        people
    }

    fn found(people: &People, search: Search) -> Vec<String> {
        people.find(&search, 10).into_iter().map(String::from).collect()
    }

    #[test]
    fn people_are_found_by_what_one_knows_of_them() {
        let people = house();
        let name = |name: &str| Search { name: name.to_owned(), ..Search::default() };
        let cases = [
            (name("mul"), vec!["1"]),
            (name("AN"), vec!["1", "2"]),
            (name("maria müll"), vec!["1"]),
            (name("neil"), vec!["3"]),
            (name("xyz"), vec![]),
            (Search { born: Some("1980-01-02".parse().unwrap()), ..name("anna") }, vec!["2"]),
            (Search { phone: "030 1234567".to_owned(), ..Search::default() }, vec!["1"]),
            (Search { number: "mueller 1".to_owned(), ..Search::default() }, vec!["2"]),
            (Search { number: "3".to_owned(), ..Search::default() }, vec!["3"]),
            (Search::default(), vec![]),
        ];
        for (search, expected) in cases {
            assert_eq!(found(&people, search.clone()), expected, "{search:?}");
        }
    }

    #[test]
    fn who_changed_is_found_by_what_is_true_now() {
        let mut people = house();
        let (before, now) = (person("O'Neil", "Jane", "1990-05-06", ""), person("Smith", "Jane", "1991-05-06", "5550000"));
        people.put(&"3".parse().unwrap(), Some(&before), &now);
        let name = |name: &str| Search { name: name.to_owned(), ..Search::default() };
        assert_eq!((found(&people, name("neil")), found(&people, name("smith jane"))), (vec![], vec!["3".to_owned()]));
    }

    #[test]
    fn what_came_since_the_start_is_newer_than_what_is_learnt() {
        let mut people = People::default();
        let (before, now) = (person("Old", "Jane", "1990-05-06", ""), person("New", "Jane", "1990-05-06", ""));
        people.put(&"1".parse().unwrap(), Some(&before), &now);
        people.learn(&"1".parse().unwrap(), &before);
        people.learn(&"2".parse().unwrap(), &before);
        let name = |name: &str| Search { name: name.to_owned(), ..Search::default() };
        assert_eq!((found(&people, name("old")), found(&people, name("new"))), (vec!["2".to_owned()], vec!["1".to_owned()]));
    }

    #[test]
    fn whoever_may_be_the_same_person_is_a_candidate() {
        let people = house();
        let alike = |other: &Person| people.alike(other).into_iter().map(String::from).collect::<Vec<_>>();
        assert_eq!(alike(&person("Muller", "Ana", "1980-01-02", "")), ["1"], "a part of the name and the birth date");
        assert_eq!(alike(&person("Oneill", "Janet", "1970-01-01", "0555 9876")), Vec::<String>::new(), "seven digits are another number than eight");
        assert_eq!(alike(&person("X", "Y", "1970-01-01", "+49 30 1234567")), ["1"], "the phone");
        assert_eq!(alike(&person("ONeil", "Neil", "1970-01-01", "")), ["3"], "the same number on a card");
        assert_eq!(alike(&person("o neil", "jane", "1970-01-01", "")), ["3"], "the whole name");
    }
}
