//! Messages of HL7 v2.5.1 (chapters 3 ADT and 10 SIU) for what has happened, written from what the log says that was so at that moment.

use super::happening::{Allergic, Happening, Trigger, trigger};
use crate::codec::hl7::{Field, Writer};
use crate::domain::bed::{Bed, Use};
use crate::domain::encounter::{Class, Encounter, Ending, Stay};
use crate::domain::patient::{Allergies, Allergy, Category, Criticality, Patient, Person, Sex};
use crate::domain::schedule::{Of, Schedule, Standing};
use crate::journal::JournalError;
use crate::kernel::{BedId, Date, EncounterId, Mrn, ScheduleId, Timestamp};
use crate::projection::person as numbers;

/// A segment's fields.
type Fields = Vec<(u16, Field)>;

/// What was so after an event.
pub(super) trait Past {
    fn patient(&self, mrn: &Mrn) -> Result<Patient, JournalError>;
    fn encounter(&self, encounter: &EncounterId) -> Result<Encounter, JournalError>;
    /// As it was before the event that is told: a plan that was cancelled is nobody's any more.
    fn encounter_before(&self, encounter: &EncounterId) -> Result<Encounter, JournalError>;
    fn bed(&self, bed: &BedId) -> Result<Bed, JournalError>;
    fn schedule(&self, schedule: &ScheduleId) -> Result<Schedule, JournalError>;
    /// Whether a number's registration is the first one.
    fn is_new(&self, mrn: &Mrn) -> Result<bool, JournalError>;
}

/// Who tells whom, when.
#[derive(Debug, Clone)]
pub(super) struct Envelope<'a> {
    pub(super) facility: &'a str,
    /// MSH-5 and MSH-6.
    pub(super) receiver: [&'a str; 2],
    /// MSH-10.
    pub(super) number: String,
    pub(super) recorded: Timestamp,
    /// Who did it.
    pub(super) operator: String,
}

/// A message, ready to be sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Telling {
    pub(super) trigger: Trigger,
    pub(super) patients: Vec<Mrn>,
    pub(super) bytes: Vec<u8>,
}

