//! An encounter: one stay of a patient from its plan to its end. Its rules stand in [`super::census`].

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use super::Folded;
use crate::kernel::{BedId, EncounterId, Mrn, Sealing, StreamKind, Timestamp, WardId};

/// What kind of stay (HL7 table 0004, FHIR v3 ActCode).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Class {
    /// In a bed of a ward.
    #[default]
    Inpatient,
    /// In the emergency department.
    Emergency,
    /// Born here.
    Newborn,
    /// Comes and goes: lies in a bed for a few hours at most.
    Outpatient,
}

/// Who must agree before a patient goes home; which of them are needed is configured.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Clearance {
    /// The physician.
    Clinical,
    /// The ward's nurse.
    Nursing,
    /// The pharmacy.
    Pharmacy,
    /// Billing.
    Billing,
}

impl Clearance {
    /// All of them, in their order.
    pub const ALL: [Clearance; 4] = [Clearance::Clinical, Clearance::Nursing, Clearance::Pharmacy, Clearance::Billing];

    /// Its word.
    pub fn word(self) -> &'static str {
        match self {
            Clearance::Clinical => "clinical",
            Clearance::Nursing => "nursing",
            Clearance::Pharmacy => "pharmacy",
            Clearance::Billing => "billing",
        }
    }
}

/// How a stay ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Ending {
    /// Went home, or elsewhere.
    Discharged,
    /// Died.
    Died,
    /// It had been an error.
    Cancelled,
}

/// Where a patient is who is not in their bed: on the way to a place, or there.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Away {
    /// The place, such as `Radiology 2`.
    pub place: String,
    /// Whether they have come there.
    pub is_there: bool,
    /// Since when.
    pub since: Timestamp,
}

/// How urgent somebody in the emergency department is, from 1 (at once) to 5, as the nurse at the door sees it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Triage {
    /// The level, 1 to 5 (Australasian Triage Scale, Manchester, ESI: all have five).
    pub level: u8,
    /// What they come for.
    pub complaint: String,
    /// Who says so.
    pub by: String,
    /// When.
    pub at: Timestamp,
}

/// Who pays when the patient does not.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Guarantor {
    /// A person, an insurer, an employer.
    pub name: String,
    /// What they are to the patient: `insurer`, `employer`, `mother`.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub relation: String,
    /// How they are reached.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub phone: String,
    /// The number of their policy or of their letter of guarantee.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub reference: String,
}

/// Who stays with a patient, in a bed of their own.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Companion {
    /// Who.
    pub name: String,
    /// What they are to the patient: `mother`, `guardian`.
    pub relation: String,
    /// Where.
    pub bed: BedId,
    /// Since when.
    pub since: Timestamp,
}

/// A stay that is open.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Stay {
    /// The record that it is written under.
    pub patient: Mrn,
    /// What kind.
    pub class: Class,
    /// Since when.
    pub admitted: Timestamp,
    /// Where the patient lies; none on a corridor, in a chair, in theatre.
    pub bed: Option<BedId>,
    /// Where they lay before the last move.
    pub bed_before: Option<BedId>,
    /// Where a transfer is asked for, and since when: the receiving ward must accept it.
    pub transfer: Option<(BedId, Timestamp)>,
    /// Since when they are on leave; the bed stays theirs.
    pub on_leave: Option<Timestamp>,
    /// Who agreed to the discharge.
    pub cleared: BTreeSet<Clearance>,
    /// The mother, for a newborn.
    pub mother: Option<Mrn>,
    /// Other visit numbers that the hospital's own system has given to this stay.
    pub visits: BTreeSet<EncounterId>,
    /// When they are expected to leave.
    pub expected_end: Option<Timestamp>,
    /// The account of the hospital's own system that it is billed to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub account: Option<String>,
    /// Where they are, when that is not their bed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub away: Option<Away>,
    /// Who looks after them while they lie in no bed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ward: Option<WardId>,
    /// As of when another system's word is: what it wrote down before does not count.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub as_of: Option<Timestamp>,
    /// How urgent they were when somebody looked last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub triage: Option<Triage>,
    /// Who has begun to treat them, and when.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub treated: Option<(String, Timestamp)>,
    /// Who pays when the patient does not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub guarantor: Option<Guarantor>,
    /// Who stays with them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub companion: Option<Companion>,
}

