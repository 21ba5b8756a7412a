//! A stay that was written under the wrong number; where a patient is who is not in bed; what another system keeps no more.

use super::*;
use crate::domain::chart::NoteKind;

fn visit(number: &str) -> EncounterId {
    EncounterId::of_visit(number).unwrap()
}

fn under(number: &str, patient: &str, place: Option<&str>, account: Option<&str>) -> Command {
    let account = account.map(str::to_owned);
    Command::Admit(Admission { patient: mrn(patient), encounter: Some(visit(number)), class: Class::Inpatient, bed: place.map(bed), mother: None, account, ward: None })
}

fn move_stay(number: &str, from: &str, to: &str) -> Command {
    Command::MoveStay { from: mrn(from), to: mrn(to), visit: visit(number), account: None }
}

fn house() -> House {
    let catalogue: vitals::Catalogue = toml::from_str(include_str!("../../../config/vitals.toml")).unwrap();
    let mut house = House::with(Policy { vitals: Arc::new(catalogue), ..Policy::default() });
    house.done(register("1", "Doe", 0)).done(register("2", "Roe", 0));
    house
}

#[test]
fn a_stay_takes_along_what_counts() {
    let mut house = house();
    house.done(under("V1", "1", Some("1"), None)).done(Command::RequestTransfer { patient: mrn("1"), to: bed("2") });
    house.done(Command::PrintWristband { patient: mrn("1"), printer: "BANDS".parse().unwrap() });
    let latex = Allergy { substance: "latex".to_owned(), category: Category::Environment, criticality: Criticality::High, reaction: String::new() };
    house.done(Command::RecordAllergy { patient: mrn("1"), allergy: latex });
    house.done(spo2(Measured::InBed(bed("1")), 70, 0));
    let write = chart::Command::WriteNote { encounter: visit("V1"), kind: NoteKind::Nursing, text: "sleeps".to_owned(), filling: None };
    house.done(Command::Chart { patient: mrn("1"), command: write });
    let problem = chart::Command::RecordProblem { code: "I10".parse().unwrap(), text: "hypertension".to_owned(), onset: None, encounter: Some(visit("V1")) };
    house.done(Command::Chart { patient: mrn("1"), command: problem });

    house.done(move_stay("V1", "1", "2")).nothing(move_stay("V1", "1", "2"));

    let [wrong, right] = ["1", "2"].map(|number| house.patients[&mrn(number)].clone());
    assert_eq!((wrong.stay, wrong.last_stay, right.stay, right.last_stay), (None, None, Some(visit("V1")), Some(visit("V1"))));
    assert_eq!(house.encounters[&visit("V1")].patient(), Some(&mrn("2")));
    assert_eq!(house.beds[&bed("1")].occupant().map(|(patient, _)| patient), Some(&mrn("2")));
    assert!(matches!(&house.beds[&bed("2")].used, Use::Reserved { patient, .. } if *patient == mrn("2")), "the bed that was asked for is kept");
    assert_eq!(wrong.wristband, 2, "the band on the arm says the wrong number: it counts no more");
    assert!(right.allergies.against("latex").is_some() && wrong.allergies.against("latex").is_some(), "too much is safe");
    let [wrong, right] = ["1", "2"].map(|number| house.vitals[&mrn(number)].clone());
    assert_eq!((wrong.latest.len(), wrong.alerts.len(), right.latest.len(), right.alerts.len()), (0, 0, 1, 1), "somebody is called to this bed still");
    let [wrong, right] = ["1", "2"].map(|number| house.charts[&mrn(number)].clone());
    assert!(wrong.notes[0].withdrawn.is_some() && matches!(wrong.problems[0].standing, chart::Standing::Refuted { .. }));
    assert_eq!((right.notes[0].versions[0].text.as_str(), right.notes[0].encounter.clone(), right.problems[0].text.as_str()), ("sleeps", visit("V1"), "hypertension"));
    // The stay goes on as theirs, and the other may come.
    house.done(Command::AcceptTransfer { patient: mrn("2") }).done(admit("1", "1")).done(discharge("2"));
}

#[test]
fn a_stay_that_has_ended_takes_its_death_along() {
    let mut house = house();
    house.done(under("V1", "1", Some("1"), None)).done(Command::RecordDeath { patient: mrn("1"), at: None });
    house.done(move_stay("V1", "1", "2"));
    assert_eq!((house.patients[&mrn("1")].died, house.patients[&mrn("2")].died), (None, Some(now())));
    assert!(matches!(&house.encounters[&visit("V1")], Encounter::Closed { stay, ending: encounter::Ending::Died, .. } if stay.patient == mrn("2")));
    house.done(admit("1", "1")).refused(admit("2", "2"), "deceased");
}

