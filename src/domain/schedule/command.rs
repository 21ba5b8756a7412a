//! The rules of schedules and appointments.

use serde::{Deserialize, Serialize};

use super::{Appointment, Closure, Event, Of, Payment, Schedule, Session, Standing};
use crate::domain::{Aggregate, Context};
use crate::kernel::{EncounterId, Money, Mrn, Timestamp, WardId};

/// Sessions and closures that a schedule holds at a time, and the longest session.
const SESSIONS_MAX: usize = 1_000;
const CLOSURES_MAX: usize = 200;
const SESSION_SECONDS_MAX: i64 = 24 * 3_600;
/// A patient who is this late has not come.
const LATE_SECONDS: i64 = 15 * 60;
/// Somebody may arrive so long before a session begins.
const EARLY_SECONDS: i64 = 4 * 3_600;
/// A slot is held for a day at most.
const HELD_SECONDS_MAX: i64 = 24 * 3_600;
/// Longest address of a video call, and of the name of a queue.
const LINK_MAX: usize = 512;
const CATEGORY_MAX: usize = 64;

/// A session that is to be opened.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Opening {
    /// When it begins.
    pub from: Timestamp,
    /// When it ends.
    pub until: Timestamp,
    /// How long a slot is, 5 to 480 minutes.
    pub slot_minutes: u32,
    /// How many are booked into one slot.
    #[serde(default = "one")]
    pub places: u32,
    /// How many more, by whoever may overbook.
    #[serde(default)]
    pub overbooking: u32,
    /// How many may come without an appointment.
    #[serde(default)]
    pub walk_ins: u32,
    /// Where its appointments take place when that is not here: the `https` address of a video call.
    #[serde(default)]
    pub link: Option<String>,
}

fn one() -> u32 {
    1
}

/// What may be asked of a schedule.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Command {
    /// Makes it.
    Make {
        /// What people call it.
        name: String,
        /// What it is of.
        of: Of,
        /// The ward that it belongs to.
        ward: Option<WardId>,
    },
    /// Opens sessions; all or none.
    Open(Vec<Opening>),
    /// A session was an error.
    Withdraw {
        /// Which.
        session: u32,
    },
    /// Keeps a slot until somebody confirms or pays.
    Hold {
        /// Who.
        patient: Mrn,
        /// The beginning of the slot.
        start: Timestamp,
        /// What for.
        reason: String,
        /// Until when.
        until: Timestamp,
        /// What is to be paid.
        fee: Option<Money>,
    },
    /// Somebody confirms, or has paid.
    Confirm {
        /// Which.
        number: u32,
        /// What was paid.
        payment: Option<Payment>,
    },
    /// Nobody has confirmed in time.
    Lapse {
        /// Which.
        number: u32,
    },
    /// What was paid was given back.
    Refund {
        /// Which.
        number: u32,
        /// The number under which.
        reference: String,
    },
    /// Nothing can be had for a time.
    Close(Closure),
    /// A closure does not hold any more.
    Reopen {
        /// Its beginning.
        from: Timestamp,
    },
    /// Books a slot.
    Book {
        /// Who.
        patient: Mrn,
        /// The beginning of the slot.
        start: Timestamp,
        /// What for.
        reason: String,
        /// Whether more than the places may be taken.
        may_overbook: bool,
    },
    /// Gives an appointment another slot.
    Move {
        /// Which.
        number: u32,
        /// The beginning of the slot.
        start: Timestamp,
        /// Whether more than the places may be taken.
        may_overbook: bool,
    },
    /// The patient was reminded.
    Remind {
        /// Which.
        number: u32,
        /// So many minutes before.
        minutes: u32,
    },
    /// It does not take place.
    Cancel {
        /// Which.
        number: u32,
        /// Why.
        reason: String,
    },
    /// The patient did not come.
    Miss {
        /// Which.
        number: u32,
    },
    /// The patient is here.
    Arrive {
        /// Which.
        number: u32,
        /// The visit.
        encounter: EncounterId,
        /// Which queue they wait in; empty where there is one.
        category: String,
    },
    /// Somebody came without an appointment.
    WalkIn {
        /// Who.
        patient: Mrn,
        /// What for.
        reason: String,
        /// The visit.
        encounter: EncounterId,
        /// Which queue they wait in; empty where there is one.
        category: String,
    },
    /// Calls the next one of the session that is on.
    CallNext {
        /// Of which queue; without one of any.
        category: Option<String>,
    },
    /// The visit is over.
    Fulfil {
        /// Which.
        number: u32,
    },
}

