//! `bench sync` with an RMM that limits requests: how long a walk over the account takes against what the limit allows,
//! and whether the limit was kept, by the RMM's own count.
//!
//! The goal of a pass is 1.3 × the larger of (pages × delay ÷ pages asked for at a time) and (pages ÷ our share per second),
//! plus one second, from 10,000 devices on. Each pass begins when the RMM's window has room for it.

use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use serde::Serialize;
use serde_json::{Value, json};

use super::rig::{RateLimit, Rig, Wanted};
use super::sync::{Pass, megabytes, pass};
use super::{rounded, system};

/// From so many devices on a pass has a goal.
const GOAL_FROM: usize = 10_000;

/// One line of output.
#[derive(Serialize)]
pub(super) struct Line {
    bench: &'static str,
    provider: String,
    engine: &'static str,
    devices: usize,
    organizations: u64,
    delay_ms: u64,
    /// Requests of one unchanged pass.
    calls: u64,
    /// Pages of the account's list in one unchanged pass.
    pages: u64,
    /// The most requests that the RMM answered at one time.
    concurrency: u64,
    /// Our part of the RMM's limit, in requests per window.
    own_share: u64,
    first_s: f64,
    unchanged_s: f64,
    /// 1.3 × max(`by_delay_s`, `by_share_s`) + 1 s.
    goal_s: f64,
    by_delay_s: f64,
    by_share_s: f64,
    /// `PASS`, `over`, or `no goal` for fewer devices than the goal is for.
    verdict: &'static str,
    /// The most reads of ours in any rolling window, by the RMM's count.
    max_in_window: u64,
    within_share: bool,
    slowed: u64,
    refused: u64,
    blocked: u64,
    tokens_at_start: u64,
    /// Made in one pass that began after every token was revoked.
    tokens_per_end: u64,
    sql_unchanged: f64,
    bytes_unchanged: u64,
    rss_idle_mb: f64,
    rss_growth_mb: f64,
}

pub(super) fn measure(mut rig: Rig, limit: RateLimit, wanted: &Wanted<'_>) -> Result<Line> {
    let engine = rig.home.database.name();
    let organizations = rig.organizations()?;
    let own_share = own_share(&mut rig, limit)?;
    let tokens_at_start = rig.control.get("/counts")?["tokens_issued"].as_u64().unwrap_or(0);
    let idle = system::memory(rig.server.pid())?.now;
    rig.hold_details()?;
    let mut totals = Totals::default();
    let first = one(&mut rig, engine, "first", &mut totals)?;
    rig.release_details()?;
    rig.hold_details()?;
    wait_for_room(&mut rig, limit, own_share, first.1.calls)?;
    let (unchanged, counted) = one(&mut rig, engine, "unchanged", &mut totals)?;
    rig.release_details()?;
    rig.hold_details()?;
    wait_for_room(&mut rig, limit, own_share, counted.calls)?;
    rig.control.post("/do/tokens-revoke", &json!({}))?;
    let (_, after_revocation) = one(&mut rig, engine, "after the end of a token", &mut totals)?;
    let peak = system::memory(rig.server.pid())?.peak;

    let by_delay_s =
        counted.pages as f64 * wanted.delay_ms as f64 / 1_000.0 / counted.concurrency.max(1) as f64;
    let by_share_s = counted.pages as f64 * limit.window_s as f64 / own_share.max(1) as f64;
    let goal_s = 1.3 * by_delay_s.max(by_share_s) + 1.0;
    let slowest_s = first.0.took.max(unchanged.took).as_secs_f64();
    Ok(Line {
        bench: "sync",
        provider: wanted.provider.unwrap_or_default().to_owned(),
        engine,
        devices: wanted.agents,
        organizations,
        delay_ms: wanted.delay_ms,
        calls: counted.calls,
        pages: counted.pages,
        concurrency: counted.concurrency,
        own_share,
        first_s: rounded(first.0.took.as_secs_f64()),
        unchanged_s: rounded(unchanged.took.as_secs_f64()),
        goal_s: rounded(goal_s),
        by_delay_s: rounded(by_delay_s),
        by_share_s: rounded(by_share_s),
        verdict: match (wanted.agents < GOAL_FROM, slowest_s <= goal_s) {
            (true, _) => "no goal",
            (false, true) => "PASS",
            (false, false) => "over",
        },
        max_in_window: totals.max_in_window,
        within_share: totals.max_in_window <= own_share,
        slowed: totals.slowed,
        refused: totals.refused,
        blocked: totals.blocked,
        tokens_at_start,
        tokens_per_end: after_revocation.tokens,
        sql_unchanged: unchanged.statements,
        bytes_unchanged: unchanged.bytes,
        rss_idle_mb: megabytes(idle),
        rss_growth_mb: megabytes(peak.saturating_sub(idle)),
    })
}

/// What the RMM counted over all passes.
#[derive(Default)]
struct Totals {
    max_in_window: u64,
    slowed: u64,
    refused: u64,
    blocked: u64,
}

/// What the RMM counted in one pass.
struct Counted {
    calls: u64,
    pages: u64,
    concurrency: u64,
    tokens: u64,
}

fn one(rig: &mut Rig, engine: &str, name: &str, totals: &mut Totals) -> Result<(Pass, Counted)> {
    let pass = pass(rig, engine, name)?;
    let counts = rig.control.get("/counts")?;
    let record = rig.control.get("/rate/record")?;
    let of = |name: &str| record[name].as_u64().unwrap_or(0);
    totals.max_in_window = totals.max_in_window.max(of("max_reads"));
    totals.slowed += of("slowed");
    totals.refused += of("refused");
    totals.blocked += of("blocked");
    let requests = counts["requests"].as_object().context("the simulator counts nothing")?;
    let counted = Counted {
        calls: of("requests"),
        // The list that takes the most requests is the walk.
        pages: requests.values().filter_map(Value::as_u64).max().unwrap_or(0),
        concurrency: counts["in_flight_max"].as_u64().unwrap_or(1),
        tokens: counts["tokens_issued"].as_u64().unwrap_or(0),
    };
    Ok((pass, counted))
}

/// Our part of the limit, in requests per window.
fn own_share(rig: &mut Rig, limit: RateLimit) -> Result<u64> {
    let path = format!("/api/v1/integrations/{}", rig.integration);
    let percent = rig.api.get(&path)?["settings"]["rate_share_percent"].as_u64();
    Ok(limit.reads * percent.context("the integration has no share of the limit")? / 100)
}

/// Waits until a pass of so many requests fits beside those of the last window, so that no pass pays for another.
fn wait_for_room(rig: &mut Rig, limit: RateLimit, own_share: u64, calls: u64) -> Result<()> {
    let deadline = Instant::now() + Duration::from_secs(limit.window_s * 2);
    loop {
        let now = rig.control.get("/requests")?;
        let times: Vec<i64> =
            now.as_array().into_iter().flatten().filter_map(|request| request["at_ms"].as_i64()).collect();
        let start = rig.control.get("/now")?["at_ms"].as_i64().unwrap_or(0);
        let window_ms = i64::try_from(limit.window_s).unwrap_or(60) * 1_000;
        let used = times.iter().filter(|at| **at > start - window_ms).count() as u64;
        if used + calls <= own_share || used == 0 || Instant::now() > deadline {
            return Ok(());
        }
        thread::sleep(Duration::from_secs(1));
    }
}
