//! One LIS2-A2 message as a view of its bytes.

use std::borrow::Cow;

use serde_json::{Value, json};

/// The delimiters that H.2 declares (LIS2-A2 6.4): field, repeat, component, escape.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Delimiters {
    /// Between fields; the character behind `H`.
    pub field: u8,
    /// Between repeats of a field.
    pub repeat: u8,
    /// Between components.
    pub component: u8,
    /// Around escape sequences.
    pub escape: u8,
}

impl Delimiters {
    /// `|\^&`, the usual set.
    pub const USUAL: Delimiters = Delimiters { field: b'|', repeat: b'\\', component: b'^', escape: b'&' };

    fn read(header: &[u8]) -> Result<Self, &'static str> {
        let [b'H', field, repeat, component, escape, rest @ ..] = header else {
            return Err("H.2 must declare the delimiters right behind H: field, repeat, component and escape, usually |\\^&");
        };
        let found = Self { field: *field, repeat: *repeat, component: *component, escape: *escape };
        let all = [found.field, found.repeat, found.component, found.escape];
        if all.iter().any(|byte| byte.is_ascii_alphanumeric() || !byte.is_ascii_graphic()) {
            return Err("the delimiters of H.2 must be printable characters that are no letters or digits");
        }
        if all.iter().enumerate().any(|(index, byte)| all[..index].contains(byte)) {
            return Err("H.2 uses one character for two purposes");
        }
        // Some devices declare more than four; the field delimiter must come next all the same.
        match rest.iter().position(|byte| *byte == found.field) {
            Some(0) => Ok(found),
            None if rest.is_empty() => Ok(found),
            _ => Err("H.2 must hold exactly four delimiters"),
        }
    }
}

/// The kinds of records.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum RecordKind {
    /// Message header.
    Header,
    /// Patient.
    Patient,
    /// Test order.
    Order,
    /// Result.
    Result,
    /// Comment on the record before it.
    Comment,
    /// Request for information.
    Query,
    /// Manufacturer's own.
    Manufacturer,
    /// Scientific.
    Scientific,
    /// Terminator.
    Terminator,
}

impl RecordKind {
    fn of(letter: u8) -> Option<Self> {
        match letter.to_ascii_uppercase() {
            b'H' => Some(RecordKind::Header),
            b'P' => Some(RecordKind::Patient),
            b'O' => Some(RecordKind::Order),
            b'R' => Some(RecordKind::Result),
            b'C' => Some(RecordKind::Comment),
            b'Q' => Some(RecordKind::Query),
            b'M' => Some(RecordKind::Manufacturer),
            b'S' => Some(RecordKind::Scientific),
            b'L' => Some(RecordKind::Terminator),
            _ => None,
        }
    }

    /// The letter that begins such a record.
    pub fn letter(self) -> char {
        match self {
            RecordKind::Header => 'H',
            RecordKind::Patient => 'P',
            RecordKind::Order => 'O',
            RecordKind::Result => 'R',
            RecordKind::Comment => 'C',
            RecordKind::Query => 'Q',
            RecordKind::Manufacturer => 'M',
            RecordKind::Scientific => 'S',
            RecordKind::Terminator => 'L',
        }
    }
}

/// Why bytes are no message; the number is the record, counted from 1.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ParseError {
    /// Nothing there.
    #[error("the message is empty")]
    Empty,
    /// The first record is not H.
    #[error("record 1 is {0:?}: a message begins with an H record")]
    NoHeader(char),
    /// H.2 cannot be used.
    #[error("record 1 (H): {0}")]
    Delimiters(&'static str),
    /// A letter that begins no record.
    #[error("record {0} begins with {1:?}: a record begins with one of H P O R C Q M S L and the field delimiter")]
    UnknownRecord(usize, char),
    /// Records in an order that the hierarchy does not allow.
    #[error("record {0} ({1}) stands where none may: {2}")]
    Misplaced(usize, char, &'static str),
    /// The last record is not L.
    #[error("the message has no L record: it was cut, or the sender is not done")]
    NoTerminator,
}

/// A message; borrows its bytes.
#[derive(Debug, Clone)]
pub struct Message<'a> {
    delimiters: Delimiters,
    records: Vec<Record<'a>>,
}

/// One record.
#[derive(Debug, Clone, Copy)]
pub struct Record<'a> {
    kind: RecordKind,
    bytes: &'a [u8],
    delimiters: Delimiters,
}

impl<'a> Message<'a> {
    /// Reads a message from H to L; carriage returns, line feeds or both end records, blank lines are passed over.
    pub fn parse(bytes: &'a [u8]) -> Result<Self, ParseError> {
        let lines: Vec<&[u8]> = bytes.split(|byte| matches!(byte, b'\r' | b'\n')).filter(|line| line.iter().any(|byte| !byte.is_ascii_whitespace())).collect();
        let first = lines.first().ok_or(ParseError::Empty)?;
        if first.first() != Some(&b'H') {
            return Err(ParseError::NoHeader(shown(first)));
        }
        let delimiters = Delimiters::read(first).map_err(ParseError::Delimiters)?;
        let mut records = Vec::with_capacity(lines.len());
        for (index, line) in lines.iter().enumerate() {
            let kind = match (line.first().copied().and_then(RecordKind::of), line.get(1)) {
                (Some(kind), None) => kind,
                (Some(kind), Some(next)) if *next == delimiters.field => kind,
                _ => return Err(ParseError::UnknownRecord(index + 1, shown(line))),
            };
            records.push(Record { kind, bytes: line, delimiters });
        }
        let message = Self { delimiters, records };
        message.check_order()?;
        Ok(message)
    }

