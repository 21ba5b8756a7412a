//! Signs how far the journal goes: at the start, and when a day (UTC) is over.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;

use crate::journal::{KeyRing, heads};
use crate::kernel::{Clock, Date};
use crate::telemetry;

/// Between two looks whether the day is over.
const EVERY: Duration = Duration::from_secs(60);

/// Signs until wardd stops. What cannot be written is tried at the next look.
pub(super) async fn sign(directory: PathBuf, keys: Arc<KeyRing>, clock: Clock, mut stop: watch::Receiver<bool>) {
    let mut signed: Option<Date> = None;
    loop {
        let now = clock.now();
        if signed != Some(now.date()) {
            let (place, ring) = (directory.clone(), keys.clone());
            match tokio::task::spawn_blocking(move || heads::sign(&place, &ring, now)).await {
                Ok(Ok(head)) => signed = head.inspect(|head| telemetry::head_signed(head.sequence, &head.chain)).map(|_| now.date()),
                Ok(Err(error)) => telemetry::consumer_failed("heads", &error.to_string()),
                Err(error) => telemetry::consumer_failed("heads", &error.to_string()),
            }
        }
        tokio::select! {
            biased;
            _ = stop.wait_for(|stops| *stops) => return,
            () = tokio::time::sleep(EVERY) => {}
        }
    }
}
