//! What happens here is told to another system: ADT and SIU over MLLP, one message at a time, in the order of the log.
//!
//! Flow: durable event → [`happening`] → [`message`] → line → [`answer`] → an event that it was taken, which is the cursor.
//! **Invariant**: the next message is sent when the one before was taken, or refused and held for a person; what was not answered is
//! sent again with the same number and the same bytes.

mod answer;
mod happening;
mod message;

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::sync::oneshot;
use tokio::time::{sleep, timeout};

use happening::Happening;
pub use happening::{TRIGGERS, Trigger, trigger};

use self::answer::Answer;
use self::message::{Envelope, Past, Telling, Untold};
use super::held::Held;
use crate::domain::Folded;
use crate::domain::bed::Bed;
use crate::domain::encounter::Encounter;
use crate::domain::patient::Patient;
use crate::domain::schedule::Schedule;
use crate::domain::subscriber::{Event, Subscriber};
use crate::framing::mllp::{self, Block, Matched, Sender, Step};
use crate::journal::{Batch, JournalError, Log, Meta, NewEvent, StoredBatch};
use crate::kernel::{BedId, Clock, CommandId, DeviceId, EncounterId, Mrn, Principal, ScheduleId, StreamId, StreamKind, limits};
use crate::link::{Connection, TcpConnector};
use crate::projection::History;
use crate::telemetry;

/// An answer is waited for so long, in milliseconds, and so many times the same bytes are written before the line is given up.
const ANSWER_MS: u64 = 30_000;
const TRIES: u32 = 2;
/// A message that is not taken now is sent so often, with this pause.
const ATTEMPTS: u32 = 120;
const PAUSE: Duration = Duration::from_secs(5);
/// The first so many pauses are short, and the others long: an hour in all, which the restart of another system does not take.
const SHORT_PAUSES: u32 = 6;
const LONG_PAUSE: Duration = Duration::from_secs(30);
/// Events that may be passed over before it is kept that they were: after a start they are not looked through again.
const PASSED: u64 = 10_000;
/// What cannot be read or kept now is tried again after this time.
const AGAIN: Duration = Duration::from_secs(1);
/// A system that takes no bytes for so long is not there.
const WRITTEN: Duration = Duration::from_secs(10);

/// Who is told, and of what.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Subscription {
    /// Its name here.
    pub id: DeviceId,
    /// MSH-5 and MSH-6.
    pub receiver: [String; 2],
    /// The events that it wants; all when empty.
    pub events: BTreeSet<String>,
    /// What these devices said is not told: mostly the system itself.
    pub not_from: BTreeSet<DeviceId>,
    /// MSH-4.
    pub facility: String,
}

/// Tells one subscriber.
pub struct Feed {
    subscription: Subscription,
    connector: TcpConnector,
    clock: Clock,
    history: History,
}

impl std::fmt::Debug for Feed {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Feed({:?})", self.subscription)
    }
}

/// Why telling stopped.
enum Stopped {
    /// The log has closed.
    Over,
    /// The line has broken, or nobody answers on it.
    Broken,
}

/// The other end of a line.
struct Line {
    connection: Connection,
    decoder: mllp::Decoder,
    sender: Sender,
}

/// What was so after an event of the log.
struct After<'a> {
    history: &'a History,
    /// The batch's last event: a batch is one moment.
    last: u64,
    /// The event before the one that is told.
    before: u64,
}

impl Past for After<'_> {
    fn patient(&self, mrn: &Mrn) -> Result<Patient, JournalError> {
        self.history.after(mrn.as_str(), self.last)
    }
    fn encounter(&self, encounter: &EncounterId) -> Result<Encounter, JournalError> {
        self.history.after(encounter.as_str(), self.last)
    }
    fn encounter_before(&self, encounter: &EncounterId) -> Result<Encounter, JournalError> {
        self.history.after(encounter.as_str(), self.before)
    }
    fn bed(&self, bed: &BedId) -> Result<Bed, JournalError> {
        self.history.after(bed.as_str(), self.last)
    }
    fn schedule(&self, schedule: &ScheduleId) -> Result<Schedule, JournalError> {
        self.history.after(schedule.as_str(), self.last)
    }
    fn is_new(&self, mrn: &Mrn) -> Result<bool, JournalError> {
        let is_registered = |sequence| Ok::<_, JournalError>(self.history.after::<Patient>(mrn.as_str(), sequence)?.person.is_some());
        Ok(!is_registered(self.before)? && is_registered(self.before + 1)?)
    }
}

