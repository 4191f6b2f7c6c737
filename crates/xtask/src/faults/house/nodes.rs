//! Two servers on one PostgreSQL database: what one knows the other knows, and what a killed one began the other ends.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use jiff::Timestamp;
use serde_json::json;

use super::kills::{Ledger, compare, write};
use super::{Found, expect_whole};
use crate::bench::http::Client;
use crate::bench::programs::{Home, Server};
use crate::bench::rig::{Rig, text};
use crate::process;

/// Machines of the sync that a killed server leaves behind.
const AGENTS: usize = 3_000;

/// Connections that write at a time, at each server.
const WRITERS: u32 = 4;

const PASSWORD: &str = "a long password for two servers";

/// Between two presence passes while schedules are looked at.
const TURN: Duration = Duration::from_secs(30);

/// Longest wait for what should come within a second or two.
const SOON: Duration = Duration::from_secs(10);

pub(super) fn run(home: Home, found: &mut Found) -> Result<()> {
    let mut rig = Rig::start(home, AGENTS)?;
    let second = Server::start(&rig.home)?;
    let mut other = Client::new(&second.url, Some(&rig.token))?;
    events_reach_the_other(&rig, &mut other, found)?;
    sign_ins_are_shared(&mut rig, &second, found)?;
    a_run_outlives_its_server(&mut rig, &second, found)?;
    schedules_fire_once(&mut rig, found)?;
    writes_outlive_a_server(&mut rig, &second, found)?;
    schedules_go_on(&mut rig, found)?;
    second.stop()
}

/// What is changed at the second server is told by the first.
fn events_reach_the_other(rig: &Rig, other: &mut Client, found: &mut Found) -> Result<()> {
    let stream = connect(&rig.server.url)?;
    let head = format!(
        "GET /api/v1/events HTTP/1.1\r\nhost: {}\r\nauthorization: Bearer {}\r\n\r\n",
        authority(&rig.server.url),
        rig.token
    );
    (&stream).write_all(head.as_bytes())?;
    let mut lines = BufReader::new(stream).lines();
    let status = lines.next().context("the stream did not begin")??;
    found.expect(status.contains(" 200 "), || format!("the stream was answered with {status}"));
    // The stream tells what comes after its beginning.
    thread::sleep(Duration::from_millis(300));
    let started = Instant::now();
    let made = other.post("/api/v1/clients", &json!({ "name": "Seen by both" }))?;
    let id = text(&made["id"])?;
    for line in lines {
        if line?.contains(&id) {
            found.count("event_at_other_server_ms", u64::try_from(started.elapsed().as_millis())?);
            return Ok(());
        }
    }
    found.problem("the stream of the first server ended without the change at the second");
    Ok(())
}

/// A session of one works at the other, and ends at both; wrong tries are counted together.
fn sign_ins_are_shared(rig: &mut Rig, second: &Server, found: &mut Found) -> Result<()> {
    let email = "two@fleet.example";
    let user = json!({ "email": email, "name": "Two", "role": "technician", "password": PASSWORD });
    let id = text(&rig.api.post("/api/v1/users", &user)?["id"])?;
    let wrong = json!({ "email": "nobody@fleet.example", "password": "wrong" }).to_string();
    let mut statuses = Vec::new();
    for n in 0..11 {
        let url = if n % 2 == 0 { &rig.server.url } else { &second.url };
        statuses.push(raw(url, "POST", "/api/v1/session", &[], &wrong)?.0);
    }
    let refused = statuses.iter().filter(|status| **status == 401).count();
    found.expect(refused == 10 && statuses.last() == Some(&429), || {
        format!("eleven wrong tries at two servers were answered with {statuses:?}")
    });
    let right = json!({ "email": email, "password": PASSWORD }).to_string();
    let (status, head) = raw(&rig.server.url, "POST", "/api/v1/session", &[], &right)?;
    let cookie = head
        .lines()
        .find_map(|line| line.to_ascii_lowercase().starts_with("set-cookie:").then(|| line[11..].trim()))
        .and_then(|cookie| cookie.split(';').next())
        .with_context(|| format!("a sign-in was answered with {status}"))?
        .to_owned();
    let cookie = format!("cookie: {cookie}");
    let me = |url: &str| raw(url, "GET", "/api/v1/me", &[&cookie], "").map(|(status, _)| status);
    let before = (me(&rig.server.url)?, me(&second.url)?);
    rig.api.send("DELETE", &format!("/api/v1/users/{id}/sessions"), None)?;
    let after = (me(&rig.server.url)?, me(&second.url)?);
    found.expect(before == (200, 200) && after == (401, 401), || {
        format!("a session was {before:?} at both servers, and {after:?} when it had ended")
    });
    Ok(())
}

