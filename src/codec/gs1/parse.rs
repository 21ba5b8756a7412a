//! Scan text to elements: AIM symbology prefixes, FNC1, and the bracketed form that people type.

use std::borrow::Cow;

use super::table::{self, Entry};
use super::{Pairing, check, pairs};

/// FNC1 as scanners transmit it between elements.
const GROUP_SEPARATOR: u8 = 0x1D;

/// One element: application identifier and value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Element<'a> {
    /// Two to four digits.
    pub ai: &'a str,
    /// The value, checked.
    pub value: Cow<'a, str>,
    /// The data title, such as `GTIN`; empty for coupons.
    pub title: &'static str,
}

/// A checked element string.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ElementString<'a> {
    /// The elements in the order of the scan.
    pub elements: Vec<Element<'a>>,
}

/// What a scan is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Scan<'a> {
    /// GS1 elements.
    Elements(ElementString<'a>),
    /// A symbol that carries plain text, by its AIM prefix (such as `]C0`).
    Text {
        /// The AIM symbology identifier without the bracket.
        symbology: &'a str,
        /// What the symbol says.
        text: &'a str,
    },
}

/// Why a scan is refused: the place is a byte offset in the scan.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("at {at}: {why}")]
pub struct Fault {
    /// Byte offset.
    pub at: usize,
    /// What is wrong and what would be right.
    pub why: String,
}

impl Fault {
    fn new(at: usize, why: impl Into<String>) -> Self {
        Self { at, why: why.into() }
    }
}

impl<'a> ElementString<'a> {
    /// The value of an identifier; the first where there are several.
    pub fn get(&self, ai: &str) -> Option<&str> {
        self.elements.iter().find(|element| element.ai == ai).map(|element| element.value.as_ref())
    }

    /// Rules between elements that do not hold. What is missing may stand on another label of the item;
    /// what excludes or contradicts is wrong by itself.
    pub fn pairing_faults(&self) -> Vec<Pairing> {
        pairs::check(&self.elements)
    }

    /// The element string with `^` for FNC1, in the order of the scan.
    pub fn canonical(&self) -> String {
        let mut text = String::from("^");
        let mut needs_separator = false;
        for element in &self.elements {
            if needs_separator {
                text.push('^');
            }
            text.push_str(element.ai);
            text.push_str(&element.value);
            needs_separator = table::find(element.ai).is_some_and(|entry| !entry.is_predefined);
        }
        text
    }
}

/// Reads what a scanner sent or a person typed: an AIM prefix and data, `(01)…` in brackets, data that begins with FNC1
/// (`^` or 0x1D), or plain data that begins with an identification key (so that a bare number is never taken for one).
pub fn scan(text: &str) -> Result<Scan<'_>, Fault> {
    if let Some(rest) = text.strip_prefix(']') {
        return symbol(rest);
    }
    if text.starts_with('(') {
        return bracketed(text).map(Scan::Elements);
    }
    if let Some(rest) = text.strip_prefix(['^', char::from(GROUP_SEPARATOR)]) {
        return elements(rest, 1).map(Scan::Elements);
    }
    const KEYS: [&str; 17] = ["00", "01", "02", "03", "253", "255", "401", "402", "414", "417", "8003", "8004", "8006", "8010", "8013", "8017", "8018"];
    match table::starting(text) {
        Some((_, length)) if KEYS.contains(&&text[..length]) => elements(text, 0).map(Scan::Elements),
        _ => Err(Fault::new(0, "this is no GS1 data: it has no AIM prefix such as ]d2, no FNC1 and no brackets, and does not begin with an identification key such as 01")),
    }
}

fn symbol(rest: &str) -> Result<Scan<'_>, Fault> {
    let (Some(symbology), Some(data)) = (rest.get(..2), rest.get(2..)) else {
        return Err(Fault::new(0, "an AIM prefix is ], a letter and a digit"));
    };
    match symbology {
        // GS1-128, GS1 DataBar and composite, GS1 DataMatrix, GS1 QR, GS1 DotCode (GS1 General Specifications 5.1.3).
        "C1" | "e0" | "e1" | "e2" | "d2" | "Q3" | "J1" => elements(data, 3).map(Scan::Elements),
        "E0" => retail(data, 13),
        "E4" => retail(data, 8),
        _ if symbology.as_bytes()[0].is_ascii_alphabetic() && symbology.as_bytes()[1].is_ascii_alphanumeric() && known_symbology(symbology) => {
            Ok(Scan::Text { symbology, text: data })
        }
        _ => Err(Fault::new(0, format!("]{symbology} is no symbology that is known here"))),
    }
}

