//! `cargo xtask test`: everything that must hold before a change is merged.
//!
//! Steps run to the end even when an early one fails; only tests that do not build cut the run short. What
//! cannot run because a piece is missing is listed as skipped and never as passed; with `CI=true` a skip is a
//! failure. The last line is always `N passed, N failed, N skipped`.

use std::fmt;
use std::process::{Command, ExitCode};
use std::time::Instant;

use anyhow::Result;
use clap::Args;

use crate::pg::{self, Cluster};
use crate::process;
use crate::tidy;

mod plan;
mod runner;

use plan::{Need, Plan};
use runner::Runner;

#[derive(Args)]
pub(crate) struct Options {
    /// Run only the tests whose name contains TEXT
    #[arg(long, value_name = "TEXT")]
    filter: Option<String>,
    /// Skip the tests that need PostgreSQL
    #[arg(long)]
    no_postgres: bool,
}

/// What the last line says.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Tally {
    pub(crate) passed: usize,
    pub(crate) failed: usize,
    pub(crate) skipped: usize,
}

pub(crate) fn run(options: &Options) -> Result<ExitCode> {
    process::enter_root()?;
    let started = Instant::now();
    let mut tally = Tally::default();
    tally.check("fmt", || runs_well(process::cargo(["fmt", "--all", "--", "--check"])));
    tally.check("clippy", || {
        runs_well(process::cargo(["clippy", "--workspace", "--all-targets", "--", "-D", "warnings"]))
    });
    tally.check("tidy", tidy::report);
    advisories(&mut tally);
    if let Err(error) = tests(options, &mut tally) {
        println!("tests could not run: {error:#}");
        tally.failed += 1;
    }

    println!("\nfinished in {:.1} s", started.elapsed().as_secs_f64());
    if is_ci() && tally.skipped > 0 {
        println!("CI=true: {} skipped tests count as failed", tally.skipped);
        tally = tally.without_skips();
    }
    println!("{tally}");
    Ok(if tally.failed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

impl Tally {
    /// One step that counts as one test.
    fn check(&mut self, name: &str, step: impl FnOnce() -> Result<bool>) {
        heading(name);
        let started = Instant::now();
        let passed = step().unwrap_or_else(|error| {
            println!("{error:#}");
            false
        });
        let word = if passed { "ok" } else { "FAILED" };
        println!("{name}: {word}, {:.1} s", started.elapsed().as_secs_f64());
        *(if passed { &mut self.passed } else { &mut self.failed }) += 1;
    }

    fn add(&mut self, other: Self) {
        self.passed += other.passed;
        self.failed += other.failed;
        self.skipped += other.skipped;
    }

    fn without_skips(self) -> Self {
        Self { failed: self.failed + self.skipped, skipped: 0, ..self }
    }
}

impl fmt::Display for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} passed, {} failed, {} skipped", self.passed, self.failed, self.skipped)
    }
}

fn heading(name: &str) {
    println!("\n== {name}");
}

fn runs_well(command: Command) -> Result<bool> {
    Ok(process::status(command)?.success())
}

fn is_ci() -> bool {
    std::env::var("CI").is_ok_and(|value| value == "true")
}

/// Known vulnerabilities, where cargo-deny is installed and reaches its database. Not counted unless it finds one.
fn advisories(tally: &mut Tally) {
    heading("advisories");
    if !process::succeeds_quietly(process::cargo(["deny", "--version"])) {
        println!("advisories: skipped, cargo-deny is not installed (optional)");
        return;
    }
    let output = process::cargo(["deny", "check", "advisories"]).output();
    let text =
        output.map(|output| String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned());
    match text {
        Ok(text) if text.contains("advisories FAILED") => {
            println!("{text}\nadvisories: FAILED");
            tally.failed += 1;
        }
        Ok(text) if text.contains("advisories ok") => println!("advisories: ok"),
        Ok(_) | Err(_) => println!("advisories: skipped, cargo-deny could not run"),
    }
}

fn tests(options: &Options, tally: &mut Tally) -> Result<()> {
    heading("build of the tests");
    let runner = Runner::detect();
    let Some(listed) = runner.list()? else {
        println!("build of the tests: FAILED");
        tally.failed += 1;
        return Ok(());
    };
    let mut missing = missing_pieces(options);
    let mut cluster = None;
    if !missing.contains(&Need::Postgres) {
        match Cluster::start() {
            Ok(started) => cluster = started,
            Err(error) => {
                println!("{error:#}");
                tally.failed += 1;
                missing.push(Need::Postgres);
            }
        }
    }
    let plan = Plan::new(listed, options.filter.as_deref(), &missing);
    announce_skips(&plan);
    tally.skipped += plan.skipped();

    heading("tests");
    let started = Instant::now();
    let address = cluster.as_ref().map(Cluster::url);
    let mut counts = Tally::default();
    counts.add(runner.run(&plan, options.filter.as_deref(), address)?);
    counts.add(runner::doc_tests(options.filter.as_deref())?);
    let seconds = started.elapsed().as_secs_f64();
    println!("tests: {}, {seconds:.1} s", if counts.failed == 0 { "ok" } else { "FAILED" });
    tally.add(counts);
    Ok(())
}

fn missing_pieces(options: &Options) -> Vec<Need> {
    let mut missing = Vec::new();
    if options.no_postgres {
        missing.push(Need::Postgres);
    } else if !pg::is_available() {
        println!("PostgreSQL {} or newer is not installed; on Debian: {}", pg::tools::OLDEST, pg::INSTALL);
        missing.push(Need::Postgres);
    }
    let browsers = ["chromium", "chromium-browser", "google-chrome"];
    if browsers.iter().all(|name| process::find_program(name).is_none()) {
        println!("Chromium is not installed; on Debian: apt-get install chromium");
        missing.push(Need::Browser);
    }
    missing
}

fn announce_skips(plan: &Plan) {
    for (case, reason) in &plan.skip {
        println!("skipped: {case} ({reason})");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn last_line_has_the_agreed_form() {
        let tally = Tally { passed: 3, failed: 0, skipped: 12 };
        assert_eq!(tally.to_string(), "3 passed, 0 failed, 12 skipped");
    }

    #[test]
    fn skips_become_failures_in_ci() {
        let tally = Tally { passed: 3, failed: 1, skipped: 2 };
        assert_eq!(tally.without_skips(), Tally { passed: 3, failed: 3, skipped: 0 });
    }

    #[test]
    fn a_step_counts_as_one_test_and_an_error_as_a_failure() {
        let mut tally = Tally::default();
        tally.check("good", || Ok(true));
        tally.check("bad", || Ok(false));
        tally.check("broken", || anyhow::bail!("no such program"));
        assert_eq!(tally, Tally { passed: 1, failed: 2, skipped: 0 });
    }
}
