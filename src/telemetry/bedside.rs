//! Alerts of vital signs that wait for somebody.

use super::registry::metric;

metric!(waiting: IntGauge, "wardd_vitals_alerts_waiting", "Alerts of vital signs that nobody has taken.");
metric!(oldest: IntGauge, "wardd_vitals_alerts_oldest_seconds", "How long the oldest of them has waited.");
metric!(level: IntGauge, "wardd_vitals_alerts_level", "The highest level to which one of them has gone; 0 when none has.");
metric!(escalated: IntCounter, "wardd_vitals_alerts_escalated_total", "Times that an alert went to the next level.");

/// How many alerts wait.
pub fn vital_alerts(count: usize, oldest_seconds: i64, highest: u8) {
    escalated();
    for (metric, value) in [(waiting(), i64::try_from(count).unwrap_or(i64::MAX)), (oldest(), oldest_seconds), (level(), i64::from(highest))] {
        if let Some(metric) = metric {
            metric.set(value);
        }
    }
}

/// Nobody has taken an alert in time.
pub fn vital_alert_escalated(level: u8) {
    tracing::warn!(level, "WD-0602 nobody has taken an alert of a vital sign in time: it goes to the next level");
    if let Some(metric) = escalated() {
        metric.inc();
    }
}
