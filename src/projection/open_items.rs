//! What waits in quarantine, oldest first. There may be very many items, so a row is not one item but a page of them: those
//! that were held within the same 256 events. Memory keeps how many stand on each page, and the pages that change.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use crate::journal::views::{Change, Views, ViewsError};
use crate::kernel::Timestamp;

/// Where the pages stand in the store.
const PREFIX: &str = "open-items/";
/// Events that one page stands for.
const PAGE_EVENTS: u64 = 256;
/// Pages that are counted at a time.
const COUNTED: usize = 64;

/// An open item as it stands in a page.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Line {
    held_at: u64,
    item: String,
    since: Timestamp,
}

/// All open items, in the order in which they were held.
#[derive(Debug, Default)]
pub(super) struct OpenItems {
    /// How many items stand on each page that is not empty.
    counts: BTreeMap<u64, usize>,
    /// Pages that differ from the store, or may: those that changed and those that are being written.
    near: BTreeMap<u64, Vec<Line>>,
    /// Pages that changed since the last write began.
    changed: BTreeSet<u64>,
}

fn page_of(held_at: u64) -> u64 {
    held_at / PAGE_EVENTS
}

fn key(page: u64) -> String {
    format!("{PREFIX}{page:020}")
}

fn page_named(key: &str) -> Option<u64> {
    key.strip_prefix(PREFIX)?.parse().ok()
}

fn read(page: &[u8]) -> Result<Vec<Line>, ViewsError> {
    serde_json::from_slice(page).map_err(|error| ViewsError::new(format!("a page of open items cannot be read: {error}")))
}

impl OpenItems {
    /// Counts what stands in the store.
    pub(super) fn open_store(store: &dyn Views) -> Result<Self, ViewsError> {
        let (mut items, mut from) = (Self::default(), PREFIX.to_owned());
        loop {
            let pages = store.scan(PREFIX, &from, COUNTED)?;
            for (key, page) in &pages {
                let number = page_named(key).ok_or_else(|| ViewsError::new(format!("`{key}` is no page of open items")))?;
                items.counts.insert(number, read(page)?.len());
            }
            match pages.last() {
                // The least key behind the last one.
                Some((last, _)) if pages.len() == COUNTED => from = format!("{last}\0"),
                _ => return Ok(items),
            }
        }
    }

    /// A page as it is now.
    fn page(&self, store: &dyn Views, page: u64) -> Result<Vec<Line>, ViewsError> {
        match self.near.get(&page) {
            Some(lines) => Ok(lines.clone()),
            None if self.counts.contains_key(&page) => store.get(&key(page))?.map_or_else(|| Ok(Vec::new()), |page| read(&page)),
            None => Ok(Vec::new()),
        }
    }

    fn change(&mut self, store: &dyn Views, page: u64, change: impl FnOnce(&mut Vec<Line>)) -> Result<(), ViewsError> {
        if !self.near.contains_key(&page) {
            let lines = self.page(store, page)?;
            self.near.insert(page, lines);
        }
        let lines = self.near.entry(page).or_default();
        change(lines);
        match lines.len() {
            0 => drop(self.counts.remove(&page)),
            count => drop(self.counts.insert(page, count)),
        }
        self.changed.insert(page);
        Ok(())
    }

    /// An item waits since an event; told again it stands once.
    pub(super) fn open(&mut self, store: &dyn Views, item: &str, held_at: u64, since: Timestamp) -> Result<(), ViewsError> {
        self.change(store, page_of(held_at), |lines| {
            let at = lines.partition_point(|line| line.held_at < held_at);
            if lines.get(at).is_none_or(|line| line.held_at != held_at) {
                lines.insert(at, Line { held_at, item: item.to_owned(), since });
            }
        })
    }

    /// The item that was held at an event was dealt with.
    pub(super) fn close(&mut self, store: &dyn Views, held_at: u64) -> Result<(), ViewsError> {
        match self.counts.contains_key(&page_of(held_at)) {
            true => self.change(store, page_of(held_at), |lines| lines.retain(|line| line.held_at != held_at)),
            false => Ok(()),
        }
    }

    /// How many, and since when the oldest waits.
    pub(super) fn count(&self, store: &dyn Views) -> Result<(usize, Option<Timestamp>), ViewsError> {
        let oldest = match self.counts.keys().next() {
            Some(page) => self.page(store, *page)?.first().map(|line| line.since),
            None => None,
        };
        Ok((self.counts.values().sum(), oldest))
    }

    /// Items that were held at an event or later, the oldest first, at most `limit`.
    pub(super) fn from(&self, store: &dyn Views, held_at: u64, limit: usize) -> Result<Vec<String>, ViewsError> {
        let mut found = Vec::new();
        for page in self.counts.range(page_of(held_at)..).map(|(page, _)| *page) {
            let lines = self.page(store, page)?.into_iter().filter(|line| line.held_at >= held_at);
            found.extend(lines.take(limit - found.len()).map(|line| line.item));
            if found.len() >= limit {
                break;
            }
        }
        Ok(found)
    }

