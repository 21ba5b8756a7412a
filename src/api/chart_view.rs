//! A person's chart, gathered for whoever shows it: what is written under all their numbers.

use std::collections::BTreeMap;

use serde::Serialize;

use super::at::Instant;
use super::patients::{gone, seen};
use super::problem::Problem;
use super::state::Api;
use crate::access::{Allowed, Who};
use crate::domain::chart::{Chart, FamilyIllness, FormDue, Immunisation, Note, Paper, Problem as Finding, Programme, Referral};
use crate::domain::patient::Patient;
use crate::domain::rights::Permission;
use crate::domain::vitals::{Alert, Balance, Fluid, Latest, Limits, Vitals};
use crate::kernel::{Loinc, Mrn};

/// What the balance of fluids is made of.
const DAY_SECONDS: i64 = 24 * 3_600;

/// An entry, and the number that it is written under.
#[derive(Debug, Serialize)]
pub(super) struct Under<T> {
    pub(super) under: Mrn,
    #[serde(flatten)]
    pub(super) entry: T,
}

/// An alert as the API shows it.
#[derive(Debug, Serialize)]
pub(super) struct AlertView {
    pub(super) patient: Mrn,
    pub(super) number: u32,
    /// What people call the sign.
    pub(super) sign: String,
    /// The bed that the patient lies in.
    pub(super) bed: Option<String>,
    #[serde(flatten)]
    pub(super) alert: Alert,
}

/// A person's chart: what is written under all their numbers.
#[derive(Debug, Serialize)]
pub(super) struct ChartView {
    pub(super) mrn: Mrn,
    pub(super) problems: Vec<Under<Finding>>,
    pub(super) notes: Vec<Under<Note>>,
    pub(super) immunisations: Vec<Under<Immunisation>>,
    pub(super) family: Vec<Under<FamilyIllness>>,
    pub(super) referrals: Vec<Under<Referral>>,
    pub(super) documents: Vec<Under<Paper>>,
    pub(super) programmes: Vec<Under<Programme>>,
    /// Forms that the open stay must have and has not.
    pub(super) forms_due: Vec<FormDue>,
    /// The newest value of each sign.
    pub(super) vitals: BTreeMap<Loinc, Under<Latest>>,
    /// Limits of this patient's own.
    pub(super) limits: BTreeMap<Loinc, Limits>,
    /// Signs without any limit for this patient: nobody is called for them.
    pub(super) without_limits: Vec<Loinc>,
    /// What a device sent last of a sign and cannot be used, and why: nobody is called for it.
    pub(super) unusable: BTreeMap<Loinc, String>,
    pub(super) alerts: Vec<AlertView>,
    pub(super) fluids: Vec<Under<Fluid>>,
    /// The balance of the last 24 hours, in mL.
    pub(super) balance: Balance,
}

pub(super) fn sign_name(api: &Api, code: &Loinc) -> String {
    api.hospital.layout().policy.vitals.sign(code).map_or_else(|| code.to_string(), |sign| sign.name.clone())
}

/// Where somebody lies now, as people write it: the bed of the stay that is open, and no other that they come to or have left.
pub(super) fn bed_of(api: &Api, mrn: &Mrn) -> Option<String> {
    api.rows.open_stay(mrn)?.bed.map(|bed| bed.to_string())
}

fn alerts<'a>(api: &'a Api, mrn: &'a Mrn, vitals: &'a Vitals) -> impl Iterator<Item = AlertView> + 'a {
    let view =
        |(number, alert): (&u32, &Alert)| AlertView { patient: mrn.clone(), number: *number, sign: sign_name(api, &alert.code), bed: bed_of(api, mrn), alert: alert.clone() };
    vitals.alerts.iter().map(view)
}

fn under<T>(number: &Mrn, entries: Vec<T>) -> impl Iterator<Item = Under<T>> {
    entries.into_iter().map(|entry| Under { under: number.clone(), entry })
}

