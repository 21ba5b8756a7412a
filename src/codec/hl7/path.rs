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

/// A number in brackets behind a name: `OBX[2]` is `("OBX", 2)`; 1 when absent.
fn indexed(text: &str, open: char, close: char) -> Option<(&str, u16)> {
    match text.split_once(open) {
        None => Some((text, 1)),
        Some((name, rest)) => {
            let number: u16 = rest.strip_suffix(close)?.parse().ok()?;
            (number > 0).then_some((name, number))
        }
    }
}

impl FromStr for Path {
    type Err = PathError;
    fn from_str(text: &str) -> Result<Self, PathError> {
        let read = || {
            let (head, tail) = text.split_once('-')?;
            let (name, occurrence) = indexed(head, '[', ']')?;
            let segment: [u8; 3] = name.as_bytes().try_into().ok().filter(|name: &[u8; 3]| name.iter().all(u8::is_ascii_alphanumeric))?;
            let mut parts = tail.split('.');
            let (field, repetition) = indexed(parts.next()?, '(', ')')?;
            let field: u16 = field.parse().ok().filter(|field| *field > 0)?;
            let mut number = || parts.next().map_or(Some(0), |part| part.parse::<u16>().ok().filter(|number| *number > 0));
            let (component, subcomponent) = (number()?, number()?);
            parts.next().is_none().then_some(Path { segment, occurrence, field, repetition, component, subcomponent })
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
        for wrong in ["", "PID", "PID-", "PID-0", "PI-3", "PID-3.0", "PID-3(0)", "PID-3.1.2.3", "OBX[x]-5", "PID-3(2"] {
            assert!(wrong.parse::<Path>().is_err(), "{wrong}");
        }
    }
}
