//! The one place of this crate that reads the clock: jobs begin here, requests bring their time.

use domain::Time;

/// The present.
#[expect(clippy::disallowed_methods, reason = "the crate's one clock")]
pub fn now() -> Time {
    jiff::Timestamp::now().into()
}
