//! Scopes of SMART App Launch as tokens of programs have them (v1 `system/Observation.read`, v2 `system/Observation.rs`): what of FHIR a
//! token may read and write at most. What its user may not, no scope gives.

use std::collections::BTreeSet;
use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize, Serializer};

use crate::kernel::Invalid;

/// Scopes of one token at most.
const SCOPES: usize = 64;

/// One scope.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
#[serde(try_from = "String")]
pub struct SmartScope {
    /// The kind of resource; none for all.
    kind: Option<String>,
    reads: bool,
    writes: bool,
}

impl FromStr for SmartScope {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<Self, Invalid> {
        let wrong = |why: &str| Invalid::new("scope", text, why.to_owned());
        let (context, rest) = text.split_once('/').ok_or_else(|| wrong("write it as system/Observation.read"))?;
        match context {
            "system" | "user" => {}
            "patient" => return Err(wrong("no patient is chosen for a program's token: its role says whom it may see; write system/")),
            _ => return Err(wrong("it begins with system/ or user/")),
        }
        let (kind, access) = rest.split_once('.').ok_or_else(|| wrong("write it as system/Observation.read"))?;
        let is_kind = kind == "*" || (kind.starts_with(|first: char| first.is_ascii_uppercase()) && kind.bytes().all(|byte| byte.is_ascii_alphabetic()));
        if !is_kind {
            return Err(wrong("the kind of resource is one of FHIR's, or *"));
        }
        let (reads, writes) = match access {
            "read" => (true, false),
            "write" => (false, true),
            "*" => (true, true),
            // The letters of v2, in their order: create, read, update, delete, search.
            letters if !letters.is_empty() && is_in_order(letters) => (letters.contains(['r', 's']), letters.contains(['c', 'u', 'd'])),
            _ => return Err(wrong("it ends with read, write, *, or letters of cruds in this order")),
        };
        Ok(Self { kind: Some(kind.to_owned()).filter(|kind| kind != "*"), reads, writes })
    }
}

fn is_in_order(letters: &str) -> bool {
    let mut rest = "cruds".chars();
    letters.chars().all(|letter| rest.any(|next| next == letter))
}

impl TryFrom<String> for SmartScope {
    type Error = Invalid;

    fn try_from(text: String) -> Result<Self, Invalid> {
        text.parse()
    }
}

impl fmt::Display for SmartScope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let access = match (self.reads, self.writes) {
            (true, true) => "*",
            (true, false) => "read",
            (false, _) => "write",
        };
        write!(f, "system/{}.{access}", self.kind.as_deref().unwrap_or("*"))
    }
}

impl Serialize for SmartScope {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// The scopes of a token.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct SmartScopes(BTreeSet<SmartScope>);

impl SmartScopes {
    /// Those of a text, as OAuth writes them: between blanks.
    pub fn parse(text: &str) -> Result<Self, Invalid> {
        let scopes: BTreeSet<SmartScope> = text.split_whitespace().map(str::parse).collect::<Result<_, _>>()?;
        match scopes.len() {
            0 => Err(Invalid::new("scope", text, "name one at least, such as system/Observation.read")),
            1..=SCOPES => Ok(Self(scopes)),
            more => Err(Invalid::new("scope", "", format!("{more} scopes, {SCOPES} at most"))),
        }
    }

    /// Whether a kind of resource may be read.
    pub fn may_read(&self, kind: &str) -> bool {
        self.0.iter().any(|scope| scope.reads && scope.is_of(kind))
    }

    /// Whether a kind of resource may be written.
    pub fn may_write(&self, kind: &str) -> bool {
        self.0.iter().any(|scope| scope.writes && scope.is_of(kind))
    }
}

impl SmartScope {
    fn is_of(&self, kind: &str) -> bool {
        self.kind.as_deref().is_none_or(|own| own == kind)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_form_says_what_may_be_read_and_written() {
        let of = |text: &str| SmartScopes::parse(text).map(|scopes| (scopes.may_read("Patient"), scopes.may_write("Patient"), scopes.may_read("Observation")));
        let cases = [
            ("system/Patient.read", (true, false, false)),
            ("system/*.read system/Patient.write", (true, true, true)),
            ("user/Patient.*", (true, true, false)),
            ("system/Patient.rs", (true, false, false)),
            ("system/Patient.cud system/Observation.s", (false, true, true)),
        ];
        for (text, expected) in cases {
            assert_eq!(of(text), Ok(expected), "{text}");
            let stored = serde_json::to_string(&SmartScopes::parse(text).unwrap()).unwrap();
            assert_eq!(serde_json::from_str::<SmartScopes>(&stored).unwrap(), SmartScopes::parse(text).unwrap(), "{stored}");
        }
    }

    #[test]
    fn what_is_no_scope_is_refused_with_the_way_out() {
        for (text, why) in [
            ("", "name one"),
            ("openid", "write it as"),
            ("patient/Patient.read", "no patient is chosen"),
            ("launch/Patient.read", "begins with"),
            ("system/patient.read", "kind of resource"),
            ("system/Patient.sr", "in this order"),
            ("system/Patient.", "it ends with"),
            ("system/Patient", "write it as"),
        ] {
            assert!(SmartScopes::parse(text).unwrap_err().to_string().contains(why), "{text}");
        }
    }
}
