//! Sessions, slots, appointments, tokens: each rule and each rejection; no slot is ever oversold.

use proptest::prelude::*;

use super::*;
use crate::domain::check::{context, given, now, when};
use crate::domain::{Aggregate, Context};
use crate::kernel::Money;

fn at(minutes: i64) -> Timestamp {
    now().plus_seconds(minutes * 60)
}

fn then(minutes: i64) -> Context {
    Context { now: at(minutes), ..context(None) }
}

fn opening(from: i64, until: i64) -> Opening {
    Opening { from: at(from), until: at(until), slot_minutes: 20, places: 1, overbooking: 1, walk_ins: 2, link: None }
}

/// A schedule with a session of three slots from in an hour on.
fn schedule() -> Schedule {
    let made = Event::ScheduleMade { name: "Dr A".to_owned(), of: Of::Practitioner, ward: None, at: now() };
    let mut schedule = given::<Schedule>(&[made]);
    done(&mut schedule, 0, Command::Open(vec![opening(60, 125)]));
    schedule
}

fn done(schedule: &mut Schedule, minutes: i64, command: Command) -> Vec<Event> {
    let events = when(schedule, &then(minutes), command).unwrap();
    events.iter().for_each(|event| schedule.apply(event));
    events
}

fn refused(schedule: &Schedule, minutes: i64, command: Command, rule: &str) {
    assert_eq!(when(schedule, &then(minutes), command.clone()).map(|events| format!("{events:?}")), Err(rule.to_owned()), "{command:?}");
}

fn book(patient: &str, minutes: i64, may_overbook: bool) -> Command {
    Command::Book { patient: patient.parse().unwrap(), start: at(minutes), reason: String::new(), may_overbook }
}

fn arrive(number: u32) -> Command {
    Command::Arrive { number, encounter: format!("enc_{number}").parse().unwrap(), category: String::new() }
}

fn walk_in(patient: &str) -> Command {
    Command::WalkIn { patient: patient.parse().unwrap(), reason: "cough".to_owned(), encounter: format!("enc_w{patient}").parse().unwrap(), category: String::new() }
}

#[test]
fn a_slot_is_sold_once_and_overbooked_by_whoever_may() {
    let mut schedule = schedule();
    assert_eq!(schedule.sessions[&1].slots().map(|slot| slot.seconds_since(now()) / 60).collect::<Vec<_>>(), [60, 80, 100], "the last five minutes are no slot");
    done(&mut schedule, 0, book("1", 60, false));
    refused(&schedule, 0, book("1", 60, true), "booked_already");
    refused(&schedule, 0, book("2", 60, false), "slot_full");
    done(&mut schedule, 0, book("2", 60, true));
    refused(&schedule, 0, book("3", 60, true), "slot_full");
    refused(&schedule, 0, book("3", 61, true), "no_slot");
    refused(&schedule, 80, book("3", 60, true), "slot_over");
    done(&mut schedule, 0, Command::Cancel { number: 1, reason: "ill".to_owned() });
    refused(&schedule, 0, Command::Cancel { number: 2, reason: " ".to_owned() }, "empty");
    refused(&schedule, 0, Command::Cancel { number: 9, reason: "x".to_owned() }, "unknown_appointment");
    refused(&schedule, 0, book("4", 60, false), "slot_full");
    done(&mut schedule, 0, Command::Move { number: 2, start: at(80), may_overbook: false });
    done(&mut schedule, 0, book("4", 60, false));
    refused(&schedule, 0, Command::Move { number: 3, start: at(80), may_overbook: false }, "slot_full");
    assert_eq!(done(&mut schedule, 0, Command::Move { number: 3, start: at(60), may_overbook: false }), [], "there already");
}

