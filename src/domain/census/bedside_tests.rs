//! Whose a measurement and a note is.

use super::*;

#[test]
fn signs_belong_to_whoever_is_named_and_lies_there() {
    let catalogue: vitals::Catalogue = toml::from_str(include_str!("../../../config/vitals.toml")).unwrap();
    let mut house = House::with(Policy { vitals: Arc::new(catalogue), ..Policy::default() });
    house.done(register("1", "Doe", 0)).done(register("2", "Roe", 0)).done(register("3", "Doe", 0)).done(admit("1", "1"));
    let both = |patient: &str, place: &str| Measured::PatientInBed(mrn(patient), bed(place));
    house.done(spo2(Measured::InBed(bed("1")), 97, 0)).done(spo2(both("1", "1"), 96, 0));
    assert_eq!(house.vitals[&mrn("1")].latest.values().next().unwrap().value, 96.into());
    for (whom, value, rule) in [
        (both("2", "1"), 70, "other_patient"),
        (both("1", "2"), 70, "not_occupied"),
        (Measured::InBed(bed("2")), 70, "not_occupied"),
        (Measured::Patient(mrn("9")), 70, "not_registered"),
    ] {
        house.refused(spo2(whom, value, 0), rule);
    }
    house.refused(spo2(Measured::InBed(bed("1")), 70, -1), "before_arrival");
    // A monitor that still has the number of somebody who is not here; a person may write down what was measured at a visit.
    assert_eq!(house.ask(&spo2(Measured::Patient(mrn("2")), 70, 0), true), Err("not_in_hospital".to_owned()));
    house.done(spo2(Measured::Patient(mrn("2")), 98, 0));
    // Either number of one person.
    house.done(Command::Merge { survivor: mrn("3"), merged: mrn("1") }).done(spo2(both("3", "1"), 70, 0));
    assert_eq!((house.vitals[&mrn("3")].alerts.len(), house.vitals[&mrn("1")].latest.values().next().unwrap().value), (1, 96.into()), "written under the number that was said");
    // Limits under one number are the person's.
    let limits = vitals::Limits { low: Some(60.into()), high: None };
    house.done(Command::Vitals { whom: Measured::Patient(mrn("3")), command: vitals::Command::SetLimits { code: "59408-5".parse().unwrap(), limits, reason: "shunt".to_owned() } });
    house.done(spo2(both("1", "1"), 61, 5));
    assert!(house.vitals[&mrn("1")].alerts.is_empty(), "within the limits that were set under the other number");
    house.done(spo2(both("1", "1"), 59, 6));
    assert_eq!(house.vitals[&mrn("1")].alerts.len(), 1);
    house.done(discharge("1"));
    assert!([&mrn("1"), &mrn("3")].iter().all(|mrn| house.vitals[mrn].alerts.is_empty()), "nobody is called to a bed that the patient has left");
}

#[test]
fn a_note_is_about_a_stay_of_the_very_patient() {
    let mut house = House::default();
    house.done(register("1", "Doe", 0)).done(admit("1", "1")).done(register("2", "Roe", 0)).done(admit("2", "2"));
    let stay = |house: &House, patient: &str| house.patients[&mrn(patient)].stay.clone().unwrap();
    let write = |patient: &str, encounter: &EncounterId| Command::Chart {
        patient: mrn(patient),
        command: chart::Command::WriteNote { encounter: encounter.clone(), kind: chart::NoteKind::Progress, text: "x".to_owned(), filling: None },
    };
    let (own, other) = (stay(&house, "1"), stay(&house, "2"));
    house
        .done(write("1", &own))
        .refused(write("1", &other), "other_encounter")
        .refused(write("1", &"enc_9".parse().unwrap()), "other_encounter")
        .refused(write("9", &own), "not_registered");
    house.done(discharge("1")).done(write("1", &own));
    assert_eq!(house.charts[&mrn("1")].notes.len(), 2, "what was done is written down afterwards");
}
