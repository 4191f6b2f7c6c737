//! The limit on requests, and what Datto RMM does to those who go over it.

use std::time::Duration;

use provider::{ErrorKind, Problem, ProviderError};

use super::failure;

/// 429.
pub(crate) fn rate_limited(wait: Duration) -> ProviderError {
    let wait_s = wait.as_secs();
    let mut problem = Problem::new(
        "rate_limited",
        format!(
            "Datto RMM takes no more requests for now: the account's limit, which all programs share, is used up. \
             Wait {wait_s} seconds."
        ),
        "Fleetgate waits and goes on by itself. If it happens often, look for another program that uses the API of this \
         account, or give Fleetgate a smaller share (`rate_share_percent`).",
    );
    problem.wait_s = Some(wait_s);
    failure(ErrorKind::RateLimited, problem)
}

/// 403 that shuts out our address.
pub(crate) fn blocked(wait: Duration) -> ProviderError {
    let minutes = wait.as_secs().div_ceil(60);
    let mut problem = Problem::new(
        "blocked",
        format!(
            "Datto RMM has shut out the address of this server, as it does after too many requests. Fleetgate sends \
             nothing for {minutes} minutes."
        ),
        "Fleetgate goes on by itself afterwards. Look for another program on this server, or behind the same address, \
         that uses the API of this account. If it does not end, ask Datto's support to unblock the address.",
    );
    problem.wait_s = Some(wait.as_secs());
    failure(ErrorKind::RateLimited, problem)
}

/// A warning: little is left for anybody.
pub(crate) fn rate_nearly_used(used: u32, limit: u32) -> Problem {
    Problem::new(
        "rate_nearly_used",
        format!(
            "{used} of {limit} requests were used in the last minute, by all programs of this account together. Datto RMM \
             slows all of them down."
        ),
        "Fleetgate waits for room, so a sync may take long. Look which other programs use the API of this account.",
    )
}
