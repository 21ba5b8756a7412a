//! One message as a view of its bytes: segments and fields are found once, what is in a field when it is asked for.

use std::borrow::Cow;

use super::charset::{self, Charset};
use super::{Delimiters, Path, escape};

/// Why bytes are no HL7 v2 message; each says where and what would be right.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ParseError {
    /// The first segment is not MSH.
    #[error("the message does not begin with MSH but with {0:?}")]
    NoHeader(String),
    /// MSH-1 or MSH-2 cannot be used.
    #[error("{0}")]
    Delimiters(&'static str),
    /// A segment has no name of three letters or digits.
    #[error("segment {number} begins with {start:?}: a segment has a name of three capital letters or digits and then the field separator")]
    SegmentName {
        /// Which segment, counted from 1.
        number: usize,
        /// Its first characters.
        start: String,
    },
    /// There is nothing but blanks.
    #[error("the message is empty")]
    Empty,
}

/// A message; borrows the bytes it was parsed from.
#[derive(Debug, Clone)]
pub struct Message<'a> {
    bytes: Cow<'a, [u8]>,
    delimiters: Delimiters,
    charset: Charset,
    segments: Vec<Span>,
    /// Where field separators stand, of all segments.
    separators: Vec<u32>,
    /// Whether an escape character stands anywhere behind MSH-2: most messages have none.
    has_escapes: bool,
}

/// Where a segment stands, and which of the separators are its own.
#[derive(Debug, Clone)]
struct Span {
    bytes: (u32, u32),
    separators: (u32, u32),
}

/// One segment of a message.
#[derive(Debug, Clone)]
pub struct Segment<'m> {
    bytes: &'m [u8],
    delimiters: &'m Delimiters,
    charset: Charset,
    /// Where it begins in the message, and where its separators stand there.
    start: u32,
    separators: &'m [u32],
    has_escapes: bool,
}

impl<'a> Message<'a> {
    /// Reads a message. Segments end in carriage returns; line feeds and both together are taken too,
    /// since files and some senders have them. A byte order mark and blank lines are passed over.
    pub fn parse(raw: &'a [u8]) -> Result<Self, ParseError> {
        let mut bytes = charset::without_bom(raw);
        let skip = bytes.iter().take_while(|byte| byte.is_ascii_whitespace()).count();
        let head = &bytes[skip..];
        if head.is_empty() {
            return Err(ParseError::Empty);
        }
        let Some(after_name) = head.strip_prefix(b"MSH") else {
            return Err(ParseError::NoHeader(printable(head)));
        };
        let delimiters = Delimiters::read(after_name).map_err(ParseError::Delimiters)?;
        let charset = declared_charset(head, &delimiters);
        if let Charset::Multiple(encoding) = charset {
            let (text, had_errors) = encoding.decode_without_bom_handling(&bytes);
            // What is declared may lie: bytes that do not fit stay as they are.
            if !had_errors {
                bytes = Cow::Owned(text.into_owned().into_bytes());
            }
        }
        let (segments, separators) = split_segments(&bytes, delimiters.field)?;
        // MSH-2 holds the escape character itself.
        let behind = separators.get(1).map_or(0, |at| *at as usize);
        let has_escapes = delimiters.escape.is_some_and(|escape| memchr::memchr(escape, &bytes[behind..]).is_some());
        Ok(Self { bytes, delimiters, charset, segments, separators, has_escapes })
    }

    /// The bytes of the message; as received, but for a byte order mark and for charsets that had to be converted to be split.
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// The message's own delimiters.
    pub fn delimiters(&self) -> &Delimiters {
        &self.delimiters
    }

