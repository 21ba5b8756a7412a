//! A reminder of an appointment, handed to whatever sends messages to people: a gateway on this machine.

use std::time::Duration;

use serde::Serialize;
use ureq::Agent;

use crate::kernel::{Mrn, ScheduleId, Timestamp};

const PATIENCE: Duration = Duration::from_secs(10);

/// What a gateway is told: no more than it needs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Reminder {
    /// The same each time that it is handed over.
    pub id: String,
    /// Whom.
    pub patient: Mrn,
    /// As they are called.
    pub name: String,
    /// How to reach them, the best way first.
    pub phones: Vec<String>,
    /// The language to use (BCP 47).
    pub language: Option<String>,
    /// Of which schedule.
    pub schedule: ScheduleId,
    /// What people call it.
    pub with: String,
    /// When the appointment begins.
    pub start: Timestamp,
    /// When it ends.
    pub end: Option<Timestamp>,
}

/// The way to the gateway.
#[derive(Debug, Clone)]
pub struct Reminders {
    agent: Agent,
    endpoint: String,
}

impl Reminders {
    /// A gateway at this address.
    pub fn new(endpoint: &str) -> Self {
        let agent = Agent::config_builder().timeout_global(Some(PATIENCE)).http_status_as_error(false).max_redirects(0).proxy(None).build().into();
        Self { agent, endpoint: endpoint.to_owned() }
    }

    /// Hands one over; it blocks. An error says why it was not taken: it is tried again.
    pub fn hand_over(&self, reminder: &Reminder) -> Result<(), String> {
        let body = serde_json::to_string(reminder).map_err(|error| error.to_string())?;
        let request = self.agent.post(&self.endpoint).header("Content-Type", "application/json").header("Idempotency-Key", &reminder.id);
        let answer = request.send(body).map_err(|error| format!("{}: {error}", self.endpoint))?;
        if answer.status().is_success() { Ok(()) } else { Err(format!("{}: {}", self.endpoint, answer.status())) }
    }
}
