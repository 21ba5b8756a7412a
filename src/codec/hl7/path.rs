//! Places in a message: `PID-3.1`, `OBX[2]-5`, `PID-3(2).4.1` (segment occurrence in brackets, repetition in parentheses).

use std::fmt;
use std::str::FromStr;

/// One place; every number counts from 1, and 0 means "not given" for component and sub-component.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Path {
    /// The three characters of the segment's name.
    pub segment: [u8; 3],
    /// Which of the segments of that name.
    pub occurrence: u16,
    /// Which field; MSH-1 is the field separator itself.
    pub field: u16,
    /// Which repetition of the field.
    pub repetition: u16,
    /// Which component, 0 for the whole repetition.
    pub component: u16,
    /// Which sub-component, 0 for the whole component.
    pub subcomponent: u16,
}

/// A text that is no path.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not a place in a message: write SEG-field.component.subcomponent, as in PID-3.1 or OBX[2]-5(1).2")]
pub struct PathError(String);

impl Path {
    /// The first occurrence and repetition of a field.
    pub const fn field(segment: &[u8; 3], field: u16) -> Self {
        Self { segment: *segment, occurrence: 1, field, repetition: 1, component: 0, subcomponent: 0 }
    }

    /// A component of that field.
    pub const fn component(self, component: u16) -> Self {
        Self { component, ..self }
    }

    /// The same place in another repetition.
    pub const fn repetition(self, repetition: u16) -> Self {
        Self { repetition, ..self }
    }

    /// The same place in another occurrence of the segment.
    pub const fn occurrence(self, occurrence: u16) -> Self {
        Self { occurrence, ..self }
    }
}

/// What of a path has not been read yet.
struct Rest<'t>(&'t [u8]);

impl Rest<'_> {
    /// Whether this byte is next; then it is behind.
    fn has(&mut self, byte: u8) -> bool {
        let rest = self.0.strip_prefix(&[byte]);
        self.0 = rest.unwrap_or(self.0);
        rest.is_some()
    }

    /// A number from 1.
    fn number(&mut self) -> Option<u16> {
        let digits = self.0.iter().take_while(|byte| byte.is_ascii_digit()).count();
        let (digits, rest) = self.0.split_at(digits);
        self.0 = rest;
        let number = digits.iter().try_fold(0_u16, |number, digit| number.checked_mul(10)?.checked_add(u16::from(digit - b'0')))?;
        (number > 0).then_some(number)
    }

    /// A number behind a byte, `none` where that byte is not next.
    fn behind(&mut self, byte: u8, none: u16) -> Option<u16> {
        if self.has(byte) { self.number() } else { Some(none) }
    }
}

impl FromStr for Path {
    type Err = PathError;
    fn from_str(text: &str) -> Result<Self, PathError> {
        let read = || {
            let segment: [u8; 3] = *text.as_bytes().first_chunk().filter(|name: &&[u8; 3]| name.iter().all(u8::is_ascii_alphanumeric))?;
            let mut rest = Rest(&text.as_bytes()[3..]);
            let is_indexed = rest.0.first() == Some(&b'[');
            let occurrence = rest.behind(b'[', 1)?;
            if (is_indexed && !rest.has(b']')) || !rest.has(b'-') {
                return None;
            }
            let field = rest.number()?;
            let is_repeated = rest.0.first() == Some(&b'(');
            let repetition = rest.behind(b'(', 1)?;
            if is_repeated && !rest.has(b')') {
                return None;
            }
            let component = rest.behind(b'.', 0)?;
            let subcomponent = if component == 0 { 0 } else { rest.behind(b'.', 0)? };
            rest.0.is_empty().then_some(Path { segment, occurrence, field, repetition, component, subcomponent })
        };
        read().ok_or_else(|| PathError(text.to_owned()))
    }
}

impl fmt::Display for Path {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(std::str::from_utf8(&self.segment).unwrap_or("???"))?;
        if self.occurrence != 1 {
            write!(f, "[{}]", self.occurrence)?;
        }
        write!(f, "-{}", self.field)?;
        if self.repetition != 1 {
            write!(f, "({})", self.repetition)?;
        }
        if self.component != 0 {
            write!(f, ".{}", self.component)?;
        }
        if self.subcomponent != 0 {
            write!(f, ".{}", self.subcomponent)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_print_and_parse() {
        for text in ["MSH-9.1", "PID-3(2).4.1", "OBX[12]-5", "ZPM-1"] {
            assert_eq!(text.parse::<Path>().unwrap().to_string(), text);
        }
        for wrong in [
            "",
            "PID",
            "PID-",
            "PID-0",
            "PI-3",
            "PID-3.0",
            "PID-3(0)",
            "PID-3.1.2.3",
            "OBX[x]-5",
            "PID-3(2",
            "OBX[2-5",
            "OBX[0]-5",
            "PID-3.",
            "PID-3.1.",
            "PID-70000",
            "PID-3(1)2",
            "PIDX-3",
            "PID-3 ",
            "ÄD-3",
        ] {
            assert!(wrong.parse::<Path>().is_err(), "{wrong}");
        }
    }
}
