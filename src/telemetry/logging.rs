//! Where log lines go: JSON on standard error, plain text for people, or the journal of systemd.

use std::io::IsTerminal;

use serde::{Deserialize, Serialize};
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{EnvFilter, Layer};

/// Where log lines go.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum LogTarget {
    /// Plain text on a terminal, JSON elsewhere.
    #[default]
    Auto,
    /// JSON lines on standard error.
    Json,
    /// Plain text on standard error.
    Text,
    /// The journal of systemd; JSON on standard error when there is none.
    Journald,
}

/// Starts logging once for the process; `filter` is in the form of RUST_LOG, such as `info,wardd::link=debug`.
pub fn start(target: LogTarget, filter: &str) {
    let filter = std::env::var("RUST_LOG").ok().unwrap_or_else(|| filter.to_owned());
    let filter = EnvFilter::try_new(&filter).unwrap_or_else(|_| EnvFilter::new("info"));
    let json = || tracing_subscriber::fmt::layer().json().flatten_event(true).with_writer(std::io::stderr).boxed();
    let text = || tracing_subscriber::fmt::layer().with_ansi(false).with_target(false).with_writer(std::io::stderr).boxed();
    let layer = match target {
        LogTarget::Json => json(),
        LogTarget::Text => text(),
        LogTarget::Auto if std::io::stderr().is_terminal() => text(),
        LogTarget::Auto => json(),
        LogTarget::Journald => match tracing_journald::layer() {
            Ok(layer) => layer.boxed(),
            Err(_) => json(),
        },
    };
    // A second start in one process, as in tests, keeps the first.
    let _ = tracing_subscriber::registry().with(filter).with(layer).try_init();
}