/// Why something may not happen.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error, Serialize)]
#[serde(tag = "rejection", rename_all = "snake_case")]
pub enum Rejection {
    /// There is no such schedule.
    #[error("there is no such schedule: make it first")]
    NoSchedule,
    /// There is one.
    #[error("there is a schedule of this name already: {name}")]
    ScheduleExists {
        /// What people call it.
        name: String,
    },
    /// Something about a session cannot be.
    #[error("{why}")]
    InvalidSession {
        /// What, and the way out.
        why: String,
    },
    /// Two sessions at once.
    #[error("session {number} from {from} to {until} is at the same time: close that time, or choose another")]
    SessionsOverlap {
        /// Which.
        number: u32,
        /// Its beginning.
        from: Timestamp,
        /// Its end.
        until: Timestamp,
    },
    /// A text must say something.
    #[error("{field} is empty: say {what}")]
    Empty {
        /// Which field.
        field: &'static str,
        /// What it should say.
        what: &'static str,
    },
    /// No slot begins then.
    #[error("no slot begins at {start}: look at the free slots of the schedule")]
    NoSlot {
        /// When.
        start: Timestamp,
    },
    /// It is over.
    #[error("the slot at {start} is over: choose a later one")]
    SlotOver {
        /// When.
        start: Timestamp,
    },
    /// Nothing can be had then.
    #[error("closed from {from} to {until} ({reason}): choose another time")]
    Closed {
        /// From when.
        from: Timestamp,
        /// Until when.
        until: Timestamp,
        /// Why.
        reason: String,
    },
    /// All places are taken.
    #[error("all {places} places of the slot at {start} are taken{}: choose another slot", if *.overbooking > 0 { format!(", and {overbooking} more are for whoever may overbook") } else { String::new() })]
    SlotFull {
        /// When.
        start: Timestamp,
        /// How many there are.
        places: u32,
        /// How many more for whoever may overbook and has not yet.
        overbooking: u32,
    },
    /// The patient has it already.
    #[error("{patient} has appointment {number} in this slot already")]
    BookedAlready {
        /// Who.
        patient: Mrn,
        /// Which.
        number: u32,
    },
    /// There is no such appointment.
    #[error("there is no appointment {number} in this schedule: check the number")]
    UnknownAppointment {
        /// Which.
        number: u32,
    },
    /// It does not stand as the command needs it.
    #[error("appointment {number} is {is}: {way_out}")]
    NotSo {
        /// Which.
        number: u32,
        /// How it stands.
        is: &'static str,
        /// What to do instead.
        way_out: &'static str,
    },
    /// The patient may still come.
    #[error("the slot of appointment {number} began at {start}: whoever is less than 15 minutes late may still come")]
    TooEarly {
        /// Which.
        number: u32,
        /// When.
        start: Timestamp,
    },
    /// No session is on.
    #[error("no session is on now: look at the schedule's sessions")]
    NoSession,
    /// No more without an appointment.
    #[error("{walk_ins} have come to this session without an appointment, and no more are taken: book a slot")]
    NoWalkIns {
        /// How many are taken.
        walk_ins: u32,
    },
    /// There is no such session.
    #[error("there is no session {session} in this schedule: check the number")]
    UnknownSession {
        /// Which.
        session: u32,
    },
    /// Somebody is booked into it.
    #[error("{booked} are booked into session {session}: move or cancel them first, or close that time")]
    SessionBooked {
        /// Which.
        session: u32,
        /// How many.
        booked: usize,
    },
    /// A slot cannot be held so.
    #[error("{why}")]
    InvalidHold {
        /// What is wrong, and the way out.
        why: &'static str,
    },
    /// A payment is of another one.
    #[error("this payment is of appointment {number} already: each is of one")]
    ReferenceUsed {
        /// Which.
        number: u32,
    },
    /// Not what is to be paid.
    #[error("appointment {number} costs {fee}: confirm it with a payment of that, with its reference")]
    OtherAmount {
        /// Which.
        number: u32,
        /// What is to be paid.
        fee: String,
    },
    /// Nobody waits.
    #[error("nobody waits to be called")]
    NobodyWaits,
}

