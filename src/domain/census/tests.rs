//! Reads as: given what was done, when a command comes, then changes or the rule that refuses; and what must hold after any day.

use std::collections::BTreeMap;
use std::convert::Infallible;

use proptest::prelude::*;

use super::*;
use crate::domain::Refusal;
use crate::domain::check::{context, now};
use crate::domain::encounter::Class;
use crate::domain::patient::{Allergy, Category, Criticality, Name, Person};
use crate::domain::{Folded, bed::Use};
use crate::kernel::{CommandId, DeviceId};

/// A hospital in memory.
#[derive(Default, Clone)]
struct House {
    patients: BTreeMap<Mrn, Patient>,
    encounters: BTreeMap<EncounterId, Encounter>,
    beds: BTreeMap<BedId, Bed>,
    charts: BTreeMap<Mrn, Chart>,
    vitals: BTreeMap<Mrn, Vitals>,
    tasks: BTreeMap<EncounterId, Tasks>,
    documents: BTreeMap<DocumentId, Document>,
    policy: Policy,
    commands: u8,
    /// Who vouches.
    witness: Option<String>,
}

impl Scene for House {
    type Failure = Infallible;
    fn patient(&mut self, mrn: &Mrn) -> Result<Patient, Infallible> {
        Ok(self.patients.get(mrn).cloned().unwrap_or_default())
    }
    fn encounter(&mut self, encounter: &EncounterId) -> Result<Encounter, Infallible> {
        Ok(self.encounters.get(encounter).cloned().unwrap_or_default())
    }
    fn bed(&mut self, bed: &BedId) -> Result<Bed, Infallible> {
        Ok(self.beds.get(bed).cloned().unwrap_or_default())
    }
    fn chart(&mut self, mrn: &Mrn) -> Result<Chart, Infallible> {
        Ok(self.charts.get(mrn).cloned().unwrap_or_default())
    }
    fn vitals(&mut self, mrn: &Mrn) -> Result<Vitals, Infallible> {
        Ok(self.vitals.get(mrn).cloned().unwrap_or_default())
    }
    fn tasks(&mut self, encounter: &EncounterId) -> Result<Tasks, Infallible> {
        Ok(self.tasks.get(encounter).cloned().unwrap_or_default())
    }
    fn document(&mut self, document: &DocumentId) -> Result<Document, Infallible> {
        Ok(self.documents.get(document).cloned().unwrap_or_default())
    }
}

impl House {
    fn with(policy: Policy) -> Self {
        Self { policy, ..Self::default() }
    }

    /// Whether a person does it, or another system says that it happened; gives how many changes it made, or the rule.
    fn ask(&mut self, command: &Command, is_feed: bool) -> Result<usize, String> {
        self.commands = self.commands.wrapping_add(1);
        self.somebody_has_registered(command);
        let mut context = Context { command: CommandId::from_bytes([self.commands; 16]), ..context(self.witness.as_deref()) };
        if is_feed {
            context.principal = Principal::Device("adt".parse::<DeviceId>().unwrap());
        }
        let policy = self.policy.clone();
        let changes = match decide(self, &policy, &context, command) {
            Ok(changes) => changes,
            Err(Stop::Rejected(rejection)) => return Err(Refusal::of(&rejection).rule),
        };
        for change in &changes {
            match change {
                Change::Patient(mrn, event) => self.patients.entry(mrn.clone()).or_default().apply(event),
                Change::Encounter(encounter, event) => self.encounters.entry(encounter.clone()).or_default().apply(event),
                Change::Bed(bed, event) => self.beds.entry(bed.clone()).or_default().apply(event),
                Change::Chart(mrn, event) => self.charts.entry(mrn.clone()).or_default().apply(event),
                Change::Vitals(mrn, event) => self.vitals.entry(mrn.clone()).or_default().apply(event),
                Change::Task(encounter, event) => self.tasks.entry(encounter.clone()).or_default().apply(event),
                Change::Document(document, event) => self.documents.entry(document.clone()).or_default().apply(event),
            }
        }
        self.hold();
        Ok(changes.len())
    }

    /// Whoever is admitted by hand was registered before, but for number 77.
    fn somebody_has_registered(&mut self, command: &Command) {
        let (Command::Admit(Admission { patient, .. })
        | Command::Plan { admission: Admission { patient, .. }, .. }
        | Command::RecordAllergy { patient, .. }
        | Command::NoKnownAllergies { patient }
        | Command::Restrict { patient, .. }
        | Command::RecordDeath { patient, .. }) = command
        else {
            return;
        };
        if patient.as_str() != "77" {
            self.patients.entry(patient.clone()).or_default().person.get_or_insert_default();
        }
    }

    fn done(&mut self, command: Command) -> &mut Self {
        let result = self.ask(&command, false);
        assert!(result.as_ref().is_ok_and(|changes| *changes > 0), "{command:?}: {result:?}");
        self
    }

    fn nothing(&mut self, command: Command) -> &mut Self {
        assert_eq!(self.ask(&command, false), Ok(0), "{command:?}");
        self
    }

    fn refused(&mut self, command: Command, rule: &str) -> &mut Self {
        assert_eq!(self.ask(&command, false), Err(rule.to_owned()), "{command:?}");
        self
    }

