//! HL7 v2 ADT (v2.8.2 chapter 3): what another system says of people, stays and beds becomes commands of the census.

use super::Routed;
use super::hl7::{Items, invalid, text};
use crate::codec::hl7::ack::Fault;
use crate::codec::hl7::{Message, Segment};
use crate::domain::census::{Admission, Command, Told};
use crate::domain::encounter::Class;
use crate::domain::patient::{Address, Allergy, Category, Contact, Coverage, Criticality, Identifier, Name, Person, Sex};
use crate::domain::quarantine::Reason;
use crate::kernel::time::parse_device_time;
use crate::kernel::{BedId, Date, EncounterId, Mrn, Timestamp, WardId};
use crate::profile::Profile;

type Wrong = (Reason, Option<Fault>);

/// Whose numbers are ours.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Numbers<'a> {
    /// The assigning authority (CX.4.1); without one every record number is taken for ours.
    pub(super) authority: Option<&'a str>,
}

impl<'a> Numbers<'a> {
    /// As the profile says.
    pub(super) fn of(profile: &'a Profile) -> Self {
        Self { authority: profile.identity.authority.as_deref() }
    }
}

/// Characters of a place that are kept.
const PLACE: usize = 100;
/// Allergies of one message at most; what has more is no patient.
const ALLERGIES: usize = 64;

/// What a message asks for: first what is known of the person, then what happened. What cannot be taken over waits for a person, and
/// what is known of the patient is taken over all the same.
pub(super) fn route(trigger: &str, message: &Message<'_>, offset_minutes: i32, numbers: Numbers<'_>) -> Items {
    // The state of a bed is about nobody.
    if trigger == "A20" {
        return Ok(vec![Routed::Noted]);
    }
    let pids: Vec<Segment<'_>> = message.segments().filter(|segment| segment.name() == b"PID").collect();
    let patient = patient(message, numbers)?;
    let pid = pids.first().ok_or_else(missing)?;
    let time = |place: &str| parse_device_time(&text(message, place), offset_minutes).ok();
    let told = written_down(message, &time);
    let mut items = about(message, pid, &patient, told)?;
    match happened(trigger, message, (&pids, numbers), &patient, &time) {
        Ok(commands) => {
            let looked_at = commands.iter().filter_map(to_be_looked_at);
            let looked_at: Vec<Routed> = looked_at.map(Routed::Hold).collect();
            items.extend(commands.into_iter().map(Routed::Census).chain(looked_at));
        }
        Err((reason, None)) => items.push(Routed::Hold(reason)),
        Err(wrong) => return Err(wrong),
    }
    if items.is_empty() { Ok(vec![Routed::Noted]) } else { Ok(items) }
}

/// What a person must look at when something was another patient's: what is written elsewhere cannot know.
fn to_be_looked_at(command: &Command) -> Option<Reason> {
    let (Command::MoveStay { from, to, .. } | Command::MoveAccount { from, to, .. }) = command else { return None };
    let detail = format!(
        "a stay that was written under {from} is {to}'s: notes, problems, newest signs, alerts, allergies and charges have gone along. Look at what was ordered, given, \
         scheduled, limited or drawn under {from} meanwhile (specimens keep their label's number), set right by hand what is {to}'s, then discard this"
    );
    (from != to).then_some(Reason::NotSupported { detail })
}

