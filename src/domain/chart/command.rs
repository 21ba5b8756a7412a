//! The rules of problems and notes; those of the other entries stand in `record.rs`.

use serde::Serialize;

use super::form::{Filling, Forms, Unfit};
use super::{Chart, Event, Filled, Illness, Look, Meaning, Note, NoteKind, Origin, Paper, Problem, Question, Signature, Standing, Vaccine};
use super::{record, told};
use crate::domain::Context;
use crate::kernel::{Date, EncounterId, Icd10, Principal, Timestamp};

/// Longest text of a note and of a problem, in characters.
const NOTE_MAX: usize = 16_384;
pub(super) const TEXT_MAX: usize = 256;
/// Most entries of one kind and most versions of a note: what is more is an error of a program.
const ENTRIES_MAX: usize = 10_000;
const VERSIONS_MAX: usize = 50;

/// What may be asked of a chart.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Command {
    /// A problem is known.
    RecordProblem {
        /// What it is.
        code: Icd10,
        /// The same in words.
        text: String,
        /// Since when the patient has it.
        onset: Option<Date>,
        /// During which stay it was found.
        encounter: Option<EncounterId>,
    },
    /// It is over.
    ResolveProblem {
        /// Which.
        number: u32,
    },
    /// It is there again, or was never over.
    ReopenProblem {
        /// Which.
        number: u32,
    },
    /// The patient never had it.
    RefuteProblem {
        /// Which.
        number: u32,
        /// Why.
        reason: String,
    },
    /// Writes a note.
    WriteNote {
        /// About which stay.
        encounter: EncounterId,
        /// What it is; a form says it itself.
        kind: NoteKind,
        /// The text; of a form what there is to say besides.
        text: String,
        /// The form, where it is one.
        filling: Option<Filling>,
    },
    /// Writes a newer version.
    AmendNote {
        /// Which.
        number: u32,
        /// The version that the author has before them.
        version: usize,
        /// The text; of a form what there is to say besides.
        text: String,
        /// All answers, where the note is a form.
        filling: Option<Filling>,
        /// Why.
        reason: String,
    },
    /// Stands for the newest version of a note, having proven once more who they are.
    SignNote {
        /// Which.
        number: u32,
        /// The version that the signer has before them.
        version: usize,
        /// What it means.
        meaning: Meaning,
    },
    /// Says that a note does not count any more.
    WithdrawNote {
        /// Which.
        number: u32,
        /// Why.
        reason: String,
    },
    /// A vaccine was given, here or elsewhere.
    RecordImmunisation(Vaccine),
    /// It was not.
    WithdrawImmunisation {
        /// Which.
        number: u32,
        /// Why.
        reason: String,
    },
    /// Somebody of the family has or had an illness.
    RecordFamilyIllness(Illness),
    /// Nobody has.
    WithdrawFamilyIllness {
        /// Which.
        number: u32,
        /// Why.
        reason: String,
    },
    /// Asks somebody else.
    Refer {
        /// What.
        question: Question,
        /// During which stay.
        encounter: Option<EncounterId>,
    },
    /// They have answered.
    AnswerReferral {
        /// Which.
        number: u32,
        /// What.
        answer: String,
    },
    /// They decline.
    DeclineReferral {
        /// Which.
        number: u32,
        /// Why.
        reason: String,
    },
    /// Whoever asked needs it no more.
    CancelReferral {
        /// Which.
        number: u32,
        /// Why.
        reason: String,
    },
    /// Takes the patient into a programme of care.
    BeginProgramme {
        /// What people call it.
        name: String,
        /// Since which day; today without one.
        from: Option<Date>,
    },
    /// It is over.
    FinishProgramme {
        /// Which.
        number: u32,
        /// Since which day; today without one.
        until: Option<Date>,
    },
    /// It never was theirs.
    RefuteProgramme {
        /// Which.
        number: u32,
        /// Why.
        reason: String,
    },
    /// Another system tells who looked at the patient's record there.
    TellLook(Box<Look>),
    /// It tells who made a record here what it is.
    TellOrigin(Box<Origin>),
    /// Files a document; number, author and time of the paper are the rule's to give.
    FilePaper(Paper),
    /// Says that a document does not count any more.
    WithdrawPaper {
        /// Which.
        number: u32,
        /// Why.
        reason: String,
    },
}

