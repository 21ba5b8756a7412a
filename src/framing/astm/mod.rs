//! ASTM E1381-95 / CLSI LIS1-A: the frame protocol under LIS2-A2 records, over serial lines and TCP.
//!
//! Flow: bytes → [`session::Session`] → frame text → [`assembler::Assembler`] → whole message (H to L);
//! the owner commits it and gives its verdict, and only then does the session answer the frame that held the L record.
//! **Invariant**: a frame is answered once, after its verdict; a repeated frame is answered and never given twice.
//! **Invariant**: the checksum is a rule of the profile, and no rule lets a frame with a wrong one pass.

pub mod assembler;
pub mod checksum;
mod receiver;
mod sender;
pub mod session;

pub use assembler::{Assembled, Assembler};
pub use checksum::Checksum;
pub use session::{Notice, Output, SendFailure, Session, Settings, Verdict};

/// Control characters (LIS1-A 6.1 to 6.6).
pub mod control {
    /// Start of a frame.
    pub const STX: u8 = 0x02;
    /// End of a message's last frame.
    pub const ETX: u8 = 0x03;
    /// End of a transmission; also interrupts a sender.
    pub const EOT: u8 = 0x04;
    /// A bid for the line.
    pub const ENQ: u8 = 0x05;
    /// Positive answer.
    pub const ACK: u8 = 0x06;
    /// Negative answer.
    pub const NAK: u8 = 0x15;
    /// End of a frame that is not the last of its record.
    pub const ETB: u8 = 0x17;
    /// Carriage return.
    pub const CR: u8 = 0x0D;
    /// Line feed.
    pub const LF: u8 = 0x0A;
}
