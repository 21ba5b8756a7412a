//! What must hold of a profile beyond its form: references, units that fit their LOINC codes, patterns that compile.

use std::collections::BTreeMap;

use super::{Codec, Framing, Profile, Test};

/// LOINC properties of codes that devices use, to catch the classic mistakes (LOINC table, PROPERTY column).
/// NCnc: number a volume; NFr: number fraction; MCnc, SCnc: mass and substance a volume; VFr: volume fraction;
/// EntVol, EntMass: of one entity; Ratio: without unit; CCnc: catalytic; Time; ACnc: arbitrary concentration.
const PROPERTIES: &[(&str, &str)] = &[
    ("6690-2", "NCnc"),
    ("804-5", "NCnc"),
    ("789-8", "NCnc"),
    ("777-3", "NCnc"),
    ("751-8", "NCnc"),
    ("731-0", "NCnc"),
    ("742-7", "NCnc"),
    ("711-2", "NCnc"),
    ("704-7", "NCnc"),
    ("770-8", "NFr"),
    ("736-9", "NFr"),
    ("744-3", "NFr"),
    ("713-8", "NFr"),
    ("706-2", "NFr"),
    ("4544-3", "VFr"),
    ("718-7", "MCnc"),
    ("786-4", "MCnc"),
    ("785-6", "EntMass"),
    ("787-2", "EntVol"),
    ("32623-1", "EntVol"),
    ("788-0", "Ratio"),
    ("51637-7", "VFr"),
    ("48386-7", "NFr"),
    ("2345-7", "MCnc"),
    ("14749-6", "SCnc"),
    ("2160-0", "MCnc"),
    ("14682-9", "SCnc"),
    ("3094-0", "MCnc"),
    ("1742-6", "CCnc"),
    ("1920-8", "CCnc"),
    ("1751-7", "MCnc"),
    ("2885-2", "MCnc"),
    ("1975-2", "MCnc"),
    ("2951-2", "SCnc"),
    ("2823-3", "SCnc"),
    ("2075-0", "SCnc"),
    ("3016-3", "ACnc"),
    ("2276-4", "MCnc"),
    ("5902-2", "Time"),
    ("6301-6", "RelTime"),
    ("3173-2", "Time"),
    ("3255-7", "MCnc"),
    ("48065-7", "MCnc"),
    ("4548-4", "MFr"),
    ("6598-7", "MCnc"),
    ("10839-9", "MCnc"),
    ("1988-5", "MCnc"),
    ("33762-6", "MCnc"),
];

/// Which of these properties a unit can express; `None` when the unit is not known here, which is no fault.
fn fits(unit: &str, property: &str) -> Option<bool> {
    let is = |properties: &[&str]| Some(properties.contains(&property));
    match unit {
        "%" => is(&["NFr", "VFr", "MFr", "Ratio", "RelTime"]),
        "L/L" => is(&["VFr"]),
        "10*3/uL" | "10*6/uL" | "10*9/L" | "10*12/L" | "/uL" | "/L" => is(&["NCnc"]),
        "g/dL" | "g/L" | "mg/dL" | "mg/L" | "ug/L" | "ng/mL" | "ng/L" | "pg/mL" | "ug/mL{FEU}" | "ng/mL{FEU}" => is(&["MCnc"]),
        "mmol/L" | "umol/L" | "nmol/L" | "pmol/L" => is(&["SCnc"]),
        "U/L" | "ukat/L" => is(&["CCnc"]),
        "fL" => is(&["EntVol"]),
        "pg" => is(&["EntMass"]),
        "s" => is(&["Time"]),
        "m[IU]/L" | "u[IU]/mL" | "[IU]/mL" => is(&["ACnc"]),
        _ => None,
    }
}

/// Whether a unit is known not to express what a LOINC code measures.
pub fn contradicts(loinc: &str, unit: &str) -> bool {
    let property = PROPERTIES.iter().find(|(code, _)| *code == loinc).map(|(_, property)| *property);
    property.is_some_and(|property| fits(unit, property) == Some(false))
}

