//! The one place of this crate that starts tasks: one for each connection, and one that tidies the metrics.

use std::{future::Future, time::Duration};

use tokio::{task::JoinSet, time::timeout};

/// Tasks with one owner: they end with it at the latest.
#[derive(Debug, Default)]
pub(crate) struct Tasks(JoinSet<()>);

impl Tasks {
    /// Starts a task.
    pub(crate) fn add(&mut self, task: impl Future<Output = ()> + Send + 'static) {
        self.0.spawn(task);
    }

    /// Waits for any task to end and forgets it; waits forever while there is none.
    pub(crate) async fn reap(&mut self) {
        if self.0.join_next().await.is_none() {
            std::future::pending::<()>().await;
        }
    }

    /// Waits for all tasks, but not longer than `most`; answers how many were given up.
    pub(crate) async fn finish(&mut self, most: Duration) -> usize {
        let all = async { while self.0.join_next().await.is_some() {} };
        if timeout(most, all).await.is_ok() {
            return 0;
        }
        let left = self.0.len();
        self.0.shutdown().await;
        left
    }
}
