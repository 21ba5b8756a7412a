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

#[test]
fn a_signature_is_of_one_text_of_one_note_by_who_has_proven_twice_who_they_are() {
    let proven = |name: Option<&str>| context(name);
    let mut chart = Chart::default();
    let did = |chart: &mut Chart, command: Command| decide(chart, &context(None), &command).unwrap().iter().for_each(|event| chart.apply(event));
    let write = |text: &str| Command::WriteNote { encounter: "enc_1".parse().unwrap(), kind: NoteKind::Nursing, text: text.to_owned() };
    did(&mut chart, write("slept well"));
    did(&mut chart, write("slept well"));
    let sign = |number, version, meaning| Command::SignNote { number, version, meaning };
    let refused = |chart: &Chart, name: Option<&str>, command: Command| decide(chart, &proven(name), &command).unwrap_err();
    // In the session alone, or vouched for by somebody else.
    for name in [None, Some("nurse-b")] {
        assert_eq!(refused(&chart, name, sign(1, 1, Meaning::Author)), Rejection::NotProven);
    }
    assert_eq!(refused(&chart, Some("nurse-a"), sign(9, 1, Meaning::Author)), Rejection::UnknownNote { number: 9 });
    assert_eq!(refused(&chart, Some("nurse-a"), sign(1, 2, Meaning::Author)), Rejection::NoteChanged { number: 1, newest: 1, seen: 2 });
    let signed = decide(&chart, &proven(Some("Nurse-A")), &sign(1, 1, Meaning::Author)).unwrap();
    signed.iter().for_each(|event| chart.apply(event));
    assert!(chart.notes[0].signatures[0].holds);
    assert_eq!(decide(&chart, &proven(Some("nurse-a")), &sign(1, 1, Meaning::Author)), Ok(vec![]), "once");
    // Copied to the other note, which says the same, or with another text, it does not hold.
    let [Event::NoteSigned { signature, .. }] = &signed[..] else { panic!("{signed:?}") };
    chart.apply(&Event::NoteSigned { number: 2, signature: signature.clone() });
    assert!(!chart.notes[1].signatures[0].holds, "of another note");
    chart.apply(&Event::NoteSigned { number: 2, signature: Signature { holds: true, ..signature.clone() } });
    assert!(!chart.notes[1].signatures[1].holds, "whatever it says of itself");
    // Changed afterwards, the signature stays with what was signed.
    did(&mut chart, Command::AmendNote { number: 1, version: 1, text: "slept badly".to_owned(), reason: "mixed up".to_owned() });
    assert_eq!((chart.notes[0].signatures[0].version, chart.notes[0].versions.len()), (1, 2));
    // Another one reads and approves it, and has not written it.
    let other = Context { principal: Principal::Person("dr-b".to_owned()), ..context(Some("dr-b")) };
    assert!(matches!(decide(&chart, &other, &sign(1, 2, Meaning::Author)), Err(Rejection::NotTheAuthor { number: 1, .. })));
    assert_eq!(decide(&chart, &other, &sign(1, 2, Meaning::Approver)).unwrap().len(), 1);
}