/// What the rules of a chart must know besides the chart.
#[derive(Debug, Clone, Copy)]
pub struct Facts<'a> {
    /// The forms of the house.
    pub forms: &'a Forms,
    /// Since when the patient lives, where that is known.
    pub born: Option<Date>,
    /// Whether the patient has died.
    pub is_dead: bool,
}

/// Why something may not be written.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error, Serialize)]
#[serde(tag = "rejection", rename_all = "snake_case")]
pub enum Rejection {
    /// A text that must say something does not.
    #[error("{field} is empty: say {what}")]
    Empty {
        /// Which field.
        field: &'static str,
        /// What it should say.
        what: &'static str,
    },
    /// A text is too long, or there are too many.
    #[error("{what} is more than is kept ({most}): {way_out}")]
    TooMuch {
        /// What.
        what: &'static str,
        /// How much is kept.
        most: usize,
        /// What to do instead.
        way_out: &'static str,
    },
    /// It is told of what has not happened yet.
    #[error("{at} is in the future: check the clock of who tells it")]
    NotYet {
        /// When it says.
        at: Timestamp,
    },
    /// A date has not come yet.
    #[error("the onset {onset} is in the future: check the date")]
    FutureOnset {
        /// Which.
        onset: Date,
    },
    /// It is known.
    #[error("{code} is on the list already as problem {number}: change that one")]
    ProblemKnown {
        /// What.
        code: Icd10,
        /// Under which number.
        number: u32,
    },
    /// There is no such problem.
    #[error("there is no problem {number} in this chart: check the number")]
    UnknownProblem {
        /// Which.
        number: u32,
    },
    /// It was refuted.
    #[error("problem {number} was refuted ({reason}): record it anew if the patient has it after all")]
    ProblemRefuted {
        /// Which.
        number: u32,
        /// Why.
        reason: String,
    },
    /// A session alone signs nothing.
    #[error("a signature needs your password, or badge and PIN, once more: make a statement for yourself (POST /api/v1/witnesses) and send it as witness")]
    NotProven,
    /// Somebody else has written it.
    #[error("note {number} was written by {by}: sign as reviewer or approver")]
    NotTheAuthor {
        /// Which.
        number: u32,
        /// Who has.
        by: String,
    },
    /// There is no such note.
    #[error("there is no note {number} in this chart: check the number")]
    UnknownNote {
        /// Which.
        number: u32,
    },
    /// The author has an older version before them.
    #[error("note {number} has {newest} versions, and this changes version {seen}: read the newest first")]
    NoteChanged {
        /// Which.
        number: u32,
        /// How many there are.
        newest: usize,
        /// Which one was before the author.
        seen: usize,
    },
    /// It was withdrawn.
    #[error("note {number} was withdrawn: write a new one")]
    NoteWithdrawn {
        /// Which.
        number: u32,
    },
    /// A form was asked for, or was not.
    #[error("note {number} is {is}: amend it with {with}")]
    OtherForm {
        /// Which.
        number: u32,
        /// What it is.
        is: String,
        /// With what.
        with: &'static str,
    },
    /// Somebody else wrote it.
    #[error("note {number} is by {by}: write a note of your own, theirs stays as it is")]
    OtherAuthor {
        /// Which.
        number: u32,
        /// Who wrote it.
        by: String,
    },
    /// A form cannot be filled so.
    #[error(transparent)]
    #[serde(untagged)]
    Unfit(#[from] Unfit),
    /// An entry cannot be so.
    #[error(transparent)]
    #[serde(untagged)]
    Entry(#[from] record::Rejection),
}

pub(super) fn said(text: &str, field: &'static str, what: &'static str, most: usize) -> Result<String, Rejection> {
    let text = text.trim();
    match text.chars().count() {
        0 => Err(Rejection::Empty { field, what }),
        length if length > most => Err(Rejection::TooMuch { what: field, most, way_out: "shorten it, or write two" }),
        _ => Ok(text.to_owned()),
    }
}

pub(super) fn next(last: Option<u32>, count: usize, what: &'static str) -> Result<u32, Rejection> {
    if count >= ENTRIES_MAX {
        return Err(Rejection::TooMuch { what, most: ENTRIES_MAX, way_out: "something writes into this chart by mistake, find it first" });
    }
    Ok(last.unwrap_or(0) + 1)
}

fn problem(chart: &Chart, number: u32) -> Result<&Problem, Rejection> {
    chart.problem(number).ok_or(Rejection::UnknownProblem { number })
}

/// A note that its author may change.
fn own_note<'a>(chart: &'a Chart, number: u32, context: &Context) -> Result<&'a Note, Rejection> {
    let note = chart.note(number).ok_or(Rejection::UnknownNote { number })?;
    if note.by != context.principal.to_string() {
        return Err(Rejection::OtherAuthor { number, by: note.by.clone() });
    }
    match &note.withdrawn {
        Some(_) => Err(Rejection::NoteWithdrawn { number }),
        None => Ok(note),
    }
}

