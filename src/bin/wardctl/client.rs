//! The HTTP client of wardctl.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use clap::Args;
use serde_json::Value;
use tokio_rustls::rustls::crypto::ring::default_provider;
use ureq::http::Request;
use ureq::tls::{Certificate, PemItem, RootCerts, TlsConfig};
use ureq::{Agent, Error};

const PATIENCE: Duration = Duration::from_secs(30);
const CONNECT: Duration = Duration::from_secs(3);
const ANSWER_MAX: u64 = 64 << 20;

#[derive(Args)]
pub(crate) struct Server {
    /// The address of wardd's web server.
    #[arg(long, default_value = "127.0.0.1:8080", global = true)]
    http: String,
    /// The file with the token, where wardd wants one.
    #[arg(long, global = true)]
    token_file: Option<PathBuf>,
    /// The file with the certificate of the authority that signed wardd's: then TLS is spoken, and `--http` is the name in the certificate with its port.
    #[arg(long, global = true)]
    ca: Option<PathBuf>,
}

/// TLS that trusts the authorities of one file and nobody else.
fn trusting(path: &Path) -> Result<TlsConfig, String> {
    let text = std::fs::read(path).map_err(|error| format!("{}: {error}", path.display()))?;
    let authorities: Vec<Certificate<'static>> = ureq::tls::parse_pem(&text)
        .filter_map(|item| match item {
            Ok(PemItem::Certificate(certificate)) => Some(Ok(certificate)),
            Ok(_) => None,
            Err(error) => Some(Err(format!("{}: {error}", path.display()))),
        })
        .collect::<Result<_, _>>()?;
    if authorities.is_empty() {
        return Err(format!("{}: there is no certificate in it: name the PEM file of the authority that signed wardd's", path.display()));
    }
    let roots = RootCerts::Specific(Arc::new(authorities));
    Ok(TlsConfig::builder().root_certs(roots).unversioned_rustls_crypto_provider(Arc::new(default_provider())).build())
}

impl Server {
    fn agent(&self) -> Result<Agent, String> {
        let config = Agent::config_builder().timeout_global(Some(PATIENCE)).timeout_connect(Some(CONNECT)).http_status_as_error(false).max_redirects(0);
        let config = match &self.ca {
            Some(path) => config.tls_config(trusting(path)?),
            None => config,
        };
        Ok(config.build().into())
    }

    /// Asks; gives the status and the JSON of the answer.
    pub(crate) fn ask(&self, method: &str, path: &str, body: Option<&Value>) -> Result<(u16, Value), String> {
        let failed = |error: Error| format!("wardd at {} does not answer ({error}): is it running, is this its http.bind, and does it want TLS (--ca)?", self.http);
        let scheme = if self.ca.is_some() { "https" } else { "http" };
        let mut request = Request::builder().method(method).uri(format!("{scheme}://{}{path}", self.http)).header("Content-Type", "application/json");
        if let Some(path) = &self.token_file {
            let token = std::fs::read_to_string(path).map_err(|error| format!("{}: {error}", path.display()))?;
            request = request.header("Authorization", format!("Bearer {}", token.trim()));
        }
        let request = request.body(body.map(Value::to_string).unwrap_or_default()).map_err(|error| format!("{}: {error}: write it as host:port", self.http))?;
        let mut answer = self.agent()?.run(request).map_err(failed)?;
        let status = answer.status().as_u16();
        let text = answer.body_mut().with_config().limit(ANSWER_MAX).read_to_string().map_err(failed)?;
        Ok((status, serde_json::from_str(&text).unwrap_or(Value::String(text))))
    }
}
