//! The actor that registers, admits, moves and discharges, and writes what happens at the bedside: it holds patients, encounters, beds,
//! charts and signs, since one command looks at several of them and changes some, and all of it becomes durable in one batch.
//!
//! **Invariant**: it is the one writer of these kinds of streams; what it decides on is what the log has.

use std::sync::Arc;

use ractor::{Actor, ActorProcessingErr, ActorRef};

use super::keeper::{attribute, hold_refused};
use super::port::{Place, Placed};
use super::request::{Failure, Origin, Outcome, Request};
use super::streams::Streams;
use crate::domain::bed::Bed;
use crate::domain::census::{self, Change, Command, Policy, Scene, Stop};
use crate::domain::chart::Chart;
use crate::domain::document::Document;
use crate::domain::encounter::Encounter;
use crate::domain::patient::Patient;
use crate::domain::quarantine::{Part, Reason};
use crate::domain::task::Tasks;
use crate::domain::vitals::Vitals;
use crate::domain::{Context, Folded, Refusal};
use crate::journal::{AppendError, Batch, Expected, Log, NewEvent, Receipt};
use crate::kernel::planted::{self, Bug};
use crate::kernel::{BedId, CommandId, DocumentId, EncounterId, Mrn, StreamId, StreamKind, limits};
use crate::telemetry;

/// What it is asked.
pub enum Message {
    /// A command.
    Ask(Box<Request<Command>>),
    /// What a device's message asks for.
    AskParts(Box<Parts>),
    /// An append failed: these states in memory are ahead of the log and are forgotten.
    Forget(Vec<StreamId>),
}

/// A device's message that asks for several things: each is decided on what those before it changed, and what is refused waits for a
/// person. All of it becomes durable at once, so no message is half done.
pub struct Parts {
    /// What is asked, in the message's order.
    pub commands: Vec<(Part, Command)>,
    /// Who asks.
    pub origin: Origin,
    /// The message as it was received, and what of it is held already.
    pub carried: Vec<NewEvent>,
    /// Called with what waits for a person.
    pub reply: Box<dyn FnOnce(Result<Vec<Reason>, Failure>) + Send>,
}

impl std::fmt::Debug for Message {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Message::Ask(request) => request.fmt(f),
            Message::AskParts(parts) => write!(f, "AskParts({} of {:?})", parts.commands.len(), parts.origin.command),
            Message::Forget(streams) => write!(f, "Forget({} streams)", streams.len()),
        }
    }
}

/// What it is started with.
#[derive(Clone)]
pub struct Settings {
    /// The log.
    pub log: Arc<dyn Log>,
    /// What the hospital has decided about itself.
    pub policy: Policy,
}

/// The streams that a command looked at, and what is kept of all.
pub struct Memory {
    settings: Settings,
    patients: Streams<Patient>,
    encounters: Streams<Encounter>,
    beds: Streams<Bed>,
    charts: Streams<Chart>,
    vitals: Streams<Vitals>,
    tasks: Streams<Tasks>,
    documents: Streams<Document>,
    /// What the command under way has looked at, and at which version.
    seen: Vec<(StreamId, u64)>,
    /// The command under way, and whether a stream that it looked at knows that it was done.
    command: CommandId,
    is_known: bool,
}

/// The actor.
pub struct Census;

impl Actor for Census {
    type Msg = Placed<Message>;
    type State = Memory;
    type Arguments = Settings;

    async fn pre_start(&self, _: ActorRef<Self::Msg>, settings: Settings) -> Result<Memory, ActorProcessingErr> {
        let log = || settings.log.clone();
        Ok(Memory {
            patients: Streams::new(log(), limits::KEEPER_STREAMS),
            encounters: Streams::new(log(), limits::KEEPER_STREAMS),
            beds: Streams::new(log(), limits::KEEPER_STREAMS),
            charts: Streams::new(log(), limits::KEEPER_CHARTS),
            vitals: Streams::new(log(), limits::KEEPER_STREAMS),
            tasks: Streams::new(log(), limits::KEEPER_CHARTS),
            documents: Streams::new(log(), limits::KEEPER_CHARTS),
            seen: Vec::new(),
            command: CommandId::from_bytes([0; 16]),
            is_known: false,
            settings,
        })
    }

