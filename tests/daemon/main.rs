//! Flows through the real binary: devices on sockets, ptys and a real broker, kills, restarts, drains.
#![expect(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test may fail loudly")]

mod access;
mod api;
mod bedside;
mod broker;
mod erasure;
mod feed;
mod fhir;
mod fhir_house;
mod formats;
mod harness;
mod kill;
mod lab;
mod load;
mod monitoring;
mod operator;
mod pages;
mod patients;
mod peers;
mod provider;
mod schedules;
mod serial;
mod simulation;
mod subscriptions;
mod tls;
mod ward;
mod wristbands;
