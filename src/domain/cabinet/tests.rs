//! The rules of a cabinet: given events, when command, then events or rejection; and what holds whatever happens.

use super::command::Withdrawn;
use super::*;
use crate::domain::check::{context, given, now, when};

fn pocket() -> PocketId {
    "1-1".parse().unwrap()
}

fn patient(mrn: &str) -> Mrn {
    mrn.parse().unwrap()
}

fn number(text: &str) -> Decimal {
    text.parse().unwrap()
}

fn lot(name: &str, expires: &str, quantity: &str) -> LotAmount {
    LotAmount { lot: name.into(), expires: expires.parse().unwrap(), quantity: number(quantity) }
}

fn assigned(is_controlled: bool) -> Event {
    Event::PocketAssigned { pocket: pocket(), item: "PARA500".parse().unwrap(), gtins: vec!["09506682101352".parse().unwrap()], is_controlled, at: now() }
}

fn loaded(lot: LotAmount) -> Event {
    Event::Loaded { pocket: pocket(), item: "PARA500".parse().unwrap(), lot, delivery: None, at: now() }
}

fn load(lot: &str, expires: &str, quantity: &str) -> Command {
    Command::Load { pocket: Some(pocket()), gtin: None, lot: lot.into(), expires: expires.parse().unwrap(), quantity: number(quantity), delivery: None }
}

fn vend(quantity: &str) -> Command {
    Command::Vend { pocket: pocket(), quantity: number(quantity), patient: patient("1001"), lot: None }
}

fn of_patient() -> Withdrawn {
    Withdrawn::Of { pocket: pocket(), patient: patient("1001") }
}

/// Applies commands one after the other; every one must be accepted.
fn run(events: &[Event], commands: Vec<(Option<&str>, Command)>) -> Cabinet {
    let mut cabinet: Cabinet = given(events);
    for (witness, command) in commands {
        for event in when(&cabinet, &context(witness), command).unwrap() {
            cabinet.apply(&event);
        }
    }
    cabinet
}

fn balance(cabinet: &Cabinet) -> Decimal {
    cabinet.pockets()[&pocket()].balance()
}

#[test]
fn number_5_what_is_not_there_cannot_be_taken() {
    let cabinet: Cabinet = given(&[assigned(false), loaded(lot("B", "2027-12-31", "934"))]);
    let from_lot = Command::Vend { pocket: pocket(), quantity: number("144"), patient: patient("1"), lot: Some("A".into()) };
    assert_eq!(when(&cabinet, &context(None), from_lot), Err("short".into()));
    assert_eq!(when(&cabinet, &context(None), vend("935")), Err("short".into()));
    assert_eq!(when(&cabinet, &context(None), vend("0")), Err("not_positive".into()));
}

#[test]
fn number_6_the_same_delivery_three_times_is_one_set_of_lines() {
    let deliver = |line: u32, quantity: &str| Command::Load {
        pocket: Some(pocket()),
        gtin: None,
        lot: "L1".into(),
        expires: "2027-12-31".parse().unwrap(),
        quantity: number(quantity),
        delivery: Some(format!("D17/{line}")),
    };
    let lines = [deliver(1, "265000"), deliver(2, "299")];
    let three_times: Vec<_> = (0..3).flat_map(|_| lines.clone()).map(|command| (None, command)).collect();
    assert_eq!(balance(&run(&[assigned(false)], three_times)), number("265299"));
}

#[test]
fn number_9_a_cancelled_pick_puts_back_exactly_what_was_taken() {
    let stock = [assigned(false), loaded(lot("A", "2027-01-31", "30")), loaded(lot("B", "2027-12-31", "470"))];
    let picked = run(&stock, vec![(None, vend("50"))]);
    assert_eq!(balance(&picked), number("450"));
    let cancelled = run(&stock, vec![(None, vend("50")), (None, Command::CancelVend { withdrawal: 1 })]);
    assert_eq!(balance(&cancelled), number("500"));
    assert_eq!(cancelled.pockets()[&pocket()].lots, given::<Cabinet>(&stock).pockets()[&pocket()].lots, "lot by lot");
    assert_eq!(when(&cancelled, &context(None), Command::CancelVend { withdrawal: 1 }), Err("no_withdrawal".into()), "not twice");
}