impl Standing {
    fn word(&self) -> &'static str {
        match self {
            Standing::Held { .. } => "held",
            Standing::Booked => "booked",
            Standing::Waiting { .. } => "waiting",
            Standing::Called { .. } => "called",
            Standing::Fulfilled => "over",
            Standing::NoShow => "missed",
            Standing::Cancelled { .. } => "cancelled",
        }
    }
}

impl Schedule {
    fn open(&self, openings: &[Opening], at: Timestamp) -> Result<Vec<Event>, Rejection> {
        let wrong = |why: &str| Err(Rejection::InvalidSession { why: why.to_owned() });
        if openings.is_empty() || self.sessions.len() + openings.len() > SESSIONS_MAX {
            return wrong("1 to 1000 sessions are kept in a schedule: open fewer at a time");
        }
        let mut sessions: Vec<Session> = self.sessions.values().cloned().collect();
        let mut events = Vec::new();
        for (opening, number) in openings.iter().zip(self.session_count + 1..) {
            let Opening { from, until, slot_minutes, places, overbooking, walk_ins, ref link } = *opening;
            let seconds = until.seconds_since(from);
            if !(5..=480).contains(&slot_minutes) || !(1..=50).contains(&places) || overbooking > 20 || walk_ins > 500 {
                return wrong("a slot has 5 to 480 minutes and 1 to 50 places; at most 20 are overbooked, and 500 come without an appointment");
            }
            if seconds < i64::from(slot_minutes) * 60 || seconds > SESSION_SECONDS_MAX || until <= at {
                return wrong("a session has one slot at least and a day at most, and is not over");
            }
            if let Some(other) = sessions.iter().find(|other| other.from < until && from < other.until) {
                return Err(Rejection::SessionsOverlap { number: other.number, from: other.from, until: other.until });
            }
            if link.as_ref().is_some_and(|link| !link.starts_with("https://") || link.len() > LINK_MAX || link.chars().any(|c| c.is_whitespace() || c.is_control())) {
                return wrong("link is the https:// address of a video call, without blanks, 512 characters at most");
            }
            let session = Session { number, from, until, slot_minutes, places, overbooking, walk_ins, tokens: 0, link: link.clone() };
            sessions.push(session.clone());
            events.push(Event::SessionOpened { session, at });
        }
        Ok(events)
    }

    /// The session of a slot that can be had; `number` is an appointment that gives its own place up for it.
    fn slot(&self, start: Timestamp, (may_overbook, number, now): (bool, Option<u32>, Timestamp)) -> Result<(&Session, bool), Rejection> {
        let session = self.sessions.values().find(|session| session.slots().any(|slot| slot == start)).ok_or(Rejection::NoSlot { start })?;
        let end = session.end_of(start);
        if end <= now {
            return Err(Rejection::SlotOver { start });
        }
        if let Some(Closure { from, until, reason }) = self.closure_at(start, end) {
            return Err(Rejection::Closed { from: *from, until: *until, reason: reason.clone() });
        }
        let own = number.and_then(|number| self.appointments.get(&number)).is_some_and(|known| known.start == Some(start) && known.standing.is_taking_a_place(now));
        let taken = u32::try_from(self.taken(start, now)).unwrap_or(u32::MAX) - u32::from(own);
        let is_over = taken >= session.places;
        let all = session.places + if may_overbook { session.overbooking } else { 0 };
        if taken >= all {
            let left = (session.places + session.overbooking).saturating_sub(taken);
            return Err(Rejection::SlotFull { start, places: session.places, overbooking: if may_overbook { 0 } else { left } });
        }
        Ok((session, is_over))
    }