    /// The hierarchy of LIS2-A2 section 5: one H first, one L last, R below O or P, comments below something.
    fn check_order(&self) -> Result<(), ParseError> {
        let last = self.records.len() - 1;
        for (index, record) in self.records.iter().enumerate().skip(1) {
            let wrong = |why| Err(ParseError::Misplaced(index + 1, record.kind.letter(), why));
            match record.kind {
                RecordKind::Header => return wrong("a second H begins a second message; the first one has no L"),
                RecordKind::Terminator if index < last => return wrong("nothing may follow L"),
                _ => {}
            }
        }
        match self.records[last].kind {
            RecordKind::Terminator => Ok(()),
            _ => Err(ParseError::NoTerminator),
        }
    }

    /// The delimiters of H.2.
    pub fn delimiters(&self) -> &Delimiters {
        &self.delimiters
    }

    /// The records in order, H first and L last.
    pub fn records(&self) -> &[Record<'a>] {
        &self.records
    }

    /// The header record.
    pub fn header(&self) -> Record<'a> {
        self.records[0]
    }
}

impl<'a> Record<'a> {
    /// Its kind.
    pub fn kind(&self) -> RecordKind {
        self.kind
    }

    /// Its bytes without the end.
    pub fn bytes(&self) -> &'a [u8] {
        self.bytes
    }

    /// A field's bytes, counted as the standard does: 1 is the record's letter, 2 the sequence number (or the delimiters of H).
    pub fn field(&self, number: usize) -> &'a [u8] {
        self.bytes.split(|byte| *byte == self.delimiters.field).nth(number.saturating_sub(1)).unwrap_or_default()
    }

    /// A component of the first repeat of a field, both counted from 1; the bytes as received.
    pub fn raw(&self, field: usize, component: usize) -> &'a [u8] {
        let first = self.field(field).split(|byte| *byte == self.delimiters.repeat).next().unwrap_or_default();
        first.split(|byte| *byte == self.delimiters.component).nth(component.saturating_sub(1)).unwrap_or_default()
    }

    /// A component as trimmed text with escape sequences resolved; empty when absent.
    pub fn text(&self, field: usize, component: usize) -> Cow<'a, str> {
        self.decode(self.raw(field, component))
    }

    /// Whether a field is made of components.
    pub fn has_components(&self, field: usize) -> bool {
        self.field(field).contains(&self.delimiters.component)
    }

    /// A component of a repeat of a field as text; repeats count from 0.
    pub fn text_of_repeat(&self, field: usize, repeat: usize, component: usize) -> Cow<'a, str> {
        let value = self.field(field).split(|byte| *byte == self.delimiters.repeat).nth(repeat).unwrap_or_default();
        self.decode(value.split(|byte| *byte == self.delimiters.component).nth(component.saturating_sub(1)).unwrap_or_default())
    }

    /// A whole field as text, components and all.
    pub fn whole(&self, field: usize) -> Cow<'a, str> {
        self.decode(self.field(field))
    }

    /// The repeats of a field.
    pub fn repeats(&self, field: usize) -> impl Iterator<Item = &'a [u8]> + use<'a> {
        let repeat = self.delimiters.repeat;
        let value = self.field(field);
        value.split(move |byte| *byte == repeat).filter(move |_| !value.is_empty())
    }

    fn decode(&self, bytes: &'a [u8]) -> Cow<'a, str> {
        let trimmed = bytes.trim_ascii();
        let text = match std::str::from_utf8(trimmed) {
            Ok(text) => Cow::Borrowed(text),
            Err(_) => encoding_rs::WINDOWS_1252.decode_without_bom_handling(trimmed).0,
        };
        if text.contains(char::from(self.delimiters.escape)) { Cow::Owned(self.unescape(&text)) } else { text }
    }

    /// `&F&` field, `&S&` component, `&R&` repeat, `&E&` escape, `&Xhh&` hexadecimal (LIS2-A2 6.4.4); others stay.
    fn unescape(&self, text: &str) -> String {
        let escape = char::from(self.delimiters.escape);
        let mut plain = String::with_capacity(text.len());
        let mut rest = text;
        while let Some((before, after)) = rest.split_once(escape) {
            plain.push_str(before);
            let meaning = after.split_once(escape).and_then(|(name, tail)| {
                let one = |byte: u8| Some((char::from(byte).to_string(), tail));
                match name {
                    "F" => one(self.delimiters.field),
                    "S" => one(self.delimiters.component),
                    "R" => one(self.delimiters.repeat),
                    "E" => one(self.delimiters.escape),
                    _ => name
                        .strip_prefix('X')
                        .filter(|digits| digits.len() == 2)
                        .and_then(|digits| u8::from_str_radix(digits, 16).ok())
                        .map(|byte| (char::from(byte).to_string(), tail)),
                }
            });
            match meaning {
                Some((text, tail)) => {
                    plain.push_str(&text);
                    rest = tail;
                }
                None => {
                    plain.push(escape);
                    rest = after;
                }
            }
        }
        plain.push_str(rest);
        plain
    }
}

