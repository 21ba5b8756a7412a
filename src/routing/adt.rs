//! HL7 v2 ADT (v2.8.2 chapter 3): what another system says of people, stays and beds becomes commands of the census.

use super::Routed;
use super::hl7::{Items, invalid, text};
use crate::codec::hl7::ack::Fault;
use crate::codec::hl7::{Message, Segment};
use crate::domain::census::{Admission, Command};
use crate::domain::encounter::Class;
use crate::domain::patient::{Address, Allergy, Category, Contact, Coverage, Criticality, Identifier, Name, Person, Sex};
use crate::domain::quarantine::Reason;
use crate::kernel::time::parse_device_time;
use crate::kernel::{BedId, Date, EncounterId, Mrn, Timestamp};

type Wrong = (Reason, Option<Fault>);

/// What a message asks for: first what is known of the person, then what happened.
pub(super) fn route(trigger: &str, message: &Message<'_>, offset_minutes: i32) -> Items {
    let pids: Vec<Segment<'_>> = message.segments().filter(|segment| segment.name() == b"PID").collect();
    let patient = patient(message)?;
    let pid = pids.first().ok_or_else(missing)?;
    let time = |place: &str| parse_device_time(&text(message, place), offset_minutes).ok();
    let told = time("EVN-2.1").or_else(|| time("MSH-7.1"));
    let mut commands = about(message, pid, &patient, told);
    let into = |class| admission(message, &patient, class);
    let at = || bed(message, "PV1-3");
    let happened = match trigger {
        "A01" | "A04" | "A14" | "A05" if is_without_bed(message) => match (trigger, class(message)) {
            ("A01", Class::Inpatient) => {
                return Err((Reason::Invalid { detail: "an inpatient without a bed (PV1-3): put the patient into one by hand, then discard this".to_owned() }, None));
            }
            ("A05" | "A14", _) => Some(Command::Plan { admission: into(class(message))?, expected: time("PV2-8.1") }),
            // Whoever comes and goes lies in no bed.
            _ => None,
        },
        "A01" | "A04" => Some(Command::Admit(into(class(message))?)),
        "A05" | "A14" => Some(Command::Plan { admission: into(class(message))?, expected: time("PV2-8.1") }),
        "A02" => Some(Command::Move { to: needed(at()?, "PV1-3")?, patient: patient.clone() }),
        "A03" if has_died(message) => Some(Command::RecordDeath { patient: patient.clone() }),
        "A03" => Some(Command::Discharge { bed: at()?, patient: patient.clone() }),
        "A06" => Some(Command::ChangeClass { bed: at()?, class: Class::Inpatient, patient: patient.clone() }),
        "A07" => Some(Command::ChangeClass { bed: at()?, class: Class::Outpatient, patient: patient.clone() }),
        "A11" => Some(Command::CancelAdmission { bed: at()?, patient: patient.clone() }),
        "A12" => Some(Command::MoveBack { patient: patient.clone() }),
        "A13" => Some(Command::CancelDischarge { bed: at()?, patient: patient.clone() }),
        "A15" => Some(Command::RequestTransfer { to: needed(bed(message, "PV2-1")?, "PV2-1")?, patient: patient.clone() }),
        "A26" => Some(Command::CancelTransfer { patient: patient.clone() }),
        "A16" => time("PV2-9.1").map(|expected| Command::ExpectEnd { expected, patient: patient.clone() }),
        "A17" => Some(Command::Swap { with: second(&pids)?, patient: patient.clone() }),
        "A21" => Some(Command::BeginLeave { patient: patient.clone() }),
        "A22" => Some(Command::EndLeave { patient: patient.clone() }),
        "A27" | "A38" => {
            let encounter = visit(message)?.ok_or_else(|| invalid("101", "PV1-19", "PV1-19 is missing: name the visit whose plan is cancelled".to_owned()))?;
            Some(Command::CancelPlan { encounter })
        }
        "A18" | "A34" | "A39" | "A40" | "A47" => Some(Command::Merge { merged: merged(message)?, survivor: patient.clone() }),
        "A37" => Some(Command::Unmerge { merged: second(&pids)? }),
        // Where somebody is for an hour (A09, A10), and a pending discharge that is none (A25), change no bed.
        "A08" | "A09" | "A10" | "A20" | "A25" | "A28" | "A31" | "A54" | "A55" | "A60" => None,
        "A23" | "A24" | "A29" | "A30" | "A32" | "A33" | "A35" | "A36" | "A41" | "A42" | "A43" | "A44" | "A45" | "A46" | "A48" | "A49" | "A50" | "A51" | "A52" | "A53" | "A61"
        | "A62" => {
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
    commands.extend(happened);
    if commands.is_empty() { Ok(vec![Routed::Noted]) } else { Ok(commands.into_iter().map(Routed::Census).collect()) }
}

fn missing() -> Wrong {
    invalid("101", "PID-3.1", "PID-3.1 is missing: name the patient by medical record number".to_owned())
}

/// The patient that a message names.
pub(super) fn patient(message: &Message<'_>) -> Result<Mrn, Wrong> {
    number(&message.segments().find(|segment| segment.name() == b"PID").ok_or_else(missing)?)
}

fn part(segment: &Segment<'_>, field: u16, repetition: u16, component: u16) -> String {
    let found = segment.text_at(field, repetition, component, 1).map(|text| text.trim().to_owned()).unwrap_or_default();
    // The explicit null says that there is nothing.
    if found == "\"\"" { String::new() } else { found }
}

fn parts(segment: &Segment<'_>, field: u16) -> impl Iterator<Item = u16> {
    1..=segment.repetitions(field)
}

/// The medical record number: the repetition of PID-3 that says that it is one (CX.5 `MR`), else the first.
fn number(pid: &Segment<'_>) -> Result<Mrn, Wrong> {
    let typed = parts(pid, 3).find(|repetition| part(pid, 3, *repetition, 5) == "MR");
    let number = part(pid, 3, typed.unwrap_or(1), 1);
    if number.is_empty() {
        return Err(missing());
    }
    number.parse().map_err(|error: crate::kernel::Invalid| invalid("102", "PID-3.1", error.to_string()))
}

fn second(pids: &[Segment<'_>]) -> Result<Mrn, Wrong> {
    match pids.get(1) {
        Some(pid) => number(pid),
        None => Err(invalid("100", "PID", "the second PID is missing: this event is about two patients".to_owned())),
    }
}

fn merged(message: &Message<'_>) -> Result<Mrn, Wrong> {
    let number = text(message, "MRG-1.1");
    if number.is_empty() {
        return Err(invalid("101", "MRG-1.1", "MRG-1.1 is missing: name the number that is merged".to_owned()));
    }
    number.parse().map_err(|error: crate::kernel::Invalid| invalid("102", "MRG-1.1", error.to_string()))
}

/// The bed of a location; none when it names no bed, as for outpatients.
fn bed(message: &Message<'_>, field: &str) -> Result<Option<BedId>, Wrong> {
    let part = |component: u8| text(message, &format!("{field}.{component}"));
    let (ward, room, bed) = (part(1), part(2), part(3));
    if bed.is_empty() {
        return Ok(None);
    }
    BedId::of(&ward, &room, &bed).map(Some).map_err(|_| invalid("102", field, format!("{field} names no bed: it is ward^room^bed")))
}

fn needed(bed: Option<BedId>, field: &str) -> Result<BedId, Wrong> {
    bed.ok_or_else(|| invalid("101", field, format!("{field} names no bed: say where the patient lies, ward^room^bed")))
}

fn is_without_bed(message: &Message<'_>) -> bool {
    text(message, "PV1-3.3").is_empty()
}

/// HL7 table 0004; a newborn is told by the kind of its admission (table 0007).
fn class(message: &Message<'_>) -> Class {
    match (text(message, "PV1-2.1").as_str(), text(message, "PV1-4.1").as_str()) {
        (_, "N") => Class::Newborn,
        ("E", _) => Class::Emergency,
        ("O" | "R" | "C" | "N", _) => Class::Outpatient,
        _ => Class::Inpatient,
    }
}

/// The patient is dead by PID-30, or by the way that they left (table 0112: 20 expired, 40 to 42 in hospice care).
fn has_died(message: &Message<'_>) -> bool {
    text(message, "PID-30.1") == "Y" || ["20", "40", "41", "42"].contains(&text(message, "PV1-36.1").as_str())
}

fn visit(message: &Message<'_>) -> Result<Option<EncounterId>, Wrong> {
    match text(message, "PV1-19.1").as_str() {
        "" | "\"\"" => Ok(None),
        number => EncounterId::of_visit(number).map(Some).map_err(|error| invalid("102", "PV1-19", error.to_string())),
    }
}

fn admission(message: &Message<'_>, patient: &Mrn, class: Class) -> Result<Admission, Wrong> {
    let mother = text(message, "PID-21.1").parse().ok();
    Ok(Admission { patient: patient.clone(), encounter: visit(message)?, class, bed: bed(message, "PV1-3")?, mother })
}

/// What the message says of the person and of what they must not be given.
fn about(message: &Message<'_>, pid: &Segment<'_>, patient: &Mrn, told: Option<Timestamp>) -> Vec<Command> {
    let person = person(message, pid, patient);
    let is_said = person != Person::default();
    let register = is_said.then(|| Command::Register { patient: patient.clone(), person: Box::new(person), as_of: told });
    let allergies = message.segments().filter(|segment| segment.name() == b"AL1").filter_map(|al1| allergy(&al1));
    register.into_iter().chain(allergies.map(|allergy| Command::RecordAllergy { patient: patient.clone(), allergy })).collect()
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

/// HL7 tables 0127 (kind) and 0128 (severity).
fn allergy(al1: &Segment<'_>) -> Option<Allergy> {
    let substance = [part(al1, 3, 1, 2), part(al1, 3, 1, 1)].into_iter().find(|text| !text.is_empty())?;
    let category = match part(al1, 2, 1, 1).as_str() {
        "FA" => Category::Food,
        "EA" | "LA" | "AA" | "PA" => Category::Environment,
        _ => Category::Medication,
    };
    let criticality = match part(al1, 4, 1, 1).as_str() {
        "SV" => Criticality::High,
        "MI" | "MO" => Criticality::Low,
        _ => Criticality::Unknown,
    };
    Some(Allergy { substance, category, criticality, reaction: part(al1, 5, 1, 1) })
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
        match route(trigger, &message, 0) {
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
    fn happened(trigger: &str, segments: &str) -> Result<Option<Command>, String> {
        run(trigger, segments).map(|commands| commands.into_iter().find(|command| !matches!(command, Command::Register { .. } | Command::RecordAllergy { .. })))
    }

    #[test]
    fn a_person_is_read_from_all_segments() {
        let more = "NK1|1|Doe^John|FTH^father|||||\rAL1|1|DA|^Penicillin|SV|rash\rAL1|2|FA|\rIN1|1|PPO^Plan|77|Insurer||||||||20260101|20261231|||||||||||||||||||||||M-1\r";
        let commands = run("A08", &format!("{PID}{more}")).unwrap();
        let [Command::Register { patient, person, as_of }, Command::RecordAllergy { allergy, .. }] = &commands[..] else { panic!("{commands:?}") };
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
        let admission = |class| Admission { patient: patient.clone(), encounter: Some(visit.clone()), class, bed: Some(bed.clone()), mother: None };
        let both = format!("{PID}{PV1}");
        let cases = [
            ("A01", both.clone(), Some(Command::Admit(admission(Class::Inpatient)))),
            ("A04", both.replace("|I|", "|E|"), Some(Command::Admit(admission(Class::Emergency)))),
            ("A05", both.clone(), Some(Command::Plan { admission: admission(Class::Inpatient), expected: None })),
            ("A02", both.clone(), Some(Command::Move { patient: patient.clone(), to: bed.clone() })),
            ("A03", both.clone(), Some(Command::Discharge { patient: patient.clone(), bed: Some(bed.clone()) })),
            ("A03", both.clone() + "PV1|1|I\r", Some(Command::Discharge { patient: patient.clone(), bed: Some(bed.clone()) })),
            ("A06", both.clone(), Some(Command::ChangeClass { patient: patient.clone(), class: Class::Inpatient, bed: Some(bed.clone()) })),
            ("A07", PID.to_owned() + "PV1|1|O\r", Some(Command::ChangeClass { patient: patient.clone(), class: Class::Outpatient, bed: None })),
            ("A11", both.clone(), Some(Command::CancelAdmission { patient: patient.clone(), bed: Some(bed.clone()) })),
            ("A12", both.clone(), Some(Command::MoveBack { patient: patient.clone() })),
            ("A13", both.clone(), Some(Command::CancelDischarge { patient: patient.clone(), bed: Some(bed.clone()) })),
            ("A15", both.clone() + "PV2|W2^1^A\r", Some(Command::RequestTransfer { patient: patient.clone(), to: place("W2:1:A") })),
            ("A16", both.clone() + "PV2|||||||||20260105\r", Some(Command::ExpectEnd { patient: patient.clone(), expected: "2026-01-05T00:00:00Z".parse().unwrap() })),
            ("A17", format!("{both}PID|2||1002^^^H^MR\r"), Some(Command::Swap { patient: patient.clone(), with: mrn("1002") })),
            ("A21", both.clone(), Some(Command::BeginLeave { patient: patient.clone() })),
            ("A22", both.clone(), Some(Command::EndLeave { patient: patient.clone() })),
            ("A26", both.clone(), Some(Command::CancelTransfer { patient: patient.clone() })),
            ("A38", both.clone(), Some(Command::CancelPlan { encounter: visit.clone() })),
            ("A40", format!("{PID}MRG|1002^^^H^MR\r"), Some(Command::Merge { survivor: patient.clone(), merged: mrn("1002") })),
            ("A37", format!("{PID}PID|2||1002^^^H^MR\r"), Some(Command::Unmerge { merged: mrn("1002") })),
            ("A02", PID.to_owned() + "PV1|1|I|AE OMU^^Bed 03\r", Some(Command::Move { patient: patient.clone(), to: place("AE_OMU:-:Bed_03") })),
            ("A31", PID.to_owned(), None),
            ("A01", PID.to_owned() + "PV1|1|O|CLINIC\r", None),
        ];
        for (trigger, segments, command) in cases {
            assert_eq!(happened(trigger, &segments), Ok(command), "{trigger} {segments}");
        }
        let died = PID.trim_end().to_owned() + &"|".repeat(15) + "Y\r";
        assert_eq!(happened("A03", &(died + PV1)), Ok(Some(Command::RecordDeath { patient })));
    }

    #[test]
    fn what_cannot_be_taken_over_says_why() {
        let both = format!("{PID}{PV1}");
        let cases = [
            ("A01", "EVN|\r".to_owned(), "invalid 101"),
            ("A01", "PID|1||\"\"\r".to_owned() + PV1, "invalid 101"),
            ("A01", "PID|1||1 2\r".to_owned() + PV1, "invalid 102"),
            ("A01", PID.to_owned() + "PV1|1|I|W1\r", "invalid "),
            ("A01", PID.to_owned() + "PV1|1|I|W/1^2^3\r", "invalid 102"),
            ("A01", both.replace("V17", "V 17"), "invalid 102"),
            ("A02", PID.to_owned() + "PV1|1|I|W1\r", "invalid 101"),
            ("A15", both.clone(), "invalid 101"),
            ("A17", both.clone(), "invalid 100"),
            ("A38", both.replace("V17", ""), "invalid 101"),
            ("A40", both.clone(), "invalid 101"),
            ("A40", PID.to_owned() + "MRG|a b\r", "invalid 102"),
            ("A23", both.clone(), "not_supported "),
            ("A99", both, "not_supported 201"),
        ];
        for (trigger, segments, why) in cases {
            assert_eq!(happened(trigger, &segments), Err(why.to_owned()), "{trigger} {segments}");
        }
    }
}
