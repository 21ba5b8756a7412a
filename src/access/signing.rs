//! Signing in and out, and vouching: a proof is compared, the user's own stream counts what was wrong, a session begins.

use std::net::IpAddr;

use super::credentials::{self, Secret, WeakSecret};
use super::gate::{Duty, Gate, Refused, Who};
use super::provider::Vouched;
use super::sessions::{Gone, Session};
pub use super::witnesses::Act;
use super::witnesses::Statement;
use crate::actor::{Failure, Origin, Outcome};
use crate::domain::rights::{Permission, Subject};
use crate::domain::user::{Command, Ended, Factor};
use crate::domain::{Refusal, staff};
use crate::kernel::{CommandId, Principal, Timestamp, UserId};
use crate::telemetry;

/// What somebody proves who they are with.
#[derive(Debug, Clone)]
pub enum Proof {
    /// A name and its password.
    Password {
        /// The name.
        user: String,
        /// The password.
        password: Secret,
    },
    /// A badge that was scanned, and its PIN.
    Badge {
        /// What the badge said.
        badge: Secret,
        /// The PIN.
        pin: Secret,
    },
}

/// A try to sign in.
#[derive(Debug, Clone)]
pub struct SignIn {
    /// The proof.
    pub proof: Proof,
    /// The code of the second factor.
    pub code: Option<String>,
    /// The station.
    pub station: Option<String>,
    /// From which address.
    pub from: IpAddr,
}

/// A session that began.
#[derive(Debug, Clone)]
pub struct SignedIn {
    /// The secret of the session; shown once.
    pub token: Secret,
    /// Who.
    pub user: UserId,
    /// As others call them.
    pub name: String,
    /// What they must do first.
    pub duty: Option<Duty>,
    /// After so many seconds without use it ends.
    pub idle_seconds: u64,
}

/// Why somebody is not signed in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Denied {
    /// What they gave is wrong; nothing says what of it.
    Wrong,
    /// The password is right, and a code is needed too.
    CodeNeeded,
    /// A rule of the user's: locked, or a code that was used.
    Refused(Refusal),
    /// Too many tries from one address.
    TooMany {
        /// Wait so long.
        seconds: u64,
    },
    /// There is no such station, or not at this address.
    NoSuchStation(String),
    /// A badge is used at a station.
    StationNeeded,
    /// It could not be tried.
    Failed(Failure),
    /// This machine has no randomness.
    Machine(String),
}

impl From<WeakSecret> for Denied {
    fn from(error: WeakSecret) -> Self {
        Denied::Machine(error.to_string())
    }
}

/// Who it is, and how they proved it.
struct Proven {
    user: UserId,
    factors: Vec<Factor>,
    step: Option<u64>,
    /// The hash that it was compared with: another one by now is another password.
    hash: String,
}

impl Gate {
    /// The origin of what a user does to their own sign-ins.
    pub(super) fn origin(&self, principal: Principal, place: Option<String>) -> Result<Origin, Denied> {
        let mut id = [0; 16];
        getrandom::fill(&mut id).map_err(|error| Denied::Machine(error.to_string()))?;
        Ok(Origin { place, ..Origin::new(CommandId::from_bytes(id), principal, self.clock.now()) })
    }

    async fn tell(&self, user: &UserId, place: Option<&str>, command: Command) -> Result<(), Denied> {
        let origin = self.origin(Principal::Person(user.to_string()), place.map(str::to_owned))?;
        match self.hospital.user(user, command.clone(), origin.clone()).await {
            Outcome::Done(receipt) => {
                // The failure that locks is followed by the lock in the same batch.
                if matches!(command, Command::NoteFailure { .. }) && receipt.last > receipt.first {
                    telemetry::factor_locked(user.as_str(), place.unwrap_or_default());
                }
                Ok(())
            }
            Outcome::Repeated | Outcome::Nothing => Ok(()),
            // A full disk keeps nobody from their work; the journal is told when it takes it.
            Outcome::Failed(failure @ (Failure::Full | Failure::Busy)) => match matches!(command, Command::Try { .. }) || self.pending().keep(user, command, origin) {
                true => Ok(()),
                false => Err(Denied::Failed(failure)),
            },
            Outcome::Refused(refusal) => Err(Denied::Refused(refusal)),
            Outcome::Held(_, reason) => Err(Denied::Machine(reason.sentence())),
            Outcome::Failed(failure) => Err(Denied::Failed(failure)),
        }
    }

