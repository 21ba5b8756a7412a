//! Drives one device: link + framing + codec + routing, and answers the device.
//!
//! Flow: connection → framing session → codec → routing → `intake` (durable, or not) → answer on the line.
//! **Invariant**: a positive answer goes out only after the message is durable; what cannot be stored is refused.
//! **Invariant**: one message is under way on a connection at a time.
//! Start reading at [`device`], then `hl7`.

mod astm;
pub mod device;
mod drawers;
mod gate;
mod hl7;
mod intake;
mod line;
mod mqtt;
mod peers;
mod pulse;
mod replay;
pub mod transcript;

pub use device::{Device, Serving, serve};
pub use drawers::{DrawerBoard, DrawerCommands};
pub use gate::Gate;
pub use line::LastScan;
pub use mqtt::{serve_broker, topics};
pub use peers::Peers;
pub use pulse::Pulse;
pub use replay::{Selection, replay};
