//! TLS over a link: the handshake, and whether the certificate at the other end names the device that the link belongs to.

use std::io::{Error, ErrorKind, Result};
use std::sync::Arc;
use std::time::Duration;

use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio_rustls::rustls::pki_types::{CertificateDer, ServerName};
use tokio_rustls::rustls::{ClientConfig, ServerConfig};
use tokio_rustls::{TlsAcceptor, TlsConnector};
use webpki::EndEntityCert;

use super::Connection;

/// A handshake may take so long.
const HANDSHAKE: Duration = Duration::from_secs(5);

/// TLS on a listener of ours.
#[derive(Debug, Clone)]
pub struct Listening {
    /// The configuration of now: a reload changes it for connections to come.
    pub config: watch::Receiver<Arc<ServerConfig>>,
    /// The name that must stand in the device's certificate.
    pub name: String,
}

/// TLS to a device that listens.
#[derive(Debug, Clone)]
pub struct Connecting {
    /// The configuration of now.
    pub config: watch::Receiver<Arc<ClientConfig>>,
    /// The name that must stand in the device's certificate.
    pub name: String,
}

fn refused(why: impl std::fmt::Display) -> Error {
    Error::new(ErrorKind::PermissionDenied, why.to_string())
}

fn server_name(name: &str) -> Result<ServerName<'static>> {
    ServerName::try_from(name.to_owned()).map_err(|error| refused(format!("link.certificate {name:?}: {error}")))
}

/// Whether a certificate is for a name (RFC 6125: a DNS name or address of its subjectAltName).
fn names(certificate: &CertificateDer<'_>, name: &str) -> Result<()> {
    let entity = EndEntityCert::try_from(certificate).map_err(refused)?;
    let expected = server_name(name)?;
    entity.verify_is_valid_for_subject_name(&expected).map_err(|_| refused(format!("its certificate is not for {name}, whom this link belongs to")))
}

async fn in_time<T>(handshake: impl Future<Output = Result<T>>) -> Result<T> {
    tokio::time::timeout(HANDSHAKE, handshake).await.unwrap_or_else(|_| Err(Error::new(ErrorKind::TimedOut, "the TLS handshake took too long")))
}

fn connection(stream: impl tokio::io::AsyncRead + tokio::io::AsyncWrite + Send + Unpin + 'static, peer: String) -> Connection {
    let (reader, writer) = tokio::io::split(stream);
    Connection { reader: Box::new(reader), writer: Box::new(writer), peer }
}

impl Listening {
    /// Shakes hands with whoever has connected.
    pub(super) async fn accept(&self, stream: TcpStream, peer: String) -> Result<Connection> {
        let acceptor = TlsAcceptor::from(self.config.borrow().clone());
        let stream = in_time(async { acceptor.accept(stream).await }).await?;
        let shown = stream.get_ref().1.peer_certificates().and_then(<[_]>::first);
        names(shown.ok_or_else(|| refused("it shows no certificate"))?, &self.name)?;
        Ok(connection(stream, peer))
    }
}

impl Connecting {
    /// Shakes hands with a device.
    pub(super) async fn connect(&self, stream: TcpStream, peer: String) -> Result<Connection> {
        let connector = TlsConnector::from(self.config.borrow().clone());
        let name = server_name(&self.name)?;
        let stream = in_time(async { connector.connect(name, stream).await }).await?;
        Ok(connection(stream, peer))
    }
}
