//! Problems and notes: each rule and each rejection.

use super::*;
use crate::domain::check::{context, given};
use crate::domain::{Context, Refusal};
use crate::kernel::Principal;

fn ask(events: &[Event], context: &Context, command: &Command) -> Result<Vec<Event>, String> {
    decide(&given::<Chart>(events), context, command).map_err(|rejection| Refusal::of(&rejection).rule)
}

fn record(code: &str, text: &str, onset: Option<&str>) -> Command {
    Command::RecordProblem { code: code.parse().unwrap(), text: text.to_owned(), onset: onset.map(|date| date.parse().unwrap()), encounter: None }
}

fn amend(version: usize, text: &str, reason: &str) -> Command {
    Command::AmendNote { number: 1, version, text: text.to_owned(), reason: reason.to_owned() }
}

#[test]
fn a_problem_is_on_the_list_once_until_it_is_refuted() {
    let nurse = context(None);
    let recorded = ask(&[], &nurse, &record("E11.9", " Type 2 diabetes ", Some("2020-01-01"))).unwrap();
    let Event::ProblemRecorded { number: 1, text, .. } = &recorded[0] else { panic!("{recorded:?}") };
    assert_eq!(text, "Type 2 diabetes");
    assert_eq!(ask(&recorded, &nurse, &record("e119", "again", None)).unwrap_err(), "problem_known");
    let refuted = ask(&recorded, &nurse, &Command::RefuteProblem { number: 1, reason: "mixed up".to_owned() }).unwrap();
    let then = [recorded.clone(), refuted].concat();
    let Event::ProblemRecorded { number: 2, .. } = &ask(&then, &nurse, &record("E11.9", "after all", None)).unwrap()[0] else { panic!() };
    for command in [Command::ResolveProblem { number: 1 }, Command::ReopenProblem { number: 1 }] {
        assert_eq!(ask(&then, &nurse, &command).unwrap_err(), "problem_refuted");
    }
    let resolved = [recorded.clone(), ask(&recorded, &nurse, &Command::ResolveProblem { number: 1 }).unwrap()].concat();
    assert!(matches!(given::<Chart>(&resolved).problem(1).unwrap().standing, Standing::Resolved { .. }));
    assert_eq!(ask(&resolved, &nurse, &Command::ResolveProblem { number: 1 }).unwrap(), []);
    assert_eq!(ask(&resolved, &nurse, &record("E11.9", "again", None)).unwrap_err(), "problem_known", "reopen it");
    assert!(matches!(ask(&resolved, &nurse, &Command::ReopenProblem { number: 1 }).unwrap()[..], [Event::ProblemReopened { .. }]));
    let wrong = [
        (record("I10", " ", None), "empty"),
        (record("I10", "x", Some("2027-01-01")), "future_onset"),
        (record("I10", &"x".repeat(257), None), "too_much"),
        (Command::RefuteProblem { number: 1, reason: String::new() }, "empty"),
        (Command::ResolveProblem { number: 9 }, "unknown_problem"),
    ];
    for (command, rule) in wrong {
        assert_eq!(ask(&recorded, &nurse, &command).unwrap_err(), rule, "{command:?}");
    }
}

#[test]
fn a_note_is_changed_by_its_author_who_has_read_it() {
    let nurse = context(None);
    let other = Context { principal: Principal::Person("dr-b".into()), ..context(None) };
    let write = Command::WriteNote { encounter: "enc_1".parse().unwrap(), kind: NoteKind::Nursing, text: "slept well".to_owned() };
    let written = ask(&[], &nurse, &write).unwrap();
    let amended = [written.clone(), ask(&written, &nurse, &amend(1, "slept badly", "wrong patient read out")).unwrap()].concat();
    let chart: Chart = given(&amended);
    let texts: Vec<&str> = chart.notes[0].versions.iter().map(|version| version.text.as_str()).collect();
    assert_eq!(texts, ["slept well", "slept badly"], "the first one stays");
    let withdraw = Command::WithdrawNote { number: 1, reason: "another patient's".to_owned() };
    let withdrawn = [amended.clone(), ask(&amended, &nurse, &withdraw).unwrap()].concat();
    let wrong = [
        (&amended, &nurse, amend(1, "x", "y"), "note_changed"),
        (&amended, &nurse, amend(3, "x", "y"), "note_changed"),
        (&amended, &other, amend(2, "x", "y"), "other_author"),
        (&amended, &other, withdraw.clone(), "other_author"),
        (&amended, &nurse, amend(2, " ", "y"), "empty"),
        (&amended, &nurse, amend(2, "x", ""), "empty"),
        (&amended, &nurse, amend(2, &"x".repeat(16_385), "y"), "too_much"),
        (&withdrawn, &nurse, amend(2, "x", "y"), "note_withdrawn"),
        (&vec![], &nurse, amend(1, "x", "y"), "unknown_note"),
    ];
    for (events, who, command, rule) in wrong {
        assert_eq!(ask(events, who, &command).unwrap_err(), rule, "{command:?}");
    }
}
