//! Programs that are told of changes.

use super::registry::metric;

metric!(told: IntCounterVec, "wardd_subscription_requests_total", "Requests to programs that subscribed to changes, by whether they were taken.", ["outcome"]);

/// A program was told, or could not be told now.
pub fn subscription_told(subscription: &str, result: Result<(), &str>) {
    if let Some(metric) = told() {
        metric.with_label_values(&[if result.is_ok() { "taken" } else { "failed" }]).inc();
    }
    if let Err(why) = result {
        tracing::warn!(subscription, why, "WD-0704 a program that subscribed to changes cannot be told now: it is tried again");
    }
}
