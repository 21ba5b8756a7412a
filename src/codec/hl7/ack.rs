//! Acknowledgements (HL7 v2.8.2 chapter 2.9): which code, and an ACK message that names the message it answers.

use std::borrow::Cow;

use super::{Delimiters, Message};

/// MSA-1 (table 0008).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Code {
    /// Application accept: stored and handled.
    ApplicationAccept,
    /// Application error: understood to be a message, but wrong.
    ApplicationError,
    /// Application reject: not taken now, or not of a kind that is taken here.
    ApplicationReject,
    /// Commit accept: stored.
    CommitAccept,
    /// Commit error.
    CommitError,
    /// Commit reject.
    CommitReject,
}

impl Code {
    /// The two letters.
    pub fn letters(self) -> &'static str {
        match self {
            Code::ApplicationAccept => "AA",
            Code::ApplicationError => "AE",
            Code::ApplicationReject => "AR",
            Code::CommitAccept => "CA",
            Code::CommitError => "CE",
            Code::CommitReject => "CR",
        }
    }

    /// The code of two letters.
    pub fn from_letters(letters: &str) -> Option<Self> {
        [Code::ApplicationAccept, Code::ApplicationError, Code::ApplicationReject, Code::CommitAccept, Code::CommitError, Code::CommitReject]
            .into_iter()
            .find(|code| code.letters() == letters)
    }

    /// The same outcome as a commit acknowledgement (enhanced mode).
    pub fn as_commit(self) -> Self {
        match self {
            Code::ApplicationAccept | Code::CommitAccept => Code::CommitAccept,
            Code::ApplicationError | Code::CommitError => Code::CommitError,
            Code::ApplicationReject | Code::CommitReject => Code::CommitReject,
        }
    }

    /// Whether the message was taken.
    pub fn is_accept(self) -> bool {
        matches!(self, Code::ApplicationAccept | Code::CommitAccept)
    }
}

/// What was wrong, for the ERR segment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    /// Table 0357, such as `101` required field missing, `200` unsupported message type, `207` application internal error.
    pub code: &'static str,
    /// The place, such as `MSH-10`; may be empty.
    pub place: String,
    /// What a person reads: the thing and the way out.
    pub text: String,
}

/// The parts of a header that an answer needs. It can be had from a message that is otherwise broken.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Header {
    fields: [String; 4],
    trigger: String,
    control_id: String,
    processing_id: String,
    version: String,
    /// MSH-15, when to send a commit acknowledgement.
    pub accept: String,
    /// MSH-16, when to send an application acknowledgement.
    pub application: String,
}

impl Header {
    /// Whether it names this sender: the first components of MSH-3 and MSH-4.
    pub fn is_from(&self, application: &str, facility: &str) -> bool {
        let [sender, place, ..] = &self.fields;
        let is = |field: &str, name: &str| field.split('^').next() == Some(name);
        is(sender, application) && is(place, facility)
    }

    /// How the sender names itself: MSH-3 and MSH-4.
    pub fn sender(&self) -> String {
        format!("{} {}", self.fields[0], self.fields[1])
    }

    /// The header of a whole message.
    pub fn of(message: &Message<'_>) -> Self {
        let field = |number, component| message.field(b"MSH", number, component).map(Cow::into_owned).unwrap_or_default();
        Self {
            fields: [field(3, 0), field(4, 0), field(5, 0), field(6, 0)],
            trigger: field(9, 2),
            control_id: field(10, 0),
            processing_id: field(11, 0),
            version: field(12, 0),
            accept: field(15, 0),
            application: field(16, 0),
        }
    }

    /// The header of bytes whose first segment is MSH, even when a later segment is broken; `None` without usable MSH.
    pub fn salvage(block: &[u8]) -> Option<Self> {
        let at = memchr::memmem::find(block, b"MSH")?;
        let line = block[at..].split(|byte| matches!(byte, b'\r' | b'\n')).next()?;
        Message::parse(line).ok().map(|message| Self::of(&message)).or_else(|| Self::by_separator(line))
    }

