//! A schedule: when a practitioner, a room or a device can be had, who is booked, and who waits to be called.
//!
//! **Invariant**: a slot never holds more than its places, nor with overbooking more than the session allows: one schedule, one writer.
//! **Invariant**: a token is given once a session, and called in its order.

mod command;

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

pub use command::{Command, Opening, Rejection};

use super::Folded;
use crate::kernel::{EncounterId, Money, Mrn, Sealing, StreamKind, Timestamp, WardId};

/// What is over for so long is not kept in memory; it stands in the log.
const KEPT_SECONDS: i64 = 7 * 24 * 3_600;

/// What a schedule is of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Of {
    /// Somebody who treats.
    Practitioner,
    /// A room.
    Room,
    /// A device.
    Device,
}

/// A time in which there are slots.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Session {
    /// Its number in the schedule, from 1.
    pub number: u32,
    /// When it begins.
    pub from: Timestamp,
    /// When it ends.
    pub until: Timestamp,
    /// How long a slot is.
    pub slot_minutes: u32,
    /// How many are booked into one slot.
    pub places: u32,
    /// How many more, by whoever may overbook.
    pub overbooking: u32,
    /// How many may come without an appointment.
    pub walk_ins: u32,
    /// Tokens that were given.
    pub tokens: u32,
    /// Where its appointments take place when that is not here: the address of a video call.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub link: Option<String>,
}

impl Session {
    /// The length of a slot in seconds.
    fn slot_seconds(&self) -> i64 {
        i64::from(self.slot_minutes) * 60
    }

    /// The beginnings of its slots: only whole slots count.
    pub fn slots(&self) -> impl Iterator<Item = Timestamp> + '_ {
        let count = self.until.seconds_since(self.from) / self.slot_seconds();
        (0..count).map(|slot| self.from.plus_seconds(slot * self.slot_seconds()))
    }

    /// When a slot ends.
    pub fn end_of(&self, start: Timestamp) -> Timestamp {
        start.plus_seconds(self.slot_seconds())
    }
}

/// A time in which nothing can be had: leave, a holiday, a repair.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Closure {
    /// From when.
    pub from: Timestamp,
    /// Until when.
    pub until: Timestamp,
    /// Why.
    pub reason: String,
}

impl Closure {
    fn meets(&self, from: Timestamp, until: Timestamp) -> bool {
        self.from < until && from < self.until
    }
}

/// What was paid for an appointment.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Payment {
    /// The number of whoever took it: of a card's provider, of a receipt.
    pub reference: String,
    /// How much.
    pub amount: Money,
}

/// How an appointment stands (FHIR Appointment.status).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "status")]
pub enum Standing {
    /// The slot is kept until somebody confirms or pays.
    Held {
        /// Until when.
        until: Timestamp,
        /// What is to be paid.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        fee: Option<Money>,
    },
    /// The patient is expected.
    Booked,
    /// The patient is here and waits.
    Waiting {
        /// The token to be called by.
        token: u32,
        /// The visit.
        encounter: EncounterId,
    },
    /// The patient was called.
    Called {
        /// The token.
        token: u32,
        /// The visit.
        encounter: EncounterId,
    },
    /// It is over.
    Fulfilled,
    /// The patient did not come.
    NoShow,
    /// It does not take place.
    Cancelled {
        /// Why.
        why: String,
    },
}

impl Standing {
    /// Whether it takes a place in its slot: what is held takes one until its time is over.
    pub fn is_taking_a_place(&self, now: Timestamp) -> bool {
        match self {
            Standing::Cancelled { .. } | Standing::NoShow => false,
            Standing::Held { until, .. } => now < *until,
            Standing::Booked | Standing::Waiting { .. } | Standing::Called { .. } | Standing::Fulfilled => true,
        }
    }
}

