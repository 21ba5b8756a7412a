//! The users of the house: who they are, how they prove it, which roles they have. One stream holds all of them, for it changes rarely.
//!
//! Flow: command → `decide` → [`Event`] → `apply`. How often somebody signs in stands in [`super::user`].
//! **Invariant**: there is no built-in user; the first one is made once, while there is none.
//! **Invariant**: nobody gives themselves a role, and the last one who may give roles stays.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use super::rights::{Permission, Scope, SmartScopes};
use super::{Aggregate, Context, Folded};
use crate::kernel::{Principal, StreamKind, Timestamp, UserId};

/// The key of the stream that holds all users.
pub const STREAM: &str = "staff";
/// Tokens that a program may have at a time.
const TOKENS: usize = 32;

/// A person, or a program.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// Somebody who signs in.
    #[default]
    Person,
    /// A program that sends a token.
    Program,
}

/// A role as a user has it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Grant {
    /// The role's name in `roles.toml`.
    pub role: String,
    /// How far it reaches.
    pub scope: Scope,
}

/// A token of a program.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Token {
    /// SHA-256 of its secret, hexadecimal; the secret itself is kept nowhere.
    pub hash: String,
    /// What it is limited to; none for all that its user may.
    pub permissions: Option<BTreeSet<Permission>>,
    /// What of FHIR it may read and write; then it is good for FHIR alone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scopes: Option<SmartScopes>,
    /// Until when it counts.
    pub expires: Option<Timestamp>,
    /// When it was issued.
    pub issued: Timestamp,
}

/// A user.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct User {
    /// As others call them.
    pub name: String,
    /// A person or a program.
    pub kind: Kind,
    /// The password, hashed by argon2id in the PHC string format.
    pub password: Option<String>,
    /// Whether they must set another password before they do anything else, since somebody else knows this one.
    pub must_change: bool,
    /// The key of the second factor (RFC 6238), base 32.
    pub totp: Option<String>,
    /// What their badge says when it is scanned.
    pub badge: Option<String>,
    /// The PIN that goes with the badge, hashed like the password.
    pub pin: Option<String>,
    /// Their roles.
    pub roles: BTreeSet<Grant>,
    /// Tokens by their ids.
    pub tokens: BTreeMap<String, Token>,
    /// Why they may not sign in any more.
    pub disabled: Option<String>,
}

/// All users.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Staff {
    users: BTreeMap<UserId, User>,
}

impl Staff {
    /// A user.
    pub fn get(&self, user: &UserId) -> Option<&User> {
        self.users.get(user)
    }

    /// All users.
    pub fn iter(&self) -> impl Iterator<Item = (&UserId, &User)> {
        self.users.iter()
    }

    /// Whether there is none yet.
    pub fn is_empty(&self) -> bool {
        self.users.is_empty()
    }

    /// Whose badge it is.
    pub fn of_badge(&self, badge: &str) -> Option<(&UserId, &User)> {
        self.users.iter().find(|(_, user)| user.badge.as_deref() == Some(badge))
    }

    /// Whose token it is.
    pub fn of_token(&self, token: &str) -> Option<(&UserId, &User, &Token)> {
        self.users.iter().find_map(|(id, user)| user.tokens.get(token).map(|found| (id, user, found)))
    }

    /// Whether somebody other than one user may give roles for the house.
    fn is_governed_without(&self, user: &UserId, governing: &BTreeSet<String>) -> bool {
        let governs = |user: &User| user.disabled.is_none() && user.roles.iter().any(|grant| grant.scope == Scope::House && governing.contains(&grant.role));
        self.users.iter().any(|(id, other)| id != user && governs(other))
    }
}

