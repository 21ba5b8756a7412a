//! wardd: a hospital's nervous system in one daemon.

pub mod kernel;
pub mod framing;
pub mod codec;
pub mod domain;
pub mod journal;
pub mod sim;
pub mod telemetry;
