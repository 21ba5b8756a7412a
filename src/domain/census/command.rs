//! What may be asked about people, stays and beds.

use super::Measured;
use crate::domain::document::Content;
use crate::domain::encounter::{Class, Clearance, Guarantor};
use crate::domain::patient::{Allergy, Person, Photo};
use crate::domain::{chart, task, vitals};
use crate::kernel::{BedId, DeviceId, EncounterId, Mrn, Timestamp, WardId};

/// A stay that begins, or is to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Admission {
    /// Who.
    pub patient: Mrn,
    /// The encounter; without one the command makes it.
    pub encounter: Option<EncounterId>,
    /// What kind of stay.
    pub class: Class,
    /// The bed.
    pub bed: Option<BedId>,
    /// The mother, for a newborn.
    pub mother: Option<Mrn>,
    /// The account of the hospital's own system that it is billed to.
    pub account: Option<String>,
    /// Who looks after the patient while they lie in no bed.
    pub ward: Option<WardId>,
}

impl Admission {
    /// An inpatient into a bed.
    pub fn into_bed(patient: Mrn, bed: BedId) -> Self {
        Self { patient, encounter: None, class: Class::Inpatient, bed: Some(bed), mother: None, account: None, ward: None }
    }
}

/// Another system's word of when.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Told {
    /// When it wrote it down: what it knew before does not replace what it knew later.
    pub as_of: Timestamp,
    /// When it happened, where it says so.
    pub occurred: Option<Timestamp>,
}

