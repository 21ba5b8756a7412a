//! Who may do what: permissions, roles as data, and the one decision that everything asks.
//!
//! Flow: roles granted to a user (each for the house, a facility or a ward) + what is asked of whom → [`Rights::may`] → the ground on
//! which it is allowed, or a refusal that says the way out.
//! **Invariant**: what nobody was granted is refused. An emergency widens *of whom*, never *what*.
//! Start reading at [`Rights::may`].

mod permission;
mod role;
mod smart;

pub use permission::Permission;
pub use role::{Role, Roles, RolesError};
pub use smart::{Interaction, SmartScope, SmartScopes};

use std::collections::BTreeSet;
use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize, Serializer};

use crate::kernel::{Invalid, Mrn, WardId};

/// How far a role reaches.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
#[serde(try_from = "String")]
pub enum Scope {
    /// The whole house.
    House,
    /// The wards of a facility.
    Facility(String),
    /// One ward.
    Ward(WardId),
}

impl fmt::Display for Scope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Scope::House => f.write_str("house"),
            Scope::Facility(facility) => write!(f, "facility:{facility}"),
            Scope::Ward(ward) => write!(f, "ward:{ward}"),
        }
    }
}

impl FromStr for Scope {
    type Err = Invalid;
    fn from_str(text: &str) -> Result<Self, Invalid> {
        match text.split_once(':') {
            None if text == "house" => Ok(Scope::House),
            Some(("facility", name)) if !name.is_empty() && name.len() <= 64 => Ok(Scope::Facility(name.to_owned())),
            Some(("ward", ward)) => ward.parse().map(Scope::Ward),
            _ => Err(Invalid::new("scope", text, "a scope is house, facility:CODE or ward:CODE")),
        }
    }
}

impl TryFrom<String> for Scope {
    type Error = Invalid;
    fn try_from(text: String) -> Result<Self, Invalid> {
        text.parse()
    }
}

impl Serialize for Scope {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// A ward and the facility that it belongs to.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct WardPlace {
    /// The ward.
    pub ward: WardId,
    /// Its facility.
    pub facility: String,
}

impl Scope {
    fn covers(&self, place: &WardPlace) -> bool {
        match self {
            Scope::House => true,
            Scope::Facility(facility) => *facility == place.facility,
            Scope::Ward(ward) => *ward == place.ward,
        }
    }
}

/// Of whom or what something is asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Subject {
    /// What belongs to no ward and to no patient, such as the list of tests: any scope will do.
    Anything,
    /// What concerns the whole house, such as users.
    House,
    /// Something of a ward: a bed, a cabinet.
    Ward(WardPlace),
    /// A patient.
    Patient(PatientPlace),
}

/// Where a patient is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PatientPlace {
    /// All numbers of the person.
    pub numbers: Vec<Mrn>,
    /// The wards that look after them: where they lie, and which was asked to take them.
    pub wards: Vec<WardPlace>,
    /// They are in the house and in no bed: on a corridor, in a chair, in the emergency department. Then every ward may have to help.
    pub is_anywhere: bool,
    /// Whether only those who look after them may look.
    pub is_restricted: bool,
}

/// A role as it was granted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Granted {
    /// What it permits.
    pub permissions: BTreeSet<Permission>,
    /// How far it reaches.
    pub scope: Scope,
}

/// Everything that somebody may.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Rights {
    /// The roles.
    pub granted: Vec<Granted>,
    /// Patients whose record is open in an emergency.
    pub emergencies: BTreeSet<Mrn>,
    /// What a token is limited to.
    pub limited_to: Option<BTreeSet<Permission>>,
}

/// On which ground something is allowed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Ground {
    /// A role permits it there.
    Role,
    /// A role permits it elsewhere, and the record was opened in an emergency.
    Emergency,
}

