//! Reading the configuration again at SIGHUP: all of it is checked first, and it is taken over whole or not at all.
//!
//! Prices, the catalogue of tests, what roles permit and certificates (in the same files) can be replaced while wardd runs. Everything else (devices, beds, cabinets,
//! listeners, data) is what its actors and links were built from: a change of it wants a restart, and says so.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use tokio::sync::watch;

use super::certificates::{Certificates, Read};
use super::check::check;
use super::{AppError, profiles, wiring};
use crate::config::Config;
use crate::domain::account::PriceList;
use crate::domain::rights::Roles;
use crate::telemetry;

/// What can be replaced while wardd runs.
#[derive(Debug)]
pub struct Live {
    /// The prices.
    pub(super) prices: watch::Sender<Arc<PriceList>>,
    /// Tests that can be ordered: LOINC and name.
    pub(super) catalogue: watch::Sender<Arc<BTreeMap<String, String>>>,
    /// What roles permit.
    pub(super) roles: watch::Sender<Arc<Roles>>,
    /// Certificates, for connections to come.
    pub(super) certificates: Certificates,
}

fn catalogue(config: &Config) -> BTreeMap<String, String> {
    config.tests.iter().map(|test| (test.loinc.to_string(), test.name.clone())).collect()
}

impl Live {
    pub(super) fn new(config: &Config) -> Result<Self, AppError> {
        let (prices, roles) = (wiring::prices(config)?, wiring::roles(config)?);
        Ok(Self {
            prices: watch::Sender::new(Arc::new(prices)),
            catalogue: watch::Sender::new(Arc::new(catalogue(config))),
            roles: watch::Sender::new(Arc::new(roles)),
            certificates: Certificates::new(Read::new(config)?),
        })
    }
}

/// The part of a configuration that wardd was built from.
fn fixed(config: &Config) -> Config {
    let access = crate::config::Access { roles: None, ..config.access.clone() };
    Config { tests: Vec::new(), prices: None, access, ..config.clone() }
}

/// A configuration that may take the place of the running one, its prices, roles and certificates.
fn replacement(path: &Path, running: &Config) -> Result<(Config, PriceList, Roles, Read), String> {
    let config = Config::load(path).map_err(|error| error.to_string())?;
    let faults = check(&config, &profiles::Source::Folder(config.profiles.clone()));
    if !faults.is_empty() {
        return Err(faults.join("; "));
    }
    if fixed(&config) != fixed(running) {
        return Err("more than prices, tests and roles has changed: restart wardd to use it; until then everything is as it was".to_owned());
    }
    let prices = wiring::prices(&config).map_err(|error| error.to_string())?;
    let roles = wiring::roles(&config).map_err(|error| error.to_string())?;
    let certificates = Read::new(&config).map_err(|error| error.to_string())?;
    Ok((config, prices, roles, certificates))
}

/// Takes over what is in the file now, or says why not and leaves everything as it is.
pub(super) fn reload(path: &Path, running: &Config, live: &Live) {
    match replacement(path, running) {
        Ok((config, prices, roles, certificates)) => {
            tracing::info!(path = %path.display(), prices = prices.len(), tests = config.tests.len(), "configuration reloaded");
            live.catalogue.send_replace(Arc::new(catalogue(&config)));
            live.prices.send_replace(Arc::new(prices));
            live.roles.send_replace(Arc::new(roles));
            live.certificates.replace(certificates);
            telemetry::reloaded(true);
        }
        Err(why) => {
            tracing::error!(path = %path.display(), why, "WD-0306 the configuration was not reloaded: the old one stays");
            telemetry::reloaded(false);
        }
    }
}
