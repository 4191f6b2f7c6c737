//! The one place of this crate that reads the clock: leases and wake-ups have no request whose time they could use.

use domain::Time;

/// The present.
#[expect(clippy::disallowed_methods, reason = "the crate's one clock")]
pub(crate) fn now() -> Time {
    jiff::Timestamp::now().into()
}
