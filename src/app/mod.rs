//! The composition root: builds everything sink-first, starts it, drains it; the only owner of the real clock.
//!
//! Flow: configuration → journal → views → actors → consumers → listeners → `endpoints.json` → READY; stop → drain → sync.
//! Start reading at [`run()`].

mod alerts;
mod bands;
mod certificates;
mod check;
mod consumers;
pub mod demo;
mod endpoints;
mod erasing;
mod error;
mod heads;
mod openers;
pub mod profiles;
mod reload;
mod reminders;
mod run;
mod runtimes;
pub mod simulation;
mod sockets;
mod subscriptions;
mod waiting;
mod wiring;

pub use check::check;
pub use error::AppError;
pub use run::{Running, run, start, until_signal};
pub use runtimes::Runtimes;

use std::sync::OnceLock;
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use crate::kernel::{Clock, Tick, Timestamp};

/// The real clock.
pub fn real_clock() -> Clock {
    static START: OnceLock<Instant> = OnceLock::new();
    let start = *START.get_or_init(Instant::now);
    let now = || {
        let micros = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_micros());
        Timestamp::from_micros(i64::try_from(micros).unwrap_or(i64::MAX))
    };
    Clock::new(now, move || Tick::from_ms(u64::try_from(start.elapsed().as_millis()).unwrap_or(u64::MAX)))
}
