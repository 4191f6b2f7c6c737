//! The measured programs as child processes: Fleetgate and a simulated RMM, on loopback, with free ports.
//!
//! Both end with their handle, by pid, on every way out; should this process be killed, the server gets the
//! parent's death signal and the simulator sees its standard input end.

use std::env;
use std::fs::{self, File};
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, ExitCode, Stdio};
use std::sync::OnceLock;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use serde_json::Value;
use tempfile::TempDir;

use super::raw::postgres::Addresses;
use crate::process;

/// Longest wait until a server that was told to stop has done so.
const STOP_LIMIT: Duration = Duration::from_secs(30);

/// The profile of all figures: release without link-time optimisation.
pub(crate) const PROFILE: &str = "ci";

/// Builds what is measured and, unless this is such a build already, hands over to the optimised `xtask`: a load
/// generator or a raw probe without optimisation would measure itself.
pub(crate) fn hand_over() -> Result<Option<ExitCode>> {
    if !cfg!(debug_assertions) {
        return Ok(None);
    }
    let packages = ["--package", "fleetgate", "--package", "simulator", "--package", "xtask"];
    let mut build = process::cargo(["build", "--quiet", "--profile", PROFILE]);
    build.args(packages);
    process::succeed(build)?;
    let program = process::target_directory()?.join(PROFILE).join("xtask");
    let mut command = process::owned(&program.to_string_lossy());
    command.args(env::args_os().skip(1));
    Ok(Some(process::exit_code(process::status(command)?)))
}

/// The release binary, where that is measured.
static RELEASE: OnceLock<PathBuf> = OnceLock::new();

/// Builds the release binary, and measures it in place of the other from now on.
pub(crate) fn measure_release() -> Result<()> {
    process::succeed(process::cargo(["build", "--quiet", "--release", "--package", "fleetgate"]))?;
    let path = process::target_directory()?.join("release").join("fleetgate");
    // Set once: `bench start` asks once.
    let _already_set = RELEASE.set(path);
    Ok(())
}

/// Which build is measured.
pub(crate) fn profile() -> &'static str {
    if RELEASE.get().is_some() { "release" } else { PROFILE }
}

/// Where the programs are: beside this one, which [`hand_over`] has built with them.
pub(crate) fn program(name: &str) -> Result<PathBuf> {
    if let Some(path) = RELEASE.get().filter(|_| name == "fleetgate") {
        return Ok(path.clone());
    }
    let own = env::current_exe().context("cannot find this program's file")?;
    let path = own.with_file_name(name);
    if !path.is_file() {
        bail!("`{}` is not built: cargo build --profile {PROFILE} -p {name}", path.display());
    }
    Ok(path)
}

/// Where a server keeps its data.
#[derive(Clone)]
pub(crate) enum Database {
    Sqlite,
    Postgres(Addresses),
}

impl Database {
    pub(crate) fn name(&self) -> &'static str {
        match self {
            Database::Sqlite => "sqlite",
            Database::Postgres(_) => "postgres",
        }
    }
}

/// A folder for one installation, removed at the end, and the environment that leads there.
pub(crate) struct Home {
    folder: TempDir,
    /// Kept for its drop, after that of the folder.
    _remover: Remover,
    pub(crate) database: Database,
    /// Variables for every program of this installation.
    more: Vec<(&'static str, String)>,
}

impl Home {
    pub(crate) fn new(database: Database) -> Result<Self> {
        let folder = tempfile::Builder::new().prefix("fleetgate-bench-").tempdir()?;
        let remover = Remover::of(folder.path())?;
        Ok(Self { folder, _remover: remover, database, more: Vec::new() })
    }

    pub(crate) fn data(&self) -> PathBuf {
        self.folder.path().join("data")
    }

    /// Sets a variable for every program from now on.
    pub(crate) fn set(&mut self, name: &'static str, value: String) {
        self.more.push((name, value));
    }

    pub(crate) fn folder(&self) -> &Path {
        self.folder.path()
    }

    pub(crate) fn sqlite_file(&self) -> PathBuf {
        self.data().join("fleetgate.db")
    }

    /// A fleetgate command that works on this installation and knows nothing of the caller's.
    pub(crate) fn command(&self, program: &Path) -> Command {
        let mut command = process::owned(&program.to_string_lossy());
        for (name, _) in env::vars_os().filter(|(name, _)| name.to_string_lossy().starts_with("FLEETGATE_")) {
            command.env_remove(name);
        }
        command
            .env("FLEETGATE_DATA_DIR", self.data())
            .env("FLEETGATE_LISTEN", "127.0.0.1:0")
            .env("FLEETGATE_OUTBOUND_ALLOW", "127.0.0.1/32")
            .env("FLEETGATE_OUTBOUND_RMM_HOSTS", "127.0.0.1")
            .env("FLEETGATE_LOG_LEVEL", "warn")
            .envs(self.more.iter().map(|(name, value)| (*name, value)))
            .current_dir(self.folder.path());
        if let Database::Postgres(addresses) = &self.database {
            command.env("FLEETGATE_DATABASE_URL", &addresses.app);
            command.env("FLEETGATE_DATABASE_MIGRATE_URL", &addresses.owner);
        }
        command
    }

