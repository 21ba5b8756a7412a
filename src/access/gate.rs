//! The gate: who is behind a token, and whether they may.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::{Semaphore, watch};

use super::audit::Missed;
use super::credentials::{fingerprint, hex, is_equal};
use super::pending::Pending;
use super::sessions::{Key, Sessions};
use super::throttle::Throttle;
use super::witnesses::Witnesses;
use crate::actor::{Failure, Hospital};
use crate::domain::rights::{Forbidden, Granted, Ground, PatientPlace, Permission, Rights, Roles, Scope, SmartScopes, Subject, WardPlace};
use crate::domain::staff::{Staff, User};
use crate::journal::Log;
use crate::kernel::{BedId, CabinetId, Clock, Mrn, Principal, UserId, WardId};
use crate::projection::{History, Rows, Whereabouts};
use crate::telemetry;

/// Passwords that are compared at a time: each takes 19 MiB and a processor.
const HASHING: usize = 2;

/// A place where people sign in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Station {
    /// The addresses that it has; any when none is named.
    pub addresses: Vec<IpAddr>,
    /// After so many milliseconds without use a session there ends.
    pub idle_ms: u64,
}

impl Station {
    pub(super) fn is_at(&self, address: IpAddr) -> bool {
        self.addresses.is_empty() || self.addresses.contains(&address)
    }
}

/// What the house has decided about access.
#[derive(Debug, Clone)]
pub struct House {
    /// Its name, shown in authenticators.
    pub name: String,
    /// Wards and their facilities.
    pub wards: BTreeMap<WardId, String>,
    /// The ward where a cabinet stands, where it stands in one.
    pub cabinets: BTreeMap<CabinetId, WardId>,
    /// Stations by name.
    pub stations: BTreeMap<String, Station>,
    /// After so many milliseconds without use a session elsewhere ends.
    pub idle_ms: u64,
    /// Nobody is asked who they are.
    pub is_open: bool,
    /// The file of the secret for the first user.
    pub first_run: PathBuf,
}

/// What somebody must do before anything else.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Duty {
    /// Somebody else knows their password.
    ChangePassword,
    /// One of their roles needs a second factor.
    EnrolSecondFactor,
}

impl Duty {
    /// The way to do it.
    pub fn sentence(self) -> &'static str {
        match self {
            Duty::ChangePassword => "somebody else knows your password: first set your own (POST /api/v1/me/password, `wardctl password`, or /password in a browser)",
            Duty::EnrolSecondFactor => {
                "your role needs a second factor: first enrol one (POST /api/v1/me/second-factor, `wardctl second-factor`, or /second-factor in a browser), then sign in again"
            }
        }
    }
}

/// Why a request is refused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Refused {
    /// Nobody is behind the token.
    NotSignedIn,
    /// Something must be done first.
    Duty(Duty),
    /// Their rights do not allow it.
    Forbidden(Forbidden),
    /// Only a person who is signed in does this.
    NotAPerson,
    /// There is no such ward or cabinet to have rights in.
    Unplaced(String),
}

/// Who asks.
#[derive(Debug, Clone)]
pub struct Who {
    /// As events name them.
    pub principal: Principal,
    /// The user; none in an open house.
    pub user: Option<UserId>,
    /// Where they are.
    pub station: Option<String>,
    /// What they may.
    pub rights: Rights,
    /// What they must do first.
    pub duty: Option<Duty>,
    /// The fingerprint of their session's token.
    pub(super) session: Option<Key>,
    /// The id of the program's token.
    token: Option<String>,
    /// What of FHIR the token may read and write, when it is good for FHIR alone.
    pub scopes: Option<SmartScopes>,
}

impl Who {
    /// Whoever asks in a house where nobody is asked.
    pub(super) fn anybody() -> Self {
        let all = Granted { permissions: Permission::ALL.iter().copied().collect(), scope: Scope::House };
        let rights = Rights { granted: vec![all], ..Rights::default() };
        Self { principal: Principal::Person("api".to_owned()), user: None, station: None, rights, duty: None, session: None, token: None, scopes: None }
    }

    /// The id of the token, where it is a program.
    pub fn token(&self) -> Option<&str> {
        self.token.as_deref()
    }

    /// The user; an error when nobody is asked who they are.
    pub fn user(&self) -> Result<&UserId, Refused> {
        self.user.as_ref().ok_or(Refused::NotSignedIn)
    }
}

/// Leave to do or see something; only the gate gives it.
#[derive(Debug, Clone)]
pub struct Allowed {
    who: Who,
    ground: Ground,
}

impl Allowed {
    /// Who.
    pub fn who(&self) -> &Who {
        &self.who
    }