/// Why something is not told.
#[derive(Debug, thiserror::Error)]
pub(super) enum Untold {
    /// The log cannot be read now.
    #[error("{0}")]
    Unread(#[from] JournalError),
    /// What happened cannot be written as a message: a person must tell it.
    #[error("{0}")]
    Unwritable(String),
}

/// A person as others know them: the number to use now, and what is known under all of their numbers.
struct Known {
    mrn: Mrn,
    record: Patient,
}

fn known(past: &dyn Past, mrn: &Mrn) -> Result<Known, JournalError> {
    let mut records = numbers(mrn, |mrn| past.patient(mrn))?.into_iter();
    let Some((mrn, mut record)) = records.next() else { return Ok(Known { mrn: mrn.clone(), record: past.patient(mrn)? }) };
    for (_, other) in records {
        // A number that only appeared in messages may have taken up one that is registered.
        record.person = record.person.or(other.person);
        record.stay = record.stay.or(other.stay);
        record.died = record.died.or(other.died);
        record.restricted = record.restricted.or(other.restricted);
        record.allergies = record.allergies.with(other.allergies);
    }
    Ok(Known { mrn, record })
}

/// Which message tells what has happened.
pub(super) fn trigger_of(happening: &Happening, past: &dyn Past) -> Result<Trigger, Untold> {
    let code = match happening {
        Happening::Person(mrn) if past.is_new(mrn)? => "A28",
        Happening::Person(mrn) if known(past, mrn)?.record.stay.is_some() => "A08",
        Happening::Person(_) => "A31",
        Happening::Allergies(..) => "A60",
        Happening::Merged { .. } => "A40",
        Happening::Unmerged { .. } => "A37",
        Happening::Stay(_, code) | Happening::Appointment(_, _, code) => code,
        Happening::Swapped(..) => "A17",
        Happening::Reassigned(..) => "A45",
        Happening::Bed(_) => "A20",
    };
    // Each code of ours stands in the table; a test holds them together.
    trigger(code).ok_or_else(|| Untold::Unwritable(format!("no message is known for {code}")))
}

/// The message for what has happened.
pub(super) fn tell(happening: &Happening, trigger: Trigger, past: &dyn Past, envelope: &Envelope<'_>) -> Result<Telling, Untold> {
    let mut writer = head(trigger, envelope);
    let patients = match happening {
        Happening::Person(mrn) => {
            let known = known(past, mrn)?;
            writer = whole(writer, &known, visit(past, &known.record, envelope)?, envelope);
            vec![mrn.clone()]
        }
        Happening::Allergies(mrn, what) => {
            let known = known(past, mrn)?;
            writer = writer.fields("PID", &pid("1", &known, envelope));
            for fields in iam(&known.record.allergies, what) {
                writer = writer.fields("IAM", &fields);
            }
            vec![mrn.clone()]
        }
        Happening::Merged { survivor, merged } => {
            let old = past.patient(merged)?;
            writer = identified(writer, "1", &known(past, survivor)?, envelope).fields("MRG", &[(1, number(merged, envelope)), (7, name(old.person.as_ref()))]);
            vec![survivor.clone(), merged.clone()]
        }
        Happening::Unmerged { survivor, merged } => {
            writer = identified(writer, "1", &known(past, survivor)?, envelope);
            writer = identified(writer, "2", &known(past, merged)?, envelope);
            vec![survivor.clone(), merged.clone()]
        }
        Happening::Stay(id, code) => {
            let encounter = if *code == "A38" { past.encounter_before(id)? } else { past.encounter(id)? };
            let mrn = owner(id, &encounter)?;
            let known = known(past, &mrn)?;
            let visit = pv1(id, &encounter, envelope);
            writer = match *code {
                "A01" | "A04" | "A05" | "A06" | "A07" | "A13" => whole(writer, &known, visit, envelope),
                _ => seen(identified(writer, "1", &known, envelope), visit),
            };
            vec![mrn]
        }
        Happening::Reassigned(id, from) => {
            let encounter = past.encounter(id)?;
            let mrn = owner(id, &encounter)?;
            let old = past.patient(from)?;
            writer = identified(writer, "1", &known(past, &mrn)?, envelope);
            writer = writer.fields("MRG", &[(1, number(from, envelope)), (5, visit_number(id, envelope)), (7, name(old.person.as_ref()))]);
            writer = seen(writer, pv1(id, &encounter, envelope));
            vec![mrn, from.clone()]
        }
        Happening::Swapped(first, second) => {
            let mut patients = Vec::new();
            for (at, id) in [("1", first), ("2", second)] {
                let encounter = past.encounter(id)?;
                let mrn = owner(id, &encounter)?;
                writer = seen(identified(writer, at, &known(past, &mrn)?, envelope), pv1(id, &encounter, envelope));
                patients.push(mrn);
            }
            patients
        }
        Happening::Bed(bed) => {
            writer = writer.fields("NPU", &[(1, location(bed, envelope)), (2, status(&past.bed(bed)?).into())]);
            Vec::new()
        }
        Happening::Appointment(id, number, _) => {
            let schedule = past.schedule(id)?;
            let Some(appointment) = schedule.appointments.get(number) else { return Err(Untold::Unwritable(format!("{id} has no appointment {number}"))) };
            let known = known(past, &appointment.patient)?;
            writer = identified(writer.fields("SCH", &sch(id, &schedule, *number, envelope)), "1", &known, envelope);
            let (segment, resource) = resource(id, &schedule, *number);
            writer = writer.fields("RGS", &[(1, "1".into())]).fields(segment, &resource);
            vec![appointment.patient.clone()]
        }
    };
    Ok(Telling { trigger, patients, bytes: writer.finish() })
}

fn head(trigger: Trigger, envelope: &Envelope<'_>) -> Writer {
    let [application, facility] = envelope.receiver;
    let writer = Writer::new().fields(
        "MSH",
        &[
            (3, "WARDD".into()),
            (4, envelope.facility.into()),
            (5, application.into()),
            (6, facility.into()),
            (7, envelope.recorded.hl7().into()),
            (9, Field::parts([trigger.kind, trigger.event, trigger.structure])),
            (10, envelope.number.as_str().into()),
            (11, "P".into()),
            (12, "2.5.1".into()),
            (18, "UNICODE UTF-8".into()),
        ],
    );
    match trigger.kind {
        "ADT" => {
            writer.fields("EVN", &[(1, trigger.event.into()), (2, envelope.recorded.hl7().into()), (5, envelope.operator.as_str().into()), (6, envelope.recorded.hl7().into())])
        }
        _ => writer,
    }
}

/// Everything that is known of a person, and a visit: the body of A01, A04 to A08, A13, A28, A31.
fn whole(writer: Writer, known: &Known, visit: (Fields, Fields), envelope: &Envelope<'_>) -> Writer {
    let mut writer = identified(writer, "1", known, envelope);
    for fields in nk1(known.record.person.as_ref()) {
        writer = writer.fields("NK1", &fields);
    }
    writer = seen(writer, visit);
    for fields in al1(&known.record.allergies) {
        writer = writer.fields("AL1", &fields);
    }
    for fields in in1(known.record.person.as_ref()) {
        writer = writer.fields("IN1", &fields);
    }
    writer
}

/// Who it is, and whether what is told of them is for few eyes (PD1-12, table 0136).
fn identified(writer: Writer, set: &str, known: &Known, envelope: &Envelope<'_>) -> Writer {
    let is_restricted = if known.record.restricted.is_some() { "Y" } else { "N" };
    writer.fields("PID", &pid(set, known, envelope)).fields("PD1", &[(12, is_restricted.into())])
}

fn seen(writer: Writer, (pv1, pv2): (Fields, Fields)) -> Writer {
    let writer = writer.fields("PV1", &pv1);
    if pv2.is_empty() { writer } else { writer.fields("PV2", &pv2) }
}

fn number(mrn: &Mrn, envelope: &Envelope<'_>) -> Field {
    Field::parts([mrn.as_str(), "", "", envelope.facility, "MR"])
}

fn name(person: Option<&Person>) -> Field {
    match person {
        None => Field::default(),
        Some(Person { name, .. }) => {
            let (first, others) = name.given.split_first().map_or(("", &[][..]), |(first, others)| (first.as_str(), others));
            // XPN.3 holds all further given names; XPN.7 `L` is the legal name.
            Field::parts([name.family.as_str(), first, &others.join(" "), "", "", "", "L"])
        }
    }
}

fn day(date: Option<Date>) -> Field {
    date.map(|date| date.to_string().replace('-', "")).unwrap_or_default().into()
}

fn phones<'a>(numbers: impl IntoIterator<Item = &'a String>) -> Field {
    // The number as one text: in XTN.1, where older systems look, and in XTN.12.
    Field::all(numbers.into_iter().map(|number| Field::parts([number.as_str(), "PRN", "PH", "", "", "", "", "", "", "", "", number.as_str()])))
}

