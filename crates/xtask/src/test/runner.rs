//! Listing and running tests, with cargo-nextest where present and with `cargo test` elsewhere.
//!
//! What should run is known from the listing; a runner only tells how many passed. Whatever was to run and did
//! not pass (failed, timed out, never started) has failed, so a change in a runner's output can hide nothing.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, IsTerminal, Read, Write};
use std::process::{Command, Stdio};

use anyhow::{Context, Result};
use serde::Deserialize;

use super::plan::{Plan, TestCase};
use super::{Tally, pg, process};

#[derive(Debug, Clone, Copy)]
pub(super) enum Runner {
    Nextest,
    Cargo,
}

impl Runner {
    pub(super) fn detect() -> Self {
        if process::succeeds_quietly(process::cargo(["nextest", "--version"])) {
            Self::Nextest
        } else {
            Self::Cargo
        }
    }

    /// Builds all tests and lists them; `None` if they do not build.
    pub(super) fn list(self) -> Result<Option<Vec<TestCase>>> {
        match self {
            Self::Nextest => {
                let list = process::cargo(["nextest", "list", "--workspace", "--message-format", "json"]);
                quiet_output(list)?.map(|json| parse_nextest_list(&json)).transpose()
            }
            Self::Cargo => {
                let Some(all) = quiet_output(cargo_test(&["--list", "--format", "terse"]))? else {
                    return Ok(None);
                };
                let ignored = quiet_output(cargo_test(&["--list", "--ignored", "--format", "terse"]))?;
                Ok(ignored.map(|ignored| parse_cargo_list(&all, &ignored)))
            }
        }
    }

    /// Runs what the plan says, with the address of PostgreSQL for the tests that need it.
    pub(super) fn run(self, plan: &Plan, filter: Option<&str>, postgres: Option<&str>) -> Result<Tally> {
        if plan.run.is_empty() {
            println!("no test to run");
            return Ok(Tally::default());
        }
        let mut command = match self {
            Self::Nextest => nextest_run(plan, filter),
            Self::Cargo => cargo_run(plan),
        };
        match postgres {
            Some(url) => command.env(pg::ADDRESS_VARIABLE, url),
            None => command.env_remove(pg::ADDRESS_VARIABLE),
        };
        let (text, succeeded) = match self {
            Self::Nextest => echo_stderr(command)?,
            Self::Cargo => echo_stdout(command)?,
        };
        let passed = match self {
            Self::Nextest => parse_nextest_passed(&text),
            Self::Cargo => parse_cargo_results(&text).passed,
        };
        let failed = plan.run.len().saturating_sub(passed);
        Ok(Tally { passed, failed: at_least_one_unless(succeeded, failed), skipped: 0 })
    }
}

/// Documentation tests, which nextest does not know and `cargo test` runs apart.
pub(super) fn doc_tests(filter: Option<&str>) -> Result<Tally> {
    let mut command = process::cargo(["test", "--quiet", "--doc", "--workspace", "--no-fail-fast"]);
    command.env_remove(pg::ADDRESS_VARIABLE);
    if let Some(text) = filter {
        command.args(["--", text]);
    }
    let (text, succeeded) = echo_stdout(command)?;
    let results = parse_cargo_results(&text);
    Ok(Tally { failed: at_least_one_unless(succeeded, results.failed), ..results })
}

fn at_least_one_unless(succeeded: bool, failed: usize) -> usize {
    if succeeded { failed } else { failed.max(1) }
}

fn nextest_run(plan: &Plan, filter: Option<&str>) -> Command {
    let mut command =
        process::cargo(["nextest", "run", "--workspace", "--no-fail-fast", "--no-tests", "pass"]);
    command.args(["--status-level", "slow"]);
    if std::io::stderr().is_terminal() {
        command.args(["--color", "always"]);
    }
    if !plan.missing.is_empty() {
        let segments: Vec<_> = plan.missing.iter().map(|need| need.segment()).collect();
        command.args(["-E", &format!("not test(/(^|::)({})(::|$)/)", segments.join("|"))]);
    }
    if let Some(text) = filter {
        command.args(["--", text]);
    }
    command
}

