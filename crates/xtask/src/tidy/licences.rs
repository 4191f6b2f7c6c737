//! Licences of everything we link or build with: permissive ones only.

use anyhow::{Result, bail};

use super::Finding;
use super::metadata::Metadata;

/// SPDX identifiers that ask for no more than a notice.
const PERMISSIVE: [&str; 12] = [
    "0BSD",
    "Apache-2.0",
    "BSD-2-Clause",
    "BSD-3-Clause",
    "BSL-1.0",
    "CC0-1.0",
    "ISC",
    "MIT",
    "MIT-0",
    "Unicode-3.0",
    "Unlicense",
    "Zlib",
];

/// Data sets (the root certificates), not code.
const FOR_DATA: [&str; 1] = ["CDLA-Permissive-2.0"];

/// Allowed with a note: changes to these files must be published, linking is free.
const WITH_NOTE: [&str; 1] = ["MPL-2.0"];

/// Exceptions that only loosen a licence.
const EXCEPTIONS: [&str; 1] = ["LLVM-exception"];

/// From worst to best, so that AND is the minimum and OR the maximum.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Verdict {
    Refused,
    AllowedWithNote,
    Allowed,
}

pub(super) fn check(metadata: &Metadata) -> Vec<Finding> {
    let mut findings = Vec::new();
    for package in metadata.third_parties() {
        let name = format!("{} {}", package.name, package.version);
        let Some(licence) = &package.license else {
            findings.push(finding(&name, "states no SPDX licence".to_owned()));
            continue;
        };
        match judge(licence) {
            Ok(Verdict::Allowed) => {}
            Ok(Verdict::AllowedWithNote) => {
                println!("note: `{name}` is under {licence}: do not change its files")
            }
            Ok(Verdict::Refused) => findings.push(finding(&name, format!("is under `{licence}`"))),
            Err(error) => findings.push(finding(&name, format!("has the licence `{licence}`: {error}"))),
        }
    }
    findings
}

fn finding(name: &str, problem: String) -> Finding {
    Finding::new(
        "Cargo.lock",
        format!("`{name}` {problem}"),
        "replace it, or add the licence to the list with a reason",
    )
}

/// Judges an SPDX expression; the old form `MIT/Apache-2.0` means OR.
fn judge(expression: &str) -> Result<Verdict> {
    let spaced = expression.replace('(', " ( ").replace(')', " ) ").replace('/', " OR ");
    let mut words: Vec<&str> = spaced.split_whitespace().rev().collect();
    let verdict = alternatives(&mut words)?;
    match words.last() {
        None => Ok(verdict),
        Some(word) => bail!("unexpected `{word}`"),
    }
}

/// The words are a stack: the next one is the last.
fn alternatives(words: &mut Vec<&str>) -> Result<Verdict> {
    let mut verdict = conjunction(words)?;
    while words.pop_if(|word| *word == "OR").is_some() {
        verdict = verdict.max(conjunction(words)?);
    }
    Ok(verdict)
}

fn conjunction(words: &mut Vec<&str>) -> Result<Verdict> {
    let mut verdict = licence(words)?;
    while words.pop_if(|word| *word == "AND").is_some() {
        verdict = verdict.min(licence(words)?);
    }
    Ok(verdict)
}

fn licence(words: &mut Vec<&str>) -> Result<Verdict> {
    let Some(word) = words.pop() else { bail!("ends too early") };
    if word == "(" {
        let verdict = alternatives(words)?;
        if words.pop() != Some(")") {
            bail!("a `)` is missing");
        }
        return Ok(verdict);
    }
    if words.pop_if(|word| *word == "WITH").is_none() {
        return Ok(verdict_of(word));
    }
    match words.pop() {
        Some(exception) if EXCEPTIONS.contains(&exception) => Ok(verdict_of(word)),
        Some(_) => Ok(Verdict::Refused),
        None => bail!("ends after WITH"),
    }
}

fn verdict_of(licence: &str) -> Verdict {
    if PERMISSIVE.contains(&licence) || FOR_DATA.contains(&licence) {
        Verdict::Allowed
    } else if WITH_NOTE.contains(&licence) {
        Verdict::AllowedWithNote
    } else {
        Verdict::Refused
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check_expression(expression: &str, expected: Verdict) {
        assert_eq!(judge(expression).expect("valid expression"), expected, "{expression}");
    }

    #[test]
    fn permissive_expressions_are_allowed() {
        check_expression("MIT OR Apache-2.0", Verdict::Allowed);
        check_expression("MIT/Apache-2.0", Verdict::Allowed);
        check_expression("(MIT OR Apache-2.0) AND Unicode-3.0", Verdict::Allowed);
        check_expression("Apache-2.0 WITH LLVM-exception OR Apache-2.0 OR MIT", Verdict::Allowed);
        check_expression("MIT OR Apache-2.0 OR LGPL-2.1-or-later", Verdict::Allowed);
        check_expression("CDLA-Permissive-2.0", Verdict::Allowed);
    }

    #[test]
    fn mpl_is_allowed_with_a_note_unless_there_is_a_choice() {
        check_expression("MPL-2.0", Verdict::AllowedWithNote);
        check_expression("MIT AND MPL-2.0", Verdict::AllowedWithNote);
        check_expression("MIT OR MPL-2.0", Verdict::Allowed);
    }

    #[test]
    fn copyleft_and_unknown_licences_are_refused() {
        check_expression("GPL-3.0-only", Verdict::Refused);
        check_expression("MIT AND GPL-3.0-only", Verdict::Refused);
        check_expression("MIT OR Apache-2.0 AND AGPL-3.0-only", Verdict::Allowed);
        check_expression("(MIT OR Apache-2.0) AND AGPL-3.0-only", Verdict::Refused);
        check_expression("Apache-2.0 WITH Commons-Clause", Verdict::Refused);
        check_expression("LicenseRef-Custom", Verdict::Refused);
    }

    #[test]
    fn broken_expressions_are_errors() {
        for expression in ["", "MIT OR", "(MIT", "MIT Apache-2.0", "MIT WITH"] {
            assert!(judge(expression).is_err(), "{expression}");
        }
    }

    #[test]
    fn packages_without_a_usable_licence_are_found() {
        let metadata = Metadata::of(&[("domain", &[])])
            .with_third_party("good", Some("MIT"))
            .with_third_party("viral", Some("GPL-3.0-only"))
            .with_third_party("silent", None);
        let problems: Vec<_> = check(&metadata).into_iter().map(|finding| finding.problem).collect();
        assert_eq!(
            problems,
            ["`viral 1.0.0` is under `GPL-3.0-only`", "`silent 1.0.0` states no SPDX licence"]
        );
    }
}
