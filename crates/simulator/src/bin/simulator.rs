//! A simulated RMM server in its own process, for benchmarks and demos.
//!
//! `simulator tacticalrmm --agents N [--clients N] [--seed S] [--living] [--period-s N] [--beta] [--delay-ms N]
//! [--listen ADDR:PORT] [--detail-bytes N] [--time-scale X] [--host NAME] [--recorded]` prints one line of JSON
//! (addresses, keys, accounts), then serves until stdin closes, or SIGTERM or SIGINT arrives. With `--no-stdin` it
//! does not look at stdin.

use std::fmt::Display;
use std::io::Read;
use std::process::ExitCode;
use std::str::FromStr;
use std::time::Duration;

use serde_json::{Value, json};
use simulator::fleet::{FleetSpec, Mode};
use simulator::tacticalrmm::{self, Config, Server};
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
        Some("tacticalrmm") => {}
        Some(other) => return Err(format!("there is no simulator of `{other}`")),
        None => return Err("which simulator? try `simulator tacticalrmm --agents 240`".to_owned()),
    }
    let options = Options::parse(args)?;
    let watch_stdin = options.watch_stdin;
    let server = tacticalrmm::start(options.config).await.map_err(|e| e.to_string())?;
    server.control().warm();
    println!("{}", first_line(&server)?);
    wait_for_the_end(watch_stdin).await.map_err(|e| e.to_string())?;
    server.shutdown().await;
    Ok(())
}

struct Options {
    config: Config,
    watch_stdin: bool,
}

impl Options {
    fn parse(mut args: impl Iterator<Item = String>) -> Result<Self, String> {
        let mut config = Config::default();
        let (mut agents, mut clients, mut seed) = (240, None, 1);
        let (mut is_living, mut period_s, mut watch_stdin) = (false, 60, true);
        while let Some(name) = args.next() {
            match name.as_str() {
                "--agents" => agents = value(&name, &mut args)?,
                "--clients" => clients = Some(value(&name, &mut args)?),
                "--seed" => seed = value(&name, &mut args)?,
                "--living" => is_living = true,
                "--period-s" => period_s = value(&name, &mut args)?,
                "--beta" => config.beta = true,
                "--recorded" => config.recorded = true,
                "--delay-ms" => config.delay = Duration::from_millis(value(&name, &mut args)?),
                "--listen" => config.listen = value(&name, &mut args)?,
                "--detail-bytes" => config.detail_bytes = value(&name, &mut args)?,
                "--time-scale" => config.time_scale = value(&name, &mut args)?,
                "--host" => config.hosts.push(value(&name, &mut args)?),
                "--no-stdin" => watch_stdin = false,
                _ => return Err(format!("unknown option `{name}`")),
            }
        }
        let sized = FleetSpec::sized(agents);
        config.fleet = FleetSpec { seed, clients: clients.unwrap_or(sized.clients), ..sized };
        if is_living {
            config.mode = Mode::Living { period: Duration::from_secs(period_s) };
        }
        Ok(Self { config, watch_stdin })
    }
}

fn value<T: FromStr<Err: Display>>(name: &str, args: &mut impl Iterator<Item = String>) -> Result<T, String> {
    let text = args.next().ok_or_else(|| format!("`{name}` needs a value"))?;
    text.parse().map_err(|e| format!("`{name} {text}`: {e}"))
}

fn first_line(server: &Server) -> Result<String, String> {
    let mut line = serde_json::to_value(server.accounts()).map_err(|e| e.to_string())?;
    line["url"] = server.url().into();
    line["control_url"] = server.control_url().into();
    line["clients"] = json!(server.control().client_ids());
    Ok(Value::to_string(&line))
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
