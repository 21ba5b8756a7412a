//! A program that subscribed is told by an HTTP request (FHIR R4, Subscription: rest-hook).

use std::path::Path;
use std::time::Duration;

use ureq::Agent;

use crate::config::web::trusting;

const PATIENCE: Duration = Duration::from_secs(10);

/// Why it was not told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Untaken {
    /// It is not there, or cannot now: it is tried again.
    NotNow(String),
    /// It will not take this, however often it comes.
    Never(String),
}

/// The way to those who subscribed.
#[derive(Debug, Clone)]
pub struct Hooks {
    agent: Agent,
}

/// One request.
#[derive(Debug, Clone, Default)]
pub struct Request {
    /// Where the subscription is told.
    pub endpoint: String,
    /// Lines of the head, `Name: value`.
    pub headers: Vec<String>,
    /// `Kind/id` and the resource as JSON; none when only that there is something new is told.
    pub resource: Option<(String, String)>,
}

impl Hooks {
    /// A way that trusts these authorities; without a file those that browsers know.
    pub fn new(authorities: Option<&Path>) -> Result<Self, String> {
        let config = Agent::config_builder().timeout_global(Some(PATIENCE)).http_status_as_error(false).max_redirects(0).proxy(None);
        let config = match authorities {
            Some(path) => config.tls_config(trusting(path)?),
            None => config,
        };
        Ok(Self { agent: config.build().into() })
    }

    /// Tells it; it blocks. A resource is put where it belongs below the endpoint, which is then the base of a FHIR server.
    pub fn tell(&self, request: &Request) -> Result<(), Untaken> {
        let (address, body) = match &request.resource {
            Some((place, body)) => (format!("{}/{place}", request.endpoint.trim_end_matches('/')), body.as_str()),
            None => (request.endpoint.clone(), ""),
        };
        let mut asked = if request.resource.is_some() { self.agent.put(&address).header("Content-Type", "application/fhir+json") } else { self.agent.post(&address) };
        for (name, value) in request.headers.iter().filter_map(|line| line.split_once(':')) {
            asked = asked.header(name.trim(), value.trim());
        }
        // An error may name what stood in the head, and that may be a secret: only its kind is told.
        let answer = asked.send(body).map_err(|error| Untaken::NotNow(format!("{address}: {}", kind(&error))))?;
        let why = || format!("{address}: {}", answer.status());
        match answer.status().as_u16() {
            200..=299 => Ok(()),
            // Too slow, too early, too many: later. What else is not accepted will not be accepted the next time.
            408 | 425 | 429 => Err(Untaken::NotNow(why())),
            300..=499 => Err(Untaken::Never(why())),
            _ => Err(Untaken::NotNow(why())),
        }
    }
}

fn kind(error: &ureq::Error) -> String {
    match error {
        ureq::Error::Io(error) => error.to_string(),
        ureq::Error::Timeout(_) => "no answer in time".to_owned(),
        ureq::Error::HostNotFound => "there is no such host".to_owned(),
        ureq::Error::Http(_) => "the request cannot be written: look at its headers".to_owned(),
        _ => "it cannot be reached".to_owned(),
    }
}