    fn segment_at(&self, Span { bytes: (start, end), separators: (first, last) }: &Span) -> Segment<'_> {
        Segment {
            bytes: &self.bytes[*start as usize..*end as usize],
            delimiters: &self.delimiters,
            charset: self.charset,
            start: *start,
            separators: &self.separators[*first as usize..*last as usize],
            has_escapes: self.has_escapes,
        }
    }

    /// The segments in order.
    pub fn segments(&self) -> impl Iterator<Item = Segment<'_>> {
        self.segments.iter().map(|span| self.segment_at(span))
    }

    /// The segments of one name, in order.
    pub fn all<'m>(&'m self, name: &'m [u8; 3]) -> impl Iterator<Item = Segment<'m>> {
        self.segments().filter(move |segment| segment.name() == name)
    }

    /// The bytes at a place as received, escapes and all; `None` when there is nothing.
    pub fn raw(&self, path: &Path) -> Option<&[u8]> {
        let segment = self.all_matching(path.segment).nth(usize::from(path.occurrence.max(1)) - 1)?;
        segment.raw(path.field, path.repetition, path.component, path.subcomponent)
    }

    fn all_matching(&self, name: [u8; 3]) -> impl Iterator<Item = Segment<'_>> {
        self.segments().filter(move |segment| *segment.name() == name)
    }

    /// The text at a place, escapes resolved; `None` when there is nothing. The explicit null `""` comes as these two quotes.
    pub fn text(&self, path: &Path) -> Option<Cow<'_, str>> {
        let segment = self.all_matching(path.segment).nth(usize::from(path.occurrence.max(1)) - 1)?;
        segment.text_at(path.field, path.repetition, path.component, path.subcomponent)
    }

    /// The text of the first repetition's component of a field in the first segment of that name.
    pub fn field(&self, segment: &[u8; 3], field: u16, component: u16) -> Option<Cow<'_, str>> {
        self.text(&Path::field(segment, field).component(component))
    }

    /// MSH-10, the message control id.
    pub fn control_id(&self) -> Option<Cow<'_, str>> {
        self.field(b"MSH", 10, 0)
    }

    /// MSH-9.1 and MSH-9.2, such as `ORU` and `R01`.
    pub fn kind(&self) -> (Cow<'_, str>, Cow<'_, str>) {
        (self.field(b"MSH", 9, 1).unwrap_or_default(), self.field(b"MSH", 9, 2).unwrap_or_default())
    }
}

impl<'m> Segment<'m> {
    /// The three characters of its name.
    pub fn name(&self) -> &'m [u8; 3] {
        self.bytes.first_chunk().unwrap_or(b"???")
    }

    /// The segment's bytes without its end.
    pub fn bytes(&self) -> &'m [u8] {
        self.bytes
    }

    /// The whole field with its repetitions; MSH-1 is the separator itself. Empty fields are `Some(b"")` up to the last separator.
    pub fn field(&self, field: u16) -> Option<&'m [u8]> {
        let is_header = self.is_header();
        match (is_header, field) {
            (_, 0) => Some(&self.bytes[..3]),
            (true, 1) => self.bytes.get(3..4),
            (true, field) => self.part(usize::from(field) - 1),
            (false, field) => self.part(usize::from(field)),
        }
    }

    /// The n-th part between field separators, counted from 0.
    fn part(&self, index: usize) -> Option<&'m [u8]> {
        let place = |index: usize| self.separators.get(index).map(|at| (*at - self.start) as usize);
        let from = match index.checked_sub(1) {
            None => 0,
            Some(before) => place(before)? + 1,
        };
        self.bytes.get(from..place(index).unwrap_or(self.bytes.len()))
    }

    fn is_header(&self) -> bool {
        matches!(self.name(), b"MSH" | b"BHS" | b"FHS")
    }

    /// How many repetitions the field has; 0 when it is empty.
    pub fn repetitions(&self, field: u16) -> u16 {
        match self.field(field) {
            None | Some(b"") => 0,
            Some(_) if self.is_header() && field <= 2 => 1,
            Some(value) => u16::try_from(memchr::memchr_iter(self.delimiters.repetition, value).count() + 1).unwrap_or(u16::MAX),
        }
    }

    /// The bytes at a place of this segment; component 0 is the whole repetition, sub-component 0 the whole component.
    pub fn raw(&self, field: u16, repetition: u16, component: u16, subcomponent: u16) -> Option<&'m [u8]> {
        let value = self.field(field)?;
        // The delimiters themselves hold no structure.
        if self.is_header() && field <= 2 {
            return (repetition <= 1 && component <= 1 && !value.is_empty()).then_some(value);
        }
        let value = nth(value, self.delimiters.repetition, usize::from(repetition.max(1)) - 1)?;
        let value = match component {
            0 => value,
            component => nth(value, self.delimiters.component, usize::from(component) - 1)?,
        };
        let value = match (subcomponent, self.delimiters.subcomponent) {
            (0, _) | (1, None) => value,
            (subcomponent, Some(delimiter)) => nth(value, delimiter, usize::from(subcomponent) - 1)?,
            (_, None) => return None,
        };
        (!value.is_empty()).then_some(value)
    }

    /// The text of a component of the first repetition, escapes resolved; component 0 is the whole repetition.
    pub fn text(&self, field: u16, component: u16) -> Option<Cow<'m, str>> {
        self.text_at(field, 1, component, 0)
    }

    /// The text at any place of this segment.
    pub fn text_at(&self, field: u16, repetition: u16, component: u16, subcomponent: u16) -> Option<Cow<'m, str>> {
        let value = self.raw(field, repetition, component, subcomponent)?;
        Some(if self.has_escapes { escape::read(value, self.delimiters, self.charset) } else { self.charset.text(value) })
    }
}

