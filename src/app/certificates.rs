//! Certificates while wardd runs: read at the start, read again at SIGHUP for connections to come, and watched for their end.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio_rustls::rustls::{ClientConfig, ServerConfig};

use crate::config::Config;
use crate::config::tls::{self, Identity, TlsError};
use crate::kernel::{Clock, Timestamp};
use crate::telemetry;

/// How often their end is looked at.
const EVERY: Duration = Duration::from_secs(3_600);

/// The certificates of a configuration, read from their files.
pub(super) struct Read {
    http: Option<Arc<ServerConfig>>,
    devices: Option<(Arc<ServerConfig>, Arc<ClientConfig>)>,
    ends: Vec<(&'static str, Timestamp)>,
}

impl Read {
    /// Reads all; an error names the file.
    pub(super) fn new(config: &Config) -> Result<Self, TlsError> {
        let http = config.http.identity();
        let mut ends = Vec::new();
        let mut end = |name, identity: &Identity| identity.expires().map(|at| ends.push((name, at)));
        http.iter().try_for_each(|identity| end("http", identity))?;
        let devices = match &config.tls {
            None => None,
            Some(tls) => {
                let own = tls.identity();
                end("devices", &own)?;
                Some((tls::server(&own, Some(&tls.authorities))?, tls::client(&tls.authorities, Some(&own))?))
            }
        };
        Ok(Self { http: http.map(|identity| tls::server(&identity, None)).transpose()?, devices, ends })
    }
}

/// What listeners and connectors take for each new connection.
#[derive(Debug)]
pub(super) struct Certificates {
    pub(super) http: Option<watch::Sender<Arc<ServerConfig>>>,
    pub(super) listening: Option<watch::Sender<Arc<ServerConfig>>>,
    pub(super) connecting: Option<watch::Sender<Arc<ClientConfig>>>,
    ends: watch::Sender<Vec<(&'static str, Timestamp)>>,
}

impl Certificates {
    pub(super) fn new(read: Read) -> Self {
        let (listening, connecting) = read.devices.unzip();
        Self {
            http: read.http.map(watch::Sender::new),
            listening: listening.map(watch::Sender::new),
            connecting: connecting.map(watch::Sender::new),
            ends: watch::Sender::new(read.ends),
        }
    }

    /// Takes others for connections to come; those that are open go on.
    pub(super) fn replace(&self, read: Read) {
        if let (Some(sender), Some(config)) = (&self.http, read.http) {
            sender.send_replace(config);
        }
        if let (Some(listening), Some(connecting), Some((server, client))) = (&self.listening, &self.connecting, read.devices) {
            listening.send_replace(server);
            connecting.send_replace(client);
        }
        self.ends.send_replace(read.ends);
    }

    /// Says thirty, seven and one day ahead that a certificate ends, until wardd stops.
    pub(super) fn watch(&self, clock: Clock, mut stop: watch::Receiver<bool>) -> impl Future<Output = ()> + Send + use<> {
        let mut ends = self.ends.subscribe();
        async move {
            loop {
                for (name, at) in ends.borrow_and_update().iter() {
                    telemetry::certificate_ends(name, at.seconds_since(clock.now()));
                }
                tokio::select! {
                    // A closed channel means the same.
                    _ = stop.wait_for(|stop| *stop) => return,
                    changed = ends.changed() => if changed.is_err() { return },
                    () = tokio::time::sleep(EVERY) => {}
                }
            }
        }
    }
}