#[test]
fn sessions_do_not_overlap_and_make_sense() {
    let schedule = schedule();
    let open = |opening: Opening| Command::Open(vec![opening]);
    refused(&schedule, 0, open(opening(120, 200)), "sessions_overlap");
    refused(&schedule, 0, Command::Open(vec![opening(200, 300), opening(299, 400)]), "sessions_overlap");
    refused(&schedule, 0, Command::Open(vec![]), "invalid_session");
    for wrong in [
        opening(200, 210),
        opening(300, 200),
        opening(-100, -10),
        opening(200, 200 + 25 * 60),
        Opening { slot_minutes: 4, ..opening(200, 300) },
        Opening { places: 0, ..opening(200, 300) },
        Opening { overbooking: 21, ..opening(200, 300) },
    ] {
        refused(&schedule, 0, open(wrong), "invalid_session");
    }
    refused(&Schedule::default(), 0, open(opening(200, 300)), "no_schedule");
    refused(&schedule, 0, Command::Make { name: "Dr B".to_owned(), of: Of::Room, ward: None }, "schedule_exists");
    refused(&Schedule::default(), 0, Command::Make { name: " ".to_owned(), of: Of::Room, ward: None }, "empty");
}

#[test]
fn a_closure_is_not_booked_and_says_who_needs_another_time() {
    let mut schedule = schedule();
    done(&mut schedule, 0, book("1", 60, false));
    done(&mut schedule, 0, book("2", 100, false));
    let close = |from, until, reason: &str| Command::Close(Closure { from: at(from), until: at(until), reason: reason.to_owned() });
    refused(&schedule, 0, close(90, 80, "x"), "invalid_session");
    refused(&schedule, 0, close(80, 90, ""), "empty");
    let events = done(&mut schedule, 0, close(70, 95, "conference"));
    assert!(matches!(&events[..], [Event::Closed { meets, .. }] if *meets == [1]), "{events:?}");
    assert!(schedule.appointments[&1].needs_rebooking && !schedule.appointments[&2].needs_rebooking);
    refused(&schedule, 0, book("3", 80, false), "closed");
    refused(&schedule, 0, Command::Move { number: 2, start: at(80), may_overbook: false }, "closed");
    done(&mut schedule, 0, Command::Reopen { from: at(70) });
    done(&mut schedule, 0, Command::Move { number: 1, start: at(80), may_overbook: false });
    assert!(!schedule.appointments[&1].needs_rebooking);
}

#[test]
fn tokens_are_given_in_the_order_of_arrival_and_called_once() {
    let mut schedule = schedule();
    for (patient, minutes) in [("1", 60), ("2", 80), ("3", 100)] {
        done(&mut schedule, 0, book(patient, minutes, false));
    }
    refused(&schedule, 0, Command::CallNext { category: None }, "nobody_waits");
    done(&mut schedule, 50, arrive(2));
    done(&mut schedule, 51, walk_in("9"));
    done(&mut schedule, 52, arrive(1));
    refused(&schedule, 53, arrive(1), "not_so");
    done(&mut schedule, 53, walk_in("8"));
    refused(&schedule, 53, walk_in("7"), "no_walk_ins");
    let called: Vec<u32> = (0..4)
        .map(|_| match done(&mut schedule, 60, Command::CallNext { category: None })[..] {
            [Event::TokenCalled { number, token, .. }] => number * 10 + token,
            _ => 0,
        })
        .collect();
    assert_eq!(called, [21, 42, 13, 54], "number and token");
    refused(&schedule, 60, Command::CallNext { category: None }, "nobody_waits");
    done(&mut schedule, 70, Command::Fulfil { number: 2 });
    assert_eq!(done(&mut schedule, 71, Command::Fulfil { number: 2 }), []);
    refused(&schedule, 71, Command::Fulfil { number: 3 }, "not_so");
    refused(&schedule, 71, Command::Cancel { number: 2, reason: "x".to_owned() }, "not_so");
    refused(&schedule, 114, Command::Miss { number: 3 }, "too_early");
    done(&mut schedule, 115, Command::Miss { number: 3 });
    refused(&schedule, 116, arrive(3), "not_so");
    refused(&schedule, 200, walk_in("7"), "no_session");
}

#[test]
fn what_is_long_over_is_let_go_and_numbers_go_on() {
    let mut schedule = schedule();
    done(&mut schedule, 0, book("1", 60, false));
    let week = 8 * 24 * 60;
    done(&mut schedule, week, Command::Open(vec![opening(week + 60, week + 120)]));
    assert_eq!((schedule.sessions.len(), schedule.appointments.len()), (1, 0));
    done(&mut schedule, week, book("2", week + 60, false));
    assert_eq!(schedule.appointments.keys().collect::<Vec<_>>(), [&2]);
}

