//! The gate of a device's line, shared by its sessions: a line that was bad is not good again after a reconnect.

use std::sync::{Mutex, PoisonError};

use crate::framing::gate::{LinkGate, Turned};
use crate::telemetry::DeviceFigures;

/// A device's gate.
#[derive(Debug)]
pub struct Gate(Mutex<LinkGate>);

impl Gate {
    /// A gate that closes at more than `limit` bad frames of the last thousand; 0 for never.
    pub fn new(limit: u32) -> Self {
        Self(Mutex::new(LinkGate::new(limit)))
    }

    /// Notes a frame, and tells ops when the gate turns.
    pub(super) fn frame(&self, is_bad: bool, figures: &DeviceFigures) {
        let mut gate = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let turned = gate.note(is_bad);
        figures.line(gate.bad(), gate.is_closed());
        match turned {
            Some(Turned::Closed) => figures.gate_closed(gate.bad()),
            Some(Turned::Opened) => figures.gate_opened(),
            None => {}
        }
    }

    /// The bad frames of the last thousand, when they are too many.
    pub(super) fn closed_at(&self) -> Option<u32> {
        let gate = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        gate.is_closed().then(|| gate.bad())
    }
}
