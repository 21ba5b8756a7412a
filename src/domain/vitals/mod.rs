//! A patient's vital signs, fluids and the alerts that they raise.
//!
//! **Invariant**: an older measurement never takes the place of a newer one, raises no alert and ends none.
//! **Invariant**: an alert stays until somebody has taken it, also when the value is within its limits again.

mod catalogue;
mod command;
mod fluid;
pub mod growth;

use std::collections::BTreeMap;

use rust_decimal::Decimal;
use serde::{Deserialize, Serialize};

pub use catalogue::{AgeLimits, Catalogue, Limits, Sign};
pub use command::{Command, Facts, Rejection, decide, judge_again};
pub use fluid::{Amount, Balance, Fluid, Route};

use super::{Folded, of_patient};
use crate::kernel::{Loinc, Sealing, StreamKind, Timestamp, Unit};

/// Fluids are kept in memory for so long before the newest; older ones stand in the log.
const FLUIDS_SECONDS: i64 = 48 * 3_600;
/// Withdrawn values that are remembered.
const WITHDRAWN: usize = 100;

/// One value of one sign.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Reading {
    /// Which sign.
    pub code: Loinc,
    /// The value.
    pub value: Decimal,
    /// Its unit (UCUM).
    pub unit: Unit,
}

/// The newest value of a sign.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Latest {
    /// The value.
    pub value: Decimal,
    /// Its unit.
    pub unit: Unit,
    /// When it was measured.
    pub measured: Timestamp,
    /// Who or what measured it.
    pub source: String,
}

/// A value beyond its limits.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Alert {
    /// Which sign.
    pub code: Loinc,
    /// The value that raised it, or that somebody has looked at.
    pub value: Decimal,
    /// Its unit.
    pub unit: Unit,
    /// When that value was measured.
    pub measured: Timestamp,
    /// The limits that it passed.
    pub limits: Limits,
    /// When it was raised.
    pub raised: Timestamp,
    /// How often it went to the next level.
    pub level: u8,
    /// Who has taken it, and when.
    pub taken: Option<(String, Timestamp)>,
    /// Whether the value is within its limits again.
    pub is_back: bool,
}

/// What is known of a patient's signs.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Vitals {
    /// The newest value of each sign.
    pub latest: BTreeMap<Loinc, Latest>,
    /// When each sign was measured last, also when that value was withdrawn: nothing older is new.
    pub newest: BTreeMap<Loinc, Timestamp>,
    /// Values that were withdrawn, the latest last: a device that sends them again is not believed.
    pub withdrawn: Vec<(Loinc, Timestamp)>,
    /// What a device sent last of a sign and cannot be used, and why, until something that can.
    pub unusable: BTreeMap<Loinc, String>,
    /// Limits of this patient's own.
    pub limits: BTreeMap<Loinc, Limits>,
    /// Alerts that are open, by their numbers.
    pub alerts: BTreeMap<u32, Alert>,
    /// How many alerts there were.
    pub alert_count: u32,
    /// Fluids of two days.
    pub fluids: Vec<Fluid>,
    /// How many there were.
    pub fluid_count: u32,
}

/// What may have happened.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "event")]
pub enum Event {
    /// Everything measured was erased.
    Erased {
        /// When somebody decided it; without it this is an event whose key was destroyed.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        at: Option<Timestamp>,
    },
    /// Signs were measured.
    VitalsTaken {
        /// Which, and how much.
        readings: Vec<Reading>,
        /// When.
        measured: Timestamp,
        /// Who or what measured them.
        source: String,
    },
    /// A device sent what cannot be: it is kept, and nothing follows from it.
    ReadingDisregarded {
        /// What.
        reading: Reading,
        /// When.
        measured: Timestamp,
        /// Which device.
        source: String,
        /// Why.
        why: String,
    },
    /// A device sent an amount that cannot be.
    AmountDisregarded {
        /// What.
        amount: Amount,
        /// When.
        measured: Timestamp,
        /// Which device.
        source: String,
        /// Why.
        why: String,
    },
    /// A value was another patient's, or wrong.
    ReadingWithdrawn {
        /// Which sign.
        code: Loinc,
        /// When it was measured.
        measured: Timestamp,
        /// Why.
        reason: String,
        /// Who says so.
        by: String,
    },
    /// Something went in or out.
    FluidRecorded {
        /// What.
        #[serde(flatten)]
        fluid: Fluid,
    },
    /// It did not.
    FluidWithdrawn {
        /// Which.
        number: u32,
        /// Why.
        reason: String,
        /// Who says so.
        by: String,
    },
    /// The patient has limits of their own.
    LimitsSet {
        /// For which sign.
        code: Loinc,
        /// Which.
        limits: Limits,
        /// Why.
        reason: String,
        /// Who says so.
        by: String,
    },
    /// The house's limits hold again.
    LimitsLifted {
        /// For which sign.
        code: Loinc,
        /// Who says so.
        by: String,
    },
    /// A value is beyond its limits.
    AlertRaised {
        /// Its number.
        number: u32,
        /// Which sign.
        code: Loinc,
        /// The value.
        value: Decimal,
        /// Its unit.
        unit: Unit,
        /// When that was measured.
        measured: Timestamp,
        /// The limits.
        limits: Limits,
        /// When.
        at: Timestamp,
    },
    /// The value is within its limits again, or not any more, or further out.
    AlertChanged {
        /// Which.
        number: u32,
        /// The value.
        value: Decimal,
        /// When it was measured.
        measured: Timestamp,
        /// Whether it is within.
        is_back: bool,
    },
    /// Somebody looks after it.
    AlertTaken {
        /// Which.
        number: u32,
        /// Who.
        by: String,
        /// When.
        at: Timestamp,
    },
    /// Nobody has taken it in time.
    AlertEscalated {
        /// Which.
        number: u32,
        /// To which level.
        level: u8,
        /// When.
        at: Timestamp,
    },
    /// Another alert takes its place, or its value was withdrawn.
    AlertClosed {
        /// Which.
        number: u32,
    },
}

