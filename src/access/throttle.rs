//! How often an address may try to sign in: some tries at once, then one every few seconds. Pure: the time is given.

use std::collections::BTreeMap;
use std::net::IpAddr;

use crate::kernel::Tick;

/// Tries at once: a station at the change of shifts has many, one after the other.
const BURST: u64 = 30;
/// One more every so many milliseconds.
const EVERY_MS: u64 = 2_000;
/// Addresses that are remembered.
const ADDRESSES: usize = 10_000;

/// The tries of all addresses.
#[derive(Debug, Default)]
pub(super) struct Throttle {
    /// When each address will have all its tries again.
    full_at: BTreeMap<IpAddr, u64>,
}

impl Throttle {
    /// Takes a try; else the seconds to wait.
    pub(super) fn take(&mut self, from: IpAddr, now: Tick) -> Result<(), u64> {
        let now = now.ms();
        if self.full_at.len() >= ADDRESSES {
            self.full_at.retain(|_, full_at| *full_at > now);
        }
        let full_at = self.full_at.get(&from).copied().unwrap_or(0).max(now) + EVERY_MS;
        let wait = full_at.saturating_sub(now + BURST * EVERY_MS);
        if wait > 0 || (self.full_at.len() >= ADDRESSES && !self.full_at.contains_key(&from)) {
            return Err(wait.div_ceil(1_000).max(1));
        }
        self.full_at.insert(from, full_at);
        Ok(())
    }

    /// It was right: a whole house behind one address is not held up by those who can sign in.
    pub(super) fn give_back(&mut self, from: IpAddr) {
        if let Some(full_at) = self.full_at.get_mut(&from) {
            *full_at = full_at.saturating_sub(EVERY_MS);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn so_many_tries_at_once_then_one_every_two_seconds_and_others_are_not_held_up() {
        let (mut throttle, one, other) = (Throttle::default(), IpAddr::from([192, 0, 2, 1]), IpAddr::from([192, 0, 2, 2]));
        for _ in 0..BURST {
            assert_eq!(throttle.take(one, Tick::from_ms(5)), Ok(()));
        }
        assert_eq!(throttle.take(one, Tick::from_ms(5)), Err(2));
        assert_eq!(throttle.take(other, Tick::from_ms(5)), Ok(()));
        assert_eq!(throttle.take(one, Tick::from_ms(2_004)), Err(1));
        assert_eq!(throttle.take(one, Tick::from_ms(2_005)), Ok(()));
        assert_eq!(throttle.take(one, Tick::from_ms(2_005)), Err(2));
        throttle.give_back(one);
        assert_eq!(throttle.take(one, Tick::from_ms(2_005)), Ok(()), "a try that was right does not count");
    }

    #[test]
    fn addresses_are_bounded_and_forgotten_when_they_have_rested() {
        let mut throttle = Throttle::default();
        let address = |number: usize| IpAddr::from(u32::try_from(number).unwrap().to_be_bytes());
        (0..ADDRESSES).for_each(|number| assert_eq!(throttle.take(address(number), Tick::from_ms(0)), Ok(())));
        assert!(throttle.take(address(ADDRESSES), Tick::from_ms(0)).is_err());
        assert_eq!(throttle.take(address(ADDRESSES), Tick::from_ms(EVERY_MS)), Ok(()));
        assert_eq!(throttle.full_at.len(), 1);
    }
}
