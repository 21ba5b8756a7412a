//! ZPL II, the language of label printers (Zebra, ZPL II programming guide): labels out, host status in.
//!
//! **Invariant**: no text of a patient's name can be a command: all but letters, digits and a few marks go out as hexadecimal (`^FH`).

use std::fmt::Write;

use crate::kernel::{Date, Gsrn};

/// Asks the printer how it is (`~HS`).
pub const ASK_STATUS: &[u8] = b"~HS";

/// Has the printer forget all labels that it was given (`~JA`).
pub const CANCEL_ALL: &[u8] = b"~JA";

/// What stands on a wristband.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wristband {
    /// `Family, Given`.
    pub name: String,
    /// When the patient was born.
    pub born: Option<Date>,
    /// A letter: `F`, `M`, `X`, or `?`.
    pub sex: char,
    /// The medical record number.
    pub mrn: String,
    /// The patient's number in the code.
    pub gsrn: Gsrn,
    /// The number of this very band.
    pub number: u32,
}

/// A text as field data: UTF-8, everything that could be a command in hexadecimal behind a backslash (`^FH\`).
fn field(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b' ' | b',' | b'.' | b'-' | b'/' | b':' => out.push(char::from(byte)),
            // Writing to a string does not fail.
            _ => drop(write!(out, "\\{byte:02X}")),
        }
    }
    out
}

impl Wristband {
    /// What a scanner reads from it, as people write it: (8018) who, (8019) which print (GS1 General Specifications, 3.9.9 and 3.9.10).
    pub fn code(&self) -> String {
        format!("(8018){}(8019){}", self.gsrn.as_str(), self.number)
    }

    /// The label for a band of 1 inch by 11 at 203 dots an inch, read along its length.
    pub fn label(&self) -> Vec<u8> {
        let born = self.born.map_or_else(|| "born ?".to_owned(), |born| format!("born {born}"));
        let lines = [(30, 44, self.name.clone()), (84, 34, format!("{born}  {}", self.sex)), (128, 34, format!("No. {}  band {}", self.mrn, self.number))];
        let mut label = String::from("^XA^CI28^PW203^LL2233\r\n");
        for (down, height, text) in lines {
            // The band comes out lengthwise: text is turned, so that what is further down lies further left.
            let across = 203 - down - height;
            let _ = write!(label, "^FO{across},560^A0R,{height},{height}^FH\\^FD{}^FS\r\n", field(&text));
        }
        // DataMatrix ECC 200; _1 is FNC1: in front for GS1, and behind 8018, whose length is not among the predefined ones.
        for down in [330, 1_500] {
            let _ = write!(label, "^FO40,{down}^BXN,6,200,,,,_^FD_18018{}_18019{}^FS\r\n", self.gsrn.as_str(), self.number);
        }
        label.push_str("^PQ1^XZ\r\n");
        label.into_bytes()
    }
}

/// How a printer is, by its answer to `~HS`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Status {
    /// It has printed all that it was given.
    Idle,
    /// It is printing.
    Busy,
    /// Somebody must go there.
    Stopped(&'static str),
}

