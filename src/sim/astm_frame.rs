//! LIS1-A (ASTM E1381) frames, written for the simulator from the standard alone: cut a message, sum it, check it.

/// Start of text.
pub const STX: u8 = 0x02;
/// End of the last frame of a message.
pub const ETX: u8 = 0x03;
/// End of a transmission.
pub const EOT: u8 = 0x04;
/// Bid for the line.
pub const ENQ: u8 = 0x05;
/// Taken.
pub const ACK: u8 = 0x06;
/// Refused.
pub const NAK: u8 = 0x15;
/// End of a frame that is not the last of its message.
pub const ETB: u8 = 0x17;
/// Characters of text in one frame at most, E1381-95 section 6.3.1.2.
pub const TEXT_MAX_BYTES: usize = 240;

/// How records are laid into frames.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Packing {
    /// Each record begins a frame, as Sysmex does.
    RecordPerFrame,
    /// All records are one text that is cut every 240 characters, as Roche does.
    Packed,
}

/// The text of a frame and whether it closes (ETX) or continues (ETB).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Piece {
    /// At most 240 bytes, records ended by CR.
    pub text: Vec<u8>,
    /// True for ETX.
    pub last: bool,
}

/// Cuts `records` (without their CR) into the texts of frames.
pub fn cut(records: &[String], packing: Packing) -> Vec<Piece> {
    let with_end = |record: &String| [record.as_bytes(), b"\r"].concat();
    let texts: Vec<Vec<u8>> = match packing {
        Packing::RecordPerFrame => records.iter().map(with_end).collect(),
        Packing::Packed => vec![records.iter().flat_map(with_end).collect()],
    };
    let mut pieces = Vec::new();
    for text in texts {
        let count = text.chunks(TEXT_MAX_BYTES).count();
        for (index, chunk) in text.chunks(TEXT_MAX_BYTES).enumerate() {
            pieces.push(Piece { text: chunk.to_vec(), last: index + 1 == count });
        }
    }
    pieces
}

/// The number after `number`: 1 to 7, then 0, then 1.
pub fn next_number(number: u8) -> u8 {
    (number + 1) % 8
}

/// Sum modulo 256 of everything between STX (not counted) and ETX or ETB (counted), as two upper case hex digits.
pub fn checksum(counted: &[u8]) -> [u8; 2] {
    let sum = counted.iter().fold(0_u8, |sum, byte| sum.wrapping_add(*byte));
    let digit = |half: u8| {
        if half < 10 { b'0' + half } else { b'A' + half - 10 }
    };
    [digit(sum >> 4), digit(sum & 0x0f)]
}

/// `STX number text ETX|ETB cc CR LF`.
pub fn frame(number: u8, piece: &Piece) -> Vec<u8> {
    let mut counted = vec![b'0' + number % 8];
    counted.extend(&piece.text);
    counted.push(if piece.last { ETX } else { ETB });
    let mut bytes = vec![STX];
    bytes.extend(&counted);
    bytes.extend(checksum(&counted));
    bytes.extend(b"\r\n");
    bytes
}

/// Reads what came after STX up to and including CR LF; none when the frame is not intact.
pub fn read_frame(after_stx: &[u8]) -> Option<(u8, Piece)> {
    let end = after_stx.len().checked_sub(5)?;
    let (counted, tail) = after_stx.split_at_checked(end + 1)?;
    let (sum, line_end) = tail.split_at_checked(2)?;
    let (close, numbered) = counted.split_last()?;
    let (number, text) = numbered.split_first()?;
    let intact = checksum(counted).as_slice() == sum && line_end == b"\r\n" && (*close == ETX || *close == ETB) && (b'0'..=b'7').contains(number);
    intact.then(|| (number - b'0', Piece { text: text.to_vec(), last: *close == ETX }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sums_worked_out_by_hand() {
        // "1" 0x31 + "A" 0x41 + CR 0x0d + ETX 0x03 = 0x82.
        assert_eq!(checksum(b"1A\r\x03"), *b"82");
        // "1" 0x31 + ETB 0x17 = 0x48: the ETB counts.
        assert_eq!(checksum(b"1\x17"), *b"48");
        // 0xff + 0x02 = 0x101 keeps its low byte only; hex digits are upper case.
        assert_eq!(checksum(&[0xff, 0x02]), *b"01");
        assert_eq!(checksum(&[0xaa]), *b"AA");
        // "4L|1|N", CR, ETX: 0x34+0x4c+0x7c+0x31+0x7c+0x4e+0x0d+0x03 = 0x207.
        assert_eq!(checksum(b"4L|1|N\r\x03"), *b"07");
        assert_eq!(checksum(b"5L|1|N\r\x03"), *b"08");
    }

    #[test]
    fn whole_frames() {
        let piece = Piece { text: b"L|1|N\r".to_vec(), last: true };
        assert_eq!(frame(5, &piece), b"\x025L|1|N\r\x0308\r\n");
        assert_eq!(read_frame(b"5L|1|N\r\x0308\r\n"), Some((5, piece)));
        for bad in [&b"5L|1|N\r\x0309\r\n"[..], b"5L|1|N\r\x0308\n\r", b"", b"\x0308\r\n", b"8\x033B\r\n"] {
            assert_eq!(read_frame(bad), None);
        }
    }

    #[test]
    fn numbers_wrap_past_seven_to_nought() {
        let mut number = 0;
        let seen: Vec<u8> = (0..10)
            .map(|_| {
                number = next_number(number);
                number
            })
            .collect();
        assert_eq!(seen, [1, 2, 3, 4, 5, 6, 7, 0, 1, 2]);
    }

    #[test]
    fn cutting_at_240() {
        let records = vec!["a".repeat(239), "b".repeat(240), "c".into()];
        let lengths = |packing| -> Vec<(usize, bool)> { cut(&records, packing).iter().map(|p| (p.text.len(), p.last)).collect() };
        assert_eq!(lengths(Packing::RecordPerFrame), [(240, true), (240, false), (1, true), (2, true)]);
        assert_eq!(lengths(Packing::Packed), [(240, false), (240, false), (3, true)]);
    }
}
