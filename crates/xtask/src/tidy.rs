//! `cargo xtask tidy`: the rules of `STYLE.md` and `ARCHITECTURE.md` that a machine can check.
//!
//! Works from `cargo metadata`, `Cargo.lock` and the text of the files alone: no network, no further tool. Each
//! rule is a pure function from its input to findings, with tests that show it failing on a bad input.

use std::fmt;
use std::process::ExitCode;

use anyhow::{Context, Result};

use crate::process;

mod bans;
mod crates;
mod files;
mod layout;
mod licences;
mod metadata;
mod names;
mod sizes;
mod source;

use files::Files;
use metadata::Metadata;

/// One broken rule: where, what is wrong, how to mend it.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Finding {
    /// `path` or `path:line`.
    place: String,
    problem: String,
    mend: String,
}

impl Finding {
    fn new(place: impl Into<String>, problem: impl Into<String>, mend: impl Into<String>) -> Self {
        Self { place: place.into(), problem: problem.into(), mend: mend.into() }
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}\n    mend: {}", self.place, self.problem, self.mend)
    }
}

pub(crate) fn run() -> Result<ExitCode> {
    process::enter_root()?;
    Ok(if report()? { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Prints all findings and says whether there were none. Expects to be in the workspace's root.
pub(crate) fn report() -> Result<bool> {
    let findings = check_everything()?;
    for finding in &findings {
        println!("{finding}");
    }
    if !findings.is_empty() {
        println!("\nfindings of tidy: {}", findings.len());
    }
    Ok(findings.is_empty())
}

fn check_everything() -> Result<Vec<Finding>> {
    let metadata = Metadata::load()?;
    let lock = std::fs::read_to_string("Cargo.lock").context("cannot read `Cargo.lock`")?;
    let files = Files::list()?;
    let sources = files.sources()?;

    let mut findings = crates::check(&metadata);
    findings.extend(bans::check(&lock));
    findings.extend(licences::check(&metadata));
    findings.extend(layout::check(&files)?);
    for source in &sources {
        findings.extend(sizes::check(source));
        findings.extend(names::check(source));
    }
    Ok(findings)
}
