//! The directory: which port leads to which actor, and the tree that keeps them running.

use std::collections::{BTreeMap, BTreeSet};
use std::marker::PhantomData;
use std::sync::Arc;

use ractor::{Actor, ActorRef};
use tokio::sync::oneshot;

use super::census::{self, Census, Parts};
use super::device::{DeviceActor, Intake};
use super::keeper::{Keeper, Message, Settings};
use super::port::Port;
use super::request::{Failure, Origin, Outcome, Reply, Request};
use super::supervisor::{Child, Order, Supervisor};
use super::{StartError, charging, device};
use crate::domain::accessions::Accessions;
use crate::domain::account::Account;
use crate::domain::cabinet::{self, Cabinet};
use crate::domain::census::{Command, Policy};
use crate::domain::directory::Listed;
use crate::domain::quarantine::{Item, Reason};
use crate::domain::record_numbers::RecordNumbers;
use crate::domain::schedule::Schedule;
use crate::domain::specimen::{self, Specimen};
use crate::domain::staff::{self, Staff};
use crate::domain::subscription::Subscription;
use crate::domain::user::User;
use crate::domain::{Aggregate, Refusal};
use crate::journal::views::Views;
use crate::journal::{Log, NewEvent};
use crate::kernel::{Accession, BedId, CabinetId, DeviceId, Loinc, ScheduleId, UserId, WardId, limits};
use crate::routing::Routed;

pub use charging::Charging;

/// The key of the stream of medical record numbers.
pub const RECORD_NUMBERS: &str = "record-numbers";
/// Keepers that share the specimens.
const SPECIMEN_KEEPERS: usize = 4;

/// What the hospital consists of.
#[derive(Debug, Clone, Default)]
pub struct Layout {
    /// Wards and their beds.
    pub wards: BTreeMap<WardId, Vec<BedId>>,
    /// Where the wards are.
    pub sites: BTreeMap<WardId, Site>,
    /// Cabinets.
    pub cabinets: Vec<CabinetId>,
    /// Devices.
    pub devices: Vec<DeviceId>,
    /// What it has decided about admissions and discharges.
    pub policy: Policy,
}

/// Where a ward is, and what people call it.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Site {
    /// Its name.
    pub name: String,
    /// The facility, where it is not the hospital's own.
    pub facility: Option<String>,
    /// The building.
    pub building: Option<String>,
}

type KeeperPort<A> = Port<Message<A>>;

/// Ports to the actors that messages are sent to.
#[derive(Debug)]
pub struct Targets {
    /// The beds that there are.
    beds: BTreeSet<BedId>,
    census: Port<census::Message>,
    specimens: Vec<KeeperPort<Specimen>>,
    cabinets: BTreeMap<CabinetId, KeeperPort<Cabinet>>,
}

/// A command of a device and the actor that it is for.
#[derive(Debug)]
pub enum Target {
    /// About people, stays and beds.
    Census(Command),
    /// To a specimen.
    Specimen(Accession, specimen::Command),
    /// To a cabinet.
    Cabinet(CabinetId, cabinet::Command),
}

impl Target {
    /// The same, asked for by a person: it is done wholly, or the person is told why not.
    pub fn by_hand(mut self) -> Self {
        if let Target::Specimen(_, specimen::Command::FileResults { is_by_hand, .. }) = &mut self {
            *is_by_hand = true;
        }
        self
    }
}

/// The reason that something not configured is held.
pub fn unknown(what: &str, name: &str) -> Reason {
    Reason::Refused { rule: format!("unknown_{what}"), detail: format!("there is no {what} {name} in the configuration: add it, then retry") }
}

impl Targets {
    /// The actor that an item is for, or why there is none.
    pub fn target(&self, device: &DeviceId, item: Routed) -> Result<Target, Reason> {
        let known_cabinet = |cabinet: CabinetId| if self.cabinets.contains_key(&cabinet) { Ok(cabinet) } else { Err(unknown("cabinet", cabinet.as_str())) };
        match item {
            Routed::Results { accession, patient, results } => {
                let file = specimen::Command::FileResults { device: device.clone(), patient, results, is_by_hand: false };
                Ok(Target::Specimen(accession, file))
            }
            Routed::Collect { accession } => Ok(Target::Specimen(accession, specimen::Command::Collect)),
            Routed::Receive { accession } => Ok(Target::Specimen(accession, specimen::Command::Receive)),
            Routed::Load { cabinet, gtin, lot, expires, quantity, package } => {
                let load = cabinet::Command::Load { pocket: None, gtin: Some(gtin), lot, expires, quantity, delivery: package };
                Ok(Target::Cabinet(known_cabinet(cabinet)?, load))
            }
            Routed::Report { cabinet, reported } => Ok(Target::Cabinet(known_cabinet(cabinet)?, cabinet::Command::Report(*reported))),
            Routed::Census(command) => match self.unknown_bed(&command) {
                Some(reason) => Err(reason),
                None => Ok(Target::Census(command)),
            },
            Routed::Hold(reason) | Routed::Unbound { reason, .. } => Err(reason),
            Routed::Noted | Routed::Query { .. } | Routed::Control { .. } | Routed::Tag { .. } | Routed::Drawer { .. } => {
                Err(Reason::NotSupported { detail: "this belongs to the device itself".to_owned() })
            }
        }
    }