fn shown(line: &[u8]) -> char {
    line.first().map_or(' ', |byte| if byte.is_ascii_graphic() { char::from(*byte) } else { '.' })
}

/// The message as a tree of plain values: records → fields → repeats → components.
pub fn tree(message: &Message<'_>) -> Value {
    let delimiters = message.delimiters();
    let list = |parts: Vec<Value>| if let [only] = parts.as_slice() { only.clone() } else { Value::Array(parts) };
    let records: Vec<Value> = message
        .records()
        .iter()
        .map(|record| {
            let fields: Vec<Value> = record
                .bytes()
                .split(|byte| *byte == delimiters.field)
                .enumerate()
                .skip(1)
                .map(|(index, field)| {
                    if record.kind() == RecordKind::Header && index == 1 {
                        return Value::from(String::from_utf8_lossy(field));
                    }
                    list(
                        field
                            .split(|byte| *byte == delimiters.repeat)
                            .map(|repeat| list(repeat.split(|byte| *byte == delimiters.component).map(|part| Value::from(record.decode(part))).collect()))
                            .collect(),
                    )
                })
                .collect();
            json!({ "type": record.kind().letter().to_string(), "fields": fields })
        })
        .collect();
    let declared = [delimiters.field, delimiters.repeat, delimiters.component, delimiters.escape].map(char::from);
    json!({ "delimiters": String::from_iter(declared), "sender": message.header().whole(5), "records": records })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records_are_read_by_field_and_component() {
        let bytes = b"H|\\^&|||    XN-550^00-01^11001\rP|1|||77|DOE^JANE\rO|1||^^           26112100017^M|^^^^WBC\\^^^^RBC|R\rR|1|^^^^WBC^1|  5.24|10*3/uL||N||F||||20260101\rC|1|I|a&S&b &X41& & c\rL|1|N\r";
        let message = Message::parse(bytes).unwrap();
        assert_eq!(message.header().text(5, 1), "XN-550");
        let [_, _, order, result, comment, _] = message.records() else { panic!() };
        assert_eq!(order.text(4, 3), "26112100017");
        assert_eq!(order.repeats(5).count(), 2);
        assert_eq!((result.text(3, 5).as_ref(), result.text(4, 1).as_ref(), result.text(5, 1).as_ref()), ("WBC", "5.24", "10*3/uL"));
        assert_eq!(result.text(13, 1), "20260101");
        assert_eq!(result.text(99, 1), "");
        assert_eq!(comment.text(4, 1), "a^b A & c");
        assert_eq!(tree(&message)["records"][3]["fields"][1], json!(["", "", "", "", "WBC", "1"]));
    }

    #[test]
    fn rule_7_delimiters_come_from_the_header() {
        for set in ["|\\^&", "|`^&", "|@^\\", "|\\#&", "|^~\\", "$%~\\"] {
            let [field, repeat, component, _] = set.chars().collect::<Vec<_>>()[..] else { panic!() };
            let text = format!("H{set}{field}{field}{field}A{component}B\nO{field}1{field}X{repeat}Y\nL{field}1\n");
            let message = Message::parse(text.as_bytes()).unwrap();
            assert_eq!(message.header().text(5, 2), "B", "{set}");
            assert_eq!(message.records()[1].repeats(3).count(), 2, "{set}");
        }
    }

    #[test]
    fn what_is_no_message_is_refused_with_record_and_reason() {
        let cases = [
            ("", "empty"),
            ("P|1\rL|1\r", "begins with an H record"),
            ("H|||||||||\rL|1", "two purposes"),
            ("H\rL|1", "must declare the delimiters"),
            ("H;^&;;;Test\rP;1\rL;1", "two purposes"),
            ("H|\\^&x\rL|1", "exactly four"),
            ("H|\\^&\rX|1\rL|1", "record 2 begins with 'X'"),
            ("H|\\^&\rR|1", "no L record"),
            ("H|\\^&\rH|\\^&\rL|1", "record 2 (H)"),
            ("H|\\^&\rL|1\rP|1", "record 2 (L)"),
        ];
        for (text, part) in cases {
            let error = Message::parse(text.as_bytes()).unwrap_err().to_string();
            assert!(error.contains(part), "{text:?}: {error}");
        }
    }

    proptest::proptest! {
        #[test]
        fn any_bytes_are_read_without_panic(tail in proptest::collection::vec(proptest::num::u8::ANY, 0..200)) {
            let bytes = [b"H|\\^&".as_slice(), &tail, b"\rL|1\r"].concat();
            if let Ok(message) = Message::parse(&bytes) {
                tree(&message);
            }
        }
    }
}
