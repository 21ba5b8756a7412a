//! An MQTT 5 broker on loopback for the simulated hospital: sockets here, memory in `broker_session`.

use std::io;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::JoinHandle;

use super::broker_session::{OUTBOX_PACKETS, Outbox, Registry};
use super::mqtt_bytes::take_packet;
use super::mqtt_packet::{Connect, Packet};

const EVENTS_MAX: usize = 1_024;
const CONNECTIONS_MAX: usize = 256;
const CONNECT_WAIT: Duration = Duration::from_secs(10);
const GOODBYE_WAIT: Duration = Duration::from_secs(1);
const TICK: Duration = Duration::from_millis(200);

enum Event {
    Opened { id: u64, connect: Connect, outbox: Outbox },
    Packet { id: u64, packet: Packet },
    Closed { id: u64, reason: Option<u8> },
    Restart { forget_sessions: bool, done: oneshot::Sender<()> },
}

/// A running broker. It speaks MQTT 5 with QoS 0 and 1 (it announces maximum QoS 1), retained messages, sessions kept in
/// memory, wills, takeover and keep alive; no shared subscriptions, no subscription identifiers, no topic aliases, no
/// authentication.
pub struct Broker {
    address: SocketAddr,
    events: mpsc::Sender<Event>,
    stop: watch::Sender<bool>,
    tasks: Vec<JoinHandle<()>>,
}

impl Broker {
    /// Binds and serves; port 0 picks a free one. Call inside a tokio runtime.
    pub fn start(bind: SocketAddr) -> io::Result<Broker> {
        let listener = std::net::TcpListener::bind(bind)?;
        listener.set_nonblocking(true)?;
        let listener = TcpListener::from_std(listener)?;
        let address = listener.local_addr()?;
        let (events, inbox) = mpsc::channel(EVENTS_MAX);
        let (stop, stopped) = watch::channel(false);
        let tasks = vec![tokio::spawn(accept(listener, events.clone(), stopped.clone())), tokio::spawn(remember(inbox, stopped))];
        Ok(Broker { address, events, stop, tasks })
    }

    /// The address that it listens on.
    pub fn addr(&self) -> SocketAddr {
        self.address
    }

    /// Cuts all connections at once without a word; with `forget_sessions` sessions and retained messages are lost too.
    pub async fn restart(&self, forget_sessions: bool) {
        let (done, finished) = oneshot::channel();
        if self.events.send(Event::Restart { forget_sessions, done }).await.is_ok() {
            let _ = finished.await;
        }
    }

    /// Closes the listener and all connections and waits for its tasks.
    pub async fn stop(self) {
        self.stop.send_replace(true);
        for task in self.tasks {
            let _ = task.await;
        }
    }
}

async fn remember(mut inbox: mpsc::Receiver<Event>, mut stopped: watch::Receiver<bool>) {
    let mut registry = Registry::default();
    let mut tick = tokio::time::interval(TICK);
    loop {
        tokio::select! {
            _ = stopped.wait_for(|stop| *stop) => return,
            _ = tick.tick() => registry.tick(Instant::now()),
            event = inbox.recv() => match event {
                None => return,
                Some(event) => handle(&mut registry, event),
            },
        }
    }
}

fn handle(registry: &mut Registry, event: Event) {
    let now = Instant::now();
    match event {
        Event::Opened { id, connect, outbox } => registry.open(id, connect, outbox, now),
        Event::Packet { id, packet } => registry.packet(id, packet, now),
        Event::Closed { id, reason: Some(reason) } => registry.refuse(id, reason, now),
        Event::Closed { id, reason: None } => registry.closed(id, now),
        Event::Restart { forget_sessions, done } => {
            registry.restart(forget_sessions, now);
            let _ = done.send(());
        }
    }
}

