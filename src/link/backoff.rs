//! Pauses between tries: they grow from the first to the last, and are spread so that a thousand devices do not come at once.

use std::time::Duration;

/// Growing, spread pauses.
#[derive(Debug)]
pub struct Backoff {
    first: Duration,
    last: Duration,
    next: Duration,
}

impl Backoff {
    /// Pauses from `first` to `last`.
    pub fn new(first: Duration, last: Duration) -> Self {
        Self { first, last, next: first }
    }

    /// The next pause: between half of it and all of it.
    pub fn pause(&mut self) -> Duration {
        let whole = self.next;
        self.next = (self.next * 2).min(self.last);
        let mut byte = [0_u8; 1];
        // Without randomness the pause is whole, which is still right.
        let spread = if getrandom::fill(&mut byte).is_ok() { u32::from(byte[0]) } else { 255 };
        whole / 2 + whole / 2 * spread / 255
    }

    /// It worked: the next pause is the first again.
    pub fn reset(&mut self) {
        self.next = self.first;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_grow_to_the_last_and_begin_anew() {
        let mut backoff = Backoff::new(Duration::from_millis(100), Duration::from_millis(400));
        for whole in [100, 200, 400, 400] {
            let pause = backoff.pause().as_millis();
            assert!((whole / 2..=whole).contains(&pause), "{pause} of {whole}");
        }
        backoff.reset();
        assert!(backoff.pause().as_millis() <= 100);
    }
}
