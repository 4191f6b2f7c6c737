//! A folder with a database and its root key, and the program run on it.

use std::{
    fs::{self, File},
    io::Write,
    path::{Path, PathBuf},
    process::{Child, Command, ExitStatus, Stdio},
    thread,
    time::{Duration, Instant, SystemTime},
};

use domain::{Actor, Ctx, Time, id::TenantId};
use secrecy::ExposeSecret;
use store::{Location, RootKey, Store, testing::Roles};
use tempfile::TempDir;

use crate::api::Api;

const PROGRAM: &str = env!("CARGO_BIN_EXE_fleetgate");

/// No program here takes longer.
const PATIENCE: Duration = Duration::from_secs(90);

/// Between two looks.
const LOOK: Duration = Duration::from_millis(15);

pub(crate) const ADMIN: &str = "ann@example.com";
pub(crate) const PASSWORD: &str = "correct horse battery staple";

/// What one installation keeps.
pub(crate) struct Home {
    folder: TempDir,
    env: Vec<(String, String)>,
    location: Location,
    root_key: Option<RootKey>,
    /// On PostgreSQL.
    pub(crate) roles: Option<Roles>,
}

/// How a program ended.
pub(crate) struct Ran {
    pub(crate) code: i32,
    pub(crate) out: String,
    pub(crate) err: String,
}

impl Ran {
    /// Its output, if it ended with this code.
    #[track_caller]
    pub(crate) fn ends_with(self, code: i32) -> Ran {
        assert_eq!(self.code, code, "stdout: {}\nstderr: {}", self.out, self.err);
        self
    }

    #[track_caller]
    pub(crate) fn json(&self) -> serde_json::Value {
        serde_json::from_str(&self.out).unwrap_or_else(|error| panic!("{error}: {}", self.out))
    }
}

impl Home {
    /// SQLite, with nothing in it yet.
    pub(crate) fn sqlite() -> Home {
        let folder = tempfile::tempdir().unwrap();
        let location = Location::File(folder.path().join("data/fleetgate.db"));
        let data = folder.path().join("data").display().to_string();
        let env = vec![("FLEETGATE_DATA_DIR".to_owned(), data)];
        Home { folder, env, location, root_key: None, roles: None }
    }

    /// A PostgreSQL database of its own, with its tables, as the role that serves.
    pub(crate) async fn postgres() -> Home {
        let test = store::testing::postgres().await;
        test.store.close().await;
        Home::of_roles(*test.roles.unwrap(), test.root_key)
    }

    /// The same without tables, as the role that serves.
    pub(crate) async fn empty_postgres() -> Home {
        Home::of_roles(store::testing::empty_postgres().await, RootKey::generate())
    }

    fn of_roles(roles: Roles, root_key: RootKey) -> Home {
        let mut home = Home::sqlite();
        home.set("FLEETGATE_DATABASE_URL", address(&roles.app));
        home.set("FLEETGATE_ROOT_KEY", root_key.to_base64().expose_secret());
        Home { location: roles.app.clone(), root_key: Some(root_key), roles: Some(roles), ..home }
    }

    pub(crate) fn folder(&self) -> &Path {
        self.folder.path()
    }

    pub(crate) fn data(&self) -> PathBuf {
        self.folder().join("data")
    }

    /// The root key's file, beside the data folder.
    pub(crate) fn key_file(&self) -> PathBuf {
        self.folder().join("data.key")
    }

    /// The root key as text, where it was made here and is in no file.
    pub(crate) fn root_key_text(&self) -> String {
        self.root_key.as_ref().unwrap().to_base64().expose_secret().to_owned()
    }

    /// Moves a root key that was made here from the variable into its file.
    pub(crate) fn keep_key_in_file(&mut self) {
        let Some(key) = self.root_key.take() else { return };
        self.set("FLEETGATE_ROOT_KEY", "");
        write_key(&self.key_file(), key.to_base64().expose_secret());
    }

    /// Sets a variable for all programs from now on.
    pub(crate) fn set(&mut self, name: &str, value: &str) {
        self.env.retain(|(known, _)| known != name);
        self.env.push((name.to_owned(), value.to_owned()));
    }

