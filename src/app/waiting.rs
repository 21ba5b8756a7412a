//! What passes by the clock alone: slots that were held and nobody has confirmed, and how long people wait in the emergency department.

use std::sync::Arc;
use std::time::Duration;

use sha2::{Digest, Sha256};
use tokio::sync::watch;

use crate::actor::{Hospital, Origin};
use crate::domain::encounter::Encounter;
use crate::domain::schedule::Command;
use crate::journal::Log;
use crate::kernel::{Clock, CommandId, Principal, Timestamp};
use crate::projection::{EncounterRow, Rows};
use crate::telemetry;

/// Between two looks.
const EVERY: Duration = Duration::from_secs(10);
/// Rows that are so many events behind say nothing.
const BEHIND: u64 = 1_000;

/// Looks until wardd stops.
pub(super) async fn watch(hospital: Arc<Hospital>, (rows, log): (Arc<Rows>, Arc<dyn Log>), clock: Clock, mut stop: watch::Receiver<bool>) {
    loop {
        tokio::select! {
            biased;
            () = async { drop(stop.wait_for(|stops| *stops).await) } => return,
            () = tokio::time::sleep(EVERY) => {}
        }
        if log.head().saturating_sub(rows.applied()) <= BEHIND {
            lapse(&hospital, &rows, clock.now()).await;
            emergencies(&hospital, &rows, clock.now());
        }
    }
}

/// A slot that nobody has confirmed is anybody's again.
async fn lapse(hospital: &Hospital, rows: &Rows, now: Timestamp) {
    for id in rows.with_held_slots() {
        for number in rows.schedule(&id).lapsed(now) {
            // The same step has the same identity, so that it is taken once; what cannot be stored now is tried at the next look.
            let digest = Sha256::digest(format!("lapse {id} {number}"));
            let command = CommandId::from_bytes(digest.first_chunk().copied().unwrap_or_default());
            let origin = Origin::new(command, Principal::System("schedules".to_owned()), now);
            let _ = hospital.schedule(&id, Command::Lapse { number }, origin).await;
        }
    }
}

fn emergencies(hospital: &Hospital, rows: &Rows, now: Timestamp) {
    let targets = hospital.layout().policy.seen_within_minutes;
    let (mut waiting, mut overdue, mut untriaged) = (0, 0, 0);
    for encounter in rows.emergency_stays() {
        let Some(Encounter::Open(stay)) = rows.get::<EncounterRow>("encounter", encounter.as_str()).map(|row| row.encounter) else { continue };
        if stay.treated.is_none() {
            waiting += 1;
            untriaged += i64::from(stay.triage.is_none());
            overdue += i64::from(stay.treated_by(&targets) < now);
        }
    }
    telemetry::emergency_department(waiting, untriaged, overdue);
}