fn pid(set: &str, Known { mrn, record }: &Known, envelope: &Envelope<'_>) -> Fields {
    let mut fields: Fields = vec![(1, set.into())];
    let Some(person) = &record.person else {
        fields.extend([(3, number(mrn, envelope)), (5, Field::parts(["", "", "", "", "", "", "U"]))]);
        return fields;
    };
    let others = person.identifiers.iter().map(|known| Field::parts([known.value.as_str(), "", "", &known.issuer, &known.kind]));
    fields.extend([
        (3, Field::all(std::iter::once(number(mrn, envelope)).chain(others))),
        (5, name(Some(person))),
        (7, day(person.birth_date)),
        (
            8,
            match person.sex {
                Sex::Female => "F",
                Sex::Male => "M",
                Sex::Other => "O",
                Sex::Unknown => "U",
            }
            .into(),
        ),
    ]);
    if let Some(home) = &person.address {
        fields.push((11, Field::parts([home.line.as_str(), "", &home.city, &home.state, &home.postal_code, &home.country])));
    }
    fields.extend([(13, phones(&person.phones)), (15, person.language.clone().unwrap_or_default().into())]);
    fields.extend(person.mother.as_ref().map(|mother| (21, number(mother, envelope))));
    fields.extend([(29, record.died.map_or_else(String::new, Timestamp::hl7).into()), (30, if record.died.is_some() { "Y" } else { "N" }.into())]);
    // A made-up name is an alias (table 0445).
    fields.extend(person.is_temporary.then(|| (32, "AL".into())));
    fields
}