/// All faults of a profile, each a sentence that names the thing and the way out; none when it may be used.
pub fn lint(profile: &Profile) -> Vec<String> {
    let mut faults = Vec::new();
    if profile.id.split('/').count() != 2 || profile.id.split('/').any(str::is_empty) {
        faults.push(format!("id {:?} must be maker/model", profile.id));
    }
    if profile.version == 0 {
        faults.push("version starts at 1".to_owned());
    }
    if profile.cites.iter().all(|cite| cite.trim().is_empty()) {
        faults.push("cites is empty: say where the facts come from, be it \"captured at site\"".to_owned());
    }
    if !matches!(profile.serial.data_bits, 7 | 8) || !matches!(profile.serial.stop_bits, 1 | 2) || profile.serial.baud == 0 {
        faults.push("serial: data_bits is 7 or 8, stop_bits 1 or 2, baud above 0".to_owned());
    }
    if !matches!(
        (&profile.framing, &profile.codec),
        (Framing::Astm { .. }, Codec::Lis2(_))
            | (Framing::Mllp, Codec::Hl7(_))
            | (Framing::Line { .. }, Codec::Scan | Codec::RelayWords)
            | (Framing::Mqtt { .. }, Codec::RfidJson | Codec::DrawerJson | Codec::VitalsJson)
    ) {
        faults.push("framing and codec do not belong together: astm carries lis2, mllp hl7, line scan or relay-words, mqtt rfid-json, drawer-json or vitals-json".to_owned());
    }
    framing(&profile.framing, &mut faults);
    places(&profile.codec, &mut faults);
    tests(&profile.tests, &mut faults);
    faults
}

fn framing(framing: &Framing, faults: &mut Vec<String>) {
    let mut word = |field: &str, given: &str, known: &[&str]| {
        if !known.contains(&given) {
            faults.push(format!("framing.{field} {given:?} is unknown (known: {})", known.join(", ")));
        }
    };
    match framing {
        Framing::Astm { checksum, frame_numbers, frame_limit, text_limit, .. } => {
            word("checksum", checksum, &["standard", "etb-left-out", "end-left-out", "absent"]);
            word("frame_numbers", frame_numbers, &["standard", "restarting", "any"]);
            if *frame_limit == 0 || *frame_limit > crate::kernel::limits::ASTM_FRAME_BYTES {
                faults.push(format!("framing.frame_limit is 1 to {}", crate::kernel::limits::ASTM_FRAME_BYTES));
            }
            if *text_limit == 0 || text_limit > frame_limit {
                faults.push("framing.text_limit is 1 to frame_limit".to_owned());
            }
        }
        Framing::Line { ending, .. } => word("ending", ending, &["cr-or-lf", "cr", "stx-etx"]),
        Framing::Mqtt { events, .. } if !events.contains("{device}") => faults.push("framing.events needs {device} in its topic: without it two devices are one".to_owned()),
        Framing::Mllp | Framing::Mqtt { .. } => {}
    }
}

/// A LIS2-A2 place: record letter, field, component.
pub fn lis2_place(text: &str) -> Option<(char, usize, usize)> {
    let mut parts = text.split('.');
    let letter = parts.next().filter(|part| part.len() == 1)?.chars().next().filter(char::is_ascii_uppercase)?;
    let field = parts.next()?.parse().ok().filter(|field| *field > 0)?;
    let component = parts.next().map_or(Some(1), |part| part.parse().ok().filter(|component| *component > 0))?;
    parts.next().is_none().then_some((letter, field, component))
}

fn places(codec: &Codec, faults: &mut Vec<String>) {
    match codec {
        Codec::Lis2(lis2) => {
            let marks = lis2.control.iter().chain(&lis2.training).map(|mark| &mark.at);
            let all = lis2.sample_id.iter().chain(&lis2.code).chain(&lis2.value).chain(marks);
            for place in all.chain(Some(&lis2.result_kind).filter(|place| !place.is_empty())) {
                if lis2_place(place).is_none() {
                    faults.push(format!("codec: {place:?} is no place: write record.field.component, as in O.4.3"));
                }
            }
            if !matches!(lis2.no_orders.as_str(), "I" | "Q") {
                faults.push("codec.no_orders is I or Q".to_owned());
            }
        }
        Codec::Hl7(hl7) => {
            for place in hl7.sample_id.iter().chain(hl7.control.iter().chain(&hl7.training).map(|mark| &mark.at)) {
                let is_place =
                    place.split_once('-').is_some_and(|(segment, rest)| segment.len() == 3 && rest.split('.').all(|number| number.parse::<u16>().is_ok_and(|number| number > 0)));
                if !is_place {
                    faults.push(format!("codec: {place:?} is no place: write SEG-field.component, as in OBR-3.1"));
                }
            }
        }
        Codec::Scan | Codec::RfidJson | Codec::DrawerJson | Codec::VitalsJson | Codec::RelayWords => {}
    }
}

