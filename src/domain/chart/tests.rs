//! Problems and notes: each rule and each rejection.

use super::*;
use crate::domain::check::{context, given};
use crate::domain::{Context, Refusal};
use crate::kernel::Principal;

/// The forms that come with wardd, somebody of 2024 who lives.
fn facts() -> Facts<'static> {
    static FORMS: std::sync::LazyLock<Forms> = std::sync::LazyLock::new(|| toml::from_str(include_str!("../../../config/forms.toml")).unwrap());
    Facts { forms: &FORMS, born: Some("2024-01-01".parse().unwrap()), is_dead: false }
}

fn ask(events: &[Event], context: &Context, command: &Command) -> Result<Vec<Event>, String> {
    decide(&given::<Chart>(events), facts(), context, command).map_err(|rejection| Refusal::of(&rejection).rule)
}

fn record(code: &str, text: &str, onset: Option<&str>) -> Command {
    Command::RecordProblem { code: code.parse().unwrap(), text: text.to_owned(), onset: onset.map(|date| date.parse().unwrap()), encounter: None }
}

fn amend(version: usize, text: &str, reason: &str) -> Command {
    Command::AmendNote { number: 1, version, text: text.to_owned(), filling: None, reason: reason.to_owned() }
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
    let write = Command::WriteNote { encounter: "enc_1".parse().unwrap(), kind: NoteKind::Nursing, text: "slept well".to_owned(), filling: None };
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
    let did = |chart: &mut Chart, command: Command| decide(chart, facts(), &context(None), &command).unwrap().iter().for_each(|event| chart.apply(event));
    let write = |text: &str| Command::WriteNote { encounter: "enc_1".parse().unwrap(), kind: NoteKind::Nursing, text: text.to_owned(), filling: None };
    did(&mut chart, write("slept well"));
    did(&mut chart, write("slept well"));
    let sign = |number, version, meaning| Command::SignNote { number, version, meaning };
    let refused = |chart: &Chart, name: Option<&str>, command: Command| decide(chart, facts(), &proven(name), &command).unwrap_err();
    // In the session alone, or vouched for by somebody else.
    for name in [None, Some("nurse-b")] {
        assert_eq!(refused(&chart, name, sign(1, 1, Meaning::Author)), Rejection::NotProven);
    }
    assert_eq!(refused(&chart, Some("nurse-a"), sign(9, 1, Meaning::Author)), Rejection::UnknownNote { number: 9 });
    assert_eq!(refused(&chart, Some("nurse-a"), sign(1, 2, Meaning::Author)), Rejection::NoteChanged { number: 1, newest: 1, seen: 2 });
    let signed = decide(&chart, facts(), &proven(Some("Nurse-A")), &sign(1, 1, Meaning::Author)).unwrap();
    signed.iter().for_each(|event| chart.apply(event));
    assert!(chart.notes[0].signatures[0].holds);
    assert_eq!(decide(&chart, facts(), &proven(Some("nurse-a")), &sign(1, 1, Meaning::Author)), Ok(vec![]), "once");
    // Copied to the other note, which says the same, or with another text, it does not hold.
    let [Event::NoteSigned { signature, .. }] = &signed[..] else { panic!("{signed:?}") };
    chart.apply(&Event::NoteSigned { number: 2, signature: signature.clone() });
    assert!(!chart.notes[1].signatures[0].holds, "of another note");
    chart.apply(&Event::NoteSigned { number: 2, signature: Signature { holds: true, ..signature.clone() } });
    assert!(!chart.notes[1].signatures[1].holds, "whatever it says of itself");
    // Changed afterwards, the signature stays with what was signed.
    did(&mut chart, Command::AmendNote { number: 1, version: 1, text: "slept badly".to_owned(), filling: None, reason: "mixed up".to_owned() });
    assert_eq!((chart.notes[0].signatures[0].version, chart.notes[0].versions.len()), (1, 2));
    // Another one reads and approves it, and has not written it.
    let other = Context { principal: Principal::Person("dr-b".to_owned()), ..context(Some("dr-b")) };
    assert!(matches!(decide(&chart, facts(), &other, &sign(1, 2, Meaning::Author)), Err(Rejection::NotTheAuthor { number: 1, .. })));
    assert_eq!(decide(&chart, facts(), &other, &sign(1, 2, Meaning::Approver)).unwrap().len(), 1);
}

