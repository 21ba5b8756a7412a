//! Statements of witnesses: each is of one person, for one other, for one act with all its quantities, for five minutes, for one
//! command. Pure: the time is given.

use std::collections::BTreeMap;

use crate::kernel::{CommandId, Tick, UserId};

/// How long a statement counts.
const GOOD_MS: u64 = 5 * 60_000;
/// Statements that wait to be used.
const WAITING: usize = 10_000;

/// What is vouched for: a request as it will be asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Act {
    /// Its path.
    pub path: String,
    /// Its body without the witness, written so that the same is the same text.
    body: String,
}

impl Act {
    /// The act of a request.
    pub fn new(path: impl Into<String>, body: &serde_json::Value) -> Self {
        let mut body = body.clone();
        if let Some(map) = body.as_object_mut() {
            map.retain(|name, value| name != "witness" && !value.is_null());
        }
        Self { path: path.into(), body: sorted(&body) }
    }
}

/// JSON with the names of each object in order.
fn sorted(value: &serde_json::Value) -> String {
    match value {
        serde_json::Value::Object(map) => {
            let map: BTreeMap<&String, String> = map.iter().map(|(name, value)| (name, sorted(value))).collect();
            format!("{map:?}")
        }
        serde_json::Value::Array(items) => format!("{:?}", items.iter().map(sorted).collect::<Vec<_>>()),
        other => other.to_string(),
    }
}

/// A statement.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Statement {
    /// Who vouches.
    pub(super) witness: UserId,
    /// For whom.
    pub(super) actor: UserId,
    /// For what.
    pub(super) act: Act,
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

    /// The witness of a statement for this person, act and command.
    pub(super) fn take(&mut self, key: &[u8; 32], actor: &UserId, act: &Act, command: CommandId, now: Tick) -> Option<UserId> {
        let kept = self.kept.get_mut(key)?;
        let is_it = kept.actor == *actor && kept.act == *act && now.ms_since(kept.made) < GOOD_MS && kept.used.is_none_or(|used| used == command);
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
    fn a_statement_is_for_one_person_one_act_one_command_and_five_minutes() {
        let (ada, ben): (UserId, UserId) = ("ada".parse().unwrap(), "ben".parse().unwrap());
        let (first, second) = (CommandId::from_bytes([1; 16]), CommandId::from_bytes([2; 16]));
        let mut witnesses = Witnesses::default();
        let act = |path: &str, quantity: &str| Act::new(path, &serde_json::json!({ "quantity": quantity, "pocket": "2-1", "witness": "x" }));
        let waste = act("/waste", "1");
        assert_eq!(waste, Act::new("/waste", &serde_json::json!({ "pocket": "2-1", "quantity": "1" })), "in any order, without the witness");
        let statement = Statement { witness: ben.clone(), actor: ada.clone(), act: waste.clone(), made: Tick::from_ms(0), used: None };
        assert!(witnesses.put([1; 32], statement.clone()));
        let (soon, late) = (Tick::from_ms(GOOD_MS - 1), Tick::from_ms(GOOD_MS));
        for (key, actor, act, now) in [
            ([2; 32], &ada, waste.clone(), soon),
            ([1; 32], &ben, waste.clone(), soon),
            ([1; 32], &ada, act("/count", "1"), soon),
            ([1; 32], &ada, act("/waste", "10"), soon),
            ([1; 32], &ada, waste.clone(), late),
        ] {
            assert_eq!(witnesses.take(&key, actor, &act, first, now), None);
        }
        assert_eq!(witnesses.take(&[1; 32], &ada, &waste, first, soon), Some(ben.clone()));
        assert_eq!(witnesses.take(&[1; 32], &ada, &waste, second, soon), None, "another command");
        assert_eq!(witnesses.take(&[1; 32], &ada, &waste, first, soon), Some(ben), "the same one again, whose answer was lost");
        assert!(witnesses.put([3; 32], statement.clone()) && witnesses.put([4; 32], Statement { made: late, ..statement }));
        assert_eq!(witnesses.kept.len(), 1, "those that are too old go");
    }
}
