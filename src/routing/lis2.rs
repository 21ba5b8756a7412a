//! LIS2-A2 messages of analyzers: results, controls, queries.

use super::value::{Written, line};
use super::{Routed, Understood};
use crate::codec::lis2::{Message, Record, RecordKind};
use crate::domain::quarantine::Reason;
use crate::domain::specimen::ResultLine;
use crate::kernel::time::parse_device_time;
use crate::kernel::{Accession, Timestamp};
use crate::profile::lint::lis2_place;
use crate::profile::{Lis2, Mark, Profile, is_listed};

/// The records that a result stands under.
#[derive(Clone, Copy)]
struct Above<'m, 'a> {
    header: &'m Record<'a>,
    order: Option<&'m Record<'a>>,
    result: Option<&'m Record<'a>>,
}

impl<'m, 'a> Above<'m, 'a> {
    fn record(&self, letter: char) -> Option<&'m Record<'a>> {
        match letter {
            'H' => Some(self.header),
            'O' => self.order,
            'R' => self.result,
            _ => None,
        }
    }

    /// The text at a place of the profile; empty when there is nothing.
    fn text(&self, place: &str) -> String {
        lis2_place(place).and_then(|(letter, field, component)| self.record(letter).map(|record| record.text(field, component).into_owned())).unwrap_or_default()
    }

    fn first(&self, places: &[String]) -> String {
        places.iter().map(|place| self.text(place)).find(|text| !text.is_empty()).unwrap_or_default()
    }

    fn bears(&self, marks: &[Mark]) -> bool {
        marks.iter().any(|mark| mark.is_borne_by(&self.text(&mark.at)))
    }
}

/// What a message asks for.
pub fn understand(profile: &Profile, lis2: &Lis2, message: &Message<'_>) -> Understood {
    let header = message.header();
    let device_time = time(profile, &header.text(14, 1));
    let control_id = header.text(3, 1).into_owned();
    let sender = header.whole(5);
    if let Some(expected) = profile.identity.contradicts(&sender) {
        let detail = format!("the sender names itself {sender:?}, profile {} expects {expected:?}", profile.id);
        return Understood { items: vec![Routed::Hold(Reason::UnknownSender { detail })], control_id, device_time };
    }
    let mut above = Above { header: &header, order: None, result: None };
    if above.bears(&lis2.training) {
        let detail = "the header says that this is training or debugging, no patient's: discard it, or send it as production".to_owned();
        return Understood { items: vec![Routed::Hold(Reason::NotPatient { detail })], control_id, device_time };
    }
    let mut items = Vec::new();
    let mut samples: Vec<String> = Vec::new();
    let mut results: Vec<ResultLine> = Vec::new();
    let mut held: Vec<Routed> = Vec::new();
    for record in message.records() {
        match record.kind() {
            RecordKind::Patient | RecordKind::Order => {
                close(lis2, above, &mut results, &mut held, &mut items);
                above.order = (record.kind() == RecordKind::Order).then_some(record);
            }
            RecordKind::Query => samples.extend(queried(record)),
            RecordKind::Result => {
                above.result = Some(record);
                match result(profile, lis2, above) {
                    Ok(line) => results.extend(line),
                    Err(reason) => held.push(Routed::Hold(reason)),
                }
            }
            RecordKind::Header | RecordKind::Comment | RecordKind::Manufacturer | RecordKind::Scientific | RecordKind::Terminator => {}
        }
    }
    close(lis2, above, &mut results, &mut held, &mut items);
    if !samples.is_empty() {
        items.push(Routed::Query { samples });
    }
    if items.is_empty() {
        items.push(Routed::Noted);
    }
    Understood { items, control_id, device_time }
}

/// The specimens of a query (LIS2-A2 10.3): Q.3, a repeat each, in the second component by the standard, in the third on
/// Roche's analyzers. A query that is taken back (Q.13 = A) asks for nothing.
fn queried(record: &Record<'_>) -> Vec<String> {
    if record.text(13, 1) == "A" {
        return Vec::new();
    }
    let of_repeat = |repeat: usize| [2, 3, 1].into_iter().map(|component| record.text_of_repeat(3, repeat, component).into_owned()).find(|name| !name.is_empty());
    (0..record.repeats(3).count()).filter_map(of_repeat).filter(|name| name != "ALL").collect()
}