fn nk1(person: Option<&Person>) -> Vec<Fields> {
    let contacts = person.into_iter().flat_map(|person| &person.contacts).enumerate();
    let next = contacts.map(|(at, contact)| {
        let of = Person { name: contact.name.clone(), ..Person::default() };
        let phone = Some(&contact.phone).filter(|phone| !phone.is_empty());
        vec![(1, (at + 1).to_string().into()), (2, name(Some(&of))), (3, Field::parts(["", contact.relationship.as_str()])), (5, phones(phone))]
    });
    next.collect()
}

fn in1(person: Option<&Person>) -> Vec<Fields> {
    let coverages = person.into_iter().flat_map(|person| &person.coverages).enumerate();
    let paid = coverages.map(|(at, coverage)| {
        let payer = coverage.payer.as_str();
        // The plan's and the company's numbers are needed and not known here: their names stand for them.
        let plan = if coverage.plan.is_empty() { payer } else { coverage.plan.as_str() };
        vec![
            (1, (at + 1).to_string().into()),
            (2, Field::parts([plan, plan])),
            (3, payer.into()),
            (4, payer.into()),
            (12, day(coverage.from)),
            (13, day(coverage.until)),
            (36, coverage.member.as_str().into()),
        ]
    });
    paid.collect()
}

/// Kind (table 0127), what, severity (table 0128) and reaction of an allergy: AL1-2 to 5, and IAM-2 to 5.
fn allergy(known: &Allergy) -> Fields {
    let kind = match known.category {
        Category::Medication => "DA",
        Category::Food => "FA",
        Category::Environment => "EA",
        Category::Biologic => "MA",
    };
    let severity = match known.criticality {
        Criticality::High => "SV",
        Criticality::Low => "MI",
        Criticality::Unknown => "U",
    };
    vec![(2, kind.into()), (3, Field::parts(["", known.substance.as_str()])), (4, severity.into()), (5, known.reaction.as_str().into())]
}

/// What others write where somebody asked and there is none.
fn none_known() -> Fields {
    vec![(2, "MA".into()), (3, Field::parts(["", "No known allergies"]))]
}

fn al1(allergies: &Allergies) -> Vec<Fields> {
    let bodies: Vec<Fields> = match allergies {
        Allergies::NotAsked => Vec::new(),
        Allergies::NoneKnown { .. } => vec![none_known()],
        Allergies::Known(known) => known.iter().map(|known| allergy(&known.allergy)).collect(),
    };
    bodies.into_iter().enumerate().map(|(at, body)| std::iter::once((1, (at + 1).to_string().into())).chain(body).collect()).collect()
}