/// Reads the three strings of an answer; none while it is not complete.
pub fn status(answer: &[u8]) -> Option<Status> {
    let mut strings = answer.split(|byte| *byte == 0x02).skip(1).map(|rest| rest.split(|byte| *byte == 0x03).next().unwrap_or_default());
    let is_complete = answer.iter().filter(|byte| **byte == 0x03).count() >= 3;
    let (first, second) = (strings.next()?, strings.next()?);
    if !is_complete {
        return None;
    }
    let fields = |string: &[u8]| String::from_utf8_lossy(string).split(',').map(|text| text.trim().to_owned()).collect::<Vec<_>>();
    let (first, second) = (fields(first), fields(second));
    let is_set = |fields: &[String], at: usize| fields.get(at).is_some_and(|text| text == "1");
    let is_zero = |fields: &[String], at: usize| fields.get(at).is_some_and(|text| text.bytes().all(|byte| byte == b'0'));
    Some(match () {
        () if first.len() < 9 || second.len() < 9 => Status::Stopped("its status cannot be read: is it a ZPL printer?"),
        () if is_set(&first, 1) => Status::Stopped("it is out of wristbands"),
        () if is_set(&second, 2) => Status::Stopped("its head is open"),
        () if is_set(&second, 3) => Status::Stopped("it is out of ribbon"),
        () if is_set(&first, 2) => Status::Stopped("it is paused"),
        () if is_set(&first, 5) => Status::Stopped("its buffer is full"),
        () if is_zero(&first, 4) && is_zero(&second, 8) && !is_set(&first, 7) => Status::Idle,
        () => Status::Busy,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn band(name: &str) -> Wristband {
        let gsrn = Gsrn::issue(&"9521141".parse().unwrap(), 4_711).unwrap();
        Wristband { name: name.to_owned(), born: "1980-01-02".parse().ok(), sex: 'F', mrn: "W00000018".to_owned(), gsrn, number: 3 }
    }

    #[test]
    fn a_name_can_be_no_command() {
        for name in ["DOE^JANE", "DOE~JANE", "^XZ^XA^FDROE", "A\\B", "x_1", "M\u{fc}ller", "\u{674e}", "a\r\nb\u{7}"] {
            let label = String::from_utf8(band(name).label()).unwrap();
            let plain = String::from_utf8(band("Doe").label()).unwrap();
            let marks = |text: &str| text.bytes().filter(|byte| b"^~".contains(byte)).count();
            assert_eq!(marks(&label), marks(&plain), "{name:?}: {label}");
            assert!(label.is_ascii() && label.lines().count() == plain.lines().count(), "{name:?}");
        }
        assert!(field("M\u{fc}ller, J").starts_with("M\\C3\\BCller, J"));
    }

    #[test]
    fn the_code_is_gs1_datamatrix_with_person_and_print() {
        let band = band("Doe, Jane");
        assert_eq!(band.code(), "(8018)952114100000047112(8019)3");
        let label = String::from_utf8(band.label()).unwrap();
        assert_eq!(label.matches("^BXN,6,200,,,,_^FD_18018952114100000047112_180193^FS").count(), 2, "{label}");
        let read = crate::codec::gs1::scan("]d28018952114100000047112\u{1d}80193").unwrap();
        let crate::codec::gs1::Scan::Elements(found) = read else { panic!() };
        assert_eq!((found.get("8018"), found.get("8019")), (Some("952114100000047112"), Some("3")));
    }

    #[test]
    fn a_printer_s_status() {
        let answer = |first: &str, second: &str| format!("\u{2}{first}\u{3}\r\n\u{2}{second}\u{3}\r\n\u{2}1234,0\u{3}\r\n").into_bytes();
        let (good, ready) = ("030,0,0,1245,000,0,0,0,000,0,0,0", "000,0,0,0,0,2,6,0,00000000,1,000");
        let cases = [
            (good, ready, Status::Idle),
            ("030,0,0,1245,001,0,0,0,000,0,0,0", ready, Status::Busy),
            (good, "000,0,0,0,0,2,6,0,00000001,1,000", Status::Busy),
            ("030,1,0,1245,000,0,0,0,000,0,0,0", ready, Status::Stopped("it is out of wristbands")),
            ("030,0,1,1245,000,0,0,0,000,0,0,0", ready, Status::Stopped("it is paused")),
            (good, "000,0,1,0,0,2,6,0,00000000,1,000", Status::Stopped("its head is open")),
            (good, "000,0,0,1,0,2,6,0,00000000,1,000", Status::Stopped("it is out of ribbon")),
            ("x", "y", Status::Stopped("its status cannot be read: is it a ZPL printer?")),
        ];
        for (first, second, expected) in cases {
            let whole = answer(first, second);
            assert_eq!(status(&whole), Some(expected), "{first} {second}");
            for cut in 0..whole.len() - 3 {
                assert_eq!(status(&whole[..cut]), None, "an answer that is cut says nothing");
            }
        }
    }
}
