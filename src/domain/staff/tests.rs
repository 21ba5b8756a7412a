//! Users: what is refused and what is not.

use super::*;
use crate::domain::check::{context, given, when};

fn user(name: &str) -> UserId {
    name.parse().unwrap()
}

fn by(name: &str) -> Context {
    Context { principal: Principal::Person(name.to_owned()), ..context(None) }
}

fn boss() -> Grant {
    Grant { role: "administrator".to_owned(), scope: Scope::House }
}

fn governing() -> BTreeSet<String> {
    ["administrator".to_owned()].into()
}

fn added(name: &str, kind: Kind) -> Event {
    Event::UserAdded { user: user(name), name: name.to_uppercase(), kind }
}

/// Ada, who may manage users, Ben with a badge, and a program.
fn house() -> Staff {
    given(&[
        added("ada", Kind::Person),
        Event::RoleGranted { user: user("ada"), grant: boss() },
        added("ben", Kind::Person),
        Event::BadgeSet { user: user("ben"), badge: Some("B-1".to_owned()) },
        added("prometheus", Kind::Program),
    ])
}

fn rule(state: &Staff, context: &Context, command: Command) -> String {
    match when(state, context, command) {
        Ok(events) => format!("{} events", events.len()),
        Err(rule) => rule,
    }
}

#[test]
fn the_first_user_is_made_once() {
    let found = || Command::Found { user: user("ada"), name: "Ada".to_owned(), password: "hash".to_owned(), role: "administrator".to_owned() };
    let events = when(&Staff::default(), &context(None), found()).unwrap();
    let house: Staff = given(&events);
    assert_eq!(house.get(&user("ada")).unwrap().roles, [boss()].into());
    assert!(!house.get(&user("ada")).unwrap().must_change);
    assert_eq!(rule(&house, &context(None), found()), "already_founded");
}

#[test]
fn what_is_refused_and_what_is_not() {
    let (ada, grant) = (by("ada"), Grant { role: "nurse".to_owned(), scope: "ward:MED1".parse().unwrap() });
    let cases = [
        (&ada, Command::Add { user: user("ben"), name: "B".to_owned(), kind: Kind::Person }, "already_known"),
        (&ada, Command::Add { user: user("cy"), name: "C".to_owned(), kind: Kind::Person }, "1 events"),
        (&ada, Command::SetPassword { user: user("cy"), hash: "h".to_owned() }, "no_such_user"),
        (&ada, Command::SetPassword { user: user("prometheus"), hash: "h".to_owned() }, "wrong_kind"),
        (&ada, Command::SetBadge { user: user("ada"), badge: Some("B-1".to_owned()) }, "badge_taken"),
        (&ada, Command::SetBadge { user: user("ben"), badge: Some("B-1".to_owned()) }, "0 events"),
        (&ada, Command::SetPin { user: user("ada"), hash: "h".to_owned() }, "no_badge"),
        (&ada, Command::SetPin { user: user("ben"), hash: "h".to_owned() }, "1 events"),
        (&ada, Command::Grant { user: user("ben"), grant: grant.clone() }, "1 events"),
        (&by("ben"), Command::Grant { user: user("ben"), grant: boss() }, "yourself"),
        (&ada, Command::Revoke { user: user("ben"), grant, governing: governing() }, "no_such_grant"),
        (&by("ben"), Command::Revoke { user: user("ada"), grant: boss(), governing: governing() }, "last_one"),
        (&by("ben"), Command::Disable { user: user("ada"), reason: "left".to_owned(), governing: governing() }, "last_one"),
        (&ada, Command::Disable { user: user("ada"), reason: "left".to_owned(), governing: governing() }, "yourself"),
        (&ada, Command::Disable { user: user("ben"), reason: "left".to_owned(), governing: governing() }, "1 events"),
        (&ada, Command::Enable { user: user("ben") }, "0 events"),
        (&ada, Command::IssueToken { user: user("ben"), id: "t".to_owned(), hash: "h".to_owned(), permissions: None, scopes: None, expires: None }, "wrong_kind"),
        (&ada, Command::IssueToken { user: user("prometheus"), id: "t".to_owned(), hash: "h".to_owned(), permissions: None, scopes: None, expires: None }, "1 events"),
        (&ada, Command::RevokeToken { user: user("prometheus"), id: "t".to_owned() }, "no_such_token"),
    ];
    for (who, command, expected) in cases {
        let said = format!("{command:?}");
        assert_eq!(rule(&house(), who, command), expected, "{said}");
    }
}

#[test]
fn the_last_who_may_manage_users_may_go_when_there_is_another() {
    let mut house = house();
    house.apply(&Event::RoleGranted { user: user("ben"), grant: boss() });
    let revoke = |governing| Command::Revoke { user: user("ada"), grant: boss(), governing };
    assert_eq!(rule(&house, &by("ben"), revoke(governing())), "1 events");
    house.apply(&Event::UserDisabled { user: user("ben"), reason: "left".to_owned() });
    assert_eq!(rule(&house, &by("ben"), revoke(governing())), "last_one", "who is disabled governs nobody");
    // For one ward it is not the house.
    let ward = Grant { role: "administrator".to_owned(), scope: "ward:MED1".parse().unwrap() };
    house.apply(&Event::RoleGranted { user: user("ada"), grant: ward.clone() });
    assert_eq!(rule(&house, &by("ben"), Command::Revoke { user: user("ada"), grant: ward, governing: governing() }), "1 events");
}

#[test]
fn a_password_that_somebody_else_set_must_be_changed() {
    let mut house = house();
    let set = || Command::SetPassword { user: user("ben"), hash: "h".to_owned() };
    when(&house, &by("ada"), set()).unwrap().iter().for_each(|event| house.apply(event));
    assert!(house.get(&user("ben")).unwrap().must_change);
    when(&house, &by("ben"), set()).unwrap().iter().for_each(|event| house.apply(event));
    assert!(!house.get(&user("ben")).unwrap().must_change);
}

#[test]
fn badges_and_tokens_lead_to_their_users_and_a_pin_goes_with_its_badge() {
    let mut house = house();
    house.apply(&Event::PinSet { user: user("ben"), hash: "h".to_owned() });
    assert_eq!(house.of_badge("B-1").unwrap().0, &user("ben"));
    house.apply(&Event::BadgeSet { user: user("ben"), badge: None });
    assert_eq!((house.of_badge("B-1"), house.get(&user("ben")).unwrap().pin.clone()), (None, None));
    let token = Token { hash: "h".to_owned(), permissions: None, scopes: None, expires: None, issued: crate::domain::check::now() };
    for number in 0..TOKENS {
        house.apply(&Event::TokenIssued { user: user("prometheus"), id: format!("t{number}"), token: token.clone() });
    }
    assert_eq!(house.of_token("t1").unwrap().0, &user("prometheus"));
    let one_more = Command::IssueToken { user: user("prometheus"), id: "more".to_owned(), hash: "h".to_owned(), permissions: None, scopes: None, expires: None };
    assert_eq!(rule(&house, &by("ada"), one_more), "too_many_tokens");
    house.apply(&Event::TokenRevoked { user: user("prometheus"), id: "t1".to_owned() });
    assert!(house.of_token("t1").is_none());
}
