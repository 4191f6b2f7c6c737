//! The one place of this crate that reads the clock: a request's time is taken once, at its beginning.

use domain::Time;

/// The present.
#[expect(clippy::disallowed_methods, reason = "the crate's one clock")]
pub(crate) fn now() -> Time {
    jiff::Timestamp::now().into()
}
