//! The record of what was shown: durable before the answer goes out. When the disk is full, care goes on and the record waits.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::oneshot;

use super::gate::{Gate, Who};
use crate::actor::{Failure, Origin, Outcome};
use crate::domain::disclosure::{Event, Record};
use crate::domain::rights::{Forbidden, Ground};
use crate::domain::user::Command;
use crate::journal::{Batch, Meta, NewEvent};
use crate::kernel::{Mrn, Principal, StreamId, StreamKind};
use crate::telemetry;

/// Bytes of records that may wait for the journal.
const WAITING: usize = 32 << 20;

/// Records that the journal could not take yet.
#[derive(Debug, Default)]
pub(super) struct Missed(Mutex<Queue>);

#[derive(Debug, Default)]
struct Queue {
    records: VecDeque<(Arc<Meta>, NewEvent)>,
    bytes: usize,
}

/// What a record takes in memory, about.
fn size(event: &NewEvent) -> usize {
    event.payload.get().len() + 400
}

impl Missed {
    fn queue(&self) -> std::sync::MutexGuard<'_, Queue> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Keeps a record; false when too much waits.
    fn keep(&self, record: (Arc<Meta>, NewEvent)) -> bool {
        let mut queue = self.queue();
        let has_room = queue.bytes + size(&record.1) <= WAITING;
        if has_room {
            queue.bytes += size(&record.1);
            queue.records.push_back(record);
        }
        telemetry::audit_waiting(queue.records.len());
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

    /// Somebody was refused a look at a patient: the auditor sees who tried.
    pub async fn refused_look(&self, who: &Who, patient: &Mrn, forbidden: &Forbidden) {
        let (Forbidden::NotYourPatient(permission) | Forbidden::Restricted(permission)) = forbidden else { return };
        let Some(user) = &who.user else { return };
        let event = Event::LookRefused { patient: patient.clone(), permission: *permission, why: forbidden.word().to_owned() };
        // It is refused whether the journal takes this or not.
        let _ = self.note(user.as_str(), who.principal.clone(), who.station.clone(), &event).await;
    }

    /// Somebody whom nobody knows tried to sign in: it takes as long as for somebody who is known.
    pub(super) async fn stranger(&self, from: &str) {
        let event = Event::StrangerRefused { from: from.to_owned() };
        // They are refused whether the journal takes this or not.
        let _ = self.note("stranger", Principal::System("access".to_owned()), Some(from.to_owned()), &event).await;
    }

    async fn note(&self, stream: &str, principal: Principal, place: Option<String>, event: &Event) -> Result<(), Failure> {
        let (name, version) = Event::name(event);
        let new = NewEvent::new(StreamId::new(StreamKind::Access, stream), name, version, event).map_err(|error| Failure::Unreadable(error.to_string()))?;
        let origin = self.origin(principal, Some(place.unwrap_or_else(|| "http".to_owned()))).map_err(|_| Failure::Busy)?;
        self.store(origin.meta(), new).await
    }

    /// Tells the journal what it could not take before, in its order.
    pub(super) async fn store_missed(&self) {
        loop {
            let next = self.pending().first();
            let Some((user, command, origin)) = next else { break };
            if let Outcome::Failed(Failure::Full | Failure::Busy | Failure::Lost) = self.hospital.user(&user, command, origin).await {
                return;
            }
            self.pending().told();
        }
        loop {
            let next = self.missed.queue().records.front().cloned();
            let Some((meta, event)) = next else { return };
            let bytes = size(&event);
            if self.store(meta, event).await.is_err() {
                return;
            }
            let mut queue = self.missed.queue();
            queue.records.pop_front();
            queue.bytes = queue.bytes.saturating_sub(bytes);
            telemetry::audit_waiting(queue.records.len());
        }
    }

    /// wardd stops: what the journal still does not take is said in this machine's own log, without the patients.
    pub(super) fn give_up_missed(&self) {
        for (user, command) in self.pending().iter() {
            let what = match command {
                Command::BreakGlass { .. } => "an emergency",
                Command::NoteFailure { .. } => "a wrong try",
                _ => "a sign-in or its end",
            };
            telemetry::audit_lost(user.as_str(), what);
        }
        for (meta, event) in &self.missed.queue().records {
            telemetry::audit_lost(&meta.principal.to_string(), &event.kind);
        }
    }
}