    /// What must be true at any time.
    fn hold(&self) {
        let open: Vec<(&EncounterId, &encounter::Stay)> = self.encounters.iter().filter_map(|(id, encounter)| encounter.stay().map(|stay| (id, stay))).collect();
        for (id, stay) in &open {
            assert_eq!(self.patients[&stay.patient].stay.as_ref(), Some(*id), "the record and the encounter agree");
            if let Some(bed) = &stay.bed {
                assert_eq!(self.beds[bed].occupant().map(|(patient, _)| patient), Some(&stay.patient), "the bed and the encounter agree");
            }
            if let Some(companion) = &stay.companion {
                let is_theirs = matches!(&self.beds[&companion.bed].used, Use::Companion { patient, .. } if *patient == stay.patient);
                assert!(is_theirs, "the bed of whoever stays with a patient is theirs");
            }
        }
        for (bed, state) in &self.beds {
            if let Some((patient, _)) = state.occupant() {
                assert_eq!(open.iter().filter(|(_, stay)| stay.bed.as_ref() == Some(bed) && stay.patient == *patient).count(), 1, "{bed} is one stay's");
            }
            if let Use::Companion { patient, .. } = &state.used {
                let lodged = open.iter().filter(|(_, stay)| stay.patient == *patient && stay.companion.as_ref().is_some_and(|companion| companion.bed == *bed));
                assert_eq!(lodged.count(), 1, "{bed} is of whoever stays with somebody who is here");
            }
            if let Use::Reserved { patient, .. } = &state.used {
                let is_asked = open.iter().any(|(_, stay)| stay.patient == *patient && stay.transfer.as_ref().is_some_and(|(to, _)| to == bed));
                let is_planned =
                    self.encounters.values().any(|known| matches!(known, Encounter::Planned { patient: planned, bed: Some(kept), .. } if planned == patient && kept == bed));
                assert!(is_asked || is_planned, "{bed} is kept for somebody who comes");
            }
        }
        for (mrn, _) in self.patients.iter().filter(|(_, known)| known.erased.is_none()) {
            let mut house = self.clone();
            let context = context(None);
            let mut desk = Desk { scene: &mut house, policy: &self.policy, context: &context };
            let person = desk.person(mrn).unwrap();
            assert!(person.records.iter().filter(|(_, record)| record.stay.is_some()).count() <= 1, "{mrn} is in hospital once");
        }
    }
}

fn mrn(text: &str) -> Mrn {
    text.parse().unwrap()
}

fn bed(number: &str) -> BedId {
    format!("MED:{number}:A").parse().unwrap()
}

fn admit(patient: &str, into: &str) -> Command {
    Command::Admit(Admission::into_bed(mrn(patient), bed(into)))
}

fn discharge(patient: &str) -> Command {
    Command::Discharge { patient: mrn(patient), bed: None }
}

fn move_to(patient: &str, to: &str) -> Command {
    Command::Move { patient: mrn(patient), to: bed(to) }
}

fn register(patient: &str, family: &str, as_of: i64) -> Command {
    let person = Person { name: Name { family: family.to_owned(), given: vec![] }, ..Person::default() };
    Command::Register { patient: mrn(patient), person: Box::new(person), as_of: Some(now().plus_seconds(as_of)), is_new: false }
}

fn print(patient: &str) -> Command {
    Command::PrintWristband { patient: mrn(patient), printer: "BANDS".parse().unwrap() }
}

fn allergy(substance: &str) -> Allergy {
    Allergy { substance: substance.to_owned(), category: Category::Medication, criticality: Criticality::High, reaction: String::new() }
}

#[test]
fn number_21_a_second_patient_in_one_bed_is_refused() {
    let mut house = House::default();
    house.done(admit("1", "1")).refused(admit("2", "1"), "occupied").nothing(admit("1", "1"));
}

#[test]
fn a_patient_lies_in_one_bed() {
    let mut house = House::default();
    house.done(admit("1", "1")).refused(admit("1", "2"), "in_hospital").done(discharge("1")).done(admit("1", "2"));
    assert_eq!((house.beds[&bed("1")].occupant(), house.encounters.len()), (None, 2), "each stay is an encounter of its own");
}

#[test]
fn a_move_changes_both_beds_or_nothing() {
    let mut house = House::default();
    house.done(admit("1", "1")).done(admit("2", "2")).refused(move_to("1", "2"), "occupied");
    assert!(house.beds[&bed("1")].occupant().is_some(), "whoever is refused stays where they are");
    house.done(move_to("1", "3")).nothing(move_to("1", "3")).done(Command::MoveBack { patient: mrn("1"), to: None });
    assert_eq!(house.beds[&bed("1")].occupant().unwrap().0, &mrn("1"));
    house.refused(move_to("9", "4"), "not_in_hospital").refused(Command::MoveBack { patient: mrn("2"), to: None }, "not_moved");
}

