//! Programs that subscribed are told: one task a subscription follows the log from where it was told last.
//!
//! Flow: batch → what of it is news ([`api::news`]) → requests, one after the other → the subscription keeps how far it was told.
//! **Invariant**: what was not taken is told again; after an hour the subscription has failed, and a person sees it.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use serde_json::Value;
use sha2::{Digest, Sha256};
use tokio::sync::watch;
use tokio::task::JoinSet;

use crate::actor::{Origin, Outcome};
use crate::api::{self, Api, NoNews};
use crate::domain::subscription::{Command, Status, Subscription, Wanted};
use crate::journal::{Log, StoredBatch};
use crate::kernel::{CommandId, Principal};
use crate::outbound::{Hooks, Request, Untaken};
use crate::projection::Told;
use crate::telemetry;

/// Between two looks at which subscriptions there are.
const LOOK: Duration = Duration::from_secs(1);
/// What cannot be done now is tried again: first soon, then seldom, an hour in all, which the restart of another system does not take.
const PAUSE: Duration = Duration::from_secs(2);
const LONG_PAUSE: Duration = Duration::from_secs(30);
const SHORT_PAUSES: u32 = 6;
const ATTEMPTS: u32 = 125;
/// Events that may be passed over before it is kept that they were.
const PASSED: u64 = 10_000;

/// What telling needs.
#[derive(Clone)]
pub(super) struct Subscriptions {
    pub(super) api: Api,
    pub(super) log: Arc<dyn Log>,
    pub(super) hooks: Hooks,
}

/// Why a subscription is not followed any more.
enum Ended {
    /// Its end has come.
    Over,
    /// It cannot be told.
    Failed(String),
    /// It was switched off, or something else is wanted; or wardd stops.
    Changed,
}

impl Subscriptions {
    /// Tells all of them until wardd stops.
    pub(super) async fn run(self, mut stop: watch::Receiver<bool>) {
        let mut tasks: JoinSet<String> = JoinSet::new();
        let mut running: BTreeMap<String, (Wanted, tokio::task::AbortHandle)> = BTreeMap::new();
        loop {
            while let Some(ended) = tasks.try_join_next() {
                ended.into_iter().for_each(|id| drop(running.remove(&id)));
            }
            let active: BTreeMap<String, Subscription> = self.api.rows.subscriptions().into_iter().filter(|(_, known)| known.status == Status::Active).collect();
            // What is not wanted any more, or not in this way, is told no further.
            running.retain(|id, (wanted, task)| {
                let is_same = active.get(id).is_some_and(|known| known.wanted == *wanted);
                if !is_same {
                    task.abort();
                }
                is_same
            });
            for (id, known) in active.into_iter().filter(|(id, _)| !running.contains_key(id)).collect::<Vec<_>>() {
                let (wanted, telling) = (known.wanted.clone(), self.clone());
                let task = tasks.spawn({
                    let id = id.clone();
                    async move {
                        telling.follow(&id, known).await;
                        id
                    }
                });
                running.insert(id, (wanted, task));
            }
            tokio::select! {
                _ = stop.wait_for(|stops| *stops) => return tasks.abort_all(),
                () = tokio::time::sleep(LOOK) => {}
            }
        }
    }

    /// Follows the log for one, and keeps why it ended.
    async fn follow(&self, id: &str, known: Subscription) {
        let through = known.through;
        let (command, sequence) = match self.tell(id, known).await {
            (Ended::Changed, _) => return,
            (Ended::Over, sequence) => (Command::SwitchOff, sequence),
            (Ended::Failed(why), sequence) => (Command::Fail { why }, sequence),
        };
        self.keep(id, sequence.max(through), command).await;
    }

    /// Tells what happens; gives why it ended, and at which event.
    async fn tell(&self, id: &str, known: Subscription) -> (Ended, u64) {
        let Subscription { wanted, through, .. } = known;
        let (mut tail, mut done, mut kept) = (self.log.tail(through + 1), through, through);
        loop {
            let batch = tokio::select! {
                () = self.until(&wanted) => return (Ended::Over, done),
                next = tail.next(self.log.as_ref()) => match next {
                    Ok(Some(batch)) => batch,
                    Ok(None) => return (Ended::Changed, done),
                    Err(error) => {
                        telemetry::consumer_failed("subscriptions", &error.to_string());
                        tokio::time::sleep(PAUSE).await;
                        continue;
                    }
                },
            };
            let resources = match self.batch(id, &wanted, &batch).await {
                Ok(resources) => resources,
                Err(ended) => return (ended, batch.last()),
            };
            done = batch.last();
            if resources > 0 || done - kept > PASSED {
                self.keep(id, done, Command::Told { through: done, resources }).await;
                kept = done;
            }
        }
    }

