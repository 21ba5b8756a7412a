//! What happens in front of and inside the actors.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use super::registry::metric;

metric!(full: IntCounterVec, "wardd_actor_port_full_total", "Messages refused since too many waited.", ["actor"]);
metric!(restarts: IntCounterVec, "wardd_actor_restarts_total", "Actors started again after a failure.", ["actor"]);
metric!(given_up: IntCounterVec, "wardd_actor_given_up_total", "Times that an actor failed too often and rests a minute before it is started again.", ["actor"]);
metric!(refused: IntCounterVec, "wardd_actor_refused_total", "Commands that a rule refused.", ["aggregate", "rule"]);
metric!(decided: HistogramVec, "wardd_actor_decide_seconds", "Load, decide and hand over of one command.", ["aggregate"], vec![1e-6, 5e-6, 1e-5, 5e-5, 1e-4, 1e-3, 1e-2]);
metric!(passivated: IntCounterVec, "wardd_actor_passivated_total", "Times that cold streams were let go of.", ["aggregate"]);
metric!(repeated: IntCounterVec, "wardd_actor_messages_repeated_total", "Messages that had come before and changed nothing.", ["device"]);
metric!(held_total: IntCounterVec, "wardd_quarantine_held_total", "Things held for a person.", ["reason", "device"]);
metric!(reloads: IntCounterVec, "wardd_config_reloads_total", "Reloads of the configuration, by whether it was taken over.", ["outcome"]);
metric!(charges: IntCounter, "wardd_billing_charges_total", "Charges written.");
metric!(consumer_lag: IntGaugeVec, "wardd_consumer_lag_events", "Events that a consumer of the log is behind.", ["consumer"]);
metric!(consumer_failures: IntCounterVec, "wardd_consumer_failures_total", "Tries of a consumer that failed and are repeated.", ["consumer"]);

metric!(spans: IntCounterVec, "wardd_traces_spans_total", "Spans for the collector, by whether it has taken them.", ["outcome"]);

metric!(open_items: IntGauge, "wardd_quarantine_open_items", "Things that wait for a person.");
metric!(oldest_item: IntGauge, "wardd_quarantine_oldest_age_seconds", "How long the oldest of them has waited.");
metric!(head: IntGauge, "wardd_journal_head_sequence", "The sequence of the last durable event.");

/// Counters whose labels are known stand at zero from the start, so that their first happening is an increase.
pub fn begin_counting() {
    super::journal::begin_journal_counters();
    charges();
    for (metric, label) in
        ["projection", "billing", "drawers", "views"].map(|consumer| (consumer_failures(), consumer)).into_iter().chain(["taken", "refused"].map(|outcome| (reloads(), outcome)))
    {
        if let Some(metric) = metric {
            metric.with_label_values(&[label]);
        }
    }
}

/// What waits for a person, and for how long the oldest has.
pub fn quarantine_open(items: usize, oldest_seconds: i64) {
    if let Some(metric) = open_items() {
        metric.set(i64::try_from(items).unwrap_or(i64::MAX));
    }
    if let Some(metric) = oldest_item() {
        metric.set(oldest_seconds);
    }
}

/// The journal's head.
pub fn journal_head(sequence: u64) {
    if let Some(metric) = head() {
        metric.set(i64::try_from(sequence).unwrap_or(i64::MAX));
    }
}

/// A port had no place.
pub fn port_full(actor: &str) {
    if let Some(metric) = full() {
        metric.with_label_values(&[actor]).inc();
    }
    tracing::debug!(actor, "port full");
}

/// An actor failed and was started again.
pub fn actor_restarted(actor: &str, cause: &str) {
    if let Some(metric) = restarts() {
        metric.with_label_values(&[actor]).inc();
    }
    tracing::warn!(actor, cause, "actor restarted from the journal");
}

/// An actor failed too often.
pub fn actor_given_up(actor: &str, cause: &str) {
    if let Some(metric) = given_up() {
        metric.with_label_values(&[actor]).inc();
    }
    tracing::error!(code = "WD-0204", actor, cause, "actor failed too often and rests for a minute: report the cause");
}

/// A rule refused a command.
pub fn command_refused(aggregate: &str, rule: &str) {
    if let Some(metric) = refused() {
        metric.with_label_values(&[aggregate, rule]).inc();
    }
    tracing::debug!(aggregate, rule, "command refused");
}

/// A command was decided.
pub fn command_decided(aggregate: &str, took: Duration) {
    if let Some(metric) = decided() {
        metric.with_label_values(&[aggregate]).observe(took.as_secs_f64());
    }
}

/// Cold streams were let go of.
pub fn streams_passivated(aggregate: &str) {
    if let Some(metric) = passivated() {
        metric.with_label_values(&[aggregate]).inc();
    }
}

/// A message came again.
pub fn message_repeated(device: &str) {
    if let Some(metric) = repeated() {
        metric.with_label_values(&[device]).inc();
    }
    tracing::debug!(device, "message repeated");
}

/// Something is held for a person.
pub fn held(reason: &str, device: &str) {
    if let Some(metric) = held_total() {
        metric.with_label_values(&[reason, device]).inc();
    }
    tracing::debug!(reason, device, "held for a person");
}

/// The configuration was read again.
pub fn reloaded(is_taken: bool) {
    if let Some(metric) = reloads() {
        metric.with_label_values(&[if is_taken { "taken" } else { "refused" }]).inc();
    }
}

/// A charge was written.
pub fn charged() {
    if let Some(metric) = charges() {
        metric.inc();
    }
}

/// A consumer of the log has come this far.
pub fn consumer_at(consumer: &'static str, sequence: u64) {
    consumers().lock().unwrap_or_else(PoisonError::into_inner).insert(consumer, sequence);
}

/// Sets how far each consumer is behind the log's head; asked for when the metrics are read, since one that hangs says nothing.
pub fn consumers_behind(head: u64) {
    let Some(metric) = consumer_lag() else { return };
    for (consumer, sequence) in consumers().lock().unwrap_or_else(PoisonError::into_inner).iter() {
        metric.with_label_values(&[consumer]).set(i64::try_from(head.saturating_sub(*sequence)).unwrap_or(i64::MAX));
    }
}

fn consumers() -> &'static Mutex<BTreeMap<&'static str, u64>> {
    static CONSUMERS: Mutex<BTreeMap<&'static str, u64>> = Mutex::new(BTreeMap::new());
    &CONSUMERS
}

/// Spans went to the collector, or it did not take them.
pub fn spans_sent(count: usize, error: Option<&str>) {
    if let Some(metric) = spans() {
        metric.with_label_values(&[if error.is_some() { "lost" } else { "sent" }]).inc_by(count as u64);
    }
    if let Some(why) = error {
        tracing::warn!(why, count, "the collector has not taken these spans; they are not repeated");
    }
}

/// Everything of a person was made unreadable.
pub fn person_erased() {
    tracing::info!("a person was erased: the keys of what was known of them are destroyed");
}

/// A consumer could not do its work; it tries again.
pub fn consumer_failed(consumer: &str, why: &str) {
    if let Some(metric) = consumer_failures() {
        metric.with_label_values(&[consumer]).inc();
    }
    tracing::warn!(consumer, why, "consumer tries again");
}