/// An appointment, or a visit without one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Appointment {
    /// Its number in the schedule, from 1.
    pub number: u32,
    /// Who.
    pub patient: Mrn,
    /// In which session.
    pub session: u32,
    /// The beginning of the slot; none for somebody who came without an appointment.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub start: Option<Timestamp>,
    /// What for.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub reason: String,
    /// Whether it needs another time: a closure came after it was booked.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub needs_rebooking: bool,
    /// The reminder that was sent last: so many minutes before.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reminded: Option<u32>,
    /// How often it got another time.
    #[serde(default, skip_serializing_if = "is_never")]
    pub moves: u32,
    /// What was paid for it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub paid: Option<Payment>,
    /// The number under which that was given back.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub refunded: Option<String>,
    /// Which queue the patient waits in, where a session has several.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub category: String,
    /// How it stands.
    #[serde(flatten)]
    pub standing: Standing,
}

impl Appointment {
    /// One that somebody has asked for.
    fn new(number: u32, patient: &Mrn, (session, start): (u32, Option<Timestamp>), reason: String, standing: Standing) -> Self {
        let (needs_rebooking, reminded, moves, paid, refunded) = (false, None, 0, None, None);
        Self { number, patient: patient.clone(), session, start, reason, needs_rebooking, reminded, moves, paid, refunded, category: String::new(), standing }
    }

    /// What was paid and must be given back, since it does not take place.
    pub fn refund_due(&self) -> Option<&Payment> {
        self.paid.as_ref().filter(|_| matches!(self.standing, Standing::Cancelled { .. }) && self.refunded.is_none())
    }
}

fn is_never(times: &u32) -> bool {
    *times == 0
}

/// The state of a schedule.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Schedule {
    /// What people call it; empty while there is none.
    pub name: String,
    /// What it is of.
    pub of: Option<Of>,
    /// The ward that it belongs to; without one it is the whole house's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ward: Option<WardId>,
    /// Sessions by their numbers.
    pub sessions: BTreeMap<u32, Session>,
    /// How many there were.
    pub session_count: u32,
    /// When nothing can be had.
    pub closures: Vec<Closure>,
    /// Appointments by their numbers.
    pub appointments: BTreeMap<u32, Appointment>,
    /// How many there were.
    pub appointment_count: u32,
    /// What was said of the appointment of the next event.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    noted: Option<(u32, String)>,
}

