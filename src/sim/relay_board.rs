//! A cabinet's relay board on a serial line: `OPEN <drawer> <command_id>` in; `OK`, `CLOSED`, `JAM`, `ERR` out.

use std::io;
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::sync::watch;
use tokio::time::{Instant, timeout, timeout_at};

use super::astm_line::scaled;
use super::counts::Counts;
use super::device::until_stopped;
use super::drawers::Drawers;
use super::pty::Pty;
use super::random::Random;

const LINE_MAX_BYTES: usize = 256;
const TURN: Duration = Duration::from_millis(250);

/// A running board.
pub struct RelayBoard {
    drawers: Drawers,
    counts: Counts,
}

impl RelayBoard {
    /// A board whose drawers are pushed back after about 2 s times `time_scale`.
    pub fn new(time_scale: f64, random: Random) -> RelayBoard {
        RelayBoard { drawers: Drawers::new(scaled(2.0, time_scale), random), counts: Counts::default() }
    }

    /// Serves the pty until `stop` turns true.
    pub async fn run(mut self, mut pty: Pty, stop: watch::Receiver<bool>) -> Counts {
        let work = async {
            loop {
                if let Err(error) = self.serve(&mut pty).await {
                    tracing::debug!(%error, "simulated relay board lost its line");
                }
                self.counts.reconnects += 1;
                tokio::time::sleep(TURN).await;
                // A failure leaves the board unplugged until the next turn.
                let _ = pty.replug();
            }
        };
        until_stopped(work, stop).await;
        self.counts
    }

    async fn serve<S: AsyncRead + AsyncWrite + Unpin>(&mut self, port: &mut S) -> io::Result<()> {
        let mut line = Vec::new();
        loop {
            while let Some(movement) = self.drawers.take_due(Instant::now()) {
                let word = if movement.jammed { "JAM" } else { "CLOSED" };
                self.counts.noise += u64::from(movement.jammed);
                self.say(port, &format!("{word} {} {}", movement.drawer, movement.command_id)).await?;
            }
            let turn = Instant::now() + TURN;
            let until = self.drawers.due().map_or(turn, |due| due.min(turn));
            let mut chunk = [0; 128];
            let Ok(count) = timeout_at(until, port.read(&mut chunk)).await else {
                continue;
            };
            let count = count?;
            if count == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            for byte in chunk.iter().take(count).copied() {
                match byte {
                    b'\n' => {
                        let text = String::from_utf8_lossy(&std::mem::take(&mut line)).into_owned();
                        let answer = self.answer(text.trim_end_matches('\r'));
                        self.say(port, &answer).await?;
                    }
                    _ if line.len() < LINE_MAX_BYTES => line.push(byte),
                    _ => {}
                }
            }
        }
    }

    fn answer(&mut self, line: &str) -> String {
        self.counts.received += 1;
        let words: Vec<&str> = line.split(' ').collect();
        let ["OPEN", drawer, command_id] = words.as_slice() else {
            self.counts.ignored += 1;
            return "ERR expected OPEN <drawer> <command_id>".to_owned();
        };
        let number = drawer.parse::<u16>();
        if number.is_err() || command_id.is_empty() || !command_id.is_ascii() {
            self.counts.ignored += 1;
            return format!("ERR bad drawer or command id in {drawer}");
        }
        if !self.drawers.open(drawer, command_id) {
            self.counts.ignored += 1;
            if !self.drawers.knows(command_id) {
                return "ERR busy".to_owned();
            }
        }
        format!("OK {drawer} {command_id}")
    }

    async fn say<S: AsyncWrite + Unpin>(&mut self, port: &mut S, text: &str) -> io::Result<()> {
        let bytes = format!("{text}\r\n");
        self.counts.sent += 1;
        match timeout(Duration::from_secs(2), port.write_all(bytes.as_bytes())).await {
            Ok(written) => written,
            // Nobody reads: a board does not wait for its host.
            Err(_) => {
                self.counts.abandoned += 1;
                Ok(())
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncBufReadExt, BufReader, duplex};

    use super::*;

    #[tokio::test]
    async fn opens_once_closes_and_complains() {
        let (mut near, far) = duplex(4_096);
        let serving = tokio::spawn(async move {
            let mut board = RelayBoard::new(0.1, Random::new(2));
            let _ = board.serve(&mut near).await;
            (board.drawers.openings, board.counts)
        });
        let (input, mut output) = tokio::io::split(far);
        let mut lines = BufReader::new(input).lines();
        output.write_all(b"OPEN 3 c1\r\nOPEN 3 c1\r\nSHUT 3\r\nOPEN x c2\r\n").await.unwrap();
        let mut got = Vec::new();
        for _ in 0..5 {
            got.push(lines.next_line().await.unwrap().unwrap());
        }
        assert_eq!(got[..2], ["OK 3 c1", "OK 3 c1"]);
        assert!(got[2].starts_with("ERR ") && got[3].starts_with("ERR "));
        assert_eq!(got[4], "CLOSED 3 c1");
        drop((lines, output));
        let (openings, counts) = serving.await.unwrap();
        assert_eq!((openings, counts.received, counts.ignored), (1, 4, 3));
    }
}
