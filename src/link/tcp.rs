//! TCP: devices that connect to us, and devices that we connect to.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::tls::{Connecting, Listening};
use super::{Backoff, Connection};
use crate::kernel::limits;
use crate::telemetry::DeviceFigures;

/// How long a connect may take.
const CONNECT: Duration = Duration::from_secs(5);

/// A listener; connections above the limit are closed at once.
#[derive(Debug)]
pub struct TcpServer {
    listener: TcpListener,
    peers: Vec<IpAddr>,
    places: Arc<Semaphore>,
    figures: Arc<DeviceFigures>,
    tls: Option<Listening>,
}

/// Somebody who has connected; nothing was said yet.
#[derive(Debug)]
pub struct Incoming {
    stream: TcpStream,
    peer: String,
    tls: Option<Listening>,
    figures: Arc<DeviceFigures>,
}

impl Incoming {
    /// The connection, once the hands are shaken where TLS is spoken; none when they could not be.
    pub async fn open(self) -> Option<Connection> {
        let Some(tls) = self.tls else { return Some(connection(self.stream, self.peer)) };
        prepare(&self.stream);
        match tls.accept(self.stream, self.peer.clone()).await {
            Ok(connection) => Some(connection),
            Err(error) => {
                self.figures.link_failed(&format!("{}: {error}", self.peer), 0);
                None
            }
        }
    }
}

/// A peer that says nothing is asked this often whether it is still there, and so many questions may go unanswered: one whose
/// cable was pulled is found within two of these periods, and its place is free for it when it comes back.
const KEEP_ALIVE: Duration = Duration::from_secs(15);
const QUESTION_EVERY: Duration = Duration::from_secs(5);
const QUESTIONS: u32 = 3;

fn keep_alive(stream: &TcpStream) -> std::io::Result<()> {
    let socket = socket2::SockRef::from(stream);
    socket.set_tcp_keepalive(&socket2::TcpKeepalive::new().with_time(KEEP_ALIVE).with_interval(QUESTION_EVERY).with_retries(QUESTIONS))?;
    // An answer that nobody takes ends the connection in the same time.
    socket.set_tcp_user_timeout(Some(KEEP_ALIVE * 2))
}

fn prepare(stream: &TcpStream) {
    // An answer of a few bytes must not wait for more. Without keep-alives a dead peer is found later, and nothing else is lost.
    let _ = (stream.set_nodelay(true), keep_alive(stream));
}

fn connection(stream: TcpStream, peer: String) -> Connection {
    prepare(&stream);
    let (reader, writer) = stream.into_split();
    Connection { reader: Box::new(reader), writer: Box::new(writer), peer }
}

impl TcpServer {
    /// Binds; `peers` are the addresses that may connect, any when empty. With `tls` only whom it names is spoken to.
    pub async fn bind(address: SocketAddr, peers: Vec<IpAddr>, tls: Option<Listening>, figures: Arc<DeviceFigures>) -> std::io::Result<Self> {
        let listener = TcpListener::bind(address).await?;
        Ok(Self { listener, peers, places: Arc::new(Semaphore::new(limits::CONNECTIONS)), figures, tls })
    }

    /// The address that was really bound.
    pub fn address(&self) -> std::io::Result<SocketAddr> {
        self.listener.local_addr()
    }

    /// Who connects next, and their place, which is given back when it is dropped.
    pub async fn accept(&self) -> (Incoming, OwnedSemaphorePermit) {
        let mut backoff = Backoff::new(Duration::from_millis(10), Duration::from_secs(1));
        loop {
            match self.listener.accept().await {
                Ok((stream, peer)) => {
                    if !self.peers.is_empty() && !self.peers.contains(&peer.ip()) {
                        self.figures.link_failed("an address that may not connect was refused", 0);
                        continue;
                    }
                    match self.places.clone().try_acquire_owned() {
                        Ok(place) => return (Incoming { stream, peer: peer.to_string(), tls: self.tls.clone(), figures: self.figures.clone() }, place),
                        Err(_) => self.figures.link_failed("too many connections: one was closed", 0),
                    }
                }
                Err(error) => {
                    // Out of descriptors: accepting again at once would only spin.
                    let pause = backoff.pause();
                    self.figures.link_failed(&error.to_string(), pause.as_millis());
                    tokio::time::sleep(pause).await;
                }
            }
        }
    }
}

/// Connects to a device that listens, again and again.
#[derive(Debug)]
pub struct TcpConnector {
    address: String,
    backoff: Backoff,
    figures: Arc<DeviceFigures>,
    tls: Option<Connecting>,
}

impl TcpConnector {
    /// A connector to host:port, by TLS where the device's name is given.
    pub fn new(address: String, tls: Option<Connecting>, figures: Arc<DeviceFigures>) -> Self {
        Self { address, backoff: Backoff::new(Duration::from_millis(250), Duration::from_secs(30)), figures, tls }
    }

    /// The next connection; tries until there is one.
    pub async fn connect(&mut self) -> Connection {
        loop {
            let why = match tokio::time::timeout(CONNECT, TcpStream::connect(&self.address)).await {
                Ok(Ok(stream)) => match self.open(stream).await {
                    Ok(connection) => return connection,
                    Err(error) => error.to_string(),
                },
                Ok(Err(error)) => error.to_string(),
                Err(_) => "no answer in time".to_owned(),
            };
            let pause = self.backoff.pause();
            self.figures.link_failed(&why, pause.as_millis());
            tokio::time::sleep(pause).await;
        }
    }

    async fn open(&self, stream: TcpStream) -> std::io::Result<Connection> {
        match &self.tls {
            None => Ok(connection(stream, self.address.clone())),
            Some(tls) => {
                prepare(&stream);
                tls.connect(stream, self.address.clone()).await
            }
        }
    }

    /// The last connection carried something: the next try comes soon.
    pub fn worked(&mut self) {
        self.backoff.reset();
    }

    /// The pause before the next try when the last connection ended without carrying anything.
    pub async fn rest(&mut self) {
        tokio::time::sleep(self.backoff.pause()).await;
    }
}
