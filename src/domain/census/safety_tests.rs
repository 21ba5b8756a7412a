//! What must not happen because something came late, was mistyped, or was taken back.

use super::*;

fn visit(number: &str) -> EncounterId {
    EncounterId::of_visit(number).unwrap()
}

/// Another system's word, written down so many seconds from now.
fn told(seconds: i64, command: Command) -> Command {
    Command::OfVisit { visit: None, told: Some(Told { as_of: now().plus_seconds(seconds), occurred: None }), is_exact: false, command: Box::new(command) }
}

fn coming(number: &str, patient: &str, class: Class, place: Option<&str>) -> Command {
    Command::Admit(Admission { patient: mrn(patient), encounter: Some(visit(number)), class, bed: place.map(bed), mother: None, account: None, ward: None })
}

fn move_to(place: &str) -> Command {
    Command::Move { patient: mrn("1"), to: bed(place) }
}

#[test]
fn older_news_of_another_system_moves_nobody() {
    let mut house = House::default();
    let mut feed = |command: Command| house.ask(&command, true);
    assert!(feed(told(-50, coming("V1", "1", Class::Inpatient, Some("1")))).is_ok());
    assert!(feed(told(-30, move_to("3"))).is_ok());
    // The move before that one comes now, as after a retry; what agrees with what is known is no news.
    assert_eq!(feed(told(-40, move_to("2"))), Err("older_news".to_owned()));
    assert_eq!(feed(told(-40, move_to("3"))), Ok(0));
    assert_eq!(feed(told(-45, Command::Discharge { patient: mrn("1"), bed: None })), Err("older_news".to_owned()));
    // The same moment is no older one, and a clock that is ahead keeps nothing out.
    assert!(feed(told(-30, move_to("2"))).is_ok());
    assert!(feed(told(3_600, Command::BeginLeave { patient: mrn("1") })).is_ok());
    assert!(feed(told(0, Command::EndLeave { patient: mrn("1") })).is_ok());
    // Also when the stay is over.
    assert!(feed(told(0, Command::Discharge { patient: mrn("1"), bed: None })).is_ok());
    assert_eq!(feed(told(-1, Command::CancelDischarge { patient: mrn("1"), bed: None })), Err("older_news".to_owned()));
}

#[test]
fn in_whatever_order_messages_come_the_newest_counts() {
    let moves = [(-40, "1"), (-30, "2"), (-20, "3"), (-10, "4")];
    for first in 0..4 {
        for second in 0..4 {
            let mut house = House::default();
            house.ask(&told(-50, coming("V1", "1", Class::Inpatient, Some("5"))), true).unwrap();
            let mut order: Vec<(i64, &str)> = moves.to_vec();
            order.swap(0, first);
            order.swap(1, second);
            for (seconds, place) in order {
                let _ = house.ask(&told(seconds, move_to(place)), true);
            }
            assert_eq!(house.beds[&bed("4")].occupant().map(|(patient, _)| patient), Some(&mrn("1")), "{first} {second}");
        }
    }
}

#[test]
fn whoever_comes_and_goes_has_a_stay_without_a_bed() {
    let mut house = House::default();
    let mut feed = |command: Command| house.ask(&command, true);
    assert!(feed(coming("V1", "1", Class::Emergency, None)).is_ok());
    assert_eq!(feed(coming("V1", "1", Class::Emergency, None)), Ok(0), "the same again");
    // Nobody said that it was over: it is, since another one begins; and its end, when it comes, is no news.
    assert!(feed(coming("V2", "1", Class::Outpatient, None)).is_ok());
    let end = |number: &str| Command::OfVisit { visit: Some(visit(number)), told: None, is_exact: false, command: Box::new(Command::Discharge { patient: mrn("1"), bed: None }) };
    assert_eq!(feed(end("V1")), Ok(0));
    assert!(feed(end("V2")).is_ok());
    // Whoever lies here and visits a clinic lies here.
    assert!(feed(coming("V3", "1", Class::Inpatient, Some("1"))).is_ok());
    assert_eq!(feed(coming("V4", "1", Class::Outpatient, None)), Ok(0));
    assert_eq!(house.patients[&mrn("1")].stay, Some(visit("V3")));
}

#[test]
fn a_newborn_rooms_in_with_the_mother() {
    let mut house = House::default();
    house.done(admit("1", "1"));
    let born = |mother: &str| {
        Command::Admit(Admission {
            patient: mrn("2"),
            encounter: Some(visit("V2")),
            class: Class::Newborn,
            bed: Some(bed("1")),
            mother: Some(mrn(mother)),
            account: None,
            ward: None,
        })
    };
    house.refused(born("2"), "same_number").refused(born("77"), "not_registered").done(born("1"));
    assert_eq!(house.encounters[&visit("V2")].stay().map(|stay| (stay.bed.clone(), stay.mother.clone())), Some((None, Some(mrn("1")))));
    assert_eq!(house.beds[&bed("1")].occupant().map(|(patient, _)| patient), Some(&mrn("1")));
}

#[test]
fn by_hand_nothing_is_written_under_a_number_that_nobody_has() {
    let mut house = House::default();
    let allergy = Allergy { substance: "latex".to_owned(), category: Category::Environment, criticality: Criticality::High, reaction: String::new() };
    for command in [
        admit("77", "1"),
        Command::Plan { admission: Admission::into_bed(mrn("77"), bed("1")), expected: None },
        Command::RecordAllergy { patient: mrn("77"), allergy },
        Command::NoKnownAllergies { patient: mrn("77") },
        Command::Restrict { patient: mrn("77"), reason: Some("staff".to_owned()) },
        Command::RecordDeath { patient: mrn("77"), at: None },
    ] {
        house.refused(command.clone(), "not_registered");
        assert!(House::default().ask(&command, true).is_ok(), "another system may speak of somebody before it says who that is: {command}");
    }
}

