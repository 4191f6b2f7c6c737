//! `bench start`: from the start of the program to its first answer, and what it weighs at rest.

use std::fs;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Result, bail};
use clap::Args;
use serde::Serialize;

use super::http::Client;
use super::programs::{Database, Home, Server, measure_release, profile, program};
use super::rig::Rig;
use super::{rounded, system};

/// Starts of each kind; the median counts.
const RUNS: usize = 7;

/// Rest before memory is read.
const REST: Duration = Duration::from_secs(10);

/// Longest wait for the first answer.
const READY_LIMIT: Duration = Duration::from_secs(30);

#[derive(Args)]
pub(crate) struct Options {
    /// Assets in the existing folder
    #[arg(long, default_value_t = 1_000)]
    assets: usize,
    /// Build the release binary (minutes) and measure that, with its link-time optimisation
    #[arg(long)]
    release: bool,
}

/// One line of output.
#[derive(Serialize)]
struct Line {
    bench: &'static str,
    assets: usize,
    empty_ms: f64,
    empty_all_ms: Vec<f64>,
    existing_ms: f64,
    existing_all_ms: Vec<f64>,
    /// After `kill -9`, with a log to recover.
    killed_ms: f64,
    killed_all_ms: Vec<f64>,
    idle_empty_mb: f64,
    idle_mb: f64,
    binary_mb: f64,
    binary: &'static str,
    fsyncs_per_s: f64,
}

pub(super) fn run(options: &Options) -> Result<()> {
    if options.release {
        measure_release()?;
    }
    let fsyncs_per_s = system::fsyncs_per_s(&std::env::temp_dir())?;
    let mut empty = Vec::new();
    let mut idle_empty_mb = 0.0;
    for n in 0..RUNS {
        let home = Home::new(Database::Sqlite)?;
        let (server, took) = ready(&home)?;
        empty.push(took);
        if n + 1 == RUNS {
            idle_empty_mb = idle(&server)?;
        }
        server.stop()?;
    }
    eprintln!("empty: {empty:?}");
    let home = filled(options.assets)?;
    let (mut existing, mut killed) = (Vec::new(), Vec::new());
    for _ in 0..RUNS {
        let (server, took) = ready(&home)?;
        existing.push(took);
        server.stop()?;
    }
    eprintln!("existing: {existing:?}");
    for _ in 0..RUNS {
        let (mut server, _) = ready(&home)?;
        server.kill();
        drop(server);
        let (server, took) = ready(&home)?;
        killed.push(took);
        server.stop()?;
    }
    let (server, _) = ready(&home)?;
    let idle_mb = idle(&server)?;
    server.stop()?;
    let (binary, binary_mb) = size()?;
    let line = Line {
        bench: "start",
        assets: options.assets,
        empty_ms: median(&empty),
        empty_all_ms: empty,
        existing_ms: median(&existing),
        existing_all_ms: existing,
        killed_ms: median(&killed),
        killed_all_ms: killed,
        idle_empty_mb,
        idle_mb,
        binary_mb,
        binary,
        fsyncs_per_s: fsyncs_per_s.round(),
    };
    println!("{}", serde_json::to_string(&line)?);
    Ok(())
}

/// A folder with so many assets, and nobody at work on it.
fn filled(assets: usize) -> Result<Home> {
    let mut rig = Rig::start(Home::new(Database::Sqlite)?, assets)?;
    rig.hold_details()?;
    let run = rig.sync("devices")?;
    if run.state != "succeeded" {
        bail!("the register was not filled: {}", run.counts);
    }
    rig.release_details()?;
    rig.server.stop()?;
    Ok(rig.home)
}

/// Starts a server; answers it with the milliseconds until `/readyz` said yes.
fn ready(home: &Home) -> Result<(Server, f64)> {
    let started = Instant::now();
    let server = Server::start(home)?;
    let mut client = Client::new(&server.url, None)?;
    while started.elapsed() < READY_LIMIT {
        if client.send("GET", "/readyz", None).is_ok_and(|answer| answer.status == 200) {
            return Ok((server, rounded(started.elapsed().as_secs_f64() * 1e3)));
        }
        thread::sleep(Duration::from_millis(1));
    }
    bail!("the server was not ready within {} s\n{}", READY_LIMIT.as_secs(), home.log_tail())
}

fn idle(server: &Server) -> Result<f64> {
    thread::sleep(REST);
    Ok(rounded(system::memory(server.pid())?.now as f64 / 1e6))
}

fn median(times: &[f64]) -> f64 {
    let mut sorted = times.to_vec();
    sorted.sort_by(f64::total_cmp);
    sorted.get(sorted.len() / 2).copied().unwrap_or(0.0)
}

/// Which binary it is, and how large.
fn size() -> Result<(&'static str, f64)> {
    Ok((profile(), rounded(fs::metadata(program("fleetgate")?)?.len() as f64 / 1e6)))
}
