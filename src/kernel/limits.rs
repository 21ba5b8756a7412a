//! The limits of the house: every queue, buffer, retry and batch has one, and it stands here or in the configuration.

/// Largest HL7 v2 message that a listener takes, in bytes.
pub const MLLP_MESSAGE_BYTES: usize = 1 << 20;
/// Largest ASTM frame, in bytes (LIS1-A allows 64,000 in all); a profile may set less.
pub const ASTM_FRAME_BYTES: usize = 64_000;
/// Largest ASTM message (H to L), in bytes.
pub const ASTM_MESSAGE_BYTES: usize = 4 << 20;
/// Longest line of a scanner or relay board, in bytes.
pub const LINE_BYTES: usize = 4_096;
/// Largest MQTT payload that is taken, in bytes.
pub const MQTT_PAYLOAD_BYTES: usize = 256 << 10;
/// Commands that may wait in front of one actor.
pub const PORT_PLACES: usize = 1_024;
/// Appends that may wait in front of the journal's writer.
pub const JOURNAL_QUEUE: usize = 8_192;
/// Records that one sync makes durable at most.
pub const JOURNAL_GROUP_RECORDS: usize = 1_024;
/// Bytes that one sync makes durable at most.
pub const JOURNAL_GROUP_BYTES: usize = 4 << 20;
/// Largest record of the journal, in bytes; a command whose events are larger is refused.
pub const JOURNAL_RECORD_BYTES: usize = 16 << 20;
/// Command ids that a stream remembers, to give the first answer again.
pub const ANSWERS_REMEMBERED: usize = 8_192;
/// Message ids that a device's actor remembers.
pub const MESSAGES_REMEMBERED: usize = 8_192;
/// Events of a stream that are folded anew before a snapshot spares it.
pub const SNAPSHOT_AFTER: u64 = 64;
/// Cold streams that one keeper holds in memory.
pub const KEEPER_STREAMS: usize = 1_024;
/// Charts in memory: each holds the texts of its notes.
pub const KEEPER_CHARTS: usize = 128;
/// Connections that one listener takes at a time.
pub const CONNECTIONS: usize = 1_024;
/// Largest request body of the HTTP API, in bytes.
pub const HTTP_BODY_BYTES: usize = 1 << 20;
/// Largest request body that files a document, in bytes; the document itself may have a little less.
pub const DOCUMENT_BODY_BYTES: usize = 5 << 20;
/// Rows that one page of the API returns at most.
pub const PAGE_ROWS: usize = 500;
/// Tries of one ASTM frame before the sender gives up (LIS1-A 6.5.1.2).
pub const ASTM_TRIES: u32 = 6;

/// Bad frames of the last thousand that a line may have, unless its profile says otherwise (`expect.bad_frames`).
pub const BAD_FRAMES: u32 = 5;
