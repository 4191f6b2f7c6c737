//! The guard: owns one cluster from its first file to its last.
//!
//! `xtask pg-guard` makes the folder, starts the server as its own child, reports the address in one line of
//! JSON, waits until standard input ends, stops the child by its pid and removes the folder. If the guard itself
//! is killed the server gets the parent's death signal (Linux, `setpriv`).

use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitCode, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use tempfile::TempDir;

use super::Report;
use super::tools::{self, Account, Tools};

const START_LIMIT: Duration = Duration::from_secs(60);
const STOP_LIMIT: Duration = Duration::from_secs(10);
/// A free port may be taken between our look and the server's start.
const START_TRIES: usize = 3;

/// The server's settings beyond the defaults. `fsync` stays on: what tests see is what users get.
const SETTINGS: [&str; 7] = [
    "listen_addresses=127.0.0.1",
    "synchronous_commit=off",
    "full_page_writes=off",
    "max_connections=200",
    "shared_buffers=128MB",
    "jit=off",
    "log_min_messages=fatal",
];

pub(crate) fn run() -> Result<ExitCode> {
    let server = Server::start();
    let report = match &server {
        Ok(server) => Report::Ready { url: server.url.clone(), folder: server.files.path().to_owned() },
        Err(error) => Report::Failed { message: format!("{error:#}") },
    };
    let mut stdout = io::stdout();
    // The reader may be gone already; then standard input has ended as well.
    let _ = writeln!(stdout, "{}", serde_json::to_string(&report)?).and_then(|()| stdout.flush());
    let _ = io::stdin().read_to_end(&mut Vec::new());
    Ok(if server.is_ok() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// A running server with its files. Fields are dropped after [`Drop::drop`] has stopped the child.
struct Server {
    url: String,
    child: Child,
    files: TempDir,
}

impl Server {
    fn start() -> Result<Self> {
        let tools = tools::find().context("PostgreSQL is not installed")?;
        let files = private_folder()?;
        give_to(tools.account, files.path())?;
        let password = random_password()?;
        initialise(&tools, files.path(), &password)?;
        let mut tries_left = START_TRIES;
        loop {
            tries_left -= 1;
            let port = free_port()?;
            match spawn_server(&tools, files.path(), port) {
                Ok(child) => return Ok(Self { url: url(&password, port), child, files }),
                Err(error) if tries_left == 0 => return Err(error),
                Err(_) => {}
            }
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if let Ok(Some(status)) = self.child.try_wait() {
            eprintln!(
                "PostgreSQL had ended before it was told to: {status}\n{}",
                log_tail(self.files.path())
            );
            return;
        }
        stop(&mut self.child);
    }
}

fn url(password: &str, port: u16) -> String {
    format!("postgres://postgres:{password}@127.0.0.1:{port}/postgres")
}

#[cfg(unix)]
fn give_to(account: Account, path: &Path) -> Result<()> {
    match account {
        Account::Own => Ok(()),
        Account::Postgres { uid, gid } => std::os::unix::fs::chown(path, Some(uid), Some(gid))
            .with_context(|| format!("cannot give `{}` to the account `postgres`", path.display())),
    }
}

#[cfg(not(unix))]
fn give_to(_account: Account, _path: &Path) -> Result<()> {
    Ok(())
}

fn private_folder() -> Result<TempDir> {
    let mut builder = tempfile::Builder::new();
    builder.prefix("fleetgate-pg-");
    #[cfg(unix)]
    builder.permissions(std::os::unix::fs::PermissionsExt::from_mode(0o700));
    builder.tempdir().context("cannot make a temporary folder")
}

/// 128 bits from the system, as hexadecimal digits (nothing to escape in a URL).
fn random_password() -> Result<String> {
    let mut bytes = [0; 16];
    File::open("/dev/urandom").and_then(|mut file| file.read_exact(&mut bytes)).context("no random bytes")?;
    Ok(bytes.iter().map(|byte| format!("{byte:02x}")).collect())
}

fn free_port() -> Result<u16> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).context("no free port on 127.0.0.1")?;
    Ok(listener.local_addr()?.port())
}

fn initialise(tools: &Tools, folder: &Path, password: &str) -> Result<()> {
    let password_file = folder.join("password");
    fs::write(&password_file, password)?;
    give_to(tools.account, &password_file)?;

    let locale = if cfg!(target_os = "linux") { "C.UTF-8" } else { "C" };
    let mut initdb = tools.command("initdb");
    initdb.args([
        "--username=postgres",
        "--auth-local=trust",
        "--auth-host=scram-sha-256",
        "--encoding=UTF8",
    ]);
    initdb.args(["--no-sync", "--locale", locale, "--pgdata"]).arg(data_folder(folder));
    initdb.arg("--pwfile").arg(&password_file);
    let output = initdb.current_dir(folder).stdin(Stdio::null()).output().context("cannot start `initdb`")?;
    if !output.status.success() {
        bail!("`initdb` failed: {}", String::from_utf8_lossy(&output.stderr).trim());
    }
    fs::remove_file(&password_file)?;
    Ok(())
}

fn data_folder(folder: &Path) -> PathBuf {
    folder.join("data")
}

fn log_file(folder: &Path) -> PathBuf {
    folder.join("server.log")
}

fn log_tail(folder: &Path) -> String {
    let log = fs::read_to_string(log_file(folder)).unwrap_or_default();
    let lines: Vec<&str> = log.lines().collect();
    lines[lines.len().saturating_sub(10)..].join("\n")
}

fn spawn_server(tools: &Tools, folder: &Path, port: u16) -> Result<Child> {
    let log = File::create(log_file(folder))?;
    let mut command = tools.command("postgres");
    command.arg("-D").arg(data_folder(folder));
    for setting in SETTINGS {
        command.args(["-c", setting]);
    }
    command.arg("-c").arg(format!("port={port}"));
    command.arg("-c").arg(format!("unix_socket_directories={}", folder.display()));
    command.current_dir(folder).stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log);
    let mut child = command.spawn().context("cannot start `postgres`")?;
    match wait_until_ready(&mut child, folder) {
        Ok(()) => Ok(child),
        Err(error) => {
            stop(&mut child);
            Err(error)
        }
    }
}

