//! `wardctl journal`: the log of a data directory, for people.

use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;

use clap::{Args, Subcommand};
use serde_json::json;
use wardd::journal::verify::verify;
use wardd::journal::{FileLog, KeyRing, Log, Options, StoredBatch};

use crate::out;

#[derive(Args)]
pub(crate) struct Place {
    /// The data directory.
    #[arg(long, default_value = "data")]
    data: PathBuf,
    /// The key ring.
    #[arg(long)]
    keyring: Option<PathBuf>,
}

#[derive(Subcommand)]
pub(crate) enum Command {
    /// Checks every checksum, sequence, chain link and, with a key ring, every seal. wardd may run meanwhile.
    Verify(Place),
    /// Shows figures. wardd must not run.
    Stat(Place),
    /// Shows the last events. wardd must not run.
    Tail {
        #[command(flatten)]
        place: Place,
        /// How many batches.
        #[arg(short, default_value_t = 10)]
        n: u64,
    },
    /// Writes all events as JSON lines. wardd must not run.
    Export {
        #[command(flatten)]
        place: Place,
        /// The first event's sequence.
        #[arg(long, default_value_t = 1)]
        from: u64,
    },
}

fn keys(place: &Place) -> Result<Option<KeyRing>, String> {
    let beside = place.data.join("keyring.toml");
    let path = place.keyring.clone().or_else(|| beside.exists().then_some(beside));
    path.map(|path| KeyRing::load(&path).map_err(|error| error.to_string())).transpose()
}

fn open(place: &Place) -> Result<FileLog, String> {
    let keys = keys(place)?.ok_or("name the key ring with --keyring: without it nothing can be read")?;
    let directory = place.data.join("journal");
    if !directory.is_dir() {
        return Err(format!("{}: there is no journal", directory.display()));
    }
    FileLog::open(&directory, Arc::new(keys), Options::default()).map(|(log, _)| log).map_err(|error| error.to_string())
}

fn show(batch: &StoredBatch) {
    for event in &batch.events {
        let payload: serde_json::Value = serde_json::from_str(event.event.payload.get()).unwrap_or_default();
        out::line(
            &json!({
                "sequence": event.sequence,
                "stream": event.event.stream,
                "version": event.stream_version,
                "type": event.event.kind,
                "meta": *batch.meta,
                "payload": payload,
            })
            .to_string(),
        );
    }
}

pub(crate) fn run(command: Command) -> Result<ExitCode, String> {
    match command {
        Command::Verify(place) => {
            let keys = keys(&place)?;
            match verify(&place.data.join("journal"), keys.as_ref()) {
                Ok(report) => {
                    let seals = if keys.is_some() { format!("{} seals opened", report.opened) } else { "seals not opened (no key ring)".to_owned() };
                    out::line(&format!(
                        "whole: {} segments, {} records, {} events, {} bytes, {seals}, {} torn bytes at the end, head {}",
                        report.segments, report.records, report.events, report.bytes, report.torn_bytes, report.head
                    ));
                    Ok(ExitCode::SUCCESS)
                }
                Err(error) => {
                    out::line(&format!("DAMAGED: {error}"));
                    Ok(ExitCode::FAILURE)
                }
            }
        }
        Command::Stat(place) => {
            let statistics = open(&place)?.statistics();
            out::line(&format!("{} events in {} streams", statistics.events, statistics.streams));
            for (path, first, records, bytes) in statistics.segments {
                out::line(&format!("  {}  from event {first}, {records} records, {bytes} bytes", path.display()));
            }
            Ok(ExitCode::SUCCESS)
        }
        Command::Tail { place, n } => {
            let log = open(&place)?;
            let from = log.head().saturating_sub(n.saturating_mul(8)).max(1);
            let batches = log.read_all(from, usize::MAX).map_err(|error| error.to_string())?;
            let skip = batches.len().saturating_sub(usize::try_from(n).unwrap_or(usize::MAX));
            batches.iter().skip(skip).for_each(|batch| show(batch));
            Ok(ExitCode::SUCCESS)
        }
        Command::Export { place, from } => {
            let log = open(&place)?;
            let mut next = from.max(1);
            loop {
                let batches = log.read_all(next, 512).map_err(|error| error.to_string())?;
                let Some(last) = batches.last() else { break };
                next = last.last() + 1;
                batches.iter().for_each(|batch| show(batch));
            }
            Ok(ExitCode::SUCCESS)
        }
    }
}
