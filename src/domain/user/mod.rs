//! How one user signs in and out, how often it went wrong, and what they opened in emergencies.
//!
//! Flow: the shell has compared a password, PIN or code → [`Command::SignIn`] or [`Command::NoteFailure`] → `decide` → [`Event`].
//! **Invariant**: after [`TRIES`] failures of a factor within [`WITHIN_MINUTES`] it is locked for [`LOCKED_MINUTES`]; a code of the second
//! factor is good once.
//! **Invariant**: what was opened in an emergency ends by itself and waits for a review by somebody else.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::rights::Permission;
use super::{Aggregate, Context, Folded};
use crate::kernel::{Mrn, Principal, StreamKind, Timestamp, UserId};

/// Wrong tries that lock a factor (21 CFR 11.300(d) asks that misuse is noticed).
pub const TRIES: usize = 5;
/// The time in which they are counted.
pub const WITHIN_MINUTES: i64 = 15;
/// How long it is locked.
pub const LOCKED_MINUTES: i64 = 15;
/// How long a record stays open in an emergency.
pub const EMERGENCY_MINUTES: i64 = 60;
/// Emergencies of a user that may wait for a review: more than anybody meets, for nobody is kept from a patient by paper.
const UNREVIEWED: usize = 1_000;
/// Longest reason, in characters.
const REASON_MAX: usize = 400;

/// Whether a text can be a reason.
pub fn is_reason(text: &str) -> bool {
    (1..=REASON_MAX).contains(&text.trim().chars().count())
}

/// What somebody proves who they are with.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Factor {
    /// A password.
    Password,
    /// A code of the second factor (RFC 6238).
    Totp,
    /// A badge and its PIN.
    BadgeAndPin,
    /// The identity provider's word (OpenID Connect).
    Provider,
    /// The identity provider's word that it asked for a second factor.
    ProviderSecond,
}

impl Factor {
    /// Its words.
    pub fn spoken(self) -> &'static str {
        match self {
            Factor::Password => "password",
            Factor::Totp => "second factor",
            Factor::BadgeAndPin => "PIN",
            Factor::Provider => "identity provider",
            Factor::ProviderSecond => "second factor at the identity provider",
        }
    }
}

/// Why a session ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Ended {
    /// They signed out.
    SignedOut,
    /// Nobody did anything for as long as the station allows.
    Idle,
    /// A session ends after a shift at the latest.
    TooOld,
    /// Somebody else signed in at the station.
    Replaced,
    /// The user may not sign in any more, or has another password.
    Withdrawn,
}

/// A record that was opened in an emergency.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Emergency {
    /// Who opened it.
    pub by: Principal,
    /// Whose record.
    pub patient: Mrn,
    /// Why.
    pub reason: String,
    /// When.
    pub opened: Timestamp,
    /// Until when.
    pub until: Timestamp,
}

/// What is known of a user's sign-ins.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct User {
    failures: BTreeMap<Factor, Vec<Timestamp>>,
    locked: BTreeMap<Factor, Timestamp>,
    /// The time step of the last code: no code of it or an earlier one is good again.
    last_step: Option<u64>,
    /// What nobody has reviewed yet.
    unreviewed: BTreeMap<String, Emergency>,
}

impl User {
    /// Until when a factor is locked.
    pub fn locked_until(&self, factor: Factor, now: Timestamp) -> Option<Timestamp> {
        self.locked.get(&factor).copied().filter(|until| *until > now)
    }
}

/// What may be asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Command {
    /// They are about to be tested: refused while the factor is locked, so that a right guess is told from a wrong one by nothing.
    Try {
        /// With what.
        factor: Factor,
    },
    /// What they gave was right.
    SignIn {
        /// What they gave.
        factors: Vec<Factor>,
        /// The time step of the code, where there was one.
        step: Option<u64>,
        /// The session's id.
        session: String,
    },
    /// What they gave was wrong.
    NoteFailure {
        /// What.
        factor: Factor,
    },
    /// What they gave was right, and they vouch for what somebody else does.
    Vouch {
        /// What they gave.
        factors: Vec<Factor>,
        /// The time step of the code, where there was one.
        step: Option<u64>,
        /// For whom.
        actor: UserId,
        /// For what: the path that is asked.
        path: String,
    },
    /// A session ended.
    SignOut {
        /// Its id.
        session: String,
        /// Why.
        why: Ended,
    },
    /// Lets them try again at once.
    Unlock,
    /// Opens a record in an emergency.
    BreakGlass {
        /// The emergency's id.
        id: String,
        /// Whose record.
        patient: Mrn,
        /// Why.
        reason: String,
    },
    /// Somebody has looked at what was opened.
    Review {
        /// The emergency's id.
        id: String,
        /// Whether it was right to open it.
        is_justified: bool,
        /// What there is to say.
        comment: String,
    },
}

