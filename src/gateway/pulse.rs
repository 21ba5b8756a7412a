//! A sign of life of each gateway's task: one that hangs in a call, or has died, shows none, and the watchdog is not fed.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use crate::kernel::{Clock, Tick};

/// Between two signs of life.
const BEAT: Duration = Duration::from_secs(1);
/// Without one for this long it hangs: a slow disk holds a message for 12 s, and that is no hang of the task.
const SILENCE_MS: u64 = 20_000;

/// When a task last showed that it lives.
#[derive(Debug)]
pub struct Pulse {
    name: String,
    last: AtomicU64,
}

impl Pulse {
    /// The pulse of a task that begins now.
    pub fn new(name: &str, now: Tick) -> Self {
        Self { name: name.to_owned(), last: AtomicU64::new(now.ms()) }
    }

    /// What the task is for.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Whether it has shown itself lately.
    pub fn is_alive(&self, now: Tick) -> bool {
        now.ms().saturating_sub(self.last.load(Ordering::Relaxed)) < SILENCE_MS
    }

    /// Does the task's work, and shows meanwhile that the task is polled.
    pub async fn during<T>(&self, clock: &Clock, work: impl Future<Output = T>) -> T {
        let mut beats = tokio::time::interval(BEAT);
        beats.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Skip);
        let mut work = std::pin::pin!(work);
        loop {
            tokio::select! {
                biased;
                done = &mut work => return done,
                _ = beats.tick() => self.last.store(clock.tick().ms(), Ordering::Relaxed),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::kernel::Timestamp;

    #[tokio::test(start_paused = true)]
    async fn a_task_that_waits_lives_and_one_that_hangs_does_not() {
        let (began, hung) = (tokio::time::Instant::now(), Arc::new(AtomicU64::new(0)));
        let hung_for = hung.clone();
        let passed = move || u64::try_from(began.elapsed().as_millis()).unwrap() + hung_for.load(Ordering::Relaxed);
        let clock = Clock::new(|| Timestamp::from_micros(0), move || Tick::from_ms(passed()));
        let start = clock.tick();
        let pulse = Pulse::new("xn", start);
        assert!(pulse.is_alive(start.plus_ms(SILENCE_MS - 1)) && !pulse.is_alive(start.plus_ms(SILENCE_MS)));
        // It waits for a device for ever, and shows itself all the same.
        let waiting = tokio::time::timeout(BEAT + BEAT / 2, pulse.during(&clock, std::future::pending::<()>())).await;
        assert!(waiting.is_err());
        assert!(pulse.is_alive(start.plus_ms(SILENCE_MS + 900)), "it beat after a second");
        // It hangs in a call: time passes and nothing polls it.
        pulse.during(&clock, async { hung.store(SILENCE_MS + 1_500, Ordering::Relaxed) }).await;
        assert!(!pulse.is_alive(clock.tick()));
    }
}
