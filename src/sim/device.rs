//! What all virtual devices share: how an analyzer is given work, how a device is stopped, how much it holds.

use std::time::Duration;

use tokio::sync::watch;

/// Jobs that one device, or the queue into it, holds at most.
pub const JOBS_MAX: usize = 256;

/// Seconds from one tube to the next, before scaling; quicker than real analyzers, as one stands for several.
pub const RUN_SECONDS: f64 = 3.0;

/// What people do to an analyzer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AnalyzerCommand {
    /// Load a tube with this label; the LOINC codes are what was ordered (a querying analyzer asks the host instead).
    Tube {
        /// As on the label.
        accession: String,
        /// Ordered tests.
        tests: Vec<String>,
    },
    /// Pull the cable for so long; only serial analyzers have one.
    Unplug(Duration),
}

/// Runs `work` until it ends or `stop` turns true (or its sender is gone).
pub(super) async fn until_stopped(work: impl Future<Output = ()>, mut stop: watch::Receiver<bool>) {
    tokio::select! {
        () = work => {}
        _ = stop.wait_for(|stop| *stop) => {}
    }
}