#[test]
fn number_11_a_withdrawal_closes_when_given_wasted_and_returned_add_up() {
    let stock = [assigned(false), loaded(lot("A", "2027-01-31", "10"))];
    let give = |quantity: &str| Command::Give { withdrawal: of_patient(), quantity: number(quantity) };
    let waste = |quantity: &str| Command::Waste { withdrawal: of_patient(), quantity: number(quantity) };
    let bring = |quantity: &str| Command::Return { withdrawal: of_patient(), quantity: number(quantity) };
    let closed = run(&stock, vec![(None, vend("6")), (None, give("3")), (Some("nurse-b"), waste("1")), (None, bring("2"))]);
    assert_eq!(closed.withdrawals()[&1].open(), Decimal::ZERO);
    assert_eq!(balance(&closed), number("6"));
    let returned = run(&stock, vec![(None, vend("6")), (None, bring("2"))]);
    assert_eq!(when(&returned, &context(None), give("5")), Err("more_than_open".into()));
    let mut after = returned.clone();
    when(&returned, &context(None), give("4")).unwrap().iter().for_each(|event| after.apply(event));
    assert_eq!(when(&after, &context(Some("nurse-b")), waste("1")), Err("no_withdrawal".into()));
}

#[test]
fn number_12_waste_needs_a_second_person() {
    let cabinet = run(&[assigned(true), loaded(lot("A", "2027-01-31", "10"))], vec![(None, vend("2"))]);
    let waste = Command::Waste { withdrawal: of_patient(), quantity: number("1") };
    assert_eq!(when(&cabinet, &context(None), waste.clone()), Err("witness_missing".into()));
    assert_eq!(when(&cabinet, &context(Some(" ")), waste.clone()), Err("witness_missing".into()));
    for same in ["nurse-a", " Nurse-A "] {
        assert_eq!(when(&cabinet, &context(Some(same)), waste.clone()), Err("witness_is_actor".into()), "{same:?}");
    }
    assert!(when(&cabinet, &context(Some("nurse-b")), waste).is_ok());
    let count = Command::Count { pocket: pocket(), found: number("8") };
    assert_eq!(when(&cabinet, &context(None), count), Err("witness_missing".into()), "a controlled pocket is counted by two");
}

#[test]
fn number_15_an_expired_package_is_blocked() {
    let cabinet: Cabinet = given(&[assigned(false)]);
    let scan = Command::Load {
        pocket: None,
        gtin: Some("09506682101352".parse().unwrap()),
        lot: "L".into(),
        expires: "2020-10-31".parse().unwrap(),
        quantity: number("100"),
        delivery: None,
    };
    assert_eq!(when(&cabinet, &context(None), scan), Err("expired".into()));
    let old: Cabinet = given(&[assigned(false), loaded(lot("OLD", "2026-11-20", "5"))]);
    assert_eq!(when(&old, &context(None), vend("1")), Err("expired".into()));
    assert!(when(&cabinet, &context(None), load("L", "2026-11-21", "1")).is_ok(), "the last day is still a day of use");
}

fn reported(kind: ReportedKind, quantity: &str, begin: &str, minutes: i64) -> Command {
    Command::Report(Reported {
        kind,
        pocket: pocket(),
        item: "PARA500".parse().unwrap(),
        quantity: number(quantity),
        expected_begin: None,
        actual_begin: number(begin),
        patient: None,
        user: "12345".into(),
        witness: "67890".into(),
        at: now().plus_seconds(minutes * 60),
    })
}

#[test]
fn number_20_reports_out_of_order_ahead_of_time_or_below_zero() {
    let cabinet: Cabinet = given(&[assigned(false), loaded(lot("A", "2027-01-31", "10"))]);
    assert_eq!(when(&cabinet, &context(None), reported(ReportedKind::Vend, "1", "10", -5)), Err("outdated".into()));
    assert_eq!(when(&cabinet, &context(None), reported(ReportedKind::Vend, "1", "10", 5)), Err("clock_ahead".into()));
    let events = when(&cabinet, &context(None), reported(ReportedKind::Vend, "12", "10", 0)).unwrap();
    assert!(matches!(&events[..], [Event::DiscrepancyOpened { found, .. }] if *found == number("-2")), "{events:?}");
    let mut after = cabinet.clone();
    events.iter().for_each(|event| after.apply(event));
    assert_eq!(balance(&after), number("10"), "not clamped, not changed");
    assert_eq!(when(&after, &context(None), vend("1")), Err("discrepancy_open".into()));
}

#[test]
fn reports_of_another_system_are_taken_over_once_and_differences_open_a_discrepancy() {
    let first = run(&[], vec![(None, reported(ReportedKind::Load, "50", "0", 0))]);
    assert_eq!(balance(&first), number("50"));
    assert_eq!(when(&first, &context(None), reported(ReportedKind::Load, "50", "0", 0)), Ok(vec![]), "sent again");
    let differing = when(&first, &context(None), reported(ReportedKind::Vend, "2", "49", 1)).unwrap();
    assert!(matches!(&differing[..], [Event::DiscrepancyOpened { .. }, Event::TransactionReported { .. }]));
    for (kind, after) in [(ReportedKind::Return, "52"), (ReportedKind::Unload, "48"), (ReportedKind::Waste, "50"), (ReportedKind::BinEmptied, "0"), (ReportedKind::Count, "2")] {
        let cabinet = run(&[], vec![(None, reported(ReportedKind::Load, "50", "0", 0)), (None, reported(kind, "2", "50", 1))]);
        assert_eq!(balance(&cabinet), number(after), "{kind:?}");
    }
}

