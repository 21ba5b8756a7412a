//! One end of a LIS1-A line: its waits, its faults on purpose, its bytes; `astm_sender` and `astm_receiver` do the rest.

use std::collections::VecDeque;
use std::io;
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::{Instant, sleep, timeout, timeout_at};

use super::astm_frame::ENQ;
use super::counts::Counts;
use super::pty::Pty;
use super::random::Random;

const STRAY_BYTES_MAX: usize = 4_096;

/// The waits of the line; the defaults are those of LIS1-A and the Roche e411 manual.
#[derive(Debug, Clone, Copy)]
pub struct Timing {
    /// For the answer to ENQ or a frame: 15 s.
    pub answer: Duration,
    /// After a NAK to ENQ: 10 s.
    pub after_nak: Duration,
    /// Instrument's wait after contention: 1 s.
    pub contention: Duration,
    /// For the next frame while receiving: 30 s.
    pub next_frame: Duration,
    /// Left to the host after it interrupted: 15 s.
    pub interrupt: Duration,
    /// Tries of a bid or a frame.
    pub tries: u32,
}

impl Timing {
    /// The standard's waits multiplied by `scale`; those for the other end's bytes stay long enough for a busy machine.
    pub fn scaled(scale: f64) -> Timing {
        Timing {
            answer: scaled(15.0, scale).max(Duration::from_millis(300)),
            after_nak: scaled(10.0, scale),
            contention: scaled(1.0, scale),
            next_frame: scaled(30.0, scale).max(Duration::from_secs(1)),
            interrupt: scaled(15.0, scale),
            tries: 6,
        }
    }
}

/// `seconds * scale` as a duration, between 1 ms and an hour, also for odd scales.
pub fn scaled(seconds: f64, scale: f64) -> Duration {
    let wanted = seconds * scale;
    if wanted.is_finite() { Duration::from_secs_f64(wanted.clamp(0.001, 3_600.0)) } else { Duration::from_secs(1) }
}

/// How often (per mille of the chances) each fault is made.
#[derive(Debug, Clone, Copy, Default)]
pub struct LineNoise {
    /// A frame with a wrong checksum or a hit byte, repeated right on NAK.
    pub corrupt_frame: u32,
    /// A frame repeated although it was acknowledged, as if the ACK had been hit.
    pub lost_ack: u32,
    /// A write in pieces of one to a few bytes.
    pub split_write: u32,
    /// Rubbish before the bid.
    pub garbage: u32,
    /// ENQ twice.
    pub doubled_enq: u32,
    /// A transmission ended by EOT before its L record, then sent in full.
    pub cut_transmission: u32,
    /// A good frame of the host answered with NAK.
    pub refuse_frame: u32,
}

impl LineNoise {
    /// What an elderly analyzer on a long cable does.
    pub fn usual() -> LineNoise {
        LineNoise { corrupt_frame: 25, lost_ack: 25, split_write: 120, garbage: 80, doubled_enq: 50, cut_transmission: 40, refuse_frame: 20 }
    }
}

/// How a transmission ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sent {
    /// Every frame was acknowledged.
    Delivered,
    /// Nobody answered, or the line was never granted.
    Unanswered,
    /// A frame was refused six times.
    Refused,
    /// The host interrupted again and again.
    Interrupted,
    /// Ended early on purpose; the caller sends it again.
    Cut,
}

/// A byte stream that a line can run over.
pub trait Wire: AsyncRead + AsyncWrite + Unpin {
    /// Forgets what the other end has not read, as a serial port does while no program has it open; else the answers to
    /// old bids would later pass for answers to new frames. A connection needs none of this.
    fn lose_unread(&mut self) {}
}

impl Wire for TcpStream {}

impl Wire for Pty {
    fn lose_unread(&mut self) {
        self.discard_unread();
    }
}

/// One end of the line over any byte stream.
pub struct Line<S> {
    pub(super) stream: S,
    unread: VecDeque<u8>,
    pub(super) random: Random,
    pub(super) noise: LineNoise,
    pub(super) timing: Timing,
    /// What happened on this line.
    pub counts: Counts,
    /// Whole messages of the other end (records without CR) that nobody has looked at, oldest first.
    pub received: VecDeque<Vec<String>>,
}

impl<S: Wire> Line<S> {
    /// A line in its neutral state.
    pub fn new(stream: S, timing: Timing, noise: LineNoise, random: Random) -> Line<S> {
        Line { stream, unread: VecDeque::new(), random, noise, timing, counts: Counts::default(), received: VecDeque::new() }
    }

    /// The stream below, e.g. to unplug it.
    pub fn stream_mut(&mut self) -> &mut S {
        &mut self.stream
    }

    /// Neutral for `wait`: takes whatever the host bids for into `received`. Ends early after a message. Safe to drop
    /// only between messages.
    pub async fn listen(&mut self, wait: Duration) -> io::Result<()> {
        let until = Instant::now() + wait;
        loop {
            match timeout_at(until, self.byte()).await {
                Err(_) => return Ok(()),
                Ok(byte) => {
                    if byte? == ENQ {
                        return self.receive().await;
                    }
                }
            }
        }
    }

    /// One byte in the neutral state; cancel safe. Give ENQ to [`Line::receive`].
    pub async fn byte(&mut self) -> io::Result<u8> {
        if let Some(byte) = self.unread.pop_front() {
            return Ok(byte);
        }
        let mut chunk = [0; 512];
        let count = self.stream.read(&mut chunk).await?;
        self.unread.extend(chunk.iter().take(count));
        self.unread.pop_front().ok_or_else(|| io::ErrorKind::UnexpectedEof.into())
    }

    pub(super) async fn put(&mut self, bytes: &[u8]) -> io::Result<()> {
        if bytes.len() > 1 && self.random.chance(self.noise.split_write) {
            self.counts.noise += 1;
            let step = usize::try_from(self.random.between(1, 9)).unwrap_or(1);
            for part in bytes.chunks(step) {
                self.write(part).await?;
                // Lets the reader see the piece alone.
                sleep(Duration::from_micros(200)).await;
            }
            return Ok(());
        }
        self.write(bytes).await
    }

    async fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        match timeout(self.timing.answer.max(Duration::from_secs(1)), self.stream.write_all(bytes)).await {
            Ok(Ok(())) => self.stream.flush().await,
            Ok(Err(error)) => Err(error),
            Err(_) => Err(io::ErrorKind::TimedOut.into()),
        }
    }

    // Bytes left over from before the bid; an ENQ among them is the host's and lost, which its own timer repairs.
    pub(super) async fn drain(&mut self, quiet: Duration) -> io::Result<()> {
        for _ in 0..STRAY_BYTES_MAX {
            match timeout(quiet, self.byte()).await {
                Err(_) => return Ok(()),
                Ok(byte) => {
                    byte?;
                }
            }
        }
        Ok(())
    }
}