#[test]
fn a_transfer_is_asked_for_and_accepted() {
    let request = |patient: &str, to: &str| Command::RequestTransfer { patient: mrn(patient), to: bed(to) };
    let accept = |patient: &str| Command::AcceptTransfer { patient: mrn(patient) };
    let cancel = |patient: &str| Command::CancelTransfer { patient: mrn(patient) };
    let mut house = House::default();
    house.done(admit("1", "1")).done(admit("2", "2")).refused(accept("1"), "no_transfer").refused(cancel("1"), "no_transfer");
    house.refused(request("1", "2"), "occupied").done(request("1", "3")).nothing(request("1", "3"));
    house.refused(admit("3", "3"), "reserved").refused(request("2", "3"), "reserved").refused(Command::Block { bed: bed("3"), reason: "x".to_owned() }, "in_use");
    house.done(request("1", "4")).done(admit("3", "3")).done(accept("1"));
    assert_eq!(house.beds[&bed("4")].occupant().unwrap().0, &mrn("1"));
    house.done(request("1", "5")).done(cancel("1")).done(request("1", "5")).done(discharge("1")).done(admit("4", "5"));
}

#[test]
fn two_patients_change_beds_at_once() {
    let swap = |one: &str, other: &str| Command::Swap { patient: mrn(one), with: mrn(other), to: None };
    let mut house = House::with(Policy { housekeeping: true, ..Policy::default() });
    house.done(admit("1", "1")).done(admit("2", "2")).done(swap("1", "2"));
    assert_eq!((house.beds[&bed("1")].occupant().unwrap().0, house.beds[&bed("2")].occupant().unwrap().0), (&mrn("2"), &mrn("1")));
    house.refused(swap("1", "1"), "same_number").refused(swap("1", "3"), "not_in_hospital");
    house.done(Command::Admit(Admission { bed: None, ..Admission::into_bed(mrn("4"), bed("9")) })).refused(swap("1", "4"), "no_bed");
}

#[test]
fn a_discharge_needs_the_words_that_the_house_wants() {
    let clear = |clearance| Command::Clear { patient: mrn("1"), clearance };
    let mut house = House::with(Policy { housekeeping: false, clearances: vec![Clearance::Clinical, Clearance::Billing], ..Policy::default() });
    house.done(admit("1", "1")).refused(discharge("1"), "not_cleared").done(clear(Clearance::Clinical)).nothing(clear(Clearance::Clinical));
    house.refused(discharge("1"), "not_cleared").done(clear(Clearance::Billing)).done(discharge("1")).refused(discharge("1"), "not_in_hospital");
    house.done(admit("1", "1"));
    assert_eq!(house.ask(&discharge("1"), true).map(|changes| changes > 0), Ok(true), "another system says that it has happened");
}

#[test]
fn a_sender_who_names_another_bed_is_wrong_about_the_patient() {
    let from = |patient: &str, of: &str| Command::Discharge { patient: mrn(patient), bed: Some(bed(of)) };
    let mut house = House::default();
    house.done(admit("1", "1")).refused(from("1", "2"), "other_bed").refused(from("2", "1"), "other_bed").refused(from("2", "3"), "not_occupied").done(from("1", "1"));
}

#[test]
fn a_bed_taken_before_there_were_encounters_is_left_all_the_same() {
    let mut house = House::default();
    house.beds.entry(bed("1")).or_default().apply(&bed::Event::PatientAdmitted { patient: mrn("1"), encounter: None, at: now() });
    let context = context(None);
    let leaves = decide(&mut house, &Policy::default(), &context, &Command::Discharge { patient: mrn("1"), bed: Some(bed("1")) }).unwrap();
    assert!(matches!(leaves.as_slice(), [Change::Bed(_, bed::Event::PatientLeft { encounter: None, .. })]), "{leaves:?}");
}

#[test]
fn what_was_an_error_is_taken_back() {
    let back = |of: Option<&str>| Command::CancelDischarge { patient: mrn("1"), bed: of.map(bed) };
    let mut house = House::with(Policy { housekeeping: true, ..Policy::default() });
    house.refused(back(None), "not_discharged").done(admit("1", "1")).nothing(back(None)).refused(back(Some("2")), "in_hospital");
    house.done(discharge("1")).done(back(None));
    assert_eq!((house.encounters.len(), house.beds[&bed("1")].occupant().unwrap().0), (1, &mrn("1")), "it is the same stay");
    house.done(discharge("1")).done(Command::Clean { bed: bed("1") }).done(admit("2", "1")).refused(back(None), "occupied").done(back(Some("2")));
    house.done(Command::CancelAdmission { patient: mrn("1"), bed: None }).refused(back(None), "not_discharged");
}

#[test]
fn a_bed_that_was_left_waits_for_housekeeping() {
    let clean = |of: &str| Command::Clean { bed: bed(of) };
    let mut house = House::with(Policy { housekeeping: true, ..Policy::default() });
    house.refused(clean("1"), "not_so").done(admit("1", "1")).refused(clean("1"), "not_so");
    house.done(Command::Isolate { bed: bed("1"), reason: Some("MRSA".to_owned()) }).nothing(Command::Isolate { bed: bed("1"), reason: Some("MRSA".to_owned()) });
    house.done(discharge("1")).refused(admit("2", "1"), "not_cleaned").done(clean("1")).done(admit("2", "1"));
    assert_eq!(house.beds[&bed("1")].isolation, None, "a clean bed is nobody's isolation");
    house.done(discharge("2"));
    assert_eq!(house.ask(&admit("3", "1"), true), Ok(4), "a feed that says that somebody lies there is believed");
}