#[test]
fn a_count_that_differs_stays_open_until_two_persons_resolve_it() {
    let stock = [assigned(false), loaded(lot("A", "2027-01-31", "3")), loaded(lot("B", "2027-12-31", "7"))];
    let cabinet: Cabinet = given(&stock);
    let count = |found: &str| Command::Count { pocket: pocket(), found: number(found) };
    assert!(matches!(when(&cabinet, &context(None), count("10")).unwrap()[..], [Event::Counted { .. }]));
    let open = run(&stock, vec![(None, count("6"))]);
    assert_eq!(when(&open, &context(None), vend("1")), Err("discrepancy_open".into()));
    assert_eq!(when(&open, &context(None), count("6")), Ok(vec![]), "the same finding again");
    let resolve = Command::ResolveDiscrepancy { pocket: pocket(), explanation: "broken ampoules".into() };
    assert_eq!(when(&open, &context(None), resolve.clone()), Err("witness_missing".into()));
    let resolved = run(&stock, vec![(None, count("6")), (Some("nurse-b"), resolve.clone())]);
    assert_eq!(balance(&resolved), number("6"));
    assert_eq!(when(&resolved, &context(Some("nurse-b")), resolve), Err("no_discrepancy".into()));
    let more = run(&stock, vec![(None, count("11")), (Some("nurse-b"), Command::ResolveDiscrepancy { pocket: pocket(), explanation: "found".into() })]);
    assert_eq!(balance(&more), number("11"));
    assert_eq!(when(&cabinet, &context(None), count("-1")), Err("negative_count".into()));
}

#[test]
fn quantities_lots_and_explanations_must_be_plausible() {
    let cabinet: Cabinet = given(&[assigned(false), loaded(lot("A", "2027-01-31", "3"))]);
    for (quantity, rule) in
        [("0", "not_positive"), ("-1", "not_positive"), ("1000001", "not_plausible"), ("79228162514264337593543950335", "not_plausible"), ("0.00001", "not_plausible")]
    {
        assert_eq!(when(&cabinet, &context(None), load("B", "2027-01-31", quantity)), Err(rule.into()), "{quantity}");
        assert_eq!(when(&cabinet, &context(None), vend(quantity)), Err(rule.into()), "{quantity}");
        assert_eq!(when(&cabinet, &context(None), reported(ReportedKind::Vend, quantity, "3", 0)), Err(rule.into()), "{quantity}");
    }
    assert!(when(&cabinet, &context(None), load("B", "2027-01-31", "0.50000000")).is_ok(), "zeros behind are no digits");
    assert_eq!(when(&cabinet, &context(None), load(" ", "2027-01-31", "1")), Err("lot_missing".into()));
    let count = |found: &str| Command::Count { pocket: pocket(), found: number(found) };
    assert_eq!(when(&cabinet, &context(None), count("1000001")), Err("not_plausible".into()));
    let open = run(&[assigned(false), loaded(lot("A", "2027-01-31", "3"))], vec![(None, count("2"))]);
    let resolve = Command::ResolveDiscrepancy { pocket: pocket(), explanation: " ".into() };
    assert_eq!(when(&open, &context(Some("nurse-b")), resolve), Err("explanation_missing".into()));
    let Command::Report(waste) = reported(ReportedKind::Waste, "1", "3", 0) else { panic!() };
    let alone = Command::Report(Reported { witness: "12345".into(), ..waste });
    let events = when(&cabinet, &context(None), alone).unwrap();
    assert!(
        matches!(Cabinet::held(&events[0]), Some(crate::domain::quarantine::Reason::Refused { rule, .. }) if rule == "witness_is_actor"),
        "it has happened, and a person is told"
    );
}

#[test]
fn an_assignment_explains_no_discrepancy() {
    let stock = [assigned(false), loaded(lot("A", "2027-01-31", "3"))];
    let count = Command::Count { pocket: pocket(), found: number("2") };
    let assign = |item: &str| Command::AssignPocket { pocket: pocket(), item: item.parse().unwrap(), gtins: vec!["09506000134352".parse().unwrap()], is_controlled: false };
    let open = run(&stock, vec![(None, count), (None, assign("PARA500"))]);
    assert_eq!(when(&open, &context(None), vend("1")), Err("discrepancy_open".into()));
    assert_eq!(when(&open, &context(None), assign("KCL")), Err("discrepancy_open".into()));
}