/// What may be asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Command {
    /// The first user, while there is none; the one who may give roles.
    Found {
        /// The name to sign in with.
        user: UserId,
        /// As others call them.
        name: String,
        /// The hash of the password.
        password: String,
        /// The role that may give roles.
        role: String,
    },
    /// Somebody new.
    Add {
        /// The name to sign in with.
        user: UserId,
        /// As others call them.
        name: String,
        /// A person or a program.
        kind: Kind,
    },
    /// Others call them something else now.
    Rename {
        /// Whom.
        user: UserId,
        /// As others call them.
        name: String,
    },
    /// Another password.
    SetPassword {
        /// Whose.
        user: UserId,
        /// Its hash.
        hash: String,
    },
    /// Another second factor, or none.
    SetTotp {
        /// Whose.
        user: UserId,
        /// The key, base 32.
        key: Option<String>,
    },
    /// Another badge, or none.
    SetBadge {
        /// Whose.
        user: UserId,
        /// What it says when it is scanned.
        badge: Option<String>,
    },
    /// Another PIN.
    SetPin {
        /// Whose.
        user: UserId,
        /// Its hash.
        hash: String,
    },
    /// Gives a role.
    Grant {
        /// Whom.
        user: UserId,
        /// Which, and how far it reaches.
        grant: Grant,
    },
    /// Takes a role away.
    Revoke {
        /// Whom.
        user: UserId,
        /// Which.
        grant: Grant,
        /// The roles that may give roles: the last user with one of them keeps it.
        governing: BTreeSet<String>,
    },
    /// Lets somebody sign in no more.
    Disable {
        /// Whom.
        user: UserId,
        /// Why.
        reason: String,
        /// The roles that may give roles.
        governing: BTreeSet<String>,
    },
    /// Lets them sign in again.
    Enable {
        /// Whom.
        user: UserId,
    },
    /// Gives a program a token.
    IssueToken {
        /// Which program.
        user: UserId,
        /// The token's id.
        id: String,
        /// SHA-256 of its secret, hexadecimal.
        hash: String,
        /// What it is limited to.
        permissions: Option<BTreeSet<Permission>>,
        /// What of FHIR it may read and write; then it is good for FHIR alone.
        scopes: Option<SmartScopes>,
        /// Until when it counts.
        expires: Option<Timestamp>,
    },
    /// Takes a token back.
    RevokeToken {
        /// Which program.
        user: UserId,
        /// The token's id.
        id: String,
    },
}

impl Command {
    /// The permission that it needs; what somebody does to their own password, PIN or second factor needs none.
    pub fn needs(&self) -> Permission {
        Permission::ManageUsers
    }
}

/// What may have happened.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "event")]
pub enum Event {
    /// Somebody is a user now.
    UserAdded {
        /// The name to sign in with.
        user: UserId,
        /// As others call them.
        name: String,
        /// A person or a program.
        kind: Kind,
    },
    /// The password is another one.
    PasswordSet {
        /// Whose.
        user: UserId,
        /// Its hash.
        hash: String,
        /// Whether somebody else set it.
        must_change: bool,
    },
    /// The second factor is another one, or none.
    TotpSet {
        /// Whose.
        user: UserId,
        /// The key, base 32.
        key: Option<String>,
    },
    /// The badge is another one, or none.
    BadgeSet {
        /// Whose.
        user: UserId,
        /// What it says.
        badge: Option<String>,
    },
    /// Others call them something else now.
    UserRenamed {
        /// Who.
        user: UserId,
        /// As others call them.
        name: String,
    },
    /// The PIN is another one.
    PinSet {
        /// Whose.
        user: UserId,
        /// Its hash.
        hash: String,
    },
    /// A role was given.
    RoleGranted {
        /// To whom.
        user: UserId,
        /// Which.
        grant: Grant,
    },
    /// A role was taken away.
    RoleRevoked {
        /// From whom.
        user: UserId,
        /// Which.
        grant: Grant,
    },
    /// Somebody may not sign in any more.
    UserDisabled {
        /// Who.
        user: UserId,
        /// Why.
        reason: String,
    },
    /// They may again.
    UserEnabled {
        /// Who.
        user: UserId,
    },
    /// A program has a token.
    TokenIssued {
        /// Which program.
        user: UserId,
        /// The token's id.
        id: String,
        /// The token.
        token: Token,
    },
    /// A token does not count any more.
    TokenRevoked {
        /// Which program.
        user: UserId,
        /// The token's id.
        id: String,
    },
}

