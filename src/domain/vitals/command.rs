//! The rules of vital signs, fluids and alerts.

use std::collections::BTreeMap;

use rust_decimal::Decimal;
use serde::Serialize;

use super::{Alert, Amount, Catalogue, Event, Fluid, Limits, Reading, Sign, Vitals};
use crate::domain::Context;
use crate::kernel::{Date, Loinc, Principal, Timestamp};

/// Most readings and amounts of one measurement.
const READINGS_MAX: usize = 64;
/// Most of one amount, in mL.
const MILLILITRES_MAX: i64 = 20_000;

/// What may be asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Command {
    /// Signs were measured, or something went in or out.
    Take {
        /// Signs.
        readings: Vec<Reading>,
        /// Fluids.
        fluids: Vec<Amount>,
        /// When, by whoever measured; none for now.
        measured: Option<Timestamp>,
    },
    /// A value was another patient's, or wrong.
    WithdrawReading {
        /// Which sign.
        code: Loinc,
        /// When it was measured.
        measured: Timestamp,
        /// Why.
        reason: String,
    },
    /// An amount was another patient's, or wrong.
    WithdrawFluid {
        /// Which.
        number: u32,
        /// Why.
        reason: String,
    },
    /// The patient has limits of their own.
    SetLimits {
        /// For which sign.
        code: Loinc,
        /// Which.
        limits: Limits,
        /// Why.
        reason: String,
    },
    /// The house's limits hold again.
    LiftLimits {
        /// For which sign.
        code: Loinc,
    },
    /// Somebody looks after an alert.
    TakeAlert {
        /// Which.
        number: u32,
    },
    /// Nobody has taken an alert in time.
    Escalate {
        /// Which.
        number: u32,
        /// To which level.
        level: u8,
    },
}

/// What was measured, without whose it is; nothing for what is not a measurement.
impl std::fmt::Display for Command {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Command::Take { readings, fluids, measured } = self else { return Ok(()) };
        let readings = readings.iter().map(|reading| format!("{}={} {}", reading.code, reading.value, reading.unit.as_str()));
        let fluids = fluids.iter().map(|amount| format!("{:?} {} mL", amount.route, amount.millilitres));
        let at = measured.map(|at| format!(" at {at}")).unwrap_or_default();
        write!(f, "{at}: {}", readings.chain(fluids).collect::<Vec<_>>().join(", "))
    }
}

/// What the rules know besides the patient's signs.
#[derive(Debug, Clone, Copy)]
pub struct Facts<'a> {
    /// What the house has decided.
    pub catalogue: &'a Catalogue,
    /// When the patient was born.
    pub born: Option<Date>,
    /// The patient's own limits, under all numbers of the person.
    pub limits: &'a BTreeMap<Loinc, Limits>,
}

/// Why something may not be recorded.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error, Serialize)]
#[serde(tag = "rejection", rename_all = "snake_case")]
pub enum Rejection {
    /// Nothing was measured, or far too much.
    #[error("a measurement has 1 to {READINGS_MAX} readings and amounts")]
    Count,
    /// The house takes no such sign.
    #[error("{code} is no vital sign of this house: it takes {known}")]
    UnknownSign {
        /// Which.
        code: Loinc,
        /// Which there are.
        known: String,
    },
    /// It cannot be.
    #[error("{why}")]
    Impossible {
        /// What, and why not.
        why: String,
    },
    /// A reason is needed.
    #[error("reason is empty: say {what}")]
    NoReason {
        /// What it should say.
        what: &'static str,
    },
    /// There is no such value.
    #[error("no {code} of this patient was measured at {measured} or later: check code and time")]
    UnknownReading {
        /// Which sign.
        code: Loinc,
        /// When.
        measured: Timestamp,
    },
    /// There is no such amount.
    #[error("there is no amount {number} of the last two days: check the number")]
    UnknownFluid {
        /// Which.
        number: u32,
    },
    /// There is no such alert.
    #[error("there is no open alert {number} of this patient: it may have been taken already")]
    UnknownAlert {
        /// Which.
        number: u32,
    },
}

