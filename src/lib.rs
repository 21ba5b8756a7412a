//! wardd: a hospital's nervous system in one daemon.

pub mod kernel;
pub mod framing;
pub mod codec;
pub mod journal;
pub mod telemetry;