/// All that is known, each with what is done to it (table 0206: A added, D deleted, X unchanged).
fn iam(allergies: &Allergies, what: &Allergic) -> Vec<Fields> {
    let mut bodies: Vec<(Fields, &str)> = Vec::new();
    if let Allergies::Known(known) = allergies {
        let act = |allergy: &Allergy| if matches!(what, Allergic::To(substance) if allergy.is_against(substance)) { "A" } else { "X" };
        bodies.extend(known.iter().map(|known| (allergy(&known.allergy), act(&known.allergy))));
    }
    match what {
        // Another number of the same person may know of it still.
        Allergic::NotTo(substance) if allergies.against(substance).is_none() => bodies.push((vec![(2, "DA".into()), (3, Field::parts(["", substance.as_str()]))], "D")),
        Allergic::None if bodies.is_empty() => bodies.push((none_known(), "A")),
        Allergic::To(_) | Allergic::NotTo(_) | Allergic::None => {}
    }
    let set = |(at, (body, act)): (usize, (Fields, &str))| std::iter::once((1, (at + 1).to_string().into())).chain(body).chain([(6, act.into())]).collect();
    bodies.into_iter().enumerate().map(set).collect()
}

fn owner(id: &EncounterId, encounter: &Encounter) -> Result<Mrn, Untold> {
    encounter.patient().cloned().ok_or_else(|| Untold::Unwritable(format!("{id} is nobody's stay")))
}

fn visit_number(id: &EncounterId, envelope: &Envelope<'_>) -> Field {
    Field::parts([id.visit(), "", "", envelope.facility, "VN"])
}

fn location(bed: &BedId, envelope: &Envelope<'_>) -> Field {
    let [ward, room, place] = bed.parts();
    Field::parts([ward, room, place, envelope.facility])
}

/// The visit that a registration is told with: the stay that is open, or none (PV1-2 `N`).
fn visit(past: &dyn Past, record: &Patient, envelope: &Envelope<'_>) -> Result<(Fields, Fields), JournalError> {
    match &record.stay {
        Some(id) => Ok(pv1(id, &past.encounter(id)?, envelope)),
        None => Ok((vec![(1, "1".into()), (2, "N".into())], Vec::new())),
    }
}

/// Class of a stay (table 0004) and kind of its admission (table 0007).
fn class(class: Class) -> [&'static str; 2] {
    match class {
        Class::Inpatient => ["I", "R"],
        Class::Newborn => ["I", "N"],
        Class::Emergency => ["E", "E"],
        Class::Outpatient => ["O", "R"],
    }
}

/// PV1 and PV2 of a stay.
fn pv1(id: &EncounterId, encounter: &Encounter, envelope: &Envelope<'_>) -> (Fields, Fields) {
    let visit = |kind: Class, bed: Option<&BedId>| {
        let [class, admission] = class(kind);
        let bed = bed.map(|bed| location(bed, envelope)).unwrap_or_default();
        vec![(1, "1".into()), (2, class.into()), (3, bed), (4, admission.into())]
    };
    let own = (19, visit_number(id, envelope));
    match encounter {
        Encounter::None => (vec![(1, "1".into()), (2, "N".into())], Vec::new()),
        Encounter::Planned { class, bed, expected, .. } => {
            let mut fields = visit(*class, bed.as_ref());
            fields.push(own);
            (fields, expected.map(|expected| (8, expected.hl7().into())).into_iter().collect())
        }
        Encounter::Open(stay) => (stayed(visit(stay.class, stay.bed.as_ref()), own, stay, None, envelope), expected_end(stay)),
        Encounter::Closed { stay, at, ending } => (stayed(visit(stay.class, stay.bed.as_ref()), own, stay, Some((*at, *ending)), envelope), Vec::new()),
    }
}

