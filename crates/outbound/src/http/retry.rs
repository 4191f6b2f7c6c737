//! Reads again after passing trouble; never repeats a write.

use std::time::Duration;

use http::StatusCode;
use tracing::debug;

use super::HttpClient;
use super::error::HttpError;
use super::request::Request;
use super::response::Response;

/// How often and how patiently to try. The request's own timeouts hold for each try.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RetryPolicy {
    /// Tries in all; 1 means no repetition.
    pub tries: u32,
    /// Upper end of the first wait; doubles with each further one. The wait is drawn evenly from zero to that end.
    pub base_delay: Duration,
    /// No wait of our own is longer.
    pub max_delay: Duration,
    /// If the server asks for more (`Retry-After`), its answer is handed back instead of waiting.
    pub max_retry_after: Duration,
}

impl RetryPolicy {
    /// One try only.
    pub const ONCE: Self = Self {
        tries: 1,
        base_delay: Duration::ZERO,
        max_delay: Duration::ZERO,
        max_retry_after: Duration::ZERO,
    };
}

impl Default for RetryPolicy {
    fn default() -> Self {
        Self {
            tries: 3,
            base_delay: Duration::from_millis(500),
            max_delay: Duration::from_secs(10),
            max_retry_after: Duration::from_secs(30),
        }
    }
}

/// Sends a read until it is answered with something other than 429, 502, 503 or 504, or the tries are used up.
///
/// GET, HEAD and requests marked [`Request::repeatable`] only; others are sent exactly once. The last answer or
/// error is handed back as it is. A body that is cut while being read is the caller's to notice.
pub async fn send_with_retries(
    client: &HttpClient,
    request: Request,
    policy: RetryPolicy,
) -> Result<Response, HttpError> {
    if !request.may_repeat() {
        return client.send(request).await;
    }
    let mut tried = 1;
    loop {
        let outcome = client.try_once(request.clone()).await;
        let wait = if tried < policy.tries { wait_before_retry(&outcome, tried, policy) } else { None };
        let Some(wait) = wait else { return client.explained(&request.url, outcome).await };
        debug!(tried, wait_ms = wait.as_millis(), "trying again in {} ms", wait.as_millis());
        drop(outcome);
        tokio::time::sleep(wait).await;
        tried += 1;
    }
}

/// `None`: this outcome stands.
fn wait_before_retry(
    outcome: &Result<Response, HttpError>,
    tried: u32,
    policy: RetryPolicy,
) -> Option<Duration> {
    let asked = match outcome {
        Ok(response) => {
            if !is_passing(response.status) {
                return None;
            }
            response.retry_after()
        }
        Err(error) if error.kind.is_transient() => None,
        Err(_) => return None,
    };
    // Without randomness the full wait is as good as any.
    let random = getrandom::u32().unwrap_or(u32::MAX);
    plan_wait(asked, tried, policy, random)
}

fn is_passing(status: StatusCode) -> bool {
    matches!(
        status,
        StatusCode::TOO_MANY_REQUESTS
            | StatusCode::BAD_GATEWAY
            | StatusCode::SERVICE_UNAVAILABLE
            | StatusCode::GATEWAY_TIMEOUT
    )
}

/// What the server asks for plus some jitter, so that many clients do not come back at once; else exponential with
/// full jitter. `None` if the server asks for too much.
fn plan_wait(asked: Option<Duration>, tried: u32, policy: RetryPolicy, random: u32) -> Option<Duration> {
    let share = f64::from(random) / f64::from(u32::MAX);
    let doubled = 2u32.saturating_pow(tried.saturating_sub(1));
    let ours = policy.base_delay.saturating_mul(doubled).min(policy.max_delay);
    match asked {
        Some(asked) if asked > policy.max_retry_after => None,
        Some(asked) => Some(asked + policy.base_delay.min(asked / 4).mul_f64(share)),
        None => Some(ours.mul_f64(share)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const POLICY: RetryPolicy = RetryPolicy {
        tries: 5,
        base_delay: Duration::from_millis(100),
        max_delay: Duration::from_millis(300),
        max_retry_after: Duration::from_secs(30),
    };

    #[track_caller]
    fn check(asked_ms: Option<u64>, tried: u32, random: u32, expected_ms: Option<u64>) {
        let wait = plan_wait(asked_ms.map(Duration::from_millis), tried, POLICY, random);
        assert_eq!(wait, expected_ms.map(Duration::from_millis));
    }

    #[test]
    fn own_wait_doubles_up_to_a_cap() {
        check(None, 1, u32::MAX, Some(100));
        check(None, 2, u32::MAX, Some(200));
        check(None, 3, u32::MAX, Some(300));
        check(None, u32::MAX, u32::MAX, Some(300));
        check(None, 3, 0, Some(0));
    }

    #[test]
    fn server_is_obeyed_up_to_a_cap() {
        check(Some(2000), 1, 0, Some(2000));
        check(Some(2000), 1, u32::MAX, Some(2100));
        check(Some(30_000), 1, 0, Some(30_000));
        check(Some(30_001), 1, 0, None);
        check(Some(0), 1, u32::MAX, Some(0));
    }
}