fn wait_until_ready(child: &mut Child, folder: &Path) -> Result<()> {
    let started = Instant::now();
    while !is_ready(folder) {
        if let Some(status) = child.try_wait()? {
            bail!("`postgres` ended at its start: {status}\n{}", log_tail(folder));
        }
        if started.elapsed() > START_LIMIT {
            bail!("`postgres` was not ready after {} s\n{}", START_LIMIT.as_secs(), log_tail(folder));
        }
        thread::sleep(Duration::from_millis(20));
    }
    Ok(())
}

/// The last line of the pid file is the server's state; `pg_ctl --wait` looks at the same place.
fn is_ready(folder: &Path) -> bool {
    let file = data_folder(folder).join("postmaster.pid");
    let text = fs::read_to_string(file).unwrap_or_default();
    text.lines().nth(7).is_some_and(|state| state.trim() == "ready")
}

/// Politely, then firmly, then by force. `setpriv` has become the server, so the child's pid is the server's.
fn stop(child: &mut Child) {
    for signal in ["INT", "QUIT"] {
        send(signal, child.id());
        if ends_within(child, STOP_LIMIT) {
            return;
        }
    }
    let _ = child.kill();
    let _ = child.wait();
}

/// Through the shell's own `kill`: the program of that name is missing on slim systems.
fn send(signal: &str, pid: u32) {
    let script = format!("kill -{signal} {pid}");
    let _ = Command::new("sh").args(["-c", &script]).stderr(Stdio::null()).status();
}

fn ends_within(child: &mut Child, limit: Duration) -> bool {
    let started = Instant::now();
    while started.elapsed() < limit {
        match child.try_wait() {
            Ok(None) => thread::sleep(Duration::from_millis(10)),
            Ok(Some(_)) | Err(_) => return true,
        }
    }
    false
}
