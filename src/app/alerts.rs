//! Alerts that nobody takes go to the next level; ops see how many wait.

use std::sync::Arc;
use std::time::Duration;

use sha2::{Digest, Sha256};
use tokio::sync::watch;

use crate::actor::{Hospital, Origin, Outcome};
use crate::domain::census::{Command, Measured};
use crate::domain::vitals;
use crate::journal::Log;
use crate::kernel::{Clock, CommandId, Principal};
use crate::projection::{OpenAlert, Rows};
use crate::telemetry;

/// Rows that are so many events behind say nothing.
const BEHIND: u64 = 100_000;
/// Between two looks.
const EVERY: Duration = Duration::from_secs(5);

/// Looks until wardd stops.
pub(super) async fn watch(hospital: Arc<Hospital>, (rows, log): (Arc<Rows>, Arc<dyn Log>), clock: Clock, mut stop: watch::Receiver<bool>) {
    loop {
        tokio::select! {
            biased;
            () = async { drop(stop.wait_for(|stops| *stops).await) } => return,
            () = tokio::time::sleep(EVERY) => look(&hospital, &rows, log.head(), &clock).await,
        }
    }
}

async fn look(hospital: &Hospital, rows: &Rows, head: u64, clock: &Clock) {
    // Rows that are far behind, as after a change of their form, know nothing yet: a figure of nought would be wrong.
    if head.saturating_sub(rows.applied()) > BEHIND {
        return;
    }
    let open = rows.open_alerts();
    let waiting: Vec<&OpenAlert> = open.iter().filter(|open| open.alert.taken.is_none()).collect();
    let now = clock.now();
    let oldest = waiting.iter().map(|open| now.seconds_since(open.alert.raised)).max().unwrap_or(0);
    let highest = waiting.iter().map(|open| open.alert.level).max().unwrap_or(0);
    telemetry::vital_alerts(waiting.len(), oldest, highest);
    for open in waiting {
        let catalogue = &hospital.layout().policy.vitals;
        if catalogue.escalates_at(open.alert.raised, open.alert.level).is_none_or(|due| due > now) {
            continue;
        }
        let level = open.alert.level + 1;
        let command = Command::Vitals { whom: Measured::Patient(open.patient.clone()), command: vitals::Command::Escalate { number: open.number, level } };
        // The same step has the same identity, so that it is taken once.
        let digest = Sha256::digest(format!("escalate {} {} {level}", open.patient, open.number));
        let id = CommandId::from_bytes(digest.first_chunk().copied().unwrap_or_default());
        // What cannot be stored now is tried at the next look.
        if matches!(hospital.census(command, Origin::new(id, Principal::System("alerts".to_owned()), now)).await, Outcome::Done(_)) {
            telemetry::vital_alert_escalated(level);
        }
    }
}
