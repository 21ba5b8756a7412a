//! The shell of an aggregate: keeps the state of one stream (a bed) or of many (specimens, loaded when asked for and let go when cold).

use std::marker::PhantomData;
use std::sync::Arc;

use ractor::{Actor, ActorProcessingErr, ActorRef};

use super::port::Placed;
use super::request::{Failure, Outcome, Request};
use super::streams::Streams;
use crate::domain::quarantine::{self, Reason};
use crate::domain::{Aggregate, Refusal};
use crate::journal::{Batch, Expected, Log, NewEvent, Receipt};
use crate::kernel::planted::{self, Bug};
use crate::kernel::{CommandId, Sealing, StreamId, StreamKind};
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
    log: Arc<dyn Log>,
    streams: Streams<A>,
}

/// The actor.
pub struct Keeper<A>(pub PhantomData<fn() -> A>);

impl<A: Aggregate> Actor for Keeper<A> {
    type Msg = Placed<Message<A>>;
    type State = Memory<A>;
    type Arguments = Settings;

    async fn pre_start(&self, _: ActorRef<Self::Msg>, settings: Settings) -> Result<Memory<A>, ActorProcessingErr> {
        Ok(Memory { streams: Streams::new(settings.log.clone(), settings.streams), log: settings.log })
    }

    async fn handle(&self, myself: ActorRef<Self::Msg>, message: Self::Msg, memory: &mut Memory<A>) -> Result<(), ActorProcessingErr> {
        let (message, place) = message.open();
        match message {
            Message::Ask(request) => memory.ask(*request, (myself, place)),
            Message::Inspect { key, show } => memory.inspect(&key, show),
            Message::Forget { key } => memory.streams.forget(&key),
        }
        Ok(())
    }
}

/// The keeper itself and the place of the message that it works on; kept until the reply is out.
type Held<A> = (ActorRef<Placed<Message<A>>>, super::port::Place);

impl<A: Aggregate> Memory<A> {
    fn inspect(&mut self, key: &str, show: Box<dyn FnOnce(&A) -> Shown + Send>) {
        let log = self.log.clone();
        match self.streams.load(key) {
            Ok(kept) => {
                let shown = show(&kept.state);
                let seen = (Streams::<A>::id(key), kept.version);
                log.barrier(vec![seen], Box::new(move |result| shown(result.map(drop).map_err(Failure::from))));
            }
            Err(failure) => show(&A::default())(Err(failure)),
        }
    }

    fn ask(&mut self, request: Request<A::Command>, held: Held<A>) {
        let started = std::time::Instant::now();
        let Request { key, command, origin, mut carried, raw_at, reply } = request;
        let kept = match self.streams.load(&key) {
            Ok(kept) => kept,
            Err(failure) => return reply(Outcome::Failed(failure)),
        };
        // Only what was done is remembered, and it was done in one batch with what it carried.
        if kept.answers.contains(&origin.command) {
            let seen = (Streams::<A>::id(&key), kept.version);
            return self.log.barrier(vec![seen], Box::new(move |result| reply(result.map_or_else(|error| Outcome::Failed(error.into()), |_| Outcome::Repeated))));
        }
        let stream = Streams::<A>::id(&key);
        let mut expected = Vec::new();
        let mut outcome: fn(Receipt, Option<Reason>) -> Outcome = |receipt, _| Outcome::Done(receipt);
        let mut reason = None;
        match kept.state.decide(&origin.context(), &command) {
            Ok(events) => {
                if events.is_empty() && carried.is_empty() {
                    // What made it so may still wait for its sync.
                    let seen = (stream, kept.version);
                    return self.log.barrier(vec![seen], Box::new(move |result| reply(result.map_or_else(|error| Outcome::Failed(error.into()), |_| Outcome::Nothing))));
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
                // Whose it is is known when it has happened; what was carried along before stands in other streams.
                let mut own = carried.iter_mut().filter(|new| new.stream == stream);
                for event in &events {
                    kept.state.apply(event);
                    let sealing = kept.state.sealing(&key, event);
                    own.next().into_iter().for_each(|new| new.sealing = sealing.clone());
                }
                kept.version += events.len() as u64;
                if !events.is_empty() {
                    kept.remember(origin.command);
                }
            }
            Err(rejection) => {
                let refusal = Refusal::of(&rejection);
                telemetry::command_refused(A::KIND.word(), &refusal.rule);
                if origin.device.is_none() {
                    return reply(Outcome::Refused(refusal));
                }
                reason = Some(hold_refused(refusal, &origin, raw_at, &mut carried));
                outcome = |receipt, reason| reason.map_or(Outcome::Done(receipt), |reason| Outcome::Held(receipt, reason));
            }
        }
        telemetry::command_decided(A::KIND.word(), started.elapsed());
        let (myself, place) = held;
        attribute(&mut carried, origin.part.is_none() && raw_at.is_none());
        let batch = Batch { expected, meta: origin.meta(), events: carried };
        if planted::is(Bug::AckBeforeSync) {
            self.log.append(batch, Box::new(|_| ()));
            return reply(outcome(Receipt { first: 0, last: 0 }, reason));
        }
        self.log.append(
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
        // A stream that does not exist is not worth a place in memory.
        if self.streams.get(stream.key()).is_some_and(|kept| kept.version == 0) {
            self.streams.forget(stream.key());
        }
    }
}

/// The key of the n-th item that a command puts into quarantine: the same at each repetition.
pub(super) fn quarantine_item(command: &CommandId, number: usize) -> String {
    // Both halves count: a device's ids are hashes, those of wardd's own parts differ in the second half only.
    let bytes = u128::from_be_bytes(command.bytes());
    format!("qtn_{:016x}-{number}", (bytes >> 64) as u64 ^ bytes as u64)
}

/// What a device asked for and a rule refused is held with what it carries.
pub(super) fn hold_refused(refusal: Refusal, origin: &super::Origin, raw_at: Option<u64>, carried: &mut Vec<NewEvent>) -> Reason {
    let refused = Reason::Refused { rule: refusal.rule, detail: refusal.message };
    let item = quarantine_item(&origin.command, carried.len());
    carried.extend(hold(item, refused.clone(), origin, raw_at));
    refused
}

/// A message, and what is held of it, is whose the rest of its batch is: of one person, when it is about that one alone.
pub(super) fn attribute(carried: &mut [NewEvent], is_whole: bool) {
    let mut whose = carried.iter().filter_map(|event| if let Sealing::Person(mrn) = &event.sealing { Some(mrn) } else { None });
    let Some(first) = whose.next().filter(|_| is_whole).cloned() else { return };
    if whose.all(|other| *other == first) {
        carried.iter_mut().filter(|event| event.sealing == Sealing::Message).for_each(|event| event.sealing = Sealing::Person(first.clone()));
    }
}

/// The event that holds something for a person.
pub(super) fn hold(item: String, reason: Reason, origin: &super::Origin, raw_at: Option<u64>) -> Option<NewEvent> {
    if planted::is(Bug::DeadLetterSwallowed) {
        return None;
    }
    telemetry::held(reason.word(), origin.device.as_ref().map_or("none", |device| device.as_str()));
    let event = quarantine::Event::Held { reason, device: origin.device.clone(), raw_at, part: origin.part, at: origin.now };
    // What is held of a message says what it said.
    NewEvent::new(StreamId::new(StreamKind::Quarantine, item), "Held", 1, &event).ok().map(|new| new.sealed(Sealing::Message))
}

#[cfg(test)]
#[path = "keeper_tests.rs"]
mod tests;
