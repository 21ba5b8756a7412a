//! Escape sequences of a value (HL7 v2.8.2 chapter 2.7): read to text, written from text.

use std::borrow::Cow;

use super::Delimiters;
use super::charset::Charset;

/// A value's bytes as text, escape sequences resolved. Sequences that are not known are kept as they stand.
pub(super) fn read<'a>(value: &'a [u8], delimiters: &Delimiters, charset: Charset) -> Cow<'a, str> {
    let Some(escape) = delimiters.escape else { return charset.text(value) };
    if memchr::memchr(escape, value).is_none() {
        return charset.text(value);
    }
    let mut plain: Vec<u8> = Vec::with_capacity(value.len());
    let mut rest = value;
    while let Some(at) = memchr::memchr(escape, rest) {
        plain.extend_from_slice(&rest[..at]);
        let after = &rest[at + 1..];
        match memchr::memchr(escape, after).map(|end| (end, sequence(&after[..end], delimiters))) {
            Some((end, Some(meaning))) => {
                plain.extend_from_slice(&meaning);
                rest = &after[end + 1..];
            }
            // Not a sequence: the character itself stands, and what follows may begin one.
            Some((_, None)) | None => {
                plain.push(escape);
                rest = after;
            }
        }
    }
    plain.extend_from_slice(rest);
    Cow::Owned(charset.text(&plain).into_owned())
}

fn sequence(name: &[u8], delimiters: &Delimiters) -> Option<Vec<u8>> {
    let one = |byte: Option<u8>| byte.map(|byte| vec![byte]);
    match name {
        b"F" => one(Some(delimiters.field)),
        b"S" => one(Some(delimiters.component)),
        b"R" => one(Some(delimiters.repetition)),
        b"E" => one(delimiters.escape),
        b"T" => one(delimiters.subcomponent),
        b"P" => one(delimiters.truncation),
        // Highlighting has no meaning in plain text.
        b"H" | b"N" => Some(Vec::new()),
        b".br" => Some(vec![b'\n']),
        [b'X', digits @ ..] => hexadecimal(digits),
        _ => None,
    }
}

fn hexadecimal(digits: &[u8]) -> Option<Vec<u8>> {
    if digits.is_empty() || !digits.len().is_multiple_of(2) {
        return None;
    }
    digits
        .chunks(2)
        .map(|pair| std::str::from_utf8(pair).ok().filter(|pair| pair.bytes().all(|b| b.is_ascii_hexdigit())).and_then(|pair| u8::from_str_radix(pair, 16).ok()))
        .collect()
}

/// Text as a value's bytes: delimiters become escape sequences, line ends `\.br\`, control characters `\Xhh\`.
pub(super) fn write(text: &str, delimiters: &Delimiters, out: &mut Vec<u8>) {
    let escape = delimiters.escape.unwrap_or(b'\\');
    for byte in text.bytes() {
        let name: Option<Cow<'static, [u8]>> = match byte {
            b if b == delimiters.field => Some(Cow::Borrowed(b"F")),
            b if b == delimiters.component => Some(Cow::Borrowed(b"S")),
            b if b == delimiters.repetition => Some(Cow::Borrowed(b"R")),
            b if b == escape => Some(Cow::Borrowed(b"E")),
            b if Some(b) == delimiters.subcomponent => Some(Cow::Borrowed(b"T")),
            b'\n' => Some(Cow::Borrowed(b".br")),
            b if b.is_ascii_control() => Some(Cow::Owned(format!("X{b:02X}").into_bytes())),
            _ => None,
        };
        match name {
            Some(name) => {
                out.push(escape);
                out.extend_from_slice(&name);
                out.push(escape);
            }
            None => out.push(byte),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sequences_are_resolved_and_unknown_ones_kept() {
        let cases: [(&[u8], &str); 9] = [
            (b"a\\F\\b\\S\\c\\R\\d\\E\\e\\T\\f", "a|b^c~d\\e&f"),
            (b"\\X41\\\\X0d0A\\", "A\r\n"),
            (b"one\\.br\\two", "one\ntwo"),
            (b"\\H\\bold\\N\\", "bold"),
            (b"\\Zxy\\ and \\X4\\ and C:\\path", "\\Zxy\\ and \\X4\\ and C:\\path"),
            ("üü\\F\\x".as_bytes(), "üü|x"),
            ("日本\\T\\".as_bytes(), "日本&"),
            (b"\\", "\\"),
            (b"Ren\xe9", "René"),
        ];
        for (value, expected) in cases {
            assert_eq!(read(value, &Delimiters::USUAL, Charset::Utf8), expected);
        }
    }

    proptest::proptest! {
        #[test]
        fn any_text_survives_writing_and_reading(text in "[^\\x00-\\x08\\x0e-\\x1f]*") {
            let mut bytes = Vec::new();
            write(&text, &Delimiters::USUAL, &mut bytes);
            proptest::prop_assert_eq!(read(&bytes, &Delimiters::USUAL, Charset::Utf8), text);
        }

        #[test]
        fn any_bytes_are_read_without_panic(bytes in proptest::collection::vec(proptest::num::u8::ANY, 0..80)) {
            read(&bytes, &Delimiters::USUAL, Charset::Utf8);
        }
    }
}