/// By exact names: `--skip` would leave out whatever contains a segment.
fn cargo_run(plan: &Plan) -> Command {
    let mut args = vec!["--exact"];
    args.extend(plan.run.iter().map(|case| case.name.as_str()));
    cargo_test(&args)
}

fn cargo_test(args: &[&str]) -> Command {
    let targets = ["--lib", "--bins", "--tests", "--examples"];
    let mut command = process::cargo(["test", "--workspace", "--no-fail-fast"]);
    command.args(targets).arg("--").args(args);
    command
}

/// Standard output of a command that succeeded; its messages are passed on.
fn quiet_output(mut command: Command) -> Result<Option<String>> {
    let output =
        command.stderr(Stdio::inherit()).output().with_context(|| format!("cannot start {command:?}"))?;
    Ok(output.status.success().then(|| String::from_utf8_lossy(&output.stdout).into_owned()))
}

fn echo_stderr(mut command: Command) -> Result<(String, bool)> {
    let mut child =
        command.stderr(Stdio::piped()).spawn().with_context(|| format!("cannot start {command:?}"))?;
    let text = child.stderr.take().map(|pipe| echo(pipe, std::io::stderr())).transpose()?;
    Ok((text.unwrap_or_default(), child.wait()?.success()))
}

fn echo_stdout(mut command: Command) -> Result<(String, bool)> {
    let mut child =
        command.stdout(Stdio::piped()).spawn().with_context(|| format!("cannot start {command:?}"))?;
    let text = child.stdout.take().map(|pipe| echo(pipe, std::io::stdout())).transpose()?;
    Ok((text.unwrap_or_default(), child.wait()?.success()))
}

/// Passes each line on as it comes and keeps it.
fn echo(from: impl Read, mut to: impl Write) -> Result<String> {
    let mut reader = BufReader::new(from);
    let mut text = String::new();
    let mut line = Vec::new();
    while reader.read_until(b'\n', &mut line)? > 0 {
        to.write_all(&line)?;
        to.flush()?;
        text.push_str(&String::from_utf8_lossy(&line));
        line.clear();
    }
    Ok(text)
}

#[derive(Deserialize)]
#[serde(rename_all = "kebab-case")]
struct NextestList {
    rust_suites: BTreeMap<String, NextestSuite>,
}

#[derive(Deserialize)]
struct NextestSuite {
    testcases: BTreeMap<String, NextestCase>,
}

#[derive(Deserialize)]
struct NextestCase {
    ignored: bool,
}

fn parse_nextest_list(json: &str) -> Result<Vec<TestCase>> {
    let list: NextestList = serde_json::from_str(json).context("cannot read nextest's list of tests")?;
    let mut cases = Vec::new();
    for (suite, tests) in list.rust_suites {
        for (name, test) in tests.testcases {
            cases.push(TestCase { suite: suite.clone(), name, ignored: test.ignored });
        }
    }
    Ok(cases)
}

/// From `Summary [   0.2s] 4 tests run: 3 passed (1 slow), 1 failed, 2 skipped`, with colours or without.
fn parse_nextest_passed(text: &str) -> usize {
    let plain = without_colours(text);
    let summary = plain.lines().rev().find(|line| line.trim_start().starts_with("Summary ["));
    summary.and_then(|line| number_before(line.split_once("run:")?.1, "passed")).unwrap_or(0)
}

/// Sums up the lines `test result: ok. 3 passed; 0 failed; 1 ignored; …`.
fn parse_cargo_results(text: &str) -> Tally {
    let mut sum = Tally::default();
    for line in text.lines().filter(|line| line.contains("test result: ")) {
        sum.passed += number_before(line, "passed").unwrap_or(0);
        sum.failed += number_before(line, "failed").unwrap_or(0);
        sum.skipped += number_before(line, "ignored").unwrap_or(0);
    }
    sum
}