/// Symbologies that carry plain text (ISO/IEC 15424): Code 39, Code 128, DataMatrix, QR, Aztec, PDF417, Codabar, 2 of 5, DotCode and others.
fn known_symbology(symbology: &str) -> bool {
    symbology.as_bytes().first().is_some_and(|letter| b"ABCFGHILMNOPQRSTdzoJU".contains(letter)) && symbology != "Q3" && symbology != "d2"
}

/// EAN and UPC carry a bare GTIN; a composite component may follow.
fn retail(data: &str, digits: usize) -> Result<Scan<'_>, Fault> {
    let (number, composite) = match data.split_once("|]e0") {
        Some((number, composite)) => (number, Some(composite)),
        None => (data, None),
    };
    if number.len() != digits {
        return Err(Fault::new(3, format!("the symbol carries {digits} digits, {} came", number.len())));
    }
    let entry = table::find("01").ok_or_else(|| Fault::new(0, "AI 01 is unknown"))?;
    let gtin = format!("{number:0>14}");
    check_value(entry, &gtin).map_err(|why| Fault::new(3, format!("AI 01: {why}")))?;
    let mut all = vec![Element { ai: "01", value: Cow::Owned(gtin), title: entry.title }];
    if let Some(composite) = composite {
        all.extend(elements(composite, 3 + digits + 4)?.elements);
    }
    Ok(Scan::Elements(ElementString { elements: all }))
}

/// Elements one behind the other; `offset` is where `data` stands in the scan.
fn elements(data: &str, offset: usize) -> Result<ElementString<'_>, Fault> {
    let is_separator = |byte: u8| byte == GROUP_SEPARATOR || byte == b'^';
    let mut found = Vec::with_capacity(4);
    let mut at = 0;
    while at < data.len() {
        let rest = data.get(at..).ok_or_else(|| Fault::new(offset + at, "not ASCII"))?;
        let (entry, length) =
            table::starting(rest).ok_or_else(|| Fault::new(offset + at, format!("{:?} begins no known application identifier", rest.chars().take(4).collect::<String>())))?;
        let body = &rest[length..];
        let until_separator = body.bytes().position(is_separator).unwrap_or(body.len());
        let end = if entry.is_predefined { until_separator.min(entry.parts.iter().map(|part| part.max).sum()) } else { until_separator };
        let value = body.get(..end).ok_or_else(|| Fault::new(offset + at, "not ASCII"))?;
        check_value(entry, value).map_err(|why| Fault::new(offset + at + length, format!("AI {}: {why}", &rest[..length])))?;
        found.push(Element { ai: &rest[..length], value: Cow::Borrowed(value), title: entry.title });
        at += length + end;
        if data.as_bytes().get(at).is_some_and(|byte| is_separator(*byte)) {
            at += 1;
        }
    }
    if found.is_empty() {
        return Err(Fault::new(offset, "there is no element"));
    }
    Ok(ElementString { elements: found })
}

/// `(01)…(17)…`; an opening bracket inside a value is written `\(`.
fn bracketed(text: &str) -> Result<ElementString<'_>, Fault> {
    let mut found = Vec::with_capacity(4);
    let mut at = 0;
    while at < text.len() {
        let rest = &text[at..];
        let close = rest.find(')').ok_or_else(|| Fault::new(at, "a bracket is not closed"))?;
        let ai = rest.get(1..close).unwrap_or_default();
        let entry = table::find(ai).ok_or_else(|| Fault::new(at + 1, format!("{ai:?} is no known application identifier")))?;
        let body = &rest[close + 1..];
        let end = value_end(body);
        let value = match body[..end].contains("\\(") {
            true => Cow::Owned(body[..end].replace("\\(", "(")),
            false => Cow::Borrowed(&body[..end]),
        };
        check_value(entry, &value).map_err(|why| Fault::new(at + close + 1, format!("AI {ai}: {why}")))?;
        found.push(Element { ai, value, title: entry.title });
        at += close + 1 + end;
    }
    Ok(ElementString { elements: found })
}

