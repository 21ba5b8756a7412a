//! Identities: our own ids with a printed prefix, outside numbers with a checked constructor.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize, Serializer};

use super::Invalid;

/// Longest key of any identity, in characters.
const KEY_MAX: usize = 64;

fn check_key(what: &'static str, text: &str) -> Result<(), Invalid> {
    if text.is_empty() {
        return Err(Invalid::new(what, text, "it is empty"));
    }
    if text.chars().count() > KEY_MAX {
        return Err(Invalid::new(what, text, format!("it is longer than {KEY_MAX} characters")));
    }
    match text.chars().find(|c| !c.is_ascii_alphanumeric() && !"-_.:@#+*=~".contains(*c)) {
        Some(c) => Err(Invalid::new(what, text, format!("character {c:?} is not allowed (letters, digits and -_.:@#+*=~ are)"))),
        None => Ok(()),
    }
}

/// Declares an identity: a text newtype with a check, `FromStr`, `Display` and serde as a string.
macro_rules! identity {
    ($(#[$doc:meta])* $name:ident, $what:literal, $check:expr) => {
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Deserialize)]
        #[serde(try_from = "String")]
        pub struct $name(String);

        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.serialize_str(&self.0)
            }
        }

        impl $name {
            /// The identity as text, as it was received.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl FromStr for $name {
            type Err = Invalid;
            fn from_str(text: &str) -> Result<Self, Invalid> {
                let check: fn(&'static str, &str) -> Result<(), Invalid> = $check;
                check($what, text)?;
                Ok(Self(text.to_owned()))
            }
        }

        impl TryFrom<String> for $name {
            type Error = Invalid;
            fn try_from(text: String) -> Result<Self, Invalid> {
                text.parse()
            }
        }

        impl From<$name> for String {
            fn from(id: $name) -> String {
                id.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }
    };
}

identity!(/// A configured device: an analyzer, scanner, reader, cabinet controller or peer system.
    DeviceId, "device", check_key);
identity!(/// A ward, as the hospital's own code (`MED1`).
    WardId, "ward", check_key);
identity!(/// A dispensing cabinet, unique in this hospital.
    CabinetId, "cabinet", check_key);
identity!(/// A pocket of a cabinet: `drawer-pocket`, such as `3-12`.
    PocketId, "pocket", check_key);
identity!(/// A stock item, as the hospital's own code (`PARA500`).
    ItemId, "item", check_key);
identity!(/// A medical record number, as the hospital issues it; kept as received.
    Mrn, "medical record number", check_key);
identity!(/// A stay or visit: `enc_` and the hospital's visit number (PV1-19), or a number of ours.
    EncounterId, "encounter", check_encounter);
identity!(/// A bed: `WARD:ROOM:BED`, the three parts of HL7 v2 PL (PV1-3.1 to .3).
    BedId, "bed", check_bed);
identity!(/// A specimen's accession number, as printed on the tube. Our own end in a Luhn check digit.
    Accession, "accession", check_key);
identity!(/// A user: somebody with a name to sign in with, or a program with tokens; lower case.
    UserId, "user", check_user);
identity!(/// A schedule: of a practitioner, a room or a device.
    ScheduleId, "schedule", check_key);
identity!(/// A document that was filed: `doc_` and a number of ours.
    DocumentId, "document", check_document);
identity!(/// A patient's account: `acc_` and the medical record number.
    AccountId, "account", check_account);

fn check_bed(what: &'static str, text: &str) -> Result<(), Invalid> {
    check_key(what, text)?;
    if text.split(':').count() != 3 || text.split(':').any(str::is_empty) {
        return Err(Invalid::new(what, text, "a bed is WARD:ROOM:BED"));
    }
    Ok(())
}

fn check_user(what: &'static str, text: &str) -> Result<(), Invalid> {
    check_key(what, text)?;
    match text.chars().find(|c| !c.is_ascii_lowercase() && !c.is_ascii_digit() && !"-_.".contains(*c)) {
        Some(c) => Err(Invalid::new(what, text, format!("character {c:?} is not allowed (lower-case letters, digits and -_. are)"))),
        None => Ok(()),
    }
}

fn check_account(what: &'static str, text: &str) -> Result<(), Invalid> {
    match text.strip_prefix("acc_") {
        Some(mrn) => check_key(what, mrn),
        None => Err(Invalid::new(what, text, "an account starts with acc_")),
    }
}

fn check_document(what: &'static str, text: &str) -> Result<(), Invalid> {
    match text.strip_prefix("doc_") {
        Some(number) => check_key(what, number),
        None => Err(Invalid::new(what, text, "a document starts with doc_")),
    }
}

fn check_encounter(what: &'static str, text: &str) -> Result<(), Invalid> {
    check_key(what, text)?;
    match text.strip_prefix("enc_") {
        Some(number) if !number.is_empty() => Ok(()),
        _ => Err(Invalid::new(what, text, "an encounter starts with enc_")),
    }
}

impl EncounterId {
    /// The encounter with this visit number of the hospital's own system.
    pub fn of_visit(number: &str) -> Result<Self, Invalid> {
        format!("enc_{number}").parse()
    }

