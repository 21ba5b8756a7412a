//! HL7 v2 (2.1 to 2.8), the encoding of chapter 2: read by path without copying, written by a builder.
//!
//! Flow: bytes → [`Message::parse`] → [`Message::text`] by [`Path`]; answer → [`ack::acknowledge`].
//! **Invariant**: the message's own delimiters rule; bytes that no charset explains never shift a field.

pub mod ack;
mod batch;
mod charset;
mod delimiters;
mod escape;
mod message;
mod path;
mod tree;
mod write;

pub use batch::{Batch, split_batch};
pub use delimiters::Delimiters;
pub use message::{Message, ParseError, Segment};
pub use path::{Path, PathError};
pub use tree::tree;
pub use write::{Field, Writer};