    fn not_twice(&self, patient: &Mrn, start: Timestamp, now: Timestamp) -> Result<(), Rejection> {
        let twice = self.appointments.values().find(|known| known.patient == *patient && known.start == Some(start) && known.standing.is_taking_a_place(now));
        twice.map_or(Ok(()), |known| Err(Rejection::BookedAlready { patient: patient.clone(), number: known.number }))
    }

    /// Once, however often a provider of payments calls back; what comes too late gets the slot only while nobody else has it.
    fn confirm(&self, number: u32, payment: Option<&Payment>, at: Timestamp) -> Result<Vec<Event>, Rejection> {
        let known = self.appointment(number)?;
        let reference = payment.map(|payment| payment.reference.trim()).filter(|reference| !reference.is_empty());
        let is_same = |known: &Appointment| known.paid.as_ref().map(|paid| paid.reference.as_str()) == reference;
        let (fee, start) = match &known.standing {
            Standing::Held { fee, .. } => (*fee, known.start),
            Standing::Booked if is_same(known) => return Ok(vec![]),
            other => return Err(Rejection::NotSo { number, is: other.word(), way_out: "only one that is held is confirmed: give back what was paid, or book anew" }),
        };
        if let Some(other) = reference.and_then(|reference| self.appointments.values().find(|other| other.paid.as_ref().is_some_and(|paid| paid.reference == reference))) {
            return Err(Rejection::ReferenceUsed { number: other.number });
        }
        match (fee, payment) {
            (Some(fee), Some(payment)) if payment.amount == fee && reference.is_some() => {}
            (None, None) => {}
            (Some(fee), _) => return Err(Rejection::OtherAmount { number, fee: fee.to_string() }),
            (None, Some(_)) => return Err(Rejection::OtherAmount { number, fee: "nothing".to_owned() }),
        }
        if let Some(start) = start {
            self.slot(start, (false, Some(number), at))?;
        }
        let payment = payment.map(|payment| Payment { reference: payment.reference.trim().to_owned(), amount: payment.amount });
        Ok(vec![Event::AppointmentConfirmed { number, payment, at }])
    }

    fn appointment(&self, number: u32) -> Result<&Appointment, Rejection> {
        self.appointments.get(&number).ok_or(Rejection::UnknownAppointment { number })
    }

    fn booked(&self, number: u32, way_out: &'static str) -> Result<&Appointment, Rejection> {
        let known = self.appointment(number)?;
        match &known.standing {
            Standing::Booked => Ok(known),
            other => Err(Rejection::NotSo { number, is: other.word(), way_out }),
        }
    }

    /// The session that is on, or about to begin.
    fn session_on(&self, now: Timestamp) -> Result<&Session, Rejection> {
        let is_on = |session: &&Session| session.from.plus_seconds(-EARLY_SECONDS) <= now && now < session.until;
        self.sessions.values().filter(is_on).min_by_key(|session| session.from).ok_or(Rejection::NoSession)
    }
}

/// The name of a queue, as it is compared.
fn queue(category: &str) -> String {
    category.trim().to_lowercase().chars().take(CATEGORY_MAX).collect()
}

fn said(text: &str, field: &'static str, what: &'static str) -> Result<String, Rejection> {
    match text.trim() {
        "" => Err(Rejection::Empty { field, what }),
        text => Ok(text.chars().take(256).collect()),
    }
}

impl Aggregate for Schedule {
    type Command = Command;
    type Rejection = Rejection;

