//! A device's actor: knows which messages it has seen, keeps their bytes, and sends what they ask for to the right actor.
//!
//! Flow: [`Intake`] → new or known? → commands to the census, specimens, cabinets (one, or several of the census: together with the raw
//! bytes in one batch; several actors: one after the other) → the device's answer.
//! **Invariant**: a message counts as known only when everything that it asked for is durable.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use ractor::{Actor, ActorProcessingErr, ActorRef};

use super::census::Parts;
use super::hospital::{Target, Targets};
use super::keeper::{hold, quarantine_item};
use super::port::{Place, Placed};
use super::request::{Failure, Origin, Outcome};
use crate::domain::census::Command;
use crate::domain::device::{Event, Sightings};
use crate::domain::quarantine::{self, Part, Reason};
use crate::journal::{Batch, Log, NewEvent};
use crate::kernel::planted::{self, Bug};
use crate::kernel::{CommandId, DeviceId, Principal, RawBytes, Sealing, StreamId, StreamKind, Timestamp, limits};
use crate::routing::{Routed, Understood};
use crate::telemetry;

/// A message of a device.
pub struct Intake {
    /// Its identity: the same message again has the same.
    pub message: CommandId,
    /// The bytes as received.
    pub raw: Bytes,
    /// What routing made of it.
    pub understood: Understood,
    /// When it arrived.
    pub received: Timestamp,
    /// When it is handled.
    pub now: Timestamp,
    /// Whether a person has it handled again: what still cannot be done is only said, since it is held already.
    pub is_replay: bool,
    /// The connection that it came by, for the record.
    pub place: Option<String>,
    /// Called when it is durable, or cannot be taken.
    pub reply: IntakeReply,
}

/// What the device is told.
pub type IntakeReply = Box<dyn FnOnce(Result<Kept, Failure>) + Send>;

/// A message that is durable.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Kept {
    /// What of it waits for a person; none when all of it was done.
    pub holds: Arc<[Reason]>,
    /// Whether it had come before.
    pub is_repeated: bool,
}

/// What the actor is asked.
pub enum Message {
    /// A message came.
    Intake(Box<Intake>),
    /// A message that was under way could not be stored.
    Failed {
        /// Which.
        message: CommandId,
        /// Why.
        failure: Failure,
    },
}

impl std::fmt::Debug for Message {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Message::Intake(intake) => write!(f, "Intake({})", intake.message),
            Message::Failed { message, .. } => write!(f, "Failed({message})"),
        }
    }
}

/// A message that is known.
enum Stage {
    /// Handed on.
    HandedOn(Arc<Mutex<Progress>>),
    /// Durable.
    Known(Arc<[Reason]>),
    /// Durable since before the start: what of it was held stands in the log between these events.
    Stored {
        /// Where it was received.
        from: u64,
        /// Where all of it was done.
        to: u64,
    },
}

/// How far a message is that was handed on. Whoever makes it durable says so here: another message to the actor for each
/// that went well would be a tenth of the work of taking it.
enum Progress {
    /// Under way; repetitions wait for the same answer.
    UnderWay(Vec<IntakeReply>),
    /// Durable.
    Durable(Arc<[Reason]>),
}

/// Commands of one message that are done in one batch, at most: a record has its limit.
const AT_ONCE: usize = 100;
/// Batches that are read for what was held of one message.
const BATCHES_OF_A_MESSAGE: usize = 4_096;

/// What the actor is started with.
#[derive(Clone)]
pub struct Settings {
    /// The device.
    pub device: DeviceId,
    /// The log.
    pub log: Arc<dyn Log>,
    /// The actors that messages are sent to.
    pub targets: Arc<Targets>,
}

/// The actor's memory.
pub struct Memory {
    settings: Settings,
    stages: HashMap<CommandId, Stage>,
    order: VecDeque<CommandId>,
    sightings: Sightings,
}

/// The actor.
pub struct DeviceActor;

impl Actor for DeviceActor {
    type Msg = Placed<Message>;
    type State = Memory;
    type Arguments = Settings;

