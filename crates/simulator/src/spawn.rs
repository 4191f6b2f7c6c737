//! The only place of this crate that starts tasks. Every task ends when its [`Task`] is dropped.

use std::future::Future;

use tokio::task::JoinHandle;

/// A running task. Dropping it ends the task.
#[derive(Debug)]
pub(crate) struct Task(JoinHandle<()>);

impl Task {
    /// Starts `work` on the current runtime.
    #[expect(clippy::disallowed_methods, reason = "this is the spawn module")]
    pub(crate) fn start(work: impl Future<Output = ()> + Send + 'static) -> Self {
        Self(tokio::spawn(work))
    }

    /// Ends the task and waits until it is gone.
    pub(crate) async fn stop(mut self) {
        self.0.abort();
        let _ended_or_cancelled = (&mut self.0).await;
    }
}

impl Drop for Task {
    fn drop(&mut self) {
        self.0.abort();
    }
}
