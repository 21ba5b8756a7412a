//! What follows the log from a cursor: read models, charges, drawers. When the store that holds the cursors fails, all of them
//! stop, the store is opened again or rebuilt, and each goes on from where the store says it stands.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use tokio::runtime::Handle;
use tokio::sync::watch;
use tokio::task::JoinSet;

use super::erasing::Erasing;
use crate::actor::{Charging, Hospital};
use crate::domain::account::PriceList;
use crate::journal::Log;
use crate::journal::views::SledViews;
use crate::kernel::{CabinetId, Clock, DeviceId};
use crate::outbound::{Bands, Drawers, Feed, Forwarding, Line, Opener, Wristbands};
use crate::projection::{Projector, Rows};
use crate::telemetry;

/// Between two tries to open a store that failed.
const AGAIN: Duration = Duration::from_secs(1);

/// Everything that consumers are made of.
pub(super) struct Consumers {
    pub(super) log: Arc<dyn Log>,
    pub(super) views: Arc<SledViews>,
    pub(super) rows: Arc<Rows>,
    pub(super) hospital: Arc<Hospital>,
    pub(super) prices: watch::Receiver<Arc<PriceList>>,
    pub(super) openers: BTreeMap<CabinetId, (DeviceId, Arc<dyn Opener>)>,
    /// How to each printer of wristbands, anew at each start.
    pub(super) printers: Box<dyn Fn() -> Vec<(DeviceId, Line)> + Send + Sync>,
    /// How to the collector of the audit, anew at each start; none where there is none.
    pub(super) forwarding: Box<dyn Fn() -> Option<Forwarding> + Send + Sync>,
    /// How to each system that is told what happens, anew at each start.
    pub(super) feeds: Box<dyn Fn() -> Vec<Feed> + Send + Sync>,
    /// What the house knows of bands, where it prints any.
    pub(super) bands: Option<Arc<dyn Bands>>,
    pub(super) clock: Clock,
    /// The file that says that the views hold what was erased.
    pub(super) stale: PathBuf,
    pub(super) desk: Handle,
}

impl Consumers {
    /// Follows the log until it closes.
    pub(super) async fn run(self) {
        let mut failed = self.views.failed();
        loop {
            let mut tasks = self.start();
            tokio::select! {
                () = async { while tasks.join_next().await.is_some() {} } => return,
                _ = failed.wait_for(|has_failed| *has_failed) => {}
            }
            tasks.shutdown().await;
            self.mend().await;
        }
    }

    /// Reads who is registered, where it holds up nobody. Rows that are made anew hold nobody at first, so they are waited for as well.
    fn learn(&self) -> impl Future<Output = ()> + Send + 'static {
        let (rows, head) = (self.rows.clone(), self.log.head());
        async move {
            loop {
                let reader = rows.clone();
                match tokio::task::spawn_blocking(move || reader.learn_people()).await {
                    Ok(Ok(())) => break,
                    Ok(Err(error)) => telemetry::consumer_failed("patients", &error.to_string()),
                    Err(error) => telemetry::consumer_failed("patients", &error.to_string()),
                }
                tokio::time::sleep(AGAIN).await;
            }
            if rows.changes().wait_for(|applied| *applied >= head).await.is_ok() {
                rows.everybody_is_known();
            }
        }
    }

    fn start(&self) -> JoinSet<()> {
        let mut tasks = JoinSet::new();
        tasks.spawn_on(self.learn(), &self.desk);
        let erasing = Erasing {
            hospital: self.hospital.clone(),
            log: self.log.clone(),
            rows: self.rows.clone(),
            views: self.views.clone(),
            clock: self.clock.clone(),
            stale: self.stale.clone(),
            waits: self.stale.with_file_name("erasing-waits"),
        };
        tasks.spawn_on(erasing.run(), &self.desk);
        // Charges and drawers are a few steps each; rows may take their time where nobody's answer waits for them.
        tasks.spawn_on(Projector::new(self.rows.clone(), self.log.clone()).run(), &self.desk);
        let (hospital, log, views, clock) = (self.hospital.clone(), self.log.clone(), self.views.clone(), self.clock.clone());
        let charging = Charging { prices: self.prices.clone() };
        tasks.spawn(async move { hospital.charge(charging, log, views, move || clock.now()).await });
        if let Some(forwarding) = (self.forwarding)() {
            tasks.spawn_on(forwarding.run(self.log.clone(), self.views.clone()), &self.desk);
        }
        for feed in (self.feeds)() {
            tasks.spawn_on(feed.run(), &self.desk);
        }
        if let Some(bands) = &self.bands {
            tasks.spawn_on(Wristbands::new((self.printers)(), bands.clone(), self.clock.clone()).run(self.log.clone(), self.views.clone()), &self.desk);
        }
        tasks.spawn(Drawers::new(self.openers.clone(), self.clock.clone()).run(self.log.clone(), self.views.clone()));
        tasks
    }

    /// Tries until the store is open again and the rows are what it holds.
    async fn mend(&self) {
        loop {
            tokio::time::sleep(AGAIN).await;
            let (views, rows, head) = (self.views.clone(), self.rows.clone(), self.log.head());
            // Opening reads the whole store: where it blocks nobody.
            let mended = tokio::task::spawn_blocking(move || rows.reopen(head, || views.reopen().map(drop))).await;
            match mended {
                Ok(Ok(())) => return telemetry::views_mended(),
                Ok(Err(error)) => telemetry::consumer_failed("views", &error.to_string()),
                Err(error) => telemetry::consumer_failed("views", &error.to_string()),
            }
        }
    }
}
