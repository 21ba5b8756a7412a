//! What of the log another system wants to hear of, and which HL7 v2 event tells it. Pure.

use crate::domain::encounter::{self, Class, Ending};
use crate::domain::{bed, patient, schedule};
use crate::journal::{StoredBatch, StoredEvent};
use crate::kernel::{BedId, EncounterId, Mrn, ScheduleId, StreamKind};

/// A kind of message: type, event and structure (HL7 v2.5.1, table 0354).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Trigger {
    /// `ADT` or `SIU`.
    pub kind: &'static str,
    /// Such as `A01`.
    pub event: &'static str,
    /// Such as `ADT_A01`.
    pub structure: &'static str,
}

const fn adt(event: &'static str, structure: &'static str) -> Trigger {
    Trigger { kind: "ADT", event, structure }
}

const fn siu(event: &'static str) -> Trigger {
    Trigger { kind: "SIU", event, structure: "SIU_S12" }
}

/// All events that can be told.
pub const TRIGGERS: [Trigger; 32] = [
    adt("A01", "ADT_A01"),
    adt("A02", "ADT_A02"),
    adt("A03", "ADT_A03"),
    adt("A04", "ADT_A01"),
    adt("A05", "ADT_A05"),
    adt("A06", "ADT_A06"),
    adt("A07", "ADT_A06"),
    adt("A08", "ADT_A01"),
    adt("A09", "ADT_A09"),
    adt("A10", "ADT_A09"),
    adt("A11", "ADT_A09"),
    adt("A12", "ADT_A12"),
    adt("A13", "ADT_A01"),
    adt("A15", "ADT_A15"),
    adt("A16", "ADT_A16"),
    adt("A17", "ADT_A17"),
    adt("A20", "ADT_A20"),
    adt("A21", "ADT_A21"),
    adt("A22", "ADT_A21"),
    adt("A26", "ADT_A21"),
    adt("A28", "ADT_A05"),
    adt("A31", "ADT_A05"),
    adt("A37", "ADT_A37"),
    adt("A38", "ADT_A38"),
    adt("A40", "ADT_A39"),
    adt("A45", "ADT_A45"),
    adt("A60", "ADT_A60"),
    siu("S12"),
    siu("S13"),
    siu("S14"),
    siu("S15"),
    siu("S26"),
];

/// The trigger of an event's code.
pub fn trigger(event: &str) -> Option<Trigger> {
    TRIGGERS.into_iter().find(|trigger| trigger.event == event)
}

/// What happened to the allergies of a number.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Allergic {
    /// This one is known, or known better.
    To(String),
    /// This one was none.
    NotTo(String),
    /// There is none.
    None,
}

