//! The gate on a real log whose disk is full for a while: nobody is kept from their work, and nothing is forgotten.

use std::collections::BTreeMap;
use std::fs::File;
use std::io;
use std::net::{IpAddr, Ipv4Addr};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use tokio::sync::watch;

use super::*;
use crate::actor::{Hospital, Layout, Origin, Outcome};
use crate::domain::disclosure::Record;
use crate::domain::rights::{Ground, Roles, Scope};
use crate::domain::staff::{Command, Grant, Kind};
use crate::journal::views::MemoryViews;
use crate::journal::{Disk, FileLog, KeyRing, Log, Options, RealDisk};
use crate::kernel::{Clock, CommandId, Principal, StreamId, StreamKind, Tick, Timestamp, UserId};
use crate::projection::Rows;

const PASSWORD: &str = "correct horse battery";

/// A disk that is full when it is told so.
#[derive(Default)]
struct Filling(AtomicBool);

impl Disk for Filling {
    fn write_at(&self, file: &File, bytes: &[u8], offset: u64) -> io::Result<()> {
        if self.0.load(Ordering::SeqCst) { Err(io::ErrorKind::StorageFull.into()) } else { RealDisk.write_at(file, bytes, offset) }
    }
}

struct House {
    gate: Arc<Gate>,
    log: Arc<FileLog>,
    disk: Arc<Filling>,
    folder: PathBuf,
    numbers: AtomicU64,
}

impl House {
    async fn new() -> Self {
        static FOLDERS: AtomicU64 = AtomicU64::new(0);
        let folder = std::env::temp_dir().join(format!("wardd-access-{}-{}", std::process::id(), FOLDERS.fetch_add(1, Ordering::Relaxed)));
        let _ = std::fs::remove_dir_all(&folder);
        let disk = Arc::new(Filling::default());
        let options = Options { segment_bytes: 1 << 20, disk: disk.clone() };
        let (log, _) = FileLog::open(&folder, Arc::new(KeyRing::ephemeral().unwrap()), options).unwrap();
        let log = Arc::new(log);
        let views = Arc::new(MemoryViews::default());
        log.keep_snapshots(views.clone());
        let shared: Arc<dyn Log> = log.clone();
        let hospital = Arc::new(Hospital::start(Layout::default(), shared.clone()).await.unwrap());
        let rows = Arc::new(Rows::open(views, 0).unwrap());
        let clock = Clock::new(|| Timestamp::from_micros(1_800_000_000_000_000), || Tick::from_ms(1));
        let house = gate::House {
            name: "Test".to_owned(),
            wards: BTreeMap::new(),
            cabinets: BTreeMap::new(),
            stations: BTreeMap::new(),
            idle_ms: 600_000,
            is_open: false,
            first_run: folder.join("first-run"),
        };
        let roles: Roles = toml::from_str(include_str!("../../config/roles.toml")).unwrap();
        let (_, roles) = watch::channel(Arc::new(roles));
        let gate = Arc::new(Gate::new(house, roles, hospital, shared, rows, clock).unwrap());
        Self { gate, log, disk, folder, numbers: AtomicU64::new(1) }
    }

    fn is_full(&self, is_full: bool) {
        self.disk.0.store(is_full, Ordering::SeqCst);
    }

    fn origin(&self) -> Origin {
        let mut id = [0; 16];
        id[..8].copy_from_slice(&self.numbers.fetch_add(1, Ordering::Relaxed).to_le_bytes());
        Origin::new(CommandId::from_bytes(id), Principal::Person("setup".to_owned()), Timestamp::from_micros(1))
    }

    /// Somebody who has a password of their own.
    async fn with_user(&self, name: &str, role: &str) -> UserId {
        let user: UserId = name.parse().unwrap();
        let boss = Who::anybody();
        let hash = self.gate.new_password(&user, Secret::new(PASSWORD)).await.unwrap();
        let add = Command::Add { user: user.clone(), name: name.to_owned(), kind: Kind::Person };
        let grant = Command::Grant { user: user.clone(), grant: Grant { role: role.to_owned(), scope: Scope::House } };
        for command in [add, grant] {
            assert!(matches!(self.gate.change(&boss, command, self.origin()).await, Outcome::Done(_)));
        }
        let own = Origin { principal: Principal::Person(name.to_owned()), ..self.origin() };
        assert!(matches!(self.gate.change(&boss, Command::SetPassword { user: user.clone(), hash }, own).await, Outcome::Done(_)));
        user
    }

    async fn sign_in(&self, user: &str, password: &str) -> Result<Who, Denied> {
        let proof = Proof::Password { user: user.to_owned(), password: Secret::new(password) };
        let from = IpAddr::from(Ipv4Addr::LOCALHOST);
        let signed_in = self.gate.sign_in(SignIn { proof, code: None, station: None, from }).await?;
        Ok(self.gate.who(Some(signed_in.token.show()), true).unwrap())
    }

