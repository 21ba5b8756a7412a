//! Why wardd does not start, or stops.

use std::path::PathBuf;

/// Each names the thing and the way out.
#[derive(Debug, thiserror::Error)]
pub enum AppError {
    /// The configuration.
    #[error("{0}")]
    Config(#[from] crate::config::ConfigError),
    /// The prices.
    #[error("{path}: {source}")]
    Prices {
        /// The file.
        path: PathBuf,
        /// What contradicts itself.
        source: crate::domain::account::PriceListError,
    },
    /// A profile.
    #[error("{0}")]
    Profile(#[from] super::profiles::ProfileError),
    /// The journal.
    #[error("{0}")]
    Journal(#[from] crate::journal::JournalError),
    /// Journal and mirror cannot be brought together.
    #[error("{0}")]
    Mirror(#[from] crate::journal::backup::BackupError),
    /// The keys.
    #[error("{0}")]
    Keys(#[from] crate::journal::keyring::KeyError),
    /// No key ring is named.
    #[error("WD-0113 no key ring: set journal.keyring (create one with `wardctl keyring new FILE`), or give wardd the systemd credential wardd-keyring")]
    NoKeys,
    /// Traces.
    #[error("{0}")]
    Traces(#[from] crate::outbound::TracesError),
    /// The views.
    #[error("{0}")]
    Views(#[from] crate::journal::views::ViewsError),
    /// An actor.
    #[error("{0}")]
    Actor(#[from] crate::actor::StartError),
    /// The web server.
    #[error("{0}")]
    Server(#[from] crate::api::ServerError),
    /// A certificate.
    #[error("{0}")]
    Tls(#[from] crate::config::tls::TlsError),
    /// A device's listener.
    #[error("WD-0305 device {device}: cannot listen on {address}: {source}: free the port, or set another in link.bind")]
    Listen {
        /// Which device.
        device: String,
        /// Where.
        address: std::net::SocketAddr,
        /// The system's word.
        source: std::io::Error,
    },
    /// A file of the data directory or a secret.
    #[error("{path}: {source}")]
    File {
        /// The file.
        path: PathBuf,
        /// The system's word.
        source: std::io::Error,
    },
    /// The journal failed while wardd ran.
    #[error("WD-0100 the journal has failed: {0}: look at the disk, then start wardd again; it recovers by itself")]
    JournalFailed(String),
    /// The configuration names something that cannot be used.
    #[error("{0}")]
    Setting(String),
}
