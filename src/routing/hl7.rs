//! HL7 v2 messages: results (ORU^R01, OUL^R22), cabinets of other systems (OMS^O05 with ZPM).

use std::borrow::Cow;

use super::lis2::bind;
use super::value::{Written, checked, line};
use super::{Routed, Understood};
use crate::codec::hl7::ack::Fault;
use crate::codec::hl7::{Message, Path, Segment};
use crate::domain::cabinet::{Reported, ReportedKind};
use crate::domain::quarantine::Reason;
use crate::domain::specimen::ResultLine;
use crate::kernel::planted::{self, Bug};
use crate::kernel::time::parse_device_time;
use crate::kernel::{Loinc, Mrn, Timestamp, Unit};
use crate::profile::lint::contradicts;
use crate::profile::{Hl7, Kind, Mark, Profile, is_listed};

/// What a message asks for, and what the sender must mend when it cannot be taken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answerable {
    /// What it asks for.
    pub understood: Understood,
    /// The fault that the acknowledgement names; the message is held all the same.
    pub fault: Option<Fault>,
}

fn fault(code: &'static str, place: &str, text: String) -> Fault {
    Fault { code, place: place.to_owned(), text }
}

/// What a message asks for.
pub fn understand(profile: &Profile, hl7: &Hl7, message: &Message<'_>) -> Answerable {
    let control_id = message.control_id().map(Cow::into_owned).unwrap_or_default();
    let device_time = message.field(b"MSH", 7, 1).and_then(|text| parse_device_time(&text, profile.time.offset_minutes).ok());
    let routed = items(profile, hl7, message, &control_id);
    let (items, fault) = match routed {
        Ok(items) => (items, None),
        Err((reason, fault)) => (vec![Routed::Hold(reason)], fault),
    };
    Answerable { understood: Understood { items, control_id, device_time }, fault }
}

pub(super) type Items = Result<Vec<Routed>, (Reason, Option<Fault>)>;

/// The sender must mend the message: it is held, and the acknowledgement says what is wrong.
pub(super) fn invalid(code: &'static str, place: &str, text: String) -> (Reason, Option<Fault>) {
    (Reason::Invalid { detail: text.clone() }, Some(fault(code, place, text)))
}

fn items(profile: &Profile, hl7: &Hl7, message: &Message<'_>, control_id: &str) -> Items {
    if control_id.is_empty() {
        return Err(invalid("101", "MSH-10", "MSH-10 is missing: give the message a control id".to_owned()));
    }
    let sender = message.field(b"MSH", 3, 0).unwrap_or_default();
    if let Some(expected) = profile.identity.contradicts(&sender) {
        let detail = format!("the sender names itself {sender:?}, profile {} expects {expected:?}", profile.id);
        return Err((Reason::UnknownSender { detail }, None));
    }
    if hl7.training.iter().any(|mark| mark.is_borne_by(&text(message, &mark.at))) {
        let detail = "MSH-11 says that this is training or debugging, no patient's: discard it, or send it as production (P)".to_owned();
        return Err((Reason::NotPatient { detail }, None));
    }
    let (kind, trigger) = message.kind();
    match (kind.as_ref(), trigger.as_ref()) {
        ("", _) => Err(invalid("101", "MSH-9", "MSH-9 is missing: name the message type, such as ORU^R01".to_owned())),
        ("ORU", "R01" | "R30" | "R31" | "R32" | "W01" | "") if profile.kind == Kind::Monitor => super::vitals::of_oru(profile, hl7, message),
        ("ORU", "R01" | "R30" | "R31" | "R32" | "W01" | "") | ("OUL", "R21" | "R22" | "R23" | "R24") => results(profile, hl7, message),
        ("ADT", trigger) => super::adt::route(trigger, message, profile.time.offset_minutes, super::adt::Numbers::of(profile)),
        ("OMS", "O05") => cabinet(profile, message),
        ("ACK", _) => Ok(vec![Routed::Noted]),
        (kind, trigger) => {
            let text = format!("{kind}^{trigger} is not handled here: it is kept in quarantine, send it where it belongs");
            Err((Reason::NotSupported { detail: text.clone() }, Some(fault("200", "MSH-9", text))))
        }
    }
}