    /// On which ground.
    pub fn ground(&self) -> Ground {
        self.ground
    }
}

/// The gate.
pub struct Gate {
    pub(super) hospital: Arc<Hospital>,
    pub(super) log: Arc<dyn Log>,
    pub(super) rows: Arc<Rows>,
    pub(super) clock: Clock,
    pub(super) house: House,
    pub(super) roles: watch::Receiver<Arc<Roles>>,
    pub(super) staff: watch::Sender<Arc<Staff>>,
    pub(super) hashing: Semaphore,
    pub(super) missed: Missed,
    /// One reads the users at a time, so that none puts an older state over a newer one.
    pub(super) refreshing: Mutex<()>,
    pending: Mutex<Pending>,
    sessions: Mutex<Sessions>,
    throttle: Mutex<Throttle>,
    witnesses: Mutex<Witnesses>,
}

impl std::fmt::Debug for Gate {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Gate({} users)", self.staff.borrow().iter().count())
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Gate {
    /// The gate of a house, with the users that its log knows.
    pub fn new(house: House, roles: watch::Receiver<Arc<Roles>>, hospital: Arc<Hospital>, log: Arc<dyn Log>, rows: Arc<Rows>, clock: Clock) -> Result<Self, Failure> {
        telemetry::begin_access_counters(house.is_open);
        let gate = Self {
            hospital,
            log,
            rows,
            clock,
            house,
            roles,
            staff: watch::channel(Arc::default()).0,
            hashing: Semaphore::new(HASHING),
            missed: Missed::default(),
            refreshing: Mutex::default(),
            pending: Mutex::default(),
            sessions: Mutex::default(),
            throttle: Mutex::default(),
            witnesses: Mutex::default(),
        };
        gate.refresh()?;
        Ok(gate)
    }

    pub(super) fn sessions(&self) -> MutexGuard<'_, Sessions> {
        lock(&self.sessions)
    }

