//! Supervision: a failed actor is started again from the journal, its neighbours go on; after too many failures it rests a minute first.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use ractor::{Actor, ActorCell, ActorProcessingErr, ActorRef, SupervisionEvent};
use tokio::time::Instant;

use super::StartError;
use super::port::{Announcer, Placed};
use crate::telemetry;

/// Restarts of one child within [`WINDOW`]; after the next failure it rests that long, so that a failure that is always there costs nothing.
const RESTARTS: usize = 20;
const WINDOW: Duration = Duration::from_secs(60);

/// A future that starts a child.
type Starting = std::pin::Pin<Box<dyn Future<Output = Result<ActorCell, StartError>> + Send>>;

/// What a supervisor is told: which of its children, by number.
#[derive(Debug, Clone, Copy)]
pub enum Order {
    /// Somebody has a message for it, and it is not there yet.
    Wake(usize),
    /// It has rested.
    Rested(usize),
}

/// How a child is started, under which name, and announced to its port.
#[derive(Clone)]
pub struct Child {
    /// Its name, for logs.
    pub name: Arc<str>,
    /// Has its first message ask this supervisor for it.
    sleep: Arc<dyn Fn(ActorRef<Order>, usize) + Send + Sync>,
    start: Arc<dyn Fn(ActorCell) -> Starting + Send + Sync>,
}

impl Child {
    /// A child of an actor type that its first message brings to life; `arguments` are cloned for each start.
    pub fn new<A, M>(name: &str, actor: fn() -> A, arguments: A::Arguments, announcer: Announcer<M>) -> Self
    where
        M: Send + 'static,
        A: Actor<Msg = Placed<M>>,
        A::Arguments: Clone + Send + Sync,
        Placed<M>: ractor::Message,
    {
        let child_name: Arc<str> = name.into();
        let announcer = Arc::new(announcer);
        let (for_start, for_sleep) = ((child_name.clone(), announcer.clone()), announcer);
        let start = move |supervisor: ActorCell| -> Starting {
            let (arguments, (name, announcer)) = (arguments.clone(), for_start.clone());
            Box::pin(async move {
                match Actor::spawn_linked(None, actor(), arguments, supervisor).await {
                    Ok((reference, _)) => {
                        announcer.is_there(reference.clone());
                        Ok(reference.get_cell())
                    }
                    Err(error) => {
                        announcer.is_down();
                        Err(StartError { name: name.to_string(), why: error.to_string() })
                    }
                }
            })
        };
        let asked = move |supervisor: ActorRef<Order>, number: usize| {
            for_sleep.sleeps(Box::new(move || supervisor.cast(Order::Wake(number)).is_ok()));
        };
        Self { name: child_name, sleep: Arc::new(asked), start: Arc::new(start) }
    }
}

/// A child, when it lives, and when it failed.
struct Running {
    child: Child,
    number: usize,
    cell: Option<ActorCell>,
    failures: VecDeque<Instant>,
}

impl Running {
    /// Starts the child; when that fails it is tried again after a rest.
    async fn start(&mut self, supervisor: &ActorRef<Order>) {
        match (self.child.start)(supervisor.get_cell()).await {
            Ok(cell) => self.cell = Some(cell),
            Err(error) => {
                telemetry::actor_given_up(&self.child.name, &error.to_string());
                rest(supervisor, self);
            }
        }
    }
}

fn rest(supervisor: &ActorRef<Order>, running: &Running) {
    let number = running.number;
    // The handle is of no use: when the supervisor stops first, nobody must be woken.
    drop(supervisor.send_after(WINDOW, move || Order::Rested(number)));
}

/// A supervisor's memory.
pub struct Children {
    running: Vec<Running>,
}

/// The actor: the hospital's root.
pub struct Supervisor;

impl Actor for Supervisor {
    type Msg = Order;
    type State = Children;
    type Arguments = Vec<Child>;

    async fn pre_start(&self, myself: ActorRef<Order>, children: Vec<Child>) -> Result<Children, ActorProcessingErr> {
        let mut running = Vec::with_capacity(children.len());
        for (number, child) in children.into_iter().enumerate() {
            (child.sleep)(myself.clone(), number);
            running.push(Running { child, number, cell: None, failures: VecDeque::new() });
        }
        Ok(Children { running })
    }

    async fn handle_supervisor_evt(&self, myself: ActorRef<Order>, event: SupervisionEvent, children: &mut Children) -> Result<(), ActorProcessingErr> {
        let SupervisionEvent::ActorFailed(cell, cause) = event else { return Ok(()) };
        let is_it = |running: &&mut Running| running.cell.as_ref().is_some_and(|known| known.get_id() == cell.get_id());
        let Some(failed) = children.running.iter_mut().find(is_it) else { return Ok(()) };
        let now = Instant::now();
        failed.failures.push_back(now);
        while failed.failures.front().is_some_and(|first| now.duration_since(*first) > WINDOW) {
            failed.failures.pop_front();
        }
        if failed.failures.len() > RESTARTS {
            telemetry::actor_given_up(&failed.child.name, &cause.to_string());
            rest(&myself, failed);
            return Ok(());
        }
        telemetry::actor_restarted(&failed.child.name, &cause.to_string());
        failed.start(&myself).await;
        Ok(())
    }

