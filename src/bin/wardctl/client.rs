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
    /// The file with the token; without it what `wardctl login` has kept.
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

/// Where `wardctl login` keeps the session's token, readable by its user alone.
pub(crate) fn kept_token() -> Option<PathBuf> {
    let folder = std::env::var_os("XDG_CONFIG_HOME").map(PathBuf::from).or_else(|| Some(PathBuf::from(std::env::var_os("HOME")?).join(".config")));
    Some(folder?.join("wardd").join("token"))
}

impl Server {
    fn token(&self) -> Result<Option<String>, String> {
        let read = |path: &Path| std::fs::read_to_string(path).map(|text| text.trim().to_owned()).map_err(|error| format!("{}: {error}", path.display()));
        match (&self.token_file, kept_token().filter(|path| path.exists())) {
            (Some(path), _) => read(path).map(Some),
            (None, Some(path)) => read(&path).map(Some),
            (None, None) => Ok(None),
        }
    }

    /// The name that is sent with what is done: in an open house that of this machine's user; else wardd knows who is signed in.
    pub(crate) fn user(&self) -> Option<String> {
        let has_token = self.token().ok().flatten().is_some();
        (!has_token).then(|| std::env::var("USER").unwrap_or_else(|_| "operator".to_owned()))
    }

    /// Asks and shows what is wrong; the JSON of the answer when it is done.
    pub(crate) fn done(&self, method: &str, path: &str, body: Option<&Value>) -> Result<Value, String> {
        match self.ask(method, path, body)? {
            (status, answer) if status < 400 => Ok(answer),
            (_, answer) => Err(answer.get("detail").and_then(Value::as_str).map_or_else(|| answer.to_string(), str::to_owned)),
        }
    }

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
        if self.http.contains("://") || !self.http.contains(':') {
            return Err(format!("--http {}: write it as HOST:PORT, such as 127.0.0.1:8080", self.http));
        }
        let mut request = Request::builder().method(method).uri(format!("{scheme}://{}{path}", self.http)).header("Content-Type", "application/json");
        if let Some(token) = self.token()? {
            request = request.header("Authorization", format!("Bearer {token}"));
        }
        let request = request.body(body.map(Value::to_string).unwrap_or_default()).map_err(|error| format!("{}: {error}: write it as host:port", self.http))?;
        let mut answer = self.agent()?.run(request).map_err(failed)?;
        let status = answer.status().as_u16();
        let text = answer.body_mut().with_config().limit(ANSWER_MAX).read_to_string().map_err(failed)?;
        Ok((status, serde_json::from_str(&text).unwrap_or(Value::String(text))))
    }
}