/// The state of an encounter.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Encounter {
    /// There is none.
    #[default]
    None,
    /// It is to come.
    Planned {
        /// Whose.
        patient: Mrn,
        /// What kind.
        class: Class,
        /// The bed that is kept for it.
        bed: Option<BedId>,
        /// When.
        expected: Option<Timestamp>,
    },
    /// The patient is in hospital.
    Open(Stay),
    /// It has ended.
    Closed {
        /// As it was.
        stay: Stay,
        /// When it ended.
        at: Timestamp,
        /// How.
        ending: Ending,
    },
}

/// What may have happened to an encounter.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "event")]
pub enum Event {
    /// The stay was erased with whoever stayed.
    Erased {
        /// When somebody decided it; without it this is an event whose key was destroyed.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        at: Option<Timestamp>,
    },
    /// It is to come.
    Planned {
        /// Whose.
        patient: Mrn,
        /// What kind.
        class: Class,
        /// The bed that is kept for it.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        bed: Option<BedId>,
        /// When.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        expected: Option<Timestamp>,
    },
    /// It does not come.
    PlanCancelled {
        /// When that was known.
        at: Timestamp,
    },
    /// The patient is in hospital.
    Admitted {
        /// Whose.
        patient: Mrn,
        /// What kind.
        class: Class,
        /// The bed.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        bed: Option<BedId>,
        /// The mother, for a newborn.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        mother: Option<Mrn>,
        /// The account of the hospital's own system that it is billed to.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        account: Option<String>,
        /// Who looks after the patient while they lie in no bed.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        ward: Option<WardId>,
        /// When.
        at: Timestamp,
    },
    /// What another system said of it, it had written down at this moment.
    Heard {
        /// When.
        as_of: Timestamp,
        /// When it says that it happened.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        occurred: Option<Timestamp>,
    },
    /// It is billed to another account of the hospital's own system.
    AccountChanged {
        /// Which.
        account: String,
        /// When.
        at: Timestamp,
    },
    /// It was another patient's all the time.
    Reassigned {
        /// Under whom it was written until now; the patient of the stay is whose it is.
        from: Mrn,
        /// The stay as it is, so that nothing before this must be read.
        stay: Box<Stay>,
        /// When and how it ended, if it has.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        ended: Option<(Timestamp, Ending)>,
        /// When.
        at: Timestamp,
    },
    /// The patient has left the bed for a while; it stays theirs.
    Departed {
        /// Where to.
        to: String,
        /// When.
        at: Timestamp,
    },
    /// The patient has come to a place, or is back.
    Arrived {
        /// Where; without one in their own bed.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        place: Option<String>,
        /// When.
        at: Timestamp,
    },
    /// Another system keeps the stay no more. Here it stays.
    RemovedElsewhere {
        /// When.
        at: Timestamp,
    },
    /// Another bed is asked for.
    TransferRequested {
        /// Which.
        to: BedId,
        /// When.
        at: Timestamp,
    },
    /// It is not asked for any more, or the receiving ward declined.
    TransferCancelled {
        /// When.
        at: Timestamp,
    },
    /// The patient lies elsewhere.
    Moved {
        /// From where.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        from: Option<BedId>,
        /// To where.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        to: Option<BedId>,
        /// Whether it takes back the move before.
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        is_back: bool,
        /// When.
        at: Timestamp,
    },
    /// It is another kind of stay from now on.
    ClassChanged {
        /// Which.
        class: Class,
        /// The visit number that the sender has given to it now.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        visit: Option<EncounterId>,
        /// When.
        at: Timestamp,
    },
    /// On leave.
    LeaveBegan {
        /// When.
        at: Timestamp,
    },
    /// Back from leave.
    LeaveEnded {
        /// When.
        at: Timestamp,
    },
    /// Somebody agreed to the discharge.
    Cleared {
        /// In which role.
        clearance: Clearance,
        /// When.
        at: Timestamp,
    },
    /// Somebody saw how urgent the patient is.
    Triaged {
        /// How urgent.
        #[serde(flatten)]
        triage: Triage,
    },
    /// Somebody has begun to treat the patient.
    TreatmentBegan {
        /// Who.
        by: String,
        /// When.
        at: Timestamp,
    },
    /// Somebody pays when the patient does not.
    GuarantorNamed {
        /// Who.
        guarantor: Guarantor,
        /// When.
        at: Timestamp,
    },
    /// Somebody stays with the patient.
    CompanionLodged {
        /// Who, and where.
        companion: Companion,
    },
    /// They have gone.
    CompanionLeft {
        /// When.
        at: Timestamp,
    },
    /// When the patient is expected to leave.
    EndExpected {
        /// When they are.
        expected: Timestamp,
    },
    /// It has ended.
    Ended {
        /// How.
        ending: Ending,
        /// When.
        at: Timestamp,
    },
    /// The end was an error: the patient is still here.
    EndCancelled {
        /// The bed.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        bed: Option<BedId>,
        /// When.
        at: Timestamp,
    },
}