    fn events(&self, kind: StreamKind, key: &str) -> Vec<String> {
        let stored = self.log.read_stream(&StreamId::new(kind, key), 1, usize::MAX).unwrap();
        stored.iter().map(|(_, stored)| stored.event.kind.to_string()).collect()
    }
}

impl Drop for House {
    fn drop(&mut self) {
        self.is_full(false);
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_full_disk_keeps_nobody_from_their_work_and_the_journal_is_told_afterwards() {
    let house = House::new().await;
    house.with_user("nina", "nurse").await;
    house.with_user("otto", "nurse").await;
    house.is_full(true);
    // Signing in, looking at a record, opening one in an emergency.
    let nina = house.sign_in("nina", PASSWORD).await.unwrap();
    let patient = "1001".parse().unwrap();
    house.gate.shown(&nina, Record::Patient, None, vec!["1001".parse().unwrap()], Ground::Role).await.unwrap();
    for wrong in [" ".to_owned(), "x".repeat(401)] {
        let (_, outcome) = house.gate.break_glass(&nina, &patient, &wrong, house.origin()).await.unwrap();
        assert!(outcome != Outcome::Nothing && house.gate.still(&nina).unwrap().rights.emergencies.is_empty(), "no reason that the journal would refuse");
    }
    let (_, outcome) = house.gate.break_glass(&nina, &patient, "collapsed", house.origin()).await.unwrap();
    assert_eq!(outcome, Outcome::Nothing, "it is open, and the journal does not know yet");
    assert!(house.gate.still(&nina).unwrap().rights.emergencies.contains(&patient));
    // Wrong tries are counted all the same.
    for _ in 0..5 {
        assert_eq!(house.sign_in("otto", "not the password").await.err(), Some(Denied::Wrong));
    }
    assert!(matches!(house.sign_in("otto", PASSWORD).await.err(), Some(Denied::Refused(refusal)) if refusal.rule == "locked"));
    assert!(house.events(StreamKind::User, "nina").is_empty() && house.events(StreamKind::Access, "nina").is_empty());
    // A right that cannot be taken away is not said to be.
    let disable = Command::Disable { user: "otto".parse().unwrap(), reason: "left".to_owned(), governing: ["administrator".to_owned()].into() };
    assert!(!matches!(house.gate.change(&Who::anybody(), disable, house.origin()).await, Outcome::Done(_)));

    house.is_full(false);
    house.gate.store_missed().await;
    assert_eq!(house.events(StreamKind::User, "nina"), ["SignedIn", "GlassBroken"]);
    assert_eq!(house.events(StreamKind::Access, "nina"), ["RecordShown"]);
    assert_eq!(house.events(StreamKind::User, "otto"), ["SignInFailed", "SignInFailed", "SignInFailed", "SignInFailed", "SignInFailed", "FactorLocked"]);
    assert!(matches!(house.sign_in("otto", PASSWORD).await.err(), Some(Denied::Refused(refusal)) if refusal.rule == "locked"), "and now the journal says so");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_change_that_had_been_done_before_counts_too_and_many_at_once_leave_the_newest_state() {
    let house = House::new().await;
    house.with_user("boss", "administrator").await;
    let user = house.with_user("nina", "nurse").await;
    let inside = house.sign_in("nina", PASSWORD).await.unwrap();
    let disable = || Command::Disable { user: user.clone(), reason: "left".to_owned(), governing: ["administrator".to_owned()].into() };
    let origin = Origin { principal: Principal::Person("somebody".to_owned()), ..house.origin() };
    // As if the first one who asked had gone before it was taken over here.
    let outcome = house.gate.hospital.staff(disable(), origin.clone()).await;
    assert!(matches!(outcome, Outcome::Done(_)), "{outcome:?}");
    assert!(house.gate.still(&inside).is_some(), "nobody has looked yet");
    assert_eq!(house.gate.change(&Who::anybody(), disable(), origin).await, Outcome::Repeated);
    assert!(house.gate.still(&inside).is_none());
    let added: Vec<_> = (0..32).map(|number| Command::Add { user: format!("u{number}").parse().unwrap(), name: "U".to_owned(), kind: Kind::Person }).collect();
    let mut tasks = tokio::task::JoinSet::new();
    for command in added {
        let (gate, origin) = (house.gate.clone(), house.origin());
        tasks.spawn(async move { gate.change(&Who::anybody(), command, origin).await });
    }
    while let Some(done) = tasks.join_next().await {
        assert!(matches!(done.unwrap(), Outcome::Done(_)));
    }
    assert_eq!(house.gate.staff().iter().count(), 34);
}