fn stayed(mut fields: Fields, own: (u16, Field), stay: &Stay, end: Option<(Timestamp, Ending)>, envelope: &Envelope<'_>) -> Fields {
    fields.extend(stay.bed_before.as_ref().map(|bed| (6, location(bed, envelope))));
    // Where somebody is for a while: the place in words (PL.9).
    fields.extend(stay.away.as_ref().map(|away| (11, Field::parts(["", "", "", envelope.facility, "", "", "", "", away.place.as_str()]))));
    fields.push(own);
    let disposition = match end {
        Some((_, Ending::Discharged)) => "01",
        Some((_, Ending::Died)) => "20",
        Some((_, Ending::Cancelled)) | None => "",
    };
    fields.push((36, disposition.into()));
    fields.extend(stay.transfer.as_ref().map(|(bed, _)| (42, location(bed, envelope))));
    fields.push((44, stay.admitted.hl7().into()));
    let ended = end.filter(|(_, ending)| *ending != Ending::Cancelled).map(|(at, _)| (45, at.hl7().into()));
    fields.extend(ended);
    fields
}

fn expected_end(stay: &Stay) -> Fields {
    stay.expected_end.map(|expected| (9, expected.hl7().into())).into_iter().collect()
}

/// The state of a bed (table 0116).
fn status(bed: &Bed) -> &'static str {
    match (&bed.used, &bed.isolation) {
        (Use::Blocked { .. }, _) => "C",
        (Use::Cleaning { .. }, _) => "H",
        (_, Some(_)) => "I",
        (Use::Occupied { .. } | Use::Companion { .. }, None) => "O",
        (Use::Free | Use::Reserved { .. }, None) => "U",
    }
}

/// The appointment (10.6.2): our number, why, when, how it stands (table 0278).
fn sch(id: &ScheduleId, schedule: &Schedule, number: u32, envelope: &Envelope<'_>) -> Fields {
    let Some(appointment) = schedule.appointments.get(&number) else { return Vec::new() };
    let session = schedule.sessions.get(&appointment.session);
    let end = appointment.start.zip(session).map(|(start, session)| session.end_of(start));
    let minutes = session.map(|session| session.slot_minutes.to_string()).unwrap_or_default();
    let times = [appointment.start, end].map(|time| time.map(Timestamp::hl7).unwrap_or_default());
    let [start, end] = times;
    let status = match &appointment.standing {
        Standing::Held { .. } => "Pending",
        Standing::Booked => "Booked",
        Standing::Waiting { .. } | Standing::Called { .. } => "Started",
        Standing::Fulfilled => "Complete",
        Standing::NoShow => "Noshow",
        Standing::Cancelled { .. } => "Cancelled",
    };
    let why = match &appointment.standing {
        Standing::Cancelled { why } => why.as_str(),
        _ => "",
    };
    let operator = || Field::from(envelope.operator.as_str());
    vec![
        (2, Field::parts([format!("{id}-{number}"), "WARDD".to_owned()])),
        (6, Field::parts([status, why])),
        (7, Field::parts(["", appointment.reason.as_str()])),
        (9, minutes.as_str().into()),
        (10, if minutes.is_empty() { "" } else { "min" }.into()),
        (11, Field::parts(["", "", "", start.as_str(), end.as_str()])),
        (16, operator()),
        (20, operator()),
        (25, status.into()),
    ]
}

/// Who or what is booked: a practitioner (AIP), a room (AIL), a device (AIG).
fn resource(id: &ScheduleId, schedule: &Schedule, number: u32) -> (&'static str, Fields) {
    let start = schedule.appointments.get(&number).and_then(|appointment| appointment.start).map(Timestamp::hl7).unwrap_or_default();
    match schedule.of {
        Some(Of::Practitioner) | None => ("AIP", vec![(1, "1".into()), (3, Field::parts([id.as_str(), schedule.name.as_str()])), (6, start.into())]),
        Some(Of::Room) => ("AIL", vec![(1, "1".into()), (3, Field::parts([id.as_str()])), (6, start.into())]),
        Some(Of::Device) => ("AIG", vec![(1, "1".into()), (3, Field::parts([id.as_str(), schedule.name.as_str()])), (4, Field::parts(["", "device"])), (8, start.into())]),
    }
}

#[cfg(test)]
#[path = "message_tests.rs"]
mod tests;