async fn accept(listener: TcpListener, events: mpsc::Sender<Event>, mut stopped: watch::Receiver<bool>) {
    let mut connections = tokio::task::JoinSet::new();
    let mut last_id = 0;
    loop {
        tokio::select! {
            () = stop_wanted(&mut stopped) => return,
            Some(_) = connections.join_next() => {}
            accepted = listener.accept(), if connections.len() < CONNECTIONS_MAX => match accepted {
                Ok((stream, _)) => {
                    last_id += 1;
                    connections.spawn(serve(stream, last_id, events.clone()));
                }
                // For example no free file descriptor; waiting is all that can help.
                Err(_) => tokio::time::sleep(TICK).await,
            },
        }
    }
}

// The guard of `wait_for` must not live across an await.
async fn stop_wanted(stopped: &mut watch::Receiver<bool>) {
    let _ = stopped.wait_for(|stop| *stop).await;
}

async fn serve(stream: TcpStream, id: u64, events: mpsc::Sender<Event>) {
    let _ = stream.set_nodelay(true);
    let (mut input, output) = stream.into_split();
    let mut buffer = Vec::new();
    let first = tokio::time::timeout(CONNECT_WAIT, next_packet(&mut input, &mut buffer)).await;
    let Ok(Ok(Some(Packet::Connect(connect)))) = first else {
        return;
    };
    if connect.level != 5 {
        refuse_old_level(output).await;
        return;
    }
    let keep_alive = connect.keep_alive;
    let (outbox, outgoing) = mpsc::channel(OUTBOX_PACKETS);
    if events.send(Event::Opened { id, connect, outbox }).await.is_err() {
        return;
    }
    let mut writing = std::pin::pin!(write_all(output, outgoing));
    let (reason, writes) = tokio::select! {
        () = &mut writing => (None, false),
        reason = read_all(id, &mut input, &mut buffer, keep_alive, &events) => (reason, true),
    };
    let _ = events.send(Event::Closed { id, reason }).await;
    if writes {
        // The reason for closing still has to go out; the queue ends when the registry drops its side.
        let _ = tokio::time::timeout(GOODBYE_WAIT, writing).await;
    }
}

// MQTT 3.1.1 section 3.2.2.3: return code 1, unacceptable protocol level.
async fn refuse_old_level(mut output: OwnedWriteHalf) {
    let _ = output.write_all(&[0x20, 2, 0, 1]).await;
    let _ = output.shutdown().await;
}

async fn write_all(mut output: OwnedWriteHalf, mut outgoing: mpsc::Receiver<Vec<u8>>) {
    while let Some(bytes) = outgoing.recv().await {
        if output.write_all(&bytes).await.is_err() {
            return;
        }
    }
    let _ = output.shutdown().await;
}

// Answers the reason code to tell the client before closing, none where it is gone or said goodbye.
async fn read_all(id: u64, input: &mut OwnedReadHalf, buffer: &mut Vec<u8>, keep_alive: u16, events: &mpsc::Sender<Event>) -> Option<u8> {
    // One and a half times the keep alive, section 3.1.2.10; 0 switches it off.
    let patience = match keep_alive {
        0 => Duration::from_secs(365 * 86_400),
        seconds => Duration::from_millis(u64::from(seconds) * 1_500),
    };
    loop {
        match tokio::time::timeout(patience, next_packet(input, buffer)).await {
            Err(_) => return Some(0x8d),
            Ok(Err(error)) if error.kind() == io::ErrorKind::InvalidData => return Some(0x81),
            Ok(Err(_)) | Ok(Ok(None)) => return None,
            Ok(Ok(Some(packet))) => {
                let goodbye = matches!(packet, Packet::Disconnect { .. });
                if events.send(Event::Packet { id, packet }).await.is_err() || goodbye {
                    return None;
                }
            }
        }
    }
}

/// Reads until one packet is whole; none at the end of the stream.
pub(super) async fn next_packet<R: AsyncReadExt + Unpin>(input: &mut R, buffer: &mut Vec<u8>) -> io::Result<Option<Packet>> {
    loop {
        if let Some(packet) = take_packet(buffer)? {
            return Ok(Some(packet));
        }
        if input.read_buf(buffer).await? == 0 {
            return Ok(None);
        }
    }
}
