//! From a device's words to the hospital's: (profile, device, message) → commands, or a reason to hold it.
//!
//! Flow: codec message → one reader a codec ([`lis2`], [`hl7`], [`scan`], [`json`]) → [`Routed`] items.
//! **Invariant**: pure; whatever is not understood becomes a [`Routed::Hold`], never nothing.
//! **Invariant**: a result is bound by accession and test code; patient names are not even read.

mod adt;
pub mod hl7;
pub mod json;
pub mod lis2;
pub mod relay;
pub mod scan;
mod value;
pub mod vitals;

use std::sync::Arc;

use crate::domain::cabinet::Reported;
use crate::domain::census::Command;
use crate::domain::device::Movement;
use crate::domain::quarantine::Reason;
use crate::domain::specimen::ResultLine;
use crate::kernel::{Accession, CabinetId, Date, Gtin, Loinc, Mrn, Timestamp};
use rust_decimal::Decimal;

/// What a message asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Routed {
    /// Results of one specimen.
    Results {
        /// Which specimen.
        accession: Accession,
        /// Whose it is by the message's own words, where it names a medical record number; a contradiction is held.
        patient: Option<Mrn>,
        /// The results.
        results: Arc<[ResultLine]>,
    },
    /// Results that name no specimen that could be one: held until a person binds them.
    Unbound {
        /// The results.
        results: Arc<[ResultLine]>,
        /// Why they are held.
        reason: Reason,
    },
    /// Results of a control.
    Control {
        /// The control material.
        control: String,
        /// The results.
        results: Vec<ResultLine>,
    },
    /// The device asks what to measure on these specimens.
    Query {
        /// The specimens as the device names them.
        samples: Vec<String>,
    },
    /// A tube was scanned at the bedside.
    Collect {
        /// Which.
        accession: Accession,
    },
    /// A tube was scanned in the laboratory.
    Receive {
        /// Which.
        accession: Accession,
    },
    /// A package was scanned to be put into a cabinet.
    Load {
        /// Which cabinet.
        cabinet: CabinetId,
        /// The trade item.
        gtin: Gtin,
        /// The lot.
        lot: String,
        /// The last day of use.
        expires: Date,
        /// How many.
        quantity: Decimal,
        /// What makes this very package itself: trade item and serial number, where its code has one.
        package: Option<String>,
    },
    /// A cabinet of another system reports a transaction.
    Report {
        /// Which cabinet.
        cabinet: CabinetId,
        /// What happened.
        reported: Box<Reported>,
    },
    /// About people, stays and beds.
    Census(Command),
    /// A tag was seen.
    Tag {
        /// The tag's URI.
        tag: String,
        /// Which antenna.
        antenna: u16,
        /// When, by the reader's clock.
        seen: Option<Timestamp>,
    },
    /// A drawer moved.
    Drawer {
        /// Which.
        drawer: String,
        /// How.
        movement: Movement,
        /// By which command.
        command: String,
    },
    /// Nothing is asked; the message is kept and that is all.
    Noted,
    /// A person must look.
    Hold(Reason),
}

/// A message as routing understood it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Understood {
    /// What it asks for, in order; never empty.
    pub items: Vec<Routed>,
    /// The device's own number for it; empty when it has none.
    pub control_id: String,
    /// When the device says that it was sent.
    pub device_time: Option<Timestamp>,
}

impl Understood {
    /// One part of the message alone: what else it asked for was done when it came.
    pub fn only(mut self, part: usize) -> Self {
        self.items = self.items.into_iter().skip(part).take(1).collect();
        self
    }

    /// The same with only the results of one test.
    pub fn only_test(mut self, test: &Loinc) -> Self {
        for item in &mut self.items {
            if let Routed::Results { results, .. } | Routed::Unbound { results, .. } = item {
                *results = results.iter().filter(|result| result.test == *test).cloned().collect();
            }
        }
        self
    }

    /// How many parts hold results.
    pub fn parts_with_results(&self) -> usize {
        self.items.iter().filter(|item| matches!(item, Routed::Results { .. } | Routed::Unbound { .. })).count()
    }

    /// Everything that was measured waits for a person; what else the message says is done.
    pub fn hold_results(&mut self, why: &Reason) {
        for item in &mut self.items {
            if matches!(item, Routed::Results { .. } | Routed::Control { .. }) {
                *item = Routed::Hold(why.clone());
            }
        }
    }

    /// The same message with its results bound to a specimen by a person, who overrules what the message says of the patient.
    pub fn bound_to(mut self, accession: &Accession) -> Self {
        for item in &mut self.items {
            if let Routed::Results { results, .. } | Routed::Unbound { results, .. } = item {
                *item = Routed::Results { accession: accession.clone(), patient: None, results: results.clone() };
            }
        }
        self
    }

    /// A message that a person must look at.
    pub fn held(reason: Reason) -> Self {
        Self { items: vec![Routed::Hold(reason)], control_id: String::new(), device_time: None }
    }
}

/// What a scanner is for, by where it stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Purpose {
    /// At the bedside: scans tubes that are being collected.
    Collect,
    /// In the laboratory: scans tubes that come in.
    Receive,
    /// At a cabinet: scans packages that are put in.
    Load(CabinetId),
}
