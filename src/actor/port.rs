//! A bounded way to an actor: ractor's mailboxes have no bound, so each message carries a place of a semaphore.

use std::sync::Arc;

use ractor::{ActorRef, Message};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};

use crate::telemetry;

/// The port is full, or its actor is down: wait and try again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Busy;

/// A place in front of an actor; given back when the message is done, or lost.
#[derive(Debug)]
pub struct Place(#[expect(dead_code, reason = "held for its drop")] OwnedSemaphorePermit);

/// A message and its place.
#[derive(Debug)]
pub struct Placed<M> {
    /// The message.
    pub message: M,
    place: Place,
}

impl<M> Placed<M> {
    /// A message that takes over the place of another.
    pub fn with(message: M, place: Place) -> Self {
        Self { message, place }
    }

    /// The message; its place is given back when the second part is dropped.
    pub fn open(self) -> (M, Place) {
        (self.message, self.place)
    }
}

/// The senders' end; it outlives restarts of the actor behind it.
#[derive(Debug)]
pub struct Port<M: Send + 'static> {
    name: Arc<str>,
    target: watch::Receiver<Option<ActorRef<Placed<M>>>>,
    places: Arc<Semaphore>,
}

impl<M: Send + 'static> Clone for Port<M> {
    fn clone(&self) -> Self {
        Self { name: self.name.clone(), target: self.target.clone(), places: self.places.clone() }
    }
}

/// The supervisor's end: where a new incarnation is announced.
pub type Announcer<M> = watch::Sender<Option<ActorRef<Placed<M>>>>;

impl<M: Send + 'static> Port<M>
where
    Placed<M>: Message,
{
    /// A port with this many places, and the end where its actor is announced.
    pub fn new(name: &str, places: usize) -> (Self, Announcer<M>) {
        let (announcer, target) = watch::channel(None);
        (Self { name: name.into(), target, places: Arc::new(Semaphore::new(places)) }, announcer)
    }

    /// Puts a message before the actor; gives it back when there is no place.
    pub fn send(&self, message: M) -> Result<(), (Busy, M)> {
        let Ok(permit) = self.places.clone().try_acquire_owned() else {
            telemetry::port_full(&self.name);
            return Err((Busy, message));
        };
        let target = self.target.borrow().clone();
        match target {
            None => Err((Busy, message)),
            Some(target) => match target.cast(Placed { message, place: Place(permit) }) {
                Ok(()) => Ok(()),
                Err(ractor::MessagingErr::SendErr(placed)) => Err((Busy, placed.message)),
                // The message is lost with its reply, which the sender sees.
                Err(_) => Ok(()),
            },
        }
    }

    /// Places that are free.
    pub fn free(&self) -> usize {
        self.places.available_permits()
    }
}