    /// The program in this folder, with nothing of our own environment.
    pub(crate) fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(PROGRAM);
        command.args(args).current_dir(self.folder()).env_clear();
        command.envs(self.env.iter().map(|(name, value)| (name, value)));
        command
    }

    /// Runs it to its end.
    #[track_caller]
    pub(crate) fn run(&self, args: &[&str], input: &str) -> Ran {
        run(self.command(args), self.folder(), input)
    }

    /// `doctor`, which finds nothing to mend but that the private PostgreSQL of tests gives up durability for speed.
    #[track_caller]
    pub(crate) fn well(&self) -> Ran {
        let ran = self.run(&["doctor"], "");
        let told = ran.out.split_whitespace().collect::<Vec<_>>().join(" ");
        let expected = i32::from(self.roles.is_some());
        let problems = told.matches(" problem ").count();
        assert_eq!(problems, usize::from(self.roles.is_some()), "{}", ran.out);
        assert!(problems == 0 || told.contains("` is `off`"), "{}", ran.out);
        ran.ends_with(expected)
    }

    /// As a client of a server: address and token by the environment.
    pub(crate) fn cli(&self, server: &Server, token: &str, args: &[&str], input: &str) -> Ran {
        let mut command = self.command(args);
        command.env("FLEETGATE_URL", &server.url).env("FLEETGATE_TOKEN", token);
        run(command, self.folder(), input)
    }

    #[track_caller]
    pub(crate) fn add_user(&self, email: &str, role: &str) {
        let args = [
            "user",
            "create",
            "--email",
            email,
            "--name",
            "Somebody",
            "--role",
            role,
            "--password",
            "-",
            "--own-password",
        ];
        self.run(&args, PASSWORD).ends_with(0);
    }

    /// A new token of a user; `kind` is `user` or `agent`.
    #[track_caller]
    pub(crate) fn token(&self, email: &str, kind: &str) -> String {
        let args = ["token", "create", "--email", email, "--name", "test", "--days", "1", "--kind", kind];
        let ran = self.run(&args, "").ends_with(0);
        assert_eq!(ran.out.lines().count(), 1, "the token stands alone: {}", ran.out);
        ran.out.trim().to_owned()
    }

    /// An admin and a token of it.
    #[track_caller]
    pub(crate) fn admin_token(&self) -> String {
        self.add_user(ADMIN, "admin");
        self.token(ADMIN, "user")
    }

    #[track_caller]
    pub(crate) fn start(&self) -> Server {
        Server::start(self.command(&["serve", "--listen", "127.0.0.1:0"]), self.folder())
    }

    /// The database, beside a running server: for short transactions.
    pub(crate) async fn store(&self) -> Store {
        self.open(&self.location).await
    }

    async fn open(&self, location: &Location) -> Store {
        let from_file;
        let key = match &self.root_key {
            Some(key) => key,
            None => {
                from_file = RootKey::load_or_create(&self.key_file()).unwrap();
                &from_file
            }
        };
        Store::open(location, key).await.unwrap()
    }
}

/// A key file as an administrator makes it.
pub(crate) fn write_key(path: &Path, text: &str) {
    use std::os::unix::fs::PermissionsExt;
    fs::write(path, format!("{text}\n")).unwrap();
    fs::set_permissions(path, fs::Permissions::from_mode(0o600)).unwrap();
}

/// The address of a database on a server.
pub(crate) fn address(location: &Location) -> &str {
    let Location::Server(url) = location else { panic!("it is a file") };
    url
}

/// Fleetgate itself in a tenant.
pub(crate) fn system(tenant: i64) -> Ctx {
    Ctx { tenant: TenantId(tenant), actor: Actor::system(), request_id: "test".to_owned(), now: now() }
}

pub(crate) fn now() -> Time {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap();
    Time(i64::try_from(since.as_millis()).unwrap())
}

/// Runs a program to its end. Its output goes through files: a pipe that nobody reads would stop it.
#[track_caller]
pub(crate) fn run(mut command: Command, folder: &Path, input: &str) -> Ran {
    let outputs = Outputs::new(folder);
    let mut child = outputs.spawn(&mut command, Stdio::piped());
    // A program that reads nothing may be gone already.
    let _read_or_not = child.stdin.take().unwrap().write_all(input.as_bytes());
    let status = wait(&mut child, PATIENCE).unwrap_or_else(|| {
        let _gone_or_not = child.kill();
        panic!("it did not end: {}", outputs.err());
    });
    Ran { code: status.code().unwrap_or(-1), out: outputs.out(), err: outputs.err() }
}

