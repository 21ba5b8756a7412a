//! Statements of witnesses: each is of one person, for one other, for one path, for five minutes, for one command. Pure: the time is
//! given.

use std::collections::BTreeMap;

use crate::kernel::{CommandId, Tick, UserId};

/// How long a statement counts.
const GOOD_MS: u64 = 5 * 60_000;
/// Statements that wait to be used.
const WAITING: usize = 10_000;

/// A statement.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Statement {
    /// Who vouches.
    pub(super) witness: UserId,
    /// For whom.
    pub(super) actor: UserId,
    /// For what.
    pub(super) path: String,
    /// When.
    pub(super) made: Tick,
    /// The command that it was used for: its repetition may use it again.
    pub(super) used: Option<CommandId>,
}

/// Statements that were not used yet.
#[derive(Debug, Default)]
pub(super) struct Witnesses {
    kept: BTreeMap<[u8; 32], Statement>,
}

impl Witnesses {
    /// Keeps a statement; false when there is no room.
    pub(super) fn put(&mut self, key: [u8; 32], statement: Statement) -> bool {
        let now = statement.made;
        self.kept.retain(|_, kept| now.ms_since(kept.made) < GOOD_MS);
        if self.kept.len() >= WAITING {
            return false;
        }
        self.kept.insert(key, statement);
        true
    }

    /// The witness of a statement for this person, path and command.
    pub(super) fn take(&mut self, key: &[u8; 32], actor: &UserId, path: &str, command: CommandId, now: Tick) -> Option<UserId> {
        let kept = self.kept.get_mut(key)?;
        let is_it = kept.actor == *actor && kept.path == path && now.ms_since(kept.made) < GOOD_MS && kept.used.is_none_or(|used| used == command);
        if !is_it {
            return None;
        }
        kept.used = Some(command);
        Some(kept.witness.clone())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_statement_is_for_one_person_one_path_one_command_and_five_minutes() {
        let (ada, ben): (UserId, UserId) = ("ada".parse().unwrap(), "ben".parse().unwrap());
        let (first, second) = (CommandId::from_bytes([1; 16]), CommandId::from_bytes([2; 16]));
        let mut witnesses = Witnesses::default();
        let statement = Statement { witness: ben.clone(), actor: ada.clone(), path: "/waste".to_owned(), made: Tick::from_ms(0), used: None };
        assert!(witnesses.put([1; 32], statement.clone()));
        let (soon, late) = (Tick::from_ms(GOOD_MS - 1), Tick::from_ms(GOOD_MS));
        for (key, actor, path, now) in [([2; 32], &ada, "/waste", soon), ([1; 32], &ben, "/waste", soon), ([1; 32], &ada, "/count", soon), ([1; 32], &ada, "/waste", late)] {
            assert_eq!(witnesses.take(&key, actor, path, first, now), None);
        }
        assert_eq!(witnesses.take(&[1; 32], &ada, "/waste", first, soon), Some(ben.clone()));
        assert_eq!(witnesses.take(&[1; 32], &ada, "/waste", second, soon), None, "another command");
        assert_eq!(witnesses.take(&[1; 32], &ada, "/waste", first, soon), Some(ben), "the same one again, whose answer was lost");
        assert!(witnesses.put([3; 32], statement.clone()) && witnesses.put([4; 32], Statement { made: late, ..statement }));
        assert_eq!(witnesses.kept.len(), 1, "those that are too old go");
    }
}