fn filling(form: &str, answers: &[(&str, &str)]) -> Filling {
    Filling { form: form.to_owned(), answers: answers.iter().map(|(field, answer)| ((*field).to_owned(), (*answer).to_owned())).collect() }
}

fn fill(form: &str, answers: &[(&str, &str)], remarks: &str) -> Command {
    Command::WriteNote { encounter: "enc_1".parse().unwrap(), kind: NoteKind::Progress, text: remarks.to_owned(), filling: Some(filling(form, answers)) }
}

const BRADEN: [(&str, &str); 6] = [("sensory", "2"), ("moisture", "3"), ("activity", "1"), ("mobility", "2"), ("nutrition", "3"), ("friction", "1")];

#[test]
fn a_form_is_a_note_whose_text_says_every_answer_and_what_the_score_means() {
    let nurse = context(None);
    let written = ask(&[], &nurse, &fill("braden", &BRADEN, " heels red ")).unwrap();
    let Event::NoteWritten { text, form: Some(form), kind: NoteKind::Nursing, .. } = &written[0] else { panic!("{written:?}") };
    assert_eq!((form.score, form.meaning.as_deref()), (Some(12), Some("high risk")));
    assert!(text.starts_with("Risk of pressure sores (Braden)\nSensory perception: very limited (2)\n") && text.ends_with("Score 12: high risk\n\nheels red"), "{text}");
    for (score, worst, meaning) in [(6, "1", "very high risk"), (23, "4", "no particular risk")] {
        let answers: Vec<(&str, &str)> = BRADEN.iter().map(|(field, _)| (*field, if *field == "friction" && worst == "4" { "3" } else { worst })).collect();
        let Event::NoteWritten { form: Some(form), .. } = &ask(&[], &nurse, &fill("braden", &answers, "")).unwrap()[0] else { panic!() };
        assert_eq!((form.score, form.meaning.as_deref()), (Some(score), Some(meaning)));
    }
    // It stays of its form, and is amended whole.
    let amend = |filling| Command::AmendNote { number: 1, version: 1, text: String::new(), filling, reason: "looked again".to_owned() };
    assert_eq!(ask(&written, &nurse, &amend(None)).unwrap_err(), "other_form");
    assert_eq!(ask(&written, &nurse, &amend(Some(filling("glasgow", &[])))).unwrap_err(), "other_form");
    let better = [("sensory", "4"), ("moisture", "4"), ("activity", "4"), ("mobility", "4"), ("nutrition", "4"), ("friction", "3")];
    let amended = [written.clone(), ask(&written, &nurse, &amend(Some(filling("braden", &better)))).unwrap()].concat();
    let chart: Chart = given(&amended);
    let scores: Vec<Option<i32>> = chart.notes[0].versions.iter().map(|version| version.form.as_ref().unwrap().score).collect();
    assert_eq!(scores, [Some(12), Some(23)]);
    let plain = ask(&[], &nurse, &Command::WriteNote { encounter: "enc_1".parse().unwrap(), kind: NoteKind::Nursing, text: "x".to_owned(), filling: None }).unwrap();
    assert_eq!(ask(&plain, &nurse, &amend(Some(filling("braden", &BRADEN)))).unwrap_err(), "other_form");
}