    async fn handle(&self, myself: ActorRef<Self::Msg>, message: Self::Msg, memory: &mut Memory) -> Result<(), ActorProcessingErr> {
        let (message, place) = message.open();
        match message {
            Message::Ask(request) => memory.ask(*request, (myself, place)),
            Message::AskParts(parts) => memory.ask_parts(*parts, (myself, place)),
            Message::Forget(streams) => streams.iter().for_each(|stream| memory.forget(stream)),
        }
        Ok(())
    }
}

/// The state of a stream, a note that it was looked at, and whether it knows that the command was done. Only the first look can tell:
/// afterwards it may know because of an earlier part of the same message.
fn look<A: Folded>(streams: &mut Streams<A>, key: &str, command: CommandId, seen: &mut Vec<(StreamId, u64)>) -> Result<(A, bool), Failure> {
    let kept = streams.load(key)?;
    let stream = Streams::<A>::id(key);
    let is_first = !seen.iter().any(|(known, _)| *known == stream);
    if is_first {
        seen.push((stream, kept.version));
    }
    Ok((kept.state.clone(), is_first && kept.answers.contains(&command)))
}

impl Scene for Memory {
    type Failure = Failure;

    fn patient(&mut self, mrn: &Mrn) -> Result<Patient, Failure> {
        let (state, is_known) = look(&mut self.patients, mrn.as_str(), self.command, &mut self.seen)?;
        self.is_known |= is_known;
        Ok(state)
    }

    fn encounter(&mut self, encounter: &EncounterId) -> Result<Encounter, Failure> {
        let (state, is_known) = look(&mut self.encounters, encounter.as_str(), self.command, &mut self.seen)?;
        self.is_known |= is_known;
        Ok(state)
    }

    fn bed(&mut self, bed: &BedId) -> Result<Bed, Failure> {
        let (state, is_known) = look(&mut self.beds, bed.as_str(), self.command, &mut self.seen)?;
        self.is_known |= is_known;
        Ok(state)
    }

    fn chart(&mut self, mrn: &Mrn) -> Result<Chart, Failure> {
        let (state, is_known) = look(&mut self.charts, mrn.as_str(), self.command, &mut self.seen)?;
        self.is_known |= is_known;
        Ok(state)
    }

    fn vitals(&mut self, mrn: &Mrn) -> Result<Vitals, Failure> {
        let (state, is_known) = look(&mut self.vitals, mrn.as_str(), self.command, &mut self.seen)?;
        self.is_known |= is_known;
        Ok(state)
    }

    fn tasks(&mut self, encounter: &EncounterId) -> Result<Tasks, Failure> {
        let (state, is_known) = look(&mut self.tasks, encounter.as_str(), self.command, &mut self.seen)?;
        self.is_known |= is_known;
        Ok(state)
    }

    fn document(&mut self, document: &DocumentId) -> Result<Document, Failure> {
        let (state, is_known) = look(&mut self.documents, document.as_str(), self.command, &mut self.seen)?;
        self.is_known |= is_known;
        Ok(state)
    }
}

/// Applies an event to what is kept of its stream, and gives its stored form.
fn take<A: Folded>(streams: &mut Streams<A>, key: &str, event: &A::Event, command: CommandId) -> Result<NewEvent, Failure> {
    let (name, version) = A::name(event);
    let new = NewEvent::new(Streams::<A>::id(key), name, version, event).map_err(|error| Failure::Unreadable(error.to_string()))?;
    let kept = streams.load(key)?;
    kept.state.apply(event);
    kept.version += 1;
    kept.remember(command);
    let sealing = kept.state.sealing(key, event);
    Ok(new.sealed(sealing))
}

