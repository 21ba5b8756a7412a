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
    /// Where it takes place when that is not here: the address of a video call.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub link: Option<String>,
}

/// Why a gateway did not take one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum NotTaken {
    /// It is not there, or cannot: it is tried again, and the others wait.
    NotNow(String),
    /// It will not take this one: a person must tell them.
    Never(String),
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

    /// Hands one over; it blocks.
    pub fn hand_over(&self, reminder: &Reminder) -> Result<(), NotTaken> {
        let body = serde_json::to_string(reminder).map_err(|error| NotTaken::Never(error.to_string()))?;
        let request = self.agent.post(&self.endpoint).header("Content-Type", "application/json").header("Idempotency-Key", &reminder.id);
        let answer = request.send(body).map_err(|error| NotTaken::NotNow(format!("{}: {error}", self.endpoint)))?;
        let (status, why) = (answer.status(), || format!("{}: {}", self.endpoint, answer.status()));
        match status.as_u16() {
            200..=299 => Ok(()),
            // Not this one, whenever it comes: not allowed yet (401, 403, 407), too slow (408), too early and too many are about us.
            400 | 402 | 404..=406 | 409..=424 | 426..=428 => Err(NotTaken::Never(why())),
            _ => Err(NotTaken::NotNow(why())),
        }
    }
}
