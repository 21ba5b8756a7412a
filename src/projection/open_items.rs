//! What waits in quarantine, oldest first. There may be very many items, so a row is not one item but a page of them: one bit
//! for each of 256 events, set when it is an event that holds something which still waits. What an item says stands in the log.

use std::collections::{BTreeMap, BTreeSet};

use crate::journal::views::{Change, Views, ViewsError};

/// Where the pages stand in the store.
const PREFIX: &str = "open-items/";
/// Events that one page stands for.
const PAGE_EVENTS: u64 = 256;
/// Pages that are read at a time.
const PAGES: usize = 1_024;

/// The events of one page that hold something.
type Page = [u64; 4];

/// All open items, in the order in which they were held.
#[derive(Debug, Default)]
pub(super) struct OpenItems {
    /// Pages with an open item.
    pages: BTreeMap<u64, Page>,
    /// Pages that differ from the store.
    changed: BTreeSet<u64>,
}

/// The page of an event, and the word and bit in it.
fn place(held_at: u64) -> (u64, usize, u64) {
    let at = held_at % PAGE_EVENTS;
    (held_at / PAGE_EVENTS, usize::try_from(at / 64).unwrap_or_default(), 1 << (at % 64))
}

fn key(page: u64) -> String {
    format!("{PREFIX}{page:020}")
}

fn page_named(key: &str) -> Option<u64> {
    key.strip_prefix(PREFIX)?.parse().ok()
}

fn read(bytes: &[u8]) -> Option<Page> {
    let bytes: &[u8; 32] = bytes.try_into().ok()?;
    let mut page = Page::default();
    for (word, bytes) in page.iter_mut().zip(bytes.as_chunks::<8>().0) {
        *word = u64::from_le_bytes(*bytes);
    }
    Some(page)
}

/// The events of a page that hold something, in their order.
fn events(number: u64, page: &Page) -> impl Iterator<Item = u64> + use<> {
    let page = *page;
    (0..PAGE_EVENTS).map(move |at| number * PAGE_EVENTS + at).filter(move |event| {
        let (_, word, bit) = place(*event);
        page[word] & bit != 0
    })
}

impl OpenItems {
    /// What stands in the store.
    pub(super) fn open_store(store: &dyn Views) -> Result<Self, ViewsError> {
        let (mut items, mut from) = (Self::default(), PREFIX.to_owned());
        loop {
            let rows = store.scan(PREFIX, &from, PAGES)?;
            for (key, bytes) in &rows {
                let page = page_named(key).zip(read(bytes)).ok_or_else(|| ViewsError::new(format!("`{key}` is no page of open items")))?;
                items.pages.insert(page.0, page.1);
            }
            match rows.last() {
                // The least key behind the last one.
                Some((last, _)) if rows.len() == PAGES => from = format!("{last}\0"),
                _ => return Ok(items),
            }
        }
    }

    /// An event holds something.
    pub(super) fn open(&mut self, held_at: u64) {
        let (page, word, bit) = place(held_at);
        self.pages.entry(page).or_default()[word] |= bit;
        self.changed.insert(page);
    }

    /// What was held at an event was dealt with.
    pub(super) fn close(&mut self, held_at: u64) {
        let (number, word, bit) = place(held_at);
        if let Some(page) = self.pages.get_mut(&number) {
            page[word] &= !bit;
            if *page == Page::default() {
                self.pages.remove(&number);
            }
            self.changed.insert(number);
        }
    }

    /// How many.
    pub(super) fn count(&self) -> usize {
        self.pages.values().flatten().map(|word| word.count_ones() as usize).sum()
    }

    /// Events that hold something, from one on, the oldest first, at most `limit`.
    pub(super) fn from(&self, held_at: u64, limit: usize) -> Vec<u64> {
        let pages = self.pages.range(place(held_at).0..);
        pages.flat_map(|(number, page)| events(*number, page)).filter(|event| *event >= held_at).take(limit).collect()
    }

    /// The pages that differ from the store, as the changes that write them.
    pub(super) fn take_changes(&mut self) -> Vec<Change> {
        let change = |page: u64| match self.pages.get(&page) {
            None => Change::Remove(key(page)),
            Some(words) => Change::Put(key(page), words.iter().flat_map(|word| word.to_le_bytes()).collect()),
        };
        std::mem::take(&mut self.changed).into_iter().map(change).collect()
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

    #[test]
    fn the_oldest_comes_first_and_what_is_closed_is_gone_from_its_page() {
        let (store, mut items) = (MemoryViews::default(), OpenItems::default());
        [300, 900, 301].into_iter().for_each(|event| items.open(event));
        assert_eq!((items.count(), items.from(0, 2), items.from(302, 9), items.from(901, 9)), (3, vec![300, 301], vec![900], vec![]));
        let written = items.take_changes();
        let keys: Vec<&str> = written.iter().map(|change| if let Change::Put(key, _) = change { &key[PREFIX.len() + 18..] } else { "removed" }).collect();
        assert_eq!(keys, ["01", "03"]);
        assert!(items.take_changes().is_empty());
        store.apply(&written).unwrap();
        items.close(900);
        items.close(900);
        items.close(77_777);
        let change = items.take_changes();
        assert_eq!(change, [Change::Remove(key(3))]);
        store.apply(&change).unwrap();
        let again = OpenItems::open_store(&store).unwrap();
        assert_eq!((again.count(), again.from(0, 9)), (2, vec![300, 301]));
        store.apply(&[Change::Put(key(9), vec![0; 31])]).unwrap();
        assert!(OpenItems::open_store(&store).unwrap_err().to_string().contains("page of open items"));
    }

    #[test]
    fn an_item_told_again_stands_once_and_a_failed_write_is_repeated() {
        let mut items = OpenItems::default();
        items.open(700);
        items.open(700);
        assert_eq!((items.count(), items.from(0, 9)), (1, vec![700]));
        let written = items.take_changes();
        items.not_written(&written);
        assert_eq!(items.take_changes(), written);
    }

    #[test]
    fn any_openings_and_closings_are_the_same_as_a_set_also_from_the_store() {
        proptest::proptest!(|(changes in proptest::collection::vec((proptest::bool::ANY, 0_u64..3_000_000), 0..2_000))| {
            let (store, mut items, mut model) = (MemoryViews::default(), OpenItems::default(), BTreeSet::new());
            for (number, (is_open, event)) in changes.into_iter().enumerate() {
                match is_open {
                    true => { items.open(event); model.insert(event); }
                    false => {
                        let event = model.range(event..).next().copied().unwrap_or(event);
                        items.close(event);
                        model.remove(&event);
                    }
                }
                if number % 97 == 0 {
                    store.apply(&items.take_changes()).unwrap();
                }
            }
            store.apply(&items.take_changes()).unwrap();
            for found in [items, OpenItems::open_store(&store).unwrap()] {
                proptest::prop_assert_eq!(found.count(), model.len());
                proptest::prop_assert_eq!(found.from(0, usize::MAX), model.iter().copied().collect::<Vec<_>>());
                proptest::prop_assert_eq!(found.from(1_000_000, 3), model.range(1_000_000..).take(3).copied().collect::<Vec<_>>());
            }
        });
    }
}
