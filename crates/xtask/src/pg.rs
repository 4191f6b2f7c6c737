//! A private PostgreSQL cluster for one run, from the system's binaries in a folder of its own.
//!
//! The cluster belongs to a guard process ([`guard`]) that lives as long as a pipe from us stays open. Whatever
//! ends us (return, panic, Ctrl-C, `kill -9`) closes the pipe; the guard then stops the server by its pid and
//! removes the folder. So there is one way to stop, and it needs no signal handler.
//!
//! Promises: loopback only, a free port, a random password, nothing shared with a system cluster.
//! Does not: create databases or roles; tests make their own template and clone it.

use std::io::{BufRead, BufReader};
use std::path::PathBuf;
use std::process::{Child, ChildStdin, Command, ExitCode, Stdio};

use anyhow::{Context, Result, anyhow, bail};
use clap::Args;
use serde::{Deserialize, Serialize};

use crate::process;

pub(crate) mod guard;
pub(crate) mod tools;

/// The variable that holds the superuser's address for tests.
pub(crate) const ADDRESS_VARIABLE: &str = "FLEETGATE_TEST_POSTGRES";

/// The command that installs what is missing; printed, never run.
pub(crate) const INSTALL: &str = "apt-get install postgresql";

/// A running cluster; dropping it stops the server and removes its files.
pub(crate) struct Cluster {
    url: String,
    folder: PathBuf,
    guard: Child,
    /// Closing it is the signal to stop.
    alive: Option<ChildStdin>,
}

/// The guard's only line of output.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Report {
    Ready { url: String, folder: PathBuf },
    Failed { message: String },
}

/// Whether [`Cluster::start`] would find what it needs.
pub(crate) fn is_available() -> bool {
    tools::find().is_some()
}

impl Cluster {
    /// Starts a cluster; `None` where PostgreSQL is not installed.
    pub(crate) fn start() -> Result<Option<Self>> {
        if !is_available() {
            return Ok(None);
        }
        let mut guard = spawn_guard()?;
        let alive = guard.stdin.take();
        let mut line = String::new();
        if let Some(stdout) = guard.stdout.take() {
            BufReader::new(stdout).read_line(&mut line).context("cannot read from the PostgreSQL guard")?;
        }
        let report = serde_json::from_str(&line).context("the PostgreSQL guard ended without a word");
        match report {
            Ok(Report::Ready { url, folder }) => Ok(Some(Self { url, folder, guard, alive })),
            Ok(Report::Failed { message }) => Err(give_up(guard, alive, anyhow!(message))),
            Err(error) => Err(give_up(guard, alive, error)),
        }
    }

    /// The superuser's address, `postgres://…@127.0.0.1:PORT/postgres`.
    pub(crate) fn url(&self) -> &str {
        &self.url
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        self.alive.take();
        let _ = self.guard.wait();
        // Left only if the guard itself was killed; its server has got the parent's death signal then.
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}

fn give_up(mut guard: Child, alive: Option<ChildStdin>, error: anyhow::Error) -> anyhow::Error {
    drop(alive);
    let _ = guard.wait();
    error.context("cannot start a private PostgreSQL")
}

/// In a process group of its own, so that Ctrl-C in the terminal reaches us and not the guard.
fn spawn_guard() -> Result<Child> {
    let mut command = Command::new(own_program()?);
    command.arg("pg-guard").stdin(Stdio::piped()).stdout(Stdio::piped());
    #[cfg(unix)]
    std::os::unix::process::CommandExt::process_group(&mut command, 0);
    command.spawn().context("cannot start the PostgreSQL guard")
}

/// On Linux the running program itself, even when a build has meanwhile replaced its file.
fn own_program() -> Result<PathBuf> {
    if cfg!(target_os = "linux") {
        return Ok(PathBuf::from("/proc/self/exe"));
    }
    std::env::current_exe().context("cannot find this program's file")
}

#[derive(Args)]
pub(crate) struct Options {
    /// The command to run, for example `cargo nextest run --package store`
    #[arg(trailing_var_arg = true, allow_hyphen_values = true, required = true)]
    command: Vec<String>,
}

/// `cargo xtask pg -- COMMAND`: the command beside a private cluster, in the folder it was called from.
pub(crate) fn run(options: &Options) -> Result<ExitCode> {
    let Some(cluster) = Cluster::start()? else {
        bail!("PostgreSQL {} or newer is not installed; on Debian: {INSTALL}", tools::OLDEST);
    };
    let (program, args) = options.command.split_first().context("a command is needed")?;
    let mut command =
        if program == "cargo" { process::cargo::<[&str; 0], &str>([]) } else { process::owned(program) };
    command.args(args).env(ADDRESS_VARIABLE, cluster.url());
    Ok(process::exit_code(process::status(command)?))
}
