//! Signs, limits, alerts, fluids: each rule and each rejection.

use super::*;
use crate::domain::check::{context, given, now};
use crate::domain::{Context, Refusal};
use crate::kernel::{Date, Principal};

const FILE: &str = r#"
escalate_seconds = [300, 600]
remind_seconds = 1800
[[signs]]
code = "59408-5"
name = "SpO2"
unit = "%"
possible = [0, 100]
step = 9
limits = [{ from_years = 16, low = 92 }]
[[signs]]
code = "8867-4"
name = "Heart rate"
unit = "/min"
possible = [0, 350]
step = 20
limits = [{ from_years = 16, low = 41, high = 130 }, { from_years = 1, until_years = 16, low = 60, high = 160 }]
"#;

fn catalogue() -> Catalogue {
    let catalogue: Catalogue = toml::from_str(FILE).unwrap();
    catalogue.check().unwrap();
    catalogue
}

fn monitor(seconds: i64) -> Context {
    Context { principal: Principal::Device("MON1".parse().unwrap()), now: now().plus_seconds(seconds), ..context(None) }
}

fn reading(code: &str, value: &str, unit: &str) -> Reading {
    Reading { code: code.parse().unwrap(), value: value.parse().unwrap(), unit: unit.parse().unwrap() }
}

fn spo2(value: &str) -> Command {
    Command::Take { readings: vec![reading("59408-5", value, "%")], fluids: vec![], measured: None }
}

/// Signs as they come in, one after the other.
#[derive(Default)]
struct Patient {
    vitals: Vitals,
    born: Option<Date>,
}

impl Patient {
    fn ask(&self, context: &Context, command: &Command) -> Result<Vec<Event>, String> {
        let catalogue = catalogue();
        decide(&self.vitals, Facts { catalogue: &catalogue, born: self.born, limits: &self.vitals.limits }, context, command).map_err(|rejection| Refusal::of(&rejection).rule)
    }

    /// The names of what happens.
    fn after(&mut self, context: &Context, command: &Command) -> Vec<&'static str> {
        let events = self.ask(context, command).unwrap();
        events.iter().for_each(|event| self.vitals.apply(event));
        events.iter().map(|event| Vitals::name(event).0).collect()
    }
}

#[test]
fn an_alert_stays_until_somebody_has_taken_it_and_the_value_is_back() {
    let mut patient = Patient::default();
    let nurse = |seconds| Context { now: now().plus_seconds(seconds), ..context(None) };
    assert_eq!(patient.after(&monitor(0), &spo2("92")), ["VitalsTaken"], "on the limit is within");
    assert_eq!(patient.after(&monitor(10), &spo2("91")), ["VitalsTaken", "AlertRaised"]);
    assert_eq!(patient.after(&monitor(15), &spo2("91")), ["VitalsTaken"], "raised already");
    assert_eq!(patient.after(&monitor(20), &spo2("58")), ["VitalsTaken", "AlertChanged"], "whoever comes sees how bad it is");
    assert_eq!(patient.vitals.alerts[&1].value, 58.into());
    assert_eq!(patient.after(&monitor(25), &spo2("90")), ["VitalsTaken"]);
    assert_eq!(patient.after(&monitor(30), &spo2("95")), ["VitalsTaken", "AlertChanged"]);
    assert_eq!(patient.vitals.alerts.len(), 1, "nobody has looked");
    assert_eq!(patient.after(&monitor(40), &spo2("89")), ["VitalsTaken", "AlertChanged"]);
    assert_eq!(patient.after(&nurse(50), &Command::TakeAlert { number: 1 }), ["AlertTaken"]);
    assert_eq!(patient.after(&nurse(51), &Command::TakeAlert { number: 1 }), [] as [&str; 0]);
    assert_eq!(patient.after(&monitor(60), &spo2("88")), ["VitalsTaken"], "somebody looks after it");
    assert_eq!(patient.after(&monitor(70), &spo2("79")), ["VitalsTaken", "AlertClosed", "AlertRaised"], "much worse than what was taken");
    assert_eq!(patient.after(&nurse(80), &Command::TakeAlert { number: 2 }), ["AlertTaken"]);
    assert_eq!(patient.after(&monitor(1_879), &spo2("80")), ["VitalsTaken"]);
    assert_eq!(patient.after(&monitor(1_880), &spo2("80")), ["VitalsTaken", "AlertClosed", "AlertRaised"], "half an hour without becoming better");
    assert_eq!(patient.after(&nurse(1_890), &Command::TakeAlert { number: 3 }), ["AlertTaken"]);
    assert_eq!(patient.after(&monitor(1_900), &spo2("96")), ["VitalsTaken", "AlertChanged"]);
    assert!(patient.vitals.alerts.is_empty());
    assert_eq!(patient.ask(&nurse(1_910), &Command::TakeAlert { number: 3 }).unwrap_err(), "unknown_alert");
}

