//! Receiving on a LIS1-A line: acknowledge good frames, drop repeated ones, refuse damaged ones, keep whole messages.

use std::io;

use tokio::time::timeout;

use super::astm_frame::{ACK, ENQ, EOT, ETB, ETX, NAK, STX, next_number, read_frame};
use super::astm_line::{Line, Wire};

const MESSAGES_KEPT_MAX: usize = 64;
const MESSAGE_MAX_BYTES: usize = 256 * 1024;
const FRAME_MAX_BYTES: usize = 64_000;

impl<S: Wire> Line<S> {
    /// Answers a host's ENQ (already read) and takes its transmission; a whole one lands in `received`, a broken one is
    /// dropped and counted.
    pub async fn receive(&mut self) -> io::Result<()> {
        self.put(&[ACK]).await?;
        let mut text: Vec<u8> = Vec::new();
        let mut last_number = 0;
        let mut closed = false;
        loop {
            let Ok(byte) = timeout(self.timing.next_frame, self.byte()).await else {
                self.counts.timeouts += 1;
                break;
            };
            let byte = match byte {
                Ok(byte) => byte,
                // The last frame was acknowledged, so its sender will not repeat it for want of an EOT.
                Err(error) => {
                    self.keep(&text, closed);
                    return Err(error);
                }
            };
            match byte {
                EOT => break,
                ENQ if text.is_empty() => self.put(&[ACK]).await?,
                STX => {
                    let Some(body) = self.frame_body().await? else {
                        break;
                    };
                    let refuse = self.random.chance(self.noise.refuse_frame);
                    match read_frame(&body) {
                        Some((number, piece)) if number == next_number(last_number) && !refuse => {
                            last_number = number;
                            closed = piece.last;
                            if text.len() + piece.text.len() <= MESSAGE_MAX_BYTES {
                                text.extend(piece.text);
                            }
                            self.put(&[ACK]).await?;
                        }
                        Some((number, _)) if number == last_number && !text.is_empty() => {
                            self.counts.ignored += 1;
                            self.put(&[ACK]).await?;
                        }
                        found => {
                            self.counts.noise += u64::from(refuse && found.is_some());
                            self.put(&[NAK]).await?;
                        }
                    }
                }
                _ => {}
            }
        }
        self.keep(&text, closed);
        Ok(())
    }

    fn keep(&mut self, text: &[u8], closed: bool) {
        let text = String::from_utf8_lossy(text);
        let records: Vec<String> = text.split(['\r', '\n']).filter(|record| !record.is_empty()).map(str::to_owned).collect();
        let whole = closed && records.last().is_some_and(|record| record.starts_with('L'));
        if whole && self.received.len() < MESSAGES_KEPT_MAX {
            self.counts.received += 1;
            self.received.push_back(records);
        } else if !records.is_empty() {
            self.counts.ignored += 1;
        }
    }

    // Everything up to CR LF after the checksum; none when the sender fell silent.
    async fn frame_body(&mut self) -> io::Result<Option<Vec<u8>>> {
        let mut body = Vec::new();
        let mut left_after_close = None;
        while body.len() < FRAME_MAX_BYTES {
            let Ok(byte) = timeout(self.timing.next_frame, self.byte()).await else {
                return Ok(None);
            };
            let byte = byte?;
            body.push(byte);
            left_after_close = match left_after_close {
                None if byte == ETX || byte == ETB => Some(4_u8),
                Some(left) => Some(left - 1),
                None => None,
            };
            if left_after_close == Some(0) {
                break;
            }
        }
        Ok(Some(body))
    }
}
