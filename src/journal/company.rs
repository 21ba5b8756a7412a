//! Whether a group waits for company before it is synced. On a slow disk those who were just answered come back while the
//! first of them would already be synced alone, and the rest would wait for two syncs; a short wait lets one sync serve all.

use std::time::Duration;

/// A commit that takes longer than this is worth a wait.
const SLOW: Duration = Duration::from_micros(500);
/// Nobody waits longer than this, however long a disk hung.
const MOST: Duration = Duration::from_millis(5);
/// Groups that do not wait after one that waited in vain: with many at work the processor is what they wait for. Each
/// further one in vain doubles it, up to the most.
const REST: u32 = 15;
const MOST_REST: u32 = 255;

/// What the writer knows of those who are at work.
#[derive(Debug, Default)]
pub(super) struct Company {
    /// Those whom the last commit answered, and those who waited behind it.
    at_work: usize,
    /// Those of them who waited behind it.
    waiting: usize,
    took: Duration,
    /// Groups that go at once before the next that waits, and after the last that waited in vain.
    rest: u32,
    rested: u32,
}

impl Company {
    /// A commit of so many ended, and so many waited behind it.
    pub(super) fn committed(&mut self, answered: usize, waiting: usize, took: Duration) {
        (self.at_work, self.waiting, self.took) = (answered + waiting, waiting, took);
    }

    /// Whether others come while a commit is under way, so that it is worth a thread to take them meanwhile.
    pub(super) fn comes_meanwhile(&self) -> bool {
        self.took > SLOW && self.waiting > 0
    }

    /// How many a group shall be and how long it may wait for them; none when it goes at once.
    pub(super) fn wanted(&mut self, there: usize) -> Option<(usize, Duration)> {
        if self.took <= SLOW || there >= self.at_work {
            return None;
        }
        if self.rest > 0 {
            self.rest -= 1;
            return None;
        }
        // To wait for all costs less than a second commit for the rest as long as it does not take longer than one.
        Some((self.at_work, self.took.min(MOST)))
    }

    /// How many there were when the wait ended.
    pub(super) fn waited(&mut self, there: usize) {
        self.rested = if there < self.at_work { (self.rested * 2).clamp(REST, MOST_REST) } else { 0 };
        self.rest = self.rested;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);

    #[test]
    fn a_group_waits_for_those_who_were_at_work_and_only_on_a_slow_disk() {
        let mut company = Company::default();
        assert_eq!(company.wanted(1), None, "nobody was there before");
        company.committed(7, 1, MS / 10);
        assert_eq!(company.wanted(1), None, "a fast disk: the next sync is soon");
        company.committed(7, 1, MS);
        assert_eq!(company.wanted(1), Some((8, MS)));
        company.waited(8);
        company.committed(8, 0, MS);
        assert_eq!((company.wanted(1), company.wanted(8)), (Some((8, MS)), None), "all are there");
        company.committed(1, 0, MS);
        assert_eq!(company.wanted(1), None, "one alone waits for nobody");
    }

    #[test]
    fn who_waited_in_vain_does_not_wait_again_soon() {
        let mut company = Company::default();
        company.committed(32, 32, MS);
        assert!(company.wanted(33).is_some());
        company.waited(50);
        let mut waits = |groups| (0..groups).filter(|_| company.wanted(33).is_some().then(|| company.waited(50)).is_some()).count();
        assert_eq!((waits(15), waits(1), waits(30), waits(1)), (0, 1, 0, 1), "each in vain doubles the rest");
        assert!(waits(1_000) < 10);
        assert_eq!(waits(2_560), 10, "up to a most");
        company.rest = 0;
        assert!(company.wanted(33).is_some());
        company.waited(64);
        assert!(company.wanted(33).is_some(), "who came back is waited for again");
    }

    #[test]
    fn what_comes_meanwhile_is_taken_meanwhile_on_a_slow_disk_only() {
        let mut company = Company::default();
        for (waiting, took, is_taken) in [(0, MS, false), (3, MS, true), (3, MS / 10, false)] {
            company.committed(5, waiting, took);
            assert_eq!(company.comes_meanwhile(), is_taken, "{waiting} waited behind {took:?}");
        }
    }
}
