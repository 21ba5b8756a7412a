//! Sending on a LIS1-A line: bid, frames, repetitions, contention, interrupts, and the faults made on purpose.

use std::io;
use std::time::Duration;

use tokio::time::{Instant, sleep, timeout, timeout_at};

use super::astm_frame::{ACK, ENQ, EOT, NAK, Packing, Piece, cut, frame, next_number};
use super::astm_line::{Line, Sent, Wire};

const QUIET: Duration = Duration::from_millis(5);
const INTERRUPTS_MAX: u32 = 2;

impl<S: Wire> Line<S> {
    /// Sends one message (H to L, records without CR). An interrupt by the host is granted, its message received, and
    /// the message sent again from the start.
    pub async fn send(&mut self, records: &[String], packing: Packing) -> io::Result<Sent> {
        let pieces = cut(records, packing);
        let mut interrupts = 0;
        loop {
            if !self.bid().await? {
                return Ok(Sent::Unanswered);
            }
            let outcome = self.transmit(&pieces, interrupts < INTERRUPTS_MAX).await?;
            // Also after a failure: EOT gives the line back.
            self.put(&[EOT]).await?;
            if outcome != Sent::Interrupted {
                return Ok(outcome);
            }
            interrupts += 1;
            self.listen(self.timing.interrupt).await?;
        }
    }

    async fn bid(&mut self) -> io::Result<bool> {
        self.drain(QUIET).await?;
        if self.random.chance(self.noise.garbage) {
            self.counts.noise += 1;
            let rubbish: Vec<u8> = (0..self.random.between(1, 12)).map(|_| self.rubbish()).collect();
            self.put(&rubbish).await?;
        }
        for _ in 0..self.timing.tries {
            let doubled = self.random.chance(self.noise.doubled_enq);
            self.put(if doubled { &[ENQ, ENQ] } else { &[ENQ] }).await?;
            match self.answer_to_enq().await? {
                Some(ACK) => {
                    if doubled {
                        self.counts.noise += 1;
                        // The second ENQ may be answered too, and that answer must not pass for the first frame's.
                        self.drain(QUIET * 10).await?;
                    }
                    return Ok(true);
                }
                Some(ENQ) => {
                    // Both bid: the instrument wins, the host falls back, section 8.2.7 of E1381-95.
                    self.counts.contentions += 1;
                    sleep(self.timing.contention).await;
                    self.drain(QUIET).await?;
                }
                Some(_) => {
                    self.counts.naks += 1;
                    sleep(self.timing.after_nak).await;
                    self.drain(QUIET).await?;
                }
                None => {
                    self.counts.timeouts += 1;
                    self.stream.lose_unread();
                    self.put(&[EOT]).await?;
                    return Ok(false);
                }
            }
        }
        self.put(&[EOT]).await?;
        Ok(false)
    }

    // ACK, NAK or ENQ; other bytes are line noise and passed over.
    async fn answer_to_enq(&mut self) -> io::Result<Option<u8>> {
        let until = Instant::now() + self.timing.answer;
        loop {
            match timeout_at(until, self.byte()).await {
                Err(_) => return Ok(None),
                Ok(byte) => {
                    if let byte @ (ACK | NAK | ENQ) = byte? {
                        return Ok(Some(byte));
                    }
                }
            }
        }
    }

    async fn transmit(&mut self, pieces: &[Piece], interruptible: bool) -> io::Result<Sent> {
        let cut_after = (pieces.len() > 1 && self.random.chance(self.noise.cut_transmission)).then(|| self.random.between(1, pieces.len() as u64 - 1));
        let mut number = 0;
        for (index, piece) in pieces.iter().enumerate() {
            number = next_number(number);
            if cut_after == Some(index as u64) {
                self.counts.noise += 1;
                return Ok(Sent::Cut);
            }
            match self.transmit_frame(&frame(number, piece)).await? {
                Sent::Delivered => {}
                // On the last frame the interrupt asks for nothing more than the EOT that follows anyway.
                Sent::Interrupted if !interruptible || index + 1 == pieces.len() => {}
                other => return Ok(other),
            }
        }
        Ok(Sent::Delivered)
    }

