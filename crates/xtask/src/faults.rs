//! `cargo xtask faults …`: programs are killed and disturbed at work, then what is left is counted.
//!
//! The long form of tests that `cargo xtask test` has in small. Answers PASS or FAIL for each engine, with the reasons,
//! and one line of JSON.

use std::process::ExitCode;

use anyhow::Result;
use clap::{Args, Subcommand};

use crate::bench::programs;
use crate::process;

mod house;
mod register;
mod sync;

#[derive(Args)]
pub(crate) struct Options {
    #[command(subcommand)]
    what: What,
}

#[derive(Subcommand)]
enum What {
    /// Kill the server (-9) in the middle of a device sync, again and again
    Sync(sync::Options),
    /// Kill servers under mixed writes, two on one database, full disks, failing fsync, killed rotations of keys, a tampered audit log
    House(house::Options),
}

pub(crate) fn run(options: &Options) -> Result<ExitCode> {
    process::enter_root()?;
    if let Some(code) = programs::hand_over()? {
        return Ok(code);
    }
    match &options.what {
        What::Sync(options) => sync::run(options),
        What::House(options) => house::run(options),
    }
}
