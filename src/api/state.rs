//! What every handler is given.

use std::collections::BTreeMap;
use std::sync::Arc;

use tokio::sync::watch;

use super::quarantine::Replay;
use crate::access::{Gate, Provider};
use crate::actor::Hospital;
use crate::kernel::{Clock, CompanyPrefix, DeviceId, WardId};
use crate::projection::{History, Rows};

/// How the house prints wristbands.
#[derive(Debug, Clone, Default)]
pub struct Wristbands {
    /// What patients' numbers on bands begin with; none where no bands are printed.
    pub prefix: Option<CompanyPrefix>,
    /// Printers, and the ward that prints there when no other is named.
    pub printers: Vec<(DeviceId, Option<WardId>)>,
}

/// What handlers need; cheap to clone.
#[derive(Clone)]
pub struct Api {
    /// The hospital's name, shown on pages.
    pub name: Arc<str>,
    /// Its code, which its systems of numbers begin with.
    pub facility: Arc<str>,
    /// The actors.
    pub hospital: Arc<Hospital>,
    /// The read models.
    pub rows: Arc<Rows>,
    /// The log, for reading.
    pub history: History,
    /// One at a time writes what must not be there twice: looks whether it is, and then writes it.
    pub one_by_one: Arc<tokio::sync::Mutex<()>>,
    /// Whoever registers somebody is alone: two desks at once would each find nobody.
    pub registering: Arc<tokio::sync::Mutex<()>>,
    /// The time.
    pub clock: Clock,
    /// Tests that can be ordered, LOINC and name, and those that take their place while wardd runs.
    pub catalogue: watch::Receiver<Arc<BTreeMap<String, String>>>,
    /// Who may do what.
    pub gate: Arc<Gate>,
    /// Whether the web server speaks TLS.
    pub is_tls: bool,
    /// Addresses that programs may have themselves told at.
    pub told: Arc<Vec<String>>,
    /// How wristbands are printed.
    pub wristbands: Arc<Wristbands>,
    /// Where people may sign in besides here.
    pub provider: Option<Arc<Provider>>,
    /// Handles a message of the quarantine again.
    pub replay: Arc<dyn Replay>,
    /// Becomes true when wardd stops.
    pub stop: watch::Receiver<bool>,
}

impl Api {
    /// How many items wait for a person, and for how many seconds the oldest has.
    pub(super) fn waiting(&self) -> (usize, i64) {
        let oldest = self.rows.open_items_from(0, 1).first().and_then(|event| self.history.item_held_at(*event));
        (self.rows.open_items(), oldest.map_or(0, |(_, item)| self.clock.now().seconds_since(item.since)))
    }
}