/// What happens when a command meets a patient's signs.
pub fn decide(vitals: &Vitals, facts: Facts<'_>, context: &Context, command: &Command) -> Result<Vec<Event>, Rejection> {
    let by = context.principal.to_string();
    match command {
        Command::Take { readings, fluids, measured } => take(vitals, facts, context, (readings, fluids, *measured)),
        Command::WithdrawReading { code, measured, reason } => {
            let reason = said(reason, "why the value does not count")?;
            if vitals.newest.get(code).is_none_or(|newest| measured > newest) {
                return Err(Rejection::UnknownReading { code: code.clone(), measured: *measured });
            }
            if vitals.is_withdrawn(code, *measured) {
                return Ok(vec![]);
            }
            // An alert that another value raised stands, whatever the withdrawn one said.
            let alert = vitals.alert_of(code).and_then(|(number, alert)| match alert.measured == *measured && !alert.is_back {
                true => Some(Event::AlertClosed { number }),
                false if alert.is_back => Some(Event::AlertChanged { number, value: alert.value, measured: alert.measured, is_back: false }),
                false => None,
            });
            Ok([Event::ReadingWithdrawn { code: code.clone(), measured: *measured, reason, by }].into_iter().chain(alert).collect())
        }
        Command::WithdrawFluid { number, reason } => match vitals.fluids.iter().any(|known| known.number == *number) {
            true => Ok(vec![Event::FluidWithdrawn { number: *number, reason: said(reason, "why the amount does not count")?, by }]),
            false => Err(Rejection::UnknownFluid { number: *number }),
        },
        Command::SetLimits { code, limits, reason } => {
            sign(facts.catalogue, code)?;
            if !limits.is_sound() {
                return Err(Rejection::Impossible { why: "limits need low below high, or one of them".to_owned() });
            }
            let reason = said(reason, "why this patient has other limits")?;
            match vitals.limits.get(code) == Some(limits) {
                true => Ok(vec![]),
                false => Ok(vec![Event::LimitsSet { code: code.clone(), limits: *limits, reason, by }]),
            }
        }
        Command::LiftLimits { code } => Ok(vitals.limits.get(code).map(|_| Event::LimitsLifted { code: code.clone(), by }).into_iter().collect()),
        Command::TakeAlert { number } => match vitals.alerts.get(number) {
            Some(Alert { taken: Some(_), .. }) => Ok(vec![]),
            Some(_) => Ok(vec![Event::AlertTaken { number: *number, by, at: context.now }]),
            None => Err(Rejection::UnknownAlert { number: *number }),
        },
        Command::Escalate { number, level } => {
            let is_due = vitals.alerts.get(number).is_some_and(|alert| alert.taken.is_none() && alert.level + 1 == *level);
            Ok(if is_due { vec![Event::AlertEscalated { number: *number, level: *level, at: context.now }] } else { vec![] })
        }
    }
}

fn said(reason: &str, what: &'static str) -> Result<String, Rejection> {
    match reason.trim() {
        "" => Err(Rejection::NoReason { what }),
        reason => Ok(reason.chars().take(256).collect()),
    }
}

fn sign<'a>(catalogue: &'a Catalogue, code: &Loinc) -> Result<&'a Sign, Rejection> {
    catalogue.sign(code).ok_or_else(|| Rejection::UnknownSign { code: code.clone(), known: catalogue.known() })
}

/// Whether a reading can be what it says.
fn believable(catalogue: &Catalogue, reading: &Reading) -> Result<(), Rejection> {
    let sign = sign(catalogue, &reading.code)?;
    let Reading { value, unit, .. } = reading;
    if *unit != sign.unit {
        return Err(Rejection::Impossible { why: format!("{} is measured in {}, not in {}: nothing is converted by guess", sign.name, sign.unit.as_str(), unit.as_str()) });
    }
    let [lowest, highest] = sign.possible;
    match (lowest..=highest).contains(value) {
        true => Ok(()),
        false => Err(Rejection::Impossible { why: format!("{} of {value} {} cannot be ({lowest} to {highest}): measure again", sign.name, unit.as_str()) }),
    }
}

fn possible(amount: &Amount) -> Result<(), Rejection> {
    match amount.millilitres >= Decimal::ZERO && amount.millilitres <= Decimal::from(MILLILITRES_MAX) {
        true => Ok(()),
        false => Err(Rejection::Impossible { why: format!("an amount is 0 to {MILLILITRES_MAX} mL, this one is {}", amount.millilitres) }),
    }
}

