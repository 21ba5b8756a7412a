//! The ractor shells around the rules: one actor an identity, bounded ports, decide → append → reply.
//!
//! Flow: [`Hospital`] (the directory of ports) → `keeper` (aggregates) or [`device`] (intake) → journal → reply.
//! **Invariant**: a reply goes out when the events are durable, or when nothing was written; a rejection is a reply.
//! **Invariant**: a full port is an answer ([`Failure::Busy`]), never a growing queue.
//! **Invariant**: state is applied before its sync returns, but nobody sees it: what reads, reads the journal.
//! Start reading at [`request`], then `keeper`.

mod census;
mod charging;
pub mod device;
mod discrepancies;
mod hospital;
mod keeper;
mod port;
pub mod request;
mod streams;
mod supervisor;
mod unpriced;

pub use hospital::{Charging, Hospital, Layout, RECORD_NUMBERS, Site, unknown};
pub use port::{Busy, Port};
pub use request::{Failure, Origin, Outcome, Reply};

/// Why the actors could not be started.
#[derive(Debug, thiserror::Error)]
#[error("actor {name}: {why}")]
pub struct StartError {
    /// Which actor.
    pub name: String,
    /// What went wrong.
    pub why: String,
}