/// What happens when a command meets a chart.
pub fn decide(chart: &Chart, facts: Facts<'_>, context: &Context, command: &Command) -> Result<Vec<Event>, Rejection> {
    let (at, by) = (context.now, context.principal.to_string());
    Ok(match command {
        Command::RecordProblem { code, text, onset, encounter } => {
            let known = chart.problems.iter().find(|known| known.code == *code && !matches!(known.standing, Standing::Refuted { .. }));
            if let Some(known) = known {
                return Err(Rejection::ProblemKnown { code: code.clone(), number: known.number });
            }
            if let Some(onset) = onset.filter(|onset| *onset > at.date()) {
                return Err(Rejection::FutureOnset { onset });
            }
            let number = next(chart.problems.last().map(|last| last.number), chart.problems.len(), "the number of problems")?;
            let text = said(text, "text", "the problem in words", TEXT_MAX)?;
            vec![Event::ProblemRecorded { number, code: code.clone(), text, onset: *onset, encounter: encounter.clone(), by, at }]
        }
        Command::ResolveProblem { number } => match &problem(chart, *number)?.standing {
            Standing::Active => vec![Event::ProblemResolved { number: *number, at }],
            Standing::Resolved { .. } => vec![],
            Standing::Refuted { reason, .. } => return Err(Rejection::ProblemRefuted { number: *number, reason: reason.clone() }),
        },
        Command::ReopenProblem { number } => match &problem(chart, *number)?.standing {
            Standing::Resolved { .. } => vec![Event::ProblemReopened { number: *number, at }],
            Standing::Active => vec![],
            Standing::Refuted { reason, .. } => return Err(Rejection::ProblemRefuted { number: *number, reason: reason.clone() }),
        },
        Command::RefuteProblem { number, reason } => match &problem(chart, *number)?.standing {
            Standing::Refuted { .. } => vec![],
            Standing::Active | Standing::Resolved { .. } => {
                vec![Event::ProblemRefuted { number: *number, reason: said(reason, "reason", "why the patient never had it", TEXT_MAX)?, at }]
            }
        },
        Command::WriteNote { encounter, kind, text, filling } => {
            let number = next(chart.notes.last().map(|last| last.number), chart.notes.len(), "the number of notes")?;
            let Written { text, form, kind } = written(facts, *kind, text, filling.as_ref())?;
            vec![Event::NoteWritten { number, encounter: encounter.clone(), kind, text, form, by, at }]
        }
        Command::AmendNote { number, version, text, filling, reason } => {
            let note = own_note(chart, *number, context)?;
            if *version != note.versions.len() {
                return Err(Rejection::NoteChanged { number: *number, newest: note.versions.len(), seen: *version });
            }
            if note.versions.len() >= VERSIONS_MAX {
                return Err(Rejection::TooMuch { what: "the number of versions", most: VERSIONS_MAX, way_out: "write a new note" });
            }
            is_of_its_form(note, filling.as_ref())?;
            let Written { text, form, .. } = written(facts, note.kind, text, filling.as_ref())?;
            vec![Event::NoteAmended { number: *number, text, form, reason: said(reason, "reason", "why it is changed", TEXT_MAX)?, at }]
        }
        Command::SignNote { number, version, meaning } => sign(chart, context, (*number, *version, *meaning))?,
        Command::WithdrawNote { number, reason } => {
            own_note(chart, *number, context)?;
            vec![Event::NoteWithdrawn { number: *number, reason: said(reason, "reason", "why it does not count any more", TEXT_MAX)?, at }]
        }
        Command::RecordImmunisation(vaccine) => record::immunise(chart, facts.born, context, vaccine)?,
        Command::WithdrawImmunisation { number, reason } => record::withdraw_immunisation(chart, context, *number, reason)?,
        Command::RecordFamilyIllness(illness) => record::family_illness(chart, context, illness)?,
        Command::WithdrawFamilyIllness { number, reason } => record::withdraw_family_illness(chart, context, *number, reason)?,
        Command::Refer { question, encounter } => record::refer(chart, context, question, encounter.as_ref())?,
        Command::AnswerReferral { number, answer } => record::answer(chart, context, *number, answer)?,
        Command::DeclineReferral { number, reason } => record::decline(chart, context, *number, reason)?,
        Command::CancelReferral { number, reason } => record::cancel(chart, context, *number, reason)?,
        Command::BeginProgramme { name, from } => record::begin_programme(chart, context, name, *from)?,
        Command::FinishProgramme { number, until } => record::finish_programme(chart, context, *number, *until)?,
        Command::RefuteProgramme { number, reason } => record::refute_programme(chart, context, *number, reason)?,
        Command::TellLook(look) => {
            told::look(context, look)?;
            vec![Event::LookTold { look: look.clone(), at }]
        }
        Command::TellOrigin(origin) => {
            told::origin(context, origin)?;
            vec![Event::OriginTold { origin: origin.clone(), at }]
        }
        Command::FilePaper(paper) => record::file(chart, context, paper)?,
        Command::WithdrawPaper { number, reason } => record::withdraw_paper(chart, context, *number, reason)?,
    })
}

