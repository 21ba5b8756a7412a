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
pub type Starting = std::pin::Pin<Box<dyn Future<Output = Result<ActorCell, StartError>> + Send>>;

/// How a child is started, under which name, and announced to its port.
#[derive(Clone)]
pub struct Child {
    /// Its name, for logs.
    pub name: Arc<str>,
    start: Arc<dyn Fn(ActorCell) -> Starting + Send + Sync>,
}

impl Child {
    /// A child of an actor type; `arguments` are cloned for each start.
    pub fn new<A, M>(name: &str, actor: fn() -> A, arguments: A::Arguments, announcer: Announcer<M>) -> Self
    where
        M: Send + 'static,
        A: Actor<Msg = Placed<M>>,
        A::Arguments: Clone + Send + Sync,
        Placed<M>: ractor::Message,
    {
        let child_name: Arc<str> = name.into();
        let (for_start, announcer) = (child_name.clone(), Arc::new(announcer));
        let start = move |supervisor: ActorCell| -> Starting {
            let (arguments, announcer, name) = (arguments.clone(), announcer.clone(), for_start.clone());
            Box::pin(async move {
                let failed = |why: String| StartError { name: name.to_string(), why };
                let (reference, _) = Actor::spawn_linked(None, actor(), arguments, supervisor).await.map_err(|error| failed(error.to_string()))?;
                announcer.send_replace(Some(reference.clone()));
                Ok(reference.get_cell())
            })
        };
        Self { name: child_name, start: Arc::new(start) }
    }

    /// A supervisor as a child of another.
    pub fn supervisor(name: &str, children: Vec<Child>) -> Self {
        let child_name: Arc<str> = name.into();
        let for_start = child_name.clone();
        let start = move |supervisor: ActorCell| -> Starting {
            let (children, name) = (children.clone(), for_start.clone());
            Box::pin(async move {
                let failed = |why: String| StartError { name: name.to_string(), why };
                let (reference, _) = Actor::spawn_linked(None, Supervisor, children, supervisor).await.map_err(|error| failed(error.to_string()))?;
                Ok(reference.get_cell())
            })
        };
        Self { name: child_name, start: Arc::new(start) }
    }
}

/// A child that runs, and when it failed.
struct Running {
    child: Child,
    cell: ActorCell,
    failures: VecDeque<Instant>,
}

impl Running {
    /// Starts the child; when that fails it is tried again after a rest.
    async fn start(&mut self, supervisor: &ActorRef<Arc<str>>) {
        match (self.child.start)(supervisor.get_cell()).await {
            Ok(cell) => self.cell = cell,
            Err(error) => {
                telemetry::actor_given_up(&self.child.name, &error.to_string());
                rest(supervisor, self);
            }
        }
    }
}

fn rest(supervisor: &ActorRef<Arc<str>>, running: &Running) {
    let name = running.child.name.clone();
    // The handle is of no use: when the supervisor stops first, nobody must be woken.
    drop(supervisor.send_after(WINDOW, move || name));
}

/// A supervisor's memory.
pub struct Ward {
    running: Vec<Running>,
}

/// The actor: the hospital's root, or a ward.
pub struct Supervisor;

impl Actor for Supervisor {
    /// The child that has rested.
    type Msg = Arc<str>;
    type State = Ward;
    type Arguments = Vec<Child>;

    async fn pre_start(&self, myself: ActorRef<Arc<str>>, children: Vec<Child>) -> Result<Ward, ActorProcessingErr> {
        let mut running = Vec::new();
        for child in children {
            let cell = (child.start)(myself.get_cell()).await?;
            running.push(Running { child, cell, failures: VecDeque::new() });
        }
        Ok(Ward { running })
    }

    async fn handle_supervisor_evt(&self, myself: ActorRef<Arc<str>>, event: SupervisionEvent, ward: &mut Ward) -> Result<(), ActorProcessingErr> {
        let SupervisionEvent::ActorFailed(cell, cause) = event else { return Ok(()) };
        let Some(failed) = ward.running.iter_mut().find(|running| running.cell.get_id() == cell.get_id()) else { return Ok(()) };
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

    async fn handle(&self, myself: ActorRef<Arc<str>>, name: Arc<str>, ward: &mut Ward) -> Result<(), ActorProcessingErr> {
        if let Some(rested) = ward.running.iter_mut().find(|running| running.child.name == name) {
            telemetry::actor_restarted(&name, "it has rested");
            rested.failures.clear();
            rested.start(&myself).await;
        }
        Ok(())
    }
}