#[test]
fn beds_are_blocked_with_a_reason() {
    let block = |of: &str, reason: &str| Command::Block { bed: bed(of), reason: reason.to_owned() };
    let unblock = |of: &str| Command::Unblock { bed: bed(of) };
    let mut house = House::default();
    house.refused(block("1", " "), "missing").done(block("1", "broken")).nothing(block("1", "broken")).refused(admit("1", "1"), "blocked");
    house.done(unblock("1")).refused(unblock("1"), "not_so").done(admit("1", "1")).refused(block("1", "broken"), "in_use");
    house.refused(Command::Isolate { bed: bed("1"), reason: Some(String::new()) }, "missing").nothing(Command::Isolate { bed: bed("1"), reason: None });
}

#[test]
fn a_planned_stay_keeps_its_bed() {
    let planned = |patient: &str, visit: &str, into: &str| Admission { encounter: Some(EncounterId::of_visit(visit).unwrap()), ..Admission::into_bed(mrn(patient), bed(into)) };
    let plan = |patient: &str, visit: &str, into: &str| Command::Plan { admission: planned(patient, visit, into), expected: Some(now()) };
    let cancel = |patient: &str, visit: &str| Command::CancelPlan { patient: mrn(patient), encounter: Some(EncounterId::of_visit(visit).unwrap()) };
    let mut house = House::default();
    house.done(plan("1", "V1", "1")).refused(admit("2", "1"), "reserved").refused(plan("2", "V1", "2"), "encounter_used").done(plan("1", "V1", "2"));
    house.done(admit("2", "1")).done(Command::Admit(planned("1", "V1", "2"))).refused(plan("1", "V1", "3"), "encounter_used").refused(cancel("1", "V1"), "not_planned");
    house.done(plan("3", "V3", "3")).done(cancel("3", "V3")).done(admit("4", "3"));
    house.done(discharge("1")).refused(Command::Admit(planned("1", "V1", "2")), "encounter_used");
    house.done(plan("1", "V5", "2")).done(Command::Admit(planned("1", "V5", "5"))).done(admit("6", "2"));
}

#[test]
fn from_the_emergency_department_to_a_ward_the_stay_goes_on() {
    let emergency = Command::Admit(Admission { class: Class::Emergency, ..Admission::into_bed(mrn("1"), bed("1")) });
    let class = |class| Command::ChangeClass { patient: mrn("1"), class, bed: None };
    let mut house = House::default();
    house.refused(class(Class::Inpatient), "not_in_hospital").done(emergency).done(admit("1", "2")).refused(admit("1", "3"), "in_hospital");
    assert_eq!((house.encounters.len(), house.beds[&bed("1")].occupant()), (1, None));
    house.done(class(Class::Outpatient)).nothing(class(Class::Outpatient));
}

#[test]
fn leave_keeps_the_bed() {
    let (begin, end) = (Command::BeginLeave { patient: mrn("1") }, Command::EndLeave { patient: mrn("1") });
    let mut house = House::default();
    house.refused(begin.clone(), "not_in_hospital").done(admit("1", "1")).refused(end.clone(), "not_on_leave").done(begin.clone()).nothing(begin);
    house.refused(admit("2", "1"), "occupied").done(end);
    house.done(Command::ExpectEnd { patient: mrn("1"), expected: now() }).nothing(Command::ExpectEnd { patient: mrn("1"), expected: now() });
}

#[test]
fn the_dead_are_not_admitted_and_an_error_is_taken_back() {
    let death = Command::RecordDeath { patient: mrn("1"), at: None };
    let mut house = House::with(Policy { housekeeping: false, clearances: vec![Clearance::Clinical], ..Policy::default() });
    house.done(admit("1", "1")).done(death.clone()).nothing(death).refused(admit("1", "1"), "deceased");
    house.done(Command::CancelDischarge { patient: mrn("1"), bed: None });
    assert_eq!(house.patients[&mrn("1")].died, None);
}

#[test]
fn older_facts_do_not_replace_newer_ones() {
    let mut house = House::default();
    house.done(register("1", "Doe", -9)).done(register("1", "Doe", -5)).nothing(register("1", "Doe", -5)).nothing(register("1", "Roe", -7));
    // Older news fills gaps.
    let born = Person { birth_date: Some("1980-01-02".parse().unwrap()), ..Person::default() };
    house.done(Command::Register { patient: mrn("1"), person: Box::new(born), as_of: Some(now().plus_seconds(-15)), is_new: false });
    assert_eq!(house.patients[&mrn("1")].person.as_ref().unwrap().name.family, "Doe");
    house.done(register("1", "Roe", 86_400));
    assert_eq!(house.patients[&mrn("1")].as_of, Some(now()), "a sender whose clock is ahead does not keep others out");
    assert_eq!(house.patients[&mrn("1")].person.as_ref().unwrap().name.family, "Roe");
    let born_tomorrow = Person { birth_date: Some("2026-11-22".parse().unwrap()), ..Person::default() };
    house.refused(Command::Register { patient: mrn("2"), person: Box::new(born_tomorrow), as_of: None, is_new: false }, "invalid_person");
}

