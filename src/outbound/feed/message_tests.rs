//! Messages as they are written, byte by byte.

use std::collections::BTreeMap;

use super::*;
use crate::domain::Folded;
use crate::domain::{bed, encounter, schedule};

const AT: &str = "2026-11-23T12:00:00Z";

fn at() -> Timestamp {
    AT.parse().unwrap()
}

/// What was so, in memory.
#[derive(Default)]
struct Then {
    patients: BTreeMap<Mrn, Patient>,
    encounters: BTreeMap<EncounterId, Encounter>,
    beds: BTreeMap<BedId, Bed>,
    schedules: BTreeMap<ScheduleId, Schedule>,
    new: Option<Mrn>,
    before: BTreeMap<EncounterId, Encounter>,
}

impl Past for Then {
    fn patient(&self, mrn: &Mrn) -> Result<Patient, JournalError> {
        Ok(self.patients.get(mrn).cloned().unwrap_or_default())
    }
    fn encounter(&self, encounter: &EncounterId) -> Result<Encounter, JournalError> {
        Ok(self.encounters.get(encounter).cloned().unwrap_or_default())
    }
    fn encounter_before(&self, encounter: &EncounterId) -> Result<Encounter, JournalError> {
        Ok(self.before.get(encounter).cloned().unwrap_or_default())
    }
    fn bed(&self, bed: &BedId) -> Result<Bed, JournalError> {
        Ok(self.beds.get(bed).cloned().unwrap_or_default())
    }
    fn schedule(&self, schedule: &ScheduleId) -> Result<Schedule, JournalError> {
        Ok(self.schedules.get(schedule).cloned().unwrap_or_default())
    }
    fn is_new(&self, mrn: &Mrn) -> Result<bool, JournalError> {
        Ok(self.new.as_ref() == Some(mrn))
    }
}

fn folded<A: Folded>(events: &str) -> A {
    let mut state = A::default();
    let events: Vec<A::Event> = serde_json::from_str(&events.replace("AT", AT)).unwrap();
    events.iter().for_each(|event| state.apply(event));
    state
}

fn mrn(text: &str) -> Mrn {
    text.parse().unwrap()
}

