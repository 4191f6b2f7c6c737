//! The head of an answer, and its body piece by piece within limits.

use std::fmt;
use std::time::{Duration, Instant, SystemTime};

use bytes::{Bytes, BytesMut};
use http::{HeaderMap, HeaderName, StatusCode, header};

use super::classify::classify_body;
use super::date::parse_http_date;
use super::error::{HttpError, HttpErrorKind, Sent};

/// Limits that go on after the head has arrived.
pub(crate) struct Limits {
    pub(crate) started: Instant,
    pub(crate) read_timeout: Duration,
    pub(crate) total_timeout: Duration,
    pub(crate) max_body_bytes: u64,
}

/// An answer, whatever its status. Dropping it before the end closes the connection.
pub struct Response {
    /// Status.
    pub status: StatusCode,
    /// Headers as received, less `content-encoding` and `content-length` if the body was compressed.
    pub headers: HeaderMap,
    /// From the start of sending until the head was there.
    pub elapsed_to_headers: Duration,
    received_at: SystemTime,
    body: reqwest::Response,
    limits: Limits,
    received_bytes: u64,
}

impl Response {
    pub(crate) fn new(mut answer: reqwest::Response, limits: Limits) -> Self {
        Self {
            status: answer.status(),
            headers: std::mem::take(answer.headers_mut()),
            elapsed_to_headers: limits.started.elapsed(),
            received_at: SystemTime::now(),
            body: answer,
            limits,
            received_bytes: 0,
        }
    }

    /// The next piece of the (decompressed) body, `None` at its end.
    pub async fn chunk(&mut self) -> Result<Option<Bytes>, HttpError> {
        self.check_length()?;
        let left = self.limits.total_timeout.saturating_sub(self.limits.started.elapsed());
        if left.is_zero() {
            return Err(HttpError::new(HttpErrorKind::TotalTimeout, Sent::Maybe));
        }
        let waiting = tokio::time::timeout(left.min(self.limits.read_timeout), self.body.chunk()).await;
        let Ok(read) = waiting else {
            let out_of_time = left <= self.limits.read_timeout;
            let kind = if out_of_time { HttpErrorKind::TotalTimeout } else { HttpErrorKind::ReadTimeout };
            return Err(HttpError::new(kind, Sent::Maybe));
        };
        let Some(bytes) = read.map_err(classify_body)? else { return Ok(None) };
        let length = u64::try_from(bytes.len()).unwrap_or(u64::MAX);
        self.received_bytes = self.received_bytes.saturating_add(length);
        self.check_length()?;
        Ok(Some(bytes))
    }

    /// The whole body.
    pub async fn bytes(mut self) -> Result<Bytes, HttpError> {
        let Some(first) = self.chunk().await? else { return Ok(Bytes::new()) };
        let Some(second) = self.chunk().await? else { return Ok(first) };
        let mut all = BytesMut::from(first);
        all.extend_from_slice(&second);
        while let Some(more) = self.chunk().await? {
            all.extend_from_slice(&more);
        }
        Ok(all.freeze())
    }

    /// Whether the media type is `application/json` or ends in `+json`.
    pub fn is_json(&self) -> bool {
        is_json(&self.headers)
    }

    /// Whether the media type is HTML.
    pub fn is_html(&self) -> bool {
        matches!(media_type(&self.headers).as_deref(), Some("text/html" | "application/xhtml+xml"))
    }

    /// Where a redirect would lead; never followed here.
    pub fn location(&self) -> Option<&str> {
        text(&self.headers, header::LOCATION)
    }

    /// How long the server asks to wait, in seconds or until a date. A date in the past is zero.
    pub fn retry_after(&self) -> Option<Duration> {
        retry_after(&self.headers, self.received_at)
    }

    /// The server's clock when it answered.
    pub fn date(&self) -> Option<SystemTime> {
        parse_http_date(text(&self.headers, header::DATE)?)
    }

