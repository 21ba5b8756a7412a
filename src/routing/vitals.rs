//! Vital signs and fluids of bedside devices: HL7 ORU as IHE PCD-01 has it, and JSON by MQTT.
//!
//! **Invariant**: a measurement names a patient, a bed, or both, and a time; else nobody knows whose and when, and it is held.

use std::collections::BTreeMap;

use rust_decimal::Decimal;
use serde::Deserialize;

use super::hl7::{Items, code_of, observation};
use super::json::not_parsed;
use super::{Routed, Understood, adt};
use crate::codec::hl7::{Message, Segment};
use crate::domain::census::{Command, Measured};
use crate::domain::quarantine::Reason;
use crate::domain::specimen::{ResultLine, ResultValue};
use crate::domain::vitals::{self, Amount, Reading, Route};
use crate::kernel::{BedId, Loinc, Mrn, Timestamp, Unit};
use crate::profile::{Hl7, Profile, is_listed};

/// Whose it is, by what the device says.
fn whose(patient: Option<Mrn>, bed: Option<BedId>) -> Result<Measured, Reason> {
    match (patient, bed) {
        (Some(patient), Some(bed)) => Ok(Measured::PatientInBed(patient, bed)),
        (Some(patient), None) => Ok(Measured::Patient(patient)),
        (None, Some(bed)) => Ok(Measured::InBed(bed)),
        (None, None) => Err(Reason::Invalid { detail: "neither a patient nor a bed is named: nobody knows whose signs these are".to_owned() }),
    }
}

fn take(whom: &Measured, readings: Vec<Reading>, fluids: Vec<Amount>, measured: Timestamp) -> Routed {
    Routed::Census(Command::Vitals { whom: whom.clone(), command: vitals::Command::Take { readings, fluids, measured: Some(measured) } })
}

/// What a monitor says of a value that is no patient's, or none at all (OBX-8 in IHE PCD technical framework 2, B.8.8).
const NOT_MEASURED: [&str; 7] = ["INV", "NAV", "OFF", "CAL", "CALO", "TEST", "DEMO"];

