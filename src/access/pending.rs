//! Sign-ins, emergencies and failures that happen while the disk is full: care goes on, and the journal is told when it takes them. Pure.

use std::collections::VecDeque;

use crate::actor::Origin;
use crate::domain::user::{Command, Factor, TRIES};
use crate::kernel::UserId;

/// Commands that may wait.
const WAITING: usize = 10_000;

/// What waits, in its order.
#[derive(Debug, Default)]
pub(super) struct Pending {
    queue: VecDeque<(UserId, Command, Origin)>,
}

impl Pending {
    /// Keeps a command; false when too many wait.
    pub(super) fn keep(&mut self, user: &UserId, command: Command, origin: Origin) -> bool {
        let has_room = self.queue.len() < WAITING;
        if has_room {
            self.queue.push_back((user.clone(), command, origin));
        }
        has_room
    }

    /// Whether what waits allows another try: the user's own stream does not know of it yet.
    pub(super) fn allows(&self, user: &UserId, factor: Factor, step: Option<u64>) -> bool {
        let own = || self.queue.iter().filter(|(kept, ..)| kept == user).map(|(_, command, _)| command);
        let failures = own().filter(|command| matches!(command, Command::NoteFailure { factor: failed } if *failed == factor)).count();
        let is_used =
            |command: &Command| matches!(command, Command::SignIn { step: Some(used), .. } | Command::Vouch { step: Some(used), .. } if step.is_some_and(|step| step <= *used));
        failures < TRIES && !own().any(is_used)
    }

    /// What waits the longest.
    pub(super) fn first(&self) -> Option<(UserId, Command, Origin)> {
        self.queue.front().cloned()
    }

    /// All that waits.
    pub(super) fn iter(&self) -> impl Iterator<Item = (&UserId, &Command)> {
        self.queue.iter().map(|(user, command, _)| (user, command))
    }

    /// It is told.
    pub(super) fn told(&mut self) {
        self.queue.pop_front();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernel::{CommandId, Principal, Timestamp};

    #[test]
    fn what_waits_counts_as_if_it_were_told() {
        let (ada, ben): (UserId, UserId) = ("ada".parse().unwrap(), "ben".parse().unwrap());
        let origin = Origin::new(CommandId::from_bytes([1; 16]), Principal::Person("ada".to_owned()), Timestamp::from_micros(0));
        let mut pending = Pending::default();
        for _ in 0..TRIES {
            assert!(pending.allows(&ada, Factor::Password, None));
            assert!(pending.keep(&ada, Command::NoteFailure { factor: Factor::Password }, origin.clone()));
        }
        assert!(!pending.allows(&ada, Factor::Password, None));
        assert!(pending.allows(&ada, Factor::BadgeAndPin, None) && pending.allows(&ben, Factor::Password, None));
        pending.keep(&ben, Command::SignIn { factors: vec![Factor::Totp], step: Some(7), session: "s".to_owned() }, origin);
        assert!(!pending.allows(&ben, Factor::Totp, Some(7)) && pending.allows(&ben, Factor::Totp, Some(8)));
        for _ in 0..=TRIES {
            assert!(pending.first().is_some());
            pending.told();
        }
        assert!(pending.first().is_none() && pending.allows(&ada, Factor::Password, None));
    }
}