    async fn pre_start(&self, _: ActorRef<Self::Msg>, settings: Settings) -> Result<Memory, ActorProcessingErr> {
        let mut memory = Memory { settings, stages: HashMap::new(), order: VecDeque::new(), sightings: Sightings::default() };
        memory.remember_last_messages()?;
        Ok(memory)
    }

    async fn handle(&self, myself: ActorRef<Self::Msg>, message: Self::Msg, memory: &mut Memory) -> Result<(), ActorProcessingErr> {
        let (message, place) = message.open();
        match message {
            Message::Intake(intake) => memory.intake(*intake, myself, place),
            Message::Failed { message, failure } => memory.failed(message, &failure),
        }
        Ok(())
    }
}

/// The way back of one message: the device's answer, and the actor that must know how it ended.
struct Finish {
    message: CommandId,
    reply: Option<IntakeReply>,
    progress: Arc<Mutex<Progress>>,
    myself: ActorRef<Placed<Message>>,
    place: Option<Place>,
}

impl Finish {
    fn end(mut self, result: Result<Arc<[Reason]>, Failure>) {
        self.settle(result);
    }

    fn settle(&mut self, result: Result<Arc<[Reason]>, Failure>) {
        let (Some(reply), Some(place)) = (self.reply.take(), self.place.take()) else { return };
        let waiting = match &result {
            Ok(holds) => std::mem::replace(&mut *lock(&self.progress), Progress::Durable(holds.clone())),
            Err(failure) => {
                // The actor may have been restarted meanwhile; then it reads from the log what there is.
                let _ = self.myself.cast(Placed::with(Message::Failed { message: self.message, failure: failure.clone() }, place));
                Progress::UnderWay(Vec::new())
            }
        };
        reply(result.clone().map(|holds| Kept { holds, is_repeated: false }));
        if let Progress::UnderWay(waiting) = waiting {
            waiting.into_iter().for_each(|reply| reply(result.clone().map(|holds| Kept { holds, is_repeated: true })));
        }
    }
}

fn lock(progress: &Mutex<Progress>) -> MutexGuard<'_, Progress> {
    progress.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Drop for Finish {
    /// The actor that worked on the message has failed: whoever waits is told to try again.
    fn drop(&mut self) {
        self.settle(Err(Failure::Lost));
    }
}

impl Memory {
    fn stream(&self) -> StreamId {
        StreamId::new(StreamKind::Device, self.settings.device.as_str())
    }

    /// The identities of the last messages, so that one that is sent again after a restart is known.
    fn remember_last_messages(&mut self) -> Result<(), ActorProcessingErr> {
        if planted::is(Bug::MessagesForgotten) {
            return Ok(());
        }
        let stream = self.stream();
        let version = self.settings.log.version(&stream);
        let from = version.saturating_sub(limits::MESSAGES_REMEMBERED as u64 / 4) + 1;
        let mut begun = HashMap::new();
        for (meta, stored) in self.settings.log.read_stream(&stream, from, limits::MESSAGES_REMEMBERED)? {
            let to = stored.sequence;
            match serde_json::from_str(stored.event.payload.get())? {
                Event::MessageReceived { message, is_handled: true, .. } => self.note(message, Stage::Stored { from: to, to }),
                Event::MessageReceived { message, is_handled: false, .. } => drop(begun.insert(message, to)),
                Event::MessageHandled { message } => {
                    let from = begun.remove(&message).unwrap_or(to);
                    self.note(message, Stage::Stored { from, to });
                }
                // It was taken, and is not taken once more: else what was erased would come back.
                Event::Erased => self.note(meta.correlation, Stage::Stored { from: to, to }),
                Event::ControlMeasured { .. } | Event::TagSighted { .. } | Event::DrawerMoved { .. } => {}
            }
        }
        Ok(())
    }

