//! Rotations of both keys killed at random moments beside a server at work: it goes on, and what it has sealed opens.

use std::process::Stdio;
use std::thread;
use std::time::Duration;

use anyhow::{Result, bail};
use serde_json::json;

use super::{Found, answer_of, expect_whole};
use crate::bench::programs::{Home, program};
use crate::bench::rig::Rig;
use crate::process;

/// Rotations that are begun and killed.
const KILLS: u64 = 40;

pub(super) fn run(home: Home, found: &mut Found) -> Result<()> {
    let mut rig = Rig::start(home, 20)?;
    // About what a rotation takes.
    let longest_ms = if rig.home.database.name() == "sqlite" { 60 } else { 250 };
    let mut ended_by_itself = 0;
    let mut random = 362_436_069_u64;
    for n in 0..KILLS {
        random ^= random << 13;
        random ^= random >> 7;
        random ^= random << 17;
        let mut rotation = rotate(&rig.home, n % 2 == 1)?;
        let mut child = rotation.stdout(Stdio::null()).stderr(Stdio::null()).spawn()?;
        thread::sleep(Duration::from_millis(random % longest_ms));
        ended_by_itself += u64::from(child.try_wait()?.is_some());
        // It may have ended meanwhile.
        let _gone = child.kill();
        child.wait()?;
        if n % 4 == 3 {
            use_secrets(&mut rig, n, found)?;
        }
        if n % 8 == 7 {
            rig.kill_and_restart()?;
            use_secrets(&mut rig, n + 1_000, found)?;
        }
    }
    for is_root in [false, true, false] {
        let mut rotation = rotate(&rig.home, is_root)?;
        process::succeed({
            rotation.stdout(Stdio::null());
            rotation
        })?;
        use_secrets(&mut rig, 2_000, found)?;
    }
    rig.kill_and_restart()?;
    use_secrets(&mut rig, 3_000, found)?;
    let mut status = rig.home.command(&program("fleetgate")?);
    status.args(["keys", "status", "--json"]);
    let status = answer_of(status)?;
    let versions = status["data_keys"].as_array().map_or(0, Vec::len);
    found.expect(versions == 1, || format!("a rotation is unfinished: {status}"));
    found.count("rotations_killed", KILLS - ended_by_itself);
    found.count("rotations_done", ended_by_itself + 3);
    expect_whole(&rig.home, found)
}

fn rotate(home: &Home, is_root: bool) -> Result<std::process::Command> {
    let mut command = home.command(&program("fleetgate")?);
    command.args(["--quiet", "keys", "rotate"]);
    if is_root {
        command.arg("--root");
    }
    Ok(command)
}

/// The server opens the credential of its integration, and seals another.
fn use_secrets(rig: &mut Rig, n: u64, found: &mut Found) -> Result<()> {
    let path = format!("/api/v1/integrations/{}", rig.integration);
    let report = rig.api.post(&format!("{path}/test"), &json!({}))?;
    let lines = report["lines"].as_array().map_or(0, Vec::len);
    if lines == 0 {
        bail!("a test told nothing: {report}");
    }
    found.expect(report["ok"] != false, || format!("the credential does not open: {report}"));
    let saved = json!({ "name": format!("Rotated {n}"), "fields": rig.fields });
    rig.api.send("PATCH", &path, Some(&saved))?.json(&path)?;
    Ok(())
}