    fn decide(&self, context: &Context, command: &Command) -> Result<Vec<Event>, Rejection> {
        let at = context.now;
        if self.of.is_none() && !matches!(command, Command::Make { .. }) {
            return Err(Rejection::NoSchedule);
        }
        Ok(match command {
            Command::Make { name, of, ward } => match self.of {
                Some(known) if known == *of && self.name == name.trim() => vec![],
                Some(_) => return Err(Rejection::ScheduleExists { name: self.name.clone() }),
                None => vec![Event::ScheduleMade { name: said(name, "name", "what people call it")?, of: *of, ward: ward.clone(), at }],
            },
            Command::Open(openings) => self.open(openings, at)?,
            Command::Withdraw { session } => {
                let known = self.sessions.get(session).ok_or(Rejection::UnknownSession { session: *session })?;
                let booked = self.appointments.values().filter(|booked| booked.session == *session && booked.standing.is_taking_a_place(at)).count();
                match booked {
                    0 if at < known.until => vec![Event::SessionWithdrawn { session: *session, at }],
                    0 => return Err(Rejection::InvalidSession { why: format!("session {session} is over: what has been is not withdrawn") }),
                    booked => return Err(Rejection::SessionBooked { session: *session, booked }),
                }
            }
            Command::Hold { patient, start, reason, until, fee } => {
                self.not_twice(patient, *start, at)?;
                if *until <= at || until.seconds_since(at) > HELD_SECONDS_MAX {
                    return Err(Rejection::InvalidHold { why: "a slot is held for a day at most: until comes soon" });
                }
                if fee.is_some_and(|fee| fee.amount() <= rust_decimal::Decimal::ZERO) {
                    return Err(Rejection::InvalidHold { why: "a fee is above zero: leave it out where nothing is paid" });
                }
                let (session, _) = self.slot(*start, (false, None, at))?;
                let (number, reason) = (self.appointment_count + 1, reason.trim().chars().take(256).collect());
                let held =
                    Event::AppointmentHeld { number, patient: patient.clone(), session: session.number, start: *start, until: (*until).min(session.end_of(*start)), fee: *fee, at };
                noted(number, patient, reason).into_iter().chain([held]).collect()
            }
            Command::Confirm { number, payment } => self.confirm(*number, payment.as_ref(), at)?,
            Command::Lapse { number } => match &self.appointment(*number)?.standing {
                Standing::Held { until, .. } if *until <= at => vec![Event::AppointmentLapsed { number: *number, at }],
                _ => vec![],
            },
            Command::Refund { number, reference } => {
                let (known, reference) = (self.appointment(*number)?, said(reference, "reference", "the number under which it was given back")?);
                match (known.refund_due(), &known.refunded) {
                    (Some(_), _) => vec![Event::PaymentRefunded { number: *number, reference, at }],
                    (None, Some(done)) if *done == reference => vec![],
                    (None, Some(_)) => return Err(Rejection::NotSo { number: *number, is: "refunded", way_out: "it is given back once" }),
                    (None, None) => {
                        return Err(Rejection::NotSo { number: *number, is: known.standing.word(), way_out: "only what was paid for one that is cancelled is given back" });
                    }
                }
            }
            Command::Close(closure) => {
                let reason = said(&closure.reason, "reason", "why nothing can be had")?;
                if closure.until <= closure.from || self.closures.len() >= CLOSURES_MAX {
                    return Err(Rejection::InvalidSession { why: "a closure ends after it begins, and a schedule has 200 at most".to_owned() });
                }
                let closure = Closure { reason, ..closure.clone() };
                let is_met = |known: &&Appointment| {
                    let end = |start: Timestamp| self.sessions.get(&known.session).map_or(start, |session| session.end_of(start));
                    known.standing == Standing::Booked && known.start.is_some_and(|start| closure.meets(start, end(start)))
                };
                let meets = self.appointments.values().filter(is_met).map(|known| known.number).collect();
                vec![Event::Closed { closure, meets, at }]
            }
            Command::Reopen { from } => self.closures.iter().any(|closure| closure.from == *from).then_some(Event::Reopened { from: *from, at }).into_iter().collect(),
            Command::Book { patient, start, reason, may_overbook } => {
                self.not_twice(patient, *start, at)?;
                let (session, is_overbooked) = self.slot(*start, (*may_overbook, None, at))?;
                let (number, reason) = (self.appointment_count + 1, reason.trim().chars().take(256).collect());
                let booked = Event::AppointmentBooked { number, patient: patient.clone(), session: session.number, start: *start, reason: String::new(), is_overbooked, at };
                noted(number, patient, reason).into_iter().chain([booked]).collect()
            }
            Command::Move { number, start, may_overbook } => {
                let known = self.booked(*number, "only one that is booked gets another time")?;
                let (session, _) = self.slot(*start, (*may_overbook, Some(*number), at))?;
                if known.start == Some(*start) { vec![] } else { vec![Event::AppointmentMoved { number: *number, session: session.number, start: *start, at }] }
            }
            Command::Remind { number, minutes } => match self.appointment(*number)?.reminded {
                Some(sent) if sent <= *minutes => vec![],
                Some(_) | None => vec![Event::PatientReminded { number: *number, minutes: *minutes, at }],
            },
            Command::Cancel { number, reason } => match &self.appointment(*number)?.standing {
                Standing::Cancelled { .. } => vec![],
                // Nobody was told of it yet, so nobody is told that it does not take place.
                Standing::Held { .. } => {
                    let why = said(reason, "reason", "why it does not take place")?;
                    noted(*number, &self.appointment(*number)?.patient, why).into_iter().chain([Event::AppointmentLapsed { number: *number, at }]).collect()
                }
                Standing::Booked => {
                    let why = said(reason, "reason", "why it does not take place")?;
                    let cancelled = Event::AppointmentCancelled { number: *number, reason: String::new(), at };
                    noted(*number, &self.appointment(*number)?.patient, why).into_iter().chain([cancelled]).collect()
                }
                other => return Err(Rejection::NotSo { number: *number, is: other.word(), way_out: "only one that is booked is cancelled" }),
            },
            Command::Miss { number } => {
                let known = self.booked(*number, "only somebody who was expected can be missed")?;
                match known.start {
                    Some(start) if at.seconds_since(start) < LATE_SECONDS => return Err(Rejection::TooEarly { number: *number, start }),
                    _ => vec![Event::PatientMissed { number: *number, at }],
                }
            }
            Command::Arrive { number, encounter, category } => {
                let known = self.booked(*number, "only somebody who is expected arrives; who comes after all is booked anew")?;
                let token = self.sessions.get(&known.session).map_or(1, |session| session.tokens + 1);
                vec![Event::PatientArrived { number: *number, token, encounter: encounter.clone(), category: queue(category), at }]
            }
            Command::WalkIn { patient, reason, encounter, category } => {
                let session = self.session_on(at)?;
                if let Some(Closure { from, until, reason }) = self.closure_at(at, at.plus_seconds(1)) {
                    return Err(Rejection::Closed { from: *from, until: *until, reason: reason.clone() });
                }
                let came = self.appointments.values().filter(|known| known.session == session.number && known.start.is_none()).count();
                if came >= session.walk_ins as usize {
                    return Err(Rejection::NoWalkIns { walk_ins: session.walk_ins });
                }
                let (number, token) = (self.appointment_count + 1, session.tokens + 1);
                let reason = reason.trim().chars().take(256).collect();
                let (encounter, session) = (encounter.clone(), session.number);
                let taken = Event::WalkInTaken { number, patient: patient.clone(), session, token, encounter, reason: String::new(), category: queue(category), at };
                noted(number, patient, reason).into_iter().chain([taken]).collect()
            }
            Command::CallNext { category } => {
                // Who waits since an earlier session is called first; without a queue's name whoever waits in any.
                let queue = category.as_deref().map(queue);
                let is_meant = |known: &&&Appointment| queue.as_ref().is_none_or(|queue| known.category == *queue);
                let next = self.sessions.keys().find_map(|session| self.waiting(*session).iter().find(is_meant).map(|known| (known.number, known.standing.clone())));
                match next {
                    Some((number, Standing::Waiting { token, .. })) => vec![Event::TokenCalled { number, token, at }],
                    _ => return Err(Rejection::NobodyWaits),
                }
            }
            Command::Fulfil { number } => match &self.appointment(*number)?.standing {
                Standing::Fulfilled => vec![],
                Standing::Called { .. } | Standing::Waiting { .. } => vec![Event::AppointmentFulfilled { number: *number, at }],
                other => return Err(Rejection::NotSo { number: *number, is: other.word(), way_out: "only somebody who is here has been seen" }),
            },
        })
    }
}

/// What was said of an appointment, before the event that it belongs to; nothing was not said.
fn noted(number: u32, patient: &Mrn, reason: String) -> Option<Event> {
    (!reason.is_empty()).then(|| Event::ReasonNoted { number, patient: patient.clone(), reason })
}
