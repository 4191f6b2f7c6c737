//! The private cluster leaves nothing behind, however its user ends.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

const PATIENCE: Duration = Duration::from_secs(60);

/// `xtask pg -- sh -c SCRIPT` with a temp folder of its own, to see what is left in it.
struct Run {
    child: Child,
    temp: tempfile::TempDir,
}

impl Run {
    fn start(script: &str) -> Self {
        let temp = tempfile::tempdir().expect("temp folder");
        make_reachable(temp.path());
        let mut command = Command::new(env!("CARGO_BIN_EXE_xtask"));
        command.args(["pg", "--", "sh", "-c", script]).env("TMPDIR", temp.path()).stdin(Stdio::null());
        let child = command.spawn().expect("xtask starts");
        Self { child, temp }
    }

    fn data_folder(&self) -> Option<PathBuf> {
        let mut entries = fs::read_dir(self.temp.path()).expect("temp folder").flatten();
        entries
            .find(|entry| entry.file_name().to_string_lossy().starts_with("fleetgate-pg-"))
            .map(|entry| entry.path())
    }

    fn server_pid(&self) -> Option<String> {
        let text = fs::read_to_string(self.data_folder()?.join("data/postmaster.pid")).ok()?;
        let is_ready = text.lines().nth(7).is_some_and(|state| state.trim() == "ready");
        text.lines().next().filter(|_| is_ready).map(str::to_owned)
    }
}

/// The `postgres` account must be able to pass through the folder.
fn make_reachable(folder: &Path) {
    use std::os::unix::fs::PermissionsExt;
    fs::set_permissions(folder, PermissionsExt::from_mode(0o711)).expect("permissions");
}

fn wait_for<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let started = Instant::now();
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(started.elapsed() < PATIENCE, "{what} within {} s", PATIENCE.as_secs());
        thread::sleep(Duration::from_millis(20));
    }
}

fn is_alive(pid: &str) -> bool {
    Command::new("sh")
        .args(["-c", &format!("kill -0 {pid} 2>&-")])
        .status()
        .is_ok_and(|status| status.success())
}

#[track_caller]
fn check_signal(signal: &str) {
    let mut run = Run::start("exec sleep 300");
    let server = wait_for("the server runs", || run.server_pid());
    let kill = format!("kill -{signal} {}", run.child.id());
    assert!(Command::new("sh").args(["-c", &kill]).status().is_ok_and(|status| status.success()));
    run.child.wait().expect("xtask ends");
    wait_for("the server ends", || (!is_alive(&server)).then_some(()));
    wait_for("the folder is removed", || run.data_folder().is_none().then_some(()));
}

#[test]
fn the_command_gets_the_address_and_its_exit_code_is_passed_on() {
    let script =
        r#"case "$FLEETGATE_TEST_POSTGRES" in postgres://postgres:*@127.0.0.1:*/postgres) exit 7;; esac"#;
    let mut run = Run::start(script);
    assert_eq!(run.child.wait().expect("xtask ends").code(), Some(7));
    assert_eq!(run.data_folder(), None);
}

#[test]
fn a_killed_user_leaves_neither_server_nor_folder() {
    check_signal("KILL");
}

#[test]
fn a_terminated_user_leaves_neither_server_nor_folder() {
    check_signal("TERM");
}

#[test]
fn an_interrupted_user_leaves_neither_server_nor_folder() {
    check_signal("INT");
}
