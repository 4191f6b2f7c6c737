//! Lists in pages of 250, counted by ourselves from 0.
//!
//! A walk ends at a page that has no rows or names no next one. A list that goes on far beyond its own count, or
//! answers one page again and again, is an error: a part of it is never taken for whole.

use std::time::Duration;

use provider::{ErrorKind, Problem, ProviderError, RateCount, RateStatus, Result};
use serde_json::value::RawValue;

use super::{
    api::{self, Answer, Api, Route},
    sentences,
    wire::{self, RequestRate},
};

/// The largest page that is answered; more is refused.
pub(super) const PAGE_SIZE: usize = 250;

/// No account is this large.
const MAX_PAGES: u64 = 4_000;

/// Pages more than twice what the list's own count asks for: rows come in while it is read, and pages may be shorter than
/// the first.
const SPARE_PAGES: u64 = 20;

/// Pages without anything new, one after another, that are borne.
const MAX_FRUITLESS: u32 = 3;

pub(super) const REQUEST_RATE: Route = Route::small("GET /system/request_rate", None);

/// What to list.
#[derive(Clone, Copy)]
pub(super) struct List<'a> {
    pub(super) api: Api<'a>,
    pub(super) route: &'static Route,
    pub(super) path: &'a [&'a str],
    /// The name under which rows stand.
    pub(super) rows: &'static str,
    /// Rows of one page, at most [`PAGE_SIZE`].
    pub(super) size: usize,
}

/// A page as it came.
pub(super) struct ReadPage {
    /// Requests that it took.
    pub(super) calls: u64,
    answer: Answer,
    route: &'static Route,
    rows_name: &'static str,
}

impl List<'_> {
    /// One page.
    pub(super) async fn page(&self, number: u64) -> Result<ReadPage> {
        let (number, size) = (number.to_string(), self.size.clamp(1, PAGE_SIZE).to_string());
        let query = [("page", number.as_str()), ("max", size.as_str())];
        let answer = self.api.get(self.route, self.path, &query).await?;
        Ok(ReadPage { calls: answer.calls, answer, route: self.route, rows_name: self.rows })
    }

    /// Every row, if the list came to its end. `take` says whether a row is one not met before.
    pub(super) async fn each(&self, mut take: impl FnMut(&RawValue) -> Result<bool>) -> Result<()> {
        let mut turn = Turn::default();
        loop {
            let page = self.page(turn.number()).await?;
            let rows = page.rows()?;
            let mut news = 0;
            for row in &rows.rows {
                news += usize::from(take(row)?);
            }
            if !turn.after(&rows, news).map_err(|problem| endless(problem, self.route))? {
                return Ok(());
            }
        }
    }
}

/// The error that a list has no end.
pub(super) fn endless(problem: Problem, route: &Route) -> ProviderError {
    ProviderError::new(ErrorKind::Malformed, problem.at(route.name))
}

impl ReadPage {
    /// Rows, total, and whether there is more.
    pub(super) fn rows(&self) -> Result<wire::Page<'_>> {
        let text = self.answer.text()?;
        wire::page(text, self.rows_name).map_err(|error| api::unreadable(&error, self.route))
    }
}

/// Where a walk over pages stands.
#[derive(Debug, Default)]
pub(super) struct Turn {
    number: u64,
    fruitless: u32,
    /// Rows of the first page: what the server gives at a time, whatever was asked for.
    first_rows: u64,
}

impl Turn {
    /// The page to ask for.
    pub(super) fn number(&self) -> u64 {
        self.number
    }

    /// Moves on; false at the end of the list. `news` of the page's rows were not met before.
    pub(super) fn after(&mut self, page: &wire::Page<'_>, news: usize) -> std::result::Result<bool, Problem> {
        if page.rows.is_empty() || !page.has_next {
            return Ok(false);
        }
        if self.number == 0 {
            self.first_rows = page.rows.len() as u64;
        }
        self.fruitless = if news == 0 { self.fruitless + 1 } else { 0 };
        if self.fruitless >= MAX_FRUITLESS {
            return Err(sentences::pages_repeat());
        }
        self.number += 1;
        let announced = page.total.map(|total| 2 * total.div_ceil(self.first_rows.max(1)) + SPARE_PAGES);
        if self.number >= announced.unwrap_or(MAX_PAGES).min(MAX_PAGES) {
            return Err(sentences::list_endless());
        }
        Ok(true)
    }

    /// Pages that are there for sure, by the list's own count.
    pub(super) fn known_pages(&self, page: &wire::Page<'_>) -> u64 {
        let counted = page.total.map_or(0, |total| total.div_ceil(self.first_rows.max(1)));
        counted.max(self.number + 1).min(MAX_PAGES)
    }
}

/// Asks for the account's counters when the budget wants them; how many requests that took. What goes wrong with it
/// shows at the next request.
pub(super) async fn keep_counters(api: &Api<'_>) -> u64 {
    if !api.connection().budget.wants_status().await {
        return 0;
    }
    request_rate(api).await.map_or(1, |(answer, _)| answer.calls)
}

/// The account's counters, told to the budget as well.
pub(super) async fn request_rate(api: &Api<'_>) -> Result<(Answer, RateStatus)> {
    let answer = api.get(&REQUEST_RATE, &["system", "request_rate"], &[]).await?;
    let rate: RequestRate = answer.object()?;
    let status = rate_status(&rate).ok_or_else(|| answer.misshapen())?;
    api.connection().budget.observed(status).await;
    Ok((answer, status))
}

/// Both shapes: without fields for writes all requests are in one count. None without a count or a limit.
pub(super) fn rate_status(rate: &RequestRate) -> Option<RateStatus> {
    let number = |number: wire::Number| number.as_u64().and_then(|n| u32::try_from(n).ok());
    let count = |used, limit: wire::Number| {
        let limit = number(limit).filter(|limit| *limit > 0)?;
        Some(RateCount { used: number(used)?, limit })
    };
    let window_s = rate.sliding_time_window_size_seconds.as_u64().filter(|s| (1..=3_600).contains(s));
    let ratio = rate.account_cut_off_ratio.0.filter(|ratio| (0.0..=1.0).contains(ratio));
    Some(RateStatus {
        window: Duration::from_secs(window_s.unwrap_or(60)),
        reads: count(rate.account_count, rate.account_rate_limit)?,
        writes: count(rate.account_write_count, rate.account_write_rate_limit),
        slow_from_percent: ratio.map(|ratio| (ratio * 100.0).round() as u8),
    })
}
