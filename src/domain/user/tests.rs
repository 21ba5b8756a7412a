//! Signing in: locks, codes, emergencies, witnesses.

use super::*;
use crate::domain::check::{context, given, now, when};

fn at(seconds: i64) -> Context {
    Context { now: now().plus_seconds(seconds), ..context(None) }
}

fn signs_in(state: &User, seconds: i64, factor: Factor, step: Option<u64>) -> Result<Vec<Event>, String> {
    when(state, &at(seconds), Command::SignIn { factors: vec![factor], step, session: "s".to_owned() })
}

fn fails(state: &mut User, seconds: i64, factor: Factor) -> Vec<Event> {
    let events = when(state, &at(seconds), Command::NoteFailure { factor }).unwrap();
    events.iter().for_each(|event| state.apply(event));
    events
}

#[test]
fn five_bad_pins_lock_the_pin_for_a_quarter_of_an_hour_and_not_the_password() {
    let mut user = User::default();
    for number in 0..4 {
        assert_eq!(fails(&mut user, number, Factor::BadgeAndPin).len(), 1);
        assert!(signs_in(&user, number, Factor::BadgeAndPin, None).is_ok());
    }
    let events = fails(&mut user, 4, Factor::BadgeAndPin);
    assert_eq!(events.last(), Some(&Event::FactorLocked { factor: Factor::BadgeAndPin, until: now().plus_seconds(4 + 900) }));
    assert_eq!(signs_in(&user, 5, Factor::BadgeAndPin, None).unwrap_err(), "locked");
    assert_eq!(signs_in(&user, 903, Factor::BadgeAndPin, None).unwrap_err(), "locked");
    assert!(signs_in(&user, 904, Factor::BadgeAndPin, None).is_ok(), "it ends by itself");
    assert!(signs_in(&user, 5, Factor::Password, None).is_ok(), "the other way in stays open");
}

#[test]
fn who_is_locked_out_is_not_kept_out_longer_by_more_tries() {
    let mut user = User::default();
    (0..5).for_each(|number| drop(fails(&mut user, number, Factor::Password)));
    assert_eq!(when(&user, &at(600), Command::NoteFailure { factor: Factor::Password }).unwrap_err(), "locked");
    assert!(signs_in(&user, 904, Factor::Password, None).is_ok());
}

#[test]
fn failures_are_forgotten_by_time_and_by_success() {
    let mut user = User::default();
    (0..4).for_each(|number| drop(fails(&mut user, number, Factor::Password)));
    assert_eq!(fails(&mut user, 902, Factor::Password).len(), 1, "three of them are too old, with this one there are two");
    let mut user = User::default();
    (0..4).for_each(|number| drop(fails(&mut user, number, Factor::Password)));
    signs_in(&user, 10, Factor::Password, None).unwrap().iter().for_each(|event| user.apply(event));
    assert_eq!(fails(&mut user, 11, Factor::Password).len(), 1);
}

#[test]
fn somebody_may_unlock_it() {
    let mut user = User::default();
    (0..5).for_each(|number| drop(fails(&mut user, number, Factor::Password)));
    assert_eq!(when(&user, &at(10), Command::Unlock).unwrap(), [Event::FactorsUnlocked]);
    user.apply(&Event::FactorsUnlocked);
    assert!(signs_in(&user, 11, Factor::Password, None).is_ok());
    assert_eq!(when(&user, &at(12), Command::Unlock).unwrap(), []);
}

#[test]
fn a_code_is_good_once_and_no_older_one_after_it() {
    let user: User = given(&signs_in(&User::default(), 0, Factor::Totp, Some(100)).unwrap());
    for (step, expected) in [(Some(100), Err("code_used")), (Some(99), Err("code_used")), (Some(101), Ok(())), (None, Ok(()))] {
        assert_eq!(signs_in(&user, 1, Factor::Totp, step).map(drop), expected.map_err(str::to_owned), "{step:?}");
    }
}

#[test]
fn an_emergency_has_a_reason_and_an_end_and_is_reviewed_by_somebody_else() {
    let open = |reason: &str| Command::BreakGlass { id: "e1".to_owned(), patient: "1".parse().unwrap(), reason: reason.to_owned() };
    assert_eq!(when(&User::default(), &at(0), open("  ")).unwrap_err(), "no_reason");
    assert_eq!(when(&User::default(), &at(0), open(&"x".repeat(401))).unwrap_err(), "no_reason");
    let events = when(&User::default(), &at(0), open("unconscious in the corridor")).unwrap();
    let Event::GlassBroken { emergency, .. } = &events[0] else { panic!("{events:?}") };
    assert_eq!(emergency.until, now().plus_seconds(3_600));
    let mut user: User = given(&events);
    let review = |id: &str| Command::Review { id: id.to_owned(), is_justified: true, comment: String::new() };
    assert_eq!(when(&user, &at(1), review("e1")).unwrap_err(), "yourself");
    let boss = Context { principal: Principal::Person("boss".to_owned()), ..at(1) };
    assert_eq!(when(&user, &boss, review("e2")).unwrap_err(), "no_such_emergency");
    when(&user, &boss, review("e1")).unwrap().iter().for_each(|event| user.apply(event));
    assert_eq!(when(&user, &boss, review("e1")).unwrap_err(), "no_such_emergency");
}

#[test]
fn so_many_unreviewed_emergencies_and_no_more() {
    let mut user = User::default();
    for number in 0..UNREVIEWED {
        let open = Command::BreakGlass { id: format!("e{number}"), patient: "1".parse().unwrap(), reason: "r".to_owned() };
        when(&user, &at(0), open).unwrap().iter().for_each(|event| user.apply(event));
    }
    let open = Command::BreakGlass { id: "more".to_owned(), patient: "1".parse().unwrap(), reason: "r".to_owned() };
    assert_eq!(when(&user, &at(0), open).unwrap_err(), "too_many_unreviewed");
}

#[test]
fn who_is_locked_is_told_so_before_anything_is_compared() {
    let mut user = User::default();
    let tries = |user: &User| when(user, &at(5), Command::Try { factor: Factor::Password });
    assert_eq!(tries(&user), Ok(Vec::new()));
    (0..5).for_each(|number| drop(fails(&mut user, number, Factor::Password)));
    assert_eq!(tries(&user).unwrap_err(), "locked");
}

#[test]
fn a_witness_is_somebody_else_who_proves_it() {
    let vouch = |actor: &str, step| Command::Vouch { factors: vec![Factor::Totp], step, actor: actor.parse().unwrap(), path: "/p".to_owned() };
    assert_eq!(when(&User::default(), &at(0), vouch("nurse-a", None)).unwrap_err(), "own_witness");
    let user: User = given(&when(&User::default(), &at(0), vouch("nurse-b", Some(7))).unwrap());
    assert_eq!(when(&user, &at(0), vouch("nurse-b", Some(7))).unwrap_err(), "code_used");
}
