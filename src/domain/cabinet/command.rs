//! What may be asked of a cabinet.

use rust_decimal::Decimal;

use crate::domain::rights::Permission;
use crate::kernel::{Date, Gtin, ItemId, Mrn, PocketId, Timestamp};

/// A command; quantities are in the item's dispensing unit and above zero.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Command {
    /// Says what belongs in a pocket.
    AssignPocket {
        /// Which pocket.
        pocket: PocketId,
        /// What belongs in it.
        item: ItemId,
        /// The trade items that may be loaded.
        gtins: Vec<Gtin>,
        /// Whether waste and counts need a second person.
        is_controlled: bool,
    },
    /// Puts stock into a pocket; `gtin` when the package was scanned.
    Load {
        /// Which pocket; none to take the one that the trade item is assigned to.
        pocket: Option<PocketId>,
        /// What was scanned.
        gtin: Option<Gtin>,
        /// The maker's lot number.
        lot: String,
        /// The last day of use.
        expires: Date,
        /// How much.
        quantity: Decimal,
        /// The delivery and its line; the same one again changes nothing.
        delivery: Option<String>,
    },
    /// Takes stock out of a pocket back to the pharmacy.
    Unload {
        /// Which pocket.
        pocket: PocketId,
        /// Which lot; none for every lot.
        lot: Option<String>,
    },
    /// Takes a dose out for a patient.
    Vend {
        /// Which pocket.
        pocket: PocketId,
        /// How much.
        quantity: Decimal,
        /// For whom.
        patient: Mrn,
        /// From which lot; none for the first to expire.
        lot: Option<String>,
    },
    /// The drawer was closed without anything being taken: all of it goes back.
    CancelVend {
        /// Which withdrawal.
        withdrawal: u32,
    },
    /// A part of a withdrawal was given to the patient.
    Give {
        /// Which withdrawal.
        withdrawal: Withdrawn,
        /// How much.
        quantity: Decimal,
    },
    /// A part of a withdrawal is brought back to its lot.
    Return {
        /// Which withdrawal.
        withdrawal: Withdrawn,
        /// How much.
        quantity: Decimal,
    },
    /// A part of a withdrawal is destroyed before a witness.
    Waste {
        /// Which withdrawal.
        withdrawal: Withdrawn,
        /// How much.
        quantity: Decimal,
    },
    /// Somebody counted a pocket.
    Count {
        /// Which pocket.
        pocket: PocketId,
        /// What was found.
        found: Decimal,
    },
    /// Two persons explain a count that did not agree; the balance becomes what was found.
    ResolveDiscrepancy {
        /// Which pocket.
        pocket: PocketId,
        /// What explains it.
        explanation: String,
    },
    /// Another system's cabinet reports what has happened there (HL7 OMS^O05 with ZPM).
    Report(Reported),
}

impl Command {
    /// The permission that it needs.
    pub fn needs(&self) -> Permission {
        match self {
            Command::AssignPocket { .. } => Permission::AssignPockets,
            Command::Load { .. } | Command::Unload { .. } | Command::Report(_) => Permission::StockCabinets,
            Command::Vend { .. } | Command::CancelVend { .. } | Command::Give { .. } | Command::Return { .. } => Permission::Dispense,
            Command::Waste { .. } => Permission::Waste,
            Command::Count { .. } => Permission::CountPockets,
            Command::ResolveDiscrepancy { .. } => Permission::ResolveDiscrepancies,
        }
    }
}

/// How a withdrawal is named.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Withdrawn {
    /// By its number.
    Number(u32),
    /// By pocket and patient: the oldest one that is open.
    Of {
        /// From which pocket.
        pocket: PocketId,
        /// For whom.
        patient: Mrn,
    },
}

/// A transaction that has happened at a cabinet of another system.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reported {
    /// What was done.
    pub kind: ReportedKind,
    /// Where.
    pub pocket: PocketId,
    /// Which item.
    pub item: ItemId,
    /// How much.
    pub quantity: Decimal,
    /// The balance that the other system expected.
    pub expected_begin: Option<Decimal>,
    /// The balance that was found.
    pub actual_begin: Decimal,
    /// For whom, where there is a patient.
    pub patient: Option<Mrn>,
    /// Who did it, as the other system names them.
    pub user: String,
    /// Who saw it.
    pub witness: String,
    /// When, by the other system's clock.
    pub at: Timestamp,
}

/// The kinds of VA PADE's table (Inpatient Medications technical manual, appendix B).
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ReportedKind {
    /// V.
    Vend,
    /// R.
    Return,
    /// W.
    Waste,
    /// L and F.
    Load,
    /// U.
    Unload,
    /// B.
    BinEmptied,
    /// C.
    Count,
}
