//! Handing a message to its device's actor, with patience: busy is tried again, lost is tried once more and then held.

use std::time::Duration;

use bytes::Bytes;
use sha2::{Digest, Sha256};
use tokio::sync::oneshot;
use tokio::time::Instant;

use super::Device;
use crate::actor::Failure;
use crate::actor::device::{Intake, Kept};
use crate::domain::quarantine::Reason;
use crate::kernel::planted::{self, Bug};
use crate::kernel::{CommandId, Timestamp};
use crate::profile::Kind;
use crate::routing::{Routed, Understood};
use crate::telemetry::Answered;

/// How long a message may wait for a place before the device is told to come again.
const PATIENCE: Duration = Duration::from_secs(8);
/// How long a stored message may take altogether.
const ANSWER: Duration = Duration::from_secs(12);

/// The identity of a message: the same bytes of the same device are the same message.
pub(super) fn identity(device: &str, bytes: &[u8]) -> CommandId {
    let mut hash = Sha256::new();
    hash.update(device.as_bytes());
    hash.update([0]);
    hash.update(bytes);
    let digest = hash.finalize();
    let mut id = [0; 16];
    id.copy_from_slice(digest.get(..16).unwrap_or(&[0; 16]));
    CommandId::from_bytes(id)
}

/// A message that is to be stored.
pub(super) struct Arrived {
    pub(super) message: CommandId,
    pub(super) raw: Bytes,
    pub(super) understood: Understood,
    pub(super) received: Timestamp,
    pub(super) peer: String,
    /// Whether a person has it handled again.
    pub(super) is_replay: bool,
}

/// Stores a message and what it asks for; says how it ended, and counts it.
pub(super) async fn store(device: &Device, mut arrived: Arrived) -> Result<Kept, Failure> {
    let started = Instant::now();
    if device.profile.kind == Kind::Analyzer
        && !arrived.is_replay
        && let Some(hosts) = device.peers.several()
    {
        let detail =
            format!("{hosts} are connected to the listener of {}: nobody can say which of them sent this; give each analyzer a listener of its own, then retry", device.id);
        arrived.understood = Understood { items: vec![Routed::Hold(Reason::Ambiguous { detail })], ..arrived.understood };
    }
    if let Some(bad) = device.gate.closed_at()
        && !arrived.is_replay
    {
        let detail = format!(
            "{bad} of the last 1000 frames of {} were bad, so that a wrong value may have passed the checksum: mend the line, compare this with the analyzer, then retry",
            device.id
        );
        arrived.understood.hold_results(&Reason::NoisyLine { detail });
    }
    let device_time = arrived.understood.device_time;
    let result = tokio::time::timeout(ANSWER, with_patience(device, arrived, started)).await.unwrap_or(Err(Failure::Busy));
    let answer = match &result {
        Ok(kept) if kept.is_repeated => Answered::Repeated,
        Ok(kept) if kept.holds.is_empty() => Answered::Accepted,
        Ok(_) => Answered::Held,
        Err(_) => Answered::Failed,
    };
    device.figures.answered(answer, device_time, device.clock.now(), started.elapsed());
    result
}

/// Who can be asked to store a message.
trait Store: Sync {
    /// One try.
    fn once(&self, arrived: &Arrived) -> impl Future<Output = Result<Kept, Failure>> + Send;
}

async fn with_patience(to: &impl Store, mut arrived: Arrived, started: Instant) -> Result<Kept, Failure> {
    let mut pause = Duration::from_millis(2);
    let mut was_lost = false;
    loop {
        match to.once(&arrived).await {
            Err(Failure::Lost) if planted::is(Bug::LostIsAccepted) => return Ok(Kept { holds: [].into(), is_repeated: false }),
            Err(Failure::Busy) if planted::is(Bug::BusyIsAccepted) => return Ok(Kept { holds: [].into(), is_repeated: false }),
            Err(Failure::Lost) if was_lost => {
                // The same command failed twice: it is kept for a person and not tried a third time.
                arrived.understood = Understood::held(Reason::Poison { detail: "handling this message failed twice: report it with the log, then retry".to_owned() });
                was_lost = false;
            }
            Err(Failure::Lost) => was_lost = true,
            Err(Failure::Busy) if started.elapsed() < PATIENCE => {}
            other => return other,
        }
        tokio::time::sleep(pause).await;
        pause = (pause * 2).min(Duration::from_millis(100));
    }
}

impl Store for Device {
    /// The understanding is copied, since the same must be tried again after a failure inside.
    async fn once(&self, arrived: &Arrived) -> Result<Kept, Failure> {
        let (sender, receiver) = oneshot::channel();
        let intake = Intake {
            message: arrived.message,
            raw: arrived.raw.clone(),
            understood: arrived.understood.clone(),
            received: arrived.received,
            now: self.clock.now(),
            is_replay: arrived.is_replay,
            place: Some(arrived.peer.clone()),
            reply: Box::new(move |result| {
                // The connection may have been lost meanwhile; the device will ask again.
                let _ = sender.send(result);
            }),
        };
        if self.hospital.intake(&self.id, intake).is_err() {
            return Err(Failure::Busy);
        }
        receiver.await.unwrap_or(Err(Failure::Lost))
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use super::*;

    /// Answers as listed, and notes what each try was asked to do.
    struct Script<'a> {
        answers: &'a [Result<(), Failure>],
        seen: Mutex<Vec<String>>,
    }

    impl Store for Script<'_> {
        async fn once(&self, arrived: &Arrived) -> Result<Kept, Failure> {
            let mut seen = self.seen.lock().unwrap();
            seen.push(arrived.understood.items.iter().map(|item| format!("{item:?}")).collect());
            let answer = self.answers.get(seen.len() - 1).cloned().unwrap_or(Err(Failure::Closed));
            answer.map(|()| Kept { holds: [].into(), is_repeated: false })
        }
    }

    async fn tries(answers: &[Result<(), Failure>]) -> (Vec<String>, Result<(), Failure>) {
        let script = Script { answers, seen: Mutex::default() };
        let understood = Understood::held(Reason::Invalid { detail: "as it came".to_owned() });
        let arrived =
            Arrived { message: identity("x", b"y"), raw: Bytes::from_static(b"y"), understood, received: Timestamp::from_micros(1), peer: String::new(), is_replay: false };
        let result = with_patience(&script, arrived, Instant::now()).await;
        (script.seen.into_inner().unwrap(), result.map(drop))
    }

    #[tokio::test]
    async fn what_was_lost_is_tried_once_more_as_it_came_and_then_held_as_poison() {
        let (seen, result) = tries(&[Err(Failure::Busy), Err(Failure::Lost), Err(Failure::Busy), Ok(())]).await;
        assert_eq!((seen.len(), result), (4, Ok(())));
        assert!(seen.iter().all(|try_of| try_of.contains("as it came")), "{seen:?}");
        let (seen, result) = tries(&[Err(Failure::Lost), Err(Failure::Lost), Ok(())]).await;
        assert_eq!(result, Ok(()));
        assert!(seen[1].contains("as it came") && seen[2].contains("Poison"), "{seen:?}");
        let (seen, result) = tries(&[Err(Failure::Closed)]).await;
        assert_eq!((seen.len(), result), (1, Err(Failure::Closed)), "what cannot succeed is not tried again");
    }
}
