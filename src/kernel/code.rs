//! Codes of the outside world: LOINC and GTIN with their check digits, ICD-10 by its form.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use super::Invalid;

/// A LOINC code, `number-check` with a mod 10 check digit (LOINC Users' Guide, appendix C).
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Loinc(String);

impl Loinc {
    /// The code as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for Loinc {
    type Err = Invalid;
    fn from_str(text: &str) -> Result<Self, Invalid> {
        let wrong = |why: &str| Invalid::new("LOINC code", text, why);
        let (body, check) = text.split_once('-').ok_or_else(|| wrong("a LOINC code is digits, a hyphen and a check digit"))?;
        if body.is_empty() || body.len() > 7 || check.len() != 1 || !text.bytes().all(|b| b.is_ascii_digit() || b == b'-') {
            return Err(wrong("a LOINC code is one to seven digits, a hyphen and a check digit"));
        }
        let expected = mod_10_double_odd(body);
        if check != expected.to_string() {
            return Err(wrong(&format!("its check digit should be {expected}")));
        }
        Ok(Self(text.to_owned()))
    }
}

/// Mod 10 with every other digit doubled from the right, digits of the products summed (Luhn).
fn mod_10_double_odd(digits: &str) -> u32 {
    let sum: u32 = digits
        .bytes()
        .rev()
        .enumerate()
        .map(|(position, byte)| {
            let digit = u32::from(byte.wrapping_sub(b'0'));
            let product = if position % 2 == 0 { digit * 2 } else { digit };
            product / 10 + product % 10
        })
        .sum();
    (10 - sum % 10) % 10
}

/// A Global Trade Item Number of 8, 12, 13 or 14 digits, held as 14 (GS1 General Specifications, 7.9.1 for the check digit).
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Gtin(String);

impl Gtin {
    /// The fourteen digits.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for Gtin {
    type Err = Invalid;
    fn from_str(text: &str) -> Result<Self, Invalid> {
        let wrong = |why: &str| Invalid::new("GTIN", text, why);
        if !matches!(text.len(), 8 | 12 | 13 | 14) || !text.bytes().all(|b| b.is_ascii_digit()) {
            return Err(wrong("a GTIN is 8, 12, 13 or 14 digits"));
        }
        let digits = format!("{text:0>14}");
        let sum: u32 = digits.bytes().enumerate().map(|(i, b)| u32::from(b - b'0') * if i % 2 == 0 { 3 } else { 1 }).sum();
        if !sum.is_multiple_of(10) {
            return Err(wrong("its check digit is wrong: scan the package again"));
        }
        Ok(Self(digits))
    }
}

/// What GS1 has issued to the house: seven to twelve digits (GS1 General Specifications, 1.4.4). All numbers of the house begin with it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct CompanyPrefix(String);

impl FromStr for CompanyPrefix {
    type Err = Invalid;
    fn from_str(text: &str) -> Result<Self, Invalid> {
        match (7..=12).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_digit()) {
            true => Ok(Self(text.to_owned())),
            false => Err(Invalid::new("GS1 company prefix", text, "it is seven to twelve digits, issued by a GS1 member organisation")),
        }
    }
}

/// A Global Service Relation Number: company prefix, service reference and check digit, 18 digits (GS1 General Specifications, 2.5.1). A patient's
/// is on the wristband under AI 8018.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Gsrn(String);

/// Digits of a GSRN in front of its check digit.
const GSRN_BODY: usize = 17;

impl Gsrn {
    /// The number with this service reference; an error when there are no digits left for it.
    pub fn issue(prefix: &CompanyPrefix, reference: u64) -> Result<Self, Invalid> {
        let width = GSRN_BODY - prefix.0.len();
        let reference = format!("{reference:0width$}");
        if reference.len() > width {
            return Err(Invalid::new("service reference", &reference, format!("a prefix of {} digits leaves {width} for it", prefix.0.len())));
        }
        let body = format!("{}{reference}", prefix.0);
        let check = gs1_check_digit(&body);
        Ok(Self(format!("{body}{check}")))
    }

    /// The eighteen digits.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The service reference, when it is a number of this house.
    pub fn reference(&self, prefix: &CompanyPrefix) -> Option<u64> {
        self.0.strip_prefix(prefix.0.as_str())?.get(..GSRN_BODY - prefix.0.len())?.parse().ok()
    }
}

impl FromStr for Gsrn {
    type Err = Invalid;
    fn from_str(text: &str) -> Result<Self, Invalid> {
        let is_number = text.len() == GSRN_BODY + 1 && text.bytes().all(|byte| byte.is_ascii_digit());
        match is_number && text.ends_with(&gs1_check_digit(&text[..GSRN_BODY]).to_string()) {
            true => Ok(Self(text.to_owned())),
            false => Err(Invalid::new("service relation number", text, "it is 18 digits, the last a check digit: scan it again")),
        }
    }
}