#[test]
fn what_a_form_does_not_ask_or_cannot_be_is_refused_by_name() {
    let nurse = context(None);
    let sentence = |command: &Command| decide(&Chart::default(), facts(), &nurse, command).unwrap_err().to_string();
    let with =
        |field: &str, answer: &str| BRADEN.iter().map(|(known, said)| (known.to_owned(), if *known == field { answer.to_owned() } else { (*said).to_owned() })).collect::<Vec<_>>();
    let braden = |answers: Vec<(&str, String)>| fill("braden", &answers.iter().map(|(field, said)| (*field, said.as_str())).collect::<Vec<_>>(), "");
    assert!(sentence(&fill("bradon", &[], "")).contains("GET /api/v1/forms"));
    assert!(sentence(&fill("braden", &[("skin", "1")], "")).contains("sensory, moisture"));
    assert!(sentence(&braden(with("moisture", "5"))).contains("1 (constantly moist)"));
    assert!(sentence(&braden(with("moisture", " "))).contains("Moisture (moisture) needs an answer"));
    let ecg = |field: &str, answer: &str| {
        let all = [("taken", "2026-11-21T12:00:00Z"), ("rate", "80"), ("rhythm", "sinus"), ("findings", "normal"), (field, answer)];
        fill("ecg", &all, "")
    };
    assert!(sentence(&ecg("rate", "351")).contains("a number from 0 to 350 /min"));
    assert!(sentence(&ecg("taken", "noon")).contains("RFC 3339"));
    assert!(sentence(&ecg("qtc", "long")).contains("200 to 800"));
    let summary = [("diagnosis", "not a code"), ("diagnosis-text", "x"), ("course", "x"), ("condition", "well"), ("medication", "x"), ("pending", "none"), ("follow-up", "x")];
    assert!(sentence(&fill("discharge-summary", &summary, "")).contains("Principal diagnosis"));
    // What is asked of the dead is not asked of the living.
    let death = fill("death-certificate", &[("cause-a", "I21.9"), ("cause-a-text", "x"), ("surgery", "no"), ("autopsy", "no"), ("manner", "disease")], "");
    assert_eq!(ask(&[], &nurse, &death).unwrap_err(), "not_dead");
    assert!(decide(&Chart::default(), Facts { is_dead: true, ..facts() }, &nurse, &death).is_ok());
}

#[test]
fn a_score_of_what_was_answered_in_part_is_none() {
    let file = "[[forms]]\nid = \"f\"\nname = \"F\"\nfields = [{ id = \"a\", label = \"A\", answer = \"yes_no\", points = 5 }, { id = \"b\", label = \"B\", answer = \"yes_no\", points = 3 }, { id = \"c\", label = \"C\", answer = \"text\" }]\nbands = [{ from = 0, meaning = \"low\" }, { from = 5, meaning = \"high\" }]";
    let forms: Forms = toml::from_str(file).unwrap();
    forms.check().unwrap();
    let score = |answers: &[(&str, &str)]| {
        let events = decide(&Chart::default(), Facts { forms: &forms, ..facts() }, &context(None), &fill("f", answers, "")).unwrap();
        let Event::NoteWritten { form: Some(form), .. } = &events[0] else { panic!() };
        (form.score, form.meaning.clone())
    };
    assert_eq!(score(&[("a", "yes"), ("b", "no")]), (Some(5), Some("high".to_owned())), "words are not counted");
    assert_eq!(score(&[("a", "no"), ("b", "true")]), (Some(3), Some("low".to_owned())));
    assert_eq!(score(&[("a", "yes"), ("c", "x")]), (None, None));
}

