//! Roles as data: `roles.toml`.

use std::collections::{BTreeMap, BTreeSet};

use serde::Deserialize;

use super::{Granted, Permission, Scope};

/// A role.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Role {
    /// Whose it is.
    pub description: String,
    /// What it permits.
    pub permissions: BTreeSet<Permission>,
    /// Whether whoever holds it must sign in with a second factor.
    #[serde(default)]
    pub second_factor: bool,
}

/// All roles by their names.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize)]
#[serde(transparent)]
pub struct Roles(BTreeMap<String, Role>);

/// Why roles cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RolesError {
    /// Nobody could ever be given a right.
    #[error("no role permits {}: nobody could be given a role any more", Permission::ManageUsers.word())]
    NobodyManages,
    /// A name that cannot be told from a scope or a user.
    #[error("role {0:?}: a role's name is lower-case letters, digits and -")]
    Name(String),
}

impl Roles {
    /// Checks what no single role can show.
    pub fn check(&self) -> Result<(), RolesError> {
        let is_name = |name: &str| (1..=64).contains(&name.len()) && name.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-');
        if let Some(name) = self.0.keys().find(|name| !is_name(name)) {
            return Err(RolesError::Name(name.clone()));
        }
        match self.governing().is_empty() {
            true => Err(RolesError::NobodyManages),
            false => Ok(()),
        }
    }

    /// A role.
    pub fn get(&self, name: &str) -> Option<&Role> {
        self.0.get(name)
    }

    /// All roles.
    pub fn iter(&self) -> impl Iterator<Item = (&String, &Role)> {
        self.0.iter()
    }

    /// The roles that may give roles.
    pub fn governing(&self) -> BTreeSet<String> {
        self.0.iter().filter(|(_, role)| role.permissions.contains(&Permission::ManageUsers)).map(|(name, _)| name.clone()).collect()
    }

    /// What a role permits where it was granted; a role that is not there any more permits nothing.
    pub fn granted(&self, name: &str, scope: &Scope) -> Option<Granted> {
        self.0.get(name).map(|role| Granted { permissions: role.permissions.clone(), scope: scope.clone() })
    }
}