/// The records of a person, now or as they were, for whoever may see all of them. Who was one person then may be two now: each of them is asked for.
pub(super) async fn records(api: &Api, who: &Who, (mrn, instant): (&Mrn, Instant)) -> Result<(Allowed, Vec<(Mrn, Patient)>), Problem> {
    let allowed = api.may_patient(who, Permission::ViewPatient, mrn).await?;
    gone(api, mrn)?;
    let records = seen(api, instant).person(mrn)?;
    for (number, _) in &records {
        api.may_patient(who, Permission::ViewPatient, number).await?;
    }
    if records.iter().all(|(_, record)| *record == Default::default()) {
        return Err(Problem::missing("patient", mrn.as_str()));
    }
    Ok((allowed, records))
}

/// The chart of these records, now or as it was.
pub(super) fn gather(api: &Api, records: &[(Mrn, Patient)], instant: Instant) -> Result<ChartView, Problem> {
    let until = instant.0.unwrap_or_else(|| api.clock.now());
    let mut view = ChartView {
        mrn: records[0].0.clone(),
        problems: Vec::new(),
        notes: Vec::new(),
        immunisations: Vec::new(),
        family: Vec::new(),
        referrals: Vec::new(),
        documents: Vec::new(),
        programmes: Vec::new(),
        forms_due: Vec::new(),
        vitals: BTreeMap::new(),
        limits: BTreeMap::new(),
        without_limits: Vec::new(),
        unusable: BTreeMap::new(),
        alerts: Vec::new(),
        fluids: Vec::new(),
        balance: Balance::default(),
    };
    let mut charts: Vec<Chart> = Vec::new();
    for (number, _) in records {
        let (chart, vitals) = match instant.0 {
            None => (api.rows.chart(number), api.rows.vitals(number)),
            Some(instant) => {
                let chart = api.history.at(number.as_str(), instant).map_err(|error| Problem::unreadable(&error))?;
                (chart, api.history.at::<Vitals>(number.as_str(), instant).map_err(|error| Problem::unreadable(&error))?)
            }
        };
        charts.push(chart.clone());
        view.problems.extend(under(number, chart.problems));
        view.notes.extend(under(number, chart.notes));
        view.immunisations.extend(under(number, chart.immunisations));
        view.family.extend(under(number, chart.family));
        view.referrals.extend(under(number, chart.referrals));
        view.documents.extend(under(number, chart.documents));
        view.programmes.extend(under(number, chart.programmes));
        view.alerts.extend(alerts(api, number, &vitals));
        // As the rules take them: those of the number that comes first.
        for (code, limits) in vitals.limits {
            view.limits.entry(code).or_insert(limits);
        }
        view.unusable.extend(vitals.unusable);
        view.fluids.extend(vitals.fluids.into_iter().map(|entry| Under { under: number.clone(), entry }));
        for (code, latest) in vitals.latest {
            if view.vitals.get(&code).is_none_or(|known| known.entry.measured < latest.measured) {
                view.vitals.insert(code, Under { under: number.clone(), entry: latest });
            }
        }
    }
    let born = records.iter().find_map(|(_, record)| record.person.as_ref()?.birth_date);
    let signs = &api.hospital.layout().policy.vitals.signs;
    let bare = signs.iter().filter(|sign| !view.limits.contains_key(&sign.code) && sign.limits_for(born, until.date()).is_none());
    view.without_limits = bare.map(|sign| sign.code.clone()).collect();
    // What is due is due now.
    let stay = records.iter().find_map(|(_, record)| record.stay.clone()).filter(|_| instant.0.is_none());
    if let Some((encounter, stay)) = stay.and_then(|encounter| api.rows.open_stay(&view.mrn).map(|stay| (encounter, stay))) {
        view.forms_due = api.hospital.layout().policy.forms.due(charts.iter(), &encounter, (stay.class, stay.admitted));
    }
    view.balance = Balance::since(view.fluids.iter().map(|fluid| &fluid.entry), until.plus_seconds(-DAY_SECONDS));
    Ok(view)
}
