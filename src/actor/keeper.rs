//! The shell of an aggregate: keeps the state of one stream (a bed) or of many (specimens, loaded when asked for and let go when cold).

use std::collections::{HashMap, VecDeque};
use std::marker::PhantomData;
use std::sync::Arc;

use ractor::{Actor, ActorProcessingErr, ActorRef};

use super::port::Placed;
use super::request::{Failure, Outcome, Request};
use crate::domain::quarantine::{self, Reason};
use crate::domain::{Aggregate, Refusal};
use crate::journal::{Batch, Expected, Log, NewEvent, Receipt, Snapshot};
use crate::kernel::planted::{self, Bug};
use crate::kernel::{CommandId, StreamId, StreamKind, limits};
use crate::telemetry;

/// What a keeper is asked.
pub enum Message<A: Aggregate> {
    /// A command to a stream.
    Ask(Box<Request<A::Command>>),
    /// Shows a stream's state once everything before is durable.
    Inspect {
        /// The key of the stream.
        key: String,
        /// Called with the state; for a stream without events with the default.
        show: Box<dyn FnOnce(&A) -> Shown + Send>,
    },
    /// An append failed: the state in memory is ahead of the log and is forgotten.
    Forget {
        /// The key of the stream.
        key: String,
    },
}

/// What is to be sent once everything before is durable.
pub type Shown = Box<dyn FnOnce(Result<(), Failure>) + Send>;

impl<A: Aggregate> std::fmt::Debug for Message<A> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Message::Ask(request) => request.fmt(f),
            Message::Inspect { key, .. } => write!(f, "Inspect({key})"),
            Message::Forget { key } => write!(f, "Forget({key})"),
        }
    }
}

/// A stream in memory.
struct Kept<A> {
    state: A,
    version: u64,
    /// The last commands that were done, so that none is done twice.
    answers: VecDeque<CommandId>,
    touched: u64,
}

/// What a keeper is started with.
#[derive(Clone)]
pub struct Settings {
    /// The log.
    pub log: Arc<dyn Log>,
    /// Streams that are kept in memory at most.
    pub streams: usize,
}

/// A keeper's memory.
pub struct Memory<A: Aggregate> {
    settings: Settings,
    kept: HashMap<String, Kept<A>>,
    clock: u64,
}

/// The actor.
pub struct Keeper<A>(pub PhantomData<fn() -> A>);

impl<A: Aggregate> Actor for Keeper<A> {
    type Msg = Placed<Message<A>>;
    type State = Memory<A>;
    type Arguments = Settings;

    async fn pre_start(&self, _: ActorRef<Self::Msg>, settings: Settings) -> Result<Memory<A>, ActorProcessingErr> {
        Ok(Memory { settings, kept: HashMap::new(), clock: 0 })
    }

    async fn handle(&self, myself: ActorRef<Self::Msg>, message: Self::Msg, memory: &mut Memory<A>) -> Result<(), ActorProcessingErr> {
        let (message, place) = message.open();
        match message {
            Message::Ask(request) => memory.ask(*request, (myself, place)),
            Message::Inspect { key, show } => memory.inspect(&key, show),
            Message::Forget { key } => {
                memory.kept.remove(&key);
            }
        }
        Ok(())
    }
}

/// The keeper itself and the place of the message that it works on; kept until the reply is out.
type Held<A> = (ActorRef<Placed<Message<A>>>, super::port::Place);

impl<A: Aggregate> Memory<A> {
    fn stream(key: &str) -> StreamId {
        StreamId::new(A::KIND, key)
    }

    /// The stream from memory, or folded from the log.
    fn load(&mut self, key: &str) -> Result<&mut Kept<A>, Failure> {
        self.clock += 1;
        if !self.kept.contains_key(key) {
            self.make_room();
            let kept = self.fold(key)?;
            self.kept.insert(key.to_owned(), kept);
        }
        let clock = self.clock;
        let kept = self.kept.get_mut(key).ok_or(Failure::Lost)?;
        kept.touched = clock;
        Ok(kept)
    }

