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
    /// The letters of v2, in their order.
    access: BTreeSet<Interaction>,
}

/// What is done with a kind of resource.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
pub enum Interaction {
    /// A new one.
    Create,
    /// One that is known by its id, and its history.
    Read,
    /// One that is known is changed.
    Update,
    /// One is taken away.
    Delete,
    /// Those that fit.
    Search,
}

impl Interaction {
    const ALL: [(Self, char); 5] = [(Self::Create, 'c'), (Self::Read, 'r'), (Self::Update, 'u'), (Self::Delete, 'd'), (Self::Search, 's')];
    const READS: [Self; 2] = [Self::Read, Self::Search];
    const WRITES: [Self; 3] = [Self::Create, Self::Update, Self::Delete];

    /// The word of v1 that holds it.
    pub fn word(self) -> &'static str {
        if Self::READS.contains(&self) { "read" } else { "write" }
    }
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
        let access = match access {
            "read" => Interaction::READS.into(),
            "write" => Interaction::WRITES.into(),
            "*" => Interaction::ALL.map(|(interaction, _)| interaction).into(),
            letters if !letters.is_empty() && is_in_order(letters) => {
                Interaction::ALL.into_iter().filter(|(_, letter)| letters.contains(*letter)).map(|(interaction, _)| interaction).collect()
            }
            _ => return Err(wrong("it ends with read, write, *, or letters of cruds in this order")),
        };
        Ok(Self { kind: Some(kind.to_owned()).filter(|kind| kind != "*"), access })
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
        let is = |all: &[Interaction]| self.access.len() == all.len() && all.iter().all(|one| self.access.contains(one));
        let letters = || Interaction::ALL.into_iter().filter(|(interaction, _)| self.access.contains(interaction)).map(|(_, letter)| letter).collect();
        let access: String = match () {
            () if is(&Interaction::READS) => "read".to_owned(),
            () if is(&Interaction::WRITES) => "write".to_owned(),
            () if self.access.len() == Interaction::ALL.len() => "*".to_owned(),
            () => letters(),
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

    /// Whether something may be done with a kind of resource.
    pub fn may(&self, interaction: Interaction, kind: &str) -> bool {
        self.0.iter().any(|scope| scope.access.contains(&interaction) && scope.is_of(kind))
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
        let letters = |scopes: &SmartScopes, kind: &str| Interaction::ALL.into_iter().filter(|(one, _)| scopes.may(*one, kind)).map(|(_, letter)| letter).collect::<String>();
        let of = |text: &str| SmartScopes::parse(text).map(|scopes| (letters(&scopes, "Patient"), letters(&scopes, "Observation")));
        let cases = [
            ("system/Patient.read", ("rs", "")),
            ("system/*.read system/Patient.write", ("cruds", "rs")),
            ("user/Patient.*", ("cruds", "")),
            ("system/Patient.rs", ("rs", "")),
            // One letter is no more than it says.
            ("system/Patient.c system/Observation.s", ("c", "s")),
            ("system/Patient.u system/Observation.r", ("u", "r")),
        ]
        .map(|(text, (patient, observation))| (text, (patient.to_owned(), observation.to_owned())));
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
