//! The checksum of a frame: which bytes it covers is a property of the device, never whether it counts.

use serde::{Deserialize, Serialize};

use super::control::{ETB, ETX};

/// Which bytes the sum (modulo 256, two hexadecimal digits) covers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Checksum {
    /// Frame number to ETX or ETB, both included (LIS1-A 6.3.3.3).
    #[default]
    Standard,
    /// As the standard, but ETB is left out (Mindray BC-6800: all 24 ETB frames seen).
    EtbLeftOut,
    /// Neither ETX nor ETB is covered.
    EndLeftOut,
    /// The device sends none: after ETX or ETB the carriage return follows at once.
    Absent,
}

impl Checksum {
    /// How many characters stand between ETX or ETB and the carriage return.
    pub fn digits(self) -> usize {
        match self {
            Checksum::Absent => 0,
            Checksum::Standard | Checksum::EtbLeftOut | Checksum::EndLeftOut => 2,
        }
    }

    /// The sum of a frame's body, which is frame number, text and ETX or ETB.
    pub fn of(self, body: &[u8]) -> u8 {
        let covers_last = match (self, body.last()) {
            (Checksum::EtbLeftOut, Some(&ETB)) | (Checksum::EndLeftOut, Some(&(ETB | ETX))) => false,
            (Checksum::Standard | Checksum::EtbLeftOut | Checksum::EndLeftOut | Checksum::Absent, _) => true,
        };
        let covered = if covers_last { body } else { &body[..body.len() - 1] };
        covered.iter().fold(0, |sum: u8, byte| sum.wrapping_add(*byte))
    }

    /// Whether the characters after ETX or ETB are the checksum of the body; lower-case digits count.
    pub fn holds(self, body: &[u8], digits: &[u8]) -> bool {
        match self {
            Checksum::Absent => digits.is_empty(),
            Checksum::Standard | Checksum::EtbLeftOut | Checksum::EndLeftOut => digits.eq_ignore_ascii_case(format!("{:02X}", self.of(body)).as_bytes()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rule_4_the_rule_of_the_profile_decides_and_no_rule_ignores() {
        // The first frame of a Turkish pharmacy system's log: sum of "1H|\^&||||||||||P||20210108143403" CR ETX is C2.
        let body = b"1H|\\^&||||||||||P||20210108143403\r\x03";
        assert!(Checksum::Standard.holds(body, b"C2"));
        assert!(Checksum::Standard.holds(body, b"c2"));
        assert!(Checksum::EtbLeftOut.holds(body, b"C2"), "an ETX frame is as the standard says");
        assert!(Checksum::EndLeftOut.holds(body, b"BF"));
        let split = b"1H|\\^&\x17";
        assert_eq!(Checksum::Standard.of(split).wrapping_sub(0x17), Checksum::EtbLeftOut.of(split));
        for rule in [Checksum::Standard, Checksum::EtbLeftOut, Checksum::EndLeftOut, Checksum::Absent] {
            assert!(!rule.holds(body, b"00"), "{rule:?} lets a wrong checksum pass");
        }
    }
}
