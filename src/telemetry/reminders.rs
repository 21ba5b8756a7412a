//! Reminders of appointments.

use super::registry::metric;

metric!(reminders: IntCounterVec, "wardd_reminders_total", "Reminders of appointments, by whether the gateway took them.", ["outcome"]);

/// From the start both stand at zero.
pub fn begin_reminders() {
    if let Some(metric) = reminders() {
        for outcome in ["taken", "failed"] {
            metric.with_label_values(&[outcome]);
        }
    }
}

/// A reminder was taken, or could not be handed over.
pub fn reminder(is_taken: bool, why: &str) {
    if let Some(metric) = reminders() {
        metric.with_label_values(&[if is_taken { "taken" } else { "failed" }]).inc();
    }
    if !is_taken {
        tracing::warn!(why, "WD-0703 the gateway takes no reminders of appointments: they are handed over when it does");
    }
}