/// A command of the registration, a ward, housekeeping, or another system's feed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Command {
    /// Registers a person, or says what is known of them now.
    Register {
        /// The number.
        patient: Mrn,
        /// Who it is.
        person: Box<Person>,
        /// As of when, if the sender says so: what is older than what is known fills gaps only.
        as_of: Option<Timestamp>,
        /// Whether nobody may be registered under the number yet.
        is_new: bool,
    },
    /// A registration is as this says and no more, by somebody who has looked at the one before.
    Replace {
        /// The number.
        patient: Mrn,
        /// Who it is.
        person: Box<Person>,
        /// The registration that they looked at: another one in between must not be lost.
        known: Option<Box<Person>>,
    },
    /// A photo of somebody.
    TakePhoto {
        /// Of whom.
        patient: Mrn,
        /// It.
        photo: Photo,
    },
    /// It is somebody else's, or not wanted.
    RemovePhoto {
        /// Whose.
        patient: Mrn,
    },
    /// All of these, one after the other, or none.
    All(Vec<Command>),
    /// Two numbers are one person.
    Merge {
        /// The number to use from now on.
        survivor: Mrn,
        /// The other one.
        merged: Mrn,
    },
    /// A merge was an error.
    Unmerge {
        /// The number that was merged into another.
        merged: Mrn,
        /// The other one, where the sender names it.
        from: Option<Mrn>,
    },
    /// An allergy is known.
    RecordAllergy {
        /// Whose.
        patient: Mrn,
        /// Which.
        allergy: Allergy,
    },
    /// It was none.
    RefuteAllergy {
        /// Whose.
        patient: Mrn,
        /// Against what.
        substance: String,
        /// Why.
        reason: String,
    },
    /// Somebody asked, and there is none.
    NoKnownAllergies {
        /// Whose.
        patient: Mrn,
    },
    /// Only some may look at the record; without a reason: whoever may see patients.
    Restrict {
        /// Whose.
        patient: Mrn,
        /// Why.
        reason: Option<String>,
    },
    /// A wristband is printed; those before it do not count any more.
    PrintWristband {
        /// Whose.
        patient: Mrn,
        /// Where.
        printer: DeviceId,
    },
    /// A printer says that a wristband has come out.
    ConfirmWristband {
        /// Whose.
        patient: Mrn,
        /// Which.
        number: u32,
        /// Where.
        printer: DeviceId,
    },
    /// A stay is to come.
    Plan {
        /// Which.
        admission: Admission,
        /// When.
        expected: Option<Timestamp>,
    },
    /// It does not come.
    CancelPlan {
        /// Whose.
        patient: Mrn,
        /// Which; without one the only one.
        encounter: Option<EncounterId>,
    },
    /// A stay begins.
    Admit(Admission),
    /// The admission was an error.
    CancelAdmission {
        /// Whose.
        patient: Mrn,
        /// The bed, where the sender names it.
        bed: Option<BedId>,
    },
    /// Asks another ward for a bed.
    RequestTransfer {
        /// Whose.
        patient: Mrn,
        /// Which bed.
        to: BedId,
    },
    /// The receiving ward takes the patient.
    AcceptTransfer {
        /// Whom.
        patient: Mrn,
    },
    /// The transfer is not asked for any more, or declined.
    CancelTransfer {
        /// Whose.
        patient: Mrn,
    },
    /// The patient lies in another bed.
    Move {
        /// Who.
        patient: Mrn,
        /// In which.
        to: BedId,
    },
    /// The last move was an error.
    MoveBack {
        /// Whose.
        patient: Mrn,
        /// The bed before it, where the sender names it.
        to: Option<BedId>,
    },
    /// Two patients change beds.
    Swap {
        /// One.
        patient: Mrn,
        /// The other.
        with: Mrn,
        /// The bed that the first one comes to, where the sender names it.
        to: Option<BedId>,
    },
    /// The stay becomes one of another kind, in another bed where one is named.
    ChangeClass {
        /// Whose.
        patient: Mrn,
        /// Which kind.
        class: Class,
        /// The bed.
        bed: Option<BedId>,
    },
    /// A stay was another patient's all the time: it becomes theirs, and what counts of what was written meanwhile.
    MoveStay {
        /// Under whom it was written.
        from: Mrn,
        /// Whose it is; the same number when only the account is another.
        to: Mrn,
        /// Which.
        visit: EncounterId,
        /// The account that it is billed to now.
        account: Option<String>,
    },
    /// All stays of an account of the hospital's own system were another patient's.
    MoveAccount {
        /// Under whom they were written.
        from: Mrn,
        /// Whose they are.
        to: Mrn,
        /// The account.
        account: String,
    },
    /// Another system keeps a stay no more.
    RemoveStay {
        /// Whose.
        patient: Mrn,
        /// Which; without one the sender means all that have ended.
        visit: Option<EncounterId>,
    },
    /// The patient leaves the bed for a while.
    Depart {
        /// Who.
        patient: Mrn,
        /// Where to; without one to where they were said to be.
        to: Option<String>,
    },
    /// The patient has come to a place, or is back.
    Arrive {
        /// Who.
        patient: Mrn,
        /// Where; without one in their own bed.
        place: Option<String>,
    },
    /// The patient is on leave; the bed stays theirs.
    BeginLeave {
        /// Who.
        patient: Mrn,
    },
    /// The patient is back.
    EndLeave {
        /// Who.
        patient: Mrn,
    },
    /// Somebody stays with the patient, in a bed of their own: a mother, a guardian.
    Lodge {
        /// With whom.
        patient: Mrn,
        /// In which bed.
        bed: BedId,
        /// Who.
        name: String,
        /// What they are to the patient.
        relation: String,
    },
    /// They go, and the patient stays.
    CompanionLeaves {
        /// With whom they stayed.
        patient: Mrn,
    },
    /// When the patient is expected to leave.
    ExpectEnd {
        /// Who.
        patient: Mrn,
        /// When.
        expected: Timestamp,
    },
    /// Somebody agrees to the discharge.
    Clear {
        /// Whose.
        patient: Mrn,
        /// In which role.
        clearance: Clearance,
    },
    /// The patient leaves the hospital.
    Discharge {
        /// Who.
        patient: Mrn,
        /// The bed, where the sender names it.
        bed: Option<BedId>,
    },
    /// A visit is over: of whoever came for it and lies in no bed; of anybody else nothing ends.
    EndVisit {
        /// Who.
        patient: Mrn,
        /// The visit.
        encounter: EncounterId,
    },
    /// The patient has died.
    RecordDeath {
        /// Who.
        patient: Mrn,
        /// When, where that is known; else now.
        at: Option<Timestamp>,
    },
    /// Everything that is known of a person is erased, for ever.
    Erase {
        /// Any number of theirs.
        patient: Mrn,
        /// All of their stays, those of earlier years as well.
        encounters: Vec<EncounterId>,
        /// Why, and who has asked for it.
        reason: String,
    },
    /// The record of a death was an error.
    WithdrawDeath {
        /// Whose.
        patient: Mrn,
    },
    /// What a sender says of a stay: refused when the patient is here under another visit, or when something newer is known.
    OfVisit {
        /// The sender's visit number, where it is named.
        visit: Option<EncounterId>,
        /// When another system wrote it down, and when it happened.
        told: Option<Told>,
        /// Whether the sender has read this very stay: then no other is meant. A number of another system may be a stay's that came
        /// without one.
        is_exact: bool,
        /// What it says.
        command: Box<Command>,
    },
    /// The discharge was an error: the patient is still here.
    CancelDischarge {
        /// Who.
        patient: Mrn,
        /// In which bed; without one in the last.
        bed: Option<BedId>,
    },
    /// A bed cannot be used.
    Block {
        /// Which.
        bed: BedId,
        /// Why.
        reason: String,
    },
    /// It can be used again.
    Unblock {
        /// Which.
        bed: BedId,
    },
    /// It is clean.
    Clean {
        /// Which.
        bed: BedId,
    },
    /// Whoever lies in it is isolated; without a reason: not any more.
    Isolate {
        /// Which.
        bed: BedId,
        /// Why.
        reason: Option<String>,
    },
    /// About a patient's problems and notes.
    Chart {
        /// Whose.
        patient: Mrn,
        /// What.
        command: chart::Command,
    },
    /// About a patient's signs, fluids and alerts.
    Vitals {
        /// Whose.
        whom: Measured,
        /// What.
        command: vitals::Command,
    },
    /// About what is to be done during the stay that is open.
    Task {
        /// Whose.
        patient: Mrn,
        /// What.
        command: task::Command,
    },
    /// Files a document.
    FileDocument {
        /// Whose.
        patient: Mrn,
        /// What it is; number, author and time are the rule's to give.
        paper: chart::Paper,
        /// Its bytes.
        content: Content,
    },
    /// Says how urgent somebody is.
    Triage {
        /// Who.
        patient: Mrn,
        /// From 1 (at once) to 5.
        level: u8,
        /// What they come for.
        complaint: String,
    },
    /// Somebody treats the patient from now on.
    BeginTreatment {
        /// Whom.
        patient: Mrn,
    },
    /// Says who pays when the patient does not.
    NameGuarantor {
        /// Of whom.
        patient: Mrn,
        /// Of which stay; without one of the one that is open.
        encounter: Option<EncounterId>,
        /// Who.
        guarantor: Guarantor,
    },
}

