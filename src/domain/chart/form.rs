//! Forms of the house: questionnaires, checklists, scores and templates of notes, as data. A filled form is a note whose text says every
//! answer, so that it is amended, signed, withdrawn and printed as any other.

use std::collections::BTreeMap;
use std::collections::BTreeSet;

use rust_decimal::Decimal;
use serde::{Deserialize, Serialize};

use super::{Chart, NoteKind};
use crate::domain::encounter::Class;
use crate::kernel::{Date, EncounterId, Icd10, Timestamp};

/// Longest answer in words, in characters.
const ANSWER_MAX: usize = 4_096;
/// Most forms of a house, fields of a form and choices of a field.
const FORMS_MAX: usize = 200;
const FIELDS_MAX: usize = 100;
const CHOICES_MAX: usize = 50;

/// One of several answers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Choice {
    /// What is sent and kept.
    pub value: String,
    /// What people read.
    pub label: String,
    /// What it adds to the score.
    #[serde(default)]
    pub points: i32,
}

/// What numbers can be an answer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Range {
    /// The lowest.
    pub low: Decimal,
    /// The highest.
    pub high: Decimal,
    /// In which unit, as people write it.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub unit: String,
}

/// What kind of answer a field takes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Answer {
    /// Words.
    Text,
    /// A day, `YYYY-MM-DD`.
    Date,
    /// An instant, RFC 3339 in UTC.
    Instant,
    /// `yes` or `no`.
    YesNo,
    /// A diagnosis.
    Icd10,
    /// A number.
    Number(Range),
    /// One of these.
    Choice(Vec<Choice>),
}

/// A question.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Field {
    /// Its name in what is sent.
    pub id: String,
    /// The question, as people read it.
    pub label: String,
    /// What kind of answer it takes.
    pub answer: Answer,
    /// Whether the form is not filled without it.
    #[serde(default)]
    pub required: bool,
    /// What `yes` adds to the score.
    #[serde(default)]
    pub points: i32,
}

/// What a score means, from this many points on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Band {
    /// The lowest score of the band.
    pub from: i32,
    /// What it means.
    pub meaning: String,
}

/// A form.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Form {
    /// Its name in what is sent.
    pub id: String,
    /// What people call it.
    pub name: String,
    /// What kind of note it is.
    #[serde(default)]
    pub note: NoteKind,
    /// Within so many hours of the admission it must be filled, for stays of `classes`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub within_hours: Option<u32>,
    /// For which kinds of stays it must be filled in time.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub classes: Vec<Class>,
    /// Whether it is of the dead alone.
    #[serde(default)]
    pub after_death: bool,
    /// The questions.
    pub fields: Vec<Field>,
    /// What scores mean, the lowest first; without any there is no score.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub bands: Vec<Band>,
}

/// The forms of the house.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Forms {
    /// All of them.
    #[serde(default)]
    pub forms: Vec<Form>,
}

/// What somebody has written into a form.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Filling {
    /// The form.
    pub form: String,
    /// Answers by the names of their fields.
    pub answers: BTreeMap<String, String>,
}

/// A form that was filled.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Filled {
    /// The form.
    pub form: String,
    /// Answers by the names of their fields.
    pub answers: BTreeMap<String, String>,
    /// The score, where the form has one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub score: Option<i32>,
    /// What it means.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub meaning: Option<String>,
}

/// A form that a stay must have.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct FormDue {
    /// The form.
    pub form: String,
    /// What people call it.
    pub name: String,
    /// Until when.
    pub due: Timestamp,
}

/// Why a form is not filled.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error, Serialize)]
#[serde(tag = "rejection", rename_all = "snake_case")]
pub enum Unfit {
    /// There is no such form.
    #[error("the house has no form {form}: GET /api/v1/forms lists those that it has")]
    UnknownForm {
        /// Which.
        form: String,
    },
    /// It is of the dead alone.
    #[error("{form} is filled when somebody has died: record the death first")]
    NotDead {
        /// Which.
        form: String,
    },
    /// There is no such question.
    #[error("{form} has no field {field}: it has {known}")]
    UnknownField {
        /// Which form.
        form: String,
        /// Which field.
        field: String,
        /// The fields that it has.
        known: String,
    },
    /// A question must be answered.
    #[error("{form} is not complete: {label} ({field}) needs an answer")]
    Unanswered {
        /// Which form.
        form: String,
        /// Which field.
        field: String,
        /// The question.
        label: String,
    },
    /// An answer is not one.
    #[error("{label} ({field}): {answer:?} is no answer, {way_out}")]
    NoAnswer {
        /// Which field.
        field: String,
        /// The question.
        label: String,
        /// What was said.
        answer: String,
        /// What can be.
        way_out: String,
    },
}

