//! Group commit on SQLite: single statements that wait for the one writer are committed together.
//!
//! The writer never waits for company: when it becomes free it takes what is queued, runs each statement in a savepoint
//! of its own, commits once, and only then answers all of them. So a hundred small writes cost one fsync, and one that
//! fails does not take its neighbours along.

use sqlx::{SqlStr, Sqlite, SqlitePool, Transaction};
use tokio::sync::{mpsc, oneshot};

use super::{Value, begin_sqlite};
use crate::{
    error::{Result, StoreError},
    spawn,
};

/// Most statements of one commit.
const MOST: usize = 512;

/// Most statements that wait; more are held up in their callers, so memory is bounded.
const QUEUE: usize = 4_096;

/// One statement and who waits for it.
struct Write {
    text: SqlStr,
    values: Vec<Value>,
    answer: oneshot::Sender<Result<u64>>,
}

/// The way to the writer. The writer ends when the last clone is dropped.
#[derive(Clone, Debug)]
pub(super) struct GroupWriter {
    queue: mpsc::Sender<Write>,
}

impl GroupWriter {
    /// Starts the writer on the pool that holds the one write connection.
    pub(super) fn start(pool: SqlitePool) -> GroupWriter {
        let (queue, waiting) = mpsc::channel(QUEUE);
        // Ends with the queue, so nobody has to keep the handle.
        drop(spawn::start(work(pool, waiting)));
        GroupWriter { queue }
    }

    /// Runs one statement; answers after the commit with the number of rows touched.
    pub(super) async fn write(&self, text: SqlStr, values: Vec<Value>) -> Result<u64> {
        let (answer, done) = oneshot::channel();
        let gone = || StoreError::Unavailable("the writer has ended".into());
        self.queue.send(Write { text, values, answer }).await.map_err(|_| gone())?;
        done.await.map_err(|_| gone())?
    }
}

async fn work(pool: SqlitePool, mut waiting: mpsc::Receiver<Write>) {
    let mut group = Vec::with_capacity(MOST);
    while waiting.recv_many(&mut group, MOST).await > 0 {
        // What came while the connection was taken joins the group.
        let begun = begin_sqlite(&pool).await;
        while group.len() < MOST {
            match waiting.try_recv() {
                Ok(write) => group.push(write),
                Err(_) => break,
            }
        }
        match begun {
            Ok(tx) => commit_together(tx, &mut group).await,
            Err(error) => answer_all(group.drain(..).map(|write| write.answer), error),
        }
    }
}

async fn commit_together(mut tx: Transaction<'static, Sqlite>, group: &mut Vec<Write>) {
    let mut results = Vec::with_capacity(group.len());
    for Write { text, values, answer } in group.drain(..) {
        let result = one(&mut tx, text, values).await;
        results.push((answer, result));
    }
    match tx.commit().await {
        Ok(()) => {
            for (answer, result) in results {
                // A caller that went away does not need its answer.
                let _gone = answer.send(result);
            }
        }
        Err(error) => answer_all(results.into_iter().map(|(answer, _)| answer), error),
    }
}

/// One statement in a savepoint.
async fn one(tx: &mut Transaction<'static, Sqlite>, text: SqlStr, values: Vec<Value>) -> Result<u64> {
    sqlx::query::<Sqlite>("SAVEPOINT one").execute(&mut **tx).await?;
    let ran = bound!(sqlx::query::<Sqlite>(text), values).execute(&mut **tx).await;
    let after = if ran.is_ok() { "RELEASE one" } else { "ROLLBACK TO one" };
    sqlx::query::<Sqlite>(after).execute(&mut **tx).await?;
    Ok(ran?.rows_affected())
}

/// Nothing of the group was kept.
fn answer_all(answers: impl Iterator<Item = oneshot::Sender<Result<u64>>>, error: sqlx::Error) {
    let text = error.to_string();
    for answer in answers {
        let _gone = answer.send(Err(StoreError::Unavailable(text.clone().into())));
    }
}

#[cfg(test)]
mod tests {
    use futures::future::join_all;

    use crate::{
        db::{Text, args},
        error::StoreError,
        on_both_engines,
        sql::statements,
    };

    statements! {
        INSERT = [
            "INSERT INTO login_throttle (key_hash, failures, window_started_at, blocked_until) VALUES ($1, 1, 1, 1)"
        ];
        COUNT = ["SELECT COUNT(*) FROM login_throttle"];
        FORGET = ["DELETE FROM login_throttle"];
    }

    #[tokio::test]
    async fn after_a_full_disk_the_writer_works_again() {
        let folder = tempfile::tempdir().unwrap();
        let store = crate::testing::sqlite(folder.path()).await.store;
        let large = || args!["x".repeat(100_000)];
        for _ in 0..3 {
            // The limit goes with the connection.
            let mut tx = store.db.begin().await.unwrap();
            tx.run(Text::Composed("PRAGMA max_page_count = 1".to_owned()), args![]).await.unwrap();
            assert!(tx.run(&INSERT, large()).await.is_err(), "the disk is full");
            drop(tx);
            let mut tx = store.db.begin().await.unwrap();
            tx.run(Text::Composed("PRAGMA max_page_count = 1".to_owned()), args![]).await.unwrap();
            tx.commit().await.unwrap();
            let failed = join_all((0..3).map(|_| store.db.write(&INSERT, large()))).await;
            assert!(failed.iter().all(Result::is_err), "{failed:?}");
            store.db.write(&FORGET, args![]).await.unwrap();
            store.db.write(&INSERT, args!["small"]).await.unwrap();
        }
    }

    on_both_engines! {
        async fn one_failing_write_does_not_take_its_neighbours_along(test) {
            let db = &test.store.db;
            // Every tenth key is there twice.
            let writes = (0..200).map(|n| db.write(&INSERT, args![format!("key {}", if n % 10 == 9 { n - 1 } else { n })]));
            let results = join_all(writes).await;
            let failed = results.iter().filter(|r| matches!(r, Err(StoreError::Conflict { .. }))).count();
            assert_eq!((failed, results.iter().filter(|r| r.is_ok()).count()), (20, 180));
            assert_eq!(db.one::<(i64,)>(&COUNT, args![]).await.unwrap().0, 180);
            assert_eq!(ALL.len(), 3);
        }
    }
}
