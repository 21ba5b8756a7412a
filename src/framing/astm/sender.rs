//! Messages to frames: one record a frame, long records split by ETB, numbers 1 to 7, then 0.

use super::Checksum;
use super::control::{CR, ETB, ETX, LF, STX};

/// The frames of a message, ready to write. `message` is records, each ended by a carriage return;
/// `text_limit` is the longest text of a frame (240 in E1381-95).
pub(super) fn frames(message: &[u8], text_limit: usize, checksum: Checksum) -> Vec<Vec<u8>> {
    let text_limit = text_limit.max(1);
    let mut frames = Vec::new();
    for record in message.split_inclusive(|byte| *byte == CR) {
        let pieces = record.chunks(text_limit);
        let count = pieces.len();
        for (index, piece) in pieces.enumerate() {
            let end = if index + 1 == count { ETX } else { ETB };
            let number = (frames.len() + 1) % 8;
            frames.push(frame(number, piece, end, checksum));
        }
    }
    frames
}

fn frame(number: usize, text: &[u8], end: u8, checksum: Checksum) -> Vec<u8> {
    let mut frame = Vec::with_capacity(text.len() + 7);
    frame.push(STX);
    frame.push(b'0' + u8::try_from(number % 8).unwrap_or(0));
    frame.extend_from_slice(text);
    frame.push(end);
    if checksum.digits() > 0 {
        let sum = checksum.of(&frame[1..]);
        frame.extend_from_slice(format!("{sum:02X}").as_bytes());
    }
    frame.extend_from_slice(&[CR, LF]);
    frame
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records_become_frames_with_the_standard_s_numbers() {
        let message = b"H|\\^&\rP|1\rO|1\rR|1\rR|2\rR|3\rR|4\rR|5\rL|1\r";
        let numbers: Vec<u8> = frames(message, 240, Checksum::Standard).iter().map(|frame| frame[1]).collect();
        assert_eq!(numbers, b"123456701");
    }

    #[test]
    fn the_standard_s_worked_checksum() {
        // "1H|\^&||||||||||P||20210108143403" CR ETX sums to C2 in a field log.
        let frames = frames(b"H|\\^&||||||||||P||20210108143403\r", 240, Checksum::Standard);
        assert_eq!(frames, vec![b"\x021H|\\^&||||||||||P||20210108143403\r\x03C2\r\n".to_vec()]);
    }

    #[test]
    fn long_records_are_split_by_etb() {
        let frames = frames(b"R|0123456789\r", 5, Checksum::Standard);
        let ends: Vec<u8> = frames.iter().map(|frame| frame[frame.len() - 5]).collect();
        assert_eq!(ends, [ETB, ETB, ETX]);
    }
}
