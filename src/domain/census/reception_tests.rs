//! Triage, who pays, what nurses have to do, and documents: whose they are, and what goes along with a stay.

use super::*;
use crate::domain::document::Content;
use crate::domain::encounter::Guarantor;
use crate::domain::task;
use crate::kernel::DocumentId;

fn emergency(patient: &str) -> Command {
    Command::Admit(Admission { class: Class::Emergency, bed: None, ward: Some("ED".parse().unwrap()), ..Admission::into_bed(mrn(patient), bed("1")) })
}

fn triage(patient: &str, level: u8, complaint: &str) -> Command {
    Command::Triage { patient: mrn(patient), level, complaint: complaint.to_owned() }
}

fn stay(house: &House, patient: &str) -> encounter::Stay {
    let person = &house.patients[&mrn(patient)];
    match &house.encounters[person.stay.as_ref().or(person.last_stay.as_ref()).unwrap()] {
        Encounter::Open(stay) | Encounter::Closed { stay, .. } => stay.clone(),
        other => panic!("{other:?}"),
    }
}

#[test]
fn who_comes_to_the_emergency_department_is_triaged_as_often_as_they_change() {
    let mut house = House::default();
    house.done(register("1", "Doe", 0)).refused(triage("1", 2, "chest pain"), "not_in_hospital");
    house.done(emergency("1")).refused(triage("1", 0, "x"), "no_triage_level").refused(triage("1", 6, "x"), "no_triage_level").refused(triage("1", 2, " "), "missing");
    house.done(triage("1", 4, "chest pain")).nothing(triage("1", 4, "chest pain")).done(triage("1", 2, "chest pain"));
    assert_eq!(stay(&house, "1").triage.map(|triage| triage.level), Some(2));
    house.done(Command::BeginTreatment { patient: mrn("1") }).nothing(Command::BeginTreatment { patient: mrn("1") });
    assert_eq!(stay(&house, "1").treated.map(|(by, _)| by).as_deref(), Some("person:nurse-a"));
    house.done(register("2", "Roe", 0)).done(admit("2", "2")).refused(triage("2", 2, "x"), "not_emergency");
}

#[test]
fn who_pays_is_named_of_a_stay_also_when_it_is_over_and_of_nobody_else_s() {
    let mut house = House::default();
    let guarantor = |name: &str| Guarantor { name: name.to_owned(), relation: "insurer".to_owned(), phone: String::new(), reference: "P-1".to_owned() };
    let named = |patient: &str, encounter: Option<&str>, name: &str| Command::NameGuarantor {
        patient: mrn(patient),
        encounter: encounter.map(|number| EncounterId::of_visit(number).unwrap()),
        guarantor: guarantor(name),
    };
    let under = |number: &str| Command::Admit(Admission { encounter: Some(EncounterId::of_visit(number).unwrap()), ..Admission::into_bed(mrn("1"), bed("1")) });
    house.done(register("1", "Doe", 0)).done(register("2", "Roe", 0)).refused(named("1", None, "Acme"), "not_in_hospital");
    house.done(under("V1")).refused(named("1", None, " "), "missing").done(named("1", None, "Acme")).nothing(named("1", None, "Acme")).done(discharge("1"));
    house.done(named("1", Some("V1"), "Other")).refused(named("2", Some("V1"), "Acme"), "other_encounter").refused(named("1", Some("V9"), "Acme"), "other_encounter");
    assert_eq!(stay(&house, "1").guarantor, Some(guarantor("Other")));
}

fn plan(patient: &str) -> Command {
    let plan = task::Plan { title: "turn".to_owned(), when: task::When::Once { at: now() }, mandatory: true, grace_minutes: 60 };
    Command::Task { patient: mrn(patient), command: task::Command::Plan(plan) }
}

fn answered(patient: &str) -> Command {
    let outcome = task::Outcome::Done { note: String::new() };
    Command::Task { patient: mrn(patient), command: task::Command::Answer { number: 1, time: None, outcome } }
}

#[test]
fn tasks_are_of_a_stay_go_along_with_it_and_are_erased_with_the_person() {
    let mut house = House::default();
    let visit = EncounterId::of_visit("V1").unwrap();
    house.done(register("1", "Doe", 0)).done(register("2", "Roe", 0)).refused(plan("1"), "not_in_hospital");
    house.done(Command::Admit(Admission { encounter: Some(visit.clone()), ..Admission::into_bed(mrn("1"), bed("1")) }));
    house.done(plan("1")).refused(answered("2"), "not_in_hospital").done(answered("1")).refused(answered("1"), "nothing_due");
    let helped = task::Command::DoneInEmergency { title: "airway".to_owned(), on_word_of: "dr-b".to_owned(), note: String::new() };
    house.done(Command::Task { patient: mrn("1"), command: helped });
    house.done(Command::MoveStay { from: mrn("1"), to: mrn("2"), visit: visit.clone(), account: None });
    assert_eq!((house.tasks[&visit].patient.clone(), house.tasks[&visit].tasks.len()), (Some(mrn("2")), 2));
    house.refused(plan("1"), "not_in_hospital").done(plan("2")).done(discharge("2")).refused(plan("2"), "not_in_hospital");
    // Who asked for it may stand for it after the patient has gone, and nobody who did it.
    house.refused(Command::Task { patient: mrn("2"), command: task::Command::Acknowledge { number: 2 } }, "own_task");
    house.witness = Some("nurse-b".to_owned());
    house.done(Command::Erase { patient: mrn("2"), encounters: vec![visit.clone()], reason: "court order".to_owned() });
    assert_eq!(house.tasks[&visit], task::Tasks::default());
}

#[test]
fn a_document_and_its_bytes_are_filed_together_once_and_of_this_patient_s_stay() {
    let mut house = House::default();
    let visit = |number: &str| EncounterId::of_visit(number).unwrap();
    let file = |patient: &str, document: &str, encounter: Option<EncounterId>, digest: &str| {
        let paper = chart::Paper {
            number: 0,
            document: document.parse::<DocumentId>().unwrap(),
            title: "Letter".to_owned(),
            media_type: "application/pdf".to_owned(),
            size: 5,
            digest: digest.to_owned(),
            encounter,
            by: String::new(),
            at: now(),
            withdrawn: None,
        };
        Command::FileDocument { patient: mrn(patient), paper, content: Content::new(b"%PDF-".to_vec().into()).unwrap() }
    };
    house.refused(file("1", "doc_1", None, "a"), "not_registered").done(register("1", "Doe", 0)).done(register("2", "Roe", 0));
    house.done(Command::Admit(Admission { encounter: Some(visit("V1")), ..Admission::into_bed(mrn("1"), bed("1")) }));
    house.refused(file("2", "doc_1", Some(visit("V1")), "a"), "other_encounter");
    house.done(file("1", "doc_1", Some(visit("V1")), "a")).refused(file("1", "doc_2", None, "a"), "paper_known").done(file("1", "doc_2", None, "b"));
    assert_eq!(house.documents.values().filter(|document| document.patient == Some(mrn("1"))).count(), 2);
    assert_eq!(house.charts[&mrn("1")].documents.iter().map(|paper| paper.number).collect::<Vec<_>>(), [1, 2]);
}