/// The two lists have lines `path::name: test`; equal names in several binaries appear several times.
fn parse_cargo_list(all: &str, ignored: &str) -> Vec<TestCase> {
    let mut ignored: Vec<&str> = ignored.lines().filter_map(|line| line.strip_suffix(": test")).collect();
    let mut cases = Vec::new();
    for name in all.lines().filter_map(|line| line.strip_suffix(": test")) {
        let place = ignored.iter().position(|other| *other == name);
        if let Some(place) = place {
            ignored.swap_remove(place);
        }
        cases.push(TestCase { suite: String::new(), name: name.to_owned(), ignored: place.is_some() });
    }
    cases
}

fn number_before(line: &str, word: &str) -> Option<usize> {
    let words: Vec<&str> = line.split([' ', ',', ';']).filter(|part| !part.is_empty()).collect();
    let place = words.iter().position(|part| *part == word)?;
    words.get(place.checked_sub(1)?)?.parse().ok()
}

fn without_colours(text: &str) -> String {
    let mut plain = String::with_capacity(text.len());
    let mut chars = text.chars();
    while let Some(c) = chars.next() {
        if c != '\u{1b}' {
            plain.push(c);
            continue;
        }
        for c in chars.by_ref() {
            if c.is_ascii_alphabetic() {
                break;
            }
        }
    }
    plain
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nextest_summary_is_read_plain_and_coloured() {
        let plain =
            "        PASS x\n     Summary [   0.146s] 3 tests run: 2 passed (1 slow), 1 failed, 1 skipped\n";
        assert_eq!(parse_nextest_passed(plain), 2);
        let coloured = "\u{1b}[31;1m     Summary\u{1b}[0m [   0.1s] \u{1b}[1m1\u{1b}[0m test run: \u{1b}[1m1\u{1b}[0m \u{1b}[32;1mpassed\u{1b}[0m, 0 skipped";
        assert_eq!(parse_nextest_passed(coloured), 1);
        let cancelled = "     Summary [   0.146s] 7/10 tests run: 6 passed, 1 failed, 0 skipped";
        assert_eq!(parse_nextest_passed(cancelled), 6);
    }

    #[test]
    fn a_run_without_summary_has_passed_nothing() {
        assert_eq!(parse_nextest_passed("error: could not compile"), 0);
        assert_eq!(parse_nextest_passed("     Summary [ 0.1s] 1 test run: 1 failed, 0 skipped"), 0);
    }

    #[test]
    fn results_of_all_binaries_are_added() {
        let text = "test result: ok. 2 passed; 0 failed; 1 ignored; 0 measured; 3 filtered out\n\
                    test result: FAILED. 5 passed; 2 failed; 0 ignored; 0 measured; 0 filtered out\n";
        assert_eq!(parse_cargo_results(text), Tally { passed: 7, failed: 2, skipped: 1 });
    }

    #[test]
    fn nextest_list_is_read() {
        let json = r#"{"test-count":2,"rust-suites":{"store":{"package-name":"store","testcases":{
            "job::a":{"ignored":false},"job::b":{"ignored":true}}}}}"#;
        let cases = parse_nextest_list(json).expect("valid list");
        let shown: Vec<_> = cases.iter().map(|case| (case.to_string(), case.ignored)).collect();
        assert_eq!(shown, [("store job::a".to_owned(), false), ("store job::b".to_owned(), true)]);
    }

    #[test]
    fn cargo_list_marks_ignored_tests_once_each() {
        let cases = parse_cargo_list("a::x: test\na::x: test\nb::y: bench\n\n", "a::x: test\n");
        let ignored: Vec<_> = cases.iter().map(|case| case.ignored).collect();
        assert_eq!(ignored, [true, false]);
    }

    #[test]
    fn a_failed_run_counts_at_least_one_failure() {
        assert_eq!(at_least_one_unless(false, 0), 1);
        assert_eq!(at_least_one_unless(false, 3), 3);
        assert_eq!(at_least_one_unless(true, 0), 0);
    }
}
