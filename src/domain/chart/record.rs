//! The rules of immunisations, illnesses of the family, referrals and documents.

use serde::Serialize;

use super::command::{self, TEXT_MAX, next, said};
use super::{Asked, Chart, Event, FamilyIllness, Illness, Immunisation, Paper, Programme, Question, Referral, Run, Vaccine};
use crate::domain::Context;
use crate::kernel::{Date, EncounterId};

/// Longest question and answer of a referral, in characters.
const QUESTION_MAX: usize = 4_096;

/// Why an entry may not be.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error, Serialize)]
#[serde(tag = "rejection", rename_all = "snake_case")]
pub enum Rejection {
    /// There is no such entry.
    #[error("there is no {what} {number} in this chart: check the number")]
    UnknownEntry {
        /// What kind of entry.
        what: &'static str,
        /// Which.
        number: u32,
    },
    /// It is known.
    #[error("{code} of {on} is immunisation {number} already: withdraw that one if it is wrong")]
    ImmunisationKnown {
        /// Which vaccine.
        code: String,
        /// The day.
        on: Date,
        /// Under which number.
        number: u32,
    },
    /// The day cannot be.
    #[error("{on} {why}: check the date")]
    ImpossibleDay {
        /// The day.
        on: Date,
        /// Why not.
        why: &'static str,
    },
    /// What was given here can be traced.
    #[error("what was given here needs its lot: scan or type it, so that a recall finds the patient; say elsewhere if it was not given here")]
    LotMissing,
    /// The lot was over.
    #[error("lot {lot} had expired on {expires}, before {on}: check the dates; if it was given all the same, withdraw nothing and write a note")]
    LotExpired {
        /// Which.
        lot: String,
        /// Its last day.
        expires: Date,
        /// The day.
        on: Date,
    },
    /// It has come to its end.
    #[error("referral {number} was {is} already: make a new one")]
    ReferralEnded {
        /// Which.
        number: u32,
        /// How it stands.
        is: &'static str,
    },
    /// Nobody answers themselves.
    #[error("referral {number} is your own question: whoever was asked answers it; cancel it if you need it no more")]
    OwnReferral {
        /// Which.
        number: u32,
    },
    /// Another one asked.
    #[error("referral {number} is {by}'s question: they cancel it, whoever was asked declines it")]
    OtherReferral {
        /// Which.
        number: u32,
        /// Who asked.
        by: String,
    },
    /// They are in it.
    #[error("{name} goes on as programme {number} of this chart: finish that one first")]
    ProgrammeKnown {
        /// Which.
        name: String,
        /// Under which number.
        number: u32,
    },
    /// It does not go on.
    #[error("programme {number} is over, or never was this patient's: begin it anew")]
    ProgrammeOver {
        /// Which.
        number: u32,
    },
    /// The same bytes are there.
    #[error("the same document is in this chart as number {number}: file another one, or withdraw that one first")]
    PaperKnown {
        /// Under which number.
        number: u32,
    },
}

type Decision = Result<Vec<Event>, command::Rejection>;

fn why(reason: &str) -> Result<String, command::Rejection> {
    said(reason, "reason", "why it does not count any more", TEXT_MAX)
}

fn optional(text: &str) -> String {
    text.trim().chars().take(TEXT_MAX).collect()
}

/// A vaccine counts once a day; what is given here names its lot, which has not expired.
pub(super) fn immunise(chart: &Chart, born: Option<Date>, context: &Context, vaccine: &Vaccine) -> Decision {
    let (today, code) = (context.now.date(), said(&vaccine.code, "code", "which vaccine, by its code", TEXT_MAX)?);
    let on = vaccine.on;
    if on > today {
        return Err(Rejection::ImpossibleDay { on, why: "is in the future" }.into());
    }
    if born.is_some_and(|born| on < born) {
        return Err(Rejection::ImpossibleDay { on, why: "is before the patient was born" }.into());
    }
    let known = chart.immunisations.iter().find(|known| known.withdrawn.is_none() && known.vaccine.on == on && known.vaccine.code.eq_ignore_ascii_case(&code));
    if let Some(known) = known {
        return Err(Rejection::ImmunisationKnown { code, on, number: known.number }.into());
    }
    let lot = vaccine.lot.as_deref().map(str::trim).filter(|lot| !lot.is_empty()).map(optional);
    if !vaccine.elsewhere {
        let lot = lot.as_ref().ok_or(Rejection::LotMissing)?;
        if let Some(expires) = vaccine.expires.filter(|expires| *expires < on) {
            return Err(Rejection::LotExpired { lot: lot.clone(), expires, on }.into());
        }
    }
    let number = next(chart.immunisations.last().map(|last| last.number), chart.immunisations.len(), "the number of immunisations")?;
    let text = said(&vaccine.text, "text", "the vaccine in words", TEXT_MAX)?;
    let vaccine = Vaccine { code, text, lot, site: optional(&vaccine.site), ..vaccine.clone() };
    let immunisation = Immunisation { number, vaccine, by: context.principal.to_string(), at: context.now, withdrawn: None };
    Ok(vec![Event::ImmunisationRecorded { immunisation: Box::new(immunisation) }])
}