impl Answer {
    /// An answer as it is kept and as people read it, with the points that a choice gives.
    fn read(&self, said: &str, yes: i32) -> Result<(String, String, i32), String> {
        let plain = |text: String| (text.clone(), text, 0);
        match self {
            Answer::Text if said.chars().count() > ANSWER_MAX => Err(format!("{ANSWER_MAX} characters are kept: shorten it")),
            Answer::Text => Ok(plain(said.to_owned())),
            Answer::Date => said.parse::<Date>().map(|date| plain(date.to_string())).map_err(|_| "a day is YYYY-MM-DD".to_owned()),
            Answer::Instant => said.parse::<Timestamp>().map(|at| plain(at.to_string())).map_err(|_| "an instant is RFC 3339 in UTC, 2026-11-21T14:00:00Z".to_owned()),
            Answer::Icd10 => said.parse::<Icd10>().map(|code| plain(code.to_string())).map_err(|error| error.to_string()),
            Answer::YesNo => match said {
                "yes" | "true" => Ok(("yes".to_owned(), "yes".to_owned(), yes)),
                "no" | "false" => Ok(("no".to_owned(), "no".to_owned(), 0)),
                _ => Err("it is yes or no".to_owned()),
            },
            Answer::Number(Range { low, high, unit }) => match said.parse::<Decimal>() {
                Ok(number) if (*low..=*high).contains(&number) => Ok((number.to_string(), format!("{number} {unit}").trim_end().to_owned(), 0)),
                Ok(_) | Err(_) => Err(format!("it is a number from {low} to {high} {unit}").trim_end().to_owned()),
            },
            Answer::Choice(choices) => match choices.iter().find(|choice| choice.value == said) {
                Some(choice) => Ok((choice.value.clone(), choice.label.clone(), choice.points)),
                None => Err(format!("it is one of {}", choices.iter().map(|choice| format!("{} ({})", choice.value, choice.label)).collect::<Vec<_>>().join(", "))),
            },
        }
    }

    fn is_scored(&self, yes: i32) -> bool {
        match self {
            Answer::Choice(choices) => choices.iter().any(|choice| choice.points != 0),
            Answer::YesNo => yes != 0,
            Answer::Text | Answer::Date | Answer::Instant | Answer::Icd10 | Answer::Number(_) => false,
        }
    }
}

impl Form {
    /// The form with these answers, and its text: every question that was answered, what the score is and means.
    fn fill(&self, answers: &BTreeMap<String, String>) -> Result<(Filled, String), Unfit> {
        if let Some(field) = answers.keys().find(|id| !self.fields.iter().any(|field| field.id == **id)) {
            let known = self.fields.iter().map(|field| field.id.as_str()).collect::<Vec<_>>().join(", ");
            return Err(Unfit::UnknownField { form: self.id.clone(), field: field.clone(), known });
        }
        let (mut kept, mut lines, mut score, mut is_whole) = (BTreeMap::new(), vec![self.name.clone()], 0_i32, true);
        for field in &self.fields {
            let said = answers.get(&field.id).map(|said| said.trim()).filter(|said| !said.is_empty());
            let Some(said) = said else {
                if field.required {
                    return Err(Unfit::Unanswered { form: self.id.clone(), field: field.id.clone(), label: field.label.clone() });
                }
                // A score of what was asked in part would look better than the patient is.
                is_whole &= !field.answer.is_scored(field.points);
                continue;
            };
            let no_answer = |way_out| Unfit::NoAnswer { field: field.id.clone(), label: field.label.clone(), answer: said.to_owned(), way_out };
            let (value, words, points) = field.answer.read(said, field.points).map_err(no_answer)?;
            let counted = if field.answer.is_scored(field.points) && !self.bands.is_empty() { format!(" ({points})") } else { String::new() };
            lines.push(format!("{}: {words}{counted}", field.label));
            kept.insert(field.id.clone(), value);
            score = score.saturating_add(points);
        }
        let score = Some(score).filter(|_| is_whole && !self.bands.is_empty());
        let meaning = score.and_then(|score| self.bands.iter().rev().find(|band| band.from <= score)).map(|band| band.meaning.clone());
        lines.extend(score.map(|score| format!("Score {score}: {}", meaning.as_deref().unwrap_or("below every band"))));
        Ok((Filled { form: self.id.clone(), answers: kept, score, meaning }, lines.join("\n")))
    }

