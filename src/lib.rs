//! wardd: a hospital's nervous system in one daemon.

pub mod access;
pub mod actor;
pub mod api;
pub mod app;
pub mod codec;
pub mod config;
pub mod domain;
pub mod framing;
pub mod gateway;
pub mod journal;
pub mod kernel;
pub mod link;
pub mod outbound;
pub mod profile;
pub mod projection;
pub mod routing;
pub mod sim;
pub mod telemetry;
