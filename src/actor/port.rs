//! A bounded way to an actor: ractor's mailboxes have no bound, so each message carries a place of a semaphore. An actor is made by
//! its first message: ten thousand readers on doors that nobody opens cost next to nothing.

use std::sync::{Arc, Mutex, PoisonError};

use ractor::{ActorRef, Message};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

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

/// What is behind a port.
enum Target<M: Send + 'static> {
    /// Nobody yet: the first message has the actor made.
    Asleep(Waker),
    /// The actor is being made; what comes meanwhile waits in its order, each with its place.
    Waking(Vec<Placed<M>>),
    /// The actor.
    Awake(ActorRef<Placed<M>>),
    /// It could not be made.
    Down,
}

/// Asks the supervisor to make the actor; false when there is no supervisor any more.
pub type Waker = Box<dyn FnOnce() -> bool + Send>;

type Shared<M> = Arc<Mutex<Target<M>>>;

fn lock<M: Send>(target: &Shared<M>) -> std::sync::MutexGuard<'_, Target<M>> {
    target.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The senders' end; it outlives restarts of the actor behind it.
pub struct Port<M: Send + 'static> {
    name: Arc<str>,
    target: Shared<M>,
    places: Arc<Semaphore>,
}

impl<M: Send + 'static> Clone for Port<M> {
    fn clone(&self) -> Self {
        Self { name: self.name.clone(), target: self.target.clone(), places: self.places.clone() }
    }
}

impl<M: Send + 'static> std::fmt::Debug for Port<M> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Port({})", self.name)
    }
}

/// The supervisor's end: where each incarnation is announced.
pub struct Announcer<M: Send + 'static>(Shared<M>);

impl<M: Send + 'static> Announcer<M>
where
    Placed<M>: Message,
{
    /// From now on the first message calls this.
    pub fn sleeps(&self, waker: Waker) {
        *lock(&self.0) = Target::Asleep(waker);
    }

    /// The actor is there: it gets what has waited, in its order, before anything newer.
    pub fn is_there(&self, actor: ActorRef<Placed<M>>) {
        let mut target = lock(&self.0);
        if let Target::Waking(waiting) = std::mem::replace(&mut *target, Target::Awake(actor.clone())) {
            // One that fails at once loses them, and their senders see it.
            waiting.into_iter().for_each(|placed| drop(actor.cast(placed)));
        }
    }

    /// The actor could not be made: what has waited is lost, and its senders see it.
    pub fn is_down(&self) {
        *lock(&self.0) = Target::Down;
    }
}

impl<M: Send + 'static> Port<M>
where
    Placed<M>: Message,
{
    /// A port with this many places, and the end where its actor is announced.
    pub fn new(name: &str, places: usize) -> (Self, Announcer<M>) {
        let target: Shared<M> = Arc::new(Mutex::new(Target::Down));
        (Self { name: name.into(), target: target.clone(), places: Arc::new(Semaphore::new(places)) }, Announcer(target))
    }

    /// Puts a message before the actor; gives it back when there is no place.
    pub fn send(&self, message: M) -> Result<(), (Busy, M)> {
        let Ok(permit) = self.places.clone().try_acquire_owned() else {
            telemetry::port_full(&self.name);
            return Err((Busy, message));
        };
        let placed = Placed { message, place: Place(permit) };
        let mut target = lock(&self.target);
        match &mut *target {
            Target::Down => Err((Busy, placed.message)),
            Target::Waking(waiting) => {
                waiting.push(placed);
                Ok(())
            }
            Target::Asleep(_) => {
                let Target::Asleep(wake) = std::mem::replace(&mut *target, Target::Down) else { return Err((Busy, placed.message)) };
                if !wake() {
                    return Err((Busy, placed.message));
                }
                *target = Target::Waking(vec![placed]);
                Ok(())
            }
            Target::Awake(actor) => {
                let actor = actor.clone();
                drop(target);
                match actor.cast(placed) {
                    Ok(()) => Ok(()),
                    Err(ractor::MessagingErr::SendErr(placed)) => Err((Busy, placed.message)),
                    // The message is lost with its reply, which the sender sees.
                    Err(_) => Ok(()),
                }
            }
        }
    }

    /// Places that are free.
    pub fn free(&self) -> usize {
        self.places.available_permits()
    }
}