    /// What of a message was held before the start: the same answer must be given to its repetition.
    fn stored_holds(&self, message: CommandId, from: u64, to: u64) -> Result<Arc<[Reason]>, Failure> {
        let batches = self.settings.log.read_all(from, BATCHES_OF_A_MESSAGE).map_err(|error| Failure::Unreadable(error.to_string()))?;
        let of_it = batches.iter().take_while(|batch| batch.first() <= to).filter(|batch| batch.meta.correlation == message);
        let held = of_it.flat_map(|batch| &batch.events).filter(|event| event.event.stream.kind() == StreamKind::Quarantine && event.event.kind == "Held");
        held.map(|event| match serde_json::from_str(event.event.payload.get()) {
            Ok(quarantine::Event::Held { reason, .. }) => Ok(reason),
            // Why is erased; that it was held is the same answer.
            Ok(quarantine::Event::Erased) => Ok(Reason::Erased),
            Ok(_) => Err(Failure::Unreadable(format!("event {} is no hold", event.sequence))),
            Err(error) => Err(Failure::Unreadable(format!("event {}: {error}", event.sequence))),
        })
        .collect()
    }

    fn note(&mut self, message: CommandId, stage: Stage) {
        if self.stages.insert(message, stage).is_none() {
            self.order.push_back(message);
        }
        while self.order.len() > limits::MESSAGES_REMEMBERED {
            if let Some(oldest) = self.order.pop_front() {
                self.stages.remove(&oldest);
            }
        }
    }

    fn failed(&mut self, message: CommandId, failure: &Failure) {
        // A tag that it saw was not seen: forgotten sightings are seen once more, and that does no harm.
        self.sightings = Sightings::default();
        // Also from the order: the next try must not inherit an old place in it and be forgotten early.
        self.order.retain(|known| *known != message);
        let Some(Stage::HandedOn(progress)) = self.stages.remove(&message) else { return };
        if let Progress::UnderWay(waiting) = &mut *lock(&progress) {
            waiting.drain(..).for_each(|reply| reply(Err(failure.clone())));
        }
    }

    fn intake(&mut self, intake: Intake, myself: ActorRef<Placed<Message>>, place: Place) {
        if let Some(Stage::Stored { from, to }) = self.stages.get(&intake.message) {
            match self.stored_holds(intake.message, *from, *to) {
                Ok(holds) => drop(self.stages.insert(intake.message, Stage::Known(holds))),
                Err(failure) => return (intake.reply)(Err(failure)),
            }
        }
        let intake = match self.repeated(intake) {
            Some(intake) => intake,
            None => return,
        };
        let progress = Arc::new(Mutex::new(Progress::UnderWay(Vec::new())));
        self.note(intake.message, Stage::HandedOn(progress.clone()));
        let is_replay = intake.is_replay;
        let origin = self.origin(&intake);
        let finish = Finish { message: intake.message, reply: Some(intake.reply), progress, myself, place: Some(place) };
        let (own, targets) = self.sort(intake.understood.items, &origin, is_replay);
        let received = |is_handled| Event::MessageReceived {
            message: origin.command,
            control_id: intake.understood.control_id.clone(),
            raw: RawBytes(intake.raw.clone()),
            device_time: intake.understood.device_time,
            is_handled,
        };
        let stream = self.stream();
        let mut holds = Vec::new();
        let errands = Errands::of(targets);
        // What only the device itself is about, such as a tag that was seen, names nobody.
        let is_about_somebody = !matches!(errands, Errands::None) || own.iter().any(|item| matches!(item, Own::Hold(..)));
        let sealing = if is_about_somebody { Sealing::Message } else { Sealing::House };
        let is_handled = !matches!(errands, Errands::OneByOne(_));
        let message = self.event(&stream, &received(is_handled)).map(|event| event.sealed(sealing));
        let mut carried: Vec<NewEvent> = message.into_iter().filter(|_| !is_replay && !planted::is(Bug::RawNotKept)).collect();
        for item in own {
            match item {
                Own::Event(event) => carried.extend(self.event(&stream, &event)),
                Own::Hold(reason, part) => {
                    if !is_replay {
                        let number = carried.len();
                        let origin = Origin { part, ..origin.clone() };
                        carried.extend(hold(quarantine_item(&origin.command, number), reason.clone(), &origin, None));
                    }
                    holds.push(reason);
                }
            }
        }
        let errand = Errand { log: self.settings.log.clone(), directory: self.settings.targets.clone(), stream, origin, carried, holds };
        errand.run(errands, finish);
    }

