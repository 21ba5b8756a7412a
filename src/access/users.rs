//! What is done to users: added, given roles and badges, locked out; and what they do to themselves. Each change counts at once.

use std::io::Write;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::Path;
use std::sync::{Arc, PoisonError};

use super::credentials::{self, Secret, WeakSecret, fingerprint, hex};
use super::gate::{Gate, Refused, Who};
use super::sessions::Key;
use crate::actor::{Failure, Origin, Outcome};
use crate::domain::Folded;
use crate::domain::rights::{Permission, Scope, SmartScopes};
use crate::domain::staff::{self, Command, Event, Staff, User};
use crate::domain::user;
use crate::kernel::{Mrn, StreamId, StreamKind, Timestamp, UserId};
use crate::telemetry;

/// The role of the first user, unless no role of this name may give roles.
const FIRST_ROLE: &str = "administrator";

/// Events of users that are read at a time.
const PAGE: usize = 1_024;

/// Why the first user cannot be made.
#[derive(Debug, thiserror::Error)]
pub enum FirstRunError {
    /// There is no secret, or another one.
    #[error("the first-run secret is not this one, or it was used: `wardctl init` makes a new one while there are no users")]
    WrongSecret,
    /// The file cannot be read or removed.
    #[error("{0}")]
    File(String),
    /// The password is too weak.
    #[error("{0}")]
    Weak(#[from] WeakSecret),
}

/// Makes the secret for the first user: its hash in a file that only wardd's user can read. The secret itself is shown once.
pub fn make_first_run(path: &Path) -> Result<Secret, FirstRunError> {
    let failed = |error: std::io::Error| FirstRunError::File(format!("{}: {error}", path.display()));
    let secret = credentials::token()?;
    match std::fs::remove_file(path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(failed(error)),
        _ => {}
    }
    let mut file = std::fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(path).map_err(failed)?;
    file.write_all(hex(&fingerprint(&secret)).as_bytes()).and_then(|()| file.sync_all()).map_err(failed)?;
    // Made by root for a house of a user of its own, it is that user's.
    let house = path.parent().map(std::fs::metadata).transpose().map_err(failed)?;
    let own = file.metadata().map_err(failed)?;
    if let Some(house) = house.filter(|house| (house.uid(), house.gid()) != (own.uid(), own.gid())) {
        std::os::unix::fs::chown(path, Some(house.uid()), Some(house.gid())).map_err(failed)?;
    }
    Ok(Secret::new(secret))
}

impl Gate {
    /// Reads what has changed of the users since it was read last.
    pub(super) fn refresh(&self) -> Result<(), Failure> {
        let _one = self.refreshing.lock().unwrap_or_else(PoisonError::into_inner);
        let stream = StreamId::new(StreamKind::Hospital, staff::STREAM);
        let mut staff = Staff::default();
        let mut from = 1;
        loop {
            let page = self.log.read_stream(&stream, from, PAGE).map_err(|error| Failure::Unreadable(error.to_string()))?;
            let Some((_, last)) = page.last() else { break };
            from = last.stream_version + 1;
            for (_, stored) in &page {
                let event: Event = serde_json::from_str(stored.event.payload.get()).map_err(|error| Failure::Unreadable(format!("stream {stream}: {error}")))?;
                staff.apply(&event);
            }
        }
        self.staff.send_replace(Arc::new(staff));
        Ok(())
    }

    /// Changes the users; before the answer goes out everybody's rights are the new ones, and the sessions of whoever was locked out
    /// or has other secrets have ended. It is done to its end, also when whoever asked has gone.
    pub async fn change(self: &Arc<Self>, who: &Who, command: Command, origin: Origin) -> Outcome {
        let (gate, session) = (self.clone(), who.session);
        let done = tokio::spawn(async move { gate.change_now(session, command, origin).await });
        done.await.unwrap_or(Outcome::Failed(Failure::Lost))
    }

    /// Whose sessions end by a change: those of whoever is locked out, or loses a secret that somebody else may know.
    fn ends_sessions(&self, command: &Command) -> Option<UserId> {
        let staff = self.staff();
        let had = |user: &UserId, secret: fn(&User) -> bool| staff.get(user).is_some_and(secret);
        match command {
            Command::SetPassword { user, .. } | Command::Disable { user, .. } => Some(user.clone()),
            Command::SetTotp { user, .. } if had(user, |user| user.totp.is_some()) => Some(user.clone()),
            Command::SetBadge { user, .. } if had(user, |user| user.badge.is_some()) => Some(user.clone()),
            Command::SetPin { user, .. } if had(user, |user| user.pin.is_some()) => Some(user.clone()),
            _ => None,
        }
    }

    async fn change_now(&self, session: Option<Key>, command: Command, origin: Origin) -> Outcome {
        let ends = self.ends_sessions(&command);
        let outcome = self.hospital.staff(command, origin).await;
        // Also when it had been done before: whoever did it may not have come this far.
        if let Outcome::Done(_) | Outcome::Repeated | Outcome::Nothing = outcome {
            if let Err(failure) = self.refresh() {
                return Outcome::Failed(failure);
            }
            if let Some(user) = ends {
                let gone = self.sessions().end_of(&user, session.as_ref());
                self.note_gone(gone).await;
            }
        }
        outcome
    }