/// Why something is not allowed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Forbidden {
    /// No role permits it anywhere.
    #[error("none of your roles permits this (it needs {}): ask whoever manages users, or somebody who may", .0.word())]
    NotPermitted(Permission),
    /// A role permits it, but not there.
    #[error("your roles permit this ({}), but not on ward {}: ask somebody of that ward", .0.word(), .1)]
    OtherWard(Permission, String),
    /// A role permits it, but not for the whole house.
    #[error("your roles permit this ({}) on your wards only, and this concerns the whole house", .0.word())]
    NotTheHouse(Permission),
    /// The patient is looked after elsewhere.
    #[error(
        "this patient is not on your wards: when their care needs it at once, open the record in an emergency (POST /api/v1/emergencies with patient and reason); it is reviewed afterwards"
    )]
    NotYourPatient(Permission),
    /// The record is restricted.
    #[error(
        "this record is restricted to those who look after the patient: when their care needs it at once, open it in an emergency (POST /api/v1/emergencies with patient and reason); it is reviewed afterwards"
    )]
    Restricted(Permission),
}

impl Forbidden {
    /// Its word for programs.
    pub fn word(&self) -> &'static str {
        match self {
            Forbidden::NotPermitted(_) => "not_permitted",
            Forbidden::OtherWard(..) => "other_ward",
            Forbidden::NotTheHouse(_) => "not_the_house",
            Forbidden::NotYourPatient(_) => "not_your_patient",
            Forbidden::Restricted(_) => "restricted",
        }
    }
}

impl Rights {
    /// The scopes in which something is permitted.
    fn scopes(&self, permission: Permission) -> impl Iterator<Item = &Scope> {
        let is_within = self.limited_to.as_ref().is_none_or(|limit| limit.contains(&permission));
        self.granted.iter().filter(move |granted| is_within && granted.permissions.contains(&permission)).map(|granted| &granted.scope)
    }

    /// Whether a role permits it anywhere.
    pub fn has(&self, permission: Permission) -> bool {
        self.scopes(permission).next().is_some()
    }

    /// Whether something may be done or seen, and why not.
    pub fn may(&self, permission: Permission, subject: &Subject) -> Result<Ground, Forbidden> {
        if !self.has(permission) {
            return Err(Forbidden::NotPermitted(permission));
        }
        match subject {
            Subject::Anything => Ok(Ground::Role),
            Subject::House if self.scopes(permission).any(|scope| *scope == Scope::House) => Ok(Ground::Role),
            Subject::House => Err(Forbidden::NotTheHouse(permission)),
            Subject::Ward(place) if self.scopes(permission).any(|scope| scope.covers(place)) => Ok(Ground::Role),
            Subject::Ward(place) => Err(Forbidden::OtherWard(permission, place.ward.to_string())),
            Subject::Patient(patient) => self.may_with(permission, patient),
        }
    }

    fn may_with(&self, permission: Permission, patient: &PatientPlace) -> Result<Ground, Forbidden> {
        let looks_after = |scope: &Scope| matches!(scope, Scope::Ward(_)) && patient.wards.iter().any(|place| scope.covers(place));
        let covers = |scope: &Scope| *scope == Scope::House || patient.is_anywhere || patient.wards.iter().any(|place| scope.covers(place));
        // Whoever looks after a patient on their ward does so whether the record is restricted or not.
        if self.scopes(permission).any(looks_after) {
            return Ok(Ground::Role);
        }
        let reaches = self.scopes(permission).any(covers);
        let sees = !patient.is_restricted || self.scopes(Permission::ViewRestricted).any(covers);
        let is_open = patient.numbers.iter().any(|number| self.emergencies.contains(number));
        match (reaches, sees) {
            (true, true) => Ok(Ground::Role),
            _ if is_open => Ok(Ground::Emergency),
            (true, false) => Err(Forbidden::Restricted(permission)),
            (false, _) => Err(Forbidden::NotYourPatient(permission)),
        }
    }
}

#[cfg(test)]
mod tests;
