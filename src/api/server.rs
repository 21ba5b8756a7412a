//! The listener: plain on loopback, TLS elsewhere.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use super::guard::Peer;
use axum::Router;
use axum::serve::Listener;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::server::TlsStream;

/// A handshake may take so long.
const HANDSHAKE: Duration = Duration::from_secs(5);
/// Handshakes under way at a time.
const HANDSHAKES: usize = 64;

/// Why the web server cannot start.
#[derive(Debug, thiserror::Error)]
pub enum ServerError {
    /// The address cannot be bound.
    #[error("WD-0303 http: cannot listen on {0}: {1}: free the port, or set another in http.bind")]
    Bind(SocketAddr, std::io::Error),
}

/// A listener that is bound and not yet served.
pub struct BoundServer {
    listener: TcpListener,
    tls: Option<Tls>,
}

/// What TLS is spoken with; another one counts for connections to come.
type Tls = watch::Receiver<Arc<ServerConfig>>;

/// Binds the address, or takes the listener that was opened there before; with a configuration of TLS it speaks TLS only.
pub async fn bind(address: SocketAddr, opened: Option<std::net::TcpListener>, tls: Option<Tls>) -> Result<BoundServer, ServerError> {
    let listener = match opened {
        Some(opened) => TcpListener::from_std(opened),
        None => TcpListener::bind(address).await,
    };
    let listener = listener.map_err(|error| ServerError::Bind(address, error))?;
    Ok(BoundServer { listener, tls })
}

/// Connections whose handshake is done; a slow one holds up nobody else.
pub(super) struct TlsListener {
    address: std::io::Result<SocketAddr>,
    ready: mpsc::Receiver<(TlsStream<TcpStream>, SocketAddr)>,
    _accepting: JoinSet<()>,
}

impl TlsListener {
    fn new(listener: TcpListener, tls: Tls) -> Self {
        let address = listener.local_addr();
        let (sender, ready) = mpsc::channel(HANDSHAKES);
        let mut accepting = JoinSet::new();
        accepting.spawn(accept(listener, tls, sender));
        Self { address, ready, _accepting: accepting }
    }
}

/// Accepts connections and shakes hands with each in a task of its own, so many at a time.
async fn accept(listener: TcpListener, tls: Tls, ready: mpsc::Sender<(TlsStream<TcpStream>, SocketAddr)>) {
    let mut handshakes = JoinSet::new();
    loop {
        while handshakes.len() >= HANDSHAKES {
            handshakes.join_next().await;
        }
        let Ok((stream, address)) = listener.accept().await else {
            tokio::time::sleep(Duration::from_millis(50)).await;
            continue;
        };
        while handshakes.try_join_next().is_some() {}
        let (acceptor, ready) = (TlsAcceptor::from(tls.borrow().clone()), ready.clone());
        handshakes.spawn(async move {
            match tokio::time::timeout(HANDSHAKE, acceptor.accept(stream)).await {
                // Without a receiver the server has ended.
                Ok(Ok(stream)) => drop(ready.send((stream, address)).await),
                Ok(Err(error)) => tracing::debug!(%address, %error, "tls handshake failed"),
                Err(_) => tracing::debug!(%address, "tls handshake took too long"),
            }
        });
    }
}

impl Listener for TlsListener {
    type Io = TlsStream<TcpStream>;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (Self::Io, Self::Addr) {
        match self.ready.recv().await {
            Some(connection) => connection,
            // The accepting task lives as long as this listener.
            None => std::future::pending().await,
        }
    }

    fn local_addr(&self) -> std::io::Result<SocketAddr> {
        self.address.as_ref().map(|address| *address).map_err(|error| std::io::Error::from(error.kind()))
    }
}

impl BoundServer {
    /// The address that was really bound.
    pub fn address(&self) -> std::io::Result<SocketAddr> {
        self.listener.local_addr()
    }

    /// Serves until wardd stops; requests under way are finished.
    pub async fn serve(self, router: Router, mut stop: watch::Receiver<bool>) {
        let until = async move {
            // A closed channel means the same.
            let _ = stop.wait_for(|stop| *stop).await;
        };
        let result = match self.tls {
            None => axum::serve(self.listener, router.into_make_service_with_connect_info::<Peer>()).with_graceful_shutdown(until).await,
            Some(tls) => axum::serve(TlsListener::new(self.listener, tls), router.into_make_service_with_connect_info::<Peer>()).with_graceful_shutdown(until).await,
        };
        if let Err(error) = result {
            tracing::error!(%error, "web server ended");
        }
    }
}