    /// The header of an MSH whose encoding characters cannot be used: the field separator alone still tells the fields apart.
    fn by_separator(line: &[u8]) -> Option<Self> {
        let separator = line.get(3).copied().filter(|byte| byte.is_ascii_punctuation())?;
        let fields: Vec<String> = line.split(|byte| *byte == separator).map(|field| String::from_utf8_lossy(field).into_owned()).collect();
        let field = |number: usize| fields.get(number - 1).cloned().unwrap_or_default();
        let header = Self {
            fields: [field(3), field(4), field(5), field(6)],
            trigger: String::new(),
            control_id: field(10),
            processing_id: field(11),
            version: field(12),
            accept: String::new(),
            application: String::new(),
        };
        (!header.control_id.is_empty()).then_some(header)
    }

    /// MSH-10.
    pub fn control_id(&self) -> &str {
        &self.control_id
    }
}

/// The ACK for a message: sender and receiver swapped, MSA-2 its control id, ERR where there is a fault
/// (the form of 2.5 and later, or ERR-1 alone for versions before). `time` is `YYYYMMDDHHMMSS+ZZZZ`, `own_id` our MSH-10.
pub fn acknowledge(header: &Header, code: Code, fault: Option<&Fault>, time: &str, own_id: &str) -> Vec<u8> {
    let mut out = Vec::with_capacity(200);
    let delimiters = Delimiters::USUAL;
    let mut segment = |name: &str, fields: &[&str]| {
        out.extend_from_slice(name.as_bytes());
        let used = fields.iter().rposition(|field| !field.is_empty()).map_or(0, |last| last + 1);
        for field in &fields[..used] {
            out.push(delimiters.field);
            out.extend_from_slice(field.as_bytes());
        }
        out.push(b'\r');
    };
    let part = |text: &str| escaped(text);
    let [sender, sender_facility, receiver, receiver_facility] = &header.fields;
    let (receiver, receiver_facility, sender, sender_facility) = (hierarchic(receiver), hierarchic(receiver_facility), hierarchic(sender), hierarchic(sender_facility));
    let version = if header.version.is_empty() { "2.5.1".to_owned() } else { hierarchic(&header.version) };
    let kind = match (is_before(&version, 2, 2), header.trigger.is_empty()) {
        (true, _) | (false, true) => "ACK".to_owned(),
        (false, false) if is_before(&version, 2, 4) => format!("ACK^{}", part(&header.trigger)),
        (false, false) => format!("ACK^{}^ACK", part(&header.trigger)),
    };
    let processing = if header.processing_id.is_empty() { "P".to_owned() } else { hierarchic(&header.processing_id) };
    segment("MSH", &["^~\\&", &receiver, &receiver_facility, &sender, &sender_facility, time, "", &kind, own_id, &processing, &version]);
    let is_old = is_before(&version, 2, 5);
    let text = fault.filter(|_| is_old).map(|fault| part(&fault.text)).unwrap_or_default();
    segment("MSA", &[code.letters(), &part(&header.control_id), &text]);
    if let Some(fault) = fault {
        let place = location(&fault.place);
        match is_old {
            true => segment("ERR", &[&format!("{place}^{}&{}&HL70357", fault.code, part(&fault.text))]),
            false => segment("ERR", &["", &place, &format!("{}^^HL70357", fault.code), "E", "", "", "", &part(&fault.text)]),
        }
    }
    out
}

fn escaped(text: &str) -> String {
    let mut bytes = Vec::new();
    super::escape::write(text, &Delimiters::USUAL, &mut bytes);
    String::from_utf8(bytes).unwrap_or_default()
}

/// A value with components: its structure in the sender's delimiters is gone, so `^` alone is taken as a component border.
fn hierarchic(text: &str) -> String {
    text.split('^').map(escaped).collect::<Vec<_>>().join("^")
}