impl Command {
    /// The permission that it needs; none for what is part of signing in and out.
    pub fn needs(&self) -> Option<Permission> {
        match self {
            Command::Try { .. } | Command::SignIn { .. } | Command::NoteFailure { .. } | Command::SignOut { .. } => None,
            Command::Vouch { .. } => Some(Permission::Witness),
            Command::Unlock => Some(Permission::ManageUsers),
            Command::BreakGlass { .. } => Some(Permission::BreakGlass),
            Command::Review { .. } => Some(Permission::ReviewGlass),
        }
    }
}

/// What may have happened.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "event")]
pub enum Event {
    /// They signed in.
    SignedIn {
        /// With what.
        factors: Vec<Factor>,
        /// The time step of the code.
        step: Option<u64>,
        /// The session's id.
        session: String,
    },
    /// They vouched for what somebody else did.
    Vouched {
        /// With what they proved who they are.
        factors: Vec<Factor>,
        /// The time step of the code.
        step: Option<u64>,
        /// For whom.
        actor: UserId,
        /// For what.
        path: String,
    },
    /// What they gave was wrong.
    SignInFailed {
        /// What.
        factor: Factor,
        /// When.
        at: Timestamp,
    },
    /// Too much was wrong.
    FactorLocked {
        /// What.
        factor: Factor,
        /// Until when.
        until: Timestamp,
    },
    /// Somebody let them try again.
    FactorsUnlocked,
    /// A session ended.
    SignedOut {
        /// Its id.
        session: String,
        /// Why.
        why: Ended,
    },
    /// A record was opened in an emergency.
    GlassBroken {
        /// The emergency's id.
        id: String,
        /// What.
        #[serde(flatten)]
        emergency: Emergency,
    },
    /// Somebody has looked at it.
    GlassReviewed {
        /// The emergency's id.
        id: String,
        /// Whether it was right.
        is_justified: bool,
        /// What there is to say.
        comment: String,
    },
}

/// Why something may not happen.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error, Serialize)]
#[serde(tag = "rejection", rename_all = "snake_case")]
pub enum Rejection {
    /// Too much was wrong.
    #[error("after {TRIES} wrong tries your {} is locked until {until}: wait, sign in another way, or have somebody who manages users unlock it", .factor.spoken())]
    Locked {
        /// What.
        factor: Factor,
        /// Until when.
        until: Timestamp,
    },
    /// A code is good once.
    #[error("this code was used already: wait for the next one")]
    CodeUsed,
    /// A witness is somebody else.
    #[error("nobody is their own witness: somebody else must vouch")]
    OwnWitness,
    /// An emergency has a reason.
    #[error("say in the field reason why the record is needed, in {REASON_MAX} characters at most: it is reviewed afterwards")]
    NoReason,
    /// Too many wait for a review.
    #[error("{UNREVIEWED} records that you opened in emergencies wait for a review: have them reviewed first")]
    TooManyUnreviewed,
    /// There is no such emergency, or it was reviewed.
    #[error("there is no emergency {id} that waits for a review")]
    NoSuchEmergency {
        /// Its id.
        id: String,
    },
    /// Nobody reviews what they did themselves.
    #[error("nobody reviews what they opened themselves: somebody else must")]
    Yourself,
}

impl Folded for User {
    const KIND: StreamKind = StreamKind::User;
    const SNAPSHOT: u16 = 1;
    type Event = Event;

    fn apply(&mut self, event: &Event) {
        match event {
            Event::SignedIn { factors, step, .. } | Event::Vouched { factors, step, .. } => {
                factors.iter().for_each(|factor| drop(self.failures.remove(factor)));
                self.last_step = self.last_step.max(*step);
            }
            Event::SignInFailed { factor, at } => {
                let failures = self.failures.entry(*factor).or_default();
                failures.retain(|earlier| at.seconds_since(*earlier) < WITHIN_MINUTES * 60);
                failures.push(*at);
            }
            Event::FactorLocked { factor, until } => {
                self.failures.remove(factor);
                self.locked.insert(*factor, *until);
            }
            Event::FactorsUnlocked => {
                self.failures.clear();
                self.locked.clear();
            }
            Event::SignedOut { .. } => {}
            Event::GlassBroken { id, emergency } => drop(self.unreviewed.insert(id.clone(), emergency.clone())),
            Event::GlassReviewed { id, .. } => drop(self.unreviewed.remove(id)),
        }
    }