#[test]
fn a_package_with_a_serial_number_is_loaded_once_until_it_goes_back() {
    let package = |quantity: &str| Command::Load {
        pocket: Some(pocket()),
        gtin: None,
        lot: "A".into(),
        expires: "2027-01-31".parse().unwrap(),
        quantity: number(quantity),
        delivery: Some("sgtin 09506682101352 77".into()),
    };
    let once = run(&[assigned(false)], vec![(None, package("5")), (None, package("5"))]);
    assert_eq!(balance(&once), number("5"));
    let again = run(&[assigned(false)], vec![(None, package("5")), (None, Command::Unload { pocket: pocket(), lot: None }), (None, package("5"))]);
    assert_eq!(balance(&again), number("5"));
}

#[test]
fn pockets_take_what_they_are_assigned_to() {
    let cabinet: Cabinet = given(&[assigned(false), loaded(lot("A", "2027-01-31", "3"))]);
    let scanned = |gtin: &str, pocket: Option<PocketId>| Command::Load {
        pocket,
        gtin: Some(gtin.parse().unwrap()),
        lot: "A".into(),
        expires: "2027-01-31".parse().unwrap(),
        quantity: Decimal::ONE,
        delivery: None,
    };
    assert_eq!(when(&cabinet, &context(None), scanned("09506000134352", None)), Err("wrong_product".into()));
    assert_eq!(when(&cabinet, &context(None), scanned("09506000134352", Some(pocket()))), Err("wrong_pocket".into()));
    assert!(when(&cabinet, &context(None), scanned("09506682101352", None)).is_ok());
    let assign = |item: &str| Command::AssignPocket { pocket: pocket(), item: item.parse().unwrap(), gtins: vec![], is_controlled: false };
    assert_eq!(when(&cabinet, &context(None), assign("KCL")), Err("pocket_in_use".into()));
    let missing = Command::Count { pocket: "9-9".parse().unwrap(), found: Decimal::ONE };
    assert_eq!(when(&cabinet, &context(None), missing), Err("unknown_pocket".into()));
    let emptied = run(&[assigned(false), loaded(lot("A", "2027-01-31", "3"))], vec![(None, Command::Unload { pocket: pocket(), lot: None })]);
    assert_eq!(balance(&emptied), Decimal::ZERO);
    assert_eq!(when(&emptied, &context(None), Command::Unload { pocket: pocket(), lot: None }), Err("short".into()));
    assert!(when(&emptied, &context(None), assign("KCL")).is_ok());
}

#[test]
fn the_first_to_expire_is_taken_first() {
    let cabinet = run(&[assigned(false), loaded(lot("LATE", "2028-01-31", "5")), loaded(lot("SOON", "2027-01-31", "2"))], vec![(None, vend("3"))]);
    let lots: Vec<_> = cabinet.withdrawals()[&1].lots.iter().map(|lot| (lot.lot.as_str(), lot.quantity)).collect();
    assert_eq!(lots, [("SOON", number("2")), ("LATE", number("1"))]);
}

proptest::proptest! {
    /// Whatever is asked, in whatever order: the balance is what went in less what is out, and never below zero.
    #[test]
    fn stock_is_conserved(steps in proptest::collection::vec((0u8..8, 1i64..9, 0u32..4), 1..60)) {
        let mut cabinet: Cabinet = given(&[assigned(false)]);
        let mut in_stock = Decimal::ZERO;
        let mut consumed = Decimal::ZERO;
        for (what, quantity, which) in steps {
            let quantity = Decimal::from(quantity);
            let withdrawal = Withdrawn::Number(which);
            let command = match what {
                0 | 1 => load(if which > 1 { "A" } else { "B" }, if which > 1 { "2027-01-31" } else { "2028-01-31" }, &quantity.to_string()),
                2 | 3 => vend(&quantity.to_string()),
                4 => Command::CancelVend { withdrawal: which },
                5 => Command::Return { withdrawal, quantity },
                6 => Command::Waste { withdrawal, quantity },
                _ => Command::Give { withdrawal, quantity },
            };
            if let Ok(events) = when(&cabinet, &context(Some("nurse-b")), command) {
                for event in events {
                    match &event {
                        Event::Loaded { lot, .. } => in_stock += lot.quantity,
                        Event::Given { quantity, .. } | Event::Wasted { quantity, .. } => consumed += quantity,
                        _ => {}
                    }
                    cabinet.apply(&event);
                }
            }
            let open: Decimal = cabinet.withdrawals().values().map(Withdrawal::open).sum();
            proptest::prop_assert!(balance(&cabinet) >= Decimal::ZERO);
            proptest::prop_assert!(cabinet.pockets()[&pocket()].lots.iter().all(|lot| lot.quantity > Decimal::ZERO));
            proptest::prop_assert_eq!(balance(&cabinet) + open + consumed, in_stock);
        }
    }
}