/// A server that works on a sync is killed: the other ends it.
fn a_run_outlives_its_server(rig: &mut Rig, second: &Server, found: &mut Found) -> Result<()> {
    rig.hold_details()?;
    // So that the first one gets the job.
    signal(second, "STOP")?;
    let id = rig.request("devices")?;
    let deadline = Instant::now() + SOON;
    loop {
        let run = rig.api.get(&format!("/api/v1/sync-runs/{id}"))?;
        if run["progress"]["done"].as_u64().unwrap_or(0) > 0 || run["state"] == "succeeded" {
            found.expect(run["state"] == "running", || "the run was over before the kill".to_owned());
            break;
        }
        if Instant::now() > deadline {
            bail!("the run did not begin: {run}");
        }
        thread::sleep(Duration::from_millis(5));
    }
    signal(second, "CONT")?;
    rig.server.kill();
    rig.api = Client::new(&second.url, Some(&rig.token))?;
    let started = Instant::now();
    let ended = rig.wait_for(&id)?;
    found.count("run_ended_by_other_server_s", started.elapsed().as_secs());
    found
        .expect(ended.state == "succeeded", || format!("the run ended as {}: {}", ended.state, ended.counts));
    let assets = rig.api.get("/api/v1/assets.json")?;
    let assets = assets.as_array().map_or(0, Vec::len);
    found.expect(assets == AGENTS, || format!("{assets} assets of {AGENTS} machines"));
    rig.release_details()?;
    rig.server = Server::start(&rig.home)?;
    rig.api = Client::new(&rig.server.url, Some(&rig.token))?;
    Ok(())
}

/// Two servers look for what is due, and one of them takes each turn.
fn schedules_fire_once(rig: &mut Rig, found: &mut Found) -> Result<()> {
    let path = format!("/api/v1/integrations/{}", rig.integration);
    let settings = json!({ "schedules_enabled": true, "presence_interval_s": TURN.as_secs() });
    rig.api.send("PATCH", &path, Some(&json!({ "settings": settings })))?;
    thread::sleep(TURN * 3);
    let turns = turns(rig)?;
    found.count("scheduled_runs_of_two_servers", turns.len());
    // A turn moves by up to a tenth with the integration, and comes up to a tick late.
    let shortest = TURN * 9 / 10;
    let gaps = turns.windows(2).map(|pair| pair[0].duration_since(pair[1]).unsigned_abs());
    found.expect((2..=4).contains(&turns.len()) && gaps.min().is_some_and(|gap| gap >= shortest), || {
        format!("with turns of {} s, two servers began runs at {turns:?}", TURN.as_secs())
    });
    Ok(())
}

/// After the other server was killed, the one that is left takes every turn.
fn schedules_go_on(rig: &mut Rig, found: &mut Found) -> Result<()> {
    let before = turns(rig)?.len();
    thread::sleep(TURN * 2);
    let after = turns(rig)?.len();
    found.expect(after > before, || "no scheduled run began when one server was left".to_owned());
    Ok(())
}

/// When presence passes were asked for, the newest first.
fn turns(rig: &mut Rig) -> Result<Vec<Timestamp>> {
    let path = format!("/api/v1/sync-runs?integration_id={}&kind=presence&limit=50", rig.integration);
    let runs = rig.api.get(&path)?;
    let runs = runs["items"].as_array().context("no list of runs")?;
    runs.iter().map(|run| Ok(text(&run["created_at"])?.parse::<Timestamp>()?)).collect()
}

/// Both servers take writes, one is killed: what either acknowledged is there.
fn writes_outlive_a_server(rig: &mut Rig, second: &Server, found: &mut Found) -> Result<()> {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build()?;
    let ledger = Ledger::default();
    let start = |url: &str, name: String| {
        runtime.spawn(write(url.to_owned(), rig.token.clone(), name, ledger.clone()))
    };
    let at_first: Vec<_> = (0..WRITERS).map(|n| start(&rig.server.url, format!("first {n}"))).collect();
    let at_second: Vec<_> = (0..WRITERS).map(|n| start(&second.url, format!("second {n}"))).collect();
    thread::sleep(Duration::from_secs(2));
    rig.server.kill();
    thread::sleep(Duration::from_secs(2));
    for writer in at_first {
        runtime.block_on(writer).context("a writer broke")?;
    }
    at_second.iter().for_each(tokio::task::JoinHandle::abort);
    for writer in at_second {
        // They end because they are told to.
        let _was_told = runtime.block_on(writer);
    }
    rig.api = Client::new(&second.url, Some(&rig.token))?;
    compare(&mut rig.api, &ledger, found)?;
    thread::sleep(Duration::from_secs(2));
    expect_whole(&rig.home, found)
}

fn signal(server: &Server, name: &str) -> Result<()> {
    let mut kill = std::process::Command::new("kill");
    kill.args([format!("-{name}"), server.pid().to_string()]);
    process::succeed(kill)
}

fn authority(url: &str) -> &str {
    url.trim_start_matches("http://").trim_end_matches('/')
}

fn connect(url: &str) -> Result<TcpStream> {
    let stream = TcpStream::connect(authority(url))?;
    stream.set_read_timeout(Some(SOON))?;
    Ok(stream)
}

/// One request with headers of its own: status, and the whole answer.
fn raw(url: &str, method: &str, path: &str, headers: &[&str], body: &str) -> Result<(u16, String)> {
    let mut stream = connect(url)?;
    let more: String = headers.iter().map(|header| format!("{header}\r\n")).collect();
    let head = format!(
        "{method} {path} HTTP/1.1\r\nhost: {}\r\nconnection: close\r\ncontent-type: application/json\r\n\
         content-length: {}\r\n{more}\r\n{body}",
        authority(url),
        body.len()
    );
    stream.write_all(head.as_bytes())?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    let status = answer.split(' ').nth(1).and_then(|status| status.parse().ok());
    Ok((status.with_context(|| format!("no answer: {answer}"))?, answer))
}
