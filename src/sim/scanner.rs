//! Barcode scanners: on a pty or as a TCP client, with an AIM identifier, a suffix, and maybe an answer to wait for.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::{mpsc, watch};
use tokio::time::{Instant, sleep, timeout, timeout_at};

use super::astm_frame::{ACK, NAK};
use super::astm_line::scaled;
use super::counts::Counts;
use super::device::until_stopped;
use super::pty::Pty;
use super::random::Random;

const TRIES: u32 = 3;
const CONNECT_ATTEMPTS_MAX: u32 = 200;
const SPLIT_PER_MILLE: u32 = 100;

/// Code 128 without GS1 meaning, e.g. an accession label.
pub const AIM_CODE_128: &str = "]C0";
/// GS1-128.
pub const AIM_GS1_128: &str = "]C1";
/// GS1 DataMatrix.
pub const AIM_GS1_DATAMATRIX: &str = "]d2";

/// What a hand does with a scanner.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ScanCommand {
    /// Read a symbol.
    Scan {
        /// `]C0`, `]C1`, `]d2`; empty for a scanner that sends none.
        aim: String,
        /// The symbol's data; FNC1 inside as 0x1D.
        data: String,
    },
    /// Pull the cable for so long; a network scanner closes its connection.
    Unplug(Duration),
}

/// Settings of one scanner.
#[derive(Debug, Clone)]
pub struct ScannerSettings {
    /// `\r` on serial lines, `\r\n` on the network.
    pub suffix: &'static str,
    /// Whether each scan waits for ACK or NAK, with three tries.
    pub expects_answer: bool,
    /// Multiplies the wait for the answer (2 s).
    pub time_scale: f64,
    /// Whether it writes in pieces at times.
    pub noisy: bool,
    /// Its randomness.
    pub random: Random,
}

/// A running scanner.
pub struct Scanner {
    settings: ScannerSettings,
    counts: Counts,
}

impl Scanner {
    /// A scanner at rest.
    pub fn new(settings: ScannerSettings) -> Scanner {
        Scanner { settings, counts: Counts::default() }
    }

    /// Scans into a pty until the commands end or `stop` turns true.
    pub async fn run_serial(mut self, mut pty: Pty, mut commands: mpsc::Receiver<ScanCommand>, stop: watch::Receiver<bool>) -> Counts {
        let work = async {
            while let Some(command) = commands.recv().await {
                match command {
                    ScanCommand::Scan { aim, data } => {
                        self.counts.given += 1;
                        if self.scan(&mut pty, &aim, &data).await.is_err() {
                            self.counts.abandoned += 1;
                        }
                    }
                    ScanCommand::Unplug(duration) => {
                        pty.unplug();
                        sleep(duration).await;
                        self.counts.noise += 1;
                        self.counts.reconnects += 1;
                        while pty.replug().is_err() {
                            sleep(Duration::from_millis(200)).await;
                        }
                    }
                }
            }
        };
        until_stopped(work, stop).await;
        self.counts
    }

    /// Scans over a connection to `address`, made anew when lost, until the commands end or `stop` turns true.
    pub async fn run_tcp(mut self, address: SocketAddr, mut commands: mpsc::Receiver<ScanCommand>, stop: watch::Receiver<bool>) -> Counts {
        let work = async {
            let mut connection: Option<TcpStream> = None;
            while let Some(command) = commands.recv().await {
                match command {
                    ScanCommand::Scan { aim, data } => {
                        self.counts.given += 1;
                        self.scan_connected(&mut connection, address, &aim, &data).await;
                    }
                    ScanCommand::Unplug(duration) => {
                        connection = None;
                        self.counts.noise += 1;
                        sleep(duration).await;
                    }
                }
            }
        };
        until_stopped(work, stop).await;
        self.counts
    }

    async fn scan_connected(&mut self, connection: &mut Option<TcpStream>, address: SocketAddr, aim: &str, data: &str) {
        for _ in 0..CONNECT_ATTEMPTS_MAX {
            if connection.as_ref().is_some_and(is_closed) {
                *connection = None;
            }
            if connection.is_none() {
                *connection = TcpStream::connect(address).await.ok();
            }
            if let Some(stream) = connection.as_mut()
                && self.scan(stream, aim, data).await.is_ok()
            {
                return;
            }
            *connection = None;
            self.counts.reconnects += 1;
            sleep(Duration::from_millis(100)).await;
        }
        self.counts.abandoned += 1;
    }

