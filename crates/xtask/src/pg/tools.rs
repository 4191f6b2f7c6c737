//! Finding PostgreSQL's programs and the account that may run them.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::process;

/// The oldest major version we support.
pub(crate) const OLDEST: u32 = 15;

/// What is needed to start a cluster.
pub(crate) struct Tools {
    pub(crate) folder: PathBuf,
    pub(crate) account: Account,
}

/// Who runs the server: `initdb` and `postgres` refuse root.
#[derive(Clone, Copy)]
pub(crate) enum Account {
    /// Whoever we are.
    Own,
    /// We are root and become the system's `postgres` account.
    Postgres { uid: u32, gid: u32 },
}

/// The newest installed version and a usable account, if both exist.
pub(crate) fn find() -> Option<Tools> {
    let folder = newest(candidates())?;
    let account = account()?;
    Some(Tools { folder, account })
}

impl Tools {
    /// A program of the found version as the right account, told to stop when its starter dies.
    pub(crate) fn command(&self, program: &str) -> Command {
        let program = self.folder.join(program);
        if !process::has_setpriv() {
            return Command::new(program);
        }
        let mut command = Command::new("setpriv");
        // QUIT makes the server end its children and remove its shared memory at once.
        command.args(["--pdeathsig", "QUIT"]);
        if matches!(self.account, Account::Postgres { .. }) {
            command.args(["--reuid=postgres", "--regid=postgres", "--clear-groups"]);
        }
        command.arg(program);
        command
    }
}

/// Folders with both programs: the search path, then the usual places of Debian and of the project's RPMs.
fn candidates() -> Vec<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let mut folders: Vec<PathBuf> = std::env::split_paths(&path).collect();
    for (parent, prefix) in [("/usr/lib/postgresql", ""), ("/usr", "pgsql-")] {
        for entry in fs::read_dir(parent).into_iter().flatten().flatten() {
            if entry.file_name().to_string_lossy().starts_with(prefix) {
                folders.push(entry.path().join("bin"));
            }
        }
    }
    folders.retain(|folder| folder.join("initdb").is_file() && folder.join("postgres").is_file());
    folders
}

fn newest(folders: Vec<PathBuf>) -> Option<PathBuf> {
    let versioned = folders.into_iter().filter_map(|folder| Some((major_version(&folder)?, folder)));
    let supported = versioned.filter(|(version, _)| *version >= OLDEST);
    supported.max_by_key(|(version, _)| *version).map(|(_, folder)| folder)
}

fn major_version(folder: &Path) -> Option<u32> {
    let output =
        Command::new(folder.join("postgres")).arg("--version").stderr(Stdio::null()).output().ok()?;
    parse_major_version(&String::from_utf8_lossy(&output.stdout))
}

/// From `postgres (PostgreSQL) 15.14 (Debian 15.14-0+deb12u1)`.
fn parse_major_version(text: &str) -> Option<u32> {
    let (_, version) = text.split_once("(PostgreSQL) ")?;
    let digits = version.split(|c: char| !c.is_ascii_digit()).next()?;
    digits.parse().ok()
}

fn account() -> Option<Account> {
    if id(&["-u"])? != 0 {
        return Some(Account::Own);
    }
    if !process::has_setpriv() {
        return None;
    }
    Some(Account::Postgres { uid: id(&["-u", "postgres"])?, gid: id(&["-g", "postgres"])? })
}

fn id(args: &[&str]) -> Option<u32> {
    let output = Command::new("id").args(args).stderr(Stdio::null()).output().ok()?;
    String::from_utf8_lossy(&output.stdout).trim().parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn major_version_is_read_from_all_forms() {
        assert_eq!(parse_major_version("postgres (PostgreSQL) 15.14 (Debian 15.14-0+deb12u1)\n"), Some(15));
        assert_eq!(parse_major_version("postgres (PostgreSQL) 18beta2"), Some(18));
        assert_eq!(parse_major_version("something else 15.1"), None);
    }
}
