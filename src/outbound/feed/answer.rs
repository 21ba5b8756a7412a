//! What the other end said to a message (HL7 v2.8.2 chapter 2.9).

use crate::codec::hl7::Message;
use crate::codec::hl7::ack::Code;

/// An answer to a message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Answer {
    /// It was taken.
    Taken,
    /// It is wrong for them and stays so: a person must look.
    Wrong(String),
    /// They cannot take it now: it is sent again, and then a person must look.
    NotNow(String),
}

/// Reasons that stay (table 0357): this type, event, processing id or version of messages is not supported.
const NEVER: [&str; 4] = ["200", "201", "202", "203"];

/// The number that an answer is to (MSA-2), and what it says; none when it is no answer.
pub(super) fn read(bytes: &[u8]) -> Option<(String, Answer)> {
    let message = Message::parse(bytes).ok()?;
    let text = |segment: &[u8; 3], field, component| message.field(segment, field, component).map(|text| text.trim().to_owned()).unwrap_or_default();
    let code = Code::from_letters(&text(b"MSA", 1, 1))?;
    // Where the reason stands depends on the version: ERR-8 and ERR-3 since 2.5, MSA-3 before.
    let reasons = [text(b"ERR", 8, 0), text(b"ERR", 3, 0), text(b"MSA", 3, 0)];
    let why = || reasons.iter().find(|reason| !reason.is_empty()).map_or_else(|| code.letters().to_owned(), |reason| format!("{} {reason}", code.letters()));
    let answer = match code {
        Code::ApplicationAccept | Code::CommitAccept => Answer::Taken,
        Code::ApplicationError | Code::CommitError => Answer::Wrong(why()),
        Code::ApplicationReject | Code::CommitReject if NEVER.contains(&text(b"ERR", 3, 1).as_str()) => Answer::Wrong(why()),
        Code::ApplicationReject | Code::CommitReject => Answer::NotNow(why()),
    };
    Some((text(b"MSA", 2, 0), answer))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_code_is_understood_with_its_reason() {
        let answer = |tail: &str| read(format!("MSH|^~\\&|LIS|H|WARDD|H|20261123||ACK|9|P|2.5\r{tail}").as_bytes());
        assert_eq!(answer("MSA|AA|W7\r"), Some(("W7".to_owned(), Answer::Taken)));
        assert_eq!(answer("MSA|CA|W7\r"), Some(("W7".to_owned(), Answer::Taken)));
        assert_eq!(answer("MSA|AE|W7|no such bed\r"), Some(("W7".to_owned(), Answer::Wrong("AE no such bed".to_owned()))));
        assert_eq!(answer("MSA|AE|W7\rERR||PV1^1^3|204|E||||bed is not known\r"), Some(("W7".to_owned(), Answer::Wrong("AE bed is not known".to_owned()))));
        assert_eq!(answer("MSA|AR|W7\r"), Some(("W7".to_owned(), Answer::NotNow("AR".to_owned()))));
        assert_eq!(answer("MSA|AR|W7\rERR|||201^Unsupported event code\r"), Some(("W7".to_owned(), Answer::Wrong("AR 201^Unsupported event code".to_owned()))));
        assert_eq!(answer("MSA|XX|W7\r"), None);
        assert_eq!(answer("PID|1\r"), None);
        assert_eq!(read(b"rubbish"), None);
    }
}