impl Feed {
    /// Tells a subscriber behind a connector.
    pub fn new(subscription: Subscription, connector: TcpConnector, history: History, clock: Clock) -> Self {
        Self { subscription, connector, clock, history }
    }

    fn stream(&self) -> StreamId {
        StreamId::new(StreamKind::Subscriber, self.subscription.id.as_str())
    }

    /// Follows the log until it closes.
    pub async fn run(mut self) {
        let log = self.history.log();
        let mut through = self.begin(log.as_ref()).await;
        loop {
            let connection = self.connector.connect().await;
            telemetry::subscriber_connected(self.subscription.id.as_str(), true);
            let decoder = mllp::Decoder::new(limits::MLLP_MESSAGE_BYTES);
            let mut line = Line { connection, decoder, sender: Sender::new(ANSWER_MS, TRIES) };
            let before = through;
            let stopped = self.serve(&mut line, log.as_ref(), &mut through).await;
            telemetry::subscriber_connected(self.subscription.id.as_str(), false);
            match stopped {
                Stopped::Over => return,
                Stopped::Broken => {
                    if through > before {
                        self.connector.worked();
                    }
                    self.connector.rest().await;
                }
            }
        }
    }

    /// Where it goes on: after what was told last; a new subscriber is told what happens from now on.
    async fn begin(&self, log: &dyn Log) -> u64 {
        loop {
            let stream = self.stream();
            let newest = log.version(&stream);
            let known = match newest {
                0 => Ok(Subscriber::default()),
                newest => log.read_stream(&stream, newest, 1).and_then(|found| last(&found)),
            };
            match known {
                Ok(Subscriber { has_begun: true, through }) => return through,
                Ok(_) => {
                    let through = log.head();
                    if self.keep(log, through, Event::SubscriptionBegan { through, at: self.clock.now() }, None).await {
                        return through;
                    }
                }
                Err(error) => telemetry::consumer_failed("subscriber", &error.to_string()),
            }
            sleep(AGAIN).await;
        }
    }

    async fn serve(&self, line: &mut Line, log: &dyn Log, through: &mut u64) -> Stopped {
        let mut tail = log.tail(*through + 1);
        let mut kept = *through;
        loop {
            let batch = tokio::select! {
                biased;
                is_whole = line.idle() => match is_whole {
                    true => continue,
                    false => return Stopped::Broken,
                },
                next = tail.next(log) => match next {
                    Ok(Some(batch)) => batch,
                    Ok(None) => return Stopped::Over,
                    Err(error) => {
                        telemetry::consumer_failed("subscriber", &error.to_string());
                        sleep(AGAIN).await;
                        continue;
                    }
                },
            };
            let before = *through;
            if !self.batch(line, log, &batch, through).await {
                return Stopped::Broken;
            }
            kept = if *through > before { *through } else { kept };
            // What is done with is not looked at again, also after another line.
            *through = batch.last().max(*through);
            if *through - kept > PASSED && self.keep(log, *through, Event::PassedOver { through: *through, at: self.clock.now() }, None).await {
                kept = *through;
            }
        }
    }

