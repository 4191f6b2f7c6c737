//! Automation of the repository: every command a developer or CI needs, in Rust and without extra tools.
//!
//! One file per command. Checks live here so that a fresh machine needs Rust (and Node once there are pages)
//! and nothing else; nextest and cargo-deny are used where present. Nothing here installs software on the machine: a missing
//! optional piece is named together with the command that installs it.

use std::process::ExitCode;

use anyhow::Result;
use clap::{Parser, Subcommand};

mod bench;
mod dist;
mod faults;
mod openapi;
mod pages;
mod pg;
mod process;
mod run;
mod schemathesis;
mod test;
mod tidy;

#[derive(Parser)]
#[command(name = "cargo xtask", about = "Automation of the Fleetgate repository")]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Build and start the demo: built-in simulators, SQLite, address and login printed
    Run(run::Options),
    /// Run everything: fmt, clippy, tidy, all tests
    Test(test::Options),
    /// Check crate table, bans, licences, sizes, names and layout
    Tidy,
    /// Run a command beside a private PostgreSQL (address in `FLEETGATE_TEST_POSTGRES`)
    Pg(pg::Options),
    /// Write the OpenAPI document to `docs/openapi.json`
    Openapi,
    /// Build the release binary and print its size and SHA-256
    Dist,
    /// Measure speed and memory of the optimised programs
    Bench(bench::Options),
    /// Kill and disturb the programs at work, and count what is left
    Faults(faults::Options),
    /// Call the REST interface with what its document allows, and what it does not (Python's schemathesis)
    Schemathesis(schemathesis::Options),
    /// Own one PostgreSQL cluster until standard input ends
    #[command(hide = true)]
    PgGuard,
}

fn main() -> ExitCode {
    match dispatch(Cli::parse().command) {
        Ok(code) => code,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn dispatch(command: Command) -> Result<ExitCode> {
    match command {
        Command::Run(options) => run::run(&options),
        Command::Test(options) => test::run(&options),
        Command::Tidy => tidy::run(),
        Command::Pg(options) => pg::run(&options),
        Command::Openapi => openapi::run(),
        Command::Dist => dist::run(),
        Command::Bench(options) => bench::run(&options),
        Command::Faults(options) => faults::run(&options),
        Command::Schemathesis(options) => schemathesis::run(&options),
        Command::PgGuard => pg::guard::run(),
    }
}
