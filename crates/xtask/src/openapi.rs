//! `cargo xtask openapi`: write the OpenAPI document.
//!
//! The document is a snapshot test of `server` (it fails when routes and document differ); this runs that
//! test in its writing mode, so there is one way only to make it.

use std::process::ExitCode;

use anyhow::Result;

use crate::process;

pub(crate) fn run() -> Result<ExitCode> {
    process::enter_root()?;
    let mut command =
        process::cargo(["test", "--package", "server", "--lib", "the_snapshot_is_the_document"]);
    command.env("FLEETGATE_UPDATE_SNAPSHOTS", "1");
    Ok(process::exit_code(process::status(command)?))
}
