//! A regular expression of a profile, compiled once when the profile is read.

use regex::Regex;
use serde::{Deserialize, Deserializer, de};

/// Bytes that a compiled pattern may take: an expression of a profile is short.
const COMPILED_BYTES: usize = 1 << 20;

/// What a text must match.
#[derive(Debug, Clone)]
pub struct Pattern(Regex);

impl Pattern {
    /// A pattern from its text.
    pub fn parse(text: &str) -> Result<Self, String> {
        let compiled = regex::RegexBuilder::new(text).size_limit(COMPILED_BYTES).build();
        compiled.map(Self).map_err(|error| format!("{text:?} is no regular expression: {error}"))
    }

    /// Whether a text matches.
    pub fn matches(&self, text: &str) -> bool {
        self.0.is_match(text)
    }

    /// As it was written.
    pub fn as_str(&self) -> &str {
        self.0.as_str()
    }
}

impl PartialEq for Pattern {
    fn eq(&self, other: &Self) -> bool {
        self.as_str() == other.as_str()
    }
}

impl Eq for Pattern {}

impl<'de> Deserialize<'de> for Pattern {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Self::parse(&String::deserialize(deserializer)?).map_err(de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pattern_that_cannot_be_compiled_or_is_huge_is_refused_by_its_text() {
        assert!(Pattern::parse("^cobas").unwrap().matches("cobas-e411"));
        assert!(Pattern::parse("(").unwrap_err().contains("\"(\" is no regular expression"));
        assert!(Pattern::parse("(a{1000}){1000}").is_err());
    }
}