/// What may have happened.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "event")]
pub enum Event {
    /// There is a schedule.
    ScheduleMade {
        /// What people call it.
        name: String,
        /// What it is of.
        of: Of,
        /// The ward that it belongs to.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        ward: Option<WardId>,
        /// When.
        at: Timestamp,
    },
    /// A session can be booked.
    SessionOpened {
        /// Which.
        session: Session,
        /// When.
        at: Timestamp,
    },
    /// A session was an error: nobody was booked into it.
    SessionWithdrawn {
        /// Which.
        session: u32,
        /// When.
        at: Timestamp,
    },
    /// A slot is kept until somebody confirms or pays.
    AppointmentHeld {
        /// Its number.
        number: u32,
        /// Who.
        patient: Mrn,
        /// In which session.
        session: u32,
        /// The slot.
        start: Timestamp,
        /// Until when.
        until: Timestamp,
        /// What is to be paid.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        fee: Option<Money>,
        /// When.
        at: Timestamp,
    },
    /// Somebody has confirmed, or paid.
    AppointmentConfirmed {
        /// Which.
        number: u32,
        /// What was paid.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        payment: Option<Payment>,
        /// When.
        at: Timestamp,
    },
    /// Nobody has confirmed in time, or somebody has cancelled it before.
    AppointmentLapsed {
        /// Which.
        number: u32,
        /// When.
        at: Timestamp,
    },
    /// What was paid was given back.
    PaymentRefunded {
        /// Which appointment.
        number: u32,
        /// The number under which it was given back.
        reference: String,
        /// When.
        at: Timestamp,
    },
    /// Nothing can be had for a time.
    Closed {
        /// When and why.
        #[serde(flatten)]
        closure: Closure,
        /// Appointments in that time.
        meets: Vec<u32>,
        /// When.
        at: Timestamp,
    },
    /// A closure does not hold any more.
    Reopened {
        /// Its beginning.
        from: Timestamp,
        /// When.
        at: Timestamp,
    },
    /// What the appointment of the next event is for, or why it does not take place: under the patient's own key, since whoever is erased
    /// leaves a number and a time behind, and no illness.
    ReasonNoted {
        /// Which appointment.
        number: u32,
        /// Whose.
        patient: Mrn,
        /// What was said.
        reason: String,
    },
    /// An event whose key was destroyed.
    Erased {},
    /// Somebody is expected.
    AppointmentBooked {
        /// Its number.
        number: u32,
        /// Who.
        patient: Mrn,
        /// In which session.
        session: u32,
        /// The slot.
        start: Timestamp,
        /// What for, as earlier versions wrote it.
        #[serde(default, skip_serializing_if = "String::is_empty")]
        reason: String,
        /// Whether it takes more than the places.
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        is_overbooked: bool,
        /// When.
        at: Timestamp,
    },
    /// It has another time.
    AppointmentMoved {
        /// Which.
        number: u32,
        /// In which session.
        session: u32,
        /// The slot.
        start: Timestamp,
        /// When.
        at: Timestamp,
    },
    /// The patient was reminded of it.
    PatientReminded {
        /// Which.
        number: u32,
        /// So many minutes before, by the house's rule.
        minutes: u32,
        /// When.
        at: Timestamp,
    },
    /// It does not take place.
    AppointmentCancelled {
        /// Which.
        number: u32,
        /// Why, as earlier versions wrote it.
        #[serde(default, skip_serializing_if = "String::is_empty")]
        reason: String,
        /// When.
        at: Timestamp,
    },
    /// The patient did not come.
    PatientMissed {
        /// Which.
        number: u32,
        /// When.
        at: Timestamp,
    },
    /// The patient is here.
    PatientArrived {
        /// Which.
        number: u32,
        /// The token to be called by.
        token: u32,
        /// The visit.
        encounter: EncounterId,
        /// Which queue they wait in.
        #[serde(default, skip_serializing_if = "String::is_empty")]
        category: String,
        /// When.
        at: Timestamp,
    },
    /// Somebody came without an appointment.
    WalkInTaken {
        /// Its number.
        number: u32,
        /// Who.
        patient: Mrn,
        /// In which session.
        session: u32,
        /// The token to be called by.
        token: u32,
        /// The visit.
        encounter: EncounterId,
        /// What for, as earlier versions wrote it.
        #[serde(default, skip_serializing_if = "String::is_empty")]
        reason: String,
        /// Which queue they wait in.
        #[serde(default, skip_serializing_if = "String::is_empty")]
        category: String,
        /// When.
        at: Timestamp,
    },
    /// A token was called.
    TokenCalled {
        /// Whose.
        number: u32,
        /// The token.
        token: u32,
        /// When.
        at: Timestamp,
    },
    /// The visit is over.
    AppointmentFulfilled {
        /// Which.
        number: u32,
        /// When.
        at: Timestamp,
    },
}

impl Schedule {
    fn change(&mut self, number: u32, change: impl FnOnce(&mut Appointment)) {
        if let Some(appointment) = self.appointments.get_mut(&number) {
            change(appointment);
        }
    }

    /// What was said of an appointment: in the event itself, or in the one before.
    fn reason(&mut self, number: u32, own: &str) -> String {
        match self.noted.take() {
            Some((of, noted)) if of == number => noted,
            Some(_) | None => own.to_owned(),
        }
    }

    fn token_given(&mut self, session: u32, token: u32) {
        if let Some(session) = self.sessions.get_mut(&session) {
            session.tokens = session.tokens.max(token);
        }
    }

    /// Lets go of what is long over.
    fn forget(&mut self, now: Timestamp) {
        let is_kept = |until: Timestamp| now.seconds_since(until) < KEPT_SECONDS;
        self.sessions.retain(|_, session| is_kept(session.until));
        self.closures.retain(|closure| is_kept(closure.until));
        let sessions = &self.sessions;
        self.appointments.retain(|_, appointment| sessions.contains_key(&appointment.session));
    }