fn not_measured(obx: &Segment<'_>) -> Option<&'static str> {
    let flags: Vec<String> = (1..=obx.repetitions(8)).filter_map(|at| obx.text_at(8, at, 1, 1)).map(|flag| flag.trim().to_owned()).collect();
    NOT_MEASURED.into_iter().find(|known| flags.iter().any(|flag| flag == known))
}

/// A number with a unit is a reading; anything else a person must look at.
fn reading(line: ResultLine) -> Result<(Timestamp, Reading), Reason> {
    let ResultLine { test: code, vendor_code, value, unit, measured, .. } = line;
    match (value, unit, measured) {
        (ResultValue::Number(value), Some(unit), Some(measured)) => Ok((measured, Reading { code, value, unit })),
        (_, _, None) => Err(Reason::Invalid { detail: format!("code {vendor_code:?} has no time, neither in OBX-14 nor in OBR-7") }),
        _ => Err(Reason::NoValue { detail: format!("code {vendor_code:?} is no number with a unit: record it by hand") }),
    }
}

/// The readings of an observation message (IHE PCD technical framework 2, PCD-01): one part for each time of measurement.
pub(super) fn of_oru(profile: &Profile, hl7: &Hl7, message: &Message<'_>) -> Items {
    let patient = match adt::patient(message, adt::Numbers::of(profile)) {
        Ok(patient) => Some(patient),
        // A monitor that was not told who lies before it says where it stands.
        Err((Reason::Invalid { .. }, _)) if super::hl7::text(message, "PID-3.1").is_empty() || super::hl7::text(message, "PID-3.1") == "\"\"" => None,
        Err(wrong) => return Err(wrong),
    };
    let whom = whose(patient, adt::bed(message, b"PV1", 3)?).map_err(|reason| (reason, None))?;
    let mut by_time: BTreeMap<Timestamp, Vec<Reading>> = BTreeMap::new();
    let mut held = Vec::new();
    let mut ordered_at = None;
    for segment in message.segments() {
        match segment.name() {
            b"OBR" => ordered_at = segment.text(7, 1).map(std::borrow::Cow::into_owned),
            b"OBX" => {
                let is_blank = |field| segment.text(field, 1).is_none_or(|text| text.trim().is_empty());
                let code = code_of(hl7, &segment);
                // A device that only says that it is there has neither type nor value. A profile may pass over all that it does not map.
                if (is_blank(2) && is_blank(5)) || (profile.test(&code).is_none() && is_listed(&profile.passed, &code)) {
                    continue;
                }
                if let Some(flag) = not_measured(&segment) {
                    let detail = format!("code {code:?} is marked {flag}: invalid, calibrating, a test or a demonstration, and no patient's value");
                    held.push(Routed::Hold(Reason::NotPatient { detail }));
                    continue;
                }
                match observation(profile, hl7, (&segment, &code), ordered_at.as_deref()).and_then(reading) {
                    Ok((measured, reading)) => by_time.entry(measured).or_default().push(reading),
                    Err(reason) => held.push(Routed::Hold(reason)),
                }
            }
            _ => {}
        }
    }
    let mut items: Vec<Routed> = by_time.into_iter().map(|(measured, readings)| take(&whom, readings, Vec::new(), measured)).collect();
    items.extend(held);
    if items.is_empty() {
        items.push(Routed::Noted);
    }
    Ok(items)
}

/// What a bedside device publishes. Numbers come as JSON numbers or as text, which keeps trailing zeros.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Published {
    #[serde(default)]
    patient: Option<Mrn>,
    #[serde(default)]
    bed: Option<BedId>,
    time: Timestamp,
    #[serde(default)]
    readings: Vec<PublishedReading>,
    #[serde(default)]
    fluids: Vec<PublishedAmount>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct PublishedReading {
    code: Loinc,
    value: Number,
    unit: Unit,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct PublishedAmount {
    route: Route,
    ml: Number,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Number {
    Text(Decimal),
    Json(serde_json::Number),
}

impl Number {
    fn decimal(&self) -> Result<Decimal, Reason> {
        match self {
            Number::Text(number) => Ok(*number),
            Number::Json(number) => number.to_string().parse().map_err(|_| Reason::NoValue { detail: format!("{number} is no plain number") }),
        }
    }
}

/// What a bedside device's JSON asks for.
pub fn of_json(payload: &[u8]) -> Understood {
    let published: Published = match serde_json::from_slice(payload) {
        Ok(published) => published,
        Err(error) => return not_parsed(&error),
    };
    let time = published.time;
    let item = taken(published).unwrap_or_else(Routed::Hold);
    Understood { items: vec![item], control_id: String::new(), device_time: Some(time) }
}

fn taken(published: Published) -> Result<Routed, Reason> {
    let whom = whose(published.patient, published.bed)?;
    let reading = |reading: PublishedReading| Ok(Reading { code: reading.code, value: reading.value.decimal()?, unit: reading.unit });
    let amount = |amount: PublishedAmount| Ok(Amount { route: amount.route, millilitres: amount.ml.decimal()? });
    let readings = published.readings.into_iter().map(reading).collect::<Result<_, Reason>>()?;
    let fluids = published.fluids.into_iter().map(amount).collect::<Result<_, Reason>>()?;
    Ok(take(&whom, readings, fluids, published.time))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::profile::Codec;

    fn taken(items: &[Routed]) -> Vec<String> {
        let one = |item: &Routed| match item {
            Routed::Census(command) => command.to_string(),
            Routed::Hold(reason) => format!("held: {}", reason.sentence()),
            other => format!("{other:?}"),
        };
        items.iter().map(one).collect()
    }

    fn oru(segments: &str) -> Vec<String> {
        let profile = Profile::parse(include_str!("../../device-profiles/generic/pcd-01.toml")).unwrap();
        let Codec::Hl7(hl7) = &profile.codec else { panic!() };
        let text = format!("MSH|^~\\&|MON^001^EUI-64||||20261121120000+0000||ORU^R01^ORU_R01|17|P|2.6\r{segments}");
        taken(&super::super::hl7::understand(&profile, hl7, &Message::parse(text.as_bytes()).unwrap()).understood.items)
    }

    const RATE: &str = "OBX|1|NM|147842^MDC_ECG_HEART_RATE^MDC|1.1.1.1|72|264864^MDC_DIM_BEAT_PER_MIN^MDC|||||F\r";

    #[test]
    fn signs_of_a_patient_of_a_bed_and_of_both() {
        let obr = "OBR|1|||182777000^monitoring^SCT|||20261121115900+0000\r";
        let of = |whose: &str| oru(&format!("{whose}{obr}{RATE}"));
        let at = "at 2026-11-21T11:59:00.000000Z: 8867-4=72 /min";
        assert_eq!(of("PID|1||77^^^H^MR\r"), [format!("signs of 77 {at}")]);
        assert_eq!(of("PID|1||\rPV1|1|I|ICU^1^A\r"), [format!("signs of whoever lies in ICU:1:A {at}")]);
        assert_eq!(of("PID|1||77^^^H^MR\rPV1|1|I|ICU^1^A\r"), [format!("signs of 77 in ICU:1:A {at}")]);
        assert_eq!(of("PID|1||\"\"\rPV1|1|I|ICU^1^A\r"), [format!("signs of whoever lies in ICU:1:A {at}")], "the null value names nobody");
        assert!(of("PID|1||\r")[0].contains("nobody knows whose"));
        for flag in ["DEMO", "INV", "N~CAL"] {
            let marked = RATE.replace("MDC|||||F", &format!("MDC||{flag}|||F"));
            assert!(oru(&format!("PID|1||77\r{obr}{marked}"))[0].contains("no patient's value"), "{flag}");
        }
    }

    #[test]
    fn each_time_is_a_part_and_what_cannot_be_read_is_held() {
        let more = "OBX|2|NM|150456^MDC_PULS_OXIM_SAT_O2^MDC|1.3.1|97|262688^MDC_DIM_PERCENT^MDC|||||R|||20261121115905+0000\r\
                    OBX|3||69965^MDC_DEV_MON_PHYSIO_MULTI_PARAM_MDS^MDC|1.0.0.0|||||||X\r\
                    OBX|4|NM|999^X^MDC|1.1|5|262688^MDC_DIM_PERCENT^MDC|||||F\r\
                    OBX|5|NM|150456^MDC_PULS_OXIM_SAT_O2^MDC|1.3.1|97|1^X^MDC|||||F\r\
                    OBX|6|ST|150456^MDC_PULS_OXIM_SAT_O2^MDC|1.3.1|low|262688^MDC_DIM_PERCENT^MDC|||||F\r";
        let found = oru(&format!("PID|1||77\rOBR|1||||||20261121115900+0000\r{RATE}{more}"));
        assert!(found[0].contains("11:59:00") && found[1].contains("11:59:05") && found[1].contains("59408-5=97 %"), "{found:?}");
        assert_eq!(found[2..].iter().filter(|item| item.starts_with("held")).count(), 3, "{found:?}");
        assert!(oru(&format!("PID|1||77\r{RATE}"))[0].contains("no time"));
        assert_eq!(oru("PID|1||77\rOBR|1\r"), ["Noted"]);
    }

    #[test]
    fn json_of_a_bedside_device() {
        let good = br#"{"bed":"ICU:1:A","time":"2026-11-21T12:00:00Z","readings":[{"code":"8310-5","value":36.6,"unit":"Cel"},{"code":"8867-4","value":"72","unit":"/min"}],"fluids":[{"route":"urine","ml":120}]}"#;
        let found = taken(&of_json(good).items);
        assert_eq!(found, ["signs of whoever lies in ICU:1:A at 2026-11-21T12:00:00.000000Z: 8310-5=36.6 Cel, 8867-4=72 /min, Urine 120 mL"]);
        for bad in [
            &b"{"[..],
            br#"{"bed":"ICU:1:A","readings":[]}"#,
            br#"{"time":"2026-11-21T12:00:00Z"}"#,
            br#"{"patient":"7","time":"2026-11-21T12:00:00Z","readings":[{"code":"8867-4","value":"7,1","unit":"/min"}]}"#,
            br#"{"patient":"7","time":"2026-11-21T12:00:00Z","pulse":7}"#,
        ] {
            assert!(matches!(of_json(bad).items[..], [Routed::Hold(_)]), "{}", String::from_utf8_lossy(bad));
        }
    }
}