    /// Whether a password is somebody's own, asked once more before they change anything of themselves.
    pub async fn knows_password(&self, user: &UserId, password: Secret) -> Result<bool, Refusal> {
        let refused = |denied: Denied| match denied {
            Denied::Refused(refusal) => refusal,
            other => Refusal { rule: "unavailable".to_owned(), message: format!("{other:?}") },
        };
        self.tell(user, None, Command::Try { factor: Factor::Password }).await.map_err(refused)?;
        let hash = self.staff().get(user).and_then(|user| user.password.clone());
        let is_right = self.is_right(password, hash).await;
        self.tell(user, None, Command::Try { factor: Factor::Password }).await.map_err(refused)?;
        if !is_right {
            self.tell(user, None, Command::NoteFailure { factor: Factor::Password }).await.map_err(refused)?;
        }
        Ok(is_right)
    }

    /// Compares a secret where it holds up nobody, a few at a time.
    async fn is_right(&self, secret: Secret, hash: Option<String>) -> bool {
        let Ok(_place) = self.hashing.acquire().await else { return false };
        tokio::task::spawn_blocking(move || credentials::is_right(&secret, hash.as_deref())).await.unwrap_or(false)
    }

    pub(super) async fn hash(&self, secret: Secret) -> Result<String, WeakSecret> {
        let machine = |error: &dyn std::fmt::Display| WeakSecret::Machine(error.to_string());
        let _place = self.hashing.acquire().await.map_err(|error| machine(&error))?;
        tokio::task::spawn_blocking(move || credentials::hash(&secret)).await.map_err(|error| machine(&error))?
    }

    /// Whether somebody may try; what waits for the journal counts too.
    async fn may_try(&self, user: &UserId, place: Option<&str>, factor: Factor, step: Option<u64>) -> Result<(), Denied> {
        if !self.pending().allows(user, factor, step) {
            let message = "the journal cannot count your tries now, and there were too many: wait until the disk has room".to_owned();
            return Err(Denied::Refused(Refusal { rule: "locked".to_owned(), message }));
        }
        self.tell(user, place, Command::Try { factor }).await
    }

    /// Who a proof is of. Every way out takes as long, whoever is known.
    async fn prove(&self, proof: Proof, code: Option<&str>, place: Option<&str>) -> Result<Proven, Denied> {
        let staff = self.staff();
        let (found, secret, factor, hash) = match proof {
            Proof::Password { user, password } => {
                let found = user.trim().to_lowercase().parse::<UserId>().ok().and_then(|id| staff.get(&id).map(|user| (id, user)));
                let hash = found.as_ref().and_then(|(_, user)| user.password.clone());
                (found, password, Factor::Password, hash)
            }
            Proof::Badge { badge, pin } => {
                let found = staff.of_badge(badge.show().trim()).map(|(id, user)| (id.clone(), user));
                let hash = found.as_ref().and_then(|(_, user)| user.pin.clone());
                (found, pin, Factor::BadgeAndPin, hash)
            }
        };
        let found = found.filter(|(_, user)| user.disabled.is_none());
        if let Some((id, _)) = &found {
            self.may_try(id, place, factor, None).await?;
        }
        let hash = hash.filter(|_| found.is_some());
        let is_right = self.is_right(secret, hash.clone()).await;
        let Some((id, user)) = found else {
            self.stranger(place.unwrap_or_default()).await;
            return Err(Denied::Wrong);
        };
        if !is_right {
            self.tell(&id, place, Command::NoteFailure { factor }).await?;
            return Err(Denied::Wrong);
        }
        // Others may have tried at the same time: who is locked by now is told so, right or wrong.
        self.may_try(&id, place, factor, None).await?;
        let mut proven = Proven { user: id, factors: vec![factor], step: None, hash: hash.unwrap_or_default() };
        // A badge that one has and a PIN that one knows are two factors.
        if let (Factor::Password, Some(key)) = (factor, &user.totp) {
            let code = code.filter(|code| !code.trim().is_empty()).ok_or(Denied::CodeNeeded)?;
            self.may_try(&proven.user, place, Factor::Totp, None).await?;
            proven.step = credentials::step_of(key, code.trim(), seconds(self.clock.now()));
            if proven.step.is_none() {
                self.tell(&proven.user, place, Command::NoteFailure { factor: Factor::Totp }).await?;
                return Err(Denied::Wrong);
            }
            self.may_try(&proven.user, place, Factor::Totp, proven.step).await?;
            proven.factors.push(Factor::Totp);
        }
        Ok(proven)
    }

    pub(super) fn duty(&self, user: &staff::User, factors: &[Factor]) -> Option<Duty> {
        let roles = self.roles();
        let needs_second = user.roles.iter().any(|grant| roles.get(&grant.role).is_some_and(|role| role.second_factor));
        match factors {
            [Factor::Password] if user.must_change => Some(Duty::ChangePassword),
            [Factor::Password, Factor::Totp] if user.must_change => Some(Duty::ChangePassword),
            // At the provider nothing is enrolled here: until they come back with a second factor, the role gives nothing.
            [Factor::Password | Factor::Provider] if needs_second => Some(Duty::EnrolSecondFactor),
            _ => None,
        }
    }

