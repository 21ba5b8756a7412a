//! What the house knows of others and of its own besides what stands in the configuration: organisations that it has to do with, places that hold
//! no beds, equipment without a line. One stream an entry; nothing is deleted, what is not used any more is inactive.

use serde::{Deserialize, Serialize};

use super::rights::Permission;
use super::{Aggregate, Context, Folded};
use crate::kernel::{Date, StreamKind, Timestamp, WardId};

/// Longest text of an entry, in characters, and most numbers and telephones.
const TEXT_MAX: usize = 256;
const NUMBERS_MAX: usize = 20;

/// What an entry is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// An insurer, a practice, a supplier, another house.
    Organization,
    /// A clinic, a theatre, a waiting room: a place without beds.
    Place,
    /// A pump, a bed scale, a wheelchair: equipment without a line of its own.
    Equipment,
}

/// A number that others know it by.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Number {
    /// Whose number it is: a URI.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub system: String,
    /// The number.
    pub value: String,
}

/// An entry.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Entry {
    /// What it is.
    pub kind: Kind,
    /// What people call it.
    pub name: String,
    /// What sort of it: `insurer`, `operating theatre`, `infusion pump`.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub sort: String,
    /// Numbers that others know it by; of equipment its UDI or inventory number.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub numbers: Vec<Number>,
    /// Telephones.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub phones: Vec<String>,
    /// Whether it is used.
    #[serde(default = "yes")]
    pub active: bool,
    /// The ward that it belongs to, or stands in.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ward: Option<WardId>,
    /// Who made it, of equipment.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub manufacturer: String,
    /// Its model.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub model: String,
    /// Its serial number.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub serial: String,
    /// Its lot.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub lot: String,
    /// Until when it may be used.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires: Option<Date>,
}

fn yes() -> bool {
    true
}

/// The state of an entry.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Listed {
    /// It; none while there is none.
    pub entry: Option<Entry>,
}

/// What may be asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Command {
    /// There is one more.
    Add(Entry),
    /// It is as this says from now on.
    Change(Entry),
}

impl Command {
    /// The permission that it needs.
    pub fn needs(&self) -> Permission {
        Permission::ManageDirectory
    }
}

/// What may have happened.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "event")]
pub enum Event {
    /// It is as this says.
    EntryListed {
        /// How it is.
        entry: Box<Entry>,
        /// Since when.
        at: Timestamp,
    },
}

/// Why an entry may not be.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error, Serialize)]
#[serde(tag = "rejection", rename_all = "snake_case")]
pub enum Rejection {
    /// There is no such entry.
    #[error("there is no such entry in the directory: check its id")]
    UnknownEntry,
    /// A name is needed.
    #[error("name is empty: say what people call it")]
    NameMissing,
    /// A text is too long, or there are too many.
    #[error("{field} has more than is kept: {TEXT_MAX} characters, {NUMBERS_MAX} numbers and telephones")]
    TooMuch {
        /// Which.
        field: &'static str,
    },
    /// What it is does not change.
    #[error("an entry stays what it is: set this one inactive, and add another")]
    OtherKind,
    /// Only equipment has these.
    #[error("manufacturer, model, serial, lot and expires are of equipment: leave them out")]
    NotEquipment,
}

fn sound(entry: &Entry) -> Result<Entry, Rejection> {
    let fields = [("name", &entry.name), ("sort", &entry.sort), ("manufacturer", &entry.manufacturer), ("model", &entry.model), ("serial", &entry.serial), ("lot", &entry.lot)];
    let is_long = |text: &str| text.chars().count() > TEXT_MAX;
    if let Some((field, _)) = fields.iter().find(|(_, text)| is_long(text)) {
        return Err(Rejection::TooMuch { field });
    }
    let numbers = entry.numbers.iter().flat_map(|number| [&number.system, &number.value]);
    if entry.numbers.len() > NUMBERS_MAX || entry.phones.len() > NUMBERS_MAX || numbers.chain(&entry.phones).any(|text| is_long(text)) {
        return Err(Rejection::TooMuch { field: "numbers" });
    }
    if entry.name.trim().is_empty() {
        return Err(Rejection::NameMissing);
    }
    let is_plain = entry.expires.is_none() && [&entry.manufacturer, &entry.model, &entry.serial, &entry.lot].iter().all(|text| text.is_empty());
    if entry.kind != Kind::Equipment && !is_plain {
        return Err(Rejection::NotEquipment);
    }
    Ok(Entry { name: entry.name.trim().to_owned(), ..entry.clone() })
}

impl Folded for Listed {
    const KIND: StreamKind = StreamKind::Directory;
    const SNAPSHOT: u16 = 1;
    type Event = Event;

    fn apply(&mut self, event: &Event) {
        let Event::EntryListed { entry, .. } = event;
        self.entry = Some((**entry).clone());
    }

    fn name(event: &Event) -> (&'static str, u16) {
        match event {
            Event::EntryListed { .. } => ("EntryListed", 1),
        }
    }
}

impl Aggregate for Listed {
    type Command = Command;
    type Rejection = Rejection;

    fn decide(&self, context: &Context, command: &Command) -> Result<Vec<Event>, Rejection> {
        let entry = match (command, &self.entry) {
            (Command::Add(entry), _) => sound(entry)?,
            (Command::Change(_), None) => return Err(Rejection::UnknownEntry),
            (Command::Change(entry), Some(known)) if entry.kind != known.kind => return Err(Rejection::OtherKind),
            (Command::Change(entry), Some(_)) => sound(entry)?,
        };
        let listed = Event::EntryListed { entry: Box::new(entry.clone()), at: context.now };
        Ok(if self.entry.as_ref() == Some(&entry) { vec![] } else { vec![listed] })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::check::{context, given, when};

    fn entry(kind: Kind, name: &str) -> Entry {
        Entry {
            kind,
            name: name.to_owned(),
            sort: String::new(),
            numbers: vec![],
            phones: vec![],
            active: true,
            ward: None,
            manufacturer: String::new(),
            model: String::new(),
            serial: String::new(),
            lot: String::new(),
            expires: None,
        }
    }

    #[test]
    fn an_entry_is_added_changed_and_stays_what_it_is() {
        let pump = Entry { serial: "S-1".to_owned(), ..entry(Kind::Equipment, " Pump 7 ") };
        let added = when(&Listed::default(), &context(None), Command::Add(pump.clone())).unwrap();
        let listed: Listed = given(&added);
        assert_eq!(listed.entry.as_ref().map(|entry| entry.name.as_str()), Some("Pump 7"));
        assert_eq!(when(&listed, &context(None), Command::Change(pump.clone())), Ok(vec![]), "as it was");
        assert_eq!(when(&listed, &context(None), Command::Change(Entry { active: false, ..pump.clone() })).unwrap().len(), 1);
        let wrong = [
            (Command::Change(entry(Kind::Place, "Pump 7")), "other_kind"),
            (Command::Change(entry(Kind::Equipment, " ")), "name_missing"),
            (Command::Change(Entry { model: "x".repeat(257), ..pump.clone() }), "too_much"),
            (Command::Change(Entry { phones: vec!["1".to_owned(); 21], ..pump.clone() }), "too_much"),
            (Command::Add(Entry { kind: Kind::Organization, ..pump.clone() }), "not_equipment"),
        ];
        for (command, rule) in wrong {
            assert_eq!(when(&listed, &context(None), command.clone()), Err(rule.to_owned()), "{command:?}");
        }
        assert_eq!(when(&Listed::default(), &context(None), Command::Change(pump)), Err("unknown_entry".to_owned()));
    }
}
