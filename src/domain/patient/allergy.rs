//! Allergies. That nobody has asked, that there is none, and which there are: three states, never one taken for another.

use serde::{Deserialize, Serialize};

use crate::kernel::Timestamp;

/// Against what kind of thing (FHIR AllergyIntolerance.category).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Category {
    /// A drug.
    Medication,
    /// Something eaten.
    Food,
    /// Pollen, latex, animals …
    Environment,
    /// Blood products, vaccines …
    Biologic,
}

/// How bad the next contact may be (FHIR AllergyIntolerance.criticality).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Criticality {
    /// Unpleasant.
    Low,
    /// May kill.
    High,
    /// Not known, and so to be feared.
    #[default]
    Unknown,
}

/// An allergy or intolerance.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Allergy {
    /// The ingredient, not the brand: what the checks of prescriptions compare.
    pub substance: String,
    /// Against what kind of thing.
    pub category: Category,
    /// How bad it may be.
    #[serde(default)]
    pub criticality: Criticality,
    /// What happened, such as `anaphylaxis`.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub reaction: String,
}

impl Allergy {
    /// Whether it is against this substance.
    pub fn is_against(&self, substance: &str) -> bool {
        is_same(&self.substance, substance)
    }

    /// What is known when another system says this as well: nothing is made less than it was.
    #[must_use]
    pub fn and(&self, other: &Allergy) -> Allergy {
        let criticality = match (self.criticality, other.criticality) {
            (Criticality::High, _) | (_, Criticality::High) => Criticality::High,
            (Criticality::Unknown, _) | (_, Criticality::Unknown) => Criticality::Unknown,
            (Criticality::Low, Criticality::Low) => Criticality::Low,
        };
        let reaction = if self.reaction.is_empty() { other.reaction.clone() } else { self.reaction.clone() };
        Allergy { criticality, reaction, ..self.clone() }
    }
}

/// What is known of a patient's allergies.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Allergies {
    /// Nobody has asked, or all that was known was refuted.
    #[default]
    NotAsked,
    /// Somebody asked, and there is none.
    NoneKnown {
        /// When.
        at: Timestamp,
    },
    /// These.
    Known(Vec<Known>),
}

/// An allergy and since when it is known.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Known {
    /// Which.
    #[serde(flatten)]
    pub allergy: Allergy,
    /// Since when it is known in this form.
    pub at: Timestamp,
}

/// Whether two texts mean the same substance: case and blanks around it do not count.
fn is_same(one: &str, other: &str) -> bool {
    one.trim().to_lowercase() == other.trim().to_lowercase()
}

impl Allergies {
    /// Those that are known.
    pub fn known(&self) -> &[Known] {
        match self {
            Allergies::Known(known) => known,
            Allergies::NotAsked | Allergies::NoneKnown { .. } => &[],
        }
    }

    /// The one against a substance.
    pub fn against(&self, substance: &str) -> Option<&Allergy> {
        self.known().iter().map(|known| &known.allergy).find(|allergy| is_same(&allergy.substance, substance))
    }

    /// What is known under two numbers of one person: that one of them knows of none does not contradict what the other knows.
    #[must_use]
    pub fn with(self, other: Self) -> Self {
        match (self, other) {
            (Allergies::Known(mut known), Allergies::Known(others)) => {
                for other in others {
                    match known.iter_mut().find(|known| is_same(&known.allergy.substance, &other.allergy.substance)) {
                        Some(one) => one.allergy = one.allergy.and(&other.allergy),
                        None => known.push(other),
                    }
                }
                Allergies::Known(known)
            }
            (known @ Allergies::Known(_), _) | (_, known @ Allergies::Known(_)) => known,
            (none @ Allergies::NoneKnown { .. }, _) | (_, none @ Allergies::NoneKnown { .. }) => none,
            (Allergies::NotAsked, Allergies::NotAsked) => Allergies::NotAsked,
        }
    }

    pub(super) fn record(&mut self, allergy: &Allergy, at: Timestamp) {
        let new = Known { allergy: allergy.clone(), at };
        match self {
            Allergies::Known(known) => {
                known.retain(|old| !is_same(&old.allergy.substance, &allergy.substance));
                known.push(new);
            }
            Allergies::NotAsked | Allergies::NoneKnown { .. } => *self = Allergies::Known(vec![new]),
        }
    }

    pub(super) fn refute(&mut self, substance: &str) {
        if let Allergies::Known(known) = self {
            known.retain(|old| !is_same(&old.allergy.substance, substance));
            if known.is_empty() {
                *self = Allergies::NotAsked;
            }
        }
    }
}
