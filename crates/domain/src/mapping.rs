//! Which client an organization probably belongs to: suggestions with a score and the reason in words.

use std::collections::BTreeSet;

use serde::Serialize;

use crate::{client::name_key, id::ClientId};

/// Why a client is suggested.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Reason {
    /// The names are equal but for case and blanks.
    SameName,
    /// Equal after legal forms and punctuation are left out.
    SameCore,
    /// The words overlap or the spelling is close.
    Similar,
}

impl Reason {
    /// For people.
    pub const fn text(self) -> &'static str {
        match self {
            Reason::SameName => "same name",
            Reason::SameCore => "same name but for legal form and punctuation",
            Reason::Similar => "similar name",
        }
    }
}

/// A client an organization may belong to. Serialized for REST.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Suggestion {
    /// The client.
    pub client_id: ClientId,
    /// Its name.
    pub client_name: String,
    /// 0 to 100.
    pub score: u8,
    /// Why.
    pub reason: Reason,
}

/// Score from which a suggestion is made at all.
pub const MIN_SCORE: u8 = 70;

/// Words that say nothing about who a company is.
const LEGAL_FORMS: &[&str] = &[
    "ab",
    "ag",
    "as",
    "bv",
    "co",
    "company",
    "corp",
    "corporation",
    "gmbh",
    "inc",
    "incorporated",
    "kg",
    "limited",
    "llc",
    "llp",
    "ltd",
    "nv",
    "oy",
    "plc",
    "pty",
    "sa",
    "sarl",
    "spa",
    "srl",
    "the",
];

/// The words of a name without punctuation, legal forms and case.
fn core_words(name: &str) -> Vec<String> {
    let plain = name_key(name).replace('&', " and ");
    plain
        .split(|c: char| !c.is_alphanumeric())
        .filter(|word| !word.is_empty() && !LEGAL_FORMS.contains(word))
        .map(str::to_owned)
        .collect()
}

/// Pairs of neighbouring letters: a measure of spelling that forgives a typing error.
fn bigrams(words: &[String]) -> BTreeSet<(char, char)> {
    let joined: Vec<char> = words.concat().chars().collect();
    joined.windows(2).filter_map(|pair| Some((*pair.first()?, *pair.get(1)?))).collect()
}

/// A name prepared for comparison; prepare each side once.
#[derive(Debug)]
pub struct ComparableName {
    key: String,
    words: Vec<String>,
    bigrams: BTreeSet<(char, char)>,
}

impl ComparableName {
    /// Prepares `name`.
    pub fn new(name: &str) -> Self {
        let words = core_words(name);
        let bigrams = bigrams(&words);
        ComparableName { key: name_key(name), words, bigrams }
    }
}

/// How alike two names are, with the reason; none below [`MIN_SCORE`].
pub fn compare(left: &ComparableName, right: &ComparableName) -> Option<(u8, Reason)> {
    if left.key == right.key {
        return Some((100, Reason::SameName));
    }
    if !left.words.is_empty() && left.words == right.words {
        return Some((95, Reason::SameCore));
    }
    let total = left.bigrams.len() + right.bigrams.len();
    if total == 0 {
        return None;
    }
    let shared = left.bigrams.intersection(&right.bigrams).count();
    let score = u8::try_from(shared * 2 * 94 / total).unwrap_or(94);
    (score >= MIN_SCORE).then_some((score, Reason::Similar))
}

/// The best suggestions for `organization`, at most three, best first.
pub fn suggest(organization: &str, clients: &[(ClientId, String, ComparableName)]) -> Vec<Suggestion> {
    let wanted = ComparableName::new(organization);
    let mut found: Vec<Suggestion> = clients
        .iter()
        .filter_map(|(client_id, client_name, comparable)| {
            let (score, reason) = compare(&wanted, comparable)?;
            Some(Suggestion { client_id: *client_id, client_name: client_name.clone(), score, reason })
        })
        .collect();
    found.sort_by(|a, b| b.score.cmp(&a.score).then_with(|| a.client_name.cmp(&b.client_name)));
    found.truncate(3);
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(left: &str, right: &str, expected: Option<(u8, Reason)>) {
        assert_eq!(compare(&ComparableName::new(left), &ComparableName::new(right)), expected);
    }

    #[test]
    fn same_name_whatever_the_case() {
        check("Contoso  Dental", "contoso dental", Some((100, Reason::SameName)));
    }

    #[test]
    fn legal_forms_and_signs_do_not_matter() {
        check("Fabrikam & Sons", "Fabrikam and Sons Ltd.", Some((95, Reason::SameCore)));
        check("Müller GmbH", "MÜLLER", Some((95, Reason::SameCore)));
    }

    #[test]
    fn a_typing_error_is_similar_and_strangers_are_not() {
        let score =
            compare(&ComparableName::new("Northwind Traders"), &ComparableName::new("Nortwind Traders"));
        assert!(matches!(score, Some((80.., Reason::Similar))), "{score:?}");
        check("Northwind Traders", "Contoso Dental", None);
        check("", "", Some((100, Reason::SameName)));
    }
}
