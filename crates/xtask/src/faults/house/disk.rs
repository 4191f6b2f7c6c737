//! A disk that is full and an `fsync` that fails: nothing is acknowledged that is not stored, reading goes on, and when
//! the disk is well again so is the server, without a restart.

use std::fs;
use std::io::Write;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use serde_json::json;

use super::kills::{Ledger, compare, write};
use super::{Found, expect_whole};
use crate::bench::http::{Client, Connection};
use crate::bench::programs::{Home, PROFILE, Server};
use crate::process;

/// What the preload library does, by its control byte.
const FAULTS: [(&str, &str); 2] = [("full_disk", "1"), ("failing_fsync", "2")];

/// Longest wait for a server to work again.
const WELL_AGAIN: Duration = Duration::from_secs(10);

pub(super) fn run(mut home: Home, found: &mut Found) -> Result<()> {
    if !cfg!(target_os = "linux") {
        bail!("the preload library is for Linux");
    }
    process::succeed(process::cargo(["build", "--quiet", "--profile", PROFILE, "--package", "faultshim"]))?;
    let library = process::target_directory()?.join(PROFILE).join("libfaultshim.so");
    let control = home.folder().join("fault");
    fs::write(&control, "0")?;
    // In place: a file that is empty for a moment would end whoever has it mapped.
    let break_disk = |how: &str| -> Result<()> {
        fs::File::options()
            .write(true)
            .open(&control)?
            .write_all(how.as_bytes())
            .context("cannot break the disk")
    };
    home.set("LD_PRELOAD", library.display().to_string());
    home.set("FAULTSHIM_CONTROL", control.display().to_string());

    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build()?;
    let mut server = Server::start(&home)?;
    let token = home.sign_up()?;
    let ledger = Ledger::default();
    for (name, how) in FAULTS {
        let writers: Vec<_> = (0..4)
            .map(|n| {
                let work = write(server.url.clone(), token.clone(), format!("{name} {n}"), ledger.clone());
                runtime.spawn(work)
            })
            .collect();
        thread::sleep(Duration::from_millis(700));
        break_disk(how)?;
        // Their connections are fine; they stop at the first write that is not acknowledged.
        for writer in writers {
            runtime.block_on(writer).context("a writer broke")?;
        }
        let refused = runtime.block_on(while_broken(&server.url, &token, name, found))?;
        found.count(&format!("{name}_refused"), refused);
        break_disk("0")?;
        well_again(&server, &token, name, found)?;
    }
    server.kill();
    server = Server::start(&home)?;
    let mut api = Client::new(&server.url, Some(&token))?;
    compare(&mut api, &ledger, found)?;
    thread::sleep(Duration::from_secs(2));
    expect_whole(&home, found)?;
    server.stop()?;
    let database = rusqlite::Connection::open(home.sqlite_file())?;
    let answer: String = database.query_row("PRAGMA integrity_check", [], |row| row.get(0))?;
    found.expect(answer == "ok", || format!("the database is damaged: {answer}"));
    Ok(())
}

/// Writes are refused in words, reading goes on; answers how many were refused.
async fn while_broken(url: &str, token: &str, name: &str, found: &mut Found) -> Result<u64> {
    let mut refused = 0;
    for n in 0..20 {
        let mut connection = Connection::open(url, Some(token)).await?;
        let body = json!({ "name": format!("{name} lost {n}") });
        let answer = connection.send("POST", "/api/v1/clients", Some(&body)).await?;
        match answer.status {
            500..=599 => refused += 1,
            other => found.problem(format!("{name}: a write was answered with {other}")),
        }
        let told = String::from_utf8_lossy(&answer.body).into_owned();
        found.expect(told.contains("\"code\""), || format!("{name}: no problem document: {told}"));
        let read = connection.send("GET", "/api/v1/clients?limit=1", None).await?;
        found.expect(read.status == 200, || format!("{name}: reading was answered with {}", read.status));
    }
    Ok(refused)
}

/// Writes work again, in the same process.
fn well_again(server: &Server, token: &str, name: &str, found: &mut Found) -> Result<()> {
    let started = Instant::now();
    let mut api = Client::new(&server.url, Some(token))?;
    for n in 0.. {
        let body = json!({ "name": format!("{name} well {n}") });
        let answer = api.send("POST", "/api/v1/clients", Some(&body))?;
        if answer.status == 201 {
            break;
        }
        if started.elapsed() > WELL_AGAIN {
            bail!("{name}: still {} after the disk is well", answer.status);
        }
        thread::sleep(Duration::from_millis(50));
    }
    found.count(&format!("{name}_well_again_ms"), u64::try_from(started.elapsed().as_millis())?);
    Ok(())
}