    /// Whom to remind now: of each appointment that is still to come the nearest reminder that is due, `minutes` before it, and was not sent.
    pub fn to_remind<'a>(&'a self, minutes: &'a [u32], now: Timestamp) -> impl Iterator<Item = (&'a Appointment, u32)> + 'a {
        self.appointments.values().filter(|known| known.standing == Standing::Booked && !known.needs_rebooking).filter_map(move |known| {
            let left = known.start?.seconds_since(now);
            let due = minutes.iter().copied().filter(|minutes| left <= i64::from(*minutes) * 60).min().filter(|_| left > 0)?;
            known.reminded.is_none_or(|sent| due < sent).then_some((known, due))
        })
    }

    /// Whether nothing can be had at a time, and why.
    pub fn closure_at(&self, from: Timestamp, until: Timestamp) -> Option<&Closure> {
        self.closures.iter().find(|closure| closure.meets(from, until))
    }

    /// How many have a place in a slot.
    pub fn taken(&self, start: Timestamp, now: Timestamp) -> usize {
        self.appointments.values().filter(|appointment| appointment.start == Some(start) && appointment.standing.is_taking_a_place(now)).count()
    }

    /// What was held and nobody has confirmed in time.
    pub fn lapsed(&self, now: Timestamp) -> impl Iterator<Item = u32> + '_ {
        let is_over = move |known: &&Appointment| matches!(known.standing, Standing::Held { until, .. } if until <= now);
        self.appointments.values().filter(is_over).map(|known| known.number)
    }

    /// The tokens that were called last, the newest first.
    pub fn called(&self) -> Vec<u32> {
        let mut found: Vec<(u32, u32)> = self
            .appointments
            .values()
            .filter_map(|known| match known.standing {
                Standing::Called { token, .. } => Some((known.session, token)),
                _ => None,
            })
            .collect();
        found.sort_unstable_by(|one, other| other.cmp(one));
        found.into_iter().map(|(_, token)| token).collect()
    }

    /// Who waits in a session, in the order in which they are called.
    pub fn waiting(&self, session: u32) -> Vec<&Appointment> {
        let token = |appointment: &Appointment| match appointment.standing {
            Standing::Waiting { token, .. } => Some(token),
            _ => None,
        };
        let mut found: Vec<&Appointment> = self.appointments.values().filter(|known| known.session == session && token(known).is_some()).collect();
        found.sort_by_key(|appointment| token(appointment));
        found
    }
}

impl Folded for Schedule {
    const KIND: StreamKind = StreamKind::Schedule;
    const SNAPSHOT: u16 = 1;
    type Event = Event;