/// What is told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Happening {
    /// A registration is new or has changed; death and its withdrawal, restriction and its end.
    Person(Mrn),
    /// Allergies.
    Allergies(Mrn, Allergic),
    /// Two numbers are one person.
    Merged { survivor: Mrn, merged: Mrn },
    /// They are two.
    Unmerged { survivor: Mrn, merged: Mrn },
    /// A stay: the event's code, and for a transfer that was called off where it would have gone.
    Stay(EncounterId, &'static str),
    /// Two have changed their beds with each other.
    Swapped(EncounterId, EncounterId),
    /// A stay is somebody else's than it was written under.
    Reassigned(EncounterId, Mrn),
    /// A bed that is empty and can, or cannot, be used.
    Bed(BedId),
    /// An appointment.
    Appointment(ScheduleId, u32, &'static str),
}

/// An event of a batch and what it tells.
pub(super) type Told = (u64, Happening);

fn read<E: serde::de::DeserializeOwned>(event: &StoredEvent) -> Result<E, String> {
    serde_json::from_str(event.event.payload.get()).map_err(|error| format!("event {} cannot be read: {error}", event.sequence))
}

fn key<K: std::str::FromStr<Err = crate::kernel::Invalid>>(event: &StoredEvent) -> Result<K, String> {
    event.event.stream.key().parse().map_err(|error| format!("event {}: {error}", event.sequence))
}

/// What a batch tells, in its order.
pub(super) fn of(batch: &StoredBatch) -> Result<Vec<Told>, String> {
    let mut told = Vec::new();
    for event in &batch.events {
        let happening = match event.event.stream.kind() {
            StreamKind::Patient => of_patient(key(event)?, read(event)?),
            StreamKind::Encounter => of_stay(key(event)?, &read(event)?),
            StreamKind::Bed => of_bed(key(event)?, &read(event)?),
            StreamKind::Schedule => of_schedule(key(event)?, &read(event)?),
            _ => None,
        };
        told.extend(happening.map(|happening| (event.sequence, happening)));
    }
    // Told one after the other, two would lie in one bed between the messages.
    if let Some((first, second)) = swap(batch)? {
        let is_one = |happening: &Happening| matches!(happening, Happening::Stay(encounter, "A02" | "A12") if *encounter == first || *encounter == second);
        let at = told.iter().find(|(_, happening)| is_one(happening)).map_or(batch.first(), |(sequence, _)| *sequence);
        told.retain(|(_, happening)| !is_one(happening));
        told.push((at, Happening::Swapped(first, second)));
        told.sort_by_key(|(sequence, _)| *sequence);
    }
    Ok(told)
}

/// The two stays of a batch that changed their beds with each other.
fn swap(batch: &StoredBatch) -> Result<Option<(EncounterId, EncounterId)>, String> {
    let mut moves: Vec<(EncounterId, BedId, BedId)> = Vec::new();
    for event in batch.events.iter().filter(|event| event.event.stream.kind() == StreamKind::Encounter && event.event.kind == "Moved") {
        if let encounter::Event::Moved { from: Some(from), to: Some(to), .. } = read(event)? {
            moves.push((key(event)?, from, to));
        }
    }
    Ok(match moves.as_slice() {
        [(first, from, to), (second, back_from, back_to)] if from == back_to && to == back_from => Some((first.clone(), second.clone())),
        _ => None,
    })
}

fn of_patient(mrn: Mrn, event: patient::Event) -> Option<Happening> {
    use patient::Event;
    Some(match event {
        Event::PersonRecorded { .. } | Event::Restricted { .. } | Event::RestrictionLifted { .. } | Event::Died { .. } | Event::DeathWithdrawn { .. } => Happening::Person(mrn),
        Event::MergedInto { survivor, .. } => Happening::Merged { survivor, merged: mrn },
        Event::Unmerged { survivor, .. } => Happening::Unmerged { survivor, merged: mrn },
        Event::AllergyRecorded { allergy, .. } => Happening::Allergies(mrn, Allergic::To(allergy.substance)),
        Event::AllergyRefuted { substance, .. } => Happening::Allergies(mrn, Allergic::NotTo(substance)),
        Event::NoAllergiesKnown { .. } => Happening::Allergies(mrn, Allergic::None),
        // Told by the stay, by the other number, or of no use outside; what is erased here must be erased there by hand.
        Event::Erased { .. }
        | Event::PersonConfirmed { .. }
        | Event::StayPlanned { .. }
        | Event::PlanEnded { .. }
        | Event::Absorbed { .. }
        | Event::Released { .. }
        | Event::StayOpened { .. }
        | Event::StayGivenUp { .. }
        | Event::StayTaken { .. }
        | Event::StayClosed { .. }
        | Event::PhotoTaken { .. }
        | Event::PhotoRemoved { .. }
        | Event::PhotoRestored { .. }
        | Event::WristbandPrinted { .. }
        | Event::WristbandsVoided { .. }
        | Event::WristbandDelivered { .. } => return None,
    })
}

fn of_stay(encounter: EncounterId, event: &encounter::Event) -> Option<Happening> {
    use encounter::Event;
    let event = match event {
        Event::Planned { .. } => "A05",
        Event::PlanCancelled { .. } => "A38",
        Event::Admitted { class: Class::Inpatient | Class::Newborn, .. } => "A01",
        Event::Admitted { class: Class::Emergency | Class::Outpatient, .. } => "A04",
        Event::TransferRequested { .. } => "A15",
        Event::TransferCancelled { .. } => "A26",
        Event::Moved { is_back: false, .. } => "A02",
        Event::Moved { is_back: true, .. } => "A12",
        Event::ClassChanged { class: Class::Inpatient | Class::Newborn, .. } => "A06",
        Event::ClassChanged { class: Class::Emergency | Class::Outpatient, .. } => "A07",
        Event::LeaveBegan { .. } => "A21",
        Event::LeaveEnded { .. } => "A22",
        Event::EndExpected { .. } => "A16",
        Event::Departed { .. } => "A09",
        Event::Arrived { .. } => "A10",
        Event::Reassigned { from, .. } => return Some(Happening::Reassigned(encounter, from.clone())),
        Event::Ended { ending: Ending::Discharged | Ending::Died, .. } => "A03",
        Event::Ended { ending: Ending::Cancelled, .. } => "A11",
        Event::EndCancelled { .. } => "A13",
        // How far a discharge is inside the house, what was erased, and what another system has said of its own books.
        Event::Cleared { .. }
        | Event::Triaged { .. }
        | Event::TreatmentBegan { .. }
        | Event::GuarantorNamed { .. }
        | Event::CompanionLodged { .. }
        | Event::CompanionLeft { .. }
        | Event::Erased { .. }
        | Event::Heard { .. }
        | Event::AccountChanged { .. }
        | Event::RemovedElsewhere { .. } => return None,
    };
    Some(Happening::Stay(encounter, event))
}

fn of_bed(bed: BedId, event: &bed::Event) -> Option<Happening> {
    use bed::Event;
    match event {
        Event::CleaningAsked { .. }
        | Event::Cleaned { .. }
        | Event::CompanionAdmitted { .. }
        | Event::CompanionLeft { .. }
        | Event::Blocked { .. }
        | Event::Unblocked { .. }
        | Event::IsolationBegan { .. }
        | Event::IsolationEnded { .. } => Some(Happening::Bed(bed)),
        // Told by the stay of whoever comes or goes.
        Event::Erased {}
        | Event::PatientAdmitted { .. }
        | Event::PatientLeft { .. }
        | Event::OccupantNamed { .. }
        | Event::Reserved { .. }
        | Event::ReservationEnded { .. }
        | Event::CleaningSkipped { .. } => None,
    }
}

fn of_schedule(schedule: ScheduleId, event: &schedule::Event) -> Option<Happening> {
    use schedule::Event;
    let (number, event) = match event {
        Event::AppointmentBooked { number, .. } | Event::WalkInTaken { number, .. } | Event::AppointmentConfirmed { number, .. } => (*number, "S12"),
        Event::AppointmentMoved { number, .. } => (*number, "S13"),
        Event::PatientArrived { number, .. } | Event::AppointmentFulfilled { number, .. } => (*number, "S14"),
        Event::AppointmentCancelled { number, .. } => (*number, "S15"),
        Event::PatientMissed { number, .. } => (*number, "S26"),
        // What is only held is nobody's appointment yet; that it was not confirmed is nobody's loss.
        Event::AppointmentHeld { .. }
        | Event::AppointmentLapsed { .. }
        | Event::PaymentRefunded { .. }
        | Event::SessionWithdrawn { .. }
        | Event::ReasonNoted { .. }
        | Event::Erased {}
        | Event::PatientReminded { .. }
        | Event::ScheduleMade { .. }
        | Event::SessionOpened { .. }
        | Event::Closed { .. }
        | Event::Reopened { .. }
        | Event::TokenCalled { .. } => {
            return None;
        }
    };
    Some(Happening::Appointment(schedule, number, event))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_event_that_is_told_has_a_structure() {
        let at = "2026-11-23T12:00:00Z".parse().unwrap();
        let mrn: Mrn = "1".parse().unwrap();
        let id = EncounterId::of_visit("V1").unwrap();
        let moved = |is_back| encounter::Event::Moved { from: None, to: None, is_back, at };
        let stays = [
            (moved(false), "A02"),
            (moved(true), "A12"),
            (encounter::Event::Admitted { patient: mrn.clone(), class: Class::Newborn, bed: None, mother: None, account: None, ward: None, at }, "A01"),
            (encounter::Event::Admitted { patient: mrn, class: Class::Emergency, bed: None, mother: None, account: None, ward: None, at }, "A04"),
            (encounter::Event::Departed { to: "Radiology".to_owned(), at }, "A09"),
            (encounter::Event::Arrived { place: None, at }, "A10"),
            (encounter::Event::Ended { ending: Ending::Died, at }, "A03"),
            (encounter::Event::Ended { ending: Ending::Cancelled, at }, "A11"),
            (encounter::Event::PlanCancelled { at }, "A38"),
        ];
        for (event, code) in stays {
            assert_eq!(of_stay(id.clone(), &event), Some(Happening::Stay(id.clone(), code)));
            assert!(trigger(code).is_some(), "{code}");
        }
    }
}