    fn fold(&self, key: &str) -> Result<Kept<A>, Failure> {
        let stream = Self::stream(key);
        let mut kept = Kept { state: A::default(), version: 0, answers: VecDeque::new(), touched: 0 };
        let due = self.settings.log.version(&stream);
        if due == 0 {
            return Ok(kept);
        }
        let unreadable = |error: &dyn std::fmt::Display| Failure::Unreadable(format!("stream {stream}: {error}"));
        self.resume(&stream, &mut kept);
        let resumed = kept.version;
        let mut last = None;
        for (meta, stored) in self.settings.log.read_stream(&stream, resumed + 1, usize::MAX).map_err(|error| unreadable(&error))? {
            let event: A::Event = serde_json::from_str(stored.event.payload.get()).map_err(|error| unreadable(&error))?;
            kept.state.apply(&event);
            kept.version = stored.stream_version;
            if !planted::is(Bug::CommandsForgotten) {
                remember(&mut kept.answers, meta.command);
            }
            last = Some((stored.sequence, meta.command));
        }
        if let Some((sequence, command)) = last.filter(|_| kept.version >= resumed + limits::SNAPSHOT_AFTER) {
            self.save(&stream, &kept, sequence, command);
        }
        // Events that wait for their sync are ours from before we forgot the stream: they are there in a moment.
        if kept.version == due { Ok(kept) } else { Err(Failure::Busy) }
    }

    /// Goes on from the stream's snapshot, when there is one of this form.
    fn resume(&self, stream: &StreamId, kept: &mut Kept<A>) {
        let Some(snapshot) = self.settings.log.snapshot(stream).filter(|snapshot| snapshot.format == A::SNAPSHOT) else { return };
        if let Ok(state) = serde_json::from_str(snapshot.state.get()) {
            *kept = Kept { state, version: snapshot.version, answers: snapshot.answers.into(), touched: 0 };
        }
    }

    /// Keeps what was folded from durable events, so that the next fold is short.
    fn save(&self, stream: &StreamId, kept: &Kept<A>, sequence: u64, command: CommandId) {
        let Ok(state) = serde_json::value::to_raw_value(&kept.state) else { return };
        let answers = kept.answers.iter().copied().collect();
        let snapshot = Snapshot { format: A::SNAPSHOT, version: kept.version, sequence, command, answers, state };
        if let Err(error) = self.settings.log.save_snapshot(stream, &snapshot) {
            telemetry::consumer_failed("snapshots", &error.to_string());
        }
    }

    /// Lets go of the streams that were touched longest ago.
    fn make_room(&mut self) {
        if self.kept.len() < self.settings.streams.max(1) {
            return;
        }
        let mut ages: Vec<u64> = self.kept.values().map(|kept| kept.touched).collect();
        let middle = ages.len() / 4;
        let (_, oldest_quarter, _) = ages.select_nth_unstable(middle);
        let limit = *oldest_quarter;
        self.kept.retain(|_, kept| kept.touched > limit);
        telemetry::streams_passivated(A::KIND.word());
    }

    fn inspect(&mut self, key: &str, show: Box<dyn FnOnce(&A) -> Shown + Send>) {
        let log = self.settings.log.clone();
        match self.load(key) {
            Ok(kept) => {
                let shown = show(&kept.state);
                let seen = (Self::stream(key), kept.version);
                log.barrier(Some(seen), Box::new(move |result| shown(result.map(drop).map_err(Failure::from))));
            }
            Err(failure) => show(&A::default())(Err(failure)),
        }
    }

