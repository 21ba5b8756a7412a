//! Messages, barcodes and tags that others wrote, through the real programs; skipped where `../shared/corpus` is absent.
#![expect(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test may fail loudly")]

mod adt;
mod astm;
mod epc;
#[path = "../fuzzing/mod.rs"]
mod fuzzing;
mod gs1;
#[path = "../daemon/harness.rs"]
#[expect(dead_code, reason = "the daemon's tests use the rest")]
mod harness;
mod hl7;
mod table;
