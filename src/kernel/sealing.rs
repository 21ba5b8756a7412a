//! Whose key seals an event: so that somebody can be erased, and the log stays what it is.

use super::Mrn;

/// Under which key an event's payload is sealed, besides the key of the whole record.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum Sealing {
    /// None: it concerns nobody, or is the house's to keep.
    #[default]
    House,
    /// The key of a person.
    Person(Mrn),
    /// A key of its own: a message of which nobody knows yet, or of several at once.
    Message,
    /// As it is read: the number of the key.
    Key(u32),
}
