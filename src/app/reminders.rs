//! Reminders of appointments: who has one soon is told, once for each time before it that the house has set.
//!
//! **Invariant**: at least once: it is recorded when the gateway has taken it, and handed over again under the same id when wardd ends between.

use std::sync::Arc;
use std::time::Duration;

use sha2::{Digest, Sha256};
use tokio::sync::watch;

use crate::actor::{Hospital, Origin};
use crate::domain::patient::Person;
use crate::domain::schedule::Command;
use crate::journal::Log;
use crate::kernel::{Clock, CommandId, Mrn, Principal, ScheduleId};
use crate::outbound::{Held, NotTaken, Reminder, Reminders};
use crate::projection::Rows;
use crate::telemetry;

/// Between two looks.
const EVERY: Duration = Duration::from_secs(30);
/// Rows that are so many events behind may not know that an appointment was cancelled.
const BEHIND: u64 = 1_000;

/// What reminding needs.
pub(super) struct Reminding {
    pub(super) hospital: Arc<Hospital>,
    pub(super) rows: Arc<Rows>,
    pub(super) log: Arc<dyn Log>,
    pub(super) clock: Clock,
    pub(super) gateway: Reminders,
    /// How long before an appointment somebody is told.
    pub(super) minutes: Vec<u32>,
}

impl Reminding {
    /// Looks until wardd stops.
    pub(super) async fn watch(self, mut stop: watch::Receiver<bool>) {
        loop {
            self.look().await;
            tokio::select! {
                biased;
                () = async { drop(stop.wait_for(|stops| *stops).await) } => return,
                () = tokio::time::sleep(EVERY) => {}
            }
        }
    }

    async fn look(&self) {
        if self.log.head().saturating_sub(self.rows.applied()) > BEHIND {
            return;
        }
        let now = self.clock.now();
        for (name, schedule) in self.rows.schedules() {
            let Ok(id) = name.parse::<ScheduleId>() else { continue };
            for (appointment, minutes) in schedule.to_remind(&self.minutes, now) {
                let Some((person, start)) = self.person(&appointment.patient).zip(appointment.start) else { continue };
                let end = schedule.sessions.get(&appointment.session).map(|session| session.end_of(start));
                let reminder = Reminder {
                    // Moved away and back it is reminded again.
                    id: format!(
                        "{id}-{}-{}-{minutes}{}",
                        appointment.number,
                        start.micros() / 1_000_000,
                        if appointment.moves > 0 { format!("-{}", appointment.moves) } else { String::new() }
                    ),
                    patient: appointment.patient.clone(),
                    name: person.name.printed(),
                    phones: person.phones,
                    language: person.language,
                    schedule: id.clone(),
                    with: schedule.name.clone(),
                    start,
                    end,
                    link: schedule.sessions.get(&appointment.session).and_then(|session| session.link.clone()),
                };
                match self.hand_over(reminder.clone()).await {
                    Ok(()) => telemetry::reminder(true, ""),
                    // The gateway is not there: the others wait for the next look.
                    Err(NotTaken::NotNow(why)) => return telemetry::reminder(false, &why),
                    Err(NotTaken::Never(why)) => {
                        telemetry::reminder(false, &why);
                        if !self.hold(&reminder, &why).await {
                            return;
                        }
                    }
                }
                self.note(&id, appointment.number, minutes, &reminder.id).await;
            }
        }
    }

    /// Who is to be told: somebody who lives, can be reached, and did not say that they do not want it.
    fn person(&self, mrn: &Mrn) -> Option<Person> {
        let records = self.rows.person_now(mrn);
        if records.iter().any(|(_, record)| record.died.is_some()) {
            return None;
        }
        // A refusal under any of their numbers is a refusal.
        let refuses = |person: &Person| person.consents.iter().any(|consent| consent.to == "reminders" && !consent.is_given);
        let is_unwanted = records.iter().filter_map(|(_, record)| record.person.as_ref()).any(refuses);
        let person = records.into_iter().find_map(|(_, record)| record.person)?;
        (!is_unwanted && !person.phones.is_empty()).then_some(person)
    }

    async fn hand_over(&self, reminder: Reminder) -> Result<(), NotTaken> {
        let gateway = self.gateway.clone();
        tokio::task::spawn_blocking(move || gateway.hand_over(&reminder)).await.unwrap_or_else(|error| Err(NotTaken::NotNow(error.to_string())))
    }

    /// One that the gateway will never take waits for a person, and none waits behind it.
    async fn hold(&self, reminder: &Reminder, why: &str) -> bool {
        let Reminder { patient, with, start, .. } = reminder;
        let detail =
            format!("{patient} was not reminded of {with} at {start}: the gateway would not take it ({why}). Call them, mend what is wrong with the number, then discard this");
        let sequence = self.rows.applied();
        let held = Held { by: "reminder", item: format!("qtn_reminder-{}", reminder.id), sequence, rule: "reminder_refused", detail, device: None };
        held.store(self.log.as_ref(), self.clock.now()).await
    }

    async fn note(&self, schedule: &ScheduleId, number: u32, minutes: u32, reminder: &str) {
        let id = CommandId::from_bytes(Sha256::digest(format!("remind {reminder}")).first_chunk().copied().unwrap_or_default());
        let origin = Origin::new(id, Principal::System("reminders".to_owned()), self.clock.now());
        // What cannot be kept now is handed over again at the next look, under the same id.
        let _ = self.hospital.schedule(schedule, Command::Remind { number, minutes }, origin).await;
    }
}