    /// Why a command cannot be meant: it names a bed that is not there.
    fn unknown_bed(&self, command: &Command) -> Option<Reason> {
        command.beds().find(|bed| !self.beds.contains(*bed)).map(|bed| unknown("bed", bed.as_str()))
    }

    /// Sends a command with the events that become durable with it.
    pub fn send(&self, target: Target, origin: Origin, carried: Vec<NewEvent>, raw_at: Option<u64>, reply: Reply) {
        match target {
            Target::Census(command) => ask_census(&self.census, Request { key: String::new(), command, origin, carried, raw_at, reply }),
            Target::Specimen(accession, command) => {
                ask(Some(self.specimen(&accession)), Request { key: accession.to_string(), command, origin, carried, raw_at, reply });
            }
            Target::Cabinet(cabinet, command) => ask(self.cabinets.get(&cabinet), Request { key: cabinet.to_string(), command, origin, carried, raw_at, reply }),
        }
    }

    /// Sends what a message asks of people, stays and beds, all at once.
    pub fn send_parts(&self, parts: Parts) {
        if let Err((_, census::Message::AskParts(parts))) = self.census.send(census::Message::AskParts(Box::new(parts))) {
            (parts.reply)(Err(Failure::Busy));
        }
    }

    /// A specimen is always with the same keeper.
    fn specimen(&self, accession: &Accession) -> &KeeperPort<Specimen> {
        let sum = accession.as_str().bytes().fold(0_usize, |sum, byte| sum.wrapping_mul(31).wrapping_add(usize::from(byte)));
        &self.specimens[sum % self.specimens.len()]
    }
}

fn ask<A: Aggregate>(port: Option<&KeeperPort<A>>, request: Request<A::Command>) {
    let Some(port) = port else {
        let refusal = Refusal { rule: "unknown".to_owned(), message: "there is no such thing in the configuration".to_owned() };
        return (request.reply)(Outcome::Refused(refusal));
    };
    if let Err((_, Message::Ask(request))) = port.send(Message::Ask(Box::new(request))) {
        (request.reply)(Outcome::Failed(Failure::Busy));
    }
}

fn ask_census(port: &Port<census::Message>, request: Request<Command>) {
    if let Err((_, census::Message::Ask(request))) = port.send(census::Message::Ask(Box::new(request))) {
        (request.reply)(Outcome::Failed(Failure::Busy));
    }
}

/// The hospital's actors.
pub struct Hospital {
    targets: Arc<Targets>,
    accounts: KeeperPort<Account>,
    quarantine: KeeperPort<Item>,
    accessions: KeeperPort<Accessions>,
    record_numbers: KeeperPort<RecordNumbers>,
    staff: KeeperPort<Staff>,
    schedules: KeeperPort<Schedule>,
    users: KeeperPort<User>,
    subscriptions: KeeperPort<Subscription>,
    directory: KeeperPort<Listed>,
    devices: BTreeMap<DeviceId, Port<device::Message>>,
    layout: Layout,
    root: ActorRef<Order>,
}

impl std::fmt::Debug for Hospital {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Hospital({} beds, {} cabinets, {} devices)", self.targets.beds.len(), self.targets.cabinets.len(), self.devices.len())
    }
}

/// A keeper's child and its port.
fn keeper<A: Aggregate>(name: &str, log: &Arc<dyn Log>, streams: usize) -> (Child, KeeperPort<A>) {
    let (port, announcer) = Port::new(name, limits::PORT_PLACES);
    let child = Child::new(name, || Keeper::<A>(PhantomData), Settings { log: log.clone(), streams }, announcer);
    (child, port)
}

