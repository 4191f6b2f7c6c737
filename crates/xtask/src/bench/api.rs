//! `bench api`: lists and searches of a large register, at rest and while a sync runs.
//!
//! One thread, so many keep-alive connections; every request is another one: another filter, sort, depth or word.
//! Depths are cursors that were met by walking; words are pieces of names, serial numbers and addresses.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use clap::Args;
use futures::future::join_all;
use serde::Serialize;
use serde_json::{Value, json};

use super::http::{Client, Connection};
use super::programs::Home;
use super::rig::{Rig, text};
use super::{Engine, Engines, rounded, system};

/// Time before anything counts.
const WARM_UP: Duration = Duration::from_secs(2);

/// Pages walked for each order to meet cursors.
const WALK: usize = 8;

/// Orders of a list.
const SORTS: [&str; 7] = ["name", "-name", "client", "type", "os", "last_seen", "-created"];

const TYPES: [&str; 2] = ["server", "workstation"];

const STATUSES: [&str; 3] = ["online", "offline", "overdue"];

#[derive(Args)]
pub(crate) struct Options {
    /// Assets in the register
    #[arg(long, default_value_t = 100_000)]
    assets: usize,
    /// Connections
    #[arg(long, default_value_t = 8)]
    connections: usize,
    /// Seconds of each measurement
    #[arg(long, default_value_t = 10)]
    seconds: u64,
    /// Which database
    #[arg(long, value_enum, default_value_t = Engine::Sqlite)]
    engine: Engine,
}

/// One line of output; times in milliseconds.
#[derive(Serialize)]
struct Line {
    bench: &'static str,
    engine: &'static str,
    assets: usize,
    connections: usize,
    list_idle: Times,
    search_idle: Times,
    list_in_sync: Times,
    search_in_sync: Times,
    list_ratio: f64,
    search_ratio: f64,
    syncs: u64,
    rss_mb: f64,
    fsyncs_per_s: f64,
}

#[derive(Clone, Serialize)]
struct Times {
    per_s: f64,
    p50_ms: f64,
    p99_ms: f64,
    max_ms: f64,
    /// The slowest of this kind.
    slowest: String,
    /// CPU of the server for one request.
    cpu_ms: f64,
}

pub(super) fn run(options: &Options) -> Result<()> {
    let engines = Engines::start(options.engine)?;
    for database in engines.databases("bench_api")? {
        let line = measure(options, Home::new(database)?)?;
        println!("{}", serde_json::to_string(&line)?);
    }
    Ok(())
}

fn measure(options: &Options, home: Home) -> Result<Line> {
    let engine = home.database.name();
    let fsyncs_per_s = system::fsyncs_per_s(&std::env::temp_dir())?;
    eprintln!("{engine}: filling a register with {} assets …", options.assets);
    let mut rig = Rig::start(home, options.assets)?;
    rig.hold_details()?;
    let run = rig.sync("devices")?;
    if run.state != "succeeded" {
        bail!("the register was not filled: {}", run.counts);
    }
    rig.release_details()?;
    let mut load = Load::prepare(&mut rig, options)?;
    eprintln!("{engine}: {} lists, {} searches", load.lists.len(), load.searches.len());
    let length = Duration::from_secs(options.seconds);
    load.by_order()?;
    let list_idle = load.time(Kind::List, length)?;
    let search_idle = load.time(Kind::Search, length)?;
    rig.hold_details()?;
    let mut syncs = Syncs { rig: &mut rig, current: None, ended: 0 };
    let list_in_sync = load.time_beside(Kind::List, length, &mut syncs)?;
    let search_in_sync = load.time_beside(Kind::Search, length, &mut syncs)?;
    let syncs = syncs.ended;
    Ok(Line {
        bench: "api",
        engine,
        assets: options.assets,
        connections: options.connections,
        list_ratio: rounded(list_in_sync.p99_ms / list_idle.p99_ms),
        search_ratio: rounded(search_in_sync.p99_ms / search_idle.p99_ms),
        list_idle,
        search_idle,
        list_in_sync,
        search_in_sync,
        syncs,
        rss_mb: rounded(system::memory(rig.server.pid())?.now as f64 / 1e6),
        fsyncs_per_s: fsyncs_per_s.round(),
    })
}

/// Keeps one device sync after the other at work, each with a tenth of the machines changed.
struct Syncs<'a> {
    rig: &'a mut Rig,
    current: Option<String>,
    ended: u64,
}