/// What happened, by the event.
fn happened(
    trigger: &str,
    message: &Message<'_>,
    (pids, numbers): (&[Segment<'_>], Numbers<'_>),
    patient: &Mrn,
    time: &dyn Fn(&str) -> Option<Timestamp>,
) -> Result<Vec<Command>, Wrong> {
    let at = || bed(message, b"PV1", 3);
    let patient = || patient.clone();
    let told = written_down(message, time).map(|as_of| Told { as_of, occurred: occurred(trigger, time) });
    let as_of = |visit, command| Command::OfVisit { visit, told, is_exact: false, command: Box::new(command) };
    let admit = |class| admission(message, &patient(), class).map(|admission| vec![as_of(None, Command::Admit(admission))]);
    let command = match trigger {
        "A01" if at()?.is_none() && class(message) == Class::Inpatient => {
            return Err((Reason::Invalid { detail: "an inpatient without a bed (PV1-3): put the patient into one by hand, then discard this".to_owned() }, None));
        }
        // An A04 of an inpatient who lies in no bed yet is one who waits.
        "A04" if at()?.is_none() && class(message) == Class::Inpatient => return admit(Class::Outpatient),
        "A01" | "A04" => return admit(class(message)),
        // A clinic's patient is admitted: the stay goes on, or one begins.
        "A06" => return admit(Class::Inpatient),
        "A05" | "A14" => return Ok(vec![Command::Plan { admission: admission(message, &patient(), class(message))?, expected: time("PV2-8.1") }]),
        "A27" | "A38" => return Ok(vec![Command::CancelPlan { patient: patient(), encounter: visit(message)? }]),
        "A18" | "A34" | "A39" | "A40" | "A47" => return merges(message, numbers),
        "A37" => return Ok(vec![Command::Unmerge { merged: second(pids, numbers)?, from: Some(patient()) }]),
        "A02" => Command::Move { to: needed(at()?, "PV1-3")?, patient: patient() },
        "A03" if has_died(message) => Command::RecordDeath { at: time("PID-29.1"), patient: patient() },
        "A03" => Command::Discharge { bed: at()?, patient: patient() },
        "A07" => Command::ChangeClass { bed: at()?, class: Class::Outpatient, patient: patient() },
        "A11" => Command::CancelAdmission { bed: at()?, patient: patient() },
        // PV1-3 says where the patient lay before, and lies again.
        "A12" => Command::MoveBack { to: at()?, patient: patient() },
        "A13" => Command::CancelDischarge { bed: at()?, patient: patient() },
        "A15" => Command::RequestTransfer { to: needed(bed(message, b"PV1", 42)?, "PV1-42")?, patient: patient() },
        "A26" => Command::CancelTransfer { patient: patient() },
        "A16" => match time("PV2-9.1") {
            Some(expected) => Command::ExpectEnd { expected, patient: patient() },
            None => return Ok(vec![]),
        },
        "A17" => Command::Swap { with: second(pids, numbers)?, to: at()?, patient: patient() },
        "A09" => match away(message) {
            Some(to) => Command::Depart { to: Some(to), patient: patient() },
            None => return Ok(vec![]),
        },
        "A10" => Command::Arrive { place: place(message, 11), patient: patient() },
        // An arrival that was none, and a departure that was none.
        "A32" => Command::Depart { to: None, patient: patient() },
        "A33" => Command::Arrive { place: None, patient: patient() },
        "A23" => return Ok(vec![Command::RemoveStay { visit: visit(message)?, patient: patient() }]),
        "A44" => return accounts_moved(message, numbers),
        "A45" => return stays_moved(message, numbers),
        "A21" => Command::BeginLeave { patient: patient() },
        "A22" => Command::EndLeave { patient: patient() },
        // A pending discharge that is none (A25) changes no bed.
        "A08" | "A25" | "A28" | "A31" | "A54" | "A55" | "A60" => return Ok(vec![]),
        "A24" | "A29" | "A30" | "A35" | "A36" | "A41" | "A42" | "A43" | "A46" | "A48" | "A49" | "A50" | "A51" | "A52" | "A53" | "A61" | "A62" => {
            return Err((
                Reason::NotSupported { detail: format!("ADT^{trigger} changes records in a way that is not taken over by itself: do by hand what is right, then discard this") },
                None,
            ));
        }
        _ => {
            let detail = format!("ADT^{trigger} is no event that is known here: send it where it belongs");
            return Err((Reason::NotSupported { detail: detail.clone() }, Some(Fault { code: "201", place: "MSH-9.2".to_owned(), text: detail })));
        }
    };
    Ok(vec![as_of(visit(message)?, command)])
}

/// When the sender wrote it down. A day without a time of day says nothing of the order of a day's messages.
fn written_down(message: &Message<'_>, time: &dyn Fn(&str) -> Option<Timestamp>) -> Option<Timestamp> {
    let is_to_the_minute = |place: &&str| text(message, place).chars().take_while(char::is_ascii_digit).count() >= 12;
    ["EVN-2.1", "MSH-7.1"].into_iter().filter(is_to_the_minute).find_map(time)
}

/// When it happened: EVN-6, else the beginning of the stay (PV1-44) or its end (PV1-45).
fn occurred(trigger: &str, time: &dyn Fn(&str) -> Option<Timestamp>) -> Option<Timestamp> {
    time("EVN-6.1").or_else(|| match trigger {
        "A01" | "A04" => time("PV1-44.1"),
        "A03" => time("PV1-45.1"),
        _ => None,
    })
}

fn missing() -> Wrong {
    invalid("101", "PID-3.1", "PID-3.1 is missing: name the patient by medical record number".to_owned())
}

/// The patient that a message names.
pub(super) fn patient(message: &Message<'_>, numbers: Numbers<'_>) -> Result<Mrn, Wrong> {
    number(&message.segments().find(|segment| segment.name() == b"PID").ok_or_else(missing)?, numbers)
}

fn part(segment: &Segment<'_>, field: u16, repetition: u16, component: u16) -> String {
    let found = segment.text_at(field, repetition, component, 1).map(|text| text.trim().to_owned()).unwrap_or_default();
    // The explicit null says that there is nothing.
    if found == "\"\"" { String::new() } else { found }
}

fn parts(segment: &Segment<'_>, field: u16) -> impl Iterator<Item = u16> {
    1..=segment.repetitions(field)
}

/// The medical record number: the repetition of the field that says that it is one (CX.5 `MR`), else the first. Where the profile names
/// the authority whose numbers are ours, only a number of that authority (CX.4.1): another system's 1001 is somebody else.
fn number_in(segment: &Segment<'_>, field: u16, place: &'static str, numbers: Numbers<'_>) -> Result<Mrn, Wrong> {
    let is_ours = |repetition: &u16| numbers.authority.is_none_or(|authority| part(segment, field, *repetition, 4) == authority);
    let typed = parts(segment, field).filter(is_ours).find(|repetition| part(segment, field, *repetition, 5) == "MR");
    let typed = typed.or_else(|| parts(segment, field).find(is_ours));
    let number = typed.map(|repetition| part(segment, field, repetition, 1)).unwrap_or_default();
    match (number.is_empty(), numbers.authority) {
        (false, _) => number.parse().map_err(|error: crate::kernel::Invalid| invalid("102", place, error.to_string())),
        (true, Some(authority)) => {
            Err(invalid("204", place, format!("{place} holds no number of {authority}, whose numbers this house uses (CX.4): send one, or name another authority in the profile")))
        }
        (true, None) => Err(invalid("101", place, format!("{place} is missing: name the patient by medical record number"))),
    }
}

fn number(pid: &Segment<'_>, numbers: Numbers<'_>) -> Result<Mrn, Wrong> {
    number_in(pid, 3, "PID-3.1", numbers)
}

fn second(pids: &[Segment<'_>], numbers: Numbers<'_>) -> Result<Mrn, Wrong> {
    match pids.get(1) {
        Some(pid) => number(pid, numbers),
        None => Err(invalid("100", "PID", "the second PID is missing: this event is about two patients".to_owned())),
    }
}

/// Each PID with the MRG behind it: a message may merge several.
fn merges(message: &Message<'_>, numbers: Numbers<'_>) -> Result<Vec<Command>, Wrong> {
    let (mut survivor, mut found) = (None, Vec::new());
    for segment in message.segments() {
        match segment.name() {
            b"PID" => survivor = Some(number(&segment, numbers)?),
            b"MRG" => found.push(Command::Merge { survivor: survivor.clone().ok_or_else(missing)?, merged: number_in(&segment, 1, "MRG-1.1", numbers)? }),
            _ => {}
        }
    }
    if found.is_empty() { Err(invalid("101", "MRG-1.1", "MRG-1.1 is missing: name the number that is merged".to_owned())) } else { Ok(found) }
}

/// Each MRG with the PID before it, and what it names: the number that was wrong; the patient's own where there is none.
fn from_mrg<'m>(message: &'m Message<'_>, numbers: Numbers<'m>) -> impl Iterator<Item = Result<(Mrn, Mrn, Segment<'m>), Wrong>> {
    let mut pid = None;
    message.segments().filter_map(move |segment| match segment.name() {
        b"PID" => {
            pid = Some(number(&segment, numbers));
            None
        }
        b"MRG" => {
            let to = match pid.clone() {
                Some(Ok(to)) => to,
                Some(Err(wrong)) => return Some(Err(wrong)),
                None => return Some(Err(missing())),
            };
            let from = if part(&segment, 1, 1, 1).is_empty() { Ok(to.clone()) } else { number_in(&segment, 1, "MRG-1.1", numbers) };
            Some(from.map(|from| (from, to, segment)))
        }
        _ => None,
    })
}

/// A45: each visit of MRG-5 is the patient's of PID, and billed to the account of PID-18.
fn stays_moved(message: &Message<'_>, numbers: Numbers<'_>) -> Result<Vec<Command>, Wrong> {
    let mut found = Vec::new();
    for moved in from_mrg(message, numbers) {
        let (from, to, mrg) = moved?;
        let visit = match part(&mrg, 5, 1, 1).as_str() {
            "" => visit(message)?,
            number => Some(EncounterId::of_visit(number).map_err(|error| invalid("102", "MRG-5", error.to_string()))?),
        };
        let visit = visit.ok_or_else(|| invalid("101", "MRG-5", "MRG-5 is missing: name the visit that is moved".to_owned()))?;
        found.push(Command::MoveStay { from, to, visit, account: account(message) });
    }
    if found.is_empty() { Err(invalid("101", "MRG-1.1", "MRG is missing: name the number and the visit that are moved".to_owned())) } else { Ok(found) }
}

/// A44: the account of MRG-3 is the patient's of PID.
fn accounts_moved(message: &Message<'_>, numbers: Numbers<'_>) -> Result<Vec<Command>, Wrong> {
    let mut found = Vec::new();
    for moved in from_mrg(message, numbers) {
        let (from, to, mrg) = moved?;
        let account = [part(&mrg, 3, 1, 1)].into_iter().chain(account(message)).find(|account| !account.is_empty());
        let account = account.ok_or_else(|| invalid("101", "MRG-3", "MRG-3 is missing: name the account that is moved".to_owned()))?;
        found.push(Command::MoveAccount { from, to, account });
    }
    if found.is_empty() { Err(invalid("101", "MRG-1.1", "MRG is missing: name the number and the account that are moved".to_owned())) } else { Ok(found) }
}

/// The account that a visit is billed to (PID-18).
fn account(message: &Message<'_>) -> Option<String> {
    Some(first(message, b"PID", 18, 1)).filter(|account| !account.is_empty())
}

/// Where the patient is looked after (PV1-3.1).
fn unit(message: &Message<'_>) -> Option<WardId> {
    first(message, b"PV1", 3, 1).replace(' ', "_").parse().ok()
}

/// A place in words: PL.1 to PL.3 and the description (PL.9) of a field of PV1.
fn place(message: &Message<'_>, field: u16) -> Option<String> {
    let words: Vec<String> = [1, 2, 3, 9].map(|component| first(message, b"PV1", field, component)).into_iter().filter(|word| !word.is_empty()).collect();
    let text: String = words.join(" ").chars().take(PLACE).collect();
    Some(text).filter(|text| !text.is_empty())
}

/// Where a patient goes for a while: PV1-11, else the place that is pending (PV1-42).
fn away(message: &Message<'_>) -> Option<String> {
    place(message, 11).or_else(|| place(message, 42))
}

/// A component of the first segment of a name.
fn first(message: &Message<'_>, name: &[u8; 3], field: u16, component: u16) -> String {
    message.segments().find(|segment| segment.name() == name).map(|segment| part(&segment, field, 1, component)).unwrap_or_default()
}

/// The bed of a location; none when it names no bed, as for outpatients.
pub(super) fn bed(message: &Message<'_>, segment: &[u8; 3], field: u16) -> Result<Option<BedId>, Wrong> {
    let [ward, room, bed] = [1, 2, 3].map(|component| first(message, segment, field, component));
    if bed.is_empty() {
        return Ok(None);
    }
    let place = format!("{}-{field}", String::from_utf8_lossy(segment));
    BedId::of(&ward, &room, &bed).map(Some).map_err(|_| invalid("102", &place, format!("{place} names no bed: it is ward^room^bed")))
}

fn needed(bed: Option<BedId>, field: &str) -> Result<BedId, Wrong> {
    bed.ok_or_else(|| invalid("101", field, format!("{field} names no bed: say where the patient lies, ward^room^bed")))
}

/// HL7 table 0004; a newborn is told by the kind of its admission (table 0007).
fn class(message: &Message<'_>) -> Class {
    match (&*text(message, "PV1-2.1"), &*text(message, "PV1-4.1")) {
        (_, "N") => Class::Newborn,
        ("E", _) => Class::Emergency,
        ("O" | "R" | "C" | "N", _) => Class::Outpatient,
        _ => Class::Inpatient,
    }
}

/// The patient is dead by PID-30, or by the way that they left (table 0112: 20 expired, 40 to 42 in hospice care).
fn has_died(message: &Message<'_>) -> bool {
    text(message, "PID-30.1") == "Y" || ["20", "40", "41", "42"].contains(&&*text(message, "PV1-36.1"))
}

fn visit(message: &Message<'_>) -> Result<Option<EncounterId>, Wrong> {
    match first(message, b"PV1", 19, 1).as_str() {
        "" => Ok(None),
        number => EncounterId::of_visit(number).map(Some).map_err(|error| invalid("102", "PV1-19", error.to_string())),
    }
}

fn admission(message: &Message<'_>, patient: &Mrn, class: Class) -> Result<Admission, Wrong> {
    let mother = first(message, b"PID", 21, 1).parse().ok();
    let bed = bed(message, b"PV1", 3)?;
    // Whoever lies in a bed is looked after by its ward.
    let ward = if bed.is_none() { unit(message) } else { None };
    Ok(Admission { patient: patient.clone(), encounter: visit(message)?, class, bed, mother, account: account(message), ward })
}

/// What the message says of the person and of what they must not be given.
fn about(message: &Message<'_>, pid: &Segment<'_>, patient: &Mrn, told: Option<Timestamp>) -> Items {
    let person = person(message, pid, patient);
    let is_said = person != Person::default();
    let register = is_said.then(|| Command::Register { patient: patient.clone(), person: Box::new(person), as_of: told, is_new: false });
    let mut items: Vec<Routed> = register.into_iter().map(Routed::Census).collect();
    let mut substances = Vec::new();
    for segment in message.segments().filter(|segment| matches!(segment.name(), b"AL1" | b"IAM")) {
        match allergy(&segment, patient) {
            Some(Routed::Census(Command::RecordAllergy { allergy, .. })) if substances.contains(&allergy) => {}
            Some(item) => {
                if let Routed::Census(Command::RecordAllergy { allergy, .. }) = &item {
                    substances.push(allergy.clone());
                }
                items.push(item);
            }
            None => {}
        }
    }
    if items.len() > ALLERGIES {
        return Err(invalid("102", "AL1", format!("the message names more than {ALLERGIES} allergies: send them in parts")));
    }
    Ok(items)
}

fn date(text: &str) -> Option<Date> {
    let digits = text.get(..8).filter(|digits| digits.bytes().all(|byte| byte.is_ascii_digit()))?;
    Date::new(digits[..4].parse().ok()?, digits[4..6].parse().ok()?, digits[6..].parse().ok()?).ok()
}

fn name(segment: &Segment<'_>, field: u16) -> Name {
    let given = [2, 3].map(|component| part(segment, field, 1, component)).into_iter().filter(|name| !name.is_empty()).collect();
    Name { family: part(segment, field, 1, 1), given }
}

/// A phone number: as one text, or as area code and local number (XTN.1, XTN.12, XTN.6 and .7).
fn phone(segment: &Segment<'_>, field: u16, repetition: u16) -> String {
    let pieces = [part(segment, field, repetition, 6), part(segment, field, repetition, 7)].concat();
    [part(segment, field, repetition, 1), part(segment, field, repetition, 12), pieces].into_iter().find(|number| !number.is_empty()).unwrap_or_default()
}

fn person(message: &Message<'_>, pid: &Segment<'_>, patient: &Mrn) -> Person {
    let identifiers = parts(pid, 3).map(|repetition| Identifier { kind: part(pid, 3, repetition, 5), value: part(pid, 3, repetition, 1), issuer: part(pid, 3, repetition, 4) });
    let is_other = |identifier: &Identifier| !identifier.value.is_empty() && identifier.value != patient.as_str();
    let address = Address { line: part(pid, 11, 1, 1), city: part(pid, 11, 1, 3), state: part(pid, 11, 1, 4), postal_code: part(pid, 11, 1, 5), country: part(pid, 11, 1, 6) };
    let all = |wanted: &'static [u8; 3]| message.segments().filter(move |segment| segment.name() == wanted);
    Person {
        name: name(pid, 5),
        birth_date: date(&part(pid, 7, 1, 1)),
        sex: match part(pid, 8, 1, 1).as_str() {
            "F" => Sex::Female,
            "M" => Sex::Male,
            "O" | "A" => Sex::Other,
            _ => Sex::Unknown,
        },
        phones: [13, 14].into_iter().flat_map(|field| parts(pid, field).map(move |repetition| phone(pid, field, repetition))).filter(|number| !number.is_empty()).collect(),
        address: Some(address).filter(|address| *address != Address::default()),
        language: Some(part(pid, 15, 1, 1)).filter(|language| !language.is_empty()),
        identifiers: identifiers.filter(is_other).collect(),
        contacts: all(b"NK1").map(|nk1| contact(&nk1)).filter(|contact| contact.name != Name::default()).collect(),
        coverages: all(b"IN1").filter_map(|in1| coverage(&in1)).collect(),
        consents: Vec::new(),
        is_temporary: false,
        mother: part(pid, 21, 1, 1).parse().ok(),
    }
}

fn contact(nk1: &Segment<'_>) -> Contact {
    let relationship = [part(nk1, 3, 1, 2), part(nk1, 3, 1, 1)].into_iter().find(|word| !word.is_empty()).unwrap_or_default();
    Contact { name: name(nk1, 2), relationship, phone: phone(nk1, 5, 1) }
}

fn coverage(in1: &Segment<'_>) -> Option<Coverage> {
    let first = |places: [String; 2]| places.into_iter().find(|text| !text.is_empty()).unwrap_or_default();
    let payer = first([part(in1, 4, 1, 1), part(in1, 3, 1, 1)]);
    let member = first([part(in1, 36, 1, 1), part(in1, 49, 1, 1)]);
    let is_usable = !payer.is_empty() && !member.is_empty();
    is_usable.then(|| Coverage { payer, plan: first([part(in1, 2, 1, 2), part(in1, 2, 1, 1)]), member, from: date(&part(in1, 12, 1, 1)), until: date(&part(in1, 13, 1, 1)) })
}

/// What some senders write where an allergy should stand when there is none.
const NONE_KNOWN: [&str; 6] = ["nka", "nkda", "nkfa", "no known allergies", "no known drug allergies", "no known allergy"];

/// An allergy of AL1 or IAM (v2.8.2, 3.4.6 and 3.4.7; tables 0127 kind, 0128 severity, 0206 action), in IAM one component later.
fn allergy(segment: &Segment<'_>, patient: &Mrn) -> Option<Routed> {
    let is_iam = segment.name() == b"IAM";
    let substance = [part(segment, 3, 1, 2), part(segment, 3, 1, 1)].into_iter().find(|text| !text.is_empty())?;
    if is_iam && part(segment, 6, 1, 1) == "D" {
        let detail = "IAM-6 says that an allergy is none: refute it by hand with the reason, then discard this".to_owned();
        return Some(Routed::Hold(Reason::NotSupported { detail }));
    }
    if NONE_KNOWN.contains(&substance.to_lowercase().as_str()) {
        return Some(Routed::Census(Command::NoKnownAllergies { patient: patient.clone() }));
    }
    let category = match part(segment, 2, 1, 1).as_str() {
        "FA" => Category::Food,
        "EA" | "LA" | "AA" | "PA" => Category::Environment,
        _ => Category::Medication,
    };
    let criticality = match part(segment, 4, 1, 1).as_str() {
        "SV" => Criticality::High,
        // How bad it was is not how bad it may be next: what was moderate is not called low.
        "MI" => Criticality::Low,
        _ => Criticality::Unknown,
    };
    Some(Routed::Census(Command::RecordAllergy { patient: patient.clone(), allergy: Allergy { substance, category, criticality, reaction: part(segment, 5, 1, 1) } }))
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEAD: &str = "MSH|^~\\&|HIS|HOSP|WARDD|HOSP|20260101120000||ADT^A01|17|P|2.5\rEVN||20260101115959\r";
    const PID: &str = "PID|1||N9^^^GOV^NI~1001^^^H^MR||Doe^Jane^Q||19800102|F|||1 Main St^^Town^ST^12345^US||555-1234~^^^^^555^9876||en\r";
    const PV1: &str = "PV1|1|I|W1^101^A|||W1^102^B|||||||||||||V17\r";

    fn run(trigger: &str, segments: &str) -> Result<Vec<Command>, String> {
        let bytes = format!("{HEAD}{segments}").into_bytes();
        let message = Message::parse(&bytes).unwrap();
        match route(trigger, &message, 0, Numbers::default()) {
            Ok(items) => Ok(items
                .into_iter()
                .filter_map(|item| match item {
                    Routed::Census(command) => Some(command),
                    _ => None,
                })
                .collect()),
            Err((reason, fault)) => Err(format!("{} {}", reason.word(), fault.map_or("", |fault| fault.code))),
        }
    }

    fn mrn(text: &str) -> Mrn {
        text.parse().unwrap()
    }

    fn place(text: &str) -> BedId {
        text.parse().unwrap()
    }

    /// What happened, behind what is said of the person.
    fn event(trigger: &str, segments: &str) -> Result<Option<Command>, String> {
        let is_event = |command: &Command| !matches!(command, Command::Register { .. } | Command::RecordAllergy { .. });
        run(trigger, segments).map(|commands| commands.into_iter().find(is_event).map(undated))
    }

    /// Without the time at which it was written down, and bare where no visit is named.
    fn undated(command: Command) -> Command {
        match command {
            Command::OfVisit { visit: None, command, .. } => *command,
            Command::OfVisit { visit, is_exact, command, .. } => Command::OfVisit { visit, told: None, is_exact, command },
            other => other,
        }
    }

    #[test]
    fn when_it_happened_stands_in_the_event_or_the_visit() {
        let told = |trigger: &str, evn: &str, pv1: &str| {
            let bytes = format!("{}{PID}{pv1}", HEAD.replace("EVN||20260101115959", evn)).into_bytes();
            let items = route(trigger, &Message::parse(&bytes).unwrap(), 0, Numbers::default()).unwrap();
            items.into_iter().find_map(|item| if let Routed::Census(Command::OfVisit { told, .. }) = item { told?.occurred } else { None }).map(|at| at.to_string())
        };
        let visit = |field: usize| format!("{}{}20260101080000\r", PV1.trim_end(), "|".repeat(field - 19));
        let at = |hour: &str| Some(format!("2026-01-01T{hour}:00:00.000000Z"));
        assert_eq!(told("A02", "EVN||20260101115959||||20260101093000", PV1), Some("2026-01-01T09:30:00.000000Z".to_owned()));
        assert_eq!((told("A01", "EVN||20260101115959", &visit(44)), told("A03", "EVN||20260101115959", &visit(45))), (at("08"), at("08")));
        assert_eq!((told("A02", "EVN||20260101115959", &visit(44)), told("A01", "EVN||20260101115959", PV1)), (None, None));
    }

    #[test]
    fn what_happened_is_as_of_when_it_was_written_down() {
        for (evn, expected) in [("EVN||20260101115959", "2026-01-01T11:59:59Z"), ("EVN|", "2026-01-01T12:00:00Z"), ("EVN||20260101", "2026-01-01T12:00:00Z")] {
            let bytes = format!("{}{PID}{PV1}", HEAD.replace("EVN||20260101115959", evn)).into_bytes();
            for trigger in ["A01", "A02"] {
                let items = route(trigger, &Message::parse(&bytes).unwrap(), 0, Numbers::default()).unwrap();
                let told = items.iter().find_map(|item| if let Routed::Census(Command::OfVisit { told, .. }) = item { Some(*told) } else { None });
                assert_eq!(told, Some(Some(Told { as_of: expected.parse().unwrap(), occurred: None })), "{trigger} {evn}");
            }
        }
    }

    #[test]
    fn a_person_is_read_from_all_segments() {
        let more = "NK1|1|Doe^John|FTH^father|||||\rAL1|1|DA|^Penicillin|SV|rash\rAL1|2|FA|\rIN1|1|PPO^Plan|77|Insurer||||||||20260101|20261231|||||||||||||||||||||||M-1\r";
        let commands = run("A08", &format!("{PID}{more}")).unwrap();
        let [Command::Register { patient, person, as_of, .. }, Command::RecordAllergy { allergy, .. }] = &commands[..] else { panic!("{commands:?}") };
        assert_eq!((patient.as_str(), as_of.map(|time| time.to_string())), ("1001", Some("2026-01-01T11:59:59.000000Z".to_owned())));
        assert_eq!((person.name.printed().as_str(), person.birth_date.unwrap().to_string().as_str(), person.sex), ("Doe, Jane Q", "1980-01-02", Sex::Female));
        assert_eq!(person.phones, ["555-1234", "5559876"]);
        assert_eq!(person.identifiers, [Identifier { kind: "NI".into(), value: "N9".into(), issuer: "GOV".into() }]);
        assert_eq!((person.contacts[0].relationship.as_str(), person.coverages[0].member.as_str(), person.coverages[0].plan.as_str()), ("father", "M-1", "Plan"));
        assert_eq!((person.address.as_ref().unwrap().city.as_str(), person.language.as_deref()), ("Town", Some("en")));
        assert_eq!((allergy.substance.as_str(), allergy.criticality, allergy.reaction.as_str()), ("Penicillin", Criticality::High, "rash"));
    }

    #[test]
    fn each_event_is_its_command() {
        let (patient, bed) = (mrn("1001"), place("W1:101:A"));
        let visit = EncounterId::of_visit("V17").unwrap();
        let admission = |class| Admission { patient: patient.clone(), encounter: Some(visit.clone()), class, bed: Some(bed.clone()), mother: None, account: None, ward: None };
        let both = format!("{PID}{PV1}");
        // Who comes and goes lies in no bed, and is looked after somewhere all the same.
        let waits = |class, ward: &str| Some(Command::Admit(Admission { encounter: None, bed: None, ward: ward.parse().ok(), ..admission(class) }));
        let of_visit = |command| Some(Command::OfVisit { visit: Some(visit.clone()), told: None, is_exact: false, command: Box::new(command) });
        let cases = [
            ("A01", both.clone(), Some(Command::Admit(admission(Class::Inpatient)))),
            ("A04", both.replace("|I|", "|E|"), Some(Command::Admit(admission(Class::Emergency)))),
            ("A05", both.clone(), Some(Command::Plan { admission: admission(Class::Inpatient), expected: None })),
            ("A02", both.clone(), of_visit(Command::Move { patient: patient.clone(), to: bed.clone() })),
            ("A03", both.clone(), of_visit(Command::Discharge { patient: patient.clone(), bed: Some(bed.clone()) })),
            ("A03", both.clone() + "PV1|1|I\r", of_visit(Command::Discharge { patient: patient.clone(), bed: Some(bed.clone()) })),
            ("A06", both.clone().replace("|I|", "|O|"), Some(Command::Admit(admission(Class::Inpatient)))),
            ("A07", PID.to_owned() + "PV1|1|O\r", Some(Command::ChangeClass { patient: patient.clone(), class: Class::Outpatient, bed: None })),
            ("A11", both.clone(), of_visit(Command::CancelAdmission { patient: patient.clone(), bed: Some(bed.clone()) })),
            ("A12", both.clone(), of_visit(Command::MoveBack { patient: patient.clone(), to: Some(bed.clone()) })),
            ("A13", both.clone(), of_visit(Command::CancelDischarge { patient: patient.clone(), bed: Some(bed.clone()) })),
            ("A15", both.trim_end().to_owned() + &"|".repeat(23) + "W2^1^A\r", of_visit(Command::RequestTransfer { patient: patient.clone(), to: place("W2:1:A") })),
            ("A16", both.clone() + "PV2|||||||||20260105\r", of_visit(Command::ExpectEnd { patient: patient.clone(), expected: "2026-01-05T00:00:00Z".parse().unwrap() })),
            ("A17", format!("{both}PID|2||1002^^^H^MR\r"), of_visit(Command::Swap { patient: patient.clone(), with: mrn("1002"), to: Some(bed.clone()) })),
            ("A21", both.clone(), of_visit(Command::BeginLeave { patient: patient.clone() })),
            ("A22", both.clone(), of_visit(Command::EndLeave { patient: patient.clone() })),
            ("A09", both.trim_end().to_owned() + &"|".repeat(23) + "RAD^2\r", of_visit(Command::Depart { patient: patient.clone(), to: Some("RAD 2".to_owned()) })),
            ("A09", both.clone(), None),
            (
                "A10",
                both.clone().replace("W1^102^B|||||", "W1^102^B|||||RAD^^^^^^^^Room 2"),
                of_visit(Command::Arrive { patient: patient.clone(), place: Some("RAD Room 2".to_owned()) }),
            ),
            ("A10", both.clone(), of_visit(Command::Arrive { patient: patient.clone(), place: None })),
            ("A32", both.clone(), of_visit(Command::Depart { patient: patient.clone(), to: None })),
            ("A33", both.clone(), of_visit(Command::Arrive { patient: patient.clone(), place: None })),
            ("A23", both.clone(), Some(Command::RemoveStay { patient: patient.clone(), visit: Some(visit.clone()) })),
            ("A44", format!("{PID}MRG|1002^^^H^MR||ACC7\r"), Some(Command::MoveAccount { from: mrn("1002"), to: patient.clone(), account: "ACC7".to_owned() })),
            ("A45", format!("{PID}MRG|1002||||V17\r{PV1}"), Some(Command::MoveStay { from: mrn("1002"), to: patient.clone(), visit: visit.clone(), account: None })),
            (
                "A45",
                PID.replace("||en\r", "||en|||A9\r") + "MRG|||A8||V17\r" + PV1,
                Some(Command::MoveStay { from: patient.clone(), to: patient.clone(), visit: visit.clone(), account: Some("A9".to_owned()) }),
            ),
            ("A26", both.clone(), of_visit(Command::CancelTransfer { patient: patient.clone() })),
            ("A38", both.clone(), Some(Command::CancelPlan { patient: patient.clone(), encounter: Some(visit.clone()) })),
            ("A40", format!("{PID}MRG|1002^^^H^MR\r"), Some(Command::Merge { survivor: patient.clone(), merged: mrn("1002") })),
            ("A37", format!("{PID}PID|2||1002^^^H^MR\r"), Some(Command::Unmerge { merged: mrn("1002"), from: Some(patient.clone()) })),
            ("A02", PID.to_owned() + "PV1|1|I|AE OMU^^Bed 03\r", Some(Command::Move { patient: patient.clone(), to: place("AE_OMU:-:Bed_03") })),
            ("A31", PID.to_owned(), None),
            ("A01", PID.to_owned() + "PV1|1|O|CLINIC\r", waits(Class::Outpatient, "CLINIC")),
            ("A04", PID.to_owned() + "PV1|1|E|ED\r", waits(Class::Emergency, "ED")),
            ("A04", PID.to_owned() + "PV1|1|I|ED\r", waits(Class::Outpatient, "ED")),
        ];
        for (trigger, segments, command) in cases {
            assert_eq!(event(trigger, &segments), Ok(command), "{trigger} {segments}");
        }
        let died = PID.trim_end().to_owned() + &"|".repeat(15) + "Y\r";
        assert_eq!(
            event("A03", &(died + PV1)),
            Ok(Some(Command::OfVisit { visit: Some(visit), told: None, is_exact: false, command: Box::new(Command::RecordDeath { patient, at: None }) }))
        );
    }

    #[test]
    fn what_waits_for_a_person_does_not_keep_what_is_known_of_the_patient() {
        let cases = [("A01", "PV1|1|I|W1\r"), ("A24", PV1), ("A31", "IAM|1|DA|^Latex|SV||D\r")];
        for (trigger, segments) in cases {
            let bytes = format!("{HEAD}{PID}{segments}").into_bytes();
            let items = route(trigger, &Message::parse(&bytes).unwrap(), 0, Numbers::default()).unwrap();
            assert!(matches!(&items[..], [Routed::Census(Command::Register { .. }), Routed::Hold(_)]), "{trigger}: {items:?}");
        }
        let many = (0..65).fold(String::new(), |text, number| text + &format!("AL1|{number}|DA|^S{number}\r"));
        assert_eq!(event("A08", &format!("{PID}{many}")), Err("invalid 102".to_owned()));
    }

    #[test]
    fn every_pair_is_merged_and_the_number_is_the_one_that_says_so() {
        let pairs = format!("{PID}MRG|9^^^GOV^NI~77^^^H^MR\rPID|2||1005^^^H^MR\rMRG|1006\r");
        let merges: Vec<Command> = run("A40", &pairs).unwrap().into_iter().filter(|command| matches!(command, Command::Merge { .. })).collect();
        let merge = |survivor, merged| Command::Merge { survivor: mrn(survivor), merged: mrn(merged) };
        assert_eq!(merges, [merge("1001", "77"), merge("1005", "1006")]);
    }

    #[test]
    fn allergies_stand_in_al1_and_iam_and_none_is_no_substance() {
        let said = run("A60", &format!("{PID}IAM|1|FA|^Peanut|SV|hives|A\rAL1|1|DA|^NKDA\rAL1|2|FA|^Peanut|SV|hives\r")).unwrap();
        assert!(
            matches!(&said[1..], [Command::RecordAllergy { allergy, .. }, Command::NoKnownAllergies { .. }] if allergy.substance == "Peanut" && allergy.category == Category::Food),
            "{said:?}"
        );
    }

    #[test]
    fn another_authority_s_number_is_somebody_else() {
        let numbered = |pid: &str, mrg: &str| {
            let bytes = format!("{HEAD}PID|1||{pid}\r{mrg}").into_bytes();
            let numbers = Numbers { authority: Some("H") };
            route(if mrg.is_empty() { "A31" } else { "A40" }, &Message::parse(&bytes).unwrap(), 0, numbers).map_err(|(_, fault)| fault.map_or("", |fault| fault.code))
        };
        for ours in ["1001^^^H^MR", "7^^^OTHER^MR~1001^^^H^MR", "7^^^OTHER^MR~1001^^^H", "9^^^H^VN~1001^^^H^MR"] {
            let merged = numbered(ours, "MRG|5^^^OTHER^MR~77^^^H^MR\r").unwrap();
            assert!(
                merged.iter().any(|item| matches!(item, Routed::Census(Command::Merge { survivor, merged }) if *survivor == mrn("1001") && *merged == mrn("77"))),
                "{ours}: {merged:?}"
            );
        }
        assert_eq!(numbered("1001^^^OTHER^MR", "").map(drop), Err("204"));
        assert_eq!(numbered("1001", "").map(drop), Err("204"));
        assert_eq!(numbered("1001^^^H^MR", "MRG|5^^^OTHER^MR\r").map(drop), Err("204"));
    }

    #[test]
    fn what_cannot_be_taken_over_says_why() {
        let both = format!("{PID}{PV1}");
        let cases = [
            ("A01", "EVN|\r".to_owned(), "invalid 101"),
            ("A01", "PID|1||\"\"\r".to_owned() + PV1, "invalid 101"),
            ("A01", "PID|1||1 2\r".to_owned() + PV1, "invalid 102"),
            ("A01", PID.to_owned() + "PV1|1|I|W/1^2^3\r", "invalid 102"),
            ("A01", both.replace("V17", "V 17"), "invalid 102"),
            ("A02", PID.to_owned() + "PV1|1|I|W1\r", "invalid 101"),
            ("A15", both.clone(), "invalid 101"),
            ("A17", both.clone(), "invalid 100"),
            ("A40", both.clone(), "invalid 101"),
            ("A44", both.clone(), "invalid 101"),
            ("A44", PID.to_owned() + "MRG|1002\r", "invalid 101"),
            ("A45", both.clone(), "invalid 101"),
            ("A45", PID.to_owned() + "MRG|1002\r", "invalid 101"),
            ("A45", PID.to_owned() + "MRG|1002||||V 1\r", "invalid 102"),
            ("A40", PID.to_owned() + "MRG|a b\r", "invalid 102"),
            ("A99", both, "not_supported 201"),
        ];
        for (trigger, segments, why) in cases {
            assert_eq!(event(trigger, &segments), Err(why.to_owned()), "{trigger} {segments}");
        }
    }
}