/// Up to this length a part is found byte by byte: delimiters of fields are few bytes apart, and a search that looks at many
/// bytes at once takes longer to begin than to end.
const SHORT: usize = 512;

/// The n-th part between delimiters, counted from 0.
fn nth(value: &[u8], delimiter: u8, index: usize) -> Option<&[u8]> {
    if value.len() <= SHORT { value.split(|byte| *byte == delimiter).nth(index) } else { nth_of_long(value, delimiter, index) }
}

fn nth_of_long(value: &[u8], delimiter: u8, index: usize) -> Option<&[u8]> {
    let mut start = 0;
    let mut ends = memchr::memchr_iter(delimiter, value);
    for _ in 0..index {
        start = ends.next()? + 1;
    }
    let end = ends.next().unwrap_or(value.len());
    value.get(start..end)
}

fn declared_charset(message: &[u8], delimiters: &Delimiters) -> Charset {
    let header = message.split(|byte| matches!(byte, b'\r' | b'\n')).next().unwrap_or_default();
    let value = nth(header, delimiters.field, 17).unwrap_or_default();
    Charset::named(nth(value, delimiters.repetition, 0).unwrap_or_default())
}

/// The segments, and where field separators stand.
fn split_segments(bytes: &[u8], separator: u8) -> Result<(Vec<Span>, Vec<u32>), ParseError> {
    let place = |at: usize| u32::try_from(at).unwrap_or(u32::MAX);
    let (mut segments, mut separators): (Vec<Span>, Vec<u32>) = (Vec::with_capacity(16), Vec::with_capacity(128));
    let (mut start, mut first) = (0, 0);
    for end in memchr::memchr3_iter(b'\r', b'\n', separator, bytes).chain([bytes.len()]) {
        if bytes.get(end) == Some(&separator) {
            separators.push(place(end));
            continue;
        }
        let segment = &bytes[start..end];
        if segment.iter().any(|byte| !byte.is_ascii_whitespace()) {
            let is_named =
                segment.len() >= 3 && segment[..3].iter().all(|byte| byte.is_ascii_uppercase() || byte.is_ascii_digit()) && segment.get(3).is_none_or(|byte| *byte == separator);
            // A batch trailer may stand behind the message it closes.
            if !is_named {
                return Err(ParseError::SegmentName { number: segments.len() + 1, start: printable(segment) });
            }
            segments.push(Span { bytes: (place(start), place(end)), separators: (place(first), place(separators.len())) });
        }
        (start, first) = (end + 1, separators.len());
    }
    Ok((segments, separators))
}

