//! Device profiles: what one kind of device is, in data, strict and linted.
//!
//! Flow: TOML text → [`Profile::parse`] → [`lint::lint`] → routing and gateway read its settings.
//! **Invariant**: an unknown field is an error; a profile that lints badly is never used.

pub mod lint;
mod pattern;
mod schema;

pub use pattern::Pattern;
pub use schema::*;
