//! Frames to typed messages of one standard each, total and lossless: whatever comes in is either read whole or refused with a place and a reason.
//!
//! Flow: frame bytes → parse → a view that borrows the bytes → routing reads by path. Outbound: builder → bytes.
//! **Invariant**: no parser panics, guesses or drops; the bytes as received can always be had back.
//! Start reading at [`hl7`].

pub mod epc;
pub mod gs1;
pub mod hl7;
pub mod lis2;
pub mod syslog;
pub mod zpl;