impl Vitals {
    /// Whether a measurement of a sign at an instant is no older than the newest that is known.
    fn is_newest(&self, code: &Loinc, measured: Timestamp) -> bool {
        self.newest.get(code).is_none_or(|newest| measured >= *newest)
    }

    fn is_withdrawn(&self, code: &Loinc, measured: Timestamp) -> bool {
        self.withdrawn.iter().any(|(known, at)| known == code && *at == measured)
    }

    /// The open alert of a sign.
    fn alert_of(&self, code: &Loinc) -> Option<(u32, &Alert)> {
        self.alerts.iter().find(|(_, alert)| alert.code == *code).map(|(number, alert)| (*number, alert))
    }
}

impl Folded for Vitals {
    const KIND: StreamKind = StreamKind::Vitals;
    const SNAPSHOT: u16 = 1;
    type Event = Event;

    fn apply(&mut self, event: &Event) {
        match event {
            Event::Erased { .. } => *self = Vitals::default(),
            Event::VitalsTaken { readings, measured, source } => {
                for reading in readings {
                    if !self.is_newest(&reading.code, *measured) {
                        continue;
                    }
                    let latest = Latest { value: reading.value, unit: reading.unit.clone(), measured: *measured, source: source.clone() };
                    self.newest.insert(reading.code.clone(), *measured);
                    self.unusable.remove(&reading.code);
                    self.latest.insert(reading.code.clone(), latest);
                }
            }
            Event::ReadingDisregarded { reading, why, .. } => drop(self.unusable.insert(reading.code.clone(), why.clone())),
            Event::AmountDisregarded { .. } => {}
            Event::ReadingWithdrawn { code, measured, .. } => {
                if self.latest.get(code).is_some_and(|latest| latest.measured == *measured) {
                    self.latest.remove(code);
                }
                if self.withdrawn.len() >= WITHDRAWN {
                    self.withdrawn.remove(0);
                }
                self.withdrawn.push((code.clone(), *measured));
            }
            Event::FluidRecorded { fluid } => {
                self.fluid_count = fluid.number;
                self.fluids.push(fluid.clone());
                let newest = self.fluids.iter().map(|known| known.measured).max().unwrap_or(fluid.measured);
                self.fluids.retain(|known| newest.seconds_since(known.measured) < FLUIDS_SECONDS);
            }
            Event::FluidWithdrawn { number, .. } => self.fluids.retain(|known| known.number != *number),
            Event::LimitsSet { code, limits, .. } => drop(self.limits.insert(code.clone(), *limits)),
            Event::LimitsLifted { code, .. } => drop(self.limits.remove(code)),
            Event::AlertRaised { number, code, value, unit, measured, limits, at } => {
                self.alert_count = *number;
                let alert =
                    Alert { code: code.clone(), value: *value, unit: unit.clone(), measured: *measured, limits: *limits, raised: *at, level: 0, taken: None, is_back: false };
                self.alerts.insert(*number, alert);
            }
            Event::AlertChanged { number, value, measured, is_back } => {
                if let Some(alert) = self.alerts.get_mut(number) {
                    (alert.value, alert.measured, alert.is_back) = (*value, *measured, *is_back);
                    if *is_back && alert.taken.is_some() {
                        self.alerts.remove(number);
                    }
                }
            }
            Event::AlertTaken { number, by, at } => {
                if let Some(alert) = self.alerts.get_mut(number) {
                    alert.taken = Some((by.clone(), *at));
                    if alert.is_back {
                        self.alerts.remove(number);
                    }
                }
            }
            Event::AlertEscalated { number, level, .. } => {
                if let Some(alert) = self.alerts.get_mut(number) {
                    alert.level = *level;
                }
            }
            Event::AlertClosed { number } => drop(self.alerts.remove(number)),
        }
    }

    fn name(event: &Event) -> (&'static str, u16) {
        match event {
            Event::Erased { .. } => ("Erased", 1),
            Event::VitalsTaken { .. } => ("VitalsTaken", 1),
            Event::ReadingDisregarded { .. } => ("ReadingDisregarded", 1),
            Event::AmountDisregarded { .. } => ("AmountDisregarded", 1),
            Event::ReadingWithdrawn { .. } => ("ReadingWithdrawn", 1),
            Event::FluidRecorded { .. } => ("FluidRecorded", 1),
            Event::FluidWithdrawn { .. } => ("FluidWithdrawn", 1),
            Event::LimitsSet { .. } => ("LimitsSet", 1),
            Event::LimitsLifted { .. } => ("LimitsLifted", 1),
            Event::AlertRaised { .. } => ("AlertRaised", 1),
            Event::AlertChanged { .. } => ("AlertChanged", 1),
            Event::AlertTaken { .. } => ("AlertTaken", 1),
            Event::AlertEscalated { .. } => ("AlertEscalated", 1),
            Event::AlertClosed { .. } => ("AlertClosed", 1),
        }
    }

    fn sealing(&self, key: &str, event: &Event) -> Sealing {
        of_patient(key, matches!(event, Event::Erased { .. }))
    }
}

#[cfg(test)]
mod tests;
