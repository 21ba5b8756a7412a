//! HTTP for people, programs and Prometheus: requests become commands, projections become pages and resources.
//!
//! Flow: request → `guard` (who asks) → handler → leave (may they; what is shown is stored first) → actor (commands) or rows (queries) → JSON, problem+json or page.
//! **Invariant**: an answer that says "done" goes out after the journal's sync; a repeated Idempotency-Key has no second effect.
//! Start reading at [`router()`].

mod at;
mod audit;
mod bed_board;
mod beds;
mod cabinets;
mod calendar;
mod ccd;
mod chart;
mod chart_view;
mod command;
mod devices;
mod directory;
mod documents;
mod emergencies;
mod emergency_department;
mod fhir;
mod forms;
mod growth;
mod guard;
mod housekeeping;
mod lab;
mod leave;
mod ledger;
mod list;
mod live;
mod login;
mod openapi;
mod own;
mod page;
mod paper;
mod patient_page;
mod patients;
mod photos;
mod problem;
mod provider;
mod quarantine;
mod reports;
mod router;
mod schedules;
mod server;
mod session;
mod size;
mod state;
mod tasks;
mod users;
mod ward_sheet;
mod wristbands;

pub use fhir::{NoNews, concerns, news};
pub use provider::PROVIDER_BACK;
pub use quarantine::{Replay, Replayed};
pub use router::router;
pub use server::{BoundServer, ServerError, bind};
pub use state::{Api, Wristbands};