fn then() -> Then {
    let doe = r#"[{"event":"PersonRecorded","person":{"name":{"family":"Doe","given":["Jane","Q","R"]},"birth_date":"1980-01-02","sex":"female","phones":["555|1"],
        "address":{"line":"1 Main","city":"Town","state":"ST","postal_code":"123","country":"DE"},"language":"de","identifiers":[{"kind":"NI","value":"N9","issuer":"GOV"}],
        "contacts":[{"name":{"family":"Kin"},"relationship":"mother","phone":"7"}],"coverages":[{"payer":"ACME","member":"M1","from":"2026-01-01"}]},"as_of":"AT"},
        {"event":"AllergyRecorded","substance":"penicillin","category":"medication","criticality":"high","reaction":"rash","at":"AT"},
        {"event":"StayOpened","encounter":"enc_V7","at":"AT"}]"#;
    let stay = r#"[{"event":"Admitted","patient":"11","class":"inpatient","bed":"W1:-:A","at":"AT"},{"event":"Moved","from":"W1:-:A","to":"W2:2:B","at":"AT"},
        {"event":"TransferRequested","to":"W1:-:A","at":"AT"}]"#;
    Then {
        patients: [
            (mrn("11"), folded(doe)),
            (mrn("12"), folded(r#"[{"event":"MergedInto","survivor":"11","at":"AT"}]"#)),
            (mrn("13"), folded(r#"[{"event":"PersonRecorded","person":{"name":{"family":"X"},"is_temporary":true},"as_of":"AT"},{"event":"Died","at":"AT"},{"event":"NoAllergiesKnown","at":"AT"}]"#)),
        ]
        .into(),
        encounters: [("enc_V7".parse().unwrap(), folded::<encounter::Encounter>(stay))].into(),
        beds: [("W1:-:A".parse().unwrap(), folded::<bed::Bed>(r#"[{"event":"CleaningAsked","at":"AT"}]"#))].into(),
        schedules: [(
            "DR-A".parse().unwrap(),
            folded::<schedule::Schedule>(
                r#"[{"event":"ScheduleMade","name":"Dr A","of":"practitioner","at":"AT"},{"event":"SessionOpened","session":{"number":1,"from":"AT","until":"2026-11-23T13:00:00Z","slot_minutes":20,"places":1,"overbooking":0,"walk_ins":0,"tokens":0},"at":"AT"},
                {"event":"AppointmentBooked","number":1,"patient":"12","session":1,"start":"2026-11-23T12:20:00Z","reason":"check","at":"AT"}]"#,
            ),
        )]
        .into(),
        ..Then::default()
    }
}

fn told(happening: &Happening, then: &Then) -> (&'static str, Vec<Mrn>, Vec<String>) {
    let envelope = Envelope { facility: "H", receiver: ["LIS", "LAB"], number: "W9".to_owned(), recorded: at(), operator: "nina".to_owned() };
    let telling = tell(happening, trigger_of(happening, then).unwrap(), then, &envelope).unwrap();
    let text = String::from_utf8(telling.bytes).unwrap();
    (telling.trigger.event, telling.patients, text.trim_end().split('\r').map(str::to_owned).collect())
}

const PID: &str = "PID|1||11^^^H^MR~N9^^^GOV^NI||Doe^Jane^Q R^^^^L||19800102|F|||1 Main^^Town^ST^123^DE||555\\F\\1^PRN^PH^^^^^^^^^555\\F\\1||de|||||||||||||||N";
const PV1: &str = "PV1|1|I|W2^2^B^H|R||W1^^A^H|||||||||||||V7^^^H^VN|||||||||||||||||||||||W1^^A^H||20261123120000+0000";

#[test]
fn each_is_written_as_the_standard_has_it() {
    let then = then();
    let visit: EncounterId = "enc_V7".parse().unwrap();
    let (event, patients, lines) = told(&Happening::Stay(visit.clone(), "A02"), &then);
    assert_eq!((event, patients), ("A02", vec![mrn("11")]));
    assert_eq!(
        lines,
        [
            "MSH|^~\\&|WARDD|H|LIS|LAB|20261123120000+0000||ADT^A02^ADT_A02|W9|P|2.5.1||||||UNICODE UTF-8",
            "EVN|A02|20261123120000+0000|||nina|20261123120000+0000",
            PID,
            "PD1||||||||||||N",
            PV1,
        ]
    );
    let (event, _, lines) = told(&Happening::Stay(visit, "A01"), &then);
    assert_eq!(event, "A01");
    let rest = ["NK1|1|Kin^^^^^^L|^mother||7^PRN^PH^^^^^^^^^7", PV1, "AL1|1|DA|^penicillin|SV|rash", "IN1|1|ACME^ACME|ACME|ACME||||||||20260101||||||||||||||||||||||||M1"];
    assert_eq!(lines[4..], rest);
    // A visit of a number that was merged is told under the one to use.
    assert_eq!(told(&Happening::Person(mrn("12")), &then).2[2], PID);
    assert_eq!(told(&Happening::Merged { survivor: mrn("11"), merged: mrn("12") }, &then).2[2..], [PID.to_owned(), "PD1||||||||||||N".to_owned(), "MRG|12^^^H^MR".to_owned()]);
    assert_eq!(told(&Happening::Bed("W1:-:A".parse().unwrap()), &then).2[2..], ["NPU|W1^^A^H|H"]);
    let dead = told(&Happening::Person(mrn("13")), &then);
    assert_eq!(
        (dead.0, dead.2[2..].to_vec()),
        (
            "A31",
            vec![
                "PID|1||13^^^H^MR||X^^^^^^L|||U|||||||||||||||||||||20261123120000+0000|Y||AL".to_owned(),
                "PD1||||||||||||N".to_owned(),
                "PV1|1|N".to_owned(),
                "AL1|1|MA|^No known allergies".to_owned(),
            ]
        )
    );
}

#[test]
fn what_is_done_to_an_allergy_stands_beside_all_that_are_known() {
    let then = then();
    let lines = |what| told(&Happening::Allergies(mrn("11"), what), &then).2[3..].to_vec();
    assert_eq!(lines(Allergic::To("Penicillin".to_owned())), ["IAM|1|DA|^penicillin|SV|rash|A"]);
    assert_eq!(lines(Allergic::NotTo("latex".to_owned())), ["IAM|1|DA|^penicillin|SV|rash|X", "IAM|2|DA|^latex|||D"]);
}

#[test]
fn an_appointment_names_who_what_and_when() {
    let (event, patients, lines) = told(&Happening::Appointment("DR-A".parse().unwrap(), 1, "S12"), &then());
    assert_eq!((event, patients), ("S12", vec![mrn("12")]));
    assert_eq!(lines[0], "MSH|^~\\&|WARDD|H|LIS|LAB|20261123120000+0000||SIU^S12^SIU_S12|W9|P|2.5.1||||||UNICODE UTF-8");
    assert_eq!(
        lines[1..],
        [
            "SCH||DR-A-1^WARDD||||Booked|^check||20|min|^^^20261123122000+0000^20261123124000+0000|||||nina||||nina|||||Booked",
            PID,
            "PD1||||||||||||N",
            "RGS|1",
            "AIP|1||DR-A^Dr A|||20261123122000+0000",
        ]
    );
}

/// Under two numbers of one person the same is known of them: what one of them knows is never told as if there were none.
#[test]
fn a_merged_person_is_told_with_what_all_their_numbers_know() {
    let mut then = then();
    let at = format!("\"{AT}\"");
    then.patients.insert(
        mrn("21"),
        folded(
            &r#"[{"event":"PersonRecorded","person":{"name":{"family":"Poe"}},"as_of":"AT"},{"event":"NoAllergiesKnown","at":"AT"},{"event":"Absorbed","merged":"22","at":"AT"}]"#
                .replace("\"AT\"", &at),
        ),
    );
    then.patients.insert(
        mrn("22"),
        folded(r#"[{"event":"AllergyRecorded","substance":"penicillin","category":"medication","criticality":"high","reaction":"","at":"AT"},{"event":"Died","at":"AT"},{"event":"Restricted","reason":"staff","at":"AT"},{"event":"MergedInto","survivor":"21","at":"AT"}]"#),
    );
    let (_, _, lines) = told(&Happening::Person(mrn("21")), &then);
    assert!(lines[2].contains("|20261123120000+0000|Y"), "{lines:?}");
    assert_eq!(lines[3..], ["PD1||||||||||||Y", "PV1|1|N", "AL1|1|DA|^penicillin|SV"]);
    // Refuted under one number, and known under the other still.
    assert_eq!(told(&Happening::Allergies(mrn("21"), Allergic::NotTo("Penicillin".to_owned())), &then).2[3..], ["IAM|1|DA|^penicillin|SV||X"]);
    assert_eq!(told(&Happening::Allergies(mrn("21"), Allergic::None), &then).2[3..], ["IAM|1|DA|^penicillin|SV||X"]);
}

/// Found in review: a plan that is cancelled is nobody's any more, and every subscriber stood still for ever.
#[test]
fn a_cancelled_plan_is_told_as_it_was() {
    let mut then = then();
    let id: EncounterId = "enc_V8".parse().unwrap();
    then.before.insert(id.clone(), folded(r#"[{"event":"Planned","patient":"11","class":"inpatient","bed":"W1:-:A"}]"#));
    let (event, patients, lines) = told(&Happening::Stay(id.clone(), "A38"), &then);
    assert_eq!((event, patients, lines[4].as_str()), ("A38", vec![mrn("11")], "PV1|1|I|W1^^A^H|R|||||||||||||||V8^^^H^VN"));
    let envelope = Envelope { facility: "H", receiver: ["", ""], number: "W9".to_owned(), recorded: at(), operator: String::new() };
    let happening = Happening::Stay("enc_V9".parse().unwrap(), "A38");
    assert!(matches!(tell(&happening, trigger_of(&happening, &then).unwrap(), &then, &envelope), Err(Untold::Unwritable(_))));
}