    async fn handle(&self, myself: ActorRef<Order>, order: Order, children: &mut Children) -> Result<(), ActorProcessingErr> {
        let (Order::Wake(number) | Order::Rested(number)) = order;
        let Some(running) = children.running.get_mut(number) else { return Ok(()) };
        if let Order::Rested(_) = order {
            telemetry::actor_restarted(&running.child.name, "it has rested");
            running.failures.clear();
        }
        running.start(&myself).await;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU32, Ordering};

    use super::super::port::Port;
    use super::*;

    /// Sends on what it gets; its first starts fail, as many as it is told.
    struct Echo;

    #[derive(Clone)]
    struct Settings {
        heard: tokio::sync::mpsc::UnboundedSender<u32>,
        failing_starts: Arc<AtomicU32>,
        starts: Arc<AtomicU32>,
    }

    impl Actor for Echo {
        type Msg = Placed<u32>;
        type State = Settings;
        type Arguments = Settings;

        async fn pre_start(&self, _: ActorRef<Self::Msg>, settings: Settings) -> Result<Settings, ActorProcessingErr> {
            settings.starts.fetch_add(1, Ordering::SeqCst);
            tokio::time::sleep(Duration::from_millis(20)).await;
            match settings.failing_starts.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| left.checked_sub(1)) {
                Ok(_) => Err("not yet".into()),
                Err(_) => Ok(settings),
            }
        }

        async fn handle(&self, _: ActorRef<Self::Msg>, message: Self::Msg, settings: &mut Settings) -> Result<(), ActorProcessingErr> {
            settings.heard.send(message.message)?;
            Ok(())
        }
    }

    struct House {
        port: Port<u32>,
        heard: tokio::sync::mpsc::UnboundedReceiver<u32>,
        starts: Arc<AtomicU32>,
        root: ActorRef<Order>,
    }

    async fn house(failing_starts: u32) -> House {
        let (port, announcer) = Port::new("echo", 8);
        let (sender, heard) = tokio::sync::mpsc::unbounded_channel();
        let starts = Arc::new(AtomicU32::new(0));
        let settings = Settings { heard: sender, failing_starts: Arc::new(AtomicU32::new(failing_starts)), starts: starts.clone() };
        let (root, _) = Actor::spawn(None, Supervisor, vec![Child::new("echo", || Echo, settings, announcer)]).await.unwrap();
        House { port, heard, starts, root }
    }

    #[tokio::test(start_paused = true)]
    async fn an_actor_is_made_by_its_first_message_and_gets_all_in_their_order() {
        let mut house = house(0).await;
        tokio::time::sleep(Duration::from_secs(5)).await;
        assert_eq!(house.starts.load(Ordering::SeqCst), 0, "nobody has asked for it");
        for number in 0..8 {
            house.port.send(number).unwrap();
        }
        assert!(house.port.send(8).is_err(), "what waits for the actor has places too");
        for number in 0..8 {
            assert_eq!(house.heard.recv().await, Some(number));
        }
        tokio::time::sleep(Duration::from_millis(1)).await;
        house.port.send(9).unwrap();
        assert_eq!((house.heard.recv().await, house.starts.load(Ordering::SeqCst)), (Some(9), 1));
        house.root.stop(None);
    }

    #[tokio::test(start_paused = true)]
    async fn when_nobody_is_left_who_could_make_the_actor_the_sender_is_told() {
        let house = house(0).await;
        house.root.stop_and_wait(None, None).await.unwrap();
        assert!(house.port.send(1).is_err() && house.port.send(2).is_err());
        assert_eq!((house.port.free(), house.starts.load(Ordering::SeqCst)), (8, 0));
    }

    #[tokio::test(start_paused = true)]
    async fn what_waits_for_an_actor_that_cannot_be_made_is_given_up_and_it_is_tried_again_after_a_rest() {
        let mut house = house(1).await;
        house.port.send(1).unwrap();
        tokio::time::sleep(Duration::from_secs(1)).await;
        assert_eq!(house.port.free(), 8, "its place has come back: whoever sent it was told by its reply's drop");
        assert!(house.port.send(2).is_err(), "down");
        tokio::time::sleep(WINDOW).await;
        house.port.send(3).unwrap();
        assert_eq!((house.heard.recv().await, house.starts.load(Ordering::SeqCst)), (Some(3), 2));
        house.root.stop(None);
    }
}
