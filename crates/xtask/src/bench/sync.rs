//! `bench sync`: how fast a fleet comes into the register and is kept current there, against the raw store.
//!
//! Times are those of the run itself (`started_at` to `ended_at`). The detail run that follows a list pass is held
//! at the simulated RMM while a pass is measured; one whole detail run is measured by itself.

use std::process;
use std::time::Duration;

use anyhow::{Result, bail};
use clap::Args;
use serde::Serialize;
use serde_json::json;

use super::programs::{Database, Home, program};
use super::raw::{self, Raw};
use super::rig::{Rig, Run, Wanted};
use super::{Engine, Engines, limited, rounded, system};

#[derive(Args)]
pub(crate) struct Options {
    /// Simulated machines
    #[arg(long, visible_alias = "devices", default_value_t = 10_000)]
    agents: usize,
    /// Provider to measure with, by its id [default: one whose RMM does not limit requests]
    #[arg(long, value_name = "ID")]
    provider: Option<String>,
    /// What every answer of the simulated RMM takes at least
    #[arg(long, value_name = "MS", default_value_t = 0)]
    delay_ms: u64,
    /// Which database
    #[arg(long, value_enum, default_value_t = Engine::Sqlite)]
    engine: Engine,
    /// Leave out the detail run (one call for each machine)
    #[arg(long)]
    skip_details: bool,
}

/// One line of output. Bytes: on SQLite what server and checkpoint sent to the disk, on PostgreSQL what the
/// write-ahead log grew by.
#[derive(Serialize)]
struct Line {
    bench: &'static str,
    engine: &'static str,
    agents: usize,
    organizations: u64,
    first_s: f64,
    unchanged_s: f64,
    changed5_s: f64,
    presence_s: f64,
    details_s: Option<f64>,
    agents_per_s: f64,
    unchanged_per_s: f64,
    raw_rows_per_s: f64,
    raw_ratio: f64,
    sql_per_1000_first: f64,
    sql_per_1000: f64,
    http_calls: u64,
    http_calls_goal: u64,
    bytes_first: u64,
    bytes_unchanged: u64,
    bytes_changed5: u64,
    bytes_presence: u64,
    bytes_raw: u64,
    rss_idle_mb: f64,
    rss_growth_mb: f64,
    cpu_first_s: f64,
    cpu_changed5_s: f64,
    changed: u64,
    fsyncs_per_s: f64,
}

pub(crate) fn run(options: &Options) -> Result<()> {
    let engines = Engines::start(options.engine)?;
    for database in engines.databases("bench_sync")? {
        let engine = database.name();
        eprintln!("{engine}: a simulated RMM with {} agents …", options.agents);
        let wanted = Wanted {
            provider: options.provider.as_deref(),
            agents: options.agents,
            delay_ms: options.delay_ms,
        };
        let fsyncs_per_s = system::fsyncs_per_s(&std::env::temp_dir())?;
        let rig = Rig::start_with(Home::new(database.clone())?, &wanted)?;
        let line = match rig.rate_limit {
            Some(limit) => serde_json::to_string(&limited::measure(rig, limit, &wanted)?)?,
            None => {
                let probe = Probe::new(&engines, &database)?;
                serde_json::to_string(&measure(options, rig, &probe, fsyncs_per_s)?)?
            }
        };
        println!("{line}");
    }
    Ok(())
}

fn measure(options: &Options, mut rig: Rig, probe: &Probe, fsyncs_per_s: f64) -> Result<Line> {
    let engine = rig.home.database.name();
    let organizations = rig.organizations()?;
    let idle = system::memory(rig.server.pid())?.now;
    rig.hold_details()?;
    let first = pass(&mut rig, engine, "first")?;
    let source = Source::read(&rig.home)?;
    let raw = probe.run(&source)?;
    drop(source);
    let peak = system::memory(rig.server.pid())?.peak;
    rig.release_details()?;
    let details_s = if options.skip_details { None } else { Some(details(&mut rig, engine)?) };
    rig.hold_details()?;
    let unchanged = pass(&mut rig, engine, "unchanged")?;
    let changed = rig.control.post("/change", &json!({ "fraction": 0.05 }))?["changed"].as_u64().unwrap_or(0);
    rig.control.post("/warm", &json!({}))?;
    let changed5 = pass(&mut rig, engine, "5 % changed")?;
    rig.control.post("/advance", &json!({ "seconds": 60 }))?;
    rig.control.post("/warm", &json!({}))?;
    let presence = pass(&mut rig, engine, "presence")?;
    let peak = peak.max(system::memory(rig.server.pid())?.peak);
    let thousands = options.agents as f64 / 1_000.0;
    let per_s = |took: Duration| rounded(options.agents as f64 / took.as_secs_f64());
    Ok(Line {
        bench: "sync",
        engine,
        agents: options.agents,
        organizations,
        first_s: rounded(first.took.as_secs_f64()),
        unchanged_s: rounded(unchanged.took.as_secs_f64()),
        changed5_s: rounded(changed5.took.as_secs_f64()),
        presence_s: rounded(presence.took.as_secs_f64()),
        details_s: details_s.map(rounded),
        agents_per_s: per_s(first.took),
        unchanged_per_s: per_s(unchanged.took),
        raw_rows_per_s: rounded(raw.rows as f64 / raw.took.as_secs_f64()),
        raw_ratio: rounded(raw.took.as_secs_f64() / first.took.as_secs_f64()),
        sql_per_1000_first: rounded(first.statements / thousands),
        sql_per_1000: rounded(changed5.statements / thousands),
        http_calls: unchanged.calls,
        http_calls_goal: 4 + organizations,
        bytes_first: first.bytes,
        bytes_unchanged: unchanged.bytes,
        bytes_changed5: changed5.bytes,
        bytes_presence: presence.bytes,
        bytes_raw: raw.bytes,
        rss_idle_mb: megabytes(idle),
        rss_growth_mb: megabytes(peak.saturating_sub(idle)),
        cpu_first_s: rounded(first.cpu.as_secs_f64()),
        cpu_changed5_s: rounded(changed5.cpu.as_secs_f64()),
        changed,
        fsyncs_per_s: fsyncs_per_s.round(),
    })
}