    /// Makes an administrator; answers a token.
    pub(crate) fn sign_up(&self) -> Result<String> {
        const EMAIL: &str = "bench@fleet.example";
        let fleetgate = program("fleetgate")?;
        let password = self.folder.path().join("password");
        fs::write(&password, "a password for one benchmark\n")?;
        let mut user = self.command(&fleetgate);
        user.args(["--quiet", "user", "create", "--email", EMAIL, "--password"]);
        user.arg(format!("@{}", password.display())).stdout(Stdio::null());
        process::succeed(user)?;
        let mut token = self.command(&fleetgate);
        token.args(["--quiet", "token", "create", "--email", EMAIL, "--name", "bench"]);
        Ok(process::output(token)?.trim().to_owned())
    }

    /// The last lines of the server's log, for messages.
    pub(crate) fn log_tail(&self) -> String {
        let text = fs::read_to_string(self.folder.path().join("log")).unwrap_or_default();
        let lines: Vec<&str> = text.lines().collect();
        lines[lines.len().saturating_sub(20)..].join("\n")
    }

    fn log(&self) -> Result<File> {
        Ok(File::options().create(true).append(true).open(self.folder.path().join("log"))?)
    }
}

/// Removes a folder if this process is killed: a shell that waits until a pipe from us ends without a word.
struct Remover {
    child: Child,
}

impl Remover {
    /// In a process group of its own, so that Ctrl-C in the terminal reaches us and not it.
    fn of(folder: &Path) -> Result<Self> {
        const WAIT: &str = r#"read -r word && exit; sleep 2; rm -rf -- "$0""#;
        let mut command = Command::new("sh");
        command.args(["-c", WAIT]).arg(folder).stdin(Stdio::piped());
        #[cfg(unix)]
        std::os::unix::process::CommandExt::process_group(&mut command, 0);
        Ok(Self { child: command.spawn().context("cannot start a shell")? })
    }
}

impl Drop for Remover {
    fn drop(&mut self) {
        if let Some(mut pipe) = self.child.stdin.take() {
            // If it cannot be told, it removes what is not there any more.
            let _told = pipe.write_all(b"done\n");
        }
        let _status = self.child.wait();
    }
}

/// A running `fleetgate serve`.
pub(crate) struct Server {
    child: Child,
    pub(crate) url: String,
    _stdout: BufReader<ChildStdout>,
}

impl Server {
    pub(crate) fn start(home: &Home) -> Result<Self> {
        let mut command = home.command(&program("fleetgate")?);
        command.arg("serve").stdin(Stdio::null()).stdout(Stdio::piped()).stderr(home.log()?);
        let mut child = command.spawn().context("cannot start the server")?;
        let stdout = child.stdout.take().context("the server has no output")?;
        let mut stdout = BufReader::new(stdout);
        let mut line = String::new();
        let read = stdout.read_line(&mut line);
        let url = line.split(' ').find(|word| word.starts_with("http://")).map(str::to_owned);
        match (read, url) {
            (Ok(_), Some(url)) => Ok(Self { child, url, _stdout: stdout }),
            _ => {
                end(&mut child);
                bail!("the server did not start: {line}\n{}", home.log_tail())
            }
        }
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// `kill -9`, and waits until it is gone.
    pub(crate) fn kill(&mut self) {
        end(&mut self.child);
    }

    /// Asks it to stop, and waits.
    pub(crate) fn stop(mut self) -> Result<()> {
        let mut kill = Command::new("kill");
        kill.args(["-TERM", &self.pid().to_string()]);
        process::succeed(kill)?;
        let deadline = Instant::now() + STOP_LIMIT;
        while Instant::now() < deadline {
            if self.child.try_wait()?.is_some() {
                return Ok(());
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        bail!("the server did not stop within {} s", STOP_LIMIT.as_secs())
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        end(&mut self.child);
    }
}

/// A running simulated RMM, frozen: it changes only when told to.
pub(crate) struct Simulator {
    child: Child,
    pub(crate) url: String,
    pub(crate) control_url: String,
    /// Route of its look at one device, in the words of its faults.
    pub(crate) detail_route: String,
    /// All that it told: keys, accounts.
    told: Value,
}

impl Simulator {
    /// One of a kind, which is the id of a provider; every answer takes `delay_ms` at least.
    pub(crate) fn start(kind: &str, agents: usize, delay_ms: u64) -> Result<Self> {
        let mut command = Command::new(program("simulator")?);
        command.args([kind, "--agents", &agents.to_string(), "--delay-ms", &delay_ms.to_string()]);
        let mut child = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .context("cannot start the simulator")?;
        let mut line = String::new();
        if let Some(stdout) = child.stdout.take() {
            BufReader::new(stdout).read_line(&mut line)?;
        }
        let told: Value = serde_json::from_str(&line).unwrap_or_default();
        let text = |name: &str| told[name].as_str().map(str::to_owned);
        match (text("url"), text("control_url"), text("detail_route")) {
            (Some(url), Some(control_url), Some(detail_route)) => {
                Ok(Self { child, url, control_url, detail_route, told })
            }
            _ => {
                end(&mut child);
                bail!("the simulator did not start")
            }
        }
    }

    /// The value of a provider's field, which is called as the simulator calls it, behind the provider's id.
    pub(crate) fn field(&self, kind: &str, name: &str) -> Option<&str> {
        self.told[name.strip_prefix(kind)?.strip_prefix('_')?].as_str()
    }
}

impl Drop for Simulator {
    fn drop(&mut self) {
        end(&mut self.child);
    }
}

fn end(child: &mut Child) {
    // Fails only if it has ended already.
    let _has_ended = child.kill();
    let _status = child.wait();
}
