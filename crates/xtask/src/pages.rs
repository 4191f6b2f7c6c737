//! The pages in `web/`: installed and built when they exist, nothing otherwise.

use std::path::Path;

use anyhow::{Result, bail};

use crate::process;

/// Builds the pages and returns what cargo needs to embed them.
pub(crate) fn build() -> Result<&'static [&'static str]> {
    if !Path::new("web/package.json").exists() {
        return Ok(&[]);
    }
    if process::find_program("npm").is_none() {
        bail!("the pages need Node with npm; on Debian: apt-get install nodejs npm");
    }
    if !packages_are_current() {
        process::succeed(npm(&["ci"]))?;
    }
    process::succeed(npm(&["run", "build"]))?;
    Ok(&["--features", "ui"])
}

fn npm(args: &[&str]) -> std::process::Command {
    let mut command = process::owned("npm");
    command.args(["--prefix", "web"]).args(args);
    command
}

/// npm writes this file at the end of each installation; older than the lock file means out of date.
fn packages_are_current() -> bool {
    let changed = |path| std::fs::metadata(path).and_then(|file| file.modified()).ok();
    match (changed("web/node_modules/.package-lock.json"), changed("web/package-lock.json")) {
        (Some(installed), Some(locked)) => installed >= locked,
        (None, _) | (_, None) => false,
    }
}