impl Memory {
    fn forget(&mut self, stream: &StreamId) {
        match stream.kind() {
            StreamKind::Patient => self.patients.forget(stream.key()),
            StreamKind::Encounter => self.encounters.forget(stream.key()),
            StreamKind::Bed => self.beds.forget(stream.key()),
            StreamKind::Chart => self.charts.forget(stream.key()),
            StreamKind::Vitals => self.vitals.forget(stream.key()),
            StreamKind::Task => self.tasks.forget(stream.key()),
            StreamKind::Document => self.documents.forget(stream.key()),
            _ => {}
        }
    }

    fn take(&mut self, change: &Change) -> Result<NewEvent, Failure> {
        match change {
            Change::Patient(mrn, event) => take(&mut self.patients, mrn.as_str(), event, self.command),
            Change::Encounter(encounter, event) => take(&mut self.encounters, encounter.as_str(), event, self.command),
            Change::Bed(bed, event) => take(&mut self.beds, bed.as_str(), event, self.command),
            Change::Chart(mrn, event) => take(&mut self.charts, mrn.as_str(), event, self.command),
            Change::Vitals(mrn, event) => take(&mut self.vitals, mrn.as_str(), event, self.command),
            Change::Task(encounter, event) => take(&mut self.tasks, encounter.as_str(), event, self.command),
            Change::Document(document, event) => take(&mut self.documents, document.as_str(), event, self.command),
        }
    }

    /// Everything that the command looked at, let go: what is in memory may be ahead of the log.
    fn forget_seen(&mut self) {
        let seen = std::mem::take(&mut self.seen);
        seen.iter().for_each(|(stream, _)| self.forget(stream));
    }

    /// Streams that do not exist are not worth a place in memory.
    fn forget_blank(&mut self) {
        let blank: Vec<StreamId> = self.seen.iter().filter(|(_, version)| *version == 0).map(|(stream, _)| stream.clone()).collect();
        blank.iter().for_each(|stream| self.forget(stream));
    }

    fn begin(&mut self, command: CommandId) {
        self.seen.clear();
        (self.command, self.is_known) = (command, false);
    }

    /// Decides, and takes over what changes; nothing of a command that was done before.
    fn change(&mut self, context: &Context, command: &Command) -> Result<Vec<NewEvent>, Stop<Failure>> {
        let policy = self.settings.policy.clone();
        let changes = census::decide(self, &policy, context, command)?;
        let is_new = |_: &&Change| !self.is_known;
        let changes: Vec<&Change> = changes.iter().filter(is_new).collect();
        changes.into_iter().map(|change| self.take(change).map_err(Stop::Failed)).collect()
    }

    /// What was looked at, as it must still be when the change is written.
    fn expected(&self) -> Vec<(StreamId, Expected)> {
        self.seen.iter().map(|(stream, version)| (stream.clone(), Expected::Version(*version))).collect()
    }

    /// Calls back once everything that was looked at is durable.
    fn once_durable(&self, done: impl FnOnce(Result<(), Failure>) + Send + 'static) {
        self.settings.log.barrier(self.seen.clone(), Box::new(move |result| done(result.map(drop).map_err(Failure::from))));
    }

    fn append(&self, batch: Batch, (myself, place): (ActorRef<Placed<Message>>, Place), done: impl FnOnce(Result<Receipt, Failure>) + Send + 'static) {
        if planted::is(Bug::AckBeforeSync) {
            self.settings.log.append(batch, Box::new(|_| ()));
            return done(Ok(Receipt { first: 0, last: 0 }));
        }
        let seen: Vec<StreamId> = self.seen.iter().map(|(stream, _)| stream.clone()).collect();
        let answer = move |result: Result<Receipt, AppendError>| match result {
            Ok(receipt) => {
                drop(place);
                done(Ok(receipt));
            }
            Err(error) => {
                // What is in memory is ahead of the log: it is forgotten before the sender tries again.
                if !planted::is(Bug::StateKeptAfterFailure) {
                    let _ = myself.cast(Placed::with(Message::Forget(seen), place));
                }
                done(Err(error.into()));
            }
        };
        self.settings.log.append(batch, Box::new(answer));
    }

