//! What a noisy serial line does to ASTM frames: `cargo bench --bench noise`. Frames of 240 characters go through the real
//! receiver with bits flipped at a rate; refused ones are sent again. With parity the driver of the line turns a character
//! with an odd number of wrong bits into NUL, as Linux does.

use wardd::framing::astm::{Output, Session, Settings, Verdict};
use wardd::framing::gate::{LinkGate, WINDOW};
use wardd::kernel::{Tick, limits::BAD_FRAMES};
use wardd::sim::Random;

/// Frames of each row.
const FRAMES: u32 = 1_000_000;
/// Characters of a frame's text.
const TEXT: usize = 240;

/// Bits until the next wrong one, at this rate (geometric distribution).
fn gap(random: &mut Random, rate: f64) -> u64 {
    // Never 0, whose logarithm is none.
    ((1.0 - random.fraction()).ln() / (1.0 - rate).ln()) as u64
}

/// The line: where the next wrong bit is.
struct Noise {
    random: Random,
    rate: f64,
    left: u64,
    parity: bool,
}

impl Noise {
    fn new(rate: f64, parity: bool) -> Self {
        let mut random = Random::new(1);
        let left = gap(&mut random, rate);
        Self { random, rate, left, parity }
    }

    /// A character after its way over the line: 8 bits, and one of parity that can be wrong too.
    fn character(&mut self, byte: u8) -> u8 {
        let bits = if self.parity { 9 } else { 8 };
        if self.left >= bits {
            self.left -= bits;
            return byte;
        }
        let (mut wrong, mut at) = (0_u16, 0);
        while at + self.left < bits {
            at += self.left;
            wrong |= 1 << at;
            at += 1;
            self.left = gap(&mut self.random, self.rate);
        }
        self.left -= bits - at;
        match self.parity && wrong.count_ones() % 2 == 1 {
            true => 0,
            false => byte ^ (wrong & 0xFF) as u8,
        }
    }
}

/// A frame by its standard: STX, number, text, ETX, checksum, CR LF.
fn frame(number: u8, text: &[u8]) -> Vec<u8> {
    let mut frame = vec![2, b'0' + number];
    frame.extend_from_slice(text);
    frame.push(3);
    let sum = frame[1..].iter().fold(0_u8, |sum, byte| sum.wrapping_add(*byte));
    frame.extend_from_slice(format!("{sum:02X}\r\n").as_bytes());
    frame
}

#[derive(Default)]
struct Row {
    hit: u32,
    refused: u32,
    wrong: u32,
    sent_again: u32,
    closed_after: Option<u32>,
    unpassed: u32,
}

fn run(rate: f64, parity: bool) -> Row {
    let mut noise = Noise::new(rate, parity);
    let mut gate = LinkGate::new(BAD_FRAMES);
    let mut row = Row::default();
    let mut random = Random::new(17);
    for count in 0..FRAMES {
        // Text of a result: digits, so that a damaged character can be another digit.
        let text: Vec<u8> = (0..TEXT).map(|_| b'0' + random.below(10) as u8).collect();
        let mut session = Session::new(Settings::default());
        session.receive(&[5], Tick::from_ms(0));
        while session.poll().is_some() {}
        let sent = frame(1, &text);
        let mut tries = 0;
        loop {
            tries += 1;
            let damaged: Vec<u8> = sent.iter().map(|byte| noise.character(*byte)).collect();
            row.hit += u32::from(damaged != sent);
            session.receive(&damaged, Tick::from_ms(0));
            let mut taken = None;
            let mut is_bad = false;
            while let Some(output) = session.poll() {
                match output {
                    Output::Frame { text, .. } => {
                        taken = Some(text);
                        session.verdict(Verdict::Accept, Tick::from_ms(0));
                    }
                    Output::Noticed(_) => is_bad = true,
                    _ => {}
                }
            }
            gate.note(is_bad);
            row.refused += u32::from(is_bad);
            if gate.is_closed() && row.closed_after.is_none() {
                row.closed_after = Some(count + 1);
            }
            match taken {
                Some(taken) => {
                    row.wrong += u32::from(taken != text);
                    // What matters: a wrong frame that the gate let through.
                    row.unpassed += u32::from(taken != text && !gate.is_closed());
                    break;
                }
                None if tries == 6 => break,
                None => {
                    // Silence: the sender gives up the frame and sends it again.
                    session = Session::new(Settings::default());
                    session.receive(&[5], Tick::from_ms(0));
                    while session.poll().is_some() {}
                    row.sent_again += 1;
                }
            }
        }
    }
    row
}

fn main() {
    println!("{FRAMES} frames of {TEXT} characters; the gate closes at more than {BAD_FRAMES} bad of {WINDOW}");
    println!("bit error rate  parity  frames hit  sent again  accepted wrong  of these not held  gate closed after");
    for rate in [1e-6, 1e-5, 1e-4] {
        for parity in [false, true] {
            let row = run(rate, parity);
            let closed = row.closed_after.map_or("never".to_owned(), |count| count.to_string());
            let parity = if parity { "yes" } else { "no" };
            println!("{rate:>14.0e}  {parity:>6}  {:>10}  {:>10}  {:>14}  {:>17}  {closed:>17}", row.hit, row.sent_again, row.wrong, row.unpassed);
        }
    }
}
