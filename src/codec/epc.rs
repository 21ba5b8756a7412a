//! EPC tags: hexadecimal memory contents to tag URI and back (GS1 EPC Tag Data Standard 1.13, chapters 12 to 14).
//!
//! Flow: hex of a reader → [`Tag::from_hex`] → [`Tag::uri`]; a URI → [`Tag::from_uri`] → [`Tag::hex`].
//! **Invariant**: what is read is written again bit for bit, so that no two tags become one.

use std::fmt::Write as _;

/// Why a tag is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum EpcError {
    /// Not hexadecimal, or not a whole number of 16-bit words.
    #[error("an EPC is hexadecimal digits, 24 for a 96-bit tag: {0}")]
    Hex(&'static str),
    /// The first byte names no scheme that is read here.
    #[error("header 0x{0:02X} is no scheme that is known here (known: SGTIN, SSCC, SGLN, GRAI, GIAI, GSRN, GSRNP)")]
    Header(u8),
    /// The tag is shorter than its scheme.
    #[error("{scheme} has {needed} bits, the tag has {found}")]
    Length {
        /// The scheme as in its URI.
        scheme: &'static str,
        /// Bits needed.
        needed: usize,
        /// Bits found.
        found: usize,
    },
    /// A field whose value its scheme forbids.
    #[error("{scheme}: {field}: {why}")]
    Field {
        /// The scheme as in its URI.
        scheme: &'static str,
        /// Which field.
        field: &'static str,
        /// What is wrong.
        why: String,
    },
    /// Not a tag URI.
    #[error("{0:?} is no EPC tag URI: urn:epc:tag:sgtin-96:3.0614141.812345.6789 is one")]
    Uri(String),
}

/// How the last field of a scheme is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Serial {
    /// None: zero bits fill the tag.
    None,
    /// A number of this many bits.
    Number(usize),
    /// Up to this many characters of seven bits, ended by a zero character.
    Text(usize),
}

#[derive(Debug)]
struct Scheme {
    name: &'static str,
    header: u8,
    bits: usize,
    /// Digits of company prefix and reference together; the reference of a GIAI is its serial.
    digits: usize,
    /// Bits of the reference for partition 0 (a company prefix of 12 digits).
    reference_bits: usize,
    serial: Serial,
}

const fn scheme(name: &'static str, header: u8, bits: usize, digits: usize, reference_bits: usize, serial: Serial) -> Scheme {
    Scheme { name, header, bits, digits, reference_bits, serial }
}

/// Bits of the company prefix for partitions 0 to 6, prefixes of 12 to 6 digits (TDS 14.2).
const PREFIX_BITS: [usize; 7] = [40, 37, 34, 30, 27, 24, 20];

static SCHEMES: [Scheme; 11] = [
    scheme("sgtin-96", 0x30, 96, 13, 4, Serial::Number(38)),
    scheme("sgtin-198", 0x36, 198, 13, 4, Serial::Text(20)),
    scheme("sscc-96", 0x31, 96, 17, 18, Serial::None),
    scheme("sgln-96", 0x32, 96, 12, 1, Serial::Number(41)),
    scheme("sgln-195", 0x39, 195, 12, 1, Serial::Text(20)),
    scheme("grai-96", 0x33, 96, 12, 4, Serial::Number(38)),
    scheme("grai-170", 0x37, 170, 12, 4, Serial::Text(16)),
    scheme("giai-96", 0x34, 96, 0, 42, Serial::None),
    scheme("giai-202", 0x38, 202, 0, 148, Serial::None),
    scheme("gsrn-96", 0x2D, 96, 17, 18, Serial::None),
    scheme("gsrnp-96", 0x2E, 96, 17, 18, Serial::None),
];

impl Scheme {
    fn fault(&self, field: &'static str, why: impl Into<String>) -> EpcError {
        EpcError::Field { scheme: self.name, field, why: why.into() }
    }

    fn partition(&self, partition: usize) -> Result<(usize, usize, usize), EpcError> {
        let prefix_bits = *PREFIX_BITS.get(partition).ok_or_else(|| self.fault("partition", "7 is none"))?;
        let reference_bits = self.reference_bits + 40 - prefix_bits;
        Ok((prefix_bits, 12 - partition, reference_bits))
    }

