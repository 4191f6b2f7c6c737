//! Limits on requests: rolling windows for reads, writes and single operations, the traffic of others, the block that
//! follows when a caller goes on, and the server's own record of what reached it.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::net::IpAddr;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

const MICROS: i64 = 1_000_000;
/// Length of the rolling window.
const WINDOW_S: i64 = 60;
/// Share of a limit from which on answers are slowed.
const SLOW_RATIO: f64 = 0.9;
/// Requests of which time and route are remembered one by one.
const LOG_LENGTH: usize = 200_000;

/// Names of the operations that have a budget of their own, with what they may in one window.
const OPERATIONS: &[(&str, u32)] = &[
    ("site-create", 100),
    ("site-update", 100),
    ("site-variable-create", 100),
    ("site-variable-update", 100),
    ("site-variable-delete", 100),
    ("site-proxy-create", 100),
    ("site-proxy-delete", 100),
    ("account-variable-create", 100),
    ("account-variable-update", 100),
    ("account-variable-delete", 100),
    ("device-move", 100),
    ("device-job-create", 100),
    ("device-udf-set", 600),
    ("device-warranty-create", 100),
    ("alert-resolve", 100),
    ("user-reset-keys", 100),
];

/// How the limits of an account are. Written as JSON to the control URL, so the names are a wire format.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Rate {
    /// Reads of the account in one window; all requests in the legacy shape.
    pub reads: u32,
    /// Writes of the account in one window.
    pub writes: u32,
    /// Writes of single operations in one window, where they differ from the usual.
    pub operations: BTreeMap<String, u32>,
    /// Reads that other programs make each minute, spread evenly.
    pub others_per_minute: u32,
    /// Answers without write counters, and counts writes as reads.
    pub legacy: bool,
    /// How long an answer above 90 % of a limit takes longer.
    pub slow_millis: u64,
    /// Whether 429 carries `Retry-After`.
    pub retry_after: bool,
    /// After so many refusals in one window the address is blocked.
    pub block_after: u32,
    /// For how long.
    pub block_s: u64,
}

impl Default for Rate {
    fn default() -> Self {
        Self {
            reads: 600,
            writes: 600,
            operations: BTreeMap::new(),
            others_per_minute: 0,
            legacy: false,
            slow_millis: 1_000,
            retry_after: true,
            block_after: 10,
            block_s: 300,
        }
    }
}

impl Rate {
    fn of_operation(&self, operation: &str) -> u32 {
        let usual =
            || OPERATIONS.iter().find(|(name, _)| *name == operation).map_or(100, |(_, limit)| *limit);
        self.operations.get(operation).copied().unwrap_or_else(usual)
    }
}

/// What the limits say to a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Verdict {
    Pass,
    /// Answer, but later.
    Slow(Duration),
    /// 429.
    Refused {
        retry_after_s: Option<u64>,
    },
    /// 403 for the address.
    Blocked,
}

/// A request as the limits see it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Counted<'a> {
    pub(crate) peer: IpAddr,
    pub(crate) method: &'a str,
    pub(crate) template: &'a str,
    pub(crate) operation: Option<&'static str>,
}

/// One request that reached the server, without those of others and without requests for tokens.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LoggedRequest {
    /// Milliseconds since the server's start, time that was added included.
    pub at_ms: i64,
    /// Its method.
    pub method: String,
    /// Its route template, or `(none)`.
    pub route: String,
}

/// What reached the server, as it counted itself.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct RateRecord {
    /// Requests without those of others and without requests for tokens.
    pub requests: u64,
    /// The most reads of ours in any rolling window.
    pub max_reads: u64,
    /// The most writes of ours in any rolling window.
    pub max_writes: u64,
    /// The most requests of ours in any rolling window.
    pub max_all: u64,
    /// The most reads in any rolling window, those of others included.
    pub max_reads_with_others: u64,
    /// Answers that were slowed down.
    pub slowed: u64,
    /// Requests refused with 429.
    pub refused: u64,
    /// Requests that came while their address was blocked.
    pub blocked: u64,
    /// Time from the first to the last request.
    pub span_ms: i64,
}

/// Counters and record of one account.
#[derive(Debug)]
pub(crate) struct Limiter {
    pub(crate) rate: Rate,
    started: i64,
    reads: VecDeque<i64>,
    writes: VecDeque<i64>,
    operations: BTreeMap<&'static str, VecDeque<i64>>,
    refusals: VecDeque<i64>,
    blocked_until: HashMap<IpAddr, i64>,
    record: RateRecord,
    first: Option<i64>,
    log: VecDeque<(i64, String, String)>,
}

impl Limiter {
    /// Nothing counted yet.
    pub(crate) fn new(rate: Rate, now: i64) -> Self {
        Self {
            rate,
            started: now,
            reads: VecDeque::new(),
            writes: VecDeque::new(),
            operations: BTreeMap::new(),
            refusals: VecDeque::new(),
            blocked_until: HashMap::new(),
            record: RateRecord::default(),
            first: None,
            log: VecDeque::new(),
        }
    }