fn tests(tests: &[Test], faults: &mut Vec<String>) {
    let mut codes: BTreeMap<&str, &Test> = BTreeMap::new();
    let mut measured: BTreeMap<(&str, Option<&str>), &str> = BTreeMap::new();
    for test in tests {
        let name = format!("test {:?}", test.code);
        if test.code.is_empty() {
            faults.push("a test has no code".to_owned());
        }
        if codes.insert(&test.code, test).is_some() {
            faults.push(format!("{name} stands twice"));
        }
        let unit = test.unit.as_ref().map(crate::kernel::Unit::as_str);
        if let Some(other) = measured.insert((test.loinc.as_str(), unit), &test.code) {
            faults.push(format!("{name} and {other:?} are both {} in one unit: give each its own LOINC code or unit", test.loinc));
        }
        if test.unit.is_none() && !test.spellings.is_empty() {
            faults.push(format!("{name} has spellings of a unit but no unit"));
        }
        let property = PROPERTIES.iter().find(|(code, _)| *code == test.loinc.as_str()).map(|(_, property)| *property);
        match (property, unit) {
            (Some(property), Some(unit)) if fits(unit, property) == Some(false) => {
                faults.push(format!("{name}: LOINC {} has the property {property}, which the unit {unit:?} cannot express: check code and unit", test.loinc));
            }
            (Some(property), None) if !matches!(property, "Ratio" | "RelTime") => {
                faults.push(format!("{name}: LOINC {} has the property {property} and needs a unit", test.loinc));
            }
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests_of_lint {
    use super::*;

    const GOOD: &str = r#"
id = "sysmex/xn"
version = 1
name = "Sysmex XN"
kind = "analyzer"
cites = ["captured at site"]
framing = { kind = "astm" }
codec = { kind = "lis2", code = ["R.3.5"] }
[[tests]]
code = "WBC"
loinc = "6690-2"
unit = "10*3/uL"
"#;

    fn faults(text: &str) -> Vec<String> {
        lint(&Profile::parse(text).unwrap())
    }

    #[test]
    fn a_good_profile_has_no_faults() {
        assert_eq!(faults(GOOD), Vec::<String>::new());
    }

    #[test]
    fn rule_19_an_absolute_count_in_percent_fails() {
        for code in ["751-8", "742-7", "711-2", "704-7"] {
            let text = GOOD.replace("6690-2", code).replace("10*3/uL", "%");
            assert!(faults(&text)[0].contains("NCnc"), "{code}");
        }
        assert!(faults(&GOOD.replace("6690-2", "770-8").replace("10*3/uL", "%")).is_empty());
        assert!(faults(&GOOD.replace("6690-2", "770-8"))[0].contains("NFr"));
    }

    #[test]
    fn each_fault_is_named() {
        let cases = [
            (GOOD.replace("sysmex/xn", "xn"), "maker/model"),
            (GOOD.replace("version = 1", "version = 0"), "starts at 1"),
            (GOOD.replace("captured at site", " "), "cites is empty"),
            (GOOD.replace("kind = \"astm\"", "kind = \"astm\", checksum = \"none\""), "known: standard, etb-left-out"),
            (GOOD.replace("kind = \"astm\"", "kind = \"mllp\""), "do not belong together"),
            (GOOD.replace("R.3.5", "R35"), "record.field.component"),
            (format!("{GOOD}[[tests]]\ncode = \"WBC\"\nloinc = \"789-8\"\nunit = \"10*6/uL\""), "stands twice"),
            (format!("{GOOD}[[tests]]\ncode = \"LEU\"\nloinc = \"6690-2\"\nunit = \"10*3/uL\""), "both 6690-2"),
            (GOOD.replace("unit = \"10*3/uL\"", ""), "needs a unit"),
        ];
        for (text, part) in cases {
            let found = faults(&text);
            assert!(found.iter().any(|fault| fault.contains(part)), "{part}: {found:?}");
        }
    }

    #[test]
    fn unknown_fields_and_bad_codes_are_refused_with_their_line() {
        let error = Profile::parse(&GOOD.replace("version = 1", "version = 1\nverison = 2")).unwrap_err();
        assert!(error.contains("line 4") && error.contains("verison"), "{error}");
        let error = Profile::parse(&format!("{GOOD}[identity]\nsender = \"(\"")).unwrap_err();
        assert!(error.contains("no regular expression"), "{error}");
        let error = Profile::parse(&GOOD.replace("6690-2", "6690-3")).unwrap_err();
        assert!(error.contains("check digit should be 2"), "{error}");
    }
}
