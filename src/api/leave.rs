//! From who asks to leave to do it: the question to the gate, the record of what is shown, and the refusals as problems.

use axum::http::{StatusCode, header};
use axum::response::IntoResponse;

use super::problem::Problem;
use super::state::Api;
use crate::access::{Allowed, Denied, Refused, Who};
use crate::domain::census::About;
use crate::domain::disclosure::Record;
use crate::domain::rights::{Permission, Subject};
use crate::kernel::{BedId, EncounterId, Mrn};

impl Api {
    /// Leave for what belongs to no ward and no patient.
    pub(super) fn may(&self, who: &Who, permission: Permission) -> Result<Allowed, Problem> {
        self.may_with(who, permission, &Subject::Anything)
    }

    /// Leave for something of a subject.
    pub(super) fn may_with(&self, who: &Who, permission: Permission, subject: &Subject) -> Result<Allowed, Problem> {
        self.gate.allow(who, permission, subject).map_err(|refused| Problem::refused_access(&refused))
    }

    /// Where a patient is now. While the rows are behind, as after a long stop, the log itself is asked.
    async fn place_of(&self, mrn: &Mrn) -> Result<Subject, Problem> {
        match self.caught_up().await {
            true => Ok(self.gate.patient(mrn)),
            false => self.gate.patient_by_log(mrn).map_err(|failure| Problem::failed(&failure)),
        }
    }

    /// Leave for something of a patient; whoever is refused is noted for the auditor.
    pub(super) async fn may_patient(&self, who: &Who, permission: Permission, mrn: &Mrn) -> Result<Allowed, Problem> {
        let place = self.place_of(mrn).await?;
        match self.gate.allow(who, permission, &place) {
            Ok(allowed) => Ok(allowed),
            Err(refused) => {
                if let Refused::Forbidden(forbidden) = &refused {
                    self.gate.refused_look(who, mrn, forbidden).await;
                }
                Err(Problem::refused_access(&refused))
            }
        }
    }

    /// Leave to take somebody into a bed: its ward's, and when others look after them, or the record is restricted, theirs too.
    async fn may_arrive(&self, who: &Who, permission: Permission, (mrn, bed, encounter): (&Mrn, &BedId, Option<&EncounterId>)) -> Result<Allowed, Problem> {
        let allowed = self.may_bed(who, permission, bed)?;
        // The bed that is kept for a plan is given up with it.
        if let Some(kept) = encounter.and_then(|encounter| self.rows.planned_bed(encounter)) {
            self.may_bed(who, permission, &kept)?;
        }
        match self.place_of(mrn).await? {
            Subject::Patient(place) if place.is_restricted || place.wards.iter().any(|ward| Some(ward) != self.gate.ward(bed.ward()).as_ref()) => {
                self.may_patient(who, permission, mrn).await
            }
            _ => Ok(allowed),
        }
    }

    /// Leave for something of a bed.
    pub(super) fn may_bed(&self, who: &Who, permission: Permission, bed: &BedId) -> Result<Allowed, Problem> {
        let subject = self.gate.bed(bed).map_err(|refused| Problem::refused_access(&refused))?;
        self.may_with(who, permission, &subject)
    }

    /// Leave for a command about people, stays and beds.
    pub(super) async fn may_about(&self, who: &Who, permission: Permission, about: About<'_>) -> Result<Allowed, Problem> {
        match about {
            About::Anybody => self.may(who, permission),
            About::Bed(bed) => self.may_bed(who, permission, bed),
            About::Arriving { patient, bed, encounter } => self.may_arrive(who, permission, (patient, bed, encounter)).await,
            About::Into(mrn, bed) => {
                self.may_bed(who, permission, bed)?;
                self.may_patient(who, permission, mrn).await
            }
            About::Patient(mrn) => self.may_patient(who, permission, mrn).await,
            About::Both(one, other) => {
                self.may_patient(who, permission, one).await?;
                self.may_patient(who, permission, other).await
            }
            About::Receiver(mrn) => {
                let _ = self.caught_up().await;
                match self.rows.asked_bed(mrn) {
                    Some(bed) => self.may_bed(who, permission, &bed),
                    None => self.may_patient(who, permission, mrn).await,
                }
            }
        }
    }

    /// Stores that records are about to be shown, before they are.
    pub(super) async fn shown(&self, allowed: &Allowed, record: Record, number: Option<&str>, patients: Vec<Mrn>) -> Result<(), Problem> {
        self.gate.shown(allowed.who(), record, number, patients, allowed.ground()).await.map_err(|failure| Problem::failed(&failure))
    }

    /// The same for a list, which may show nobody.
    pub(super) async fn shown_list(&self, allowed: &Allowed, record: Record, mut patients: Vec<Mrn>) -> Result<(), Problem> {
        patients.sort_unstable();
        patients.dedup();
        if patients.is_empty() { Ok(()) } else { self.shown(allowed, record, None, patients).await }
    }
}

impl Problem {
    /// Somebody may not, or nobody knows who it is.
    pub(super) fn refused_access(refused: &Refused) -> Self {
        match refused {
            Refused::NotSignedIn => {
                let text = "sign in (POST /api/v1/session, `wardctl login`, or /login in a browser), or send a program's token as `Authorization: Bearer …`";
                Self::new(StatusCode::UNAUTHORIZED, "not_signed_in", text)
            }
            Refused::Duty(duty) => Self::new(StatusCode::FORBIDDEN, "duty", duty.sentence()),
            Refused::Forbidden(forbidden) => Self::new(StatusCode::FORBIDDEN, forbidden.word(), forbidden.to_string()),
            Refused::NotAPerson => Self::new(StatusCode::CONFLICT, "not_a_person", "only a person who is signed in opens a record in an emergency, no program"),
            Refused::Unplaced(why) => Self::new(StatusCode::NOT_FOUND, "unknown", why.clone()),
        }
    }

    /// Somebody is not signed in.
    pub(super) fn denied(denied: &Denied) -> axum::response::Response {
        let wrong = |kind: &str, text: &str| Self::new(StatusCode::UNAUTHORIZED, kind, text);
        match denied {
            Denied::Wrong => wrong("wrong", "this is not right: check the name and the password, the badge and the PIN, or the code").into_response(),
            Denied::CodeNeeded => wrong("code_needed", "the code of your second factor is needed too: send it in the field code").into_response(),
            Denied::Refused(refusal) => Self::new(StatusCode::FORBIDDEN, &refusal.rule, refusal.message.clone()).into_response(),
            Denied::TooMany { seconds } => {
                let text = format!("too many tries from this address: wait {seconds} s");
                ([(header::RETRY_AFTER, seconds.to_string())], Self::new(StatusCode::TOO_MANY_REQUESTS, "too_many", text)).into_response()
            }
            Denied::NoSuchStation(station) => Self::bad(format!("there is no station {station} in [access] of the configuration, or it is not at this address")).into_response(),
            Denied::StationNeeded => Self::bad("a badge is used at a station: send the field station").into_response(),
            Denied::Failed(failure) => Self::failed(failure).into_response(),
            Denied::Machine(why) => Self::new(StatusCode::INTERNAL_SERVER_ERROR, "unavailable", why.clone()).into_response(),
        }
    }
}
