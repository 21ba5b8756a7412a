//! Schedules, slots and appointments as resources.

use serde_json::{Value, json};

use super::id::escape;
use super::resources::{House, full, of, reference};
use crate::api::schedules::{Booked, Slot};
use crate::domain::schedule::{Schedule, Standing};

/// A schedule.
pub(super) fn schedule(house: &House, id: &str, schedule: &Schedule) -> Value {
    full(json!({
        "resourceType": "Schedule",
        "id": escape(id),
        "identifier": house.identifier("schedule", id),
        "active": true,
        "actor": [{ "display": schedule.name }],
    }))
}

pub(super) fn slot_id(schedule: &str, slot: crate::kernel::Timestamp) -> String {
    format!("{}.-{}", escape(schedule), slot.micros() / 60_000_000)
}

/// A slot; only what anybody may book is free.
pub(super) fn slot(schedule: &str, slot: &Slot) -> Value {
    let status = match (&slot.closed, slot.free) {
        (Some(_), _) => "busy-unavailable",
        (None, 0) => "busy",
        (None, _) => "free",
    };
    full(json!({
        "resourceType": "Slot",
        "id": slot_id(schedule, slot.start),
        "schedule": reference("Schedule", &escape(schedule)),
        "status": status,
        "start": slot.start.to_string(),
        "end": slot.end.to_string(),
        "comment": slot.closed,
    }))
}

/// An appointment; none for somebody who came without one, whose visit is an Encounter.
pub(super) fn appointment(booked: &Booked) -> Option<Value> {
    let known = &booked.appointment;
    let (status, why) = match &known.standing {
        Standing::Held { .. } => ("pending", None),
        Standing::Booked => ("booked", None),
        Standing::Waiting { .. } => ("checked-in", None),
        Standing::Called { .. } => ("arrived", None),
        Standing::Fulfilled => ("fulfilled", None),
        Standing::NoShow => ("noshow", None),
        Standing::Cancelled { why } => ("cancelled", Some(json!({ "text": why }))),
    };
    let start = known.start?;
    let reason = if known.reason.is_empty() { Value::Null } else { json!([{ "text": known.reason }]) };
    Some(full(json!({
        "resourceType": "Appointment",
        "id": format!("{}.-{}", escape(&booked.schedule), known.number),
        "status": status,
        "cancelationReason": why,
        "reasonCode": reason,
        "start": start.to_string(),
        "end": booked.end.map(|end| end.to_string()),
        "slot": [reference("Slot", &slot_id(&booked.schedule, start))],
        "participant": [{ "actor": of(&known.patient), "status": "accepted" }, { "actor": { "display": booked.name }, "status": "accepted" }],
    })))
}
