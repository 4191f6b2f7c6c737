//! A simulated RMM server in its own process, for benchmarks and demos.
//!
//! `simulator tacticalrmm --agents N [--clients N] [--seed S] [--living] [--period-s N] [--beta] [--delay-ms N]
//! [--listen ADDR:PORT] [--detail-bytes N] [--time-scale X] [--host NAME] [--recorded]`, or
//! `simulator datto_rmm --devices N (or --agents N) [--overlap-agents N] [--overlap-clients N] [--overlap-seed S] [--overlap-percent N]
//! [--seed S] [--living] [--period-s N] [--delay-ms N] [--listen ADDR:PORT] [--udfs N] [--patches] [--malformed-row]
//! [--token-life-s N] [--header-root PATH] [--reads N] [--writes N] [--others N] [--legacy-rate]` prints one line of
//! JSON (addresses, keys, accounts), then serves until stdin closes, or SIGTERM or SIGINT arrives. With `--no-stdin` it
//! does not look at stdin.

use std::fmt::Display;
use std::io::Read;
use std::process::ExitCode;
use std::str::FromStr;
use std::time::Duration;

use serde_json::{Value, json};
use simulator::fleet::{FleetSpec, Mode};
use simulator::{datto_rmm, tacticalrmm};
use tokio::signal::unix::{SignalKind, signal};

#[tokio::main(flavor = "multi_thread", worker_threads = 2)]
async fn main() -> ExitCode {
    match run().await {
        Ok(()) => ExitCode::SUCCESS,
        Err(message) => {
            eprintln!("simulator: {message}");
            ExitCode::FAILURE
        }
    }
}

async fn run() -> Result<(), String> {
    let mut args = std::env::args().skip(1);
    match args.next().as_deref() {
        Some("tacticalrmm") => run_tactical(args).await,
        Some("datto_rmm") => run_datto(args).await,
        Some(other) => Err(format!("there is no simulator of `{other}`: tacticalrmm, datto_rmm")),
        None => Err("which simulator? try `simulator tacticalrmm --agents 240`, or `datto_rmm`".to_owned()),
    }
}

async fn run_tactical(args: impl Iterator<Item = String>) -> Result<(), String> {
    let (config, watch_stdin) = tactical_options(args)?;
    let server = tacticalrmm::start(config).await.map_err(|e| e.to_string())?;
    server.control().warm();
    let mut line = serde_json::to_value(server.accounts()).map_err(|e| e.to_string())?;
    line["clients"] = json!(server.control().client_ids());
    line["detail_route"] = "/agents/<agent_id>/".into();
    announce(line, server.url(), server.control_url());
    wait_for_the_end(watch_stdin).await.map_err(|e| e.to_string())?;
    server.shutdown().await;
    Ok(())
}

async fn run_datto(args: impl Iterator<Item = String>) -> Result<(), String> {
    let (config, watch_stdin) = datto_options(args)?;
    let server = datto_rmm::start(config).await.map_err(|e| e.to_string())?;
    let mut line = serde_json::to_value(server.accounts()).map_err(|e| e.to_string())?;
    line["detail_route"] = "/api/v2/audit/*".into();
    announce(line, server.url(), server.control_url());
    wait_for_the_end(watch_stdin).await.map_err(|e| e.to_string())?;
    server.shutdown().await;
    Ok(())
}

fn announce(mut line: Value, url: &str, control_url: &str) {
    line["url"] = url.into();
    line["control_url"] = control_url.into();
    println!("{line}");
}

/// Whether and how fast a fleet changes, and whether the end of stdin is the end: options of every simulator.
struct Common {
    is_living: bool,
    period_s: u64,
    watch_stdin: bool,
}

impl Common {
    fn new() -> Self {
        Self { is_living: false, period_s: 60, watch_stdin: true }
    }

    /// Takes an option that every simulator has; false for another.
    fn take(&mut self, name: &str, args: &mut impl Iterator<Item = String>) -> Result<bool, String> {
        match name {
            "--living" => self.is_living = true,
            "--period-s" => self.period_s = value(name, args)?,
            "--no-stdin" => self.watch_stdin = false,
            _ => return Ok(false),
        }
        Ok(true)
    }

    fn mode(&self) -> Mode {
        if self.is_living {
            Mode::Living { period: Duration::from_secs(self.period_s) }
        } else {
            Mode::Frozen
        }
    }
}

