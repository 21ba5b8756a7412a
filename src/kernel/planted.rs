//! Planted bugs: each breaks one promise on purpose, so that the simulation can be held to finding it. Outside of the
//! library's own tests every one of them is `false` at compile time and gone.

/// A bug that somebody could make, where its line stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Bug {
    /// The command is answered before its events are durable.
    AckBeforeSync,
    /// What could not be synced counts as durable.
    SyncErrorIgnored,
    /// After a failed append the actor goes on with a state that the log does not have.
    StateKeptAfterFailure,
    /// After a start the ids of done commands are not known.
    CommandsForgotten,
    /// After a start the ids of stored messages are not known.
    MessagesForgotten,
    /// A message that an actor lost is answered as if it were stored.
    LostIsAccepted,
    /// A message for which there was no place is answered as if it were stored.
    BusyIsAccepted,
    /// A repeated frame is appended again.
    FrameAppendedTwice,
    /// Checksums are not looked at.
    ChecksumIgnored,
    /// What a rule refuses is held for nobody.
    DeadLetterSwallowed,
    /// What was done before a crash is not charged after it.
    BacklogNotCharged,
    /// A part of the system looks at the wall's clock.
    WallClock,
    /// The unit of a result is not held against its code.
    UnitNotCompared,
    /// More is taken out than there is.
    StockUnchecked,
    /// A message is handled and its bytes are not kept.
    RawNotKept,
    /// A message that comes again is not answered.
    RepetitionUnanswered,
    /// What cannot be stored now is answered as if it were.
    NakIgnored,
    /// A frame that was refused finds the records before it gone when it comes again. This one was real.
    RefusalForgets,
    /// Who is told first depends on the order of a hash table.
    HashOrder,
    /// After a start events are applied in another order than they happened.
    UnorderedApply,
    /// What there is no place for is taken all the same.
    UnboundedQueue,
    /// A bed takes a second patient.
    BedForTwo,
}

/// Every bug.
pub const ALL: [Bug; 22] = [
    Bug::AckBeforeSync,
    Bug::SyncErrorIgnored,
    Bug::StateKeptAfterFailure,
    Bug::CommandsForgotten,
    Bug::MessagesForgotten,
    Bug::LostIsAccepted,
    Bug::BusyIsAccepted,
    Bug::FrameAppendedTwice,
    Bug::ChecksumIgnored,
    Bug::DeadLetterSwallowed,
    Bug::BacklogNotCharged,
    Bug::WallClock,
    Bug::UnitNotCompared,
    Bug::StockUnchecked,
    Bug::RawNotKept,
    Bug::RepetitionUnanswered,
    Bug::NakIgnored,
    Bug::RefusalForgets,
    Bug::HashOrder,
    Bug::UnorderedApply,
    Bug::UnboundedQueue,
    Bug::BedForTwo,
];

/// Whether a bug is planted: never, but in tests.
#[cfg(not(test))]
pub const fn is(_: Bug) -> bool {
    false
}

#[cfg(test)]
pub use planting::{is, with};

#[cfg(test)]
mod planting {
    use std::cell::Cell;

    use super::Bug;

    thread_local! {
        static PLANTED: Cell<Option<Bug>> = const { Cell::new(None) };
    }

    /// Whether a bug is planted on this thread.
    pub fn is(bug: Bug) -> bool {
        PLANTED.get() == Some(bug)
    }

    /// Does something with a bug planted; the simulation lives on one thread.
    pub fn with<T>(bug: Bug, act: impl FnOnce() -> T) -> T {
        PLANTED.set(Some(bug));
        let result = act();
        PLANTED.set(None);
        result
    }
}
