//! The one place of this crate that reads the clock: jobs begin here, requests bring their time.

use std::sync::Arc;

use domain::Time;

/// The present.
#[expect(clippy::disallowed_methods, reason = "the crate's one clock")]
pub fn now() -> Time {
    jiff::Timestamp::now().into()
}

/// What tells sync runs the time: the present, or in tests whatever a rule needs.
#[derive(Clone)]
pub struct Clock(Arc<dyn Fn() -> Time + Send + Sync>);

impl Clock {
    /// The present.
    pub fn real() -> Clock {
        Clock::from_fn(now)
    }

    /// What the function says.
    pub fn from_fn(tell: impl Fn() -> Time + Send + Sync + 'static) -> Clock {
        Clock(Arc::new(tell))
    }

    pub(crate) fn now(&self) -> Time {
        (self.0)()
    }
}