    async fn scan<S: AsyncRead + AsyncWrite + Unpin>(&mut self, stream: &mut S, aim: &str, data: &str) -> io::Result<()> {
        let text = format!("{aim}{data}{}", self.settings.suffix);
        let tries = if self.settings.expects_answer { TRIES } else { 1 };
        for attempt in 0..tries {
            self.counts.resends += u64::from(attempt > 0);
            self.write(stream, text.as_bytes()).await?;
            self.counts.sent += u64::from(attempt == 0);
            if !self.settings.expects_answer {
                return Ok(());
            }
            match self.answer(stream).await? {
                Some(ACK) => {
                    self.counts.acknowledged += 1;
                    return Ok(());
                }
                Some(_) => self.counts.naks += 1,
                None => self.counts.timeouts += 1,
            }
        }
        // The third refusal makes the scanner beep and forget, as the AOPOS AS260 does.
        self.counts.refused += 1;
        Ok(())
    }

    async fn write<S: AsyncWrite + Unpin>(&mut self, stream: &mut S, bytes: &[u8]) -> io::Result<()> {
        let random = &mut self.settings.random;
        let split = self.settings.noisy && random.chance(SPLIT_PER_MILLE);
        let step = if split { random.between(1, 5) } else { bytes.len() as u64 };
        self.counts.noise += u64::from(split);
        for part in bytes.chunks(usize::try_from(step).unwrap_or(1).max(1)) {
            match timeout(Duration::from_secs(2), stream.write_all(part)).await {
                Ok(written) => written?,
                Err(_) => return Err(io::ErrorKind::TimedOut.into()),
            }
            if split {
                sleep(Duration::from_micros(300)).await;
            }
        }
        Ok(())
    }

    async fn answer<S: AsyncRead + Unpin>(&mut self, stream: &mut S) -> io::Result<Option<u8>> {
        let wait = scaled(2.0, self.settings.time_scale).max(Duration::from_millis(200));
        let until = Instant::now() + wait;
        loop {
            match timeout_at(until, stream.read_u8()).await {
                Err(_) => return Ok(None),
                Ok(byte) => {
                    if let byte @ (ACK | NAK) = byte? {
                        return Ok(Some(byte));
                    }
                }
            }
        }
    }
}

// A write into a connection that the daemon closed would seem to succeed, and the scan would be lost.
fn is_closed(stream: &TcpStream) -> bool {
    let mut byte = [0; 1];
    match stream.try_read(&mut byte) {
        Ok(count) => count == 0,
        Err(error) => error.kind() != io::ErrorKind::WouldBlock,
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::duplex;
    use tokio::net::TcpListener;

    use super::*;

    fn scanner(suffix: &'static str, expects_answer: bool) -> Scanner {
        Scanner::new(ScannerSettings { suffix, expects_answer, time_scale: 0.1, noisy: true, random: Random::new(2) })
    }

    #[tokio::test]
    async fn repeats_at_most_three_times() {
        let (mut near, mut far) = duplex(1_000);
        let scanning = tokio::spawn(async move {
            let mut scanner = scanner("\r", true);
            scanner.scan(&mut near, AIM_CODE_128, "A1").await.unwrap();
            scanner.scan(&mut near, AIM_GS1_128, "0195012345678903").await.unwrap();
            scanner.counts
        });
        for answer in [NAK, ACK, NAK, NAK, NAK] {
            let mut line = Vec::new();
            while line.last() != Some(&b'\r') {
                line.push(far.read_u8().await.unwrap());
            }
            assert!(line == b"]C0A1\r" || line == b"]C10195012345678903\r");
            far.write_all(&[answer]).await.unwrap();
        }
        let counts = scanning.await.unwrap();
        assert_eq!((counts.sent, counts.acknowledged, counts.refused, counts.naks, counts.resends), (2, 1, 1, 4, 3));
    }

    #[tokio::test]
    async fn connects_again_when_the_daemon_was_away() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (commands, inbox) = mpsc::channel(4);
        let (_stop, stopped) = watch::channel(false);
        let running = tokio::spawn(scanner("\r\n", false).run_tcp(address, inbox, stopped));
        let scan = |data: &str| ScanCommand::Scan { aim: AIM_CODE_128.into(), data: data.into() };
        commands.send(scan("A1")).await.unwrap();
        let (mut first, _) = listener.accept().await.unwrap();
        let mut line = [0; 7];
        first.read_exact(&mut line).await.unwrap();
        assert_eq!(&line, b"]C0A1\r\n");
        drop(first);
        sleep(Duration::from_millis(50)).await;
        commands.send(scan("A2")).await.unwrap();
        drop(commands);
        let (mut second, _) = listener.accept().await.unwrap();
        second.read_exact(&mut line).await.unwrap();
        assert_eq!(&line, b"]C0A2\r\n");
        assert_eq!(running.await.unwrap().sent, 2);
    }
}
