//! CLSI LIS2-A2 (ASTM E1394-97): records H P O R C Q M S L with the message's own delimiters.
//!
//! Flow: message bytes (records ended by carriage returns) → [`Message::parse`] → [`Record`]s read by field, repetition and component.
//! **Invariant**: a message begins with H and ends with L; what does not is refused, never repaired.

mod message;
mod write;

pub use message::{Delimiters, Message, ParseError, Record, RecordKind, tree};
pub use write::Writer;