/// The check digit of GS1 keys (GS1 General Specifications, 7.9.1): weights 3 and 1 from the right.
fn gs1_check_digit(body: &str) -> u32 {
    let sum: u32 = body.bytes().rev().enumerate().map(|(position, byte)| u32::from(byte.wrapping_sub(b'0')) * if position % 2 == 0 { 3 } else { 1 }).sum();
    (10 - sum % 10) % 10
}

/// A code of ICD-10 or one of its national editions, by its form: a letter, two characters, and up to four behind a point (`E11.9`).
/// Kept in capitals and with the point. Whether a release has the code is not known here.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Icd10(String);

impl Icd10 {
    /// The code as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for Icd10 {
    type Err = Invalid;
    fn from_str(text: &str) -> Result<Self, Invalid> {
        let code: String = text.trim().chars().filter(|c| *c != '.').map(|c| c.to_ascii_uppercase()).collect();
        let bytes = code.as_bytes();
        let has_form = (3..=7).contains(&bytes.len()) && bytes[0].is_ascii_uppercase() && bytes[1].is_ascii_digit() && bytes[2..].iter().all(u8::is_ascii_alphanumeric);
        let is_pointed_right = text.trim().find('.').is_none_or(|at| at == 3 && text.matches('.').count() == 1 && code.len() > 3);
        if !has_form || !is_pointed_right {
            return Err(Invalid::new("ICD-10 code", text, "it is a letter, two characters and up to four behind a point, such as E11.9"));
        }
        Ok(Self(if code.len() > 3 { format!("{}.{}", &code[..3], &code[3..]) } else { code }))
    }
}

macro_rules! text_code {
    ($name:ident) => {
        impl TryFrom<String> for $name {
            type Error = Invalid;
            fn try_from(text: String) -> Result<Self, Invalid> {
                text.parse()
            }
        }
        impl From<$name> for String {
            fn from(code: $name) -> String {
                code.0
            }
        }
        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }
    };
}
text_code!(Loinc);
text_code!(Gtin);
text_code!(Icd10);
text_code!(CompanyPrefix);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn loinc_check_digits() {
        for good in ["718-7", "6690-2", "789-8", "4544-3", "2345-7", "751-8", "94500-6", "11011-4"] {
            assert!(good.parse::<Loinc>().is_ok(), "{good}");
        }
        for bad in ["718-8", "7187", "-7", "71a-7", "718-77", "12345678-1"] {
            assert!(bad.parse::<Loinc>().is_err(), "{bad}");
        }
    }

    #[test]
    fn service_relation_numbers_have_a_check_digit_and_a_reference() {
        let prefix: CompanyPrefix = "9521141".parse().unwrap();
        let gsrn = Gsrn::issue(&prefix, 4_711).unwrap();
        assert_eq!((gsrn.as_str(), gsrn.reference(&prefix)), ("952114100000047112", Some(4_711)));
        assert_eq!(gsrn.reference(&"9521142".parse().unwrap()), None, "another house's");
        for position in 0..18 {
            let mut wrong = gsrn.as_str().to_owned();
            let other = if &wrong[position..=position] == "9" { "0" } else { "9" };
            wrong.replace_range(position..=position, other);
            assert!(wrong.parse::<Gsrn>().is_err(), "{wrong}");
        }
        assert!(gsrn.as_str().parse::<Gsrn>().is_ok());
        assert!(Gsrn::issue(&"952114112345".parse().unwrap(), 100_000).is_err());
        assert!("95211".parse::<CompanyPrefix>().is_err() && "95211a1".parse::<CompanyPrefix>().is_err());
    }

    #[test]
    fn icd_10_codes_by_their_form() {
        for (text, kept) in [("E11.9", "E11.9"), ("e119", "E11.9"), ("I10", "I10"), ("S72.001A", "S72.001A"), ("U07.1", "U07.1"), (" C7A.00 ", "C7A.00")] {
            assert_eq!(text.parse::<Icd10>().unwrap().as_str(), kept);
        }
        for bad in ["", "E1", "11.9", "E1.19", "E11.", "E11.9.1", "E11.12345", "EE1.9", "E11,9"] {
            assert!(bad.parse::<Icd10>().is_err(), "{bad}");
        }
    }

    #[test]
    fn every_single_digit_error_of_a_gtin_is_found() {
        let good = "09506000134352";
        assert_eq!(good.parse::<Gtin>().unwrap().as_str(), good);
        for position in 0..14 {
            for digit in b'0'..=b'9' {
                let mut text = good.as_bytes().to_vec();
                text[position] = digit;
                let text = String::from_utf8(text).unwrap();
                assert_eq!(text.parse::<Gtin>().is_ok(), text == good);
            }
        }
        assert_eq!("96385074".parse::<Gtin>().unwrap().as_str(), "00000096385074");
    }
}
