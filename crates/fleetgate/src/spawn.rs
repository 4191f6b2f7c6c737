//! The only place of this crate that starts tasks.

use std::future::Future;

use tokio::task::JoinHandle;

/// Starts `work` on the current runtime; whoever starts it keeps the handle.
#[expect(clippy::disallowed_methods, reason = "this is the spawn module")]
pub(crate) fn start<T: Send + 'static>(work: impl Future<Output = T> + Send + 'static) -> JoinHandle<T> {
    tokio::spawn(work)
}