#[test]
fn what_nobody_takes_goes_to_the_next_level_once() {
    let mut patient = Patient::default();
    patient.after(&monitor(0), &spo2("80"));
    let raised = patient.vitals.alerts[&1].raised;
    let at = |level| catalogue().escalates_at(raised, level).map(|at| at.seconds_since(raised));
    assert_eq!([at(0), at(1), at(2)], [Some(300), Some(900), None]);
    let escalate = |level| Command::Escalate { number: 1, level };
    assert_eq!(patient.after(&monitor(300), &escalate(1)), ["AlertEscalated"]);
    for (level, what) in [(1, "once"), (3, "in their order")] {
        assert_eq!(patient.after(&monitor(301), &escalate(level)), [] as [&str; 0], "{what}");
    }
    patient.after(&context(None), &Command::TakeAlert { number: 1 });
    assert_eq!(patient.after(&monitor(900), &escalate(2)), [] as [&str; 0], "somebody looks after it");
}

#[test]
fn older_measurements_are_kept_and_change_nothing() {
    let mut patient = Patient::default();
    patient.after(&monitor(100), &spo2("97"));
    let late = |value: &str, seconds| Command::Take { readings: vec![reading("59408-5", value, "%")], fluids: vec![], measured: Some(now().plus_seconds(seconds)) };
    assert_eq!(patient.after(&monitor(110), &late("70", 50)), ["VitalsTaken"], "no alert for what is over");
    assert_eq!(patient.vitals.latest.values().next().unwrap().value, 97.into());
    assert_eq!(patient.after(&monitor(120), &late("96", 9_999)), ["VitalsTaken"]);
    assert_eq!(patient.vitals.latest.values().next().unwrap().measured, now().plus_seconds(120), "a clock that is ahead is not believed");
    assert_eq!(patient.after(&monitor(121), &late("96", 120)), [] as [&str; 0], "the same measurement again");
}

#[test]
fn limits_by_age_and_of_the_patient_s_own() {
    let rate = |value: &str| Command::Take { readings: vec![reading("8867-4", value, "/min")], fluids: vec![], measured: None };
    let born = |date: &str| Patient { born: Some(date.parse().unwrap()), ..Patient::default() };
    // It is 2026-11-21.
    for (date, value, is_alert) in [
        ("2010-11-21", "150", true),
        ("2010-11-22", "150", false),
        ("2010-11-22", "161", true),
        ("2025-11-21", "59", true),
        ("2025-11-22", "59", false),
        ("1950-01-01", "40", true),
    ] {
        assert_eq!(born(date).after(&monitor(0), &rate(value)).len() == 2, is_alert, "{date} {value}");
    }
    let mut patient = Patient::default();
    assert_eq!(patient.after(&monitor(0), &rate("131")).len(), 2, "nobody knows the age");
    let set = |low: Option<i64>, high: Option<i64>, reason: &str| Command::SetLimits {
        code: "8867-4".parse().unwrap(),
        limits: Limits { low: low.map(Into::into), high: high.map(Into::into) },
        reason: reason.to_owned(),
    };
    let mut patient = Patient::default();
    assert_eq!(patient.after(&context(None), &set(Some(30), Some(150), "athlete")), ["LimitsSet"]);
    assert_eq!(patient.after(&monitor(0), &rate("131")), ["VitalsTaken"]);
    let lift = Command::LiftLimits { code: "8867-4".parse().unwrap() };
    assert_eq!(patient.after(&context(None), &lift), ["LimitsLifted"]);
    assert_eq!(patient.after(&monitor(1), &rate("131")), ["VitalsTaken", "AlertRaised"]);
    for (command, rule) in [(set(Some(9), Some(9), "x"), "impossible"), (set(None, None, "x"), "impossible"), (set(Some(1), None, " "), "no_reason")] {
        assert_eq!(patient.ask(&context(None), &command).unwrap_err(), rule);
    }
}