/// A text without blanks around it.
fn trimmed(text: Cow<'_, str>) -> Cow<'_, str> {
    match text {
        Cow::Borrowed(text) => Cow::Borrowed(text.trim()),
        Cow::Owned(text) => Cow::Owned(text.trim().to_owned()),
    }
}

pub(super) fn text<'m>(message: &'m Message<'_>, place: &str) -> Cow<'m, str> {
    place.parse::<Path>().ok().and_then(|path| message.text(&path)).map(trimmed).unwrap_or_default()
}

/// A component of the first repetition, empty where there is nothing.
fn said<'m>(segment: &Segment<'m>, field: u16, component: u16) -> Cow<'m, str> {
    segment.text(field, component).map(trimmed).unwrap_or_default()
}

/// The segments of one order: OBR, the SPM beside it, and its OBX.
#[derive(Default)]
struct Order<'m> {
    obr: Option<Segment<'m>>,
    spm: Option<Segment<'m>>,
    obx: Vec<Segment<'m>>,
}

impl<'m> Order<'m> {
    fn text(&self, message: &'m Message<'_>, place: &str) -> Cow<'m, str> {
        let Ok(path) = place.parse::<Path>() else { return Cow::default() };
        let own = match &path.segment {
            b"OBR" => &self.obr,
            b"SPM" => &self.spm,
            _ => return text(message, place),
        };
        own.as_ref().and_then(|segment| segment.text_at(path.field, path.repetition, path.component.max(1), path.subcomponent.max(1))).map(trimmed).unwrap_or_default()
    }

    fn first(&self, message: &'m Message<'_>, places: &[String]) -> Cow<'m, str> {
        places.iter().map(|place| self.text(message, place)).find(|text| !text.is_empty()).unwrap_or_default()
    }

    fn bears(&self, message: &'m Message<'_>, marks: &[Mark]) -> bool {
        marks.iter().any(|mark| mark.is_borne_by(&self.text(message, &mark.at)))
    }
}

/// Cuts a message into its orders. In OUL the specimen stands before its orders, in ORU (2.5.1) behind them.
fn orders<'m>(message: &'m Message<'_>) -> Vec<Order<'m>> {
    let mut orders: Vec<Order<'m>> = Vec::new();
    let mut specimen = None;
    for segment in message.segments() {
        match segment.name() {
            b"SPM" => match orders.last_mut() {
                Some(order) if order.spm.is_none() && message.kind().0 == "ORU" => order.spm = Some(segment),
                _ => specimen = Some(segment),
            },
            b"OBR" => orders.push(Order { obr: Some(segment), spm: specimen.clone(), obx: Vec::new() }),
            b"OBX" => {
                if orders.is_empty() {
                    orders.push(Order { obr: None, spm: specimen.clone(), obx: Vec::new() });
                }
                if let Some(order) = orders.last_mut() {
                    order.obx.push(segment);
                }
            }
            _ => {}
        }
    }
    orders
}

fn results(profile: &Profile, hl7: &Hl7, message: &Message<'_>) -> Items {
    let mut items = Vec::new();
    let named = named_patient(message, profile.identity.authority.as_deref());
    for order in orders(message) {
        let measured_at = order.obr.as_ref().and_then(|obr| obr.text(7, 1));
        let mut lines = Vec::new();
        let mut held = Vec::new();
        for obx in &order.obx {
            let kind = obx.text(2, 1).unwrap_or_default();
            let code = code_of(hl7, obx);
            if hl7.passed_types.iter().any(|passed| *passed == kind) || is_listed(&profile.passed, &code) {
                continue;
            }
            match observation(profile, hl7, (obx, &code), measured_at.as_deref()) {
                Ok(line) => lines.push(line),
                Err(reason) => held.push(Routed::Hold(reason)),
            }
        }
        if lines.is_empty() && held.is_empty() {
            continue;
        }
        let sample = order.first(message, &hl7.sample_id);
        if order.bears(message, &hl7.control) {
            if !lines.is_empty() {
                items.push(Routed::Control { control: sample.into_owned(), results: lines });
            }
        } else if !lines.is_empty() {
            items.push(of_patient(bind(&sample, &[], lines), &named));
        }
        items.extend(held);
    }
    if items.is_empty() {
        items.push(Routed::Noted);
    }
    Ok(items)
}