impl Hospital {
    /// Starts root, census, cabinets, keepers, billing and devices.
    pub async fn start(layout: Layout, log: Arc<dyn Log>) -> Result<Self, StartError> {
        let mut children = Vec::new();
        let (census, announcer) = Port::new("census", limits::PORT_PLACES);
        let settings = census::Settings { log: log.clone(), policy: layout.policy.clone() };
        children.push(Child::new("census", || Census, settings, announcer));
        let beds = layout.wards.values().flatten().cloned().collect();
        let mut cabinets = BTreeMap::new();
        for cabinet in &layout.cabinets {
            let (child, port) = keeper::<Cabinet>(&format!("cabinet {cabinet}"), &log, 1);
            children.push(child);
            cabinets.insert(cabinet.clone(), port);
        }
        let mut specimens = Vec::new();
        for number in 0..SPECIMEN_KEEPERS {
            let (child, port) = keeper::<Specimen>(&format!("specimens {number}"), &log, limits::KEEPER_STREAMS / SPECIMEN_KEEPERS);
            children.push(child);
            specimens.push(port);
        }
        let (child, accounts) = keeper::<Account>("billing", &log, limits::KEEPER_STREAMS);
        children.push(child);
        let (child, quarantine) = keeper::<Item>("quarantine", &log, limits::KEEPER_STREAMS);
        children.push(child);
        let (child, record_numbers) = keeper::<RecordNumbers>("record numbers", &log, 1);
        children.push(child);
        let (child, staff) = keeper::<Staff>("staff", &log, 1);
        children.push(child);
        let (child, schedules) = keeper::<Schedule>("schedules", &log, limits::KEEPER_STREAMS);
        children.push(child);
        let (child, users) = keeper::<User>("users", &log, limits::KEEPER_STREAMS);
        children.push(child);
        let (child, subscriptions) = keeper::<Subscription>("subscriptions", &log, limits::KEEPER_STREAMS);
        children.push(child);
        let (child, directory) = keeper::<Listed>("directory", &log, limits::KEEPER_CHARTS);
        children.push(child);
        let (child, accessions) = keeper::<Accessions>("accession numbers", &log, 1);
        children.push(child);
        let targets = Arc::new(Targets { beds, census, specimens, cabinets });
        let mut devices = BTreeMap::new();
        for device in &layout.devices {
            let (port, announcer) = Port::new(device.as_str(), limits::PORT_PLACES);
            let settings = device::Settings { device: device.clone(), log: log.clone(), targets: targets.clone() };
            children.push(Child::new(device.as_str(), || DeviceActor, settings, announcer));
            devices.insert(device.clone(), port);
        }
        let failed = |error: ractor::SpawnErr| StartError { name: "hospital".to_owned(), why: error.to_string() };
        let (root, _) = Actor::spawn(None, Supervisor, children).await.map_err(failed)?;
        Ok(Self { targets, accounts, quarantine, accessions, record_numbers, staff, schedules, users, subscriptions, directory, devices, layout, root })
    }

    /// What the hospital consists of.
    pub fn layout(&self) -> &Layout {
        &self.layout
    }

    /// Hands a device's message to its actor; gives it back when there is no place.
    pub fn intake(&self, device: &DeviceId, intake: Intake) -> Result<(), Box<Intake>> {
        match self.devices.get(device) {
            None => Err(Box::new(intake)),
            Some(port) => port
                .send(device::Message::Intake(Box::new(intake)))
                .map_err(|(_, message)| match message {
                    device::Message::Intake(intake) => Some(intake),
                    device::Message::Failed { .. } => None,
                })
                .or_else(|intake| intake.map_or(Ok(()), Err)),
        }
    }

    async fn outcome<A: Aggregate>(port: Option<&KeeperPort<A>>, key: String, command: A::Command, origin: Origin) -> Outcome {
        let (sender, receiver) = oneshot::channel();
        let reply: Reply = Box::new(move |outcome| {
            // Whoever asked may have gone; the command is done all the same.
            let _ = sender.send(outcome);
        });
        ask(port, Request { key, command, origin, carried: Vec::new(), raw_at: None, reply });
        receiver.await.unwrap_or(Outcome::Failed(Failure::Lost))
    }

    /// Asks about people, stays and beds; the beds that the command names must be known.
    pub async fn census(&self, command: Command, origin: Origin) -> Outcome {
        if let Some(reason) = self.targets.unknown_bed(&command) {
            return Outcome::Refused(Refusal { rule: "unknown_bed".to_owned(), message: reason.sentence() });
        }
        let (sender, receiver) = oneshot::channel();
        let reply: Reply = Box::new(move |outcome| {
            // Whoever asked may have gone; the command is done all the same.
            let _ = sender.send(outcome);
        });
        ask_census(&self.targets.census, Request { key: String::new(), command, origin, carried: Vec::new(), raw_at: None, reply });
        receiver.await.unwrap_or(Outcome::Failed(Failure::Lost))
    }

    /// Asks a specimen.
    pub async fn specimen(&self, accession: &Accession, command: specimen::Command, origin: Origin) -> Outcome {
        Self::outcome(Some(self.targets.specimen(accession)), accession.to_string(), command, origin).await
    }