    /// Until the subscription's own end; for ever when it has none.
    async fn until(&self, wanted: &Wanted) {
        let Some(end) = wanted.end else { return std::future::pending().await };
        while self.api.clock.now() < end {
            tokio::time::sleep(LOOK).await;
        }
    }

    /// Tells what of a batch is news, as often as it takes: how many resources it was.
    async fn batch(&self, id: &str, wanted: &Wanted, batch: &StoredBatch) -> Result<u32, Ended> {
        if !batch.events.iter().any(|event| api::concerns(&wanted.criteria, event.event.stream.kind())) {
            return Ok(0);
        }
        // What is told is what is so then.
        self.api.rows.hurry();
        if self.api.rows.changes().wait_for(|applied| *applied >= batch.last()).await.is_err() {
            return Err(Ended::Changed);
        }
        // Once it was switched off nothing is told, also of what was under way.
        let now = self.api.rows.subscription(id);
        if now.status != Status::Active || now.wanted != *wanted {
            return Err(Ended::Changed);
        }
        let events = Told::all(batch).map_err(|error| Ended::Failed(error.to_string()))?;
        let mut left: Option<Vec<(String, Value)>> = None;
        let (mut count, mut last) = (0, String::new());
        for attempt in 0..ATTEMPTS {
            match attempt {
                0 => {}
                1..=SHORT_PAUSES => tokio::time::sleep(PAUSE).await,
                _ => tokio::time::sleep(LONG_PAUSE).await,
            }
            let untold = match left.take() {
                Some(left) => left,
                None => match api::news(&self.api, wanted, &events).await {
                    Ok(found) => {
                        count = u32::try_from(found.len()).unwrap_or(u32::MAX);
                        found
                    }
                    Err(NoNews::Never(why)) => return Err(Ended::Failed(why)),
                    Err(NoNews::NotNow(why)) => {
                        last = why;
                        continue;
                    }
                },
            };
            match self.send(id, wanted, untold).await {
                Ok(()) => return Ok(count),
                Err((Untaken::Never(why), _)) => return Err(Ended::Failed(why)),
                Err((Untaken::NotNow(why), untold)) => (last, left) = (why, Some(untold)),
            }
        }
        Err(Ended::Failed(format!("{last}, for an hour")))
    }

    /// Sends the requests; what was not taken comes back.
    async fn send(&self, id: &str, wanted: &Wanted, mut untold: Vec<(String, Value)>) -> Result<(), (Untaken, Vec<(String, Value)>)> {
        while let Some((place, resource)) = untold.first() {
            let resource = wanted.is_with_resource.then(|| (place.clone(), resource.to_string()));
            let request = Request { endpoint: wanted.endpoint.clone(), headers: wanted.headers.clone(), resource };
            let hooks = self.hooks.clone();
            let told = tokio::task::spawn_blocking(move || hooks.tell(&request)).await.unwrap_or_else(|error| Err(Untaken::NotNow(error.to_string())));
            telemetry::subscription_told(id, told.as_ref().map(drop).map_err(|(Untaken::Never(why) | Untaken::NotNow(why))| why.as_str()));
            if let Err(why) = told {
                return Err((why, untold));
            }
            match wanted.is_with_resource {
                true => drop(untold.remove(0)),
                // That there is something new is said once for all of it.
                false => untold.clear(),
            }
        }
        Ok(())
    }

    /// Keeps how far it was told, as often as it takes.
    async fn keep(&self, id: &str, sequence: u64, command: Command) {
        let digest = Sha256::digest(format!("{id} {sequence} {command:?}"));
        let identity = CommandId::from_bytes(digest.first_chunk().copied().unwrap_or_default());
        loop {
            let origin = Origin { causation: Some(sequence), ..Origin::new(identity, Principal::System("subscriptions".to_owned()), self.api.clock.now()) };
            match self.api.hospital.subscription(id, command.clone(), origin).await {
                Outcome::Failed(failure) => telemetry::consumer_failed("subscriptions", &failure.to_string()),
                // Refused: it was removed meanwhile.
                _ => return,
            }
            tokio::time::sleep(PAUSE).await;
        }
    }
}