    fn is_giai_text(&self) -> bool {
        self.name == "giai-202"
    }
}

/// A tag by its scheme and fields.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tag {
    scheme: &'static str,
    filter: u8,
    company_prefix: String,
    reference: String,
    serial: Option<String>,
}

impl Tag {
    /// The scheme as in its URI, such as `sgtin-96`.
    pub fn scheme(&self) -> &'static str {
        self.scheme
    }

    /// The GS1 Company Prefix, 6 to 12 digits.
    pub fn company_prefix(&self) -> &str {
        &self.company_prefix
    }

    /// The tag that this EPC memory holds.
    pub fn from_hex(hex: &str) -> Result<Self, EpcError> {
        let hex = hex.trim();
        if hex.is_empty() || !hex.len().is_multiple_of(4) || hex.len() > 124 {
            return Err(EpcError::Hex("whole words of 4 digits, at most 124"));
        }
        let bits = Bits::from_hex(hex).ok_or(EpcError::Hex("there is another character"))?;
        let header = u8::try_from(bits.number(0, 8)).unwrap_or(0);
        let scheme = SCHEMES.iter().find(|scheme| scheme.header == header).ok_or(EpcError::Header(header))?;
        if bits.len() < scheme.bits {
            return Err(EpcError::Length { scheme: scheme.name, needed: scheme.bits, found: bits.len() });
        }
        let tag = decode(scheme, &bits)?;
        // What cannot be written is no tag: memory with an empty serial, say, would be the same "tag" on every piece.
        tag.bits(scheme)?;
        Ok(tag)
    }

    /// The tag of a URI `urn:epc:tag:…`.
    pub fn from_uri(uri: &str) -> Result<Self, EpcError> {
        let wrong = || EpcError::Uri(uri.chars().take(80).collect());
        let rest = uri.trim().strip_prefix("urn:epc:tag:").ok_or_else(wrong)?;
        let (name, fields) = rest.split_once(':').ok_or_else(wrong)?;
        let scheme = SCHEMES.iter().find(|scheme| scheme.name == name).ok_or_else(wrong)?;
        let (filter, fields) = fields.split_once('.').ok_or_else(wrong)?;
        let (company_prefix, fields) = fields.split_once('.').ok_or_else(wrong)?;
        let (reference, serial) = match scheme.serial {
            Serial::None => (fields, None),
            Serial::Number(_) | Serial::Text(_) => fields.split_once('.').map(|(reference, serial)| (reference, Some(serial))).ok_or_else(wrong)?,
        };
        let filter = filter.parse().ok().filter(|filter| *filter < 8).ok_or_else(|| scheme.fault("filter", "it is 0 to 7"))?;
        let plain = |text: &str| unescaped(text).ok_or_else(wrong);
        let tag = Self { scheme: scheme.name, filter, company_prefix: company_prefix.to_owned(), reference: plain(reference)?, serial: serial.map(plain).transpose()? };
        tag.bits(scheme)?;
        Ok(tag)
    }

    /// `urn:epc:tag:sgtin-96:3.0614141.812345.6789`
    pub fn uri(&self) -> String {
        format!("urn:epc:tag:{}:{}.{}", self.scheme, self.filter, self.fields())
    }

    /// `urn:epc:id:sgtin:0614141.812345.6789`, the same for a thing whatever its tag's size and filter.
    pub fn pure_identity(&self) -> String {
        let name = self.scheme.split('-').next().unwrap_or_default();
        format!("urn:epc:id:{name}:{}", self.fields())
    }

    fn fields(&self) -> String {
        let mut text = format!("{}.{}", self.company_prefix, escaped(&self.reference));
        if let Some(serial) = &self.serial {
            text.push('.');
            text.push_str(&escaped(serial));
        }
        text
    }

    /// The EPC memory as upper-case hexadecimal digits, filled to whole 16-bit words.
    pub fn hex(&self) -> String {
        SCHEMES.iter().find(|scheme| scheme.name == self.scheme).and_then(|scheme| self.bits(scheme).ok()).map(|bits| bits.hex()).unwrap_or_default()
    }

    fn bits(&self, scheme: &Scheme) -> Result<Bits, EpcError> {
        let digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
        let partition = 12_usize.checked_sub(self.company_prefix.len()).filter(|partition| *partition <= 6 && digits(&self.company_prefix));
        let partition = partition.ok_or_else(|| scheme.fault("company prefix", "it is 6 to 12 digits"))?;
        let (prefix_bits, prefix_digits, reference_bits) = scheme.partition(partition)?;
        let mut bits = Bits::default();
        bits.push(u128::from(scheme.header), 8);
        bits.push(u128::from(self.filter), 3);
        bits.push(partition as u128, 3);
        bits.push(self.company_prefix.parse().unwrap_or(0), prefix_bits);
        if scheme.is_giai_text() {
            bits.push_text(scheme, "individual asset reference", &self.reference, reference_bits / 7)?;
        } else if !digits(&self.reference) {
            return Err(scheme.fault("reference", "it is digits"));
        } else {
            let expected = scheme.digits.checked_sub(prefix_digits);
            if expected.is_some_and(|expected| self.reference.len() != expected) {
                return Err(scheme.fault("reference", format!("it has {} digits, company prefix and reference together have {}", self.reference.len(), scheme.digits)));
            }
            if expected.is_none() && (self.reference.is_empty() || (self.reference.len() > 1 && self.reference.starts_with('0'))) {
                return Err(scheme.fault("individual asset reference", "it is a number without leading zeros"));
            }
            let number: u128 = if self.reference.is_empty() { 0 } else { self.reference.parse().map_err(|_| scheme.fault("reference", "it is too large"))? };
            if number >= 1 << reference_bits {
                return Err(scheme.fault("reference", "it is too large for the tag"));
            }
            bits.push(number, reference_bits);
        }
        let serial = self.serial.as_deref().unwrap_or_default();
        match scheme.serial {
            Serial::None => {}
            Serial::Number(width) => {
                let is_canonical = digits(serial) && !serial.is_empty() && (serial == "0" || !serial.starts_with('0'));
                let number: u128 = serial.parse().ok().filter(|_| is_canonical).ok_or_else(|| scheme.fault("serial", "it is a number without leading zeros"))?;
                if number >= 1 << width {
                    return Err(scheme.fault("serial", "it is too large for the tag; a longer scheme carries it"));
                }
                bits.push(number, width);
            }
            Serial::Text(length) => bits.push_text(scheme, "serial", serial, length * 7)?,
        }
        while bits.len() < scheme.bits || !bits.len().is_multiple_of(16) {
            bits.push(0, 1);
        }
        Ok(bits)
    }
}