/// The results under one order become one item; what was held of them follows.
fn close(lis2: &Lis2, above: Above<'_, '_>, results: &mut Vec<ResultLine>, held: &mut Vec<Routed>, items: &mut Vec<Routed>) {
    let results = std::mem::take(results);
    let held = std::mem::take(held);
    if results.is_empty() && held.is_empty() {
        return;
    }
    let sample = above.first(&lis2.sample_id);
    if above.bears(&lis2.control) {
        if !results.is_empty() {
            items.push(Routed::Control { control: sample, results });
        }
        items.extend(held);
        return;
    }
    if !results.is_empty() {
        items.push(bind(&sample, &lis2.unknown_sample, results));
    }
    items.extend(held);
}

/// Results bound to the specimen that a device names, or held when it names none that could be one.
pub(super) fn bind(sample: &str, unknown: &[String], results: Vec<ResultLine>) -> Routed {
    let count = results.len();
    let results = results.into();
    let unbound = |detail: String, results| Routed::Unbound { results, reason: Reason::Invalid { detail } };
    if sample.is_empty() {
        return unbound(format!("{count} results without a specimen number: bind them by hand"), results);
    }
    if is_listed(unknown, sample) {
        return unbound(format!("{count} results of a specimen that the device could not identify ({sample}): bind them by hand"), results);
    }
    match sample.parse::<Accession>() {
        Ok(accession) => Routed::Results { accession, patient: None, results },
        // The text may be a patient's name typed by hand: it stays in the raw message only.
        Err(error) => unbound(format!("{count} results whose specimen number is none ({}): bind them by hand", error.why), results),
    }
}

/// The result of a record; none for a code that is passed over.
fn result(profile: &Profile, lis2: &Lis2, above: Above<'_, '_>) -> Result<Option<ResultLine>, Reason> {
    let whole = above.first(&lis2.code);
    let code = match lis2.code_ends_at.chars().next() {
        Some(end) => whole.split(end).next().unwrap_or_default(),
        None => &whole,
    };
    if is_listed(&profile.passed, code) {
        return Ok(None);
    }
    if !lis2.result_kind.is_empty() {
        let kind = above.text(&lis2.result_kind);
        if !lis2.filed_kinds.contains(&kind) {
            return Err(Reason::Invalid { detail: format!("code {code:?}: result kind {kind:?} is not filed by profile {}", profile.id) });
        }
    }
    let record = above.result.ok_or_else(|| Reason::NoValue { detail: "no result record".to_owned() })?;
    let status = record.text(9, 1);
    if !lis2.filed_statuses.iter().any(|filed| *filed == status) {
        return Err(Reason::Invalid { detail: format!("code {code:?} has the status {status:?}, which profile {} does not file", profile.id) });
    }
    let (value, call) = value(lis2, record);
    let unit = unit(profile, code, record);
    let flags = [call, record.whole(7).into_owned()].into_iter().filter(|part| !part.is_empty()).collect::<Vec<_>>().join(" ");
    let measured = time(profile, &record.text(13, 1));
    line(profile, &Written { code, value: &value, unit: &unit, flags: &flags, status: &status, measured, failure_words: &lis2.failure_words }).map(Some)
}

/// The unit as the device spells it: `10^3/uL` holds the component delimiter and is one unit, `10e6/uL^9^` is not.
fn unit(profile: &Profile, code: &str, record: &Record<'_>) -> String {
    let whole = record.whole(5);
    let is_spelling = profile.test(code).is_some_and(|test| test.spellings.iter().any(|spelling| *spelling == whole));
    if is_spelling { whole.into_owned() } else { record.text(5, 1).into_owned() }
}

/// R.4: the value, and the call beside it where the profile says that the value is not the first component.
/// A call (`-1^` without an index) is never taken for a value.
fn value(lis2: &Lis2, record: &Record<'_>) -> (String, String) {
    let component = |number| record.text(4, number).into_owned();
    if !record.has_components(4) {
        return (component(1), String::new());
    }
    let place = lis2.value.first().and_then(|place| lis2_place(place)).map_or(1, |(_, _, component)| component);
    match place {
        // Some devices write `^30.6`, or `5.12^^^^`.
        1 => ((1..=6).map(component).find(|text| !text.is_empty()).unwrap_or_default(), String::new()),
        place => (component(place), format!("call {}", component(1))),
    }
}