    fn check(&self) -> Result<(), String> {
        let mut seen = BTreeSet::new();
        if self.fields.is_empty() || self.fields.len() > FIELDS_MAX {
            return Err(format!("a form has 1 to {FIELDS_MAX} fields"));
        }
        for field in &self.fields {
            if field.id.trim().is_empty() || field.label.trim().is_empty() || !seen.insert(&field.id) {
                return Err(format!("field {:?} needs an id of its own and a label", field.id));
            }
            match &field.answer {
                Answer::Number(range) if range.low >= range.high => return Err(format!("{}: a number goes from low to high", field.id)),
                Answer::Choice(choices) => {
                    let values: BTreeSet<&str> = choices.iter().map(|choice| choice.value.as_str()).collect();
                    if values.len() != choices.len() || !(2..=CHOICES_MAX).contains(&choices.len()) {
                        return Err(format!("{}: 2 to {CHOICES_MAX} choices, each with a value of its own", field.id));
                    }
                }
                Answer::Text | Answer::Date | Answer::Instant | Answer::YesNo | Answer::Icd10 | Answer::Number(_) => {}
            }
        }
        if self.bands.windows(2).any(|pair| pair[0].from >= pair[1].from) {
            return Err("bands stand in the order of their scores, each once".to_owned());
        }
        if self.within_hours.is_some() == self.classes.is_empty() {
            return Err("within_hours and classes stand together: until when, and for which stays".to_owned());
        }
        Ok(())
    }
}

impl Forms {
    /// A form by its name.
    pub fn form(&self, id: &str) -> Option<&Form> {
        self.forms.iter().find(|form| form.id == id)
    }

    /// What is wrong with the file.
    pub fn check(&self) -> Result<(), String> {
        let mut seen = BTreeSet::new();
        if self.forms.len() > FORMS_MAX {
            return Err(format!("a house has {FORMS_MAX} forms at most"));
        }
        for form in &self.forms {
            if form.id.trim().is_empty() || form.name.trim().is_empty() || !seen.insert(&form.id) {
                return Err(format!("form {:?} needs an id of its own and a name", form.id));
            }
            form.check().map_err(|why| format!("form {}: {why}", form.id))?;
        }
        Ok(())
    }

    /// What a filling says: the form with its answers, and its text with whatever else the author has to say.
    pub(super) fn fill(&self, filling: &Filling, remarks: &str, is_dead: bool) -> Result<(Filled, String, NoteKind), Unfit> {
        let form = self.form(&filling.form).ok_or_else(|| Unfit::UnknownForm { form: filling.form.clone() })?;
        if form.after_death && !is_dead {
            return Err(Unfit::NotDead { form: form.id.clone() });
        }
        let (filled, text) = form.fill(&filling.answers)?;
        let remarks = remarks.trim();
        let text = if remarks.is_empty() { text } else { format!("{text}\n\n{remarks}") };
        Ok((filled, text, form.note))
    }

    /// Which forms a stay must have and has not, the most pressing first.
    pub fn due<'a>(&self, charts: impl Iterator<Item = &'a Chart> + Clone, encounter: &EncounterId, (class, admitted): (Class, Timestamp)) -> Vec<FormDue> {
        let is_filled = |form: &Form| {
            let mut notes = charts.clone().flat_map(|chart| &chart.notes).filter(|note| note.encounter == *encounter && note.withdrawn.is_none());
            notes.any(|note| note.versions.last().and_then(|version| version.form.as_ref()).is_some_and(|filled| filled.form == form.id))
        };
        let wanted = self.forms.iter().filter(|form| form.classes.contains(&class) && !is_filled(form));
        let mut due: Vec<FormDue> =
            wanted.filter_map(|form| Some(FormDue { form: form.id.clone(), name: form.name.clone(), due: admitted.plus_seconds(i64::from(form.within_hours?) * 3_600) })).collect();
        due.sort_by_key(|form| form.due);
        due
    }
}
