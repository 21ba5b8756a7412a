//! The sum of a simulated day, for people and for tests.

use std::collections::BTreeMap;
use std::fmt;

use super::counts::Counts;

/// What the hospital did between going live and shutdown.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Tally {
    /// Admissions accepted.
    pub admitted: u64,
    /// Admissions into free beds that were refused or not answered.
    pub admissions_refused: u64,
    /// Second patients for a taken bed, refused.
    pub bed_conflicts_refused: u64,
    /// Second patients for a taken bed, accepted.
    pub bed_conflicts_accepted: u64,
    /// Transfers accepted.
    pub transferred: u64,
    /// Discharges accepted.
    pub discharged: u64,
    /// Transfers and discharges refused or not answered.
    pub movements_refused: u64,
    /// ADT messages sent, each once.
    pub adt_sent: u64,
    /// ADT messages answered AA or CA.
    pub adt_acknowledged: u64,
    /// Lab orders answered 201.
    pub orders_placed: u64,
    /// Lab orders answered otherwise.
    pub orders_refused: u64,
    /// Accession scans, collecting and receiving.
    pub tubes_scanned: u64,
    /// Tubes given to analyzers.
    pub tubes_loaded: u64,
    /// Tubes between order and analyzer at the end.
    pub tubes_waiting: u64,
    /// Result messages of all analyzers, each once.
    pub results_sent: u64,
    /// Result messages acknowledged.
    pub results_acknowledged: u64,
    /// Result messages refused by AE, AR or CR, as those with an unknown accession may be.
    pub results_refused: u64,
    /// Single observations inside acknowledged patients' messages.
    pub observations_acknowledged: u64,
    /// Messages and scans sent again by any device.
    pub resends: u64,
    /// Faults made on purpose by any device.
    pub noise: u64,
    /// Vends answered 2xx.
    pub vends_accepted: u64,
    /// Vends refused.
    pub vends_refused: u64,
    /// Vends of more than there can be, refused; not among `vends_refused`.
    pub excessive_vends_refused: u64,
    /// Vends of more than there can be, accepted; not among `vends_accepted`.
    pub excessive_vends_accepted: u64,
    /// Returns answered 2xx.
    pub returns_accepted: u64,
    /// Returns refused.
    pub returns_refused: u64,
    /// Wastes answered 2xx.
    pub wastes_accepted: u64,
    /// Wastes refused.
    pub wastes_refused: u64,
    /// Requests repeated with the same Idempotency-Key that got the same status and body.
    pub repeats_same: u64,
    /// Requests repeated with the same Idempotency-Key that got something else.
    pub repeats_different: u64,
    /// HTTP requests without any answer.
    pub http_failures: u64,
    /// Jobs not handed to a device because its queue was full.
    pub hands_full: u64,
    /// RFID reads acknowledged by the broker.
    pub tags_published: u64,
    /// Each device's own counters, by name.
    pub devices: BTreeMap<String, Counts>,
}

impl fmt::Display for Tally {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            out,
            "patients: {} admitted ({} refused), {} transferred, {} discharged, {} movements refused, second in a bed: {} refused, {} accepted",
            self.admitted, self.admissions_refused, self.transferred, self.discharged, self.movements_refused, self.bed_conflicts_refused, self.bed_conflicts_accepted
        )?;
        writeln!(out, "adt: {} sent, {} acknowledged", self.adt_sent, self.adt_acknowledged)?;
        writeln!(
            out,
            "lab: {} orders placed ({} refused), {} scans, {} tubes loaded, {} waiting, {} result messages sent, {} acknowledged with {} observations, {} refused",
            self.orders_placed,
            self.orders_refused,
            self.tubes_scanned,
            self.tubes_loaded,
            self.tubes_waiting,
            self.results_sent,
            self.results_acknowledged,
            self.observations_acknowledged,
            self.results_refused
        )?;
        writeln!(
            out,
            "cabinets: {} vends accepted, {} refused, excessive: {} refused, {} accepted; returns {}/{}, wastes {}/{}",
            self.vends_accepted,
            self.vends_refused,
            self.excessive_vends_refused,
            self.excessive_vends_accepted,
            self.returns_accepted,
            self.returns_refused,
            self.wastes_accepted,
            self.wastes_refused
        )?;
        writeln!(
            out,
            "repeats with one key: {} the same, {} different; {} http failures, {} hands full",
            self.repeats_same, self.repeats_different, self.http_failures, self.hands_full
        )?;
        writeln!(out, "wire: {} resends, {} faults injected, {} tags published", self.resends, self.noise, self.tags_published)?;
        for (name, counts) in &self.devices {
            writeln!(out, "  {name}: {counts}")?;
        }
        Ok(())
    }
}