    /// Answers a message that has come before, as it was answered then or will be; gives back one that is new.
    fn repeated(&mut self, intake: Intake) -> Option<Intake> {
        let holds = match self.stages.get(&intake.message) {
            None | Some(Stage::Stored { .. }) => return Some(intake),
            Some(Stage::Known(holds)) => holds.clone(),
            Some(Stage::HandedOn(progress)) => match &mut *lock(progress) {
                Progress::Durable(holds) => holds.clone(),
                Progress::UnderWay(waiting) => {
                    telemetry::message_repeated(self.settings.device.as_str());
                    waiting.push(intake.reply);
                    return None;
                }
            },
        };
        telemetry::message_repeated(self.settings.device.as_str());
        (intake.reply)(Ok(Kept { holds, is_repeated: true }));
        None
    }

    fn origin(&self, intake: &Intake) -> Origin {
        let device = self.settings.device.clone();
        Origin {
            place: intake.place.clone(),
            device_time: intake.understood.device_time,
            received: intake.received,
            device: Some(device.clone()).filter(|_| !intake.is_replay),
            ..Origin::new(intake.message, Principal::Device(device), intake.now)
        }
    }

    fn event(&self, stream: &StreamId, event: &Event) -> Option<NewEvent> {
        let (name, version) = event.name();
        NewEvent::new(stream.clone(), name, version, event).ok()
    }

    /// What belongs to the device itself, and what goes to another actor.
    fn sort(&mut self, items: Vec<Routed>, origin: &Origin, is_by_hand: bool) -> (Vec<Own>, Vec<(Option<Part>, Target)>) {
        let mut own = Vec::new();
        let mut targets = Vec::new();
        let of = items.len();
        for (index, item) in items.into_iter().enumerate() {
            let part = (of > 1).then_some(Part { index, of });
            match item {
                Routed::Noted | Routed::Query { .. } => {}
                Routed::Hold(reason) | Routed::Unbound { reason, .. } => own.push(Own::Hold(reason, part)),
                Routed::Control { control, results } => own.push(Own::Event(Event::ControlMeasured { control, results })),
                Routed::Tag { tag, antenna, seen } => {
                    if self.sightings.is_new(&tag, antenna, origin.now) {
                        own.push(Own::Event(Event::TagSighted { tag, antenna, seen }));
                    }
                }
                Routed::Drawer { drawer, movement, command } => own.push(Own::Event(Event::DrawerMoved { drawer, movement, command })),
                other => match self.settings.targets.target(&self.settings.device, other) {
                    Ok(target) => targets.push((part, if is_by_hand { target.by_hand() } else { target })),
                    Err(reason) => own.push(Own::Hold(reason, part)),
                },
            }
        }
        (own, targets)
    }
}

/// What belongs to the device itself.
enum Own {
    Event(Event),
    Hold(Reason, Option<Part>),
}

/// Where one message's commands go.
enum Errands {
    /// Nothing is asked of anybody else.
    None,
    /// One thing of one actor.
    One(Option<Part>, Box<Target>),
    /// Several things of the census, which does them at once.
    Census(Vec<(Part, Command)>),
    /// Several things of several actors, who must answer one after the other.
    OneByOne(Vec<(Option<Part>, Target)>),
}

impl Errands {
    fn of(mut targets: Vec<(Option<Part>, Target)>) -> Self {
        let is_census = |(part, target): &(Option<Part>, Target)| part.is_some() && matches!(target, Target::Census(_));
        match targets.len() {
            0 | 1 => targets.pop().map_or(Errands::None, |(part, target)| Errands::One(part, Box::new(target))),
            2..=AT_ONCE if targets.iter().all(is_census) => {
                let command = |(part, target)| if let (Some(part), Target::Census(command)) = (part, target) { Some((part, command)) } else { None };
                Errands::Census(targets.into_iter().filter_map(command).collect())
            }
            _ => Errands::OneByOne(targets),
        }
    }
}

