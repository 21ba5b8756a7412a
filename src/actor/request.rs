//! What is asked of an actor, and what it answers.

use std::sync::Arc;

use crate::domain::quarantine::{Part, Reason};
use crate::domain::{Context, Refusal};
use crate::journal::{AppendError, Meta, NewEvent, Receipt};
use crate::kernel::{CommandId, DeviceId, Principal, Timestamp};

/// Who asks, from where, and under which identity.
#[derive(Debug, Clone)]
pub struct Origin {
    /// The command's identity.
    pub command: CommandId,
    /// Who asks.
    pub principal: Principal,
    /// A second person who vouches.
    pub witness: Option<String>,
    /// Where: a station or device.
    pub place: Option<String>,
    /// The story that this belongs to.
    pub correlation: CommandId,
    /// The event that caused it.
    pub causation: Option<u64>,
    /// When it happened, by the device's clock.
    pub device_time: Option<Timestamp>,
    /// When it arrived.
    pub received: Timestamp,
    /// When it is decided.
    pub now: Timestamp,
    /// The device whose message this is: then a refusal is held for a person and not merely answered.
    pub device: Option<DeviceId>,
    /// Which part of a device's message this is, when it asked for several things.
    pub part: Option<Part>,
    /// The fingerprint of a request that came with a key of its own, so that the key is not used for another one.
    pub request: Option<String>,
}

impl Origin {
    /// A command of somebody, now, with nothing else known.
    pub fn new(command: CommandId, principal: Principal, now: Timestamp) -> Self {
        Self {
            command,
            principal,
            witness: None,
            place: None,
            correlation: command,
            causation: None,
            device_time: None,
            received: now,
            now,
            device: None,
            part: None,
            request: None,
        }
    }

    /// The envelope of the events.
    pub fn meta(&self) -> Arc<Meta> {
        Arc::new(Meta {
            command: self.command,
            principal: self.principal.clone(),
            witness: self.witness.clone(),
            place: self.place.clone(),
            correlation: self.correlation,
            causation: self.causation,
            device_time: self.device_time,
            received: self.received,
            recorded: self.now,
            request: self.request.clone(),
        })
    }

    /// What the rules may know.
    pub fn context(&self) -> Context {
        Context { command: self.command, now: self.now, principal: self.principal.clone(), witness: self.witness.clone() }
    }
}

/// How a command ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// Its events are durable.
    Done(Receipt),
    /// It had been done before under the same id: the first answer holds.
    Repeated,
    /// It had happened already; there was nothing to write.
    Nothing,
    /// A rule refused it; nothing was written.
    Refused(Refusal),
    /// A rule refused a device's message; it is durable and waits for a person.
    Held(Receipt, Reason),
    /// It could not be tried; the sender keeps it and tries again with the same id.
    Failed(Failure),
}

/// Why a command could not be tried.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Failure {
    /// Too much waits already.
    #[error("WD-0201 this cannot be taken right now, since too much waits or a part of wardd is being started again: try again in a moment")]
    Busy,
    /// The disk is full.
    #[error("WD-0102 the disk is full: nothing can be taken until there is room")]
    Full,
    /// The journal is closed.
    #[error("WD-0100 the journal has failed and wardd is stopping: try again when it is back")]
    Closed,
    /// The actor failed while it worked on this.
    #[error("WD-0202 the command was lost in a failure: try again")]
    Lost,
    /// The command is too large.
    #[error("WD-0104 the command's events are larger than a record may be: send it in parts")]
    TooLarge,
    /// What the log holds cannot be read.
    #[error("WD-0105 {0}")]
    Unreadable(String),
}

impl From<AppendError> for Failure {
    fn from(error: AppendError) -> Self {
        match error {
            // Decided on a state that has moved on: the sender tries again.
            AppendError::Conflict { .. } | AppendError::Busy => Failure::Busy,
            AppendError::Full => Failure::Full,
            AppendError::TooLarge(_) => Failure::TooLarge,
            AppendError::Fatal(_) => Failure::Closed,
        }
    }
}

/// Where the outcome goes; dropped without being called when the actor fails.
pub type Reply = Box<dyn FnOnce(Outcome) + Send>;

/// A command on its way to an aggregate.
pub struct Request<C> {
    /// The key of the stream.
    pub key: String,
    /// What is asked.
    pub command: C,
    /// Who asks.
    pub origin: Origin,
    /// Events that become durable together with the outcome: the message as it was received.
    pub carried: Vec<NewEvent>,
    /// The sequence where the raw message stands when it is not carried.
    pub raw_at: Option<u64>,
    /// Where the outcome goes.
    pub reply: Reply,
}

impl<C: std::fmt::Debug> std::fmt::Debug for Request<C> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Request({} {:?})", self.key, self.origin.command)
    }
}