/// The patient's medical record number, where a repetition of PID-3 says that it is one (CX.5 `MR`). Other numbers of the
/// field may be the analyzer's own and prove nothing.
fn named_patient(message: &Message<'_>, authority: Option<&str>) -> Option<Mrn> {
    let pid = message.segments().find(|segment| segment.name() == b"PID")?;
    (1..=pid.repetitions(3)).find_map(|repetition| {
        let part = |component| pid.text_at(3, repetition, component, 1).map(trimmed);
        let is_ours = authority.is_none_or(|authority| part(4).as_deref() == Some(authority));
        if is_ours && part(5).as_deref() == Some("MR") { part(1)?.parse().ok() } else { None }
    })
}

fn of_patient(item: Routed, named: &Option<Mrn>) -> Routed {
    match item {
        Routed::Results { accession, results, .. } => Routed::Results { accession, patient: named.clone(), results },
        other => other,
    }
}

/// The device's code of an observation: where the profile says, or the first place that holds something.
pub(super) fn code_of<'m>(hl7: &Hl7, obx: &Segment<'m>) -> Cow<'m, str> {
    [hl7.code_component, 1, 2, 4].into_iter().map(|component| said(obx, 3, component)).find(|code| !code.is_empty()).unwrap_or_default()
}

/// The value of an observation as one text. A structured numeric (SN) is comparator, number, separator, number: a ratio,
/// range or `2+` stays whole and is no number.
fn value_of<'m>(obx: &Segment<'m>) -> Cow<'m, str> {
    let text = |component| said(obx, 5, component);
    if obx.text(2, 1).as_deref() == Some("SN") {
        return Cow::Owned([1, 2, 3, 4].map(text).concat());
    }
    [1, 2].into_iter().map(text).find(|part| !part.is_empty()).unwrap_or_default()
}

