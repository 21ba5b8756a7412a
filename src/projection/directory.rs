//! The directory: organisations, places, equipment.

use super::bedside::apply;
use super::rows::Rows;
use crate::domain::directory::{Entry, Event, Listed};

impl Rows {
    pub(super) fn directory_changed(&self, key: &str, sequence: u64, event: &Event) {
        apply::<Listed>(self, "directory", key, sequence, event);
    }

    /// All entries by their ids; names of rows are hidden, so what is listed says who it is.
    pub fn directory(&self) -> Vec<(String, Entry)> {
        let mut found: Vec<(String, Entry)> = self.states::<Listed>("directory").into_iter().filter_map(|(id, listed)| Some((id, listed.entry?))).collect();
        found.sort_by(|one, other| (one.1.kind, &one.1.name, &one.0).cmp(&(other.1.kind, &other.1.name, &other.0)));
        found
    }

    /// An entry.
    pub fn listed(&self, id: &str) -> Option<Entry> {
        self.state::<Listed>("directory", id).entry
    }
}
