//! Live updates as server-sent events: ids and kinds, never content, so that a reader fetches what it may see.
//!
//! A stream ends when its sign-in or token does (looked at with each heartbeat), after 15 minutes at the latest, and
//! when the server stops; browsers come back by themselves with `Last-Event-ID` and miss nothing.

use std::{collections::VecDeque, convert::Infallible, time::Duration};

use axum::{
    extract::State,
    http::HeaderMap,
    response::{
        IntoResponse, Response,
        sse::{Event, Sse},
    },
};
use futures::stream;
use http::HeaderValue;
use tokio::{
    sync::OwnedSemaphorePermit,
    time::{Instant, sleep},
};
use tracing::warn;

use crate::{
    app::AppState,
    ctx::{Caller, RequestMeta},
    error::{ApiError, ApiResult},
    session,
};

/// Longest silence on a stream.
const HEARTBEAT: Duration = Duration::from_secs(15);

/// Longest life of a stream.
const LIFE: Duration = Duration::from_secs(15 * 60);

/// Changes within this time go out together: a sync writes many at once.
const GATHER: Duration = Duration::from_millis(250);

/// Most events read at once.
const BATCH: u32 = 500;

/// Live updates
///
/// Server-sent events: `id` is the place in the order of changes, `event` the kind, `data` is
/// `{"subject_id": "ast_…"}`. Send `Last-Event-ID` to go on where a stream ended; without it only what comes is sent.
/// A comment comes every 15 seconds; a stream ends after 15 minutes, then ask again.
#[utoipa::path(
    get, path = "/api/v1/events", tag = "server",
    params(("Last-Event-ID" = Option<i64>, Header, description = "The last `id` that was read")),
    responses(
        (status = 200, description = "The stream", body = String, content_type = "text/event-stream"),
        (status = 503, description = "Too many streams are open, or the database cannot be used now"),
    )
)]
pub(crate) async fn get_events(
    State(app): State<AppState>,
    meta: RequestMeta,
    caller: Caller,
    headers: HeaderMap,
) -> ApiResult<Response> {
    let resume = last_event_id(&headers)?;
    let permit = app.event_streams.clone().try_acquire_owned().map_err(|_| {
        ApiError::busy("too_many_streams", "too many streams of live updates are open; try again later")
    })?;
    let newest = app.services.events.last_seq(&caller.ctx).await?;
    let now = Instant::now();
    let updates = Updates {
        seq: resume.map_or(newest, |seq| seq.min(newest)),
        waiting: VecDeque::from([Event::default().retry(Duration::from_secs(3)).comment("welcome")]),
        sent_at: now,
        checked_at: now,
        ends_at: now + LIFE,
        app,
        meta,
        caller,
        _permit: permit,
    };
    let mut response = Sse::new(stream::unfold(updates, Updates::next)).into_response();
    response.headers_mut().insert("x-accel-buffering", HeaderValue::from_static("no"));
    Ok(response)
}

fn last_event_id(headers: &HeaderMap) -> ApiResult<Option<i64>> {
    let Some(value) = headers.get("last-event-id") else { return Ok(None) };
    let seq = value.to_str().ok().and_then(|text| text.parse().ok()).filter(|seq| *seq >= 0);
    seq.map(Some)
        .ok_or_else(|| ApiError::parameter("Last-Event-ID", "`Last-Event-ID` is the number of an event"))
}

/// One stream: where it stands, and what it has read but not sent.
struct Updates {
    app: AppState,
    meta: RequestMeta,
    caller: Caller,
    seq: i64,
    waiting: VecDeque<Event>,
    sent_at: Instant,
    checked_at: Instant,
    ends_at: Instant,
    _permit: OwnedSemaphorePermit,
}

impl Updates {
    /// The next thing to send; none ends the stream.
    async fn next(mut self) -> Option<(Result<Event, Infallible>, Updates)> {
        loop {
            if let Some(event) = self.waiting.pop_front() {
                self.sent_at = Instant::now();
                return Some((Ok(event), self));
            }
            if Instant::now() >= self.ends_at || !self.may_go_on().await {
                return None;
            }
            if self.read().await? {
                continue;
            }
            if self.sent_at.elapsed() >= HEARTBEAT {
                self.waiting.push_back(Event::default().comment("still here"));
                continue;
            }
            self.wait().await?;
        }
    }

    /// Is the caller still who it was, with the right to read? Asked with each heartbeat.
    async fn may_go_on(&mut self) -> bool {
        if self.checked_at.elapsed() < HEARTBEAT {
            return true;
        }
        self.checked_at = Instant::now();
        self.meta.now = crate::clock::now();
        match session::identify(&self.app, self.caller.credential.clone(), &self.meta).await {
            Ok(caller) => {
                self.caller = caller;
                self.caller.ctx.require(domain::auth::Permission::AssetsRead).is_ok()
            }
            Err(_) => false,
        }
    }

    /// Reads what happened; answers whether anything did, seen or not, and ends the stream when it cannot.
    async fn read(&mut self) -> Option<bool> {
        let ctx = self.caller.ctx.at(crate::clock::now());
        match self.app.services.events.since(&ctx, self.seq, BATCH).await {
            Ok(read) => {
                let is_news = read.until > self.seq;
                self.seq = self.seq.max(read.until);
                self.waiting.extend(read.events.iter().map(present));
                Some(is_news)
            }
            Err(error) => {
                let request_id = self.meta.id.as_str();
                warn!(request_id, error = &error as &dyn std::error::Error, "live updates ended: {error}");
                None
            }
        }
    }

    /// Waits until something may have happened; ends the stream when the server stops.
    async fn wait(&self) -> Option<()> {
        let events = &self.app.services.events;
        tokio::select! {
            () = self.app.stopping() => return None,
            () = events.changed(HEARTBEAT) => {}
        }
        sleep(GATHER).await;
        Some(())
    }
}

fn present(event: &domain::event::Event) -> Event {
    let data = serde_json::json!({ "subject_id": event.subject_id });
    Event::default()
        .id(event.seq.to_string())
        .event(event.kind.replace(['\r', '\n'], " "))
        .data(data.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(value: Option<&str>, expected: Result<Option<i64>, ()>) {
        let headers = value.map(|value| ("last-event-id".parse().unwrap(), value.parse().unwrap()));
        assert_eq!(last_event_id(&headers.into_iter().collect()).map_err(|_| ()), expected);
    }

    #[test]
    fn streams_resume_after_a_number() {
        check(None, Ok(None));
        check(Some("17"), Ok(Some(17)));
        check(Some("-1"), Err(()));
        check(Some("ast_1"), Err(()));
    }
}