    /// Our clock when the head arrived; compare with [`Response::date`].
    pub fn received_at(&self) -> SystemTime {
        self.received_at
    }

    /// Announced length too long, or too much received.
    fn check_length(&self) -> Result<(), HttpError> {
        let limit = self.limits.max_body_bytes;
        // What is still to come by the server's word; nothing for compressed and chunked bodies.
        let announced = self.body.content_length().unwrap_or(0);
        if self.received_bytes > limit || self.received_bytes.saturating_add(announced) > limit {
            return Err(HttpError::new(HttpErrorKind::BodyTooLarge { limit }, Sent::Maybe));
        }
        Ok(())
    }
}

impl fmt::Debug for Response {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Response")
            .field("status", &self.status)
            .field("headers", &self.headers.keys().collect::<Vec<_>>())
            .field("received_bytes", &self.received_bytes)
            .finish_non_exhaustive()
    }
}

fn text(headers: &HeaderMap, name: HeaderName) -> Option<&str> {
    headers.get(name)?.to_str().ok()
}

fn media_type(headers: &HeaderMap) -> Option<String> {
    let value = text(headers, header::CONTENT_TYPE)?;
    let essence = value.split(';').next().unwrap_or(value);
    Some(essence.trim().to_ascii_lowercase())
}

fn is_json(headers: &HeaderMap) -> bool {
    media_type(headers).is_some_and(|media| media == "application/json" || media.ends_with("+json"))
}

/// A date is compared with the server's own clock where it tells it, so that a wrong clock here does no harm.
fn retry_after(headers: &HeaderMap, received_at: SystemTime) -> Option<Duration> {
    let value = text(headers, header::RETRY_AFTER)?.trim();
    if !value.is_empty() && value.bytes().all(|byte| byte.is_ascii_digit()) {
        return Some(Duration::from_secs(value.parse().unwrap_or(u64::MAX)));
    }
    let until = parse_http_date(value)?;
    let now = text(headers, header::DATE).and_then(parse_http_date).unwrap_or(received_at);
    Some(until.duration_since(now).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    fn headers(pairs: &[(HeaderName, &'static str)]) -> HeaderMap {
        pairs.iter().map(|(name, value)| (name.clone(), HeaderValue::from_static(value))).collect()
    }

    #[test]
    fn json_is_told_by_media_type() {
        for (value, expected) in [
            ("application/json", true),
            ("Application/JSON; charset=utf-8", true),
            ("application/problem+json", true),
            ("text/html", false),
            ("application/jsonp", false),
            ("text/plain; x=application/json", false),
        ] {
            assert_eq!(is_json(&headers(&[(header::CONTENT_TYPE, value)])), expected, "{value}");
        }
        assert!(!is_json(&HeaderMap::new()));
    }

    #[test]
    fn retry_after_is_seconds_or_a_date() {
        let now = SystemTime::UNIX_EPOCH + Duration::from_secs(784_111_777);
        let after = |pairs: &[(HeaderName, &'static str)]| retry_after(&headers(pairs), now);
        assert_eq!(after(&[(header::RETRY_AFTER, "53")]), Some(Duration::from_secs(53)));
        assert_eq!(after(&[(header::RETRY_AFTER, "soon")]), None);
        assert_eq!(after(&[(header::RETRY_AFTER, "-1")]), None);
        assert_eq!(after(&[]), None);
        let date = "Sun, 06 Nov 1994 08:50:37 GMT";
        assert_eq!(after(&[(header::RETRY_AFTER, date)]), Some(Duration::from_secs(60)));
        let server_clock = (header::DATE, "Sun, 06 Nov 1994 08:50:07 GMT");
        assert_eq!(after(&[(header::RETRY_AFTER, date), server_clock]), Some(Duration::from_secs(30)));
        assert_eq!(after(&[(header::RETRY_AFTER, "Sun, 06 Nov 1994 08:00:00 GMT")]), Some(Duration::ZERO));
    }
}
