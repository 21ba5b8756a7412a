//! Who saw and did what, sent on to a collector by syslog over TLS (RFC 5425). The log is the buffer: a collector that was away gets all.
//!
//! **Invariant**: at least once. RFC 5425 has no acknowledgement, so what was written shortly before a line broke is written again; each
//! message names its event by sequence, and a collector can tell.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::{Instant, sleep, timeout};

use crate::codec::syslog::AuditMessage;
use crate::domain::disclosure;
use crate::domain::encounter::Encounter;
use crate::domain::schedule::Schedule;
use crate::domain::user;
use crate::journal::views::{self, Views};
use crate::journal::{Log, Meta, StoredBatch, StoredEvent};
use crate::kernel::{Mrn, Principal, StreamKind};
use crate::link::{Connection, TcpConnector};
use crate::projection::History;
use crate::telemetry;

const CONSUMER: &str = "audit";
/// What was written longer ago than this on a line that stands is taken to have arrived.
const SETTLED: Duration = Duration::from_secs(60);
/// A collector that takes nothing for so long is not there.
const TAKEN: Duration = Duration::from_secs(10);
/// Between two looks whether the line stands and what is settled.
const LOOK: Duration = Duration::from_millis(500);

/// Follows the log and forwards what an auditor asks for.
pub struct Forwarding {
    connector: TcpConnector,
    facility: String,
    history: History,
    /// The last event that is settled: from there a new line begins.
    settled: u64,
    /// What was written and is not settled yet: when, and up to which event.
    written: VecDeque<(Instant, u64)>,
    saved: u64,
}

impl std::fmt::Debug for Forwarding {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Forwarding(from event {})", self.settled)
    }
}

/// Whether an event is one that an auditor asks for: what people and programs saw and did, and who tried to get in.
fn is_of_interest(meta: &Meta, event: &StoredEvent) -> bool {
    let is_somebody = matches!(meta.principal, Principal::Person(_) | Principal::Program(_));
    is_somebody || matches!(event.event.stream.kind(), StreamKind::Access | StreamKind::User)
}

/// Whose records an event is about; of a stay or an appointment the log knows whose it was at that moment.
fn patients(history: &History, event: &StoredEvent) -> Vec<String> {
    let payload = event.event.payload.get();
    let key = || vec![event.event.stream.key().to_owned()];
    let all = |patients: Vec<Mrn>| patients.iter().map(ToString::to_string).collect();
    match event.event.stream.kind() {
        StreamKind::Patient | StreamKind::Chart | StreamKind::Vitals => key(),
        StreamKind::Account => key().iter().map(|key| key.trim_start_matches("acc_").to_owned()).collect(),
        StreamKind::Access => match serde_json::from_str(payload) {
            Ok(disclosure::Event::RecordShown { patients, .. }) => all(patients),
            Ok(disclosure::Event::LookRefused { patient, .. }) => vec![patient.to_string()],
            Ok(disclosure::Event::StrangerRefused { .. }) | Err(_) => Vec::new(),
        },
        StreamKind::User => match serde_json::from_str(payload) {
            Ok(user::Event::GlassBroken { emergency, .. }) => vec![emergency.patient.to_string()],
            _ => Vec::new(),
        },
        StreamKind::Encounter | StreamKind::Task => {
            let stay = history.after::<Encounter>(event.event.stream.key(), event.sequence);
            stay.ok().and_then(|stay| stay.patient().map(ToString::to_string)).or_else(|| named(payload)).into_iter().collect()
        }
        StreamKind::Schedule => {
            let number = serde_json::from_str::<serde_json::Value>(payload).ok().and_then(|payload| u32::try_from(payload.get("number")?.as_u64()?).ok());
            let appointment = |number: u32| {
                let schedule = history.after::<Schedule>(event.event.stream.key(), event.sequence).ok()?;
                Some(schedule.appointments.get(&number)?.patient.to_string())
            };
            named(payload).or_else(|| appointment(number?)).into_iter().collect()
        }
        // Others name their patient in a field of that name, where they have one.
        _ => named(payload).into_iter().collect(),
    }
}