    async fn transmit_frame(&mut self, good: &[u8]) -> io::Result<Sent> {
        let mut repeat_anyway = self.random.chance(self.noise.lost_ack);
        for _ in 0..self.timing.tries {
            let damaged = self.random.chance(self.noise.corrupt_frame);
            if damaged {
                self.counts.noise += 1;
                let bad = self.damage(good);
                self.put(&bad).await?;
            } else {
                self.put(good).await?;
            }
            match timeout(self.timing.answer, self.byte()).await {
                Err(_) => {
                    self.counts.timeouts += 1;
                    self.stream.lose_unread();
                    return Ok(Sent::Unanswered);
                }
                Ok(byte) => match byte? {
                    ACK if repeat_anyway && !damaged => {
                        // As if a hit on the line had turned the ACK into something else: the frame goes out again.
                        self.counts.noise += 1;
                        repeat_anyway = false;
                    }
                    ACK => return Ok(Sent::Delivered),
                    EOT => return Ok(Sent::Interrupted),
                    _ => self.counts.naks += 1,
                },
            }
        }
        Ok(Sent::Refused)
    }

    fn damage(&mut self, good: &[u8]) -> Vec<u8> {
        let mut bad = good.to_vec();
        // Only the text or the checksum digits: hits on STX, ETX and line ends are what the cut transmission is for.
        let checksum_at = good.len().saturating_sub(4);
        let at = if self.random.chance(500) { checksum_at } else { 1 + good.len() / 3 };
        if let Some(byte) = bad.get_mut(at) {
            *byte = if *byte == b'0' { b'1' } else { b'0' };
        }
        bad
    }

    // Never a byte that means something on this line.
    fn rubbish(&mut self) -> u8 {
        match self.random.below(4) {
            0 => 0x00,
            1 => 0xff,
            2 => b'\n',
            _ => 0x20 + u8::try_from(self.random.below(0x5f)).unwrap_or(0),
        }
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex};

    use super::super::astm_line::{LineNoise, Timing};
    use super::super::counts::Counts;
    use super::super::random::Random;
    use super::*;

    impl Wire for DuplexStream {}

    fn line(stream: DuplexStream, noise: LineNoise, seed: u64) -> Line<DuplexStream> {
        // A busy machine must not look like a silent line.
        let timing = Timing { after_nak: Duration::from_millis(50), ..Timing::scaled(0.1) };
        Line::new(stream, timing, noise, Random::new(seed))
    }

    fn message(results: usize) -> Vec<String> {
        let mut records = vec!["H|\\^&|||x".to_owned(), "P|1".to_owned()];
        records.extend((1..=results).map(|n| format!("R|{n}|^^^^WBC^1|{}", "7".repeat(n * 40))));
        records.push("L|1|N".to_owned());
        records
    }

    /// Sends until delivered and answers (line, whole messages that the receiver got).
    async fn deliver(noise: LineNoise, seed: u64, packing: Packing) -> (Counts, Counts, Vec<Vec<String>>) {
        let (near, far) = duplex(100_000);
        let host = tokio::spawn(async move {
            let mut host = line(far, LineNoise::default(), 1);
            while host.listen(Duration::from_secs(5)).await.is_ok() {}
            host
        });
        let mut sender = line(near, noise, seed);
        let mut outcome = Sent::Cut;
        for _ in 0..20 {
            outcome = sender.send(&message(9), packing).await.unwrap();
            if outcome == Sent::Delivered {
                break;
            }
        }
        assert_eq!(outcome, Sent::Delivered, "seed {seed}");
        let counts = sender.counts;
        drop(sender);
        let host = host.await.unwrap();
        (counts, host.counts, host.received.into_iter().collect())
    }