pub(super) fn megabytes(bytes: u64) -> f64 {
    rounded(bytes as f64 / 1e6)
}

/// A measured list pass.
pub(super) struct Pass {
    pub(super) took: Duration,
    cpu: Duration,
    pub(super) statements: f64,
    pub(super) calls: u64,
    pub(super) bytes: u64,
}

pub(super) fn pass(rig: &mut Rig, engine: &str, name: &str) -> Result<Pass> {
    let pid = rig.server.pid();
    let bytes = Bytes::start(rig)?;
    rig.control.post("/counts/reset", &json!({}))?;
    let statements = rig.statements()?;
    let cpu = system::cpu(pid)?;
    let run = rig.sync("devices")?;
    let statements = (rig.statements()? - statements) as f64;
    let cpu = system::cpu(pid)? - cpu;
    let calls = rig.list_calls()?;
    let bytes = bytes.end(rig)?;
    check(&run, name)?;
    eprintln!("{engine}: {name}: {:.3} s, {}", run.took.as_secs_f64(), run.counts);
    let of_looks = rig.statements_per_look(&run.id)? * run.looks as f64;
    Ok(Pass { took: run.took, cpu, statements: statements - of_looks, calls, bytes })
}

fn details(rig: &mut Rig, engine: &str) -> Result<f64> {
    let run = rig.sync("details")?;
    check(&run, "details")?;
    eprintln!("{engine}: details: {:.3} s, {}", run.took.as_secs_f64(), run.counts);
    Ok(run.took.as_secs_f64())
}

fn check(run: &Run, name: &str) -> Result<()> {
    if run.state != "succeeded" {
        bail!("the pass `{name}` ended as `{}`: {}", run.state, run.counts);
    }
    Ok(())
}

/// Bytes written over one pass.
enum Bytes {
    Sqlite(u64),
    Postgres(u64),
}

impl Bytes {
    fn start(rig: &Rig) -> Result<Self> {
        Ok(match &rig.home.database {
            Database::Sqlite => {
                system::checkpoint(&rig.home.sqlite_file())?;
                Bytes::Sqlite(system::bytes_written(rig.server.pid())?)
            }
            Database::Postgres(of) => Bytes::Postgres(log_position(&of.superuser)?),
        })
    }

    fn end(self, rig: &Rig) -> Result<u64> {
        Ok(match (self, &rig.home.database) {
            (Bytes::Sqlite(before), Database::Sqlite) => {
                let by_server = system::bytes_written(rig.server.pid())? - before;
                by_server + system::checkpoint(&rig.home.sqlite_file())?
            }
            (Bytes::Postgres(before), Database::Postgres(of)) => log_position(&of.superuser)? - before,
            _ => bail!("the engine changed"),
        })
    }
}

fn log_position(url: &str) -> Result<u64> {
    raw::postgres::log_position(&mut ::postgres::Client::connect(url, ::postgres::NoTls)?)
}

/// Where the raw probe writes: an empty installation of the same engine.
struct Probe {
    home: Home,
}

/// What it writes.
enum Source {
    Sqlite(raw::sqlite::Source),
    Postgres(raw::postgres::Source),
}

impl Source {
    fn read(home: &Home) -> Result<Self> {
        Ok(match &home.database {
            Database::Sqlite => Source::Sqlite(raw::sqlite::Source::read(&home.sqlite_file())?),
            Database::Postgres(of) => Source::Postgres(raw::postgres::Source::read(&of.superuser)?),
        })
    }
}

impl Probe {
    fn new(engines: &Engines, like: &Database) -> Result<Self> {
        let home = Home::new(engines.another(like, "bench_raw")?)?;
        let mut migrate = home.command(&program("fleetgate")?);
        migrate.args(["--quiet", "migrate"]).stdout(process::Stdio::null());
        crate::process::succeed(migrate)?;
        Ok(Self { home })
    }

    fn run(&self, source: &Source) -> Result<Raw> {
        let raw = match (source, &self.home.database) {
            (Source::Sqlite(source), Database::Sqlite) => source.write(&self.home.sqlite_file())?,
            (Source::Postgres(source), Database::Postgres(of)) => source.write(&of.superuser)?,
            _ => bail!("the engine changed"),
        };
        eprintln!("raw: {} rows in {:.3} s", raw.rows, raw.took.as_secs_f64());
        Ok(raw)
    }
}