pub(super) fn withdraw_immunisation(chart: &Chart, context: &Context, number: u32, reason: &str) -> Decision {
    let known = chart.immunisations.iter().find(|known| known.number == number).ok_or(Rejection::UnknownEntry { what: "immunisation", number })?;
    let withdrawn = Event::ImmunisationWithdrawn { number, reason: why(reason)?, at: context.now };
    Ok(Some(withdrawn).filter(|_| known.withdrawn.is_none()).into_iter().collect())
}

pub(super) fn family_illness(chart: &Chart, context: &Context, illness: &Illness) -> Decision {
    let number = next(chart.family.last().map(|last| last.number), chart.family.len(), "the number of illnesses of the family")?;
    let text = said(&illness.text, "text", "the illness in words", TEXT_MAX)?;
    let is_known =
        |known: &FamilyIllness| known.withdrawn.is_none() && known.illness.relation == illness.relation && known.illness.text == text && known.illness.code == illness.code;
    if chart.family.iter().any(is_known) {
        return Ok(vec![]);
    }
    let illness = FamilyIllness { number, illness: Illness { text, ..illness.clone() }, by: context.principal.to_string(), at: context.now, withdrawn: None };
    Ok(vec![Event::FamilyIllnessRecorded { illness: Box::new(illness) }])
}

pub(super) fn withdraw_family_illness(chart: &Chart, context: &Context, number: u32, reason: &str) -> Decision {
    let known = chart.family.iter().find(|known| known.number == number).ok_or(Rejection::UnknownEntry { what: "illness of the family", number })?;
    let withdrawn = Event::FamilyIllnessWithdrawn { number, reason: why(reason)?, at: context.now };
    Ok(Some(withdrawn).filter(|_| known.withdrawn.is_none()).into_iter().collect())
}

pub(super) fn refer(chart: &Chart, context: &Context, question: &Question, encounter: Option<&EncounterId>) -> Decision {
    let number = next(chart.referrals.last().map(|last| last.number), chart.referrals.len(), "the number of referrals")?;
    let (to, asked) = (said(&question.to, "to", "who is asked", TEXT_MAX)?, said(&question.question, "question", "what is asked", QUESTION_MAX)?);
    let question = Question { to, question: asked, urgency: question.urgency };
    let referral = Referral { number, question, encounter: encounter.cloned(), by: context.principal.to_string(), at: context.now, standing: Asked::Open };
    Ok(vec![Event::ReferralMade { referral: Box::new(referral) }])
}

fn open(chart: &Chart, number: u32) -> Result<&Referral, Rejection> {
    let known = chart.referrals.iter().find(|known| known.number == number).ok_or(Rejection::UnknownEntry { what: "referral", number })?;
    match &known.standing {
        Asked::Open => Ok(known),
        ended => Err(Rejection::ReferralEnded { number, is: ended.word() }),
    }
}

fn ended(number: u32, standing: Asked, context: &Context) -> Decision {
    Ok(vec![Event::ReferralEnded { number, standing, at: context.now }])
}

/// Whoever was asked has something to say; nobody answers themselves.
pub(super) fn answer(chart: &Chart, context: &Context, number: u32, answer: &str) -> Decision {
    let (known, by) = (open(chart, number)?, context.principal.to_string());
    if known.by == by {
        return Err(Rejection::OwnReferral { number }.into());
    }
    ended(number, Asked::Answered { answer: said(answer, "answer", "what there is to say", QUESTION_MAX)?, answered_by: by, answered: context.now }, context)
}