/// What is asked in a few words, with numbers and without names.
impl std::fmt::Display for Command {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let place = |bed: &Option<BedId>| bed.as_ref().map_or_else(|| "no bed".to_owned(), ToString::to_string);
        match self {
            Command::Register { patient, .. } | Command::Replace { patient, .. } => write!(f, "register {patient}"),
            Command::TakePhoto { patient, .. } => write!(f, "photo of {patient}"),
            Command::RemovePhoto { patient } => write!(f, "no photo of {patient}"),
            Command::All(commands) => commands.iter().try_for_each(|command| write!(f, "{command}; ")),
            Command::Merge { survivor, merged } => write!(f, "merge {merged} into {survivor}"),
            Command::Unmerge { merged, .. } => write!(f, "unmerge {merged}"),
            Command::RecordAllergy { patient, .. } => write!(f, "allergy of {patient}"),
            Command::RefuteAllergy { patient, .. } => write!(f, "no such allergy of {patient}"),
            Command::NoKnownAllergies { patient } => write!(f, "no allergies of {patient}"),
            Command::Restrict { patient, .. } => write!(f, "restrict {patient}"),
            Command::PrintWristband { patient, .. } | Command::ConfirmWristband { patient, .. } => write!(f, "wristband of {patient}"),
            Command::Plan { admission, .. } => write!(f, "plan {} for {}", place(&admission.bed), admission.patient),
            Command::CancelPlan { patient, .. } => write!(f, "cancel plan of {patient}"),
            Command::WithdrawDeath { patient } => write!(f, "{patient} lives"),
            Command::OfVisit { command, .. } => command.fmt(f),
            Command::Admit(admission) => write!(f, "admit {} to {}", admission.patient, place(&admission.bed)),
            Command::CancelAdmission { patient, .. } => write!(f, "cancel admission of {patient}"),
            Command::RequestTransfer { patient, to } => write!(f, "ask {to} for {patient}"),
            Command::AcceptTransfer { patient } => write!(f, "accept {patient}"),
            Command::CancelTransfer { patient } => write!(f, "cancel transfer of {patient}"),
            Command::Move { patient, to } => write!(f, "move {patient} to {to}"),
            Command::MoveBack { patient, .. } => write!(f, "move {patient} back"),
            Command::Swap { patient, with, .. } => write!(f, "swap {patient} and {with}"),
            Command::ChangeClass { patient, class, .. } => write!(f, "{patient} is {class:?}"),
            Command::MoveStay { from, to, visit, .. } => write!(f, "{visit} of {from} is {to}'s"),
            Command::MoveAccount { from, to, .. } => write!(f, "an account of {from} is {to}'s"),
            Command::RemoveStay { patient, .. } => write!(f, "a stay of {patient} is kept elsewhere no more"),
            Command::Depart { patient, .. } => write!(f, "{patient} departs"),
            Command::Arrive { patient, .. } => write!(f, "{patient} arrives"),
            Command::BeginLeave { patient } => write!(f, "leave of {patient}"),
            Command::EndLeave { patient } => write!(f, "end of leave of {patient}"),
            Command::Lodge { patient, bed, .. } => write!(f, "somebody stays with {patient} in {bed}"),
            Command::CompanionLeaves { patient } => write!(f, "nobody stays with {patient} any more"),
            Command::ExpectEnd { patient, expected } => write!(f, "expect {patient} to leave at {expected}"),
            Command::Clear { patient, clearance } => write!(f, "clear {patient} ({})", clearance.word()),
            Command::Discharge { patient, bed } => write!(f, "discharge {patient} from {}", place(bed)),
            Command::EndVisit { patient, .. } => write!(f, "end of the visit of {patient}"),
            Command::Erase { patient, .. } => write!(f, "erase {patient}"),
            Command::RecordDeath { patient, .. } => write!(f, "death of {patient}"),
            Command::CancelDischarge { patient, .. } => write!(f, "cancel discharge of {patient}"),
            Command::Block { bed, .. } => write!(f, "block {bed}"),
            Command::Unblock { bed } => write!(f, "unblock {bed}"),
            Command::Clean { bed } => write!(f, "clean {bed}"),
            Command::Isolate { bed, .. } => write!(f, "isolate {bed}"),
            Command::Chart { patient, .. } => write!(f, "chart of {patient}"),
            Command::Vitals { whom, command } => write!(f, "signs of {whom}{command}"),
            Command::Task { patient, .. } => write!(f, "tasks of {patient}"),
            Command::FileDocument { patient, .. } => write!(f, "document of {patient}"),
            Command::Triage { patient, level, .. } => write!(f, "triage of {patient}: {level}"),
            Command::BeginTreatment { patient } => write!(f, "{patient} is treated"),
            Command::NameGuarantor { patient, .. } => write!(f, "guarantor of {patient}"),
        }
    }
}