    /// Tells what of a batch was not told; `false` when the line does not take it.
    async fn batch(&self, line: &mut Line, log: &dyn Log, batch: &StoredBatch, through: &mut u64) -> bool {
        if matches!(&batch.meta.principal, Principal::Device(device) if self.subscription.not_from.contains(device)) {
            return true;
        }
        let told = loop {
            match happening::of(batch) {
                Ok(told) => break told,
                // Nothing is passed over in silence: it stands here, and its lag grows, until this version can read it.
                Err(error) => telemetry::consumer_failed("subscriber", &error),
            }
            sleep(AGAIN).await;
        };
        let before = *through;
        for (sequence, happening) in told.into_iter().filter(|(sequence, _)| *sequence > before) {
            let envelope = self.envelope(batch, sequence);
            let past = After { history: &self.history, last: batch.last(), before: sequence - 1 };
            let telling = loop {
                match self.telling(&happening, &past, &envelope) {
                    Err(Untold::Unread(error)) => telemetry::consumer_failed("subscriber", &error.to_string()),
                    written => break written,
                }
                sleep(AGAIN).await;
            };
            let telling = match telling {
                Ok(Some(telling)) => telling,
                Ok(None) => continue,
                Err(why) => {
                    self.untold(log, sequence, &why.to_string()).await;
                    *through = sequence;
                    continue;
                }
            };
            telemetry::subscriber_waits(self.subscription.id.as_str(), Some(batch.meta.recorded));
            let Some(answer) = self.deliver(line, &envelope.number, &telling.bytes).await else { return false };
            self.note(log, sequence, envelope.number, telling, answer).await;
            telemetry::subscriber_waits(self.subscription.id.as_str(), None);
            *through = sequence;
        }
        true
    }

    /// What is sent of a happening; nothing when it is not wanted.
    fn telling(&self, happening: &Happening, past: &After<'_>, envelope: &Envelope<'_>) -> Result<Option<Telling>, Untold> {
        let trigger = message::trigger_of(happening, past)?;
        let is_wanted = self.subscription.events.is_empty() || self.subscription.events.contains(trigger.event);
        is_wanted.then(|| message::tell(happening, trigger, past, envelope)).transpose()
    }

    fn envelope(&self, batch: &StoredBatch, sequence: u64) -> Envelope<'_> {
        let Subscription { receiver: [application, facility], facility: ours, .. } = &self.subscription;
        let operator = match &batch.meta.principal {
            Principal::Person(name) | Principal::Program(name) | Principal::System(name) => name.clone(),
            Principal::Device(device) => device.to_string(),
        };
        // The same event has the same number, so that the other end knows what is sent again.
        Envelope { facility: ours, receiver: [application, facility], number: format!("W{sequence}"), recorded: batch.meta.recorded, operator }
    }

    /// The answer to a message; none when the line has broken.
    async fn deliver(&self, line: &mut Line, number: &str, bytes: &[u8]) -> Option<Answer> {
        let mut answer = Answer::Taken;
        for attempt in 0..ATTEMPTS {
            match attempt {
                0 => {}
                1..=SHORT_PAUSES => sleep(PAUSE).await,
                _ => sleep(LONG_PAUSE).await,
            }
            answer = line.ask(&self.clock, number, bytes).await?;
            if !matches!(answer, Answer::NotNow(_)) {
                break;
            }
        }
        Some(answer)
    }

    /// Keeps what came of a message, as often as it takes: the next one is sent after it.
    async fn note(&self, log: &dyn Log, through: u64, number: String, telling: Telling, answer: Answer) {
        let Telling { trigger, patients, .. } = telling;
        let (message, at) = (format!("{}^{}", trigger.kind, trigger.event), self.clock.now());
        let id = &self.subscription.id;
        let event = match answer {
            Answer::Taken => {
                telemetry::subscriber_told(id.as_str(), "taken");
                Event::MessageTaken { through, message, number, patients, at }
            }
            Answer::Wrong(answer) | Answer::NotNow(answer) => {
                telemetry::subscriber_told(id.as_str(), "refused");
                let detail = format!("{id} would not take {message} number {number}: {answer}. Tell them by hand or mend it there, then discard this");
                self.hold(log, through, "message_refused", &detail).await;
                Event::MessageRefused { through, message, number, patients, answer, at }
            }
        };
        while !self.keep(log, through, event.clone(), Some(through)).await {
            sleep(AGAIN).await;
        }
    }

    /// What cannot be written as a message waits for a person, and nothing waits behind it.
    async fn untold(&self, log: &dyn Log, sequence: u64, why: &str) {
        let id = &self.subscription.id;
        telemetry::subscriber_told(id.as_str(), "refused");
        self.hold(log, sequence, "message_untold", &format!("event {sequence} could not be told to {id}: {why}. Tell them by hand, then discard this")).await;
        while !self.keep(log, sequence, Event::PassedOver { through: sequence, at: self.clock.now() }, Some(sequence)).await {
            sleep(AGAIN).await;
        }
    }

    async fn hold(&self, log: &dyn Log, sequence: u64, rule: &'static str, detail: &str) {
        let id = &self.subscription.id;
        let held = || Held { by: "subscriber", item: format!("qtn_{id}-{sequence}"), sequence, rule, detail: detail.to_owned(), device: Some(id.clone()) };
        while !held().store(log, self.clock.now()).await {
            sleep(AGAIN).await;
        }
    }

    /// Whether an event of the subscriber's stream is durable now.
    async fn keep(&self, log: &dyn Log, sequence: u64, event: Event, causation: Option<u64>) -> bool {
        let (kind, version) = Subscriber::name(&event);
        let Ok(new) = NewEvent::new(self.stream(), kind, version, &event) else { return false };
        let now = self.clock.now();
        let digest = <sha2::Sha256 as sha2::Digest>::digest(format!("{} {kind} {sequence}", self.subscription.id));
        let command = CommandId::from_bytes(digest.first_chunk().copied().unwrap_or_default());
        let principal = Principal::System("subscriber".to_owned());
        let meta = Meta { command, principal, witness: None, place: None, correlation: command, causation, device_time: None, received: now, recorded: now, request: None };
        let (sender, receiver) = oneshot::channel();
        log.append(
            Batch { expected: vec![], meta: Arc::new(meta), events: vec![new] },
            Box::new(move |result| {
                // Without a receiver wardd is stopping; the message is sent again after the next start, under the same number.
                let _ = sender.send(result.is_ok());
            }),
        );
        receiver.await.unwrap_or(false)
    }
}

