//! MLLP for the simulator: a block is 0x0B text 0x1C 0x0D, one message waits for its acknowledgement at a time.

use std::io;
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::time::{Instant, timeout, timeout_at};

use super::counts::Counts;
use super::random::Random;

const BLOCK_MAX_BYTES: usize = 1024 * 1024;
const START: u8 = 0x0b;
const END: [u8; 2] = [0x1c, 0x0d];

/// What an acknowledgement said.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Answer {
    /// AA or CA for this message.
    Accepted,
    /// AE, AR, CE or CR for this message.
    Refused,
    /// Nothing for this message in time.
    Silence,
}

/// A connection that sends messages and reads acknowledgements.
pub struct MllpLine<S> {
    stream: S,
    unread: Vec<u8>,
}

impl<S: AsyncRead + AsyncWrite + Unpin> MllpLine<S> {
    /// A line over an open stream.
    pub fn new(stream: S) -> MllpLine<S> {
        MllpLine { stream, unread: Vec::new() }
    }

    /// The stream below.
    pub fn stream_mut(&mut self) -> &mut S {
        &mut self.stream
    }

    /// Sends `message` (segments ended by CR) and waits for the answer that names `control_id` in MSA-2; others are
    /// counted as late. With `split` the block goes out in small pieces.
    pub async fn exchange(&mut self, message: &str, control_id: &str, wait: Duration, split: Option<&mut Random>, counts: &mut Counts) -> io::Result<Answer> {
        let block = [&[START], message.as_bytes(), &END].concat();
        let step = match split {
            Some(random) => usize::try_from(random.between(1, 40)).unwrap_or(1),
            None => block.len(),
        };
        for part in block.chunks(step.max(1)) {
            match timeout(wait.max(Duration::from_secs(1)), self.stream.write_all(part)).await {
                Ok(written) => written?,
                Err(_) => return Err(io::ErrorKind::TimedOut.into()),
            }
            if step < block.len() {
                tokio::task::yield_now().await;
            }
        }
        let until = Instant::now() + wait;
        loop {
            let Ok(block) = timeout_at(until, self.block()).await else {
                counts.timeouts += 1;
                return Ok(Answer::Silence);
            };
            match read_acknowledgement(&block?) {
                Some((code, id)) if id == control_id => {
                    counts.received += 1;
                    return Ok(if code == "AA" || code == "CA" { Answer::Accepted } else { Answer::Refused });
                }
                _ => counts.ignored += 1,
            }
        }
    }

    /// The next block without its marks; bytes outside of blocks are skipped. Cancel safe.
    pub async fn block(&mut self) -> io::Result<Vec<u8>> {
        loop {
            if let Some(block) = self.take_block() {
                return Ok(block);
            }
            if self.unread.len() > BLOCK_MAX_BYTES {
                return Err(io::Error::new(io::ErrorKind::InvalidData, "mllp block too large"));
            }
            if self.stream.read_buf(&mut self.unread).await? == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
        }
    }

    fn take_block(&mut self) -> Option<Vec<u8>> {
        let start = self.unread.iter().position(|byte| *byte == START)?;
        let rest = self.unread.get(start + 1..)?;
        let length = rest.windows(2).position(|pair| pair == END)?;
        let block = rest.get(..length)?.to_vec();
        self.unread.drain(..start + 1 + length + END.len());
        Some(block)
    }
}

/// MSA-1 and MSA-2 of an acknowledgement, with the field separator that its MSH names.
pub fn read_acknowledgement(block: &[u8]) -> Option<(String, String)> {
    let text = String::from_utf8_lossy(block);
    let separator = text.strip_prefix("MSH")?.chars().next()?;
    let msa = text.split(['\r', '\n']).find(|segment| segment.starts_with("MSA"))?;
    let mut fields = msa.split(separator).skip(1);
    let code = fields.next()?.trim().to_owned();
    let id = fields.next()?.trim().to_owned();
    Some((code, id))
}

#[cfg(test)]
mod tests {
    use tokio::io::duplex;

    use super::*;

    #[test]
    fn acknowledgements() {
        let read = |text: &str| read_acknowledgement(text.as_bytes());
        assert_eq!(read("MSH|^~\\&|a\rMSA|AA|77|ok\r"), Some(("AA".into(), "77".into())));
        assert_eq!(read("MSH!^~\\&!a\rMSA!AE!7\r"), Some(("AE".into(), "7".into())));
        for bad in ["", "MSH", "MSH|^~\\&\r", "MSA|AA|1\r", "MSH|^~\\&\rMSA|AA\r"] {
            assert_eq!(read(bad), None, "{bad:?}");
        }
    }

    #[tokio::test]
    async fn late_and_foreign_answers_are_passed_over() {
        let (near, mut far) = duplex(4_096);
        let mut line = MllpLine::new(near);
        let mut counts = Counts::default();
        far.write_all(b"noise\x0bMSH|^~\\&|x\rMSA|AA|1\r\x1c\x0d").await.unwrap();
        far.write_all(b"\x0bMSH|^~\\&|x\rMSA|AR|2\r\x1c\x0d").await.unwrap();
        let wait = Duration::from_secs(1);
        let mut random = Random::new(1);
        let answer = line.exchange("MSH|2\r", "2", wait, Some(&mut random), &mut counts).await.unwrap();
        assert_eq!((answer, counts.ignored), (Answer::Refused, 1));
        let mut sent = vec![0; 9];
        far.read_exact(&mut sent).await.unwrap();
        assert_eq!(sent, b"\x0bMSH|2\r\x1c\x0d");
        let answer = line.exchange("MSH|3\r", "3", wait, None, &mut counts).await.unwrap();
        assert_eq!((answer, counts.timeouts), (Answer::Silence, 1));
        drop(far);
        assert!(line.exchange("MSH|4\r", "4", wait, None, &mut counts).await.is_err());
    }
}