fn is_before(version: &str, major: u32, minor: u32) -> bool {
    let mut parts = version.split(['.', '^']).map(|part| part.trim().parse::<u32>().ok());
    match (parts.next().flatten(), parts.next().flatten()) {
        (Some(found_major), found_minor) => (found_major, found_minor.unwrap_or(0)) < (major, minor),
        (None, _) => false,
    }
}

/// `MSH-10` as ERR-2 writes it: `MSH^1^10`.
fn location(place: &str) -> String {
    match place.split_once('-') {
        Some((segment, field)) => format!("{segment}^1^{}", field.replace('.', "^1^")),
        None => place.to_owned(),
    }
}

/// MSA-1 and MSA-2 of an acknowledgement that came to us; `None` when the message is none.
pub fn read(message: &Message<'_>) -> Option<(Code, String)> {
    let code = Code::from_letters(&message.field(b"MSA", 1, 0)?)?;
    Some((code, message.field(b"MSA", 2, 0).map(Cow::into_owned).unwrap_or_default()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(message: &str, code: Code, fault: Option<&Fault>, expected: &str) {
        let message = Message::parse(message.as_bytes()).unwrap();
        let ack = acknowledge(&Header::of(&message), code, fault, "20261121230759+0000", "W1");
        assert_eq!(String::from_utf8(ack.clone()).unwrap().replace('\r', "\n"), expected);
        let back = Message::parse(&ack).unwrap();
        assert_eq!(read(&back), Some((code, message.control_id().unwrap_or_default().into_owned())));
    }

    #[test]
    fn an_ack_names_the_message_and_swaps_the_parties() {
        check(
            "MSH|^~\\&|LIS^1|LAB|WARDD|HOSP|20260101||ORU^R01^ORU_R01|A|b17|P|2.5.1\r".replace("|A|b17", "|A17").as_str(),
            Code::ApplicationAccept,
            None,
            "MSH|^~\\&|WARDD|HOSP|LIS^1|LAB|20261121230759+0000||ACK^R01^ACK|W1|P|2.5.1\nMSA|AA|A17\n",
        );
    }

    #[test]
    fn a_fault_stands_in_err_in_the_form_of_the_version() {
        let fault = Fault { code: "101", place: "MSH-9".into(), text: "MSH-9 is missing | name the message type".into() };
        check(
            "MSH|^~\\&|A||B||||ZZZ|7|P|2.8\r",
            Code::ApplicationError,
            Some(&fault),
            "MSH|^~\\&|B||A||20261121230759+0000||ACK|W1|P|2.8\nMSA|AE|7\nERR||MSH^1^9|101^^HL70357|E||||MSH-9 is missing \\F\\ name the message type\n",
        );
        check(
            "MSH|^~\\&|A||B||||ORU^R01|7|P|2.3.1\r",
            Code::ApplicationReject,
            Some(&fault),
            "MSH|^~\\&|B||A||20261121230759+0000||ACK^R01|W1|P|2.3.1\nMSA|AR|7|MSH-9 is missing \\F\\ name the message type\nERR|MSH^1^9^101&MSH-9 is missing \\F\\ name the message type&HL70357\n",
        );
    }

    #[test]
    fn a_header_is_salvaged_from_a_broken_message() {
        assert_eq!(Header::salvage(b"MSH|^~\\&|A|||||ORU^R01||99|P|2.5\rXX\r").unwrap().control_id(), "99");
        assert_eq!(Header::salvage(b"PID|1"), None);
        assert_eq!(Header::salvage(b"MSH|^~\\&|&&&&|B|C|D|2026||ORU^R01|77|P|2.5\r").unwrap().control_id(), "77");
        assert_eq!(Header::salvage(b"MSH|^^^^|A|B|C|D|2026||ORU^R01|78|P|2.5\r").unwrap().control_id(), "78", "unusable encoding characters");
    }
}