#[test]
fn a_bed_that_was_dirty_is_dirty_when_it_can_be_used_again() {
    let mut house = House::with(Policy { housekeeping: true, ..Policy::default() });
    house.done(admit("1", "1")).done(Command::Isolate { bed: bed("1"), reason: Some("MRSA".to_owned()) }).done(discharge("1"));
    house.done(Command::Block { bed: bed("1"), reason: "lamp".to_owned() }).done(Command::Unblock { bed: bed("1") });
    house.refused(admit("2", "1"), "not_cleaned").done(Command::Clean { bed: bed("1") }).done(admit("2", "1"));
    assert_eq!(house.beds[&bed("1")].isolation, None, "that was the one before");
    // A bed that was clean is clean.
    house.done(Command::Block { bed: bed("2"), reason: "lamp".to_owned() }).done(Command::Unblock { bed: bed("2") }).done(admit("3", "2"));
}

#[test]
fn whoever_comes_back_does_not_lie_in_what_another_has_left() {
    let mut house = House::with(Policy { housekeeping: true, ..Policy::default() });
    house.done(admit("1", "1")).done(move_to("2")).done(Command::Clean { bed: bed("1") }).done(admit("2", "1")).done(discharge("2"));
    house.refused(Command::MoveBack { patient: mrn("1"), to: None }, "not_cleaned");
    house.done(discharge("1")).refused(Command::CancelDischarge { patient: mrn("1"), bed: Some(bed("1")) }, "not_cleaned");
    // The bed that they have just left is theirs as it is.
    house.done(Command::CancelDischarge { patient: mrn("1"), bed: None });
}

#[test]
fn an_alert_is_raised_again_for_whoever_is_here_again() {
    let catalogue: vitals::Catalogue = toml::from_str(include_str!("../../../config/vitals.toml")).unwrap();
    let mut house = House::with(Policy { vitals: Arc::new(catalogue), ..Policy::default() });
    house.done(admit("1", "1")).done(spo2(Measured::InBed(bed("1")), 70, 0)).done(discharge("1"));
    assert!(house.vitals[&mrn("1")].alerts.is_empty());
    house.done(Command::CancelDischarge { patient: mrn("1"), bed: None });
    let alerts: Vec<_> = house.vitals[&mrn("1")].alerts.values().collect();
    assert!(matches!(alerts.as_slice(), [alert] if alert.value == 70.into() && alert.taken.is_none()), "{alerts:?}");
}

#[test]
fn a_stay_is_no_error_once_somebody_was_looked_after() {
    let mut house = House::with(Policy { clearances: vec![Clearance::Billing], ..Policy::default() });
    let cancel = Command::CancelAdmission { patient: mrn("1"), bed: None };
    house.done(admit("1", "1")).done(cancel.clone()).done(admit("1", "1"));
    let encounter = house.patients[&mrn("1")].stay.clone().unwrap();
    let write = chart::Command::WriteNote { encounter, kind: chart::NoteKind::Progress, text: "x".to_owned(), filling: None };
    house.done(Command::Chart { patient: mrn("1"), command: write }).refused(cancel.clone(), "was_a_stay").refused(discharge("1"), "not_cleared");
    // What another system says has happened, has happened.
    assert!(house.ask(&cancel, true).is_ok());
}

#[test]
fn an_unmerge_gives_back_what_was_taken_away_under_the_other_number() {
    let mut house = House::default();
    let restrict = |number: &str, reason: Option<&str>| Command::Restrict { patient: mrn(number), reason: reason.map(str::to_owned) };
    let photo = patient::Photo::new(vec![0xFF, 0xD8, 0xFF, 0].into()).unwrap();
    let lives = |number: &str| Command::WithdrawDeath { patient: mrn(number) };
    house.done(register("1", "Doe", 0)).done(register("2", "Roe", 0)).done(restrict("2", Some("staff")));
    house.done(Command::TakePhoto { patient: mrn("2"), photo }).done(Command::RecordDeath { patient: mrn("2"), at: None });
    let before = house.patients[&mrn("2")].clone();
    house.done(Command::Merge { survivor: mrn("1"), merged: mrn("2") });
    house.done(restrict("1", None)).done(Command::RemovePhoto { patient: mrn("1") }).done(lives("1"));
    let taken = &house.patients[&mrn("2")];
    assert_eq!((taken.restricted.is_none(), taken.photo, taken.died), (true, None, None));
    house.done(Command::Unmerge { merged: mrn("2"), from: None });
    let after = &house.patients[&mrn("2")];
    assert_eq!((&after.restricted, after.photo, after.died), (&before.restricted, before.photo, before.died), "as it would be");
    // What they took away themselves stays away.
    house.done(restrict("2", None)).done(lives("2")).done(Command::Merge { survivor: mrn("1"), merged: mrn("2") }).done(Command::Unmerge { merged: mrn("2"), from: None });
    assert_eq!((house.patients[&mrn("2")].restricted.clone(), house.patients[&mrn("2")].died), (None, None));
}

#[test]
fn a_visit_ends_with_its_appointment_and_nothing_else_does() {
    let mut house = House::default();
    let over = |number: &str| Command::EndVisit { patient: mrn("1"), encounter: visit(number) };
    house.done(register("1", "Doe", 0)).done(coming("V1", "1", Class::Outpatient, None)).nothing(over("V2")).done(over("V1"));
    house.done(coming("V3", "1", Class::Outpatient, None)).done(Command::ChangeClass { patient: mrn("1"), class: Class::Inpatient, bed: Some(bed("1")) }).nothing(over("V3"));
}