proptest! {
    #[test]
    fn whatever_is_asked_no_slot_is_oversold_and_no_token_given_twice(asked in proptest::collection::vec((0_u8..7, 0_u32..12, 0_i64..4, any::<bool>()), 0..120)) {
        let mut schedule = schedule();
        for (what, number, slot, flag) in asked {
            let start = 60 + slot * 20;
            let command = match what {
                0 | 1 => book(&number.to_string(), start, flag),
                2 => Command::Move { number, start: at(start), may_overbook: flag },
                3 => Command::Cancel { number, reason: "x".to_owned() },
                4 => arrive(number),
                5 => walk_in(&number.to_string()),
                _ => Command::CallNext { category: None },
            };
            let events = schedule.decide(&then(59), &command).unwrap_or_default();
            events.iter().for_each(|event| schedule.apply(event));
            for session in schedule.sessions.values() {
                for slot in session.slots() {
                    prop_assert!(schedule.taken(slot, now()) <= (session.places + session.overbooking) as usize);
                }
            }
            let mut tokens: Vec<(u32, u32)> = schedule.appointments.values().filter_map(|known| match known.standing {
                Standing::Waiting { token, .. } | Standing::Called { token, .. } => Some((known.session, token)),
                _ => None,
            }).collect();
            let count = tokens.len();
            tokens.sort_unstable();
            tokens.dedup();
            prop_assert_eq!(tokens.len(), count);
        }
    }
}

#[test]
fn the_nearest_reminder_that_is_due_and_was_not_sent_is_the_one() {
    let (day, hours) = (24 * 60, 2 * 60);
    let at = |minutes: i64| now().plus_seconds(minutes * 60);
    let session = Session { number: 1, from: at(0), until: at(4_000), slot_minutes: 20, places: 9, overbooking: 0, walk_ins: 0, tokens: 0, link: None };
    let mut schedule: Schedule = given(&[Event::ScheduleMade { name: "A".to_owned(), of: Of::Room, ward: None, at: now() }, Event::SessionOpened { session, at: now() }]);
    let booked = |number: u32, minutes: i64| Event::AppointmentBooked {
        number,
        patient: "1".parse().unwrap(),
        session: 1,
        start: at(minutes),
        reason: String::new(),
        is_overbooked: false,
        at: now(),
    };
    // In two days, tomorrow, in an hour, begun.
    for (number, minutes) in [(1, 2 * 24 * 60), (2, 20 * 60), (3, 60), (4, 0)] {
        schedule.apply(&booked(number, minutes));
    }
    let due = |schedule: &Schedule| schedule.to_remind(&[day, hours], now()).map(|(known, minutes)| (known.number, minutes)).collect::<Vec<_>>();
    assert_eq!(due(&schedule), [(2, day), (3, hours)]);
    schedule.apply(&Event::PatientReminded { number: 2, minutes: day, at: now() });
    schedule.apply(&Event::PatientReminded { number: 3, minutes: hours, at: now() });
    assert_eq!(due(&schedule), []);
    // Nearer than the one that was sent; and a new time is told anew.
    schedule.apply(&Event::AppointmentMoved { number: 2, session: 1, start: at(100), at: now() });
    assert_eq!(due(&schedule), [(2, hours)]);
    schedule.apply(&Event::AppointmentCancelled { number: 2, reason: "x".to_owned(), at: now() });
    assert_eq!(due(&schedule), []);
}

#[test]
fn what_was_said_of_an_appointment_is_under_the_patient_s_key_and_goes_with_them() {
    let mut known = schedule();
    let patient: Mrn = "1".parse().unwrap();
    let events = done(&mut known, 0, Command::Book { patient: patient.clone(), start: at(60), reason: "cough".to_owned(), may_overbook: false });
    let [noted, booked] = &events[..] else { panic!("{events:?}") };
    assert_eq!((known.sealing("DR", noted), known.sealing("DR", booked)), (Sealing::Person(patient), Sealing::House));
    assert_eq!(known.appointments[&1].reason, "cough");
    let cancelled = done(&mut known, 0, Command::Cancel { number: 1, reason: "better".to_owned() });
    assert_eq!(known.appointments[&1].standing, Standing::Cancelled { why: "better".to_owned() });
    // Erased, the place in the book stays, and no number is given twice.
    let mut erased = schedule();
    [&Event::Erased {}, booked, &Event::Erased {}, &cancelled[1]].into_iter().for_each(|event| erased.apply(event));
    assert_eq!((erased.appointments[&1].reason.as_str(), erased.appointment_count), ("", 1));
    assert_eq!(erased.appointments[&1].standing, Standing::Cancelled { why: String::new() });
}