/// One message's commands on their way.
struct Errand {
    log: Arc<dyn Log>,
    directory: Arc<Targets>,
    stream: StreamId,
    origin: Origin,
    carried: Vec<NewEvent>,
    holds: Vec<Reason>,
}

impl Errand {
    fn run(mut self, errands: Errands, finish: Finish) {
        match errands {
            Errands::None => self.alone(finish),
            Errands::One(part, target) => {
                self.origin.part = part;
                let carried = std::mem::take(&mut self.carried);
                let holds = self.holds;
                let reply = Box::new(move |outcome| finish.end(merge(holds, outcome)));
                self.directory.send(*target, self.origin, carried, None, reply);
            }
            Errands::Census(commands) => {
                let mut holds = self.holds;
                let reply = Box::new(move |result: Result<Vec<Reason>, Failure>| {
                    finish.end(result.map(|more| {
                        holds.extend(more);
                        holds.into()
                    }));
                });
                self.directory.send_parts(Parts { commands, origin: self.origin, carried: self.carried, reply });
            }
            // The device's actor goes on meanwhile.
            Errands::OneByOne(targets) => drop(tokio::spawn(self.one_by_one(targets, finish))),
        }
    }

    /// Nothing is asked of anybody else: the message and what it says about the device become durable.
    fn alone(self, finish: Finish) {
        let holds = self.holds;
        if self.carried.is_empty() {
            return self.log.barrier(Vec::new(), Box::new(move |result| finish.end(result.map(|_| holds.into()).map_err(Failure::from))));
        }
        let batch = Batch { expected: vec![], meta: self.origin.meta(), events: self.carried };
        self.log.append(batch, Box::new(move |result| finish.end(result.map(|_| holds.into()).map_err(Failure::from))));
    }

    async fn one_by_one(mut self, targets: Vec<(Option<Part>, Target)>, finish: Finish) {
        let mut raw_at = None;
        // Should the first parts be known from before a crash, the next one brings the message itself again: what is held of it must
        // show it.
        let message: Vec<NewEvent> = self.carried.iter().filter(|event| event.kind == "MessageReceived").cloned().collect();
        for (number, (part, target)) in targets.into_iter().enumerate() {
            let mut origin = Origin { part, ..self.origin.clone() };
            origin.command = self.origin.command.part(u32::try_from(number).unwrap_or(u32::MAX));
            let (sender, receiver) = tokio::sync::oneshot::channel();
            let reply = Box::new(move |outcome| {
                // The receiver is gone only when wardd stops.
                let _ = sender.send(outcome);
            });
            let carried = match (std::mem::take(&mut self.carried), raw_at) {
                (carried, _) if !carried.is_empty() => carried,
                (_, None) => message.clone(),
                (carried, Some(_)) => carried,
            };
            self.directory.send(target, origin, carried, raw_at, reply);
            match receiver.await.unwrap_or(Outcome::Failed(Failure::Lost)) {
                Outcome::Failed(failure) => return finish.end(Err(failure)),
                Outcome::Held(receipt, reason) => {
                    raw_at = raw_at.or(Some(receipt.first));
                    self.holds.push(reason);
                }
                Outcome::Done(receipt) => raw_at = raw_at.or(Some(receipt.first)),
                Outcome::Refused(refusal) => {
                    self.holds.push(Reason::Refused { rule: refusal.rule, detail: refusal.message });
                }
                Outcome::Repeated | Outcome::Nothing => {}
            }
        }
        let handled = Event::MessageHandled { message: self.origin.command };
        self.carried = NewEvent::new(self.stream.clone(), handled.name().0, handled.name().1, &handled).into_iter().collect();
        self.alone(finish);
    }
}

fn merge(mut holds: Vec<Reason>, outcome: Outcome) -> Result<Arc<[Reason]>, Failure> {
    match outcome {
        Outcome::Failed(failure) => return Err(failure),
        Outcome::Held(_, reason) => holds.push(reason),
        Outcome::Refused(refusal) => holds.push(Reason::Refused { rule: refusal.rule, detail: refusal.message }),
        Outcome::Done(_) | Outcome::Repeated | Outcome::Nothing => {}
    }
    Ok(holds.into())
}
