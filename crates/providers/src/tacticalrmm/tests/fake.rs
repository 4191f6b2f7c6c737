//! Recorded pairs as answers of the fake server.

use super::recorded;
pub(super) use crate::fake::{Fake, Reply};

impl Reply {
    /// The answer of a recorded pair.
    pub(super) fn recorded(name: &str) -> Reply {
        Reply::of_pair(&recorded(name), super::recorded_body(name))
    }
}