impl Stay {
    /// Until when somebody in the emergency department is to be treated, by the minutes of each level. It counts from the arrival, not from when
    /// somebody looked: who is looked at late has waited as long. Who was not looked at is as urgent as level 2, since nobody knows better.
    pub fn treated_by(&self, minutes: &[u32; 5]) -> Timestamp {
        let level = self.triage.as_ref().map_or(2, |triage| triage.level.clamp(1, 5));
        self.admitted.plus_seconds(i64::from(minutes[usize::from(level) - 1]) * 60)
    }
}

impl Encounter {
    /// The stay, while it is open.
    pub fn stay(&self) -> Option<&Stay> {
        match self {
            Encounter::Open(stay) => Some(stay),
            Encounter::None | Encounter::Planned { .. } | Encounter::Closed { .. } => None,
        }
    }

    /// Whose it is.
    pub fn patient(&self) -> Option<&Mrn> {
        match self {
            Encounter::None => None,
            Encounter::Planned { patient, .. } => Some(patient),
            Encounter::Open(stay) | Encounter::Closed { stay, .. } => Some(&stay.patient),
        }
    }

    fn change(&mut self, change: impl FnOnce(&mut Stay)) {
        if let Encounter::Open(stay) = self {
            change(stay);
        }
    }
}

impl Folded for Encounter {
    const KIND: StreamKind = StreamKind::Encounter;
    const SNAPSHOT: u16 = 1;
    type Event = Event;

