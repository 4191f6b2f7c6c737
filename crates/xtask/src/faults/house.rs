//! `faults house`: what was acknowledged is there, whatever happens to servers and disks; what was tampered with is named.
//!
//! Each part takes a fresh installation, prints what it counted, and says PASS or FAIL.

use std::process::{Command, ExitCode};
use std::time::Instant;

use anyhow::{Result, bail};
use clap::{Args, ValueEnum};
use serde::Serialize;
use serde_json::{Map, Value};

use super::register::shortened;
use crate::bench::programs::{Database, Home, program};
use crate::bench::{Engine, Engines, rounded};
use crate::process;

mod audit;
mod disk;
mod keys;
mod kills;
mod nodes;
mod writers;

#[derive(Args)]
pub(crate) struct Options {
    /// Which parts; all if left out. May be repeated
    #[arg(long, value_enum)]
    only: Vec<Part>,
    /// Which database
    #[arg(long, value_enum, default_value_t = Engine::Both)]
    engine: Engine,
    /// How often a server is killed under mixed writes, on each engine
    #[arg(long, default_value_t = 200)]
    kills: u32,
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Part {
    /// `kill -9` under mixed writes
    Kills,
    /// Two servers on one database, one of them killed (PostgreSQL)
    Nodes,
    /// A full disk, and an fsync that fails (SQLite)
    Disk,
    /// Rotations of both keys, killed at random moments
    Keys,
    /// Rows of the audit log changed, taken away, put in, moved, cut off, written anew
    Audit,
    /// 32 writers at once, a third of whose work is taken back
    Writers,
    /// URLs that would lead to denied addresses
    Urls,
}

/// What a part found.
#[derive(Default)]
pub(super) struct Found {
    counted: Map<String, Value>,
    problems: Vec<String>,
}

impl Found {
    pub(super) fn count(&mut self, name: &str, value: impl Into<Value>) {
        self.counted.insert(name.to_owned(), value.into());
    }

    pub(super) fn problem(&mut self, problem: impl Into<String>) {
        self.problems.push(problem.into());
    }

    pub(super) fn expect(&mut self, holds: bool, problem: impl FnOnce() -> String) {
        if !holds {
            self.problems.push(problem());
        }
    }
}

/// One line of output.
#[derive(Serialize)]
struct Line {
    faults: &'static str,
    part: String,
    engine: &'static str,
    seconds: f64,
    passed: bool,
    counted: Map<String, Value>,
    problems: Vec<String>,
}

pub(super) fn run(options: &Options) -> Result<ExitCode> {
    let engines = Engines::start(options.engine)?;
    let is_wanted = |part: Part| options.only.is_empty() || options.only.contains(&part);
    let mut all_passed = true;
    for part in Part::value_variants().iter().copied().filter(|part| is_wanted(*part)) {
        let name = part.to_possible_value().map(|value| value.get_name().to_owned()).unwrap_or_default();
        for database in engines.databases(&format!("faults_{name}"))? {
            let is_sqlite = matches!(database, Database::Sqlite);
            let applies = match part {
                Part::Nodes => !is_sqlite,
                Part::Disk | Part::Urls => is_sqlite,
                Part::Kills | Part::Keys | Part::Audit | Part::Writers => true,
            };
            if applies {
                all_passed &= tell(part, &name, database, options)?;
            }
        }
    }
    Ok(if all_passed { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn tell(part: Part, name: &str, database: Database, options: &Options) -> Result<bool> {
    let engine = database.name();
    eprintln!("{name}, {engine} …");
    let started = Instant::now();
    let mut found = Found::default();
    let ended = match part {
        Part::Kills => kills::run(Home::new(database)?, options.kills, &mut found),
        Part::Nodes => nodes::run(Home::new(database)?, &mut found),
        Part::Disk => disk::run(Home::new(database)?, &mut found),
        Part::Keys => keys::run(Home::new(database)?, &mut found),
        Part::Audit => audit::run(Home::new(database)?, &mut found),
        Part::Writers => writers::run(Home::new(database)?, &mut found),
        Part::Urls => urls(&mut found),
    };
    if let Err(error) = ended {
        found.problem(format!("the part broke off: {error:#}"));
    }
    let passed = found.problems.is_empty();
    let line = Line {
        faults: "house",
        part: name.to_owned(),
        engine,
        seconds: rounded(started.elapsed().as_secs_f64()),
        passed,
        counted: found.counted,
        problems: shortened(found.problems),
    };
    println!("{}", serde_json::to_string(&line)?);
    println!("{name}, {engine}: {}", if passed { "PASS" } else { "FAIL" });
    Ok(passed)
}

/// The tests of the crate that holds the rules: they dial what they are told and count who was reached.
fn urls(found: &mut Found) -> Result<()> {
    let mut tests = process::cargo(["test", "--quiet", "--package", "outbound", "--test", "it"]);
    tests.args(["--", "refused_address", "--nocapture", "--test-threads", "1"]);
    let told = process::output(tests)?;
    // The runner of the tests puts a dot for each before what they tell.
    let numbers = told.lines().filter_map(|line| line.split_once(" urls, ")).map(|(number, _)| number);
    let tried: u64 = numbers.filter_map(|number| number.trim_start_matches('.').parse::<u64>().ok()).sum();
    // The tests count connections, and the command fails with them.
    found.count("urls_refused", tried);
    found.expect(tried >= 200, || format!("only {tried} URLs were tried"));
    Ok(())
}

/// `fleetgate audit verify` on an installation: its answer, whether or not the log is right.
pub(super) fn verify(home: &Home) -> Result<Value> {
    let mut command = home.command(&program("fleetgate")?);
    command.args(["audit", "verify", "--json"]);
    answer_of(command)
}

/// Signs the head of the log now.
pub(super) fn checkpoint(home: &Home) -> Result<()> {
    let mut command = home.command(&program("fleetgate")?);
    command.args(["--quiet", "audit", "checkpoint"]).stdout(std::process::Stdio::null());
    process::succeed(command)
}

pub(super) fn answer_of(mut command: Command) -> Result<Value> {
    let output = command.output()?;
    match serde_json::from_slice(&output.stdout) {
        Ok(answer) => Ok(answer),
        Err(_) => bail!("no answer: {}", String::from_utf8_lossy(&output.stderr)),
    }
}

/// Notes it if the log of an installation is not right.
pub(super) fn expect_whole(home: &Home, found: &mut Found) -> Result<()> {
    let report = verify(home)?;
    found.expect(report["ok"] == true, || format!("the audit log is not right: {report}"));
    found.count("audit_rows", report["items"][0]["sealed"].clone());
    Ok(())
}