    fn ask(&mut self, request: Request<A::Command>, held: Held<A>) {
        let started = std::time::Instant::now();
        let Request { key, command, origin, mut carried, raw_at, reply } = request;
        let kept = match self.load(&key) {
            Ok(kept) => kept,
            Err(failure) => return reply(Outcome::Failed(failure)),
        };
        // Only what was done is remembered, and it was done in one batch with what it carried.
        if kept.answers.contains(&origin.command) {
            let seen = (Self::stream(&key), kept.version);
            return self.settings.log.barrier(Some(seen), Box::new(move |result| reply(result.map_or_else(|error| Outcome::Failed(error.into()), |_| Outcome::Repeated))));
        }
        let stream = Self::stream(&key);
        let mut expected = Vec::new();
        let mut outcome: fn(Receipt, Option<Reason>) -> Outcome = |receipt, _| Outcome::Done(receipt);
        let mut reason = None;
        match kept.state.decide(&origin.context(), &command) {
            Ok(events) => {
                if events.is_empty() && carried.is_empty() {
                    // What made it so may still wait for its sync.
                    let seen = (stream, kept.version);
                    return self.settings.log.barrier(Some(seen), Box::new(move |result| reply(result.map_or_else(|error| Outcome::Failed(error.into()), |_| Outcome::Nothing))));
                }
                expected.push((stream.clone(), Expected::Version(kept.version)));
                for event in &events {
                    if let Some(held_for) = A::held(event) {
                        let item = quarantine_item(&origin.command, carried.len());
                        carried.extend(hold(item, held_for, &origin, raw_at));
                    }
                    let (name, version) = A::name(event);
                    match NewEvent::new(stream.clone(), name, version, event) {
                        Ok(new) => carried.push(new),
                        Err(error) => return reply(Outcome::Failed(Failure::Unreadable(error.to_string()))),
                    }
                }
                events.iter().for_each(|event| kept.state.apply(event));
                kept.version += events.len() as u64;
                if !events.is_empty() {
                    remember(&mut kept.answers, origin.command);
                }
            }
            Err(rejection) => {
                let refusal = Refusal::of(&rejection);
                telemetry::command_refused(A::KIND.word(), &refusal.rule);
                if origin.device.is_none() {
                    return reply(Outcome::Refused(refusal));
                }
                let refused = Reason::Refused { rule: refusal.rule, detail: refusal.message };
                let item = quarantine_item(&origin.command, carried.len());
                carried.extend(hold(item, refused.clone(), &origin, raw_at));
                reason = Some(refused);
                outcome = |receipt, reason| reason.map_or(Outcome::Done(receipt), |reason| Outcome::Held(receipt, reason));
            }
        }
        telemetry::command_decided(A::KIND.word(), started.elapsed());
        let (myself, place) = held;
        let batch = Batch { expected, meta: origin.meta(), events: carried };
        if planted::is(Bug::AckBeforeSync) {
            self.settings.log.append(batch, Box::new(|_| ()));
            return reply(outcome(Receipt { first: 0, last: 0 }, reason));
        }
        self.settings.log.append(
            batch,
            Box::new(move |result| match result {
                Ok(receipt) => {
                    drop(place);
                    reply(outcome(receipt, reason));
                }
                Err(error) => {
                    // The state in memory is ahead of the log: forget it before the sender tries again.
                    if !planted::is(Bug::StateKeptAfterFailure) {
                        let _ = myself.cast(Placed::with(Message::Forget { key }, place));
                    }
                    reply(Outcome::Failed(error.into()));
                }
            }),
        );
        if let Some(kept) = self.kept.get(stream.key())
            && kept.version == 0
        {
            // A stream that does not exist is not worth a place in memory.
            self.kept.remove(stream.key());
        }
    }
}

fn remember(answers: &mut VecDeque<CommandId>, command: CommandId) {
    if answers.back() == Some(&command) {
        return;
    }
    if answers.len() >= limits::ANSWERS_REMEMBERED {
        answers.pop_front();
    }
    answers.push_back(command);
}

/// The key of the n-th item that a command puts into quarantine: the same at each repetition.
pub(super) fn quarantine_item(command: &CommandId, number: usize) -> String {
    // Both halves count: a device's ids are hashes, those of wardd's own parts differ in the second half only.
    let bytes = u128::from_be_bytes(command.bytes());
    format!("qtn_{:016x}-{number}", (bytes >> 64) as u64 ^ bytes as u64)
}

/// The event that holds something for a person.
pub(super) fn hold(item: String, reason: Reason, origin: &super::Origin, raw_at: Option<u64>) -> Option<NewEvent> {
    if planted::is(Bug::DeadLetterSwallowed) {
        return None;
    }
    telemetry::held(reason.word(), origin.device.as_ref().map_or("none", |device| device.as_str()));
    let event = quarantine::Event::Held { reason, device: origin.device.clone(), raw_at, part: origin.part, at: origin.now };
    NewEvent::new(StreamId::new(StreamKind::Quarantine, item), "Held", 1, &event).ok()
}

#[cfg(test)]
#[path = "keeper_tests.rs"]
mod tests;
