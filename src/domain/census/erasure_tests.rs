//! Who is said to have died, whose stay is meant, and who is erased.

use super::*;

/// Found in review: late changes of an old stay by a client that had read it reopened another one.
#[test]
fn what_is_said_of_a_stay_that_was_read_concerns_no_other() {
    let visit = |number: &str| EncounterId::of_visit(number).unwrap();
    let under = |number: &str| Command::Admit(Admission { encounter: Some(visit(number)), ..Admission::into_bed(mrn("1"), bed("1")) });
    let of = |number: &str, command: Command| Command::OfVisit { visit: Some(visit(number)), told: None, is_exact: true, command: Box::new(command) };
    let back = || Command::CancelDischarge { patient: mrn("1"), bed: None };
    let mut house = House::default();
    house.done(under("V1")).done(discharge("1")).done(under("V2")).done(discharge("1"));
    house.refused(of("V1", back()), "older_visit").done(of("V2", back())).refused(of("V1", discharge("1")), "other_visit").done(of("V2", discharge("1")));
    // Also where the stay that is open has no number of another system.
    house.done(admit("1", "1")).refused(of("V2", discharge("1")), "other_visit");
}

#[test]
fn a_death_has_the_time_that_is_known_and_none_to_come() {
    let mut house = House::default();
    let died = |at| Command::RecordDeath { patient: mrn("1"), at: Some(at) };
    house.done(admit("1", "1")).refused(died(now().plus_seconds(1)), "not_yet").done(died(now().plus_seconds(-3_600)));
    assert_eq!(house.patients[&mrn("1")].died, Some(now().plus_seconds(-3_600)));
}

#[test]
fn a_person_is_erased_by_two_and_never_while_they_are_here() {
    let mut house = House::default();
    let erase = |reason: &str| Command::Erase { patient: mrn("1"), encounters: vec![EncounterId::of_visit("V1").unwrap()], reason: reason.to_owned() };
    let under = |number: &str| Command::Admit(Admission { encounter: Some(EncounterId::of_visit(number).unwrap()), ..Admission::into_bed(mrn("1"), bed("1")) });
    let person = Box::new(Person { name: Name { family: "Doe".to_owned(), given: vec![] }, ..Person::default() });
    let register = Command::Register { patient: mrn("1"), person, as_of: None, is_new: true };
    house.refused(erase(""), "missing").refused(erase("court order"), "witness_missing");
    house.witness = Some("nurse-a".to_owned());
    house.refused(erase("court order"), "witness_is_actor");
    house.witness = Some("nurse-b".to_owned());
    house.refused(erase("court order"), "not_registered");
    house.done(register.clone()).done(under("V1")).done(discharge("1")).done(under("V2")).refused(erase("court order"), "in_hospital");
    house.done(discharge("1")).done(Command::RecordAllergy { patient: mrn("2"), allergy: allergy("latex") });
    house.done(Command::Register {
        patient: mrn("2"),
        person: Box::new(Person { name: Name { family: "Roe".to_owned(), given: vec![] }, ..Person::default() }),
        as_of: None,
        is_new: false,
    });
    house.done(Command::Merge { survivor: mrn("2"), merged: mrn("1") });
    house.done(Command::Plan { admission: Admission { encounter: Some(EncounterId::of_visit("V3").unwrap()), ..Admission::into_bed(mrn("1"), bed("1")) }, expected: None });
    house.refused(erase("court order"), "stay_planned").done(Command::CancelPlan { patient: mrn("1"), encounter: None });
    house.done(erase("court order"));
    for number in ["1", "2"] {
        assert_eq!(house.patients[&mrn(number)], Patient { erased: Some(now()), ..Patient::default() });
    }
    for visit in ["V1", "V2"] {
        assert_eq!(house.encounters[&EncounterId::of_visit(visit).unwrap()], Encounter::None);
    }
    // Once, and the number is nobody's for ever.
    house.nothing(erase("court order")).refused(register, "erased").refused(under("V4"), "erased");
}