#[test]
fn the_forms_that_come_with_wardd_are_sound_and_others_are_told_what_is_wrong() {
    facts().forms.check().unwrap();
    let form = |rest: &str| format!("[[forms]]\nid = \"f\"\nname = \"F\"\n{rest}");
    let text = "{ id = \"a\", label = \"A\", answer = \"text\" }";
    let wrong = [
        (form("fields = []"), "1 to 100 fields"),
        (form(&format!("fields = [{text}, {text}]")), "an id of its own"),
        (form("fields = [{ id = \"a\", label = \"A\", answer = { number = { low = 3, high = 3 } } }]"), "from low to high"),
        (form("fields = [{ id = \"a\", label = \"A\", answer = { choice = [{ value = \"x\", label = \"x\" }] } }]"), "2 to 50 choices"),
        (form(&format!("fields = [{text}]\nbands = [{{ from = 3, meaning = \"x\" }}, {{ from = 1, meaning = \"y\" }}]")), "in the order"),
        (form(&format!("within_hours = 3\nfields = [{text}]")), "stand together"),
        (format!("{}\n{}", form(&format!("fields = [{text}]")), form(&format!("fields = [{text}]"))), "an id of its own and a name"),
    ];
    for (file, why) in wrong {
        let forms: Forms = toml::from_str(&file).unwrap();
        let error = forms.check().unwrap_err();
        assert!(error.contains(why), "{error}: {file}");
    }
    assert!(toml::from_str::<Forms>(&form("fields = [{ id = \"a\", label = \"A\", answer = \"colour\" }]")).unwrap_err().to_string().contains("colour"));
}

#[test]
fn a_stay_says_which_forms_it_must_have_and_until_when() {
    let nurse = context(None);
    let written = ask(&[], &nurse, &fill("braden", &BRADEN, "")).unwrap();
    let due = |events: &[Event], class| {
        let chart: Chart = given(events);
        let due = facts().forms.due([chart].iter(), &"enc_1".parse().unwrap(), (class, crate::domain::check::now()));
        due.into_iter().map(|form| (form.form, form.due.to_string()[..16].to_owned())).collect::<Vec<_>>()
    };
    use crate::domain::encounter::Class;
    let pair = |form: &str, due: &str| (form.to_owned(), due.to_owned());
    let all = [pair("braden", "2026-11-21T20:00"), pair("morse", "2026-11-21T20:00"), pair("admission-checklist", "2026-11-22T12:00")];
    assert_eq!(due(&[], Class::Inpatient), all);
    assert_eq!(due(&written, Class::Inpatient), all[1..]);
    assert_eq!(due(&[], Class::Outpatient), []);
    let withdrawn = [written.clone(), ask(&written, &nurse, &Command::WithdrawNote { number: 1, reason: "x".to_owned() }).unwrap()].concat();
    assert_eq!(due(&withdrawn, Class::Inpatient), all, "what does not count fills nothing");
}

fn vaccine(code: &str, on: &str, lot: Option<&str>) -> Vaccine {
    Vaccine {
        code: code.to_owned(),
        text: "MMR".to_owned(),
        on: on.parse().unwrap(),
        dose: Some(1),
        lot: lot.map(str::to_owned),
        expires: None,
        site: String::new(),
        elsewhere: false,
    }
}

#[test]
fn a_vaccine_counts_once_a_day_and_names_its_lot() {
    let nurse = context(None);
    let record = |vaccine: Vaccine| Command::RecordImmunisation(vaccine);
    let given_here = ask(&[], &nurse, &record(vaccine("03", "2026-11-20", Some(" L7 ")))).unwrap();
    assert_eq!(given::<Chart>(&given_here).immunisations[0].vaccine.lot.as_deref(), Some("L7"));
    assert_eq!(ask(&given_here, &nurse, &record(vaccine("03", "2026-11-20", Some("L8")))).unwrap_err(), "immunisation_known");
    assert!(ask(&given_here, &nurse, &record(vaccine("03", "2026-10-20", Some("L8")))).is_ok());
    let withdrawn = [given_here.clone(), ask(&given_here, &nurse, &Command::WithdrawImmunisation { number: 1, reason: "the sister's".to_owned() }).unwrap()].concat();
    assert!(ask(&withdrawn, &nurse, &record(vaccine("03", "2026-11-20", Some("L8")))).is_ok(), "what was withdrawn does not count");
    let expired = Vaccine { expires: Some("2026-11-19".parse().unwrap()), ..vaccine("03", "2026-11-20", Some("L7")) };
    let wrong = [
        (record(vaccine("03", "2026-11-22", Some("L7"))), "impossible_day"),
        (record(vaccine("03", "2023-12-31", Some("L7"))), "impossible_day"),
        (record(vaccine("03", "2026-11-20", Some(" "))), "lot_missing"),
        (record(vaccine(" ", "2026-11-20", Some("L7"))), "empty"),
        (record(expired.clone()), "lot_expired"),
        (Command::WithdrawImmunisation { number: 1, reason: "x".to_owned() }, "unknown_entry"),
    ];
    for (command, rule) in wrong {
        assert_eq!(ask(&[], &nurse, &command).unwrap_err(), rule, "{command:?}");
    }
    assert!(ask(&[], &nurse, &record(Vaccine { elsewhere: true, lot: None, ..expired })).is_ok(), "a card from elsewhere says what it says");
    assert_eq!(ask(&given_here, &nurse, &Command::WithdrawImmunisation { number: 1, reason: String::new() }).unwrap_err(), "empty");
}

