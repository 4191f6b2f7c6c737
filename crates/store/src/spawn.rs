//! The only place of this crate that starts tasks. Whoever starts one keeps its handle.

use std::future::Future;

use tokio::task::JoinHandle;

/// Starts `work` on the current runtime.
#[expect(clippy::disallowed_methods, reason = "this is the spawn module")]
pub(crate) fn start(work: impl Future<Output = ()> + Send + 'static) -> JoinHandle<()> {
    tokio::spawn(work)
}

/// Runs `work` to its end, also when the caller stops waiting: then nobody gets the answer, and it is dropped.
#[expect(clippy::disallowed_methods, reason = "this is the spawn module")]
pub(crate) fn to_its_end<T: Send + 'static>(work: impl Future<Output = T> + Send + 'static) -> JoinHandle<T> {
    tokio::spawn(work)
}