fn time(profile: &Profile, text: &str) -> Option<Timestamp> {
    parse_device_time(text, profile.time.offset_minutes).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::specimen::ResultValue;
    use crate::profile::Codec;

    fn profile(extra: &str) -> Profile {
        Profile::parse(&format!(
            "id = \"a/b\"\nversion = 1\nname = \"x\"\nkind = \"analyzer\"\ncites = [\"x\"]\nframing = {{ kind = \"astm\" }}\n{extra}\n[[tests]]\ncode = \"WBC\"\nloinc = \"6690-2\"\nunit = \"10*3/uL\"\nspellings = [\"10^3/uL\"]\n[[tests]]\ncode = \"COVID\"\nloinc = \"94500-6\"\n"
        ))
        .unwrap()
    }

    fn understand_text(profile: &Profile, text: &str) -> Vec<Routed> {
        let Codec::Lis2(lis2) = &profile.codec else { panic!() };
        understand(profile, lis2, &Message::parse(text.as_bytes()).unwrap()).items
    }

    fn reasons(items: &[Routed]) -> Vec<&str> {
        items.iter().map(|item| if let Routed::Hold(reason) | Routed::Unbound { reason, .. } = item { reason.word() } else { "-" }).collect()
    }

    const PLAIN: &str = "codec = { kind = \"lis2\" }";

    #[test]
    fn results_are_bound_to_the_order_above_them() {
        let items = understand_text(&profile(PLAIN), "H|\\^&\rP|1\rO|1|A1\rR|1|^^^WBC|5.8|10*3/uL|||F||||20260101\rP|2\rO|1|A2\rR|1|^^^WBC|6.8|10^3/uL\rL|1\r");
        let accessions: Vec<&str> = items.iter().map(|item| if let Routed::Results { accession, .. } = item { accession.as_str() } else { "-" }).collect();
        assert_eq!(accessions, ["A1", "A2"]);
        let Routed::Results { results, .. } = &items[1] else { panic!() };
        assert_eq!((results[0].vendor_unit.as_str(), results[0].unit.as_ref().unwrap().as_str()), ("10^3/uL", "10*3/uL"));
    }

    #[test]
    fn rule_9_the_code_s_place_is_the_profile_s_and_a_result_without_code_is_held() {
        let place = |code: &str| profile(&format!("codec = {{ kind = \"lis2\", code = [\"{code}\"], code_ends_at = \"/\" }}"));
        for (code, record) in [("R.3.1", "R|1|WBC/1|5"), ("R.3.2", "R|1|^WBC|5"), ("R.3.4", "R|1|^^^WBC/|5"), ("R.3.5", "R|1|^^^^WBC^1|5")] {
            let items = understand_text(&place(code), &format!("H|\\^&\rO|1|A1\r{record}|10*3/uL\rL|1\r"));
            assert!(matches!(items[..], [Routed::Results { .. }]), "{code}: {items:?}");
        }
        let items = understand_text(&profile(PLAIN), "H|\\^&\rO|1|A1\rR|1|^^^^F|149.13|mg/dL\rL|1\r");
        assert_eq!(reasons(&items), ["not_mapped"]);
    }

    #[test]
    fn rule_10_failures_and_words_are_no_numbers() {
        let items = understand_text(
            &profile(PLAIN),
            "H|\\^&\rO|1|A1\rR|1|^^^WBC|ERROR|10*3/uL\rR|2|^^^WBC||10*3/uL|H\rR|3|^^^WBC|POS|10*3/uL\rR|4|^^^COVID|DETECTED^|\rR|5|^^^WBC|^30.6|10*3/uL\rL|1\r",
        );
        let Routed::Results { results, .. } = &items[0] else { panic!("{items:?}") };
        assert_eq!(results.iter().map(|line| &line.value).collect::<Vec<_>>(), [&ResultValue::Text("DETECTED".into()), &ResultValue::Number("30.6".parse().unwrap())]);
        assert_eq!(reasons(&items), ["-", "no_value", "no_value", "no_value"]);
    }

    #[test]
    fn rule_10_of_two_results_of_one_code_only_the_filed_kind_is_filed() {
        let profile = profile("codec = { kind = \"lis2\", result_kind = \"R.3.6\", filed_kinds = [\"F\"] }");
        let items = understand_text(&profile, "H|\\^&\rO|1|A1\rR|1|^^^WBC^x^F|5|10*3/uL\rR|2|^^^WBC^x^P|900|10*3/uL\rL|1\r");
        assert_eq!(reasons(&items), ["-", "invalid"]);
    }

    #[test]
    fn rule_10_a_call_is_never_a_value_and_stays_beside_it() {
        let profile = profile("codec = { kind = \"lis2\", value = [\"R.4.2\", \"R.4.1\"] }");
        let run = |value: &str| understand_text(&profile, &format!("H|\\^&\rO|1|A1\rR|1|^^^WBC|{value}|10*3/uL\rL|1\r"));
        let Routed::Results { results, .. } = &run("-1^0.325")[0] else { panic!() };
        assert_eq!((&results[0].value, results[0].flags.as_str()), (&ResultValue::Number("0.325".parse().unwrap()), "call -1"));
        assert!(matches!(&run("2.5")[0], Routed::Results { .. }), "a value without components is whole");
        assert_eq!(reasons(&run("-1^")), ["no_value"]);
    }

    #[test]
    fn results_that_are_not_done_and_training_are_held() {
        for status in ["X", "I", "Q"] {
            let items = understand_text(&profile(PLAIN), &format!("H|\\^&\rO|1|A1\rR|1|^^^WBC|5|10*3/uL||||{status}\rL|1\r"));
            assert_eq!(reasons(&items), ["invalid"], "{status}");
        }
        let items = understand_text(&profile(PLAIN), "H|\\^&||||||||||T\rO|1|A1\rR|1|^^^WBC|5|10*3/uL\rL|1\r");
        assert_eq!(reasons(&items), ["not_patient"]);
    }

    #[test]
    fn codes_that_are_no_results_are_passed_over() {
        let profile = profile(&format!("{PLAIN}\npassed = [\"SCAT_*\"]"));
        let items = understand_text(&profile, "H|\\^&\rO|1|A1\rR|1|^^^SCAT_WDF|PNG&R&x\rR|2|^^^WBC|5|10*3/uL\rL|1\r");
        assert!(matches!(&items[..], [Routed::Results { results, .. }] if results.len() == 1), "{items:?}");
    }

    #[test]
    fn rule_11_a_sender_with_another_name_is_held() {
        let profile = profile(&format!("{PLAIN}\n[identity]\nsender = \"^XN-\""));
        assert_eq!(reasons(&understand_text(&profile, "H|\\^&|||XP-100\rO|1|A\rR|1|^^^WBC|5|10*3/uL\rL|1\r")), ["unknown_sender"]);
        assert_eq!(reasons(&understand_text(&profile, "H|\\^&|||XN-330\rO|1|A\rR|1|^^^WBC|5|10*3/uL\rL|1\r")), ["-"]);
    }

    #[test]
    fn rule_13_controls_never_reach_a_patient() {
        let marked = profile("codec = { kind = \"lis2\", control = [{ at = \"O.12\", equals = [\"Q\"] }, { at = \"O.3\", begins = [\"QC\"] }] }");
        for order in ["O|1|26112100017|||||||||Q", "O|1|QC-1"] {
            let items = understand_text(&marked, &format!("H|\\^&\r{order}\rR|1|^^^WBC|5|10*3/uL\rL|1\r"));
            assert!(matches!(items[..], [Routed::Control { .. }]), "{items:?}");
        }
    }

    #[test]
    fn rule_14_a_specimen_that_could_not_be_identified_is_held() {
        let profile = profile("codec = { kind = \"lis2\", unknown_sample = [\"@192\"] }");
        for sample in ["@192", "", "DOE JANE"] {
            let items = understand_text(&profile, &format!("H|\\^&\rO|1|{sample}\rR|1|^^^WBC|5|10*3/uL\rL|1\r"));
            assert_eq!(reasons(&items), ["invalid"], "{sample}");
        }
    }

    #[test]
    fn rule_15_queries_name_their_specimens() {
        let items = understand_text(&profile(PLAIN), "H|\\^&\rQ|1|^26112100017||ALL||||||||O\rL|1\r");
        assert_eq!(items, [Routed::Query { samples: vec!["26112100017".into()] }]);
        let items = understand_text(&profile(PLAIN), "H|\\^&\rQ|1|^^17^0\\^18||ALL\rQ|2|^19||ALL||||||||A\rL|1\r");
        assert_eq!(items, [Routed::Query { samples: vec!["17".into(), "18".into()] }], "Roche's place, repeats, and a query taken back");
        assert_eq!(understand_text(&profile(PLAIN), "H|\\^&\rM|1|x\rL|1\r"), [Routed::Noted]);
    }

    #[test]
    fn rule_20_the_vendor_s_code_and_unit_stay_beside_the_loinc() {
        let items = understand_text(&profile(PLAIN), "H|\\^&\rO|1|A1\rR|1|^^^WBC|5.8|10^3/uL\rL|1\r");
        let Routed::Results { results, .. } = &items[0] else { panic!() };
        assert_eq!((results[0].vendor_code.as_str(), results[0].vendor_unit.as_str()), ("WBC", "10^3/uL"));
        assert_eq!(reasons(&understand_text(&profile(PLAIN), "H|\\^&\rO|1|A1\rR|1|^^^WBC|5.8|%\rL|1\r")), ["not_mapped"], "another unit is held");
    }
}
