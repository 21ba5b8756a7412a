//! The rules of a specimen: given events, when command, then events or rejection.

use super::*;
use crate::domain::check::{context, given, now, when};

fn test(code: &str) -> Loinc {
    code.parse().unwrap()
}

fn line(code: &str, value: &str) -> ResultLine {
    ResultLine {
        test: test(code),
        vendor_code: "WBC".into(),
        value: ResultValue::Number(value.parse().unwrap()),
        unit: None,
        vendor_unit: String::new(),
        flags: String::new(),
        status: String::new(),
        measured: Some(now()),
    }
}

fn device(name: &str) -> DeviceId {
    name.parse().unwrap()
}

fn ordered(tests: &[&str]) -> Event {
    Event::TestsOrdered { patient: "1001".parse().unwrap(), tests: tests.iter().map(|code| test(code)).collect(), priority: Priority::Routine }
}

fn received() -> Vec<Event> {
    vec![ordered(&["6690-2", "718-7"]), Event::Collected { at: now() }, Event::Received { at: now(), implied: false }]
}

fn filed(line: &ResultLine, is_first: bool) -> Event {
    Event::ResultFiled { patient: "1001".parse().unwrap(), device: device("xn"), result: line.clone(), is_first }
}

fn file(lines: &[ResultLine]) -> Command {
    Command::FileResults { device: device("xn"), patient: None, results: lines.into(), is_by_hand: false }
}

#[test]
fn the_way_of_a_tube() {
    let order = Command::Order { patient: "1001".parse().unwrap(), tests: vec![test("718-7"), test("6690-2"), test("718-7")], priority: Priority::Routine };
    assert_eq!(when(&Specimen::default(), &context(None), order.clone()), Ok(vec![ordered(&["6690-2", "718-7"])]));
    let specimen: Specimen = given(&[ordered(&["718-7"])]);
    assert_eq!(when(&specimen, &context(None), order), Err("already_ordered".into()));
    assert_eq!(when(&specimen, &context(None), Command::Receive), Err("not_collected".into()));
    assert_eq!(when(&specimen, &context(None), Command::Collect), Ok(vec![Event::Collected { at: now() }]));
    let specimen: Specimen = given(&received());
    assert_eq!(when(&specimen, &context(None), Command::Receive), Ok(vec![]), "a repeated scan changes nothing");
    assert_eq!(when(&specimen, &context(None), Command::Collect), Err("already_collected".into()));
    let none = Command::Order { patient: "1001".parse().unwrap(), tests: vec![], priority: Priority::Stat };
    assert_eq!(when(&Specimen::default(), &context(None), none), Err("no_tests".into()));
    assert_eq!(when(&Specimen::default(), &context(None), Command::Collect), Err("unknown_accession".into()));
}

#[test]
fn a_result_is_bound_to_its_test_and_ends_the_specimen_with_the_last_one() {
    let specimen: Specimen = given(&received());
    let wbc = line("6690-2", "5.8");
    assert_eq!(when(&specimen, &context(None), file(std::slice::from_ref(&wbc))), Ok(vec![filed(&wbc, true)]));
    let hgb = line("718-7", "14.0");
    let mut events = received();
    events.push(filed(&wbc, true));
    assert_eq!(given::<Specimen>(&events).outstanding().collect::<Vec<_>>(), [&test("718-7")]);
    events.push(filed(&hgb, true));
    assert_eq!(given::<Specimen>(&events).stage(), Stage::Resulted);
}

#[test]
fn rule_14_an_unknown_or_uncollected_tube_gets_no_result() {
    assert_eq!(when(&Specimen::default(), &context(None), file(&[line("718-7", "14")])), Err("unknown_accession".into()));
    let specimen: Specimen = given(&[ordered(&["718-7"])]);
    assert_eq!(when(&specimen, &context(None), file(&[line("718-7", "14")])), Err("not_collected".into()));
}

#[test]
fn a_result_before_the_laboratory_s_scan_implies_it() {
    let specimen: Specimen = given(&[ordered(&["718-7"]), Event::Collected { at: now() }]);
    let hgb = line("718-7", "14");
    assert_eq!(when(&specimen, &context(None), file(std::slice::from_ref(&hgb))), Ok(vec![Event::Received { at: now(), implied: true }, filed(&hgb, true)]));
}

#[test]
fn rule_17_the_same_measurement_sent_again_changes_nothing() {
    let wbc = line("6690-2", "5.8");
    let mut events = received();
    events.push(filed(&wbc, true));
    let specimen: Specimen = given(&events);
    assert_eq!(when(&specimen, &context(None), file(&[wbc.clone(), wbc.clone()])), Ok(vec![]));
    let mut later = wbc.clone();
    later.measured = Some(now().plus_seconds(60));
    assert_eq!(when(&specimen, &context(None), file(&[later.clone()])), Ok(vec![filed(&later, false)]), "a repeat measurement is filed, not charged");
    let mut twice = line("718-7", "14.0");
    let first = twice.clone();
    twice.value = ResultValue::Number("14.1".parse().unwrap());
    assert_eq!(when(&specimen, &context(None), file(&[first.clone(), twice.clone(), first.clone()])), Ok(vec![filed(&first, true), filed(&twice, false)]));
}

