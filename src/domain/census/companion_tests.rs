//! Who stays with a patient: one companion, in a bed of their own, as long as the stay.

use super::*;
use crate::domain::bed::Use;

fn lodge(patient: &str, number: &str, name: &str) -> Command {
    Command::Lodge { patient: mrn(patient), bed: bed(number), name: name.to_owned(), relation: "mother".to_owned() }
}

fn leaves(patient: &str) -> Command {
    Command::CompanionLeaves { patient: mrn(patient) }
}

fn used(house: &House, number: &str) -> Use {
    house.beds.get(&bed(number)).cloned().unwrap_or_default().used
}

#[test]
fn a_mother_stays_with_her_child_in_a_bed_that_is_nobody_else_s() {
    let mut house = House::default();
    house.done(register("1", "Doe", 0)).done(register("2", "Roe", 0)).refused(lodge("1", "2", "Ann"), "not_in_hospital");
    house.done(admit("1", "1")).refused(lodge("1", "2", " "), "missing").refused(lodge("1", "1", "Ann"), "occupied");
    house.done(lodge("1", "2", "Ann")).nothing(lodge("1", "2", "Ann")).refused(lodge("1", "3", "Ann"), "has_companion");
    assert!(matches!(used(&house, "2"), Use::Companion { .. }));
    // No patient comes into it, nobody blocks it, nothing that is measured there is the child's.
    house.refused(admit("2", "2"), "occupied").refused(Command::Block { bed: bed("2"), reason: "paint".to_owned() }, "in_use");
    house.refused(Command::RequestTransfer { patient: mrn("1"), to: bed("2") }, "occupied");
    // The child's own bed is another matter: it moves, and the mother stays where she is.
    house.done(Command::Move { patient: mrn("1"), to: bed("3") });
    assert!(matches!(used(&house, "2"), Use::Companion { .. }));
    house.done(leaves("1")).refused(leaves("1"), "no_companion");
    assert_eq!(used(&house, "2"), Use::Free);
    house.done(admit("2", "2")).refused(lodge("1", "2", "Ann"), "occupied");
}

#[test]
fn whoever_stays_with_a_patient_goes_when_the_stay_ends_and_is_cleaned_after() {
    let mut house = House { policy: Policy { housekeeping: true, ..Policy::default() }, ..House::default() };
    house.done(register("1", "Doe", 0)).done(admit("1", "1")).done(lodge("1", "2", "Ann")).done(discharge("1"));
    assert!(matches!(used(&house, "2"), Use::Cleaning { .. }));
    house.refused(leaves("1"), "not_in_hospital").done(Command::Clean { bed: bed("2") });
    // Who comes back comes without them.
    house.done(Command::CancelDischarge { patient: mrn("1"), bed: None }).refused(leaves("1"), "no_companion").done(lodge("1", "2", "Ann"));
    house.done(Command::RecordDeath { patient: mrn("1"), at: None });
    assert!(matches!(used(&house, "2"), Use::Cleaning { .. }));
}
