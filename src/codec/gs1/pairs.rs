//! Which identifiers need and which exclude each other, over all elements that mark one item.

use super::parse::Element;
use super::table;

/// A rule between elements that does not hold.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Pairing {
    /// Two elements that must not mark one item.
    #[error("AI {0} must not stand with AI {1}")]
    Excluded(String, String),
    /// One identifier with two values.
    #[error("AI {0} stands twice with different values")]
    Repeated(String),
    /// An element without the one that gives it its meaning; it may be on another label of the same item.
    #[error("AI {0} needs one of {1} beside it")]
    Missing(String, String),
}

/// Whether an identifier matches a pattern such as `31nn`.
fn matches(pattern: &str, ai: &str) -> bool {
    pattern.len() == ai.len() && pattern.bytes().zip(ai.bytes()).all(|(pattern, digit)| pattern == b'n' || pattern == digit)
}

/// All rules between the elements that do not hold.
pub(super) fn check(elements: &[Element<'_>]) -> Vec<Pairing> {
    let mut faults = Vec::new();
    let present = |pattern: &str, except: &str| elements.iter().find(|element| element.ai != except && matches(pattern, element.ai));
    for (index, element) in elements.iter().enumerate() {
        if elements[..index].iter().any(|other| other.ai == element.ai && other.value != element.value) {
            faults.push(Pairing::Repeated(element.ai.to_owned()));
        }
        // A digital signature (8030) signs one thing, so the key beside it must carry its serial part.
        let serial_begins = match element.ai {
            "253" | "255" => Some(13),
            "8003" => Some(14),
            _ => None,
        };
        if let Some(begins) = serial_begins
            && element.value.len() <= begins
            && present("8030", "").is_some()
        {
            faults.push(Pairing::Missing("8030".to_owned(), format!("the serial part of {}", element.ai)));
        }
        let Some(entry) = table::find(element.ai) else { continue };
        let conditions = |rules: &'static str| rules.split("; ").filter(|rule| !rule.is_empty());
        for other in conditions(entry.excludes).flat_map(|rule| rule.split(',')).filter_map(|pattern| present(pattern, element.ai)) {
            faults.push(Pairing::Excluded(element.ai.to_owned(), other.ai.to_owned()));
        }
        for rule in conditions(entry.requires) {
            let is_met = rule.split(',').any(|group| group.split('+').all(|pattern| present(pattern, element.ai).is_some()));
            if !is_met {
                faults.push(Pairing::Missing(element.ai.to_owned(), rule.to_owned()));
            }
        }
    }
    faults
}
