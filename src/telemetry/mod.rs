//! Every metric and log event by name, in one place: one function emits the log line and the counter of one happening.
//!
//! Flow: a happening calls its function here; Prometheus reads [`render`].
//! **Invariant**: no patient data in logs or labels; labels come from closed enums and configured device names.

mod access;
mod actor;
mod bedside;
mod device;
mod emergency;
mod journal;
mod logging;
mod registry;
mod reminders;
mod subscribers;
mod subscriptions;

pub use access::*;
pub use actor::*;
pub use bedside::*;
pub use device::*;
pub use emergency::*;
pub use journal::*;
pub use logging::{LogTarget, start as start_logging};
pub use registry::render;
pub use reminders::*;
pub use subscribers::*;
pub use subscriptions::*;
