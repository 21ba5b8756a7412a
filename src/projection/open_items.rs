//! What waits in quarantine, oldest first. There may be very many items, so a row is not one item but a page of them: those
//! that were held within the same 256 events.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::journal::views::Change;
use crate::kernel::Timestamp;

/// Where the pages stand in the store.
pub(super) const PREFIX: &str = "open-items/";
/// Events that one page stands for.
const PAGE_EVENTS: u64 = 256;

/// An open item as it stands in a page.
#[derive(Debug, Serialize, Deserialize)]
struct Line {
    held_at: u64,
    item: Arc<str>,
    since: Timestamp,
}

/// All open items, in the order in which they were held.
#[derive(Debug, Default)]
pub(super) struct OpenItems {
    by_age: BTreeMap<u64, (Arc<str>, Timestamp)>,
    held_at: HashMap<Arc<str>, u64>,
    /// Pages that differ from the store.
    changed: BTreeSet<u64>,
}

fn page_of(held_at: u64) -> u64 {
    held_at / PAGE_EVENTS
}

impl OpenItems {
    /// Reads a page of the store; one that cannot be read is an error in words.
    pub(super) fn load(&mut self, page: &[u8]) -> Result<(), String> {
        let lines: Vec<Line> = serde_json::from_slice(page).map_err(|error| format!("a page of open items cannot be read: {error}"))?;
        for Line { held_at, item, since } in lines {
            self.held_at.insert(item.clone(), held_at);
            self.by_age.insert(held_at, (item, since));
        }
        Ok(())
    }

    /// An item waits since an event.
    pub(super) fn open(&mut self, item: &str, held_at: u64, since: Timestamp) {
        self.close(item);
        let item: Arc<str> = item.into();
        self.held_at.insert(item.clone(), held_at);
        self.by_age.insert(held_at, (item, since));
        self.changed.insert(page_of(held_at));
    }

    /// An item was dealt with.
    pub(super) fn close(&mut self, item: &str) {
        if let Some(held_at) = self.held_at.remove(item) {
            self.by_age.remove(&held_at);
            self.changed.insert(page_of(held_at));
        }
    }

    /// How many, and since when the oldest waits.
    pub(super) fn count(&self) -> (usize, Option<Timestamp>) {
        (self.by_age.len(), self.by_age.values().next().map(|(_, since)| *since))
    }

    /// Items that were held at an event or later, the oldest first.
    pub(super) fn from(&self, held_at: u64, limit: usize) -> Vec<String> {
        self.by_age.range(held_at..).take(limit).map(|(_, (item, _))| item.to_string()).collect()
    }

    /// The pages that differ from the store, as the changes that write them.
    pub(super) fn take_changes(&mut self) -> Vec<Change> {
        std::mem::take(&mut self.changed).into_iter().filter_map(|page| self.page(page)).collect()
    }

    fn page(&self, page: u64) -> Option<Change> {
        let key = format!("{PREFIX}{page:020}");
        let events = page * PAGE_EVENTS..(page + 1) * PAGE_EVENTS;
        let lines: Vec<Line> = self.by_age.range(events).map(|(held_at, (item, since))| Line { held_at: *held_at, item: item.clone(), since: *since }).collect();
        match lines.is_empty() {
            true => Some(Change::Remove(key)),
            false => serde_json::to_vec(&lines).ok().map(|json| Change::Put(key, json)),
        }
    }

    /// Pages that could not be written are tried again.
    pub(super) fn not_written(&mut self, changes: &[Change]) {
        let keys = changes.iter().map(|change| match change {
            Change::Put(key, _) | Change::Remove(key) => key,
        });
        self.changed.extend(keys.filter_map(|key| key.strip_prefix(PREFIX)?.parse::<u64>().ok()));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_micros(second * 1_000_000)
    }

    #[test]
    fn the_oldest_comes_first_and_what_is_closed_is_gone_from_its_page() {
        let mut items = OpenItems::default();
        items.open("qtn_b", 300, at(3));
        items.open("qtn_a", 900, at(9));
        items.open("qtn_c", 301, at(4));
        assert_eq!(items.count(), (3, Some(at(3))));
        assert_eq!((items.from(0, 2), items.from(302, 9)), (vec!["qtn_b".to_owned(), "qtn_c".to_owned()], vec!["qtn_a".to_owned()]));
        let written = items.take_changes();
        let keys: Vec<&str> = written.iter().map(|change| if let Change::Put(key, _) = change { &key[PREFIX.len() + 18..] } else { "removed" }).collect();
        assert_eq!(keys, ["01", "03"]);
        assert!(items.take_changes().is_empty());
        items.close("qtn_a");
        items.close("qtn_a");
        assert_eq!(items.take_changes(), [Change::Remove(format!("{PREFIX}{:020}", 3))]);
        let mut again = OpenItems::default();
        for change in &written[..1] {
            let Change::Put(_, page) = change else { panic!("{change:?}") };
            again.load(page).unwrap();
        }
        assert_eq!((again.count(), again.from(0, 9)), (items.count(), items.from(0, 9)));
        assert!(again.load(b"[{]").is_err());
    }

    #[test]
    fn an_item_that_is_held_again_stands_once_and_a_failed_write_is_repeated() {
        let mut items = OpenItems::default();
        items.open("qtn_a", 1, at(1));
        items.open("qtn_a", 700, at(7));
        assert_eq!((items.count(), items.from(0, 9).len()), ((1, Some(at(7))), 1));
        let written = items.take_changes();
        assert_eq!(written.len(), 2);
        items.not_written(&written);
        assert_eq!(items.take_changes(), written);
    }
}