/// Why something may not happen.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error, Serialize)]
#[serde(tag = "rejection", rename_all = "snake_case")]
pub enum Rejection {
    /// The first user is there.
    #[error("there are users already: whoever may manage users adds more")]
    AlreadyFounded,
    /// The name is taken.
    #[error("user {user} exists already: choose another name")]
    AlreadyKnown {
        /// Which.
        user: UserId,
    },
    /// There is no such user.
    #[error("there is no user {user}: add them first")]
    NoSuchUser {
        /// Which.
        user: UserId,
    },
    /// A badge belongs to one user.
    #[error("this badge is {user}'s: take it from them first, or use another one")]
    BadgeTaken {
        /// Whose.
        user: UserId,
    },
    /// A PIN is used with a badge.
    #[error("user {user} has no badge that a PIN could go with: set the badge first")]
    NoBadge {
        /// Which.
        user: UserId,
    },
    /// Persons sign in, programs send tokens.
    #[error("{user} is a {}: persons have passwords, badges and second factors, programs have tokens", if *.is_program { "program" } else { "person" })]
    WrongKind {
        /// Which.
        user: UserId,
        /// Whether it is a program.
        is_program: bool,
    },
    /// Nobody gives or takes their own roles.
    #[error("nobody changes their own roles or locks themselves out: ask somebody else who may manage users")]
    Yourself,
    /// Somebody must be able to give roles.
    #[error("{user} is the last one who may manage users: give somebody else such a role for the house first")]
    LastOne {
        /// Who.
        user: UserId,
    },
    /// They do not have it.
    #[error("user {user} has no role {role} for {scope}")]
    NoSuchGrant {
        /// Who.
        user: UserId,
        /// Which.
        role: String,
        /// For what.
        scope: Scope,
    },
    /// A program has so many tokens at most.
    #[error("user {user} has {TOKENS} tokens already: revoke those that are not used")]
    TooManyTokens {
        /// Which.
        user: UserId,
    },
    /// There is no such token.
    #[error("user {user} has no token {id}")]
    NoSuchToken {
        /// Which program.
        user: UserId,
        /// Which token.
        id: String,
    },
}

impl Folded for Staff {
    const KIND: StreamKind = StreamKind::Hospital;
    const SNAPSHOT: u16 = 1;
    type Event = Event;

    fn apply(&mut self, event: &Event) {
        match event {
            Event::UserAdded { user, name, kind } => drop(self.users.insert(user.clone(), User { name: name.clone(), kind: *kind, ..User::default() })),
            Event::PasswordSet { user, hash, must_change } => self.change(user, |user| {
                user.password = Some(hash.clone());
                user.must_change = *must_change;
            }),
            Event::TotpSet { user, key } => self.change(user, |user| user.totp.clone_from(key)),
            Event::BadgeSet { user, badge } => self.change(user, |user| {
                user.badge.clone_from(badge);
                // A PIN is known with the badge that it was chosen for.
                user.pin = user.pin.take().filter(|_| badge.is_some());
            }),
            Event::UserRenamed { user, name } => self.change(user, |user| user.name.clone_from(name)),
            Event::PinSet { user, hash } => self.change(user, |user| user.pin = Some(hash.clone())),
            Event::RoleGranted { user, grant } => self.change(user, |user| {
                user.roles.insert(grant.clone());
            }),
            Event::RoleRevoked { user, grant } => self.change(user, |user| {
                user.roles.remove(grant);
            }),
            Event::UserDisabled { user, reason } => self.change(user, |user| user.disabled = Some(reason.clone())),
            Event::UserEnabled { user } => self.change(user, |user| user.disabled = None),
            Event::TokenIssued { user, id, token } => self.change(user, |user| drop(user.tokens.insert(id.clone(), token.clone()))),
            Event::TokenRevoked { user, id } => self.change(user, |user| drop(user.tokens.remove(id))),
        }
    }

    fn name(event: &Event) -> (&'static str, u16) {
        match event {
            Event::UserAdded { .. } => ("UserAdded", 1),
            Event::PasswordSet { .. } => ("PasswordSet", 1),
            Event::TotpSet { .. } => ("TotpSet", 1),
            Event::BadgeSet { .. } => ("BadgeSet", 1),
            Event::UserRenamed { .. } => ("UserRenamed", 1),
            Event::PinSet { .. } => ("PinSet", 1),
            Event::RoleGranted { .. } => ("RoleGranted", 1),
            Event::RoleRevoked { .. } => ("RoleRevoked", 1),
            Event::UserDisabled { .. } => ("UserDisabled", 1),
            Event::UserEnabled { .. } => ("UserEnabled", 1),
            Event::TokenIssued { .. } => ("TokenIssued", 1),
            Event::TokenRevoked { .. } => ("TokenRevoked", 1),
        }
    }
}

impl Staff {
    fn change(&mut self, user: &UserId, change: impl FnOnce(&mut User)) {
        if let Some(user) = self.users.get_mut(user) {
            change(user);
        }
    }

    fn known(&self, user: &UserId) -> Result<&User, Rejection> {
        self.users.get(user).ok_or_else(|| Rejection::NoSuchUser { user: user.clone() })
    }

    fn of_kind(&self, user: &UserId, kind: Kind) -> Result<&User, Rejection> {
        let known = self.known(user)?;
        match known.kind == kind {
            true => Ok(known),
            false => Err(Rejection::WrongKind { user: user.clone(), is_program: known.kind == Kind::Program }),
        }
    }