    /// Counts a request, refused ones too, and says what is to come of it.
    pub(crate) fn count(&mut self, request: Counted<'_>, now: i64) -> Verdict {
        self.forget_before(now - WINDOW_S * MICROS);
        self.log(request, now);
        if self.is_blocked(request.peer, now) {
            self.record.blocked += 1;
            return Verdict::Blocked;
        }
        let is_read = request.method == "GET" || request.method == "HEAD";
        let is_as_read = is_read || self.rate.legacy;
        let share = if is_as_read { self.share_of_reads() } else { self.share_of_writes(request.operation) };
        if is_read { &mut self.reads } else { &mut self.writes }.push_back(now);
        if let Some(operation) = request.operation {
            self.operations.entry(operation).or_default().push_back(now);
        }
        self.note_highest();
        if share >= 1.0 {
            return self.refuse(request.peer, is_as_read, now);
        }
        if share > SLOW_RATIO {
            self.record.slowed += 1;
            return Verdict::Slow(Duration::from_millis(self.rate.slow_millis));
        }
        Verdict::Pass
    }

    /// Whether an address is blocked at this moment.
    pub(crate) fn is_blocked(&self, peer: IpAddr, now: i64) -> bool {
        self.blocked_until.get(&peer).is_some_and(|until| now < *until)
    }

    fn share_of_reads(&self) -> f64 {
        share(self.reads_counted(), self.rate.reads)
    }

    fn share_of_writes(&self, operation: Option<&'static str>) -> f64 {
        let all = share(self.writes.len(), self.rate.writes);
        let own = operation.map_or(0.0, |operation| {
            share(self.operations.get(operation).map_or(0, VecDeque::len), self.rate.of_operation(operation))
        });
        all.max(own)
    }

    /// What counts as a read: others' too, and writes in the legacy shape.
    fn reads_counted(&self) -> usize {
        let writes = if self.rate.legacy { self.writes.len() } else { 0 };
        self.reads.len() + writes + self.rate.others_per_minute as usize
    }

    fn refuse(&mut self, peer: IpAddr, is_read: bool, now: i64) -> Verdict {
        self.record.refused += 1;
        self.refusals.push_back(now);
        if self.refusals.len() >= self.rate.block_after as usize {
            let micros = i64::try_from(self.rate.block_s).unwrap_or(300) * MICROS;
            self.blocked_until.insert(peer, now + micros);
            self.refusals.clear();
        }
        let oldest = if is_read { self.reads.front() } else { self.writes.front() };
        let leaves = oldest.map_or(now, |at| at + WINDOW_S * MICROS);
        let wait_s = u64::try_from((leaves - now).div_euclid(MICROS) + 1).unwrap_or(1);
        Verdict::Refused { retry_after_s: self.rate.retry_after.then_some(wait_s) }
    }

    fn forget_before(&mut self, start: i64) {
        let operations = self.operations.values_mut();
        for times in [&mut self.reads, &mut self.writes, &mut self.refusals].into_iter().chain(operations) {
            while times.front().is_some_and(|at| *at <= start) {
                times.pop_front();
            }
        }
    }

    fn note_highest(&mut self) {
        let (reads, writes) = (self.reads.len() as u64, self.writes.len() as u64);
        let record = &mut self.record;
        record.max_reads = record.max_reads.max(reads);
        record.max_writes = record.max_writes.max(writes);
        record.max_all = record.max_all.max(reads + writes);
        record.max_reads_with_others =
            record.max_reads_with_others.max(reads + u64::from(self.rate.others_per_minute));
    }

    fn log(&mut self, request: Counted<'_>, now: i64) {
        let first = *self.first.get_or_insert(now);
        self.record.requests += 1;
        self.record.span_ms = (now - first) / 1_000;
        if self.log.len() == LOG_LENGTH {
            self.log.pop_front();
        }
        self.log.push_back((now, request.method.to_owned(), request.template.to_owned()));
    }

    /// `GET /v2/system/request_rate`.
    pub(crate) fn status(&self, account: &str) -> Value {
        let mut status = json!({
            "slidingTimeWindowSizeSeconds": WINDOW_S,
            "accountUid": account,
            "accountCount": self.reads_counted(),
            "accountRateLimit": self.rate.reads,
            "accountCutOffRatio": SLOW_RATIO,
        });
        if !self.rate.legacy {
            let operation = |(name, _): &(&str, u32)| {
                let count = self.operations.get(name).map_or(0, VecDeque::len);
                ((*name).to_owned(), json!({ "limit": self.rate.of_operation(name), "count": count }))
            };
            let operations: Map<String, Value> = OPERATIONS.iter().map(operation).collect();
            status["accountWriteCount"] = self.writes.len().into();
            status["accountWriteRateLimit"] = self.rate.writes.into();
            status["operationWriteStatus"] = operations.into();
        }
        status
    }

    /// What was counted since the start or the last reset.
    pub(crate) fn record(&self) -> RateRecord {
        self.record.clone()
    }

    /// Milliseconds since the server's start.
    pub(crate) fn since_start_ms(&self, at: i64) -> i64 {
        (at - self.started) / 1_000
    }

    /// The last requests, oldest first.
    pub(crate) fn requests(&self) -> Vec<LoggedRequest> {
        let logged = |(at, method, route): &(i64, String, String)| LoggedRequest {
            at_ms: self.since_start_ms(*at),
            method: method.clone(),
            route: route.clone(),
        };
        self.log.iter().map(logged).collect()
    }

    /// Starts the record anew; the windows go on, so that nothing is proved by looking away.
    pub(crate) fn reset_record(&mut self) {
        self.record = RateRecord::default();
        self.first = None;
        self.log.clear();
    }

    /// Empties the windows and lifts blocks.
    pub(crate) fn reset(&mut self) {
        self.forget_before(i64::MAX);
        self.blocked_until.clear();
    }
}

fn share(count: usize, limit: u32) -> f64 {
    if limit == 0 { 1.0 } else { count as f64 / f64::from(limit) }
}
