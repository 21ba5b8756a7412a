//! What leaves the house: follows the log from a durable cursor, sends at least once, in order per receiver.
//!
//! Flow: durable event → command for a receiver → link → confirmed → cursor.
//! **Invariant**: the cursor passes an event only when its command is confirmed, or held for a person.

mod audit;
mod drawers;
mod feed;
mod held;
mod hooks;
mod reminders;
mod traces;
mod wristbands;

pub use audit::Forwarding;
pub use drawers::{Drawers, Opener, Opening};
pub use feed::{Feed, Subscription, TRIGGERS, Trigger, trigger};
pub use held::Held;
pub use hooks::{Hooks, Request, Untaken};
pub use reminders::{NotTaken, Reminder, Reminders};
pub use traces::{Traces, TracesError};
pub use wristbands::{Bands, Doing, Line, Wristbands};
