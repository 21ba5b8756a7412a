//! One device's task: makes connections, and runs the right session on each.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;

use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;

use super::drawers::DrawerBoard;
use super::gate::Gate;
use super::line::LastScan;
use super::peers::Peers;
use super::{astm, hl7, line};
use crate::actor::Hospital;
use crate::config::Sender;
use crate::kernel::{Clock, DeviceId};
use crate::link::{Connection, SerialLink, TcpConnector, TcpServer};
use crate::profile::{Framing, Profile};
use crate::routing::Purpose;
use crate::telemetry::DeviceFigures;

/// What a session knows of its device.
#[derive(Debug)]
pub struct Device {
    /// Its name.
    pub id: DeviceId,
    /// What kind of device it is.
    pub profile: Arc<Profile>,
    /// What it is for, when it is a scanner.
    pub purpose: Purpose,
    /// The actors.
    pub hospital: Arc<Hospital>,
    /// The time.
    pub clock: Clock,
    /// Its figures.
    pub figures: Arc<DeviceFigures>,
    /// Our name in messages.
    pub facility: String,
    /// Becomes true when wardd stops: messages under way are finished, no new ones begun.
    pub stop: watch::Receiver<bool>,
    /// How it must name itself in MSH-3 and MSH-4, where the configuration says so.
    pub sender: Option<Sender>,
    /// Who is connected.
    pub peers: Peers,
    /// Whether its line is good enough.
    pub gate: Gate,
    /// What it scanned last, when it is a scanner.
    pub last_scan: LastScan,
    /// Drawers that it opens, when it is a relay board.
    pub board: Option<DrawerBoard>,
}

impl Device {
    /// Waits until wardd stops.
    pub(super) async fn stopped(&self) {
        // A closed channel means the same.
        let _ = self.stop.clone().wait_for(|stop| *stop).await;
    }
}

/// How a device is reached.
#[derive(Debug)]
pub enum Serving {
    /// It connects to us.
    Listen(TcpServer),
    /// We connect to it.
    Connect(TcpConnector),
    /// A serial line.
    Serial(SerialLink),
    /// Connections that somebody else makes: the simulation.
    Given(mpsc::Receiver<Connection>),
}

impl Serving {
    /// The address that was bound, when we listen.
    pub fn address(&self) -> Option<SocketAddr> {
        match self {
            Serving::Listen(server) => server.address().ok(),
            Serving::Connect(_) | Serving::Serial(_) | Serving::Given(_) => None,
        }
    }
}

/// Serves a device until wardd stops.
pub async fn serve(device: Arc<Device>, serving: Serving) {
    match serving {
        Serving::Listen(server) => listen(device, server).await,
        Serving::Given(connections) => given(device, connections).await,
        Serving::Connect(mut connector) => loop {
            let connection = tokio::select! {
                biased;
                () = device.stopped() => return,
                connection = connector.connect() => connection,
            };
            if session(&device, connection).await {
                connector.worked();
            }
            tokio::select! {
                biased;
                () = device.stopped() => return,
                () = connector.rest() => {}
            }
        },
        Serving::Serial(mut serial) => loop {
            let connection = tokio::select! {
                biased;
                () = device.stopped() => return,
                connection = serial.connect() => connection,
            };
            session(&device, connection).await;
            tokio::select! {
                biased;
                () = device.stopped() => return,
                () = serial.rest() => {}
            }
        },
    }
}

async fn given(device: Arc<Device>, mut connections: mpsc::Receiver<Connection>) {
    let mut sessions = JoinSet::new();
    loop {
        tokio::select! {
            biased;
            () = device.stopped() => break,
            Some(_) = sessions.join_next(), if !sessions.is_empty() => {}
            connection = connections.recv() => match connection {
                None => break,
                Some(connection) => {
                    let device = device.clone();
                    sessions.spawn(async move { session(&device, connection).await });
                }
            },
        }
    }
    while sessions.join_next().await.is_some() {}
}

async fn listen(device: Arc<Device>, server: TcpServer) {
    let mut sessions = JoinSet::new();
    loop {
        tokio::select! {
            biased;
            () = device.stopped() => break,
            Some(_) = sessions.join_next(), if !sessions.is_empty() => {}
            (incoming, place) = server.accept() => {
                let device = device.clone();
                sessions.spawn(async move {
                    // A peer that never finishes its handshake holds up nobody else.
                    if let Some(connection) = incoming.open().await {
                        session(&device, connection).await;
                    }
                    drop(place);
                });
            }
        }
    }
    while sessions.join_next().await.is_some() {}
}

/// Runs one connection to its end; whether anything came.
async fn session(device: &Arc<Device>, connection: Connection) -> bool {
    device.figures.connected(&connection.peer);
    let present = device.peers.join(&connection.peer);
    let ended = match &device.profile.framing {
        Framing::Mllp => hl7::session(device, connection).await,
        Framing::Astm { .. } => astm::session(device, connection).await,
        Framing::Line { .. } => line::session(device, connection).await,
        Framing::Mqtt { .. } => Ended { why: "this device speaks MQTT only".to_owned(), has_received: false },
    };
    drop(present);
    device.figures.disconnected(&ended.why);
    ended.has_received
}

/// How a session ended.
pub(super) struct Ended {
    pub(super) why: String,
    pub(super) has_received: bool,
}

/// The path of a profile's file.
pub fn profile_path(folder: &std::path::Path, id: &str) -> PathBuf {
    folder.join(format!("{id}.toml"))
}
