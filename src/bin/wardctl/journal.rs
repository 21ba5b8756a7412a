//! `wardctl journal`: the log of a data directory, for people. wardd may run meanwhile, unless a command says otherwise.

use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use clap::{Args, Subcommand};
use serde_json::json;
use wardd::journal::archive::archive;
use wardd::journal::verify::verify;
use wardd::journal::{KeyRing, Reader, StoredBatch, accept_end, heads};

use wardd::kernel::{Date, Invalid, Timestamp};

use crate::out;

/// Between two looks of `tail --follow`.
const POLL: Duration = Duration::from_millis(500);

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
    /// Checks every checksum, sequence, chain link and, with a key ring, every seal.
    Verify(Place),
    /// Takes the log's end as the truth, when the file `high-water` is lost and no mirror or backup has it. wardd must not run.
    AcceptEnd {
        #[command(flatten)]
        place: Place,
        /// The last event, as `wardctl journal verify` says it.
        #[arg(long)]
        event: u64,
    },
    /// Moves full segments whose events are all older than a day to a slower disk, and leaves links. wardd may run meanwhile; be
    /// the user that wardd runs as, for the folder is readable by its maker alone.
    Archive {
        #[command(flatten)]
        place: Place,
        /// The folder that they are moved to.
        #[arg(long)]
        to: PathBuf,
        /// The first day that stays, such as 2026-01-31.
        #[arg(long)]
        before: Date,
    },
    /// Shows the newest signed head as JSON: give it to whoever checks the journal one day. wardd signs one at its start and each day.
    Head {
        /// The data directory.
        #[arg(long, default_value = "data")]
        data: PathBuf,
    },
    /// Shows figures.
    Stat(Place),
    /// Shows the last events.
    Tail {
        #[command(flatten)]
        place: Place,
        /// How many batches.
        #[arg(short, default_value_t = 10)]
        n: usize,
        /// Goes on showing what comes, until Ctrl-C.
        #[arg(long, short)]
        follow: bool,
    },
    /// Writes all events as JSON lines.
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

fn open(place: &Place) -> Result<Reader, String> {
    let keys = keys(place)?.ok_or("name the key ring with --keyring: without it nothing can be read")?;
    let directory = place.data.join("journal");
    if !directory.is_dir() {
        return Err(format!("{}: there is no journal", directory.display()));
    }
    Ok(Reader::new(&directory, Arc::new(keys)))
}

fn show(batch: &StoredBatch) {
    for event in &batch.events {
        let payload: serde_json::Value = serde_json::from_str(event.event.payload.get()).unwrap_or_default();
        out::line(
            &json!({
                "sequence": event.sequence,
                "stream": event.event.stream,
                "stream_version": event.stream_version,
                "type": event.event.kind,
                "type_version": event.event.version,
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
            if !place.data.join("journal").is_dir() {
                return Err(format!("{}: there is no journal: name the data directory of wardd", place.data.join("journal").display()));
            }
            match verify(&place.data.join("journal"), keys.as_ref()) {
                Ok(report) => {
                    let seals = if keys.is_some() { format!("{} seals opened", report.opened) } else { "seals not opened (no key ring)".to_owned() };
                    out::line(&format!(
                        "{}: {} segments, {} records, {} events, {} bytes, {seals}, {} signed heads agree, {} torn bytes at the end, head {}",
                        if report.has_mark || report.events == 0 {
                            "whole"
                        } else {
                            "NO MARK (the file high-water is missing or unreadable, so a tail that was cut cannot be told)"
                        },
                        report.segments,
                        report.records,
                        report.events,
                        report.bytes,
                        report.heads,
                        report.torn_bytes,
                        report.head
                    ));
                    Ok(if report.has_mark || report.events == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
                }
                Err(error) => {
                    out::line(&format!("DAMAGED: {error}"));
                    Ok(ExitCode::FAILURE)
                }
            }
        }
        Command::AcceptEnd { place, event } => {
            let keys = keys(&place)?;
            accept_end(&place.data.join("journal"), keys.as_ref(), event).map_err(|error| error.to_string())?;
            out::line(&format!("accepted: the log ends with event {event}"));
            Ok(ExitCode::SUCCESS)
        }
        Command::Archive { place, to, before } => {
            let instant: Timestamp = format!("{before}T00:00:00Z").parse().map_err(|error: Invalid| error.to_string())?;
            let archived = archive(&place.data.join("journal"), &to, instant).map_err(|error| error.to_string())?;
            archived.segments.iter().for_each(|path| out::line(&path.display().to_string()));
            out::line(&format!("{} segments, {} bytes archived; keep that disk mounted: the journal reads them there", archived.segments.len(), archived.bytes));
            Ok(ExitCode::SUCCESS)
        }
        Command::Head { data } => {
            let heads = heads::read(&data.join("journal")).map_err(|error| error.to_string())?;
            let head = heads.last().ok_or("no head was signed yet: wardd signs one at its start, once there is an event, and each day")?;
            out::line(&serde_json::to_string(head).map_err(|error| error.to_string())?);
            Ok(ExitCode::SUCCESS)
        }
        Command::Stat(place) => {
            let statistics = open(&place)?.statistics().map_err(|error| error.to_string())?;
            out::line(&format!("{} events in {} streams", statistics.events, statistics.streams));
            for (path, first, records, bytes) in statistics.segments {
                out::line(&format!("  {}  from event {first}, {records} records, {bytes} bytes", path.display()));
            }
            Ok(ExitCode::SUCCESS)
        }
        Command::Tail { place, n, follow } => {
            let log = open(&place)?;
            let last = log.last(n).map_err(|error| error.to_string())?;
            last.iter().for_each(show);
            if !follow {
                return Ok(ExitCode::SUCCESS);
            }
            let mut next = last.back().map_or(1, |batch| batch.last() + 1);
            loop {
                std::thread::sleep(POLL);
                next = log.each(next, show).map_err(|error| error.to_string())?;
            }
        }
        Command::Export { place, from } => {
            open(&place)?.each(from, show).map_err(|error| error.to_string())?;
            Ok(ExitCode::SUCCESS)
        }
    }
}
