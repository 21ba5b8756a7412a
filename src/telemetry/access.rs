//! Who signs in, what is refused, what is opened in emergencies.

use super::registry::metric;

metric!(sign_ins: IntCounterVec, "wardd_access_sign_ins_total", "Tries to sign in, by how they ended.", ["outcome"]);
metric!(refused: IntCounterVec, "wardd_access_refused_total", "Requests that somebody's rights did not allow.", ["why"]);
metric!(sessions: IntGauge, "wardd_access_sessions", "Sessions that are open.");
metric!(emergencies: IntGauge, "wardd_access_emergencies_open", "Records that are open in an emergency now.");
metric!(broken: IntCounter, "wardd_access_emergencies_total", "Records that were opened in an emergency.");
metric!(locks: IntCounter, "wardd_access_locks_total", "Times that wrong tries locked a way to sign in.");
metric!(shown: IntCounter, "wardd_audit_records_shown_total", "Answers with patients' data whose record is durable.");
metric!(waiting: IntGauge, "wardd_audit_records_waiting", "Records of what was shown that the journal could not take yet.");
metric!(open_house: IntGauge, "wardd_access_open", "1 when nobody's rights are checked, as in a demonstration.");

metric!(collector: IntGauge, "wardd_audit_collector_up", "1 while the collector of the audit is connected; missing where none is configured.");

metric!(certificate: IntGaugeVec, "wardd_tls_certificate_ends_seconds", "Seconds until a certificate of ours ends.", ["certificate"]);

/// Counters whose labels are known stand at zero from the start.
pub fn begin_access_counters(is_open: bool) {
    for outcome in ["done", "wrong", "locked", "too_many"] {
        if let Some(metric) = sign_ins() {
            metric.with_label_values(&[outcome]);
        }
    }
    broken();
    locks();
    shown();
    audit_waiting(0);
    if let Some(metric) = open_house() {
        metric.set(i64::from(is_open));
    }
    if is_open {
        tracing::warn!("WD-0501 access.open: nobody is asked who they are, and everybody may do everything; this is for demonstrations");
    }
}

/// The line to the collector of the audit stands, or has broken.
pub fn audit_collector(is_up: bool) {
    if let Some(metric) = collector() {
        metric.set(i64::from(is_up));
    }
    if !is_up {
        tracing::warn!("WD-0507 the collector of the audit has hung up: the log keeps what it has not got, and it is sent when the line stands again");
    }
}

/// Somebody tried to sign in.
pub fn sign_in(outcome: &str) {
    if let Some(metric) = sign_ins() {
        metric.with_label_values(&[outcome]).inc();
    }
}

/// Somebody's rights did not allow a request.
pub fn access_refused(why: &str) {
    if let Some(metric) = refused() {
        metric.with_label_values(&[why]).inc();
    }
}

/// How many sessions there are, and how many records are open in emergencies.
pub fn access_sessions(open: usize, in_emergency: usize) {
    for (metric, value) in [(sessions(), open), (emergencies(), in_emergency)] {
        if let Some(metric) = metric {
            metric.set(i64::try_from(value).unwrap_or(i64::MAX));
        }
    }
}

/// A record was opened in an emergency: somebody is told at once.
pub fn glass_broken(user: &str, emergency: &str) {
    if let Some(metric) = broken() {
        metric.inc();
    }
    tracing::warn!(user, emergency, "WD-0502 a patient's record was opened in an emergency: it waits for a review");
}

/// What was shown is stored.
pub fn record_shown() {
    if let Some(metric) = shown() {
        metric.inc();
    }
}

/// So many records of what was shown wait for the journal.
pub fn audit_waiting(records: usize) {
    if let Some(metric) = waiting() {
        metric.set(i64::try_from(records).unwrap_or(i64::MAX));
    }
}

/// A record of what was shown is lost: the journal takes nothing, and too many wait.
pub fn audit_lost(user: &str, what: &str) {
    tracing::error!(user, what, "WD-0503 what was shown could not be recorded: the journal takes nothing and too much waits already");
}

/// So many seconds a certificate of ours is still good; thirty, seven and one day ahead somebody is told, each hour of those days.
pub fn certificate_ends(name: &'static str, seconds: i64) {
    const DAY: i64 = 86_400;
    if let Some(metric) = certificate() {
        metric.with_label_values(&[name]).set(seconds);
    }
    let days = seconds / DAY;
    match seconds {
        ..=0 => tracing::error!(certificate = name, "WD-0505 a certificate has ended: nobody can connect with TLS any more; put a new one in its place and reload"),
        1..=DAY => tracing::error!(certificate = name, days, "WD-0505 a certificate ends within a day: put a new one in its place and reload"),
        _ if days < 7 || days == 29 => tracing::warn!(certificate = name, days, "WD-0505 a certificate ends soon: put a new one in its place and reload"),
        _ => {}
    }
}

/// Too many wrong tries: somebody forgot, or somebody else guesses.
pub fn factor_locked(user: &str, place: &str) {
    if let Some(metric) = locks() {
        metric.inc();
    }
    tracing::warn!(user, place, "WD-0506 too many wrong tries: this way to sign in is locked for a quarter of an hour");
}
