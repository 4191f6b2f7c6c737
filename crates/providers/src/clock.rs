//! The present, for one-time codes and for the end of tokens that only tell how long they live: everything else takes
//! its time from the caller or from an answer.

use std::time::{SystemTime, UNIX_EPOCH};

/// Seconds since 1970; zero for a clock before that.
pub(crate) fn unix_seconds() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())
}
