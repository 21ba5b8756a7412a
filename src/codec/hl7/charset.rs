//! MSH-18: how the bytes of a message become text (HL7 table 0211). What is declared may lie; nothing here shifts a field.

use std::borrow::Cow;

use encoding_rs::Encoding;

/// How a message's bytes are read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Charset {
    /// UTF-8, or ASCII: bytes that are not UTF-8 are read as Windows-1252.
    Utf8,
    /// A charset whose bytes never look like a delimiter.
    Single(&'static Encoding),
    /// A charset whose trailing bytes may look like delimiters: the whole message is converted before it is split.
    Multiple(&'static Encoding),
}

impl Charset {
    /// The charset of a name in table 0211; unknown and empty names are read as UTF-8 with a fallback.
    pub(super) fn named(name: &[u8]) -> Self {
        let single = |label: &str| Encoding::for_label(label.as_bytes()).map_or(Charset::Utf8, Charset::Single);
        match name {
            b"8859/1" => Charset::Single(encoding_rs::WINDOWS_1252),
            b"8859/2" => single("iso-8859-2"),
            b"8859/3" => single("iso-8859-3"),
            b"8859/4" => single("iso-8859-4"),
            b"8859/5" => single("iso-8859-5"),
            b"8859/6" => single("iso-8859-6"),
            b"8859/7" => single("iso-8859-7"),
            b"8859/8" => single("iso-8859-8"),
            b"8859/9" => single("iso-8859-9"),
            b"8859/15" => single("iso-8859-15"),
            b"KS X 1001" => Charset::Single(encoding_rs::EUC_KR),
            b"GB 18030-2000" => Charset::Multiple(encoding_rs::GB18030),
            b"BIG-5" => Charset::Multiple(encoding_rs::BIG5),
            b"ISO IR14" => Charset::Multiple(encoding_rs::SHIFT_JIS),
            b"ISO IR87" | b"ISO IR159" => Charset::Multiple(encoding_rs::ISO_2022_JP),
            b"UNICODE UTF-16" => Charset::Utf8,
            _ => Charset::Utf8,
        }
    }

    /// Bytes of one value as text; what cannot be read is shown as U+FFFD in its place.
    pub(super) fn text(self, bytes: &[u8]) -> Cow<'_, str> {
        match self {
            Charset::Utf8 | Charset::Multiple(_) => match std::str::from_utf8(bytes) {
                Ok(text) => Cow::Borrowed(text),
                Err(_) => encoding_rs::WINDOWS_1252.decode_without_bom_handling(bytes).0,
            },
            Charset::Single(encoding) => encoding.decode_without_bom_handling(bytes).0,
        }
    }
}

/// The message as bytes in which delimiters can be searched: converted to UTF-8 when its bytes are UTF-16,
/// as received otherwise. A byte order mark is taken off.
pub(super) fn without_bom(raw: &[u8]) -> Cow<'_, [u8]> {
    match raw {
        [0xEF, 0xBB, 0xBF, rest @ ..] => Cow::Borrowed(rest),
        [0xFF, 0xFE, rest @ ..] => Cow::Owned(encoding_rs::UTF_16LE.decode_without_bom_handling(rest).0.into_owned().into_bytes()),
        [0xFE, 0xFF, rest @ ..] => Cow::Owned(encoding_rs::UTF_16BE.decode_without_bom_handling(rest).0.into_owned().into_bytes()),
        [b'M', 0, b'S', 0, b'H', 0, ..] => Cow::Owned(encoding_rs::UTF_16LE.decode_without_bom_handling(raw).0.into_owned().into_bytes()),
        [0, b'M', 0, b'S', 0, b'H', ..] => Cow::Owned(encoding_rs::UTF_16BE.decode_without_bom_handling(raw).0.into_owned().into_bytes()),
        _ => Cow::Borrowed(raw),
    }
}