fn decode(scheme: &'static Scheme, bits: &Bits) -> Result<Tag, EpcError> {
    let filter = u8::try_from(bits.number(8, 3)).unwrap_or(0);
    let (prefix_bits, prefix_digits, reference_bits) = scheme.partition(usize::try_from(bits.number(11, 3)).unwrap_or(7))?;
    let prefix = bits.number(14, prefix_bits);
    if prefix >= 10_u128.pow(u32::try_from(prefix_digits).unwrap_or(12)) {
        return Err(scheme.fault("company prefix", format!("{prefix} has more than {prefix_digits} digits")));
    }
    let company_prefix = format!("{prefix:0prefix_digits$}");
    let at = 14 + prefix_bits;
    let reference = if scheme.is_giai_text() {
        bits.text(scheme, at, reference_bits)?
    } else {
        let number = bits.number(at, reference_bits);
        match scheme.digits.checked_sub(prefix_digits) {
            None => number.to_string(),
            Some(0) if number == 0 => String::new(),
            Some(width) => {
                if number >= 10_u128.pow(u32::try_from(width).unwrap_or(17)) {
                    return Err(scheme.fault("reference", format!("{number} has more than {width} digits")));
                }
                format!("{number:0width$}")
            }
        }
    };
    let at = at + reference_bits;
    let serial = match scheme.serial {
        Serial::None => None,
        Serial::Number(width) => Some(bits.number(at, width).to_string()),
        Serial::Text(length) => Some(bits.text(scheme, at, length * 7)?),
    };
    Ok(Tag { scheme: scheme.name, filter, company_prefix, reference, serial })
}