    /// The visit number: that of the hospital's own system, or one of ours.
    pub fn visit(&self) -> &str {
        self.0.strip_prefix("enc_").unwrap_or(&self.0)
    }

    /// Whether it is a number of ours, given to a stay that came without one.
    pub fn is_ours(&self) -> bool {
        self.0.strip_prefix("enc_w").is_some_and(|digits| digits.len() == 32 && digits.bytes().all(|byte| byte.is_ascii_hexdigit()))
    }

    /// The encounter that a command opens: the same at each repetition.
    pub fn of_command(command: super::CommandId) -> Self {
        let digits = command.bytes().iter().fold(String::from("enc_w"), |text, byte| text + &format!("{byte:02x}"));
        Self(digits)
    }
}

impl DocumentId {
    /// The document that a command files: the same at each repetition.
    pub fn of_command(command: super::CommandId) -> Self {
        let digits = command.bytes().iter().fold(String::from("doc_"), |text, byte| text + &format!("{byte:02x}"));
        Self(digits)
    }
}

impl BedId {
    /// Ward, room and bed, as [`BedId::of`] takes them; the room is empty where none is named.
    pub fn parts(&self) -> [&str; 3] {
        let mut parts = self.0.split(':').map(|part| if part == "-" { "" } else { part });
        std::array::from_fn(|_| parts.next().unwrap_or_default())
    }

    /// The bed at ward, room and bed, the parts of HL7 v2 PL. Blanks are written as `_` and a room that is not named as `-`, since
    /// senders have both (`AE OMU^^Bed 03` is `AE_OMU:-:Bed_03`).
    pub fn of(ward: &str, room: &str, bed: &str) -> Result<Self, Invalid> {
        let part = |text: &str| text.trim().replace(' ', "_");
        let room = Some(part(room)).filter(|room| !room.is_empty()).unwrap_or_else(|| "-".to_owned());
        format!("{}:{room}:{}", part(ward), part(bed)).parse()
    }

    /// The ward's part of the id.
    pub fn ward(&self) -> &str {
        self.0.split(':').next().unwrap_or_default()
    }
}

impl AccountId {
    /// The account of the patient with this medical record number.
    pub fn of(mrn: &Mrn) -> Self {
        Self(format!("acc_{mrn}"))
    }

    /// The medical record number whose account this is.
    pub fn mrn(&self) -> &str {
        self.0.strip_prefix("acc_").unwrap_or_default()
    }
}

impl PocketId {
    /// The drawer's part of the id: what stands before the first `-`.
    pub fn drawer(&self) -> &str {
        self.0.split('-').next().unwrap_or_default()
    }
}

impl Mrn {
    /// Our own medical record number: `W`, a number of at least seven digits and a Luhn check digit.
    pub fn issue(number: u32) -> Self {
        let body = format!("{number:07}");
        let check = luhn_check_digit(&body);
        Self(format!("W{body}{check}"))
    }
}

impl Accession {
    /// Our own accession number: `YYMMDD`, a daily number of at least five digits and a Luhn check digit,
    /// so that one wrong or swapped digit typed by hand never names another tube.
    pub fn issue(year_month_day: u32, number: u32) -> Self {
        let body = format!("{year_month_day:06}{number:05}");
        let check = luhn_check_digit(&body);
        Self(format!("{body}{check}"))
    }

    /// Whether the last digit is the Luhn check digit of those before it (true for every number of our own).
    pub fn is_checked(&self) -> bool {
        let (body, last) = self.0.split_at(self.0.len().saturating_sub(1));
        !body.is_empty() && body.bytes().all(|b| b.is_ascii_digit()) && last == luhn_check_digit(body).to_string()
    }
}

/// The Luhn (mod 10) check digit of a text of digits (ISO/IEC 7812-1 annex B).
fn luhn_check_digit(digits: &str) -> u32 {
    let sum: u32 = digits
        .bytes()
        .rev()
        .enumerate()
        .map(|(position, byte)| {
            let digit = u32::from(byte.wrapping_sub(b'0'));
            let weighted = if position % 2 == 0 { digit * 2 } else { digit };
            weighted / 10 + weighted % 10
        })
        .sum();
    (10 - sum % 10) % 10
}

/// Which kind of aggregate a stream belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum StreamKind {
    /// A bed and who lies in it.
    Bed,
    /// A specimen from order to result.
    Specimen,
    /// A dispensing cabinet's stock.
    Cabinet,
    /// A patient's charges.
    Account,
    /// A device: what it sent, its controls, its sightings.
    Device,
    /// One message that waits for a person.
    Quarantine,
    /// The hospital itself: accession numbers, its staff.
    Hospital,
    /// Who a patient is, and what is known of them.
    Patient,
    /// A stay or visit.
    Encounter,
    /// How a user signed in, and what they opened in emergencies.
    User,
    /// What a user looked at.
    Access,
    /// A patient's problems and notes.
    Chart,
    /// A patient's vital signs, fluids and alerts.
    Vitals,
    /// Sessions and appointments of a practitioner, a room or a device.
    Schedule,
    /// Another system that is told what happens here.
    Subscriber,
    /// What a program wants to be told of by FHIR.
    Subscription,
    /// The nursing tasks of a stay.
    Task,
    /// The bytes of a document.
    Document,
    /// An entry of the directory: an organisation, a place, equipment.
    Directory,
}