    fn apply(&mut self, event: &Event) {
        match event {
            Event::Erased { .. } => *self = Encounter::None,
            Event::Planned { patient, class, bed, expected } => {
                *self = Encounter::Planned { patient: patient.clone(), class: *class, bed: bed.clone(), expected: *expected };
            }
            Event::PlanCancelled { .. } => *self = Encounter::None,
            Event::Admitted { patient, class, bed, mother, account, ward, at } => {
                *self = Encounter::Open(Stay {
                    patient: patient.clone(),
                    class: *class,
                    admitted: *at,
                    bed: bed.clone(),
                    bed_before: None,
                    transfer: None,
                    on_leave: None,
                    cleared: BTreeSet::new(),
                    mother: mother.clone(),
                    visits: BTreeSet::new(),
                    expected_end: None,
                    account: account.clone(),
                    away: None,
                    ward: ward.clone(),
                    as_of: None,
                    triage: None,
                    treated: None,
                    guarantor: None,
                    companion: None,
                });
            }
            Event::AccountChanged { account, .. } => match self {
                Encounter::Open(stay) | Encounter::Closed { stay, .. } => stay.account = Some(account.clone()),
                Encounter::None | Encounter::Planned { .. } => {}
            },
            Event::Reassigned { stay, ended, .. } => {
                *self = match ended {
                    Some((at, ending)) => Encounter::Closed { stay: (**stay).clone(), at: *at, ending: *ending },
                    None => Encounter::Open((**stay).clone()),
                };
            }
            Event::Departed { to, at } => self.change(|stay| stay.away = Some(Away { place: to.clone(), is_there: false, since: *at })),
            Event::Arrived { place, at } => self.change(|stay| stay.away = place.clone().map(|place| Away { place, is_there: true, since: *at })),
            Event::RemovedElsewhere { .. } => {}
            Event::Heard { as_of, .. } => {
                if let Encounter::Open(stay) | Encounter::Closed { stay, .. } = self {
                    stay.as_of = stay.as_of.max(Some(*as_of));
                }
            }
            Event::TransferRequested { to, at } => self.change(|stay| stay.transfer = Some((to.clone(), *at))),
            Event::TransferCancelled { .. } => self.change(|stay| stay.transfer = None),
            Event::Moved { from, to, is_back, .. } => self.change(|stay| {
                stay.bed_before = from.clone().filter(|_| !is_back);
                stay.bed.clone_from(to);
                (stay.transfer, stay.away) = (None, None);
            }),
            Event::ClassChanged { class, visit, .. } => self.change(|stay| {
                stay.class = *class;
                stay.visits.extend(visit.clone());
            }),
            Event::LeaveBegan { at } => self.change(|stay| (stay.on_leave, stay.away) = (Some(*at), None)),
            Event::LeaveEnded { .. } => self.change(|stay| stay.on_leave = None),
            Event::Cleared { clearance, .. } => self.change(|stay| {
                stay.cleared.insert(*clearance);
            }),
            Event::Triaged { triage } => self.change(|stay| stay.triage = Some(triage.clone())),
            Event::TreatmentBegan { by, at } => self.change(|stay| stay.treated = Some((by.clone(), *at))),
            Event::GuarantorNamed { guarantor, .. } => match self {
                Encounter::Open(stay) | Encounter::Closed { stay, .. } => stay.guarantor = Some(guarantor.clone()),
                Encounter::None | Encounter::Planned { .. } => {}
            },
            Event::CompanionLodged { companion } => self.change(|stay| stay.companion = Some(companion.clone())),
            Event::CompanionLeft { .. } => self.change(|stay| stay.companion = None),
            Event::EndExpected { expected } => self.change(|stay| stay.expected_end = Some(*expected)),
            Event::Ended { ending, at } => {
                if let Encounter::Open(stay) = self {
                    *self = Encounter::Closed { stay: stay.clone(), at: *at, ending: *ending };
                }
            }
            Event::EndCancelled { bed, .. } => {
                if let Encounter::Closed { stay, .. } = self {
                    *self = Encounter::Open(Stay { bed: bed.clone(), on_leave: None, transfer: None, away: None, cleared: BTreeSet::new(), ..stay.clone() });
                }
            }
        }
    }

    fn name(event: &Event) -> (&'static str, u16) {
        match event {
            Event::Erased { .. } => ("Erased", 1),
            Event::Planned { .. } => ("Planned", 1),
            Event::PlanCancelled { .. } => ("PlanCancelled", 1),
            Event::Admitted { .. } => ("Admitted", 1),
            Event::Heard { .. } => ("Heard", 1),
            Event::AccountChanged { .. } => ("AccountChanged", 1),
            Event::Reassigned { .. } => ("Reassigned", 1),
            Event::Departed { .. } => ("Departed", 1),
            Event::Arrived { .. } => ("Arrived", 1),
            Event::RemovedElsewhere { .. } => ("RemovedElsewhere", 1),
            Event::TransferRequested { .. } => ("TransferRequested", 1),
            Event::TransferCancelled { .. } => ("TransferCancelled", 1),
            Event::Moved { .. } => ("Moved", 1),
            Event::ClassChanged { .. } => ("ClassChanged", 1),
            Event::LeaveBegan { .. } => ("LeaveBegan", 1),
            Event::LeaveEnded { .. } => ("LeaveEnded", 1),
            Event::Cleared { .. } => ("Cleared", 1),
            Event::Triaged { .. } => ("Triaged", 1),
            Event::TreatmentBegan { .. } => ("TreatmentBegan", 1),
            Event::GuarantorNamed { .. } => ("GuarantorNamed", 1),
            Event::CompanionLodged { .. } => ("CompanionLodged", 1),
            Event::CompanionLeft { .. } => ("CompanionLeft", 1),
            Event::EndExpected { .. } => ("EndExpected", 1),
            Event::Ended { .. } => ("Ended", 1),
            Event::EndCancelled { .. } => ("EndCancelled", 1),
        }
    }

    fn sealing(&self, _: &str, event: &Event) -> Sealing {
        match (self.patient(), event) {
            (None, _) | (_, Event::Erased { .. }) => Sealing::House,
            (Some(patient), _) => Sealing::Person(patient.clone()),
        }
    }
}