/// The first characters of bytes for an error: no more than a name, so that no patient data gets out.
fn printable(bytes: &[u8]) -> String {
    bytes.iter().take(4).map(|byte| if byte.is_ascii_graphic() { char::from(*byte) } else { '.' }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const ORU: &[u8] = b"MSH|^~\\&|LIS|LAB|WARDD|HOSP|20260101||ORU^R01^ORU_R01|000000000017|P|2.5.1\rPID|1||0000017^^^WARDD^MR~000000099^^^NAT^NI||DOE^JANE\rOBR|1|1|2|24323-8^PANEL^LN\rOBX|1|NM|2345-7^GLUCOSE^LN||99.5|mg/dL\rOBX|2|ST|X||a\\T\\b&c|\rZZZ|custom\r";

    fn text(message: &[u8], path: &str) -> Option<String> {
        Message::parse(message).unwrap().text(&path.parse().unwrap()).map(Cow::into_owned)
    }

    #[test]
    fn parts_are_the_same_however_they_are_looked_for() {
        for value in [&b""[..], b"|", b"a", b"a|b", b"|a||b|", b"abc|def|ghi|"] {
            for index in 0..7 {
                assert_eq!(nth(value, b'|', index), nth_of_long(value, b'|', index), "{value:?} {index}");
            }
        }
    }

    #[test]
    fn fields_are_the_same_in_whatever_order_they_are_asked_for() {
        let long = [b"OBX|1|".as_slice(), &[b'x'; 100], b"||", &[b'y'; 33], b"|z"].concat();
        for bytes in [&b"PID|1||a^b|c"[..], b"PID", b"PID|", b"PID||||", &long] {
            let message = [b"MSH|^~\\&|\r".as_slice(), bytes].concat();
            let message = Message::parse(&message).unwrap();
            let of = |index| bytes.split(|byte| *byte == b'|').nth(usize::from(index));
            for (one, other) in (0..8_u16).flat_map(|one| (0..8_u16).map(move |other| (one, other))) {
                let segment = message.segments().nth(1).unwrap();
                assert_eq!((segment.part(one.into()), segment.part(other.into())), (of(one), of(other)), "{one} {other}");
            }
        }
    }

    #[test]
    fn places_are_read_by_path() {
        let cases = [
            ("MSH-1", Some("|")),
            ("MSH-2", Some("^~\\&")),
            ("MSH-9.1", Some("ORU")),
            ("MSH-9.3", Some("ORU_R01")),
            ("MSH-10", Some("000000000017")),
            ("PID-3.1", Some("0000017")),
            ("PID-3(2).5", Some("NI")),
            ("PID-3(3).1", None),
            ("PID-2", None),
            ("PID-99", None),
            ("OBX[2]-5", Some("a&b&c")),
            ("OBX[2]-5.1.1", Some("a&b")),
            ("OBX[2]-5.1.2", Some("c")),
            ("OBX[3]-5", None),
            ("ZZZ-1", Some("custom")),
        ];
        for (path, expected) in cases {
            assert_eq!(text(ORU, path).as_deref(), expected, "{path}");
        }
    }

    #[test]
    fn line_ends_of_every_kind_and_a_bom_are_taken() {
        for end in ["\r", "\n", "\r\n", "\r\r"] {
            let message = format!("\u{feff}\nMSH|^~\\&|A{end}PID|1||7{end}");
            assert_eq!(text(message.as_bytes(), "PID-3").as_deref(), Some("7"), "{end:?}");
        }
        let utf_16: Vec<u8> = "MSH|^~\\&|A\rPID|1||7\r".encode_utf16().flat_map(u16::to_le_bytes).collect();
        assert_eq!(text(&utf_16, "PID-3").as_deref(), Some("7"));
    }

    #[test]
    fn rule_8_charsets_declared_rightly_or_wrongly_never_shift_fields() {
        let head = |charset: &str| format!("MSH|^~\\&|A|||||||1|P|2.5||||||{charset}\rPID|1||7||").into_bytes();
        let with = |charset: &str, name: &[u8]| [&head(charset), name, b"|19800101\r"].concat();
        let name = |message: &[u8]| (text(message, "PID-5").unwrap(), text(message, "PID-6").unwrap());
        assert_eq!(name(&with("UNICODE UTF-8", "Müller".as_bytes())).0, "Müller");
        assert_eq!(name(&with("8859/1", b"M\xfcller")).0, "Müller");
        assert_eq!(name(&with("8859/5", b"\xb8\xd2\xd0\xdd")).0, "Иван");
        assert_eq!(name(&with("UNICODE UTF-8", b"M\xfcller")).0, "Müller", "a lie is read as Windows-1252");
        assert_eq!(name(&with("", b"\xff\xfe\x80")).1, "19800101");
        // In Big5 the second byte of 功 is 0x5C, the escape character; in Shift JIS 表 ends in 0x5C.
        assert_eq!(name(&with("BIG-5", b"\xa5\x5c")), ("功".into(), "19800101".into()));
        assert_eq!(name(&with("ISO IR14", b"\x95\x5c")), ("表".into(), "19800101".into()));
        assert_eq!(name(&with("BIG-5", b"\xff")).1, "19800101", "a lie about Big5");
    }

    #[test]
    fn what_is_no_message_is_refused_with_its_place() {
        let cases: [(&[u8], &str); 5] = [(b"", "empty"), (b"\r\n ", "empty"), (b"PID|1", "begins with"), (b"MSH|^~\\&|A\rPI|1\r", "segment 2"), (b"MSHX", "MSH-1")];
        for (bytes, part) in cases {
            let error = Message::parse(bytes).unwrap_err().to_string();
            assert!(error.contains(part) || error.contains("does not begin"), "{error}");
        }
    }

    proptest::proptest! {
        #[test]
        fn any_bytes_are_read_without_panic(tail in proptest::collection::vec(proptest::prop_oneof![proptest::num::u8::ANY, proptest::sample::select(b"|\r\n\\^~&PIDOBX1 ".as_slice())], 0..200), field in 0u16..20, part in 0u16..5) {
            let bytes = [b"MSH|^~\\&|".as_slice(), &tail].concat();
            if let Ok(message) = Message::parse(&bytes) {
                proptest::prop_assert!(message.bytes().starts_with(b"MSH"));
                for segment in message.segments() {
                    // As whoever reads the bytes of the value finds it, whatever stands elsewhere in the message.
                    let text = segment.raw(field, part, part, part).map(|value| escape::read(value, message.delimiters(), message.charset));
                    proptest::prop_assert_eq!(segment.text_at(field, part, part, part), text);
                    let fields: Vec<&[u8]> = segment.bytes().split(|byte| *byte == b'|').collect();
                    for index in 0..=fields.len() {
                        proptest::prop_assert_eq!(segment.part(index), fields.get(index).copied());
                    }
                    segment.repetitions(field);
                }
            }
        }
    }
}
