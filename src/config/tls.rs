//! Certificates and keys, read into what TLS needs: at the start and again at each reload.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use tokio_rustls::rustls::crypto::CryptoProvider;
use tokio_rustls::rustls::crypto::ring::default_provider;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::rustls::server::WebPkiClientVerifier;
use tokio_rustls::rustls::{ClientConfig, RootCertStore, ServerConfig};
use x509_parser::prelude::{FromDer, X509Certificate};

use crate::kernel::Timestamp;

/// Why certificates cannot be used.
#[derive(Debug, thiserror::Error)]
#[error("WD-0304 {path}: {why}")]
pub struct TlsError {
    /// Which file.
    pub path: PathBuf,
    /// What is wrong.
    pub why: String,
}

fn wrong(path: &Path) -> impl Fn(&dyn std::fmt::Display) -> TlsError + '_ {
    |error| TlsError { path: path.to_owned(), why: error.to_string() }
}

/// A certificate with its chain, and the key that belongs to it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Identity {
    /// The chain, PEM, the own certificate first.
    pub certificate: PathBuf,
    /// The key, PEM.
    pub key: PathBuf,
}

impl Identity {
    fn chain(&self) -> Result<Vec<CertificateDer<'static>>, TlsError> {
        let wrong = wrong(&self.certificate);
        let chain: Vec<_> = CertificateDer::pem_file_iter(&self.certificate).and_then(Iterator::collect).map_err(|error| wrong(&error))?;
        if chain.is_empty() { Err(wrong(&"there is no certificate in it")) } else { Ok(chain) }
    }

    fn key(&self) -> Result<PrivateKeyDer<'static>, TlsError> {
        PrivateKeyDer::from_pem_file(&self.key).map_err(|error| wrong(&self.key)(&error))
    }

    /// Until when the certificate is good.
    pub fn expires(&self) -> Result<Timestamp, TlsError> {
        let chain = self.chain()?;
        let der = chain.first().map(AsRef::as_ref).unwrap_or_default();
        let (_, certificate) = X509Certificate::from_der(der).map_err(|error| wrong(&self.certificate)(&error))?;
        Ok(Timestamp::from_micros(certificate.validity().not_after.timestamp().saturating_mul(1_000_000)))
    }
}

fn provider() -> Arc<CryptoProvider> {
    Arc::new(default_provider())
}

fn authorities(path: &Path) -> Result<RootCertStore, TlsError> {
    let wrong = wrong(path);
    let mut roots = RootCertStore::empty();
    for authority in CertificateDer::pem_file_iter(path).map_err(|error| wrong(&error))? {
        roots.add(authority.map_err(|error| wrong(&error))?).map_err(|error| wrong(&error))?;
    }
    if roots.is_empty() { Err(wrong(&"there is no certificate in it")) } else { Ok(roots) }
}

/// What a listener of ours speaks: TLS 1.2 or 1.3. With authorities whoever connects must show a certificate of theirs.
pub fn server(own: &Identity, clients: Option<&Path>) -> Result<Arc<ServerConfig>, TlsError> {
    let failed = wrong(&own.certificate);
    let builder = ServerConfig::builder_with_provider(provider()).with_safe_default_protocol_versions().map_err(|error| failed(&error))?;
    let builder = match clients {
        None => builder.with_no_client_auth(),
        Some(path) => {
            let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(authorities(path)?), provider()).build();
            builder.with_client_cert_verifier(verifier.map_err(|error| wrong(path)(&error))?)
        }
    };
    let config = builder.with_single_cert(own.chain()?, own.key()?).map_err(|error| failed(&error))?;
    Ok(Arc::new(config))
}

/// What we speak when we connect: only whoever shows a certificate of these authorities is spoken to, and is shown ours.
pub fn client(trusted: &Path, own: Option<&Identity>) -> Result<Arc<ClientConfig>, TlsError> {
    let failed = wrong(trusted);
    let builder = ClientConfig::builder_with_provider(provider()).with_safe_default_protocol_versions().map_err(|error| failed(&error))?;
    let builder = builder.with_root_certificates(authorities(trusted)?);
    let config = match own {
        None => builder.with_no_client_auth(),
        Some(own) => builder.with_client_auth_cert(own.chain()?, own.key()?).map_err(|error| wrong(&own.certificate)(&error))?,
    };
    Ok(Arc::new(config))
}