    fn ask(&mut self, request: Request<Command>, held: (ActorRef<Placed<Message>>, Place)) {
        let started = std::time::Instant::now();
        let Request { command, origin, mut carried, raw_at, reply, key: _ } = request;
        self.begin(origin.command);
        let changed = self.change(&origin.context(), &command);
        // Only what was done is remembered, and it was done in one batch with what it carried.
        if self.is_known {
            return self.once_durable(|result| reply(result.map_or_else(Outcome::Failed, |()| Outcome::Repeated)));
        }
        let (mut expected, mut reason) = (Vec::new(), None);
        match changed {
            Ok(events) if events.is_empty() && carried.is_empty() => {
                // What made it so may still wait for its sync.
                self.forget_blank();
                return self.once_durable(|result| reply(result.map_or_else(Outcome::Failed, |()| Outcome::Nothing)));
            }
            Ok(events) => {
                expected = self.expected();
                carried.extend(events);
            }
            Err(Stop::Failed(failure)) => {
                self.forget_seen();
                return reply(Outcome::Failed(failure));
            }
            Err(Stop::Rejected(rejection)) => {
                self.forget_blank();
                let refusal = refuse(&rejection);
                if origin.device.is_none() {
                    return reply(Outcome::Refused(refusal));
                }
                reason = Some(hold_refused(refusal, &origin, raw_at, &mut carried));
            }
        }
        telemetry::command_decided("census", started.elapsed());
        attribute(&mut carried, origin.part.is_none() && raw_at.is_none());
        let batch = Batch { expected, meta: origin.meta(), events: carried };
        self.append(batch, held, |result| {
            reply(match (result, reason) {
                (Err(failure), _) => Outcome::Failed(failure),
                (Ok(receipt), None) => Outcome::Done(receipt),
                (Ok(receipt), Some(reason)) => Outcome::Held(receipt, reason),
            });
        });
    }

    /// What was done, is done, and what is refused is held; all of it in one batch with the message.
    fn ask_parts(&mut self, parts: Parts, held: (ActorRef<Placed<Message>>, Place)) {
        let started = std::time::Instant::now();
        let Parts { commands, origin, mut carried, reply } = parts;
        self.begin(origin.command);
        let (mut holds, mut is_changed) = (Vec::new(), false);
        for (number, (part, command)) in (0..).zip(commands) {
            let context = Context { command: origin.command.part(number), ..origin.context() };
            match self.change(&context, &command) {
                _ if self.is_known => {
                    // What earlier parts changed in memory is in the log already.
                    let done = |result: Result<(), Failure>| reply(result.map(|()| Vec::new()));
                    self.once_durable(done);
                    return self.forget_seen();
                }
                Ok(events) => {
                    is_changed |= !events.is_empty();
                    carried.extend(events);
                }
                Err(Stop::Failed(failure)) => {
                    self.forget_seen();
                    return reply(Err(failure));
                }
                Err(Stop::Rejected(rejection)) => {
                    let refusal = refuse(&rejection);
                    holds.push(match &origin.device {
                        Some(_) => hold_refused(refusal, &Origin { part: Some(part), ..origin.clone() }, None, &mut carried),
                        // A person has it handled again: it is held already, and only said.
                        None => Reason::Refused { rule: refusal.rule, detail: refusal.message },
                    });
                }
            }
        }
        telemetry::command_decided("census", started.elapsed());
        attribute(&mut carried, true);
        let expected = if is_changed { self.expected() } else { Vec::new() };
        if !is_changed {
            self.forget_blank();
        }
        if carried.is_empty() {
            return self.once_durable(|result| reply(result.map(|()| holds)));
        }
        self.append(Batch { expected, meta: origin.meta(), events: carried }, held, |result| reply(result.map(|_| holds)));
    }
}

fn refuse(rejection: &census::Rejection) -> Refusal {
    let refusal = Refusal::of(rejection);
    telemetry::command_refused("census", &refusal.rule);
    refusal
}

#[cfg(test)]
#[path = "census_tests.rs"]
mod tests;
