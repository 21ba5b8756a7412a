//! Subscriptions of programs.

use super::bedside::apply;
use super::rows::Rows;
use crate::domain::subscription::{Event, Status, Subscription};

impl Rows {
    pub(super) fn subscription_changed(&self, key: &str, sequence: u64, event: &Event) {
        apply::<Subscription>(self, "subscription", key, sequence, event);
    }

    /// A subscription; one that was never asked for, or was removed, has no status.
    pub fn subscription(&self, id: &str) -> Subscription {
        self.state("subscription", id)
    }

    /// All subscriptions that there are, by their ids.
    pub fn subscriptions(&self) -> Vec<(String, Subscription)> {
        let mut all = self.states::<Subscription>("subscription");
        all.retain(|(_, subscription)| subscription.status != Status::None);
        all
    }
}