/// How far it was told. What cannot be read is no new subscriber: that one would miss all that it was not told.
fn last(found: &[(Arc<Meta>, crate::journal::StoredEvent)]) -> Result<Subscriber, JournalError> {
    let mut subscriber = Subscriber::default();
    if let Some((_, stored)) = found.last() {
        let event = serde_json::from_str(stored.event.payload.get());
        subscriber.apply(&event.map_err(|error| JournalError::Unreadable(format!("event {}: {error}", stored.sequence)))?);
    }
    Ok(subscriber)
}

impl Line {
    /// Reads what nobody asked for; `false` when the line has ended.
    async fn idle(&mut self) -> bool {
        let mut bytes = [0; 1_024];
        match self.connection.reader.read(&mut bytes).await {
            Ok(0) | Err(_) => false,
            Ok(length) => {
                // An answer that comes too late, or noise.
                self.decoder.receive(bytes.get(..length).unwrap_or_default());
                while self.decoder.next().is_some() {}
                true
            }
        }
    }

    async fn write(&mut self, bytes: &[u8]) -> bool {
        let writer = &mut self.connection.writer;
        matches!(
            timeout(WRITTEN, async {
                writer.write_all(bytes).await?;
                writer.flush().await
            })
            .await,
            Ok(Ok(()))
        )
    }

    /// Sends a message and waits for its own answer; none when the line has broken or nobody answers.
    async fn ask(&mut self, clock: &Clock, number: &str, message: &[u8]) -> Option<Answer> {
        let framed = self.sender.send(number.as_bytes(), message, clock.tick())?;
        if !self.write(&framed).await {
            return None;
        }
        loop {
            while let Some(block) = self.decoder.next() {
                let Block::Message(bytes) = block else { continue };
                if let Some((to, answer)) = answer::read(&bytes)
                    && self.sender.acknowledged(to.as_bytes()) == Matched::InFlight
                {
                    return Some(answer);
                }
            }
            let wait = self.sender.deadline().map_or(0, |deadline| deadline.ms_since(clock.tick()));
            let mut bytes = [0; 1_024];
            match timeout(Duration::from_millis(wait), self.connection.reader.read(&mut bytes)).await {
                Ok(Ok(0) | Err(_)) => return None,
                Ok(Ok(length)) => self.decoder.receive(bytes.get(..length).unwrap_or_default()),
                Err(_) => match self.sender.timeout(clock.tick()) {
                    Some(Step::Transmit(framed)) if self.write(&framed).await => {}
                    Some(Step::Transmit(_) | Step::GiveUp) => return None,
                    None => {}
                },
            }
        }
    }
}