impl Syncs<'_> {
    /// Starts another one if none is at work.
    fn keep_busy(&mut self) -> Result<()> {
        if let Some(id) = &self.current {
            if self.rig.look(id)?.is_none() {
                return Ok(());
            }
            self.ended += 1;
        }
        self.rig.control.post("/change", &json!({ "fraction": 0.1 }))?;
        self.current = Some(self.rig.request("devices")?);
        Ok(())
    }
}

#[derive(Clone, Copy)]
enum Kind {
    List,
    Search,
}

/// Requests to choose from, and the connections that send them.
struct Load {
    url: String,
    token: String,
    pid: u32,
    connections: usize,
    lists: Vec<String>,
    searches: Vec<String>,
}

impl Load {
    fn prepare(rig: &mut Rig, options: &Options) -> Result<Self> {
        let clients = rig.api.get("/api/v1/clients?limit=200")?;
        let clients: Vec<String> =
            clients["items"].as_array().into_iter().flatten().filter_map(|c| text(&c["id"]).ok()).collect();
        let mut lists = Vec::new();
        let mut words = Vec::new();
        let mut random = Random(0x9e37_79b9_7f4a_7c15);
        for filter in filters(&clients, &mut random) {
            for sort in SORTS {
                walk(
                    &mut rig.api,
                    &format!("/api/v1/assets?limit=50&sort={sort}{filter}"),
                    &mut lists,
                    &mut words,
                )?;
            }
        }
        let searches = words.iter().map(|word| piece(word, &mut random)).collect::<Vec<_>>();
        let searches =
            searches.into_iter().flatten().map(|word| format!("/api/v1/assets?limit=20&text={word}"));
        Ok(Self {
            url: rig.server.url.clone(),
            token: rig.token.clone(),
            pid: rig.server.pid(),
            connections: options.connections,
            lists,
            searches: searches.collect(),
        })
    }

    /// Sends requests of a kind from all connections.
    fn time(&mut self, kind: Kind, length: Duration) -> Result<Times> {
        let until = Instant::now() + WARM_UP;
        self.send(kind, until)?;
        let (cpu, started) = (system::cpu(self.pid)?, Instant::now());
        let samples = self.send(kind, started + length)?;
        times(samples, started.elapsed(), system::cpu(self.pid)? - cpu)
    }

    /// Each order of a list for itself, one request at a time: where the time goes, for people.
    fn by_order(&self) -> Result<()> {
        const EACH: usize = 100;
        let mut client = Client::new(&self.url, Some(&self.token))?;
        for sort in SORTS {
            let of_sort = self
                .lists
                .iter()
                .filter(|path| path.contains(&format!("sort={sort}&")) || path.ends_with(sort));
            let of_sort: Vec<&String> = of_sort.collect();
            let mut samples = Vec::new();
            let (cpu, started) = (system::cpu(self.pid)?, Instant::now());
            for path in of_sort.iter().step_by((of_sort.len() / EACH).max(1)) {
                let sent = Instant::now();
                client.get(path)?;
                samples.push((sent.elapsed(), path.as_str()));
            }
            let found = times(samples, started.elapsed(), system::cpu(self.pid)? - cpu)?;
            let (p50, p99, cpu) = (found.p50_ms, found.p99_ms, found.cpu_ms);
            eprintln!("sort={sort}: p50 {p50} ms, p99 {p99} ms, {cpu} ms of CPU; slowest {}", found.slowest);
        }
        Ok(())
    }

    /// The same while syncs run: a slice at a time, so that this thread can start the next sync in between.
    fn time_beside(&mut self, kind: Kind, length: Duration, syncs: &mut Syncs<'_>) -> Result<Times> {
        const SLICE: Duration = Duration::from_millis(250);
        syncs.keep_busy()?;
        self.send(kind, Instant::now() + WARM_UP)?;
        let cpu = system::cpu(self.pid)?;
        let mut sent_for = Duration::ZERO;
        let mut samples = Vec::new();
        while sent_for < length {
            syncs.keep_busy()?;
            let slice = Instant::now();
            samples.extend(self.send(kind, slice + SLICE)?);
            sent_for += slice.elapsed();
        }
        times(samples, sent_for, system::cpu(self.pid)? - cpu)
    }