#[test]
fn an_illness_of_the_family_is_recorded_once_and_withdrawn_with_a_reason() {
    let nurse = context(None);
    let illness = Illness { relation: Relation::Mother, code: Some("C50".parse().unwrap()), text: " breast cancer ".to_owned(), onset_years: Some(41), died_of_it: false };
    let recorded = ask(&[], &nurse, &Command::RecordFamilyIllness(illness.clone())).unwrap();
    assert_eq!(given::<Chart>(&recorded).family[0].illness.text, "breast cancer");
    assert_eq!(ask(&recorded, &nurse, &Command::RecordFamilyIllness(illness.clone())).unwrap(), []);
    assert_eq!(ask(&recorded, &nurse, &Command::RecordFamilyIllness(Illness { relation: Relation::Sister, ..illness.clone() })).unwrap().len(), 1);
    let withdrawn = [recorded.clone(), ask(&recorded, &nurse, &Command::WithdrawFamilyIllness { number: 1, reason: "the aunt".to_owned() }).unwrap()].concat();
    assert_eq!(given::<Chart>(&withdrawn).family[0].withdrawn.as_deref(), Some("the aunt"));
    assert_eq!(ask(&withdrawn, &nurse, &Command::WithdrawFamilyIllness { number: 1, reason: "the aunt".to_owned() }).unwrap(), []);
    assert_eq!(ask(&[], &nurse, &Command::WithdrawFamilyIllness { number: 1, reason: "x".to_owned() }).unwrap_err(), "unknown_entry");
    assert_eq!(ask(&[], &nurse, &Command::RecordFamilyIllness(Illness { text: String::new(), ..illness })).unwrap_err(), "empty");
}

#[test]
fn a_referral_is_answered_by_somebody_else_and_cancelled_by_who_asked() {
    let asker = Context { principal: Principal::Person("dr-a".into()), ..context(None) };
    let asked = Context { principal: Principal::Person("dr-b".into()), ..context(None) };
    let refer = Command::Refer {
        question: Question { to: "Cardiology".to_owned(), urgency: Urgency::Urgent, question: "new murmur?".to_owned() },
        encounter: Some("enc_1".parse().unwrap()),
    };
    let made = ask(&[], &asker, &refer).unwrap();
    let answer = Command::AnswerReferral { number: 1, answer: "mild stenosis".to_owned() };
    let [decline, cancel] = [Command::DeclineReferral { number: 1, reason: "ask the clinic".to_owned() }, Command::CancelReferral { number: 1, reason: "went home".to_owned() }];
    assert_eq!(ask(&made, &asker, &answer).unwrap_err(), "own_referral");
    assert_eq!(ask(&made, &asker, &decline).unwrap_err(), "own_referral");
    assert_eq!(ask(&made, &asked, &cancel).unwrap_err(), "other_referral");
    for (who, command, word) in [(&asked, &answer, "answered"), (&asked, &decline, "declined"), (&asker, &cancel, "cancelled")] {
        let ended = [made.clone(), ask(&made, who, command).unwrap()].concat();
        assert_eq!(given::<Chart>(&ended).referrals[0].standing.word(), word);
        for again in [&answer, &decline] {
            assert_eq!(ask(&ended, &asked, again).unwrap_err(), "referral_ended");
        }
    }
    assert_eq!(ask(&[], &asked, &answer).unwrap_err(), "unknown_entry");
    let nothing = Command::Refer { question: Question { to: "x".to_owned(), urgency: Urgency::Routine, question: " ".to_owned() }, encounter: None };
    assert_eq!(ask(&[], &asker, &nothing).unwrap_err(), "empty");
}

