//! What is charged: the first result of a test, and what leaves a cabinet for a patient less what comes back.

use rust_decimal::Decimal;

use crate::domain::{cabinet, specimen};
use crate::kernel::{Mrn, StreamKind};

/// A service that was rendered to a patient.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Service {
    /// To whom.
    pub patient: Mrn,
    /// The code in the price list: `LAB-<LOINC>` or `DRUG-<item>`.
    pub code: String,
    /// How many; negative for what was brought back.
    pub quantity: Decimal,
}

impl Service {
    fn test(patient: Mrn, test: &crate::kernel::Loinc) -> Self {
        Self { patient, code: format!("LAB-{test}"), quantity: Decimal::ONE }
    }

    fn drug(patient: Mrn, item: &str, quantity: Decimal) -> Self {
        Self { patient, code: format!("DRUG-{item}"), quantity }
    }
}

/// What an event is charged as, none when it is not. An event that may be billable and cannot be read is an error:
/// it must not go uncharged in silence.
pub fn billable(stream: StreamKind, name: &str, payload: &str) -> Result<Option<Service>, serde_json::Error> {
    match (stream, name) {
        (StreamKind::Specimen, "ResultFiled") => serde_json::from_str(payload).map(of_specimen),
        (StreamKind::Cabinet, "Vended" | "Returned" | "VendCancelled" | "TransactionReported") => serde_json::from_str(payload).map(of_cabinet),
        _ => Ok(None),
    }
}

fn of_specimen(event: specimen::Event) -> Option<Service> {
    match event {
        specimen::Event::ResultFiled { patient, result, is_first: true, .. } => Some(Service::test(patient, &result.test)),
        _ => None,
    }
}

fn of_cabinet(event: cabinet::Event) -> Option<Service> {
    let sum = |lots: &[cabinet::LotAmount]| lots.iter().map(|lot| lot.quantity).sum::<Decimal>();
    match event {
        cabinet::Event::Vended { patient, item, lots, .. } => Some(Service::drug(patient, item.as_str(), sum(&lots))),
        cabinet::Event::Returned { patient, item, lots, .. } | cabinet::Event::VendCancelled { patient, item, lots, .. } => {
            Some(Service::drug(patient, item.as_str(), -sum(&lots)))
        }
        cabinet::Event::TransactionReported { kind, item, quantity, patient: Some(patient), .. } => match kind {
            cabinet::ReportedKind::Vend => Some(Service::drug(patient, item.as_str(), quantity)),
            cabinet::ReportedKind::Return => Some(Service::drug(patient, item.as_str(), -quantity)),
            _ => None,
        },
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LOTS: &str = r#""lots":[{"lot":"L1","expires":"2027-01-31","quantity":"2"},{"lot":"L2","expires":"2027-02-28","quantity":"1"}]"#;

    fn moved(event: &str) -> String {
        format!(r#"{{"event":"{event}","withdrawal":1,"pocket":"D1-P1","item":"PARA500","patient":"MRN-1",{LOTS},"at":"2026-11-21T12:00:00Z"}}"#)
    }

    fn reported(kind: &str, patient: &str) -> String {
        format!(
            r#"{{"event":"TransactionReported","identity":"7","kind":"{kind}","pocket":"D1-P1","item":"PARA500","quantity":"2","lots":[],{patient}"at":"2026-11-21T12:00:00Z"}}"#
        )
    }

    fn filed(is_first: bool) -> String {
        let result = r#"{"test":"718-7","vendor_code":"HGB","value":{"number":"13.2"},"unit":"g/dL"}"#;
        format!(r#"{{"event":"ResultFiled","patient":"MRN-1","device":"xn-1","result":{result},"is_first":{is_first}}}"#)
    }

    #[test]
    fn what_is_charged_and_what_is_not() {
        let patient = r#""patient":"MRN-1","#;
        let cases = [
            (StreamKind::Cabinet, "Vended", moved("Vended"), Some(("DRUG-PARA500", "3"))),
            (StreamKind::Cabinet, "Returned", moved("Returned"), Some(("DRUG-PARA500", "-3"))),
            (StreamKind::Cabinet, "VendCancelled", moved("VendCancelled"), Some(("DRUG-PARA500", "-3"))),
            (StreamKind::Cabinet, "TransactionReported", reported("vend", patient), Some(("DRUG-PARA500", "2"))),
            (StreamKind::Cabinet, "TransactionReported", reported("return", patient), Some(("DRUG-PARA500", "-2"))),
            (StreamKind::Cabinet, "TransactionReported", reported("vend", ""), None),
            (StreamKind::Cabinet, "TransactionReported", reported("load", patient), None),
            (StreamKind::Cabinet, "Counted", "{}".to_owned(), None),
            (StreamKind::Specimen, "ResultFiled", filed(true), Some(("LAB-718-7", "1"))),
            (StreamKind::Specimen, "ResultFiled", filed(false), None),
            (StreamKind::Bed, "Vended", moved("Vended"), None),
        ];
        for (stream, name, payload, expected) in cases {
            let service = billable(stream, name, &payload).unwrap_or_else(|error| panic!("{name}: {error}: {payload}"));
            let found = service.map(|service| (service.code, service.quantity.to_string()));
            assert_eq!(found, expected.map(|(code, quantity)| (code.to_owned(), quantity.to_owned())), "{payload}");
        }
    }

    #[test]
    fn a_billable_event_that_cannot_be_read_is_an_error() {
        assert!(billable(StreamKind::Cabinet, "Vended", r#"{"event":"Vended"}"#).is_err());
        assert!(billable(StreamKind::Specimen, "ResultFiled", "{").is_err());
    }
}