    /// Makes the first user with the first-run secret.
    pub async fn found(&self, secret: &Secret, user: UserId, name: String, password: Secret, origin: Origin) -> Result<Outcome, FirstRunError> {
        let known = match std::fs::read_to_string(&self.house.first_run) {
            Ok(known) => known,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Err(FirstRunError::WrongSecret),
            Err(error) => return Err(FirstRunError::File(format!("{}: {error}", self.house.first_run.display()))),
        };
        if !credentials::is_equal(known.trim().as_bytes(), hex(&fingerprint(secret.show())).as_bytes()) {
            return Err(FirstRunError::WrongSecret);
        }
        credentials::judge_password(user.as_str(), &password)?;
        let password = self.hash(password).await?;
        let governing = self.roles().governing();
        let role = governing.get(FIRST_ROLE).or_else(|| governing.first()).cloned().unwrap_or_default();
        let outcome = self.hospital.staff(Command::Found { user, name, password, role }, origin).await;
        if let Outcome::Done(_) = outcome {
            // Without users it would count once more; now there is one, and it cannot.
            if let Err(error) = std::fs::remove_file(&self.house.first_run) {
                tracing::warn!(file = %self.house.first_run.display(), %error, "the used first-run secret was not removed");
            }
            if let Err(failure) = self.refresh() {
                return Ok(Outcome::Failed(failure));
            }
        }
        Ok(outcome)
    }

    /// The hash of a password that will do.
    pub async fn new_password(&self, user: &UserId, password: Secret) -> Result<String, WeakSecret> {
        credentials::judge_password(user.as_str(), &password)?;
        self.hash(password).await
    }

    /// The hash of a PIN that will do.
    pub async fn new_pin(&self, pin: Secret) -> Result<String, WeakSecret> {
        credentials::judge_pin(&pin)?;
        self.hash(pin).await
    }

    /// A badge's code as it is kept.
    pub fn new_badge(&self, badge: &str) -> Result<String, WeakSecret> {
        credentials::badge(badge)
    }

    /// A token for a program: what is shown once, and the command that makes it count.
    pub fn new_token(
        &self,
        user: UserId,
        (permissions, scopes): (Option<std::collections::BTreeSet<Permission>>, Option<SmartScopes>),
        expires: Option<Timestamp>,
    ) -> Result<(Secret, Command), WeakSecret> {
        let (id, secret) = (credentials::id()?, credentials::token()?);
        let command = Command::IssueToken { user, id: id.clone(), hash: hex(&fingerprint(&secret)), permissions, scopes, expires };
        Ok((Secret::new(format!("wt_{id}_{secret}")), command))
    }

    /// A key for a second factor and the link that an authenticator is shown.
    pub fn new_second_factor(&self, user: &UserId) -> Result<(String, String), WeakSecret> {
        let key = credentials::totp_key()?;
        let link = self.second_factor_link(user, &key);
        Ok((key, link))
    }

    /// A key as the link that an authenticator is shown.
    pub fn second_factor_link(&self, user: &UserId, key: &str) -> String {
        credentials::totp_link(&self.house.name, user.as_str(), key)
    }

    /// Whether a code is one of a key, now.
    pub fn is_code_of(&self, key: &str, code: &str) -> bool {
        let seconds = u64::try_from(self.clock.now().micros() / 1_000_000).unwrap_or(0);
        credentials::step_of(key, code.trim(), seconds).is_some()
    }

    /// Whether a role of this name can be given for a scope.
    pub fn knows_grant(&self, role: &str, scope: &Scope) -> Result<(), String> {
        let roles = self.roles();
        if roles.get(role).is_none() {
            return Err(format!("there is no role {role} (known: {})", roles.iter().map(|(name, _)| name.as_str()).collect::<Vec<_>>().join(", ")));
        }
        let is_there = match scope {
            Scope::House => true,
            Scope::Facility(facility) => self.house.wards.values().any(|known| known == facility),
            Scope::Ward(ward) => self.house.wards.contains_key(ward),
        };
        if is_there { Ok(()) } else { Err(format!("there is no {scope} in the configuration")) }
    }

    /// Opens a record in an emergency, for an hour, wherever they are signed in.
    pub async fn break_glass(&self, who: &Who, patient: &Mrn, reason: &str, origin: Origin) -> Result<(String, Outcome), Refused> {
        let (Some(user), Some(_)) = (&who.user, who.session) else { return Err(Refused::NotAPerson) };
        let id = credentials::id().map_err(|error| Refused::Unplaced(error.to_string()))?;
        let command = user::Command::BreakGlass { id: id.clone(), patient: patient.clone(), reason: reason.to_owned() };
        let mut outcome = self.hospital.user(user, command.clone(), origin.clone()).await;
        if let Outcome::Failed(Failure::Full | Failure::Busy) = outcome
            && user::is_reason(reason)
            && self.pending().keep(user, command, origin)
        {
            // Nobody is kept from a patient by a full disk; the journal is told when it takes it.
            outcome = Outcome::Nothing;
        }
        if let Outcome::Done(_) | Outcome::Nothing = outcome {
            let until = self.clock.tick().plus_ms(u64::try_from(user::EMERGENCY_MINUTES).unwrap_or(0) * 60_000);
            self.sessions().open(user, patient, &id, until);
            telemetry::glass_broken(user.as_str(), &id);
        }
        Ok((id, outcome))
    }

    /// It was not right to open the record: it is closed before its time.
    pub fn close_emergency(&self, id: &str) {
        self.sessions().close(id);
    }
}
