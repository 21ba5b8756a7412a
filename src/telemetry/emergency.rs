//! Who waits in the emergency department.

use super::registry::metric;

metric!(waiting: IntGauge, "wardd_emergency_waiting", "People in the emergency department whom nobody treats yet.");
metric!(untriaged: IntGauge, "wardd_emergency_untriaged", "Of these, whose urgency nobody has looked at.");
metric!(overdue: IntGauge, "wardd_emergency_overdue", "Of these, who should have been treated by now, by their level.");

/// How many wait, how many of them nobody has looked at, and how many wait too long.
pub fn emergency_department(all: i64, not_looked_at: i64, too_long: i64) {
    for (metric, value) in [(waiting(), all), (untriaged(), not_looked_at), (overdue(), too_long)] {
        if let Some(metric) = metric {
            metric.set(value);
        }
    }
}