    /// Whom a decision about rights is about must be somebody else.
    fn somebody_else(&self, context: &Context, user: &UserId) -> Result<&User, Rejection> {
        match &context.principal {
            Principal::Person(actor) | Principal::Program(actor) if actor == user.as_str() => Err(Rejection::Yourself),
            _ => self.known(user),
        }
    }

    fn stays_governed(&self, user: &UserId, governing: &BTreeSet<String>) -> Result<(), Rejection> {
        if self.is_governed_without(user, governing) { Ok(()) } else { Err(Rejection::LastOne { user: user.clone() }) }
    }
}

/// Whether somebody does it to themselves.
fn is_self(context: &Context, user: &UserId) -> bool {
    matches!(&context.principal, Principal::Person(actor) if actor == user.as_str())
}

fn once(is_new: bool, event: Event) -> Vec<Event> {
    if is_new { vec![event] } else { Vec::new() }
}

impl Aggregate for Staff {
    type Command = Command;
    type Rejection = Rejection;

    fn decide(&self, context: &Context, command: &Command) -> Result<Vec<Event>, Rejection> {
        Ok(match command.clone() {
            Command::Found { user, name, password, role } => {
                if !self.is_empty() {
                    return Err(Rejection::AlreadyFounded);
                }
                vec![
                    Event::UserAdded { user: user.clone(), name, kind: Kind::Person },
                    Event::PasswordSet { user: user.clone(), hash: password, must_change: false },
                    Event::RoleGranted { user, grant: Grant { role, scope: Scope::House } },
                ]
            }
            Command::Add { user, name, kind } => match self.get(&user) {
                Some(_) => return Err(Rejection::AlreadyKnown { user }),
                None => vec![Event::UserAdded { user, name, kind }],
            },
            Command::Rename { user, name } => {
                let is_new = self.known(&user)?.name != name;
                once(is_new, Event::UserRenamed { user, name })
            }
            Command::SetPassword { user, hash } => {
                self.of_kind(&user, Kind::Person)?;
                let must_change = !is_self(context, &user);
                vec![Event::PasswordSet { user, hash, must_change }]
            }
            Command::SetTotp { user, key } => {
                let is_new = self.of_kind(&user, Kind::Person)?.totp != key;
                once(is_new, Event::TotpSet { user, key })
            }
            Command::SetBadge { user, badge } => {
                let is_new = self.of_kind(&user, Kind::Person)?.badge != badge;
                match badge.as_deref().and_then(|badge| self.of_badge(badge)) {
                    Some((other, _)) if *other != user => return Err(Rejection::BadgeTaken { user: other.clone() }),
                    _ => once(is_new, Event::BadgeSet { user, badge }),
                }
            }
            Command::SetPin { user, hash } => match self.of_kind(&user, Kind::Person)?.badge {
                Some(_) => vec![Event::PinSet { user, hash }],
                None => return Err(Rejection::NoBadge { user }),
            },
            Command::Grant { user, grant } => {
                let is_new = !self.somebody_else(context, &user)?.roles.contains(&grant);
                once(is_new, Event::RoleGranted { user, grant })
            }
            Command::Revoke { user, grant, governing } => {
                let has_it = self.somebody_else(context, &user)?.roles.contains(&grant);
                if !has_it {
                    return Err(Rejection::NoSuchGrant { user, role: grant.role, scope: grant.scope });
                }
                if grant.scope == Scope::House && governing.contains(&grant.role) {
                    self.stays_governed(&user, &governing)?;
                }
                vec![Event::RoleRevoked { user, grant }]
            }
            Command::Disable { user, reason, governing } => {
                let is_new = self.somebody_else(context, &user)?.disabled.is_none();
                self.stays_governed(&user, &governing)?;
                once(is_new, Event::UserDisabled { user, reason })
            }
            Command::Enable { user } => {
                let is_new = self.known(&user)?.disabled.is_some();
                once(is_new, Event::UserEnabled { user })
            }
            Command::IssueToken { user, id, hash, permissions, scopes, expires } => {
                if self.of_kind(&user, Kind::Program)?.tokens.len() >= TOKENS {
                    return Err(Rejection::TooManyTokens { user });
                }
                vec![Event::TokenIssued { user, id, token: Token { hash, permissions, scopes, expires, issued: context.now } }]
            }
            Command::RevokeToken { user, id } => match self.known(&user)?.tokens.contains_key(&id) {
                true => vec![Event::TokenRevoked { user, id }],
                false => return Err(Rejection::NoSuchToken { user, id }),
            },
        })
    }
}

#[cfg(test)]
mod tests;