#[test]
fn number_17_a_merge_shows_all_of_both_and_an_unmerge_restores_both() {
    let merge = |survivor: &str, merged: &str| Command::Merge { survivor: mrn(survivor), merged: mrn(merged) };
    let record = |patient: &str, substance: &str| Command::RecordAllergy { patient: mrn(patient), allergy: allergy(substance) };
    let mut house = House::default();
    house.done(register("A", "Doe", 0)).done(register("B", "Doh", 0)).done(record("B", "penicillin")).done(admit("B", "1"));
    house.done(register("C", "Dow", 0));
    let before = house.patients.clone();
    house.refused(merge("A", "A"), "same_number").done(merge("A", "B")).nothing(merge("A", "B"));
    house.refused(merge("B", "A"), "already_merged").refused(merge("C", "B"), "already_merged");
    // The merged number is that person: in hospital, allergic, moved and discharged under either.
    house.refused(admit("A", "2"), "in_hospital").done(move_to("A", "2")).refused(Command::NoKnownAllergies { patient: mrn("A") }, "allergies_known");
    house.done(move_to("B", "1"));
    house.done(Command::Unmerge { merged: mrn("B"), from: None }).refused(Command::Unmerge { merged: mrn("B"), from: None }, "not_merged");
    assert_eq!(house.patients, before, "both are what they would be");
    house.done(admit("A", "3")).refused(merge("A", "B"), "both_in_hospital");
}

#[test]
fn what_was_said_of_a_merged_number_is_its_own_after_an_unmerge() {
    let record = |patient: &str, substance: &str| Command::RecordAllergy { patient: mrn(patient), allergy: allergy(substance) };
    let mut house = House::default();
    house.done(register("A", "Doe", 0)).done(register("B", "Doh", 0)).done(record("A", "latex"));
    house.done(Command::Merge { survivor: mrn("B"), merged: mrn("A") }).done(record("A", "penicillin")).done(admit("A", "1"));
    // The survivor says that latex is none of theirs; it is the other's, and comes back with them.
    house.done(Command::RefuteAllergy { patient: mrn("B"), substance: "latex".to_owned(), reason: "not me".to_owned() });
    house.done(print("A"));
    house.done(Command::Unmerge { merged: mrn("A"), from: None });
    let substances = |house: &House, of: &str| house.patients[&mrn(of)].allergies.known().iter().map(|known| known.allergy.substance.clone()).collect::<Vec<_>>();
    assert_eq!((substances(&house, "A"), substances(&house, "B")), (vec!["penicillin".to_owned(), "latex".to_owned()], vec![]));
    assert_eq!((house.patients[&mrn("A")].stay.is_some(), house.patients[&mrn("B")].stay.is_some()), (true, false), "who was admitted is in hospital");
    // What they refute of their own stays refuted.
    house.done(Command::RefuteAllergy { patient: mrn("A"), substance: "latex".to_owned(), reason: "tested".to_owned() });
    house.done(Command::Merge { survivor: mrn("B"), merged: mrn("A") }).done(Command::Unmerge { merged: mrn("A"), from: Some(mrn("B")) });
    assert_eq!(substances(&house, "A"), ["penicillin"]);
}

#[test]
fn by_hand_nobody_is_merged_with_a_number_that_nobody_has() {
    let merge = || Command::Merge { survivor: mrn("A"), merged: mrn("B") };
    let mut house = House::default();
    house.done(register("A", "Doe", 0)).refused(merge(), "not_registered");
    assert_eq!(house.ask(&merge(), true), Ok(2), "another system knows its numbers");
    house.refused(Command::Unmerge { merged: mrn("B"), from: Some(mrn("C")) }, "not_merged");
}

#[test]
fn a_number_that_somebody_has_is_no_new_patient_s() {
    let person = |family: &str| Box::new(Person { name: Name { family: family.to_owned(), given: vec![] }, ..Person::default() });
    let new = |family: &str| Command::Register { patient: mrn("1"), person: person(family), as_of: None, is_new: true };
    let mut house = House::default();
    house.done(new("Doe")).refused(new("Roe"), "number_taken");
    assert_eq!(house.patients[&mrn("1")].person.as_ref().unwrap().name.family, "Doe");
}

#[test]
fn late_news_of_an_old_visit_does_not_end_a_new_one() {
    let visit = |number: &str| EncounterId::of_visit(number).unwrap();
    let under = |number: &str| Command::Admit(Admission { encounter: Some(visit(number)), ..Admission::into_bed(mrn("1"), bed("1")) });
    let of = |number: &str, command: Command| Command::OfVisit { visit: Some(visit(number)), told: None, is_exact: false, command: Box::new(command) };
    let mut house = House::default();
    house.done(under("V1")).done(discharge("1")).refused(under("V1"), "encounter_used").done(under("V2"));
    house.refused(of("V1", discharge("1")), "other_visit").refused(of("V1", Command::RecordDeath { patient: mrn("1"), at: None }), "other_visit");
    house.done(of("V2", discharge("1")));
    // A stay that came without a number may be anybody's visit; after a cancelled admission the number is free again.
    house.done(admit("1", "1")).done(of("V9", discharge("1"))).done(under("V3")).done(Command::CancelAdmission { patient: mrn("1"), bed: None }).done(under("V3"));
}

#[test]
fn taking_back_a_move_or_a_swap_is_heard_once() {
    let back = |to: Option<&str>| Command::MoveBack { patient: mrn("1"), to: to.map(bed) };
    let swap = |to: &str| Command::Swap { patient: mrn("1"), with: mrn("2"), to: Some(bed(to)) };
    let mut house = House::with(Policy { housekeeping: true, ..Policy::default() });
    house.done(admit("1", "1")).done(move_to("1", "2")).done(move_to("1", "3")).refused(back(Some("1")), "other_bed");
    house.done(back(Some("2"))).nothing(back(Some("2"))).refused(back(None), "not_moved");
    house.done(admit("2", "4")).refused(swap("5"), "other_bed").done(swap("4")).nothing(swap("4"));
    assert_eq!(house.beds[&bed("2")].occupant().unwrap().0, &mrn("2"));
}