/// A person is told what cannot be, and types it again. What a device sent is kept, and what is sound of it counts: a sensor that has
/// fallen off must not hide the others.
fn take(vitals: &Vitals, facts: Facts<'_>, context: &Context, (readings, fluids, measured): (&[Reading], &[Amount], Option<Timestamp>)) -> Result<Vec<Event>, Rejection> {
    if !(1..=READINGS_MAX).contains(&(readings.len() + fluids.len())) {
        return Err(Rejection::Count);
    }
    // A clock that is ahead must not keep what comes later from counting.
    let measured = measured.unwrap_or(context.now).min(context.now);
    let source = context.principal.to_string();
    let is_device = matches!(context.principal, Principal::Device(_));
    let (mut sound, mut events) = (Vec::new(), Vec::new());
    for reading in readings {
        match believable(facts.catalogue, reading) {
            Ok(()) => sound.push(reading.clone()),
            Err(rejection) if is_device => {
                events.push(Event::ReadingDisregarded { reading: reading.clone(), measured, source: source.clone(), why: rejection.to_string() });
            }
            Err(rejection) => return Err(rejection),
        }
    }
    // A device that repeats a measurement has measured once, and what was withdrawn does not come back.
    let is_repeated = |reading: &Reading| {
        let known = vitals.latest.get(&reading.code);
        known.is_some_and(|latest| (latest.measured, latest.value) == (measured, reading.value) && latest.source == source)
    };
    // A device says again what it has said before; a person who writes a withdrawn value again means it.
    let is_withdrawn = |reading: &Reading| is_device && vitals.is_withdrawn(&reading.code, measured);
    sound.retain(|reading| !is_repeated(reading) && !is_withdrawn(reading));
    let mut amounts = Vec::new();
    for amount in fluids {
        match possible(amount) {
            Ok(()) => amounts.push(amount.clone()),
            Err(rejection) if is_device => {
                events.push(Event::AmountDisregarded { amount: amount.clone(), measured, source: source.clone(), why: rejection.to_string() });
            }
            Err(rejection) => return Err(rejection),
        }
    }
    let mut number = vitals.alert_count;
    let alerts: Vec<Event> =
        sound.iter().filter(|reading| vitals.is_newest(&reading.code, measured)).flat_map(|reading| judge(vitals, facts, context, (reading, measured), &mut number)).collect();
    if !sound.is_empty() {
        events.push(Event::VitalsTaken { readings: sound, measured, source: source.clone() });
    }
    events.extend(alerts);
    let numbered = amounts.into_iter().zip(vitals.fluid_count + 1..);
    events.extend(numbered.map(|(amount, number)| Event::FluidRecorded { fluid: Fluid { number, amount, measured, source: source.clone() } }));
    Ok(events)
}

/// The alerts that the newest values raise, for whoever is here again: of those measured since the stay began.
pub fn judge_again(vitals: &Vitals, facts: Facts<'_>, context: &Context, since: Timestamp) -> Vec<Event> {
    let mut number = vitals.alert_count;
    let newest = vitals.latest.iter().filter(|(_, latest)| latest.measured >= since);
    let readings = newest.map(|(code, latest)| (Reading { code: code.clone(), value: latest.value, unit: latest.unit.clone() }, latest.measured));
    readings.flat_map(|(reading, measured)| judge(vitals, facts, context, (&reading, measured), &mut number)).collect()
}

/// What a sign's newest value means for its alert.
fn judge(vitals: &Vitals, facts: Facts<'_>, context: &Context, (reading, measured): (&Reading, Timestamp), number: &mut u32) -> Vec<Event> {
    let sign = facts.catalogue.sign(&reading.code);
    let house = || sign.and_then(|sign| sign.limits_for(facts.born, context.now.date()));
    let limits = facts.limits.get(&reading.code).copied().or_else(house);
    let passed = limits.filter(|limits| limits.are_passed_by(reading.value));
    let value = reading.value;
    let mut raise = |limits: Limits| {
        *number += 1;
        Event::AlertRaised { number: *number, code: reading.code.clone(), value, unit: reading.unit.clone(), measured, limits, at: context.now }
    };
    let change = |number: u32, is_back: bool| Event::AlertChanged { number, value, measured, is_back };
    match (vitals.alert_of(&reading.code), passed) {
        (None, None) => vec![],
        (None, Some(limits)) => vec![raise(limits)],
        (Some((open, alert)), None) if !alert.is_back => vec![change(open, true)],
        (Some(_), None) => vec![],
        (Some((open, alert)), Some(limits)) => match &alert.taken {
            Some((_, at)) => {
                let is_long_ago = context.now.seconds_since(*at) >= i64::from(facts.catalogue.remind_seconds);
                // Whoever has taken an alert is told again when it is much worse, or when it has not become better for long.
                let is_worse = limits.are_passed_further_by(value, alert.value, sign.map_or(Decimal::ZERO, |sign| sign.step));
                if is_long_ago || is_worse { vec![Event::AlertClosed { number: open }, raise(limits)] } else { vec![] }
            }
            // Whoever comes must see how bad it is, not how it began.
            None if alert.is_back || limits.are_passed_further_by(value, alert.value, Decimal::ZERO) => vec![change(open, false)],
            None => vec![],
        },
    }
}
