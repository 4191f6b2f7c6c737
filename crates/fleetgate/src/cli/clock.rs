//! The present, for relative times on the screen: everything else comes from the server.

use std::time::{SystemTime, UNIX_EPOCH};

use domain::Time;

/// Now.
pub(crate) fn now() -> Time {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Time(i64::try_from(since.as_millis()).unwrap_or(i64::MAX))
}