fn tactical_options(mut args: impl Iterator<Item = String>) -> Result<(tacticalrmm::Config, bool), String> {
    let mut config = tacticalrmm::Config::default();
    let (mut agents, mut clients, mut seed) = (240, None, 1);
    let mut common = Common::new();
    while let Some(name) = args.next() {
        match name.as_str() {
            "--agents" => agents = value(&name, &mut args)?,
            "--clients" => clients = Some(value(&name, &mut args)?),
            "--seed" => seed = value(&name, &mut args)?,
            "--beta" => config.beta = true,
            "--recorded" => config.recorded = true,
            "--delay-ms" => config.delay = Duration::from_millis(value(&name, &mut args)?),
            "--listen" => config.listen = value(&name, &mut args)?,
            "--detail-bytes" => config.detail_bytes = value(&name, &mut args)?,
            "--time-scale" => config.time_scale = value(&name, &mut args)?,
            "--host" => config.hosts.push(value(&name, &mut args)?),
            _ if common.take(&name, &mut args)? => {}
            _ => return Err(format!("unknown option `{name}`")),
        }
    }
    let sized = FleetSpec::sized(agents);
    config.fleet = FleetSpec { seed, clients: clients.unwrap_or(sized.clients), ..sized };
    config.mode = common.mode();
    Ok((config, common.watch_stdin))
}

fn datto_options(mut args: impl Iterator<Item = String>) -> Result<(datto_rmm::Config, bool), String> {
    let mut config = datto_rmm::Config { malformed_row: false, ..datto_rmm::Config::default() };
    let (mut agents, mut clients, mut seed, mut percent) = (None, None, 1, 40);
    let mut common = Common::new();
    while let Some(name) = args.next() {
        match name.as_str() {
            "--devices" | "--agents" => config.devices = value(&name, &mut args)?,
            "--overlap-agents" => agents = Some(value(&name, &mut args)?),
            "--overlap-clients" => clients = Some(value(&name, &mut args)?),
            "--overlap-seed" => seed = value(&name, &mut args)?,
            "--overlap-percent" => percent = value(&name, &mut args)?,
            "--seed" => config.seed = value(&name, &mut args)?,
            "--delay-ms" => config.delay = Duration::from_millis(value(&name, &mut args)?),
            "--listen" => config.listen = value(&name, &mut args)?,
            "--udfs" => config.udfs = value(&name, &mut args)?,
            "--patches" => config.patches = true,
            "--malformed-row" => config.malformed_row = true,
            "--token-life-s" => config.token_life = Duration::from_secs(value(&name, &mut args)?),
            "--header-root" => config.header_root = value(&name, &mut args)?,
            "--reads" => config.rate.reads = value(&name, &mut args)?,
            "--writes" => config.rate.writes = value(&name, &mut args)?,
            "--others" => config.rate.others_per_minute = value(&name, &mut args)?,
            "--legacy-rate" => config.rate.legacy = true,
            _ if common.take(&name, &mut args)? => {}
            _ => return Err(format!("unknown option `{name}`")),
        }
    }
    let sized = FleetSpec::sized(agents.unwrap_or(config.devices));
    let fleet = FleetSpec { seed, clients: clients.unwrap_or(sized.clients), ..sized };
    config.overlap = Some(datto_rmm::Overlap { fleet, percent });
    config.mode = common.mode();
    Ok((config, common.watch_stdin))
}

fn value<T: FromStr<Err: Display>>(name: &str, args: &mut impl Iterator<Item = String>) -> Result<T, String> {
    let text = args.next().ok_or_else(|| format!("`{name}` needs a value"))?;
    text.parse().map_err(|e| format!("`{name} {text}`: {e}"))
}

async fn wait_for_the_end(watch_stdin: bool) -> std::io::Result<()> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
        () = stdin_closed(), if watch_stdin => {}
    }
    Ok(())
}

/// Reads stdin on a thread of its own, which ends with the process.
async fn stdin_closed() {
    let (sender, closed) = tokio::sync::oneshot::channel();
    std::thread::spawn(move || {
        let mut buffer = [0; 256];
        while let Ok(1..) = std::io::stdin().lock().read(&mut buffer) {}
        let _nobody_may_wait = sender.send(());
    });
    let _closed_or_gone = closed.await;
}
