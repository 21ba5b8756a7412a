//! Real lines: TCP to where the process listens now, and a serial cable that stays where it is when the process dies.

use std::collections::BTreeMap;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::sync::watch;

use super::super::devices::{Line, Ways};
use crate::sim::Pty;

/// A serial cable that several hands share: the device that speaks and the world that pulls it.
#[derive(Clone)]
pub(super) struct Cable(Arc<Mutex<Pty>>);

impl Cable {
    pub(super) fn new(pty: Pty) -> Self {
        Self(Arc::new(Mutex::new(pty)))
    }

    pub(super) fn pty(&self) -> MutexGuard<'_, Pty> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl AsyncRead for Cable {
    fn poll_read(self: Pin<&mut Self>, context: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut *self.pty()).poll_read(context, buffer)
    }
}

impl AsyncWrite for Cable {
    fn poll_write(self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut *self.pty()).poll_write(context, bytes)
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut *self.pty()).poll_flush(context)
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut *self.pty()).poll_shutdown(context)
    }
}

/// The ways to a process that comes and goes.
pub(super) struct RealWays {
    pub(super) endpoints: watch::Receiver<Option<BTreeMap<String, SocketAddr>>>,
    /// By device.
    pub(super) cables: BTreeMap<String, Cable>,
}

impl RealWays {
    /// A line, when there is one now.
    async fn line(&self, device: &str) -> Option<Line> {
        if let Some(cable) = self.cables.get(device) {
            let pty = cable.pty();
            // What was said to nobody is not an answer to what comes next.
            pty.discard_unread();
            return pty.is_plugged().then(|| Box::new(cable.clone()) as Line);
        }
        let address = self.endpoints.borrow().as_ref()?.get(device).copied()?;
        Some(Box::new(TcpStream::connect(address).await.ok()?))
    }
}

impl Ways for RealWays {
    fn connect<'a>(&'a self, device: &'a str) -> Pin<Box<dyn Future<Output = Line> + Send + 'a>> {
        Box::pin(async move {
            loop {
                match self.line(device).await {
                    Some(line) => return line,
                    None => tokio::time::sleep(Duration::from_millis(50)).await,
                }
            }
        })
    }
}