#[test]
fn the_same_paper_is_filed_once() {
    let nurse = context(None);
    let paper = Paper {
        number: 0,
        document: "doc_1".parse().unwrap(),
        title: "Letter".to_owned(),
        media_type: "application/pdf".to_owned(),
        size: 9,
        digest: "ab".to_owned(),
        encounter: None,
        by: String::new(),
        at: crate::domain::check::now(),
        withdrawn: None,
    };
    let filed = ask(&[], &nurse, &Command::FilePaper(paper.clone())).unwrap();
    assert_eq!((given::<Chart>(&filed).documents[0].number, given::<Chart>(&filed).documents[0].by.as_str()), (1, "person:nurse-a"));
    assert_eq!(ask(&filed, &nurse, &Command::FilePaper(Paper { document: "doc_2".parse().unwrap(), ..paper.clone() })).unwrap_err(), "paper_known");
    let withdrawn = [filed.clone(), ask(&filed, &nurse, &Command::WithdrawPaper { number: 1, reason: "another's".to_owned() }).unwrap()].concat();
    assert!(ask(&withdrawn, &nurse, &Command::FilePaper(paper.clone())).is_ok());
    assert_eq!(ask(&filed, &nurse, &Command::WithdrawPaper { number: 2, reason: "x".to_owned() }).unwrap_err(), "unknown_entry");
    assert_eq!(ask(&[], &nurse, &Command::FilePaper(Paper { title: " ".to_owned(), ..paper })).unwrap_err(), "empty");
}

#[test]
fn nobody_is_in_the_same_programme_twice_at_once() {
    let nurse = context(None);
    let begin = |name: &str, from: Option<&str>| Command::BeginProgramme { name: name.to_owned(), from: from.map(|date| date.parse().unwrap()) };
    let finish = |until: Option<&str>| Command::FinishProgramme { number: 1, until: until.map(|date| date.parse().unwrap()) };
    let begun = ask(&[], &nurse, &begin(" Antenatal care ", Some("2026-05-01"))).unwrap();
    assert_eq!(ask(&begun, &nurse, &begin("antenatal care", None)).unwrap_err(), "programme_known");
    assert_eq!(ask(&begun, &nurse, &finish(Some("2026-04-30"))).unwrap_err(), "impossible_day");
    assert_eq!(ask(&begun, &nurse, &finish(Some("2026-11-22"))).unwrap_err(), "impossible_day");
    let over = [begun.clone(), ask(&begun, &nurse, &finish(Some("2026-11-20"))).unwrap()].concat();
    assert_eq!(ask(&over, &nurse, &finish(Some("2026-11-20"))).unwrap(), []);
    assert_eq!(ask(&over, &nurse, &finish(None)).unwrap_err(), "programme_over");
    assert!(ask(&over, &nurse, &begin("Antenatal care", None)).is_ok(), "the next one");
    let refute = Command::RefuteProgramme { number: 1, reason: "the sister's".to_owned() };
    let refuted = [over.clone(), ask(&over, &nurse, &refute).unwrap()].concat();
    assert_eq!(ask(&refuted, &nurse, &refute).unwrap(), []);
    assert_eq!(ask(&refuted, &nurse, &finish(None)).unwrap_err(), "programme_over");
    for (command, rule) in [(begin(" ", None), "empty"), (begin("x", Some("2026-11-22")), "impossible_day"), (finish(None), "unknown_entry"), (refute, "unknown_entry")] {
        assert_eq!(ask(&[], &nurse, &command).unwrap_err(), rule, "{command:?}");
    }
}
