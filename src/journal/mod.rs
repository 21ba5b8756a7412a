//! The durable log of events, which is the truth, and the rebuildable views beside it.
//!
//! Flow: [`Batch`] → [`Log::append`] → writer thread (versions, seal, chain, write, one fdatasync for all that waits)
//! → completion; readers and [`Tail`]s see durable events only.
//! **Invariant**: a completion says durable only after fdatasync returned; after a failed sync nothing is accepted again.
//! **Invariant**: views ([`views`]) never decide what was acknowledged; they can be thrown away at any time.
//! Start reading at [`event`], then `writer`, then [`recovery`].

pub mod archive;
pub mod backup;
mod beside;
mod company;
mod disk;
pub mod event;
mod file_log;
mod filter;
mod footer;
mod growing;
pub mod heads;
mod high_water;
mod index;
pub mod keyring;
pub mod mirror;
mod personal;
mod prepare;
mod reader;
mod record;
pub mod recovery;
mod segment;
mod shelf;
mod snapshot;
mod tail;
pub mod verify;
mod view_seal;
pub mod views;
mod writer;

pub use disk::{Disk, Pace, RealDisk};
pub use event::{AppendError, Batch, Completion, Expected, Meta, NewEvent, Receipt, StoredBatch, StoredEvent};
pub use file_log::{FileLog, Options, Statistics, accept_end};
pub use keyring::KeyRing;
pub use reader::Reader;
pub use recovery::Opened;
pub use snapshot::Snapshot;
pub use tail::Tail;

use std::path::PathBuf;

use crate::kernel::{Mrn, StreamId};

/// What can go wrong with the journal; every message names the place and the way out.
#[derive(Debug, thiserror::Error)]
pub enum JournalError {
    /// A file could not be read or written.
    #[error("journal: {path}: {action}: {source}")]
    Io {
        /// The file or directory.
        path: PathBuf,
        /// What was being done.
        action: &'static str,
        /// The system's word.
        source: std::io::Error,
    },
    /// Another process has the journal open.
    #[error("WD-0101 journal: {0} is in use by another wardd: stop that one first, or give this one another data directory")]
    Locked(PathBuf),
    /// Something other than a torn tail is wrong.
    #[error("{0}")]
    Damaged(#[from] verify::Damage),
    /// The file that says how far the log was acknowledged is gone.
    #[error(
        "WD-0108 journal: {0}: the file `high-water`, which says how far the log was acknowledged, is missing or unreadable: restore it from a mirror or backup; when it is lost, `wardctl journal verify` says where the log ends, and `wardctl journal accept-end` takes that as the truth"
    )]
    NoMark(PathBuf),
    /// An event that this release cannot read.
    #[error("WD-0105 journal: {0}: it was written by a later release, or is damaged")]
    Unreadable(String),
    /// An end that was to be accepted is not where the log ends.
    #[error("journal: the log ends with event {found}, not {named}: look at `wardctl journal verify` again")]
    OtherEnd {
        /// Where it ends.
        found: u64,
        /// What was named.
        named: u64,
    },
    /// The keys of persons are lost.
    #[error("WD-0115 journal: {0}: key {1} of a person is not in the file `personal-keys`, and what it seals cannot be read: restore this file from the mirror or a backup")]
    NoPersonalKey(PathBuf, u32),
    /// Two files of keys that have nothing to do with each other.
    #[error(
        "WD-0133 journal: {0} and {1}: key {2} of a person is another one in each: they belong to two different journals, and nothing was changed: find out which is right, and move the other away"
    )]
    OtherKeys(PathBuf, PathBuf, u32),
    /// A copy has keys that the journal has lost.
    #[error("WD-0115 journal: {0}: the file `personal-keys` holds fewer keys than its copy in {1}, which was left as it is: restore the file from there")]
    FewerKeys(PathBuf, PathBuf),
    /// The key ring cannot be used.
    #[error("{0}")]
    Keys(#[from] keyring::KeyError),
    /// A stored payload is newer than this program, or not what it should be.
    #[error("WD-0105 journal: event {sequence}: {why}: start the release that wrote it, or a newer one")]
    Payload {
        /// The event's sequence number.
        sequence: u64,
        /// What is wrong.
        why: String,
    },
}

impl JournalError {
    fn io(path: impl Into<PathBuf>, action: &'static str) -> impl FnOnce(std::io::Error) -> Self {
        let path = path.into();
        move |source| Self::Io { path, action, source }
    }
}

/// The narrow waist: everything above knows only this of the store below.
pub trait Log: Send + Sync {
    /// Hands a batch to the writer; `done` is called once, from the writer's thread, when the batch is durable or refused.
    fn append(&self, batch: Batch, done: Completion);

    /// Calls `done` when everything that was appended before is durable; with an error when the stream that was `seen` has not
    /// come to that version, since what was decided on it was taken back.
    fn barrier(&self, seen: Vec<(StreamId, u64)>, done: Completion);

    /// The events of a stream from a version on (the first is 1), at most `limit` of them, durable ones only.
    fn read_stream(&self, stream: &StreamId, from_version: u64, limit: usize) -> Result<Vec<(std::sync::Arc<Meta>, StoredEvent)>, JournalError>;

    /// The version of a stream: how many events it has, 0 for none, those included that wait for their sync.
    fn version(&self, stream: &StreamId) -> u64;

    /// The batches from an event's sequence on, at most `limit` of them, durable ones only.
    fn read_all(&self, from_sequence: u64, limit: usize) -> Result<Vec<std::sync::Arc<StoredBatch>>, JournalError>;

    /// The sequence of the last durable event, 0 when there is none.
    fn head(&self) -> u64;

    /// The keys that what concerns a person is sealed under; none when nothing is, or all were destroyed.
    fn keys_of(&self, mrn: &Mrn) -> Result<Vec<u32>, JournalError>;

    /// Destroys keys for ever: what was sealed under them is read as erased from then on. `done` is called when it is durable.
    fn destroy_keys(&self, keys: Vec<u32>, done: Completion);

    /// Whether appends can be taken: not while the disk is full or after a failure.
    fn is_accepting(&self) -> bool;

    /// Follows the log from an event's sequence on.
    fn tail(&self, from_sequence: u64) -> Tail;

    /// A stream's snapshot, when there is one that this log's own history led to.
    fn snapshot(&self, stream: &StreamId) -> Option<Snapshot>;

    /// Keeps a snapshot of a stream's durable state; it can be lost at any time.
    fn save_snapshot(&self, stream: &StreamId, snapshot: &Snapshot) -> Result<(), views::ViewsError>;
}