    /// Asks a cabinet.
    pub async fn cabinet(&self, cabinet: &CabinetId, command: cabinet::Command, origin: Origin) -> Outcome {
        Self::outcome(self.targets.cabinets.get(cabinet), cabinet.to_string(), command, origin).await
    }

    /// Asks an account.
    pub async fn account(&self, account: &crate::kernel::AccountId, command: crate::domain::account::Command, origin: Origin) -> Outcome {
        Self::outcome(Some(&self.accounts), account.to_string(), command, origin).await
    }

    /// Asks an item of the quarantine.
    pub async fn quarantine(&self, item: &str, command: crate::domain::quarantine::Command, origin: Origin) -> Outcome {
        Self::outcome(Some(&self.quarantine), item.to_owned(), command, origin).await
    }

    /// The next medical record number.
    pub async fn record_number(&self, origin: Origin) -> Outcome {
        Self::outcome(Some(&self.record_numbers), RECORD_NUMBERS.to_owned(), crate::domain::record_numbers::Command::Issue, origin).await
    }

    /// Changes who the users are.
    pub async fn staff(&self, command: crate::domain::staff::Command, origin: Origin) -> Outcome {
        Self::outcome(Some(&self.staff), staff::STREAM.to_owned(), command, origin).await
    }

    /// Asks a schedule.
    pub async fn schedule(&self, schedule: &ScheduleId, command: crate::domain::schedule::Command, origin: Origin) -> Outcome {
        Self::outcome(Some(&self.schedules), schedule.to_string(), command, origin).await
    }

    /// Asks about one user's sign-ins and emergencies.
    pub async fn user(&self, user: &UserId, command: crate::domain::user::Command, origin: Origin) -> Outcome {
        Self::outcome(Some(&self.users), user.to_string(), command, origin).await
    }

    /// Asks what a program is told of.
    pub async fn subscription(&self, id: &str, command: crate::domain::subscription::Command, origin: Origin) -> Outcome {
        Self::outcome(Some(&self.subscriptions), id.to_owned(), command, origin).await
    }

    /// Asks an entry of the directory.
    pub async fn directory(&self, id: &str, command: crate::domain::directory::Command, origin: Origin) -> Outcome {
        Self::outcome(Some(&self.directory), id.to_owned(), command, origin).await
    }

    /// The next accession number.
    pub async fn accession(&self, origin: Origin) -> Outcome {
        Self::outcome(Some(&self.accessions), "accessions".to_owned(), crate::domain::accessions::Command::Issue, origin).await
    }

    /// The tests without a result of a specimen that may be measured, for a host query; durable state only.
    pub async fn outstanding(&self, accession: &Accession) -> Result<Vec<Loinc>, Failure> {
        let (sender, receiver) = oneshot::channel();
        let show = Box::new(move |specimen: &Specimen| -> super::keeper::Shown {
            // A tube that nobody collected is not measured: nobody knows whose blood it holds.
            let is_due = specimen.stage() >= specimen::Stage::Collected;
            let tests: Vec<Loinc> = specimen.outstanding().filter(|_| is_due).cloned().collect();
            Box::new(move |result| {
                let _ = sender.send(result.map(|()| tests));
            })
        });
        if self.targets.specimen(accession).send(Message::Inspect { key: accession.to_string(), show }).is_err() {
            return Err(Failure::Busy);
        }
        receiver.await.unwrap_or(Err(Failure::Lost))
    }

    /// Charges what the log says was done, from the billing cursor on; runs until the log closes.
    pub async fn charge(&self, charging: Charging, log: Arc<dyn Log>, views: Arc<dyn Views>, now: impl Fn() -> crate::kernel::Timestamp + Send) {
        charging::run(self, charging, log.as_ref(), views.as_ref(), now).await;
    }

    /// Ends all actors at once, as the death of the process does; what is in their queues is lost.
    pub async fn kill(&self) {
        // Nobody is left to be told when it does not end.
        let _ = self.root.kill_and_wait(None).await;
    }

    /// Stops all actors once their queues are empty.
    pub async fn stop(&self) {
        // Every message that has a place is still handled: wait until all places are free again.
        for _ in 0..400 {
            let waiting = self.devices.values().any(|port| port.free() < limits::PORT_PLACES)
                || self.targets.specimens.iter().any(|port| port.free() < limits::PORT_PLACES)
                || self.targets.census.free() < limits::PORT_PLACES
                || self.targets.cabinets.values().any(|port| port.free() < limits::PORT_PLACES)
                || self.accounts.free() < limits::PORT_PLACES;
            if !waiting {
                break;
            }
            tokio::time::sleep(std::time::Duration::from_millis(5)).await;
        }
        self.root.stop(Some("shutdown".to_owned()));
    }
}