pub(super) fn decline(chart: &Chart, context: &Context, number: u32, reason: &str) -> Decision {
    if open(chart, number)?.by == context.principal.to_string() {
        return Err(Rejection::OwnReferral { number }.into());
    }
    ended(number, Asked::Declined { reason: said(reason, "reason", "why it is declined, and who may be asked instead", TEXT_MAX)? }, context)
}

pub(super) fn cancel(chart: &Chart, context: &Context, number: u32, reason: &str) -> Decision {
    let known = open(chart, number)?;
    if known.by != context.principal.to_string() {
        return Err(Rejection::OtherReferral { number, by: known.by.clone() }.into());
    }
    ended(number, Asked::Cancelled { reason: said(reason, "reason", "why it is not needed any more", TEXT_MAX)? }, context)
}

/// Nobody is in the same programme twice at once.
pub(super) fn begin_programme(chart: &Chart, context: &Context, name: &str, from: Option<Date>) -> Decision {
    let (today, name) = (context.now.date(), said(name, "name", "what people call the programme", TEXT_MAX)?);
    let from = from.unwrap_or(today);
    if from > today {
        return Err(Rejection::ImpossibleDay { on: from, why: "is in the future" }.into());
    }
    if let Some(known) = chart.programmes.iter().find(|known| known.standing == Run::Active && known.name.eq_ignore_ascii_case(&name)) {
        return Err(Rejection::ProgrammeKnown { name, number: known.number }.into());
    }
    let number = next(chart.programmes.last().map(|last| last.number), chart.programmes.len(), "the number of programmes")?;
    let programme = Programme { number, name, from, by: context.principal.to_string(), at: context.now, standing: Run::Active };
    Ok(vec![Event::ProgrammeBegan { programme: Box::new(programme) }])
}

fn programme(chart: &Chart, number: u32) -> Result<&Programme, Rejection> {
    chart.programmes.iter().find(|known| known.number == number).ok_or(Rejection::UnknownEntry { what: "programme", number })
}

pub(super) fn finish_programme(chart: &Chart, context: &Context, number: u32, until: Option<Date>) -> Decision {
    let (known, today) = (programme(chart, number)?, context.now.date());
    let until = until.unwrap_or(today);
    match known.standing {
        Run::Active if until > today => Err(Rejection::ImpossibleDay { on: until, why: "is in the future" }.into()),
        Run::Active if until < known.from => Err(Rejection::ImpossibleDay { on: until, why: "is before the programme began" }.into()),
        Run::Active => Ok(vec![Event::ProgrammeEnded { number, standing: Run::Finished { until }, at: context.now }]),
        Run::Finished { until: known } if known == until => Ok(vec![]),
        Run::Finished { .. } | Run::Refuted { .. } => Err(Rejection::ProgrammeOver { number }.into()),
    }
}

pub(super) fn refute_programme(chart: &Chart, context: &Context, number: u32, reason: &str) -> Decision {
    match programme(chart, number)?.standing {
        Run::Refuted { .. } => Ok(vec![]),
        Run::Active | Run::Finished { .. } => Ok(vec![Event::ProgrammeEnded { number, standing: Run::Refuted { reason: why(reason)? }, at: context.now }]),
    }
}

/// The same bytes are filed once: a second scan of the same letter would look like a second letter.
pub(super) fn file(chart: &Chart, context: &Context, paper: &Paper) -> Decision {
    if let Some(known) = chart.documents.iter().find(|known| known.withdrawn.is_none() && known.digest == paper.digest) {
        return Err(Rejection::PaperKnown { number: known.number }.into());
    }
    let number = next(chart.documents.last().map(|last| last.number), chart.documents.len(), "the number of documents")?;
    let title = said(&paper.title, "title", "what people call it", TEXT_MAX)?;
    let paper = Paper { number, title, by: context.principal.to_string(), at: context.now, withdrawn: None, ..paper.clone() };
    Ok(vec![Event::PaperFiled { paper: Box::new(paper) }])
}

pub(super) fn withdraw_paper(chart: &Chart, context: &Context, number: u32, reason: &str) -> Decision {
    let known = chart.documents.iter().find(|known| known.number == number).ok_or(Rejection::UnknownEntry { what: "document", number })?;
    let withdrawn = Event::PaperWithdrawn { number, reason: why(reason)?, at: context.now };
    Ok(Some(withdrawn).filter(|_| known.withdrawn.is_none()).into_iter().collect())
}