#[test]
fn a_person_is_told_what_cannot_be_and_a_device_s_other_values_count() {
    let patient = Patient::default();
    let take = |readings: Vec<Reading>| Command::Take { readings, fluids: vec![], measured: None };
    for (wrong, rule) in [(reading("59408-5", "101", "%"), "impossible"), (reading("59408-5", "0.95", "1"), "impossible"), (reading("718-7", "14", "g/dL"), "unknown_sign")] {
        let both = take(vec![wrong, reading("8867-4", "190", "/min")]);
        assert_eq!(patient.ask(&context(None), &both).unwrap_err(), rule);
        let found: Vec<&str> = patient.ask(&monitor(0), &both).unwrap().iter().map(|event| Vitals::name(event).0).collect();
        assert_eq!(found, ["ReadingDisregarded", "VitalsTaken", "AlertRaised"]);
    }
    assert_eq!(patient.ask(&context(None), &take(vec![])).unwrap_err(), "count");
    // Neither does an amount that cannot be: an hour without urine is an observation, less than none is not.
    let urine = |amount: i64| Amount { route: Route::Urine, millilitres: amount.into() };
    let both = Command::Take { readings: vec![reading("59408-5", "70", "%")], fluids: vec![urine(0), urine(-5)], measured: None };
    let found: Vec<&str> = patient.ask(&monitor(0), &both).unwrap().iter().map(|event| Vitals::name(event).0).collect();
    assert_eq!(found, ["AmountDisregarded", "VitalsTaken", "AlertRaised", "FluidRecorded"]);
    // What cannot be used is seen until something can.
    let mut patient = Patient::default();
    patient.after(&monitor(0), &take(vec![reading("59408-5", "0.95", "1")]));
    assert!(patient.vitals.unusable.values().next().unwrap().contains("measured in %"));
    patient.after(&monitor(1), &spo2("95"));
    assert!(patient.vitals.unusable.is_empty());
}

#[test]
fn a_wrong_value_is_withdrawn_with_the_alert_that_it_raised_and_does_not_come_back() {
    let withdraw = |seconds, reason: &str| Command::WithdrawReading { code: "59408-5".parse().unwrap(), measured: now().plus_seconds(seconds), reason: reason.to_owned() };
    let again = |value: &str, seconds| Command::Take { readings: vec![reading("59408-5", value, "%")], fluids: vec![], measured: Some(now().plus_seconds(seconds)) };
    let mut patient = Patient::default();
    patient.after(&monitor(0), &spo2("70"));
    assert_eq!(patient.ask(&context(None), &withdraw(0, "")).unwrap_err(), "no_reason");
    assert_eq!(patient.ask(&context(None), &withdraw(1, "x")).unwrap_err(), "unknown_reading");
    assert_eq!(patient.after(&context(None), &withdraw(0, "probe on another patient")), ["ReadingWithdrawn", "AlertClosed"]);
    assert!(patient.vitals.latest.is_empty() && patient.vitals.alerts.is_empty());
    assert_eq!(patient.after(&context(None), &withdraw(0, "again")), [] as [&str; 0]);
    assert_eq!(patient.after(&monitor(60), &again("70", 0)), [] as [&str; 0], "the monitor sends its last value with each message");
    assert_eq!(patient.after(&monitor(61), &again("60", -3_600)), ["VitalsTaken"], "older than what was withdrawn: kept, and new to nobody");
    assert!(patient.vitals.latest.is_empty());
    // An alert that another value raised stands.
    for stray in ["99", "60"] {
        let mut patient = Patient::default();
        patient.after(&monitor(0), &spo2("80"));
        patient.after(&monitor(60), &spo2(stray));
        patient.after(&monitor(120), &withdraw(60, "moved"));
        let alert = &patient.vitals.alerts.values().next();
        assert!(stray == "60" || alert.is_some_and(|alert| !alert.is_back), "{stray}: {alert:?}");
    }
}