/// What a note says.
struct Written {
    text: String,
    form: Option<Box<Filled>>,
    kind: NoteKind,
}

fn written(facts: Facts<'_>, kind: NoteKind, text: &str, filling: Option<&Filling>) -> Result<Written, Rejection> {
    let (text, form, kind) = match filling {
        None => (text.to_owned(), None, kind),
        Some(filling) => {
            let (filled, text, kind) = facts.forms.fill(filling, text, facts.is_dead)?;
            (text, Some(Box::new(filled)), kind)
        }
    };
    Ok(Written { text: said(&text, "text", "what there is to know", NOTE_MAX)?, form, kind })
}

/// A note stays of the form that it was written on: else what it says changes its meaning.
fn is_of_its_form(note: &Note, filling: Option<&Filling>) -> Result<(), Rejection> {
    let form = note.versions.last().and_then(|version| version.form.as_ref()).map(|filled| filled.form.as_str());
    match (form, filling.map(|filling| filling.form.as_str())) {
        (None, None) => Ok(()),
        (Some(form), Some(asked)) if form == asked => Ok(()),
        (Some(form), _) => Err(Rejection::OtherForm { number: note.number, is: format!("the form {form}"), with: "all answers of that form" }),
        (None, Some(_)) => Err(Rejection::OtherForm { number: note.number, is: "no form".to_owned(), with: "a text" }),
    }
}

/// Whoever signs has said who they are twice: by the session that they act in, and by what only they know, just now (21 CFR 11.200).
fn sign(chart: &Chart, context: &Context, (number, version, meaning): (u32, usize, Meaning)) -> Result<Vec<Event>, Rejection> {
    let note = chart.note(number).ok_or(Rejection::UnknownNote { number })?;
    let Principal::Person(name) = &context.principal else { return Err(Rejection::NotProven) };
    if !context.witness.as_deref().is_some_and(|proven| proven.trim().eq_ignore_ascii_case(name.trim())) {
        return Err(Rejection::NotProven);
    }
    if note.withdrawn.is_some() {
        return Err(Rejection::NoteWithdrawn { number });
    }
    if version != note.versions.len() {
        return Err(Rejection::NoteChanged { number, newest: note.versions.len(), seen: version });
    }
    let by = context.principal.to_string();
    if meaning == Meaning::Author && note.by != by {
        return Err(Rejection::NotTheAuthor { number, by: note.by.clone() });
    }
    let is_signed = note.signatures.iter().any(|known| known.holds && known.version == version && known.meaning == meaning && known.by == by);
    let digest = Signature::digest(note, version).filter(|_| !is_signed);
    Ok(digest.map(|digest| Event::NoteSigned { number, signature: Signature { version, meaning, by, digest, at: context.now, holds: false } }).into_iter().collect())
}