#[test]
fn whoever_was_booked_in_a_time_that_is_open_again_is_expected_again() {
    let mut schedule = schedule();
    done(&mut schedule, 0, book("1", 60, false));
    let close = |from, until| Command::Close(Closure { from: at(from), until: at(until), reason: "leave".to_owned() });
    done(&mut schedule, 0, close(50, 90));
    done(&mut schedule, 0, close(55, 70));
    done(&mut schedule, 0, Command::Reopen { from: at(50) });
    assert!(schedule.appointments[&1].needs_rebooking, "the other closure meets it");
    done(&mut schedule, 0, Command::Reopen { from: at(55) });
    assert!(!schedule.appointments[&1].needs_rebooking);
}

fn hold(patient: &str, minutes: i64, until: i64, fee: Option<&str>) -> Command {
    Command::Hold { patient: patient.parse().unwrap(), start: at(minutes), reason: String::new(), until: at(until), fee: fee.map(money) }
}

fn money(amount: &str) -> Money {
    Money::new(amount.parse().unwrap(), "USD".parse().unwrap())
}

fn paid(number: u32, reference: &str, amount: &str) -> Command {
    Command::Confirm { number, payment: Some(Payment { reference: reference.to_owned(), amount: money(amount) }) }
}

#[test]
fn a_slot_is_held_until_its_time_is_over_and_paid_once() {
    let mut schedule = schedule();
    done(&mut schedule, 0, hold("1", 60, 15, Some("20")));
    refused(&schedule, 1, book("2", 60, false), "slot_full");
    refused(&schedule, 1, hold("1", 60, 15, None), "booked_already");
    refused(&schedule, 1, Command::Confirm { number: 1, payment: None }, "other_amount");
    refused(&schedule, 1, paid(1, "P-1", "19"), "other_amount");
    refused(&schedule, 1, paid(1, " ", "20"), "other_amount");
    done(&mut schedule, 1, paid(1, "P-1", "20"));
    assert_eq!(when(&schedule, &then(2), paid(1, "P-1", "20")), Ok(vec![]), "the provider calls back twice");
    refused(&schedule, 2, paid(1, "P-2", "20"), "not_so");
    done(&mut schedule, 2, hold("2", 80, 15, Some("20")));
    refused(&schedule, 2, paid(2, "P-1", "20"), "reference_used");
    assert_eq!(when(&schedule, &then(14), Command::Lapse { number: 2 }), Ok(vec![]), "not yet");
    assert_eq!(schedule.lapsed(at(14)).count(), 0);
    // Nobody has paid: the slot is anybody's, also before somebody has written that down.
    assert_eq!((schedule.lapsed(at(15)).collect::<Vec<_>>(), schedule.taken(at(80), at(15))), (vec![2], 0));
    let mut late = schedule.clone();
    done(&mut late, 16, paid(2, "P-3", "20"));
    assert_eq!(late.appointments[&2].standing, Standing::Booked, "what comes late is good while nobody else has the slot");
    done(&mut schedule, 15, book("3", 80, false));
    refused(&schedule, 16, paid(2, "P-3", "20"), "slot_full");
    done(&mut schedule, 16, Command::Lapse { number: 2 });
    refused(&schedule, 17, paid(2, "P-3", "20"), "not_so");
    for wrong in [hold("4", 100, 0, None), hold("4", 100, 25 * 60, None), hold("4", 100, 15, Some("0"))] {
        refused(&schedule, 1, wrong, "invalid_hold");
    }
    // Cancelled before anybody was told of it, it lapses with the reason that somebody gave.
    let mut given_up = schedule.clone();
    done(&mut given_up, 16, hold("9", 100, 30, None));
    let events = done(&mut given_up, 16, Command::Cancel { number: 4, reason: "changed their mind".to_owned() });
    assert!(matches!(&events[..], [Event::ReasonNoted { .. }, Event::AppointmentLapsed { number: 4, .. }]), "{events:?}");
    assert_eq!(given_up.appointments[&4].standing, Standing::Cancelled { why: "changed their mind".to_owned() });
    // Without a fee it is confirmed, and nothing is paid.
    done(&mut schedule, 17, hold("4", 100, 30, None));
    refused(&schedule, 17, paid(4, "P-4", "20"), "other_amount");
    done(&mut schedule, 17, Command::Confirm { number: 4, payment: None });
    assert_eq!(when(&schedule, &then(18), Command::Confirm { number: 4, payment: None }), Ok(vec![]));
}

