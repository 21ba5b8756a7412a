//! The configuration: `config/wardd.toml` and the files beside it, read strictly and checked as a whole.
//!
//! Flow: file → [`Config::load`] → every fault with file, line and the nearest known name → the parts of wardd.
//! **Invariant**: an unknown key is an error; a configuration that has one fault is not used at all.

mod load;
mod prices;
mod schema;
pub mod tls;
pub mod web;

pub use load::{ConfigError, near};
pub use prices::{PriceEntry, PriceFile};
pub use schema::*;