#[test]
fn number_8_a_result_fills_its_own_test_only_and_what_was_not_ordered_is_held() {
    let specimen: Specimen = given(&received());
    let stranger = line("777-3", "200");
    let events = when(&specimen, &context(None), file(&[stranger.clone(), line("718-7", "14")])).unwrap();
    assert_eq!(events, vec![Event::ResultHeld { device: device("xn"), result: stranger.clone() }, filed(&line("718-7", "14"), true)]);
    assert_eq!(Specimen::held(&events[0]), Some(Reason::TestNotOrdered { test: test("777-3") }));
    let mut after = received();
    after.extend(events);
    assert_eq!(when(&given::<Specimen>(&after), &context(None), file(&[stranger])), Ok(vec![]), "held once");
}

#[test]
fn more_tests_open_a_specimen_again_and_free_what_was_held_for_them() {
    let mut events = received();
    events.extend([filed(&line("6690-2", "5"), true), filed(&line("718-7", "14"), true)]);
    let stranger = line("777-3", "200");
    events.push(Event::ResultHeld { device: device("xn"), result: stranger.clone() });
    let add = |code: &str| Command::AddTests { tests: vec![test(code)] };
    let specimen: Specimen = given(&events);
    assert_eq!(when(&specimen, &context(None), add("718-7")), Ok(vec![]));
    assert_eq!(when(&Specimen::default(), &context(None), add("718-7")), Err("unknown_accession".into()));
    events.extend(when(&specimen, &context(None), add("777-3")).unwrap());
    let specimen: Specimen = given(&events);
    assert_eq!(specimen.stage(), Stage::Received);
    assert_eq!(when(&specimen, &context(None), file(std::slice::from_ref(&stranger))), Ok(vec![filed(&stranger, true)]));
}

#[test]
fn a_message_that_names_another_patient_is_refused() {
    let specimen: Specimen = given(&received());
    let of = |mrn: &str| Command::FileResults { device: device("xn"), patient: Some(mrn.parse().unwrap()), results: [line("718-7", "13.2")].into(), is_by_hand: false };
    assert_eq!(when(&specimen, &context(None), of("2002")), Err("other_patient".into()));
    assert!(when(&specimen, &context(None), of("1001")).is_ok());
}

#[test]
fn a_preliminary_result_ends_and_charges_nothing_and_never_follows_the_final_one() {
    let with = |status: &str, value: &str| ResultLine { status: status.into(), ..line("718-7", value) };
    let one: Specimen = given(&[ordered(&["718-7"]), Event::Collected { at: now() }, Event::Received { at: now(), implied: false }]);
    let mut specimen = one.clone();
    for event in when(&specimen, &context(None), file(&[with("P", "13.2")])).unwrap() {
        assert!(matches!(&event, Event::ResultFiled { is_first: false, .. }));
        specimen.apply(&event);
    }
    assert_eq!((specimen.stage(), specimen.outstanding().count()), (Stage::Received, 1), "still to be measured");
    assert_eq!(when(&specimen, &context(None), file(&[with("P", "13.2")])), Ok(vec![]), "sent again");
    // The same value made final is no repetition: it is what ends and charges the test.
    let last = when(&specimen, &context(None), file(&[with("F", "13.2")])).unwrap();
    assert!(matches!(&last[..], [Event::ResultFiled { is_first: true, .. }]), "{last:?}");
    last.iter().for_each(|event| specimen.apply(event));
    assert_eq!(specimen.stage(), Stage::Resulted);
    assert_eq!(when(&specimen, &context(None), file(&[with("P", "9.9")])), Err("already_final".into()));
    let corrected = when(&specimen, &context(None), file(&[with("C", "13.4")])).unwrap();
    assert!(matches!(&corrected[..], [Event::ResultFiled { is_first: false, .. }]));
    let both = when(&one, &context(None), file(&[with("P", "13.0"), with("F", "13.2")])).unwrap();
    assert!(matches!(&both[..], [Event::ResultFiled { is_first: false, .. }, Event::ResultFiled { is_first: true, .. }]));
}

#[test]
fn by_hand_everything_is_filed_or_the_person_is_told() {
    let by_hand = |lines: &[ResultLine]| Command::FileResults { device: device("xn"), patient: None, results: lines.into(), is_by_hand: true };
    let mut specimen: Specimen = given(&received());
    when(&specimen, &context(None), file(&[line("789-8", "4.5")])).unwrap().iter().for_each(|event| specimen.apply(event));
    assert_eq!(when(&specimen, &context(None), by_hand(&[line("789-8", "4.5")])), Err("test_not_ordered".into()), "a retry alone changes nothing");
    when(&specimen, &context(None), Command::AddTests { tests: vec![test("789-8")] }).unwrap().iter().for_each(|event| specimen.apply(event));
    assert!(matches!(&when(&specimen, &context(None), by_hand(&[line("789-8", "4.5")])).unwrap()[..], [Event::ResultFiled { is_first: true, .. }]));
}
