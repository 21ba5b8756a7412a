//! A raw message handled again, through the device's profile as it is today: for the quarantine.

use std::sync::Arc;

use crate::codec::{hl7, lis2};
use crate::domain::quarantine::{Part, Reason};
use crate::kernel::{Accession, RawBytes};
use crate::profile::Codec;
use crate::routing::{self, Understood};

use super::Device;
use super::intake::{Arrived, identity, store};

fn understand(device: &Device, raw: &[u8]) -> Understood {
    let not_parsed = |error: &dyn std::fmt::Display| Understood::held(Reason::NotParsed { detail: error.to_string() });
    match &device.profile.codec {
        Codec::Lis2(settings) => match lis2::Message::parse(raw) {
            Ok(message) => routing::lis2::understand(&device.profile, settings, &message),
            Err(error) => not_parsed(&error),
        },
        Codec::Hl7(settings) => match hl7::Message::parse(raw) {
            Ok(message) => routing::hl7::understand(&device.profile, settings, &message).understood,
            Err(error) => not_parsed(&error),
        },
        Codec::Scan => routing::scan::understand(&device.purpose, raw, device.clock.now()),
        Codec::RfidJson => routing::json::tag(raw),
        Codec::DrawerJson => routing::json::drawer(raw),
        Codec::VitalsJson => routing::vitals::of_json(raw),
        Codec::RelayWords => routing::relay::understand(raw),
    }
}

/// What of a message is handled again.
#[derive(Debug, Clone, Copy)]
pub struct Selection<'a> {
    /// Why the item waits.
    pub reason: &'a Reason,
    /// Which part of the message it is.
    pub part: Option<Part>,
    /// The specimen that a person binds it to.
    pub bind: Option<&'a Accession>,
}

/// The part of a message that an item stands for, and nothing else: the rest was done when it came, and must not be done again.
fn select(understood: Understood, selection: &Selection<'_>) -> Result<Understood, String> {
    let selected = match selection.part {
        None => understood,
        Some(part) if part.of != understood.items.len() => {
            return Err("the device's profile reads this message in other parts than when it came: discard the item, and enter by hand what it stands for".to_owned());
        }
        Some(part) => understood.only(part.index),
    };
    let selected = match selection.reason {
        Reason::TestNotOrdered { test } => selected.only_test(test),
        _ => selected,
    };
    match (selection.bind, selected.parts_with_results()) {
        (None, _) => Ok(selected),
        (Some(accession), 1) => Ok(selected.bound_to(accession)),
        (Some(_), 0) => Err("there are no results in this item that could be bound: retry or discard it".to_owned()),
        (Some(_), _) => Err("the message holds results of several specimens: discard the item, and enter by hand what it stands for".to_owned()),
    }
}

/// Handles a raw message again; gives the reasons why something of it still waits.
pub async fn replay(device: &Arc<Device>, raw: RawBytes, selection: Selection<'_>) -> Result<Vec<Reason>, String> {
    let received = device.clock.now();
    let understood = select(understand(device, &raw.0), &selection)?;
    // A message of its own, so that it is not taken for the one that was held.
    let message = identity(device.id.as_str(), &[raw.0.as_ref(), &received.micros().to_le_bytes()].concat());
    let arrived = Arrived { message, raw: raw.0, understood, received, peer: "quarantine".to_owned(), is_replay: true };
    store(device, arrived).await.map(|kept| kept.holds.to_vec()).map_err(|failure| failure.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::specimen::{ResultLine, ResultValue};
    use crate::kernel::Loinc;
    use crate::routing::Routed;

    fn line(test: &str) -> ResultLine {
        let value = ResultValue::Number("1".parse().unwrap());
        let (vendor_unit, flags, status) = (String::new(), String::new(), String::new());
        ResultLine { test: test.parse().unwrap(), vendor_code: "X".into(), value, unit: None, vendor_unit, flags, status, measured: None }
    }

    fn results(accession: &str, tests: &[&str]) -> Routed {
        Routed::Results { accession: accession.parse().unwrap(), patient: Some("1".parse().unwrap()), results: tests.iter().map(|test| line(test)).collect() }
    }

    fn of(items: Vec<Routed>) -> Understood {
        Understood { items, control_id: String::new(), device_time: None }
    }

    fn tests_of(understood: &Understood) -> Vec<(String, Vec<String>)> {
        let part = |item: &Routed| match item {
            Routed::Results { accession, results, .. } => (accession.to_string(), results.iter().map(|line| line.test.to_string()).collect()),
            other => (format!("{other:?}"), vec![]),
        };
        understood.items.iter().map(part).collect()
    }

    #[test]
    fn only_the_part_that_waits_is_handled_again() {
        let message = || of(vec![results("A1", &["718-7"]), results("A2", &["718-7", "789-8"]), Routed::Hold(Reason::NoValue { detail: "x".into() })]);
        let unknown = Reason::Refused { rule: "unknown_accession".into(), detail: "x".into() };
        let target: Accession = "A9".parse().unwrap();
        let part = |index| Some(Part { index, of: 3 });
        let retry = select(message(), &Selection { reason: &unknown, part: part(1), bind: None }).unwrap();
        assert_eq!(tests_of(&retry), [("A2".to_owned(), vec!["718-7".to_owned(), "789-8".to_owned()])]);
        let bound = select(message(), &Selection { reason: &unknown, part: part(1), bind: Some(&target) }).unwrap();
        assert_eq!(tests_of(&bound), [("A9".to_owned(), vec!["718-7".to_owned(), "789-8".to_owned()])]);
        let test: Loinc = "789-8".parse().unwrap();
        let not_ordered = Reason::TestNotOrdered { test };
        let bound = select(message(), &Selection { reason: &not_ordered, part: part(1), bind: Some(&target) }).unwrap();
        assert_eq!(tests_of(&bound), [("A9".to_owned(), vec!["789-8".to_owned()])]);
        for (part, bind) in [(part(2), Some(&target)), (Some(Part { index: 0, of: 2 }), None), (None, Some(&target))] {
            assert!(select(message(), &Selection { reason: &unknown, part, bind }).is_err(), "{part:?}");
        }
        let single = select(of(vec![results("A1", &["718-7"])]), &Selection { reason: &unknown, part: None, bind: Some(&target) }).unwrap();
        assert_eq!(tests_of(&single), [("A9".to_owned(), vec!["718-7".to_owned()])]);
    }
}
