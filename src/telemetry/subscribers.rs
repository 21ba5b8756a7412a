//! Other systems that are told what happens here.

use super::registry::metric;
use crate::kernel::Timestamp;

metric!(connected: IntGaugeVec, "wardd_subscriber_connected", "Whether the line to another system that is told what happens stands.", ["subscriber"]);
metric!(
    unanswered: IntGaugeVec,
    "wardd_subscriber_unanswered_timestamp_seconds",
    "When what another system has not answered yet was recorded, in seconds since 1970; 0 when nothing waits.",
    ["subscriber"]
);
metric!(told: IntCounterVec, "wardd_subscriber_messages_total", "Messages to another system, by what it said: taken or refused.", ["subscriber", "outcome"]);

/// A subscriber of the configuration: its figures stand at zero from the start.
pub fn subscriber(id: &str) {
    if let Some(metric) = unanswered() {
        metric.with_label_values(&[id]);
    }
    if let Some(metric) = connected() {
        metric.with_label_values(&[id]).set(0);
    }
    if let Some(metric) = told() {
        for outcome in ["taken", "refused"] {
            metric.with_label_values(&[id, outcome]);
        }
    }
}

/// The line stands, or has broken.
pub fn subscriber_connected(id: &str, is_up: bool) {
    if let Some(metric) = connected() {
        metric.with_label_values(&[id]).set(i64::from(is_up));
    }
    if !is_up {
        tracing::warn!(subscriber = id, "WD-0702 the line has broken, or nobody answers on it: what happens is kept, and told when it stands again");
    }
}

/// Since when something waits for its answer.
pub fn subscriber_waits(id: &str, since: Option<Timestamp>) {
    if let Some(metric) = unanswered() {
        metric.with_label_values(&[id]).set(since.map_or(0, |since| since.micros() / 1_000_000));
    }
}

/// A message was taken or refused.
pub fn subscriber_told(id: &str, outcome: &str) {
    if let Some(metric) = told() {
        metric.with_label_values(&[id, outcome]).inc();
    }
    if outcome == "refused" {
        tracing::warn!(subscriber = id, "WD-0701 another system would not take a message: it waits in the quarantine for a person");
    }
}
