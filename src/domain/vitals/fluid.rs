//! Intake and output: what went in and out of a patient, and the balance.

use rust_decimal::Decimal;
use serde::{Deserialize, Serialize};

use crate::kernel::Timestamp;

/// Which way.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Route {
    /// Drunk.
    Oral,
    /// By a vein.
    Intravenous,
    /// By a tube into stomach or gut.
    Enteral,
    /// Blood and its products.
    BloodProduct,
    /// In by another way.
    OtherIntake,
    /// Urine.
    Urine,
    /// From a drain.
    Drain,
    /// Vomited.
    Emesis,
    /// Stool.
    Stool,
    /// Lost blood.
    BloodLoss,
    /// Out by another way.
    OtherOutput,
}

impl Route {
    /// Whether it goes in.
    pub fn is_intake(self) -> bool {
        matches!(self, Route::Oral | Route::Intravenous | Route::Enteral | Route::BloodProduct | Route::OtherIntake)
    }
}

/// An amount.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Amount {
    /// Which way.
    pub route: Route,
    /// How much, in mL.
    pub millilitres: Decimal,
}

/// An amount as it stands in the chart.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Fluid {
    /// Its number, from 1.
    pub number: u32,
    /// How much, which way.
    #[serde(flatten)]
    pub amount: Amount,
    /// When.
    pub measured: Timestamp,
    /// Who or what measured it.
    pub source: String,
}

/// What went in and out, in mL.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
pub struct Balance {
    /// In.
    pub intake: Decimal,
    /// Out.
    pub output: Decimal,
    /// In less out.
    pub balance: Decimal,
}

impl Balance {
    /// The balance of what was measured after an instant.
    pub fn since<'a>(fluids: impl IntoIterator<Item = &'a Fluid>, from: Timestamp) -> Self {
        let mut sum = Balance::default();
        for fluid in fluids.into_iter().filter(|fluid| fluid.measured > from) {
            match fluid.amount.route.is_intake() {
                true => sum.intake += fluid.amount.millilitres,
                false => sum.output += fluid.amount.millilitres,
            }
        }
        Balance { balance: sum.intake - sum.output, ..sum }
    }
}