#[test]
fn a_plan_goes_along_with_its_bed() {
    let mut house = house();
    let admission = Admission { encounter: Some(visit("V1")), ..Admission::into_bed(mrn("1"), bed("1")) };
    house.done(Command::Plan { admission, expected: None }).done(move_stay("V1", "1", "2"));
    assert!(house.patients[&mrn("1")].plans.is_empty() && house.patients[&mrn("2")].plans.contains(&visit("V1")));
    house.refused(admit("1", "1"), "reserved").done(under("V1", "2", Some("1"), None));
}

#[test]
fn what_cannot_be_moved_is_refused() {
    let mut house = house();
    house.done(under("V1", "1", Some("1"), None)).done(under("V2", "2", Some("2"), None)).done(register("3", "Moe", 0));
    house.refused(move_stay("V1", "1", "2"), "in_hospital").refused(move_stay("V1", "3", "2"), "other_encounter").refused(move_stay("V9", "1", "3"), "other_encounter");
    house.done(Command::RecordDeath { patient: mrn("3"), at: None }).refused(move_stay("V1", "1", "3"), "deceased");
    // Of one person the same stay is theirs already.
    house.done(discharge("2")).done(Command::Merge { survivor: mrn("2"), merged: mrn("1") }).nothing(move_stay("V1", "1", "2"));
}

#[test]
fn an_account_takes_its_stays_along() {
    let mut house = house();
    let moved = |from: &str, to: &str, account: &str| Command::MoveAccount { from: mrn(from), to: mrn(to), account: account.to_owned() };
    house.done(under("V1", "1", None, Some("A1"))).refused(moved("1", "2", "A2"), "unknown_account");
    house.done(moved("1", "2", "A1")).nothing(moved("1", "2", "A1")).refused(moved("1", "3", "A1"), "unknown_account");
    assert_eq!(house.patients[&mrn("2")].stay, Some(visit("V1")));
    // The same patient, another account.
    let billed = Command::MoveStay { from: mrn("2"), to: mrn("2"), visit: visit("V1"), account: Some("A7".to_owned()) };
    house.done(billed.clone()).nothing(billed);
    assert_eq!(house.encounters[&visit("V1")].stay().and_then(|stay| stay.account.as_deref()), Some("A7"));
}

#[test]
fn somebody_is_on_the_way_there_and_back() {
    let mut house = house();
    let depart = |to: Option<&str>| Command::Depart { patient: mrn("1"), to: to.map(str::to_owned) };
    let arrive = |place: Option<&str>| Command::Arrive { patient: mrn("1"), place: place.map(str::to_owned) };
    let away = |house: &House| house.encounters[&visit("V1")].stay().unwrap().away.clone().map(|away| (away.place, away.is_there));
    house.refused(depart(Some("X-ray")), "not_in_hospital");
    assert_eq!(house.ask(&depart(Some("X-ray")), true), Ok(0), "of somebody who lies in no bed here");
    house.done(under("V1", "1", Some("1"), None)).refused(depart(None), "not_away").refused(depart(Some(" ")), "missing").refused(depart(Some(&"x".repeat(101))), "place_too_long");
    house.done(depart(Some("X-ray"))).nothing(depart(Some("X-ray")));
    assert_eq!(away(&house), Some(("X-ray".to_owned(), false)));
    house.done(arrive(Some("X-ray"))).nothing(arrive(Some("X-ray")));
    assert_eq!(away(&house), Some(("X-ray".to_owned(), true)));
    house.done(depart(None)).done(arrive(None)).nothing(arrive(None));
    assert_eq!((away(&house), house.beds[&bed("1")].occupant().is_some()), (None, true), "the bed was theirs all the time");
    house.done(depart(Some("X-ray"))).done(Command::Move { patient: mrn("1"), to: bed("2") });
    assert_eq!(away(&house), None);
}

#[test]
fn what_another_system_keeps_no_more_stays_here() {
    let mut house = house();
    let remove = |number: Option<&str>| Command::RemoveStay { patient: mrn("1"), visit: number.map(visit) };
    house.nothing(remove(Some("V1"))).nothing(remove(None));
    house.done(under("V1", "1", Some("1"), None)).refused(remove(Some("V1")), "still_here").refused(remove(None), "still_here");
    house.done(discharge("1")).done(remove(Some("V1"))).nothing(remove(None));
    assert!(matches!(house.encounters[&visit("V1")], Encounter::Closed { .. }));
    house.done(under("V2", "2", Some("1"), None)).refused(remove(Some("V2")), "other_encounter");
    let admission = Admission { encounter: Some(visit("V3")), ..Admission::into_bed(mrn("1"), bed("2")) };
    house.done(Command::Plan { admission, expected: None }).done(remove(Some("V3")));
    assert!(house.patients[&mrn("1")].plans.is_empty(), "a plan that is kept nowhere is none");
}