    /// Signs somebody in.
    pub async fn sign_in(&self, asked: SignIn) -> Result<SignedIn, Denied> {
        let result = self.try_sign_in(asked).await;
        telemetry::sign_in(match &result {
            Ok(_) => "done",
            Err(Denied::Refused(_)) => "locked",
            Err(Denied::TooMany { .. }) => "too_many",
            Err(_) => "wrong",
        });
        result
    }

    async fn try_sign_in(&self, asked: SignIn) -> Result<SignedIn, Denied> {
        let SignIn { proof, code, station, from } = asked;
        let idle_ms = match &station {
            None if matches!(proof, Proof::Badge { .. }) && !self.house.stations.is_empty() => return Err(Denied::StationNeeded),
            None => self.house.idle_ms,
            Some(name) => self.house.stations.get(name).filter(|known| known.is_at(from)).ok_or_else(|| Denied::NoSuchStation(name.clone()))?.idle_ms,
        };
        self.throttle().take(from, self.clock.tick()).map_err(|seconds| Denied::TooMany { seconds })?;
        let place = station.as_ref().map_or_else(|| from.to_string(), |station| format!("{station} {from}"));
        let proven = self.prove(proof, code.as_deref(), Some(&place)).await?;
        self.throttle().give_back(from);
        let (token, id) = (credentials::token()?, credentials::id()?);
        self.tell(&proven.user, Some(&place), Command::SignIn { factors: proven.factors.clone(), step: proven.step, session: id.clone() }).await?;
        // What changed while the password was compared counts.
        let staff = self.staff();
        let is_same = |user: &&staff::User| user.disabled.is_none() && [&user.password, &user.pin].into_iter().flatten().any(|hash| *hash == proven.hash);
        let user = staff.get(&proven.user).filter(is_same).ok_or(Denied::Wrong)?;
        let duty = self.duty(user, &proven.factors);
        let now = self.clock.tick();
        let session = Session { id, user: proven.user.clone(), station, factors: proven.factors, began: now, used: now, idle_ms };
        let gone = self.sessions().begin(credentials::fingerprint(&token), session);
        self.note_gone(gone).await;
        Ok(SignedIn { token: Secret::new(token), user: proven.user, name: user.name.clone(), duty, idle_seconds: idle_ms / 1_000 })
    }

    /// Signs somebody in whom the house's identity provider has vouched for. Who they are there must be a user here: nobody is made by it.
    pub async fn sign_in_by(&self, vouched: &Vouched, from: IpAddr) -> Result<SignedIn, Denied> {
        self.throttle().take(from, self.clock.tick()).map_err(|seconds| Denied::TooMany { seconds })?;
        let result = self.try_sign_in_by(vouched, from).await;
        telemetry::sign_in(if result.is_ok() { "done" } else { "wrong" });
        result
    }

    async fn try_sign_in_by(&self, vouched: &Vouched, from: IpAddr) -> Result<SignedIn, Denied> {
        let known = vouched.station.as_ref().and_then(|station| self.house.stations.get(station)).filter(|known| known.is_at(from));
        let idle_ms = known.map_or(self.house.idle_ms, |station| station.idle_ms);
        let station = vouched.station.clone().filter(|_| known.is_some());
        let place = station.as_ref().map_or_else(|| from.to_string(), |station| format!("{station} {from}"));
        let staff = self.staff();
        let is_person = |user: &&staff::User| user.disabled.is_none() && user.kind == staff::Kind::Person;
        let found = vouched.user.parse::<UserId>().ok().and_then(|id| staff.get(&id).filter(is_person).map(|user| (id, user)));
        let Some((id, user)) = found else {
            self.stranger(&place).await;
            return Err(Denied::Wrong);
        };
        let roles = self.roles();
        if !vouched.has_second_factor && user.roles.iter().any(|grant| roles.get(&grant.role).is_some_and(|role| role.second_factor)) {
            let message = "one of your roles needs a second factor, and the identity provider did not ask for one: sign in there with one, or here by password and code";
            return Err(Denied::Refused(Refusal { rule: "second_factor".to_owned(), message: message.to_owned() }));
        }
        self.throttle().give_back(from);
        let (token, session) = (credentials::token()?, credentials::id()?);
        let factors: Vec<Factor> = [Some(Factor::Provider), vouched.has_second_factor.then_some(Factor::ProviderSecond)].into_iter().flatten().collect();
        self.tell(&id, Some(&place), Command::SignIn { factors: factors.clone(), step: None, session: session.clone() }).await?;
        // Who was disabled meanwhile stays out.
        let staff = self.staff();
        let user = staff.get(&id).filter(is_person).ok_or(Denied::Wrong)?;
        let now = self.clock.tick();
        let begun = Session { id: session, user: id.clone(), station, factors, began: now, used: now, idle_ms };
        let gone = self.sessions().begin(credentials::fingerprint(&token), begun);
        self.note_gone(gone).await;
        Ok(SignedIn { token: Secret::new(token), user: id, name: user.name.clone(), duty: None, idle_seconds: idle_ms / 1_000 })
    }

