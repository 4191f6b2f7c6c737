//! Starting other programs: from the repository's root, with a clean environment, never outliving `xtask`.

use std::env;
use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, ExitStatus, Stdio};
use std::sync::OnceLock;

use anyhow::{Context, Result, bail};
use serde::Deserialize;

/// Goes to the root of the workspace, so that all paths below are relative to it.
pub(crate) fn enter_root() -> Result<()> {
    let manifest = output(cargo(["locate-project", "--workspace", "--message-format", "plain"]))?;
    let root = Path::new(manifest.trim()).parent().context("the workspace manifest has no folder")?;
    env::set_current_dir(root).with_context(|| format!("cannot enter `{}`", root.display()))
}

/// `cargo ARGS`, without the variables that the outer `cargo run` has set for `xtask` itself.
///
/// Build scripts that watch those (that of `ring` does) would otherwise run again at each change between
/// `cargo xtask test` and plain `cargo test`.
pub(crate) fn cargo<I, S>(args: I) -> Command
where
    I: IntoIterator<Item = S>,
    S: AsRef<OsStr>,
{
    let mut command = owned("cargo");
    for (name, _) in env::vars_os() {
        if is_of_outer_cargo(&name.to_string_lossy()) {
            command.env_remove(name);
        }
    }
    command.args(args);
    command
}

/// A program that is told to stop when `xtask` dies, however it dies (Linux, with `setpriv`; elsewhere plain).
pub(crate) fn owned(program: &str) -> Command {
    if !has_setpriv() {
        return Command::new(program);
    }
    let mut command = Command::new("setpriv");
    command.args(["--pdeathsig", "TERM", program]);
    command
}

/// Whether `setpriv` (util-linux) is there.
pub(crate) fn has_setpriv() -> bool {
    static FOUND: OnceLock<bool> = OnceLock::new();
    *FOUND.get_or_init(|| cfg!(target_os = "linux") && find_program("setpriv").is_some())
}

/// The first executable of that name on the search path.
pub(crate) fn find_program(name: &str) -> Option<PathBuf> {
    let path = env::var_os("PATH")?;
    env::split_paths(&path).map(|folder| folder.join(name)).find(|file| file.is_file())
}

/// Runs to the end with inherited streams.
pub(crate) fn status(mut command: Command) -> Result<ExitStatus> {
    command.status().with_context(|| format!("cannot start {command:?}"))
}

/// Like [`status`], with anything but success as an error.
pub(crate) fn succeed(command: Command) -> Result<()> {
    let shown = format!("{command:?}");
    let status = status(command)?;
    if !status.success() {
        bail!("{shown} failed: {status}");
    }
    Ok(())
}

/// Runs quietly to the end and says whether it succeeded; a program that is not there did not.
pub(crate) fn succeeds_quietly(mut command: Command) -> bool {
    let command = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    command.status().is_ok_and(|status| status.success())
}

/// Runs to the end and returns what it wrote to standard output; its standard error is passed on.
pub(crate) fn output(mut command: Command) -> Result<String> {
    let output =
        command.stderr(Stdio::inherit()).output().with_context(|| format!("cannot start {command:?}"))?;
    if !output.status.success() {
        bail!("{command:?} failed: {}", output.status);
    }
    String::from_utf8(output.stdout).with_context(|| format!("{command:?} wrote something else than UTF-8"))
}

/// A child's exit code as ours; a child ended by a signal is a failure.
pub(crate) fn exit_code(status: ExitStatus) -> ExitCode {
    let code = status.code().and_then(|code| u8::try_from(code).ok());
    code.map_or(ExitCode::FAILURE, ExitCode::from)
}

/// The folder that cargo builds into.
pub(crate) fn target_directory() -> Result<PathBuf> {
    #[derive(Deserialize)]
    struct Metadata {
        target_directory: PathBuf,
    }
    let json = output(cargo(["metadata", "--no-deps", "--format-version", "1"]))?;
    let metadata: Metadata = serde_json::from_str(&json).context("cannot read `cargo metadata`")?;
    Ok(metadata.target_directory)
}

fn is_of_outer_cargo(name: &str) -> bool {
    const NAMES: [&str; 4] = ["CARGO_CRATE_NAME", "CARGO_BIN_NAME", "CARGO_PRIMARY_PACKAGE", "OUT_DIR"];
    const PREFIXES: [&str; 3] = ["CARGO_MANIFEST_", "CARGO_PKG_", "CARGO_BIN_EXE_"];
    NAMES.contains(&name) || PREFIXES.iter().any(|prefix| name.starts_with(prefix))
}