    #[tokio::test]
    async fn every_noise_alone_and_together() {
        let quiet = LineNoise::default();
        let kinds = [
            quiet,
            LineNoise { corrupt_frame: 300, ..quiet },
            LineNoise { lost_ack: 1_000, ..quiet },
            LineNoise { split_write: 1_000, ..quiet },
            LineNoise { garbage: 1_000, ..quiet },
            LineNoise { doubled_enq: 1_000, ..quiet },
            LineNoise { cut_transmission: 500, ..quiet },
            LineNoise { corrupt_frame: 100, lost_ack: 200, split_write: 300, garbage: 500, doubled_enq: 300, cut_transmission: 200, refuse_frame: 0 },
        ];
        let mut running = tokio::task::JoinSet::new();
        for (index, noise) in kinds.into_iter().enumerate() {
            for seed in 0..8 {
                for packing in [Packing::RecordPerFrame, Packing::Packed] {
                    running.spawn(async move {
                        let (_, _, got) = deliver(noise, seed, packing).await;
                        assert_eq!(got, [message(9)], "noise {index} seed {seed}");
                    });
                }
            }
        }
        while let Some(ended) = running.join_next().await {
            ended.unwrap();
        }
        let (sent, host, _) = deliver(LineNoise { lost_ack: 1_000, ..quiet }, 5, Packing::RecordPerFrame).await;
        assert!(host.ignored > 0 && sent.noise == host.ignored, "each repeated frame is acknowledged and dropped");
    }

    #[tokio::test]
    async fn contention_interrupt_refusal_and_silence() {
        // The host bids at the same time, then yields and receives.
        let (near, mut far) = duplex(1_000);
        let sending = tokio::spawn(async move {
            let mut sender = line(near, LineNoise::default(), 1);
            let outcome = sender.send(&message(0), Packing::Packed).await.unwrap();
            (outcome, sender.counts)
        });
        far.write_all(b"?").await.unwrap();
        assert_eq!(far.read_u8().await.unwrap(), ENQ);
        far.write_all(&[ENQ]).await.unwrap();
        assert_eq!(far.read_u8().await.unwrap(), ENQ);
        far.write_all(&[NAK]).await.unwrap();
        assert_eq!(far.read_u8().await.unwrap(), ENQ);
        far.write_all(&[ACK]).await.unwrap();
        for answer in [NAK, NAK, NAK, NAK, NAK, NAK] {
            while far.read_u8().await.unwrap() != b'\n' {}
            far.write_all(&[answer]).await.unwrap();
        }
        assert_eq!(far.read_u8().await.unwrap(), EOT);
        let (outcome, counts) = sending.await.unwrap();
        assert_eq!((outcome, counts.contentions, counts.naks), (Sent::Refused, 1, 7));

        // Silence after the bid ends in EOT.
        let (near, mut far) = duplex(1_000);
        let mut sender = line(near, LineNoise::default(), 1);
        assert_eq!(sender.send(&message(0), Packing::Packed).await.unwrap(), Sent::Unanswered);
        assert_eq!((far.read_u8().await.unwrap(), far.read_u8().await.unwrap()), (ENQ, EOT));
    }

    #[tokio::test]
    async fn the_host_interrupts_and_gets_the_line() {
        let (near, far) = duplex(10_000);
        let host = tokio::spawn(async move {
            let mut host = line(far, LineNoise::default(), 2);
            assert_eq!(host.byte().await.unwrap(), ENQ);
            host.put(&[ACK]).await.unwrap();
            while host.byte().await.unwrap() != b'\n' {}
            host.put(&[EOT]).await.unwrap();
            assert_eq!(host.byte().await.unwrap(), EOT);
            let order = vec!["H|\\^&".to_owned(), "L|1|F".to_owned()];
            assert_eq!(host.send(&order, Packing::RecordPerFrame).await.unwrap(), Sent::Delivered);
            host.listen(Duration::from_secs(60)).await.unwrap();
            host.received
        });
        let mut sender = line(near, LineNoise { refuse_frame: 300, ..LineNoise::default() }, 9);
        assert_eq!(sender.send(&message(3), Packing::RecordPerFrame).await.unwrap(), Sent::Delivered);
        assert_eq!(sender.received.pop_front().unwrap(), ["H|\\^&", "L|1|F"]);
        assert_eq!(host.await.unwrap(), [message(3)]);
    }
}