    fn send(&self, kind: Kind, until: Instant) -> Result<Vec<(Duration, &str)>> {
        let requests = match kind {
            Kind::List => &self.lists,
            Kind::Search => &self.searches,
        };
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let each = (0..self.connections).map(|n| self.send_one_by_one(requests, n, until));
        let samples = runtime.block_on(join_all(each)).into_iter().collect::<Result<Vec<_>>>()?;
        Ok(samples.concat())
    }

    async fn send_one_by_one<'r>(
        &self,
        requests: &'r [String],
        seed: usize,
        until: Instant,
    ) -> Result<Vec<(Duration, &'r str)>> {
        let mut connection = Connection::open(&self.url, Some(&self.token)).await?;
        let mut random = Random::from_time(seed);
        let mut samples = Vec::new();
        while Instant::now() < until {
            let path = &requests[random.below(requests.len())];
            let started = Instant::now();
            let answer = connection.send("GET", path, None).await?;
            samples.push((started.elapsed(), path.as_str()));
            if answer.status != 200 {
                bail!("{path}: {} {}", answer.status, String::from_utf8_lossy(&answer.body));
            }
        }
        Ok(samples)
    }
}

/// No filter, and some of each kind.
fn filters(clients: &[String], random: &mut Random) -> Vec<String> {
    let mut filters = vec![String::new()];
    filters.extend(TYPES.iter().map(|kind| format!("&type={kind}")));
    filters.extend(STATUSES.iter().map(|status| format!("&status={status}")));
    for _ in 0..6.min(clients.len()) {
        let client = &clients[random.below(clients.len())];
        filters.push(format!("&client_id={client}"));
        filters.push(format!("&client_id={client}&status={}", STATUSES[random.below(3)]));
    }
    filters
}

/// Goes through pages from the first, and notes each request and words from what it shows.
fn walk(api: &mut Client, first: &str, lists: &mut Vec<String>, words: &mut Vec<String>) -> Result<()> {
    let mut path = first.to_owned();
    for _ in 0..WALK {
        let page = api.get(&path)?;
        lists.push(path);
        let items = page["items"].as_array().context("a list without items")?;
        for item in items.iter().take(2) {
            let shown = [&item["name"], &item["serial"], &item["lan_ips"][0]];
            words.extend(shown.into_iter().filter_map(Value::as_str).map(str::to_owned));
        }
        let Some(cursor) = page["next_cursor"].as_str() else { break };
        path = format!("{first}&cursor={}", escaped(cursor));
    }
    Ok(())
}

/// Four to eight characters from somewhere inside a word.
fn piece(word: &str, random: &mut Random) -> Option<String> {
    let chars: Vec<char> = word.chars().collect();
    let length = (4 + random.below(5)).min(chars.len());
    let start = random.below(chars.len() - length + 1);
    let piece: String = chars[start..start + length].iter().collect();
    (piece.trim().len() >= 3).then(|| escaped(piece.trim()))
}

/// For a query.
fn escaped(text: &str) -> String {
    let mut escaped = String::new();
    for byte in text.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' | b'.' => escaped.push(char::from(byte)),
            _ => escaped.push_str(&format!("%{byte:02X}")),
        }
    }
    escaped
}

fn times(mut samples: Vec<(Duration, &str)>, length: Duration, cpu: Duration) -> Result<Times> {
    samples.sort_unstable();
    let at = |share: f64| {
        let position = ((samples.len() as f64 * share) as usize).min(samples.len().saturating_sub(1));
        samples.get(position).map(|(took, _)| rounded(took.as_secs_f64() * 1e3)).context("no answer at all")
    };
    let slowest = samples.last().map(|(_, path)| (*path).to_owned()).unwrap_or_default();
    Ok(Times {
        per_s: (samples.len() as f64 / length.as_secs_f64()).round(),
        p50_ms: at(0.5)?,
        p99_ms: at(0.99)?,
        max_ms: at(1.0)?,
        slowest,
        cpu_ms: rounded(cpu.as_secs_f64() * 1e3 / samples.len() as f64),
    })
}

/// Good enough to choose requests.
struct Random(u64);

impl Random {
    fn from_time(seed: usize) -> Self {
        let nanos = std::time::UNIX_EPOCH.elapsed().map_or(1, |since| since.subsec_nanos());
        Self((u64::from(nanos) << 20) ^ (seed as u64 + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    fn below(&mut self, limit: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 >> 16).unwrap_or(0) % limit.max(1)
    }
}
