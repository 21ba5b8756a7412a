//! The five (or six) characters that a message declares for itself in MSH-1 and MSH-2 (HL7 v2.8.2 chapter 2.5.4).

/// The encoding characters of one message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Delimiters {
    /// Between fields; MSH-1.
    pub field: u8,
    /// Between components.
    pub component: u8,
    /// Between repetitions.
    pub repetition: u8,
    /// Around escape sequences; none in some 2.1 messages.
    pub escape: Option<u8>,
    /// Between sub-components; none in some 2.1 messages.
    pub subcomponent: Option<u8>,
    /// Marks a truncated value (since 2.7).
    pub truncation: Option<u8>,
}

impl Delimiters {
    /// `|^~\&`, which is what nearly everybody sends.
    pub const USUAL: Delimiters = Delimiters { field: b'|', component: b'^', repetition: b'~', escape: Some(b'\\'), subcomponent: Some(b'&'), truncation: None };

    /// Reads them behind `MSH`; the error says what is wrong with MSH-1 or MSH-2.
    pub fn read(after_name: &[u8]) -> Result<Self, &'static str> {
        let (&field, rest) = after_name.split_first().ok_or("MSH-1 is missing: the field separator stands right behind MSH")?;
        if field.is_ascii_alphanumeric() || !field.is_ascii_graphic() {
            return Err("MSH-1 must be a printable character that is no letter or digit");
        }
        let declared = rest.split(|byte| *byte == field || *byte == b'\r' || *byte == b'\n').next().unwrap_or_default();
        let at = |index: usize| declared.get(index).copied();
        let component = at(0).ok_or("MSH-2 is empty: it holds the encoding characters, usually ^~\\&")?;
        let repetition = at(1).ok_or("MSH-2 has no repetition separator")?;
        let found = Self { field, component, repetition, escape: at(2), subcomponent: at(3), truncation: at(4) };
        if declared.len() > 5 {
            return Err("MSH-2 has more than five encoding characters");
        }
        let all = [&[field], declared].concat();
        if all.iter().any(|byte| byte.is_ascii_alphanumeric() || !byte.is_ascii_graphic()) {
            return Err("MSH-2 must be printable characters that are no letters or digits");
        }
        let is_distinct = all.iter().enumerate().all(|(index, byte)| !all[..index].contains(byte));
        if is_distinct { Ok(found) } else { Err("MSH-1 and MSH-2 use one character for two purposes") }
    }

    /// MSH-2 as text bytes.
    pub fn declared(&self) -> Vec<u8> {
        let mut bytes = vec![self.component, self.repetition];
        bytes.extend([self.escape, self.subcomponent, self.truncation].into_iter().flatten());
        bytes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rule_7_any_printable_set_and_the_faults_of_each() {
        let read = |text: &str| Delimiters::read(text.as_bytes());
        assert_eq!(read("|^~\\&|").unwrap(), Delimiters::USUAL);
        assert_eq!(read("|^~\\&#|").unwrap().truncation, Some(b'#'));
        assert_eq!(read("$%~\\&$").unwrap().field, b'$');
        assert_eq!(read("|^~|").unwrap().escape, None);
        for (text, part) in [
            ("", "MSH-1 is missing"),
            ("A^~\\&", "MSH-1 must"),
            ("||", "empty"),
            ("|^|", "no repetition"),
            ("|^^\\&|", "two purposes"),
            ("|^~\\&#%|", "more than five"),
            ("|^~a&|", "printable"),
        ] {
            assert!(read(text).unwrap_err().contains(part), "{text}");
        }
    }
}
