//! What happens to the journal and its views.

use std::time::Duration;

use super::registry::metric;

metric!(events: IntCounter, "wardd_journal_records_total", "Records made durable, one a command.");
metric!(bytes: IntCounter, "wardd_journal_bytes_total", "Bytes made durable.");
metric!(syncs: IntCounter, "wardd_journal_syncs_total", "Group commits; records by syncs is the mean group.");
metric!(failures: IntCounter, "wardd_journal_failures_total", "Failed writes or syncs; the first one stops wardd.");
metric!(full: IntCounter, "wardd_journal_full_total", "Appends refused since the disk was full.");
metric!(mirror_ok: IntGauge, "wardd_journal_mirror_ok", "1 while the mirror log is written, 0 after it failed; absent without a mirror.");
metric!(set_aside: IntCounter, "wardd_journal_views_set_aside_total", "Damaged stores of views that were set aside and rebuilt.");
metric!(sync_seconds: Histogram, "wardd_journal_commit_seconds", "Write and fdatasync of one group.", vec![2.5e-5, 5e-5, 1e-4, 2.5e-4, 5e-4, 1e-3, 2.5e-3, 5e-3, 1e-2, 5e-2, 0.25, 1.0, 2.5]);

/// Counters without labels stand at zero from the start.
pub(super) fn begin_journal_counters() {
    for counter in [events, bytes, syncs, failures, full, set_aside] {
        counter();
    }
}

/// A group was written and synced, or was not.
pub fn journal_committed(records: usize, size: usize, took: Duration, is_durable: bool) {
    if is_durable {
        for (counter, more) in [(events(), records), (bytes(), size), (syncs(), 1)] {
            if let Some(counter) = counter {
                counter.inc_by(more as u64);
            }
        }
    }
    if let Some(histogram) = sync_seconds() {
        histogram.observe(took.as_secs_f64());
    }
    tracing::debug!(records, size, micros = took.as_micros(), "journal group committed");
}

/// A write or sync failed: a person must act.
pub fn journal_failed(cause: &str) {
    if let Some(metric) = failures() {
        metric.inc();
    }
    tracing::error!(code = "WD-0100", cause, "journal failed, nothing is accepted any more");
}

/// The disk has no room for what was to be written.
pub fn journal_full(error: &std::io::Error) {
    if let Some(metric) = full() {
        metric.inc();
    }
    tracing::error!(code = "WD-0102", %error, "journal has no room: nothing is taken until the disk has some");
}

/// Whether the mirror is written.
pub fn mirror(is_written: bool) {
    if let Some(metric) = mirror_ok() {
        metric.set(is_written.into());
    }
}

/// The mirror cannot be written; the log goes on alone.
pub fn mirror_lost(why: &str) {
    tracing::error!(code = "WD-0109", why, "the mirror of the journal is not written any more: mend its disk, and restart wardd when it suits");
}

/// The log is healed from its mirror.
pub fn mirror_heals(why: &str) {
    tracing::error!(code = "WD-0134", why, "the journal is damaged and is healed from its mirror: replace its disk");
}

/// The head of the log was signed: this line in the system's own log is a copy that the journal's disk cannot change.
pub fn head_signed(sequence: u64, chain: &str) {
    tracing::info!(sequence, chain, "the head of the journal was signed");
}

/// The store of views had failed and is open again.
pub fn views_mended() {
    tracing::info!("views are open again, read models and charges go on from where they stand");
}

/// The store of views was damaged.
pub fn views_set_aside(why: &str) {
    if let Some(metric) = set_aside() {
        metric.inc();
    }
    tracing::warn!(code = "WD-0120", why, "views set aside, they are rebuilt from the journal");
}
