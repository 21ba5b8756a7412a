//! The record of what was shown: durable before the answer goes out. When the disk is full, care goes on and the record waits.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::oneshot;

use super::gate::{Gate, Who};
use crate::actor::{Failure, Origin};
use crate::domain::disclosure::{Event, Record};
use crate::domain::rights::Ground;
use crate::journal::{Batch, Meta, NewEvent};
use crate::kernel::{Mrn, StreamId, StreamKind};
use crate::telemetry;

/// Records that may wait for the journal.
const WAITING: usize = 100_000;

/// Records that the journal could not take yet.
#[derive(Debug, Default)]
pub(super) struct Missed(Mutex<VecDeque<(Arc<Meta>, NewEvent)>>);

impl Missed {
    fn queue(&self) -> std::sync::MutexGuard<'_, VecDeque<(Arc<Meta>, NewEvent)>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Keeps a record; false when too many wait.
    fn keep(&self, record: (Arc<Meta>, NewEvent)) -> bool {
        let mut queue = self.queue();
        let has_room = queue.len() < WAITING;
        if has_room {
            queue.push_back(record);
        }
        telemetry::audit_waiting(queue.len());
        has_room
    }
}

impl Gate {
    /// Stores that records are about to be shown. An error when the journal has failed: then nothing is shown. A full disk keeps nobody
    /// from a patient's record.
    pub async fn shown(&self, who: &Who, record: Record, number: Option<&str>, patients: Vec<Mrn>, ground: Ground) -> Result<(), Failure> {
        let Some(user) = &who.user else { return Ok(()) };
        let unreadable = |error: &dyn std::fmt::Display| Failure::Unreadable(error.to_string());
        let event = Event::RecordShown { record, number: number.map(str::to_owned), patients, ground };
        let (name, version) = Event::name(&event);
        let event = NewEvent::new(StreamId::new(StreamKind::Access, user.as_str()), name, version, &event).map_err(|error| unreadable(&error))?;
        let origin: Origin = self.origin(who.principal.clone(), Some(who.station.clone().unwrap_or_else(|| "http".to_owned()))).map_err(|_| Failure::Busy)?;
        let meta = origin.meta();
        match self.store(meta.clone(), event.clone()).await {
            Ok(()) => {
                telemetry::record_shown();
                Ok(())
            }
            Err(Failure::Full | Failure::Busy) => {
                if !self.missed.keep((meta, event)) {
                    telemetry::audit_lost(user.as_str(), &format!("{record:?}"));
                }
                Ok(())
            }
            Err(failure) => Err(failure),
        }
    }

    async fn store(&self, meta: Arc<Meta>, event: NewEvent) -> Result<(), Failure> {
        let (sender, receiver) = oneshot::channel();
        let done = Box::new(move |result: Result<_, crate::journal::AppendError>| {
            // Whoever asked may have gone; the record is stored all the same.
            let _ = sender.send(result.map(drop).map_err(Failure::from));
        });
        self.log.append(Batch { expected: Vec::new(), meta, events: vec![event] }, done);
        receiver.await.unwrap_or(Err(Failure::Lost))
    }

    /// Stores what had to wait, in its order.
    pub(super) async fn store_missed(&self) {
        loop {
            let Some((meta, event)) = self.missed.queue().front().cloned() else { return };
            if self.store(meta, event).await.is_err() {
                return;
            }
            let mut queue = self.missed.queue();
            queue.pop_front();
            telemetry::audit_waiting(queue.len());
        }
    }
}