fn named(payload: &str) -> Option<String> {
    let payload: serde_json::Value = serde_json::from_str(payload).ok()?;
    payload.get("patient")?.as_str().map(str::to_owned)
}

impl Forwarding {
    /// To the collector behind a connector.
    pub fn new(connector: TcpConnector, facility: String, history: History) -> Self {
        Self { connector, facility, history, settled: 0, written: VecDeque::new(), saved: 0 }
    }

    /// Follows the log until it closes.
    pub async fn run(mut self, log: Arc<dyn Log>, views: Arc<dyn Views>) {
        let start = views::cursor(views.as_ref(), CONSUMER).unwrap_or(0);
        self.settled = if start > log.head() { 0 } else { start };
        self.saved = self.settled;
        loop {
            let line = self.connector.connect().await;
            telemetry::audit_collector(true);
            let is_over = self.serve(line, log.as_ref(), views.as_ref()).await;
            telemetry::audit_collector(false);
            // What is not settled is written again on the next line.
            self.written.clear();
            if is_over {
                return;
            }
            self.connector.rest().await;
        }
    }

    /// Writes on one line until it breaks; `true` when the log has closed.
    async fn serve(&mut self, line: Connection, log: &dyn Log, views: &dyn Views) -> bool {
        let Connection { mut reader, mut writer, .. } = line;
        let mut tail = log.tail(self.settled + 1);
        let mut unexpected = [0; 64];
        loop {
            tokio::select! {
                biased;
                // A collector says nothing: what comes is the end of the line.
                read = reader.read(&mut unexpected) => match read {
                    Ok(1..) => {}
                    Ok(0) | Err(_) => return false,
                },
                next = timeout(LOOK, tail.next(log)) => match next {
                    Ok(Ok(Some(batch))) => {
                        let bytes = self.bytes(&batch);
                        if !bytes.is_empty() && !matches!(timeout(TAKEN, async { writer.write_all(&bytes).await?; writer.flush().await }).await, Ok(Ok(()))) {
                            return false;
                        }
                        self.connector.worked();
                        self.written.push_back((Instant::now(), batch.last()));
                    }
                    Ok(Ok(None)) => return true,
                    Ok(Err(error)) => {
                        telemetry::consumer_failed(CONSUMER, &error.to_string());
                        sleep(Duration::from_secs(1)).await;
                    }
                    Err(_) => {}
                },
            }
            self.settle(views);
        }
    }

    fn bytes(&self, batch: &StoredBatch) -> Vec<u8> {
        let of_interest = batch.events.iter().filter(|event| is_of_interest(&batch.meta, event));
        of_interest.flat_map(|event| self.message(&batch.meta, event).frame()).collect()
    }

    fn message(&self, meta: &Meta, event: &StoredEvent) -> AuditMessage {
        let what = event.event.kind.to_string();
        AuditMessage {
            sequence: event.sequence,
            at: meta.recorded,
            facility: self.facility.clone(),
            who: meta.principal.to_string(),
            witness: meta.witness.clone(),
            place: meta.place.clone(),
            is_refused: what.contains("Refused") || what.contains("Failed"),
            what,
            of: event.event.stream.to_string(),
            patients: patients(&self.history, event),
        }
    }

    /// The cursor stands before what may not have arrived.
    fn settle(&mut self, views: &dyn Views) {
        while let Some((at, sequence)) = self.written.front().copied()
            && at.elapsed() >= SETTLED
        {
            self.settled = sequence;
            self.written.pop_front();
        }
        telemetry::consumer_at(CONSUMER, self.written.back().map_or(self.settled, |(_, sequence)| *sequence));
        if self.settled > self.saved {
            match views.apply(&[views::advance(CONSUMER, self.settled)]) {
                Ok(()) => self.saved = self.settled,
                Err(error) => telemetry::consumer_failed(CONSUMER, &error.to_string()),
            }
        }
    }
}