#[test]
fn fluids_add_up_over_a_day() {
    let mut patient = Patient::default();
    let record = |route, amount: i64| Command::Take { readings: vec![], fluids: vec![Amount { route, millilitres: amount.into() }], measured: None };
    let at = |hours: i64| Context { now: now().plus_seconds(hours * 3_600), ..context(None) };
    patient.after(&at(0), &record(Route::Oral, 1_000));
    patient.after(&at(20), &record(Route::Intravenous, 500));
    patient.after(&at(21), &record(Route::Urine, 700));
    patient.after(&at(22), &record(Route::Drain, 50));
    let balance = |patient: &Patient, hours: i64| Balance::since(&patient.vitals.fluids, now().plus_seconds((hours - 24) * 3_600)).balance;
    assert_eq!((balance(&patient, 23), balance(&patient, 24)), (750.into(), (-250).into()), "a day back, not longer");
    assert_eq!(patient.after(&at(23), &Command::WithdrawFluid { number: 4, reason: "other bed's drain".to_owned() }), ["FluidWithdrawn"]);
    assert_eq!(balance(&patient, 24), (-200).into());
    patient.after(&at(49), &record(Route::Oral, 1));
    assert_eq!(patient.vitals.fluids.iter().map(|fluid| fluid.number).collect::<Vec<_>>(), [2, 3, 5], "what is older than two days stands in the log");
    for (command, rule) in [
        (record(Route::Oral, -1), "impossible"),
        (record(Route::Oral, 20_001), "impossible"),
        (Command::WithdrawFluid { number: 9, reason: "x".to_owned() }, "unknown_fluid"),
        (Command::WithdrawFluid { number: 2, reason: String::new() }, "no_reason"),
    ] {
        assert_eq!(patient.ask(&at(50), &command).unwrap_err(), rule);
    }
}

#[test]
fn a_catalogue_that_cannot_be_meant_is_refused() {
    let cases = [
        (FILE.replace("8867-4", "59408-5"), "stands twice"),
        (FILE.replace("[0, 350]", "[350, 0]"), "from the lowest"),
        (FILE.replace("low = 92", "low = 101"), "both possible"),
        (FILE.replace("low = 41, high = 130", "low = 131, high = 130"), "low below high"),
        (FILE.replace("until_years = 16", "until_years = 1"), "end before they begin"),
        (FILE.replace("until_years = 16", "until_years = 17"), "has some already"),
        (FILE.replace("[300, 600]", "[0]"), "1 to 86400"),
        (FILE.replace("remind_seconds = 1800", ""), "silent for good"),
        (FILE.replace("step = 9", ""), "step is needed"),
    ];
    for (text, why) in cases {
        let error = toml::from_str::<Catalogue>(&text).unwrap().check().unwrap_err();
        assert!(error.contains(why), "{error}");
    }
    let ours: Catalogue = toml::from_str(include_str!("../../../config/vitals.toml")).unwrap();
    ours.check().unwrap();
    assert_eq!(given::<Vitals>(&[]).alerts.len(), 0);
}