#[test]
fn plans_belong_to_the_person_and_are_found() {
    let plan = |patient: &str| Command::Plan { admission: Admission::into_bed(mrn(patient), bed("1")), expected: None };
    let cancel = |patient: &str| Command::CancelPlan { patient: mrn(patient), encounter: None };
    let mut house = House::default();
    house.done(register("A", "Doe", 0)).done(register("B", "Doe", 0)).done(plan("A")).done(Command::Merge { survivor: mrn("B"), merged: mrn("A") });
    let encounter = house.patients[&mrn("A")].plans.iter().next().cloned();
    house.refused(Command::CancelPlan { patient: mrn("C"), encounter: encounter.clone() }, "not_planned");
    house.done(Command::Admit(Admission { encounter, ..Admission::into_bed(mrn("B"), bed("1")) })).refused(cancel("B"), "not_planned");
    assert!(house.patients[&mrn("A")].plans.is_empty());
    house.done(Command::Plan { admission: Admission::into_bed(mrn("3"), bed("2")), expected: None }).done(cancel("3")).done(admit("4", "2"));
    assert_eq!(house.ask(&Command::Plan { admission: Admission::into_bed(mrn("5"), bed("3")), expected: None }, true), Ok(2), "a feed's plan keeps no bed");
}

#[test]
fn whoever_is_recorded_as_dead_comes_back_into_the_stay_that_ended_so() {
    let death = || Command::RecordDeath { patient: mrn("1"), at: None };
    let back = || Command::CancelDischarge { patient: mrn("1"), bed: None };
    let mut house = House::default();
    house.refused(Command::WithdrawDeath { patient: mrn("1") }, "not_deceased").done(admit("1", "1")).done(discharge("1"));
    // Years later, at home, and an error.
    house.done(death()).refused(back(), "deceased").done(Command::WithdrawDeath { patient: mrn("1") }).done(admit("1", "2"));
    // A merge with somebody who was recorded as dead ends nobody's stay, and the death of both is withdrawn.
    house.done(Command::RecordDeath { patient: mrn("2"), at: None });
    assert_eq!(house.ask(&Command::Merge { survivor: mrn("2"), merged: mrn("1") }, true), Ok(2));
    house.done(death()).done(back());
    assert!(house.patients.values().all(|record| record.died.is_none()));
}

#[test]
fn who_is_isolated_is_isolated_wherever_they_lie() {
    let isolated = |house: &House, of: &str| house.beds[&bed(of)].isolation.is_some();
    let mut house = House::default();
    house.done(admit("1", "1")).done(admit("2", "2")).done(Command::Isolate { bed: bed("1"), reason: Some("MRSA".to_owned()) });
    house.done(Command::Swap { patient: mrn("1"), with: mrn("2"), to: None });
    assert_eq!((isolated(&house, "1"), isolated(&house, "2")), (false, true));
    house.done(move_to("1", "3"));
    assert_eq!((isolated(&house, "2"), isolated(&house, "3")), (false, true), "without housekeeping a bed that is left is nobody's");
}

#[test]
fn who_is_isolated_stays_so_in_a_bed_whose_last_patient_was_isolated_for_the_same() {
    let isolate = |of: &str| Command::Isolate { bed: bed(of), reason: Some("MRSA".to_owned()) };
    let mut house = House::with(Policy { housekeeping: true, ..Policy::default() });
    house.done(admit("1", "1")).done(isolate("1")).done(admit("2", "2")).done(isolate("2")).done(discharge("2"));
    assert!(house.ask(&move_to("1", "2"), true).is_ok(), "a feed that says that somebody lies there is believed");
    assert_eq!(house.beds[&bed("2")].isolation.as_deref(), Some("MRSA"));
}

#[test]
fn another_system_makes_no_allergy_less_than_it_is() {
    let weaker = Command::RecordAllergy { patient: mrn("1"), allergy: Allergy { criticality: Criticality::Unknown, reaction: "rash".to_owned(), ..allergy("latex") } };
    let mut house = House::default();
    house.done(Command::RecordAllergy { patient: mrn("1"), allergy: allergy("latex") });
    assert_eq!(house.ask(&weaker, true), Ok(1));
    let known = house.patients[&mrn("1")].allergies.known()[0].allergy.clone();
    assert_eq!((known.criticality, known.reaction.as_str()), (Criticality::High, "rash"));
    assert_eq!(house.ask(&weaker, true), Ok(0));
}

#[test]
fn a_clinic_s_discharge_of_whoever_never_lay_here_is_so_already() {
    let mut house = House::default();
    assert_eq!(house.ask(&discharge("1"), true), Ok(0));
    house.refused(discharge("1"), "not_in_hospital");
}

