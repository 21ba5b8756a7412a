//! The batch protocol (HL7 v2.8.2 chapter 2.10.3): FHS, BHS, messages, BTS, FTS in one block.

use std::ops::Range;

use super::ParseError;

/// The messages of a block.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Batch {
    /// Where each message stands in the bytes, MSH to the next MSH or trailer.
    pub messages: Vec<Range<usize>>,
    /// Whether FHS or BHS stood before them.
    pub is_batch: bool,
    /// BTS-1, the number of messages that the sender counted.
    pub counted: Option<usize>,
}

/// Finds the messages of a block, which is one message or a batch. What stands before the first MSH and is no batch header
/// is an error, so that nothing is passed over.
pub fn split_batch(block: &[u8]) -> Result<Batch, ParseError> {
    let mut batch = Batch { messages: Vec::new(), is_batch: false, counted: None };
    let mut open: Option<usize> = None;
    let mut start = 0;
    for end in memchr::memchr2_iter(b'\r', b'\n', block).chain([block.len()]) {
        let segment = &block[start..end];
        let name = segment.strip_prefix(b"\xef\xbb\xbf").unwrap_or(segment);
        let closes = matches!(name.get(..3), Some(b"MSH" | b"FHS" | b"BHS" | b"BTS" | b"FTS"));
        if closes && let Some(begin) = open.take() {
            batch.messages.push(begin..start);
        }
        match name.get(..3) {
            Some(b"MSH") => open = Some(start),
            Some(b"FHS" | b"BHS") => batch.is_batch = true,
            Some(b"BTS") => batch.counted = count(name),
            Some(b"FTS") => {}
            _ if open.is_none() && segment.iter().any(|byte| !byte.is_ascii_whitespace()) => {
                let start: String = segment.iter().take(4).map(|byte| if byte.is_ascii_graphic() { char::from(*byte) } else { '.' }).collect();
                return Err(ParseError::NoHeader(start));
            }
            _ => {}
        }
        start = end + 1;
    }
    batch.messages.extend(open.map(|begin| begin..block.len()));
    if batch.messages.is_empty() { Err(ParseError::Empty) } else { Ok(batch) }
}

fn count(trailer: &[u8]) -> Option<usize> {
    let separator = *trailer.get(3)?;
    let digits = trailer[4..].split(|byte| *byte == separator).next()?;
    std::str::from_utf8(digits).ok()?.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn batches_are_taken_apart() {
        let block = b"FHS|^~\\&|A\rBHS|^~\\&|A\rMSH|^~\\&|1\rPID|1\rMSH|^~\\&|2\rBTS|2\rFTS|1\r";
        let batch = split_batch(block).unwrap();
        let texts: Vec<&[u8]> = batch.messages.iter().map(|range| &block[range.clone()]).collect();
        assert_eq!(texts, [&b"MSH|^~\\&|1\rPID|1\r"[..], b"MSH|^~\\&|2\r"]);
        assert_eq!((batch.is_batch, batch.counted), (true, Some(2)));
        let single = split_batch(b"\xef\xbb\xbfMSH|^~\\&|1\nPID|1").unwrap();
        assert_eq!((single.messages.len(), single.is_batch), (1, false));
        assert!(split_batch(b"PID|1\rMSH|^~\\&|1\r").is_err());
        assert_eq!(split_batch(b"BHS|^~\\&\rBTS|0\r"), Err(ParseError::Empty));
    }
}
