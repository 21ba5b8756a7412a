//! Bytes to frames and back, as sans-IO sessions: a session is a value that takes bytes and time, and gives outputs.
//!
//! Flow: link bytes → session → whole frame or line → codec; verdict → session → bytes to the link.
//! **Invariant**: a session sees a byte stream, never reads: any split of the same bytes gives the same outputs.
//! **Invariant**: nothing here sleeps; a session names its next deadline and is told the time.
//! Start reading at [`mllp`], the shortest, then [`astm`].

pub mod astm;
pub mod gate;
pub mod line;
pub mod mllp;