    /// Whether an address may ask now for something that costs others: nobody is signed in yet.
    pub fn knock(&self, from: IpAddr) -> Result<(), Denied> {
        self.throttle().take(from, self.clock.tick()).map_err(|seconds| Denied::TooMany { seconds })
    }

    /// Signs somebody out.
    pub async fn sign_out(&self, who: &Who) {
        let gone = who.session.as_ref().and_then(|key| self.sessions().end(key));
        self.note_gone(gone.map(|session| (session, Ended::SignedOut)).into_iter().collect()).await;
    }

    /// Ends what was idle for too long, stores what the journal could not take before, until wardd stops.
    pub async fn watch(&self, mut stop: tokio::sync::watch::Receiver<bool>) {
        loop {
            let has_stopped = tokio::select! {
                // A closed channel means the same.
                _ = stop.wait_for(|stop| *stop) => true,
                () = tokio::time::sleep(std::time::Duration::from_secs(5)) => false,
            };
            if has_stopped {
                self.store_missed().await;
                return self.give_up_missed();
            }
            let now = self.clock.tick();
            let gone = self.sessions().expire(now);
            self.note_gone(gone).await;
            let (open, in_emergency) = {
                let mut sessions = self.sessions();
                (sessions.len(), sessions.emergencies(now))
            };
            telemetry::access_sessions(open, in_emergency);
            self.store_missed().await;
        }
    }

    pub(super) async fn note_gone(&self, gone: Vec<Gone>) {
        for (session, why) in gone {
            // The session has ended whether the journal takes it or not.
            if let Err(denied) = self.tell(&session.user, session.station.as_deref(), Command::SignOut { session: session.id, why }).await {
                tracing::warn!(user = %session.user, ?denied, "the end of a session was not recorded");
            }
        }
    }

    /// A second person's statement for what somebody is about to ask; the text that the other one sends with it.
    pub async fn vouch(&self, proof: Proof, code: Option<&str>, from: IpAddr, (actor, act): (&UserId, &Act)) -> Result<Result<Secret, Refused>, Denied> {
        self.throttle().take(from, self.clock.tick()).map_err(|seconds| Denied::TooMany { seconds })?;
        let place = from.to_string();
        let proven = self.prove(proof, code, Some(&place)).await?;
        self.throttle().give_back(from);
        let staff = self.staff();
        let user = staff.get(&proven.user).ok_or(Denied::Wrong)?;
        if let Some(duty) = self.duty(user, &proven.factors) {
            return Ok(Err(Refused::Duty(duty)));
        }
        // Whoever proves for themselves that it is they who sign needs no leave to vouch for others.
        let is_own = proven.user == *actor;
        if let (false, Err(forbidden)) = (is_own, self.rights(user, Default::default()).may(Permission::Witness, &Subject::Anything)) {
            return Ok(Err(Refused::Forbidden(forbidden)));
        }
        let command = Command::Vouch { factors: proven.factors, step: proven.step, actor: actor.clone(), path: act.path.clone() };
        self.tell(&proven.user, Some(&place), command).await?;
        let token = credentials::token()?;
        let statement = Statement { witness: proven.user, actor: actor.clone(), act: act.clone(), made: self.clock.tick(), used: None };
        match self.witnesses().put(credentials::fingerprint(&token), statement) {
            true => Ok(Ok(Secret::new(token))),
            false => Err(Denied::Failed(Failure::Busy)),
        }
    }

    /// The witness behind a statement for this person, act and command, when they may vouch for something of this subject.
    pub fn witness(&self, statement: &str, who: &Who, (act, subject): (&Act, &Subject), command: CommandId) -> Option<UserId> {
        let actor = who.user.as_ref()?;
        let witness = self.witnesses().take(&credentials::fingerprint(statement), actor, act, command, self.clock.tick())?;
        let staff = self.staff();
        let user = staff.get(&witness).filter(|user| user.disabled.is_none())?;
        // Where another person must see it, the rules refuse one's own statement.
        let may = witness == *actor || self.rights(user, Default::default()).may(Permission::Witness, subject).is_ok();
        may.then_some(witness)
    }
}

fn seconds(now: Timestamp) -> u64 {
    u64::try_from(now.micros() / 1_000_000).unwrap_or(0)
}
