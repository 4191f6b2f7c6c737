//! `faults sync`: `kill -9` in the middle of a device sync; the run goes on, and nothing is lost or there twice.
//!
//! Each kill comes at a random moment of what an undisturbed run takes. After the last one the run may end by itself. The
//! register is then compared with the simulated RMM, with a second register that nobody disturbed, and with itself
//! after one more pass, which must find nothing to do.

use std::process::ExitCode;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Result, bail};
use clap::Args;
use serde::Serialize;

use super::register::{Register, shortened};
use crate::bench::programs::{Database, Home};
use crate::bench::rig::Rig;
use crate::bench::{Engine, Engines, rounded};

/// Longest wait until a run goes on after a restart.
const RESUME_LIMIT: Duration = Duration::from_secs(300);

#[derive(Args)]
pub(crate) struct Options {
    /// Simulated machines
    #[arg(long, default_value_t = 50_000)]
    agents: usize,
    /// Which database
    #[arg(long, value_enum, default_value_t = Engine::Both)]
    engine: Engine,
    /// How often the server is killed
    #[arg(long, default_value_t = 5)]
    kills: u32,
}

/// One line of output.
#[derive(Serialize)]
struct Line {
    faults: &'static str,
    engine: &'static str,
    agents: usize,
    kills: u32,
    kills_in_run: u32,
    done_at_kills: Vec<u64>,
    longest_restart_ms: f64,
    assets: usize,
    undisturbed_s: f64,
    disturbed_s: f64,
    passed: bool,
    problems: Vec<String>,
}

pub(super) fn run(options: &Options) -> Result<ExitCode> {
    let engines = Engines::start(options.engine)?;
    let mut all_passed = true;
    for database in engines.databases("faults_sync")? {
        let other = engines.another(&database, "faults_undisturbed")?;
        let line = disturb(options, database, other)?;
        println!("{}", serde_json::to_string(&line)?);
        println!("{}: {}", line.engine, if line.passed { "PASS" } else { "FAIL" });
        all_passed &= line.passed;
    }
    Ok(if all_passed { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn disturb(options: &Options, database: Database, other: Database) -> Result<Line> {
    let engine = database.name();
    eprintln!("{engine}: an undisturbed register of {} agents …", options.agents);
    let mut undisturbed = Rig::start(Home::new(other)?, options.agents)?;
    undisturbed.hold_details()?;
    let run = undisturbed.sync("devices")?;
    if run.state != "succeeded" {
        bail!("the undisturbed run ended as `{}`: {}", run.state, run.counts);
    }
    undisturbed.release_details()?;
    let expected = Register::read(&mut undisturbed)?;
    drop(undisturbed);

    let mut rig = Rig::start(Home::new(database)?, options.agents)?;
    rig.hold_details()?;
    let started = Instant::now();
    let id = rig.request("devices")?;
    let mut kills = Kills {
        random: seed(),
        stage: String::new(),
        made: 0,
        done: Vec::new(),
        longest_restart: Duration::ZERO,
    };
    for _ in 0..options.kills {
        if !kills.strike(&mut rig, &id, run.took / options.kills)? {
            break;
        }
    }
    let ended = rig.wait_for(&id)?;
    let disturbed_s = rounded(started.elapsed().as_secs_f64());
    rig.release_details()?;
    let mut problems = Vec::new();
    if ended.state != "succeeded" {
        problems.push(format!("the run ended as `{}`: {}", ended.state, ended.counts));
    }
    if kills.made == 0 {
        problems.push("the run was over before the first kill".to_owned());
    }
    let register = Register::read(&mut rig)?;
    problems.extend(register.problems.iter().cloned());
    problems.extend(register.against_rmm(&mut rig)?);
    problems.extend(register.against(&expected));
    problems.extend(again(&mut rig)?);
    Ok(Line {
        faults: "sync",
        engine,
        agents: options.agents,
        kills: options.kills,
        kills_in_run: kills.made,
        done_at_kills: kills.done,
        longest_restart_ms: rounded(kills.longest_restart.as_secs_f64() * 1e3),
        assets: register.len(),
        undisturbed_s: rounded(run.took.as_secs_f64()),
        disturbed_s,
        passed: problems.is_empty(),
        problems: shortened(problems),
    })
}

/// One more pass finds nothing new.
fn again(rig: &mut Rig) -> Result<Vec<String>> {
    rig.hold_details()?;
    let run = rig.sync("devices")?;
    rig.release_details()?;
    let count = |name: &str| run.counts[name].as_u64().unwrap_or(u64::MAX);
    let moved = ["created", "updated", "missing", "failed"].iter().any(|name| count(name) != 0);
    if run.state != "succeeded" || moved {
        return Ok(vec![format!(
            "one more pass was `{}` and found something to do: {}",
            run.state, run.counts
        )]);
    }
    Ok(Vec::new())
}

struct Kills {
    random: u64,
    /// What the run did at the last look.
    stage: String,
    made: u32,
    /// Devices done when it struck.
    done: Vec<u64>,
    longest_restart: Duration,
}

impl Kills {
    /// Waits until the run gets on, then some part of `within`, kills, and starts again; `false` if the run is over.
    fn strike(&mut self, rig: &mut Rig, id: &str, within: Duration) -> Result<bool> {
        let deadline = Instant::now() + RESUME_LIMIT;
        let before = (self.done.last().copied(), self.stage.clone());
        while let Some(now) = self.look(rig, id)? {
            // A killed worker's job is taken up again only when its lease has run out.
            if (Some(now), &self.stage) != (before.0, &before.1) && now > 0 {
                break;
            }
            if Instant::now() > deadline {
                bail!("the run did not go on within {} s\n{}", RESUME_LIMIT.as_secs(), rig.home.log_tail());
            }
            thread::sleep(Duration::from_millis(10));
        }
        thread::sleep(within.mul_f64(self.share()));
        let Some(done) = self.look(rig, id)? else { return Ok(false) };
        self.done.push(done);
        self.made += 1;
        let started = Instant::now();
        rig.kill_and_restart()?;
        self.longest_restart = self.longest_restart.max(started.elapsed());
        Ok(true)
    }

    /// How many devices are done; `None` if the run is over.
    fn look(&mut self, rig: &mut Rig, id: &str) -> Result<Option<u64>> {
        let run = rig.api.get(&format!("/api/v1/sync-runs/{id}"))?;
        self.stage = run["progress"]["stage"].as_str().unwrap_or_default().to_owned();
        let is_over = run["state"] != "running" && run["state"] != "queued";
        Ok((!is_over).then(|| run["progress"]["done"].as_u64().unwrap_or(0)))
    }

    /// From a tenth to all.
    fn share(&mut self) -> f64 {
        self.random ^= self.random << 13;
        self.random ^= self.random >> 7;
        self.random ^= self.random << 17;
        0.1 + 0.9 * f64::from(u32::try_from(self.random >> 32).unwrap_or(0)) / f64::from(u32::MAX)
    }
}

fn seed() -> u64 {
    std::time::UNIX_EPOCH.elapsed().map_or(1, |since| u64::from(since.subsec_nanos())) << 16 | 1
}