impl Command {
    /// The beds that it names.
    pub fn beds(&self) -> impl Iterator<Item = &BedId> {
        let bed = match self {
            Command::OfVisit { command, .. } => return command.beds().collect::<Vec<_>>().into_iter(),
            Command::All(commands) => return commands.iter().flat_map(Command::beds).collect::<Vec<_>>().into_iter(),
            Command::MoveBack { to, .. } | Command::Swap { to, .. } => to.as_ref(),
            Command::Plan { admission, .. } | Command::Admit(admission) => admission.bed.as_ref(),
            Command::ChangeClass { bed, .. } | Command::CancelAdmission { bed, .. } | Command::Discharge { bed, .. } | Command::CancelDischarge { bed, .. } => bed.as_ref(),
            Command::RequestTransfer { to: bed, .. }
            | Command::Move { to: bed, .. }
            | Command::Block { bed, .. }
            | Command::Unblock { bed }
            | Command::Clean { bed }
            | Command::Isolate { bed, .. }
            | Command::Lodge { bed, .. }
            | Command::Vitals { whom: Measured::InBed(bed) | Measured::PatientInBed(_, bed), .. } => Some(bed),
            Command::Register { .. }
            | Command::Replace { .. }
            | Command::TakePhoto { .. }
            | Command::RemovePhoto { .. }
            | Command::Merge { .. }
            | Command::Unmerge { .. }
            | Command::RecordAllergy { .. }
            | Command::RefuteAllergy { .. }
            | Command::NoKnownAllergies { .. }
            | Command::Restrict { .. }
            | Command::EndVisit { .. }
            | Command::Erase { .. }
            | Command::PrintWristband { .. }
            | Command::ConfirmWristband { .. }
            | Command::CancelPlan { .. }
            | Command::AcceptTransfer { .. }
            | Command::CancelTransfer { .. }
            | Command::MoveStay { .. }
            | Command::MoveAccount { .. }
            | Command::RemoveStay { .. }
            | Command::Depart { .. }
            | Command::Arrive { .. }
            | Command::BeginLeave { .. }
            | Command::EndLeave { .. }
            | Command::CompanionLeaves { .. }
            | Command::ExpectEnd { .. }
            | Command::Clear { .. }
            | Command::WithdrawDeath { .. }
            | Command::Chart { .. }
            | Command::Task { .. }
            | Command::FileDocument { .. }
            | Command::Triage { .. }
            | Command::BeginTreatment { .. }
            | Command::NameGuarantor { .. }
            | Command::Vitals { whom: Measured::Patient(_), .. }
            | Command::RecordDeath { .. } => None,
        };
        bed.into_iter().collect::<Vec<_>>().into_iter()
    }
}
