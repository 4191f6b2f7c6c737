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
    /// The company that the organization stands for has this name but for case and blanks.
    CompanySameName,
    /// So it has after legal forms and punctuation are left out.
    CompanySameCore,
    /// Its words overlap or the spelling is close.
    CompanySimilar,
}

impl Reason {
    /// For people.
    pub const fn text(self) -> &'static str {
        match self {
            Reason::SameName => "same name",
            Reason::SameCore => "same name but for legal form and punctuation",
            Reason::Similar => "similar name",
            Reason::CompanySameName => "its company has the same name",
            Reason::CompanySameCore => "its company has the same name but for legal form and punctuation",
            Reason::CompanySimilar => "its company has a similar name",
        }
    }

    /// The same of the company's name instead of the organization's own.
    const fn of_company(self) -> Reason {
        match self {
            Reason::SameName | Reason::CompanySameName => Reason::CompanySameName,
            Reason::SameCore | Reason::CompanySameCore => Reason::CompanySameCore,
            Reason::Similar | Reason::CompanySimilar => Reason::CompanySimilar,
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

/// The best suggestions for an organization of this name, at most three, best first. The name of the company that it
/// stands for is compared as well; its own counts where both are as good.
pub fn suggest(
    organization: &str,
    company: Option<&str>,
    clients: &[(ClientId, String, ComparableName)],
) -> Vec<Suggestion> {
    let own = ComparableName::new(organization);
    let company = company.map(ComparableName::new);
    let mut found: Vec<Suggestion> = clients
        .iter()
        .filter_map(|(client_id, client_name, comparable)| {
            let by_company = company.as_ref().and_then(|company| compare(company, comparable));
            let by_company = by_company.map(|(score, reason)| (score, reason.of_company()));
            let by_name = compare(&own, comparable);
            // The last of several equal ones is the greatest.
            let (score, reason) =
                [by_company, by_name].into_iter().flatten().max_by_key(|(score, _)| *score)?;
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
    fn the_name_of_the_company_counts_as_well_and_the_own_one_first() {
        let client = |n: u128, name: &str| {
            let id = crate::id::TypedId::from_uuid(uuid::Uuid::from_u128(n));
            (id, name.to_owned(), ComparableName::new(name))
        };
        let clients = [client(1, "Contoso Dental"), client(2, "Fabrikam Ltd.")];
        let found = |organization: &str, company: Option<&str>| {
            let found = suggest(organization, company, &clients);
            found.into_iter().map(|s| (s.client_name, s.score, s.reason)).collect::<Vec<_>>()
        };
        let dental = "Contoso Dental".to_owned();
        assert_eq!(found("CD - main office", None), []);
        let by_company = [(dental.clone(), 100, Reason::CompanySameName)];
        assert_eq!(found("CD - main office", Some("contoso dental")), by_company);
        let core = ("Fabrikam Ltd.".to_owned(), 95, Reason::CompanySameCore);
        assert_eq!(found("CD - main office", Some("Fabrikam")), std::slice::from_ref(&core));
        assert_eq!(
            found("Contoso Dental", Some("Contoso Dental")),
            [(dental.clone(), 100, Reason::SameName)]
        );
        assert_eq!(found("Contoso Dental", Some("Fabrikam")), [(dental, 100, Reason::SameName), core]);
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