    fn name(event: &Event) -> (&'static str, u16) {
        match event {
            Event::SignedIn { .. } => ("SignedIn", 1),
            Event::Vouched { .. } => ("Vouched", 1),
            Event::SignInFailed { .. } => ("SignInFailed", 1),
            Event::FactorLocked { .. } => ("FactorLocked", 1),
            Event::FactorsUnlocked => ("FactorsUnlocked", 1),
            Event::SignedOut { .. } => ("SignedOut", 1),
            Event::GlassBroken { .. } => ("GlassBroken", 1),
            Event::GlassReviewed { .. } => ("GlassReviewed", 1),
        }
    }
}

/// How the paths end at which somebody signs with a statement of their own.
const SIGNING: &str = "/chart/sign-note";

impl User {
    fn proven(&self, now: Timestamp, factors: &[Factor], step: Option<u64>) -> Result<(), Rejection> {
        if let Some((factor, until)) = factors.iter().find_map(|factor| self.locked_until(*factor, now).map(|until| (*factor, until))) {
            return Err(Rejection::Locked { factor, until });
        }
        if step.is_some() && step <= self.last_step {
            return Err(Rejection::CodeUsed);
        }
        Ok(())
    }

    fn failed(&self, now: Timestamp, factor: Factor) -> Result<Vec<Event>, Rejection> {
        // Who is locked out already is told so, and nothing is counted: else they could be kept out for ever.
        if let Some(until) = self.locked_until(factor, now) {
            return Err(Rejection::Locked { factor, until });
        }
        let recent = self.failures.get(&factor).into_iter().flatten().filter(|at| now.seconds_since(**at) < WITHIN_MINUTES * 60).count();
        let mut events = vec![Event::SignInFailed { factor, at: now }];
        if recent + 1 >= TRIES {
            events.push(Event::FactorLocked { factor, until: now.plus_seconds(LOCKED_MINUTES * 60) });
        }
        Ok(events)
    }
}

impl Aggregate for User {
    type Command = Command;
    type Rejection = Rejection;

    fn decide(&self, context: &Context, command: &Command) -> Result<Vec<Event>, Rejection> {
        match command {
            Command::Try { factor } => self.proven(context.now, &[*factor], None).map(|()| Vec::new()),
            Command::SignIn { factors, step, session } => {
                self.proven(context.now, factors, *step)?;
                Ok(vec![Event::SignedIn { factors: factors.clone(), step: *step, session: session.clone() }])
            }
            Command::Vouch { factors, step, actor, path } => {
                self.proven(context.now, factors, *step)?;
                // For oneself only a signature is proven; what needs two persons needs another.
                if matches!(&context.principal, Principal::Person(witness) if witness == actor.as_str()) && !path.ends_with(SIGNING) {
                    return Err(Rejection::OwnWitness);
                }
                Ok(vec![Event::Vouched { factors: factors.clone(), step: *step, actor: actor.clone(), path: path.clone() }])
            }
            Command::NoteFailure { factor } => self.failed(context.now, *factor),
            Command::SignOut { session, why } => Ok(vec![Event::SignedOut { session: session.clone(), why: *why }]),
            Command::Unlock if self.locked.is_empty() && self.failures.is_empty() => Ok(Vec::new()),
            Command::Unlock => Ok(vec![Event::FactorsUnlocked]),
            Command::BreakGlass { id, patient, reason } => {
                if !is_reason(reason) {
                    return Err(Rejection::NoReason);
                }
                let reason = reason.trim();
                if self.unreviewed.len() >= UNREVIEWED {
                    return Err(Rejection::TooManyUnreviewed);
                }
                let until = context.now.plus_seconds(EMERGENCY_MINUTES * 60);
                let emergency = Emergency { by: context.principal.clone(), patient: patient.clone(), reason: reason.to_owned(), opened: context.now, until };
                Ok(vec![Event::GlassBroken { id: id.clone(), emergency }])
            }
            Command::Review { id, is_justified, comment } => self.review(&context.principal, id, *is_justified, comment),
        }
    }
}

impl User {
    fn review(&self, by: &Principal, id: &str, is_justified: bool, comment: &str) -> Result<Vec<Event>, Rejection> {
        match self.unreviewed.get(id) {
            None => Err(Rejection::NoSuchEmergency { id: id.to_owned() }),
            Some(emergency) if emergency.by == *by => Err(Rejection::Yourself),
            Some(_) => Ok(vec![Event::GlassReviewed { id: id.to_owned(), is_justified, comment: comment.to_owned() }]),
        }
    }
}

#[cfg(test)]
mod tests;