/// A row of bits.
#[derive(Debug, Default)]
struct Bits(Vec<bool>);

impl Bits {
    fn from_hex(hex: &str) -> Option<Self> {
        let digits = hex.chars().map(|digit| digit.to_digit(16)).collect::<Option<Vec<u32>>>()?;
        Some(Self(digits.iter().flat_map(|digit| (0..4).rev().map(move |bit| digit >> bit & 1 == 1)).collect()))
    }

    fn len(&self) -> usize {
        self.0.len()
    }

    fn number(&self, from: usize, width: usize) -> u128 {
        self.0.iter().skip(from).take(width).fold(0, |number, bit| number << 1 | u128::from(*bit))
    }

    fn push(&mut self, number: u128, width: usize) {
        self.0.extend((0..width).rev().map(|bit| number >> bit & 1 == 1));
    }

    /// Seven-bit characters up to the first zero; behind it only zeros.
    fn text(&self, scheme: &Scheme, from: usize, width: usize) -> Result<String, EpcError> {
        let mut text = String::new();
        let mut ended = false;
        for index in 0..width / 7 {
            let code = u8::try_from(self.number(from + index * 7, 7)).unwrap_or(0);
            match (code, ended) {
                (0, _) => ended = true,
                (_, true) => return Err(scheme.fault("serial", "a character stands behind its end")),
                (code, false) if is_epc_character(code) => text.push(char::from(code)),
                (code, false) => return Err(scheme.fault("serial", format!("character 0x{code:02X} is not allowed"))),
            }
        }
        Ok(text)
    }

    fn push_text(&mut self, scheme: &Scheme, field: &'static str, text: &str, width_or_length: usize) -> Result<(), EpcError> {
        // A GIAI gives its length in characters, a serial its width in bits.
        let length = if field == "serial" { width_or_length / 7 } else { width_or_length };
        if text.is_empty() || text.len() > length {
            return Err(scheme.fault(field, format!("it has 1 to {length} characters")));
        }
        for byte in text.bytes() {
            if !is_epc_character(byte) {
                return Err(scheme.fault(field, format!("character {:?} is not allowed", char::from(byte))));
            }
            self.push(u128::from(byte), 7);
        }
        (text.len()..length).for_each(|_| self.push(0, 7));
        Ok(())
    }

    fn hex(&self) -> String {
        self.0.chunks(4).map(|nibble| format!("{:X}", nibble.iter().fold(0_u8, |digit, bit| digit << 1 | u8::from(*bit)))).collect()
    }
}

/// GS1 AI encodable character set 82, which EPC text fields share (TDS annex A).
fn is_epc_character(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!\"%&'()*+,-./:;<=>?_".contains(&byte)
}

/// Characters that a URI cannot hold are written `%XX` (TDS 6.3.1).
fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for character in text.chars() {
        if "\"%&/<>?#".contains(character) {
            // Writing to a String cannot fail.
            let _ = write!(out, "%{:02X}", u32::from(character));
        } else {
            out.push(character);
        }
    }
    out
}

