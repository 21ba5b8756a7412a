//! HTTP for people, programs and Prometheus: requests become commands, projections become pages and resources.
//!
//! Flow: request → `guard` (token, size) → handler → actor (commands) or rows (queries) → JSON, problem+json or page.
//! **Invariant**: an answer that says "done" goes out after the journal's sync; a repeated Idempotency-Key has no second effect.
//! Start reading at [`router()`].

mod at;
mod beds;
mod cabinets;
mod command;
mod devices;
mod guard;
mod lab;
mod ledger;
mod list;
mod openapi;
mod page;
mod patients;
mod problem;
mod quarantine;
mod router;
mod server;
mod state;

pub use quarantine::{Replay, Replayed};
pub use router::router;
pub use server::{BoundServer, ServerError, bind};
pub use state::Api;