impl StreamKind {
    /// Every kind, in the order of this enum.
    pub const ALL: [StreamKind; 19] = [
        StreamKind::Bed,
        StreamKind::Specimen,
        StreamKind::Cabinet,
        StreamKind::Account,
        StreamKind::Device,
        StreamKind::Quarantine,
        StreamKind::Hospital,
        StreamKind::Patient,
        StreamKind::Encounter,
        StreamKind::User,
        StreamKind::Access,
        StreamKind::Chart,
        StreamKind::Vitals,
        StreamKind::Schedule,
        StreamKind::Subscriber,
        StreamKind::Subscription,
        StreamKind::Task,
        StreamKind::Document,
        StreamKind::Directory,
    ];

    /// The word that stands before the slash of a stream id.
    pub fn word(self) -> &'static str {
        match self {
            StreamKind::Bed => "bed",
            StreamKind::Specimen => "specimen",
            StreamKind::Cabinet => "cabinet",
            StreamKind::Account => "account",
            StreamKind::Device => "device",
            StreamKind::Quarantine => "quarantine",
            StreamKind::Hospital => "hospital",
            StreamKind::Patient => "patient",
            StreamKind::Encounter => "encounter",
            StreamKind::User => "user",
            StreamKind::Access => "access",
            StreamKind::Chart => "chart",
            StreamKind::Vitals => "vitals",
            StreamKind::Schedule => "schedule",
            StreamKind::Subscriber => "subscriber",
            StreamKind::Subscription => "subscription",
            StreamKind::Task => "task",
            StreamKind::Document => "document",
            StreamKind::Directory => "directory",
        }
    }
}

/// One ordered history: a kind and a key, printed `specimen/26112100017`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Deserialize)]
#[serde(try_from = "String")]
pub struct StreamId {
    kind: StreamKind,
    key: String,
}

impl StreamId {
    /// The stream of this kind and key; the key comes from a checked identity.
    pub fn new(kind: StreamKind, key: impl Into<String>) -> Self {
        Self { kind, key: key.into() }
    }

    /// What kind of aggregate it is.
    pub fn kind(&self) -> StreamKind {
        self.kind
    }

    /// The key within the kind.
    pub fn key(&self) -> &str {
        &self.key
    }
}

impl fmt::Display for StreamId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.kind.word())?;
        f.write_str("/")?;
        f.write_str(&self.key)
    }
}

impl FromStr for StreamId {
    type Err = Invalid;
    fn from_str(text: &str) -> Result<Self, Invalid> {
        let (word, key) = text.split_once('/').ok_or_else(|| Invalid::new("stream", text, "a stream is kind/key"))?;
        let kind = StreamKind::ALL
            .into_iter()
            .find(|kind| kind.word() == word)
            .ok_or_else(|| Invalid::new("stream", text, format!("unknown kind (known: {})", StreamKind::ALL.map(StreamKind::word).join(", "))))?;
        check_key("stream", key)?;
        Ok(Self::new(kind, key))
    }
}

impl TryFrom<String> for StreamId {
    type Error = Invalid;
    fn try_from(text: String) -> Result<Self, Invalid> {
        text.parse()
    }
}

impl Serialize for StreamId {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn accession_check_digit_finds_every_single_digit_error_and_swap() {
        let accession = Accession::issue(261121, 17);
        assert!(accession.is_checked());
        let text = accession.as_str().as_bytes().to_vec();
        for position in 0..text.len() {
            for digit in b'0'..=b'9' {
                let mut wrong = text.clone();
                wrong[position] = digit;
                let wrong: Accession = String::from_utf8(wrong).unwrap().parse().unwrap();
                assert_eq!(wrong.is_checked(), wrong == accession, "{wrong}");
            }
        }
    }

    #[test]
    fn identities_refuse_what_they_are_not() {
        let cases: [(Result<(), Invalid>, &str); 5] = [
            ("".parse::<DeviceId>().map(drop), "it is empty"),
            ("a b".parse::<Mrn>().map(drop), "' '"),
            ("MED1:101".parse::<BedId>().map(drop), "WARD:ROOM:BED"),
            ("4711".parse::<AccountId>().map(drop), "acc_"),
            ("sepcimen/1".parse::<StreamId>().map(drop), "known: bed, specimen"),
        ];
        for (result, part) in cases {
            let error = result.unwrap_err().to_string();
            assert!(error.contains(part), "{error}");
        }
    }

    #[test]
    fn stream_ids_print_and_parse() {
        for kind in StreamKind::ALL {
            let id = StreamId::new(kind, "A-1");
            assert_eq!(id.to_string().parse::<StreamId>().unwrap(), id);
        }
    }
}