fn unescaped(text: &str) -> Option<String> {
    let mut pieces = text.split('%');
    let mut out = pieces.next().unwrap_or_default().to_owned();
    for piece in pieces {
        let code = u8::from_str_radix(piece.get(..2)?, 16).ok()?;
        out.push(char::from(code));
        out.push_str(&piece[2..]);
    }
    Some(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_standard_s_examples_both_ways() {
        // TDS 1.13 annex E and the examples of section 14.
        let cases = [
            ("3074257BF7194E4000001A85", "urn:epc:tag:sgtin-96:3.0614141.812345.6789", "urn:epc:id:sgtin:0614141.812345.6789"),
            ("3666C4409047E159B2C2BF100000000000000000000000000000", "urn:epc:tag:sgtin-198:3.95060001343.05.32a%2Fb", "urn:epc:id:sgtin:95060001343.05.32a%2Fb"),
            ("3114257BF4499602D2000000", "urn:epc:tag:sscc-96:0.0614141.1234567890", "urn:epc:id:sscc:0614141.1234567890"),
            ("3276451FD46072000000162E", "urn:epc:tag:sgln-96:3.9521141.12345.5678", "urn:epc:id:sgln:9521141.12345.5678"),
            ("3976451FD46072CD9615F8800000000000000000000000000000", "urn:epc:tag:sgln-195:3.9521141.12345.32a%2Fb", "urn:epc:id:sgln:9521141.12345.32a%2Fb"),
            ("3376451FD40C0E400000162E", "urn:epc:tag:grai-96:3.9521141.12345.5678", "urn:epc:id:grai:9521141.12345.5678"),
            ("3476451FD40000000000162E", "urn:epc:tag:giai-96:3.9521141.5678", "urn:epc:id:giai:9521141.5678"),
            ("3876451FD59B2C2BF10000000000000000000000000000000000", "urn:epc:tag:giai-202:3.9521141.32a%2Fb", "urn:epc:id:giai:9521141.32a%2Fb"),
            ("2D76451FD4499602D2000000", "urn:epc:tag:gsrn-96:3.9521141.1234567890", "urn:epc:id:gsrn:9521141.1234567890"),
            ("2E76451FD4499602D2000000", "urn:epc:tag:gsrnp-96:3.9521141.1234567890", "urn:epc:id:gsrnp:9521141.1234567890"),
        ];
        for (hex, uri, identity) in cases {
            let tag = Tag::from_hex(hex).unwrap();
            assert_eq!((tag.uri().as_str(), tag.pure_identity().as_str()), (uri, identity), "{hex}");
            assert_eq!(Tag::from_uri(uri).unwrap().hex(), hex, "{uri}");
        }
    }

    #[test]
    fn what_is_no_tag_is_refused_with_its_field() {
        for (hex, part) in [
            ("", "whole words"),
            ("303", "whole words"),
            ("30285471BD5A0A56789G1234", "another character"),
            ("F45349FB11DF49FA935AB6FF", "header 0xF4"),
            ("3036142C", "has 96 bits, the tag has 32"),
            ("303C83F1B7DD441678901234", "partition"),
            ("307FFFFFFFFFFFFFFFFFFFFF", "partition"),
        ] {
            let error = Tag::from_hex(hex).unwrap_err().to_string();
            assert!(error.contains(part), "{hex}: {error}");
        }
        for (uri, part) in [
            ("urn:epc:id:sgtin:1", "no EPC tag URI"),
            ("urn:epc:tag:sgtin-96:9.0614141.812345.6789", "filter"),
            ("urn:epc:tag:sgtin-96:3.061414.812345.6789", "reference"),
            ("urn:epc:tag:sgtin-96:3.0614141.812345.001", "leading zeros"),
            ("urn:epc:tag:sgtin-96:3.0614141.812345.274877906944", "too large"),
            ("urn:epc:tag:sgtin-198:3.0614141.812345.", "1 to 20"),
            ("urn:epc:tag:sgtin-96:3.06141.812345.1", "6 to 12 digits"),
        ] {
            let error = Tag::from_uri(uri).unwrap_err().to_string();
            assert!(error.contains(part), "{uri}: {error}");
        }
    }

    proptest::proptest! {
        #[test]
        fn what_is_read_is_written_bit_for_bit(header in 0usize..11, bytes in proptest::collection::vec(proptest::num::u8::ANY, 12..26)) {
            let mut bytes = bytes;
            bytes[0] = SCHEMES[header].header;
            bytes.truncate(bytes.len() / 2 * 2);
            let hex: String = bytes.iter().map(|byte| format!("{byte:02X}")).collect();
            if let Ok(tag) = Tag::from_hex(&hex) {
                let again = Tag::from_uri(&tag.uri()).unwrap();
                proptest::prop_assert_eq!(&again, &tag);
                let written = again.hex();
                let used = SCHEMES[header].bits / 4;
                if !matches!(SCHEMES[header].serial, Serial::None) {
                    proptest::prop_assert_eq!(&written[..used], &hex[..used]);
                }
            }
        }
    }
}