fn value_end(body: &str) -> usize {
    let bytes = body.as_bytes();
    (0..bytes.len()).find(|at| bytes[*at] == b'(' && (*at == 0 || bytes[*at - 1] != b'\\')).unwrap_or(bytes.len())
}

/// The parts of a value, each of its length and content.
fn check_value(entry: &Entry, value: &str) -> Result<(), String> {
    if !value.is_ascii() {
        return Err("the value holds a character that is not ASCII".to_owned());
    }
    let mut rest = value;
    for part in entry.parts {
        if part.is_optional && rest.is_empty() {
            return Ok(());
        }
        let (head, tail) = rest.split_at(rest.len().min(part.max));
        if head.len() < part.min {
            let least: usize = entry.parts.iter().filter(|part| !part.is_optional).map(|part| part.min).sum();
            return Err(format!("the value has {} characters, it needs {}{}", value.len(), if part.min == part.max { "" } else { "at least " }, least.max(part.min)));
        }
        check::part(part, head)?;
        rest = tail;
    }
    match rest.len() {
        0 => Ok(()),
        more => Err(format!("the value has {more} characters too many: it ends with FNC1 or has {} at most", value.len() - more)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, expected: Result<&str, &str>) {
        match (scan(text), expected) {
            (Ok(Scan::Elements(found)), Ok(canonical)) => assert_eq!(found.canonical(), canonical, "{text}"),
            (Ok(Scan::Text { text: found, .. }), Ok(plain)) => assert_eq!(found, plain, "{text}"),
            (Err(fault), Err(part)) => assert!(fault.to_string().contains(part), "{text}: {fault}"),
            (found, expected) => panic!("{text}: {found:?}, expected {expected:?}"),
        }
    }

    #[test]
    fn scans_of_every_form() {
        check("(01)09506000134352(17)201031(30)100", Ok("^0109506000134352172010313 0100".replace(' ', "").as_str()));
        check("]d20109506000134352172010311\u{30}L1\u{1d}21S9", Ok("^010950600013435217201031 10L1^21S9".replace(' ', "").as_str()));
        check("]C10109506000134352", Ok("^0109506000134352"));
        check("^10A\u{1d}21B", Ok("^10A^21B"));
        check("\u{1d}10A^", Ok("^10A"));
        check("010950600013435221AB", Ok("^010950600013435221AB"));
        check("(10)A\\(1)", Ok("^10A(1)"));
        check("]E09506000134352", Ok("^0109506000134352"));
        check("]E496385074", Ok("^0100000096385074"));
        check("]C026112100017", Ok("26112100017"));
        check("26112100017", Err("no GS1 data"));
        check("991234", Err("no GS1 data"));
        check("]Z", Err("AIM prefix"));
        check("]X01", Err("no symbology"));
        check("]d2", Err("no element"));
        check("(01)09506000134353", Err("check digit"));
        check("(17)261332", Err("AI 17"));
        check("(10)", Err("needs"));
        check("(10)é", Err("not ASCII"));
        check("(01)0950600013435", Err("needs 14"));
        check("^89A", Err("no known application identifier"));
        check("^2421234567", Err("too many"));
        check("^é", Err("begins no known"));
    }

    #[test]
    fn elements_need_and_exclude_each_other() {
        let faults = |text: &str| match scan(text).unwrap() {
            Scan::Elements(found) => found.pairing_faults().iter().map(ToString::to_string).collect::<Vec<_>>(),
            Scan::Text { .. } => panic!("{text}"),
        };
        assert!(faults("(01)12345678901231(10)A(21)B").is_empty());
        assert_eq!(faults("(21)B"), ["AI 21 needs one of 01,03,8006 beside it"]);
        assert_eq!(faults("(01)12345678901231(02)12345678901231")[0], "AI 02 must not stand with AI 01");
        assert_eq!(faults("(01)12345678901231(10)A(10)B"), ["AI 10 stands twice with different values"]);
    }

    proptest::proptest! {
        #[test]
        fn any_text_is_read_without_panic(text in "(\\]d2|\\(|\\^|01)?.{0,40}") {
            if let Ok(Scan::Elements(found)) = scan(&text) {
                let canonical = found.canonical();
                let again = scan(&canonical).unwrap();
                proptest::prop_assert_eq!(Scan::Elements(ElementString { elements: found.elements.clone() }), again);
            }
        }
    }
}
