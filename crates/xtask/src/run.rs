//! `cargo xtask run`: build the binary and start the demo.
//!
//! On Unix the demo takes the place of this process, so signals, Ctrl-C and the exit code are its own.

use std::process::{Command, ExitCode};

use anyhow::{Context, Result};
use clap::Args;

use crate::{pages, process};

#[derive(Args)]
pub(crate) struct Options {
    /// Passed on to `fleetgate demo`
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    args: Vec<String>,
}

pub(crate) fn run(options: &Options) -> Result<ExitCode> {
    process::enter_root()?;
    let features = pages::build()?;
    let mut build = process::cargo(["build", "--package", "fleetgate"]);
    build.args(features);
    process::succeed(build)?;

    let binary = process::target_directory()?.join("debug").join("fleetgate");
    let mut demo = Command::new(&binary);
    demo.arg("demo").args(&options.args);
    replace_by(demo).with_context(|| format!("cannot start `{}`", binary.display()))
}

#[cfg(unix)]
fn replace_by(mut command: Command) -> Result<ExitCode> {
    use std::os::unix::process::CommandExt;
    Err(command.exec().into())
}

#[cfg(not(unix))]
fn replace_by(command: Command) -> Result<ExitCode> {
    Ok(process::exit_code(process::status(command)?))
}