pub(super) fn observation(profile: &Profile, hl7: &Hl7, (obx, code): (&Segment<'_>, &str), order_time: Option<&str>) -> Result<ResultLine, Reason> {
    let text = |field, component| said(obx, field, component);
    let status = text(11, 1);
    if !hl7.filed_statuses.iter().any(|filed| *filed == status) {
        return Err(Reason::Invalid { detail: format!("code {code:?} has the status {status:?}, which profile {} does not file", profile.id) });
    }
    if obx.repetitions(5) > 1 {
        return Err(Reason::NoValue { detail: format!("code {code:?} has several values: file the right one by hand") });
    }
    let value = value_of(obx);
    if value == "\"\"" {
        return Err(Reason::NoValue { detail: format!("code {code:?} has the null value: the sender takes a result back, which a person must do here") });
    }
    let unit = text(6, 1);
    let flags = text(8, 0);
    let time = obx.text(14, 1).or_else(|| obx.text(19, 1)).or(order_time.map(Cow::Borrowed));
    let measured: Option<Timestamp> = time.and_then(|time| parse_device_time(&time, profile.time.offset_minutes).ok());
    let written = Written { code, value: &value, unit: &unit, flags: &flags, status: &status, measured, failure_words: &hl7.failure_words };
    let is_loinc = hl7.codes_are_loinc && text(3, 3) == "LN";
    if !is_loinc || profile.test(code).is_some() {
        return line(profile, &written);
    }
    by_loinc(&written, &text(2, 1), &text(6, 2))
}

/// A result of a feed whose codes are LOINC: without a profile's mapping the message itself must be sound.
fn by_loinc(written: &Written<'_>, kind: &str, unit_text: &str) -> Result<ResultLine, Reason> {
    let not_mapped = |detail: String| Reason::NotMapped { detail };
    let test: Loinc = written.code.parse().map_err(|error: crate::kernel::Invalid| not_mapped(error.to_string()))?;
    let is_numeric = matches!(kind, "NM" | "SN") || !written.unit.is_empty();
    let value = checked(written, is_numeric)?;
    let unit: Option<Unit> = match written.unit {
        "" if is_numeric => return Err(not_mapped(format!("{test} is a number without a unit: the sender must name it in OBX-6"))),
        "" => None,
        // `10^3/uL` holds the component separator: what stands before it is no unit.
        unit if unit.bytes().all(|byte| byte.is_ascii_digit()) => {
            return Err(not_mapped(format!("{test}: the unit {unit:?}^{unit_text:?} is cut by its own delimiter: the sender must write 10*3/uL")));
        }
        unit => Some(unit.parse().map_err(|error: crate::kernel::Invalid| not_mapped(format!("{test}: {error}")))?),
    };
    if unit.as_ref().is_some_and(|unit| contradicts(test.as_str(), unit.as_str())) && !planted::is(Bug::UnitNotCompared) {
        return Err(not_mapped(format!("{test} cannot be measured in {}: check code and unit", written.unit)));
    }
    Ok(ResultLine {
        test,
        vendor_code: written.code.to_owned(),
        value,
        unit,
        vendor_unit: written.unit.to_owned(),
        flags: written.flags.to_owned(),
        status: written.status.to_owned(),
        measured: written.measured,
    })
}

/// A pocket's activity (VA PADE; Inpatient Medications technical manual, appendix B).
fn cabinet(profile: &Profile, message: &Message<'_>) -> Items {
    let order: Vec<[u8; 3]> = message.segments().map(|segment| *segment.name()).collect();
    let place = |name: &[u8; 3]| order.iter().position(|segment| segment == name);
    match (place(b"ORC"), place(b"RQD"), place(b"ZPM")) {
        (Some(orc), Some(rqd), Some(zpm)) if orc < rqd && rqd < zpm => {}
        _ => return Err(invalid("100", "ZPM", "the segments ORC, RQD and ZPM are needed in this order".to_owned())),
    }
    let required = |field: u16| {
        let found = text(message, &format!("ZPM-{field}.1"));
        if found.is_empty() { Err(invalid("101", &format!("ZPM-{field}"), format!("ZPM-{field} is missing"))) } else { Ok(found) }
    };
    let kind = match &*required(1)? {
        "V" => ReportedKind::Vend,
        "R" => ReportedKind::Return,
        "W" => ReportedKind::Waste,
        "L" | "F" => ReportedKind::Load,
        "U" => ReportedKind::Unload,
        "B" => ReportedKind::BinEmptied,
        "C" => ReportedKind::Count,
        other => return Err(invalid("103", "ZPM-1", format!("ZPM-1 is {other:?} (known: V R W L F U B C)"))),
    };
    let (system, device) = (required(2)?, required(3)?);
    let (drawer, descriptor, subdrawer) = (required(4)?, text(message, "ZPM-5.1"), text(message, "ZPM-16.1"));
    let wrong = |field: &str, error: &dyn std::fmt::Display| invalid("102", field, format!("{field}: {error}"));
    let number = |field: u16| required(field).and_then(|found| found.parse::<rust_decimal::Decimal>().map_err(|error| wrong(&format!("ZPM-{field}"), &error)));
    let pocket = [drawer, subdrawer, descriptor].into_iter().filter(|part| !part.is_empty()).collect::<Vec<_>>().join("-");
    let patient = match kind {
        ReportedKind::Vend | ReportedKind::Return => Some(super::adt::patient(message, super::adt::Numbers::of(profile))?),
        ReportedKind::Waste | ReportedKind::Load | ReportedKind::Unload | ReportedKind::BinEmptied | ReportedKind::Count => None,
    };
    // Who did it and who saw it: a transaction without a witness is no transaction (ZPM-12 is required by the table).
    let (user, witness) = (required(11)?, required(12)?);
    let at = required(19)?;
    let reported = Reported {
        kind,
        pocket: pocket.parse().map_err(|error| wrong("ZPM-5", &error))?,
        item: required(6)?.parse().map_err(|error| wrong("ZPM-6", &error))?,
        quantity: number(10)?,
        expected_begin: text(message, "ZPM-8.1").parse().ok(),
        actual_begin: number(9)?,
        patient,
        user: user.into_owned(),
        witness: witness.into_owned(),
        at: parse_device_time(&at, profile.time.offset_minutes).map_err(|error| wrong("ZPM-19", &error))?,
    };
    // A cabinet's name is unique only inside its own system.
    let cabinet = format!("{system}.{device}").parse().map_err(|error| wrong("ZPM-3", &error))?;
    Ok(vec![Routed::Report { cabinet, reported: Box::new(reported) }])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::profile::Codec;

    const TESTS: &str = "[[tests]]\ncode = \"WBC\"\nloinc = \"6690-2\"\nunit = \"10*9/L\"\n";

    fn understand_text(codec: &str, text: &str) -> Answerable {
        let profile = Profile::parse(&format!(
            "id = \"a/b\"\nversion = 1\nname = \"x\"\nkind = \"analyzer\"\ncites = [\"x\"]\nframing = {{ kind = \"mllp\" }}\ncodec = {{ kind = \"hl7\"{codec} }}\n{TESTS}"
        ))
        .unwrap();
        let Codec::Hl7(hl7) = &profile.codec else { panic!() };
        understand(&profile, hl7, &Message::parse(text.as_bytes()).unwrap())
    }

    fn header(kind: &str) -> String {
        format!("MSH|^~\\&|A|B|C|D|20260101||{kind}|17|P|2.5\r")
    }

    #[test]
    fn results_are_bound_by_obr_or_spm_and_code() {
        let oru = header("ORU^R01") + "OBR|1|P1|26112100017\rOBX|1|NM|6690-2^WBC^LN||5.8|10*9/L|4-10|N|||F\rOBX|2|ED|IMG||x\r";
        let found = understand_text(", code_component = 2", &oru).understood.items;
        let [Routed::Results { accession, results, .. }] = &found[..] else { panic!("{found:?}") };
        assert_eq!((accession.as_str(), results.len(), results[0].vendor_code.as_str()), ("26112100017", 1, "WBC"));
        let oul = header("OUL^R22") + "SPM|1|A9\rOBR|1||X\rOBX|1|NM|WBC||5.8|10*9/L\rSPM|2|A8\rOBR|1\rOBX|1|SN|WBC||>^100|10*9/L\r";
        let found = understand_text("", &oul).understood.items;
        assert!(
            matches!(&found[..], [Routed::Results { accession: first, .. }, Routed::Results { accession: second, .. }] if first.as_str() == "A9" && second.as_str() == "A8"),
            "{found:?}"
        );
    }

    #[test]
    fn rule_13_controls_by_msh_11_and_spm_11() {
        let control = header("ORU^R01").replace("|P|", "|Q|") + "OBR|1||QC1\rOBX|1|NM|WBC||5.8|10*9/L\r";
        assert!(matches!(understand_text("", &control).understood.items[..], [Routed::Control { .. }]));
        let control = header("ORU^R01") + "OBR|1||QC1\rOBX|1|NM|WBC||5.8|10*9/L\rSPM|1|QC1|||||||||Q\r";
        assert!(matches!(understand_text("", &control).understood.items[..], [Routed::Control { .. }]));
    }

    #[test]
    fn loinc_codes_of_a_feed_are_taken_as_they_are_when_the_profile_says_so() {
        let oru = header("ORU^R01") + "OBR|1||7\rOBX|1|NM|2345-7^GLUCOSE^LN||99.5|mg/dL|||||F\rOBX|2|NM|2345-8^X^LN||1|mg/dL|||||F\rOBX|3|NM|2345-7^X^LN||1|mg/dL|||||X\r";
        let found = understand_text(", codes_are_loinc = true", &oru).understood.items;
        assert!(
            matches!(&found[..], [Routed::Results { results, .. }, Routed::Hold(Reason::NotMapped { .. }), Routed::Hold(Reason::Invalid { .. })] if results.len() == 1),
            "{found:?}"
        );
    }

    #[test]
    fn a_feed_s_result_that_is_not_sound_is_held() {
        let cases = [
            "NM|2345-7^G^LN||abc|mg/dL",
            "NM|2345-7^G^LN||\"\"|mg/dL",
            "TX|2345-7^G^LN||see note|mg/dL",
            "NM|2345-7^G^LN||5.1~6.2|mg/dL",
            "NM|6690-2^W^LN||5.1|10^3/uL",
            "NM|2345-7^G^LN||5.1|",
            "NM|6690-2^W^LN||5.1|%",
            "SN|2345-7^G^LN||^1^:^128|mg/dL",
            "SN|2345-7^G^LN||^10^-^20|mg/dL",
            "SN|2345-7^G^LN||^2^+|mg/dL",
        ];
        for case in cases {
            let oru = header("ORU^R01") + "OBR|1||7\rOBX|1|" + case + "|||||F\r";
            let found = understand_text(", codes_are_loinc = true", &oru).understood.items;
            assert!(matches!(found[..], [Routed::Hold(_)]), "{case}: {found:?}");
        }
    }

    #[test]
    fn training_messages_are_no_patient_s() {
        for kind in ["ORU^R01", "ADT^A01"] {
            let message = header(kind).replace("|P|", "|T|") + "PID|1||1001\rPV1|1|I|W1^101^A\rOBR|1||7\rOBX|1|NM|WBC||5.8|10*9/L\r";
            assert!(matches!(understand_text("", &message).understood.items[..], [Routed::Hold(Reason::NotPatient { .. })]), "{kind}");
        }
    }

    #[test]
    fn what_the_sender_must_mend_is_named_and_held() {
        let cases = [
            (header("ORU^R01").replace("|17|", "||"), "MSH-10", "101"),
            (header(""), "MSH-9", "101"),
            (header("VXU^V04"), "MSH-9", "200"),
            (header("ADT^A01") + "PV1|1|I|W1^101^A\r", "PID-3.1", "101"),
            (header("ADT^A01") + "PID|1||1001\rPV1|1|I|W/1^2^3\r", "PV1-3", "102"),
            (header("OMS^O05") + "PID|1||1\rZPM|V\rORC|NW\r", "ZPM", "100"),
        ];
        for (message, place, code) in cases {
            let found = understand_text("", &message);
            assert!(matches!(found.understood.items[..], [Routed::Hold(_)]), "{message}");
            assert_eq!(found.fault.map(|fault| (fault.place, fault.code)), Some((place.to_owned(), code)), "{message}");
        }
    }

    #[test]
    fn a_cabinet_s_report() {
        let zpm = "ZPM|V|PYX|CAB9|10|15B|12345^ASPIRIN|1|20|19|2|1^LAST|1^LAST|20||W|A1|50|25|200506151336\r";
        let found = understand_text("", &(header("OMS^O05") + "PID|1||5001234\rORC|NW\rRQD|1\r" + zpm)).understood.items;
        let [Routed::Report { cabinet, reported }] = &found[..] else { panic!("{found:?}") };
        assert_eq!((cabinet.as_str(), reported.pocket.as_str(), reported.kind), ("PYX.CAB9", "10-A1-15B", ReportedKind::Vend));
        assert_eq!((reported.quantity, reported.actual_begin), (2.into(), 19.into()));
    }
}
