//! Why something about people, stays and beds may not happen; each sentence names the way out.

use serde::Serialize;

use crate::domain::encounter::Clearance;
use crate::domain::{chart, task, vitals};
use crate::kernel::{BedId, EncounterId, Mrn, Timestamp};

/// Why a command is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error, Serialize)]
#[serde(tag = "rejection", rename_all = "snake_case")]
pub enum Rejection {
    /// What is said of a person cannot be true.
    #[error("{why}")]
    InvalidPerson {
        /// What, and why.
        why: String,
    },
    /// Nobody is registered under the number.
    #[error("nobody is registered under {patient}: register the patient first")]
    NotRegistered {
        /// Which number.
        patient: Mrn,
    },
    /// Somebody is registered under the number.
    #[error("somebody is registered under {patient} already: look who it is, and update that registration or use another number")]
    NumberTaken {
        /// Which number.
        patient: Mrn,
    },
    /// Somebody else has changed the registration since it was looked at.
    #[error("the registration of {patient} was changed in between: read it again, and then change it")]
    ChangedMeanwhile {
        /// Whose.
        patient: Mrn,
    },
    /// There are five levels.
    #[error("triage has the levels 1 (at once) to 5, and {level} is none")]
    NoTriageLevel {
        /// What was said.
        level: u8,
    },
    /// Only who comes to the emergency department waits there.
    #[error("{patient} is not in the emergency department: admit them with class emergency first")]
    NotEmergency {
        /// Who.
        patient: Mrn,
    },
    /// One of several things that were asked at once may not happen, so none did.
    #[error("part {part}: {why}")]
    OfSeveral {
        /// Which, from 1.
        part: u32,
        /// Why.
        #[serde(skip)]
        why: Box<Rejection>,
    },
    /// More was asked at once than is decided at once.
    #[error("{count} things were asked at once, {most} at most: send them in parts")]
    TooMany {
        /// How many.
        count: usize,
        /// How many may be.
        most: usize,
    },
    /// The sender speaks of another stay than the one that is open.
    #[error("{patient} is here under {open}, and this is about {named}: check the visit number")]
    OtherVisit {
        /// Who.
        patient: Mrn,
        /// The visit that the sender names.
        named: EncounterId,
        /// The stay that is open.
        open: EncounterId,
    },
    /// Something newer is known of the stay.
    #[error("this was written down at {told}, and what is known of the stay of {patient} is as of {known}: look what is right now")]
    OlderNews {
        /// Whose stay.
        patient: Mrn,
        /// As of when the sender's word is.
        told: Timestamp,
        /// As of when the stay is known.
        known: Timestamp,
    },
    /// The sender speaks of a stay that is not the last one.
    #[error("the last stay of {patient} is {last}, and this is about {named}, which has ended before it: read the stays again")]
    OlderVisit {
        /// Who.
        patient: Mrn,
        /// The stay that the sender names.
        named: EncounterId,
        /// The one that ended last.
        last: EncounterId,
    },
    /// So many photos are kept.
    #[error("{most} photos of {patient} were taken, and no more are kept: the last one stays, or is removed")]
    TooManyPhotos {
        /// Of whom.
        patient: Mrn,
        /// How many may be.
        most: u32,
    },
    /// The person was erased.
    #[error("{patient} was erased on {at}: the number is used for nobody any more")]
    Erased {
        /// Which number.
        patient: Mrn,
        /// When.
        at: Timestamp,
    },
    /// A stay is to come.
    #[error("a stay of {patient} is planned ({encounter}): cancel it first")]
    StayPlanned {
        /// Whose.
        patient: Mrn,
        /// Which.
        encounter: EncounterId,
    },
    /// A second person is needed.
    #[error("what cannot be taken back is done by two: a second person must witness")]
    WitnessMissing,
    /// The witness is the same person.
    #[error("the witness is the person who acts: another person must witness")]
    WitnessIsActor,
    /// A time that is to come.
    #[error("{at} is still to come: check the time, and the clock of whoever sent it")]
    NotYet {
        /// Which.
        at: Timestamp,
    },
    /// Nobody has recorded a death.
    #[error("no death of {patient} is recorded: there is nothing to withdraw")]
    NotDeceased {
        /// Who.
        patient: Mrn,
    },
    /// One number and itself.
    #[error("{patient} is named twice: name two numbers of two people")]
    SameNumber {
        /// Which.
        patient: Mrn,
    },
    /// It was merged before.
    #[error("{merged} was merged into {survivor} already: use {survivor}, or unmerge {merged} first")]
    AlreadyMerged {
        /// Which.
        merged: Mrn,
        /// Into which.
        survivor: Mrn,
    },
    /// Both have an open stay.
    #[error("{survivor} and {merged} are both in hospital now, and one person lies in one bed: cancel the admission that is wrong, then merge")]
    BothInHospital {
        /// One.
        survivor: Mrn,
        /// The other.
        merged: Mrn,
    },
    /// It was not merged.
    #[error("{merged} was not merged into another number: there is nothing to take back")]
    NotMerged {
        /// Which.
        merged: Mrn,
    },
    /// There are allergies.
    #[error("allergies are known ({substances}): refute each that is none before you say that there is none")]
    AllergiesKnown {
        /// Against what.
        substances: String,
    },
    /// There is no such allergy.
    #[error("no allergy against {substance:?} is known: check the spelling")]
    UnknownAllergy {
        /// Against what.
        substance: String,
    },
    /// A text that must say something does not.
    #[error("{field} is empty: say {what}")]
    Missing {
        /// Which field.
        field: &'static str,
        /// What it should say.
        what: &'static str,
    },
    /// The patient has died.
    #[error("{patient} died on {at}: check the number, or withdraw the death first")]
    Deceased {
        /// Who.
        patient: Mrn,
        /// When.
        at: Timestamp,
    },
    /// The patient is in hospital.
    #[error("{patient} is in hospital already under {encounter}{}: move or discharge the patient instead", in_bed(.bed))]
    InHospital {
        /// Who.
        patient: Mrn,
        /// Under which encounter.
        encounter: EncounterId,
        /// Where.
        bed: Option<BedId>,
    },
    /// The patient is not in hospital.
    #[error("{patient} is not in hospital: admit the patient first, or check the number")]
    NotInHospital {
        /// Who.
        patient: Mrn,
    },
    /// The encounter belongs to somebody, or has ended.
    #[error("{encounter} exists already and is not a plan of this patient: use a visit number once")]
    EncounterUsed {
        /// Which.
        encounter: EncounterId,
    },
    /// There is no such plan.
    #[error("{patient} has no such planned stay, or several: name the one to cancel")]
    NotPlanned {
        /// Whose.
        patient: Mrn,
    },
    /// Another patient lies in it.
    #[error("bed {bed} is occupied by another patient since {since}: discharge or transfer that patient first")]
    Occupied {
        /// Which.
        bed: BedId,
        /// Since when.
        since: Timestamp,
    },
    /// Somebody stays with the patient already.
    #[error("somebody stays with {patient} already, in bed {bed}: end that first (companion-leaves)")]
    HasCompanion {
        /// With whom.
        patient: Mrn,
        /// Where.
        bed: BedId,
    },
    /// Nobody stays with the patient.
    #[error("nobody stays with {patient}: there is nothing to end")]
    NoCompanion {
        /// With whom.
        patient: Mrn,
    },
    /// A text is too long.
    #[error("{field} has {length} characters, {most} are kept: shorten it")]
    TextTooLong {
        /// Which.
        field: &'static str,
        /// How long it is.
        length: usize,
        /// How long it may be.
        most: usize,
    },
    /// It is kept for somebody else.
    #[error("bed {bed} is reserved for another patient since {since}: take another bed, or cancel that transfer or plan")]
    Reserved {
        /// Which.
        bed: BedId,
        /// Since when.
        since: Timestamp,
    },
    /// Housekeeping has not been there.
    #[error("bed {bed} waits for housekeeping since {since}: mark it clean first")]
    NotCleaned {
        /// Which.
        bed: BedId,
        /// Since when.
        since: Timestamp,
    },
    /// It cannot be used.
    #[error("bed {bed} is blocked since {since} ({reason}): unblock it, or take another")]
    Blocked {
        /// Which.
        bed: BedId,
        /// Why.
        reason: String,
        /// Since when.
        since: Timestamp,
    },
    /// The patient lies elsewhere than the sender thinks.
    #[error("{patient} lies in {}, not in {named}: check the patient and the bed", in_words(.bed))]
    OtherBed {
        /// Who.
        patient: Mrn,
        /// Where the sender thinks.
        named: BedId,
        /// Where they lie.
        bed: Option<BedId>,
    },
    /// Nobody lies in the bed.
    #[error("nobody lies in bed {bed}: there is nothing to do there")]
    NotOccupied {
        /// Which.
        bed: BedId,
    },
    /// The patient lies in no bed.
    #[error("{patient} lies in no bed: put the patient into one first")]
    NoBed {
        /// Who.
        patient: Mrn,
    },
    /// No transfer is asked for.
    #[error("no transfer of {patient} is asked for: request one first")]
    NoTransfer {
        /// Who.
        patient: Mrn,
    },
    /// The patient did not come from another bed.
    #[error("{patient} did not come from another bed: there is no move to take back")]
    NotMoved {
        /// Who.
        patient: Mrn,
    },
    /// The patient is not on leave.
    #[error("{patient} is not on leave")]
    NotOnLeave {
        /// Who.
        patient: Mrn,
    },
    /// Somebody has not agreed to the discharge.
    #[error("the discharge of {patient} still needs: {}", words(.missing))]
    NotCleared {
        /// Who.
        patient: Mrn,
        /// Whose word is missing.
        missing: Vec<Clearance>,
    },
    /// The last stay was not ended by a discharge.
    #[error("{patient} was not discharged: there is nothing to take back")]
    NotDischarged {
        /// Who.
        patient: Mrn,
    },
    /// Something else is done with the bed now.
    #[error("bed {bed} is in use: only a bed in which nobody lies and which is kept for nobody can be {what}")]
    InUse {
        /// Which.
        bed: BedId,
        /// What was asked.
        what: &'static str,
    },
    /// The bed is not in the state that the command ends.
    #[error("bed {bed} is not {what}")]
    NotSo {
        /// Which.
        bed: BedId,
        /// What it is not.
        what: &'static str,
    },
    /// The stay is not this patient's.
    #[error("{encounter} is no stay of {patient}: check both numbers")]
    OtherEncounter {
        /// Who.
        patient: Mrn,
        /// Which stay.
        encounter: EncounterId,
    },
    /// Another patient lies in the bed.
    #[error("{patient} does not lie in {bed}: check whom the device is connected to, and what it was told")]
    OtherPatient {
        /// Who was named.
        patient: Mrn,
        /// Which bed.
        bed: BedId,
    },
    /// It was measured before the patient came.
    #[error("measured at {measured}, and whoever lies in {bed} came at {since}: it is another patient's")]
    BeforeArrival {
        /// Which bed.
        bed: BedId,
        /// Since when somebody lies in it.
        since: Timestamp,
        /// When it was measured.
        measured: Timestamp,
    },
    /// Somebody was looked after.
    #[error("{patient} is here since {admitted} and was looked after: that was no error; discharge the patient, or move the stay to whose it is")]
    WasAStay {
        /// Who.
        patient: Mrn,
        /// Since when.
        admitted: Timestamp,
    },
    /// What goes on is not removed.
    #[error("{patient} is still here under {encounter}: discharge the patient, or cancel the admission, before the stay is removed")]
    StillHere {
        /// Who.
        patient: Mrn,
        /// Under which encounter.
        encounter: EncounterId,
    },
    /// No stay is billed to the account.
    #[error("neither the stay that is open nor the last one of {patient} is billed to account {account:?}: name the visit instead (A45)")]
    UnknownAccount {
        /// Whose.
        patient: Mrn,
        /// Which.
        account: String,
    },
    /// Nobody has said where the patient is.
    #[error("{patient} was not said to be anywhere but in bed: name the place")]
    NotAway {
        /// Who.
        patient: Mrn,
    },
    /// A place in too many words.
    #[error("the place has {length} characters, {most} at most: name it shorter")]
    PlaceTooLong {
        /// How many.
        length: usize,
        /// How many may be.
        most: usize,
    },
    /// About problems and notes.
    #[error(transparent)]
    #[serde(untagged)]
    Task(#[from] task::Rejection),
    /// A rule of the chart says no.
    #[error(transparent)]
    #[serde(untagged)]
    Chart(#[from] chart::Rejection),
    /// About signs, fluids and alerts.
    #[error(transparent)]
    #[serde(untagged)]
    Vitals(#[from] vitals::Rejection),
}

fn in_words(bed: &Option<BedId>) -> String {
    bed.as_ref().map_or_else(|| "no bed".to_owned(), ToString::to_string)
}

fn in_bed(bed: &Option<BedId>) -> String {
    bed.as_ref().map_or_else(String::new, |bed| format!(" in {bed}"))
}

fn words(missing: &[Clearance]) -> String {
    missing.iter().map(|clearance| clearance.word()).collect::<Vec<_>>().join(", ")
}