fn wait(child: &mut Child, most: Duration) -> Option<ExitStatus> {
    let deadline = Instant::now() + most;
    loop {
        if let Some(status) = child.try_wait().unwrap() {
            return Some(status);
        }
        if Instant::now() >= deadline {
            return None;
        }
        thread::sleep(LOOK);
    }
}

/// Where a program writes.
struct Outputs {
    files: TempDir,
}

impl Outputs {
    fn new(folder: &Path) -> Outputs {
        Outputs { files: tempfile::Builder::new().prefix("output").tempdir_in(folder).unwrap() }
    }

    fn spawn(&self, command: &mut Command, stdin: Stdio) -> Child {
        let file = |name: &str| File::create(self.files.path().join(name)).unwrap();
        command.stdin(stdin).stdout(file("out")).stderr(file("err")).spawn().unwrap()
    }

    fn out(&self) -> String {
        self.text("out")
    }

    fn err(&self) -> String {
        self.text("err")
    }

    fn text(&self, name: &str) -> String {
        String::from_utf8_lossy(&fs::read(self.files.path().join(name)).unwrap()).into_owned()
    }
}

/// A server at work. It is killed when dropped.
pub(crate) struct Server {
    pub(crate) url: String,
    child: Child,
    outputs: Outputs,
}

impl Server {
    /// Starts `serve` or `demo` and waits for the address that it tells.
    #[track_caller]
    pub(crate) fn start(command: Command, folder: &Path) -> Server {
        Server::start_at(command, folder, address_in)
    }

    /// The same where the output does not tell the address.
    #[track_caller]
    pub(crate) fn start_at(
        mut command: Command,
        folder: &Path,
        address: impl Fn(&str) -> Option<String>,
    ) -> Server {
        let outputs = Outputs::new(folder);
        let child = outputs.spawn(&mut command, Stdio::null());
        let mut server = Server { url: String::new(), child, outputs };
        let deadline = Instant::now() + PATIENCE;
        loop {
            if let Some(url) = address(&server.outputs.out()) {
                server.url = url;
                return server;
            }
            let ended = server.child.try_wait().unwrap();
            assert!(
                ended.is_none() && Instant::now() < deadline,
                "it did not start ({ended:?}): {}",
                server.outputs.err()
            );
            thread::sleep(LOOK);
        }
    }

    /// Its REST interface, for the holder of a token or nobody.
    pub(crate) fn api<'t>(&self, token: impl Into<Option<&'t str>>) -> Api {
        Api::new(&self.url, token.into())
    }

    /// `127.0.0.1:PORT`.
    pub(crate) fn authority(&self) -> &str {
        self.url.trim_start_matches("http://")
    }

    pub(crate) fn stdout(&self) -> String {
        self.outputs.out()
    }

    pub(crate) fn log(&self) -> String {
        self.outputs.err()
    }

    /// No warning, no chance.
    pub(crate) fn kill(mut self) -> String {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
        self.log()
    }

    /// Asks it to stop; the code and the log.
    #[track_caller]
    pub(crate) fn stop(mut self, most: Duration) -> (Option<i32>, String) {
        let pid = self.child.id().to_string();
        assert!(Command::new("kill").args(["-TERM", &pid]).status().unwrap().success());
        let status = wait(&mut self.child, most);
        let status = status.unwrap_or_else(|| panic!("it did not stop in {most:?}: {}", self.log()));
        (status.code(), self.log())
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _gone_or_not = self.child.kill();
        let _reaped_or_not = self.child.wait();
        if thread::panicking() {
            let log = self.log();
            let last: Vec<&str> = log.lines().rev().take(25).collect();
            eprintln!("the end of the server's log, newest first:\n{}", last.join("\n"));
        }
    }
}

/// `http://127.0.0.1:PORT` from the first complete line with an address, once all that follows is there too.
fn address_in(out: &str) -> Option<String> {
    let (lines, _) = out.rsplit_once('\n')?;
    let line = lines.lines().find(|line| line.starts_with("Fleetgate listens on "))?;
    line.split_whitespace().find(|word| word.starts_with("http://")).map(str::to_owned)
}