#[test]
fn chains_of_merges_lead_to_the_last_number_and_never_in_a_circle() {
    let merge = |survivor: &str, merged: &str| Command::Merge { survivor: mrn(survivor), merged: mrn(merged) };
    let mut house = House::default();
    house.done(register("A", "Doe", 0)).done(register("B", "Doe", 0)).done(register("C", "Doe", 0));
    house.done(merge("B", "A")).done(merge("C", "B")).refused(merge("A", "C"), "already_merged").done(admit("A", "1"));
    assert_eq!(house.beds[&bed("1")].occupant().unwrap().0, &mrn("A"), "under the number that was named");
    house.refused(admit("B", "2"), "in_hospital").refused(admit("C", "2"), "in_hospital").done(Command::Unmerge { merged: mrn("B"), from: None }).done(admit("C", "2"));
}

#[test]
fn allergies_none_known_and_not_asked_are_three_things() {
    let record = |substance: &str| Command::RecordAllergy { patient: mrn("1"), allergy: allergy(substance) };
    let refute = |substance: &str, reason: &str| Command::RefuteAllergy { patient: mrn("1"), substance: substance.to_owned(), reason: reason.to_owned() };
    let none = Command::NoKnownAllergies { patient: mrn("1") };
    let mut house = House::default();
    house.done(none.clone()).done(record("Penicillin")).nothing(record("Penicillin")).refused(none.clone(), "allergies_known");
    house.refused(record(" "), "missing").refused(refute("latex", "x"), "unknown_allergy").refused(refute("penicillin", ""), "missing");
    house.done(refute(" PENICILLIN ", "tolerated"));
    assert_eq!(house.patients[&mrn("1")].allergies, patient::Allergies::NotAsked, "that one was none does not mean that there is none");
    house.done(none);
}

#[test]
fn wristbands_are_numbered_and_records_restricted() {
    let restrict = |reason: Option<&str>| Command::Restrict { patient: mrn("1"), reason: reason.map(str::to_owned) };
    let mut house = House::default();
    house.refused(print("1"), "not_registered").done(register("1", "Doe", 0));
    house.done(print("1")).done(print("1"));
    assert_eq!(house.patients[&mrn("1")].wristband, 2);
    let confirm = |number| Command::ConfirmWristband { patient: mrn("1"), number, printer: "BANDS".parse().unwrap() };
    house.nothing(confirm(1)).done(confirm(2)).nothing(confirm(2));
    assert_eq!(house.patients[&mrn("1")].wristband_delivered, 2, "the one that was replaced is nobody's");
    // Whoever is one with another for a while may wear the other's band: after an unmerge none counts.
    house.done(register("2", "Roe", 0)).done(Command::Merge { survivor: mrn("2"), merged: mrn("1") }).done(print("1"));
    house.done(Command::Unmerge { merged: mrn("1"), from: None });
    assert_eq!([&house.patients[&mrn("1")], &house.patients[&mrn("2")]].map(|record| record.wristband), [4, 4]);
    house.nothing(restrict(None)).refused(restrict(Some("")), "missing").done(restrict(Some("staff"))).nothing(restrict(Some("staff"))).done(restrict(None));
}

fn any_command() -> impl Strategy<Value = (Command, bool)> {
    let patient = || (1..6_u8).prop_map(|number| mrn(&number.to_string()));
    let place = || (1..4_u8).prop_map(|number| bed(&number.to_string()));
    let visit = || proptest::option::of((1..4_u8).prop_map(|number| EncounterId::of_visit(&number.to_string()).unwrap()));
    let admission = || {
        (patient(), proptest::option::of(place()), visit()).prop_map(|(patient, bed, encounter)| Admission {
            patient,
            encounter,
            class: Class::Inpatient,
            bed,
            mother: None,
            account: None,
            ward: None,
        })
    };
    let command = prop_oneof![
        4 => admission().prop_map(Command::Admit),
        2 => (patient(), place()).prop_map(|(patient, to)| Command::Move { patient, to }),
        1 => (patient(), proptest::option::of(place())).prop_map(|(patient, to)| Command::MoveBack { patient, to }),
        1 => (patient(), proptest::option::of(place())).prop_map(|(patient, bed)| Command::ChangeClass { patient, class: Class::Inpatient, bed }),
        2 => (patient(), patient()).prop_map(|(patient, with)| Command::Swap { patient, with, to: None }),
        2 => (patient(), place()).prop_map(|(patient, to)| Command::RequestTransfer { patient, to }),
        1 => patient().prop_map(|patient| Command::AcceptTransfer { patient }),
        1 => patient().prop_map(|patient| Command::CancelTransfer { patient }),
        3 => (patient(), proptest::option::of(place())).prop_map(|(patient, bed)| Command::Discharge { patient, bed }),
        1 => (patient(), proptest::option::of(place())).prop_map(|(patient, bed)| Command::CancelAdmission { patient, bed }),
        1 => (patient(), proptest::option::of(place())).prop_map(|(patient, bed)| Command::CancelDischarge { patient, bed }),
        1 => patient().prop_map(|patient| Command::RecordDeath { patient, at: None }),
        2 => admission().prop_map(|admission| Command::Plan { admission, expected: None }),
        1 => (patient(), visit()).prop_map(|(patient, encounter)| Command::CancelPlan { patient, encounter }),
        1 => patient().prop_map(|patient| Command::WithdrawDeath { patient }),
        2 => (patient(), patient()).prop_map(|(survivor, merged)| Command::Merge { survivor, merged }),
        1 => patient().prop_map(|merged| Command::Unmerge { merged, from: None }),
        1 => place().prop_map(|bed| Command::Block { bed, reason: "x".to_owned() }),
        1 => place().prop_map(|bed| Command::Unblock { bed }),
        2 => place().prop_map(|bed| Command::Clean { bed }),
        2 => (patient(), patient(), visit()).prop_map(|(from, to, visit)| Command::MoveStay { from, to, visit: visit.unwrap_or_else(|| EncounterId::of_visit("1").unwrap()), account: None }),
        1 => (patient(), visit()).prop_map(|(patient, visit)| Command::RemoveStay { patient, visit }),
        1 => patient().prop_map(|patient| Command::Depart { patient, to: Some("x".to_owned()) }),
        2 => (patient(), place()).prop_map(|(patient, bed)| Command::Lodge { patient, bed, name: "Ann".to_owned(), relation: "mother".to_owned() }),
        1 => patient().prop_map(|patient| Command::CompanionLeaves { patient }),
    ];
    (command, any::<bool>())
}

