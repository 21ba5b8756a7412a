//! The simulated hospital: virtual devices and people that talk to the real daemon over real sockets, ptys and MQTT.
//!
//! Flow: a `Wiring` says what there is; `Hospital::prepare` creates the plugs that the daemon will open; `Hospital::live`
//! starts one task a device and one story, which gives the devices work through bounded queues and acts over HTTP; at
//! shutdown the queues close, the devices finish, and their counters become a `Tally`. The `Broker` stands apart: a test
//! or a demo starts it when no other MQTT broker is there.
//!
//! **Invariant**: nothing here uses the daemon's framing or codec. Each protocol is written a second time from its
//! standard, so that one mistake is not made twice.
//! **Invariant**: all choices come from the seed; only time stamps, control ids and request keys come from the clock.
//! **Invariant**: a measured value is kept and repeated unchanged until the daemon has taken it.
//!
//! Start reading at `hospital`, then `story`, then a device such as `astm_analyzer`.

pub mod astm_analyzer;
pub mod astm_frame;
pub mod astm_line;
mod astm_receiver;
pub mod astm_records;
mod astm_sender;
pub mod broker;
mod broker_session;
pub mod cabinet_mqtt;
pub mod clock;
pub mod counts;
pub mod device;
pub mod disk_shim;
pub mod drawers;
pub mod epc;
pub mod hl7_analyzer;
pub mod hospital;
pub mod hospital_feed;
pub mod http;
pub mod mllp;
pub mod mqtt_bytes;
pub mod mqtt_client;
pub mod mqtt_packet;
pub mod pty;
pub mod random;
pub mod relay_board;
pub mod rfid_reader;
pub mod scanner;
pub mod story;
mod story_cabinet;
mod story_lab;
pub mod tally;
pub mod wiring;

#[cfg(test)]
mod broker_tests;
#[cfg(test)]
mod tests;

pub use broker::Broker;
pub use counts::Counts;
pub use disk_shim::DiskShim;
pub use hospital::Hospital;
pub use pty::Pty;
pub use random::Random;
pub use tally::Tally;
pub use wiring::{Assay, BedPlace, CabinetPlace, Device, ScanPurpose, Wiring};
