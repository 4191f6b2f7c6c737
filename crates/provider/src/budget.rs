//! The RMM's limit on requests, which everybody who uses the account shares.
//!
//! A provider asks before each request and tells what the RMM said of its counters. Who keeps the account is none of its
//! business: the service does, in the database, for all nodes together.

use std::time::Duration;

use async_trait::async_trait;
use serde::Serialize;

use crate::{Problem, Result};

/// What a request does at the RMM.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum RequestKind {
    /// It only reads.
    Read,
    /// It changes something.
    Write,
}

/// How many requests an RMM takes, as far as its documents say; what it answers itself wins.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct RateLimit {
    /// Length of the rolling window, in seconds.
    pub window_s: u32,
    /// Reads in one window, by all who use the account.
    pub reads: u32,
    /// Writes in one window, where the RMM counts them apart.
    pub writes: Option<u32>,
    /// Share of the limit, in per cent, from which on the RMM slows answers down.
    pub slow_from_percent: u8,
}

/// One counter of the RMM.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RateCount {
    /// Requests in the last window, ours and those of others.
    pub used: u32,
    /// How many it takes.
    pub limit: u32,
}

/// What the RMM says of its counters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RateStatus {
    /// Length of the rolling window.
    pub window: Duration,
    /// Reads; all requests where writes are not counted apart.
    pub reads: RateCount,
    /// Writes, where they are counted apart.
    pub writes: Option<RateCount>,
    /// Share of the limit, in per cent, from which on it slows answers down; none if it does not say.
    pub slow_from_percent: Option<u8>,
}

/// The limit on requests of one account.
#[async_trait]
pub trait Budget: Send + Sync {
    /// Waits until one request may be sent. Fails with [`crate::ErrorKind::RateLimited`] and the wait where that would
    /// take too long, or while the RMM has shut us out.
    async fn take(&self, kind: RequestKind) -> Result<()>;

    /// What the RMM just said of its counters. An account that cannot be kept right now is no reason to fail.
    async fn observed(&self, status: RateStatus);

    /// Is it time to ask the RMM for its counters again?
    async fn wants_status(&self) -> bool;

    /// The RMM refused for too many requests, or shuts us out: nobody sends anything for so long. `problem` is the
    /// sentence that whoever asks meanwhile gets.
    async fn pause(&self, wait: Duration, problem: &Problem);

    /// How long ago the RMM last refused for too many requests, if that is known: some say no more than "forbidden"
    /// to those who went on, and only this tells it from a right that is missing.
    async fn refused_ago(&self) -> Option<Duration> {
        None
    }
}

/// For an RMM without a limit, and for tests.
pub struct Unlimited;

#[async_trait]
impl Budget for Unlimited {
    async fn take(&self, _kind: RequestKind) -> Result<()> {
        Ok(())
    }

    async fn observed(&self, _status: RateStatus) {}

    async fn wants_status(&self) -> bool {
        false
    }

    async fn pause(&self, _wait: Duration, _problem: &Problem) {}
}