#[test]
fn what_was_paid_is_given_back_once_and_only_when_it_does_not_take_place() {
    let mut schedule = schedule();
    done(&mut schedule, 0, hold("1", 60, 15, Some("20")));
    done(&mut schedule, 1, paid(1, "P-1", "20"));
    let refund = |reference: &str| Command::Refund { number: 1, reference: reference.to_owned() };
    refused(&schedule, 2, refund("R-1"), "not_so");
    assert_eq!(schedule.appointments[&1].refund_due(), None);
    done(&mut schedule, 2, Command::Cancel { number: 1, reason: "ill".to_owned() });
    assert_eq!(schedule.appointments[&1].refund_due().map(|paid| paid.amount), Some(money("20")));
    refused(&schedule, 3, refund(" "), "empty");
    done(&mut schedule, 3, refund("R-1"));
    assert_eq!(when(&schedule, &then(4), refund("R-1")), Ok(vec![]));
    refused(&schedule, 4, refund("R-2"), "not_so");
    assert_eq!(schedule.appointments[&1].refund_due(), None);
}

#[test]
fn a_session_is_withdrawn_while_nobody_is_booked_into_it() {
    let mut schedule = schedule();
    done(&mut schedule, 0, book("1", 60, false));
    refused(&schedule, 1, Command::Withdraw { session: 1 }, "session_booked");
    refused(&schedule, 1, Command::Withdraw { session: 9 }, "unknown_session");
    done(&mut schedule, 1, Command::Cancel { number: 1, reason: "ill".to_owned() });
    refused(&schedule, 200, Command::Withdraw { session: 1 }, "invalid_session");
    done(&mut schedule, 2, Command::Withdraw { session: 1 });
    refused(&schedule, 3, book("2", 60, false), "no_slot");
    // Its time is free for another one, which has a number of its own.
    let opened = done(&mut schedule, 3, Command::Open(vec![opening(60, 125)]));
    assert!(matches!(&opened[..], [Event::SessionOpened { session, .. }] if session.number == 2));
}

#[test]
fn each_queue_is_called_by_its_name_and_without_one_whoever_came_first() {
    let mut schedule = schedule();
    let come = |patient: &str, category: &str| Command::WalkIn {
        patient: patient.parse().unwrap(),
        reason: String::new(),
        encounter: format!("enc_{patient}").parse().unwrap(),
        category: category.to_owned(),
    };
    for (patient, category) in [("1", ""), ("2", " Antenatal ")] {
        done(&mut schedule, 60, come(patient, category));
    }
    let mut other = schedule.clone();
    let antenatal = Command::CallNext { category: Some("antenatal".to_owned()) };
    assert!(matches!(done(&mut schedule, 61, antenatal.clone())[..], [Event::TokenCalled { number: 2, .. }]));
    refused(&schedule, 62, antenatal, "nobody_waits");
    assert_eq!(schedule.called(), [2]);
    assert!(matches!(done(&mut other, 61, Command::CallNext { category: None })[..], [Event::TokenCalled { number: 1, .. }]));
}

#[test]
fn a_video_call_has_an_address_that_can_be_one() {
    let mut schedule = schedule();
    for wrong in ["http://video.example/1", "https://video.example/a b", "javascript:alert(1)"] {
        refused(&schedule, 0, Command::Open(vec![Opening { link: Some(wrong.to_owned()), ..opening(200, 300) }]), "invalid_session");
    }
    done(&mut schedule, 0, Command::Open(vec![Opening { link: Some("https://video.example/1".to_owned()), ..opening(200, 300) }]));
    assert_eq!(schedule.sessions[&2].link.as_deref(), Some("https://video.example/1"));
}
