//! Moves bytes in and out, and knows no meaning: TCP both ways, serial lines, MQTT.
//!
//! Flow: a link gives [`Connection`]s, one after the other; when one is lost the link makes the next, with pauses that
//! grow and are spread. MQTT gives messages with a handle that acknowledges them.
//! **Invariant**: `Ok(0)` and EIO mean that the other end is gone; nothing here spins.

mod backoff;
pub mod mqtt;
pub mod serial;
mod tcp;
pub mod tls;

pub use backoff::Backoff;
pub use serial::SerialLink;
pub use tcp::{Incoming, TcpConnector, TcpServer};

use tokio::io::{AsyncRead, AsyncWrite};

/// A byte stream in both directions.
pub struct Connection {
    /// Bytes from the other end.
    pub reader: Box<dyn AsyncRead + Send + Unpin>,
    /// Bytes to the other end.
    pub writer: Box<dyn AsyncWrite + Send + Unpin>,
    /// The other end, for the record: an address or a device file.
    pub peer: String,
}

impl std::fmt::Debug for Connection {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Connection({})", self.peer)
    }
}