    fn apply(&mut self, event: &Event) {
        match event {
            Event::ScheduleMade { name, of, ward, .. } => (self.name, self.of, self.ward) = (name.clone(), Some(*of), ward.clone()),
            Event::SessionOpened { session, at } => {
                self.forget(*at);
                self.session_count = session.number;
                self.sessions.insert(session.number, session.clone());
            }
            Event::Closed { closure, meets, .. } => {
                self.closures.push(closure.clone());
                meets.iter().for_each(|number| self.change(*number, |appointment| appointment.needs_rebooking = true));
            }
            Event::Reopened { from, .. } => {
                self.closures.retain(|closure| closure.from != *from);
                // Who was booked in that time is expected again, unless another closure meets them.
                let (sessions, closures) = (&self.sessions, &self.closures);
                for known in self.appointments.values_mut().filter(|known| known.needs_rebooking) {
                    let end = |start: Timestamp| sessions.get(&known.session).map_or(start, |session| session.end_of(start));
                    known.needs_rebooking = known.start.is_some_and(|start| closures.iter().any(|closure| closure.meets(start, end(start))));
                }
            }
            Event::AppointmentBooked { number, patient, session, start, reason, at, .. } => {
                self.forget(*at);
                self.appointment_count = *number;
                let reason = self.reason(*number, reason);
                self.appointments.insert(*number, Appointment::new(*number, patient, (*session, Some(*start)), reason, Standing::Booked));
            }
            Event::SessionWithdrawn { session, .. } => drop(self.sessions.remove(session)),
            Event::AppointmentHeld { number, patient, session, start, until, fee, at } => {
                self.forget(*at);
                self.appointment_count = *number;
                let (reason, standing) = (self.reason(*number, ""), Standing::Held { until: *until, fee: *fee });
                self.appointments.insert(*number, Appointment::new(*number, patient, (*session, Some(*start)), reason, standing));
            }
            Event::AppointmentConfirmed { number, payment, .. } => self.change(*number, |known| (known.standing, known.paid) = (Standing::Booked, payment.clone())),
            Event::AppointmentLapsed { number, .. } => {
                let why = self.reason(*number, "not confirmed in time");
                self.change(*number, |known| known.standing = Standing::Cancelled { why });
            }
            Event::PaymentRefunded { number, reference, .. } => self.change(*number, |known| known.refunded = Some(reference.clone())),
            Event::AppointmentMoved { number, session, start, .. } => {
                self.change(*number, |known| {
                    (known.session, known.start, known.needs_rebooking, known.reminded) = (*session, Some(*start), false, None);
                    known.moves = known.moves.saturating_add(1);
                });
            }
            Event::PatientReminded { number, minutes, .. } => self.change(*number, |known| known.reminded = Some(*minutes)),
            Event::AppointmentCancelled { number, reason, .. } => {
                let why = self.reason(*number, reason);
                self.change(*number, |known| known.standing = Standing::Cancelled { why });
            }
            Event::ReasonNoted { number, reason, .. } => self.noted = Some((*number, reason.clone())),
            Event::Erased {} => {}
            Event::PatientMissed { number, .. } => self.change(*number, |known| known.standing = Standing::NoShow),
            Event::PatientArrived { number, token, encounter, category, .. } => {
                let session = self.appointments.get(number).map(|appointment| appointment.session);
                self.change(*number, |known| {
                    known.standing = Standing::Waiting { token: *token, encounter: encounter.clone() };
                    known.category.clone_from(category);
                });
                session.into_iter().for_each(|session| self.token_given(session, *token));
            }
            Event::WalkInTaken { number, patient, session, token, encounter, reason, category, .. } => {
                self.appointment_count = *number;
                let standing = Standing::Waiting { token: *token, encounter: encounter.clone() };
                let reason = self.reason(*number, reason);
                let appointment = Appointment { category: category.clone(), ..Appointment::new(*number, patient, (*session, None), reason, standing) };
                self.appointments.insert(*number, appointment);
                self.token_given(*session, *token);
            }
            Event::TokenCalled { number, .. } => self.change(*number, |known| {
                if let Standing::Waiting { token, encounter } = &known.standing {
                    known.standing = Standing::Called { token: *token, encounter: encounter.clone() };
                }
            }),
            Event::AppointmentFulfilled { number, .. } => self.change(*number, |known| known.standing = Standing::Fulfilled),
        }
    }

    fn name(event: &Event) -> (&'static str, u16) {
        match event {
            Event::ScheduleMade { .. } => ("ScheduleMade", 1),
            Event::SessionOpened { .. } => ("SessionOpened", 1),
            Event::SessionWithdrawn { .. } => ("SessionWithdrawn", 1),
            Event::AppointmentHeld { .. } => ("AppointmentHeld", 1),
            Event::AppointmentConfirmed { .. } => ("AppointmentConfirmed", 1),
            Event::AppointmentLapsed { .. } => ("AppointmentLapsed", 1),
            Event::PaymentRefunded { .. } => ("PaymentRefunded", 1),
            Event::Closed { .. } => ("Closed", 1),
            Event::Reopened { .. } => ("Reopened", 1),
            Event::ReasonNoted { .. } => ("ReasonNoted", 1),
            Event::Erased {} => ("Erased", 1),
            Event::AppointmentBooked { .. } => ("AppointmentBooked", 1),
            Event::AppointmentMoved { .. } => ("AppointmentMoved", 1),
            Event::PatientReminded { .. } => ("PatientReminded", 1),
            Event::AppointmentCancelled { .. } => ("AppointmentCancelled", 1),
            Event::PatientMissed { .. } => ("PatientMissed", 1),
            Event::PatientArrived { .. } => ("PatientArrived", 1),
            Event::WalkInTaken { .. } => ("WalkInTaken", 1),
            Event::TokenCalled { .. } => ("TokenCalled", 1),
            Event::AppointmentFulfilled { .. } => ("AppointmentFulfilled", 1),
        }
    }

    fn sealing(&self, _: &str, event: &Event) -> Sealing {
        match event {
            Event::ReasonNoted { patient, .. } => Sealing::Person(patient.clone()),
            _ => Sealing::House,
        }
    }
}

#[cfg(test)]
mod tests;