    pub(super) fn pending(&self) -> MutexGuard<'_, Pending> {
        lock(&self.pending)
    }

    pub(super) fn throttle(&self) -> MutexGuard<'_, Throttle> {
        lock(&self.throttle)
    }

    pub(super) fn witnesses(&self) -> MutexGuard<'_, Witnesses> {
        lock(&self.witnesses)
    }

    /// The users.
    pub fn staff(&self) -> Arc<Staff> {
        self.staff.borrow().clone()
    }

    /// The roles.
    pub fn roles(&self) -> Arc<Roles> {
        self.roles.borrow().clone()
    }

    /// What the house has decided.
    pub fn house(&self) -> &House {
        &self.house
    }

    /// Who is behind a token of a session or program; `is_use` when somebody did something, and no page asked by itself.
    pub fn who(&self, token: Option<&str>, is_use: bool) -> Result<Who, Refused> {
        let known = token.and_then(|token| self.program(token).or_else(|| self.somebody(token, is_use)));
        let anybody = || self.house.is_open.then(Who::anybody);
        known.or_else(anybody).ok_or(Refused::NotSignedIn)
    }

    /// The same person a moment later, with the rights of then; none when their session has ended.
    pub fn still(&self, who: &Who) -> Option<Who> {
        match (who.session, &who.token) {
            (Some(key), _) => self.of_session(key, false),
            (None, Some(id)) => self.of_token(id),
            (None, None) => Some(who.clone()),
        }
    }

    /// The program behind a token's id, with its rights of now; in an open house somebody without a token.
    pub fn program_of(&self, token: Option<&str>) -> Option<Who> {
        match token {
            Some(id) => self.of_token(id),
            None => self.house.is_open.then(Who::anybody),
        }
    }

    fn somebody(&self, token: &str, is_use: bool) -> Option<Who> {
        self.of_session(fingerprint(token), is_use)
    }

    fn of_session(&self, key: Key, is_use: bool) -> Option<Who> {
        let now = self.clock.tick();
        let (session, emergencies) = {
            let mut sessions = self.sessions();
            let session = sessions.get(&key, now, is_use)?.clone();
            let emergencies = sessions.open_of(&session.user, now).cloned().collect();
            (session, emergencies)
        };
        let staff = self.staff();
        let user = staff.get(&session.user).filter(|user| user.disabled.is_none())?;
        // Looked at each time: a role that was just given may need a second factor.
        let duty = self.duty(user, &session.factors);
        let rights = if duty.is_some() { Rights::default() } else { self.rights(user, emergencies) };
        let principal = Principal::Person(session.user.to_string());
        Some(Who { principal, user: Some(session.user), station: session.station, rights, duty, session: Some(key), token: None, scopes: None })
    }

    /// A program's token is `wt_ID_SECRET`.
    fn program(&self, token: &str) -> Option<Who> {
        let (id, secret) = token.strip_prefix("wt_")?.split_once('_')?;
        let staff = self.staff();
        let (_, _, known) = staff.of_token(id)?;
        let is_right = is_equal(hex(&fingerprint(secret)).as_bytes(), known.hash.as_bytes());
        if is_right { self.of_token(id) } else { None }
    }

    fn of_token(&self, id: &str) -> Option<Who> {
        let staff = self.staff();
        let (name, user, known) = staff.of_token(id)?;
        let is_current = known.expires.is_none_or(|expires| expires > self.clock.now()) && user.disabled.is_none();
        if !is_current {
            return None;
        }
        let rights = Rights { limited_to: known.permissions.clone(), ..self.rights(user, BTreeSet::new()) };
        let principal = Principal::Program(name.to_string());
        Some(Who { principal, user: Some(name.clone()), station: None, rights, duty: None, session: None, token: Some(id.to_owned()), scopes: known.scopes.clone() })
    }

    pub(super) fn rights(&self, user: &User, emergencies: BTreeSet<Mrn>) -> Rights {
        let roles = self.roles();
        Rights { granted: user.roles.iter().filter_map(|grant| roles.granted(&grant.role, &grant.scope)).collect(), emergencies, limited_to: None }
    }

    /// Leave to do or see something of a subject.
    pub fn allow(&self, who: &Who, permission: Permission, subject: &Subject) -> Result<Allowed, Refused> {
        if let Some(duty) = who.duty {
            return Err(Refused::Duty(duty));
        }
        match who.rights.may(permission, subject) {
            Ok(ground) => Ok(Allowed { who: who.clone(), ground }),
            Err(forbidden) => {
                telemetry::access_refused(forbidden.word());
                Err(Refused::Forbidden(forbidden))
            }
        }
    }

    /// Leave for what everybody may do to themselves; it needs no role.
    pub fn own(&self, who: &Who) -> Allowed {
        Allowed { who: who.clone(), ground: Ground::Role }
    }

    /// Where a ward is.
    pub fn ward(&self, ward: &str) -> Option<WardPlace> {
        let (ward, facility) = self.house.wards.iter().find(|(known, _)| known.as_str() == ward)?;
        Some(WardPlace { ward: ward.clone(), facility: facility.clone() })
    }

    /// The station that has an address of its own, and this one.
    pub fn station_at(&self, address: IpAddr) -> Option<&str> {
        self.house.stations.iter().find(|(_, station)| station.addresses.contains(&address)).map(|(name, _)| name.as_str())
    }

    /// A bed as a subject: its ward.
    pub fn bed(&self, bed: &BedId) -> Result<Subject, Refused> {
        self.ward(bed.ward()).map(Subject::Ward).ok_or_else(|| Refused::Unplaced(format!("there is no ward {}", bed.ward())))
    }

    /// A cabinet as a subject: the ward that it stands in, or the house.
    pub fn cabinet(&self, cabinet: &CabinetId) -> Subject {
        self.house.cabinets.get(cabinet).and_then(|ward| self.ward(ward.as_str())).map_or(Subject::House, Subject::Ward)
    }

    /// A patient as a subject: the wards that look after the person under any of their numbers.
    pub fn patient(&self, mrn: &Mrn) -> Subject {
        self.placed(self.rows.whereabouts(mrn, self.clock.now()), mrn)
    }

    /// The same by the log itself, for a moment when the rows are behind: nobody's restriction is overlooked, and nobody's ward.
    pub fn patient_by_log(&self, mrn: &Mrn) -> Result<Subject, Failure> {
        let found = History::new(self.log.clone()).whereabouts(mrn, self.clock.now());
        found.map(|found| self.placed(found, mrn)).map_err(|error| Failure::Unreadable(error.to_string()))
    }

    fn placed(&self, found: Whereabouts, asked: &Mrn) -> Subject {
        let units = found.units.iter().map(WardId::as_str);
        let wards: BTreeSet<WardPlace> = found.beds.iter().map(BedId::ward).chain(units).filter_map(|ward| self.ward(ward)).collect();
        // A place that is no ward of ours is nobody's in particular.
        let is_anywhere = found.is_anywhere || found.units.iter().any(|unit| self.ward(unit.as_str()).is_none());
        let is_restricted = found.is_restricted;
        let numbers = found.numbers.into_iter().chain([asked.clone()]).collect();
        Subject::Patient(PatientPlace { numbers, wards: wards.into_iter().collect(), is_anywhere, is_restricted })
    }
}