proptest! {
    /// However many stations ask for whatever, in whatever order: one bed, one patient, one stay (checked after each command).
    #[test]
    fn whatever_is_asked_a_bed_holds_one_and_a_person_lies_in_one(commands in proptest::collection::vec(any_command(), 1..60), housekeeping in any::<bool>()) {
        let mut house = House::with(Policy { housekeeping, ..Policy::default() });
        for (command, is_feed) in commands {
            let _ = house.ask(&command, is_feed);
        }
    }
}

/// A measurement of a sign, so many seconds from now.
fn spo2(whom: Measured, value: i64, seconds: i64) -> Command {
    let reading = vitals::Reading { code: "59408-5".parse().unwrap(), value: value.into(), unit: "%".parse().unwrap() };
    Command::Vitals { whom, command: vitals::Command::Take { readings: vec![reading], fluids: vec![], measured: Some(now().plus_seconds(seconds)) } }
}

#[test]
fn several_commands_happen_as_one_or_not_at_all() {
    let mrn: Mrn = "7".parse().unwrap();
    let bed: BedId = "W1:1:A".parse().unwrap();
    let person = |family: &str| Box::new(Person { name: Name { family: family.to_owned(), given: vec![] }, ..Person::default() });
    let register = |number: &str| Command::Register { patient: number.parse().unwrap(), person: person(number), as_of: None, is_new: true };
    let admit = |number: &str| {
        Command::Admit(Admission { patient: number.parse().unwrap(), encounter: None, class: Class::Inpatient, bed: Some(bed.clone()), mother: None, account: None, ward: None })
    };
    let allergy = Command::RecordAllergy {
        patient: mrn.clone(),
        allergy: Allergy { substance: "latex".to_owned(), category: Category::Environment, criticality: Criticality::High, reaction: String::new() },
    };
    let mut house = House::default();
    // The second into the same bed: nothing of it happens, the one before neither.
    house.refused(Command::All(vec![register("7"), admit("7"), register("8"), admit("8")]), "of_several");
    assert_eq!(house.patients.len(), 0);
    house.done(Command::All(vec![register("7"), admit("7"), allergy.clone()]));
    assert_eq!(house.beds[&bed].occupant().map(|(patient, _)| patient), Some(&mrn));
    assert!(house.patients[&mrn].allergies.against("latex").is_some());
    // What an earlier one has done is not done again by a later one, and two stays of one request have different numbers.
    house.nothing(Command::All(vec![allergy.clone(), allergy.clone()]));
    house.refused(Command::All(vec![Command::All(vec![allergy.clone()])]), "of_several");
    house.refused(Command::All(vec![allergy; 101]), "too_many");
}

#[test]
fn a_registration_is_replaced_by_whoever_has_read_it() {
    let patient: Mrn = "7".parse().unwrap();
    let person = |family: &str, phones: &[&str]| {
        Box::new(Person { name: Name { family: family.to_owned(), given: vec![] }, phones: phones.iter().map(|phone| (*phone).to_owned()).collect(), ..Person::default() })
    };
    let mut house = House::default();
    let replace = |person: Box<Person>, known| Command::Replace { patient: "7".parse().unwrap(), person, known };
    house.refused(replace(person("Doe", &[]), None), "not_registered");
    house.done(Command::Register { patient: patient.clone(), person: person("Doe", &["1"]), as_of: None, is_new: true });
    // Older news of another system fill a gap, and the registration is as of the same time as before.
    let read = house.patients[&patient].person.clone().map(Box::new);
    let older = Box::new(Person { language: Some("de".to_owned()), ..Person::default() });
    house.done(Command::Register { patient: patient.clone(), person: older, as_of: Some(now().plus_seconds(-5)), is_new: false });
    house.refused(replace(person("Roe", &[]), read), "changed_meanwhile");
    let read = house.patients[&patient].person.clone().map(Box::new);
    // What it does not say is not kept: that is what replacing means.
    house.done(replace(person("Roe", &[]), read));
    assert_eq!(house.patients[&patient].person, Some(*person("Roe", &[])));
    house.nothing(replace(person("Roe", &[]), None));
}

#[path = "bedside_tests.rs"]
mod bedside;
#[path = "companion_tests.rs"]
mod companions;
#[path = "erasure_tests.rs"]
mod erasure;
#[path = "reassign_tests.rs"]
mod reassign;
#[path = "reception_tests.rs"]
mod reception;
#[path = "safety_tests.rs"]
mod safety;
