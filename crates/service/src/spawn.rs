//! The only place of this crate that starts tasks and threads. Whoever starts one keeps its handle.

use std::{
    future::Future,
    pin::Pin,
    task::{Context, Poll},
};

use tokio::task::{JoinError, JoinHandle};

/// Starts `work` on the current runtime.
#[expect(clippy::disallowed_methods, reason = "this is the spawn module")]
pub(crate) fn start<T: Send + 'static>(work: impl Future<Output = T> + Send + 'static) -> JoinHandle<T> {
    tokio::spawn(work)
}

/// Runs `work`, which keeps a core busy, on a thread of its own. It ends even if nobody waits for it any more.
pub(crate) async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T {
    match tokio::task::spawn_blocking(work).await {
        Ok(value) => value,
        Err(error) => match error.try_into_panic() {
            Ok(panic) => std::panic::resume_unwind(panic),
            Err(_) => std::future::pending().await, // the runtime is shutting down
        },
    }
}

/// Runs `work` in a task of its own and waits for it: it goes on while nobody polls whoever waits, and ends with them.
pub(crate) async fn apart<T: Send + 'static>(work: impl Future<Output = T> + Send + 'static) -> T {
    match Task::start(work).await {
        Ok(value) => value,
        Err(error) => match error.try_into_panic() {
            Ok(panic) => std::panic::resume_unwind(panic),
            Err(_) => std::future::pending().await, // the runtime is shutting down
        },
    }
}

/// A task that ends when this is dropped.
#[derive(Debug)]
pub(crate) struct Task<T>(JoinHandle<T>);

impl<T: Send + 'static> Task<T> {
    /// Starts `work` on the current runtime.
    pub(crate) fn start(work: impl Future<Output = T> + Send + 'static) -> Task<T> {
        Task(start(work))
    }

    /// Cuts the work off at its next await; await the task to know that it is over.
    pub(crate) fn abort(&self) {
        self.0.abort();
    }
}

impl<T> Future for Task<T> {
    type Output = Result<T, JoinError>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        Pin::new(&mut self.0).poll(context)
    }
}

impl<T> Drop for Task<T> {
    fn drop(&mut self) {
        self.0.abort();
    }
}