    /// The pages that differ from the store, as the changes that write them.
    pub(super) fn take_changes(&mut self) -> Vec<Change> {
        let changed = std::mem::take(&mut self.changed);
        let page = |page: u64| match self.near.get(&page).filter(|lines| !lines.is_empty()) {
            None => Some(Change::Remove(key(page))),
            Some(lines) => serde_json::to_vec(lines).ok().map(|json| Change::Put(key(page), json)),
        };
        changed.into_iter().filter_map(page).collect()
    }

    /// What was taken is written: pages that have not changed since can be read from the store again.
    pub(super) fn written(&mut self) {
        self.near.retain(|page, _| self.changed.contains(page));
    }

    /// Pages that could not be written are tried again.
    pub(super) fn not_written(&mut self, changes: &[Change]) {
        let keys = changes.iter().map(|change| match change {
            Change::Put(key, _) | Change::Remove(key) => key,
        });
        self.changed.extend(keys.filter_map(|key| page_named(key)));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::journal::views::MemoryViews;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_micros(second * 1_000_000)
    }

    #[test]
    fn the_oldest_comes_first_and_what_is_closed_is_gone_from_its_page() {
        let (store, mut items) = (MemoryViews::default(), OpenItems::default());
        items.open(&store, "qtn_b", 300, at(3)).unwrap();
        items.open(&store, "qtn_a", 900, at(9)).unwrap();
        items.open(&store, "qtn_c", 301, at(4)).unwrap();
        let from = |items: &OpenItems, held_at, limit| items.from(&store, held_at, limit).unwrap();
        assert_eq!(items.count(&store).unwrap(), (3, Some(at(3))));
        assert_eq!((from(&items, 0, 2), from(&items, 302, 9)), (vec!["qtn_b".to_owned(), "qtn_c".to_owned()], vec!["qtn_a".to_owned()]));
        let written = items.take_changes();
        let keys: Vec<&str> = written.iter().map(|change| if let Change::Put(key, _) = change { &key[PREFIX.len() + 18..] } else { "removed" }).collect();
        assert_eq!(keys, ["01", "03"]);
        assert!(items.take_changes().is_empty());
        assert_eq!(from(&items, 0, 9).len(), 3, "pages that are being written are read from memory");
        store.apply(&written).unwrap();
        items.written();
        assert!(items.near.is_empty(), "and from the store when they are");
        assert_eq!((from(&items, 0, 9), items.count(&store).unwrap()), (vec!["qtn_b".to_owned(), "qtn_c".to_owned(), "qtn_a".to_owned()], (3, Some(at(3)))));
        items.close(&store, 900).unwrap();
        items.close(&store, 900).unwrap();
        let change = items.take_changes();
        assert_eq!(change, [Change::Remove(key(3))]);
        store.apply(&change).unwrap();
        items.written();
        let again = OpenItems::open_store(&store).unwrap();
        assert_eq!((again.count(&store).unwrap(), from(&again, 0, 9)), (items.count(&store).unwrap(), from(&items, 0, 9)));
        store.apply(&[Change::Put(key(9), b"[{]".to_vec())]).unwrap();
        assert!(OpenItems::open_store(&store).unwrap_err().to_string().contains("page of open items"));
    }

    #[test]
    fn an_item_told_again_stands_once_and_a_failed_write_is_repeated() {
        let (store, mut items) = (MemoryViews::default(), OpenItems::default());
        items.open(&store, "qtn_a", 700, at(7)).unwrap();
        items.open(&store, "qtn_a", 700, at(7)).unwrap();
        assert_eq!((items.count(&store).unwrap(), items.from(&store, 0, 9).unwrap().len()), ((1, Some(at(7))), 1));
        let written = items.take_changes();
        items.not_written(&written);
        items.written();
        assert_eq!(items.take_changes(), written);
    }

    #[test]
    fn very_many_items_are_counted_page_by_page_and_take_no_memory() {
        let (store, mut items) = (MemoryViews::default(), OpenItems::default());
        for held_at in 0..50_000 {
            items.open(&store, "qtn_many", held_at, at(1)).unwrap();
            if held_at % 1_000 == 0 {
                store.apply(&items.take_changes()).unwrap();
                items.written();
            }
        }
        assert!(items.near.len() <= 5);
        store.apply(&items.take_changes()).unwrap();
        let again = OpenItems::open_store(&store).unwrap();
        assert_eq!((again.count(&store).unwrap().0, again.from(&store, 49_990, 99).unwrap().len()), (50_000, 10));
    }
}
